-- Running: which database this is, events, notifications, maintenance jobs, status.

-- The workers connect as integ_owner, the listener as integ_ingress.
DO $$
BEGIN
    IF NOT pg_catalog.has_database_privilege('integ_owner', pg_catalog.current_database(), 'CONNECT') THEN
        EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO integ_owner', pg_catalog.current_database());
    END IF;
    IF NOT pg_catalog.has_database_privilege('integ_ingress', pg_catalog.current_database(), 'CONNECT') THEN
        EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO integ_ingress', pg_catalog.current_database());
    END IF;
END
$$;

CREATE FUNCTION integ.tg_wake() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_wake';
COMMENT ON FUNCTION integ.tg_wake() IS 'Wakes the keeper when the transaction commits';

CREATE FUNCTION integ.tg_identity() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_identity';
COMMENT ON FUNCTION integ.tg_identity() IS 'Makes everybody look again whether this database is held';

CREATE TABLE integ.identity (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    system_identifier text NOT NULL,
    database_oid oid NOT NULL,
    database_name text NOT NULL,
    timeline integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE integ.identity IS
    'Which database the rows of integ belong to. Anything but one row that names this very database means a copy: '
    'nothing leaves it until integ_resume()';
COMMENT ON COLUMN integ.identity.id IS 'A restore adds a row with another id';
COMMENT ON COLUMN integ.identity.system_identifier IS
    'Of the cluster, as in pg_control_system(); empty: rows were restored, from wherever';
COMMENT ON COLUMN integ.identity.database_oid IS 'Of the database';
COMMENT ON COLUMN integ.identity.database_name IS 'Name of the database then, for people';
COMMENT ON COLUMN integ.identity.timeline IS 'Of the cluster, as in pg_control_checkpoint()';
COMMENT ON COLUMN integ.identity.created_at IS 'When the row was made';
CREATE TRIGGER identity_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.identity
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_identity();
ALTER TABLE integ.identity ENABLE ALWAYS TRIGGER identity_changed;
SELECT pg_catalog.pg_extension_config_dump('integ.identity', '');

CREATE TABLE integ.events (
    id uuid NOT NULL DEFAULT integ.uuid_generate(),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    client_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    instance uuid,
    payload jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (id, created_at),
    CONSTRAINT events_kind_check CHECK (kind ~ '^[a-z0-9_]+(\.[a-z0-9_]+)+$'),
    CONSTRAINT events_payload_check CHECK (pg_catalog.jsonb_typeof(payload) = 'object')
) PARTITION BY RANGE (created_at);
CREATE TABLE integ.events_default PARTITION OF integ.events DEFAULT;
ALTER TABLE integ.events_default ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE integ.events_default IS 'Events of days that have no partition; emptied when theirs is made';
COMMENT ON TABLE integ.events IS 'What happened in integ, append-only, kept for 90 days';
COMMENT ON COLUMN integ.events.id IS 'Sorts by time';
COMMENT ON COLUMN integ.events.created_at IS 'When it happened';
COMMENT ON COLUMN integ.events.client_id IS 'Client it concerns; ''*'' for global';
COMMENT ON COLUMN integ.events.kind IS 'Such as instance.connected or maintenance.failed';
COMMENT ON COLUMN integ.events.instance IS 'Instance it concerns, or none';
COMMENT ON COLUMN integ.events.payload IS 'More about it, without secrets';
REVOKE UPDATE, DELETE, TRUNCATE ON integ.events FROM CURRENT_USER;

CREATE TABLE integ.notifications (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    recipient text COLLATE "C",
    client_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    text text NOT NULL,
    hint text,
    link text,
    channel text NOT NULL DEFAULT 'inbox',
    state text NOT NULL DEFAULT 'new',
    read_at timestamptz,
    CONSTRAINT notifications_state_check CHECK (state IN ('new', 'sent', 'failed')),
    CONSTRAINT notifications_channel_check CHECK (channel <> '')
);
CREATE INDEX notifications_recipient_idx ON integ.notifications (client_id, recipient, created_at);
CREATE INDEX notifications_created_at_idx ON integ.notifications (created_at);
COMMENT ON TABLE integ.notifications IS 'What people are to know, kept for 90 days';
COMMENT ON COLUMN integ.notifications.id IS 'Sorts by time';
COMMENT ON COLUMN integ.notifications.created_at IS 'When it was written';
COMMENT ON COLUMN integ.notifications.recipient IS 'User it is for; NULL: the administrators of the client';
COMMENT ON COLUMN integ.notifications.client_id IS 'Client it is for; ''*'' for the superadmins';
COMMENT ON COLUMN integ.notifications.kind IS 'Such as instance.reauth_required';
COMMENT ON COLUMN integ.notifications.text IS 'What happened';
COMMENT ON COLUMN integ.notifications.hint IS 'What to do';
COMMENT ON COLUMN integ.notifications.link IS
    'Page on which to do it, where the application has one (integ.reconnect_url)';
COMMENT ON COLUMN integ.notifications.channel IS 'Where it goes; inbox: only this table';
COMMENT ON COLUMN integ.notifications.state IS 'new, then sent or failed where a channel delivers it';
COMMENT ON COLUMN integ.notifications.read_at IS 'When the recipient read it';
SELECT pg_catalog.pg_extension_config_dump('integ.notifications', '');

CREATE TABLE integ.maintenance_jobs (
    name text COLLATE "C" PRIMARY KEY,
    description text,
    schedule interval NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    next_run_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    last_run_at timestamptz,
    last_duration interval,
    last_error text,
    CONSTRAINT maintenance_jobs_schedule_check CHECK (schedule >= interval '1 second')
);
CREATE INDEX maintenance_jobs_next_run_at_idx ON integ.maintenance_jobs (next_run_at) WHERE is_active;
COMMENT ON TABLE integ.maintenance_jobs IS
    'What the maintenance worker does and when. UPDATE steers it: next_run_at = now() runs a job at once';
COMMENT ON COLUMN integ.maintenance_jobs.name IS 'Name of the job';
COMMENT ON COLUMN integ.maintenance_jobs.description IS 'What it does';
COMMENT ON COLUMN integ.maintenance_jobs.schedule IS 'Time between two runs';
COMMENT ON COLUMN integ.maintenance_jobs.is_active IS 'False: it does not run';
COMMENT ON COLUMN integ.maintenance_jobs.next_run_at IS 'When it runs next';
COMMENT ON COLUMN integ.maintenance_jobs.last_run_at IS 'When it last began';
COMMENT ON COLUMN integ.maintenance_jobs.last_duration IS 'How long it took';
COMMENT ON COLUMN integ.maintenance_jobs.last_error IS 'What went wrong last time, or NULL';

CREATE TRIGGER maintenance_jobs_wake AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.maintenance_jobs
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_wake();
ALTER TABLE integ.maintenance_jobs ENABLE ALWAYS TRIGGER maintenance_jobs_wake;

-- The keeper knows its jobs, a restore brings them again with what people set.
-- Both may insert at the same moment: the second waits, and then finds the row.
CREATE FUNCTION integ.tg_maintenance_jobs_merge() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock('integ.maintenance_jobs'::pg_catalog.regclass::pg_catalog.int8);
    UPDATE integ.maintenance_jobs j
    SET schedule = NEW.schedule, is_active = NEW.is_active, next_run_at = NEW.next_run_at
    WHERE j.name = NEW.name;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION integ.tg_maintenance_jobs_merge() IS 'A job that is inserted again takes over what the row sets';
CREATE TRIGGER maintenance_jobs_merge BEFORE INSERT ON integ.maintenance_jobs
    FOR EACH ROW EXECUTE FUNCTION integ.tg_maintenance_jobs_merge();
ALTER TABLE integ.maintenance_jobs ENABLE ALWAYS TRIGGER maintenance_jobs_merge;
SELECT pg_catalog.pg_extension_config_dump('integ.maintenance_jobs', '');

ALTER TABLE integ.identity ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.events ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.notifications ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.maintenance_jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY identity_read ON integ.identity FOR SELECT USING ((SELECT integ_current_level()) = 'superadmin');
CREATE POLICY events_read ON integ.events FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');
CREATE POLICY notifications_read ON integ.notifications FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin' OR recipient = (SELECT integ_current_user_id())));
CREATE POLICY notifications_mark ON integ.notifications FOR UPDATE USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND (recipient = (SELECT integ_current_user_id())
            OR recipient IS NULL AND (SELECT integ_current_level()) = 'admin'));
CREATE POLICY maintenance_jobs_all ON integ.maintenance_jobs USING ((SELECT integ_current_level()) = 'superadmin');
GRANT SELECT ON integ.identity TO integ_superadmin;
GRANT SELECT ON integ.events TO integ_admin;
GRANT SELECT, UPDATE (read_at) ON integ.notifications TO integ_user;
GRANT SELECT, UPDATE (schedule, is_active, next_run_at) ON integ.maintenance_jobs TO integ_superadmin;

CREATE FUNCTION integ.partitions_maintain(at timestamptz DEFAULT pg_catalog.now()) RETURNS integer
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_partitions_maintain';
COMMENT ON FUNCTION integ.partitions_maintain(timestamptz) IS
    'Makes and drops the partitions that are due at a time, and says how many; the maintenance jobs do this by '
    'themselves';
GRANT EXECUTE ON FUNCTION integ.partitions_maintain(timestamptz) TO integ_superadmin;

CREATE FUNCTION integ_resume() RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_resume';
COMMENT ON FUNCTION integ_resume() IS
    'Declares that this copy of a database is the one to act from now on, and says what it did; for superadmins';
GRANT EXECUTE ON FUNCTION integ_resume() TO integ_superadmin;

CREATE FUNCTION integ_version() RETURNS text
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'integ_version';
COMMENT ON FUNCTION integ_version() IS 'Version of the loaded library';
GRANT EXECUTE ON FUNCTION integ_version() TO integ_user, integ_impersonate, integ_ingress;

CREATE FUNCTION integ_status(
    OUT component text, OUT database name, OUT state text, OUT since timestamptz, OUT last_error text,
    OUT queue_depth bigint, OUT oldest_age interval, OUT hint text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 20 AS 'MODULE_PATHNAME', 'integ_status';
COMMENT ON FUNCTION integ_status() IS
    'Every part of integ: its state, since when, its last error, what waits in it and how long, and what to do';
GRANT EXECUTE ON FUNCTION integ_status() TO integ_admin;

CREATE FUNCTION integ.announce() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_announce';
COMMENT ON FUNCTION integ.announce() IS 'Asks for the workers of this database once the transaction commits';
SELECT integ.announce();

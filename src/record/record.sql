-- The request log and the audit: history, written by the recorder alone.
-- Partitions by day are made and dropped by the maintenance jobs (src/operate/partition.c).

CREATE TABLE integ.requests (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 100),
    created_at timestamptz NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    kind text NOT NULL DEFAULT 'request',
    call_id uuid,
    user_id text COLLATE "C",
    role regrole,
    instance uuid,
    instance_id text COLLATE "C",
    definition_id text COLLATE "C",
    method text COLLATE "C",
    step text COLLATE "C",
    http_method text,
    origin text,
    path_template text,
    is_write boolean,
    status integer,
    sqlstate text,
    error text,
    duration_us bigint,
    request_bytes bigint,
    response_bytes bigint,
    attempt integer,
    lost bigint,
    PRIMARY KEY (id, created_at),
    CONSTRAINT requests_kind_check CHECK (kind IN ('request', 'gap'))
) PARTITION BY RANGE (created_at);
CREATE INDEX requests_client_id_idx ON integ.requests (client_id, created_at);
CREATE TABLE integ.requests_default PARTITION OF integ.requests DEFAULT;
ALTER TABLE integ.requests_default ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE integ.requests_default IS 'Lines of days that have no partition; emptied when theirs is made';

COMMENT ON TABLE integ.requests IS 'Request log: one line an HTTP exchange, kept for integ.log_retention days';
COMMENT ON COLUMN integ.requests.id IS 'Number of the line; grows with the order of recording';
COMMENT ON COLUMN integ.requests.created_at IS 'When the exchange began; of a gap, when the first line was lost';
COMMENT ON COLUMN integ.requests.client_id IS 'Client on whose behalf it was sent; ''*'' for global';
COMMENT ON COLUMN integ.requests.kind IS 'request, or gap: lines are missing here and error says why';
COMMENT ON COLUMN integ.requests.call_id IS 'The call it belongs to; retries and steps share it';
COMMENT ON COLUMN integ.requests.user_id IS 'User within the client, or none';
COMMENT ON COLUMN integ.requests.role IS 'Database role that called';
COMMENT ON COLUMN integ.requests.instance IS 'Id of the instance';
COMMENT ON COLUMN integ.requests.instance_id IS 'Handle of the instance at that time';
COMMENT ON COLUMN integ.requests.definition_id IS 'Definition of the instance';
COMMENT ON COLUMN integ.requests.method IS 'Method of the definition';
COMMENT ON COLUMN integ.requests.step IS
    'Which request of a method that has several: the id of its step, or submit, poll, download of its job';
COMMENT ON COLUMN integ.requests.http_method IS 'GET, POST …';
COMMENT ON COLUMN integ.requests.origin IS 'scheme://host[:port] it was sent to';
COMMENT ON COLUMN integ.requests.path_template IS
    'Path as in the manifest, without values of the caller; of integ_request, the caller''s';
COMMENT ON COLUMN integ.requests.is_write IS 'Whether the method writes';
COMMENT ON COLUMN integ.requests.status IS 'HTTP status; NULL where no answer came';
COMMENT ON COLUMN integ.requests.sqlstate IS 'SQLSTATE the caller got (IG504 …); NULL for success';
COMMENT ON COLUMN integ.requests.error IS 'Message the caller got; of a gap, the reason';
COMMENT ON COLUMN integ.requests.duration_us IS 'Duration of the exchange in microseconds';
COMMENT ON COLUMN integ.requests.request_bytes IS 'Size of the request''s body';
COMMENT ON COLUMN integ.requests.response_bytes IS 'Size of the response''s body';
COMMENT ON COLUMN integ.requests.attempt IS 'Which attempt of the call this was';
COMMENT ON COLUMN integ.requests.lost IS 'Of a gap: how many lines are missing; NULL where nobody can know';

CREATE TABLE integ.audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 100),
    created_at timestamptz NOT NULL,
    retention text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    call_id uuid,
    user_id text COLLATE "C",
    role regrole,
    instance uuid,
    instance_id text COLLATE "C",
    definition_id text COLLATE "C",
    method text COLLATE "C",
    action text COLLATE "C" NOT NULL,
    outcome text NOT NULL,
    detail jsonb,
    PRIMARY KEY (id, created_at, retention),
    CONSTRAINT audit_log_outcome_check CHECK (outcome IN ('pending', 'succeeded', 'failed', 'unknown', 'denied'))
) PARTITION BY LIST (retention);
CREATE INDEX audit_log_call_id_idx ON integ.audit_log (call_id);
CREATE INDEX audit_log_client_id_idx ON integ.audit_log (client_id, created_at);

CREATE TABLE integ.audit_log_short PARTITION OF integ.audit_log FOR VALUES IN ('short') PARTITION BY RANGE (created_at);
CREATE TABLE integ.audit_log_standard PARTITION OF integ.audit_log FOR VALUES IN ('standard')
    PARTITION BY RANGE (created_at);
CREATE TABLE integ.audit_log_long PARTITION OF integ.audit_log FOR VALUES IN ('long') PARTITION BY RANGE (created_at);
CREATE TABLE integ.audit_log_short_default PARTITION OF integ.audit_log_short DEFAULT;
CREATE TABLE integ.audit_log_standard_default PARTITION OF integ.audit_log_standard DEFAULT;
CREATE TABLE integ.audit_log_long_default PARTITION OF integ.audit_log_long DEFAULT;
ALTER TABLE integ.audit_log_short ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.audit_log_standard ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.audit_log_long ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.audit_log_short_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.audit_log_standard_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.audit_log_long_default ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE integ.audit_log_short IS 'Audit that is kept for 30 days';
COMMENT ON TABLE integ.audit_log_standard IS 'Audit that is kept for a year';
COMMENT ON TABLE integ.audit_log_long IS 'Audit that is kept for seven years';
COMMENT ON TABLE integ.audit_log_short_default IS 'Lines of days that have no partition; emptied when theirs is made';
COMMENT ON TABLE integ.audit_log_standard_default IS
    'Lines of days that have no partition; emptied when theirs is made';
COMMENT ON TABLE integ.audit_log_long_default IS 'Lines of days that have no partition; emptied when theirs is made';

COMMENT ON TABLE integ.audit_log IS
    'Audit: append-only. A write is a pending line that was on disk before its request left, and a later line with '
    'its outcome';
COMMENT ON COLUMN integ.audit_log.id IS 'Number of the line; grows with the order of recording';
COMMENT ON COLUMN integ.audit_log.created_at IS 'When it happened';
COMMENT ON COLUMN integ.audit_log.retention IS
    'How long it is kept: short, standard or long, by the plan of the client (limits: audit)';
COMMENT ON COLUMN integ.audit_log.client_id IS 'Client of the caller; ''*'' for global';
COMMENT ON COLUMN integ.audit_log.call_id IS 'The call; a pending line and its outcome share it';
COMMENT ON COLUMN integ.audit_log.user_id IS 'User within the client, or none';
COMMENT ON COLUMN integ.audit_log.role IS 'Database role that acted';
COMMENT ON COLUMN integ.audit_log.instance IS 'Id of the instance, or none';
COMMENT ON COLUMN integ.audit_log.instance_id IS 'Handle of the instance at that time';
COMMENT ON COLUMN integ.audit_log.definition_id IS 'Definition concerned';
COMMENT ON COLUMN integ.audit_log.method IS 'Method concerned; of a recorder.gap, the reason';
COMMENT ON COLUMN integ.audit_log.action IS
    'What was done: call.write, credential.set, instance.connect …; recorder.gap: lines are missing here';
COMMENT ON COLUMN integ.audit_log.outcome IS
    'pending, then succeeded, failed or unknown (sent, outcome lost); denied: it was refused';
COMMENT ON COLUMN integ.audit_log.detail IS 'More about it, without secrets';

-- Nobody changes history through SQL, the owner's functions included.
REVOKE UPDATE, DELETE, TRUNCATE ON integ.requests, integ.audit_log FROM CURRENT_USER;

CREATE TABLE integ.recorder (
    is_only boolean PRIMARY KEY DEFAULT true,
    boot uuid NOT NULL,
    database oid NOT NULL,
    settled_before timestamptz NOT NULL,
    is_clean boolean NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT recorder_is_only_check CHECK (is_only)
);
COMMENT ON TABLE integ.recorder IS
    'Where the recorder stands: one row, by which it knows after a crash what to look at. Not dumped: it speaks of '
    'this database alone';
COMMENT ON COLUMN integ.recorder.is_only IS 'Always true: there is one row';
COMMENT ON COLUMN integ.recorder.boot IS 'Shared memory the recorder last worked on; a crash makes another';
COMMENT ON COLUMN integ.recorder.database IS 'Database it worked in; a copy is another';
COMMENT ON COLUMN integ.recorder.settled_before IS 'Every write recorded before this has its outcome';
COMMENT ON COLUMN integ.recorder.is_clean IS 'The recorder stopped with nothing left to write';
COMMENT ON COLUMN integ.recorder.updated_at IS 'When the row was written';

-- Written in place by journal.c: a row a page, and so many there are (core/shmem.h). A row is no larger, and has its
-- page for itself, because a generic WAL record compares all that a page holds.
CREATE TABLE integ.intent_journal (
    page integer NOT NULL,
    entries bytea NOT NULL,
    CONSTRAINT intent_journal_pkey PRIMARY KEY (page)
) WITH (fillfactor = 10);
ALTER TABLE integ.intent_journal ALTER COLUMN entries SET STORAGE PLAIN;
INSERT INTO integ.intent_journal (page, entries)
SELECT n, pg_catalog.decode(pg_catalog.repeat('00', pg_catalog.current_setting('block_size')::integer / 4), 'hex')
FROM pg_catalog.generate_series(0, 255) AS n;
COMMENT ON TABLE integ.intent_journal IS
    'Intents of writes, on disk before their requests leave, on their way to integ.audit_log: written in place, '
    'outside transactions. Not dumped: what it holds is in the audit too once the server has stopped';
COMMENT ON COLUMN integ.intent_journal.page IS 'Which page it is';
COMMENT ON COLUMN integ.intent_journal.entries IS 'Lines of the audit as they travel';
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON integ.intent_journal FROM CURRENT_USER;

-- Whether a client may read its audit: its plan may say {"audit": false}.
CREATE POLICY requests_read ON integ.requests FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin' OR user_id = (SELECT integ_current_user_id())));
CREATE POLICY audit_log_read ON integ.audit_log FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin' OR user_id = (SELECT integ_current_user_id()))
       AND NOT EXISTS (SELECT FROM integ.clients c JOIN integ.plans p ON p.id = c.plan
                       WHERE c.id = integ_current_client() AND p.limits -> 'audit' = 'false'));
CREATE POLICY recorder_read ON integ.recorder FOR SELECT USING ((SELECT integ_current_level()) = 'superadmin');
ALTER TABLE integ.requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.recorder ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.intent_journal ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON integ.requests, integ.audit_log TO integ_user;
GRANT SELECT ON integ.recorder TO integ_superadmin;

-- Lines of a write are found by its call. "+ 0" keeps the planner from walking the primary key backwards for
-- the last of them: that would be all that came later, for each write again. An outcome comes after its write, also
-- where the clock was set back meanwhile by less than a week: partitions of the days before need no look.
CREATE VIEW integ.writes WITH (security_invoker = true) AS
SELECT p.call_id, p.created_at, p.client_id, p.user_id, p.role, p.instance, p.instance_id, p.definition_id,
       p.method, p.action, COALESCE(o.outcome, 'pending') AS outcome, o.created_at AS settled_at,
       p.detail AS intent, o.detail
FROM integ.audit_log p
LEFT JOIN LATERAL (
    SELECT l.outcome, l.created_at, l.detail
    FROM integ.audit_log l
    WHERE l.call_id = p.call_id AND l.action = p.action AND l.outcome <> 'pending' AND l.id > p.id
      AND l.created_at > p.created_at - interval '7 days'
    ORDER BY l.id + 0 DESC LIMIT 1) AS o ON true
WHERE p.outcome = 'pending'
  AND NOT EXISTS (SELECT FROM integ.audit_log later
                  WHERE later.call_id = p.call_id AND later.action = p.action AND later.outcome = 'pending'
                    AND later.id > p.id AND later.created_at > p.created_at - interval '7 days');
COMMENT ON VIEW integ.writes IS 'Every write with what became of it';
COMMENT ON COLUMN integ.writes.call_id IS 'The call';
COMMENT ON COLUMN integ.writes.created_at IS 'When the write was recorded, before it left';
COMMENT ON COLUMN integ.writes.client_id IS 'Client of the caller; ''*'' for global';
COMMENT ON COLUMN integ.writes.user_id IS 'User within the client, or none';
COMMENT ON COLUMN integ.writes.role IS 'Database role that called';
COMMENT ON COLUMN integ.writes.instance IS 'Id of the instance';
COMMENT ON COLUMN integ.writes.instance_id IS 'Handle of the instance at that time';
COMMENT ON COLUMN integ.writes.definition_id IS 'Definition of the instance';
COMMENT ON COLUMN integ.writes.method IS 'Method of the definition';
COMMENT ON COLUMN integ.writes.action IS 'call.write and the like';
COMMENT ON COLUMN integ.writes.outcome IS
    'pending while it is under way; succeeded, failed, or unknown: sent, outcome lost';
COMMENT ON COLUMN integ.writes.settled_at IS 'When the outcome was known';
COMMENT ON COLUMN integ.writes.intent IS 'Detail of the pending line';
COMMENT ON COLUMN integ.writes.detail IS 'Detail of the outcome';
GRANT SELECT ON integ.writes TO integ_user;

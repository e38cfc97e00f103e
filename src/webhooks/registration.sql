-- Webhooks that integ registers at the service, renews and removes; and triggers that are polled.

CREATE TABLE integ.webhook_registrations (
    webhook uuid PRIMARY KEY REFERENCES integ.webhooks (id) ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL,
    definition text COLLATE "C" NOT NULL,
    instance uuid NOT NULL REFERENCES integ.instances (id) ON DELETE CASCADE,
    trigger text COLLATE "C",
    task uuid,
    url text NOT NULL,
    events text[] NOT NULL DEFAULT '{}',
    input jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL,
    step text,
    step_attempt integer,
    call uuid,
    registration uuid,
    owner regrole NOT NULL,
    user_id text COLLATE "C",
    external_id text COLLATE "C",
    kept jsonb NOT NULL DEFAULT '{}',
    former jsonb,
    reregister boolean NOT NULL DEFAULT false,
    registered_at timestamptz,
    expires_at timestamptz,
    renew_at timestamptz,
    check_at timestamptz,
    checked_at timestamptz,
    rotated_at timestamptz,
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    hint text,
    CONSTRAINT webhook_registrations_status_check CHECK (status IN
        ('manual', 'registering', 'active', 'failing', 'lost', 'failed', 'unknown', 'unregistering', 'unregistered')),
    CONSTRAINT webhook_registrations_step_check CHECK (step IN
        ('register', 'look', 'remove', 'renew', 'check', 'rotate', 'replace', 'unregister')),
    CONSTRAINT webhook_registrations_input_check CHECK (pg_catalog.jsonb_typeof(input) = 'object')
);
CREATE INDEX webhook_registrations_instance_idx ON integ.webhook_registrations (instance, trigger);
CREATE UNIQUE INDEX webhook_registrations_task_key ON integ.webhook_registrations (task) WHERE task IS NOT NULL;
CREATE INDEX webhook_registrations_due_idx ON integ.webhook_registrations ((least(renew_at, check_at))) WHERE call IS
    NULL;
CREATE INDEX webhook_registrations_rotated_idx ON integ.webhook_registrations (rotated_at) WHERE rotated_at IS NOT NULL;
COMMENT ON TABLE integ.webhook_registrations IS
    'What is known of webhooks that integ_webhook_register made: what the service was told, how it goes on, what went '
        'wrong';
COMMENT ON COLUMN integ.webhook_registrations.webhook IS 'The webhook';
COMMENT ON COLUMN integ.webhook_registrations.client_id IS 'The client it belongs to';
COMMENT ON COLUMN integ.webhook_registrations.definition IS 'The service';
COMMENT ON COLUMN integ.webhook_registrations.instance IS 'The connection by which the service is told';
COMMENT ON COLUMN integ.webhook_registrations.trigger IS 'The trigger it is for; NULL: every one that comes by webhook';
COMMENT ON COLUMN integ.webhook_registrations.task IS 'The realtime sync task that it was made for, or none';
COMMENT ON COLUMN integ.webhook_registrations.url IS 'The address that the service sends to';
COMMENT ON COLUMN integ.webhook_registrations.events IS 'Names of the events that the service was asked for';
COMMENT ON COLUMN integ.webhook_registrations.input IS 'Further input of the manifest''s methods';
COMMENT ON COLUMN integ.webhook_registrations.status IS
    'manual (the service has no method for it: enter the address there), registering, active, failing (it could not '
        'be renewed), lost (the service has it no more), failed, unknown (the answer was lost), unregistering, '
        'unregistered';
COMMENT ON COLUMN integ.webhook_registrations.step IS
    'What is done next or was done last: register, look (whether an earlier attempt registered it), remove (one that '
        'is too many), renew, check, rotate, replace, unregister';
COMMENT ON COLUMN integ.webhook_registrations.step_attempt IS 'The attempt of the call that need not look first';
COMMENT ON COLUMN integ.webhook_registrations.call IS 'The call that does it (integ.calls); NULL: none is under way';
COMMENT ON COLUMN integ.webhook_registrations.registration IS
    'A new id for each registration, for services that want one';
COMMENT ON COLUMN integ.webhook_registrations.owner IS 'The role with whose rights the service is called';
COMMENT ON COLUMN integ.webhook_registrations.user_id IS 'The user of the client that it acts for, or none';
COMMENT ON COLUMN integ.webhook_registrations.external_id IS 'Id of the registration at the service';
COMMENT ON COLUMN integ.webhook_registrations.kept IS 'What else of its answer the later methods need (the '
    'manifest''s webhook.keep)';
COMMENT ON COLUMN integ.webhook_registrations.former IS 'A registration that is to be removed, now that another has '
    'taken its place';
COMMENT ON COLUMN integ.webhook_registrations.reregister IS 'Whether one that the service has lost is registered '
    'again by itself';
COMMENT ON COLUMN integ.webhook_registrations.registered_at IS 'When it was registered';
COMMENT ON COLUMN integ.webhook_registrations.expires_at IS 'When it ends at the service; NULL: never';
COMMENT ON COLUMN integ.webhook_registrations.renew_at IS 'When it is renewed';
COMMENT ON COLUMN integ.webhook_registrations.check_at IS 'When it is looked next whether the service still has it';
COMMENT ON COLUMN integ.webhook_registrations.checked_at IS 'When the service was last seen to have it';
COMMENT ON COLUMN integ.webhook_registrations.rotated_at IS 'When the service got a new secret; a day later the one '
    'before is forgotten';
COMMENT ON COLUMN integ.webhook_registrations.failures IS 'Failures in a row';
COMMENT ON COLUMN integ.webhook_registrations.last_error IS 'What went wrong last';
COMMENT ON COLUMN integ.webhook_registrations.hint IS 'What can be done about it';

CREATE TABLE integ.polls (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    client_id text COLLATE "C" NOT NULL,
    definition text COLLATE "C" NOT NULL REFERENCES integ.definitions (id),
    instance uuid NOT NULL REFERENCES integ.instances (id) ON DELETE CASCADE,
    trigger text COLLATE "C" NOT NULL,
    task uuid,
    schedule jsonb,
    input jsonb NOT NULL DEFAULT '{}',
    start text NOT NULL DEFAULT 'now',
    filter jsonpath,
    handler text,
    owner regrole NOT NULL,
    user_id text COLLATE "C",
    is_active boolean NOT NULL DEFAULT true,
    call uuid,
    primed boolean NOT NULL DEFAULT false,
    high_water_mark text,
    delta_token text,
    last_polled_at timestamptz,
    last_event_at timestamptz,
    next_poll_at timestamptz,
    polls bigint NOT NULL DEFAULT 0,
    records bigint NOT NULL DEFAULT 0,
    events bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    hint text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT polls_start_check CHECK (start IN ('now', 'beginning')),
    CONSTRAINT polls_input_check CHECK (pg_catalog.jsonb_typeof(input) = 'object'),
    CONSTRAINT polls_metadata_check CHECK (pg_catalog.jsonb_typeof(metadata) = 'object'),
    CONSTRAINT polls_trigger_key UNIQUE (instance, trigger)
) WITH (fillfactor = 70);
CREATE INDEX polls_definition_idx ON integ.polls (definition);
CREATE INDEX polls_stopped_idx ON integ.polls (id) WHERE is_active AND call IS NULL;
COMMENT ON TABLE integ.polls IS
    'Polling triggers that are switched on: the service is asked again and again, and what is new becomes events. '
        'Made by integ_webhook_register; is_active, schedule, input, filter, handler and owner may be updated';
COMMENT ON COLUMN integ.polls.id IS 'The poll';
COMMENT ON COLUMN integ.polls.client_id IS 'The client it belongs to';
COMMENT ON COLUMN integ.polls.definition IS 'The service';
COMMENT ON COLUMN integ.polls.instance IS 'The connection that is asked';
COMMENT ON COLUMN integ.polls.trigger IS 'The trigger (integ.triggers)';
COMMENT ON COLUMN integ.polls.task IS 'The realtime sync task that it was made for, with which it goes; NULL: '
    'somebody asked for it';
COMMENT ON COLUMN integ.polls.schedule IS 'When it is asked, as schedules are written; NULL: each intervalSeconds of '
    'the definition';
COMMENT ON COLUMN integ.polls.input IS 'Further input of the method that is asked';
COMMENT ON COLUMN integ.polls.start IS 'now: what is there at first is no news; beginning: it is';
COMMENT ON COLUMN integ.polls.filter IS 'jsonpath that must find something in the record, or be true; NULL: all are '
    'taken';
COMMENT ON COLUMN integ.polls.handler IS 'SQL function called with each event, as the owner';
COMMENT ON COLUMN integ.polls.owner IS 'The role with whose rights the service is asked and handlers run';
COMMENT ON COLUMN integ.polls.user_id IS 'The user of the client that it acts for, or none';
COMMENT ON COLUMN integ.polls.is_active IS 'False: nothing is asked';
COMMENT ON COLUMN integ.polls.call IS 'The call that comes again for each poll (integ.calls_open)';
COMMENT ON COLUMN integ.polls.primed IS 'Whether what was there at first is known';
COMMENT ON COLUMN integ.polls.high_water_mark IS 'The newest time of a change that was seen, as the service writes it';
COMMENT ON COLUMN integ.polls.delta_token IS 'Token from which the service tells what has changed';
COMMENT ON COLUMN integ.polls.last_polled_at IS 'When it was last asked successfully';
COMMENT ON COLUMN integ.polls.last_event_at IS 'When that last brought an event';
COMMENT ON COLUMN integ.polls.next_poll_at IS 'When it is asked next';
COMMENT ON COLUMN integ.polls.polls IS 'How often it was asked successfully';
COMMENT ON COLUMN integ.polls.records IS 'How many records it has brought, repeats included';
COMMENT ON COLUMN integ.polls.events IS 'How many of them became events';
COMMENT ON COLUMN integ.polls.failures IS 'Failures in a row: each doubles the time until the next poll, up to an hour';
COMMENT ON COLUMN integ.polls.last_error IS 'What went wrong last; NULL after a success';
COMMENT ON COLUMN integ.polls.hint IS 'What can be done about it';
COMMENT ON COLUMN integ.polls.metadata IS 'Anything the application wants to keep with it';
COMMENT ON COLUMN integ.polls.created_by IS 'The role that made it';
COMMENT ON COLUMN integ.polls.created_at IS 'When it was made';
COMMENT ON COLUMN integ.polls.updated_at IS 'When a person last changed it';

ALTER TABLE integ.webhook_registrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.polls ENABLE ROW LEVEL SECURITY;
CREATE POLICY webhook_registrations_read ON integ.webhook_registrations FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin'
            OR EXISTS (SELECT FROM integ.instances i
                       WHERE i.id = webhook_registrations.instance AND i.context_type = 'user'
                         AND i.context_id = (SELECT integ_current_user_id()))));
CREATE POLICY webhook_registrations_write ON integ.webhook_registrations FOR UPDATE USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');
CREATE POLICY polls_read ON integ.polls FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin'
            OR EXISTS (SELECT FROM integ.instances i
                       WHERE i.id = polls.instance AND i.context_type = 'user'
                         AND i.context_id = (SELECT integ_current_user_id()))));
CREATE POLICY polls_write ON integ.polls USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');
GRANT SELECT, UPDATE (reregister, check_at, renew_at) ON integ.webhook_registrations TO integ_user;
GRANT SELECT, DELETE, UPDATE (is_active, schedule, input, filter, handler, owner, metadata) ON integ.polls TO
    integ_user;

-- --- what follows from a change ---

CREATE TRIGGER polls_plan AFTER INSERT ON integ.polls
    FOR EACH ROW EXECUTE FUNCTION integ.tg_plan_count('webhooks');
CREATE TRIGGER polls_check BEFORE UPDATE OF handler, owner, metadata ON integ.polls
    FOR EACH ROW EXECUTE FUNCTION integ.tg_webhook_check();

CREATE FUNCTION integ.tg_poll_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_poll_changed';
COMMENT ON FUNCTION integ.tg_poll_changed() IS 'Begins and ends the call that polls, as a person switches it';
-- Behind polls_check, by name.
CREATE TRIGGER polls_steer BEFORE UPDATE OF is_active, schedule ON integ.polls
    FOR EACH ROW EXECUTE FUNCTION integ.tg_poll_changed();
CREATE TRIGGER polls_deleted AFTER DELETE ON integ.polls
    FOR EACH ROW WHEN (OLD.call IS NOT NULL) EXECUTE FUNCTION integ.tg_poll_changed();

CREATE FUNCTION integ.tg_webhook_abandoned() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_webhook_abandoned';
COMMENT ON FUNCTION integ.tg_webhook_abandoned() IS 'Removes at the service what was deleted here';
CREATE TRIGGER webhook_registrations_deleted AFTER DELETE ON integ.webhook_registrations
    FOR EACH ROW WHEN (OLD.external_id IS NOT NULL AND OLD.status NOT IN ('unregistered', 'lost'))
    EXECUTE FUNCTION integ.tg_webhook_abandoned();

CREATE FUNCTION integ.tg_errand_ended() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE integ.webhook_registrations
    SET call = NULL, last_error = 'the call ended before its answer was read',
        status = CASE WHEN status = 'registering' AND OLD.sent_at IS NOT NULL THEN 'unknown'
                      WHEN status IN ('registering', 'unregistering') THEN 'failed' ELSE status END,
        hint = CASE WHEN status IN ('registering', 'unregistering')
                    THEN 'Look at the service whether it has the webhook; integ_webhook_register and '
                        'integ_webhook_unregister try again.' END
    WHERE webhook = OLD.subject AND call = OLD.id;
    UPDATE integ.polls SET call = NULL WHERE id = OLD.subject AND call = OLD.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION integ.tg_errand_ended() IS 'Notes that a call of integ''s own has ended without its outcome: '
    'cancelled, deleted, or lost in a crash';
CREATE TRIGGER calls_open_errand_ended AFTER DELETE ON integ.calls_open
    FOR EACH ROW WHEN (OLD.purpose IS NOT NULL) EXECUTE FUNCTION integ.tg_errand_ended();
ALTER TABLE integ.calls_open ENABLE ALWAYS TRIGGER calls_open_errand_ended;

CREATE FUNCTION integ.tg_realtime_task() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_realtime_task';
COMMENT ON FUNCTION integ.tg_realtime_task() IS
    'Has the webhook of a realtime task made or removed, and the listeners learn of it, once the change is committed';
CREATE TRIGGER sync_tasks_realtime_made AFTER INSERT ON integ.sync_tasks
    FOR EACH ROW WHEN (NEW.schedule @> '"realtime"' OR NEW.schedule @> '{"type": "realtime"}')
    EXECUTE FUNCTION integ.tg_realtime_task();
CREATE TRIGGER sync_tasks_realtime_changed AFTER UPDATE ON integ.sync_tasks
    FOR EACH ROW WHEN ((NEW.schedule @> '"realtime"' OR NEW.schedule @> '{"type": "realtime"}'
                        OR OLD.schedule @> '"realtime"' OR OLD.schedule @> '{"type": "realtime"}')
        AND (NEW.schedule, NEW.status, NEW.instance, NEW.entity, NEW.schema)
            IS DISTINCT FROM (OLD.schedule, OLD.status, OLD.instance, OLD.entity, OLD.schema))
    EXECUTE FUNCTION integ.tg_realtime_task();
CREATE TRIGGER sync_tasks_realtime_gone AFTER DELETE ON integ.sync_tasks
    FOR EACH ROW WHEN (OLD.schedule @> '"realtime"' OR OLD.schedule @> '{"type": "realtime"}')
    EXECUTE FUNCTION integ.tg_realtime_task();

-- --- functions ---

CREATE FUNCTION integ_webhook_register(instance text, trigger text DEFAULT NULL, options jsonb DEFAULT '{}',
    OUT webhook uuid, OUT url text, OUT status text, OUT call uuid)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'integ_webhook_register';
COMMENT ON FUNCTION integ_webhook_register(text, text, jsonb) IS
    'Has a service tell of a trigger (NULL: of every one that comes by webhook): registers a webhook there, or begins '
        'to poll, once this transaction has committed; integ_await(call) waits for it. options: webhook_id, name, '
        'input, events, filter, handler, trigger_handlers, reregister; of a polling trigger: schedule, input, start, '
        'filter, handler';

CREATE FUNCTION integ_webhook_unregister(webhook text) RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT COST 1000 AS 'MODULE_PATHNAME', 'integ_webhook_unregister';
COMMENT ON FUNCTION integ_webhook_unregister(text) IS
    'Takes no more events of a webhook (its key or handle) or a poll (its key), and removes it, at the service too, '
        'once this transaction has committed; the call that does it, or NULL where none is needed';

CREATE FUNCTION integ_webhook_rotate(webhook text) RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT COST 1000 AS 'MODULE_PATHNAME', 'integ_webhook_rotate';
COMMENT ON FUNCTION integ_webhook_rotate(text) IS
    'Gives a registered webhook a new secret, here and at the service; for a day the one before is valid too. Returns '
        'the call that tells the service';
GRANT EXECUTE ON FUNCTION integ_webhook_register(text, text, jsonb), integ_webhook_unregister(text),
    integ_webhook_rotate(text)
    TO integ_user;

-- --- what people read ---

CREATE VIEW integ.webhook_status WITH (security_invoker = true) AS
SELECT w.id AS webhook, w.webhook_id, w.client_id, w.definition, i.instance_id, r.trigger AS trigger_id,
       coalesce(r.events, w.events) AS events, w.filter AS filter_query, r.url AS webhook_url, r.external_id,
       w.is_active, coalesce(r.status, 'manual') AS status, r.registered_at, r.expires_at, r.renew_at, r.checked_at,
       l.last_fired_at, e.delivery_count, e.failure_count,
       coalesce(r.last_error, e.last_error) AS last_error, r.hint, r.task, w.created_at
FROM integ.webhooks w
LEFT JOIN integ.webhook_registrations r ON r.webhook = w.id
LEFT JOIN integ.instances i ON i.id = w.instance
LEFT JOIN LATERAL (SELECT v.created_at AS last_fired_at FROM integ.webhook_events v WHERE v.webhook = w.id
                   ORDER BY v.created_at DESC LIMIT 1) l ON true
LEFT JOIN LATERAL (SELECT pg_catalog.count(*) AS delivery_count,
                          pg_catalog.count(*) FILTER (WHERE v.state IN ('failed', 'dead')) AS failure_count,
                          (pg_catalog.array_agg(v.last_error ORDER BY v.created_at DESC)
                               FILTER (WHERE v.state IN ('failed', 'dead')))[1] AS last_error
                   FROM integ.webhook_events v
                   WHERE v.webhook = w.id AND v.created_at > pg_catalog.now() - interval '1 day') e ON true;
COMMENT ON VIEW integ.webhook_status IS 'Webhooks with how they are registered and what came by them';
COMMENT ON COLUMN integ.webhook_status.webhook IS 'Key of the webhook';
COMMENT ON COLUMN integ.webhook_status.webhook_id IS 'Its handle';
COMMENT ON COLUMN integ.webhook_status.client_id IS 'The client it belongs to';
COMMENT ON COLUMN integ.webhook_status.definition IS 'The service';
COMMENT ON COLUMN integ.webhook_status.instance_id IS 'Handle of its connection';
COMMENT ON COLUMN integ.webhook_status.trigger_id IS 'The trigger it is for; NULL: all';
COMMENT ON COLUMN integ.webhook_status.events IS 'Names of the events that the service was asked for';
COMMENT ON COLUMN integ.webhook_status.filter_query IS 'jsonpath that must find something in the payload';
COMMENT ON COLUMN integ.webhook_status.webhook_url IS 'The address that the service sends to';
COMMENT ON COLUMN integ.webhook_status.external_id IS 'Id of the registration at the service';
COMMENT ON COLUMN integ.webhook_status.is_active IS 'Whether events are taken';
COMMENT ON COLUMN integ.webhook_status.status IS 'As in integ.webhook_registrations; manual: nobody registered it by '
    'integ';
COMMENT ON COLUMN integ.webhook_status.registered_at IS 'When it was registered';
COMMENT ON COLUMN integ.webhook_status.expires_at IS 'When it ends at the service';
COMMENT ON COLUMN integ.webhook_status.renew_at IS 'When it is renewed';
COMMENT ON COLUMN integ.webhook_status.checked_at IS 'When the service was last seen to have it';
COMMENT ON COLUMN integ.webhook_status.last_fired_at IS 'When its last event came';
COMMENT ON COLUMN integ.webhook_status.delivery_count IS 'How many events came in the last 24 hours';
COMMENT ON COLUMN integ.webhook_status.failure_count IS 'How many of those have failed or are dead';
COMMENT ON COLUMN integ.webhook_status.last_error IS 'What went wrong last';
COMMENT ON COLUMN integ.webhook_status.hint IS 'What can be done about it';
COMMENT ON COLUMN integ.webhook_status.task IS 'The realtime sync task it was made for, or none';
COMMENT ON COLUMN integ.webhook_status.created_at IS 'When it was made';
GRANT SELECT ON integ.webhook_status TO integ_user;

SELECT pg_catalog.pg_extension_config_dump('integ.webhook_registrations', '');
SELECT pg_catalog.pg_extension_config_dump('integ.polls', '');

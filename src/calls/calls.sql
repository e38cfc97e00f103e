-- Durable calls: rows that the dispatcher carries out after their transaction has committed.

-- A claim updates no indexed column and finds room on the page: it stays heap-only.
CREATE TABLE integ.calls_open (
    id uuid NOT NULL,
    instance uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    run_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    started_at timestamptz,
    sent_at timestamptz,
    expires_at timestamptz,
    lease bigint,
    owner regrole NOT NULL,
    timeout_ms integer,
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 5,
    interrupted integer NOT NULL DEFAULT 0,
    priority smallint NOT NULL DEFAULT 0,
    is_write boolean NOT NULL,
    cancel_requested boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'queued',
    client_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    instance_id text COLLATE "C" NOT NULL,
    definition_id text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    ordering_key text COLLATE "C",
    idempotency_key text COLLATE "C",
    on_success text,
    on_failure text,
    approval uuid,
    last_sqlstate text,
    last_error text,
    input jsonb NOT NULL DEFAULT '{}',
    progress jsonb,
    depth smallint NOT NULL DEFAULT 0,
    purpose text COLLATE "C",
    subject uuid,
    repeatable boolean NOT NULL DEFAULT false,
    share integer,
    PRIMARY KEY (id, instance),
    CONSTRAINT calls_open_state_check CHECK (state IN ('queued', 'waiting', 'approval', 'running')),
    CONSTRAINT calls_open_lease_check CHECK ((state = 'running') = (lease IS NOT NULL)),
    CONSTRAINT calls_open_share_check CHECK (share >= 0),
    CONSTRAINT calls_open_priority_check CHECK (priority BETWEEN -10 AND 10),
    CONSTRAINT calls_open_attempts_check CHECK (attempt >= 0 AND max_attempts BETWEEN 1 AND 1000000),
    CONSTRAINT calls_open_timeout_check CHECK (timeout_ms BETWEEN 1 AND 3600000),
    CONSTRAINT calls_open_times_check CHECK (pg_catalog.isfinite(run_at) AND pg_catalog.isfinite(next_attempt_at)),
    CONSTRAINT calls_open_ordering_key_check CHECK (ordering_key <> '' AND pg_catalog.octet_length(ordering_key) <=
        512),
    CONSTRAINT calls_open_idempotency_key_check
        CHECK (idempotency_key <> '' AND pg_catalog.octet_length(idempotency_key) <= 512),
    CONSTRAINT calls_open_input_check CHECK (pg_catalog.jsonb_typeof(input) = 'object')
) WITH (fillfactor = 50);
CREATE INDEX calls_open_due_idx ON integ.calls_open (priority, next_attempt_at, id);
CREATE INDEX calls_open_instance_idx ON integ.calls_open (instance, priority, next_attempt_at, id);
CREATE INDEX calls_open_ordering_idx ON integ.calls_open (instance, client_id, ordering_key, id)
    WHERE ordering_key IS NOT NULL;
-- Where one key had most rows, a plan made then would look for the first of any key among all earlier calls.
ALTER TABLE integ.calls_open ALTER COLUMN ordering_key SET (n_distinct = -1);
COMMENT ON TABLE integ.calls_open IS
    'Durable calls that have not ended. Made by integ_enqueue; run_at, next_attempt_at, expires_at, priority, '
        'max_attempts and timeout_ms may be updated here';
COMMENT ON COLUMN integ.calls_open.id IS 'The call; sorts by time';
COMMENT ON COLUMN integ.calls_open.instance IS 'Key of the instance that is called';
COMMENT ON COLUMN integ.calls_open.created_at IS 'When it was enqueued';
COMMENT ON COLUMN integ.calls_open.run_at IS 'When it is to run first; an update moves next_attempt_at too';
COMMENT ON COLUMN integ.calls_open.next_attempt_at IS 'When it is due next';
COMMENT ON COLUMN integ.calls_open.started_at IS 'When the last attempt began';
COMMENT ON COLUMN integ.calls_open.sent_at IS 'Of a write: on disk before the request of the last attempt left; NULL: '
    'nothing has left';
COMMENT ON COLUMN integ.calls_open.expires_at IS 'After this it is not begun any more';
COMMENT ON COLUMN integ.calls_open.lease IS 'The dispatcher that runs it: one number a process, which holds a lock '
    'while it lives';
COMMENT ON COLUMN integ.calls_open.owner IS 'The role that enqueued it, with whose rights it runs';
COMMENT ON COLUMN integ.calls_open.timeout_ms IS 'Longest time of one exchange, from when it is sent; NULL: '
    'integ.request_timeout';
COMMENT ON COLUMN integ.calls_open.attempt IS 'How often it was begun';
COMMENT ON COLUMN integ.calls_open.max_attempts IS 'How often it is tried before it is dead';
COMMENT ON COLUMN integ.calls_open.interrupted IS 'How many of the attempts a dispatcher did not finish; they do not '
    'count against max_attempts';
COMMENT ON COLUMN integ.calls_open.priority IS '-10 to 10; what is due runs in the order of priority, highest first';
COMMENT ON COLUMN integ.calls_open.is_write IS 'Whether the method wrote when it was enqueued';
COMMENT ON COLUMN integ.calls_open.cancel_requested IS 'Cancelled while it ran: it is not tried again';
COMMENT ON COLUMN integ.calls_open.state IS 'queued, waiting (for its next attempt), approval, running';
COMMENT ON COLUMN integ.calls_open.client_id IS 'Client on whose behalf it runs; ''*'' for global';
COMMENT ON COLUMN integ.calls_open.user_id IS 'User within the client, or none';
COMMENT ON COLUMN integ.calls_open.instance_id IS 'Handle of the instance when it was enqueued';
COMMENT ON COLUMN integ.calls_open.definition_id IS 'Definition of the instance when it was enqueued';
COMMENT ON COLUMN integ.calls_open.method IS 'Method of the definition';
COMMENT ON COLUMN integ.calls_open.ordering_key IS 'Calls of a client with the same key for an instance run in '
    'the order of id, one at a time';
COMMENT ON COLUMN integ.calls_open.idempotency_key IS 'Enqueued again with it, the call is the same one '
    '(integ.call_keys)';
COMMENT ON COLUMN integ.calls_open.on_success IS 'Function that is called when it has succeeded, or none '
    '(integ.handler_runs)';
COMMENT ON COLUMN integ.calls_open.on_failure IS 'Function that is called when it has ended in another way, or none';
COMMENT ON COLUMN integ.calls_open.approval IS 'The approval by which it runs (integ.approvals), or none';
COMMENT ON COLUMN integ.calls_open.last_sqlstate IS 'SQLSTATE of the last attempt''s failure';
COMMENT ON COLUMN integ.calls_open.last_error IS 'Message of the last attempt''s failure, without secrets';
COMMENT ON COLUMN integ.calls_open.depth IS 'The depth of the handler run that enqueued it; 0: none did';
COMMENT ON COLUMN integ.calls_open.input IS 'Input as the caller gave it; defaults are filled in when it runs';
COMMENT ON COLUMN integ.calls_open.progress IS
    'Of a method of several requests: what was done and is not to be done again (the id of a job, writes of earlier '
        'steps), so that the call goes on behind it; NULL: it begins anew';
COMMENT ON COLUMN integ.calls_open.purpose IS 'What integ itself makes the call for: webhook (its registration), '
    'poll; NULL: somebody enqueued it';
COMMENT ON COLUMN integ.calls_open.subject IS 'Of such a call: the key of the webhook or the poll';
COMMENT ON COLUMN integ.calls_open.repeatable IS 'Whether an attempt whose answer was lost may be made again, since '
    'it looks at the service first';
COMMENT ON COLUMN integ.calls_open.share IS 'Which dispatcher carries it out: this number modulo integ.dispatchers; '
    'NULL: the one that all calls of the instance go to which have an order or a limit to keep';

CREATE TABLE integ.calls_done (
    id uuid NOT NULL,
    instance uuid NOT NULL,
    created_at timestamptz NOT NULL,
    run_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz NOT NULL,
    expires_at timestamptz,
    owner regrole NOT NULL,
    timeout_ms integer,
    attempt integer NOT NULL,
    max_attempts integer NOT NULL,
    interrupted integer NOT NULL,
    priority smallint NOT NULL,
    is_write boolean NOT NULL,
    state text NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    instance_id text COLLATE "C" NOT NULL,
    definition_id text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    ordering_key text COLLATE "C",
    idempotency_key text COLLATE "C",
    on_success text,
    on_failure text,
    last_sqlstate text,
    last_error text,
    error_detail text,
    error_hint text,
    input jsonb NOT NULL,
    result jsonb,
    depth smallint NOT NULL DEFAULT 0,
    purpose text COLLATE "C",
    PRIMARY KEY (id, created_at),
    CONSTRAINT calls_done_state_check CHECK (state IN ('succeeded', 'failed', 'dead', 'cancelled', 'unknown'))
) PARTITION BY RANGE (created_at);
CREATE INDEX calls_done_client_idx ON integ.calls_done (client_id, finished_at);
CREATE TABLE integ.calls_done_default PARTITION OF integ.calls_done DEFAULT;
COMMENT ON TABLE integ.calls_done_default IS 'Calls of days that have no partition';
COMMENT ON TABLE integ.calls_done IS 'Durable calls that have ended: history by the day they were enqueued, kept for '
    'integ.log_retention days';
COMMENT ON COLUMN integ.calls_done.id IS 'The call';
COMMENT ON COLUMN integ.calls_done.instance IS 'Key of the instance that was called';
COMMENT ON COLUMN integ.calls_done.created_at IS 'When it was enqueued';
COMMENT ON COLUMN integ.calls_done.run_at IS 'When it was to run first';
COMMENT ON COLUMN integ.calls_done.started_at IS 'When the last attempt began; NULL: never';
COMMENT ON COLUMN integ.calls_done.finished_at IS 'When it ended';
COMMENT ON COLUMN integ.calls_done.expires_at IS 'After this it was not to be begun any more';
COMMENT ON COLUMN integ.calls_done.owner IS 'The role that enqueued it';
COMMENT ON COLUMN integ.calls_done.timeout_ms IS 'Longest time of one exchange; NULL: integ.request_timeout';
COMMENT ON COLUMN integ.calls_done.attempt IS 'How often it was begun';
COMMENT ON COLUMN integ.calls_done.max_attempts IS 'How often it was to be tried';
COMMENT ON COLUMN integ.calls_done.interrupted IS 'How many of the attempts a dispatcher did not finish';
COMMENT ON COLUMN integ.calls_done.priority IS 'Its priority';
COMMENT ON COLUMN integ.calls_done.is_write IS 'Whether the method writes';
COMMENT ON COLUMN integ.calls_done.state IS
    'succeeded; failed (the answer is no); dead (attempts or time used up); cancelled; unknown (it was sent, the '
        'answer is lost)';
COMMENT ON COLUMN integ.calls_done.client_id IS 'Client on whose behalf it ran; ''*'' for global';
COMMENT ON COLUMN integ.calls_done.user_id IS 'User within the client, or none';
COMMENT ON COLUMN integ.calls_done.instance_id IS 'Handle of the instance';
COMMENT ON COLUMN integ.calls_done.definition_id IS 'Definition of the instance';
COMMENT ON COLUMN integ.calls_done.method IS 'Method of the definition';
COMMENT ON COLUMN integ.calls_done.ordering_key IS 'Its ordering key';
COMMENT ON COLUMN integ.calls_done.idempotency_key IS 'Its idempotency key';
COMMENT ON COLUMN integ.calls_done.on_success IS 'Function that was to be called when it succeeded, or none';
COMMENT ON COLUMN integ.calls_done.on_failure IS 'Function that was to be called when it ended in another way, or none';
COMMENT ON COLUMN integ.calls_done.last_sqlstate IS
    'SQLSTATE of the last failure (IG504 …); NULL where there was none';
COMMENT ON COLUMN integ.calls_done.last_error IS 'Message of the last failure, without secrets';
COMMENT ON COLUMN integ.calls_done.error_detail IS 'Detail of the last failure';
COMMENT ON COLUMN integ.calls_done.error_hint IS 'What can be done about it';
COMMENT ON COLUMN integ.calls_done.depth IS 'The depth of the handler run that enqueued it; 0: none did';
COMMENT ON COLUMN integ.calls_done.input IS 'Input as the caller gave it';
COMMENT ON COLUMN integ.calls_done.purpose IS 'What integ itself made the call for: it is not enqueued again by '
    'integ_call_retry, since what it was for makes another; NULL: somebody enqueued it';
COMMENT ON COLUMN integ.calls_done.result IS 'Result of the method, as integ_execute returns it';

CREATE TABLE integ.call_keys (
    client_id text COLLATE "C" NOT NULL,
    instance uuid NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    call uuid NOT NULL,
    request_hash bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (instance, client_id, idempotency_key)
);
CREATE INDEX call_keys_expires_idx ON integ.call_keys (expires_at);
COMMENT ON TABLE integ.call_keys IS 'Idempotency keys of calls, kept for integ.idempotency_retention';
COMMENT ON COLUMN integ.call_keys.client_id IS 'Client of the caller';
COMMENT ON COLUMN integ.call_keys.instance IS 'Instance that is called';
COMMENT ON COLUMN integ.call_keys.idempotency_key IS 'The key';
COMMENT ON COLUMN integ.call_keys.call IS 'The call that was enqueued with it';
COMMENT ON COLUMN integ.call_keys.request_hash IS 'Hash of method and input: the key for another request is a conflict';
COMMENT ON COLUMN integ.call_keys.expires_at IS 'When the key is forgotten';

CREATE TABLE integ.dispatcher_leases (
    lease bigint PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE integ.dispatcher_leases IS 'Dispatchers that run, or have ended with calls or deliveries under way, '
    'which another gives back';
COMMENT ON COLUMN integ.dispatcher_leases.lease IS 'The number in the rows that the dispatcher has claimed';
COMMENT ON COLUMN integ.dispatcher_leases.taken_at IS 'When the dispatcher began';

CREATE VIEW integ.calls WITH (security_invoker = true) AS
SELECT id, state, client_id, user_id, owner, instance, instance_id, definition_id, method, is_write, input,
       NULL::jsonb AS result, last_sqlstate, last_error, NULL::text AS error_detail, NULL::text AS error_hint,
       attempt, max_attempts, interrupted, priority, ordering_key, idempotency_key, timeout_ms,
       created_at, run_at, next_attempt_at, started_at, NULL::timestamptz AS finished_at, expires_at, on_success,
           on_failure
FROM integ.calls_open
UNION ALL
SELECT id, state, client_id, user_id, owner, instance, instance_id, definition_id, method, is_write, input,
       result, last_sqlstate, last_error, error_detail, error_hint,
       attempt, max_attempts, interrupted, priority, ordering_key, idempotency_key, timeout_ms,
       created_at, run_at, NULL, started_at, finished_at, expires_at, on_success, on_failure
FROM integ.calls_done;
COMMENT ON VIEW integ.calls IS 'Every durable call, open and ended; its columns are those of integ.calls_open and '
    'integ.calls_done';

DO $$
DECLARE
    column_name text;
BEGIN
    FOR column_name IN
        SELECT a.attname FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = 'integ.calls'::pg_catalog.regclass AND a.attnum > 0
    LOOP
        EXECUTE pg_catalog.format('COMMENT ON COLUMN integ.calls.%I IS %L', column_name, (
            SELECT pg_catalog.col_description(a.attrelid, a.attnum) FROM pg_catalog.pg_attribute a
            WHERE a.attname = column_name
              AND a.attrelid IN ('integ.calls_open'::pg_catalog.regclass, 'integ.calls_done'::pg_catalog.regclass)
            ORDER BY a.attrelid = 'integ.calls_open'::pg_catalog.regclass DESC LIMIT 1));
    END LOOP;
END
$$;

-- A user sees its own calls, an administrator those of its client.
ALTER TABLE integ.calls_open ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.calls_done ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.calls_done_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.call_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.dispatcher_leases ENABLE ROW LEVEL SECURITY;
CREATE POLICY calls_open_own ON integ.calls_open USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin' OR user_id IS NOT DISTINCT FROM (SELECT integ_current_user_id())));
CREATE POLICY calls_done_read ON integ.calls_done FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin' OR user_id IS NOT DISTINCT FROM (SELECT integ_current_user_id())));
CREATE POLICY call_keys_read ON integ.call_keys FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');
CREATE POLICY dispatcher_leases_read ON integ.dispatcher_leases FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin');
GRANT SELECT ON integ.dispatcher_leases TO integ_superadmin;
GRANT SELECT ON integ.calls_open, integ.calls_done, integ.calls TO integ_user;
GRANT SELECT ON integ.call_keys TO integ_admin;
GRANT UPDATE (run_at, next_attempt_at, expires_at, priority, max_attempts, timeout_ms) ON integ.calls_open TO
    integ_user;

CREATE FUNCTION integ.tg_calls_wake() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_calls_wake';
COMMENT ON FUNCTION integ.tg_calls_wake() IS 'Wakes the dispatchers when the transaction commits';
CREATE TRIGGER calls_open_wake AFTER INSERT OR UPDATE ON integ.calls_open
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_calls_wake();
ALTER TABLE integ.calls_open ENABLE ALWAYS TRIGGER calls_open_wake;
-- Logical replication applies changes row by row, and fires row triggers alone. Not for updates, whose old rows would
-- be fetched for it in every session.
CREATE TRIGGER calls_open_applied AFTER INSERT ON integ.calls_open
    FOR EACH ROW EXECUTE FUNCTION integ.tg_calls_wake();
ALTER TABLE integ.calls_open ENABLE REPLICA TRIGGER calls_open_applied;

CREATE FUNCTION integ.tg_calls_run_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.next_attempt_at := NEW.run_at;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION integ.tg_calls_run_at() IS 'Moves next_attempt_at with run_at';
CREATE TRIGGER calls_open_run_at BEFORE UPDATE OF run_at ON integ.calls_open
    FOR EACH ROW WHEN (NEW.run_at IS DISTINCT FROM OLD.run_at AND NEW.next_attempt_at IS NOT DISTINCT FROM
        OLD.next_attempt_at)
    EXECUTE FUNCTION integ.tg_calls_run_at();

CREATE FUNCTION integ_enqueue(instance text, method text, input jsonb DEFAULT '{}', options jsonb DEFAULT '{}')
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 AS 'MODULE_PATHNAME', 'integ_enqueue';
COMMENT ON FUNCTION integ_enqueue(text, text, jsonb, jsonb) IS
    'Has a method called after this transaction has committed; options: run_at, priority, ordering_key, '
        'idempotency_key, max_attempts, timeout, expires_at, on_success, on_failure';

CREATE FUNCTION integ_await(call uuid, timeout interval DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'integ_await';
COMMENT ON FUNCTION integ_await(uuid, interval) IS
    'Waits for a durable call of a committed transaction to end, and returns {"call", "state", "attempts", "result" '
        'or "error"}';

CREATE FUNCTION integ_call_cancel(call uuid) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT AS 'MODULE_PATHNAME', 'integ_call_cancel';
COMMENT ON FUNCTION integ_call_cancel(uuid) IS
    'Cancels a durable call: "cancelled", or "running" where its request may have left and only further attempts are '
        'cancelled';

CREATE FUNCTION integ_call_retry(call uuid, options jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_call_retry';
COMMENT ON FUNCTION integ_call_retry(uuid, jsonb) IS
    'Enqueues a call again that is failed, dead or cancelled; one whose outcome is unknown only with {"confirm": true}';

CREATE FUNCTION integ_calls_retry(filter jsonb) RETURNS SETOF uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'integ_calls_retry';
COMMENT ON FUNCTION integ_calls_retry(jsonb) IS
    'Enqueues calls again that have failed or are dead, and returns them: those that match instance, definition, '
        'method, state, sqlstate, client, since, until (when they ended), oldest first, up to limit (1000)';

GRANT EXECUTE ON FUNCTION integ_enqueue(text, text, jsonb, jsonb), integ_await(uuid, interval),
    integ_call_cancel(uuid), integ_call_retry(uuid, jsonb), integ_calls_retry(jsonb) TO integ_user, integ_impersonate;

SELECT pg_catalog.pg_extension_config_dump('integ.calls_open', '');
SELECT pg_catalog.pg_extension_config_dump('integ.dispatcher_leases', '');
SELECT pg_catalog.pg_extension_config_dump('integ.call_keys', '');

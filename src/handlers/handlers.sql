-- Handlers: users' SQL functions that integ calls, each as its owner.

CREATE TABLE integ.handler_runs (
    id uuid NOT NULL DEFAULT integ.uuid_generate() PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    owner regrole NOT NULL,
    function text NOT NULL,
    argument jsonb NOT NULL DEFAULT '{}',
    client_id text COLLATE "C",
    user_id text COLLATE "C",
    call uuid,
    instance uuid,
    event uuid,
    event_at timestamptz,
    depth smallint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'queued',
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 8,
    timeout_ms integer,
    next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    lease bigint,
    last_sqlstate text,
    last_error text,
    error_detail text,
    error_hint text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    reply jsonb,
    CONSTRAINT handler_runs_kind_check CHECK (kind ~ '^[a-z][a-z0-9_]*$'),
    CONSTRAINT handler_runs_state_check CHECK (state IN ('queued', 'waiting', 'running', 'succeeded', 'dead')),
    CONSTRAINT handler_runs_lease_check CHECK ((state = 'running') = (lease IS NOT NULL)),
    CONSTRAINT handler_runs_attempts_check CHECK (attempt >= 0 AND max_attempts BETWEEN 1 AND 1000000),
    CONSTRAINT handler_runs_timeout_check CHECK (timeout_ms BETWEEN 1 AND 3600000),
    CONSTRAINT handler_runs_time_check CHECK (pg_catalog.isfinite(next_attempt_at)),
    CONSTRAINT handler_runs_client_check CHECK (client_id IS NOT NULL OR user_id IS NULL)
);
CREATE INDEX handler_runs_due_idx ON integ.handler_runs (owner, next_attempt_at, id)
    WHERE state IN ('queued', 'waiting');
CREATE INDEX handler_runs_running_idx ON integ.handler_runs (lease) WHERE state = 'running';
CREATE INDEX handler_runs_finished_idx ON integ.handler_runs (finished_at) WHERE state = 'succeeded';
CREATE INDEX handler_runs_event_idx ON integ.handler_runs (event) WHERE event IS NOT NULL;
CREATE INDEX handler_runs_call_idx ON integ.handler_runs (call) WHERE call IS NOT NULL;
COMMENT ON TABLE integ.handler_runs IS
    'SQL functions to be called after a transaction has committed, each by a worker that is its owner, at '
    'least once. next_attempt_at, max_attempts and timeout_ms may be updated here, and integ_handler_retry '
    'replays; what has succeeded is kept for integ.log_retention days';
COMMENT ON COLUMN integ.handler_runs.id IS 'The run; sorts by time';
COMMENT ON COLUMN integ.handler_runs.kind IS
    'What it is for: on_success, on_failure, webhook, webhook_reply (the result is the answer to the service), rule';
COMMENT ON COLUMN integ.handler_runs.owner IS 'The role as which the function is called: the worker''s session user';
COMMENT ON COLUMN integ.handler_runs.function IS 'The function, with its schema; it takes one jsonb';
COMMENT ON COLUMN integ.handler_runs.argument IS 'What it is called with';
COMMENT ON COLUMN integ.handler_runs.client_id IS
    'Client that it acts for, as integ_act_as; NULL: whom the owner stands for';
COMMENT ON COLUMN integ.handler_runs.user_id IS 'User within the client, or none';
COMMENT ON COLUMN integ.handler_runs.call IS 'The call that it belongs to, or none';
COMMENT ON COLUMN integ.handler_runs.instance IS 'Key of the instance that it belongs to, or none';
COMMENT ON COLUMN integ.handler_runs.event IS 'Event (integ.webhook_events) that it belongs to, or none';
COMMENT ON COLUMN integ.handler_runs.event_at IS 'When that event came';
COMMENT ON COLUMN integ.handler_runs.depth IS
    'How many runs led to each other: 0 for a callback, 1 for what an event of a service leads to, one more '
    'for what a run of that receives';
COMMENT ON COLUMN integ.handler_runs.state IS
    'queued, waiting (for its next attempt), running, succeeded, dead (not tried again by itself)';
COMMENT ON COLUMN integ.handler_runs.attempt IS 'How often it was begun';
COMMENT ON COLUMN integ.handler_runs.max_attempts IS 'How often it is tried before it is dead';
COMMENT ON COLUMN integ.handler_runs.timeout_ms IS 'Longest time of one attempt; NULL: integ.handler_timeout';
COMMENT ON COLUMN integ.handler_runs.next_attempt_at IS 'When it is due next';
COMMENT ON COLUMN integ.handler_runs.lease IS 'The worker that runs it: one number a process';
COMMENT ON COLUMN integ.handler_runs.last_sqlstate IS
    'SQLSTATE of the last attempt''s failure; NULL where there was none';
COMMENT ON COLUMN integ.handler_runs.last_error IS 'Message of the last attempt''s failure';
COMMENT ON COLUMN integ.handler_runs.error_detail IS 'Its detail';
COMMENT ON COLUMN integ.handler_runs.error_hint IS 'What can be done about it';
COMMENT ON COLUMN integ.handler_runs.created_at IS 'When it was asked for';
COMMENT ON COLUMN integ.handler_runs.started_at IS 'When the last attempt began';
COMMENT ON COLUMN integ.handler_runs.finished_at IS 'When it succeeded, or was given up';
COMMENT ON COLUMN integ.handler_runs.reply IS 'Of a webhook_reply what the function returned: status, headers, body';
SELECT pg_catalog.pg_extension_config_dump('integ.handler_runs', $$WHERE state <> 'succeeded'$$);

CREATE FUNCTION integ.tg_handler_runs_wake() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_handler_runs_wake';
COMMENT ON FUNCTION integ.tg_handler_runs_wake() IS 'Has the keeper look for a worker when the transaction commits';
CREATE TRIGGER handler_runs_wake AFTER INSERT OR UPDATE ON integ.handler_runs
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_handler_runs_wake();
ALTER TABLE integ.handler_runs ENABLE ALWAYS TRIGGER handler_runs_wake;
CREATE TRIGGER handler_runs_applied AFTER INSERT ON integ.handler_runs
    FOR EACH ROW EXECUTE FUNCTION integ.tg_handler_runs_wake();
ALTER TABLE integ.handler_runs ENABLE REPLICA TRIGGER handler_runs_applied;

-- A user sees its own runs, an administrator those of its client, and every role those that run as it.
ALTER TABLE integ.handler_runs ENABLE ROW LEVEL SECURITY;
CREATE POLICY handler_runs_own ON integ.handler_runs USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR owner::oid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
       AND (client_id IS NULL OR client_id = (SELECT integ_current_client()))
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin' OR user_id IS NOT DISTINCT FROM (SELECT integ_current_user_id())));
GRANT SELECT, UPDATE (next_attempt_at, max_attempts, timeout_ms) ON integ.handler_runs TO integ_user;

CREATE FUNCTION integ_handler_retry(run uuid) RETURNS uuid
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 100 AS 'MODULE_PATHNAME', 'integ_handler_retry';
COMMENT ON FUNCTION integ_handler_retry(uuid) IS
    'Has a dead run of integ.handler_runs tried again, or one that waits tried now; as often again as '
    'max_attempts says';
GRANT EXECUTE ON FUNCTION integ_handler_retry(uuid) TO integ_user;

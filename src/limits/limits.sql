-- Limits: what may leave how often, and what keeps it over a crash.

CREATE TABLE integ.rate_limit_blocks (
    id uuid PRIMARY KEY,
    client_id text COLLATE "C" NOT NULL,
    instance uuid,
    definition_id text COLLATE "C",
    method text COLLATE "C",
    key text,
    max_requests integer NOT NULL,
    window_us bigint NOT NULL,
    used integer[] NOT NULL,
    newest_at timestamptz NOT NULL,
    carried integer NOT NULL,
    boot uuid NOT NULL,
    taken_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE integ.rate_limit_blocks IS
    'What each rate limit may have granted, on disk before it is granted, so that limits are kept over a crash; not '
    'dumped. integ.rate_limits shows the limits as they are';
COMMENT ON COLUMN integ.rate_limit_blocks.id IS 'Made of whatever tells the limit from others';
COMMENT ON COLUMN integ.rate_limit_blocks.client_id IS 'Client that used it first; ''*'' for global';
COMMENT ON COLUMN integ.rate_limit_blocks.instance IS
    'The instance whose limit it is; NULL: a definition''s or a client''s';
COMMENT ON COLUMN integ.rate_limit_blocks.definition_id IS 'Definition of the instance, or whose limit it is';
COMMENT ON COLUMN integ.rate_limit_blocks.method IS 'Method, where the limit is that of one';
COMMENT ON COLUMN integ.rate_limit_blocks.key IS 'Value of the window''s key, the first bytes';
COMMENT ON COLUMN integ.rate_limit_blocks.max_requests IS 'The limit';
COMMENT ON COLUMN integ.rate_limit_blocks.window_us IS 'Length of its window in microseconds';
COMMENT ON COLUMN integ.rate_limit_blocks.used IS
    'Requests by the part of the window in which they were answered, oldest first';
COMMENT ON COLUMN integ.rate_limit_blocks.newest_at IS 'End of the newest part';
COMMENT ON COLUMN integ.rate_limit_blocks.carried IS
    'How many more may have left since: after a crash they count as sent';
COMMENT ON COLUMN integ.rate_limit_blocks.boot IS 'The server run that wrote it';
COMMENT ON COLUMN integ.rate_limit_blocks.taken_at IS 'When it was written';
COMMENT ON COLUMN integ.rate_limit_blocks.expires_at IS 'When it says nothing any more';
ALTER TABLE integ.rate_limit_blocks ENABLE ROW LEVEL SECURITY;
CREATE POLICY rate_limit_blocks_read ON integ.rate_limit_blocks FOR SELECT
    USING ((SELECT integ_current_level()) = 'superadmin');
GRANT SELECT ON integ.rate_limit_blocks TO integ_superadmin;

CREATE FUNCTION integ.rate_limits_now(
    OUT instance uuid, OUT instance_id text, OUT definition_id text, OUT client_id text, OUT method text, OUT key text,
    OUT "window" interval, OUT "limit" bigint, OUT used bigint, OUT remaining bigint, OUT reset timestamptz,
    OUT next_slot_at timestamptz, OUT source text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 100 AS 'MODULE_PATHNAME', 'integ_rate_limits_now';
COMMENT ON FUNCTION integ.rate_limits_now() IS 'The rows of integ.rate_limits';

CREATE VIEW integ.rate_limits WITH (security_invoker = true) AS
SELECT instance, instance_id, definition_id, client_id, method, key, "window", "limit", used, remaining, reset,
       next_slot_at, source
FROM integ.rate_limits_now();
COMMENT ON VIEW integ.rate_limits IS
    'Every rate limit that has been used lately, of the instances that the caller sees, as it is now';
COMMENT ON COLUMN integ.rate_limits.instance IS 'Key of the instance; NULL: the limit of a definition or a client';
COMMENT ON COLUMN integ.rate_limits.instance_id IS 'Its handle';
COMMENT ON COLUMN integ.rate_limits.definition_id IS 'Its definition';
COMMENT ON COLUMN integ.rate_limits.client_id IS 'The client of the instance, or whose plan''s limit it is';
COMMENT ON COLUMN integ.rate_limits.method IS 'The method, where it has a limit of its own';
COMMENT ON COLUMN integ.rate_limits.key IS
    'Value of the window''s key, the first bytes; of a shared instance for superadmins only';
COMMENT ON COLUMN integ.rate_limits."window" IS
    'Length of the window; NULL: requests at the same time, or not told by the service';
COMMENT ON COLUMN integ.rate_limits."limit" IS 'Requests in any stretch of time of that length';
COMMENT ON COLUMN integ.rate_limits.used IS 'Of these, under way or answered within the window';
COMMENT ON COLUMN integ.rate_limits.remaining IS 'Of these, free now';
COMMENT ON COLUMN integ.rate_limits.reset IS
    'When all of them are free again, or when the service said so; NULL: they are';
COMMENT ON COLUMN integ.rate_limits.next_slot_at IS
    'When the next one is free, where none is; NULL: when a request under way is answered';
COMMENT ON COLUMN integ.rate_limits.source IS
    'manifest; instance (its rate_limit); plan; setting (integ.host_concurrency); learned (from the service''s '
    'answers)';

CREATE FUNCTION integ.circuit_breakers_now(
    OUT instance uuid, OUT instance_id text, OUT origin text, OUT state text, OUT cause text, OUT failures integer,
    OUT failure_threshold integer, OUT since timestamptz, OUT half_open_at timestamptz, OUT last_error text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 100 AS 'MODULE_PATHNAME', 'integ_circuit_breakers_now';
COMMENT ON FUNCTION integ.circuit_breakers_now() IS 'The rows of integ.circuit_breakers';

CREATE VIEW integ.circuit_breakers WITH (security_invoker = true) AS
SELECT instance, instance_id, origin, state, cause, failures, failure_threshold, since, half_open_at, last_error
FROM integ.circuit_breakers_now();
COMMENT ON VIEW integ.circuit_breakers IS
    'The circuit breakers of the instances that the caller sees and that have been used lately';
COMMENT ON COLUMN integ.circuit_breakers.instance IS 'Key of the instance';
COMMENT ON COLUMN integ.circuit_breakers.instance_id IS 'Its handle';
COMMENT ON COLUMN integ.circuit_breakers.origin IS 'Its host';
COMMENT ON COLUMN integ.circuit_breakers.state IS
    'closed (requests pass), open (none does), half_open (a few probe whether the service is back)';
COMMENT ON COLUMN integ.circuit_breakers.cause IS
    'What opened it: instance (its requests failed), host (it cannot be reached by anybody)';
COMMENT ON COLUMN integ.circuit_breakers.failures IS 'Failures in a row';
COMMENT ON COLUMN integ.circuit_breakers.failure_threshold IS 'So many open it';
COMMENT ON COLUMN integ.circuit_breakers.since IS 'Since when it is in that state; NULL: always';
COMMENT ON COLUMN integ.circuit_breakers.half_open_at IS 'When an open one lets the next request through';
COMMENT ON COLUMN integ.circuit_breakers.last_error IS 'The last failure, the first bytes';

CREATE FUNCTION integ_breaker_reset(instance text) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_breaker_reset';
COMMENT ON FUNCTION integ_breaker_reset(text) IS
    'Closes the circuit breaker of an instance and of its host; whether one of them was not closed';

GRANT EXECUTE ON FUNCTION integ.rate_limits_now(), integ.circuit_breakers_now(), integ_breaker_reset(text)
    TO integ_user;
GRANT SELECT ON integ.rate_limits, integ.circuit_breakers TO integ_user;

CREATE FUNCTION integ.tg_plan_limits() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_plan_limits';
COMMENT ON FUNCTION integ.tg_plan_limits() IS 'Checks limits -> ''rateLimit'' of a plan';
CREATE TRIGGER plans_limits BEFORE INSERT OR UPDATE OF limits ON integ.plans
    FOR EACH ROW EXECUTE FUNCTION integ.tg_plan_limits();

CREATE FUNCTION integ.tg_instance_limits() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_instance_limits';
COMMENT ON FUNCTION integ.tg_instance_limits() IS 'Checks rate_limit of an instance';
CREATE TRIGGER instances_limits BEFORE INSERT OR UPDATE OF rate_limit ON integ.instances
    FOR EACH ROW WHEN (NEW.rate_limit IS NOT NULL) EXECUTE FUNCTION integ.tg_instance_limits();

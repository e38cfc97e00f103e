-- Schedules: when something is due.

CREATE FUNCTION integ_next_runs(schedule jsonb, after timestamptz DEFAULT pg_catalog.now(), count integer DEFAULT 5)
RETURNS SETOF timestamptz
LANGUAGE C STABLE PARALLEL SAFE ROWS 5
AS 'MODULE_PATHNAME', 'integ_next_runs';
COMMENT ON FUNCTION integ_next_runs(jsonb, timestamptz, integer) IS
    'The next times at which a schedule is due, after a time (default now). Raises IG400 with what is wrong with it';
GRANT EXECUTE ON FUNCTION integ_next_runs(jsonb, timestamptz, integer) TO integ_user, integ_impersonate;

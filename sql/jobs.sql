-- Jobs: submit, ask, download.
\getenv provider_url INTEG_PROVIDER_URL

SELECT integ_define($$
{
  "integrationId": "jobs_svc", "name": "Jobs", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "export", "name": "Export", "access": "read", "outputSchema": {"type": "array"},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"}, "polls": {"type": "integer",
         "default": 0}, "outcome": {"type": "string"}}},
     "job": {
       "submit": {"request": {"method": "POST", "path": "/jobs", "body": {"key": "{key}", "polls": "{polls}",
           "outcome": "{outcome}"}},
                  "response": {"map": {"state": ".job.state"}}},
       "id": ".job.id",
       "poll": {"request": {"method": "GET", "path": "/jobs/{job.id}"}, "intervalMs": 20, "timeoutMs": 60000,
                "done": "$.job ? (@.state == \"JobComplete\")", "failed": "$.job ? (@.state == \"Failed\")",
                    "message": ".job.message"},
       "download": {"request": {"method": "GET", "path": "/jobs/{job.id}/results",
           "query": {"rows": "{job.status.job.rows}", "was": "{job.submit.state}"}},
                    "response": {"records": ".rows"}}}},
    {"id": "impatient", "name": "Impatient", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {}},
     "job": {
       "submit": {"request": {"method": "POST", "path": "/jobs", "body": {"outcome": "never", "polls": 0}}},
       "id": ".job.id",
       "poll": {"request": {"method": "GET", "path": "/jobs/{job.id}"}, "intervalMs": 20, "timeoutMs": 100,
           "done": "$.job ? (@.state == \"JobComplete\")"}}},
    {"id": "load", "name": "Load", "access": "write", "outputSchema": {}, "idempotency": {"header": "Idempotency-Key"},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"}}},
     "job": {
       "submit": {"request": {"method": "POST", "path": "/jobs", "body": {"key": "{key}", "polls": 2}}},
       "id": ".job.id",
       "poll": {"request": {"method": "GET", "path": "/jobs/{job.id}"}, "intervalMs": 20,
           "done": "$.job ? (@.state == \"JobComplete\")",
                "response": {"map": {"state": ".job.state", "asked": ".job.asked"}}}},
     "response": {"map": {"id": ".job.id", "state": ".job.status.state", "asked": ".job.status.asked"}}},
    {"id": "nameless", "name": "No id", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object",
        "properties": {}},
     "job": {"submit": {"request": {"method": "POST", "path": "/jobs", "body": {"polls": 0}}}, "id": ".nothing",
             "poll": {"request": {"method": "GET", "path": "/jobs/{job.id}"}, "done": ".job"}}}
  ]
}
$$::jsonb);
SELECT integ_connect('jobs_svc', 'jobs_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;

-- In the caller's transaction, and by the dispatcher.
SELECT integ_execute('jobs_main', 'export', '{"key": "sync-1", "polls": 2}', '{"validate_output": "error"}');
SELECT integ_execute('jobs_main', 'load', '{"key": "sync-2"}');
SELECT integ_enqueue('jobs_main', 'export', '{"key": "async-1", "polls": 3}') AS id \gset
SELECT integ_await(:'id', '30 s') - 'call' AS outcome;
SELECT integ_enqueue('jobs_main', 'load', '{"key": "async-2"}') AS load \gset
SELECT integ_await(:'load', '30 s') - 'call' AS outcome;

-- Asking does not count as an attempt, and every request is in the log under its name.
SELECT state, attempt, interrupted FROM integ.calls WHERE id IN (:'id', :'load') ORDER BY method;
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for(format('SELECT (SELECT count(*) FROM integ.requests WHERE call_id = %L) >= %s', :'id', 6));
SELECT step, http_method, is_write, count(*) FROM integ.requests WHERE call_id = :'id' GROUP BY 1, 2, 3 ORDER BY 1;
CALL pg_temp.wait_for(format('SELECT (SELECT count(*) FROM integ.requests WHERE call_id = %L) >= %s', :'load', 4));
SELECT step, http_method, is_write, count(*) FROM integ.requests WHERE call_id = :'load' GROUP BY 1, 2, 3 ORDER BY 1;

-- What can go wrong.
CREATE FUNCTION jobs_error(method text, input jsonb, options jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text;
BEGIN
    RETURN integ_execute('jobs_main', method, input, options)::text;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN format(E'%s %s\n%s\n%s', state, message, regexp_replace(detail, 'asked for \d+', 'asked for N'), hint);
END $$;
\pset format unaligned
SELECT jobs_error('export', '{"key": "bad-1", "polls": 1, "outcome": "failed"}');
SELECT jobs_error('export', '{"key": "bad-2", "polls": 1, "outcome": "garbage"}');
SELECT jobs_error('export', '{"key": "bad-3", "outcome": "never"}', '{"timeout": "2 seconds"}');
SET integ.max_sync_wait = '2s';
SELECT jobs_error('export', '{"key": "bad-4", "outcome": "never"}');
RESET integ.max_sync_wait;
SELECT regexp_replace(jobs_error('impatient', '{}'), 'Job job-\d+', 'Job N', 'g') ~ 'did not end in time' AS impatient;
SELECT jobs_error('nameless', '{}');
SELECT jobs_error('export', '{"key": "a/../b"}');
\pset format aligned
SELECT integ_enqueue('jobs_main', 'export', '{"key": "bad-5", "polls": 1, "outcome": "failed"}') AS id \gset
SELECT integ_await(:'id', '30 s') #- '{call}' AS outcome;
SELECT integ_enqueue('jobs_main', 'impatient', '{}') AS id \gset
SELECT o -> 'state' AS state, o #> '{error,sqlstate}' AS sqlstate, o #>> '{error,hint}' AS hint
    FROM integ_await(:'id', '30 s') o;

-- A job under way: its id is in the row; it can be cancelled.
SELECT integ_enqueue('jobs_main', 'export', '{"key": "long-1", "outcome": "never"}') AS id \gset
CALL pg_temp.wait_for(format('SELECT EXISTS (SELECT FROM integ.calls_open WHERE id = %L AND progress IS NOT NULL)',
    :'id'));
SELECT progress ->> 'next' AS next, progress #> '{earlier,job,id}' AS job, attempt IN (0, 1) AS first_attempt
    FROM integ.calls_open WHERE id = :'id';
UPDATE integ.calls_open SET next_attempt_at = now() + interval '1 hour' WHERE id = :'id' AND state = 'waiting';
SELECT integ_call_cancel(:'id') IN ('cancelled', 'running') AS cancelled;
SELECT integ_await(:'id', '30 s') ->> 'state' AS state;

-- Its id is where the answer's Location says; its result where the last answer says, and nothing of the definition
-- goes there.
SELECT integ_define($$
{
  "integrationId": "jobs_far", "name": "Jobs elsewhere", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "apikey", "auth": {"in": "header", "name": "X-Key",
      "value": "{credentials.key}"},
  "headers": {"X-Ours": "definition"}, "query": {"ours": "definition"},
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"key": {"type": "string"}}},
  "methods": [
    {"id": "export", "name": "Export", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"}, "location": {"type": "string"},
         "polls": {"type": "integer", "default": 1}, "url": {"type": "string"}, "retry_after": {}}},
     "job": {
       "submit": {"request": {"method": "POST", "path": "/jobs", "body": {"key": "{key}", "polls": "{polls}",
           "location": "{location}", "url": "{url}", "retry_after": "{retry_after}"}}},
       "id": {"header": "Location"},
       "poll": {"request": {"method": "GET", "path": "/{+job.id}"}, "intervalMs": 20,
           "done": "$.job ? (@.state == \"JobComplete\")"},
       "download": {"url": ".job.url", "response": {"map": {"path": ".path", "query": ".query",
           "key": ".headers.x-key", "ours": ".headers.x-ours", "accept": ".headers.accept"}}}}}
  ]
}
$$::jsonb);
SELECT integ_connect('jobs_far', 'jobs_far_main', jsonb_build_object('base_url',
    :'provider_url')) IS NOT NULL AS connected;
SELECT integ_credential_set('jobs_far_main', 'key', 'the key') IS NOT NULL AS set;
SELECT replace(:'provider_url', '127.0.0.1', 'localhost') AS elsewhere \gset
SELECT integ_execute('jobs_far_main', 'export', jsonb_build_object('key', 'far-1', 'location', '/jobs/KEY', 'url',
    :'elsewhere' || '/echo?signature=abc'));
SELECT integ_execute('jobs_far_main', 'export', jsonb_build_object('key', 'far-2', 'location',
    :'provider_url' || '/jobs/KEY', 'url', :'elsewhere' || '/echo'));
SELECT integ_enqueue('jobs_far_main', 'export', jsonb_build_object('key', 'far-3', 'location', '/jobs/KEY', 'url',
    :'elsewhere' || '/echo')) AS id \gset
SELECT integ_await(:'id', '30 s') -> 'result' AS result;
CALL pg_temp.wait_for(format('SELECT (SELECT count(*) FROM integ.requests WHERE call_id = %L) >= %s', :'id', 4));
SELECT path_template, origin = :'elsewhere' AS elsewhere FROM integ.requests WHERE call_id = :'id'
    AND step = 'download';
-- What names no usable place, or one that may not be reached.
CREATE FUNCTION jobs_far(input jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text;
BEGIN
    RETURN integ_execute('jobs_far_main', 'export', '{"location": "/jobs/KEY", "polls": 0}' || input)::text;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN format('%s %s: %s', SQLSTATE, message, regexp_replace(detail, ' after \d+ ms|\d+ ms', '', 'g'));
END $$;
\pset format unaligned
SELECT jobs_far('{"key": "far-4"}');
SELECT jobs_far('{"key": "far-5", "url": "/echo"}');
SELECT jobs_far('{"key": "far-6", "url": "file:///etc/passwd"}');
SELECT jobs_far('{"key": "far-7", "url": "https://user:pw@example.com/x"}');
SELECT jobs_far('{"key": "far-8", "url": "http://169.254.169.254/latest/meta-data/"}');
SELECT jobs_far('{"key": "far-9", "location": ""}');
\pset format aligned
-- The service says when to ask again: a call that waits for it is due no earlier.
SELECT integ_enqueue('jobs_far_main', 'export', '{"key": "far-10", "location": "/jobs/KEY", "polls": 1,
    "retry_after": 1800}') AS id \gset
CALL pg_temp.wait_for(format('SELECT EXISTS (SELECT FROM integ.calls_open WHERE id = %L
    AND (progress ->> ''polls'')::int > 0)', :'id'));
SELECT state, next_attempt_at > now() + interval '25 minutes' AS much_later FROM integ.calls_open WHERE id = :'id';
SELECT integ_call_cancel(:'id') IN ('cancelled', 'running') AS cancelled;
DROP FUNCTION jobs_far(jsonb);
DELETE FROM integ.instances WHERE definition = 'jobs_far';
SELECT integ_undefine('jobs_far');

-- Manifests that contradict themselves.
CREATE FUNCTION jobs_problem(job jsonb, method jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text;
BEGIN
    PERFORM integ_define(jsonb_build_object('integrationId', 'jobs_bad', 'name', 'Bad', 'version', '1.0.0',
        'category', 'custom',
        'baseUrl', 'https://x.example', 'methods', jsonb_build_array('{"id": "m", "name": "M", "access": "read",
        "inputSchema": {"type": "object", "properties": {"x": {}}},
            "outputSchema": {}}'::jsonb || method || jsonb_build_object('job',
        '{"submit": {"request": {"method": "POST", "path": "/j"}}, "poll": {"request": {"method": "GET",
            "path": "/j"}, "done": ".done"}}'::jsonb || job))));
    RETURN 'none';
EXCEPTION WHEN SQLSTATE 'IG400' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, message = MESSAGE_TEXT;
    RETURN message || ': ' || detail;
END $$;
\pset format unaligned
SELECT jobs_problem('{"submit": {"request": {"method": "POST", "path": "/j/{job.id}"}}}');
SELECT jobs_problem('{"poll": {"request": {"method": "GET", "path": "/j/{job.id}"}, "done": ".done"}}');
SELECT jobs_problem('{"poll": {"request": {"method": "GET", "path": "/j/{job.state}"}, "done": ".done"}}');
SELECT jobs_problem('{"submit": {"request": {"method": "PUT", "path": "/j"}}}');
SELECT jobs_problem('{"poll": {"request": {"method": "DELETE", "path": "/j"}, "done": ".done"}}',
    '{"access": "write"}');
SELECT jobs_problem('{"poll": {"request": {"method": "GET", "path": "/j"}}}');
SELECT jobs_problem('{"poll": {"request": {"method": "GET", "path": "/j"}, "done": "done"}}');
SELECT jobs_problem('{"id": "job.id"}');
SELECT jobs_problem('{"id": {"header": "a b"}}');
SELECT jobs_problem('{"download": {}}');
SELECT jobs_problem('{"download": {"url": ".u", "request": {"method": "GET", "path": "/x"}}}');
SELECT jobs_problem('{"download": {"url": "u"}}');
SELECT jobs_problem('{}', '{"response": {"type": "json"}}');
SELECT jobs_problem('{}', '{"pagination": {"style": "link"}}');
\pset format aligned

DROP FUNCTION jobs_problem(jsonb, jsonb), jobs_error(text, jsonb, jsonb);
DELETE FROM integ.instances WHERE definition = 'jobs_svc';
SELECT integ_undefine('jobs_svc');

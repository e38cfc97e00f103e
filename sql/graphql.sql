-- GraphQL: queries and mutations as methods.
\getenv provider_url INTEG_PROVIDER_URL

SELECT integ_define($$
{
  "integrationId": "graphql_svc", "name": "GraphQL", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "errors": [{"when": "$.errors[*] ? (@.extensions.code == \"THROTTLED\")", "class": "IG429", "message": "$.errors[0].message",
              "retryAfter": "$.extensions.cost.requestedQueryCost / $.extensions.cost.throttleStatus.restoreRate - $.extensions.cost.throttleStatus.currentlyAvailable / $.extensions.cost.throttleStatus.restoreRate"}],
  "methods": [
    {"id": "issue", "name": "Issue", "protocol": "graphql", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}, "first": {"type": "integer", "default": 10}, "fault": {"type": "string"}}},
     "request": {"method": "POST", "path": "/graphql", "graphql": {"document": "query Issue($id: ID!) { issue(id: $id) { title } }"}}},
    {"id": "create", "name": "Create", "protocol": "graphql", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}, "tags": {"type": "array"}, "fault": {"type": "string"}}},
     "request": {"method": "POST", "path": "/graphql", "graphql": {
         "document": "mutation Create($input: In!) { create(input: $input) { id } } query Other { a }", "operationName": "Create",
         "variables": {"input": {"title": "{title}", "tags": "{tags}"}, "fault": "{fault}"}}},
     "response": {"map": {"variables": ".data.echo.variables", "operation": ".data.echo.operationName"}}}
  ]
}
$$::jsonb);
SELECT integ_connect('graphql_svc', 'gql', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;

-- Access is the operation's; the result is the data; variables are the input, or what the method says, with their types.
SELECT id, access FROM integ_methods('gql') ORDER BY id;
SELECT integ_execute('gql', 'issue', '{"id": "I-1"}');
SELECT integ_execute('gql', 'create', '{"title": "a \"b\" {c}", "tags": ["x", 1]}');
SELECT integ_execute('gql', 'create', '{"title": "a"}');

-- Errors are errors, whatever the status; what came beside them is in the detail.
\set VERBOSITY terse
DO $$
DECLARE
    fault text;
    state text; message text; detail text; hint text;
BEGIN
    FOREACH fault IN ARRAY '{errors,partial,invalid,throttled}'::text[] LOOP
        BEGIN
            PERFORM integ_execute('gql', 'create', jsonb_build_object('title', 't', 'fault', fault));
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
            RAISE NOTICE '% % | % | %', state, message, regexp_replace(detail, '(\d{4}-\d\d-\d\d .*$)', 'TIME'), hint;
        END;
    END LOOP;
END $$;
\set VERBOSITY default

-- The cost says when to come again: 400 wanted, 100 there, 50 a second: in 6 seconds.
SELECT integ_connect('graphql_svc', 'gql2', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
SELECT integ_enqueue('gql2', 'create', '{"title": "t", "fault": "throttled"}') AS id \gset
CREATE PROCEDURE graphql_wait(call uuid) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 1000 LOOP
        EXIT WHEN EXISTS (SELECT FROM integ.calls_open WHERE id = call AND state = 'waiting');
        COMMIT;
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
CALL graphql_wait(:'id');
SELECT state, last_sqlstate, last_error, next_attempt_at - created_at BETWEEN '5.9 s' AND '60 s' AS by_cost FROM integ.calls WHERE id = :'id';
SELECT integ_call_cancel(:'id');
-- Of a mutation some of whose fields were carried out nobody knows what became of it.
CREATE PROCEDURE graphql_audit_wait(wanted int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 1000 LOOP
        EXIT WHEN (SELECT count(*) FROM integ.audit_log WHERE instance_id = 'gql' AND outcome <> 'pending') >= wanted;
        COMMIT;
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
CALL graphql_audit_wait(6);
SELECT outcome, count(*) FROM integ.audit_log WHERE instance_id = 'gql' AND action = 'call.write' GROUP BY 1 ORDER BY 1;

-- Manifests that contradict themselves.
CREATE FUNCTION graphql_problem(method jsonb, request jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    problem text;
BEGIN
    PERFORM integ_define(jsonb_build_object('integrationId', 'graphql_bad', 'name', 'Bad', 'version', '1.0.0', 'category', 'custom',
        'baseUrl', 'https://x.example', 'methods', jsonb_build_array('{"id": "m", "name": "M", "protocol": "graphql",
        "inputSchema": {}, "outputSchema": {}}'::jsonb || method || jsonb_build_object('request',
        '{"method": "POST", "path": "/graphql"}'::jsonb || request))));
    RETURN 'none';
EXCEPTION WHEN SQLSTATE 'IG400' THEN
    GET STACKED DIAGNOSTICS problem = PG_EXCEPTION_DETAIL;
    RETURN problem;
END $$;
SELECT graphql_problem('{}', '{}');
SELECT graphql_problem('{"access": "read"}', '{"graphql": {"document": "mutation { a }"}}');
SELECT graphql_problem('{}', '{"graphql": {"document": "subscription { a }"}}');
SELECT graphql_problem('{}', '{"graphql": {"document": "query A { a } query B { b }"}}');
SELECT graphql_problem('{}', '{"graphql": {"document": "query A { a }", "operationName": "B"}}');
SELECT graphql_problem('{}', '{"graphql": {"document": "query A { a"}}');
SELECT graphql_problem('{}', '{"method": "GET", "graphql": {"document": "{ a }"}}');
SELECT graphql_problem('{}', '{"encoding": "form", "graphql": {"document": "{ a }"}}');
SELECT graphql_problem('{"protocol": "http"}', '{"graphql": {"document": "{ a }"}}');
SELECT graphql_problem('{}', '{"body": {}, "graphql": {"document": "{ a }"}}');

DROP FUNCTION graphql_problem(jsonb, jsonb);
DROP PROCEDURE graphql_wait(uuid);
DROP PROCEDURE graphql_audit_wait(int);
DELETE FROM integ.instances WHERE definition = 'graphql_svc';
SELECT integ_undefine('graphql_svc');

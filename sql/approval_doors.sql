-- No function goes round an approval: through none of the doors that lead to a service does a write leave unseen.
\getenv provider_url INTEG_PROVIDER_URL
CREATE SCHEMA doors;
CREATE FUNCTION doors.before(call jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT call -> 'input' $$;

SELECT integ_define($${
  "integrationId": "doors", "name": "Doors", "version": "1.0.0", "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "pay", "name": "Pay", "access": "write", "approvalRequired": true, "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"object": {"type": "string"}, "record": {"type": "object"}}},
     "request": {"method": "POST", "path": "/echo/doors", "body": {"of": "{object}"}}},
    {"id": "pay_all", "name": "Pay in steps", "access": "write", "approvalRequired": true,
     "inputSchema": {}, "outputSchema": {},
     "steps": [{"id": "look", "request": {"method": "GET", "path": "/echo/doors"}},
               {"id": "pay", "request": {"method": "POST", "path": "/echo/doors",
                                         "body": {"to": "{steps.look.path}"}}}]},
    {"id": "pay_later", "name": "Pay by a job", "access": "write", "approvalRequired": true,
     "inputSchema": {}, "outputSchema": {},
     "job": {"submit": {"request": {"method": "POST", "path": "/echo/doors"}}, "id": ".path",
             "poll": {"request": {"method": "GET", "path": "/echo/doors"}, "done": ".path"}}},
    {"id": "pay_graph", "name": "Pay by GraphQL", "protocol": "graphql", "access": "write", "approvalRequired": true,
     "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/echo/doors", "graphql": {"document": "mutation { pay }"}}},
    {"id": "pay_around", "name": "Pay with a handler", "access": "write", "approvalRequired": true,
     "inputSchema": {}, "outputSchema": {}, "handler": {"before": "doors.before"},
     "request": {"method": "POST", "path": "/echo/doors"}},
    {"id": "objects", "name": "Objects", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/crm/sobjects"}}
  ],
  "discovery": {"method": "objects", "items": ".sobjects", "when": "$.name == \"Account\"",
                "methods": [{"base": "pay", "id": "pay_{item.name}", "input": {"object": "{item.name}"}}]}
}$$::jsonb);
SELECT integ_connect('doors', 'doors_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
SELECT integ_discover('doors_main');
SELECT id, approval_required FROM integ_methods('doors_main') WHERE access = 'write' ORDER BY id COLLATE "C";

CREATE ROLE regress_doors_user LOGIN;
GRANT integ_user TO regress_doors_user;
INSERT INTO integ.clients (id, name) VALUES ('doors_client', 'Doors');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('regress_doors_user', 'doors_client', 'u', 'user');
INSERT INTO integ.instance_grants (instance, client_id)
    SELECT id, 'doors_client' FROM integ.instances WHERE instance_id = 'doors_main';
GRANT USAGE ON SCHEMA doors TO regress_doors_user;
CREATE FUNCTION doors.requests() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$
    SELECT (body ->> '/echo/doors')::bigint FROM integ_request('doors_main', 'GET', '/count') $$;
-- What a statement comes to; what it had done is undone where it raised.
CREATE FUNCTION doors.tries(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE statement INTO result;
    RETURN coalesce(result, 'null');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;

SELECT coalesce(doors.requests(), 0) AS before \gset
SET ROLE regress_doors_user;
SELECT m AS method, doors.tries(format('SELECT integ_execute(''doors_main'', %L)', m)) AS execute,
       doors.tries(format('SELECT string_agg(sqlstate, '' '')
           FROM integ_execute_many(''doors_main'', %L, ARRAY[''{}'', ''{}'']::jsonb[])', m)) AS many,
       doors.tries(format('SELECT count(*) FROM integ_fetch(''doors_main'', %L)', m)) AS fetch
FROM unnest('{pay,pay_Account,pay_all,pay_around,pay_graph,pay_later}'::text[]) AS m;
SELECT verb, doors.tries(format('SELECT status FROM integ_request(''doors_main'', %L, ''/echo/doors'')', verb)) AS raw
FROM unnest('{POST,PUT,PATCH,DELETE,OPTIONS}'::text[]) AS verb;
SELECT doors.tries($$SELECT integ_enqueue('doors_main', 'pay', '{"object": "later"}') IS NOT NULL$$) AS enqueued;
SELECT count(*) AS enqueued FROM (
    SELECT integ_enqueue('doors_main', m) FROM unnest('{pay_all,pay_around,pay_graph,pay_later}'::text[]) AS m) AS e;
-- Whoever asks does not decide, and cannot write that somebody has.
SELECT doors.tries('SELECT integ_approve(id) FROM integ.approvals LIMIT 1') AS approves;
SELECT doors.tries($$UPDATE integ.approvals SET state = 'approved' RETURNING 1$$) AS updates;
SELECT doors.tries($$UPDATE integ.calls SET state = 'queued' RETURNING 1$$) AS requeues;
RESET ROLE;
-- The dispatcher has had its time: another call of it has come and gone.
SELECT integ_enqueue('doors_main', 'objects') AS call \gset
SELECT integ_await(:'call', '20 s') ->> 'state' AS state;
SELECT coalesce(doors.requests(), 0) - :before AS requests;
SELECT method COLLATE "C", count(*) AS waiting FROM integ.approvals
WHERE instance_id = 'doors_main' AND state = 'pending'
GROUP BY 1 ORDER BY 1;

-- One that is approved leaves once, and lets no other through.
SELECT integ_approve(id) AS call FROM integ.approvals
WHERE instance_id = 'doors_main' AND method = 'pay' AND state = 'pending' AND input ->> 'object' = 'later'\gset
SELECT integ_await(:'call', '20 s') ->> 'state' AS state;
SELECT doors.requests() - :before AS requests;
SET ROLE regress_doors_user;
SELECT doors.tries($$SELECT integ_execute('doors_main', 'pay', '{"object": "later"}')$$) AS again;
RESET ROLE;
SELECT doors.requests() - :before AS requests;

DELETE FROM integ.approvals WHERE instance_id = 'doors_main';
DELETE FROM integ.instances WHERE instance_id = 'doors_main';
SELECT integ_undefine('doors');
DELETE FROM integ.members WHERE client_id = 'doors_client';
DELETE FROM integ.clients WHERE id = 'doors_client';
DROP SCHEMA doors CASCADE;
DROP ROLE regress_doors_user;

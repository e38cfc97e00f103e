-- A raw request that was approved: what is sent is what was asked for, once.
\getenv provider_url INTEG_PROVIDER_URL
SELECT integ_define($${
  "integrationId": "raw_ap", "name": "Raw", "version": "1.0.0", "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "headers": {"X-Version": "7"}, "methods": []}$$::jsonb);
SELECT integ_connect('raw_ap', 'raw_main',
    jsonb_build_object('base_url', :'provider_url' || '/echo')) IS NOT NULL AS ok;
SELECT integ_credential_set('raw_main', 'token', 'the-raw-token') IS NOT NULL AS set;
INSERT INTO integ.clients (id, name) VALUES ('raw_acme', 'Acme');
CREATE ROLE raw_ann LOGIN;
CREATE ROLE raw_adm LOGIN;
GRANT integ_user TO raw_ann;
GRANT integ_admin TO raw_adm;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('raw_ann', 'raw_acme', 'ann', 'user'), ('raw_adm', 'raw_acme', NULL, 'admin');
INSERT INTO integ.instance_grants (instance, client_id)
    SELECT id, 'raw_acme' FROM integ.instances WHERE instance_id = 'raw_main';
CREATE FUNCTION raw_pending() RETURNS uuid LANGUAGE sql AS $$
    SELECT id FROM integ.approvals WHERE state = 'pending' AND client_id = 'raw_acme' ORDER BY id DESC LIMIT 1 $$;

-- A read of a user leaves at once; a write is an approval.
SET ROLE raw_ann;
SELECT status, body ->> 'path' AS path FROM integ_request('raw_main', 'GET', '/look');
\set VERBOSITY sqlstate
SELECT * FROM integ_request('raw_main', 'POST', '/pay/{amount}', '{"q": ["a b", 2]}',
    '{"X-Mine": "{credentials.token}"}',
    '{"amount": 12.50, "to": "{input}"}');
SELECT * FROM integ_request('raw_main', 'PUT', '/form', NULL, NULL, '{"a": "x y"}', '{"encoding": "form"}');
SELECT * FROM integ_request('raw_main', 'DELETE', '/thing');
\set VERBOSITY default

-- Each is approved, and sent as it was asked for: nothing in it is read as a template.
SET ROLE raw_adm;
SELECT integ_approve(raw_pending()) AS call \gset
RESET ROLE;
SELECT o ->> 'state' AS state, o #>> '{result,method}' AS method, o #>> '{result,path}' AS path,
       o #>> '{result,body}' AS body FROM integ_await(:'call', '20 s') AS o;
SET ROLE raw_adm;
SELECT integ_approve(raw_pending()) AS call \gset
RESET ROLE;
SELECT o ->> 'state' AS state, o #>> '{result,method}' AS method, o #>> '{result,body}' AS body,
       o #>> '{result,headers,content-type}' AS type FROM integ_await(:'call', '20 s') AS o;
SET ROLE raw_adm;
SELECT integ_approve(raw_pending()) AS call \gset
RESET ROLE;
SELECT o ->> 'state' AS state, o #>> '{result,method}' AS method, o #>> '{result,path}' AS path,
       o #>> '{result,query}' AS query, o #> '{result,json}' AS json, o #>> '{result,headers,x-mine}' AS mine,
       o #>> '{result,headers,x-version}' AS version, o #>> '{result,headers,authorization}' AS auth
FROM integ_await(:'call', '20 s') AS o;
SELECT raw_pending() IS NULL AS all_decided;
-- Each left once, as a write of whoever asked for it.
DO $$
BEGIN
    FOR i IN 1 .. 400 LOOP
        EXIT WHEN (SELECT count(*) >= 3 FROM integ.audit_log
                   WHERE instance_id = 'raw_main' AND action = 'call.write' AND outcome = 'succeeded');
        PERFORM pg_sleep(0.05);
        COMMIT;
    END LOOP;
END $$;
SELECT outcome, client_id, user_id, count(*) FROM integ.audit_log
WHERE instance_id = 'raw_main' AND action = 'call.write' AND outcome IN ('succeeded', 'failed', 'unknown')
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT http_method, count(*) FROM integ.requests WHERE instance_id = 'raw_main' GROUP BY 1 ORDER BY 1;

DELETE FROM integ.instances WHERE instance_id = 'raw_main';
SELECT integ_undefine('raw_ap');
DELETE FROM integ.members WHERE client_id = 'raw_acme';
DELETE FROM integ.clients WHERE id = 'raw_acme';
DROP FUNCTION raw_pending();
DROP ROLE raw_ann, raw_adm;

-- Where instances go follows their definition, and credentials do not follow to another origin.

CREATE SCHEMA origin_test;
CREATE FUNCTION origin_test.manifest(version text, url text, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('integrationId', 'origin_svc', 'name', 'Service', 'version', version, 'baseUrl', url,
        'authType', 'bearer', 'auth', '{"in": "header", "name": "Authorization", "value": "Bearer {credentials.token}"}'::jsonb,
        'configSchema', '{"type": "object", "properties": {"region": {"type": "string"}, "path": {"type": "string"}}}'::jsonb,
        'credentialSchema', '{"type": "object", "properties": {"token": {"type": "string"}}}'::jsonb,
        'methods', '[{"id": "ping", "name": "Ping", "access": "read", "inputSchema": {}, "outputSchema": {},
                      "request": {"method": "GET", "path": "/ping"}}]'::jsonb) || extra
$$;
CREATE FUNCTION origin_test.says(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), 'Hint: ' || nullif(hint, '')),
                          '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID', 'g');
END
$$;
INSERT INTO integ.clients (id, name) VALUES ('origin_client', 'A client');
CREATE VIEW origin_test.instances AS
SELECT instance_id, version, origin, status, last_error FROM integ.instances WHERE definition LIKE 'origin%' ORDER BY instance_id;

\pset format unaligned
\pset tuples_only on
\o /dev/null
SELECT integ_define(origin_test.manifest('1.0.0', 'https://old.example.com/v1'));
SELECT integ_connect('origin_svc', 'origin_main');
SELECT integ_credential_set('origin_main', 'token', 'tok-main');
SELECT integ_connect('origin_svc', 'origin_used');
SELECT integ_credential_set('origin_used', 'token', 'tok-used');
SELECT integ_connect('origin_svc', 'origin_pinned', NULL, '{"version": "1.0.0"}');
SELECT integ_connect('origin_svc', 'origin_gone');
SELECT integ_disconnect('origin_gone');
SELECT integ_connect('origin_svc', 'origin_borrower', NULL, '{"context": "client", "client": "origin_client", "borrow": "origin_main"}');
SELECT integ_connect('origin_svc', 'origin_regional', '{"region": "eu"}');
\o
UPDATE integ.instances SET status = 'active' WHERE instance_id = 'origin_used';

-- A version with the same base URL moves nobody; one with another says who has to act.
SELECT integ_define(origin_test.manifest('1.0.1', 'https://old.example.com/v2'));
SELECT instance_id, origin FROM origin_test.instances;
SELECT integ_define(origin_test.manifest('1.1.0', 'https://new.example.com/v2'));
SELECT * FROM origin_test.instances;
SELECT count(*) FROM integ.events e JOIN integ.instances i ON i.id = e.instance WHERE e.kind = 'instance.moved' AND i.definition = 'origin_svc';

-- The credential stays with the old origin until it is entered again.
SELECT allowed_origins FROM integ.credentials c JOIN integ.instances i ON i.id::text = c.owner_id WHERE i.instance_id = 'origin_used';
SELECT origin_test.says($$SELECT integ_execute('origin_used', 'ping')$$);
SELECT integ_credential_set('origin_used', 'token', 'tok-used-again') IS NOT NULL AS entered;
SELECT allowed_origins FROM integ.credentials c JOIN integ.instances i ON i.id::text = c.owner_id WHERE i.instance_id = 'origin_used';

-- Rolled back: nobody has moved.
BEGIN;
SELECT integ_define(origin_test.manifest('1.2.0', 'https://newest.example.com'));
SELECT instance_id, origin FROM origin_test.instances WHERE origin ~ 'newest';
ROLLBACK;
SELECT instance_id, origin FROM origin_test.instances WHERE origin ~ 'newest';

-- A config that the new version needs: who has it moves, of the others the next call says what is missing.
SELECT integ_define(origin_test.manifest('1.3.0', 'https://{config.region}.example.com'));
SELECT instance_id, origin, status FROM origin_test.instances;
SELECT origin_test.says($$SELECT integ_execute('origin_main', 'ping')$$);

-- Instances of another major version stay where they are.
SELECT integ_define(origin_test.manifest('2.0.0', 'https://two.example.com'));
SELECT instance_id, origin FROM origin_test.instances WHERE origin ~ 'two';

-- Without credentials there is nothing to enter.
SELECT integ_define(origin_test.manifest('1.0.0', 'https://old.example.com', '{"integrationId": "origin_open", "authType": "none"}') - 'auth');
SELECT integ_connect('origin_open', 'origin_free') IS NOT NULL AS connected;
SELECT integ_define(origin_test.manifest('1.1.0', 'https://new.example.com', '{"integrationId": "origin_open", "authType": "none"}') - 'auth');
SELECT * FROM origin_test.instances WHERE instance_id = 'origin_free';

-- A base URL that no request could be composed with is refused when it is connected.
SELECT integ_define(origin_test.manifest('1.0.0', 'https://old.example.com/{config.path}', '{"integrationId": "origin_path"}'));
SELECT origin_test.says(format('SELECT integ_connect(%L, %L, %L)', 'origin_path', 'origin_dots', config))
FROM (VALUES ('{"path": "a/../b"}'), ('{"path": "%2e%2e/x"}'), ('{"path": "a b"}'), ('{"path": "a#b"}'), ('{"path": "a/b"}')) c (config);

\pset tuples_only off
\pset format aligned
SET client_min_messages = warning;
DELETE FROM integ.instances WHERE borrows IS NOT NULL AND definition LIKE 'origin%';
DELETE FROM integ.instances WHERE definition LIKE 'origin%';
DELETE FROM integ.definitions WHERE id LIKE 'origin%';
DELETE FROM integ.clients WHERE id = 'origin_client';
DROP SCHEMA origin_test CASCADE;

-- Instances: connected in a context, found by whoever they are for, changed by whoever may.

CREATE SCHEMA inst_test;
CREATE FUNCTION inst_test.says(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement INTO result;
    RETURN 'ok: ' || coalesce(result, '');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), 'Hint: ' || nullif(hint, '')),
                          '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID', 'g');
END
$$;
-- What integ_connect returns is an id: tells whether there is one.
CREATE FUNCTION inst_test.connect(definition text, handle text, config jsonb DEFAULT NULL, options jsonb DEFAULT '{}')
RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(inst_test.says(format('SELECT integ_connect(%L, %L, %L, %L)', definition, handle, config, options)),
                          '^ok: .*', 'connected')
$$;
GRANT USAGE ON SCHEMA inst_test TO PUBLIC;

INSERT INTO integ.plans (id, name, rank) VALUES ('inst_basic', 'Basic', 1), ('inst_gold', 'Gold', 5);
INSERT INTO integ.clients (id, name, plan) VALUES ('inst_a', 'A', 'inst_basic'), ('inst_b', 'B', NULL);
CREATE ROLE inst_admin IN ROLE integ_admin;
CREATE ROLE inst_uwe IN ROLE integ_user;
CREATE ROLE inst_una IN ROLE integ_user;
CREATE ROLE inst_plain IN ROLE integ_user;
CREATE ROLE inst_other IN ROLE integ_admin;
CREATE ROLE inst_pool IN ROLE integ_user, integ_impersonate;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('inst_admin', 'inst_a', 'ann', 'admin'), ('inst_uwe', 'inst_a', 'uwe', 'user'), ('inst_una', 'inst_a', 'una', 'user'),
    ('inst_plain', 'inst_a', NULL, 'user'), ('inst_other', 'inst_b', 'otto', 'admin');

SELECT integ_define('{
  "integrationId": "inst_svc", "name": "Service", "version": "1.0.0", "baseUrl": "https://{config.region}.example.com/v{config.api}",
  "authType": "bearer",
  "configSchema": {"type": "object", "required": ["region"], "additionalProperties": false,
                   "properties": {"region": {"type": "string"}, "api": {"type": "integer", "default": 2}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [{"id": "one", "name": "One", "inputSchema": {"type": "object", "properties": {"limit": {"type": "integer"}}},
               "outputSchema": {}, "request": {"method": "GET", "path": "/one", "query": {"limit": "{limit}"}}}]}');
SELECT integ_define('{"integrationId": "inst_open", "name": "Open", "version": "1.0.0", "baseUrl": "http://open.example.com", "methods": []}');

\pset format unaligned
\pset tuples_only on

-- Config is checked, the origin follows from it, and secrets are kept out of it.
SET ROLE inst_admin;
SELECT inst_test.connect('inst_svc', 'main', '{"region": "eu"}');
SELECT inst_test.connect('inst_svc', 'bad', '{}');
SELECT inst_test.connect('inst_svc', 'bad', '{"region": 5}');
SELECT inst_test.connect('inst_svc', 'bad', '{"region": "eu", "zone": 1}');
SELECT inst_test.connect('inst_svc', 'bad', '{"region": "eu", "token": "secret"}');
SELECT inst_test.connect('inst_svc', 'bad', '[]');
SELECT inst_test.connect('inst_svc', 'bad', '{"region": "evil.example/"}');
SELECT inst_test.connect('inst_svc', 'bad', '{"region": "me@evil.example#"}');
SELECT inst_test.connect('inst_svc', 'bad', '{"region": "evil.example:80/?"}');
SELECT inst_test.connect('inst_svc', 'bad', '{"region": "eu", "defaults": {"two": {}}}');
SELECT inst_test.connect('inst_svc', 'bad', '{"region": "eu", "defaults": {"one": 5}}');
SELECT inst_test.connect('inst_svc', 'defaults', '{"region": "eu", "defaults": {"one": {"limit": 5}}}');
SELECT inst_test.connect('inst_none', 'bad');
SELECT inst_test.connect('inst_svc', 'bad handle', '{"region": "eu"}');
SELECT inst_test.connect('inst_svc', '', '{"region": "eu"}');
SELECT inst_test.connect('inst_svc', 'inst_open', '{"region": "eu"}');
SELECT inst_test.connect('inst_open', 'main');
SELECT inst_test.connect('inst_open', 'bad', '{}', '{"colour": "red"}');
SELECT inst_test.connect('inst_open', 'bad', '{}', '{"context": "tenant"}');
SELECT inst_test.connect('inst_open', 'bad', '{}', '{"auth_method": "oauth"}');
SELECT inst_test.connect('inst_open', 'open', '{}', '{"name": "Open data", "description": "Free", "metadata": {"team": 1}}');
SELECT instance_id, definition, version, name, description, context_type, context_id, client_id, config, origin, status,
       is_active, metadata, created_by, connected_at IS NOT NULL AS connected
FROM integ.instances WHERE client_id LIKE 'inst%' ORDER BY instance_id;
DELETE FROM integ.instances WHERE instance_id = 'defaults';

-- Who may connect where.
SELECT inst_test.connect('inst_open', 'global', '{}', '{"context": "global"}');
SELECT inst_test.connect('inst_open', 'theirs', '{}', '{"client": "inst_b"}');
SELECT inst_test.connect('inst_open', 'uwes', '{}', '{"user": "uwe"}');
SET ROLE inst_uwe;
SELECT inst_test.connect('inst_open', 'open', '{}', '{"context": "client"}');
SELECT inst_test.connect('inst_open', 'uwes');
SELECT inst_test.connect('inst_open', 'unas', '{}', '{"user": "una"}');
SET ROLE inst_plain;
SELECT inst_test.connect('inst_open', 'plain');
RESET ROLE;
SELECT inst_test.connect('inst_open', 'for_b', '{}', '{"client": "inst_b"}');
SELECT inst_test.connect('inst_open', 'nowhere', '{}', '{"client": "inst_x"}');
SELECT inst_test.connect('inst_open', 'nobodys', '{}', '{"context": "client"}');
UPDATE integ.clients SET allows_user_instances = false WHERE id = 'inst_a';
SET ROLE inst_uwe;
SELECT inst_test.connect('inst_open', 'more');
RESET ROLE;
UPDATE integ.clients SET allows_user_instances = true, is_active = false WHERE id = 'inst_a';
SET ROLE inst_uwe;
SELECT inst_test.connect('inst_open', 'more');
RESET ROLE;
UPDATE integ.clients SET is_active = true WHERE id = 'inst_a';

-- Global instances are for the clients they are granted to; without grants, for all.
SELECT inst_test.connect('inst_open', 'shared', '{}', '{"context": "global"}');
SELECT inst_test.connect('inst_open', 'granted', '{}', '{"grants": ["inst_a"]}');
SELECT inst_test.connect('inst_open', 'granted', '{}', '{"grants": ["inst_x"]}');
SELECT inst_test.connect('inst_open', 'for_b', '{}', '{"client": "inst_b", "grants": ["inst_a"]}');
SELECT i.instance_id, g.client_id, g.granted_by FROM integ.instance_grants g
JOIN integ.instances i ON i.id = g.instance ORDER BY 1;

-- Each sees its own, its client's and what it was granted. Never others'.
SET ROLE inst_admin;
SELECT 'ann', string_agg(context_type || ':' || instance_id, ' ' ORDER BY context_type, instance_id) FROM integ.instances;
SET ROLE inst_uwe;
SELECT 'uwe', string_agg(context_type || ':' || instance_id, ' ' ORDER BY context_type, instance_id) FROM integ.instances;
SET ROLE inst_una;
SELECT 'una', string_agg(context_type || ':' || instance_id, ' ' ORDER BY context_type, instance_id) FROM integ.instances;
SELECT inst_test.says($$SELECT count(*) FROM integ_methods('uwes')$$);
SELECT inst_test.says($$SELECT count(*) FROM integ_methods('for_b')$$);
SELECT inst_test.says($$SELECT count(*) FROM integ_methods('granted')$$);
SET ROLE inst_other;
SELECT 'otto', string_agg(context_type || ':' || instance_id, ' ' ORDER BY context_type, instance_id) FROM integ.instances;
SELECT inst_test.says($$SELECT count(*) FROM integ_methods('granted')$$);
SELECT inst_test.says($$SELECT count(*) FROM integ_methods('main')$$);
SELECT client_id FROM integ.instance_grants ORDER BY 1;
SET ROLE inst_pool;
SELECT 'pool', count(*) FROM integ.instances;
SELECT inst_test.says($$SELECT integ_resolve('inst_open')$$);
BEGIN;
SELECT integ_act_as('inst_a', 'uwe');
SELECT 'pool as uwe', string_agg(context_type || ':' || instance_id, ' ' ORDER BY context_type, instance_id) FROM integ.instances;
SELECT integ_resolve('inst_open');
COMMIT;
SELECT 'pool', count(*) FROM integ.instances;
RESET ROLE;

-- The nearest wins: the user's, the client's, global; by handle as by definition.
SET ROLE inst_una;
SELECT integ_resolve('inst_open');
SET ROLE inst_uwe;
SELECT integ_resolve('inst_open');
SET ROLE inst_other;
SELECT integ_resolve('inst_open');
SELECT inst_test.says($$SELECT integ_resolve('inst_svc')$$);
SELECT inst_test.says($$SELECT integ_resolve('nothing')$$);
RESET ROLE;
SELECT inst_test.says($$SELECT integ_resolve('inst_open')$$);
SET ROLE inst_admin;
SELECT inst_test.connect('inst_open', 'second');
SELECT inst_test.says($$SELECT integ_resolve('inst_open')$$);
UPDATE integ.instances SET is_default = true WHERE instance_id = 'second';
SELECT integ_resolve('inst_open');
SELECT inst_test.connect('inst_open', 'open', NULL, '{"default": true}');
SELECT integ_resolve('inst_open');
SELECT instance_id, is_default FROM integ.instances WHERE definition = 'inst_open' AND context_type = 'client' ORDER BY 1;
-- a handle of each context
SET ROLE inst_uwe;
SELECT inst_test.connect('inst_open', 'open');
SELECT integ_disconnect('open');
SELECT inst_test.says($$SELECT integ_disconnect('second')$$);
SELECT inst_test.says($$SELECT integ_disconnect('shared')$$);
SET ROLE inst_admin;
SELECT context_type, instance_id, status FROM integ.instances WHERE instance_id = 'open' ORDER BY 1;
-- administrators manage what belongs to their users, by id
SELECT inst_test.says(format('SELECT integ_disconnect(%L)', (SELECT id FROM integ.instances WHERE instance_id = 'uwes')));
SELECT instance_id, status FROM integ.instances WHERE instance_id = 'uwes';
SET ROLE inst_una;
SELECT inst_test.says(format('SELECT integ_disconnect(%L)', id)) FROM (VALUES ('01234567-89ab-7def-8123-456789abcdef')) x (id);
RESET ROLE;

-- The same handle connects again: what was given changes, the rest stays.
SET ROLE inst_admin;
SELECT inst_test.connect('inst_svc', 'main', NULL, '{"description": "Again"}');
SELECT config, description, origin, status FROM integ.instances WHERE instance_id = 'main';
SELECT inst_test.connect('inst_svc', 'main', '{"region": "us"}');
SELECT config, description, origin, status FROM integ.instances WHERE instance_id = 'main';
SELECT inst_test.connect('inst_open', 'main');

-- What administrators may update in place is checked as well.
UPDATE integ.instances SET name = 'Main', config = '{"region": "eu", "api": 3}' WHERE instance_id = 'main';
SELECT name, config, origin, status FROM integ.instances WHERE instance_id = 'main';
SELECT inst_test.says($$UPDATE integ.instances SET config = '{"region": 1}' WHERE instance_id = 'main'$$);
SELECT inst_test.says($$UPDATE integ.instances SET config = '{"region": "evil.example/"}' WHERE instance_id = 'main'$$);
SELECT inst_test.says($$UPDATE integ.instances SET config = NULL WHERE instance_id = 'main'$$);
SELECT inst_test.says($$UPDATE integ.instances SET status = 'active' WHERE instance_id = 'main'$$);
SELECT inst_test.says($$UPDATE integ.instances SET client_id = 'inst_b' WHERE instance_id = 'main'$$);
SELECT inst_test.says($$UPDATE integ.instances SET origin = 'https://evil.example' WHERE instance_id = 'main'$$);
SELECT inst_test.says($$INSERT INTO integ.instances (instance_id, definition, version, name, context_type, client_id) VALUES ('x', 'inst_open', '1', 'x', 'global', '*')$$);
SELECT inst_test.says($$INSERT INTO integ.instance_grants SELECT id, 'inst_b' FROM integ.instances$$);
UPDATE integ.instances SET name = 'Mine' WHERE instance_id = 'shared';
DELETE FROM integ.instances WHERE instance_id = 'shared';
SET ROLE inst_una;
UPDATE integ.instances SET name = 'Mine';
DELETE FROM integ.instances;
RESET ROLE;
SELECT instance_id, name FROM integ.instances WHERE name = 'Mine' OR instance_id = 'shared';

-- A person's switch-off is never undone by connecting again; integ's own is.
SET ROLE inst_admin;
UPDATE integ.instances SET is_active = false, deactivated_reason = 'Audit' WHERE instance_id = 'second';
SELECT is_active, deactivated_by, deactivated_at IS NOT NULL AS stamped, deactivated_reason FROM integ.instances WHERE instance_id = 'second';
SELECT inst_test.connect('inst_open', 'second');
SELECT is_active, deactivated_by FROM integ.instances WHERE instance_id = 'second';
SELECT integ_disconnect('second');
SELECT inst_test.connect('inst_open', 'second');
SELECT is_active, deactivated_by, status FROM integ.instances WHERE instance_id = 'second';
UPDATE integ.instances SET is_active = true WHERE instance_id = 'second';
SELECT is_active, deactivated_by, deactivated_at, deactivated_reason FROM integ.instances WHERE instance_id = 'second';
RESET ROLE;
SET SESSION AUTHORIZATION integ_owner;
UPDATE integ.instances SET is_active = false, status = 'reauth_required', deactivated_at = now(), deactivated_reason = '401' WHERE instance_id = 'second';
RESET SESSION AUTHORIZATION;
SET ROLE inst_admin;
SELECT is_active, deactivated_by, status FROM integ.instances WHERE instance_id = 'second';
SELECT inst_test.connect('inst_open', 'second');
SELECT is_active, status, deactivated_reason FROM integ.instances WHERE instance_id = 'second';

-- The states in the words of applications.
SELECT instance_id, state, connection, status FROM integ.instance_states WHERE client_id = 'inst_a' ORDER BY context_type, instance_id;
RESET ROLE;

-- Visibility, scope, plan and status of the definition.
CREATE FUNCTION inst_test.define(id text, keys jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT integ_define(jsonb_build_object('integrationId', id, 'name', id, 'version', '1.0.0', 'baseUrl', 'https://example.com', 'methods', '[]'::jsonb) || keys)
$$;
SELECT inst_test.define('inst_system', '{"connectionScope": "system"}'), inst_test.define('inst_tenant', '{"connectionScope": "tenant"}'),
       inst_test.define('inst_secret', '{"visibility": "superadmin_only"}'), inst_test.define('inst_goldy', '{"requiredPlan": "inst_gold"}'),
       inst_test.define('inst_beta', '{"status": "beta"}'), inst_test.define('inst_off', '{"status": "disabled"}'),
       inst_test.define('inst_noplan', '{"requiredPlan": "inst_platinum"}');
SELECT inst_test.connect('inst_tenant', 't1', '{}');
SELECT inst_test.connect('inst_secret', 's1', '{}');
SELECT inst_test.connect('inst_off', 'o1', '{}');
SET ROLE inst_admin;
SELECT inst_test.connect('inst_system', 's2', '{}');
SELECT inst_test.connect('inst_secret', 's2', '{}');
SELECT inst_test.connect('inst_goldy', 'g1', '{}');
SELECT inst_test.connect('inst_noplan', 'n1', '{}');
SELECT inst_test.connect('inst_beta', 'b1', '{}');
SELECT inst_test.connect('inst_beta', 'b2', '{}');
-- what is shared may be used even where it could not be connected
SELECT count(*) FROM integ_methods('s1');
RESET ROLE;
UPDATE integ.clients SET plan = 'inst_gold' WHERE id = 'inst_a';
SET ROLE inst_admin;
SELECT inst_test.connect('inst_goldy', 'g1', '{}');
SELECT integ_define(manifest || '{"integrationId": "inst_own", "visibility": "private"}') FROM integ.definitions WHERE id = 'inst_open';
SELECT inst_test.connect('inst_own', 'own', '{}');
SELECT inst_test.connect('inst_own', 'own', '{}', '{"context": "user"}');
SET ROLE inst_uwe;
SELECT inst_test.connect('inst_own', 'own2', '{}');
RESET ROLE;
SELECT inst_test.connect('inst_own', 'own', '{}', '{"client": "inst_b"}');

-- Borrowing: own config and tasks, the global one's credentials, for its origin only.
SELECT inst_test.connect('inst_svc', 'lender', '{"region": "eu"}', '{"grants": ["inst_a"]}');
SET ROLE inst_admin;
SELECT inst_test.connect('inst_svc', 'borrower', '{"api": 4}', '{"borrow": "lender"}');
SELECT inst_test.connect('inst_svc', 'thief', '{"region": "us"}', '{"borrow": "lender"}');
SELECT inst_test.connect('inst_svc', 'thief', '{}', '{"borrow": "main"}');
SELECT inst_test.connect('inst_open', 'thief', '{}', '{"borrow": "lender"}');
SELECT inst_test.says($$UPDATE integ.instances SET config = '{"region": "us"}' WHERE instance_id = 'borrower'$$);
UPDATE integ.instances SET config = '{"api": 5}' WHERE instance_id = 'borrower';
SELECT instance_id, config, origin, borrows IS NOT NULL AS borrows, status FROM integ.instances WHERE instance_id = 'borrower';
SET ROLE inst_other;
SELECT inst_test.connect('inst_svc', 'thief', '{}', '{"borrow": "lender"}');
RESET ROLE;
SELECT inst_test.says($$DELETE FROM integ.instances WHERE instance_id = 'lender'$$);
SELECT inst_test.connect('inst_svc', 'global2', '{}', '{"borrow": "lender"}');

-- An instance follows its definition within a major version.
SELECT integ_define(manifest || '{"version": "1.1.0", "methods": [{"id": "v11", "name": "1.1", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET"}}]}') FROM integ.definitions WHERE id = 'inst_open';
SELECT integ_define(manifest || '{"version": "2.0.0", "methods": [{"id": "v20", "name": "2.0", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET"}}]}') FROM integ.definitions WHERE id = 'inst_open';
SET ROLE inst_admin;
SELECT m.id FROM integ_methods('open') m;
SELECT inst_test.connect('inst_open', 'exact', '{}', '{"version": "1.0.0"}');
SELECT inst_test.connect('inst_open', 'new', '{}');
SELECT inst_test.connect('inst_open', 'never', '{}', '{"version": "3"}');
SELECT inst_test.connect('inst_open', 'never', '{}', '{"version": "1.0.1"}');
SELECT count(*) FROM integ_methods('exact');
SELECT m.id FROM integ_methods('new') m;
SELECT m.id FROM integ_methods('inst_open') m;
SELECT inst_test.connect('inst_open', 'open', NULL, '{"version": "latest"}');
SELECT m.id FROM integ_methods('open') m;
SELECT instance_id, version FROM integ.instances WHERE instance_id IN ('open', 'exact', 'new') ORDER BY 1, 2;
RESET ROLE;
SELECT integ_define(manifest || '{"version": "2.1.0", "methods": [{"id": "v21", "name": "2.1", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET"}}]}') FROM integ.definitions WHERE id = 'inst_open';
SET ROLE inst_admin;
SELECT m.id FROM integ_methods('open') m;
RESET ROLE;

-- Methods that only one instance has come first.
INSERT INTO integ.instance_methods (id, instance, client_id, method)
SELECT m ->> 'id', i.id, i.client_id, m FROM integ.instances i, jsonb_array_elements('[
    {"id": "custom", "name": "Custom object", "access": "write", "inputSchema": {}, "outputSchema": {}, "request": {"method": "POST"}},
    {"id": "v21", "name": "Own 2.1", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET"}}]') m
WHERE i.instance_id = 'open' AND i.context_type = 'client';
SET ROLE inst_admin;
SELECT id, name, access FROM integ_methods('open');
SELECT id FROM integ_methods('new');
SET ROLE inst_other;
SELECT count(*) FROM integ.instance_methods;
RESET ROLE;

-- A definition that integ brings later under the id of a handle: the handle wins.
SELECT integ.mirror_definition(manifest || '{"integrationId": "second", "version": "1.0.0"}') FROM integ.definitions WHERE id = 'inst_open';
SET ROLE inst_admin;
SELECT id FROM integ_methods('second');
SET ROLE inst_other;
SELECT id FROM integ_methods('second');
RESET ROLE;

-- What a restore brings is taken as it is: rows are checked when people write them.
CREATE TABLE inst_test.before AS SELECT * FROM integ.instances;
DELETE FROM integ.instances WHERE borrows IS NOT NULL;
DELETE FROM integ.instances WHERE definition LIKE 'inst%';
INSERT INTO integ.instances SELECT * FROM inst_test.before WHERE definition LIKE 'inst%';
SELECT count(*) FROM (SELECT * FROM inst_test.before EXCEPT SELECT * FROM integ.instances) d;

-- What happened can be read.
SELECT kind, count(*) > 0 AS some FROM integ.events WHERE client_id = 'inst_a' AND kind LIKE 'instance.%' GROUP BY kind ORDER BY kind;

\pset tuples_only off
\pset format aligned
SET client_min_messages = warning;
DELETE FROM integ.instances WHERE borrows IS NOT NULL;
DELETE FROM integ.instances WHERE definition LIKE 'inst%';
DELETE FROM integ.definitions WHERE id LIKE 'inst%' OR id = 'second';
DELETE FROM integ.members WHERE client_id LIKE 'inst%';
DELETE FROM integ.clients WHERE id LIKE 'inst%';
DELETE FROM integ.plans WHERE id LIKE 'inst%';
DROP SCHEMA inst_test CASCADE;
DROP ROLE inst_admin, inst_uwe, inst_una, inst_plain, inst_other, inst_pool;

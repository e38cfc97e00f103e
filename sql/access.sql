-- Who acts: clients, members, and acting for others.

-- A superuser without a row in integ.members acts globally.
SELECT integ_current_client(), integ_current_user_id(), integ_current_level();

INSERT INTO integ.plans (id, name, rank) VALUES ('access_team', 'Team', 1);
INSERT INTO integ.clients (id, name, plan) VALUES
    ('access_acme', 'Acme', 'access_team'), ('access_bolt', 'Bolt', NULL), ('access_gone', 'Gone', NULL);
UPDATE integ.clients SET is_active = false WHERE id = 'access_gone';

CREATE ROLE access_ann LOGIN;
CREATE ROLE access_adm LOGIN;
CREATE ROLE access_pool LOGIN;
CREATE ROLE access_nobody LOGIN;
GRANT integ_user TO access_ann, access_nobody, access_pool;
GRANT integ_admin TO access_adm;
GRANT integ_impersonate TO access_pool;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('access_ann', 'access_acme', 'ann', 'user'),
    ('access_adm', 'access_acme', NULL, 'admin');

-- A member is its client's user, and sees its client only.
SET ROLE access_ann;
SELECT integ_current_client(), integ_current_user_id(), integ_current_level();
SELECT id, name, plan FROM integ.clients ORDER BY id;
SELECT role, client_id, level FROM integ.members ORDER BY role::text;
INSERT INTO integ.members (role, client_id, level) VALUES ('access_ann', '*', 'superadmin');
UPDATE integ.clients SET plan = NULL;
SELECT integ_act_as('access_bolt', 'eve');
RESET ROLE;

-- An admin sees the members of its client.
SET ROLE access_adm;
SELECT role, client_id, level FROM integ.members ORDER BY role::text;
RESET ROLE;

-- A role of nobody sees nothing.
SET ROLE access_nobody;
SELECT integ_current_client() IS NULL AS no_client, integ_current_level() IS NULL AS no_level;
SELECT count(*) FROM integ.clients;
SELECT integ_execute('anything', 'at_all');
RESET ROLE;

-- A connection pool acts for others, until the end of the transaction.
SET ROLE access_pool;
SELECT integ_current_client() IS NULL AS nobody_yet;
BEGIN;
SELECT integ_act_as('access_bolt', 'bea');
SELECT integ_current_client(), integ_current_user_id(), integ_current_level();
SELECT id FROM integ.clients;
SAVEPOINT s;
SELECT integ_act_as('access_acme');
SELECT integ_current_client(), integ_current_user_id();
ROLLBACK TO s;
SELECT integ_current_client(), integ_current_user_id();
COMMIT;
SELECT integ_current_client() IS NULL AS nobody_again;
SELECT integ_act_as('access_gone');
SELECT integ_act_as('access_unknown');
SELECT integ_act_as(NULL);
SELECT integ_act_as(E'access_acme\x1f', 'x');

-- Nobody can name a client by a setting.
SET integ.acting = 'access_acme';
SELECT set_config('integ.acting', 'access_acme', false);
ALTER ROLE access_pool SET integ.acting = 'access_acme';

-- What a pool role said does not hold for a role that may not impersonate.
RESET ROLE;
BEGIN;
SET LOCAL ROLE access_pool;
SELECT integ_act_as('access_bolt', 'bea');
SET LOCAL ROLE access_ann;
SELECT integ_current_client(), integ_current_user_id();
COMMIT;

-- A change of membership is seen at once, and undone with its transaction.
BEGIN;
UPDATE integ.members SET client_id = 'access_bolt' WHERE role = 'access_ann'::regrole;
SET LOCAL ROLE access_ann;
SELECT integ_current_client();
ROLLBACK;
SET ROLE access_ann;
SELECT integ_current_client();
RESET ROLE;

-- Nobody acts for a client that is switched off.
UPDATE integ.clients SET is_active = false WHERE id = 'access_acme';
SET ROLE access_ann;
SELECT integ_current_client() IS NULL AS no_client, integ_current_level() IS NULL AS no_level;
SELECT count(*) FROM integ.clients;
SELECT integ_execute('anything', 'at_all');
RESET ROLE;
UPDATE integ.clients SET is_active = true WHERE id = 'access_acme';
SET ROLE access_ann;
SELECT integ_current_client();
RESET ROLE;

-- What a role loses is lost at once, also within the transaction in which it acts.
BEGIN;
SET LOCAL ROLE access_pool;
SELECT integ_act_as('access_bolt', 'bea');
SELECT integ_current_client();
RESET ROLE;
REVOKE integ_impersonate FROM access_pool;
SET LOCAL ROLE access_pool;
SELECT integ_current_client() IS NULL AS nobody;
ROLLBACK;
GRANT integ_superadmin TO access_nobody;
SET ROLE access_nobody;
SELECT integ_current_level();
RESET ROLE;
REVOKE integ_superadmin FROM access_nobody;
SET ROLE access_nobody;
SELECT integ_current_level() IS NULL AS no_level;
RESET ROLE;

-- A relation leads from and to what its writer sees; one that was there by other means fills no other client's record.
INSERT INTO integ.records (id, client_id, context_type, context_id, type, data) VALUES
    ('00000000-0000-7000-8000-0000000acce1', 'access_acme', 'client', 'access_acme', 'c_company', '{"name": "Acme"}'),
    ('00000000-0000-7000-8000-0000000acce2', 'access_bolt', 'client', 'access_bolt', 'c_contact', '{"name": "Bea"}');
INSERT INTO integ.conversion_schemas (id, schema_id, client_id, context_type, context_id, source_entity, target_type,
    field_mappings)
VALUES ('00000000-0000-7000-8000-0000000acce3', 'access_bolt', 'access_bolt', 'client',
    'access_bolt', 'Contact', 'c_contact',
    '[{"targetField": "name", "mappingType": "direct", "config": {"sourceField": "Name"}}]');
SET ROLE access_adm;
INSERT INTO integ.record_relations (client_id, relation_type, from_record, to_type, to_field, to_value, field)
VALUES ('access_acme', 'belongs_to', '00000000-0000-7000-8000-0000000acce2', 'c_company', 'name', 'Acme', 'companyId');
INSERT INTO integ.record_relations (client_id, relation_type, from_table, from_key, schema, to_type, to_field,
    to_value, field)
VALUES ('access_acme', 'belongs_to', 'integ.records', '{"id": 1}', '00000000-0000-7000-8000-0000000acce3',
    'c_company', 'name', 'Acme', 'companyId');
INSERT INTO integ.record_relations (client_id, relation_type, from_record, to_type, to_external_id)
VALUES ('access_acme', 'belongs_to', '00000000-0000-7000-8000-0000000acce1', 'c_company', '001');
RESET ROLE;
INSERT INTO integ.record_relations (client_id, relation_type, from_record, to_type, to_field, to_value, field)
VALUES ('access_acme', 'belongs_to', '00000000-0000-7000-8000-0000000acce2', 'c_company', 'name', 'Acme', 'companyId');
SELECT integ.link_relations('{00000000-0000-7000-8000-0000000acce1}');
SELECT data FROM integ.records WHERE client_id = 'access_bolt';
DELETE FROM integ.record_relations WHERE client_id = 'access_acme';
DELETE FROM integ.records WHERE client_id LIKE 'access_%';
DELETE FROM integ.conversion_schemas WHERE client_id = 'access_bolt';

-- Rows that make no sense are refused.
\set VERBOSITY terse
INSERT INTO integ.clients (id, name) VALUES ('*', 'everything');
INSERT INTO integ.members (role, client_id, level) VALUES ('access_nobody', '*', 'user');
INSERT INTO integ.members (role, client_id, level) VALUES ('access_nobody', 'access_acme', 'king');

DELETE FROM integ.members WHERE client_id LIKE 'access_%';
DELETE FROM integ.clients WHERE id LIKE 'access_%';
DELETE FROM integ.plans WHERE id = 'access_team';
DROP ROLE access_ann, access_adm, access_pool, access_nobody;

-- A role that was dropped is no member any more: its number may become another's.
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
INSERT INTO integ.clients (id, name) VALUES ('access_late', 'Late');
CREATE ROLE access_late;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('access_late', 'access_late', 'lou', 'user');
DROP ROLE access_late;
SELECT count(*) FROM integ.members WHERE client_id = 'access_late';
UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'members';
CALL pg_temp.wait_for($$SELECT NOT EXISTS (SELECT FROM integ.members WHERE client_id = 'access_late')$$);
DELETE FROM integ.clients WHERE id = 'access_late';

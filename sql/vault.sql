-- The vault, as the people of two clients, a superadmin and a stranger use it.
\set VERBOSITY default
SELECT integ_define('{
    "integrationId": "vault_erp", "name": "ERP", "version": "1.0.0", "baseUrl": "{config.base_url}",
    "authType": "bearer", "auth": {"in": "header", "name": "Authorization", "value": "Bearer {credentials.token}"},
    "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string", "format": "uri"}}},
    "credentialSchema": {"type": "object", "required": ["token"], "properties": {
        "token": {"type": "string", "minLength": 8, "x-label": "API token", "x-widget": "password"},
        "pin": {"type": "integer", "minimum": 1000}, "sandbox": {"type": "boolean"}, "anything": true}},
    "methods": [{"id": "list", "name": "List", "access": "read", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET", "path": "/items"}}]
}');

CREATE ROLE vault_acme_admin;
CREATE ROLE vault_acme_user;
CREATE ROLE vault_acme_other;
CREATE ROLE vault_bolt_admin;
CREATE ROLE vault_stranger;
GRANT integ_user TO vault_acme_admin, vault_acme_user, vault_acme_other, vault_bolt_admin, vault_stranger;
INSERT INTO integ.clients (id, name) VALUES ('vault_acme', 'Acme'), ('vault_bolt', 'Bolt');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('vault_acme_admin', 'vault_acme', 'ann', 'admin'),
    ('vault_acme_user', 'vault_acme', 'uma', 'user'),
    ('vault_acme_other', 'vault_acme', 'otto', 'user'),
    ('vault_bolt_admin', 'vault_bolt', 'ben', 'admin');

-- An administrator connects the client's ERP and enters its token.
SET ROLE vault_acme_admin;
SELECT integ_connect('vault_erp', 'vault_main', '{"base_url": "https://Erp.Example.com:443/api"}') IS NOT NULL AS connected;
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef');
SELECT instance_id, client_id, name, hint, version, rotating, allowed_origins, expires_at, created_by
FROM integ.credential_hints ORDER BY instance_id, name;

-- Values are what the definition asks for; messages do not repeat them.
SELECT integ_credential_set('vault_main', 'token', 'tooshort'::varchar(7));
SELECT integ_credential_set('vault_main', 'tokn', 'tok_0123456789abcdef');
SELECT integ_credential_set('vault_main', 'pin', '12345');
SELECT integ_credential_set('vault_main', 'pin', '99');
SELECT integ_credential_set('vault_main', 'pin', 'one thousand');
SELECT integ_credential_set('vault_main', 'sandbox', 'true');
SELECT integ_credential_set('vault_main', 'sandbox', 'perhaps');
SELECT integ_credential_set('vault_main', 'anything', E'two\nlines that are long');
SELECT integ_credential_set('vault_main', 'token', '');
SELECT integ_credential_set('vault_main', 'token', NULL);
SELECT integ_credential_set('vault_main', 'token', repeat('x', 65537));
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', '{"env": "HOME"}');
SELECT integ_credential_set(NULL, 'token', 'tok_0123456789abcdef');
SELECT integ_credential_set('vault_main', '', 'tok_0123456789abcdef');
SELECT integ_credential_set('vault_main', E'a\tb', 'tok_0123456789abcdef');

-- Options are checked.
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', '{"promote": true}');
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', '{"origin": "https://a.example"}');
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', '{"origins": "https://a.example"}');
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', '{"origins": [1]}');
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', '{"origins": ["ftp://a.example"]}');
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', '{"origins": ["https://user@a.example"]}');
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', jsonb_build_object('origins', (SELECT array_agg('https://a' || i) FROM generate_series(1, 33) AS i)));
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', '{"expires_at": "2001-01-01 00:00:00+00"}') \g /dev/null
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', jsonb_build_object('hint', repeat('h', 101)));
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef', '{"hint": "it is tok_0123456789abcdef"}');
SELECT integ_credential_set('vault_main', 'token', 'no envelope', '{"sealed": true}');
SELECT integ_credential_set('vault_main', 'token', '\x3003020100'::bytea);
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef',
    '{"origins": ["https://b.example:443", "https://A.example", "https://b.example"], "hint": "Ann''s", "expires_at": "2999-01-01 00:00:00+00", "sealed": false}');
SELECT name, hint, version, allowed_origins, extract(year FROM expires_at) AS expires
FROM integ.credential_hints ORDER BY name;

-- Rotation keeps the value before until the new one has proven itself.
SELECT integ_credential_rotate('vault_main', 'missing', 'tok_0123456789abcdef', '{}');
SELECT integ_credential_rotate('vault_main', 'sandbox', NULL);
SELECT integ_credential_rotate('vault_main', 'sandbox', NULL, '{"promote": true}');
SELECT integ_credential_rotate('vault_main', 'token', 'tok_new_9876543210');
SELECT name, state, version, hint FROM integ.credentials WHERE name = 'token' ORDER BY state;
SELECT integ_credential_rotate('vault_main', 'token', 'x', '{"promote": true}');
SELECT integ_credential_rotate('vault_main', 'token', NULL, '{"promote": true, "revert": true}');
SELECT integ_credential_rotate('vault_main', 'token', NULL, '{"revert": true}');
SELECT name, state, version, hint FROM integ.credentials WHERE name = 'token' ORDER BY state;
SELECT integ_credential_rotate('vault_main', 'token', 'tok_new_9876543210');
SELECT integ_credential_rotate('vault_main', 'token', NULL, '{"promote": true}');
SELECT name, hint, rotating FROM integ.credential_hints WHERE name = 'token';
SELECT integ_credential_rotate('vault_main', 'token', '\x00'::bytea);

-- Nobody reads a ciphertext or a wrapped key.
SELECT ciphertext FROM integ.credentials;
SELECT * FROM integ.credentials;
SELECT wrapped FROM integ.data_keys;
SELECT id FROM integ.data_keys;
UPDATE integ.credentials SET allowed_origins = '{https://evil.example}';
DELETE FROM integ.credentials;
SELECT integ_vault_rotate_key();
RESET ROLE;

-- A user manages its own instances, and sees the client's hints and no other user's.
SET ROLE vault_acme_user;
SELECT integ_connect('vault_erp', 'vault_mine', '{"base_url": "https://erp.example.com"}') IS NOT NULL AS connected;
SELECT integ_credential_set('vault_mine', 'token', 'tok_of_uma_0123456');
SELECT integ_credential_set('vault_main', 'token', 'tok_of_uma_0123456');
SELECT integ_credential_delete('vault_main', 'token');
SELECT integ_credential_set('definition:vault_erp', 'client_secret', 'tok_of_uma_0123456', '{"origins": []}');
SELECT integ_credential_set('webhook:00000000-0000-7000-8000-000000000001', 'secret', 'whsec_0123456789');
SELECT instance_id, name, user_id, hint FROM integ.credential_hints ORDER BY instance_id, name;
SET ROLE vault_acme_other;
SELECT instance_id, name, user_id, hint FROM integ.credential_hints ORDER BY instance_id, name;
SELECT integ_credential_set('vault_mine', 'token', 'tok_of_otto_0123456');
SET ROLE vault_acme_admin;
SELECT instance_id, name, user_id, hint FROM integ.credential_hints WHERE user_id IS NOT NULL;
SET ROLE vault_bolt_admin;
SELECT count(*) FROM integ.credential_hints;
SELECT integ_credential_set('vault_main', 'token', 'tok_of_ben_0123456');
SELECT integ_credential_delete('vault_main', 'token');
SET ROLE vault_stranger;
SELECT count(*) FROM integ.credential_hints;
SELECT integ_credential_set('vault_main', 'token', 'tok_of_nobody_0123456');
SELECT integ_public_key();
RESET ROLE;

-- Other owners.
SET ROLE vault_acme_admin;
SELECT integ_credential_set('webhook:00000000-0000-7000-8000-00000000000A', 'secret', 'whsec_0123456789');
SELECT integ_credential_set('endpoint:00000000-0000-7000-8000-00000000000a', 'secret', 'whsec_9876543210');
SELECT integ_credential_set('webhook:nonsense', 'secret', 'whsec_0123456789');
SELECT integ_credential_set('webhook:00000000-0000-7000-8000-00000000000a00', 'secret', 'whsec_0123456789');
SELECT integ_credential_set('definition:nonsense', 'secret', 'whsec_0123456789');
SELECT integ_credential_set('nonsense', 'secret', 'whsec_0123456789');
SELECT owner_kind, owner_id, client_id, name, allowed_origins FROM integ.credential_hints
WHERE owner_kind <> 'instance' ORDER BY owner_kind;
SELECT integ_credential_delete('endpoint:00000000-0000-7000-8000-00000000000a', 'secret');
SELECT integ_credential_delete('endpoint:00000000-0000-7000-8000-00000000000a', 'secret');
RESET ROLE;
SELECT integ_credential_set('definition:vault_erp', 'client_secret', 'a secret of the app');
SELECT integ_credential_set('definition:vault_erp', 'client_secret', 'a secret of the app', '{"origins": ["https://login.example.com"]}');
SELECT integ_credential_set('definition:vault_erp', 'client_secret', NULL, '{"env": "HOME"}');

-- Public key and keys.
SELECT integ_public_key() LIKE '-----BEGIN CERTIFICATE-----%-----END CERTIFICATE-----%' AS certificate,
       integ_public_key() = integ_public_key() AS stable;
SELECT integ_vault_rotate_key() - 'data_key' - 'algorithm' - 'reencrypted' - 'removed_keys' AS rotated;
SELECT integ_vault_rotate_key('{"batch": 1}') - 'data_key' - 'algorithm' - 'remaining' - 'removed_keys' AS begun;
SELECT integ_vault_rotate_key('{"batch": 1}') ->> 'action' AS went_on;
SELECT integ_vault_rotate_key() ->> 'remaining' AS remaining;
SELECT integ_vault_rotate_key('{"rewrap": true}') AS nothing_to_wrap;
SELECT integ_vault_rotate_key('{"batch": -1}');
SELECT integ_vault_rotate_key('{"batches": 1}');
SELECT count(DISTINCT data_key) FROM integ.credentials;
BEGIN READ ONLY;
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef');
ROLLBACK;

-- New credentials end what the refusal of the old ones caused.
UPDATE integ.instances SET status = 'reauth_required' WHERE instance_id = 'vault_main';
SET ROLE vault_acme_admin;
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef');
SELECT status FROM integ.instances WHERE instance_id = 'vault_main';

-- Definitions without a schema, and with several ways to authenticate.
RESET ROLE;
SELECT integ_define('{"integrationId": "vault_open", "name": "Open", "version": "1.0.0", "baseUrl": "https://open.example.com",
    "authType": "custom", "methods": []}');
SELECT integ_define('{"integrationId": "vault_two", "name": "Two", "version": "1.0.0", "baseUrl": "https://two.example.com", "methods": [],
    "authMethods": [
        {"id": "key", "authType": "apikey", "auth": {"in": "header", "name": "X-Key", "value": "{credentials.key}"},
         "credentialSchema": {"type": "object", "properties": {"key": {"type": "string"}}}},
        {"id": "user", "authType": "basic",
         "credentialSchema": {"type": "object", "additionalProperties": true, "properties": {"username": {"type": "string"}, "password": {"type": "string"}}}}]}');
SET ROLE vault_acme_admin;
SELECT integ_connect('vault_open', 'vault_o') IS NOT NULL AND integ_connect('vault_two', 'vault_t') IS NOT NULL
    AND integ_connect('vault_two', 'vault_u', '{}', '{"auth_method": "user"}') IS NOT NULL AS connected;
SELECT integ_credential_set('vault_o', 'whatever', 'tok_0123456789abcdef');
SELECT integ_credential_set('vault_t', 'key', 'tok_0123456789abcdef');
SELECT integ_credential_set('vault_t', 'password', 'tok_0123456789abcdef');
SELECT integ_credential_set('vault_u', 'password', 'tok_0123456789abcdef');
SELECT integ_credential_set('vault_u', 'more', E'0123456789ab\n');
SELECT integ_credential_rotate('vault_u', 'username', 'tok_0123456789abcdef');
SELECT instance_id, name, hint FROM integ.credential_hints WHERE instance_id IN ('vault_o', 'vault_t', 'vault_u') ORDER BY 1, 2;
-- Who borrows a connection has no credentials of its own.
RESET ROLE;
SELECT integ_connect('vault_open', 'vault_lent', '{}', '{"context": "global", "grants": ["vault_acme"]}') IS NOT NULL AS connected;
SET ROLE vault_acme_admin;
SELECT integ_connect('vault_open', 'vault_borrower', '{}', '{"borrow": "vault_lent"}') IS NOT NULL AS connected;
SELECT integ_credential_set('vault_borrower', 'whatever', 'tok_0123456789abcdef');
SELECT integ_credential_set('vault_lent', 'whatever', 'tok_0123456789abcdef');
RESET ROLE;
DELETE FROM integ.instances WHERE instance_id = 'vault_borrower';
DELETE FROM integ.instances WHERE instance_id IN ('vault_o', 'vault_t', 'vault_u', 'vault_lent');
SELECT integ_undefine('vault_open'), integ_undefine('vault_two');
SET ROLE vault_acme_admin;

-- Credentials go with their instance.
SELECT integ_disconnect('vault_main');
SELECT count(*) FROM integ.credential_hints WHERE instance_id = 'vault_main';
SELECT integ_connect('vault_erp', 'vault_main', '{"base_url": "https://erp.example.com"}') IS NOT NULL AS connected;
SELECT integ_credential_set('vault_main', 'token', 'tok_0123456789abcdef');
RESET ROLE;
DELETE FROM integ.instances WHERE instance_id IN ('vault_main', 'vault_mine');
SELECT count(*) FROM integ.credentials WHERE owner_kind = 'instance';

DELETE FROM integ.credentials WHERE owner_kind IN ('definition', 'webhook', 'endpoint');
SELECT integ_undefine('vault_erp');
DELETE FROM integ.members WHERE client_id LIKE 'vault\_%';
DELETE FROM integ.clients WHERE id LIKE 'vault\_%';
DROP ROLE vault_acme_admin, vault_acme_user, vault_acme_other, vault_bolt_admin, vault_stranger;

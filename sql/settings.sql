-- Settings: what is no value is refused where it is set, units are PostgreSQL's, and who may set what.
SET integ.no_such_setting = 1;
SET integ.request_timeout = '2min';
SHOW integ.request_timeout;
SET integ.request_timeout = 1500;
SHOW integ.request_timeout;
\set VERBOSITY sqlstate
SET integ.request_timeout = '0';
\set VERBOSITY default
SET integ.request_timeout = '2 fortnights';
SET integ.max_response_size = '1MB';
SHOW integ.max_response_size;
RESET integ.request_timeout;
RESET integ.max_response_size;

-- What a call is guarded with changes for the whole server only, and never to something that guards nothing.
SET integ.allowed_addresses = '0.0.0.0/0';
ALTER SYSTEM SET integ.allowed_addresses = 'the office';
ALTER SYSTEM SET integ.allowed_addresses = '10.0.0.0/8, 10.0.0.0/33';
ALTER SYSTEM SET integ.trusted_proxies = '10.0.0.1/8/8';
ALTER SYSTEM SET integ.delivery_schedule = '5s, soon';
ALTER SYSTEM SET integ.vault_algorithm = 'rot13';
\set VERBOSITY sqlstate
ALTER SYSTEM SET integ.log_buffer = '1kB';
\set VERBOSITY default

-- Everybody sets how long they wait, and nothing that concerns others.
CREATE ROLE settings_ann;
SET ROLE settings_ann;
SET integ.max_sync_wait = '5s';
SHOW integ.max_sync_wait;
\set VERBOSITY sqlstate
SET integ.max_response_size = '1GB';
SET integ.listen_port = 8080;
SET integ.public_url = 'https://evil.example';
SET integ.hold = off;
SHOW integ.master_key_file;
SHOW integ.proxy;
\set VERBOSITY default
SELECT name FROM pg_settings WHERE name IN ('integ.master_key_file', 'integ.master_key_command', 'integ.env_allowed',
    'integ.proxy');
RESET ROLE;
DROP ROLE settings_ann;

-- Every setting says what it is for.
SELECT name FROM pg_settings WHERE name LIKE 'integ.%' AND coalesce(short_desc, '') = '';

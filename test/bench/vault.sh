#!/bin/bash
# Microseconds to decrypt a credential as a call does (origin check, row cache,
# key file check, memory wiped), with either algorithm; a millisecond a row to
# encrypt all under a new data key.
set -eu
count=100000
rows=2000
[ -z "${INTEG_LONG:-}" ] || { count=1000000; rows=100000; }
library=$(mktemp -d)/vault_probe.so
trap 'rm -rf "$(dirname "$library")"' EXIT
chmod 755 "$(dirname "$library")"
gcc -std=gnu11 -shared -fPIC -O2 -D_GNU_SOURCE -I"$(pg_config --includedir-server)" -Isrc -o "$library" test/probe/vault_probe.c
id=00000000-0000-7000-8000-0000000000ff

psql -X -q -At -v ON_ERROR_STOP=1 <<SQL
LOAD 'integ';
CREATE SCHEMA vault_bench;
CREATE FUNCTION vault_bench.time(kind text, id text, client text, name text, origin text, count int)
    RETURNS float8 LANGUAGE c AS '$library', 'vault_probe_time';
\\o /dev/null
SELECT integ_credential_set('endpoint:$id', 'token', 'tok_0123456789abcdef0123456789abcdef', '{"origins": ["https://api.example.com"]}');
\\o
SELECT 'bench vault_open_us ' || round(min(vault_bench.time('endpoint', '$id', '*', 'token', 'https://api.example.com', $count / 5))::numeric, 2)
FROM generate_series(1, 5);
\\o /dev/null
SELECT integ_credential_set('endpoint:$id', 'n' || i, 'tok_0123456789abcdef0123456789abcdef') FROM generate_series(1, $rows) AS i;
SELECT clock_timestamp() AS start \\gset
SELECT integ_vault_rotate_key();
\\o
SELECT 'bench vault_reencrypt_us_per_row '
    || round((extract(epoch FROM clock_timestamp() - :'start'::timestamptz) * 1e6 / ($rows + 1))::numeric, 1);
\\o /dev/null
DELETE FROM integ.credentials WHERE owner_id = '$id';
SET client_min_messages = warning;
DROP SCHEMA vault_bench CASCADE;
SQL

#!/bin/bash
# The listener: signed events of about 300 bytes from wrk over 64 connections, each verified, deduplicated and on disk
# before it is answered, beside single-row INSERTs of the same row by pgbench over 32 connections; both once more with a
# million events in the table.
set -eu

seconds=$([ -n "$INTEG_LONG" ] && echo 30 || echo 5)
rounds=$([ -n "$INTEG_LONG" ] && echo 5 || echo 3)
stored=$([ -n "$INTEG_LONG" ] && echo 1000000 || echo 50000)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

psql -X -q -v ON_ERROR_STOP=1 >/dev/null <<SQL
SELECT integ_define(\$\$
{"integrationId": "bench_hub", "name": "Hub", "version": "1.0.0", "authType": "none", "baseUrl": "https://example.com",
 "methods": [{"id": "get", "name": "Get", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
   "request": {"method": "GET", "path": "/"}}],
 "webhook": {"signature": {"scheme": "hmac-sha256", "header": "X-Hub-Signature-256", "prefix": "sha256="},
   "event": {"header": "X-GitHub-Event"}, "deliveryId": {"header": "X-GitHub-Delivery"}}}\$\$::jsonb);
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('main', 'bench_hub');
SELECT integ_credential_set('webhook:' || id, 'secret', 'k') FROM integ.webhooks WHERE definition = 'bench_hub';
CREATE TABLE bench_events (LIKE integ.webhook_events INCLUDING DEFAULTS INCLUDING INDEXES);
SQL
sql "ALTER DATABASE bench SET integ.listen_port = $port"

# One body, which the signature holds for, in requests whose delivery ids are all their own.
body='{"action": "opened", "number": 7, "issue": {"id": 1296269, "title": "Found a bug", "state": "open",'
body+=' "user": {"login": "octocat", "id": 583231}, "labels": [{"name": "bug", "color": "f29513"}],'
body+=' "body": "It does not work, and nobody knows why that is."}, "repository": {"full_name": "octocat/hello-world"},'
body+=' "sender": {"id": 583231}}'
signature=$(printf %s "$body" | openssl dgst -sha256 -hmac k | sed 's/.* //')
cat >"$work/event.lua" <<LUA
local n, thread = 0, 0
function setup(t) thread = thread + 1; t:set("id", thread) end
request = function()
    n = n + 1
    return wrk.format("POST", "/webhooks/bench_hub/main", {
        ["Content-Type"] = "application/json", ["X-GitHub-Event"] = "issues",
        ["X-GitHub-Delivery"] = run .. "-" .. id .. "-" .. n,
        ["X-Hub-Signature-256"] = "sha256=$signature" }, [==[$body]==])
end
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("%d %d %.2f %d\n", summary.requests * 1e6 / summary.duration, latency:percentile(50),
        latency:percentile(99) / 1000, e.status + e.connect + e.read + e.write + e.timeout))
end
LUA
cat >"$work/insert.sql" <<SQL
INSERT INTO bench_events (id, client_id, webhook, definition, event, delivery_id, payload, headers, request, body)
VALUES (gen_random_uuid(), '*', '00000000-0000-0000-0000-000000000001', 'bench_hub', 'issues',
    gen_random_uuid()::text, '$body', '{"x-github-event": "issues"}', gen_random_uuid(), convert_to('$body', 'UTF8'));
SQL

for _ in $(seq 100); do (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && break; sleep 0.1; done
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

# A server that has run for a while uses its WAL segments again. To make a new one takes a disk many milliseconds, in
# which nobody's commit goes on: with a young server that is what would be measured, of both sides.
sql "ALTER SYSTEM SET min_wal_size = '1GB'"
sql "SELECT pg_reload_conf()" >/dev/null
for _ in $(seq 64); do echo "SELECT pg_logical_emit_message(false, 'bench', ''), pg_switch_wal();"; done |
    psql -X -q -v ON_ERROR_STOP=1 >/dev/null

# insert CLIENTS NAME: single-row INSERTs; appends transactions a second and the 99th percentile to files of that name.
insert() {
    pgbench -n -c "$1" -j 2 -T "$seconds" -M prepared -f "$work/insert.sql" -l --log-prefix="$work/latency" \
        2>/dev/null | sed -n 's/^tps = \([0-9]*\).*/\1/p' >>"$work/$2"
    cut -d' ' -f3 "$work"/latency.* | sort -n | awk '{v[NR] = $1} END {printf "%.2f\n", v[int(NR * 0.99)] / 1000}' \
        >>"$work/$2.p99"
    rm "$work"/latency.*
}

# deliver RUN NAME: events by wrk; appends its line to a file of that name.
deliver() {
    sed "1i local run = \"$1-$$\"" "$work/event.lua" >"$work/run.lua"
    wrk -t 2 -c 64 -d "$seconds" -s "$work/run.lua" "http://127.0.0.1:$port/" 2>"$work/wrk.err" |
        tail -1 >>"$work/$2" || { cat "$work/wrk.err"; exit 1; }
}

# MEASURE NAME: rounds of all of them, after a checkpoint, so that no page is the first of its kind in the WAL for one
# side only.
measure() {
    sql CHECKPOINT
    for round in $(seq "$rounds"); do
        deliver "$1-$round" "$1"
        insert 32 "$1.insert"
    done
}

column() { cut -d' ' -f"$1" "$2" | median; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }

measure few
insert 64 alike
events=$(column 1 "$work/few")
inserts=$(median <"$work/few.insert")
echo "bench listener_events_per_s $events"
echo "bench listener_insert_per_s $inserts"
echo "bench listener_ratio $(ratio "$events" "$inserts") goal 0.6"
echo "bench listener_p50_ms $(ratio "$(column 2 "$work/few")" 1000)"
echo "bench listener_p99_ms $(column 3 "$work/few") goal 20"
echo "bench listener_insert_p99_ms $(median <"$work/few.insert.p99")"
echo "bench listener_insert_64_p99_ms $(cat "$work/alike.p99")"

# The same with many: events and the deliveries they came by, in the partition that new ones go to.
psql -X -q -v ON_ERROR_STOP=1 -v stored="$stored" >/dev/null <<SQL
INSERT INTO integ.webhook_events (id, client_id, webhook, definition, event, delivery_id, payload, headers, request,
    body, state)
SELECT gen_random_uuid(), '*', w.id, 'bench_hub', 'issues', 'stored-' || n, '$body', '{"x-github-event": "issues"}',
    gen_random_uuid(), convert_to('$body', 'UTF8'), 'handled'
FROM integ.webhooks w, generate_series(1, :stored) n WHERE w.definition = 'bench_hub';
INSERT INTO integ.webhook_keys (webhook, delivery_id, event, expires_at)
SELECT webhook, delivery_id, id, created_at + interval '30 days' FROM integ.webhook_events
WHERE delivery_id LIKE 'stored-%';
VACUUM ANALYZE integ.webhook_events, integ.webhook_keys;
SQL
measure many
many=$(column 1 "$work/many")
echo "bench listener_many_stored $stored"
echo "bench listener_many_events_per_s $many"
echo "bench listener_many_insert_per_s $(median <"$work/many.insert")"
of_many=$(ratio "$many" "$(median <"$work/many.insert")")
echo "bench listener_many_ratio $of_many goal 0.6"
echo "bench listener_many_to_few $(ratio "$of_many" "$(ratio "$events" "$inserts")") goal 0.9"
echo "bench listener_many_p99_ms $(column 3 "$work/many") goal 20"
echo "bench listener_errors $(cut -d' ' -f4 "$work/few" "$work/many" | awk "{n += \$1} END {print n}")"
echo "bench listener_stored $(sql "SELECT count(*) FROM integ.webhook_events WHERE definition = 'bench_hub'")"
sql "ALTER DATABASE bench RESET integ.listen_port"
sql "ALTER SYSTEM RESET min_wal_size"
sql "DROP TABLE bench_events; DELETE FROM integ.webhooks WHERE definition = 'bench_hub'"

#!/bin/bash
# The listener: signed events of about 300 bytes from wrk over 64 connections, each verified, deduplicated and on disk
# before it is answered, beside single-row INSERTs of the same row by pgbench over 32 connections.
set -eu

seconds=$([ -n "$INTEG_LONG" ] && echo 30 || echo 5)
rounds=$([ -n "$INTEG_LONG" ] && echo 5 || echo 3)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

psql -X -q -v ON_ERROR_STOP=1 >/dev/null <<SQL
SELECT integ_define(\$\$
{"integrationId": "bench_hub", "name": "Hub", "version": "1.0.0", "authType": "none", "baseUrl": "https://example.com",
 "methods": [{"id": "get", "name": "Get", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {}, "request": {"method": "GET", "path": "/"}}],
 "webhook": {"signature": {"scheme": "hmac-sha256", "header": "X-Hub-Signature-256", "prefix": "sha256="},
   "event": {"header": "X-GitHub-Event"}, "deliveryId": {"header": "X-GitHub-Delivery"}}}\$\$::jsonb);
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('main', 'bench_hub');
SELECT integ_credential_set('webhook:' || id, 'secret', 'k') FROM integ.webhooks WHERE definition = 'bench_hub';
CREATE TABLE bench_events (LIKE integ.webhook_events INCLUDING DEFAULTS INCLUDING INDEXES);
SQL
sql "ALTER DATABASE bench SET integ.listen_port = $port"

# One body, which the signature holds for, in requests whose delivery ids are all their own.
body='{"action": "opened", "number": 7, "issue": {"id": 1296269, "title": "Found a bug", "state": "open", "user": {"login": "octocat", "id": 583231}, "labels": [{"name": "bug", "color": "f29513"}], "body": "It does not work, and nobody knows why that is."}, "repository": {"full_name": "octocat/hello-world"}, "sender": {"id": 583231}}'
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
    io.write(string.format("%d %d %.2f %d\n", summary.requests * 1e6 / summary.duration, latency:percentile(50), latency:percentile(99) / 1000,
        summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
LUA
cat >"$work/insert.sql" <<SQL
INSERT INTO bench_events (id, client_id, webhook, definition, event, delivery_id, payload, headers, request, body)
VALUES (gen_random_uuid(), '*', '00000000-0000-0000-0000-000000000001', 'bench_hub', 'issues', gen_random_uuid()::text, '$body', '{"x-github-event": "issues"}', gen_random_uuid(), convert_to('$body', 'UTF8'));
SQL

for _ in $(seq 100); do (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && break; sleep 0.1; done
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
for round in $(seq "$rounds"); do
    sed "1i local run = \"$round-$$\"" "$work/event.lua" >"$work/run.lua"
    wrk -t 2 -c 64 -d "$seconds" -s "$work/run.lua" "http://127.0.0.1:$port/" 2>"$work/wrk.err" | tail -1 >>"$work/listener" ||
        { cat "$work/wrk.err"; exit 1; }
    pgbench -n -c 32 -j 2 -T "$seconds" -M prepared -f "$work/insert.sql" 2>/dev/null | sed -n 's/^tps = \([0-9]*\).*/\1/p' >>"$work/insert"
done
events=$(cut -d' ' -f1 "$work/listener" | median)
inserts=$(median <"$work/insert")
echo "bench listener_events_per_s $events"
echo "bench listener_insert_per_s $inserts"
echo "bench listener_ratio $(awk -v a="$events" -v b="$inserts" 'BEGIN {printf "%.2f", a / b}') goal 0.6"
echo "bench listener_p99_ms $(cut -d' ' -f3 "$work/listener" | median) goal 20"
echo "bench listener_errors $(cut -d' ' -f4 "$work/listener" | awk "{n += \$1} END {print n}")"
echo "bench listener_stored $(sql "SELECT count(*) FROM integ.webhook_events WHERE definition = 'bench_hub'")"
sql "ALTER DATABASE bench RESET integ.listen_port"
sql "DROP TABLE bench_events; DELETE FROM integ.webhooks WHERE definition = 'bench_hub'"

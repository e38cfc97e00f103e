#!/usr/bin/env python3
"""Registration of a webhook: our own time, from the statement to the row that says that the service has it.

The service is nginx on loopback, whose part is measured beside it by the log of requests and taken off. "statement" is
integ_webhook_register with its commit, "call" the rest: the durable call that asks the service, until integ_await has
seen its end.
"""
from calls_common import LONG, URL, psql, show

COUNT = 200 if LONG else 50
LIMIT_MS = 20

MANIFEST = """
{"integrationId": "bench_hooks", "name": "Hooks", "version": "1.0.0", "authType": "none", "baseUrl": "%s",
 "methods": [
  {"id": "subscribe", "name": "Subscribe", "access": "write", "outputSchema": {},
   "inputSchema": {"type": "object", "properties": {"url": {}}},
   "request": {"method": "POST", "path": "/hooks",
               "body": {"url": "{url}", "secret": "{credentials.hook_secret}"}}}],
 "triggers": [{"id": "made", "name": "Made", "type": "created", "event": "made"}],
 "webhook": {"event": ".event", "externalId": ".ok", "register": "subscribe",
             "signature": {"scheme": "hmac-sha256", "header": "X-Signature", "credential": "hook_secret"},
             "secret": {"generate": {"bytes": 32, "encoding": "hex"}}}}
"""

MEASURE = """
SET integ.public_url = 'https://hooks.example.com';
CREATE TEMP TABLE measured (statement double precision, call double precision);
DO $$
DECLARE
    began timestamptz;
    committed timestamptz;
    asked uuid;
    state text;
BEGIN
    FOR i IN 1 .. %d LOOP
        began := clock_timestamp();
        SELECT call INTO asked FROM integ_webhook_register('bench_hooks_main', 'made',
                                                           jsonb_build_object('webhook_id', 'h' || i));
        COMMIT;
        committed := clock_timestamp();
        state := integ_await(asked, '10 s') ->> 'state';
        IF state <> 'succeeded' THEN
            RAISE EXCEPTION 'the registration is %%', state;
        END IF;
        INSERT INTO measured VALUES (extract(epoch FROM committed - began) * 1000,
                                     extract(epoch FROM clock_timestamp() - committed) * 1000);
        COMMIT;
    END LOOP;
END
$$;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY statement), percentile_cont(0.5) WITHIN GROUP (ORDER BY call),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY statement + call),
       percentile_cont(0.9) WITHIN GROUP (ORDER BY statement + call) FROM measured;
"""

SERVICE = """
SELECT coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_us), 0) / 1000 FROM integ.requests
WHERE method = 'subscribe' AND definition_id = 'bench_hooks'
"""

CLEAN = """
DELETE FROM integ.webhooks WHERE definition = 'bench_hooks';
DELETE FROM integ.instances WHERE definition = 'bench_hooks';
SELECT integ_undefine('bench_hooks');
"""


def main():
    psql("SELECT integ_define($m$" + MANIFEST % URL + "$m$::jsonb)")
    psql("SELECT integ_connect('bench_hooks', 'bench_hooks_main')")
    try:
        answer = psql(MEASURE % COUNT).strip().splitlines()[-1]
        statement, call, whole, slow = (float(number) for number in answer.split("|"))
        psql("SELECT pg_sleep(0.5)")
        service = float(psql(SERVICE).strip() or 0)
        show("registration_statement_ms", statement)
        show("registration_call_ms", call)
        show("registration_service_ms", service)
        show("registration_own_ms", whole - service)
        show("registration_own_ms_limit", LIMIT_MS)
        show("registration_own_p90_ms", slow - service)
    finally:
        psql(CLEAN)


if __name__ == "__main__":
    main()

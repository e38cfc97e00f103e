-- Webhooks that integ registers, where the service does not do as it is told.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY default
SET integ.public_url = 'https://hooks.example.com';
ALTER SYSTEM SET integ.retry_delay = '10ms';
SELECT pg_reload_conf();

-- Each method fails where its input says so: a registration's input may be changed in its row.
CREATE SCHEMA tro_code;
CREATE FUNCTION tro_code.method(id text, verb text, path text, fails text, body jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('id', id, 'name', id, 'access', CASE verb WHEN 'GET' THEN 'read' ELSE 'write' END,
        'outputSchema', '{}'::jsonb,
        'inputSchema', jsonb_build_object('type', 'object', 'properties', jsonb_build_object('shop', '{}'::jsonb, 'id',
            '{}'::jsonb, 'url', '{}'::jsonb, 'ms', '{}'::jsonb, 'lifetime', '{}'::jsonb, 'channel', '{}'::jsonb,
            'expires_at', '{}'::jsonb, fails || '_fault', '{}'::jsonb, fails || '_code', '{}'::jsonb)),
        'request', jsonb_build_object('method', verb, 'path', path, 'query', jsonb_build_object('_fault', '{' || fails
            || '_fault}', 'code', '{' || fails || '_code}', 'ms', '{ms}')) 
            || CASE WHEN body IS NULL THEN '{}' ELSE jsonb_build_object('body', body) END)
$$;
CREATE FUNCTION tro_code.define(webhook jsonb) RETURNS boolean LANGUAGE sql AS $$
    SELECT integ_define(jsonb_build_object('integrationId', 'tro_svc', 'name', 'Trouble', 'version', '1.0.0',
        'baseUrl', '{config.base_url}', 'authType', 'none', 'circuitBreaker', '{"failureThreshold": 1000}'::jsonb,
        'configSchema', '{"type": "object", "properties": {"base_url": {"type": "string"}}}'::jsonb,
        'methods', jsonb_build_array(
            tro_code.method('subscribe', 'POST', '/hooks/{shop}', 'register', '{"url": "{url}", "channel":
                "{channel}", "lifetime": "{lifetime}", "secret": "{credentials.hook_secret}"}'),
            tro_code.method('announce', 'POST', '/hooks/{shop}', 'register', '{"url": "{url}", "channel":
                "{channel}"}'),
            tro_code.method('unsubscribe', 'DELETE', '/hooks/{shop}/{id}', 'remove', NULL),
            tro_code.method('extend', 'PATCH', '/hooks/{shop}/{id}', 'renew', '{"lifetime": "{lifetime}"}'),
            tro_code.method('change_secret', 'PATCH', '/hooks/{shop}/{id}', 'rotate',
                '{"secret": "{credentials.hook_secret}"}'),
            tro_code.method('read_hook', 'GET', '/hooks/{shop}/{id}', 'check', NULL),
            tro_code.method('book', 'GET', '/hookbook/{shop}', 'book', NULL),
            tro_code.method('forget', 'DELETE', '/hookbook/{shop}/{id}', 'forget', NULL)),
        'triggers', '[{"id": "paid", "name": "Paid", "type": "updated", "event": "order.paid"},
            {"id": "sent", "name": "Sent", "type": "updated", "event": ["order.sent", "order.shipped"]},
            {"id": "listed", "name": "Listed", "type": "created", "poll": {"method": "book"}}]'::jsonb,
        'webhook', jsonb_strip_nulls('{"signature": {"scheme": "hmac-sha256", "header": "X-Signature",
            "credential": "hook_secret"}, "event": ".type", "deliveryId": ".id", "register": "subscribe",
            "unregister": "unsubscribe", "renew": "extend", "rotate": "change_secret", "get": "read_hook",
            "externalId": ".id", "expiresAt": ".ends",
            "secret": {"generate": {"bytes": 16, "encoding": "hex"}}}'::jsonb || webhook)),
        '{"replace": true}') IS NOT NULL
$$;
SELECT tro_code.define('{}');
SELECT integ_connect('tro_svc', 'tro_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
CREATE FUNCTION tro_code.book(shop text) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT integ_execute('tro_main', 'book', jsonb_build_object('shop', shop)) $$;
CREATE FUNCTION tro_code.forget(shop text, id text) RETURNS boolean LANGUAGE sql AS
    $$ SELECT integ_execute('tro_main', 'forget', jsonb_build_object('shop', shop, 'id', id)) IS NOT NULL $$;
CREATE FUNCTION tro_code.take(event jsonb) RETURNS void LANGUAGE sql AS '';
-- Registers and waits.
CREATE PROCEDURE tro_code.register(handle text, options jsonb, trigger text DEFAULT 'paid') LANGUAGE plpgsql AS $$
DECLARE
    asked uuid;
BEGIN
    SELECT r.call INTO asked FROM integ_webhook_register('tro_main', trigger, jsonb_build_object('webhook_id', handle)
        || options) r;
    COMMIT;
    PERFORM integ_await(asked, '60 s');
END
$$;
-- Changes what its methods are asked with.
CREATE PROCEDURE tro_code.change(handle text, change jsonb) LANGUAGE sql AS $$
    UPDATE integ.webhook_registrations r SET input = jsonb_strip_nulls(r.input || change)
    FROM integ.webhooks w WHERE w.id = r.webhook AND w.webhook_id = handle
$$;
-- The same, and has it looked after, and waits for that.
CREATE PROCEDURE tro_code.look_after(handle text, change jsonb, due text) LANGUAGE plpgsql AS $$
BEGIN
    CALL tro_code.change(handle, change);
    UPDATE integ.webhook_registrations r SET
        renew_at = CASE due WHEN 'renew' THEN now() ELSE r.renew_at END,
        check_at = CASE due WHEN 'check' THEN now() ELSE r.check_at END
    FROM integ.webhooks w WHERE w.id = r.webhook AND w.webhook_id = handle;
    UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'webhooks';
    COMMIT;
    CALL pg_temp.wait_for(format('SELECT r.call IS NULL AND coalesce(least(r.renew_at, r.check_at) > now(), true)'
        ' FROM integ.webhook_registrations r JOIN integ.webhooks w ON w.id = r.webhook'
        ' WHERE w.webhook_id = %L', handle));
END
$$;
CREATE VIEW tro_code.state AS
SELECT w.webhook_id, r.status, r.external_id, r.failures, r.last_error, replace(r.hint, r.webhook::text, 'KEY') AS hint,
       w.is_active
FROM integ.webhook_registrations r JOIN integ.webhooks w ON w.id = r.webhook WHERE r.definition = 'tro_svc';
CREATE VIEW tro_code.news AS
SELECT kind, replace(payload ->> 'webhook_id', payload ->> 'webhook', 'KEY') AS webhook_id,
       payload ->> 'external_id' AS external_id, payload ->> 'error' AS error
FROM integ.events WHERE kind LIKE 'webhook.%' AND payload ->> 'definition' = 'tro_svc' AND kind <> 'webhook.registered'
ORDER BY id;
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait

-- A service that refuses.
CALL tro_code.register('refused', '{"input": {"shop": "tro_a", "register_fault": "status", "register_code": 422}}');
SELECT status, failures, last_error, hint, is_active FROM tro_code.state WHERE webhook_id = 'refused';
-- One that is down for long.
CALL tro_code.register('down', '{"input": {"shop": "tro_a", "register_fault": "status", "register_code": 429}}');
SELECT status, failures, last_error FROM tro_code.state WHERE webhook_id = 'down';
-- Which is not the end of it.
UPDATE integ.webhook_registrations SET input = '{"shop": "tro_a"}' WHERE definition = 'tro_svc';
CALL tro_code.register('down', '{"input": {"shop": "tro_a"}}');
SELECT status, external_id, failures, last_error FROM tro_code.state WHERE webhook_id = 'down';
-- An answer that does not say what the service calls it.
SELECT tro_code.define('{"externalId": ".name"}');
CALL tro_code.register('unnamed', '{"input": {"shop": "tro_u"}}');
SELECT status, external_id, last_error, hint FROM tro_code.state WHERE webhook_id = 'unnamed';
SELECT last_sqlstate, last_error, error_detail, error_hint FROM integ.calls WHERE instance_id = 'tro_main' AND
    last_error ~ 'unnamed';
SELECT tro_code.define('{}');
-- It is looked for, and registered anew once somebody asks.
SELECT tro_code.forget('tro_u', '1');
CALL tro_code.register('unnamed', '{"input": {"shop": "tro_u"}}');
SELECT status, external_id, last_error FROM tro_code.state WHERE webhook_id = 'unnamed';
SELECT * FROM tro_code.news;

-- Looked at each hour: it is there; the service does not say; it is gone.
CALL tro_code.look_after('down', '{}', 'check');
SELECT status, last_error FROM tro_code.state WHERE webhook_id = 'down';
SELECT checked_at > now() - interval '1 minute' AS checked, check_at > now() + interval '50 minutes' AS later FROM
    integ.webhook_registrations r JOIN integ.webhooks w ON w.id = r.webhook WHERE w.webhook_id = 'down';
CALL tro_code.look_after('down', '{"check_fault": "status", "check_code": 403}', 'check');
SELECT status, last_error, hint FROM tro_code.state WHERE webhook_id = 'down';
CALL tro_code.look_after('down', '{"check_fault": null, "check_code": null}', 'check');
SELECT status, last_error, hint FROM tro_code.state WHERE webhook_id = 'down';
SELECT tro_code.forget('tro_a', '1');
CALL tro_code.look_after('down', '{}', 'check');
SELECT status, external_id, last_error, hint FROM tro_code.state WHERE webhook_id = 'down';

-- A renewal that finds it gone; by choice it comes back by itself.
CALL tro_code.register('renewed', '{"input": {"shop": "tro_r", "lifetime": 3600}, "reregister": true}');
SELECT tro_code.forget('tro_r', '1');
CALL tro_code.look_after('renewed', '{}', 'renew');
CALL pg_temp.wait_for('SELECT status = ''active'' FROM integ.webhook_status WHERE webhook_id = ''renewed''');
SELECT status, external_id, last_error FROM tro_code.state WHERE webhook_id = 'renewed';
-- A renewal that fails until the registration has ended; that comes back, too.
UPDATE integ.webhook_registrations SET expires_at = now() - interval '1 second' WHERE webhook = (SELECT id FROM
    integ.webhooks WHERE webhook_id = 'renewed');
CALL tro_code.look_after('renewed', '{"renew_fault": "status", "renew_code": 403}', 'renew');
CALL pg_temp.wait_for('SELECT status = ''active'' FROM integ.webhook_status WHERE webhook_id = ''renewed''');
SELECT status, external_id, last_error FROM tro_code.state WHERE webhook_id = 'renewed';
SELECT * FROM tro_code.news WHERE webhook_id = 'renewed';
SELECT text, hint FROM integ.notifications WHERE kind = 'webhook.renewal_failed' AND text ~ 'renewed';
-- Without that wish it is lost.
CALL tro_code.register('let_go', '{"input": {"shop": "tro_g", "lifetime": 3600, "renew_fault": "status", "renew_code":
    403}}');
UPDATE integ.webhook_registrations SET expires_at = now() - interval '1 second' WHERE webhook = (SELECT id FROM
    integ.webhooks WHERE webhook_id = 'let_go');
CALL tro_code.look_after('let_go', '{}', 'renew');
SELECT status, external_id, last_error, hint FROM tro_code.state WHERE webhook_id = 'let_go';

-- A rotation that fails leaves the secret that there was, and may be asked for again.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
RESET client_min_messages;
CREATE FUNCTION tro_code.send(shop text, body text) RETURNS integer LANGUAGE sql AS $$
    SELECT r.status FROM jsonb_path_query_first(tro_code.book(shop), '$.hooks[last]') hook,
        integ_webhook_receive('tro_svc/' || substring(hook ->> 'url' FROM '[^/]*$'), jsonb_build_object(
            'Content-Type', 'application/json',
            'X-Signature', encode(hmac(convert_to(body, 'UTF8'), convert_to(hook ->> 'secret', 'UTF8'), 'sha256'),
                'hex')),
            convert_to(body, 'UTF8')) r
$$;
CALL tro_code.change('renewed', '{"rotate_fault": "status", "rotate_code": 500}');
SELECT integ_webhook_rotate('renewed') AS call \gset
SELECT integ_await(:'call', '60 s') ->> 'state' AS outcome;
SELECT status, last_error, hint FROM tro_code.state WHERE webhook_id = 'renewed';
SELECT tro_code.send('tro_r', '{"type": "order.paid", "id": "1"}');
CALL tro_code.change('renewed', '{"rotate_fault": null}');
SELECT integ_webhook_rotate('renewed') AS call \gset
SELECT integ_await(:'call', '60 s') ->> 'state' AS outcome;
SELECT status, last_error, hint FROM tro_code.state WHERE webhook_id = 'renewed';
SELECT tro_code.send('tro_r', '{"type": "order.paid", "id": "2"}');
-- What cannot be rotated.
SELECT integ_webhook_rotate('refused');
CALL tro_code.change('renewed', '{"ms": 3000, "rotate_fault": "delay"}');
SELECT integ_webhook_rotate('renewed') AS call \gset
SELECT integ_webhook_rotate('renewed');
SELECT integ_call_cancel(:'call') IS NOT NULL AS cancelled;

-- Removed while the service is down: nothing is taken any more, and it may be tried again.
CALL tro_code.change('unnamed', '{"remove_fault": "status", "remove_code": 503}');
SELECT integ_webhook_unregister('unnamed') AS call \gset
SELECT integ_webhook_unregister('unnamed') = :'call' AS same;
SELECT integ_await(:'call', '60 s') ->> 'state' AS outcome;
SELECT * FROM tro_code.state WHERE webhook_id = 'unnamed';
-- By then somebody has removed it there.
SELECT tro_code.forget('tro_u', '2');
CALL tro_code.change('unnamed', '{"remove_fault": null}');
SELECT integ_webhook_unregister('unnamed') AS call \gset
SELECT integ_await(:'call', '60 s') ->> 'state' AS outcome;
SELECT count(*) FROM tro_code.state WHERE webhook_id = 'unnamed';

-- A new address: the one before cannot be removed, and the new one stands all the same.
SET integ.public_url = 'https://other.example.com';
CALL tro_code.register('moved', '{"input": {"shop": "tro_m", "lifetime": 3600}}');
CALL tro_code.change('moved', '{"remove_fault": "status", "remove_code": 403}');
SET integ.public_url = 'https://third.example.com';
CALL tro_code.register('moved',
    '{"input": {"shop": "tro_m", "lifetime": 3600, "remove_fault": "status", "remove_code": 403}}');
SELECT * FROM tro_code.state WHERE webhook_id = 'moved';
SELECT former, renew_at > now() AND renew_at < expires_at AS is_renewed FROM integ.webhook_registrations r JOIN
    integ.webhooks w ON w.id = r.webhook WHERE w.webhook_id = 'moved';
SELECT jsonb_array_length(book -> 'hooks') AS hooks FROM tro_code.book('tro_m') book;
SELECT * FROM tro_code.news WHERE webhook_id IN ('unnamed', 'moved');

-- Deleted while the service is asked: what it has made then is removed again.
SELECT call FROM integ_webhook_register('tro_main', 'paid',
    '{"webhook_id": "hasty", "input": {"shop": "tro_h", "register_fault": "delay", "ms": 1000}}') \gset
CALL pg_temp.wait_for(format('SELECT state = ''running'' AND sent_at IS NOT NULL FROM integ.calls_open WHERE id = %L',
    :'call'));
DELETE FROM integ.webhooks WHERE webhook_id = 'hasty';
CALL pg_temp.wait_for($$SELECT count(*) = 0 FROM integ.calls_open WHERE purpose LIKE 'webhook%'$$);
SELECT jsonb_array_length(book -> 'hooks') AS hooks, book -> 'made' AS made FROM tro_code.book('tro_h') book;
-- … and again where the service has removed it by itself.
CALL tro_code.register('forgotten', '{"input": {"shop": "tro_h"}}');
SELECT tro_code.forget('tro_h', '2');
DELETE FROM integ.webhooks WHERE webhook_id = 'forgotten';
CALL pg_temp.wait_for($$SELECT count(*) = 0 FROM integ.calls_open WHERE purpose LIKE 'webhook%'$$);
SELECT state, last_error FROM integ.calls WHERE instance_id = 'tro_main' AND method = 'unsubscribe' ORDER BY id DESC
    LIMIT 1;
-- … or has no method to remove it.
SELECT tro_code.define('{"unregister": null}');
SELECT webhook_id, external_id FROM tro_code.state WHERE webhook_id = 'moved';
DELETE FROM integ.webhooks WHERE webhook_id = 'moved';
SELECT * FROM tro_code.news WHERE webhook_id = 'KEY';
SELECT tro_code.define('{}');

-- Services that tell the end and more of a registration by what we send, and make the secret themselves.
SELECT tro_code.define('{"secret": {"path": ".url"}, "register": "announce", "rotate": null, "renew": null,
    "get": null, "expiresAt": null,
    "expiresAfterSeconds": 7200, "renewBeforeSeconds": 600, "keep": {"resource": ".channel", "nothing": ".nothing"},
    "inputs": {"register": {"channel": "{webhook.expiresAtMs}"}, "unregister": {"id": "{webhook.id}", "channel":
    "{webhook.kept.resource}"}}}');
SET integ.public_url = 'https://hooks.example.com';
CALL tro_code.register('ending', '{"input": {"shop": "tro_e"}}', 'sent');
SELECT status, external_id FROM tro_code.state WHERE webhook_id = 'ending';
SELECT r.events, kept ? 'nothing' AS nothing,
    abs(extract(epoch FROM expires_at) * 1000 - (kept ->> 'resource')::numeric) < 60000 AS told,
    expires_at - renew_at = interval '10 minutes' AS before, check_at
FROM integ.webhook_registrations r JOIN integ.webhooks w ON w.id = r.webhook WHERE w.webhook_id = 'ending';
SELECT c.name FROM integ.credentials c JOIN integ.webhooks w ON c.owner_id = w.id::text WHERE w.webhook_id = 'ending';
-- Without a method that renews, another one takes its place.
CALL tro_code.look_after('ending', '{}', 'renew');
SELECT status, external_id, last_error, hint FROM tro_code.state WHERE webhook_id = 'ending';
SELECT book -> 'made' AS made, jsonb_array_length(book -> 'hooks') AS hooks, jsonb_array_length(book -> 'removed') AS
    removed FROM tro_code.book('tro_e') book;
-- A definition that does not say where the secret comes from.
SELECT tro_code.define('{"secret": null, "rotate": null}');
SELECT integ_webhook_rotate('ending');
SELECT tro_code.define('{}');

-- What is asked for in vain.
SELECT integ_webhook_register('tro_main', 'paid', '{"events": ["a", 1], "input": {"shop": "tro_a"}}');
SELECT integ_webhook_register('tro_main', 'paid', '{"trigger_handlers": {"paid": "tro_code.nothing"}, "input": {}}');
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('taken', 'tro_svc');
SELECT integ_webhook_register('tro_main', 'paid', '{"webhook_id": "taken", "input": {"shop": "tro_a"}}');
SELECT integ_define('{"integrationId": "tro_other", "name": "Other", "version": "1.0.0", "baseUrl":
    "https://other.example.com", "authType": "none", "methods": [{"id": "hook", "name": "Hook", "access": "write",
    "approvalRequired": true, "inputSchema": {"type": "object"}, "outputSchema": {}, "request": {"method": "POST",
    "path": "/"}}], "webhook": {"register": "hook"}}') IS NOT NULL AS defined;
SELECT integ_connect('tro_other', 'tro_second') IS NOT NULL AS connected;
SELECT integ_webhook_register('tro_second');
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('taken', 'tro_other');
SELECT integ_webhook_unregister('taken');
SELECT integ_webhook_unregister('tro_other/taken') IS NULL AS gone;
SELECT integ_webhook_register('tro_main', 'paid', '{"webhook_id": "late", "input": {"shop": "tro_l", "register_fault":
    "delay", "ms": 3000}}') IS NOT NULL AS asked;
\set VERBOSITY terse
SELECT integ_webhook_register('tro_main', 'paid', '{"webhook_id": "late", "input": {"shop": "tro_another"}}');
\set VERBOSITY default
-- One that is still being asked for is taken back.
SELECT integ_webhook_unregister('late') IS NULL AS gone;
SELECT count(*) FROM integ.webhooks WHERE webhook_id = 'late';

-- All triggers at once, each with a handler of its own.
CALL tro_code.register('all', '{"input": {"shop": "tro_all"}, "trigger_handlers": {"paid": "tro_code.take"}}', NULL);
SELECT w.events, w.handler, w.trigger_handlers, r.events AS asked FROM integ.webhooks w JOIN
    integ.webhook_registrations r ON r.webhook = w.id WHERE w.webhook_id = 'all';

-- Disconnected while the service is down.
CALL tro_code.change('all', '{"remove_fault": "status", "remove_code": 503}');
SELECT integ_disconnect('tro_main');
SELECT webhook_id, status, external_id, last_error, hint, is_active FROM tro_code.state ORDER BY webhook_id;

DELETE FROM integ.webhooks WHERE definition LIKE 'tro%';
DELETE FROM integ.webhook_events WHERE definition = 'tro_svc';
DELETE FROM integ.instances WHERE instance_id IN ('tro_main', 'tro_second');
SELECT integ_undefine('tro_svc'), integ_undefine('tro_other');
DELETE FROM integ.notifications WHERE kind LIKE 'webhook.%';
ALTER SYSTEM RESET integ.retry_delay;
SELECT pg_reload_conf();
SET client_min_messages = warning;
DROP SCHEMA tro_code CASCADE;

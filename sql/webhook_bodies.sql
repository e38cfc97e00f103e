-- Bodies of requests: whatever they are, what is proven is kept byte for byte, and read where it can be.
SET client_min_messages = warning;

SELECT integ_define($$
{"integrationId": "bodies", "name": "Bodies", "version": "1.0.0", "authType": "none", "baseUrl": "https://example.com",
 "methods": [{"id": "get", "name": "Get", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
   "request": {"method": "GET", "path": "/"}}],
 "webhook": {"signature": {"scheme": "equal", "header": "Authorization", "prefix": "Bearer "}, "event": ".type",
   "handshakes": [{"when": {"path": ".challenge"}, "signed": false, "respond": {"echo": ".challenge"}}]}}
$$::jsonb);
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('main', 'bodies');
SELECT integ_credential_set('webhook:' || id, 'secret', 'k') FROM integ.webhooks WHERE definition = 'bodies';

CREATE FUNCTION take(type text, body bytea, token text DEFAULT 'k') RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.status, r.body_out, cardinality(r.events))
    FROM integ_webhook_receive('bodies/main',
        jsonb_build_object('Content-Type', type, 'Authorization', 'Bearer ' || token), body) r
$$;
CREATE VIEW taken AS SELECT event, jsonb_typeof(payload), pg_column_size(payload) > 0 AS has_payload,
    length(body) AS bytes, state FROM integ.webhook_events WHERE definition = 'bodies' ORDER BY id DESC LIMIT 1;

-- Services call JSON by many names, and what is called otherwise is what it says it is.
SELECT take('text/plain', '{"type": "plain"}');
TABLE taken;
SELECT take('application/vnd.api+json; charset=utf-8', '{"type": "api"}');
TABLE taken;
SELECT take('application/x-www-form-urlencoded', '{"type": "form"}');
SELECT event, payload, convert_from(body, 'UTF8') AS body FROM integ.webhook_events
WHERE definition = 'bodies' ORDER BY id DESC LIMIT 1;
SELECT take('application/xml', '{"type": "xml"}');
TABLE taken;
SELECT take('application/json', 'type=json&a=1');
TABLE taken;
SELECT take('application/json', '<type>json</type>');
TABLE taken;
SELECT take('image/png', '\x89504e470d0a1a0a00ff');
TABLE taken;
SELECT take(E'multipart/form-data; boundary="x', '--x');
TABLE taken;

-- What no jsonb can hold.
SELECT take('application/json', convert_to('{"type": "', 'UTF8') || '\xfffe' || convert_to('"}', 'UTF8'));
SELECT event, payload FROM integ.webhook_events WHERE definition = 'bodies' ORDER BY id DESC LIMIT 1;
SELECT take('application/json', convert_to('{"type": "a\u0000b", "lone": "\ud800"}', 'UTF8'));
SELECT event, payload FROM integ.webhook_events WHERE definition = 'bodies' ORDER BY id DESC LIMIT 1;
SELECT take('application/x-www-form-urlencoded', 'type=a%00b&x=%ff');
SELECT event, payload FROM integ.webhook_events WHERE definition = 'bodies' ORDER BY id DESC LIMIT 1;
SELECT take('application/json', convert_to(repeat('[', 10000) || repeat(']', 10000), 'UTF8'));
TABLE taken;
SELECT take('application/json', convert_to(repeat('{"a":', 10000) || '1' || repeat('}', 10000), 'UTF8'));
TABLE taken;
SELECT take('text/xml', convert_to(repeat('<a>', 10000) || repeat('</a>', 10000), 'UTF8'));
TABLE taken;
SELECT take('text/xml', '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>');
TABLE taken;

-- Many names are read in time that grows with the body; a form has no more fields than so many.
SELECT take('application/x-www-form-urlencoded',
    (SELECT convert_to('type=wide&' || string_agg('f' || i || '[]=1', '&'), 'UTF8') FROM generate_series(1, 60000) i));
SELECT event, (SELECT count(*) FROM jsonb_object_keys(payload)), payload -> 'f60000' ->> 0 AS last
FROM integ.webhook_events WHERE definition = 'bodies' AND event = 'wide';
SELECT take('application/x-www-form-urlencoded',
    (SELECT convert_to('type=wider&' || string_agg('f' || i, '&'), 'UTF8') FROM generate_series(1, 100000) i));
TABLE taken;
SELECT take('text/xml',
    (SELECT convert_to('<a>' || string_agg('<b' || i || ' n="' || i || '">t</b' || i || '>', '') || '<b7>u</b7></a>',
        'UTF8') FROM generate_series(1, 30000) i));
SELECT (SELECT count(*) FROM jsonb_object_keys(payload -> 'a')), payload #> '{a,b7}' AS twice,
    payload #> '{a,b30000}' AS once
FROM integ.webhook_events WHERE definition = 'bodies' ORDER BY id DESC LIMIT 1;

-- Fields below fields, and the same field again.
SELECT take('application/x-www-form-urlencoded',
    'type=nested&a[b][c]=1&a[b][d]=2&a[]=3&l[]=x&l[]=y&l[][n]=z&s=1&s=2&a=4&[x]=5&open[=6&&=7&t');
SELECT payload FROM integ.webhook_events WHERE definition = 'bodies' ORDER BY id DESC LIMIT 1;

-- Before anything is proven a handshake is looked for in small bodies only.
SELECT take('application/json', '{"challenge": "abc"}', 'wrong');
SELECT take('application/json', convert_to('{"challenge": "abc", "x": "' || repeat('x', 70000) || '"}', 'UTF8'),
    'wrong');
SELECT take('application/json', convert_to('{"challenge": "abc", "x": "' || repeat('x', 70000) || '"}', 'UTF8'), 'k');

-- Longer ones than the listener takes are refused here, too.
SELECT take('application/json', convert_to(repeat('x', 16 * 1024 * 1024 + 1), 'UTF8'));

DROP VIEW taken;
DROP FUNCTION take(text, bytea, text);
DELETE FROM integ.webhook_events WHERE definition = 'bodies';
DELETE FROM integ.webhooks WHERE definition = 'bodies';
SELECT integ_undefine('bodies');

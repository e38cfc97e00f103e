-- What a manifest may say of signatures, each word of it, by integ.webhook_verify. The vendors' own ways are in
-- test/t/100_webhook_signatures.pl, signed tokens in test/t/108_webhook_tokens.pl.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
RESET client_min_messages;
CREATE SCHEMA scheme_test;
-- The verdict on a request of the service, at noon.
CREATE FUNCTION scheme_test.judge(scheme jsonb, headers jsonb, body text DEFAULT '{"a": 1}', url text DEFAULT '/hook',
    method text DEFAULT 'POST', secrets text[] DEFAULT '{k}')
RETURNS text LANGUAGE sql AS $$
    SELECT integ.webhook_verify(scheme, secrets, headers, convert_to(body, 'UTF8'), method, url, '2026-05-06 12:00:00Z')
$$;
CREATE FUNCTION scheme_test.mac(text text, kind text DEFAULT 'sha256', secret text DEFAULT 'k') RETURNS text
LANGUAGE sql AS $$SELECT encode(hmac(convert_to(text, 'UTF8'), convert_to(secret, 'UTF8'), kind), 'hex')$$;
SET search_path = scheme_test, public;

-- Where nothing is said: a token, or HMAC of the body; a token that is there must be right, whatever else there is.
SELECT judge(NULL, '{"Authorization": "Bearer k"}') AS token, judge(NULL, '{"Authorization": "Bearer no"}') AS wrong,
    judge(NULL, jsonb_build_object('X-Webhook-Signature', mac('{"a": 1}'))) AS mac,
    judge(NULL, jsonb_build_object('X-Webhook-Signature', mac('{"a": 1}', 'sha256', 'other'))) AS wrong_mac,
    judge(NULL, jsonb_build_object('X-Webhook-Signature', mac('{"a": 1}'), 'Authorization', 'Bearer no')) AS both,
    judge(NULL, '{}') AS nothing;

-- Each algorithm.
SELECT kind, judge(jsonb_build_object('scheme', 'hmac-' || kind, 'header', 'X-S'),
        jsonb_build_object('X-S', mac('{"a": 1}', kind))) AS own,
    judge(jsonb_build_object('scheme', 'hmac-' || kind, 'header', 'X-S'),
        jsonb_build_object('X-S', mac('{"a": 1}', 'md5'))) AS other
FROM unnest('{sha1,sha256,sha512}'::text[]) kind;
-- A digest over the secret and what is sent.
SELECT judge('{"scheme": "sha256", "header": "X-S", "template": "{secret}{method}{url}{body}"}',
        jsonb_build_object('X-S', encode(sha256('kPOST/hook{"a": 1}'), 'hex'))) AS own,
    judge('{"scheme": "sha256", "header": "X-S", "template": "{secret}{method}{url}{body}"}',
        jsonb_build_object('X-S', encode(sha256('kPUT/hook{"a": 1}'), 'hex'))) AS other_method;
-- Braces that are no word of ours are what they are.
SELECT judge('{"scheme": "hmac-sha256", "header": "X-S", "template": "{nothing}{body}{"}',
    jsonb_build_object('X-S', mac('{nothing}{"a": 1}{'))) AS literal;
-- A body that is longer than what was thought of at first: many times in the template.
SELECT judge(jsonb_build_object('scheme', 'hmac-sha256', 'header', 'X-S', 'template', repeat('{body}', 30)),
    jsonb_build_object('X-S', mac(repeat(repeat('x', 500), 30))), repeat('x', 500)) AS grown;

-- Where the signature is: in the query, in the headers of other keys, among elements with blanks between.
SELECT judge('{"scheme": "hmac-sha256", "query": "sig"}', '{}', url => '/hook?a=1&sig=' || mac('{"a": 1}')) AS query,
    judge('{"scheme": "hmac-sha256", "query": "sig"}', '{}', url => '/hook?a=1') AS none,
    judge('{"scheme": "hmac-sha256", "query": "sig"}', '{}', url => '/hook?sig=abc') AS short;
SELECT judge('{"scheme": "hmac-sha256", "header": "X-S", "alternativeHeaders": ["X-T", "X-U"]}',
        jsonb_build_object('X-S', mac('{"a": 1}', 'sha256', 'old'), 'X-U', mac('{"a": 1}'))) AS second,
    judge('{"scheme": "hmac-sha256", "header": "X-S", "alternativeHeaders": ["X-T", "X-U"]}',
        jsonb_build_object('X-S', mac('{"a": 1}', 'sha256', 'old'))) AS none;
SELECT judge('{"scheme": "hmac-sha256", "header": "X-S", "separator": ",", "element": "v1"}',
        jsonb_build_object('X-S', 't=1,  v0=' || mac('x') || ', v1=' || mac('{"a": 1}'))) AS element,
    judge('{"scheme": "hmac-sha256", "header": "X-S", "separator": ",", "element": "v1"}',
        jsonb_build_object('X-S', 't=1, v0=' || mac('{"a": 1}'))) AS other_element;
-- Headers that must be there, with a value or with any.
SELECT name, judge('{"scheme": "hmac-sha256", "header": "X-S", "requiredHeaders": {"X-App": "7", "X-Any": ""}}',
    jsonb_build_object('X-S', mac('{"a": 1}')) || headers)
FROM (VALUES ('both', '{"X-App": "7", "X-Any": "x"}'::jsonb), ('another', '{"X-App": "8", "X-Any": "x"}'),
    ('missing', '{"X-App": "7"}')) v (name, headers);
SELECT judge(jsonb_build_object('scheme', 'hmac-sha256', 'header', 'X-S', 'alternativeHeaders',
    (SELECT jsonb_agg('X-' || i) FROM generate_series(1, 100) i)), '{}');

-- Addresses, as they came and with some escapes decoded.
SELECT judge('{"scheme": "hmac-sha256", "header": "X-S", "template": "{url}"}',
        jsonb_build_object('X-S', mac('/a%3Ab%26%zz?c=%7B')), url => '/a%3Ab%26%zz?c=%7B') AS as_it_came,
    judge('{"scheme": "hmac-sha256", "header": "X-S", "template": "{url_decoded}"}',
        jsonb_build_object('X-S', mac('/a:b%26%zz?c=%7B')), url => '/a%3Ab%26%zz?c=%7B') AS decoded;

-- When it was sent: by a header or the body, in three units, how old and how far ahead it may be. (A time beside a
-- token that is merely compared proves nothing, and is not looked at.)
SELECT unit, sent, judge(jsonb_build_object('scheme', 'hmac-sha256', 'header', 'X-S', 'template', '{timestamp}.{body}',
    'timestamp', jsonb_build_object('header', 'X-T', 'unit', unit, 'toleranceSeconds', 300)),
    jsonb_build_object('X-S', mac(sent || '.{"a": 1}'), 'X-T', sent))
FROM (VALUES ('s', '1778068500'), ('s', '1778068400'), ('s', '1778069400'), ('s', 'noon'), ('ms', '1778068800000'),
    ('ms', '1778068800'), ('iso8601', '2026-05-06T11:58:00Z'), ('iso8601', '2026-05-06T14:01:00+02:00'),
    ('iso8601', '2026-05-06')) v (unit, sent);
SELECT body, judge('{"scheme": "hmac-sha256", "header": "X-S", "timestamp": {"path": ".at", "toleranceSeconds": 60}}',
    jsonb_build_object('X-S', mac(body)), body)
FROM (VALUES ('{"at": 1778068790}'), ('{"at": 1}'), ('{}'), ('{"at": "noon"}')) v (body);
SELECT judge('{"scheme": "hmac-sha256", "header": "X-S", "timestamp": {"header": "X-T", "toleranceSeconds": 60}}',
        jsonb_build_object('X-S', mac('{"a": 1}'), 'X-T', '1978068790')) AS ahead,
    judge('{"scheme": "hmac-sha256", "header": "X-S", "timestamp": {"header": "X-T", "toleranceSeconds": 60,
        "allowFuture": true}}', jsonb_build_object('X-S', mac('{"a": 1}'), 'X-T', '1978068790')) AS allowed,
    judge('{"scheme": "equal", "header": "X-S", "timestamp": {"header": "X-T", "toleranceSeconds": 60}}',
        '{"X-S": "k", "X-T": "1"}') AS unproven;

-- Keys: how they are written, and several of them.
SELECT encoding, judge(jsonb_build_object('scheme', 'hmac-sha256', 'header', 'X-S', 'keyEncoding', encoding,
    'keyPrefix', 'key_'), jsonb_build_object('X-S', mac('{"a": 1}')), secrets => ARRAY['key_' || secret])
FROM (VALUES ('text', 'k'), ('hex', '6b'), ('base64', 'aw=='), ('hex', 'no'), ('base64', '!')) v (encoding, secret);
SELECT judge('{"scheme": "hmac-sha256", "header": "X-S"}', jsonb_build_object('X-S', mac('{"a": 1}')),
        secrets => '{new,k}') AS second,
    judge('{"scheme": "hmac-sha256", "header": "X-S"}', jsonb_build_object('X-S', mac('{"a": 1}')),
        secrets => '{}') AS no_key,
    judge('{"scheme": "hmac-sha256", "header": "X-S"}', jsonb_build_object('X-S', mac('{"a": 1}')),
        secrets => ARRAY['']) AS empty_key;

-- User and password; nothing at all.
SELECT judge('{"scheme": "basic"}', '{"Authorization": "Basic dTpw"}', secrets => '{u:p}') AS own,
    judge('{"scheme": "basic"}', '{"Authorization": "Basic dTpx"}', secrets => '{u:p}') AS other,
    judge('{"scheme": "basic"}', '{"Authorization": "Bearer dTpw"}', secrets => '{u:p}') AS no_basic,
    judge('{"scheme": "none"}', '{}') AS none;

-- Words that there are not.
SELECT judge('{"scheme": "rot13"}', '{}');
SELECT judge('{"scheme": "hmac-sha256", "header": "X-S", "encoding": "base85"}', '{}');
SELECT judge('{"scheme": "hmac-sha256", "header": "X-S", "timestamp": {"unit": "fortnights"}}', '{}');

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA scheme_test CASCADE;

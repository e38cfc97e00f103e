-- What answers are made of, seen through raw requests: charsets, bodies that are no JSON, headers, what is left of a
-- limit.
\getenv provider_url INTEG_PROVIDER_URL
SELECT integ_define($${
  "integrationId": "raw_answers", "name": "Answers", "version": "1.0.0", "baseUrl": "{config.base_url}",
  "authType": "none", "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "rateLimit": {"requestsPerMinute": 100000, "headers": {"remaining": "X-Left-Over"}}, "methods": []}$$::jsonb);
SELECT integ_define($${
  "integrationId": "raw_usual", "name": "Answers", "version": "1.0.0", "baseUrl": "{config.base_url}",
  "authType": "none", "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "methods": []}$$::jsonb);
SELECT integ_connect(d, d || '_main', jsonb_build_object('base_url',
    :'provider_url' || '/fault')) IS NOT NULL AS connected
FROM unnest('{raw_answers,raw_usual}'::text[]) AS d;

-- Every charset that PostgreSQL knows, by the names that services give it.
SELECT name, body FROM unnest('{utf-8,iso-8859-1,latin1,iso-8859-15,cp1252,windows-1252,utf-16,utf-16le}'::text[]) AS
    name,
    LATERAL integ_request('raw_answers_main', 'GET', '/charset', jsonb_build_object('name', name));
SELECT name, body FROM unnest('{utf-8,iso-8859-1,cp1250}'::text[]) AS name,
    LATERAL integ_request('raw_answers_main', 'GET', '/charset',
        jsonb_build_object('name', name, 'type', 'text/plain'));
\set VERBOSITY terse
SELECT body FROM integ_request('raw_answers_main', 'GET', '/charset', '{"name": "mac-turkish"}');
\echo :LAST_ERROR_SQLSTATE
SELECT body FROM integ_request('raw_answers_main', 'GET', '/charset', '{"name": "cp037", "type": "text/plain"}');
\set VERBOSITY default

-- An answer that was refused is read as what it is: JSON, else text, else that it is bytes.
SELECT status, body FROM integ_request('raw_answers_main', 'GET', '/status', '{"code": 404, "body": "no such thing"}');
SELECT status, body FROM integ_request('raw_answers_main', 'GET', '/status', '{"code": 404, "body": "{\"no\": 1}"}');
SELECT status, body FROM integ_request('raw_answers_main', 'GET', '/empty', '{"code": 404}');
\set VERBOSITY terse
SELECT status FROM integ_request('raw_answers_main', 'GET', '/say', '{"code": 304}');
SELECT status FROM integ_request('raw_answers_main', 'GET', '/say', '{"code": 304}', options => '{"raise": true}');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default

-- What is left of the service's limit: by the header that the definition names, else by one that everybody uses.
SELECT rate_limit_remaining FROM integ_request('raw_answers_main', 'GET', '/say', '{"h_x-left-over": 17}');
SELECT rate_limit_remaining FROM integ_request('raw_answers_main', 'GET', '/say', '{"h_x-left-over": "many"}');
SELECT rate_limit_remaining FROM integ_request('raw_answers_main', 'GET', '/say', '{"h_ratelimit-remaining": 17}');
SELECT rate_limit_remaining FROM integ_request('raw_usual_main', 'GET', '/say', '{"h_ratelimit-remaining": 17}');
SELECT rate_limit_remaining FROM integ_request('raw_usual_main', 'GET', '/say', '{"h_x-rate-limit-remaining": 1}');
-- A header that comes more than once is one with all its values.
SELECT integ_connect('raw_usual', 'raw_lists',
    jsonb_build_object('base_url', :'provider_url' || '/lists')) IS NOT NULL AS ok;
SELECT headers ->> 'link' AS link FROM integ_request('raw_lists', 'GET', '/links');

DELETE FROM integ.instances WHERE instance_id IN ('raw_answers_main', 'raw_usual_main', 'raw_lists');
SELECT integ_undefine('raw_answers'), integ_undefine('raw_usual');

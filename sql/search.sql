-- Full-text search over records: what is found, by whom, and by the index.
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE ROLE search_ada LOGIN IN ROLE integ_user;
CREATE ROLE search_bob LOGIN IN ROLE integ_user;
CREATE ROLE search_eve LOGIN IN ROLE integ_user;
INSERT INTO integ.clients (id, name) VALUES ('search_acme', 'Acme'), ('search_evil', 'Evil');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('search_ada', 'search_acme', 'ada', 'admin'), ('search_bob', 'search_acme', 'bob', 'user'), ('search_eve', 'search_evil', 'eve', 'admin');
INSERT INTO integ.record_types (id, client_id, name, title_field, search_fields)
VALUES ('search_note', '*', 'Note', 'title', '{title,body,tags,number}');
INSERT INTO integ.records (type, client_id, context_type, context_id, data, deleted_at, updated_at) VALUES
    ('search_note', 'search_acme', 'client', 'search_acme', '{"title": "Harbour fees", "body": "The port of Oslo raises its fees", "secret": "xyzzy"}', NULL, '2026-01-01'),
    ('search_note', 'search_acme', 'client', 'search_acme', '{"title": "Letter", "body": "Harbour pilots ask for higher fees", "tags": ["ships", {"deep": "lanterns"}], "number": 4711}', NULL, '2026-01-02'),
    ('search_note', 'search_acme', 'user', 'bob', '{"title": "Bob''s harbour"}', NULL, '2026-01-03'),
    ('search_note', 'search_acme', 'user', 'carol', '{"title": "Carol''s harbour"}', NULL, '2026-01-04'),
    ('search_note', 'search_evil', 'client', 'search_evil', '{"title": "Harbour of evil"}', NULL, '2026-01-05'),
    ('search_note', '*', 'global', NULL, '{"title": "Harbour for all", "body": "Ångström"}', NULL, '2026-01-06'),
    ('search_note', 'search_acme', 'client', 'search_acme', '{"title": "Harbour, closed"}', now(), '2026-01-07'),
    ('c_company', 'search_acme', 'client', 'search_acme', '{"name": "Harbour Ltd"}', NULL, '2026-01-08');

CREATE FUNCTION pg_temp.found(query text, types text[] DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(title, ' | ' ORDER BY n) FROM integ_search(query, types) WITH ORDINALITY AS r (id, type, title, rank, snippet, data, updated_at, n)
$$;
-- What the search finds and what row-level security lets the caller read are the same.
CREATE FUNCTION pg_temp.compare() RETURNS TABLE (found bigint, leaks bigint, misses bigint) LANGUAGE sql AS $$
    SELECT count(f.id), count(*) FILTER (WHERE r.id IS NULL), count(*) FILTER (WHERE f.id IS NULL)
    FROM integ_search('harbour') AS f
    FULL JOIN (SELECT id FROM integ.records WHERE deleted_at IS NULL AND data::text ~* 'harbour') AS r ON r.id = f.id
$$;
SET ROLE search_ada;
-- What is in the title counts more; then the newest.
SELECT title, snippet, type, rank > 0 AS ranked FROM integ_search('harbour');
SELECT pg_temp.found('HARBOUR fees'), pg_temp.found('"raises its fees"'), pg_temp.found('"its raises"'), pg_temp.found('pilots or oslo');
SELECT pg_temp.found('harbour -oslo', '{search_note}'), pg_temp.found('harbour -xyzzy', '{search_note}');
SELECT pg_temp.found('lanterns'), pg_temp.found('4711'), pg_temp.found('ångström'), pg_temp.found('harbour', '{c_company}');
-- A field that is not searched finds nothing, and keeps nothing from being found.
SELECT pg_temp.found('xyzzy'), pg_temp.found('harbour xyzzy');
SELECT count(*) FROM integ_search('harbour', NULL, 2);
-- What the type says holds at once.
RESET ROLE;
UPDATE integ.record_types SET search_fields = '{secret}' WHERE id = 'search_note';
SET ROLE search_ada;
SELECT pg_temp.found('xyzzy'), pg_temp.found('harbour', '{search_note}');
RESET ROLE;
UPDATE integ.record_types SET search_fields = '{title,body,tags,number}' WHERE id = 'search_note';

-- Each finds what it may read, and nothing else.
SET ROLE search_bob;
SELECT pg_temp.found('harbour');
SELECT * FROM pg_temp.compare();
SET ROLE search_eve;
SELECT pg_temp.found('harbour');
SELECT * FROM pg_temp.compare();
SET ROLE search_ada;
SELECT * FROM pg_temp.compare();
RESET ROLE;
RESET ROLE;

-- No words, no search.
SELECT pg_temp.found('-harbour');
SELECT pg_temp.found('');
SELECT pg_temp.found(NULL);
SELECT count(*) FROM integ_search('a', NULL, 0);
-- What is written is never too long for the index.
INSERT INTO integ.records (type, data) SELECT 'search_note', jsonb_build_object('title', 'Longest', 'body', string_agg(md5(i::text), ' '))
FROM generate_series(1, 100000) AS i;
INSERT INTO integ.records (type, data) VALUES ('search_note', jsonb_build_object('title', 'Blob', 'body', repeat('A', 1000000)));
SELECT pg_temp.found('longest'), pg_temp.found('blob'), pg_temp.found(md5('1'));

-- The index serves it.
INSERT INTO integ.records (type, data) SELECT 'search_note', jsonb_build_object('title', 'Filler ' || i) FROM generate_series(1, 5000) AS i;
ANALYZE integ.records;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM integ.records WHERE deleted_at IS NULL AND integ.search_vector(data) @@ '''4999'''::tsquery;
RESET enable_seqscan;
SELECT pg_temp.found('filler 4999');

DELETE FROM integ.records WHERE type = 'search_note' OR client_id LIKE 'search%';
DELETE FROM integ.record_types WHERE id = 'search_note';
DELETE FROM integ.members WHERE client_id LIKE 'search%';
DELETE FROM integ.clients WHERE id LIKE 'search%';
DROP ROLE search_ada, search_bob, search_eve;

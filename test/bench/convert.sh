#!/bin/bash
# Conversion of 200,000 records of 300 bytes beside the same mapping written by
# hand as one SELECT over jsonb, with its values as columns and as a document;
# twice as many mappings; compilation; memory that is left behind.
set -eu
records=200000
rounds=$([ -n "${INTEG_LONG:-}" ] && echo 50 || echo 1)

psql -X -q -A -t -v ON_ERROR_STOP=1 -v records="$records" -v rounds="$rounds" <<'SQL'
SET max_parallel_workers_per_gather = 0;
SET jit = off;
CREATE TABLE convert_page AS SELECT jsonb_build_object('Id', '003D' || lpad(i::text, 10, '0'),
    'Email', 'Person.' || i || '@Example.COM', 'FirstName', 'First' || i, 'LastName', 'Last' || i,
    'Phone', '+1 555 ' || lpad((i % 10000)::text, 4, '0') || ' 12',
    'MailingAddress', jsonb_build_object('street', i || ' Main Street', 'city', 'Springfield', 'country', 'US'),
    'StageName', (ARRAY['Prospecting', 'Qualification', 'Proposal', 'Closed Won', 'Other'])[i % 5 + 1],
    'CloseDate', (date '2024-01-01' + i % 365)::text, 'IsDeleted', false) AS r
FROM generate_series(1, :records) i;
VACUUM ANALYZE convert_page;

INSERT INTO integ.record_types (id, name) VALUES ('bench', 'Bench');
CREATE FUNCTION pg_temp.mappings(copies int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_set(m, '{targetField}', to_jsonb((m ->> 'targetField') || CASE c WHEN 1 THEN '' ELSE c::text END)))
    FROM generate_series(1, copies) c, jsonb_array_elements('[
      {"targetField": "email", "mappingType": "transform", "config": {"sourceField": "Email", "transformations": [{"type": "lowercase"}]}},
      {"targetField": "name", "mappingType": "composite", "config": {"sourceFields": ["FirstName", "LastName"], "template": "${FirstName} ${LastName}"}},
      {"targetField": "phone", "mappingType": "transform", "config": {"sourceField": "Phone", "transformations": [{"type": "replace", "config": {"search": " ", "replace": ""}}]}},
      {"targetField": "street", "mappingType": "flatten", "config": {"sourceField": "MailingAddress", "path": "street"}},
      {"targetField": "source", "mappingType": "default", "config": {"value": "salesforce"}},
      {"targetField": "stage", "mappingType": "conditional", "config": {"conditions": [
        {"condition": {"field": "StageName", "operator": "eq", "value": "Prospecting"}, "then": {"type": "value", "value": "lead"}},
        {"condition": {"field": "StageName", "operator": "eq", "value": "Qualification"}, "then": {"type": "value", "value": "qualified"}},
        {"condition": {"field": "StageName", "operator": "eq", "value": "Proposal"}, "then": {"type": "value", "value": "proposal"}},
        {"condition": {"field": "StageName", "operator": "eq", "value": "Closed Won"}, "then": {"type": "value", "value": "won"}}], "default": "lead"}},
      {"targetField": "closes", "mappingType": "transform", "config": {"sourceField": "CloseDate", "transformations": [{"type": "to_date"}]}}]') m
$$;
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings, deduplication)
SELECT 'bench' || c * 7, 'x', 'bench', pg_temp.mappings(c), '{"strategy": "external_id", "externalIdField": "Id"}'
FROM generate_series(1, 2) c;

-- Milliseconds of each query, the best of five rounds that take them in turn.
CREATE FUNCTION pg_temp.measure(queries text[]) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
    best float8[] := array_fill('infinity'::float8, ARRAY[cardinality(queries)]);
    started timestamptz;
BEGIN
    FOR round IN 1 .. 5 LOOP
        FOR i IN 1 .. cardinality(queries) LOOP
            started := clock_timestamp();
            EXECUTE queries[i];
            best[i] := least(best[i], extract(epoch FROM clock_timestamp() - started) * 1000);
        END LOOP;
    END LOOP;
    RETURN best;
END
$$;
CREATE TEMP TABLE measured AS SELECT pg_temp.measure(ARRAY[
    $$SELECT count(integ_convert('bench7', r)) FROM convert_page$$,
    $$SELECT count(integ_convert('bench14', r)) FROM convert_page$$,
    $$SELECT count(lower(r ->> 'Email')), count(concat_ws(' ', r ->> 'FirstName', r ->> 'LastName')),
        count(replace(r ->> 'Phone', ' ', '')), count(r -> 'MailingAddress' ->> 'street'), count('salesforce'),
        count(CASE r ->> 'StageName' WHEN 'Prospecting' THEN 'lead' WHEN 'Qualification' THEN 'qualified'
            WHEN 'Proposal' THEN 'proposal' WHEN 'Closed Won' THEN 'won' ELSE 'lead' END),
        count((r ->> 'CloseDate')::date) FROM convert_page$$,
    $$SELECT count(jsonb_build_object('email', lower(r ->> 'Email'),
        'name', concat_ws(' ', r ->> 'FirstName', r ->> 'LastName'), 'phone', replace(r ->> 'Phone', ' ', ''),
        'street', r -> 'MailingAddress' ->> 'street', 'source', 'salesforce',
        'stage', CASE r ->> 'StageName' WHEN 'Prospecting' THEN 'lead' WHEN 'Qualification' THEN 'qualified'
            WHEN 'Proposal' THEN 'proposal' WHEN 'Closed Won' THEN 'won' ELSE 'lead' END,
        'closes', (r ->> 'CloseDate')::date)) FROM convert_page$$]) AS ms;
SELECT format('bench %s %s', name, round(value::numeric, 2)) FROM measured, LATERAL (VALUES
    ('convert_7_ms', ms[1]), ('convert_14_ms', ms[2]), ('convert_sql_columns_ms', ms[3]), ('convert_sql_document_ms', ms[4]),
    ('convert_to_sql_columns_ratio', ms[1] / ms[3]), ('convert_to_sql_document_ratio', ms[1] / ms[4]),
    ('convert_14_to_7_ratio', ms[2] / ms[1])) v (name, value);

-- 200 mappings and 50 conditions: what a change of the schema costs at the next record, less what a record costs.
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings)
SELECT 'benchlarge', 'x', 'bench', jsonb_agg(CASE
    WHEN i = 1 THEN jsonb_build_object('targetField', 'stage', 'mappingType', 'conditional', 'config', jsonb_build_object('conditions',
        (SELECT jsonb_agg(jsonb_build_object('condition', jsonb_build_object('field', 'StageName', 'operator', 'eq', 'value', 'Stage ' || c),
            'then', jsonb_build_object('type', 'value', 'value', c))) FROM generate_series(1, 50) c)))
    WHEN i % 3 = 0 THEN jsonb_build_object('targetField', 'f' || i, 'mappingType', 'transform', 'config', jsonb_build_object('sourceField', 'A' || i || '.b',
        'transformations', '[{"type": "trim"}, {"type": "regex_replace", "config": {"pattern": "[^0-9]+", "replace": ""}}]'::jsonb))
    ELSE jsonb_build_object('targetField', 'f' || i, 'mappingType', 'direct', 'config', jsonb_build_object('sourceField', 'A' || i)) END)
FROM generate_series(1, 200) i;
DO $$
DECLARE
    best float8[] := '{infinity, infinity}';
    started timestamptz;
BEGIN
    FOR round IN 1 .. 10 LOOP
        UPDATE integ.conversion_schemas SET description = round::text WHERE schema_id = 'benchlarge';
        FOR i IN 1 .. 2 LOOP
            started := clock_timestamp();
            PERFORM integ_convert('benchlarge', '{"id": 1}');
            best[i] := least(best[i], extract(epoch FROM clock_timestamp() - started) * 1000);
        END LOOP;
    END LOOP;
    PERFORM set_config('bench.compile', round((best[1] - best[2])::numeric, 2)::text, false);
END
$$;
SELECT 'bench convert_compile_200_ms ' || current_setting('bench.compile');

-- Memory that conversions leave in the backend, in bytes a million of them.
CREATE FUNCTION pg_temp.used() RETURNS bigint LANGUAGE sql AS 'SELECT sum(used_bytes) FROM pg_backend_memory_contexts';
CREATE TEMP TABLE memory AS SELECT pg_temp.used() AS before;
DO $$ BEGIN PERFORM count(integ_convert('bench14', r)) FROM convert_page; END $$;
UPDATE memory SET before = pg_temp.used();
SELECT set_config('bench.rounds', :'rounds', false) \g /dev/null
DO $$
BEGIN
    FOR i IN 1 .. current_setting('bench.rounds')::int LOOP
        PERFORM count(integ_convert('bench14', r)) FROM convert_page;
    END LOOP;
END
$$;
SELECT format('bench convert_memory_growth_bytes %s', pg_temp.used() - before) FROM memory;

DELETE FROM integ.conversion_schemas WHERE schema_id LIKE 'bench%';
DELETE FROM integ.record_types WHERE id = 'bench';
DROP TABLE convert_page;
SQL

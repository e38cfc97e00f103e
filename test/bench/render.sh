#!/bin/bash
# Schemas and templates of a request with 50 fields, a typical small one, and
# an answer: microseconds a call in one session, less what the same
# loop takes without the call.
set -eu
rounds=$([ -n "${INTEG_LONG:-}" ] && echo 200000 || echo 20000)

psql -X -q -A -t -v ON_ERROR_STOP=1 -v rounds="$rounds" <<'SQL'
CREATE TEMP TABLE material AS
SELECT
    jsonb_build_object('type', 'object', 'additionalProperties', false,
        'required', jsonb_agg('field_' || i),
        'properties', jsonb_object_agg('field_' || i, CASE i % 5
            WHEN 0 THEN '{"type": "integer", "minimum": 0, "maximum": 1000}'::jsonb
            WHEN 1 THEN '{"type": "string", "minLength": 1, "maxLength": 100}'
            WHEN 2 THEN '{"type": "boolean"}'
            WHEN 3 THEN '{"enum": ["new", "open", "closed"]}'
            ELSE '{"type": "string", "format": "date"}' END)) AS schema,
    jsonb_object_agg('field_' || i, CASE i % 5
            WHEN 0 THEN to_jsonb(i) WHEN 1 THEN to_jsonb('some text ' || i) WHEN 2 THEN to_jsonb(true)
            WHEN 3 THEN '"open"' ELSE '"2024-02-29"' END) AS document,
    jsonb_object_agg('Field' || i, CASE i % 5 WHEN 1 THEN 'Text: {field_' || i || '}' ELSE '{field_' || i || '}' END)
        AS template
FROM generate_series(1, 50) AS i;

-- The best of five rounds of the loop with the call, less the best of five without it.
CREATE FUNCTION pg_temp.measure(name text, expression text, rounds int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    -- Plain values: a table would hand out compressed ones.
    flat constant text := CASE WHEN expression ~ 'document' THEN
        ', schema || ''{}'' AS schema, document || ''{}'' AS document, template || ''{}'' AS template FROM material'
        ELSE '' END;
    started timestamptz;
    best float8[] := '{infinity, infinity}';
BEGIN
    FOR i IN 1 .. 10 LOOP
        started := clock_timestamp();
        EXECUTE format('WITH m AS MATERIALIZED (SELECT 1 %s) SELECT count(%s) FROM m, generate_series(1, %s) AS g',
            flat, CASE i % 2 WHEN 0 THEN 'g' ELSE expression END, rounds);
        best[i % 2 + 1] := least(best[i % 2 + 1], extract(epoch FROM clock_timestamp() - started));
    END LOOP;
    RETURN format('bench %s %s', name, round(((best[2] - best[1]) * 1e6 / rounds)::numeric, 2));
END
$$;

SELECT pg_temp.measure(name, expression, :rounds) FROM (VALUES
    ('schema_validate_50_us', 'integ.json_schema_valid(schema, document)'),
    ('schema_fill_50_us', 'integ.json_schema_fill(schema, document)'),
    ('template_render_50_us', 'integ.template_render(template, document)'),
    ('template_render_body_us', $$integ.template_render('{"vendor_id": "{vendor_id}", "note": "{note}", "lines": {"$each": "items", "as": "i", "do": {"Sku": "{i.sku}", "Qty": "{i.quantity}"}}}',
        '{"vendor_id": 7, "items": [{"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 2}]}')$$),
    ('template_path_us', $$integ.template_text('"/inventory/{sku}/{part}"', '{"sku": "AB-1", "part": "x y"}', encoding => 'percent')$$),
    ('template_query_us', $$integ.template_query('{"updated_since": "{modified_since}", "limit": "{page_size}", "cursor": "{cursor}"}',
        '{"modified_since": "2024-01-01T00:00:00Z", "page_size": 200}')$$),
    ('path_get_us', $$integ.path_get('{"data": {"items": [{"id": 1}, {"id": 2}]}}', '.data.items[0].id')$$),
    ('jsonpath_exists_us', $$integ.path_exists('{"ok": true, "data": {"id": 1}}', '$ ? (@.ok == false)')$$),
    ('path_map_us', $$integ.path_map('{"data": {"quantity_on_hand": 5, "warehouse": "W1"}}', '{"quantity": ".data.quantity_on_hand", "location": ".data.warehouse"}')$$)
) AS cases (name, expression);
SQL

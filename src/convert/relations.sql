-- Relations of pages: remembered as they are converted, completed when what they lead to arrives.
-- src/convert/relations.h is how a sync uses these.

CREATE FUNCTION integ.with_fields(data jsonb, fields text[], field_values jsonb[]) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'integ_with_fields';
COMMENT ON FUNCTION integ.with_fields(jsonb, text[], jsonb[]) IS
    'A record''s data with these target fields (also dot paths) set to these values';

-- Workers complete relations with the rights of integ_owner and of the schema's owner: what a relation leads from and
-- to must be there for whoever writes it.
CREATE POLICY record_relations_write ON integ.record_relations USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin')
    WITH CHECK (((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin')
    AND (from_record IS NULL OR EXISTS (SELECT FROM integ.records r WHERE r.id = record_relations.from_record))
    AND (to_record IS NULL OR EXISTS (SELECT FROM integ.records r WHERE r.id = record_relations.to_record))
    AND (schema IS NULL
         OR EXISTS (SELECT FROM integ.conversion_schemas s WHERE s.id = record_relations.schema)));

-- Replaces what is remembered of the starting points of a page: each is the id of a record, or the key of a row of
-- start_table. What did not change is not written.
CREATE FUNCTION integ.store_relations(schema_id uuid, client text, of_instance uuid, start_table regclass,
                                      starts jsonb, relations jsonb)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stored bigint;
BEGIN
    WITH given AS MATERIALIZED (
        SELECT row_number() OVER () AS number, g.*
        FROM jsonb_to_recordset(relations) AS g (start jsonb, relation_type text, to_record uuid, to_type text,
            to_table regclass, to_external_id text, to_field text, to_value text, value_field text, value jsonb,
            field text)
    ), start AS (
        SELECT s.start, CASE WHEN start_table IS NULL THEN (s.start #>> '{}')::uuid END AS record
        FROM jsonb_array_elements(starts) s (start)
    ), known AS MATERIALIZED (
        SELECT s.start, w.* FROM start s JOIN integ.record_relations w ON w.from_record = s.record
        WHERE w.schema = schema_id AND w.client_id = client
        UNION ALL
        SELECT s.start, w.* FROM start s
        JOIN integ.record_relations w ON w.from_table = start_table AND w.from_key = s.start
        WHERE w.schema = schema_id AND w.client_id = client
    ), kept AS MATERIALIZED (
        SELECT k.id, g.number FROM known k JOIN given g ON g.start = k.start
            AND (g.relation_type, g.to_record, g.to_type, g.to_table, g.to_external_id, g.to_field, g.to_value,
                 g.value_field, g.value, g.field, of_instance)
                IS NOT DISTINCT FROM
                (k.relation_type, k.to_record, k.to_type, k.to_table, k.to_external_id, k.to_field, k.to_value,
                 k.value_field, k.value, k.field, k.instance)
        WHERE k.error IS NULL
    ), gone AS (
        DELETE FROM integ.record_relations w USING known k
        WHERE w.id = k.id AND k.id NOT IN (SELECT id FROM kept)
    ), added AS (
        INSERT INTO integ.record_relations (client_id, instance, schema, relation_type, from_record, from_table,
            from_key, to_record, to_type, to_table, to_external_id, to_field, to_value, value_field, value, field,
            linked_at)
        SELECT client, of_instance, schema_id, g.relation_type,
            CASE WHEN start_table IS NULL THEN (g.start #>> '{}')::uuid END, start_table,
            CASE WHEN start_table IS NOT NULL THEN g.start END,
            g.to_record, g.to_type, g.to_table, g.to_external_id, g.to_field, g.to_value, g.value_field, g.value,
            g.field, CASE WHEN g.to_record IS NOT NULL OR g.value IS NOT NULL THEN now() END
        FROM given g WHERE g.number NOT IN (SELECT number FROM kept)
        RETURNING id
    )
    SELECT count(*) INTO stored FROM added;
    RETURN stored;
END
$$;
COMMENT ON FUNCTION integ.store_relations(uuid, text, uuid, regclass, jsonb, jsonb) IS
    'Remembers what the records or rows of a page relate to, in place of what was remembered of them; returns how '
    'many are new';

-- Fields of records are filled at once; columns of users' tables wait for the worker of the schema's owner.
CREATE FUNCTION integ.complete_relations(relations uuid[], to_records uuid[], to_values jsonb[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    completed bigint;
BEGIN
    WITH completed_relations AS (
        UPDATE integ.record_relations w SET to_record = a.record, value = a.value,
            linked_at = CASE WHEN w.from_table IS NULL OR w.field IS NULL THEN now() END
        FROM unnest(relations, to_records, to_values) a (id, record, value)
        WHERE w.id = a.id
        RETURNING w.from_record, w.client_id, w.field, coalesce(w.value, to_jsonb(w.to_record)) AS value
    ), filled AS (
        UPDATE integ.records r SET data = f.data, updated_at = now()
        FROM (SELECT s.id, integ.with_fields(s.data, array_agg(c.field), array_agg(c.value)) AS data
              FROM completed_relations c JOIN integ.records s ON s.id = c.from_record AND s.client_id = c.client_id
              WHERE c.field IS NOT NULL GROUP BY s.id, s.data) f
        WHERE r.id = f.id AND r.data <> f.data
    )
    SELECT count(*) INTO completed FROM completed_relations;
    RETURN completed;
END
$$;
COMMENT ON FUNCTION integ.complete_relations(uuid[], uuid[], jsonb[]) IS
    'Gives relations the records or values that they lead to, and fills the fields of records that take those';

CREATE FUNCTION integ.link_relations(records uuid[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relations uuid[];
    targets uuid[];
BEGIN
    SELECT array_agg(id), array_agg(record) INTO relations, targets FROM (
        SELECT DISTINCT ON (id) id, record FROM (
            SELECT w.id, r.id AS record, 1 AS rank
            FROM integ.records r
            JOIN integ.record_links l ON l.record = r.id AND l.deleted_at IS NULL
            JOIN integ.record_relations w ON w.to_record IS NULL AND w.value IS NULL
                AND w.to_external_id = l.external_id AND w.client_id = r.client_id AND w.to_type = r.type
                AND (w.instance IS NULL OR w.instance = l.instance)
            WHERE r.id = ANY (records) AND r.deleted_at IS NULL
            UNION ALL
            SELECT w.id, r.id, 2
            FROM integ.records r
            JOIN integ.record_relations w ON w.to_record IS NULL AND w.value IS NULL
                AND w.to_type IS NOT NULL AND w.to_field IS NOT NULL
                AND w.to_type = r.type AND w.client_id = r.client_id AND r.data ->> w.to_field = w.to_value
            WHERE r.id = ANY (records) AND r.deleted_at IS NULL
        ) found ORDER BY id, rank, record
    ) arrived;
    RETURN integ.complete_relations(relations, targets, NULL);
END
$$;
COMMENT ON FUNCTION integ.link_relations(uuid[]) IS
    'Completes the relations that waited for these records, and the fields of records that take their ids; returns '
    'how many';

CREATE FUNCTION integ.link_relations(arrived_table regclass, keys jsonb[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relations uuid[];
    found jsonb[];
BEGIN
    SELECT array_agg(id), array_agg(value) INTO relations, found FROM (
        SELECT DISTINCT ON (w.id) w.id, v.value
        FROM integ.record_links l
        JOIN integ.record_relations w ON w.to_record IS NULL AND w.value IS NULL
            AND w.client_id = l.client_id AND w.to_external_id = l.external_id AND w.to_table = l.target_table
            AND (w.instance IS NULL OR w.instance = l.instance)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN w.value_field IS NOT NULL THEN l.target_key -> w.value_field
                        WHEN (SELECT count(*) FROM jsonb_object_keys(l.target_key)) = 1
                        THEN (SELECT e.value FROM jsonb_each(l.target_key) e) END AS value
        ) v
        WHERE l.target_table = arrived_table AND l.target_key = ANY (keys) AND l.deleted_at IS NULL
            AND v.value <> 'null'
        ORDER BY w.id, v.value
    ) arrived;
    RETURN integ.complete_relations(relations, NULL, found);
END
$$;
COMMENT ON FUNCTION integ.link_relations(regclass, jsonb[]) IS
    'Completes the relations that waited by external id for these rows of a table; returns how many';

-- found: what the rows have in the column that is looked up, and in the one that is referred to.
CREATE FUNCTION integ.link_relations_by_field(client text, arrived_table regclass, looked_up text, referred_to text,
                                              found_keys text[], found_values jsonb[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relations uuid[];
    found jsonb[];
BEGIN
    SELECT array_agg(id), array_agg(value) INTO relations, found FROM (
        SELECT DISTINCT ON (w.id) w.id, f.value
        FROM unnest(found_keys, found_values) f (key, value)
        JOIN integ.record_relations w ON w.to_record IS NULL AND w.value IS NULL
            AND w.to_table IS NOT NULL AND w.to_field IS NOT NULL AND w.to_table = arrived_table
            AND w.to_field = looked_up AND w.value_field = referred_to AND w.to_value = f.key
        WHERE w.client_id = client
        ORDER BY w.id, f.value
    ) arrived;
    RETURN integ.complete_relations(relations, NULL, found);
END
$$;
COMMENT ON FUNCTION integ.link_relations_by_field(text, regclass, text, text, text[], jsonb[]) IS
    'Completes the relations that waited for rows of a table by a column''s value; returns how many';

CREATE FUNCTION integ.tg_schema_deleted() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_schema_deleted';
COMMENT ON FUNCTION integ.tg_schema_deleted() IS
    'Forgets the links of a deleted schema, and the foreign keys that waited for it to set them; the local side stays';
CREATE TRIGGER conversion_schemas_deleted AFTER DELETE ON integ.conversion_schemas
    FOR EACH ROW EXECUTE FUNCTION integ.tg_schema_deleted();

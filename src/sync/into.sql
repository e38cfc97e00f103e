-- One statement from an entity to a table, or records, that are kept fresh.

-- AccountId, account-id and "Account ID" become account_id; Region__c becomes region. A name has at most 63 bytes.
CREATE FUNCTION integ.column_name(field text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text := regexp_replace(field, '__c$', '');
BEGIN
    name := regexp_replace(regexp_replace(name, '([a-z0-9])([A-Z])', '\1_\2', 'g'),
                           '([A-Z])([A-Z][a-z])', '\1_\2', 'g');
    name := lower(regexp_replace(name, '[\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+', '_', 'g') COLLATE "C");
    name := left(coalesce(nullif(btrim(name, '_'), ''), 'field'), 63);
    RETURN CASE WHEN octet_length(name) > 63 THEN left(name, 15) ELSE name END;
END
$$;
COMMENT ON FUNCTION integ.column_name(text) IS 'A column''s name for a field of a service';

CREATE FUNCTION integ.column_type(property jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN types = '{string}' OR types = '{}' AND (property ? 'enum' OR formats <> '{}') THEN
            CASE WHEN 'date-time' = ANY (formats) THEN 'timestamptz'
                  WHEN 'date' = ANY (formats) THEN 'date' ELSE 'text' END
        WHEN types = '{integer}' THEN 'bigint'
        WHEN types <> '{}' AND types <@ '{integer,number}' THEN 'numeric'
        WHEN types = '{boolean}' THEN 'boolean'
        WHEN types <> '{}' AND types <@ '{string,integer,number,boolean}' THEN 'text'
        ELSE 'jsonb' END
    FROM (SELECT ARRAY(SELECT t #>> '{}' FROM jsonb_path_query(property, 'lax $.type[*]') AS t
                       WHERE t <> '"null"') AS types,
                 ARRAY(SELECT f #>> '{}' FROM jsonb_path_query(property, 'lax $.format') AS f
                       UNION ALL
                       SELECT f #>> '{}' FROM jsonb_path_query(property, 'lax $.anyOf[*].format') AS f) AS formats)
         AS said
$$;
COMMENT ON FUNCTION integ.column_type(jsonb) IS 'The type of a column for what a property''s JSON Schema allows';

CREATE FUNCTION integ.column_type_of(sampled jsonb[], is_key boolean) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN types <> '{}' AND types <@ '{string}' THEN
            CASE WHEN is_key THEN 'text'
                 WHEN NOT EXISTS (SELECT FROM unnest(sampled) AS v WHERE v #>> '{}' !~ '^\d{4}-\d\d-\d\d$') THEN 'date'
                 WHEN NOT EXISTS (SELECT FROM unnest(sampled) AS v
                                  WHERE v #>> '{}' !~
                                        '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?([Zz]|[+-]\d\d(:?\d\d)?)$')
                 THEN 'timestamptz' ELSE 'text' END
        -- Others than those seen may have a fraction: not what is a key.
        WHEN types = '{number}' THEN
            CASE WHEN is_key AND NOT EXISTS (SELECT FROM unnest(sampled) AS v WHERE v #>> '{}' !~ '^-?\d{1,18}$')
                 THEN 'bigint' ELSE 'numeric' END
        WHEN types = '{boolean}' THEN 'boolean'
        WHEN types <@ '{string,number,boolean}' THEN 'text'
        ELSE 'jsonb' END
    FROM (SELECT ARRAY(SELECT DISTINCT jsonb_typeof(v) FROM unnest(sampled) AS v) AS types) AS seen
$$;
COMMENT ON FUNCTION integ.column_type_of(jsonb[], boolean) IS
    'The type of a column for the values, none of them null, that records of a sample have';

-- What a record has, by its schema, or where that describes nothing by samples; the key comes first. Of fields that
-- would get the same name the first one counts: a mapping matches names so.
CREATE FUNCTION integ.columns_for(schema jsonb, samples jsonb, key text)
RETURNS TABLE (name text, type text, field text, description text, is_key boolean)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    WITH fields AS (
        SELECT p.key AS field, integ.column_type(p.value) AS type,
               coalesce(p.value ->> 'description', p.value ->> 'title') AS description
        FROM jsonb_each(schema -> 'properties') AS p
        UNION ALL
        SELECT v.key, integ.column_type_of(array_remove(array_agg(nullif(v.value, 'null')), NULL), v.key = $3), NULL
        FROM jsonb_array_elements(samples) AS s (record), jsonb_each(s.record) AS v
        WHERE coalesce(schema -> 'properties', '{}') = '{}'
        GROUP BY v.key
    ), named AS (
        SELECT integ.column_name(f.field) AS name,
               CASE WHEN f.field = $3 AND f.type NOT IN ('bigint', 'numeric') THEN 'text' ELSE f.type END AS type,
               f.field, f.description, f.field = $3 AS is_key
        FROM fields f
        UNION ALL
        SELECT integ.column_name(substring($3 FROM '[^.]*$')), 'text', $3, NULL, true
        WHERE NOT EXISTS (SELECT FROM fields f WHERE f.field = $3)
    )
    SELECT DISTINCT ON (n.is_key, replace(n.name, '_', '')) n.* FROM named n
    WHERE n.is_key OR replace(n.name, '_', '') <> replace(integ.column_name(substring($3 FROM '[^.]*$')), '_', '')
    ORDER BY n.is_key DESC, replace(n.name, '_', ''), n.field COLLATE "C"
$$;
COMMENT ON FUNCTION integ.columns_for(jsonb, jsonb, text) IS
    'Columns for the records of an entity, by its JSON Schema or by samples; key is the field that tells them apart';

-- A table for an entity, made with the rights of the caller.
CREATE FUNCTION integ.table_for(target text, schema jsonb, samples jsonb, key text, description text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parts text[] := parse_ident(target);
    name text := format('%I.%I', parts[1], parts[2]);
    col record;
    columns text;
BEGIN
    SELECT string_agg(format('%I %s', c.name, c.type) || CASE WHEN c.is_key THEN ' PRIMARY KEY' ELSE '' END, ', '
                      ORDER BY c.is_key DESC, c.name)
    INTO columns FROM integ.columns_for(schema, samples, key) AS c;
    EXECUTE format('CREATE TABLE %s (%s)', name, columns);
    EXECUTE format('COMMENT ON TABLE %s IS %L', name, description);
    FOR col IN SELECT c.name, c.field, c.description FROM integ.columns_for(schema, samples, key) AS c LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', name, col.name,
                       concat_ws(': ', CASE WHEN col.field <> col.name THEN col.field END, col.description));
    END LOOP;
END
$$;
COMMENT ON FUNCTION integ.table_for(text, jsonb, jsonb, text, text) IS
    'Makes a table whose columns take the records of an entity, each with a comment';

-- Records to learn from: a page of the entity's list, asked for as any call is.
CREATE FUNCTION integ.samples_for(instance text, entity jsonb, input jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    samples jsonb;
BEGIN
    SELECT jsonb_agg(r.record) INTO samples
    FROM @extschema@.integ_fetch(instance, entity ->> 'list',
                                  coalesce(entity -> 'input', '{}') || coalesce(input, '{}'),
                                 '{"max_pages": 1, "max_records": 100}') AS r (record)
    WHERE jsonb_typeof(r.record) = 'object';
    IF samples IS NULL THEN
        RAISE EXCEPTION 'it is not known which fields a record of "%" has', entity ->> 'id'
            USING ERRCODE = 'IG400',
                  DETAIL = 'The definition has no schema for the entity, and its list is empty.',
                  HINT = 'Give some records as the option {"samples": […]}.';
    END IF;
    RETURN samples;
END
$$;
COMMENT ON FUNCTION integ.samples_for(text, jsonb, jsonb) IS
    'The first records of an entity''s list, to learn what they have';

-- The conversion schema of that handle, which somebody may have edited since it was made: it stays as it is.
CREATE FUNCTION integ.schema_of(handle text, entity text, target text) RETURNS uuid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found integ.conversion_schemas;
BEGIN
    SELECT s.* INTO found FROM integ.conversion_schemas s
    WHERE s.schema_id = handle AND s.owner = quote_ident(current_user)::regrole
      AND s.client_id = @extschema@.integ_current_client();
    IF found.source_entity <> entity OR coalesce(found.target_table, found.target_type) <> target THEN
        RAISE EXCEPTION 'there is a conversion schema "%" already, from "%" to %', handle, found.source_entity,
            coalesce(found.target_table, found.target_type)
            USING ERRCODE = 'IG409', HINT = 'Give another name: the option {"task_id": "…"}.';
    END IF;
    RETURN found.id;
END
$$;
COMMENT ON FUNCTION integ.schema_of(text, text, text) IS
    'The caller''s conversion schema of that handle, or NULL; raises where it is for something else';

-- The task: made, or given what the options say now. Whether it is new.
CREATE FUNCTION integ.task_for(handle text, instance uuid, schema uuid, entity text, schedule jsonb, config jsonb,
                               options jsonb)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found integ.sync_tasks;
BEGIN
    SELECT t.* INTO found FROM integ.sync_tasks t
    WHERE t.task_id = handle AND t.owner = quote_ident(current_user)::regrole
      AND t.client_id = @extschema@.integ_current_client();
    IF found.id IS NULL THEN
        INSERT INTO integ.sync_tasks (task_id, name, instance, schema, entity, schedule, config, next_run_at)
        VALUES (handle, coalesce(options ->> 'name', handle), instance, schema, entity,
                coalesce(task_for.schedule, '"manual"'),
                config || coalesce(options -> 'config', '{}'),
                CASE WHEN coalesce((options ->> 'start')::boolean, true) THEN clock_timestamp() END);
        RETURN true;
    END IF;
    IF (found.instance, found.schema) IS DISTINCT FROM (instance, schema) THEN
        RAISE EXCEPTION 'there is a task "%" already, with another connection or conversion schema', handle
            USING ERRCODE = 'IG409', HINT = 'Give another name: the option {"task_id": "…"}.';
    END IF;
    UPDATE integ.sync_tasks t
    SET schedule = coalesce(task_for.schedule, t.schedule), config = t.config || coalesce(options -> 'config', '{}'),
        name = coalesce(options ->> 'name', t.name)
    WHERE t.id = found.id
      AND (t.schedule, t.config, t.name) IS DISTINCT FROM
          (coalesce(task_for.schedule, t.schedule), t.config || coalesce(options -> 'config', '{}'),
           coalesce(options ->> 'name', t.name));
    -- Its target has been looked at: what was wrong with it is not any more.
    IF found.status = 'error' THEN
        PERFORM @extschema@.integ_sync_resume(found.id::text);
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION integ.task_for(text, uuid, uuid, text, jsonb, jsonb, jsonb) IS
    'Makes the task of that handle, or gives it the schedule and config of the options; whether it is new';

-- Makes what is missing between an entity and its target: the table, the conversion schema.
CREATE FUNCTION integ.target_for(handle text, instance uuid, entity jsonb, target text, options jsonb) RETURNS uuid
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_table boolean := cardinality(parse_ident(target)) = 2;
    is_missing boolean := is_table AND to_regclass(target) IS NULL;
    made uuid := integ.schema_of(handle, entity ->> 'id', target);
    samples jsonb := options -> 'samples';
    removal text := coalesce(options ->> 'removal',
        CASE WHEN is_missing THEN 'delete' WHEN is_table THEN 'none' ELSE 'soft_delete' END);
    key text := coalesce(options ->> 'key', entity ->> 'idField');
    suggested jsonb;
BEGIN
    IF made IS NOT NULL AND NOT is_missing THEN
        RETURN made;
    END IF;
    IF coalesce(entity #> '{schema,properties}', '{}') = '{}' AND samples IS NULL THEN
        samples := integ.samples_for(instance::text, entity, options #> '{config,input}');
    END IF;
    IF is_missing THEN
        PERFORM integ.table_for(target, entity -> 'schema', samples, key,
                                format('Records "%s" of a service, kept by the sync task %s', entity ->> 'id', handle));
    END IF;
    IF made IS NOT NULL THEN
        RETURN made;
    END IF;
    suggested := @extschema@.integ_convert_suggest(instance::text, entity ->> 'id', target, samples);
    IF suggested -> 'field_mappings' = '[]' THEN
        RAISE EXCEPTION 'no field of "%" is called as one of %', entity ->> 'id', target
            USING ERRCODE = 'IG400',
                  HINT = 'Write a conversion schema by hand, with the schema_id "' || handle || '", and call again.';
    END IF;
    INSERT INTO integ.conversion_schemas (schema_id, name, instance, source_entity, target_type, target_table,
                                          field_mappings, deduplication, delete_if_removed, removal)
    VALUES (handle, handle, instance, entity ->> 'id', suggested ->> 'target_type', suggested ->> 'target_table',
            suggested -> 'field_mappings', suggested -> 'deduplication' || jsonb_build_object('externalIdField', key),
            removal <> 'none', coalesce(nullif(removal, 'none'), 'delete'))
    RETURNING id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION integ.target_for(text, uuid, jsonb, text, jsonb) IS
    'Makes the table and the conversion schema that are missing between an entity and its target; returns the schema';

CREATE FUNCTION integ.sync_target_check(schema uuid) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_sync_target_check';
COMMENT ON FUNCTION integ.sync_target_check(uuid) IS
    'Raises IG400 or IG403 where the current role could not write records by this conversion schema';

CREATE FUNCTION integ_sync_into(instance text, entity text, target text, options jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    connection uuid := integ.instance_find(instance);
    found jsonb;
    handle text;
    had_table boolean;
    made uuid;
    is_new boolean;
    wanted jsonb;
    -- What is read from a time on does not tell what is gone, unless the service says so.
    config jsonb := '{}';
BEGIN
    PERFORM integ.options_check(options, '{"every": "text", "cron": "text", "timezone": "text", "schedule": "object",
        "config": "object", "task_id": "text", "name": "text", "samples": "array", "key": "text", "removal": "text",
        "start": "boolean"}', 'integ_sync_into');
    IF options ->> 'removal' NOT IN ('delete', 'soft_delete', 'detach', 'none') THEN
        RAISE EXCEPTION 'integ_sync_into has no removal "%"', options ->> 'removal'
            USING ERRCODE = 'IG400', HINT = 'Removals: delete, soft_delete, detach, none.';
    END IF;
    wanted := coalesce(options -> 'schedule', nullif(jsonb_strip_nulls(jsonb_build_object(
        'every', options -> 'every', 'cron', options -> 'cron', 'timezone', options -> 'timezone')), '{}'));
    PERFORM @extschema@.integ_next_runs(wanted, now(), 0);
    SELECT e.entity INTO found FROM @extschema@.integ_entities(connection::text) AS e
    WHERE e.id = integ_sync_into.entity;
    IF found IS NULL THEN
        RAISE EXCEPTION '"%" has no entity "%"', instance, entity
            USING ERRCODE = 'IG404', HINT = format('SELECT * FROM integ_entities(%L) lists them.', instance);
    END IF;
    IF found ->> 'list' IS NULL THEN
        RAISE EXCEPTION 'the entity "%" cannot be synced: it has no method that lists its records', entity
            USING ERRCODE = 'IG400';
    END IF;
    SELECT coalesce(options ->> 'task_id', i.instance_id || '.' ||
                    regexp_replace(integ_sync_into.entity, '[^A-Za-z0-9_.-]+', '_', 'g'))
    INTO handle FROM integ.instances i WHERE i.id = connection;
    -- Two that ask for the same at once: the second finds what the first has made.
    PERFORM pg_advisory_xact_lock('integ.sync_tasks'::regclass::int, hashtext(handle));
    BEGIN
        had_table := cardinality(parse_ident(target)) <> 2 OR to_regclass(target) IS NOT NULL;
    EXCEPTION WHEN invalid_parameter_value THEN
        RAISE EXCEPTION '"%" is the name of no table, and of no record type', target
            USING ERRCODE = 'IG400', HINT = 'Write the schema and the table, such as public.contacts, or the id of a '
                'row of integ.record_types.';
    END;
    made := integ.target_for(handle, connection, found, target, options);
    PERFORM integ.sync_target_check(made);
    IF found ? 'modifiedParam' AND (found ?| ARRAY['deleted', 'deletedField']) THEN
        config := '{"incrementalSync": true}';
    END IF;
    is_new := integ.task_for(handle, connection, made, entity, wanted, config, options);
    RETURN (SELECT jsonb_build_object('task', t.task_id, 'schema', s.schema_id, 'target', target, 'created', is_new,
                                      'table_created', NOT had_table, 'mappings', jsonb_array_length(s.field_mappings),
                                      'schedule', t.schedule)
            FROM integ.sync_tasks t, integ.conversion_schemas s
            WHERE s.id = made AND t.schema = s.id AND t.task_id = handle);
END
$$;
COMMENT ON FUNCTION integ_sync_into(text, text, text, jsonb) IS
    'Keeps an entity in a table or as records: makes the table, the conversion schema and the sync task that are '
    'missing, and starts the first run; options: every, cron, timezone, schedule, config, task_id, name, samples, key, '
    'removal, start';

GRANT EXECUTE ON FUNCTION integ.column_name(text), integ.column_type(jsonb),
    integ.column_type_of(jsonb[], boolean), integ.columns_for(jsonb, jsonb, text),
    integ.table_for(text, jsonb, jsonb, text, text),
    integ.samples_for(text, jsonb, jsonb), integ.schema_of(text, text, text),
    integ.task_for(text, uuid, uuid, text, jsonb, jsonb, jsonb), integ.target_for(text, uuid, jsonb, text, jsonb),
    integ.sync_target_check(uuid), integ_sync_into(text, text, text, jsonb) TO integ_user;

-- Conversion: from a record of a service to one of ours, and back.

CREATE TABLE integ.conversion_schemas (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    schema_id text COLLATE "C" NOT NULL,
    name text,
    description text,
    instance uuid REFERENCES integ.instances (id) ON DELETE SET NULL,
    context_type text NOT NULL DEFAULT CASE
        WHEN integ_current_client() = '*' THEN 'global'
        WHEN integ_current_level() IN ('admin', 'superadmin') THEN 'client'
        ELSE 'user' END,
    context_id text COLLATE "C" DEFAULT CASE
        WHEN integ_current_client() = '*' THEN NULL
        WHEN integ_current_level() IN ('admin', 'superadmin') THEN integ_current_client()
        ELSE integ_current_user_id() END,
    client_id text COLLATE "C" NOT NULL DEFAULT integ_current_client(),
    source_entity text NOT NULL,
    source_filters jsonb NOT NULL DEFAULT '[]',
    target_type text COLLATE "C",
    target_table text COLLATE "C",
    create_if_missing boolean NOT NULL DEFAULT true,
    update_if_exists boolean NOT NULL DEFAULT true,
    delete_if_removed boolean NOT NULL DEFAULT false,
    removal text NOT NULL DEFAULT 'delete',
    field_mappings jsonb NOT NULL DEFAULT '[]',
    relationship_mappings jsonb NOT NULL DEFAULT '[]',
    inverse_mappings jsonb NOT NULL DEFAULT '[]',
    deduplication jsonb NOT NULL DEFAULT '{"strategy": "external_id", "externalIdField": "id"}',
    is_active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    owner regrole NOT NULL DEFAULT pg_catalog.quote_ident(current_user)::pg_catalog.regrole,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT conversion_schemas_schema_id_check
        CHECK (schema_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$' AND pg_catalog.length(schema_id) <= 255),
    CONSTRAINT conversion_schemas_target_check CHECK ((target_type IS NULL) <> (target_table IS NULL)),
    CONSTRAINT conversion_schemas_removal_check CHECK (removal IN ('delete', 'soft_delete', 'detach')),
    CONSTRAINT conversion_schemas_context_check CHECK (
        CASE context_type
            WHEN 'global' THEN client_id = '*' AND context_id IS NULL
            WHEN 'client' THEN client_id <> '*' AND context_id IS NOT NULL AND context_id = client_id
            WHEN 'user' THEN client_id <> '*' AND context_id IS NOT NULL
            ELSE false
        END),
    CONSTRAINT conversion_schemas_metadata_check CHECK (pg_catalog.jsonb_typeof(metadata) = 'object'),
    CONSTRAINT conversion_schemas_schema_id_key UNIQUE NULLS NOT DISTINCT (client_id, context_type, context_id, schema_id)
);
CREATE INDEX conversion_schemas_schema_id_idx ON integ.conversion_schemas (schema_id);
CREATE INDEX conversion_schemas_instance_idx ON integ.conversion_schemas (instance) WHERE instance IS NOT NULL;
COMMENT ON TABLE integ.conversion_schemas IS
    'Conversion schemas: how records of a service become ours, and back. Written by INSERT, UPDATE and DELETE';
COMMENT ON COLUMN integ.conversion_schemas.id IS 'Key that other tables refer to';
COMMENT ON COLUMN integ.conversion_schemas.schema_id IS
    'Handle that people use; unique per context, and the caller''s own shadows the client''s, then global';
COMMENT ON COLUMN integ.conversion_schemas.name IS 'Name for display';
COMMENT ON COLUMN integ.conversion_schemas.description IS 'What it is for';
COMMENT ON COLUMN integ.conversion_schemas.instance IS
    'The connection whose records it converts and whose external ids its relations mean; NULL: any';
COMMENT ON COLUMN integ.conversion_schemas.context_type IS 'Whose it is: global, client, user';
COMMENT ON COLUMN integ.conversion_schemas.context_id IS 'The client or user it belongs to; NULL for global';
COMMENT ON COLUMN integ.conversion_schemas.client_id IS 'The client it belongs to, also in a user''s context; ''*'' for global';
COMMENT ON COLUMN integ.conversion_schemas.source_entity IS 'The entity of the service (Contact)';
COMMENT ON COLUMN integ.conversion_schemas.source_filters IS
    'Conditions (field, operator, value) that all hold for a record that is to be converted';
COMMENT ON COLUMN integ.conversion_schemas.target_type IS 'The record type that it becomes, or NULL';
COMMENT ON COLUMN integ.conversion_schemas.target_table IS 'The table, schema-qualified, that it becomes a row of, or NULL';
COMMENT ON COLUMN integ.conversion_schemas.create_if_missing IS 'Whether what is not here yet is made';
COMMENT ON COLUMN integ.conversion_schemas.update_if_exists IS 'Whether what is here is changed';
COMMENT ON COLUMN integ.conversion_schemas.delete_if_removed IS 'Whether what disappears there is removed here';
COMMENT ON COLUMN integ.conversion_schemas.removal IS
    'What removing means: delete, soft_delete (deleted_at is set), detach (only the link goes)';
COMMENT ON COLUMN integ.conversion_schemas.field_mappings IS
    'Mappings: targetField, mappingType, config, required, validation';
COMMENT ON COLUMN integ.conversion_schemas.relationship_mappings IS
    'Relations: relationshipType, targetField, sourceField, lookupRecordType or lookupTable, lookupByExternalId or lookupField';
COMMENT ON COLUMN integ.conversion_schemas.inverse_mappings IS
    'Mappings of the other direction, given by hand where they cannot be derived; each in place of the derived one of its field';
COMMENT ON COLUMN integ.conversion_schemas.deduplication IS
    'strategy (external_id, field_match, composite), externalIdField, matchFields';
COMMENT ON COLUMN integ.conversion_schemas.is_active IS 'False: no sync uses it';
COMMENT ON COLUMN integ.conversion_schemas.version IS 'Grows with every change of what a record becomes';
COMMENT ON COLUMN integ.conversion_schemas.owner IS
    'The role with whose rights custom expressions and lookups in tables run: it alone may call those';
COMMENT ON COLUMN integ.conversion_schemas.metadata IS 'Anything the application wants to keep with it';
COMMENT ON COLUMN integ.conversion_schemas.created_by IS 'The role that made it';
COMMENT ON COLUMN integ.conversion_schemas.created_at IS 'When it was made';
COMMENT ON COLUMN integ.conversion_schemas.updated_at IS 'When it was last changed';

ALTER TABLE integ.conversion_schemas ENABLE ROW LEVEL SECURITY;
CREATE POLICY conversion_schemas_read ON integ.conversion_schemas FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND (context_type = 'client' OR context_id = (SELECT integ_current_user_id())
            OR (SELECT integ_current_level()) = 'admin')
    OR context_type = 'global' AND (SELECT integ_current_client()) IS NOT NULL);
-- A user's own schemas go with a user's own instances: where the client allows those.
CREATE POLICY conversion_schemas_write ON integ.conversion_schemas
    USING ((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client())
           AND ((SELECT integ_current_level()) = 'admin'
                OR context_type = 'user' AND context_id = (SELECT integ_current_user_id())
                   AND (SELECT c.allows_user_instances FROM integ.clients c WHERE c.id = (SELECT integ_current_client()))))
    WITH CHECK (((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client())
           AND ((SELECT integ_current_level()) = 'admin'
                OR context_type = 'user' AND context_id = (SELECT integ_current_user_id())
                   AND (SELECT c.allows_user_instances FROM integ.clients c WHERE c.id = (SELECT integ_current_client()))))
        AND (instance IS NULL OR EXISTS (SELECT FROM integ.instances i WHERE i.id = conversion_schemas.instance)));
GRANT SELECT, INSERT, UPDATE, DELETE ON integ.conversion_schemas TO integ_user;

CREATE TRIGGER conversion_schemas_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.conversion_schemas
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.conversion_schemas ENABLE ALWAYS TRIGGER conversion_schemas_invalidate;

CREATE FUNCTION integ.tg_conversion_schema_check() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_conversion_schema_check';
COMMENT ON FUNCTION integ.tg_conversion_schema_check() IS
    'Checks a conversion schema as a row; counts its versions; lets nobody give away what runs with another''s rights';
CREATE TRIGGER conversion_schemas_check BEFORE INSERT OR UPDATE ON integ.conversion_schemas
    FOR EACH ROW EXECUTE FUNCTION integ.tg_conversion_schema_check();

SELECT pg_catalog.pg_extension_config_dump('integ.conversion_schemas', '');

CREATE FUNCTION integ_convert(schema text, record jsonb, task_config jsonb DEFAULT '{}', direction text DEFAULT 'pull')
RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 100 AS 'MODULE_PATHNAME', 'integ_convert';
COMMENT ON FUNCTION integ_convert(text, jsonb, jsonb, text) IS
    'Converts a record by a conversion schema (handle or id); NULL where its filters leave the record out; IG400 with what is wrong for each field. Direction: pull (theirs to ours) or push';

CREATE FUNCTION integ_convert_explain(schema text, record jsonb, task_config jsonb DEFAULT '{}',
                                      direction text DEFAULT 'pull')
RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'integ_convert_explain';
COMMENT ON FUNCTION integ_convert_explain(text, jsonb, jsonb, text) IS
    'How a record is converted: for each field what was read, each step, what came out or why not';

CREATE FUNCTION integ_convert_test(schema text, records jsonb, task_config jsonb DEFAULT '{}',
                                   direction text DEFAULT 'pull')
RETURNS TABLE (number integer, status text, external_id text, result jsonb, errors jsonb)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 1000 ROWS 100 AS 'MODULE_PATHNAME', 'integ_convert_test';
COMMENT ON FUNCTION integ_convert_test(text, jsonb, jsonb, text) IS
    'Converts a record, or a list of them, and stores nothing: status (converted, filtered, failed), result, and the errors by field';

CREATE FUNCTION integ_convert_inverse(schema text)
RETURNS TABLE (source_field text, target_field text, state text, note text, mapping jsonb)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 1000 ROWS 20 AS 'MODULE_PATHNAME', 'integ_convert_inverse';
COMMENT ON FUNCTION integ_convert_inverse(text) IS
    'What the push direction of a schema does with each mapping: derived, by_hand, or none, and why';

CREATE FUNCTION integ_convert_suggest(definition text, entity text, target text, samples jsonb DEFAULT NULL)
RETURNS jsonb
LANGUAGE c STABLE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'integ_convert_suggest';
COMMENT ON FUNCTION integ_convert_suggest(text, text, text, jsonb) IS
    'Mappings from an entity to a record type or a table, by name and type; samples are records where the definition does not describe them';

GRANT EXECUTE ON FUNCTION integ_convert(text, jsonb, jsonb, text), integ_convert_explain(text, jsonb, jsonb, text),
    integ_convert_test(text, jsonb, jsonb, text), integ_convert_inverse(text),
    integ_convert_suggest(text, text, text, jsonb) TO integ_user;

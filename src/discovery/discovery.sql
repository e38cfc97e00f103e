-- Discovery: what only one instance has, read from its service.

CREATE TABLE integ.instance_entities (
    id text COLLATE "C" NOT NULL,
    instance uuid NOT NULL REFERENCES integ.instances (id) ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL,
    entity jsonb NOT NULL,
    discovered_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (id, instance),
    CONSTRAINT instance_entities_entity_check
        CHECK (pg_catalog.jsonb_typeof(entity) = 'object' AND entity ->> 'id' IS NOT DISTINCT FROM id)
);
CREATE INDEX instance_entities_instance_idx ON integ.instance_entities (instance);
COMMENT ON TABLE integ.instance_entities IS
    'Entities that only one instance has (discovered at the service); they come before the definition''s';
COMMENT ON COLUMN integ.instance_entities.id IS 'Entity id';
COMMENT ON COLUMN integ.instance_entities.instance IS 'The instance';
COMMENT ON COLUMN integ.instance_entities.client_id IS 'The client of the instance; ''*'' for global';
COMMENT ON COLUMN integ.instance_entities.entity IS 'The entity, as in a manifest, with the schema of its records';
COMMENT ON COLUMN integ.instance_entities.discovered_at IS 'When it was discovered, or last found to be another';

CREATE TABLE integ.instance_discoveries (
    instance uuid PRIMARY KEY REFERENCES integ.instances (id) ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL,
    discovered_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    next_run_at timestamptz NOT NULL,
    "only" jsonb,
    found jsonb NOT NULL,
    last_error text,
    CONSTRAINT instance_discoveries_only_check CHECK (pg_catalog.jsonb_typeof("only") = 'array'),
    CONSTRAINT instance_discoveries_found_check CHECK (pg_catalog.jsonb_typeof(found) = 'object')
);
CREATE INDEX instance_discoveries_next_idx ON integ.instance_discoveries (next_run_at);
COMMENT ON TABLE integ.instance_discoveries IS
    'When what instances have was last read from their services, and when it is read again; next_run_at may be updated';
COMMENT ON COLUMN integ.instance_discoveries.instance IS 'The instance';
COMMENT ON COLUMN integ.instance_discoveries.client_id IS 'The client of the instance; ''*'' for global';
COMMENT ON COLUMN integ.instance_discoveries.discovered_at IS 'When it was last discovered';
COMMENT ON COLUMN integ.instance_discoveries.next_run_at IS 'When the maintenance job discovers it again';
COMMENT ON COLUMN integ.instance_discoveries."only" IS 'The names that are discovered; NULL: all';
COMMENT ON COLUMN integ.instance_discoveries.found IS 'What integ_discover returned';
COMMENT ON COLUMN integ.instance_discoveries.last_error IS 'Why the last run found nothing; NULL where it did';

ALTER TABLE integ.instance_entities ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.instance_discoveries ENABLE ROW LEVEL SECURITY;
CREATE POLICY instance_entities_read ON integ.instance_entities FOR SELECT
    USING (EXISTS (SELECT FROM integ.instances i WHERE i.id = instance_entities.instance));
CREATE POLICY instance_discoveries_read ON integ.instance_discoveries FOR SELECT
    USING (EXISTS (SELECT FROM integ.instances i WHERE i.id = instance_discoveries.instance));
CREATE POLICY instance_discoveries_update ON integ.instance_discoveries FOR UPDATE USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');
GRANT SELECT ON integ.instance_entities, integ.instance_discoveries TO integ_user;
GRANT UPDATE (next_run_at) ON integ.instance_discoveries TO integ_admin;

CREATE FUNCTION integ_discover(instance text, options jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'integ_discover';
COMMENT ON FUNCTION integ_discover(text, jsonb) IS
    'Reads from the service which methods and entities the instance has beyond its definition''s, and keeps them; option: only (names)';

CREATE FUNCTION integ_entities(instance text)
RETURNS TABLE (id text, name text, discovered boolean, entity jsonb)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE ROWS 30 AS 'MODULE_PATHNAME', 'integ_entities';
COMMENT ON FUNCTION integ_entities(text) IS
    'The entities of an instance (by handle or id) or of a definition; those discovered come before the definition''s';

GRANT EXECUTE ON FUNCTION integ_discover(text, jsonb), integ_entities(text) TO integ_user, integ_impersonate;

SELECT pg_catalog.pg_extension_config_dump('integ.instance_entities', '');
SELECT pg_catalog.pg_extension_config_dump('integ.instance_discoveries', '');

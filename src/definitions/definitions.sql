-- Definitions: the manifests of services, current and past.

CREATE TABLE integ.definitions (
    id text COLLATE "C" PRIMARY KEY,
    client_id text COLLATE "C" NOT NULL DEFAULT '*',
    name text NOT NULL,
    display_name text NOT NULL,
    description text,
    version text COLLATE "C" NOT NULL,
    category text NOT NULL DEFAULT 'custom',
    icon text,
    color text,
    logo_url text,
    docs_url text,
    roles text[] NOT NULL DEFAULT '{}',
    visibility text NOT NULL DEFAULT 'public',
    is_premium boolean NOT NULL DEFAULT false,
    required_plan text COLLATE "C",
    capabilities text[] NOT NULL DEFAULT '{}',
    supported_sync_directions text[] NOT NULL DEFAULT '{}',
    supports_realtime boolean NOT NULL DEFAULT false,
    supports_webhooks boolean NOT NULL DEFAULT false,
    supports_scheduling boolean NOT NULL DEFAULT false,
    supports_refresh boolean NOT NULL DEFAULT false,
    connection_scope text NOT NULL DEFAULT 'both',
    status text NOT NULL DEFAULT 'active',
    auth_type text NOT NULL DEFAULT 'none',
    oauth2_config jsonb,
    config_schema jsonb,
    credential_schema jsonb,
    methods jsonb NOT NULL DEFAULT '[]',
    entities jsonb NOT NULL DEFAULT '[]',
    triggers jsonb NOT NULL DEFAULT '[]',
    manifest jsonb NOT NULL,
    builtin boolean NOT NULL DEFAULT false,
    customized boolean NOT NULL DEFAULT false,
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT definitions_id_check CHECK (id ~ '^[a-z0-9][a-z0-9_.-]*$' AND pg_catalog.length(id) <= 255),
    CONSTRAINT definitions_version_check CHECK (version ~ '^[0-9]+\.[0-9]+\.[0-9]+' AND pg_catalog.length(version) <= 50),
    CONSTRAINT definitions_visibility_check CHECK (visibility IN ('public', 'private', 'superadmin_only')),
    CONSTRAINT definitions_connection_scope_check CHECK (connection_scope IN ('system', 'tenant', 'both')),
    CONSTRAINT definitions_status_check CHECK (status IN ('active', 'beta', 'deprecated', 'disabled')),
    CONSTRAINT definitions_auth_type_check CHECK
        (auth_type IN ('none', 'apikey', 'basic', 'bearer', 'oauth2', 'jwt', 'custom')),
    CONSTRAINT definitions_builtin_check CHECK (NOT builtin OR client_id = '*'),
    CONSTRAINT definitions_manifest_check CHECK (pg_catalog.jsonb_typeof(manifest) = 'object')
);
CREATE INDEX definitions_client_idx ON integ.definitions (client_id);
CREATE INDEX definitions_category_idx ON integ.definitions (category);
COMMENT ON TABLE integ.definitions IS
    'Services that can be connected: the current version of each manifest. Written by integ_define; a superadmin may update status, visibility and required_plan';
COMMENT ON COLUMN integ.definitions.id IS 'The manifest''s integrationId';
COMMENT ON COLUMN integ.definitions.client_id IS 'The client that made the definition for itself, or ''*'' for all clients';
COMMENT ON COLUMN integ.definitions.name IS 'Name of the service';
COMMENT ON COLUMN integ.definitions.display_name IS 'Name for display: displayName, else name';
COMMENT ON COLUMN integ.definitions.description IS 'What the service is';
COMMENT ON COLUMN integ.definitions.version IS 'Current semantic version: the highest that was defined';
COMMENT ON COLUMN integ.definitions.category IS 'Kind of service (crm, communication, storage, …)';
COMMENT ON COLUMN integ.definitions.icon IS 'Icon: an emoji or the name of one';
COMMENT ON COLUMN integ.definitions.color IS 'Colour for display, as #rrggbb';
COMMENT ON COLUMN integ.definitions.logo_url IS 'URL or data URI of the logo';
COMMENT ON COLUMN integ.definitions.docs_url IS 'URL of the documentation';
COMMENT ON COLUMN integ.definitions.roles IS 'What records may do with it: source, output';
COMMENT ON COLUMN integ.definitions.visibility IS
    'public: all of its owner''s people see it; private: administrators of its owner; superadmin_only: superadmins';
COMMENT ON COLUMN integ.definitions.is_premium IS 'Whether it is sold separately';
COMMENT ON COLUMN integ.definitions.required_plan IS 'Lowest plan (integ.plans) whose clients may connect and call it, or none';
COMMENT ON COLUMN integ.definitions.capabilities IS 'read, write, delete, search, realtime, bulk, attachments';
COMMENT ON COLUMN integ.definitions.supported_sync_directions IS 'pull, push, bidirectional';
COMMENT ON COLUMN integ.definitions.supports_realtime IS 'Whether changes arrive as they happen';
COMMENT ON COLUMN integ.definitions.supports_webhooks IS 'Whether the service sends webhooks';
COMMENT ON COLUMN integ.definitions.supports_scheduling IS 'Whether tasks of it may run on a schedule';
COMMENT ON COLUMN integ.definitions.supports_refresh IS 'Whether single records can be fetched again';
COMMENT ON COLUMN integ.definitions.connection_scope IS
    'Who may connect it: system (one global connection), tenant (clients and users), both';
COMMENT ON COLUMN integ.definitions.status IS
    'active; beta and deprecated (callers are warned once a session); disabled (calls are refused)';
COMMENT ON COLUMN integ.definitions.auth_type IS 'How requests are authenticated by default';
COMMENT ON COLUMN integ.definitions.oauth2_config IS 'The manifest''s oauth2Config, or NULL';
COMMENT ON COLUMN integ.definitions.config_schema IS 'JSON Schema of an instance''s config, or NULL';
COMMENT ON COLUMN integ.definitions.credential_schema IS 'JSON Schema of an instance''s credentials, or NULL';
COMMENT ON COLUMN integ.definitions.methods IS 'The manifest''s methods';
COMMENT ON COLUMN integ.definitions.entities IS 'The manifest''s entities: kinds of records that can be synced';
COMMENT ON COLUMN integ.definitions.triggers IS 'The manifest''s triggers: events it can emit';
COMMENT ON COLUMN integ.definitions.manifest IS 'The whole manifest';
COMMENT ON COLUMN integ.definitions.builtin IS 'Whether integ brought it';
COMMENT ON COLUMN integ.definitions.customized IS
    'Whether a superadmin changed status, visibility or required_plan here: a new version of the manifest then keeps them';
COMMENT ON COLUMN integ.definitions.created_by IS 'The role that defined it first';
COMMENT ON COLUMN integ.definitions.created_at IS 'When it was defined first';
COMMENT ON COLUMN integ.definitions.updated_at IS 'When it was last changed';

CREATE TABLE integ.definition_versions (
    id text COLLATE "C" NOT NULL REFERENCES integ.definitions (id) ON DELETE CASCADE,
    version text COLLATE "C" NOT NULL,
    manifest jsonb NOT NULL,
    builtin boolean NOT NULL DEFAULT false,
    owner regrole,
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (id, version),
    CONSTRAINT definition_versions_version_check
        CHECK (version ~ '^[0-9]+\.[0-9]+\.[0-9]+' AND pg_catalog.length(version) <= 50),
    CONSTRAINT definition_versions_manifest_check CHECK (pg_catalog.jsonb_typeof(manifest) = 'object')
);
COMMENT ON TABLE integ.definition_versions IS
    'Every version of every definition: an instance stays with the major version it was connected with';
COMMENT ON COLUMN integ.definition_versions.id IS 'The definition';
COMMENT ON COLUMN integ.definition_versions.version IS 'Semantic version';
COMMENT ON COLUMN integ.definition_versions.manifest IS 'The manifest of that version';
COMMENT ON COLUMN integ.definition_versions.builtin IS 'Whether integ brought it';
COMMENT ON COLUMN integ.definition_versions.owner IS
    'The role that defined it last, as which its SQL functions run (handler, auth.function); NULL: none of them is called';
COMMENT ON COLUMN integ.definition_versions.created_by IS 'The role that defined it';
COMMENT ON COLUMN integ.definition_versions.created_at IS 'When it was defined';

ALTER TABLE integ.definitions ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.definition_versions ENABLE ROW LEVEL SECURITY;
CREATE POLICY definitions_read ON integ.definitions FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR (client_id = (SELECT integ_current_client())
        OR client_id = '*' AND (SELECT integ_current_client()) IS NOT NULL)
       AND (visibility = 'public'
            OR visibility = 'private' AND client_id <> '*' AND (SELECT integ_current_level()) = 'admin'));
CREATE POLICY definitions_update ON integ.definitions FOR UPDATE
    USING ((SELECT integ_current_level()) = 'superadmin');
CREATE POLICY definition_versions_read ON integ.definition_versions FOR SELECT
    USING (EXISTS (SELECT FROM integ.definitions d WHERE d.id = definition_versions.id));
GRANT SELECT ON integ.definitions, integ.definition_versions TO integ_user;
GRANT UPDATE (status, visibility, required_plan, customized) ON integ.definitions TO integ_superadmin;

CREATE TRIGGER definitions_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.definitions
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.definitions ENABLE ALWAYS TRIGGER definitions_invalidate;
CREATE TRIGGER definition_versions_invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.definition_versions
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.definition_versions ENABLE ALWAYS TRIGGER definition_versions_invalidate;

-- What a superadmin decides here outlives the next version of the manifest.
CREATE FUNCTION integ.tg_definition_customized() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.customized := true;
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION integ.tg_definition_customized() IS 'Marks a definition whose status, visibility or plan a person changed';
CREATE TRIGGER definitions_customized BEFORE UPDATE OF status, visibility, required_plan ON integ.definitions
    FOR EACH ROW WHEN (current_user <> 'integ_owner') EXECUTE FUNCTION integ.tg_definition_customized();

-- A restore brings rows that CREATE EXTENSION has already made: the installed
-- manifest of a built-in wins over the dumped one and takes over what was
-- customized; a definition of the dump's users wins over a new built-in.
CREATE FUNCTION integ.tg_definition_restore() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT NEW.builtin THEN
        DELETE FROM integ.definitions d WHERE d.id = NEW.id AND d.builtin;
        RETURN NEW;
    END IF;
    UPDATE integ.definitions d
    SET status = CASE WHEN NEW.customized THEN NEW.status ELSE d.status END,
        visibility = CASE WHEN NEW.customized THEN NEW.visibility ELSE d.visibility END,
        required_plan = CASE WHEN NEW.customized THEN NEW.required_plan ELSE d.required_plan END,
        created_at = NEW.created_at
    WHERE d.id = NEW.id AND d.builtin;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    UPDATE integ.definitions d SET customized = NEW.customized WHERE d.id = NEW.id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION integ.tg_definition_restore() IS 'Lets a restored definition meet the one that CREATE EXTENSION made';
CREATE TRIGGER definitions_restore BEFORE INSERT ON integ.definitions
    FOR EACH ROW WHEN (current_user <> 'integ_owner') EXECUTE FUNCTION integ.tg_definition_restore();

CREATE FUNCTION integ.tg_definition_version_restore() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.builtin AND EXISTS (SELECT FROM integ.definition_versions v
                               WHERE v.id = NEW.id AND v.version = NEW.version AND v.builtin) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION integ.tg_definition_version_restore() IS 'Skips a restored version that CREATE EXTENSION made already';
CREATE TRIGGER definition_versions_restore BEFORE INSERT ON integ.definition_versions
    FOR EACH ROW WHEN (current_user <> 'integ_owner') EXECUTE FUNCTION integ.tg_definition_version_restore();

CREATE FUNCTION integ_define(manifest jsonb, options jsonb DEFAULT '{}') RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_define';
COMMENT ON FUNCTION integ_define(jsonb, jsonb) IS
    'Adds a definition, or a new version of one, from its manifest and returns its id. Options: client (text; superadmins only, else the caller''s), replace (boolean: also where instances follow this version)';

CREATE FUNCTION integ_define_yaml(manifest text, options jsonb DEFAULT '{}') RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_define_yaml';
COMMENT ON FUNCTION integ_define_yaml(text, jsonb) IS 'As integ_define, for a manifest written in YAML';

CREATE FUNCTION integ_undefine(definition text) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_undefine';
COMMENT ON FUNCTION integ_undefine(text) IS 'Removes a definition with all its versions; IG409 while instances use it';

CREATE FUNCTION integ_permissions(definition text) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_permissions';
COMMENT ON FUNCTION integ_permissions(text) IS
    'What a definition reaches: base_url, hosts, data, ways to authenticate, credentials, scopes, SQL functions that it runs, webhooks, methods that read, that write, that need approval';

CREATE FUNCTION integ_manifest_schema() RETURNS jsonb
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'integ_manifest_schema';
COMMENT ON FUNCTION integ_manifest_schema() IS 'The JSON Schema that manifests are checked against';

CREATE FUNCTION integ.mirror_definition(manifest jsonb) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_definition_mirror';
COMMENT ON FUNCTION integ.mirror_definition(jsonb) IS
    'Adds or renews a definition that integ brings; called by the install and upgrade scripts';

GRANT EXECUTE ON FUNCTION integ_define(jsonb, jsonb), integ_define_yaml(text, jsonb), integ_undefine(text) TO integ_admin;
GRANT EXECUTE ON FUNCTION integ_permissions(text), integ_manifest_schema() TO integ_user;

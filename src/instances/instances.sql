-- Instances: connections to a service, of a context.

CREATE TABLE integ.instances (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    instance_id text COLLATE "C" NOT NULL,
    definition text COLLATE "C" NOT NULL REFERENCES integ.definitions (id),
    version text COLLATE "C" NOT NULL,
    name text NOT NULL,
    description text,
    context_type text NOT NULL,
    context_id text COLLATE "C",
    client_id text COLLATE "C" NOT NULL,
    config jsonb NOT NULL DEFAULT '{}',
    rate_limit jsonb,
    auth_method text COLLATE "C",
    origin text COLLATE "C",
    borrows uuid REFERENCES integ.instances (id),
    is_default boolean NOT NULL DEFAULT false,
    status text NOT NULL DEFAULT 'initializing',
    is_active boolean NOT NULL DEFAULT true,
    deactivated_by text,
    deactivated_at timestamptz,
    deactivated_reason text,
    health jsonb NOT NULL DEFAULT '{}',
    last_error text,
    last_error_at timestamptz,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    external_account_id text,
    external_account_name text,
    token_fields jsonb NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    connected_at timestamptz,
    last_connected_at timestamptz,
    last_used_at timestamptz,
    last_succeeded_at timestamptz,
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT instances_instance_id_check
        CHECK (instance_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$' AND pg_catalog.length(instance_id) <= 255),
    CONSTRAINT instances_name_check CHECK (name <> '' AND pg_catalog.length(name) <= 255),
    CONSTRAINT instances_version_check CHECK (version ~ '^[0-9]+(\.[0-9]+\.[0-9]+.*)?$'),
    CONSTRAINT instances_context_check CHECK (
        CASE context_type
            WHEN 'global' THEN client_id = '*' AND context_id IS NULL
            WHEN 'client' THEN client_id <> '*' AND context_id IS NOT NULL AND context_id = client_id
            WHEN 'user' THEN client_id <> '*' AND context_id IS NOT NULL
            ELSE false
        END),
    CONSTRAINT instances_status_check CHECK
        (status IN ('initializing', 'active', 'token_expired', 'reauth_required', 'error', 'disconnected')),
    CONSTRAINT instances_deactivated_check CHECK (NOT is_active OR deactivated_at IS NULL),
    CONSTRAINT instances_borrows_check CHECK (borrows IS NULL OR context_type <> 'global'),
    CONSTRAINT instances_config_check CHECK (pg_catalog.jsonb_typeof(config) = 'object'),
    CONSTRAINT instances_health_check CHECK (pg_catalog.jsonb_typeof(health) = 'object'),
    CONSTRAINT instances_token_fields_check CHECK (pg_catalog.jsonb_typeof(token_fields) = 'object'),
    CONSTRAINT instances_metadata_check CHECK (pg_catalog.jsonb_typeof(metadata) = 'object'),
    CONSTRAINT instances_handle_key UNIQUE NULLS NOT DISTINCT (client_id, context_type, context_id, instance_id)
);
CREATE UNIQUE INDEX instances_default_key ON integ.instances (definition, client_id, context_type, context_id)
    NULLS NOT DISTINCT WHERE is_default;
CREATE INDEX instances_instance_id_idx ON integ.instances (instance_id);
CREATE INDEX instances_context_idx ON integ.instances (context_type, context_id);
CREATE INDEX instances_definition_idx ON integ.instances (definition);
CREATE INDEX instances_status_idx ON integ.instances (status);
CREATE INDEX instances_borrows_idx ON integ.instances (borrows) WHERE borrows IS NOT NULL;
COMMENT ON TABLE integ.instances IS
    'Connections to services. Made by integ_connect; name, description, config, rate_limit, is_active and is_default '
    'may be updated here, and DELETE removes a connection with its credentials';
COMMENT ON COLUMN integ.instances.id IS 'Key that other tables refer to';
COMMENT ON COLUMN integ.instances.instance_id IS
    'Handle that people use; unique per context, and the caller''s own shadows the client''s, then global';
COMMENT ON COLUMN integ.instances.definition IS 'The service (integ.definitions)';
COMMENT ON COLUMN integ.instances.version IS
    'Major version of the definition that the instance follows ("1"), or one version exactly ("1.2.0")';
COMMENT ON COLUMN integ.instances.name IS 'Name for display';
COMMENT ON COLUMN integ.instances.description IS 'What the connection is for';
COMMENT ON COLUMN integ.instances.context_type IS 'Whose it is: global, client, user';
COMMENT ON COLUMN integ.instances.context_id IS 'The client or user it belongs to; NULL for global';
COMMENT ON COLUMN integ.instances.client_id IS 'The client it belongs to, also in a user''s context; ''*'' for global';
COMMENT ON COLUMN integ.instances.config IS
    'Configuration, valid against the definition''s configSchema; never holds secrets';
COMMENT ON COLUMN integ.instances.rate_limit IS
    'What the account at the service is allowed, instead of what the definition''s rateLimit says of an instance; '
    'NULL: as that says';
COMMENT ON COLUMN integ.instances.auth_method IS
    'Which of the definition''s authMethods is used; NULL for its only one';
COMMENT ON COLUMN integ.instances.origin IS
    'scheme://host[:port] of the base URL, to which alone credentials go; NULL while it is not known';
COMMENT ON COLUMN integ.instances.borrows IS
    'Global instance whose credentials, limits and circuit breaker are used; NULL: its own';
COMMENT ON COLUMN integ.instances.is_default IS 'Whether it is meant where the context has several of its definition';
COMMENT ON COLUMN integ.instances.status IS
    'initializing, active, token_expired, reauth_required, error, disconnected';
COMMENT ON COLUMN integ.instances.is_active IS
    'False: switched off by a person or by lasting failure; calls are refused';
COMMENT ON COLUMN integ.instances.deactivated_by IS
    'The user or role that switched it off, which only a person undoes; NULL where integ did after lasting failure';
COMMENT ON COLUMN integ.instances.deactivated_at IS 'When it was switched off';
COMMENT ON COLUMN integ.instances.deactivated_reason IS 'Why it was switched off';
COMMENT ON COLUMN integ.instances.health IS 'Last health check: state, last_checked, error, details, latency';
COMMENT ON COLUMN integ.instances.last_error IS 'What went wrong last, without secrets';
COMMENT ON COLUMN integ.instances.last_error_at IS 'When it went wrong';
COMMENT ON COLUMN integ.instances.failures IS
    'Durable calls that have ended in failure one after the other since failing_since; counted anew after a success';
COMMENT ON COLUMN integ.instances.failing_since IS 'When the first of them ended';
COMMENT ON COLUMN integ.instances.external_account_id IS 'Id of the account at the service';
COMMENT ON COLUMN integ.instances.external_account_name IS 'Name or address of the account at the service';
COMMENT ON COLUMN integ.instances.token_fields IS
    'What the token answer and the redirect told besides tokens: {token.NAME} in the manifest; no secrets';
COMMENT ON COLUMN integ.instances.metadata IS 'Anything the application wants to keep with the connection';
COMMENT ON COLUMN integ.instances.connected_at IS 'When it first became active';
COMMENT ON COLUMN integ.instances.last_connected_at IS 'When it last became active';
COMMENT ON COLUMN integ.instances.last_used_at IS 'When it was last called; written in batches';
COMMENT ON COLUMN integ.instances.last_succeeded_at IS 'When a request to it last succeeded; written in batches';
COMMENT ON COLUMN integ.instances.created_by IS 'The user or role that connected it';
COMMENT ON COLUMN integ.instances.created_at IS 'When it was made';
COMMENT ON COLUMN integ.instances.updated_at IS 'When it was last changed by a person';

CREATE TABLE integ.instance_grants (
    instance uuid NOT NULL REFERENCES integ.instances (id) ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL,
    granted_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (instance, client_id),
    CONSTRAINT instance_grants_client_id_check CHECK (client_id <> '')
);
CREATE INDEX instance_grants_client_idx ON integ.instance_grants (client_id);
COMMENT ON TABLE integ.instance_grants IS 'Which clients may use a global instance';
COMMENT ON COLUMN integ.instance_grants.instance IS 'The global instance';
COMMENT ON COLUMN integ.instance_grants.client_id IS 'The client that may use it; ''*'': every client';
COMMENT ON COLUMN integ.instance_grants.granted_by IS 'The role that granted it';
COMMENT ON COLUMN integ.instance_grants.created_at IS 'When it was granted';

CREATE TABLE integ.instance_methods (
    id text COLLATE "C" NOT NULL,
    instance uuid NOT NULL REFERENCES integ.instances (id) ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL,
    method jsonb NOT NULL,
    discovered_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (id, instance),
    CONSTRAINT instance_methods_method_check
        CHECK (pg_catalog.jsonb_typeof(method) = 'object' AND method ->> 'id' IS NOT DISTINCT FROM id)
);
CREATE INDEX instance_methods_instance_idx ON integ.instance_methods (instance);
COMMENT ON TABLE integ.instance_methods IS
    'Methods that only one instance has (discovered at the service); they come before the definition''s';
COMMENT ON COLUMN integ.instance_methods.id IS 'Method id';
COMMENT ON COLUMN integ.instance_methods.instance IS 'The instance';
COMMENT ON COLUMN integ.instance_methods.client_id IS 'The client of the instance; ''*'' for global';
COMMENT ON COLUMN integ.instance_methods.method IS 'The method, as in a manifest';
COMMENT ON COLUMN integ.instance_methods.discovered_at IS 'When it was discovered';

ALTER TABLE integ.instances ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.instance_grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.instance_methods ENABLE ROW LEVEL SECURITY;
CREATE POLICY instances_read ON integ.instances FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND (context_type = 'client'
            OR context_id = (SELECT integ_current_user_id())
            OR (SELECT integ_current_level()) = 'admin')
    OR context_type = 'global'
       AND EXISTS (SELECT FROM integ.instance_grants g
                   WHERE g.instance = instances.id
                     AND g.client_id IN ('*', (SELECT integ_current_client()))));
CREATE POLICY instances_update ON integ.instances FOR UPDATE USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin'
            OR context_type = 'user' AND context_id = (SELECT integ_current_user_id())));
CREATE POLICY instances_delete ON integ.instances FOR DELETE USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin'
            OR context_type = 'user' AND context_id = (SELECT integ_current_user_id())));
CREATE POLICY instance_grants_read ON integ.instance_grants FOR SELECT
    USING (client_id IN ('*', (SELECT integ_current_client())) AND (SELECT integ_current_client()) IS NOT NULL);
CREATE POLICY instance_grants_write ON integ.instance_grants
    USING ((SELECT integ_current_level()) = 'superadmin');
CREATE POLICY instance_methods_read ON integ.instance_methods FOR SELECT
    USING (EXISTS (SELECT FROM integ.instances i WHERE i.id = instance_methods.instance));
GRANT SELECT, DELETE ON integ.instances TO integ_user;
GRANT UPDATE (name, description, config, rate_limit, metadata, is_active, deactivated_reason, is_default)
    ON integ.instances TO integ_user;
GRANT SELECT ON integ.instance_grants, integ.instance_methods TO integ_user;
GRANT INSERT, DELETE ON integ.instance_grants TO integ_superadmin;

-- Without last_used_at, health and what else changes with every use: those
-- must not empty the caches.
CREATE TRIGGER instances_invalidate
    AFTER INSERT OR DELETE OR TRUNCATE
    OR UPDATE OF instance_id, definition, version, context_type, context_id, client_id, config, rate_limit,
                 auth_method, origin, borrows, is_default, status, is_active, deactivated_by
    ON integ.instances
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.instances ENABLE ALWAYS TRIGGER instances_invalidate;
CREATE TRIGGER instance_grants_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.instance_grants
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.instance_grants ENABLE ALWAYS TRIGGER instance_grants_invalidate;
CREATE TRIGGER instance_methods_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.instance_methods
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.instance_methods ENABLE ALWAYS TRIGGER instance_methods_invalidate;

-- What 002 (active, inactive, error) and 001 (pending, connected, error,
-- disabled) call the state of a connection, read from status, is_active and health.
CREATE VIEW integ.instance_states WITH (security_invoker = true) AS
SELECT i.id AS instance, i.instance_id, i.definition, i.context_type, i.context_id, i.client_id, i.name,
       CASE WHEN NOT i.is_active OR i.status IN ('initializing', 'disconnected') THEN 'inactive'
            WHEN i.status IN ('error', 'token_expired', 'reauth_required') THEN 'error'
            ELSE 'active' END AS state,
       CASE WHEN NOT i.is_active OR i.status = 'disconnected' THEN 'disabled'
            WHEN i.status = 'initializing' THEN 'pending'
            WHEN i.status IN ('error', 'token_expired', 'reauth_required') THEN 'error'
            ELSE 'connected' END AS connection,
       i.status, i.is_active, i.health ->> 'state' AS health,
       (i.health ->> 'last_checked')::timestamptz AS last_checked,
       coalesce(i.health ->> 'error', i.last_error) AS error,
       i.health -> 'details' AS details,
       (i.health ->> 'latency')::numeric AS latency_ms,
       i.connected_at, i.last_connected_at, i.last_used_at
FROM integ.instances i;
COMMENT ON VIEW integ.instance_states IS 'The state of every visible instance, in the words of applications';
COMMENT ON COLUMN integ.instance_states.instance IS 'The instance''s key';
COMMENT ON COLUMN integ.instance_states.instance_id IS 'Handle';
COMMENT ON COLUMN integ.instance_states.definition IS 'The service';
COMMENT ON COLUMN integ.instance_states.context_type IS 'Whose it is: global, client, user';
COMMENT ON COLUMN integ.instance_states.context_id IS 'The client or user it belongs to; NULL for global';
COMMENT ON COLUMN integ.instance_states.client_id IS 'The client it belongs to; ''*'' for global';
COMMENT ON COLUMN integ.instance_states.name IS 'Name for display';
COMMENT ON COLUMN integ.instance_states.state IS 'active, inactive, error';
COMMENT ON COLUMN integ.instance_states.connection IS 'pending, connected, error, disabled';
COMMENT ON COLUMN integ.instance_states.status IS 'As in integ.instances';
COMMENT ON COLUMN integ.instance_states.is_active IS 'As in integ.instances';
COMMENT ON COLUMN integ.instance_states.health IS 'State found by the last health check';
COMMENT ON COLUMN integ.instance_states.last_checked IS 'When the last health check was';
COMMENT ON COLUMN integ.instance_states.error IS 'What went wrong last, without secrets';
COMMENT ON COLUMN integ.instance_states.details IS 'Details of the last health check';
COMMENT ON COLUMN integ.instance_states.latency_ms IS 'How long the last health check took, in milliseconds';
COMMENT ON COLUMN integ.instance_states.connected_at IS 'When it first became active';
COMMENT ON COLUMN integ.instance_states.last_connected_at IS 'When it last became active';
COMMENT ON COLUMN integ.instance_states.last_used_at IS 'When it was last called';
GRANT SELECT ON integ.instance_states TO integ_user;

-- Who and when: a person's switch-off is told from integ's own by deactivated_by.
CREATE FUNCTION integ.tg_instance_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    IF NEW.is_active AND NOT OLD.is_active THEN
        NEW.deactivated_by := NULL;
        NEW.deactivated_at := NULL;
        NEW.deactivated_reason := NULL;
        NEW.failures := 0;
        NEW.failing_since := NULL;
        IF OLD.status = 'error' THEN
            NEW.status := 'active';
        END IF;
    ELSIF OLD.is_active AND NOT NEW.is_active THEN
        NEW.deactivated_by := coalesce(@extschema@.integ_current_user_id(), current_user);
        NEW.deactivated_at := now();
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION integ.tg_instance_changed() IS 'Stamps who switched an instance off, and when it was changed';
CREATE TRIGGER instances_changed
    BEFORE UPDATE OF name, description, config, rate_limit, metadata, is_active, is_default ON integ.instances
    FOR EACH ROW WHEN (current_user <> 'integ_owner') EXECUTE FUNCTION integ.tg_instance_changed();

CREATE FUNCTION integ.tg_instance_config() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_instance_config';
COMMENT ON FUNCTION integ.tg_instance_config() IS
    'Checks an updated config against the definition, and lets origin follow it';
CREATE TRIGGER instances_config BEFORE UPDATE OF config ON integ.instances
    FOR EACH ROW WHEN (current_user <> 'integ_owner' AND OLD.config IS DISTINCT FROM NEW.config)
    EXECUTE FUNCTION integ.tg_instance_config();

CREATE FUNCTION integ.tg_instance_history() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_instance_history';
COMMENT ON FUNCTION integ.tg_instance_history() IS 'Records in audit and events what people update and delete';
CREATE TRIGGER instances_history
    AFTER UPDATE OF name, description, config, rate_limit, metadata, is_active, is_default OR DELETE ON integ.instances
    FOR EACH ROW WHEN (current_user <> 'integ_owner') EXECUTE FUNCTION integ.tg_instance_history();

CREATE FUNCTION integ_connect(definition text, instance_id text, config jsonb DEFAULT NULL, options jsonb DEFAULT '{}')
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_connect';
COMMENT ON FUNCTION integ_connect(text, text, jsonb, jsonb) IS
    'Makes an instance of a definition, or changes the one of that handle (config NULL: keeps it). Options: context '
    '(global, client, user), client, user, name, description, auth_method, default, borrow, grants, version, metadata';

CREATE FUNCTION integ_disconnect(instance text) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_disconnect';
COMMENT ON FUNCTION integ_disconnect(text) IS
    'Ends a connection: its credentials are deleted, the instance stays; integ_connect connects it again';

CREATE FUNCTION integ_resolve(definition text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_resolve';
COMMENT ON FUNCTION integ_resolve(text) IS
    'The handle of the caller''s instance of a definition: the user''s, the client''s, a global one; the default one '
    'of several';

CREATE FUNCTION integ_methods(instance text)
RETURNS TABLE (id text, name text, description text, access text, approval_required boolean, required_scopes text[],
               input_schema jsonb, output_schema jsonb, paginated boolean)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE ROWS 30 AS 'MODULE_PATHNAME', 'integ_methods';
COMMENT ON FUNCTION integ_methods(text) IS 'The methods of an instance (by handle or id) or of a definition';

CREATE FUNCTION integ.instance_find(name text) RETURNS uuid
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_instance_find';
COMMENT ON FUNCTION integ.instance_find(text) IS
    'The instance that a handle, an id or a definition means for the caller; raises IG404 and IG409';

GRANT EXECUTE ON FUNCTION integ_connect(text, text, jsonb, jsonb), integ_disconnect(text), integ_resolve(text),
    integ_methods(text), integ.instance_find(text) TO integ_user;

-- Built-in definitions that instances use are dumped as well: an instance may
-- stay with a version that the next installation does not bring.
SELECT pg_catalog.pg_extension_config_dump('integ.definitions',
    'WHERE NOT builtin OR customized OR id IN (SELECT i.definition FROM integ.instances i)');
SELECT pg_catalog.pg_extension_config_dump('integ.definition_versions',
    'WHERE NOT builtin OR id IN (SELECT i.definition FROM integ.instances i)'
    ' OR id IN (SELECT d.id FROM integ.definitions d WHERE d.customized)');
SELECT pg_catalog.pg_extension_config_dump('integ.instances', '');
SELECT pg_catalog.pg_extension_config_dump('integ.instance_grants', '');
SELECT pg_catalog.pg_extension_config_dump('integ.instance_methods', '');

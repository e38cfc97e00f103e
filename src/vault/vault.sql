-- The vault: data keys, credentials, and the key pairs that values are sealed to.

CREATE TABLE integ.data_keys (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    algorithm text COLLATE "C" NOT NULL,
    wrapped bytea NOT NULL,
    master_key_id text COLLATE "C" NOT NULL,
    status text NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    rewrapped_at timestamptz,
    retired_at timestamptz,
    CONSTRAINT data_keys_algorithm_check CHECK (algorithm IN ('aes-256-cbc-hmac', 'aes-256-gcm')),
    CONSTRAINT data_keys_status_check CHECK (status IN ('active', 'retired')),
    CONSTRAINT data_keys_retired_at_check CHECK ((status = 'retired') = (retired_at IS NOT NULL)),
    CONSTRAINT data_keys_master_key_id_check CHECK (master_key_id ~ '^[0-9a-f]{16}$')
);
CREATE UNIQUE INDEX data_keys_active_key ON integ.data_keys (algorithm) WHERE status = 'active';
COMMENT ON TABLE integ.data_keys IS 'Keys that encrypt credentials, wrapped by the master key; made on first use and by integ_vault_rotate_key';
COMMENT ON COLUMN integ.data_keys.id IS 'Key that credentials name';
COMMENT ON COLUMN integ.data_keys.algorithm IS 'What the key encrypts with: aes-256-cbc-hmac or aes-256-gcm; a key serves one algorithm';
COMMENT ON COLUMN integ.data_keys.wrapped IS 'The key, wrapped by the master key with AES key wrap (RFC 3394)';
COMMENT ON COLUMN integ.data_keys.master_key_id IS 'Identifier of the master key that wraps it: tells a wrong master key from a damaged row';
COMMENT ON COLUMN integ.data_keys.status IS 'active: encrypts new values; retired: only opens old ones';
COMMENT ON COLUMN integ.data_keys.created_at IS 'When the key was made';
COMMENT ON COLUMN integ.data_keys.rewrapped_at IS 'When it was last wrapped anew by another master key';
COMMENT ON COLUMN integ.data_keys.retired_at IS 'When another key took its place';

CREATE TABLE integ.credentials (
    id uuid NOT NULL DEFAULT integ.uuid_generate(),
    owner_kind text COLLATE "C" NOT NULL,
    owner_id text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    instance uuid GENERATED ALWAYS AS (CASE WHEN owner_kind = 'instance' THEN owner_id::uuid END) STORED
        REFERENCES integ.instances (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'current',
    version bigint NOT NULL,
    algorithm text COLLATE "C" NOT NULL,
    data_key uuid NOT NULL REFERENCES integ.data_keys (id),
    ciphertext bytea NOT NULL,
    allowed_origins text[] COLLATE "C" NOT NULL,
    hint text,
    expires_at timestamptz,
    created_by regrole NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    encrypted_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (id, owner_id),
    CONSTRAINT credentials_name_key UNIQUE (owner_id, owner_kind, client_id, name, state),
    CONSTRAINT credentials_owner_kind_check
        CHECK (owner_kind IN ('definition', 'instance', 'webhook', 'endpoint', 'sealing_key')),
    CONSTRAINT credentials_owner_id_check CHECK (owner_id <> ''),
    CONSTRAINT credentials_client_id_check CHECK (client_id <> ''),
    CONSTRAINT credentials_name_check
        CHECK (name <> '' AND pg_catalog.length(name) <= 255 AND name !~ '[[:cntrl:]]'),
    CONSTRAINT credentials_state_check CHECK (state IN ('current', 'previous')),
    CONSTRAINT credentials_version_check CHECK (version > 0),
    CONSTRAINT credentials_algorithm_check CHECK (algorithm IN ('aes-256-cbc-hmac', 'aes-256-gcm')),
    CONSTRAINT credentials_hint_check CHECK (pg_catalog.length(hint) <= 100)
);
CREATE INDEX credentials_instance_idx ON integ.credentials (instance) WHERE instance IS NOT NULL;
CREATE INDEX credentials_data_key_idx ON integ.credentials (data_key, id);
COMMENT ON TABLE integ.credentials IS
    'Secrets, encrypted. Written by integ_credential_set, integ_credential_rotate and integ_credential_delete; opened only in C, for an origin they belong to; people look at integ.credential_hints';
COMMENT ON COLUMN integ.credentials.id IS 'Key of the row';
COMMENT ON COLUMN integ.credentials.owner_kind IS 'What it belongs to: definition, instance, webhook, endpoint; sealing_key for a private key of the vault itself';
COMMENT ON COLUMN integ.credentials.owner_id IS 'The definition''s id, or the uuid of the others as text';
COMMENT ON COLUMN integ.credentials.client_id IS 'The client it belongs to, or ''*'' for global';
COMMENT ON COLUMN integ.credentials.user_id IS 'The user whose own context the instance is in, or NULL';
COMMENT ON COLUMN integ.credentials.instance IS 'The instance it belongs to, where owner_kind is instance; it is deleted with it';
COMMENT ON COLUMN integ.credentials.name IS 'Key under which the definition refers to it: {credentials.NAME}';
COMMENT ON COLUMN integ.credentials.state IS
    'current: the value in use; previous: the one before a rotation that is not promoted yet, used where the service refuses the current one';
COMMENT ON COLUMN integ.credentials.version IS 'Counts the values that were set under the name';
COMMENT ON COLUMN integ.credentials.algorithm IS 'What it is encrypted with';
COMMENT ON COLUMN integ.credentials.data_key IS 'The data key it is encrypted under';
COMMENT ON COLUMN integ.credentials.ciphertext IS
    'IV, ciphertext and tag; authenticated with owner, client, name, version, allowed origins, algorithm and data key, so that it opens in this row only';
COMMENT ON COLUMN integ.credentials.allowed_origins IS 'Origins (scheme://host[:port]) it may be sent to; empty: it never leaves the server';
COMMENT ON COLUMN integ.credentials.hint IS 'What a person may see of it, stored when it was set';
COMMENT ON COLUMN integ.credentials.expires_at IS 'When it stops being used, or NULL';
COMMENT ON COLUMN integ.credentials.created_by IS 'The role that set this value';
COMMENT ON COLUMN integ.credentials.created_at IS 'When this value was set';
COMMENT ON COLUMN integ.credentials.encrypted_at IS 'When it was last encrypted: then, or when the data key was rotated';

CREATE TABLE integ.sealing_keys (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    certificate text NOT NULL,
    status text NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT sealing_keys_status_check CHECK (status IN ('active', 'retired'))
);
CREATE UNIQUE INDEX sealing_keys_active_key ON integ.sealing_keys (status) WHERE status = 'active';
COMMENT ON TABLE integ.sealing_keys IS
    'Key pairs that people seal values to; the private keys are rows of integ.credentials. Deleting a retired one ends the use of values sealed to it that were not entered yet';
COMMENT ON COLUMN integ.sealing_keys.id IS 'Key of the row, and owner of the private key';
COMMENT ON COLUMN integ.sealing_keys.certificate IS 'Certificate in PEM, as integ_public_key returns it';
COMMENT ON COLUMN integ.sealing_keys.status IS 'active: the one integ_public_key returns; retired: only opens values that were sealed to it';
COMMENT ON COLUMN integ.sealing_keys.created_at IS 'When the pair was made';

CREATE VIEW integ.credential_hints WITH (security_invoker = true, security_barrier = true) AS
SELECT c.owner_kind,
       c.owner_id,
       i.instance_id,
       c.client_id,
       c.user_id,
       c.name,
       c.hint,
       c.version,
       EXISTS (SELECT FROM integ.credentials p
               WHERE p.owner_id = c.owner_id AND p.owner_kind = c.owner_kind AND p.client_id = c.client_id
                 AND p.name = c.name AND p.state = 'previous') AS rotating,
       c.allowed_origins,
       c.algorithm,
       c.expires_at,
       c.created_by,
       c.created_at,
       c.encrypted_at
FROM integ.credentials c
LEFT JOIN integ.instances i ON i.id = c.instance
WHERE c.state = 'current' AND c.owner_kind <> 'sealing_key';
COMMENT ON VIEW integ.credential_hints IS 'What people may see of credentials: everything but the secret';
COMMENT ON COLUMN integ.credential_hints.owner_kind IS 'What it belongs to: definition, instance, webhook, endpoint';
COMMENT ON COLUMN integ.credential_hints.owner_id IS 'The definition''s id, or the uuid of the others as text';
COMMENT ON COLUMN integ.credential_hints.instance_id IS 'Handle of the instance it belongs to, or NULL';
COMMENT ON COLUMN integ.credential_hints.client_id IS 'The client it belongs to, or ''*'' for global';
COMMENT ON COLUMN integ.credential_hints.user_id IS 'The user whose own context the instance is in, or NULL';
COMMENT ON COLUMN integ.credential_hints.name IS 'Key under which the definition refers to it';
COMMENT ON COLUMN integ.credential_hints.hint IS 'What a person may see of it';
COMMENT ON COLUMN integ.credential_hints.version IS 'Counts the values that were set under the name';
COMMENT ON COLUMN integ.credential_hints.rotating IS 'Whether the value before is kept until this one has proven itself';
COMMENT ON COLUMN integ.credential_hints.allowed_origins IS 'Origins it may be sent to; empty: it never leaves the server';
COMMENT ON COLUMN integ.credential_hints.algorithm IS 'What it is encrypted with';
COMMENT ON COLUMN integ.credential_hints.expires_at IS 'When it stops being used, or NULL';
COMMENT ON COLUMN integ.credential_hints.created_by IS 'The role that set this value';
COMMENT ON COLUMN integ.credential_hints.created_at IS 'When this value was set';
COMMENT ON COLUMN integ.credential_hints.encrypted_at IS 'When it was last encrypted';

CREATE FUNCTION integ_credential_set(owner text, key text, value text, options jsonb DEFAULT '{}') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT AS 'MODULE_PATHNAME', 'integ_credential_set';
COMMENT ON FUNCTION integ_credential_set(text, text, text, jsonb) IS
    'Stores a secret of an instance (its handle), definition:ID, webhook:UUID or endpoint:UUID; the value sealed to integ_public_key() or plain';
CREATE FUNCTION integ_credential_set(owner text, key text, sealed bytea, options jsonb DEFAULT '{}') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT AS 'MODULE_PATHNAME', 'integ_credential_set_sealed';
COMMENT ON FUNCTION integ_credential_set(text, text, bytea, jsonb) IS 'As the other, with the value sealed as DER';

CREATE FUNCTION integ_credential_rotate(owner text, key text, value text, options jsonb DEFAULT '{}') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT AS 'MODULE_PATHNAME', 'integ_credential_rotate';
COMMENT ON FUNCTION integ_credential_rotate(text, text, text, jsonb) IS
    'Replaces a secret and keeps the one before until the new one has proven itself; without a value, {"promote": true} ends that and {"revert": true} goes back';
CREATE FUNCTION integ_credential_rotate(owner text, key text, sealed bytea, options jsonb DEFAULT '{}') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT AS 'MODULE_PATHNAME', 'integ_credential_rotate_sealed';
COMMENT ON FUNCTION integ_credential_rotate(text, text, bytea, jsonb) IS 'As the other, with the value sealed as DER';

CREATE FUNCTION integ_credential_delete(owner text, key text) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_credential_delete';
COMMENT ON FUNCTION integ_credential_delete(text, text) IS 'Deletes a secret, with the one before it if it is being rotated';

CREATE FUNCTION integ_public_key() RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_public_key';
COMMENT ON FUNCTION integ_public_key() IS
    'The certificate (PEM) to seal values to with "openssl cms -encrypt"; made at first use';

CREATE FUNCTION integ_vault_rotate_key(options jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT AS 'MODULE_PATHNAME', 'integ_vault_rotate_key';
COMMENT ON FUNCTION integ_vault_rotate_key(jsonb) IS
    'After a change of the master key: wraps the data keys anew. Else makes a new data key and encrypts all credentials under it, or goes on with that';

GRANT EXECUTE ON FUNCTION
    integ_credential_set(text, text, text, jsonb), integ_credential_set(text, text, bytea, jsonb),
    integ_credential_rotate(text, text, text, jsonb), integ_credential_rotate(text, text, bytea, jsonb),
    integ_credential_delete(text, text), integ_public_key()
    TO integ_user, integ_impersonate;
GRANT EXECUTE ON FUNCTION integ_vault_rotate_key(jsonb) TO integ_superadmin;

-- Nobody reads a ciphertext or a wrapped key but the owner of the tables: columns are granted one by one.
ALTER TABLE integ.data_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.sealing_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY data_keys_read ON integ.data_keys FOR SELECT USING ((SELECT integ_current_level()) = 'superadmin');
CREATE POLICY credentials_read ON integ.credentials FOR SELECT USING (
    client_id = (SELECT integ_current_client())
        AND (user_id IS NULL OR user_id = (SELECT integ_current_user_id()) OR (SELECT integ_current_level()) = 'admin')
    OR (SELECT integ_current_level()) = 'superadmin');
CREATE POLICY sealing_keys_read ON integ.sealing_keys FOR SELECT USING (true);
CREATE POLICY sealing_keys_write ON integ.sealing_keys USING ((SELECT integ_current_level()) = 'superadmin');
GRANT SELECT (id, algorithm, master_key_id, status, created_at, rewrapped_at, retired_at)
    ON integ.data_keys TO integ_superadmin;
GRANT SELECT (id, owner_kind, owner_id, client_id, user_id, instance, name, state, version, algorithm, data_key,
              allowed_origins, hint, expires_at, created_by, created_at, encrypted_at)
    ON integ.credentials TO integ_user, integ_impersonate;
GRANT SELECT ON integ.sealing_keys, integ.credential_hints TO integ_user, integ_impersonate;

CREATE TRIGGER data_keys_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.data_keys
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.data_keys ENABLE ALWAYS TRIGGER data_keys_invalidate;
CREATE TRIGGER credentials_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.credentials
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.credentials ENABLE ALWAYS TRIGGER credentials_invalidate;

SELECT pg_catalog.pg_extension_config_dump('integ.data_keys', '');
SELECT pg_catalog.pg_extension_config_dump('integ.credentials', '');
SELECT pg_catalog.pg_extension_config_dump('integ.sealing_keys', '');

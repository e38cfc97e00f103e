-- OAuth 2.0: authorizations under way, and what is known of the tokens (which are in the vault).

ALTER TABLE integ.credentials DROP CONSTRAINT credentials_owner_kind_check;
ALTER TABLE integ.credentials ADD CONSTRAINT credentials_owner_kind_check
    CHECK (owner_kind IN ('definition', 'instance', 'webhook', 'endpoint', 'sealing_key', 'oauth_flow'));

CREATE TABLE integ.oauth_flows (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    client_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    definition_id text COLLATE "C" NOT NULL,
    instance uuid NOT NULL REFERENCES integ.instances (id) ON DELETE CASCADE,
    flow text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    state_hash bytea,
    nonce_hash bytea,
    token_origin text COLLATE "C" NOT NULL,
    redirect_uri text,
    return_url text,
    scopes text[] COLLATE "C" NOT NULL,
    granted_scopes text[] COLLATE "C",
    user_code text,
    verification_uri text,
    poll_interval integer,
    next_poll_at timestamptz,
    error text,
    error_description text,
    created_by regrole NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT oauth_flows_flow_check CHECK (flow IN ('authorization_code', 'device_code')),
    CONSTRAINT oauth_flows_status_check
        CHECK (status IN ('pending', 'exchanging', 'completed', 'denied', 'failed', 'expired')),
    CONSTRAINT oauth_flows_state_hash_key UNIQUE (state_hash),
    CONSTRAINT oauth_flows_code_check CHECK (flow <> 'authorization_code' OR state_hash IS NOT NULL)
);
CREATE INDEX oauth_flows_instance_idx ON integ.oauth_flows (instance);
CREATE INDEX oauth_flows_expires_idx ON integ.oauth_flows (expires_at) WHERE status IN ('pending', 'exchanging');
CREATE INDEX oauth_flows_created_idx ON integ.oauth_flows (created_at);
CREATE INDEX oauth_flows_poll_idx ON integ.oauth_flows (next_poll_at) WHERE next_poll_at IS NOT NULL;
COMMENT ON TABLE integ.oauth_flows IS
    'Authorizations: begun by integ_oauth_start, ended by integ_oauth_callback; usable once and for ten '
    'minutes, kept for 30 days. Their secrets are in the vault until then';
COMMENT ON COLUMN integ.oauth_flows.id IS 'The authorization';
COMMENT ON COLUMN integ.oauth_flows.client_id IS 'Client that began it; ''*'' for global';
COMMENT ON COLUMN integ.oauth_flows.user_id IS 'User that began it, or none';
COMMENT ON COLUMN integ.oauth_flows.definition_id IS 'Definition of the instance';
COMMENT ON COLUMN integ.oauth_flows.instance IS 'Instance that is being connected';
COMMENT ON COLUMN integ.oauth_flows.flow IS 'authorization_code, device_code';
COMMENT ON COLUMN integ.oauth_flows.status IS
    'pending; exchanging (the code is on its way, it is used up); completed; denied (by the person); failed; expired';
COMMENT ON COLUMN integ.oauth_flows.state_hash IS 'SHA-256 of the state parameter';
COMMENT ON COLUMN integ.oauth_flows.nonce_hash IS
    'SHA-256 of the nonce that the identity token must repeat; NULL: none was asked for';
COMMENT ON COLUMN integ.oauth_flows.token_origin IS
    'Origin of the token endpoint when it began: the code goes nowhere else';
COMMENT ON COLUMN integ.oauth_flows.redirect_uri IS 'Where the service sends the person back to';
COMMENT ON COLUMN integ.oauth_flows.return_url IS 'Where the application wants the person in the end';
COMMENT ON COLUMN integ.oauth_flows.scopes IS 'Scopes that were asked for';
COMMENT ON COLUMN integ.oauth_flows.granted_scopes IS 'Scopes that were granted';
COMMENT ON COLUMN integ.oauth_flows.user_code IS 'device_code: what the person enters';
COMMENT ON COLUMN integ.oauth_flows.verification_uri IS 'device_code: where the person enters it';
COMMENT ON COLUMN integ.oauth_flows.poll_interval IS 'device_code: seconds between two questions';
COMMENT ON COLUMN integ.oauth_flows.next_poll_at IS 'device_code: when the token endpoint is asked next';
COMMENT ON COLUMN integ.oauth_flows.error IS 'Error code of the service, or ours';
COMMENT ON COLUMN integ.oauth_flows.error_description IS 'What the service says about it';
COMMENT ON COLUMN integ.oauth_flows.created_by IS 'The role that began it';
COMMENT ON COLUMN integ.oauth_flows.created_at IS 'When it began';
COMMENT ON COLUMN integ.oauth_flows.expires_at IS 'After this it cannot be completed';
COMMENT ON COLUMN integ.oauth_flows.used_at IS 'When the code was taken: it works once';
COMMENT ON COLUMN integ.oauth_flows.finished_at IS 'When it ended';
ALTER TABLE integ.oauth_flows ENABLE ROW LEVEL SECURITY;
CREATE POLICY oauth_flows_own ON integ.oauth_flows FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin' OR user_id IS NOT DISTINCT FROM (SELECT integ_current_user_id())));
GRANT SELECT ON integ.oauth_flows TO integ_user;
SELECT pg_catalog.pg_extension_config_dump('integ.oauth_flows', '');

CREATE TABLE integ.oauth_tokens (
    instance uuid PRIMARY KEY REFERENCES integ.instances (id) ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL,
    grant_type text NOT NULL,
    strategy text NOT NULL,
    token_type text NOT NULL DEFAULT 'Bearer',
    scopes text[] COLLATE "C",
    requested_scopes text[] COLLATE "C" NOT NULL,
    token_origin text COLLATE "C" NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    obtained_at timestamptz,
    expires_at timestamptz,
    refresh_at timestamptz,
    refresh_started_at timestamptz,
    failures integer NOT NULL DEFAULT 0,
    last_attempt_at timestamptz,
    last_sqlstate text,
    last_error text,
    long_lived boolean NOT NULL DEFAULT false,
    CONSTRAINT oauth_tokens_grant_type_check
        CHECK (grant_type IN ('authorization_code', 'device_code', 'client_credentials', 'jwt_bearer',
            'signed_token')),
    CONSTRAINT oauth_tokens_strategy_check CHECK (strategy IN ('automatic', 'on_demand', 'manual')),
    CONSTRAINT oauth_tokens_version_check CHECK (version >= 0)
);
CREATE INDEX oauth_tokens_expires_idx ON integ.oauth_tokens (expires_at);
CREATE INDEX oauth_tokens_refresh_idx ON integ.oauth_tokens (refresh_at) WHERE refresh_at IS NOT NULL;
COMMENT ON TABLE integ.oauth_tokens IS
    'What is known of the tokens of instances that use OAuth; the tokens themselves are in the vault. '
    'refresh_at = now() has one refreshed';
COMMENT ON COLUMN integ.oauth_tokens.instance IS 'The instance';
COMMENT ON COLUMN integ.oauth_tokens.client_id IS 'Client of the instance; ''*'' for global';
COMMENT ON COLUMN integ.oauth_tokens.grant_type IS
    'How the first token was obtained: authorization_code, device_code, client_credentials, jwt_bearer, '
    'signed_token (auth.jwt.tokenUrl)';
COMMENT ON COLUMN integ.oauth_tokens.strategy IS
    'automatic: refreshed before it expires; on_demand: when a call needs it; manual: by integ_oauth_refresh only';
COMMENT ON COLUMN integ.oauth_tokens.token_type IS 'Type of the token, as the service calls it';
COMMENT ON COLUMN integ.oauth_tokens.scopes IS 'Scopes that were granted; NULL where the service does not say';
COMMENT ON COLUMN integ.oauth_tokens.requested_scopes IS 'Scopes that were asked for';
COMMENT ON COLUMN integ.oauth_tokens.token_origin IS
    'Origin of the token endpoint: the refresh token goes nowhere else';
COMMENT ON COLUMN integ.oauth_tokens.version IS 'Counts the tokens of the instance';
COMMENT ON COLUMN integ.oauth_tokens.obtained_at IS 'When the current token was obtained';
COMMENT ON COLUMN integ.oauth_tokens.expires_at IS 'When it expires; NULL: the service does not say';
COMMENT ON COLUMN integ.oauth_tokens.refresh_at IS 'When a dispatcher refreshes it; NULL: not by itself';
COMMENT ON COLUMN integ.oauth_tokens.refresh_started_at IS
    'On disk before a refresh leaves: what is found here after a crash may have used up the refresh token';
COMMENT ON COLUMN integ.oauth_tokens.failures IS 'Refreshes that failed in a row';
COMMENT ON COLUMN integ.oauth_tokens.last_attempt_at IS 'When a refresh was last tried';
COMMENT ON COLUMN integ.oauth_tokens.last_sqlstate IS 'SQLSTATE of the last failure; NULL: the last one succeeded';
COMMENT ON COLUMN integ.oauth_tokens.last_error IS 'Message of the last failure, without secrets';
COMMENT ON COLUMN integ.oauth_tokens.long_lived IS
    'Whether the token was exchanged for a long-lived one (longLived of the definition), and is renewed as such';
ALTER TABLE integ.oauth_tokens ENABLE ROW LEVEL SECURITY;
CREATE POLICY oauth_tokens_read ON integ.oauth_tokens FOR SELECT USING (
    EXISTS (SELECT FROM integ.instances i WHERE i.id = instance));
CREATE POLICY oauth_tokens_steer ON integ.oauth_tokens FOR UPDATE USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');
GRANT SELECT ON integ.oauth_tokens TO integ_user;
GRANT UPDATE (refresh_at, strategy) ON integ.oauth_tokens TO integ_admin, integ_superadmin;
SELECT pg_catalog.pg_extension_config_dump('integ.oauth_tokens', '');

CREATE FUNCTION integ.tg_oauth_wake() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_oauth_wake';
COMMENT ON FUNCTION integ.tg_oauth_wake() IS
    'Has the dispatchers look for tokens to refresh when the transaction commits';
CREATE TRIGGER oauth_tokens_wake AFTER INSERT OR UPDATE OR TRUNCATE ON integ.oauth_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_oauth_wake();
ALTER TABLE integ.oauth_tokens ENABLE ALWAYS TRIGGER oauth_tokens_wake;
CREATE TRIGGER oauth_flows_wake AFTER INSERT OR UPDATE OR TRUNCATE ON integ.oauth_flows
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_oauth_wake();
ALTER TABLE integ.oauth_flows ENABLE ALWAYS TRIGGER oauth_flows_wake;

CREATE FUNCTION integ_oauth_start(target text, options jsonb DEFAULT '{}',
    OUT flow_id uuid, OUT instance_id text, OUT authorization_url text, OUT state text,
    OUT expires_at timestamptz, OUT user_code text, OUT verification_uri text)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'integ_oauth_start';
COMMENT ON FUNCTION integ_oauth_start(text, jsonb) IS
    'Begins the authorization of an instance, or of a new one of a definition: send the person to '
    'authorization_url. Options: instance_id, config, connect, scopes, parameters, return_url, redirect_uri, '
    'flow, login_hint';

CREATE FUNCTION integ_oauth_callback(state text, code text DEFAULT NULL, error text DEFAULT NULL,
    params jsonb DEFAULT '{}',
    OUT flow_id uuid, OUT instance_id text, OUT status text, OUT scopes text[], OUT missing_scopes text[],
    OUT return_url text)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000 AS 'MODULE_PATHNAME', 'integ_oauth_callback';
COMMENT ON FUNCTION integ_oauth_callback(text, text, text, jsonb) IS
    'Ends an authorization with what the redirect brought: state and code, or state and error; params are its '
    'other parameters (iss, error_description, realmId …). A worker exchanges the code, so that a ROLLBACK '
    'cannot lose the token';

CREATE FUNCTION integ.oauth_redirect(argument jsonb) RETURNS jsonb
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 100000 AS 'MODULE_PATHNAME', 'integ_oauth_redirect';
COMMENT ON FUNCTION integ.oauth_redirect(jsonb) IS
    'Ends an authorization for the listener, in the place of whoever began it: the parameters of the '
    'redirect; false where the person refused';
GRANT EXECUTE ON FUNCTION integ.oauth_redirect(jsonb) TO integ_ingress;

CREATE FUNCTION integ_oauth_refresh(instance text, options jsonb DEFAULT '{}') RETURNS timestamptz
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000 AS 'MODULE_PATHNAME', 'integ_oauth_refresh';
COMMENT ON FUNCTION integ_oauth_refresh(text, jsonb) IS
    'Has a worker refresh the token of an instance, waits for it, and returns when the new one expires (NULL: '
    'the service does not say). Option: timeout';

CREATE FUNCTION integ_oauth_revoke(instance text, options jsonb DEFAULT '{}') RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000 AS 'MODULE_PATHNAME', 'integ_oauth_revoke';
COMMENT ON FUNCTION integ_oauth_revoke(text, jsonb) IS
    'Revokes the tokens of an instance at the service (RFC 7009) and removes them here; false where the '
    'service could not be told. Option: timeout';

GRANT EXECUTE ON FUNCTION integ_oauth_start(text, jsonb), integ_oauth_callback(text, text, text, jsonb),
    integ_oauth_refresh(text, jsonb), integ_oauth_revoke(text, jsonb) TO integ_user, integ_impersonate;

-- Webhooks: requests of services that come in, the events in them, and what is to happen then.

CREATE TABLE integ.webhooks (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    webhook_id text COLLATE "C" NOT NULL,
    name text,
    description text,
    definition text COLLATE "C" NOT NULL REFERENCES integ.definitions (id),
    instance uuid REFERENCES integ.instances (id) ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL DEFAULT integ_current_client(),
    account text COLLATE "C",
    events text[] NOT NULL DEFAULT '{}',
    filter jsonpath,
    signature jsonb,
    handler text,
    trigger_handlers jsonb NOT NULL DEFAULT '{}',
    replies boolean NOT NULL DEFAULT false,
    owner regrole NOT NULL DEFAULT pg_catalog.quote_ident(current_user)::pg_catalog.regrole,
    is_active boolean NOT NULL DEFAULT true,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT webhooks_webhook_id_check
        CHECK (webhook_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$' AND pg_catalog.length(webhook_id) <= 255),
    CONSTRAINT webhooks_signature_check CHECK (pg_catalog.jsonb_typeof(signature) = 'object'),
    CONSTRAINT webhooks_trigger_handlers_check CHECK (pg_catalog.jsonb_typeof(trigger_handlers) = 'object'),
    CONSTRAINT webhooks_replies_check CHECK (NOT replies OR handler IS NOT NULL),
    CONSTRAINT webhooks_metadata_check CHECK (pg_catalog.jsonb_typeof(metadata) = 'object'),
    CONSTRAINT webhooks_webhook_id_key UNIQUE (client_id, definition, webhook_id)
);
CREATE INDEX webhooks_definition_idx ON integ.webhooks (definition, webhook_id);
CREATE INDEX webhooks_instance_idx ON integ.webhooks (instance) WHERE instance IS NOT NULL;
COMMENT ON TABLE integ.webhooks IS
    'Webhooks: addresses that services send events to. Written by INSERT, UPDATE and DELETE; the secret is a '
    'credential of webhook:ID';
COMMENT ON COLUMN integ.webhooks.id IS 'Key that other tables refer to, and part of the address';
COMMENT ON COLUMN integ.webhooks.webhook_id IS 'Handle that people use; unique per client and definition';
COMMENT ON COLUMN integ.webhooks.name IS 'Name for display';
COMMENT ON COLUMN integ.webhooks.description IS 'What it is for';
COMMENT ON COLUMN integ.webhooks.definition IS
    'The service that sends: its manifest says how requests are proven and read';
COMMENT ON COLUMN integ.webhooks.instance IS
    'The connection that events belong to; NULL: the one of the account that an event names (one address for all)';
COMMENT ON COLUMN integ.webhooks.client_id IS 'The client it belongs to; ''*'': events of every client''s accounts';
COMMENT ON COLUMN integ.webhooks.account IS 'The only account whose events are taken; NULL: any';
COMMENT ON COLUMN integ.webhooks.events IS 'Names of the events that are taken, * for any characters; empty: all';
COMMENT ON COLUMN integ.webhooks.filter IS
    'jsonpath that must find something in the payload, or be true; NULL: all are taken';
COMMENT ON COLUMN integ.webhooks.signature IS 'How requests are proven, in place of what the manifest says';
COMMENT ON COLUMN integ.webhooks.handler IS
    'SQL function called with each event (one jsonb), after it is committed, as the owner';
COMMENT ON COLUMN integ.webhooks.trigger_handlers IS 'SQL functions by the id of a trigger, in place of handler';
COMMENT ON COLUMN integ.webhooks.replies IS
    'Whether what the handler returns (status, headers, body) is the answer to the service, if it comes '
    'within 2 seconds';
COMMENT ON COLUMN integ.webhooks.owner IS 'The role with whose rights handlers run';
COMMENT ON COLUMN integ.webhooks.is_active IS 'False: requests are answered as if there were no such address';
COMMENT ON COLUMN integ.webhooks.metadata IS 'Anything the application wants to keep with it';
COMMENT ON COLUMN integ.webhooks.created_by IS 'The role that made it';
COMMENT ON COLUMN integ.webhooks.created_at IS 'When it was made';
COMMENT ON COLUMN integ.webhooks.updated_at IS 'When it was last changed';

CREATE TABLE integ.webhook_events (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    client_id text COLLATE "C" NOT NULL,
    webhook uuid,
    instance uuid,
    definition text COLLATE "C" NOT NULL,
    event text COLLATE "C",
    triggers text[] NOT NULL DEFAULT '{}',
    delivery_id text COLLATE "C",
    account text COLLATE "C",
    occurred_at timestamptz,
    source text NOT NULL DEFAULT 'webhook',
    payload jsonb,
    headers jsonb NOT NULL DEFAULT '{}',
    request uuid NOT NULL,
    body bytea,
    state text NOT NULL DEFAULT 'received',
    last_error text,
    handled_at timestamptz,
    address inet,
    depth smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (id, created_at),
    CONSTRAINT webhook_events_state_check CHECK (state IN ('received', 'handled', 'failed', 'dead')),
    CONSTRAINT webhook_events_source_check CHECK (source IN ('webhook', 'poll'))
) PARTITION BY RANGE (created_at);
CREATE TABLE integ.webhook_events_default PARTITION OF integ.webhook_events DEFAULT;
CREATE INDEX webhook_events_webhook_idx ON integ.webhook_events (webhook, created_at);
CREATE INDEX webhook_events_unhandled_idx ON integ.webhook_events (created_at) WHERE state IN ('failed', 'dead');
COMMENT ON TABLE integ.webhook_events_default IS 'Events of days that have no partition; emptied when theirs is made';
COMMENT ON TABLE integ.webhook_events IS
    'Verified events of services, each once, kept for integ.log_retention days. What runs for them is in '
    'integ.handler_runs';
COMMENT ON COLUMN integ.webhook_events.id IS 'The event; sorts by time';
COMMENT ON COLUMN integ.webhook_events.created_at IS 'When it came';
COMMENT ON COLUMN integ.webhook_events.client_id IS 'The client that it concerns; ''*'' where that is nobody''s';
COMMENT ON COLUMN integ.webhook_events.webhook IS 'The webhook that it came by; NULL for one that was found by asking';
COMMENT ON COLUMN integ.webhook_events.instance IS 'The connection that it concerns; NULL: no account of ours';
COMMENT ON COLUMN integ.webhook_events.definition IS 'The service';
COMMENT ON COLUMN integ.webhook_events.event IS 'Its name, as the service calls it';
COMMENT ON COLUMN integ.webhook_events.triggers IS 'Triggers of the definition that it fires';
COMMENT ON COLUMN integ.webhook_events.delivery_id IS 'Its id at the service: a repeated one is dropped';
COMMENT ON COLUMN integ.webhook_events.account IS 'The account at the service';
COMMENT ON COLUMN integ.webhook_events.occurred_at IS 'When it happened, as the service says';
COMMENT ON COLUMN integ.webhook_events.source IS 'webhook (the service sent it) or poll (it was found by asking)';
COMMENT ON COLUMN integ.webhook_events.payload IS 'What it says; of a form its fields';
COMMENT ON COLUMN integ.webhook_events.headers IS 'Headers of the request, without those that may hold secrets';
COMMENT ON COLUMN integ.webhook_events.request IS
    'The request that brought it: of several events in one the first has the body';
COMMENT ON COLUMN integ.webhook_events.body IS 'The body of the request, byte for byte';
COMMENT ON COLUMN integ.webhook_events.state IS
    'received, handled (all that was to run has run), failed (some is tried again), dead (some was given up)';
COMMENT ON COLUMN integ.webhook_events.last_error IS 'What went wrong last';
COMMENT ON COLUMN integ.webhook_events.handled_at IS 'When all had run';
COMMENT ON COLUMN integ.webhook_events.address IS
    'Whose request it was: the address that a trusted proxy names, else the sender''s own';
COMMENT ON COLUMN integ.webhook_events.depth IS 'How many runs led to it: 0 for what a service sent';

CREATE TABLE integ.webhook_keys (
    webhook uuid NOT NULL,
    delivery_id text COLLATE "C" NOT NULL,
    event uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (webhook, delivery_id)
);
CREATE INDEX webhook_keys_expires_at_idx ON integ.webhook_keys (expires_at);
COMMENT ON TABLE integ.webhook_keys IS 'Deliveries that were taken, so that none is taken twice';
COMMENT ON COLUMN integ.webhook_keys.webhook IS 'The webhook that it came by, or the poll (integ.polls) that found it';
COMMENT ON COLUMN integ.webhook_keys.delivery_id IS 'Its id at the service; a long one by its hash';
COMMENT ON COLUMN integ.webhook_keys.event IS 'The event that it became';
COMMENT ON COLUMN integ.webhook_keys.expires_at IS 'When it is forgotten';

CREATE TABLE integ.rules (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    rule_id text COLLATE "C" NOT NULL,
    name text,
    description text,
    client_id text COLLATE "C" NOT NULL DEFAULT integ_current_client(),
    trigger_definition text COLLATE "C" NOT NULL REFERENCES integ.definitions (id),
    trigger text COLLATE "C" NOT NULL,
    trigger_instance uuid REFERENCES integ.instances (id) ON DELETE CASCADE,
    filter jsonpath,
    instance text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    input jsonb NOT NULL DEFAULT '{}',
    options jsonb NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    owner regrole NOT NULL DEFAULT pg_catalog.quote_ident(current_user)::pg_catalog.regrole,
    user_id text COLLATE "C" DEFAULT integ_current_user_id(),
    metadata jsonb NOT NULL DEFAULT '{}',
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT rules_rule_id_check
        CHECK (rule_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$' AND pg_catalog.length(rule_id) <= 255),
    CONSTRAINT rules_options_check CHECK (pg_catalog.jsonb_typeof(options) = 'object'),
    CONSTRAINT rules_metadata_check CHECK (pg_catalog.jsonb_typeof(metadata) = 'object'),
    CONSTRAINT rules_rule_id_key UNIQUE (client_id, rule_id)
);
CREATE INDEX rules_trigger_idx ON integ.rules (trigger_definition, trigger) WHERE is_active;
CREATE INDEX rules_trigger_instance_idx ON integ.rules (trigger_instance) WHERE trigger_instance IS NOT NULL;
COMMENT ON TABLE integ.rules IS
    'Rules: an event that fires a trigger enqueues a call, once. Written by INSERT, UPDATE and DELETE';
COMMENT ON COLUMN integ.rules.id IS 'Key that other tables refer to';
COMMENT ON COLUMN integ.rules.rule_id IS 'Handle that people use; unique per client';
COMMENT ON COLUMN integ.rules.name IS 'Name for display';
COMMENT ON COLUMN integ.rules.description IS 'What it is for';
COMMENT ON COLUMN integ.rules.client_id IS 'The client whose events it acts on; ''*'': those that are nobody''s';
COMMENT ON COLUMN integ.rules.trigger_definition IS 'The service whose trigger it listens to';
COMMENT ON COLUMN integ.rules.trigger IS 'The trigger (integ.triggers), or * for every event of the service';
COMMENT ON COLUMN integ.rules.trigger_instance IS 'Only events of this connection; NULL: of any of the client''s';
COMMENT ON COLUMN integ.rules.filter IS 'jsonpath that must find something in the payload, or be true; NULL: all count';
COMMENT ON COLUMN integ.rules.instance IS 'The connection that is called: a handle, or a definition''s id';
COMMENT ON COLUMN integ.rules.method IS 'The method that is called';
COMMENT ON COLUMN integ.rules.input IS 'Template of its input over {payload…} and {event…}, as in a manifest';
COMMENT ON COLUMN integ.rules.options IS 'Options of integ_enqueue';
COMMENT ON COLUMN integ.rules.is_active IS 'False: it does nothing';
COMMENT ON COLUMN integ.rules.owner IS 'The role that enqueues the call';
COMMENT ON COLUMN integ.rules.user_id IS 'The user of the client that it acts for, or none';
COMMENT ON COLUMN integ.rules.metadata IS 'Anything the application wants to keep with it';
COMMENT ON COLUMN integ.rules.created_by IS 'The role that made it';
COMMENT ON COLUMN integ.rules.created_at IS 'When it was made';
COMMENT ON COLUMN integ.rules.updated_at IS 'When it was last changed';

-- --- who sees and writes what ---

ALTER TABLE integ.webhooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.webhook_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.webhook_events_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.webhook_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.rules ENABLE ROW LEVEL SECURITY;

-- What a user may see of instances it may see of what came for them.
CREATE POLICY webhooks_read ON integ.webhooks FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin'
            OR EXISTS (SELECT FROM integ.instances i WHERE i.id = webhooks.instance)));
CREATE POLICY webhooks_write ON integ.webhooks
    USING ((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin')
    WITH CHECK (((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin')
        AND (instance IS NULL OR EXISTS (SELECT FROM integ.instances i
                                         WHERE i.id = webhooks.instance AND i.definition = webhooks.definition)));
CREATE POLICY webhook_events_read ON integ.webhook_events FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin'
            OR EXISTS (SELECT FROM integ.instances i
                       WHERE i.id = webhook_events.instance AND i.context_type = 'user'
                         AND i.context_id = (SELECT integ_current_user_id()))));
CREATE POLICY rules_read ON integ.rules FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin' OR client_id = (SELECT integ_current_client()));
CREATE POLICY rules_write ON integ.rules
    USING ((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin')
    WITH CHECK (((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin')
        AND (trigger_instance IS NULL OR EXISTS (SELECT FROM integ.instances i WHERE i.id = rules.trigger_instance)));
GRANT SELECT, INSERT, UPDATE, DELETE ON integ.webhooks, integ.rules TO integ_user;
GRANT SELECT ON integ.webhook_events TO integ_user;

CREATE FUNCTION integ.tg_webhook_check() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_webhook_check';
COMMENT ON FUNCTION integ.tg_webhook_check() IS
    'Checks a webhook or a rule as a row; lets nobody give away what runs with another''s rights';
CREATE TRIGGER webhooks_check BEFORE INSERT OR UPDATE ON integ.webhooks
    FOR EACH ROW EXECUTE FUNCTION integ.tg_webhook_check();
CREATE TRIGGER webhooks_plan AFTER INSERT ON integ.webhooks
    FOR EACH ROW EXECUTE FUNCTION integ.tg_plan_count('webhooks');
CREATE TRIGGER rules_check BEFORE INSERT OR UPDATE ON integ.rules
    FOR EACH ROW EXECUTE FUNCTION integ.tg_webhook_check();

CREATE TRIGGER webhooks_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.webhooks
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.webhooks ENABLE ALWAYS TRIGGER webhooks_invalidate;
CREATE TRIGGER rules_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.rules
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.rules ENABLE ALWAYS TRIGGER rules_invalidate;

-- --- what runs for an event ---

CREATE FUNCTION integ.tg_event_run_settled() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_event_run_settled';
COMMENT ON FUNCTION integ.tg_event_run_settled() IS 'Brings the state of an event in line with what has run for it';
CREATE TRIGGER handler_runs_settled AFTER UPDATE OF state ON integ.handler_runs
    FOR EACH ROW WHEN (NEW.event IS NOT NULL AND NEW.state <> OLD.state AND NEW.state <> 'running')
    EXECUTE FUNCTION integ.tg_event_run_settled();
ALTER TABLE integ.handler_runs ENABLE ALWAYS TRIGGER handler_runs_settled;

CREATE FUNCTION integ.rule_apply(argument jsonb) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_rule_apply';
COMMENT ON FUNCTION integ.rule_apply(jsonb) IS
    'Enqueues the call of a rule for an event, as the rule''s owner; run by a handler worker';
GRANT EXECUTE ON FUNCTION integ.rule_apply(jsonb) TO integ_user;

CREATE FUNCTION integ_webhook_receive(webhook text, headers jsonb, body bytea, options jsonb DEFAULT '{}',
    OUT status integer, OUT headers_out jsonb, OUT body_out text, OUT events uuid[])
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'integ_webhook_receive';
COMMENT ON FUNCTION integ_webhook_receive(text, jsonb, bytea, jsonb) IS
    'Takes a request that came to a listener of one''s own: verifies it, stores its events with this '
    'transaction, and tells what to answer. webhook is DEFINITION/WEBHOOK or DEFINITION; options: method, url, query';

CREATE FUNCTION integ_event_replay(event uuid) RETURNS integer
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_event_replay';
COMMENT ON FUNCTION integ_event_replay(uuid) IS
    'Runs what an event leads to once more, as the webhook and the rules are now; how many runs that makes';

CREATE FUNCTION integ.webhook_verify(signature jsonb, secrets text[], headers jsonb, body bytea,
                                     method text DEFAULT 'POST', url text DEFAULT NULL, at timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE c STABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'integ_webhook_verify_sql';
COMMENT ON FUNCTION integ.webhook_verify(jsonb, text[], jsonb, bytea, text, text, timestamptz) IS
    'Whether a request is proven as a manifest''s webhook.signature says: valid, missing, malformed, wrong, '
    'stale, no_key; to try a scheme with';
GRANT EXECUTE ON FUNCTION integ_webhook_receive(text, jsonb, bytea, jsonb), integ_event_replay(uuid),
    integ.webhook_verify(jsonb, text[], jsonb, bytea, text, text, timestamptz) TO integ_user;

SELECT pg_catalog.pg_extension_config_dump('integ.webhooks', '');
SELECT pg_catalog.pg_extension_config_dump('integ.rules', '');
SELECT pg_catalog.pg_extension_config_dump('integ.webhook_keys', '');

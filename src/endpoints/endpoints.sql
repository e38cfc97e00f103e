-- Endpoints: where events go out to, and their deliveries.

CREATE TABLE integ.endpoints (
    id uuid PRIMARY KEY DEFAULT integ.uuid_generate(),
    endpoint_id text COLLATE "C" NOT NULL,
    name text,
    description text,
    client_id text COLLATE "C" NOT NULL DEFAULT integ_current_client(),
    instance uuid REFERENCES integ.instances (id) ON DELETE CASCADE,
    url text NOT NULL,
    event_types text[] NOT NULL DEFAULT '{}',
    filter jsonpath,
    headers jsonb NOT NULL DEFAULT '{}',
    payload_template jsonb,
    standard_signature boolean NOT NULL DEFAULT true,
    signature_header text,
    secrets text[] NOT NULL DEFAULT '{secret}',
    ordered boolean NOT NULL DEFAULT false,
    rate_limit integer,
    rate_period interval NOT NULL DEFAULT interval '1 second',
    concurrency integer NOT NULL DEFAULT 32,
    timeout_ms integer,
    retry_schedule interval[],
    status text NOT NULL DEFAULT 'active',
    status_reason text,
    status_changed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    last_error text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT endpoints_endpoint_id_check
        CHECK (endpoint_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$' AND pg_catalog.length(endpoint_id) <= 255),
    CONSTRAINT endpoints_headers_check CHECK (pg_catalog.jsonb_typeof(headers) = 'object'),
    CONSTRAINT endpoints_signature_header_check CHECK (signature_header ~ '^[A-Za-z0-9-]{1,100}$'),
    CONSTRAINT endpoints_rate_limit_check CHECK (rate_limit BETWEEN 1 AND 1000000),
    CONSTRAINT endpoints_rate_period_check
        CHECK (rate_period BETWEEN interval '1 millisecond' AND interval '31 days'),
    CONSTRAINT endpoints_concurrency_check CHECK (concurrency BETWEEN 1 AND 512),
    CONSTRAINT endpoints_timeout_ms_check CHECK (timeout_ms BETWEEN 1 AND 3600000),
    CONSTRAINT endpoints_status_check CHECK (status IN ('active', 'paused', 'disabled')),
    CONSTRAINT endpoints_metadata_check CHECK (pg_catalog.jsonb_typeof(metadata) = 'object'),
    CONSTRAINT endpoints_endpoint_id_key UNIQUE (client_id, endpoint_id)
);
CREATE INDEX endpoints_instance_idx ON integ.endpoints (instance) WHERE instance IS NOT NULL;
COMMENT ON TABLE integ.endpoints IS
    'Endpoints: addresses that events are delivered to. Written by INSERT, UPDATE and DELETE, or '
    'integ_endpoint_add; secrets are credentials of endpoint:ID';
COMMENT ON COLUMN integ.endpoints.id IS 'Key that other tables refer to';
COMMENT ON COLUMN integ.endpoints.endpoint_id IS 'Handle that people use; unique per client';
COMMENT ON COLUMN integ.endpoints.name IS 'Name for display';
COMMENT ON COLUMN integ.endpoints.description IS 'What it is for';
COMMENT ON COLUMN integ.endpoints.client_id IS 'The client whose events it gets; ''*'': those of every client';
COMMENT ON COLUMN integ.endpoints.instance IS 'Only events about this connection; NULL: all';
COMMENT ON COLUMN integ.endpoints.url IS 'Where requests go to';
COMMENT ON COLUMN integ.endpoints.event_types IS
    'Types of events that it gets, * for any characters; empty: all that are published. Events of integ itself are '
    'named with their integ.';
COMMENT ON COLUMN integ.endpoints.filter IS
    'jsonpath that must find something in the payload, or be true; NULL: all are delivered';
COMMENT ON COLUMN integ.endpoints.headers IS
    'Further headers, as a template over {type}, {id}, {client} and {credentials.NAME}';
COMMENT ON COLUMN integ.endpoints.payload_template IS
    'Template of the body over {type}, {timestamp}, {id}, {key}, {client} and {data…}; NULL: {"type", '
    '"timestamp", "data"}';
COMMENT ON COLUMN integ.endpoints.standard_signature IS 'Whether requests are signed as the Standard Webhooks say';
COMMENT ON COLUMN integ.endpoints.signature_header IS
    'Header that gets sha256= and the HMAC of the body besides, with the text of the first secret as its key; NULL: '
    'none';
COMMENT ON COLUMN integ.endpoints.secrets IS
    'Names of the credentials that sign: whsec_… by HMAC-SHA256 (v1), whsk_… by Ed25519 (v1a). While one is '
    'rotated both its values sign';
COMMENT ON COLUMN integ.endpoints.ordered IS
    'Whether events of the same key are delivered one at a time, in the order in which they were published';
COMMENT ON COLUMN integ.endpoints.rate_limit IS 'So many requests in any rate_period; NULL: not limited';
COMMENT ON COLUMN integ.endpoints.rate_period IS 'The stretch of time that rate_limit counts in';
COMMENT ON COLUMN integ.endpoints.concurrency IS 'Requests at once';
COMMENT ON COLUMN integ.endpoints.timeout_ms IS 'Longest time of one request; NULL: integ.delivery_timeout';
COMMENT ON COLUMN integ.endpoints.retry_schedule IS
    'How long after each failed attempt the next is made; NULL: integ.delivery_schedule; empty: there is one attempt';
COMMENT ON COLUMN integ.endpoints.status IS
    'active; paused (events are kept until it is active again); disabled (no new ones are kept)';
COMMENT ON COLUMN integ.endpoints.status_reason IS 'Why it is not active';
COMMENT ON COLUMN integ.endpoints.status_changed_at IS 'When status changed';
COMMENT ON COLUMN integ.endpoints.failures IS
    'Attempts that have failed since one succeeded; brought up to date once a second';
COMMENT ON COLUMN integ.endpoints.failing_since IS 'When the first of them failed; NULL: the last attempt succeeded';
COMMENT ON COLUMN integ.endpoints.last_error IS 'What the last of them failed with, without secrets';
COMMENT ON COLUMN integ.endpoints.metadata IS 'Anything the application wants to keep with it';
COMMENT ON COLUMN integ.endpoints.created_by IS 'The role that made it';
COMMENT ON COLUMN integ.endpoints.created_at IS 'When it was made';
COMMENT ON COLUMN integ.endpoints.updated_at IS 'When it was last changed';

-- A claim updates no indexed column and finds room on the page: it stays heap-only.
CREATE TABLE integ.deliveries_open (
    id uuid NOT NULL,
    endpoint uuid NOT NULL,
    message uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    started_at timestamptz,
    lease bigint,
    share integer,
    instance uuid,
    attempt integer NOT NULL DEFAULT 0,
    interrupted integer NOT NULL DEFAULT 0,
    last_status integer,
    cancel_requested boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'queued',
    client_id text COLLATE "C" NOT NULL,
    event_client text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    ordering_key text COLLATE "C",
    last_error text,
    payload jsonb NOT NULL,
    PRIMARY KEY (id, endpoint),
    CONSTRAINT deliveries_open_state_check CHECK (state IN ('queued', 'sending')),
    CONSTRAINT deliveries_open_lease_check CHECK ((state = 'sending') = (lease IS NOT NULL)),
    CONSTRAINT deliveries_open_attempt_check CHECK (attempt >= 0 AND interrupted >= 0),
    CONSTRAINT deliveries_open_next_attempt_at_check CHECK (pg_catalog.isfinite(next_attempt_at)),
    CONSTRAINT deliveries_open_key_check CHECK (key <> '' AND pg_catalog.octet_length(key) <= 512)
) WITH (fillfactor = 50);
CREATE INDEX deliveries_open_due_idx ON integ.deliveries_open (next_attempt_at, id);
CREATE INDEX deliveries_open_endpoint_idx ON integ.deliveries_open (endpoint, next_attempt_at, id);
CREATE INDEX deliveries_open_ordering_idx ON integ.deliveries_open (endpoint, ordering_key, id)
    WHERE ordering_key IS NOT NULL;
-- As of integ.calls_open.
ALTER TABLE integ.deliveries_open ALTER COLUMN ordering_key SET (n_distinct = -1);
CREATE INDEX deliveries_open_message_idx ON integ.deliveries_open (message);
COMMENT ON TABLE integ.deliveries_open IS
    'Deliveries that have not ended. Made by integ_publish, one for each endpoint that gets the event; '
    'next_attempt_at may be updated here';
COMMENT ON COLUMN integ.deliveries_open.id IS 'The delivery; sorts by time';
COMMENT ON COLUMN integ.deliveries_open.endpoint IS 'Where it goes to';
COMMENT ON COLUMN integ.deliveries_open.message IS
    'The event, as integ_publish returned it; the receiver sees it as webhook-id';
COMMENT ON COLUMN integ.deliveries_open.created_at IS 'When the event was published; the receiver sees it as timestamp';
COMMENT ON COLUMN integ.deliveries_open.next_attempt_at IS 'When it is due next';
COMMENT ON COLUMN integ.deliveries_open.started_at IS 'When the last attempt began';
COMMENT ON COLUMN integ.deliveries_open.share IS 'Which dispatcher makes it: this number modulo integ.dispatchers; '
    'NULL: the one that all deliveries to the endpoint go to which have an order or a rate to keep';
COMMENT ON COLUMN integ.deliveries_open.lease IS
    'The dispatcher that sends it: one number a process, which holds a lock while it lives';
COMMENT ON COLUMN integ.deliveries_open.instance IS 'Instance that the event is about, or none';
COMMENT ON COLUMN integ.deliveries_open.attempt IS 'How often it was begun';
COMMENT ON COLUMN integ.deliveries_open.interrupted IS
    'How many of the attempts a dispatcher did not finish; they do not count in the schedule';
COMMENT ON COLUMN integ.deliveries_open.last_status IS 'HTTP status of the last attempt; NULL: there was no answer';
COMMENT ON COLUMN integ.deliveries_open.cancel_requested IS 'Cancelled while it was sent: it is not tried again';
COMMENT ON COLUMN integ.deliveries_open.state IS 'queued, sending';
COMMENT ON COLUMN integ.deliveries_open.client_id IS 'Client of the endpoint; ''*'' for global';
COMMENT ON COLUMN integ.deliveries_open.event_client IS 'Client whose event it is; ''*'' for global';
COMMENT ON COLUMN integ.deliveries_open.event_type IS 'Type of the event';
COMMENT ON COLUMN integ.deliveries_open.key IS 'What the event is about, as the publisher said';
COMMENT ON COLUMN integ.deliveries_open.ordering_key IS
    'The key, where the endpoint is ordered: deliveries with the same one are made in the order of id, one at a time';
COMMENT ON COLUMN integ.deliveries_open.last_error IS 'What the last attempt failed with, without secrets';
COMMENT ON COLUMN integ.deliveries_open.payload IS 'The event''s data';

CREATE TABLE integ.deliveries_done (
    id uuid NOT NULL,
    endpoint uuid NOT NULL,
    message uuid NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz NOT NULL,
    instance uuid,
    attempt integer NOT NULL,
    interrupted integer NOT NULL,
    last_status integer,
    state text NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    event_client text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    last_error text,
    payload jsonb NOT NULL,
    PRIMARY KEY (id, created_at),
    CONSTRAINT deliveries_done_state_check CHECK (state IN ('delivered', 'dead', 'cancelled'))
) PARTITION BY RANGE (created_at);
CREATE INDEX deliveries_done_endpoint_idx ON integ.deliveries_done (endpoint, created_at);
CREATE INDEX deliveries_done_message_idx ON integ.deliveries_done (message);
CREATE TABLE integ.deliveries_done_default PARTITION OF integ.deliveries_done DEFAULT;
COMMENT ON TABLE integ.deliveries_done_default IS
    'Deliveries of days that have no partition; emptied when theirs is made';
COMMENT ON TABLE integ.deliveries_done IS
    'Deliveries that have ended: history by the day of the event, kept for integ.log_retention days';
COMMENT ON COLUMN integ.deliveries_done.id IS 'The delivery';
COMMENT ON COLUMN integ.deliveries_done.endpoint IS 'Where it went to';
COMMENT ON COLUMN integ.deliveries_done.message IS 'The event, as integ_publish returned it';
COMMENT ON COLUMN integ.deliveries_done.created_at IS 'When the event was published';
COMMENT ON COLUMN integ.deliveries_done.started_at IS 'When the last attempt began; NULL: never';
COMMENT ON COLUMN integ.deliveries_done.finished_at IS 'When it ended';
COMMENT ON COLUMN integ.deliveries_done.instance IS 'Instance that the event is about, or none';
COMMENT ON COLUMN integ.deliveries_done.attempt IS 'How often it was begun';
COMMENT ON COLUMN integ.deliveries_done.interrupted IS 'How many of the attempts a dispatcher did not finish';
COMMENT ON COLUMN integ.deliveries_done.last_status IS 'HTTP status of the last attempt; NULL: there was no answer';
COMMENT ON COLUMN integ.deliveries_done.state IS
    'delivered; dead (all attempts have failed: integ_delivery_replay sends it again); cancelled';
COMMENT ON COLUMN integ.deliveries_done.client_id IS 'Client of the endpoint; ''*'' for global';
COMMENT ON COLUMN integ.deliveries_done.event_client IS 'Client whose event it is; ''*'' for global';
COMMENT ON COLUMN integ.deliveries_done.event_type IS 'Type of the event';
COMMENT ON COLUMN integ.deliveries_done.key IS 'What the event is about, as the publisher said';
COMMENT ON COLUMN integ.deliveries_done.last_error IS 'What the last attempt failed with; NULL: it did not';
COMMENT ON COLUMN integ.deliveries_done.payload IS 'The event''s data';

CREATE TABLE integ.delivery_attempts (
    delivery uuid NOT NULL,
    attempt integer NOT NULL,
    created_at timestamptz NOT NULL,
    endpoint uuid NOT NULL,
    message uuid NOT NULL,
    duration_us bigint,
    status integer,
    client_id text COLLATE "C" NOT NULL,
    sqlstate text,
    error text,
    response text,
    PRIMARY KEY (delivery, attempt, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX delivery_attempts_endpoint_idx ON integ.delivery_attempts (endpoint, created_at);
CREATE TABLE integ.delivery_attempts_default PARTITION OF integ.delivery_attempts DEFAULT;
COMMENT ON TABLE integ.delivery_attempts_default IS
    'Attempts of days that have no partition; emptied when theirs is made';
COMMENT ON TABLE integ.delivery_attempts IS 'Every attempt of a delivery, kept for integ.log_retention days';
COMMENT ON COLUMN integ.delivery_attempts.delivery IS 'The delivery';
COMMENT ON COLUMN integ.delivery_attempts.attempt IS 'Which attempt of it this was, from 1';
COMMENT ON COLUMN integ.delivery_attempts.created_at IS 'When it began';
COMMENT ON COLUMN integ.delivery_attempts.endpoint IS 'Where it went to';
COMMENT ON COLUMN integ.delivery_attempts.message IS 'The event';
COMMENT ON COLUMN integ.delivery_attempts.duration_us IS 'Duration of the request in microseconds; NULL: none was sent';
COMMENT ON COLUMN integ.delivery_attempts.status IS 'HTTP status; NULL where no answer came';
COMMENT ON COLUMN integ.delivery_attempts.client_id IS 'Client of the endpoint; ''*'' for global';
COMMENT ON COLUMN integ.delivery_attempts.sqlstate IS
    'Kind of the failure (IG504 …, docs/errors.md); NULL for success';
COMMENT ON COLUMN integ.delivery_attempts.error IS 'What went wrong, without secrets';
COMMENT ON COLUMN integ.delivery_attempts.response IS 'Beginning of the answer''s body, without secrets';

CREATE TABLE integ.message_keys (
    client_id text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    message uuid NOT NULL,
    request_hash bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, idempotency_key)
);
CREATE INDEX message_keys_expires_at_idx ON integ.message_keys (expires_at);
COMMENT ON TABLE integ.message_keys IS 'Idempotency keys of integ_publish, kept for integ.idempotency_retention';
COMMENT ON COLUMN integ.message_keys.client_id IS 'Client of the publisher';
COMMENT ON COLUMN integ.message_keys.idempotency_key IS 'The key';
COMMENT ON COLUMN integ.message_keys.message IS 'The event that was published with it';
COMMENT ON COLUMN integ.message_keys.request_hash IS
    'Hash of type and payload: the key for another event is a conflict';
COMMENT ON COLUMN integ.message_keys.expires_at IS 'When the key is forgotten';

CREATE VIEW integ.deliveries WITH (security_invoker = true) AS
SELECT id, state, endpoint, message, event_type, client_id, event_client, instance, key, payload, attempt, interrupted,
       last_status, last_error, created_at, next_attempt_at, started_at, NULL::timestamptz AS finished_at
FROM integ.deliveries_open
UNION ALL
SELECT id, state, endpoint, message, event_type, client_id, event_client, instance, key, payload, attempt, interrupted,
       last_status, last_error, created_at, NULL, started_at, finished_at
FROM integ.deliveries_done;
COMMENT ON VIEW integ.deliveries IS
    'Every delivery, open and ended; its columns are those of integ.deliveries_open and integ.deliveries_done';

DO $$
DECLARE
    column_name text;
BEGIN
    FOR column_name IN
        SELECT a.attname FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = 'integ.deliveries'::pg_catalog.regclass AND a.attnum > 0
    LOOP
        EXECUTE pg_catalog.format('COMMENT ON COLUMN integ.deliveries.%I IS %L', column_name, (
            SELECT pg_catalog.col_description(a.attrelid, a.attnum) FROM pg_catalog.pg_attribute a
            WHERE a.attname = column_name
              AND a.attrelid IN ('integ.deliveries_open'::pg_catalog.regclass,
                                 'integ.deliveries_done'::pg_catalog.regclass)
            ORDER BY a.attrelid = 'integ.deliveries_open'::pg_catalog.regclass DESC LIMIT 1));
    END LOOP;
END
$$;

-- --- who sees and writes what: an endpoint's URL and headers may say things that are for administrators only ---

ALTER TABLE integ.endpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.deliveries_open ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.deliveries_done ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.deliveries_done_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.delivery_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.delivery_attempts_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.message_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY endpoints_own ON integ.endpoints
    USING ((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin')
    WITH CHECK (((SELECT integ_current_level()) = 'superadmin'
        OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin')
        AND (instance IS NULL OR EXISTS (SELECT FROM integ.instances i WHERE i.id = endpoints.instance)));
CREATE POLICY deliveries_open_own ON integ.deliveries_open USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');
CREATE POLICY deliveries_done_read ON integ.deliveries_done FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');
CREATE POLICY delivery_attempts_read ON integ.delivery_attempts FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');
CREATE POLICY message_keys_read ON integ.message_keys FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin');
GRANT SELECT, DELETE ON integ.endpoints TO integ_admin;
GRANT INSERT (id, endpoint_id, name, description, client_id, instance, url, event_types, filter, headers,
        payload_template, standard_signature, signature_header, secrets, ordered, rate_limit, rate_period,
        concurrency, timeout_ms, retry_schedule, status, status_reason, metadata),
    UPDATE (endpoint_id, name, description, instance, url, event_types, filter, headers,
        payload_template, standard_signature, signature_header, secrets, ordered, rate_limit, rate_period,
        concurrency, timeout_ms, retry_schedule, status, status_reason, metadata)
    ON integ.endpoints TO integ_admin;
GRANT SELECT ON integ.deliveries_open, integ.deliveries_done, integ.deliveries, integ.delivery_attempts,
    integ.message_keys TO integ_admin;
GRANT UPDATE (next_attempt_at) ON integ.deliveries_open TO integ_admin;

CREATE FUNCTION integ.tg_endpoint_check() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_endpoint_check';
COMMENT ON FUNCTION integ.tg_endpoint_check() IS 'Checks an endpoint as a row, and keeps the time of its status';
CREATE TRIGGER endpoints_check BEFORE INSERT OR UPDATE ON integ.endpoints
    FOR EACH ROW EXECUTE FUNCTION integ.tg_endpoint_check();

CREATE TRIGGER endpoints_plan AFTER INSERT ON integ.endpoints
    FOR EACH ROW EXECUTE FUNCTION integ.tg_plan_count('endpoints');

CREATE FUNCTION integ.tg_endpoint_gone() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_endpoint_gone';
COMMENT ON FUNCTION integ.tg_endpoint_gone() IS
    'Cancels what was to go to an endpoint that is deleted, and deletes its secrets';
CREATE TRIGGER endpoints_gone AFTER DELETE ON integ.endpoints
    FOR EACH ROW EXECUTE FUNCTION integ.tg_endpoint_gone();

-- Not where only failures are counted, which is often.
CREATE TRIGGER endpoints_invalidate AFTER INSERT OR DELETE OR TRUNCATE ON integ.endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.endpoints ENABLE ALWAYS TRIGGER endpoints_invalidate;
CREATE TRIGGER endpoints_invalidate_update AFTER UPDATE OF id, endpoint_id, client_id, instance, url, event_types,
    filter, headers, payload_template, standard_signature, signature_header, secrets, ordered, rate_limit, rate_period,
    concurrency, timeout_ms, retry_schedule, status ON integ.endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.endpoints ENABLE ALWAYS TRIGGER endpoints_invalidate_update;

CREATE FUNCTION integ.tg_deliveries_wake() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_deliveries_wake';
COMMENT ON FUNCTION integ.tg_deliveries_wake() IS 'Wakes the dispatchers when the transaction commits';
CREATE TRIGGER deliveries_open_wake AFTER INSERT OR UPDATE ON integ.deliveries_open
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_deliveries_wake();
ALTER TABLE integ.deliveries_open ENABLE ALWAYS TRIGGER deliveries_open_wake;
CREATE TRIGGER deliveries_open_applied AFTER INSERT ON integ.deliveries_open
    FOR EACH ROW EXECUTE FUNCTION integ.tg_deliveries_wake();
ALTER TABLE integ.deliveries_open ENABLE REPLICA TRIGGER deliveries_open_applied;
CREATE TRIGGER endpoints_wake AFTER UPDATE OF status, rate_limit, rate_period, concurrency, ordered ON integ.endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_deliveries_wake();
ALTER TABLE integ.endpoints ENABLE ALWAYS TRIGGER endpoints_wake;

-- --- what people call ---

CREATE FUNCTION integ_endpoint_add(url text, event_types text[] DEFAULT '{}', options jsonb DEFAULT '{}',
    OUT endpoint uuid, OUT secret text, OUT public_key text)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'integ_endpoint_add';
COMMENT ON FUNCTION integ_endpoint_add(text, text[], jsonb) IS
    'Adds an endpoint and makes its secret, which is shown here and nowhere else; options: endpoint_id, name, '
    'description, client, instance, filter, headers, payload_template, signature (hmac, ed25519 or none), '
    'signature_header, secret, ordered, rate_limit, rate_period, concurrency, timeout, retry_schedule, metadata';

CREATE FUNCTION integ_endpoint_public_keys(endpoint text) RETURNS SETOF text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'integ_endpoint_public_keys';
COMMENT ON FUNCTION integ_endpoint_public_keys(text) IS
    'The public keys (whpk_…) of an endpoint''s Ed25519 secrets: what its receiver checks signatures with';

CREATE FUNCTION integ_publish(event_type text, payload jsonb, options jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 AS 'MODULE_PATHNAME', 'integ_publish';
COMMENT ON FUNCTION integ_publish(text, jsonb, jsonb) IS
    'Publishes an event to every endpoint that wants it, once this transaction has committed, and returns its id '
    '(webhook-id); options: key, endpoints, client, instance, id, idempotency_key, created_at, deliver_at';

GRANT EXECUTE ON FUNCTION integ_publish(text, jsonb, jsonb) TO integ_user, integ_impersonate;
GRANT EXECUTE ON FUNCTION integ_endpoint_add(text, text[], jsonb), integ_endpoint_public_keys(text) TO integ_admin;

SELECT pg_catalog.pg_extension_config_dump('integ.endpoints', '');
SELECT pg_catalog.pg_extension_config_dump('integ.deliveries_open', '');
SELECT pg_catalog.pg_extension_config_dump('integ.message_keys', '');

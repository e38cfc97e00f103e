-- Approvals: writes that a person decides about before they are sent.

CREATE TABLE integ.approvals (
    id uuid NOT NULL DEFAULT integ.uuid_generate(),
    instance uuid NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    requested_by regrole NOT NULL,
    instance_id text COLLATE "C" NOT NULL,
    definition_id text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    input jsonb NOT NULL,
    request jsonb NOT NULL,
    request_hash text COLLATE "C" NOT NULL,
    call_id uuid NOT NULL,
    is_enqueued boolean NOT NULL,
    is_raw boolean NOT NULL DEFAULT false,
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    expires_at timestamptz NOT NULL,
    decided_by text,
    decided_at timestamptz,
    note text,
    PRIMARY KEY (id, instance),
    CONSTRAINT approvals_state_check CHECK (state IN ('pending', 'approved', 'rejected', 'expired')),
    CONSTRAINT approvals_decided_check CHECK ((state = 'pending') = (decided_at IS NULL)),
    CONSTRAINT approvals_input_check CHECK (pg_catalog.jsonb_typeof(input) = 'object'),
    CONSTRAINT approvals_request_check CHECK (pg_catalog.jsonb_typeof(request) = 'object')
);
CREATE INDEX approvals_pending_idx ON integ.approvals (expires_at) WHERE state = 'pending';
CREATE INDEX approvals_instance_idx ON integ.approvals (instance, method) WHERE state = 'pending';
CREATE INDEX approvals_decided_idx ON integ.approvals (decided_at) WHERE state <> 'pending';
CREATE INDEX approvals_client_idx ON integ.approvals (client_id, requested_at);
CREATE UNIQUE INDEX approvals_call_key ON integ.approvals (call_id, instance) WHERE state IN ('pending', 'approved');
COMMENT ON TABLE integ.approvals IS
    'Writes that need a decision (approvalRequired; a raw request by a user): what would be sent, and what was decided. Decided by integ_approve and integ_reject';
COMMENT ON COLUMN integ.approvals.id IS 'The approval; sorts by time';
COMMENT ON COLUMN integ.approvals.instance IS 'Key of the instance that is called';
COMMENT ON COLUMN integ.approvals.client_id IS 'Client on whose behalf it is called; ''*'' for global';
COMMENT ON COLUMN integ.approvals.user_id IS 'User within the client, or none';
COMMENT ON COLUMN integ.approvals.requested_by IS 'The role that called, with whose rights the call runs';
COMMENT ON COLUMN integ.approvals.instance_id IS 'Handle of the instance';
COMMENT ON COLUMN integ.approvals.definition_id IS 'Definition of the instance';
COMMENT ON COLUMN integ.approvals.method IS 'Method of the definition, or integ_request';
COMMENT ON COLUMN integ.approvals.state IS 'pending, approved, rejected, expired';
COMMENT ON COLUMN integ.approvals.input IS 'Input of the method: defaults filled in, and as its handler left it';
COMMENT ON COLUMN integ.approvals.request IS
    'What is sent: method, url, headers, body; of a method of several requests a list of them, "requests". Without what authenticates it; other credentials, and what earlier answers bring, stand there by their names';
COMMENT ON COLUMN integ.approvals.request_hash IS 'SHA-256 of it: a call whose request is another by then does not leave';
COMMENT ON COLUMN integ.approvals.call_id IS 'The call that runs once it is approved (integ.calls, integ_await)';
COMMENT ON COLUMN integ.approvals.is_enqueued IS 'Whether the call waits already (integ_enqueue), or is enqueued when it is approved';
COMMENT ON COLUMN integ.approvals.is_raw IS 'Whether it is a request of integ_request; its input is what that was called with';
COMMENT ON COLUMN integ.approvals.requested_at IS 'When it was asked for';
COMMENT ON COLUMN integ.approvals.expires_at IS 'Without a decision until then it expires';
COMMENT ON COLUMN integ.approvals.decided_by IS 'The user or role that decided; NULL: nobody';
COMMENT ON COLUMN integ.approvals.decided_at IS 'When it was decided, or expired';
COMMENT ON COLUMN integ.approvals.note IS 'What whoever decided said about it';
SELECT pg_catalog.pg_extension_config_dump('integ.approvals', '');

-- A user sees its own, an administrator those of its client.
ALTER TABLE integ.approvals ENABLE ROW LEVEL SECURITY;
CREATE POLICY approvals_read ON integ.approvals FOR SELECT USING (
    (SELECT integ_current_level()) = 'superadmin'
    OR client_id = (SELECT integ_current_client())
       AND ((SELECT integ_current_level()) = 'admin' OR user_id IS NOT DISTINCT FROM (SELECT integ_current_user_id())));
GRANT SELECT ON integ.approvals TO integ_user;

-- Called in the enqueueing transaction, or by a worker that is integ_owner: then what is
-- asked for stays, although the caller's statement fails.
CREATE FUNCTION integ.approval_store(asked jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    approval integ.approvals := jsonb_populate_record(NULL::integ.approvals, asked - 'requested_by');
    pending integ.approvals;
BEGIN
    approval.requested_by := (asked ->> 'requested_by')::oid;
    IF NOT EXISTS (SELECT FROM integ.instances WHERE id = approval.instance) THEN
        RAISE EXCEPTION 'the instance "%" is not committed yet', approval.instance_id
            USING ERRCODE = 'IG409', HINT = 'COMMIT integ_connect first, then call.';
    END IF;
    -- The same statement again asks for nothing new.
    IF NOT approval.is_enqueued THEN
        SELECT * INTO pending FROM integ.approvals a
        WHERE a.instance = approval.instance AND a.method = approval.method AND a.state = 'pending' AND NOT a.is_enqueued
          AND a.requested_by = approval.requested_by AND a.client_id = approval.client_id
          AND a.user_id IS NOT DISTINCT FROM approval.user_id AND a.input = approval.input
          AND a.expires_at > clock_timestamp()
        ORDER BY a.id LIMIT 1;
        IF FOUND THEN
            RETURN jsonb_build_object('id', pending.id, 'call', pending.call_id);
        END IF;
    END IF;
    INSERT INTO integ.approvals (instance, client_id, user_id, requested_by, instance_id, definition_id, method, input,
                                 request, request_hash, call_id, is_enqueued, is_raw, expires_at)
    VALUES (approval.instance, approval.client_id, approval.user_id, approval.requested_by, approval.instance_id,
            approval.definition_id, approval.method, approval.input, approval.request, approval.request_hash,
            approval.call_id, approval.is_enqueued, approval.is_raw, approval.expires_at)
    RETURNING id INTO approval.id;
    INSERT INTO integ.notifications (recipient, client_id, kind, text, hint)
    VALUES (NULL, approval.client_id, 'approval.requested',
            format('%s.%s, called by %s, needs an approval', approval.instance_id, approval.method,
                   coalesce(approval.user_id, approval.requested_by::text)),
            format('Its row %s of integ.approvals has what would be sent; integ_approve and integ_reject decide.', approval.id));
    INSERT INTO integ.events (kind, client_id, instance, payload)
    VALUES ('approval.requested', approval.client_id, approval.instance,
            jsonb_build_object('approval', approval.id, 'call', approval.call_id, 'method', approval.method));
    RETURN jsonb_build_object('id', approval.id, 'call', approval.call_id);
END
$$;
COMMENT ON FUNCTION integ.approval_store(jsonb) IS 'Stores a pending approval and tells who may decide';

CREATE FUNCTION integ_approve(approval uuid, note text DEFAULT NULL) RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 AS 'MODULE_PATHNAME', 'integ_approve';
COMMENT ON FUNCTION integ_approve(uuid, text) IS
    'Has the call of a pending approval made once this transaction has committed, and returns the call';

CREATE FUNCTION integ_reject(approval uuid, reason text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 AS 'MODULE_PATHNAME', 'integ_reject';
COMMENT ON FUNCTION integ_reject(uuid, text) IS 'Ends a pending approval: its call is not made';

GRANT EXECUTE ON FUNCTION integ_approve(uuid, text), integ_reject(uuid, text) TO integ_admin;

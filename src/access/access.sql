-- Who acts: plans, clients, members, and the functions that say who is calling.

CREATE TABLE integ.plans (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    rank integer NOT NULL DEFAULT 0,
    limits jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT plans_id_check CHECK (id <> ''),
    CONSTRAINT plans_limits_check CHECK (pg_catalog.jsonb_typeof(limits) = 'object'),
    CONSTRAINT plans_endpoints_check CHECK (limits ->> 'endpoints' ~ '^(true|false|[0-9]{1,9})$'),
    CONSTRAINT plans_webhooks_check CHECK (limits ->> 'webhooks' ~ '^(true|false|[0-9]{1,9})$')
);
COMMENT ON TABLE integ.plans IS 'Plans that clients are on; a definition may require one';
COMMENT ON COLUMN integ.plans.id IS 'Name by which clients and manifests (requiredPlan) refer to the plan';
COMMENT ON COLUMN integ.plans.name IS 'Name for display';
COMMENT ON COLUMN integ.plans.rank IS 'A plan includes what plans of a lower rank allow';
COMMENT ON COLUMN integ.plans.limits IS
    'Limits of the plan, by name: rateLimit, audit; webhooks and endpoints (false, or how many a client may have)';
COMMENT ON COLUMN integ.plans.created_at IS 'When the plan was made';

CREATE TABLE integ.clients (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    plan text COLLATE "C" REFERENCES integ.plans (id),
    is_active boolean NOT NULL DEFAULT true,
    allows_user_instances boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT clients_id_check CHECK (id <> '' AND id <> '*' AND pg_catalog.length(id) <= 255 AND id !~ '[[:cntrl:]]')
);
COMMENT ON TABLE integ.clients IS 'Clients (tenants, workspaces) that own connections';
COMMENT ON COLUMN integ.clients.id IS
    'The client_id of every row that belongs to the client; ''*'' means global and is nobody''s';
COMMENT ON COLUMN integ.clients.name IS 'Name for display';
COMMENT ON COLUMN integ.clients.plan IS 'The plan the client is on, or none';
COMMENT ON COLUMN integ.clients.is_active IS 'False: nobody may act for the client';
COMMENT ON COLUMN integ.clients.allows_user_instances IS
    'Whether its users may connect public definitions for themselves';
COMMENT ON COLUMN integ.clients.created_at IS 'When the client was made';

CREATE TABLE integ.members (
    role regrole PRIMARY KEY,
    client_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    level text NOT NULL DEFAULT 'user',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT members_level_check CHECK (level IN ('user', 'admin', 'superadmin')),
    CONSTRAINT members_user_id_check CHECK (user_id <> '' AND user_id !~ '[[:cntrl:]]'),
    CONSTRAINT members_global_check CHECK (client_id <> '*' OR level = 'superadmin')
);
COMMENT ON TABLE integ.members IS 'Which client and user a database role stands for';
COMMENT ON COLUMN integ.members.role IS 'The database role';
COMMENT ON COLUMN integ.members.client_id IS 'Its client, or ''*'' for a superadmin of everything';
COMMENT ON COLUMN integ.members.user_id IS 'Its user within the client, or none';
COMMENT ON COLUMN integ.members.level IS 'user: calls; admin: manages the client; superadmin: manages everything';
COMMENT ON COLUMN integ.members.created_at IS 'When the row was made';

CREATE FUNCTION integ_current_client() RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'integ_current_client';
COMMENT ON FUNCTION integ_current_client() IS
    'The client of the calling role: from integ_act_as in this transaction, else integ.members; ''*'' for global, '
    'NULL for nobody';

CREATE FUNCTION integ_current_user_id() RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'integ_current_user_id';
COMMENT ON FUNCTION integ_current_user_id() IS 'The user within the client that the calling role stands for, or NULL';

CREATE FUNCTION integ_current_level() RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'integ_current_level';
COMMENT ON FUNCTION integ_current_level() IS 'user, admin or superadmin; NULL for nobody';

CREATE FUNCTION integ_act_as(client text, user_id text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT AS 'MODULE_PATHNAME', 'integ_act_as';
COMMENT ON FUNCTION integ_act_as(text, text) IS
    'Acts for a client and user until the end of the transaction; for roles granted integ_impersonate';

GRANT EXECUTE ON FUNCTION integ_current_client(), integ_current_user_id(), integ_current_level()
    TO integ_user, integ_impersonate, integ_ingress;
GRANT EXECUTE ON FUNCTION integ_act_as(text, text) TO integ_impersonate;

ALTER TABLE integ.plans ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE integ.members ENABLE ROW LEVEL SECURITY;
CREATE POLICY plans_read ON integ.plans FOR SELECT USING (true);
CREATE POLICY plans_write ON integ.plans USING ((SELECT integ_current_level()) = 'superadmin');
CREATE POLICY clients_read ON integ.clients FOR SELECT USING (id = (SELECT integ_current_client()));
CREATE POLICY clients_write ON integ.clients USING ((SELECT integ_current_level()) = 'superadmin');
CREATE POLICY members_read ON integ.members FOR SELECT
    USING (client_id = (SELECT integ_current_client()) AND (SELECT integ_current_level()) = 'admin'
           OR role::oid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user));
CREATE POLICY members_write ON integ.members USING ((SELECT integ_current_level()) = 'superadmin');
GRANT SELECT ON integ.plans, integ.clients, integ.members TO integ_user;
GRANT INSERT, UPDATE, DELETE ON integ.plans, integ.clients, integ.members TO integ_superadmin;

CREATE TRIGGER members_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.members
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.members ENABLE ALWAYS TRIGGER members_invalidate;
CREATE TRIGGER clients_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.clients
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.clients ENABLE ALWAYS TRIGGER clients_invalidate;
CREATE TRIGGER plans_invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON integ.plans
    FOR EACH STATEMENT EXECUTE FUNCTION integ.tg_invalidate();
ALTER TABLE integ.plans ENABLE ALWAYS TRIGGER plans_invalidate;

CREATE FUNCTION integ.tg_plan_count() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_plan_count';
COMMENT ON FUNCTION integ.tg_plan_count() IS
    'Refuses what the plan of the row''s client has no room for; its argument is the key in the plan''s limits';

SELECT pg_catalog.pg_extension_config_dump('integ.plans', '');
SELECT pg_catalog.pg_extension_config_dump('integ.clients', '');
SELECT pg_catalog.pg_extension_config_dump('integ.members', '');

-- Roles of integ, and the checks that come before anything is created.
-- Roles are shared by all databases of a cluster: made if missing, never dropped.

DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'integ needs a database with the encoding UTF8'
            USING ERRCODE = 'IG500',
                  DETAIL = pg_catalog.format('This database has %s.', pg_catalog.getdatabaseencoding()),
                  HINT = 'Create the database with ENCODING ''UTF8''.';
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_namespace n,
                      LATERAL pg_catalog.aclexplode(n.nspacl) AS acl
               WHERE n.nspname = '@extschema@' AND acl.grantee = 0 AND acl.privilege_type = 'CREATE') THEN
        RAISE EXCEPTION 'everybody may create objects in the schema "@extschema@"'
            USING ERRCODE = 'IG403',
                  DETAIL = 'A function created there could capture calls that are meant for integ.',
                  HINT = 'REVOKE CREATE ON SCHEMA @extschema@ FROM PUBLIC, or name another schema: CREATE EXTENSION integ SCHEMA …';
    END IF;
END
$$;

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('integ_user', 'calls methods and reads what its client owns'),
            ('integ_admin', 'manages the connections of a client'),
            ('integ_superadmin', 'manages integ for all clients'),
            ('integ_impersonate', 'may call integ_act_as')) AS r (name, purpose)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.name) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted.name);
            EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', wanted.name, 'integ: ' || wanted.purpose);
        END IF;
    END LOOP;
    -- LOGIN without a password and CONNECTION LIMIT 0: a background worker is
    -- admitted, a session is not. PostgreSQL 15 and 16 refuse NOLOGIN to both.
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'integ_owner') THEN
        CREATE ROLE integ_owner LOGIN CONNECTION LIMIT 0 PASSWORD NULL;
        COMMENT ON ROLE integ_owner IS 'integ: owns every object of the extension; its workers connect as it';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'integ_ingress') THEN
        CREATE ROLE integ_ingress LOGIN CONNECTION LIMIT 0 PASSWORD NULL;
        COMMENT ON ROLE integ_ingress IS 'integ: the listener connects as it';
    END IF;
END
$$;

GRANT integ_user TO integ_admin;
GRANT integ_admin TO integ_superadmin;

CREATE SCHEMA integ;
COMMENT ON SCHEMA integ IS 'State and history of integrations: everything is a table';
GRANT USAGE ON SCHEMA integ TO integ_user, integ_impersonate, integ_ingress;

CREATE FUNCTION integ.uuid_generate() RETURNS uuid
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'integ_uuid_generate';
COMMENT ON FUNCTION integ.uuid_generate() IS 'A UUID of version 7: ids that sort by time';
GRANT EXECUTE ON FUNCTION integ.uuid_generate() TO integ_user;

CREATE FUNCTION integ.tg_invalidate() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'integ_tg_invalidate';
COMMENT ON FUNCTION integ.tg_invalidate() IS 'Tells every backend to forget what it cached of the table';

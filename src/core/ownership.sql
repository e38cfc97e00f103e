-- Last part of the install script: every object belongs to integ_owner, and
-- PUBLIC may do nothing. C functions can only be created by a superuser, so
-- ownership is given away here instead of creating as integ_owner.

DO $$
DECLARE
    member record;
BEGIN
    FOR member IN
        SELECT c.oid, c.relkind, c.oid::pg_catalog.regclass AS name
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
        JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
        WHERE e.extname = 'integ' AND d.deptype = 'e' AND c.relkind IN ('r', 'p', 'v', 'S')
          -- an identity or serial sequence follows its table
          AND NOT (c.relkind = 'S' AND EXISTS (
                          SELECT FROM pg_catalog.pg_depend o
                          WHERE o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.objid = c.oid
                            AND o.deptype IN ('a', 'i')))
    LOOP
        EXECUTE pg_catalog.format('ALTER %s %s OWNER TO integ_owner',
            CASE member.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, member.name);
    END LOOP;
    FOR member IN
        SELECT p.oid::pg_catalog.regprocedure AS name
        FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
        JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
        WHERE e.extname = 'integ' AND d.deptype = 'e'
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', member.name);
        EXECUTE pg_catalog.format('ALTER FUNCTION %s OWNER TO integ_owner', member.name);
    END LOOP;
    ALTER SCHEMA integ OWNER TO integ_owner;
END
$$;

-- The first days of history exist from the start: a row that goes to a default
-- partition while the day's own is attached would be refused.
SELECT integ.partitions_maintain();

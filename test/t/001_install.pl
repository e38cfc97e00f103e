# CREATE EXTENSION: where it works, where it refuses, what it leaves behind,
# and what may be said of every object in it.

use strict;
use warnings;

use Integ::Cluster;
use Test::More;

my $node = Integ::Cluster->create('main', extension => 0);

# Objects of the extension: oid, catalog.
my $members = <<'SQL';
	SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
	WHERE d.refclassid = 'pg_extension'::regclass AND e.extname = 'integ' AND d.deptype = 'e'
SQL

sub database
{
	my ($name, $options) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0 " . ($options // ''));
	return $name;
}

# A query that lists offenders must list none.
sub none_of
{
	my ($db, $what, $sql) = @_;
	is($node->safe_psql($db, $sql), '', $what);
}

sub refused
{
	my ($db, $sql, $state, $hint, $what) = @_;
	my ($got, $report) = $node->sql_error($sql, dbname => $db);

	is($got, $state, "$what: $state");
	like($report, qr/DETAIL: /, "$what: detail");
	like($report, $hint, "$what: hint");
	is($node->safe_psql($db, q(SELECT count(*) FROM pg_namespace WHERE nspname = 'integ')),
		0, "$what: nothing is left");
}

# --- where it refuses ---

my $open = database('open_schema');
$node->safe_psql($open, 'CREATE SCHEMA shared; GRANT CREATE ON SCHEMA shared TO PUBLIC');
refused($open, 'CREATE EXTENSION integ SCHEMA shared',
	'IG403', qr/HINT: .*REVOKE CREATE ON SCHEMA/, 'a schema where PUBLIC may create');
$node->safe_psql($open, 'REVOKE CREATE ON SCHEMA shared FROM PUBLIC; CREATE EXTENSION integ SCHEMA shared');
pass('the same schema once PUBLIC may not');

my $ascii = database('ascii', q(ENCODING 'SQL_ASCII' LOCALE 'C'));
refused($ascii, 'CREATE EXTENSION integ', 'IG500', qr/HINT: .*UTF8/, 'a database that is not UTF8');

# --- where it works ---

my $other = database('other_schema');
$node->safe_psql($other, 'CREATE SCHEMA "My Integ"; CREATE EXTENSION integ SCHEMA "My Integ"');
is($node->safe_psql($other, 'SELECT "My Integ".integ_current_level()'),
	'superadmin', 'functions live in the schema that was named');
none_of($other, 'no function strays into public', <<"SQL");
	SELECT p.oid::regprocedure FROM pg_proc p JOIN ($members) m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
	WHERE p.pronamespace = 'public'::regnamespace
SQL

my $db = database('default_schema');
$node->safe_psql($db, 'CREATE EXTENSION integ');
is($node->safe_psql($db, 'SELECT integ_current_level()'), 'superadmin', 'a superuser acts as superadmin');
is($node->safe_psql($db, 'SELECT integ_current_client()'), '*', 'for all clients');
none_of($db, 'functions are integ_… and live in the target schema, or in integ', <<"SQL");
	SELECT p.oid::regprocedure FROM pg_proc p JOIN ($members) m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
	WHERE NOT (p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'integ\\_%'
	           OR p.pronamespace = 'integ'::regnamespace)
SQL

# --- what holds for every object ---

my $relations = <<"SQL";
	SELECT c.* FROM pg_class c WHERE c.relnamespace = 'integ'::regnamespace
SQL

none_of($db, 'every table and view has a comment', <<"SQL");
	SELECT oid::regclass FROM ($relations) c
	WHERE relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition AND obj_description(oid, 'pg_class') IS NULL
SQL
none_of($db, 'every column has a comment', <<"SQL");
	SELECT c.oid::regclass, a.attname FROM ($relations) c JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
	  AND col_description(c.oid, a.attnum) IS NULL
SQL
none_of($db, 'every function has a comment', <<"SQL");
	SELECT p.oid::regprocedure FROM pg_proc p JOIN ($members) m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
	WHERE obj_description(p.oid, 'pg_proc') IS NULL
SQL
none_of($db, 'PUBLIC may call nothing', <<"SQL");
	SELECT p.oid::regprocedure FROM pg_proc p JOIN ($members) m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass,
	       aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
	WHERE a.grantee = 0
SQL
none_of($db, 'PUBLIC may read or write nothing', <<"SQL");
	SELECT c.oid::regclass, a.privilege_type FROM ($relations) c,
	       aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
	WHERE a.grantee = 0
	UNION ALL
	SELECT a.attrelid::regclass, x.privilege_type FROM ($relations) c JOIN pg_attribute a ON a.attrelid = c.oid,
	       aclexplode(a.attacl) x WHERE x.grantee = 0
SQL
none_of($db, 'PUBLIC may not enter the schema', <<'SQL');
	SELECT a.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'integ' AND a.grantee = 0
SQL
none_of($db, 'every table has row-level security', <<"SQL");
	SELECT oid::regclass FROM ($relations) c WHERE relkind IN ('r', 'p') AND NOT relrowsecurity
	  AND NOT (relispartition AND relacl IS NULL)
SQL
none_of($db, 'partitions have no grants but the owner\'s', <<"SQL");
	SELECT c.oid::regclass, a.grantee::regrole FROM ($relations) c, aclexplode(c.relacl) a
	WHERE c.relispartition AND a.grantee <> c.relowner
SQL
none_of($db, 'views run with the rights of who asks', <<"SQL");
	SELECT oid::regclass FROM ($relations) c
	WHERE relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (reloptions) OR 'security_invoker=on' = ANY (reloptions), false)
SQL
none_of($db, 'integ_owner owns every table, view and sequence', <<"SQL");
	SELECT oid::regclass FROM ($relations) c WHERE relowner <> 'integ_owner'::regrole
SQL
none_of($db, 'integ_owner owns every function', <<"SQL");
	SELECT p.oid::regprocedure FROM pg_proc p JOIN ($members) m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
	WHERE p.proowner <> 'integ_owner'::regrole
SQL
none_of($db, 'functions are SECURITY INVOKER', <<"SQL");
	SELECT p.oid::regprocedure FROM pg_proc p JOIN ($members) m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
	WHERE p.prosecdef
SQL
is($node->safe_psql($db, q(SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'integ')),
	'integ_owner', 'integ_owner owns the schema');
is($node->safe_psql($db, q(SELECT rolsuper, rolcanlogin, rolconnlimit, rolbypassrls FROM pg_roles WHERE rolname = 'integ_owner')),
	'f|t|0|f', 'integ_owner is no superuser and admits no session');
none_of($db, 'every table that is no history is dumped', <<"SQL");
	SELECT c.oid::regclass FROM ($relations) c
	WHERE c.relkind = 'r' AND NOT c.relispartition AND c.oid <> ALL (
		SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'integ')
	  AND obj_description(c.oid, 'pg_class') !~* 'not dumped'
SQL
none_of($db, 'text keys are COLLATE "C"', <<"SQL");
	SELECT c.oid::regclass, a.attname FROM ($relations) c
	JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
	JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
	JOIN pg_collation l ON l.oid = a.attcollation
	WHERE c.relkind IN ('r', 'p') AND l.collname <> 'C'
SQL
none_of($db, 'statuses are text, and no enum type exists', <<'SQL');
	SELECT typname FROM pg_type WHERE typnamespace = 'integ'::regnamespace AND typtype = 'e'
SQL
none_of($db, 'times are timestamptz', <<"SQL");
	SELECT c.oid::regclass, a.attname FROM ($relations) c JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE a.atttypid = 'timestamp'::regtype
SQL

# A role that nobody gave anything to.
$node->safe_psql($db, 'CREATE ROLE stranger LOGIN');
for my $sql ('SELECT integ_current_level()', 'SELECT * FROM integ.clients')
{
	my ($state) = $node->sql_error("SET ROLE stranger; $sql", dbname => $db);
	is($state, '42501', "a stranger may not: $sql");
}

# --- what it leaves behind ---

$node->safe_psql($db, 'DROP EXTENSION integ');
none_of($db, 'DROP EXTENSION leaves no schema', q(SELECT 1 FROM pg_namespace WHERE nspname = 'integ'));
none_of($db, 'and no function', q(SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE 'integ\_%'));
none_of($db, 'and no comment, dependency or privilege of what is gone', <<'SQL');
	SELECT d.objoid FROM pg_description d WHERE d.classoid = 'pg_class'::regclass
	  AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objoid)
SQL
$node->safe_psql($db, 'CREATE EXTENSION integ; DROP EXTENSION integ; CREATE EXTENSION integ');
is($node->safe_psql($db, 'SELECT integ_current_level()'), 'superadmin', 'it can be created again');
$node->stop;

# --- without preload ---

my $bare = Integ::Cluster->create('bare', preload => 0);
is($bare->safe_psql('postgres', 'SELECT integ_current_level()'), 'superadmin', 'not preloaded: the catalog works');
$bare->safe_psql('postgres', q(INSERT INTO integ.clients (id, name) VALUES ('acme', 'Acme')));
is($bare->safe_psql('postgres', q(BEGIN; SELECT integ_act_as('acme'); SELECT integ_current_client(); COMMIT)),
	"\nacme", 'not preloaded: acting for a client works');
is($bare->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'integ%')),
	0, 'not preloaded: no worker runs');

done_testing();

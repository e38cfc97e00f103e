# Where secrets are found: sealed ones nowhere, plain ones nowhere but where
# docs/vault.md says. Every log setting is at its loudest.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Find;
use Integ::Cluster;
use Integ::Test qw(slurp spew wait_until);
use Integ::VaultProbe;
use IPC::Run;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my @loud = (
	q(logging_collector = on),
	q(log_directory = 'log'),
	q(log_rotation_size = 0),
	q(log_destination = 'stderr,csvlog,jsonlog'),
	q(log_error_verbosity = verbose),
	q(log_min_messages = debug5),
	q(log_min_error_statement = debug5),
	q(log_statement = all),
	q(log_duration = on),
	q(log_min_duration_statement = 0),
	q(log_parameter_max_length = -1),
	q(log_parameter_max_length_on_error = -1),
	q(debug_print_parse = on),
	q(debug_print_rewritten = on),
	q(debug_print_plan = on),
	q(debug_pretty_print = on),
	q(log_parser_stats = on),
	q(log_planner_stats = on),
	q(log_executor_stats = on),
	q(log_lock_waits = on),
	q(log_replication_commands = on),
	q(log_line_prefix = '%m %p %a %u %d %i %e %s %x %Q '),
	q(track_activities = on),
	q(track_activity_query_size = 100kB),
	q(track_functions = all),
	q(compute_query_id = on),
	q(wal_level = logical),
	q(full_page_writes = on),
	q(pg_stat_statements.track = all),
	q(pg_stat_statements.track_utility = on),
	q(pg_stat_statements.save = on),
	q(auto_explain.log_min_duration = 0),
	q(auto_explain.log_analyze = on),
	q(auto_explain.log_verbose = on),
	q(auto_explain.log_settings = on),
	q(auto_explain.log_nested_statements = on));

my $node = Integ::Cluster->create('main', start => 0, extension => 0,
	conf => [ q(shared_preload_libraries = 'pg_stat_statements, auto_explain, integ'), @loud ]);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION integ; CREATE EXTENSION pg_stat_statements; CREATE EXTENSION dblink');
Integ::VaultProbe->install($node, 'postgres');

my $id = '00000000-0000-7000-8000-000000000001';
my $owner = "endpoint:$id";
my $origin = 'https://api.example.com';
my $options = qq({"origins": ["$origin"]});
my $master_key = slurp($node->master_key_file);
my %secrets;   # what is looked for: name => value

# A secret that nothing else looks like, with the characters that quoting likes.
sub secret
{
	my ($name) = @_;
	return $secrets{$name} = join('', map { chr(97 + int(rand(26))) } 1 .. 24) . "'\"\\Z$name";
}

sub quoted
{
	my ($value) = @_;
	$value =~ s/'/''/g;
	return "'$value'";
}

sub opens
{
	my ($name, $value, $what) = @_;
	is($node->safe_psql('postgres', "SELECT probe.open('endpoint', '$id', '*', '$name', '$origin')"), sha256_hex($value), $what);
}

# --- sealed, by the documented command ---

my $certificate = $node->basedir . '/integ.pem';
spew($certificate, $node->safe_psql('postgres', 'SELECT integ_public_key()') . "\n");

sub seal
{
	my ($value, @arguments) = @_;
	my $file = $node->basedir . '/plain';
	spew($file, $value);
	system_or_bail('openssl', 'cms', '-encrypt', '-binary', '-in', $file, '-out', "$file.cms", @arguments);
	unlink $file;
	return slurp("$file.cms");
}

my @gcm = ('-aes-256-gcm', '-recip', $certificate, '-keyopt', 'rsa_padding_mode:oaep');
my $value = secret('sealed_pem');
my $pem = seal("$value\n", '-outform', 'PEM', @gcm);
$node->safe_psql('postgres', "SELECT integ_credential_set('$owner', 'sealed_pem', '$pem', '$options')");
opens('sealed_pem', $value, 'sealed as PEM, recognized; the line end behind it is dropped');

$value = secret('sealed_base64');
my $base64 = encode_base64(seal($value, '-outform', 'DER', '-aes-256-cbc', $certificate), '');
$node->safe_psql('postgres', "SELECT integ_credential_set('$owner', 'sealed_base64', '$base64', '{\"sealed\": true, \"origins\": [\"$origin\"]}')");
opens('sealed_base64', $value, 'sealed as base64');

$value = secret('sealed_der');
my $der = unpack('H*', seal($value, '-outform', 'DER', @gcm));
$node->safe_psql('postgres', "SELECT integ_credential_set('$owner', 'sealed_der', '\\x$der'::bytea, '$options')");
opens('sealed_der', $value, 'sealed as DER');

# Through the extended protocol, prepared, in a function, in a DO block, in a failing transaction.
my $script = $node->basedir . '/extended.sql';
$value = secret('sealed_parameter');
$base64 = encode_base64(seal($value, '-outform', 'DER', @gcm), '');
spew($script, "SELECT integ_credential_set('$owner', 'sealed_parameter', :value, '{\"sealed\": true, \"origins\": [\"$origin\"]}');\n");
for my $mode ('extended', 'prepared')
{
	system_or_bail('pgbench', '-n', '-t', 2, '-M', $mode, '-D', "value=$base64", '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres');
}
opens('sealed_parameter', $value, 'sealed, as a parameter');
$value = secret('sealed_do');
$pem = seal($value, '-outform', 'PEM', @gcm);
$node->safe_psql('postgres', "DO \$do\$BEGIN PERFORM integ_credential_set('$owner', 'sealed_do', '$pem', '$options'); END\$do\$");
opens('sealed_do', $value, 'sealed, in a DO block');

$value = secret('sealed_rotated');
$pem = seal($value, '-outform', 'PEM', @gcm);
$node->safe_psql('postgres', "SELECT integ_credential_rotate('$owner', 'sealed_pem', '$pem', '$options')");
opens('sealed_pem', $value, 'sealed, rotated');
is($node->safe_psql('postgres', "SELECT probe.open('endpoint', '$id', '*', 'sealed_pem', '$origin', true)"),
	sha256_hex($secrets{sealed_pem}), 'and the one before');

# Used where it may not go, set by who may not, rolled back, unwrapped under another data key.
$node->psql('postgres', "SELECT probe.open('endpoint', '$id', '*', 'sealed_der', 'https://evil.example')");
$node->psql('postgres', "CREATE ROLE nobody; GRANT integ_user TO nobody; SET ROLE nobody; SELECT integ_credential_set('$owner', 'sealed_der', '$pem')");
$node->psql('postgres', "BEGIN; SELECT integ_credential_set('$owner', 'sealed_der', '$pem', '$options'); SELECT 1/0");
$node->psql('postgres', "SELECT integ_credential_set('$owner', 'sealed_other', '$pem', '{\"hint\": \"$_\"}')") for ('x', 'y' x 200);
$node->safe_psql('postgres', 'SELECT integ_vault_rotate_key()');
opens('sealed_der', $secrets{sealed_der}, 'under another data key');

# --- bad sealed values ---

for my $bad ([ 'no envelope', 'rubbish', '{"sealed": true}' ], [ 'cut off', substr($pem, 0, 300), '{}' ],
	[ 'empty PEM', "-----BEGIN CMS-----\n-----END CMS-----", '{}' ], [ 'too large', 'A' x 300000, '{"sealed": true}' ])
{
	my ($state, $report) = $node->sql_error("SELECT integ_credential_set('$owner', 'bad', '$bad->[1]', '$bad->[2]')");
	is($state, 'IG400', "sealed: $bad->[0]");
	like($report, qr/HINT: /, "$bad->[0]: hint");
}
my $other = $node->basedir . '/other.pem';
system_or_bail('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=other',
	'-keyout', $node->basedir . '/other.key', '-out', $other);
my $foreign = seal('not for you', '-outform', 'PEM', '-aes-256-cbc', $other);
my ($state, $report) = $node->sql_error("SELECT integ_credential_set('$owner', 'bad', '$foreign')");
is($state, 'IG400', 'sealed to another certificate');
like($report, qr/integ_public_key\(\)/, 'says to which it must be');
my $binary = seal("\0\1\2", '-outform', 'PEM', @gcm);
($state) = $node->sql_error("SELECT integ_credential_set('$owner', 'bad', '$binary')");
is($state, 'IG400', 'sealed, but no text');

my $envelope = seal('almost', '-outform', 'DER', @gcm);
substr($envelope, -1) = chr(ord(substr($envelope, -1)) ^ 1);
my $flipped = unpack('H*', $envelope);
($state, $report) = $node->sql_error("SELECT integ_credential_set('$owner', 'bad', '\\x$flipped'::bytea)");
is($state, 'IG400', 'sealed, but changed on its way');
like($report, qr/does not open.*HINT: /s, 'says so');
my $lines = secret('sealed_lines');
my $windows = seal("$lines\r\n", '-outform', 'PEM', @gcm);
$node->safe_psql('postgres', "SELECT integ_credential_set('$owner', 'sealed_lines', '$windows', '$options')");
opens('sealed_lines', $lines, 'sealed with a line end of Windows');
($state) = $node->sql_error("BEGIN; DELETE FROM integ.credentials WHERE owner_kind = 'sealing_key'; SELECT integ_credential_set('$owner', 'bad', '$windows')");
is($state, 'IG500', 'the private key is gone');

# --- a new key pair; values sealed to the old one still open ---

my $before = secret('sealed_before');
$pem = seal($before, '-outform', 'PEM', @gcm);
is($node->safe_psql('postgres', q(SELECT integ_vault_rotate_key('{"sealing_key": true}') ->> 'new_sealing_key')), 'true', 'a new key pair');
isnt($node->safe_psql('postgres', 'SELECT integ_public_key()') . "\n", slurp($certificate), 'it is another one');
$node->safe_psql('postgres', "SELECT integ_credential_set('$owner', 'sealed_before', '$pem', '$options')");
opens('sealed_before', $before, 'sealed to the old certificate');
spew($certificate, $node->safe_psql('postgres', 'SELECT integ_public_key()') . "\n");
$value = secret('sealed_after');
$pem = seal($value, '-outform', 'PEM', @gcm);
$node->safe_psql('postgres', "SELECT integ_credential_set('$owner', 'sealed_after', '$pem', '$options')");
opens('sealed_after', $value, 'sealed to the new one');

# --- plain ---

# Every way that is not on the list of docs/vault.md.
sub plain
{
	my ($name, $sql, $works) = @_;
	my $secret = secret("plain_$name");
	my $literal = quoted($secret);
	$sql =~ s/SECRET/$literal/g;
	my ($status) = $node->psql('postgres', $sql);
	is($status == 0 ? 'done' : 'failed', $works // 1 ? 'done' : 'failed', "plain: $name");
	return;
}

plain('simple', "SELECT integ_credential_set('$owner', 'plain', SECRET, '$options')");
opens('plain', $secrets{plain_simple}, 'a plain value');
plain('upper_case', "SELECT Integ_Credential_SET('$owner', 'plain', SECRET, '$options')");
plain('qualified', "SELECT public.integ_credential_rotate('$owner', 'plain', SECRET, '$options')");
plain('escaped', "SELECT integ_credential_set('$owner', 'plain', E" . q(SECRET) . ", '$options')");
plain('two_statements', "SELECT 1; SELECT integ_credential_set('$owner', 'plain', SECRET, '$options'); SELECT 2");
plain('transaction', "BEGIN; SELECT integ_credential_set('$owner', 'plain', SECRET, '$options'); ROLLBACK");
plain('prepared', "PREPARE p AS SELECT integ_credential_set('$owner', 'plain', \$1, '$options'); EXECUTE p(SECRET)");
plain('prepared_literal', "PREPARE p AS SELECT integ_credential_set('$owner', 'plain', SECRET, '$options'); EXECUTE p; DEALLOCATE p");
plain('do', "DO \$do\$BEGIN PERFORM integ_credential_set('$owner', 'plain', SECRET, '$options'); END\$do\$");
plain('with', "WITH v AS MATERIALIZED (SELECT SECRET AS x) SELECT integ_credential_set('$owner', 'plain', x, '$options') FROM v");
plain('unknown_owner', "SELECT integ_credential_set('endpoint:no', 'plain', SECRET, '$options')", 0);
plain('bad_option', "SELECT integ_credential_set('$owner', 'plain', SECRET, '{\"nonsense\": 1}')", 0);
plain('bad_json', "SELECT integ_credential_set('$owner', 'plain', 'x', SECRET)", 0);
plain('bad_cast', "SELECT integ_credential_set('$owner', 'plain', SECRET::int::text, '$options')", 0);
plain('syntax', "SELECT integ_credential_set('$owner', 'plain' SECRET, '$options')", 0);
plain('unterminated', "SELECT integ_credential_set('$owner', 'plain', SECRET, 'x", 0);
plain('no_such_function', "SELECT integ_credential_set('$owner', SECRET, 1, 2, 3)", 0);
plain('fails_later', "SELECT integ_credential_set('$owner', 'plain', SECRET, '$options'), 1/(random()*0)::int", 0);
plain('hint_has_it', "SELECT integ_credential_set('$owner', 'plain', SECRET, jsonb_build_object('hint', SECRET))", 0);
plain('as_identifier', "SELECT integ_credential_set('$owner', 'plain', \"" . 'SECRET' . "\")", 0);
plain('forbidden', "SET ROLE nobody; SELECT integ_credential_set('$owner', 'plain', SECRET)", 0);

$value = secret('plain_parameter');
$value =~ s/\W//g;   # pgbench's variables
$secrets{plain_parameter} = $value;
spew($script, "SELECT integ_credential_set('$owner', 'plain', :value, '$options');\n");
for my $mode ('extended', 'prepared')
{
	system_or_bail('pgbench', '-n', '-t', 2, '-M', $mode, '-D', "value=$value", '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres');
}
opens('plain', $value, 'a plain value, as a parameter');

# A parameter of a statement that fails: log_parameter_max_length_on_error.
$value = secret('plain_failing_parameter');
$value =~ s/\W//g;
$secrets{plain_failing_parameter} = $value;
spew($script, "SELECT integ_credential_set('endpoint:no', 'plain', :value);\n");
IPC::Run::run([ 'pgbench', '-n', '-t', 1, '-M', 'extended', '-D', "value=$value", '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres' ], '>', \my $out, '2>', \my $err);

# What another session sees while it runs and afterwards.
$value = secret('plain_watched');
$node->safe_psql('postgres', "CREATE FUNCTION seen(start text) RETURNS bigint LANGUAGE sql AS
	\$\$SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%' || start || '%'\$\$");
# Until that session waits for the lock which this one holds, its value stored.
$node->safe_psql('postgres', q(CREATE PROCEDURE waiting() LANGUAGE plpgsql AS $$ BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted) LOOP PERFORM pg_sleep(0.02); END LOOP;
	PERFORM pg_stat_clear_snapshot(); END $$));
my $inner = "SELECT integ_credential_set('$owner', 'plain', " . quoted($value) . ", '$options') IS NULL, pg_advisory_lock_shared(41)";
my $half = substr($value, 0, 12);   # what looks for it shall not be found below
is($node->safe_psql('postgres', "SELECT dblink_connect('c', 'dbname=postgres host=" . $node->host . ' port=' . $node->port . "') IS NULL;
	SELECT pg_advisory_lock(41);
	SELECT dblink_send_query('c', \$q\$$inner\$q\$);
	CALL waiting();
	SELECT seen('$half');
	SELECT count(*) FROM pg_stat_activity WHERE query LIKE '<hidden by integ%' AND state = 'active' AND pid <> pg_backend_pid();
	SELECT pg_advisory_unlock(41);
	SELECT count(*) FROM dblink_get_result('c') AS t (a bool, b text);
	SELECT count(*) FROM dblink_get_result('c') AS t (a bool, b text);
	SELECT seen('$half')"), "f\n\n1\n0\n1\nt\n1\n0\n0", 'pg_stat_activity hides the running and the last statement');

# --- the documented list ---

my %documented;
sub documented
{
	my ($name, $sql) = @_;
	my $secret = secret("listed_$name");
	my $literal = quoted($secret);
	$sql =~ s/SECRET/$literal/g;
	$node->psql('postgres', $sql);
	$documented{"listed_$name"} = 1;
	return;
}

documented('explain', "EXPLAIN (ANALYZE, VERBOSE) SELECT integ_credential_set('$owner', 'plain', SECRET, '$options')");
documented('wrapped', "CREATE FUNCTION wrap(v text) RETURNS void LANGUAGE sql AS \$\$SELECT integ_credential_set('$owner', 'plain', v, '$options')\$\$;
	SELECT wrap(SECRET)");
documented('body', "CREATE FUNCTION body() RETURNS void LANGUAGE sql AS \$f\$SELECT integ_credential_set('$owner', 'plain', SECRET, '$options')\$f\$");
documented('spelled', "SELECT U&\"integ\\005Fcredential_set\"('$owner', 'plain', SECRET, '$options')");
opens('plain', $secrets{listed_spelled}, 'a function name that is spelled with escapes works');

# --- look everywhere ---

# Forms in which a value may stand in a file.
sub forms
{
	my ($value) = @_;
	my $escaped = $value =~ s/(["\\])/\\$1/gr;
	my $core = substr($value, 0, 24);   # no character that is quoted somewhere
	# debug_print_parse shows a constant as its bytes.
	my $bytes = join(' ', map { ord } split //, $core);
	return ($core, $escaped, unpack('H*', $core), $bytes, encode_base64($core, ''));
}

# Which secrets are in a text.
sub found_in
{
	my ($text, @names) = @_;
	my @found;
	for my $name (@names)
	{
		push @found, $name if grep { index($text, $_) >= 0 } forms($secrets{$name});
	}
	return @found;
}

my %views = map { $_ => $node->safe_psql('postgres', "SET log_statement = none; TABLE $_") }
  qw(pg_stat_activity pg_stat_statements pg_stat_user_functions pg_prepared_statements pg_cursors
	integ.credential_hints integ.sealing_keys integ.audit_log integ.requests integ.events integ.notifications pg_statistic pg_stats);
for my $command ([ 'pg_dump', 'postgres' ], [ 'pg_dump', '--inserts', 'postgres' ], ['pg_dumpall'])
{
	my ($out) = run_command([ $command->[0], '-h', $node->host, '-p', $node->port, @{$command}[ 1 .. $#$command ] ]);
	$views{"@$command"} = $out;
}
$node->safe_psql('postgres', 'CHECKPOINT');
$node->stop('fast');

my @files;
find({ no_chdir => 1, wanted => sub { push @files, $_ if -f $_ } }, $node->data_dir);
my @logs = grep { /\.(log|csv|json)$/ } @files;
cmp_ok(scalar @files, '>', 1000, 'files of the data folder are searched');
is(scalar @logs, 3, 'logs as text, CSV and JSON are among them');
is(scalar(grep { index(slurp($_), '<hidden by integ') >= 0 } @logs), 3, 'each with statements that are hidden');
is(scalar(grep { index(slurp($_), 'CREATE EXTENSION pg_stat_statements') >= 0 } @logs), 3, 'and others that are not');

my @sealed = grep { /^sealed/ } keys %secrets;
my @plain = grep { /^plain/ } keys %secrets;
my %places;
for my $file (@files)
{
	my $text = slurp($file);
	push @{ $places{$_} }, $file for found_in($text, keys %secrets);
	push @{ $places{'master key'} }, $file if index($text, $master_key) >= 0 || index($text, pack('H*', $master_key)) >= 0;
}
for my $view (keys %views)
{
	push @{ $places{$_} }, $view for found_in($views{$view}, keys %secrets);
	push @{ $places{'master key'} }, $view if index($views{$view}, $master_key) >= 0;
}
is(join(' ', @{ $places{$_} // [] }), '', "nowhere: $_") for (sort(@sealed), sort(@plain), 'master key');

# What is documented to remain does, else the list is out of date.
my $data = $node->data_dir;
SKIP:
{
	skip 'pg_stat_statements normalizes utility statements from PostgreSQL 16 on', 1 if $node->pg_version >= 16;
	like("@{ $places{listed_explain} // [] }", qr/pg_stat_statements/, 'utility statements but DO: pg_stat_statements');
}
is(scalar(grep { !/stat/ } @{ $places{listed_explain} // [] }), 0, 'and nothing else');
like("@{ $places{listed_wrapped} // [] }", qr/\.log/, 'functions that wrap ours: the log');
like("@{ $places{listed_body} // [] }", qr/base\//, 'bodies of functions: the catalog');
like("@{ $places{listed_spelled} // [] }", qr/\.log/, 'names spelled with escapes: the log');

done_testing();

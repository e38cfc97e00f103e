# What a credential is bound to: a row that was moved, changed or given another
# origin does not open; rotation keeps both values; readers go on while keys
# are rotated; a DBA with the master key opens one with openssl and pgcrypto
# alone, as docs/vault.md says.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Integ::Cluster;
use Integ::Test qw(slurp source_file rounds);
use Integ::VaultProbe;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = Integ::Cluster->create('main');
Integ::VaultProbe->install($node, 'postgres');
my $first = '00000000-0000-7000-8000-000000000001';
my $second = '00000000-0000-7000-8000-000000000002';
my $origin = 'https://api.example.com';

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

# Arguments of the probe.
sub where
{
	my ($id, $name, $to) = @_;
	return "'endpoint', '$id', '*', '$name', " . (defined $to ? "'$to'" : 'NULL');
}

sub opens
{
	my ($id, $name, $value, $what, %options) = @_;
	my $previous = $options{previous} ? 'true' : 'false';
	my $to = exists $options{origin} ? $options{origin} : $origin;
	is(sql('SELECT probe.open(' . where($id, $name, $to) . ", $previous)"), defined $value ? sha256_hex($value) : '', $what);
}

sub refuses
{
	my ($id, $name, $to, $state, $what) = @_;
	my ($got, $report) = $node->sql_error('SELECT probe.open(' . where($id, $name, $to) . ')');
	is($got, $state, $what);
	return $report;
}

sub set
{
	my ($id, $name, $value, $options) = @_;
	$options //= qq({"origins": ["$origin"]});
	return sql("SELECT integ_credential_set('endpoint:$id', '$name', '$value', '$options')");
}

# --- opening ---

set($first, 'token', 'the first token');
set($first, 'secret', 'the first secret');
set($second, 'token', 'the second token');
opens($first, 'token', 'the first token', 'a credential opens');
opens($second, 'token', 'the second token', 'and that of another owner');
opens($first, 'nothing', undef, 'a credential that is not there is NULL');
opens('00000000-0000-7000-8000-000000000003', 'token', undef, 'so is one of an owner that has none');
is(sql("SELECT probe.open('webhook', '$first', '*', 'token', '$origin') IS NULL AND probe.open('endpoint', '$first', 'acme', 'token', '$origin') IS NULL"),
	't', 'another kind of owner, another client: not there');
is(sql('SELECT probe.wiped(' . where($first, 'token', $origin) . ')'), 't', 'a secret is overwritten with its memory context');

set($first, 'token', 'the first token, again');
opens($first, 'token', 'the first token, again', 'a new value');

# One session sees what another wrote, and its own changes that are rolled back.
is(sql("SELECT probe.open(" . where($first, 'token', $origin) . ");
	BEGIN; SELECT integ_credential_set('endpoint:$first', 'token', 'not for long', '{\"origins\": [\"$origin\"]}');
	SELECT probe.open(" . where($first, 'token', $origin) . "); ROLLBACK;
	SELECT probe.open(" . where($first, 'token', $origin) . ")"),
	join("\n", sha256_hex('the first token, again'), '', sha256_hex('not for long'), sha256_hex('the first token, again')),
	'the cache follows the transaction and its rollback');

# --- origins ---

my $report = refuses($first, 'token', 'https://evil.example', 'IG403', 'another origin');
like($report, qr/may not go to https:\/\/evil\.example.*DETAIL: .*https:\/\/api\.example\.com only.*HINT: /s, 'says which it may go to');
unlike($report, qr/first token/, 'and nothing of the secret');
refuses($first, 'token', 'https://api.example.com:8443', 'IG403', 'another port');
refuses($first, 'token', 'http://api.example.com', 'IG403', 'another scheme');
refuses($first, 'token', undef, 'IG403', 'a credential for an origin is not for use inside');
set($first, 'signing', 'for signatures', '{"origins": []}');
opens($first, 'signing', 'for signatures', 'one without origins is for use inside', origin => undef);
refuses($first, 'signing', $origin, 'IG403', 'and goes nowhere');
set($first, 'default', 'for signatures too', '{}');
opens($first, 'default', 'for signatures too', "an endpoint's go nowhere unless said", origin => undef);

# --- rows that somebody changed ---

sub tampered
{
	my ($change, $what) = @_;
	my ($state, $text) = $node->sql_error("BEGIN; $change; SELECT probe.open(" . where($first, 'token', $origin) . ')');
	is($state, 'IG500', $what);
	unlike($text, qr/the first token/, "$what: nothing of the secret");
	return;
}

my $row = "owner_id = '$first' AND name = 'token'";
my $length = sql("SELECT octet_length(ciphertext) FROM integ.credentials WHERE $row");
# A byte in IV, text and tag; the unit test flips every bit.
for my $byte (0, 15, 16, 20, $length - 32, $length - 1)
{
	tampered("UPDATE integ.credentials SET ciphertext = set_byte(ciphertext, $byte, get_byte(ciphertext, $byte) # 1) WHERE $row",
		"byte $byte changed");
}
tampered("UPDATE integ.credentials SET ciphertext = substring(ciphertext FROM 1 FOR 16) WHERE $row", 'cut off');
tampered("UPDATE integ.credentials SET ciphertext = '' WHERE $row", 'empty');
tampered("UPDATE integ.credentials c SET ciphertext = o.ciphertext, data_key = o.data_key FROM integ.credentials o
	WHERE c.owner_id = '$first' AND c.name = 'token' AND o.owner_id = '$second' AND o.name = 'token'", 'the ciphertext of another owner');
tampered("UPDATE integ.credentials c SET ciphertext = o.ciphertext FROM integ.credentials o
	WHERE c.owner_id = '$first' AND c.name = 'token' AND o.owner_id = '$first' AND o.name = 'secret'", 'the ciphertext of another name');
tampered("UPDATE integ.credentials SET version = version + 1 WHERE $row", 'another version');
tampered("UPDATE integ.credentials SET algorithm = 'aes-256-gcm' WHERE $row", 'another algorithm');
tampered("UPDATE integ.data_keys SET wrapped = set_byte(wrapped, 3, get_byte(wrapped, 3) # 1)", 'a damaged data key');
tampered("UPDATE integ.data_keys SET wrapped = '\\x00'", 'a data key that is cut off');
for my $change ("allowed_origins = '{https://evil.example}'", "allowed_origins = allowed_origins || '{https://evil.example}'")
{
	my ($state) = $node->sql_error("BEGIN; UPDATE integ.credentials SET $change WHERE $row;
		SELECT probe.open(" . where($first, 'token', 'https://evil.example') . ')');
	is($state, 'IG500', "another origin written into the row: $change");
}
my ($moved) = $node->sql_error("BEGIN; DELETE FROM integ.credentials WHERE owner_id = '$second';
	UPDATE integ.credentials SET owner_id = '$second' WHERE $row; SELECT probe.open(" . where($second, 'token', $origin) . ')');
is($moved, 'IG500', 'a row moved to another owner');
($moved) = $node->sql_error("BEGIN; UPDATE integ.credentials SET client_id = 'acme' WHERE $row;
	SELECT probe.open('endpoint', '$first', 'acme', 'token', '$origin')");
is($moved, 'IG500', 'a row moved to another client');
opens($first, 'token', 'the first token, again', 'unchanged, it opens');

# --- expiry ---

sql("SELECT integ_credential_set('endpoint:$first', 'short', 'not for long', '{\"expires_at\": \"2999-01-01\"}')");
opens($first, 'short', 'not for long', 'before it expires', origin => undef);
sql("UPDATE integ.credentials SET expires_at = now() - interval '1 second' WHERE name = 'short'");
like(refuses($first, 'short', undef, 'IG401', 'after it expired'), qr/has expired.*DETAIL: .*HINT: /s, 'says so');

# --- rotation of a credential: dual read ---

my $whole = "'endpoint', '$second', '*'";
is(sql("SELECT probe.rotating($whole)"), 'f', 'not rotating');
opens($second, 'token', undef, 'no value before', previous => 1);
sql("SELECT integ_credential_rotate('endpoint:$second', 'token', 'the new token', '{\"origins\": [\"$origin\"]}')");
is(sql("SELECT probe.rotating($whole)"), 't', 'rotating');
opens($second, 'token', 'the new token', 'the new value is tried first');
opens($second, 'token', 'the second token', 'the one before still opens', previous => 1);
sql("SELECT integ_credential_rotate('endpoint:$second', 'token', 'the newer token', '{\"origins\": [\"$origin\"]}')");
opens($second, 'token', 'the newer token', 'rotated again before it was promoted');
opens($second, 'token', 'the second token', 'the proven one is kept', previous => 1);
sql("BEGIN READ ONLY; SELECT probe.promote($whole); COMMIT");
opens($second, 'token', 'the second token', 'nothing is promoted in a READ ONLY transaction', previous => 1);
sql("SELECT probe.promote($whole)");
opens($second, 'token', 'the newer token', 'promoted by a success');
opens($second, 'token', undef, 'the one before is gone', previous => 1);
sql("SELECT integ_credential_rotate('endpoint:$second', 'token', 'a wrong token', '{\"origins\": [\"$origin\"]}')");
sql("SELECT integ_credential_rotate('endpoint:$second', 'token', NULL, '{\"revert\": true}')");
opens($second, 'token', 'the newer token', 'reverted');
is(sql("SELECT probe.rotating($whole)"), 'f', 'not rotating any more');

# --- by hand, as documented ---

sub documented
{
	my ($title, $kind) = @_;
	my ($block) = slurp(source_file('docs/vault.md')) =~ /### \Q$title\E\n.*?```$kind\n(.*?)```/s;
	die "docs/vault.md has no $kind block under \"$title\"" unless defined $block;
	return $block;
}

SKIP:
{
	skip 'this openssl has no key wrap on the command line', 3
	  if system("head -c 24 /dev/zero | openssl enc -id-aes256-wrap -K " . '00' x 32 . " -iv a6a6a6a6a6a6a6a6 >/dev/null 2>&1") != 0;
	skip 'no pgcrypto', 3 unless sql("SELECT count(*) FROM pg_available_extensions WHERE name = 'pgcrypto'");
	sql('CREATE EXTENSION pgcrypto');
	set($first, 'zürich', 'grüezi');
	my $title = 'Opening a credential without integ';
	my $wrapped = sql("SELECT encode(k.wrapped, 'hex') FROM integ.data_keys k JOIN integ.credentials c ON c.data_key = k.id WHERE c.name = 'zürich'");
	local $ENV{WRAPPED} = $wrapped;
	local $ENV{MASTER_KEY_FILE} = $node->master_key_file;
	my $data_key = `@{[ documented($title, 'sh') ]}`;
	chomp $data_key;
	like($data_key, qr/^[0-9a-f]{128}$/, 'openssl unwraps the data key');
	my $select = documented($title, 'sql');
	my @parameters = ('-v', "data_key=$data_key", '-v', 'kind=endpoint', '-v', "id=$first", '-v', 'client=*', '-v', 'name=zürich');
	my ($status, $out, $err) = $node->psql('postgres', $select, extra_params => \@parameters);
	like($out, qr/^t\|grüezi$/m, 'pgcrypto authenticates and decrypts it') or diag($err);
	sql("UPDATE integ.credentials SET version = 7 WHERE name = 'zürich'");
	($status, $out) = $node->psql('postgres', $select, extra_params => \@parameters);
	like($out, qr/^f\|$/m, 'and notices a change');
	sql("DELETE FROM integ.credentials WHERE name = 'zürich'");
}

# --- rotation of keys with readers ---

set($first, 'token', 'a steady token');
my $reader = 'SELECT probe.open(' . where($first, 'token', $origin) . ") = '" . sha256_hex('a steady token') . "';\n";
my $count = rounds(300, 20000);
my $script = $node->basedir . '/reader.sql';
open my $out, '>', $script or die $!;
# A failure to open ends pgbench's client; a wrong value divides by zero.
print $out 'SELECT 1 / (probe.open(' . where($first, 'token', $origin) . ") = '" . sha256_hex('a steady token') . "')::int;\n";
close $out;
# Writers and rotations meanwhile.
my $errors = '';
my $readers = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 4, '-t', $count, '-f', $script, 'postgres' ],
	'<', \undef, '>', \my $summary, '2>', \$errors);
my $rotations = 0;
while ($readers->pumpable)
{
	sql('SELECT integ_vault_rotate_key()');
	sql(q(SELECT integ_vault_rotate_key('{"batch": 1}')));
	set($first, 'secret', "secret number $rotations");
	$rotations++;
	$readers->pump_nb;
	last if $rotations > 1000;
}
$readers->finish;
my $expected = 4 * $count;
like($summary, qr/actually processed: $expected\/$expected/, "$expected reads during $rotations rotations, none failed") or diag($errors);
sql(q(SELECT integ_vault_rotate_key()));
opens($first, 'token', 'a steady token', 'and after them');
opens($second, 'token', 'the newer token', 'so does the other one');
is(sql(q(SELECT count(*), count(DISTINCT data_key) FROM integ.credentials)), sql(q(SELECT count(*), 1 FROM integ.credentials)), 'all are under one data key');
is(sql(q(SELECT count(*) FROM integ.data_keys)), 1, 'keys that nothing uses are gone');

# --- another algorithm ---

$node->append_conf('postgresql.conf', "integ.vault_algorithm = 'aes-256-gcm'");
$node->reload;
$node->wait_for_sql(q(SELECT current_setting('integ.vault_algorithm') = 'aes-256-gcm'));
set($second, 'gcm', 'sealed with GCM');
opens($second, 'gcm', 'sealed with GCM', 'a value under the new algorithm');
opens($first, 'token', 'a steady token', 'a value under the old algorithm');
is(sql(q(SELECT string_agg(DISTINCT algorithm, ' ' ORDER BY algorithm) FROM integ.credentials)), 'aes-256-cbc-hmac aes-256-gcm', 'both are in use');
is(sql(q(SELECT integ_vault_rotate_key() ->> 'action')), 'continued', 'the rest follows');
is(sql(q(SELECT string_agg(DISTINCT algorithm, ' ') FROM integ.credentials)), 'aes-256-gcm', 'all are under the new algorithm');
is(sql(q(SELECT string_agg(DISTINCT algorithm || ' ' || status, ' ') FROM integ.data_keys)), 'aes-256-gcm active', 'and its key alone is left');
opens($first, 'token', 'a steady token', 'they open');
tampered("UPDATE integ.credentials SET ciphertext = set_byte(ciphertext, 13, get_byte(ciphertext, 13) # 1) WHERE $row", 'GCM notices a change');

# --- dump and restore ---

sql('SELECT integ_public_key()');
my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-f', $dump, 'postgres' ], 'dump');
$node->safe_psql('template1', 'CREATE DATABASE restored TEMPLATE template0');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-d', 'restored', '-f', $dump ], 'restore');
is($node->safe_psql('restored', 'SELECT probe.open(' . where($first, 'token', $origin) . ')'), sha256_hex('a steady token'),
	'a credential opens in the restored database');
is($node->safe_psql('restored', 'SELECT integ_public_key()'), sql('SELECT integ_public_key()'), 'the key pair came along');

$node->stop;
done_testing();

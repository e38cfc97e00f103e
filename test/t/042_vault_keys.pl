# The master key: every way in which it can be wrong is a clear error, no
# crash, and shows nothing of a key; it is changed while sessions go on.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Integ::Cluster;
use Integ::Test qw(slurp spew wait_until);
use Integ::VaultProbe;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

$ENV{INTEG_TEST_TOKEN} = 'a token of the environment';
my $node = Integ::Cluster->create('main', conf => [ q(integ.env_allowed = 'INTEG_TEST_TOKEN, INTEG_TEST_NOTHING') ]);
Integ::VaultProbe->install($node, 'postgres');
my $id = '00000000-0000-7000-8000-000000000001';
my $good = slurp($node->master_key_file);
my $folder = $node->basedir;
my $pid = slurp($node->data_dir . '/postmaster.pid') =~ s/\n.*//sr;
my %keys = (good => $good);

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

# Settings as postgresql.conf has them; empty ones count.
sub configure
{
	my (%settings) = @_;
	for my $name (sort keys %settings)
	{
		my $value = $settings{$name} =~ s/'/''/gr;
		sql("ALTER SYSTEM SET integ.$name = '$value'");
	}
	$node->reload;
	my $last = (sort keys %settings)[-1];
	my $value = $settings{$last} =~ s/'/''/gr;
	$node->wait_for_sql("SELECT current_setting('integ.$last') = '$value'");
	return;
}

sub key_file
{
	my ($name, $content, $mode) = @_;
	my $file = "$folder/$name.key";
	unlink $file;
	spew($file, $content);
	chmod $mode // 0600, $file or die "$file: $!";
	return $file;
}

my $open = "SELECT probe.open('endpoint', '$id', '*', 'token', NULL)";
my $secret = sha256_hex('the token');

# Opening and setting fail with IG500, a hint, and no byte of a key.
sub refused
{
	my ($what, $like) = @_;
	for my $statement ($open, "SELECT integ_credential_set('endpoint:$id', 'other', 'another')")
	{
		my ($state, $report) = $node->sql_error($statement);
		is($state, 'IG500', "$what: IG500");
		like($report, $like, "$what: says what is wrong");
		like($report, qr/HINT: /, "$what: hint");
		unlike($report, qr/\Q$keys{$_}\E/i, "$what: shows nothing of a key") for keys %keys;
	}
	return;
}

sql("SELECT integ_credential_set('endpoint:$id', 'token', 'the token')");
is(sql($open), $secret, 'the key of the test');

# --- from the server's environment, and what the audit says ---

sql("SELECT integ_credential_set('endpoint:$id', 'env', NULL, '{\"env\": \"INTEG_TEST_TOKEN\"}')");
is(sql("SELECT probe.open('endpoint', '$id', '*', 'env', NULL)"), sha256_hex('a token of the environment'),
	'from the environment');
my ($state, $report) =
  $node->sql_error("SELECT integ_credential_set('endpoint:$id', 'env', NULL, '{\"env\": \"INTEG_TEST_NOTHING\"}')");
is($state, 'IG404', 'a variable that is not there');
($state) = $node->sql_error("SELECT integ_credential_set('endpoint:$id', 'env', NULL, '{\"env\": \"PATH\"}')");
is($state, 'IG403', 'a variable that is not allowed');
sql("INSERT INTO integ.clients (id, name) VALUES ('acme', 'Acme'); CREATE ROLE acme_admin IN ROLE integ_admin;
	INSERT INTO integ.members (role, client_id, level) VALUES ('acme_admin', 'acme', 'admin')");
($state) = $node->sql_error("SET ROLE acme_admin;
	SELECT integ_credential_set('endpoint:$id', 'env', NULL, '{\"env\": \"INTEG_TEST_TOKEN\"}')");
is($state, 'IG403', 'an administrator of a client may not look into it');
sql("SET ROLE acme_admin; SELECT integ_credential_set('endpoint:$id', 'token', 'of another client')");
is(sql($open), $secret, 'the same owner of another client is another owner');
sql("SELECT integ_credential_rotate('endpoint:$id', 'env', 'another'); 
	SELECT integ_credential_rotate('endpoint:$id', 'env', NULL, '{\"promote\": true}');
	SELECT integ_credential_delete('endpoint:$id', 'env'); SELECT integ_vault_rotate_key()");
$node->wait_for_sql(q(SELECT array_agg(DISTINCT action ORDER BY action) @>
	'{credential.delete,credential.promote,credential.rotate,credential.set,vault.rotate_key}' FROM integ.audit_log));
is(sql(q(SELECT DISTINCT detail ->> 'name' FROM integ.audit_log
	WHERE action = 'credential.delete' AND outcome = 'succeeded')), 'env',
	'the audit names the credential');
is(sql(q(SELECT count(*) FROM integ.audit_log WHERE detail::text ~ 'another|environment')), 0, 'and not its value');

# --- files ---

configure(master_key_file => '', master_key_command => '');
refused('none', qr/has no master key.*Neither integ\.master_key_file nor/s);
configure(master_key_file => "$folder/missing.key");
refused('missing', qr/missing\.key": No such file/);
configure(master_key_file => 'master.key');
refused('relative', qr/not absolute/);
configure(master_key_file => key_file('short', substr($good, 0, 63)));
refused('short', qr/shorter than 64/);
configure(master_key_file => key_file('long', $good . 'ab'));
refused('long', qr/longer than 64/);
configure(master_key_file => key_file('empty', ''));
refused('empty', qr/it is empty/);
configure(master_key_file => key_file('digits', 'g' . substr($good, 1)));
refused('not hexadecimal', qr/not a hexadecimal digit/);
for my $mode (0644, 0640, 0620, 0601)
{
	configure(master_key_file => key_file('open', $good, $mode));
	refused(sprintf('mode %04o', $mode), qr/others than its owner may use it \(mode @{[ sprintf('%04o', $mode) ]}\)/);
}
like(sql(q(SELECT state || ' ' || last_error FROM integ_status() WHERE component = 'master key')),
	qr/^unusable .*others than its owner may use it \(mode 0601\)/, 'integ_status() says so');
configure(master_key_file => $folder);
refused('a folder', qr/not a regular file/);
spew($node->data_dir . '/inside.key', $good);
chmod 0600, $node->data_dir . '/inside.key';
configure(master_key_file => $node->data_dir . '/inside.key');
refused('in the data folder', qr/lies in the data folder/);
symlink $node->data_dir . '/inside.key', "$folder/link.key" or die $!;
configure(master_key_file => "$folder/link.key");
refused('a link into the data folder', qr/lies in the data folder/);
unlink $node->data_dir . '/inside.key';
$keys{wrong} = 'ab' x 32;
configure(master_key_file => key_file('wrong', $keys{wrong}));
($state, $report) = $node->sql_error($open);
is($state, 'IG500', 'the wrong key');
like($report, qr/wrong master key.*wrapped by the master key [0-9a-f]{16}; the configured one is [0-9a-f]{16}/s,
	'is told from a damaged row');
unlike($report, qr/$keys{wrong}|$good/, 'and shows nothing of a key');

# Somebody who is no superuser does not learn where the file lies.
sql("CREATE ROLE boss; GRANT integ_superadmin TO boss");
configure(master_key_file => "$folder/missing.key");
($state, $report) = $node->sql_error("SET SESSION AUTHORIZATION boss;
	SELECT integ_credential_set('endpoint:$id', 'other', 'another')");
is($state, 'IG500', 'for a role that is no superuser');
unlike($report, qr/missing\.key/, 'without the path');
like($report, qr/No such file/, 'but with the reason');

# --- what is taken ---

configure(master_key_file => key_file('newline', "$good\n", 0400));
is(sql($open), $secret, 'with a line end, mode 0400');
configure(master_key_file => key_file('upper', uc $good));
is(sql($open), $secret, 'in capitals');

# One session through all of it: the file changes under it.
my $changing = key_file('changing', $good);
configure(master_key_file => $changing);
my $session = "\\set ON_ERROR_STOP 0\n$open;\n"
  . "\\! echo $keys{wrong} > '$changing'\n$open;\n\\! rm '$changing'\n$open;\n"
  . "\\! umask 077; echo $good > '$changing'\n$open;\n"
  . "\\! chmod 644 '$changing'\n$open;\n\\! chmod 600 '$changing'\n$open;\n";
my ($status, $out, $err) = $node->psql('postgres', $session);
is($out, "$secret\n$secret\n$secret",
	'a session sees the file change: right, wrong, gone, right, open to others, right');
is(scalar(() = $err =~ /ERROR: /g), 3, 'each wrong state is an error');

# --- the command ---

my $command = "$folder/print_key.sh";
spew($command, "#!/bin/sh\ncat '$folder/newline.key'\n");
chmod 0700, $command;
configure(master_key_file => '', master_key_command => $command);
is(sql($open), $secret, 'from a command');
configure(master_key_command => "echo '$folder' >&2; exec $command");
is(sql($open), $secret, 'what it says to its standard error is not the key');
configure(master_key_file => key_file('wrong', $keys{wrong}));
($state) = $node->sql_error($open);
is($state, 'IG500', 'the file wins over the command');
configure(master_key_file => '', master_key_command => '/nowhere/command');
refused('a command that is not there', qr/master_key_command failed.*(exit code 127|not found)/s);
configure(master_key_command => "$command; exit 3");
refused('a command that fails', qr/master_key_command failed.*exit code 3/s);
configure(master_key_command => "$command; kill -9 \$\$");
refused('a command that is killed', qr/master_key_command failed.*signal 9/s);
configure(master_key_command => 'echo hello');
refused('a command that prints something else', qr/What it printed: it is shorter/);
configure(master_key_command => "cat '$folder/newline.key'; yes");
refused('a command that never stops printing', qr/What it printed: it is longer/);
configure(master_key_command => 'true');
refused('a command that prints nothing', qr/What it printed: it is empty/);

# A command that hangs holds nobody: a cancel ends the wait, and what it started.
my $marker = 600 + $$ / 100000;
configure(master_key_command => "sleep $marker & sleep $marker");
($state) = $node->sql_error("SET statement_timeout = '200ms'; $open");
is($state, '57014', 'a command that hangs is cancelled');
wait_until('the command to end', sub { return `ps -eo args` !~ /sleep \Q$marker\E/; });
pass('with everything it started');
if ($ENV{INTEG_LONG})
{
	refused('a command that hangs', qr/took too long.*ended after 10 seconds/s);
	wait_until('the command to end', sub { return `ps -eo args` !~ /sleep \Q$marker\E/; });
}
is(sql('SELECT 1'), 1, 'the session goes on');

# --- a new master key, with sessions that go on ---

configure(master_key_command => '', master_key_file => $node->master_key_file);
sql('SELECT integ_public_key()');
sql("SELECT integ_credential_set('endpoint:$id', 'more$_', 'value $_')") for 1 .. 5;
my $old_id = sql('SELECT DISTINCT master_key_id FROM integ.data_keys');
my $ciphertexts = sql(q(SELECT md5(string_agg(ciphertext::text, '' ORDER BY id)) FROM integ.credentials));
$keys{new} = 'cd' x 32;
my $new_file = key_file('new', $keys{new});
my $reader = "$folder/reader.sql";
spew($reader, "SELECT 1 / (probe.open('endpoint', '$id', '*', 'token', NULL) = '$secret')::int;\n");
my ($summary, $errors) = ('', '');
local $ENV{PGAPPNAME} = 'reader';
my $readers = IPC::Run::start(
	[ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 3, '-T', 600, '-f', $reader, 'postgres' ],
	'<', \undef, '>', \$summary, '2>', \$errors);
delete $ENV{PGAPPNAME};
$node->wait_for_sql(q(SELECT count(*) = 3 FROM pg_stat_activity WHERE application_name = 'reader'));

configure(master_key_file => $new_file, master_key_previous_file => $node->master_key_file);
is(sql($open), $secret, 'both keys are known: what the old one wraps opens');
my $result = sql('SELECT integ_vault_rotate_key()');
like($result, qr/"action": "rewrapped"/, 'the data keys are wrapped anew');
isnt(sql('SELECT DISTINCT master_key_id FROM integ.data_keys'), $old_id, 'by the new key');
is(sql(q(SELECT md5(string_agg(ciphertext::text, '' ORDER BY id))
	FROM integ.credentials)), $ciphertexts, 'no credential was touched');
is(sql(q(SELECT integ_vault_rotate_key('{"rewrap": true}') -> 'rewrapped')), 0, 'nothing is left to wrap');
configure(master_key_previous_file => '');
unlink $node->master_key_file;
is(sql($open), $secret, 'the new key alone opens them');
$readers->kill_kill if $errors;
is($errors =~ s/^pgbench.*$//mr, '', 'sessions that read all the while saw no error');
sql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE application_name = 'reader' AND pid <> pg_backend_pid()));
$readers->finish;

# The new key while the data keys are still wrapped by the old one, and no previous file.
configure(master_key_file => key_file('back', $good));
refused('the old key after the change', qr/wrong master key/);
my ($rewrap) = $node->sql_error('SELECT integ_vault_rotate_key()');
is($rewrap, 'IG500', 'wrapping anew without the key that wrapped them');
configure(master_key_file => $new_file, master_key_previous_file => "$folder/missing.key");
is(sql($open), $secret, 'a previous file that is missing matters only where it is needed');
($state) = $node->sql_error(q(SELECT integ_vault_rotate_key('{"batch": 0}')));
is($state, 'IG400', 'a batch of nothing');

is(slurp($node->data_dir . '/postmaster.pid') =~ s/\n.*//sr, $pid, 'the server never restarted');
my $log = slurp($node->logfile);
ok($log !~ /\Q$keys{$_}\E/i, "no key in the log: $_") for keys %keys;
ok($log !~ /server process .* was terminated|PANIC/, 'nothing crashed');
$node->stop;
done_testing();

# A dump holds what people made of definitions and instances, and a restore
# meets what CREATE EXTENSION has made already.

use strict;
use warnings;

use Integ::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = Integ::Cluster->create('main');
my $dump = $node->basedir . '/dump.sql';

sub manifest
{
	my ($id, $version, $method) = @_;
	return qq({"integrationId": "$id", "name": "$id $version", "version": "$version", "baseUrl": "https://{config.site}.example.com",
		"configSchema": {"type": "object", "properties": {"site": {"type": "string", "default": "eu"}}},
		"methods": [{"id": "$method", "name": "$method", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET"}}]});
}

sub mirror
{
	my ($db, @manifest) = @_;
	$node->safe_psql($db, 'SELECT integ.mirror_definition($m$' . manifest(@manifest) . '$m$)');
}

# Everything that a dump must bring back, as text.
my %state = (
	definitions => 'SELECT id, client_id, version, status, builtin, customized, name, created_by FROM integ.definitions ORDER BY id',
	versions => 'SELECT id, version, builtin, manifest FROM integ.definition_versions ORDER BY id, version',
	instances => 'SELECT * FROM integ.instances ORDER BY id',
	grants => 'SELECT * FROM integ.instance_grants ORDER BY instance, client_id',
	methods => 'SELECT * FROM integ.instance_methods ORDER BY id, instance');

sub restore
{
	my ($db, $prepare) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	$prepare->() if $prepare;
	my ($out, $err) = ('', '');
	my $status = $node->psql($db, undef, on_error_stop => 1, stdout => \$out, stderr => \$err,
		extra_params => [ '-f', $dump ]);
	is($status, 0, "$db: the restore succeeds") or diag($err);
}

# --- what is there ---

mirror('postgres', 'brought', '1.0.0', 'old');
mirror('postgres', 'unused', '1.0.0', 'old');
mirror('postgres', 'decided', '1.0.0', 'old');
$node->safe_psql('postgres', 'SELECT integ_define($m$' . manifest(@$_) . '$m$)')
  for [ 'own', '1.0.0', 'v1' ], [ 'own', '2.0.0', 'v2' ], [ 'later', '1.0.0', 'mine' ];
$node->safe_psql('postgres', <<'SQL');
INSERT INTO integ.plans VALUES ('gold', 'Gold', 1);
INSERT INTO integ.clients (id, name, plan) VALUES ('acme', 'Acme', 'gold');
UPDATE integ.definitions SET status = 'disabled' WHERE id = 'decided';
SQL
$node->safe_psql('postgres', <<'SQL');
SELECT integ_connect('own', 'shared', '{"site": "us"}', '{"grants": ["acme"], "default": true}');
SELECT integ_connect('own', 'borrows', '{}', '{"client": "acme", "borrow": "shared", "version": "latest"}');
SELECT integ_connect('own', 'pinned', '{}', '{"client": "acme", "version": "1"}');
SELECT integ_connect('brought', 'of_brought', '{}', '{"client": "acme"}');
SELECT integ_connect('later', 'of_later', '{}', '{"client": "acme"}');
UPDATE integ.instances SET is_active = false, deactivated_reason = 'A person' WHERE instance_id = 'pinned';
INSERT INTO integ.instance_methods (id, instance, client_id, method)
SELECT 'extra', id, client_id, '{"id": "extra", "name": "Extra", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET"}}'
FROM integ.instances WHERE instance_id = 'pinned';
SQL
my %before = map { $_ => $node->safe_psql('postgres', $state{$_}) } keys %state;
$node->run_log([ 'pg_dump', '--dbname' => $node->connstr('postgres'), '--file' => $dump ]);

# --- the same installation ---

restore('same');
mirror('same', 'unused', '1.0.0', 'old');
is($node->safe_psql('same', $state{$_}), $before{$_}, "same: $_ are as they were") for sort keys %state;
is($node->safe_psql('same', q(SELECT id FROM integ_methods('pinned'))), "extra\nv1", 'same: the pinned instance finds its version');
is($node->safe_psql('same', q(SELECT integ_resolve('own'))), 'shared', 'same: the default is still marked');

# --- a newer one, which brings other versions and a definition of a user's id ---

restore('newer', sub {
	$node->safe_psql('newer', 'CREATE EXTENSION integ');
	mirror('newer', 'brought', '2.0.0', 'new');
	mirror('newer', 'decided', '1.1.0', 'new');
	mirror('newer', 'later', '5.0.0', 'theirs');
});
is($node->safe_psql('newer', q(SELECT version, builtin FROM integ.definitions WHERE id = 'brought')),
	'2.0.0|t', 'newer: the installed version stays the current one');
is($node->safe_psql('newer', q(SELECT id FROM integ_methods('of_brought'))),
	'old', 'newer: an instance stays with its major version');
is($node->safe_psql('newer', q(SELECT id FROM integ_methods('brought'))), 'new', 'newer: a new one would get the new version');
is($node->safe_psql('newer', q(SELECT version, status, customized FROM integ.definitions WHERE id = 'decided')),
	'1.1.0|disabled|t', 'newer: what a superadmin decided holds');
is($node->safe_psql('newer', q(SELECT version, builtin FROM integ.definitions WHERE id = 'later')),
	'1.0.0|f', 'newer: the users\' definition wins');
is($node->safe_psql('newer', q(SELECT string_agg(version, ' ') FROM integ.definition_versions WHERE id = 'later')),
	'1.0.0', 'newer: with none of the other\'s versions');
is($node->safe_psql('newer', $state{$_}), $before{$_}, "newer: $_ are as they were") for qw(instances grants methods);

# --- a restored instance goes on ---

$node->safe_psql('same', q(UPDATE integ.instances SET config = '{"site": "asia"}' WHERE instance_id = 'shared'));
is($node->safe_psql('same', q(SELECT origin FROM integ.instances WHERE instance_id = 'shared')),
	'https://asia.example.com', 'an UPDATE is checked again after the restore');

done_testing();

# The periodic health check: every active instance is looked at, one that fails
# keeps no other from its check, and nothing waits for the network inside a transaction.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(free_port);
use Test::More;

my $provider = Integ::Provider->start(token => 'health-token');
my $node = Integ::Cluster->create('health');

sub definition
{
	my ($id, $extra) = @_;
	return qq(SELECT integ_define(\$\${"integrationId": "$id", "name": "$id", "version": "1.0.0", "baseUrl": "{config.base_url}",
		"authType": "bearer", $extra
		"configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
		"credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
		"methods": [{"id": "ping", "name": "Ping", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
			"request": {"method": "GET", "path": "/v1/countries/FR"}}]}\$\$::jsonb););
}

sub connect_to
{
	my ($definition, $handle, $url, $token, $status) = @_;
	$node->safe_psql('postgres', qq(SELECT integ_connect('$definition', '$handle', '{"base_url": "$url"}')));
	$node->safe_psql('postgres', qq(SELECT integ_credential_set('$handle', 'token', '$token'))) if defined $token;
	# As after a first success: the job looks at what is in use.
	$node->safe_psql('postgres', sprintf q(UPDATE integ.instances SET status = '%s' WHERE instance_id = '%s'), $status // 'active', $handle);
	return;
}

$node->safe_psql('postgres', definition('checked', '"healthCheck": "ping",'));
$node->safe_psql('postgres', definition('unchecked', ''));
my $closed = 'http://127.0.0.1:' . free_port();
connect_to('checked', 'a_closed', $closed, 'health-token');
connect_to('checked', 'b_naked', $provider->url(''));
connect_to('checked', 'c_well', $provider->url(''), 'health-token');
connect_to('checked', 'd_refused', $provider->url(''), 'another-token');
connect_to('checked', 'e_off', $provider->url(''), 'health-token');
connect_to('unchecked', 'f_none', $provider->url(''), 'health-token');
connect_to('checked', 'g_new', $provider->url(''), 'health-token', 'initializing');
connect_to('checked', 'h_empty', $provider->url(''), undef, 'initializing');
$node->safe_psql('postgres', q(UPDATE integ.instances SET is_active = false WHERE instance_id = 'e_off'));
$provider->forget;

sub run_job
{
	$node->safe_psql('postgres', q(UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'health'));
	$node->wait_for_sql(q(SELECT next_run_at > now() AND last_duration IS NOT NULL FROM integ.maintenance_jobs WHERE name = 'health'));
	return;
}

run_job();
$node->wait_for_sql(q(SELECT count(*) = 5 FROM integ.instances WHERE health ? 'last_checked'), 'all to be checked');
sub health { return $node->safe_psql('postgres', "SELECT $_[1] FROM integ.instances WHERE instance_id = '$_[0]'"); }
is(health('c_well', q(status || ' ' || (health ->> 'state'))), 'active healthy', 'a service that is well');
ok(health('c_well', q(health ->> 'latency')) ne '', 'its latency is kept');
is(health('a_closed', q(status || ' ' || (health ->> 'state') || ' ' || (health #>> '{details,sqlstate}'))),
	'active unhealthy IG504', 'a service that is down: not disconnected for that');
is(health('b_naked', q((health ->> 'state') || ' ' || (health #>> '{details,sqlstate}'))), 'unhealthy IG401',
	'an instance without its credential');
is(health('d_refused', q(status || ' ' || (health #>> '{details,sqlstate}'))), 'reauth_required IG401',
	'credentials that the service refuses');
is(health('e_off', q(health)), '{}', 'what is switched off is left alone');
is(health('f_none', q(health)), '{}', 'and what has no health check');
is(health('g_new', q(status || ' ' || (health ->> 'state'))), 'active healthy', 'one whose credentials were just entered becomes active');
is(health('h_empty', q(status || ' ' || health)), 'initializing {}', 'one that still waits for them is left alone');
is($provider->count('/v1/countries/FR'), 3, 'the service was asked once for each that could be');
is($node->safe_psql('postgres', q(SELECT last_error IS NULL FROM integ.maintenance_jobs WHERE name = 'health')), 't',
	'findings are no failure of the job');
is($node->safe_psql('postgres', q(SELECT count(*) FROM integ.events WHERE kind = 'instance.health')), '5', 'each change is an event');

# A person's check finds what has come back; a second round tells of no change.
$node->safe_psql('postgres', q(SELECT integ_credential_set('b_naked', 'token', 'health-token')));
is($node->safe_psql('postgres', q(SELECT integ_test('b_naked') ->> 'state')), 'healthy', 'recovery');
is(health('b_naked', 'status'), 'active', 'ends reauth_required');
run_job();
is($node->safe_psql('postgres', q(SELECT count(*) FROM integ.events WHERE kind = 'instance.health')), '6', 'only what changed is told');

is($node->safe_psql('postgres', q(SELECT integ_test('h_empty') #>> '{details,sqlstate}')), 'IG401', 'a person may look earlier');
is(health('h_empty', 'status'), 'initializing', 'which is no refusal by the service');

# An instance whose row somebody holds does not keep the others from their check.
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN');
$holder->query_safe(q(SELECT FROM integ.instances WHERE instance_id = 'a_closed' FOR UPDATE));
my ($state, $report) = $node->sql_error(q(SET statement_timeout = '300ms'; SELECT integ_test('a_closed')));
is($state, '57014', 'a cancel during the check is a cancel, not a finding') or diag $report;
$holder->query_safe('ROLLBACK');
$holder->quit;
is($node->safe_psql('postgres', q(SELECT integ_test('f_none') ->> 'state')), 'unknown', 'without a health check the state is unknown');

done_testing();

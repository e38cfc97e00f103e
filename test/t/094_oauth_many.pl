# Hundreds of tokens (make check-long: a thousand) that expire in the same minute, and neighbours that hang or cannot
# be refreshed at all.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(rounds wait_until);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $instances = rounds(200, 1000);
my $node = Integ::Cluster->create('main', conf => [ "integ.log_flush = '20ms'", 'max_connections = 60',
	"integ.request_timeout = '10min'" ]);
my $provider = Integ::Provider->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub define
{
	my ($id, $query, $version) = @_;
	my $manifest = encode_json({
			integrationId => $id, name => $id, version => $version // '1.0.0', category => 'custom',
				baseUrl => $provider->url, authType => 'oauth2',
			oauth2Config => { tokenUrl => $provider->url("/oauth/$id/token$query"), grantType => 'client_credentials',
				tokenEndpointAuthMethod => 'none' },
			methods => [ { id => 'me', name => 'Me', access => 'read', inputSchema => {}, outputSchema => {},
				request => { method => 'GET', path => "/oauth/$id/me" } } ] });
	sql("SELECT integ_define(\$\$$manifest\$\$)");
	return;
}

# Makes instances of a definition, with a token each.
sub connect_many
{
	my ($id, $count) = @_;
	sql("SELECT integ_credential_set('definition:$id', 'client_id', 'app')");
	sql("SELECT count(integ_connect('$id', '${id}_' || g)) FROM generate_series(1, $count) g");
	sql("SELECT count(integ_oauth_refresh('${id}_' || g)) FROM generate_series(1, $count) g");
	return;
}

# As if the lives of the tokens had passed but for ten minutes: the clock of refreshes is the row's.
sub make_due
{
	my ($id) = @_;
	sql("UPDATE integ.credentials c SET expires_at = now() + interval '10 min' FROM integ.instances i
		WHERE i.id = c.instance AND i.definition = '$id' AND c.name = 'access_token'");
	sql("UPDATE integ.oauth_tokens t SET expires_at = now() + interval '10 min', refresh_at = now() FROM integ.instances i
		WHERE i.id = t.instance AND i.definition = '$id'");
	return;
}

sub of { my ($id,
	$what) = @_; return sql("SELECT $what FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance WHERE i.definition = '$id'") }
sub refreshed { my ($id, $version, $count) = @_;
	return $node->wait_for_sql("SELECT count(*) = $count FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance
		WHERE i.definition = '$id' AND t.version >= $version", "$count refreshes of $id") }

{
	define('many', '');
	connect_many('many', $instances);
	define('many', '?_fault=delay&ms=50', '1.1.0');
	my $requests = $provider->count('/oauth/many/token');
	my $started = sql('SELECT now()');
	my $begun = time();
	make_due('many');
	refreshed('many', 2, $instances);
	note(sprintf '%d tokens refreshed in %.1f s', $instances, time() - $begun);
	is(of('many',
		"count(*) FILTER (WHERE t.obtained_at >= '$started'::timestamptz + interval '10 min' OR t.failures > 0)"), 0,
		"$instances tokens that expire in the same minute are refreshed before");
	is($provider->count('/oauth/many/token') - $requests, $instances, 'with one request each');
	my $peak = $provider->request('GET', '/peak');
	cmp_ok($peak, '<=', 50, 'no more than integ.refresh_concurrency at once');
	cmp_ok($peak, '>', 10, 'but many');
	is(sql(q(SELECT integ_execute('many_1', 'me') IS NOT NULL)), 't', 'and they are good');
	my ($state) = sql(q(SELECT state || '|' || queue_depth FROM integ_status() WHERE component = 'tokens'));
	is($state, "$instances kept, 0 expire within 10 minutes, 0 expired|0", 'the status agrees');
}

# One bad neighbour stops nobody: a service that never answers has nine of ten places, and others cannot be asked for.
{
	define('hanging', '');
	connect_many('hanging', 9);
	define('broken', '');
	connect_many('broken', 30);
	sql(q(DELETE FROM integ.credentials WHERE owner_id = 'broken'));
	$node->append_conf('postgresql.conf', 'integ.refresh_concurrency = 10');
	$node->restart;
	define('hanging', '?before=ever', '1.1.0');
	my $waiting = $provider->count('/oauth/hanging/token') + 9;
	make_due('hanging');
	wait_until('nine requests that hang', sub { $provider->count('/oauth/hanging/token') == $waiting });
	make_due('broken');
	make_due('many');
	refreshed('many', 3, $instances);
	pass('others are refreshed meanwhile');
	is(of('hanging', 'count(*) FILTER (WHERE t.version > 1)'), 0, 'while it hangs');
	$node->wait_for_sql(q(SELECT count(*) = 30 FROM integ.oauth_tokens WHERE failures > 0 AND refresh_at > now() AND last_sqlstate = 'IG401'),
		'those that cannot be asked for wait for their next attempt');
	like(sql(q(SELECT last_error FROM integ_status() WHERE component = 'tokens')),
		qr/^broken_\d+: "broken_\d+" has no client_id/, 'the status says why');
	is(sql(q(SELECT integ_execute('broken_1', 'me') IS NOT NULL)), 't', 'and use the token that they have');
	$provider->request('GET', '/open/ever');
	refreshed('hanging', 2, 9);
	pass('what hung is refreshed when it answers');
}

done_testing();

# Rotating refresh tokens at a server that revokes everything when one is shown twice: 64 sessions find the same
# expired token again and again, and dispatchers die. A grant is lost only where the service's answer was.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Node;
use Integ::Provider;
use Integ::Test qw(rounds seed slurp wait_until);
use IPC::Run ();
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);

BEGIN
{
	plan skip_all => Integ::Node->missing if Integ::Node->missing;
	require Integ::Authorization;
}

seed();
my $sessions = 64;
my $rounds = rounds(20, 1000);
my $crashes = rounds(5, 100);
my $node = Integ::Cluster->create('main', conf => [ 'max_connections = 100', "integ.log_flush = '20ms'" ]);
my $server = Integ::Authorization->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub granted { return $server->counts->{'refresh_token granted'} // 0 }
sub instance { my ($column) = @_; return sql("SELECT $column FROM integ.instances WHERE instance_id = 'crm'") }
# Each token is a row's version: the first of an authorization, and then those of its refreshes.
sub version { return sql(q(SELECT coalesce(sum(t.version), 0) FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance WHERE i.instance_id = 'crm')) }
sub expire { sql(q(UPDATE integ.credentials SET expires_at = now() - interval '1 min' WHERE name = 'access_token')); return }

sub authorize
{
	my ($target, $options) = @_;
	my ($url, $state) = split /\|/,
		sql("SELECT authorization_url, state FROM integ_oauth_start('$target', '$options')");
	my %params = $server->agree($url);

	return sql(sprintf q(SELECT status FROM integ_oauth_callback('%s', '%s', params => '{"iss": "%s"}')),
		$params{state}, $params{code}, $params{iss});
}

my $pid_query = q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher');

sub dispatcher { return wait_until('a dispatcher', sub { my ($status, $pid) = $node->psql('postgres',
	$pid_query); $status == 0 && $pid }) }

sub kill_dispatcher
{
	my $pid = dispatcher();

	kill 'KILL', $pid;
	wait_until('the restart after the crash', sub { my ($status, $now) = $node->psql('postgres',
		$pid_query); $status == 0 && $now && $now != $pid });
	return;
}

my $script = $node->basedir . '/execute.sql';
Integ::Test::spew($script, "SELECT integ_execute('crm', 'me');\n");
my @pgbench = ('pgbench', '-n', '-c', $sessions, '-t', 1, '-j', 2, '-f', $script, '-h', $node->host, '-p',
	$node->port, 'postgres');

# All sessions at once, while something happens; whether all succeeded.
sub all_at_once
{
	my ($meanwhile) = @_;
	my $output = '';
	my $run = IPC::Run::start(\@pgbench, '>', \$output, '2>&1');

	$meanwhile->() if $meanwhile;
	IPC::Run::finish($run);
	return $output =~ m{processed: $sessions/$sessions} && $output !~ /failed transactions: [1-9]/ ? '' : $output;
}

$server->define($node, 'oidc', tokenEndpointAuthMethod => 'client_secret_basic');
sql(q(SELECT integ_credential_set('definition:oidc', 'client_id', 'basic')));
sql(q(SELECT integ_credential_set('definition:oidc', 'client_secret', 'sec:ret/+ %')));
is(authorize('oidc', '{"instance_id": "crm"}'), 'completed', 'authorized');

# Nothing dies: one request for all, each time.
{
	my ($before, $failed, $several) = (granted(), '', 0);

	for my $round (1 .. $rounds)
	{
		my $already = granted();

		expire();
		$failed ||= all_at_once();
		$several++ if granted() != $already + 1;
	}
	is($failed, '', "$sessions sessions with one expired token all succeed, $rounds times");
	is($several, 0, 'each time with exactly one request');
	is($server->counts->{'refresh_token refused'} // 0, 0, 'none was refused');
	is(version() - 1, granted() - $before, 'each token that came is kept');
}

# Dispatchers die at random moments. Each time: it works again by itself, or the service had answered and it says so.
{
	my ($lost, $avoidable, $unexplained, $survived) = (0, 0, 0, 0);

	for my $round (1 .. $crashes)
	{
		my ($kept, $came) = (version(), granted());

		expire();
		all_at_once(sub { sleep(0.05 + rand 0.25); kill_dispatcher() });
		# What crashed before it was done is asked for again.
		my ($status, $out) = $node->psql('postgres', q(SELECT integ_execute('crm', 'me') ->> 'sub'));
		if ($status == 0)
		{
			$survived++;
			next;
		}
		my ($tokens, $reason) = (granted() - $came, instance('last_error'));
		$lost++;
		$avoidable++ if instance('status') ne 'reauth_required' || $tokens <= version() - $kept;
		$unexplained++ if $reason !~ /cut off between the service's answer and its being stored/;
		note("round $round: $out; $tokens came, " . (version() - $kept) . " kept; $reason");
		is(authorize('crm', '{}'), 'completed', "round $round: authorized again");
	}
	note("$crashes crashes: $survived survived, $lost lost an answer");
	cmp_ok($survived + $lost, '==', $crashes, 'each crash comes to an end');
	is($avoidable, 0, 'a grant is lost only where an answer was');
	is($unexplained, 0, 'and then the instance says why');
	is(all_at_once(), '', 'it goes on');
}

# The two moments that matter, one by one.
{
	my $provider = Integ::Provider->start;
	my $token_url = sub { my ($query) = @_; return $provider->url("/oauth/rotating/token$query") };
	my $version = 0;
	my $define = sub {
		my ($query) = @_;
		my $manifest = encode_json({
				integrationId => 'rotating', name => 'Rotating', version => '1.' . $version++ . '.0',
					category => 'custom', baseUrl => $provider->url, authType => 'oauth2',
				oauth2Config => { authorizationUrl => 'https://login.example.com/',
					redirectUri => 'https://db.example.com/', tokenEndpointAuthMethod => 'none',
					tokenUrl => $token_url->($query) },
				methods => [ { id => 'me', name => 'Me', access => 'read', inputSchema => {}, outputSchema => {},
					request => { method => 'GET', path => '/oauth/rotating/me' } } ] });
		sql("SELECT integ_define(\$\$$manifest\$\$)");
	};
	my $status = sub { return sql(q(SELECT status FROM integ.instances WHERE instance_id = 'rota')) };
	my $authorize = sub {
		my ($target) = @_;
		my $state = sql(qq(SELECT state FROM integ_oauth_start('$target',
			'@{[$target eq 'rota' ? '{}' : '{"instance_id": "rota"}']}')));
		return sql("SELECT status FROM integ_oauth_callback('$state', 'good')");
	};
	# A refresh that the service has begun, and has not answered; returns when it arrived there.
	my $begin = sub {
		my ($query) = @_;
		my $arrived = $provider->count('/oauth/rotating/token');

		$define->($query);
		sql(q(UPDATE integ.oauth_tokens SET refresh_at = now() WHERE instance = (SELECT id FROM integ.instances WHERE instance_id = 'rota')));
		wait_until('the request to arrive', sub { $provider->count('/oauth/rotating/token') > $arrived });
	};
	my $open = sub { my ($key) = @_; $provider->request('GET', "/open/$key") };
	my $seen = sub { return $provider->request('GET', '/oauth/rotating/seen')->{grants} };
	my $settled = sub {
		my ($what) = @_;
		$node->wait_for_sql(q(SELECT refresh_started_at IS NULL AND (refresh_at > now() OR refresh_at IS NULL)
			FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance WHERE i.instance_id = 'rota'),
				$what);
	};

	$define->('');
	sql(q(SELECT integ_credential_set('definition:rotating', 'client_id', 'me')));
	is($authorize->('rotating'), 'completed', 'authorized at the other service');

	$begin->('?before=first');
	$define->('');
	kill_dispatcher();
	$settled->('a refresh after the crash');
	is($status->(), 'active', 'a crash before the service has acted costs nothing');
	is($seen->()->{'refresh_token granted'}, 1, 'the same refresh token did');
	$open->('first');

	# The answer holds what cannot be had twice: who is told to stop waits for it.
	$begin->('?after=second');
	$define->('');
	my $pid = dispatcher();
	kill 'TERM', $pid;
	$open->('second');
	wait_until('another dispatcher', sub { my ($failed, $now) = $node->psql('postgres',
		$pid_query); $now && $now != $pid });
	$settled->('the answer to be kept');
	is($status->(), 'active', 'a dispatcher that is told to stop keeps the answer that it waits for');

	$begin->('?after=third');
	$define->('');
	kill_dispatcher();
	$open->('third');
	$settled->('the end of the refresh after the crash');
	is($status->(), 'reauth_required', 'a crash between the answer and its being stored needs a person');
	like(sql(q(SELECT last_error FROM integ.instances WHERE instance_id = 'rota')),
		qr/used before.*a rotated token was lost/, 'and says why');
	is($authorize->('rota'), 'completed', 'who authorizes it again');
	is(sql(q(SELECT integ_execute('rota', 'me') IS NOT NULL)), 't', 'and it works');
}

done_testing();

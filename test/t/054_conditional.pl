# Conditional requests: what has not changed is not sent again; and nobody gets what is somebody else's.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(wait_until);
use JSON::PP;
use Test::More;

my $node = Integ::Cluster->create('main');
my $provider = Integ::Provider->start;
my $json = JSON::PP->new->canonical->utf8;

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

my $manifest = {
	integrationId => 'docs', name => 'Docs', version => '1.0.0', baseUrl => $provider->url(''), authType => 'bearer',
	credentialSchema => { type => 'object', properties => { token => { type => 'string' } } },
	methods => [
		{ id => 'get', name => 'Get', conditional => JSON::PP::true, outputSchema => {},
			inputSchema => { type => 'object', properties => { key => { type => 'string', default => 'a' }, no_store => {},
				bare => {}, fault => {} } },
			request => { method => 'GET', path => '/versioned/{key}', query => { no_store => '{no_store}', bare => '{bare}',
				_fault => '{fault}', code => '500' } },
			response => { map => '.data.version' } },
		{ id => 'plain', name => 'Plain', outputSchema => {}, inputSchema => {},
			request => { method => 'GET', path => '/versioned/a' }, response => { map => '.data.version' } },
		{ id => 'since', name => 'Since', outputSchema => {}, inputSchema => {},
			request => { method => 'GET', path => '/versioned/a',
				headers => { 'If-Modified-Since' => 'Sun, 01 Jan 2034 00:00:00 GMT' } },
			response => { map => '.data.version' } } ] };
sub define
{
	sql("SELECT integ_define('" . $json->encode($manifest) . "', '{\"replace\": true}')");
	return;
}
define();
sql(q(SELECT integ_connect('docs', 'docs_main'); SELECT integ_credential_set('docs_main', 'token', 'sekrit-1')));

# The result, and what was asked of the service and how it answered.
sub get
{
	my ($input, $role, $method) = @_;
	$provider->request('DELETE', '/log');
	my $result = sql(($role ? "SET ROLE $role; " : '') . "SELECT integ_execute('docs_main', '" . ($method // 'get')
		. "', '" . $json->encode($input // {}) . "')");
	my ($request) = $provider->log;
	return ($result, $request->{headers}{'if-none-match'} // '', $request->{headers}{'if-modified-since'} // '');
}

sub change { return $provider->request('POST', '/versioned/' . ($_[0] // 'a')); }

is_deeply([ get() ], [ 0, '', '' ], 'the first time all is asked for');
is_deeply([ get() ], [ 0, '"v0"', 'Sat, 01 Jan 2000 00:00:00 GMT' ], 'then only what has changed');
$node->wait_for_sql(q(SELECT count(*) FILTER (WHERE status = 304 AND sqlstate IS NULL AND response_bytes = 0) = 1
	AND count(*) FILTER (WHERE status = 200) = 1 FROM integ.requests));
change();
is_deeply([ get() ], [ 1, '"v0"', 'Sat, 01 Jan 2000 00:00:00 GMT' ], 'what has changed comes');
is_deeply([ get() ], [ 1, '"v1"', 'Sat, 01 Jan 2000 00:00:01 GMT' ], 'and is kept');
is(sql('SELECT count(*) FROM integ.answers'), 1, 'in place of the one before');
is_deeply([ get({ key => 'b' }) ], [ 0, '', '' ], 'another input is another answer');
is_deeply([ get({ no_store => 1 }) ], [ 1, '', '' ], 'what the service does not want kept …');
is_deeply([ get({ no_store => 1 }) ], [ 1, '', '' ], '… is not');
is_deeply([ get({ bare => 1 }) ], [ 1, '', '' ], 'nor what it cannot be asked about') for 1, 2;
is_deeply([ get({}, undef, 'plain') ], [ 1, '', '' ], 'a method that is not conditional asks for all') for 1, 2;
is_deeply([ get({}, undef, 'since') ], [ '', '', 'Sun, 01 Jan 2034 00:00:00 GMT' ],
	'the manifest\'s own condition: nothing is new');
my ($state) = $node->sql_error(q(SELECT integ_execute('docs_main', 'get', '{"fault": "status"}')));
is($state, 'IG502', 'an error of the service');
is(sql('SELECT count(*) FROM integ.answers'), 2, 'is not kept');

# What is rolled back is asked for again; what cannot be written is not an error.
sql(q(DELETE FROM integ.answers));
sql(q(BEGIN; SELECT integ_execute('docs_main', 'get'); ROLLBACK));
sql(q(BEGIN READ ONLY; SELECT integ_execute('docs_main', 'get'); COMMIT));
is(sql('SELECT count(*) FROM integ.answers'), 0, 'nothing is kept by a transaction that keeps nothing');
is(sql(q(BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT integ_execute('docs_main', 'get');
	SELECT integ_execute('docs_main', 'get'); COMMIT;
	SELECT count(*) FROM integ.answers)), "1\n1\n1", 'a serializable transaction keeps its answer, and finds it');

# A transaction that stays open holds up no other.
my $open = $node->background_psql('postgres');
change();
$open->query_safe(q(BEGIN; SELECT integ_execute('docs_main', 'get')));
is((get())[0], 2, 'a second session asks and is answered while the first has not ended');
$open->query_safe('COMMIT');
$open->quit;
is((get())[1], '"v2"', 'one of both is found');
sql(q(UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'answers'));
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.answers));
pass('and the job leaves one');

# Other people, other credentials, another definition.
sql(q(CREATE ROLE ann LOGIN; CREATE ROLE ben LOGIN; GRANT integ_user TO ann, ben;
	INSERT INTO integ.clients (id, name) VALUES ('acme', 'Acme'), ('bolt', 'Bolt');
	INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('ann', 'acme', 'ann', 'user'), ('ben', 'bolt',
		'ben', 'user');));
is((get({}, 'ann'))[1], '', 'another client does not get the answer of the first');
is((get({}, 'ann'))[1], '"v2"', 'but its own');
is((get({}, 'ben'))[1], '', 'nor does a third');
is(sql(q(SET ROLE ben; SELECT count(*) || ' ' || min(client_id) FROM integ.answers)), '1 bolt',
	'which sees its own only');
sql(q(SET ROLE ben; DELETE FROM integ.answers));
is(sql(q(SELECT string_agg(client_id, ' ' ORDER BY client_id) FROM integ.answers)), '* acme',
	'and forgets its own only');
($state) = $node->sql_error(q(SET ROLE ben; SELECT request_hash FROM integ.answers));
is($state, '42501', 'the hash of a request is nobody\'s');
sql(q(SELECT integ_credential_set('docs_main', 'token', 'sekrit-2')));
is((get())[1], '', 'another credential may mean another account');
is((get())[1], '"v2"', 'whose answers are kept again');
$manifest->{methods}[0]{response}{map} = '.data';
define();
is_deeply([ get() ], [ '{"version": 2}', '', '' ], 'another map gives another result');

# Durable calls take part.
sql(q(SELECT integ_enqueue('docs_main', 'get')));
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.calls WHERE state = 'succeeded' AND result = '{"version": 2}'));
$node->wait_for_sql(q(SELECT status = 304 FROM integ.requests ORDER BY created_at DESC, id DESC LIMIT 1));
pass('a durable call is answered by what is kept');

# The last good answer stands in where the service cannot be asked, or cannot answer.
my $fragile = Integ::Provider->start;
sub fallback
{
	my ($method, $input) = @_;
	my ($out, $err);
	$node->psql('postgres', "\\set VERBOSITY verbose\nSELECT integ_execute('fragile', '$method', '" . ($input // '{}')
		. "', '{\"fallback\": \"stale\"}')",
		stdout => \$out, stderr => \$err);
	my ($kind, $code) = $err =~ /(WARNING|ERROR):\s+(\w{5}):/;
	return ($out, $kind // '', $code // '', $err);
}
my %limited = (%$manifest, integrationId => 'fragile_kind', baseUrl => $fragile->url(''), methods => [
	{ id => 'free', name => 'Free', outputSchema => {}, inputSchema => {}, request => { method => 'GET',
		path => '/versioned/a' }, response => { map => '.data' } },
	{ id => 'once', name => 'Once', outputSchema => {}, inputSchema => {}, rateLimit => { requestsPerHour => 1 },
		request => { method => 'GET', path => '/versioned/b' }, response => { map => '.data' } },
	{ id => 'write', name => 'Write', outputSchema => {}, inputSchema => {}, request => { method => 'POST',
		path => '/versioned/c' } } ]);
sql("SELECT integ_define('" . $json->encode(\%limited)
	. "'); SELECT integ_connect('fragile_kind', 'fragile'); SELECT integ_credential_set('fragile', 'token', 'x')");
is(join(' ', (fallback('once'))[0 .. 2]), '{"version": 0}  ', 'a good answer comes without a warning');
$fragile->request('POST', '/versioned/b');
my ($result, $kind, $code, $report) = fallback('once');
is("$result $kind $code", '{"version": 0} WARNING IG429', 'where the limit is reached, the last one');
like($report,
	qr/fragile\.once gives its last good answer, which is 00:0\d:\d\d old.*DETAIL:.*Instead of a new one: the rate limit/s,
	'with its age and the reason');
($state) = $node->sql_error(q(SELECT integ_execute('fragile', 'once')));
is($state, 'IG429', 'without the option it is an error');
is(join(' ', (fallback('once', '{"x": 1}'))[0 .. 2]), '{"version": 0} WARNING IG429',
	'the same request is meant, not the same input');
is(join(' ', (fallback('free'))[0 .. 2]), '{"version": 0}  ', 'kept without a validator too');
$fragile->stop;
is(join(' ', (fallback('free'))[0 .. 2]), '{"version": 0} WARNING IG504', 'where the service is gone, the last one');
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.requests WHERE instance_id = 'fragile' AND sqlstate = 'IG504'));
wait_until('the circuit breaker to open', sub { (fallback('free'))[2] eq 'IG503' });
($result, $kind, $code, $report) = fallback('free');
is("$result $kind $code", '{"version": 0} WARNING IG503', 'while the circuit is open, the last one');
like($report, qr/00:0\d:\d\d old.*Instead of a new one: the circuit breaker/s, 'with its age and the reason');
is((fallback('write'))[2], 'IG400', 'no older answer stands in for a write');
sql(q(DELETE FROM integ.answers));
sql(q(SELECT integ_breaker_reset('fragile')));
is((fallback('free'))[1] . (fallback('free'))[2], 'ERRORIG504', 'without one that is kept, the error comes');

# Old ones go.
get();
$node->append_conf('postgresql.conf', "integ.answer_retention = '1s'");
$node->reload;
$node->wait_for_sql(q(SELECT max(answered_at) < clock_timestamp() - interval '2 seconds' FROM integ.answers));
is((get())[1], '', 'what is too old is not used');
sql(q(UPDATE integ.answers SET answered_at = answered_at - interval '1 hour';
	UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'answers'));
$node->wait_for_sql(q(SELECT count(*) = 0 FROM integ.answers));
$node->append_conf('postgresql.conf', 'integ.answer_retention = 0');
$node->reload;
$node->wait_for_sql(q(SHOW integ.answer_retention) =~ s/SHOW (.*)/SELECT current_setting('$1') = '0'/r);
get();
is(sql('SELECT count(*) FROM integ.answers'), 0, 'none is kept where none is wanted');

done_testing();

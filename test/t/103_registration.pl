# Webhooks that integ registers: a handshake while the service is being asked,
# crashes between the service's answer and our commit, realtime tasks.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use HTTP::Tiny;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(free_port rounds seed slurp wait_until);
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);

seed();
my $json = JSON::PP->new->canonical->utf8;
my $provider = Integ::Provider->start;
my $port = free_port();
my $node = Integ::Cluster->create('registration', conf => [ 'integ.retry_delay = 20ms' ]);
my $http = HTTP::Tiny->new(timeout => 60);

sub method
{
	my ($id, $verb, $path, $input, %more) = @_;
	return {
		id => $id, name => $id, access => $verb eq 'GET' ? 'read' : 'write', outputSchema => {},
		inputSchema => { type => 'object', properties => { map { $_ => {} } qw(book id), @$input } },
		request => { method => $verb, path => $path, %{ $more{request} // {} } },
		map { $_ => $more{$_} } grep { $_ ne 'request' } keys %more };
}

sub define
{
	my ($id, $options, %webhook) = @_;
	my $manifest = {
		integrationId => $id, name => $id, version => '1.0.0', authType => 'none', baseUrl => $provider->url,
		circuitBreaker => { failureThreshold => 1000 },
		methods => [
			method('subscribe', 'POST', '/hooks/{book}', [qw(url events ms)],
				request => {
					query => { %$options, _fault => 'delay', ms => '{ms}' },
					body => {
						url => '{url}', events => '{events}',
						$options->{tells} ? () : (secret => '{credentials.hook_secret}') } }),
			method('unsubscribe', 'DELETE', '/hooks/{book}/{id}', []),
			method('list_hooks', 'GET', '/hooks/{book}', [],
				response => { records => '.hooks' }, pagination => { style => 'page', param => 'page', more => '.more' }),
			method('list', 'GET', '/sync/records', [], response => { records => '.data' }),
			method('get', 'GET', '/sync/records/{id}', []) ],
		entities => [ { id => 'Record', list => 'list', get => 'get', idField => 'id' } ],
		triggers => [
			{
				id => 'changed', name => 'c', type => 'updated', event => 'record.changed', entity => 'Record',
				recordId => '.key' },
			{ id => 'given', name => 'g', type => 'created', event => 'record.given', entity => 'Record', record => '.record' },
			{ id => 'gone', name => 'd', type => 'deleted', event => 'record.gone', entity => 'Record', recordId => '.key' } ],
		webhook => {
			signature => { scheme => 'hmac-sha256', header => 'X-Signature', credential => 'hook_secret' },
			event => '.type', deliveryId => '.id', register => 'subscribe', unregister => 'unsubscribe',
			list => 'list_hooks', externalId => '.id',
			handshakes => [
				{ when => { method => 'GET', query => 'challenge' }, respond => { echo => { query => 'challenge' } } } ],
			%webhook } };
	delete $manifest->{webhook}{$_} for grep { !defined $manifest->{webhook}{$_} } keys %{ $manifest->{webhook} };

	$node->safe_psql('postgres', 'SELECT integ_define($m$' . $json->encode($manifest) . '$m$::jsonb)');
	$node->safe_psql('postgres', "SELECT integ_connect('$id', '${id}_main')");
	return;
}

sub value { return $node->safe_psql('postgres', shift) }

sub book { return $json->decode($http->get($provider->url("/hookbook/$_[0]"))->{content}) }

# Registers and waits: the status of the webhook.
sub register
{
	my ($instance, $trigger, $options) = @_;
	my ($webhook, $call) = split /\|/,
	  value("SELECT webhook, call FROM integ_webhook_register('$instance', '$trigger', '$options')");

	value("SELECT integ_await('$call', '60 s')");
	return value("SELECT status FROM integ.webhook_registrations WHERE webhook = '$webhook'");
}

# As the service sends it.
sub send_event
{
	my ($hook, %event) = @_;
	my $body = $json->encode(\%event);
	return $http->request('POST', $hook->{url},
		{ content => $body, headers => { 'x-signature' => hmac_sha256_hex($body, $hook->{secret}) } })->{status};
}

value("ALTER DATABASE postgres SET integ.listen_port = $port");
value("ALTER DATABASE postgres SET integ.public_url = 'http://127.0.0.1:$port'");
wait_until('the listener', sub { $http->get("http://127.0.0.1:$port/healthz")->{status} == 200 });

# --- a service that asks the address before it answers ---

define('shaking', { handshake => 1 }, secret => { generate => { bytes => 24, encoding => 'base64', prefix => 's-' } });
is(register('shaking_main', 'changed', '{"input": {"book": "shaking"}}'), 'active',
	'the address answers while it is registered');
my ($hook) = @{ book('shaking')->{hooks} };
like($hook->{secret}, qr{^s-[A-Za-z0-9+/]{32}$}, 'the service has the secret');
is(send_event($hook, type => 'record.changed', id => 'e1', key => 'r1'), 200, 'and what it signs with it is taken');
is(send_event({ %$hook, secret => 'wrong' }, type => 'record.changed', id => 'e2', key => 'r1'), 401,
	'and nothing else');

# --- a service that makes the secret itself ---

define('telling', { tells => 1 }, secret => { path => '.secret' });
is(register('telling_main', 'changed', '{"input": {"book": "telling"}}'), 'active', 'a secret in the answer');
($hook) = @{ book('telling')->{hooks} };
is(send_event($hook, type => 'record.changed', id => 'e1', key => 'r1'), 200, 'is kept');
unlike(value('SELECT string_agg(to_jsonb(c)::text, chr(10)) FROM integ.calls c'), qr/$hook->{secret}/,
	'in the vault alone');
my $dump = $node->data_dir . '/dump.sql';
$node->command_ok([ 'pg_dump', '--file', $dump, '--dbname', $node->connstr('postgres') ], 'a dump');
unlike(slurp($dump), qr/$hook->{secret}/, 'which does not have it');
value(q(SELECT integ_webhook_rotate('telling_main-changed')));
wait_until('another one', sub { my $b = book('telling'); @{ $b->{hooks} } == 1 && $b->{hooks}[0]{id} ne $hook->{id} });
my ($other) = @{ book('telling')->{hooks} };
my @statuses = map {
	send_event({ %$other, secret => $_->{secret} }, type => 'record.changed', id => "r$_->{id}", key => 'r1')
} $hook, $other;
is("@statuses", '200 200', 'while it is rotated both are valid');

# An answer that is lost takes the secret with it: what was made is removed, and made again.
define('losing', { tells => 1, lose => 1 }, secret => { path => '.secret' });
is(register('losing_main', 'changed', '{"input": {"book": "losing"}}'), 'active',
	'the answer with the secret was lost');
my $book = book('losing');
is(scalar(@{ $book->{hooks} }) . " of $book->{made}", '1 of 2', 'there is one, the second');
is(send_event($book->{hooks}[0], type => 'record.changed', id => 'e1', key => 'r1'), 200, 'whose secret is known');

# Without a list nobody can look.
define('blind', { lose => 1 }, secret => { generate => {} }, list => undef);
is(register('blind_main', 'changed', '{"input": {"book": "blind"}}'), 'unknown',
	'a lost answer that nobody can look for');
like(value(q(SELECT hint FROM integ.webhook_registrations WHERE status = 'unknown')), qr/Look at the service/,
	'is for a person');

# --- kill -9 while the service is asked ---

define('crashing', {}, secret => { generate => {} });
my $rounds = rounds(3, 40);

sub dispatcher_pid
{
	my ($status, $pid) =
	  $node->psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'));
	return $status == 0 && $pid ? $pid : 0;
}

for my $round (1 .. $rounds)
{
	my $pid = wait_until('a dispatcher', \&dispatcher_pid);

	value(qq(SELECT integ_webhook_register('crashing_main', 'changed',
		'{"webhook_id": "round-$round", "input": {"book": "crashing", "ms": 150}}')));
	sleep(0.05 + rand 0.2);
	kill 'KILL', $pid;
	wait_until('the restart after the crash', sub { my $now = dispatcher_pid(); $now && $now != $pid });
}
$node->wait_for_sql(q(SELECT count(*) = 0 FROM integ.calls_open WHERE purpose IS NOT NULL),
	'all registrations to end');
is(value(q(SELECT string_agg(DISTINCT status,
	' ') FROM integ.webhook_registrations WHERE definition = 'crashing')), 'active',
	"after $rounds crashes all are registered");
$book = book('crashing');
is(scalar(@{ $book->{hooks} }), $rounds, 'once each, and none is left over');
is(value(q(SELECT string_agg(external_id,
	',' ORDER BY external_id::int) FROM integ.webhook_registrations WHERE definition = 'crashing')),
	join(',', sort { $a <=> $b } map { $_->{id} } @{ $book->{hooks} }), 'and their ids are known');

# --- realtime tasks ---

define('live', {}, secret => { generate => {} });
value(q(SELECT integ_sync_into('live_main', 'Record', 'public.things', '{"start": false, "key": "id", "config":
		{"input": {"book": "live"}},
	"samples": [{"id": "r1", "name": "n", "value": 1}], "removal": "delete"}')));
value(q(UPDATE integ.sync_tasks SET schedule = '"realtime"' WHERE instance = (SELECT id FROM integ.instances
		WHERE instance_id = 'live_main')));
wait_until('the webhook of the task', sub { @{ book('live')->{hooks} } == 1 });
$node->wait_for_sql(q(SELECT status = 'active' FROM integ.webhook_status WHERE task IS NOT NULL), 'its registration');
($hook) = @{ book('live')->{hooks} };
is(join(' ', sort @{ $hook->{events} }), 'record.changed record.given record.gone',
	'it wants the events of the entity');
is(value(q(SELECT webhook_url FROM integ.webhook_status WHERE task IS NOT NULL)), $hook->{url},
	'its address can be read');
is(value('SELECT count(*) FROM things'), 0, 'nothing is there yet');

sub rows { return value(q(SELECT coalesce(string_agg(id || '=' || name, ', ' ORDER BY id), 'none') FROM things)) }

sub becomes
{
	my ($wanted, $what) = @_;
	wait_until($what, sub { rows() eq $wanted });
	is(rows(), $wanted, $what);
	return;
}

send_event($hook, type => 'record.changed', id => 'l1', key => 'r7');
becomes('r7=Record 7 v1', 'an event that names a record has it fetched');
is(value('SELECT DISTINCT trigger FROM integ.sync_executions'), 'webhook', 'by a run that a webhook has triggered');
send_event($hook, type => 'record.given', id => 'l2', record => { id => 'x1', name => 'as it came', value => 5 });
becomes('r7=Record 7 v1, x1=as it came', 'one that has the record stores that');
send_event($hook, type => 'record.gone', id => 'l3', key => 'x1');
becomes('r7=Record 7 v1', 'one that tells of a deletion deletes');
send_event($hook, type => 'record.changed', id => 'l4', key => 'r8');
send_event($hook, type => 'record.changed', id => 'l5', key => 'r9');
becomes('r7=Record 7 v1, r8=Record 8 v1, r9=Record 9 v1', 'several come together');
my $runs = value('SELECT count(*) FROM integ.sync_executions');
my $got = $provider->count('/sync/records/r5');
$node->safe_psql('postgres', q(SELECT integ_sync_pause('live_main.Record')));
send_event($hook, type => 'record.changed', id => 'l6', key => 'r5');
is(value('SELECT count(*) FROM integ.sync_executions'), $runs, 'a paused task is left alone');
is($provider->count('/sync/records/r5'), $got, 'and nothing is asked for it');
value(q(DELETE FROM integ.sync_tasks WHERE task_id = 'live_main.Record'));
wait_until('the webhook to be removed', sub { @{ book('live')->{hooks} } == 0 });
is(value(q(SELECT count(*) FROM integ.webhook_registrations WHERE task IS NOT NULL)), 0,
	'with the task its webhook goes');

# Without anything in the definition: the generic webhook.
$node->safe_psql('postgres', sprintf q(SELECT integ_define('%s'::jsonb)), $json->encode({
	integrationId => 'plain', name => 'Plain', version => '1.0.0', authType => 'none', baseUrl => $provider->url,
	methods => [ method('list', 'GET', '/sync/records', [], response => { records => '.data' }) ],
	entities => [ { id => 'Record', list => 'list', idField => 'id' } ] }));
value(q(SELECT integ_connect('plain', 'plain_main')));
value(q(SELECT integ_sync_into('plain_main', 'Record', 'public.plain_things', '{"start": false, "key": "id",
		"schedule": {"type": "realtime"},
	"samples": [{"id": "r1", "name": "n", "value": 1}], "removal": "delete"}')));
$node->wait_for_sql(q(SELECT status = 'manual' FROM integ.webhook_status WHERE task IS NOT NULL),
	'an address to be entered by hand');
my $url = value(q(SELECT webhook_url FROM integ.webhook_status WHERE task IS NOT NULL));
value(q(SELECT integ_credential_set('webhook:' || webhook, 'secret',
	'the-token') FROM integ.webhook_status WHERE task IS NOT NULL));

sub generic
{
	my (%event) = @_;
	return $http->request('POST', $url, { content => $json->encode(\%event),
		headers => { 'content-type' => 'application/json', authorization => 'Bearer the-token' } })->{status};
}

is(generic(event => 'record.created', data => { id => 'p1', name => 'plain', value => 1 }), 200,
	'the generic webhook takes a token');
wait_until('its record', sub { value('SELECT count(*) FROM plain_things') == 1 });
is(value('SELECT name FROM plain_things'), 'plain', 'and its data is the record');
is(generic(event => 'record.deleted', data => { id => 'p1' }), 200, 'a deletion');
wait_until('it to be gone', sub { value('SELECT count(*) FROM plain_things') == 0 });
is($http->request('POST', $url, { content => '{}', headers => { authorization => 'Bearer wrong' } })->{status},
	401, 'a wrong token');

done_testing();

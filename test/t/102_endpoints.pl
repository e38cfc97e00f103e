# Deliveries to endpoints that misbehave, and under kills: what was published
# arrives, in order where asked for, signed as other people's libraries expect.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Nginx;
use Integ::Node;
use Integ::Provider;
use Integ::Test qw(rounds seed slurp spew wait_until);
use Digest::SHA qw(hmac_sha256_hex);
use Encode ();
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json encode_json);
use Test::More;
use Time::HiRes qw(sleep);

seed();
my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('endpoints',
	conf => [ "integ.delivery_schedule = '100ms, 100ms, 1h'", "integ.delivery_timeout = '5s'" ]);

sub sql
{
	return $node->safe_psql('postgres', shift);
}

# An endpoint at a path of the provider, and its secret.
sub endpoint
{
	my ($name, $path, $types, %options) = @_;
	my $options = encode_json({ endpoint_id => $name, %options });
	return sql("SELECT coalesce(secret, public_key) FROM integ_endpoint_add('" . $provider->url($path) . "',
		'{$types}', '$options')");
}

sub publish
{
	my ($type, $payload, $options) = @_;
	return sql("SELECT integ_publish('$type', '$payload', '" . ($options // '{}') . "')");
}

sub ends
{
	my ($message, $state) = @_;
	$node->wait_for_sql("SELECT count(*) = 1 FROM integ.deliveries WHERE message = '$message' AND state = '$state'",
		"the delivery to be $state");
	return;
}

# The requests at that path, oldest first.
sub requests
{
	return $provider->log(shift);
}

# --- what arrives, to the libraries of others ---

my $secret = endpoint('hmac', '/echo/hmac', 'sign.hmac');
my $public = endpoint('ed25519', '/echo/ed25519', 'sign.ed25519', signature => 'ed25519');
my $message = publish('sign.hmac', '{"text": "grüße", "list": [1, 2.50, null]}');
ends($message, 'delivered');
my ($request) = requests('/echo/hmac');
my %headers = %{ $request->{headers} };
is($headers{'webhook-id'}, $message, 'the id of the event is its webhook-id');
is($headers{'content-type'}, 'application/json', 'the body is JSON');
is_deeply(
	decode_json(Encode::encode('UTF-8', $request->{body}))->{data}, { text => "gr\x{fc}\x{df}e",
		list => [ 1, 2.5, undef ] },
	'and has the payload');
ends(publish('sign.ed25519', '{"n": 1}'), 'delivered');
my ($asymmetric) = requests('/echo/ed25519');
my %other = %{ $asymmetric->{headers} };
like($other{'webhook-signature'}, qr{^v1a,[A-Za-z0-9+/]{86}==$}, 'an asymmetric signature is a v1a');

# A body of one's own, and the signature of a header of one's own: the key is the secret's text.
my $own = endpoint('own', '/echo/own', 'sign.*', filter => '$.own == true', signature_header => 'X-Acme-Signature',
	payload_template => { what => '{type}', lines => { '$each' => 'data.items', as => 'i', do => '{i.sku}' } });
ends(publish('sign.own', '{"own": true, "items": [{"sku": "a"}, {"sku": "b"}]}'), 'delivered');
my ($mine) = requests('/echo/own');
is_deeply(decode_json($mine->{body}), { what => 'sign.own', lines => [ 'a', 'b' ] }, 'a body made by a template');
is($mine->{headers}{'x-acme-signature'}, 'sha256=' . hmac_sha256_hex($mine->{body}, $own), 'and its own signature');
is(scalar(requests('/echo/own')), 1, 'what the filter does not want is not sent');

# While a secret is rotated both sign.
my $id = sql(q(SELECT id FROM integ.endpoints WHERE endpoint_id = 'hmac'));
my $new = 'whsec_' . 'QUJD' x 8;
sql("SELECT integ_credential_rotate('endpoint:$id', 'secret', '$new')");
ends(publish('sign.hmac', '{"n": 2}'), 'delivered');
my $rotated = (requests('/echo/hmac'))[1];
my %both = %{ $rotated->{headers} };
is(scalar(() = $both{'webhook-signature'} =~ /v1,/g), 2, 'both values of a secret that is rotated sign');

SKIP:
{
	skip(Integ::Node->missing, 2) if Integ::Node->missing;
	my $dir = tempdir(CLEANUP => 1);
	spew("$dir/verify.mjs", <<'JS');
import { readFileSync } from 'fs';
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';
import { verify as github } from '@octokit/webhooks-methods';
import { createPublicKey, verify } from 'crypto';
const cases = JSON.parse(readFileSync(0, 'utf8'));
for (const { secret, headers, body } of cases.hmac) {
  for (const Library of [Standard, Svix]) {
    new Library(secret).verify(body, headers);
    try { new Library(secret).verify(body + ' ', headers); console.log('tampered'); } catch (e) { }
  }
}
const own = cases.sha256;
if (!await github(own.secret, own.body, own.signature) || await github(own.secret, own.body + ' ', own.signature))
  console.log('sha256=');
const { key, headers, body } = cases.ed25519;
const raw = Buffer.from(key.slice('whpk_'.length), 'base64');
const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]);
const message = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
console.log(verify(null, Buffer.from(message), createPublicKey({ key: spki, format: 'der', type: 'spki' }),
  Buffer.from(headers['webhook-signature'].slice('v1a,'.length), 'base64')));
JS
	my $cases = encode_json({
		hmac => [
			{ secret => $secret, headers => \%headers, body => $request->{body} },
			{ secret => $secret, headers => \%both, body => $rotated->{body} },
			{ secret => $new, headers => \%both, body => $rotated->{body} } ],
		sha256 => { secret => $own, body => $mine->{body}, signature => $mine->{headers}{'x-acme-signature'} },
		ed25519 => { key => $public, headers => \%other, body => $asymmetric->{body} } });
	is(Integ::Node->run("$dir/verify.mjs", args => [], input => $cases), "true\n",
		'standardwebhooks, svix and @octokit/webhooks verify what is signed, and refuse what was changed; Node verifies v1a');
	pass('with the old secret and the new one');
}

# --- endpoints that misbehave ---

# The attempts of an event as "status sqlstate", in their order.
sub attempts
{
	my ($message) = @_;
	return sql("SELECT string_agg(coalesce(status::text, '-') || ' ' || coalesce(sqlstate, 'ok'), ', ' ORDER BY attempt)
		FROM integ.delivery_attempts WHERE message = '$message'");
}

sub attempted
{
	my ($message, $count) = @_;
	$node->wait_for_sql("SELECT count(*) >= $count FROM integ.delivery_attempts WHERE message = '$message'",
		"$count attempts");
	return attempts($message);
}

endpoint('once', '/fault/once?key=a&times=2&code=500', 'bad.once');
$message = publish('bad.once', '{}');
ends($message, 'delivered');
is(attempts($message), '500 IG502, 500 IG502, 200 ok', 'an endpoint that fails twice gets it the third time');
is(scalar(do { my %ids = map { $_->{headers}{'webhook-id'} => 1 } requests('/fault/once'); keys %ids }),
	1, 'under one webhook-id');

endpoint('hangs', '/fault/noanswer', 'bad.hangs', timeout => 200, retry_schedule => ['1 hour']);
like(attempted(publish('bad.hangs', '{}'), 1), qr/^- IG504$/, 'one that hangs is given up at its deadline');
endpoint('resets', '/fault/reset?after=0', 'bad.resets', retry_schedule => ['1 hour']);
like(attempted(publish('bad.resets', '{}'), 1), qr/^- IG50[24]$/, 'one that resets the connection has failed');
endpoint('taken', '/fault/reset', 'bad.taken', retry_schedule => ['1 hour']);
is(attempted(publish('bad.taken', '{}'), 1), '200 ok', 'one that does so after a 200 has taken the event');

# Private addresses but those of integ.allowed_addresses, whether by number or by name.
for my $url ('http://10.0.0.1/hook', 'http://169.254.169.254/latest', 'http://[::ffff:192.168.1.1]/')
{
	sql("SELECT integ_endpoint_add('$url', '{guard}', '{\"retry_schedule\": []}')");
}
$message = publish('guard', '{}');
$node->wait_for_sql("SELECT count(*) = 3 FROM integ.deliveries WHERE message = '$message' AND state = 'dead'",
	'deliveries to private addresses to end');
is(sql("SELECT string_agg(DISTINCT coalesce(status::text, '-') || ' ' || sqlstate, ', ')
	FROM integ.delivery_attempts WHERE message = '$message'"), '- IG403', 'private addresses are refused');
sql(q(DELETE FROM integ.endpoints WHERE event_types = '{guard}'));
endpoint('redirects', '/fault/redirect?to=/echo/elsewhere', 'bad.redirects', retry_schedule => ['1 hour']);
is(attempted(publish('bad.redirects', '{}'), 1), '302 IG422', 'a redirect is not followed');
is(scalar(requests('/echo/elsewhere')), 0, 'indeed');
endpoint('huge', '/fault/huge?bytes=2147483648', 'bad.huge');
$message = publish('bad.huge', '{}');
ends($message, 'delivered');
is(sql("SELECT status = 200 AND coalesce(length(response), 0) <= 1000 FROM integ.delivery_attempts
	WHERE message = '$message'"), 't',
	'of 2 GB that come with a 200 at most a kilobyte is kept');
my $memory = sql(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'));
cmp_ok((slurp("/proc/$memory/status") =~ /VmHWM:\s+(\d+)/)[0], '<', 400_000, 'and no more is read');

endpoint('later', '/fault/status?code=503&retry_after=600', 'bad.later');
$message = publish('bad.later', '{}');
is(attempted($message, 1), '503 IG502', 'one that is busy');
$node->wait_for_sql("SELECT next_attempt_at > now() + interval '9 minutes' FROM integ.deliveries_open
	WHERE message = '$message'",
	'Retry-After to be obeyed');

endpoint('gone', '/fault/status?code=410', 'bad.gone');
$message = publish('bad.gone', '{}');
ends($message, 'dead');
$node->wait_for_sql(q(SELECT status = 'disabled' AND status_reason ~ '410' FROM integ.endpoints
	WHERE endpoint_id = 'gone'),
	'a 410 to disable the endpoint');
is(sql(q(SELECT count(*) FROM integ.events WHERE kind = 'endpoint.disabled')), 1, 'an event tells it');
is(sql(q(SELECT count(*) FROM integ.deliveries WHERE message = ') . publish('bad.gone', '{}') . q(')), 0,
	'and nothing more is made for it');

# An hour of 500, by moving the times in the rows.
endpoint('hour', '/fault/once?key=hour&times=3&code=500', 'bad.hour');
$message = publish('bad.hour', '{}');
attempted($message, 3);
$node->wait_for_sql("SELECT next_attempt_at > now() + interval '50 minutes' FROM integ.deliveries_open
	WHERE message = '$message'",
	'the last delay of the schedule');
sql("UPDATE integ.deliveries_open SET next_attempt_at = now() WHERE message = '$message'");
ends($message, 'delivered');
$node->wait_for_sql(q(SELECT failing_since IS NULL FROM integ.endpoints WHERE endpoint_id = 'hour'),
	'the endpoint to have recovered');

# Days of failing.
endpoint('days', '/fault/status?code=500', 'bad.days');
attempted(publish('bad.days', '{}'), 1);
$node->wait_for_sql(q(SELECT failing_since IS NOT NULL FROM integ.endpoints WHERE endpoint_id = 'days'),
	'the failure to be noted');
sql(q(UPDATE integ.endpoints SET failing_since = now() - interval '6 days' WHERE endpoint_id = 'days'));
publish('bad.days', '{}');
$node->wait_for_sql(q(SELECT status = 'disabled' FROM integ.endpoints WHERE endpoint_id = 'days'),
	'days of failing to disable it');
is(sql(q(SELECT count(*) FROM integ.events e JOIN integ.notifications n USING (kind) WHERE kind = 'endpoint.disabled'
	AND e.payload ->> 'endpoint_id' = 'days' AND n.text ~ 'days')), 1, 'an event and a notification tell it');

# --- order, rate, pause ---

endpoint('ordered', '/fault/once?key=ordered&times=2&code=500', 'order.*', ordered => JSON::PP::true);
sql(q(SELECT count(integ_publish('order.n', jsonb_build_object('n', g), jsonb_build_object('key', 'k' || g % 2)))
	FROM generate_series(1, 20) g));
$node->wait_for_sql(q(SELECT count(*) = 20 FROM integ.deliveries WHERE event_type = 'order.n'
	AND state = 'delivered'), 'all to arrive');
for my $key (0, 1)
{
	# An attempt that failed is repeated before the next of its key.
	my (@order, %seen);
	for my $n (map { decode_json($_->{body})->{data}{n} } grep { $_->{args}{key} eq 'ordered' } requests('/fault/once'))
	{
		push @order, $n if $n % 2 == $key && !$seen{$n}++;
	}
	is_deeply(\@order, [ sort { $a <=> $b } @order ], "those of a key arrive in their order ($key)");
}

endpoint('slow', '/echo/slow', 'slow.*', rate_limit => 5, rate_period => '1 hour');
sql(q(SELECT count(integ_publish('slow.n', '{}')) FROM generate_series(1, 8)));
$node->wait_for_sql(q(SELECT count(*) = 5 FROM integ.deliveries WHERE event_type = 'slow.n'
	AND state = 'delivered'), 'as many as the rate allows');
my $dispatcher = sub { sql(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher')) };
my $before = $dispatcher->();
kill 'TERM', $before;
wait_until('another dispatcher', sub { my $now = $dispatcher->(); $now && $now != $before });
ends(publish('sign.hmac', '{}'), 'delivered');
is(scalar(requests('/echo/slow')), 5, 'and no more after a restart');
sql(q(UPDATE integ.endpoints SET rate_limit = NULL WHERE endpoint_id = 'slow'));
$node->wait_for_sql(q(SELECT count(*) = 8 FROM integ.deliveries WHERE event_type = 'slow.n'
	AND state = 'delivered'), 'the rest to follow');

endpoint('paused', '/echo/paused', 'paused.*');
sql(q(UPDATE integ.endpoints SET status = 'paused' WHERE endpoint_id = 'paused'));
$message = publish('paused.n', '{}');
ends(publish('sign.hmac', '{}'), 'delivered');
is(scalar(requests('/echo/paused')), 0, 'a paused endpoint gets nothing');
sql(q(UPDATE integ.endpoints SET status = 'active' WHERE endpoint_id = 'paused'));
ends($message, 'delivered');

# --- kills under load ---

SKIP:
{
	skip('nginx is not installed', 3) unless Integ::Nginx->available;
	my $log = tempdir(CLEANUP => 1) . '/ids.log';
	my $nginx = Integ::Nginx->start(
		http => q(log_format ids '$http_webhook_id';),
		locations => { '/hook' => "access_log $log ids; return 204;" });
	my $rounds = rounds(5, 100);
	my $per_round = rounds(400, 2000);

	sql("SELECT integ_endpoint_add('" . $nginx->url('/hook') . q[', '{load.*}', '{"endpoint_id": "load"}')]);
	my %kill = (
		dispatcher => sub { kill 'KILL', $dispatcher->() },
		postmaster => sub {
			my $pid = (split /\n/, slurp($node->data_dir . '/postmaster.pid'))[0];
			my $worker = $dispatcher->();
			$node->kill9;
			wait_until('the processes to end', sub { !kill(0, $pid) && !($worker && kill(0, $worker)) });
			$node->start;
		});
	for my $round (1 .. $rounds)
	{
		my $kind = $round % 2 ? 'dispatcher' : 'postmaster';
		sql("SELECT count(integ_publish('load.n', jsonb_build_object('n', g))) FROM generate_series(1, $per_round) g");
		sleep(rand 0.3);
		note("round $round: $kind");
		my $before = $dispatcher->();
		$kill{$kind}->();
		# The server may not know yet that its process was killed.
		wait_until('the server to be there again',
			sub { my ($status, $pid) = $node->psql('postgres', q(SELECT pid FROM pg_stat_activity
				WHERE backend_type = 'integ dispatcher')); $status == 0 && $pid && $pid ne $before });
	}
	$node->wait_for_sql(q(SELECT count(*) = 0 FROM integ.deliveries_open WHERE event_type = 'load.n'),
		'every delivery to end');
	is(sql(q(SELECT count(*) FROM integ.deliveries_done WHERE event_type = 'load.n'
		AND state = 'delivered')), $rounds * $per_round,
		'every event is delivered');
	my %arrived;
	$arrived{$_}++ for split /\n/, slurp($log);
	my @published = split /\n/, sql(q(SELECT message FROM integ.deliveries_done WHERE event_type = 'load.n'));
	is(scalar(grep { !$arrived{$_} } @published), 0, 'each has arrived at least once');
	is(scalar(keys %arrived), scalar(@published), 'and nothing under another id');
	note('arrived more than once: ' . scalar(grep { $arrived{$_} > 1 } @published));
}

$node->stop;
done_testing();

# Answers that come later than the commit: what a handler returns, and what becomes of an authorization.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use Integ::Cluster;
use Integ::Listener;
use Integ::Node;
use Integ::Test qw(wait_until);
use JSON::PP;
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.log_flush = '20ms'",
	"integ.allowed_return_urls = 'https://app.example.com/'" ]);
my $listener = Integ::Listener->start($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# --- slash commands, as Slack sends and signs them ---

sql(q(
CREATE SEQUENCE tries;
CREATE FUNCTION slash(event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	said text := event -> 'payload' ->> 'text';
BEGIN
	IF said = 'hold' THEN
		PERFORM pg_advisory_lock_shared(1);
		RETURN '{"body": "too late"}';
	ELSIF said = 'again' AND nextval('public.tries') = 1 THEN
		RAISE 'not this time';
	ELSIF said = 'odd' THEN
		RETURN '{"text": "no reply"}';
	ELSIF said = 'headers' THEN
		RETURN '{"status": 201, "headers": {"X-Shop": "open", "Content-Type": "text/csv"}, "body": "a;b"}';
	ELSIF said = 'split' THEN
		RETURN jsonb_build_object('headers', jsonb_build_object('X-Shop', E'a\r\nSet-Cookie: b'));
	ELSIF said = 'nothing' THEN
		RETURN NULL;
	ELSIF said ~ '^reply:' THEN
		RETURN substr(said, 7)::jsonb;
	ELSIF said ~ '^long:' THEN
		RETURN jsonb_build_object('body', (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 100000) g));
	END IF;
	RETURN jsonb_build_object('body', jsonb_build_object('response_type', 'in_channel', 'text', 'you said ' || said));
END $$;
INSERT INTO integ.webhooks (webhook_id, definition, handler, replies) VALUES ('commands', 'slack',
	'public.slash', true);
SELECT integ_credential_set('webhook:' || id, 'signing_secret', 'slack secret') FROM integ.webhooks;
));

sub command
{
	my ($text) = @_;
	my ($body, $now) = ("token=old&team_id=T1&command=%2Fweather&text=$text&trigger_id=13345224609", time);
	return $listener->post('/webhooks/slack/commands', $body, 'content-type' => 'application/x-www-form-urlencoded',
		'x-slack-request-timestamp' => $now,
		'x-slack-signature' => 'v0=' . hmac_sha256_hex("v0:$now:$body", 'slack secret'));
}

# The last run's state and message.
sub last_run { return sql(q(SELECT concat_ws(' ', state, attempt,
	last_sqlstate) FROM integ.handler_runs ORDER BY id DESC LIMIT 1)) }

{
	my $answer = command('94070');
	is($answer->{status}, 200, 'a slash command is answered');
	is_deeply(decode_json($answer->{content}), { response_type => 'in_channel', text => 'you said 94070' },
		'by its handler');
	is($answer->{headers}{'content-type'}, 'application/json', 'in JSON');
	is(sql('SELECT count(*) FROM integ.webhook_events'), '1', 'its event is stored');
	is(sql(q(SELECT kind || ' ' || (reply -> 'body' ->> 'text') FROM integ.handler_runs)),
		'webhook_reply you said 94070', 'and what was answered');
}
{
	my $answer = command('headers');
	is("$answer->{status} $answer->{headers}{'x-shop'} $answer->{headers}{'content-type'} $answer->{content}",
		'201 open text/csv a;b',
		'a status, headers and a text');
}
is(command('nothing')->{content}, '', 'a handler without words');
{
	my $answer = command('odd');
	is("$answer->{status} $answer->{content}", '200 ', 'what is no reply is not answered');
	is(last_run(), 'dead 1 IG400', 'and the run says so');
	like(sql('SELECT error_detail FROM integ.handler_runs ORDER BY id DESC LIMIT 1'), qr/unknown member "text"/,
		'in words');
	is(sql('SELECT state FROM integ.webhook_events ORDER BY id DESC LIMIT 1'), 'dead', 'as does the event');
}
{
	my $answer = command('split');
	is("$answer->{status} " . ($answer->{headers}{'set-cookie'} // 'none'), '200 none',
		'a header that would be two is none');
}
is(decode_json(command('again')->{content})->{text}, 'you said again',
	'a handler that fails at first answers all the same');
is(last_run(), 'succeeded 2', 'at its second attempt');

# One that is late: held until the service has its answer.
{
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('SELECT pg_advisory_lock(1)');
	my $answer = command('hold');
	is("$answer->{status} $answer->{content}", '200 ', 'a late handler does not keep the service waiting');
	is(sql(q(SELECT state FROM integ.handler_runs ORDER BY id DESC LIMIT 1)), 'running', 'it still runs');
	is($listener->get('/healthz')->{status}, 200, 'and the listener serves others');
	$holder->query_safe('SELECT pg_advisory_unlock(1)');
	$holder->quit;
	ok($node->wait_for_sql(q(SELECT state = 'succeeded' FROM integ.handler_runs ORDER BY id DESC LIMIT 1),
		'until it is done'), 'until it is done');
	is(sql('SELECT count(*) FROM integ.webhook_events'), '7', 'every command is stored once');
}

# What a handler may say, and what is refused in words, with the usual answer for the service.
sub escaped { return $_[0] =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger }
{
	my $answer = command(escaped('reply:{"status": 202, "body": null}'));
	is("$answer->{status} $answer->{content}", '202 ', 'a status without a body');
	is(command(escaped('reply:null'))->{status}, 200, 'no reply');
	is(command(escaped('reply:{"headers": {"X-A": "b"}, "body": [1]}'))->{content}, '[1]', 'a list as body');
}
my %refused = (
	'reply:[1]' => qr/It is no object/,
	'reply:{"status": 99}' => qr/"status" must be a number from 200 to 599/,
	'reply:{"status": "200"}' => qr/"status" must be a number/,
	'reply:{"headers": ["a"]}' => qr/"headers" must be an object of texts/,
	'reply:{"headers": {"": "b"}}' => qr/The header "" is none/,
	'reply:{"headers": {"a b": "c"}}' => qr/The header "a b" is none/,
	'reply:{"headers": {"a": 1}}' => qr/or its value is no text/,
	'reply:{"headers": {"Content-Length": "5"}}' => qr/is the server's own/,
	'reply:{"headers": {' . join(', ', map { qq("x$_": "y") } 1 .. 100) . '}}' => qr/It has more than \d+ headers/,
	'long:' => qr/It has \d+ bytes; the limit is/);
for my $said (sort keys %refused)
{
	my $answer = command(escaped($said));
	is("$answer->{status} $answer->{content}", '200 ', substr($said, 0, 60) . ' is no reply');
	like(sql('SELECT error_detail FROM integ.handler_runs ORDER BY id DESC LIMIT 1'), $refused{$said}, 'and why');
}

# --- GET /oauth/callback, with a real authorization server ---

SKIP:
{
	skip(Integ::Node->missing, 1) if Integ::Node->missing;
	require Integ::Authorization;
	my $redirect = $listener->url('/oauth/callback');
	my $server = Integ::Authorization->start(redirectUri => $redirect);

	$server->define($node, 'oidc', tokenEndpointAuthMethod => 'none');
	sql(q(SELECT integ_credential_set('definition:oidc', 'client_id', 'public')));

	# The address that the authorization server sends the person to.
	my $send = sub {
		my ($options) = @_;
		my ($flow, $instance, $url, $state) = split /\|/, sql("SELECT * FROM integ_oauth_start('oidc', '$options')");
		my %params = $server->agree($url);
		my $query = join '&', map { "$_=" . ($params{$_} =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X',
			ord $1/ger) } sort keys %params;
		return ($flow, "/oauth/callback?$query");
	};

	my ($flow, $path) = $send->('{"instance_id": "crm", "return_url": "https://app.example.com/done?a=1"}');
	my $answer = $listener->get($path);
	is("$answer->{status} $answer->{headers}{location}",
		"303 https://app.example.com/done?a=1&flow=$flow&status=completed",
		'the person goes on to the application');
	is($answer->{headers}{'referrer-policy'}, 'no-referrer', 'which does not learn the code');
	is(sql(q(SELECT integ_execute('crm', 'me') ->> 'sub')), 'ada', 'the instance is connected');
	$answer = $listener->get($path);
	is($answer->{status}, 400, 'an address works once');
	like($answer->{content}, qr/not open any more/, 'and says so');

	($flow, $path) = $send->('{"instance_id": "bare"}');
	$answer = $listener->get($path);
	is($answer->{status}, 200, 'without a return URL there is a page');
	like($answer->{content}, qr/<h1>Connected/, 'that says it');
	is($answer->{headers}{'cache-control'}, 'no-store', 'which nobody keeps');

	($flow,
		$path) = $send->('{"instance_id": "denied", "login_hint": "nobody", "return_url": "https://app.example.com/"}');
	$answer = $listener->get($path);
	is("$answer->{status} $answer->{headers}{location}", "303 https://app.example.com/?flow=$flow&status=denied",
		'a person who refuses');
	is(sql("SELECT status FROM integ.oauth_flows WHERE id = '$flow'"), 'denied', 'is taken at their word');

	($flow, $path) = $send->('{"instance_id": "wrong"}');
	$answer = $listener->get($path =~ s/code=[^&]*/code=wrong/r);
	is($answer->{status}, 502, 'a code that is none');
	isnt(sql("SELECT status FROM integ.oauth_flows WHERE id = '$flow'"), 'completed', 'completes nothing');

	for my $bad ('', '?', '?state=x', '?code=x', '?state=x&state=y&code=z', '?state=%00&code=x', '?state=%FF&code=x',
		'?state=%3Cscript%3Ealert(1)%3C/script%3E&code=x&error=%3Cb%3E', '?state=guessed&error=access_denied')
	{
		my $answer = $listener->get("/oauth/callback$bad");
		is($answer->{status}, 400, "bad: $bad");
		unlike($answer->{content}, qr/script|alert|guessed/, 'nothing of it is in the page');
	}
	is($listener->{http}->head($listener->url($path))->{status}, 405, 'a look ahead uses up nothing');
	is(sql(q(SELECT count(*) FROM integ.audit_log
		WHERE action = 'oauth.callback' AND detail ->> 'reason' = 'unknown state')), '0',
		'states that nobody asked for leave no row');
	$server->stop;
}

$node->stop;
done_testing();

# Senders and verifiers that vendors publish: what they sign is accepted,
# and what is signed as integ has it they accept.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use Integ::Cluster;
use Integ::Listener;
use Integ::Node;
use Integ::Test qw(spew);
use JSON::PP;
use Test::More;

plan skip_all => Integ::Node->missing if Integ::Node->missing;

my $node = Integ::Cluster->create('main');
my $listener = Integ::Listener->start($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q(
SELECT integ_define($$
{"integrationId": "standard", "name": "Standard", "version": "1.0.0", "authType": "none",
	"baseUrl": "https://example.com",
 "methods": [{"id": "get", "name": "Get", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
   "request": {"method": "GET", "path": "/"}}],
 "webhook": {"signature": {"scheme": "standard-webhooks"}, "event": ".type",
   "deliveryId": {"header": "webhook-id"}}}$$::jsonb);
INSERT INTO integ.webhooks (webhook_id, definition)
	VALUES ('main', 'github'), ('main', 'stripe'), ('main', 'slack'), ('main', 'standard');
SELECT integ_credential_set('webhook:' || id,
	CASE definition WHEN 'slack' THEN 'signing_secret' WHEN 'standard' THEN 'secret'
	ELSE 'webhook_secret' END,
		CASE definition WHEN 'standard' THEN 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' ELSE 's3cret' END)
	FROM integ.webhooks;
));

my $script = $node->basedir . '/senders.mjs';
spew($script, <<'JS');
import { createHmac } from 'crypto';
import { readFileSync } from 'fs';
import { createRequire } from 'module';
import { Webhooks } from '@octokit/webhooks';
import Stripe from 'stripe';
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';
const require = createRequire(import.meta.url);
const examples = require('@octokit/webhooks-examples');
const base = process.argv[2], secret = 's3cret', standardSecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const result = { github: {}, stripe: {}, slack: {}, standard: {}, svix: {} };
const count = (name, key) => { result[name][key] = (result[name][key] ?? 0) + 1; };

async function send(name, body, headers, path = name) {
  const answer = await fetch(`${base}/webhooks/${path}/main`,
    { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
  await answer.text();
  count(name, answer.status);
  return answer.status;
}

const github = new Webhooks({ secret });
let n = 0;
for (const { name, examples: payloads } of (examples.default ?? examples))
  for (const payload of payloads) {
    const body = JSON.stringify(payload);
    const signature = await github.sign(body);
    await send('github', body, { 'x-github-event': name, 'x-github-delivery': `g-${n++}`,
        'x-hub-signature-256': signature });
  }
await send('github', '{"a": 1}', { 'x-github-event': 'ping', 'x-github-delivery': 'g-bad',
  'x-hub-signature-256': await new Webhooks({ secret: 'other' }).sign('{"a": 1}') });

const stripe = new Stripe('sk_test_x');
const charge = JSON.stringify({ id: 'evt_1', object: 'event', type: 'charge.succeeded',
	data: { object: { id: 'ch_1', amount: 5 } } });
const now = Math.floor(Date.now() / 1000);
const stripeHeader = (key, timestamp) => stripe.webhooks.generateTestHeaderString({ payload: charge, secret: key,
	timestamp });
await send('stripe', charge, { 'stripe-signature': stripeHeader(secret, now) });
await send('stripe', charge, { 'stripe-signature': stripeHeader('other', now) });
await send('stripe', charge, { 'stripe-signature': stripeHeader(secret, now - 3600) });

// Slack publishes a verifier: what it accepts is what its servers send.
const { verifySlackRequest } = require('@slack/bolt/dist/receivers/verify-request');
const slackBody = JSON.stringify({ type: 'event_callback', team_id: 'T1', event_id: 'Ev1',
	event: { type: 'app_mention', text: 'hi' } });
const slackSign = (key, at) => 'v0=' + createHmac('sha256', key).update(`v0:${at}:${slackBody}`).digest('hex');
const slackHeaders = { 'x-slack-signature': slackSign(secret, now), 'x-slack-request-timestamp': now };
verifySlackRequest({ signingSecret: secret, body: slackBody, headers: slackHeaders });
await send('slack', slackBody, { ...slackHeaders, 'x-slack-request-timestamp': String(now) });
await send('slack', slackBody, { 'x-slack-signature': slackSign('other', now),
	'x-slack-request-timestamp': String(now) });
await send('slack', slackBody, { 'x-slack-signature': slackSign(secret, now - 3600),
	'x-slack-request-timestamp': String(now - 3600) });

for (const [name, library] of [['standard', Standard], ['svix', Svix]]) {
  const body = JSON.stringify({ type: 'invoice.paid', timestamp: new Date().toISOString(), data: { name } });
  const hook = new library(standardSecret);
  const headers = (id, at, key = hook) => ({ 'webhook-id': id, 'webhook-timestamp': String(Math.floor(at / 1000)),
    'webhook-signature': key.sign(id, at, body) });
  await send(name, body, headers(`${name}-1`, new Date()), 'standard');
  await send(name, body + ' ', headers(`${name}-2`, new Date()), 'standard');
  await send(name, body, headers(`${name}-3`, new Date(Date.now() - 3600e3)), 'standard');
}

// The other way: signatures that were made as integ's schemes say.
const given = JSON.parse(readFileSync(0, 'utf8'));
result.verified = {
  github: await github.verify(given.body, given.github),
  stripe: stripe.webhooks.constructEvent(given.body, given.stripe, secret).id,
};
console.log(JSON.stringify(result));
JS

my ($body, $now) = ('{"id": "evt_2", "object": "event"}', time);
my %given = (body => $body, github => 'sha256=' . hmac_sha256_hex($body, 's3cret'),
	stripe => "t=$now,v1=" . hmac_sha256_hex("$now.$body", 's3cret'));
my $result = decode_json(Integ::Node->run($script, args => [ $listener->url ], input => encode_json(\%given)));
my $examples = $result->{github}{200};

cmp_ok($examples, '>', 100, "$examples payloads of GitHub, signed by its own library, are accepted");
is($result->{github}{401}, 1, 'one that was signed with another secret is not');
is(sql(q(SELECT count(*) FROM integ.webhook_events
	WHERE definition = 'github' AND payload IS NOT NULL AND event IS NOT NULL)),
	$examples, 'all are stored with their names');
is_deeply($result->{stripe}, { 200 => 1, 401 => 2 }, 'Stripe: signed, with another secret, old');
is(sql(q(SELECT event || ' ' || delivery_id || ' ' || (payload ->> 'id') FROM integ.webhook_events
	WHERE definition = 'stripe')),
	'charge.succeeded evt_1 ch_1', 'what it says is read');
is_deeply($result->{slack}, { 200 => 1, 401 => 2 }, 'Slack: what its own verifier accepts, with another secret, old');
is_deeply($result->{$_}, { 200 => 1, 401 => 2 }, "Standard Webhooks by $_: signed, changed, old") for qw(standard svix);
is_deeply($result->{verified}, { github => JSON::PP::true, stripe => 'evt_2' }, 'what is signed their way they accept');

$node->stop;
done_testing();

# Signatures and handshakes of services, as the vendors' own libraries and pages
# make them: each vector is judged by the scheme that a manifest of the vendor
# would have, and those that have to be answered are answered.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Test qw(slurp);
use JSON::PP;
use MIME::Base64;
use Test::More;

plan skip_all => 'the vectors are not here: INTEG_SHARED is not set' unless defined $ENV{INTEG_SHARED};

my $json = JSON::PP->new->canonical->utf8;
my $vectors = $json->decode(slurp("$ENV{INTEG_SHARED}/webhooks/vectors.json"));

my $hmac = { scheme => 'hmac-sha256' };
my %schemes = (
	'github hmac-sha256-hex' => { %$hmac, header => 'X-Hub-Signature-256', prefix => 'sha256=' },
	'github hmac-sha1-hex' => { scheme => 'hmac-sha1', header => 'X-Hub-Signature', prefix => 'sha1=' },
	'gitlab shared-token-header' => { scheme => 'equal', header => 'X-Gitlab-Token' },
	'jira hmac-sha256-hex' => { %$hmac, header => 'X-Hub-Signature', prefix => 'sha256=' },
	'notion hmac-sha256-hex' => { %$hmac, header => 'X-Notion-Signature', prefix => 'sha256=' },
	'dropbox hmac-sha256-hex' => { %$hmac, header => 'X-Dropbox-Signature' },
	'xero hmac-sha256-base64' => { %$hmac, header => 'x-xero-signature', encoding => 'base64' },
	'slack slack-v0' => {
		%$hmac,
		header => 'X-Slack-Signature',
		prefix => 'v0=',
		template => 'v0:{timestamp}:{body}',
		timestamp => { header => 'X-Slack-Request-Timestamp', toleranceSeconds => 300 } },
	'stripe stripe-v1' => {
		%$hmac,
		header => 'Stripe-Signature',
		separator => ',',
		element => 'v1',
		template => '{timestamp}.{body}',
		timestamp => { element => 't', toleranceSeconds => 300, allowFuture => JSON::PP::true } },
	'zendesk zendesk' => {
		%$hmac,
		header => 'X-Zendesk-Webhook-Signature',
		encoding => 'base64',
		template => '{timestamp}{body}',
		timestamp => { header => 'X-Zendesk-Webhook-Signature-Timestamp', unit => 'iso8601' } },
	'discord ed25519' => {
		scheme => 'ed25519',
		header => 'X-Signature-Ed25519',
		template => '{timestamp}{body}',
		keyEncoding => 'hex',
		timestamp => { header => 'X-Signature-Timestamp' } },
	'mailchimp-transactional url-params-hmac-sha1-base64' => {
		scheme => 'hmac-sha1', header => 'X-Mandrill-Signature', encoding => 'base64', template => '{url}{sorted_params}' },
	'mailchimp url-secret' => { scheme => 'equal', query => 'key' },
	'google-push shared-token-header' => { scheme => 'equal', header => 'X-Goog-Channel-Token' },
	'msgraph json-field-token' => { scheme => 'equal', path => '$.value[*].clientState' },
	'zoho-crm json-field-token' => { scheme => 'equal', path => '.token' },
	'salesforce xml-field-token' => {
		scheme => 'equal', path => '$."soapenv:Envelope"."soapenv:Body".notifications.OrganizationId' },
	'pipedrive http-basic' => { scheme => 'basic' },
	'azure-devops http-basic' => { scheme => 'basic' });
my $standard = { scheme => 'standard-webhooks' };

my $node = Integ::Cluster->create('signatures');

sub quote
{
	my ($text) = @_;
	return 'NULL' unless defined $text;
	$text =~ s/'/''/g;
	return "'$text'";
}

# A body byte for byte, whatever it holds.
sub bytes
{
	my ($text) = @_;
	utf8::encode(my $copy = $text // '');
	return sprintf q(decode('%s', 'base64')), encode_base64($copy, '');
}

sub judge
{
	my ($vector, $scheme) = @_;
	return sprintf q(SELECT integ.webhook_verify(%s, ARRAY[%s]::text[], %s, %s, %s, %s, %s)),
	  quote(JSON::PP->new->canonical->encode($scheme)), quote($vector->{secret}),
	  quote(JSON::PP->new->canonical->encode($vector->{headers})), bytes($vector->{body}), quote($vector->{method} // 'POST'),
	  quote($vector->{url}), defined $vector->{now} ? "to_timestamp($vector->{now})" : 'NULL';
}

my @judged = grep { $_->{scheme} ne 'handshake' } @$vectors;
my @queries;
for my $vector (@judged)
{
	my $scheme = $schemes{"$vector->{vendor} $vector->{scheme}"};
	$scheme = $standard if $vector->{scheme} eq 'standard-webhooks-v1';
	die "no scheme for $vector->{id}" unless defined $scheme;
	push @queries, judge($vector, $scheme);
}
utf8::encode($_) foreach @queries;
my @verdicts = split /\n/, $node->safe_psql('postgres', join ";\n", @queries);
is(scalar @verdicts, scalar @judged, 'each vector is judged');
for my $i (0 .. $#judged)
{
	my ($vector, $verdict) = ($judged[$i], $verdicts[$i]);
	my $name = "$vector->{id}: " . ($vector->{why} // ($vector->{valid} ? 'valid' : 'invalid'));

	if ($vector->{valid}) { is($verdict, 'valid', $name) }
	else { isnt($verdict, 'valid', "$name: $verdict") }
}
cmp_ok(scalar(grep { $_->{valid} } @judged), '>', 35, 'there are valid ones') or diag(scalar @judged);

# --- what is to be answered ---

my %handshakes = (
	slack => {
		signature => $schemes{'slack slack-v0'},
		handshakes => [ { when => { path => '$ ? (@.type == "url_verification")' }, respond => { echo => '.challenge' } } ] },
	discord => {
		signature => $schemes{'discord ed25519'},
		respond => { status => 204 },
		handshakes => [ { when => { path => '$ ? (@.type == 1)' }, respond => { body => { type => 1 } } } ] },
	notion => {
		signature => $schemes{'notion hmac-sha256-hex'},
		handshakes => [
			{
				when => { path => '.verification_token' },
				store => { credential => 'secret', from => '.verification_token' } } ] },
	mailchimp => {
		signature => $schemes{'mailchimp url-secret'},
		handshakes => [ { when => { method => 'GET' }, respond => { status => 200 } } ] },
	dropbox => {
		signature => $schemes{'dropbox hmac-sha256-hex'},
		handshakes => [ { when => { method => 'GET', query => 'challenge' }, respond => { echo => { query => 'challenge' } } } ] },
	msgraph => {
		signature => $schemes{'msgraph json-field-token'},
		respond => { status => 202 },
		handshakes => [ { when => { query => 'validationToken' }, respond => { echo => { query => 'validationToken' } } } ] },
	'google-push' => {
		signature => $schemes{'google-push shared-token-header'},
		handshakes => [ { when => { header => 'X-Goog-Resource-State', equals => 'sync' }, respond => { status => 200 } } ] },
	salesforce => {
		signature => $schemes{'salesforce xml-field-token'},
		respond => {
			contentType => 'text/xml',
			body => '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>' } });

for my $vendor (sort keys %handshakes)
{
	my $id = $vendor =~ s/-/_/r;
	my $manifest = {
		integrationId => "hooks_$id", name => $vendor, version => '1.0.0', authType => 'none',
		baseUrl => 'https://example.com',
		methods => [
			{ id => 'get', name => 'Get', access => 'read', inputSchema => { type => 'object' }, outputSchema => {}, request => { method => 'GET', path => '/' } } ],
		webhook => $handshakes{$vendor} };
	my $sql = sprintf q(SELECT integ_define(%s::jsonb); INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('main', 'hooks_%s')),
	  quote($json->encode($manifest)), $id;
	$node->safe_psql('postgres', $sql);
}

for my $vector (grep { defined $_->{expect} && $_->{valid} && exists $handshakes{ $_->{vendor} } } @$vectors)
{
	my $id = $vector->{vendor} =~ s/-/_/r;
	my $expect = $vector->{expect};
	my $now = defined $vector->{now};
	my $sql = '';

	# The clock of a real request is now: what is too old for that is judged above.
	next if $now && $vector->{vendor} eq 'slack';
	$sql .= sprintf q(SELECT integ_credential_set('webhook:' || id, 'secret', %s) FROM integ.webhooks WHERE definition = 'hooks_%s';),
	  quote($vector->{secret}), $id
	  if defined $vector->{secret};
	$node->safe_psql('postgres', $sql) if $sql ne '';
	$sql = sprintf q(SELECT jsonb_build_object('status', status, 'headers', headers_out, 'body', body_out, 'events', events)
		FROM integ_webhook_receive('hooks_%s/main', %s, %s, %s)), $id,
	  quote(JSON::PP->new->canonical->encode($vector->{headers})), bytes($vector->{body}),
	  quote($json->encode({ method => $vector->{method} // 'POST', defined $vector->{url} ? (url => $vector->{url}) : () }));
	utf8::encode($sql);
	my $answer = $json->decode($node->safe_psql('postgres', $sql));
	is($answer->{status}, $expect->{status}, "$vector->{id}: status");
	is($answer->{body}, $expect->{body}, "$vector->{id}: body") if defined $expect->{body};
	is_deeply($json->decode($answer->{body}), $expect->{body_json}, "$vector->{id}: body") if defined $expect->{body_json};
	like($answer->{body}, qr/\Q$expect->{body_contains}\E/, "$vector->{id}: body") if defined $expect->{body_contains};
	for my $name (keys %{ $expect->{headers} // {} })
	{
		like($answer->{headers}{ lc $name }, qr/^\Q$expect->{headers}{$name}\E/, "$vector->{id}: $name");
	}
	is(scalar @{ $answer->{events} }, 0, "$vector->{id}: is no event") if exists $expect->{is_event};
}

# The secret that Notion's first request brought is kept, and no second one replaces it.
sub notion
{
	my ($token) = @_;
	return $node->safe_psql('postgres',
		qq(SELECT status FROM integ_webhook_receive('hooks_notion/main', '{"Content-Type": "application/json"}', '{"verification_token": "$token"}')));
}
is(notion('another'), '401', 'no second secret is taken');
is($node->safe_psql('postgres', q(SELECT count(*) FROM integ.credentials WHERE owner_kind = 'webhook' AND owner_id =
	(SELECT id::text FROM integ.webhooks WHERE definition = 'hooks_notion'))), '1', 'the first one is there');

$node->stop;
done_testing();

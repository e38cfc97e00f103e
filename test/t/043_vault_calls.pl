# Rotation of a credential as calls live through it: the service changes its
# token before or after we do, and no call fails.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Test::More;

my $node = Integ::Cluster->create('main');
# Two services of one kind: they differ in the token they accept.
my $old = Integ::Provider->start(token => 'the old token');
my $new = Integ::Provider->start(token => 'the new token');

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

my $definition = <<'JSON';
{"integrationId": "iso", "name": "ISO codes", "version": "1.0.0", "baseUrl": "{config.base_url}",
 "authType": "bearer", "auth": {"in": "header", "name": "Authorization", "value": "Bearer {credentials.token}"},
 "configSchema": {"type": "object", "required": ["base_url"],
                  "properties": {"base_url": {"type": "string", "format": "uri"}}},
 "credentialSchema": {"type": "object", "required": ["token"], "properties": {"token": {"type": "string"}}},
 "healthCheck": "country",
 "methods": [{"id": "country", "name": "Country", "access": "read", "inputSchema": {"type": "object"},
              "outputSchema": {},
              "request": {"method": "GET", "path": "/v1/countries/FR"}}]}
JSON
sql("SELECT integ_define('$definition')");

sub connect_to
{
	my ($handle, $provider, @tokens) = @_;
	my $url = $provider->url('');
	sql("SELECT integ_connect('iso', '$handle', '{\"base_url\": \"$url\"}');
		SELECT integ_credential_set('$handle', 'token', '$tokens[0]')");
	sql("SELECT integ_credential_rotate('$handle', 'token', '$tokens[1]')") if @tokens > 1;
	return;
}

sub call
{
	my ($handle) = @_;
	return $node->psql('postgres', "SELECT integ_execute('$handle', 'country') IS NOT NULL", on_error_stop => 1) == 0
	  ? 'works' : 'fails';
}

sub state_of
{
	my ($handle) = @_;
	return sql("SELECT hint || ' ' || rotating FROM integ.credential_hints WHERE instance_id = '$handle'");
}

# We rotate first: the service still accepts the old token only.
connect_to('early', $old, 'the old token', 'the new token');
is(call('early'), 'works', 'the service does not know the new token yet: the old one is used');
is(state_of('early'), '…oken true', 'and is kept');

# The service knows the new one.
connect_to('late', $new, 'the old token', 'the new token');
is(call('late'), 'works', 'the service knows the new token');
is(state_of('late'), '…oken false', 'which has proven itself: the old one is gone');
is(call('late'), 'works', 'and goes on');

# Durable calls read both values too, without an attempt or the instance being lost to it.
sub durable
{
	my ($handle) = @_;
	my $call = sql("SELECT integ_enqueue('$handle', 'country')");
	return sql("SELECT concat_ws(' ', o ->> 'state', o ->> 'attempts') FROM integ_await('$call', '30 seconds') o");
}
connect_to('early_durable', $old, 'the old token', 'the new token');
my $before = $old->count('/v1/countries/FR');
is(durable('early_durable'), 'succeeded 1', 'a durable call whose new token is refused goes on with the old one');
is($old->count('/v1/countries/FR'), $before + 2, 'which is another request of the same attempt');
is(state_of('early_durable'), '…oken true', 'the old one is kept');
is(sql("SELECT is_active FROM integ.instances WHERE instance_id = 'early_durable'"), 't',
	'and the instance stays switched on');
connect_to('late_durable', $new, 'the old token', 'the new token');
is(durable('late_durable'), 'succeeded 1', 'a durable call with the new one succeeds');
is(state_of('late_durable'), '…oken false', 'and promotes it');
connect_to('neither', $new, 'the old token', 'a wrong token');
is(durable('neither'), 'failed 1', 'where both are refused, the call fails');
$node->wait_for_sql("SELECT status = 'reauth_required' AND NOT is_active
	FROM integ.instances WHERE instance_id = 'neither'",
	'the instance to wait for a person');

# Many at once read both values, too; each call that the new token loses is made again with the old one.
sub many
{
	my ($handle) = @_;
	return sql("SELECT count(*) FILTER (WHERE ok), string_agg(DISTINCT sqlstate, ' ')
		FROM integ_execute_many('$handle', 'country', array_fill('{}'::jsonb, ARRAY[12]), '{\"concurrency\": 4}')");
}
connect_to('early_many', $old, 'the old token', 'the new token');
is(many('early_many'), '12|', 'many calls whose new token is refused go on with the old one');
is(state_of('early_many'), '…oken true', 'which is kept');
connect_to('late_many', $new, 'the old token', 'the new token');
is(many('late_many'), '12|', 'many calls with the new one succeed');
is(state_of('late_many'), '…oken false', 'and promote it');
connect_to('neither_many', $new, 'the old token', 'a wrong token');
is(many('neither_many'), '0|IG401', 'where both are refused, each says so');

# Tested at once.
connect_to('tested', $new, 'the old token');
is(call('tested'), 'fails', 'the service refuses the token');
sql("SELECT integ_credential_rotate('tested', 'token', 'the new token', '{\"test\": true}')");
is(state_of('tested'), '…oken false', 'the new one is tested and promoted at once');
is(call('tested'), 'works', 'and used');
my ($state, $report) =
  $node->sql_error("SELECT integ_credential_rotate('tested', 'token', 'a wrong token', '{\"test\": true}')");
is($state, 'IG401', 'a wrong one does not pass the test');
like($report, qr/has not proven itself.*DETAIL: .*HINT: /s, 'and says so');
unlike($report, qr/a wrong token|the new token/, 'without a token');
is(state_of('tested'), '…oken false', 'nothing is left of it');
is(call('tested'), 'works', 'the one before goes on');
($state) = $node->sql_error(q(SELECT integ_credential_rotate('tested', 'token', NULL,
	'{"test": true, "promote": true}')));
is($state, 'IG400', 'only a new value can be tested');
sql(q(SELECT integ_credential_set('webhook:00000000-0000-7000-8000-000000000001', 'secret', 'x')));
($state) = $node->sql_error(q(SELECT integ_credential_rotate('webhook:00000000-0000-7000-8000-000000000001', 'secret',
	'y', '{"test": true}')));
is($state, 'IG400', 'and only that of an instance');

# An instance that goes to another origin: its token stays where it was.
my $url = $old->url('');
sql("SELECT integ_connect('iso', 'tested', '{\"base_url\": \"$url\"}')");
my $requests = $old->count('/v1/countries/FR');
($state, $report) = $node->sql_error(q(SELECT integ_execute('tested', 'country')));
is($state, 'IG403', 'after a change of the address the token is refused');
is($old->count('/v1/countries/FR'), $requests, 'and nothing was sent');
sql(q(SELECT integ_credential_set('tested', 'token', 'the old token')));
is(call('tested'), 'works', 'once it is entered again, it works');

$node->stop;
done_testing();

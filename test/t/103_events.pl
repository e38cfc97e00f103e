# integ's own events as endpoints get them: each has the form that
# docs/events.md gives it.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp source_file);
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('events', conf => ["integ.delivery_schedule = '100ms'"]);

# The schemas of the document, by kind.
my %schemas;
my $document = slurp(source_file('docs/events.md'));
while ($document =~ /```json schema=(\S+)\n(.*?)```/gs)
{
	my ($kinds, $schema) = ($1, $2);
	$schemas{$_} = $schema for split /,/, $kinds;
}
cmp_ok(scalar(keys %schemas), '>', 15, 'the document has schemas');

sub sql
{
	return $node->safe_psql('postgres', shift);
}

sql("SELECT integ_endpoint_add('" . $provider->url('/echo/own') . q[', '{integ.*}', '{"endpoint_id": "own"}')]);
for my $name (qw(good bad gone))
{
	my $path = { good => '/echo/good', bad => '/fault/status?code=500', gone => '/fault/status?code=410' }->{$name};
	sql("SELECT integ_endpoint_add('" . $provider->url($path) . qq[', '{$name.*}', '{"endpoint_id": "$name"}')]);
}

sql(q(SELECT integ_define($$
{"integrationId": "shop", "name": "Shop", "version": "1.0.0", "category": "custom", "authType": "none",
 "baseUrl": "{config.base_url}",
 "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
 "methods": [
  {"id": "buy", "name": "Buy", "access": "write", "approvalRequired": true, "inputSchema": {"type": "object"},
   "outputSchema": {}, "request": {"method": "POST", "path": "/echo"}}]}
$$::jsonb)));
sql("SELECT integ_connect('shop', 'main', jsonb_build_object('base_url', '" . $provider->url . "'))");
sql(q(SELECT integ_enqueue('main', 'buy')));
sql(q(SELECT integ_approve(id) FROM integ.approvals));
sql(q(SELECT integ_publish(t, '{}') FROM unnest('{good.x,bad.x,gone.x}'::text[]) t));
sql(q(INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('in', 'shop')));
sql(q(SELECT integ_credential_set('webhook:' || id, 'secret', 'k') FROM integ.webhooks));
is( sql(
		q(SELECT status FROM integ_webhook_receive('shop/in',
		'{"Authorization": "Bearer k", "Content-Type": "application/json"}', '{"event": "paid", "data": {"id": 1}}'))),
	200, 'a webhook comes in');
sql(q(SELECT integ_disconnect('main')));

my @wanted = qw(instance.connected instance.disconnected approval.requested approval.approved
  webhook.received delivery.delivered delivery.failed delivery.dead endpoint.disabled);
for my $kind (@wanted)
{
	$node->wait_for_sql(
		"SELECT count(*) > 0 FROM integ.deliveries WHERE event_type = 'integ.$kind' AND state = 'delivered'",
		"$kind to be delivered");
	ok($schemas{$kind}, "$kind is described");
}

# Whatever came besides is described too, or is not of those that the document tells of.
my $came = sql(q(SELECT DISTINCT substr(event_type, 7) FROM integ.deliveries WHERE event_type LIKE 'integ.%'));
for my $line (split /\n/, $came)
{
	next unless $schemas{$line};
	is( sql("SELECT count(*) FROM integ.deliveries d,"
			  . " integ.json_schema_problems(\$schema\$$schemas{$line}\$schema\$, d.payload)"
			  . " WHERE d.event_type = 'integ.$line'"),
		0, "$line is as described");
}
is(sql(q(SELECT count(*) FROM integ.deliveries WHERE payload ->> 'event_type' LIKE 'integ.delivery.%')),
	0, 'events about deliveries make no further ones');

$node->stop;
done_testing();

# A standby that is promoted goes on with registrations that it knows of: where the service can list what it has, it
# looks whether the server before has registered the webhook, and takes it over; where it cannot, a person looks.

use strict;
use warnings;

use HTTP::Tiny;
use Integ::Cluster;
use Integ::Provider;
use JSON::PP;
use Test::More;

my $json = JSON::PP->new->canonical->utf8;
my $provider = Integ::Provider->start;
my $primary = Integ::Cluster->create('primary', init => [ allows_streaming => 1 ]);
sub value { return $primary->safe_psql('postgres', shift) }

sub define
{
	my ($id, %webhook) = @_;
	my @inputs = map { $_ => {} } qw(book id url);
	my $schema = { type => 'object', properties => {@inputs} };
	my $manifest = {
		integrationId => $id, name => $id, version => '1.0.0', authType => 'none', baseUrl => $provider->url,
		methods => [
			{ id => 'subscribe', name => 's', access => 'write', inputSchema => $schema, outputSchema => {},
				request => { method => 'POST', path => '/hooks/{book}',
					body => { url => '{url}', secret => '{credentials.hook_secret}' } } },
			{ id => 'unsubscribe', name => 'u', access => 'write', inputSchema => $schema, outputSchema => {},
				request => { method => 'DELETE', path => '/hooks/{book}/{id}' } },
			{ id => 'list_hooks', name => 'l', access => 'read', inputSchema => $schema, outputSchema => {},
				request => { method => 'GET', path => '/hooks/{book}' }, response => { records => '.hooks' },
				pagination => { style => 'page', param => 'page', more => '.more' } } ],
		triggers => [ { id => 'changed', name => 'c', type => 'updated', event => 'record.changed' } ],
		webhook => {
			signature => { scheme => 'hmac-sha256', header => 'X-Signature', credential => 'hook_secret' },
			secret => { generate => { bytes => 24, encoding => 'hex' } }, event => '.type', register => 'subscribe',
			unregister => 'unsubscribe', externalId => '.id', %webhook } };

	value('SELECT integ_define($m$' . $json->encode($manifest) . '$m$::jsonb)');
	value("SELECT integ_connect('$id', '${id}_main')");
	return;
}

sub hold
{
	my ($value, $state) = @_;
	value("ALTER SYSTEM SET integ.hold = $value");
	value('SELECT pg_reload_conf()');
	$primary->wait_for_sql("SELECT state = '$state' FROM integ_status() WHERE component = 'held'", "held: $state");
	return;
}

sub hooks { return @{ $json->decode(HTTP::Tiny->new->get($provider->url("/hookbook/$_[0]"))->{content})->{hooks} } }

value(q(ALTER DATABASE postgres SET integ.public_url = 'http://127.0.0.1:1'));
define('seeing', list => 'list_hooks');
define('blind');
$primary->backup('base');
my $standby = Integ::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# What the standby sees last is that they are to be registered.
hold('on', 'yes');
value(qq(SELECT integ_webhook_register('${_}_main', 'changed', '{"input": {"book": "$_"}}'))) for qw(seeing blind);
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$standby->stop;
hold('off', 'no');
$primary->wait_for_sql(q(SELECT count(*) = 2 FROM integ.webhook_registrations WHERE status = 'active'),
	'the primary to register them');
$primary->stop('immediate');
is(scalar(hooks($_)), 1, "the service has that of $_") for qw(seeing blind);

$standby->start;
is($standby->safe_psql('postgres', q(SELECT string_agg(status, ' ') FROM integ.webhook_registrations)),
	'registering registering', 'the standby does not know it');
$standby->promote;
$standby->wait_for_sql(q(SELECT count(*) = 0 FROM integ.calls_open), 'the calls of the registrations to end');
is($standby->safe_psql('postgres', q(SELECT status || ' ' || (external_id IS NOT NULL) FROM integ.webhook_registrations
	WHERE definition = 'seeing')), 'active true', 'it looks, and takes over what it finds');
is($standby->safe_psql('postgres', q(SELECT status || ' ' || (hint <> '')::text FROM integ.webhook_registrations
	WHERE definition = 'blind')), 'unknown true', 'or says that a person has to look');
is(scalar(hooks($_)), 1, "and registers none twice ($_)") for qw(seeing blind);

$standby->stop;
done_testing();

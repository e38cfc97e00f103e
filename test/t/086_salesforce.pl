# The definition of Salesforce, which publishes no description, against the local
# service's recorded-like answers (test/provider/salesforce.py): every method's
# examples, pages, changes that stay, and errors in Salesforce's own words.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use JSON::PP;
use Test::More;

my $node = Integ::Cluster->create('salesforce');
my $provider = Integ::Provider->start(token => 'session');
my $config = '{"instance_url": "' . $provider->url . '"}';

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A token that a person brings: the shipped definition as it is.
sql("SELECT integ_connect('salesforce', 'sf', '$config')");
sql(q(SELECT integ_credential_set('sf', 'access_token', 'session')));

my $json = JSON::PP->new->canonical->utf8;
my $methods = $json->decode(sql(q(SELECT json_agg(m) FROM (SELECT id, input_schema -> 'examples' AS examples FROM integ_methods('sf')) m)));
cmp_ok(scalar @$methods, '>=', 10, 'ten or more methods');
for my $method (@$methods)
{
	ok(scalar @{ $method->{examples} // [] }, "$method->{id} has an example");
	for my $example (@{ $method->{examples} // [] })
	{
		$provider->forget;
		my ($state, $report) = $node->sql_error(
			sprintf q(SELECT integ_execute('sf', '%s', $i$%s$i$, '{"validate_output": "error"}')), $method->{id}, $json->encode($example));
		is($state, '00000', "$method->{id} takes its example") or diag($report);
	}
}

$provider->forget;
is(sql(q(SELECT count(*) FROM integ_fetch('sf', 'query', '{"q": "SELECT Id, Name FROM Account"}'))), '4', 'all pages');
is($provider->count('/services/data/v59.0/query'), 1, 'the first');
is(scalar(grep { $_->{path} =~ m{/query/01g} } $provider->log), 1, 'and the next by its URL');
is(
	sql(q(SELECT string_agg(r ->> 'Name', ' ') FROM integ_fetch('sf', 'list_records',
		'{"object": "Account", "fields": "Id, Name", "modified_since": "2024-01-20T00:00:00Z"}') r)),
	'Bolt Cargo Dune', 'what was changed since');

is(
	sql(q(WITH c AS MATERIALIZED (SELECT integ_execute('sf', 'create_record', '{"object": "Account", "record": {"Name": "Echo"}}') ->> 'id' AS id)
		SELECT integ_execute('sf', 'get_record', jsonb_build_object('object', 'Account', 'id', id)) ->> 'Name' FROM c)),
	'Echo', 'what is created can be read');
is(
	sql(q(SELECT (r #>> '{succeeded,0,item,success}') || ' ' || (r #>> '{failed,0,message}') FROM integ_execute('sf', 'create_records',
		'{"records": [{"attributes": {"type": "Account"}, "Name": "Fern"}, {"attributes": {"type": "Account"}, "Nam": "Gull"}]}') r)),
	"true No such column 'Nam' on sobject of type Account", 'some records are saved, and which are not is told');

my %errors = (
	IG422 => q('query', '{"q": "SELECT everything"}'),
	IG404 => q('get_record', '{"object": "Account", "id": "001R00000999999"}'),
	IG400 => q('list_records', '{"object": "Account", "fields": "Id FROM Contact --"}'));
for my $class (sort keys %errors)
{
	my ($state, $report) = $node->sql_error("SELECT integ_execute('sf', $errors{$class})");
	is($state, $class, "$class: $errors{$class}");
}
like(($node->sql_error("SELECT integ_execute('sf', $errors{IG422})"))[1], qr/unexpected token in: SELECT everything/, 'the service\'s message');

sql(q(SELECT integ_credential_set('sf', 'access_token', 'expired')));
is(($node->sql_error(q(SELECT integ_execute('sf', 'get_limits'))))[0], 'IG401', 'a session that has ended');

done_testing();

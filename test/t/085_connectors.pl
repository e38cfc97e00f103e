# The definitions that integ brings, against the vendors' own descriptions of
# their services: every method is called with the examples of its inputSchema at
# a mock server that validates what arrives by that description, and answers with
# its examples, which must be what outputSchema says.

use strict;
use warnings;

use File::Temp qw(tempdir);
use HTTP::Tiny;
use Integ::Cluster;
use Integ::Node;
use Integ::Test qw(free_port slurp source_file spew);
use JSON::PP;
use Test::More;

plan skip_all => Integ::Node->missing if Integ::Node->missing;
plan skip_all => 'the vendors\' descriptions are not here: INTEG_SHARED is not set' unless defined $ENV{INTEG_SHARED};

my $json = JSON::PP->new->canonical->utf8;
my $uuid = '70784a63-d24b-46a9-a4db-0e70a274b056';
my $openapi = "$ENV{INTEG_SHARED}/openapi";
# wrong: a method, and a member of its body with a value that the service must refuse. silent: methods whose answer the
# description leaves out, so that the mock server gives none.
my %vendors = (
	github => {
		description => Integ::Node->file('@octokit/openapi/generated/api.github.com.json'),
		credentials => [qw(token webhook_secret)],
		wrong => [ 'create_issue', body => [7] ] },
	notion => {
		description => "$openapi/notion.json",
		credentials => ['token'],
		silent => ['get_user'],
		wrong => [ 'create_comment', rich_text => 7 ] },
	slack => {
		description => "$openapi/slack.json",
		credentials => ['token'],
		wrong => [ 'post_message', txt => 'misspelled' ] },
	stripe => {
		description => "$openapi/stripe.json",
		credentials => ['token'],
		wrong => [ 'create_payment_intent', amount => 'much' ] },
	xero => {
		description => "$openapi/xero.yaml",
		credentials => ['access_token'],
		config => { tenant_id => $uuid },
		wrong => [ 'create_contact', Contacts => 'none' ] });

my $dir = tempdir(CLEANUP => 1);
my $node = Integ::Cluster->create('connectors');

sub quoted { return '$q$' . $_[0] . '$q$' }

# What the description has to know of a method.
sub described
{
	my ($method) = @_;
	my ($request, $pagination) = ($method->{request}, $method->{pagination} // {});
	my @query = keys %{ $request->{query} // {} };

	push @query, map { $pagination->{$_} // () } qw(param pageSizeParam) if ($pagination->{in} // 'query') eq 'query';
	return {
		request => "$request->{method} $request->{path}",
		query => \@query,
		form => ($request->{encoding} // '') eq 'form' ? [ keys %{ $request->{body} } ] : [] };
}

# A mock server of what the vendor describes, cut down to the requests of the manifest.
sub mock
{
	my ($vendor, $manifest) = @_;
	my $port = free_port();

	spew("$dir/$vendor.requests", $json->encode([ map { described($_) } @{ $manifest->{methods} } ]));
	is(
		Integ::Node->run(source_file('test/connectors/describe.mjs'),
			args => [ $vendors{$vendor}{description}, "$dir/$vendor.requests", "$dir/$vendor.json", $vendor ]),
		'', "$vendor: the description has every request");
	return (
		Integ::Node->start("prism-$vendor", '@stoplight/prism-cli/dist/index.js',
			args => [ 'mock', '-p', $port, "$dir/$vendor.json" ], ready => qr/Prism is listening/),
		"http://127.0.0.1:$port");
}

# The same with one wrong request.
sub spoiled
{
	my ($manifest, $method, $member, $value) = @_;
	my $copy = $json->decode($json->encode($manifest));
	my ($wrong) = grep { $_->{id} eq $method } @{ $copy->{methods} };

	$wrong->{request}{body}{$member} = $value;
	return $copy;
}

# The shipped definition, but for where it leads and how often it may be called.
sub define
{
	my ($id, $manifest, $url) = @_;
	my %copy = (%$manifest, integrationId => $id, baseUrl => $url);

	delete $copy{rateLimit};
	$copy{methods} = $json->decode($json->encode($copy{methods}));
	for my $method (@{ $copy{methods} })
	{
		delete $method->{rateLimit};
		delete $method->{request}{baseUrl};
	}
	$node->safe_psql('postgres', 'SELECT integ_define(' . quoted($json->encode(\%copy)) . ')');
}

sub connect_mock
{
	my ($vendor, $id) = @_;
	my $config = quoted($json->encode($vendors{$vendor}{config} // {}));

	$node->safe_psql('postgres', "SELECT integ_connect('$id', '${id}_main', $config)");
	$node->safe_psql('postgres', "SELECT integ_credential_set('${id}_main', '$_', 'secret-of-$_')")
	  for @{ $vendors{$vendor}{credentials} };
}

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION outcome(instance text, method text, input jsonb, pages int DEFAULT 0, checked text DEFAULT 'error')
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    IF pages = 0 THEN
        PERFORM integ_execute(instance, method, input, jsonb_build_object('validate_output', checked));
    ELSE
        PERFORM FROM integ_fetch(instance, method, input, jsonb_build_object('max_pages', pages, 'page_size', 5));
    END IF;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ': ' || SQLERRM || ' ' || coalesce(detail, '');
END
$$;
SQL

for my $vendor (sort keys %vendors)
{
	my $manifest = $json->decode(
		$node->safe_psql('postgres', "SELECT manifest FROM integ.definitions WHERE id = '$vendor' AND builtin"));
	my ($prism, $url) = mock($vendor, $manifest);

	define("$vendor-mock", $manifest, $url);
	connect_mock($vendor, "$vendor-mock");

	cmp_ok(scalar @{ $manifest->{methods} }, '>=', 10, "$vendor: ten or more methods");
	is(join(' ', map { $_->{id} } grep { !@{ $_->{inputSchema}{examples} // [] } } @{ $manifest->{methods} }),
		'', "$vendor: every method has an example");
	my $silent = join ',', @{ $vendors{$vendor}{silent} // [] };
	my $answer = $node->safe_psql('postgres', <<"SQL");
SELECT coalesce(string_agg(m.id || ': ' || o.outcome, E'\\n'), '')
FROM integ_methods('$vendor-mock') m, jsonb_array_elements(m.input_schema -> 'examples') example,
     LATERAL (SELECT outcome('$vendor-mock_main', m.id, example, 0,
                             CASE WHEN m.id = ANY ('{$silent}') THEN 'off' ELSE 'error' END) OFFSET 0) o
WHERE o.outcome <> 'ok'
SQL
	is($answer, '', "$vendor: the service takes every method's example and answers as outputSchema says")
	  or diag(join "\n", $prism->log =~ /Violation: .*/g);

	# The next page is asked for as described. The mock server gives the same one again, which ends in a circle
	# where it names a next one; GitHub's examples name its own host for it.
	is(
		$node->safe_psql('postgres', <<"SQL"), '', "$vendor: lists can be fetched page by page") if $vendor ne 'github';
SELECT coalesce(string_agg(m.id || ': ' || o.outcome, E'\\n'), '')
FROM integ_methods('$vendor-mock') m,
     LATERAL (SELECT outcome('$vendor-mock_main', m.id, m.input_schema #> '{examples,0}', 2) OFFSET 0) o
WHERE m.paginated AND o.outcome <> 'ok' AND o.outcome NOT LIKE 'IG502: the pages of % go in a circle %'
SQL
	if ($vendor eq 'xero')
	{
		is(
			$node->safe_psql('postgres', q(SELECT string_agg(k, ' ' ORDER BY k)
				FROM integ_methods('xero-mock') m, LATERAL jsonb_object_keys(
				integ_execute('xero-mock_main', m.id, m.input_schema #> '{examples,0}')) k WHERE m.id = 'create_invoice')),
			'invoice_id invoice_number status', 'xero: create_invoice gives what the specification says');
	}

	# What the mock server would let pass proves nothing.
	my $wrong = $vendors{$vendor}{wrong};
	define("$vendor-wrong", spoiled($manifest, @$wrong), $url);
	connect_mock($vendor, "$vendor-wrong");
	like(
		$node->safe_psql('postgres', <<"SQL"), qr/^IG422: .* HTTP 422/, "$vendor: a wrong request is refused");
SELECT outcome('$vendor-wrong_main', '$wrong->[0]', input_schema #> '{examples,0}')
FROM integ_methods('$vendor-wrong') WHERE id = '$wrong->[0]'
SQL
	$prism->stop;
}

# The specification's example of a definition stands in ours as it is, and its example of an instance can be connected.
{
	my ($file) = glob("$ENV{INTEG_SHARED}/spec/002_*.txt");
	my ($definition) = slurp($file) =~ /^## Example Integration Definition\s+```json\n(.*?)```/ms;
	my ($instance) = slurp($file) =~ /^## Example Integration Instance\s+```json\n(.*?)```/ms;

	$instance =~ s{^\s*//.*\n}{}mg;
	$instance = $json->decode($instance);
	is($node->safe_psql('postgres',
			'SELECT manifest @> ' . quoted($definition) . q(::jsonb FROM integ.definitions WHERE id = 'xero')),
		't', 'xero: the specification\'s example, and more');
	$node->safe_psql('postgres', sprintf 'SELECT integ_connect(%s, %s, %s, %s)', quoted($instance->{integrationId}),
		quoted($instance->{instanceId}), quoted($json->encode($instance->{config})),
		quoted($json->encode({
			name => $instance->{name}, description => $instance->{description}, context => $instance->{context}{type} })));
	is($node->safe_psql('postgres',
			q(SELECT name, context_type, config FROM integ.instances WHERE instance_id = 'xero_main')),
		'Main Xero Account|global|{"tenant_id": "xyz123"}', 'and its instance');
}

done_testing();

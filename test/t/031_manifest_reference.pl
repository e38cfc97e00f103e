# docs/manifest.md: every key that a manifest may have is in its tables, and in an
# example there or in docs/requests.md; every example can be defined, and its
# methods that have examples of their input can be called.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp source_file);
use JSON::PP;
use Test::More;

my $json = JSON::PP->new->canonical->utf8;
my $schema = $json->decode(slurp(source_file('connectors/manifest.schema.json')));
my $page = slurp(source_file('docs/manifest.md'));
my @examples = map { $json->decode($_) }
  map { slurp(source_file("docs/$_.md")) =~ /^```json\n(.*?)^```$/msg } qw(manifest requests);

# --- the tables name every key ---

my %keys;

# Every key of the schema, as "definition.key" (".key" of the manifest itself), with its place below the definition.
sub collect
{
	my ($node, $name) = @_;

	return if ref $node ne 'HASH' || exists $node->{'$ref'};
	for my $key (keys %{ $node->{properties} // {} })
	{
		$keys{"$name.$key"} = $key;
		collect($node->{properties}{$key}, "$name.$key");
	}
	collect($_, $name) for @$node{qw(items additionalProperties)}, map { @{ $node->{$_} // [] } } qw(anyOf oneOf allOf);
	return;
}

collect($schema, '');
collect($schema->{'$defs'}{$_}, $_) for keys %{ $schema->{'$defs'} };
cmp_ok(scalar(keys %keys), '>', 380, 'the schema has its keys');

# A key of one name in several places is named as often. "$schema" is for editors.
my $text = $page =~ s/^```.*?^```$//msgr;
my %places;
push @{ $places{ $keys{$_} } }, $_ for grep { $_ ne '.$schema' } keys %keys;
is(
	join(' ', map { sort @{ $places{$_} } } grep { (() = $text =~ /`\Q$_\E`/g) < @{ $places{$_} } } sort keys %places),
	'', 'every key is in the tables and the text of the page');

# --- the examples have every key ---

my %shown;

# Marks the keys that a value uses, along the schema.
sub mark
{
	my ($node, $name, $value) = @_;

	if (exists $node->{'$ref'})
	{
		($name) = $node->{'$ref'} =~ m{([^/]+)$};
		$node = $schema->{'$defs'}{$name};
	}
	mark($_, $name, $value) for map { @{ $node->{$_} // [] } } qw(anyOf oneOf allOf);
	if (ref $value eq 'ARRAY' && $node->{items})
	{
		mark($node->{items}, $name, $_) for @$value;
	}
	return if ref $value ne 'HASH';
	for my $key (keys %$value)
	{
		if (exists $node->{properties}{$key})
		{
			$shown{"$name.$key"} = 1;
			mark($node->{properties}{$key}, "$name.$key", $value->{$key});
		}
		elsif (ref $node->{additionalProperties})
		{
			mark($node->{additionalProperties}, $name, $value->{$key});
		}
	}
	return;
}

cmp_ok(scalar(@examples), '>', 40, 'the pages have their examples');
mark($schema, '', $_) for @examples;
is(join(' ', sort grep { !$shown{$_} } keys %keys), '', 'every key is in an example');

# --- the examples work ---

my $node = Integ::Cluster->create('reference');
my $provider = Integ::Provider->start;
my $number = 0;

# Functions that examples name.
$node->safe_psql('postgres', 'CREATE SCHEMA crm');
$node->safe_psql('postgres', "CREATE FUNCTION crm.$_(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT \$1'")
  for qw(sign_request complete_input score);

sub quoted { return '$q$' . $json->encode($_[0]) . '$q$' }

# The example as a manifest of its own.
sub whole
{
	my ($example) = @_;
	return {
		name => 'Example', version => '1.0.0', baseUrl => 'https://api.example.com', methods => [],
		%$example, integrationId => 'example-' . ++$number };
}

for my $example (@examples)
{
	my $manifest = whole($example);
	my ($state, $report) = $node->sql_error('SELECT integ_define(' . quoted($manifest) . ')');

	is($state, '00000', "example $number is a manifest: " . join(', ', sort keys %$example)) or diag($report);
}

# The requests of the examples: at a service that takes everything.
$number = 0;
for my $example (@examples)
{
	my $manifest = whole($example);
	my @called = grep { $_->{request} && @{ $_->{inputSchema}{examples} // [] } } @{ $manifest->{methods} };
	next unless @called;

	my $id = "called-$number";
	delete @$manifest{qw(authType auth authMethods oauth2Config requiredPlan)};
	$node->safe_psql('postgres',
		'SELECT integ_define(' . quoted({ %$manifest, integrationId => $id, baseUrl => $provider->url('/echo') }) . ')');
	my $config = quoted($manifest->{configSchema} ? { region => 'eu' } : {});
	$node->safe_psql('postgres', "SELECT integ_connect('$id', '$id-main', $config)");
	for my $method (@called)
	{
		for my $input (@{ $method->{inputSchema}{examples} })
		{
			$provider->forget;
			my ($state, $report) =
			  $node->sql_error("SELECT integ_execute('$id-main', '$method->{id}', " . quoted($input) . ')');
			is($state, '00000', "$method->{id} of example $number is called") or diag($report);
			is(scalar(my @arrived = $provider->log), 1, 'and arrives');
		}
	}
}

done_testing();

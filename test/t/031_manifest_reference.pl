# docs/manifest.md names every key that a manifest may have.

use strict;
use warnings;

use Integ::Test qw(slurp source_file);
use JSON::PP;
use Test::More;

my $schema = decode_json(slurp(source_file('connectors/manifest.schema.json')));
my $page = slurp(source_file('docs/manifest.md'));
my %keys;

sub collect
{
	my ($node) = @_;

	if (ref $node eq 'HASH')
	{
		$keys{$_} = 1 for keys %{ ref $node->{properties} eq 'HASH' ? $node->{properties} : {} };
		collect($_) for values %$node;
	}
	elsif (ref $node eq 'ARRAY')
	{
		collect($_) for @$node;
	}
}

collect($schema);
delete $keys{'$schema'};
cmp_ok(scalar(keys %keys), '>', 150, 'the schema has its keys');
is(join(' ', sort grep { index($page, "`$_`") < 0 } keys %keys), '', 'every key is in the reference');

done_testing();

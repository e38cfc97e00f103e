# Every example of docs/requests.md is a part of a manifest that can be defined.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Test qw(slurp source_file);
use JSON::PP;
use Test::More;

my $node = Integ::Cluster->create('main');
my $json = JSON::PP->new->utf8;
my @examples = slurp(source_file('docs/requests.md')) =~ /^```json\n(.*?)^```$/msg;

cmp_ok(scalar @examples, '>=', 20, 'the page has its examples');
for my $number (0 .. $#examples)
{
	my $part = eval { $json->decode($examples[$number]) };
	ok($part, "example $number is JSON") or next;
	my $manifest = {
		integrationId => "example_$number", name => 'Example', version => '1.0.0', baseUrl => 'https://api.example.com',
		methods => [ { id => 'post', name => 'Post', inputSchema => {}, outputSchema => {}, request => { method => 'POST', path => '/', body => {} } } ],
		%$part };
	my $text = $json->encode($manifest) =~ s/'/''/gr;
	my ($state, $report) = $node->sql_error("SELECT integ_define('$text')");
	is($state, '00000', 'and can be defined') or diag("$examples[$number]\n$report");
}

done_testing();

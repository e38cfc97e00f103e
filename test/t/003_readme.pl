# The example of the README works as it stands, but for the address of the
# service and the sealed value, which a reader has to fill in as well.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp source_file);
use Test::More;

my ($example) = slurp(source_file('README.md')) =~ /```sql\n(.*?)```/s;
my $provider = Integ::Provider->start(token => 'readme-token-0123456789');
my $node = Integ::Cluster->create('readme', extension => 0);

ok(defined $example, 'the README has an example');
ok($example =~ s{https://iso\.example\.com}{$provider->url('')}e, 'it connects to a service');
ok($example =~ s{:'sealed'}{'readme-token-0123456789'}, 'it enters a credential');
my $out = $node->safe_psql('postgres', $example);
like($out, qr/^New Zealand$/m, 'it calls the service');
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.requests WHERE method = 'get_country' AND status = 200));
is($provider->count('/v1/countries/NZ'), 1, 'once');

$node->wait_for_sql(q(SELECT count(*) > 200 FROM countries), 'the table is filled');
is($node->safe_psql('postgres', q(SELECT name FROM countries WHERE id = 'NZ')), 'New Zealand', 'with what the service has');

# The demo's definition is one that this version accepts.
my $manifest = slurp(source_file('test/provider/iso_codes.json'));
is(($node->sql_error("SELECT integ_define(\$\$$manifest\$\$)"))[0], '00000', 'the definition of the demo is valid');

done_testing();

# The counterparts that the other tests lean on: if one of them is broken,
# this says so, and not a test of integ that fails for no reason of its own.

use strict;
use warnings;

use HTTP::Tiny;
use Integ::Certificates;
use Integ::Nginx;
use Integ::Provider;
use Integ::Test qw(slurp);
use Test::More;

my $http = HTTP::Tiny->new(max_redirect => 0, proxy => undef);
my $provider = Integ::Provider->start(token => 'sesame');

# --- records ---

sub fetch
{
	my ($path) = @_;
	my $url = $path =~ /^http/ ? $path : $provider->url($path);
	my $answer = $http->get($url, { headers => { Authorization => 'Bearer sesame' } });
	return ($answer->{success} ? JSON::PP::decode_json($answer->{content}) : undef, $answer);
}

is($http->get($provider->url('/v1/countries/FR'))->{status}, 401, 'records want the token');
is((fetch('/v1/countries/FR'))[0]{data}{name}, 'France', 'a record by its id');
is((fetch('/v1/countries/QQ'))[1]{status}, 404, 'an unknown record');

# Every style leads through every record once.
sub walk
{
	my ($style, $next) = @_;
	my ($path, @ids) = ("/v1/countries?limit=100&paging=$style");
	while (defined $path)
	{
		my ($document, $answer) = fetch($path);
		push @ids, map { $_->{id} } @{ $document->{data} };
		$path = $next->($document, $answer, scalar @ids);
	}
	return @ids;
}

my %next = (
	none => sub { undef },
	cursor => sub { $_[0]{next_cursor} && "/v1/countries?limit=100&cursor=$_[0]{next_cursor}" },
	page => sub {
		$_[0]{page} < $_[0]{pages} ? '/v1/countries?limit=100&paging=page&page=' . ($_[0]{page} + 1) : undef;
	},
	offset => sub { $_[2] < $_[0]{total} ? "/v1/countries?limit=100&paging=offset&offset=$_[2]" : undef },
	link => sub { ($_[1]{headers}{link} =~ /<([^>]*)>; rel="next"/)[0] },
	next_url => sub { $_[0]{next} },
	next_url_relative => sub { $_[0]{next} },
	last_id => sub {
		$_[0]{has_more} ? "/v1/countries?limit=100&paging=last_id&starting_after=$_[0]{data}[-1]{id}" : undef;
	});
my @all = walk('none', $next{none});
cmp_ok(scalar @all, '>', 200, 'all countries');
is_deeply([ walk($_, $next{$_}) ], \@all, "the style $_ leads through all records") for sort keys %next;

# --- what arrived ---

$provider->forget;
$http->post($provider->url('/echo/a%2Fb?x=1'), { content => '{"a": 1}' });
is($provider->count('/echo/a%2Fb'), 1, 'requests are counted by path');
my ($seen) = $provider->log('/echo/a%2Fb');
is("$seen->{method} $seen->{query} $seen->{json}{a}", 'POST x=1 1', 'and logged with what they carried');

# --- faults ---

my %fault = (
	'status?code=429' => qr/^429/,
	'reset' => qr/^599.*(?:reset|closed|unexpected)/is,
	'truncate' => qr/^599.*(?:closed|unexpected end|EOF)/is,
	'close' => qr/^599/,
	'garbage' => qr/^599/,
	'notjson' => qr/^200.*login page/s,
	'deep?levels=3' => qr/^200 \[\[\[\]\]\]/,
	'redirect?to=http://169.254.169.254/' => qr/^302/,
	'huge?bytes=100000' => qr/^200/,
	'badchunk' => qr/^599/,
	'once?code=500&key=a' => qr/^500/,
	'delay?ms=1' => qr/^200/);
for my $name (sort keys %fault)
{
	my $answer = $http->get($provider->url("/fault/$name"));
	like("$answer->{status} $answer->{content}", $fault{$name}, "fault $name");
}
is($http->get($provider->url('/fault/once?code=500&key=a'))->{status}, 200, 'what failed once works then');
is($http->get($provider->url('/echo?_fault=status&code=503'))->{status}, 503, 'a fault on any path');
is(length $http->get($provider->url('/fault/huge?bytes=100000'))->{content}, 100000, 'a huge body has the size asked for');

# --- TLS ---

SKIP:
{
	skip 'nginx is not installed', 6 unless Integ::Nginx->available;
	my $ca = Integ::Certificates->create;
	my $nginx = Integ::Nginx->start(
		tls => {
			valid => [ $ca->issue('localhost') ],
			expired => [ $ca->issue('localhost', expired => 1) ],
			wrong => [ $ca->issue('other.example', addresses => []) ] });
	my $secure = Integ::Provider->start(tls => [ $ca->issue('localhost') ]);

	is($http->get($nginx->url('/json'))->{status}, 200, 'nginx answers');
	is($nginx->url('/json', tls => 'valid'), 'https://localhost:' . $nginx->port('valid') . '/json', 'its secure URL');
	my %verdict = (
		$secure->port => qr/Verification: OK/,
		$nginx->port('valid') => qr/Verification: OK/,
		$nginx->port('expired') => qr/certificate has expired/,
		$nginx->port('wrong') => qr/hostname mismatch/i);
	for my $port (sort keys %verdict)
	{
		my $said = `openssl s_client -connect 127.0.0.1:$port -CAfile @{[$ca->file]} -verify_hostname localhost </dev/null 2>&1`;
		like($said, $verdict{$port}, "certificate: $verdict{$port}");
	}
	$nginx->stop;
}

done_testing();

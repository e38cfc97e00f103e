# A proxy, as integ.proxy names one: what it gets to see, what is still judged here, and that
# nothing else makes requests go another way.

use strict;
use warnings;

use Integ::Certificates;
use Integ::Cluster;
use Integ::Nginx;
use Integ::Provider;
use Integ::Test qw(free_port slurp);
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Utils ();
use Test::More;

plan skip_all => 'nginx is not installed' unless Integ::Nginx->available;

my $ca = Integ::Certificates->create;
my $far = Integ::Nginx->start(
	locations => { '/json' => q(default_type application/json; return 200 '{"seen": "$http_authorization"}';) },
	tls => { far => [ $ca->issue('far.example') ] });
my $dir = PostgreSQL::Test::Utils::tempdir();
my $seen = "$dir/seen";

# Passes everything on to one port of this machine, whatever name was asked for, and notes the heads it could read.
sub proxy
{
	my ($port, $to) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 16, ReuseAddr => 1)
	  or die "no socket: $!";
	my $pid = fork() // die "fork: $!";

	return $pid if $pid;
	$SIG{CHLD} = 'IGNORE';
	while (my $client = $listener->accept)
	{
		next if fork();
		my $head = '';
		while ($head !~ /\r\n\r\n/) { sysread($client, $head, 65536, length $head) or last }
		open my $notes, '>>', $seen or die "$seen: $!";
		print $notes $head;
		close $notes;
		if ($head =~ m{^CONNECT \S+:407 })
		{
			syswrite($client, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
			POSIX::_exit(0);
		}
		my $service = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $to) or POSIX::_exit(1);
		if ($head =~ /^CONNECT /) { syswrite($client, "HTTP/1.1 200 Connected\r\n\r\n") }
		else { syswrite($service, $head) }
		my $both = IO::Select->new($client, $service);
		while (my @ready = $both->can_read)
		{
			for my $from (@ready)
			{
				POSIX::_exit(0) unless sysread($from, my $bytes, 65536);
				syswrite($from == $client ? $service : $client, $bytes);
			}
		}
	}
	POSIX::_exit(0);
}

my ($plain, $tunnel) = (free_port(), free_port());
my @proxies = (proxy($plain, $far->port), proxy($tunnel, $far->port('far')));
END { kill 'KILL', @proxies if @proxies }

# The environment's proxies are no business of the server: this port answers nobody.
my $dead = free_port();
local @ENV{qw(http_proxy https_proxy HTTPS_PROXY ALL_PROXY)} = ("http://127.0.0.1:$dead") x 4;
my $node = Integ::Cluster->create('main', conf => [ "integ.ca_file = '@{[$ca->file]}'", "integ.proxy = ''" ]);
delete @ENV{qw(http_proxy https_proxy HTTPS_PROXY ALL_PROXY)};
my $provider = Integ::Provider->start;

$node->safe_psql('postgres', <<'SQL');
SELECT integ_define($$
{
  "integrationId": "far", "name": "Far", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [{"id": "json", "name": "JSON", "inputSchema": {}, "outputSchema": {},
               "request": {"method": "GET", "path": "/json"}},
              {"id": "echo", "name": "Echo", "inputSchema": {}, "outputSchema": {},
               "request": {"method": "GET", "path": "/echo"}, "response": {"map": ".path"}}]
}
$$::jsonb)
SQL

sub instance
{
	my ($handle, $url) = @_;
	$node->safe_psql('postgres', qq(
		SELECT integ_connect('far', '$handle', jsonb_build_object('base_url', '$url'));
		SELECT integ_credential_set('$handle', 'token', 'the-token')));
	return;
}

sub use_proxy
{
	my ($url) = @_;
	$node->adjust_conf('postgresql.conf', 'integ.proxy', "'$url'");
	$node->reload;
	$node->wait_for_sql("SELECT current_setting('integ.proxy') = '$url'", 'the new setting');
	unlink $seen;
	return;
}

# --- without one ---

instance('near', $provider->url(''));
is($node->safe_psql('postgres', q(SELECT integ_execute('near', 'echo'))), '"/echo"',
	'proxies of the environment are ignored');

# --- a plain request: the proxy gets it whole ---

instance('plain', 'http://far.example');
use_proxy("http://127.0.0.1:$plain");
like($node->safe_psql('postgres', q(SELECT integ_execute('plain', 'json'))), qr/seen/,
	'a name that only the proxy knows');
like(slurp($seen), qr{^GET http://far\.example/json HTTP/1\.1\r\n}, 'it is asked for the whole URL');

# --- TLS: a tunnel, of which the proxy sees host and port ---

use_proxy("http://127.0.0.1:$tunnel");
instance('secure', 'https://far.example');
is($node->safe_psql('postgres', q(SELECT integ_execute('secure', 'json') ->> 'seen')), '*' x 16,
	'through a tunnel, with its token');
like(slurp($seen), qr{^CONNECT far\.example:443 HTTP/1\.1\r\n}, 'it is asked to connect');
unlike(slurp($seen), qr{json|token|Authorization}i, 'and sees neither path nor credentials');
instance('other', 'https://other.example');
my ($state, $report) = $node->sql_error(q(SELECT integ_execute('other', 'json')));
is($state, 'IG502', 'the certificate is still checked');
like($report, qr/certificate.*HINT/s, 'and the report says so');

# --- what is still judged here ---

for my $url ('http://10.0.0.1', 'http://169.254.169.254', 'http://[fe80::1]')
{
	unlink $seen;
	instance('inside', $url);
	($state) = $node->sql_error(q(SELECT integ_execute('inside', 'json')));
	is($state, 'IG403', "$url is refused before the proxy is asked");
	ok(!-e $seen, 'which hears nothing of it');
	$node->safe_psql('postgres', q(DELETE FROM integ.instances WHERE instance_id = 'inside'));
}

# --- proxies that do not work ---

instance('refused', 'https://far.example:407');
($state, $report) = $node->sql_error(q(SELECT integ_execute('refused', 'json')));
is($state, 'IG504', 'a proxy that does not connect');
like($report, qr/the proxy does not connect to https:.*HTTP 407.*nothing was sent.*HINT: .*integ\.proxy/s,
	'the report says who, and that nothing left');
use_proxy("http://127.0.0.1:$dead");
($state, $report) = $node->sql_error(q(SELECT integ_execute('secure', 'json')));
is($state, 'IG504', 'a proxy that is not there');
like($report, qr/through the proxy: Connection refused.*nothing was sent.*HINT: .*integ\.proxy/s,
	'the report says what to look at');
use_proxy('http://no-such-proxy.invalid:3128');
($state, $report) = $node->sql_error(q(SELECT integ_execute('secure', 'json')));
is($state, 'IG504', 'a proxy whose name is none');
like($report, qr/host name of the proxy.*HINT: .*integ\.proxy/s, 'the report says whose');

# --- and without it again ---

use_proxy('');
is($node->safe_psql('postgres', q(SELECT integ_execute('near', 'echo'))), '"/echo"', 'without it, directly again');

done_testing();

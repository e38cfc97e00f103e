# The listener with TLS of its own, and behind nginx: certificates that change, whose request it is, and requests that
# two servers could read differently.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use File::Copy qw(copy);
use Integ::Certificates;
use Integ::Cluster;
use Integ::Listener;
use Integ::Nginx;
use Integ::Test qw(free_port slurp spew wait_until);
use IO::Select;
use IO::Socket::INET;
use Test::More;

my $node = Integ::Cluster->create('main', conf => ["integ.trusted_proxies = '127.0.0.2/32'"]);
my $listener = Integ::Listener->start($node);
my $port = $listener->port;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q(
SELECT integ_define($$
{"integrationId": "shop", "name": "Shop", "version": "1.0.0", "authType": "none", "baseUrl": "https://example.com",
 "methods": [{"id": "get", "name": "Get", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
   "request": {"method": "GET", "path": "/"}}],
 "webhook": {"signature": {"scheme": "hmac-sha256", "header": "X-Shop-Signature"}, "event": ".type",
   "deliveryId": ".id"}}$$::jsonb);
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('main', 'shop');
SELECT integ_credential_set('webhook:' || id, 'secret', 'k') FROM integ.webhooks;
));

sub signature { return hmac_sha256_hex($_[0], 'k') }

sub address { return sql("SELECT host(address) FROM integ.webhook_events WHERE delivery_id = '$_[0]'") }

# A request from an address of our own choice; its status.
sub send_from
{
	my ($from, $to, $id, @headers) = @_;
	my $body = qq({"type": "t", "id": "$id"});
	my $socket = IO::Socket::INET->new(LocalAddr => $from, PeerAddr => '127.0.0.1', PeerPort => $to, Timeout => 10)
	  or die "no connection from $from: $@";
	print $socket join "\r\n", 'POST /webhooks/shop/main HTTP/1.1', 'Host: x', 'X-Shop-Signature: ' . signature($body),
	  'Content-Length: ' . length($body), 'Connection: close', @headers, '', $body;
	my $line = <$socket> // '';
	return $line =~ /^HTTP\/1\.1 (\d+)/ ? $1 : $line;
}

# --- whose request it is ---

is(send_from('127.0.0.1', $port, 'a-1', 'X-Forwarded-For: 192.0.2.9'), 200, 'a sender that claims to be another');
is(address('a-1'), '127.0.0.1', 'is itself');
is(send_from('127.0.0.2', $port, 'a-2', 'X-Forwarded-For: 6.6.6.6, 192.0.2.9'), 200, 'a trusted proxy');
is(address('a-2'), '192.0.2.9', 'says for whom it asks');
is(send_from('127.0.0.2', $port, 'a-3', 'Forwarded: for="[2001:db8::1]:4711";proto=https'), 200,
	'also in the words of RFC 7239');
is(address('a-3'), '2001:db8::1', 'with an IPv6 address');

my $nginx = Integ::Nginx->start(
	http => "upstream integ { server 127.0.0.1:$port; keepalive 1; }",
	locations => { '/' => q(proxy_pass http://integ; proxy_http_version 1.1; proxy_set_header Connection "";
		proxy_bind 127.0.0.2; proxy_set_header Host $host;
		proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;) });

is(send_from('127.0.0.3', $nginx->port, 'n-1', 'X-Forwarded-For: 6.6.6.6'), 200, 'through nginx');
is(address('n-1'), '127.0.0.3', 'the sender is whom nginx saw');

# --- smuggling: whatever is sent to nginx, with one connection behind it, answers belong to their requests ---

my $small = '{"type": "t"}';
my $head = "POST /webhooks/shop/main HTTP/1.1\r\nHost: x\r\nX-Shop-Signature: " . signature($small) . "\r\n";
my $hidden = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
my %smuggled = (
	'both lengths, chunked first' => "${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n$hidden",
	'both lengths' => "${head}Content-Length: " . (5 + length $hidden)
	  . "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n$hidden",
	'two lengths' => "${head}Content-Length: " . length($small) . "\r\nContent-Length: 0\r\n\r\n$small$hidden",
	'a list of lengths' => "${head}Content-Length: 0, 13\r\n\r\n$small$hidden",
	'an encoding in disguise' => "${head}Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n$hidden",
	'an encoding of tabs' => "${head}Transfer-Encoding:\tchunked, identity\r\nContent-Length: 5\r\n\r\n0\r\n\r\n$hidden",
	'an encoding that nobody knows' => "${head}Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n$hidden",
	'an encoding on a line of its own' => "${head}Content-Length: 5\r\nX: y\r\n"
	  . " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n$hidden",
	'a bare newline' => "${head}Content-Length: 0\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n$hidden",
	'a chunk too long' => "${head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n$small\r\n0\r\n\r\n$hidden",
	'a chunk with a sign' => "${head}Transfer-Encoding: chunked\r\n\r\n-1\r\n$small\r\n0\r\n\r\n$hidden",
	'a header after the body' => "${head}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 50\r\n\r\n$hidden",
	'HTTP/1.0 with chunks' => ("${head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" =~ s/HTTP\/1.1/HTTP\/1.0/r) . $hidden,
);

# Everything that comes back, until the connection ends or, where patience is limited, says no more.
sub converse
{
	my ($to, $text, $patience) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $to, Timeout => 10) or return '';
	my $select = IO::Select->new($socket);
	local $SIG{PIPE} = 'IGNORE';
	print $socket $text;
	my $all = '';
	while ($select->can_read($patience) && sysread $socket, my $some, 65536) { $all .= $some }
	return $all;
}

for my $trick (sort keys %smuggled)
{
	for my $to ([ 'nginx', $nginx->port ], [ 'the listener', $port ])
	{
		my $all = converse($to->[1], $smuggled{$trick}, 0.3);
		my @answers = $all =~ /^HTTP\/1\.[01] (\d+)/mg;
		# The hidden request is part of a body, or a request of its own behind one that was whole; nothing that comes
		# behind a refusal is answered.
		ok(!(grep { $_ eq '200' } @answers[1 .. $#answers]) || ($answers[0] =~ /^(200|401)$/ && @answers == 2),
			"$trick to $to->[0]: " . (join(' ', @answers) || 'closed'));
	}
	# Over the same connection behind nginx, the next one gets its own answer.
	like(converse($nginx->port, "GET /webhooks/nobody/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
		qr/^HTTP\/1\.1 404 /,
		"after that the next answer is the next request's");
}
$nginx->stop;

# --- TLS ---

my $ca = Integ::Certificates->create;
my $dir = $node->basedir;
my ($cert, $key) = ("$dir/listener.crt", "$dir/listener.key");

sub install
{
	my ($from_cert, $from_key) = @_;
	spew("$key.new", slurp($from_key));
	chmod 0600, "$key.new";
	rename "$key.new", $key;
	spew("$cert.new", slurp($from_cert));
	rename "$cert.new", $cert;
	return;
}

# Of the certificate that is shown; empty where none is.
sub serial
{
	my $client = "openssl s_client -connect localhost:$port -servername localhost </dev/null 2>/dev/null";
	return `$client | openssl x509 -noout -serial 2>/dev/null`;
}

sub serial_of { return `openssl x509 -noout -serial -in '$_[0]'` }

# What the listener says of itself in the log since an offset; where it looks when somebody comes, somebody does.
sub wait_for_log
{
	my ($pattern, $offset, $come) = @_;
	return wait_until("\"$pattern\" in the log",
		sub { serial() if $come; substr(slurp($node->logfile), $offset) =~ $pattern });
}

my $offset = -s $node->logfile;
sql("ALTER DATABASE postgres SET integ.listen_cert_file = '$cert'");
sql("ALTER DATABASE postgres SET integ.listen_key_file = '$key'");
ok(wait_for_log(qr/does not listen: could not read the file "\Q$cert\E": No such file/, $offset),
	'a missing file is named');
my @first = $ca->issue('localhost');
install(@first);
chmod 0644, $key;
ok(wait_for_log(qr/the key file "\Q$key\E" can be read by others: chmod 600 it/, $offset),
	'as is a key that others can read');
chmod 0600, $key;
ok(wait_until('it speaks TLS', sub { serial() eq serial_of($first[0]) }), 'with good files it speaks TLS');

my $curl = "curl --silent --show-error --max-time 30 --cacert '" . $ca->file . "'";
is(`$curl https://localhost:$port/healthz 2>&1`, "ok\n", 'with TLS');
is(`$curl --tls-max 1.2 https://localhost:$port/healthz 2>&1`, "ok\n", '1.2 too');
isnt(`$curl --tls-max 1.1 https://localhost:$port/healthz 2>/dev/null`, "ok\n", 'but nothing older');
unlike(converse($port, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 2), qr/ok/, 'nothing in the clear');
my $large = '{"type": "t", "id": "tls-1", "text": "' . ('x' x 300_000) . '"}';
spew("$dir/large.json", $large);
my $headers = "-H 'Content-Type: application/json' -H 'X-Shop-Signature: @{[signature($large)]}'";
my $to = "https://localhost:$port/webhooks/shop/main";
is(`$curl -o '$dir/answer' -w '%{http_code}' $headers --data-binary '\@$dir/large.json' $to 2>&1`,
	'200', 'a large body');
is(sql(q(SELECT length(body) FROM integ.webhook_events WHERE delivery_id = 'tls-1')), length $large, 'is stored whole');

my @second = $ca->issue('localhost');
install(@second);
ok(wait_until('the new certificate', sub { serial() eq serial_of($second[0]) }),
	'a new certificate is shown once it is there');
$offset = -s $node->logfile;
install($second[0], $first[1]);
ok(wait_for_log(qr/keeps its certificate: the private key in "\Q$key\E" is not that of the certificate/, $offset, 1),
	'a key of another certificate');
is(serial(), serial_of($second[0]), 'changes nothing');
unlink $key;
$node->reload;
ok(wait_for_log(qr/keeps its certificate: could not read the file "\Q$key\E"/, $offset),
	'neither does a missing one, which a reload names');
is(`$curl https://localhost:$port/healthz 2>&1`, "ok\n", 'it goes on');
my @third = $ca->issue('localhost');
install(@third);
$node->reload;
ok(wait_until('the third certificate', sub { serial() eq serial_of($third[0]) }), 'a reload reads the files again');
spew($cert, "no certificate\n");
$node->reload;
ok(wait_for_log(qr/"\Q$cert\E" has no certificate in PEM/, $offset), 'a file that is none');
is(serial(), serial_of($third[0]), 'changes nothing');

$node->stop;
done_testing();

# The listener: what it takes, and what it refuses.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use HTTP::Tiny;
use Integ::Cluster;
use Integ::Test qw(free_port slurp wait_until);
use IO::Select;
use IO::Socket::INET;
use Test::More;

my $node = Integ::Cluster->create('listener');
my $port = free_port();
my $base = "http://127.0.0.1:$port";
my $http = HTTP::Tiny->new(timeout => 60);

$node->safe_psql('postgres', q(
SELECT integ_define($$
{"integrationId": "shop", "name": "Shop", "version": "1.0.0", "authType": "none", "baseUrl": "https://example.com",
 "methods": [{"id": "get", "name": "Get", "access": "read", "inputSchema": {"type": "object"},
     "outputSchema": {}, "request": {"method": "GET", "path": "/"}}],
 "webhook": {"signature": {"scheme": "hmac-sha256", "header": "X-Shop-Signature"}, "event": ".type",
     "deliveryId": ".id",
   "handshakes": [{"when": {"method": "GET", "query": "challenge"}, "respond": {"echo": {"query": "challenge"}}}]}}
$$::jsonb);
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('main', 'shop');
SELECT integ_credential_set('webhook:' || id, 'secret', 'k') FROM integ.webhooks;
));

sub listening
{
	return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10);
}

sub value
{
	return $node->safe_psql('postgres', shift);
}

sub deliver
{
	my ($id, %more) = @_;
	my $body = $more{body} // qq({"type": "order.paid", "id": "$id"});
	return $http->request('POST', $base . ($more{path} // '/webhooks/shop/main'),
		{
			content => $body,
			headers => {
				'content-type' => 'application/json',
				'x-shop-signature' => $more{signature} // hmac_sha256_hex($body, 'k') } });
}

# What a sender learns by an answer, but the time.
sub answer_of
{
	my ($answer) = @_;
	my %headers = %{ $answer->{headers} };
	delete $headers{date};
	return { status => $answer->{status}, reason => $answer->{reason}, content => $answer->{content},
		headers => \%headers };
}

# Whether the listener has read all that came on the connection; the kernel tells by the ports.
sub has_read
{
	my ($socket) = @_;
	my $ports = sprintf '^\s*\d+: \w+:%04X \w+:%04X \w+ \w+:00000000 ', $port, $socket->sockport;
	return slurp('/proc/net/tcp') =~ /$ports/m;
}

# What a service sends byte by byte: the first line of the answer, or undef where the connection was closed. One that
# ends does so once all was read: libmicrohttpd does not see an end that comes with what is before it, and closes such
# a connection when nothing has come on it for 30 s.
sub raw
{
	my ($text, $ends) = @_;
	my $socket = listening() or return;
	print $socket $text;
	if ($ends)
	{
		wait_until('the listener to read', sub { has_read($socket) });
		shutdown $socket, 1;
	}
	my $line = <$socket>;
	return defined $line ? $line =~ s/\r?\n//r : undef;
}

# All that comes back where another request follows at once, which is to be the last one.
sub behind
{
	my ($text) = @_;
	my $socket = listening() or return;
	print $socket $text, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	local $/;
	return <$socket> // '';
}

# --- it begins and ends with its setting ---

is(listening(), undef, 'nothing listens by default');
value("ALTER DATABASE postgres SET integ.listen_port = $port");
ok(wait_until('its port is set', sub { listening() }), 'it listens once its port is set');
is(value(q(SELECT rolname FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
	WHERE backend_type = 'integ listener')),
	'integ_ingress', 'as integ_ingress');
like(value(q(SELECT state FROM integ_status() WHERE component = 'listeners')), qr/^1 of 1 running, port $port$/,
	'and its state shows it');

# --- what it answers ---

is($http->get("$base/healthz")->{content}, "ok\n", 'health');
is($http->get("$base/healthz/x")->{status}, 404, 'an address that is none');
is($http->request('DELETE', "$base/healthz")->{status}, 405, 'a method that is none');
my $answer = deliver('a-1');
is($answer->{status}, 200, 'an event') or diag(explain($answer));
is(value(q(SELECT event || ' ' || delivery_id || ' ' || convert_from(body, 'UTF8') FROM integ.webhook_events)),
	'order.paid a-1 {"type": "order.paid", "id": "a-1"}', 'is stored');
is(deliver('a-1')->{status}, 200, 'again');
is(value('SELECT count(*) FROM integ.webhook_events'), '1', 'once');
is(deliver('a-2', signature => 'ff' x 32)->{status}, 401, 'a wrong signature');
is(deliver('a-2', signature => $_)->{status}, 401, 'a signature of ' . length($_) . ' characters')
  foreach '', 'f', 'ff' x 31, 'ff' x 33, 'ff' x 4000, 'zz' x 32;
my ($other, $nobody) = map { deliver('a-2', path => $_) } '/webhooks/shop/other', '/webhooks/nobody/main';
is($other->{status}, 404, 'another webhook');
is_deeply(answer_of($nobody), answer_of($other), 'another service: nothing tells which part was wrong');
value("UPDATE integ.webhooks SET is_active = false");
is_deeply(answer_of(deliver('a-2')), answer_of($other), 'nor that there is one which is switched off');
value("UPDATE integ.webhooks SET is_active = true");
is(deliver('a-2', path => '/webhooks/shop/main/more')->{status}, 404, 'a longer address');
is(deliver('a-2', path => '/webhooks/shop/%6dain')->{status}, 404, 'an escaped one');
is(deliver('a-3', path => '/webhooks/shop')->{status}, 200, 'the one address of a service');
is(deliver('a-4', path => '/api/v1/webhooks/shop/*')->{status}, 200, 'the address by client');
my $echo = $http->get("$base/webhooks/shop/main?challenge=x%20%26y");
is("$echo->{status} $echo->{content} $echo->{headers}{'content-type'}", '200 x &y text/plain; charset=utf-8',
	'a handshake');
is($echo->{headers}{'x-content-type-options'}, 'nosniff', 'which no browser takes for anything else');

# --- bad bytes ---

my $post = "POST /webhooks/shop/main HTTP/1.1\r\nHost: x\r\nX-Shop-Signature: " . hmac_sha256_hex('{}', 'k') . "\r\n";
my $chunked = "${post}Transfer-Encoding: chunked\r\n\r\n";
my $events = value('SELECT count(*) FROM integ.webhook_events');

# What a proxy before it could read as another request, or as none: refused, or the connection is closed.
my %refused = (
	'both ways to give a length' => "${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'a length and another coding' => "${post}Content-Length: 2\r\nTransfer-Encoding: identity\r\n\r\n{}",
	'two lengths' => "${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
	'one length twice' => "${post}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
	'a list of lengths' => "${post}Content-Length: 2, 2\r\n\r\n{}",
	'a signed length' => "${post}Content-Length: +2\r\n\r\n{}",
	'a length in hexadecimal' => "${post}Content-Length: 0x2\r\n\r\n{}",
	'a length beyond all numbers' => "${post}Content-Length: 18446744073709551618\r\n\r\n{}",
	'a header that is nearly one' => "${post}Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'a folded header' => "${post}Transfer-Encoding:\r\n chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'codings one upon the other' => "${post}Transfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'a coding twice' =>
	  "${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'a coding that is none' => "${post}Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'a chunk whose size is none' => "${chunked}zz\r\n{}\r\n0\r\n\r\n",
	'a chunk of a negative size' => "${chunked}-2\r\n{}\r\n0\r\n\r\n",
	'a chunk of an endless size' => "${chunked}10000000000000002\r\n{}\r\n0\r\n\r\n",
	'a chunk that is longer than it says' => "${chunked}1\r\n{}\r\n0\r\n\r\n",
	'two hosts' => "${post}Host: y\r\nContent-Length: 2\r\n\r\n{}",
	'a version that is none' => "POST /webhooks/shop/main HTTP/9.9\r\nHost: x\r\n\r\n",
	'a header of 200 kB' => "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " . ('x' x 200_000) . "\r\n\r\n",
	'an address of 200 kB' => 'GET /healthz?' . ('x' x 200_000) . " HTTP/1.1\r\nHost: x\r\n\r\n");
like(raw($refused{$_}) // 'closed', qr{^(?:closed|HTTP/1\.[01] [45]\d\d .*)$}, $_) foreach sort keys %refused;
# Whatever stands behind such a request is none of its own: the connection ends with the one answer. (Of its own answers
# libmicrohttpd 0.9.75 writes the head twice.)
my @smuggled = grep { behind($refused{$_}) =~ qr{ 200 |\bok\n} } sort keys %refused;
is("@smuggled", '', 'and no second request comes in with it');
like(behind("${chunked}2\r\n{}\r\n0\r\n\r\n"), qr{^HTTP/1\.1 200 OK\r\n.*HTTP/1\.1 200 OK\r\n.*ok\n$}s,
	'as one does behind a request that is in order');
$events++;
is(raw("\x00\x01\x02\xff\r\n\r\n", 1), undef, 'no HTTP at all');
is(raw("${post}Content-Length: 20\r\n\r\n{}", 1), undef, 'a body that ends before its length');
is(raw("${chunked}2\r\n{}\r\n", 1), undef, 'chunks without the last one');
is(value('SELECT count(*) FROM integ.webhook_events'), $events, 'nothing of it is an event');
is(raw("${chunked}1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"), 'HTTP/1.1 200 OK', 'chunks that are some');
# libmicrohttpd 1.0.1 takes the end of an extension's line for data.
like(raw("${chunked}1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n") // 'closed', qr{^(?:closed|HTTP/1\.1 (?:200|400) .*)$},
	'a chunk with an extension is read as it is meant, or refused');
like(raw("POST /webhooks/shop/main HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n") // '',
	qr/^HTTP\/1\.1 413 /, 'a body of 100 MB');
isnt(raw("${chunked}6400000\r\n" . ('x' x (20 * 1024 * 1024))) // 'closed', 'HTTP/1.1 200 OK',
	'one that does not say so before');

for my $body ('{', "\xff\xfe", qq({"type": "\\u0000", "id": "z-1"}), ('[' x 10_000) . (']' x 10_000), '')
{
	like(deliver('', body => $body)->{status}, qr/^200$/,
		'a signed body of ' . length($body) . ' bytes that may be anything');
}
is(value('SELECT count(*) FROM integ.webhook_events WHERE payload IS NULL'), '4',
	'is kept byte for byte, with no payload where it is no document');

# --- slow ones hold nobody ---

my @slow = map { listening() } 1 .. 1000;
print $_ "POST /webhooks/shop/main HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{" foreach grep { defined } @slow;
cmp_ok(scalar(grep { defined } @slow), '>', 900, 'a thousand connections that say nothing more');
is(deliver('slow')->{status}, 200, 'while they wait another one is served');
close $_ foreach grep { defined } @slow;

# --- one that is told to end finishes what it has begun ---

{
	my $body = '{"type": "order.paid", "id": "begun"}';
	my $pid = value(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ listener'));
	my $socket = listening();
	print $socket "POST /webhooks/shop/main HTTP/1.1\r\nHost: x\r\n"
	  . 'X-Shop-Signature: ' . hmac_sha256_hex($body, 'k') . "\r\n"
	  . 'Content-Length: ' . length($body) . "\r\n\r\n" . substr($body, 0, 10);
	is(deliver('meanwhile')->{status}, 200, 'an event that comes while another one is half there');
	kill 'TERM', $pid or die "$pid: $!";
	print $socket substr $body, 10;
	is(<$socket>, "HTTP/1.1 200 OK\r\n", 'a listener that is told to end answers what it has begun');
	is(value(q(SELECT count(*) FROM integ.webhook_events WHERE delivery_id = 'begun')), '1', 'which is stored');
	ok($node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'integ listener' AND pid <> $pid"),
		'and another one takes its place');
}

# --- several listeners, and the end ---

value('ALTER SYSTEM SET integ.listeners = 2');
value('SELECT pg_reload_conf()');
ok($node->poll_query_until('postgres',
	q(SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'integ listener')), 'two share the port');
is(deliver("two-$_")->{status}, 200, "event $_ of both") foreach 1 .. 5;
value('ALTER DATABASE postgres SET integ.listen_port = 0');
ok($node->poll_query_until('postgres',
	q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'integ listener')), 'they end with the setting');
ok(wait_until('nothing listens', sub { !listening() }), 'and nothing listens');
value('ALTER DATABASE postgres RESET integ.listen_port');
value('CREATE DATABASE other');
value("ALTER DATABASE other SET integ.listen_port = $port");
$node->safe_psql('other', 'CREATE EXTENSION integ');
ok(wait_until('another database listens', sub { listening() }), 'another database listens');
value('DROP DATABASE other');
ok(wait_until('it is dropped', sub { !listening() }), 'until it is dropped');

$node->stop;
done_testing();

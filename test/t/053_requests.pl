# What a request carries, seen from the service: parameters, parts, bytes, XML, transforms, other hosts, compression.

use strict;
use warnings;
use utf8;

use Compress::Zlib qw(memGunzip);
use Integ::Cluster;
use Integ::Provider;
use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64 encode_base64url);
use Test::More;

my $node = Integ::Cluster->create('main');
my $provider = Integ::Provider->start;
my $files = Integ::Provider->start;
my $json = JSON::PP->new->canonical->utf8;
my $secret = 'sekrit-0123456789';

sub quoted
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'";
}

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

sub method
{
	my ($id, %request) = @_;
	my %more = map { $_ => delete $request{$_} } grep { exists $request{$_} } qw(response idempotency conditional access);
	return { id => $id, name => $id, access => 'write', inputSchema => {}, outputSchema => {},
		request => { method => 'POST', path => "/to/$id", %request }, %more };
}

sub define
{
	my ($id, $methods, %more) = @_;
	my $manifest = {
		integrationId => $id, name => $id, version => '1.0.0', baseUrl => $provider->url('/echo'), authType => 'bearer',
		credentialSchema => { type => 'object', properties => { token => { type => 'string' } } },
		methods => $methods, %more };
	return 'SELECT integ_define(' . quoted($json->encode($manifest)) . ", '{\"replace\": true}')";
}

sub call_of
{
	my ($instance, $method, $input) = @_;
	return "integ_execute('$instance', '$method', " . quoted($json->encode($input // {})) . ')';
}

# The request that a call leaves behind.
sub sent
{
	my ($instance, $method, $input, $at) = @_;
	my $service = $at // $provider;
	$_->forget for $provider, $files;
	sql('SELECT ' . call_of($instance, $method, $input));
	my @log = $service->log;
	is(scalar @log, 1, "$method: one request");
	return $log[0];
}

sub refused
{
	my ($instance, $method, $input, $state, $pattern, $name) = @_;
	$_->forget for $provider, $files;
	my ($code, $report) = $node->sql_error('SELECT ' . call_of($instance, $method, $input));
	is($code, $state, $name);
	like($report, $pattern, "$name: says why");
	is(scalar(map { $_->log } $provider, $files), 0, "$name: nothing was sent");
	return;
}

# --- Forms and queries ---

sql(define('shop', [
	method('charge', encoding => 'form', idempotency => { body => 'key' }, body => {
		amount => '{amount}', items => '{items}', metadata => '{metadata}', expand => '{expand}' }),
	method('find', method => 'GET', access => 'read', query => { created => '{created}', ids => '{ids}' },
		parameterStyle => { arrays => 'comma', objects => 'brackets' }),
	method('sign', encoding => 'form', body => { note => '{note}' }) ],
	parameterStyle => { arrays => 'indexes', objects => 'brackets' }, query => { all => ['a', 'b'] }));
sql(qq(SELECT integ_connect('shop', 'shop_main'); SELECT integ_credential_set('shop_main', 'token', '$secret')));
my $request = sent('shop_main', 'charge', {
	amount => 100, expand => ['a', 'b'], metadata => { 'order id' => 7, deep => { x => JSON::PP::true } },
	items => [ { price => 'p1', quantity => 2 }, { price => 'p 2' } ] });
like($request->{headers}{'content-type'}, qr{^application/x-www-form-urlencoded$}, 'a form');
my %form = map { s/%([0-9A-F]{2})/chr hex $1/ger =~ s/\+/ /gr } map { split /=/, $_, 2 } split /&/, $request->{body};
like(delete $form{key}, qr/^[0-9a-f]{8}-[0-9a-f-]{27}$/, 'with the key by which a repeated one is known');
is_deeply(\%form, {
	amount => 100, 'expand[0]' => 'a', 'expand[1]' => 'b', 'metadata[order id]' => 7, 'metadata[deep][x]' => 'true',
	'items[0][price]' => 'p1', 'items[0][quantity]' => 2, 'items[1][price]' => 'p 2' }, 'nested as the service reads it');
is($request->{query}, 'all%5B0%5D=a&all%5B1%5D=b', 'and the query too');
is(sent('shop_main', 'find', { created => { gte => 5, lt => 9 }, ids => [1, 2] })->{query},
	'all=a,b&ids=1,2&created%5Blt%5D=9&created%5Bgte%5D=5', 'a request has a style of its own');

# --- Files ---

my $bytes = join '', map { chr } 0 .. 255;
sql(define('files', [
	method('form', encoding => 'multipart', body => { title => '{title}', file => '{file}', data => '{data}', tags => '{tags}' }),
	method('related', encoding => 'multipart', multipartType => 'related', body => [
		{ value => { name => '{title}', kept => [1] } },
		{ '$if' => 'file', then => '{file}' } ]),
	method('ordered', encoding => 'multipart', body => { '$each' => 'parts', as => 'p', do => '{p}' }),
	method('put', method => 'PUT', encoding => 'binary', body => '{file}', headers => {
		'Dropbox-API-Arg' => { path => '/{title}', mode => 'add' }, 'Content-Type' => 'application/octet-stream' },
		baseUrl => $files->url('/echo')),
	method('plain', encoding => 'binary', body => '{file}') ]));
sql(qq(SELECT integ_connect('files', 'files_main'); SELECT integ_credential_set('files_main', 'token', '$secret')));

# The parts of a body, as a service takes them apart: head and content.
sub parts
{
	my ($logged, $type) = @_;
	my ($boundary) = $logged->{headers}{'content-type'} =~ m{^multipart/$type; boundary=(\S+)$};
	ok($boundary, "multipart/$type with a boundary");
	my $body = decode_base64($logged->{body_base64});
	ok($body =~ s/\r\n--\Q$boundary\E--\r\n\z// && $body =~ s/^--\Q$boundary\E\r\n//, 'begins and ends as it should');
	return map { [ split /\r\n\r\n/, $_, 2 ] } split /\r\n--\Q$boundary\E\r\n/, $body;
}

my @parts = parts(sent('files_main', 'form', { title => "Ünter \"x\"", data => { a => 1 }, tags => ['x', 5],
	file => { filename => "a\"b\r\n.pdf", contentType => 'application/pdf', base64 => encode_base64($bytes) } }), 'form-data');
my %part = map { $_->[0] =~ /name="(\w+)"/ ? ($1 => $_) : () } @parts;
is(scalar @parts, 5, 'a part by each member, a list several');
is($part{title}[1], "\xc3\x9cnter \"x\"", 'text');
is($part{file}[0], "Content-Disposition: form-data; name=\"file\"; filename=\"a%22b%0D%0A.pdf\"\r\nContent-Type: application/pdf",
	'a file with its name, which ends nothing');
is($part{file}[1], $bytes, 'and its bytes');
is($part{data}[0], "Content-Disposition: form-data; name=\"data\"\r\nContent-Type: application/json; charset=utf-8", 'a document');
is_deeply($json->decode($part{data}[1]), { a => 1 }, 'as JSON');
is(join(',', map { $_->[1] } grep { $_->[0] =~ /"tags"/ } @parts), 'x,5', 'in their order');

@parts = parts(sent('files_main', 'related', { title => 't', file => { contentType => 'image/png', hex => '\x00ff0A',
	headers => { 'Content-ID' => '<1>' } } }), 'related');
is(scalar @parts, 2, 'related parts');
is($parts[0][0], 'Content-Type: application/json; charset=utf-8', 'first the document');
is($parts[1][0], "Content-Type: image/png\r\nContent-ID: <1>", 'then the bytes, with a header of their own');
is($parts[1][1], "\x00\xff\x0a", 'given in hex as bytea is written');
@parts = parts(sent('files_main', 'ordered', { parts => [
	{ name => 'z', value => 'first' }, { name => 'a', value => { x => 1 } }, { name => 'f', text => 'é', filename => 'f.txt' } ] }), 'form-data');
is(join(',', map { $_->[0] =~ /name="(\w)"/ } @parts), 'z,a,f', 'a list keeps the order of its parts');

# bytea from a table.
$provider->forget;
sql(q(SELECT integ_execute('files_main', 'form', jsonb_build_object('file', jsonb_build_object('hex', '\x0001fe'::bytea, 'filename', 'x.bin')))));
is((parts(($provider->log)[0], 'form-data'))[0][1], "\x00\x01\xfe", 'a value of type bytea');

$request = sent('files_main', 'put', { title => "é\x{1F600}", file => encode_base64url($bytes) }, $files);
is(decode_base64($request->{body_base64}), $bytes, 'a body of bytes, from base64 of either alphabet');
is($request->{headers}{'content-type'}, 'application/octet-stream', 'with its type');
is($request->{headers}{'dropbox-api-arg'}, '{"mode": "add", "path": "/\u00e9\ud83d\ude00"}', 'a document in a header, in ASCII');
is($request->{headers}{authorization}, "Bearer $secret", 'the credential goes to the second host of the definition');
is($request->{path}, '/echo/to/put', 'below its base URL');
$node->wait_for_sql("SELECT count(*) = 1 FROM integ.requests WHERE method = 'put' AND origin = '" . $files->url('') . "'");
is(sent('files_main', 'plain', { file => { text => 'é', contentType => 'text/x' } })->{headers}{'content-type'}, 'text/x', 'text with its type');

# Large objects, with the rights of who calls.
my $loid = sql(q(SELECT lo_from_bytea(0, '\x00010203')));
is(decode_base64(sent('files_main', 'plain', { file => { loid => $loid + 0 } })->{body_base64}), "\0\1\2\3", 'a large object');
sql(q(CREATE ROLE ann LOGIN; GRANT integ_admin TO ann; INSERT INTO integ.clients (id, name) VALUES ('acme', 'Acme');
      INSERT INTO integ.members (role, client_id, level) VALUES ('ann', 'acme', 'admin');));
sql(q(UPDATE integ.instances SET is_default = true WHERE instance_id = 'files_main'));
sql(q(SELECT integ_connect('files', 'lent', '{}', '{"grants": ["acme"]}')));
sql(qq(SELECT integ_credential_set('lent', 'token', '$secret')));
sub as_ann
{
	my ($statement) = @_;
	return $node->sql_error("SET ROLE ann; $statement");
}
$provider->forget;
my ($state, $report) = as_ann('SELECT ' . call_of('lent', 'plain', { file => { loid => $loid + 0 } }));
is($state, 'IG403', 'a large object of somebody else');
like($report, qr/role "ann" may not read the large object $loid.*HINT: .*GRANT SELECT ON LARGE OBJECT/s, 'says so');
is(scalar $provider->log, 0, 'nothing was sent');
# The worker that makes a durable call has more rights than who enqueued it.
sql("SET ROLE ann; SELECT integ_enqueue('lent', 'plain', '{\"file\": {\"loid\": $loid}}')");
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.calls WHERE state = 'failed' AND last_sqlstate = 'IG403'));
is(scalar $provider->log, 0, 'nor by a worker');
sql("GRANT SELECT ON LARGE OBJECT $loid TO ann");
sql("SET ROLE ann; SELECT integ_enqueue('lent', 'plain', '{\"file\": {\"loid\": $loid}}')");
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.calls WHERE state = 'succeeded'));
is(decode_base64(($provider->log)[0]{body_base64}), "\0\1\2\3", 'a worker reads what its owner may read');

refused('files_main', 'plain', { file => { loid => 1 } }, 'IG404', qr/no large object 1/, 'a large object that is none');
refused('files_main', 'plain', { file => { loid => 'x' } }, 'IG400', qr/"loid" must be a number/, 'no oid');
refused('files_main', 'plain', { file => 'not*base64' }, 'IG400', qr/not written in base64/, 'no base64');
refused('files_main', 'plain', { file => { hex => '0g' } }, 'IG400', qr/not written in hexadecimal/, 'no hex');
refused('files_main', 'plain', { file => { hex => 'abc' } }, 'IG400', qr/odd number/, 'half a byte');
refused('files_main', 'plain', { file => { base64 => 'AA==', hex => '00' } }, 'IG400', qr/neither a string in base64/, 'two kinds of bytes');
refused('files_main', 'plain', { file => [1] }, 'IG400', qr/neither a string in base64/, 'no bytes');
refused('files_main', 'ordered', { parts => [ { value => 'x' } ] }, 'IG400', qr/needs a name/, 'a part of a form without a name');
refused('files_main', 'ordered', { parts => [ { name => 'x' } ] }, 'IG400', qr/neither "value"/, 'a part of nothing');
refused('files_main', 'form', { file => { text => 'x', contentType => "a\r\nX-Evil: 1" } }, 'IG400', qr/control character/, 'a type that ends its line');
refused('files_main', 'ordered', { parts => [ { name => 'x', text => 'x', headers => { "X\n" => 1 } } ] }, 'IG400', qr/no name of a header/, 'a header that is none');

# --- XML ---

sql(define('books', [
	method('post', encoding => 'xml', body => [ '<?xml version="1.0"?><Items>',
		{ '$each' => 'items', as => 'i', do => [ '<Item id="{i.id}">', '{i.name}', '</Item>' ] }, '</Items>' ]) ]));
sql(qq(SELECT integ_connect('books', 'books_main'); SELECT integ_credential_set('books_main', 'token', '$secret')));
$request = sent('books_main', 'post', { items => [ { id => '1"2', name => 'a < b & c' }, { id => 2 } ] });
is($request->{headers}{'content-type'}, 'application/xml; charset=utf-8', 'XML');
is($request->{body}, '<?xml version="1.0"?><Items><Item id="1&quot;2">a &lt; b &amp; c</Item><Item id="2"></Item></Items>',
	'in which values are values');
refused('books_main', 'post', { items => [ { id => 1, name => "a\x01" } ] }, 'IG400', qr/which XML cannot hold/, 'a character that XML cannot hold');

# --- Transforms ---

sql(define('wrapped', [
	method('save', body => { a => '{a}' }, response => { map => { got => '.body_of.a', method => '.verb' },
		errors => [ { when => '$ ? (@.body_of.a == 13)', class => 'IG422', message => '.verb' } ] }),
	method('form', encoding => 'form', body => { a => '{a}' }, response => { map => '.raw' }),
	method('get', method => 'GET', access => 'read', response => { map => '.verb' }) ],
	requestTransform => { jsonrpc => '2.0', call => '{method}', params => '{body}', ref => '[{input.ref}]' },
	responseTransform => { body_of => '.json.params', verb => '.method', raw => '.body' },
	errors => [ { when => '$ ? (@.json.params.a == 14)', class => 'IG409', message => '.json.call' } ]));
sql(qq(SELECT integ_connect('wrapped', 'wrapped_main'); SELECT integ_credential_set('wrapped_main', 'token', '$secret')));
is_deeply(sent('wrapped_main', 'save', { a => 5, ref => 'r1' })->{json},
	{ jsonrpc => '2.0', call => 'save', params => { a => 5 }, ref => 'r1' }, 'requestTransform wraps the body');
is(sql('SELECT ' . call_of('wrapped_main', 'save', { a => 5 })), '{"got": 5, "method": "POST"}', 'responseTransform comes before the map');
is(sql('SELECT ' . call_of('wrapped_main', 'get')), '"GET"', 'of a request without a body too');
($state, $report) = $node->sql_error('SELECT ' . call_of('wrapped_main', 'save', { a => 13 }));
is("$state " . ($report =~ /: POST$/m ? 1 : 0), 'IG422 1', 'the method\'s rules see what was transformed');
($state, $report) = $node->sql_error('SELECT ' . call_of('wrapped_main', 'save', { a => 14 }));
is("$state " . ($report =~ /: save$/m ? 1 : 0), 'IG409 1', 'the definition\'s see the answer as it came');
refused('wrapped_main', 'form', { a => 5 }, 'IG400', qr/"params" is an object/, 'a form takes what the transform made of it, or not');

# --- Other hosts ---

my $later = define('files', [ method('plain', encoding => 'binary', body => '{file}', baseUrl => 'http://localhost:' . $files->port . '/echo') ]);
sql($later);
refused('files_main', 'plain', { file => 'AAAA' }, 'IG403', qr/may not go to http:\/\/localhost/, 'a host that the definition got later');
sql(qq(SELECT integ_credential_set('files_main', 'token', '$secret')));
is(sent('files_main', 'plain', { file => 'AAAA' }, $files)->{headers}{authorization}, "Bearer $secret", 'entered again, the credential goes there');
like(sql(q(SELECT integ_permissions('files') ->> 'hosts')), qr/localhost:@{[$files->port]}/, 'which whoever agrees can see');

# --- Compression, limits ---

sql(define('large', [
	method('send', compress => JSON::PP::true, body => { text => '{text}' }),
	method('head', body => {}, headers => { 'X-Large' => '{text}' }) ]));
sql(qq(SELECT integ_connect('large', 'large_main'); SELECT integ_credential_set('large_main', 'token', '$secret')));
$request = sent('large_main', 'send', { text => 'x' x 20000 });
is($request->{headers}{'content-encoding'}, 'gzip', 'a large body is compressed');
cmp_ok(length decode_base64($request->{body_base64}), '<', 200, 'to less');
is_deeply($json->decode(memGunzip(decode_base64($request->{body_base64}))), { text => 'x' x 20000 }, 'and is whole');
ok(!exists sent('large_main', 'send', { text => 'x' })->{headers}{'content-encoding'}, 'a small one is not');
refused('large_main', 'head', { text => 'x' x 1048576 }, 'IG400', qr/headers have more than 65536 bytes/, 'a header of a megabyte');
refused('large_main', 'head', { text => "a\nX-Evil: 1" }, 'IG400', qr/control character/, 'a line break in a header');
refused('large_main', 'send', { text => 'x' x (17 * 1048576) }, 'IG400', qr/gives too much/, 'a body of 17 MB');
is_deeply(sent('large_main', 'send', { text => '{text} {credentials.token} [x{y}]' })->{json},
	{ text => '{text} {credentials.token} [x{y}]' }, 'what a value holds is never a template again');

done_testing();

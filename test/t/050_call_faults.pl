# What services, networks and neighbours do wrong: each gets its IG error with
# detail and hint, leaves the session usable and nothing half-written.

use strict;
use warnings;

use Integ::Certificates;
use Integ::Cluster;
use Integ::Nginx;
use Integ::Provider;
use Integ::Test qw(wait_until free_port);
use Test::More;

my $ca = Integ::Certificates->create;
my $provider = Integ::Provider->start;
my $nginx = Integ::Nginx->start(
	locations => { '/json' => q(default_type application/json; return 200 '{"ok": true}';) },
	tls => {
		valid => [ $ca->issue('localhost') ],
		expired => [ $ca->issue('localhost', expired => 1) ],
		other => [ $ca->issue('other.example', addresses => ['192.0.2.1']) ] });
my $node = Integ::Cluster->create(
	'faults',
	conf => [
		"integ.ca_file = '" . $ca->file . "'",
		'integ.request_timeout = 60s',
		'integ.max_sync_wait = 60s',
		'integ.max_response_size = 1MB' ]);

# One method whose path and query a call chooses.
$node->safe_psql('postgres', <<'SQL');
SELECT integ_define($$
{
  "integrationId": "faults", "name": "Faults", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none", "circuitBreaker": {"failureThreshold": 1000},
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "fault", "name": "Fault", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "ms": {"type": "integer"}, "code": {"type": "integer"},
        "bytes": {"type": "integer"},
        "levels": {"type": "integer"}, "to": {"type": "string"}, "retry_after": {}, "after": {"type": "integer"},
        "n": {"type": "integer"}, "size": {"type": "integer"}, "hops": {"type": "integer"}, "key": {"type": "string"},
        "claim": {"type": "integer"}, "type": {"type": "string"}}},
     "request": {"method": "GET", "path": "/fault/{name}", "query": {
        "ms": "{ms}", "code": "{code}", "bytes": "{bytes}", "levels": "{levels}", "to": "{to}",
        "retry_after": "{retry_after}",
        "after": "{after}", "n": "{n}", "size": "{size}", "hops": "{hops}", "key": "{key}", "claim": "{claim}",
        "type": "{type}"}}},
    {"id": "write", "name": "Write", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "code": {"type": "integer"}, "ms": {"type": "integer"}}},
     "request": {"method": "POST", "path": "/fault/{name}", "query": {"code": "{code}", "ms": "{ms}"},
                 "body": {"a": 1}}},
    {"id": "json", "name": "JSON", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
     "request": {"method": "GET", "path": "/json"}}
  ]
}
$$::jsonb)
SQL

sub connect_to
{
	my ($handle, $url) = @_;
	$node->safe_psql('postgres',
		qq(SELECT integ_connect('faults', '$handle', jsonb_build_object('base_url', '$url'))));
	return;
}

# A call that must fail: its SQLSTATE, and what a person reads.
sub fails
{
	my ($state, $call, $like, $name) = @_;
	my ($got, $report) = $node->sql_error("SELECT integ_execute($call)");

	is($got, $state, "$name: $state") or diag $report;
	like($report, $like, "$name: the report tells why");
	like($report, qr/DETAIL:/, "$name: it has a detail");
	like($report, qr/HINT:/, "$name: and a hint");
	return $report;
}

connect_to('provider', $provider->url(''));

# --- what services do ---

fails('IG502', q('provider', 'fault', '{"name": "notjson"}'), qr/not valid JSON/, 'HTML that claims to be JSON');
fails('IG502', q('provider', 'fault', '{"name": "truncate"}'), qr/HINT/, 'a truncated body');
fails('IG502', q('provider', 'fault', '{"name": "huge", "bytes": 2000000000}'), qr/max_response_size/, 'two gigabytes');
fails('IG502', q('provider', 'fault', '{"name": "gzipbomb", "bytes": 200000000}'), qr/max_response_size/,
	'a compressed bomb');
fails('IG502', q('provider', 'fault', '{"name": "deep", "levels": 200}'), qr/nested too deeply/, '200 levels');
fails('IG502', q('provider', 'fault', '{"name": "garbage"}'), qr/HINT/, 'something that is not HTTP');
fails('IG502', q('provider', 'fault', '{"name": "badchunk"}'), qr/HINT/, 'a malformed chunk');
fails('IG502', q('provider', 'fault', '{"name": "badgzip"}'), qr/HINT/, 'gzip that is none');
fails('IG504', q('provider', 'fault', '{"name": "never"}', '{"timeout": 500}'), qr/DETAIL/, 'a body that never ends');
fails('IG504', q('provider', 'fault', '{"name": "headers_never"}', '{"timeout": 500}'), qr/DETAIL/,
	'headers that never end');
fails('IG504', q('provider', 'fault', '{"name": "noanswer"}', '{"timeout": 300}'), qr/timeout/, 'no answer');
fails('IG502', q('provider', 'fault', '{"name": "headers", "n": 100000, "size": 100}'), qr/HINT/,
	'ten megabytes of headers');
fails('IG502', q('provider', 'fault', '{"name": "status", "code": 503}'), qr/HTTP 503/, 'a 503');
fails('IG422', q('provider', 'fault', '{"name": "status", "code": 404}'), qr/HTTP 404/, 'a 404');
fails('IG401', q('provider', 'fault', '{"name": "status", "code": 401}'), qr/integ_credential_set/, 'a 401');
# An instance of its own: nobody sends before that time.
connect_to('limited', $provider->url);
fails('IG429', q('limited', 'fault', '{"name": "status", "code": 429, "retry_after": 3600}'),
	qr/next request at \d{4}-/, 'a 429 with its time');

# A connection that ends early is neither an answer nor certainly a timeout.
for my $fault ('"reset"', '"close"')
{
	my ($state, $report) = $node->sql_error(qq(SELECT integ_execute('provider', 'fault', '{"name": $fault}')));
	like($state, qr/^IG50[24]$/, "a connection that ends ($fault)") or diag $report;
}

# --- where requests may not go ---

for my $target ('http://169.254.169.254/latest/meta-data', 'http://evil.invalid/', 'file:///etc/passwd',
	$nginx->url('/json'))
{
	my $before = $provider->count('/fault/redirect');
	fails('IG502', qq('provider', 'fault', '{"name": "redirect", "to": "$target"}'), qr/redirect/i,
		"a redirect to $target");
	is($provider->count('/fault/redirect'), $before + 1, "a redirect to $target: nothing else was asked");
}
fails('IG502', q('provider', 'fault', '{"name": "redirect", "hops": 50}'), qr/redirect/i, 'fifty redirects');
is($node->safe_psql('postgres', q(SELECT integ_execute('provider', 'fault',
	'{"name": "redirect", "hops": 2}') ->> 'method')),
	'GET', 'redirects within the origin are followed');

connect_to('metadata', 'http://169.254.169.254');
fails('IG403', q('metadata', 'json'), qr/allowed_addresses/, 'the metadata address');
connect_to('private', 'http://10.0.0.1');
fails('IG403', q('private', 'json'), qr/allowed_addresses/, 'a private address');
connect_to('nowhere', 'http://no-such-host.invalid');
fails('IG504', q('nowhere', 'json'), qr/host/, 'a name that does not exist');
connect_to('closed', 'http://127.0.0.1:' . free_port());
fails('IG504', q('closed', 'json'), qr/nothing was sent/, 'a port where nobody listens');

# --- certificates ---

connect_to('tls', $nginx->url('', tls => 'valid'));
is($node->safe_psql('postgres', q(SELECT integ_execute('tls', 'json'))), '{"ok": true}', 'TLS by a private authority');
connect_to('expired', $nginx->url('', tls => 'expired'));
fails('IG502', q('expired', 'json'), qr/certificate/i, 'an expired certificate');
connect_to('othername', $nginx->url('', tls => 'other'));
fails('IG502', q('othername', 'json'), qr/certificate|host/i, 'a certificate for another name');

# --- URLs that try to lead elsewhere ---

for my $url ('http://user:secret@127.0.0.1/', 'ftp://127.0.0.1/', 'http://', "http://127.0.0.1:99999/", 'not a url')
{
	my ($state, $report) = $node->sql_error(
		qq(SELECT integ_connect('faults', 'bad', jsonb_build_object('base_url', \$\$$url\$\$))));
	is($state, 'IG400', "base URL $url is refused") or diag $report;
	unlike($report, qr/secret/, "base URL $url: no password in the report");
}
for my $name ('@evil.example/', '../../admin', '..', '//evil.example')
{
	$provider->forget;
	my ($state, $report) = $node->sql_error(
		qq(SELECT integ_execute('provider', 'fault', jsonb_build_object('name', '$name'))));
	like($state, qr/^IG4/, "a path with $name stays where it is or is refused") or diag $report;
	is(scalar(grep { $_->{path} !~ m{^/(fault/|log|count)} } $provider->log), 0,
		"a path with $name: nothing else was asked");
}

# --- bytes ---

is($node->safe_psql('postgres', q(SELECT integ_execute('provider', 'fault', '{"name": "nul"}') IS NOT NULL)), 't',
	'\u0000 and lone surrogates arrive as U+FFFD');
is($node->safe_psql('postgres', q(SELECT integ_execute('provider', 'fault', '{"name": "badutf8"}') IS NOT NULL)), 't',
	'invalid UTF-8 arrives as U+FFFD');
is($node->safe_psql('postgres', q(SELECT length(decode(integ_execute('provider', 'fault',
	'{"name": "binary"}') ->> 'base64', 'base64')))),
	'256', 'binary arrives as base64');
for my $encoding (qw(gzip br deflate))
{
	is($node->safe_psql('postgres', qq(SELECT integ_execute('provider', 'fault', '{"name": "$encoding"}') ->> 'encoding')),
		$encoding, "$encoding is decoded");
}

# --- the session survives, and waits end at once ---

my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query(q(SELECT integ_execute('provider', 'fault', '{"name": "garbage"}')));
is($session->query(q(SELECT integ_execute('provider', 'fault', '{"name": "gzip"}') ->> 'encoding')), 'gzip',
	'the session goes on after a fault');
$session->query(q(SET statement_timeout = '200ms'));
$session->query(q(DO $$ BEGIN PERFORM integ_execute('provider', 'fault', '{"name": "noanswer"}');
	EXCEPTION WHEN query_canceled THEN PERFORM set_config('test.seen', 'cancelled', false); END $$));
is($session->query(q(SELECT current_setting('test.seen', true))), 'cancelled', 'statement_timeout cancelled the call');
$session->quit;

# --- the outcome of writes ---

sub outcome
{
	my ($method, $input) = @_;
	$node->safe_psql('postgres', 'SELECT integ_version()');
	$node->sql_error(qq(SELECT integ_execute('provider', '$method', '$input', '{"timeout": 500}')));
	my $query = q(SELECT outcome FROM integ.audit_log WHERE action = 'call.write' AND outcome <> 'pending'
		ORDER BY created_at DESC, id DESC LIMIT 1);
	return $query;
}

my $settled = 0;
for my $case (
	[ '{"name": "status", "code": 404}', 'failed' ],
	[ '{"name": "status", "code": 500}', 'unknown' ],
	[ '{"name": "noanswer"}', 'unknown' ],
	[ '{"name": "close"}', 'unknown' ],
	[ '{"name": "notjson"}', 'succeeded' ])
{
	my ($input, $expected) = @$case;
	my $query = outcome('write', $input);
	$settled++;
	$node->wait_for_sql("SELECT count(*) = $settled FROM integ.audit_log
		WHERE action = 'call.write' AND outcome <> 'pending'");
	is($node->safe_psql('postgres', $query), $expected, "a write that meets $input is $expected");
}

# Every exchange that left is in the request log, none with a query value or a body.
$node->wait_for_sql(q(SELECT count(*) > 20 FROM integ.requests));
is($node->safe_psql('postgres', q(SELECT string_agg(DISTINCT path_template, ' ' ORDER BY path_template)
	FROM integ.requests)),
	'/fault/{name} /json', 'the request log shows templates, not what callers filled in');
is($node->safe_psql('postgres', q(SELECT count(*) FROM integ.requests r
	WHERE r::text ~ '(bytes|hops|levels|to|retry_after)=')), '0',
	'no query values in the request log');

done_testing();

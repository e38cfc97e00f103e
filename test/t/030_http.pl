# HTTP from a backend, by itself (test/modules/http_probe): what waits can be ended, and nothing
# of an exchange is left behind.

use strict;
use warnings;

use Integ::Certificates;
use Integ::Cluster;
use Integ::Nginx;
use Integ::Test qw(rounds slurp wait_until);
use IO::Socket::INET;
use IPC::Run ();
use Test::More;

plan skip_all => 'nginx is not installed' unless Integ::Nginx->available;

my $ca = Integ::Certificates->create;
my $nginx = Integ::Nginx->start(
	locations => { '/json' => q(default_type application/json; return 200 '{"ok": true}';) },
	tls => {
		valid => [ $ca->issue('localhost') ],
		expired => [ $ca->issue('localhost', expired => 1) ],
		other => [ $ca->issue('other.example', addresses => []) ]
	},
	http2 => 1);

my $node = Integ::Cluster->create('main', extension => 0, start => 0);
{
	# In the server only: pg_ctl must not hang on a name of ours.
	chomp(my $library = qx{pg_config --pkglibdir});
	local $ENV{LD_PRELOAD} = "$library/slow_resolver.so";
	$node->start;
}
$node->safe_psql('postgres', 'CREATE EXTENSION http_probe');
my $log = $node->logfile;

# A service that accepts and never answers; its kernel does, without a process of its own.
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128, Proto => 'tcp') or die "no socket: $!";
my $silent_url = 'http://127.0.0.1:' . $silent->sockport . '/';
my $slow_url = 'http://very.slow.example/';

my %failure = (ok => 0, cancelled => 1, timeout => 2, tls => 5, blocked => 6);

sub send_sql
{
	my ($url, $columns, %arguments) = @_;
	my $more = join '', map { ", $_ => $arguments{$_}" } sort keys %arguments;
	return "SELECT $columns FROM http_send('$url'$more)";
}

# --- answers ---

is($node->safe_psql('postgres', send_sql($nginx->url('/json'), 'failure, status, body_text, reused') . ';'
		. send_sql($nginx->url('/json'), 'failure, status, reused')),
	qq(0|200|{"ok": true}|f\n0|200|t), 'two requests over one connection');
like(($nginx->requests)[-1], qr{^GET /json HTTP/1\.1 200 \d+ 2$}, 'nginx sees one connection');

my $trusted = "'" . $ca->file . "'";
is($node->safe_psql('postgres', send_sql($nginx->url('/json', tls => 'valid'), 'failure, status, reused', ca_file => $trusted) . ';'
		. send_sql($nginx->url('/json', tls => 'valid'), 'failure, status, reused', ca_file => $trusted)),
	qq(0|200|f\n0|200|t), 'TLS with a private authority');
like(($nginx->requests)[-1], qr{^GET /json HTTP/2\.0 200 \d+ 2$}, 'HTTP/2, on one connection');
for my $case ([ valid => '' => qr/not accepted/ ], [ expired => $trusted => qr/expired/ ], [ other => $trusted => qr/another name/ ])
{
	my ($name, $authority, $error) = @$case;
	like($node->safe_psql('postgres', send_sql($nginx->url('/json', tls => $name), 'failure, maybe_sent, error',
				$authority ? (ca_file => $authority) : ())),
		qr/^$failure{tls}\|f\|.*$error/, "certificate $name" . ($authority ? '' : ' without its authority'));
}
like($node->safe_psql('postgres', send_sql($nginx->url('/json'), 'failure, maybe_sent, error', allowed_addresses => "''")),
	qr/^$failure{blocked}\|f\|.*127\.0\.0\.1/, 'an address that is not allowed');
like($node->safe_psql('postgres', send_sql('http://rebound.example:' . $nginx->port . '/json', 'failure, maybe_sent, error',
			allowed_addresses => "''")),
	qr/^$failure{blocked}\|f\|.*127\.0\.0\.1/, 'a name that resolves to one');
is($node->safe_psql('postgres', send_sql($silent_url, 'failure, maybe_sent', timeout_ms => 1000)),
	"$failure{timeout}|t", 'a timeout of the exchange');
is($node->safe_psql('postgres', send_sql($slow_url, 'failure, maybe_sent', timeout_ms => 200)),
	"$failure{timeout}|f", 'a timeout in name resolution');

# --- charsets ---

sub decode
{
	my ($hex, $type, $json) = @_;
	return $node->safe_psql('postgres', "SELECT * FROM http_decode('\\x$hex', '$type', $json)");
}
is(decode('7b2261223a22e9227d', 'application/json; charset=iso-8859-1', 'true'), "0|{\"a\":\"\xC3\xA9\"}|f", 'Latin-1');
is(decode('93fa967b', 'text/plain; charset=Shift_JIS', 'false'), "0|\xE6\x97\xA5\xE6\x9C\xAC|f", 'Shift-JIS');
is(decode('93fa96', 'text/plain; charset=x-sjis', 'false'), "0|\xE6\x97\xA5\xEF\xBF\xBD|t", 'half a character');
is(decode('6181620063', 'text/plain; charset=cp1252', 'false'), "0|a\xEF\xBF\xBDb\xEF\xBF\xBDc|t", 'what is not in the charset, and NUL');
is(decode('fffe7b007d00', 'application/json', 'true'), '0|{}|f', 'UTF-16');
is(decode('225c753030303022', 'application/json', 'true'), "0|\"\xEF\xBF\xBD\"|t", 'an escaped NUL');
is(decode('5b' x 200, 'application/json', 'true'), '1||', 'too deep');
is(decode('ff', 'text/plain; charset=klingon', 'false'), '2||', 'an unknown charset');
is(decode('e9' x 20000, 'text/plain; charset=iso-8859-1', 'false'), '0|' . "\xC3\xA9" x 20000 . '|f', 'more than one piece');

# --- interrupts ---

# Starts a session that runs the SQL, and returns it with its pid once it waits for HTTP.
sub waiting_session
{
	my ($sql) = @_;
	my ($in, $out, $err) = ('', '', '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=sqlstate', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>', \$err);

	$in = "SELECT 'pid ' || pg_backend_pid();\n$sql;\nSELECT 'after ' || failure FROM http_send('" . $nginx->url('/json') . "');\n";
	wait_until('the session', sub { $session->pump_nb; $out =~ /pid (\d+)/ });
	my ($pid) = $out =~ /pid (\d+)/;
	$node->wait_for_sql("SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid", 'it to wait');
	return { session => $session, pid => $pid, in => \$in, out => \$out, err => \$err };
}

sub end_session
{
	my ($waiting) = @_;
	# psql may have ended by itself already, when its session was.
	local $SIG{PIPE} = 'IGNORE';
	eval { $waiting->{session}->finish };
	return;
}

for my $case ([ 'in an answer' => $silent_url, 1 ], [ 'in name resolution' => $slow_url, 0 ])
{
	my ($where, $url, $sent) = @$case;
	my $seen = -s $log;
	my $waiting = waiting_session(send_sql($url, 'failure'));

	$node->safe_psql('postgres', "SELECT pg_cancel_backend($waiting->{pid})");
	end_session($waiting);
	like(${ $waiting->{err} }, qr/ERROR:  57014/, "cancelled $where");
	like(${ $waiting->{out} }, qr/^after 0$/m, '… and the session goes on');
	like(substr(slurp($log), $seen), qr/the wait ended, maybe_sent $sent/, '… knowing whether anything was sent');

	$waiting = waiting_session(send_sql($url, 'failure'));
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($waiting->{pid}, 100000)");
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $waiting->{pid}"), 0, "terminated $where");
	end_session($waiting);
	like(${ $waiting->{err} }, qr/FATAL:  57P01/, '… by administrator command');

	my ($state) = $node->sql_error("SET statement_timeout = '300ms'; " . send_sql($url, 'failure'));
	is($state, '57014', "statement_timeout $where");

	# Caught, so that the transaction goes on with the same backend state.
	is($node->safe_psql('postgres', <<"SQL"), "57014|0", "caught $where, in a subtransaction");
SET statement_timeout = '300ms';
CREATE TEMP TABLE caught AS SELECT ''::text AS state, 0 AS failure;
DO \$\$
BEGIN
	PERFORM http_send('$url');
EXCEPTION WHEN query_canceled THEN
	SET LOCAL statement_timeout = 0;
	UPDATE caught SET state = SQLSTATE, failure = (SELECT failure FROM http_send('@{[$nginx->url('/json')]}'));
END
\$\$;
SELECT state, failure FROM caught;
SQL
}

# A barrier, which DROP DATABASE raises, does not wait for the service.
my $waiting = waiting_session(send_sql($silent_url, 'failure'));
$node->safe_psql('postgres', 'CREATE DATABASE passing');
$node->safe_psql('postgres', 'DROP DATABASE passing');
is($node->safe_psql('postgres', "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $waiting->{pid}"),
	'Extension', 'a barrier is absorbed without ending the wait');
$node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($waiting->{pid})");
wait_until('the memory contexts in the log', sub { slurp($log) =~ /logging memory contexts of PID $waiting->{pid}/ });
is($node->safe_psql('postgres', "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $waiting->{pid}"),
	'Extension', '… and so is a request for its memory contexts');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($waiting->{pid})");
end_session($waiting);

# The client's end is noticed where the server looks for it.
$waiting = waiting_session("SET client_connection_check_interval = '50ms'; " . send_sql($silent_url, 'failure'));
$waiting->{session}->kill_kill(grace => 0);
$node->wait_for_sql("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $waiting->{pid}", 'the backend of a lost client to end');
pass('a client that is gone is noticed');

# --- nothing is left behind ---

sub sockets
{
	my ($pid) = @_;
	return scalar grep { (readlink($_) // '') =~ /^socket:/ } glob("/proc/$pid/fd/*");
}

my $rounds = rounds(20, 500);
my $good = send_sql($nginx->url('/json'), "'ok ' || status") . ";\n";
my ($in, $out, $err) = ('', '', '');
my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err);
$in = "SELECT 'pid ' || pg_backend_pid();\n$good";
wait_until('the first answer', sub { $session->pump_nb; $out =~ /^ok 200$/m });
my ($pid) = $out =~ /pid (\d+)/;
my $before = sockets($pid);

$in .= ("SET statement_timeout = '20ms';\n" . send_sql($silent_url, 'failure') . ";\n"
	  . send_sql('http://quite.lazy.example/', 'failure') . ";\nSET statement_timeout = 0;\n$good") x $rounds;
wait_until('all rounds', sub { $session->pump_nb; (() = $out =~ /^ok 200$/mg) == $rounds + 1 });
pass('requests between broken ones succeed');
is(() = $err =~ /canceling statement/g, 2 * $rounds, 'each was broken');
# A resolver that was given up keeps its end of a pair until it has its answer.
wait_until('the sockets of broken exchanges to be closed', sub { sockets($pid) <= $before });
pass('broken exchanges leave no socket behind');
$in .= "\\q\n";
$session->finish;

is($node->safe_psql('postgres', 'SELECT 1'), 1, 'the server is well');
unlike(slurp($log), qr/PANIC|terminated by signal|leak/i, 'nothing alarming in the log');
$node->stop;
done_testing();

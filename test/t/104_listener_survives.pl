# What the listener survives: kill -9 of itself and of the postmaster under load, a disk that is full, a flood of
# requests that prove nothing. No event that was answered with 2xx is lost, and none is there twice.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use Integ::Cluster;
use Integ::Faults;
use Integ::Listener;
use Integ::Test qw(rounds seed slurp wait_until);
use IO::Handle;
use Test::More;
use Time::HiRes qw(sleep);

srand seed();
my $node = Integ::Cluster->create('main', start => 0);
my $faults = Integ::Faults->missing ? undef : Integ::Faults->start($node);
$node->start unless $faults;

sub start_again { return $faults ? $faults->start_again : $node->start }

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql('CREATE EXTENSION integ');
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
my $listener = Integ::Listener->start($node);

sub deliver
{
	my ($id, $signature) = @_;
	my $body = qq({"type": "order.paid", "id": "$id"});
	return $listener->post('/webhooks/shop/main', $body, 'x-shop-signature' => $signature // hmac_sha256_hex($body,
		'k'))->{status};
}

# --- killed under load ---

# Clients of their own that send until they are told to end, and write down what was answered with 2xx.
my @clients;
my $parent = $$;
for my $client (1 .. 4)
{
	my $file = $node->basedir . "/answered.$client";
	open my $out, '>', $file or die "$file: $!";
	my $pid = fork();
	die "fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		my $ended = 0;
		local $SIG{TERM} = sub { $ended = 1 };
		$out->autoflush(1);
		for (my $n = 0; !$ended && getppid() == $parent; $n++)
		{
			my $id = "k-$client-$n";
			# What was not answered is sent again, as services do.
			for my $try (1 .. 3)
			{
				my $status = deliver($id);
				print $out "$id\n" if $status =~ /^2/;
				last if $status =~ /^2/ || $ended;
				sleep 0.02;
			}
		}
		close $out;
		exec 'true';
	}
	push @clients, [ $pid, $file ];
}

sub listener_pid
{
	my ($status, $pid);
	$status = $node->psql('postgres',
		q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ listener' LIMIT 1), stdout => \$pid);
	return $status == 0 ? $pid : '';
}

sub answered { my $n = 0; $n += () = slurp($_->[1]) =~ /\n/g for @clients; return $n }

my $rounds = rounds(5, 100);
for my $round (1 .. $rounds)
{
	my $before = answered();
	wait_until('some answers', sub { answered() > $before + 10 });
	my $pid = wait_until('the listener', \&listener_pid);
	sleep rand 0.1;
	if ($round % 2)
	{
		kill 'KILL', $pid;
		wait_until('it to end', sub { !kill(0, $pid) });
	}
	else
	{
		my $postmaster = (split /\n/, slurp($node->data_dir . '/postmaster.pid'))[0];
		$node->kill9;
		# Its children leave shared memory a moment later.
		wait_until('the processes to end', sub { !kill(0, $postmaster) && !kill(0, $pid) });
		start_again();
	}
	ok(wait_until('it listens again', sub { listener_pid() && $listener->socket }), "round $round: it is back");
}
kill 'TERM', $_->[0] foreach @clients;
waitpid $_->[0], 0 foreach @clients;
my %answered = map { $_ => 1 } map { split /\n/, slurp($_->[1]) } @clients;
my %stored = map { split /\|/ } split /\n/, sql('SELECT delivery_id, count(*) FROM integ.webhook_events GROUP BY 1');
is(scalar(grep { !exists $stored{$_} } keys %answered), 0, scalar(keys %answered) . ' answered events are there');
is(scalar(grep { $_ != 1 } values %stored), 0, 'each once');
is(sql('SELECT count(*) FROM integ.webhook_keys'), scalar(keys %stored), 'and as many deliveries are known');
cmp_ok(scalar(keys %answered), '>', 10 * $rounds, 'enough of them');

# --- a flood that proves nothing ---

{
	my $rows = q(SELECT concat_ws(' ', (SELECT count(*) FROM integ.webhook_events),
		(SELECT count(*) FROM integ.webhook_keys),
		(SELECT count(*) FROM integ.audit_log), (SELECT count(*) FROM integ.requests),
			(SELECT count(*) FROM integ.handler_runs)));
	my $before = sql($rows);
	my $log = -s $node->logfile;
	my %statuses;
	$statuses{ deliver("f-$_", 'ff' x 32) }++ for 1 .. 1000;
	$statuses{ $listener->post("/webhooks/shop/$_", '{}')->{status} }++ for 1 .. 200;
	$statuses{ $listener->get("/oauth/callback?state=$_&code=x")->{status} }++ for 1 .. 200;
	is_deeply(\%statuses, { 401 => 1000, 404 => 200, 400 => 200 }, 'a flood of requests that prove nothing');
	my $said = substr slurp($node->logfile), $log;
	is(sql($rows), $before, 'leaves no row');
	unlike($said, qr/listener|webhook|signature/i, 'and no line of the log') or diag(substr $said, 0, 500);
}

# --- a full disk ---

SKIP:
{
	skip(Integ::Faults->missing, 5) unless $faults;
	sql(sprintf q(CREATE TABLESPACE history LOCATION '%s'), $faults->disk);
	sql(<<'SQL');
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'integ.webhook_events'::regclass LOOP
        EXECUTE format('ALTER TABLE %s SET TABLESPACE history', part);
    END LOOP;
END
$$
SQL
	sql('TRUNCATE integ.webhook_events');    # an empty table has no page with room
	$faults->on('full');
	my @statuses = map { deliver("full-$_") } 1 .. 5;
	is_deeply([ grep { $_ ne '503' && $_ ne '599' } @statuses ], [], 'with a full disk nothing is accepted')
	  or diag(join ' ', @statuses);
	like(sql(q(SELECT coalesce(last_error,
		'') FROM integ_status() WHERE database = 'postgres' AND last_error ~ 'listener')),
		qr/No space left on device/, 'and the state says why');
	is(sql(q(SELECT count(*) FROM integ.webhook_keys WHERE delivery_id LIKE 'full-%')), '0',
		'nothing is taken for stored');
	$faults->off('full');
	is_deeply([ map { deliver("full-$_") } 1 .. 5 ], [ (200) x 5 ], 'with room everything is');
	is(sql(q(SELECT count(*) FROM integ.webhook_events WHERE delivery_id LIKE 'full-%')), '5', 'once');
}

$node->stop;
done_testing();

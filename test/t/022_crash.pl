# Crashes: what was under way becomes unknown exactly once, what was queued is
# told of by a gap row, and everything runs again.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Test qw(rounds seed wait_until);
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.log_flush = '10s'", "log_min_messages = 'log'" ]);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub wait_running
{
	$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ_status() WHERE component = 'keeper' AND state = 'running' AND database = current_database()),
		'the keeper runs');
	return;
}

sub worker { return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ $_[0]'") }

sub lines
{
	my ($call) = @_;
	return sql("SELECT string_agg(outcome, ' ' ORDER BY id) FROM integ.audit_log WHERE call_id = '$call'");
}


sql('CREATE EXTENSION integ_test_record');
wait_running();

my @settled;
for my $victim ('keeper', 'launcher', 'backend', 'postmaster')
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $done = $session->query_safe(q(BEGIN; SELECT test_intent()));
	$session->query_safe('SELECT test_outcome(); COMMIT');
	# The next intent takes the outcome before it to disk.
	my $open = $session->query_safe(q(BEGIN; SELECT test_intent()));
	sql(q(SELECT test_requests(5, 'lost')));
	my $boot = sql('SELECT boot FROM integ.recorder');
	if ($victim eq 'postmaster')
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		my $pid = $victim eq 'backend' ? $session->query_safe('SELECT pg_backend_pid()') : worker($victim);
		kill 'KILL', $pid or die "no $victim";
	}
	eval { $session->quit };
	$node->wait_for_sql("SELECT boot <> '$boot' AND NOT is_clean FROM integ.recorder", 'the recorder is back');
	wait_running();
	is(lines($open), 'pending unknown', "kill -9 of the $victim: what was under way is unknown, once");
	is(lines($done), 'pending succeeded', 'what was settled stays so');
	is(sql(q(SELECT count(*) FROM integ.requests WHERE kind = 'gap' AND lost IS NULL)), @settled / 2 + 1, 'a gap row tells of the reads');
	push @settled, $open, $done;
}

# A shutdown loses nothing: reads that were queued, outcomes of sessions it ends.
sql(q(SELECT test_requests(7, 'kept')));
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $open = $session->query_safe(q(BEGIN; SELECT test_intent()));
$node->stop('fast');
eval { $session->quit };
$node->start;
wait_running();
is(sql(q(SELECT count(*) FROM integ.requests WHERE client_id = 'kept')), 7, 'an orderly shutdown writes what is queued');
is(lines($open), 'pending unknown', 'and the outcome of a session that it ended');
is(sql(q(SELECT count(*) FROM integ.requests WHERE kind = 'gap')), 4, 'no gap row after it');
is(sql(q(SELECT count(*) FROM integ.audit_log WHERE outcome = 'unknown')), 5, 'nothing became unknown twice');

# A keeper that is terminated keeps the ring and the writes under way.
$session = $node->background_psql('postgres', on_error_stop => 0);
$open = $session->query_safe(q(BEGIN; SELECT test_intent()));
sql(q(SELECT test_requests(3, 'kept')));
my $keeper = worker('keeper');
sql("SELECT pg_terminate_backend($keeper)");
wait_until('another keeper', sub { my $pid = worker('keeper'); $pid ne '' && $pid != $keeper });
wait_running();
is(lines($open), 'pending', 'a write that is still under way is left alone');
$session->query_safe('SELECT test_outcome(); COMMIT; SELECT test_intent()');
$node->wait_for_sql("SELECT count(*) = 2 FROM integ.audit_log WHERE call_id = '$open'", 'its outcome');
is(lines($open), 'pending succeeded', 'and is settled by whom it belongs to');
is(sql(q(SELECT count(*) FROM integ.requests WHERE client_id = 'kept')), 10, 'reads survive the keeper');
eval { $session->quit };

# Random kills while writes go on: every write has one intent and exactly one outcome.
seed();
for my $round (1 .. rounds(3, 60))
{
	my @writers = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 3;
	$_->{stdin} .= "DO \$\$ BEGIN LOOP PERFORM test_intent('round'); PERFORM test_outcome(); END LOOP; END \$\$;\n" for @writers;
	$_->{run}->pump_nb for @writers;
	$node->wait_for_sql("SELECT count(*) > 20 FROM integ.audit_log WHERE client_id = 'round' AND created_at > now() - interval '1 minute'", 'writes go on');
	my $boot = sql('SELECT boot FROM integ.recorder');
	my @pids = split /\n/, sql(q(SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (backend_type LIKE 'integ%' OR query LIKE 'DO%')));
	my $kind = int(rand(2));
	if ($kind)
	{
		kill 'KILL', $pids[ rand @pids ];
	}
	else
	{
		$node->stop('immediate');
		$node->start;
	}
	$node->wait_for_sql("SELECT boot <> '$boot' FROM integ.recorder", 'the recorder is back');
	wait_running();
	eval { $_->quit } for @writers;
	is(sql(q(SELECT count(*) FROM (SELECT call_id FROM integ.audit_log WHERE client_id = 'round' GROUP BY call_id
		HAVING count(*) FILTER (WHERE outcome = 'pending') <> 1 OR count(*) FILTER (WHERE outcome <> 'pending') <> 1) AS odd)),
		0, "round $round: one intent, one outcome");
}
$node->stop;
done_testing();

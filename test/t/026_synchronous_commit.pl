# A database where commits do not wait for the disk: what the recorder promises is on disk all the same.

use strict;
use warnings;

use Integ::Cluster;
use Test::More;

# The WAL writer must not be the one that writes it: it looks every ten seconds.
my $node = Integ::Cluster->create('main', conf => [ "wal_writer_delay = '10s'", "integ.log_flush = '10s'", 'autovacuum = off' ]);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql('CREATE EXTENSION integ_test_record');
sql('ALTER DATABASE postgres SET synchronous_commit = off');
$node->restart;
$node->wait_for_sql(q(SELECT state = 'running' FROM integ_status() WHERE component = 'keeper' AND database = current_database()), 'the keeper');
is(sql('SHOW synchronous_commit'), 'off', 'sessions do not wait for the disk');

my ($flushed, $before, $call) = (0);
for (1 .. 10)
{
	$before = sql('SELECT pg_current_wal_insert_lsn()');
	$call = sql('SELECT test_intent()');
	$flushed += sql("SELECT pg_current_wal_flush_lsn() > '$before'") eq 't';
}
is($flushed, 10, 'each intent was flushed before its request might leave');

$node->stop('immediate');
$node->start;
# The keeper moves them from the journal.
$node->wait_for_sql(q(SELECT count(*) >= 10 FROM integ.audit_log WHERE outcome = 'pending'), 'they are there after a crash');
is(sql(q(SELECT count(*) FROM integ.audit_log WHERE outcome = 'pending')), 10, 'and is there after a crash');
$node->wait_for_sql("SELECT outcome = 'unknown' FROM integ.writes WHERE call_id = '$call'", 'the last one gets its outcome');
pass('which nobody knows');
$node->stop;
done_testing();

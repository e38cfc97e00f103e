# Partitions: made ahead and dropped by the maintenance worker, which gives way
# to whoever holds a lock and tries again.

use strict;
use warnings;

use Integ::Cluster;
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.log_flush = '50ms'", 'integ.log_retention = 2' ]);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub run_job
{
	my ($job) = @_;
	my $last = sql("UPDATE integ.maintenance_jobs SET next_run_at = now(), last_duration = NULL WHERE name = '$job' RETURNING 1");
	$node->wait_for_sql("SELECT last_duration IS NOT NULL FROM integ.maintenance_jobs WHERE name = '$job'", "the job $job ran");
	return sql("SELECT coalesce(last_error, '') FROM integ.maintenance_jobs WHERE name = '$job'");
}

sub days
{
	return sql(q(SELECT string_agg(right(relname, 8)::date - (now() AT TIME ZONE 'UTC')::date || '', ' ' ORDER BY relname)
		FROM pg_class WHERE relnamespace = 'integ'::regnamespace AND relkind = 'r' AND relname ~ '^requests_[0-9]{8}$'));
}

sql('CREATE EXTENSION integ_test_record');
is(run_job('partitions'), '', 'partitions are made');
is(days(), '0 1 2 3', 'for today and three days ahead');
is(run_job('partitions'), '', 'again: nothing to do');

# Days that passed: made by hand as the job would have made them.
sql(q(SELECT integ.partitions_maintain(now() - interval '3 days')));
is(days(), '-3 -2 -1 0 1 2 3', 'older days are there');
is(run_job('retention'), '', 'what is over its time is dropped');
is(days(), '-2 -1 0 1 2 3', 'and only that');

# A lock on the table: the job gives way, says so, and tries again.
sql(q(SELECT integ.partitions_maintain(now() - interval '3 days')));
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM integ.requests');
like(run_job('retention'), qr/could not be dropped \(requests_\d{8}: canceling statement due to lock timeout/, 'a reader is not disturbed');
is(days(), '-3 -2 -1 0 1 2 3', 'the partition stays');
is(sql(q(SELECT next_run_at < now() + interval '6 minutes' FROM integ.maintenance_jobs WHERE name = 'retention')), 't', 'it is tried again soon');
is(sql(q(SELECT count(*) FROM integ.events WHERE kind = 'maintenance.failed')), 1, 'an event tells of it');
like(sql(q(SELECT hint FROM integ_status() WHERE component = 'partitions')), qr/maintenance_jobs/, 'the status too');
$reader->query_safe('COMMIT');
$reader->quit;
is(run_job('retention'), '', 'then it works');
is(days(), '-2 -1 0 1 2 3', 'and the partition is gone');

# A partition that is missing: rows go to the default one, and on when it is made.
sql(q(ALTER EXTENSION integ DROP TABLE integ.) . sql(q(SELECT 'requests_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD'))) . q(;
	DROP TABLE integ.) . sql(q(SELECT 'requests_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD'))));
like(sql(q(SELECT hint FROM integ_status() WHERE component = 'partitions')), qr/Today has no partition/, 'the status misses today');
sql('SELECT test_requests(10)');
$node->wait_for_sql('SELECT count(*) = 10 FROM integ.requests_default', 'rows go to the default partition');
is(run_job('partitions'), '', 'the partition is made');
is(sql('SELECT count(*) FROM integ.requests_default'), 0, 'the default one is empty again');
is(sql('SELECT count(*), count(DISTINCT id) FROM integ.requests'), '10|10', 'and no row is lost');

# Attached while the recorder writes: no row is lost.
my $session = $node->background_psql('postgres');
$session->{stdin} .= "SELECT test_requests(50000, 'racing');\n";
$session->{run}->pump_nb;
for (1 .. 5)
{
	sql(q(BEGIN; SELECT integ.partitions_maintain('2091-01-01'); ROLLBACK));
	run_job('partitions');
}
$session->quit;
$node->wait_for_sql(q(SELECT queue_depth = 0 FROM integ_status() WHERE component = 'recorder' AND database = current_database()), 'all is written');
is(sql(q(SELECT count(*) FILTER (WHERE kind = 'request' AND client_id = 'racing') + coalesce(sum(lost), 0) FROM integ.requests)), 50000, 'rows and partitions do not get in each other\'s way');
$node->stop;
done_testing();

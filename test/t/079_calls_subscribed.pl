# A database that gets another's calls by logical replication sends none of them, until a person says that it is to act.

use strict;
use warnings;

use Integ::Calls;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(wait_until);
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('subscribed', conf => [
	'wal_level = logical', 'max_wal_senders = 5', 'max_replication_slots = 5', 'max_worker_processes = 32' ]);

sub in_copy { return $node->safe_psql('copy', $_[0]) }
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub replicated { return $node->wait_for_sql($_[0], $_[1], 'copy') }
sub enqueue
{
	my ($path) = @_;
	return sql(qq(SELECT integ_enqueue('main', 'read', '{"a": "echo", "b": "$path"}', '{"run_at": "2100-01-01"}')));
}

sub held { return in_copy(q(SELECT state FROM integ_status() WHERE component = 'held' AND database = 'copy')) }

$node->safe_psql('postgres', 'CREATE DATABASE copy');
in_copy('CREATE EXTENSION integ');
Integ::Calls::connect($node, 'postgres', main => $provider->url);
Integ::Calls::connect($node, 'copy', own => $provider->url);
is(in_copy(q(SELECT integ_execute('own', 'read', '{"a": "echo", "b": "own"}') ->> 'path')), '/echo/own',
	'the copy is in use');

# The rows of the instance, and those of calls: what is there, and what comes.
my $first = enqueue('first');
my $running = sql(q(SELECT integ_enqueue('main', 'read', '{"a": "fault", "b": "delay", "ms": 15000}')));
wait_until('its request', sub { $provider->count('/fault/delay') == 1 });
in_copy(sprintf q(INSERT INTO integ.instances SELECT (jsonb_populate_record(NULL::integ.instances, '%s')).*),
	sql(q(SELECT to_jsonb(i) FROM integ.instances i WHERE instance_id = 'main')) =~ s/'/''/gr);
sql('CREATE PUBLICATION calls FOR TABLE integ.calls_open');
sql(q(SELECT pg_create_logical_replication_slot('calls', 'pgoutput')));
is(held(), 'no', 'it acts for itself');
in_copy(sprintf q(CREATE SUBSCRIPTION calls CONNECTION '%s' PUBLICATION calls WITH (create_slot = false)),
	$node->connstr('postgres') =~ s/'//gr);
replicated("SELECT EXISTS (SELECT FROM integ.calls_open WHERE id = '$first')", 'the first call');
is(held(), 'yes', 'what the subscription has copied holds it');
in_copy('UPDATE integ.calls_open SET run_at = now()');
my ($state) = $node->sql_error(q(SELECT integ_execute('own', 'read', '{"a": "echo", "b": "own"}')), dbname => 'copy');
is($state, 'IG500', 'so that nothing leaves it');

# What another database's dispatcher had is taken up. A row that is applied later holds it again.
is(in_copy("SELECT state FROM integ.calls_open WHERE id = '$running'"), 'running', 'the publisher runs a call');
in_copy('SELECT integ_resume()');
wait_until('the call to be made here too', sub { $provider->count('/fault/delay') == 2 });
in_copy("SELECT integ_call_cancel('$running')");
replicated(q(SELECT NOT EXISTS (SELECT FROM integ.calls_open)), 'the call to be made here after all');
my $later = enqueue('later');
replicated("SELECT EXISTS (SELECT FROM integ.calls_open WHERE id = '$later')", 'a call that is applied');
is(held(), 'yes', 'it holds the database again');

# Without the subscription it acts for itself again, and goes on with what came.
in_copy('ALTER SUBSCRIPTION calls DISABLE; ALTER SUBSCRIPTION calls SET (slot_name = NONE)');
in_copy('DROP SUBSCRIPTION calls');
in_copy('SELECT integ_resume()');
is(held(), 'no', 'a person says that it acts from now on');
in_copy('UPDATE integ.calls_open SET run_at = now()');
replicated("SELECT EXISTS (SELECT FROM integ.calls_done WHERE id = '$later' AND state = 'succeeded')", 'the call');
is($provider->count('/echo/later'), 1, 'it is made once');
is(sql("SELECT count(*) FROM integ.calls_open WHERE id IN ('$first', '$later')"), 2, 'the publisher has its own still');

$node->stop;
done_testing();

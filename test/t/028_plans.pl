# Plans are kept, so those that are made while the tables are empty, and known to be, must do for full
# ones: every lookup of a session, the dispatcher and the handler worker takes an index.

use strict;
use warnings;

use Integ::Calls;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp wait_until);
use Test::More;

# Tables that grow with what is connected and called; those of one row, or of a row a job, are read whole.
my $growing = qr/(?:calls_open|calls_done\w*|call_keys|instances|instance_grants|instance_methods|credentials|data_keys
	|members|clients|definitions|definition_versions|handler_runs|webhooks|webhook_events\w*|webhook_keys|requests\w*
	|audit_log\w*|oauth_tokens|approvals)/x;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('main', conf => [
	"shared_preload_libraries = 'integ, auto_explain'",
	'auto_explain.log_min_duration = 0', 'auto_explain.log_nested_statements = on', 'auto_explain.log_timing = off' ]);

# Known to be empty: the planner would take them for one page.
$node->safe_psql('postgres', 'VACUUM ANALYZE');
my $before = -s $node->logfile;

Integ::Calls::connect($node, 'postgres', main => $provider->url);
$node->safe_psql('postgres', q(CREATE SCHEMA code;
	CREATE FUNCTION code.done(call jsonb) RETURNS void LANGUAGE sql AS ''));
$node->safe_psql('postgres', $_) for (
	q(SELECT integ_execute('main', 'read', '{"a": "echo", "b": "one"}')),
	q(SELECT integ_execute('main', 'write', '{"a": "echo", "b": "two"}')),
	q(SELECT integ_enqueue('main', 'read', '{"a": "echo", "b": "three"}')),
	q(SELECT integ_enqueue('main', 'write', '{"a": "echo", "b": "four"}',
		'{"idempotency_key": "k", "on_success": "code.done"}')),
	q(SELECT integ_enqueue('main', 'read', '{"a": "echo", "b": "five"}', '{"run_at": "2100-01-01"}')),
	q(SELECT integ_call_cancel(id) FROM integ.calls_open WHERE run_at = '2100-01-01'));
$node->wait_for_sql(q(SELECT count(*) = 3 FROM integ.calls_done), 'the calls to end');
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.handler_runs WHERE state = 'succeeded'), 'the handler to run');
$node->safe_psql('postgres', q(SELECT integ_await(id, '1 s') FROM integ.calls_done));

# One key with nearly all calls: that it is looked up by the index for it holds for other keys, too.
$node->safe_psql('postgres', q(SELECT count(integ_enqueue('main', 'read', '{"a": "echo", "b": "six"}',
	'{"ordering_key": "k", "run_at": "2100-01-01"}')) FROM generate_series(1, 30000)));
$node->safe_psql('postgres', 'ANALYZE integ.calls_open');
my $skewed = -s $node->logfile;
$node->safe_psql('postgres',
	q(SELECT integ_enqueue('main', 'read', '{"a": "echo", "b": "seven"}', '{"ordering_key": "l"}')));
$node->wait_for_sql(q(SELECT count(*) = 4 FROM integ.calls_done), 'the call of another key');

# What C runs has parameters; what this test asks has none. Foreign keys are checked by PostgreSQL itself.
my (%plans, @whole);
for my $entry (split /\n(?=\d{4}-\d\d-\d\d )/, substr(slurp($node->logfile), $before))
{
	my ($query) = $entry =~ /plan:\n\tQuery Text: (.*?)\n\t(?=[A-Z][\w ]+(?: \(| on |\())/s or next;
	next if $query !~ /\$1/ || $query =~ /FROM ONLY|UPDATE ONLY/;
	$plans{$query} = 1;
	push @whole, "$1: $query" if $entry =~ /Seq Scan on (?:integ\.)?($growing)\b/;
}
cmp_ok(scalar(keys %plans), '>=', 20, 'the plans are in the log');
is(join("\n", @whole), '', 'no lookup reads a whole table');
my %firsts = map { $_ => 1 }
  substr(slurp($node->logfile), $skewed) =~ /using (\w+) on (?:integ\.)?calls_open e\b/g;
is(join(' ', sort keys %firsts), 'calls_open_ordering_idx',
	'the first call of a key is looked for among those of the key');

done_testing();

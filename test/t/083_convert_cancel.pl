# A conversion whose pattern never ends is ended by whoever may cancel the
# session, and leaves the session usable.

use strict;
use warnings;

use Integ::Cluster;
use IPC::Run ();
use Test::More;

my $node = Integ::Cluster->create('main');

$node->safe_psql('postgres', q(
INSERT INTO integ.record_types (id, name) VALUES ('thing', 'Thing');
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings) VALUES ('slow', 'Thing', 'thing',
	'[{"targetField": "name", "mappingType": "transform", "config": {"sourceField": "t", "transformations": [
		{"type": "regex_replace", "config": {"pattern": "^(a+)(a+)(a+)(a+)(a+)\\\\1\\\\2\\\\3\\\\4\\\\5$", "replace": ""}}]}}]')));

# Waits until the session has converted for a while, and cancels it.
my $canceller = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q(DO $$
		BEGIN
			LOOP
				PERFORM pg_stat_clear_snapshot();
				PERFORM pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'converts' AND query ~ 'integ_convert'
					AND state = 'active' AND query_start < clock_timestamp() - interval '0.3 s';
				EXIT WHEN FOUND;
				PERFORM pg_sleep(0.02);
			END LOOP;
		END $$) ],
	'>', \my $out, '2>', \my $err);
my ($code, $stdout, $stderr) = $node->psql('postgres', q(
SET application_name = 'converts';
\set VERBOSITY verbose
SELECT integ_convert('slow', jsonb_build_object('id', 1, 't', repeat('a', 1001)));
SELECT integ_convert('slow', '{"id": 1, "t": "b"}') ->> 'name';
), on_error_stop => 0);
$canceller->finish;
is($err, '', 'somebody cancels it');
like($stderr, qr/ERROR:  57014: canceling statement due to user request\n(?!CONTEXT)/, 'the conversion ends with the cancel');
is($stdout, 'b', 'and the session goes on');

$node->stop;
done_testing();

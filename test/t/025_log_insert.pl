# Small batches of the logs are inserted without COPY: the same rows, the same place, and whatever a DBA has
# added to the tables still holds.

use strict;
use warnings;

use Integ::Cluster;
use Test::More;

my $node = Integ::Cluster->create('main', conf => ["integ.log_flush = '10ms'"]);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub written
{
	my ($client, $count, $what) = @_;
	$node->wait_for_sql("SELECT count(*) = $count FROM integ.requests WHERE client_id = '$client'", $what);
	return;
}

# The places of a client's rows.
sub places
{
	my ($client) = @_;
	return sql("SELECT string_agg(DISTINCT tableoid::regclass::text, ' ') FROM integ.requests WHERE client_id = '$client'");
}

sql('CREATE EXTENSION integ_test_record');
$node->wait_for_sql(q(SELECT count(*) >= 3 FROM pg_class WHERE relname ~ '^requests_[0-9]{8}$'), 'the partitions are made');

# Noon of a day of its own with a partition: no test runs into midnight.
my $partition = sql(q(SELECT max(relname) FROM pg_class WHERE relname ~ '^requests_[0-9]{8}$' AND relkind = 'r'));
my $date = sql("SELECT to_date(right('$partition', 8), 'YYYYMMDD')");
my $noon = "$date 12:00+00";

sub requests
{
	my ($count, $client, $error) = @_;
	$error = defined $error ? "'$error'" : 'NULL';
	sql("SELECT test_requests($count, '$client', $error, '$noon')");
	return;
}

# --- the same rows ---

requests(2, 'small');
written('small', 2, 'a small batch is written');
requests(500, 'large');
written('large', 500, 'a large one too');
my $values = q(SELECT count(DISTINCT to_jsonb(r) - '{id,call_id,client_id,duration_us}'::text[]) FROM integ.requests r
	WHERE client_id IN ('small', 'large'));
is(sql($values), 1, 'both ways write the same values');
is(places('small'), "integ.$partition", 'into the partition of the day');
is(sql(q(SELECT count(DISTINCT id) FROM integ.requests)), 502, 'each with a number of its own');
is(sql(qq(SET enable_seqscan = off; SELECT count(*) FROM integ.requests WHERE client_id = 'small' AND created_at = '$noon')), 2,
	'its indexes know them');

sql(q(SELECT test_audits(1, 'audit', detail => '{"a": [1, "\u00e9"]}')));
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.audit_log WHERE client_id = 'audit'), 'a line of the audit');
is(sql(q(SELECT retention, detail, outcome FROM integ.audit_log WHERE client_id = 'audit')), 'standard|{"a": [1, "é"]}|succeeded',
	'with its class and detail');

# --- what a DBA has added ---

sql(q(CREATE TABLE seen (n bigint);
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (NEW.id); RETURN NEW; END $$;
	GRANT INSERT ON seen TO integ_owner;
	CREATE TRIGGER see AFTER INSERT ON integ.requests FOR EACH ROW EXECUTE FUNCTION see()));
requests(1, 'trigger');
written('trigger', 1, 'a row for a trigger');
is(sql('SELECT count(*) FROM seen'), 1, 'the trigger ran');
sql('DROP TRIGGER see ON integ.requests');
requests(1, 'no trigger');
written('no trigger', 1, 'a row after it was dropped');
is(sql('SELECT count(*) FROM seen'), 1, 'it ran no more');

sql(q(CREATE FUNCTION see_all() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO public.seen VALUES (0); RETURN NULL; END $$;
	CREATE TRIGGER see_all AFTER INSERT ON integ.requests EXECUTE FUNCTION see_all()));
requests(1, 'statement');
written('statement', 1, 'a row for a trigger of the statement');
is(sql('SELECT count(*) FROM seen'), 2, 'which ran too');
sql('DROP TRIGGER see_all ON integ.requests');

sql(q(ALTER TABLE integ.requests ADD COLUMN region text DEFAULT 'north'));
requests(1, 'column');
written('column', 1, 'a row with a column more');
is(sql(q(SELECT region FROM integ.requests WHERE client_id = 'column')), 'north', 'gets its default');
sql(q(ALTER TABLE integ.requests DROP COLUMN region));
requests(1, 'dropped');
written('dropped', 1, 'a row behind a dropped column');
is(sql(q(SELECT kind, status, lost IS NULL FROM integ.requests WHERE client_id = 'dropped')), 'request|200|t', 'has its values in their places');

sql(q(CREATE INDEX requests_upper ON integ.requests (upper(client_id))));
requests(1, 'expression');
written('expression', 1, 'a row for an index of an expression');
is(sql(q(SET enable_seqscan = off; SELECT count(*) FROM integ.requests WHERE upper(client_id) = 'EXPRESSION')), 1, 'which finds it');
sql(q(DROP INDEX integ.requests_upper));
sql(qq(CREATE INDEX CONCURRENTLY requests_later ON integ.$partition (method, client_id)));
requests(1, 'concurrently');
written('concurrently', 1, 'a row for an index that was made meanwhile');
sql(qq(REINDEX TABLE CONCURRENTLY integ.$partition));
requests(1, 'concurrently');
written('concurrently', 2, 'and one after all were made anew');
is(sql(q(SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM integ.requests
	WHERE method = (SELECT min(method) FROM integ.requests) AND client_id = 'concurrently')), 2, 'both are in it');

sql(q(ALTER TABLE integ.requests ADD CONSTRAINT no_teapot CHECK (error IS DISTINCT FROM 'teapot')));
requests(1, 'check', 'teapot');
requests(1, 'check', 'kettle');
written('check', 1, 'a constraint that a DBA has added lets a row pass');
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.requests WHERE kind = 'gap' AND error ~ 'no_teapot'), 'and a gap row tells of the other');
sql(q(ALTER TABLE integ.requests DROP CONSTRAINT no_teapot));

# --- another place ---

sql(qq(ALTER TABLE integ.requests DETACH PARTITION integ.$partition));
requests(1, 'detached');
written('detached', 1, 'a row without its partition');
is(places('detached'), 'integ.requests_default', 'goes to the default one');
sql(qq(DELETE FROM integ.$partition;
	ALTER TABLE integ.requests ATTACH PARTITION integ.$partition FOR VALUES FROM ('2095-01-01 00:00+00') TO ('2095-01-02 00:00+00')));
requests(1, 'misnamed');
written('misnamed', 1, 'a row whose partition has the name and not the bounds');
is(places('misnamed'), 'integ.requests_default', 'goes to the default one too');
sql(qq(ALTER TABLE integ.requests DETACH PARTITION integ.$partition;
	WITH moved AS (DELETE FROM integ.requests_default WHERE created_at >= '$date 00:00+00'
		AND created_at < '$date 00:00+00'::timestamptz + interval '1 day' RETURNING *)
	INSERT INTO integ.$partition SELECT * FROM moved;
	ALTER TABLE integ.requests ATTACH PARTITION integ.$partition FOR VALUES FROM ('$date 00:00+00') TO (timestamptz '$date 00:00+00' + interval '1 day')));
requests(1, 'attached');
written('attached', 1, 'a row for the partition that is back');
is(places('attached'), "integ.$partition", 'goes there');
is(sql(q(SELECT coalesce(sum(lost), 0) FROM integ.requests WHERE kind = 'gap')), 1, 'and nothing else was lost in all this');
$node->stop;
done_testing();

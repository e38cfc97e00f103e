# Sync tasks over the lists of test/provider/sync.py, for TAP tests.
#
#   my $sync = Integ::SyncLists->new($node, $provider);
#   $sync->task('copy', 'public.copy', { n => 1000, limit => 100 });       # table, schema, task
#   my $run = $sync->run('copy');                   # of integ.sync_executions, once it has ended
#   is_deeply($sync->difference('public.copy', { n => 1000 }), [], 'the same on both sides');
package Integ::SyncLists;

use strict;
use warnings;

use JSON::PP ();

my $json = JSON::PP->new->canonical;

my @keys = qw(n limit version changed without deleted order at fault times key code retry_after repeat bytes claim after
	ms);

sub quoted
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'";
}

sub manifest
{
	my %input = (type => 'object', properties =>
			{ map { $_ => { type => [ 'string', 'integer' ] } } @keys, 'since', 'token', 'expired', 'id' });
	my %query = map { $_ => "{$_}" } @keys, 'since';
	my @all = (access => 'read', outputSchema => {}, inputSchema => \%input);
	return {
		integrationId => 'sync_lists', name => 'Lists', version => '1.0.0', category => 'custom',
		baseUrl => '{config.base_url}', authType => 'bearer',
		configSchema => { type => 'object', properties => { base_url => { type => 'string' } } },
		credentialSchema => { type => 'object', properties => { token => { type => 'string' } } },
		# Its faults are many, and none of them is to close it.
		circuitBreaker => { failureThreshold => 1000 },
		methods => [
			{ id => 'list', name => 'List', @all,
				request => { method => 'GET', path => '/sync/records', query => \%query },
				response => { records => '.data' },
				pagination => { style => 'cursor', param => 'cursor', next => '.next', total => '.total' } },
			{ id => 'get', name => 'Get', @all, request => { method => 'GET', path => '/sync/records/{id}', query => \%query } },
			{ id => 'deleted', name => 'Deleted', @all,
				request => { method => 'GET', path => '/sync/deleted', query => \%query }, response => { records => '.data' } },
			{ id => 'delta', name => 'Changes', @all,
				request => { method => 'GET', path => '/sync/delta', query => { %query, expired => '{expired}' } },
				response => { records => '.data' },
				pagination => { style => 'none', delta => { next => '.token', param => 'token' } } } ],
		entities => [
			{ id => 'Record', list => 'list', get => 'get', idField => 'id', modifiedField => 'updated_at',
				modifiedParam => 'since',
				deletedField => 'deleted' },
			{ id => 'Listed', list => 'list', deleted => 'deleted', idField => 'id', modifiedField => 'updated_at',
				modifiedParam => 'since' },
			{ id => 'Changed', list => 'delta', idField => 'id', modifiedField => 'updated_at' } ] };
}

# The definition, unless more says otherwise, has a bearer token.
sub new
{
	my ($class, $node, $provider, $more) = @_;
	my $self = bless { node => $node, provider => $provider }, $class;

	$node->safe_psql('postgres', sprintf 'SELECT integ_define(%s)',
		quoted($json->encode({ %{ manifest() }, %{ $more // {} } })));
	$node->safe_psql('postgres', sprintf q{SELECT integ_connect('sync_lists', 'lists', %s)},
		quoted($json->encode({ base_url => $provider->url })));
	$node->safe_psql('postgres', sprintf q{SELECT integ_credential_set('lists', 'token', %s)},
		quoted($provider->token // 'none')) unless $more;
	return $self;
}

# A table (unless it is there), its schema and the task. Options: entity, schema (further columns of the conversion
# schema as SQL), role (the owner), columns.
sub task
{
	my ($self, $name, $table, $config, %options) = @_;
	my $columns = $options{columns} // 'id text PRIMARY KEY, name text, value integer, updated_at timestamptz, note text';
	my @mappings = map { { targetField => $_, mappingType => 'direct', config => { sourceField => $_ } } }
		qw(id name value updated_at);
	my %schema = (
		schema_id => quoted($name), source_entity => quoted($options{entity} // 'Record'), target_table => quoted($table),
		delete_if_removed => 'true', deduplication => quoted('{"strategy": "external_id", "externalIdField": "id"}'),
		field_mappings => quoted($json->encode(\@mappings)), %{ $options{schema} // {} });
	my @names = sort keys %schema;

	$self->{node}->safe_psql('postgres', join ";\n",
		$options{role} ? "SET SESSION AUTHORIZATION $options{role}" : 'SELECT 1',
		"CREATE TABLE IF NOT EXISTS $table ($columns)",
		sprintf('INSERT INTO integ.conversion_schemas (%s) VALUES (%s)', join(', ', @names), join(', ', @schema{@names})),
		sprintf('INSERT INTO integ.sync_tasks (task_id, instance, schema, config, retry_config)'
			. ' SELECT %s, i.id, s.id, %s, %s FROM integ.instances i, integ.conversion_schemas s'
			. ' WHERE i.instance_id = %s AND s.schema_id = %s', quoted($name), quoted($json->encode($config)),
			quoted('{"maxRetries": 0}'), quoted('lists'), quoted($name)));
	return;
}

sub configure
{
	my ($self, $name, $config) = @_;
	$self->{node}->safe_psql('postgres', sprintf 'UPDATE integ.sync_tasks SET config = %s WHERE task_id = %s',
		quoted($json->encode($config)), quoted($name));
	return;
}

sub row
{
	my ($self, $query) = @_;
	return JSON::PP->new->decode($self->{node}->safe_psql('postgres', "SELECT to_jsonb(r) FROM ($query) r"));
}

# Runs it and returns the execution.
sub run
{
	my ($self, $name, %options) = @_;
	return $self->row(sprintf q{SELECT * FROM integ_sync_run(%s, true, %s, %s)}, quoted($name),
		$options{dry_run} ? 'true' : 'false',
		quoted($json->encode({ timeout => 300_000, %{ $options{options} // {} } })));
}

# "success 10 created, 3 failed": what matters of an execution in one line.
sub summary
{
	my ($run) = @_;
	return join ' ', $run->{status}, map { "$_ $run->{$_}" } grep { $run->{$_} }
		qw(fetched created updated unchanged skipped deleted failed);
}

# Rows that are not as the service has them, or that it does not have; twice is once too often.
sub difference
{
	my ($self, $table, $n, %options) = @_;
	my $version = $options{version} // 1;
	my $changed = $options{changed} // 1;
	my $without = $options{without} // 1_000_000_000;
	my $rows = $self->{node}->safe_psql('postgres', <<"SQL");
WITH expected AS (
    SELECT 'r' || i AS id, 'Record ' || i || ' v' || CASE WHEN i % $changed = 0 THEN $version ELSE 1 END AS name,
           i AS value
    FROM generate_series(1, $n) i WHERE i % $without <> 0)
SELECT coalesce(e.id, t.id) FROM expected e FULL JOIN $table t ON t.id = e.id
WHERE (e.name, e.value) IS DISTINCT FROM (t.name, t.value)
UNION ALL SELECT id FROM $table GROUP BY id HAVING count(*) > 1 ORDER BY 1 LIMIT 10
SQL
	return [ split /\n/, $rows ];
}

1;

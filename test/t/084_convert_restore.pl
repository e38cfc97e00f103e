# A dump holds what people made of conversion and records, and a restore brings
# it back: rows that were checked are not refused, versions stay, and a type of
# the dump wins over one that integ has come to bring itself.

use strict;
use warnings;

use Integ::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = Integ::Cluster->create('main');
my $dump = $node->basedir . '/dump.sql';

my %state = map { $_->[0] => "SELECT * FROM integ.$_->[0] ORDER BY $_->[1]" }
  [ 'conversion_schemas', 'id' ], [ 'records', 'id' ], [ 'record_links', '1, 2, 3, 4' ], [ 'record_relations', 'id' ],
  [ 'currency_rates', '1, 2, 3, 4' ];
$state{types} = 'SELECT id, client_id, name, schema, builtin FROM integ.record_types ORDER BY id';

# --- what is there ---

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE restore_owner LOGIN; GRANT integ_admin TO restore_owner;
INSERT INTO integ.clients (id, name) VALUES ('acme', 'Acme');
INSERT INTO integ.members (role, client_id, level) VALUES ('restore_owner', 'acme', 'admin');
CREATE TABLE public.codes (code text PRIMARY KEY, name text);
GRANT SELECT ON public.codes TO restore_owner;
INSERT INTO public.codes VALUES ('a', 'from the table');
SET ROLE restore_owner;
INSERT INTO integ.record_types (id, name, schema) VALUES ('own_type', 'Own', '{"type": "object", "properties": {"v": {"type": "string"}}, "additionalProperties": false}');
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings) VALUES ('lookup', 'x', 'own_type',
  '[{"targetField": "v", "mappingType": "lookup", "config": {"sourceField": "c", "table": "public.codes", "keyField": "code", "valueField": "name"}}]');
UPDATE integ.conversion_schemas SET source_filters = '[{"field": "c", "operator": "exists"}]';
INSERT INTO integ.records (type, context_type, context_id, data) VALUES ('own_type', 'client', 'acme', '{"v": "one"}');
INSERT INTO integ.currency_rates (from_currency, to_currency, date, rate) VALUES ('USD', 'EUR', '2024-01-01', 0.9);
RESET ROLE;
INSERT INTO integ.record_links (instance, schema, external_type, external_id, client_id, record)
  SELECT integ.uuid_generate(), integ.uuid_generate(), 'X', '1', 'acme', id FROM integ.records;
INSERT INTO integ.record_relations (client_id, relation_type, from_record, to_type, to_external_id) SELECT 'acme', 'waits', id, 'own_type', '2' FROM integ.records;
INSERT INTO integ.record_relations (client_id, relation_type, from_record, to_record, to_type) SELECT 'acme', 'self', id, id, 'own_type' FROM integ.records;
SQL
is($node->safe_psql('postgres', q(SET ROLE restore_owner; SELECT integ_convert('lookup', '{"id": 1, "c": "a"}'))),
	'{"v": "from the table"}', 'the schema converts');
my %before = map { $_ => $node->safe_psql('postgres', $state{$_}) } keys %state;
isnt($before{$_}, '', "there are $_") for sort keys %before;
like($before{conversion_schemas}, qr/\|2\|restore_owner\|/, 'the schema has a second version');

command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dump');

# --- what comes back ---

sub restore
{
	my ($db, $prepare) = @_;
	my ($out, $err) = ('', '');

	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	$prepare->($db) if $prepare;
	my $status = $node->psql($db, undef, on_error_stop => 1, stdout => \$out, stderr => \$err, extra_params => [ '-f', $dump ]);
	is($status, 0, "$db: the restore succeeds") or diag($err);
	is($node->safe_psql($db, $state{$_}), $before{$_}, "$db: $_ are as they were") for sort keys %state;
	is($node->safe_psql($db, q(SET ROLE restore_owner; SELECT integ_convert('lookup', '{"id": 1, "c": "a"}'))),
		'{"v": "from the table"}', "$db: and the schema converts");
}

restore('plain');
restore('meets', sub {
	# A version of integ that brings the type itself.
	$node->safe_psql($_[0], q(CREATE EXTENSION integ; INSERT INTO integ.record_types (id, client_id, name, builtin) VALUES ('own_type', '*', 'Brought', true)));
});

done_testing();

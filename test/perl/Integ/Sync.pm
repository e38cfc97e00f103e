# What the tests of the lifecycle of sync have in common: a service whose answers
# wait as long as a task's config says, and tasks into a table of their owner.
package Integ::Sync;

use strict;
use warnings;

use Integ::Test qw(wait_until);

# set_up($node, $provider, dbname => 'postgres'): the role "syncer", its schema "synced", its connection "mine".
sub set_up
{
	my ($node, $provider, %options) = @_;
	my $dbname = $options{dbname} // 'postgres';
	$node->safe_psql($dbname, sprintf <<'SQL', $provider->url);
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'syncer') THEN
        CREATE ROLE syncer LOGIN;
        GRANT integ_admin TO syncer;
    END IF;
END $$;
INSERT INTO integ.clients (id, name) VALUES ('acme', 'Acme');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('syncer', 'acme', 'sue', 'admin');
CREATE SCHEMA synced AUTHORIZATION syncer;
SELECT integ_define('{"integrationId": "life", "name": "Life", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "rateLimit": {"concurrent": 50}, "circuitBreaker": {"failureThreshold": 1000},
  "methods": [
    {"id": "list", "name": "List", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"ms": {"type": "integer"}, "fault": {"type": "string"},
                                                      "code": {"type": "integer"}}},
     "request": {"method": "GET", "path": "/v1/countries",
                 "query": {"limit": 40, "_fault": "{fault}", "ms": "{ms}", "code": "{code}"}},
     "response": {"records": ".data"}, "pagination": {"style": "cursor", "param": "cursor", "next": ".next_cursor"}},
    {"id": "get", "name": "Get", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
     "request": {"method": "GET", "path": "/v1/countries/{id}"},
     "response": {"map": {"id": ".data.id", "name": ".data.name", "updated_at": ".data.updated_at"}}}],
  "entities": [{"id": "Country", "list": "list", "get": "get", "idField": "id", "modifiedField": "updated_at"}]}');
SET ROLE syncer;
SELECT integ_connect('life', 'mine', '{"base_url": "%s"}');
SQL
	return;
}

# task($node, $name, column => SQL…): a task of syncer into a table of its own name.
sub task
{
	my ($node, $name, %columns) = @_;
	my $dbname = delete $columns{dbname} // 'postgres';
	my $names = join '', map { ", $_" } sort keys %columns;
	my $values = join '', map { ", $columns{$_}" } sort keys %columns;
	$node->safe_psql($dbname, <<"SQL");
SET ROLE syncer;
CREATE TABLE synced.$name (id text PRIMARY KEY, name text NOT NULL);
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_table, deduplication, field_mappings)
VALUES ('$name', 'Country', 'synced.$name', '{"strategy": "external_id", "externalIdField": "id"}',
 '[{"targetField": "id", "mappingType": "direct", "config": {"sourceField": "id"}},
   {"targetField": "name", "mappingType": "direct", "config": {"sourceField": "name"}}]');
INSERT INTO integ.sync_tasks (task_id, instance, schema$names)
SELECT '$name', i.id, s.id$values FROM integ.instances i, integ.conversion_schemas s
WHERE i.instance_id = 'mine' AND s.schema_id = '$name';
SQL
	return;
}

# Waits until a condition holds for the newest execution of a task.
sub wait_for
{
	my ($node, $name, $condition, $what, $dbname) = @_;
	$node->wait_for_sql(
		"SELECT count(*) > 0 FROM (SELECT * FROM integ.sync_executions WHERE task_id = '$name' ORDER BY id DESC LIMIT 1) e"
			. " WHERE $condition",
		$what, $dbname // 'postgres');
	return;
}

# The process that runs the execution of a task, once it waits for the service.
sub worker
{
	my ($node, $name, $dbname) = @_;
	return wait_until("a worker for $name", sub {
		$node->safe_psql($dbname // 'postgres',
			"SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ sync worker' AND state = 'active'"
				. " AND query ~ 'sync task $name'") });
}

1;

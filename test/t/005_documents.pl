# The SQL of the documents works as it stands: every block of every page is run, in a database that is called "shop",
# but for blocks with an ellipsis, which a reader has to fill in, and those that are left out below.
# What a comment behind a statement says that it gives, it gives.

use strict;
use warnings;

use File::Basename qw(basename);
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(free_port slurp source_file);
use Test::More;

my $provider = Integ::Provider->start(token => 'documents-token-0123456789');
my $node = Integ::Cluster->create('documents', extension => 0);

# Definitions that the pages speak of, connected to the local service.
sub definition
{
	my ($id, $rest) = @_;
	return sprintf('{"integrationId": "%s", "name": "%s", "version": "1.0.0", "category": "custom",
		"baseUrl": "{config.base_url}", "authType": "bearer",
		"configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}}, %s}', $id, $id, $rest);
}

sub method
{
	my ($id, $access, $verb, $path, $rest) = @_;
	return sprintf('{"id": "%s", "name": "%s", "access": "%s", "inputSchema": {"type": "object"}, "outputSchema": {},
		"request": {"method": "%s", "path": "%s"%s}', $id, $id, $access, $verb, $path, ($rest // '') . '}');
}

my $countries = '}, "response": {"records": ".data"}, '
  . '"pagination": {"style": "cursor", "param": "cursor", "next": ".next_cursor"';
my %definitions = (
	erp => '"healthCheck": "get_inventory", "methods": [' . join(',',
		method('get_inventory', 'read', 'GET', '/echo/inventory/{sku}', '}, "response": {"map": {"quantity": ".method"}'),
		method('create_invoice', 'write', 'POST', '/echo/invoices'),
		method('list_items', 'read', 'GET', '/v1/countries', $countries)) . ']',
	crm => '"methods": [' . join(',',
		method('list_contacts', 'read', 'GET', '/v1/countries',
			', "query": {"limit": 50, "status": "{status}"}' . $countries),
		method('get_contact', 'read', 'GET', '/v1/countries/{id}')) . '],
		"entities": [{"id": "Contact", "list": "list_contacts", "get": "get_contact", "idField": "id"}],
		"triggers": [{"id": "contact_changed", "name": "Changed", "type": "updated", "entity": "Contact",
			"poll": {"method": "list_contacts", "intervalSeconds": 300, "idField": "id", "modifiedField": "updated_at"}}]',
	drive => '"methods": [' . method('upload', 'write', 'POST', '/echo/files',
		', "encoding": "multipart", "body": {"name": "{name}", "file": "{file}"}') . ']',
	weather => '"methods": [' . method('get_forecast', 'read', 'GET', '/echo/forecast',
		'}, "response": {"map": {"degrees": {"$literal": 12}}') . ']',
	news => '"methods": [' . method('search', 'read', 'GET', '/echo/news',
		'}, "response": {"map": {"$literal": [{"title": "A harbour", "source": "Post"}]}') . ']',
	shop => '"methods": [' . method('get_order', 'read', 'GET', '/echo') . '], "webhook": {"event": ".event"},
		"triggers": [{"id": "order_paid", "name": "Paid", "type": "custom", "event": "order.paid"}]');

my %instances = (erp => ['erp_main'], crm => ['crm_main'], drive => ['drive_main'], weather => ['weather_main'],
	news => ['news_main'], shop => []);

my $tables = q(
	CREATE SCHEMA shop;
	CREATE SCHEMA crm;
	CREATE FUNCTION crm.on_contact(event jsonb) RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION shop.on_event(event jsonb) RETURNS void LANGUAGE sql AS 'SELECT';);
my $orders = 'CREATE TABLE orders (id bigint PRIMARY KEY, state text, total numeric, invoice text);
	INSERT INTO orders (id) VALUES (42);';

# What a page takes for granted besides.
my %before = (
	'access.md' => q(CREATE ROLE app LOGIN IN ROLE integ_user;),
	'calls.md' => q(CREATE TABLE documents (id integer, content bytea); INSERT INTO documents VALUES (1, '\x255044');),
	'durable-calls.md' => $orders,
	'endpoints.md' => $orders,
	'fetch.md' => 'CREATE TABLE contacts (external_id text, data jsonb);',
	'handlers.md' => "$orders ALTER TABLE orders SET SCHEMA shop;",
	'install.md' => 'CREATE ROLE app LOGIN; CREATE ROLE ops LOGIN;',
	'sync.md' => q(INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings,
			deduplication) VALUES ('crm-contact', 'Contact', 'c_contact',
			'[{"targetField": "name", "mappingType": "direct", "config": {"sourceField": "name"}}]',
			'{"strategy": "external_id", "externalIdField": "id"}');),
	'vault.md' => 'CREATE EXTENSION pgcrypto;');

# A service that describes itself; the end of the extension, which other tests are about.
my %left_out = map { $_ => 1 } qw(discovery.md:1);

# What a reader fills in by a variable of psql.
my @variables = ('-v', 'sealed=a-secret-0123456789', '-v', 'manifest=' . definition('erp', $definitions{erp}),
	map { ('-v', "$_=none") } qw(kind id client name));
push @variables, '-v', 'data_key=' . '00' x 64;

# The database of the pages, with what they speak of.
sub prepare
{
	my $sql = '';

	for my $id (sort keys %definitions)
	{
		$sql .= "SELECT integ_define(\$\$" . definition($id, $definitions{$id}) . "\$\$);\n";
		for my $handle (@{ $instances{$id} })
		{
			$sql .= "SELECT integ_connect('$id', '$handle', '{\"base_url\": \"" . $provider->url . "\"}');\n"
			  . "SELECT integ_credential_set('$handle', 'token', 'documents-token-0123456789');\n";
		}
	}
	$sql .= "SELECT integ_connect('slack', 'slack_main');\n";
	$node->safe_psql('postgres', 'CREATE DATABASE shop; CREATE DATABASE fresh');
	$node->safe_psql('shop', 'CREATE EXTENSION integ; ' . $tables . $sql);
	return;
}

# What one page leaves behind is not in the way of the next.
my $clean = q(SET client_min_messages = error;
	DROP TABLE IF EXISTS orders, shop.orders, contacts, documents CASCADE;
	DELETE FROM integ.sync_tasks; DELETE FROM integ.conversion_schemas; DELETE FROM integ.endpoints;
	DELETE FROM integ.members; DELETE FROM integ.clients; DROP ROLE IF EXISTS ann, app, ops;);

# The services of the examples are the local one, and a port is one that is free.
sub localized
{
	my ($sql) = @_;
	my ($url, $port) = ($provider->url('/echo'), free_port());

	$sql =~ s{https://(?:erp\.example\.com/api|example\.com/hooks)}{$url}g;
	$sql =~ s/\b8480\b/$port/g;
	return $sql;
}

# The statements of a block, each with what a comment behind it says that it gives.
sub promised
{
	my ($block) = @_;
	my @promised;

	while ($block =~ /;[ ]*(?:\n|[ ]+)--[ ]([\[\{<"\d].*|\w+=\S.*)$/mg)
	{
		push @promised, $1 unless $1 =~ /\xe2\x80\xa6/;
	}
	return @promised;
}

prepare();
for my $file (sort glob source_file('docs/*.md'))
{
	my $page = basename($file);
	my ($number, $text, @run) = (0, slurp($file));

	while ($text =~ /^```sql\n(.*?)^```/msg)
	{
		my $block = $1;
		(my $typed = $block) =~ s/^-- .*$//mg;
		push @run, $block unless $left_out{"$page:" . ++$number} || $typed =~ /\xe2\x80\xa6/;
	}
	next unless @run;
	my $database = $page eq 'install.md' ? 'fresh' : 'shop';
	$node->safe_psql('shop', $clean);
	$node->safe_psql($database, $before{$page}) if $before{$page};
	my ($status, $out, $err) = $node->psql($database, localized(join('', @run)), on_error_stop => 1,
		extra_params => \@variables);
	is($status, 0, "$page: " . scalar(@run) . ' blocks work as they stand') or diag($err);
	for my $promised (map { promised($_) } @run)
	{
		ok(index("\n$out\n", "\n$promised\n") >= 0, "$page: gives $promised") or diag($out);
	}
}

done_testing();

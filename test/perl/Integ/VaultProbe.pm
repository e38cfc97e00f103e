# SQL functions that open credentials (test/probe/vault_probe.c), for tests
# only: integ itself has none. They return digests.
#
#   my $probe = Integ::VaultProbe->install($node, 'postgres');
#   $probe->open($db, 'endpoint', $uuid, '*', 'token', 'https://a.example');   # SHA-256 in hex
package Integ::VaultProbe;

use strict;
use warnings;

use Integ::Test qw(source_file);
use PostgreSQL::Test::Utils;

# Compiles the probe against the server's headers and declares its functions
# in schema probe of the databases.
sub install
{
	my ($class, $node, @databases) = @_;
	my $library = $node->basedir . '/vault_probe.so';
	my ($headers) = run_command([ 'pg_config', '--includedir-server' ]);

	system_or_bail('gcc', '-std=gnu11', '-shared', '-fPIC', '-O1', '-D_GNU_SOURCE', "-I$headers",
		'-I' . source_file('src'), '-o', $library, source_file('test/probe/vault_probe.c'));
	for my $db (@databases)
	{
		# What the library refers to must be there before it is loaded.
		$node->safe_psql($db, <<"SQL");
			LOAD 'integ';
			CREATE SCHEMA probe;
			CREATE FUNCTION probe.open(kind text, id text, client text, name text, origin text, previous bool DEFAULT false)
				RETURNS text LANGUAGE c AS '$library', 'vault_probe_open';
			CREATE FUNCTION probe.rotating(kind text, id text, client text) RETURNS bool LANGUAGE c AS '$library', 'vault_probe_rotating';
			CREATE FUNCTION probe.promote(kind text, id text, client text) RETURNS void LANGUAGE c AS '$library', 'vault_probe_promote';
			CREATE FUNCTION probe.wiped(kind text, id text, client text, name text, origin text)
				RETURNS bool LANGUAGE c AS '$library', 'vault_probe_wiped';
			CREATE FUNCTION probe.time(kind text, id text, client text, name text, origin text, count int)
				RETURNS float8 LANGUAGE c AS '$library', 'vault_probe_time';
SQL
	}
	return bless {}, $class;
}

1;

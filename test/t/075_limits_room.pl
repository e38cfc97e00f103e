# Shared memory has room for so many limits: no client takes the others' part of it.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('room', conf => [ 'integ.max_rate_limits = 64' ]);
my $url = $provider->url;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A definition whose windows last an hour, by key; a manifest of whoever defines it.
sub manifest
{
	my ($id, $windows) = @_;
	return <<"JSON";
{"integrationId": "$id", "name": "$id", "version": "1.0.0", "category": "custom", "authType": "none", "baseUrl": "$url",
 "rateLimit": {"windows": [$windows]},
 "methods": [{"id": "read", "name": "Read", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
              "request": {"method": "GET", "path": "/echo/$id", "query": {"k": "{k}"}}}]}
JSON
}

sub execute_many
{
	my ($role, $instance, $count) = @_;
	return $node->sql_error("SET ROLE $role; SELECT integ_execute('$instance', 'read', jsonb_build_object('k', 'k' || g))
		FROM generate_series(1, $count) g");
}

sql(<<'SQL');
INSERT INTO integ.clients (id, name) VALUES ('greedy', 'Greedy'), ('modest', 'Modest');
CREATE ROLE greedy LOGIN IN ROLE integ_admin;
CREATE ROLE modest LOGIN IN ROLE integ_admin;
INSERT INTO integ.members (role, client_id, level) VALUES ('greedy', 'greedy', 'admin'), ('modest', 'modest', 'admin');
SQL
my $hour = '"perMs": 3600000, "key": "{k}"';
for my $client ([ greedy => qq({"limit": 5, $hour}, {"limit": 9, $hour, "scope": "definition"}) ],
	[ modest => qq({"limit": 5, $hour}) ])
{
	my ($id, $windows) = @$client;
	sql("SET ROLE $id; SELECT integ_define('" . manifest($id, $windows) . "'::jsonb);
		SELECT integ_connect('$id', '${id}_a')");
}

my ($state, $report) = execute_many('greedy', 'greedy_a', 60);
is($state, 'IG500', 'a client has its share of the room');
like($report, qr/half of them by this client.*HINT: .*integ\.max_rate_limits/s, 'the error says so, and what to do');
is($provider->count('/echo/greedy'), 16, 'two windows a key, in half of the room; nothing more was sent');
($state) = execute_many('modest', 'modest_a', 20);
is($state, '00000', 'another client has room for its own');

# What is nobody's in particular may fill what is left, and then it is full for everybody.
sql("SELECT integ_define('" . manifest('everybody', qq({"limit": 5, $hour})) . "'::jsonb);
	SELECT integ_connect('everybody', 'everybody_a')");
($state, $report) = execute_many('postgres', 'everybody_a', 100);
is($state, 'IG500', 'shared memory is full');
cmp_ok($provider->count('/echo/everybody'), '>=', 8, 'once the rest is taken');

$node->stop;
done_testing();

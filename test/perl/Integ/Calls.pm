# A definition for tests of durable calls, connected to a service.
#
#   Integ::Calls::connect($node, 'postgres', main => $provider->url, slow => ...);
#
# connect_shared does the same with a definition without a limit, "shared_calls", whose calls all dispatchers share.
# Its methods send to a path of the caller's choice: "read", "write", and
# "keyed", a write whose service honours an idempotency key.
package Integ::Calls;

use strict;
use warnings;

my $definition = <<'JSON';
{
  "integrationId": "calls", "name": "Calls", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "rateLimit": {"concurrent": 4},
  "methods": [
    {"id": "read", "name": "Read", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/{a}/{b}", "query": {"_fault": "{fault}", "ms": "{ms}", "code": "{code}",
                 "times": "{times}", "key": "{key}", "retry_after": "{retry_after}"}}},
    {"id": "write", "name": "Write", "access": "write", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "POST", "path": "/{a}/{b}", "query": {"_fault": "{fault}", "ms": "{ms}", "code": "{code}",
                 "times": "{times}", "key": "{key}"}}},
    {"id": "keyed", "name": "Keyed write", "access": "write", "outputSchema": {}, "inputSchema": {"type": "object"},
     "idempotency": {"header": "Idempotency-Key"},
     "request": {"method": "POST", "path": "/{a}/{b}", "query": {"_fault": "{fault}", "ms": "{ms}", "code": "{code}",
                 "times": "{times}", "key": "{key}"}}}
  ]
}
JSON

sub connect_to
{
	my ($id, $manifest, $node, $database, %instances) = @_;

	$node->safe_psql($database, "SELECT integ_define($manifest)");
	for my $handle (sort keys %instances)
	{
		$node->safe_psql($database,
			"SELECT integ_connect('$id', '$handle', jsonb_build_object('base_url', '$instances{$handle}'))");
	}
	return;
}

sub connect { return connect_to('calls', "\$\$$definition\$\$::jsonb", @_); }

sub connect_shared
{
	my $own = q('{"integrationId": "shared_calls"}');

	return connect_to('shared_calls', "\$\$$definition\$\$::jsonb - 'rateLimit' || $own", @_);
}

1;

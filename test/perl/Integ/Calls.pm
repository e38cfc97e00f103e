# A definition for tests of durable calls, connected to a service.
#
#   Integ::Calls::connect($node, 'postgres', main => $provider->url, slow => ...);
#
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

sub connect
{
	my ($node, $database, %instances) = @_;

	$node->safe_psql($database, "SELECT integ_define(\$\$$definition\$\$::jsonb)");
	for my $handle (sort keys %instances)
	{
		$node->safe_psql($database,
			"SELECT integ_connect('calls', '$handle', jsonb_build_object('base_url', '$instances{$handle}'))");
	}
	return;
}

1;

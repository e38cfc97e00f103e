/*
 * Step: whether this actor may call this method now.
 */
#include "execute/call.h"
#include "miscadmin.h"

/* A denied write is evidence: it stands in the audit although nothing left. */
static void
record_denied(const IntegCall *call)
{
	IntegAuditEntry entry = {.subject = &call->subject,
							 .action = "call.write",
							 .outcome = "denied",
							 .detail = "{\"reason\": \"missing scope\"}"};

	integ_record_audit(&entry);
}

void
integ_call_authorize(IntegCall *call)
{
	List *missing;

	if (call->options.health_check)
		integ_instance_require_allowed(call->instance, call->definition);
	else
		integ_instance_require_usable(call->instance, call->definition);
	missing = integ_call_missing_scopes(call);
	if (missing != NIL)
	{
		if (call->method->is_write)
			record_denied(call);
		integ_call_refuse_scopes(call, missing);
	}
	if (call->method->is_write)
		PreventCommandIfReadOnly("integ_execute of a method that writes");
}

/*
 * Step: whether this actor may call this method now.
 */
#include "execute/call.h"
#include "miscadmin.h"

void
integ_call_authorize(IntegCall *call)
{
	if (call->options.health_check)
		integ_instance_require_allowed(call->instance, call->definition);
	else
		integ_instance_require_usable(call->instance, call->definition);
	if (call->method->is_write)
		PreventCommandIfReadOnly("integ_execute of a method that writes");
}

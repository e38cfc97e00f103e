/*
 * Step: whether the request may leave now. Rate limits, circuit breaker and
 * concurrency join here.
 */
#include "execute/call.h"
#include "operate/operate.h"

void
integ_call_admit(IntegCall *call)
{
	integ_record_require();
	integ_require_not_held();
}

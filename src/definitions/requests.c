/*
 * The requests of a method's manifest, wherever they stand.
 */
#include "definitions/definition.h"

#include "core/json.h"

static void
visit_in(const JsonbContainer *holder, IntegRequestVisit visit, void *arg)
{
	const JsonbContainer *request = holder == NULL ? NULL : integ_json_get_object(holder, "request");

	if (request != NULL)
		visit(request, arg);
}

void
integ_method_each_request(const IntegMethod *method, IntegRequestVisit visit, void *arg)
{
	static const char *const phases[] = {"submit", "poll", "download"};
	const JsonbContainer *steps = integ_json_get_array(method->manifest, "steps");
	const JsonbContainer *job = integ_json_get_object(method->manifest, "job");

	visit_in(method->manifest, visit, arg);
	for (uint32 i = 0; steps != NULL && i < JsonContainerSize(steps); i++)
		visit_in(getIthJsonbValueFromContainer((JsonbContainer *) steps, i)->val.binary.data, visit, arg);
	for (size_t i = 0; job != NULL && i < lengthof(phases); i++)
		visit_in(integ_json_get_object(job, phases[i]), visit, arg);
}

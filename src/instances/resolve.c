/*
 * integ_resolve: which instance of a definition the caller means.
 */
#include "instances/instance.h"

#include "fmgr.h"
#include "instances/lookup.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_resolve);

const IntegInstance *
integ_instance_of_definition(const IntegActor *actor, const char *definition)
{
	return integ_instance_lookup(actor, definition, INTEG_LOOKUP_DEFINITION);
}

Datum
integ_resolve(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "resolve instances");
	char *definition = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(integ_instance_of_definition(actor, definition)->instance_id));
}

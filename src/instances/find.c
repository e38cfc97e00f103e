/*
 * integ.instance_find: which instance a name means, for functions that are written in SQL.
 */
#include "postgres.h"

#include "core/uuid.h"
#include "fmgr.h"
#include "instances/instance.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_instance_find);

/* integ.instance_find(name text) → uuid */
Datum
integ_instance_find(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "use instances");
	const IntegInstance *instance = integ_instance_resolve(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));

	*id = instance->id;
	PG_RETURN_UUID_P(id);
}

/*
 * Instances by the actor and the name they are called by, cached per backend.
 */
#include "instances/instance.h"

#include "core/cache.h"
#include "core/errors.h"
#include "instances/lookup.h"

static IntegPinnedTable cache = {.name = "integ instances"};

/* An entry holds parts of the definition and of the client's plan too. */
static uint64
current_generation(void)
{
	return integ_cache_generation(INTEG_CACHE_INSTANCES) + integ_cache_generation(INTEG_CACHE_DEFINITIONS) +
		   integ_cache_generation(INTEG_CACHE_CLIENTS);
}

static void
require_member(const IntegActor *actor)
{
	if (actor->level == INTEG_LEVEL_NONE)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("this role may not use instances"),
						errdetail("The role belongs to no client of integ."),
						errhint("Add a row to integ.members, or call integ_act_as first if the role is granted integ_impersonate.")));
}

const IntegInstance *
integ_instance_resolve(const IntegActor *actor, const char *name)
{
	IntegInstance *instance;
	char *key;

	require_member(actor);
	/* Unit separators cannot be part of ids. */
	key = psprintf("%d\x1f%s\x1f%s\x1f%s", (int) actor->level, actor->client, actor->user == NULL ? "" : actor->user,
				   name);
	instance = integ_pinned_find(&cache, current_generation(), key);
	if (instance == NULL)
	{
		instance = integ_instance_lookup(actor, name, INTEG_LOOKUP_CALL);
		integ_pinned_keep(&cache, current_generation(), key, &instance->pinned);
	}
	pfree(key);
	return instance;
}

/*
 * Invalidation of what a backend caches of our tables.
 */
#include "core/cache.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(integ_tg_invalidate);

static const struct
{
	const char *table;
	IntegCacheKind kind;
} watched[] = {
	{"members", INTEG_CACHE_MEMBERS},
	{"clients", INTEG_CACHE_CLIENTS},
	{"plans", INTEG_CACHE_CLIENTS},
	{"definitions", INTEG_CACHE_DEFINITIONS},
	{"definition_versions", INTEG_CACHE_DEFINITIONS},
	{"instances", INTEG_CACHE_INSTANCES},
	{"instance_grants", INTEG_CACHE_INSTANCES},
	{"instance_methods", INTEG_CACHE_INSTANCES},
	{"credentials", INTEG_CACHE_CREDENTIALS},
	{"data_keys", INTEG_CACHE_CREDENTIALS},
	{"conversion_schemas", INTEG_CACHE_CONVERSIONS},
	{"record_types", INTEG_CACHE_CONVERSIONS},
	{"webhooks", INTEG_CACHE_WEBHOOKS},
	{"rules", INTEG_CACHE_WEBHOOKS},
	{"sync_tasks", INTEG_CACHE_WEBHOOKS},
	{"endpoints", INTEG_CACHE_ENDPOINTS},
};

static uint64 generations[INTEG_CACHE_KINDS];
static Oid watched_oids[lengthof(watched)];
static bool oids_known = false;

/*
 * Relcache callback: must not look at a catalog. An Oid that is invalid means
 * that everything may have changed, the tables' own Oids included (the
 * extension dropped and created again).
 */
static void
forget(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || !oids_known)
	{
		for (int i = 0; i < INTEG_CACHE_KINDS; i++)
			generations[i]++;
		oids_known = false;
		return;
	}
	for (size_t i = 0; i < lengthof(watched); i++)
	{
		if (watched_oids[i] == relid)
		{
			generations[watched[i].kind]++;
			/* The event may be the table's own DROP: look its Oid up again. */
			oids_known = false;
		}
	}
}

static void
learn_oids(void)
{
	Oid schema = get_namespace_oid("integ", true);

	if (!OidIsValid(schema))
		return; /* no extension yet: look again next time */
	for (size_t i = 0; i < lengthof(watched); i++)
	{
		watched_oids[i] = get_relname_relid(watched[i].table, schema);
		if (!OidIsValid(watched_oids[i]))
			return;
	}
	oids_known = true;
}

void
integ_cache_init(void)
{
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

uint64
integ_cache_generation(IntegCacheKind kind)
{
	/* In a long transaction that takes no new lock nothing else looks; without news this reads one flag. */
	if (IsTransactionState())
		AcceptInvalidationMessages();
	if (!oids_known)
		learn_oids();
	return generations[kind];
}

void
integ_cache_forget(IntegCacheKind kind)
{
	generations[kind]++;
}

/*
 * Statement trigger on every cached table. The invalidation is sent at commit
 * and takes effect at once in the own transaction.
 */
Datum
integ_tg_invalidate(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_invalidate must be called as a trigger");
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

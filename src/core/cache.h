/*
 * Invalidation of what a backend caches of our tables.
 *
 * ENABLE ALWAYS statement triggers (integ.tg_invalidate) on the cached tables
 * send a relcache invalidation at commit; every backend then drops what it
 * cached of that table the next time it looks.
 */
#ifndef INTEG_CORE_CACHE_H
#define INTEG_CORE_CACHE_H

#include "postgres.h"

typedef enum IntegCacheKind
{
	INTEG_CACHE_MEMBERS,	 /* integ.members */
	INTEG_CACHE_CLIENTS,	 /* integ.clients, integ.plans */
	INTEG_CACHE_DEFINITIONS, /* integ.definitions, integ.definition_versions */
	INTEG_CACHE_INSTANCES,	 /* integ.instances, integ.instance_grants, integ.instance_methods */
	INTEG_CACHE_CREDENTIALS, /* integ.credentials, integ.data_keys */
	INTEG_CACHE_CONVERSIONS, /* integ.conversion_schemas, integ.record_types */
	INTEG_CACHE_WEBHOOKS,	 /* integ.webhooks, integ.rules, and of integ.sync_tasks which are realtime */
	INTEG_CACHE_ENDPOINTS,	 /* integ.endpoints */
	INTEG_CACHE_KINDS
} IntegCacheKind;

/* Registers the callback; called once from _PG_init. */
extern void integ_cache_init(void);

/*
 * A number that grows whenever something of that kind may have changed. A cache
 * keeps the number it was built under and is stale once this one differs.
 * Cheap: no lock, no lookup after the first call in a database.
 */
extern uint64 integ_cache_generation(IntegCacheKind kind);

/*
 * What was cached of that kind is read again. For who was woken by a commit that changed it: the row that woke it is
 * visible a moment before the invalidation arrives.
 */
extern void integ_cache_forget(IntegCacheKind kind);

#endif /* INTEG_CORE_CACHE_H */

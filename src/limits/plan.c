/*
 * The limits of plans: integ.plans.limits -> 'rateLimit' holds for all requests of
 * each client that is on the plan, together.
 */
#include "limits/limits.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/cache.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define CLIENT_MAX 1024

typedef struct ClientPlan
{
	char client[CLIENT_MAX]; /* hash key */
	const IntegLimits *limits;
} ClientPlan;

static HTAB *plans;
static MemoryContext plans_context;
static uint64 plans_generation;

static const JsonbContainer *
rate_limit(const Jsonb *limits)
{
	return integ_json_get_object(&limits->root, "rateLimit");
}

static void
prepare_cache(void)
{
	uint64 generation = integ_cache_generation(INTEG_CACHE_CLIENTS);
	HASHCTL control = {.keysize = CLIENT_MAX, .entrysize = sizeof(ClientPlan)};

	if (plans != NULL && plans_generation == generation)
		return;
	/* Whoever holds limits of it may do so until the end of the transaction. */
	if (plans_context != NULL)
		MemoryContextSetParent(plans_context, TopTransactionContext);
	plans = NULL;
	plans_context = AllocSetContextCreate(TopMemoryContext, "integ plan limits", ALLOCSET_SMALL_SIZES);
	control.hcxt = plans_context;
	plans = hash_create("integ plan limits", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	plans_generation = generation;
}

static const IntegLimits *
read_plan(const char *client)
{
	static IntegQuery query = {
		"SELECT p.limits FROM integ.clients c JOIN integ.plans p ON p.id = c.plan"
		" WHERE c.id = $1 AND p.limits ? 'rateLimit'",
		1,
		{TEXTOID}};
	Datum argument = CStringGetTextDatum(client);
	IntegLimits *limits = NULL;
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	if (integ_query_latest(&query, &argument, NULL) > 0)
	{
		const Jsonb *found = (const Jsonb *) integ_result_varlena(0, 1, plans_context);
		MemoryContext old = MemoryContextSwitchTo(plans_context);

		limits = integ_limits_compile(rate_limit(found), INTEG_LIMIT_OF_CLIENT, "/limits/rateLimit");
		MemoryContextSwitchTo(old);
	}
	integ_owner_leave(&scope);
	return limits;
}

const IntegLimits *
integ_limits_of_plan(const char *client)
{
	ClientPlan *entry;
	const IntegLimits *limits;

	if (client == NULL || strcmp(client, INTEG_GLOBAL_CLIENT) == 0 || strlen(client) >= CLIENT_MAX)
		return NULL;
	prepare_cache();
	entry = hash_search(plans, client, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->limits;
	limits = read_plan(client);
	entry = hash_search(plans, client, HASH_ENTER, NULL);
	entry->limits = limits;
	return limits;
}

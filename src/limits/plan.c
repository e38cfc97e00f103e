/*
 * The limits of plans: integ.plans.limits -> 'rateLimit' holds for all requests of
 * each client that is on the plan, together.
 */
#include "limits/limits.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/cache.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(integ_tg_plan_limits);

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

static void
refuse(const char *key, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("limits/rateLimit/%s of a plan %s", key, what),
					errhint("{\"rateLimit\": {\"requestsPerMinute\": 600, \"concurrent\": 8}}; docs/limits.md lists the keys.")));
}

static void
check_members(const JsonbContainer *object)
{
	static const char *const known[] = {"requestsPerSecond", "requestsPerMinute", "requestsPerHour", "requestsPerDay",
										"concurrent", "burst", "windows"};
	JsonbIterator *iterator = JsonbIteratorInit((JsonbContainer *) object);
	JsonbIteratorToken token;
	JsonbValue value;

	(void) JsonbIteratorNext(&iterator, &value, false);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) == WJB_KEY)
	{
		char *key = pnstrdup(value.val.string.val, value.val.string.len);
		bool is_known = false;

		for (size_t i = 0; i < lengthof(known); i++)
			is_known |= strcmp(key, known[i]) == 0;
		if (!is_known)
			refuse(key, "is not known");
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (strcmp(key, "windows") == 0)
		{
			if (integ_json_get_array(object, key) == NULL)
				refuse(key, "must be a list");
		}
		else if (value.type != jbvNumeric || !(strtod(integ_json_value_text(&value), NULL) > 0))
			refuse(key, "must be a positive number");
	}
}

/* Looks at the row only, so that a restore's COPY succeeds. */
Datum
integ_tg_plan_limits(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool isnull;
	int column;
	HeapTuple row;
	Datum datum;
	JsonbValue value;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("not called as a trigger")));
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	column = SPI_fnumber(RelationGetDescr(trigger->tg_relation), "limits");
	datum = heap_getattr(row, column, RelationGetDescr(trigger->tg_relation), &isnull);
	if (!isnull && integ_json_get(&DatumGetJsonbP(datum)->root, "rateLimit", &value))
	{
		const JsonbContainer *object = rate_limit(DatumGetJsonbP(datum));

		if (object == NULL)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("limits/rateLimit of a plan must be an object")));
		check_members(object);
		(void) integ_limits_compile(object, INTEG_LIMIT_OF_CLIENT, "limits/rateLimit");
	}
	return PointerGetDatum(row);
}

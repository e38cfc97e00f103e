/*
 * How much of something a client may have: integ.plans.limits -> KEY is true, false, or the most.
 */
#include "postgres.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(integ_tg_plan_count);

/* What of a client counts, by the key of the limit. */
static struct
{
	const char *key;
	IntegQuery count;
} counted[] = {
	{"endpoints", {"SELECT count(*) FROM integ.endpoints WHERE client_id = $1", 1, {TEXTOID}}},
	{"webhooks",
	 {"SELECT (SELECT count(*) FROM integ.webhooks WHERE client_id = $1)"
	  " + (SELECT count(*) FROM integ.polls WHERE client_id = $1)",
	  1,
	  {TEXTOID}}}};

/* What the plan of the client says of the key; NULL where it says nothing. Those who ask for one client take turns. */
static char *
limit_of(const char *client, const char *key, char **plan)
{
	static IntegQuery find = {
		"SELECT p.id, p.limits ->> $2 FROM integ.clients c JOIN integ.plans p ON p.id = c.plan"
		" WHERE c.id = $1 AND p.limits ? $2 FOR NO KEY UPDATE OF c",
		2,
		{TEXTOID, TEXTOID}};
	Datum values[] = {CStringGetTextDatum(client), CStringGetTextDatum(key)};

	if (integ_query(&find, values, NULL) == 0)
		return NULL;
	*plan = integ_result_text(0, 1, CurrentMemoryContext);
	return integ_result_text(0, 2, CurrentMemoryContext);
}

static void
require_room(const char *client, const char *key, IntegQuery *count)
{
	Datum value = CStringGetTextDatum(client);
	char *plan;
	char *limit = limit_of(client, key, &plan);
	int64 most, known;

	if (limit == NULL || strcmp(limit, "true") == 0)
		return;
	if (strcmp(limit, "false") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the plan \"%s\" of client \"%s\" has no %s", plan, client, key),
						errhint("Change the client's plan in integ.clients, or \"%s\" in the plan's limits.", key)));
	most = strtoll(limit, NULL, 10);
	(void) integ_query(count, &value, NULL);
	known = integ_result_int8(0, 1);
	if (known > most)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the plan \"%s\" of client \"%s\" has %lld %s", plan, client, (long long) most, key),
						errdetail("With this one there would be %lld.", (long long) known),
						errhint("Delete one, change the client's plan in integ.clients, or \"%s\" in the plan's limits.",
								key)));
}

/* AFTER INSERT of a row with a client_id; its argument is the key. A restore brings back what was there. */
Datum
integ_tg_plan_count(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *key;
	IntegOwnerScope scope;
	char *client;

	if (!CALLED_AS_TRIGGER(fcinfo) || trigger->tg_trigger->tgnargs != 1)
		elog(ERROR, "integ.tg_plan_count must be called as a trigger with the key of a limit");
	key = trigger->tg_trigger->tgargs[0];
	client = SPI_getvalue(trigger->tg_trigtuple, trigger->tg_relation->rd_att,
						  SPI_fnumber(trigger->tg_relation->rd_att, "client_id"));
	if (strcmp(client, INTEG_GLOBAL_CLIENT) == 0 || integ_is_copied_into(RelationGetRelid(trigger->tg_relation)))
		return PointerGetDatum(NULL);
	integ_owner_enter(&scope);
	for (size_t i = 0; i < lengthof(counted); i++)
		if (strcmp(counted[i].key, key) == 0)
			require_room(client, key, &counted[i].count);
	integ_owner_leave(&scope);
	return PointerGetDatum(NULL);
}

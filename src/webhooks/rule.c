/*
 * Rules, and events that are run once more.
 */
#include "webhooks/webhook.h"

#include "access/actor.h"
#include "calls/enqueue.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(integ_rule_apply);
PG_FUNCTION_INFO_V1(integ_event_replay);

typedef struct Rule
{
	char *instance;
	char *method;
	Jsonb *input;
	Jsonb *options;
} Rule;

/* The rule, where it is the caller's own; false where it is gone, or switched off since. */
static bool
read_rule(const char *id, Rule *rule)
{
	static IntegQuery find = {
		"SELECT instance, method, input, options FROM integ.rules"
		" WHERE id = $1::pg_catalog.uuid AND owner = $2::pg_catalog.regrole AND is_active",
		2,
		{TEXTOID, OIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum values[] = {CStringGetTextDatum(id), ObjectIdGetDatum(GetUserId())};
	IntegOwnerScope scope;
	bool found;

	integ_owner_enter(&scope);
	found = integ_query(&find, values, NULL) > 0;
	if (found)
	{
		rule->instance = integ_result_text(0, 1, context);
		rule->method = integ_result_text(0, 2, context);
		rule->input = (Jsonb *) integ_result_varlena(0, 3, context);
		rule->options = (Jsonb *) integ_result_varlena(0, 4, context);
	}
	integ_owner_leave(&scope);
	return found;
}

/* {payload…} is what the service says, {event…} what is known of the event besides. */
static const Jsonb *
render_input(const Rule *rule, const Jsonb *argument)
{
	IntegTemplateScope scope = {0};
	IntegJsonBuilder builder;
	JsonbValue source, payload;
	const Jsonb *rendered;

	integ_json_begin_object(&builder);
	integ_json_add_jsonb(&builder, "event", argument);
	if (integ_json_get(&argument->root, "payload", &payload))
		integ_json_add(&builder, "payload", &payload);
	scope.input = &integ_json_end(&builder)->root;
	integ_json_root(rule->input, &source);
	rendered = integ_template_json(integ_template_compile(&source, "the rule's input"), &scope);
	return rendered == NULL ? integ_json_empty_object() : rendered;
}

/*
 * Called by a handler worker as the rule's owner; its transaction also marks the run as done, so that the call is
 * enqueued once. Whoever calls it otherwise enqueues what it could enqueue by itself.
 */
Datum
integ_rule_apply(PG_FUNCTION_ARGS)
{
	const Jsonb *argument = PG_GETARG_JSONB_P(0);
	char *id = integ_json_get_string(&argument->root, "rule");
	Rule rule;

	if (id == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ.rule_apply is called for a rule and an event")));
	if (read_rule(id, &rule))
		(void) DirectFunctionCall4(integ_enqueue, CStringGetTextDatum(rule.instance), CStringGetTextDatum(rule.method),
								   JsonbPGetDatum(render_input(&rule, argument)), JsonbPGetDatum(rule.options));
	PG_RETURN_VOID();
}

/* --- replay --- */

/* Where a column is NULL the text is. */
static const char *
text_or_null(int column, MemoryContext context)
{
	return integ_result_text(0, column, context);
}

static const pg_uuid_t *
uuid_or_null(int column, MemoryContext context)
{
	bool isnull;
	Datum value = integ_result_datum(0, column, &isnull);
	pg_uuid_t *copy;

	if (isnull)
		return NULL;
	copy = MemoryContextAlloc(context, sizeof(pg_uuid_t));
	*copy = *DatumGetUUIDP(value);
	return copy;
}

/* As it was stored. False where there is none that the actor may replay. */
static bool
read_stored(const IntegActor *actor, Datum id, IntegWebhookEvent *event, const pg_uuid_t **webhook,
			TimestampTz *created_at, int *depth)
{
	static IntegQuery find = {
		"SELECT id, created_at, client_id, webhook, instance, event, pg_catalog.to_jsonb(triggers), delivery_id, account,"
		" occurred_at, payload, depth::bigint FROM integ.webhook_events WHERE id = $1 AND ($2 OR client_id = $3) FOR UPDATE",
		3,
		{UUIDOID, BOOLOID, TEXTOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum values[] = {id, BoolGetDatum(actor->level == INTEG_LEVEL_SUPERADMIN), CStringGetTextDatum(actor->client)};
	const Jsonb *triggers;
	bool isnull;

	if (integ_query(&find, values, NULL) == 0)
		return false;
	memset(event, 0, sizeof(*event));
	event->id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	*created_at = integ_result_time(0, 2);
	*depth = (int) integ_result_int8(0, 12);
	event->client_id = text_or_null(3, context);
	*webhook = uuid_or_null(4, context);
	event->instance = uuid_or_null(5, context);
	event->name = text_or_null(6, context);
	triggers = (Jsonb *) integ_result_varlena(0, 7, context);
	event->delivery_id = text_or_null(8, context);
	event->account = text_or_null(9, context);
	event->occurred_at = integ_result_time(0, 10);
	event->payload = (Jsonb *) integ_result_varlena(0, 11, context);
	event->ntriggers = (int) JB_ROOT_COUNT(triggers);
	event->triggers = MemoryContextAlloc(context, sizeof(char *) * (event->ntriggers + 1));
	MemoryContextSwitchTo(context);
	for (int i = 0; i < event->ntriggers; i++)
	{
		JsonbValue trigger;

		integ_json_walk_at(&triggers->root, i, &trigger);
		event->triggers[i] = integ_json_value_text(&trigger);
	}
	return true;
}

/* What was given up, or is still to be tried, makes room for the new runs. */
static void
drop_open_runs(const IntegWebhookEvent *event)
{
	static IntegQuery drop = {
		"DELETE FROM integ.handler_runs WHERE event = $1 AND state IN ('queued', 'waiting', 'dead')", 1, {UUIDOID}};
	Datum id = UUIDPGetDatum(&event->id);

	(void) integ_query(&drop, &id, NULL);
}

static void
set_state(const IntegWebhookEvent *event, TimestampTz created_at, const char *state)
{
	static IntegQuery set = {
		"UPDATE integ.webhook_events SET state = $3, last_error = NULL,"
		" handled_at = CASE WHEN $3 = 'handled' THEN pg_catalog.clock_timestamp() END WHERE id = $1 AND created_at = $2",
		3,
		{UUIDOID, TIMESTAMPTZOID, TEXTOID}};
	Datum values[] = {UUIDPGetDatum(&event->id), TimestampTzGetDatum(created_at), CStringGetTextDatum(state)};

	(void) integ_query(&set, values, NULL);
}

Datum
integ_event_replay(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "replay events");
	const IntegWebhook *webhook = NULL;
	const pg_uuid_t *webhook_id = NULL;
	MemoryContext context = CurrentMemoryContext;
	IntegWebhookEvent event;
	TimestampTz created_at;
	IntegOwnerScope scope;
	IntegHandlerRuns runs;
	int depth, count = 0;
	bool found;

	integ_owner_enter(&scope);
	MemoryContextSwitchTo(context);
	found = read_stored(actor, PG_GETARG_DATUM(0), &event, &webhook_id, &created_at, &depth);
	if (found && webhook_id != NULL)
		webhook = integ_webhook_get(webhook_id);
	MemoryContextSwitchTo(context);
	if (webhook != NULL)
	{
		drop_open_runs(&event);
		integ_handler_runs_begin(&runs);
		count = integ_event_lead(webhook, &event, created_at, depth, &runs, NULL);
		integ_handler_runs_store(&runs);
		set_state(&event, created_at, count == 0 ? "handled" : "received");
	}
	integ_owner_leave(&scope);
	if (!found)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("there is no event %s", integ_uuid_text(DatumGetUUIDP(PG_GETARG_DATUM(0)))),
						errhint("SELECT id, event, state FROM integ.webhook_events shows those that you see.")));
	if (webhook == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("the webhook of event %s is gone", integ_uuid_text(&event.id)),
						errdetail("Nothing says any more what the event leads to.")));
	PG_RETURN_INT32(count);
}

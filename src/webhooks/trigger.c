/*
 * What rows must be when they are written, and what a run's end means for its event.
 */
#include "webhooks/webhook.h"

#include "access/row_owner.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "executor/spi.h"
#include "handlers/handlers.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(integ_tg_webhook_check);
PG_FUNCTION_INFO_V1(integ_tg_event_run_settled);

/* A row on its way into a table. */
typedef struct Row
{
	TupleDesc columns;
	HeapTuple tuple;
	Oid owner;
} Row;

static Datum
column(const Row *row, const char *name, bool *isnull)
{
	return SPI_getbinval(row->tuple, row->columns, SPI_fnumber(row->columns, name), isnull);
}

static void
set_column(Row *row, const char *name, Datum value)
{
	int number = SPI_fnumber(row->columns, name);
	bool isnull = false;

	row->tuple = heap_modify_tuple_by_cols(row->tuple, row->columns, 1, &number, &value, &isnull);
}

/* What a row leads to runs with the rights of its owner, who must be able to. */
static void
check_owner(const Row *row, const char *table)
{
	char *problem;

	integ_row_owner_check(row->owner, psprintf("a row of integ.%s", table));
	problem = integ_handler_role_problem(row->owner);
	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("a row of integ.%s cannot run: %s", table, problem),
						errdetail("What it leads to is run by a worker whose session user is its owner."),
						errhint("ALTER ROLE … LOGIN (a password is not needed) and GRANT CONNECT ON DATABASE.")));
}

/* Names are kept with their schema: what they mean does not depend on who looks. */
static void
check_handlers(Row *row)
{
	bool isnull;
	Datum handler = column(row, "handler", &isnull);
	Datum others;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	IntegJsonBuilder builder;
	JsonbValue value;
	char *key = NULL;

	if (!isnull)
	{
		char *function = integ_handler_resolve(row->owner, TextDatumGetCString(handler), "the webhook's handler");

		set_column(row, "handler", CStringGetTextDatum(function));
	}
	if (SPI_fnumber(row->columns, "trigger_handlers") <= 0)
		return;
	others = column(row, "trigger_handlers", &isnull);
	if (isnull || !JB_ROOT_IS_OBJECT(DatumGetJsonbP(others)))
		return;
	integ_json_begin_object(&builder);
	iterator = JsonbIteratorInit(&DatumGetJsonbP(others)->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = integ_json_value_text(&value);
		else if (token == WJB_VALUE && value.type == jbvString)
			integ_json_add_string(&builder, key,
								  integ_handler_resolve(row->owner, integ_json_value_text(&value),
														psprintf("the handler of the trigger \"%s\"", key)));
		else if (token == WJB_VALUE)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("the handler of the trigger \"%s\" must be the name of a function", key)));
	}
	set_column(row, "trigger_handlers", JsonbPGetDatum(integ_json_end(&builder)));
}

static void
check_signature(const Row *row)
{
	IntegInbound nothing = {.method = "POST"};
	bool isnull;
	Datum signature;

	if (SPI_fnumber(row->columns, "signature") <= 0)
		return;
	signature = column(row, "signature", &isnull);
	if (!isnull && JB_ROOT_IS_OBJECT(DatumGetJsonbP(signature)))
		(void) integ_webhook_scheme(&DatumGetJsonbP(signature)->root, &nothing, "signature");
}

/* A template that cannot be rendered is found when it is written. */
static void
check_input(const Row *row)
{
	bool isnull;
	Datum input = column(row, "input", &isnull);
	JsonbValue source;
	Jsonb *document;

	if (isnull)
		return;
	/* A short one has another header in the row. */
	document = DatumGetJsonbP(input);
	source.type = jbvBinary;
	source.val.binary.data = &document->root;
	source.val.binary.len = VARSIZE(document) - VARHDRSZ;
	(void) integ_template_compile(&source, "the rule's input");
}

/* BEFORE INSERT OR UPDATE on integ.webhooks and integ.rules. */
Datum
integ_tg_webhook_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *table;
	Row row;
	bool isnull;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_webhook_check must be called as a trigger");
	table = RelationGetRelationName(trigger->tg_relation);
	row.columns = trigger->tg_relation->rd_att;
	row.tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	row.owner = DatumGetObjectId(column(&row, "owner", &isnull));
	/* The constraint of the column says it; and what integ itself writes was checked before, and is no person's change. */
	if (isnull || GetUserId() == integ_owner_oid())
		return PointerGetDatum(row.tuple);
	check_owner(&row, table);
	if (SPI_fnumber(row.columns, "handler") > 0)
	{
		check_handlers(&row);
		check_signature(&row);
	}
	else
		check_input(&row);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		set_column(&row, "updated_at", TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	return PointerGetDatum(row.tuple);
}

/*
 * AFTER UPDATE OF state on integ.handler_runs. The event is locked first, so that of two runs that end at once the
 * second sees what the first did.
 */
Datum
integ_tg_event_run_settled(PG_FUNCTION_ARGS)
{
	static IntegQuery lock = {
		"SELECT FROM integ.webhook_events WHERE id = $1 AND created_at = $2 FOR UPDATE", 2, {UUIDOID, TIMESTAMPTZOID}};
	static IntegQuery settle = {
		"UPDATE integ.webhook_events e SET state = r.state, last_error = r.error,"
		" handled_at = CASE WHEN r.state = 'handled' THEN pg_catalog.clock_timestamp() END"
		" FROM (SELECT CASE WHEN pg_catalog.bool_or(state = 'dead') THEN 'dead'"
		"   WHEN pg_catalog.bool_or(state = 'waiting') THEN 'failed'"
		"   WHEN pg_catalog.bool_and(state = 'succeeded') THEN 'handled' ELSE 'received' END AS state,"
		"  (pg_catalog.array_agg(last_error ORDER BY started_at DESC) FILTER (WHERE last_error IS NOT NULL))[1] AS error"
		"  FROM integ.handler_runs WHERE event = $1) r"
		" WHERE e.id = $1 AND e.created_at = $2 AND (e.state <> r.state OR e.last_error IS DISTINCT FROM r.error)",
		2,
		{UUIDOID, TIMESTAMPTZOID}};
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Row row;
	IntegOwnerScope scope;
	Datum values[2];
	bool isnull;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_event_run_settled must be called as a trigger");
	row.columns = trigger->tg_relation->rd_att;
	row.tuple = trigger->tg_newtuple;
	values[0] = column(&row, "event", &isnull);
	values[1] = column(&row, "event_at", &isnull);
	integ_owner_enter(&scope);
	if (integ_query(&lock, values, NULL) > 0)
		(void) integ_query(&settle, values, NULL);
	integ_owner_leave(&scope);
	return PointerGetDatum(NULL);
}

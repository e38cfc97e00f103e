/*
 * What endpoints must be when they are written, and what goes with one that is deleted.
 */
#include "endpoints/publish.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/errors.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "endpoints/deliver.h"
#include "endpoints/sign.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "http/http.h"
#include "http/url.h"
#include "template/template.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_tg_endpoint_check);
PG_FUNCTION_INFO_V1(integ_tg_endpoint_gone);

/* A row on its way into the table. */
typedef struct Row
{
	TupleDesc columns;
	HeapTuple tuple;
} Row;

static Datum
column(const Row *row, const char *name, bool *isnull)
{
	return SPI_getbinval(row->tuple, row->columns, SPI_fnumber(row->columns, name), isnull);
}

static char *
text_column(const Row *row, const char *name)
{
	bool isnull;
	Datum value = column(row, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static void
set_column(Row *row, const char *name, Datum value, bool isnull)
{
	int number = SPI_fnumber(row->columns, name);

	row->tuple = heap_modify_tuple_by_cols(row->tuple, row->columns, 1, &number, &value, &isnull);
}

static int
array_column(const Row *row, const char *name, Datum **elements, bool **nulls)
{
	bool isnull;
	Datum array = column(row, name, &isnull);
	int count = 0;

	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(array), ARR_ELEMTYPE(DatumGetArrayTypeP(array)),
						  ARR_ELEMTYPE(DatumGetArrayTypeP(array)) == TEXTOID ? -1 : sizeof(Interval), false,
						  ARR_ELEMTYPE(DatumGetArrayTypeP(array)) == TEXTOID ? TYPALIGN_INT : TYPALIGN_DOUBLE,
						  elements, nulls, &count);
	return count;
}

static void
check_url(const Row *row)
{
	char *url = text_column(row, "url");
	char problem[256];
	char *origin = url == NULL ? NULL : integ_url_origin(url, problem, sizeof(problem));

	if (url != NULL && origin == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the url of the endpoint is none that can be called"),
						errdetail("%s", problem), errhint("Write https://host/path.")));
	free(origin);
}

static void
check_event_types(const Row *row)
{
	Datum *patterns;
	bool *nulls;
	int count = array_column(row, "event_types", &patterns, &nulls);

	for (int i = 0; i < count; i++)
		if (nulls[i] || !integ_event_type_valid(TextDatumGetCString(patterns[i]), true))
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("\"%s\" in event_types is no type of an event",
								   nulls[i] ? "NULL" : TextDatumGetCString(patterns[i])),
							errdetail("A type has letters, digits, \"_\", \".\" and \"-\"; * stands for any of them."),
							errhint("For example {order.created,invoice.*}.")));
}

static void
check_secrets(const Row *row)
{
	Datum *names;
	bool *nulls;
	int count = array_column(row, "secrets", &names, &nulls);

	if (count > INTEG_SIGNING_KEYS_MAX / 2)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("an endpoint has at most %d secrets", INTEG_SIGNING_KEYS_MAX / 2),
						errdetail("Every one of them signs every request.")));
	for (int i = 0; i < count; i++)
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the name of a secret of an endpoint is NULL")));
}

/* A template that cannot be rendered is found when it is written. */
static void
check_template(const Row *row, const char *name)
{
	bool isnull;
	Datum source = column(row, name, &isnull);
	JsonbValue root;

	if (isnull)
		return;
	integ_json_root(DatumGetJsonbP(source), &root);
	(void) integ_template_compile(&root, psprintf("the endpoint's %s", name));
}

/* Names that are taken by what is sent anyway, or that nothing may be sent under. */
static void
check_headers(const Row *row)
{
	static const char *const ours[] = {"webhook-id", "webhook-timestamp", "webhook-signature"};
	bool isnull;
	Datum source = column(row, "headers", &isnull);
	char *signature = text_column(row, "signature_header");
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	char problem[256];

	check_template(row, "headers");
	iterator = isnull || !JB_ROOT_IS_OBJECT(DatumGetJsonbP(source)) ? NULL
																	: JsonbIteratorInit(&DatumGetJsonbP(source)->root);
	while (iterator != NULL && (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		IntegHttpHeader header = {.name = NULL, .value = ""};
		IntegHttpRequest request = {.method = "POST", .url = "http://localhost/", .headers = &header, .nheaders = 1};

		if (token != WJB_KEY)
			continue;
		header.name = pnstrdup(value.val.string.val, value.val.string.len);
		for (size_t i = 0; i < lengthof(ours); i++)
			if (pg_strcasecmp(header.name, ours[i]) == 0)
				ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
								errmsg("the header \"%s\" of an endpoint is set by integ", header.name)));
		if (!integ_http_request_check(&request, problem, sizeof(problem)))
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the headers of the endpoint cannot be sent"),
							errdetail("%s", problem)));
	}
	if (signature != NULL && pg_strncasecmp(signature, "webhook-", strlen("webhook-")) == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the signature_header of an endpoint must not be one of the Standard Webhooks"),
						errhint("For example X-Acme-Signature.")));
}

static void
check_schedule(const Row *row)
{
	Datum *delays;
	bool *nulls;
	int count = array_column(row, "retry_schedule", &delays, &nulls);

	if (count > INTEG_RETRIES_MAX)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("a retry_schedule has at most %d delays", INTEG_RETRIES_MAX)));
	for (int i = 0; i < count; i++)
	{
		const Interval *delay = nulls[i] ? NULL : DatumGetIntervalP(delays[i]);

		if (!integ_delay_is_sane(delay))
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("a delay of the retry_schedule must be more than nothing and at most 31 days")));
	}
}

/* When it was switched, and why no longer once it is active; being switched on begins the count of failures anew. */
static void
keep_status(Row *row, const TriggerData *trigger)
{
	Row old = {trigger->tg_relation->rd_att, trigger->tg_trigtuple};
	char *status = text_column(row, "status");

	if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || status == NULL)
		return;
	if (strcmp(status, text_column(&old, "status")) == 0)
		return;
	set_column(row, "status_changed_at", TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()), false);
	if (strcmp(status, "active") != 0)
		return;
	set_column(row, "status_reason", (Datum) 0, true);
	set_column(row, "failing_since", (Datum) 0, true);
	set_column(row, "failures", Int32GetDatum(0), false);
}

/* BEFORE INSERT OR UPDATE on integ.endpoints. */
Datum
integ_tg_endpoint_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Row row;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_endpoint_check must be called as a trigger");
	row.columns = trigger->tg_relation->rd_att;
	row.tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	check_url(&row);
	check_event_types(&row);
	check_secrets(&row);
	check_headers(&row);
	check_template(&row, "payload_template");
	check_schedule(&row);
	keep_status(&row, trigger);
	/* That failures are counted is no change of the endpoint. */
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && GetUserId() != integ_owner_oid())
		set_column(&row, "updated_at", TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()), false);
	return PointerGetDatum(row.tuple);
}

/* AFTER DELETE on integ.endpoints. */
Datum
integ_tg_endpoint_gone(PG_FUNCTION_ARGS)
{
	static IntegQuery forget = {
		"DELETE FROM integ.credentials WHERE owner_kind = 'endpoint' AND owner_id = $1", 1, {TEXTOID}};
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	pg_uuid_t id;
	Datum name;
	bool isnull;
	Row row;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_endpoint_gone must be called as a trigger");
	row = (Row){trigger->tg_relation->rd_att, trigger->tg_trigtuple};
	id = *DatumGetUUIDP(column(&row, "id", &isnull));
	name = CStringGetTextDatum(integ_uuid_text(&id));
	integ_owner_enter(&scope);
	integ_deliveries_abandon(&id);
	(void) integ_query(&forget, &name, NULL);
	integ_owner_leave(&scope);
	MemoryContextSwitchTo(context);
	return PointerGetDatum(NULL);
}

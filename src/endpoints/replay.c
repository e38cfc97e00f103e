/*
 * Making deliveries once more: as new ones of the same event, so that its webhook-id stays.
 */
#include "endpoints/manage.h"

#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "endpoints/lookup.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_delivery_replay);
PG_FUNCTION_INFO_V1(integ_deliveries_replay);

#define DEFAULT_LIMIT 1000
#define MAX_LIMIT 100000

/* Behind a CTE "chosen" with rows of integ.deliveries_done, in the order in which they are to be made. */
#define MAKE_AGAIN                                                                                                 \
	" INSERT INTO integ.deliveries_open (id, endpoint, message, created_at, instance, client_id, event_client,"    \
	" event_type, key, ordering_key, payload)"                                                                     \
	" SELECT integ.uuid_generate(), c.endpoint, c.message, c.created_at, c.instance, c.client_id, c.event_client," \
	" c.event_type, c.key, CASE WHEN e.ordered THEN c.key END, c.payload"                                          \
	" FROM chosen c JOIN integ.endpoints e ON e.id = c.endpoint ORDER BY c.id RETURNING id"

typedef struct Filter
{
	char *endpoint;
	char *event_type;
	char *state;
	TimestampTz since;
	TimestampTz until;
	int64 limit;
} Filter;

/* One that still waits is made now. */
static bool
hasten(const pg_uuid_t *delivery)
{
	static IntegQuery now = {
		"UPDATE integ.deliveries_open SET next_attempt_at = pg_catalog.clock_timestamp() WHERE id = $1"
		" AND state = 'queued'",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(delivery);

	return integ_query(&now, &value, NULL) > 0;
}

Datum
integ_delivery_replay(PG_FUNCTION_ARGS)
{
	static IntegQuery again = {
		"WITH chosen AS (SELECT * FROM integ.deliveries_done WHERE id = $1)" MAKE_AGAIN, 1, {UUIDOID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "replay deliveries");
	pg_uuid_t *result = palloc(sizeof(pg_uuid_t));
	Datum value = PG_GETARG_DATUM(0);
	IntegOwnerScope scope;
	bool isnull;
	char *state;

	*result = *PG_GETARG_UUID_P(0);
	integ_owner_enter(&scope);
	state = integ_delivery_require(actor, result);
	if (strcmp(state, "queued") == 0 && hasten(result))
		;
	else if (strcmp(state, "queued") == 0 || strcmp(state, "sending") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("delivery %s is being sent", integ_uuid_text(result)),
						errhint("Look at integ.delivery_attempts what comes of it.")));
	else if (integ_query(&again, &value, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("the endpoint of delivery %s does not exist any more", integ_uuid_text(result)),
						errhint("integ_publish sends the event to the endpoints that there are.")));
	else
		*result = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	integ_owner_leave(&scope);
	PG_RETURN_UUID_P(result);
}

static void
parse_filter(const Jsonb *document, Filter *filter)
{
	const IntegOption known[] = {
		{"endpoint", INTEG_OPTION_TEXT, &filter->endpoint},
		{"event_type", INTEG_OPTION_TEXT, &filter->event_type},
		{"state", INTEG_OPTION_TEXT, &filter->state},
		{"since", INTEG_OPTION_TIME, &filter->since},
		{"until", INTEG_OPTION_TIME, &filter->until},
		{"limit", INTEG_OPTION_INT, &filter->limit},
	};

	*filter = (Filter){.since = DT_NOBEGIN, .until = DT_NOEND, .limit = DEFAULT_LIMIT};
	integ_options_parse(document, known, lengthof(known), "integ_deliveries_replay");
	if (filter->state == NULL)
		filter->state = "dead";
	if (strcmp(filter->state, "dead") != 0 && strcmp(filter->state, "cancelled") != 0 &&
		strcmp(filter->state, "delivered") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"state\" of integ_deliveries_replay is not \"%s\"", filter->state),
						errdetail("It is \"dead\", \"cancelled\" or \"delivered\".")));
	if (filter->limit < 1 || filter->limit > MAX_LIMIT)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"limit\" of integ_deliveries_replay must be between 1 and %d", MAX_LIMIT)));
	if (filter->endpoint == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_deliveries_replay needs to know which endpoint"),
						errhint("SELECT integ_deliveries_replay('{\"endpoint\": \"…\", \"since\": \"…\"}');"
								" other keys are event_type, state, until and limit.")));
}

Datum
integ_deliveries_replay(PG_FUNCTION_ARGS)
{
	/* An event that is under way to the endpoint, or has arrived since, is not sent once more. */
	static IntegQuery again = {
		"WITH chosen AS (SELECT d.* FROM integ.deliveries_done d WHERE d.endpoint = $1 AND d.created_at >= $2"
		" AND d.created_at <= $3 AND d.state = $4 AND ($5 IS NULL OR d.event_type = $5)"
		" AND NOT EXISTS (SELECT FROM integ.deliveries_open o WHERE o.message = d.message AND o.endpoint = d.endpoint)"
		" AND NOT EXISTS (SELECT FROM integ.deliveries_done l WHERE l.message = d.message AND l.endpoint = d.endpoint"
		"  AND l.created_at = d.created_at AND l.id > d.id)"
		" ORDER BY d.id LIMIT $6)" MAKE_AGAIN,
		6,
		{UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "replay deliveries");
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	char nulls[] = "      ";
	IntegOwnerScope scope;
	const char *client;
	pg_uuid_t endpoint;
	Datum values[6];
	Filter filter;
	uint64 count;

	parse_filter(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), &filter);
	endpoint = integ_endpoint_require(actor, filter.endpoint, &client);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	integ_owner_enter(&scope);
	values[0] = UUIDPGetDatum(&endpoint);
	values[1] = TimestampTzGetDatum(filter.since);
	values[2] = TimestampTzGetDatum(filter.until);
	values[3] = CStringGetTextDatum(filter.state);
	values[4] = integ_value_text(filter.event_type, &nulls[4]);
	values[5] = Int64GetDatum(filter.limit);
	count = integ_query(&again, values, nulls);
	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;
		Datum id = integ_result_datum(i, 1, &isnull);

		tuplestore_putvalues(set->setResult, set->setDesc, &id, &isnull);
	}
	integ_owner_leave(&scope);
	return (Datum) 0;
}

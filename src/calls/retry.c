/*
 * integ_call_retry and integ_calls_retry: calls that have ended are enqueued again, under the same id.
 */
#include "calls/manage.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(integ_call_retry);
PG_FUNCTION_INFO_V1(integ_calls_retry);

/* How many calls one statement enqueues again, unless it says how many, and at most. */
#define DEFAULT_LIMIT 1000
#define MAX_LIMIT 100000

/*
 * Completes a statement that begins "WITH again AS (DELETE FROM integ.calls_done d … RETURNING d.*)"; $1 is when they
 * run. Each gets as many attempts again as it had. The result has the id of each.
 */
#define ENQUEUE_AGAIN                                                                                                  \
	" INSERT INTO integ.calls_open (id, instance, created_at, run_at, next_attempt_at, started_at, owner, timeout_ms," \
	" attempt, max_attempts, interrupted, priority, is_write, client_id, user_id, instance_id, definition_id, method," \
	" ordering_key, idempotency_key, on_success, on_failure, last_sqlstate, last_error, input, depth)"                 \
	" SELECT id, instance, created_at, run_at, $1, started_at, owner, timeout_ms, attempt,"                            \
	" least(attempt - interrupted + max_attempts, 1000000), interrupted, priority, is_write, client_id, user_id,"      \
	" instance_id, definition_id, method, ordering_key, idempotency_key, on_success, on_failure, last_sqlstate,"       \
	" last_error, input, depth FROM again RETURNING id"

/* Whether integ itself made the call: without its purpose it would be another. */
static bool
is_errand(const pg_uuid_t *call)
{
	static IntegQuery find = {
		"SELECT FROM integ.calls_done WHERE id = $1 AND purpose IS NOT NULL", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(call);
	IntegOwnerScope scope;
	bool found;

	integ_owner_enter(&scope);
	found = integ_query(&find, &value, NULL) > 0;
	integ_owner_leave(&scope);
	return found;
}

static void
refuse_retry(const pg_uuid_t *call, const char *state)
{
	if (is_errand(call))
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("call %s cannot be enqueued again", integ_uuid_text(call)),
						errdetail("It was made for a webhook or a poll, and not by anybody's integ_enqueue."),
						errhint("integ.webhook_status and integ.polls say how these are; integ_webhook_register "
								"registers a webhook again.")));
	if (strcmp(state, "unknown") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("the outcome of call %s is unknown", integ_uuid_text(call)),
						errdetail("Its request may have been carried out; repeating it may do it twice."),
						errhint("Look at the service first; then integ_call_retry(…, '{\"confirm\": true}') repeats it.")));
	ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("call %s cannot be enqueued again", integ_uuid_text(call)),
					errdetail("Its state is \"%s\"; failed, dead, cancelled and unknown calls can.", state)));
}

Datum
integ_call_retry(PG_FUNCTION_ARGS)
{
	static IntegQuery again = {
		"WITH again AS (DELETE FROM integ.calls_done d WHERE d.id = $2 AND d.purpose IS NULL"
		" AND (d.state IN ('failed', 'dead', 'cancelled') OR d.state = 'unknown' AND $3) RETURNING d.*)" ENQUEUE_AGAIN,
		3,
		{TIMESTAMPTZOID, UUIDOID, BOOLOID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "retry calls");
	bool confirm = false;
	const IntegOption known[] = {{"confirm", INTEG_OPTION_BOOL, &confirm}};
	IntegOwnerScope scope;
	pg_uuid_t *call;
	Datum values[3];
	uint64 count;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call = PG_GETARG_UUID_P(0);
	integ_options_parse(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), known, lengthof(known), "integ_call_retry");
	(void) integ_call_require(actor, call);
	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = UUIDPGetDatum(call);
	values[2] = BoolGetDatum(confirm);
	integ_owner_enter(&scope);
	count = integ_query(&again, values, NULL);
	integ_owner_leave(&scope);
	if (count == 0)
		refuse_retry(call, integ_call_require(actor, call));
	PG_RETURN_UUID_P(call);
}

/* Which calls; a text that is NULL, or a time that is infinite, says nothing. */
typedef struct Filter
{
	char *instance; /* handle or id */
	char *definition;
	char *method;
	char *state; /* NULL: failed and dead */
	char *sqlstate;
	char *client;
	TimestampTz since; /* when they ended */
	TimestampTz until;
	int64 limit;
	bool confirm;
} Filter;

static void
check_state(const Filter *filter)
{
	static const char *const states[] = {"failed", "dead", "cancelled", "unknown"};
	bool known = filter->state == NULL;

	for (size_t i = 0; i < lengthof(states) && !known; i++)
		known = strcmp(filter->state, states[i]) == 0;
	if (!known)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("calls in state \"%s\" cannot be enqueued again", filter->state),
						errhint("failed, dead, cancelled and unknown calls can; without a state, failed and dead ones are.")));
	if (filter->state != NULL && strcmp(filter->state, "unknown") == 0 && !filter->confirm)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("the outcome of these calls is unknown"),
						errdetail("Their requests may have been carried out; repeating them may do it twice."),
						errhint("Look at the service first; then \"confirm\": true in the filter repeats them.")));
}

static void
parse_filter(const Jsonb *document, Filter *filter)
{
	const IntegOption known[] = {
		{"instance", INTEG_OPTION_TEXT, &filter->instance},
		{"definition", INTEG_OPTION_TEXT, &filter->definition},
		{"method", INTEG_OPTION_TEXT, &filter->method},
		{"state", INTEG_OPTION_TEXT, &filter->state},
		{"sqlstate", INTEG_OPTION_TEXT, &filter->sqlstate},
		{"client", INTEG_OPTION_TEXT, &filter->client},
		{"since", INTEG_OPTION_TIME, &filter->since},
		{"until", INTEG_OPTION_TIME, &filter->until},
		{"limit", INTEG_OPTION_INT, &filter->limit},
		{"confirm", INTEG_OPTION_BOOL, &filter->confirm},
	};

	*filter = (Filter){.since = DT_NOBEGIN, .until = DT_NOEND, .limit = DEFAULT_LIMIT};
	integ_options_parse(document, known, lengthof(known), "integ_calls_retry");
	check_state(filter);
	if (filter->limit < 1 || filter->limit > MAX_LIMIT)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"limit\" of integ_calls_retry must be between 1 and %d", MAX_LIMIT)));
	if (filter->instance == NULL && filter->definition == NULL && filter->method == NULL && filter->sqlstate == NULL &&
		filter->client == NULL && TIMESTAMP_IS_NOBEGIN(filter->since) && TIMESTAMP_IS_NOEND(filter->until))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_calls_retry needs to know which calls"),
						errhint("SELECT * FROM integ_calls_retry('{\"instance\": \"…\", \"since\": \"…\"}'); "
								"other keys are definition, method, state, sqlstate, client, until, limit and confirm.")));
}

/* The oldest calls that match and that the row-level security of the tables shows the actor; what others lock stays. */
static uint64
enqueue_matching(const IntegActor *actor, const Filter *filter)
{
	static IntegQuery again = {
		"WITH chosen AS (SELECT d.id, d.created_at FROM integ.calls_done d"
		" WHERE ($2 IS NULL OR d.instance_id = $2 OR d.instance::text = $2) AND ($3 IS NULL OR d.definition_id = $3)"
		" AND ($4 IS NULL OR d.method = $4) AND ($5 IS NULL AND d.state IN ('failed', 'dead') OR d.state = $5)"
		" AND ($6 IS NULL OR d.last_sqlstate = $6) AND ($7 IS NULL OR d.client_id = $7)"
		" AND d.finished_at >= $8 AND d.finished_at <= $9 AND d.created_at <= $9 AND d.purpose IS NULL"
		" AND ($10 OR d.client_id = $11 AND ($12 OR d.user_id IS NOT DISTINCT FROM $13))"
		" ORDER BY d.id LIMIT $14 FOR UPDATE SKIP LOCKED),"
		" again AS (DELETE FROM integ.calls_done d USING chosen c WHERE d.id = c.id AND d.created_at = c.created_at"
		" RETURNING d.*)" ENQUEUE_AGAIN,
		14,
		{TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID,
		 TEXTOID, BOOLOID, TEXTOID, INT8OID}};
	const char *texts[] = {filter->instance, filter->definition, filter->method,
						   filter->state, filter->sqlstate, filter->client};
	char nulls[] = "              ";
	Datum values[14] = {TimestampTzGetDatum(GetCurrentTimestamp())};

	for (size_t i = 0; i < lengthof(texts); i++)
		values[i + 1] = integ_value_text(texts[i], &nulls[i + 1]);
	values[7] = TimestampTzGetDatum(filter->since);
	values[8] = TimestampTzGetDatum(filter->until);
	values[9] = BoolGetDatum(actor->level == INTEG_LEVEL_SUPERADMIN);
	values[10] = integ_value_text(actor->client, &nulls[10]);
	values[11] = BoolGetDatum(actor->level == INTEG_LEVEL_ADMIN);
	values[12] = integ_value_text(actor->user, &nulls[12]);
	values[13] = Int64GetDatum(filter->limit);
	return integ_query(&again, values, nulls);
}

Datum
integ_calls_retry(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "retry calls");
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	IntegOwnerScope scope;
	Filter filter;
	uint64 count;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	parse_filter(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), &filter);
	integ_owner_enter(&scope);
	count = enqueue_matching(actor, &filter);
	for (uint64 i = 0; i < count; i++)
	{
		Datum value;
		bool isnull;

		value = integ_result_datum(i, 1, &isnull);
		tuplestore_putvalues(set->setResult, set->setDesc, &value, &isnull);
	}
	integ_owner_leave(&scope);
	return (Datum) 0;
}

/*
 * integ_enqueue: a call as a row of the caller's transaction.
 *
 * The caller's rights and the input are checked now, so that a mistake shows
 * where it was made, and again when the call runs.
 */
#include "calls/enqueue.h"

#include "approvals/approval.h"
#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "course/course.h"
#include "core/shmem.h"
#include "handlers/handlers.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_enqueue);

#define MAX_KEY_BYTES 512
#define MAX_TIMEOUT_MS 3600000
#define MAX_ATTEMPTS 1000000
#define DEFAULT_ATTEMPTS 5

typedef struct EnqueueOptions
{
	TimestampTz run_at;
	TimestampTz expires_at; /* 0: never */
	int64 priority;
	int64 max_attempts;
	int64 timeout_ms; /* 0: integ.request_timeout when it runs */
	char *ordering_key;
	char *idempotency_key;
	char *on_success;
	char *on_failure;
} EnqueueOptions;

static void
refuse_option(const char *name, const char *must)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("option \"%s\" of integ_enqueue is out of range", name),
					errdetail("It must be %s.", must)));
}

static void
check_key(const char *name, const char *key)
{
	if (key != NULL && (key[0] == '\0' || strlen(key) > MAX_KEY_BYTES))
		refuse_option(name, psprintf("a string of 1 to %d bytes", MAX_KEY_BYTES));
}

static char *
check_callback(const char *name, const char *function)
{
	if (function == NULL)
		return NULL;
	return integ_handler_resolve(GetUserId(), function, psprintf("option \"%s\" of integ_enqueue", name));
}

static void
parse_options(const Jsonb *options, EnqueueOptions *parsed)
{
	char *on_success, *on_failure;
	const IntegOption known[] = {
		{"run_at", INTEG_OPTION_TIME, &parsed->run_at},
		{"priority", INTEG_OPTION_INT, &parsed->priority},
		{"ordering_key", INTEG_OPTION_TEXT, &parsed->ordering_key},
		{"idempotency_key", INTEG_OPTION_TEXT, &parsed->idempotency_key},
		{"max_attempts", INTEG_OPTION_INT, &parsed->max_attempts},
		{"timeout", INTEG_OPTION_DURATION_MS, &parsed->timeout_ms},
		{"expires_at", INTEG_OPTION_TIME, &parsed->expires_at},
		{"on_success", INTEG_OPTION_TEXT, &on_success},
		{"on_failure", INTEG_OPTION_TEXT, &on_failure},
	};

	memset(parsed, 0, sizeof(*parsed));
	parsed->max_attempts = DEFAULT_ATTEMPTS;
	parsed->timeout_ms = PG_INT64_MIN;
	parsed->run_at = GetCurrentTimestamp();
	integ_options_parse(options, known, lengthof(known), "integ_enqueue");
	parsed->on_success = check_callback("on_success", on_success);
	parsed->on_failure = check_callback("on_failure", on_failure);
	if (parsed->priority < INTEG_PRIORITY_MIN || parsed->priority > INTEG_PRIORITY_MAX)
		refuse_option("priority", "an integer from -10 to 10");
	if (parsed->max_attempts < 1 || parsed->max_attempts > MAX_ATTEMPTS)
		refuse_option("max_attempts", "an integer from 1 to 1000000");
	if (parsed->timeout_ms == PG_INT64_MIN)
		parsed->timeout_ms = 0;
	else if (parsed->timeout_ms < 1 || parsed->timeout_ms > MAX_TIMEOUT_MS)
		refuse_option("timeout", "from 1 millisecond to 1 hour");
	check_key("ordering_key", parsed->ordering_key);
	check_key("idempotency_key", parsed->idempotency_key);
}

/* What must be the same where an idempotency key is used again. */
static int64
request_hash(const char *method, const Jsonb *input)
{
	uint64 seed = DatumGetUInt64(hash_any_extended((const unsigned char *) method, strlen(method), 0));

	return DatumGetInt64(hash_any_extended((const unsigned char *) VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input), seed));
}

/*
 * Takes the idempotency key for the call; false where an earlier call has it,
 * whose id is then in *id. Waits for a transaction that is about to take it.
 */
static bool
take_key(const IntegCall *call, const EnqueueOptions *options, const Jsonb *input, pg_uuid_t *id)
{
	static IntegQuery take = {
		"INSERT INTO integ.call_keys AS k (instance, client_id, idempotency_key, call, request_hash, expires_at)"
		" VALUES ($1, $2, $3, $4, $5, $6)"
		" ON CONFLICT (instance, client_id, idempotency_key) DO UPDATE"
		" SET call = excluded.call, request_hash = excluded.request_hash, expires_at = excluded.expires_at"
		" WHERE k.expires_at < pg_catalog.clock_timestamp()",
		6,
		{UUIDOID, TEXTOID, TEXTOID, UUIDOID, INT8OID, TIMESTAMPTZOID}};
	static IntegQuery taken = {
		"SELECT call, request_hash FROM integ.call_keys"
		" WHERE instance = $1 AND client_id = $2 AND idempotency_key = $3",
		3,
		{UUIDOID, TEXTOID, TEXTOID}};
	int64 hash = request_hash(call->method_id, input);
	bool isnull;
	Datum values[] = {
		UUIDPGetDatum(&call->instance->id),
		CStringGetTextDatum(call->actor->client),
		CStringGetTextDatum(options->idempotency_key),
		UUIDPGetDatum(id),
		Int64GetDatum(hash),
		TimestampTzGetDatum(GetCurrentTimestamp() + integ_idempotency_retention * USECS_PER_SEC)};

	if (integ_query(&take, values, NULL) > 0)
		return true;
	if (integ_query(&taken, values, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("the idempotency key was taken by a transaction that this one cannot see")));
	if (integ_result_int8(0, 2) != hash)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("idempotency key \"%s\" belongs to another call of instance \"%s\"",
							   options->idempotency_key, call->instance->instance_id),
						errdetail("It was enqueued with another method or input."),
						errhint("Use one key for one call.")));
	memcpy(id, DatumGetUUIDP(integ_result_datum(0, 1, &isnull)), sizeof(*id));
	return false;
}

bool
integ_calls_are_shared(const IntegCall *call)
{
	/* So few at once that each dispatcher would have less than one are one dispatcher's. */
	return call->instance->limits == NULL && call->definition->limits == NULL &&
		   integ_instance_concurrency >= INTEG_MAX_DISPATCHERS;
}

static bool
is_shared(const IntegCall *call, const EnqueueOptions *options)
{
	return options->ordering_key == NULL && call->method->limits == NULL && integ_calls_are_shared(call);
}

static void
insert_call(const IntegCall *call, const EnqueueOptions *options, const Jsonb *input, const pg_uuid_t *id)
{
	static IntegQuery insert = {
		"INSERT INTO integ.calls_open (id, instance, run_at, next_attempt_at, expires_at, owner, timeout_ms,"
		" max_attempts, priority, is_write, client_id, user_id, instance_id, definition_id, method,"
		" ordering_key, idempotency_key, input, on_success, on_failure, state, depth, share)"
		" VALUES ($1, $2, $3, $3, $4, $5::pg_catalog.regrole, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
		" $18, $19, $20, $21, $22)",
		22,
		{UUIDOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, OIDOID, INT4OID, INT4OID, INT2OID, BOOLOID, TEXTOID,
		 TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID, TEXTOID, INT2OID, INT4OID}};
	const IntegActor *actor = call->actor;
#define TEXT_OR_NULL(value) ((value) != NULL ? CStringGetTextDatum(value) : (Datum) 0)
	Datum values[] = {
		UUIDPGetDatum(id),
		UUIDPGetDatum(&call->instance->id),
		TimestampTzGetDatum(options->run_at),
		TimestampTzGetDatum(options->expires_at),
		ObjectIdGetDatum(actor->role),
		Int32GetDatum((int32) options->timeout_ms),
		Int32GetDatum((int32) options->max_attempts),
		Int16GetDatum((int16) options->priority),
		BoolGetDatum(call->method->is_write),
		CStringGetTextDatum(actor->client),
		TEXT_OR_NULL(actor->user),
		CStringGetTextDatum(call->instance->instance_id),
		CStringGetTextDatum(call->definition->id),
		CStringGetTextDatum(call->method->id),
		TEXT_OR_NULL(options->ordering_key),
		TEXT_OR_NULL(options->idempotency_key),
		JsonbPGetDatum(input),
		TEXT_OR_NULL(options->on_success),
		TEXT_OR_NULL(options->on_failure),
		CStringGetTextDatum(integ_approval_needed(call) ? "approval" : "queued"),
		Int16GetDatum((int16) integ_handler_depth()),
		Int32GetDatum((int32) (hash_bytes(id->data, UUID_LEN) & PG_INT32_MAX))};
#undef TEXT_OR_NULL
	char nulls[lengthof(values)];

	memset(nulls, ' ', sizeof(nulls));
	nulls[3] = options->expires_at != 0 ? ' ' : 'n';
	nulls[5] = options->timeout_ms != 0 ? ' ' : 'n';
	nulls[10] = actor->user != NULL ? ' ' : 'n';
	nulls[14] = options->ordering_key != NULL ? ' ' : 'n';
	nulls[15] = options->idempotency_key != NULL ? ' ' : 'n';
	nulls[21] = is_shared(call, options) ? ' ' : 'n';
	nulls[17] = options->on_success != NULL ? ' ' : 'n';
	nulls[18] = options->on_failure != NULL ? ' ' : 'n';
	integ_wake_note((int) options->priority, options->run_at);
	(void) integ_query(&insert, values, nulls);
}

/* The steps of a call's path that need neither secrets nor the network. */
static void
check_call(IntegCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);

	integ_call_resolve(call);
	integ_call_authorize(call);
	integ_call_validate(call);
	/* What a person is to approve is rendered now. */
	if (integ_approval_needed(call))
	{
		integ_call_consult_before(call);
		integ_course_begin(call);
	}
	MemoryContextSwitchTo(old);
}

Datum
integ_enqueue(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "enqueue calls");
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));
	IntegCallOptions call_options = {0};
	EnqueueOptions options;
	IntegOwnerScope scope;
	IntegCall *call;
	const Jsonb *input;
	bool is_new;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_enqueue needs an instance and a method"),
						errhint("SELECT integ_enqueue('instance', 'method', '{\"input\": …}').")));
	parse_options(PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3), &options);
	input = PG_ARGISNULL(2) ? integ_json_empty_object() : PG_GETARG_JSONB_P(2);
	call = integ_call_begin(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)),
							input, &call_options);
	check_call(call);
	*id = call->subject.call_id;

	integ_owner_enter(&scope);
	is_new = options.idempotency_key == NULL || take_key(call, &options, input, id);
	if (is_new)
		insert_call(call, &options, input, id);
	integ_owner_leave(&scope);
	if (is_new && integ_approval_needed(call))
		integ_approval_enqueue(call, options.expires_at);
	integ_call_end(call);
	PG_RETURN_UUID_P(id);
}

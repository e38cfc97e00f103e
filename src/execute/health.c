/*
 * Health: the definition's healthCheck method, called along the usual path,
 * and what came of it stored in the instance.
 *
 * integ_test checks one instance in the caller's transaction; the maintenance
 * job checks the active ones in turn, with no transaction open while it waits.
 */
#include "execute/health.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "execute/call.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(integ_test);

/* A service that takes longer to say that it is well is not. */
#define HEALTH_TIMEOUT_MS 10000

typedef struct Health
{
	const char *state; /* healthy, unhealthy, unknown */
	int64 latency_ms;  /* -1 where nothing was sent */
	IntegOutcome outcome;
} Health;

static Health
health_of(const IntegCall *call)
{
	Health health = {.state = call->outcome.sqlerrcode == 0 ? "healthy" : "unhealthy",
					 .latency_ms = -1,
					 .outcome = call->outcome};

	if (call->response != NULL)
		health.latency_ms = call->response->duration_us / 1000;
	return health;
}

static Jsonb *
health_details(const Health *health)
{
	const IntegOutcome *outcome = &health->outcome;
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	if (outcome->sqlerrcode != 0)
		integ_json_add_string(&builder, "sqlstate", unpack_sql_state(outcome->sqlerrcode));
	integ_json_add_known(&builder, "detail", outcome->detail);
	integ_json_add_known(&builder, "hint", outcome->hint);
	return integ_json_end(&builder);
}

/*
 * Stores the health, moves the status where the check proves another one, and
 * tells of a change. A status that only a person or a new credential can end
 * (disconnected) stays, and so does that of an instance whose credentials were
 * not entered yet. Returns the stored document in the given context.
 */
static Jsonb *
store(const pg_uuid_t *instance, const Health *health, MemoryContext context)
{
	static IntegQuery update = {
		"UPDATE integ.instances i SET"
		" health = pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object("
		"  'state', $2, 'last_checked', pg_catalog.clock_timestamp(), 'latency', $3, 'error', $4,"
		"  'details', nullif($5, '{}'::pg_catalog.jsonb))),"
		" status = CASE WHEN i.status = 'disconnected' THEN i.status"
		"  WHEN $2 = 'healthy' THEN 'active'"
		"  WHEN $6 AND (i.status <> 'initializing' OR $3 IS NOT NULL) THEN 'reauth_required' ELSE i.status END,"
		" last_error = coalesce($4, i.last_error),"
		" last_error_at = CASE WHEN $4 IS NULL THEN i.last_error_at ELSE pg_catalog.clock_timestamp() END,"
		" connected_at = CASE WHEN $2 = 'healthy' THEN coalesce(i.connected_at, pg_catalog.now()) ELSE i.connected_at END,"
		" last_connected_at = CASE WHEN $2 = 'healthy' AND i.status <> 'active' THEN pg_catalog.now()"
		"  ELSE i.last_connected_at END"
		" FROM (SELECT o.id, o.health ->> 'state' AS state FROM integ.instances o WHERE o.id = $1 FOR UPDATE) AS before"
		" WHERE i.id = before.id"
		" RETURNING i.health, i.client_id, before.state IS DISTINCT FROM $2",
		6,
		{UUIDOID, TEXTOID, INT8OID, TEXTOID, JSONBOID, BOOLOID}};
	const char *error = health->outcome.sqlerrcode != 0 ? health->outcome.message : NULL;
	Datum values[6] = {UUIDPGetDatum(instance),
					   CStringGetTextDatum(health->state),
					   Int64GetDatum(health->latency_ms),
					   error != NULL ? CStringGetTextDatum(error) : (Datum) 0,
					   JsonbPGetDatum(health_details(health)),
					   BoolGetDatum(health->outcome.sqlerrcode == ERRCODE_INTEG_UNAUTHENTICATED)};
	char nulls[7] = "      ";
	IntegOwnerScope scope;
	Jsonb *stored = NULL;

	if (health->latency_ms < 0)
		nulls[2] = 'n';
	if (error == NULL)
		nulls[3] = 'n';
	integ_owner_enter(&scope);
	if (integ_query(&update, values, nulls) > 0)
	{
		char *client = integ_result_text(0, 2, CurrentMemoryContext);
		bool changed = integ_result_bool(0, 3);

		stored = (Jsonb *) integ_result_varlena(0, 1, context);
		if (changed)
			integ_event_emit("instance.health", client, instance, stored);
	}
	integ_owner_leave(&scope);
	return stored;
}

static IntegCall *
begin_check(const IntegActor *actor, const char *instance, const IntegDefinition *definition)
{
	IntegCallOptions options = {.timeout_ms = HEALTH_TIMEOUT_MS, .health_check = true};

	return integ_call_begin(actor, instance, definition->health_check, definition->health_input, &options);
}

/* Only what the IG class says is about the service; a cancel or a bug is not its illness. */
static bool
is_finding(int sqlerrcode)
{
	const char *state = unpack_sql_state(sqlerrcode);

	return state[0] == 'I' && state[1] == 'G';
}

/*
 * Takes the error that is being handled as the call's outcome; the caller then
 * ends its (sub)transaction. Raises on what is no finding.
 */
static void
take_error(IntegCall *call)
{
	ErrorData *error;

	MemoryContextSwitchTo(call->context);
	error = CopyErrorData();
	if (!is_finding(error->sqlerrcode))
		PG_RE_THROW();
	FlushErrorState();
	call->outcome.sqlerrcode = error->sqlerrcode;
	call->outcome.message = error->message;
	call->outcome.detail = error->detail;
	call->outcome.hint = error->hint;
}

/* The whole check in the caller's transaction; a failed one is a finding, not an error. */
static void
check_here(IntegCall *call)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction("integ_test");
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		integ_call_run(call);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		take_error(call);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

Datum
integ_test(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "test connections");
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const IntegInstance *instance = integ_instance_resolve(actor, name);
	const IntegDefinition *definition = integ_instance_definition(instance);
	Health health = {.state = "unknown", .latency_ms = -1};
	Jsonb *stored;

	PreventCommandIfReadOnly("integ_test");
	if (definition->health_check != NULL)
	{
		IntegCall *call = begin_check(actor, name, definition);

		check_here(call);
		health = health_of(call);
	}
	stored = store(&instance->id, &health, CurrentMemoryContext);
	if (stored == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("instance \"%s\" has just been deleted", name)));
	PG_RETURN_JSONB_P(stored);
}

/* Ids of the instances to check, in the given context. */
static int
list_instances(pg_uuid_t **ids, MemoryContext context)
{
	static IntegQuery due = {
		"SELECT i.id FROM integ.instances i WHERE i.is_active AND (i.status IN ('active', 'error')"
		" OR i.status = 'initializing' AND EXISTS (SELECT FROM integ.credentials c WHERE c.owner_kind = 'instance'"
		" AND c.owner_id = coalesce(i.borrows, i.id)::text))"
		" ORDER BY (i.health ->> 'last_checked') NULLS FIRST",
		0};
	IntegOwnerScope scope;
	uint64 count;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	count = integ_query(&due, NULL, NULL);
	*ids = MemoryContextAlloc(context, Max(count, 1) * sizeof(pg_uuid_t));
	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;

		(*ids)[i] = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
	}
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return (int) count;
}

/* The check of an instance, or NULL where its definition has none. */
static IntegCall *
open_check(const IntegActor *actor, const pg_uuid_t *id)
{
	char *name = integ_uuid_text(id);
	const IntegInstance *instance = integ_instance_resolve(actor, name);
	const IntegDefinition *definition = integ_instance_definition(instance);

	if (definition->health_check == NULL)
		return NULL;
	return begin_check(actor, name, definition);
}

/*
 * First transaction: everything up to the request. NULL where there is nothing to check (the
 * instance may be gone by now); a call that may not be sent has its outcome already.
 */
static IntegCall *
prepare_check(const IntegActor *actor, const pg_uuid_t *id, MemoryContext context)
{
	IntegCall *volatile call = NULL;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		call = open_check(actor, id);
		if (call != NULL)
			integ_call_prepare(call);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		if (call == NULL && geterrcode() != ERRCODE_INTEG_NOT_FOUND)
			PG_RE_THROW();
		if (call != NULL)
			take_error(call);
		else
			FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return call;
}

/* Second transaction: what came of it. */
static void
finish_check(IntegCall *call, const pg_uuid_t *id, MemoryContext context)
{
	Health health;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(context);
	if (call->response != NULL)
		integ_call_finish(call);
	health = health_of(call);
	(void) store(id, &health, context);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static void
check_in_worker(const IntegActor *actor, const pg_uuid_t *id, MemoryContext context)
{
	IntegCall *call = prepare_check(actor, id, context);

	if (call == NULL)
		return;
	if (call->outcome.sqlerrcode == 0)
		integ_call_send(call);
	finish_check(call, id, context);
}

/* What goes wrong with one instance is reported, and does not keep the others from their check. */
static void
check_guarded(const IntegActor *actor, const pg_uuid_t *id, MemoryContext context)
{
	PG_TRY();
	{
		check_in_worker(actor, id, context);
	}
	PG_CATCH();
	{
		int sqlerrcode = geterrcode();

		if (sqlerrcode == ERRCODE_QUERY_CANCELED || sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			PG_RE_THROW();
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
}

void
integ_health_run(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "integ health", ALLOCSET_DEFAULT_SIZES);
	MemoryContext each = AllocSetContextCreate(context, "integ health check", ALLOCSET_DEFAULT_SIZES);
	const IntegActor actor = {.role = GetUserId(), .client = INTEG_GLOBAL_CLIENT, .level = INTEG_LEVEL_SUPERADMIN};
	pg_uuid_t *ids;
	int count = list_instances(&ids, context);

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		check_guarded(&actor, &ids[i], each);
		MemoryContextSwitchTo(TopMemoryContext);
		MemoryContextReset(each);
	}
	MemoryContextDelete(context);
}

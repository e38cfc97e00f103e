/*
 * integ_discover: discovery on demand; and the maintenance job that runs it again.
 */
#include "discovery/discovery.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(integ_discover);

static void
check_only(const Jsonb *only)
{
	JsonbValue name;

	for (uint32 i = 0; only != NULL && i < JB_ROOT_COUNT(only); i++)
	{
		name = *getIthJsonbValueFromContainer((JsonbContainer *) &only->root, i);
		if (name.type != jbvString)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("option \"only\" of integ_discover must be an array of names")));
	}
}

static int64
refresh_seconds(const IntegInstance *instance)
{
	const IntegDefinition *definition = integ_instance_definition(instance);

	return integ_discovery_compile(&definition->manifest->root, definition->id)->refresh_seconds;
}

Datum
integ_discover(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "discover methods");
	IntegDiscoveryRun run = {.actor = actor, .context = CurrentMemoryContext};
	Jsonb *only;
	const IntegOption known[] = {{"only", INTEG_OPTION_ARRAY, &only}};
	const IntegInstance *instance;
	IntegDiscovered *found;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_discover needs an instance")));
	PreventCommandIfReadOnly("integ_discover");
	integ_options_parse(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), known, lengthof(known), "integ_discover");
	check_only(only);
	instance = integ_instance_require_managed(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), "discover the methods of");
	run.instance = integ_uuid_text(&instance->id);
	run.only = only;
	found = integ_discovery_run(&run);
	PG_RETURN_JSONB_P(integ_discovery_store(instance, found, only, refresh_seconds(instance), CurrentMemoryContext));
}

/* An instance whose time has come. */
typedef struct Due
{
	pg_uuid_t instance;
	const Jsonb *only;
} Due;

/* Takes those that are due, and sets their next time, so that one that ends its worker is not tried at once. */
static List *
take_due(MemoryContext context)
{
	static IntegQuery take = {
		"UPDATE integ.instance_discoveries d SET next_run_at = pg_catalog.now() + interval '1 hour'"
		" FROM integ.instances i WHERE i.id = d.instance AND i.is_active AND i.status IN ('active', 'error', 'initializing')"
		" AND d.next_run_at <= pg_catalog.now() RETURNING d.instance, d.\"only\"",
		0};
	IntegOwnerScope scope;
	List *list = NIL;
	uint64 count;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	count = integ_query(&take, NULL, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		Due *due = palloc(sizeof(Due));
		bool isnull;

		due->instance = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
		due->only = (const Jsonb *) integ_result_varlena(i, 2, context);
		list = lappend(list, due);
		MemoryContextSwitchTo(old);
	}
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return list;
}

static void
store_error(const pg_uuid_t *instance, const char *message)
{
	static IntegQuery failed = {
		"UPDATE integ.instance_discoveries SET last_error = $2 WHERE instance = $1", 2, {UUIDOID, TEXTOID}};
	IntegOwnerScope scope;
	Datum values[2];

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	values[0] = UUIDPGetDatum(instance);
	values[1] = CStringGetTextDatum(message);
	integ_owner_enter(&scope);
	(void) integ_query(&failed, values, NULL);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static void
refresh(const IntegActor *actor, const Due *due, MemoryContext context)
{
	IntegDiscoveryRun run = {.actor = actor, .only = due->only, .in_worker = true, .context = context};
	const IntegInstance *instance;
	IntegDiscovered *found;

	run.instance = integ_uuid_text(&due->instance);
	found = integ_discovery_run(&run);
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(context);
	instance = integ_instance_resolve(actor, run.instance);
	(void) integ_discovery_store(instance, found, due->only, refresh_seconds(instance), context);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* What goes wrong with one instance is kept in its row, and keeps no other from its turn. What it had stays. */
static void
guarded_refresh(const IntegActor *actor, const Due *due, MemoryContext context)
{
	char *volatile problem = NULL;

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		refresh(actor, due, context);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			PG_RE_THROW();
		FlushErrorState();
		AbortCurrentTransaction();
		problem = error->message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (problem != NULL)
		store_error(&due->instance, problem);
}

void
integ_discovery_refresh(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "integ discovery", ALLOCSET_DEFAULT_SIZES);
	MemoryContext each = AllocSetContextCreate(context, "integ discovery run", ALLOCSET_DEFAULT_SIZES);
	const IntegActor actor = {.role = GetUserId(), .client = INTEG_GLOBAL_CLIENT, .level = INTEG_LEVEL_SUPERADMIN};
	List *due = take_due(context);
	ListCell *cell;

	foreach (cell, due)
	{
		CHECK_FOR_INTERRUPTS();
		guarded_refresh(&actor, lfirst(cell), each);
		MemoryContextSwitchTo(TopMemoryContext);
		MemoryContextReset(each);
	}
	MemoryContextDelete(context);
}

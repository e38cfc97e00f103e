/*
 * The job that looks after webhooks: renewals and checks that are due, old secrets, realtime tasks, polls that stand
 * still. It asks no service itself: what has to be asked becomes calls.
 */
#include "webhooks/registration.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "vault/vault.h"
#include "webhooks/poll.h"
#include "webhooks/realtime.h"

/* Of one transaction. */
#define BATCH 100

/* A secret that was replaced is valid for so long: what the service had signed before is still on its way. */
#define OLD_SECRET "1 day"

typedef uint64 (*Step)(void);

/* Transactions of a step until there is nothing left for it. */
static void
run_step(Step step)
{
	MemoryContext context = CurrentMemoryContext;
	uint64 count;

	do
	{
		IntegOwnerScope scope;

		CHECK_FOR_INTERRUPTS();
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		integ_owner_enter(&scope);
		count = step();
		integ_owner_leave(&scope);
		PopActiveSnapshot();
		CommitTransactionCommand();
		MemoryContextSwitchTo(context);
	} while (count > 0);
}

/* Webhooks of the last statement, in CurrentMemoryContext at its beginning. */
static pg_uuid_t *
copy_ids(uint64 count, MemoryContext context)
{
	pg_uuid_t *ids = MemoryContextAlloc(context, sizeof(pg_uuid_t) * (count + 1));

	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;

		ids[i] = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
	}
	return ids;
}

static IntegHookStep
due_step(const IntegRegistration *row, const JsonbContainer *manifest)
{
	if (row->renew_at == 0 || row->renew_at > GetCurrentTimestamp())
		return INTEG_HOOK_CHECK;
	return integ_hook_method(manifest, INTEG_HOOK_RENEW) != NULL ? INTEG_HOOK_RENEW : INTEG_HOOK_REPLACE;
}

/* Where the definition has no method for it any more it is not looked at again until somebody registers it anew. */
static void
look_after(IntegRegistration *row)
{
	const IntegDefinition *definition = integ_definition_get(row->definition, NULL);
	const JsonbContainer *manifest = definition == NULL ? NULL : integ_hook_manifest(definition);
	IntegHookStep step = due_step(row, manifest);

	if (integ_hook_method(manifest, step) != NULL)
		integ_registration_begin(row, manifest, step);
	else
		row->renew_at = row->check_at = 0;
	integ_registration_save(row);
}

static uint64
renew_and_check(void)
{
	static IntegQuery due = {
		"SELECT webhook FROM integ.webhook_registrations WHERE call IS NULL AND status IN ('active', 'failing')"
		" AND least(renew_at, check_at) <= pg_catalog.clock_timestamp() ORDER BY least(renew_at, check_at)"
		" LIMIT $1 FOR UPDATE SKIP LOCKED",
		1,
		{INT4OID}};
	MemoryContext context = CurrentMemoryContext;
	Datum limit = Int32GetDatum(BATCH);
	uint64 count = integ_query(&due, &limit, NULL);
	pg_uuid_t *ids = copy_ids(count, context);

	for (uint64 i = 0; i < count; i++)
	{
		IntegRegistration *row = integ_registration_load(&ids[i]);

		if (row != NULL)
			look_after(row);
	}
	return count;
}

static uint64
forget_old_secrets(void)
{
	static IntegQuery old = {
		"UPDATE integ.webhook_registrations SET rotated_at = NULL WHERE webhook = ANY (ARRAY("
		" SELECT webhook FROM integ.webhook_registrations"
		" WHERE rotated_at < pg_catalog.clock_timestamp() - interval '" OLD_SECRET "'"
		" LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING webhook, client_id",
		1,
		{INT4OID}};
	MemoryContext context = CurrentMemoryContext;
	Datum limit = Int32GetDatum(BATCH);
	uint64 count = integ_query(&old, &limit, NULL);
	pg_uuid_t *ids = copy_ids(count, context);
	char **clients = MemoryContextAlloc(context, sizeof(char *) * (count + 1));

	for (uint64 i = 0; i < count; i++)
		clients[i] = integ_result_text(i, 2, context);
	for (uint64 i = 0; i < count; i++)
	{
		IntegCredentialOwner owner = {"webhook", integ_uuid_text(&ids[i]), clients[i]};

		integ_vault_promote(&owner);
	}
	return count;
}

static uint64
restart_polls(void)
{
	integ_polls_restart();
	return 0;
}

void
integ_webhooks_upkeep(void)
{
	run_step(renew_and_check);
	run_step(forget_old_secrets);
	run_step(restart_polls);
	integ_realtime_upkeep();
}

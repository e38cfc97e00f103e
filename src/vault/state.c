/*
 * Whether the vault can be used now.
 */
#include "vault/state.h"

#include "core/errors.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "nodes/pg_list.h"
#include "vault/master_key.h"

/* The identifiers of the master keys that data keys here are wrapped by; empty where there are none yet. */
static List *
wrapping_keys(void)
{
	static IntegQuery ids = {"SELECT DISTINCT master_key_id FROM integ.data_keys", 0};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	uint64 count;
	char **found;
	List *list = NIL;

	integ_owner_enter(&scope);
	count = integ_query(&ids, NULL, NULL);
	found = MemoryContextAlloc(context, sizeof(char *) * (count + 1));
	for (uint64 row = 0; row < count; row++)
		found[row] = integ_result_text(row, 1, context);
	integ_owner_leave(&scope);
	for (uint64 row = 0; row < count; row++)
		list = lappend(list, found[row]);
	return list;
}

static void
try_keys(List *ids)
{
	char current[INTEG_MASTER_KEY_ID_SIZE];
	ListCell *cell;

	(void) integ_master_key_current(current);
	foreach (cell, ids)
		(void) integ_master_key_find(lfirst(cell));
}

IntegVaultState
integ_vault_state(void)
{
	MemoryContext context = CurrentMemoryContext;
	IntegVaultState state = {.state = "usable"};
	List *ids = wrapping_keys();

	/* Reading a key takes nothing that an abort would have to give back, so its finding can be caught here. */
	PG_TRY();
	{
		try_keys(ids);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_INTEG_INSTALLATION)
			PG_RE_THROW();
		FlushErrorState();
		state.state = integ_master_key_file[0] == '\0' && integ_master_key_command[0] == '\0' ? "missing" : "unusable";
		state.problem = error->detail != NULL ? psprintf("%s: %s", error->message, error->detail) : error->message;
		state.hint = error->hint;
	}
	PG_END_TRY();
	return state;
}

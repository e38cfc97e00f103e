/*
 * Whether an instance may be called now.
 */
#include "instances/instance.h"

#include "core/errors.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

/* Warns of a definition once a session, and again where its status is another one meanwhile. */
static void
warn_once(const IntegDefinition *definition)
{
	static List *warned = NIL;
	MemoryContext old;
	ListCell *cell;
	char *what = psprintf("%s %s", definition->status, definition->id);

	foreach (cell, warned)
		if (strcmp(lfirst(cell), what) == 0)
			return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	warned = lappend(warned, pstrdup(what));
	MemoryContextSwitchTo(old);
	if (strcmp(definition->status, "beta") == 0)
		ereport(WARNING, (errmsg("the definition \"%s\" is in beta", definition->id),
						  errdetail("Its methods may still change.")));
	else
		ereport(WARNING, (errmsg("the definition \"%s\" is deprecated", definition->id),
						  errhint("Look for another one, before it is disabled.")));
}

void
integ_definition_require_usable(const IntegDefinition *definition)
{
	if (strcmp(definition->status, "disabled") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("the definition \"%s\" is disabled", definition->id),
						errhint("A superadmin enables it: UPDATE integ.definitions SET status = 'active' WHERE id = '%s'.",
								definition->id)));
	if (strcmp(definition->status, "active") != 0)
		warn_once(definition);
}

static void
require_switched_on(const IntegInstance *instance)
{
	if (!instance->is_active)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the instance \"%s\" is switched off", instance->instance_id),
						instance->deactivated_reason != NULL ? errdetail("%s", instance->deactivated_reason)
						: instance->deactivated_by != NULL	 ? errdetail("By \"%s\".", instance->deactivated_by)
															 : 0,
						errhint("UPDATE integ.instances SET is_active = true WHERE instance_id = '%s' switches it on.",
								instance->instance_id)));
	if (!instance->lender_is_active)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the connection that \"%s\" borrows is switched off", instance->instance_id),
						errhint("Ask a superadmin.")));
	if (!instance->lender_granted)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("\"%s\" may no longer borrow the connection of \"%s\"", instance->instance_id,
							   instance->lender),
						errdetail("The grant to the client \"%s\" was taken away.", instance->client_id),
						errhint("Ask a superadmin to grant it again (integ.instance_grants), or connect with credentials of your own.")));
}

/* status is the instance's, or its lender's. */
static void
require_connected(const IntegInstance *instance, const char *status)
{
	bool borrowed = status == instance->lender_status;

	if (strcmp(status, "disconnected") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the instance \"%s\" is disconnected", instance->instance_id),
						borrowed ? errdetail("The connection that it borrows is.") : 0,
						errhint("SELECT integ_connect(…) connects it again; then its credentials are entered anew.")));
	if (strcmp(status, "reauth_required") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("the service refuses the credentials of \"%s\"", instance->instance_id),
						borrowed ? errdetail("They are those of the connection that it borrows.") : 0,
						errhint("Enter them again with integ_credential_set, or authorize again with integ_oauth_start.")));
}

void
integ_instance_require_usable(const IntegInstance *instance, const IntegDefinition *definition)
{
	require_connected(instance, instance->status);
	if (instance->lender_status != NULL)
		require_connected(instance, instance->lender_status);
	integ_instance_require_allowed(instance, definition);
}

void
integ_instance_require_allowed(const IntegInstance *instance, const IntegDefinition *definition)
{
	require_switched_on(instance);
	integ_definition_require_usable(definition);
	if (!instance->plan_allows)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the client's plan does not include \"%s\"", definition->id),
						errdetail("The definition needs the plan \"%s\".", definition->required_plan),
						errhint("Change the client's plan in integ.clients.")));
}

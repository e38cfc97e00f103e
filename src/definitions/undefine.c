/*
 * integ_undefine: removes a definition with all its versions.
 */
#include "definitions/definition.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "instances/history.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_undefine);

/* The definition, if the actor may remove it. */
static const IntegDefinition *
require_removable(const IntegActor *actor, const char *id)
{
	const IntegDefinition *definition = integ_definition_get(id, NULL);

	if (definition == NULL || !integ_definition_visible(definition, actor))
		integ_definition_unknown(id);
	if (definition->builtin)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the definition \"%s\" belongs to integ", id),
						errhint("To refuse its use: UPDATE integ.definitions SET status = 'disabled' WHERE id = '%s'.", id)));
	if (actor->level != INTEG_LEVEL_SUPERADMIN && strcmp(definition->client_id, actor->client) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("role \"%s\" may not remove the definition \"%s\"",
							   GetUserNameFromId(actor->role, false), id),
						errdetail("It is for all clients."), errhint("Ask a superadmin.")));
	/* Defined again, it would be without what a superadmin decided about it. */
	if (actor->level != INTEG_LEVEL_SUPERADMIN && definition->customized)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("role \"%s\" may not remove the definition \"%s\"",
							   GetUserNameFromId(actor->role, false), id),
						errdetail("A superadmin has changed its status, visibility or plan."),
						errhint("Ask a superadmin.")));
	return definition;
}

/* Refuses while it is used; the detail counts without naming what the caller may not see. */
static void
check_unused(const char *id)
{
	static IntegQuery used = {"SELECT pg_catalog.count(*) FROM integ.instances WHERE definition = $1", 1, {TEXTOID}};
	Datum key = CStringGetTextDatum(id);
	int64 count;

	(void) integ_query(&used, &key, NULL);
	count = integ_result_int8(0, 1);
	if (count > 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("the definition \"%s\" is in use", id),
						errdetail_plural("%lld instance uses it.", "%lld instances use it.", (unsigned long) count,
										 (long long) count),
						errhint("DELETE FROM integ.instances WHERE definition = '%s' first.", id)));
}

Datum
integ_undefine(PG_FUNCTION_ARGS)
{
	/* Waits for whoever is connecting it, whose foreign key holds the row. */
	static IntegQuery lock = {"SELECT FROM integ.definitions WHERE id = $1 FOR UPDATE", 1, {TEXTOID}};
	static IntegQuery forget = {
		"DELETE FROM integ.credentials WHERE owner_kind = 'definition' AND owner_id = $1", 1, {TEXTOID}};
	static IntegQuery remove = {"DELETE FROM integ.definitions WHERE id = $1", 1, {TEXTOID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "remove definitions");
	char *id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const IntegDefinition *definition = require_removable(actor, id);
	Datum key = PG_GETARG_DATUM(0);
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&lock, &key, NULL);
	check_unused(id);
	(void) integ_query(&forget, &key, NULL);
	(void) integ_query(&remove, &key, NULL);
	integ_owner_leave(&scope);
	integ_definition_history(actor, "definition.undefine", "definition.removed", id, NULL, definition->client_id);
	PG_RETURN_VOID();
}

/*
 * Who sees a definition in the catalog; the same rule as the policy of integ.definitions.
 */
#include "definitions/definition.h"

#include "core/errors.h"

bool
integ_definition_visible(const IntegDefinition *definition, const IntegActor *actor)
{
	bool global = strcmp(definition->client_id, INTEG_GLOBAL_CLIENT) == 0;

	if (actor->level == INTEG_LEVEL_SUPERADMIN)
		return true;
	if (actor->level == INTEG_LEVEL_NONE || (!global && strcmp(definition->client_id, actor->client) != 0))
		return false;
	return strcmp(definition->visibility, "public") == 0 ||
		   (strcmp(definition->visibility, "private") == 0 && !global && actor->level == INTEG_LEVEL_ADMIN);
}

void
integ_definition_unknown(const char *id)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no definition \"%s\"", id),
					errhint("The rows of integ.definitions are those that this role may use.")));
}

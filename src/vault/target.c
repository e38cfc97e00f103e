/*
 * Whose credential is meant, and whether the caller may change it.
 */
#include "vault/target.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "definitions/definition.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* webhook:UUID and endpoint:UUID, in the canonical form of the uuid. */
static char *
canonical_uuid(const char *owner, const char *text)
{
	char digits[33];
	int count = 0;

	for (const char *c = text; *c != '\0'; c++)
	{
		if (*c == '-')
			continue;
		if (!isxdigit((unsigned char) *c) || count == 32)
		{
			count = 0;
			break;
		}
		digits[count++] = *c;
	}
	if (count != 32)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("\"%s\" names no owner of credentials", owner),
						errdetail("Behind the colon a uuid is expected."),
						errhint("Owners are an instance's handle, definition:ID, webhook:UUID and endpoint:UUID.")));
	digits[32] = '\0';
	return DatumGetCString(DirectFunctionCall1(uuid_out, DirectFunctionCall1(uuid_in, CStringGetDatum(digits))));
}

static void
refuse(const IntegVaultTarget *target, const char *action, const char *who)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTEG_FORBIDDEN),
			 errmsg("role \"%s\" may not %s of \"%s\"", GetUserNameFromId(target->actor->role, false), action, target->label),
			 errdetail("This is for %s.", who), errhint("Ask them to do it.")));
}

/* client is the owner's; an admin manages its own client only. */
static void
require_admin(const IntegVaultTarget *target, const char *action)
{
	const IntegActor *actor = target->actor;

	if (actor->level == INTEG_LEVEL_SUPERADMIN)
		return;
	if (strcmp(target->owner.client_id, INTEG_GLOBAL_CLIENT) == 0)
		refuse(target, action, "a superadmin");
	if (actor->level < INTEG_LEVEL_ADMIN || strcmp(actor->client, target->owner.client_id) != 0)
		refuse(target, action, "an administrator of the client");
}

static void
resolve_definition(const char *id, const char *action, IntegVaultTarget *target)
{
	const IntegDefinition *definition = integ_definition_get(id, NULL);
	const IntegActor *actor = target->actor;
	const char *client;

	if (definition == NULL || !integ_definition_visible(definition, actor))
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no definition \"%s\"", id),
						errhint("integ.definitions lists them.")));
	/* A client may have its own for a definition that is everybody's: its application at the service. */
	client = actor->level == INTEG_LEVEL_SUPERADMIN ? definition->client_id : actor->client;
	target->owner = (IntegCredentialOwner){"definition", pstrdup(id), pstrdup(client)};
	require_admin(target, action);
}

static void
resolve_instance(const char *name, const char *action, IntegVaultTarget *target)
{
	const IntegInstance *instance = integ_instance_require_managed(target->actor, name, psprintf("%s of", action));

	if (instance->borrows != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("\"%s\" uses the credentials of another instance", instance->instance_id),
						errdetail("It borrows a global connection and has none of its own."),
						errhint("Connect an instance that does not borrow, or ask a superadmin.")));
	target->instance = instance;
	target->owner = (IntegCredentialOwner){"instance", integ_uuid_text(&instance->id), instance->client_id};
	if (strcmp(instance->context_type, "user") == 0)
		target->user_id = instance->context_id;
}

/* The client of the row that the statement finds by its key; NULL where there is none. */
static char *
find_client(IntegQuery *select, const char *id)
{
	Datum value = DirectFunctionCall1(uuid_in, CStringGetDatum(id));
	MemoryContext caller = CurrentMemoryContext;
	IntegOwnerScope scope;
	char *client = NULL;

	integ_owner_enter(&scope);
	if (integ_query(select, &value, NULL) > 0)
		client = integ_result_text(0, 1, caller);
	integ_owner_leave(&scope);
	return client;
}

/* A row's client, whoever sets its secret; that of a row which is yet to be written is the caller's. */
static void
resolve_by_uuid(IntegQuery *select, const char *kind, const char *owner, const char *text, const char *action,
				IntegVaultTarget *target)
{
	char *id = canonical_uuid(owner, text);
	char *client = find_client(select, id);

	target->owner = (IntegCredentialOwner){kind, id, client != NULL ? client : pstrdup(target->actor->client)};
	require_admin(target, action);
}

void
integ_vault_target(const char *owner, const char *action, IntegVaultTarget *target)
{
	static const char definition[] = "definition:", webhook[] = "webhook:", endpoint[] = "endpoint:";
	static IntegQuery of_webhook = {"SELECT client_id FROM integ.webhooks WHERE id = $1", 1, {UUIDOID}};
	static IntegQuery of_endpoint = {"SELECT client_id FROM integ.endpoints WHERE id = $1", 1, {UUIDOID}};

	memset(target, 0, sizeof(*target));
	target->actor = integ_actor_require(INTEG_LEVEL_USER, action);
	target->label = owner;
	if (strncmp(owner, definition, sizeof(definition) - 1) == 0)
		resolve_definition(owner + sizeof(definition) - 1, action, target);
	else if (strncmp(owner, webhook, sizeof(webhook) - 1) == 0)
		resolve_by_uuid(&of_webhook, "webhook", owner, owner + sizeof(webhook) - 1, action, target);
	else if (strncmp(owner, endpoint, sizeof(endpoint) - 1) == 0)
		resolve_by_uuid(&of_endpoint, "endpoint", owner, owner + sizeof(endpoint) - 1, action, target);
	else
		resolve_instance(owner, action, target);
}

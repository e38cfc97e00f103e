/*
 * Who may connect what for whom.
 *
 * Global instances are a superadmin's, a client's its administrators', and a
 * user's its own where the client's policy allows it.
 */
#include "instances/connect.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "miscadmin.h"
#include "utils/builtins.h"

static void
refuse(const IntegConnect *connect, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
					errmsg("role \"%s\" may not connect \"%s\" there", GetUserNameFromId(connect->actor->role, false),
						   connect->definition_id),
					errdetail("%s", detail), errhint("%s", hint)));
}

static bool
is_global(const IntegActor *actor)
{
	return strcmp(actor->client, INTEG_GLOBAL_CLIENT) == 0;
}

/* What the options point at, else the widest context that the actor manages. */
static const char *
default_context(const IntegConnect *connect)
{
	const IntegActor *actor = connect->actor;

	if (connect->user != NULL)
		return "user";
	if (connect->client != NULL)
		return "client";
	if (is_global(actor))
		return "global";
	return actor->level >= INTEG_LEVEL_ADMIN ? "client" : "user";
}

static const char *
client_of(const IntegConnect *connect)
{
	const IntegActor *actor = connect->actor;

	if (connect->client == NULL && is_global(actor))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the context \"%s\" needs a client", connect->context_type),
						errdetail("The caller acts globally."), errhint("Give the option \"client\".")));
	if (connect->client != NULL && actor->level != INTEG_LEVEL_SUPERADMIN &&
		strcmp(connect->client, actor->client) != 0)
		refuse(connect, "The option \"client\" names another client.", "Leave it out, or ask a superadmin.");
	return connect->client == NULL ? actor->client : connect->client;
}

/* The client is there and active; its policy on users' own instances. */
static bool
read_client(const char *client)
{
	static IntegQuery query = {"SELECT allows_user_instances FROM integ.clients WHERE id = $1 AND is_active", 1, {TEXTOID}};
	Datum key = CStringGetTextDatum(client);
	IntegOwnerScope scope;
	bool found, allows;

	integ_owner_enter(&scope);
	found = integ_query(&query, &key, NULL) > 0;
	allows = found && integ_result_bool(0, 1);
	integ_owner_leave(&scope);
	if (!found)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no active client \"%s\"", client),
						errhint("Clients are the rows of integ.clients.")));
	return allows;
}

static void
authorize_user(IntegConnect *connect, bool allowed)
{
	const IntegActor *actor = connect->actor;

	connect->context_id = connect->user == NULL ? actor->user : connect->user;
	if (connect->context_id == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the context \"user\" needs a user"),
						errdetail("The role \"%s\" stands for no user of its client.",
								  GetUserNameFromId(actor->role, false)),
						errhint("Set user_id in integ.members, or call integ_act_as(client, user) first.")));
	if (actor->level == INTEG_LEVEL_SUPERADMIN)
		return;
	if (actor->user == NULL || strcmp(connect->context_id, actor->user) != 0)
		refuse(connect, "A user's own instances are made by that user.", "Leave the option \"user\" out.");
	if (!allowed)
		refuse(connect, "The client does not let its users have instances of their own.",
			   "Ask an administrator to connect it for the client.");
}

static void
check_options_fit(const IntegConnect *connect)
{
	bool global = strcmp(connect->context_type, "global") == 0;

	if (connect->user != NULL && strcmp(connect->context_type, "user") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the option \"user\" needs the context \"user\"")));
	if (connect->client != NULL && global)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the option \"client\" does not go with the context \"global\"")));
	if (connect->grants != NULL && !global)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the option \"grants\" needs the context \"global\""),
						errdetail("Only global instances are granted to clients.")));
	if (connect->borrow != NULL && global)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a global instance borrows no connection")));
}

void
integ_connect_authorize(IntegConnect *connect)
{
	const IntegActor *actor = connect->actor;
	bool allowed;

	connect->context_type = connect->context == NULL ? default_context(connect) : connect->context;
	check_options_fit(connect);
	if (strcmp(connect->context_type, "global") == 0)
	{
		if (actor->level != INTEG_LEVEL_SUPERADMIN)
			refuse(connect, "Global instances are made by superadmins.", "Leave the option \"context\" out.");
		connect->client_id = INTEG_GLOBAL_CLIENT;
		return;
	}
	if (strcmp(connect->context_type, "client") != 0 && strcmp(connect->context_type, "user") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("there is no context \"%s\"", connect->context_type),
						errdetail("The option \"context\" is global, client or user.")));

	connect->client_id = client_of(connect);
	allowed = read_client(connect->client_id);
	if (strcmp(connect->context_type, "user") == 0)
	{
		authorize_user(connect, allowed);
		return;
	}
	connect->context_id = connect->client_id;
	if (actor->level < INTEG_LEVEL_ADMIN)
		refuse(connect, "A client's instances are made by its administrators.",
			   "Give the option {\"context\": \"user\"} to make one of your own.");
}

/* Whether the plan of the client includes what the definition requires. */
static bool
plan_allows(const IntegConnect *connect)
{
	static IntegQuery query = {
		"SELECT coalesce((SELECT p.rank FROM integ.clients c JOIN integ.plans p ON p.id = c.plan WHERE c.id = $1) >= "
		"(SELECT p.rank FROM integ.plans p WHERE p.id = $2), false)",
		2,
		{TEXTOID, TEXTOID}};
	Datum values[2];
	IntegOwnerScope scope;
	bool allows;

	if (connect->definition->required_plan == NULL || strcmp(connect->client_id, INTEG_GLOBAL_CLIENT) == 0)
		return true;
	values[0] = CStringGetTextDatum(connect->client_id);
	values[1] = CStringGetTextDatum(connect->definition->required_plan);
	integ_owner_enter(&scope);
	(void) integ_query(&query, values, NULL);
	allows = integ_result_bool(0, 1);
	integ_owner_leave(&scope);
	return allows;
}

void
integ_connect_check_definition(const IntegConnect *connect)
{
	const IntegDefinition *definition = connect->definition;
	bool global = strcmp(connect->context_type, "global") == 0;
	bool owned = strcmp(definition->client_id, INTEG_GLOBAL_CLIENT) != 0;

	if (owned && strcmp(definition->client_id, connect->client_id) != 0)
		refuse(connect, psprintf("The definition belongs to the client \"%s\".", definition->client_id),
			   "Connect it for that client.");
	if (strcmp(connect->context_type, "user") == 0 && strcmp(definition->visibility, "public") != 0 &&
		connect->actor->level != INTEG_LEVEL_SUPERADMIN)
		refuse(connect, "Users connect public definitions only.", "Ask an administrator.");
	if (strcmp(definition->connection_scope, "system") == 0 && !global)
		refuse(connect, "The definition is connected globally only (connectionScope \"system\").",
			   "Use the global instance, if the client was granted one.");
	if (strcmp(definition->connection_scope, "tenant") == 0 && global)
		refuse(connect, "Each client connects the definition itself (connectionScope \"tenant\").",
			   "Give the options \"context\" and \"client\".");
	if (!plan_allows(connect))
		refuse(connect,
			   psprintf("The definition needs the plan \"%s\", which the plan of \"%s\" does not include.",
						definition->required_plan, connect->client_id),
			   "Change the client's plan in integ.clients.");
	integ_definition_require_usable(definition);
}

static bool
is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

void
integ_connect_check_handle(const IntegConnect *connect)
{
	static IntegQuery taken = {"SELECT FROM integ.definitions WHERE id = $1 AND client_id IN ('*', $2)", 2, {TEXTOID, TEXTOID}};
	Datum values[2] = {CStringGetTextDatum(connect->instance_id), CStringGetTextDatum(connect->client_id)};
	size_t len = strlen(connect->instance_id);
	bool valid = len > 0 && len <= 255 && is_alphanumeric(connect->instance_id[0]);
	IntegOwnerScope scope;
	bool found;

	for (size_t i = 0; i < len && valid; i++)
		valid = is_alphanumeric(connect->instance_id[i]) || strchr("_.-", connect->instance_id[i]) != NULL;
	if (!valid)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("\"%s\" cannot be an instance_id", connect->instance_id),
						errdetail("A handle has letters, digits, \"_\", \".\" and \"-\", starts with a letter or digit, and has at most 255 characters."),
						errhint("Put a name for people into the option \"name\".")));
	if (connect->exists)
		return;
	integ_owner_enter(&scope);
	found = integ_query(&taken, values, NULL) > 0;
	integ_owner_leave(&scope);
	if (found)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("\"%s\" is the id of a definition", connect->instance_id),
						errdetail("Functions take it to mean the caller's instance of that definition."),
						errhint("Choose another instance_id, such as \"%s_main\".", connect->instance_id)));
}

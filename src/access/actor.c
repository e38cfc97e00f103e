/*
 * Who calls: the client, user and level that a database role stands for.
 */
#include "access/actor.h"

#include "catalog/pg_type.h"
#include "core/cache.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(integ_act_as);
PG_FUNCTION_INFO_V1(integ_current_client);
PG_FUNCTION_INFO_V1(integ_current_user_id);
PG_FUNCTION_INFO_V1(integ_current_level);

/*
 * What integ_act_as said, as "client US user" (US: the unit separator). A
 * setting of PGC_INTERNAL can be changed by no SQL command, and SET LOCAL's
 * machinery ends it with the transaction or savepoint that made it.
 */
#define ACTING_SEPARATOR '\x1f'
static char *acting;

typedef struct ActorEntry
{
	Oid role; /* hash key */
	IntegActor actor;
	bool may_impersonate;
} ActorEntry;

static HTAB *actors;
static MemoryContext actors_context;
static uint64 actors_generation;

/* Grows with every change of a role or of who is in which. */
static uint64 roles_generation;

/* Whom integ_act_as named last, in the transaction's memory; NULL: nobody in this transaction. */
static const IntegActor *acted;
static const char *acted_source; /* the setting that it was made from */

void
integ_actor_define_guc(void)
{
	DefineCustomStringVariable("integ.acting", "Client and user named by integ_act_as in this transaction.",
							   NULL, &acting, "", PGC_INTERNAL,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, NULL, NULL, NULL);
}

const char *
integ_level_name(IntegLevel level)
{
	switch (level)
	{
		case INTEG_LEVEL_USER:
			return "user";
		case INTEG_LEVEL_ADMIN:
			return "admin";
		case INTEG_LEVEL_SUPERADMIN:
			return "superadmin";
		case INTEG_LEVEL_NONE:
			break;
	}
	return NULL;
}

static IntegLevel
level_from_name(const char *name)
{
	for (int level = INTEG_LEVEL_USER; level <= INTEG_LEVEL_SUPERADMIN; level++)
		if (strcmp(name, integ_level_name(level)) == 0)
			return level;
	elog(ERROR, "integ.members has the unknown level \"%s\"", name);
}

static void
forget_roles(Datum arg, int cache, uint32 hash)
{
	roles_generation++;
}

/* An entry holds what members, clients, roles and their memberships say. */
static uint64
current_generation(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(AUTHOID, forget_roles, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_roles, (Datum) 0);
		registered = true;
	}
	return integ_cache_generation(INTEG_CACHE_MEMBERS) + integ_cache_generation(INTEG_CACHE_CLIENTS) +
		   roles_generation;
}

static void
prepare_cache(void)
{
	uint64 generation = current_generation();
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(ActorEntry)};

	if (actors != NULL && actors_generation == generation)
		return;
	/* Whoever holds an actor may do so until the end of the transaction. */
	if (actors_context != NULL)
		MemoryContextSetParent(actors_context, TopTransactionContext);
	actors = NULL;
	actors_context = AllocSetContextCreate(TopMemoryContext, "integ actors", ALLOCSET_SMALL_SIZES);
	control.hcxt = actors_context;
	actors = hash_create("integ actors", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	actors_generation = generation;
}

/* Reads the role's row of integ.members into actor. Only a superadmin stands for a client that is switched off. */
static void
read_member(IntegActor *actor)
{
	static IntegQuery member = {
		"SELECT m.client_id, m.user_id, m.level, c.is_active IS NOT DISTINCT FROM false "
		"FROM integ.members m LEFT JOIN integ.clients c ON c.id = m.client_id "
		"WHERE m.role = $1::pg_catalog.regrole",
		1,
		{OIDOID}};
	IntegOwnerScope scope;
	Datum role = ObjectIdGetDatum(actor->role);

	integ_owner_enter(&scope);
	if (integ_query_latest(&member, &role, NULL) > 0)
	{
		actor->client = integ_result_text(0, 1, actors_context);
		actor->user = integ_result_text(0, 2, actors_context);
		actor->level = level_from_name(integ_result_text(0, 3, CurrentMemoryContext));
		if (actor->level != INTEG_LEVEL_SUPERADMIN && integ_result_bool(0, 4))
		{
			actor->suspended = actor->client;
			actor->client = actor->user = NULL;
			actor->level = INTEG_LEVEL_NONE;
		}
	}
	integ_owner_leave(&scope);
}

static ActorEntry *
lookup(Oid role)
{
	IntegActor actor = {.role = role};
	ActorEntry *entry;

	prepare_cache();
	entry = hash_search(actors, &role, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;

	read_member(&actor);
	if (actor.level == INTEG_LEVEL_NONE && actor.suspended == NULL &&
		(superuser_arg(role) || has_privs_of_role(role, get_role_oid("integ_superadmin", false))))
	{
		actor.client = INTEG_GLOBAL_CLIENT;
		actor.level = INTEG_LEVEL_SUPERADMIN;
	}
	entry = hash_search(actors, &role, HASH_ENTER, NULL);
	entry->actor = actor;
	entry->may_impersonate = superuser_arg(role) ||
							 has_privs_of_role(role, get_role_oid("integ_impersonate", false));
	return entry;
}

static void
forget_acted(void *arg)
{
	acted = NULL;
}

static void
keep_acted(const IntegActor *actor)
{
	MemoryContextCallback *forget = MemoryContextAllocZero(TopTransactionContext, sizeof(MemoryContextCallback));

	forget->func = forget_acted;
	MemoryContextRegisterResetCallback(TopTransactionContext, forget);
	acted = actor;
	acted_source = MemoryContextStrdup(TopTransactionContext, acting);
}

/* The actor of integ_act_as, in the transaction's memory; the same for every call until another is named. */
static const IntegActor *
acting_actor(Oid role)
{
	IntegActor *actor;
	char *copy, *separator;

	if (acted != NULL && acted->role == role && strcmp(acted_source, acting) == 0)
		return acted;
	actor = MemoryContextAllocZero(TopTransactionContext, sizeof(IntegActor));
	copy = MemoryContextStrdup(TopTransactionContext, acting);
	separator = strchr(copy, ACTING_SEPARATOR);
	Assert(separator != NULL);
	*separator = '\0';
	actor->role = role;
	actor->client = copy;
	actor->user = separator[1] == '\0' ? NULL : separator + 1;
	actor->level = INTEG_LEVEL_USER;
	keep_acted(actor);
	return actor;
}

const IntegActor *
integ_actor_current(void)
{
	ActorEntry *entry = lookup(GetUserId());

	/*
	 * The setting outlives a SET ROLE within the transaction: it counts only
	 * while the role that calls may impersonate.
	 */
	if (acting[0] != '\0' && entry->may_impersonate)
		return acting_actor(entry->role);
	return &entry->actor;
}

static bool
is_active_client(const char *client)
{
	static IntegQuery active = {"SELECT FROM integ.clients WHERE id = $1 AND is_active", 1, {TEXTOID}};
	Datum key = CStringGetTextDatum(client);
	IntegOwnerScope scope;
	bool found;

	integ_owner_enter(&scope);
	found = integ_query(&active, &key, NULL) > 0;
	integ_owner_leave(&scope);
	return found;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

const IntegActor *
integ_actor_rebuild(Oid role, const char *client, const char *user)
{
	IntegActor *actor = palloc0(sizeof(IntegActor));
	const ActorEntry *entry;

	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("the role that enqueued the call no longer exists"),
						errdetail("A call runs with the rights of its owner.")));
	entry = lookup(role);
	actor->role = role;
	actor->client = pstrdup(client);
	actor->user = user != NULL ? pstrdup(user) : NULL;
	actor->level = INTEG_LEVEL_USER;
	if (entry->actor.level != INTEG_LEVEL_NONE && same_text(entry->actor.client, client) &&
		same_text(entry->actor.user, user))
		actor->level = entry->actor.level;
	else if (!entry->may_impersonate || !is_active_client(client))
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("role \"%s\" may no longer call methods for client \"%s\"",
							   GetUserNameFromId(role, false), client),
						errdetail("A call runs with the rights of its owner, which have changed since it was enqueued."),
						errhint("Restore its row in integ.members, or its grant of integ_impersonate, and retry the call.")));
	return actor;
}

static void
act_as(const char *client, const char *user)
{
	(void) set_config_option("integ.acting", psprintf("%s%c%s", client, ACTING_SEPARATOR, user != NULL ? user : ""),
							 PGC_INTERNAL, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

void
integ_actor_assume(const char *client, const char *user)
{
	const IntegActor *own = &lookup(GetUserId())->actor;

	(void) integ_actor_rebuild(GetUserId(), client, user);
	if (own->level == INTEG_LEVEL_NONE || !same_text(own->client, client) || !same_text(own->user, user))
		act_as(client, user);
}

const IntegActor *
integ_actor_require(IntegLevel level, const char *action)
{
	const IntegActor *actor = integ_actor_current();

	if (actor->suspended != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTEG_FORBIDDEN),
				 errmsg("role \"%s\" may not %s", GetUserNameFromId(actor->role, false), action),
				 errdetail("Its client \"%s\" is switched off.", actor->suspended),
				 errhint("A superadmin switches it on: UPDATE integ.clients SET is_active = true WHERE id = '%s'.",
						 actor->suspended)));
	if (actor->level == INTEG_LEVEL_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INTEG_FORBIDDEN),
				 errmsg("role \"%s\" may not %s", GetUserNameFromId(actor->role, false), action),
				 errdetail("The role belongs to no client of integ."),
				 errhint("Add a row to integ.members, or call integ_act_as first if the role is granted integ_impersonate.")));
	if (actor->level < level)
		ereport(ERROR,
				(errcode(ERRCODE_INTEG_FORBIDDEN),
				 errmsg("role \"%s\" may not %s", GetUserNameFromId(actor->role, false), action),
				 errdetail("This needs the level \"%s\"; the role has \"%s\".",
						   integ_level_name(level), integ_level_name(actor->level)),
				 errhint("Ask an administrator to do it, or to raise the level in integ.members.")));
	return actor;
}

Datum
integ_act_as(PG_FUNCTION_ARGS)
{
	static IntegQuery known = {"SELECT is_active FROM integ.clients WHERE id = $1", 1, {TEXTOID}};
	Oid role = GetUserId();
	Datum key = PG_GETARG_DATUM(0);
	IntegOwnerScope scope;
	char *client, *user;
	bool found;

	if (!lookup(role)->may_impersonate)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("role \"%s\" may not act for others", GetUserNameFromId(role, false)),
						errhint("GRANT integ_impersonate to the role of the connection pool.")));
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_act_as needs a client"),
						errhint("Acting ends by itself with the transaction.")));
	client = text_to_cstring(PG_GETARG_TEXT_PP(0));
	user = PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (strchr(client, ACTING_SEPARATOR) || strchr(user, ACTING_SEPARATOR))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("a client or user id must not contain control characters")));

	integ_owner_enter(&scope);
	found = integ_query(&known, &key, NULL) > 0 && integ_result_bool(0, 1);
	integ_owner_leave(&scope);
	if (!found)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("there is no active client \"%s\"", client),
						errhint("Clients are the rows of integ.clients.")));

	act_as(client, user);
	PG_RETURN_VOID();
}

bool
integ_actor_manages(const IntegActor *actor, const char *client, const char *user)
{
	if (actor->level == INTEG_LEVEL_SUPERADMIN)
		return true;
	return actor->client != NULL && client != NULL && strcmp(actor->client, client) == 0 &&
		   (actor->level == INTEG_LEVEL_ADMIN || same_text(actor->user, user));
}

static Datum
text_or_null(FunctionCallInfo fcinfo, const char *value)
{
	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(value));
}

Datum
integ_current_client(PG_FUNCTION_ARGS)
{
	return text_or_null(fcinfo, integ_actor_current()->client);
}

Datum
integ_current_user_id(PG_FUNCTION_ARGS)
{
	return text_or_null(fcinfo, integ_actor_current()->user);
}

Datum
integ_current_level(PG_FUNCTION_ARGS)
{
	return text_or_null(fcinfo, integ_level_name(integ_actor_current()->level));
}

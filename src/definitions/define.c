/*
 * integ_define and integ_define_yaml: a manifest becomes a definition, or a new version of one.
 */
#include "definitions/check.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "definitions/store.h"
#include "definitions/version.h"
#include "definitions/yaml.h"
#include "fmgr.h"
#include "instances/follow.h"
#include "instances/history.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_define);
PG_FUNCTION_INFO_V1(integ_define_yaml);
PG_FUNCTION_INFO_V1(integ_definition_mirror);

/* Of a YAML manifest as JSON, its aliases copied out. */
#define YAML_MAX_BYTES (16 * 1024 * 1024)

/* The client that the definition will belong to. */
static const char *
target_client(const IntegActor *actor, const char *wanted)
{
	if (wanted == NULL)
		return actor->level == INTEG_LEVEL_SUPERADMIN ? INTEG_GLOBAL_CLIENT : actor->client;
	if (actor->level != INTEG_LEVEL_SUPERADMIN && strcmp(wanted, actor->client) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("role \"%s\" may not define integrations for \"%s\"",
							   GetUserNameFromId(actor->role, false), wanted),
						errdetail("An administrator defines for the own client, \"%s\".", actor->client),
						errhint("Leave the option \"client\" out, or ask a superadmin.")));
	return wanted;
}

static void
check_client_exists(const char *client)
{
	static IntegQuery known = {"SELECT FROM integ.clients WHERE id = $1", 1, {TEXTOID}};
	Datum key = CStringGetTextDatum(client);

	if (strcmp(client, INTEG_GLOBAL_CLIENT) != 0 && integ_query(&known, &key, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no client \"%s\"", client),
						errhint("Clients are the rows of integ.clients.")));
}

static void
check_taken(const IntegStoredDefinition *stored, const char *id, const char *client)
{
	if (!stored->exists || (!stored->builtin && strcmp(stored->client_id, client) == 0))
		return;
	ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
					errmsg("the integrationId \"%s\" is taken", id),
					stored->builtin ? errdetail("It is a definition that integ brings.")
									: errdetail("It is a definition of another client, or one for all clients."),
					errhint("Choose another integrationId.")));
}

static void
check_version_free(const IntegStoredDefinition *stored, const char *id, const char *version, bool replace)
{
	if (!stored->version_exists || stored->version_same || !stored->version_used || replace)
		return;
	ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
					errmsg("version %s of \"%s\" is in use and differs from this manifest", version, id),
					errdetail("Instances follow it, and would change under those who use them."),
					errhint("Raise \"version\" in the manifest, or give the option {\"replace\": true}.")));
}

/* Whether the version becomes the current one: it is not below it. */
static bool
is_current(const IntegStoredDefinition *stored, const char *version)
{
	IntegVersion now, then;

	if (!stored->exists)
		return true;
	if (!integ_version_parse(version, &now) || !integ_version_parse(stored->version, &then))
		elog(ERROR, "definition with the malformed version \"%s\" or \"%s\"", version, stored->version);
	return integ_version_compare(&now, &then) >= 0;
}

static void
check_visibility(const IntegActor *actor, const Jsonb *manifest)
{
	char *visibility = integ_json_get_string(&manifest->root, "visibility");

	if (actor->level != INTEG_LEVEL_SUPERADMIN && visibility != NULL && strcmp(visibility, "superadmin_only") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("role \"%s\" may not define an integration for superadmins only",
							   GetUserNameFromId(actor->role, false)),
						errdetail("/visibility is \"superadmin_only\"."),
						errhint("Use \"private\": then only administrators of the client see it.")));
}

/* Defines for the actor and returns the id; function is the name in messages about options. */
static text *
define(const IntegActor *actor, const Jsonb *manifest, const Jsonb *given, const char *function)
{
	char *client;
	bool replace = false;
	const IntegOption options[] = {{"client", INTEG_OPTION_TEXT, &client}, {"replace", INTEG_OPTION_BOOL, &replace}};
	IntegStoredDefinition stored;
	const char *owner;
	char *id, *version;
	char *role = GetUserNameFromId(actor->role, false);
	IntegOwnerScope scope;

	integ_options_parse(given, options, lengthof(options), function);
	owner = target_client(actor, client);
	integ_manifest_check(manifest);
	check_visibility(actor, manifest);
	integ_manifest_check_functions(manifest, actor->role);
	id = integ_json_get_string(&manifest->root, "integrationId");
	version = integ_json_get_string(&manifest->root, "version");

	integ_owner_enter(&scope);
	check_client_exists(owner);
	integ_definition_lookup(manifest, id, version, &stored);
	check_taken(&stored, id, owner);
	check_version_free(&stored, id, version, replace);
	if (!stored.version_same)
		integ_definition_store(manifest, id, version, owner, false, role, actor->role,
							   is_current(&stored, version));
	integ_owner_leave(&scope);
	if (!stored.version_same)
	{
		integ_definition_history(actor, "definition.define", "definition.defined", id, version, owner);
		integ_instances_follow(actor, id);
	}
	return cstring_to_text(id);
}

Datum
integ_define(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "define integrations");

	PG_RETURN_TEXT_P(define(actor, PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1), "integ_define"));
}

/* The document as jsonb; raises IG400 where it is no YAML. */
static Jsonb *
parse_yaml(text *document)
{
	char problem[256];
	char *json = integ_yaml_to_json(VARDATA_ANY(document), VARSIZE_ANY_EXHDR(document), YAML_MAX_BYTES, problem,
									sizeof(problem));
	char *copy;

	if (json == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the manifest is not YAML that integ can read"),
						errdetail("%s", problem)));
	copy = MemoryContextAllocExtended(CurrentMemoryContext, strlen(json) + 1, MCXT_ALLOC_NO_OOM);
	if (copy != NULL)
		strcpy(copy, json);
	free(json);
	if (copy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return integ_json_parse(copy);
}

Datum
integ_define_yaml(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "define integrations");

	PG_RETURN_TEXT_P(define(actor, parse_yaml(PG_GETARG_TEXT_PP(0)), PG_GETARG_JSONB_P(1), "integ_define_yaml"));
}

/*
 * integ.mirror_definition: a definition that integ brings, at CREATE and ALTER
 * EXTENSION. What users made under its id stays: an upgrade never fails on it.
 */
Datum
integ_definition_mirror(PG_FUNCTION_ARGS)
{
	Jsonb *manifest = PG_GETARG_JSONB_P(0);
	IntegStoredDefinition stored;
	char *id, *version;
	IntegOwnerScope scope;

	integ_manifest_check(manifest);
	integ_manifest_check_functions(manifest, InvalidOid);
	id = integ_json_get_string(&manifest->root, "integrationId");
	version = integ_json_get_string(&manifest->root, "version");

	integ_owner_enter(&scope);
	integ_definition_lookup(manifest, id, version, &stored);
	if (stored.exists && !stored.builtin)
		ereport(WARNING, (errmsg("the definition \"%s\" of integ was left out", id),
						  errdetail("A definition of that id exists already, and stays."),
						  errhint("To use the one of integ, define yours under another integrationId, and undefine this one.")));
	else if (!stored.version_same)
		integ_definition_store(manifest, id, version, INTEG_GLOBAL_CLIENT, true, "integ_owner",
							   InvalidOid, is_current(&stored, version));
	integ_owner_leave(&scope);
	if (stored.exists && stored.builtin && !stored.version_same)
		integ_instances_follow(integ_actor_current(), id);
	PG_RETURN_VOID();
}

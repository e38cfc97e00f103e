/*
 * Compiled definitions, cached per backend.
 *
 * A definition is loaded in the newest snapshot, so that what is cached beyond
 * a transaction is not older than the invalidation that comes with a change.
 */
#include "definitions/compile.h"

#include "catalog/pg_type.h"
#include "core/cache.h"
#include "core/owner.h"
#include "core/query.h"
#include "definitions/version.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

static IntegPinnedTable cache = {.name = "integ definitions"};

/* Reads manifest and row into the context; NULL where there is no such definition or version. */
static IntegDefinition *
read_definition(const char *id, const char *version, MemoryContext context)
{
	static IntegQuery current = {
		"SELECT d.manifest, d.client_id, d.status, d.visibility, d.required_plan, d.connection_scope, d.builtin, d.customized, "
		"(SELECT v.owner FROM integ.definition_versions v WHERE v.id = d.id AND v.version = d.version) "
		"FROM integ.definitions d WHERE d.id = $1",
		1,
		{TEXTOID}};
	static IntegQuery past = {
		"SELECT v.manifest, d.client_id, d.status, d.visibility, d.required_plan, d.connection_scope, d.builtin, d.customized, v.owner "
		"FROM integ.definition_versions v JOIN integ.definitions d ON d.id = v.id "
		"WHERE v.id = $1 AND v.version = $2",
		2,
		{TEXTOID, TEXTOID}};
	Datum values[2] = {CStringGetTextDatum(id), version == NULL ? (Datum) 0 : CStringGetTextDatum(version)};
	IntegDefinition *definition = NULL;
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	if (integ_query_latest(version == NULL ? &current : &past, values, NULL) > 0)
	{
		Jsonb *manifest = (Jsonb *) integ_result_varlena(0, 1, context);
		char *columns[5];
		bool builtin = integ_result_bool(0, 7);
		bool customized = integ_result_bool(0, 8), isnull;
		Datum owner = integ_result_datum(0, 9, &isnull);
		MemoryContext old;

		for (int i = 0; i < 5; i++)
			columns[i] = integ_result_text(0, i + 2, context);
		old = MemoryContextSwitchTo(context);
		definition = integ_definition_compile(manifest, psprintf("%s ", id));
		MemoryContextSwitchTo(old);
		definition->client_id = columns[0];
		definition->status = columns[1];
		definition->visibility = columns[2];
		definition->required_plan = columns[3];
		definition->connection_scope = columns[4];
		definition->builtin = builtin;
		definition->customized = customized;
		definition->owner = isnull ? InvalidOid : DatumGetObjectId(owner);
	}
	integ_owner_leave(&scope);
	return definition;
}

static IntegDefinition *
load(const char *id, const char *version)
{
	/* Below the caller's context until it is whole: an error frees it. */
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "integ definition", ALLOCSET_DEFAULT_SIZES);
	IntegDefinition *definition = read_definition(id, version, context);

	if (definition == NULL)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	definition->pinned.context = context;
	MemoryContextCopyAndSetIdentifier(context, definition->id);
	return definition;
}

const IntegDefinition *
integ_definition_get(const char *id, const char *version)
{
	char *key = psprintf("%s@%s", id, version == NULL ? "" : version);
	IntegDefinition *definition =
		integ_pinned_find(&cache, integ_cache_generation(INTEG_CACHE_DEFINITIONS), key);

	if (definition == NULL && (definition = load(id, version)) != NULL)
		integ_pinned_keep(&cache, integ_cache_generation(INTEG_CACHE_DEFINITIONS), key, &definition->pinned);
	pfree(key);
	return definition;
}

const IntegMethod *
integ_definition_method(const IntegDefinition *definition, const char *id)
{
	return integ_method_find(definition->methods, definition->nmethods, id, definition->pinned.context, definition->id);
}

const IntegAuth *
integ_definition_auth(const IntegDefinition *definition, const char *auth_method)
{
	if (auth_method == NULL)
		return &definition->auths[0];
	for (int i = 0; i < definition->nauths; i++)
		if (definition->auths[i].id != NULL && strcmp(definition->auths[i].id, auth_method) == 0)
			return &definition->auths[i];
	return NULL;
}

/* The highest version of the major among the results of the current statement, NULL where none is. */
static char *
highest_of_major(uint64 nrows, uint64 major, MemoryContext context)
{
	IntegVersion highest = {0}, version;
	char *result = NULL;

	for (uint64 row = 0; row < nrows; row++)
	{
		char *text = integ_result_text(row, 1, context);

		if (!integ_version_parse(text, &version) || version.major != major ||
			(result != NULL && integ_version_compare(&version, &highest) <= 0))
			continue;
		result = text;
		highest = version;
	}
	return result;
}

char *
integ_definition_follow(const char *id, const char *series)
{
	static IntegQuery versions = {
		"SELECT v.version, v.version = d.version "
		"FROM integ.definition_versions v JOIN integ.definitions d ON d.id = v.id "
		"WHERE v.id = $1 AND (v.version = $2 OR pg_catalog.split_part(v.version, '.', 1) = $2) "
		"ORDER BY v.version = d.version DESC",
		2,
		{TEXTOID, TEXTOID}};
	Datum values[2] = {CStringGetTextDatum(id), CStringGetTextDatum(series)};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	char *result = NULL;
	uint64 nrows;

	integ_owner_enter(&scope);
	nrows = integ_query_latest(&versions, values, NULL);
	/* The current one comes first; it is the highest of all. */
	if (nrows > 0 && !integ_result_bool(0, 2))
		result = highest_of_major(nrows, strtoull(series, NULL, 10), context);
	integ_owner_leave(&scope);
	return result;
}

/*
 * Checking a manifest: against its schema, then against itself.
 */
#include "definitions/check.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/text.h"
#include "definitions/manifest_schema.h"
#include "definitions/version.h"
#include "fmgr.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(integ_manifest_schema);

const char *
integ_manifest_schema_text(void)
{
	return integ_manifest_schema_json;
}

Datum
integ_manifest_schema(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(integ_json_parse(integ_manifest_schema_text()));
}

/* Compiled once a backend. */
static const IntegSchema *
manifest_schema(void)
{
	static IntegSchema *compiled = NULL;

	if (compiled == NULL)
	{
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "integ manifest schema",
													  ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(context);
		IntegSchema *schema = integ_schema_compile(integ_json_parse(integ_manifest_schema_text()),
												   "connectors/manifest.schema.json");

		MemoryContextSwitchTo(old);
		MemoryContextSetParent(context, CacheMemoryContext);
		compiled = schema;
	}
	return compiled;
}

void
integ_manifest_problem(IntegManifestCheck *check, const char *where, const char *format, ...)
{
	IntegManifestProblems *problems = &check->problems;
	va_list args;

	if (problems->count == INTEG_SCHEMA_MAX_PROBLEMS)
		return;
	appendStringInfo(&problems->list, "%s%s: ", problems->count > 0 ? "\n" : "", where);
	va_start(args, format);
	integ_text_append_va(&problems->list, format, args);
	va_end(args);
	problems->count++;
}

void
integ_manifest_each(IntegManifestCheck *check, const JsonbContainer *object, const char *key, const char *where,
					IntegManifestVisit visit)
{
	const JsonbContainer *list = integ_json_get_array(object, key);

	for (uint32 i = 0; list != NULL && i < JsonContainerSize(list); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer((JsonbContainer *) list, i);

		visit(check, item->val.binary.data, psprintf("%s/%s/%u", where, key, i));
	}
}

static void
require_schema(IntegManifestCheck *check, const Jsonb *manifest)
{
	IntegSchemaProblems problems = {0};

	if (integ_schema_validate(manifest_schema(), manifest, &problems))
		return;
	for (int i = 0; i < problems.count; i++)
		integ_manifest_problem(check, problems.items[i].path[0] == '\0' ? "/" : problems.items[i].path, "%s",
							   problems.items[i].message);
}

static void
raise_problems(const IntegManifestCheck *check)
{
	char *id = integ_json_get_string(check->root, "integrationId");

	if (check->problems.count == 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
					id == NULL ? errmsg("the manifest is not valid")
							   : errmsg("the manifest of \"%s\" is not valid", id),
					errdetail("%s", check->problems.list.data),
					errhint("docs/manifest.md explains every key; SELECT integ_manifest_schema() is what it is checked against.")));
}

static void
check_version(IntegManifestCheck *check)
{
	IntegVersion version;

	if (!integ_version_parse(check->definition->version, &version))
		integ_manifest_problem(check, "/version", "\"%s\" is not a semantic version", check->definition->version);
}

static void
check_named_templates(IntegManifestCheck *check)
{
	integ_manifest_check_template(check, check->root, "headers", "", INTEG_PLACEHOLDERS_AUTH, NULL);
	integ_manifest_check_template(check, check->root, "query", "", INTEG_PLACEHOLDERS_AUTH, NULL);
	integ_manifest_check_template(check, check->root, "requestTransform", "", INTEG_PLACEHOLDERS_BODY, NULL);
}

static void
check_schemas_compile(IntegManifestCheck *check, const JsonbContainer *item, const char *where)
{
	(void) integ_compile_schema(item, "schema", where);
	(void) integ_compile_schema(item, "payloadSchema", where);
}

static void
check_methods(IntegManifestCheck *check)
{
	for (int i = 0; i < check->definition->nmethods; i++)
	{
		IntegMethod method = check->definition->methods[i];
		char *where = psprintf("/methods/%d", method.index);

		integ_method_compile(&method, where);
		integ_manifest_check_method(check, &method, where);
		integ_manifest_check_pagination(check, &method, where);
	}
}

void
integ_manifest_check(const Jsonb *manifest)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "integ manifest check",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	IntegManifestCheck check = {.root = &manifest->root};

	initStringInfo(&check.problems.list);
	if (!JB_ROOT_IS_OBJECT(manifest))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a manifest must be a JSON object")));
	require_schema(&check, manifest);
	raise_problems(&check);

	check.definition = integ_definition_compile(manifest, "");
	(void) integ_compile_schema(check.root, "sourceSchema", "");
	(void) integ_compile_schema(check.root, "outputSchema", "");
	integ_manifest_each(&check, check.root, "entities", "", check_schemas_compile);
	integ_manifest_each(&check, check.root, "triggers", "", check_schemas_compile);
	check_version(&check);
	integ_manifest_check_references(&check);
	integ_manifest_check_base_url(&check);
	integ_manifest_check_auths(&check);
	check_named_templates(&check);
	check_methods(&check);
	integ_manifest_check_discovery(&check);
	raise_problems(&check);

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

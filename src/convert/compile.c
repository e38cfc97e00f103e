/*
 * From the row of a schema to its plan.
 */
#include "convert/plan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "miscadmin.h"

/* The elements of a document of the row, which must be a list. */
static uint32
begin_list(ConvertCompile *compile, const Jsonb *document, int max, IntegJsonWalk *walk)
{
	if (!JB_ROOT_IS_ARRAY(document) || JB_ROOT_IS_SCALAR(document))
		convert_invalid(compile, NULL, "It must be a list");
	if (JB_ROOT_COUNT(document) > max)
		convert_invalid(compile, NULL, "It has %u elements, more than %d", JB_ROOT_COUNT(document), max);
	integ_json_walk_begin(walk, &document->root);
	return walk->count;
}

static void
compile_filters(ConvertCompile *compile, const Jsonb *document)
{
	ConvertPlan *plan = compile->plan;
	IntegJsonWalk walk;
	JsonbValue filter;
	uint32 count;

	compile->what = "source_filters";
	count = begin_list(compile, document, CONVERT_MAX_CONDITIONS, &walk);
	plan->filters = palloc0(Max(count, 1) * sizeof(ConvertCondition));
	while (integ_json_walk_element(&walk, &filter))
		convert_condition(compile, convert_object(compile, &filter, "a filter"), &plan->filters[plan->nfilters++]);
}

const char *
convert_mapping_name(const ConvertCompile *compile, const char *target)
{
	return psprintf("%smapping \"%s\"", compile->push ? "inverse " : "", target);
}

static void
compile_mappings(ConvertCompile *compile, const Jsonb *document)
{
	ConvertPlan *plan = compile->plan;
	IntegJsonWalk walk;
	JsonbValue element;

	compile->what = compile->push ? "inverse_mappings" : "field_mappings";
	plan->fields = palloc0(Max(begin_list(compile, document, CONVERT_MAX_MAPPINGS, &walk), 1) * sizeof(ConvertField));
	while (integ_json_walk_element(&walk, &element))
	{
		const JsonbContainer *mapping;
		ConvertField *field = &plan->fields[plan->nfields];

		compile->what = psprintf("%smapping %d", compile->push ? "inverse " : "", plan->nfields + 1);
		mapping = convert_object(compile, &element, "a mapping");
		field->target = convert_text(compile, mapping, "targetField", true);
		if (field->target[0] == '\0')
			convert_invalid(compile, NULL, "\"targetField\" is empty");
		compile->what = convert_mapping_name(compile, field->target);
		convert_mapping(compile, mapping, field);
		plan->nfields++;
	}
}

static void
compile_relations(ConvertCompile *compile, const Jsonb *document)
{
	ConvertPlan *plan = compile->plan;
	IntegJsonWalk walk;
	JsonbValue element;

	if (document == NULL)
		return;
	compile->what = "relationship_mappings";
	plan->relations = palloc0(Max(begin_list(compile, document, 100, &walk), 1) * sizeof(ConvertRelation));
	while (integ_json_walk_element(&walk, &element))
	{
		const JsonbContainer *object;

		compile->what = psprintf("relation %d", plan->nrelations + 1);
		object = convert_object(compile, &element, "a relation");
		compile->what = psprintf("relation \"%s\"", convert_text(compile, object, "relationshipType", true));
		convert_relation(compile, object, &plan->relations[plan->nrelations++]);
	}
}

/* Target fields in the order of their values. */
static void
name_fields(ConvertPlan *plan, IntegConversion *conversion)
{
	const char **fields = palloc((plan->nfields + plan->nrelations + 1) * sizeof(char *));
	int count = 0;

	for (int i = 0; i < plan->nfields; i++)
		fields[count++] = plan->fields[i].target;
	for (int i = 0; i < plan->nrelations; i++)
	{
		if (plan->relations[i].target == NULL)
			continue;
		plan->relations[i].field = count;
		fields[count++] = plan->relations[i].target;
	}
	conversion->nfields = count;
	conversion->fields = fields;
}

static bool
is_field(const IntegConversion *conversion, const char *name)
{
	for (int i = 0; i < conversion->nfields; i++)
		if (strcmp(conversion->fields[i], name) == 0)
			return true;
	return false;
}

static void
compile_match_fields(ConvertCompile *compile, const JsonbContainer *object, IntegConversion *conversion)
{
	const JsonbContainer *list = convert_list(compile, object, "matchFields", 20, true);
	const char **names;
	IntegJsonWalk walk;
	JsonbValue name;

	integ_json_walk_begin(&walk, list);
	names = palloc(Max(walk.count, 1) * sizeof(char *));
	while (integ_json_walk_element(&walk, &name))
	{
		if (name.type != jbvString)
			convert_invalid(compile, NULL, "\"matchFields\" must be a list of strings");
		names[conversion->nmatch_fields] = pnstrdup(name.val.string.val, name.val.string.len);
		if (!is_field(conversion, names[conversion->nmatch_fields]))
			convert_invalid(compile, "Match fields are target fields.", "No mapping writes the match field \"%s\"",
							names[conversion->nmatch_fields]);
		conversion->nmatch_fields++;
	}
	if (conversion->nmatch_fields == 0)
		convert_invalid(compile, NULL, "\"matchFields\" is empty");
	conversion->match_fields = names;
}

static void
compile_deduplication(ConvertCompile *compile, const Jsonb *document, IntegConversion *conversion)
{
	JsonbValue root;
	const JsonbContainer *object;
	const char *field;

	compile->what = "deduplication";
	integ_json_root(document, &root);
	object = convert_object(compile, &root, "a value");
	convert_check_keys(compile, object, "deduplication", "strategy externalIdField matchFields");
	conversion->strategy = convert_text(compile, object, "strategy", true);
	field = convert_text(compile, object, "externalIdField", false);
	if (field != NULL)
	{
		convert_path(compile, field, &compile->plan->external_id);
		compile->plan->has_external_id = true;
	}
	if (strcmp(conversion->strategy, "external_id") == 0)
	{
		if (field == NULL)
			convert_invalid(compile, NULL, "\"externalIdField\" is missing");
	}
	else if (strcmp(conversion->strategy, "field_match") == 0 || strcmp(conversion->strategy, "composite") == 0)
		compile_match_fields(compile, object, conversion);
	else
		convert_invalid(compile, "Known strategies: external_id, field_match, composite.",
						"Unknown strategy \"%s\"", conversion->strategy);
}

static void
keep_constants(ConvertCompile *compile)
{
	ConvertPlan *plan = compile->plan;
	ListCell *cell;

	plan->constants = palloc(Max(list_length(compile->constants), 1) * sizeof(ConvertConstant));
	foreach (cell, compile->constants)
		plan->constants[plan->nconstants++] = *(ConvertConstant *) lfirst(cell);
	plan->sqls = compile->sqls;
}

void
convert_compile(IntegConversion *conversion, const ConvertSource *source, IntegDirection direction, bool full)
{
	ConvertCompile compile = {.schema = source->schema_id, .full = full, .push = direction == INTEG_PUSH};

	conversion->plan = compile.plan = palloc0(sizeof(ConvertPlan));
	conversion->direction = direction;
	conversion->target_type = source->target_type;
	conversion->target_table = source->target_table;
	if (direction == INTEG_PULL)
		compile_filters(&compile, source->filters);
	compile_mappings(&compile, source->mappings);
	if (direction == INTEG_PULL)
		compile_relations(&compile, source->relationships);
	name_fields(compile.plan, conversion);
	if (direction == INTEG_PULL)
		compile_deduplication(&compile, source->deduplication, conversion);
	convert_tree(&compile, conversion);
	if (full)
		convert_target(&compile, conversion, source->client_id);
	else if (source->target_table != NULL)
	{
		compile.what = "the target";
		(void) convert_table(&compile, &conversion->target_table);
	}
	keep_constants(&compile);
	conversion->runs_code = compile.runs_code;
}

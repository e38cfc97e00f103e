/*
 * Compiling mappings, transformations, conditions and relations.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "utils/builtins.h"

/* --- transformations --- */

static const ConvertStepType *
find_in(const ConvertStepType *types, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	return NULL;
}

static const ConvertStepType *
find_type(const char *name)
{
	const ConvertStepType *type = find_in(convert_text_steps, convert_text_steps_count, name);

	if (type == NULL)
		type = find_in(convert_number_steps, convert_number_steps_count, name);
	if (type == NULL)
		type = find_in(convert_date_steps, convert_date_steps_count, name);
	if (type == NULL)
		type = find_in(convert_type_steps, convert_type_steps_count, name);
	return type;
}

static void
compile_step(ConvertCompile *compile, const JsonbContainer *object, ConvertStep *step)
{
	const char *name = convert_text(compile, object, "type", true);
	JsonbValue config;

	*step = (ConvertStep){.type = find_type(name)};
	if (step->type == NULL)
		convert_invalid(compile,
						"Known transformations: uppercase, lowercase, trim, truncate, replace, regex_replace, split, concat, "
						"round, multiply, divide, currency_convert, parse_date, format_date, add_days, to_timestamp, "
						"to_iso_string, to_string, to_number, to_boolean, to_array, to_date, custom.",
						"Unknown transformation \"%s\"", name);
	convert_check_keys(compile, object, "a transformation", "type config");
	if (integ_json_get(object, "config", &config) && config.type != jbvNull)
		step->config = convert_object(compile, &config, "a config");
	convert_check_keys(compile, step->config, psprintf("the transformation \"%s\"", name), step->type->keys);
	if (step->type->compile != NULL)
		step->type->compile(compile, step, step->config);
}

void
convert_steps(ConvertCompile *compile, const JsonbContainer *object, const char *key, ConvertSteps *steps)
{
	const JsonbContainer *list = convert_list(compile, object, key, CONVERT_MAX_STEPS, true);
	IntegJsonWalk walk;
	JsonbValue step;

	integ_json_walk_begin(&walk, list);
	steps->steps = palloc(Max(walk.count, 1) * sizeof(ConvertStep));
	while (integ_json_walk_element(&walk, &step))
		compile_step(compile, convert_object(compile, &step, "a transformation"), &steps->steps[steps->count++]);
}

/* --- conditions --- */

static const char *const operators[] = {
	[CONVERT_EQ] = "eq",
	[CONVERT_NEQ] = "neq",
	[CONVERT_GT] = "gt",
	[CONVERT_GTE] = "gte",
	[CONVERT_LT] = "lt",
	[CONVERT_LTE] = "lte",
	[CONVERT_CONTAINS] = "contains",
	[CONVERT_STARTS_WITH] = "starts_with",
	[CONVERT_ENDS_WITH] = "ends_with",
	[CONVERT_IN] = "in",
	[CONVERT_NOT_IN] = "not_in",
	[CONVERT_EXISTS] = "exists",
	[CONVERT_NOT_EXISTS] = "not_exists",
};

void
convert_condition(ConvertCompile *compile, const JsonbContainer *object, ConvertCondition *condition)
{
	const char *name;
	JsonbValue value;
	int comparison = 0;

	convert_check_keys(compile, object, "a condition", "field operator value");
	convert_path(compile, convert_text(compile, object, "field", true), &condition->path);
	name = convert_text(compile, object, "operator", true);
	while (comparison < lengthof(operators) && strcmp(operators[comparison], name) != 0)
		comparison++;
	if (comparison == lengthof(operators))
		convert_invalid(compile,
						"Known operators: eq, neq, gt, gte, lt, lte, contains, starts_with, ends_with, in, not_in, exists, "
						"not_exists.",
						"Unknown operator \"%s\"", name);
	condition->comparison = comparison;
	condition->operand = -1;
	condition->shares = -1;
	if (comparison == CONVERT_EXISTS || comparison == CONVERT_NOT_EXISTS)
		return;
	if (!integ_json_get(object, "value", &value))
		convert_invalid(compile, NULL, "The condition on \"%s\" has no \"value\" for \"%s\"", condition->path.source, name);
	condition->operand = convert_constant(compile, &value);
	if ((comparison == CONVERT_IN || comparison == CONVERT_NOT_IN) && !integ_json_is_array(&value) &&
		!((ConvertConstant *) llast(compile->constants))->dynamic)
		convert_invalid(compile, NULL, "The operator \"%s\" needs a list as \"value\"", name);
}

static void
compile_rule(ConvertCompile *compile, const JsonbContainer *object, ConvertRule *rule)
{
	JsonbValue part;
	const JsonbContainer *then;
	const char *type;

	convert_check_keys(compile, object, "a conditional rule", "condition then");
	if (!integ_json_get(object, "condition", &part))
		convert_invalid(compile, NULL, "A rule has no \"condition\"");
	convert_condition(compile, convert_object(compile, &part, "a condition"), &rule->condition);
	if (!integ_json_get(object, "then", &part))
		convert_invalid(compile, NULL, "A rule has no \"then\"");
	then = convert_object(compile, &part, "a \"then\"");
	convert_check_keys(compile, then, "\"then\"", "type value sourceField transformations");
	type = convert_text(compile, then, "type", true);
	rule->constant = -1;
	if (strcmp(type, "value") == 0)
	{
		if (!integ_json_get(then, "value", &part))
			convert_invalid(compile, NULL, "\"then\" has no \"value\"");
		rule->constant = convert_constant(compile, &part);
	}
	else if (strcmp(type, "field") == 0 || strcmp(type, "transform") == 0)
	{
		convert_path(compile, convert_text(compile, then, "sourceField", true), &rule->path);
		if (type[0] == 't')
			convert_steps(compile, then, "transformations", &rule->steps);
	}
	else
		convert_invalid(compile, "Known types: value, field, transform.", "\"then\" has the unknown type \"%s\"", type);
}

/* --- mapping types --- */

static void
compile_default_of(ConvertCompile *compile, const JsonbContainer *config, ConvertField *field)
{
	JsonbValue value;

	if (integ_json_get(config, "default", &value))
		field->constant = convert_constant(compile, &value);
}

static void
compile_source(ConvertCompile *compile, const JsonbContainer *config, ConvertField *field)
{
	convert_path(compile, convert_text(compile, config, "sourceField", true), &field->path);
}

static void
compile_direct(ConvertCompile *compile, const JsonbContainer *config, ConvertField *field)
{
	compile_source(compile, config, field);
}

static void
compile_transform(ConvertCompile *compile, const JsonbContainer *config, ConvertField *field)
{
	compile_source(compile, config, field);
	convert_steps(compile, config, "transformations", &field->steps);
}

static void
compile_conditional(ConvertCompile *compile, const JsonbContainer *config, ConvertField *field)
{
	const JsonbContainer *list = convert_list(compile, config, "conditions", CONVERT_MAX_CONDITIONS, true);
	IntegJsonWalk walk;
	JsonbValue rule;

	integ_json_walk_begin(&walk, list);
	field->rules = palloc0(Max(walk.count, 1) * sizeof(ConvertRule));
	while (integ_json_walk_element(&walk, &rule))
	{
		ConvertRule *compiled = &field->rules[field->nrules];

		compile_rule(compile, convert_object(compile, &rule, "a rule"), compiled);
		compiled->condition.shares = field->nrules;
		if (field->nrules > 0 && strcmp(compiled[-1].condition.path.source, compiled->condition.path.source) == 0)
			compiled->condition.shares = compiled[-1].condition.shares;
		field->nrules++;
	}
	compile_default_of(compile, config, field);
}

static void
compile_default(ConvertCompile *compile, const JsonbContainer *config, ConvertField *field)
{
	JsonbValue value;

	if (!integ_json_get(config, "value", &value))
		convert_invalid(compile, NULL, "\"value\" is missing");
	field->constant = convert_constant(compile, &value);
}

static void
compile_composite(ConvertCompile *compile, const JsonbContainer *config, ConvertField *field)
{
	const char *template = convert_text(compile, config, "template", false);
	const JsonbContainer *list = convert_list(compile, config, "sourceFields", 100, template == NULL);
	IntegJsonWalk walk;
	JsonbValue name;

	if (list != NULL)
	{
		integ_json_walk_begin(&walk, list);
		field->parts = palloc0(Max(walk.count, 1) * sizeof(ConvertPath));
		while (integ_json_walk_element(&walk, &name))
		{
			if (name.type != jbvString)
				convert_invalid(compile, NULL, "\"sourceFields\" must be a list of strings");
			convert_path(compile, pnstrdup(name.val.string.val, name.val.string.len), &field->parts[field->nparts++]);
		}
	}
	field->separator = convert_text(compile, config, "separator", false);
	if (field->separator != NULL && template != NULL)
		convert_invalid(compile, NULL, "A composite has a \"template\" or a \"separator\", not both");
	if (field->separator == NULL)
		field->separator = " ";
	field->separator_len = strlen(field->separator);
	if (template == NULL)
		return;
	field->has_template = true;
	convert_text_template(compile, template, strlen(template), true, &field->text);
}

static void
compile_lookup(ConvertCompile *compile, const JsonbContainer *config, ConvertField *field)
{
	compile_source(compile, config, field);
	field->lookup = palloc0(sizeof(ConvertLookup));
	convert_lookup_compile(compile, config, field->lookup);
	compile_default_of(compile, config, field);
}

static void
compile_flatten(ConvertCompile *compile, const JsonbContainer *config, ConvertField *field)
{
	compile_source(compile, config, field);
	convert_path_under(compile, config, "path", &field->path);
}

static const struct
{
	const char *name;
	const char *keys;
	void (*compile)(ConvertCompile *compile, const JsonbContainer *config, ConvertField *field);
} kinds[] = {
	[CONVERT_DIRECT] = {"direct", "type sourceField", compile_direct},
	[CONVERT_TRANSFORM] = {"transform", "type sourceField transformations", compile_transform},
	[CONVERT_CONDITIONAL] = {"conditional", "type conditions default", compile_conditional},
	[CONVERT_DEFAULT] = {"default", "type value", compile_default},
	[CONVERT_COMPOSITE] = {"composite", "type sourceFields separator template", compile_composite},
	[CONVERT_LOOKUP] = {"lookup", "type sourceField values table recordType keyField valueField default", compile_lookup},
	[CONVERT_FLATTEN] = {"flatten", "type sourceField path", compile_flatten},
};

const char *
convert_kind_name(ConvertKind kind)
{
	return kinds[kind].name;
}

void
convert_mapping(ConvertCompile *compile, const JsonbContainer *mapping, ConvertField *field)
{
	const char *name, *type;
	const JsonbContainer *config;
	JsonbValue value;
	int kind = 0;

	convert_check_keys(compile, mapping, "the mapping", "id targetField mappingType config required validation");
	(void) convert_text(compile, mapping, "id", false);
	name = convert_text(compile, mapping, "mappingType", true);
	while (kind < lengthof(kinds) && strcmp(kinds[kind].name, name) != 0)
		kind++;
	if (kind == lengthof(kinds))
		convert_invalid(compile, "Known mapping types: direct, transform, conditional, default, composite, lookup, flatten.",
						"Unknown mapping type \"%s\"", name);
	if (!integ_json_get(mapping, "config", &value))
		convert_invalid(compile, NULL, "\"config\" is missing");
	config = convert_object(compile, &value, "a config");
	type = convert_text(compile, config, "type", false);
	if (type != NULL && strcmp(type, name) != 0)
		convert_invalid(compile, NULL, "\"mappingType\" is \"%s\" and \"type\" of its config \"%s\"", name, type);
	convert_check_keys(compile, config, psprintf("the config of a %s mapping", name), kinds[kind].keys);
	field->kind = kind;
	field->mapping = mapping;
	field->constant = -1;
	field->required = convert_flag(compile, mapping, "required");
	kinds[kind].compile(compile, config, field);
	convert_checks(compile, mapping, field);
}

/* --- lookups and relations --- */

void
convert_lookup_compile(ConvertCompile *compile, const JsonbContainer *config, ConvertLookup *lookup)
{
	JsonbValue values;
	int places;

	lookup->number = compile->plan->nlookups++;
	lookup->table = convert_text(compile, config, "table", false);
	lookup->record_type = convert_text(compile, config, "recordType", false);
	lookup->key_field = convert_text(compile, config, "keyField", false);
	lookup->value_field = convert_text(compile, config, "valueField", false);
	if (integ_json_get(config, "values", &values))
		lookup->values = convert_object(compile, &values, "\"values\"");
	places = (lookup->values != NULL) + (lookup->table != NULL) + (lookup->record_type != NULL);
	if (places != 1)
		convert_invalid(compile, NULL, "A lookup needs one of \"values\", \"table\" and \"recordType\"");
	if (lookup->values != NULL && (lookup->key_field != NULL || lookup->value_field != NULL))
		convert_invalid(compile, NULL, "\"keyField\" and \"valueField\" do not go with \"values\"");
	if (lookup->values == NULL && lookup->key_field == NULL)
		convert_invalid(compile, NULL, "\"keyField\" is missing");
	if (lookup->table == NULL)
		return;
	if (lookup->value_field == NULL)
		convert_invalid(compile, NULL, "\"valueField\" is missing");
	convert_table_lookup(compile, lookup);
}

/* Where a relation leads: to records of a type, or to rows of a table. */
static void
compile_relation_target(ConvertCompile *compile, const JsonbContainer *object, ConvertRelation *relation)
{
	ConvertLookup *lookup = &relation->lookup;

	relation->record_type = convert_text(compile, object, "lookupRecordType", false);
	if (relation->record_type == NULL)
		relation->record_type = convert_text(compile, object, "lookupShardType", false);
	lookup->record_type = relation->record_type;
	lookup->table = convert_text(compile, object, "lookupTable", false);
	lookup->key_field = convert_text(compile, object, "lookupField", false);
	lookup->value_field = convert_text(compile, object, "valueField", false);
	lookup->number = compile->plan->nlookups++;
	if ((relation->record_type == NULL) == (lookup->table == NULL))
		convert_invalid(compile, NULL, "It needs \"lookupRecordType\" or \"lookupTable\"");
	if (relation->by_external_id == (lookup->key_field != NULL))
		convert_invalid(compile, NULL, "It needs \"lookupByExternalId\": true or \"lookupField\"");
	if (relation->record_type != NULL && lookup->value_field != NULL)
		convert_invalid(compile, NULL, "\"valueField\" goes with \"lookupTable\": a record is meant by its id");
	if (lookup->table == NULL)
		return;
	if (relation->by_external_id)
		lookup->relation = convert_watched_table(compile, &lookup->table);
	else if (lookup->value_field == NULL)
		convert_invalid(compile, NULL, "\"valueField\" is missing: the column that is referred to");
	else
		convert_table_lookup(compile, lookup);
}

void
convert_relation(ConvertCompile *compile, const JsonbContainer *object, ConvertRelation *relation)
{
	convert_check_keys(compile, object, "the relation",
					   "id relationshipType targetField sourceField lookupShardType lookupRecordType lookupTable "
					   "lookupByExternalId lookupField valueField required");
	relation->relation_type = convert_text(compile, object, "relationshipType", true);
	relation->target = convert_text(compile, object, "targetField", false);
	relation->by_external_id = convert_flag(compile, object, "lookupByExternalId");
	relation->required = convert_flag(compile, object, "required");
	relation->field = -1;
	convert_path(compile, convert_text(compile, object, "sourceField", true), &relation->path);
	compile_relation_target(compile, object, relation);
}

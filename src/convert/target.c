/*
 * What a schema refers to outside its row: tables, columns, record types; and the shape of its result.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

/* --- tables --- */

/* Names are qualified: what they mean must not depend on who runs the schema. */
Oid
convert_table(ConvertCompile *compile, const char **name)
{
	MemoryContext context = CurrentMemoryContext;
	List *volatile names = NIL;
	Oid table;

	PG_TRY();
	{
		names = textToQualifiedNameList(cstring_to_text(*name));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (geterrcode() != ERRCODE_INVALID_NAME)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	if (list_length(names) != 2)
		convert_invalid(compile, "Write the schema and the table, such as public.contacts.",
						"\"%s\" is not the qualified name of a table", *name);
	if (!compile->full)
		return InvalidOid;
	table = RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
	if (!OidIsValid(table))
		convert_invalid(compile, "Make it again; or, where it was renamed, give the schema its new name.",
						"The table \"%s\" does not exist", *name);
	*name = quote_qualified_identifier(strVal(linitial(names)), strVal(lsecond(names)));
	return table;
}

Oid
convert_watched_table(ConvertCompile *compile, const char **name)
{
	Oid table = convert_table(compile, name);

	if (compile->full)
		compile->plan->tables = lappend_oid(compile->plan->tables, table);
	return table;
}

static AttrNumber
find_column(ConvertCompile *compile, Oid table, const char *name)
{
	AttrNumber column = get_attnum(table, name);

	if (column <= 0)
		convert_invalid(compile, NULL, "The table \"%s\" has no column \"%s\"", get_rel_name(table), name);
	return column;
}

static ConvertKeyType
key_type(Oid type)
{
	switch (type)
	{
		case INT2OID:
			return CONVERT_KEY_INT2;
		case INT4OID:
			return CONVERT_KEY_INT4;
		case INT8OID:
			return CONVERT_KEY_INT8;
		case NUMERICOID:
			return CONVERT_KEY_NUMERIC;
		case UUIDOID:
			return CONVERT_KEY_UUID;
		default:
			return CONVERT_KEY_TEXT;
	}
}

/*
 * Keys are compared as the column's type where every text can be told to be one, so that its index serves; else as
 * text.
 */
void
convert_table_lookup(ConvertCompile *compile, ConvertLookup *lookup)
{
	static const char *const casts[] = {"text", "int2", "int4", "int8", "numeric", "uuid"};
	static const Oid types[1] = {TEXTOID};
	Oid table = convert_watched_table(compile, &lookup->table), type;
	const char *key = quote_identifier(lookup->key_field), *cast, *as_text;

	if (!compile->full)
		return;
	lookup->relation = table;
	type = get_atttype(table, find_column(compile, table, lookup->key_field));
	(void) find_column(compile, table, lookup->value_field);
	lookup->key_type = key_type(getBaseType(type));
	cast = casts[lookup->key_type];
	as_text = lookup->key_type == CONVERT_KEY_TEXT && type != TEXTOID ? "::pg_catalog.text" : "";
	convert_sql_init(compile, &lookup->sql, 1, types,
					 psprintf("SELECT pg_catalog.to_jsonb(t.%s) FROM %s t "
							  "WHERE t.%s%s OPERATOR(pg_catalog.=) ($1)::pg_catalog.%s LIMIT 2",
							  quote_identifier(lookup->value_field), lookup->table, key, as_text, cast));
}

static void
check_column(ConvertCompile *compile, Relation table, ConvertField *field)
{
	TupleDesc columns = RelationGetDescr(table);
	AttrNumber number;
	Form_pg_attribute column;

	compile->what = convert_mapping_name(compile, field->target);
	number = find_column(compile, RelationGetRelid(table), field->target);
	column = TupleDescAttr(columns, number - 1);
	if (column->attgenerated != '\0')
		convert_invalid(compile, NULL, "The column \"%s\" is generated", field->target);
	if (column->attidentity == 'a')
		convert_invalid(compile, NULL, "The column \"%s\" is GENERATED ALWAYS AS IDENTITY", field->target);
	field->column.typmod = column->atttypmod;
	field->column.type = getBaseTypeAndTypmod(column->atttypid, &field->column.typmod);
	field->column.not_null = column->attnotnull;
}

static void
check_table(ConvertCompile *compile, IntegConversion *conversion)
{
	Relation table;

	compile->what = "the target";
	conversion->target_relation = convert_table(compile, &conversion->target_table);
	table = table_open(conversion->target_relation, AccessShareLock);
	if (table->rd_rel->relkind != RELKIND_RELATION && table->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		convert_invalid(compile, "Records are written into tables.", "\"%s\" is no table", conversion->target_table);
	for (int i = 0; i < compile->plan->nfields; i++)
		check_column(compile, table, &compile->plan->fields[i]);
	for (int i = 0; i < compile->plan->nrelations; i++)
	{
		const ConvertRelation *relation = &compile->plan->relations[i];

		compile->what = psprintf("relation \"%s\"", relation->relation_type);
		if (relation->target != NULL)
			(void) find_column(compile, conversion->target_relation, relation->target);
	}
	table_close(table, AccessShareLock);
}

/* --- record types --- */

static Jsonb *
read_type(const char *id, const char *client)
{
	static IntegQuery query = {
		"SELECT schema FROM integ.record_types WHERE id = $1 AND client_id IN ('*', $2)", 2, {TEXTOID, TEXTOID}};
	Datum values[2] = {CStringGetTextDatum(id), CStringGetTextDatum(client)};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	Jsonb *schema = NULL;

	integ_owner_enter(&scope);
	if (integ_query_latest(&query, values, NULL) > 0)
		schema = (Jsonb *) integ_result_varlena(0, 1, context);
	integ_owner_leave(&scope);
	return schema;
}

/* Whether records of the type may have the field: what is closed says so. */
static bool
has_property(const Jsonb *schema, const char *target)
{
	const JsonbContainer *properties = integ_json_get_object(&schema->root, "properties");
	JsonbValue found;
	ConvertPath path;

	if (properties == NULL || integ_json_get_bool(&schema->root, "additionalProperties", true))
		return true;
	return convert_path_steps(target, strlen(target), &path) && integ_json_get(properties, path.steps[0].key, &found);
}

/* Whether every document of a record is valid: {} and {"type": "object"}. */
static bool
says_nothing(const Jsonb *schema)
{
	const char *type = integ_json_get_string(&schema->root, "type");

	return JB_ROOT_COUNT(schema) == 0 || (JB_ROOT_COUNT(schema) == 1 && type != NULL && strcmp(type, "object") == 0);
}

static void
check_type(ConvertCompile *compile, IntegConversion *conversion, const char *client)
{
	ConvertPlan *plan = compile->plan;
	Jsonb *schema = read_type(conversion->target_type, client);

	compile->what = "the target";
	if (schema == NULL)
		convert_invalid(compile, "Record types are the rows of integ.record_types.", "There is no record type \"%s\"",
						conversion->target_type);
	for (int i = 0; i < conversion->nfields; i++)
		if (!has_property(schema, conversion->fields[i]))
		{
			compile->what = i < plan->nfields ? convert_mapping_name(compile, conversion->fields[i]) : "a relation";
			convert_invalid(compile, NULL, "Records of the type \"%s\" have no field \"%s\"", conversion->target_type,
							conversion->fields[i]);
		}
	if (!says_nothing(schema))
		plan->record_schema = integ_schema_compile(schema, psprintf("record type \"%s\"", conversion->target_type));
}

/* Types that lookups and relations name. */
static void
check_named_types(ConvertCompile *compile, const char *client)
{
	for (int i = 0; i < compile->plan->nfields + compile->plan->nrelations; i++)
	{
		const char *type = NULL;

		if (i >= compile->plan->nfields)
			type = compile->plan->relations[i - compile->plan->nfields].record_type;
		else if (compile->plan->fields[i].lookup != NULL)
			type = compile->plan->fields[i].lookup->record_type;
		if (type == NULL || read_type(type, client) != NULL)
			continue;
		compile->what = i < compile->plan->nfields
							? convert_mapping_name(compile, compile->plan->fields[i].target)
							: psprintf("relation \"%s\"",
									   compile->plan->relations[i - compile->plan->nfields].relation_type);
		convert_invalid(compile, "Record types are the rows of integ.record_types.", "There is no record type \"%s\"", type);
	}
}

void
convert_target(ConvertCompile *compile, IntegConversion *conversion, const char *client)
{
	check_named_types(compile, client);
	if (conversion->direction == INTEG_PUSH)
		return;
	if (conversion->target_table != NULL)
		check_table(compile, conversion);
	else
		check_type(compile, conversion, client);
}

/* --- the shape of the result --- */

static int
compare_nodes(const void *a, const void *b)
{
	const ConvertNode *left = a, *right = b;

	return integ_json_key_compare(left->key, left->len, right->key, right->len);
}

static void
sort_nodes(ConvertNode *node)
{
	if (node->nchildren > 1)
		qsort(node->children, node->nchildren, sizeof(ConvertNode), compare_nodes);
	for (int i = 0; i < node->nchildren; i++)
		sort_nodes(&node->children[i]);
}

static ConvertNode *
find_child(ConvertNode *node, const char *key, int len)
{
	for (int i = 0; i < node->nchildren; i++)
		if (node->children[i].len == len && memcmp(node->children[i].key, key, len) == 0)
			return &node->children[i];
	return NULL;
}

static ConvertNode *
add_child(ConvertNode *node, const char *key, int len)
{
	ConvertNode *child;

	if ((node->nchildren & (node->nchildren - 1)) == 0) /* a power of two, or none: full */
	{
		Size size = Max(node->nchildren * 2, 1) * sizeof(ConvertNode);

		node->children = node->children == NULL ? palloc(size) : repalloc(node->children, size);
	}
	child = &node->children[node->nchildren++];
	*child = (ConvertNode){.key = key, .len = len, .field = -1};
	return child;
}

static void
add_target(ConvertCompile *compile, ConvertNode *root, const ConvertPath *path, int field)
{
	ConvertNode *at = root;

	for (int i = 0; i < path->nsteps; i++)
	{
		bool last = i == path->nsteps - 1;
		ConvertNode *child;

		if (path->steps[i].key == NULL)
			convert_invalid(compile, NULL, "\"targetField\" has an index");
		child = find_child(at, path->steps[i].key, path->steps[i].len);
		if (child != NULL && (last || child->field >= 0))
			convert_invalid(compile, NULL, "Another mapping writes \"%s\" or a part of it", path->source);
		if (child == NULL)
			child = add_child(at, path->steps[i].key, path->steps[i].len);
		if (last)
			child->field = field;
		at = child;
	}
}

void
convert_tree(ConvertCompile *compile, IntegConversion *conversion)
{
	bool columns = conversion->direction == INTEG_PULL && conversion->target_table != NULL;

	compile->plan->root = (ConvertNode){.field = -1};
	for (int i = 0; i < conversion->nfields; i++)
	{
		const char *target = conversion->fields[i];
		ConvertPathStep step = {.key = target, .len = strlen(target)};
		ConvertPath path = {.source = target, .nsteps = 1, .steps = &step};

		compile->what = i < compile->plan->nfields ? convert_mapping_name(compile, target)
												   : psprintf("relation to \"%s\"", target);
		if (!columns && !convert_path_steps(target, strlen(target), &path))
			convert_invalid(compile, "Write a field (name) or a dot path (address.city).",
							"\"targetField\" is no place in a record");
		add_target(compile, &compile->plan->root, &path, i);
	}
	sort_nodes(&compile->plan->root);
}

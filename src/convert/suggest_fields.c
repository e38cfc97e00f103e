/*
 * The fields of entities, records, record types and tables, with the kind of their values.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "convert/scan.h"
#include "convert/suggest.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#define MAX_FIELDS 2000
#define MAX_SAMPLES 100
#define MAX_DEPTH 3

static void
add_field(SuggestFields *fields, const char *name, SuggestKind kind, bool writable)
{
	for (int i = 0; i < fields->count; i++)
		if (strcmp(fields->fields[i].name, name) == 0)
		{
			if (fields->fields[i].kind == SUGGEST_ANY)
				fields->fields[i].kind = kind;
			return;
		}
	if (fields->count == MAX_FIELDS)
		return;
	if (fields->count == fields->room)
	{
		fields->room = Max(fields->room * 2, 32);
		fields->fields = fields->fields == NULL ? palloc(fields->room * sizeof(SuggestField))
												: repalloc(fields->fields, fields->room * sizeof(SuggestField));
	}
	fields->fields[fields->count++] = (SuggestField){.name = name, .kind = kind, .writable = writable};
}

/* A key as a step of a path, in quotes where it needs them. */
static char *
path_of(const char *parent, const JsonbValue *key)
{
	StringInfoData path;
	const char *text = key->val.string.val;
	int len = key->val.string.len;
	bool plain = len > 0;

	initStringInfo(&path);
	if (parent != NULL)
		appendStringInfo(&path, "%s.", parent);
	for (int i = 0; i < len; i++)
		plain = plain && (unsigned char) text[i] > ' ' && strchr(".[]{}\"\x7f", text[i]) == NULL;
	if (plain && !(parent == NULL && text[0] == '$'))
	{
		appendBinaryStringInfo(&path, text, len);
		return path.data;
	}
	appendStringInfoChar(&path, '"');
	for (int i = 0; i < len; i++)
	{
		if (text[i] == '"' || text[i] == '\\')
			appendStringInfoChar(&path, '\\');
		appendStringInfoChar(&path, text[i]);
	}
	appendStringInfoChar(&path, '"');
	return path.data;
}

/* --- JSON Schemas --- */

/* The type of a property that is not null; NULL where it says none or several. */
static const char *
property_type(const JsonbContainer *property)
{
	const JsonbContainer *types = integ_json_get_array(property, "type");
	const char *found = integ_json_get_string(property, "type");
	IntegJsonWalk walk;
	JsonbValue type;

	if (types == NULL)
		return found;
	integ_json_walk_begin(&walk, types);
	while (integ_json_walk_element(&walk, &type))
	{
		const char *name = type.type == jbvString ? integ_json_value_text(&type) : "";

		if (strcmp(name, "null") == 0)
			continue;
		if (found != NULL)
			return NULL;
		found = name;
	}
	return found;
}

/* Whether a property, or one of its alternatives, has a format of dates. */
static bool
is_date(const JsonbContainer *property)
{
	const char *format = integ_json_get_string(property, "format");
	const JsonbContainer *alternatives = integ_json_get_array(property, "anyOf");
	IntegJsonWalk walk;
	JsonbValue item;

	if (format != NULL && (strcmp(format, "date") == 0 || strcmp(format, "date-time") == 0))
		return true;
	if (alternatives == NULL)
		return false;
	integ_json_walk_begin(&walk, alternatives);
	while (integ_json_walk_element(&walk, &item))
		if (integ_json_is_object(&item) && integ_json_get_string(item.val.binary.data, "format") != NULL)
			return is_date(item.val.binary.data);
	return false;
}

static SuggestKind
kind_of_property(const JsonbContainer *property)
{
	const char *type = property_type(property);

	if (type == NULL)
		return integ_json_get_array(property, "enum") != NULL ? SUGGEST_TEXT : SUGGEST_ANY;
	if (strcmp(type, "string") == 0)
		return is_date(property) ? SUGGEST_DATE : SUGGEST_TEXT;
	if (strcmp(type, "number") == 0 || strcmp(type, "integer") == 0)
		return SUGGEST_NUMBER;
	if (strcmp(type, "boolean") == 0)
		return SUGGEST_BOOLEAN;
	return strcmp(type, "array") == 0 ? SUGGEST_LIST : SUGGEST_OBJECT;
}

static void
read_properties(const JsonbContainer *schema, const char *parent, int depth, SuggestFields *fields)
{
	const JsonbContainer *properties = integ_json_get_object(schema, "properties");
	IntegJsonWalk walk;
	JsonbValue key, property;

	if (properties == NULL || depth == MAX_DEPTH)
		return;
	integ_json_walk_begin(&walk, properties);
	while (integ_json_walk_pair(&walk, &key, &property))
	{
		const char *path = path_of(parent, &key);

		if (!integ_json_is_object(&property))
			add_field(fields, path, SUGGEST_ANY, true);
		else
		{
			add_field(fields, path, kind_of_property(property.val.binary.data), true);
			read_properties(property.val.binary.data, path, depth + 1, fields);
		}
	}
}

void
suggest_read_schema(const JsonbContainer *schema, SuggestFields *fields)
{
	if (schema != NULL)
		read_properties(schema, NULL, 0, fields);
}

/* --- samples --- */

static SuggestKind
kind_of_value(const JsonbValue *value)
{
	IntegIsoTime time;

	switch (value->type)
	{
		case jbvString:
			if (integ_scan_iso_time(value->val.string.val, value->val.string.len, &time))
				return SUGGEST_DATE;
			return SUGGEST_TEXT;
		case jbvNumeric:
			return SUGGEST_NUMBER;
		case jbvBool:
			return SUGGEST_BOOLEAN;
		case jbvBinary:
			return integ_json_is_array(value) ? SUGGEST_LIST : SUGGEST_OBJECT;
		default:
			return SUGGEST_ANY;
	}
}

static void
read_record(const JsonbContainer *record, const char *parent, int depth, SuggestFields *fields)
{
	IntegJsonWalk walk;
	JsonbValue key, value;

	integ_json_walk_begin(&walk, record);
	while (integ_json_walk_pair(&walk, &key, &value))
	{
		const char *path = path_of(parent, &key);

		add_field(fields, path, kind_of_value(&value), true);
		if (integ_json_is_object(&value) && depth + 1 < MAX_DEPTH)
			read_record(value.val.binary.data, path, depth + 1, fields);
	}
}

void
suggest_read_samples(const Jsonb *samples, SuggestFields *fields)
{
	IntegJsonWalk walk;
	JsonbValue root, record;
	int count = 0;

	integ_json_root(samples, &root);
	if (integ_json_is_object(&root))
		read_record(root.val.binary.data, NULL, 0, fields);
	if (!integ_json_is_array(&root))
		return;
	integ_json_walk_begin(&walk, root.val.binary.data);
	while (count++ < MAX_SAMPLES && integ_json_walk_element(&walk, &record))
		if (integ_json_is_object(&record))
			read_record(record.val.binary.data, NULL, 0, fields);
}

/* --- targets --- */

static SuggestKind
kind_of_column(Oid type)
{
	Oid base = getBaseType(type);
	char category;
	bool preferred;

	if (base == JSONOID || base == JSONBOID)
		return SUGGEST_ANY;
	get_type_category_preferred(base, &category, &preferred);
	switch (category)
	{
		case TYPCATEGORY_STRING:
			return SUGGEST_TEXT;
		case TYPCATEGORY_NUMERIC:
			return SUGGEST_NUMBER;
		case TYPCATEGORY_BOOLEAN:
			return SUGGEST_BOOLEAN;
		case TYPCATEGORY_DATETIME:
			return SUGGEST_DATE;
		case TYPCATEGORY_ARRAY:
			return SUGGEST_LIST;
		default:
			return SUGGEST_ANY;
	}
}

static void
read_table(const char *name, List *names, SuggestFields *fields)
{
	Oid oid = RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
	Relation table;

	if (!OidIsValid(oid))
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no table \"%s\"", name)));
	if (pg_class_aclcheck(oid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, name);
	table = table_open(oid, AccessShareLock);
	for (int i = 0; i < RelationGetDescr(table)->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(table), i);

		if (!column->attisdropped)
			add_field(fields, pstrdup(NameStr(column->attname)), kind_of_column(column->atttypid),
					  column->attgenerated == '\0' && column->attidentity != 'a');
	}
	table_close(table, AccessShareLock);
}

static void
read_type(const IntegActor *actor, const char *id, SuggestFields *fields)
{
	static IntegQuery query = {"SELECT schema FROM integ.record_types WHERE id = $1 AND (client_id IN ('*', $2) OR $3)", 3, {TEXTOID, TEXTOID, BOOLOID}};
	Datum values[3] = {CStringGetTextDatum(id), CStringGetTextDatum(actor->client),
					   BoolGetDatum(actor->level == INTEG_LEVEL_SUPERADMIN)};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	Jsonb *schema = NULL;

	integ_owner_enter(&scope);
	if (integ_query(&query, values, NULL) > 0)
		schema = (Jsonb *) integ_result_varlena(0, 1, context);
	integ_owner_leave(&scope);
	if (schema == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no record type \"%s\"", id),
						errhint("Name a row of integ.record_types, or a table with its schema (public.contacts).")));
	read_properties(&schema->root, NULL, MAX_DEPTH - 1, fields);
}

bool
suggest_read_target(const IntegActor *actor, const char *target, SuggestFields *fields)
{
	List *names = strchr(target, '.') == NULL ? NIL : textToQualifiedNameList(cstring_to_text(target));

	if (list_length(names) == 2)
		read_table(target, names, fields);
	else
		read_type(actor, target, fields);
	return list_length(names) == 2;
}

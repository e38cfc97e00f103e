/*
 * Rows of users' tables that relations start or end at.
 */
#include "postgres.h"

#include "convert/relation_rows.h"

#include "catalog/namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "core/json_walk.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

bool
convert_same_columns(const Jsonb *a, const Jsonb *b)
{
	IntegJsonWalk left, right;
	JsonbValue left_key, right_key, ignored;

	integ_json_walk_begin(&left, &a->root);
	integ_json_walk_begin(&right, &b->root);
	if (left.count != right.count)
		return false;
	while (integ_json_walk_pair(&left, &left_key, &ignored) && integ_json_walk_pair(&right, &right_key, &ignored))
		if (integ_json_key_compare(left_key.val.string.val, left_key.val.string.len, right_key.val.string.val,
								   right_key.val.string.len) != 0)
			return false;
	return true;
}

static const char *
table_name(Oid table)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)), get_rel_name(table));
}

/* The type of a column, without its domain. Raises 42703 where there is none. */
static Oid
column_type(Oid table, const char *name)
{
	AttrNumber number = get_attnum(table, name);

	if (number <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table %s does not exist", name, table_name(table))));
	return getBaseType(get_atttype(table, number));
}

/* The equality of a type's own index order, as SQL names it. */
static const char *
equality(Oid type)
{
	Oid number = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple tuple = OidIsValid(number) ? SearchSysCache1(OPEROID, ObjectIdGetDatum(number)) : NULL;
	Form_pg_operator form;
	const char *name;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("values of type %s cannot be compared", format_type_be(type))));
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)), NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

/* The columns of the key: as a column definition list, and as the condition that row t has those of v. */
static void
describe_key(Oid table, const Jsonb *key, StringInfo columns, StringInfo condition)
{
	IntegJsonWalk walk;
	JsonbValue name, ignored;

	integ_json_walk_begin(&walk, &key->root);
	while (integ_json_walk_pair(&walk, &name, &ignored))
	{
		const char *plain = pnstrdup(name.val.string.val, name.val.string.len);
		const char *quoted = quote_identifier(plain);
		Oid type = column_type(table, plain);

		appendStringInfo(columns, "%s%s %s", columns->len > 0 ? ", " : "", quoted, format_type_be_qualified(type));
		appendStringInfo(condition, "%st.%s %s v.%s", condition->len > 0 ? " AND " : "", quoted, equality(type), quoted);
	}
}

static Datum
documents_array(Jsonb *const *documents, int count)
{
	Datum *values = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = JsonbPGetDatum(documents[i]);
	return PointerGetDatum(construct_array(values, count, JSONBOID, -1, false, TYPALIGN_INT));
}

static void
run(const char *sql, int nargs, Datum *arrays, bool read_only, int expected)
{
	Oid types[2] = {JSONBARRAYOID, JSONBARRAYOID};
	int code = SPI_execute_with_args(sql, nargs, types, arrays, NULL, read_only, 0);

	if (code != expected)
		elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(code));
}

void
convert_rows_set(Oid table, const char *column, Jsonb *const *keys, Jsonb *const *values, int count)
{
	Datum arrays[2] = {documents_array(keys, count), documents_array(values, count)};
	Oid type = column_type(table, column);
	const char *name = quote_identifier(column);
	StringInfoData columns, condition;

	initStringInfo(&columns);
	initStringInfo(&condition);
	describe_key(table, keys[0], &columns, &condition);
	SPI_connect();
	run(psprintf("UPDATE %s t SET %s = n.%s FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) d (key, value), "
				 "LATERAL pg_catalog.jsonb_to_record(d.key) v (%s), "
				 "LATERAL pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object(%s, d.value)) n (%s %s) "
				 "WHERE %s AND (t.%s %s n.%s) IS NOT TRUE",
				 table_name(table), name, name, columns.data, quote_literal_cstr(column), name,
				 format_type_be_qualified(type), condition.data, name, equality(type), name),
		2, arrays, false, SPI_OK_UPDATE);
	SPI_finish();
}

static bool
may_read(Oid table, const char *column)
{
	AttrNumber number = get_attnum(table, column);

	return number > 0 && (pg_class_aclcheck(table, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
						  pg_attribute_aclcheck(table, number, GetUserId(), ACL_SELECT) == ACLCHECK_OK);
}

bool
convert_rows_read(Oid table, Jsonb *const *keys, int count, const char *looked_up, const char *referred_to,
				  Datum *texts, Datum *values)
{
	MemoryContext context = CurrentMemoryContext, inner;
	StringInfoData columns, condition;
	const char *sought, *value;
	Datum *found_texts, *found_values, array;
	uint64 found;

	if (!may_read(table, looked_up) || !may_read(table, referred_to))
		return false;
	sought = quote_identifier(looked_up);
	value = quote_identifier(referred_to);
	initStringInfo(&columns);
	initStringInfo(&condition);
	describe_key(table, keys[0], &columns, &condition);
	array = documents_array(keys, count);
	SPI_connect();
	inner = CurrentMemoryContext;
	run(psprintf("SELECT DISTINCT %s, pg_catalog.to_jsonb(t.%s) FROM %s t, pg_catalog.unnest($1) d (document), "
				 "LATERAL pg_catalog.jsonb_to_record(d.document) v (%s) WHERE %s AND t.%s IS NOT NULL AND t.%s IS NOT NULL",
				 column_type(table, looked_up) == NUMERICOID
					 ? psprintf("pg_catalog.trim_scale(t.%s)::pg_catalog.text", sought)
					 : psprintf("pg_catalog.to_jsonb(t.%s) OPERATOR(pg_catalog.#>>) '{}'", sought),
				 value, table_name(table), columns.data, condition.data, sought, value),
		1, &array, false, SPI_OK_SELECT);
	found = SPI_processed;
	found_texts = palloc(Max(found, 1) * sizeof(Datum));
	found_values = palloc(Max(found, 1) * sizeof(Datum));
	for (uint64 i = 0; i < found; i++)
	{
		bool isnull;

		found_texts[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		found_values[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull);
	}
	MemoryContextSwitchTo(context);
	*texts = PointerGetDatum(construct_array(found_texts, found, TEXTOID, -1, false, TYPALIGN_INT));
	*values = PointerGetDatum(construct_array(found_values, found, JSONBOID, -1, false, TYPALIGN_INT));
	MemoryContextSwitchTo(inner);
	SPI_finish();
	return true;
}

/*
 * Statements over a page: each takes a list for every column, and a row of it is a record.
 *
 * A record that says nothing of a column leaves it as it is, so that the statement depends on the columns that records
 * have: those that have the same go together. Statements are prepared once and kept with their target.
 */
#include "sync/engine.h"

#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* Kept at a time; records with so many different sets of columns prepare anew. */
#define MOST_STATEMENTS 64

typedef struct SyncStatement
{
	SyncStatementKind kind;
	char *present; /* of each column */
	SPIPlanPtr plan;
} SyncStatement;

void
sync_statement_free(void *statement)
{
	SPI_freeplan(((SyncStatement *) statement)->plan);
}

/* --- the text --- */

/* Statements that find rows by target_key alone. */
static bool
takes_key_only(SyncStatementKind kind)
{
	return kind == SYNC_DELETE || kind == SYNC_HIDE || kind == SYNC_READ;
}

/* What the parameters are, in their order: keys of an update, then columns. */
typedef struct Parameters
{
	int count;
	const SyncColumn *columns[MaxTupleAttributeNumber];
	int nkeys; /* of them, at the beginning, taken from the record's key */
} Parameters;

static bool
is_match_field(const IntegConversion *conversion, const char *name)
{
	for (int i = 0; i < conversion->nmatch_fields; i++)
		if (strcmp(conversion->match_fields[i], name) == 0)
			return true;
	return false;
}

static void
list_parameters(const SyncTarget *target, SyncStatementKind kind, const char *present, Parameters *parameters)
{
	if (kind == SYNC_UPDATE || takes_key_only(kind))
	{
		for (int i = 0; i < target->nkeys; i++)
			parameters->columns[parameters->count++] = &target->keys[i];
		parameters->nkeys = parameters->count;
	}
	for (int i = 0; i < target->ncolumns && !takes_key_only(kind); i++)
		if (kind == SYNC_MATCH ? is_match_field(target->conversion, target->columns[i].name) : present[i])
			parameters->columns[parameters->count++] = &target->columns[i];
}

/* "u.c3::public.citext": the value of a parameter. */
static void
add_value(StringInfo sql, const SyncColumn *column, int number)
{
	if (column->from_json)
		appendStringInfo(sql,
						 "CASE WHEN u.c%d IS NOT NULL THEN ARRAY(SELECT e.value::%s FROM"
						 " pg_catalog.jsonb_array_elements_text(u.c%d) WITH ORDINALITY AS e (value, place)"
						 " ORDER BY e.place) END",
						 number, column->element, number);
	else
		appendStringInfo(sql, "u.c%d%s", number, column->cast);
}

/* "ROWS FROM (pg_catalog.unnest($1), …) WITH ORDINALITY AS u (c0, …, n)" */
static void
add_source(StringInfo sql, const Parameters *parameters)
{
	appendStringInfoString(sql, "ROWS FROM (");
	for (int i = 0; i < parameters->count; i++)
		appendStringInfo(sql, "%spg_catalog.unnest($%d)", i > 0 ? ", " : "", i + 1);
	appendStringInfoString(sql, ") WITH ORDINALITY AS u (");
	for (int i = 0; i < parameters->count; i++)
		appendStringInfo(sql, "c%d, ", i);
	appendStringInfoString(sql, "n)");
}

static bool
is_key_column(const SyncTarget *target, const SyncColumn *column)
{
	for (int i = 0; i < target->nkeys; i++)
		if (target->keys[i].field == column->field)
			return true;
	return false;
}

/* The row's key as links have it. */
static void
add_key(StringInfo sql, const SyncTarget *target)
{
	appendStringInfoString(sql, "pg_catalog.jsonb_build_object(");
	for (int i = 0; i < target->nkeys; i++)
		appendStringInfo(sql, "%s%s, t.%s", i > 0 ? ", " : "", quote_literal_cstr(target->keys[i].name),
						 target->keys[i].quoted);
	appendStringInfoChar(sql, ')');
}

static void
add_insert(StringInfo sql, const SyncTarget *target, const Parameters *parameters)
{
	appendStringInfo(sql, "INSERT INTO %s AS t (", target->name);
	for (int i = 0; i < parameters->count; i++)
		appendStringInfo(sql, "%s%s", i > 0 ? ", " : "", parameters->columns[i]->quoted);
	appendStringInfoString(sql, ") SELECT ");
	for (int i = 0; i < parameters->count; i++)
	{
		appendStringInfoString(sql, i > 0 ? ", " : "");
		add_value(sql, parameters->columns[i], i);
	}
	appendStringInfoString(sql, " FROM ");
	add_source(sql, parameters);
}

/* A row that exists: changed where the schema says so. One that was soft-deleted is there again. */
static void
add_conflict(StringInfo sql, const SyncTarget *target, const Parameters *parameters)
{
	const char *separator = " DO UPDATE SET ";

	appendStringInfoString(sql, " ON CONFLICT (");
	for (int i = 0; i < target->nkeys; i++)
		appendStringInfo(sql, "%s%s", i > 0 ? ", " : "", target->keys[i].quoted);
	appendStringInfoChar(sql, ')');
	if (!target->conversion->update_if_exists)
	{
		appendStringInfoString(sql, " DO NOTHING");
		return;
	}
	for (int i = 0; i < parameters->count; i++)
	{
		if (is_key_column(target, parameters->columns[i]))
			continue;
		appendStringInfo(sql, "%s%s = excluded.%s", separator, parameters->columns[i]->quoted,
						 parameters->columns[i]->quoted);
		separator = ", ";
	}
	if (target->deleted_column != NULL)
	{
		appendStringInfo(sql, "%s%s = NULL", separator, target->deleted_column);
		separator = ", ";
	}
	if (separator[0] == ' ')
		appendStringInfoString(sql, " DO NOTHING");
}

/* How many rows there are, and how many of them are new: the heap says so; where it cannot be asked, links do. */
static void
build_upsert(StringInfo sql, const SyncTarget *target, const Parameters *parameters)
{
	appendStringInfoString(sql, "WITH w AS (");
	add_insert(sql, target, parameters);
	add_conflict(sql, target, parameters);
	appendStringInfo(sql, " RETURNING %s AS created)"
						  " SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE w.created) FROM w",
					 target->partitioned ? "NULL::pg_catalog.bool" : "(t.xmax OPERATOR(pg_catalog.=) 0)");
}

static void
build_insert(StringInfo sql, const SyncTarget *target, const Parameters *parameters)
{
	add_insert(sql, target, parameters);
	appendStringInfoString(sql, " RETURNING ");
	add_key(sql, target);
}

static void
add_key_condition(StringInfo sql, const SyncTarget *target)
{
	for (int i = 0; i < target->nkeys; i++)
	{
		appendStringInfo(sql, " %s t.%s %s ", i > 0 ? "AND" : "WHERE", target->keys[i].quoted, target->keys[i].equals);
		add_value(sql, &target->keys[i], i);
	}
}

static void
build_update(StringInfo sql, const SyncTarget *target, const Parameters *parameters)
{
	const char *separator = "";

	appendStringInfo(sql, "UPDATE %s AS t SET ", target->name);
	for (int i = parameters->nkeys; i < parameters->count; i++)
	{
		if (is_key_column(target, parameters->columns[i]) && !target->rekeys)
			continue;
		appendStringInfo(sql, "%s%s = ", separator, parameters->columns[i]->quoted);
		add_value(sql, parameters->columns[i], i);
		separator = ", ";
	}
	if (target->deleted_column != NULL)
	{
		appendStringInfo(sql, "%s%s = NULL", separator, target->deleted_column);
		separator = ", ";
	}
	/* Nothing to set: the row is found, and stays as it is. */
	if (separator[0] == '\0')
		appendStringInfo(sql, "%s = t.%s", target->keys[0].quoted, target->keys[0].quoted);
	appendStringInfoString(sql, " FROM ");
	add_source(sql, parameters);
	add_key_condition(sql, target);
	appendStringInfoString(sql, " RETURNING u.n, ");
	add_key(sql, target);
}

static void
build_delete(StringInfo sql, const SyncTarget *target, const Parameters *parameters)
{
	appendStringInfo(sql, "DELETE FROM %s AS t USING ", target->name);
	add_source(sql, parameters);
	add_key_condition(sql, target);
	appendStringInfoString(sql, " RETURNING u.n");
}

static void
build_hide(StringInfo sql, const SyncTarget *target, const Parameters *parameters)
{
	appendStringInfo(sql, "UPDATE %s AS t SET %s = pg_catalog.now() FROM ", target->name, SYNC_DELETED_COLUMN);
	add_source(sql, parameters);
	add_key_condition(sql, target);
	appendStringInfoString(sql, " RETURNING u.n");
}

static void
build_read(StringInfo sql, const SyncTarget *target, const Parameters *parameters)
{
	appendStringInfo(sql, "SELECT u.n, pg_catalog.to_jsonb(t) FROM %s AS t, ", target->name);
	add_source(sql, parameters);
	add_key_condition(sql, target);
}

/* Two rows of a record are told apart by n: the second one makes it ambiguous. */
static void
build_match(StringInfo sql, const SyncTarget *target, const Parameters *parameters)
{
	appendStringInfoString(sql, "SELECT u.n, ");
	add_key(sql, target);
	appendStringInfoString(sql, " FROM ");
	add_source(sql, parameters);
	appendStringInfo(sql, " JOIN %s AS t ON ", target->name);
	for (int i = 0; i < parameters->count; i++)
	{
		appendStringInfo(sql, "%st.%s %s ", i > 0 ? " AND " : "", parameters->columns[i]->quoted,
						 parameters->columns[i]->equals);
		add_value(sql, parameters->columns[i], i);
	}
	appendStringInfoString(sql, " ORDER BY u.n");
}

/* --- running --- */

/*
 * Rows are found by a join, whose plan of a page ago, when the table was smaller or empty, may be the worst of all by
 * now: it is made for each page. What only writes has one plan.
 */
static bool
writes_only(SyncStatementKind kind)
{
	return kind == SYNC_UPSERT || kind == SYNC_INSERT;
}

static SyncStatement *
prepare(SyncTarget *target, SyncStatementKind kind, const char *present, const Parameters *parameters)
{
	static void (*const builders[])(StringInfo, const SyncTarget *, const Parameters *) = {
		[SYNC_UPSERT] = build_upsert,
		[SYNC_INSERT] = build_insert,
		[SYNC_UPDATE] = build_update,
		[SYNC_MATCH] = build_match,
		[SYNC_DELETE] = build_delete,
		[SYNC_HIDE] = build_hide,
		[SYNC_READ] = build_read,
	};
	Oid *types = palloc(Max(parameters->count, 1) * sizeof(Oid));
	MemoryContext old;
	SyncStatement *statement;
	StringInfoData sql;
	SPIPlanPtr plan;

	initStringInfo(&sql);
	builders[kind](&sql, target, parameters);
	for (int i = 0; i < parameters->count; i++)
		types[i] = get_array_type(parameters->columns[i]->param);
	plan = SPI_prepare_cursor(sql.data, parameters->count, types,
							  writes_only(kind) ? CURSOR_OPT_GENERIC_PLAN : CURSOR_OPT_CUSTOM_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	old = MemoryContextSwitchTo(target->context);
	statement = palloc(sizeof(SyncStatement));
	statement->kind = kind;
	statement->present = memcpy(palloc(target->ncolumns + 1), present, target->ncolumns);
	statement->plan = plan;
	if (list_length(target->statements) >= MOST_STATEMENTS)
	{
		sync_statement_free(linitial(target->statements));
		target->statements = list_delete_first(target->statements);
	}
	target->statements = lappend(target->statements, statement);
	MemoryContextSwitchTo(old);
	return statement;
}

static SyncStatement *
find(SyncTarget *target, SyncStatementKind kind, const char *present)
{
	ListCell *cell;

	foreach (cell, target->statements)
	{
		SyncStatement *statement = lfirst(cell);

		if (statement->kind == kind && memcmp(statement->present, present, target->ncolumns) == 0)
			return statement;
	}
	return NULL;
}

/* A part of a record's key, from its link. */
static Datum
key_part(const SyncColumn *column, const Jsonb *key, bool *isnull)
{
	JsonbValue value;

	*isnull = key == NULL || !integ_json_get(&key->root, column->name, &value) || value.type == jbvNull;
	return *isnull ? (Datum) 0 : integ_value_datum(column->param, &value);
}

static Datum
parameter(const SyncColumn *column, bool key, SyncRecord **records, int count, Datum *values, bool *nulls)
{
	int16 len;
	bool byval;
	char align;
	int dims[1] = {count}, lower[1] = {1};

	get_typlenbyvalalign(column->param, &len, &byval, &align);
	for (int i = 0; i < count; i++)
	{
		if (key)
			values[i] = key_part(column, records[i]->target_key, &nulls[i]);
		else
		{
			nulls[i] = records[i]->states[column->field] != INTEG_FIELD_VALUE;
			values[i] = records[i]->values[column->field];
		}
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lower, column->param, len, byval, align));
}

uint64
sync_statement_run(SyncTarget *target, SyncStatementKind kind, const char *present, SyncRecord **records, int count)
{
	Parameters *parameters = palloc0(sizeof(Parameters));
	Datum *arguments, *values = palloc(count * sizeof(Datum));
	bool *nulls = palloc(count * sizeof(bool));
	SyncStatement *statement;
	int rc;

	list_parameters(target, kind, present, parameters);
	statement = find(target, kind, present);
	if (statement == NULL)
		statement = prepare(target, kind, present, parameters);
	arguments = palloc(Max(parameters->count, 1) * sizeof(Datum));
	for (int i = 0; i < parameters->count; i++)
		arguments[i] = parameter(parameters->columns[i], i < parameters->nkeys, records, count, values, nulls);
	rc = SPI_execute_plan(statement->plan, arguments, NULL, false, 0);
	if (rc < 0)
		elog(ERROR, "could not write into %s: %s", target->name, SPI_result_code_string(rc));
	return SPI_processed;
}

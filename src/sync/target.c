/*
 * The table that records are written into: its columns, its key, the rights to write there.
 *
 * All of it is looked at before anything is fetched, and again whenever the table or the schema has changed.
 */
#include "sync/engine.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_index.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/uuid.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

pg_noreturn static void
refuse(const IntegConversion *conversion, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
					errmsg("records of \"%s\" cannot be written into %s", conversion->schema_id, conversion->target_table),
					errdetail_internal("%s", detail), errhint("%s", hint)));
}

/* --- columns --- */

/* "OPERATOR(pg_catalog.=)" of the type's order; NULL where it has none. */
static const char *
equality(Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
	Form_pg_operator form;
	HeapTuple tuple;
	char *name;

	if (!OidIsValid(entry->eq_opr))
		return NULL;
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(entry->eq_opr));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)), NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

/*
 * How values of a column travel. What the conversion has not fitted to the column (a relation's field) is a text that
 * the statement casts, so that a wrong one is an error of its record.
 */
static void
set_transport(SyncColumn *column, bool fitted)
{
	Oid element = get_element_type(column->type);

	column->cast = "";
	if (fitted && integ_value_has_datum(column->type))
		column->param = column->type;
	else if (OidIsValid(element))
	{
		column->param = JSONBOID;
		column->from_json = true;
		column->element = format_type_extended(element, -1, FORMAT_TYPE_FORCE_QUALIFY);
	}
	else if (column->type == JSONOID)
	{
		column->param = JSONBOID;
		column->cast = "::pg_catalog.json";
	}
	else
	{
		column->param = TEXTOID;
		/* A cast to these would cut; an assignment refuses. */
		if (column->type != TEXTOID && column->type != VARCHAROID && column->type != BPCHAROID)
			column->cast = psprintf("::%s", format_type_extended(column->type, -1, FORMAT_TYPE_FORCE_QUALIFY));
	}
}

static SyncColumn
make_column(Relation table, AttrNumber number, int field, bool fitted)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(table), number - 1);
	SyncColumn column = {.field = field, .type = getBaseType(attribute->atttypid)};

	column.name = pstrdup(NameStr(attribute->attname));
	column.quoted = pstrdup(quote_identifier(column.name));
	column.equals = equality(column.type);
	set_transport(&column, fitted);
	return column;
}

static void
read_columns(SyncTarget *target, Relation table)
{
	const IntegConversion *conversion = target->conversion;
	int mappings = integ_conversion_mappings(conversion);

	target->ncolumns = conversion->nfields;
	target->columns = palloc0(Max(conversion->nfields, 1) * sizeof(SyncColumn));
	for (int i = 0; i < conversion->nfields; i++)
	{
		AttrNumber number = get_attnum(target->relation, conversion->fields[i]);

		if (number <= 0)
			refuse(conversion, psprintf("It has no column \"%s\".", conversion->fields[i]),
				   "Change the mapping, or add the column.");
		target->columns[i] = make_column(table, number, i, i < mappings);
	}
}

/* --- the key --- */

static int
field_of(const SyncTarget *target, const char *name)
{
	for (int i = 0; i < target->ncolumns; i++)
		if (strcmp(target->columns[i].name, name) == 0)
			return i;
	return -1;
}

/* Whether the index tells each row from all others: no expression, no condition, no null. */
static bool
is_key(Relation table, Relation index)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indisvalid || !form->indimmediate || !form->indislive ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		AttrNumber number = form->indkey.values[i];

		if (number <= 0 || !TupleDescAttr(RelationGetDescr(table), number - 1)->attnotnull)
			return false;
	}
	return true;
}

/* How many of the index's columns mappings write. */
static int
count_mapped(const SyncTarget *target, Relation table, Form_pg_index form)
{
	int count = 0;

	for (int i = 0; i < form->indnkeyatts; i++)
		if (field_of(target, NameStr(TupleDescAttr(RelationGetDescr(table), form->indkey.values[i] - 1)->attname)) >= 0)
			count++;
	return count;
}

static void
use_key(SyncTarget *target, Relation table, Form_pg_index form)
{
	target->nkeys = form->indnkeyatts;
	target->keys = palloc0(target->nkeys * sizeof(SyncColumn));
	target->key_mapped = count_mapped(target, table, form) == target->nkeys;
	for (int i = 0; i < target->nkeys; i++)
	{
		AttrNumber number = form->indkey.values[i];
		int field = field_of(target, NameStr(TupleDescAttr(RelationGetDescr(table), number - 1)->attname));

		target->keys[i] = make_column(table, number, field, true);
		if (field >= 0)
			target->keys[i] = target->columns[field];
		if (target->keys[i].equals == NULL || target->keys[i].from_json)
			refuse(target->conversion,
				   psprintf("The key's column \"%s\" is of a type that cannot be compared.", target->keys[i].name),
				   "Use a key of plain columns.");
	}
}

/*
 * A key that the mappings write as a whole, the primary one first; else the primary key, which the table makes itself.
 */
static void
choose_key(SyncTarget *target, Relation table)
{
	List *indexes = RelationGetIndexList(table);
	Oid mapped = InvalidOid, primary = InvalidOid;
	Relation index;
	ListCell *cell;

	foreach (cell, indexes)
	{
		index = index_open(lfirst_oid(cell), AccessShareLock);
		if (is_key(table, index))
		{
			bool all = count_mapped(target, table, index->rd_index) == index->rd_index->indnkeyatts;

			if (index->rd_index->indisprimary)
				primary = lfirst_oid(cell);
			if (all && (!OidIsValid(mapped) || index->rd_index->indisprimary))
				mapped = lfirst_oid(cell);
		}
		index_close(index, AccessShareLock);
	}
	if (!OidIsValid(mapped) && !OidIsValid(primary))
		refuse(target->conversion,
			   "It has no usable key: no primary key, and no unique index of mapped columns that are NOT NULL.",
			   "Give it a primary key: ALTER TABLE … ADD PRIMARY KEY (…).");
	index = index_open(OidIsValid(mapped) ? mapped : primary, AccessShareLock);
	use_key(target, table, index->rd_index);
	index_close(index, AccessShareLock);
}

/* A key that nothing fills in would fail for every record. */
static void
require_key_source(const SyncTarget *target, Relation table)
{
	if (target->key_mapped || !target->conversion->create_if_missing)
		return;
	for (int i = 0; i < target->nkeys; i++)
	{
		Form_pg_attribute attribute =
			TupleDescAttr(RelationGetDescr(table), get_attnum(target->relation, target->keys[i].name) - 1);

		if (target->keys[i].field < 0 && !attribute->atthasdef && attribute->attidentity == '\0')
			refuse(target->conversion,
				   psprintf("No mapping writes \"%s\", a part of its key, and the column has no default.", target->keys[i].name),
				   "Map the record's id to it, or make it an identity column.");
	}
}

/* --- rights --- */

pg_noreturn static void
refuse_rights(const SyncTarget *target, const char *right)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
					errmsg("the role \"%s\" may not write into %s", GetUserNameFromId(GetUserId(), false), target->name),
					errdetail("A task writes with the rights of its owner, who lacks %s.", right),
					errhint("GRANT SELECT, INSERT, UPDATE%s ON %s TO %s, or give the task another owner.",
							target->conversion->delete_if_removed ? ", DELETE" : "", target->name,
							quote_identifier(GetUserNameFromId(GetUserId(), false)))));
}

static void
require_right(const SyncTarget *target, AclMode mode, const char *right)
{
	Oid role = GetUserId();

	if (pg_class_aclcheck(target->relation, role, mode) == ACLCHECK_OK)
		return;
	/* Rights on single columns may do: the statements tell. */
	if (mode == ACL_DELETE || pg_attribute_aclcheck_all(target->relation, role, mode, ACLMASK_ANY) != ACLCHECK_OK)
		refuse_rights(target, right);
}

static void
require_rights(const SyncTarget *target)
{
	const IntegConversion *conversion = target->conversion;

	require_right(target, ACL_SELECT, "SELECT");
	if (conversion->create_if_missing)
		require_right(target, ACL_INSERT, "INSERT");
	if (conversion->update_if_exists)
		require_right(target, ACL_UPDATE, "UPDATE");
	if (conversion->delete_if_removed && strcmp(conversion->removal, "delete") == 0)
		require_right(target, ACL_DELETE, "DELETE");
}

/* --- the whole --- */

static void
find_deleted_column(SyncTarget *target, Relation table)
{
	AttrNumber number = get_attnum(target->relation, SYNC_DELETED_COLUMN);

	if (strcmp(target->conversion->removal, "soft_delete") != 0 || !target->conversion->delete_if_removed)
		return;
	if (number <= 0 || TupleDescAttr(RelationGetDescr(table), number - 1)->atttypid != TIMESTAMPTZOID)
		refuse(target->conversion, "Its removal is soft_delete, and it has no column " SYNC_DELETED_COLUMN " timestamptz.",
			   "ALTER TABLE … ADD COLUMN " SYNC_DELETED_COLUMN " timestamptz, or choose another removal.");
	if (field_of(target, SYNC_DELETED_COLUMN) < 0)
		target->deleted_column = SYNC_DELETED_COLUMN;
}

/* Constraints and triggers that wait for the commit are made to run with the page's statement. */
static bool
has_deferrable(Relation table)
{
	TriggerDesc *triggers = table->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgdeferrable)
			return true;
	return false;
}

static void
read_table(SyncTarget *target)
{
	const IntegConversion *conversion = target->conversion;
	Relation table;

	target->relation = conversion->target_relation;
	table = table_open(target->relation, AccessShareLock);
	if (table->rd_rel->relkind != RELKIND_RELATION && table->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		refuse(conversion, "It is no table.", "Records are written into tables.");
	target->partitioned = table->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	target->name =
		quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table)), RelationGetRelationName(table));
	target->deferrable = has_deferrable(table);
	target->rekeys = strcmp(conversion->strategy, "external_id") == 0;
	read_columns(target, table);
	choose_key(target, table);
	require_key_source(target, table);
	find_deleted_column(target, table);
	table_close(table, AccessShareLock);
	require_rights(target);
}

static void
require_usable(const IntegConversion *conversion, const pg_uuid_t *schema)
{
	if (conversion == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no conversion schema %s", integ_uuid_text(schema)),
						errhint("Give the task a schema of integ.conversion_schemas.")));
	if (!conversion->is_active)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the conversion schema \"%s\" is switched off", conversion->schema_id),
						errhint("UPDATE integ.conversion_schemas SET is_active = true …")));
	if (conversion->owner != GetUserId())
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the conversion schema \"%s\" is another role's", conversion->schema_id),
						errdetail("A task and its schema have the same owner, since both run with the owner's rights."),
						errhint("Give one of them the owner of the other, or make a copy of the schema.")));
	integ_conversion_require_runnable(conversion);
}

SyncTarget *
sync_target_open(const pg_uuid_t *schema)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "integ sync target", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SyncTarget *target = palloc0(sizeof(SyncTarget));

	target->context = context;
	target->conversion = integ_conversion_get(schema, INTEG_PULL);
	require_usable(target->conversion, schema);
	if (OidIsValid(target->conversion->target_relation))
		read_table(target);
	MemoryContextSwitchTo(old);
	return target;
}

Datum
sync_target_datum(const SyncTarget *target, char *null)
{
	*null = OidIsValid(target->relation) ? ' ' : 'n';
	return ObjectIdGetDatum(target->relation);
}

bool
sync_target_is_current(const SyncTarget *target, const pg_uuid_t *schema)
{
	return target->conversion == integ_conversion_get(schema, INTEG_PULL);
}

void
sync_target_close(SyncTarget *target)
{
	ListCell *cell;

	foreach (cell, target->statements)
		sync_statement_free(lfirst(cell));
	MemoryContextDelete(target->context);
}

/*
 * Rows of a small batch, inserted into the partition they belong to.
 *
 * A write waits for the row of its intent. COPY makes routing, constraints and indexes ready anew for every
 * batch, which takes several times as long as the two or three rows of a single writer; so what it takes to insert
 * into today's partition is kept between transactions here. Whatever is out of the ordinary is left to COPY.
 *
 * A plan is kept until an invalidation of its partition, which every change of the partition sends; the look
 * at it comes after the lock, behind which nothing changes any more.
 */
#include "record/insert.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "core/compat.h"
#include "executor/executor.h"
#include "libpq/pqformat.h"
#include "operate/operate.h"
#include "port/pg_bswap.h"
#include "record/recorder.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define FIELDS_MAX 32

/* How a field of an entry becomes a column's value. */
typedef struct Column
{
	int attribute; /* index into the row */
	Oid type, parameter;
	int32 modifier;
	FmgrInfo receive;
} Column;

/* What it takes to insert into one partition. */
typedef struct LogPlan
{
	MemoryContext context;	 /* holds all that the executor keeps; NULL: none was made */
	char table[NAMEDATALEN]; /* of the partition */
	Oid partition;
	bool plain;	  /* false: it is COPY's */
	bool current; /* no invalidation came since */
	bool in_use;  /* and still so at the next use: an error got in between */
	int nfields;
	Column id, retention, fields[FIELDS_MAX];
	EState *estate;
	ResultRelInfo *target;
	TupleTableSlot *slot;
	Oid *indexes;
} LogPlan;

/* One for requests, one for each retention class of the audit. */
static LogPlan plans[4];

static void
forget(Datum unused, Oid relation)
{
	for (size_t i = 0; i < lengthof(plans); i++)
		if (!OidIsValid(relation) || relation == plans[i].partition)
			plans[i].current = false;
}

static LogPlan *
plan_of(const char *class)
{
	static const char *const classes[] = {"short", "standard", "long"};

	if (class == NULL)
		return &plans[0];
	for (size_t i = 0; i < lengthof(classes); i++)
		if (strcmp(class, classes[i]) == 0)
			return &plans[i + 1];
	return NULL;
}

/* The retention class of an entry of the audit, NULL for a request. */
static const char *
class_of(const IntegEntry *entry)
{
	const char *client = INTEG_ENTRY_BODY(entry) + INTEG_ENTRY_CLIENT;
	uint32 length;

	if (entry->kind != INTEG_ENTRY_AUDIT)
		return NULL;
	memcpy(&length, client, sizeof(length));
	return integ_retention_class(client + sizeof(length), pg_ntoh32(length));
}

/* Finds the column by its name; false where there is none of that type (InvalidOid: any). */
static bool
describe_column(Relation partition, const char *name, Oid type, Column *column)
{
	AttrNumber number = get_attnum(RelationGetRelid(partition), name);
	Form_pg_attribute attribute;
	Oid receive;

	if (number == InvalidAttrNumber)
		return false;
	attribute = TupleDescAttr(RelationGetDescr(partition), number - 1);
	if (attribute->attgenerated != '\0' || (OidIsValid(type) && attribute->atttypid != type))
		return false;
	column->attribute = number - 1;
	column->type = attribute->atttypid;
	column->modifier = attribute->atttypmod;
	getTypeBinaryInputInfo(column->type, &receive, &column->parameter);
	fmgr_info(receive, &column->receive);
	return true;
}

/* Whether the row consists of our columns and nothing else, so that no default and no generated value is missed. */
static bool
describe_columns(LogPlan *plan, Relation partition, bool audit)
{
	const char *const *names = audit ? integ_audit_columns : integ_request_columns;
	TupleDesc row = RelationGetDescr(partition);
	int expected = 1 + (audit ? 1 : 0);

	plan->nfields = audit ? integ_audit_columns_count : integ_request_columns_count;
	for (int i = 0; i < plan->nfields; i++)
		if (!describe_column(partition, names[i], InvalidOid, &plan->fields[i]))
			return false;
	if (!describe_column(partition, "id", INT8OID, &plan->id) ||
		(audit && !describe_column(partition, "retention", TEXTOID, &plan->retention)))
		return false;
	expected += plan->nfields;
	for (int i = 0; i < row->natts; i++)
		if (!TupleDescAttr(row, i)->attisdropped)
			expected--;
	return expected == 0;
}

/* Whether every index is a b-tree of plain columns, whose description holds nothing of a transaction. */
static bool
describe_indexes(LogPlan *plan)
{
	ResultRelInfo *target = plan->target;
	bool plain = true;

	ExecOpenIndices(target, false);
	plan->indexes = palloc(Max(target->ri_NumIndices, 1) * sizeof(Oid));
	for (int i = 0; i < target->ri_NumIndices; i++)
	{
		const IndexInfo *info = target->ri_IndexRelationInfo[i];

		plan->indexes[i] = RelationGetRelid(target->ri_IndexRelationDescs[i]);
		plain = plain && info->ii_Am == BTREE_AM_OID && info->ii_Expressions == NIL && info->ii_Predicate == NIL &&
				info->ii_ExclusionOps == NULL;
	}
	ExecCloseIndices(target);
	return plain;
}

static bool
is_descendant(Oid partition, Oid log)
{
	for (Oid relation = partition; get_rel_relispartition(relation);)
	{
		relation = get_partition_parent(relation, false);
		if (relation == log)
			return true;
	}
	return false;
}

/* Inside plan->context: false where the partition is COPY's. */
static bool
describe(LogPlan *plan, Relation log, Relation partition)
{
	bool descends = is_descendant(RelationGetRelid(partition), RelationGetRelid(log));

	if (partition->rd_rel->relkind != RELKIND_RELATION || !descends || partition->trigdesc != NULL ||
		!describe_columns(plan, partition, plan != &plans[0]))
		return false;
	plan->estate = CreateExecutorState();
	MemoryContextSwitchTo(plan->estate->es_query_cxt);
	plan->target = makeNode(ResultRelInfo);
	InitResultRelInfo(plan->target, partition, 0, NULL, 0);
	/* A copy, which no resource owner knows. */
	plan->slot = MakeTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(partition)), &TTSOpsVirtual);
	return describe_indexes(plan);
}

/* Makes the plan for a partition, which is locked. */
static void
make_plan(LogPlan *plan, Relation log, Relation partition)
{
	MemoryContext old;

	if (plan->context != NULL)
		MemoryContextDelete(plan->context);
	memset(plan, 0, sizeof(*plan));
	plan->context = AllocSetContextCreate(TopMemoryContext, "integ log partition", ALLOCSET_SMALL_SIZES);
	strlcpy(plan->table, RelationGetRelationName(partition), sizeof(plan->table));
	plan->partition = RelationGetRelid(partition);
	plan->current = true;
	old = MemoryContextSwitchTo(plan->context);
	plan->plain = describe(plan, log, partition);
	MemoryContextSwitchTo(old);
}

static int64
day_of(const IntegEntry *entry)
{
	return integ_day_of(integ_entry_time(entry));
}

/* Whether all belong into the partition of the first. */
static bool
belong_together(IntegEntry *const *entries, int count)
{
	const char *class = class_of(entries[0]);

	for (int i = 1; i < count; i++)
		if (day_of(entries[i]) != day_of(entries[0]) || (class != NULL && strcmp(class_of(entries[i]), class) != 0))
			return false;
	return true;
}

/* The partition of an entry, locked until the end of the transaction, with its plan; NULL where it is COPY's. */
static Relation
open_partition(Relation log, const IntegEntry *entry, LogPlan *plan)
{
	const char *class = class_of(entry);
	char parent[NAMEDATALEN];
	char *table;
	Relation partition;
	Oid oid = plan->partition;

	snprintf(parent, sizeof(parent), "%s%s%s", RelationGetRelationName(log), class == NULL ? "" : "_",
			 class == NULL ? "" : class);
	table = integ_partition_name(parent, day_of(entry));
	if (!plan->current || strcmp(plan->table, table) != 0)
		oid = get_relname_relid(table, RelationGetNamespace(log));
	if (!OidIsValid(oid) || (partition = try_table_open(oid, RowExclusiveLock)) == NULL)
		return NULL;
	if (!plan->current || plan->in_use || plan->partition != oid)
		make_plan(plan, log, partition);
	if (plan->plain)
		return partition;
	table_close(partition, NoLock);
	return NULL;
}

static void
set_value(const LogPlan *plan, const Column *column, Datum value)
{
	plan->slot->tts_values[column->attribute] = value;
	plan->slot->tts_isnull[column->attribute] = false;
}

/* As COPY reads its binary format: a length, -1 for NULL, and what the type's receive function takes. */
static void
fill_fields(LogPlan *plan, const IntegEntry *entry)
{
	StringInfoData field;
	const char *at = INTEG_ENTRY_BODY(entry);

	initStringInfo(&field);
	for (int i = 0; i < plan->nfields; i++)
	{
		Column *column = &plan->fields[i];
		uint32 length;

		memcpy(&length, at, sizeof(length));
		length = pg_ntoh32(length);
		at += sizeof(length);
		if (length == (uint32) -1)
			continue;
		resetStringInfo(&field);
		appendBinaryStringInfo(&field, at, (int) length);
		at += length;
		set_value(plan, column,
				  ReceiveFunctionCall(&column->receive, &field, column->parameter, column->modifier));
		if (field.cursor != field.len)
			ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("incorrect binary data format")));
	}
}

static void
insert_row(LogPlan *plan, const IntegEntry *entry, Oid sequence)
{
	TupleTableSlot *slot = plan->slot;
	EState *estate = plan->estate;
	Relation partition = plan->target->ri_RelationDesc;
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts);
	set_value(plan, &plan->id, Int64GetDatum(nextval_internal(sequence, false)));
	fill_fields(plan, entry);
	if (entry->kind == INTEG_ENTRY_AUDIT)
		set_value(plan, &plan->retention, CStringGetTextDatum(class_of(entry)));
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(partition);
	if (!ExecPartitionCheck(plan->target, slot, estate, false))
	{
		/* It has the name and not the bounds. The batch is tried again, by COPY. */
		plan->plain = plan->in_use = false;
		ExecPartitionCheckEmitError(plan->target, slot, estate);
	}
	ExecConstraints(plan->target, slot, estate);
	table_tuple_insert(partition, slot, GetCurrentCommandId(true), 0, NULL);
	(void) integ_insert_index_tuples(plan->target, slot, estate);
	ExecClearTuple(slot);
	MemoryContextSwitchTo(old);
	ResetPerTupleExprContext(estate);
}

bool
integ_log_insert(Relation log, Oid sequence, IntegEntry *const *entries, int count)
{
	static bool registered = false;
	LogPlan *plan = plan_of(class_of(entries[0]));
	ResultRelInfo *target;
	Relation partition;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
		registered = true;
	}
	if (plan == NULL || log->trigdesc != NULL || !belong_together(entries, count))
		return false;
	partition = open_partition(log, entries[0], plan);
	if (partition == NULL)
		return false;
	plan->in_use = true;
	target = plan->target;
	target->ri_RelationDesc = partition;
	for (int i = 0; i < target->ri_NumIndices; i++)
		target->ri_IndexRelationDescs[i] = index_open(plan->indexes[i], RowExclusiveLock);
	for (int i = 0; i < count; i++)
		insert_row(plan, entries[i], sequence);
	ExecCloseIndices(target);
	table_close(partition, NoLock);
	plan->in_use = false;
	return true;
}

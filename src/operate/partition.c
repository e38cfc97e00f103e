/*
 * Partitions by day (UTC) of the history: made ahead, dropped when their time
 * is over.
 *
 * A partition is made as a table of its own and then attached, which only takes
 * a lock that readers and writers do not notice. It becomes a member of the
 * extension, so that dumps leave it out and DROP EXTENSION takes it along.
 */
#include "operate/operate.h"

#include "access/actor.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(integ_partitions_maintain);

#define DAYS_AHEAD 3
#define LOCK_TIMEOUT "200ms"
#define NOTIFICATION_DAYS "90"

/* A table partitioned by day, and how many days it is kept. Capabilities add their history here. */
static const struct Partitioned
{
	const char *table;
	int days;
	const int *setting; /* instead of days */
} partitioned[] = {
	{"requests", 0, &integ_log_retention},
	{"audit_log_short", 30, NULL},
	{"audit_log_standard", 365, NULL},
	{"audit_log_long", 2557, NULL},
	{"events", 90, NULL},
	{"webhook_events", 0, &integ_log_retention},
	{"calls_done", 0, &integ_log_retention},
	{"deliveries_done", 0, &integ_log_retention},
	{"delivery_attempts", 0, &integ_log_retention},
	{"sync_executions_done", 0, &integ_sync_retention},
	{"sync_errors", 0, &integ_sync_retention},
	{"sync_logs", 0, &integ_sync_retention},
};

int
integ_day_of(TimestampTz time)
{
	int64 day = time / USECS_PER_DAY;

	return (int) (time % USECS_PER_DAY < 0 ? day - 1 : day);
}

static char *
day_text(int day, const char *format)
{
	int year, month, dom;

	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &dom);
	return psprintf(format, year, month, dom);
}

char *
integ_partition_name(const char *table, int day)
{
	return psprintf("%s_%s", table, day_text(day, "%04d%02d%02d"));
}

static void
run_utility(const char *sql)
{
	int rc = SPI_execute(sql, false, 0);

	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", sql, SPI_result_code_string(rc));
}

/* A lock of somebody's statement must not make all others queue behind ours. */
static void
limit_lock_wait(void)
{
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static ObjectAddress
extension_address(void)
{
	ObjectAddress address;

	ObjectAddressSet(address, ExtensionRelationId, get_extension_oid("integ", false));
	return address;
}

/* Rows that came before their partition are in the DEFAULT one; an attach would find them. */
static void
move_from_default(const char *table, const char *name, const char *from, const char *to)
{
	char *fallback = psprintf("integ.%s_default", table);

	run_utility(psprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", fallback));
	run_utility(psprintf("WITH moved AS (DELETE FROM ONLY %s WHERE created_at >= '%s' AND created_at < '%s' RETURNING *)"
						 " INSERT INTO integ.%s SELECT * FROM moved",
						 fallback, from, to, name));
}

/* In an owner scope: makes the partition of one day; false where it is there. */
static bool
create_partition(const char *table, int day)
{
	char *name = integ_partition_name(table, day);
	char *from = day_text(day, "%04d-%02d-%02d 00:00:00+00");
	char *to = day_text(day + 1, "%04d-%02d-%02d 00:00:00+00");
	Oid schema = get_namespace_oid("integ", false);
	ObjectAddress partition, extension = extension_address();

	if (OidIsValid(get_relname_relid(name, schema)))
		return false;
	run_utility(psprintf("CREATE TABLE integ.%s (LIKE integ.%s INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
						 " INCLUDING STORAGE)",
						 name, table));
	run_utility(psprintf("ALTER TABLE integ.%s ENABLE ROW LEVEL SECURITY", name));
	move_from_default(table, name, from, to);
	run_utility(psprintf("ALTER TABLE integ.%s ATTACH PARTITION integ.%s FOR VALUES FROM ('%s') TO ('%s')", table, name,
						 from, to));
	ObjectAddressSet(partition, RelationRelationId, get_relname_relid(name, schema));
	/* Inside CREATE EXTENSION it is a member already. */
	if (!OidIsValid(getExtensionOfObject(RelationRelationId, partition.objectId)))
		recordDependencyOn(&partition, &extension, DEPENDENCY_EXTENSION);
	return true;
}

static void
leave_extension(Oid class, Oid object, Oid extension)
{
	if (OidIsValid(object))
		deleteDependencyRecordsForSpecific(class, object, DEPENDENCY_EXTENSION, ExtensionRelationId, extension);
}

/* In an owner scope. A member of an extension cannot be dropped: it leaves first. */
static void
drop_partition(const char *name)
{
	Oid relation = get_relname_relid(name, get_namespace_oid("integ", false));
	ObjectAddress extension = extension_address();
	Oid row_type;

	if (!OidIsValid(relation))
		return;
	/* From PostgreSQL 17 on, the types of a table that CREATE EXTENSION made are members as well. */
	row_type = get_rel_type_id(relation);
	leave_extension(RelationRelationId, relation, extension.objectId);
	leave_extension(TypeRelationId, row_type, extension.objectId);
	leave_extension(TypeRelationId, get_array_type(row_type), extension.objectId);
	CommandCounterIncrement();
	run_utility(psprintf("DROP TABLE integ.%s", name));
}

static int
days_kept(const struct Partitioned *table)
{
	return table->setting == NULL ? table->days : *table->setting;
}

/* In an owner scope: names of the partitions whose whole day is past its time, oldest first, in context. */
static List *
expired_partitions(const struct Partitioned *table, TimestampTz now, MemoryContext context)
{
	static IntegQuery children = {
		"SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid"
		" WHERE i.inhparent = ('integ.' || $1)::pg_catalog.regclass AND c.relname ~ ('^' || $1 || '_[0-9]{8}$')"
		" AND c.relname < $2 COLLATE \"C\" ORDER BY c.relname",
		2,
		{TEXTOID, TEXTOID}};
	int first = integ_day_of(now) - days_kept(table);
	Datum arguments[2] = {CStringGetTextDatum(table->table),
						  CStringGetTextDatum(integ_partition_name(table->table, first))};
	uint64 count = integ_query(&children, arguments, NULL);
	List *names = NIL;

	for (uint64 i = 0; i < count; i++)
	{
		char *name = integ_result_text(i, 1, context);
		MemoryContext old = MemoryContextSwitchTo(context);

		names = lappend(names, name);
		MemoryContextSwitchTo(old);
	}
	return names;
}

/*
 * SQL: makes and drops what is due at the given time, in the caller's
 * transaction. The clock is an argument so that years can pass in a test.
 */
Datum
integ_partitions_maintain(PG_FUNCTION_ARGS)
{
	TimestampTz now = PG_GETARG_TIMESTAMPTZ(0);
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	int changes = 0;

	if (TIMESTAMP_NOT_FINITE(now))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the time must be finite")));
	integ_actor_require(INTEG_LEVEL_SUPERADMIN, "maintain partitions");
	integ_owner_enter(&scope);
	limit_lock_wait();
	for (size_t i = 0; i < lengthof(partitioned); i++)
	{
		ListCell *cell;

		for (int day = 0; day <= DAYS_AHEAD; day++)
			changes += create_partition(partitioned[i].table, integ_day_of(now) + day) ? 1 : 0;
		foreach (cell, expired_partitions(&partitioned[i], now, context))
		{
			drop_partition(lfirst(cell));
			changes++;
		}
	}
	integ_owner_leave(&scope);
	PG_RETURN_INT32(changes);
}

/* Collects what could not be done now, so that one locked table does not stop the others. */
typedef struct Failures
{
	int count;
	char message[INTEG_ERROR_MAX];
} Failures;

typedef void (*PartitionStep)(const struct Partitioned *table, const char *name, int day);

static void
create_step(const struct Partitioned *table, const char *name, int day)
{
	(void) create_partition(table->table, day);
}

static void
drop_step(const struct Partitioned *table, const char *name, int day)
{
	drop_partition(name);
}

/* One step in a transaction of its own. */
static void
run_step(PartitionStep step, const struct Partitioned *table, const char *name, int day, Failures *failures)
{
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;

	PG_TRY();
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		integ_owner_enter(&scope);
		limit_lock_wait();
		step(table, name, day);
		integ_owner_leave(&scope);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		failures->count++;
		snprintf(failures->message, sizeof(failures->message), "%s: %s", name == NULL ? table->table : name, error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/* The job tells of what it must do again. */
static void
report(const Failures *failures, const char *what)
{
	if (failures->count > 0)
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("%d partitions could not be %s (%s)", failures->count, what, failures->message),
						errhint("They are tried again; find who holds a lock on the tables in pg_locks.")));
}

void
integ_partitions_run(void)
{
	Failures failures = {0};
	int today = integ_day_of(GetCurrentTimestamp());

	for (size_t i = 0; i < lengthof(partitioned); i++)
		for (int day = 0; day <= DAYS_AHEAD; day++)
			run_step(create_step, &partitioned[i], NULL, today + day, &failures);
	report(&failures, "made");
}

static void
delete_notifications(void)
{
	static IntegQuery expire = {"DELETE FROM integ.notifications"
								" WHERE created_at < pg_catalog.now() - interval '" NOTIFICATION_DAYS " days'",
								0};
	IntegOwnerScope scope;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	integ_query(&expire, NULL, NULL);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static List *
all_expired(const struct Partitioned *table)
{
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	List *names;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	names = expired_partitions(table, GetCurrentTimestamp(), context);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return names;
}

void
integ_retention_run(void)
{
	Failures failures = {0};

	for (size_t i = 0; i < lengthof(partitioned); i++)
	{
		ListCell *cell;

		foreach (cell, all_expired(&partitioned[i]))
			run_step(drop_step, &partitioned[i], lfirst(cell), 0, &failures);
	}
	delete_notifications();
	report(&failures, "dropped");
}

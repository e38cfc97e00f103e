/*
 * Commands that need a database to themselves: our workers leave it first, and
 * come back if the command fails or the database lives on.
 *
 * DROP DATABASE, ALTER DATABASE … RENAME, … SET TABLESPACE, CREATE DATABASE
 * with the database as its template, and DROP EXTENSION integ, which locks all our
 * tables one after the other: a worker among them would wait for it in a circle, or
 * have it wait for a user's function. The workers leave only for somebody whom
 * PostgreSQL would let run the command.
 */
#include "operate/operate.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "core/compat.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* Longest wait for our workers to leave; PostgreSQL then says that the database is in use. */
#define LEAVE_TIMEOUT_MS 10000

static ProcessUtility_hook_type previous_hook;

static bool
has_database_option(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
		if (strcmp(lfirst_node(DefElem, cell)->defname, name) == 0)
			return true;
	return false;
}

static const char *
template_name(const CreatedbStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return "template1";
}

static bool
is_template(Oid database)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return result;
}

/* The database that the command needs to itself and may have, by name; NULL for any other command. */
static const char *
wanted_database(Node *statement, bool *is_copy)
{
	*is_copy = false;
	if (IsA(statement, DropdbStmt))
		return castNode(DropdbStmt, statement)->dbname;
	if (IsA(statement, RenameStmt) && castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE)
		return castNode(RenameStmt, statement)->subname;
	if (IsA(statement, AlterDatabaseStmt) &&
		has_database_option(castNode(AlterDatabaseStmt, statement)->options, "tablespace"))
		return castNode(AlterDatabaseStmt, statement)->dbname;
	if (IsA(statement, CreatedbStmt))
	{
		*is_copy = true;
		return template_name(castNode(CreatedbStmt, statement));
	}
	return NULL;
}

/* As have_createdb_privilege(), which early minor versions of PostgreSQL 15 keep to themselves. */
static bool
may_create_databases(void)
{
	HeapTuple role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool may = HeapTupleIsValid(role) && ((Form_pg_authid) GETSTRUCT(role))->rolcreatedb;

	if (HeapTupleIsValid(role))
		ReleaseSysCache(role);
	return may;
}

static bool
may_have(Oid database, bool is_copy)
{
	if (superuser())
		return true;
	if (is_copy)
		return may_create_databases() &&
			   (is_template(database) || integ_database_ownercheck(database, GetUserId()));
	return integ_database_ownercheck(database, GetUserId());
}

static bool
drops_extension(Node *statement)
{
	ListCell *cell;

	if (!IsA(statement, DropStmt) || castNode(DropStmt, statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach (cell, castNode(DropStmt, statement)->objects)
		if (strcmp(strVal(lfirst(cell)), "integ") == 0)
			return true;
	return false;
}

/* The slot whose workers must leave for the command, NULL for none. */
static IntegDatabase *
affected(Node *statement)
{
	bool is_copy;
	const char *name;
	Oid database;

	if (integ_shared == NULL || !IsTransactionState())
		return NULL;
	if (drops_extension(statement))
		return superuser() ? integ_shmem_mine() : NULL;
	name = wanted_database(statement, &is_copy);
	if (name == NULL)
		return NULL;
	database = get_database_oid(name, true);
	if (!OidIsValid(database) || database == MyDatabaseId || !may_have(database, is_copy))
		return NULL;
	return integ_shmem_find(database);
}

/* Workers attach and leave under the lock, so that a pid seen under it is theirs. */
static bool
tell_to_leave(IntegDatabase *slot)
{
	bool gone;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (slot->keeper_pid != 0)
		kill(slot->keeper_pid, SIGTERM);
	if (slot->maintenance_pid != 0)
		kill(slot->maintenance_pid, SIGTERM);
	gone = slot->keeper_pid == 0 && slot->maintenance_pid == 0;
	gone &= integ_shmem_stop_workers(slot);
	if (gone)
		integ_shmem_state(slot, INTEG_DATABASE_STOPPED);
	else
		integ_shmem_state(slot, INTEG_DATABASE_STOPPING);
	LWLockRelease(integ_shared->lock);
	return gone;
}

static void
send_away(IntegDatabase *slot)
{
	TimestampTz deadline = GetCurrentTimestamp() + LEAVE_TIMEOUT_MS * INT64CONST(1000);

	ConditionVariablePrepareToSleep(&slot->changed);
	while (!tell_to_leave(slot) && GetCurrentTimestamp() < deadline)
		(void) ConditionVariableTimedSleep(&slot->changed, 1000, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

/* Slots that this transaction keeps the workers away from, and whether it made a database. */
static List *kept_away = NIL;
static bool created_database = false;

/* Lets the workers come back; the launcher frees the slot of a database that is gone. */
static void
let_back(IntegDatabase *slot)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (slot->suspended > 0 && --slot->suspended == 0)
	{
		slot->retry_at = 0;
		slot->failures = 0;
		if (OidIsValid(slot->database))
			integ_shmem_state(slot, INTEG_DATABASE_WAITING);
	}
	LWLockRelease(integ_shared->lock);
}

/* An error, a FATAL and a ROLLBACK all come by here, so that nobody stays away for good. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	ListCell *cell;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (kept_away == NIL && !created_database)
		return;
	foreach (cell, kept_away)
		let_back(lfirst(cell));
	list_free(kept_away);
	kept_away = NIL;
	created_database = false;
	integ_shmem_wake_launcher(true);
}

static void
register_callback(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
}

static void
keep_away(IntegDatabase *slot)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	kept_away = lappend(kept_away, slot);
	MemoryContextSwitchTo(old);
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	slot->suspended++;
	LWLockRelease(integ_shared->lock);
	send_away(slot);
}

static void
call_next(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
		  ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if (previous_hook)
		previous_hook(pstmt, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, environment, dest, completion);
}

/* What our processes must look at after the command, once it commits. */
static void
wake_after(Node *statement)
{
	if (integ_shared == NULL)
		return;
	if (IsA(statement, DropStmt) && (castNode(DropStmt, statement)->removeType == OBJECT_EXTENSION ||
									 castNode(DropStmt, statement)->removeType == OBJECT_SCHEMA))
		integ_wake_at_commit(INTEG_WAKE_EXTENSION);
	else if (IsA(statement, TransactionStmt) &&
			 castNode(TransactionStmt, statement)->kind == TRANS_STMT_COMMIT_PREPARED)
	{
		/* It has committed already: what the prepared transaction changed is unknown here. */
		IntegDatabase *mine = integ_shmem_mine();

		if (mine != NULL)
			integ_shmem_wake_keeper(mine, INTEG_WAKE_ALL);
		integ_wake_everything();
	}
	else if (IsA(statement, CreatedbStmt))
		created_database = true;
	else if (IsA(statement, AlterDatabaseSetStmt) || IsA(statement, AlterRoleSetStmt))
		integ_wake_at_commit(INTEG_WAKE_LISTENERS);
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	Node *statement = pstmt->utilityStmt;
	IntegDatabase *slot = affected(statement);

	if (integ_shared != NULL)
		register_callback();
	if (slot != NULL)
		keep_away(slot);
	call_next(pstmt, query, read_only_tree, context, params, environment, dest, completion);
	wake_after(statement);
}

void
integ_commands_init(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

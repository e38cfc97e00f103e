/*
 * Held: a copy of a database must not repeat what the original does.
 *
 * integ.identity says which database the rows around it belong to. It has one
 * row that names this cluster, database and timeline; anything else (another
 * cluster after a base backup, another database after TEMPLATE, a second row
 * after a restore, a new timeline after point-in-time recovery) is a copy, until
 * integ_resume() says that it is the one to go on.
 */
#include "operate/operate.h"

#include "access/actor.h"
#include "access/xlog.h"
#include "calls/manage.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_resume);

static char *
system_identifier(void)
{
	return psprintf(UINT64_FORMAT, GetSystemIdentifier());
}

/* What one row of the table says against this database; NULL for nothing. */
static char *
row_problem(uint64 row, MemoryContext context, bool *new_timeline)
{
	char *system = integ_result_text(row, 1, context);
	Oid database = DatumGetObjectId(integ_result_int8(row, 2));
	char *name = integ_result_text(row, 3, context);
	int64 timeline = integ_result_int8(row, 4);

	*new_timeline = false;
	if (system[0] == '\0')
		return MemoryContextStrdup(context, "Rows were restored or replicated into it.");
	if (strcmp(system, system_identifier()) != 0)
		return MemoryContextStrdup(context,
								   psprintf("It is a copy of database \"%s\" of the cluster with the system identifier %s.",
											name, system));
	if (database != MyDatabaseId)
		return MemoryContextStrdup(context, psprintf("It is a copy of database \"%s\" (oid %u) of this cluster.",
													 name, database));
	if (timeline != GetWALInsertionTimeLine())
	{
		*new_timeline = true;
		return MemoryContextStrdup(context,
								   psprintf("The cluster was recovered to a point in time: it was on timeline " INT64_FORMAT
											" and is on %u.",
											timeline, GetWALInsertionTimeLine()));
	}
	return NULL;
}

/* In an owner scope. */
static char *
problem(MemoryContext context, bool *exists, bool *new_timeline)
{
	static IntegQuery rows = {
		"SELECT system_identifier, database_oid::bigint, database_name, timeline FROM integ.identity ORDER BY id", 0};
	uint64 count = integ_query(&rows, NULL, NULL);
	char *found = NULL;
	bool is_timeline = false;

	*exists = count > 0;
	for (uint64 i = 0; i < count && found == NULL; i++)
		found = row_problem(i, context, &is_timeline);
	*new_timeline = is_timeline && count == 1;
	if (found == NULL && count > 1)
		found = MemoryContextStrdup(context, "An older state of this database was restored into it.");
	return found == NULL ? MemoryContextStrdup(context, "") : found;
}

char *
integ_identity_problem(bool *exists)
{
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	bool new_timeline;
	char *found;

	integ_owner_enter(&scope);
	found = problem(context, exists, &new_timeline);
	integ_owner_leave(&scope);
	return found;
}

/* Runs a statement whose parameters are this cluster, database, name and timeline; returns its rows. */
static uint64
query_identity(IntegQuery *query)
{
	Datum arguments[4] = {CStringGetTextDatum(system_identifier()), ObjectIdGetDatum(MyDatabaseId),
						  CStringGetTextDatum(get_database_name(MyDatabaseId)),
						  Int32GetDatum((int32) GetWALInsertionTimeLine())};

	return integ_query(query, arguments, NULL);
}

/* In an owner scope: names this database. */
static void
insert_identity(void)
{
	static IntegQuery write = {
		"INSERT INTO integ.identity (system_identifier, database_oid, database_name, timeline) VALUES ($1, $2, $3, $4)",
		4,
		{TEXTOID, OIDOID, TEXTOID, INT4OID}};

	(void) query_identity(&write);
}

/* In an owner scope: makes this database the only one the table names. */
static void
replace_identity(void)
{
	static IntegQuery clear = {"DELETE FROM integ.identity", 0};

	integ_query(&clear, NULL, NULL);
	insert_identity();
}

/*
 * In an owner scope: follows a rename or a promotion in this database's own
 * row. A row of another one may have been restored since the rows were
 * looked at; it stays, and holds this database in the next round.
 */
static void
update_identity(void)
{
	static IntegQuery outdated = {"SELECT FROM integ.identity WHERE system_identifier = $1 AND database_oid = $2 "
								  "AND (database_name, timeline) <> ($3, $4)",
								  4,
								  {TEXTOID, OIDOID, TEXTOID, INT4OID}};
	static IntegQuery update = {"UPDATE integ.identity SET database_name = $3, timeline = $4 "
								"WHERE system_identifier = $1 AND database_oid = $2",
								4,
								{TEXTOID, OIDOID, TEXTOID, INT4OID}};

	/* Asked first: even an UPDATE of nothing would wake the keeper again. */
	if (query_identity(&outdated) > 0)
		(void) query_identity(&update);
}

static void
emit_promoted(void)
{
	IntegJsonBuilder payload;

	integ_json_begin_object(&payload);
	integ_json_add_int(&payload, "timeline", GetWALInsertionTimeLine());
	integ_event_emit("database.promoted", NULL, NULL, integ_json_end(&payload));
}

void
integ_identity_check(IntegDatabase *database)
{
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	bool exists, new_timeline;
	uint32 changes;
	char *found;

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	changes = database->identity_changes;
	LWLockRelease(integ_shared->lock);
	integ_owner_enter(&scope);
	found = problem(context, &exists, &new_timeline);
	/* A standby that this server saw itself being, and whose promotion it was. */
	if (new_timeline && integ_shared->standby_seen)
	{
		emit_promoted();
		integ_calls_abandon("the database was promoted while the call was open");
		found = "";
	}
	if (!exists)
		insert_identity();
	else if (found[0] == '\0')
		update_identity();
	integ_owner_leave(&scope);

	/*
	 * What has changed meanwhile was not seen, as the row that a restore brings: nothing leaves until the next round,
	 * for which the change has woken the keeper.
	 */
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (database->identity_changes == changes)
	{
		strlcpy(database->held_reason, found, sizeof(database->held_reason));
		database->held = found[0] == '\0' ? INTEG_HELD_NO : INTEG_HELD_YES;
	}
	LWLockRelease(integ_shared->lock);
}

void
integ_require_not_held(void)
{
	IntegDatabase *database = integ_shmem_mine();
	bool exists;
	char *reason;

	if (integ_hold)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("nothing leaves this server at present"),
						errdetail("integ.hold is on."),
						errhint("Set integ.hold = off in postgresql.conf and reload, once requests may leave.")));
	if (database != NULL && database->held == INTEG_HELD_NO)
		return;
	reason = integ_identity_problem(&exists);
	if (reason[0] != '\0')
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("nothing leaves this database: it is held"),
						errdetail("%s", reason),
						errhint("If this database is to act from now on, call integ_resume() as a superadmin.")));
}

bool
integ_is_copied_into(Oid table)
{
	Node *statement;

	if (ActivePortal == NULL || ActivePortal->commandTag != CMDTAG_COPY || list_length(ActivePortal->stmts) != 1)
		return false;
	statement = linitial_node(PlannedStmt, ActivePortal->stmts)->utilityStmt;
	return statement != NULL && IsA(statement, CopyStmt) && castNode(CopyStmt, statement)->relation != NULL &&
		   RangeVarGetRelid(castNode(CopyStmt, statement)->relation, NoLock, true) == table;
}

void
integ_identity_note_copy(const TriggerData *trigger)
{
	static IntegQuery write = {
		"INSERT INTO integ.identity (system_identifier, database_oid, database_name, timeline)"
		" SELECT '', 0, '', 0 WHERE NOT EXISTS (SELECT FROM integ.identity WHERE system_identifier = '')",
		0};
	IntegOwnerScope scope;

	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		(!IsLogicalWorker() && !integ_is_copied_into(RelationGetRelid(trigger->tg_relation))))
		return;
	integ_owner_enter(&scope);
	(void) integ_query(&write, NULL, NULL);
	integ_owner_leave(&scope);
}

Datum
integ_resume(PG_FUNCTION_ARGS)
{
	IntegOwnerScope scope;
	IntegJsonBuilder payload;
	MemoryContext context = CurrentMemoryContext;
	bool exists, new_timeline;
	char *found;

	integ_actor_require(INTEG_LEVEL_SUPERADMIN, "resume a held database");
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("integ does nothing on a standby"),
						errhint("Promote it first.")));
	integ_owner_enter(&scope);
	found = problem(context, &exists, &new_timeline);
	replace_identity();
	if (found[0] != '\0')
		integ_calls_abandon("the call was open when this copy of the database was resumed");
	integ_owner_leave(&scope);
	if (found[0] == '\0')
		PG_RETURN_TEXT_P(cstring_to_text("nothing to do: this database was not held"));

	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "reason", found);
	integ_event_emit("database.resumed", NULL, NULL, integ_json_end(&payload));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("resumed: this database acts from now on (%s)", found)));
}

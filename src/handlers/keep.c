/*
 * The keeper's part: whatever is due has a worker of its owner.
 *
 * An owner without a worker comes before one that has some, and of several
 * the one that waits longest. One owner leaves a slot to the others; where there
 * is none left, idle workers leave, and busy ones after what they do.
 */
#include "handlers/worker.h"

#include "../background_workers/worker.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define RESCAN USECS_PER_MINUTE
#define HELD_PAUSE (5 * USECS_PER_SEC)
#define START_RETRY (10 * USECS_PER_SEC)

/* A worker that has been at one run for so long does not soon take the next. */
#define PATIENCE (100 * INT64CONST(1000))

/* How long the postmaster may take to start one that nobody has heard of. */
#define START_TIMEOUT USECS_PER_MINUTE

#define OWNERS_MAX 256
#define REFUSED_PER_ROUND "1000"

#define FAILED_TO_START "a worker could not start as its owner; the server log says why"

/* When a run is tried again; arguments: its attempts, integ.retry_delay and integ.max_retry_delay in ms. */
#define BACKOFF_SQL(attempt, first, longest)                                                 \
	"pg_catalog.clock_timestamp() + pg_catalog.random() * least(" longest "::float8, " first \
	"::float8 * pg_catalog.power(2::float8, least(" attempt ", 30)::float8)) * interval '1 ms'"

typedef struct Owner
{
	Oid role;
	int due;		  /* runs, counted up to INTEG_MAX_HANDLERS */
	TimestampTz next; /* when its next run is due; DT_NOEND: never */
	int requests;	  /* that no worker has taken */
	bool failed;	  /* a worker could not start as it */
	char *problem;	  /* why none can run as it */
	int workers;	  /* all of its, on their way or there */
	int coming;		  /* of these, those that take something soon */
} Owner;

typedef struct Round
{
	IntegDatabase *database;
	bool open; /* runs may begin: the database is not held */
	TimestampTz now;
	TimestampTz due; /* of the next round */
	int nowners;
	Owner owners[OWNERS_MAX];
	int nstarts;
	int starts[INTEG_MAX_HANDLERS]; /* slots */
} Round;

/* Of those that this keeper has started. */
static BackgroundWorkerHandle *started[INTEG_MAX_HANDLERS];

static Owner *
owner_of(Round *round, Oid role)
{
	for (int i = 0; i < round->nowners; i++)
		if (round->owners[i].role == role)
			return &round->owners[i];
	if (round->nowners == OWNERS_MAX)
		return NULL;
	round->owners[round->nowners] = (Owner){.role = role, .next = DT_NOEND};
	return &round->owners[round->nowners++];
}

/* Slots whose worker never got as far as to take them. */
static void
collect_failures(Round *round)
{
	IntegHandlers *handlers = &round->database->handlers;

	for (int i = 0; i < INTEG_MAX_HANDLERS; i++)
	{
		IntegHandlerSlot *slot = &handlers->slots[i];
		bool stopped = slot->state == INTEG_HANDLER_STARTING && integ_worker_has_stopped(started[i]);
		Oid failed = InvalidOid;
		Owner *owner;

		LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
		if (slot->state == INTEG_HANDLER_FAILED || (slot->state == INTEG_HANDLER_STARTING && stopped))
			failed = slot->owner;
		if (OidIsValid(failed) ||
			(slot->state == INTEG_HANDLER_STARTING && slot->since + START_TIMEOUT < round->now))
			slot->state = INTEG_HANDLER_FREE;
		LWLockRelease(integ_shared->lock);
		owner = OidIsValid(failed) ? owner_of(round, failed) : NULL;
		if (owner != NULL)
			owner->failed = true;
	}
}

static void
collect_requests(Round *round)
{
	LWLockAcquire(integ_shared->lock, LW_SHARED);
	for (int i = 0; i < INTEG_MAX_HANDLER_REQUESTS; i++)
	{
		const IntegHandlerRequest *request = &round->database->handlers.requests[i];
		Owner *owner = request->state == INTEG_REQUEST_WAITING ? owner_of(round, request->owner) : NULL;

		if (owner != NULL)
			owner->requests++;
	}
	LWLockRelease(integ_shared->lock);
}

/* Owners with open runs, each found by one probe of the index; the one that waits longest first. */
static void
collect_runs(Round *round)
{
	static IntegQuery waiting = {
		"WITH RECURSIVE o (owner) AS ("
		" (SELECT owner::oid FROM integ.handler_runs WHERE state IN ('queued', 'waiting') ORDER BY owner LIMIT 1)"
		" UNION ALL SELECT (SELECT r.owner::oid FROM integ.handler_runs r WHERE r.state IN ('queued', 'waiting')"
		"  AND r.owner > o.owner ORDER BY r.owner LIMIT 1) FROM o WHERE o.owner IS NOT NULL)"
		" SELECT o.owner::bigint, d.next, d.due FROM o, LATERAL (SELECT pg_catalog.min(next_attempt_at) AS next,"
		"  pg_catalog.count(*) FILTER (WHERE next_attempt_at <= $1) AS due FROM ("
		"   SELECT next_attempt_at FROM integ.handler_runs r WHERE r.owner = o.owner AND r.state IN ('queued', 'waiting')"
		"   ORDER BY next_attempt_at LIMIT $2) first) d"
		" WHERE o.owner IS NOT NULL ORDER BY d.next LIMIT $3",
		3,
		{TIMESTAMPTZOID, INT8OID, INT8OID}};
	Datum values[] = {TimestampTzGetDatum(round->now), Int64GetDatum(INTEG_MAX_HANDLERS), Int64GetDatum(OWNERS_MAX)};
	uint64 count = integ_query(&waiting, values, NULL);

	for (uint64 i = 0; i < count; i++)
	{
		Owner *owner = owner_of(round, (Oid) integ_result_int8(i, 1));
		bool isnull;

		if (owner == NULL)
			continue;
		owner->next = DatumGetTimestampTz(integ_result_datum(i, 2, &isnull));
		owner->due = (int) integ_result_int8(i, 3);
	}
}

static bool
is_alive(const IntegHandlers *handlers, int64 lease)
{
	for (int i = 0; i < INTEG_MAX_HANDLERS; i++)
		if (handlers->slots[i].pid != 0 && handlers->slots[i].lease == lease)
			return true;
	return false;
}

/* Of the leases in the last statement's result, those of workers that are no more. */
static ArrayType *
dead_leases(const IntegHandlers *handlers, uint64 count)
{
	Datum *leases = palloc(Max(count, 1) * sizeof(Datum));
	int dead = 0;

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	for (uint64 i = 0; i < count; i++)
		if (!is_alive(handlers, integ_result_int8(i, 1)))
			leases[dead++] = Int64GetDatum(integ_result_int8(i, 1));
	LWLockRelease(integ_shared->lock);
	return dead == 0 ? NULL : construct_array(leases, dead, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

/* Runs of workers that have ended without a word. Each has counted as an attempt when it began. */
static void
give_back_orphans(Round *round)
{
	static IntegQuery running = {"SELECT DISTINCT lease FROM integ.handler_runs WHERE state = 'running'", 0};
	static IntegQuery orphaned = {
		"UPDATE integ.handler_runs SET lease = NULL,"
		" state = CASE WHEN attempt >= max_attempts THEN 'dead' ELSE 'waiting' END,"
		" finished_at = CASE WHEN attempt >= max_attempts THEN pg_catalog.clock_timestamp() END,"
		" next_attempt_at = " BACKOFF_SQL("attempt - 1", "$2", "$3") ","
																	 " last_sqlstate = '57P01', last_error = 'the worker ended while it called the function',"
																	 " error_detail = 'What the function had done was rolled back. It did not stop when its"
																	 " time was over, the worker was terminated, or the server crashed.',"
																	 " error_hint = 'The server log says why.'"
																	 " WHERE state = 'running' AND lease = ANY ($1)",
		3,
		{INT8ARRAYOID, INT4OID, INT4OID}};
	/* First the rows, then who is alive: a worker takes its slot before it claims. */
	uint64 count = integ_query(&running, NULL, NULL);
	ArrayType *dead = dead_leases(&round->database->handlers, count);
	Datum values[] = {PointerGetDatum(dead), Int32GetDatum(integ_retry_delay), Int32GetDatum(integ_max_retry_delay)};

	if (dead != NULL)
		(void) integ_query(&orphaned, values, NULL);
}

/* Nobody can run them: that is what became of this attempt. Those of a role that is no more are not tried again. */
static void
refuse_runs(const Owner *owner)
{
	static IntegQuery refuse = {
		"UPDATE integ.handler_runs SET attempt = attempt + 1,"
		" state = CASE WHEN $3 OR attempt + 1 >= max_attempts THEN 'dead' ELSE 'waiting' END,"
		" finished_at = CASE WHEN $3 OR attempt + 1 >= max_attempts THEN pg_catalog.clock_timestamp() END,"
		" next_attempt_at = " BACKOFF_SQL("attempt", "$4", "$5") ","
																 " last_sqlstate = 'IG403', last_error = $2,"
																 " error_detail = 'A function is run by a worker whose session user is its owner.',"
																 " error_hint = 'Give the role what it needs; then integ_handler_retry tries again what is dead.'"
																 " WHERE id IN (SELECT id FROM integ.handler_runs WHERE owner = $1::pg_catalog.regrole"
																 "  AND state IN ('queued', 'waiting') AND next_attempt_at <= pg_catalog.clock_timestamp()"
																 "  ORDER BY next_attempt_at LIMIT " REFUSED_PER_ROUND " FOR UPDATE SKIP LOCKED)",
		5,
		{OIDOID, TEXTOID, BOOLOID, INT4OID, INT4OID}};
	bool is_gone = GetUserNameFromId(owner->role, true) == NULL;
	Datum values[] = {ObjectIdGetDatum(owner->role), CStringGetTextDatum(owner->problem), BoolGetDatum(is_gone),
					  Int32GetDatum(integ_retry_delay), Int32GetDatum(integ_max_retry_delay)};

	(void) integ_query(&refuse, values, NULL);
}

static void
look_at_tables(Round *round, MemoryContext context)
{
	IntegOwnerScope scope;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	give_back_orphans(round);
	if (round->open)
		collect_runs(round);
	for (int i = 0; i < round->nowners; i++)
	{
		Owner *owner = &round->owners[i];
		char *problem;

		if (owner->due + owner->requests == 0)
			continue;
		problem = owner->failed ? FAILED_TO_START : integ_handler_role_problem(owner->role);
		owner->problem = problem == NULL ? NULL : MemoryContextStrdup(context, problem);
		if (owner->problem != NULL && owner->due > 0)
			refuse_runs(owner);
	}
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

/* The following are called with integ_shared->lock. */

static void
refuse_requests(IntegHandlers *handlers, const Owner *owner)
{
	for (int i = 0; i < INTEG_MAX_HANDLER_REQUESTS; i++)
	{
		IntegHandlerRequest *request = &handlers->requests[i];

		if (request->state != INTEG_REQUEST_WAITING || request->owner != owner->role)
			continue;
		request->state = INTEG_REQUEST_REFUSED;
		strlcpy(request->refusal, owner->problem, sizeof(request->refusal));
		SetLatch(request->latch);
	}
}

/* Counts the owner's workers, and wakes the idle ones while there is something for them. */
static void
use_own_workers(Round *round, Owner *owner)
{
	int wanted = owner->due + owner->requests;

	for (int i = 0; i < INTEG_MAX_HANDLERS; i++)
	{
		IntegHandlerSlot *slot = &round->database->handlers.slots[i];

		if (slot->owner != owner->role || slot->state == INTEG_HANDLER_FREE)
			continue;
		owner->workers++;
		if (slot->state == INTEG_HANDLER_IDLE && wanted > owner->coming)
		{
			slot->state = INTEG_HANDLER_BUSY;
			slot->since = round->now;
			SetLatch(slot->latch);
			owner->coming++;
		}
		else if (slot->state == INTEG_HANDLER_STARTING)
			owner->coming++;
		else if (slot->state == INTEG_HANDLER_BUSY && slot->since + PATIENCE > round->now)
		{
			owner->coming++;
			round->due = Min(round->due, slot->since + PATIENCE);
		}
	}
}

static int
free_slot(const IntegHandlers *handlers)
{
	int used = 0, free = -1;

	for (int i = 0; i < INTEG_MAX_HANDLERS; i++)
	{
		if (handlers->slots[i].state != INTEG_HANDLER_FREE)
			used++;
		else if (free == -1)
			free = i;
	}
	return used < integ_max_handler_workers ? free : -1;
}

static void
reserve(Round *round, int number, Owner *owner)
{
	IntegHandlers *handlers = &round->database->handlers;

	handlers->slots[number] = (IntegHandlerSlot){.state = INTEG_HANDLER_STARTING,
												 .owner = owner->role,
												 .ticket = ++handlers->last_ticket,
												 .since = round->now};
	round->starts[round->nstarts++] = number;
	owner->workers++;
	owner->coming++;
}

/* An idle worker makes room. */
static void
send_one_away(IntegHandlers *handlers)
{
	for (int i = 0; i < INTEG_MAX_HANDLERS; i++)
	{
		if (handlers->slots[i].state != INTEG_HANDLER_IDLE)
			continue;
		handlers->slots[i].state = INTEG_HANDLER_LEAVING;
		SetLatch(handlers->slots[i].latch);
		return;
	}
}

static void
find_workers(Round *round, Owner *owner)
{
	IntegHandlers *handlers = &round->database->handlers;
	int wanted = owner->due + owner->requests;

	while (owner->coming < wanted && owner->workers < Max(1, integ_max_handler_workers - 1))
	{
		int number = free_slot(handlers);

		if (number == -1)
		{
			handlers->crowded |= owner->workers == 0;
			send_one_away(handlers);
			return;
		}
		reserve(round, number, owner);
		/* Runs come one after the other; more workers only where that is not fast enough. */
		if (owner->coming >= Max(owner->requests, 1))
		{
			round->due = Min(round->due, round->now + PATIENCE);
			return;
		}
	}
}

static void
assign(Round *round)
{
	IntegHandlers *handlers = &round->database->handlers;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	handlers->crowded = false;
	for (int i = 0; i < round->nowners; i++)
	{
		Owner *owner = &round->owners[i];

		if (owner->problem != NULL)
		{
			refuse_requests(handlers, owner);
			owner->due = owner->requests = 0;
		}
		use_own_workers(round, owner);
	}
	for (int i = 0; i < round->nowners; i++)
		if (round->owners[i].workers == 0)
			find_workers(round, &round->owners[i]);
	for (int i = 0; i < round->nowners; i++)
		find_workers(round, &round->owners[i]);
	LWLockRelease(integ_shared->lock);
}

static void
start(Round *round, int number)
{
	IntegHandlerSlot *slot = &round->database->handlers.slots[number];

	if (integ_worker_start_for("integ_handler_main", "handler", slot->owner, number, slot->ticket, &started[number]))
		return;
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	slot->state = INTEG_HANDLER_FREE;
	LWLockRelease(integ_shared->lock);
	integ_shmem_error(round->database, "no free background worker slot for a handler worker");
	round->due = Min(round->due, round->now + START_RETRY);
}

TimestampTz
integ_handlers_keep(IntegDatabase *database)
{
	MemoryContext context = CurrentMemoryContext;
	Round *round = palloc0(sizeof(Round));

	round->database = database;
	round->now = GetCurrentTimestamp();
	round->open = !integ_hold && database->held == INTEG_HELD_NO;
	round->due = round->now + (round->open ? RESCAN : HELD_PAUSE);
	collect_failures(round);
	collect_requests(round);
	look_at_tables(round, context);
	assign(round);
	for (int i = 0; i < round->nstarts; i++)
		start(round, round->starts[i]);
	for (int i = 0; i < round->nowners; i++)
		if (round->owners[i].next > round->now)
			round->due = Min(round->due, round->owners[i].next);
	return round->due;
}

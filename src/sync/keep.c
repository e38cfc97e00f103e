/*
 * What the keeper does for sync: sees to it that what is due becomes an
 * execution, and every execution that may begin has a worker, within
 * integ.max_sync_workers.
 *
 * Of those that wait, the client that has the fewest running comes first, of
 * several the one that was not served for longest, and among its executions the
 * one that is due longest.
 */
#include "sync/lifecycle.h"

#include "../background_workers/worker.h"
#include "access/xact.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "handlers/handlers.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define RESCAN USECS_PER_MINUTE
#define HELD_PAUSE (5 * USECS_PER_SEC)

/* An execution is queued with the time of then, and seen when that has committed. */
#define COMMIT_SLACK (10 * USECS_PER_SEC)
#define START_RETRY (10 * USECS_PER_SEC)

/* How long the postmaster may take to start one that nobody has heard of. */
#define START_TIMEOUT USECS_PER_MINUTE

#define FAILED_TO_START "a worker could not start as its owner; the server log says why"

typedef struct Round
{
	IntegDatabase *database;
	bool open; /* runs may begin: the database is not held */
	TimestampTz now;
	TimestampTz due; /* of the next round */
	bool orphans;	 /* there may be executions whose worker is no more */
	IntegSyncHorizon horizon;
	int ncandidates;
	IntegSyncCandidate *candidates;
	int nstarts;
	int starts[INTEG_MAX_SYNC_WORKERS]; /* slots */
} Round;

/* Of those that this keeper has started. */
static BackgroundWorkerHandle *started[INTEG_MAX_SYNC_WORKERS];

/* Of the last round; a failed one leaves nothing. Now and then all is looked at, whether it was told of or not. */
static TimestampTz mark = DT_NOBEGIN;
static TimestampTz queue = DT_NOBEGIN;
static bool looks_for_orphans = true;
static uint32 lost;
static TimestampTz rescan_at;

/* When a client was last served, counted in executions; clients that share an entry share their turn. */
#define TURNS 1024
static uint64 turns[TURNS];
static uint64 last_turn;

/* An execution whose worker could not be had. */
typedef struct Refusal
{
	pg_uuid_t execution;
	Oid owner;
	const char *problem;
} Refusal;

/* Slots whose worker never got as far as to take them. */
static int
collect_failures(Round *round, Refusal *refusals)
{
	int count = 0;

	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
	{
		IntegSyncSlot *slot = &round->database->sync.slots[i];
		bool stopped = slot->state == INTEG_SYNC_STARTING && integ_worker_has_stopped(started[i]);
		bool failed;

		LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
		failed = slot->state == INTEG_SYNC_BROKEN || (slot->state == INTEG_SYNC_STARTING && stopped);
		if (failed)
			refusals[count++] =
				(Refusal){.execution = slot->execution, .owner = slot->owner, .problem = FAILED_TO_START};
		if (failed || (slot->state == INTEG_SYNC_STARTING && slot->since + START_TIMEOUT < round->now))
			slot->state = INTEG_SYNC_FREE;
		LWLockRelease(integ_shared->lock);
	}
	return count;
}

/* In an owner scope: nobody can run it, which is how it ends. Where somebody has locked it, it comes again. */
static void
refuse(const Refusal *refusal)
{
	IntegSyncOutcome outcome = {
		.status = INTEG_SYNC_FAILED,
		.sqlerrcode = ERRCODE_INTEG_FORBIDDEN,
		.message = refusal->problem,
		.detail = "A task is run by a worker whose session user is its owner.",
		.hint = "ALTER ROLE … LOGIN (a password is not needed) and GRANT CONNECT ON DATABASE, or give the task another"
				" owner; then integ_sync_resume.",
		.is_definition = true};
	const char *problem = integ_handler_role_problem(refusal->owner);

	if (problem != NULL)
		outcome.message = problem;
	if (integ_sync_try_lock(&refusal->execution))
		(void) integ_sync_end(&refusal->execution, &outcome);
}

static int
used_slots(const IntegSyncWorkers *workers)
{
	int used = 0;

	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
		used += workers->slots[i].state != INTEG_SYNC_FREE ? 1 : 0;
	return used;
}

/* How many executions could get a worker, idle ones of any owner included. */
static int
room(const Round *round)
{
	int busy = 0;

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
		switch (round->database->sync.slots[i].state)
		{
			case INTEG_SYNC_STARTING:
			case INTEG_SYNC_BUSY:
			case INTEG_SYNC_LEAVING:
			case INTEG_SYNC_BROKEN:
				busy++;
				break;
			case INTEG_SYNC_FREE:
			case INTEG_SYNC_IDLE:
				break;
		}
	LWLockRelease(integ_shared->lock);
	return integ_max_sync_workers - busy;
}

/* Those that nobody can run end here. */
static void
drop_unrunnable(Round *round)
{
	int kept = 0;

	for (int i = 0; i < round->ncandidates; i++)
	{
		const IntegSyncCandidate *candidate = &round->candidates[i];
		const char *problem = integ_handler_role_problem(candidate->owner);
		Refusal refusal = {.execution = candidate->id, .owner = candidate->owner, .problem = problem};

		if (problem == NULL)
			round->candidates[kept++] = *candidate;
		else
			refuse(&refusal);
	}
	if (kept < round->ncandidates)
		round->due = Min(round->due, round->now + INTEG_SYNC_LOCKED_PAUSE);
	round->ncandidates = kept;
}

static void
choose(Round *round, MemoryContext context)
{
	int free = room(round);
	TimestampTz next;
	IntegSyncCandidate *found;

	/* A worker that becomes free wakes us. */
	if (free <= 0)
		return;
	found = integ_sync_candidates(round->now, &round->horizon.queue, free + INTEG_MAX_SYNC_WORKERS, &round->ncandidates,
								  &next);
	round->candidates = MemoryContextAlloc(context, Max(round->ncandidates, 1) * sizeof(IntegSyncCandidate));
	memcpy(round->candidates, found, round->ncandidates * sizeof(IntegSyncCandidate));
	round->due = Min(round->due, next);
	drop_unrunnable(round);
}

/* What is given back waits again with the time that it had. */
static void
recover(Round *round)
{
	if (round->orphans)
	{
		round->orphans = !integ_sync_recover_orphans(round->database);
		round->horizon.queue = DT_NOBEGIN;
	}
	/* A slot may have cancelled what runs. */
	if (!integ_sync_recover_cancelled(round->database) || round->orphans)
		round->due = Min(round->due, round->now + INTEG_SYNC_LOCKED_PAUSE);
}

static void
look_at_tables(Round *round, const Refusal *refusals, int nrefusals, MemoryContext context)
{
	IntegOwnerScope scope;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	if (round->open)
		round->due = Min(round->due, integ_sync_make_due(round->now, &round->horizon));
	recover(round);
	for (int i = 0; i < nrefusals; i++)
		refuse(&refusals[i]);
	if (round->open)
		choose(round, context);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

/* The following are called with integ_shared->lock. */

static bool
same(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static bool
is_at_work(const IntegSyncSlot *slot)
{
	return slot->state == INTEG_SYNC_STARTING || slot->state == INTEG_SYNC_BUSY;
}

static bool
has_instance(const IntegSyncCandidate *candidate)
{
	static const pg_uuid_t none = {0};

	return !same(&candidate->instance, &none);
}

/* Whether it may begin beside what runs; running is how many its client has. */
static bool
may_begin(const IntegSyncWorkers *workers, const IntegSyncCandidate *candidate, int *running)
{
	int of_instance = 0;

	*running = 0;
	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
	{
		const IntegSyncSlot *slot = &workers->slots[i];

		if (!is_at_work(slot))
			continue;
		/* It has one that has not taken it yet, or its row has not been seen to run. */
		if (same(&slot->task, &candidate->task))
			return false;
		*running += slot->client == candidate->client ? 1 : 0;
		of_instance += same(&slot->instance, &candidate->instance) ? 1 : 0;
	}
	return !has_instance(candidate) || of_instance < integ_instance_sync_concurrency;
}

/* Candidates are sorted by the time they are due. */
static IntegSyncCandidate *
next_candidate(Round *round)
{
	IntegSyncCandidate *best = NULL;
	int fewest = 0;
	uint64 longest = 0;

	for (int i = 0; i < round->ncandidates; i++)
	{
		IntegSyncCandidate *candidate = &round->candidates[i];
		uint64 turn = turns[candidate->client % TURNS];
		int running;

		if (candidate->taken || !may_begin(&round->database->sync, candidate, &running))
			continue;
		if (best == NULL || running < fewest || (running == fewest && turn < longest))
		{
			best = candidate;
			fewest = running;
			longest = turn;
		}
	}
	return best;
}

static void
give(IntegSyncSlot *slot, IntegSyncCandidate *candidate, TimestampTz now)
{
	candidate->taken = true;
	turns[candidate->client % TURNS] = ++last_turn;
	slot->owner = candidate->owner;
	slot->execution = candidate->id;
	slot->task = candidate->task;
	slot->instance = candidate->instance;
	slot->client = candidate->client;
	slot->since = now;
	slot->cancel = false;
}

static bool
give_to_idle(Round *round, IntegSyncCandidate *candidate)
{
	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
	{
		IntegSyncSlot *slot = &round->database->sync.slots[i];

		if (slot->state != INTEG_SYNC_IDLE || slot->owner != candidate->owner)
			continue;
		give(slot, candidate, round->now);
		slot->state = INTEG_SYNC_BUSY;
		SetLatch(slot->latch);
		return true;
	}
	return false;
}

static bool
give_to_new(Round *round, IntegSyncCandidate *candidate)
{
	IntegSyncWorkers *workers = &round->database->sync;

	if (used_slots(workers) >= integ_max_sync_workers)
		return false;
	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
	{
		IntegSyncSlot *slot = &workers->slots[i];

		if (slot->state != INTEG_SYNC_FREE)
			continue;
		*slot = (IntegSyncSlot){.state = INTEG_SYNC_STARTING, .ticket = ++workers->last_ticket};
		give(slot, candidate, round->now);
		round->starts[round->nstarts++] = i;
		return true;
	}
	return false;
}

/* An idle worker of another owner makes room, and wakes us when it has gone. */
static void
send_one_away(IntegSyncWorkers *workers)
{
	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
	{
		if (workers->slots[i].state != INTEG_SYNC_IDLE)
			continue;
		workers->slots[i].state = INTEG_SYNC_LEAVING;
		SetLatch(workers->slots[i].latch);
		return;
	}
}

static void
assign(Round *round)
{
	IntegSyncCandidate *candidate;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	while ((candidate = next_candidate(round)) != NULL)
	{
		if (give_to_idle(round, candidate) || give_to_new(round, candidate))
			continue;
		send_one_away(&round->database->sync);
		break;
	}
	LWLockRelease(integ_shared->lock);
}

static void
start(Round *round, int number)
{
	IntegSyncSlot *slot = &round->database->sync.slots[number];

	if (integ_worker_start_for("integ_sync_main", "sync worker", slot->owner, number, slot->ticket, &started[number]))
		return;
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	slot->state = INTEG_SYNC_FREE;
	round->database->sync.lacking = true;
	LWLockRelease(integ_shared->lock);
	integ_shmem_error(round->database, "no free background worker slot for a sync worker");
	round->due = Min(round->due, round->now + START_RETRY);
}

/* Whether workers have ended with an execution since it was last asked. */
static bool
has_lost_workers(IntegDatabase *database)
{
	uint32 before = lost;

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	lost = database->sync.lost;
	LWLockRelease(integ_shared->lock);
	return lost != before;
}

/* Where the last round ended, unless more has been written since, or it failed. */
static void
begin_round(Round *round, uint32 woken)
{
	bool all = !round->open || round->now >= rescan_at;

	round->horizon = (IntegSyncHorizon){.clock = round->database->sync.clock, .mark = mark, .queue = queue};
	if ((woken & INTEG_WAKE_SYNC_TASKS) != 0 || all)
		round->horizon.mark = DT_NOBEGIN;
	if ((woken & INTEG_WAKE_SYNC_MOVED) != 0 || all)
		round->horizon.queue = DT_NOBEGIN;
	else if ((woken & INTEG_WAKE_SYNC_QUEUE) != 0)
		round->horizon.queue = Min(queue, round->now - COMMIT_SLACK);
	round->orphans = has_lost_workers(round->database) || looks_for_orphans || all;
	if (all)
		rescan_at = round->now + RESCAN;
	mark = queue = DT_NOBEGIN;
	looks_for_orphans = true;
}

static void
keep_round(const Round *round)
{
	mark = round->horizon.mark;
	queue = round->horizon.queue;
	looks_for_orphans = round->orphans;
	round->database->sync.clock = round->horizon.clock;
}

TimestampTz
integ_sync_keep(IntegDatabase *database, uint32 woken)
{
	MemoryContext context = CurrentMemoryContext;
	Round *round = palloc0(sizeof(Round));
	Refusal *refusals = palloc(INTEG_MAX_SYNC_WORKERS * sizeof(Refusal));
	int nrefusals;

	round->database = database;
	round->now = GetCurrentTimestamp();
	round->open = !integ_hold && database->held == INTEG_HELD_NO;
	round->due = round->now + (round->open ? RESCAN : HELD_PAUSE);
	database->sync.lacking = false;
	begin_round(round, woken);
	nrefusals = collect_failures(round, refusals);
	look_at_tables(round, refusals, nrefusals, context);
	keep_round(round);
	assign(round);
	for (int i = 0; i < round->nstarts; i++)
		start(round, round->starts[i]);
	return round->due;
}

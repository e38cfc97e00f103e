/*
 * Writes: the intent is on disk before the request leaves, and its outcome
 * follows whatever becomes of the caller.
 *
 * A session puts its intents on disk by itself, in the journal; where it cannot, and in workers
 * outside a transaction, the recorder does it at once, and is waited for.
 *
 * An intent belongs to the (sub)transaction it was made in. When that aborts,
 * or the backend ends, with the outcome unsettled, it is settled as "unknown".
 * After a crash the recorder does the same from the journal and the table (recover.c).
 */
#include "record/record.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "core/errors.h"
#include "core/guc.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "pgstat.h"
#include "record/entry.h"
#include "record/journal.h"
#include "record/ring.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

struct IntegIntent
{
	dlist_node node;
	SubTransactionId subxact; /* invalid where it outlives its transaction */
	bool released;			  /* returned to the caller: the request may have left */
	IntegDatabase *database;
	uint64 generation;
	IntegEntry *entry; /* of the intent, in a buffer that its outcome fits in */
};

/* Where entries are made before they are copied. */
static union
{
	char bytes[INTEG_ENTRY_MAX];
	double aligned;
} entry_buffer;

/* How long a worker goes without looking whether there still is a keeper. */
#define KEEPER_CHECK_MS 100

static dlist_head open_intents = DLIST_STATIC_INIT(open_intents);

/* The outcome that this process settled last, and the place behind it in the ring: it goes along with the next. */
static struct
{
	IntegIntent *intent;
	uint64 position;
} last_outcome;

/* Nobody will settle it any more. */
static void
abandon(IntegIntent *intent, const char *reason)
{
	char detail[128];

	snprintf(detail, sizeof(detail), "{\"reason\": \"%s\"}", reason);
	integ_record_outcome(intent, intent->released ? "unknown" : "failed", detail);
}

static void
abandon_all(const char *reason, bool also_those_that_outlive)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &open_intents)
	{
		IntegIntent *intent = dlist_container(IntegIntent, node, iter.cur);

		if (also_those_that_outlive || intent->subxact != InvalidSubTransactionId)
			abandon(intent, reason);
	}
}

static void
at_exit(int code, Datum arg)
{
	abandon_all("the session ended before the outcome was known", true);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		abandon_all("the transaction ended before the outcome was known", false);
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	dlist_mutable_iter iter;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	dlist_foreach_modify(iter, &open_intents)
	{
		IntegIntent *intent = dlist_container(IntegIntent, node, iter.cur);

		if (intent->subxact != mine)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			intent->subxact = parent;
		else
			abandon(intent, "the statement failed before the outcome was known");
	}
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	before_shmem_exit(at_exit, (Datum) 0);
	registered = true;
}

static void
refuse(const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
					errmsg("the write cannot be recorded, so it was not sent"), errdetail("%s", problem),
					errhint("%s", hint)));
}

/* Waits until a keeper runs here, or the deadline. Of our workers those that are told to stop do not wait. */
static bool
wait_for_keeper(IntegDatabase *database, TimestampTz deadline)
{
	bool running;

	integ_shmem_wake_launcher(false);
	ConditionVariablePrepareToSleep(&database->changed);
	while (!(running = database->state == INTEG_DATABASE_RUNNING) && !ShutdownRequestPending &&
		   GetCurrentTimestamp() < deadline)
		(void) ConditionVariableTimedSleep(&database->changed, KEEPER_CHECK_MS, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	return running;
}

static TimestampTz
wait_deadline(void)
{
	return GetCurrentTimestamp() + integ_max_sync_wait * INT64CONST(1000);
}

void
integ_record_require(bool may_wait)
{
	IntegDatabase *database = integ_shmem_mine();

	if (integ_shared == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("integ is not preloaded"),
						errdetail("Recording what is sent needs shared memory and workers."),
						errhint("Add integ to shared_preload_libraries and restart the server.")));
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("integ does nothing on a standby"),
						errhint("Call it on the primary.")));
	if (database == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTEG_INSTALLATION), errmsg("integ has no workers in this database"),
				 errdetail("They start when CREATE EXTENSION commits, or when the launcher finds the database."),
				 errhint("Commit CREATE EXTENSION integ; SELECT * FROM integ_status() says what is missing.")));
	if (database->state != INTEG_DATABASE_RUNNING && !(may_wait && wait_for_keeper(database, wait_deadline())))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("the keeper of this database does not run"),
						may_wait ? errdetail("It did not start within integ.max_sync_wait.") : 0,
						errhint("SELECT * FROM integ_status() says why and what to do.")));
}

static IntegIntent *
open_intent(IntegDatabase *database, uint64 generation, const IntegEntry *entry, bool outlives)
{
	Size size = Max(entry->length, integ_entry_outcome_size(entry));
	IntegIntent *intent = MemoryContextAlloc(TopMemoryContext, MAXALIGN(sizeof(IntegIntent)) + size);

	intent->subxact =
		IsTransactionState() && !outlives ? GetCurrentSubTransactionId() : InvalidSubTransactionId;
	intent->released = false;
	intent->database = database;
	intent->generation = generation;
	intent->entry = (IntegEntry *) ((char *) intent + MAXALIGN(sizeof(IntegIntent)));
	memcpy(intent->entry, entry, entry->length);
	return intent;
}

static IntegOutcomeState
outcome_state(const IntegIntent *intent)
{
	IntegOutcomeState state = INTEG_OUTCOME_REFUSED;

	LWLockAcquire(intent->database->lock, LW_SHARED);
	if (intent->database->generation == intent->generation)
		state = intent->database->outcomes[intent->entry->slot].state;
	LWLockRelease(intent->database->lock);
	return state;
}

/* The last outcome, if it may still be in memory alone. */
static const IntegEntry *
outcome_to_write(IntegDatabase *database)
{
	const IntegIntent *last = last_outcome.intent;

	if (last == NULL || last->database != database || last->generation != database->generation ||
		integ_ring_is_settled(database, last_outcome.position))
		return NULL;
	return last->entry;
}

static void
forget_last_outcome(void)
{
	if (last_outcome.intent != NULL)
		pfree(last_outcome.intent);
	last_outcome.intent = NULL;
}

/* Puts the intents (some may be NULL) on disk, and the last outcome before them. False where the recorder has to. */
static bool
write_journal(IntegDatabase *database, IntegIntent *const *intents, int count, uint64 position)
{
	const IntegEntry **entries = palloc((count + 1) * sizeof(*entries));
	int nentries = 0;
	bool written;

	if ((entries[0] = outcome_to_write(database)) != NULL)
		nentries++;
	for (int i = 0; i < count; i++)
		if (intents[i] != NULL)
			entries[nentries++] = intents[i]->entry;
	written = integ_journal_write(database, entries, nentries, position);
	pfree(entries);
	if (written)
		forget_last_outcome();
	return written;
}

static IntegOutcomeState
wait_until_durable(IntegIntent *intent, TimestampTz deadline)
{
	ConditionVariable *settled = &intent->database->settled;
	IntegOutcomeState state;

	ConditionVariablePrepareToSleep(settled);
	while ((state = outcome_state(intent)) == INTEG_OUTCOME_QUEUED && GetCurrentTimestamp() < deadline)
		(void) ConditionVariableTimedSleep(settled, (deadline - GetCurrentTimestamp()) / 1000 + 1,
										   PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	return state;
}

/* Returns the place behind it in the ring. */
static uint64
append(IntegIntent *intent, bool urgent, TimestampTz deadline)
{
	uint64 position = 0;

	switch (integ_ring_append_intent(intent->database, intent->entry, integ_entry_outcome_size(intent->entry), urgent,
									 deadline, &position))
	{
		case INTEG_APPEND_DONE:
			break;
		case INTEG_APPEND_FULL:
			refuse("The ring between callers and the recorder stayed full for integ.max_sync_wait.",
				   "SELECT * FROM integ_status() says what the recorder does; raise integ.log_buffer if it only lags.");
			break;
		case INTEG_APPEND_NO_SLOT:
			refuse("All outcome slots stayed in use for integ.max_sync_wait.",
				   "Fewer writes at once, or a higher max_connections.");
			break;
		case INTEG_APPEND_GONE:
			refuse("The extension was dropped meanwhile.", "Call again once it is back.");
	}
	return position;
}

/* Returns when the intent is on disk. */
static void
make_durable(IntegIntent *intent, bool journal, uint64 position, TimestampTz deadline)
{
	IntegOutcomeState state;

	if (journal && write_journal(intent->database, &intent, 1, position))
		return;
	if (journal)
		integ_ring_hurry(intent->database, position);
	state = wait_until_durable(intent, deadline);
	if (state == INTEG_OUTCOME_REFUSED)
		refuse("The recorder could not write the row of the audit.",
			   "SELECT * FROM integ_status() shows the recorder's last error.");
	if (state != INTEG_OUTCOME_DURABLE)
		refuse("The recorder did not answer within integ.max_sync_wait.",
			   "SELECT * FROM integ_status() says what the recorder does.");
}

IntegIntent *
integ_record_intent(const IntegAuditEntry *audit)
{
	TimestampTz deadline = wait_deadline();
	IntegAuditEntry pending = *audit;
	IntegDatabase *database;
	IntegIntent *intent;
	bool journal = integ_journal_is_usable();
	volatile uint64 position = 0;

	integ_record_require(true);
	register_callbacks();
	database = integ_shmem_mine();
	pending.outcome = "pending";
	intent = open_intent(database, database->generation, integ_entry_audit(entry_buffer.bytes, &pending, 0), false);
	PG_TRY();
	{
		position = append(intent, !journal, deadline);
	}
	PG_CATCH();
	{
		pfree(intent);
		PG_RE_THROW();
	}
	PG_END_TRY();
	dlist_push_tail(&open_intents, &intent->node);

	PG_TRY();
	{
		make_durable(intent, journal, position, deadline);
	}
	PG_CATCH();
	{
		integ_record_outcome(intent, "failed", "{\"reason\": \"nothing was sent\"}");
		PG_RE_THROW();
	}
	PG_END_TRY();
	intent->released = true;
	return intent;
}

/* Queues one intent of several; NULL where there is no room for it in time. */
static IntegIntent *
queue_intent(IntegDatabase *database, const IntegAuditEntry *audit, bool outlives, bool urgent, TimestampTz deadline,
			 uint64 *position)
{
	IntegAuditEntry pending = *audit;
	IntegIntent *intent;

	pending.outcome = "pending";
	intent =
		open_intent(database, database->generation, integ_entry_audit(entry_buffer.bytes, &pending, 0), outlives);
	if (integ_ring_append_intent(database, intent->entry, integ_entry_outcome_size(intent->entry), urgent, deadline,
								 position) != INTEG_APPEND_DONE)
	{
		pfree(intent);
		return NULL;
	}
	dlist_push_tail(&open_intents, &intent->node);
	return intent;
}

/* As wait_until_durable, but does not outwait a keeper that has left. */
static bool
becomes_durable(IntegIntent *intent, TimestampTz deadline)
{
	IntegDatabase *database = intent->database;

	ConditionVariablePrepareToSleep(&database->settled);
	while (outcome_state(intent) == INTEG_OUTCOME_QUEUED && database->state == INTEG_DATABASE_RUNNING &&
		   GetCurrentTimestamp() < deadline)
		(void) ConditionVariableTimedSleep(&database->settled, KEEPER_CHECK_MS, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	return outcome_state(intent) == INTEG_OUTCOME_DURABLE;
}

/* Returns once each is on disk; those that could not be put there are closed, and NULL then. */
static void
make_all_durable(IntegDatabase *database, IntegIntent **intents, int count, bool journal, uint64 position,
				 TimestampTz deadline)
{
	bool written = journal && write_journal(database, intents, count, position);

	if (journal && !written)
		integ_ring_hurry(database, position);
	for (int i = 0; i < count; i++)
	{
		if (intents[i] == NULL)
			continue;
		intents[i]->released = written || becomes_durable(intents[i], deadline);
		if (intents[i]->released)
			continue;
		integ_record_outcome(intents[i], "failed", "{\"reason\": \"nothing was sent\"}");
		intents[i] = NULL;
	}
}

void
integ_record_intents(const IntegAuditEntry *audits, int count, bool outlive, IntegIntent **intents)
{
	IntegDatabase *database = integ_shmem_mine();
	TimestampTz deadline = wait_deadline();
	bool journal = integ_journal_is_usable();
	uint64 position = 0;

	memset(intents, 0, count * sizeof(*intents));
	/* Who records several does not wait for a keeper that has left. */
	if (database == NULL || database->state != INTEG_DATABASE_RUNNING)
		return;
	register_callbacks();
	for (int i = 0; i < count && (i == 0 || intents[i - 1] != NULL); i++)
		intents[i] = queue_intent(database, &audits[i], outlive, !journal, deadline, &position);
	if (position == 0)
		return;
	PG_TRY();
	{
		make_all_durable(database, intents, count, journal, position, deadline);
	}
	PG_CATCH();
	{
		for (int i = 0; i < count; i++)
			if (intents[i] != NULL)
				integ_record_outcome(intents[i], "failed", "{\"reason\": \"nothing was sent\"}");
		PG_RE_THROW();
	}
	PG_END_TRY();
}

int
integ_record_most_intents(int wanted)
{
	return Max(Min(wanted, integ_shmem_outcomes() / 4), 1);
}

static const char *
known_outcome(const char *outcome)
{
	if (strcmp(outcome, "succeeded") == 0 || strcmp(outcome, "failed") == 0)
		return outcome;
	return "unknown";
}

void
integ_record_outcome(IntegIntent *intent, const char *outcome, const char *detail)
{
	dlist_delete(&intent->node);
	integ_entry_make_outcome(intent->entry, GetCurrentTimestamp(), known_outcome(outcome), detail);
	forget_last_outcome();
	last_outcome.intent = intent;
	last_outcome.position = integ_ring_append_outcome(intent->database, intent->generation, intent->entry);
}

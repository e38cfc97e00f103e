/*
 * Who tells the dispatchers that there is work.
 */
#include "calls/wake.h"

#include <signal.h>

#include "access/xact.h"
#include "commands/trigger.h"
#include "core/shmem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_tg_calls_wake);
PG_FUNCTION_INFO_V1(integ_tg_deliveries_wake);

static bool muted;	   /* this process is a dispatcher */
static bool noted;	   /* the statement that fires the trigger next has said what it writes */
static bool has_news;  /* of this transaction */
static bool committed; /* it has, and they are to be published */
static TimestampTz news[INTEG_NEWS];

void
integ_wake_shmem_init(IntegDispatch *dispatch)
{
	memset(dispatch, 0, sizeof(*dispatch));
	SpinLockInit(&dispatch->mutex);
	ConditionVariableInit(&dispatch->finished);
}

static void
add_news(int index, TimestampTz from)
{
	if (!has_news)
		for (int i = 0; i < INTEG_NEWS; i++)
			news[i] = DT_NOEND;
	has_news = true;
	news[index] = Min(news[index], from);
}

void
integ_wake_note(int priority, TimestampTz next_attempt_at)
{
	noted = true;
	add_news(priority - INTEG_PRIORITY_MIN, next_attempt_at);
}

void
integ_wake_note_deliveries(TimestampTz next_attempt_at)
{
	noted = true;
	add_news(INTEG_NEWS_DELIVERIES, next_attempt_at);
}

void
integ_wake_note_all(void)
{
	for (int i = 0; i < INTEG_NEWS; i++)
		add_news(i, DT_NOBEGIN);
}

void
integ_wake_mute(void)
{
	muted = true;
}

/* Trigger of integ.calls_open: of statements, also direct DML and COPY; of rows that logical replication applies. */
Datum
integ_tg_calls_wake(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_calls_wake must be called as a trigger");
	integ_identity_note_copy((const TriggerData *) fcinfo->context);
	if (!noted && !muted)
		integ_wake_note_all();
	noted = false;
	return PointerGetDatum(NULL);
}

/* The same of integ.deliveries_open, and of what an endpoint may have changed for its deliveries. */
Datum
integ_tg_deliveries_wake(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_deliveries_wake must be called as a trigger");
	integ_identity_note_copy((const TriggerData *) fcinfo->context);
	if (!noted && !muted)
		add_news(INTEG_NEWS_DELIVERIES, DT_NOBEGIN);
	noted = false;
	return PointerGetDatum(NULL);
}

/* Hands the news to every dispatcher of the database and wakes those that sleep. Never raises. */
static void
publish(void)
{
	IntegDatabase *database = integ_shmem_mine();
	Latch *sleepers[INTEG_MAX_DISPATCHERS];
	int nsleepers = 0;
	IntegDispatch *dispatch;

	if (database == NULL)
		return;
	dispatch = &database->dispatch;
	SpinLockAcquire(&dispatch->mutex);
	for (int i = 0; i < INTEG_MAX_DISPATCHERS; i++)
	{
		IntegDispatcherSlot *slot = &dispatch->slots[i];

		if (slot->latch == NULL)
			continue;
		for (int kind = 0; kind < INTEG_NEWS; kind++)
			slot->news[kind] = Min(slot->news[kind], news[kind]);
		if (slot->asleep)
			sleepers[nsleepers++] = slot->latch;
		slot->asleep = false;
	}
	SpinLockRelease(&dispatch->mutex);
	for (int i = 0; i < nsleepers; i++)
		SetLatch(sleepers[i]);
}

void
integ_wake_dispatchers(IntegDispatch *dispatch)
{
	Latch *latches[INTEG_MAX_DISPATCHERS];
	int count = 0;

	SpinLockAcquire(&dispatch->mutex);
	for (int i = 0; i < INTEG_MAX_DISPATCHERS; i++)
		if (dispatch->slots[i].latch != NULL)
			latches[count++] = dispatch->slots[i].latch;
	SpinLockRelease(&dispatch->mutex);
	for (int i = 0; i < count; i++)
		SetLatch(latches[i]);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	committed = event == XACT_EVENT_COMMIT && has_news;
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		has_news = noted = false;
}

/*
 * Only now have the invalidations of the transaction been sent: a dispatcher that was woken before them could look at
 * an endpoint as it was in its cache, and sleep on.
 */
static void
at_release(ResourceReleasePhase phase, bool commit, bool top_level, void *arg)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !committed)
		return;
	committed = false;
	publish();
}

/* What a savepoint noted stays: a wake too many does no harm. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		noted = false;
}

void
integ_wake_everything(void)
{
	integ_wake_note_all();
	publish();
	has_news = false;
}

void
integ_wake_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	RegisterResourceReleaseCallback(at_release, NULL);
}

void
integ_wake_attach(IntegDispatch *dispatch, int number)
{
	IntegDispatcherSlot *slot = &dispatch->slots[number];

	SpinLockAcquire(&dispatch->mutex);
	slot->latch = MyLatch;
	slot->asleep = false;
	for (int i = 0; i < INTEG_NEWS; i++)
		slot->news[i] = DT_NOBEGIN;
	SpinLockRelease(&dispatch->mutex);
}

void
integ_wake_detach(IntegDispatch *dispatch, int number)
{
	IntegDispatcherSlot *slot = &dispatch->slots[number];

	SpinLockAcquire(&dispatch->mutex);
	if (slot->latch == MyLatch)
		slot->latch = NULL;
	SpinLockRelease(&dispatch->mutex);
}

bool
integ_wake_take(IntegDispatch *dispatch, int number, TimestampTz *from)
{
	IntegDispatcherSlot *slot = &dispatch->slots[number];
	bool any = false;

	SpinLockAcquire(&dispatch->mutex);
	for (int i = 0; i < INTEG_NEWS; i++)
	{
		from[i] = slot->news[i];
		any |= from[i] != DT_NOEND;
		slot->news[i] = DT_NOEND;
	}
	SpinLockRelease(&dispatch->mutex);
	return any;
}

bool
integ_wake_sleep(IntegDispatch *dispatch, int number)
{
	IntegDispatcherSlot *slot = &dispatch->slots[number];
	bool any = false;

	SpinLockAcquire(&dispatch->mutex);
	for (int i = 0; i < INTEG_NEWS; i++)
		any |= slot->news[i] != DT_NOEND;
	slot->asleep = !any;
	SpinLockRelease(&dispatch->mutex);
	return !any;
}

void
integ_wake_awake(IntegDispatch *dispatch, int number)
{
	SpinLockAcquire(&dispatch->mutex);
	dispatch->slots[number].asleep = false;
	SpinLockRelease(&dispatch->mutex);
}

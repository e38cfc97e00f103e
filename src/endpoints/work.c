/*
 * Deliveries in a dispatcher: one round after the other.
 */
#include "endpoints/work.h"

#include "../background_workers/worker.h"
#include "core/shmem.h"
#include "endpoints/deliver.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define RESCAN_INTERVAL USECS_PER_MINUTE
#define ERROR_PAUSE USECS_PER_SEC

/* Outcomes are stored together: when there are so many, or after so long, which is less where nothing more comes. */
#define SETTLE_COUNT 256
#define SETTLE_DELAY_MAX (10 * INT64CONST(1000))
#define SETTLE_DELAY (2 * INT64CONST(1000))

static IntegDeliveryDesk desk;
static TimestampTz paused_until;
static TimestampTz next_rescan;

void
integ_deliveries_work_init(IntegDispatcher *dispatcher)
{
	char problem[256];

	desk.dispatcher = dispatcher;
	desk.context = AllocSetContextCreate(dispatcher->context, "integ deliveries", ALLOCSET_DEFAULT_SIZES);
	desk.scratch = dispatcher->scratch;
	dlist_init(&desk.backlogged);
	dlist_init(&desk.unlocked);
	dlist_init(&desk.failing);
	dlist_init(&desk.claimed);
	dlist_init(&desk.ready);
	dlist_init(&desk.flying);
	dlist_init(&desk.answered);
	desk.due = DT_NOEND;
	desk.pool = integ_transfer_pool_create(INTEG_DELIVERIES_MAX, problem, sizeof(problem));
	if (desk.pool == NULL)
		ereport(FATAL, (errmsg("the dispatcher cannot start"), errdetail_internal("%s", problem)));
}

int
integ_deliveries_work_descriptor(void)
{
	return integ_transfer_pool_descriptor(desk.pool);
}

int
integ_deliveries_work_timeout(void)
{
	return desk.nflying > 0 ? integ_transfer_pool_timeout(desk.pool) : -1;
}

bool
integ_deliveries_work_open(void)
{
	return desk.nflying > 0;
}

bool
integ_deliveries_work_idle(void)
{
	return desk.count == 0;
}

void
integ_deliveries_work_reset(void)
{
	TimestampTz now = GetCurrentTimestamp();

	paused_until = 0;
	next_rescan = now;
	desk.answered_since = Min(desk.answered_since, now);
	desk.failing_since = Min(desk.failing_since, now);
}

static bool
run(IntegStep step)
{
	char error[INTEG_ERROR_MAX];

	if (integ_worker_guard(step, NULL, error, sizeof(error)))
		return true;
	integ_shmem_error(desk.dispatcher->database, psprintf("deliveries: %s", error));
	paused_until = GetCurrentTimestamp() + ERROR_PAUSE;
	return false;
}

static void
step_rescan(void *arg)
{
	integ_deliveries_rescan(&desk);
	integ_message_keys_sweep();
	next_rescan = GetCurrentTimestamp() + RESCAN_INTERVAL;
}

static void
step_settle(void *arg)
{
	if (!integ_deliveries_settle(&desk))
		paused_until = GetCurrentTimestamp() + ERROR_PAUSE;
}

static void
step_failing(void *arg)
{
	integ_deliveries_failing_write(&desk);
}

static void
step_claim(void *arg)
{
	integ_deliveries_claim(&desk);
}

static void
step_prepare(void *arg)
{
	integ_deliveries_prepare(&desk);
}

/* When what was answered is stored at the latest, where more may or may not be claimed meanwhile. */
static TimestampTz
settle_due(bool more)
{
	if (desk.nanswered == 0)
		return DT_NOEND;
	if (desk.nanswered >= SETTLE_COUNT || (desk.nflying == 0 && !more))
		return DT_NOBEGIN;
	return desk.answered_since + (more ? SETTLE_DELAY_MAX : SETTLE_DELAY);
}

/* What others have committed since the last round. */
static void
take_news(void)
{
	TimestampTz from = desk.dispatcher->delivery_news;

	desk.dispatcher->delivery_news = DT_NOEND;
	if (from == DT_NOBEGIN)
		next_rescan = DT_NOBEGIN;
	else if (from != DT_NOEND)
		integ_deliveries_news(&desk, from);
}

static TimestampTz
due(bool closed)
{
	TimestampTz due = Min(settle_due(false), integ_deliveries_failing_due(&desk));

	due = Min(due, next_rescan);
	if (!closed)
		due = Min(due, integ_deliveries_claim_due(&desk));
	return Max(due, paused_until);
}

TimestampTz
integ_deliveries_work(bool closed)
{
	TimestampTz now = GetCurrentTimestamp();
	bool more;

	take_news();
	integ_deliveries_receive(&desk);
	if (paused_until > now)
		return paused_until;
	if (next_rescan <= now && !run(step_rescan))
		return paused_until;
	more = !closed && integ_deliveries_claim_due(&desk) <= now;
	if (settle_due(more) <= now)
		(void) run(step_settle);
	if (integ_deliveries_failing_due(&desk) <= now)
		(void) run(step_failing);
	if (more && !run(step_claim))
		next_rescan = DT_NOBEGIN;
	if (!dlist_is_empty(&desk.claimed))
		(void) run(step_prepare);
	integ_deliveries_send(&desk);
	return due(closed);
}

void
integ_deliveries_work_receive(void)
{
	integ_deliveries_receive(&desk);
}

void
integ_deliveries_work_stop(void)
{
	desk.stopping = true;
	integ_deliveries_give_up(&desk);
	(void) run(step_settle);
	integ_transfer_pool_destroy(desk.pool);
}

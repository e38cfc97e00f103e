/*
 * Tickets between backends and dispatchers.
 */
#include "oauth/desk.h"

#include "core/errors.h"
#include "core/shmem.h"
#include "miscadmin.h"
#include "oauth/oauth.h"
#include "storage/ipc.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A lost wake-up costs this much at most. */
#define POLL_MS 1000

void
integ_oauth_shmem_init(IntegOauthDesk *desk)
{
	memset(desk, 0, sizeof(*desk));
	SpinLockInit(&desk->mutex);
	ConditionVariableInit(&desk->changed);
}

int
integ_oauth_dispatcher(const pg_uuid_t *instance, int total)
{
	int32 hash = DatumGetInt32(DirectFunctionCall1(uuid_hash, UUIDPGetDatum(instance)));

	/* As INTEG_MINE says it in SQL. */
	return total <= 1 ? 0 : (hash & PG_INT32_MAX) % total;
}

static bool
same(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a, b, sizeof(pg_uuid_t)) == 0;
}

/* Not inlined: GCC 14 takes the whole desk for its first member there, the mutex, and warns of an overflow. */
static pg_noinline void
wipe_code(IntegOauthTicket *ticket)
{
	explicit_bzero(ticket->code, sizeof(ticket->code));
}

static void
free_ticket(IntegOauthTicket *ticket)
{
	wipe_code(ticket);
	ticket->state = INTEG_OAUTH_FREE;
}

/* An open ticket that asks the same, else a free one; -1 where all are taken. Under the mutex. */
static int
find_ticket(const IntegOauthDesk *desk, const IntegOauthAsk *ask)
{
	int free = -1;

	for (int i = 0; i < INTEG_OAUTH_TICKETS; i++)
	{
		const IntegOauthTicket *ticket = &desk->tickets[i];

		if (ticket->state == INTEG_OAUTH_FREE)
			free = i;
		else if (ticket->state != INTEG_OAUTH_DONE && ticket->kind == ask->kind && ask->code == NULL &&
				 ticket->seen == ask->seen && same(&ticket->instance, &ask->instance))
			return i;
	}
	return free;
}

/* The index of the ticket that the caller now waits on; -1 where there is no room. */
static int
join(IntegOauthDesk *desk, const IntegOauthAsk *ask)
{
	IntegOauthTicket *ticket;
	int index;

	SpinLockAcquire(&desk->mutex);
	index = find_ticket(desk, ask);
	if (index >= 0)
	{
		ticket = &desk->tickets[index];
		if (ticket->state == INTEG_OAUTH_FREE)
		{
			ticket->state = INTEG_OAUTH_ASKED;
			ticket->kind = ask->kind;
			ticket->instance = ask->instance;
			ticket->flow = ask->flow;
			ticket->seen = ask->seen;
			ticket->waiters = 0;
			ticket->asked_at = GetCurrentTimestamp();
			ticket->code[0] = '\0';
			if (ask->code != NULL)
				strlcpy(ticket->code, ask->code, sizeof(ticket->code));
		}
		ticket->waiters += ask->timeout_ms > 0 ? 1 : 0;
	}
	SpinLockRelease(&desk->mutex);
	return index;
}

/* The caller waits no more. What was asked is done all the same. */
static void
leave(IntegOauthDesk *desk, int index)
{
	IntegOauthTicket *ticket = &desk->tickets[index];

	SpinLockAcquire(&desk->mutex);
	if (--ticket->waiters == 0 && ticket->state == INTEG_OAUTH_DONE)
		free_ticket(ticket);
	SpinLockRelease(&desk->mutex);
}

typedef struct Waiting
{
	IntegOauthDesk *desk;
	int index;
} Waiting;

static void
stop_waiting(int code, Datum arg)
{
	Waiting *waiting = (Waiting *) DatumGetPointer(arg);

	ConditionVariableCancelSleep();
	leave(waiting->desk, waiting->index);
}

static bool
is_done(IntegOauthDesk *desk, int index, IntegOauthTicket *copy)
{
	IntegOauthTicket *ticket = &desk->tickets[index];
	bool done;

	SpinLockAcquire(&desk->mutex);
	done = ticket->state == INTEG_OAUTH_DONE;
	if (done)
	{
		copy->sqlerrcode = ticket->sqlerrcode;
		strlcpy(copy->message, ticket->message, sizeof(copy->message));
		strlcpy(copy->detail, ticket->detail, sizeof(copy->detail));
		strlcpy(copy->hint, ticket->hint, sizeof(copy->hint));
	}
	SpinLockRelease(&desk->mutex);
	return done;
}

static bool
any_dispatcher(IntegDatabase *database)
{
	bool any = false;

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	for (int i = 0; i < INTEG_MAX_DISPATCHERS; i++)
		any |= database->dispatch.slots[i].pid != 0;
	LWLockRelease(integ_shared->lock);
	return any;
}

static void
set_outcome(IntegOauthTicket *outcome, int sqlerrcode, const char *message, const char *detail, const char *hint)
{
	outcome->sqlerrcode = sqlerrcode;
	strlcpy(outcome->message, message, sizeof(outcome->message));
	strlcpy(outcome->detail, detail, sizeof(outcome->detail));
	strlcpy(outcome->hint, hint, sizeof(outcome->hint));
}

static void
be_late(IntegDatabase *database, const IntegOauthAsk *ask, IntegOauthTicket *outcome)
{
	if (!any_dispatcher(database))
		set_outcome(outcome, ERRCODE_INTEG_INSTALLATION, psprintf("no dispatcher takes care of the %s", ask->what),
					"Tokens are obtained by a worker, so that a ROLLBACK cannot lose them.",
					"SELECT * FROM integ_status() says why none runs; integ.dispatchers must be at least 1.");
	else
		set_outcome(outcome, ERRCODE_INTEG_UNREACHABLE, psprintf("the %s was not obtained in time", ask->what),
					psprintf("The dispatcher goes on with it; %lld ms have passed.", (long long) ask->timeout_ms),
					"Try again; integ.oauth_tokens says what the last attempt came to.");
}

/* True when it is done, false when the time is up. */
static bool
wait(IntegOauthDesk *desk, int index, int64 timeout_ms, IntegOauthTicket *outcome)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);

	ConditionVariablePrepareToSleep(&desk->changed);
	while (!is_done(desk, index, outcome))
	{
		long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);

		if (left <= 0)
			return false;
		(void) ConditionVariableTimedSleep(&desk->changed, Min(left, POLL_MS), PG_WAIT_EXTENSION);
	}
	return true;
}

static int
find_room(IntegDatabase *database, const IntegOauthAsk *ask)
{
	IntegOauthDesk *desk = &database->oauth;
	int index;
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ask->timeout_ms);

	ConditionVariablePrepareToSleep(&desk->changed);
	while ((index = join(desk, ask)) < 0 && GetCurrentTimestamp() < deadline)
		(void) ConditionVariableTimedSleep(&desk->changed, 100, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	return index;
}

void
integ_oauth_try(const IntegOauthAsk *ask, IntegOauthTicket *outcome)
{
	IntegDatabase *database = integ_shmem_mine();
	Waiting waiting;
	bool done;

	memset(outcome, 0, sizeof(*outcome));
	if (database == NULL)
	{
		set_outcome(outcome, ERRCODE_INTEG_INSTALLATION, psprintf("the %s cannot be obtained", ask->what),
					"integ is not preloaded, or this database has no workers.",
					"Add integ to shared_preload_libraries and restart the server.");
		return;
	}
	waiting = (Waiting){.desk = &database->oauth, .index = find_room(database, ask)};
	if (waiting.index >= 0)
		integ_wake_dispatchers(&database->dispatch);
	if (ask->timeout_ms == 0)
		return;
	if (waiting.index < 0)
	{
		be_late(database, ask, outcome);
		return;
	}
	PG_ENSURE_ERROR_CLEANUP(stop_waiting, PointerGetDatum(&waiting));
	{
		done = wait(waiting.desk, waiting.index, ask->timeout_ms, outcome);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_waiting, PointerGetDatum(&waiting));
	stop_waiting(0, PointerGetDatum(&waiting));
	if (!done)
		be_late(database, ask, outcome);
}

void
integ_oauth_ask(const IntegOauthAsk *ask)
{
	IntegOauthTicket *outcome = palloc(sizeof(IntegOauthTicket));

	integ_oauth_try(ask, outcome);
	if (outcome->sqlerrcode != 0)
		ereport(ERROR, (errcode(outcome->sqlerrcode), errmsg_internal("%s", outcome->message),
						outcome->detail[0] != '\0' ? errdetail_internal("%s", outcome->detail) : 0,
						outcome->hint[0] != '\0' ? errhint("%s", outcome->hint) : 0));
	pfree(outcome);
}

/* Every round of a dispatcher passes here, and mostly nobody asks. */
static bool
is_anything_asked(IntegOauthDesk *desk)
{
	bool asked = false;

	SpinLockAcquire(&desk->mutex);
	for (int i = 0; i < INTEG_OAUTH_TICKETS && !asked; i++)
		asked = desk->tickets[i].state == INTEG_OAUTH_ASKED;
	SpinLockRelease(&desk->mutex);
	return asked;
}

int
integ_oauth_take(IntegOauthDesk *desk, int number, int total, bool (*busy)(const pg_uuid_t *instance),
				 IntegOauthTicket *copy)
{
	if (!is_anything_asked(desk))
		return -1;
	for (int i = 0; i < INTEG_OAUTH_TICKETS; i++)
	{
		IntegOauthTicket *ticket = &desk->tickets[i];
		pg_uuid_t instance;
		bool asked;

		SpinLockAcquire(&desk->mutex);
		asked = ticket->state == INTEG_OAUTH_ASKED;
		instance = ticket->instance;
		SpinLockRelease(&desk->mutex);
		/* Only the dispatcher of an instance takes its tickets, so what was asked stays so. */
		if (!asked || integ_oauth_dispatcher(&instance, total) != number || busy(&instance))
			continue;
		SpinLockAcquire(&desk->mutex);
		ticket->state = INTEG_OAUTH_TAKEN;
		*copy = *ticket;
		wipe_code(ticket);
		SpinLockRelease(&desk->mutex);
		return i;
	}
	return -1;
}

void
integ_oauth_done(IntegOauthDesk *desk, int index, int sqlerrcode, const char *message, const char *detail,
				 const char *hint)
{
	IntegOauthTicket *ticket = &desk->tickets[index];

	SpinLockAcquire(&desk->mutex);
	ticket->state = INTEG_OAUTH_DONE;
	ticket->sqlerrcode = sqlerrcode;
	strlcpy(ticket->message, message != NULL ? message : "", sizeof(ticket->message));
	strlcpy(ticket->detail, detail != NULL ? detail : "", sizeof(ticket->detail));
	strlcpy(ticket->hint, hint != NULL ? hint : "", sizeof(ticket->hint));
	if (ticket->waiters == 0)
		free_ticket(ticket);
	SpinLockRelease(&desk->mutex);
	ConditionVariableBroadcast(&desk->changed);
}

void
integ_oauth_reopen(IntegOauthDesk *desk, int number, int total)
{
	for (int i = 0; i < INTEG_OAUTH_TICKETS; i++)
	{
		IntegOauthTicket *ticket = &desk->tickets[i];
		bool lost = false;

		if (integ_oauth_dispatcher(&ticket->instance, total) != number)
			continue;
		SpinLockAcquire(&desk->mutex);
		if (ticket->state == INTEG_OAUTH_TAKEN)
		{
			/* The code went with the process that took it; a refresh can be tried again. */
			lost = ticket->kind == INTEG_OAUTH_EXCHANGE;
			ticket->state = INTEG_OAUTH_ASKED;
		}
		SpinLockRelease(&desk->mutex);
		if (lost)
			integ_oauth_done(desk, i, ERRCODE_INTEG_UNREACHABLE, "the exchange of the code was interrupted",
							 "The dispatcher ended while the token endpoint had it.",
							 "Start the authorization again: a code works once.");
	}
}

/*
 * Requests, on the side of whoever asks.
 */
#include "handlers/handlers.h"

#include <signal.h>

#include "access/xlog.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/shmem.h"
#include "handlers/message.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

struct IntegHandlerTicket
{
	IntegDatabase *database;
	int number; /* among the requests */
	uint64 id;
	TimestampTz deadline;
	const char *function;
	dsm_segment *segment; /* NULL once dropped */
	IntegHandlerMessage *message;
	shm_mq_handle *queue;
	MemoryContextCallback at_end;
};

static IntegDatabase *
require_workers(void)
{
	IntegDatabase *database = integ_shmem_mine();

	if (database == NULL || RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("there is no worker to call the function"),
						errdetail(integ_shared == NULL ? "integ is not preloaded."
													   : "No workers of integ run in this database."),
						errhint("SELECT * FROM integ_status() says what is missing.")));
	if (integ_max_handler_workers == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("there is no worker to call the function"),
						errdetail("integ.max_handler_workers is 0."),
						errhint("Raise it in postgresql.conf, and reload.")));
	return database;
}

static uint32
append(char *base, uint32 *used, const void *data, size_t len)
{
	uint32 at = *used;

	if (data == NULL)
		return 0;
	memcpy(base + at, data, len);
	*used = MAXALIGN(at + len);
	return at;
}

static size_t
text_bytes(const char *text)
{
	return text == NULL ? 0 : MAXALIGN(strlen(text) + 1);
}

/* Fills a new segment with the request, and attaches to the queue of its answer. */
static void
pack(IntegHandlerTicket *ticket, const IntegHandlerSubject *subject, const char *function, const Jsonb *argument)
{
	uint32 used = MAXALIGN(sizeof(IntegHandlerMessage));
	size_t bytes = used + text_bytes(function) + text_bytes(subject->client_id) + text_bytes(subject->user_id) +
				   MAXALIGN(VARSIZE(argument)) + INTEG_HANDLER_QUEUE_BYTES;
	IntegHandlerMessage *message;
	shm_mq *mq;
	char *base;

	if (VARSIZE(argument) > INTEG_HANDLER_BYTES_MAX)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the argument of %s is too large", function),
						errdetail("It has %u bytes; the limit is %d.", VARSIZE(argument), INTEG_HANDLER_BYTES_MAX)));
	ticket->segment = dsm_create(bytes, 0);
	/* It ends with the ticket, which may outlive the transaction or not. */
	dsm_pin_mapping(ticket->segment);
	base = dsm_segment_address(ticket->segment);
	message = ticket->message = (IntegHandlerMessage *) base;
	message->deadline = ticket->deadline;
	message->function = append(base, &used, function, strlen(function) + 1);
	message->client = append(base, &used, subject->client_id, subject->client_id ? strlen(subject->client_id) + 1 : 0);
	message->user = append(base, &used, subject->user_id, subject->user_id ? strlen(subject->user_id) + 1 : 0);
	message->argument = append(base, &used, argument, VARSIZE(argument));
	message->queue = used;
	message->bytes = bytes;
	mq = shm_mq_create(base + used, INTEG_HANDLER_QUEUE_BYTES);
	shm_mq_set_receiver(mq, MyProc);
	ticket->queue = shm_mq_attach(mq, ticket->segment, NULL);
}

/* An idle worker of the owner hears of it at once; otherwise the keeper sees to one. The caller holds the lock. */
static bool
wake_idle_worker(IntegHandlers *handlers, Oid owner)
{
	for (int i = 0; i < INTEG_MAX_HANDLERS; i++)
	{
		IntegHandlerSlot *slot = &handlers->slots[i];

		if (slot->state != INTEG_HANDLER_IDLE || slot->owner != owner)
			continue;
		slot->state = INTEG_HANDLER_BUSY;
		slot->since = GetCurrentTimestamp();
		SetLatch(slot->latch);
		return true;
	}
	return false;
}

/* Puts the request where workers look; false where there is no room. */
static bool
post(IntegHandlerTicket *ticket, Oid owner)
{
	IntegHandlers *handlers = &ticket->database->handlers;
	bool posted = false, woken = false;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < INTEG_MAX_HANDLER_REQUESTS && !posted; i++)
	{
		IntegHandlerRequest *request = &handlers->requests[i];

		if (request->state != INTEG_REQUEST_FREE)
			continue;
		*request = (IntegHandlerRequest){.state = INTEG_REQUEST_WAITING,
										 .id = ++handlers->last_request,
										 .owner = owner,
										 .segment = dsm_segment_handle(ticket->segment),
										 .latch = MyLatch};
		ticket->number = i;
		ticket->id = request->id;
		woken = wake_idle_worker(handlers, owner);
		posted = true;
	}
	LWLockRelease(integ_shared->lock);
	if (posted && !woken)
		integ_shmem_wake_keeper(ticket->database, INTEG_WAKE_HANDLERS);
	return posted;
}

/* What was asked and answered may be secret. */
static void
wipe_and_detach(IntegHandlerTicket *ticket)
{
	dsm_segment *segment = ticket->segment;
	uint32 queue = ticket->message->queue, bytes = ticket->message->bytes;

	ticket->segment = NULL;
	shm_mq_detach(ticket->queue);
	/* The queue's own head stays: a worker may still look at it. */
	explicit_bzero((char *) ticket->message + queue + shm_mq_minimum_size, bytes - queue - shm_mq_minimum_size);
	dsm_detach(segment);
}

/* Takes the request back, or cancels the worker that has it. */
static void
withdraw(const IntegHandlerTicket *ticket)
{
	IntegHandlers *handlers = &ticket->database->handlers;
	IntegHandlerRequest *request = &handlers->requests[ticket->number];

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (request->id == ticket->id && request->state == INTEG_REQUEST_TAKEN)
	{
		request->cancelled = true;
		if (handlers->slots[request->slot].pid != 0)
			kill(handlers->slots[request->slot].pid, SIGINT);
	}
	else if (request->id == ticket->id)
		request->state = INTEG_REQUEST_FREE;
	LWLockRelease(integ_shared->lock);
}

static void
end_ticket(IntegHandlerTicket *ticket)
{
	if (ticket->segment == NULL)
		return;
	withdraw(ticket);
	wipe_and_detach(ticket);
}

static void
end_with_context(void *arg)
{
	end_ticket(arg);
}

void
integ_handler_drop(IntegHandlerTicket *ticket)
{
	end_ticket(ticket);
}

bool
integ_handler_has_room(void)
{
	IntegDatabase *database = integ_shmem_mine();
	int free = 0;

	if (database == NULL)
		return true;
	LWLockAcquire(integ_shared->lock, LW_SHARED);
	for (int i = 0; i < INTEG_MAX_HANDLER_REQUESTS; i++)
		free += database->handlers.requests[i].state == INTEG_REQUEST_FREE ? 1 : 0;
	LWLockRelease(integ_shared->lock);
	return free > INTEG_MAX_HANDLER_REQUESTS / 4;
}

IntegHandlerTicket *
integ_handler_ask(const IntegHandlerSubject *subject, const char *function, const Jsonb *argument, int64 timeout_ms)
{
	IntegHandlerTicket *ticket = palloc0(sizeof(IntegHandlerTicket));

	ticket->database = require_workers();
	ticket->deadline = GetCurrentTimestamp() + timeout_ms * 1000;
	ticket->function = pstrdup(function);
	pack(ticket, subject, function, argument);
	if (!post(ticket, subject->owner))
	{
		wipe_and_detach(ticket);
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), errmsg("too many functions are waited for"),
						errdetail("At most %d answers are waited for at once in a database.", INTEG_MAX_HANDLER_REQUESTS),
						errhint("Try again later.")));
	}
	ticket->at_end.func = end_with_context;
	ticket->at_end.arg = ticket;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &ticket->at_end);
	return ticket;
}

TimestampTz
integ_handler_deadline(const IntegHandlerTicket *ticket)
{
	return ticket->deadline + INTEG_HANDLER_MOMENT;
}

static void
unpack(const char *data, Size len, IntegHandlerAnswer *answer)
{
	IntegHandlerReply head;
	const char *body = data + INTEG_HANDLER_REPLY_BYTES;

	memset(answer, 0, sizeof(*answer));
	memcpy(&head, data, sizeof(head));
	answer->sqlerrcode = head.sqlerrcode;
	if (head.has_result)
	{
		answer->result = palloc(len - INTEG_HANDLER_REPLY_BYTES);
		memcpy(answer->result, body, len - INTEG_HANDLER_REPLY_BYTES);
	}
	else if (head.sqlerrcode != 0)
	{
		answer->message = pstrdup(body);
		body += strlen(body) + 1;
		answer->detail = *body != '\0' ? pstrdup(body) : NULL;
		body += strlen(body) + 1;
		answer->hint = *body != '\0' ? pstrdup(body) : NULL;
	}
}

static void
fail(IntegHandlerAnswer *answer, int sqlerrcode, char *message, char *detail, char *hint)
{
	*answer = (IntegHandlerAnswer){.sqlerrcode = sqlerrcode, .message = message, .detail = detail, .hint = hint};
}

/* Where the request stands; fills refusal (INTEG_REFUSAL_MAX bytes). */
static IntegHandlerRequestState
look_at(const IntegHandlerTicket *ticket, char *refusal)
{
	const IntegHandlerRequest *request = &ticket->database->handlers.requests[ticket->number];
	IntegHandlerRequestState state;

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	state = request->id == ticket->id ? request->state : INTEG_REQUEST_FREE;
	memcpy(refusal, request->refusal, INTEG_REFUSAL_MAX);
	LWLockRelease(integ_shared->lock);
	return state;
}

/* Whether there is no answer to wait for any more. */
static bool
is_over(const IntegHandlerTicket *ticket, IntegHandlerAnswer *answer)
{
	char refusal[INTEG_REFUSAL_MAX];
	IntegHandlerRequestState state = look_at(ticket, refusal);

	if (state == INTEG_REQUEST_REFUSED)
		fail(answer, ERRCODE_INTEG_INSTALLATION, psprintf("%s could not be called: %s", ticket->function, refusal),
			 NULL, "SELECT * FROM integ_status() and the server log say more.");
	else if (state == INTEG_REQUEST_WAITING && GetCurrentTimestamp() >= ticket->deadline)
		fail(answer, ERRCODE_INTEG_UNREACHABLE, psprintf("no worker was free in time to call %s", ticket->function),
			 "It was not called.", "Raise integ.max_handler_workers (and max_worker_processes), or the timeout.");
	else if (GetCurrentTimestamp() >= integ_handler_deadline(ticket))
		fail(answer, ERRCODE_INTEG_UNREACHABLE, psprintf("%s did not answer in time", ticket->function),
			 "It was cancelled.", "Raise integ.handler_timeout or the timeout of the call, or make it faster.");
	else
		return false;
	return true;
}

bool
integ_handler_poll(IntegHandlerTicket *ticket, IntegHandlerAnswer *answer)
{
	shm_mq_result result;
	void *data;
	Size len;

	result = shm_mq_receive(ticket->queue, &len, &data, true);
	if (result == SHM_MQ_SUCCESS)
		unpack(data, len, answer);
	else if (result == SHM_MQ_DETACHED)
		fail(answer, ERRCODE_INTEG_INSTALLATION, psprintf("the worker that called %s has ended", ticket->function),
			 "What it had done was rolled back, unless it had just committed.", "The server log says why.");
	else if (!is_over(ticket, answer))
		return false;
	return true;
}

void
integ_handler_wait(IntegHandlerTicket *ticket, IntegHandlerAnswer *answer)
{
	while (!integ_handler_poll(ticket, answer))
	{
		TimestampTz until = integ_handler_deadline(ticket);
		long left = Max((long) ((until - GetCurrentTimestamp()) / 1000), 0) + 1;

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(left, 1000), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

Jsonb *
integ_handler_run(const IntegHandlerSubject *subject, const char *function, const Jsonb *argument, int64 timeout_ms)
{
	IntegHandlerTicket *ticket = integ_handler_ask(subject, function, argument, timeout_ms);
	IntegHandlerAnswer answer;

	integ_handler_wait(ticket, &answer);
	integ_handler_drop(ticket);
	if (answer.sqlerrcode != 0)
		ereport(ERROR, (errcode(answer.sqlerrcode), errmsg_internal("%s", answer.message),
						answer.detail != NULL ? errdetail_internal("%s", answer.detail) : 0,
						answer.hint != NULL ? errhint("%s", answer.hint) : 0));
	return answer.result;
}

/*
 * Requests, on the worker's side: taken, carried out, answered.
 */
#include "handlers/worker.h"

#include <unistd.h>

#include "core/errors.h"
#include "handlers/message.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The oldest request to the owner; -1 where there is none. */
static int
take(IntegHandlerWorker *worker, dsm_handle *segment)
{
	IntegHandlers *handlers = &worker->database->handlers;
	int found = -1;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < INTEG_MAX_HANDLER_REQUESTS; i++)
	{
		const IntegHandlerRequest *request = &handlers->requests[i];

		if (request->state == INTEG_REQUEST_WAITING && request->owner == worker->owner &&
			(found == -1 || request->id < handlers->requests[found].id))
			found = i;
	}
	if (found != -1)
	{
		handlers->requests[found].state = INTEG_REQUEST_TAKEN;
		handlers->requests[found].slot = worker->number;
		*segment = handlers->requests[found].segment;
		worker->slot->since = GetCurrentTimestamp();
	}
	LWLockRelease(integ_shared->lock);
	return found;
}

/* Frees the request; a cancel that was meant for it does not reach what comes next. */
static void
release(IntegHandlerWorker *worker, int number)
{
	IntegHandlerRequest *request = &worker->database->handlers.requests[number];
	bool cancelled;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	cancelled = request->cancelled;
	request->state = INTEG_REQUEST_FREE;
	LWLockRelease(integ_shared->lock);
	if (!cancelled)
		return;
	/* It was sent under the lock: with the next system call it has arrived. */
	(void) getppid();
	QueryCancelPending = false;
}

void
integ_handler_serve_abandon(IntegDatabase *database, int slot)
{
	for (int i = 0; i < INTEG_MAX_HANDLER_REQUESTS; i++)
	{
		IntegHandlerRequest *request = &database->handlers.requests[i];

		if (request->state == INTEG_REQUEST_TAKEN && request->slot == slot)
			request->state = INTEG_REQUEST_FREE;
	}
}

/* Nobody may be left to hear it. */
static void
reply(shm_mq_handle *queue, const IntegHandlerAnswer *answer)
{
	IntegHandlerReply head = {.sqlerrcode = answer->sqlerrcode, .has_result = answer->result != NULL};
	char header[INTEG_HANDLER_REPLY_BYTES] = {0};
	shm_mq_iovec parts[4] = {{header, sizeof(header)}};
	int count = 1;

	memcpy(header, &head, sizeof(head));
	if (answer->result != NULL)
		parts[count++] = (shm_mq_iovec){(char *) answer->result, VARSIZE(answer->result)};
	else if (answer->sqlerrcode != 0)
	{
		const char *texts[] = {answer->message, answer->detail, answer->hint};

		for (int i = 0; i < 3; i++)
			parts[count++] = (shm_mq_iovec){texts[i] != NULL ? texts[i] : "", texts[i] != NULL ? strlen(texts[i]) + 1 : 1};
	}
	/* Whoever waited and went away has cancelled us: the queue says so as well. */
	HOLD_CANCEL_INTERRUPTS();
	(void) shm_mq_sendv(queue, parts, count, false, true);
	RESUME_CANCEL_INTERRUPTS();
}

/* Whoever waits was not cancelled itself. */
static void
explain_cancel(const IntegHandlerCall *call, IntegHandlerAnswer *answer)
{
	if (answer->sqlerrcode != ERRCODE_QUERY_CANCELED)
		return;
	answer->sqlerrcode = ERRCODE_INTEG_UNREACHABLE;
	answer->message = psprintf("%s did not answer in time, or was cancelled", call->function);
	answer->detail = "What it had done was rolled back.";
}

static void
limit_answer(IntegHandlerAnswer *answer)
{
	if (answer->result == NULL || VARSIZE(answer->result) <= INTEG_HANDLER_BYTES_MAX)
		return;
	*answer = (IntegHandlerAnswer){.sqlerrcode = ERRCODE_INTEG_INVALID,
								   .message = "the answer of the function is too large",
								   .detail = psprintf("The limit is %d bytes.", INTEG_HANDLER_BYTES_MAX)};
}

static void
serve(IntegHandlerWorker *worker, dsm_segment *segment)
{
	IntegHandlerMessage *message = dsm_segment_address(segment);
	shm_mq *mq = integ_handler_message_at(message, message->queue);
	IntegHandlerAnswer answer;
	IntegHandlerCall call;
	shm_mq_handle *queue;

	shm_mq_set_sender(mq, MyProc);
	queue = shm_mq_attach(mq, segment, NULL);
	call = (IntegHandlerCall){
		.subject = {.owner = worker->owner,
					.client_id = integ_handler_message_at(message, message->client),
					.user_id = integ_handler_message_at(message, message->user)},
		.function = integ_handler_message_at(message, message->function),
		.argument = integ_handler_message_at(message, message->argument),
		.timeout_ms = (message->deadline - GetCurrentTimestamp()) / 1000};
	/* Nobody waits any more. */
	if (call.timeout_ms <= 0)
		return;
	integ_handler_call(&call, &answer);
	explain_cancel(&call, &answer);
	limit_answer(&answer);
	reply(queue, &answer);
	/* It may be a secret. */
	if (answer.result != NULL)
		explicit_bzero(answer.result, VARSIZE(answer.result));
}

bool
integ_handler_serve(IntegHandlerWorker *worker)
{
	dsm_segment *segment;
	dsm_handle handle;
	int number = take(worker, &handle);

	if (number == -1)
		return false;
	/* Whoever asked may have gone already. */
	segment = dsm_attach(handle);
	if (segment != NULL)
	{
		serve(worker, segment);
		dsm_detach(segment);
	}
	release(worker, number);
	return true;
}

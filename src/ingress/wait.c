/*
 * Requests whose answer comes later: what a run returns that an event has led to, or what a handler worker is asked.
 * Their connections wait; the listener goes on, and is told by its latch.
 */
#include "ingress/ingress.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/owner.h"
#include "core/query.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Services give up after 3 s (Slack, "Enabling interactivity with slash commands"). */
#define REPLY_TIME (2 * USECS_PER_SEC)

/* More requests than this do not wait: they get what they would get if nothing came. */
#define MAX_WAITING 1000

typedef struct Waiting
{
	dlist_node node;
	MemoryContext context; /* holds all of this */
	IntegServerRequest *request;
	IntegIngressReply reply; /* if nothing comes in time */
	TimestampTz deadline;
	bool done;
	pg_uuid_t run;
	IntegHandlerTicket *ticket; /* NULL: it waits for the run */
	const char *arg;			/* of the question */
	void (*read)(const IntegHandlerAnswer *answer, const char *arg, IntegIngressReply *reply);
} Waiting;

static dlist_head all = DLIST_STATIC_INIT(all);
static int count;
static bool unseen; /* runs may have ended since the last look */

void
integ_ingress_tell(IntegDatabase *database)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < INTEG_MAX_LISTENERS; i++)
	{
		IntegListenerSlot *slot = &database->listeners.slots[i];

		if (!slot->waiting || slot->latch == NULL)
			continue;
		slot->news = true;
		SetLatch(slot->latch);
	}
	LWLockRelease(integ_shared->lock);
}

static void
copy_reply(const IntegIngressReply *from, IntegIngressReply *to)
{
	IntegHttpHeader *headers = palloc(sizeof(IntegHttpHeader) * Max(from->nheaders, 1));

	*to = *from;
	if (from->content_type != NULL)
		to->content_type = pstrdup(from->content_type);
	if (from->body != NULL)
		to->body = pnstrdup(from->body, from->body_len);
	for (int i = 0; i < from->nheaders; i++)
		headers[i] = (IntegHttpHeader){pstrdup(from->headers[i].name), pstrdup(from->headers[i].value)};
	to->headers = headers;
	to->webhook = NULL;
	to->question = NULL;
}

void
integ_ingress_wait(IntegListenerSlot *slot, IntegServerRequest *request, const IntegIngressReply *reply)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "integ request", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	const IntegIngressQuestion *question = reply->question;
	Waiting *waiting = palloc0(sizeof(Waiting));

	*waiting = (Waiting){.context = context, .request = request, .deadline = GetCurrentTimestamp() + REPLY_TIME};
	copy_reply(reply, &waiting->reply);
	PG_TRY();
	{
		if (count >= MAX_WAITING)
			waiting->deadline = 0;
		else if (question != NULL)
		{
			waiting->ticket = integ_handler_ask(&question->subject, question->function, question->argument,
												question->timeout_ms);
			waiting->read = question->read;
			waiting->arg = question->arg == NULL ? NULL : pstrdup(question->arg);
			waiting->deadline = integ_handler_deadline(waiting->ticket);
		}
		else
		{
			waiting->run = reply->webhook->run;
			unseen = true;
		}
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		PG_RE_THROW();
	}
	PG_END_TRY();
	dlist_push_tail(&all, &waiting->node);
	count++;
	/* From now on it is told; what ended before is seen by the first look. */
	if (waiting->ticket == NULL)
	{
		LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
		slot->waiting = true;
		LWLockRelease(integ_shared->lock);
	}
	MemoryContextSwitchTo(old);
}

static Waiting *
waiting_for(const pg_uuid_t *run)
{
	dlist_iter iter;

	dlist_foreach (iter, &all)
	{
		Waiting *waiting = dlist_container(Waiting, node, iter.cur);

		if (waiting->ticket == NULL && memcmp(&waiting->run, run, sizeof(*run)) == 0)
			return waiting;
	}
	return NULL;
}

/* The runs that somebody waits for, as an array; NULL where there are none. */
static ArrayType *
awaited_runs(void)
{
	Datum *runs = palloc(sizeof(Datum) * (count + 1));
	dlist_iter iter;
	int nruns = 0;

	dlist_foreach (iter, &all)
	{
		Waiting *waiting = dlist_container(Waiting, node, iter.cur);

		if (waiting->ticket == NULL && !waiting->done)
			runs[nruns++] = UUIDPGetDatum(&waiting->run);
	}
	return nruns == 0 ? NULL : construct_array(runs, nruns, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
}

/* The handler's words go over what the service would get otherwise. A run that was given up leaves that as it is. */
static void
read_result(Waiting *waiting, uint64 row)
{
	MemoryContext old = MemoryContextSwitchTo(waiting->context);
	const Jsonb *document = (Jsonb *) integ_result_varlena(row, 2, waiting->context);
	IntegIngressReply *reply = &waiting->reply;
	IntegWebhookReply said = {.status = reply->status,
							  .content_type = reply->content_type,
							  .body = reply->body,
							  .body_len = reply->body_len};

	waiting->done = true;
	if (document != NULL)
	{
		integ_webhook_reply_read(document, &said);
		*reply = (IntegIngressReply){.status = said.status,
									 .content_type = said.content_type,
									 .body = said.body,
									 .body_len = said.body_len,
									 .nheaders = said.nheaders,
									 .headers = said.headers};
	}
	MemoryContextSwitchTo(old);
}

static void
look_at_runs(void)
{
	static IntegQuery ended = {
		"SELECT id, reply FROM integ.handler_runs WHERE id = ANY ($1) AND state IN ('succeeded', 'dead')",
		1,
		{UUIDARRAYOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum runs = PointerGetDatum(awaited_runs());
	IntegOwnerScope scope;
	uint64 found;

	if (DatumGetPointer(runs) == NULL)
		return;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	found = integ_query(&ended, &runs, NULL);
	for (uint64 i = 0; i < found; i++)
	{
		bool isnull;
		Waiting *waiting = waiting_for(DatumGetUUIDP(integ_result_datum(i, 1, &isnull)));

		if (waiting != NULL)
			read_result(waiting, i);
	}
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

static void
look_at_question(Waiting *waiting)
{
	MemoryContext old = MemoryContextSwitchTo(waiting->context);
	IntegHandlerAnswer answer;

	if (integ_handler_poll(waiting->ticket, &answer))
	{
		waiting->done = true;
		waiting->read(&answer, waiting->arg, &waiting->reply);
	}
	MemoryContextSwitchTo(old);
}

void
integ_ingress_look(IntegListenerSlot *slot)
{
	if (count == 0)
		return;
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	unseen |= slot->news;
	slot->news = false;
	LWLockRelease(integ_shared->lock);
	if (!unseen)
		return;
	look_at_runs();
	unseen = false;
}

static void
stop_waiting(Waiting *waiting)
{
	dlist_delete(&waiting->node);
	count--;
	if (waiting->ticket != NULL)
		integ_handler_drop(waiting->ticket);
	MemoryContextDelete(waiting->context);
}

bool
integ_ingress_answer_waiting(IntegListenerSlot *slot, IntegIngressAnswer answer)
{
	TimestampTz now = GetCurrentTimestamp();
	bool runs_wait = false, answered = false;
	dlist_mutable_iter iter;

	if (count == 0)
		return false;
	dlist_foreach_modify(iter, &all)
	{
		Waiting *waiting = dlist_container(Waiting, node, iter.cur);

		if (waiting->ticket != NULL)
			look_at_question(waiting);
		if (waiting->done || waiting->deadline <= now)
		{
			answered = true;
			answer(waiting->request, &waiting->reply);
			stop_waiting(waiting);
		}
		else
			runs_wait |= waiting->ticket == NULL;
	}
	if (!runs_wait)
	{
		LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
		slot->waiting = false;
		LWLockRelease(integ_shared->lock);
	}
	return answered;
}

TimestampTz
integ_ingress_look_at(void)
{
	TimestampTz first = DT_NOEND;
	dlist_iter iter;

	dlist_foreach (iter, &all)
		first = Min(first, dlist_container(Waiting, node, iter.cur)->deadline);
	return first;
}

/*
 * Listener: takes HTTP requests. One loop over the server's descriptor and the process's latch. Requests that have come
 * together are one transaction, and each is answered after its commit.
 */
#include "worker.h"

#include "access/xact.h"
#include "core/compat.h"
#include "core/guc.h"
#include "core/owner.h"
#include "ingress/ingress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "webhooks/webhook.h"

#define SLEEP_MAX_MS 60000
#define STOP_LOOK_MS 100
#define MAX_BATCH 64
#define MAX_CONNECTIONS 4000
#define IDLE_S 30

/* A batch waits for more requests for this part of the time that the last one took, at most. */
#define GATHER_PART 2
#define GATHER_MAX (2 * INT64CONST(1000))
#define REQUEST_S 60

/* What is under way when the listener is told to stop is finished. */
#define STOP_GRACE (5 * USECS_PER_SEC)

#define STABLE_AFTER USECS_PER_MINUTE

static IntegDatabase *mine;
static IntegListenerSlot *slot;
static const IntegServerDriver *driver;
static IntegServer *server;
static MemoryContext scratch;
static bool refused; /* there is nothing to listen on */

/* Of batches; see gathers. */
static struct
{
	int answered; /* by the last one, and not looked at since; 0: that is done */
	int expected; /* by the next one */
	TimestampTz until;
} pace;

typedef struct Batch
{
	int count;
	IntegServerRequest *requests[MAX_BATCH];
	IntegIngressReply replies[MAX_BATCH];
} Batch;

/* Runs after this process has left its database. */
static void
detach(int code, Datum arg)
{
	bool failed = !ShutdownRequestPending && !refused;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	slot->pid = 0;
	slot->port = 0;
	slot->latch = NULL;
	slot->waiting = slot->news = false;
	slot->failures = !failed ? 0 : GetCurrentTimestamp() - slot->since > STABLE_AFTER ? 1
																					  : slot->failures + 1;
	slot->retry_at = failed ? GetCurrentTimestamp() + integ_worker_backoff(slot->failures) : refused ? DT_NOEND
																									 : 0;
	ConditionVariableBroadcast(&mine->changed);
	LWLockRelease(integ_shared->lock);
	integ_shmem_wake_keeper(mine, INTEG_WAKE_LISTENERS);
}

/* False where another one runs, the slot changed hands, or a command on the database is under way. */
static bool
attach(void)
{
	const IntegWorkerExtra *extra = integ_worker_extra();
	bool taken = false;

	mine = &integ_shared->databases[extra->slot];
	slot = &mine->listeners.slots[extra->number];
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (mine->generation == extra->generation && mine->suspended == 0 && slot->pid == 0)
	{
		taken = true;
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		slot->since = GetCurrentTimestamp();
		on_shmem_exit(detach, (Datum) 0);
	}
	LWLockRelease(integ_shared->lock);
	return taken;
}

/* Before the process leaves, so that whoever waits for an answer sees the connection end. */
static void
close_server(int code, Datum arg)
{
	if (server != NULL)
		driver->close(server);
	server = NULL;
}

static bool
open_server(void)
{
	IntegServerOptions options = {.address = integ_listen_addresses,
								  .cert_file = *integ_listen_cert_file == '\0' ? NULL : integ_listen_cert_file,
								  .key_file = integ_listen_key_file,
								  .port = integ_listen_port,
								  .max_body = INTEG_WEBHOOK_MAX_BODY,
								  .max_connections = MAX_CONNECTIONS,
								  .idle_s = IDLE_S,
								  .request_s = REQUEST_S};
	char problem[256];

	if (integ_listen_port == 0)
	{
		refused = true;
		return false;
	}
	server = driver->open(&options, problem, sizeof(problem));
	if (server == NULL)
	{
		integ_shmem_error(mine, psprintf("listener: %s", problem));
		ereport(LOG, (errmsg("integ does not listen: %s", problem)));
		return false;
	}
	before_shmem_exit(close_server, (Datum) 0);
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	slot->port = driver->port(server);
	LWLockRelease(integ_shared->lock);
	return true;
}

/* --- a batch --- */

static void
handle_some(Batch *batch, int from, int count)
{
	MemoryContext context = CurrentMemoryContext;
	IntegWebhookBatch *events = integ_webhook_batch();
	IntegOwnerScope scope;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	for (int i = from; i < from + count; i++)
		integ_ingress_route(batch->requests[i], events, &batch->replies[i]);
	(void) integ_webhook_store(events, NULL);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

static void
step_all(void *arg)
{
	handle_some(arg, 0, ((Batch *) arg)->count);
}

typedef struct One
{
	Batch *batch;
	int index;
} One;

static void
step_one(void *arg)
{
	One *one = arg;

	handle_some(one->batch, one->index, 1);
}

/* Whatever went wrong, the service is to send it again: nothing of it is stored. */
static void
refuse(IntegIngressReply *reply)
{
	static const char text[] = "try again later\n";

	*reply = (IntegIngressReply){.status = 503,
								 .content_type = "text/plain; charset=utf-8",
								 .body = text,
								 .body_len = sizeof(text) - 1,
								 .retry_later = true};
}

/* One that cannot be handled does not hinder the others. */
static void
handle_batch(Batch *batch)
{
	char error[INTEG_ERROR_MAX];

	if (integ_worker_guard(step_all, batch, error, sizeof(error)))
		return;
	for (int i = 0; i < batch->count; i++)
	{
		One one = {batch, i};

		if (batch->count > 1 && integ_worker_guard(step_one, &one, error, sizeof(error)))
			continue;
		refuse(&batch->replies[i]);
		integ_shmem_error(mine, psprintf("listener: %s", error));
	}
}

static void
answer(IntegServerRequest *request, const IntegIngressReply *reply)
{
	IntegHttpHeader headers[INTEG_INGRESS_MAX_HEADERS + 3];
	IntegServerAnswer answer = {
		.status = reply->status, .headers = headers, .body = reply->body, .body_len = reply->body_len};

	for (int i = 0; i < reply->nheaders; i++)
		headers[answer.nheaders++] = reply->headers[i];
	if (reply->content_type != NULL)
		headers[answer.nheaders++] = (IntegHttpHeader){"Content-Type", reply->content_type};
	if (reply->body != NULL)
		headers[answer.nheaders++] = (IntegHttpHeader){"X-Content-Type-Options", "nosniff"};
	if (reply->retry_later)
		headers[answer.nheaders++] = (IntegHttpHeader){"Retry-After", "5"};
	driver->answer(server, request, &answer);
}

static void
step_wait(void *arg)
{
	One *one = arg;

	integ_ingress_wait(slot, one->batch->requests[one->index], &one->batch->replies[one->index]);
}

/* What is committed is answered; some of it when more is known. */
static void
answer_batch(Batch *batch)
{
	char error[INTEG_ERROR_MAX];

	for (int i = 0; i < batch->count; i++)
	{
		IntegIngressReply *reply = &batch->replies[i];
		One one = {batch, i};

		if (reply->question != NULL || (reply->webhook != NULL && reply->webhook->has_run))
		{
			if (integ_worker_guard(step_wait, &one, error, sizeof(error)))
				continue;
			integ_shmem_error(mine, psprintf("listener: %s", error));
		}
		answer(batch->requests[i], reply);
	}
}

static void
step_look(void *arg)
{
	integ_ingress_look(slot);
}

/* Those that have waited, and whose answer has come; false where there is none. */
static bool
answer_waiting(void)
{
	char error[INTEG_ERROR_MAX];

	MemoryContextReset(scratch);
	MemoryContextSwitchTo(scratch);
	if (!integ_worker_guard(step_look, NULL, error, sizeof(error)))
		integ_shmem_error(mine, psprintf("listener: %s", error));
	return integ_ingress_answer_waiting(slot, answer);
}

/*
 * Whether requests that are whole wait for more to share their commit. Clients that were answered together mostly come
 * together again, a moment later. Without this pause those who came during the last commit would go first, alone, and
 * the others wait for that commit too, each time: two commits a request in place of one.
 */
static bool
gathers(int whole)
{
	if (pace.answered > 0)
		pace.expected = Min(pace.answered + whole, MAX_BATCH);
	pace.answered = 0;
	return whole < pace.expected && GetCurrentTimestamp() < pace.until;
}

/* False where nothing waited, or what did waits for more. */
static bool
serve(void)
{
	int whole = driver->whole(server);
	TimestampTz begun;
	Batch *batch;

	if (whole == 0 || gathers(whole))
		return false;
	begun = GetCurrentTimestamp();

	MemoryContextReset(scratch);
	MemoryContextSwitchTo(scratch);
	batch = palloc0(sizeof(Batch));
	while (batch->count < Min(whole, MAX_BATCH))
		batch->requests[batch->count++] = driver->next(server);
	handle_batch(batch);
	answer_batch(batch);
	pace.answered = batch->count;
	pace.until = GetCurrentTimestamp();
	pace.until += Min((pace.until - begun) / GATHER_PART, GATHER_MAX);
	return true;
}

/* A renewed certificate holds from the next connection on: while some come, files are looked at once a second. */
static void
renew_certificate(bool now)
{
	static TimestampTz looked_at;
	static char last[INTEG_ERROR_MAX];
	char problem[INTEG_ERROR_MAX] = "";

	if (!now && GetCurrentTimestamp() < looked_at + USECS_PER_SEC)
		return;
	looked_at = GetCurrentTimestamp();
	if (!driver->renew(server, problem, sizeof(problem)) && strcmp(problem, last) != 0)
	{
		integ_shmem_error(mine, psprintf("listener: %s", problem));
		ereport(LOG, (errmsg("integ's listener keeps its certificate: %s", problem)));
	}
	strlcpy(last, problem, sizeof(last));
}

/* Milliseconds to rest for, unless something happens. */
static long
rest_for(bool stops)
{
	long limit = driver->whole(server) > 0 ? 1 : stops ? STOP_LOOK_MS
													   : SLEEP_MAX_MS;

	return driver->timeout(server, integ_worker_timeout(integ_ingress_look_at(), limit));
}

static void
rest(WaitEventSet *events, long timeout)
{
	WaitEvent event;

	(void) pgstat_report_stat(true);
	(void) WaitEventSetWait(events, timeout, &event, 1, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		renew_certificate(true);
	}
	renew_certificate(false);
}

static WaitEventSet *
make_events(void)
{
	WaitEventSet *events = integ_create_wait_event_set(3);

	(void) AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	(void) AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	(void) AddWaitEventToSet(events, WL_SOCKET_READABLE, driver->fd(server), NULL, NULL);
	return events;
}

/*
 * Who has connected before is still served: one round accepts what the kernel has taken on for us, and the next reads
 * what has come on it. False where the server cannot go on.
 */
static bool
stop_listening(void)
{
	bool goes_on = driver->run(server) && driver->run(server);

	driver->quiesce(server);
	return goes_on;
}

void
integ_ingress_run(const IntegServerDriver *given)
{
	TimestampTz deadline = 0;
	WaitEventSet *events;

	driver = given;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	if (!attach())
		proc_exit(0);
	integ_worker_connect();
	scratch = AllocSetContextCreate(TopMemoryContext, "integ listener", ALLOCSET_DEFAULT_SIZES);
	if (!open_server())
		proc_exit(refused ? 0 : 1);
	events = make_events();

	while (deadline == 0 || (driver->requests(server) > 0 && GetCurrentTimestamp() < deadline))
	{
		bool stops = ShutdownRequestPending && deadline == 0;

		if (stops)
			deadline = GetCurrentTimestamp() + STOP_GRACE;
		if (!(stops ? stop_listening() : driver->run(server)))
			ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("integ's HTTP server cannot go on")));
		/* What was answered is written by the next round. */
		if (serve() || answer_waiting())
			continue;
		rest(events, rest_for(deadline != 0));
	}
	proc_exit(0);
}

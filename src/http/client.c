/*
 * HTTP from a backend.
 *
 * The pool's epoll descriptor and the process latch share one wait set, made once: a
 * request that goes over a kept connection costs one wait.
 */
#include "http/client.h"

#include "core/compat.h"
#include "http/transfer.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

/* Of libpq/libpq.h, which wants the headers of GSSAPI that servers built with it do not bring along. */
extern bool pq_check_connection(void);

/* Sockets to services that a backend holds, idle ones included. */
#define MAX_CONNECTIONS 8

/* Besides those: the epoll descriptor, two attempts at once, a pair that wakes the resolver's waiter. */
#define OTHER_DESCRIPTORS 5

static IntegTransferPool *pool = NULL;
static WaitEventSet *wait_set = NULL;

static void
release_descriptors(int count)
{
	while (count-- > 0)
		ReleaseExternalFD();
}

static bool
reserve_descriptors(int count)
{
	for (int i = 0; i < count; i++)
		if (!AcquireExternalFD())
		{
			release_descriptors(i);
			return false;
		}
	return true;
}

/* Makes pool and wait set, or says in problem why that cannot be. */
static bool
prepare(char *problem, size_t size)
{
	if (pool == NULL)
	{
		if (!reserve_descriptors(MAX_CONNECTIONS + OTHER_DESCRIPTORS))
		{
			snprintf(problem, size, "this session has too many files open for an HTTP request");
			return false;
		}
		pool = integ_transfer_pool_create(MAX_CONNECTIONS, problem, size);
		if (pool == NULL)
		{
			release_descriptors(MAX_CONNECTIONS + OTHER_DESCRIPTORS);
			return false;
		}
	}
	if (wait_set == NULL)
	{
		WaitEventSet *set = integ_create_wait_event_set(3);

		AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		AddWaitEventToSet(set, WL_SOCKET_READABLE, integ_transfer_pool_descriptor(pool), NULL, NULL);
		wait_set = set;
	}
	return true;
}

/* client_connection_check_interval has passed: look whether anybody still waits for us. */
static void
check_connection(void)
{
	CheckClientConnectionPending = false;
	if (client_connection_check_interval <= 0)
		return;
	if (!pq_check_connection())
		ClientConnectionLost = true;
	else
		enable_timeout_after(CLIENT_CONNECTION_CHECK_TIMEOUT, client_connection_check_interval);
}

/*
 * Whether an interrupt ends the wait. What can be served without raising is served; what would raise stays
 * pending for the caller's CHECK_FOR_INTERRUPTS.
 */
static bool
interrupted(void)
{
	if (!INTERRUPTS_PENDING_CONDITION())
		return false;
	/* A barrier holds up the whole cluster until every process has absorbed it. */
	if (ProcSignalBarrierPending)
		ProcessProcSignalBarrier();
	if (LogMemoryContextPending)
		ProcessLogMemoryContextInterrupt();
	if (!INTERRUPTS_CAN_BE_PROCESSED())
		return false;
	if (CheckClientConnectionPending)
		check_connection();
	return ProcDiePending || ClientConnectionLost || integ_transaction_timeout_pending() ||
		   (QueryCancelPending && QueryCancelHoldoffCount == 0);
}

/* Waits until the transfer is done or an interrupt asks for the session. */
static void
wait_for(const IntegTransfer *transfer)
{
	while (!integ_transfer_is_done(transfer) && !interrupted())
	{
		WaitEvent event;

		if (WaitEventSetWait(wait_set, integ_transfer_pool_timeout(pool), &event, 1, integ_wait_event_http()) == 1 &&
			event.events == WL_LATCH_SET)
			ResetLatch(MyLatch);
		else
			integ_transfer_drive(pool);
	}
}

static void
free_response(void *response)
{
	integ_http_response_free(response);
}

/* An empty response that goes with the current memory context. */
static IntegHttpResponse *
make_response(void)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));
	IntegHttpResponse *response = palloc0(sizeof(IntegHttpResponse));

	callback->func = free_response;
	callback->arg = response;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return response;
}

IntegHttpResponse *
integ_http_send(const IntegHttpRequest *request)
{
	IntegHttpResponse *response = make_response();
	IntegTransfer *transfer;

	if (!prepare(response->error, sizeof(response->error)))
	{
		response->failure = INTEG_HTTP_INTERNAL;
		return response;
	}
	if (interrupted())
	{
		response->failure = INTEG_HTTP_CANCELLED;
		strlcpy(response->error, "the caller stopped waiting", sizeof(response->error));
		return response;
	}
	transfer = integ_transfer_start(pool, request, NULL);
	PG_TRY();
	{
		wait_for(transfer);
	}
	PG_FINALLY();
	{
		/* Also where absorbing a barrier raises: nothing of the transfer stays behind. */
		integ_transfer_finish(transfer, response);
	}
	PG_END_TRY();
	return response;
}

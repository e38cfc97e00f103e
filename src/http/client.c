/*
 * HTTP from a backend.
 *
 * The pool's epoll descriptor and the process latch share one wait set, made once: a
 * request that goes over a kept connection costs one wait.
 */
#include "http/client.h"

#include "core/compat.h"
#include "http/client_private.h"
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

static IntegTransferPool *pool = NULL;
static WaitEventSet *wait_set = NULL;

void
integ_client_release(int count)
{
	while (count-- > 0)
		ReleaseExternalFD();
}

bool
integ_client_reserve(int count)
{
	for (int i = 0; i < count; i++)
		if (!AcquireExternalFD())
		{
			integ_client_release(i);
			return false;
		}
	return true;
}

WaitEventSet *
integ_client_wait_set(const IntegTransferPool *of)
{
	WaitEventSet *set = integ_create_wait_event_set(3);

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, integ_transfer_pool_descriptor(of), NULL, NULL);
	return set;
}

/* Makes pool and wait set, or says in problem why that cannot be. */
static bool
prepare(char *problem, size_t size)
{
	if (pool == NULL)
	{
		if (!integ_client_reserve(MAX_CONNECTIONS + INTEG_CLIENT_DESCRIPTORS))
		{
			snprintf(problem, size, "this session has too many files open for an HTTP request");
			return false;
		}
		pool = integ_transfer_pool_create(MAX_CONNECTIONS, problem, size);
		if (pool == NULL)
		{
			integ_client_release(MAX_CONNECTIONS + INTEG_CLIENT_DESCRIPTORS);
			return false;
		}
	}
	if (wait_set == NULL)
		wait_set = integ_client_wait_set(pool);
	return true;
}

IntegTransferPool *
integ_client_pool(char *problem, size_t size)
{
	return prepare(problem, size) ? pool : NULL;
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

bool
integ_client_interrupted(void)
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

void
integ_client_wait(IntegTransferPool *of, WaitEventSet *set, int most_ms)
{
	int timeout = integ_transfer_pool_timeout(of);
	WaitEvent event;

	if (most_ms >= 0 && (timeout < 0 || timeout > most_ms))
		timeout = most_ms;
	if (WaitEventSetWait(set != NULL ? set : wait_set, timeout, &event, 1, integ_wait_event_http()) == 1 &&
		event.events == WL_LATCH_SET)
		ResetLatch(MyLatch);
	else
		integ_transfer_drive(of);
}

/* Waits until the transfer is done or an interrupt asks for the session. */
static void
wait_for(const IntegTransfer *transfer)
{
	while (!integ_transfer_is_done(transfer) && !integ_client_interrupted())
		integ_client_wait(pool, NULL, -1);
}

static void
free_response(void *response)
{
	integ_http_response_free(response);
}

IntegHttpResponse *
integ_http_response_make(void)
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
	IntegHttpResponse *response = integ_http_response_make();
	IntegTransfer *transfer;

	if (!prepare(response->error, sizeof(response->error)))
	{
		response->failure = INTEG_HTTP_INTERNAL;
		return response;
	}
	if (integ_client_interrupted())
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

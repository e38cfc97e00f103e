/*
 * An exchange whose answer is read while it arrives.
 */
#include "http/flight.h"

#include "http/client.h"
#include "http/client_private.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

struct IntegHttpFlight
{
	const IntegHttpRequest *request;
	IntegTransferPool *pool;
	IntegTransfer *transfer; /* NULL once it has ended */
	IntegHttpResponse *response;
	int64 left_us;	  /* that may still be waited */
	bool out_of_time; /* the time was over before the answer */
	size_t taken;	  /* of what waits in the transfer, so that many small pieces move the rest but once */
	size_t received;  /* bytes that the reader took in all */
};

static void
break_off(void *arg)
{
	IntegHttpFlight *flight = arg;
	IntegHttpResponse unread;

	if (flight->transfer == NULL)
		return;
	integ_transfer_finish(flight->transfer, &unread);
	integ_http_response_free(&unread);
	flight->transfer = NULL;
}

IntegHttpFlight *
integ_http_begin(const IntegHttpRequest *request)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));
	IntegHttpFlight *flight = palloc0(sizeof(IntegHttpFlight));

	flight->request = request;
	flight->left_us = request->timeout_ms * INT64CONST(1000);
	flight->response = integ_http_response_make();
	flight->pool = integ_client_pool(flight->response->error, sizeof(flight->response->error));
	if (flight->pool == NULL)
	{
		flight->response->failure = INTEG_HTTP_INTERNAL;
		return flight;
	}
	callback->func = break_off;
	callback->arg = flight;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	flight->transfer = integ_transfer_start(flight->pool, request, NULL);
	if (flight->transfer == NULL)
		integ_transfer_finish(NULL, flight->response);
	return flight;
}

/* One wait, of at most so many milliseconds (-1: any); false where there is nothing more to wait for. */
static bool
wait_some(IntegHttpFlight *flight, int most_ms)
{
	TimestampTz began = GetCurrentTimestamp();

	if (flight->transfer == NULL || integ_transfer_is_done(flight->transfer) || integ_client_interrupted())
		return false;
	flight->out_of_time = flight->left_us <= 0;
	if (flight->out_of_time)
		return false;
	integ_client_wait(flight->pool, NULL, (int) Min(flight->left_us / 1000 + 1, most_ms < 0 ? INT_MAX : most_ms));
	flight->left_us -= Max(GetCurrentTimestamp() - began, 0);
	return true;
}

static bool
wait_once(IntegHttpFlight *flight)
{
	return wait_some(flight, -1);
}

long
integ_http_await_head(IntegHttpFlight *flight)
{
	while (flight->transfer != NULL && (flight->response->status = integ_transfer_status(flight->transfer)) == 0 &&
		   wait_once(flight))
		continue;
	return flight->response->status;
}

char *
integ_http_head_value(const IntegHttpFlight *flight, const char *name)
{
	const char *value = flight->transfer != NULL ? integ_transfer_header(flight->transfer, name) : NULL;

	return value != NULL ? pstrdup(value) : NULL;
}

size_t
integ_http_read_more(IntegHttpFlight *flight, size_t known, char **data)
{
	size_t len = 0;

	if (flight->transfer == NULL)
		return 0;
	while ((len = integ_transfer_peek(flight->transfer, data)) - flight->taken <= known)
	{
		/* What is taken makes room only now. */
		if (flight->taken > 0)
		{
			integ_transfer_take(flight->transfer, flight->taken);
			flight->taken = 0;
		}
		else if (!wait_once(flight))
			break;
	}
	*data += flight->taken;
	return len - flight->taken;
}

size_t
integ_http_read(IntegHttpFlight *flight, char **data)
{
	return integ_http_read_more(flight, 0, data);
}

void
integ_http_take(IntegHttpFlight *flight, size_t count)
{
	flight->taken += count;
	flight->received += count;
}

bool
integ_http_succeeds(const IntegHttpFlight *flight)
{
	return flight->transfer != NULL && integ_transfer_succeeds(flight->transfer);
}

IntegHttpResponse *
integ_http_flight_response(const IntegHttpFlight *flight)
{
	return flight->response;
}

void
integ_http_collect(IntegHttpFlight *flight)
{
	if (flight->transfer == NULL)
		return;
	integ_transfer_collect(flight->transfer);
	while (wait_once(flight))
		continue;
}

bool
integ_http_collect_some(IntegHttpFlight *flight, int most_ms)
{
	if (flight->transfer == NULL)
		return true;
	integ_transfer_collect(flight->transfer);
	return !wait_some(flight, most_ms) || integ_transfer_is_done(flight->transfer);
}

IntegHttpResponse *
integ_http_end(IntegHttpFlight *flight, bool enough)
{
	IntegHttpResponse *response = flight->response;
	long status = response->status;

	if (flight->transfer == NULL)
		return response;
	integ_transfer_finish(flight->transfer, response);
	flight->transfer = NULL;
	/* What broke off has come as far as its reader. */
	if (response->status == 0)
		response->status = status;
	if (response->received < flight->received)
		response->received = flight->received;
	if (response->failure != INTEG_HTTP_CANCELLED)
		return response;
	if (enough)
		response->failure = INTEG_HTTP_OK;
	else if (flight->out_of_time)
	{
		response->failure = INTEG_HTTP_TIMEOUT;
		snprintf(response->error, sizeof(response->error), "the answer did not end within %d ms",
				 flight->request->timeout_ms);
	}
	return response;
}

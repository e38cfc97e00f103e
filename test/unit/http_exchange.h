/*
 * One exchange in a unit test, and what came of it.
 */
#ifndef TEST_HTTP_EXCHANGE_H
#define TEST_HTTP_EXCHANGE_H

#include <poll.h>

#include "http/transfer.h"

#define LOOPBACK "127.0.0.0/8, ::1"

static IntegTransferPool *pool;
static IntegHttpResponse response;

static inline int
set_up(void **state)
{
	char problem[128];

	(void) state;
	pool = integ_transfer_pool_create(4, problem, sizeof(problem));
	return pool == NULL;
}

static inline int
tear_down(void **state)
{
	(void) state;
	integ_http_response_free(&response);
	integ_transfer_pool_destroy(pool);
	return 0;
}

static inline IntegHttpRequest
get(const char *url)
{
	return (IntegHttpRequest){.method = "GET", .url = url, .timeout_ms = 20000, .connect_timeout_ms = 10000, .max_response = 1 << 20, .max_redirects = 5, .allowed_addresses = LOOPBACK};
}

static inline void
wait_for(IntegTransfer *transfer)
{
	while (!integ_transfer_is_done(transfer))
	{
		struct pollfd descriptor = {.fd = integ_transfer_pool_descriptor(pool), .events = POLLIN};

		poll(&descriptor, 1, integ_transfer_pool_timeout(pool));
		integ_transfer_drive(pool);
	}
}

static inline void
finish(IntegTransfer *transfer)
{
	integ_http_response_free(&response);
	integ_transfer_finish(transfer, &response);
}

static inline void
perform(const IntegHttpRequest *request)
{
	IntegTransfer *transfer = integ_transfer_start(pool, request, NULL);

	wait_for(transfer);
	finish(transfer);
}

/* The outcome, with a sentence that says something and gives nothing away. */
static inline void
expect(IntegHttpFailure failure, bool maybe_sent, const char *sentence)
{
	if (response.failure != failure || response.maybe_sent != maybe_sent)
		fail_msg("failure %d (%s), maybe sent %d, status %ld", response.failure, response.error, response.maybe_sent,
				 response.status);
	if (strstr(response.error, sentence) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", response.error, sentence);
	if (strstr(response.error, "secret") != NULL)
		fail_msg("\"%s\" gives a secret away", response.error);
	if (failure != INTEG_HTTP_OK)
	{
		assert_null(response.body);
		assert_int_equal(response.nheaders, 0);
		assert_true(response.error[0] != '\0');
	}
}

#endif /* TEST_HTTP_EXCHANGE_H */

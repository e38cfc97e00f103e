/*
 * The life of an exchange: start, hops, finish.
 */
#include "http/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/transfer_private.h"
#include "http/url.h"

/* Exchanges whose easy handle is kept for the next one. */
#define KEPT_TRANSFERS 128

/* Moves a transfer to the end of the list of its new state. */
static void
enter(IntegTransfer *transfer, IntegTransferState state)
{
	IntegTransferPool *pool = transfer->pool;
	IntegTransferList *list = &pool->lists[state];

	transfer->state = state;
	transfer->previous = list->last;
	transfer->next = NULL;
	if (list->last != NULL)
		list->last->next = transfer;
	else
		list->first = transfer;
	list->last = transfer;
	if (state == INTEG_TRANSFER_DONE && pool->unread == NULL)
		pool->unread = transfer;
	if (state == INTEG_TRANSFER_IDLE)
		pool->nidle++;
}

static void
leave(IntegTransfer *transfer)
{
	IntegTransferPool *pool = transfer->pool;
	IntegTransferList *list = &pool->lists[transfer->state];

	*(transfer->previous != NULL ? &transfer->previous->next : &list->first) = transfer->next;
	*(transfer->next != NULL ? &transfer->next->previous : &list->last) = transfer->previous;
	if (pool->unread == transfer)
		pool->unread = transfer->next;
	if (transfer->state == INTEG_TRANSFER_IDLE)
		pool->nidle--;
}

/* Frees an idle transfer with its easy handle. */
void
integ_transfer_delete(IntegTransfer *transfer)
{
	leave(transfer);
	curl_easy_cleanup(transfer->easy);
	free(transfer->header_text.data);
	free(transfer);
}

/* An idle transfer, a new one if need be; NULL when out of memory. */
static IntegTransfer *
take(IntegTransferPool *pool)
{
	IntegTransfer *transfer = pool->lists[INTEG_TRANSFER_IDLE].first;

	if (transfer != NULL)
		return transfer;
	transfer = calloc(1, sizeof(IntegTransfer));
	if (transfer == NULL)
		return NULL;
	transfer->pool = pool;
	transfer->easy = integ_easy_create(transfer);
	if (transfer->easy == NULL)
	{
		free(transfer);
		return NULL;
	}
	enter(transfer, INTEG_TRANSFER_IDLE);
	return transfer;
}

/* The exchange is over: what is left is to hand it out. */
static void
settle(IntegTransfer *transfer)
{
	IntegHttpResponse *response = &transfer->response;

	leave(transfer);
	enter(transfer, INTEG_TRANSFER_DONE);
	response->maybe_sent = transfer->sent;
	response->duration_us = integ_transfer_now() - transfer->started;
	/* The answer of a failed exchange is not whole, so nobody may take it for one. */
	if (response->failure != INTEG_HTTP_OK)
		integ_http_response_free(response);
}

void
integ_transfer_fail(IntegTransfer *transfer, IntegHttpFailure failure, const char *sentence)
{
	transfer->response.failure = failure;
	snprintf(transfer->response.error, sizeof(transfer->response.error), "%s", sentence);
	settle(transfer);
}

static bool
is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/*
 * Only GET and HEAD are repeated elsewhere: each of the five codes allows that for them without
 * a change of method (RFC 9110, section 15.4). For any other method the redirect is the answer.
 */
bool
integ_transfer_follows(const IntegTransfer *transfer)
{
	const IntegHttpRequest *request = transfer->request;

	return is_redirect(transfer->status) && request->max_redirects > 0 &&
		   (strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0);
}

/* Puts the hop into libcurl; false with the failure set where that cannot be. */
static bool
launch(IntegTransfer *transfer)
{
	CURLcode code;

	transfer->sent_in_hop = transfer->opened = transfer->blocked = false;
	transfer->descriptor = -1;
	code = integ_easy_prepare(transfer);
	if (code != CURLE_OK)
	{
		integ_transfer_explain(transfer, code);
		return false;
	}
	if (curl_multi_add_handle(transfer->pool->multi, transfer->easy) == CURLM_OK)
		return true;
	transfer->response.failure = INTEG_HTTP_INTERNAL;
	snprintf(transfer->response.error, sizeof(transfer->response.error), "libcurl refused the request");
	return false;
}

/* The next URL of a redirect, NULL with the failure set where it may not be followed. */
static char *
redirect_target(IntegTransfer *transfer)
{
	const char *location = integ_receive_find(transfer, "location");
	const char *present = transfer->url != NULL ? transfer->url : transfer->request->url;
	char *error = transfer->response.error;
	size_t size = sizeof(transfer->response.error);
	char *target = NULL, *origin = NULL;
	char problem[128];

	transfer->response.failure = INTEG_HTTP_REDIRECT;
	if (location == NULL)
		snprintf(error, size, "%s redirects with HTTP %ld but without a Location", transfer->origin, transfer->status);
	else if (transfer->redirects >= transfer->request->max_redirects)
		snprintf(error, size, "%s redirects more than %d times", transfer->origin, transfer->request->max_redirects);
	else if ((target = integ_url_resolve(present, location, problem, sizeof(problem))) == NULL ||
			 (origin = integ_url_origin(target, problem, sizeof(problem))) == NULL)
		snprintf(error, size, "%s redirects to something that is not followed: %s", transfer->origin, problem);
	else if (strcmp(origin, transfer->origin) != 0)
		snprintf(error, size, "%s redirects to another origin, %.120s", transfer->origin, origin);
	else
	{
		transfer->response.failure = INTEG_HTTP_OK;
		free(origin);
		return target;
	}
	free(origin);
	free(target);
	return NULL;
}

/* Goes on to where the answer redirects; false with the failure set where that cannot be. */
static bool
follow(IntegTransfer *transfer)
{
	char *target = redirect_target(transfer);

	if (target == NULL)
		return false;
	free(transfer->url);
	transfer->url = target;
	transfer->redirects++;
	integ_receive_reset(transfer);
	return launch(transfer);
}

/* libcurl is through with a hop, and the easy handle is out of the multi handle. */
void
integ_transfer_completed(IntegTransfer *transfer, CURLcode code)
{
	IntegHttpResponse *response = &transfer->response;
	long connects = 0;

	response->status = transfer->status;
	if (code == CURLE_OK && transfer->descriptor >= 0)
		transfer->pool->sockets[transfer->descriptor].answered = true;
	if (transfer->stop == INTEG_STOP_UNCLEAN && !transfer->fresh)
	{
		/* Nothing was sent yet, and libcurl has closed that connection. */
		transfer->stop = INTEG_STOP_NONE;
		transfer->fresh = true;
		if (launch(transfer))
			return;
	}
	else if (code != CURLE_OK)
	{
		/* libcurl 7 counts repeats for the life of the handle and gives up at five. */
		transfer->worn = true;
		integ_transfer_explain(transfer, code);
	}
	else if (transfer->discard)
	{
		if (follow(transfer))
			return;
	}
	else if (transfer->window == 0 && !integ_receive_deliver(transfer, response))
	{
		response->failure = INTEG_HTTP_INTERNAL;
		snprintf(response->error, sizeof(response->error), "out of memory");
	}
	curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connects);
	response->reused_connection = transfer->sent && connects == 0;
	settle(transfer);
}

/* integ_url_origin, with the parsing saved where the URL begins as the last one. */
static char *
origin_of(IntegTransferPool *pool, const char *url, char *problem, size_t size)
{
	size_t len;
	char *origin;

	if (!integ_url_check(url, &len, problem, size))
		return NULL;
	if (pool->authority != NULL && strncmp(pool->authority, url, len) == 0 && pool->authority[len] == '\0')
		return strdup(pool->origin);
	origin = integ_url_origin(url, problem, size);
	if (origin == NULL)
		return NULL;
	free(pool->authority);
	free(pool->origin);
	pool->authority = strndup(url, len);
	pool->origin = strdup(origin);
	if (pool->origin == NULL)
	{
		free(pool->authority);
		pool->authority = NULL;
	}
	return origin;
}

/* Whether the request may be sent at all; else the failure is set. */
static bool
admit(IntegTransfer *transfer)
{
	const IntegHttpRequest *request = transfer->request;
	char *error = transfer->response.error;
	size_t size = sizeof(transfer->response.error);

	transfer->response.failure = INTEG_HTTP_INTERNAL;
	if (!integ_http_request_check(request, error, size))
		return false;
	snprintf(error, size, "out of memory");
	transfer->origin = origin_of(transfer->pool, request->url, error, size);
	if (transfer->origin == NULL)
		return false;
	if (integ_request_is_proxied(request))
	{
		char *host = strstr(transfer->origin, "://") + 3;
		size_t len = strcspn(host, host[0] == '[' ? "]" : ":") + (host[0] == '[');
		char copy[256];

		snprintf(copy, sizeof(copy), "%.*s", (int) len, host);
		if (!integ_address_host_allowed(copy, request->allowed_addresses))
		{
			transfer->response.failure = INTEG_HTTP_BLOCKED;
			snprintf(error, size, "%s is an address that requests may not reach", transfer->origin);
			return false;
		}
	}
	if (!integ_easy_build_lines(transfer))
	{
		snprintf(error, size, "out of memory");
		return false;
	}
	transfer->response.failure = INTEG_HTTP_OK;
	error[0] = '\0';
	return true;
}

IntegTransfer *
integ_transfer_start(IntegTransferPool *pool, const IntegHttpRequest *request, void *owner)
{
	bool adopted = integ_pool_adopt(pool, request);
	IntegTransfer *transfer = pool->multi != NULL ? take(pool) : NULL;

	if (transfer == NULL)
		return NULL;
	transfer->request = request;
	transfer->owner = owner;
	transfer->started = integ_transfer_now();
	transfer->redirects = 0;
	transfer->separate = !adopted;
	transfer->fresh = transfer->worn = false;
	transfer->sent = transfer->sent_in_hop = transfer->opened = transfer->blocked = false;
	transfer->stop = INTEG_STOP_NONE;
	transfer->header_bytes = 0;
	transfer->window = request->window;
	transfer->taken = 0;
	memset(&transfer->response, 0, sizeof(transfer->response));
	integ_receive_reset(transfer);
	if (pool->broken)
		integ_transfer_fail(transfer, INTEG_HTTP_INTERNAL, "libcurl could not be set up");
	else if (!admit(transfer) || !launch(transfer))
		settle(transfer);
	else
	{
		leave(transfer);
		enter(transfer, INTEG_TRANSFER_ACTIVE);
		integ_pool_progress(pool);
	}
	return transfer;
}

bool
integ_transfer_is_done(const IntegTransfer *transfer)
{
	return transfer == NULL || transfer->state == INTEG_TRANSFER_DONE;
}

void *
integ_transfer_owner(const IntegTransfer *transfer)
{
	return transfer->owner;
}

IntegTransfer *
integ_transfer_next_done(IntegTransferPool *pool)
{
	IntegTransfer *transfer = pool->unread;

	if (transfer != NULL)
		pool->unread = transfer->next;
	return transfer;
}

void
integ_transfer_finish(IntegTransfer *transfer, IntegHttpResponse *response)
{
	if (transfer == NULL)
	{
		memset(response, 0, sizeof(*response));
		response->failure = INTEG_HTTP_INTERNAL;
		snprintf(response->error, sizeof(response->error), "out of memory");
		return;
	}
	if (transfer->state == INTEG_TRANSFER_ACTIVE)
	{
		curl_multi_remove_handle(transfer->pool->multi, transfer->easy);
		integ_transfer_fail(transfer, INTEG_HTTP_CANCELLED, "the caller stopped waiting");
	}
	/* What the reader left of a streamed body, and the headers also of one that is broken off. */
	if (transfer->window > 0 &&
		(transfer->response.failure == INTEG_HTTP_OK ||
		 (transfer->response.failure == INTEG_HTTP_CANCELLED && transfer->headers_complete)) &&
		!integ_receive_deliver(transfer, &transfer->response))
	{
		transfer->response.failure = INTEG_HTTP_INTERNAL;
		snprintf(transfer->response.error, sizeof(transfer->response.error), "out of memory");
	}
	*response = transfer->response;
	memset(&transfer->response, 0, sizeof(transfer->response));
	integ_easy_forget(transfer);
	integ_receive_reset(transfer);
	free(transfer->body.data);
	transfer->body = (IntegBuffer){0};
	free(transfer->origin);
	transfer->origin = NULL;
	leave(transfer);
	enter(transfer, INTEG_TRANSFER_IDLE);
	if (transfer->worn || transfer->pool->nidle > KEPT_TRANSFERS)
		integ_transfer_delete(transfer);
}

long
integ_transfer_status(const IntegTransfer *transfer)
{
	return transfer->headers_complete && !transfer->discard && transfer->status >= 200 ? transfer->status : 0;
}

const char *
integ_transfer_header(const IntegTransfer *transfer, const char *name)
{
	return integ_receive_find(transfer, name);
}

size_t
integ_transfer_peek(IntegTransfer *transfer, char **data)
{
	/* The body of a redirect that is followed is nobody's to read. */
	if (integ_transfer_status(transfer) == 0)
		return 0;
	*data = transfer->body.data;
	return transfer->body.len;
}

bool
integ_transfer_succeeds(const IntegTransfer *transfer)
{
	return transfer->state == INTEG_TRANSFER_DONE && transfer->response.failure == INTEG_HTTP_OK;
}

/* libcurl hands over what it held back, maybe at once. */
static void
resume(IntegTransfer *transfer)
{
	if (!transfer->paused || transfer->state != INTEG_TRANSFER_ACTIVE)
		return;
	transfer->paused = false;
	curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
	integ_pool_progress(transfer->pool);
}

void
integ_transfer_take(IntegTransfer *transfer, size_t count)
{
	IntegBuffer *body = &transfer->body;

	memmove(body->data, body->data + count, body->len - count);
	body->len -= count;
	transfer->taken += count;
	if (body->len < transfer->window)
		resume(transfer);
}

void
integ_transfer_collect(IntegTransfer *transfer)
{
	/* One that is done has the whole of what waits: finish hands it over. */
	if (transfer->state != INTEG_TRANSFER_ACTIVE)
		return;
	transfer->window = 0;
	resume(transfer);
}

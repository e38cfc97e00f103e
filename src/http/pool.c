/*
 * The pool: a curl multi handle whose sockets are watched by one epoll descriptor.
 *
 * A socket stays registered when libcurl has no interest in it for the moment, because
 * the next request on a kept connection wants the same again: that saves two system calls a
 * request. It is unregistered once it shows anything while nobody is interested.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "http/transfer_private.h"

#define EVENTS_AT_ONCE 128
#define NAME_CACHE_SECONDS 60

int64_t
integ_transfer_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/*
 * libcurl's resolver thread must never run a signal handler of the server's: it inherits the mask of the
 * thread that starts it. Signals that report a fault of the thread itself stay open.
 */
void
integ_pool_block_signals(IntegTransferPool *pool)
{
	sigset_t all;

	if (pool->signals_blocked)
		return;
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &all, &pool->signals);
	pool->signals_blocked = true;
}

void
integ_pool_restore_signals(IntegTransferPool *pool)
{
	if (!pool->signals_blocked)
		return;
	pool->signals_blocked = false;
	pthread_sigmask(SIG_SETMASK, &pool->signals, NULL);
}

/* The entry of a descriptor, NULL when out of memory. */
static IntegSocket *
socket_entry(IntegTransferPool *pool, int descriptor)
{
	if (descriptor >= pool->nsockets)
	{
		int count = descriptor + 16;
		IntegSocket *grown = realloc(pool->sockets, count * sizeof(IntegSocket));

		if (grown == NULL)
			return NULL;
		memset(grown + pool->nsockets, 0, (count - pool->nsockets) * sizeof(IntegSocket));
		pool->sockets = grown;
		pool->nsockets = count;
	}
	return &pool->sockets[descriptor];
}

int
integ_pool_add_socket(IntegTransferPool *pool, int descriptor)
{
	IntegSocket *entry = socket_entry(pool, descriptor);

	if (entry == NULL)
		return -1;
	*entry = (IntegSocket){.ours = true};
	return 0;
}

static int
local_port_of(int descriptor)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(descriptor, (struct sockaddr *) &address, &len) != 0)
		return 0;
	return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *) &address)->sin6_port
											   : ((struct sockaddr_in *) &address)->sin_port);
}

static bool
has_port(IntegTransferPool *pool, int descriptor, int local_port)
{
	IntegSocket *entry = &pool->sockets[descriptor];

	if (!entry->ours)
		return false;
	if (entry->port == 0)
		entry->port = local_port_of(descriptor);
	return entry->port == local_port;
}

int
integ_pool_find_socket(IntegTransferPool *pool, int local_port)
{
	if (pool->recent < pool->nsockets && has_port(pool, pool->recent, local_port))
		return pool->recent;
	for (int descriptor = 0; descriptor < pool->nsockets; descriptor++)
		if (has_port(pool, descriptor, local_port))
		{
			pool->recent = descriptor;
			return descriptor;
		}
	return -1;
}

int
integ_pool_close_socket(void *pool_pointer, curl_socket_t descriptor)
{
	IntegTransferPool *pool = pool_pointer;

	/* Closing takes it out of the epoll set by itself. */
	if (descriptor < pool->nsockets)
		pool->sockets[descriptor] = (IntegSocket){0};
	return close(descriptor);
}

static bool
arm(IntegTransferPool *pool, IntegSocket *entry, int descriptor, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = descriptor};
	int operation;

	if (entry->armed == events)
		return true;
	operation = events == 0 ? EPOLL_CTL_DEL : entry->armed == 0 ? EPOLL_CTL_ADD
																: EPOLL_CTL_MOD;
	entry->armed = events;
	return epoll_ctl(pool->epoll, operation, descriptor, &event) == 0 || operation == EPOLL_CTL_DEL;
}

/* CURLMOPT_SOCKETFUNCTION */
static int
watch_socket(CURL *easy, curl_socket_t descriptor, int what, void *pool_pointer, void *unused)
{
	IntegTransferPool *pool = pool_pointer;
	IntegSocket *entry = socket_entry(pool, descriptor);
	uint32_t events = 0;

	(void) easy;
	(void) unused;
	if (entry == NULL)
		return -1;
	entry->wanted = what != CURL_POLL_REMOVE && what != CURL_POLL_NONE;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	if (!entry->wanted && entry->ours && entry->armed == EPOLLIN)
		return 0;
	return arm(pool, entry, descriptor, events) ? 0 : -1;
}

/* CURLMOPT_TIMERFUNCTION */
static int
set_timer(CURLM *multi, long milliseconds, void *pool_pointer)
{
	IntegTransferPool *pool = pool_pointer;

	(void) multi;
	pool->timer = milliseconds < 0 ? -1 : integ_transfer_now() + (int64_t) milliseconds * 1000;
	return 0;
}

static bool
initialize_libcurl(IntegTransferPool *pool)
{
	static bool initialized = false;

	if (!initialized)
	{
		integ_pool_block_signals(pool);
		initialized = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
		integ_pool_restore_signals(pool);
	}
	return initialized;
}

static bool
open_multi(IntegTransferPool *pool)
{
	CURLM *multi = curl_multi_init();

	pool->multi = multi;
	pool->share = curl_share_init();
	pool->timer = -1;
	pool->broken = false;
	return multi != NULL && pool->share != NULL &&
		   curl_share_setopt(pool->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK &&
		   curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, pool) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_TIMERDATA, pool) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) pool->max_connections) == CURLM_OK &&
		   curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) pool->max_connections) == CURLM_OK;
}

/* No transfer is active or done: the idle ones are freed, since their handles know the share. */
static void
close_multi(IntegTransferPool *pool)
{
	while (pool->lists[INTEG_TRANSFER_IDLE].first != NULL)
		integ_transfer_delete(pool->lists[INTEG_TRANSFER_IDLE].first);
	curl_multi_cleanup(pool->multi);
	curl_share_cleanup(pool->share);
	pool->multi = NULL;
	pool->share = NULL;
}

IntegTransferPool *
integ_transfer_pool_create(int max_connections, char *problem, size_t size)
{
	IntegTransferPool *pool = calloc(1, sizeof(IntegTransferPool));

	if (pool == NULL)
	{
		snprintf(problem, size, "out of memory");
		return NULL;
	}
	pool->max_connections = max_connections;
	pool->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (pool->epoll < 0)
		snprintf(problem, size, "no descriptor to wait with: %s", strerror(errno));
	else if (!initialize_libcurl(pool) || !open_multi(pool))
		snprintf(problem, size, "libcurl could not be initialized");
	else
		return pool;
	integ_transfer_pool_destroy(pool);
	return NULL;
}

void
integ_transfer_pool_destroy(IntegTransferPool *pool)
{
	close_multi(pool);
	if (pool->epoll >= 0)
		close(pool->epoll);
	free(pool->sockets);
	free(pool->allowed_addresses);
	free(pool->ca_file);
	free(pool->proxy);
	free(pool->authority);
	free(pool->origin);
	free(pool);
}

static bool
same_text(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool
set_text(char **target, const char *value)
{
	free(*target);
	*target = strdup(value != NULL ? value : "");
	return *target != NULL;
}

bool
integ_pool_adopt(IntegTransferPool *pool, const IntegHttpRequest *request)
{
	if (!pool->broken && same_text(pool->allowed_addresses, request->allowed_addresses) &&
		same_text(pool->ca_file, request->ca_file) && same_text(pool->proxy, request->proxy))
		return true;
	/* Connections, sessions and loaded authorities may only be dropped when nobody uses them. */
	if (pool->lists[INTEG_TRANSFER_ACTIVE].first != NULL || pool->lists[INTEG_TRANSFER_DONE].first != NULL)
		return false;
	close_multi(pool);
	if (!open_multi(pool) || !set_text(&pool->allowed_addresses, request->allowed_addresses) ||
		!set_text(&pool->ca_file, request->ca_file) || !set_text(&pool->proxy, request->proxy))
		pool->broken = true;
	return !pool->broken;
}

int
integ_transfer_pool_descriptor(const IntegTransferPool *pool)
{
	return pool->epoll;
}

int
integ_transfer_pool_timeout(const IntegTransferPool *pool)
{
	int64_t left;

	if (pool->timer < 0)
		return -1;
	left = pool->timer - integ_transfer_now();
	/* Rounded up: a wait that ends a moment early would only be repeated. */
	return left <= 0 ? 0 : (int) ((left + 999) / 1000);
}

/* Takes the finished exchanges from libcurl. A redirect that is followed goes back in. */
static void
harvest(IntegTransferPool *pool)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(pool->multi, &left)) != NULL)
	{
		CURLcode code = message->data.result;
		CURL *easy = message->easy_handle;
		IntegTransfer *transfer = NULL;

		if (message->msg != CURLMSG_DONE || curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer) != CURLE_OK)
			continue;
		curl_multi_remove_handle(pool->multi, easy);
		integ_transfer_completed(transfer, code);
	}
}

static bool
act(IntegTransferPool *pool, curl_socket_t descriptor, int events)
{
	CURLMcode code;
	int running;

	code = curl_multi_socket_action(pool->multi, descriptor, events, &running);
	integ_pool_restore_signals(pool);
	if (code == CURLM_OK)
		return true;
	pool->broken = true;
	return false;
}

/* After an error of the multi handle nothing in it can go on. */
static void
fail_all(IntegTransferPool *pool)
{
	IntegTransfer *transfer;

	while ((transfer = pool->lists[INTEG_TRANSFER_ACTIVE].first) != NULL)
	{
		curl_multi_remove_handle(pool->multi, transfer->easy);
		integ_transfer_fail(transfer, INTEG_HTTP_INTERNAL, "libcurl could not go on, probably out of memory");
	}
}

static int
curl_events(uint32_t events)
{
	return (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		   (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
}

static void
drive_sockets(IntegTransferPool *pool)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int count = epoll_wait(pool->epoll, events, EVENTS_AT_ONCE, 0);

	for (int i = 0; i < count && !pool->broken; i++)
	{
		int descriptor = events[i].data.fd;
		IntegSocket *entry = &pool->sockets[descriptor];

		/* An earlier event of this round may have closed it. */
		if (entry->armed == 0)
			continue;
		if (entry->wanted)
			act(pool, descriptor, curl_events(events[i].events));
		else
			arm(pool, entry, descriptor, 0);
	}
}

void
integ_pool_progress(IntegTransferPool *pool)
{
	while (!pool->broken)
	{
		harvest(pool);
		if (pool->timer < 0 || pool->timer > integ_transfer_now())
			break;
		/* libcurl sets the timer anew in the call, if it wants one. */
		pool->timer = -1;
		act(pool, CURL_SOCKET_TIMEOUT, 0);
	}
	if (pool->broken)
		fail_all(pool);
}

void
integ_transfer_drive(IntegTransferPool *pool)
{
	drive_sockets(pool);
	integ_pool_progress(pool);
}

/*
 * Names resolve to what the test wants, when the test wants.
 */
#ifndef TEST_HTTP_RESOLVER_H
#define TEST_HTTP_RESOLVER_H

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Names: takes the place of the C library's resolver in this process, libcurl's thread included.
 */
static const char *_Atomic resolved = "127.0.0.1"; /* numeric address, or a list of two separated by a space */
static atomic_int resolver_closed;				   /* no answer while set */
static atomic_int resolver_under_way;
static atomic_int resolver_signals_open;

/* Also where libcurl cancels the thread that asks. */
static void
resolver_end(void *unused)
{
	(void) unused;
	atomic_fetch_sub(&resolver_under_way, 1);
}

int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	char copy[128];
	char *rest = NULL;
	struct addrinfo **tail = result;
	sigset_t mask;

	(void) host;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (!sigismember(&mask, SIGUSR1) || !sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGALRM))
		atomic_store(&resolver_signals_open, 1);
	atomic_fetch_add(&resolver_under_way, 1);
	pthread_cleanup_push(resolver_end, NULL);
	while (atomic_load(&resolver_closed))
		usleep(1000);
	pthread_cleanup_pop(1);
	*result = NULL;
	snprintf(copy, sizeof(copy), "%s", resolved);
	for (char *item = strtok_r(copy, " ", &rest); item != NULL; item = strtok_r(NULL, " ", &rest))
	{
		struct addrinfo *info = calloc(1, sizeof(struct addrinfo) + sizeof(struct sockaddr_in));
		struct sockaddr_in *address = (struct sockaddr_in *) (info + 1);

		address->sin_family = AF_INET;
		address->sin_port = htons((uint16_t) atoi(service));
		inet_pton(AF_INET, item, &address->sin_addr);
		info->ai_family = AF_INET;
		info->ai_socktype = hints->ai_socktype;
		info->ai_addrlen = sizeof(*address);
		info->ai_addr = (struct sockaddr *) address;
		*tail = info;
		tail = &info->ai_next;
	}
	return *result != NULL ? 0 : EAI_NONAME;
}

void
freeaddrinfo(struct addrinfo *info)
{
	while (info != NULL)
	{
		struct addrinfo *next = info->ai_next;

		free(info);
		info = next;
	}
}

/* Lets all answers go, and waits for those that were asked for. */
static inline void
resolver_open(void)
{
	atomic_store(&resolver_closed, 0);
	while (atomic_load(&resolver_under_way) > 0)
		usleep(1000);
}

#endif /* TEST_HTTP_RESOLVER_H */

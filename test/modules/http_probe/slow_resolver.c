/*
 * Preloaded into the server process, it lets names under slow.example take for ever to resolve, so that
 * a test can end a wait in name resolution, and those under lazy.example 100 ms; all under example are
 * 127.0.0.1.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int (*Resolver)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	Resolver next = (Resolver) dlsym(RTLD_NEXT, "getaddrinfo");

	if (host != NULL && ends_with(host, "slow.example"))
		while (1)
			sleep(3600);
	if (host != NULL && ends_with(host, "lazy.example"))
		usleep(100000);
	return next(host != NULL && ends_with(host, ".example") ? "127.0.0.1" : host, service, hints, result);
}

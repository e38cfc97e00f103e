/* sources: src/http/address.c */
/*
 * An address and a list: a list that is refused allows nothing, and no list takes a public
 * address away.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct sockaddr *address, const char *list)
{
	char problem[64] = "", text[INTEG_ADDRESS_TEXT_SIZE], host[INTEG_ADDRESS_TEXT_SIZE + 2];
	int good = integ_address_list_check(list, problem, sizeof(problem));
	int public = integ_address_allowed(address, NULL), allowed = integ_address_allowed(address, list);

	if (!good && (problem[0] == '\0' || allowed != public))
		abort();
	if (public && !allowed)
		abort();
	/* As the literal in a URL it is judged the same. */
	integ_address_text(address, text, sizeof(text));
	host[0] = '[';
	strcpy(host + 1, text);
	strcat(host, "]");
	if (integ_address_host_allowed(address->sa_family == AF_INET6 ? host : text, list) != allowed)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	char *list;

	if (size < 16)
		return 0;
	memcpy(&v6.sin6_addr, data, 16);
	memcpy(&v4.sin_addr, data, 4);
	list = malloc(size - 16 + 1);
	memcpy(list, data + 16, size - 16);
	list[size - 16] = '\0';
	check((struct sockaddr *) &v4, list);
	check((struct sockaddr *) &v6, list);
	integ_address_host_allowed(list, "10.0.0.0/8");
	free(list);
	return 0;
}

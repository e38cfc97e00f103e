/* sources: src/ingress/forwarded.c src/http/address.c */
/*
 * Headers in which anybody says for whom they ask. Lines give the peer, the trusted proxies, X-Forwarded-For, Forwarded
 * and a second X-Forwarded-For; an empty one is not sent. What comes out is an address or the peer's own words, and
 * only what a trusted peer says counts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ingress/forwarded.h"

#include "lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES 5

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[LINES] = {NULL, NULL, "X-Forwarded-For", "Forwarded", "x-forwarded-for"};
	char *lines[LINES], address[INTEG_ADDRESS_TEXT_SIZE], normal[INTEG_ADDRESS_TEXT_SIZE];
	IntegHttpHeader headers[LINES];
	IntegServerRequest request = {.headers = headers};

	for (int i = 0; i < LINES; i++)
	{
		lines[i] = line(&data, &size);
		if (names[i] != NULL && *lines[i] != '\0')
			headers[request.nheaders++] = (IntegHttpHeader){names[i], lines[i]};
	}
	/* The server gives it so. */
	if (strlen(lines[0]) >= sizeof(normal))
		lines[0][sizeof(normal) - 1] = '\0';
	strcpy(normal, lines[0]);
	if (!integ_address_normal(normal, sizeof(normal)))
		*normal = '\0';
	request.address = normal;
	integ_forwarded_address(&request, lines[1], address);
	if (strcmp(address, normal) != 0)
	{
		char again[INTEG_ADDRESS_TEXT_SIZE];

		strcpy(again, address);
		if (!integ_address_normal(again, sizeof(again)) || strcmp(again, address) != 0 ||
			!integ_address_listed(normal, lines[1]))
			abort();
	}
	for (int i = 0; i < LINES; i++)
		free(lines[i]);
	return 0;
}

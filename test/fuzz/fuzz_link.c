/* sources: src/http/link.c */
/*
 * Link headers of any service.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	const char *target;
	size_t len;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (integ_link_find(text, "next", &target, &len) && (target <= text || target + len >= text + strlen(text)))
		abort();
	free(text);
	return 0;
}

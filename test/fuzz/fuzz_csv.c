/* sources: src/http/csv.c */
/*
 * CSV of any service.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *buffer = malloc(size + 1);
	size_t values = 0, len;
	const char *value;
	bool quoted;
	IntegCsv csv;

	if (text == NULL || buffer == NULL)
		abort();
	memcpy(text, data, size);
	integ_csv_begin(&csv, text, size, ',', buffer);
	while (integ_csv_next(&csv, &value, &len, &quoted) <= INTEG_CSV_LAST)
		if (len > size || ++values > size + 1)
			abort();
	free(text);
	free(buffer);
	return 0;
}

/* sources: src/template/scan.c src/template/steps.c */
/*
 * The scanner of templates on any bytes: tokens lie within the text, come in
 * order, fragments open and close in turn, and it ends.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "template/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
need(bool condition)
{
	if (!condition)
		abort();
}

static void
walk_steps(const char *text, size_t len)
{
	IntegSteps steps;
	size_t at = 0;

	integ_steps_begin(&steps, text, len);
	while (integ_steps_next(&steps))
	{
		need(steps.at > at && steps.at <= len);
		at = steps.at;
		if (steps.key != NULL)
		{
			char *key = malloc(steps.len + 1);

			need(steps.key >= text && steps.key + steps.len <= text + len);
			need(integ_steps_unescape(&steps, key) <= steps.len);
			free(key);
		}
	}
	need(steps.problem != NULL || steps.at == len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size > 0 ? size : 1);
	IntegScan scan;
	IntegScanToken token;
	size_t at = 0;
	bool open = false;

	memcpy(text, data, size);
	integ_scan_begin(&scan, text, size);
	while ((token = integ_scan_next(&scan)) != INTEG_SCAN_END)
	{
		if (token == INTEG_SCAN_MALFORMED)
		{
			need(scan.problem != NULL && scan.at <= size);
			break;
		}
		need(scan.at > at && scan.at <= size);
		need(scan.text >= text && scan.text + scan.len <= text + size);
		at = scan.at;
		if (token == INTEG_SCAN_OPEN || token == INTEG_SCAN_CLOSE)
		{
			need(open == (token == INTEG_SCAN_CLOSE));
			open = !open;
		}
		if (token == INTEG_SCAN_PLACEHOLDER)
			walk_steps(scan.text, scan.len);
	}
	need(token == INTEG_SCAN_MALFORMED || !open);
	walk_steps(text, size);
	free(text);
	return 0;
}

/* sources: src/schedule/cron_parse.c src/schedule/cron_next.c */
/*
 * Any text as a cron expression: a problem has a message; what is taken has a next time, not before the one asked
 * for, and the times go on from there.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schedule/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t starts[] = {INT64_C(-300000000000), -1, 0, INT64_C(1800000000), INT64_C(9000000000000)};
	IntegCron cron;
	IntegCronProblem problem;
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	if (!integ_cron_parse(text, &cron, &problem))
	{
		if (problem.message[0] == '\0' || memchr(problem.message, '\0', sizeof(problem.message)) == NULL)
			abort();
	}
	else
		for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		{
			int64_t first = integ_cron_next(&cron, starts[i]), second = integ_cron_next(&cron, first + 1);

			if (first < starts[i] || second <= first || integ_cron_next(&cron, first) != first)
				abort();
		}
	free(text);
	return 0;
}

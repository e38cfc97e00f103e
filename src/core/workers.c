/*
 * Workers in shared memory.
 */
#include "core/workers.h"

#include <signal.h>

int
integ_workers_count(const pid_t *pid, Size stride, int count, bool stop)
{
	int running = 0;

	for (int i = 0; i < count; i++)
	{
		pid_t worker = *(const pid_t *) ((const char *) pid + i * stride);

		if (worker == 0)
			continue;
		running++;
		if (stop)
			kill(worker, SIGTERM);
	}
	return running;
}

/*
 * Handler workers in shared memory.
 */
#include "handlers/slots.h"

#include <signal.h>

bool
integ_handlers_stop(IntegHandlers *handlers)
{
	bool any = false;

	for (int i = 0; i < INTEG_MAX_HANDLERS; i++)
	{
		if (handlers->slots[i].pid == 0)
			continue;
		any = true;
		kill(handlers->slots[i].pid, SIGTERM);
	}
	return !any;
}

int
integ_handlers_running(const IntegHandlers *handlers)
{
	int running = 0;

	for (int i = 0; i < INTEG_MAX_HANDLERS; i++)
		running += handlers->slots[i].pid != 0 ? 1 : 0;
	return running;
}

/*
 * Listeners in shared memory.
 */
#include "ingress/slots.h"

#include <signal.h>

bool
integ_listeners_stop(IntegListeners *listeners)
{
	bool any = false;

	for (int i = 0; i < INTEG_MAX_LISTENERS; i++)
	{
		if (listeners->slots[i].pid == 0)
			continue;
		any = true;
		kill(listeners->slots[i].pid, SIGTERM);
	}
	return !any;
}

/*
 * What integ needs to be preloaded for.
 */
#include "core/process.h"

#include "../background_workers/worker.h"
#include "core/shmem.h"
#include "operate/operate.h"

void
integ_process_init(void)
{
	integ_shmem_init();
	integ_commands_init();
	integ_launcher_register();
}

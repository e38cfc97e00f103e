/*
 * What integ needs to be preloaded for.
 */
#include "core/process.h"

void
integ_process_init(void)
{
}

/*
 * Runs for single records: those that a webhook or a retry names.
 */
#ifndef INTEG_SYNC_NAMED_H
#define INTEG_SYNC_NAMED_H

#include "sync/engine.h"

/* Reads run->records of engine->source and stores them. The cursor stays where it is. As sync_list_read. */
extern void sync_named_read(SyncEngine *engine);

#endif /* INTEG_SYNC_NAMED_H */

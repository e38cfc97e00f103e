/*
 * Steps of a run that change something, a transaction each.
 */
#ifndef INTEG_SYNC_STORE_H
#define INTEG_SYNC_STORE_H

#include "sync/engine.h"

typedef void (*SyncStoreStep)(SyncEngine *engine, void *arg);

/*
 * Runs a step in a transaction with the target locked against changes of its shape, and writes the execution's row with
 * it. Memory of the step is engine->page_context. A deadlock is tried again. False where the run is to stop. Raises
 * what else fails; counters and marks are then as before.
 */
extern bool sync_store(SyncEngine *engine, SyncStoreStep step, void *arg);

#endif /* INTEG_SYNC_STORE_H */

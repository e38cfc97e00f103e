/*
 * Reading a source's list to its end, and what follows.
 */
#ifndef INTEG_SYNC_LIST_H
#define INTEG_SYNC_LIST_H

#include "sync/engine.h"

/* Reads engine->source. Outside a transaction. Returns when it is through, or the run is to stop. Raises. */
extern void sync_list_read(SyncEngine *engine);

/* Gives back what reading it took, also after an error. Outside a transaction. */
extern void sync_list_close(SyncEngine *engine);

extern void sync_list_close_fetch(SyncEngine *engine);

#endif /* INTEG_SYNC_LIST_H */

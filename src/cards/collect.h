/*
 * Collecting a card: a part of the sync engine (sync/execute.c), for tasks whose config has "card".
 */
#ifndef INTEG_CARDS_COLLECT_H
#define INTEG_CARDS_COLLECT_H

#include "sync/engine.h"

/* What the task's config says of its card, in CurrentMemoryContext; NULL: it makes none. Raises IG400. */
extern SyncCard *card_begin(const IntegSyncRun *run);

/* Reads engine->source, as sync_list_read reads a list. Outside a transaction. Raises. */
extern void card_read(SyncEngine *engine);

/* engine->source has failed; the message must last as long as the engine. */
extern void card_note_failure(SyncEngine *engine, const char *message);

/* Makes the card of what was read, and writes it together with the execution's row. Outside a transaction. Raises. */
extern void card_store(SyncEngine *engine);

#endif /* INTEG_CARDS_COLLECT_H */

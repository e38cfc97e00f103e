/*
 * Ids that sort by time: UUID version 7 (RFC 9562, section 5.7).
 */
#ifndef INTEG_CORE_UUID_H
#define INTEG_CORE_UUID_H

#include "postgres.h"

#include "utils/uuid.h"

/* Fills id with a new UUID v7; ids of one process never go backwards. */
extern void integ_uuid_make(pg_uuid_t *id);

/* An id that always comes out of the same one and name: UUID v8 (section 5.8), from SHA-256 over both. */
extern void integ_uuid_derive(const pg_uuid_t *from, const char *name, pg_uuid_t *id);

/* The canonical 36 characters, in CurrentMemoryContext. */
extern char *integ_uuid_text(const pg_uuid_t *id);

#endif /* INTEG_CORE_UUID_H */

/*
 * The recorder: the keeper's side of the ring.
 */
#ifndef INTEG_RECORD_RECORDER_H
#define INTEG_RECORD_RECORDER_H

#include "postgres.h"

#include "core/shmem.h"
#include "record/entry.h"

/*
 * After a crash (shared memory is another than the one this database last knew):
 * moves what only the journal has into the audit; then gives every intent without an
 * outcome the outcome "unknown", and writes a gap row, in one transaction. To be called
 * outside a transaction, before the ring is drained for the first time. Raises what SQL raises; to be tried again then.
 */
extern void integ_recorder_recover(IntegDatabase *database);

/* Writes entries that are not from the ring, in transactions of its own, as integ_recorder_run does. */
extern void integ_recorder_write(IntegDatabase *database, IntegEntry **entries, int count);

/*
 * Writes what the ring holds, if it is due or all is set; each batch in a transaction of its
 * own. Returns when it is next to be called. Raises an error that is no fault of a row
 * (nothing is lost then; to be tried again).
 */
extern TimestampTz integ_recorder_run(IntegDatabase *database, bool all);

/* Writes last_used_at of the instances that were used. Returns when it is next to be called. */
extern TimestampTz integ_recorder_touch(IntegDatabase *database);

/*
 * Remembers on disk up to when every write is settled, so that recovery reads no more than it must.
 * clean: the keeper stops and nothing is left in the ring.
 */
extern void integ_recorder_watermark(IntegDatabase *database, bool clean);

/* The retention class ("short", "standard", "long") of a client's audit, valid until the end of the transaction. */
extern const char *integ_retention_class(const char *client, int length);

/* Reads the classes again if plans or clients have changed; inside a transaction. */
extern void integ_retention_load(void);

/* Notes that an instance was used at that time; written by integ_recorder_touch. */
extern void integ_touch_note(const IntegUsed *used, TimestampTz at);

#endif /* INTEG_RECORD_RECORDER_H */

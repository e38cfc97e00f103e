/*
 * The journal: where a session puts the intents of its writes on disk by itself.
 *
 * The recorder writes the rows of the audit in batches; a write that waited for
 * it would pay two changes of process and a transaction. So the session writes
 * the same entry into a page of integ.intent_journal, outside its transaction and
 * through the WAL, and waits for that WAL only. The entry goes to the recorder as
 * well, which is in no hurry; a page is used again once all its entries are in the
 * audit. What a crash leaves in the journal and not in the audit, recovery moves.
 */
#ifndef INTEG_RECORD_JOURNAL_H
#define INTEG_RECORD_JOURNAL_H

#include "postgres.h"

#include "core/shmem.h"
#include "nodes/pg_list.h"
#include "record/entry.h"

/*
 * Whether this process may use the journal now. Not outside a transaction, and not where a commit waits
 * for a standby: then it is the recorder's commit that waits.
 */
extern bool integ_journal_is_usable(void);

/*
 * Writes the entries into the journal and returns when they are on disk; inside a transaction, whose end
 * does not concern them. position: of the ring, behind the last of them. False where there is no room
 * or the table is not as it was made, and the recorder is to be waited for; some of the entries may be in
 * the journal then. Raises what reading a page of a table raises. Takes no lock that anybody could wait for.
 */
extern bool integ_journal_write(IntegDatabase *database, const IntegEntry *const *entries, int count, uint64 position);

/*
 * The entries that were written in the boot given and are not older than since, in the order of their
 * writing: a list of IntegEntry in CurrentMemoryContext, which belong to no outcome slot. For recovery, inside a
 * transaction. Damaged entries end their page with a line in the server log.
 */
extern List *integ_journal_read(const pg_uuid_t *boot, TimestampTz since);

#endif /* INTEG_RECORD_JOURNAL_H */

/*
 * Marks: how far a list was read, as the service writes the time of a change.
 */
#ifndef INTEG_SYNC_MARK_H
#define INTEG_SYNC_MARK_H

#include "postgres.h"

/*
 * The mark so many milliseconds earlier, written as the mark is: an epoch in seconds or milliseconds, a date, a date
 * and time (in UTC). The mark itself where it is no time. In CurrentMemoryContext.
 */
extern const char *integ_mark_before(const char *mark, int64 overlap_ms);

#endif /* INTEG_SYNC_MARK_H */

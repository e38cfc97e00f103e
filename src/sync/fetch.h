/*
 * The pages of a source: fetched with no transaction open, the next one asked for before the last one is used.
 */
#ifndef INTEG_SYNC_FETCH_H
#define INTEG_SYNC_FETCH_H

#include "sync/engine.h"

typedef struct SyncFetch SyncFetch;

/* What a page brought. Valid until the next one is asked for. */
typedef struct SyncFetched
{
	const Jsonb *records; /* an array */
	const Jsonb *state;	  /* to go on behind it; NULL: the list ends here */
	const char *delta;	  /* of the last page, or NULL */
	int64 total;		  /* records of the whole list, -1: nobody says */
	bool cut_short;		  /* the list goes on, but the definition ends it here */
} SyncFetched;

/*
 * Opens a method's list, below CurrentMemoryContext, which must outlive it. state and delta may be NULL. Needs a
 * transaction. Raises what is wrong with instance, method, rights or input.
 */
extern SyncFetch *sync_fetch_open(SyncEngine *engine, const char *method, const Jsonb *input, const Jsonb *state,
								  const char *delta);

/*
 * The next page; false behind the last one, and where the run is to stop (run->stop). Outside a transaction. Waits for
 * rate limits, for tokens that are being refreshed, and a few times for a service that fails. Raises what remains;
 * engine->retry_at is then when the service takes requests again, engine->http_status what it answered.
 */
extern bool sync_fetch_next(SyncFetch *fetch, SyncFetched *fetched);

extern void sync_fetch_close(SyncFetch *fetch);

/* Waits until the time, or the run is to stop: false. Outside a transaction. */
extern bool sync_wait(SyncEngine *engine, TimestampTz until);

#endif /* INTEG_SYNC_FETCH_H */

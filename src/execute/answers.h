/*
 * Last good answers (integ.answers).
 */
#ifndef INTEG_EXECUTE_ANSWERS_H
#define INTEG_EXECUTE_ANSWERS_H

#include "execute/call.h"

#define INTEG_REQUEST_HASH_SIZE 32

/* Largest result that is kept, and most that are kept of an instance. */
#define INTEG_ANSWER_MAX_BYTES (1024 * 1024)
#define INTEG_ANSWERS_PER_INSTANCE 1000

struct IntegStoredAnswer
{
	const char *etag; /* or NULL */
	const char *last_modified;
	const Jsonb *result; /* NULL: SQL NULL */
	TimestampTz answered_at;
};

/*
 * What identifies the request that is rendered, credentials aside: who asks whom for what, by which version of the
 * definition, and with which credentials (their versions; those that come and go with OAuth do not count).
 */
extern void integ_answer_hash(const IntegCall *call, uint8_t hash[INTEG_REQUEST_HASH_SIZE]);

/* The last good answer to the request that the actor may have, in CurrentMemoryContext; NULL where there is none. */
extern IntegStoredAnswer *integ_answer_find(const IntegCall *call, const uint8_t hash[INTEG_REQUEST_HASH_SIZE]);

/*
 * Keeps the call's result in the current transaction. Nothing where that cannot be, or would be in another
 * session's way: in a
 * READ ONLY transaction, for a result larger than INTEG_ANSWER_MAX_BYTES.
 */
extern void integ_answer_store(const IntegCall *call, const uint8_t hash[INTEG_REQUEST_HASH_SIZE], const char *etag,
							   const char *last_modified);

/* Maintenance job: deletes answers that are too old, too many, replaced, or of instances that are gone. */
extern void integ_answers_run(void);

#endif /* INTEG_EXECUTE_ANSWERS_H */

/*
 * The request log and the audit: rows travel from callers through shared
 * memory to the keeper's recorder, which writes them in batches in
 * transactions of its own, so that a caller's ROLLBACK takes nothing with it.
 */
#ifndef INTEG_RECORD_RECORD_H
#define INTEG_RECORD_RECORD_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* What a call was about; all strings may be NULL where they do not apply. */
typedef struct IntegRecordSubject
{
	pg_uuid_t call_id;	   /* made by the caller; one a call, shared by its requests */
	const char *client_id; /* of the actor */
	const char *user_id;
	Oid role;				   /* session's current role at the call */
	const pg_uuid_t *instance; /* NULL where there is none */
	const char *instance_id;   /* the text handle */
	const char *definition_id;
	const char *method; /* method id of the definition */
} IntegRecordSubject;

/* One HTTP exchange, as it goes to integ.requests. */
typedef struct IntegRequestEntry
{
	const IntegRecordSubject *subject;
	TimestampTz started_at;
	const char *http_method;
	const char *origin;		   /* scheme://host[:port] */
	const char *path_template; /* the manifest's, no values of the caller in it; of a raw request the caller's */
	const char *step;		   /* which request of a method of several; NULL: its only one */
	bool is_write;
	int status;			  /* HTTP status, 0 where no answer came */
	const char *sqlstate; /* "IG504" …, NULL for success */
	const char *error;	  /* message, without secrets */
	int64 duration_us;
	int64 request_bytes;
	int64 response_bytes;
	int attempt;
} IntegRequestEntry;

/* One line of the audit. */
typedef struct IntegAuditEntry
{
	const IntegRecordSubject *subject;
	const char *action;	 /* "call.write", "credential.set", "instance.connect" … */
	const char *outcome; /* "pending", "succeeded", "failed", "unknown", "denied" */
	const char *detail;	 /* JSON object text without secrets, or NULL */
} IntegAuditEntry;

/* A reserved place for the outcome of a write. */
typedef struct IntegIntent IntegIntent;

/* Longest detail of an outcome; a longer one is replaced by {"truncated": its length}. */
#define INTEG_OUTCOME_DETAIL_MAX 2048

/*
 * Raises IG500 with a hint where integ is not preloaded or this database has no
 * keeper. Who may wait waits for one that is starting, interruptibly, at most integ.max_sync_wait; a worker that
 * does not return to its loop meanwhile does not see that it is to stop.
 */
extern PGDLLEXPORT void integ_record_require(bool may_wait);

/*
 * Queues one exchange. Waits for room at most integ.log_flush times ten; then
 * counts it into a gap row instead. Never raises. Does nothing where integ is
 * not preloaded or the database has no workers yet (see integ_record_require).
 * Texts are clipped to what fits a log line; origin and path must hold no secret.
 */
extern PGDLLEXPORT void integ_record_request(const IntegRequestEntry *entry);

/*
 * Queues a line of the audit that need not be durable before the caller goes
 * on. Never raises; waits for room as above. A detail that is no JSON is lost
 * by itself: the line is kept.
 */
extern PGDLLEXPORT void integ_record_audit(const IntegAuditEntry *entry);

/*
 * Queues an event of integ, which neither the caller's ROLLBACK takes along nor a request waits for: is_kept as a row
 * of integ.events, else for the endpoints that want it alone. instance may be NULL; payload is an object without
 * secrets, at most INTEG_EVENT_PAYLOAD_MAX bytes of text. Lost where there is no room. Never raises but for want of
 * memory.
 */
#define INTEG_EVENT_PAYLOAD_MAX 8192
extern void integ_record_event(const char *kind, const char *client, const pg_uuid_t *instance, const Jsonb *payload,
							   bool is_kept);

/*
 * Records that a write is about to leave (outcome "pending", whatever the entry
 * says) and returns when that row is on disk; room for its outcome is then
 * reserved. Raises IG500 where the recorder does not answer within
 * integ.max_sync_wait or cannot write the row, and passes interrupts on; nothing
 * was sent then, and the intent is closed as "failed". If the (sub)transaction
 * or the backend ends without settling, the outcome becomes "unknown". The result
 * is valid until then or until it is settled.
 */
extern PGDLLEXPORT IntegIntent *integ_record_intent(const IntegAuditEntry *entry);

/*
 * As integ_record_intent for several writes, with one wait for all of them. An entry that could not be
 * made durable gives NULL in its place, and nothing of it was sent. Those that outlive the transaction are settled by
 * nothing but their outcome and the end of the process. Does not raise for a recorder that does not answer; where it
 * raises, nothing of any was sent, and all are closed. Inside a transaction, which a worker needs not have: without one
 * the recorder writes them.
 */
extern PGDLLEXPORT void integ_record_intents(const IntegAuditEntry *audits, int count, bool outlive,
											 IntegIntent **intents);

/* Of so many intents wanted at once, as many as leave half of the outcome slots to the other sessions; at least 1. */
extern int integ_record_most_intents(int wanted);

/*
 * Settles a reserved outcome and frees the intent: "succeeded", "failed" or
 * "unknown" with a detail (JSON object text without secrets, or NULL). Never
 * raises, never waits for disk.
 */
extern PGDLLEXPORT void integ_record_outcome(IntegIntent *intent, const char *outcome, const char *detail);

/*
 * Marks that an instance was used now, and whether that succeeded; last_used_at and last_succeeded_at are written in
 * batches.
 */
extern PGDLLEXPORT void integ_record_used(const pg_uuid_t *instance, bool succeeded);

#endif /* INTEG_RECORD_RECORD_H */

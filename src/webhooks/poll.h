/*
 * Polling triggers: a service that tells nothing is asked again and again, and what is new becomes events.
 *
 * A poll (a row of integ.polls) has one durable call (an errand, calls/errand.h) that comes again for each poll. Each
 * page of what the service has is stored in one transaction: the keys of its records in integ.webhook_keys, and of
 * those that are new the events with what is to run for them. The cursor moves with the last page. After a crash the
 * list is read again from the cursor, and keys that are known bring nothing.
 */
#ifndef INTEG_WEBHOOKS_POLL_H
#define INTEG_WEBHOOKS_POLL_H

#include "postgres.h"

#include "calls/errand.h"
#include "definitions/definition.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "webhooks/webhook.h"

/* A row. Texts and documents are in the memory that it was loaded in. */
typedef struct IntegPoll
{
	pg_uuid_t id;
	const char *client_id;
	const char *definition;
	pg_uuid_t instance;
	const char *trigger;
	const Jsonb *schedule; /* NULL: the definition's interval */
	const Jsonb *input;
	bool from_now;
	struct varlena *filter; /* jsonpath, or NULL */
	const char *handler;	/* or NULL */
	Oid owner;
	const char *user_id;
	bool is_active;
	bool has_call;
	pg_uuid_t call;
	bool primed;
	const char *mark;
	const char *delta;
	int failures;
} IntegPoll;

/* The poll, locked, in CurrentMemoryContext; NULL where there is none. In an owner scope. */
extern IntegPoll *integ_poll_load(const pg_uuid_t *id);

/* Makes the call of a poll, to run at that time; false where the instance is gone. In an owner scope. */
extern bool integ_poll_begin(IntegPoll *poll, TimestampTz run_at);

/* The trigger of a definition that is polled, NULL where there is none of that id. Lives as long as the definition. */
extern const JsonbContainer *integ_poll_trigger(const IntegDefinition *definition, const char *id);

/*
 * When a poll is due after one that was successful, and that is so many times as late after one that was not.
 * Raises IG400 for a schedule that is none.
 */
extern TimestampTz integ_poll_next(const IntegPoll *poll, const JsonbContainer *trigger, TimestampTz now);

/* What a page brought. */
typedef struct IntegPollPage
{
	int nrecords;
	int nevents;
	const char *newest; /* the newest time of a change in it, as the service writes it; or NULL */
	TimestampTz newest_at;
} IntegPollPage;

/*
 * Stores a page of records: their keys, and where fire is set events for those that are new. A change after until does
 * not count as the newest. In an owner scope; the result is in CurrentMemoryContext.
 */
extern IntegPollPage integ_poll_store(const IntegPoll *poll, const IntegDefinition *definition,
									  const JsonbContainer *trigger, const Jsonb *records, bool fire,
									  TimestampTz until);

/* A maintenance step: polls whose call was cancelled or deleted begin anew. In an owner scope. */
extern void integ_polls_restart(void);

extern const IntegErrand integ_poll_errand;

#endif /* INTEG_WEBHOOKS_POLL_H */

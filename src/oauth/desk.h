/*
 * The desk: where backends ask the dispatchers for tokens, and wait.
 *
 * What must survive a caller's ROLLBACK is done by a worker. Tickets are in
 * shared memory; several that ask the same of the same instance share one, so
 * that a thousand sessions with one expired token make one request.
 */
#ifndef INTEG_OAUTH_DESK_H
#define INTEG_OAUTH_DESK_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "utils/uuid.h"

#define INTEG_OAUTH_TICKETS 32

/* Longest authorization code, and each text of an outcome, in bytes. */
#define INTEG_OAUTH_CODE_MAX 2048
#define INTEG_OAUTH_TEXT_MAX 512

typedef enum IntegOauthKind
{
	INTEG_OAUTH_REFRESH,  /* of an instance */
	INTEG_OAUTH_EXCHANGE, /* of a flow's code */
	INTEG_OAUTH_REVOKE,	  /* of an instance */
	INTEG_OAUTH_REFUSED,  /* the service refuses the instance's credentials for good: no request, but a status */
	INTEG_OAUTH_LEARN	  /* a method has told where the instance is: no request either */
} IntegOauthKind;

typedef enum IntegOauthTicketState
{
	INTEG_OAUTH_FREE,
	INTEG_OAUTH_ASKED,
	INTEG_OAUTH_TAKEN,
	INTEG_OAUTH_DONE
} IntegOauthTicketState;

typedef struct IntegOauthTicket
{
	IntegOauthTicketState state;
	IntegOauthKind kind;
	pg_uuid_t instance; /* says whose dispatcher serves it */
	pg_uuid_t flow;		/* of an exchange */
	int64 seen;			/* refresh: version of the token that did not do; a newer one is the answer already */
	int waiters;
	TimestampTz asked_at;
	int sqlerrcode; /* once done; 0: success */
	char message[INTEG_OAUTH_TEXT_MAX];
	char detail[INTEG_OAUTH_TEXT_MAX];
	char hint[INTEG_OAUTH_TEXT_MAX];
	char code[INTEG_OAUTH_CODE_MAX]; /* of an exchange, or what was told; wiped when taken */
} IntegOauthTicket;

typedef struct IntegOauthDesk
{
	slock_t mutex; /* guards what follows but changed */
	ConditionVariable changed;
	uint64 changes; /* of the tables, committed: dispatchers look again */
	IntegOauthTicket tickets[INTEG_OAUTH_TICKETS];
} IntegOauthDesk;

/* What is asked. */
typedef struct IntegOauthAsk
{
	IntegOauthKind kind;
	pg_uuid_t instance;
	pg_uuid_t flow;
	int64 seen;
	const char *code; /* of an exchange, or what was told (a JSON object); else NULL */
	int64 timeout_ms; /* 0: do not wait */
	const char *what; /* for messages: "token of \"crm\"" */
} IntegOauthAsk;

/* Prepares the shared memory of one database. */
extern void integ_oauth_shmem_init(IntegOauthDesk *desk);

/*
 * Asks a dispatcher and waits, interruptibly, for what becomes of it. With timeout_ms 0 it returns at once. Raises
 * what the
 * dispatcher answers; IG504 where it does not answer in time, IG500 where there is none. Needs no transaction of the
 * dispatcher's to see the caller's: what is named must be committed.
 */
extern void integ_oauth_ask(const IntegOauthAsk *ask);

/* As above, but what went wrong is left in outcome; only interrupts are raised. */
extern void integ_oauth_try(const IntegOauthAsk *ask, IntegOauthTicket *outcome);

/*
 * In a dispatcher: takes a ticket that is asked of it (index of the ticket, -1: none) and copies it to
 * CurrentMemoryContext memory
 * at copy; busy says which instances wait. Ends one that was taken: its waiters get the outcome.
 */
extern int integ_oauth_take(IntegOauthDesk *desk, int number, int total, bool (*busy)(const pg_uuid_t *instance),
							IntegOauthTicket *copy);
extern void integ_oauth_done(IntegOauthDesk *desk, int ticket, int sqlerrcode, const char *message,
							 const char *detail, const char *hint);

/* How often rows that a dispatcher looks at have changed. */
extern uint64 integ_oauth_changes(IntegOauthDesk *desk);

/* Registers what happens at commit; called once from _PG_init. */
extern void integ_oauth_wake_init(void);

/* The dispatcher of that number starts: what was taken by the one before is asked again. */
extern void integ_oauth_reopen(IntegOauthDesk *desk, int number, int total);

/* Which of total dispatchers serves an instance. */
extern int integ_oauth_dispatcher(const pg_uuid_t *instance, int total);

#endif /* INTEG_OAUTH_DESK_H */

/*
 * Users' SQL functions that integ calls, each as its owner: callbacks, a
 * method's handlers, approvals.
 *
 * They run in handler workers, whose session user is the owner: whatever the
 * function does, and whatever it leaves to be done at commit, is done with the
 * owner's rights. A function takes one jsonb and returns jsonb or nothing.
 *
 * There are two ways to ask. A run is a row of integ.handler_runs: it happens
 * after its transaction has committed, at least once. A request is for an
 * answer now: it travels through shared memory, needs no commit of the one who
 * asks, and happens at most once.
 */
#ifndef INTEG_HANDLERS_HANDLERS_H
#define INTEG_HANDLERS_HANDLERS_H

#include "postgres.h"

#include "core/rows.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/*
 * The function that name means for the current user, with its schema and quoted, in CurrentMemoryContext. Raises
 * IG404 where there is none that takes one jsonb, IG400 where it returns something else than jsonb or void, IG403
 * where role may not execute it, or could not run it because it may not log in. what names the setting in messages
 * ("option "on_success" of integ_enqueue").
 */
extern char *integ_handler_resolve(Oid role, const char *name, const char *what);

/* Whether a worker may run as the role in this database: NULL, or why not, in CurrentMemoryContext. */
extern char *integ_handler_role_problem(Oid role);

/* For whom a function is called: its session user, and the client and user it acts for (both may be NULL). */
typedef struct IntegHandlerSubject
{
	Oid owner;
	const char *client_id;
	const char *user_id;
} IntegHandlerSubject;

/* What a function answered: sqlerrcode 0 and a result (NULL for SQL NULL or void), or an error of its. */
typedef struct IntegHandlerAnswer
{
	int sqlerrcode;
	char *message;
	char *detail;
	char *hint;
	Jsonb *result;
} IntegHandlerAnswer;

/* A request under way. */
typedef struct IntegHandlerTicket IntegHandlerTicket;

/*
 * Asks for a function's answer and returns at once; the latch of this process is set when there is news of
 * it. The request ends with CurrentMemoryContext at the latest: nobody waits for the answer then, and the function is
 * cancelled. Needs no transaction. Raises IG500 where there is no worker to ask, 53400 where too many requests
 * are under way.
 */
extern IntegHandlerTicket *integ_handler_ask(const IntegHandlerSubject *subject, const char *function,
											 const Jsonb *argument, int64 timeout_ms);

/* Whether it would find room now, with some left for backends; for the dispatcher, which can wait. Never raises. */
extern bool integ_handler_has_room(void);

/*
 * Fills answer, in CurrentMemoryContext, and returns true once there is one; a request whose time is over
 * (timeout_ms from when it was asked, and a moment for the worker to say so) is answered with IG504. To be called
 * again when the latch is set, and at integ_handler_deadline. Call it no more once it was true.
 */
extern bool integ_handler_poll(IntegHandlerTicket *ticket, IntegHandlerAnswer *answer);
extern TimestampTz integ_handler_deadline(const IntegHandlerTicket *ticket);

/* Waits until there is one, interruptibly. */
extern void integ_handler_wait(IntegHandlerTicket *ticket, IntegHandlerAnswer *answer);

/* Ends a request, also one that has been answered. */
extern void integ_handler_drop(IntegHandlerTicket *ticket);

/*
 * As the three together: waits for the answer, interruptibly, and raises the function's error with its own code.
 * The result is in CurrentMemoryContext, NULL for SQL NULL. The caller's transaction stays open and keeps its locks; a
 * function that waits for one of them gets IG504.
 */
extern PGDLLEXPORT Jsonb *integ_handler_run(const IntegHandlerSubject *subject, const char *function,
											const Jsonb *argument, int64 timeout_ms);

/* The kind of runs whose result is a reply (webhooks/webhook.h): kept with the run, and awaited by a listener. */
#define INTEG_HANDLER_REPLY "webhook_reply"

/* A run to be. What it belongs to may be NULL. */
typedef struct IntegHandlerRun
{
	const char *kind;
	IntegHandlerSubject subject;
	const char *function;
	const Jsonb *argument;
	const pg_uuid_t *call;
	const pg_uuid_t *instance;
	const pg_uuid_t *event;
	TimestampTz event_at; /* when the event came */
	int depth;			  /* of runs that led to each other, this one counted */
} IntegHandlerRun;

/* Runs on their way into the table. */
typedef struct IntegHandlerRuns
{
	IntegRows rows;
} IntegHandlerRuns;

/* None yet, in CurrentMemoryContext. */
extern void integ_handler_runs_begin(IntegHandlerRuns *runs);

/* Adds a run; its id, in the runs' context. What it points to must be there until they are stored. */
extern const pg_uuid_t *integ_handler_runs_add(IntegHandlerRuns *runs, const IntegHandlerRun *run);

/* Makes them rows of the current transaction, in one statement, and forgets them. In an owner scope. */
extern void integ_handler_runs_store(IntegHandlerRuns *runs);

/* The depth of the run that this process carries out; 0: none. What is made in it is one deeper. */
extern int integ_handler_depth(void);

#endif /* INTEG_HANDLERS_HANDLERS_H */

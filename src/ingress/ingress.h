/*
 * The listener: HTTP requests that come in.
 *
 * Its loop is here and in background_workers/ingress.c; the HTTP library is the module integ_ingress's, which hands its
 * driver to integ_ingress_run.
 */
#ifndef INTEG_INGRESS_INGRESS_H
#define INTEG_INGRESS_INGRESS_H

#include "postgres.h"

#include "core/shmem.h"
#include "handlers/handlers.h"
#include "ingress/server.h"
#include "webhooks/webhook.h"

/* A listener's process, from its entry to its end; called by the module only. */
extern PGDLLEXPORT void integ_ingress_run(const IntegServerDriver *driver);

typedef struct IntegIngressReply IntegIngressReply;

/* What a handler worker is asked once the request's transaction has committed; its answer becomes the reply. */
typedef struct IntegIngressQuestion
{
	IntegHandlerSubject subject;
	const char *function;
	const Jsonb *argument;
	int64 timeout_ms;
	const char *arg; /* for read, or NULL */
	/* Into CurrentMemoryContext. */
	void (*read)(const IntegHandlerAnswer *answer, const char *arg, IntegIngressReply *reply);
} IntegIngressQuestion;

/* What is answered; in the context of its batch. Where there is a run or a question, only if nothing comes of it. */
struct IntegIngressReply
{
	int status;
	const char *content_type; /* NULL: there is no body */
	const char *body;
	size_t body_len;
	int nheaders;
	const IntegHttpHeader *headers; /* further ones, at most INTEG_INGRESS_MAX_HEADERS */
	bool retry_later;
	const IntegWebhookReply *webhook; /* that all this was made of: it may name a run; or NULL */
	const IntegIngressQuestion *question;
};

#define INTEG_INGRESS_MAX_HEADERS 20

/*
 * Does what a request asks for, in the transaction under way and an owner scope, and says what to answer once that has
 * committed; the events of webhooks are left in the batch, in whose context the reply is. Raises what the work raises.
 */
extern void integ_ingress_route(const IntegServerRequest *request, IntegWebhookBatch *batch, IntegIngressReply *reply);

/*
 * GET /oauth/callback, with its query as written: the page for the person, or whom to ask for the exchange of the code.
 * Read only; in an owner scope, with the reply in the context given.
 */
extern void integ_ingress_oauth(const char *query, MemoryContext context, IntegIngressReply *reply);

/* --- answers that come later --- */

/* How a request is answered. */
typedef void (*IntegIngressAnswer)(IntegServerRequest *request, const IntegIngressReply *reply);

/*
 * Keeps a request, with a copy of its reply, until there is an answer of its run or question. Outside a transaction,
 * after the commit. Raises where nobody can be asked.
 */
extern void integ_ingress_wait(IntegListenerSlot *slot, IntegServerRequest *request, const IntegIngressReply *reply);

/* Looks which runs have ended, where it was told of some. Outside a transaction; raises what reading raises. */
extern void integ_ingress_look(IntegListenerSlot *slot);

/* Answers those whose answer has come, or whose time is over; false: none. Outside a transaction. */
extern bool integ_ingress_answer_waiting(IntegListenerSlot *slot, IntegIngressAnswer answer);

/* When that is next to be done, if no latch is set before; DT_NOEND: nothing waits. */
extern TimestampTz integ_ingress_look_at(void);

/* Called where a run has ended whose result is an answer: listeners that wait for one look. Any process. */
extern void integ_ingress_tell(IntegDatabase *database);

/*
 * Keeper: sees to it that integ.listeners of them run where integ.listen_port is set in this database, with the
 * settings of now. Returns when it is next to be called.
 */
extern TimestampTz integ_ingress_keep(IntegDatabase *database);

#endif /* INTEG_INGRESS_INGRESS_H */

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
#include "ingress/server.h"

/* A listener's process, from its entry to its end; called by the module only. */
extern PGDLLEXPORT void integ_ingress_run(const IntegServerDriver *driver);

/* What is answered; in the context of its batch. */
typedef struct IntegIngressReply
{
	int status;
	const char *content_type; /* NULL: there is no body */
	const char *body;
	size_t body_len;
	const char *allow; /* methods, with 405; or NULL */
	bool retry_later;
} IntegIngressReply;

/*
 * Does what a request asks for, in the transaction under way and an owner scope, and says what to answer once that has
 * committed. Raises what the work raises.
 */
extern void integ_ingress_route(const IntegServerRequest *request, IntegIngressReply *reply);

/*
 * Keeper: sees to it that integ.listeners of them run where integ.listen_port is set in this database, with the
 * settings of now. Returns when it is next to be called.
 */
extern TimestampTz integ_ingress_keep(IntegDatabase *database);

#endif /* INTEG_INGRESS_INGRESS_H */

/*
 * Asking for a webhook: what a person, or a realtime task, wants to be there.
 */
#ifndef INTEG_WEBHOOKS_REGISTER_H
#define INTEG_WEBHOOKS_REGISTER_H

#include "postgres.h"

#include "instances/instance.h"
#include "webhooks/registration.h"

typedef struct IntegHookRequest
{
	const IntegActor *actor;
	const IntegInstance *instance;
	const IntegDefinition *definition;
	const char *trigger_id; /* NULL: all that come by webhook */
	const JsonbContainer *trigger;
	const pg_uuid_t *task; /* the realtime task that it is for, or NULL */
	char *webhook_id;
	char *name;
	const Jsonb *input;
	const Jsonb *events;
	const Jsonb *schedule;
	Datum filter; /* jsonpath, or 0 */
	char *handler;
	const Jsonb *trigger_handlers;
	bool reregister;
	bool from_now;
	Oid owner;
	const char *user_id;
} IntegHookRequest;

typedef struct IntegHookResult
{
	pg_uuid_t id;
	char *url;
	const char *status;
	bool has_call;
	pg_uuid_t call;
} IntegHookResult;

/* Fills in what is left open. Raises IG404 for a trigger that the definition does not have. */
extern void integ_hook_request(const IntegActor *actor, const IntegInstance *instance, const char *trigger,
							   IntegHookRequest *request);

/*
 * Sees to it that the webhook is there: its rows in the current transaction, and a call that registers it where it is
 * not. Outside an owner scope. Raises IG400 for what the service's method does not take and without integ.public_url,
 * IG403, IG409 where another webhook has the handle.
 */
extern void integ_webhook_ensure(IntegHookRequest *request, IntegHookResult *result);

/* The same for a trigger that is polled. Raises IG400 for a schedule that is none. */
extern void integ_poll_ensure(const IntegHookRequest *request, IntegHookResult *result);

#endif /* INTEG_WEBHOOKS_REGISTER_H */

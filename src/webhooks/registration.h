/*
 * Registrations: webhooks that integ itself creates at a service, renews and removes.
 *
 * A row of integ.webhook_registrations says how far that is. What has to be asked of the service is a durable call (an
 * errand, calls/errand.h) for the row: it leaves once the row is committed, so that a service which sends a handshake
 * to the address before it answers finds the webhook there. The answer is read in the transaction that ends the call.
 *
 * An attempt whose answer was lost may have registered the webhook. Where the service can list what it has, the next
 * attempt looks for our address first, and takes over or removes what is found; where it cannot, a person has to look.
 */
#ifndef INTEG_WEBHOOKS_REGISTRATION_H
#define INTEG_WEBHOOKS_REGISTRATION_H

#include "postgres.h"

#include "calls/errand.h"
#include "instances/instance.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef enum IntegHookStep
{
	INTEG_HOOK_NONE,
	INTEG_HOOK_REGISTER,
	INTEG_HOOK_LOOK,	  /* whether an earlier attempt registered it */
	INTEG_HOOK_REMOVE,	  /* one that is too many: "former" */
	INTEG_HOOK_RENEW,	  /* before it expires */
	INTEG_HOOK_CHECK,	  /* whether the service still has it */
	INTEG_HOOK_ROTATE,	  /* a new secret */
	INTEG_HOOK_REPLACE,	  /* another one, after which this one is removed */
	INTEG_HOOK_UNREGISTER /* and the webhook goes */
} IntegHookStep;

/* A row. Texts and documents are in the memory that it was loaded in; NULL where the column is, and 0 for times. */
typedef struct IntegRegistration
{
	pg_uuid_t webhook;
	const char *webhook_id;
	const char *client_id;
	const char *definition;
	pg_uuid_t instance;
	const char *trigger;
	const char *url;
	const Jsonb *events; /* an array of texts */
	const Jsonb *input;
	Oid owner;
	const char *user_id;
	bool reregister;

	/* what integ_registration_save writes */
	const char *status;
	IntegHookStep step;
	int step_attempt;
	bool has_call;
	pg_uuid_t call;
	pg_uuid_t registration;
	const char *external_id;
	const Jsonb *kept;
	const Jsonb *former;
	TimestampTz registered_at;
	TimestampTz expires_at;
	TimestampTz renew_at;
	TimestampTz check_at;
	TimestampTz checked_at;
	TimestampTz rotated_at;
	int failures;
	const char *last_error;
	const char *hint;
} IntegRegistration;

/*
 * The registration of a webhook, locked, in CurrentMemoryContext; NULL where there is none. In an owner scope. Waits
 * for a transaction that has changed it.
 */
extern IntegRegistration *integ_registration_load(const pg_uuid_t *webhook);

/* Writes what may change. In an owner scope. */
extern void integ_registration_save(const IntegRegistration *registration);

/* The manifest's "webhook", NULL where the definition has none. Lives as long as the definition. */
extern const JsonbContainer *integ_hook_manifest(const IntegDefinition *definition);

/* The method of a step, NULL where the service has none for it. */
extern const char *integ_hook_method(const JsonbContainer *manifest, IntegHookStep step);

/* The input of a step's method: what integ fills in, the manifest's "inputs", and what was given with the webhook. */
extern const Jsonb *integ_hook_input(const IntegRegistration *registration, IntegHookStep step,
									 const JsonbContainer *manifest, const IntegMethod *method,
									 const IntegInstance *instance);

/* The name of the secret in the vault. */
extern const char *integ_hook_credential(const JsonbContainer *manifest);

/* The address of a webhook under integ.public_url, in CurrentMemoryContext. Raises IG400 where that is not set. */
extern char *integ_hook_url(const char *definition, const pg_uuid_t *webhook);

/*
 * Makes a secret where the manifest says that integ does ("secret": {"generate": …}), for the instance's origins;
 * rotate: another one beside the one that there is. False where the manifest does not say so. Outside an owner scope.
 */
extern bool integ_hook_make_secret(const pg_uuid_t *webhook, const char *client, const JsonbContainer *manifest,
								   const IntegInstance *instance, bool rotate);

/* Stores the secret that a service has told, beside the one that there is. In an owner scope. */
extern void integ_hook_store_secret(const IntegRegistration *registration, const JsonbContainer *manifest,
									const char *secret);

/*
 * Has a step done: makes its call and changes the registration, which the caller saves. manifest may be of any version
 * of the definition. In an owner scope.
 */
extern void integ_registration_begin(IntegRegistration *registration, const JsonbContainer *manifest,
									 IntegHookStep step);

/* Removes at the service what no row is for any more; true where there is a method for it. In an owner scope. */
extern bool integ_registration_abandon(const IntegRegistration *registration, const JsonbContainer *manifest);

/* An event, and where it is bad news a notification to the administrators of the client. In an owner scope. */
extern void integ_registration_announce(const IntegRegistration *registration, const char *kind, const char *error,
										const char *hint);

/* What the service calls it, from the answer to register. False where that does not say; nothing is changed then. */
extern bool integ_registration_identify(IntegRegistration *registration, const JsonbContainer *manifest,
										const Jsonb *answer, const Jsonb *body);

/*
 * What a step came to. In an owner scope; the registration is changed, and not saved. registered: false, and nothing
 * changed, where the answer does not say what the service calls it.
 */
extern bool integ_registration_registered(IntegRegistration *registration, const JsonbContainer *manifest,
										  const Jsonb *answer, const Jsonb *body);
extern void integ_registration_renewed(IntegRegistration *registration, const JsonbContainer *manifest,
									   const Jsonb *answer);
/* The service has it no more; one that is to come back does, by the manifest (NULL: of a definition that is gone). */
extern void integ_registration_lost(IntegRegistration *registration, const JsonbContainer *manifest);

/* Of one that exists: when it is looked after next. */
extern void integ_registration_schedule(IntegRegistration *registration, const JsonbContainer *manifest);

/* Removes an instance's webhooks at the service, now, as it is disconnected. A service that does not is a warning. */
extern void integ_instance_unregister(const IntegActor *actor, const IntegInstance *instance);

/*
 * A maintenance job: renews, checks, forgets old secrets, makes and removes the webhooks of realtime tasks, begins
 * polls anew that stand still. Opens transactions.
 */
extern void integ_webhooks_upkeep(void);

/* What is needed to remove one whose row is gone: the input of its call. In CurrentMemoryContext. */
extern const Jsonb *integ_abandoned_describe(const IntegRegistration *registration);

extern const IntegErrand integ_registration_errand;
extern const IntegErrand integ_abandoned_errand;

#endif /* INTEG_WEBHOOKS_REGISTRATION_H */

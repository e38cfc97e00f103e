/*
 * Instances: connections of a context, resolved by handle and cached per backend.
 */
#ifndef INTEG_INSTANCES_INSTANCE_H
#define INTEG_INSTANCES_INSTANCE_H

#include "postgres.h"

#include "access/actor.h"
#include "fmgr.h"
#include "core/pinned.h"
#include "definitions/definition.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"
#include "vault/vault.h"

typedef struct IntegInstance
{
	IntegPinned pinned; /* holds all of this */
	pg_uuid_t id;
	const char *instance_id; /* handle */
	const char *name;
	const char *definition_id;
	const char *version;	  /* pinned version of the definition, NULL: the current one */
	const char *context_type; /* global, client, user */
	const char *context_id;	  /* NULL for global */
	const char *client_id;	  /* '*' for global */
	const char *status;
	bool is_active;
	const char *deactivated_by;		/* role that switched it off, NULL: nobody or integ */
	const char *deactivated_reason; /* or NULL */
	const char *auth_method;		/* NULL: the definition's only one */
	const Jsonb *token_fields;		/* what the token answer told: {token.NAME} */
	const Jsonb *config;			/* own config over that of the borrowed instance, defaults filled in */
	const pg_uuid_t *borrows;		/* the instance whose credentials, limits and breaker are used, NULL: its own */
	const char *lender;				/* its handle, status and is_active; NULL, NULL and true where it borrows none */
	const char *lender_status;
	bool lender_is_active;
	bool lender_granted;			  /* false: the grant by which it borrows was taken away */
	IntegCredentialOwner credentials; /* whose credentials are used: its own, or the borrowed one's */
	const IntegLimits *limits;		  /* instead of the definition's; NULL: those. Of the instance that it borrows */
	const char *origin;				  /* scheme://host[:port] of its base URL; credentials go there only. NULL: not known before
										 the token answer */
	const char *base_url;			  /* rendered; NULL as origin, or where the definition has none */
	int nscopes;					  /* granted to its access token */
	const char **scopes;			  /* NULL: not known */
	int nmethods;					  /* that only this instance has, sorted by id; see integ_instance_method */
	IntegMethod *methods;
	bool plan_allows; /* the plan of the client that calls includes the definition's requiredPlan */
} IntegInstance;

/*
 * The instance that name means for the actor: the handle, the own user's shadowing the client's,
 * then global; or its id; or a definition's id, to mean the actor's instance of it (integ_resolve). Valid until
 * CurrentMemoryContext is reset. Raises IG404 where nothing visible matches (also when it exists but is not
 * the caller's), IG409 where several match, listing them. Does not look at status or is_active. No SPI once cached.
 */
extern const IntegInstance *integ_instance_resolve(const IntegActor *actor, const char *name);

/*
 * As integ_instance_resolve, but for managing: administrators find what belongs to users of their client as well.
 * Raises IG403 where the actor sees the instance but may not change it. Not cached.
 */
extern const IntegInstance *integ_instance_require_managed(const IntegActor *actor, const char *name,
														   const char *action);

/* The actor's instance of a definition, as integ_resolve: IG404 where there is none, IG409 where several match. */
extern const IntegInstance *integ_instance_of_definition(const IntegActor *actor, const char *definition);

/* The version of its definition that the instance follows, pinned like integ_definition_get. */
extern const IntegDefinition *integ_instance_definition(const IntegInstance *instance);

/*
 * A method that the instance has: its own discovered one (integ.instance_methods), else the definition's. NULL
 * where there is
 * none. Valid until CurrentMemoryContext is reset and as long as the definition.
 */
extern const IntegMethod *integ_instance_method(const IntegInstance *instance, const IntegDefinition *definition,
												const char *id);

/*
 * The origins that requests of the instance go to: of its base URL, and of the base URLs of single requests of its
 * definition, as its config renders them; may repeat. In CurrentMemoryContext. Raises what a config that gives no such
 * URL raises.
 */
extern const char **integ_instance_origins(const IntegInstance *instance, int *count);

/* Raises IG403/IG401 where the instance may not be called now: disconnected, reauth_required, or as below. */
extern void integ_instance_require_usable(const IntegInstance *instance, const IntegDefinition *definition);

/*
 * Raises IG403 where somebody decided that it may not be called, also to see whether it works: switched off, the
 * grant of what it borrows taken away, definition disabled, plan; warns on beta/deprecated once a session.
 */
extern void integ_instance_require_allowed(const IntegInstance *instance, const IntegDefinition *definition);

/* Raises IG403 for a disabled definition; warns once a session of a beta or deprecated one. */
extern void integ_definition_require_usable(const IntegDefinition *definition);

/*
 * Sets the status of an instance in the current transaction, with what went wrong (NULL: nothing).
 * deactivate also switches it off, as lasting failure does: a reconnect undoes that, a person's switch-off not.
 * "active" stamps connected_at
 * and last_connected_at. Inside integ_owner_enter.
 */
extern void integ_instance_set_status(const pg_uuid_t *id, const char *status, const char *error, bool deactivate);

/*
 * Its credentials were entered anew: ends what the refusal of the old ones, or lasting failure, caused
 * (reauth_required, token_expired, error, and the switch-off that came with it; a person's stays), so that the next
 * call tries them. Inside integ_owner_enter.
 */
extern void integ_instance_credentials_entered(const pg_uuid_t *id);

/* The SQL function, for C that connects on a caller's behalf. */
extern PGDLLEXPORT Datum integ_connect(PG_FUNCTION_ARGS);

#endif /* INTEG_INSTANCES_INSTANCE_H */

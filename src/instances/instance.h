/*
 * Instances: connections of a context, resolved by handle and cached per backend.
 */
#ifndef INTEG_INSTANCES_INSTANCE_H
#define INTEG_INSTANCES_INSTANCE_H

#include "postgres.h"

#include "access/actor.h"
#include "definitions/definition.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"
#include "vault/vault.h"

typedef struct IntegInstance
{
	pg_uuid_t id;
	const char *instance_id; /* handle */
	const char *definition_id;
	const char *version;	  /* pinned version of the definition, NULL: the current one */
	const char *context_type; /* global, client, user */
	const char *context_id;	  /* NULL for global */
	const char *client_id;	  /* '*' for global */
	const char *status;
	bool is_active;
	const char *auth_method;  /* NULL: the definition's only one */
	const Jsonb *config;	  /* own config over that of the borrowed instance */
	IntegCredentialOwner credentials; /* whose credentials are used: its own, or the borrowed one's */
	const char *origin;		  /* scheme://host[:port] of its base URL; credentials go there only */
	const char *base_url;	  /* rendered */
} IntegInstance;

/*
 * The instance that name means for the actor: the handle, the own user's shadowing the client's,
 * then global; or a definition's id, to mean the actor's instance of it (integ_resolve). Valid until
 * CurrentMemoryContext is reset. Raises IG404 where nothing visible matches (also when it exists but is not
 * the caller's), IG409 where several match, listing them. Does not look at status or is_active. No SPI once cached.
 */
extern const IntegInstance *integ_instance_resolve(const IntegActor *actor, const char *name);

/* Raises IG403/IG401/IG500 where the instance may not be called now: switched off, disconnected, reauth_required, definition disabled; warns on beta/deprecated once a session. */
extern void integ_instance_require_usable(const IntegInstance *instance, const IntegDefinition *definition);

#endif /* INTEG_INSTANCES_INSTANCE_H */

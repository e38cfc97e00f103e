/*
 * Making and changing instances: internal to instances.
 */
#ifndef INTEG_INSTANCES_CONNECT_H
#define INTEG_INSTANCES_CONNECT_H

#include "postgres.h"

#include "instances/instance.h"

/* What integ_connect was asked for, filled step by step. */
typedef struct IntegConnect
{
	const IntegActor *actor;
	const IntegDefinition *definition; /* version that the instance will follow */
	const char *definition_id;
	const char *instance_id;
	const Jsonb *config;

	/* options; NULL where absent */
	char *context;
	char *client;
	char *user;
	char *name;
	char *description;
	char *auth_method;
	char *borrow;
	char *version;
	bool make_default;
	Jsonb *grants;
	Jsonb *metadata;

	/* where it will be */
	const char *context_type;
	const char *context_id; /* NULL for global */
	const char *client_id;

	/* what is there already */
	bool exists;
	pg_uuid_t id;
	char *old_series;
	char *old_status;
	char *old_origin;
	Jsonb *old_token_fields;
	bool switched_off;			 /* is_active = false … */
	bool switched_off_by_person; /* … by a person */

	/* what will be written */
	const char *series;
	const IntegInstance *lender; /* or NULL */
	const char *origin;
	const char *status;
} IntegConnect;

/* Fills context_type, context_id and client_id. Raises IG400, IG403 where the actor may not connect there. */
extern void integ_connect_authorize(IntegConnect *connect);

/* Raises IG403, IG404 where the definition may not be connected there: visibility, scope, plan, status. */
extern void integ_connect_check_definition(const IntegConnect *connect);

/* Raises IG400, IG409 where the handle cannot be one. */
extern void integ_connect_check_handle(const IntegConnect *connect);

#endif /* INTEG_INSTANCES_CONNECT_H */

/*
 * Step: which instance, definition and method the names mean for this actor.
 */
#include "core/errors.h"
#include "execute/call.h"
#include "lib/stringinfo.h"

#define METHODS_IN_HINT 12

static char *
method_names(const IntegDefinition *definition)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < definition->nmethods && i < METHODS_IN_HINT; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", definition->methods[i].id);
	if (definition->nmethods > METHODS_IN_HINT)
		appendStringInfoString(&names, ", …");
	return names.data;
}

void
integ_call_resolve(IntegCall *call)
{
	const IntegInstance *instance = integ_instance_resolve(call->actor, call->instance_name);
	const IntegDefinition *definition = integ_instance_definition(instance);

	call->instance = instance;
	call->definition = definition;
	if (!call->raw)
		call->method = integ_instance_method(instance, definition, call->method_id);
	if (call->method == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("instance \"%s\" has no method \"%s\"", instance->instance_id, call->method_id),
						errdetail("Its definition is \"%s\", version %s.", definition->id, definition->version),
						errhint("Methods: %s. See integ_methods('%s').", method_names(definition),
								definition->id)));

	call->auth = integ_definition_auth(definition, instance->auth_method);
	if (call->auth == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("definition \"%s\" no longer has the authentication method \"%s\"", definition->id,
							   instance->auth_method),
						errdetail("Instance \"%s\" was connected with it.", instance->instance_id),
						errhint("Connect the instance again with one that the definition has.")));

	call->subject.client_id = call->actor->client;
	call->subject.user_id = call->actor->user;
	call->subject.role = call->actor->role;
	call->subject.instance = &instance->id;
	call->subject.instance_id = instance->instance_id;
	call->subject.definition_id = definition->id;
	call->exchange = call->method->exchange;
	call->subject.method = call->method->id;
}

/*
 * Part of the step authorize: whether the instance's access token has the
 * scopes that the method needs, as far as its service said which it has.
 */
#include "core/errors.h"
#include "core/json.h"
#include "execute/call.h"
#include "lib/stringinfo.h"

static bool
is_granted(const IntegInstance *instance, const JsonbValue *scope)
{
	for (int i = 0; i < instance->nscopes; i++)
		if (strlen(instance->scopes[i]) == (size_t) scope->val.string.len &&
			memcmp(instance->scopes[i], scope->val.string.val, scope->val.string.len) == 0)
			return true;
	return false;
}

/* A need is a scope, or a list of scopes of which any one will do. */
static bool
is_met(const IntegInstance *instance, const JsonbValue *need)
{
	const JsonbContainer *any;

	if (need->type == jbvString)
		return is_granted(instance, need);
	any = need->val.binary.data;
	for (uint32 i = 0; i < JsonContainerSize(any); i++)
		if (is_granted(instance, getIthJsonbValueFromContainer((JsonbContainer *) any, i)))
			return true;
	return false;
}

List *
integ_call_missing_scopes(const IntegCall *call)
{
	const IntegInstance *instance = call->instance;
	const JsonbContainer *needs;
	List *missing = NIL;

	/* A token that a person entered has scopes that nobody told us. */
	if (instance->scopes == NULL || strcmp(call->auth->auth_type, "oauth2") != 0 || call->method->manifest == NULL)
		return NIL;
	needs = integ_json_get_array(call->method->manifest, "requiredScopes");
	for (uint32 i = 0; needs != NULL && i < JsonContainerSize(needs); i++)
	{
		const JsonbValue *need = getIthJsonbValueFromContainer((JsonbContainer *) needs, i);

		if (!is_met(instance, need))
			missing = lappend(missing, integ_scope_text(need));
	}
	return missing;
}

void
integ_call_refuse_scopes(const IntegCall *call, const List *missing)
{
	const IntegInstance *instance = call->instance;
	StringInfoData words, granted, all;
	ListCell *cell;

	initStringInfo(&words);
	initStringInfo(&granted);
	initStringInfo(&all);
	for (int i = 0; i < instance->nscopes; i++)
	{
		appendStringInfo(&granted, "%s%s", i > 0 ? ", " : "", instance->scopes[i]);
		appendStringInfo(&all, "\"%s\", ", instance->scopes[i]);
	}
	foreach (cell, missing)
	{
		const char *text = lfirst(cell);
		bool first = cell == list_head(missing);

		appendStringInfo(&words, "%s%s", first ? "" : ", ", text);
		appendStringInfo(&all, "%s\"%.*s\"", first ? "" : ", ", (int) strcspn(text, " "), text);
	}
	ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
					errmsg("%s needs a scope that was not granted: %s", integ_call_name(call), words.data),
					errdetail("Nothing was sent. Granted to \"%s\": %s.", instance->instance_id,
							  instance->nscopes > 0 ? granted.data : "none"),
					errhint("SELECT * FROM integ_oauth_start('%s', '{\"scopes\": [%s]}') asks for it.",
							instance->instance_id, all.data)));
}

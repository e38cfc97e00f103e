/*
 * Whose account at the service was authorized: asked of the method that the manifest names.
 */
#include "oauth/oauth.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "execute/call.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

static char *
at_path(const JsonbContainer *info, const char *key, const Jsonb *result)
{
	char *source = integ_json_get_string(info, key);
	JsonbValue root = {.type = jbvBinary}, value;

	root.val.binary.data = (JsonbContainer *) &result->root;
	if (source == NULL ||
		!integ_path_find(integ_path_compile(source, psprintf("/oauth2Config/accountInfo/%s", key)), &root, &value))
		return NULL;
	return value.type == jbvBinary ? NULL : integ_json_value_text(&value);
}

static void
store(const IntegInstance *instance, const char *id, const char *name)
{
	static IntegQuery query = {"UPDATE integ.instances SET external_account_id = coalesce($2, external_account_id), "
							   "external_account_name = coalesce($3, external_account_name) WHERE id = $1",
							   3,
							   {UUIDOID, TEXTOID, TEXTOID}};
	Datum values[3] = {UUIDPGetDatum(&instance->id), id == NULL ? (Datum) 0 : CStringGetTextDatum(id),
					   name == NULL ? (Datum) 0 : CStringGetTextDatum(name)};
	char nulls[3] = {' ', id == NULL ? 'n' : ' ', name == NULL ? 'n' : ' '};
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&query, values, nulls);
	integ_owner_leave(&scope);
}

static void
ask(const IntegActor *actor, const IntegOauthConfig *config, const JsonbContainer *info)
{
	IntegCallOptions options = {0};
	char *method = integ_json_get_string(info, "method");
	JsonbValue input;
	const Jsonb *document =
		integ_json_get(info, "input", &input) ? integ_json_value_jsonb(&input) : integ_json_empty_object();
	IntegCall *call = integ_call_begin(actor, integ_uuid_text(&config->instance->id), method, document, &options);

	integ_call_run(call);
	integ_call_raise(call);
	if (call->outcome.result != NULL)
		store(config->instance, at_path(info, "id", call->outcome.result), at_path(info, "name", call->outcome.result));
	integ_call_end(call);
}

void
integ_oauth_ask_account(const IntegActor *actor, const IntegOauthConfig *config)
{
	const JsonbContainer *info = integ_json_get_object(config->manifest, "accountInfo");
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old = CurrentMemoryContext;

	if (info == NULL)
		return;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		ask(actor, config, info);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TO_CATEGORY(ERRCODE_INTEG_INVALID))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		ereport(WARNING, (errcode(error->sqlerrcode),
						  errmsg("the account behind \"%s\" is not known", config->instance->instance_id),
						  errdetail_internal("%s", error->message),
						  errhint("The authorization is complete all the same.")));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
}

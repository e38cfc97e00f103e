/*
 * Whose account at the service was authorized: asked of the method that the manifest names.
 */
#include "oauth/oauth.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "execute/call.h"
#include "oauth/desk.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* The text at the path under a key, NULL where there is none. */
static char *
at_path(const JsonbContainer *info, const char *key, const Jsonb *result)
{
	char *source = integ_json_get_string(info, key);

	if (source == NULL)
		return NULL;
	return integ_path_text(integ_path_compile(source, psprintf("/oauth2Config/accountInfo/%s", key)), result);
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

/* What the definition's tokenFields find in the result. */
static const Jsonb *
read_fields(const JsonbContainer *names, const Jsonb *result)
{
	IntegJsonBuilder builder;
	IntegJsonWalk walk;
	JsonbValue key, source;

	integ_json_begin_object(&builder);
	integ_json_walk_begin(&walk, names);
	while (integ_json_walk_pair(&walk, &key, &source))
	{
		char *name = pnstrdup(key.val.string.val, key.val.string.len);
		char *value = at_path(names, name, result);

		integ_json_add_known(&builder, name, value);
	}
	return integ_json_end(&builder);
}

/* A dispatcher keeps it, as it keeps tokens: whatever becomes of this transaction. */
static void
tell(const IntegOauthConfig *config, const JsonbContainer *names, const Jsonb *result)
{
	const char *handle = config->instance->instance_id;
	IntegOauthAsk ask = {.kind = INTEG_OAUTH_LEARN,
						 .instance = config->instance->id,
						 .code = integ_json_print(read_fields(names, result)),
						 .timeout_ms = integ_max_sync_wait,
						 .what = psprintf("base URL of \"%s\"", handle)};

	if (strlen(ask.code) >= INTEG_OAUTH_CODE_MAX)
		ereport(ERROR, (errcode(ERRCODE_INTEG_BAD_ANSWER),
						errmsg("what the service tells of \"%s\" is too long", handle),
						errdetail("accountInfo.tokenFields find %zu bytes; the limit is %d.", strlen(ask.code),
								  INTEG_OAUTH_CODE_MAX - 1)));
	integ_oauth_ask(&ask);
	AcceptInvalidationMessages();
}

/* Calls the method; its result is in the call, which is to be ended. */
static IntegCall *
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
	return call;
}

static void
learn(const IntegActor *actor, const IntegOauthConfig *config, bool account)
{
	const JsonbContainer *info = integ_json_get_object(config->manifest, "accountInfo");
	const JsonbContainer *fields = integ_json_get_object(info, "tokenFields");
	IntegCall *call = ask(actor, config, info);
	const Jsonb *result = call->outcome.result != NULL ? call->outcome.result : integ_json_empty_object();

	/* First what a dispatcher writes: the row must not be locked by this transaction. */
	if (fields != NULL)
		tell(config, fields, result);
	if (account)
		store(config->instance, at_path(info, "id", result), at_path(info, "name", result));
	integ_call_end(call);
}

bool
integ_oauth_learns(const IntegOauthConfig *config)
{
	const JsonbContainer *info = integ_json_get_object(config->manifest, "accountInfo");

	return info != NULL && integ_json_get_object(info, "tokenFields") != NULL;
}

void
integ_oauth_learn(const IntegActor *actor, const IntegOauthConfig *config)
{
	learn(actor, config, false);
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
		learn(actor, config, true);
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
						  integ_oauth_learns(config)
							  ? errhint("The authorization is complete, but where to send requests is not known: "
										"SELECT integ_oauth_refresh('%s') asks again, and so does the next call.",
										config->instance->instance_id)
							  : errhint("The authorization is complete all the same.")));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
}

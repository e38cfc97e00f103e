/*
 * integ_oauth_callback: what the redirect brought. The same for the listener, which has it done by a handler worker.
 */
#include "postgres.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "oauth/desk.h"
#include "oauth/oauth.h"
#include "record/record.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "vault/redact.h"

PG_FUNCTION_INFO_V1(integ_oauth_callback);
PG_FUNCTION_INFO_V1(integ_oauth_redirect);

typedef struct Callback
{
	const IntegActor *actor;
	IntegOauthConfig config;
	const char *state;
	const char *code;
	const char *error;
	const Jsonb *params;

	/* of the flow */
	pg_uuid_t flow;
	pg_uuid_t instance;
	const char *return_url;
	bool is_own; /* this transaction's: not committed */
} Callback;

/* Every attempt is in the audit, also one that names no flow. */
static void
record_refused(const Callback *callback, const char *reason)
{
	IntegRecordSubject subject = {
		.client_id = callback->actor->client, .user_id = callback->actor->user, .role = callback->actor->role};
	IntegAuditEntry entry = {.subject = &subject,
							 .action = "oauth.callback",
							 .outcome = "denied",
							 .detail = psprintf("{\"reason\": \"%s\"}", reason)};

	integ_uuid_make(&subject.call_id);
	integ_record_audit(&entry);
}

/*
 * The flow of the state. Another client's is as unknown as none, and one that is used or over says so: it can not be
 * guessed.
 */
static void
find_flow(Callback *callback)
{
	static IntegQuery query = {
		"SELECT id, instance, status, return_url, expires_at <= pg_catalog.clock_timestamp(), client_id, user_id, "
		"xmin::text::int8 "
		"FROM integ.oauth_flows WHERE state_hash = pg_catalog.sha256(pg_catalog.convert_to($1, 'UTF8'))",
		1,
		{TEXTOID}};
	const IntegActor *actor = callback->actor;
	MemoryContext context = CurrentMemoryContext;
	Datum state = CStringGetTextDatum(callback->state);
	const char *status = NULL, *client = NULL, *user = NULL;
	bool over = false, isnull;
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	if (integ_query_latest(&query, &state, NULL) > 0)
	{
		callback->flow = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
		callback->instance = *DatumGetUUIDP(integ_result_datum(0, 2, &isnull));
		status = integ_result_text(0, 3, context);
		callback->return_url = integ_result_text(0, 4, context);
		over = integ_result_bool(0, 5);
		client = integ_result_text(0, 6, context);
		user = integ_result_text(0, 7, context);
		callback->is_own = TransactionIdIsCurrentTransactionId((TransactionId) integ_result_int8(0, 8));
	}
	integ_owner_leave(&scope);
	if (status == NULL ||
		(actor->level != INTEG_LEVEL_SUPERADMIN &&
		 (strcmp(client, actor->client) != 0 ||
		  (actor->level < INTEG_LEVEL_ADMIN && user != NULL &&
		   (actor->user == NULL || strcmp(user, actor->user) != 0)))))
	{
		record_refused(callback, "unknown state");
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("no authorization has this state"),
						errdetail("It is unknown, or another client's or user's."),
						errhint("Start the authorization again; a state that nobody asked for is an attack.")));
	}
	if (over || strcmp(status, "pending") != 0)
	{
		record_refused(callback, over ? "expired" : "used");
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("this authorization is over"),
						over ? errdetail("It had ten minutes.") : errdetail("Its status is \"%s\"; a state works once.", status),
						errhint("Start the authorization again.")));
	}
	if (callback->is_own)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("this authorization is not committed yet"),
						errhint("COMMIT after integ_oauth_start, before the person is sent away.")));
}

/* RFC 9207: the answer of another authorization server is a mix-up. */
static void
check_issuer(const Callback *callback)
{
	char *issuer = integ_json_get_string(&callback->params->root, "iss");

	if (callback->config.issuer == NULL)
		return;
	if (issuer == NULL ? !integ_json_get_bool(callback->config.manifest, "requireIssuer", false)
					   : strcmp(issuer, callback->config.issuer) == 0)
		return;
	record_refused(callback, "issuer");
	ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("the answer comes from another authorization server"),
					errdetail("Expected is the issuer %s.", callback->config.issuer),
					errhint("Start the authorization again.")));
}

static void
end_refused(const Callback *callback)
{
	static IntegQuery query = {
		"UPDATE integ.oauth_flows SET status = CASE WHEN $2 = 'access_denied' THEN 'denied' ELSE 'failed' END, error = $2, "
		"error_description = pg_catalog.left($3, 300), finished_at = pg_catalog.clock_timestamp() WHERE id = $1",
		3,
		{UUIDOID, TEXTOID, TEXTOID}};
	char *description = integ_json_get_string(&callback->params->root, "error_description");
	Datum values[3] = {UUIDPGetDatum(&callback->flow), CStringGetTextDatum(callback->error),
					   description == NULL ? (Datum) 0 : CStringGetTextDatum(description)};
	char nulls[3] = {' ', ' ', description == NULL ? 'n' : ' '};
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&query, values, nulls);
	integ_owner_leave(&scope);
	integ_oauth_record(&callback->config, "oauth.callback", "denied", NULL, NULL, 0, callback->error);
}

/* The code, and what of the redirect the manifest keeps. */
static const char *
parcel(const Callback *callback)
{
	int count;
	const char **kept = integ_oauth_scopes(integ_json_get_array(callback->config.manifest, "redirectParameters"), &count);
	IntegJsonBuilder builder;
	char *text;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "code", callback->code);
	integ_json_open_object(&builder, "params");
	for (int i = 0; i < count; i++)
	{
		char *value = integ_json_get_string(&callback->params->root, kept[i]);

		integ_json_add_known(&builder, kept[i], value);
	}
	integ_json_close(&builder);
	text = integ_json_print(integ_json_end(&builder));
	if (strlen(text) >= INTEG_OAUTH_CODE_MAX)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the authorization code is too long"),
						errdetail("With the parameters that are kept it has %zu bytes; the limit is %d.", strlen(text),
								  INTEG_OAUTH_CODE_MAX - 1)));
	return text;
}

static void
exchange(const Callback *callback)
{
	const char *code = parcel(callback);
	IntegOauthAsk ask = {.kind = INTEG_OAUTH_EXCHANGE,
						 .instance = callback->instance,
						 .flow = callback->flow,
						 .code = code,
						 .timeout_ms = integ_max_sync_wait,
						 .what = psprintf("token of \"%s\"", callback->config.instance->instance_id)};

	integ_oauth_ask(&ask);
	explicit_bzero(unconstify(char *, code), strlen(code));
}

static Datum
result(FunctionCallInfo fcinfo, const Callback *callback)
{
	static IntegQuery query = {
		"SELECT f.status, f.granted_scopes, ARRAY(SELECT pg_catalog.unnest(f.scopes) EXCEPT "
		"SELECT pg_catalog.unnest(f.granted_scopes) ORDER BY 1) FROM integ.oauth_flows f WHERE f.id = $1",
		1,
		{UUIDOID}};
	Datum id = UUIDPGetDatum(&callback->flow);
	bool nulls[6] = {false};
	Datum values[6];
	TupleDesc descriptor;
	IntegOwnerScope scope;
	MemoryContext context = CurrentMemoryContext;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "integ_oauth_callback must return a row");
	values[0] = id;
	values[1] = CStringGetTextDatum(callback->config.instance->instance_id);
	integ_owner_enter(&scope);
	/* A denial is this transaction's own, a completion the dispatcher's. */
	if ((callback->error != NULL ? integ_query(&query, &id, NULL) : integ_query_latest(&query, &id, NULL)) == 0)
		elog(ERROR, "the authorization is gone");
	for (int i = 0; i < 3; i++)
	{
		struct varlena *value = integ_result_varlena(0, i + 1, context);

		nulls[2 + i] = value == NULL;
		values[2 + i] = PointerGetDatum(value);
	}
	integ_owner_leave(&scope);
	nulls[4] = nulls[3];
	nulls[5] = callback->return_url == NULL;
	values[5] = nulls[5] ? (Datum) 0 : CStringGetTextDatum(callback->return_url);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

/* Everything but what is returned: the flow is completed, or kept as refused. */
static void
complete(Callback *callback)
{
	const IntegInstance *instance;

	find_flow(callback);
	instance = integ_instance_require_managed(callback->actor, integ_uuid_text(&callback->instance), "authorize");
	integ_oauth_config(instance, integ_instance_definition(instance), &callback->config);
	check_issuer(callback);
	if (callback->error != NULL)
		end_refused(callback);
	else
	{
		exchange(callback);
		AcceptInvalidationMessages();
		integ_oauth_ask_account(callback->actor, &callback->config);
	}
}

Datum
integ_oauth_callback(PG_FUNCTION_ARGS)
{
	Callback callback = {.actor = integ_actor_require(INTEG_LEVEL_USER, "complete authorizations")};

	integ_redact_statement();
	if (PG_ARGISNULL(0) || (PG_ARGISNULL(1) && PG_ARGISNULL(2)))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("integ_oauth_callback needs the state and a code or an error")));
	callback.state = text_to_cstring(PG_GETARG_TEXT_PP(0));
	callback.code = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	callback.error = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	callback.params = PG_ARGISNULL(3) ? integ_json_empty_object() : PG_GETARG_JSONB_P(3);
	if (!JB_ROOT_IS_OBJECT(callback.params))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the parameters of a redirect are a JSON object")));
	complete(&callback);
	PG_RETURN_DATUM(result(fcinfo, &callback));
}

/* Whoever began the flow of the state; NULL: there is none. */
static const IntegActor *
actor_of_flow(const char *state)
{
	static IntegQuery query = {
		"SELECT created_by::oid::bigint, client_id, user_id FROM integ.oauth_flows"
		" WHERE state_hash = pg_catalog.sha256(pg_catalog.convert_to($1, 'UTF8'))",
		1,
		{TEXTOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum value = CStringGetTextDatum(state);
	char *client = NULL, *user = NULL;
	Oid role = InvalidOid;
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	if (integ_query_latest(&query, &value, NULL) > 0)
	{
		role = (Oid) integ_result_int8(0, 1);
		client = integ_result_text(0, 2, context);
		user = integ_result_text(0, 3, context);
	}
	integ_owner_leave(&scope);
	return OidIsValid(role) ? integ_actor_rebuild(role, client, user) : NULL;
}

/*
 * For the listener, by a handler worker: completes a flow in the place of whoever began it. A state cannot be guessed;
 * who brings it was sent by the service. Returns true for a completion, false for a refusal by the person.
 */
Datum
integ_oauth_redirect(PG_FUNCTION_ARGS)
{
	const Jsonb *argument = PG_GETARG_JSONB_P(0);
	Callback callback = {.state = integ_json_get_string(&argument->root, "state"),
						 .code = integ_json_get_string(&argument->root, "code"),
						 .error = integ_json_get_string(&argument->root, "error"),
						 .params = argument};

	integ_redact_statement();
	if (callback.state == NULL || (callback.code == NULL && callback.error == NULL))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a redirect has a state, and a code or an error")));
	callback.actor = actor_of_flow(callback.state);
	if (callback.actor == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("no authorization has this state")));
	complete(&callback);
	PG_RETURN_JSONB_P(integ_json_parse(callback.error == NULL ? "true" : "false"));
}

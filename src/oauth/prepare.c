/*
 * Preparing a job: what is presented to the authorization server, and the mark
 * on disk that it is about to leave.
 */
#include "oauth/job.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "record/record.h"
#include "utils/builtins.h"

/* The row of integ.oauth_tokens, locked. */
typedef struct Known
{
	bool exists;
	int64 version;
	bool resting; /* after a failure, until refresh_at */
	const char *last_sqlstate;
	const char *last_error;
	const char *token_origin;
	bool in_flight;
	bool long_lived;
	const char *bound_to; /* the access token, where it is not bound to the instance's origin; else NULL */
} Known;

static void
find_instance(IntegOauthJob *job)
{
	static const IntegActor worker = {.client = INTEG_GLOBAL_CLIENT, .level = INTEG_LEVEL_SUPERADMIN};
	IntegActor *actor = palloc(sizeof(IntegActor));
	const IntegInstance *instance;

	*actor = worker;
	actor->role = GetUserId();
	instance = integ_instance_resolve(actor, integ_uuid_text(&job->instance));
	job->config.instance = instance;
	job->config.definition = integ_instance_definition(instance);
	if (job->kind != INTEG_OAUTH_REFUSED)
		integ_oauth_config(instance, job->config.definition, &job->config);
}

static void
read_known(const IntegOauthJob *job, Known *known)
{
	static IntegQuery query = {
		"SELECT coalesce(c.version, 0), failures > 0 AND refresh_at > pg_catalog.clock_timestamp(), last_sqlstate, "
		"last_error, token_origin, refresh_started_at IS NOT NULL, long_lived, "
		"CASE WHEN $2 <> ALL (c.allowed_origins) THEN pg_catalog.array_to_string(c.allowed_origins, ', ') END "
		"FROM integ.oauth_tokens t LEFT JOIN integ.credentials c ON c.instance = t.instance AND c.name = 'access_token' "
		"AND c.state = 'current' WHERE t.instance = $1 FOR UPDATE OF t",
		2,
		{UUIDOID, TEXTOID}};
	MemoryContext context = CurrentMemoryContext;
	char nulls[] = "  ";
	Datum values[2] = {UUIDPGetDatum(&job->instance), integ_value_text(job->config.instance->origin, &nulls[1])};
	IntegOwnerScope scope;

	memset(known, 0, sizeof(*known));
	integ_owner_enter(&scope);
	if (integ_query(&query, values, nulls) > 0)
	{
		known->exists = true;
		known->version = integ_result_int8(0, 1);
		known->resting = integ_result_bool(0, 2);
		known->last_sqlstate = integ_result_text(0, 3, context);
		known->last_error = integ_result_text(0, 4, context);
		known->token_origin = integ_result_text(0, 5, context);
		known->in_flight = integ_result_bool(0, 6);
		known->long_lived = integ_result_bool(0, 7);
		known->bound_to = integ_result_text(0, 8, context);
	}
	integ_owner_leave(&scope);
}

static void
mark_started(const IntegOauthJob *job)
{
	static IntegQuery query = {"UPDATE integ.oauth_tokens SET refresh_started_at = pg_catalog.clock_timestamp(), "
							   "last_attempt_at = pg_catalog.clock_timestamp() WHERE instance = $1",
							   1,
							   {UUIDOID}};
	Datum id = UUIDPGetDatum(&job->instance);
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&query, &id, NULL);
	integ_owner_leave(&scope);
}

/* A person is needed: that is committed, and the job ends with why. */
static void
need_person(IntegOauthJob *job, const char *why, const char *message)
{
	const IntegInstance *instance = job->config.instance;

	integ_oauth_require_person(instance, why);
	integ_oauth_fail(job, ERRCODE_INTEG_UNAUTHENTICATED, message, why,
					 integ_oauth_mend(instance));
}

static int
sqlstate_of(const char *text)
{
	return MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
}

/* Whoever asks for a token that needs no person may have corrected what was wrong. */
static bool
may_try(const IntegOauthJob *job)
{
	return job->seen == INTEG_OAUTH_ANYWAY && job->ticket >= 0 &&
		   !integ_oauth_by_person(job->config.instance, job->config.definition);
}

/*
 * The definition leads elsewhere than where the token was authorized for: a refresh must not carry it along. Where no
 * person is needed to authorize, whoever calls integ_oauth_refresh agrees.
 */
static bool
is_moved(IntegOauthJob *job, const Known *known)
{
	const IntegInstance *instance = job->config.instance;
	char *message = psprintf("\"%s\" now goes to another origin", instance->instance_id);

	if (known->bound_to == NULL)
		return false;
	if (may_try(job))
	{
		job->anew = true;
		return false;
	}
	if (integ_oauth_by_person(instance, job->config.definition))
		need_person(job, psprintf("its base URL has moved from %s to %s", known->bound_to, instance->origin), message);
	else
		integ_oauth_fail(job, ERRCODE_INTEG_FORBIDDEN, message,
						 psprintf("Its token was obtained for %s, and its base URL is at %s.", known->bound_to,
								  instance->origin),
						 psprintf("SELECT integ_oauth_refresh('%s') obtains one for the new address.",
								  instance->instance_id));
	return true;
}

/* True where the answer is known without a request. */
static bool
is_answered(IntegOauthJob *job, const Known *known)
{
	const IntegInstance *instance = job->config.instance;

	if (strcmp(instance->status, "disconnected") == 0 ||
		(strcmp(instance->status, "reauth_required") == 0 && !may_try(job)))
		integ_oauth_fail(job, ERRCODE_INTEG_UNAUTHENTICATED,
						 psprintf("\"%s\" must be authorized again", instance->instance_id), NULL,
						 integ_oauth_mend(instance));
	else if (job->seen != INTEG_OAUTH_ANYWAY && job->ticket >= 0 && known->version > job->seen)
		return true; /* somebody else's request brought a newer one */
	else if (job->seen != INTEG_OAUTH_ANYWAY && job->ticket >= 0 && known->resting)
		integ_oauth_fail(job, sqlstate_of(known->last_sqlstate), known->last_error,
						 "The last attempt failed so; the next is at oauth_tokens.refresh_at.",
						 psprintf("SELECT integ_oauth_refresh('%s') tries at once.", instance->instance_id));
	else if (known->exists && strcmp(known->token_origin, job->config.token_origin) != 0)
		need_person(job,
					psprintf("the token endpoint has moved from %s to %s", known->token_origin, job->config.token_origin),
					psprintf("the refresh token of \"%s\" belongs to another token endpoint", instance->instance_id));
	else
		return is_moved(job, known);
	return true;
}

/* The access token itself is what the next one is had for: only while it is valid. */
static void
prepare_reissue(IntegOauthJob *job, const Known *known)
{
	const IntegOauthConfig *config = &job->config;
	TimestampTz expires_at;
	int64 version;

	if (!integ_vault_describe(&config->instance->credentials, "access_token", &version, &expires_at) ||
		expires_at <= GetCurrentTimestamp())
	{
		need_person(job, "the access token has expired, and only a valid one is exchanged for the next",
					psprintf("the token of \"%s\" cannot be re-issued", config->instance->instance_id));
		return;
	}
	job->reissue = true;
	integ_oauth_reissue_request(config, known->long_lived, &job->request);
	job->has_request = true;
	mark_started(job);
}

static void
prepare_refresh(IntegOauthJob *job)
{
	const IntegOauthConfig *config = &job->config;
	IntegOauthGrant grant = {.type = "refresh_token"};
	const IntegSecret *refresh;
	Known known;

	job->action = "oauth.refresh";
	read_known(job, &known);
	if (is_answered(job, &known))
		return;
	refresh = integ_vault_open(&config->instance->credentials, "refresh_token", config->token_origin, false);
	if (refresh != NULL)
		grant.refresh_token = refresh->data;
	else if (config->long_lived != NULL && known.exists)
	{
		prepare_reissue(job, &known);
		return;
	}
	else if (strcmp(config->grant_type, "authorization_code") == 0)
	{
		need_person(job, "the service gave no refresh token, and the access token has expired or is refused",
					psprintf("\"%s\" has no refresh token", config->instance->instance_id));
		return;
	}
	else
	{
		int count;
		const char **scopes = integ_oauth_scopes(integ_json_get_array(config->manifest, "scopes"), &count);
		StringInfoData text;

		initStringInfo(&text);
		for (int i = 0; i < count; i++)
			appendStringInfo(&text, "%s%s", i > 0 ? config->separator : "", scopes[i]);
		grant.type = config->grant_type;
		grant.scope = count > 0 ? text.data : NULL;
	}
	integ_oauth_token_request(config, &grant, &job->request);
	job->suspicious = known.in_flight;
	job->has_request = true;
	mark_started(job);
}

static const char *
flow_secret(const IntegOauthJob *job, const char *name)
{
	IntegCredentialOwner owner = {"oauth_flow", integ_uuid_text(&job->flow), job->config.instance->client_id};
	const IntegSecret *secret = integ_vault_open(&owner, name, job->config.token_origin, false);

	return secret == NULL ? NULL : secret->data;
}

/* Uses the flow up, whatever comes of it: a code works once. */
static bool
use_flow(const IntegOauthJob *job, char **token_origin, char **redirect_uri, MemoryContext context)
{
	static IntegQuery code = {
		"UPDATE integ.oauth_flows SET status = 'exchanging', used_at = pg_catalog.clock_timestamp() "
		"WHERE id = $1 AND status = 'pending' AND flow = 'authorization_code' AND expires_at > pg_catalog.clock_timestamp() "
		"RETURNING token_origin, redirect_uri",
		1,
		{UUIDOID}};
	static IntegQuery device = {
		"UPDATE integ.oauth_flows SET next_poll_at = pg_catalog.clock_timestamp() + poll_interval * interval '1 second' "
		"WHERE id = $1 AND status = 'pending' AND flow = 'device_code' AND expires_at > pg_catalog.clock_timestamp() "
		"RETURNING token_origin, redirect_uri",
		1,
		{UUIDOID}};
	Datum id = UUIDPGetDatum(&job->flow);
	IntegOwnerScope scope;
	bool found;

	integ_owner_enter(&scope);
	found = integ_query(job->device ? &device : &code, &id, NULL) > 0;
	if (found)
	{
		*token_origin = integ_result_text(0, 1, context);
		*redirect_uri = integ_result_text(0, 2, context);
	}
	integ_owner_leave(&scope);
	return found;
}

static void
prepare_exchange(IntegOauthJob *job)
{
	const IntegOauthConfig *config = &job->config;
	IntegOauthGrant grant = {.type = job->device ? "device_code" : "authorization_code"};
	char *token_origin, *redirect_uri;

	job->action = "oauth.exchange";
	if (!use_flow(job, &token_origin, &redirect_uri, CurrentMemoryContext))
	{
		integ_oauth_fail(job, ERRCODE_INTEG_CONFLICT, "the authorization cannot be completed",
						 "It is not committed yet, was completed before, or has expired.",
						 "Commit integ_oauth_start before the person is sent away; start again where it was used.");
		return;
	}
	if (strcmp(token_origin, config->token_origin) != 0)
	{
		integ_oauth_fail(job, ERRCODE_INTEG_FORBIDDEN, "the token endpoint has changed since the authorization began",
						 psprintf("It was at %s, and is at %s.", token_origin, config->token_origin),
						 "Start the authorization again.");
		return;
	}
	if (job->device)
		grant.device_code = flow_secret(job, "device_code");
	else
	{
		grant.code = integ_json_get_string(&integ_json_parse(job->code)->root, "code");
		grant.redirect_uri = redirect_uri;
		grant.verifier = flow_secret(job, "code_verifier");
	}
	integ_oauth_token_request(config, &grant, &job->request);
	job->has_request = true;
}

/* RFC 7009, section 2.1; the refresh token first, since with it go all access tokens. */
static void
prepare_revoke(IntegOauthJob *job)
{
	const IntegOauthConfig *config = &job->config;
	static const char *const names[] = {"refresh_token", "access_token"};
	StringInfo form;

	job->action = "oauth.revoke";
	for (size_t i = 0; i < lengthof(names) && config->revoke_url != NULL; i++)
	{
		const IntegCredentialOwner *owner = &config->instance->credentials;
		const IntegSecret *token;
		TimestampTz expires_at;
		int64 version;

		if (!integ_vault_describe(owner, names[i], &version, &expires_at) || expires_at <= GetCurrentTimestamp())
			continue;
		token = integ_vault_open(owner, names[i], i == 0 ? config->token_origin : config->instance->origin, false);
		form = makeStringInfo();
		enlargeStringInfo(form, (int) (3 * token->len + 4096));
		integ_oauth_form_add(form, "token", token->data);
		integ_oauth_form_add(form, "token_type_hint", names[i]);
		integ_oauth_client_request(config, config->revoke_url, form, &job->request);
		job->has_request = true;
		return;
	}
	integ_oauth_fail(job, ERRCODE_INTEG_NOT_FOUND, "there is nothing to revoke at the service",
					 config->revoke_url == NULL ? "The definition names no revokeUrl." : "The instance has no token.",
					 NULL);
}

/* A token that was refused is of no interest once there is another. */
static bool
is_replaced(const IntegOauthJob *job)
{
	Known known;

	read_known(job, &known);
	return job->seen > 0 && known.version > job->seen;
}

void
integ_oauth_prepare(IntegOauthJob *job)
{
	find_instance(job);
	integ_require_not_held();
	switch (job->kind)
	{
		case INTEG_OAUTH_REFRESH:
			prepare_refresh(job);
			break;
		case INTEG_OAUTH_EXCHANGE:
			prepare_exchange(job);
			break;
		case INTEG_OAUTH_REVOKE:
			prepare_revoke(job);
			break;
		case INTEG_OAUTH_LEARN:
			job->action = "oauth.learn";
			integ_oauth_keep_fields(&job->config, integ_json_parse(job->code));
			break;
		case INTEG_OAUTH_REFUSED:
			job->action = "oauth.refused";
			if (is_replaced(job))
				break;
			need_person(job, "the service refuses its credentials",
						psprintf("the service refuses the credentials of \"%s\"", job->config.instance->instance_id));
			break;
	}
	if (job->has_request && job->sqlerrcode == 0)
		integ_oauth_admit(job);
}

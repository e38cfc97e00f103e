/*
 * Settling a job: new tokens are committed before anybody uses them, and what
 * failed says what to do.
 */
#include "oauth/job.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/builtins.h"
#include "vault/vault.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS 300000

void
integ_oauth_fail(IntegOauthJob *job, int sqlerrcode, const char *message, const char *detail, const char *hint)
{
	job->sqlerrcode = sqlerrcode;
	job->message = message;
	job->detail = detail;
	job->hint = hint;
}

static char *
explain(const IntegOauthAnswer *answer)
{
	if (answer->description == NULL)
		return pstrdup(answer->error);
	return psprintf("%s: %s", answer->error, answer->description);
}

/* The next attempt, later after each failure, and not all instances at once. */
static void
note_failure(IntegOauthJob *job, const IntegOauthAnswer *answer, bool answer_lost)
{
	static IntegQuery query = {
		"UPDATE integ.oauth_tokens SET failures = failures + 1, last_sqlstate = $2, last_error = $3, "
		"refresh_started_at = CASE WHEN $4 THEN refresh_started_at END, "
		"refresh_at = CASE WHEN strategy = 'manual' THEN NULL ELSE greatest($5, pg_catalog.clock_timestamp() + "
		"(0.5 + $6 / 2) * least($7 * 2 ^ least(failures, 20), $8) * interval '1 millisecond') END WHERE instance = $1",
		8,
		{UUIDOID, TEXTOID, TEXTOID, BOOLOID, TIMESTAMPTZOID, FLOAT8OID, FLOAT8OID, FLOAT8OID}};
	static IntegQuery expired = {
		"SELECT FROM integ.oauth_tokens WHERE instance = $1 AND expires_at <= pg_catalog.clock_timestamp()", 1, {UUIDOID}};
	const IntegInstance *instance = job->config.instance;
	Datum values[8] = {UUIDPGetDatum(&job->instance),
					   CStringGetTextDatum(unpack_sql_state(job->sqlerrcode)),
					   CStringGetTextDatum(job->message),
					   BoolGetDatum(answer_lost),
					   TimestampTzGetDatum(answer->retry_at),
					   Float8GetDatum(pg_prng_double(&pg_global_prng_state)),
					   Float8GetDatum(answer->result == INTEG_OAUTH_CLIENT ? BACKOFF_MAX_MS : BACKOFF_FIRST_MS),
					   Float8GetDatum(BACKOFF_MAX_MS)};
	char nulls[] = "    "
				   "n   ";
	IntegOwnerScope scope;
	bool lapsed;

	nulls[4] = answer->retry_at == 0 ? 'n' : ' ';
	integ_owner_enter(&scope);
	(void) integ_query(&query, values, nulls);
	lapsed = instance != NULL && strcmp(instance->status, "active") == 0 && integ_query(&expired, values, NULL) > 0;
	if (lapsed)
		integ_instance_set_status(&job->instance, "token_expired", job->message, false);
	integ_owner_leave(&scope);
	if (lapsed)
		integ_oauth_announce(instance, "instance.token_expired", job->message);
}

void
integ_oauth_postpone(IntegOauthJob *job)
{
	static IntegQuery due = {"SELECT FROM integ.oauth_tokens WHERE instance = $1 AND "
							 "refresh_at <= pg_catalog.clock_timestamp() FOR UPDATE",
							 1,
							 {UUIDOID}};
	const IntegOauthAnswer nothing = {.result = INTEG_OAUTH_UNAVAILABLE};
	Datum id = UUIDPGetDatum(&job->instance);
	IntegOwnerScope scope;
	bool is_due;

	integ_owner_enter(&scope);
	is_due = integ_query(&due, &id, NULL) > 0;
	integ_owner_leave(&scope);
	/* What a crash has left unknown stays so. */
	if (is_due)
		note_failure(job, &nothing, true);
}

static void
keep_refreshed(const IntegOauthJob *job, const IntegOauthAnswer *answer)
{
	IntegOauthSource came = {.grant = job->anew ? job->config.grant_type : NULL, .long_lived = job->reissue};

	integ_oauth_keep(&job->config, answer, &came);
}

static void
settle_refresh(IntegOauthJob *job, const IntegOauthAnswer *answer)
{
	const IntegInstance *instance = job->config.instance;
	const char *handle = instance->instance_id;

	switch (answer->result)
	{
		case INTEG_OAUTH_GRANTED:
			keep_refreshed(job, answer);
			return;
		case INTEG_OAUTH_INVALID:
		case INTEG_OAUTH_DENIED:
			integ_oauth_fail(job, ERRCODE_INTEG_UNAUTHENTICATED,
							 psprintf("the service refused to refresh the token of \"%s\"", handle), explain(answer),
							 integ_oauth_mend(instance));
			integ_oauth_require_person(
				instance, job->suspicious
							  ? psprintf("%s; an earlier refresh was cut off between the service's answer and its being "
										 "stored, and a rotated token was lost with it",
										 explain(answer))
							  : psprintf("the service refused the %s (%s)",
										 integ_oauth_by_person(instance, job->config.definition) ? "refresh token" : "grant",
										 explain(answer)));
			return;
		case INTEG_OAUTH_CLIENT:
			integ_oauth_fail(job, ERRCODE_INTEG_UNAUTHENTICATED,
							 job->reissue
								 ? psprintf("the service did not re-issue the token of \"%s\"", handle)
								 : psprintf("the authorization server refused the client of \"%s\"", handle),
							 explain(answer),
							 psprintf("Correct client_id and client_secret: integ_credential_set('definition:%s', …).",
									  job->config.definition->id));
			break;
		case INTEG_OAUTH_UNREADABLE:
			integ_oauth_fail(job, ERRCODE_INTEG_BAD_ANSWER,
							 psprintf("the token endpoint of \"%s\" gave no token", handle), explain(answer),
							 "Check tokenUrl and tokenFields of the definition.");
			break;
		default:
			integ_oauth_fail(job, ERRCODE_INTEG_UNREACHABLE,
							 psprintf("the token endpoint of \"%s\" does not answer", handle), explain(answer),
							 "It is tried again by itself.");
			break;
	}
	note_failure(job, answer, job->response.failure != INTEG_HTTP_OK && job->response.maybe_sent);
}

/* The flow ends; its secrets go. */
static void
end_flow(const IntegOauthJob *job, const char *status, const IntegOauthAnswer *answer)
{
	static IntegQuery query = {
		"UPDATE integ.oauth_flows SET status = $2, error = $3, error_description = $4, next_poll_at = NULL, "
		"finished_at = pg_catalog.clock_timestamp(), "
		"granted_scopes = (SELECT t.scopes FROM integ.oauth_tokens t WHERE t.instance = oauth_flows.instance AND $2 = 'completed') "
		"WHERE id = $1",
		4,
		{UUIDOID, TEXTOID, TEXTOID, TEXTOID}};
	static IntegQuery forget = {
		"DELETE FROM integ.credentials WHERE owner_kind = 'oauth_flow' AND owner_id = $1", 1, {TEXTOID}};
	Datum values[4] = {UUIDPGetDatum(&job->flow), CStringGetTextDatum(status),
					   answer->error == NULL ? (Datum) 0 : CStringGetTextDatum(answer->error),
					   answer->description == NULL ? (Datum) 0 : CStringGetTextDatum(answer->description)};
	char nulls[4] = {' ', ' ', answer->error == NULL ? 'n' : ' ', answer->description == NULL ? 'n' : ' '};
	Datum id = CStringGetTextDatum(integ_uuid_text(&job->flow));
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&query, values, nulls);
	(void) integ_query(&forget, &id, NULL);
	integ_owner_leave(&scope);
}

static void
ask_less_often(const IntegOauthJob *job)
{
	static IntegQuery query = {
		"UPDATE integ.oauth_flows SET poll_interval = poll_interval + 5, "
		"next_poll_at = pg_catalog.clock_timestamp() + (poll_interval + 5) * interval '1 second' WHERE id = $1",
		1,
		{UUIDOID}};
	Datum id = UUIDPGetDatum(&job->flow);
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&query, &id, NULL);
	integ_owner_leave(&scope);
}

/* What the flow asked for. */
static bool
read_flow(const IntegOauthJob *job, const char ***scopes, int *count, bool *nonce_fits, const char *nonce)
{
	static IntegQuery query = {"SELECT pg_catalog.to_jsonb(scopes), nonce_hash IS NULL OR $2 IS NULL OR "
							   "nonce_hash = pg_catalog.sha256(pg_catalog.convert_to($2, 'UTF8')) "
							   "FROM integ.oauth_flows WHERE id = $1",
							   2,
							   {UUIDOID, TEXTOID}};
	Datum values[2] = {UUIDPGetDatum(&job->flow), nonce == NULL ? (Datum) 0 : CStringGetTextDatum(nonce)};
	char nulls[2] = {' ', nonce == NULL ? 'n' : ' '};
	MemoryContext context = CurrentMemoryContext;
	Jsonb *asked = NULL;
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	if (integ_query(&query, values, nulls) > 0)
	{
		asked = (Jsonb *) integ_result_varlena(0, 1, context);
		*nonce_fits = integ_result_bool(0, 2);
	}
	integ_owner_leave(&scope);
	if (asked != NULL)
		*scopes = integ_oauth_scopes(&asked->root, count);
	return asked != NULL;
}

static void
settle_granted(IntegOauthJob *job, IntegOauthAnswer *answer)
{
	const Jsonb *extra = NULL;
	const char **scopes = NULL;
	IntegOauthSource came;
	bool nonce_fits = true;
	int count = 0;
	JsonbValue params;

	if (!read_flow(job, &scopes, &count, &nonce_fits, answer->nonce))
		return; /* the instance was deleted meanwhile, and the flow with it */
	if (!nonce_fits)
	{
		answer->error = "invalid_nonce";
		answer->description = "the identity token belongs to another authorization";
		integ_oauth_fail(job, ERRCODE_INTEG_FORBIDDEN, "the identity token belongs to another authorization",
						 "Its nonce is not the one that was sent.", "Start the authorization again.");
		end_flow(job, "failed", answer);
		return;
	}
	if (job->code != NULL && integ_json_get(&integ_json_parse(job->code)->root, "params", &params) &&
		params.type == jbvBinary)
		extra = integ_json_value_jsonb(&params);
	/* RFC 6749, section 5.1: silence means that all were granted. */
	if (answer->scopes == NULL)
	{
		answer->scopes = scopes;
		answer->nscopes = count;
	}
	came = (IntegOauthSource){.grant = job->device ? "device_code" : "authorization_code",
							  .asked = scopes,
							  .nasked = count,
							  .extra = extra};
	integ_oauth_keep(&job->config, answer, &came);
	end_flow(job, "completed", answer);
	integ_oauth_announce(job->config.instance, "instance.authorized", NULL);
}

static void
settle_exchange(IntegOauthJob *job, IntegOauthAnswer *answer)
{
	const char *handle = job->config.instance->instance_id;
	bool waiting = answer->result == INTEG_OAUTH_PENDING ||
				   (job->device && answer->result == INTEG_OAUTH_UNAVAILABLE);

	if (answer->result == INTEG_OAUTH_GRANTED)
		settle_granted(job, answer);
	else if (job->device && answer->result == INTEG_OAUTH_SLOW_DOWN)
		ask_less_often(job);
	else if (!job->device || !waiting)
	{
		integ_oauth_fail(job,
						 answer->result == INTEG_OAUTH_UNAVAILABLE	? ERRCODE_INTEG_UNREACHABLE
						 : answer->result == INTEG_OAUTH_UNREADABLE ? ERRCODE_INTEG_BAD_ANSWER
																	: ERRCODE_INTEG_UNAUTHENTICATED,
						 psprintf("the authorization of \"%s\" was not completed", handle), explain(answer),
						 answer->result == INTEG_OAUTH_CLIENT
							 ? "Check client_id, client_secret and the redirect URI registered at the service."
							 : "Start the authorization again.");
		end_flow(job, answer->result == INTEG_OAUTH_DENIED ? "denied" : "failed", answer);
	}
}

static void
settle_revoke(IntegOauthJob *job)
{
	/* RFC 7009, section 2.2: 200 also for a token that is unknown. */
	if (job->response.failure != INTEG_HTTP_OK || job->response.status >= 300)
		integ_oauth_fail(job,
						 job->response.failure != INTEG_HTTP_OK ? ERRCODE_INTEG_UNREACHABLE : ERRCODE_INTEG_REFUSED,
						 psprintf("the service did not revoke the token of \"%s\"", job->config.instance->instance_id),
						 job->response.failure != INTEG_HTTP_OK ? pstrdup(job->response.error)
																: psprintf("It answered HTTP %ld.", job->response.status),
						 NULL);
}

void
integ_oauth_settle(IntegOauthJob *job)
{
	IntegOauthAnswer answer;

	if (job->kind == INTEG_OAUTH_REVOKE)
	{
		settle_revoke(job);
		return;
	}
	integ_oauth_read_answer(&job->config, &job->response, job->sent_at, &answer);
	if (job->kind == INTEG_OAUTH_REFRESH)
		settle_refresh(job, &answer);
	else
		settle_exchange(job, &answer);
}

/*
 * Keeping tokens, and what is known of them.
 */
#include "oauth/oauth.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "instances/site.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "vault/store.h"

/* Refreshed when this share of the lifetime is over, and a random part of the next tenth: not all at once. */
#define REFRESH_SHARE 0.75
#define REFRESH_JITTER 0.1

static TimestampTz
refresh_time(const IntegOauthConfig *config, const IntegOauthAnswer *answer, bool refreshable, TimestampTz now)
{
	double lifetime = (double) (answer->expires_at - now);
	double share = REFRESH_SHARE + REFRESH_JITTER * pg_prng_double(&pg_global_prng_state);

	if (!refreshable || answer->expires_at == DT_NOEND || strcmp(config->strategy, "automatic") != 0)
		return 0;
	return now + (int64) (lifetime * share);
}

static void
store_secret(const IntegOauthConfig *config, const char *name, const char *secret, IntegCredentialValue *value)
{
	const IntegInstance *instance = config->instance;

	value->data = secret;
	value->len = strlen(secret);
	value->user_id = strcmp(instance->context_type, "user") == 0 ? instance->context_id : NULL;
	value->role = integ_owner_oid();
	integ_vault_store(&instance->credentials, name, value, false);
}

static bool
is_among(const char *origin, const char *const *origins, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(origins[i], origin) == 0)
			return true;
	return false;
}

/* What the definition has for an instance that was told this. */
static const char **
declared_origins(const IntegOauthConfig *config, const IntegInstance *instance, int *count)
{
	const char **methods = integ_instance_origins(instance, count);
	const char **origins = palloc((*count + INTEG_OAUTH_REISSUE_ORIGINS) * sizeof(char *));

	memcpy(origins, methods, *count * sizeof(char *));
	integ_oauth_reissue_origins(config, origins, count);
	return origins;
}

/* What the token that is replaced is bound to; count 0: there is none. */
static const char **
bound_origins(const IntegInstance *instance, int *count)
{
	static IntegQuery query = {"SELECT pg_catalog.to_jsonb(allowed_origins) FROM integ.credentials "
							   "WHERE instance = $1 AND name = 'access_token' AND state = 'current'",
							   1,
							   {UUIDOID}};
	Datum id = UUIDPGetDatum(&instance->id);
	Jsonb *bound = NULL;

	if (integ_query(&query, &id, NULL) > 0)
		bound = (Jsonb *) integ_result_varlena(0, 1, CurrentMemoryContext);
	return integ_oauth_scopes(bound == NULL ? NULL : &bound->root, count);
}

/* See integ_oauth_keep. */
static void
bind_origins(const IntegOauthConfig *config, const Jsonb *fields, const char *origin, bool anew,
			 IntegCredentialValue *value)
{
	IntegInstance told = *config->instance;
	const char **declared, **bound, **before;
	int ndeclared, nbound = 0, nbefore, count = 0;

	told.token_fields = fields;
	told.origin = origin;
	declared = declared_origins(config, &told, &ndeclared);
	bound = anew ? NULL : bound_origins(config->instance, &nbound);
	if (nbound > 0)
	{
		before = declared_origins(config, config->instance, &nbefore);
		for (int i = 0; i < ndeclared; i++)
			if (is_among(declared[i], bound, nbound) || !is_among(declared[i], before, nbefore))
				declared[count++] = declared[i];
		ndeclared = count;
	}
	integ_vault_use_origins(value, declared, ndeclared);
}

/* What the answer told goes over what was known, key by key. */
static const Jsonb *
merged_fields(const IntegOauthConfig *config, const IntegOauthAnswer *answer, const Jsonb *extra)
{
	return integ_config_over(extra, integ_config_over(answer->fields, config->instance->token_fields));
}

static void
update_instance(const IntegOauthConfig *config, const Jsonb *fields, const char *origin)
{
	static IntegQuery update = {"UPDATE integ.instances SET token_fields = $2, origin = $3 WHERE id = $1 "
								"AND (token_fields <> $2 OR origin IS DISTINCT FROM $3)",
								3,
								{UUIDOID, JSONBOID, TEXTOID}};
	static IntegQuery recover = {
		"UPDATE integ.instances SET is_active = true, deactivated_at = NULL, deactivated_reason = NULL, "
		"failures = 0, failing_since = NULL "
		"WHERE id = $1 AND NOT is_active AND deactivated_by IS NULL AND status IN ('reauth_required', 'token_expired')",
		1,
		{UUIDOID}};
	const IntegInstance *instance = config->instance;
	char nulls[] = "   ";
	Datum values[3] = {UUIDPGetDatum(&instance->id), JsonbPGetDatum(fields), integ_value_text(origin, &nulls[2])};

	(void) integ_query(&update, values, nulls);
	(void) integ_query(&recover, values, NULL);
	if (origin == NULL)
	{
		/* A person has done what one can; where it goes is still to be learned. */
		integ_instance_set_status(&instance->id, "initializing", NULL, false);
		return;
	}
	if (strcmp(instance->status, "active") == 0)
		return;
	integ_instance_set_status(&instance->id, "active", NULL, false);
	if (strcmp(instance->status, "initializing") != 0)
		integ_oauth_announce(instance, "instance.recovered", NULL);
}

static void
update_tokens(const IntegOauthConfig *config, const IntegOauthAnswer *answer, const IntegOauthSource *came)
{
	static IntegQuery query = {
		"INSERT INTO integ.oauth_tokens AS t (instance, client_id, grant_type, strategy, token_type, scopes, "
		"requested_scopes, token_origin, version, obtained_at, expires_at, refresh_at, last_attempt_at, long_lived) "
		"VALUES ($1, $2, coalesce($3, $12), $4, coalesce($5, 'Bearer'), $6, coalesce($7, '{}'), $8, 1, "
		"$9, $10, $11, $9, $13) "
		"ON CONFLICT (instance) DO UPDATE SET grant_type = coalesce($3, t.grant_type), "
		"strategy = CASE WHEN $3 IS NULL THEN t.strategy ELSE $4 END, "
		"token_type = coalesce($5, t.token_type), scopes = coalesce($6, CASE WHEN $3 IS NULL THEN t.scopes END), "
		"requested_scopes = coalesce($7, t.requested_scopes), token_origin = $8, version = t.version + 1, "
		"obtained_at = $9, expires_at = $10, refresh_at = $11, refresh_started_at = NULL, failures = 0, "
		"last_attempt_at = $9, last_sqlstate = NULL, last_error = NULL, long_lived = $13",
		13,
		{UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID, TIMESTAMPTZOID,
		 TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, BOOLOID}};
	const char *grant = came->grant;
	TimestampTz now = GetCurrentTimestamp();
	/* Without a refresh token only grants that need no person give another one. */
	bool refreshable = answer->refresh_token != NULL || grant == NULL || strcmp(grant, "client_credentials") == 0 ||
					   strcmp(grant, "jwt_bearer") == 0;
	bool exchange = grant != NULL && answer->refresh_token == NULL && config->long_lived != NULL;
	TimestampTz refresh_at =
		exchange ? now : refresh_time(config, answer, refreshable || config->long_lived != NULL, now);
	Datum values[13] = {UUIDPGetDatum(&config->instance->id),
						CStringGetTextDatum(config->instance->client_id),
						grant == NULL ? (Datum) 0 : CStringGetTextDatum(grant),
						CStringGetTextDatum(config->strategy),
						answer->token_type == NULL ? (Datum) 0 : CStringGetTextDatum(answer->token_type),
						answer->scopes == NULL ? (Datum) 0 : integ_value_texts(answer->scopes, answer->nscopes),
						came->asked == NULL ? (Datum) 0 : integ_value_texts(came->asked, came->nasked),
						CStringGetTextDatum(config->token_origin),
						TimestampTzGetDatum(now),
						TimestampTzGetDatum(answer->expires_at),
						TimestampTzGetDatum(refresh_at),
						CStringGetTextDatum(config->grant_type),
						BoolGetDatum(came->long_lived)};
	char nulls[13];

	memset(nulls, ' ', sizeof(nulls));
	nulls[2] = grant == NULL ? 'n' : ' ';
	nulls[4] = answer->token_type == NULL ? 'n' : ' ';
	nulls[5] = answer->scopes == NULL ? 'n' : ' ';
	nulls[6] = came->asked == NULL ? 'n' : ' ';
	nulls[9] = answer->expires_at == DT_NOEND ? 'n' : ' ';
	nulls[10] = refresh_at == 0 ? 'n' : ' ';
	(void) integ_query(&query, values, nulls);
}

void
integ_oauth_keep(const IntegOauthConfig *config, const IntegOauthAnswer *answer, const IntegOauthSource *came)
{
	const IntegInstance *instance = config->instance;
	const Jsonb *fields = merged_fields(config, answer, came->extra);
	IntegCredentialValue access = {.expires_at = answer->expires_at};
	IntegCredentialValue refresh = {.expires_at = DT_NOEND};
	IntegOwnerScope scope;
	IntegSite site;

	integ_site_render(config->definition, instance->config, fields, instance->instance_id, &site);
	if (site.origin == NULL && !integ_oauth_learns(config))
		ereport(ERROR, (errcode(ERRCODE_INTEG_BAD_ANSWER),
						errmsg("the token answer for \"%s\" does not tell its base URL", instance->instance_id),
						errdetail("The manifest's baseUrl is \"%s\".", config->definition->base_url_source),
						errhint("Correct tokenFields or redirectParameters of the definition.")));
	integ_owner_enter(&scope);
	bind_origins(config, fields, site.origin, came->grant != NULL, &access);
	store_secret(config, "access_token", answer->access_token, &access);
	if (answer->refresh_token != NULL)
	{
		const char *origin = config->token_origin;

		integ_vault_use_origins(&refresh, &origin, 1);
		store_secret(config, "refresh_token", answer->refresh_token, &refresh);
	}
	update_tokens(config, answer, came);
	update_instance(config, fields, site.origin);
	integ_owner_leave(&scope);
}

/* The access token, as it is, for the origins that the instance has with these fields. Inside an owner scope. */
static void
bind_again(const IntegOauthConfig *config, const Jsonb *fields, const char *origin)
{
	const IntegCredentialOwner *owner = &config->instance->credentials;
	IntegCredentialValue access = {0};
	const IntegSecret *token = NULL;
	const char **bound;
	int64 version;
	int nbound;

	bound = bound_origins(config->instance, &nbound);
	if (nbound > 0 && integ_vault_describe(owner, "access_token", &version, &access.expires_at))
		token = integ_vault_open(owner, "access_token", bound[0], false);
	if (token == NULL)
		return; /* the next one is bound when it comes */
	bind_origins(config, fields, origin, false, &access);
	store_secret(config, "access_token", token->data, &access);
}

void
integ_oauth_keep_fields(const IntegOauthConfig *config, const Jsonb *told)
{
	const IntegInstance *instance = config->instance;
	const Jsonb *fields = integ_config_over(told, instance->token_fields);
	IntegOwnerScope scope;
	IntegSite site;

	integ_site_render(config->definition, instance->config, fields, instance->instance_id, &site);
	if (site.origin == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_BAD_ANSWER),
						errmsg("nothing tells the base URL of \"%s\"", instance->instance_id),
						errdetail("The manifest's baseUrl is \"%s\"; the service told %s.",
								  config->definition->base_url_source, integ_json_print(told)),
						errhint("Correct accountInfo.tokenFields of the definition.")));
	integ_owner_enter(&scope);
	if (instance->origin == NULL || strcmp(instance->origin, site.origin) != 0)
		bind_again(config, fields, site.origin);
	update_instance(config, fields, site.origin);
	integ_owner_leave(&scope);
}

/*
 * The token that authType jwt signs for a call.
 *
 * Signing with a private key takes longer than the rest of a call, so a token is used again while it is valid. It is
 * found by the hash of all that it is made of: another key or claim is another token.
 */
#include <openssl/evp.h>

#include "core/errors.h"
#include "core/json.h"
#include "core/uuid.h"
#include "execute/call.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CACHED_TOKENS 32
#define HASH_SIZE 32

/* A service's clock may be behind ours, and then it refuses what was issued in its future. Seconds. */
#define CLOCK_SKEW 30

/* A token is not used any more when it has less than this left. Seconds. */
#define SHORTEST_REST 60

typedef struct CachedToken
{
	uint8_t hash[HASH_SIZE];
	char *token; /* NULL: this place is free */
	int64 use_until;
} CachedToken;

static CachedToken cache[CACHED_TOKENS];

/* What a token is made of, but for the times. */
typedef struct TokenMaterial
{
	IntegJwtKey key;
	const char *header;
	const Jsonb *claims;
	uint8_t hash[HASH_SIZE];
} TokenMaterial;

static int64
seconds_now(void)
{
	return timestamptz_to_time_t(GetCurrentTimestamp());
}

/* A text of auth.jwt; NULL where it has none or its placeholder no value. */
static char *
render(IntegCall *call, const IntegTemplate *source)
{
	char *text = source == NULL ? NULL : integ_template_text(source, &call->scope, INTEG_TEMPLATE_RAW);

	if (text != NULL && call->secrets != NULL)
		integ_call_wipe_later(call, text, strlen(text));
	return text;
}

static void
add_text(IntegCall *call, IntegJsonBuilder *builder, const char *name, const IntegTemplate *source)
{
	char *text = render(call, source);

	integ_json_add_known(builder, name, text);
}

/* The members of an object template over those of the document. */
static Jsonb *
over(IntegCall *call, Jsonb *document, const IntegTemplate *source)
{
	Jsonb *own = source == NULL ? NULL : integ_template_json(source, &call->scope);

	if (own == NULL)
		return document;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(document), JsonbPGetDatum(own)));
}

static char *
print(IntegCall *call, const Jsonb *document)
{
	char *text = integ_json_print(document);

	integ_call_wipe_later(call, text, strlen(text));
	return text;
}

static void
read_key(IntegCall *call, TokenMaterial *material)
{
	const IntegJwtSpec *jwt = call->auth->jwt;
	char *key;

	call->scope.secret = integ_call_required_secret;
	key = render(call, jwt->key);
	call->scope.secret = integ_call_secret;
	if (key == NULL)
		integ_call_refuse_missing(call, "key");
	material->key = (IntegJwtKey){.text = key,
								  .len = strlen(key),
								  .encoding = jwt->key_encoding,
								  .passphrase = render(call, jwt->passphrase)};
}

static void
read_material(IntegCall *call, TokenMaterial *material)
{
	const IntegJwtSpec *jwt = call->auth->jwt;
	IntegJsonBuilder header, claims;

	read_key(call, material);
	integ_json_begin_object(&header);
	integ_json_add_string(&header, "alg", integ_jwt_algorithm_name(jwt->algorithm));
	integ_json_add_string(&header, "typ", "JWT");
	add_text(call, &header, "kid", jwt->key_id);
	material->header = print(call, over(call, integ_json_end(&header), jwt->header));

	integ_json_begin_object(&claims);
	add_text(call, &claims, "iss", jwt->issuer);
	add_text(call, &claims, "sub", jwt->subject);
	add_text(call, &claims, "aud", jwt->audience);
	add_text(call, &claims, "scope", jwt->scope);
	material->claims = over(call, integ_json_end(&claims), jwt->claims);
}

static void
hash_material(const IntegJwtSpec *jwt, TokenMaterial *material)
{
	const char *passphrase = material->key.passphrase == NULL ? "" : material->key.passphrase;
	int32 numbers[3] = {jwt->algorithm, jwt->key_encoding, jwt->lifetime_s};
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	/* Each text with its NUL, so that no two sets of texts run together to the same. */
	bool ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) > 0 &&
			  EVP_DigestUpdate(context, numbers, sizeof(numbers)) > 0 &&
			  EVP_DigestUpdate(context, material->key.text, material->key.len + 1) > 0 &&
			  EVP_DigestUpdate(context, passphrase, strlen(passphrase) + 1) > 0 &&
			  EVP_DigestUpdate(context, material->header, strlen(material->header) + 1) > 0 &&
			  EVP_DigestUpdate(context, material->claims, VARSIZE(material->claims)) > 0 &&
			  EVP_DigestFinal_ex(context, material->hash, NULL) > 0;

	EVP_MD_CTX_free(context);
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("OpenSSL could not compute a hash")));
}

/* The claims with the time from which and until which the token holds. */
static const char *
timed_claims(IntegCall *call, const TokenMaterial *material, int64 issued_at)
{
	const IntegJwtSpec *jwt = call->auth->jwt;
	IntegJsonBuilder times;
	pg_uuid_t id;

	integ_json_begin_object(&times);
	integ_json_add_int(&times, "iat", issued_at);
	integ_json_add_int(&times, "exp", issued_at + jwt->lifetime_s);
	if (jwt->token_id)
	{
		integ_uuid_make(&id);
		integ_json_add_string(&times, "jti", integ_uuid_text(&id));
	}
	return print(call, DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(integ_json_end(&times)),
														  JsonbPGetDatum(material->claims))));
}

static void
forget(CachedToken *cached)
{
	if (cached->token == NULL)
		return;
	explicit_bzero(cached->token, strlen(cached->token));
	pfree(cached->token);
	cached->token = NULL;
}

/* The token made of the same and still valid; NULL where there is none. Forgets those whose time is over. */
static const char *
find(const TokenMaterial *material, int64 now)
{
	const char *found = NULL;

	for (int i = 0; i < CACHED_TOKENS; i++)
	{
		if (cache[i].token != NULL && now >= cache[i].use_until)
			forget(&cache[i]);
		if (cache[i].token != NULL && memcmp(cache[i].hash, material->hash, HASH_SIZE) == 0)
			found = cache[i].token;
	}
	return found;
}

/* Keeps the token, in the place of the one that is of use for the shortest time where there is no other. */
static void
keep(const TokenMaterial *material, const char *token, int64 use_until)
{
	CachedToken *place = &cache[0];
	char *copy = MemoryContextStrdup(TopMemoryContext, token);

	for (int i = 1; i < CACHED_TOKENS && place->token != NULL; i++)
		if (cache[i].token == NULL || cache[i].use_until < place->use_until)
			place = &cache[i];
	forget(place);
	memcpy(place->hash, material->hash, HASH_SIZE);
	place->use_until = use_until;
	place->token = copy;
}

static char *
sign(IntegCall *call, const TokenMaterial *material, const char *claims)
{
	char problem[256];
	char *signed_token = integ_jwt_sign(call->auth->jwt->algorithm, &material->key, material->header, claims, problem,
										sizeof(problem));
	char *token;

	if (signed_token == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("the token of instance \"%s\" cannot be signed", call->instance->instance_id),
						errdetail("%s", problem),
						errhint("Enter the key that auth.jwt of \"%s\" asks for with integ_credential_set.",
								call->definition->id)));
	token = MemoryContextAllocExtended(call->exchange_context, strlen(signed_token) + 1, MCXT_ALLOC_NO_OOM);
	if (token != NULL)
		strcpy(token, signed_token);
	explicit_bzero(signed_token, strlen(signed_token));
	free(signed_token);
	if (token == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	integ_call_keep_secret(call, token, strlen(token));
	return token;
}

static const char *
make(IntegCall *call)
{
	const IntegJwtSpec *jwt = call->auth->jwt;
	int64 now = seconds_now();
	int64 issued_at = now - Min(CLOCK_SKEW, jwt->lifetime_s / 10);
	const char *cached;
	TokenMaterial material;
	char *token;

	read_material(call, &material);
	hash_material(jwt, &material);
	cached = jwt->token_id ? NULL : find(&material, now);
	if (cached != NULL)
	{
		token = MemoryContextStrdup(call->exchange_context, cached);
		integ_call_keep_secret(call, token, strlen(token));
		return token;
	}
	token = sign(call, &material, timed_claims(call, &material, issued_at));
	if (!jwt->token_id)
		keep(&material, token, issued_at + jwt->lifetime_s - Min(SHORTEST_REST, jwt->lifetime_s / 2));
	return token;
}

const char *
integ_call_token(IntegCall *call)
{
	const char *token;

	if (call->signing)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the token of instance \"%s\" would be made of itself", call->instance->instance_id),
						errdetail("auth.jwt of \"%s\" names {credentials.access_token}, which is the token.",
								  call->definition->id),
						errhint("Correct the definition.")));
	call->signing = true;
	token = make(call);
	call->signing = false;
	return token;
}

const char *
integ_instance_token(const IntegActor *actor, const IntegInstance *instance, const IntegDefinition *definition)
{
	static const IntegCallOptions options = {.asynchronous = true};
	IntegCall *call = integ_call_begin(actor, instance->instance_id, "token", NULL, &options);
	MemoryContext old = MemoryContextSwitchTo(call->exchange_context);
	const char *token;

	call->instance = instance;
	call->definition = definition;
	call->auth = integ_definition_auth(definition, instance->auth_method);
	call->origin = instance->origin;
	call->scope.input = &call->input->root;
	call->scope.config = &instance->config->root;
	call->scope.secret = integ_call_secret;
	call->scope.secret_arg = call;
	token = integ_call_token(call);
	MemoryContextSwitchTo(old);
	return token;
}

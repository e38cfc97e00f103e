/*
 * integ_oauth_start: an authorization begins.
 *
 * Authorization code with PKCE S256 (RFC 7636), or device code (RFC 8628). The state is handed
 * to the caller and stored hashed; verifier and device code are in the vault until the flow ends.
 */
#include "oauth/oauth.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/base64.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "http/url.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/varlena.h"
#include "vault/secret.h"
#include "vault/store.h"

PG_FUNCTION_INFO_V1(integ_oauth_start);

#define RANDOM_BYTES 32
#define LIFETIME (10 * USECS_PER_MINUTE)

typedef struct Start
{
	const IntegActor *actor;
	IntegOauthConfig config;
	pg_uuid_t id;

	/* options; NULL where absent */
	char *instance_id;
	Jsonb *instance_config;
	Jsonb *connect;
	Jsonb *wanted_scopes;
	Jsonb *parameters;
	char *return_url;
	char *redirect_uri;
	char *flow;
	char *login_hint;

	const char **scopes;
	int nscopes;
	const char *scope; /* joined */
	char *state;
	char *nonce;
	char *verifier;
	const char *device_code;
	const char *user_code;
	const char *verification_uri;
	int poll_interval;
	TimestampTz expires_at;
	const char *url;
} Start;

/* base64url without padding (RFC 7515, section 2), in memory that is wiped. */
static char *
base64url(const uint8_t *bytes, int len)
{
	char *text = integ_secret_alloc(INTEG_BASE64_ENCODED_SIZE(len));

	(void) integ_base64url_encode(bytes, len, text);
	return text;
}

static char *
random_text(void)
{
	uint8_t bytes[RANDOM_BYTES];
	char *text;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("OpenSSL gives no random numbers")));
	text = base64url(bytes, sizeof(bytes));
	explicit_bzero(bytes, sizeof(bytes));
	return text;
}

static Datum
hash_of(const char *text)
{
	bytea *hash = palloc(VARHDRSZ + SHA256_DIGEST_LENGTH);

	SET_VARSIZE(hash, VARHDRSZ + SHA256_DIGEST_LENGTH);
	SHA256((const uint8_t *) text, strlen(text), (uint8_t *) VARDATA(hash));
	return PointerGetDatum(hash);
}

static void
parse_options(Start *start, const Jsonb *options)
{
	const IntegOption known[] = {
		{"instance_id", INTEG_OPTION_TEXT, &start->instance_id},
		{"config", INTEG_OPTION_OBJECT, &start->instance_config},
		{"connect", INTEG_OPTION_OBJECT, &start->connect},
		{"scopes", INTEG_OPTION_ARRAY, &start->wanted_scopes},
		{"parameters", INTEG_OPTION_OBJECT, &start->parameters},
		{"return_url", INTEG_OPTION_TEXT, &start->return_url},
		{"redirect_uri", INTEG_OPTION_TEXT, &start->redirect_uri},
		{"flow", INTEG_OPTION_TEXT, &start->flow},
		{"login_hint", INTEG_OPTION_TEXT, &start->login_hint},
	};

	integ_options_parse(options, known, lengthof(known), "integ_oauth_start");
	if (start->flow == NULL)
		start->flow = "authorization_code";
	else if (strcmp(start->flow, "device_code") != 0 && strcmp(start->flow, "authorization_code") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("there is no flow \"%s\"", start->flow),
						errhint("The option \"flow\" of integ_oauth_start is authorization_code or device_code.")));
}

/* Where the person may be sent in the end: a prefix of the list, up to the end of a path segment. */
static bool
return_url_allowed(const char *url)
{
	char *list = pstrdup(integ_allowed_return_urls), *problem_free;
	char problem[256];
	List *prefixes;
	ListCell *cell;

	problem_free = integ_url_origin(url, problem, sizeof(problem));
	if (problem_free == NULL)
		return false;
	free(problem_free);
	/* A path that climbs would leave the prefix that it starts with. */
	if (strstr(url, "/..") != NULL || strstr(url, "/%2e") != NULL || strstr(url, "/%2E") != NULL ||
		strchr(url, '\\') != NULL || !SplitGUCList(list, ',', &prefixes))
		return false;
	foreach (cell, prefixes)
	{
		const char *prefix = lfirst(cell);
		size_t len = strlen(prefix);

		if (len > 0 && strncmp(url, prefix, len) == 0 &&
			(prefix[len - 1] == '/' || url[len] == '\0' || url[len] == '/' || url[len] == '?' || url[len] == '#'))
			return true;
	}
	return false;
}

static void
check_return_url(const Start *start)
{
	if (start->return_url != NULL && !return_url_allowed(start->return_url))
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("the return URL is not allowed"),
						errdetail("An open redirect would let others send people where they want."),
						errhint("A superuser lists what may be returned to in integ.allowed_return_urls.")));
}

/* A new instance of a definition, made as integ_connect makes it. */
static const char *
connect_instance(Start *start, const char *definition)
{
	Datum id;

	if (start->instance_id == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("which instance of \"%s\" is to be authorized?", definition),
						errhint("Name one that exists, or give a new one a handle: {\"instance_id\": \"…\"}.")));
	id = DirectFunctionCall4(integ_connect, CStringGetTextDatum(definition), CStringGetTextDatum(start->instance_id),
							 JsonbPGetDatum(start->instance_config != NULL ? start->instance_config
																		   : integ_json_empty_object()),
							 JsonbPGetDatum(start->connect != NULL ? start->connect : integ_json_empty_object()));
	return integ_uuid_text(DatumGetUUIDP(id));
}

static void
find_instance(Start *start, const char *target)
{
	const IntegDefinition *definition = integ_definition_get(target, NULL);
	const IntegInstance *instance;
	const char *name = target;

	if (definition != NULL && integ_definition_visible(definition, start->actor))
		name = connect_instance(start, target);
	instance = integ_instance_require_managed(start->actor, name, "authorize");
	if (instance->borrows != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("\"%s\" uses the tokens of another instance", instance->instance_id),
						errdetail("It borrows a global connection."), errhint("Authorize that one, or connect one of your own.")));
	integ_oauth_config(instance, integ_instance_definition(instance), &start->config);
}

static void
join_scopes(Start *start)
{
	const JsonbContainer *array = start->wanted_scopes != NULL ? &start->wanted_scopes->root
															   : integ_json_get_array(start->config.manifest, "scopes");
	StringInfoData joined;

	start->scopes = integ_oauth_scopes(array, &start->nscopes);
	initStringInfo(&joined);
	for (int i = 0; i < start->nscopes; i++)
		appendStringInfo(&joined, "%s%s", i > 0 ? start->config.separator : "", start->scopes[i]);
	start->scope = joined.data;
}

/* Registered at the service: what the caller says, the manifest's, or ours. */
static void
choose_redirect_uri(Start *start)
{
	char *manifest = integ_json_get_string(start->config.manifest, "redirectUri");

	if (start->redirect_uri == NULL)
		start->redirect_uri = manifest;
	if (start->redirect_uri == NULL && integ_public_url != NULL && integ_public_url[0] != '\0')
		start->redirect_uri = psprintf("%s%soauth/callback", integ_public_url,
									   integ_public_url[strlen(integ_public_url) - 1] == '/' ? "" : "/");
	if (start->redirect_uri == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("where does \"%s\" send the person back to?", start->config.definition->id),
						errhint("Set integ.public_url, or give the option redirect_uri; it must be registered at the service.")));
}

static void
add(StringInfo query, const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0')
		integ_oauth_form_add(query, name, value);
}

static void
add_object(StringInfo query, const JsonbContainer *object)
{
	static const char *const ours[] = {"response_type", "client_id", "redirect_uri", "state", "scope",
									   "code_challenge", "code_challenge_method", "nonce"};
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	char *name = NULL;

	iterator = object == NULL ? NULL : JsonbIteratorInit((JsonbContainer *) object);
	while (iterator != NULL && (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE)
			continue;
		for (size_t i = 0; i < lengthof(ours); i++)
			if (strcmp(ours[i], name) == 0)
				ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
								errmsg("the parameter \"%s\" of an authorization is not a caller's", name)));
		add(query, name, integ_json_value_text(&value));
	}
}

static bool
asks_for_identity(const Start *start)
{
	for (int i = 0; i < start->nscopes; i++)
		if (strcmp(start->scopes[i], "openid") == 0)
			return true;
	return false;
}

static const char *
client_id(const Start *start)
{
	const char *id = integ_oauth_credential(&start->config, "client_id", NULL);

	if (id == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("\"%s\" has no client_id for its authorization server", start->config.definition->id),
						errdetail("The application that is registered at the service is known by it."),
						errhint("Enter it: integ_credential_set('definition:%s', 'client_id', …), or for the instance.",
								start->config.definition->id)));
	return id;
}

static void
build_url(Start *start)
{
	const IntegOauthConfig *config = &start->config;
	StringInfoData query;

	if (config->authorization_url == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("\"%s\" has no authorization page", config->definition->id),
						errdetail("Its grant is \"%s\"; no person is needed.", config->grant_type),
						errhint("SELECT integ_oauth_refresh('%s') obtains a token.", config->instance->instance_id)));
	choose_redirect_uri(start);
	initStringInfo(&query);
	add(&query, "response_type", "code");
	add(&query, "client_id", client_id(start));
	add(&query, "redirect_uri", start->redirect_uri);
	add(&query, "scope", start->scope);
	add(&query, "state", start->state);
	if (config->pkce)
	{
		uint8_t digest[SHA256_DIGEST_LENGTH];

		SHA256((const uint8_t *) start->verifier, strlen(start->verifier), digest);
		add(&query, "code_challenge", base64url(digest, sizeof(digest)));
		add(&query, "code_challenge_method", "S256");
	}
	if (asks_for_identity(start))
	{
		start->nonce = random_text();
		add(&query, "nonce", start->nonce);
	}
	add(&query, "login_hint", start->login_hint);
	add_object(&query, integ_json_get_object(config->manifest, "additionalParameters"));
	add_object(&query, start->parameters == NULL ? NULL : &start->parameters->root);
	start->url = psprintf("%s%c%s", config->authorization_url, strchr(config->authorization_url, '?') != NULL ? '&' : '?',
						  query.data);
}

/* RFC 8628, sections 3.1 and 3.2. */
static void
ask_for_device(Start *start)
{
	const IntegOauthConfig *config = &start->config;
	StringInfo form = makeStringInfo();
	IntegHttpRequest request;
	IntegHttpResponse *response;
	Jsonb *answer;

	if (config->device_url == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("\"%s\" has no device authorization", config->definition->id),
						errhint("The definition's oauth2Config needs a deviceAuthorizationUrl.")));
	if (strcmp(config->client_auth, "client_secret_basic") == 0)
		integ_oauth_form_add(form, "client_id", client_id(start));
	integ_oauth_form_add(form, "scope", start->scope[0] == '\0' ? NULL : start->scope);
	integ_oauth_client_request(config, config->device_url, form, &request);
	response = integ_oauth_send(config, &request, "oauth.device");
	if (response->failure != INTEG_HTTP_OK || response->status != 200 || strlen(response->body) != response->body_len)
		ereport(ERROR, (errcode(response->failure != INTEG_HTTP_OK ? ERRCODE_INTEG_UNREACHABLE : ERRCODE_INTEG_REFUSED),
						errmsg("the service gave no device code for \"%s\"", config->instance->instance_id),
						response->failure != INTEG_HTTP_OK ? errdetail("%s", response->error)
														   : errdetail("It answered HTTP %ld.", response->status)));
	answer = integ_json_parse(response->body);
	start->device_code = integ_json_get_string(&answer->root, "device_code");
	start->user_code = integ_json_get_string(&answer->root, "user_code");
	start->verification_uri = integ_json_get_string(&answer->root, "verification_uri_complete");
	if (start->verification_uri == NULL)
		start->verification_uri = integ_json_get_string(&answer->root, "verification_uri");
	start->poll_interval = (int) Min(Max(integ_json_get_int(&answer->root, "interval", 5), 1), 300);
	start->expires_at = GetCurrentTimestamp() +
						Min(Max(integ_json_get_int(&answer->root, "expires_in", 600), 1), 86400) * USECS_PER_SEC;
	if (start->device_code == NULL || start->user_code == NULL || start->verification_uri == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_BAD_ANSWER),
						errmsg("the service gave no device code for \"%s\"", config->instance->instance_id),
						errdetail("device_code, user_code or verification_uri is missing in its answer.")));
}

static void
insert_flow(const Start *start)
{
	static IntegQuery query = {
		"INSERT INTO integ.oauth_flows (id, client_id, user_id, definition_id, instance, flow, state_hash, nonce_hash, "
		"token_origin, redirect_uri, return_url, scopes, user_code, verification_uri, poll_interval, next_poll_at, "
		"created_by, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
		"pg_catalog.clock_timestamp() + $15 * interval '1 second', $16::pg_catalog.regrole, $17)",
		17,
		{UUIDOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID, TEXTOID, BYTEAOID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID,
		 TEXTARRAYOID, TEXTOID, TEXTOID, INT4OID, OIDOID, TIMESTAMPTZOID}};
	const IntegInstance *instance = start->config.instance;
	char nulls[17];
	Datum values[17];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = UUIDPGetDatum(&start->id);
	values[1] = CStringGetTextDatum(instance->client_id);
	values[2] = integ_value_text(start->actor->user, &nulls[2]);
	values[3] = CStringGetTextDatum(instance->definition_id);
	values[4] = UUIDPGetDatum(&instance->id);
	values[5] = CStringGetTextDatum(start->flow);
	nulls[6] = start->state == NULL ? 'n' : ' ';
	values[6] = start->state == NULL ? (Datum) 0 : hash_of(start->state);
	nulls[7] = start->nonce == NULL ? 'n' : ' ';
	values[7] = start->nonce == NULL ? (Datum) 0 : hash_of(start->nonce);
	values[8] = CStringGetTextDatum(start->config.token_origin);
	values[9] = integ_value_text(start->redirect_uri, &nulls[9]);
	values[10] = integ_value_text(start->return_url, &nulls[10]);
	values[11] = integ_value_texts(start->scopes, start->nscopes);
	values[12] = integ_value_text(start->user_code, &nulls[12]);
	values[13] = integ_value_text(start->verification_uri, &nulls[13]);
	values[14] = Int32GetDatum(start->poll_interval);
	nulls[14] = start->device_code == NULL ? 'n' : ' ';
	values[15] = ObjectIdGetDatum(start->actor->role);
	values[16] = TimestampTzGetDatum(start->expires_at);
	(void) integ_query(&query, values, nulls);
}

static void
store_flow(const Start *start)
{
	const char *secret = start->device_code != NULL ? start->device_code : start->verifier;
	IntegCredentialOwner owner = {"oauth_flow", integ_uuid_text(&start->id), start->config.instance->client_id};
	IntegCredentialValue value = {.data = secret,
								  .len = strlen(secret),
								  .origins = (const char **) &start->config.token_origin,
								  .norigins = 1,
								  .expires_at = start->expires_at,
								  .role = start->actor->role};
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	insert_flow(start);
	integ_vault_store(&owner, start->device_code != NULL ? "device_code" : "code_verifier", &value, false);
	integ_owner_leave(&scope);
}

Datum
integ_oauth_start(PG_FUNCTION_ARGS)
{
	Start start = {.actor = integ_actor_require(INTEG_LEVEL_USER, "authorize instances")};
	bool nulls[7] = {false};
	Datum values[7];
	TupleDesc descriptor;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_oauth_start needs an instance or a definition")));
	parse_options(&start, PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1));
	check_return_url(&start);
	find_instance(&start, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	join_scopes(&start);
	integ_uuid_make(&start.id);
	start.expires_at = GetCurrentTimestamp() + LIFETIME;
	if (strcmp(start.flow, "device_code") == 0)
		ask_for_device(&start);
	else
	{
		start.state = random_text();
		start.verifier = random_text();
		build_url(&start);
	}
	store_flow(&start);
	integ_oauth_record(&start.config, "oauth.start", "succeeded", NULL, NULL, 0, NULL);

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "integ_oauth_start must return a row");
	values[0] = UUIDPGetDatum(&start.id);
	values[1] = CStringGetTextDatum(start.config.instance->instance_id);
	nulls[2] = start.url == NULL;
	values[2] = start.url == NULL ? (Datum) 0 : CStringGetTextDatum(start.url);
	nulls[3] = start.state == NULL;
	values[3] = start.state == NULL ? (Datum) 0 : CStringGetTextDatum(start.state);
	values[4] = TimestampTzGetDatum(start.expires_at);
	nulls[5] = start.user_code == NULL;
	values[5] = start.user_code == NULL ? (Datum) 0 : CStringGetTextDatum(start.user_code);
	nulls[6] = start.verification_uri == NULL;
	values[6] = start.verification_uri == NULL ? (Datum) 0 : CStringGetTextDatum(start.verification_uri);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

/*
 * How requests are proven: from a manifest's words to the verifier's.
 */
#include "webhooks/webhook.h"

#include "core/errors.h"
#include "core/json.h"
#include "definitions/compile.h"

#define DEFAULT_CREDENTIAL "secret"

typedef struct Word
{
	const char *name;
	int value;
} Word;

static const Word schemes[] = {
	{"none", INTEG_SIGNATURE_NONE},
	{"hmac-sha1", INTEG_SIGNATURE_HMAC_SHA1},
	{"hmac-sha256", INTEG_SIGNATURE_HMAC_SHA256},
	{"hmac-sha512", INTEG_SIGNATURE_HMAC_SHA512},
	{"sha256", INTEG_SIGNATURE_SHA256},
	{"ed25519", INTEG_SIGNATURE_ED25519},
	{"rsa-sha256", INTEG_SIGNATURE_RSA_SHA256},
	{"standard-webhooks", INTEG_SIGNATURE_STANDARD},
	{"equal", INTEG_SIGNATURE_EQUAL},
	{"basic", INTEG_SIGNATURE_BASIC},
};

static const Word encodings[] = {
	{"text", INTEG_SIGNATURE_TEXT},
	{"hex", INTEG_SIGNATURE_HEX},
	{"base64", INTEG_SIGNATURE_BASE64},
};

static const Word units[] = {{"s", INTEG_SENT_S}, {"ms", INTEG_SENT_MS}, {"iso8601", INTEG_SENT_ISO8601}};

/* The value of the word under a key; the fallback where the key is absent. */
static int
read_word(const JsonbContainer *object, const char *key, const Word *words, int count, int fallback, const char *where)
{
	char *name = integ_json_get_string(object, key);

	if (name == NULL)
		return fallback;
	for (int i = 0; i < count; i++)
		if (strcmp(words[i].name, name) == 0)
			return words[i].value;
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s/%s is unknown: \"%s\"", where, key, name),
					errhint("docs/webhooks.md lists what there is.")));
	return fallback;
}

#define READ_WORD(object, key, words, fallback, where) \
	read_word(object, key, words, lengthof(words), fallback, where)

/* Keeps what is set where the manifest is silent. */
static void
read_text(const JsonbContainer *object, const char *key, const char **text)
{
	char *given = integ_json_get_string(object, key);

	if (given != NULL)
		*text = given;
}

static void
read_lists(const JsonbContainer *signature, const char *where, IntegSignatureRule *rule)
{
	const JsonbContainer *alternatives = integ_json_get_array(signature, "alternativeHeaders");
	const JsonbContainer *required = integ_json_get_object(signature, "requiredHeaders");
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;

	if ((alternatives != NULL && JsonContainerSize(alternatives) > INTEG_MAX_SIGNATURE_HEADERS) ||
		(required != NULL && JsonContainerSize(required) > INTEG_MAX_SIGNATURE_HEADERS))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s names too many headers", where),
						errdetail("The limit is %d.", INTEG_MAX_SIGNATURE_HEADERS)));
	for (uint32 i = 0; alternatives != NULL && i < JsonContainerSize(alternatives); i++)
		rule->alternatives[rule->nalternatives++] =
			integ_json_value_text(getIthJsonbValueFromContainer((JsonbContainer *) alternatives, i));
	iterator = required == NULL ? NULL : JsonbIteratorInit((JsonbContainer *) required);
	while (iterator != NULL && (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			rule->required[rule->nrequired].name = integ_json_value_text(&value);
		else if (token == WJB_VALUE)
			rule->required[rule->nrequired++].value = integ_json_value_text(&value);
	}
}

static void
read_timestamp(const JsonbContainer *signature, const char *where, IntegWebhookScheme *scheme)
{
	const JsonbContainer *timestamp = integ_json_get_object(signature, "timestamp");
	IntegSignatureRule *rule = &scheme->rule;
	char *place = psprintf("%s/timestamp", where);
	int64 tolerance;

	if (timestamp == NULL)
		return;
	read_text(timestamp, "header", &rule->timestamp.header);
	read_text(timestamp, "element", &rule->timestamp.element);
	read_text(timestamp, "path", &rule->timestamp.path);
	scheme->timestamp_path = integ_compile_path(timestamp, "path", place);
	rule->unit = READ_WORD(timestamp, "unit", units, rule->unit, place);
	tolerance = integ_json_get_int(timestamp, "toleranceSeconds", -1);
	if (tolerance >= 0)
		rule->tolerance_ms = Min(tolerance, PG_INT32_MAX) * 1000;
	rule->allow_future = integ_json_get_bool(timestamp, "allowFuture", rule->allow_future);
}

/* What the scheme itself says of places where the manifest does not. */
static void
begin_rule(IntegWebhookScheme *scheme, const JsonbContainer *signature, const char *where)
{
	IntegSignatureRule *rule = &scheme->rule;
	char *name = integ_json_get_string(signature, "scheme");

	rule->tolerance_ms = -1;
	rule->encoding = INTEG_SIGNATURE_HEX;
	scheme->is_jwt = name != NULL && strcmp(name, "jwt") == 0;
	if (!scheme->is_jwt)
		rule->scheme = READ_WORD(signature, "scheme", schemes, INTEG_SIGNATURE_NONE, where);
	if (rule->scheme == INTEG_SIGNATURE_STANDARD)
		integ_signature_standard(rule);
	if (scheme->is_jwt)
	{
		char *algorithm = integ_json_get_string(signature, "algorithm");

		rule->place.header = "Authorization";
		rule->prefix = "Bearer ";
		scheme->claims = integ_json_get_object(signature, "claims");
		scheme->algorithm = INTEG_JWT_HS256;
		if (algorithm != NULL && !integ_jwt_algorithm_from_name(algorithm, &scheme->algorithm))
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s/algorithm is unknown: \"%s\"", where, algorithm),
							errhint("HS256, RS256, PS256, ES256, EdDSA and their longer kin.")));
	}
}

/*
 * A service whose manifest says nothing sends one of two things. A token that is there must be the secret, whatever
 * else there is.
 */
static void
default_rule(IntegSignatureRule *rule, const IntegInbound *request)
{
	const char *authorization = integ_inbound_header(request, "authorization");

	rule->tolerance_ms = -1;
	if (authorization != NULL)
	{
		rule->scheme = INTEG_SIGNATURE_EQUAL;
		rule->place.header = "Authorization";
		rule->prefix = "Bearer ";
		return;
	}
	rule->scheme = INTEG_SIGNATURE_HMAC_SHA256;
	rule->place.header = "X-Webhook-Signature";
	rule->encoding = INTEG_SIGNATURE_HEX;
}

const IntegWebhookScheme *
integ_webhook_scheme(const JsonbContainer *signature, const IntegInbound *request, const char *where)
{
	IntegWebhookScheme *scheme = palloc0(sizeof(IntegWebhookScheme));
	IntegSignatureRule *rule = &scheme->rule;

	scheme->credential = DEFAULT_CREDENTIAL;
	if (signature == NULL)
	{
		default_rule(rule, request);
		return scheme;
	}
	begin_rule(scheme, signature, where);
	if (integ_json_get_string(signature, "query") != NULL || integ_json_get_string(signature, "path") != NULL)
		rule->place.header = NULL;
	read_text(signature, "header", &rule->place.header);
	read_text(signature, "query", &rule->place.query);
	read_text(signature, "path", &rule->place.path);
	scheme->token_path = integ_compile_path(signature, "path", where);
	rule->encoding = READ_WORD(signature, "encoding", encodings, rule->encoding, where);
	read_text(signature, "prefix", &rule->prefix);
	read_text(signature, "separator", &rule->separator);
	read_text(signature, "element", &rule->element);
	read_text(signature, "template", &rule->template);
	rule->key_encoding = READ_WORD(signature, "keyEncoding", encodings, rule->key_encoding, where);
	read_text(signature, "keyPrefix", &rule->key_prefix);
	read_text(signature, "idHeader", &rule->id_header);
	read_text(signature, "bodyDigest", &rule->body_digest);
	read_text(signature, "credential", &scheme->credential);
	read_timestamp(signature, where, scheme);
	read_lists(signature, where, rule);
	return scheme;
}

const char *
integ_signature_verdict_name(IntegSignatureVerdict verdict)
{
	static const char *const names[] = {
		[INTEG_SIGNATURE_VALID] = "valid", [INTEG_SIGNATURE_MISSING] = "missing", [INTEG_SIGNATURE_MALFORMED] = "malformed", [INTEG_SIGNATURE_WRONG] = "wrong", [INTEG_SIGNATURE_STALE] = "stale", [INTEG_SIGNATURE_NO_KEY] = "no_key", [INTEG_SIGNATURE_OUT_OF_MEMORY] = "out_of_memory"};

	return names[verdict];
}

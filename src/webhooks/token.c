/*
 * Requests that are proven by a signed token (RFC 7519).
 */
#include "webhooks/token.h"

#include "core/base64.h"
#include "core/json.h"
#include "execute/decode.h"
#include "webhooks/webhook.h"

/* Clocks differ. Seconds. */
#define LEEWAY 60

/* One part of a token, decoded; NULL where it is none. In CurrentMemoryContext, with a NUL behind it. */
static char *
decode_part(const char *text, size_t len, size_t *decoded_len)
{
	char *bytes = palloc(INTEG_BASE64_DECODED_SIZE(len) + 1);

	if (len == 0 || !integ_base64_decode(text, len, (uint8_t *) bytes, decoded_len))
		return NULL;
	bytes[*decoded_len] = '\0';
	return bytes;
}

static const Jsonb *
decode_object(const char *text, size_t len)
{
	size_t decoded_len = 0;
	char *decoded = decode_part(text, len, &decoded_len), *unused;
	const Jsonb *document = decoded == NULL ? NULL : integ_decode_json(decoded, decoded_len, &unused);

	return document != NULL && JB_ROOT_IS_OBJECT(document) ? document : NULL;
}

/* A claim is the value asked for, or a list that has it (RFC 7519, section 4.1.3). */
static bool
claim_holds(const JsonbContainer *claims, const char *name, const char *expected)
{
	const JsonbContainer *list = integ_json_get_array(claims, name);
	char *given = integ_json_get_string(claims, name);

	if (given != NULL)
		return strcmp(given, expected) == 0;
	for (uint32 i = 0; list != NULL && i < JsonContainerSize(list); i++)
	{
		given = integ_json_value_text(getIthJsonbValueFromContainer((JsonbContainer *) list, i));
		if (given != NULL && strcmp(given, expected) == 0)
			return true;
	}
	return false;
}

static bool
claims_hold(const JsonbContainer *claims, const JsonbContainer *expected)
{
	JsonbIterator *iterator = expected == NULL ? NULL : JsonbIteratorInit((JsonbContainer *) expected);
	JsonbIteratorToken token;
	JsonbValue value;
	char *name = NULL;

	while (iterator != NULL && (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = integ_json_value_text(&value);
		else if (token == WJB_VALUE && !claim_holds(claims, name, integ_json_value_text(&value)))
			return false;
	}
	return true;
}

/* Within the times that the token names (RFC 7519, sections 4.1.4 and 4.1.5). */
static bool
is_current(const JsonbContainer *claims, int64 now)
{
	int64 expires = integ_json_get_int(claims, "exp", -1), begins = integ_json_get_int(claims, "nbf", 0);

	return expires >= 0 && now <= expires + LEEWAY && now >= begins - LEEWAY;
}

#define REFUSE(verdict, ...) (snprintf(problem, size, __VA_ARGS__), INTEG_SIGNATURE_##verdict)

IntegSignatureVerdict
integ_webhook_judge_token(const IntegWebhookScheme *scheme, const IntegInbound *request, const IntegSignatureKey *keys,
						  int nkeys, char *problem, size_t size)
{
	const char *token = integ_inbound_header(request, scheme->rule.place.header);
	size_t prefix = strlen(scheme->rule.prefix), signature_len = 0;
	const char *first, *second;
	const Jsonb *header, *claims;
	char *signature, *algorithm;
	bool made = false;

	if (token == NULL)
		return REFUSE(MISSING, "The request has no header \"%s\", or several.", scheme->rule.place.header);
	if (strncmp(token, scheme->rule.prefix, prefix) != 0)
		return REFUSE(MALFORMED, "The header \"%s\" has no token.", scheme->rule.place.header);
	if (nkeys == 0)
		return REFUSE(NO_KEY, "There is no secret to judge by.");
	token += prefix;
	first = strchr(token, '.');
	second = first == NULL ? NULL : strchr(first + 1, '.');
	signature = second == NULL ? NULL : decode_part(second + 1, strlen(second + 1), &signature_len);
	header = signature == NULL ? NULL : decode_object(token, (size_t) (first - token));
	if (header == NULL)
		return REFUSE(MALFORMED, "The token of the request is none.");
	algorithm = integ_json_get_string(&header->root, "alg");
	if (algorithm == NULL || strcmp(algorithm, integ_jwt_algorithm_name(scheme->algorithm)) != 0)
		return REFUSE(WRONG, "The token is not signed with %s.", integ_jwt_algorithm_name(scheme->algorithm));
	for (int i = 0; i < nkeys; i++)
	{
		IntegJwtKey key = {keys[i].text, keys[i].len, INTEG_JWT_KEY_TEXT, NULL};

		made |= keys[i].len > 0 && integ_jwt_verify(scheme->algorithm, &key, token, (size_t) (second - token),
													(uint8_t *) signature, signature_len);
	}
	if (!made)
		return REFUSE(WRONG, "The token was not signed with a key of ours.");
	claims = decode_object(first + 1, (size_t) (second - first - 1));
	if (claims == NULL)
		return REFUSE(MALFORMED, "The token of the request has no claims.");
	if (!is_current(&claims->root, request->now_ms / 1000))
		return REFUSE(STALE, "The token of the request is of another time.");
	if (!claims_hold(&claims->root, scheme->claims))
		return REFUSE(WRONG, "The token of the request is for somebody else.");
	return INTEG_SIGNATURE_VALID;
}

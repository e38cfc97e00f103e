/*
 * The errors of a GraphQL answer, which may come with a 200 and with data.
 */
#include "graphql/graphql.h"

#include "core/errors.h"
#include "core/json.h"
#include "mb/pg_wchar.h"

#define EXCERPT_BYTES 300

/* Codes that services agree on, by which an error is more than a refusal. */
static const struct
{
	const char *code;
	int sqlerrcode;
} known_codes[] = {
	{"THROTTLED", ERRCODE_INTEG_RATE_LIMIT},
	{"RATELIMITED", ERRCODE_INTEG_RATE_LIMIT},
	{"RATE_LIMITED", ERRCODE_INTEG_RATE_LIMIT},
	{"RATE_LIMIT_EXCEEDED", ERRCODE_INTEG_RATE_LIMIT},
	{"TOO_MANY_REQUESTS", ERRCODE_INTEG_RATE_LIMIT},
	{"UNAUTHENTICATED", ERRCODE_INTEG_UNAUTHENTICATED},
	{"AUTHENTICATION_ERROR", ERRCODE_INTEG_UNAUTHENTICATED},
	{"FORBIDDEN", ERRCODE_INTEG_FORBIDDEN},
	{"ACCESS_DENIED", ERRCODE_INTEG_FORBIDDEN},
	{"NOT_FOUND", ERRCODE_INTEG_NOT_FOUND},
	{"INTERNAL_SERVER_ERROR", ERRCODE_INTEG_BAD_ANSWER},
};

static int
class_of(const JsonbContainer *error)
{
	const JsonbContainer *extensions = integ_json_get_object(error, "extensions");
	const char *codes[3] = {integ_json_get_string(error, "type")};

	if (extensions != NULL)
	{
		codes[1] = integ_json_get_string(extensions, "code");
		codes[2] = integ_json_get_string(extensions, "type");
	}
	for (size_t i = 0; i < lengthof(codes); i++)
		for (size_t j = 0; codes[i] != NULL && j < lengthof(known_codes); j++)
			if (pg_strcasecmp(codes[i], known_codes[j].code) == 0)
				return known_codes[j].sqlerrcode;
	return ERRCODE_INTEG_REFUSED;
}

/* Whether any field of the operation brought something. */
static bool
has_values(const Jsonb *data)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;

	if (data == NULL || !JB_ROOT_IS_OBJECT(data))
		return false;
	iterator = JsonbIteratorInit((JsonbContainer *) &data->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_VALUE && value.type != jbvNull)
			return true;
	return false;
}

static char *
shorten(const char *text)
{
	int len = pg_mbcliplen(text, (int) Min(strlen(text), EXCERPT_BYTES * 2), EXCERPT_BYTES);

	return psprintf("%.*s%s", len, text, text[len] != '\0' ? " …" : "");
}

bool
integ_graphql_refused(IntegCall *call)
{
	const JsonbContainer *errors =
		call->body != NULL && JB_ROOT_IS_OBJECT(call->body) ? integ_json_get_array(&call->body->root, "errors") : NULL;
	uint32 count = errors == NULL ? 0 : JsonContainerSize(errors);
	const Jsonb *data;
	JsonbValue *first;
	char *message = NULL;

	if (count == 0)
		return false;
	data = integ_graphql_data(call->body);
	first = getIthJsonbValueFromContainer((JsonbContainer *) errors, 0);
	call->outcome.sqlerrcode = ERRCODE_INTEG_REFUSED;
	if (first->type == jbvBinary && JsonContainerIsObject(first->val.binary.data))
	{
		call->outcome.sqlerrcode = class_of(first->val.binary.data);
		message = integ_json_get_string(first->val.binary.data, "message");
	}
	call->outcome.message = psprintf("the service refused %s: %s", integ_call_name(call),
									 message != NULL ? shorten(message) : "it gave errors without a message");
	call->outcome.detail =
		psprintf("Its answer has %u error%s, and %s", count, count == 1 ? "" : "s",
				 has_values(data) ? psprintf("data beside: %s", shorten(integ_json_print(data))) : "no data.");
	call->partial = call->exchange->is_write && has_values(data);
	if (call->partial)
		call->outcome.hint = "Some of the operation's fields were carried out: look before you repeat it.";
	return true;
}

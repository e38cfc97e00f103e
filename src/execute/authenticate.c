/*
 * The credentials, where the definition says that they go.
 */
#include "core/compat.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "execute/call.h"
#include "http/url.h"

void
integ_call_refuse_missing(const IntegCall *call, const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
					errmsg("instance \"%s\" has no credential \"%s\"", call->instance->instance_id, name),
					call->method == NULL
						? errdetail("The token that \"%s\" exchanges is signed with it.", call->definition->id)
						: errdetail("Method \"%s\" of \"%s\" needs it.", call->method->id, call->definition->id),
					errhint("Enter it with integ_credential_set('%s', '%s', …).", call->instance->instance_id, name)));
}

const char *
integ_call_required_secret(void *arg, const char *name)
{
	const char *value = integ_call_secret(arg, name);

	if (value == NULL)
		integ_call_refuse_missing(arg, name);
	return value;
}

char *
integ_call_secret_text(IntegCall *call, const char *first, const char *second, const char *third)
{
	size_t len = strlen(first) + strlen(second) + strlen(third);
	char *text = MemoryContextAlloc(call->exchange_context, len + 1);

	/* Of fixed size, so that no copy is left behind. */
	snprintf(text, len + 1, "%s%s%s", first, second, third);
	integ_call_keep_secret(call, text, len);
	return text;
}

/* A template of the definition's auth; NULL where it comes out empty. */
static char *
render_secret(IntegCall *call, const IntegTemplate *source, IntegTemplateEncoding encoding)
{
	IntegTemplateScope scope = call->scope;
	char *text;

	scope.secret = integ_call_required_secret;
	text = integ_template_text(source, &scope, encoding);
	if (text != NULL)
		integ_call_keep_secret(call, text, strlen(text));
	return text;
}

/* RFC 7617: base64 of "user:password"; the user must not contain a colon. */
static char *
basic_value(IntegCall *call)
{
	char *user = render_secret(call, call->auth->username, INTEG_TEMPLATE_RAW);
	char *password = render_secret(call, call->auth->password, INTEG_TEMPLATE_RAW);
	char *pair, *encoded;
	int room, len;

	if (user != NULL && strchr(user, ':') != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the user name of instance \"%s\" contains a colon", call->instance->instance_id),
						errdetail("HTTP Basic authentication cannot carry it."),
						errhint("Correct the credential, or the definition's auth.username.")));
	pair = integ_call_secret_text(call, user != NULL ? user : "", ":", password != NULL ? password : "");
	room = pg_b64_enc_len(strlen(pair));
	encoded = palloc(room + 1);
	len = integ_b64_encode(pair, strlen(pair), encoded, room);
	if (len < 0)
		elog(ERROR, "could not encode credentials");
	encoded[len] = '\0';
	integ_call_keep_secret(call, encoded, len);
	return integ_call_secret_text(call, "Basic ", encoded, "");
}

static char *
secret_string(IntegCall *call, const JsonbValue *value)
{
	char *copy = pnstrdup(value->val.string.val, value->val.string.len);

	integ_call_keep_secret(call, copy, value->val.string.len);
	return copy;
}

static char *
part_value(IntegCall *call, const IntegAuthPart *part, IntegTemplateEncoding encoding)
{
	char *value = part->value == NULL ? basic_value(call) : render_secret(call, part->value, encoding);

	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("the authentication of \"%s\" comes out empty", call->instance->instance_id),
						errdetail("A placeholder of the definition's auth.value has no value."),
						errhint("Complete the instance's config, or the definition.")));
	return value;
}

static void
add_to_query(IntegCall *call, const char *name, const char *value)
{
	char *encoded_name = integ_url_encode(name, strlen(name));
	char *encoded = integ_url_encode(value, strlen(value));
	char *pair = NULL;

	if (encoded_name != NULL && encoded != NULL)
		pair = integ_call_secret_text(call, encoded_name, "=", encoded);
	if (encoded != NULL)
		explicit_bzero(encoded, strlen(encoded));
	free(encoded);
	free(encoded_name);
	if (pair == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	integ_call_add_query(call, pair);
}

/* Behind the cookies that are there: the header may be sent but once (RFC 6265, section 5.4). */
static void
add_cookie(IntegCall *call, const char *name, const char *value)
{
	char *cookie = integ_call_secret_text(call, name, "=", value);

	for (int i = 0; i < call->nheaders; i++)
		if (pg_strcasecmp(call->headers[i].name, "Cookie") == 0)
			cookie = integ_call_secret_text(call, call->headers[i].value, "; ", cookie);
	integ_call_add_header(call, "Cookie", cookie);
}

/* Before the path: the whole is more than a secret, and only wiped. */
static void
add_to_path(IntegCall *call, const char *value)
{
	call->path = psprintf("%s%s", value, call->path);
	integ_call_wipe_later(call, call->path, strlen(call->path));
}

static IntegTemplateEncoding
encoding_at(IntegAuthPlace place)
{
	return place == INTEG_AUTH_PATH ? INTEG_TEMPLATE_PERCENT : INTEG_TEMPLATE_RAW;
}

static void
add_value(IntegCall *call, IntegAuthPlace place, const char *name, char *value)
{
	switch (place)
	{
		case INTEG_AUTH_HEADER:
			integ_call_add_header(call, name, value);
			break;
		case INTEG_AUTH_QUERY:
			add_to_query(call, name, value);
			break;
		case INTEG_AUTH_COOKIE:
			add_cookie(call, name, value);
			break;
		case INTEG_AUTH_BODY:
			integ_call_add_to_body(call, name, value);
			break;
		case INTEG_AUTH_PATH:
			add_to_path(call, value);
			break;
	}
}

static void
add_part(IntegCall *call, const IntegAuthPart *part)
{
	add_value(call, part->place, part->name, part_value(call, part, encoding_at(part->place)));
}

static void
refuse_answer(const IntegCall *call)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
					errmsg("%s does not give what authenticates \"%s\"", call->auth->function,
						   call->instance->instance_id),
					errdetail("Its answer must be a string, or an object with \"headers\" or \"query\": objects of strings."),
					errhint("Correct the function.")));
}

/* Everything that the function gave, as a secret: each string of an object by its name. */
static void
add_answers(IntegCall *call, const char *key, IntegAuthPlace place)
{
	const JsonbContainer *object = integ_json_get_object(&call->auth_answer->root, key);
	IntegJsonWalk walk;
	JsonbValue name, value;

	if (object == NULL)
		return;
	integ_json_walk_begin(&walk, object);
	while (integ_json_walk_pair(&walk, &name, &value))
	{
		if (value.type != jbvString)
			refuse_answer(call);
		add_value(call, place, pnstrdup(name.val.string.val, name.val.string.len), secret_string(call, &value));
	}
}

/* What the definition's function gave, where its only part goes or where the answer says. */
static void
add_answer(IntegCall *call)
{
	const Jsonb *answer = call->auth_answer;
	const IntegAuthPart *part = &call->auth->parts[0];
	JsonbValue value;

	if (answer == NULL)
		elog(ERROR, "%s was not asked", call->auth->function);
	integ_json_root(answer, &value);
	if (value.type == jbvString)
		add_value(call, part->place, part->name, secret_string(call, &value));
	else if (!integ_json_is_object(&value) || (integ_json_get_object(&answer->root, "headers") == NULL &&
											   integ_json_get_object(&answer->root, "query") == NULL))
		refuse_answer(call);
	else
	{
		add_answers(call, "headers", INTEG_AUTH_HEADER);
		add_answers(call, "query", INTEG_AUTH_QUERY);
	}
}

void
integ_call_authenticate(IntegCall *call)
{
	const IntegAuth *auth = call->auth;

	if (auth->function != NULL)
	{
		add_answer(call);
		return;
	}
	/* Parts of a path are put before it: the last one first, so that they stand in the definition's order. */
	for (int i = auth->nparts - 1; i >= 0; i--)
		if (auth->parts[i].place == INTEG_AUTH_PATH)
			add_part(call, &auth->parts[i]);
	for (int i = 0; i < auth->nparts; i++)
		if (auth->parts[i].place != INTEG_AUTH_PATH)
			add_part(call, &auth->parts[i]);
}

/*
 * Step: the credentials, the last thing that is added to a request, and the
 * URL, which they may be a part of.
 *
 * The vault gives a credential only for the origin it belongs to, and the
 * composed URL is checked to have that origin: together they keep a secret
 * from travelling anywhere else, whatever a template or an input says.
 */
#include "common/base64.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "execute/call.h"
#include "http/url.h"
#include "utils/memutils.h"

static void
refuse_missing(const IntegCall *call, const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
					errmsg("instance \"%s\" has no credential \"%s\"", call->instance->instance_id, name),
					errdetail("Method \"%s\" of \"%s\" needs it.", call->method->id, call->definition->id),
					errhint("Enter it with integ_credential_set('%s', '%s', …).", call->instance->instance_id,
							name)));
}

const char *
integ_call_secret(void *arg, const char *name)
{
	IntegCall *call = arg;
	const IntegSecret *secret =
		integ_vault_open(&call->instance->credentials, name, call->instance->origin, call->previous_credentials);
	char *copy;

	/* During a rotation only what has changed has a value before. */
	if (secret == NULL && call->previous_credentials)
		secret = integ_vault_open(&call->instance->credentials, name, call->instance->origin, false);
	if (secret == NULL)
		return NULL;
	copy = MemoryContextAlloc(call->exchange_context, secret->len + 1);
	memcpy(copy, secret->data, secret->len);
	copy[secret->len] = '\0';
	integ_call_keep_secret(call, copy, secret->len);
	return copy;
}

/* A string that contains secrets: built in memory of fixed size, so that no copy is left behind. */
static char *
secret_text(IntegCall *call, const char *first, const char *second, const char *third)
{
	size_t len = strlen(first) + strlen(second) + strlen(third);
	char *text = MemoryContextAlloc(call->exchange_context, len + 1);

	snprintf(text, len + 1, "%s%s%s", first, second, third);
	integ_call_keep_secret(call, text, len);
	return text;
}

/* RFC 7617: base64 of "user:password"; the user must not contain a colon. */
static char *
basic_value(IntegCall *call)
{
	char *user = integ_template_text(call->auth->username, &call->scope, INTEG_TEMPLATE_RAW);
	char *password = integ_template_text(call->auth->password, &call->scope, INTEG_TEMPLATE_RAW);
	char *pair, *encoded;
	int room, len;

	if (user == NULL && password == NULL)
		refuse_missing(call, "username");
	if (user != NULL && strchr(user, ':') != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the user name of instance \"%s\" contains a colon", call->instance->instance_id),
						errdetail("HTTP Basic authentication cannot carry it.")));
	if (password != NULL)
		integ_call_keep_secret(call, password, strlen(password));
	pair = secret_text(call, user != NULL ? user : "", ":", password != NULL ? password : "");
	room = pg_b64_enc_len(strlen(pair));
	encoded = palloc(room + 1);
	len = pg_b64_encode(pair, strlen(pair), encoded, room);
	if (len < 0)
		elog(ERROR, "could not encode credentials");
	encoded[len] = '\0';
	integ_call_keep_secret(call, encoded, len);
	return secret_text(call, "Basic ", encoded, "");
}

/* As integ_call_secret, but what is missing is an error that says how to enter it. */
static const char *
required_secret(void *arg, const char *name)
{
	const char *value = integ_call_secret(arg, name);

	if (value == NULL)
		refuse_missing(arg, name);
	return value;
}

static char *
auth_value(IntegCall *call)
{
	const IntegAuth *auth = call->auth;
	IntegTemplateScope scope = call->scope;
	char *value;

	if (auth->username != NULL)
		return basic_value(call);
	if (auth->value == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("definition \"%s\" authenticates by \"%s\", which this version does not do by itself",
							   call->definition->id, auth->auth_type),
						errhint("Give the definition an \"auth\" that says where the credentials go.")));
	scope.secret = required_secret;
	value = integ_template_text(auth->value, &scope, INTEG_TEMPLATE_RAW);
	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("the authentication of \"%s\" comes out empty", call->instance->instance_id),
						errdetail("A placeholder of the definition's auth.value has no value."),
						errhint("Complete the instance's config, or the definition.")));
	integ_call_keep_secret(call, value, strlen(value));
	return value;
}

static void
add_query_value(IntegCall *call, const char *name, const char *value)
{
	char *encoded = integ_url_encode(value, strlen(value));
	char *pair;

	if (encoded == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	pair = secret_text(call, name, "=", encoded);
	explicit_bzero(encoded, strlen(encoded));
	free(encoded);
	integ_call_add_query(call, pair);
}

static void
add_value(IntegCall *call, const char *in, const char *name, char *value)
{
	if (strcmp(in, "header") == 0)
		integ_call_add_header(call, name, value);
	else if (strcmp(in, "query") == 0)
		add_query_value(call, name, value);
	else if (strcmp(in, "cookie") == 0)
		integ_call_add_header(call, "Cookie", secret_text(call, name, "=", value));
	else
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("definition \"%s\" puts its credentials into the %s, which this version does not do",
							   call->definition->id, in),
						errhint("Name them in the request's template: {credentials.…}.")));
}

static char *
secret_string(IntegCall *call, const JsonbValue *value)
{
	char *copy = pnstrdup(value->val.string.val, value->val.string.len);

	integ_call_keep_secret(call, copy, value->val.string.len);
	return copy;
}

static void
refuse_answer(const IntegCall *call)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
					errmsg("%s does not give what authenticates \"%s\"", call->auth->function, call->instance->instance_id),
					errdetail("Its answer must be a string, or an object with \"headers\" or \"query\": objects of strings."),
					errhint("Correct the function.")));
}

/* Everything that the function gave, as a secret: each string of an object by its name. */
static void
add_answers(IntegCall *call, const char *key, const char *in)
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
		add_value(call, in, pnstrdup(name.val.string.val, name.val.string.len),
				  secret_string(call, &value));
	}
}

static void
add_answer(IntegCall *call)
{
	const Jsonb *answer = call->auth_answer;
	JsonbValue value;

	if (answer == NULL)
		elog(ERROR, "%s was not asked", call->auth->function);
	integ_json_root(answer, &value);
	if (value.type == jbvString)
		add_value(call, call->auth->in, call->auth->name, secret_string(call, &value));
	else if (integ_json_get_object(&answer->root, "headers") == NULL && integ_json_get_object(&answer->root, "query") == NULL)
		refuse_answer(call);
	add_answers(call, "headers", "header");
	add_answers(call, "query", "query");
}

static void
add_auth(IntegCall *call)
{
	const IntegAuth *auth = call->auth;

	if (auth->function != NULL)
	{
		add_answer(call);
		return;
	}
	if (auth->in == NULL)
		return; /* none, or the manifest's own templates name the credentials */
	add_value(call, auth->in, auth->name, auth_value(call));
}

/* base URL, path and query as one URL of the instance's origin. */
static void
compose_url(IntegCall *call)
{
	char problem[256];
	const char *base = call->url != NULL ? call->url : call->instance->base_url;
	char *path = call->url != NULL ? NULL
								   : integ_template_text(call->exchange->path, &call->scope, INTEG_TEMPLATE_PERCENT);
	char *url = integ_url_compose(base, call->instance->origin, path != NULL ? path : "", call->query, problem,
								  sizeof(problem));

	if (url == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("%s does not make a valid URL", integ_call_name(call)), errdetail("%s", problem),
						errhint("Check the input and the path \"%s\" of the definition.",
								call->exchange->path_source)));
	call->request.url = pstrdup(url);
	explicit_bzero(url, strlen(url));
	free(url);
	integ_call_wipe_later(call, (char *) call->request.url, strlen(call->request.url));
	if (path != NULL)
		integ_call_wipe_later(call, path, strlen(path));
}

/* A line break in a value could add headers of its own: refused here, before anything is recorded. */
static void
check_request(const IntegCall *call)
{
	char problem[256];

	if (!integ_http_request_check(&call->request, problem, sizeof(problem)))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the request of %s cannot be sent", integ_call_name(call)),
						errdetail("%s", problem),
						errhint("Correct the input, the config, the credential or the definition.")));
}

void
integ_call_inject(IntegCall *call)
{
	add_auth(call);
	compose_url(call);
	call->request.headers = call->headers;
	call->request.nheaders = call->nheaders;
	check_request(call);
}

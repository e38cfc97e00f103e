/*
 * What of a raw request is not the caller's to say.
 */
#include "gateway/gateway.h"

#include "core/errors.h"
#include "core/json.h"

/* Calls visit for every key of an object; the key is palloc'ed. */
typedef void (*VisitKey)(const char *key, const void *arg);

static void
each_key(const JsonbContainer *object, VisitKey visit, const void *arg)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue key;

	if (object == NULL)
		return;
	iterator = JsonbIteratorInit((JsonbContainer *) object);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
		if (token == WJB_KEY)
			visit(pnstrdup(key.val.string.val, key.val.string.len), arg);
}

pg_noreturn static void
refuse(const char *what, const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("integ_request may not set the %s \"%s\"", what, name),
					errdetail("The definition of the instance, or HTTP itself, decides it."),
					errhint("Leave it out: credentials are added by integ.")));
}

typedef struct Protected
{
	const IntegDefinition *definition;
	const IntegAuth *auth;
	const char *what; /* header or parameter */
	IntegAuthPlace place;
	const char *key; /* and where the manifest has them */
} Protected;

/* Whether the manifest puts a credential under that name in every request. */
static bool
carries_credential(const Protected *protected, const char *name)
{
	const JsonbContainer *named = integ_json_get_object(&protected->definition->manifest->root, protected->key);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	bool same = false;

	if (named == NULL)
		return false;
	iterator = JsonbIteratorInit((JsonbContainer *) named);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			same = pg_strcasecmp(pnstrdup(value.val.string.val, value.val.string.len), name) == 0;
		else if (token == WJB_VALUE && same)
		{
			char *text = integ_json_value_text(&value);

			return text != NULL && strstr(text, "{credentials.") != NULL;
		}
	}
	return false;
}

static void
check_name(const char *name, const void *arg)
{
	const Protected *protected = arg;
	const IntegAuth *auth = protected->auth;

	for (int i = 0; i < auth->nparts; i++)
		if (auth->parts[i].place == protected->place && pg_strcasecmp(auth->parts[i].name, name) == 0)
			refuse(protected->what, name);
	if (carries_credential(protected, name))
		refuse(protected->what, name);
}

static void
check_header(const char *name, const void *arg)
{
	static const char *const never[] = {"Authorization", "Proxy-Authorization", "Cookie", "Host", "Content-Length",
										"Transfer-Encoding", "Connection", "Proxy-Connection", "Keep-Alive", "TE",
										"Trailer", "Upgrade", "Expect", "Forwarded", "X-Forwarded-Host"};

	for (size_t i = 0; i < lengthof(never); i++)
		if (pg_strcasecmp(name, never[i]) == 0)
			refuse("header", name);
	check_name(name, arg);
}

void
integ_raw_protect(const IntegRawRequest *request, const IntegDefinition *definition, const IntegAuth *auth)
{
	const Protected headers = {definition, auth, "header", INTEG_AUTH_HEADER, "headers"};
	const Protected parameters = {definition, auth, "parameter", INTEG_AUTH_QUERY, "query"};

	each_key(request->headers == NULL ? NULL : &request->headers->root, check_header, &headers);
	each_key(request->query == NULL ? NULL : &request->query->root, check_name, &parameters);
}

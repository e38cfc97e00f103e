/*
 * Requests to the endpoints of an authorization server.
 */
#include "oauth/oauth.h"

#include "core/compat.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "execute/call.h"
#include "http/url.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "vault/secret.h"

/* An answer of a token endpoint is small; what is larger is no answer. */
#define MAX_ANSWER (1024 * 1024)

/* Grown once, so that no copy of a secret stays behind. */
#define FORM_ROOM 65536

#define HEADERS 4

static void
wipe(void *arg)
{
	StringInfo text = arg;

	explicit_bzero(text->data, text->maxlen);
}

StringInfo
integ_oauth_form(void)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));
	StringInfo form = palloc(sizeof(StringInfoData));

	initStringInfo(form);
	enlargeStringInfo(form, FORM_ROOM);
	callback->func = wipe;
	callback->arg = form;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return form;
}

static void
append_encoded(StringInfo text, const char *value)
{
	char *encoded = integ_url_encode(value, strlen(value));

	if (encoded == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	appendStringInfoString(text, encoded);
	explicit_bzero(encoded, strlen(encoded));
	free(encoded);
}

void
integ_oauth_form_add(StringInfo form, const char *name, const char *value)
{
	if (value == NULL)
		return;
	if (form->len > 0)
		appendStringInfoChar(form, '&');
	append_encoded(form, name);
	appendStringInfoChar(form, '=');
	append_encoded(form, value);
}

static const char *
require_client(const IntegOauthConfig *config, const char *name)
{
	const char *value = integ_oauth_credential(config, name, NULL);

	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("\"%s\" has no %s for its authorization server", config->instance->instance_id, name),
						errdetail("The application that is registered at the service is known by it."),
						errhint("Enter it for the definition with integ_credential_set('definition:%s', '%s', …), or for the instance.",
								config->definition->id, name)));
	return value;
}

/* RFC 6749, section 2.3.1: both are form-encoded before they are joined. */
static const char *
basic_header(const IntegOauthConfig *config)
{
	StringInfo pair = integ_oauth_form();
	int room;
	char *header;
	int len;

	append_encoded(pair, require_client(config, "client_id"));
	appendStringInfoChar(pair, ':');
	append_encoded(pair, require_client(config, "client_secret"));
	room = pg_b64_enc_len(pair->len);
	header = integ_secret_alloc(room + sizeof("Basic "));
	strcpy(header, "Basic ");
	len = integ_b64_encode(pair->data, pair->len, header + strlen("Basic "), room);
	if (len < 0)
		elog(ERROR, "could not encode client credentials");
	header[strlen("Basic ") + len] = '\0';
	return header;
}

/* Puts the client's own authentication into the form or the headers. */
static void
authenticate(const IntegOauthConfig *config, StringInfo form, IntegHttpHeader *headers, int *nheaders)
{
	if (strcmp(config->client_auth, "client_secret_basic") == 0)
	{
		headers[(*nheaders)++] = (IntegHttpHeader){"Authorization", basic_header(config)};
		return;
	}
	integ_oauth_form_add(form, "client_id", require_client(config, "client_id"));
	if (strcmp(config->client_auth, "client_secret_post") == 0)
		integ_oauth_form_add(form, "client_secret", require_client(config, "client_secret"));
	else if (strcmp(config->client_auth, "private_key_jwt") == 0)
	{
		/* RFC 7523, section 2.2 */
		integ_oauth_form_add(form, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
		integ_oauth_form_add(form, "client_assertion", integ_oauth_client_assertion(config));
	}
}

static void
make_request(const IntegOauthConfig *config, const char *method, const char *url, StringInfo form, bool client,
			 IntegHttpRequest *request)
{
	IntegHttpHeader *headers = palloc0(HEADERS * sizeof(IntegHttpHeader));
	char problem[256];
	int nheaders = 0;

	if (form != NULL)
		headers[nheaders++] = (IntegHttpHeader){"Content-Type", "application/x-www-form-urlencoded"};
	headers[nheaders++] = (IntegHttpHeader){"Accept", "application/json"};
	headers[nheaders++] = (IntegHttpHeader){"User-Agent", "integ/" INTEG_VERSION};
	if (client)
		authenticate(config, form, headers, &nheaders);
	memset(request, 0, sizeof(*request));
	request->method = method;
	request->url = url;
	request->headers = headers;
	request->nheaders = nheaders;
	request->body = form == NULL ? NULL : form->data;
	request->body_len = form == NULL ? 0 : form->len;
	request->timeout_ms = integ_request_timeout;
	request->connect_timeout_ms = integ_connect_timeout;
	request->max_response = MAX_ANSWER;
	request->allowed_addresses = integ_allowed_addresses;
	request->ca_file = integ_ca_file;
	request->proxy = integ_proxy;
	if (!integ_http_request_check(request, problem, sizeof(problem)))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the token request of \"%s\" cannot be sent", config->instance->instance_id),
						errdetail("%s", problem), errhint("Correct the credentials of the client.")));
}

void
integ_oauth_client_request(const IntegOauthConfig *config, const char *url, StringInfo form, IntegHttpRequest *request)
{
	make_request(config, "POST", url, form, true, request);
}

void
integ_oauth_plain_request(const IntegOauthConfig *config, const char *method, const char *url, StringInfo form,
						  IntegHttpRequest *request)
{
	make_request(config, method, url, form, false, request);
}

static void
add_parameters(StringInfo form, const JsonbContainer *parameters)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	char *name = NULL;

	if (parameters == NULL)
		return;
	iterator = JsonbIteratorInit((JsonbContainer *) parameters);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			integ_oauth_form_add(form, name, integ_json_value_text(&value));
	}
}

/* The signed token authenticates, and nothing else is sent. */
static void
exchange_request(const IntegOauthConfig *config, IntegHttpRequest *request)
{
	IntegActor *actor = palloc0(sizeof(IntegActor));
	IntegHttpHeader *headers;
	const char *token;
	char *value;

	actor->client = INTEG_GLOBAL_CLIENT;
	actor->role = GetUserId();
	actor->level = INTEG_LEVEL_SUPERADMIN;
	token = integ_instance_token(actor, config->instance, config->definition);
	value = integ_secret_alloc(strlen(token) + sizeof("Bearer "));
	strcpy(value, "Bearer ");
	strcat(value, token);
	make_request(config, "POST", config->token_url, NULL, false, request);
	headers = (IntegHttpHeader *) request->headers;
	headers[request->nheaders++] = (IntegHttpHeader){"Authorization", value};
}

void
integ_oauth_token_request(const IntegOauthConfig *config, const IntegOauthGrant *grant, IntegHttpRequest *request)
{
	static const struct
	{
		const char *type;
		const char *name;
	} names[] = {{"device_code", "urn:ietf:params:oauth:grant-type:device_code"},
				 {"jwt_bearer", "urn:ietf:params:oauth:grant-type:jwt-bearer"}};
	StringInfo form;
	const char *type = grant->type;

	if (strcmp(type, INTEG_GRANT_SIGNED) == 0)
	{
		exchange_request(config, request);
		return;
	}
	form = integ_oauth_form();
	for (size_t i = 0; i < lengthof(names); i++)
		if (strcmp(type, names[i].type) == 0)
			type = names[i].name;
	integ_oauth_form_add(form, "grant_type", type);
	integ_oauth_form_add(form, "code", grant->code);
	integ_oauth_form_add(form, "redirect_uri", grant->redirect_uri);
	integ_oauth_form_add(form, "code_verifier", grant->verifier);
	integ_oauth_form_add(form, "refresh_token", grant->refresh_token);
	integ_oauth_form_add(form, "device_code", grant->device_code);
	integ_oauth_form_add(form, "scope", grant->scope);
	if (strcmp(grant->type, "jwt_bearer") == 0)
		integ_oauth_form_add(form, "assertion", integ_oauth_bearer_assertion(config));
	add_parameters(form, integ_json_get_object(config->manifest, "tokenParameters"));
	integ_oauth_client_request(config, config->token_url, form, request);
}

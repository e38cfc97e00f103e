/*
 * Step: the credentials, the last thing that is added to a request; and the URL and the body, which they may be a
 * part of.
 *
 * The vault gives a credential only for the origin it belongs to, and the
 * composed URL is checked to have that origin: together they keep a secret
 * from travelling anywhere else, whatever a template or an input says.
 */
#include "core/errors.h"
#include "execute/call.h"
#include "http/url.h"
#include "utils/memutils.h"

const char *
integ_call_secret(void *arg, const char *name)
{
	IntegCall *call = arg;
	const char *origin = call->origin;
	const IntegSecret *secret;
	char *copy;

	/* Where nothing is exchanged, the token that is signed is what authenticates. */
	if (call->auth->jwt != NULL && call->auth->jwt->exchange == NULL && strcmp(name, "access_token") == 0)
		return integ_call_token(call);
	/* A key that signs for an exchange is bound to no origin, since it goes nowhere. */
	if (call->signing && call->auth->jwt->exchange != NULL && strcmp(name, "key") == 0)
		origin = NULL;
	secret = call->first_credentials == NULL ? NULL : integ_vault_open(call->first_credentials, name, origin, false);
	if (secret == NULL)
		secret = integ_vault_open(&call->instance->credentials, name, origin, call->previous_credentials);
	/* During a rotation only what has changed has a value before. */
	if (secret == NULL && call->previous_credentials)
		secret = integ_vault_open(&call->instance->credentials, name, origin, false);
	if (secret == NULL)
		return NULL;
	copy = MemoryContextAlloc(call->exchange_context, secret->len + 1);
	memcpy(copy, secret->data, secret->len);
	copy[secret->len] = '\0';
	integ_call_keep_secret(call, copy, secret->len);
	return copy;
}

/* base URL, path and query as one URL of the exchange's origin. */
static void
compose_url(IntegCall *call)
{
	char problem[256];
	bool given = call->url != NULL;
	char *url = integ_url_compose(given ? call->url : call->base_url, call->origin, given ? "" : call->path,
								  call->query, problem, sizeof(problem));

	if (url == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("%s does not make a valid URL", integ_call_name(call)), errdetail("%s", problem),
						errhint("Check the input and the path \"%s\" of the definition.",
								call->exchange->path_source)));
	call->request.url = pstrdup(url);
	explicit_bzero(url, strlen(url));
	free(url);
	integ_call_wipe_later(call, (char *) call->request.url, strlen(call->request.url));
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
	integ_call_condition(call);
	if (!call->exchange->is_elsewhere)
		integ_call_authenticate(call);
	compose_url(call);
	integ_call_write_body(call);
	call->request.headers = call->headers;
	call->request.nheaders = call->nheaders;
	check_request(call);
}

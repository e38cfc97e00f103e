/*
 * What stands behind an address.
 */
#include "ingress/ingress.h"

#include "core/guc.h"
#include "ingress/forwarded.h"
#include "utils/timestamp.h"
#include "webhooks/webhook.h"

#define EPOCH_DIFFERENCE_MS ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (USECS_PER_DAY / 1000))

typedef struct Route
{
	const char *prefix; /* of the path; one that ends in a slash has more behind it */
	const char *methods[4];
	void (*handle)(const IntegServerRequest *request, const char *rest, IntegWebhookBatch *batch,
				   IntegIngressReply *reply);
	const char *allow; /* the methods, as a header says them */
} Route;

static void webhook(const IntegServerRequest *request, const char *rest, IntegWebhookBatch *batch,
					IntegIngressReply *reply);
static void health(const IntegServerRequest *request, const char *rest, IntegWebhookBatch *batch,
				   IntegIngressReply *reply);
static void callback(const IntegServerRequest *request, const char *rest, IntegWebhookBatch *batch,
					 IntegIngressReply *reply);

/* Capabilities add theirs here. */
static const Route routes[] = {
	{"/webhooks/", {"POST", "GET", "HEAD", "PUT"}, webhook, "POST, GET, HEAD, PUT"},
	{"/api/v1/webhooks/", {"POST", "GET", "HEAD", "PUT"}, webhook, "POST, GET, HEAD, PUT"},
	{"/oauth/callback", {"GET"}, callback, "GET"},
	{"/healthz", {"GET", "HEAD"}, health, "GET, HEAD"},
};

static void
say(IntegIngressReply *reply, int status, const char *text)
{
	*reply = (IntegIngressReply){
		.status = status, .content_type = "text/plain; charset=utf-8", .body = text, .body_len = strlen(text)};
}

static void
health(const IntegServerRequest *request, const char *rest, IntegWebhookBatch *batch, IntegIngressReply *reply)
{
	say(reply, 200, "ok\n");
}

/* As the service knows the address: under integ.public_url, else by the name it used. */
static char *
public_url(const IntegServerRequest *request)
{
	size_t len = strlen(integ_public_url);

	if (len > 0)
		return psprintf("%.*s%s", (int) (integ_public_url[len - 1] == '/' ? len - 1 : len), integ_public_url, request->uri);
	for (int i = 0; i < request->nheaders; i++)
		if (pg_strcasecmp(request->headers[i].name, "host") == 0)
			return psprintf("%s://%s%s", *integ_listen_cert_file == '\0' ? "http" : "https", request->headers[i].value,
							request->uri);
	return pstrdup(request->uri);
}

/* rest is DEFINITION, or DEFINITION/NAME. */
static void
webhook(const IntegServerRequest *request, const char *rest, IntegWebhookBatch *batch, IntegIngressReply *reply)
{
	const char *query = strchr(request->uri, '?');
	IntegWebhookReply *answer = MemoryContextAllocZero(batch->context, sizeof(IntegWebhookReply));
	IntegInbound *inbound = palloc(sizeof(IntegInbound));
	char *address = palloc(INTEG_ADDRESS_TEXT_SIZE);

	integ_forwarded_address(request, integ_trusted_proxies, address);
	*inbound = (IntegInbound){
		.address = *address == '\0' ? NULL : address,
		.method = request->method,
		.url = public_url(request),
		.query = query == NULL ? NULL : query + 1,
		.headers = request->headers,
		.nheaders = request->nheaders,
		.body = request->body,
		.body_len = request->body_len,
		.now_ms = GetCurrentTimestamp() / 1000 + EPOCH_DIFFERENCE_MS,
	};
	integ_webhook_handle(rest, NULL, inbound, batch, answer);
	*reply = (IntegIngressReply){.status = answer->status,
								 .content_type = answer->content_type,
								 .body = answer->body,
								 .body_len = answer->body_len,
								 .retry_later = answer->status == 503,
								 .webhook = answer};
}

static void
callback(const IntegServerRequest *request, const char *rest, IntegWebhookBatch *batch, IntegIngressReply *reply)
{
	const char *query = strchr(request->uri, '?');

	integ_ingress_oauth(query == NULL ? "" : query + 1, batch->context, reply);
}

/* What is behind the route's prefix; NULL where the path is another one's. In CurrentMemoryContext. */
static char *
rest_of(const Route *route, const char *path, size_t len)
{
	size_t prefix = strlen(route->prefix);
	char *rest, *slash;

	if (len < prefix || memcmp(path, route->prefix, prefix) != 0)
		return NULL;
	if (route->prefix[prefix - 1] != '/')
		return len == prefix ? pstrdup("") : NULL;
	rest = pnstrdup(path + prefix, len - prefix);
	/* Ids and handles need no escapes, and have no parts. */
	slash = strchr(rest, '/');
	if (*rest == '\0' || strchr(rest, '%') != NULL || (slash != NULL && strchr(slash + 1, '/') != NULL))
		return NULL;
	return rest;
}

static bool
allows(const Route *route, const char *method)
{
	for (size_t i = 0; i < lengthof(route->methods) && route->methods[i] != NULL; i++)
		if (strcmp(route->methods[i], method) == 0)
			return true;
	return false;
}

static void
refuse_method(const Route *route, MemoryContext context, IntegIngressReply *reply)
{
	IntegHttpHeader *allow = MemoryContextAlloc(context, sizeof(IntegHttpHeader));

	*allow = (IntegHttpHeader){"Allow", route->allow};
	say(reply, 405, "method not allowed\n");
	reply->headers = allow;
	reply->nheaders = 1;
}

void
integ_ingress_route(const IntegServerRequest *request, IntegWebhookBatch *batch, IntegIngressReply *reply)
{
	size_t len = strcspn(request->uri, "?");

	for (size_t i = 0; i < lengthof(routes); i++)
	{
		char *rest = rest_of(&routes[i], request->uri, len);

		if (rest == NULL)
			continue;
		if (allows(&routes[i], request->method))
		{
			routes[i].handle(request, rest, batch, reply);
			return;
		}
		refuse_method(&routes[i], batch->context, reply);
		return;
	}
	say(reply, 404, "not found\n");
}

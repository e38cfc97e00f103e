/*
 * GET /oauth/callback: where services send people back to.
 *
 * The state is looked up here; only one that is known and open costs a worker, which exchanges the code. Nothing of the
 * request is in a page.
 */
#include "ingress/ingress.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/query.h"
#include "core/uuid.h"
#include "http/form.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define FUNCTION "integ.oauth_redirect"

/* A redirect has a handful of parameters. */
#define MAX_PARAMETERS 50

#define PAGE(title, text)                                                                                         \
	"<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>" title "</title><h1>" title "</h1><p>" text \
	"</p></html>\n"

static const char connected[] = PAGE("Connected", "You may close this window.");
static const char refused[] = PAGE("Not connected", "Access was not granted. You may close this window.");
static const char failed[] = PAGE("Not connected",
								  "The service did not complete the authorization. Please start again.");
static const char unknown[] = PAGE("Not connected", "This authorization is not open any more. Please start again.");
static const char malformed[] = PAGE("Not connected", "This address is not complete. Please start again.");
static const char busy[] = PAGE("Please wait", "Too many authorizations are under way. Please reload this page.");

/* The address of a page like this has a code in it: it goes nowhere, and nothing is kept or framed. */
static const IntegHttpHeader page_headers[] = {
	{"Cache-Control", "no-store"},
	{"Referrer-Policy", "no-referrer"},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
};

static void
show(IntegIngressReply *reply, int status, const char *page)
{
	*reply = (IntegIngressReply){.status = status,
								 .content_type = "text/html; charset=utf-8",
								 .body = page,
								 .body_len = strlen(page),
								 .headers = page_headers,
								 .nheaders = lengthof(page_headers)};
}

/* To where the application wants the person, with what became of it; without such a place a page says it. */
static void
send_on(const char *return_url, const char *status, int code, const char *page, IntegIngressReply *reply)
{
	IntegHttpHeader *headers;

	if (return_url == NULL)
	{
		show(reply, code, page);
		return;
	}
	headers = palloc(sizeof(page_headers) + sizeof(IntegHttpHeader));
	memcpy(headers, page_headers, sizeof(page_headers));
	headers[lengthof(page_headers)] = (IntegHttpHeader){"Location", psprintf("%s%s", return_url, status)};
	*reply = (IntegIngressReply){.status = 303, .headers = headers, .nheaders = lengthof(page_headers) + 1};
}

/* What the worker said. */
static void
read_answer(const IntegHandlerAnswer *answer, const char *return_url, IntegIngressReply *reply)
{
	if (answer->sqlerrcode == ERRCODE_INTEG_NOT_FOUND || answer->sqlerrcode == ERRCODE_INTEG_CONFLICT)
		show(reply, 400, unknown);
	else if (answer->sqlerrcode != 0)
		send_on(return_url, "failed", 502, failed, reply);
	else if (answer->result != NULL && strcmp(integ_json_print(answer->result), "true") == 0)
		send_on(return_url, "completed", 200, connected, reply);
	else
		send_on(return_url, "denied", 403, refused, reply);
}

/* A part of the query, decoded; NULL where it is no text. */
static char *
decode(const char *text, size_t len)
{
	char *decoded = palloc(len + 1);
	size_t decoded_len = integ_form_decode(text, len, decoded);

	decoded[decoded_len] = '\0';
	if (strlen(decoded) != decoded_len || !pg_verify_mbstr(PG_UTF8, decoded, (int) decoded_len, true))
		return NULL;
	return decoded;
}

/* The parameters as an object; NULL where one is no text, or comes twice (RFC 6749, section 3.1). */
static const Jsonb *
read_parameters(const char *query)
{
	const char *end = query + strlen(query);
	const char *names[MAX_PARAMETERS];
	IntegJsonBuilder builder;
	IntegFormField field;
	int count = 0;

	integ_json_begin_object(&builder);
	while (integ_form_next(&query, end, &field))
	{
		char *name = decode(field.name, field.name_len), *value = decode(field.value, field.value_len);

		if (name == NULL || value == NULL || count == MAX_PARAMETERS)
			return NULL;
		for (int i = 0; i < count; i++)
			if (strcmp(names[i], name) == 0)
				return NULL;
		names[count++] = name;
		integ_json_add_string(&builder, name, value);
	}
	return integ_json_end(&builder);
}

/* Whether the state is one of an open authorization; *return_url: where its person goes, up to the status, or NULL. */
static bool
find_flow(const char *state, MemoryContext context, char **return_url)
{
	static IntegQuery query = {
		"SELECT id, return_url FROM integ.oauth_flows WHERE state_hash = pg_catalog.sha256(pg_catalog.convert_to($1, 'UTF8'))"
		" AND status = 'pending' AND expires_at > pg_catalog.clock_timestamp()",
		1,
		{TEXTOID}};
	Datum value = CStringGetTextDatum(state);
	MemoryContext old;
	bool isnull;
	char *url, *fragment;

	if (integ_query_latest(&query, &value, NULL) == 0)
		return false;
	old = MemoryContextSwitchTo(context);
	url = integ_result_text(0, 2, context);
	if (url != NULL && (fragment = strchr(url, '#')) != NULL)
		*fragment = '\0';
	if (url != NULL)
		*return_url = psprintf("%s%cflow=%s&status=", url, strchr(url, '?') == NULL ? '?' : '&',
							   integ_uuid_text(DatumGetUUIDP(integ_result_datum(0, 1, &isnull))));
	MemoryContextSwitchTo(old);
	return true;
}

void
integ_ingress_oauth(const char *query, MemoryContext context, IntegIngressReply *reply)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	const Jsonb *parameters = read_parameters(query);
	char *state = parameters == NULL ? NULL : integ_json_get_string(&parameters->root, "state");
	IntegIngressQuestion *question;
	char *return_url = NULL;

	if (state == NULL || (integ_json_get_string(&parameters->root, "code") == NULL &&
						  integ_json_get_string(&parameters->root, "error") == NULL))
		show(reply, 400, malformed);
	else if (!find_flow(state, context, &return_url))
		show(reply, 400, unknown);
	else if (!integ_handler_has_room())
	{
		show(reply, 503, busy);
		reply->retry_later = true;
	}
	else
	{
		question = palloc(sizeof(IntegIngressQuestion));
		*question = (IntegIngressQuestion){.subject = {GetSessionUserId(), NULL, NULL},
										   .function = FUNCTION,
										   .argument = parameters,
										   .timeout_ms = 2 * (int64) integ_max_sync_wait,
										   .arg = return_url,
										   .read = read_answer};
		send_on(return_url, "failed", 502, failed, reply);
		reply->question = question;
	}
	MemoryContextSwitchTo(old);
}

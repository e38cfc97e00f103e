/*
 * libFuzzer inside a server: requests to webhooks, from the body to the events in it.
 *
 * An input is which webhook it goes to (a byte), and then with NULs between them the method, the content type, a
 * header, a query and the body. Whatever they are: the body becomes a document that is what its text says, or none;
 * handshakes are answered; the request is judged; its events are read, the same each time. What a handler would
 * return for an answer is the document itself, which is refused, or read.
 */
#include "fuzz.h"

#include "core/json.h"
#include "core/owner.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "webhooks/webhook.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fuzz_webhook);

enum
{
	PART_METHOD,
	PART_TYPE,
	PART_HEADER,
	PART_QUERY,
	PART_BODY,
	PARTS
};

/* Members of a definition beside those that all have. */
static const char *const manifests[] = {
	/* Several events, each with what it needs, in JSON. */
	"\"triggers\": [{\"id\": \"paid\", \"name\": \"Paid\", \"type\": \"updated\", \"event\": [\"paid\", \"due\"],"
	" \"when\": \".amount\", \"payloadSchema\": {\"type\": \"object\", \"required\": [\"amount\"]}}],"
	" \"webhook\": {\"signature\": {\"scheme\": \"equal\", \"path\": \".token\"}, \"events\": \".items[*]\","
	" \"event\": \".type\", \"deliveryId\": \".id\", \"account\": \".account\", \"timestamp\": \".at\","
	" \"data\": \".data\"}",
	/* A challenge in the body, in the query, and a fixed answer; a signature over what the body says. */
	"\"webhook\": {\"signature\": {\"scheme\": \"hmac-sha256\", \"header\": \"X-Proof\", \"prefix\": \"v1=\","
	" \"separator\": \",\", \"timestamp\": {\"path\": \".at\", \"toleranceSeconds\": 300},"
	" \"template\": \"{timestamp}.{sorted_params}.{body}\"}, \"event\": {\"header\": \"X-Proof\"},"
	" \"handshakes\": [{\"when\": {\"path\": \".challenge\"}, \"signed\": false,"
	" \"respond\": {\"echo\": \".challenge\"}}, {\"when\": {\"method\": \"GET\", \"query\": \"c\"},"
	" \"respond\": {\"echo\": {\"query\": \"c\"}, \"body\": {\"said\": \"{challenge}\"}}},"
	" {\"when\": {\"header\": \"X-Proof\", \"equals\": \"hello\"}, \"respond\": {\"status\": 204}}]}",
	/* A signed token. */
	"\"webhook\": {\"signature\": {\"scheme\": \"jwt\", \"header\": \"X-Proof\", \"prefix\": \"\","
	" \"claims\": {\"iss\": \"x\", \"aud\": \"y\"}}, \"events\": \".\", \"event\": {\"query\": \"e\"},"
	" \"deliveryId\": {\"header\": \"X-Proof\"}}",
	/* Standard Webhooks, and nothing said. */
	"\"webhook\": {\"signature\": {\"scheme\": \"standard-webhooks\"}, \"event\": \".type\"}",
	"\"description\": \"the default\"",
};

/* The parts of an input; false where they are not all there. The body may have NULs. */
static bool
split(const char *data, size_t size, const char **parts, size_t *body_len)
{
	const char *at = data, *end = data + size;

	for (int i = 0; i < PART_BODY; i++)
	{
		const char *stop = memchr(at, '\0', end - at);

		if (stop == NULL)
			return false;
		parts[i] = pnstrdup(at, stop - at);
		at = stop + 1;
	}
	*body_len = end - at;
	parts[PART_BODY] = palloc(*body_len + 1);
	memcpy((char *) parts[PART_BODY], at, *body_len);
	((char *) parts[PART_BODY])[*body_len] = '\0';
	return true;
}

static void
check_document(const Jsonb *document)
{
	const Jsonb *again = integ_json_parse(integ_json_print(document));
	IntegWebhookReply reply = {.status = 200};

	need(compareJsonbContainers((JsonbContainer *) &document->root, (JsonbContainer *) &again->root) == 0,
		 "a document is what its text says");
	integ_webhook_reply_check(document);
	integ_webhook_reply_read(document, &reply);
	need(reply.status >= 200 && reply.status <= 599, "a reply has a status");
	need(reply.nheaders <= INTEG_WEBHOOK_MAX_REPLY_HEADERS, "its headers are bounded");
}

/* What is no reply is refused, and the rest goes on. */
static void
try_reply(const Jsonb *document)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		check_document(document);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_INTEG_INVALID)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static void
check_events(const IntegWebhook *webhook, const IntegInbound *request, const Jsonb *document)
{
	IntegWebhookEvent *first, *second;
	int count = integ_webhook_read(webhook, request, document, &first);

	need(count >= -1 && count <= INTEG_WEBHOOK_MAX_EVENTS, "events are bounded");
	need(integ_webhook_read(webhook, request, document, &second) == count, "there are as many the second time");
	for (int i = 0; i < count; i++)
	{
		need(same_text(first[i].name, second[i].name) && same_text(first[i].delivery_id, second[i].delivery_id) &&
				 same_text(first[i].account, second[i].account) && same_text(first[i].problem, second[i].problem),
			 "an event is read the same twice");
		need(first[i].client_id != NULL, "an event is somebody's");
		if (first[i].delivery_id != NULL)
			need(strlen(integ_webhook_key(first[i].delivery_id)) <= 200, "a delivery's key is bounded");
	}
}

static void
receive(const char *definition, const char **parts, size_t body_len)
{
	static const char *const keys[] = {"secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
	IntegSignatureKey known[] = {{keys[0], strlen(keys[0])}, {keys[1], strlen(keys[1])}};
	IntegHttpHeader headers[] = {{"content-type", parts[PART_TYPE]},
								 {"x-proof", parts[PART_HEADER]},
								 {"authorization", parts[PART_HEADER]},
								 {"webhook-id", "m"},
								 {"webhook-timestamp", "1700000000"},
								 {"webhook-signature", parts[PART_HEADER]}};
	IntegInbound request = {.method = parts[PART_METHOD],
							.url = "https://example.com/webhooks/x",
							.query = parts[PART_QUERY],
							.headers = headers,
							.nheaders = lengthof(headers),
							.body = (char *) parts[PART_BODY],
							.body_len = body_len,
							.now_ms = INT64CONST(1700000000000)};
	const IntegWebhook *webhook = integ_webhook_find(definition, "main", NULL);
	const Jsonb *document = integ_webhook_document(&request);
	IntegWebhookReply reply;
	char problem[256];

	need(webhook != NULL, "the webhook is there");
	if (document != NULL)
		try_reply(document);
	for (int verified = 0; verified <= 1; verified++)
		if (integ_webhook_handshake(webhook, &request, document, verified == 1, &reply))
			need(reply.body == NULL || strlen(reply.body) == reply.body_len, "an answer is a text");
	(void) integ_webhook_judge(webhook->scheme != NULL ? webhook->scheme : integ_webhook_scheme(NULL, &request, ""),
							   &request, known, lengthof(known), problem, sizeof(problem));
	check_events(webhook, &request, document);
}

static void
webhook_input(const char *data, size_t size)
{
	const char *parts[PARTS];
	size_t body_len;
	IntegOwnerScope scope;

	if (size == 0 || !split(data + 1, size - 1, parts, &body_len))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	receive(psprintf("fuzz%d", (uint8_t) *data % (int) lengthof(manifests)), parts, body_len);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
}

static void
define(int number)
{
	char *manifest = psprintf(
		"{\"integrationId\": \"fuzz%d\", \"name\": \"F\", \"version\": \"1.0.0\", \"authType\": \"none\","
		" \"baseUrl\": \"https://example.com\", \"methods\": [{\"id\": \"get\", \"name\": \"Get\","
		" \"access\": \"read\", \"inputSchema\": {}, \"outputSchema\": {},"
		" \"request\": {\"method\": \"GET\", \"path\": \"/\"}}], %s}",
		number, manifests[number]);
	char *statement = psprintf("SELECT public.integ_define(%s::jsonb)", quote_literal_cstr(manifest));

	need(SPI_execute(statement, false, 0) == SPI_OK_SELECT, "the definition is made");
	statement = psprintf("INSERT INTO integ.webhooks (webhook_id, definition, client_id) VALUES ('main', 'fuzz%d', '*')",
						 number);
	need(SPI_execute(statement, false, 0) == SPI_OK_INSERT, "the webhook is made");
}

/* fuzz_webhook(arguments text) */
Datum
fuzz_webhook(PG_FUNCTION_ARGS)
{
	char *arguments = text_to_cstring(PG_GETARG_TEXT_PP(0));

	SPI_connect();
	for (int i = 0; i < (int) lengthof(manifests); i++)
		define(i);
	SPI_finish();
	CommandCounterIncrement();
	fuzz_run(arguments, "fuzz_webhook", webhook_input);
	PG_RETURN_VOID();
}

/*
 * What a handler answers a service with.
 */
#include "webhooks/webhook.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "utils/builtins.h"

#define TEXT_TYPE "text/plain; charset=utf-8"
#define JSON_TYPE "application/json"

/* What the server itself says of a message (RFC 9110, sections 6.6.1, 7.6.1 and 8.6; RFC 9112, sections 6 and 9). */
static const char *const reserved[] = {"connection", "content-length", "date", "keep-alive", "trailer",
									   "transfer-encoding", "upgrade"};

static void
refuse(const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("what the handler returned is no reply"),
					errdetail_internal("%s", detail),
					errhint("A reply is null, or {\"status\": 200, \"headers\": {…}, \"body\": …};"
							" each of them may be left out.")));
}

/* A token (RFC 9110, section 5.6.2). */
static bool
is_header_name(const char *name)
{
	if (*name == '\0')
		return false;
	for (; *name != '\0'; name++)
		if (!isalnum((unsigned char) *name) && strchr("!#$%&'*+-.^_`|~", *name) == NULL)
			return false;
	return true;
}

static bool
is_header_value(const char *value)
{
	for (; *value != '\0'; value++)
		if ((unsigned char) *value < ' ' || (unsigned char) *value > '~')
			return false;
	return true;
}

static void
check_header(const char *name, const JsonbValue *value)
{
	if (!is_header_name(name) || value->type != jbvString || !is_header_value(integ_json_value_text(value)))
		refuse(psprintf("The header \"%s\" is none, or its value is no text of printable ASCII.", name));
	for (size_t i = 0; i < lengthof(reserved); i++)
		if (pg_strcasecmp(name, reserved[i]) == 0)
			refuse(psprintf("The header \"%s\" is the server's own.", name));
}

/* Calls step for each member of the document's headers. */
static void
each_header(const JsonbContainer *headers, void (*step)(const char *name, const JsonbValue *value, void *arg),
			void *arg)
{
	JsonbIterator *iterator = headers == NULL ? NULL : JsonbIteratorInit((JsonbContainer *) headers);
	JsonbIteratorToken token;
	JsonbValue value;
	char *name = NULL;

	while (iterator != NULL && (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = integ_json_value_text(&value);
		else if (token == WJB_VALUE)
			step(name, &value, arg);
	}
}

static void
check_one(const char *name, const JsonbValue *value, void *arg)
{
	check_header(name, value);
	if (++*(int *) arg > INTEG_WEBHOOK_MAX_REPLY_HEADERS)
		refuse(psprintf("It has more than %d headers.", INTEG_WEBHOOK_MAX_REPLY_HEADERS));
}

static void
check_member(const Jsonb *document, const char *name, const JsonbValue *value)
{
	if (strcmp(name, "status") == 0)
	{
		int64 status = integ_json_get_int(&document->root, name, -1);

		if (value->type != jbvNumeric || status < 200 || status > 599)
			refuse("\"status\" must be a number from 200 to 599.");
	}
	else if (strcmp(name, "headers") == 0)
	{
		int count = 0;

		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
			refuse("\"headers\" must be an object of texts.");
		each_header(value->val.binary.data, check_one, &count);
	}
	else if (strcmp(name, "body") != 0)
		refuse(psprintf("It has the unknown member \"%s\".", name));
}

void
integ_webhook_reply_check(const Jsonb *document)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	char *name = NULL;

	integ_json_root(document, &value);
	if (value.type == jbvNull)
		return;
	if (!JB_ROOT_IS_OBJECT(document))
		refuse("It is no object.");
	if (VARSIZE(document) > INTEG_WEBHOOK_MAX_REPLY)
		refuse(psprintf("It has %u bytes; the limit is %d.", VARSIZE(document), INTEG_WEBHOOK_MAX_REPLY));
	iterator = JsonbIteratorInit((JsonbContainer *) &document->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = integ_json_value_text(&value);
		else if (token == WJB_VALUE)
			check_member(document, name, &value);
	}
}

static void
read_one(const char *name, const JsonbValue *value, void *arg)
{
	IntegWebhookReply *reply = arg;
	char *text = integ_json_value_text(value);

	if (pg_strcasecmp(name, "content-type") == 0)
		reply->content_type = text;
	else
		reply->headers[reply->nheaders++] = (IntegHttpHeader){name, text};
}

/* A text is given as it is, anything else as JSON. */
static void
read_body(const JsonbValue *body, IntegWebhookReply *reply)
{
	bool is_text = body->type == jbvString;

	if (body->type == jbvNull)
	{
		reply->content_type = reply->body = NULL;
		reply->body_len = 0;
		return;
	}
	reply->content_type = is_text ? TEXT_TYPE : JSON_TYPE;
	reply->body = is_text ? integ_json_value_text(body) : integ_json_print(integ_json_value_jsonb(body));
	reply->body_len = strlen(reply->body);
}

void
integ_webhook_reply_read(const Jsonb *document, IntegWebhookReply *reply)
{
	const JsonbContainer *headers;
	JsonbValue body;

	if (!JB_ROOT_IS_OBJECT(document))
		return;
	reply->status = (int) integ_json_get_int(&document->root, "status", reply->status);
	if (integ_json_get(&document->root, "body", &body))
		read_body(&body, reply);
	headers = integ_json_get_object(&document->root, "headers");
	reply->headers = palloc(sizeof(IntegHttpHeader) * INTEG_WEBHOOK_MAX_REPLY_HEADERS);
	each_header(headers, read_one, reply);
}

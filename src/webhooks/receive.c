/*
 * Taking a request: all its steps.
 */
#include "webhooks/webhook.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "operate/operate.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(integ_webhook_receive);
PG_FUNCTION_INFO_V1(integ_webhook_verify_sql);

/* Bytes of the body of a handshake; those of services have a few hundred. */
#define HANDSHAKE_MAX (64 * 1024)

#define EPOCH_DIFFERENCE_MS ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (USECS_PER_DAY / 1000))

/* 404 whichever part of the address is wrong: who guesses learns nothing. */
static void
answer(IntegWebhookReply *reply, int status, const char *text)
{
	*reply = (IntegWebhookReply){.status = status,
								 .content_type = text == NULL ? NULL : "text/plain; charset=utf-8",
								 .body = text,
								 .body_len = text == NULL ? 0 : strlen(text)};
}

/* A status for each verdict; the caller learns which part was wrong only in the log. */
static void
refuse(IntegSignatureVerdict verdict, IntegWebhookReply *reply)
{
	answer(reply, verdict == INTEG_SIGNATURE_NO_KEY ? 503 : 401,
		   verdict == INTEG_SIGNATURE_NO_KEY ? "not ready\n" : "not authenticated\n");
}

/* Everything but the copy of the reply. */
static void
handle(const char *path, const char *client, const IntegInbound *request, IntegWebhookBatch *batch,
	   IntegWebhookReply *reply)
{
	const char *slash = strchr(path, '/');
	char *definition = slash == NULL ? pstrdup(path) : pnstrdup(path, slash - path);
	const IntegWebhook *webhook = integ_webhook_find(definition, slash == NULL ? NULL : slash + 1, client);
	const IntegWebhookScheme *scheme;
	IntegSignatureVerdict verdict;
	IntegWebhookEvent *events;
	const Jsonb *document;
	char problem[256];
	int count;

	if (webhook == NULL)
	{
		answer(reply, 404, "not found\n");
		return;
	}
	scheme = webhook->scheme != NULL ? webhook->scheme : integ_webhook_scheme(NULL, request, "");
	/* Nobody has proven anything yet: what is large is not read for a handshake's sake. */
	if (request->body_len <= HANDSHAKE_MAX && integ_webhook_handshake_unsigned(webhook) &&
		integ_webhook_handshake(webhook, request, integ_webhook_document(request), false, reply))
		return;
	verdict = integ_webhook_verify(webhook, scheme, request, problem, sizeof(problem));
	if (verdict != INTEG_SIGNATURE_VALID)
	{
		ereport(DEBUG1, (errmsg("a request to the webhook \"%s\" was refused", webhook->webhook_id),
						 errdetail("%s", problem)));
		refuse(verdict, reply);
		return;
	}
	document = integ_webhook_document(request);
	if (integ_webhook_handshake(webhook, request, document, true, reply))
		return;
	if (strcmp(request->method, "POST") != 0 && strcmp(request->method, "PUT") != 0)
	{
		answer(reply, 405, "method not allowed\n");
		return;
	}
	count = integ_webhook_read(webhook, request, document, &events);
	if (count < 0)
	{
		answer(reply, 413, "too many events\n");
		return;
	}
	integ_webhook_acknowledge(webhook, request, reply);
	integ_webhook_stage(batch, webhook, request, events, count, reply);
}

void
integ_webhook_handle(const char *path, const char *client, const IntegInbound *request, IntegWebhookBatch *batch,
					 IntegWebhookReply *reply)
{
	MemoryContext old;

	handle(path, client, request, batch, reply);
	old = MemoryContextSwitchTo(batch->context);
	if (reply->body != NULL)
		reply->body = pnstrdup(reply->body, reply->body_len);
	if (reply->content_type != NULL)
		reply->content_type = pstrdup(reply->content_type);
	MemoryContextSwitchTo(old);
}

/* --- from SQL --- */

static void
read_headers(const Jsonb *document, IntegInbound *request)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	IntegHttpHeader *headers;
	JsonbValue value;

	if (document == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(document))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("headers must be an object of texts")));
	headers = palloc(sizeof(IntegHttpHeader) * (JB_ROOT_COUNT(document) + 1));
	request->headers = headers;
	iterator = JsonbIteratorInit((JsonbContainer *) &document->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			headers[request->nheaders].name = integ_json_value_text(&value);
		else if (token == WJB_VALUE)
		{
			char *text = integ_json_value_text(&value);

			headers[request->nheaders++].value = text == NULL ? "" : text;
		}
	}
}

/* A body that the verifier may mask, with a NUL behind it. */
static void
read_body(const bytea *body, IntegInbound *request)
{
	size_t len = body == NULL ? 0 : VARSIZE_ANY_EXHDR(body);

	if (len > INTEG_WEBHOOK_MAX_BODY)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the body of the request is too large"),
						errdetail("It has %zu bytes; the limit is %d.", len, INTEG_WEBHOOK_MAX_BODY)));
	request->body = palloc(len + 1);
	if (len > 0)
		memcpy(request->body, VARDATA_ANY(body), len);
	request->body[len] = '\0';
	request->body_len = len;
}

static void
read_url(const char *url, const char *query, IntegInbound *request)
{
	const char *mark = url == NULL ? NULL : strchr(url, '?');

	request->url = url == NULL ? "" : url;
	request->query = query != NULL ? query : mark == NULL ? NULL
														  : pnstrdup(mark + 1, strcspn(mark + 1, "#"));
}

static IntegInbound *
begin_request(const Jsonb *headers, const bytea *body)
{
	IntegInbound *request = palloc0(sizeof(IntegInbound));

	request->method = "POST";
	request->now_ms = GetCurrentTimestamp() / 1000 + EPOCH_DIFFERENCE_MS;
	read_headers(headers, request);
	read_body(body, request);
	return request;
}

static Datum
make_result(FunctionCallInfo fcinfo, const IntegWebhookReply *reply, const pg_uuid_t *stored, int count)
{
	Datum *ids = palloc(sizeof(Datum) * (count + 1));
	IntegJsonBuilder headers;
	TupleDesc columns;
	Datum values[4];
	bool nulls[4] = {false, false, reply->body == NULL, false};

	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "integ_webhook_receive must return a row");
	integ_json_begin_object(&headers);
	if (reply->content_type != NULL)
		integ_json_add_string(&headers, "content-type", reply->content_type);
	if (reply->body != NULL)
		integ_json_add_string(&headers, "x-content-type-options", "nosniff");
	for (int i = 0; i < count; i++)
		ids[i] = UUIDPGetDatum(&stored[i]);
	values[0] = Int32GetDatum(reply->status);
	values[1] = JsonbPGetDatum(integ_json_end(&headers));
	values[2] = reply->body == NULL ? (Datum) 0
									: PointerGetDatum(cstring_to_text_with_len(reply->body, (int) reply->body_len));
	values[3] = PointerGetDatum(construct_array(ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
}

Datum
integ_webhook_receive(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "receive webhooks");
	const char *client = actor->level == INTEG_LEVEL_SUPERADMIN ? NULL : actor->client;
	char *method = NULL, *url = NULL, *query = NULL;
	const IntegOption known[] = {
		{"method", INTEG_OPTION_TEXT, &method}, {"url", INTEG_OPTION_TEXT, &url}, {"query", INTEG_OPTION_TEXT, &query}};
	pg_uuid_t *stored = palloc(sizeof(pg_uuid_t) * INTEG_WEBHOOK_MAX_EVENTS);
	IntegWebhookReply *reply = palloc0(sizeof(IntegWebhookReply));
	IntegWebhookBatch *batch = integ_webhook_batch();
	MemoryContext context = CurrentMemoryContext;
	IntegInbound *request;
	IntegOwnerScope scope;
	char *path;
	int count;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_webhook_receive needs a webhook"),
						errhint("SELECT * FROM integ_webhook_receive('definition/webhook', headers, body).")));
	integ_options_parse(PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3), known, lengthof(known), "integ_webhook_receive");
	path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	request = begin_request(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1),
							PG_ARGISNULL(2) ? NULL : PG_GETARG_BYTEA_PP(2));
	if (method != NULL)
		request->method = method;
	read_url(url, query, request);
	integ_owner_enter(&scope);
	integ_webhook_handle(path, client, request, batch, reply);
	count = integ_webhook_store(batch, stored);
	integ_owner_leave(&scope);
	MemoryContextSwitchTo(context);
	PG_RETURN_DATUM(make_result(fcinfo, reply, stored, count));
}

/* To try a scheme with: nothing is stored, and no webhook is needed. */
Datum
integ_webhook_verify_sql(PG_FUNCTION_ARGS)
{
	const Jsonb *signature = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	IntegSignatureKey *keys = NULL;
	IntegInbound *request;
	Datum *secrets = NULL;
	bool *nulls;
	char problem[256];
	int count = 0;

	request = begin_request(PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2),
							PG_ARGISNULL(3) ? NULL : PG_GETARG_BYTEA_PP(3));
	if (!PG_ARGISNULL(4))
		request->method = text_to_cstring(PG_GETARG_TEXT_PP(4));
	read_url(PG_ARGISNULL(5) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(5)), NULL, request);
	if (!PG_ARGISNULL(6))
		request->now_ms = PG_GETARG_TIMESTAMPTZ(6) / 1000 + EPOCH_DIFFERENCE_MS;
	if (!PG_ARGISNULL(1))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &secrets, &nulls, &count);
	keys = palloc0(sizeof(IntegSignatureKey) * (count + 1));
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			keys[i] = (IntegSignatureKey){VARDATA_ANY(DatumGetTextPP(secrets[i])),
										  VARSIZE_ANY_EXHDR(DatumGetTextPP(secrets[i]))};
	PG_RETURN_TEXT_P(cstring_to_text(integ_signature_verdict_name(
		integ_webhook_judge(integ_webhook_scheme(signature == NULL ? NULL : &signature->root, request, "signature"),
							request, keys, count, problem, sizeof(problem)))));
}

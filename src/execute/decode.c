/*
 * From the bytes of an answer to a document.
 */
#include "execute/decode.h"

#include "core/compat.h"
#include "core/errors.h"
#include "core/json.h"
#include "http/decode.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

void
integ_decode_refuse(IntegCall *call, const char *what, char *detail)
{
	call->outcome.sqlerrcode = ERRCODE_INTEG_BAD_ANSWER;
	call->outcome.message = psprintf("the answer to %s %s", integ_call_name(call), what);
	call->outcome.detail = detail;
	call->outcome.hint = "The service, or a proxy before it, sent something else than its definition promises.";
}

/*
 * jsonb_in raises for what is not JSON. It takes no lock and no other resource,
 * so its error can be caught without a subtransaction; everything else that
 * may come out of it (an interrupt, no memory) goes on.
 */
static const Jsonb *
parse(const char *text, char **problem)
{
	MemoryContext context = CurrentMemoryContext;
	const Jsonb *volatile document = NULL;

	PG_TRY();
	{
		document = integ_json_parse(text);
	}
	PG_CATCH();
	{
		ErrorData *error;
		int category;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
		if (category != ERRCODE_DATA_EXCEPTION && category != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			PG_RE_THROW();
		FlushErrorState();
		*problem = error->detail != NULL ? error->detail : error->message;
	}
	PG_END_TRY();
	return document;
}

const Jsonb *
integ_decode_json(const char *text, size_t len, char **problem)
{
	IntegBodyText read;

	switch (integ_body_decode(text, len, "application/json; charset=utf-8", true, &read))
	{
		case INTEG_BODY_OK:
			return parse(read.text, problem);
		case INTEG_BODY_NO_MEMORY:
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
			break;
		default:
			*problem = psprintf("Arrays and objects may be nested %d levels deep.", INTEG_BODY_MAX_DEPTH);
			break;
	}
	return NULL;
}

/*
 * The body as text. What another charset hid from the first look (UTF-16 has a NUL beside every letter) is masked
 * here.
 */
static IntegBodyStatus
read_text(const IntegCall *call, const char *content_type, bool json, IntegBodyText *text)
{
	const IntegHttpResponse *response = call->response;
	IntegBodyStatus status = integ_body_decode(response->body, response->body_len, content_type, json, text);
	bool within = status == INTEG_BODY_OK && text->text >= response->body &&
				  text->text <= response->body + response->body_len;

	if (status == INTEG_BODY_OK && !within)
		integ_call_mask_text(call, (char *) text->text, text->len);
	return status;
}

/* JSON as it is, other text as a JSON string. */
static void
decode_text(IntegCall *call, const char *content_type, bool json)
{
	IntegBodyText text;
	char *problem = NULL;

	switch (read_text(call, content_type, json, &text))
	{
		case INTEG_BODY_OK:
			call->body = json ? parse(text.text, &problem) : integ_json_string(text.text, text.len);
			if (call->body == NULL)
				integ_decode_refuse(call, "is not valid JSON", problem);
			return;
		case INTEG_BODY_TOO_DEEP:
			integ_decode_refuse(call, "is nested too deeply",
								psprintf("Arrays and objects may be nested %d levels deep.", INTEG_BODY_MAX_DEPTH));
			return;
		case INTEG_BODY_CHARSET:
			integ_decode_refuse(call, "is in an unknown charset", psprintf("Its Content-Type is \"%s\".", content_type));
			return;
		case INTEG_BODY_NO_MEMORY:
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
}

static void
decode_binary(IntegCall *call, const char *content_type)
{
	const IntegHttpResponse *response = call->response;
	IntegJsonBuilder builder;
	int room, len;
	char *encoded;

	if (response->body_len > MaxAllocSize / 4 * 3 - 4)
	{
		integ_decode_refuse(call, "is too large to be handed over as base64", psprintf("It has %zu bytes.", response->body_len));
		return;
	}
	room = pg_b64_enc_len(response->body_len);
	encoded = palloc(room + 1);
	len = integ_b64_encode(response->body, response->body_len, encoded, room);
	if (len < 0)
		elog(ERROR, "could not encode the answer");
	encoded[len] = '\0';
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "contentType", content_type);
	integ_json_add_string(&builder, "base64", encoded);
	call->body = integ_json_end(&builder);
}

/* Whether the manifest says that the answer is of this type. */
static bool
is_declared(const IntegCall *call, const char *type)
{
	return call->exchange->response_type != NULL && strcmp(call->exchange->response_type, type) == 0;
}

static void
decode_csv(IntegCall *call, const char *content_type)
{
	IntegBodyText text;

	switch (read_text(call, content_type, false, &text))
	{
		case INTEG_BODY_OK:
			integ_decode_csv(call, text.text, text.len);
			return;
		case INTEG_BODY_NO_MEMORY:
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
			return;
		default:
			integ_decode_refuse(call, "is in an unknown charset", psprintf("Its Content-Type is \"%s\".", content_type));
			return;
	}
}

void
integ_call_decode(IntegCall *call)
{
	const IntegHttpResponse *response = call->response;
	const char *content_type = integ_http_response_header(response, "content-type");
	IntegBodyKind kind;

	if (call->method->stream != INTEG_STREAM_NONE && response->status >= 200 && response->status < 300)
	{
		integ_decode_events(call);
		return;
	}
	kind = integ_body_kind(content_type, response->body, response->body_len);
	if (kind != INTEG_BODY_EMPTY && kind != INTEG_BODY_JSON && is_declared(call, "xml"))
	{
		integ_decode_xml(call);
		return;
	}
	if (kind != INTEG_BODY_JSON && is_declared(call, "csv"))
	{
		decode_csv(call, content_type);
		return;
	}
	switch (kind)
	{
		case INTEG_BODY_EMPTY:
			return;
		case INTEG_BODY_JSON:
			decode_text(call, content_type, true);
			return;
		case INTEG_BODY_TEXT:
			decode_text(call, content_type, false);
			return;
		case INTEG_BODY_BINARY:
			decode_binary(call, content_type);
			return;
	}
}

char *
integ_decode_excerpt(const IntegCall *call, int max_bytes)
{
	const IntegHttpResponse *response = call->response;
	const char *content_type = integ_http_response_header(response, "content-type");
	IntegBodyText text;
	IntegBodyKind kind = integ_body_kind(content_type, response->body, response->body_len);
	int len;

	if (kind == INTEG_BODY_EMPTY)
		return pstrdup("(no body)");
	if (kind == INTEG_BODY_BINARY)
		return psprintf("(%zu bytes of %s)", response->body_len, content_type != NULL ? content_type : "binary data");
	if (read_text(call, content_type, false, &text) != INTEG_BODY_OK)
		return pstrdup("(unreadable text)");
	len = pg_mbcliplen(text.text, Min(text.len, max_bytes * 2), max_bytes);
	return psprintf("%.*s%s", len, text.text, (size_t) len < text.len ? " …" : "");
}

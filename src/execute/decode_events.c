/*
 * Streams: from frames to documents.
 */
#include "execute/decode.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "http/body.h"
#include "http/events.h"
#include "mb/pg_wchar.h"

/* What many services send as the last event, and which is no JSON. */
#define DONE "[DONE]"

/* Some bytes of the frame as valid UTF-8 with a NUL behind them. */
static char *
clean_copy(const char *bytes, size_t len)
{
	char *copy = palloc(len + 1);

	memcpy(copy, bytes, len);
	copy[len] = '\0';
	integ_utf8_sanitize(copy, len);
	for (size_t i = 0; i < len; i++)
		if (copy[i] == '\0')
			copy[i] = '?';
	return copy;
}

static const Jsonb *
read_sse(const char *frame, size_t len)
{
	char *buffer = palloc(len + 1), *problem;
	IntegJsonBuilder builder;
	IntegSseEvent event;
	const Jsonb *data;

	integ_sse_read(frame, len, buffer, &event);
	if (event.data == NULL || strcmp(event.data, DONE) == 0)
		return NULL;
	data = integ_decode_json(event.data, event.data_len, &problem);
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "event", event.event != NULL ? clean_copy(event.event, event.event_len) : "message");
	if (event.id != NULL)
		integ_json_add_string(&builder, "id", clean_copy(event.id, event.id_len));
	if (data != NULL)
		integ_json_add_jsonb(&builder, "data", data);
	else
		integ_json_add_string(&builder, "data", clean_copy(event.data, event.data_len));
	return integ_json_end(&builder);
}

const Jsonb *
integ_decode_frame(const IntegCall *call, char *frame, size_t len, char **problem)
{
	const char *text;
	char *copy;

	*problem = NULL;
	integ_call_mask_text(call, frame, len);
	if (call->method->stream == INTEG_STREAM_SSE)
		return read_sse(frame, len);
	text = integ_ndjson_trim(frame, &len);
	if (len == 0)
		return NULL;
	copy = palloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	return integ_decode_json(copy, len, problem);
}

void
integ_decode_events(IntegCall *call)
{
	const IntegHttpResponse *response = call->response;
	JsonbParseState *state = NULL;
	size_t at = 0, len;
	int count = 0;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	while ((len = integ_stream_frame(call->method->stream, response->body + at, response->body_len - at, true)) > 0)
	{
		char *problem;
		const Jsonb *document = integ_decode_frame(call, response->body + at, len, &problem);
		JsonbValue value;

		at += len;
		count++;
		if (problem != NULL)
		{
			integ_decode_refuse(call, "is a stream with an event that is not JSON",
								psprintf("Event %d: %s", count, problem));
			return;
		}
		if (document == NULL)
			continue;
		integ_json_root(document, &value);
		pushJsonbValue(&state, WJB_ELEM, &value);
	}
	call->body = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

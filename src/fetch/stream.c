/*
 * The events of a streamed answer.
 */
#include "fetch/stream.h"

#include "access/xact.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "definitions/compile.h"
#include "execute/decode.h"
#include "http/events.h"
#include "http/flight.h"
#include "miscadmin.h"
#include "template/template.h"
#include "utils/memutils.h"

/* Longest event. So much of the stream may wait for its reader, too. */
#define WINDOW (4 * 1024 * 1024)

struct IntegStream
{
	IntegCall *call;
	IntegPath *end;				 /* the stream ends with an event in which it finds something, or NULL */
	MemoryContext event_context; /* of the event; reset by next */
	int64 nframes;
	bool last;			/* the next one is not wanted */
	const Jsonb *items; /* records of one event that are handed out one by one, or NULL */
	IntegJsonWalk walk;
};

/* integ_call_build: what makes the request one for a stream. */
static void
amend(IntegCall *call, void *unused)
{
	call->request.window = WINDOW;
	call->request.max_response = (size_t) integ_max_download_size * 1024;
}

/* The reader went away, by a LIMIT or an error of its own: the exchange is recorded all the same. */
static void
leave(void *arg)
{
	IntegCall *call = arg;

	if (call->flight == NULL)
		return;
	call->response = integ_http_end(call->flight, true);
	call->flight = NULL;
	/* In an abort the slots are given back by the grant's own callback. */
	if (IsTransactionState())
		integ_call_answered(call);
	integ_call_record(call);
}

IntegStream *
integ_stream_open(IntegCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	IntegStream *stream = palloc0(sizeof(IntegStream));
	MemoryContextCallback *callback;

	stream->call = call;
	stream->event_context = AllocSetContextCreate(call->context, "integ event", ALLOCSET_DEFAULT_SIZES);
	if (call->method->pagination != NULL)
		stream->end = integ_compile_path(call->method->pagination, "end", call->method->id);
	call->streamed = true;
	call->amend = amend;
	integ_call_exchange(call);
	integ_call_raise(call);
	if (call->flight != NULL)
	{
		/* Called before the flight's own, which was registered before. */
		callback = MemoryContextAlloc(call->exchange_context, sizeof(MemoryContextCallback));
		callback->func = leave;
		callback->arg = call;
		MemoryContextRegisterResetCallback(call->exchange_context, callback);
	}
	MemoryContextSwitchTo(old);
	return stream;
}

static void
fail(IntegStream *stream, const char *what, char *detail)
{
	integ_decode_refuse(stream->call, what, detail);
	integ_call_end_stream(stream->call, true);
	integ_call_raise(stream->call);
}

/* The end of the stream, and what it means. */
static void
finish(IntegStream *stream, bool enough)
{
	integ_call_end_stream(stream->call, enough);
	integ_call_raise(stream->call);
}

/* The next whole frame; 0 at the end of the stream. */
static size_t
read_frame(IntegStream *stream, char **data)
{
	IntegCall *call = stream->call;
	IntegStreamKind kind = call->method->stream;
	size_t len = 0, known = 0, frame;

	for (;;)
	{
		len = integ_http_read_more(call->flight, known, data);
		frame = integ_stream_frame(kind, *data, len, false);
		if (frame > 0)
			return frame;
		/* No more than was known: nothing more comes. */
		if (len <= known)
			return integ_http_succeeds(call->flight) ? integ_stream_frame(kind, *data, len, true) : 0;
		if (len >= WINDOW)
			fail(stream, "is a stream with an event that is too long",
				 psprintf("Event %lld has more than %d bytes.", (long long) stream->nframes + 1, WINDOW));
		known = len;
	}
}

/* The next document of the stream; NULL at its end. */
static const Jsonb *
read_document(IntegStream *stream)
{
	IntegCall *call = stream->call;

	while (call->flight != NULL && !stream->last)
	{
		char *data = NULL, *problem;
		const Jsonb *document;
		size_t frame;

		MemoryContextReset(stream->event_context);
		CHECK_FOR_INTERRUPTS();
		frame = read_frame(stream, &data);
		if (frame == 0)
			break;
		stream->nframes++;
		document = integ_decode_frame(call, data, frame, &problem);
		integ_http_take(call->flight, frame);
		if (problem != NULL)
			fail(stream, "is a stream with an event that is not JSON",
				 psprintf("Event %lld: %s", (long long) stream->nframes, problem));
		if (document != NULL)
			return document;
	}
	if (call->flight != NULL)
		finish(stream, stream->last);
	return NULL;
}

/* What the method makes of an event; NULL where it leaves nothing of it. */
static const Jsonb *
convert(IntegStream *stream, const Jsonb *document)
{
	IntegCall *call = stream->call;
	const IntegExchange *exchange = call->exchange;

	call->body = document;
	if (integ_call_apply_rules(call))
		finish(stream, true);
	stream->last = stream->end != NULL && integ_path_exists(stream->end, document);
	if (exchange->map != NULL)
		return integ_map_eval(exchange->map, document);
	return exchange->records != NULL ? integ_path_get(exchange->records, document) : document;
}

/* The next of several records of one event; NULL where it has no more. */
static const Jsonb *
next_item(IntegStream *stream)
{
	JsonbValue value;

	if (stream->items == NULL || !integ_json_walk_element(&stream->walk, &value))
	{
		stream->items = NULL;
		return NULL;
	}
	return integ_json_value_jsonb(&value);
}

const Jsonb *
integ_stream_next(IntegStream *stream)
{
	MemoryContext old = MemoryContextSwitchTo(stream->event_context);
	const Jsonb *result = next_item(stream);

	while (result == NULL)
	{
		const Jsonb *document = read_document(stream);

		if (document == NULL)
			break;
		result = convert(stream, document);
		if (result == NULL || stream->call->exchange->records == NULL || !JB_ROOT_IS_ARRAY(result) ||
			JB_ROOT_IS_SCALAR(result))
			continue;
		stream->items = result;
		integ_json_walk_begin(&stream->walk, &result->root);
		result = next_item(stream);
	}
	MemoryContextSwitchTo(old);
	return result;
}

/*
 * Streams cut into events: server-sent events (WHATWG HTML, section 9.2.6) and newline-delimited JSON. Free of
 * PostgreSQL.
 */
#ifndef INTEG_HTTP_EVENTS_H
#define INTEG_HTTP_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum IntegStreamKind
{
	INTEG_STREAM_NONE,
	INTEG_STREAM_SSE,
	INTEG_STREAM_NDJSON
} IntegStreamKind;

/*
 * The length of the first frame of data, with what ends it: of server-sent events what stands before an empty line, of
 * NDJSON a line. 0 where its end has not arrived. At the end of the stream (ended) a line needs no line feed; an
 * event without its empty line is not whole and counts as none.
 */
extern size_t integ_stream_frame(IntegStreamKind kind, const char *data, size_t len, bool ended);

typedef struct IntegSseEvent
{
	const char *event; /* NULL where the frame names none: it is a "message" */
	size_t event_len;
	const char *id; /* NULL where the frame has none */
	size_t id_len;
	char *data; /* its lines, with a line feed between them; NULL where there is none, and the frame is no event */
	size_t data_len;
} IntegSseEvent;

/* Reads a frame: name and id are in it, the data goes into a buffer of at least len + 1 bytes, with a NUL behind it. */
extern void integ_sse_read(const char *frame, size_t len, char *buffer, IntegSseEvent *event);

/* The JSON text of a line of NDJSON: without white space around it and a record separator (RFC 7464); "" if blank. */
extern const char *integ_ndjson_trim(const char *line, size_t *len);

#endif /* INTEG_HTTP_EVENTS_H */

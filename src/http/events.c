/*
 * Streams cut into events.
 */
#include "http/events.h"

#include <string.h>

/* The bytes of a line without its end, and with it in *whole; *whole is 0 where the end is not here. */
static size_t
line_length(const char *data, size_t len, bool ended, size_t *whole)
{
	size_t at = 0;

	while (at < len && data[at] != '\n' && data[at] != '\r')
		at++;
	*whole = 0;
	if (at == len)
		return at;
	/* A line feed may follow. */
	if (data[at] == '\r' && at + 1 == len && !ended)
		return at;
	*whole = at + 1 + (data[at] == '\r' && at + 1 < len && data[at + 1] == '\n');
	return at;
}

static size_t
sse_frame(const char *data, size_t len, bool ended)
{
	size_t at = 0;

	for (;;)
	{
		size_t whole, line = line_length(data + at, len - at, ended, &whole);

		if (whole == 0)
			return 0;
		at += whole;
		if (line == 0)
			return at;
	}
}

size_t
integ_stream_frame(IntegStreamKind kind, const char *data, size_t len, bool ended)
{
	const char *end;

	if (len == 0)
		return 0;
	if (kind == INTEG_STREAM_SSE)
		return sse_frame(data, len, ended);
	end = memchr(data, '\n', len);
	if (end != NULL)
		return (size_t) (end - data) + 1;
	return ended ? len : 0;
}

static bool
is_field(const char *line, size_t name_len, const char *name)
{
	return name_len == strlen(name) && memcmp(line, name, name_len) == 0;
}

/* Puts a line of data behind those before it: each is shorter than its line in the frame. */
static void
add_data(IntegSseEvent *event, char *buffer, const char *value, size_t len)
{
	if (event->data != NULL)
		buffer[event->data_len++] = '\n';
	event->data = buffer;
	memcpy(buffer + event->data_len, value, len);
	event->data_len += len;
}

void
integ_sse_read(const char *frame, size_t len, char *buffer, IntegSseEvent *event)
{
	const char *p = frame, *end = frame + len;

	memset(event, 0, sizeof(*event));
	if (len >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0)
		p += 3;
	while (p < end)
	{
		size_t whole, line = line_length(p, (size_t) (end - p), true, &whole), name_len, skip;
		const char *colon = memchr(p, ':', line);
		const char *start = p;

		p += whole > 0 ? whole : line;
		name_len = colon != NULL ? (size_t) (colon - start) : line;
		skip = name_len + (colon != NULL) + (colon != NULL && name_len + 1 < line && colon[1] == ' ');
		if (is_field(start, name_len, "data"))
			add_data(event, buffer, start + skip, line - skip);
		else if (is_field(start, name_len, "event"))
		{
			event->event = start + skip;
			event->event_len = line - skip;
		}
		else if (is_field(start, name_len, "id") && memchr(start + skip, '\0', line - skip) == NULL)
		{
			event->id = start + skip;
			event->id_len = line - skip;
		}
	}
	buffer[event->data_len] = '\0';
	if (event->event_len == 0)
		event->event = NULL;
}

const char *
integ_ndjson_trim(const char *line, size_t *len)
{
	while (*len > 0 && strchr(" \t\r\n", line[*len - 1]) != NULL && line[*len - 1] != '\0')
		--*len;
	while (*len > 0 && line[0] != '\0' && strchr(" \t\r\n\x1E", line[0]) != NULL)
		line++, --*len;
	return line;
}

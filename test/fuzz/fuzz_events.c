/* sources: src/http/events.c */
/*
 * Streams of any service, cut into frames.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_frame(IntegStreamKind kind, const char *frame, size_t len)
{
	char *buffer = malloc(len + 1);
	IntegSseEvent event;

	if (buffer == NULL)
		abort();
	if (kind == INTEG_STREAM_SSE)
	{
		integ_sse_read(frame, len, buffer, &event);
		if (event.data_len > len || event.event_len > len || event.id_len > len)
			abort();
	}
	else if (integ_ndjson_trim(frame, &len) < frame)
		abort();
	free(buffer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (IntegStreamKind kind = INTEG_STREAM_SSE; kind <= INTEG_STREAM_NDJSON; kind++)
	{
		size_t at = 0, len;

		while (at < size && (len = integ_stream_frame(kind, (const char *) data + at, size - at, true)) > 0)
		{
			/* In memory of its own size, so that the sanitizer sees who reads beyond it. */
			char *frame = malloc(len);

			if (frame == NULL || len > size - at)
				abort();
			memcpy(frame, data + at, len);
			read_frame(kind, frame, len);
			free(frame);
			at += len;
		}
	}
	return 0;
}

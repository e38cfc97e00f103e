/* sources: src/http/events.c */
/*
 * Streams that arrive in any pieces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/events.h"

/* Every event of the stream as "name|id|data;", read as if so many bytes arrived at a time. */
static void
read_all(const char *stream, size_t step, char *result)
{
	size_t len = strlen(stream), at = 0, arrived = 0;

	result[0] = '\0';
	while (at < len)
	{
		size_t frame;
		char *copy, *buffer;
		IntegSseEvent event;

		/* Only what has arrived is there to be read. */
		copy = malloc(arrived - at + 1);
		memcpy(copy, stream + at, arrived - at);
		frame = integ_stream_frame(INTEG_STREAM_SSE, copy, arrived - at, arrived == len);
		if (frame == 0)
		{
			free(copy);
			if (arrived == len)
				return;
			arrived = arrived + step > len ? len : arrived + step;
			continue;
		}
		buffer = malloc(frame + 1);
		integ_sse_read(copy, frame, buffer, &event);
		if (event.data != NULL)
			sprintf(result + strlen(result), "%.*s|%.*s|%.*s;", (int) event.event_len, event.event != NULL ? event.event : "",
					(int) event.id_len, event.id != NULL ? event.id : "", (int) event.data_len, event.data);
		free(buffer);
		free(copy);
		at += frame;
	}
}

static void
events_are_cut_the_same_however_they_arrive(void **state)
{
	static const struct
	{
		const char *stream, *events;
	} cases[] = {
		{"data: a\n\n", "||a;"},
		{"data:a\r\n\r\ndata: b\r\rdata:  c\n\n", "||a;||b;|| c;"},
		{"data: a\ndata\ndata: b\n\n", "||a\n\nb;"},
		{"event: x\nid: 7\ndata: a\n\ndata: b\n\n", "x|7|a;||b;"},
		{"data: a\nevent: named\ndata: a longer line than the first\n\n", "named||a\na longer line than the first;"},
		{": comment\n\n\n\nretry: 5\n\nevent: e\n\ndata: a\n\n", "||a;"},
		{"\xEF\xBB\xBF"
		 "data: a\n\n",
		 "||a;"},
		{"data: a\n\ndata: not whole\n", "||a;"},
		{"data\n\n", "||;"},
		{"data: a: b\nunknown: c\ndatax: d\n\n", "||a: b;"},
		{"id\nevent\ndata: a\n\n", "||a;"},
		{"", ""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 9; step++)
		{
			char result[256];

			read_all(cases[i].stream, step, result);
			assert_string_equal(result, cases[i].events);
		}
}

static void
lines_are_frames(void **state)
{
	size_t len = 9;

	(void) state;
	assert_int_equal(integ_stream_frame(INTEG_STREAM_NDJSON, "{}\n{}", 5, false), 3);
	assert_int_equal(integ_stream_frame(INTEG_STREAM_NDJSON, "{}", 2, false), 0);
	assert_int_equal(integ_stream_frame(INTEG_STREAM_NDJSON, "{}", 2, true), 2);
	assert_int_equal(integ_stream_frame(INTEG_STREAM_NDJSON, "", 0, true), 0);
	assert_memory_equal(integ_ndjson_trim("\x1E {\"a\":1}\r\n" + 0, &len), "{\"a\":1", 6);
	len = 4;
	integ_ndjson_trim(" \r\n\t", &len);
	assert_int_equal(len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_cut_the_same_however_they_arrive),
		cmocka_unit_test(lines_are_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

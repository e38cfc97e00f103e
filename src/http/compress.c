/*
 * Compression of request bodies.
 */
#include "http/compress.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* zlib's window of 32 KB, with the wrapping of gzip. */
#define WINDOW_GZIP (15 + 16)
#define MEMORY_LEVEL 8

char *
integ_compress(const char *body, size_t len, size_t *out_len)
{
	z_stream stream;
	char *out;
	int result;

	*out_len = 1;
	memset(&stream, 0, sizeof(stream));
	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_GZIP, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	/* No more room than what is worth it: where that is not enough, the body goes as it is. */
	out = malloc(len);
	if (out == NULL)
	{
		(void) deflateEnd(&stream);
		return NULL;
	}
	stream.next_in = (unsigned char *) body;
	stream.avail_in = (unsigned int) len;
	stream.next_out = (unsigned char *) out;
	stream.avail_out = (unsigned int) len;
	result = deflate(&stream, Z_FINISH);
	*out_len = result == Z_STREAM_END ? stream.total_out : 0;
	(void) deflateEnd(&stream);
	if (result == Z_STREAM_END)
		return out;
	free(out);
	return NULL;
}

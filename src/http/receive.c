/*
 * What libcurl hands over: header lines and body, kept within their caps.
 *
 * These run inside libcurl: they only set a flag and return short.
 */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/body.h"
#include "http/transfer_private.h"

#define FIRST_BODY 8192

void
integ_buffer_wipe(IntegBuffer *buffer)
{
	if (buffer->data != NULL)
		OPENSSL_cleanse(buffer->data, buffer->len);
	buffer->len = 0;
}

/* Makes room for size bytes and a NUL; not with realloc, which leaves a copy behind. */
static bool
buffer_reserve(IntegBuffer *buffer, size_t size)
{
	char *grown;

	if (buffer->data != NULL && size < buffer->size)
		return true;
	grown = malloc(size + 1);
	if (grown == NULL)
		return false;
	if (buffer->data != NULL)
	{
		memcpy(grown, buffer->data, buffer->len);
		OPENSSL_cleanse(buffer->data, buffer->len);
		free(buffer->data);
	}
	buffer->data = grown;
	buffer->size = size + 1;
	return true;
}

static bool
buffer_add(IntegBuffer *buffer, const char *data, size_t len)
{
	if (buffer->len + len >= buffer->size && !buffer_reserve(buffer, 2 * (buffer->len + len) + 512))
		return false;
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
	return true;
}

void
integ_receive_reset(IntegTransfer *transfer)
{
	integ_buffer_wipe(&transfer->header_text);
	transfer->nheaders = 0;
	transfer->headers_complete = false;
	transfer->discard = false;
	transfer->discarded = 0;
	transfer->status = 0;
	integ_buffer_wipe(&transfer->body);
	transfer->paused = false;
}

const char *
integ_receive_find(const IntegTransfer *transfer, const char *name)
{
	for (int i = 0; i < transfer->nheaders; i++)
	{
		const char *found = transfer->header_text.data + transfer->header_offsets[i];

		if (strcmp(found, name) == 0)
			return found + strlen(found) + 1;
	}
	return NULL;
}

static size_t
stop(IntegTransfer *transfer, IntegStop why)
{
	if (transfer->stop == INTEG_STOP_NONE)
		transfer->stop = why;
	return 0;
}

/* The line that begins an answer: "HTTP/1.1 200 OK", "HTTP/2 200". */
static void
begin_answer(IntegTransfer *transfer, const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);

	integ_receive_reset(transfer);
	if (space != NULL)
		transfer->status = strtol(space + 1, NULL, 10);
	if (transfer->descriptor >= 0 && len > 6 && line[5] >= '2' && line[6] == ' ')
		transfer->pool->sockets[transfer->descriptor].multiplexed = true;
}

/* An obsolete folded line (RFC 9112, section 5.2) continues the value before it. */
static bool
continue_header(IntegTransfer *transfer, const char *line, size_t len)
{
	if (transfer->nheaders == 0)
		return true;
	while (len > 0 && (*line == ' ' || *line == '\t'))
		line++, len--;
	transfer->header_text.len--;
	return buffer_add(&transfer->header_text, " ", 1) && buffer_add(&transfer->header_text, line, len) &&
		   buffer_add(&transfer->header_text, "", 1);
}

static bool
add_header(IntegTransfer *transfer, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len), *value;
	size_t start = transfer->header_text.len, name_len;
	char *name;

	if (colon == NULL)
		return true;
	name_len = (size_t) (colon - line);
	value = colon + 1;
	len -= name_len + 1;
	while (len > 0 && (*value == ' ' || *value == '\t'))
		value++, len--;
	if (!buffer_add(&transfer->header_text, line, name_len) || !buffer_add(&transfer->header_text, "", 1) ||
		!buffer_add(&transfer->header_text, value, len) || !buffer_add(&transfer->header_text, "", 1))
		return false;
	name = transfer->header_text.data + start;
	for (size_t i = 0; i < name_len; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] |= 0x20;
	transfer->header_offsets[transfer->nheaders++] = start;
	return true;
}

/* The length that an answer announces and that is not compressed, -1 where there is none. */
static long long
announced_length(const IntegTransfer *transfer)
{
	const char *length = integ_receive_find(transfer, "content-length");
	char *end;
	long long value;

	if (length == NULL || integ_receive_find(transfer, "content-encoding") != NULL ||
		strcmp(transfer->request->method, "HEAD") == 0 || transfer->status == 304 || transfer->status == 204 ||
		transfer->status < 200)
		return -1;
	value = strtoll(length, &end, 10);
	return *end != '\0' || end == length || value < 0 ? -1 : value;
}

/* All headers of an answer are here: decide what to do with its body. */
static bool
end_headers(IntegTransfer *transfer)
{
	long long length;

	transfer->headers_complete = true;
	transfer->discard = integ_transfer_follows(transfer);
	length = announced_length(transfer);
	if (length > 0 && !transfer->discard)
	{
		if ((unsigned long long) length > transfer->request->max_response)
			return stop(transfer, INTEG_STOP_BODY) != 0;
		if (transfer->window == 0 && !buffer_reserve(&transfer->body, (size_t) length))
			return stop(transfer, INTEG_STOP_MEMORY) != 0;
	}
	return true;
}

/* CURLOPT_HEADERFUNCTION: one line, with its line end. */
size_t
integ_receive_header(char *line, size_t size, size_t count, void *transfer_pointer)
{
	IntegTransfer *transfer = transfer_pointer;
	size_t total = size * count, len = total;
	bool added;

	transfer->header_bytes += total;
	if (transfer->header_bytes > INTEG_HTTP_MAX_HEADER_BYTES)
		return stop(transfer, INTEG_STOP_HEADERS);
	while (len > 0 && strchr("\r\n \t", line[len - 1]) != NULL)
		len--;
	/* An interim answer (1xx) is followed by another one; behind any other come trailers only. */
	if (transfer->headers_complete && transfer->status >= 200)
		return total;
	if (len >= 5 && strncasecmp(line, "HTTP/", 5) == 0)
	{
		begin_answer(transfer, line, len);
		return total;
	}
	if (len == 0)
		return end_headers(transfer) ? total : 0;
	if (transfer->nheaders >= INTEG_HTTP_MAX_HEADERS)
		return stop(transfer, INTEG_STOP_HEADERS);
	added = line[0] == ' ' || line[0] == '\t' ? continue_header(transfer, line, len)
											  : add_header(transfer, line, len);
	return added ? total : stop(transfer, INTEG_STOP_MEMORY);
}

/* CURLOPT_WRITEFUNCTION: a piece of the decompressed body. */
size_t
integ_receive_body(char *data, size_t size, size_t count, void *transfer_pointer)
{
	IntegTransfer *transfer = transfer_pointer;
	IntegBuffer *body = &transfer->body;
	size_t len = size * count;

	if (len > transfer->request->max_response - body->len - transfer->discarded - transfer->taken)
		return stop(transfer, INTEG_STOP_BODY);
	if (transfer->discard)
	{
		/* Counted, so that an endless one ends too. */
		transfer->discarded += len;
		return len;
	}
	/* Handed over once more when the reader has made room. */
	if (transfer->window > 0 && body->len >= transfer->window)
	{
		transfer->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (body->data == NULL || body->len + len >= body->size)
	{
		size_t wanted = 2 * (body->len + len);

		if (wanted < FIRST_BODY)
			wanted = FIRST_BODY;
		if (wanted > transfer->request->max_response)
			wanted = transfer->request->max_response;
		if (!buffer_reserve(body, wanted))
			return stop(transfer, INTEG_STOP_MEMORY);
	}
	memcpy(body->data + body->len, data, len);
	body->len += len;
	return len;
}

/* Hands headers and body to the response; false when out of memory. */
bool
integ_receive_deliver(IntegTransfer *transfer, IntegHttpResponse *response)
{
	IntegBuffer *body = &transfer->body, *text = &transfer->header_text;

	if (body->data == NULL && !buffer_reserve(body, 0))
		return false;
	if (transfer->nheaders > 0)
	{
		size_t array = transfer->nheaders * sizeof(IntegHttpHeader);
		char *block = malloc(array + text->len);

		if (block == NULL)
			return false;
		memcpy(block + array, text->data, text->len);
		integ_utf8_sanitize(block + array, text->len);
		response->headers = (IntegHttpHeader *) block;
		response->nheaders = transfer->nheaders;
		for (int i = 0; i < transfer->nheaders; i++)
		{
			const char *name = block + array + transfer->header_offsets[i];

			response->headers[i] = (IntegHttpHeader){.name = name, .value = name + strlen(name) + 1};
		}
	}
	body->data[body->len] = '\0';
	response->body = body->data;
	response->body_len = body->len;
	response->received = body->len + transfer->taken;
	*body = (IntegBuffer){0};
	return true;
}

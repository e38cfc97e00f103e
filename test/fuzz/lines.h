/*
 * Inputs that are lines.
 */
#ifndef INTEG_FUZZ_LINES_H
#define INTEG_FUZZ_LINES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The next line as a text of its own, malloc'ed, so that the sanitizer sees who reads beyond it. */
static inline char *
line(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size == 0 ? NULL : memchr(*data, '\n', *size);
	size_t len = end == NULL ? *size : (size_t) (end - *data);
	char *text = malloc(len + 1);

	if (text == NULL)
		abort();
	memcpy(text, *data, len);
	text[len] = '\0';
	*data += len + (end != NULL);
	*size -= len + (end != NULL);
	return text;
}

/* All that is left, with a NUL behind it. */
static inline char *
rest(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#endif /* INTEG_FUZZ_LINES_H */

/* sources: src/http/url.c */
/* libs: -lcurl */
/*
 * Base, path and query, separated by newlines: what is composed keeps the base's origin, and has
 * no dot segment, control character or credentials.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const char *base, const char *url)
{
	char problem[128];
	char *wanted = integ_url_origin(base, problem, sizeof(problem));
	char *origin = integ_url_origin(url, problem, sizeof(problem));

	if (wanted == NULL || origin == NULL || strcmp(wanted, origin) != 0 || strncmp(url, origin, strlen(origin)) != 0)
		abort();
	for (const char *c = url; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~' || *c == '\\' || *c == '#')
			abort();
	if (strstr(url + strlen(origin), "/../") != NULL && strchr(url, '?') == NULL)
		abort();
	if (url[strlen(origin)] != '/')
		abort();
	free(wanted);
	free(origin);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *path, *query, *url, *encoded;
	char problem[128];

	memcpy(text, data, size);
	text[size] = '\0';
	encoded = integ_url_encode(text, size);
	path = strchr(text, '\n');
	if (path != NULL)
		*path++ = '\0';
	query = path != NULL ? strchr(path, '\n') : NULL;
	if (query != NULL)
		*query++ = '\0';
	problem[0] = '\0';
	url = integ_url_compose(text, NULL, path != NULL ? path : "", query, problem, sizeof(problem));
	if (url != NULL)
		check(text, url);
	else if (problem[0] == '\0')
		abort();
	free(url);
	/* As a placeholder's value it stays in its segment. */
	url = integ_url_compose("https://example.com/v1", "https://example.com", encoded, NULL, problem, sizeof(problem));
	if (url != NULL && size > 0 && strchr(url + strlen("https://example.com/v1/"), '/') != NULL)
		abort();
	free(url);
	free(encoded);
	if (path != NULL)
	{
		url = integ_url_resolve(text, path, problem, sizeof(problem));
		if (url != NULL)
			free(integ_url_origin(url, problem, sizeof(problem)));
		free(url);
	}
	free(text);
	return 0;
}

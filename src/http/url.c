/*
 * URLs: origin, composition, redirects.
 *
 * The text is checked before libcurl parses it, and the parts are checked after, so that a
 * change in how lenient libcurl is cannot change what is accepted.
 */
#include "http/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/hex.h"

#define OUT_OF_MEMORY "out of memory"

/* Labels of up to 63 bytes, 253 in all: RFC 1035, section 2.3.4. */
#define MAX_HOST 253
#define MAX_LABEL 63

typedef struct Text
{
	char *data;
	size_t len;
	size_t size;
} Text;

static void *
fail(char *problem, size_t size, const char *sentence)
{
	snprintf(problem, size, "%s", sentence);
	return NULL;
}

static bool
text_init(Text *text, size_t size)
{
	text->len = 0;
	text->size = size;
	text->data = malloc(size);
	return text->data != NULL;
}

/* The caller has sized the text for the worst case. */
static void
text_add(Text *text, const char *data, size_t len)
{
	memcpy(text->data + text->len, data, len);
	text->len += len;
	text->data[text->len] = '\0';
}

static void
text_add_encoded(Text *text, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";
	char encoded[3] = {'%', digits[c >> 4], digits[c & 15]};

	text_add(text, encoded, 3);
}

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Characters that no part of a URL of ours may contain as they stand. */
static const char *
forbidden(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c < 0x20 || c == 0x7f)
			return "The URL contains a control character.";
		if (c == ' ')
			return "The URL contains a space; write it as %20.";
		if (c == '\\')
			return "The URL contains a backslash; write it as %5C.";
	}
	return NULL;
}

/* Where the authority begins: behind "http://" or "https://", and nothing else. */
static const char *
authority_start(const char *url)
{
	if (strncasecmp(url, "http://", 7) == 0)
		return url + 7;
	if (strncasecmp(url, "https://", 8) == 0)
		return url + 8;
	return NULL;
}

/* A sentence where the text of the URL is not acceptable, NULL otherwise. */
static const char *
check_text(const char *url)
{
	const char *authority, *end, *problem;
	size_t len = strnlen(url, INTEG_URL_MAX + 1);

	if (len > INTEG_URL_MAX)
		return "The URL is too long.";
	problem = forbidden(url, len);
	if (problem != NULL)
		return problem;
	authority = authority_start(url);
	if (authority == NULL)
		return "The URL does not begin with http:// or https://.";
	end = authority + strcspn(authority, "/?#");
	if (end == authority)
		return "The URL has no host.";
	for (const char *c = authority; c < end; c++)
	{
		if (*c == '@')
			return "The URL contains credentials; enter them with integ_credential_set instead.";
		if (*c == '%')
			return "The host of the URL contains a percent sign.";
		if ((unsigned char) *c >= 0x80)
			return "The host of the URL is not ASCII; write it in its xn-- form.";
	}
	return NULL;
}

static bool
is_reg_name(const char *host)
{
	size_t len = strlen(host), label = 0;

	if (len > 0 && host[len - 1] == '.')
		len--;
	if (len == 0 || len > MAX_HOST)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (host[i] == '.')
		{
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!is_alnum(host[i]) && host[i] != '-' && host[i] != '_')
			return false;
		if (++label > MAX_LABEL)
			return false;
	}
	return label > 0;
}

/* Brings the host to its one spelling, in place where that is possible. */
static bool
canonical_host(const char *host, char *canonical, size_t size)
{
	size_t len = strlen(host);

	if (len >= size)
		return false;
	if (host[0] == '[')
	{
		char inner[INET6_ADDRSTRLEN];
		struct in6_addr address;

		if (len < 4 || host[len - 1] != ']' || len - 2 >= sizeof(inner))
			return false;
		memcpy(inner, host + 1, len - 2);
		inner[len - 2] = '\0';
		if (inet_pton(AF_INET6, inner, &address) != 1 ||
			inet_ntop(AF_INET6, &address, inner, sizeof(inner)) == NULL)
			return false;
		return snprintf(canonical, size, "[%s]", inner) < (int) size;
	}
	for (size_t i = 0; i <= len; i++)
		canonical[i] = host[i] >= 'A' && host[i] <= 'Z' ? (char) (host[i] | 0x20) : host[i];
	return is_reg_name(canonical);
}

static const char *
parse_problem(CURLUcode code)
{
	switch (code)
	{
		case CURLUE_BAD_PORT_NUMBER:
			return "The port of the URL is not between 1 and 65535.";
		case CURLUE_NO_HOST:
			return "The URL has no host.";
		case CURLUE_USER_NOT_ALLOWED:
			return "The URL contains credentials; enter them with integ_credential_set instead.";
		case CURLUE_OUT_OF_MEMORY:
			return OUT_OF_MEMORY;
		default:
			return "The URL is malformed.";
	}
}

/* Scheme, host and port of a parsed URL, put together again. */
static char *
build_origin(CURLU *parsed, char *problem, size_t size)
{
	char *scheme = NULL, *host = NULL, *port = NULL, *origin = NULL;
	char canonical[MAX_HOST + 3];
	long number;
	bool standard;

	if (curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
		curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
		fail(problem, size, "The URL is malformed.");
	else if (!canonical_host(host, canonical, sizeof(canonical)))
		fail(problem, size, "The host of the URL is malformed.");
	else if ((number = strtol(port, NULL, 10)) < 1 || number > 65535)
		fail(problem, size, parse_problem(CURLUE_BAD_PORT_NUMBER));
	else
	{
		size_t len = strlen(canonical) + 32;

		standard = number == (strcasecmp(scheme, "https") == 0 ? 443 : 80);
		origin = malloc(len);
		if (origin == NULL)
			fail(problem, size, OUT_OF_MEMORY);
		else if (standard)
			snprintf(origin, len, "%s://%s", strcasecmp(scheme, "https") == 0 ? "https" : "http", canonical);
		else
			snprintf(origin, len, "%s://%s:%ld", strcasecmp(scheme, "https") == 0 ? "https" : "http", canonical,
					 number);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return origin;
}

bool
integ_url_check(const char *url, size_t *authority, char *problem, size_t size)
{
	const char *sentence = check_text(url), *start;

	if (sentence != NULL)
	{
		fail(problem, size, sentence);
		return false;
	}
	start = authority_start(url);
	*authority = (size_t) (start - url) + strcspn(start, "/?#");
	return true;
}

static CURLU *
parse(const char *url, char *problem, size_t size)
{
	const char *sentence = check_text(url);
	CURLUcode code;
	CURLU *parsed;

	if (sentence != NULL)
		return fail(problem, size, sentence);
	parsed = curl_url();
	if (parsed == NULL)
		return fail(problem, size, OUT_OF_MEMORY);
	code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER | CURLU_PATH_AS_IS);
	if (code != CURLUE_OK)
	{
		curl_url_cleanup(parsed);
		return fail(problem, size, parse_problem(code));
	}
	return parsed;
}

char *
integ_url_origin(const char *url, char *problem, size_t size)
{
	CURLU *parsed = parse(url, problem, size);
	char *origin;

	if (parsed == NULL)
		return NULL;
	origin = build_origin(parsed, problem, size);
	curl_url_cleanup(parsed);
	return origin;
}

/*
 * Whether a segment, decoded once, has a part that climbs: some servers decode before
 * they split, take a backslash for a slash, or drop what follows a semicolon.
 */
static bool
climbs(const char *segment, size_t len)
{
	size_t dots = 0, others = 0;

	for (size_t i = 0; i < len; i++)
	{
		char c = segment[i];

		if (c == '%')
		{
			c = (char) (integ_hex_value(segment[i + 1]) << 4 | integ_hex_value(segment[i + 2]));
			i += 2;
		}
		if (c == '/' || c == '\\')
		{
			if (others == 0 && (dots == 1 || dots == 2))
				return true;
			dots = others = 0;
		}
		else if (c == ';' && others == 0 && (dots == 1 || dots == 2))
			return true;
		else if (c == '.')
			dots++;
		else
			others++;
	}
	return others == 0 && (dots == 1 || dots == 2);
}

/* Every percent sign is followed by two hex digits. */
static bool
well_encoded(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == '%' && (i + 2 >= len || integ_hex_value(text[i + 1]) < 0 || integ_hex_value(text[i + 2]) < 0))
			return false;
	return true;
}

/* A sentence where the path (without query) may not be requested, NULL otherwise. */
static const char *
check_path(const char *path, size_t len)
{
	const char *sentence = forbidden(path, len);

	if (sentence != NULL)
		return sentence;
	if (!well_encoded(path, len))
		return "The path contains a percent sign that begins no encoded byte; write it as %25.";
	for (size_t start = 0; start <= len;)
	{
		const char *slash = memchr(path + start, '/', len - start);
		size_t end = slash != NULL ? (size_t) (slash - path) : len;

		if (climbs(path + start, end - start))
			return "The path contains a segment that is or decodes to \".\" or \"..\".";
		start = end + 1;
	}
	return NULL;
}

/* As check_path, for the path of a request, which is appended to a base. */
static const char *
check_appended(const char *path, size_t len)
{
	if (len >= 2 && path[0] == '/' && path[1] == '/')
		return "The path begins with //, which would name another host.";
	if (len >= 1 && (path[0] == '@' || path[0] == ':'))
		return "The path begins with @ or :, which would change the host; begin it with a slash.";
	for (size_t i = 0; i + 2 < len && path[i] != '/'; i++)
		if (path[i] == ':' && path[i + 1] == '/' && path[i + 2] == '/')
			return "The path is a whole URL; give the part behind the base URL only.";
	return check_path(path, len);
}

static const char *
check_query(const char *query, size_t len)
{
	const char *sentence;

	if (memchr(query, '#', len) != NULL)
		return "The query contains a number sign; write it as %23.";
	sentence = forbidden(query, len);
	if (sentence != NULL)
		return sentence;
	if (!well_encoded(query, len))
		return "The query contains a percent sign that begins no encoded byte; write it as %25.";
	return NULL;
}

/* Appends, percent-encoding what RFC 3986 does not allow in a path or query. */
static void
add_part(Text *url, const char *part, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) part[i];

		if (c >= 0x80 || strchr("\"<>^`{|}[]", c) != NULL)
			text_add_encoded(url, c);
		else
			text_add(url, part + i, 1);
	}
}

/* A URL in its pieces, each pointing into the text it came from. */
typedef struct Pieces
{
	const char *path; /* begins with a slash, or is empty */
	size_t path_len;
	const char *query;
	size_t query_len;
} Pieces;

static void
split(const char *text, Pieces *pieces)
{
	size_t len = strcspn(text, "?");

	pieces->path = text;
	pieces->path_len = len;
	pieces->query = text[len] == '?' ? text + len + 1 : text + len;
	pieces->query_len = strlen(pieces->query);
}

static const char *
check_pieces(const Pieces *base, const Pieces *path, const Pieces *query)
{
	const char *sentence;

	if (memchr(base->path, '#', base->path_len) || memchr(base->query, '#', base->query_len))
		return "The base URL has a fragment.";
	if (memchr(path->path, '#', path->path_len) != NULL)
		return "The path contains a number sign; write it as %23.";
	if ((sentence = check_path(base->path, base->path_len)) != NULL ||
		(sentence = check_query(base->query, base->query_len)) != NULL ||
		(sentence = check_appended(path->path, path->path_len)) != NULL ||
		(sentence = check_query(path->query, path->query_len)) != NULL)
		return sentence;
	return check_query(query->query, query->query_len);
}

/* The text of the composed URL; the pieces have been checked. */
static char *
join(const char *origin, const Pieces *base, const Pieces *path, const Pieces *query)
{
	const Pieces *queries[] = {base, path, query};
	size_t base_len = base->path_len;
	bool first = true;
	Text url;

	if (!text_init(&url, strlen(origin) + 8 +
							 3 * (base_len + path->path_len + base->query_len + path->query_len + query->query_len)))
		return NULL;
	text_add(&url, origin, strlen(origin));
	if (path->path_len > 0 && base_len > 0 && base->path[base_len - 1] == '/')
		base_len--;
	add_part(&url, base->path, base_len);
	if (path->path_len > 0 ? path->path[0] != '/' : base_len == 0)
		text_add(&url, "/", 1);
	add_part(&url, path->path, path->path_len);
	for (int i = 0; i < 3; i++)
	{
		if (queries[i]->query_len == 0)
			continue;
		text_add(&url, first ? "?" : "&", 1);
		add_part(&url, queries[i]->query, queries[i]->query_len);
		first = false;
	}
	return url.data;
}

/*
 * The last word on the text as it will be requested: its authority is the origin's, byte for byte. An origin is in its
 * canonical form, so every parser reads the same host out of both (the fuzzer asks libcurl).
 */
static bool
has_origin(const char *url, const char *origin, char *problem, size_t size)
{
	size_t len;

	if (!integ_url_check(url, &len, problem, size))
		return false;
	if (len == strlen(origin) && memcmp(url, origin, len) == 0)
		return true;
	fail(problem, size, "The path would lead away from the base URL.");
	return false;
}

char *
integ_url_compose(const char *base, const char *origin, const char *path, const char *query, char *problem, size_t size)
{
	static const Pieces none = {"", 0, "", 0};
	Pieces base_pieces, path_pieces, query_pieces = none;
	char *parsed = NULL, *url = NULL;
	const char *behind, *sentence;

	if (origin == NULL && (origin = parsed = integ_url_origin(base, problem, size)) == NULL)
		return NULL;
	behind = authority_start(base);
	behind += strcspn(behind, "/?#");
	split(behind, &base_pieces);
	split(path, &path_pieces);
	if (query != NULL)
	{
		query_pieces.query = query;
		query_pieces.query_len = strlen(query);
	}
	sentence = check_pieces(&base_pieces, &path_pieces, &query_pieces);
	if (sentence != NULL)
		fail(problem, size, sentence);
	else if ((url = join(origin, &base_pieces, &path_pieces, &query_pieces)) == NULL)
		fail(problem, size, OUT_OF_MEMORY);
	else if (!has_origin(url, origin, problem, size))
	{
		free(url);
		url = NULL;
	}
	free(parsed);
	return url;
}

/* libcurl's own idea of the target; its caller checks it as any other URL. */
static char *
follow(CURLU *parsed, const char *location)
{
	char *found = NULL, *copy = NULL;

	if (curl_url_set(parsed, CURLUPART_URL, location, CURLU_DISALLOW_USER) == CURLUE_OK &&
		curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_URL, &found, 0) == CURLUE_OK)
		copy = strdup(found);
	curl_free(found);
	return copy;
}

char *
integ_url_resolve(const char *url, const char *location, char *problem, size_t size)
{
	const char *sentence;
	CURLU *parsed;
	char *target, *origin;

	if (strnlen(location, INTEG_URL_MAX + 1) > INTEG_URL_MAX)
		return fail(problem, size, "The URL is too long.");
	sentence = forbidden(location, strlen(location));
	if (sentence != NULL)
		return fail(problem, size, sentence);
	parsed = parse(url, problem, size);
	if (parsed == NULL)
		return NULL;
	target = follow(parsed, location);
	curl_url_cleanup(parsed);
	if (target == NULL)
		return fail(problem, size, "The URL is malformed, contains credentials, or is neither http nor https.");
	origin = integ_url_origin(target, problem, size);
	if (origin == NULL)
	{
		free(target);
		return NULL;
	}
	free(origin);
	return target;
}

char *
integ_url_encode(const char *value, size_t len)
{
	Text text;

	if (!text_init(&text, 3 * len + 1))
		return NULL;
	text.data[0] = '\0';
	for (size_t i = 0; i < len; i++)
	{
		if (is_alnum(value[i]) || (value[i] != '\0' && strchr("-._~", value[i]) != NULL))
			text_add(&text, value + i, 1);
		else
			text_add_encoded(&text, (unsigned char) value[i]);
	}
	return text.data;
}

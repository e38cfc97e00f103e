/*
 * Resolution of URI references.
 */
#include "schema/uri.h"

#include <string.h>

#include "core/hex.h"

/* A URI cut into its parts (RFC 3986, appendix B), delimiters included. */
typedef struct UriParts
{
	const char *scheme, *authority, *path, *query, *fragment, *end;
} UriParts;

static bool
is_scheme(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		char lower = (char) (text[i] | 0x20);
		bool alpha = lower >= 'a' && lower <= 'z';
		bool other = (text[i] >= '0' && text[i] <= '9') || text[i] == '+' || text[i] == '-' || text[i] == '.';

		if (!alpha && (i == 0 || !other))
			return false;
	}
	return len > 0;
}

static UriParts
split(const char *uri)
{
	UriParts parts = {.scheme = uri, .authority = uri};
	size_t colon = strcspn(uri, ":/?#");

	if (uri[colon] == ':' && is_scheme(uri, colon))
		parts.authority = uri + colon + 1;
	parts.path = parts.authority;
	if (parts.path[0] == '/' && parts.path[1] == '/')
		parts.path += 2 + strcspn(parts.path + 2, "/?#");
	parts.query = parts.path + strcspn(parts.path, "?#");
	parts.fragment = parts.query + strcspn(parts.query, "#");
	parts.end = uri + strlen(uri);
	return parts;
}

static char *
append(char *out, const char *from, const char *to)
{
	memmove(out, from, to - from);
	return out + (to - from);
}

/* Removes "." and ".." segments of the path from start to end, in place, and returns its new end. */
static char *
remove_dots(char *start, char *end)
{
	char *in = start, *out = start;

	while (in < end)
	{
		char *next = in + (*in == '/');
		size_t len;

		while (next < end && *next != '/')
			next++;
		len = next - in;
		if (len == 2 && memcmp(in, "/.", 2) == 0)
		{
			if (next == end)
				*out++ = '/';
		}
		else if (len == 3 && memcmp(in, "/..", 3) == 0)
		{
			while (out > start && *--out != '/')
				;
			if (next == end)
				*out++ = '/';
		}
		else
			out = append(out, in, next);
		in = next;
	}
	return out;
}

void
integ_uri_resolve(const char *base, const char *reference, char *out)
{
	UriParts b = split(base), r = split(reference);
	bool has_scheme = r.authority > r.scheme, has_authority = r.path > r.authority;
	char *path;

	if (has_scheme)
	{
		out = append(out, r.scheme, r.path);
		path = out;
		out = remove_dots(path, append(out, r.path, r.query));
		out = append(out, r.query, r.end);
		*out = '\0';
		return;
	}
	out = append(out, b.scheme, b.authority);
	if (has_authority)
		out = append(out, r.authority, r.path);
	else
		out = append(out, b.authority, b.path);
	path = out;
	if (r.path == r.query && !has_authority)
	{
		out = append(out, b.path, b.query);
		if (r.query == r.fragment)
			out = append(out, b.query, b.fragment);
	}
	else if (has_authority || *r.path == '/')
		out = remove_dots(path, append(out, r.path, r.query));
	else
	{
		const char *last = b.query;

		while (last > b.path && last[-1] != '/')
			last--;
		if (last == b.path && b.path > b.authority)
			*out++ = '/';
		out = append(out, b.path, last);
		out = remove_dots(path, append(out, r.path, r.query));
	}
	out = append(out, r.query, r.end);
	*out = '\0';
}

size_t
integ_uri_decode(char *text, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '%' && len - i > 2 && integ_hex_value(text[i + 1]) >= 0 && integ_hex_value(text[i + 2]) >= 0)
		{
			text[out++] = (char) (integ_hex_value(text[i + 1]) << 4 | integ_hex_value(text[i + 2]));
			i += 2;
		}
		else
			text[out++] = text[i];
	}
	return out;
}

/*
 * URIs, IRIs and URI templates.
 */
#include <string.h>

#include "schema/format_parts.h"

/* Characters beside the unreserved ones that a component may hold (RFC 3986, appendix A). */
#define SUB_DELIMS "!$&'()*+,;="
#define IN_USER_INFO SUB_DELIMS ":"
#define IN_REG_NAME SUB_DELIMS
#define IN_PATH SUB_DELIMS ":@/"
#define IN_QUERY SUB_DELIMS ":@/?"

static bool
is_escape(const char *text, size_t len)
{
	return len >= 3 && text[0] == '%' && format_is_hex(text[1]) && format_is_hex(text[2]);
}

/* Whether a component holds only unreserved characters, escapes and those of more. */
static bool
valid_part(const char *text, size_t len, const char *more, bool international)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c == '%')
		{
			if (!is_escape(text + i, len - i))
				return false;
			i += 2;
		}
		else if (c >= 0x80 ? !international
						   : c == '\0' || (!format_is_alnum((char) c) && strchr("-._~", c) == NULL &&
										   strchr(more, c) == NULL))
			return false;
	}
	return true;
}

/* "[v1.fe80::a+en1]" of RFC 3986, without the brackets. */
static bool
valid_ip_future(const char *text, size_t len)
{
	size_t at = 1;

	if (len < 4 || (text[0] != 'v' && text[0] != 'V'))
		return false;
	while (at < len && format_is_hex(text[at]))
		at++;
	return at > 1 && at + 1 < len && text[at] == '.' && memchr(text + at, '%', len - at) == NULL &&
		   valid_part(text + at + 1, len - at - 1, IN_USER_INFO, false);
}

static bool
valid_authority(const char *text, size_t len, bool international)
{
	const char *at = memchr(text, '@', len);
	size_t host = len;

	if (at != NULL)
	{
		if (!valid_part(text, at - text, IN_USER_INFO, international))
			return false;
		len -= at + 1 - text;
		text = at + 1;
		host = len;
	}
	while (host > 0 && format_is_digit(text[host - 1]))
		host--;
	/* What follows the last colon is the port, unless the colon is within brackets. */
	host = host > 0 && text[host - 1] == ':' ? host - 1 : len;
	if (host >= 2 && text[0] == '[' && text[host - 1] == ']')
		return format_ipv6(text + 1, host - 2) || valid_ip_future(text + 1, host - 2);
	return valid_part(text, host, IN_REG_NAME, international);
}

/* The length of the scheme without its colon; 0 where there is none. */
static size_t
scheme_length(const char *text, size_t len)
{
	size_t at = 0;

	if (len == 0 || !format_is_alpha(text[0]))
		return 0;
	while (at < len && (format_is_alnum(text[at]) || strchr("+-.", text[at]) != NULL) && text[at] != '\0')
		at++;
	return at < len && text[at] == ':' ? at : 0;
}

static size_t
until(const char *text, size_t len, const char *ends)
{
	size_t at = 0;

	while (at < len && (text[at] == '\0' || strchr(ends, text[at]) == NULL))
		at++;
	return at;
}

static bool
valid_reference(const char *text, size_t len, bool need_scheme, bool international)
{
	size_t scheme = scheme_length(text, len), n;

	if (need_scheme && scheme == 0)
		return false;
	if (scheme > 0)
	{
		text += scheme + 1;
		len -= scheme + 1;
	}
	if (len >= 2 && text[0] == '/' && text[1] == '/')
	{
		n = until(text + 2, len - 2, "/?#");
		if (!valid_authority(text + 2, n, international))
			return false;
		text += n + 2;
		len -= n + 2;
	}
	n = until(text, len, "?#");
	if (!valid_part(text, n, IN_PATH, international))
		return false;
	/* Without a scheme, a colon in the first segment would make one. */
	if (scheme == 0 && memchr(text, ':', until(text, n, "/")) != NULL)
		return false;
	text += n;
	len -= n;
	if (len > 0 && text[0] == '?')
	{
		n = until(text, len, "#");
		if (!valid_part(text + 1, n - 1, IN_QUERY, international))
			return false;
		text += n;
		len -= n;
	}
	return len == 0 || valid_part(text + 1, len - 1, IN_QUERY, international);
}

bool
format_uri(const char *text, size_t len)
{
	return valid_reference(text, len, true, false);
}

bool
format_uri_reference(const char *text, size_t len)
{
	return valid_reference(text, len, false, false);
}

bool
format_iri(const char *text, size_t len)
{
	return valid_reference(text, len, true, true);
}

bool
format_iri_reference(const char *text, size_t len)
{
	return valid_reference(text, len, false, true);
}

/* "term", "term:30" or "term*". */
static bool
valid_variable(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len && (format_is_alnum(text[at]) || text[at] == '_' || text[at] == '.' || text[at] == '%'))
	{
		if (text[at] == '%' && !is_escape(text + at, len - at))
			return false;
		if (text[at] == '.' && (at == 0 || text[at - 1] == '.'))
			return false;
		at += text[at] == '%' ? 3 : 1;
	}
	if (at == 0 || text[at - 1] == '.')
		return false;
	if (at < len && text[at] == '*')
		return at + 1 == len;
	if (at < len && text[at] == ':')
	{
		size_t digits = format_digits(text + at + 1, len - at - 1);

		return digits >= 1 && digits <= 4 && text[at + 1] != '0' && at + 1 + digits == len;
	}
	return at == len;
}

static bool
valid_expression(const char *text, size_t len)
{
	if (len > 0 && strchr("+#./;?&=,!@|", text[0]) != NULL && text[0] != '\0')
	{
		text++;
		len--;
	}
	for (;;)
	{
		size_t n = until(text, len, ",");

		if (!valid_variable(text, n))
			return false;
		if (n == len)
			return true;
		text += n + 1;
		len -= n + 1;
	}
}

bool
format_uri_template(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c == '{')
		{
			const char *end = memchr(text + i, '}', len - i);

			if (end == NULL || !valid_expression(text + i + 1, end - (text + i + 1)))
				return false;
			i = end - text;
		}
		else if (c == '%' ? !is_escape(text + i, len - i) : c <= 0x20 || c == 0x7f || strchr("\"<>\\^`|}", c) != NULL)
			return false;
	}
	return true;
}

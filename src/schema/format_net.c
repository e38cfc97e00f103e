/*
 * Hosts, addresses and mailboxes.
 */
#include <string.h>
#include <strings.h>

#include "schema/format_parts.h"

#define HOST_MAX 253
#define LABEL_MAX 63
#define LOCAL_PART_MAX 64

bool
format_hostname(const char *text, size_t len)
{
	size_t start = 0;

	if (len == 0 || len > HOST_MAX)
		return false;
	for (size_t i = 0; i <= len; i++)
	{
		if (i < len && text[i] != '.')
		{
			if (!format_is_alnum(text[i]) && text[i] != '-')
				return false;
			continue;
		}
		if (i == start || i - start > LABEL_MAX || text[start] == '-' || text[i - 1] == '-')
			return false;
		start = i + 1;
	}
	return true;
}

bool
format_ipv4(const char *text, size_t len)
{
	int parts = 0;
	size_t at = 0;

	while (parts < 4)
	{
		size_t digits = format_digits(text + at, len - at);
		int value = 0;

		if (digits == 0 || digits > 3 || (digits > 1 && text[at] == '0'))
			return false;
		for (size_t i = 0; i < digits; i++)
			value = value * 10 + (text[at + i] - '0');
		if (value > 255)
			return false;
		at += digits;
		if (++parts < 4 && (at == len || text[at++] != '.'))
			return false;
	}
	return at == len;
}

bool
format_ipv6(const char *text, size_t len)
{
	int groups = 0;
	bool gap = false;
	size_t at = 0;

	if (len >= 2 && text[0] == ':' && text[1] == ':')
	{
		gap = true;
		at = 2;
	}
	while (at < len)
	{
		size_t digits = 0;

		while (at + digits < len && format_is_hex(text[at + digits]))
			digits++;
		if (digits > 0 && at + digits < len && text[at + digits] == '.')
		{
			/* The last two groups may be written as an IPv4 address. */
			if (!format_ipv4(text + at, len - at))
				return false;
			groups += 2;
			at = len;
			break;
		}
		if (digits == 0 || digits > 4)
			return false;
		groups++;
		at += digits;
		if (at == len)
			break;
		if (text[at++] != ':' || at == len)
			return false;
		if (text[at] == ':')
		{
			if (gap)
				return false;
			gap = true;
			at++;
		}
	}
	return gap ? groups <= 7 : groups == 8;
}

static bool
is_atom(unsigned char c, bool international)
{
	if (c >= 0x80)
		return international;
	return format_is_alnum((char) c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool
valid_dot_atom(const char *text, size_t len, bool international)
{
	bool after_dot = true;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '.')
		{
			if (after_dot)
				return false;
			after_dot = true;
			continue;
		}
		if (!is_atom((unsigned char) text[i], international))
			return false;
		after_dot = false;
	}
	return !after_dot;
}

/* A quoted local part with its quotes. */
static bool
valid_quoted(const char *text, size_t len, bool international)
{
	if (len < 2 || text[0] != '"' || text[len - 1] != '"')
		return false;
	for (size_t i = 1; i < len - 1; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c == '\\' && ++i < len - 1)
			c = (unsigned char) text[i];
		else if (c == '"' || c == '\\')
			return false;
		if (c < 0x20 || c == 0x7f || (c >= 0x80 && !international))
			return false;
	}
	return true;
}

/* The domain behind the @: a host, or an address in brackets. */
static bool
valid_domain(const char *text, size_t len, bool international)
{
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']')
	{
		if (len > 7 && strncasecmp(text + 1, "IPv6:", 5) == 0)
			return format_ipv6(text + 6, len - 7);
		return format_ipv4(text + 1, len - 2);
	}
	if (!international)
		return format_hostname(text, len);
	if (len > HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		bool at_edge = i == 0 || i == len - 1 || text[i - 1] == '.' || text[i + 1] == '.';

		if ((unsigned char) text[i] < 0x80 && !format_is_alnum(text[i]) && text[i] != '.' &&
			(text[i] != '-' || at_edge))
			return false;
	}
	return valid_dot_atom(text, len, true);
}

static bool
valid_mailbox(const char *text, size_t len, bool international)
{
	const char *at = NULL;
	size_t local;

	for (size_t i = len; i > 0 && at == NULL; i--)
		if (text[i - 1] == '@')
			at = text + i - 1;
	if (at == NULL)
		return false;
	local = at - text;
	if (local == 0 || local > LOCAL_PART_MAX)
		return false;
	return (valid_dot_atom(text, local, international) || valid_quoted(text, local, international)) &&
		   valid_domain(at + 1, len - local - 1, international);
}

bool
format_email(const char *text, size_t len)
{
	return valid_mailbox(text, len, false);
}

bool
format_idn_email(const char *text, size_t len)
{
	return valid_mailbox(text, len, true);
}

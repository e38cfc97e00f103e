/*
 * Base64 (RFC 4648).
 */
#include "core/base64.h"

static int
sextet(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

static bool
is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Behind the last character there is padding, as much as the group lacks, or none; and white space. */
static bool
ends_well(const char *text, size_t len, int group)
{
	int padding = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '=')
			padding++;
		else if (!is_space((unsigned char) text[i]))
			return false;
	}
	return padding == 0 || (group > 0 && padding == 4 - group);
}

bool
integ_base64_decode(const char *text, size_t len, uint8_t *out, size_t *out_len)
{
	uint32_t bits = 0;
	int group = 0;
	size_t n = 0;
	size_t i = 0;

	for (; i < len && text[i] != '='; i++)
	{
		int value = sextet((unsigned char) text[i]);

		if (value < 0 && is_space((unsigned char) text[i]))
			continue;
		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t) value;
		if (++group < 4)
			continue;
		out[n++] = (uint8_t) (bits >> 16);
		out[n++] = (uint8_t) (bits >> 8);
		out[n++] = (uint8_t) bits;
		bits = 0;
		group = 0;
	}
	if (group == 1 || !ends_well(text + i, len - i, group))
		return false;
	/* What is left of the last group must be whole bytes. */
	if ((group == 2 && (bits & 0x0f) != 0) || (group == 3 && (bits & 0x03) != 0))
		return false;
	if (group == 2)
		out[n++] = (uint8_t) (bits >> 4);
	else if (group == 3)
	{
		out[n++] = (uint8_t) (bits >> 10);
		out[n++] = (uint8_t) (bits >> 2);
	}
	*out_len = n;
	return true;
}

size_t
integ_base64url_encode(const uint8_t *bytes, size_t len, char *out)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3)
	{
		uint32_t bits = (uint32_t) bytes[i] << 16;
		size_t left = len - i;

		if (left > 1)
			bits |= (uint32_t) bytes[i + 1] << 8;
		if (left > 2)
			bits |= bytes[i + 2];
		out[n++] = alphabet[bits >> 18];
		out[n++] = alphabet[bits >> 12 & 63];
		if (left > 1)
			out[n++] = alphabet[bits >> 6 & 63];
		if (left > 2)
			out[n++] = alphabet[bits & 63];
	}
	out[n] = '\0';
	return n;
}

/*
 * A service may echo what it was sent. Secrets in an answer are overwritten
 * before anything reads it, also where the answer spells them in JSON's escapes
 * (RFC 8259, section 7) or percent-encoded (RFC 3986, section 2.1).
 */
#include "execute/call.h"

#include "mb/pg_wchar.h"

/* A byte of a secret may be spelled \\u00XX. */
#define LONGEST_SPELLING 6

static void
mask_verbatim(char *text, size_t len, const IntegCallSecret *secret)
{
	char *end = text + len;

	while ((text = memmem(text, end - text, secret->data, secret->len)) != NULL)
	{
		memset(text, '*', secret->len);
		text += secret->len;
	}
}

/* The number of count hexadecimal digits at text; -1 where there are fewer. */
static int
read_hex(const char *text, const char *end, int count)
{
	int number = 0;

	if (end - text < count)
		return -1;
	for (int i = 0; i < count; i++)
	{
		unsigned char c = pg_ascii_tolower((unsigned char) text[i]);

		if (!isxdigit(c))
			return -1;
		number = number * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return number;
}

/* The code point of a \uXXXX, or of a pair of them, at text, and its length; 0 where there is none. */
static int
read_unicode_escape(const char *text, const char *end, pg_wchar *code)
{
	int unit = end - text >= 6 && text[1] == 'u' ? read_hex(text + 2, end, 4) : -1;
	int low;

	if (unit <= 0)
		return 0;
	*code = unit;
	if (!is_utf16_surrogate_first(unit))
		return 6;
	low = end - text >= 12 && text[6] == '\\' && text[7] == 'u' ? read_hex(text + 8, end, 4) : -1;
	if (low < 0 || !is_utf16_surrogate_second(low))
		return 0;
	*code = surrogate_pair_to_codepoint(unit, low);
	return 12;
}

/*
 * One character as it may be spelled at text: its bytes (at most 4) and how many, and the length of its
 * spelling, which is returned.
 */
static int
read_spelling(const char *text, const char *end, unsigned char *bytes, int *nbytes)
{
	static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *escape;
	pg_wchar code;
	int length, byte;

	*nbytes = 1;
	bytes[0] = (unsigned char) *text;
	if (*text == '%' && (byte = read_hex(text + 1, end, 2)) >= 0)
	{
		bytes[0] = (unsigned char) byte;
		return 3;
	}
	if (*text != '\\' || end - text < 2)
		return 1;
	if (text[1] != '\0' && (escape = strchr(escapes, text[1])) != NULL)
	{
		bytes[0] = (unsigned char) meant[escape - escapes];
		return 2;
	}
	length = read_unicode_escape(text, end, &code);
	if (length == 0)
		return 1;
	unicode_to_utf8(code, bytes);
	*nbytes = pg_utf_mblen(bytes);
	return length;
}

/* How many bytes at text spell the secret; 0 where they do not. */
static size_t
match_spelled(const char *text, const char *end, const IntegCallSecret *secret)
{
	const char *at = text;
	size_t matched = 0;

	while (matched < secret->len)
	{
		unsigned char bytes[4];
		int nbytes, length;

		if (at >= end)
			return 0;
		length = read_spelling(at, end, bytes, &nbytes);
		if (secret->len - matched < (size_t) nbytes || memcmp(secret->data + matched, bytes, nbytes) != 0)
			return 0;
		matched += nbytes;
		at += length;
	}
	return at - text;
}

static void
mask_spelled(char *text, size_t len, const IntegCallSecret *secret)
{
	char *end = text + len;

	while (text < end)
	{
		size_t matched = match_spelled(text, end, secret);

		memset(text, '*', matched);
		text += Max(matched, 1);
	}
}

size_t
integ_call_longest_secret(const IntegCall *call)
{
	size_t longest = 0;

	for (const IntegCallSecret *secret = call->secrets; secret != NULL; secret = secret->next)
		if (secret->masked)
			longest = Max(longest, secret->len);
	return longest * LONGEST_SPELLING;
}

void
integ_secrets_mask(const IntegCallSecret *secrets, char *text, size_t len)
{
	/* Most answers have neither, and are searched for what stands there alone. */
	bool spelled = memchr(text, '\\', len) != NULL || memchr(text, '%', len) != NULL;

	for (const IntegCallSecret *secret = secrets; secret != NULL; secret = secret->next)
	{
		if (!secret->masked || secret->len < INTEG_SHORTEST_MASKED)
			continue;
		mask_verbatim(text, len, secret);
		if (spelled)
			mask_spelled(text, len, secret);
	}
}

void
integ_call_mask_text(const IntegCall *call, char *text, size_t len)
{
	integ_secrets_mask(call->secrets, text, len);
}

void
integ_call_mask(IntegCall *call)
{
	IntegHttpResponse *response = call->response;

	if (response->body != NULL)
		integ_call_mask_text(call, response->body, response->body_len);
	for (int i = 0; i < response->nheaders; i++)
		integ_call_mask_text(call, (char *) response->headers[i].value, strlen(response->headers[i].value));
	integ_call_mask_text(call, response->error, strlen(response->error));
}

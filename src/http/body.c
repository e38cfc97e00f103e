/*
 * From the bytes of a body to text that PostgreSQL takes.
 *
 * One loop serves JSON and text, repaired or not: clean bytes form a run, which is
 * copied only when something behind it has to be replaced.
 */
#include "http/body.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"
#define REPLACEMENT_LEN 3

typedef unsigned char Byte;

typedef struct Output
{
	char *data; /* NULL until something had to be replaced */
	size_t len;
	size_t size;
	bool failed;
} Output;

static void
output_add(Output *output, const void *data, size_t len)
{
	if (output->failed)
		return;
	if (output->size - output->len <= len)
	{
		size_t size = output->size + output->size / 2 + len + 64;
		char *grown = realloc(output->data, size);

		if (grown == NULL)
		{
			output->failed = true;
			return;
		}
		output->data = grown;
		output->size = size;
	}
	memcpy(output->data + output->len, data, len);
	output->len += len;
	output->data[output->len] = '\0';
}

/*
 * Length of the valid UTF-8 sequence at p, or 0 with *bad set to the length of what one
 * U+FFFD stands for: the longest beginning of a sequence, at least a byte (Unicode 15, section 3.9).
 */
static size_t
utf8_sequence(const Byte *p, const Byte *end, size_t *bad)
{
	size_t left = (size_t) (end - p), need, i;
	Byte low = 0x80, high = 0xBF;

	*bad = 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		need = 2;
	else if ((p[0] & 0xF0) == 0xE0)
	{
		need = 3;
		if (p[0] == 0xE0)
			low = 0xA0;
		else if (p[0] == 0xED)
			high = 0x9F;
	}
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
	{
		need = 4;
		if (p[0] == 0xF0)
			low = 0x90;
		else if (p[0] == 0xF4)
			high = 0x8F;
	}
	else
		return 0;
	for (i = 1; i < need; i++)
	{
		if (i >= left || p[i] < low || p[i] > high)
		{
			*bad = i;
			return 0;
		}
		low = 0x80;
		high = 0xBF;
	}
	return need;
}

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Nonzero where a byte of word is zero. */
static inline uint64_t
zero_byte(uint64_t word)
{
	return (word - ONES) & ~word & HIGHS;
}

static inline const Byte *
skip_ascii(const Byte *p, const Byte *end)
{
	uint64_t word;

	for (; end - p >= 8; p += 8)
	{
		memcpy(&word, p, 8);
		if (word & HIGHS)
			break;
	}
	while (p < end && *p < 0x80)
		p++;
	return p;
}

void
integ_utf8_sanitize(char *bytes, size_t len)
{
	Byte *p = (Byte *) bytes, *end = p + len;

	while ((p = (Byte *) skip_ascii(p, end)) < end)
	{
		size_t bad, valid = utf8_sequence(p, end, &bad);

		if (valid == 0)
		{
			memset(p, '?', bad);
			valid = bad;
		}
		p += valid;
	}
}

/* Skips bytes that need no look: ASCII but NUL, and in strings but quote and backslash. */
static inline const Byte *
skip_plain(const Byte *p, const Byte *end, bool string)
{
	while (end - p >= 8)
	{
		uint64_t word, stop;

		memcpy(&word, p, 8);
		stop = (word & HIGHS) | zero_byte(word);
		if (string)
			stop |= zero_byte(word ^ (ONES * '"')) | zero_byte(word ^ (ONES * '\\'));
		if (stop != 0)
		{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
			/* The lowest mark is exact; only those above it may be false. */
			return p + __builtin_ctzll(stop) / 8;
#else
			break;
#endif
		}
		p += 8;
	}
	while (p < end && *p != 0 && *p < 0x80 && !(string && (*p == '"' || *p == '\\')))
		p++;
	return p;
}

typedef struct Scan
{
	const Byte *p;
	const Byte *end;
	const Byte *run; /* first byte that is not in the output yet */
	Output output;
	bool replaced;
} Scan;

/* Puts U+FFFD in the place of the next len bytes. */
static void
replace(Scan *scan, size_t len)
{
	output_add(&scan->output, scan->run, (size_t) (scan->p - scan->run));
	output_add(&scan->output, REPLACEMENT, REPLACEMENT_LEN);
	scan->p += len;
	scan->run = scan->p;
	scan->replaced = true;
}

/* At a byte that is NUL or not ASCII: passes what is valid, replaces what is not. */
static void
scan_special(Scan *scan)
{
	while (scan->p < scan->end && (*scan->p >= 0x80 || *scan->p == 0))
	{
		size_t bad = 1;
		size_t len = *scan->p == 0 ? 0 : utf8_sequence(scan->p, scan->end, &bad);

		if (len > 0)
			scan->p += len;
		else
			replace(scan, bad);
	}
}

/* The value of a \uXXXX at p, -1 where there is none. */
static int
unicode_escape(const Byte *p, const Byte *end)
{
	int value = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++)
	{
		Byte c = p[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value << 4 | ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return value;
}

/* At a backslash inside a string. */
static void
scan_escape(Scan *scan)
{
	const Byte *p = scan->p;
	int value;

	if (scan->end - p < 2 || p[1] == 0 || p[1] >= 0x80)
	{
		scan->p++;
		return;
	}
	value = unicode_escape(p, scan->end);
	if (value == 0 || (value >= 0xDC00 && value <= 0xDFFF))
		replace(scan, 6);
	else if (value >= 0xD800 && value <= 0xDBFF)
	{
		int low = unicode_escape(p + 6, scan->end);

		if (low >= 0xDC00 && low <= 0xDFFF)
			scan->p += 12;
		else
			replace(scan, 6);
	}
	else
		scan->p += 2;
}

/* Behind an opening quote, up to behind the closing one. */
static void
scan_string(Scan *scan)
{
	while ((scan->p = skip_plain(scan->p, scan->end, true)) < scan->end)
	{
		if (*scan->p == '"')
		{
			scan->p++;
			return;
		}
		if (*scan->p == '\\')
			scan_escape(scan);
		else
			scan_special(scan);
	}
}

/* What a byte means between strings. */
enum
{
	PLAIN,
	QUOTE,
	OPEN,
	CLOSE,
	SPECIAL
};

static const Byte meaning[256] = {
	[0] = SPECIAL, ['"'] = QUOTE, ['['] = OPEN, ['{'] = OPEN, [']'] = CLOSE, ['}'] = CLOSE, [0x80 ... 0xFF] = SPECIAL};

static IntegBodyStatus
scan_json(Scan *scan)
{
	const Byte *p = scan->p, *end = scan->end;
	int depth = 0;

	while (p < end)
	{
		switch (meaning[*p])
		{
			case QUOTE:
				scan->p = p + 1;
				scan_string(scan);
				p = scan->p;
				continue;
			case OPEN:
				if (++depth > INTEG_BODY_MAX_DEPTH)
					return INTEG_BODY_TOO_DEEP;
				break;
			case CLOSE:
				if (depth > 0)
					depth--;
				break;
			case SPECIAL:
				scan->p = p;
				scan_special(scan);
				p = scan->p;
				continue;
		}
		p++;
	}
	return INTEG_BODY_OK;
}

static void
scan_text(Scan *scan)
{
	while ((scan->p = skip_plain(scan->p, scan->end, false)) < scan->end)
		scan_special(scan);
}

/* Bytes that are, or should be, UTF-8. */
static IntegBodyStatus
from_utf8(const char *bytes, size_t len, bool json, IntegBodyText *text)
{
	Scan scan = {.p = (const Byte *) bytes, .end = (const Byte *) bytes + len, .run = (const Byte *) bytes};
	IntegBodyStatus status = INTEG_BODY_OK;

	if (json)
		status = scan_json(&scan);
	else
		scan_text(&scan);
	if (status == INTEG_BODY_OK && scan.replaced)
	{
		output_add(&scan.output, scan.run, (size_t) (scan.end - scan.run));
		if (scan.output.failed)
			status = INTEG_BODY_NO_MEMORY;
	}
	if (status != INTEG_BODY_OK)
	{
		free(scan.output.data);
		return status;
	}
	text->replaced = scan.replaced;
	text->owned = scan.output.data;
	text->text = scan.replaced ? scan.output.data : bytes;
	text->len = scan.replaced ? scan.output.len : len;
	return INTEG_BODY_OK;
}

typedef enum Encoding
{
	UTF8,
	UTF16LE,
	UTF16BE,
	UTF32LE,
	UTF32BE,
	UTF16_ANY, /* declared without a byte order */
	UTF32_ANY,
	OTHER
} Encoding;

static uint32_t
read_unit(const Byte *p, Encoding encoding)
{
	switch (encoding)
	{
		case UTF16LE:
			return (uint32_t) (p[0] | p[1] << 8);
		case UTF16BE:
			return (uint32_t) (p[0] << 8 | p[1]);
		case UTF32LE:
			return p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
		default:
			return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
	}
}

static size_t
write_utf8(uint32_t c, char *out)
{
	if (c < 0x80)
	{
		out[0] = (char) c;
		return 1;
	}
	if (c < 0x800)
	{
		out[0] = (char) (0xC0 | c >> 6);
		out[1] = (char) (0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000)
	{
		out[0] = (char) (0xE0 | c >> 12);
		out[1] = (char) (0x80 | (c >> 6 & 0x3F));
		out[2] = (char) (0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | c >> 18);
	out[1] = (char) (0x80 | (c >> 12 & 0x3F));
	out[2] = (char) (0x80 | (c >> 6 & 0x3F));
	out[3] = (char) (0x80 | (c & 0x3F));
	return 4;
}

/* UTF-16 and UTF-32 to UTF-8, malloc'ed; NULL when out of memory. */
static char *
transcode(const char *bytes, size_t len, Encoding encoding, size_t *out_len, bool *replaced)
{
	size_t unit = encoding == UTF16LE || encoding == UTF16BE ? 2 : 4;
	const Byte *p = (const Byte *) bytes, *end = p + len;
	/* Two bytes give at most three, four give at most four. */
	char *out = malloc(len / unit * 4 + REPLACEMENT_LEN + 1);
	size_t used = 0;

	if (out == NULL)
		return NULL;
	while ((size_t) (end - p) >= unit)
	{
		uint32_t c = read_unit(p, encoding);

		p += unit;
		if (unit == 2 && c >= 0xD800 && c <= 0xDBFF && end - p >= 2)
		{
			uint32_t low = read_unit(p, encoding);

			if (low >= 0xDC00 && low <= 0xDFFF)
			{
				c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
				p += 2;
			}
		}
		if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		{
			c = 0xFFFD;
			*replaced = true;
		}
		used += write_utf8(c, out + used);
	}
	if (p < end)
	{
		memcpy(out + used, REPLACEMENT, REPLACEMENT_LEN);
		used += REPLACEMENT_LEN;
		*replaced = true;
	}
	out[used] = '\0';
	*out_len = used;
	return out;
}

static Encoding
declared_encoding(const char *charset)
{
	static const struct
	{
		const char *name;
		Encoding encoding;
	} known[] = {
		{"", UTF8}, {"utf-8", UTF8}, {"utf8", UTF8}, {"us-ascii", UTF8}, {"ascii", UTF8}, {"unicode-1-1-utf-8", UTF8}, {"utf-16", UTF16_ANY}, {"utf16", UTF16_ANY}, {"utf-16le", UTF16LE}, {"utf-16be", UTF16BE}, {"utf-32", UTF32_ANY}, {"utf32", UTF32_ANY}, {"utf-32le", UTF32LE}, {"utf-32be", UTF32BE}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(charset, known[i].name) == 0)
			return known[i].encoding;
	return OTHER;
}

/* The encoding that a byte order mark names; *skip is its length, 0 where there is none. */
static Encoding
marked_encoding(const Byte *p, size_t len, size_t *skip)
{
	*skip = 0;
	if (len >= 3 && p[0] == 0xEF && p[1] == 0xBB && p[2] == 0xBF)
	{
		*skip = 3;
		return UTF8;
	}
	if (len >= 4 && p[0] == 0xFF && p[1] == 0xFE && p[2] == 0 && p[3] == 0)
	{
		*skip = 4;
		return UTF32LE;
	}
	if (len >= 4 && p[0] == 0 && p[1] == 0 && p[2] == 0xFE && p[3] == 0xFF)
	{
		*skip = 4;
		return UTF32BE;
	}
	if (len >= 2 && p[0] == 0xFF && p[1] == 0xFE)
	{
		*skip = 2;
		return UTF16LE;
	}
	if (len >= 2 && p[0] == 0xFE && p[1] == 0xFF)
	{
		*skip = 2;
		return UTF16BE;
	}
	return OTHER;
}

/* By where the NULs of its first two ASCII characters are; OTHER where nothing shows. */
static Encoding
pattern_encoding(const Byte *p, size_t len)
{
	if (len >= 4 && p[0] == 0 && p[1] == 0 && p[2] == 0 && p[3] != 0)
		return UTF32BE;
	if (len >= 4 && p[0] != 0 && p[1] == 0 && p[2] == 0 && p[3] == 0)
		return UTF32LE;
	if (len >= 2 && p[0] == 0 && p[1] != 0)
		return UTF16BE;
	if (len >= 2 && p[0] != 0 && p[1] == 0)
		return UTF16LE;
	return OTHER;
}

static Encoding
choose_encoding(const char *body, size_t len, const char *content_type, bool json, size_t *skip)
{
	Encoding encoding = marked_encoding((const Byte *) body, len, skip), declared;
	IntegMediaType type;

	if (*skip > 0)
		return encoding;
	integ_media_type_parse(content_type, &type);
	declared = declared_encoding(type.charset);
	if (declared != UTF16_ANY && declared != UTF32_ANY && (type.charset[0] != '\0' || !json))
		return declared;
	encoding = pattern_encoding((const Byte *) body, len);
	if (declared == UTF16_ANY)
		return encoding == UTF16LE ? UTF16LE : UTF16BE;
	if (declared == UTF32_ANY)
		return encoding == UTF32LE ? UTF32LE : UTF32BE;
	return encoding == OTHER ? UTF8 : encoding;
}

static IntegBodyStatus
convert(const char *body, size_t len, const char *content_type, bool json, IntegBodyText *text)
{
	size_t skip, utf8_len;
	Encoding encoding = choose_encoding(body, len, content_type, json, &skip);
	IntegBodyStatus status;
	bool replaced = false;
	char *utf8;

	memset(text, 0, sizeof(*text));
	if (encoding == OTHER)
		return INTEG_BODY_CHARSET;
	if (encoding == UTF8)
		return from_utf8(body + skip, len - skip, json, text);
	utf8 = transcode(body + skip, len - skip, encoding, &utf8_len, &replaced);
	if (utf8 == NULL)
		return INTEG_BODY_NO_MEMORY;
	status = from_utf8(utf8, utf8_len, json, text);
	if (status == INTEG_BODY_OK && text->owned == NULL)
		text->owned = utf8;
	else
		free(utf8);
	if (status == INTEG_BODY_OK)
		text->replaced = text->replaced || replaced;
	return status;
}

IntegBodyStatus
integ_body_to_json_text(const char *body, size_t len, const char *content_type, IntegBodyText *text)
{
	return convert(body, len, content_type, true, text);
}

IntegBodyStatus
integ_body_to_text(const char *body, size_t len, const char *content_type, IntegBodyText *text)
{
	return convert(body, len, content_type, false, text);
}

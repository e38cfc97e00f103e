/*
 * Charsets beyond Unicode's, by PostgreSQL's conversions.
 */
#include "http/decode.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#define CHUNK 8192
#define REPLACEMENT "\xEF\xBF\xBD"

/* PostgreSQL's encoding for a charset of the web, -1 where it has none. */
static int
encoding_of(const char *charset)
{
	/* Names that it does not know by themselves. */
	static const struct
	{
		const char *charset;
		int encoding;
	} aliases[] = {{"cp1250", PG_WIN1250}, {"cp1251", PG_WIN1251}, {"cp1252", PG_WIN1252}, {"gb2312", PG_GBK}, {"ks_c_5601-1987", PG_UHC}, {"x-sjis", PG_SJIS}, {"ms_kanji", PG_SJIS}, {"x-euc-jp", PG_EUC_JP}};

	for (size_t i = 0; i < lengthof(aliases); i++)
		if (strcmp(charset, aliases[i].charset) == 0)
			return aliases[i].encoding;
	return pg_char_to_encoding(charset);
}

/* Converts piece by piece; a byte that begins no character becomes U+FFFD. */
static bool
convert(Oid conversion, int encoding, const char *body, size_t len, StringInfo utf8)
{
	unsigned char piece[CHUNK * MAX_CONVERSION_GROWTH + 1];
	bool replaced = false;
	size_t done = 0;

	while (done < len)
	{
		int count = (int) Min(len - done, CHUNK);
		int converted = pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8, (unsigned char *) body + done,
													  count, piece, sizeof(piece), true);

		if (converted > 0)
		{
			appendStringInfoString(utf8, (char *) piece);
			done += converted;
			continue;
		}
		appendStringInfoString(utf8, REPLACEMENT);
		replaced = true;
		done++;
	}
	return replaced;
}

static void
free_text(void *owned)
{
	free(owned);
}

/* Ties what the text owns to the current memory context. */
static IntegBodyStatus
keep(IntegBodyStatus status, IntegBodyText *text)
{
	MemoryContextCallback *callback;

	if (status != INTEG_BODY_OK || text->owned == NULL)
		return status;
	callback = palloc_extended(sizeof(MemoryContextCallback), MCXT_ALLOC_NO_OOM);
	if (callback == NULL)
	{
		free(text->owned);
		return INTEG_BODY_NO_MEMORY;
	}
	callback->func = free_text;
	callback->arg = text->owned;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	text->owned = NULL;
	return status;
}

static IntegBodyStatus
to_text(const char *body, size_t len, const char *content_type, bool json, IntegBodyText *text)
{
	return keep(json ? integ_body_to_json_text(body, len, content_type, text)
					 : integ_body_to_text(body, len, content_type, text),
				text);
}

IntegBodyStatus
integ_body_decode(const char *body, size_t len, const char *content_type, bool json, IntegBodyText *text)
{
	IntegBodyStatus status = to_text(body, len, content_type, json, text);
	IntegMediaType type;
	StringInfoData utf8;
	Oid conversion;
	int encoding;
	bool replaced;

	if (status != INTEG_BODY_CHARSET)
		return status;
	integ_media_type_parse(content_type, &type);
	encoding = encoding_of(type.charset);
	conversion = encoding < 0 ? InvalidOid : FindDefaultConversionProc(encoding, PG_UTF8);
	if (!OidIsValid(conversion))
		return INTEG_BODY_CHARSET;
	initStringInfo(&utf8);
	replaced = convert(conversion, encoding, body, len, &utf8);
	status = to_text(utf8.data, utf8.len, "text/plain; charset=utf-8", json, text);
	if (status == INTEG_BODY_OK)
		text->replaced = text->replaced || replaced;
	return status;
}

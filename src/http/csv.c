/*
 * CSV (RFC 4180).
 */
#include "http/csv.h"

#include <string.h>

void
integ_csv_begin(IntegCsv *csv, const char *text, size_t len, char delimiter, char *buffer)
{
	*csv = (IntegCsv){.at = text, .end = text + len, .delimiter = delimiter, .buffer = buffer};
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		csv->at += 3;
}

static bool
is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

static void
skip_line_end(IntegCsv *csv)
{
	if (*csv->at == '\r' && csv->at + 1 < csv->end && csv->at[1] == '\n')
		csv->at++;
	csv->at++;
}

/* Behind a value: what stands there says whether it was the row's last. */
static IntegCsvToken
end_value(IntegCsv *csv)
{
	csv->behind = csv->at < csv->end && *csv->at == csv->delimiter;
	if (csv->behind)
	{
		csv->at++;
		return INTEG_CSV_VALUE;
	}
	if (csv->at < csv->end)
		skip_line_end(csv);
	return INTEG_CSV_LAST;
}

/* From behind the opening quote. */
static IntegCsvToken
read_quoted(IntegCsv *csv, const char **value, size_t *len)
{
	char *copy = csv->buffer;

	*value = csv->buffer;
	for (;;)
	{
		const char *quote = memchr(csv->at, '"', (size_t) (csv->end - csv->at));

		if (quote == NULL)
			return INTEG_CSV_UNCLOSED;
		memcpy(copy, csv->at, (size_t) (quote - csv->at));
		copy += quote - csv->at;
		csv->at = quote + 1;
		if (csv->at == csv->end || *csv->at != '"')
			break;
		*copy++ = '"';
		csv->at++;
	}
	*len = (size_t) (copy - csv->buffer);
	if (csv->at < csv->end && *csv->at != csv->delimiter && !is_line_end(*csv->at))
		return INTEG_CSV_AFTER_QUOTE;
	return end_value(csv);
}

IntegCsvToken
integ_csv_next(IntegCsv *csv, const char **value, size_t *len, bool *quoted)
{
	const char *from;

	if (!csv->behind)
	{
		while (csv->at < csv->end && is_line_end(*csv->at))
			csv->at++;
		if (csv->at == csv->end)
			return INTEG_CSV_END;
		csv->row++;
	}
	*quoted = csv->at < csv->end && *csv->at == '"';
	if (*quoted)
	{
		csv->at++;
		return read_quoted(csv, value, len);
	}
	from = csv->at;
	while (csv->at < csv->end && *csv->at != csv->delimiter && !is_line_end(*csv->at))
		csv->at++;
	*value = from;
	*len = (size_t) (csv->at - from);
	return end_value(csv);
}

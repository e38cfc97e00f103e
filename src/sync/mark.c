/*
 * Marks: how far a list was read.
 */
#include "sync/mark.h"

#include "convert/conversion.h"
#include "utils/timestamp.h"

/* Seconds from 100,000,000,000 on are milliseconds. */
#define FIRST_MILLISECOND INT64CONST(100000000000)

static bool
is_epoch(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && (text[digits] == '\0' || text[digits] == '.');
}

const char *
integ_mark_before(const char *mark, int64 overlap_ms)
{
	JsonbValue value = {.type = jbvString};
	TimestampTz time;
	struct pg_tm tm;
	fsec_t fsec;

	if (mark == NULL || overlap_ms == 0)
		return mark;
	if (is_epoch(mark))
	{
		int64 number = strtoll(mark, NULL, 10);

		return psprintf("%lld",
						(long long) (number - (number >= FIRST_MILLISECOND ? overlap_ms : overlap_ms / 1000)));
	}
	value.val.string.val = unconstify(char *, mark);
	value.val.string.len = strlen(mark);
	if (!integ_value_instant(&value, &time) ||
		timestamp2tm(time - overlap_ms * 1000, NULL, &tm, &fsec, NULL, NULL) != 0)
		return mark;
	if (strchr(mark, ':') == NULL)
		return psprintf("%04d-%02d-%02d", tm.tm_year, tm.tm_mon, tm.tm_mday);
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
					tm.tm_sec);
}

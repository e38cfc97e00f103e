/*
 * Reading texts as numbers, as dates and as templates. Free of PostgreSQL;
 * nothing is allocated.
 */
#ifndef INTEG_CONVERT_SCAN_H
#define INTEG_CONVERT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Whether the text is a decimal number: [+-] digits [. digits] [e [+-] digits], with digits before or after the point
 * and white space of ASCII around. Numbers of more than 1,000 characters or with an exponent
 * beyond ±1,000 are none: they have no use, and their arithmetic no end.
 * start and length (may be NULL) are the number without the white space and without a plus.
 */
extern bool integ_scan_number(const char *text, size_t len, size_t *start, size_t *length);

/* The same, for what JSON calls a number: no plus, no leading zero, no white space. */
extern bool integ_scan_json_number(const char *text, size_t len);

/* A date, or a time, as ISO 8601 and RFC 3339 write them. */
typedef struct IntegIsoTime
{
	int year; /* 1 … 9999 */
	int month;
	int day;
	bool has_time;
	int hour; /* 24:00:00 is the next day's midnight and stays 24 here */
	int minute;
	int second;		 /* 60 stays 60: a leap second */
	int microsecond; /* rounded; 1000000 is a second more */
	bool has_zone;
	int offset; /* seconds east of UTC */
} IntegIsoTime;

/*
 * Reads YYYY-MM-DD, optionally followed by T, t or a space, HH:MM[:SS[(.|,)digits]] and Z, z, ±HH:MM, ±HHMM or ±HH.
 * False where the text is anything else, or the date does not exist.
 */
extern bool integ_scan_iso_time(const char *text, size_t len, IntegIsoTime *time);

typedef enum IntegPlaceholder
{
	INTEG_PLACEHOLDER_END,
	INTEG_PLACEHOLDER_LITERAL,
	INTEG_PLACEHOLDER_FIELD,   /* ${path}: text is the path */
	INTEG_PLACEHOLDER_TASK,	   /* {{task.path}}: text is the path behind "task." */
	INTEG_PLACEHOLDER_UNCLOSED /* text is where it begins */
} IntegPlaceholder;

typedef struct IntegPlaceholderScan
{
	const char *source;
	size_t source_len;
	size_t at;
	bool fields; /* whether ${…} is one; else it is literal */

	/* of the last piece */
	const char *text;
	size_t len;
} IntegPlaceholderScan;

/* The next piece of a text. "$${" is a literal "${"; braces that are no placeholder stand for themselves. */
extern IntegPlaceholder integ_placeholder_next(IntegPlaceholderScan *scan);

#endif /* INTEG_CONVERT_SCAN_H */

/*
 * The single formats, and the character classes they share. Private to the
 * format code; each function says whether the whole text has the format.
 */
#ifndef INTEG_SCHEMA_FORMAT_PARTS_H
#define INTEG_SCHEMA_FORMAT_PARTS_H

#include <stdbool.h>
#include <stddef.h>

/* Character classes are ASCII whatever the locale. */
static inline bool
format_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
format_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
format_is_alnum(char c)
{
	return format_is_digit(c) || format_is_alpha(c);
}

static inline bool
format_is_hex(char c)
{
	return format_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* How many digits the text starts with. */
static inline size_t
format_digits(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && format_is_digit(text[n]))
		n++;
	return n;
}

extern bool format_date_time(const char *text, size_t len);
extern bool format_date(const char *text, size_t len);
extern bool format_time(const char *text, size_t len);
extern bool format_duration(const char *text, size_t len);
extern bool format_email(const char *text, size_t len);
extern bool format_idn_email(const char *text, size_t len);
extern bool format_hostname(const char *text, size_t len);
extern bool format_ipv4(const char *text, size_t len);
extern bool format_ipv6(const char *text, size_t len);
extern bool format_uri(const char *text, size_t len);
extern bool format_uri_reference(const char *text, size_t len);
extern bool format_iri(const char *text, size_t len);
extern bool format_iri_reference(const char *text, size_t len);
extern bool format_uri_template(const char *text, size_t len);

#endif /* INTEG_SCHEMA_FORMAT_PARTS_H */

/*
 * application/x-www-form-urlencoded, as queries and bodies of forms are written. Free of PostgreSQL.
 */
#ifndef INTEG_HTTP_FORM_H
#define INTEG_HTTP_FORM_H

#include <stdbool.h>
#include <stddef.h>

/* One field, as it is written: where its name and value are in the text. */
typedef struct IntegFormField
{
	const char *name;
	size_t name_len;
	const char *value; /* never NULL: a field without "=" has an empty one */
	size_t value_len;
} IntegFormField;

/*
 * The field at *text, which is moved behind it; false at end. Empty fields are passed over. Source: URL Living
 * Standard, section 5.1.
 */
extern bool integ_form_next(const char **text, const char *end, IntegFormField *field);

/*
 * Decodes a name or a value into out (len bytes; it may be text itself) and returns the length: a plus is a space, and
 * an escape that is malformed stays as it is.
 */
extern size_t integ_form_decode(const char *text, size_t len, char *out);

#endif /* INTEG_HTTP_FORM_H */

/*
 * Text in StringInfo and char pointers.
 */
#ifndef INTEG_CORE_TEXT_H
#define INTEG_CORE_TEXT_H

#include "postgres.h"

#include "lib/stringinfo.h"

/*
 * Appends as appendStringInfo does, for a function that takes the format and
 * its arguments itself: between its va_start and va_end.
 */
extern void integ_text_append_va(StringInfo text, const char *format, va_list args) pg_attribute_printf(2, 0);

/* The same as a string of its own, in CurrentMemoryContext. */
extern char *integ_text_va(const char *format, va_list args) pg_attribute_printf(1, 0);

#endif /* INTEG_CORE_TEXT_H */

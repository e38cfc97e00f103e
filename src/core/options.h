/*
 * Options are jsonb objects that are checked: an unknown key or a wrong type
 * is IG400 with the list of what is known.
 */
#ifndef INTEG_CORE_OPTIONS_H
#define INTEG_CORE_OPTIONS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

typedef enum IntegOptionType
{
	INTEG_OPTION_TEXT,		  /* char *: NULL where absent */
	INTEG_OPTION_BOOL,		  /* bool: left as it was where absent */
	INTEG_OPTION_INT,		  /* int64: left as it was where absent */
	INTEG_OPTION_OBJECT,	  /* Jsonb *: NULL where absent */
	INTEG_OPTION_ARRAY,		  /* Jsonb *: NULL where absent */
	INTEG_OPTION_DURATION_MS, /* int64 milliseconds, from a number of milliseconds or an interval text */
	INTEG_OPTION_TIME		  /* TimestampTz, from a finite time's text: left as it was where absent */
} IntegOptionType;

typedef struct IntegOption
{
	const char *name;
	IntegOptionType type;
	void *target;
} IntegOption;

/*
 * Fills the targets from options, which may be NULL. function names the caller
 * in messages. Text and documents are in CurrentMemoryContext. A JSON null
 * counts as absent. Raises IG400.
 */
extern void integ_options_parse(const Jsonb *options, const IntegOption *known, int nknown,
								const char *function);

/* A text as PostgreSQL reads an interval, in CurrentMemoryContext; NULL where it is none. */
extern Interval *integ_read_interval(char *text);

#endif /* INTEG_CORE_OPTIONS_H */

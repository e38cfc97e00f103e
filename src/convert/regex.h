/*
 * Regular expressions: PostgreSQL's engine and dialect (ARE), compiled once.
 */
#ifndef INTEG_CONVERT_REGEX_H
#define INTEG_CONVERT_REGEX_H

#include "postgres.h"

#include "lib/stringinfo.h"

typedef struct ConvertRegex ConvertRegex;

/*
 * Compiles into CurrentMemoryContext. NULL where the pattern is not valid: problem then says why. Letters and case are
 * Unicode's, whatever the database's collation.
 */
extern ConvertRegex *convert_regex_compile(const char *pattern, const char **problem);

/*
 * Whether the pattern matches anywhere in the text. Cancellable. False with problem set where the engine gives up
 * ("regular expression is too complex").
 */
extern bool convert_regex_matches(const ConvertRegex *regex, const char *text, int len, const char **problem);

typedef struct ConvertRegexReplacement ConvertRegexReplacement;

/* A replacement: \1 … \9 a group, \& the match, \\ a backslash. NULL with problem where a group is not there. */
extern ConvertRegexReplacement *convert_regex_replacement(const ConvertRegex *regex, const char *text,
														  const char **problem);

/*
 * Replaces every match, appending to out; at most max bytes. False with problem where it gives up or grows beyond.
 */
extern bool convert_regex_replace(const ConvertRegex *regex, const ConvertRegexReplacement *replacement,
								  const char *text, int len, int max, StringInfo out, const char **problem);

#endif /* INTEG_CONVERT_REGEX_H */

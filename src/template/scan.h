/*
 * The text of a template, cut into literals, placeholders and optional
 * fragments; and dotted paths, cut into steps. Free of PostgreSQL; nothing is
 * allocated, tokens point into the text.
 *
 *   {name}  placeholder      {+name}  placeholder that keeps its slashes
 *   […]     fragment, where it holds a placeholder; otherwise literal
 *   {{ }} [[ ]]  a literal brace or bracket
 */
#ifndef INTEG_TEMPLATE_SCAN_H
#define INTEG_TEMPLATE_SCAN_H

#include <stdbool.h>
#include <stddef.h>

typedef enum IntegScanToken
{
	INTEG_SCAN_END,
	INTEG_SCAN_LITERAL,		/* text, len */
	INTEG_SCAN_PLACEHOLDER, /* text, len: what is within the braces, without "+" */
	INTEG_SCAN_OPEN,		/* a fragment begins; they do not nest */
	INTEG_SCAN_CLOSE,
	INTEG_SCAN_MALFORMED /* problem: a phrase that continues "the template …"; at: where */
} IntegScanToken;

typedef struct IntegScan
{
	const char *source;
	size_t source_len;
	size_t at;
	bool in_fragment;

	/* of the last token */
	const char *text;
	size_t len;
	bool keep_slashes;
	const char *problem;
} IntegScan;

extern void integ_scan_begin(IntegScan *scan, const char *source, size_t len);
extern IntegScanToken integ_scan_next(IntegScan *scan);

/*
 * The steps of a path: data.items[0]."odd key"[-1]. A key may hold anything but
 * . [ ] { } " spaces and control characters; a quoted one anything, with \" and \\ for a quote and
 * a backslash.
 */
typedef struct IntegSteps
{
	const char *source;
	size_t source_len;
	size_t at;

	/* of the last step */
	const char *key; /* NULL: an index */
	size_t len;
	bool escaped;		 /* the key holds backslashes: see integ_steps_unescape */
	int index;			 /* negative: from the end */
	const char *problem; /* a phrase that continues "the path …" */
} IntegSteps;

extern void integ_steps_begin(IntegSteps *steps, const char *source, size_t len);

/* Reads the next step. False at the end, and where problem is set. */
extern bool integ_steps_next(IntegSteps *steps);

/* Writes the key of the last step without its backslashes to out, which has len bytes; returns the length. */
extern size_t integ_steps_unescape(const IntegSteps *steps, char *out);

#endif /* INTEG_TEMPLATE_SCAN_H */

/*
 * CSV. Free of PostgreSQL.
 */
#ifndef INTEG_HTTP_CSV_H
#define INTEG_HTTP_CSV_H

#include <stdbool.h>
#include <stddef.h>

typedef enum IntegCsvToken
{
	INTEG_CSV_VALUE,	  /* another value of the row follows */
	INTEG_CSV_LAST,		  /* the row's last value */
	INTEG_CSV_END,		  /* behind the last row */
	INTEG_CSV_UNCLOSED,	  /* a quoted value does not end */
	INTEG_CSV_AFTER_QUOTE /* something stands between a closing quote and the delimiter */
} IntegCsvToken;

typedef struct IntegCsv
{
	const char *at, *end;
	char delimiter;
	char *buffer;  /* of the caller: at least as long as the text; quoted values that have quotes are put there */
	long long row; /* from 1, of the last value */
	bool behind;   /* a row has begun */
} IntegCsv;

/*
 * Begins to read len bytes of text. Rows end with CRLF, LF or CR; values that contain delimiters, quotes or line ends
 * are quoted, with quotes doubled; a quote inside an unquoted value stands for itself; empty lines are passed
 * over. Source: RFC 4180.
 */
extern void integ_csv_begin(IntegCsv *csv, const char *text, size_t len, char delimiter, char *buffer);

/*
 * The next value: where it is, in the text or in the buffer, valid until the next call; quoted where it was. What is
 * malformed is final.
 */
extern IntegCsvToken integ_csv_next(IntegCsv *csv, const char **value, size_t *len, bool *quoted);

#endif /* INTEG_HTTP_CSV_H */

/* sources: src/http/csv.c */
/*
 * CSV, well and badly made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/csv.h"

/* Values as [value] or "[value]" where quoted, rows with a slash behind them, then how it ended. */
static void
expect(const char *text, char delimiter, const char *expected)
{
	size_t len = strlen(text);
	char *copy = malloc(len > 0 ? len : 1), *buffer = malloc(len + 1), result[512] = "";
	const char *value;
	size_t value_len;
	bool quoted;
	IntegCsv csv;
	IntegCsvToken token;

	/* No NUL behind it. */
	memcpy(copy, text, len);
	integ_csv_begin(&csv, copy, len, delimiter, buffer);
	while ((token = integ_csv_next(&csv, &value, &value_len, &quoted)) <= INTEG_CSV_LAST)
		sprintf(result + strlen(result), quoted ? "\"%.*s\"%s" : "[%.*s]%s", (int) value_len, value,
				token == INTEG_CSV_LAST ? "/" : "");
	strcat(result, token == INTEG_CSV_END ? "." : token == INTEG_CSV_UNCLOSED ? "unclosed"
																			  : "after");
	assert_string_equal(result, expected);
	free(copy);
	free(buffer);
}

static void
values_are_read(void **state)
{
	(void) state;
	expect("a,b\r\nc,d\r\n", ',', "[a][b]/[c][d]/.");
	expect("a,b\nc,d", ',', "[a][b]/[c][d]/.");
	expect("a,b\rc,d\r", ',', "[a][b]/[c][d]/.");
	expect("\"a\",\"b,\r\n\"\"c\"\"\"\n", ',', "\"a\"\"b,\r\n\"c\"\"/.");
	expect("a,,\n,,\n", ',', "[a][][]/[][][]/.");
	expect("\"\",\n", ',', "\"\"[]/.");
	expect("a;b,c\n", ';', "[a][b,c]/.");
	expect("a\tb\n", '\t', "[a][b]/.");
	expect("\xEF\xBB\xBF"
		   "a\n",
		   ',', "[a]/.");
	expect("a\n\n\r\n\nb\n\n", ',', "[a]/[b]/.");
	expect("5\" disk,b\n", ',', "[5\" disk][b]/.");
	expect("", ',', ".");
	expect("\n", ',', ".");
	expect(",", ',', "[][]/.");
}

static void
malformed_text_is_told(void **state)
{
	(void) state;
	expect("a,\"b\n", ',', "[a]unclosed");
	expect("\"", ',', "unclosed");
	expect("\"a\"b,c\n", ',', "after");
	expect("\"a\" ,c\n", ',', "after");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(malformed_text_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

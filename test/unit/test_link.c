/* sources: src/http/link.c */
/*
 * Link headers, as services spell them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/link.h"

/* The header is copied to memory of its size, so that the sanitizer sees who reads beyond it. */
static void
expect(const char *header, const char *rel, const char *expected)
{
	char *copy = strdup(header);
	const char *target;
	size_t len;
	bool found = integ_link_find(copy, rel, &target, &len);

	if (found != (expected != NULL))
		fail_msg("%s: %s", header, found ? "found" : "not found");
	if (found && (len != strlen(expected) || memcmp(target, expected, len) != 0))
		fail_msg("%s: %.*s", header, (int) len, target);
	free(copy);
}

static void
links_are_found(void **state)
{
	(void) state;
	expect("<a>; rel=next", "next", "a");
	expect("<a>;rel=\"next\"", "next", "a");
	expect(" <a> ; rel = \"prev next\" ; x", "next", "a");
	expect("<a>; rel=\"first\", <b>; rel=\"next\"", "next", "b");
	expect("<a>; REL=NEXT", "next", "a");
	expect("<https://h/p?a=1,2;3&b=%3E>; rel=next", "next", "https://h/p?a=1,2;3&b=%3E");
	expect("<a>; title=\"x, <b>; rel=\\\"next\\\"\"; rel=last, <c>; rel=next", "next", "c");
	expect(",, <a>; rel=next,", "next", "a");
	expect("<>; rel=next", "next", "");
	expect("<a>; rel=first; rel=next, <b>; rel=next", "next", "b");
	expect("<a>; rel=next; anchor=\"/x\", <b>; rel=next", "next", "b");
	expect("<a>; rel*=UTF-8''x; rel=next", "next", "a");
	expect("<a>, <b>; rel=next", "next", "b");
}

static void
what_is_none_is_not_found(void **state)
{
	(void) state;
	expect("", "next", NULL);
	expect("<a>", "next", NULL);
	expect("<a", "next", NULL);
	expect("a; rel=next", "next", NULL);
	expect("<a>; rel=\"next", "next", NULL);
	expect("<a>; rel=\"next\\", "next", NULL);
	expect("<a>; rel=nextt", "next", NULL);
	expect("<a>; rel", "next", NULL);
	expect("<a>; =next", "next", NULL);
	expect("<a>;", "next", NULL);
	expect("<a>; rel=first <b>; rel=next", "next", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_are_found),
		cmocka_unit_test(what_is_none_is_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

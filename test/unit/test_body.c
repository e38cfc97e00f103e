/* sources: src/http/body.c src/http/media_type.c */
/*
 * Bodies: encodings, what PostgreSQL cannot hold, depth, media types.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdlib.h>

#include "http/body.h"

#define FFFD "\xEF\xBF\xBD"
#define BYTES(literal) (literal), sizeof(literal) - 1

/* A copy without slack, so that a sanitizer sees every byte read beyond the NUL. */
static char *
exact(const char *body, size_t len)
{
	char *copy = malloc(len + 1);

	memcpy(copy, body, len);
	copy[len] = '\0';
	return copy;
}

static void
expect(bool json, const char *body, size_t len, const char *content_type, const char *wanted, size_t wanted_len,
	   bool replaced)
{
	char *copy = exact(body, len);
	IntegBodyText text;
	IntegBodyStatus status = json ? integ_body_to_json_text(copy, len, content_type, &text)
								  : integ_body_to_text(copy, len, content_type, &text);

	assert_int_equal(status, INTEG_BODY_OK);
	if (text.len != wanted_len || memcmp(text.text, wanted, wanted_len) != 0)
		fail_msg("%.*s gives %s, not %s", (int) len, body, text.text, wanted);
	assert_int_equal(text.text[text.len], 0);
	assert_int_equal(text.replaced, replaced);
	/* Nothing is copied that need not be. */
	if (text.owned == NULL)
		assert_true(text.text >= copy && text.text <= copy + len);
	else
		assert_ptr_equal(text.text, text.owned);
	free(text.owned);
	free(copy);
}

static void
expect_same(bool json, const char *body, size_t len)
{
	char *copy = exact(body, len);
	IntegBodyText text;

	assert_int_equal(json ? integ_body_to_json_text(copy, len, NULL, &text)
						  : integ_body_to_text(copy, len, NULL, &text),
					 INTEG_BODY_OK);
	assert_ptr_equal(text.text, copy);
	assert_null(text.owned);
	assert_int_equal(text.len, len);
	assert_false(text.replaced);
	free(copy);
}

static void
good_bodies_are_not_copied(void **state)
{
	(void) state;
	for (int json = 0; json < 2; json++)
	{
		expect_same(json, BYTES(""));
		expect_same(json, BYTES("{}"));
		expect_same(json, BYTES(" [1, 2.5e3, true, null, \"a string that is longer than a word\"] "));
		expect_same(json, BYTES("{\"a\\\"b\":\"c\\\\\",\"d\":\"\\u0041\\ud83d\\ude00\\n\"}"));
		expect_same(json, BYTES("\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80 caf\xC3\xA9, \xE4\xB8\xAD\xE6\x96\x87\""));
		expect_same(json, BYTES("\"\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF4\x8F\xBF\xBF\xC2\x80\xE0\xA0\x80\xF0\x90\x80\x80\""));
		/* Not JSON, but nothing that must be replaced: jsonb_in says so. */
		expect_same(json, BYTES("]]]}}} \"unterminated \\"));
		expect_same(json, BYTES("{\"a\":\"\\u12"));
		expect_same(json, BYTES("\"\\u00"));
		expect_same(json, BYTES("\"\\uzzzz\\u000g\""));
		expect_same(json, BYTES("<html>\x01\x1f\x7f</html>"));
	}
	/* Outside of strings and in text an escape is no escape. */
	expect_same(true, BYTES("\\u0000"));
	expect_same(false, BYTES("\"\\u0000\\ud800\""));
	/* An escaped backslash before u0000. */
	expect_same(true, BYTES("\"\\\\u0000\""));
	/* A key ends where its quote is. */
	expect_same(true, BYTES("{\"a\\\\\":1}\\u0000"));
}

#define EXPECT_JSON(body, wanted) expect(true, BYTES(body), NULL, BYTES(wanted), true)
#define EXPECT_TEXT(body, wanted) expect(false, BYTES(body), NULL, BYTES(wanted), true)

static void
what_cannot_be_held_is_replaced(void **state)
{
	(void) state;
	EXPECT_JSON("\"\\u0000\"", "\"" FFFD "\"");
	EXPECT_JSON("{\"a\\u0000b\":\"c\\u0000\\u0000d\"}", "{\"a" FFFD "b\":\"c" FFFD FFFD "d\"}");
	EXPECT_JSON("\"\\\\\\u0000\"", "\"\\\\" FFFD "\"");
	EXPECT_JSON("\"\\ud800\"", "\"" FFFD "\"");
	EXPECT_JSON("\"\\uD800x\"", "\"" FFFD "x\"");
	EXPECT_JSON("\"\\udc00\"", "\"" FFFD "\"");
	EXPECT_JSON("\"\\udc00\\ud800\"", "\"" FFFD FFFD "\"");
	EXPECT_JSON("\"\\ud800\\ud83d\\ude00\"", "\"" FFFD "\\ud83d\\ude00\"");
	EXPECT_JSON("\"\\ud800\\u0041\"", "\"" FFFD "\\u0041\"");
	EXPECT_JSON("\"\\ud800\\n\"", "\"" FFFD "\\n\"");
	EXPECT_JSON("\"\\ud800", "\"" FFFD);
	EXPECT_JSON("\"\\ud800\\udc0", "\"" FFFD "\\udc0");
	EXPECT_JSON("\"\\\xFF\"", "\"\\" FFFD "\"");
	for (int json = 0; json < 2; json++)
	{
		expect(json, BYTES("\"a\0b\""), NULL, BYTES("\"a" FFFD "b\""), true);
		expect(json, BYTES("{}\0{}"), NULL, BYTES("{}" FFFD "{}"), true);
	}
	/* Invalid sequences: one U+FFFD for the longest beginning of a valid one (Unicode, table 3-8). */
	EXPECT_TEXT("\xFF", FFFD);
	EXPECT_TEXT("a\x80z", "a" FFFD "z");
	EXPECT_TEXT("\xC0\xAF", FFFD FFFD);
	EXPECT_TEXT("\xC1\xBF", FFFD FFFD);
	EXPECT_TEXT("\xE0\x80\xAF", FFFD FFFD FFFD);
	EXPECT_TEXT("\xE0\x9F\xBF", FFFD FFFD FFFD);
	EXPECT_TEXT("\xED\xA0\x80", FFFD FFFD FFFD);
	EXPECT_TEXT("\xED\xBF\xBF", FFFD FFFD FFFD);
	EXPECT_TEXT("\xF0\x8F\xBF\xBF", FFFD FFFD FFFD FFFD);
	EXPECT_TEXT("\xF4\x90\x80\x80", FFFD FFFD FFFD FFFD);
	EXPECT_TEXT("\xF5\x80\x80\x80", FFFD FFFD FFFD FFFD);
	EXPECT_TEXT("\xE2\x82", FFFD);
	EXPECT_TEXT("\xE2\x82x", FFFD "x");
	EXPECT_TEXT("\xF0\x9F\x98", FFFD);
	EXPECT_TEXT("\xF0\x9F\x98x", FFFD "x");
	EXPECT_TEXT("\xF1\x80\x80\xE1\x80\xC2", FFFD FFFD FFFD);
	EXPECT_TEXT("\xE2\x82\xAC\xE2\x28\xA1", "\xE2\x82\xAC" FFFD "(" FFFD);
	EXPECT_JSON("{\"k\":\"caf\xE9\"}", "{\"k\":\"caf" FFFD "\"}");
	EXPECT_JSON("[\xE9]", "[" FFFD "]");
}

/* Replacing grows: every byte threefold. */
static void
many_replacements(void **state)
{
	size_t len = 100000;
	char *body = malloc(len + 1);
	IntegBodyText text;

	(void) state;
	memset(body, 0xFF, len);
	body[len] = '\0';
	assert_int_equal(integ_body_to_text(body, len, NULL, &text), INTEG_BODY_OK);
	assert_int_equal(text.len, 3 * len);
	for (size_t i = 0; i < text.len; i += 3)
		assert_memory_equal(text.text + i, FFFD, 3);
	free(text.owned);
	free(body);
}

/* Each position of a special byte against the eight that are looked at together. */
static void
every_alignment(void **state)
{
	(void) state;
	for (size_t before = 0; before < 20; before++)
		for (size_t after = 0; after < 20; after++)
		{
			char body[64] = "\"", wanted[64] = "\"";
			size_t len = 1;

			memset(body + len, 'x', before);
			memset(wanted + len, 'x', before);
			len += before;
			memcpy(body + len, "\\u0000", 6);
			memcpy(wanted + len, FFFD, 3);
			memset(body + len + 6, 'y', after);
			memset(wanted + len + 3, 'y', after);
			strcat(body, "\"");
			strcat(wanted, "\"");
			expect(true, body, strlen(body), NULL, wanted, strlen(wanted), true);
		}
}

static void
nest(char *body, int depth)
{
	for (int i = 0; i < depth; i++)
		body[i] = i % 2 == 0 ? '[' : '{';
	body[depth] = '\0';
}

static void
depth_is_capped(void **state)
{
	char body[1024];
	IntegBodyText text;

	(void) state;
	nest(body, INTEG_BODY_MAX_DEPTH);
	assert_int_equal(integ_body_to_json_text(body, strlen(body), NULL, &text), INTEG_BODY_OK);
	nest(body, INTEG_BODY_MAX_DEPTH + 1);
	assert_int_equal(integ_body_to_json_text(body, strlen(body), NULL, &text), INTEG_BODY_TOO_DEEP);
	nest(body, 200);
	assert_int_equal(integ_body_to_json_text(body, strlen(body), NULL, &text), INTEG_BODY_TOO_DEEP);
	/* Nothing is left behind when something had been replaced before. */
	memcpy(body, "\"\\u0000\"", 8);
	nest(body + 8, 200);
	assert_int_equal(integ_body_to_json_text(body, strlen(body), NULL, &text), INTEG_BODY_TOO_DEEP);
	/* Brackets in strings nest nothing, closed ones neither, and text has no depth. */
	memset(body, '[', 300);
	body[0] = '"';
	body[300] = '\0';
	assert_int_equal(integ_body_to_json_text(body, 300, NULL, &text), INTEG_BODY_OK);
	body[0] = '[';
	assert_int_equal(integ_body_to_text(body, 300, NULL, &text), INTEG_BODY_OK);
	for (int i = 0; i < 900; i++)
		body[i] = "[]]"[i % 3];
	assert_int_equal(integ_body_to_json_text(body, 900, NULL, &text), INTEG_BODY_OK);
}

static void
unicode_encodings(void **state)
{
	static const char wanted[] = "[\"\xC3\xA9\xF0\x9F\x98\x80\"]";
	static const char le[] = "[\0\"\0\xE9\0\x3D\xD8\0\xDE\"\0]\0";
	static const char be[] = "\0[\0\"\0\xE9\xD8\x3D\xDE\0\0\"\0]";
	static const char le32[] = "[\0\0\0\"\0\0\0\xE9\0\0\0\0\xF6\1\0\"\0\0\0]\0\0\0";
	static const char be32[] = "\0\0\0[\0\0\0\"\0\0\0\xE9\0\1\xF6\0\0\0\0\"\0\0\0]";

	(void) state;
	expect(true, BYTES("\xEF\xBB\xBF[\"\xC3\xA9\xF0\x9F\x98\x80\"]"), NULL, BYTES(wanted), false);
	/* By pattern. */
	expect(true, BYTES(le), NULL, BYTES(wanted), false);
	expect(true, BYTES(be), NULL, BYTES(wanted), false);
	/* By declaration, with pattern where the order is open. */
	expect(true, BYTES(le), "application/json; charset=utf-16", BYTES(wanted), false);
	expect(true, BYTES(be), "application/json; charset=UTF-16", BYTES(wanted), false);
	expect(true, BYTES(le), "application/json; charset=\"utf-16le\"", BYTES(wanted), false);
	expect(false, BYTES(be), "text/plain;charset=utf-16be", BYTES(wanted), false);
	expect(true, le32, 24, "application/json;charset=utf-32", BYTES(wanted), false);
	expect(true, le32, 24, NULL, BYTES(wanted), false);
	expect(true, be32, 24, NULL, BYTES(wanted), false);
	expect(true, be32, 24, "application/json;charset=utf-32", BYTES(wanted), false);
	expect(true, be32, 24, "application/json;charset=utf-32be", BYTES(wanted), false);
	/* A byte order mark beats what is declared. */
	expect(true, BYTES("\xFF\xFE[\0]\0"), "application/json; charset=utf-8", BYTES("[]"), false);
	expect(true, BYTES("\xFE\xFF\0[\0]"), "application/json; charset=iso-8859-1", BYTES("[]"), false);
	expect(true, BYTES("\xFF\xFE\0\0[\0\0\0]\0\0\0"), NULL, BYTES("[]"), false);
	expect(true, BYTES("\0\0\xFE\xFF\0\0\0[\0\0\0]"), NULL, BYTES("[]"), false);
	expect(false, BYTES("\xEF\xBB\xBFx"), "text/plain; charset=us-ascii", BYTES("x"), false);
	/* Halves of characters. */
	expect(false, BYTES("\xFF\xFEx\0\x3D\xD8y\0"), NULL, BYTES("x" FFFD "y"), true);
	expect(false, BYTES("\xFF\xFEx\0\0\xDE"), NULL, BYTES("x" FFFD), true);
	expect(false, BYTES("\xFF\xFEx\0\x3D\xD8"), NULL, BYTES("x" FFFD), true);
	expect(false, BYTES("\xFF\xFEx\0y"), NULL, BYTES("x" FFFD), true);
	expect(false, BYTES("\0\0\xFE\xFF\0\x11\0\0"), NULL, BYTES(FFFD), true);
	expect(false, BYTES("\0\0\xFE\xFF\0\0\xD8\0"), NULL, BYTES(FFFD), true);
	/* What is replaced behind a conversion: \u0000 in UTF-16, and a real NUL. */
	expect(true, BYTES("\xFE\xFF\0\"\0\\\0u\0\x30\0\x30\0\x30\0\x30\0\""), NULL, BYTES("\"" FFFD "\""), true);
	expect(false, BYTES("\xFE\xFF\0a\0\0\0b"), NULL, BYTES("a" FFFD "b"), true);
	/* Text of one character shows no pattern, and NULs in text are no UTF-16. */
	expect(false, BYTES("a\0b\0"), NULL, BYTES("a" FFFD "b" FFFD), true);
	/* Two-byte and three-byte results, and the widest UTF-8 for a unit. */
	expect(false, BYTES("\xFF\xFE\xAC\x20\xA9\x00\xFF\xFF"), NULL, BYTES("\xE2\x82\xAC\xC2\xA9\xEF\xBF\xBF"), false);
}

static void
deep_utf16(void **state)
{
	char body[600];
	IntegBodyText text;

	(void) state;
	for (int i = 0; i < 300; i++)
	{
		body[2 * i] = '[';
		body[2 * i + 1] = '\0';
	}
	assert_int_equal(integ_body_to_json_text(body, 600, NULL, &text), INTEG_BODY_TOO_DEEP);
}

static void
other_charsets_are_named(void **state)
{
	IntegBodyText text;

	(void) state;
	assert_int_equal(integ_body_to_json_text("{}", 2, "application/json; charset=iso-8859-1", &text), INTEG_BODY_CHARSET);
	assert_int_equal(integ_body_to_text("x", 1, "text/plain; charset=Shift_JIS", &text), INTEG_BODY_CHARSET);
	assert_int_equal(integ_body_to_text("x", 1, "text/plain; charset=UTF8", &text), INTEG_BODY_OK);
}

static void
media_types(void **state)
{
	static const struct
	{
		const char *content_type, *name, *charset;
	} cases[] = {
		{NULL, "", ""},
		{"", "", ""},
		{"nonsense", "", ""},
		{"application/json", "application/json", ""},
		{" Application/JSON ; Charset=UTF-8", "application/json", "utf-8"},
		{"text/html;charset=\"Windows-1252\"", "text/html", "windows-1252"},
		{"text/html; boundary=\"a;charset=x\"; charset=y", "text/html", "y"},
		{"text/html; charset=a; charset=b", "text/html", "a"},
		{"text/html; charset=", "text/html", ""},
		{"text/html; charset=\"unterminated", "text/html", "unterminated"},
		{"text/html; x; charset=z", "text/html", "z"},
		{"text/html; charset=a-name-that-is-longer-than-any-charset-name-that-exists", "text/html", ""},
		{"text/html, application/json", "text/html", ""},
		{"a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", ""},
	};
	IntegMediaType type;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		integ_media_type_parse(cases[i].content_type, &type);
		assert_string_equal(type.name, cases[i].name);
		assert_string_equal(type.charset, cases[i].charset);
	}
}

static void
kinds(void **state)
{
	static const struct
	{
		const char *content_type;
		const char *body;
		IntegBodyKind kind;
	} cases[] = {
		{"application/json", "", INTEG_BODY_EMPTY},
		{NULL, "", INTEG_BODY_EMPTY},
		{"application/json", "x", INTEG_BODY_JSON},
		{"application/problem+json; charset=utf-8", "x", INTEG_BODY_JSON},
		{"text/json", "x", INTEG_BODY_JSON},
		{"text/plain", "{}", INTEG_BODY_TEXT},
		{"application/xml", "x", INTEG_BODY_TEXT},
		{"image/svg+xml", "x", INTEG_BODY_TEXT},
		{"application/x-ndjson", "{}", INTEG_BODY_TEXT},
		{"image/png", "x", INTEG_BODY_BINARY},
		{"application/octet-stream", "{}", INTEG_BODY_BINARY},
		{"application/jsonx", "{}", INTEG_BODY_BINARY},
		{NULL, " \r\n\t{", INTEG_BODY_JSON},
		{NULL, "\xEF\xBB\xBF[", INTEG_BODY_JSON},
		{NULL, "hello\n", INTEG_BODY_TEXT},
		{NULL, "caf\xC3\xA9", INTEG_BODY_TEXT},
		{NULL, "\x89PNG\x1a", INTEG_BODY_BINARY},
		{NULL, "a\x7f", INTEG_BODY_BINARY},
		{"nonsense", "{", INTEG_BODY_JSON},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (integ_body_kind(cases[i].content_type, cases[i].body, strlen(cases[i].body)) != cases[i].kind)
			fail_msg("case %zu", i);
	assert_int_equal(integ_body_kind(NULL, "a\0b", 3), INTEG_BODY_BINARY);
	assert_int_equal(integ_body_kind(NULL, "\0", 1), INTEG_BODY_BINARY);
}

static void
sanitized(void **state)
{
	char text[] = "ok \xC3\xA9 \xFF\xE2\x82 \xF0\x9F\x98\x80 \xE9";

	(void) state;
	integ_utf8_sanitize(text, sizeof(text));
	assert_string_equal(text, "ok \xC3\xA9 ??? \xF0\x9F\x98\x80 ?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_bodies_are_not_copied),
		cmocka_unit_test(what_cannot_be_held_is_replaced),
		cmocka_unit_test(many_replacements),
		cmocka_unit_test(every_alignment),
		cmocka_unit_test(depth_is_capped),
		cmocka_unit_test(unicode_encodings),
		cmocka_unit_test(deep_utf16),
		cmocka_unit_test(other_charsets_are_named),
		cmocka_unit_test(media_types),
		cmocka_unit_test(kinds),
		cmocka_unit_test(sanitized),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

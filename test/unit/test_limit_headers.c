/* sources: src/limits/headers.c src/limits/times.c */
/*
 * What services say about their limits, in each of the ways they say it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "limits/headers.h"

/* 2026-01-15T12:00:00Z */
#define NOW (INT64_C(1768478400) * 1000000)
#define MS INT64_C(1000)
#define SECOND INT64_C(1000000)

typedef struct Header
{
	const char *name;
	const char *value;
} Header;

static const char *
get(void *arg, const char *name)
{
	for (const Header *header = arg; header->name != NULL; header++)
		if (strcmp(header->name, name) == 0)
			return header->value;
	return NULL;
}

static IntegLearned
standard(const Header *headers)
{
	IntegLearned learned = {-1, -1, -1, -1};

	(void) integ_limit_headers_read_standard(get, (void *) headers, NOW, &learned);
	return learned;
}

static void
check(IntegLearned learned, int64_t limit, int64_t remaining, int64_t reset_us)
{
	assert_int_equal(learned.limit, limit);
	assert_int_equal(learned.remaining, remaining);
	assert_int_equal(learned.reset_us, reset_us);
}

#define HEADERS(...) ((const Header[]){__VA_ARGS__, {NULL, NULL}})

static void
standard_names(void **state)
{
	/* An epoch in seconds, in milliseconds. */
	check(standard(HEADERS({"x-ratelimit-limit", "5000"}, {"x-ratelimit-remaining", "4999"}, {"x-ratelimit-reset", "1768478460"})),
		  5000, 4999, 60 * SECOND);
	check(standard(HEADERS({"x-ratelimit-limit", "5000"}, {"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "1768478460500"})),
		  5000, 0, 60500 * MS);
	/* Seconds left; with a fraction. */
	check(standard(HEADERS({"ratelimit-limit", "700"}, {"ratelimit-remaining", "699"}, {"ratelimit-reset", "41"})),
		  700, 699, 41 * SECOND);
	check(standard(HEADERS({"x-ratelimit-limit", "5"}, {"x-ratelimit-remaining", "4"}, {"x-ratelimit-reset", "1768478401.5"},
						   {"x-ratelimit-reset-after", "1.250"})),
		  5, 4, 1250 * MS);
	check(standard(HEADERS({"x-rate-limit", "700"}, {"x-rate-limit-remaining", "3"}, {"ratelimit-reset", "8"})), 700, 3, 8 * SECOND);
	/* A duration. */
	check(standard(HEADERS({"x-ratelimit-limit-requests", "60"}, {"x-ratelimit-remaining-requests", "59"},
						   {"x-ratelimit-reset-requests", "120ms"})),
		  60, 59, 120 * MS);
	check(standard(HEADERS({"x-ratelimit-limit-requests", "60"}, {"x-ratelimit-remaining-requests", "0"},
						   {"x-ratelimit-reset-requests", "6m0s"})),
		  60, 0, 360 * SECOND);
	/* Without a reset. */
	check(standard(HEADERS({"x-ratelimit-limit", "10"}, {"x-ratelimit-remaining", "9"})), 10, 9, -1);
	/* The draft's structured fields, and its older form: of several policies the scarcest. */
	check(standard(HEADERS({"ratelimit", "\"api\";r=50;t=30"}, {"ratelimit-policy", "\"fixed window\";\"api\";q=100;w=60"})),
		  100, 50, 30 * SECOND);
	check(standard(HEADERS({"ratelimit", "\"day\";r=4000;t=9000, \"a;r=1,x\";r=7;t=3"})), -1, 7, 3 * SECOND);
	check(standard(HEADERS({"ratelimit", "limit=100, remaining=50, reset=30"})), 100, 50, 30 * SECOND);
	check(standard(HEADERS({"content-type", "application/json"})), -1, -1, -1);
	check(standard(HEADERS({"x-ratelimit-remaining", "many"}, {"ratelimit", ";;,=,\""})), -1, -1, -1);
}

static void
retry_after(void **state)
{
	assert_int_equal(standard(HEADERS({"retry-after", "120"})).retry_us, 120 * SECOND);
	assert_int_equal(standard(HEADERS({"retry-after", "Thu, 15 Jan 2026 12:00:30 GMT"})).retry_us, 30 * SECOND);
	assert_int_equal(standard(HEADERS({"retry-after", "Thu, 15 Jan 2026 11:59:30 GMT"})).retry_us, 0);
	assert_int_equal(standard(HEADERS({"retry-after-ms", "250"}, {"retry-after", "1"})).retry_us, 250 * MS);
	assert_int_equal(standard(HEADERS({"retry-after", "-5"})).retry_us, -1);
	assert_int_equal(standard(HEADERS({"retry-after", "soon"})).retry_us, -1);
	assert_int_equal(standard(HEADERS({"retry-after", "99999999999999999999999999"})).retry_us, INTEG_LIMIT_TIME_MAX);
}

static IntegLearned
named(const IntegLimitHeaders *names, const Header *headers)
{
	IntegLearned learned = {-1, -1, -1, -1};

	(void) integ_limit_headers_read(names, get, (void *) headers, NOW, &learned);
	return learned;
}

static void
named_in_the_manifest(void **state)
{
	const IntegLimitHeaders iso = {.limit = "l", .remaining = "r", .reset = "t", .reset_unit = INTEG_TIME_ISO8601};
	const IntegLimitHeaders usage = {.usage = "x-call-limit"};
	const IntegLimitHeaders keyed_usage = {.usage = "limit-info#api-usage"};
	const IntegLimitHeaders elements = {
		.limit = "z#total", .remaining = "z#remaining", .reset = "z#resets", .reset_unit = INTEG_TIME_SECONDS};
	const IntegLimitHeaders interval = {
		.limit = "max", .remaining = "left", .reset = "interval", .reset_unit = INTEG_TIME_INTERVAL_MS};
	const IntegLimitHeaders used = {.limit = "max", .used = "used"};
	const IntegLimitHeaders retry = {.retry_after = "wait", .retry_after_unit = INTEG_TIME_MILLISECONDS};

	check(named(&iso, HEADERS({"l", "50"}, {"r", "49"}, {"t", "2026-01-15T12:00:07Z"})), 50, 49, 7 * SECOND);
	check(named(&iso, HEADERS({"l", "50"}, {"r", "49"}, {"t", "2026-01-15T14:30:00.25+02:30"})), 50, 49, 250 * MS);
	check(named(&iso, HEADERS({"t", "2024-02-30"})), -1, -1, -1);
	check(named(&usage, HEADERS({"x-call-limit", "32/40"})), 40, 8, -1);
	check(named(&usage, HEADERS({"x-call-limit", "41/40"})), 40, 0, -1);
	check(named(&usage, HEADERS({"x-call-limit", "40"})), -1, -1, -1);
	check(named(&keyed_usage, HEADERS({"limit-info", "api-usage=25/5000; per-app-api-usage=17/250(x)"})), 5000, 4975, -1);
	check(named(&elements, HEADERS({"z", "total=100; remaining=98; resets=30"})), 100, 98, 30 * SECOND);
	check(named(&elements, HEADERS({"z", "xtotal=1;total = \"7\""})), 7, -1, -1);
	check(named(&interval, HEADERS({"max", "100"}, {"left", "12"}, {"interval", "10000"})), 100, 12, 10 * SECOND);
	check(named(&used, HEADERS({"max", "100"}, {"used", "30.0"})), 100, 70, -1);
	assert_int_equal(named(&retry, HEADERS({"wait", "1500"})).retry_us, 1500 * MS);
}

static void
every_unit(void **state)
{
	static const struct
	{
		const char *text;
		IntegTimeUnit unit;
		int64_t left; /* -1: no time */
	} cases[] = {
		{"1768478401", INTEG_TIME_EPOCH_S, SECOND},
		{"1768478400500", INTEG_TIME_EPOCH_MS, 500 * MS},
		{"1768478399", INTEG_TIME_EPOCH_S, 0},
		{"2", INTEG_TIME_SECONDS, 2 * SECOND},
		{"0.5", INTEG_TIME_SECONDS, 500 * MS},
		{"1500", INTEG_TIME_MILLISECONDS, 1500 * MS},
		{"1d2h3m4.5s", INTEG_TIME_DURATION, 93784500 * MS},
		{"6m0s", INTEG_TIME_AUTO, 360 * SECOND},
		{"2026-01-15T12:00:01Z", INTEG_TIME_AUTO, SECOND},
		{"Thu, 15 Jan 2026 12:00:01 GMT", INTEG_TIME_AUTO, SECOND},
		{"1768478401", INTEG_TIME_AUTO, SECOND},
		{"1768478401000", INTEG_TIME_AUTO, SECOND},
		{" 3 ", INTEG_TIME_AUTO, 3 * SECOND},
		{"", INTEG_TIME_AUTO, -1},
		{"5x", INTEG_TIME_DURATION, -1},
		{"m", INTEG_TIME_DURATION, -1},
		{"1e9", INTEG_TIME_SECONDS, -1},
		{"2026-13-01T00:00:00Z", INTEG_TIME_ISO8601, -1},
		{"2026-01-15T25:00:00Z", INTEG_TIME_ISO8601, -1},
		{"2026-01-15T12:00:00+1", INTEG_TIME_ISO8601, -1},
		{"Thu, 15 Foo 2026 12:00:01 GMT", INTEG_TIME_HTTP_DATE, -1},
		{"Thu, 15 Jan 2026 12:00:01 CET", INTEG_TIME_HTTP_DATE, -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int64_t left = -1;
		bool read = integ_limit_time(cases[i].text, cases[i].unit, NOW, &left);

		assert_int_equal(read, cases[i].left >= 0);
		if (read)
			assert_int_equal(left, cases[i].left);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(standard_names),
		cmocka_unit_test(retry_after),
		cmocka_unit_test(named_in_the_manifest),
		cmocka_unit_test(every_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

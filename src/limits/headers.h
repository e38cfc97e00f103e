/*
 * What the headers of an answer say about the service's limits, in all the ways
 * in which services say it. Free of PostgreSQL; the clock is an argument.
 */
#ifndef INTEG_LIMITS_HEADERS_H
#define INTEG_LIMITS_HEADERS_H

#include <stdbool.h>
#include <stdint.h>

/* How a time is written. */
typedef enum IntegTimeUnit
{
	INTEG_TIME_AUTO, /* by its looks: a large number is an epoch, a small one seconds left, "6m0s", a date */
	INTEG_TIME_EPOCH_S,
	INTEG_TIME_EPOCH_MS,
	INTEG_TIME_SECONDS, /* left, with a fraction or without */
	INTEG_TIME_MILLISECONDS,
	INTEG_TIME_DURATION, /* "120ms", "6m0s" */
	INTEG_TIME_ISO8601,
	INTEG_TIME_HTTP_DATE,
	INTEG_TIME_INTERVAL_MS /* length of the window, whenever it began */
} IntegTimeUnit;

/*
 * Which headers to read; NULL: none. Each is the name of a header in lower case, or "name#key" for the
 * element key of one that has several ("total=100; remaining=98", "\"api\";r=50;t=30").
 */
typedef struct IntegLimitHeaders
{
	const char *limit;
	const char *remaining;
	const char *used;
	const char *usage; /* "32/40": used and limit */
	const char *reset;
	IntegTimeUnit reset_unit;
	const char *retry_after;
	IntegTimeUnit retry_after_unit;
} IntegLimitHeaders;

/* What was learned; -1 for what was not said. Times are microseconds from now on. */
typedef struct IntegLearned
{
	int64_t limit;
	int64_t remaining;
	int64_t reset_us;
	int64_t retry_us;
} IntegLearned;

/* No time that a service names is taken for longer than this. */
#define INTEG_LIMIT_TIME_MAX (INT64_C(366) * 86400 * 1000000)

/* The value of a header by its name in lower case, NULL where the answer has none. */
typedef const char *(*IntegHeaderGet)(void *arg, const char *name);

/* Reads the headers named; epoch_us is the time now. True where anything was learned. */
extern bool integ_limit_headers_read(const IntegLimitHeaders *headers, IntegHeaderGet get, void *arg,
									 int64_t epoch_us, IntegLearned *learned);

/*
 * Reads the names that are in wide use without being told: RateLimit and RateLimit-Policy (the IETF's
 * draft, also its older form), (X-)RateLimit-… and X-Rate-Limit-…, and as above retry-after-ms and Retry-After
 * (RFC 9110, section 10.2.3).
 */
extern bool integ_limit_headers_read_standard(IntegHeaderGet get, void *arg, int64_t epoch_us,
											  IntegLearned *learned);

/* Whether the name is one that integ_limit_headers_read_standard may read. */
extern bool integ_limit_header_is_standard(const char *name);

/* A time in that unit as microseconds from now on, not negative; false where it is none. */
extern bool integ_limit_time(const char *text, IntegTimeUnit unit, int64_t epoch_us, int64_t *left_us);

#endif /* INTEG_LIMITS_HEADERS_H */

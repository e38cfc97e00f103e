/*
 * What the headers of an answer say about the service's limits.
 */
#include "limits/headers.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Longest value of an element that is looked at; a longer one is none. */
#define ELEMENT_MAX 128
#define NAME_MAX_BYTES 128
#define COUNT_MAX INT64_C(1000000000000)

/* The end of an element of a list: a separator outside quotes, or the end. */
static const char *
element_end(const char *text, const char *separators)
{
	bool quoted = false;

	for (; *text != '\0'; text++)
	{
		if (*text == '"')
			quoted = !quoted;
		else if (quoted && *text == '\\' && text[1] != '\0')
			text++;
		else if (!quoted && strchr(separators, *text) != NULL)
			break;
	}
	return text;
}

static const char *
skip_blank(const char *text)
{
	while (*text == ' ' || *text == '\t')
		text++;
	return text;
}

/* Copies up to the end, without blanks around it and without quotes. False where it does not fit. */
static bool
copy_trimmed(const char *from, const char *end, char *to, size_t size)
{
	from = skip_blank(from);
	while (end > from && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (end - from >= 2 && *from == '"' && end[-1] == '"')
	{
		from++;
		end--;
	}
	if (end < from || (size_t) (end - from) >= size)
		return false;
	memcpy(to, from, end - from);
	to[end - from] = '\0';
	return true;
}

/* The value of "key=value" among elements that the separators part. */
static bool
find_element(const char *text, const char *limit, const char *separators, const char *key, char *value)
{
	size_t length = strlen(key);

	while (text < limit)
	{
		const char *end = element_end(text, separators);
		const char *start = skip_blank(text);

		if (strncasecmp(start, key, length) == 0 && *skip_blank(start + length) == '=')
			return copy_trimmed(skip_blank(start + length) + 1, end, value, ELEMENT_MAX);
		text = *end == '\0' ? limit : end + 1;
	}
	return false;
}

/* The value of "name" or "name#key"; false where the answer has none. */
static bool
get_value(const char *reference, IntegHeaderGet get, void *arg, char *value)
{
	const char *hash = reference == NULL ? NULL : strchr(reference, '#');
	char name[NAME_MAX_BYTES];
	const char *whole;

	if (reference == NULL)
		return false;
	if (hash == NULL)
	{
		whole = get(arg, reference);
		return whole != NULL && copy_trimmed(whole, whole + strlen(whole), value, ELEMENT_MAX);
	}
	if (!copy_trimmed(reference, hash, name, sizeof(name)))
		return false;
	whole = get(arg, name);
	return whole != NULL && find_element(whole, whole + strlen(whole), ";,", hash + 1, value);
}

/* A count, also one written as "98.0"; trailing text such as ";w=60" or ", 5000;w=3600" is left out. */
static bool
read_count(const char *text, int64_t *count)
{
	int64_t value = 0;

	text = skip_blank(text);
	if (!isdigit((unsigned char) *text))
		return false;
	for (; isdigit((unsigned char) *text); text++)
	{
		value = value * 10 + (*text - '0');
		if (value > COUNT_MAX)
			value = COUNT_MAX;
	}
	if (*text == '.')
		for (text++; isdigit((unsigned char) *text);)
			text++;
	text = skip_blank(text);
	if (*text != '\0' && *text != ';' && *text != ',')
		return false;
	*count = value;
	return true;
}

static bool
get_count(const char *reference, IntegHeaderGet get, void *arg, int64_t *count)
{
	char value[ELEMENT_MAX];

	return get_value(reference, get, arg, value) && read_count(value, count);
}

static bool
get_time(const char *reference, IntegTimeUnit unit, IntegHeaderGet get, void *arg, int64_t epoch_us, int64_t *left)
{
	char value[ELEMENT_MAX];

	return get_value(reference, get, arg, value) && integ_limit_time(value, unit, epoch_us, left);
}

/* "32/40" */
static bool
get_usage(const char *reference, IntegHeaderGet get, void *arg, IntegLearned *learned)
{
	char value[ELEMENT_MAX];
	char *slash;
	int64_t used, limit;

	if (!get_value(reference, get, arg, value) || (slash = strchr(value, '/')) == NULL)
		return false;
	*slash = '\0';
	if (!read_count(value, &used) || !read_count(slash + 1, &limit))
		return false;
	learned->limit = limit;
	learned->remaining = used > limit ? 0 : limit - used;
	return true;
}

bool
integ_limit_headers_read(const IntegLimitHeaders *headers, IntegHeaderGet get, void *arg, int64_t epoch_us,
						 IntegLearned *learned)
{
	bool any = get_usage(headers->usage, get, arg, learned);
	int64_t used;

	any |= get_count(headers->limit, get, arg, &learned->limit);
	any |= get_count(headers->remaining, get, arg, &learned->remaining);
	if (learned->remaining < 0 && learned->limit >= 0 && get_count(headers->used, get, arg, &used))
		learned->remaining = used > learned->limit ? 0 : learned->limit - used;
	any |= get_time(headers->reset, headers->reset_unit, get, arg, epoch_us, &learned->reset_us);
	any |= get_time(headers->retry_after, headers->retry_after_unit, get, arg, epoch_us, &learned->retry_us);
	return any;
}

/*
 * RateLimit: "name";r=50;t=30, "other";r=…, a list of which the scarcest counts (draft-ietf-httpapi-ratelimit-headers);
 * or its older form limit=100, remaining=50, reset=30.
 */
static bool
read_structured(IntegHeaderGet get, void *arg, IntegLearned *learned)
{
	static const IntegLimitHeaders older = {
		.limit = "ratelimit#limit", .remaining = "ratelimit#remaining", .reset = "ratelimit#reset", .reset_unit = INTEG_TIME_SECONDS};
	const char *text = get(arg, "ratelimit");
	bool any = false;
	char value[ELEMENT_MAX];

	if (text == NULL)
		return false;
	for (const char *end; *text != '\0'; text = *end == '\0' ? end : end + 1)
	{
		int64_t remaining;

		end = element_end(text, ",");
		if (!find_element(text, end, ";,", "r", value) || !read_count(value, &remaining) ||
			(learned->remaining >= 0 && remaining >= learned->remaining))
			continue;
		any = true;
		learned->remaining = remaining;
		learned->reset_us = -1;
		if (find_element(text, end, ";,", "t", value))
			(void) integ_limit_time(value, INTEG_TIME_SECONDS, 0, &learned->reset_us);
	}
	if (!any)
		return integ_limit_headers_read(&older, get, arg, 0, learned);
	(void) get_count("ratelimit-policy#q", get, arg, &learned->limit);
	return true;
}

bool
integ_limit_headers_read_standard(IntegHeaderGet get, void *arg, int64_t epoch_us, IntegLearned *learned)
{
	static const IntegLimitHeaders known[] = {
		{.limit = "x-ratelimit-limit", .remaining = "x-ratelimit-remaining", .reset = "x-ratelimit-reset-after", .reset_unit = INTEG_TIME_SECONDS},
		{.limit = "x-ratelimit-limit", .remaining = "x-ratelimit-remaining", .reset = "x-ratelimit-reset"},
		{.limit = "ratelimit-limit", .remaining = "ratelimit-remaining", .reset = "ratelimit-reset"},
		{.limit = "x-rate-limit-limit", .remaining = "x-rate-limit-remaining", .reset = "x-rate-limit-reset"},
		{.limit = "x-rate-limit", .remaining = "x-rate-limit-remaining", .reset = "ratelimit-reset"},
		{.limit = "x-ratelimit-limit-requests", .remaining = "x-ratelimit-remaining-requests", .reset = "x-ratelimit-reset-requests"},
	};
	bool any = read_structured(get, arg, learned);

	/* The first that also says when the window ends, else the first. */
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && learned->reset_us < 0; i++)
	{
		IntegLearned found = {-1, -1, -1, -1};

		(void) integ_limit_headers_read(&known[i], get, arg, epoch_us, &found);
		if (found.remaining < 0 || (any && found.reset_us < 0))
			continue;
		*learned = found;
		any = true;
	}
	if (learned->retry_us < 0)
		any |= get_time("retry-after-ms", INTEG_TIME_MILLISECONDS, get, arg, epoch_us, &learned->retry_us) ||
			   get_time("retry-after", INTEG_TIME_AUTO, get, arg, epoch_us, &learned->retry_us);
	return any;
}

bool
integ_limit_header_is_standard(const char *name)
{
	return strncmp(name, "x-rate", 6) == 0 || strncmp(name, "ratelimit", 9) == 0 ||
		   strncmp(name, "retry-after", 11) == 0;
}

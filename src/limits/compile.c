/*
 * From rateLimit and circuitBreaker of a manifest, a plan or an instance, to what requests are counted by.
 */
#include "limits/limits.h"

#include <math.h>

#include "core/errors.h"
#include "core/json.h"

#define LIMIT_MAX 1000000000

static const char *const time_units[] = {
	[INTEG_TIME_AUTO] = "auto",
	[INTEG_TIME_EPOCH_S] = "epoch_s",
	[INTEG_TIME_EPOCH_MS] = "epoch_ms",
	[INTEG_TIME_SECONDS] = "seconds",
	[INTEG_TIME_MILLISECONDS] = "milliseconds",
	[INTEG_TIME_DURATION] = "duration",
	[INTEG_TIME_ISO8601] = "iso8601",
	[INTEG_TIME_HTTP_DATE] = "http_date",
	[INTEG_TIME_INTERVAL_MS] = "interval_ms",
};

/* The number under a key, 0 where there is none. */
static double
get_number(const JsonbContainer *object, const char *key)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value) || value.type != jbvNumeric)
		return 0;
	return strtod(integ_json_value_text(&value), NULL);
}

static uint32
get_count(const JsonbContainer *object, const char *key)
{
	return (uint32) Min(Max(get_number(object, key), 0), LIMIT_MAX);
}

/* Of two limits for the same stretch of time the smaller holds. */
static void
add_limit(IntegLimits *limits, const IntegLimit *limit)
{
	for (int i = 0; i < limits->count; i++)
	{
		IntegLimit *known = &limits->items[i];

		if (known->per_us == limit->per_us && known->scope == limit->scope && known->key == NULL && limit->key == NULL)
		{
			known->limit = Min(known->limit, limit->limit);
			return;
		}
	}
	limits->items[limits->count++] = *limit;
}

/* A limit of requests in a stretch of time, of which no more than burst at once: in its share of the time. */
static void
add_window(IntegLimits *limits, IntegLimit limit, uint32 burst)
{
	add_limit(limits, &limit);
	if (burst == 0 || burst >= limit.limit)
		return;
	limit.per_us = (int64) ceil((double) limit.per_us * burst / limit.limit);
	limit.limit = burst;
	add_limit(limits, &limit);
}

/* 0.5 a second is one in two seconds; 2.5 are two in 0.8 seconds. */
static void
add_per_second(IntegLimits *limits, IntegLimitScope scope, double rate, uint32 burst)
{
	IntegLimit limit = {.scope = scope, .limit = (uint32) Min(Max(floor(rate), 1), LIMIT_MAX)};

	if (rate <= 0)
		return;
	limit.per_us = (int64) ceil(Min(limit.limit * 1e6 / rate, 366 * 86400e6));
	add_window(limits, limit, burst);
}

static void
add_named_windows(const JsonbContainer *object, IntegLimitScope scope, IntegLimits *limits)
{
	static const struct
	{
		const char *key;
		int64 per_us;
	} windows[] = {{"requestsPerMinute", USECS_PER_MINUTE},
				   {"requestsPerHour", USECS_PER_HOUR},
				   {"requestsPerDay", USECS_PER_DAY},
				   {"concurrent", 0}};
	uint32 burst = get_count(object, "burst");
	double rate = get_number(object, "requestsPerSecond");

	add_per_second(limits, scope, rate, burst);
	if (rate > 0)
		burst = 0;
	for (size_t i = 0; i < lengthof(windows); i++)
	{
		IntegLimit limit = {.scope = scope, .limit = get_count(object, windows[i].key), .per_us = windows[i].per_us};

		if (limit.limit == 0)
			continue;
		/* burst is of the shortest window. */
		add_window(limits, limit, limit.per_us > 0 ? burst : 0);
		if (limit.per_us > 0)
			burst = 0;
	}
}

/* A key is shown, and kept in shared memory and on disk. */
static void
refuse_secret(const char *name, void *where)
{
	if (strncmp(name, "credentials.", strlen("credentials.")) == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s must not name a credential", (const char *) where),
						errhint("Use the input or the config: {channel}, {config.account}.")));
}

static void
add_listed_window(const JsonbContainer *window, IntegLimitScope scope, const char *where, IntegLimits *limits)
{
	IntegLimit limit = {.scope = scope, .limit = get_count(window, "limit")};
	JsonbValue key;
	char *named = integ_json_get_string(window, "scope");

	limit.per_us = integ_json_get_int(window, "perMs", 0) * 1000;
	if (limit.limit == 0 || limit.per_us <= 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s needs a positive \"limit\" and \"perMs\"", where)));
	if (named != NULL && strcmp(named, "definition") == 0)
		limit.scope = INTEG_LIMIT_OF_DEFINITION;
	if (integ_json_get(window, "key", &key))
	{
		if (scope == INTEG_LIMIT_OF_CLIENT)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s/key: a plan's limits have no keys", where),
							errdetail("A plan counts the requests of a client, whichever methods they are of.")));
		limit.key = integ_template_compile(&key, psprintf("%s/key", where));
		limit.key_source = integ_json_value_text(&key);
		integ_template_visit(limit.key, refuse_secret, psprintf("%s/key", where));
	}
	add_window(limits, limit, get_count(window, "burst"));
}

static const char *
header_name(const JsonbContainer *object, const char *key)
{
	char *name = integ_json_get_string(object, key);

	for (char *c = name; c != NULL && *c != '\0' && *c != '#'; c++)
		*c = (char) pg_ascii_tolower((unsigned char) *c);
	return name;
}

static IntegTimeUnit
time_unit(const JsonbContainer *object, const char *key)
{
	char *name = integ_json_get_string(object, key);

	for (size_t i = 0; name != NULL && i < lengthof(time_units); i++)
		if (strcmp(name, time_units[i]) == 0)
			return (IntegTimeUnit) i;
	return INTEG_TIME_AUTO;
}

static void
add_headers(const JsonbContainer *object, IntegLimits *limits)
{
	limits->headers[limits->nheaders++] = (IntegLimitHeaders){
		.limit = header_name(object, "limit"),
		.remaining = header_name(object, "remaining"),
		.used = header_name(object, "used"),
		.usage = header_name(object, "usage"),
		.reset = header_name(object, "reset"),
		.reset_unit = time_unit(object, "resetUnit"),
		.retry_after = header_name(object, "retryAfter"),
		.retry_after_unit = time_unit(object, "retryAfterUnit"),
	};
}

/* One object, or a list of them. */
static void
compile_headers(const JsonbContainer *object, IntegLimits *limits)
{
	const JsonbContainer *single = integ_json_get_object(object, "headers");
	const JsonbContainer *list = integ_json_get_array(object, "headers");
	uint32 count = list != NULL ? JsonContainerSize(list) : single != NULL ? 1
																		   : 0;

	limits->headers = palloc0(Max(count, 1) * sizeof(IntegLimitHeaders));
	if (single != NULL)
		add_headers(single, limits);
	for (uint32 i = 0; list != NULL && i < count; i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer((JsonbContainer *) list, i);

		if (item->type == jbvBinary)
			add_headers(item->val.binary.data, limits);
	}
}

IntegLimits *
integ_limits_compile(const JsonbContainer *object, IntegLimitScope scope, const char *where)
{
	const JsonbContainer *windows = object != NULL ? integ_json_get_array(object, "windows") : NULL;
	uint32 nwindows = windows != NULL ? JsonContainerSize(windows) : 0;
	IntegLimits *limits;

	if (object == NULL)
		return NULL;
	limits = palloc0(sizeof(IntegLimits));
	/* The named ones with their bursts, then two for each listed one. */
	limits->items = palloc0((8 + 2 * nwindows) * sizeof(IntegLimit));
	add_named_windows(object, scope, limits);
	for (uint32 i = 0; i < nwindows; i++)
	{
		JsonbValue *window = getIthJsonbValueFromContainer((JsonbContainer *) windows, i);
		char *path = psprintf("%s/windows/%u", where, i);

		if (window->type != jbvBinary)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s must be an object", path)));
		add_listed_window(window->val.binary.data, scope, path, limits);
	}
	compile_headers(object, limits);
	limits->retry_after_us = integ_json_get_int(object, "retryAfterMs", 0) * 1000;
	return limits;
}

IntegBreakerPolicy
integ_breaker_compile(const JsonbContainer *object)
{
	IntegBreakerPolicy policy = integ_breaker_default;

	if (object == NULL)
		return policy;
	policy.failure_threshold =
		(uint32) Min(integ_json_get_int(object, "failureThreshold", policy.failure_threshold), LIMIT_MAX);
	policy.half_open_max = (uint32) Min(integ_json_get_int(object, "halfOpenMax", policy.half_open_max), LIMIT_MAX);
	policy.reset_us = integ_json_get_int(object, "resetTimeoutMs", policy.reset_us / 1000) * 1000;
	return policy;
}

uint32
integ_limits_concurrent(const IntegLimits *own, const IntegLimits *of_definition)
{
	const IntegLimits *limits = own != NULL ? own : of_definition;

	for (int i = 0; limits != NULL && i < limits->count; i++)
		if (limits->items[i].per_us == 0)
			return limits->items[i].limit;
	return 0;
}

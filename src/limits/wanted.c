/*
 * Which counters a request is counted by, and what is said of one that stands in its way.
 */
#include "limits/grant.h"

#include "access/actor.h"
#include "common/hashfn.h"
#include "core/errors.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

/* Clients of two databases are two. */
static uint64
owner_of(const IntegLimitSubject *subject)
{
	if (strcmp(subject->owner, INTEG_GLOBAL_CLIENT) == 0)
		return 0;
	return hash_bytes_extended((const unsigned char *) subject->owner, (int) strlen(subject->owner), MyDatabaseId);
}

static void
fill_label(IntegCounterLabel *label, const IntegLimitSubject *subject, IntegLimitScope scope)
{
	memset(label, 0, sizeof(*label));
	label->scope = scope;
	label->owner = owner_of(subject);
	if (scope == INTEG_LIMIT_OF_CLIENT)
	{
		integ_limit_clip(label->client, subject->client, sizeof(label->client));
		return;
	}
	integ_limit_clip(label->definition, subject->definition, sizeof(label->definition));
	if (scope == INTEG_LIMIT_OF_DEFINITION)
		return;
	label->instance = *subject->instance;
	integ_limit_clip(label->client, subject->owner, sizeof(label->client));
	if (scope == INTEG_LIMIT_OF_METHOD)
		integ_limit_clip(label->method, subject->method, sizeof(label->method));
}

/* Windows of one key are one, whichever methods name it. */
static IntegCounterKey
window_key(const IntegLimitSubject *subject, const IntegLimit *limit, const char *value)
{
	switch (limit->scope)
	{
		case INTEG_LIMIT_OF_CLIENT:
			return integ_counter_key(INTEG_COUNTER_WINDOW, limit->per_us, NULL, "client", subject->client, NULL);
		case INTEG_LIMIT_OF_DEFINITION:
			return integ_counter_key(INTEG_COUNTER_WINDOW, limit->per_us, NULL, subject->definition,
									 limit->key_source, value);
		case INTEG_LIMIT_OF_METHOD:
			if (limit->key_source == NULL)
				return integ_counter_key(INTEG_COUNTER_WINDOW, limit->per_us, subject->instance, subject->method, NULL,
										 NULL);
			break;
		case INTEG_LIMIT_OF_INSTANCE:
		case INTEG_LIMIT_OF_HOST:
			break;
	}
	return integ_counter_key(INTEG_COUNTER_WINDOW, limit->per_us, subject->instance, NULL, limit->key_source, value);
}

IntegWanted
integ_wanted_window(const IntegLimitSubject *subject, const IntegLimit *limit, const char *value,
					IntegLimitSource source)
{
	bool shared = limit->scope == INTEG_LIMIT_OF_METHOD && value != NULL;
	IntegWanted wanted = {.key = window_key(subject, limit, value), .limit = limit->limit, .per_us = limit->per_us};

	fill_label(&wanted.label, subject, shared ? INTEG_LIMIT_OF_INSTANCE : limit->scope);
	wanted.label.source = source;
	integ_limit_clip(wanted.label.key, value, sizeof(wanted.label.key));
	return wanted;
}

IntegWanted
integ_wanted_of_host(const IntegLimitSubject *subject, uint32 limit)
{
	IntegWanted wanted = {.key = integ_counter_key(INTEG_COUNTER_WINDOW, 0, NULL, "host", subject->origin, NULL),
						  .limit = limit};

	wanted.label.scope = INTEG_LIMIT_OF_HOST;
	integ_limit_clip(wanted.label.key, subject->origin, sizeof(wanted.label.key));
	return wanted;
}

IntegGate *
integ_gate_of_subject(const IntegLimitSubject *subject, int which)
{
	IntegGateKey key = which == INTEG_GATE_HOST ? integ_gate_key_of_host(subject->origin)
												: integ_gate_key_of_instance(subject->instance);

	return integ_gate_make(&key, which == INTEG_GATE_HOST,
						   which == INTEG_GATE_HOST ? subject->origin : subject->instance_id);
}

IntegBreakerPolicy
integ_gate_policy(const IntegLimitSubject *subject, int which)
{
	IntegBreakerPolicy policy = *subject->breaker;

	if (which != INTEG_GATE_HOST)
		return policy;
	policy.failure_threshold = Max(policy.failure_threshold, integ_breaker_default.failure_threshold);
	policy.reset_us = Min(policy.reset_us, integ_breaker_default.reset_us);
	return policy;
}

/* The method's own where it says which, else the definition's. */
const IntegLimits *
integ_learned_limits(const IntegLimitSubject *subject)
{
	if (subject->of_method != NULL && subject->of_method->nheaders > 0)
		return subject->of_method;
	return subject->of_definition;
}

int
integ_learned_count(const IntegLimitSubject *subject)
{
	const IntegLimits *limits = integ_learned_limits(subject);

	return limits == NULL ? 1 : Min(Max(limits->nheaders, 1), INTEG_LEARNED_MAX);
}

/* What an answer says holds for the instance, but for the method alone where that has a limit of its own. */
IntegWanted
integ_wanted_learned(const IntegLimitSubject *subject, int number)
{
	bool of_method = subject->of_method != NULL;
	IntegWanted wanted = {.key = integ_counter_key(INTEG_COUNTER_LEARNED, number, subject->instance,
												   of_method ? subject->method : NULL, NULL, NULL)};

	fill_label(&wanted.label, subject, of_method ? INTEG_LIMIT_OF_METHOD : INTEG_LIMIT_OF_INSTANCE);
	return wanted;
}

static char *
duration_text(int64 us)
{
	static const struct
	{
		int64 us;
		const char *name;
	} units[] = {
		{USECS_PER_DAY, "day"}, {USECS_PER_HOUR, "hour"}, {USECS_PER_MINUTE, "minute"}, {USECS_PER_SEC, "second"}};

	for (size_t i = 0; i < lengthof(units); i++)
		if (us % units[i].us == 0)
			return psprintf(INT64_FORMAT " %s%s", us / units[i].us, units[i].name, us == units[i].us ? "" : "s");
	return psprintf(INT64_FORMAT " ms", us / 1000);
}

/* "60 requests for "C1" in 1 minute are used" */
static const char *
setter_text(const IntegCounterLabel *label)
{
	if (label->scope == INTEG_LIMIT_OF_HOST)
		return "integ.host_concurrency";
	return label->source == INTEG_LIMIT_BY_PLAN		  ? "the plan's limit"
		   : label->source == INTEG_LIMIT_BY_INSTANCE ? "the instance's limit"
													  : "the definition's limit";
}

static char *
limit_text(const IntegWanted *wanted, const IntegCounter *counter)
{
	const IntegCounterLabel *label = &wanted->label;
	char *whose = label->scope == INTEG_LIMIT_OF_HOST		  ? psprintf(" to %s", label->key)
				  : label->key[0] != '\0'					  ? psprintf(" for \"%s\"", label->key)
				  : label->scope == INTEG_LIMIT_OF_METHOD	  ? psprintf(" of method \"%s\"", label->method)
				  : label->scope == INTEG_LIMIT_OF_DEFINITION ? psprintf(" of definition \"%s\"", label->definition)
				  : label->scope == INTEG_LIMIT_OF_CLIENT	  ? psprintf(" of client \"%s\"", label->client)
															  : pstrdup("");
	const char *plural = counter->window.limit == 1 ? "" : "s";

	if (wanted->key.kind == INTEG_COUNTER_LEARNED)
		return pstrdup("The service has said that it accepts no more for now.");
	if (wanted->per_us == 0)
		return psprintf("%u request%s%s at the same time are under way (%s).", counter->window.limit, plural, whose,
						setter_text(label));
	return psprintf("%u request%s%s in %s are used (%s).", counter->window.limit, plural, whose,
					duration_text(wanted->per_us), setter_text(label));
}

void
integ_refusal_of_counter(IntegRefusal *refusal, const IntegLimitSubject *subject, const IntegWanted *wanted,
						 const IntegCounter *counter)
{
	refusal->sqlerrcode = ERRCODE_INTEG_RATE_LIMIT;
	refusal->message = psprintf("the rate limit of %s.%s is reached", subject->instance_id, subject->method);
	refusal->detail = psprintf("%s The next slot is at %s; nothing was sent.", limit_text(wanted, counter),
							   timestamptz_to_str(refusal->at));
	refusal->hint = pstrdup("integ_execute waits with {\"max_wait\": \"10 seconds\"}, integ_enqueue by itself;"
							" integ.rate_limits shows all limits.");
}

void
integ_refusal_of_gate(IntegRefusal *refusal, const IntegLimitSubject *subject, const IntegGate *gate)
{
	char *last = gate->error[0] != '\0' ? psprintf(" The last failure: %s", gate->error) : "";

	refusal->sqlerrcode = ERRCODE_INTEG_CIRCUIT_OPEN;
	refusal->message = gate->is_host
						   ? psprintf("the circuit breaker of %s, the host of instance \"%s\", is open", gate->name, subject->instance_id)
						   : psprintf("the circuit breaker of instance \"%s\" is open", subject->instance_id);
	refusal->detail = psprintf("After %u failures in a row the next request is let through at %s; nothing was sent.%s",
							   gate->breaker.failures, timestamptz_to_str(refusal->at), last);
	if (gate->breaker.state == INTEG_BREAKER_HALF_OPEN)
		refusal->detail = psprintf("It is half open, and as many requests as may probe the service are under way;"
								   " ask again at %s.%s",
								   timestamptz_to_str(refusal->at), last);
	refusal->hint = psprintf("SELECT integ_breaker_reset('%s') closes it at once; integ.circuit_breakers shows all.",
							 subject->instance_id);
}

IntegLimitEvent
integ_breaker_event(const char *kind, const IntegGate *gate, const IntegLimitSubject *subject)
{
	IntegLimitEvent event = {.kind = kind};

	if (gate->breaker.state == INTEG_BREAKER_OPEN)
		event.at = gate->breaker.half_open_at;
	event.label.instance = *subject->instance;
	integ_limit_clip(event.label.client, subject->owner, sizeof(event.label.client));
	integ_limit_clip(event.label.definition, subject->definition, sizeof(event.label.definition));
	if (gate->is_host)
		strlcpy(event.name, gate->name, sizeof(event.name));
	strlcpy(event.error, gate->error, sizeof(event.error));
	return event;
}

/*
 * Limits that people write into a row, of a plan or an instance, are checked as they are written.
 */
#include "limits/limits.h"

#include "commands/trigger.h"
#include "core/errors.h"
#include "core/json.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(integ_tg_plan_limits);
PG_FUNCTION_INFO_V1(integ_tg_instance_limits);

/* Where the limits stand, for messages. */
typedef struct Place
{
	IntegLimitScope scope;
	const char *path;
	const char *whose;
} Place;

static void
refuse(const Place *place, const char *key, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s/%s of %s %s", place->path, key, place->whose, what),
					errhint("%s{\"requestsPerMinute\": 600, \"concurrent\": 8}%s; docs/limits.md lists the keys.",
							place->scope == INTEG_LIMIT_OF_CLIENT ? "{\"rateLimit\": " : "",
							place->scope == INTEG_LIMIT_OF_CLIENT ? "}" : "")));
}

static bool
is_listed(const char *key, const char *const *known, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(key, known[i]) == 0)
			return true;
	return false;
}

/* A window says nothing but its numbers and its key: which requests count together is settled by whose it is. */
static void
check_window(const JsonbContainer *window, const Place *place, const char *path)
{
	static const char *const known[] = {"limit", "perMs", "burst", "key"};
	JsonbIterator *iterator = JsonbIteratorInit((JsonbContainer *) window);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			char *key = pnstrdup(value.val.string.val, value.val.string.len);

			if (!is_listed(key, known, lengthof(known)))
				refuse(place, psprintf("%s/%s", path, key), "is not known");
		}
}

static void
check_windows(const JsonbContainer *windows, const Place *place)
{
	if (windows == NULL)
		refuse(place, "windows", "must be a list");
	for (uint32 i = 0; i < JsonContainerSize(windows); i++)
	{
		JsonbValue *window = getIthJsonbValueFromContainer((JsonbContainer *) windows, i);

		/* integ_limits_compile refuses what is no object. */
		if (window->type == jbvBinary && JsonContainerIsObject(window->val.binary.data))
			check_window(window->val.binary.data, place, psprintf("windows/%u", i));
	}
}

static void
check_members(const JsonbContainer *object, const Place *place)
{
	static const char *const known[] = {"requestsPerSecond", "requestsPerMinute", "requestsPerHour", "requestsPerDay",
										"concurrent", "burst", "windows"};
	JsonbIterator *iterator = JsonbIteratorInit((JsonbContainer *) object);
	JsonbValue value;

	(void) JsonbIteratorNext(&iterator, &value, false);
	while (JsonbIteratorNext(&iterator, &value, true) == WJB_KEY)
	{
		char *key = pnstrdup(value.val.string.val, value.val.string.len);

		if (!is_listed(key, known, lengthof(known)))
			refuse(place, key, "is not known");
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (strcmp(key, "windows") == 0)
			check_windows(integ_json_get_array(object, key), place);
		else if (value.type != jbvNumeric || !(strtod(integ_json_value_text(&value), NULL) > 0))
			refuse(place, key, "must be a positive number");
	}
}

static void
check(const JsonbContainer *object, const Place *place)
{
	if (object == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s of %s must be an object", place->path, place->whose)));
	check_members(object, place);
	(void) integ_limits_compile(object, place->scope, place->path);
}

/* The row that is written, and its column; NULL where that is NULL. */
static const Jsonb *
written(const TriggerData *trigger, const char *name, HeapTuple *row)
{
	TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
	bool isnull;
	Datum value;

	*row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	value = SPI_getbinval(*row, descriptor, SPI_fnumber(descriptor, name), &isnull);
	return isnull ? NULL : DatumGetJsonbP(value);
}

static const TriggerData *
trigger_of(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("not called as a trigger")));
	return (const TriggerData *) fcinfo->context;
}

/* Both look at the row only, so that a restore's COPY succeeds. */
Datum
integ_tg_plan_limits(PG_FUNCTION_ARGS)
{
	static const Place place = {INTEG_LIMIT_OF_CLIENT, "limits/rateLimit", "a plan"};
	HeapTuple row;
	const Jsonb *limits = written(trigger_of(fcinfo), "limits", &row);
	JsonbValue value;

	if (limits != NULL && integ_json_get(&limits->root, "rateLimit", &value))
		check(integ_json_get_object(&limits->root, "rateLimit"), &place);
	return PointerGetDatum(row);
}

Datum
integ_tg_instance_limits(PG_FUNCTION_ARGS)
{
	static const Place place = {INTEG_LIMIT_OF_INSTANCE, "rate_limit", "an instance"};
	HeapTuple row;
	const Jsonb *limits = written(trigger_of(fcinfo), "rate_limit", &row);

	if (limits != NULL)
		check(JB_ROOT_IS_OBJECT(limits) ? &limits->root : NULL, &place);
	return PointerGetDatum(row);
}

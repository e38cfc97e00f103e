/*
 * Reading schedules.
 */
#include "postgres.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/options.h"
#include "core/zone.h"
#include "schedule/schedule.h"
#include "utils/timestamp.h"

#define MAX_EXPRESSION 1000
#define MAX_DAYS 366
#define MAX_INTERVAL (MAX_DAYS * USECS_PER_DAY)

static const char *const type_names[] = {
	[INTEG_SCHEDULE_MANUAL] = "manual",
	[INTEG_SCHEDULE_INTERVAL] = "interval",
	[INTEG_SCHEDULE_CRON] = "cron",
	[INTEG_SCHEDULE_REALTIME] = "realtime",
};

#define FORMS                                                               \
	"Schedules are \"manual\", \"realtime\", {\"every\": \"15 minutes\"}, " \
	"{\"cron\": \"0 2 * * *\", \"timezone\": \"Europe/Paris\"}, or {\"type\": …, \"config\": …}."

static bool
find_type(const char *name, IntegScheduleType *type)
{
	for (int i = 0; i < lengthof(type_names); i++)
		if (strcmp(type_names[i], name) == 0)
		{
			*type = i;
			return true;
		}
	return false;
}

static IntegScheduleType
read_type(const char *name)
{
	IntegScheduleType type;

	if (!find_type(name, &type))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a schedule has no type \"%s\"", name),
						errhint("Types: manual, interval, cron, realtime.")));
	return type;
}

static void
check_interval(IntegSchedule *schedule, const char *shown)
{
	if (schedule->interval <= 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the interval of a schedule must be more than nothing, which \"%s\" is not", shown)));
	if (schedule->interval % USECS_PER_SEC != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the interval of a schedule must be whole seconds, which \"%s\" is not", shown)));
	if (schedule->interval > MAX_INTERVAL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the interval of a schedule must be at most %d days, which \"%s\" is not", MAX_DAYS, shown)));
}

/* {"every": "15 minutes"} */
static void
read_every(IntegSchedule *schedule, const Jsonb *document)
{
	char *text;
	Interval *interval;
	int64 days;
	const IntegOption known[] = {{"every", INTEG_OPTION_TEXT, &text}};

	integ_options_parse(document, known, lengthof(known), "a schedule");
	interval = text == NULL ? NULL : integ_read_interval(text);
	if (interval == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the interval of a schedule cannot be read: \"%s\"", text == NULL ? "" : text),
						errhint("Such as {\"every\": \"15 minutes\"}.")));
	if (interval->month != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the interval of a schedule cannot be \"%s\": months are not all as long", text),
						errhint("Write a cron schedule such as {\"cron\": \"0 2 1 * *\"}, the first of each month.")));
	days = Min(Max(interval->day, -MAX_DAYS - 1), MAX_DAYS + 1);
	schedule->type = INTEG_SCHEDULE_INTERVAL;
	schedule->interval = days * USECS_PER_DAY + Min(Max(interval->time, -MAX_INTERVAL), MAX_INTERVAL);
	check_interval(schedule, text);
}

/* {"type": "interval", "config": {"interval": 15, "unit": "minutes"}} */
static void
read_interval(IntegSchedule *schedule, const Jsonb *config)
{
	static const struct
	{
		const char *name;
		int64 length;
	} units[] = {
		{"seconds", USECS_PER_SEC},
		{"minutes", USECS_PER_MINUTE},
		{"hours", USECS_PER_HOUR},
		{"days", USECS_PER_DAY},
		{"weeks", 7 * USECS_PER_DAY},
	};
	char *type, *unit;
	int64 count = 0;
	const IntegOption known[] = {
		{"type", INTEG_OPTION_TEXT, &type},
		{"interval", INTEG_OPTION_INT, &count},
		{"unit", INTEG_OPTION_TEXT, &unit},
	};

	integ_options_parse(config, known, lengthof(known), "an interval schedule's config");
	for (int i = 0; unit != NULL && i < lengthof(units); i++)
		if (strcmp(units[i].name, unit) == 0)
		{
			schedule->interval = Min(Max(count, 0), MAX_INTERVAL / units[i].length + 1) * units[i].length;
			check_interval(schedule, psprintf(INT64_FORMAT " %s", count, unit));
			return;
		}
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
					unit == NULL ? errmsg("an interval schedule needs a unit")
								 : errmsg("an interval schedule has no unit \"%s\"", unit),
					errhint("Units: seconds, minutes, hours, days, weeks.")));
}

static void
read_cron(IntegSchedule *schedule, const char *expression, const char *zone)
{
	IntegCronProblem problem;

	if (expression == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a cron schedule needs an expression"),
						errhint("Such as {\"cron\": \"0 2 * * *\", \"timezone\": \"Europe/Paris\"}.")));
	if (strlen(expression) > MAX_EXPRESSION)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("a cron expression may have %d characters at most", MAX_EXPRESSION)));
	if (!integ_cron_parse(expression, &schedule->cron, &problem))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the cron expression \"%s\" is not valid", expression),
						errdetail_internal("%s.", problem.message),
						problem.hint[0] == '\0' ? 0 : errhint("%s", problem.hint)));
	schedule->type = INTEG_SCHEDULE_CRON;
	schedule->zone = integ_zone_find(zone == NULL ? "UTC" : zone);
	if (schedule->zone == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the timezone \"%s\" of a cron schedule is not known", zone == NULL ? "UTC" : zone),
						errhint("Zones are names of the IANA database, such as Europe/Paris.")));
}

static void
read_short_cron(IntegSchedule *schedule, const Jsonb *document)
{
	char *expression, *zone;
	const IntegOption known[] = {
		{"cron", INTEG_OPTION_TEXT, &expression},
		{"timezone", INTEG_OPTION_TEXT, &zone},
	};

	integ_options_parse(document, known, lengthof(known), "a schedule");
	read_cron(schedule, expression, zone);
}

static void
read_long_cron(IntegSchedule *schedule, const Jsonb *config)
{
	char *type, *expression, *zone;
	const IntegOption known[] = {
		{"type", INTEG_OPTION_TEXT, &type},
		{"expression", INTEG_OPTION_TEXT, &expression},
		{"timezone", INTEG_OPTION_TEXT, &zone},
	};

	integ_options_parse(config, known, lengthof(known), "a cron schedule's config");
	read_cron(schedule, expression, zone);
}

/* What a realtime schedule says about its webhook; the token that verifies it belongs to the webhook's own row. */
static void
check_realtime(const Jsonb *config)
{
	char *type, *url;
	const IntegOption known[] = {
		{"type", INTEG_OPTION_TEXT, &type},
		{"webhookUrl", INTEG_OPTION_TEXT, &url},
	};
	JsonbValue token;

	if (config != NULL && integ_json_get(&config->root, "verificationToken", &token))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a schedule keeps no secrets"),
						errhint("Leave \"verificationToken\" out: it is a credential of the webhook.")));
	integ_options_parse(config, known, lengthof(known), "a realtime schedule's config");
}

/* {"type": …, "config": {…}} */
static void
read_long(IntegSchedule *schedule, const Jsonb *document)
{
	char *type, *again;
	Jsonb *config;
	const IntegOption known[] = {
		{"type", INTEG_OPTION_TEXT, &type},
		{"config", INTEG_OPTION_OBJECT, &config},
	};
	const IntegOption no_more[] = {{"type", INTEG_OPTION_TEXT, &again}};

	integ_options_parse(document, known, lengthof(known), "a schedule");
	schedule->type = read_type(type == NULL ? "" : type);
	again = config == NULL ? NULL : integ_json_get_string(&config->root, "type");
	if (again != NULL && strcmp(again, type) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("a schedule of type \"%s\" has a config of type \"%s\"", type, again)));
	switch (schedule->type)
	{
		case INTEG_SCHEDULE_MANUAL:
			integ_options_parse(config, no_more, lengthof(no_more), "a manual schedule's config");
			break;
		case INTEG_SCHEDULE_INTERVAL:
			read_interval(schedule, config);
			break;
		case INTEG_SCHEDULE_CRON:
			read_long_cron(schedule, config);
			break;
		case INTEG_SCHEDULE_REALTIME:
			check_realtime(config);
			break;
	}
}

/* "manual" or "realtime": what needs no config. */
static void
read_word(IntegSchedule *schedule, const Jsonb *document)
{
	JsonbValue value;
	char *word;

	(void) JsonbExtractScalar((JsonbContainer *) &document->root, &value);
	word = integ_json_value_text(&value);
	if (word == NULL)
		return;
	if (value.type != jbvString || !find_type(word, &schedule->type) || schedule->type == INTEG_SCHEDULE_INTERVAL ||
		schedule->type == INTEG_SCHEDULE_CRON)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("\"%s\" is not a schedule", word), errhint(FORMS)));
}

IntegSchedule *
integ_schedule_parse(const Jsonb *document)
{
	IntegSchedule *schedule = palloc0(sizeof(IntegSchedule));
	JsonbValue value;

	schedule->type = INTEG_SCHEDULE_MANUAL;
	schedule->anchor = DT_NOBEGIN;
	if (document == NULL)
		return schedule;
	if (JB_ROOT_IS_SCALAR(document))
		read_word(schedule, document);
	else if (integ_json_get(&document->root, "type", &value))
		read_long(schedule, document);
	else if (integ_json_get(&document->root, "every", &value))
		read_every(schedule, document);
	else if (integ_json_get(&document->root, "cron", &value))
		read_short_cron(schedule, document);
	else
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("a schedule needs \"every\", \"cron\" or \"type\""), errhint(FORMS)));
	return schedule;
}

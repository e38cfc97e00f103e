/*
 * Reading cron expressions.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "schedule/cron.h"

#define MAX_FIELDS 7 /* one more than there may be, so that a year is told apart */
#define BIT(n) (UINT64_C(1) << (n))

typedef enum FieldKind
{
	FIELD_SECOND,
	FIELD_MINUTE,
	FIELD_HOUR,
	FIELD_DAY,
	FIELD_MONTH,
	FIELD_WEEKDAY
} FieldKind;

typedef struct Field
{
	const char *name;
	int min;
	int max;
	const char *const *words; /* three letters each; the first one means min */
	int nwords;
} Field;

static const char *const month_words[] = {"jan", "feb", "mar", "apr", "may", "jun",
										  "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekday_words[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const Field fields[] = {
	[FIELD_SECOND] = {"second", 0, 59},
	[FIELD_MINUTE] = {"minute", 0, 59},
	[FIELD_HOUR] = {"hour", 0, 23},
	[FIELD_DAY] = {"day of month", 1, 31},
	[FIELD_MONTH] = {"month", 1, 12, month_words, 12},
	[FIELD_WEEKDAY] = {"day of week", 0, 7, weekday_words, 7}, /* 7 is Sunday too */
};

static const struct
{
	const char *name;
	const char *expression;
} shorthands[] = {
	{"@yearly", "0 0 1 1 *"},
	{"@annually", "0 0 1 1 *"},
	{"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"},
	{"@daily", "0 0 * * *"},
	{"@midnight", "0 0 * * *"},
	{"@hourly", "0 * * * *"},
};

typedef struct Parser
{
	FieldKind kind;
	const char *at; /* of the item that is read */
	const char *end;
	const char *item;
	IntegCron *cron;
	IntegCronProblem *problem;
} Parser;

__attribute__((format(printf, 3, 4))) static bool
fail(IntegCronProblem *problem, const char *hint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void) vsnprintf(problem->message, sizeof(problem->message), format, args);
	va_end(args);
	(void) snprintf(problem->hint, sizeof(problem->hint), "%s", hint);
	return false;
}

/* How much of a text the messages show: no part of a character of UTF-8. */
static int
clip(const char *text, size_t len)
{
	if (len <= 40)
		return (int) len;
	len = 40;
	while (len > 0 && ((unsigned char) text[len] & 0xC0) == 0x80)
		len--;
	return (int) len;
}

static int
shown(const Parser *parser)
{
	return clip(parser->item, parser->end - parser->item);
}

static bool
misread(const Parser *parser)
{
	return fail(parser->problem, "", "\"%.*s\" cannot be read in the field \"%s\"", shown(parser), parser->item,
				fields[parser->kind].name);
}

static bool
skip(Parser *parser, char c)
{
	if (parser->at == parser->end || (*parser->at | 0x20) != (c | 0x20))
		return false;
	parser->at++;
	return true;
}

static bool
is_digit(const Parser *parser)
{
	return parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9';
}

/* Digits within the bounds given. */
static bool
read_number(Parser *parser, const char *what, int min, int max, int *value)
{
	*value = 0;
	if (!is_digit(parser))
		return misread(parser);
	while (is_digit(parser))
	{
		if (*value <= max)
			*value = *value * 10 + (*parser->at - '0');
		parser->at++;
	}
	if (*value < min || *value > max)
		return fail(parser->problem, "", "\"%.*s\": the %s must be from %d to %d", shown(parser), parser->item, what,
					min, max);
	return true;
}

/* A number or a name of the field. */
static bool
read_value(Parser *parser, int *value)
{
	const Field *field = &fields[parser->kind];

	if (is_digit(parser))
		return read_number(parser, field->name, field->min, field->max, value);
	for (int i = 0; i < field->nwords && parser->end - parser->at >= 3; i++)
		if (strncasecmp(parser->at, field->words[i], 3) == 0)
		{
			parser->at += 3;
			*value = field->min + i;
			return true;
		}
	return misread(parser);
}

/* "/n" behind a range. A step that leads out of the field at once is a misunderstanding: the field starts anew. */
static bool
read_step(Parser *parser, int *step)
{
	const Field *field = &fields[parser->kind];

	*step = 1;
	if (!skip(parser, '/'))
		return true;
	if (!read_number(parser, "step", 0, 1000, step))
		return false;
	if (*step == 0)
		return fail(parser->problem, "", "\"%.*s\": a step of 0 leads nowhere", shown(parser), parser->item);
	if (*step > field->max - field->min)
		return fail(parser->problem, "For every so many minutes or hours write a schedule {\"every\": \"90 minutes\"}.",
					"\"%.*s\": a step of %d is more than the field \"%s\" has", shown(parser), parser->item, *step,
					field->name);
	return true;
}

/* *, * with a step, a, a/n, a-b, a-b/n */
static bool
read_range(Parser *parser, uint64_t *bits)
{
	const Field *field = &fields[parser->kind];
	bool week = parser->kind == FIELD_WEEKDAY, star = skip(parser, '*'), alone = false;
	int first = field->min, last = week ? 6 : field->max, step;

	if (!star)
	{
		if (!read_value(parser, &first))
			return false;
		if (skip(parser, '-'))
		{
			if (!read_value(parser, &last))
				return false;
		}
		else
		{
			alone = true;
			first = week ? first % 7 : first;
		}
	}
	if (alone && (parser->at == parser->end || *parser->at != '/'))
		last = first;
	if (!read_step(parser, &step))
		return false;
	/* A week has no first day that everybody agrees on: sat-sun and fri-mon are ranges. */
	if (last < first && week)
		last += 7;
	if (last < first)
		return fail(parser->problem, "Write two ranges, such as 22-23,0-5.", "\"%.*s\" runs backwards in the field \"%s\"",
					shown(parser), parser->item, field->name);
	for (int value = first; value <= last; value += step)
		*bits |= BIT(week ? value % 7 : value);
	return true;
}

/* L, L-n, LW, nW, or a range of days of the month. */
static bool
read_day(Parser *parser, uint64_t *bits)
{
	int value;
	const char *start = parser->at;

	if (skip(parser, 'L'))
	{
		if (skip(parser, 'W'))
		{
			parser->cron->last_working_day = true;
			return true;
		}
		value = 0;
		if (skip(parser, '-') && !read_number(parser, "distance from the last day", 0, 30, &value))
			return false;
		parser->cron->days_from_end |= BIT(value);
		return true;
	}
	if (is_digit(parser))
	{
		if (!read_value(parser, &value))
			return false;
		if (skip(parser, 'W'))
		{
			parser->cron->working_days |= BIT(value);
			return true;
		}
		parser->at = start;
	}
	return read_range(parser, bits);
}

/* nL, n#k, or a range of days of the week. */
static bool
read_weekday(Parser *parser, uint64_t *bits)
{
	int value, nth;
	const char *start = parser->at;

	if (skip(parser, 'L'))
		return fail(parser->problem, "The last Friday of a month is 5L.", "L needs a weekday before it in the field \"%s\"",
					fields[parser->kind].name);
	if (parser->at < parser->end && *parser->at != '*')
	{
		if (!read_value(parser, &value))
			return false;
		if (skip(parser, 'L'))
		{
			parser->cron->last_weekdays |= BIT(value % 7);
			return true;
		}
		if (skip(parser, '#'))
		{
			if (!read_number(parser, "number behind #", 1, 5, &nth))
				return false;
			parser->cron->nth_weekdays[nth - 1] |= BIT(value % 7);
			return true;
		}
		parser->at = start;
	}
	return read_range(parser, bits);
}

static bool
read_item(Parser *parser, uint64_t *bits)
{
	bool done;

	if (parser->at == parser->end)
		return fail(parser->problem, "", "the field \"%s\" has an empty part", fields[parser->kind].name);
	if (parser->kind == FIELD_DAY)
		done = read_day(parser, bits);
	else if (parser->kind == FIELD_WEEKDAY)
		done = read_weekday(parser, bits);
	else
		done = read_range(parser, bits);
	return done && (parser->at == parser->end || misread(parser));
}

/* The items of a field, which commas part. */
static bool
read_field(FieldKind kind, const char *text, size_t len, IntegCron *cron, IntegCronProblem *problem, uint64_t *bits)
{
	const char *end = text + len;
	Parser parser = {.kind = kind, .cron = cron, .problem = problem};

	*bits = 0;
	if (len == 1 && *text == '?' && (kind == FIELD_DAY || kind == FIELD_WEEKDAY))
	{
		text = "*";
		end = text + 1;
	}
	for (;;)
	{
		const char *comma = memchr(text, ',', end - text);

		parser.item = parser.at = text;
		parser.end = comma == NULL ? end : comma;
		if (!read_item(&parser, bits))
			return false;
		if (comma == NULL)
			return true;
		text = comma + 1;
	}
}

static bool
begins_open(const char *field)
{
	return *field == '*' || *field == '?';
}

/* The fields of a text, parted by spaces and tabs; at most MAX_FIELDS of them are noted. */
static int
split(const char *text, const char **starts, size_t *lengths)
{
	int count = 0;

	for (;;)
	{
		text += strspn(text, " \t");
		if (*text == '\0' || count == MAX_FIELDS)
			return count;
		starts[count] = text;
		lengths[count] = strcspn(text, " \t");
		text += lengths[count++];
	}
}

static bool
read_fields(const char *text, IntegCron *cron, IntegCronProblem *problem)
{
	const char *starts[MAX_FIELDS];
	size_t lengths[MAX_FIELDS];
	int count = split(text, starts, lengths), kind = count == 6 ? FIELD_SECOND : FIELD_MINUTE;
	uint64_t bits[FIELD_WEEKDAY + 1] = {BIT(0)};

	if (count != 5 && count != 6)
		return fail(problem,
					"The fields are minute, hour, day of month, month and day of week; a field for the second may come "
					"before them.",
					"it has %s%d field%s, not five or six", count == MAX_FIELDS ? "at least " : "", count,
					count == 1 ? "" : "s");
	for (int i = 0; i < count; i++, kind++)
	{
		if (!read_field(kind, starts[i], lengths[i], cron, problem, &bits[kind]))
			return false;
		if (kind == FIELD_HOUR)
			cron->each_hour = begins_open(starts[i]);
		else if (kind == FIELD_DAY)
			cron->any_day = begins_open(starts[i]);
		else if (kind == FIELD_WEEKDAY)
			cron->any_weekday = begins_open(starts[i]);
	}
	cron->seconds = bits[FIELD_SECOND];
	cron->minutes = bits[FIELD_MINUTE];
	cron->hours = bits[FIELD_HOUR];
	cron->days = bits[FIELD_DAY];
	cron->months = bits[FIELD_MONTH];
	cron->weekdays = bits[FIELD_WEEKDAY];
	return true;
}

bool
integ_cron_parse(const char *text, IntegCron *cron, IntegCronProblem *problem)
{
	*cron = (IntegCron){0};
	*problem = (IntegCronProblem){0};
	if (*text == '@')
	{
		for (size_t i = 0; i < sizeof(shorthands) / sizeof(shorthands[0]); i++)
			if (strcasecmp(text, shorthands[i].name) == 0)
				return read_fields(shorthands[i].expression, cron, problem);
		return fail(problem, "The names are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly.",
					"\"%.*s\" is not a name of a schedule", clip(text, strlen(text)), text);
	}
	if (!read_fields(text, cron, problem))
		return false;
	if (!integ_cron_has_day(cron))
		return fail(problem, "", "no day ever matches it");
	return true;
}

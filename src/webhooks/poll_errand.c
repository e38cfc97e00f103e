/*
 * The errand of a poll: what is asked of the service, and what its answer means.
 */
#include "webhooks/poll.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "execute/input.h"
#include "fetch/pages.h"
#include "operate/operate.h"
#include "sync/mark.h"
#include "utils/builtins.h"
#include "pgtime.h"
#include "utils/memutils.h"

/* So much before the newest change the next poll begins: clocks differ, and rows are committed out of order. */
#define OVERLAP_MS 60000

/* A poll that fails is due later each time, up to this. */
#define LONGEST_PAUSE USECS_PER_HOUR

/* People are told when it has failed so often in a row. */
#define FAILURES_TOLD 5

typedef struct PollErrand
{
	IntegPoll *poll; /* as it was when the poll began */
	const IntegDefinition *definition;
	const JsonbContainer *trigger;
	IntegPages *pages;
	const IntegPage *page; /* that was received last; NULL: none */
	const char *since;	   /* the mark that it begins at; NULL: at the beginning */
	TimestampTz begun;	   /* what changes later may be on a page that was read already: the mark stays before it */

	/* of the pages whose transaction has committed */
	int64 nrecords;
	int64 nevents;
	const char *newest;
	TimestampTz newest_at;

	IntegPollPage stored; /* of the page in the transaction under way */
} PollErrand;

/* --- asking --- */

static IntegPoll *
load(IntegFlight *flight)
{
	IntegOwnerScope scope;
	IntegPoll *poll;

	integ_owner_enter(&scope);
	MemoryContextSwitchTo(flight->context);
	poll = integ_poll_load(&flight->subject);
	integ_owner_leave(&scope);
	MemoryContextSwitchTo(flight->context);
	if (poll == NULL || !poll->is_active || !poll->has_call || memcmp(&poll->call, &flight->id, UUID_LEN) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("the poll that this call was for is gone")));
	return poll;
}

static const Jsonb *
object_under(const JsonbContainer *holder, const char *key)
{
	JsonbValue value;

	return integ_json_get(holder, key, &value) ? integ_json_value_jsonb(&value) : integ_json_empty_object();
}

/* The time as a mark of the kind that the input takes: seconds, a date, or a date and time. */
static char *
time_as_mark(const JsonbContainer *properties, const char *param)
{
	const JsonbContainer *property = properties == NULL ? NULL : integ_json_get_object(properties, param);
	const char *type = property == NULL ? NULL : integ_json_get_string(property, "type");
	const char *format = property == NULL ? NULL : integ_json_get_string(property, "format");
	pg_time_t now = time(NULL);
	struct pg_tm *utc = pg_gmtime(&now);

	if (type != NULL && (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0))
		return psprintf("%lld", (long long) now);
	if (format != NULL && strcmp(format, "date") == 0)
		return psprintf("%04d-%02d-%02d", utc->tm_year + 1900, utc->tm_mon + 1, utc->tm_mday);
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", utc->tm_year + 1900, utc->tm_mon + 1, utc->tm_mday, utc->tm_hour,
					utc->tm_min, utc->tm_sec);
}

/* The manifest's, what was given with the poll, and how far it is: from now on, what was changed before is not read. */
static const Jsonb *
make_input(PollErrand *errand, const IntegMethod *method)
{
	const JsonbContainer *manifest = integ_json_get_object(errand->trigger, "poll");
	const JsonbContainer *properties = integ_input_properties(method);
	const char *param = integ_json_get_string(manifest, "modifiedParam");
	const Jsonb *input = integ_input_with(object_under(manifest, "input"), errand->poll->input);
	IntegJsonBuilder builder;

	errand->since = errand->poll->mark;
	if (errand->since == NULL && param != NULL && errand->poll->from_now && !errand->poll->primed)
		errand->since = time_as_mark(properties, param);
	if (param == NULL || errand->since == NULL)
		return input;
	integ_json_begin_object(&builder);
	integ_input_add_text(&builder, properties, param, integ_mark_before(errand->since, OVERLAP_MS));
	return integ_input_with(input, integ_json_end(&builder));
}

static IntegCall *
begin(IntegFlight *flight, const IntegActor *actor)
{
	PollErrand *errand = MemoryContextAllocZero(flight->context, sizeof(PollErrand));
	IntegCallOptions options = {
		.timeout_ms = flight->timeout_ms, .asynchronous = true, .returning = flight->promised};
	char *name = integ_uuid_text(&flight->instance);
	const IntegInstance *instance;
	const IntegMethod *method = NULL;
	const char *method_id = NULL;

	flight->errand_state = NULL;
	errand->begun = GetCurrentTimestamp();
	errand->poll = load(flight);
	instance = integ_instance_resolve(actor, name);
	errand->definition = integ_instance_definition(instance);
	errand->trigger = integ_poll_trigger(errand->definition, errand->poll->trigger);
	flight->errand_state = errand;
	if (errand->trigger != NULL)
	{
		method_id = integ_json_get_string(integ_json_get_object(errand->trigger, "poll"), "method");
		method = integ_instance_method(instance, errand->definition, method_id);
	}
	if (method == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("the definition \"%s\" has no polling trigger \"%s\" any more", errand->definition->id,
							   errand->poll->trigger),
						errhint("integ_webhook_unregister removes the poll.")));
	return integ_call_begin(actor, name, method_id, make_input(errand, method), &options);
}

static void
build(IntegFlight *flight)
{
	PollErrand *errand = flight->errand_state;
	IntegPagesOptions options = {.delta = errand->poll->delta};

	if (errand->pages == NULL)
		errand->pages = integ_pages_open(flight->call, &options);
	(void) integ_pages_build(errand->pages);
}

static void
receive(IntegFlight *flight)
{
	PollErrand *errand = flight->errand_state;

	errand->page = NULL;
	if (flight->outcome.sqlerrcode != 0)
		return;
	errand->page = integ_pages_receive(errand->pages);
	/* The page has the records; the call's own answer is gone. */
	flight->outcome.result = NULL;
}

/* --- what came of it --- */

static void
come_again(IntegFlight *flight, TimestampTz at)
{
	flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_RETRY, .retry_at = at, .waits = true};
	flight->outcome = (IntegOutcome){0};
}

/* All pages are stored: the cursor moves, and the next poll is at its time. */
static void
finish(IntegFlight *flight, const IntegPoll *poll, const PollErrand *errand, const char *newest)
{
	static IntegQuery done = {
		"UPDATE integ.polls SET primed = true, high_water_mark = coalesce($2, high_water_mark), delta_token = $3,"
		" last_polled_at = pg_catalog.clock_timestamp(), next_poll_at = $4, polls = polls + 1, records = records + $5,"
		" events = events + $6, failures = 0, last_error = NULL, hint = NULL,"
		" last_event_at = CASE WHEN $6 > 0 THEN pg_catalog.clock_timestamp() ELSE last_event_at END WHERE id = $1",
		6,
		{UUIDOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID}};
	TimestampTz next = integ_poll_next(poll, errand->trigger, GetCurrentTimestamp());
	char nulls[] = "      ";
	Datum values[6];

	values[0] = UUIDPGetDatum(&poll->id);
	values[1] = integ_value_text(newest, &nulls[1]);
	values[2] = integ_value_text(errand->page->delta, &nulls[2]);
	values[3] = TimestampTzGetDatum(next);
	values[4] = Int64GetDatum(errand->nrecords + errand->stored.nrecords);
	values[5] = Int64GetDatum(errand->nevents + errand->stored.nevents);
	(void) integ_query(&done, values, nulls);
	come_again(flight, next);
}

/* Which is newer, of the pages before and this one. */
static const char *
newest_of(const PollErrand *errand)
{
	if (errand->stored.newest == NULL || (errand->newest != NULL && errand->newest_at >= errand->stored.newest_at))
		return errand->newest;
	return errand->stored.newest;
}

static void
take_page(IntegFlight *flight, const IntegPoll *poll, PollErrand *errand)
{
	bool fire = poll->primed || !poll->from_now;
	MemoryContext context = AllocSetContextCreate(flight->context, "integ poll page", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);
	errand->stored = integ_poll_store(poll, errand->definition, errand->trigger, errand->page->records, fire,
									  errand->begun);
	MemoryContextSwitchTo(flight->context);
	if (errand->stored.newest != NULL)
		errand->stored.newest = pstrdup(errand->stored.newest);
	MemoryContextDelete(context);
	if (errand->page->state == NULL || errand->page->cut_short)
		finish(flight, poll, errand, newest_of(errand) != NULL ? newest_of(errand) : errand->since);
	else
		flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_NEXT};
}

/* What the transaction before has stored counts. */
static void
count_stored(PollErrand *errand)
{
	const char *newest = newest_of(errand);

	if (newest != errand->newest)
		errand->newest_at = errand->stored.newest_at;
	errand->newest = newest;
	errand->nrecords += errand->stored.nrecords;
	errand->nevents += errand->stored.nevents;
	errand->stored = (IntegPollPage){0};
}

static void
tell(const IntegPoll *poll, const char *error, const char *hint)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "poll", integ_uuid_text(&poll->id));
	integ_json_add_string(&builder, "definition", poll->definition);
	integ_json_add_string(&builder, "trigger", poll->trigger);
	integ_json_add_string(&builder, "error", error);
	integ_event_emit("poll.failing", poll->client_id, &poll->instance, integ_json_end(&builder));
	integ_notify(NULL, poll->client_id, "poll.failing",
				 psprintf("\"%s\" of \"%s\" has not been polled for a while: %s", poll->trigger, poll->definition, error),
				 hint, NULL);
}

/* Twice as late each time, and never before the service takes requests again. */
static TimestampTz
pause_after(const IntegPoll *poll, const PollErrand *errand, TimestampTz accepted_at)
{
	TimestampTz now = GetCurrentTimestamp();
	int64 pause = USECS_PER_MINUTE;

	if (errand != NULL && errand->trigger != NULL)
		pause = integ_poll_next(poll, errand->trigger, now) - now;
	for (int i = 0; i < poll->failures && pause < LONGEST_PAUSE; i++)
		pause = Min(pause * 2, LONGEST_PAUSE);
	return Max(now + pause, accepted_at);
}

static void
fail(IntegFlight *flight, const IntegPoll *poll, const PollErrand *errand)
{
	static IntegQuery note = {
		"UPDATE integ.polls SET failures = failures + 1, last_error = $2, hint = $3, next_poll_at = $4,"
		" delta_token = CASE WHEN $5 THEN NULL ELSE delta_token END WHERE id = $1",
		5,
		{UUIDOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID}};
	int status = flight->call != NULL && flight->call->response != NULL ? (int) flight->response.status : 0;
	/* The token may have expired: everything is read again, and what is known brings nothing. */
	bool drop_delta = poll->delta != NULL && (status == 400 || status == 404 || status == 410);
	TimestampTz next = drop_delta && poll->failures == 0 ? GetCurrentTimestamp()
														 : pause_after(poll, errand, flight->outcome.retry_at);
	char nulls[] = "     ";
	Datum values[5];

	values[0] = UUIDPGetDatum(&poll->id);
	values[1] = integ_value_text(flight->outcome.message, &nulls[1]);
	values[2] = integ_value_text(flight->outcome.hint, &nulls[2]);
	values[3] = TimestampTzGetDatum(next);
	values[4] = BoolGetDatum(drop_delta);
	(void) integ_query(&note, values, nulls);
	if (poll->failures + 1 == FAILURES_TOLD)
		tell(poll, flight->outcome.message, flight->outcome.hint);
	come_again(flight, next);
}

/* It waits for a slot, a token, or the end of a hold: nothing was asked, and nothing has failed. */
static bool
only_waits(const IntegFlight *flight)
{
	return flight->verdict.kind == INTEG_VERDICT_RETRY && !flight->verdict.counts;
}

static void
settle(IntegFlight *flight)
{
	PollErrand *errand = flight->errand_state;
	IntegPoll *poll;

	if (flight->verdict.kind == INTEG_VERDICT_NEXT)
		return;
	MemoryContextSwitchTo(flight->context);
	poll = integ_poll_load(&flight->subject);
	MemoryContextSwitchTo(flight->context);
	/* Switched off or deleted meanwhile: its call ends with it. */
	if (poll == NULL || !poll->is_active || !poll->has_call || memcmp(&poll->call, &flight->id, UUID_LEN) != 0)
	{
		flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_SUCCEEDED};
		flight->outcome = (IntegOutcome){0};
		return;
	}
	if (flight->outcome.sqlerrcode == 0 && errand != NULL && errand->page != NULL)
		take_page(flight, poll, errand);
	else if (only_waits(flight))
		flight->verdict.waits = true;
	else
		fail(flight, poll, errand);
}

/* Once the page's transaction is over. */
static void
settled(IntegFlight *flight)
{
	if (flight->verdict.kind == INTEG_VERDICT_NEXT && flight->errand_state != NULL)
		count_stored(flight->errand_state);
}

const IntegErrand integ_poll_errand = {.purpose = "poll",
									   .begin = begin,
									   .build = build,
									   .receive = receive,
									   .settle = settle,
									   .settled = settled,
									   .perpetual = true};

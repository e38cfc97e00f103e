/*
 * integ_webhook_register: rows of the caller's transaction; the service is asked once they are committed.
 */
#include "webhooks/registration.h"

#include "access/actor.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "approvals/approval.h"
#include "fmgr.h"
#include "funcapi.h"
#include "handlers/handlers.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "webhooks/poll.h"
#include "webhooks/register.h"
#include "webhooks/webhook.h"

PG_FUNCTION_INFO_V1(integ_webhook_register);

/* --- what is asked for --- */

#define OPTION(name) "option \"" name "\" of integ_webhook_register"

static char *
resolve_handler(const char *name, const char *what)
{
	return name == NULL ? NULL : integ_handler_resolve(GetUserId(), name, what);
}

static Jsonb *
resolve_handlers(const Jsonb *handlers)
{
	IntegJsonBuilder builder;
	IntegJsonWalk walk;
	JsonbValue key, value;

	integ_json_begin_object(&builder);
	if (handlers != NULL)
	{
		integ_json_walk_begin(&walk, &handlers->root);
		while (integ_json_walk_pair(&walk, &key, &value))
		{
			char *id = pnstrdup(key.val.string.val, key.val.string.len);

			integ_json_add_string(&builder, id, resolve_handler(integ_json_value_text(&value), OPTION("trigger_handlers")));
		}
	}
	return integ_json_end(&builder);
}

static void
check_texts(const Jsonb *list, const char *option)
{
	for (uint32 i = 0; list != NULL && i < JB_ROOT_COUNT(list); i++)
	{
		JsonbValue item;

		integ_json_walk_at(&list->root, i, &item);
		if (item.type != jbvString)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("option \"%s\" of integ_webhook_register must be a list of texts", option)));
	}
}

static void
parse_options(const Jsonb *options, IntegHookRequest *request)
{
	char *filter = NULL, *handler = NULL, *start = NULL, *schedule = NULL;
	Jsonb *input = NULL, *events = NULL, *handlers = NULL, *schedule_object = NULL;
	bool schedule_is_text = false;
	JsonbValue value;
	IntegOption known[] = {
		{"webhook_id", INTEG_OPTION_TEXT, &request->webhook_id},
		{"name", INTEG_OPTION_TEXT, &request->name},
		{"input", INTEG_OPTION_OBJECT, &input},
		{"events", INTEG_OPTION_ARRAY, &events},
		{"filter", INTEG_OPTION_TEXT, &filter},
		{"handler", INTEG_OPTION_TEXT, &handler},
		{"trigger_handlers", INTEG_OPTION_OBJECT, &handlers},
		{"reregister", INTEG_OPTION_BOOL, &request->reregister},
		{"start", INTEG_OPTION_TEXT, &start},
		{"schedule", INTEG_OPTION_OBJECT, &schedule_object},
	};

	/* A schedule is an object, or its short form in one word. */
	if (options != NULL && integ_json_get(&options->root, "schedule", &value) && value.type == jbvString)
	{
		schedule_is_text = true;
		known[lengthof(known) - 1] = (IntegOption){"schedule", INTEG_OPTION_TEXT, &schedule};
	}
	integ_options_parse(options, known, lengthof(known), "integ_webhook_register");
	check_texts(events, "events");
	request->input = input == NULL ? integ_json_empty_object() : input;
	request->events = events;
	request->schedule = schedule_is_text && schedule != NULL ? integ_json_string(schedule,
																				 strlen(schedule))
															 : schedule_object;
	request->handler = resolve_handler(handler, OPTION("handler"));
	request->trigger_handlers = resolve_handlers(handlers);
	if (filter != NULL)
		request->filter = DirectFunctionCall1(jsonpath_in, CStringGetDatum(filter));
	request->from_now = start == NULL || strcmp(start, "now") == 0;
	if (!request->from_now && strcmp(start, "beginning") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"start\" of integ_webhook_register must be \"now\" or \"beginning\"")));
}

/* The trigger in the manifest. Raises IG404 with those that there are. */
static const JsonbContainer *
find_trigger(const IntegDefinition *definition, const char *id)
{
	const JsonbContainer *triggers = integ_json_get_array(&definition->manifest->root, "triggers");
	StringInfoData names;

	initStringInfo(&names);
	for (uint32 i = 0; triggers != NULL && i < JsonContainerSize(triggers); i++)
	{
		JsonbValue trigger;
		char *name;

		integ_json_walk_at(triggers, i, &trigger);
		name = integ_json_get_string(trigger.val.binary.data, "id");
		if (strcmp(name, id) == 0)
			return trigger.val.binary.data;
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", name);
	}
	ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
					errmsg("the definition \"%s\" has no trigger \"%s\"", definition->id, id),
					names.len > 0 ? errhint("Triggers: %s.", names.data) : errhint("It has none.")));
}

static void
add_events(IntegJsonBuilder *builder, const JsonbContainer *trigger)
{
	const JsonbContainer *list = integ_json_get_array(trigger, "event");
	char *single = integ_json_get_string(trigger, "event");

	if (integ_json_get_object(trigger, "poll") != NULL)
		return;
	if (single != NULL)
		integ_json_add_string(builder, NULL, single);
	for (uint32 i = 0; list != NULL && i < JsonContainerSize(list); i++)
	{
		JsonbValue event;

		integ_json_walk_at(list, i, &event);
		integ_json_add(builder, NULL, &event);
	}
}

/* What the service is asked for: the events of the trigger, or of all that come by webhook. */
static const Jsonb *
events_of(const IntegDefinition *definition, const JsonbContainer *trigger)
{
	const JsonbContainer *triggers = integ_json_get_array(&definition->manifest->root, "triggers");
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_open_array(&builder, "events");
	if (trigger != NULL)
		add_events(&builder, trigger);
	for (uint32 i = 0; trigger == NULL && triggers != NULL && i < JsonContainerSize(triggers); i++)
	{
		JsonbValue each;

		integ_json_walk_at(triggers, i, &each);
		add_events(&builder, each.val.binary.data);
	}
	integ_json_close(&builder);
	return integ_path_get(integ_path_compile(".events", "events"), integ_json_end(&builder));
}

/* --- a webhook --- */

/* Of triggers that share an event the service is asked once. */
#define EVENTS(list) "ARRAY(SELECT DISTINCT e FROM pg_catalog.jsonb_array_elements_text(" list ") e ORDER BY e)"

/* The webhook that was made for the same before, in any state; false where there is none. */
static bool
find_existing(const IntegHookRequest *request, pg_uuid_t *webhook)
{
	static IntegQuery find = {
		"SELECT r.webhook FROM integ.webhook_registrations r JOIN integ.webhooks w ON w.id = r.webhook"
		" WHERE r.instance = $1 AND r.trigger IS NOT DISTINCT FROM $2 AND r.task IS NOT DISTINCT FROM $3"
		" AND w.webhook_id = $4",
		4,
		{UUIDOID, TEXTOID, UUIDOID, TEXTOID}};
	char nulls[] = "    ";
	Datum values[4] = {UUIDPGetDatum(&request->instance->id)};
	bool isnull;

	values[1] = integ_value_text(request->trigger_id, &nulls[1]);
	values[2] = UUIDPGetDatum(request->task);
	nulls[2] = request->task == NULL ? 'n' : ' ';
	values[3] = CStringGetTextDatum(request->webhook_id);
	if (integ_query(&find, values, nulls) == 0)
		return false;
	*webhook = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	return true;
}

/* False where somebody else's webhook has the handle. */
static bool
insert_webhook(const IntegHookRequest *request, const pg_uuid_t *webhook)
{
	static IntegQuery insert = {
		"INSERT INTO integ.webhooks (id, webhook_id, name, definition, instance, client_id, events, filter, handler,"
		" trigger_handlers, owner, created_by)"
		" VALUES ($1, $2, $3, $4, $5, $6, " EVENTS("$7") ", $8, $9, $10, $11::pg_catalog.regrole, $12)"
														 " ON CONFLICT (client_id, definition, webhook_id) DO NOTHING",
		12,
		{UUIDOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID, TEXTOID, JSONBOID, JSONPATHOID, TEXTOID, JSONBOID, OIDOID,
		 TEXTOID}};
	char nulls[] = "            ";
	Datum values[12];

	values[0] = UUIDPGetDatum(webhook);
	values[1] = CStringGetTextDatum(request->webhook_id);
	values[2] = integ_value_text(request->name, &nulls[2]);
	values[3] = CStringGetTextDatum(request->definition->id);
	values[4] = UUIDPGetDatum(&request->instance->id);
	values[5] = CStringGetTextDatum(request->instance->client_id);
	values[6] = JsonbPGetDatum(request->trigger_id == NULL ? integ_json_empty_array() : request->events);
	values[7] = request->filter;
	nulls[7] = request->filter == 0 ? 'n' : ' ';
	values[8] = integ_value_text(request->trigger_id == NULL ? request->handler : NULL, &nulls[8]);
	values[9] = JsonbPGetDatum(request->trigger_handlers);
	values[10] = ObjectIdGetDatum(request->owner);
	values[11] = CStringGetTextDatum(GetUserNameFromId(request->owner, false));
	return integ_query(&insert, values, nulls) > 0;
}

static void
insert_registration(const IntegHookRequest *request, const pg_uuid_t *webhook, const char *url)
{
	static IntegQuery insert = {
		"INSERT INTO integ.webhook_registrations (webhook, client_id, definition, instance, trigger, task, url, events,"
		" input, status, owner, user_id, reregister)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, " EVENTS("$8") ", $9, 'manual', $10::pg_catalog.regrole, $11, $12)",
		12,
		{UUIDOID, TEXTOID, TEXTOID, UUIDOID, TEXTOID, UUIDOID, TEXTOID, JSONBOID, JSONBOID, OIDOID, TEXTOID, BOOLOID}};
	char nulls[] = "            ";
	Datum values[12];

	values[0] = UUIDPGetDatum(webhook);
	values[1] = CStringGetTextDatum(request->instance->client_id);
	values[2] = CStringGetTextDatum(request->definition->id);
	values[3] = UUIDPGetDatum(&request->instance->id);
	values[4] = integ_value_text(request->trigger_id, &nulls[4]);
	values[5] = UUIDPGetDatum(request->task);
	nulls[5] = request->task == NULL ? 'n' : ' ';
	values[6] = CStringGetTextDatum(url);
	values[7] = JsonbPGetDatum(request->events);
	values[8] = JsonbPGetDatum(request->input);
	values[9] = ObjectIdGetDatum(request->owner);
	values[10] = integ_value_text(request->user_id, &nulls[10]);
	values[11] = BoolGetDatum(request->reregister);
	(void) integ_query(&insert, values, nulls);
}

/* What the caller gives is told to an existing webhook too; whether the service must learn of it. */
static bool
update_existing(const IntegHookRequest *request, const pg_uuid_t *webhook, const char *url)
{
	static IntegQuery webhooks = {
		"UPDATE integ.webhooks SET is_active = true, filter = $2, handler = $3, trigger_handlers = $4,"
		" name = coalesce($5, name), owner = $6::pg_catalog.regrole,"
		" events = " EVENTS("$7") ", updated_at = pg_catalog.now() WHERE id = $1",
		7,
		{UUIDOID, JSONPATHOID, TEXTOID, JSONBOID, TEXTOID, OIDOID, JSONBOID}};
	static IntegQuery registration = {
		"UPDATE integ.webhook_registrations r SET url = $2, events = " EVENTS("$3") ", input = $4, reregister = $5,"
																					" owner = $6::pg_catalog.regrole, user_id = $7 FROM integ.webhook_registrations o"
																					" WHERE r.webhook = $1 AND o.webhook = r.webhook"
																					" RETURNING (o.url, o.events, o.input) IS DISTINCT FROM (r.url, r.events, r.input)",
		7,
		{UUIDOID, TEXTOID, JSONBOID, JSONBOID, BOOLOID, OIDOID, TEXTOID}};
	char webhook_nulls[] = "       ", nulls[] = "       ";
	Datum values[7] = {UUIDPGetDatum(webhook), request->filter};

	webhook_nulls[1] = request->filter == 0 ? 'n' : ' ';
	values[2] = integ_value_text(request->trigger_id == NULL ? request->handler : NULL, &webhook_nulls[2]);
	values[3] = JsonbPGetDatum(request->trigger_handlers);
	values[4] = integ_value_text(request->name, &webhook_nulls[4]);
	values[5] = ObjectIdGetDatum(request->owner);
	values[6] = JsonbPGetDatum(request->trigger_id == NULL ? integ_json_empty_array() : request->events);
	(void) integ_query(&webhooks, values, webhook_nulls);
	values[1] = CStringGetTextDatum(url);
	values[2] = JsonbPGetDatum(request->events);
	values[3] = JsonbPGetDatum(request->input);
	values[4] = BoolGetDatum(request->reregister);
	values[6] = integ_value_text(request->user_id, &nulls[6]);
	return integ_query(&registration, values, nulls) > 0 && integ_result_bool(0, 1);
}

/* What is asked now, of a webhook in that state; NONE: nothing. */
static IntegHookStep
step_for(const IntegRegistration *row, const JsonbContainer *manifest, bool changed)
{
	bool stands = strcmp(row->status, "active") == 0 || strcmp(row->status, "failing") == 0;

	if (integ_hook_method(manifest, INTEG_HOOK_REGISTER) == NULL)
		return INTEG_HOOK_NONE;
	if (stands)
		return changed ? INTEG_HOOK_REPLACE : INTEG_HOOK_NONE;
	return INTEG_HOOK_REGISTER;
}

/* What the caller gave must be what the methods take: a mistake shows here, not when the service is asked. */
static void
check_call(const IntegHookRequest *request, const IntegRegistration *row, const JsonbContainer *manifest,
		   IntegHookStep step)
{
	const char *method_id = integ_hook_method(manifest, step);
	const IntegMethod *method = integ_instance_method(request->instance, request->definition, method_id);
	IntegCallOptions options = {.asynchronous = true};
	IntegCall *call;

	if (method == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("the definition \"%s\" has no method \"%s\"",
																 request->definition->id, method_id)));
	call = integ_call_begin(request->actor, integ_uuid_text(&request->instance->id), method_id,
							integ_hook_input(row, step, manifest, method, request->instance), &options);
	integ_call_resolve(call);
	integ_call_authorize(call);
	integ_call_validate(call);
	if (integ_approval_needed(call))
		ereport(ERROR, (errcode(ERRCODE_INTEG_APPROVAL),
						errmsg("the method \"%s\" of \"%s\" needs a person's approval", method_id,
							   request->definition->id),
						errdetail("A webhook is registered, renewed and removed by itself, with nobody there to approve."),
						errhint("Register it with integ_enqueue(…, '%s', …) and approve that; then INSERT INTO integ.webhooks.",
								method_id)));
	integ_call_end(call);
}

static IntegRegistration *
load_as_owner(const pg_uuid_t *webhook)
{
	MemoryContext context = CurrentMemoryContext;
	IntegRegistration *row;
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	MemoryContextSwitchTo(context);
	row = integ_registration_load(webhook);
	integ_owner_leave(&scope);
	MemoryContextSwitchTo(context);
	return row;
}

/* The rows of the webhook: found, or made. True where the service must learn of a change. */
static bool
make_rows(IntegHookRequest *request, pg_uuid_t *webhook, char **url)
{
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	bool exists, changed = false;

	integ_uuid_make(webhook);
	integ_owner_enter(&scope);
	MemoryContextSwitchTo(context);
	exists = find_existing(request, webhook);
	MemoryContextSwitchTo(context);
	*url = integ_hook_url(request->definition->id, webhook);
	/* Somebody may have made the same at this moment: then it is there now. */
	if (!exists && insert_webhook(request, webhook))
		insert_registration(request, webhook, *url);
	else if (exists || find_existing(request, webhook))
	{
		MemoryContextSwitchTo(context);
		*url = integ_hook_url(request->definition->id, webhook);
		changed = update_existing(request, webhook, *url);
	}
	else
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("\"%s\" has a webhook \"%s\" already", request->definition->id, request->webhook_id),
						errdetail("It is for another connection or trigger."), errhint("Give it a handle by the option "
																					   "\"webhook_id\".")));
	integ_owner_leave(&scope);
	MemoryContextSwitchTo(context);
	return changed;
}

static void
begin_step(IntegRegistration *row, const JsonbContainer *manifest, IntegHookStep step)
{
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	if (step != INTEG_HOOK_REPLACE)
		row->status = "registering";
	row->last_error = row->hint = NULL;
	row->failures = 0;
	integ_registration_begin(row, manifest, step);
	integ_registration_save(row);
	integ_owner_leave(&scope);
}

static void
tell_manual(IntegRegistration *row, const JsonbContainer *manifest)
{
	IntegOwnerScope scope;

	row->status = "manual";
	row->hint = psprintf("The definition has no method that registers webhooks. Enter the address at the service, and "
						 "what its requests are proven with by integ_credential_set('webhook:%s', '%s', …).",
						 integ_uuid_text(&row->webhook), integ_hook_credential(manifest));
	integ_owner_enter(&scope);
	integ_registration_save(row);
	integ_owner_leave(&scope);
}

void
integ_webhook_ensure(IntegHookRequest *request, IntegHookResult *result)
{
	const JsonbContainer *manifest = integ_hook_manifest(request->definition);
	bool changed = make_rows(request, &result->id, &result->url);
	IntegRegistration *row = load_as_owner(&result->id);
	IntegHookStep step = step_for(row, manifest, changed);

	if (row->has_call && changed)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("the webhook \"%s\" is just being registered with other options", row->webhook_id),
						errhint("Wait for the call %s (integ_await), and try again.", integ_uuid_text(&row->call))));
	if (!row->has_call && step != INTEG_HOOK_NONE)
	{
		check_call(request, row, manifest, step);
		(void) integ_hook_make_secret(&row->webhook, row->client_id, manifest, request->instance, false);
		begin_step(row, manifest, step);
	}
	else if (integ_hook_method(manifest, INTEG_HOOK_REGISTER) == NULL)
		tell_manual(row, manifest);
	result->status = row->status;
	result->has_call = row->has_call;
	result->call = row->call;
}

/* --- a poll --- */

static void
upsert_poll(const IntegHookRequest *request, IntegHookResult *result)
{
	static IntegQuery upsert = {
		"INSERT INTO integ.polls AS p (client_id, definition, instance, trigger, schedule, input, start, filter, handler,"
		" owner, user_id, is_active, created_by, task)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::pg_catalog.regrole, $11, false, $12, $13)"
		" ON CONFLICT (instance, trigger) DO UPDATE SET schedule = excluded.schedule, input = excluded.input,"
		" task = excluded.task, filter = excluded.filter, handler = excluded.handler, owner = excluded.owner,"
		" user_id = excluded.user_id,"
		" updated_at = pg_catalog.now()"
		" RETURNING p.id, p.is_active AND p.call IS NOT NULL, p.call",
		13,
		{TEXTOID, TEXTOID, UUIDOID, TEXTOID, JSONBOID, JSONBOID, TEXTOID, JSONPATHOID, TEXTOID, OIDOID, TEXTOID,
		 TEXTOID, UUIDOID}};
	static IntegQuery activate = {"UPDATE integ.polls SET is_active = true WHERE id = $1 RETURNING call", 1, {UUIDOID}};
	char nulls[] = "             ";
	Datum values[13];
	bool isnull;
	Datum call;

	values[0] = CStringGetTextDatum(request->instance->client_id);
	values[1] = CStringGetTextDatum(request->definition->id);
	values[2] = UUIDPGetDatum(&request->instance->id);
	values[3] = CStringGetTextDatum(request->trigger_id);
	values[4] = JsonbPGetDatum(request->schedule);
	nulls[4] = request->schedule == NULL ? 'n' : ' ';
	values[5] = JsonbPGetDatum(request->input);
	values[6] = CStringGetTextDatum(request->from_now ? "now" : "beginning");
	values[7] = request->filter;
	nulls[7] = request->filter == 0 ? 'n' : ' ';
	values[8] = integ_value_text(request->handler, &nulls[8]);
	values[9] = ObjectIdGetDatum(request->owner);
	values[10] = integ_value_text(request->user_id, &nulls[10]);
	values[11] = CStringGetTextDatum(GetUserNameFromId(request->owner, false));
	values[12] = UUIDPGetDatum(request->task);
	nulls[12] = request->task == NULL ? 'n' : ' ';
	(void) integ_query(&upsert, values, nulls);
	result->id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	result->has_call = integ_result_bool(0, 2);
	call = integ_result_datum(0, 3, &isnull);
	if (!result->has_call)
	{
		values[0] = UUIDPGetDatum(&result->id);
		(void) integ_query(&activate, values, NULL);
		call = integ_result_datum(0, 1, &isnull);
		result->has_call = !isnull;
	}
	if (result->has_call)
		result->call = *DatumGetUUIDP(call);
	result->status = "polling";
}

void
integ_poll_ensure(const IntegHookRequest *request, IntegHookResult *result)
{
	IntegPoll planned = {.trigger = request->trigger_id, .schedule = request->schedule};
	IntegOwnerScope scope;

	(void) integ_poll_next(&planned, request->trigger, GetCurrentTimestamp());
	integ_owner_enter(&scope);
	upsert_poll(request, result);
	integ_owner_leave(&scope);
}

/* --- the function --- */

void
integ_hook_request(const IntegActor *actor, const IntegInstance *instance, const char *trigger,
				   IntegHookRequest *request)
{
	request->actor = actor;
	request->instance = instance;
	request->definition = integ_instance_definition(instance);
	request->trigger_id = trigger;
	request->trigger = trigger == NULL ? NULL : find_trigger(request->definition, trigger);
	request->owner = actor->role;
	request->user_id = actor->user;
	if (request->events == NULL)
		request->events = events_of(request->definition, request->trigger);
	if (request->webhook_id == NULL)
		request->webhook_id = psprintf("%.120s-%.120s", instance->instance_id, trigger == NULL ? "all" : trigger);
}

/* The one function is for the one trigger. */
static void
give_handler_to_trigger(IntegHookRequest *request)
{
	IntegJsonBuilder builder;

	if (request->handler == NULL || request->trigger_id == NULL ||
		integ_json_get_object(request->trigger, "poll") != NULL)
		return;
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, request->trigger_id, request->handler);
	request->trigger_handlers = integ_json_end(&builder);
}

static Datum
make_result(FunctionCallInfo fcinfo, const IntegHookResult *result)
{
	bool nulls[4] = {false, result->url == NULL, false, !result->has_call};
	Datum values[4] = {UUIDPGetDatum(&result->id), result->url == NULL ? (Datum) 0 : CStringGetTextDatum(result->url),
					   CStringGetTextDatum(result->status), UUIDPGetDatum(&result->call)};
	TupleDesc columns;

	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "integ_webhook_register must return a row");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
}

Datum
integ_webhook_register(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "register webhooks");
	IntegHookRequest request = {0};
	IntegHookResult result = {0};
	char *trigger = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	char *name;

	PreventCommandIfReadOnly("integ_webhook_register");
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_webhook_register needs an instance"),
						errhint("SELECT * FROM integ_webhook_register('instance', 'trigger').")));
	parse_options(PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2), &request);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	integ_hook_request(actor, integ_instance_require_managed(actor, name, "register webhooks of"),
					   trigger, &request);
	give_handler_to_trigger(&request);
	if (request.trigger != NULL && integ_json_get_object(request.trigger, "poll") != NULL)
		integ_poll_ensure(&request, &result);
	else
		integ_webhook_ensure(&request, &result);
	PG_RETURN_DATUM(make_result(fcinfo, &result));
}

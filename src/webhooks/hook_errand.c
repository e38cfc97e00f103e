/*
 * The errand of a registration: what is asked of the service, and what its answer means.
 */
#include "webhooks/registration.h"

#include "core/cache.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "catalog/pg_type.h"
#include "definitions/compile.h"
#include "fetch/pages.h"
#include "utils/memutils.h"

typedef struct HookErrand
{
	IntegHookStep step;		/* of this attempt */
	IntegRegistration *row; /* as it was when the attempt began */
	const JsonbContainer *manifest;
	IntegPages *pages; /* of a list of what the service has; NULL: the step asks for no list */
	char *found;	   /* id of the one with our address in it */
	bool more;		   /* the list has another page */
} HookErrand;

#define REMOVE_HINT "Remove it at the service by hand, then DELETE FROM integ.webhooks."
#define LOOK_HINT                                                           \
	"Look at the service whether it has the webhook, and remove it there; " \
	"then integ_webhook_register again."

/* --- beginning --- */

/* An attempt to register that is not the first may follow one that was not answered, but did it. */
static IntegHookStep
step_now(const IntegRegistration *row, const IntegFlight *flight, const JsonbContainer *manifest)
{
	bool creates = row->step == INTEG_HOOK_REGISTER || row->step == INTEG_HOOK_REPLACE;

	if (creates && flight->attempt > 1 && row->step_attempt != flight->attempt && flight->repeatable &&
		integ_hook_method(manifest, INTEG_HOOK_LOOK) != NULL)
		return INTEG_HOOK_LOOK;
	return row->step;
}

static IntegRegistration *
load(const IntegFlight *flight)
{
	IntegOwnerScope scope;
	IntegRegistration *row;

	integ_owner_enter(&scope);
	MemoryContextSwitchTo(flight->context);
	row = integ_registration_load(&flight->subject);
	integ_owner_leave(&scope);
	MemoryContextSwitchTo(flight->context);
	if (row == NULL || !row->has_call || memcmp(&row->call, &flight->id, UUID_LEN) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("the webhook that this call was for is gone")));
	return row;
}

static IntegCall *
begin(IntegFlight *flight, const IntegActor *actor)
{
	HookErrand *errand = MemoryContextAllocZero(flight->context, sizeof(HookErrand));
	IntegRegistration *row = load(flight);
	IntegCallOptions options = {
		.timeout_ms = flight->timeout_ms, .asynchronous = true, .returning = flight->promised};
	char *name = integ_uuid_text(&flight->instance);
	const IntegInstance *instance = integ_instance_resolve(actor, name);
	const IntegDefinition *definition = integ_instance_definition(instance);
	IntegCredentialOwner *owner = palloc(sizeof(IntegCredentialOwner));
	const IntegMethod *method;
	const char *method_id;
	IntegCall *call;

	/* The secret may have been made in the transaction that made the call. */
	integ_cache_forget(INTEG_CACHE_CREDENTIALS);
	errand->row = row;
	errand->manifest = integ_hook_manifest(definition);
	errand->step = step_now(row, flight, errand->manifest);
	method_id = integ_hook_method(errand->manifest, errand->step);
	method = method_id == NULL ? NULL : integ_instance_method(instance, definition, method_id);
	if (method == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the definition \"%s\" has no method any more for a webhook's registration", definition->id)));
	call = integ_call_begin(actor, name, method_id,
							integ_hook_input(row, errand->step, errand->manifest, method, instance), &options);
	*owner = (IntegCredentialOwner){"webhook", integ_uuid_text(&row->webhook), row->client_id};
	call->first_credentials = owner;
	flight->errand_state = errand;
	return call;
}

static bool
asks_for_list(const HookErrand *errand, const IntegCall *call)
{
	const char *list = integ_json_get_string(errand->manifest, "list");

	return (errand->step == INTEG_HOOK_LOOK || errand->step == INTEG_HOOK_CHECK) && list != NULL &&
		   strcmp(list, call->method_id) == 0;
}

static void
build(IntegFlight *flight)
{
	HookErrand *errand = flight->errand_state;
	IntegPagesOptions options = {0};

	if (!asks_for_list(errand, flight->call))
	{
		integ_call_rewind(flight->call);
		integ_call_build(flight->call);
		return;
	}
	if (errand->pages == NULL)
		errand->pages = integ_pages_open(flight->call, &options);
	(void) integ_pages_build(errand->pages);
}

/* --- a page of what the service has --- */

static char *
text_at(const JsonbContainer *manifest, const char *key, const char *fallback, const JsonbValue *record)
{
	IntegPath *path = integ_compile_path(manifest, key, "/webhook");
	JsonbValue found;

	if (path == NULL)
		path = integ_path_compile(fallback, "/webhook");
	return integ_path_find(path, record, &found) ? integ_json_value_text(&found) : NULL;
}

/* By its id where we know it; else by its address, which nobody else has. */
static bool
is_ours(const HookErrand *errand, const char *id, const JsonbValue *record)
{
	const IntegRegistration *row = errand->row;
	const char *url;

	if (errand->step == INTEG_HOOK_CHECK && row->external_id != NULL)
		return strcmp(id, row->external_id) == 0;
	/* The one that it replaces has the same address. */
	if (row->external_id != NULL && strcmp(id, row->external_id) == 0)
		return false;
	url = text_at(errand->manifest, "listUrl", ".url", record);
	return url != NULL && strcmp(url, row->url) == 0;
}

static void
receive(IntegFlight *flight)
{
	HookErrand *errand = flight->errand_state;
	const IntegPage *page;
	IntegJsonWalk walk;
	JsonbValue record;

	if (errand->pages == NULL || flight->outcome.sqlerrcode != 0)
		return;
	page = integ_pages_receive(errand->pages);
	flight->outcome.result = NULL;
	integ_json_walk_begin(&walk, &page->records->root);
	while (errand->found == NULL && integ_json_walk_element(&walk, &record))
	{
		char *id = text_at(errand->manifest, "listId", ".id", &record);

		if (id != NULL && is_ours(errand, id, &record))
			errand->found = id;
	}
	errand->more = errand->found == NULL && page->state != NULL && !page->cut_short;
}

/* --- what came of it --- */

/* The same call comes again at once, for another step. */
static void
go_on_with(IntegFlight *flight, IntegRegistration *row, IntegHookStep step)
{
	row->step = step;
	row->step_attempt = flight->attempt;
	flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_RETRY, .retry_at = GetCurrentTimestamp(), .waits = true};
	flight->outcome = (IntegOutcome){0};
}

static const Jsonb *
describe_former(const char *external_id, const Jsonb *kept)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "external_id", external_id);
	if (kept != NULL)
		integ_json_add_jsonb(&builder, "kept", kept);
	return integ_json_end(&builder);
}

/* The service has it under a name that we do not know: a person has to look. */
static void
unnamed(IntegFlight *flight, IntegRegistration *row)
{
	flight->outcome = (IntegOutcome){
		.sqlerrcode = ERRCODE_INTEG_BAD_ANSWER,
		.message = psprintf("the service has not told the id of the webhook \"%s\"", row->webhook_id),
		.detail = psprintf("The path \"externalId\" of the definition \"%s\" finds nothing in its answer.",
						   row->definition),
		.hint = LOOK_HINT};
	flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_FAILED};
	row->status = "unknown";
	row->last_error = flight->outcome.message;
	row->hint = LOOK_HINT;
	integ_registration_announce(row, "webhook.registration_failed", row->last_error, row->hint);
}

static void
registered(IntegFlight *flight, IntegRegistration *row, const HookErrand *errand)
{
	const char *old_id = row->external_id;
	const Jsonb *old_kept = row->kept;

	if (!integ_registration_registered(row, errand->manifest, flight->outcome.result, flight->call->body))
	{
		unnamed(flight, row);
		return;
	}
	row->former = NULL;
	if (old_id == NULL || strcmp(old_id, row->external_id) == 0 ||
		integ_hook_method(errand->manifest, INTEG_HOOK_REMOVE) == NULL)
		return;
	row->former = describe_former(old_id, old_kept);
	go_on_with(flight, row, INTEG_HOOK_REMOVE);
}

/* An earlier attempt was carried out. A secret that the service has told is lost: then another takes its place. */
static void
found(IntegFlight *flight, IntegRegistration *row, const HookErrand *errand)
{
	const JsonbContainer *secret = integ_json_get_object(errand->manifest, "secret");
	const JsonbContainer *keep = integ_json_get_object(errand->manifest, "keep");
	bool usable = keep == NULL && (secret == NULL || integ_json_get_string(secret, "path") == NULL);

	if (usable && row->step == INTEG_HOOK_REGISTER)
	{
		IntegJsonBuilder builder;

		integ_json_begin_object(&builder);
		row->external_id = errand->found;
		row->registered_at = GetCurrentTimestamp();
		integ_registration_renewed(row, errand->manifest, integ_json_end(&builder));
		integ_registration_announce(row, "webhook.registered", NULL, NULL);
		return;
	}
	row->former = describe_former(errand->found, NULL);
	go_on_with(flight, row, INTEG_HOOK_REMOVE);
}

static void
looked(IntegFlight *flight, IntegRegistration *row, const HookErrand *errand)
{
	if (errand->found != NULL)
		found(flight, row, errand);
	else
		go_on_with(flight, row, row->step);
}

static void
removed(IntegFlight *flight, IntegRegistration *row, const HookErrand *errand)
{
	row->former = NULL;
	/* It was in the way of one that is still to be registered. */
	if (strcmp(row->status, "registering") == 0)
		go_on_with(flight, row, INTEG_HOOK_REGISTER);
}

static void
unregistered(IntegRegistration *row)
{
	static IntegQuery gone = {"DELETE FROM integ.webhooks WHERE id = $1", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(&row->webhook);

	row->status = "unregistered";
	integ_registration_announce(row, "webhook.unregistered", NULL, NULL);
	row->external_id = NULL;
	row->last_error = row->hint = NULL;
	integ_registration_save(row);
	(void) integ_query(&gone, &value, NULL);
}

static void
succeeded(IntegFlight *flight, IntegRegistration *row, const HookErrand *errand)
{
	switch (errand->step)
	{
		case INTEG_HOOK_REGISTER:
		case INTEG_HOOK_REPLACE:
			registered(flight, row, errand);
			break;
		case INTEG_HOOK_LOOK:
			looked(flight, row, errand);
			break;
		case INTEG_HOOK_REMOVE:
			removed(flight, row, errand);
			break;
		case INTEG_HOOK_RENEW:
			integ_registration_renewed(row, errand->manifest, flight->outcome.result);
			break;
		case INTEG_HOOK_CHECK:
			if (errand->pages != NULL && errand->found == NULL)
				integ_registration_lost(row, errand->manifest);
			else
			{
				row->checked_at = GetCurrentTimestamp();
				row->check_at = row->checked_at + USECS_PER_HOUR;
				row->failures = 0;
				row->last_error = row->hint = NULL;
			}
			break;
		case INTEG_HOOK_ROTATE:
			row->rotated_at = GetCurrentTimestamp();
			row->failures = 0;
			row->last_error = row->hint = NULL;
			break;
		case INTEG_HOOK_UNREGISTER:
			unregistered(row);
			break;
		case INTEG_HOOK_NONE:
			break;
	}
}

/* It is tried again until the registration ends at the service, and people are told. */
static void
renewal_failed(IntegRegistration *row, const JsonbContainer *manifest)
{
	TimestampTz now = GetCurrentTimestamp();
	int64 left = row->expires_at - now;

	row->hint = left > 0 ? "It is tried again until the registration ends at the service. integ_webhook_register "
						   "registers it anew."
						 : "The registration has ended at the service.";
	integ_registration_announce(row, "webhook.renewal_failed", row->last_error, row->hint);
	if (left <= 0)
	{
		integ_registration_lost(row, manifest);
		return;
	}
	row->status = "failing";
	row->renew_at = now + Max(Min(left / 4, USECS_PER_HOUR), USECS_PER_MINUTE);
}

/* The registration that has taken the other's place stands, and goes on to be renewed. */
static void
former_stays(IntegRegistration *row)
{
	const char *former = integ_json_get_string(&row->former->root, "external_id");
	IntegRegistration other = *row;

	row->former = NULL;
	row->hint = psprintf("The registration \"%s\", whose place this one has taken, may still be at the service: remove it "
						 "there by hand.",
						 former);
	other.external_id = former;
	integ_registration_announce(&other, "webhook.abandoned", row->last_error, row->hint);
}

static void
failed(const IntegFlight *flight, IntegRegistration *row, const HookErrand *errand)
{
	bool unknown = flight->verdict.kind == INTEG_VERDICT_UNKNOWN;

	if (row->step == INTEG_HOOK_REMOVE && strcmp(row->status, "active") == 0)
	{
		former_stays(row);
		return;
	}
	switch (row->step)
	{
		case INTEG_HOOK_RENEW:
		case INTEG_HOOK_REPLACE:
			renewal_failed(row, errand == NULL ? NULL : errand->manifest);
			return;
		case INTEG_HOOK_CHECK:
			row->check_at = GetCurrentTimestamp() + USECS_PER_HOUR;
			return;
		case INTEG_HOOK_ROTATE:
			row->hint = "The secret before is still valid. integ_webhook_rotate tries again.";
			break;
		case INTEG_HOOK_UNREGISTER:
			row->status = "failed";
			row->hint = REMOVE_HINT;
			break;
		default:
			row->status = unknown ? "unknown" : "failed";
			row->hint = unknown ? LOOK_HINT : flight->outcome.hint;
	}
	integ_registration_announce(row, "webhook.registration_failed", row->last_error, row->hint);
}

/* The service has it no more, whatever was to be done with it. */
static bool
is_gone(const IntegFlight *flight, const HookErrand *errand)
{
	if (errand == NULL || flight->call->response == NULL || flight->outcome.sqlerrcode == 0 || errand->pages != NULL)
		return false;
	return flight->response.status == 404 || flight->response.status == 410;
}

static void
gone(IntegFlight *flight, IntegRegistration *row, const HookErrand *errand)
{
	flight->outcome = (IntegOutcome){0};
	flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_SUCCEEDED};
	if (errand->step == INTEG_HOOK_REMOVE || errand->step == INTEG_HOOK_UNREGISTER)
		succeeded(flight, row, errand);
	else
		integ_registration_lost(row, errand->manifest);
}

/* The row went while the service was asked: what it has made is to be removed. */
static void
abandon(const IntegFlight *flight, const HookErrand *errand)
{
	bool creates = errand != NULL && (errand->step == INTEG_HOOK_REGISTER || errand->step == INTEG_HOOK_REPLACE);

	if (!creates || flight->outcome.sqlerrcode != 0 || flight->call->response == NULL)
		return;
	if (!integ_registration_identify(errand->row, errand->manifest, flight->outcome.result, flight->call->body) ||
		!integ_registration_abandon(errand->row, errand->manifest))
		integ_registration_announce(errand->row, "webhook.abandoned",
									"it was deleted here while it was registered, and is at the service now", "Remove it there.");
}

static void
settle(IntegFlight *flight)
{
	HookErrand *errand = flight->errand_state;
	IntegRegistration *row;
	pg_uuid_t call;

	if (flight->verdict.kind == INTEG_VERDICT_NEXT)
		return;
	MemoryContextSwitchTo(flight->context);
	row = integ_registration_load(&flight->subject);
	MemoryContextSwitchTo(flight->context);
	if (row == NULL || !row->has_call || memcmp(&row->call, &flight->id, UUID_LEN) != 0)
	{
		abandon(flight, errand);
		return;
	}
	if (flight->outcome.sqlerrcode == 0 && errand->more)
	{
		flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_NEXT};
		return;
	}
	call = row->call;
	if (is_gone(flight, errand) && !(errand->step == INTEG_HOOK_REGISTER || errand->step == INTEG_HOOK_REPLACE))
		gone(flight, row, errand);
	else if (flight->verdict.kind == INTEG_VERDICT_SUCCEEDED)
		succeeded(flight, row, errand);
	else
	{
		row->last_error = flight->outcome.message;
		row->failures += flight->verdict.waits ? 0 : 1;
		if (flight->verdict.kind != INTEG_VERDICT_RETRY)
			failed(flight, row, errand);
	}
	/* A step may have made another call; else there is one only while this one comes again. */
	if (memcmp(&row->call, &call, UUID_LEN) == 0)
		row->has_call = flight->verdict.kind == INTEG_VERDICT_RETRY;
	integ_registration_save(row);
}

const IntegErrand integ_registration_errand = {
	.purpose = "webhook", .begin = begin, .build = build, .receive = receive, .settle = settle};

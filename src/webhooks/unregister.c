/*
 * integ_webhook_unregister and integ_webhook_rotate; and what becomes of webhooks whose instance is disconnected.
 */
#include "webhooks/registration.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(integ_webhook_unregister);
PG_FUNCTION_INFO_V1(integ_webhook_rotate);

typedef struct Found
{
	pg_uuid_t id;
	bool is_poll;
	bool is_registered; /* there is a row of integ.webhook_registrations */
} Found;

/* The webhook or poll that the name means for the actor. Raises IG404 and IG409. */
static Found
find(const IntegActor *actor, const char *name)
{
	static IntegQuery webhooks = {
		"SELECT w.id, false, r.webhook IS NOT NULL FROM integ.webhooks w"
		" LEFT JOIN integ.webhook_registrations r ON r.webhook = w.id"
		" WHERE (w.id::text = $1 OR w.webhook_id = $1 OR w.definition || '/' || w.webhook_id = $1)"
		" AND ($2 OR w.client_id = $3)"
		" UNION ALL SELECT id, true, false FROM integ.polls WHERE id::text = $1 AND ($2 OR client_id = $3) LIMIT 2",
		3,
		{TEXTOID, BOOLOID, TEXTOID}};
	char nulls[] = "   ";
	Datum values[] = {CStringGetTextDatum(name), BoolGetDatum(actor->level == INTEG_LEVEL_SUPERADMIN),
					  integ_value_text(actor->client, &nulls[2])};
	IntegOwnerScope scope;
	Found found = {0};
	uint64 count;
	bool isnull;

	integ_owner_enter(&scope);
	count = integ_query(&webhooks, values, nulls);
	if (count > 0)
	{
		found.id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
		found.is_poll = integ_result_bool(0, 2);
		found.is_registered = integ_result_bool(0, 3);
	}
	integ_owner_leave(&scope);
	if (count == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no webhook \"%s\"", name),
						errhint("SELECT webhook, webhook_id FROM integ.webhook_status; SELECT id, trigger FROM integ.polls.")));
	if (count > 1)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("several webhooks are called \"%s\"", name),
						errhint("Give the key: SELECT webhook, webhook_id, definition FROM integ.webhook_status.")));
	return found;
}

static void
delete_row(bool is_poll, const pg_uuid_t *id)
{
	static IntegQuery webhook = {"DELETE FROM integ.webhooks WHERE id = $1", 1, {UUIDOID}};
	static IntegQuery poll = {"DELETE FROM integ.polls WHERE id = $1", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(id);

	(void) integ_query(is_poll ? &poll : &webhook, &value, NULL);
}

static void
stop_taking(const pg_uuid_t *id)
{
	static IntegQuery stop = {"UPDATE integ.webhooks SET is_active = false WHERE id = $1", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(id);

	(void) integ_query(&stop, &value, NULL);
}

/* Whether the service has it, or may have it soon. */
static bool
is_at_service(const IntegRegistration *row)
{
	return row->external_id != NULL && strcmp(row->status, "lost") != 0;
}

static const JsonbContainer *
current_manifest(const char *definition)
{
	const IntegDefinition *found = integ_definition_get(definition, NULL);

	return found == NULL ? NULL : integ_hook_manifest(found);
}

/* A call that is to register it, and has not begun, is taken back; one under way finds the row gone, and removes. */
static bool
begin_unregistering(IntegRegistration *row)
{
	const JsonbContainer *manifest = current_manifest(row->definition);

	if (row->has_call && row->step == INTEG_HOOK_UNREGISTER)
		return true;
	if (row->has_call)
		integ_errand_take_back(&row->call);
	row->has_call = false;
	if (!is_at_service(row) || integ_hook_method(manifest, INTEG_HOOK_UNREGISTER) == NULL)
		return false;
	stop_taking(&row->webhook);
	row->status = "unregistering";
	row->last_error = row->hint = NULL;
	integ_registration_begin(row, manifest, INTEG_HOOK_UNREGISTER);
	integ_registration_save(row);
	return row->has_call;
}

static IntegRegistration *
load(const Found *found)
{
	MemoryContext context = CurrentMemoryContext;
	IntegRegistration *row;
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	MemoryContextSwitchTo(context);
	row = integ_registration_load(&found->id);
	integ_owner_leave(&scope);
	MemoryContextSwitchTo(context);
	return row;
}

Datum
integ_webhook_unregister(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "unregister webhooks");
	Found found = find(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	IntegRegistration *row = found.is_registered ? load(&found) : NULL;
	IntegOwnerScope scope;
	pg_uuid_t *call = palloc(sizeof(pg_uuid_t));
	bool has_call;

	PreventCommandIfReadOnly("integ_webhook_unregister");
	if (row != NULL)
		(void) integ_instance_require_managed(actor, integ_uuid_text(&row->instance), "unregister webhooks of");
	else if (actor->level < INTEG_LEVEL_ADMIN)
		(void) integ_actor_require(INTEG_LEVEL_ADMIN, "unregister webhooks");
	integ_owner_enter(&scope);
	has_call = row != NULL && begin_unregistering(row);
	if (has_call)
		*call = row->call;
	else
		delete_row(found.is_poll, &found.id);
	integ_owner_leave(&scope);
	if (!has_call)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(call);
}

/* --- rotation --- */

pg_noreturn static void
refuse_rotation(const IntegRegistration *row, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
					errmsg("the secret of the webhook \"%s\" cannot be rotated now", row->webhook_id), errdetail("%s", detail),
					errhint("%s", hint)));
}

Datum
integ_webhook_rotate(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "rotate secrets of webhooks");
	Found found = find(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	IntegRegistration *row = found.is_registered ? load(&found) : NULL;
	const IntegInstance *instance;
	const JsonbContainer *manifest;
	pg_uuid_t *call = palloc(sizeof(pg_uuid_t));
	IntegOwnerScope scope;
	bool at_place;

	PreventCommandIfReadOnly("integ_webhook_rotate");
	if (row == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("\"%s\" was not registered by integ", text_to_cstring(PG_GETARG_TEXT_PP(0))),
						errhint("integ_credential_rotate('webhook:…', …) gives it another secret; the service is yours to tell.")));
	instance = integ_instance_require_managed(actor, integ_uuid_text(&row->instance), "rotate secrets of");
	manifest = integ_hook_manifest(integ_instance_definition(instance));
	if (strcmp(row->status, "active") != 0)
		refuse_rotation(row, psprintf("Its status is \"%s\".", row->status), "Register it first.");
	if (row->has_call)
		refuse_rotation(row, "The service is being asked about it.", "Wait for that call (integ_await), and try again.");
	at_place = integ_hook_method(manifest, INTEG_HOOK_ROTATE) != NULL;
	if (manifest == NULL || integ_json_get_object(manifest, "secret") == NULL ||
		integ_hook_method(manifest, at_place ? INTEG_HOOK_ROTATE : INTEG_HOOK_REGISTER) == NULL)
		refuse_rotation(row, "The definition does not say where its secret comes from.",
						"Complete webhook.secret in the manifest.");
	/* Where the service makes the secret, another registration brings another one. */
	(void) integ_hook_make_secret(&row->webhook, row->client_id, manifest, instance, true);
	integ_owner_enter(&scope);
	integ_registration_begin(row, manifest, at_place ? INTEG_HOOK_ROTATE : INTEG_HOOK_REPLACE);
	row->rotated_at = at_place ? row->rotated_at : GetCurrentTimestamp();
	integ_registration_save(row);
	integ_owner_leave(&scope);
	*call = row->call;
	PG_RETURN_UUID_P(call);
}

/* --- an instance is disconnected --- */

/* Asks the service now, since afterwards nobody may. Raises what the service does wrong. */
static void
remove_now(const IntegActor *actor, const IntegInstance *instance, const IntegRegistration *row)
{
	const IntegDefinition *definition = integ_instance_definition(instance);
	const JsonbContainer *manifest = integ_hook_manifest(definition);
	const char *method_id = integ_hook_method(manifest, INTEG_HOOK_UNREGISTER);
	const IntegMethod *method = method_id == NULL ? NULL : integ_instance_method(instance, definition, method_id);
	IntegCallOptions options = {0};
	IntegCall *call;

	if (method == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("the definition has no method that removes webhooks")));
	call = integ_call_begin(actor, integ_uuid_text(&instance->id), method_id,
							integ_hook_input(row, INTEG_HOOK_UNREGISTER, manifest, method, instance), &options);
	integ_call_run(call);
	if (call->response == NULL || (call->response->status != 404 && call->response->status != 410))
		integ_call_raise(call);
	integ_call_end(call);
}

/* The message of what went wrong, NULL where it is removed. */
static char *
try_remove(const IntegActor *actor, const IntegInstance *instance, const IntegRegistration *row)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char *volatile problem = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		remove_now(actor, instance, row);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		problem = error->message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return problem;
}

static int
list_registered(const IntegInstance *instance, pg_uuid_t **ids)
{
	static IntegQuery list = {
		"SELECT webhook FROM integ.webhook_registrations WHERE instance = $1 AND status NOT IN ('manual', 'unregistered')"
		" ORDER BY webhook",
		1,
		{UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum value = UUIDPGetDatum(&instance->id);
	IntegOwnerScope scope;
	uint64 count;

	integ_owner_enter(&scope);
	count = integ_query(&list, &value, NULL);
	*ids = MemoryContextAlloc(context, sizeof(pg_uuid_t) * (count + 1));
	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;

		(*ids)[i] = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
	}
	integ_owner_leave(&scope);
	MemoryContextSwitchTo(context);
	return (int) count;
}

void
integ_instance_unregister(const IntegActor *actor, const IntegInstance *instance)
{
	pg_uuid_t *ids;
	int count = list_registered(instance, &ids);

	for (int i = 0; i < count; i++)
	{
		Found found = {.id = ids[i]};
		IntegRegistration *row = load(&found);
		char *problem;
		IntegOwnerScope scope;

		if (row == NULL)
			continue;
		problem = is_at_service(row) ? try_remove(actor, instance, row) : NULL;
		integ_owner_enter(&scope);
		if (row->has_call)
			integ_errand_take_back(&row->call);
		row->has_call = false;
		row->status = problem == NULL ? "unregistered" : "failed";
		row->last_error = problem;
		row->hint = problem == NULL ? NULL : "The instance was disconnected: remove the webhook at the service by hand.";
		if (problem == NULL)
			row->external_id = NULL;
		row->renew_at = row->check_at = row->expires_at = 0;
		integ_registration_save(row);
		stop_taking(&row->webhook);
		integ_owner_leave(&scope);
		if (problem != NULL)
			ereport(WARNING, (errmsg("the webhook \"%s\" may still be registered at the service", row->webhook_id),
							  errdetail("%s", problem), errhint("Remove it there by hand.")));
	}
}

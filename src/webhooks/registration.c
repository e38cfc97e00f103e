/*
 * Registrations: the rows, and what a manifest says of them.
 */
#include "webhooks/registration.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/query.h"
#include "core/uuid.h"
#include "execute/input.h"
#include "template/template.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"

#define EPOCH_DIFFERENCE_US ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

static const char *const steps[] = {
	[INTEG_HOOK_NONE] = NULL,
	[INTEG_HOOK_REGISTER] = "register",
	[INTEG_HOOK_LOOK] = "look",
	[INTEG_HOOK_REMOVE] = "remove",
	[INTEG_HOOK_RENEW] = "renew",
	[INTEG_HOOK_CHECK] = "check",
	[INTEG_HOOK_ROTATE] = "rotate",
	[INTEG_HOOK_REPLACE] = "replace",
	[INTEG_HOOK_UNREGISTER] = "unregister",
};

static IntegHookStep
step_of(const char *name)
{
	for (size_t i = 1; name != NULL && i < lengthof(steps); i++)
		if (strcmp(steps[i], name) == 0)
			return (IntegHookStep) i;
	return INTEG_HOOK_NONE;
}

static pg_uuid_t
uuid_column(int column, bool *isnull)
{
	Datum value = integ_result_datum(0, column, isnull);

	return *isnull ? (pg_uuid_t){0} : *DatumGetUUIDP(value);
}

IntegRegistration *
integ_registration_load(const pg_uuid_t *webhook)
{
	static IntegQuery load = {
		"SELECT r.webhook, w.webhook_id, r.client_id, r.definition, r.instance, r.trigger, r.url,"
		" pg_catalog.to_jsonb(r.events), r.input, r.owner::oid::bigint, r.user_id, r.reregister, r.status, r.step,"
		" r.step_attempt, r.call, r.registration, r.external_id, r.kept, r.former, r.registered_at, r.expires_at,"
		" r.renew_at, r.check_at, r.checked_at, r.rotated_at, r.failures, r.last_error, r.hint"
		" FROM integ.webhook_registrations r JOIN integ.webhooks w ON w.id = r.webhook WHERE r.webhook = $1 FOR UPDATE OF r",
		1,
		{UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum value = UUIDPGetDatum(webhook);
	IntegRegistration *row;
	bool isnull;

	if (integ_query(&load, &value, NULL) == 0)
		return NULL;
	row = MemoryContextAllocZero(context, sizeof(IntegRegistration));
	row->webhook = uuid_column(1, &isnull);
	row->webhook_id = integ_result_text(0, 2, context);
	row->client_id = integ_result_text(0, 3, context);
	row->definition = integ_result_text(0, 4, context);
	row->instance = uuid_column(5, &isnull);
	row->trigger = integ_result_text(0, 6, context);
	row->url = integ_result_text(0, 7, context);
	row->events = (const Jsonb *) integ_result_varlena(0, 8, context);
	row->input = (const Jsonb *) integ_result_varlena(0, 9, context);
	row->owner = (Oid) integ_result_int8(0, 10);
	row->user_id = integ_result_text(0, 11, context);
	row->reregister = integ_result_bool(0, 12);
	row->status = integ_result_text(0, 13, context);
	row->step = step_of(integ_result_text(0, 14, context));
	row->step_attempt = DatumGetInt32(integ_result_datum(0, 15, &isnull));
	row->call = uuid_column(16, &isnull);
	row->has_call = !isnull;
	row->registration = uuid_column(17, &isnull);
	row->external_id = integ_result_text(0, 18, context);
	row->kept = (const Jsonb *) integ_result_varlena(0, 19, context);
	row->former = (const Jsonb *) integ_result_varlena(0, 20, context);
	row->registered_at = integ_result_int8(0, 21);
	row->expires_at = integ_result_int8(0, 22);
	row->renew_at = integ_result_int8(0, 23);
	row->check_at = integ_result_int8(0, 24);
	row->checked_at = integ_result_int8(0, 25);
	row->rotated_at = integ_result_int8(0, 26);
	row->failures = DatumGetInt32(integ_result_datum(0, 27, &isnull));
	row->last_error = integ_result_text(0, 28, context);
	row->hint = integ_result_text(0, 29, context);
	return row;
}

static Datum
time_value(TimestampTz time, char *null)
{
	*null = time == 0 ? 'n' : ' ';
	return TimestampTzGetDatum(time);
}

void
integ_registration_save(const IntegRegistration *row)
{
	static IntegQuery save = {
		"UPDATE integ.webhook_registrations SET status = $2, step = $3, step_attempt = $4, call = $5, registration = $6,"
		" external_id = $7, kept = $8, former = $9, registered_at = $10, expires_at = $11, renew_at = $12,"
		" check_at = $13, checked_at = $14, rotated_at = $15, failures = $16, last_error = $17, hint = $18"
		" WHERE webhook = $1",
		18,
		{UUIDOID, TEXTOID, TEXTOID, INT4OID, UUIDOID, UUIDOID, TEXTOID, JSONBOID, JSONBOID, TIMESTAMPTZOID,
		 TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID}};
	char nulls[] = "                  ";
	Datum values[18];

	values[0] = UUIDPGetDatum(&row->webhook);
	values[1] = CStringGetTextDatum(row->status);
	values[2] = integ_value_text(steps[row->step], &nulls[2]);
	values[3] = Int32GetDatum(row->step_attempt);
	values[4] = UUIDPGetDatum(&row->call);
	nulls[4] = row->has_call ? ' ' : 'n';
	values[5] = UUIDPGetDatum(&row->registration);
	values[6] = integ_value_text(row->external_id, &nulls[6]);
	values[7] = JsonbPGetDatum(row->kept != NULL ? row->kept : integ_json_empty_object());
	values[8] = JsonbPGetDatum(row->former);
	nulls[8] = row->former == NULL ? 'n' : ' ';
	values[9] = time_value(row->registered_at, &nulls[9]);
	values[10] = time_value(row->expires_at, &nulls[10]);
	values[11] = time_value(row->renew_at, &nulls[11]);
	values[12] = time_value(row->check_at, &nulls[12]);
	values[13] = time_value(row->checked_at, &nulls[13]);
	values[14] = time_value(row->rotated_at, &nulls[14]);
	values[15] = Int32GetDatum(row->failures);
	values[16] = integ_value_text(row->last_error, &nulls[16]);
	values[17] = integ_value_text(row->hint, &nulls[17]);
	(void) integ_query(&save, values, nulls);
}

/* --- what the manifest says --- */

const JsonbContainer *
integ_hook_manifest(const IntegDefinition *definition)
{
	return integ_json_get_object(&definition->manifest->root, "webhook");
}

const char *
integ_hook_method(const JsonbContainer *manifest, IntegHookStep step)
{
	const char *method = NULL;

	if (manifest == NULL)
		return NULL;
	switch (step)
	{
		case INTEG_HOOK_REGISTER:
		case INTEG_HOOK_REPLACE:
			return integ_json_get_string(manifest, "register");
		case INTEG_HOOK_LOOK:
			return integ_json_get_string(manifest, "list");
		case INTEG_HOOK_REMOVE:
		case INTEG_HOOK_UNREGISTER:
			return integ_json_get_string(manifest, "unregister");
		case INTEG_HOOK_RENEW:
			return integ_json_get_string(manifest, "renew");
		case INTEG_HOOK_CHECK:
			method = integ_json_get_string(manifest, "get");
			return method != NULL ? method : integ_json_get_string(manifest, "list");
		case INTEG_HOOK_ROTATE:
			return integ_json_get_string(manifest, "rotate");
		case INTEG_HOOK_NONE:
			break;
	}
	return NULL;
}

/* The key of "inputs" that a step's method is filled in by. */
static const char *
input_key(const JsonbContainer *manifest, IntegHookStep step)
{
	switch (step)
	{
		case INTEG_HOOK_REPLACE:
			return "register";
		case INTEG_HOOK_REMOVE:
			return "unregister";
		case INTEG_HOOK_LOOK:
			return "list";
		case INTEG_HOOK_CHECK:
			return integ_json_get_string(manifest, "get") != NULL ? "get" : "list";
		default:
			return steps[step];
	}
}

const char *
integ_hook_credential(const JsonbContainer *manifest)
{
	const JsonbContainer *signature = manifest == NULL ? NULL : integ_json_get_object(manifest, "signature");
	const char *name = signature == NULL ? NULL : integ_json_get_string(signature, "credential");

	return name != NULL ? name : "secret";
}

/* As JSON has times, in UTC. */
static char *
time_text(TimestampTz time)
{
	int utc = 0;

	return JsonEncodeDateTime(palloc(MAXDATELEN + 1), TimestampTzGetDatum(time), TIMESTAMPTZOID, &utc);
}

/* {webhook.…} of the manifest's inputs. One that is removed is spoken of by its own id and what was kept of it. */
static const Jsonb *
describe(const IntegRegistration *row, const char *external_id, const Jsonb *kept, TimestampTz expires_at)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_open_object(&builder, "webhook");
	integ_json_add_string(&builder, "key", integ_uuid_text(&row->webhook));
	integ_json_add_string(&builder, "registration", integ_uuid_text(&row->registration));
	integ_json_add_string(&builder, "url", row->url);
	integ_json_add_jsonb(&builder, "events", row->events);
	if (external_id != NULL)
		integ_json_add_string(&builder, "id", external_id);
	if (kept != NULL)
		integ_json_add_jsonb(&builder, "kept", kept);
	if (expires_at != 0)
	{
		integ_json_add_string(&builder, "expiresAt", time_text(expires_at));
		integ_json_add_int(&builder, "expiresAtMs", (expires_at + EPOCH_DIFFERENCE_US) / 1000);
	}
	integ_json_close(&builder);
	return integ_json_end(&builder);
}

static const Jsonb *
render_inputs(const JsonbContainer *manifest, const char *key, const Jsonb *scope_input, const IntegInstance *instance)
{
	const JsonbContainer *inputs = integ_json_get_object(manifest, "inputs");
	IntegTemplateScope scope = {.input = &scope_input->root, .config = &instance->config->root};
	JsonbValue source;

	if (inputs == NULL || !integ_json_get(inputs, key, &source))
		return NULL;
	return integ_template_json(integ_template_compile(&source, psprintf("/webhook/inputs/%s", key)), &scope);
}

/* What most services want, by the names that the method has for it. */
static const Jsonb *
usual_input(const IntegRegistration *row, const char *external_id, TimestampTz expires_at,
			const JsonbContainer *properties)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "url", row->url);
	if (JB_ROOT_COUNT(row->events) > 0)
		integ_json_add_jsonb(&builder, "events", row->events);
	if (external_id != NULL)
		integ_input_add_text(&builder, properties, "id", external_id);
	if (expires_at != 0)
		integ_json_add_string(&builder, "expires_at", time_text(expires_at));
	return integ_input_known(integ_json_end(&builder), properties);
}

const Jsonb *
integ_hook_input(const IntegRegistration *row, IntegHookStep step, const JsonbContainer *manifest,
				 const IntegMethod *method, const IntegInstance *instance)
{
	const JsonbContainer *properties = integ_input_properties(method);
	const char *external_id = row->external_id;
	const Jsonb *kept = row->kept;
	int64 lifetime = integ_json_get_int(manifest, "expiresAfterSeconds", 0);
	TimestampTz expires_at = lifetime == 0 ? 0 : GetCurrentTimestamp() + lifetime * USECS_PER_SEC;
	const Jsonb *input, *known, *rendered;
	JsonbValue value;

	if (step == INTEG_HOOK_REMOVE && row->former != NULL)
	{
		external_id = integ_json_get_string(&row->former->root, "external_id");
		kept = integ_json_get(&row->former->root, "kept", &value) ? integ_json_value_jsonb(&value) : NULL;
	}
	input = usual_input(row, external_id, expires_at, properties);
	known = describe(row, external_id, kept, expires_at);
	rendered = render_inputs(manifest, input_key(manifest, step), known, instance);
	input = integ_input_with(input, rendered);
	return integ_input_with(input, integ_input_known(row->input, properties));
}

char *
integ_hook_url(const char *definition, const pg_uuid_t *webhook)
{
	size_t len = integ_public_url == NULL ? 0 : strlen(integ_public_url);

	if (len == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a webhook needs an address that services can reach"),
						errdetail("integ.public_url is not set."),
						errhint("ALTER DATABASE … SET integ.public_url = 'https://…', and connect anew.")));
	return psprintf("%.*s/webhooks/%s/%s", (int) (integ_public_url[len - 1] == '/' ? len - 1 : len), integ_public_url,
					definition, integ_uuid_text(webhook));
}

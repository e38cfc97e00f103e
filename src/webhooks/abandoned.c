/*
 * Registrations whose row is gone: what the service still has is removed there by a call that knows all it needs.
 */
#include "webhooks/registration.h"

#include "commands/trigger.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/uuid.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

PG_FUNCTION_INFO_V1(integ_tg_webhook_abandoned);

const Jsonb *
integ_abandoned_describe(const IntegRegistration *row)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "webhook", integ_uuid_text(&row->webhook));
	integ_json_add_string(&builder, "registration", integ_uuid_text(&row->registration));
	integ_json_add_string(&builder, "url", row->url);
	integ_json_add_string(&builder, "external_id", row->external_id);
	integ_json_add_jsonb(&builder, "kept", row->kept != NULL ? row->kept : integ_json_empty_object());
	integ_json_add_jsonb(&builder, "input", row->input);
	return integ_json_end(&builder);
}

static pg_uuid_t
uuid_of(const Jsonb *document, const char *key)
{
	char *text = integ_json_get_string(&document->root, key);

	return text == NULL ? (pg_uuid_t){0} : *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
}

static const Jsonb *
object_of(const Jsonb *document, const char *key)
{
	JsonbValue value;

	return integ_json_get(&document->root, key, &value) && value.type == jbvBinary ? integ_json_value_jsonb(&value)
																				   : integ_json_empty_object();
}

static IntegRegistration
read_description(const Jsonb *input)
{
	return (IntegRegistration){.webhook = uuid_of(input, "webhook"),
							   .registration = uuid_of(input, "registration"),
							   .url = integ_json_get_string(&input->root, "url"),
							   .events = integ_json_empty_array(),
							   .external_id = integ_json_get_string(&input->root, "external_id"),
							   .kept = object_of(input, "kept"),
							   .input = object_of(input, "input")};
}

static IntegCall *
begin(IntegFlight *flight, const IntegActor *actor)
{
	IntegRegistration row = read_description(flight->input);
	IntegCallOptions options = {
		.timeout_ms = flight->timeout_ms, .asynchronous = true, .returning = flight->promised};
	char *name = integ_uuid_text(&flight->instance);
	const IntegInstance *instance = integ_instance_resolve(actor, name);
	const IntegDefinition *definition = integ_instance_definition(instance);
	const JsonbContainer *manifest = integ_hook_manifest(definition);
	const IntegMethod *method = integ_instance_method(instance, definition, flight->method);

	if (manifest == NULL || method == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the definition \"%s\" has no method any more that removes a webhook", definition->id)));
	return integ_call_begin(actor, name, flight->method,
							integ_hook_input(&row, INTEG_HOOK_UNREGISTER, manifest, method, instance), &options);
}

static void
build(IntegFlight *flight)
{
	integ_call_rewind(flight->call);
	integ_call_build(flight->call);
}

/* The service may have removed it by itself. */
static void
settle(IntegFlight *flight)
{
	if (flight->call == NULL || flight->call->response == NULL ||
		(flight->response.status != 404 && flight->response.status != 410))
		return;
	flight->outcome = (IntegOutcome){0};
	flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_SUCCEEDED};
}

const IntegErrand integ_abandoned_errand = {
	.purpose = "webhook.abandoned", .begin = begin, .build = build, .settle = settle};

/* AFTER DELETE on integ.webhook_registrations, of one that the service has. */
Datum
integ_tg_webhook_abandoned(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	IntegRegistration row = {0};
	const IntegDefinition *definition;
	TupleDesc columns;
	HeapTuple tuple;
	IntegOwnerScope scope;
	bool isnull;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_webhook_abandoned must be called as a trigger");
	columns = trigger->tg_relation->rd_att;
	tuple = trigger->tg_trigtuple;
#define COLUMN(name) SPI_getbinval(tuple, columns, SPI_fnumber(columns, name), &isnull)
#define TEXT_COLUMN(name) SPI_getvalue(tuple, columns, SPI_fnumber(columns, name))
	row.webhook = *DatumGetUUIDP(COLUMN("webhook"));
	row.instance = *DatumGetUUIDP(COLUMN("instance"));
	row.owner = DatumGetObjectId(COLUMN("owner"));
	row.kept = DatumGetJsonbP(COLUMN("kept"));
	row.input = DatumGetJsonbP(COLUMN("input"));
	row.registration = *DatumGetUUIDP(COLUMN("registration"));
	row.client_id = TEXT_COLUMN("client_id");
	row.user_id = TEXT_COLUMN("user_id");
	row.definition = TEXT_COLUMN("definition");
	row.trigger = TEXT_COLUMN("trigger");
	row.url = TEXT_COLUMN("url");
	row.external_id = TEXT_COLUMN("external_id");
	row.webhook_id = integ_uuid_text(&row.webhook);
#undef COLUMN
#undef TEXT_COLUMN
	integ_owner_enter(&scope);
	definition = integ_definition_get(row.definition, NULL);
	if (definition == NULL || !integ_registration_abandon(&row, integ_hook_manifest(definition)))
		integ_registration_announce(&row, "webhook.abandoned", "it was deleted here, and is still registered at the service",
									"Remove it there.");
	integ_owner_leave(&scope);
	return PointerGetDatum(NULL);
}

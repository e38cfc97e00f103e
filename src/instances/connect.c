/*
 * integ_connect: makes an instance, or changes the one of that handle.
 */
#include "instances/connect.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "definitions/version.h"
#include "fmgr.h"
#include "instances/history.h"
#include "instances/site.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_connect);

static Datum
text_datum(const char *value)
{
	return value == NULL ? (Datum) 0 : CStringGetTextDatum(value);
}

static char
null_flag(const void *value)
{
	return value == NULL ? 'n' : ' ';
}

static void
parse_options(IntegConnect *connect, const Jsonb *options)
{
	const IntegOption known[] = {
		{"context", INTEG_OPTION_TEXT, &connect->context},
		{"client", INTEG_OPTION_TEXT, &connect->client},
		{"user", INTEG_OPTION_TEXT, &connect->user},
		{"name", INTEG_OPTION_TEXT, &connect->name},
		{"description", INTEG_OPTION_TEXT, &connect->description},
		{"auth_method", INTEG_OPTION_TEXT, &connect->auth_method},
		{"borrow", INTEG_OPTION_TEXT, &connect->borrow},
		{"version", INTEG_OPTION_TEXT, &connect->version},
		{"default", INTEG_OPTION_BOOL, &connect->make_default},
		{"grants", INTEG_OPTION_ARRAY, &connect->grants},
		{"metadata", INTEG_OPTION_OBJECT, &connect->metadata},
	};

	integ_options_parse(options, known, lengthof(known), "integ_connect");
}

/* Locks and reads the instance that has the handle in the context. */
static void
read_existing(IntegConnect *connect, char **auth_method, char **definition, Jsonb **config, pg_uuid_t **lender)
{
	static IntegQuery query = {
		"SELECT id, definition, version, status, origin, is_active, deactivated_by IS NOT NULL, auth_method, config, borrows, "
		"token_fields FROM integ.instances "
		"WHERE client_id = $1 AND context_type = $2 AND context_id IS NOT DISTINCT FROM $3 AND instance_id = $4 "
		"FOR UPDATE",
		4,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	Datum values[4] = {CStringGetTextDatum(connect->client_id), CStringGetTextDatum(connect->context_type),
					   text_datum(connect->context_id), CStringGetTextDatum(connect->instance_id)};
	char nulls[4] = {' ', ' ', null_flag(connect->context_id), ' '};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	connect->exists = integ_query(&query, values, nulls) > 0;
	if (connect->exists)
	{
		bool isnull;
		Datum borrows = integ_result_datum(0, 10, &isnull);

		if (!isnull)
		{
			*lender = MemoryContextAlloc(context, sizeof(pg_uuid_t));
			**lender = *DatumGetUUIDP(borrows);
		}
		connect->id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
		*definition = integ_result_text(0, 2, context);
		connect->old_series = integ_result_text(0, 3, context);
		connect->old_status = integ_result_text(0, 4, context);
		connect->old_origin = integ_result_text(0, 5, context);
		connect->switched_off = !integ_result_bool(0, 6);
		connect->switched_off_by_person = integ_result_bool(0, 7);
		*auth_method = integ_result_text(0, 8, context);
		*config = (Jsonb *) integ_result_varlena(0, 9, context);
		connect->old_token_fields = (Jsonb *) integ_result_varlena(0, 11, context);
	}
	integ_owner_leave(&scope);
}

static char *
major_of(const char *version)
{
	return pnstrdup(version, strcspn(version, "."));
}

/* Which version the instance follows: what is asked for, what it followed, else the current major. */
static void
choose_version(IntegConnect *connect, const IntegDefinition *current)
{
	const char *wanted = connect->version;
	char *version;

	if (wanted != NULL && strcmp(wanted, "latest") != 0)
		connect->series = wanted;
	else if (wanted == NULL && connect->exists)
		connect->series = connect->old_series;
	else
		connect->series = major_of(current->version);

	version = integ_definition_follow(current->id, connect->series);
	if (version == NULL && strcmp(connect->series, current->version) != 0 &&
		strcmp(connect->series, major_of(current->version)) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("\"%s\" has no version %s", current->id, connect->series),
						errdetail("The current one is %s.", current->version),
						errhint("The option \"version\" is a major version, one of integ.definition_versions, or latest.")));
	connect->definition = integ_definition_get(current->id, version);
}

static void
choose_auth(IntegConnect *connect, char *old)
{
	const IntegDefinition *definition = connect->definition;
	const IntegAuth *auth;

	if (connect->auth_method == NULL)
		connect->auth_method = old;
	auth = integ_definition_auth(definition, connect->auth_method);
	if (auth == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("\"%s\" cannot authenticate by \"%s\"", definition->id, connect->auth_method),
						errdetail("Its manifest has no such entry in authMethods."),
						errhint("SELECT manifest -> 'authMethods' FROM integ.definitions WHERE id = '%s'.", definition->id)));
	connect->auth_method = unconstify(char *, auth->id);
}

/* The connection to borrow: a global one of the same definition, which the client was granted. */
static void
choose_lender(IntegConnect *connect, const pg_uuid_t *old)
{
	const char *name = connect->borrow;

	if (name == NULL && old != NULL)
		name = integ_uuid_text(old);
	if (name == NULL)
		return;
	connect->lender = integ_instance_resolve(connect->actor, name);
	if (strcmp(connect->lender->context_type, "global") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("\"%s\" cannot borrow the connection of \"%s\"", connect->instance_id, name),
						errdetail("Only global connections are borrowed."),
						errhint("If its handle is shadowed, give its id.")));
	if (strcmp(connect->lender->definition_id, connect->definition_id) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("\"%s\" cannot borrow the connection of \"%s\"", connect->instance_id, name),
						errdetail("It is one of \"%s\".", connect->lender->definition_id)));
}

static void
choose_origin(IntegConnect *connect)
{
	const Jsonb *config = integ_config_over(connect->config, connect->lender == NULL ? NULL : connect->lender->config);
	IntegSite site;

	integ_site_check(connect->definition, config, connect->instance_id);
	integ_site_render(connect->definition, config,
					  connect->lender == NULL ? connect->old_token_fields : connect->lender->token_fields,
					  connect->instance_id, &site);
	connect->origin = site.origin;
	if (connect->lender != NULL && site.origin != NULL && connect->lender->origin != NULL &&
		strcmp(site.origin, connect->lender->origin) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the credentials of \"%s\" may not be sent to another origin", connect->lender->instance_id),
						errdetail("The config of \"%s\" leads to %s, theirs is %s.", connect->instance_id, site.origin,
								  connect->lender->origin),
						errhint("Change the config, or connect with credentials of your own.")));
}

/* Credentials still have to be entered, unless none are needed or they are borrowed. */
static const char *
first_status(const IntegConnect *connect)
{
	const IntegAuth *auth = integ_definition_auth(connect->definition, connect->auth_method);

	return strcmp(auth->auth_type, "none") == 0 || connect->lender != NULL ? "active" : "initializing";
}

static bool
origin_changed(const IntegConnect *connect)
{
	return connect->exists && connect->old_origin != NULL &&
		   (connect->origin == NULL || strcmp(connect->old_origin, connect->origin) != 0);
}

/* What was connected stays so; what was lost starts again. */
static void
choose_status(IntegConnect *connect)
{
	static const char *const kept[] = {"initializing", "active", "token_expired"};

	connect->status = first_status(connect);
	if (!connect->exists || (origin_changed(connect) && connect->lender == NULL))
		return;
	for (size_t i = 0; i < lengthof(kept); i++)
		if (strcmp(connect->old_status, kept[i]) == 0)
			connect->status = connect->old_status;
}

static void
insert(IntegConnect *connect)
{
	static IntegQuery query = {
		"INSERT INTO integ.instances (id, instance_id, definition, version, name, description, context_type, context_id, "
		"client_id, config, auth_method, origin, borrows, status, metadata, created_by, connected_at, last_connected_at) "
		"VALUES ($1, $2, $3, $4, coalesce($5, $2), $6, $7, $8, $9, $10, $11, $12, $13, $14, coalesce($15, '{}'), $16, "
		"CASE WHEN $14 = 'active' THEN pg_catalog.now() END, CASE WHEN $14 = 'active' THEN pg_catalog.now() END) "
		"ON CONFLICT ON CONSTRAINT instances_handle_key DO NOTHING",
		16,
		{UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID,
		 UUIDOID, TEXTOID, JSONBOID, TEXTOID}};
	const IntegActor *actor = connect->actor;
	const char *creator = actor->user != NULL ? actor->user : GetUserNameFromId(actor->role, false);
	Datum values[16] = {
		UUIDPGetDatum(&connect->id), text_datum(connect->instance_id), text_datum(connect->definition_id),
		text_datum(connect->series), text_datum(connect->name), text_datum(connect->description),
		text_datum(connect->context_type), text_datum(connect->context_id), text_datum(connect->client_id),
		JsonbPGetDatum(connect->config), text_datum(connect->auth_method), text_datum(connect->origin),
		UUIDPGetDatum(connect->lender == NULL ? NULL : &connect->lender->id), text_datum(connect->status),
		JsonbPGetDatum(connect->metadata), text_datum(creator)};
	char nulls[16];

	memset(nulls, ' ', sizeof(nulls));
	nulls[4] = null_flag(connect->name);
	nulls[5] = null_flag(connect->description);
	nulls[7] = null_flag(connect->context_id);
	nulls[10] = null_flag(connect->auth_method);
	nulls[11] = null_flag(connect->origin);
	nulls[12] = null_flag(connect->lender);
	nulls[14] = null_flag(connect->metadata);
	if (integ_query(&query, values, nulls) == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("\"%s\" is being connected by another session", connect->instance_id),
						errhint("Try again.")));
}

static void
update(IntegConnect *connect)
{
	/* A switch-off by lasting failure ends with the reconnect, one by a person does not. */
	static IntegQuery query = {
		"UPDATE integ.instances SET version = $2, name = coalesce($3, name), description = coalesce($4, description), "
		"config = $5, auth_method = $6, origin = $7, borrows = $8, status = $9, metadata = coalesce($10, metadata), "
		"is_active = is_active OR deactivated_by IS NULL, "
		"deactivated_at = CASE WHEN deactivated_by IS NULL THEN NULL ELSE deactivated_at END, "
		"deactivated_reason = CASE WHEN deactivated_by IS NULL THEN NULL ELSE deactivated_reason END, "
		"last_error = NULL, last_error_at = NULL, failures = 0, failing_since = NULL, updated_at = pg_catalog.now(), "
		"connected_at = CASE WHEN $9 = 'active' THEN coalesce(connected_at, pg_catalog.now()) ELSE connected_at END, "
		"last_connected_at = CASE WHEN $9 = 'active' AND status <> 'active' THEN pg_catalog.now() ELSE last_connected_at END "
		"WHERE id = $1",
		10,
		{UUIDOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID, UUIDOID, TEXTOID, JSONBOID}};
	Datum values[10] = {
		UUIDPGetDatum(&connect->id), text_datum(connect->series), text_datum(connect->name),
		text_datum(connect->description), JsonbPGetDatum(connect->config), text_datum(connect->auth_method),
		text_datum(connect->origin), UUIDPGetDatum(connect->lender == NULL ? NULL : &connect->lender->id),
		text_datum(connect->status), JsonbPGetDatum(connect->metadata)};
	char nulls[10] = {' ', ' ', null_flag(connect->name), null_flag(connect->description), ' ',
					  null_flag(connect->auth_method), null_flag(connect->origin), null_flag(connect->lender), ' ',
					  null_flag(connect->metadata)};

	(void) integ_query(&query, values, nulls);
}

static void
mark_default(const IntegConnect *connect)
{
	static IntegQuery clear = {
		"UPDATE integ.instances o SET is_default = false FROM integ.instances i WHERE i.id = $1 AND o.id <> i.id "
		"AND o.is_default AND o.definition = i.definition AND o.client_id = i.client_id "
		"AND o.context_type = i.context_type AND o.context_id IS NOT DISTINCT FROM i.context_id",
		1,
		{UUIDOID}};
	static IntegQuery set = {"UPDATE integ.instances SET is_default = true WHERE id = $1", 1, {UUIDOID}};
	Datum id = UUIDPGetDatum(&connect->id);

	(void) integ_query(&clear, &id, NULL);
	(void) integ_query(&set, &id, NULL);
}

/* A new global instance is every client's, unless grants say whose. */
static void
write_grants(const IntegConnect *connect)
{
	static IntegQuery clear = {"DELETE FROM integ.instance_grants WHERE instance = $1", 1, {UUIDOID}};
	static IntegQuery add = {
		"INSERT INTO integ.instance_grants (instance, client_id, granted_by) "
		"SELECT $1, g, $3 FROM pg_catalog.jsonb_array_elements_text($2) g ON CONFLICT DO NOTHING",
		3,
		{UUIDOID, JSONBOID, TEXTOID}};
	static IntegQuery unknown = {
		"SELECT g FROM pg_catalog.jsonb_array_elements_text($1) g "
		"WHERE g <> '*' AND NOT EXISTS (SELECT FROM integ.clients c WHERE c.id = g)",
		1,
		{JSONBOID}};
	Jsonb *grants = connect->grants;
	Datum values[3];

	if (strcmp(connect->context_type, "global") != 0 || (grants == NULL && connect->exists))
		return;
	if (grants == NULL)
		grants = integ_json_parse("[\"*\"]");
	values[0] = JsonbPGetDatum(grants);
	if (integ_query(&unknown, values, NULL) > 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("there is no client \"%s\"", integ_result_text(0, 1, CurrentMemoryContext)),
						errdetail("The option \"grants\" names it."), errhint("Clients are the rows of integ.clients.")));
	values[0] = UUIDPGetDatum(&connect->id);
	values[1] = JsonbPGetDatum(grants);
	values[2] = CStringGetTextDatum(GetUserNameFromId(connect->actor->role, false));
	(void) integ_query(&clear, values, NULL);
	(void) integ_query(&add, values, NULL);
}

static void
notice(const IntegConnect *connect)
{
	if (connect->switched_off_by_person)
		ereport(NOTICE, (errmsg("\"%s\" stays switched off", connect->instance_id),
						 errhint("A person switched it off: UPDATE integ.instances SET is_active = true WHERE instance_id = '%s'.",
								 connect->instance_id)));
	if (origin_changed(connect) && strcmp(connect->status, "initializing") == 0)
		ereport(NOTICE, (errmsg("\"%s\" now goes to another origin: enter its credentials again", connect->instance_id),
						 errdetail("They were entered for %s and are not sent to %s.", connect->old_origin,
								   connect->origin == NULL ? "an origin not yet known" : connect->origin),
						 errhint("Use integ_credential_set.")));
}

Datum
integ_connect(PG_FUNCTION_ARGS)
{
	IntegConnect connect = {.actor = integ_actor_require(INTEG_LEVEL_USER, "connect instances")};
	const IntegDefinition *current;
	char *old_auth = NULL, *old_definition = NULL;
	Jsonb *old_config = NULL;
	pg_uuid_t *old_lender = NULL;
	pg_uuid_t *result = palloc(sizeof(pg_uuid_t));
	IntegOwnerScope scope;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_connect needs a definition and an instance_id")));
	connect.definition_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	connect.instance_id = text_to_cstring(PG_GETARG_TEXT_PP(1));
	parse_options(&connect, PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3));

	current = integ_definition_get(connect.definition_id, NULL);
	if (current == NULL || !integ_definition_visible(current, connect.actor))
		integ_definition_unknown(connect.definition_id);
	integ_connect_authorize(&connect);
	read_existing(&connect, &old_auth, &old_definition, &old_config, &old_lender);
	if (connect.exists && strcmp(old_definition, connect.definition_id) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("\"%s\" is an instance of \"%s\" already", connect.instance_id, old_definition),
						errhint("Choose another instance_id.")));
	integ_connect_check_handle(&connect);
	choose_version(&connect, current);
	integ_connect_check_definition(&connect);
	connect.config = connect.exists ? old_config : integ_json_empty_object();
	if (!PG_ARGISNULL(2))
		connect.config = PG_GETARG_JSONB_P(2);
	choose_auth(&connect, old_auth);
	choose_lender(&connect, old_lender);
	choose_origin(&connect);
	choose_status(&connect);
	if (!connect.exists)
		integ_uuid_make(&connect.id);

	integ_owner_enter(&scope);
	if (connect.exists)
		update(&connect);
	else
		insert(&connect);
	if (connect.make_default)
		mark_default(&connect);
	write_grants(&connect);
	integ_owner_leave(&scope);

	integ_instance_history(connect.actor, "instance.connect", "instance.connected", &connect.id, connect.instance_id,
						   connect.definition_id, connect.client_id);
	notice(&connect);
	*result = connect.id;
	PG_RETURN_UUID_P(result);
}

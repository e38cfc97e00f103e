/*
 * Finding the row that a name means.
 */
#include "instances/lookup.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "definitions/compile.h"
#include "instances/site.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* How a row matched, best first. */
typedef enum Match
{
	MATCH_HANDLE,
	MATCH_ID,
	MATCH_DEFINITION
} Match;

/*
 * $1 name, $2 client, $3 user, $4 the name as a uuid, $5 superadmin,
 * $6 administrator who manages, $7 by definition only, $8 not by definition.
 * Every candidate with how it matched and how near it is: the own user's
 * before the client's before global. A superadmin finds other clients' as well, last.
 */
static IntegQuery candidates_query = {
	"SELECT i.id, i.instance_id, i.name, i.definition, i.version, i.context_type, i.context_id, i.client_id, "
	"i.status, i.is_active, i.deactivated_by, i.deactivated_reason, i.auth_method, i.config, "
	"l.id, l.instance_id, l.status, l.is_active, l.config, l.auth_method, l.client_id, "
	"d.required_plan IS NULL OR caller.client = '*' OR coalesce("
	"(SELECT p.rank FROM integ.clients c JOIN integ.plans p ON p.id = c.plan WHERE c.id = caller.client) >= "
	"(SELECT p.rank FROM integ.plans p WHERE p.id = d.required_plan), false), "
	"m.match, m.distance, i.is_default, "
	"i.client_id = '*' OR EXISTS (SELECT FROM integ.instance_grants g "
	"WHERE g.instance = l.id AND g.client_id IN ('*', i.client_id)), "
	"coalesce(l.token_fields, i.token_fields), "
	/* Whoever writes these writes integ.instances too, which empties the caches. */
	"(SELECT t.scopes FROM integ.oauth_tokens t WHERE t.instance = coalesce(l.id, i.id)), "
	"CASE WHEN l.id IS NULL THEN i.rate_limit ELSE l.rate_limit END "
	"FROM integ.instances i JOIN integ.definitions d ON d.id = i.definition "
	"LEFT JOIN integ.instances l ON l.id = i.borrows "
	"CROSS JOIN LATERAL (SELECT "
	"CASE WHEN i.instance_id = $1 AND NOT $7 THEN 0 WHEN i.id = $4 THEN 1 ELSE 2 END AS match, "
	"CASE WHEN i.context_type = 'user' AND i.client_id = $2 AND i.context_id = $3 THEN 0 "
	"WHEN i.context_type = 'client' AND i.client_id = $2 THEN 1 "
	"WHEN i.context_type = 'global' THEN 2 ELSE 3 END AS distance) m "
	"CROSS JOIN LATERAL (SELECT CASE WHEN i.client_id = '*' THEN $2 ELSE i.client_id END AS client) caller "
	"WHERE (NOT $7 AND (i.instance_id = $1 OR i.id = $4) OR NOT $8 AND i.definition = $1) "
	"AND ($5 OR m.distance < 2 OR m.distance = 2 AND EXISTS (SELECT FROM integ.instance_grants g "
	"WHERE g.instance = i.id AND g.client_id IN ('*', $2)) OR $6 AND i.client_id = $2) "
	"ORDER BY m.match, m.distance, i.is_default DESC, i.instance_id",
	8,
	{TEXTOID, TEXTOID, TEXTOID, UUIDOID, BOOLOID, BOOLOID, BOOLOID, BOOLOID}};

enum
{
	COLUMN_ID = 1,
	COLUMN_INSTANCE_ID,
	COLUMN_NAME,
	COLUMN_DEFINITION,
	COLUMN_VERSION,
	COLUMN_CONTEXT_TYPE,
	COLUMN_CONTEXT_ID,
	COLUMN_CLIENT_ID,
	COLUMN_STATUS,
	COLUMN_IS_ACTIVE,
	COLUMN_DEACTIVATED_BY,
	COLUMN_DEACTIVATED_REASON,
	COLUMN_AUTH_METHOD,
	COLUMN_CONFIG,
	COLUMN_LENDER,
	COLUMN_LENDER_HANDLE,
	COLUMN_LENDER_STATUS,
	COLUMN_LENDER_IS_ACTIVE,
	COLUMN_LENDER_CONFIG,
	COLUMN_LENDER_AUTH_METHOD,
	COLUMN_LENDER_CLIENT,
	COLUMN_PLAN_ALLOWS,
	COLUMN_MATCH,
	COLUMN_DISTANCE,
	COLUMN_IS_DEFAULT,
	COLUMN_LENDER_GRANTED,
	COLUMN_TOKEN_FIELDS,
	COLUMN_SCOPES,
	COLUMN_RATE_LIMIT
};

/* Whether the name is written as a uuid; no error where it is not. */
static bool
is_uuid(const char *name, pg_uuid_t *id)
{
	if (strlen(name) != 36)
		return false;
	for (int i = 0; i < 36; i++)
		if ((i == 8 || i == 13 || i == 18 || i == 23) ? name[i] != '-' : !isxdigit((unsigned char) name[i]))
			return false;
	*id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(name)));
	return true;
}

static void
raise_unknown(const char *name, IntegLookup how)
{
	if (how == INTEG_LOOKUP_DEFINITION)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no instance of \"%s\"", name),
						errhint("SELECT integ_connect(…) makes one; the rows of integ.instances are those that this role may use.")));
	ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no instance \"%s\"", name),
					errhint("The rows of integ.instances are those that this role may use; integ_connect makes one.")));
}

static void
raise_several(const char *name, uint64 count)
{
	StringInfoData list;

	initStringInfo(&list);
	for (uint64 row = 0; row < count; row++)
	{
		char *context = integ_result_text(row, COLUMN_CONTEXT_TYPE, CurrentMemoryContext);
		char *context_id = integ_result_text(row, COLUMN_CONTEXT_ID, CurrentMemoryContext);

		appendStringInfo(&list, "%s%s (%s%s%s, %s)", row > 0 ? ", " : "",
						 integ_result_text(row, COLUMN_INSTANCE_ID, CurrentMemoryContext), context,
						 context_id == NULL ? "" : " ", context_id == NULL ? "" : context_id,
						 integ_result_text(row, COLUMN_ID, CurrentMemoryContext));
	}
	ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("\"%s\" means several instances", name),
					errdetail("They are: %s.", list.data),
					errhint("Name one by its handle or id, or mark one: UPDATE integ.instances SET is_default = true WHERE …")));
}

/* How many of the first rows match equally well. */
static uint64
count_best(uint64 nrows)
{
	uint64 count = 1;
	bool isnull;
	int match = DatumGetInt32(integ_result_datum(0, COLUMN_MATCH, &isnull));
	int distance = DatumGetInt32(integ_result_datum(0, COLUMN_DISTANCE, &isnull));

	while (count < nrows && DatumGetInt32(integ_result_datum(count, COLUMN_MATCH, &isnull)) == match &&
		   DatumGetInt32(integ_result_datum(count, COLUMN_DISTANCE, &isnull)) == distance)
		count++;
	if (match == MATCH_DEFINITION && integ_result_bool(0, COLUMN_IS_DEFAULT) &&
		(count == 1 || !integ_result_bool(1, COLUMN_IS_DEFAULT)))
		return 1;
	return count;
}

static const char *
column_text(int column, MemoryContext context)
{
	return integ_result_text(0, column, context);
}

/* What is read of the row before its definition is known. */
typedef struct Row
{
	IntegInstance *instance;
	const char *series;
	const Jsonb *own_config;
	const Jsonb *lender_config;
} Row;

static void
read_lender(IntegInstance *instance, Row *row, MemoryContext context)
{
	bool isnull;
	Datum id = integ_result_datum(0, COLUMN_LENDER, &isnull);
	pg_uuid_t *lender;

	instance->lender_is_active = true;
	instance->lender_granted = true;
	if (isnull)
		return;
	lender = MemoryContextAlloc(context, sizeof(pg_uuid_t));
	*lender = *DatumGetUUIDP(id);
	instance->borrows = lender;
	instance->lender = column_text(COLUMN_LENDER_HANDLE, context);
	instance->lender_status = column_text(COLUMN_LENDER_STATUS, context);
	instance->lender_is_active = integ_result_bool(0, COLUMN_LENDER_IS_ACTIVE);
	instance->lender_granted = integ_result_bool(0, COLUMN_LENDER_GRANTED);
	instance->auth_method = column_text(COLUMN_LENDER_AUTH_METHOD, context);
	instance->credentials.id = column_text(COLUMN_LENDER, context);
	instance->credentials.client_id = column_text(COLUMN_LENDER_CLIENT, context);
	row->lender_config = (const Jsonb *) integ_result_varlena(0, COLUMN_LENDER_CONFIG, context);
}

static void
read_scopes(IntegInstance *instance, MemoryContext context)
{
	bool isnull;
	Datum scopes = integ_result_datum(0, COLUMN_SCOPES, &isnull);
	Datum *items;
	int count;

	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(scopes), TEXTOID, -1, false, TYPALIGN_INT, &items, NULL, &count);
	instance->nscopes = count;
	instance->scopes = MemoryContextAlloc(context, sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
		instance->scopes[i] = MemoryContextStrdup(context, TextDatumGetCString(items[i]));
}

/* Its own, or those of the instance that it borrows. */
static void
read_limits(IntegInstance *instance, MemoryContext context)
{
	const Jsonb *limits = (const Jsonb *) integ_result_varlena(0, COLUMN_RATE_LIMIT, context);
	MemoryContext old;

	if (limits == NULL)
		return;
	old = MemoryContextSwitchTo(context);
	instance->limits = integ_limits_compile(&limits->root, INTEG_LIMIT_OF_INSTANCE, "rate_limit");
	MemoryContextSwitchTo(old);
}

static void
read_row(Row *row, MemoryContext context)
{
	IntegInstance *instance = MemoryContextAllocZero(context, sizeof(IntegInstance));
	bool isnull;

	row->instance = instance;
	instance->pinned.context = context;
	instance->id = *DatumGetUUIDP(integ_result_datum(0, COLUMN_ID, &isnull));
	instance->instance_id = column_text(COLUMN_INSTANCE_ID, context);
	instance->name = column_text(COLUMN_NAME, context);
	instance->definition_id = column_text(COLUMN_DEFINITION, context);
	instance->context_type = column_text(COLUMN_CONTEXT_TYPE, context);
	instance->context_id = column_text(COLUMN_CONTEXT_ID, context);
	instance->client_id = column_text(COLUMN_CLIENT_ID, context);
	instance->status = column_text(COLUMN_STATUS, context);
	instance->is_active = integ_result_bool(0, COLUMN_IS_ACTIVE);
	instance->deactivated_by = column_text(COLUMN_DEACTIVATED_BY, context);
	instance->deactivated_reason = column_text(COLUMN_DEACTIVATED_REASON, context);
	instance->auth_method = column_text(COLUMN_AUTH_METHOD, context);
	instance->plan_allows = integ_result_bool(0, COLUMN_PLAN_ALLOWS);
	instance->credentials.kind = "instance";
	instance->credentials.id = column_text(COLUMN_ID, context);
	instance->credentials.client_id = instance->client_id;
	row->series = column_text(COLUMN_VERSION, context);
	row->own_config = (const Jsonb *) integ_result_varlena(0, COLUMN_CONFIG, context);
	row->lender_config = NULL;
	instance->token_fields = (const Jsonb *) integ_result_varlena(0, COLUMN_TOKEN_FIELDS, context);
	read_scopes(instance, context);
	read_limits(instance, context);
	read_lender(instance, row, context);
}

/* Methods discovered at the service, for this instance only. */
static void
read_methods(IntegInstance *instance, MemoryContext context)
{
	static IntegQuery query = {"SELECT method FROM integ.instance_methods WHERE instance = $1 ORDER BY id", 1, {UUIDOID}};
	Datum id = UUIDPGetDatum(&instance->id);
	uint64 nrows = integ_query_latest(&query, &id, NULL);
	MemoryContext old;

	if (nrows == 0)
		return;
	old = MemoryContextSwitchTo(context);
	instance->methods = palloc0(sizeof(IntegMethod) * nrows);
	for (uint64 row = 0; row < nrows; row++)
	{
		Jsonb *method = (Jsonb *) integ_result_varlena(row, 1, context);

		integ_method_describe(&instance->methods[instance->nmethods++], &method->root, (int) row);
	}
	MemoryContextSwitchTo(old);
}

/* Reads the best candidate into context; false where INTEG_LOOKUP_HANDLE finds none. */
static bool
find(const IntegActor *actor, const char *name, IntegLookup how, MemoryContext context, Row *row)
{
	bool superadmin = actor->level == INTEG_LEVEL_SUPERADMIN;
	pg_uuid_t id;
	bool by_id = is_uuid(name, &id);
	Datum values[8] = {CStringGetTextDatum(name),
					   CStringGetTextDatum(actor->client),
					   actor->user == NULL ? (Datum) 0 : CStringGetTextDatum(actor->user),
					   UUIDPGetDatum(&id),
					   BoolGetDatum(superadmin),
					   BoolGetDatum(how == INTEG_LOOKUP_MANAGE && actor->level >= INTEG_LEVEL_ADMIN),
					   BoolGetDatum(how == INTEG_LOOKUP_DEFINITION),
					   BoolGetDatum(how == INTEG_LOOKUP_HANDLE)};
	char nulls[8] = {' ', ' ', actor->user == NULL ? 'n' : ' ', by_id ? ' ' : 'n', ' ', ' ', ' ', ' '};
	IntegOwnerScope scope;
	uint64 nrows, count;

	integ_owner_enter(&scope);
	nrows = integ_query_latest(&candidates_query, values, nulls);
	if (nrows == 0 && how != INTEG_LOOKUP_HANDLE)
		raise_unknown(name, how);
	count = nrows == 0 ? 0 : count_best(nrows);
	if (count > 1)
		raise_several(name, count);
	if (count == 1)
	{
		read_row(row, context);
		read_methods(row->instance, context);
	}
	integ_owner_leave(&scope);
	return count == 1;
}

IntegInstance *
integ_instance_lookup(const IntegActor *actor, const char *name, IntegLookup how)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "integ instance", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	const IntegDefinition *definition;
	IntegSite site;
	Row row;

	if (!find(actor, name, how, context, &row))
		return NULL;
	old = MemoryContextSwitchTo(context);
	row.instance->version = integ_definition_follow(row.instance->definition_id, row.series);
	MemoryContextSwitchTo(old);
	definition = integ_instance_definition(row.instance);

	MemoryContextSwitchTo(context);
	integ_site_render(definition, integ_config_over(row.own_config, row.lender_config), row.instance->token_fields,
					  row.instance->instance_id, &site);
	row.instance->config = site.config;
	row.instance->base_url = site.base_url;
	row.instance->origin = site.origin;
	MemoryContextSwitchTo(old);
	return row.instance;
}

const IntegDefinition *
integ_instance_definition(const IntegInstance *instance)
{
	const IntegDefinition *definition = integ_definition_get(instance->definition_id, instance->version);

	/* The foreign key keeps the definition; a version may have been removed by hand. */
	if (definition == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("the definition of \"%s\" is gone", instance->instance_id),
						errdetail("It is \"%s\", version %s.", instance->definition_id,
								  instance->version == NULL ? "current" : instance->version),
						errhint("Define it again with integ_define.")));
	return definition;
}

const IntegMethod *
integ_instance_method(const IntegInstance *instance, const IntegDefinition *definition, const char *id)
{
	const IntegMethod *own = integ_method_find(instance->methods, instance->nmethods, id, instance->pinned.context,
											   instance->instance_id);

	return own != NULL ? own : integ_definition_method(definition, id);
}

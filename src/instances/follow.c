/*
 * A definition has changed: its instances go where it leads now.
 *
 * Credentials belong to the origin they were entered for, so an instance that moves wants them anew; its row says so
 * before the first call is refused.
 */
#include "instances/follow.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "instances/history.h"
#include "instances/instance.h"
#include "instances/site.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#define HANDLES_IN_NOTICE 10

typedef struct Follower
{
	pg_uuid_t id;
	char *instance_id, *series, *origin, *auth_method, *client_id;
	const Jsonb *config; /* over that of the instance it borrows from */
	const Jsonb *token_fields;
	bool borrows;
	bool disconnected;
} Follower;

/* The instances whose origin is known, in CurrentMemoryContext. */
static Follower *
read_followers(const char *definition, uint64 *count)
{
	static IntegQuery query = {
		"SELECT i.id, i.instance_id, i.version, i.origin, i.auth_method, i.client_id, i.config, l.config, "
		"CASE WHEN i.borrows IS NULL THEN i.token_fields ELSE l.token_fields END, "
		"i.status = 'disconnected' "
		"FROM integ.instances i LEFT JOIN integ.instances l ON l.id = i.borrows "
		"WHERE i.definition = $1 AND i.origin IS NOT NULL ORDER BY i.client_id, i.instance_id",
		1,
		{TEXTOID}};
	Datum key = CStringGetTextDatum(definition);
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	Follower *followers;

	integ_owner_enter(&scope);
	*count = integ_query(&query, &key, NULL);
	followers = MemoryContextAllocZero(context, Max(*count, 1) * sizeof(Follower));
	for (uint64 row = 0; row < *count; row++)
	{
		Follower *follower = &followers[row];
		const Jsonb *lent = (const Jsonb *) integ_result_varlena(row, 8, context);
		const Jsonb *config = (const Jsonb *) integ_result_varlena(row, 7, context);
		MemoryContext old;
		bool isnull;

		follower->id = *DatumGetUUIDP(integ_result_datum(row, 1, &isnull));
		follower->instance_id = integ_result_text(row, 2, context);
		follower->series = integ_result_text(row, 3, context);
		follower->origin = integ_result_text(row, 4, context);
		follower->auth_method = integ_result_text(row, 5, context);
		follower->client_id = integ_result_text(row, 6, context);
		follower->borrows = lent != NULL;
		follower->token_fields = (const Jsonb *) integ_result_varlena(row, 9, context);
		follower->disconnected = integ_result_bool(row, 10);
		old = MemoryContextSwitchTo(context);
		follower->config = integ_config_over(config, lent);
		MemoryContextSwitchTo(old);
	}
	integ_owner_leave(&scope);
	return followers;
}

/* Where the follower goes now; NULL where that is not known here, or its config leads nowhere any more. */
static char *
new_origin(const Follower *follower, const IntegDefinition *definition)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	IntegSite site = {0};

	BeginInternalSubTransaction("integ_define");
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		integ_site_render(definition, follower->config, follower->token_fields, follower->instance_id, &site);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (geterrcode() != ERRCODE_INTEG_INVALID)
			PG_RE_THROW();
		/* The next call says what its config lacks. */
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return site.origin;
}

/* Whether credentials of its own were entered for the old origin. */
static bool
loses_credentials(const Follower *follower, const IntegDefinition *definition)
{
	const IntegAuth *auth = integ_definition_auth(definition, follower->auth_method);

	return !follower->borrows && !follower->disconnected && (auth == NULL || strcmp(auth->auth_type, "none") != 0);
}

static void
move_instance(const Follower *follower, const char *origin, const char *version, bool loses)
{
	static IntegQuery query = {
		"UPDATE integ.instances SET origin = $2, updated_at = pg_catalog.now(), "
		"status = CASE WHEN $3 IS NULL THEN status ELSE 'initializing' END, "
		"last_error = coalesce($3, last_error), "
		"last_error_at = CASE WHEN $3 IS NULL THEN last_error_at ELSE pg_catalog.now() END "
		"WHERE id = $1",
		3,
		{UUIDOID, TEXTOID, TEXTOID}};
	char *error = psprintf("version %s of the definition goes to %s instead of %s: the credentials must be entered again "
						   "with integ_credential_set",
						   version, origin, follower->origin);
	Datum values[3] = {UUIDPGetDatum(&follower->id), CStringGetTextDatum(origin), CStringGetTextDatum(error)};
	char nulls[3] = {' ', ' ', loses ? ' ' : 'n'};
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&query, values, nulls);
	integ_owner_leave(&scope);
}

static void
notice(const char *definition, const char *handles, int count)
{
	if (count > 0)
		ereport(NOTICE, (errmsg("instances of \"%s\" now go to another origin: enter their credentials again", definition),
						 errdetail("They are %s%s. Credentials are not sent to an origin they were not entered for.", handles,
								   count > HANDLES_IN_NOTICE ? ", …" : ""),
						 errhint("Use integ_credential_set.")));
}

void
integ_instances_follow(const IntegActor *actor, const char *definition_id)
{
	StringInfoData handles;
	uint64 count;
	Follower *followers = read_followers(definition_id, &count);
	int lost = 0;

	initStringInfo(&handles);
	for (uint64 i = 0; i < count; i++)
	{
		const Follower *follower = &followers[i];
		const IntegDefinition *definition =
			integ_definition_get(definition_id, integ_definition_follow(definition_id, follower->series));
		char *origin = definition == NULL ? NULL : new_origin(follower, definition);
		bool loses;

		if (origin == NULL || strcmp(origin, follower->origin) == 0)
			continue;
		loses = loses_credentials(follower, definition);
		move_instance(follower, origin, definition->version, loses);
		integ_instance_history(actor, "instance.move", "instance.moved", &follower->id, follower->instance_id,
							   definition_id, follower->client_id);
		if (loses && lost++ < HANDLES_IN_NOTICE)
			appendStringInfo(&handles, "%s%s", handles.len > 0 ? ", " : "", follower->instance_id);
	}
	notice(definition_id, handles.data, lost);
}

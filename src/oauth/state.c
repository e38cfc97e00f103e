/*
 * How tokens are, for integ_status().
 */
#include "oauth/state.h"

#include "catalog/pg_type.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static void
read_tokens(Datum client, const char *nulls, MemoryContext context, IntegOauthState *state)
{
	static IntegQuery query = {
		"SELECT count(*),"
		" count(*) FILTER (WHERE expires_at > now() AND expires_at <= now() + interval '10 min'),"
		" count(*) FILTER (WHERE expires_at <= now()),"
		" count(*) FILTER (WHERE refresh_at <= now()),"
		" min(refresh_at) FILTER (WHERE refresh_at <= now()),"
		" (SELECT i.instance_id || ': ' || f.last_error"
		"  FROM integ.oauth_tokens f JOIN integ.instances i ON i.id = f.instance"
		"  WHERE f.last_error IS NOT NULL AND ($1 IS NULL OR f.client_id = $1)"
		"  ORDER BY f.last_attempt_at DESC NULLS LAST LIMIT 1)"
		" FROM integ.oauth_tokens WHERE $1 IS NULL OR client_id = $1",
		1,
		{TEXTOID}};

	(void) integ_query(&query, &client, nulls);
	state->tokens = integ_result_int8(0, 1);
	state->expiring = integ_result_int8(0, 2);
	state->expired = integ_result_int8(0, 3);
	state->due = integ_result_int8(0, 4);
	state->due_since = integ_result_time(0, 5);
	state->last_error = integ_result_text(0, 6, context);
}

static void
read_persons(Datum client, const char *nulls, MemoryContext context, IntegOauthState *state)
{
	static IntegQuery query = {
		"SELECT pg_catalog.count(*), pg_catalog.min(last_error_at), "
		"(pg_catalog.array_agg(instance_id || coalesce(': ' || last_error, '') ORDER BY last_error_at DESC NULLS LAST))[1] "
		"FROM integ.instances WHERE status = 'reauth_required' AND ($1 IS NULL OR client_id = $1)",
		1,
		{TEXTOID}};

	(void) integ_query(&query, &client, nulls);
	state->persons = integ_result_int8(0, 1);
	state->persons_since = integ_result_time(0, 2);
	state->person_error = integ_result_text(0, 3, context);
}

IntegOauthState
integ_oauth_state(const IntegActor *actor)
{
	bool all = actor->level == INTEG_LEVEL_SUPERADMIN;
	Datum client = all ? (Datum) 0 : CStringGetTextDatum(actor->client);
	const char *nulls = all ? "n" : " ";
	MemoryContext context = CurrentMemoryContext;
	IntegOauthState state = {0};
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	read_tokens(client, nulls, context, &state);
	read_persons(client, nulls, context, &state);
	integ_owner_leave(&scope);
	return state;
}

/*
 * Events and notifications: rows, delivered by what comes later.
 */
#include "operate/operate.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/builtins.h"

void
integ_event_emit(const char *kind, const char *client, const pg_uuid_t *instance, const Jsonb *payload)
{
	static IntegQuery insert = {
		"INSERT INTO integ.events (kind, client_id, instance, payload) VALUES ($1, $2, $3, $4)",
		4,
		{TEXTOID, TEXTOID, UUIDOID, JSONBOID}};
	char nulls[] = "    ";
	Datum arguments[4];
	IntegOwnerScope scope;

	arguments[0] = CStringGetTextDatum(kind);
	arguments[1] = CStringGetTextDatum(client == NULL ? INTEG_GLOBAL_CLIENT : client);
	arguments[2] = UUIDPGetDatum(instance);
	nulls[2] = instance == NULL ? 'n' : ' ';
	arguments[3] = JsonbPGetDatum(payload == NULL ? integ_json_empty_object() : payload);
	integ_owner_enter(&scope);
	integ_query(&insert, arguments, nulls);
	integ_owner_leave(&scope);
}

void
integ_notify(const char *recipient, const char *client, const char *kind, const char *text, const char *hint,
			 const char *link)
{
	static IntegQuery insert = {
		"INSERT INTO integ.notifications (recipient, client_id, kind, text, hint, link) VALUES ($1, $2, $3, $4, $5, $6)",
		6,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	char nulls[] = "      ";
	Datum arguments[6];
	IntegOwnerScope scope;

	arguments[0] = integ_value_text(recipient, &nulls[0]);
	arguments[1] = CStringGetTextDatum(client == NULL ? INTEG_GLOBAL_CLIENT : client);
	arguments[2] = CStringGetTextDatum(kind);
	arguments[3] = CStringGetTextDatum(text);
	arguments[4] = integ_value_text(hint, &nulls[4]);
	arguments[5] = integ_value_text(link, &nulls[5]);
	integ_owner_enter(&scope);
	integ_query(&insert, arguments, nulls);
	integ_owner_leave(&scope);
}

/*
 * Writing definitions.
 */
#include "definitions/store.h"

#include "catalog/pg_type.h"
#include "core/query.h"
#include "utils/builtins.h"

void
integ_definition_lookup(const Jsonb *manifest, const char *id, const char *version, IntegStoredDefinition *stored)
{
	/* Readers and the foreign key's checks go on. */
	static IntegQuery lock = {"LOCK TABLE integ.definitions IN SHARE ROW EXCLUSIVE MODE", 0};
	static IntegQuery lookup = {
		"SELECT d.builtin, d.client_id, d.version, v.id IS NOT NULL, coalesce(v.manifest = $3, false), "
		"EXISTS (SELECT FROM integ.instances i WHERE i.definition = $1 "
		"AND i.version IN ($2, pg_catalog.split_part($2, '.', 1))) "
		"FROM integ.definitions d LEFT JOIN integ.definition_versions v ON v.id = d.id AND v.version = $2 "
		"WHERE d.id = $1",
		3,
		{TEXTOID, TEXTOID, JSONBOID}};
	Datum values[3] = {CStringGetTextDatum(id), CStringGetTextDatum(version), JsonbPGetDatum(manifest)};

	memset(stored, 0, sizeof(*stored));
	(void) integ_query(&lock, NULL, NULL);
	if (integ_query(&lookup, values, NULL) == 0)
		return;
	stored->exists = true;
	stored->builtin = integ_result_bool(0, 1);
	stored->client_id = integ_result_text(0, 2, CurrentMemoryContext);
	stored->version = integ_result_text(0, 3, CurrentMemoryContext);
	stored->version_exists = integ_result_bool(0, 4);
	stored->version_same = integ_result_bool(0, 5);
	stored->version_used = integ_result_bool(0, 6);
}

/* Every column from the manifest; what a superadmin customized stays. */
static void
store_current(const Jsonb *manifest, const char *client_id, bool builtin, const char *created_by)
{
	static IntegQuery upsert = {
		"INSERT INTO integ.definitions AS d (id, client_id, created_by, visibility, required_plan, status, "
		"name, display_name, description, version, category, icon, color, logo_url, docs_url, roles, "
		"is_premium, capabilities, supported_sync_directions, supports_realtime, supports_webhooks, "
		"supports_scheduling, supports_refresh, connection_scope, auth_type, oauth2_config, config_schema, "
		"credential_schema, methods, entities, triggers, manifest, builtin) "
		"SELECT m.\"integrationId\", $2, $4, coalesce(m.visibility, 'public'), m.\"requiredPlan\", "
		"coalesce(m.status, 'active'), m.name, coalesce(m.\"displayName\", m.name), m.description, m.version, "
		"coalesce(m.category, 'custom'), m.icon, m.color, m.\"logoUrl\", m.\"docsUrl\", coalesce(m.roles, "
		"'{}'), coalesce(m.\"isPremium\", false), coalesce(m.capabilities, '{}'), "
		"coalesce(m.\"supportedSyncDirections\", '{}'), coalesce(m.\"supportsRealtime\", false), "
		"coalesce(m.\"supportsWebhooks\", m.webhook IS NOT NULL), coalesce(m.\"supportsScheduling\", false), "
		"coalesce(m.\"supportsRefresh\", false), coalesce(m.\"connectionScope\", 'both'), "
		"coalesce(m.\"authType\", m.\"authMethods\" -> 0 ->> 'authType', 'none'), m.\"oauth2Config\", "
		"m.\"configSchema\", m.\"credentialSchema\", m.methods, coalesce(m.entities, '[]'), "
		"coalesce(m.triggers, '[]'), $1, $3 "
		"FROM pg_catalog.jsonb_to_record($1) AS m (\"integrationId\" text, visibility text, "
		"\"requiredPlan\" text, status text, name text, \"displayName\" text, description text, version text, "
		"category text, icon text, color text, \"logoUrl\" text, \"docsUrl\" text, roles text[], "
		"\"isPremium\" boolean, capabilities text[], \"supportedSyncDirections\" text[], "
		"\"supportsRealtime\" boolean, \"supportsWebhooks\" boolean, webhook jsonb, "
		"\"supportsScheduling\" boolean, \"supportsRefresh\" boolean, \"connectionScope\" text, \"authType\" text, "
		"\"authMethods\" jsonb, \"oauth2Config\" jsonb, \"configSchema\" jsonb, \"credentialSchema\" jsonb, "
		"methods jsonb, entities jsonb, triggers jsonb) "
		"ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, display_name = EXCLUDED.display_name, "
		"description = EXCLUDED.description, version = EXCLUDED.version, category = EXCLUDED.category, "
		"icon = EXCLUDED.icon, color = EXCLUDED.color, logo_url = EXCLUDED.logo_url, "
		"docs_url = EXCLUDED.docs_url, roles = EXCLUDED.roles, is_premium = EXCLUDED.is_premium, "
		"capabilities = EXCLUDED.capabilities, "
		"supported_sync_directions = EXCLUDED.supported_sync_directions, "
		"supports_realtime = EXCLUDED.supports_realtime, supports_webhooks = EXCLUDED.supports_webhooks, "
		"supports_scheduling = EXCLUDED.supports_scheduling, supports_refresh = EXCLUDED.supports_refresh, "
		"connection_scope = EXCLUDED.connection_scope, auth_type = EXCLUDED.auth_type, "
		"oauth2_config = EXCLUDED.oauth2_config, config_schema = EXCLUDED.config_schema, "
		"credential_schema = EXCLUDED.credential_schema, methods = EXCLUDED.methods, "
		"entities = EXCLUDED.entities, triggers = EXCLUDED.triggers, manifest = EXCLUDED.manifest, "
		"builtin = EXCLUDED.builtin, "
		"status = CASE WHEN d.customized THEN d.status ELSE EXCLUDED.status END, "
		"visibility = CASE WHEN d.customized THEN d.visibility ELSE EXCLUDED.visibility END, "
		"required_plan = CASE WHEN d.customized THEN d.required_plan ELSE EXCLUDED.required_plan END, "
		"updated_at = pg_catalog.now()",
		4,
		{JSONBOID, TEXTOID, BOOLOID, TEXTOID}};
	Datum values[4] = {JsonbPGetDatum(manifest), CStringGetTextDatum(client_id), BoolGetDatum(builtin),
					   CStringGetTextDatum(created_by)};

	(void) integ_query(&upsert, values, NULL);
}

void
integ_definition_store(const Jsonb *manifest, const char *id, const char *version, const char *client_id, bool builtin,
					   const char *created_by, Oid owner, bool make_current)
{
	static IntegQuery upsert = {
		"INSERT INTO integ.definition_versions (id, version, manifest, builtin, created_by, owner) "
		"VALUES ($1, $2, $3, $4, $5, nullif($6, 0::oid)::pg_catalog.regrole) "
		"ON CONFLICT (id, version) DO UPDATE SET manifest = EXCLUDED.manifest, builtin = EXCLUDED.builtin, "
		"owner = EXCLUDED.owner",
		6,
		{TEXTOID, TEXTOID, JSONBOID, BOOLOID, TEXTOID, OIDOID}};
	Datum values[6] = {CStringGetTextDatum(id), CStringGetTextDatum(version), JsonbPGetDatum(manifest),
					   BoolGetDatum(builtin), CStringGetTextDatum(created_by), ObjectIdGetDatum(owner)};

	if (make_current)
		store_current(manifest, client_id, builtin, created_by);
	(void) integ_query(&upsert, values, NULL);
}

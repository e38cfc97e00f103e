/*
 * The steps of a registration: how one begins, and what it comes to.
 */
#include "webhooks/registration.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/uuid.h"
#include "definitions/compile.h"
#include "operate/operate.h"
#include "webhooks/webhook.h"

/* How often it is looked whether a service still has a webhook. */
#define CHECK_INTERVAL USECS_PER_HOUR

/* A renewal is tried so often, from what is left of a lifetime. */
#define ATTEMPTS 5

/* --- beginning --- */

void
integ_registration_begin(IntegRegistration *row, const JsonbContainer *manifest, IntegHookStep step)
{
	bool creates = step == INTEG_HOOK_REGISTER || step == INTEG_HOOK_REPLACE;
	const char *method = integ_hook_method(manifest, step);
	IntegErrandCall call = {.purpose = integ_registration_errand.purpose,
							.subject = &row->webhook,
							.instance = &row->instance,
							.method = method != NULL ? method : "webhook",
							.is_write = step != INTEG_HOOK_LOOK && step != INTEG_HOOK_CHECK,
							.repeatable = !creates || integ_hook_method(manifest, INTEG_HOOK_LOOK) != NULL,
							.owner = row->owner,
							.client_id = row->client_id,
							.user_id = row->user_id,
							.run_at = GetCurrentTimestamp(),
							.max_attempts = ATTEMPTS};

	row->step = step;
	row->step_attempt = 0;
	if (creates)
		integ_uuid_make(&row->registration);
	row->has_call = integ_errand_enqueue(&call, &row->call);
}

bool
integ_registration_abandon(const IntegRegistration *row, const JsonbContainer *manifest)
{
	const char *method = integ_hook_method(manifest, INTEG_HOOK_UNREGISTER);
	IntegErrandCall call = {.purpose = integ_abandoned_errand.purpose,
							.subject = &row->webhook,
							.instance = &row->instance,
							.method = method,
							.input = integ_abandoned_describe(row),
							.is_write = true,
							.repeatable = true,
							.owner = row->owner,
							.client_id = row->client_id,
							.user_id = row->user_id,
							.run_at = GetCurrentTimestamp(),
							.max_attempts = ATTEMPTS};
	pg_uuid_t id;

	if (method == NULL || row->external_id == NULL)
		return false;
	return integ_errand_enqueue(&call, &id);
}

/* --- announcing --- */

void
integ_registration_announce(const IntegRegistration *row, const char *kind, const char *error, const char *hint)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "webhook", integ_uuid_text(&row->webhook));
	integ_json_add_string(&builder, "webhook_id", row->webhook_id);
	integ_json_add_string(&builder, "definition", row->definition);
	integ_json_add_string(&builder, "trigger", row->trigger);
	integ_json_add_string(&builder, "external_id", row->external_id);
	if (error != NULL)
		integ_json_add_string(&builder, "error", error);
	integ_event_emit(kind, row->client_id, &row->instance, integ_json_end(&builder));
	if (error != NULL)
		integ_notify(NULL, row->client_id, kind,
					 psprintf("The webhook \"%s\" of \"%s\": %s", row->webhook_id, row->definition, error),
					 hint, NULL);
}

/* --- what came of it --- */

/* What a path of the manifest finds in the answer, as the method maps it or as it came. */
static char *
find_text(const JsonbContainer *manifest, const char *key, const Jsonb *answer, const Jsonb *body)
{
	IntegPath *path = integ_compile_path(manifest, key, "/webhook");
	const Jsonb *found = path == NULL || answer == NULL ? NULL : integ_path_get(path, answer);
	JsonbValue value;
	char *text;

	if (found == NULL && path != NULL && body != NULL)
		found = integ_path_get(path, body);
	if (found == NULL || !JB_ROOT_IS_SCALAR(found))
		return NULL;
	integ_json_root(found, &value);
	text = integ_json_value_text(&value);
	return text == NULL || *text == '\0' ? NULL : text;
}

/* What the manifest wants to be kept for the methods that come later. */
static const Jsonb *
find_kept(const JsonbContainer *manifest, const Jsonb *answer, const Jsonb *body)
{
	const JsonbContainer *keep = integ_json_get_object(manifest, "keep");
	IntegJsonBuilder builder;
	IntegJsonWalk walk;
	JsonbValue key, path;

	integ_json_begin_object(&builder);
	if (keep != NULL)
	{
		integ_json_walk_begin(&walk, keep);
		while (integ_json_walk_pair(&walk, &key, &path))
		{
			char *name = pnstrdup(key.val.string.val, key.val.string.len);
			char *text = find_text(keep, name, answer, body);

			if (text != NULL)
				integ_json_add_string(&builder, name, text);
		}
	}
	return integ_json_end(&builder);
}

static TimestampTz
find_expiry(const JsonbContainer *manifest, const Jsonb *answer, const Jsonb *body)
{
	char *text = find_text(manifest, "expiresAt", answer, body);
	TimestampTz told = text == NULL ? 0 : integ_webhook_time(text);
	int64 lifetime = integ_json_get_int(manifest, "expiresAfterSeconds", 0);

	if (told != 0)
		return told;
	return lifetime == 0 ? 0 : GetCurrentTimestamp() + lifetime * USECS_PER_SEC;
}

void
integ_registration_schedule(IntegRegistration *row, const JsonbContainer *manifest)
{
	TimestampTz now = GetCurrentTimestamp();
	int64 left = row->expires_at == 0 ? 0 : Max(row->expires_at - now, 0);
	int64 before = integ_json_get_int(manifest, "renewBeforeSeconds", 0) * USECS_PER_SEC;

	/* A third of the time is for whatever may go wrong. */
	if (before == 0 || before >= left)
		before = left / 3;
	row->renew_at = row->expires_at == 0 ? 0 : now + left - before;
	row->check_at = integ_hook_method(manifest, INTEG_HOOK_CHECK) == NULL ? 0 : now + CHECK_INTERVAL;
}

static void
settle_well(IntegRegistration *row, const JsonbContainer *manifest)
{
	row->status = "active";
	row->failures = 0;
	row->last_error = row->hint = NULL;
	row->checked_at = GetCurrentTimestamp();
	integ_registration_schedule(row, manifest);
}

bool
integ_registration_identify(IntegRegistration *row, const JsonbContainer *manifest, const Jsonb *answer,
							const Jsonb *body)
{
	char *external_id = find_text(manifest, "externalId", answer, body);
	JsonbValue unused;

	if (external_id == NULL && integ_json_get(manifest, "externalId", &unused))
		return false;
	/* Services that name no id of their own know it by the one that we gave it. */
	row->external_id = external_id != NULL ? external_id : integ_uuid_text(&row->registration);
	row->kept = find_kept(manifest, answer, body);
	return true;
}

bool
integ_registration_registered(IntegRegistration *row, const JsonbContainer *manifest, const Jsonb *answer,
							  const Jsonb *body)
{
	const JsonbContainer *secret = integ_json_get_object(manifest, "secret");
	char *told = secret == NULL ? NULL : find_text(secret, "path", answer, body);

	if (!integ_registration_identify(row, manifest, answer, body))
		return false;
	row->expires_at = find_expiry(manifest, answer, body);
	row->registered_at = GetCurrentTimestamp();
	if (told != NULL)
	{
		integ_hook_store_secret(row, manifest, told);
		explicit_bzero(told, strlen(told));
	}
	settle_well(row, manifest);
	integ_registration_announce(row, "webhook.registered", NULL, NULL);
	return true;
}

void
integ_registration_renewed(IntegRegistration *row, const JsonbContainer *manifest, const Jsonb *answer)
{
	row->expires_at = find_expiry(manifest, answer, NULL);
	settle_well(row, manifest);
}

void
integ_registration_lost(IntegRegistration *row, const JsonbContainer *manifest)
{
	row->status = "lost";
	row->renew_at = row->check_at = 0;
	row->last_error = "the service has the webhook no more";
	row->hint = "Somebody has removed it there, or it has expired. SELECT * FROM integ_webhook_register(…) registers "
				"it again; with the option \"reregister\" that happens by itself.";
	integ_registration_announce(row, "webhook.lost", row->last_error, row->reregister ? NULL : row->hint);
	row->external_id = NULL;
	if (!row->reregister)
		return;
	row->status = "registering";
	integ_registration_begin(row, manifest, INTEG_HOOK_REGISTER);
}

/*
 * The secrets of registered webhooks: made here and sent to the service, or told by it.
 */
#include "webhooks/registration.h"

#include "core/base64.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/uuid.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "vault/store.h"

#define DEFAULT_BYTES 32
#define MAX_BYTES 64
#define MAX_TEXT (MAX_BYTES * 2 + 1)

/* Random bytes as text behind a prefix, in CurrentMemoryContext; the caller wipes it. */
static char *
random_text(const JsonbContainer *generate)
{
	int64 wanted = integ_json_get_int(generate, "bytes", DEFAULT_BYTES);
	int count = (int) Max(16, Min(wanted, MAX_BYTES));
	char *encoding = integ_json_get_string(generate, "encoding");
	char *prefix = integ_json_get_string(generate, "prefix");
	uint8_t bytes[MAX_BYTES];
	char text[MAX_TEXT];
	size_t len = prefix == NULL ? 0 : strlen(prefix);
	char *whole;

	if (!pg_strong_random(bytes, count))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	if (encoding != NULL && strcmp(encoding, "base64") == 0)
		text[integ_b64_encode((const char *) bytes, count, text, sizeof(text))] = '\0';
	else
		text[hex_encode((const char *) bytes, count, text)] = '\0';
	whole = palloc(len + strlen(text) + 1);
	memcpy(whole, prefix == NULL ? "" : prefix, len);
	strcpy(whole + len, text);
	explicit_bzero(bytes, sizeof(bytes));
	explicit_bzero(text, sizeof(text));
	return whole;
}

bool
integ_hook_make_secret(const pg_uuid_t *webhook, const char *client, const JsonbContainer *manifest,
					   const IntegInstance *instance, bool rotate)
{
	const JsonbContainer *secret = manifest == NULL ? NULL : integ_json_get_object(manifest, "secret");
	const JsonbContainer *generate = secret == NULL ? NULL : integ_json_get_object(secret, "generate");
	IntegCredentialOwner owner = {"webhook", integ_uuid_text(webhook), client};
	const char *name = integ_hook_credential(manifest);
	IntegCredentialValue value = {.expires_at = DT_NOEND, .role = integ_owner_oid()};
	IntegOwnerScope scope;
	TimestampTz expires_at;
	const char **origins;
	int norigins;
	int64 version;
	bool exists;
	char *text;

	if (generate == NULL)
		return false;
	exists = integ_vault_describe(&owner, name, &version, &expires_at);
	if (exists && !rotate)
		return true;
	origins = integ_instance_origins(instance, &norigins);
	integ_vault_use_origins(&value, origins, norigins);
	text = random_text(generate);
	value.data = text;
	value.len = strlen(text);
	integ_owner_enter(&scope);
	integ_vault_store(&owner, name, &value, exists);
	integ_owner_leave(&scope);
	explicit_bzero(text, strlen(text));
	return true;
}

void
integ_hook_store_secret(const IntegRegistration *row, const JsonbContainer *manifest, const char *secret)
{
	static const char *no_origins[] = {NULL};
	IntegCredentialOwner owner = {"webhook", integ_uuid_text(&row->webhook), row->client_id};
	const char *name = integ_hook_credential(manifest);
	IntegCredentialValue value = {.data = secret,
								  .len = strlen(secret),
								  .origins = no_origins,
								  .expires_at = DT_NOEND,
								  .role = integ_owner_oid()};
	TimestampTz expires_at;
	int64 version;

	integ_vault_store(&owner, name, &value, integ_vault_describe(&owner, name, &version, &expires_at));
}

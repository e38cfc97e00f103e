/*
 * The vault's own key pairs.
 */
#include "vault/sealing.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/builtins.h"
#include "vault/secret.h"
#include "vault/store.h"
#include "vault/vault.h"

#define OWNER_KIND "sealing_key"
#define PRIVATE_KEY "private_key"

IntegCryptoStatus
integ_sealing_open(const uint8_t *sealed, size_t len, uint8_t *out, size_t *out_len)
{
	static IntegQuery select = {"SELECT id, certificate FROM integ.sealing_keys ORDER BY created_at DESC", 0, {0}};
	MemoryContext context = CurrentMemoryContext;
	IntegSealingKey *keys;
	IntegOwnerScope scope;
	char **ids;
	uint64 count;

	integ_owner_enter(&scope);
	count = integ_query_latest(&select, NULL, NULL);
	ids = MemoryContextAlloc(context, Max(count, 1) * sizeof(char *));
	keys = MemoryContextAlloc(context, Max(count, 1) * sizeof(IntegSealingKey));
	for (uint64 i = 0; i < count; i++)
	{
		ids[i] = integ_result_text(i, 1, context);
		keys[i].certificate = integ_result_text(i, 2, context);
	}
	integ_owner_leave(&scope);

	for (uint64 i = 0; i < count; i++)
	{
		IntegCredentialOwner owner = {OWNER_KIND, ids[i], INTEG_GLOBAL_CLIENT};
		const IntegSecret *secret = integ_vault_open(&owner, PRIVATE_KEY, NULL, false);

		if (secret == NULL)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("the private key of %s %s is missing", OWNER_KIND, ids[i]),
							errdetail("integ.sealing_keys has its certificate, integ.credentials not its key."),
							errhint("Restore it from a backup, or delete the row of integ.sealing_keys.")));
		keys[i].key = (const uint8_t *) secret->data;
		keys[i].key_len = secret->len;
	}
	return integ_sealed_open(keys, count, sealed, len, out, out_len);
}

void
integ_sealing_lock(void)
{
	static IntegQuery lock = {"LOCK TABLE integ.sealing_keys IN SHARE ROW EXCLUSIVE MODE", 0, {0}};

	(void) integ_query(&lock, NULL, NULL);
}

/* Makes the pair in memory of PostgreSQL's, so that nothing leaks if the rest fails. */
static char *
make_pair(const char *name, MemoryContext context, IntegCredentialValue *value)
{
	char *certificate, *copy;
	uint8_t *key, *key_copy;
	size_t key_len;
	IntegCryptoStatus status = integ_sealing_make(name, INTEG_SEALING_BITS, &certificate, &key, &key_len);

	if (status != INTEG_CRYPTO_OK)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("could not make a key pair: %s", integ_crypto_message(status))));
	copy = MemoryContextStrdup(context, certificate);
	key_copy = integ_secret_alloc(key_len);
	memcpy(key_copy, key, key_len);
	integ_sealing_release(certificate, key, key_len);
	value->data = (char *) key_copy;
	value->len = key_len;
	return copy;
}

char *
integ_sealing_replace(Oid role, MemoryContext context)
{
	static IntegQuery retire = {"UPDATE integ.sealing_keys SET status = 'retired' WHERE status = 'active'", 0, {0}};
	static IntegQuery insert = {"INSERT INTO integ.sealing_keys (id, certificate) VALUES ($1, $2)", 2, {UUIDOID, TEXTOID}};
	static const char *nowhere[] = {NULL};
	IntegCredentialValue value = {.origins = nowhere, .expires_at = DT_NOEND, .role = role};
	IntegCredentialOwner owner = {OWNER_KIND, NULL, INTEG_GLOBAL_CLIENT};
	Datum values[2];
	char *certificate;
	pg_uuid_t id;

	integ_uuid_make(&id);
	owner.id = integ_uuid_text(&id);
	certificate = make_pair(psprintf("integ %s", owner.id), context, &value);
	(void) integ_query(&retire, NULL, NULL);
	values[0] = UUIDPGetDatum(&id);
	values[1] = CStringGetTextDatum(certificate);
	(void) integ_query(&insert, values, NULL);
	integ_vault_store(&owner, PRIVATE_KEY, &value, false);
	return certificate;
}

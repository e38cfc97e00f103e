/*
 * integ_vault_rotate_key: a new master key, a new data key, another algorithm.
 *
 * Readers go on all the while: they read a credential and the key it names in
 * one statement. Writers wait for the end of the transaction only in the
 * moment in which the active key changes.
 */
#include "postgres.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "vault/audit.h"
#include "vault/data_key.h"
#include "vault/key_wrap.h"
#include "vault/master_key.h"
#include "vault/rows.h"
#include "vault/sealing.h"
#include "vault/secret.h"
#include "vault/store.h"

PG_FUNCTION_INFO_V1(integ_vault_rotate_key);

/* Rows that are encrypted anew between two looks at interrupts and resets of memory. */
#define CHUNK 100

typedef struct Rotation
{
	const char *action; /* rewrapped, rotated, continued */
	IntegDataKey key;	/* the active one in the end */
	int64 rewrapped;
	int64 reencrypted;
	int64 remaining;
	int64 removed; /* retired keys that nothing uses any more */
} Rotation;

/* Wraps by the current master key every data key that another one wraps. Returns how many. */
static int64
rewrap(void)
{
	static IntegQuery select = {
		"SELECT id, algorithm, master_key_id, wrapped FROM integ.data_keys WHERE master_key_id <> $1 FOR UPDATE",
		1,
		{TEXTOID}};
	static IntegQuery update = {"UPDATE integ.data_keys SET wrapped = $2, master_key_id = $3, "
								"rewrapped_at = pg_catalog.now() WHERE id = $1",
								3,
								{UUIDOID, BYTEAOID, TEXTOID}};
	char master_key_id[INTEG_MASTER_KEY_ID_SIZE];
	IntegDataKey *keys;
	uint64 count;
	Datum id;

	(void) integ_master_key_current(master_key_id);
	id = CStringGetTextDatum(master_key_id);
	count = integ_query(&select, &id, NULL);
	keys = palloc(Max(count, 1) * sizeof(IntegDataKey));
	for (uint64 i = 0; i < count; i++)
		integ_data_key_read(i, 1, &keys[i]);
	for (uint64 i = 0; i < count; i++)
	{
		size_t size = integ_algorithm_key_size(keys[i].algorithm);
		bytea *wrapped = palloc(VARHDRSZ + size + INTEG_WRAP_OVERHEAD);
		uint8_t *material = integ_secret_alloc(size);
		IntegCryptoStatus status;
		Datum values[3] = {UUIDPGetDatum(&keys[i].id), PointerGetDatum(wrapped), (Datum) 0};

		/* A copy, since the lockbox is emptied if the master key's file changes just now. */
		memcpy(material, integ_data_key_open(&keys[i]), size);
		status = integ_key_wrap(integ_master_key_current(master_key_id), material, size, (uint8_t *) VARDATA(wrapped));
		if (status != INTEG_CRYPTO_OK)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
							errmsg("could not wrap a data key: %s", integ_crypto_message(status))));
		SET_VARSIZE(wrapped, VARHDRSZ + size + INTEG_WRAP_OVERHEAD);
		values[2] = CStringGetTextDatum(master_key_id);
		(void) integ_query(&update, values, NULL);
	}
	return count;
}

static int64
count_others(const IntegDataKey *key)
{
	static IntegQuery count = {"SELECT pg_catalog.count(*) FROM integ.credentials WHERE data_key <> $1", 1, {UUIDOID}};
	Datum id = UUIDPGetDatum(&key->id);

	(void) integ_query(&count, &id, NULL);
	return integ_result_int8(0, 1);
}

/*
 * The key that everything shall be encrypted under: the active one of the
 * algorithm in use if others are left to be encrypted anew, else a new one.
 */
static void
choose_key(Rotation *rotation)
{
	static IntegQuery active = {"SELECT id, algorithm, master_key_id, wrapped FROM integ.data_keys "
								"WHERE status = 'active' AND algorithm = $1",
								1,
								{TEXTOID}};
	static IntegQuery retire = {"UPDATE integ.data_keys SET status = 'retired', retired_at = pg_catalog.now() "
								"WHERE status = 'active' AND id <> $1",
								1,
								{UUIDOID}};
	/* No key has it: retires all. */
	pg_uuid_t nobody = {{0}};
	Datum algorithm = CStringGetTextDatum(integ_algorithm_name((IntegVaultAlgorithm) integ_vault_algorithm));
	bool found = integ_query(&active, &algorithm, NULL) > 0;
	Datum kept;

	if (found)
		integ_data_key_read(0, 1, &rotation->key);
	if (found && count_others(&rotation->key) > 0)
		rotation->action = "continued";
	else
	{
		rotation->action = "rotated";
		found = false;
	}
	kept = UUIDPGetDatum(found ? &rotation->key.id : &nobody);
	(void) integ_query(&retire, &kept, NULL);
	if (!found)
		integ_data_key_make((IntegVaultAlgorithm) integ_vault_algorithm, &rotation->key);
}

/*
 * Encrypts up to limit rows of other keys under key; returns how many. One
 * statement writes them all: each would invalidate caches, its own plan included.
 */
static int64
reencrypt(const IntegDataKey *key, int64 limit)
{
	static IntegQuery select = {
		"SELECT " INTEG_CREDENTIAL_COLUMNS ", c.id "
		"FROM integ.credentials c JOIN integ.data_keys k ON k.id = c.data_key "
		"WHERE c.data_key <> $1 ORDER BY c.id LIMIT $2 FOR UPDATE OF c",
		2,
		{UUIDOID, INT8OID}};
	static IntegQuery update = {
		"UPDATE integ.credentials c SET ciphertext = n.ciphertext, data_key = $4, algorithm = $5, "
		"encrypted_at = pg_catalog.now() "
		"FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) "
		"AS n (id, owner_id, ciphertext) "
		"WHERE c.id = n.id AND c.owner_id = n.owner_id",
		5,
		{UUIDARRAYOID, TEXTARRAYOID, BYTEAARRAYOID, UUIDOID, TEXTOID}};
	Datum arguments[2] = {UUIDPGetDatum(&key->id), Int64GetDatum(limit)};
	int count = (int) integ_query(&select, arguments, NULL);
	IntegCredentialRow *rows = palloc(Max(count, 1) * sizeof(IntegCredentialRow));
	Datum *ids = palloc(Max(count, 1) * sizeof(Datum));
	Datum *owners = palloc(Max(count, 1) * sizeof(Datum));
	Datum *ciphertexts = palloc(Max(count, 1) * sizeof(Datum));
	Datum values[5];
	bool isnull;

	for (int i = 0; i < count; i++)
	{
		integ_vault_read_row(i, &rows[i], CurrentMemoryContext);
		ids[i] = datumCopy(integ_result_datum(i, INTEG_CREDENTIAL_COLUMN_COUNT + 1, &isnull), false, UUID_LEN);
		owners[i] = CStringGetTextDatum(rows[i].owner.id);
	}
	SPI_freetuptable(SPI_tuptable);
	if (count == 0)
		return 0;
	for (int i = 0; i < count; i++)
	{
		IntegCredentialRow *row = &rows[i];
		char *plain = integ_secret_alloc(row->ciphertext_len);
		size_t len = integ_vault_decrypt(row, (uint8_t *) plain);

		ciphertexts[i] = PointerGetDatum(integ_vault_encrypt(key, &row->owner, row->name, row->version, row->origins,
															 row->norigins, plain, len));
	}
	values[0] = PointerGetDatum(construct_array(ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[1] = PointerGetDatum(construct_array(owners, count, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_array(ciphertexts, count, BYTEAOID, -1, false, TYPALIGN_INT));
	values[3] = UUIDPGetDatum(&key->id);
	values[4] = CStringGetTextDatum(integ_algorithm_name(key->algorithm));
	if (integ_query(&update, values, NULL) != count)
		elog(ERROR, "locked credentials are gone");
	return count;
}

static int64
remove_unused(void)
{
	static IntegQuery remove = {
		"DELETE FROM integ.data_keys k WHERE status = 'retired' "
		"AND NOT EXISTS (SELECT FROM integ.credentials c WHERE c.data_key = k.id)",
		0,
		{0}};

	return (int64) integ_query(&remove, NULL, NULL);
}

static void
rotate_data_key(Rotation *rotation, int64 batch)
{
	MemoryContext chunk = AllocSetContextCreate(CurrentMemoryContext, "integ rotation", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(chunk);

	choose_key(rotation);
	while (rotation->reencrypted < batch)
	{
		int64 done = reencrypt(&rotation->key, Min(batch - rotation->reencrypted, CHUNK));

		rotation->reencrypted += done;
		MemoryContextReset(chunk);
		CHECK_FOR_INTERRUPTS();
		if (done == 0)
			break;
	}
	rotation->remaining = count_others(&rotation->key);
	rotation->removed = remove_unused();
	MemoryContextSwitchTo(before);
	MemoryContextDelete(chunk);
}

static Jsonb *
report(const Rotation *rotation, bool sealing_key)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "action", rotation->action);
	if (strcmp(rotation->action, "rewrapped") != 0)
	{
		integ_json_add_string(&builder, "data_key", integ_uuid_text(&rotation->key.id));
		integ_json_add_string(&builder, "algorithm", integ_algorithm_name(rotation->key.algorithm));
	}
	integ_json_add_int(&builder, "rewrapped", rotation->rewrapped);
	integ_json_add_int(&builder, "reencrypted", rotation->reencrypted);
	integ_json_add_int(&builder, "remaining", rotation->remaining);
	integ_json_add_int(&builder, "removed_keys", rotation->removed);
	integ_json_add_bool(&builder, "new_sealing_key", sealing_key);
	return integ_json_end(&builder);
}

Datum
integ_vault_rotate_key(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_SUPERADMIN, "rotate the vault's keys");
	Jsonb *options = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	bool rewrap_only = false, sealing_key = false;
	int64 batch = PG_INT64_MAX;
	const IntegOption known[] = {
		{"batch", INTEG_OPTION_INT, &batch},
		{"rewrap", INTEG_OPTION_BOOL, &rewrap_only},
		{"sealing_key", INTEG_OPTION_BOOL, &sealing_key},
	};
	Rotation rotation = {.action = "rewrapped"};
	IntegOwnerScope scope;
	Jsonb *result;

	PreventCommandIfReadOnly("integ_vault_rotate_key()");
	integ_options_parse(options, known, lengthof(known), "integ_vault_rotate_key");
	if (batch < 1)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"batch\" of integ_vault_rotate_key must be at least 1")));
	integ_owner_enter(&scope);
	integ_data_key_lock();
	rotation.rewrapped = rewrap();
	if (rotation.rewrapped == 0 && !rewrap_only)
		rotate_data_key(&rotation, batch);
	if (sealing_key)
	{
		integ_sealing_lock();
		(void) integ_sealing_replace(actor->role, CurrentMemoryContext);
	}
	integ_owner_leave(&scope);
	result = report(&rotation, sealing_key);
	integ_vault_audit_key(actor, "vault.rotate_key", result);
	PG_RETURN_JSONB_P(result);
}

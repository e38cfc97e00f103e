/*
 * Data keys.
 */
#include "vault/data_key.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/builtins.h"
#include "vault/lockbox.h"
#include "vault/master_key.h"

/* Which key is in which place of the lockbox; a place is free while its id is all zero. */
static pg_uuid_t places[INTEG_LOCKBOX_DATA_KEYS];
static int next_place;
static uint64 places_generation;

static int
find_place(const pg_uuid_t *id)
{
	for (int i = 0; i < INTEG_LOCKBOX_DATA_KEYS; i++)
		if (memcmp(&places[i], id, sizeof(pg_uuid_t)) == 0)
			return i;
	return -1;
}

static void
unwrap(const IntegDataKey *key, uint8_t *out)
{
	const uint8_t *master = integ_master_key_find(key->master_key_id);
	IntegCryptoStatus status = INTEG_CRYPTO_MALFORMED;

	if (key->wrapped_len == integ_algorithm_key_size(key->algorithm) + INTEG_WRAP_OVERHEAD)
	{
		/* The lockbox has no room for the overhead, which the cipher may write. */
		uint8_t unwrapped[INTEG_DATA_KEY_MAX + INTEG_WRAP_OVERHEAD];

		status = integ_key_unwrap(master, key->wrapped, key->wrapped_len, unwrapped);
		memcpy(out, unwrapped, INTEG_DATA_KEY_MAX);
		integ_wipe(unwrapped, sizeof(unwrapped));
	}
	if (status != INTEG_CRYPTO_OK)
	{
		integ_wipe(out, INTEG_DATA_KEY_MAX);
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("the data key %s does not unwrap", integ_uuid_text(&key->id)),
						errdetail("The master key is the right one, but the row of integ.data_keys is damaged: %s.",
								  integ_crypto_message(status)),
						errhint("Restore the row from a backup, or set the credentials again.")));
	}
}

const uint8_t *
integ_data_key_open(const IntegDataKey *key)
{
	uint64 generation = integ_master_key_refresh();
	int place;

	if (places_generation != generation)
	{
		memset(places, 0, sizeof(places));
		places_generation = generation;
	}
	place = find_place(&key->id);
	if (place < 0)
	{
		char id[INTEG_MASTER_KEY_ID_SIZE];

		(void) integ_master_key_current(id); /* makes the lockbox */
		place = next_place;
		next_place = (next_place + 1) % INTEG_LOCKBOX_DATA_KEYS;
		memset(&places[place], 0, sizeof(pg_uuid_t));
		unwrap(key, integ_lockbox()->data_keys[place]);
		places[place] = key->id;
	}
	return integ_lockbox()->data_keys[place];
}

void
integ_data_key_read(uint64 row, int first_column, IntegDataKey *key)
{
	char *algorithm = integ_result_text(row, first_column + 1, CurrentMemoryContext);
	bytea *wrapped = (bytea *) integ_result_varlena(row, first_column + 3, CurrentMemoryContext);
	bool isnull;

	key->id = *DatumGetUUIDP(integ_result_datum(row, first_column, &isnull));
	if (!integ_algorithm_from_name(algorithm, &key->algorithm))
		elog(ERROR, "integ.data_keys has the unknown algorithm \"%s\"", algorithm);
	strlcpy(key->master_key_id, integ_result_text(row, first_column + 2, CurrentMemoryContext),
			sizeof(key->master_key_id));
	key->wrapped_len = Min(VARSIZE_ANY_EXHDR(wrapped), sizeof(key->wrapped));
	memcpy(key->wrapped, VARDATA_ANY(wrapped), key->wrapped_len);
}

void
integ_data_key_lock(void)
{
	/* Conflicts with itself and with writers, not with FOR SHARE. */
	static IntegQuery lock = {"LOCK TABLE integ.data_keys IN SHARE ROW EXCLUSIVE MODE", 0, {0}};

	(void) integ_query(&lock, NULL, NULL);
}

void
integ_data_key_make(IntegVaultAlgorithm algorithm, IntegDataKey *key)
{
	static IntegQuery insert = {
		"INSERT INTO integ.data_keys (id, algorithm, master_key_id, wrapped) VALUES ($1, $2, $3, $4) "
		"ON CONFLICT DO NOTHING",
		4,
		{UUIDOID, TEXTOID, TEXTOID, BYTEAOID}};
	uint8_t material[INTEG_DATA_KEY_MAX];
	size_t size = integ_algorithm_key_size(algorithm);
	const uint8_t *master = integ_master_key_current(key->master_key_id);
	IntegCryptoStatus status = integ_data_key_random(material, size);
	bytea *wrapped;
	Datum values[4];

	if (status == INTEG_CRYPTO_OK)
		status = integ_key_wrap(master, material, size, key->wrapped);
	integ_wipe(material, sizeof(material));
	if (status != INTEG_CRYPTO_OK)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("could not make a data key: %s", integ_crypto_message(status))));
	integ_uuid_make(&key->id);
	key->algorithm = algorithm;
	key->wrapped_len = size + INTEG_WRAP_OVERHEAD;

	wrapped = palloc(VARHDRSZ + key->wrapped_len);
	SET_VARSIZE(wrapped, VARHDRSZ + key->wrapped_len);
	memcpy(VARDATA(wrapped), key->wrapped, key->wrapped_len);
	values[0] = UUIDPGetDatum(&key->id);
	values[1] = CStringGetTextDatum(integ_algorithm_name(algorithm));
	values[2] = CStringGetTextDatum(key->master_key_id);
	values[3] = PointerGetDatum(wrapped);
	/* Behind the lock only a snapshot that is older than another session's key can collide. */
	if (integ_query(&insert, values, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("another session has just made a data key"),
						errhint("Try again in a new transaction.")));
}

static bool
select_active(IntegVaultAlgorithm algorithm, IntegDataKey *key)
{
	static IntegQuery active = {"SELECT id, algorithm, master_key_id, wrapped FROM integ.data_keys "
								"WHERE status = 'active' AND algorithm = $1 FOR SHARE",
								1,
								{TEXTOID}};
	Datum name = CStringGetTextDatum(integ_algorithm_name(algorithm));

	if (integ_query(&active, &name, NULL) == 0)
		return false;
	integ_data_key_read(0, 1, key);
	return true;
}

void
integ_data_key_active(IntegDataKey *key)
{
	IntegVaultAlgorithm algorithm = (IntegVaultAlgorithm) integ_vault_algorithm;

	if (select_active(algorithm, key))
		return;
	integ_data_key_lock();
	if (!select_active(algorithm, key))
		integ_data_key_make(algorithm, key);
}

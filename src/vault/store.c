/*
 * Writing credentials.
 */
#include "vault/store.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "vault/data_key.h"
#include "vault/identity.h"

/* Values of the state that a row already has, locked. */
typedef struct Existing
{
	bool current;
	bool previous;
	int64 version; /* the highest so far */
} Existing;

static int
compare_origins(const void *left, const void *right)
{
	return strcmp(*(const char *const *) left, *(const char *const *) right);
}

void
integ_vault_use_origins(IntegCredentialValue *value, const char **origins, int count)
{
	if (count > INTEG_CREDENTIAL_ORIGINS_MAX)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("too many origins"),
						errdetail("At most %d are stored with a credential.", INTEG_CREDENTIAL_ORIGINS_MAX),
						errhint("Name those that the credential may go to: {\"origins\": […]}.")));
	qsort(origins, count, sizeof(char *), compare_origins);
	value->origins = origins;
	value->norigins = 0;
	for (int i = 0; i < count; i++)
		if (value->norigins == 0 || strcmp(origins[i], origins[value->norigins - 1]) != 0)
			origins[value->norigins++] = origins[i];
}

bytea *
integ_vault_encrypt(const IntegDataKey *key, const IntegCredentialOwner *owner, const char *name, int64 version,
					const char *const *origins, int norigins, const char *plain, size_t plain_len)
{
	IntegCredentialIdentity identity = {.owner_kind = owner->kind,
										.owner_id = owner->id,
										.client_id = owner->client_id,
										.name = name,
										.version = version,
										.origins = origins,
										.norigins = norigins,
										.algorithm = integ_algorithm_name(key->algorithm),
										.data_key = integ_uuid_text(&key->id)};
	size_t aad_len = integ_identity_size(&identity);
	uint8_t *aad = palloc(aad_len);
	bytea *sealed = palloc(VARHDRSZ + plain_len + INTEG_AEAD_OVERHEAD);
	IntegCryptoStatus status;
	size_t len;

	integ_identity_encode(&identity, aad);
	status = integ_aead_seal(key->algorithm, integ_data_key_open(key), aad, aad_len, (const uint8_t *) plain, plain_len,
							 (uint8_t *) VARDATA(sealed), &len);
	if (status != INTEG_CRYPTO_OK)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("could not encrypt the credential \"%s\": %s", name, integ_crypto_message(status))));
	SET_VARSIZE(sealed, VARHDRSZ + len);
	return sealed;
}

static void
lock_existing(const IntegCredentialOwner *owner, const char *name, Existing *existing)
{
	static IntegQuery lock = {
		"SELECT state = 'current', version FROM integ.credentials "
		"WHERE owner_id = $1 AND owner_kind = $2 AND client_id = $3 AND name = $4 ORDER BY state FOR UPDATE",
		4,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	Datum values[4] = {CStringGetTextDatum(owner->id), CStringGetTextDatum(owner->kind),
					   CStringGetTextDatum(owner->client_id), CStringGetTextDatum(name)};
	uint64 count = integ_query(&lock, values, NULL);

	memset(existing, 0, sizeof(*existing));
	for (uint64 i = 0; i < count; i++)
	{
		if (integ_result_bool(i, 1))
			existing->current = true;
		else
			existing->previous = true;
		existing->version = Max(existing->version, integ_result_int8(i, 2));
	}
}

/* Makes room for the new current row, so that one statement inserts it in every case. */
static void
make_room(const IntegCredentialOwner *owner, const char *name, const Existing *existing, bool rotate)
{
	static IntegQuery keep = {
		"UPDATE integ.credentials SET state = 'previous' "
		"WHERE owner_id = $1 AND owner_kind = $2 AND client_id = $3 AND name = $4",
		4,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	static IntegQuery drop = {
		"DELETE FROM integ.credentials WHERE owner_id = $1 AND owner_kind = $2 AND client_id = $3 AND name = $4 "
		"AND (state = 'current' OR NOT $5)",
		5,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID}};
	Datum values[5] = {CStringGetTextDatum(owner->id), CStringGetTextDatum(owner->kind),
					   CStringGetTextDatum(owner->client_id), CStringGetTextDatum(name), BoolGetDatum(rotate)};

	if (!existing->current)
		return;
	(void) integ_query(rotate && !existing->previous ? &keep : &drop, values, NULL);
}

/* False where another session inserted the same credential meanwhile. */
static bool
insert(const IntegDataKey *key, const IntegCredentialOwner *owner, const char *name,
	   const IntegCredentialValue *value, int64 version)
{
	static IntegQuery query = {
		"INSERT INTO integ.credentials (owner_id, owner_kind, client_id, name, user_id, version, algorithm, data_key, "
		"ciphertext, allowed_origins, hint, expires_at, created_by) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::pg_catalog.regrole) ON CONFLICT DO NOTHING",
		13,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTOID, UUIDOID, BYTEAOID, TEXTARRAYOID, TEXTOID,
		 TIMESTAMPTZOID, OIDOID}};
	char nulls[14] = "             ";
	Datum values[13];

	values[0] = CStringGetTextDatum(owner->id);
	values[1] = CStringGetTextDatum(owner->kind);
	values[2] = CStringGetTextDatum(owner->client_id);
	values[3] = CStringGetTextDatum(name);
	values[4] = value->user_id == NULL ? (Datum) 0 : CStringGetTextDatum(value->user_id);
	nulls[4] = value->user_id == NULL ? 'n' : ' ';
	values[5] = Int64GetDatum(version);
	values[6] = CStringGetTextDatum(integ_algorithm_name(key->algorithm));
	values[7] = UUIDPGetDatum(&key->id);
	values[8] = PointerGetDatum(integ_vault_encrypt(key, owner, name, version, value->origins, value->norigins,
													value->data, value->len));
	values[9] = integ_value_texts(value->origins, value->norigins);
	values[10] = value->hint == NULL ? (Datum) 0 : CStringGetTextDatum(value->hint);
	nulls[10] = value->hint == NULL ? 'n' : ' ';
	values[11] = TimestampTzGetDatum(value->expires_at);
	nulls[11] = value->expires_at == DT_NOEND ? 'n' : ' ';
	values[12] = ObjectIdGetDatum(value->role);
	return integ_query(&query, values, nulls) > 0;
}

void
integ_vault_store(const IntegCredentialOwner *owner, const char *name, const IntegCredentialValue *value, bool rotate)
{
	Existing existing;
	IntegDataKey key;

	/* First the key, then the row: the order of integ_vault_rotate_key, or the two would deadlock. */
	integ_data_key_active(&key);
	lock_existing(owner, name, &existing);
	if (rotate && !existing.current)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no credential \"%s\" to rotate", name),
						errdetail("Only one that has a value can be rotated."),
						errhint("Enter the first value with integ_credential_set.")));
	make_room(owner, name, &existing, rotate);
	if (!insert(&key, owner, name, value, existing.version + 1))
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("another session has just set the credential \"%s\"", name), errhint("Try again.")));
}

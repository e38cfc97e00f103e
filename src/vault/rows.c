/*
 * Credentials of an owner as this backend caches them.
 */
#include "vault/rows.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/cache.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "vault/identity.h"

/* More owners than this in one backend: begin anew rather than grow without end. */
#define MAX_CACHED_OWNERS 4096

typedef struct CachedOwner
{
	uint64 hash; /* hash key */
	const char *kind;
	const char *id;
	const char *client_id;
	struct CachedOwner *collision; /* another owner with the same hash */
	IntegCredentialRows rows;
} CachedOwner;

static HTAB *cache;
static MemoryContext cache_context;
static uint64 cache_generation;

static void
prepare_cache(void)
{
	uint64 generation = integ_cache_generation(INTEG_CACHE_CREDENTIALS);
	HASHCTL control = {.keysize = sizeof(uint64), .entrysize = sizeof(CachedOwner)};

	if (cache != NULL && cache_generation == generation && hash_get_num_entries(cache) < MAX_CACHED_OWNERS)
		return;
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(TopMemoryContext, "integ credentials", ALLOCSET_SMALL_SIZES);
	cache = NULL;
	MemoryContextReset(cache_context);
	control.hcxt = cache_context;
	cache = hash_create("integ credentials", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache_generation = generation;
}

static uint64
hash_owner(const IntegCredentialOwner *owner)
{
	uint64 hash = hash_bytes_extended((const unsigned char *) owner->id, strlen(owner->id), 0);

	hash = hash_bytes_extended((const unsigned char *) owner->kind, strlen(owner->kind), hash);
	return hash_bytes_extended((const unsigned char *) owner->client_id, strlen(owner->client_id), hash);
}

static CachedOwner *
find(uint64 hash, const IntegCredentialOwner *owner)
{
	CachedOwner *entry = hash_search(cache, &hash, HASH_FIND, NULL);

	while (entry != NULL && (strcmp(entry->id, owner->id) != 0 || strcmp(entry->kind, owner->kind) != 0 ||
							 strcmp(entry->client_id, owner->client_id) != 0))
		entry = entry->collision;
	return entry;
}

static void
read_origins(uint64 result, int column, IntegCredentialRow *row, MemoryContext context)
{
	ArrayType *array = (ArrayType *) integ_result_varlena(result, column, CurrentMemoryContext);
	Datum *values;
	bool *nulls;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &row->norigins);
	row->origins = MemoryContextAlloc(context, Max(row->norigins, 1) * sizeof(char *));
	for (int i = 0; i < row->norigins; i++)
		row->origins[i] = MemoryContextStrdup(context, nulls[i] ? "" : TextDatumGetCString(values[i]));
}

void
integ_vault_read_row(uint64 result, IntegCredentialRow *row, MemoryContext context)
{
	char *algorithm = integ_result_text(result, 6, CurrentMemoryContext);
	bytea *ciphertext = (bytea *) integ_result_varlena(result, 8, context);
	IntegCredentialIdentity identity;
	uint8_t *aad;
	bool isnull;

	row->owner.kind = integ_result_text(result, 1, context);
	row->owner.id = integ_result_text(result, 2, context);
	row->owner.client_id = integ_result_text(result, 3, context);
	row->name = integ_result_text(result, 4, context);
	row->version = integ_result_int8(result, 5);
	read_origins(result, 7, row, context);
	row->ciphertext = (uint8_t *) VARDATA_ANY(ciphertext);
	row->ciphertext_len = VARSIZE_ANY_EXHDR(ciphertext);
	row->expires_at = DatumGetTimestampTz(integ_result_datum(result, 9, &isnull));
	if (isnull)
		row->expires_at = DT_NOEND;
	row->authentic = false;
	row->previous = strcmp(integ_result_text(result, 10, CurrentMemoryContext), "previous") == 0;
	integ_data_key_read(result, 11, &row->key);
	if (!integ_algorithm_from_name(algorithm, &row->algorithm))
		elog(ERROR, "integ.credentials has the unknown algorithm \"%s\"", algorithm);

	identity = (IntegCredentialIdentity){.owner_kind = row->owner.kind,
										 .owner_id = row->owner.id,
										 .client_id = row->owner.client_id,
										 .name = row->name,
										 .version = row->version,
										 .origins = row->origins,
										 .norigins = row->norigins,
										 .algorithm = algorithm,
										 .data_key = integ_uuid_text(&row->key.id)};
	row->aad_len = integ_identity_size(&identity);
	aad = MemoryContextAlloc(context, row->aad_len);
	integ_identity_encode(&identity, aad);
	row->aad = aad;
}

/* Reads the owner's rows with the keys they name in one statement: a rotation is seen whole or not at all. */
static void
load(const IntegCredentialOwner *owner, IntegCredentialRows *rows)
{
	static IntegQuery select = {
		"SELECT " INTEG_CREDENTIAL_COLUMNS "FROM integ.credentials c JOIN integ.data_keys k ON k.id = c.data_key "
		"WHERE c.owner_id = $1 AND c.owner_kind = $2 AND c.client_id = $3 ORDER BY c.name, c.state",
		3,
		{TEXTOID, TEXTOID, TEXTOID}};
	Datum values[3] = {CStringGetTextDatum(owner->id), CStringGetTextDatum(owner->kind),
					   CStringGetTextDatum(owner->client_id)};
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	rows->count = (int) integ_query_latest(&select, values, NULL);
	rows->items = MemoryContextAllocZero(cache_context, Max(rows->count, 1) * sizeof(IntegCredentialRow));
	for (int i = 0; i < rows->count; i++)
		integ_vault_read_row(i, &rows->items[i], cache_context);
	integ_owner_leave(&scope);
}

const IntegCredentialRows *
integ_vault_rows(const IntegCredentialOwner *owner)
{
	uint64 hash = hash_owner(owner);
	IntegCredentialRows rows;
	CachedOwner *entry, *collision = NULL;
	bool found;

	prepare_cache();
	entry = find(hash, owner);
	if (entry != NULL)
		return &entry->rows;

	load(owner, &rows);
	entry = hash_search(cache, &hash, HASH_ENTER, &found);
	if (found)
	{
		collision = MemoryContextAlloc(cache_context, sizeof(CachedOwner));
		*collision = *entry;
	}
	entry->kind = MemoryContextStrdup(cache_context, owner->kind);
	entry->id = MemoryContextStrdup(cache_context, owner->id);
	entry->client_id = MemoryContextStrdup(cache_context, owner->client_id);
	entry->collision = collision;
	entry->rows = rows;
	return &entry->rows;
}

size_t
integ_vault_decrypt(IntegCredentialRow *row, uint8_t *out)
{
	const uint8_t *key = integ_data_key_open(&row->key);
	IntegCryptoStatus status = INTEG_CRYPTO_MISMATCH;
	size_t len = 0;

	if (row->algorithm == row->key.algorithm)
		status = (row->authentic ? integ_aead_reopen : integ_aead_open)(
			row->algorithm, key, row->aad, row->aad_len, row->ciphertext, row->ciphertext_len, out, &len);
	if (status != INTEG_CRYPTO_OK)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("the credential \"%s\" of %s %s does not open", row->name, row->owner.kind,
							   row->owner.id),
						errdetail("The row of integ.credentials is not as it was written: %s.",
								  integ_crypto_message(status)),
						errhint("Set it again with integ_credential_set, or delete it with integ_credential_delete.")));
	row->authentic = true;
	return len;
}

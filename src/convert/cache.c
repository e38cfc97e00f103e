/*
 * Compiled schemas, cached per backend.
 *
 * An entry is good until a row of integ.conversion_schemas or integ.record_types
 * changes, or a table that a plan writes to or looks up in.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/cache.h"
#include "convert/inverse.h"
#include "convert/plan.h"
#include "core/cache.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

typedef struct CacheKey
{
	pg_uuid_t id;
	int32 direction;
} CacheKey;

typedef struct CacheEntry
{
	CacheKey key;
	IntegConversion *conversion;
} CacheEntry;

static HTAB *cache;
static uint64 cache_generation;

/* Tables that cached plans depend on, and how often one of them changed. */
#define MAX_TABLES 256
static Oid tables[MAX_TABLES];
static int ntables;
static uint64 tables_generation;

/* Relcache callback: must not look at a catalog. */
static void
forget_table(Datum arg, Oid relid)
{
	for (int i = 0; i < ntables; i++)
		if (!OidIsValid(relid) || tables[i] == relid)
		{
			tables_generation++;
			return;
		}
}

uint64
convert_cache_generation(void)
{
	return integ_cache_generation(INTEG_CACHE_CONVERSIONS) + tables_generation;
}

static void
forget_all(void)
{
	HASH_SEQ_STATUS scan;
	CacheEntry *entry;

	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		integ_pinned_retire(&entry->conversion->pinned);
		hash_search(cache, &entry->key, HASH_REMOVE, NULL);
	}
	ntables = 0;
}

static void
prepare_cache(void)
{
	uint64 generation;
	HASHCTL control = {.keysize = sizeof(CacheKey), .entrysize = sizeof(CacheEntry)};

	if (cache == NULL)
	{
		CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
		control.hcxt = CacheMemoryContext;
		cache = hash_create("integ conversions", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	generation = convert_cache_generation();
	if (cache_generation != generation)
		forget_all();
	cache_generation = generation;
}

enum
{
	COLUMN_SCHEMA_ID = 1,
	COLUMN_VERSION,
	COLUMN_CLIENT,
	COLUMN_USER,
	COLUMN_OWNER,
	COLUMN_INSTANCE,
	COLUMN_ENTITY,
	COLUMN_FILTERS,
	COLUMN_TARGET_TYPE,
	COLUMN_TARGET_TABLE,
	COLUMN_CREATE,
	COLUMN_UPDATE,
	COLUMN_DELETE,
	COLUMN_REMOVAL,
	COLUMN_MAPPINGS,
	COLUMN_RELATIONSHIPS,
	COLUMN_INVERSE,
	COLUMN_DEDUPLICATION,
	COLUMN_ACTIVE
};

static void
fill(IntegConversion *conversion, ConvertSource *source, Jsonb **inverse, MemoryContext context)
{
	bool isnull;
	Datum instance;

	conversion->schema_id = source->schema_id = integ_result_text(0, COLUMN_SCHEMA_ID, context);
	conversion->version = integ_result_int8(0, COLUMN_VERSION);
	conversion->client_id = source->client_id = integ_result_text(0, COLUMN_CLIENT, context);
	conversion->context_user = integ_result_text(0, COLUMN_USER, context);
	conversion->owner = DatumGetObjectId(integ_result_datum(0, COLUMN_OWNER, &isnull));
	instance = integ_result_datum(0, COLUMN_INSTANCE, &isnull);
	conversion->has_instance = !isnull;
	if (!isnull)
		conversion->instance = *DatumGetUUIDP(instance);
	conversion->source_entity = integ_result_text(0, COLUMN_ENTITY, context);
	conversion->create_if_missing = integ_result_bool(0, COLUMN_CREATE);
	conversion->update_if_exists = integ_result_bool(0, COLUMN_UPDATE);
	conversion->delete_if_removed = integ_result_bool(0, COLUMN_DELETE);
	conversion->removal = integ_result_text(0, COLUMN_REMOVAL, context);
	conversion->is_active = integ_result_bool(0, COLUMN_ACTIVE);
	source->target_type = integ_result_text(0, COLUMN_TARGET_TYPE, context);
	source->target_table = integ_result_text(0, COLUMN_TARGET_TABLE, context);
	source->filters = (Jsonb *) integ_result_varlena(0, COLUMN_FILTERS, context);
	source->mappings = (Jsonb *) integ_result_varlena(0, COLUMN_MAPPINGS, context);
	source->relationships = (Jsonb *) integ_result_varlena(0, COLUMN_RELATIONSHIPS, context);
	source->deduplication = (Jsonb *) integ_result_varlena(0, COLUMN_DEDUPLICATION, context);
	*inverse = (Jsonb *) integ_result_varlena(0, COLUMN_INVERSE, context);
}

/* Reads the row into CurrentMemoryContext; false where there is none. */
static bool
read_row(const pg_uuid_t *id, IntegConversion *conversion, ConvertSource *source, Jsonb **inverse)
{
	static IntegQuery query = {
		"SELECT schema_id, version, client_id, CASE context_type WHEN 'user' THEN context_id END, owner::pg_catalog.oid, "
		"instance, source_entity, source_filters, target_type, target_table, create_if_missing, update_if_exists, "
		"delete_if_removed, removal, field_mappings, relationship_mappings, inverse_mappings, deduplication, is_active "
		"FROM integ.conversion_schemas WHERE id = $1",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(id);
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	bool found;

	integ_owner_enter(&scope);
	found = integ_query_latest(&query, &value, NULL) > 0;
	if (found)
		fill(conversion, source, inverse, context);
	integ_owner_leave(&scope);
	return found;
}

/* Compiles in CurrentMemoryContext. */
static IntegConversion *
load(const pg_uuid_t *id, IntegDirection direction)
{
	IntegConversion *conversion = palloc0(sizeof(IntegConversion));
	ConvertSource source = {0};
	Jsonb *inverse;

	conversion->id = *id;
	if (!read_row(id, conversion, &source, &inverse))
		return NULL;
	if (direction == INTEG_PUSH)
		source.mappings = convert_inverse(source.mappings, inverse, source.target_table != NULL);
	convert_compile(conversion, &source, direction, true);
	return conversion;
}

static void
watch_table(Oid table)
{
	for (int i = 0; i < ntables; i++)
		if (tables[i] == table)
			return;
	if (OidIsValid(table))
		tables[ntables++] = table;
}

static void
watch_tables(const IntegConversion *conversion)
{
	ListCell *cell;

	watch_table(conversion->target_relation);
	foreach (cell, conversion->plan->tables)
		watch_table(lfirst_oid(cell));
}

const IntegConversion *
integ_conversion_get(const pg_uuid_t *id, IntegDirection direction)
{
	CacheKey key;
	CacheEntry *entry;
	MemoryContext context, outer;
	IntegConversion *conversion;

	memset(&key, 0, sizeof(key));
	key.id = *id;
	key.direction = direction;
	prepare_cache();
	entry = hash_search(cache, &key, HASH_FIND, NULL);
	if (entry != NULL)
	{
		integ_pinned_hold(&entry->conversion->pinned);
		return entry->conversion;
	}
	/* Below the caller's context until it is complete: an error frees it. */
	context = AllocSetContextCreate(CurrentMemoryContext, "integ conversion", ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(context);
	conversion = load(id, direction);
	MemoryContextSwitchTo(outer);
	if (conversion == NULL)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	conversion->pinned.context = context;
	/* What came in meanwhile, or has more tables than are watched, makes it this caller's only. */
	if (convert_cache_generation() == cache_generation &&
		ntables + 1 + list_length(conversion->plan->tables) <= MAX_TABLES)
	{
		MemoryContextSetParent(context, CacheMemoryContext);
		integ_pinned_hold(&conversion->pinned);
		watch_tables(conversion);
		entry = hash_search(cache, &key, HASH_ENTER, NULL);
		entry->conversion = conversion;
	}
	return conversion;
}

/* --- by name --- */

static bool
find(const IntegActor *actor, const char *name, pg_uuid_t *id)
{
	/*
	 * $1 name, $2 client, $3 user, $4 superadmin, $5 administrator, $6 the name as an id. The caller's own before the
	 * client's before global.
	 */
	static IntegQuery query = {
		"SELECT c.id FROM integ.conversion_schemas c WHERE (c.schema_id = $1 OR c.id = $6) "
		"AND ($4 OR c.context_type = 'global' OR c.client_id = $2 AND (c.context_type = 'client' OR c.context_id = $3 OR $5)) "
		"ORDER BY c.schema_id = $1 DESC, c.client_id = $2 AND c.context_type = 'user' AND c.context_id = $3 DESC NULLS LAST, "
		"c.client_id = $2 AND c.context_type = 'client' DESC, c.context_type = 'global' DESC, c.id LIMIT 1",
		6,
		{TEXTOID, TEXTOID, TEXTOID, BOOLOID, BOOLOID, UUIDOID}};
	Datum values[6] = {CStringGetTextDatum(name), CStringGetTextDatum(actor->client),
					   actor->user == NULL ? (Datum) 0 : CStringGetTextDatum(actor->user),
					   BoolGetDatum(actor->level == INTEG_LEVEL_SUPERADMIN),
					   BoolGetDatum(actor->level >= INTEG_LEVEL_ADMIN)};
	char nulls[7] = "     n";
	IntegOwnerScope scope;
	bool found, isnull;

	if (actor->user == NULL)
		nulls[2] = 'n';
	if (convert_is_uuid(name, strlen(name)))
	{
		values[5] = DirectFunctionCall1(uuid_in, CStringGetDatum(name));
		nulls[5] = ' ';
	}
	integ_owner_enter(&scope);
	found = integ_query(&query, values, nulls) > 0;
	if (found)
		*id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	integ_owner_leave(&scope);
	return found;
}

const IntegConversion *
integ_conversion_resolve(const IntegActor *actor, const char *name, IntegDirection direction)
{
	const IntegConversion *conversion = NULL;
	pg_uuid_t id;

	if (find(actor, name, &id))
		conversion = integ_conversion_get(&id, direction);
	if (conversion == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no conversion schema \"%s\"", name),
						errdetail("Or it is another client's or user's."),
						errhint("Conversion schemas are the rows of integ.conversion_schemas.")));
	return conversion;
}

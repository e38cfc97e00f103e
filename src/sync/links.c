/*
 * Links: which external id is which local record or row, and what it looked like when it was last written.
 *
 * A page asks for its links once and writes them once. Links of what has not changed are not touched.
 */
#include "sync/engine.h"

#include "catalog/pg_type.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/array.h"
#include "utils/builtins.h"

static Datum
id_text(const SyncRecord *record)
{
	return PointerGetDatum(cstring_to_text_with_len(record->external_id, record->external_id_len));
}

static Datum
ids_of(SyncRecord **records, int count)
{
	Datum *ids = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		ids[i] = id_text(records[i]);
	return PointerGetDatum(construct_array(ids, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* instance, schema, entity: the first part of every link's key. */
static void
set_scope(const SyncSource *source, Datum *values)
{
	values[0] = UUIDPGetDatum(&source->instance);
	values[1] = UUIDPGetDatum(&source->schema);
	values[2] = CStringGetTextDatum(source->entity);
}

/* --- reading --- */

enum
{
	COLUMN_ID = 1,
	COLUMN_HASH,
	COLUMN_KEY,
	COLUMN_RECORD,
	COLUMN_MODIFIED,
	COLUMN_DELETED,
	COLUMN_TABLE
};

int
sync_compare_ids(const SyncRecord *a, const char *id, int len)
{
	int order = memcmp(a->external_id, id, Min(a->external_id_len, len));

	return order != 0 ? order : a->external_id_len - len;
}

static SyncRecord *
find(SyncPage *page, const char *id, int len)
{
	int low = 0, high = page->nsorted - 1;

	while (low <= high)
	{
		int middle = (low + high) / 2, order = sync_compare_ids(page->sorted[middle], id, len);

		if (order == 0)
			return page->sorted[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

static bool
has_hash(uint64 row, const SyncRecord *record)
{
	bool isnull;
	Datum hash = integ_result_datum(row, COLUMN_HASH, &isnull);
	struct varlena *bytes;

	if (isnull)
		return false;
	bytes = PG_DETOAST_DATUM_PACKED(hash);
	return VARSIZE_ANY_EXHDR(bytes) == SYNC_HASH_BYTES &&
		   memcmp(VARDATA_ANY(bytes), record->hash, SYNC_HASH_BYTES) == 0;
}

/* A link to another table than the schema's of now, or to one of the same name that has been dropped, says nothing. */
static bool
leads_here(const SyncPage *page, uint64 row)
{
	bool isnull;
	Datum table = integ_result_datum(row, COLUMN_TABLE, &isnull);

	return (isnull ? InvalidOid : DatumGetObjectId(table)) == page->engine->target->relation;
}

static void
read_link(SyncPage *page, uint64 row)
{
	bool isnull;
	text *id = DatumGetTextPP(integ_result_datum(row, COLUMN_ID, &isnull));
	SyncRecord *record = find(page, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	Datum value;

	if (record == NULL || !leads_here(page, row))
		return;
	record->linked = true;
	record->link_deleted = integ_result_bool(row, COLUMN_DELETED);
	value = integ_result_datum(row, COLUMN_MODIFIED, &isnull);
	record->link_has_modified = !isnull;
	record->link_modified = isnull ? 0 : DatumGetTimestampTz(value);
	record->same = !record->link_deleted && has_hash(row, record);
	/* Most records are as they were: nothing of those is copied. */
	if (record->same && record->fate == SYNC_WRITE)
		return;
	record->target_key = (const Jsonb *) integ_result_varlena(row, COLUMN_KEY, page->engine->page_context);
	value = integ_result_datum(row, COLUMN_RECORD, &isnull);
	record->has_record = !isnull;
	if (!isnull)
		record->record = *DatumGetUUIDP(value);
}

#define LINK_COLUMNS \
	"external_id, raw_hash, target_key, record, external_modified_at, deleted_at IS NOT NULL, target_table"
#define OF_SCOPE " FROM integ.record_links WHERE instance = $1 AND schema = $2 AND external_type = $3"

/*
 * To change links that are named by an array of ids: each is found by its whole key. Joined directly, they would be
 * looked for among all links of the task wherever nobody has analyzed the table yet, since both cost the same then.
 */
#define WHERE_NAMED                                                                                        \
	" CROSS JOIN LATERAL (SELECT k.ctid FROM integ.record_links k WHERE k.instance = $1 AND k.schema = $2" \
	" AND k.external_type = $3 AND k.external_id = u.id FOR NO KEY UPDATE) AS k WHERE l.ctid = k.ctid"

/* A row of links may hold so many more than the page has. */
#define ROW_FACTOR 2

/* Where it holds more, pages that are not tried. */
#define SCATTERED_PAGES 10

static void
read_links(SyncPage *page, uint64 count)
{
	for (uint64 row = 0; row < count; row++)
		read_link(page, row);
}

/*
 * Services mostly list records in the order in which they were made, and ids are made in an order: the links of a page
 * lie in a row, which costs a fraction of finding them one by one. False where there are too many others among them.
 */
static bool
read_row_of_links(SyncPage *page, Datum *values)
{
	static IntegQuery query = {
		"SELECT " LINK_COLUMNS OF_SCOPE " AND external_id BETWEEN $4 AND $5 ORDER BY external_id LIMIT $6",
		6,
		{UUIDOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, INT8OID}};
	uint64 limit = (uint64) page->nsorted * ROW_FACTOR + 1, count;

	values[3] = id_text(page->sorted[0]);
	values[4] = id_text(page->sorted[page->nsorted - 1]);
	values[5] = Int64GetDatum(limit);
	count = integ_query(&query, values, NULL);
	if (count == limit)
		return false;
	read_links(page, count);
	return true;
}

static void
find_links(SyncPage *page, Datum *values)
{
	static IntegQuery query = {"SELECT l.* FROM pg_catalog.unnest($4) AS u (id) CROSS JOIN LATERAL"
							   " (SELECT " LINK_COLUMNS OF_SCOPE " AND external_id = u.id LIMIT 1) AS l",
							   4,
							   {UUIDOID, UUIDOID, TEXTOID, TEXTARRAYOID}};

	values[3] = ids_of(page->sorted, page->nsorted);
	read_links(page, integ_query(&query, values, NULL));
}

void
sync_links_read(SyncPage *page)
{
	SyncEngine *engine = page->engine;
	IntegOwnerScope scope;
	Datum values[6];

	if (page->nsorted == 0)
		return;
	set_scope(engine->source, values);
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	if (engine->scattered > 0 || !read_row_of_links(page, values))
	{
		engine->scattered = engine->scattered > 0 ? engine->scattered - 1 : SCATTERED_PAGES;
		find_links(page, values);
	}
	integ_owner_leave(&scope);
}

/* --- writing --- */

typedef struct LinkArrays
{
	Datum *ids, *hashes, *keys, *records, *times, *external, *local;
	bool *no_keys, *no_records, *no_times, *no_external, *no_local;
} LinkArrays;

static void
make_arrays(LinkArrays *arrays, SyncRecord **records, int count)
{
	arrays->ids = palloc(7 * count * sizeof(Datum));
	arrays->hashes = arrays->ids + count;
	arrays->keys = arrays->hashes + count;
	arrays->records = arrays->keys + count;
	arrays->times = arrays->records + count;
	arrays->external = arrays->times + count;
	arrays->local = arrays->external + count;
	arrays->no_keys = palloc(5 * count * sizeof(bool));
	arrays->no_records = arrays->no_keys + count;
	arrays->no_times = arrays->no_records + count;
	arrays->no_external = arrays->no_times + count;
	arrays->no_local = arrays->no_external + count;
	for (int i = 0; i < count; i++)
	{
		bytea *hash = palloc(VARHDRSZ + SYNC_HASH_BYTES);

		SET_VARSIZE(hash, VARHDRSZ + SYNC_HASH_BYTES);
		memcpy(VARDATA(hash), records[i]->hash, SYNC_HASH_BYTES);
		arrays->ids[i] = id_text(records[i]);
		arrays->hashes[i] = PointerGetDatum(hash);
		arrays->no_keys[i] = records[i]->target_key == NULL;
		arrays->keys[i] = JsonbPGetDatum(records[i]->target_key);
		arrays->no_records[i] = !records[i]->has_record;
		arrays->records[i] = UUIDPGetDatum(&records[i]->record);
		arrays->no_times[i] = !records[i]->has_modified;
		arrays->times[i] = TimestampTzGetDatum(records[i]->modified);
		arrays->no_external[i] = records[i]->external_values == NULL;
		arrays->external[i] = JsonbPGetDatum(records[i]->external_values);
		arrays->no_local[i] = records[i]->local_values == NULL;
		arrays->local[i] = JsonbPGetDatum(records[i]->local_values);
	}
}

static Datum
array(Datum *values, bool *nulls, int count, Oid type, int len, bool byval, char align)
{
	int dims[1] = {count}, lower[1] = {1};

	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lower, type, len, byval, align));
}

static Datum
times_of(LinkArrays *arrays, int count)
{
	return array(arrays->times, arrays->no_times, count, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL,
				 TYPALIGN_DOUBLE);
}

#define LINK_UPDATE                                                                                           \
	" ON CONFLICT (instance, schema, external_type, external_id) DO UPDATE SET raw_hash = excluded.raw_hash," \
	" target_table = excluded.target_table, target_key = excluded.target_key, record = excluded.record,"      \
	" external_modified_at = excluded.external_modified_at, last_synced_at = pg_catalog.now(),"               \
	" seen_by = excluded.seen_by, sync_status = 'synced', error = NULL, deleted_at = NULL"

void
sync_links_write(SyncPage *page, SyncRecord **records, int count)
{
	static IntegQuery plain = {
		"INSERT INTO integ.record_links AS l (instance, schema, external_type, client_id, target_table, seen_by,"
		" external_id, raw_hash, target_key, record, external_modified_at)"
		" SELECT $1, $2, $3, $4, $5, $6, u.id, u.hash, u.key, u.record, u.modified FROM ROWS FROM"
		" (pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10),"
		"  pg_catalog.unnest($11)) AS u (id, hash, key, record, modified)" LINK_UPDATE,
		11,
		{UUIDOID, UUIDOID, TEXTOID, TEXTOID, REGCLASSOID, UUIDOID, TEXTARRAYOID, BYTEAARRAYOID, JSONBARRAYOID,
		 UUIDARRAYOID, TIMESTAMPTZARRAYOID}};
	/* A field whose value there is another than before was changed there when the record was, and here now. */
	static IntegQuery with_values = {
		"INSERT INTO integ.record_links AS l (instance, schema, external_type, client_id, target_table, seen_by,"
		" external_id, raw_hash, target_key, record, external_modified_at, external_values, local_values,"
		" local_modified_at)"
		" SELECT $1, $2, $3, $4, $5, $6, u.id, u.hash, u.key, u.record, u.modified, u.external, u.local,"
		" pg_catalog.now() FROM ROWS FROM"
		" (pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10),"
		"  pg_catalog.unnest($11), pg_catalog.unnest($12), pg_catalog.unnest($13))"
		" AS u (id, hash, key, record, modified, external, local)" LINK_UPDATE
		", external_values = excluded.external_values, local_values = excluded.local_values,"
		" local_modified_at = excluded.local_modified_at, field_times = nullif(coalesce(l.field_times, '{}') || ("
		"  SELECT coalesce(pg_catalog.jsonb_object_agg(e.key, pg_catalog.jsonb_strip_nulls("
		"   pg_catalog.jsonb_build_object('externalModifiedAt', excluded.external_modified_at,"
		"    'localModifiedAt', pg_catalog.now()))), '{}') FROM pg_catalog.jsonb_each(excluded.external_values) AS e"
		"  WHERE l.external_values IS NOT NULL AND e.value IS DISTINCT FROM l.external_values -> e.key), '{}')",
		13,
		{UUIDOID, UUIDOID, TEXTOID, TEXTOID, REGCLASSOID, UUIDOID, TEXTARRAYOID, BYTEAARRAYOID, JSONBARRAYOID,
		 UUIDARRAYOID, TIMESTAMPTZARRAYOID, JSONBARRAYOID, JSONBARRAYOID}};
	const SyncEngine *engine = page->engine;
	char nulls[] = "             ";
	LinkArrays arrays;
	IntegOwnerScope scope;
	Datum values[13];

	if (count == 0)
		return;
	make_arrays(&arrays, records, count);
	set_scope(engine->source, values);
	values[3] = CStringGetTextDatum(engine->run->client_id);
	values[4] = sync_target_datum(engine->target, &nulls[4]);
	values[5] = UUIDPGetDatum(&engine->run->id);
	values[6] = array(arrays.ids, NULL, count, TEXTOID, -1, false, TYPALIGN_INT);
	values[7] = array(arrays.hashes, NULL, count, BYTEAOID, -1, false, TYPALIGN_INT);
	values[8] = array(arrays.keys, arrays.no_keys, count, JSONBOID, -1, false, TYPALIGN_INT);
	values[9] = array(arrays.records, arrays.no_records, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
	values[10] = times_of(&arrays, count);
	if (engine->keeps_values)
	{
		values[11] = array(arrays.external, arrays.no_external, count, JSONBOID, -1, false, TYPALIGN_INT);
		values[12] = array(arrays.local, arrays.no_local, count, JSONBOID, -1, false, TYPALIGN_INT);
	}
	integ_owner_enter(&scope);
	(void) integ_query(engine->keeps_values ? &with_values : &plain, values, nulls);
	integ_owner_leave(&scope);
}

/* --- what failed --- */

/* The first reason, as in integ.sync_errors. */
static Datum
reason_of(const SyncRecord *record)
{
	return CStringGetTextDatum(((const SyncProblem *) linitial(record->problems))->reason);
}

void
sync_links_fail(SyncPage *page)
{
	/* Without the hash the record is tried again, also one that comes as it was before the one that failed. */
	static IntegQuery query = {
		"UPDATE integ.record_links l SET sync_status = 'error', error = u.reason, raw_hash = NULL"
		" FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5)) AS u (id, reason)" WHERE_NAMED
		" AND (l.sync_status <> 'error' OR l.error IS DISTINCT FROM u.reason)",
		5,
		{UUIDOID, UUIDOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID}};
	Datum *ids = palloc(Max(page->nsorted, 1) * sizeof(Datum));
	Datum *reasons = palloc(Max(page->nsorted, 1) * sizeof(Datum));
	IntegOwnerScope scope;
	Datum values[5];
	int count = 0;

	for (int i = 0; i < page->nsorted; i++)
	{
		const SyncRecord *record = page->sorted[i];

		if (record->fate != SYNC_FAILED || !record->linked)
			continue;
		ids[count] = id_text(record);
		reasons[count++] = reason_of(record);
	}
	if (count == 0)
		return;
	set_scope(page->engine->source, values);
	values[3] = PointerGetDatum(construct_array(ids, count, TEXTOID, -1, false, TYPALIGN_INT));
	values[4] = PointerGetDatum(construct_array(reasons, count, TEXTOID, -1, false, TYPALIGN_INT));
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	(void) integ_query(&query, values, NULL);
	integ_owner_leave(&scope);
}

/* --- what has gone --- */

void
sync_links_mark_shared(SyncPage *page, SyncRecord **records, int count)
{
	static IntegQuery query = {
		"SELECT u.n FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6)) WITH ORDINALITY"
		" AS u (id, key, record, n) WHERE EXISTS (SELECT FROM integ.record_links l WHERE"
		" (l.record = u.record OR l.target_table = $7 AND l.target_key = u.key) AND l.deleted_at IS NULL"
		" AND (l.instance, l.schema, l.external_type, l.external_id) <> ($1, $2, $3, u.id)"
		" AND NOT (l.instance = $1 AND l.schema = $2 AND l.external_type = $3 AND l.external_id = ANY ($4)))",
		7,
		{UUIDOID, UUIDOID, TEXTOID, TEXTARRAYOID, JSONBARRAYOID, UUIDARRAYOID, REGCLASSOID}};
	char nulls[] = "       ";
	LinkArrays arrays;
	IntegOwnerScope scope;
	Datum values[7];
	uint64 rows;

	if (count == 0)
		return;
	make_arrays(&arrays, records, count);
	set_scope(page->engine->source, values);
	values[3] = array(arrays.ids, NULL, count, TEXTOID, -1, false, TYPALIGN_INT);
	values[4] = array(arrays.keys, arrays.no_keys, count, JSONBOID, -1, false, TYPALIGN_INT);
	values[5] = array(arrays.records, arrays.no_records, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
	values[6] = sync_target_datum(page->engine->target, &nulls[6]);
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	rows = integ_query(&query, values, nulls);
	for (uint64 row = 0; row < rows; row++)
		records[integ_result_int8(row, 1) - 1]->shared = true;
	integ_owner_leave(&scope);
}

void
sync_links_remove(SyncPage *page, SyncRecord **records, int count)
{
	/* What is detached is nobody's any more; of what has gone, the link says since when, so that nothing older comes. */
	static IntegQuery forget = {"DELETE FROM integ.record_links WHERE instance = $1 AND schema = $2"
								" AND external_type = $3 AND external_id = ANY ($4)",
								4,
								{UUIDOID, UUIDOID, TEXTOID, TEXTARRAYOID}};
	static IntegQuery mark = {
		"UPDATE integ.record_links l SET deleted_at = pg_catalog.now(), last_synced_at = pg_catalog.now(), raw_hash = NULL,"
		" external_modified_at = coalesce(u.modified, l.external_modified_at)"
		" FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5)) AS u (id, modified)" WHERE_NAMED,
		5,
		{UUIDOID, UUIDOID, TEXTOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID}};
	bool detaches = strcmp(page->engine->target->conversion->removal, "detach") == 0;
	LinkArrays arrays;
	IntegOwnerScope scope;
	Datum values[5];

	if (count == 0)
		return;
	make_arrays(&arrays, records, count);
	set_scope(page->engine->source, values);
	values[3] = array(arrays.ids, NULL, count, TEXTOID, -1, false, TYPALIGN_INT);
	values[4] = times_of(&arrays, count);
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	(void) integ_query(detaches ? &forget : &mark, values, NULL);
	integ_owner_leave(&scope);
}

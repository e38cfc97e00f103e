/*
 * Relations of a page: remembered, and completed where what they lead to has come with it.
 */
#include "postgres.h"

#include "convert/relations.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "convert/relation_rows.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/array.h"
#include "utils/builtins.h"

struct IntegRelationPage
{
	const IntegConversion *conversion;
	const char *client;
	MemoryContext context;
	int count; /* of records or rows */
	int room;
	pg_uuid_t *records; /* of a record type */
	Jsonb **keys;		/* of a table */
	IntegJsonBuilder relations;
};

IntegRelationPage *
integ_relations_begin(const IntegConversion *conversion, const char *client)
{
	IntegRelationPage *page = palloc0(sizeof(IntegRelationPage));

	page->conversion = conversion;
	page->client = pstrdup(client);
	page->context = CurrentMemoryContext;
	integ_json_begin_object(&page->relations);
	integ_json_open_array(&page->relations, "relations");
	return page;
}

/* --- collecting --- */

static void
make_room(IntegRelationPage *page)
{
	if (page->count < page->room)
		return;
	page->room = Max(page->room * 2, 64);
	if (page->conversion->target_table != NULL)
		page->keys = page->keys == NULL ? palloc(page->room * sizeof(Jsonb *))
										: repalloc(page->keys, page->room * sizeof(Jsonb *));
	else
		page->records = page->records == NULL ? palloc(page->room * sizeof(pg_uuid_t))
											  : repalloc(page->records, page->room * sizeof(pg_uuid_t));
}

/* Adds where relations start: the id of a record, or the key of a row. */
static void
add_start(IntegJsonBuilder *builder, const IntegRelationPage *page, int index, const char *key)
{
	if (page->conversion->target_table != NULL)
		integ_json_add_jsonb(builder, key, page->keys[index]);
	else
		integ_json_add_string(builder, key, integ_uuid_text(&page->records[index]));
}

/* A foreign key that is found is in its column, and nothing of it is to be remembered. */
static bool
is_to_be_stored(const IntegRelationPage *page, const IntegRelationValue *relation)
{
	if (relation->key == NULL)
		return false;
	return page->conversion->target_table == NULL || relation->field == NULL || !relation->found;
}

static void
add_relation(IntegRelationPage *page, const IntegRelationValue *relation)
{
	IntegJsonBuilder *builder = &page->relations;

	integ_json_open_object(builder, NULL);
	add_start(builder, page, page->count, "start");
	integ_json_add_string(builder, "relation_type", relation->relation_type);
	integ_json_add_string(builder, "field", relation->field);
	integ_json_add_string(builder, "to_type", relation->target_type);
	/* By number, which regclass takes too: nobody's rights on its schema are asked for. */
	integ_json_add_string(builder, "to_table",
						  relation->target_type == NULL ? psprintf("%u", relation->target_relation) : NULL);
	if (relation->by_external_id)
		integ_json_add_string(builder, "to_external_id", relation->key);
	else
	{
		integ_json_add_string(builder, "to_field", relation->key_field);
		integ_json_add_string(builder, "to_value", relation->key);
	}
	integ_json_add_string(builder, "value_field", relation->value_field);
	if (relation->found && relation->target_type != NULL)
		integ_json_add_string(builder, "to_record", integ_uuid_text(&relation->record));
	else if (relation->found)
		integ_json_add(builder, "value", &relation->value);
	integ_json_close(builder);
}

void
integ_relations_add(IntegRelationPage *page, const IntegConverted *converted, const pg_uuid_t *record, const Jsonb *key)
{
	MemoryContext outer = MemoryContextSwitchTo(page->context);

	Assert((record == NULL) == (page->conversion->target_table != NULL));
	make_room(page);
	if (record != NULL)
		page->records[page->count] = *record;
	else
		page->keys[page->count] = memcpy(palloc(VARSIZE(key)), key, VARSIZE(key));
	for (int i = 0; i < converted->nrelations; i++)
		if (is_to_be_stored(page, &converted->relations[i]))
			add_relation(page, &converted->relations[i]);
	page->count++;
	MemoryContextSwitchTo(outer);
}

/* --- remembering --- */

static Datum
starts_of(const IntegRelationPage *page)
{
	IntegJsonBuilder builder;
	JsonbValue starts;

	integ_json_begin_object(&builder);
	integ_json_open_array(&builder, "starts");
	for (int i = 0; i < page->count; i++)
		add_start(&builder, page, i, NULL);
	integ_json_close(&builder);
	(void) integ_json_get(&integ_json_end(&builder)->root, "starts", &starts);
	return JsonbPGetDatum(integ_json_value_jsonb(&starts));
}

static void
store(IntegRelationPage *page)
{
	static IntegQuery query = {
		"SELECT integ.store_relations($1, $2, $3, $4, $5, $6)",
		6,
		{UUIDOID, TEXTOID, UUIDOID, REGCLASSOID, JSONBOID, JSONBOID}};
	const IntegConversion *conversion = page->conversion;
	char nulls[7] = "      ";
	JsonbValue relations;
	Datum values[6];
	IntegOwnerScope scope;

	integ_json_close(&page->relations);
	(void) integ_json_get(&integ_json_end(&page->relations)->root, "relations", &relations);
	values[0] = UUIDPGetDatum(&conversion->id);
	values[1] = CStringGetTextDatum(page->client);
	values[2] = UUIDPGetDatum(&conversion->instance);
	nulls[2] = conversion->has_instance ? ' ' : 'n';
	values[3] = ObjectIdGetDatum(conversion->target_relation);
	nulls[3] = OidIsValid(conversion->target_relation) ? ' ' : 'n';
	values[4] = starts_of(page);
	values[5] = JsonbPGetDatum(integ_json_value_jsonb(&relations));
	integ_owner_enter(&scope);
	(void) integ_query(&query, values, nulls);
	integ_owner_leave(&scope);
}

/* --- what waited for the page --- */

static bool
anything_waits(const char *client)
{
	static IntegQuery query = {"SELECT FROM integ.record_relations WHERE client_id = $1 "
							   "AND to_record IS NULL AND value IS NULL LIMIT 1",
							   1,
							   {TEXTOID}};
	Datum value = CStringGetTextDatum(client);
	IntegOwnerScope scope;
	bool found;

	integ_owner_enter(&scope);
	found = integ_query(&query, &value, NULL) > 0;
	integ_owner_leave(&scope);
	return found;
}

static uint64
link_records(const IntegRelationPage *page)
{
	static IntegQuery query = {"SELECT integ.link_relations($1)", 1, {UUIDARRAYOID}};
	Datum *ids = palloc(page->count * sizeof(Datum)), value;
	IntegOwnerScope scope;
	uint64 linked;

	for (int i = 0; i < page->count; i++)
		ids[i] = UUIDPGetDatum(&page->records[i]);
	value = PointerGetDatum(construct_array(ids, page->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	integ_owner_enter(&scope);
	(void) integ_query(&query, &value, NULL);
	linked = integ_result_int8(0, 1);
	integ_owner_leave(&scope);
	return linked;
}

/* The pairs of columns by which relations wait for rows of a table: what is looked up, and what is referred to. */
static int
awaited_columns(Oid table, char ***columns)
{
	static IntegQuery query = {
		"WITH RECURSIVE pair AS ("
		"(SELECT w.to_field, w.value_field FROM integ.record_relations w WHERE w.to_table = $1 AND w.to_record IS NULL "
		"AND w.value IS NULL AND w.to_field IS NOT NULL AND w.value_field IS NOT NULL "
		"ORDER BY w.to_field, w.value_field LIMIT 1) "
		"UNION ALL SELECT n.to_field, n.value_field FROM pair p, LATERAL ("
		"SELECT w.to_field, w.value_field FROM integ.record_relations w WHERE w.to_table = $1 AND w.to_record IS NULL "
		"AND w.value IS NULL AND w.to_field IS NOT NULL AND w.value_field IS NOT NULL "
		"AND (w.to_field, w.value_field) > (p.to_field, p.value_field) ORDER BY w.to_field, w.value_field LIMIT 1) n) "
		"SELECT to_field, value_field FROM pair",
		1,
		{REGCLASSOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum value = ObjectIdGetDatum(table);
	IntegOwnerScope scope;
	int count;

	integ_owner_enter(&scope);
	count = (int) integ_query(&query, &value, NULL);
	*columns = MemoryContextAlloc(context, Max(count, 1) * 2 * sizeof(char *));
	for (int i = 0; i < count; i++)
	{
		(*columns)[i * 2] = integ_result_text(i, 1, context);
		(*columns)[i * 2 + 1] = integ_result_text(i, 2, context);
	}
	integ_owner_leave(&scope);
	return count;
}

/* Rows that relations wait for by what a column holds: read with the rights of the page's owner. */
static uint64
link_by_columns(const IntegRelationPage *page)
{
	static IntegQuery query = {
		"SELECT integ.link_relations_by_field($1, $2, $3, $4, $5, $6)",
		6,
		{TEXTOID, REGCLASSOID, TEXTOID, TEXTOID, TEXTARRAYOID, JSONBARRAYOID}};
	const IntegConversion *conversion = page->conversion;
	char **columns;
	int count = awaited_columns(conversion->target_relation, &columns);
	uint64 linked = 0;

	for (int i = 0; i < count * 2; i += 2)
	{
		Datum values[6] = {CStringGetTextDatum(page->client), ObjectIdGetDatum(conversion->target_relation),
						   CStringGetTextDatum(columns[i]), CStringGetTextDatum(columns[i + 1])};
		IntegOwnerScope scope;

		if (!convert_rows_read(conversion->target_relation, page->keys, page->count, columns[i], columns[i + 1],
							   &values[4], &values[5]))
			continue;
		integ_owner_enter(&scope);
		(void) integ_query(&query, values, NULL);
		linked += integ_result_int8(0, 1);
		integ_owner_leave(&scope);
	}
	return linked;
}

static uint64
link_rows(const IntegRelationPage *page)
{
	static IntegQuery query = {"SELECT integ.link_relations($1, $2)", 2, {REGCLASSOID, JSONBARRAYOID}};
	Datum *keys = palloc(page->count * sizeof(Datum)), values[2];
	IntegOwnerScope scope;
	uint64 linked;

	for (int i = 0; i < page->count; i++)
		keys[i] = JsonbPGetDatum(page->keys[i]);
	values[0] = ObjectIdGetDatum(page->conversion->target_relation);
	values[1] = PointerGetDatum(construct_array(keys, page->count, JSONBOID, -1, false, TYPALIGN_INT));
	integ_owner_enter(&scope);
	(void) integ_query(&query, values, NULL);
	linked = integ_result_int8(0, 1);
	integ_owner_leave(&scope);
	return linked + link_by_columns(page);
}

uint64
integ_relations_finish(IntegRelationPage *page)
{
	MemoryContext outer;
	uint64 linked = 0;

	if (page->count == 0)
		return 0;
	outer = MemoryContextSwitchTo(page->context);
	if (page->conversion->plan->nrelations > 0)
		store(page);
	if (anything_waits(page->client))
		linked = page->conversion->target_table != NULL ? link_rows(page) : link_records(page);
	if (linked > 0)
		(void) integ_relations_fill(page->client);
	MemoryContextSwitchTo(outer);
	return linked;
}

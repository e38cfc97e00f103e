/*
 * One page in one transaction: what is new in it is converted, written, linked and counted.
 */
#include "sync/engine.h"

#include "common/hashfn.h"
#include "convert/relations.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/query.h"
#include "core/uuid.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

void
sync_record_fail(SyncPage *page, SyncRecord *record, const SyncProblem *problem)
{
	MemoryContext old = MemoryContextSwitchTo(page->engine->page_context);
	SyncProblem *copy = palloc(sizeof(SyncProblem));

	*copy = *problem;
	record->problems = lappend(record->problems, copy);
	record->fate = SYNC_FAILED;
	MemoryContextSwitchTo(old);
}

/* --- reading --- */

static uint64
hash_bytes_64(const void *bytes, Size len, uint64 seed)
{
	return DatumGetUInt64(hash_any_extended(bytes, (int) len, seed));
}

/*
 * Of what a record becomes: the version of the schema, and whether links keep values, which they learn when their
 * record is written.
 */
uint64
sync_seed(const SyncEngine *engine)
{
	return (uint64) engine->target->conversion->version * 2 + (engine->keeps_values ? 1 : 0);
}

/* The hash covers what else a record becomes depends on: that, and the task's config. */
static void
seed_hash(SyncPage *page)
{
	const Jsonb *config = page->engine->source->config;
	uint64 seed = sync_seed(page->engine);

	for (int i = 0; i < 2; i++)
		page->seeds[i] = hash_bytes_64(config, VARSIZE(config), seed * 2 + i);
}

static void
hash_record(const SyncPage *page, SyncRecord *record)
{
	for (int i = 0; i < 2; i++)
	{
		uint64 hash = hash_bytes_64(record->raw.val.binary.data, record->raw.val.binary.len, page->seeds[i]);

		memcpy(record->hash + i * sizeof(hash), &hash, sizeof(hash));
	}
}

/* Lists of what was deleted may be of ids alone, or call them otherwise. */
static bool
find_deleted_id(const SyncSource *source, SyncRecord *record)
{
	JsonbValue found = record->raw;

	if (integ_json_is_object(&record->raw) &&
		(source->id == NULL || !integ_path_find(source->id, &record->raw, &found)) &&
		!integ_json_get(record->raw.val.binary.data, "id", &found))
		return false;
	if (found.type == jbvNull || found.type == jbvBinary)
		return false;
	record->external_id = integ_json_value_text(&found);
	record->external_id_len = strlen(record->external_id);
	return record->external_id_len > 0 && record->external_id_len <= INTEG_CONVERT_MAX_ID;
}

static bool
find_id(SyncPage *page, SyncRecord *record)
{
	const SyncSource *source = page->engine->source;
	JsonbValue found;

	if (page->engine->removing && find_deleted_id(source, record))
		return true;
	if (integ_conversion_external_id(page->conversion, &record->raw, &record->external_id, &record->external_id_len))
		return true;
	if (source->id == NULL || integ_conversion_has_external_id(page->engine->target->conversion) ||
		!integ_path_find(source->id, &record->raw, &found) || found.type == jbvNull || found.type == jbvBinary)
		return false;
	record->external_id = integ_json_value_text(&found);
	record->external_id_len = strlen(record->external_id);
	return record->external_id_len > 0 && record->external_id_len <= INTEG_CONVERT_MAX_ID;
}

/* IsDeleted-like fields: true, or anything that says when. */
static bool
says_deleted(const SyncSource *source, const JsonbValue *record)
{
	JsonbValue found;

	if (source->deleted == NULL || !integ_path_find(source->deleted, record, &found))
		return false;
	switch (found.type)
	{
		case jbvBool:
			return found.val.boolean;
		case jbvString:
			return found.val.string.len > 0 &&
				   !(found.val.string.len == 5 && pg_strncasecmp(found.val.string.val, "false", 5) == 0);
		case jbvNumeric:
			return strcmp(integ_json_value_text(&found), "0") != 0;
		default:
			return found.type == jbvBinary;
	}
}

static void
read_record(SyncPage *page, SyncRecord *record)
{
	const SyncSource *source = page->engine->source;
	static const SyncProblem no_object = {.phase = INTEG_SYNC_TRANSFORMING, .reason = "the record is no object"};
	static const SyncProblem no_id = {
		.phase = INTEG_SYNC_TRANSFORMING,
		.reason = "the record has no external id, or one that is too long"};
	JsonbValue found;

	if (!integ_json_is_object(&record->raw) && !page->engine->removing)
	{
		sync_record_fail(page, record, &no_object);
		return;
	}
	if (source->modified != NULL && integ_json_is_object(&record->raw) &&
		integ_path_find(source->modified, &record->raw, &found))
		record->has_modified = integ_value_instant(&found, &record->modified);
	if (!find_id(page, record))
	{
		sync_record_fail(page, record, &no_id);
		return;
	}
	if (page->engine->removing || says_deleted(source, &record->raw))
		record->fate = SYNC_REMOVE;
	if (integ_json_is_object(&record->raw))
		hash_record(page, record);
}

static void
read_records(SyncPage *page)
{
	IntegJsonWalk walk;

	integ_json_walk_begin(&walk, &page->list->root);
	page->records = palloc0(Max(walk.count, 1) * sizeof(SyncRecord));
	page->sorted = palloc(Max(walk.count, 1) * sizeof(SyncRecord *));
	while (integ_json_walk_element(&walk, &page->records[page->nrecords].raw))
	{
		SyncRecord *record = &page->records[page->nrecords++];

		read_record(page, record);
		if (record->fate != SYNC_FAILED)
			page->sorted[page->nsorted++] = record;
	}
}

static int
compare_records(const void *a, const void *b)
{
	const SyncRecord *left = *(SyncRecord *const *) a, *right = *(SyncRecord *const *) b;
	int order = sync_compare_ids(left, right->external_id, right->external_id_len);

	if (order != 0)
		return order;
	/* The one that counts comes last: the newest, and of the same age the last of the page. */
	if (left->has_modified && right->has_modified && left->modified != right->modified)
		return left->modified < right->modified ? -1 : 1;
	return left < right ? -1 : 1;
}

/* Sorts by external id, and leaves out all but the newest of those that have the same. */
static void
sort_records(SyncPage *page)
{
	int kept = 0;

	qsort(page->sorted, page->nsorted, sizeof(SyncRecord *), compare_records);
	for (int i = 0; i < page->nsorted; i++)
	{
		SyncRecord *record = page->sorted[i];

		if (i + 1 < page->nsorted &&
			sync_compare_ids(record, page->sorted[i + 1]->external_id, page->sorted[i + 1]->external_id_len) == 0)
			record->fate = SYNC_SKIPPED;
		else
			page->sorted[kept++] = record;
	}
	page->nsorted = kept;
}

/* --- deciding --- */

static bool
is_older(const SyncRecord *record)
{
	return record->linked && record->has_modified && record->link_has_modified &&
		   record->modified < record->link_modified;
}

static void
decide(const SyncPage *page, SyncRecord *record)
{
	const IntegConversion *conversion = page->engine->target->conversion;
	bool live = record->linked && !record->link_deleted;

	if (record->fate == SYNC_REMOVE)
	{
		if (!live || !conversion->delete_if_removed || is_older(record))
			record->fate = SYNC_SKIPPED;
	}
	else if (record->same)
		record->fate = SYNC_UNCHANGED;
	else if (is_older(record) || (live && !conversion->update_if_exists))
		record->fate = SYNC_SKIPPED;
}

/* --- converting --- */

static void
take_values(SyncPage *page, SyncRecord *record, const IntegConverted *converted)
{
	const SyncTarget *target = page->engine->target;
	int count = target->ncolumns;

	record->values = palloc(count * (sizeof(Datum) + 2) + 1);
	record->states = (char *) (record->values + count);
	record->present = record->states + count;
	for (int i = 0; i < count; i++)
	{
		IntegFieldState state = converted->states[i];

		record->states[i] = (char) state;
		record->present[i] = state == INTEG_FIELD_VALUE || state == INTEG_FIELD_NULL;
		record->values[i] =
			state == INTEG_FIELD_VALUE ? integ_value_datum(target->columns[i].param, &converted->values[i]) : (Datum) 0;
	}
}

static void
fail_fields(SyncPage *page, SyncRecord *record, const IntegConverted *converted)
{
	for (int i = 0; i < converted->nerrors; i++)
	{
		const IntegFieldError *error = &converted->errors[i];
		SyncProblem problem = {.phase = INTEG_SYNC_TRANSFORMING,
							   .field = error->field[0] == '\0' ? NULL : error->field,
							   .reason = error->reason,
							   .recoverable = error->recoverable};

		sync_record_fail(page, record, &problem);
	}
}

static void
convert(SyncPage *page, SyncRecord *record)
{
	static const SyncProblem too_large = {.phase = INTEG_SYNC_TRANSFORMING, .reason = "the record becomes too large"};
	SyncTarget *target = page->engine->target;
	IntegConverted converted;

	integ_conversion_apply(page->conversion, &record->raw, &converted);
	if (converted.nerrors > 0)
		fail_fields(page, record, &converted);
	else if (converted.filtered)
		record->fate = SYNC_SKIPPED;
	else
	{
		record->nrelations = converted.nrelations;
		record->relations = converted.relations;
		if (OidIsValid(target->relation))
			take_values(page, record, &converted);
		else if ((record->document = integ_converted_jsonb(page->conversion, &converted)) == NULL)
			sync_record_fail(page, record, &too_large);
	}
}

/* --- writing --- */

static int
select_fate(SyncPage *page, SyncFate fate, SyncRecord **selected)
{
	int count = 0;

	for (int i = 0; i < page->nsorted; i++)
		if (page->sorted[i]->fate == fate)
			selected[count++] = page->sorted[i];
	return count;
}

static void
write_some(SyncPage *page, SyncRecord **records, int count)
{
	bool table = OidIsValid(page->engine->target->relation);
	SyncRecord **selected = palloc(Max(count, 1) * sizeof(SyncRecord *));
	int nselected = 0;

	if (page->engine->target->conversion->nmatch_fields > 0)
		(table ? sync_rows_match : sync_records_match)(page, records, count);
	for (int i = 0; i < count; i++)
		if (records[i]->fate == SYNC_WRITE)
			selected[nselected++] = records[i];
	(table ? sync_rows_write : sync_records_write)(page, selected, nselected);
}

/*
 * Records that are new may be one another's: those of the page whose match fields are the same are written one after
 * the other, so that the second finds the first. Records without links are few but in the first run.
 */
static void
write_records(SyncPage *page)
{
	SyncRecord **records = palloc(Max(page->nsorted, 1) * sizeof(SyncRecord *));
	SyncRecord **later = palloc(Max(page->nsorted, 1) * sizeof(SyncRecord *));
	int count = select_fate(page, SYNC_WRITE, records), nlater = 0;

	if (page->engine->target->conversion->nmatch_fields > 0)
		count = sync_match_split(page, records, count, later, &nlater);
	write_some(page, records, count);
	for (int i = 0; i < nlater; i++)
		write_some(page, &later[i], 1);
}

static void
remove_records(SyncPage *page)
{
	SyncRecord **records = palloc(Max(page->nsorted, 1) * sizeof(SyncRecord *));
	SyncTarget *target = page->engine->target;
	int count = select_fate(page, SYNC_REMOVE, records), kept = 0;

	if (count == 0)
		return;
	sync_links_mark_shared(page, records, count);
	if (strcmp(target->conversion->removal, "detach") != 0)
		(OidIsValid(target->relation) ? sync_rows_remove : sync_records_remove)(page, records, count);
	for (int i = 0; i < count; i++)
		if (records[i]->fate == SYNC_REMOVE)
		{
			records[i]->outcome = SYNC_DELETED;
			records[kept++] = records[i];
		}
	sync_links_remove(page, records, kept);
}

/* --- what follows --- */

static void
link_records(SyncPage *page)
{
	SyncRecord **records = palloc(Max(page->nsorted, 1) * sizeof(SyncRecord *));
	SyncTarget *target = page->engine->target;
	IntegRelationPage *relations = integ_relations_begin(target->conversion, page->engine->run->client_id);
	int count = 0, guc_level;

	for (int i = 0; i < page->nsorted; i++)
	{
		SyncRecord *record = page->sorted[i];
		IntegConverted converted = {.nrelations = record->nrelations, .relations = record->relations};

		if (record->fate != SYNC_WRITE || !record->stored)
			continue;
		integ_relations_add(relations, &converted, OidIsValid(target->relation) ? NULL : &record->record,
							record->target_key);
		records[count++] = record;
	}
	sync_values_note(page, records, count);
	sync_links_write(page, records, count);
	if (count == 0)
		return;
	guc_level = NewGUCNestLevel();
	integ_query_by_indexes();
	(void) integ_relations_finish(relations);
	AtEOXact_GUC(true, guc_level);
}

static void
report_problem(const SyncPage *page, const SyncRecord *record, const SyncProblem *problem)
{
	IntegSyncError error = {.phase = problem->phase,
							.external_type = page->engine->source->entity,
							.field = problem->field,
							.sqlerrcode = problem->sqlerrcode,
							.reason = problem->reason,
							.details = problem->details,
							.recoverable = problem->recoverable,
							.instance = &page->engine->source->instance,
							.raw_record = record->raw.type == jbvNull ? NULL : integ_json_value_jsonb(&record->raw)};

	if (record->external_id_len > 0)
		error.external_id = pnstrdup(record->external_id, record->external_id_len);
	if (record->has_record)
		error.record_id = integ_uuid_text(&record->record);
	else if (record->target_key != NULL)
		error.record_id = integ_json_print(record->target_key);
	integ_sync_error_add(page->engine->run, &error);
}

static bool
may_be_stored_later(const SyncRecord *record)
{
	ListCell *cell;

	foreach (cell, record->problems)
		if (((const SyncProblem *) lfirst(cell))->recoverable)
			return true;
	return false;
}

static void
move_mark(SyncEngine *engine, SyncMark *mark, const SyncRecord *record)
{
	MemoryContext old = MemoryContextSwitchTo(engine->context);
	JsonbValue found;

	mark->time = record->modified;
	(void) integ_path_find(engine->source->modified, &record->raw, &found);
	mark->text = integ_json_value_text(&found);
	MemoryContextSwitchTo(old);
}

/* Over what is stored or needs not be; never over what may be stored later. */
static void
move_marks(SyncPage *page)
{
	SyncEngine *engine = page->engine;
	const SyncRecord *newest = NULL, *held = NULL;

	for (int i = 0; i < page->nrecords; i++)
	{
		const SyncRecord *record = &page->records[i];

		if (!record->has_modified)
			continue;
		if (record->fate != SYNC_FAILED || !may_be_stored_later(record))
			newest = newest == NULL || record->modified > newest->modified ? record : newest;
		else
			held = held == NULL || record->modified < held->modified ? record : held;
	}
	if (newest != NULL && (engine->newest.text == NULL || newest->modified > engine->newest.time))
		move_mark(engine, &engine->newest, newest);
	if (held != NULL && (engine->held.text == NULL || held->modified < engine->held.time))
		move_mark(engine, &engine->held, held);
}

static void
count_record(IntegSyncCounters *counters, const SyncRecord *record)
{
	counters->processed++;
	if (record->fate == SYNC_FAILED)
		counters->failed++;
	else if (record->fate == SYNC_UNCHANGED)
		counters->unchanged++;
	else if (record->outcome == SYNC_CREATED)
		counters->created++;
	else if (record->outcome == SYNC_UPDATED)
		counters->updated++;
	else if (record->outcome == SYNC_DELETED)
		counters->deleted++;
	else
		counters->skipped++;
}

static void
report_problems(const SyncPage *page, const SyncRecord *record)
{
	ListCell *cell;

	foreach (cell, record->problems)
		report_problem(page, record, lfirst(cell));
}

static void
conclude(SyncPage *page)
{
	for (int i = 0; i < page->nrecords; i++)
	{
		count_record(&page->engine->run->counters, &page->records[i]);
		report_problems(page, &page->records[i]);
	}
	page->engine->run->counters.fetched += page->nrecords;
	move_marks(page);
}

SyncPage *
sync_page_begin(SyncEngine *engine, const Jsonb *list)
{
	SyncPage *page = palloc0(sizeof(SyncPage));

	page->engine = engine;
	page->list = list;
	page->conversion =
		integ_conversion_begin(engine->target->conversion, engine->source->config, engine->run->client_id);
	seed_hash(page);
	read_records(page);
	sort_records(page);
	sync_links_read(page);
	for (int i = 0; i < page->nsorted; i++)
	{
		decide(page, page->sorted[i]);
		if (page->sorted[i]->fate == SYNC_WRITE)
			convert(page, page->sorted[i]);
	}
	return page;
}

void
sync_page_store(SyncEngine *engine, const Jsonb *list)
{
	SyncPage *page = sync_page_begin(engine, list);

	if (engine->run->dry_run)
		sync_difference_note(page);
	else
	{
		write_records(page);
		remove_records(page);
		link_records(page);
		sync_links_fail(page);
	}
	sync_seen_add(page);
	conclude(page);
}

void
sync_page_forget(SyncEngine *engine, const Jsonb *list)
{
	SyncPage *page;

	engine->removing = true;
	page = sync_page_begin(engine, list);
	engine->removing = false;
	if (engine->run->dry_run)
		sync_difference_note(page);
	else
	{
		remove_records(page);
		sync_links_fail(page);
	}
	for (int i = 0; i < page->nrecords; i++)
	{
		engine->run->counters.deleted += page->records[i].outcome == SYNC_DELETED;
		engine->run->counters.failed += page->records[i].problems != NIL;
		report_problems(page, &page->records[i]);
	}
}

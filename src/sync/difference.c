/*
 * A dry run: what would be made, changed and removed, with the fields that would change. Nothing is written, so that
 * nothing of what constraints and triggers would say is known.
 */
#include "sync/engine.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "utils/memutils.h"

/* Records that are told one by one; all are counted. */
#define MOST_DIFFERENCES 1000

/* --- what would be --- */

static bool
same_value(const JsonbValue *a, const JsonbValue *b)
{
	return compareJsonbContainers((JsonbContainer *) &integ_json_value_jsonb(a)->root,
								  (JsonbContainer *) &integ_json_value_jsonb(b)->root) == 0;
}

/* {"name": {"from": …, "to": …}} of the fields that change; false where none does. */
static bool
add_changes(IntegJsonBuilder *builder, const Jsonb *row, const Jsonb *document)
{
	IntegJsonWalk walk;
	JsonbValue key, value, before;
	bool any = false;

	integ_json_open_object(builder, "fields");
	integ_json_walk_begin(&walk, &document->root);
	while (integ_json_walk_pair(&walk, &key, &value))
	{
		const char *name = pnstrdup(key.val.string.val, key.val.string.len);

		if (!integ_json_get(&row->root, name, &before))
			before.type = jbvNull;
		if (same_value(&before, &value))
			continue;
		any = true;
		integ_json_open_object(builder, name);
		integ_json_add(builder, "from", &before);
		integ_json_add(builder, "to", &value);
		integ_json_close(builder);
	}
	integ_json_close(builder);
	return any;
}

static void
keep(SyncEngine *engine, const Jsonb *difference)
{
	MemoryContext old = MemoryContextSwitchTo(engine->context);

	if (list_length(engine->differences) == MOST_DIFFERENCES)
		engine->more_differences = true;
	else
	{
		Jsonb *copy = memcpy(palloc(VARSIZE(difference)), difference, VARSIZE(difference));

		engine->differences = lappend(engine->differences, copy);
	}
	MemoryContextSwitchTo(old);
}

static void
begin_difference(IntegJsonBuilder *builder, const SyncRecord *record, const char *change)
{
	integ_json_begin_object(builder);
	integ_json_add_string(builder, "external_id", pnstrdup(record->external_id, record->external_id_len));
	integ_json_add_string(builder, "change", change);
}

static void
note_write(SyncPage *page, SyncRecord *record, const Jsonb *row)
{
	const IntegConversion *conversion = page->engine->target->conversion;
	const Jsonb *document = sync_values_written(page->engine->target, record);
	IntegJsonBuilder builder;

	if (row == NULL ? !conversion->create_if_missing : !conversion->update_if_exists)
		return;
	begin_difference(&builder, record, row == NULL ? "created" : "updated");
	if (row == NULL)
		integ_json_add_jsonb(&builder, "fields", document);
	else if (!add_changes(&builder, row, document))
	{
		record->fate = SYNC_UNCHANGED;
		return;
	}
	record->outcome = row == NULL ? SYNC_CREATED : SYNC_UPDATED;
	keep(page->engine, integ_json_end(&builder));
}

static void
note_removal(SyncPage *page, SyncRecord *record)
{
	IntegJsonBuilder builder;

	begin_difference(&builder, record, "deleted");
	record->outcome = SYNC_DELETED;
	keep(page->engine, integ_json_end(&builder));
}

void
sync_difference_note(SyncPage *page)
{
	SyncRecord **records = palloc(Max(page->nsorted, 1) * sizeof(SyncRecord *));
	const Jsonb **rows = palloc0(Max(page->nsorted, 1) * sizeof(Jsonb *));
	bool table = OidIsValid(page->engine->target->relation);
	int count = 0;

	for (int i = 0; i < page->nsorted; i++)
	{
		if (page->sorted[i]->fate == SYNC_WRITE)
			records[count++] = page->sorted[i];
		else if (page->sorted[i]->fate == SYNC_REMOVE)
			note_removal(page, page->sorted[i]);
	}
	if (count == 0)
		return;
	if (page->engine->target->conversion->nmatch_fields > 0)
		(table ? sync_rows_match : sync_records_match)(page, records, count);
	if (table)
		sync_rows_make_keys(page, records, count);
	sync_values_here(page, records, count, rows);
	for (int i = 0; i < count; i++)
		if (records[i]->fate == SYNC_WRITE)
			note_write(page, records[i], rows[i]);
}

const Jsonb *
sync_difference_document(const SyncEngine *engine)
{
	const IntegSyncCounters *counters = &engine->run->counters;
	IntegJsonBuilder builder;
	ListCell *cell;

	integ_json_begin_object(&builder);
	integ_json_add_int(&builder, "created", counters->created);
	integ_json_add_int(&builder, "updated", counters->updated);
	integ_json_add_int(&builder, "deleted", counters->deleted);
	integ_json_add_bool(&builder, "more", engine->more_differences);
	integ_json_open_array(&builder, "records");
	foreach (cell, engine->differences)
		integ_json_add_jsonb(&builder, NULL, lfirst(cell));
	integ_json_close(&builder);
	return integ_json_end(&builder);
}

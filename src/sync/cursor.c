/*
 * How far a source has been read.
 *
 * The mark moves only at the end of a list: until then, what is newer may still come on a later page. A run that is
 * interrupted keeps what it would move it to in the row's state.
 */
#include "sync/engine.h"
#include "sync/mark.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

static bytea *
fingerprint(const SyncEngine *engine)
{
	const SyncSource *source = engine->source;
	bytea *bytes = palloc(VARHDRSZ + sizeof(uint64));
	uint64 hash = DatumGetUInt64(hash_any_extended((const unsigned char *) source->config, VARSIZE(source->config),
												   sync_seed(engine)));

	hash = DatumGetUInt64(hash_any_extended((const unsigned char *) source->method, strlen(source->method), hash));
	SET_VARSIZE(bytes, VARHDRSZ + sizeof(uint64));
	memcpy(VARDATA(bytes), &hash, sizeof(hash));
	return bytes;
}

static void
set_key(const SyncEngine *engine, Datum *values)
{
	values[0] = UUIDPGetDatum(&engine->run->task);
	values[1] = CStringGetTextDatum(engine->source->entity);
	values[2] = Int32GetDatum(engine->source->position);
	values[3] = PointerGetDatum(fingerprint(engine));
}

/* --- reading --- */

static void
read_mark(SyncMark *mark, const Jsonb *state, const char *key)
{
	JsonbValue value;

	mark->text = NULL;
	if (!integ_json_get(&state->root, key, &value) || value.type != jbvString)
		return;
	mark->text = integ_json_value_text(&value);
	/* Digits are an epoch, whatever the service sent them as. */
	if (!integ_value_instant(&value, &mark->time))
		mark->text = NULL;
}

static void
read_row(SyncEngine *engine)
{
	SyncCursor *cursor = &engine->cursor;
	MemoryContext context = engine->context, old;
	const Jsonb *state = (const Jsonb *) integ_result_varlena(0, 6, context);
	bool isnull;
	Datum execution = integ_result_datum(0, 4, &isnull);
	const char *done;

	cursor->mark = integ_result_text(0, 1, context);
	cursor->page = (const Jsonb *) integ_result_varlena(0, 2, context);
	cursor->delta = integ_result_text(0, 3, context);
	cursor->has_execution = !isnull;
	if (!isnull)
		cursor->execution = *DatumGetUUIDP(execution);
	cursor->current = integ_result_bool(0, 5);
	old = MemoryContextSwitchTo(context);
	cursor->ended = cursor->page != NULL && integ_json_get_bool(&cursor->page->root, "end", false);
	cursor->full = integ_json_get_bool(&state->root, "full", true);
	cursor->cut = integ_json_get_bool(&state->root, "cut", false);
	cursor->parts = integ_json_get_bool(&state->root, "parts", false);
	cursor->seen = integ_json_get_int(&state->root, "seen", -1);
	done = integ_json_get_string(&state->root, "done");
	cursor->done = done != NULL && strcmp(done, integ_uuid_text(&engine->run->id)) == 0;
	read_mark(&engine->newest, state, "newest");
	read_mark(&engine->held, state, "held");
	MemoryContextSwitchTo(old);
}

void
sync_cursor_read(SyncEngine *engine)
{
	static IntegQuery query = {
		"SELECT high_water_mark, page_cursor, delta_token, execution,"
		" fingerprint IS NOT DISTINCT FROM $4 AND target_table IS NOT DISTINCT FROM $5, state"
		" FROM integ.sync_cursors WHERE task = $1 AND direction = 'pull' AND entity = $2 AND source = $3",
		5,
		{UUIDOID, TEXTOID, INT4OID, BYTEAOID, REGCLASSOID}};
	char nulls[] = "     ";
	IntegOwnerScope scope;
	Datum values[5];

	memset(&engine->cursor, 0, sizeof(engine->cursor));
	memset(&engine->newest, 0, sizeof(engine->newest));
	memset(&engine->held, 0, sizeof(engine->held));
	set_key(engine, values);
	values[4] = sync_target_datum(engine->target, &nulls[4]);
	integ_owner_enter(&scope);
	if (integ_query(&query, values, nulls) > 0)
		read_row(engine);
	integ_owner_leave(&scope);
}

/* --- writing --- */

static Jsonb *
state_of(const SyncEngine *engine, bool done, bool cut)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_bool(&builder, "full", engine->cursor.full);
	integ_json_add_known(&builder, "newest", engine->newest.text);
	integ_json_add_known(&builder, "held", engine->held.text);
	if (engine->sweeps && !done)
		integ_json_add_int(&builder, "seen", engine->cursor.seen);
	if (cut)
		integ_json_add_bool(&builder, "cut", true);
	if (cut || (engine->cursor.parts && !done))
		integ_json_add_bool(&builder, "parts", true);
	if (done)
		integ_json_add_string(&builder, "done", integ_uuid_text(&engine->run->id));
	return integ_json_end(&builder);
}

static const Jsonb *
page_of(const Jsonb *state, const char *delta)
{
	IntegJsonBuilder builder;

	if (state != NULL)
		return state;
	integ_json_begin_object(&builder);
	integ_json_add_bool(&builder, "end", true);
	integ_json_add_string(&builder, "delta", delta);
	return integ_json_end(&builder);
}

void
sync_cursor_save(SyncEngine *engine, const Jsonb *state, const char *delta)
{
	static IntegQuery query = {
		"INSERT INTO integ.sync_cursors AS c"
		" (task, direction, entity, source, fingerprint, page_cursor, execution, state, target_table)"
		" VALUES ($1, 'pull', $2, $3, $4, $5, $6, $7, $8)"
		" ON CONFLICT (task, direction, entity, source) DO UPDATE SET page_cursor = excluded.page_cursor,"
		" execution = excluded.execution, state = excluded.state, fingerprint = excluded.fingerprint,"
		" target_table = excluded.target_table, updated_at = pg_catalog.clock_timestamp()",
		8,
		{UUIDOID, TEXTOID, INT4OID, BYTEAOID, JSONBOID, UUIDOID, JSONBOID, REGCLASSOID}};
	char nulls[] = "        ";
	IntegOwnerScope scope;
	Datum values[8];

	set_key(engine, values);
	values[4] = JsonbPGetDatum(page_of(state, delta));
	values[5] = UUIDPGetDatum(&engine->cursor.execution);
	values[6] = JsonbPGetDatum(state_of(engine, false, false));
	values[7] = sync_target_datum(engine->target, &nulls[7]);
	integ_owner_enter(&scope);
	(void) integ_query(&query, values, nulls);
	integ_owner_leave(&scope);
}

/* What the mark moves to: never back, and not over what is held. */
static const char *
next_mark(const SyncEngine *engine)
{
	JsonbValue value = {.type = jbvString};
	TimestampTz before;
	const SyncMark *newest = &engine->newest, *held = &engine->held;
	bool holds = held->text != NULL && (newest->text == NULL || held->time < newest->time);
	const SyncMark *next = holds ? held : newest;

	if (engine->cursor.mark == NULL || next->text == NULL)
		return next->text != NULL ? next->text : engine->cursor.mark;
	value.val.string.val = unconstify(char *, engine->cursor.mark);
	value.val.string.len = strlen(engine->cursor.mark);
	if (integ_value_instant(&value, &before) && next->time < before && engine->cursor.current)
		return engine->cursor.mark;
	return next->text;
}

void
sync_cursor_finish(SyncEngine *engine, const char *delta, bool cut)
{
	static IntegQuery query = {
		"INSERT INTO integ.sync_cursors AS c"
		" (task, direction, entity, source, fingerprint, high_water_mark, delta_token, state, full_run_at, overlap,"
		"  target_table)"
		" VALUES ($1, 'pull', $2, $3, $4, $5, $6, $7, CASE WHEN $8 THEN pg_catalog.now() END,"
		"         pg_catalog.make_interval(secs => $9), $10)"
		" ON CONFLICT (task, direction, entity, source) DO UPDATE SET high_water_mark = excluded.high_water_mark,"
		" delta_token = excluded.delta_token, state = excluded.state, fingerprint = excluded.fingerprint,"
		" target_table = excluded.target_table, full_run_at = coalesce(excluded.full_run_at, c.full_run_at),"
		" overlap = excluded.overlap, page_cursor = NULL,"
		" execution = NULL, updated_at = pg_catalog.clock_timestamp()",
		10,
		{UUIDOID, TEXTOID, INT4OID, BYTEAOID, TEXTOID, TEXTOID, JSONBOID, BOOLOID, FLOAT8OID, REGCLASSOID}};
	static IntegQuery keep = {
		"UPDATE integ.sync_cursors SET state = $5, updated_at = pg_catalog.clock_timestamp()"
		" WHERE task = $1 AND direction = 'pull' AND entity = $2 AND source = $3 AND fingerprint = $4",
		5,
		{UUIDOID, TEXTOID, INT4OID, BYTEAOID, JSONBOID}};
	char nulls[] = "          ";
	IntegOwnerScope scope;
	Datum values[10];

	set_key(engine, values);
	if (cut)
		values[4] = JsonbPGetDatum(state_of(engine, true, true));
	else
	{
		values[4] = integ_value_text(next_mark(engine), &nulls[4]);
		values[5] = integ_value_text(delta, &nulls[5]);
		values[6] = JsonbPGetDatum(state_of(engine, true, false));
		values[7] = BoolGetDatum(engine->cursor.full);
		values[8] = Float8GetDatum(engine->source->options.overlap_ms / 1000.0);
		values[9] = sync_target_datum(engine->target, &nulls[9]);
	}
	integ_owner_enter(&scope);
	(void) integ_query(cut ? &keep : &query, values, nulls);
	integ_owner_leave(&scope);
}

void
sync_cursor_drop_page(SyncEngine *engine)
{
	static IntegQuery query = {
		"UPDATE integ.sync_cursors SET page_cursor = NULL, execution = NULL, state = $5,"
		" updated_at = pg_catalog.clock_timestamp()"
		" WHERE task = $1 AND direction = 'pull' AND entity = $2 AND source = $3 AND $4 IS NOT NULL",
		5,
		{UUIDOID, TEXTOID, INT4OID, BYTEAOID, JSONBOID}};
	IntegOwnerScope scope;
	Datum values[5];

	set_key(engine, values);
	values[4] = JsonbPGetDatum(state_of(engine, true, false));
	integ_owner_enter(&scope);
	(void) integ_query(&query, values, NULL);
	integ_owner_leave(&scope);
}

/* --- the mark as an input --- */

const char *
sync_cursor_since(const SyncEngine *engine)
{
	return integ_mark_before(engine->cursor.mark, engine->source->options.overlap_ms);
}

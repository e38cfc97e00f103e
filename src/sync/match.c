/*
 * Records of a page that may be the same: they have no link yet, and their match fields have the same values.
 */
#include "sync/engine.h"

#include "common/hashfn.h"
#include "core/json.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"

static int
field_of(const IntegConversion *conversion, const char *name)
{
	for (int i = 0; i < conversion->nfields; i++)
		if (strcmp(conversion->fields[i], name) == 0)
			return i;
	return -1;
}

/* Of a field's value; 0 where it has none, which is the same as nothing. */
static uint64
hash_field(const SyncTarget *target, const SyncRecord *record, const char *name)
{
	JsonbValue value;
	int16 len;
	bool byval;

	if (OidIsValid(target->relation))
	{
		int field = field_of(target->conversion, name);

		if (field < 0 || record->states[field] != INTEG_FIELD_VALUE)
			return 0;
		get_typlenbyval(target->columns[field].param, &len, &byval);
		return datum_image_hash(record->values[field], byval, len) + 1;
	}
	if (!integ_json_get(&record->document->root, name, &value) || value.type == jbvNull)
		return 0;
	if (value.type == jbvBinary)
		return hash_bytes((const unsigned char *) value.val.binary.data, value.val.binary.len) + UINT64CONST(1);
	else
	{
		uint64 hash = 0;

		JsonbHashScalarValueExtended(&value, &hash, 0);
		return hash | 1;
	}
}

/* False where a field has no value: then it matches nothing. */
static bool
hash_match(const SyncTarget *target, const SyncRecord *record, uint64 *hash)
{
	*hash = 0;
	for (int i = 0; i < target->conversion->nmatch_fields; i++)
	{
		uint64 field = hash_field(target, record, target->conversion->match_fields[i]);

		if (field == 0)
			return false;
		*hash = hash_combine64(*hash, field);
	}
	return true;
}

int
sync_match_split(SyncPage *page, SyncRecord **records, int count, SyncRecord **later, int *nlater)
{
	HASHCTL control = {.keysize = sizeof(uint64), .entrysize = sizeof(uint64), .hcxt = CurrentMemoryContext};
	HTAB *seen = hash_create("integ sync matches", Max(count, 16), &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	int kept = 0;

	for (int i = 0; i < count; i++)
	{
		bool found = false;
		uint64 hash;

		if (!records[i]->linked && hash_match(page->engine->target, records[i], &hash))
			(void) hash_search(seen, &hash, HASH_ENTER, &found);
		if (found)
			later[(*nlater)++] = records[i];
		else
			records[kept++] = records[i];
	}
	hash_destroy(seen);
	return kept;
}

/*
 * Lookups: values by key from a list of the schema, a user's table, records, links and rates.
 *
 * A run remembers what it found, up to a bound, so that a page asks once for each key.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "convert/scan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define MEMO_ENTRIES 10000
#define MEMO_KEY 120	/* bytes; longer keys are asked for each time */
#define MEMO_VALUE 4096 /* bytes; longer values too */
#define RATES (-1)

typedef struct MemoEntry
{
	struct
	{
		int32 lookup;
		char text[MEMO_KEY];
	} key;
	ConvertValue value;
} MemoEntry;

/* --- what a run remembers --- */

static Size
value_size(const ConvertValue *value)
{
	switch (value->json.type)
	{
		case jbvString:
			return value->json.val.string.len;
		case jbvNumeric:
			return VARSIZE_ANY(value->json.val.numeric);
		case jbvBinary:
			return value->json.val.binary.len;
		default:
			return 0;
	}
}

/* A value of its own in a context. */
static ConvertValue
copy_value(const ConvertValue *value, MemoryContext context)
{
	ConvertValue copy = *value;
	Size size = value->state == INTEG_FIELD_VALUE ? value_size(value) : 0;
	char *bytes;

	if (size == 0)
		return copy;
	bytes = MemoryContextAlloc(context, size);
	if (copy.json.type == jbvString)
	{
		memcpy(bytes, copy.json.val.string.val, size);
		copy.json.val.string.val = bytes;
	}
	else if (copy.json.type == jbvNumeric)
	{
		memcpy(bytes, copy.json.val.numeric, size);
		copy.json.val.numeric = (Numeric) bytes;
	}
	else
	{
		memcpy(bytes, copy.json.val.binary.data, size);
		copy.json.val.binary.data = (JsonbContainer *) bytes;
	}
	return copy;
}

static bool
memo_key(int lookup, const char *text, int len, MemoEntry *probe)
{
	if (len >= MEMO_KEY)
		return false;
	memset(&probe->key, 0, sizeof(probe->key));
	probe->key.lookup = lookup;
	memcpy(probe->key.text, text, len);
	return true;
}

static bool
recall(IntegConversionRun *run, int lookup, const char *text, int len, ConvertValue *value)
{
	MemoEntry probe, *entry;

	if (run->memo == NULL || !memo_key(lookup, text, len, &probe))
		return false;
	entry = hash_search(run->memo, &probe.key, HASH_FIND, NULL);
	if (entry == NULL)
		return false;
	/* The caller's, since what is remembered may be forgotten before the record is done. */
	*value = copy_value(&entry->value, CurrentMemoryContext);
	return true;
}

static void
remember(IntegConversionRun *run, int lookup, const char *text, int len, const ConvertValue *value)
{
	MemoEntry probe, *entry;

	if (!memo_key(lookup, text, len, &probe) || value_size(value) > MEMO_VALUE)
		return;
	if (run->memo != NULL && hash_get_num_entries(run->memo) >= MEMO_ENTRIES)
	{
		MemoryContextDelete(run->memo_context);
		run->memo = NULL;
	}
	if (run->memo == NULL)
	{
		HASHCTL control = {.keysize = sizeof(probe.key), .entrysize = sizeof(MemoEntry)};

		run->memo_context = AllocSetContextCreate(run->context, "integ conversion lookups", ALLOCSET_DEFAULT_SIZES);
		control.hcxt = run->memo_context;
		run->memo = hash_create("integ conversion lookups", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(run->memo, &probe.key, HASH_ENTER, NULL);
	entry->value = copy_value(value, run->memo_context);
}

/* --- the places to look --- */

/* Whether the text can be a key of the type at all: others are in no row. */
static bool
can_be_key(ConvertKeyType type, const char *text, int len)
{
	int64 min = type == CONVERT_KEY_INT2 ? PG_INT16_MIN : type == CONVERT_KEY_INT4 ? PG_INT32_MIN
																				   : PG_INT64_MIN;
	int64 max = type == CONVERT_KEY_INT2 ? PG_INT16_MAX : type == CONVERT_KEY_INT4 ? PG_INT32_MAX
																				   : PG_INT64_MAX;
	char *end, *copy;
	long long number;

	switch (type)
	{
		case CONVERT_KEY_TEXT:
			return true;
		case CONVERT_KEY_NUMERIC:
			return integ_scan_number(text, len, NULL, NULL);
		case CONVERT_KEY_UUID:
			return convert_is_uuid(text, len);
		default:
			copy = pnstrdup(text, Min(len, 40));
			errno = 0;
			number = strtoll(copy, &end, 10);
			return len > 0 && len < 40 && errno == 0 && *end == '\0' && !isspace((unsigned char) copy[0]) &&
				   number >= min && number <= max;
	}
}

/* A key as the column's type writes it, by which a row that arrives later is recognised. */
static const char *
by_type(const ConvertLookup *lookup, const char *text, int len)
{
	const char *copy = pnstrdup(text, len);

	if (lookup->key_type == CONVERT_KEY_TEXT || !can_be_key(lookup->key_type, text, len))
		return copy;
	if (lookup->key_type == CONVERT_KEY_UUID)
		return DatumGetCString(DirectFunctionCall1(uuid_out, DirectFunctionCall1(uuid_in, CStringGetDatum(copy))));
	return DatumGetCString(DirectFunctionCall1(
		numeric_out, DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(convert_number_of(text, len)))));
}

static bool
look_in_table(ConvertEval *eval, ConvertLookup *lookup, const char *text, int len, ConvertValue *value, bool *several)
{
	Datum key = PointerGetDatum(cstring_to_text_with_len(text, len));

	*several = false;
	return can_be_key(lookup->key_type, text, len) && convert_sql(eval, &lookup->sql, &key, NULL, value, several);
}

/* {field: key}, for a containment that an index serves. */
static Datum
containment(const char *field, const JsonbValue *key)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add(&builder, field, key);
	return JsonbPGetDatum(integ_json_end(&builder));
}

/* The value of a field of the record whose key field is the text, or the number that it is; its id for field NULL. */
static bool
look_in_records(ConvertEval *eval, const ConvertLookup *lookup, const char *text, int len, ConvertValue *value,
				bool *several)
{
	static IntegQuery query = {
		"SELECT CASE WHEN $5 IS NULL THEN pg_catalog.to_jsonb(r.id) ELSE r.data OPERATOR(pg_catalog.->) $5 END "
		"FROM integ.records r WHERE r.client_id = $1 AND r.type = $2 "
		"AND (r.data OPERATOR(pg_catalog.@>) $3 OR r.data OPERATOR(pg_catalog.@>) $4) "
		"AND (r.context_type <> 'user' OR r.context_id = $6) AND r.deleted_at IS NULL LIMIT 2",
		6,
		{TEXTOID, TEXTOID, JSONBOID, JSONBOID, TEXTOID, TEXTOID}};
	const char *user = eval->run->conversion->context_user;
	JsonbValue key = {.type = jbvString, .val.string = {len, (char *) text}};
	Datum values[6] = {CStringGetTextDatum(eval->run->client), CStringGetTextDatum(lookup->record_type),
					   containment(lookup->key_field, &key)};
	char nulls[7] = "   nnn";
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	struct varlena *document;
	bool found;

	if (integ_scan_json_number(text, len))
	{
		key = (JsonbValue){.type = jbvNumeric, .val.numeric = convert_number_of(text, len)};
		values[3] = containment(lookup->key_field, &key);
		nulls[3] = ' ';
	}
	if (lookup->value_field != NULL)
	{
		values[4] = CStringGetTextDatum(lookup->value_field);
		nulls[4] = ' ';
	}
	if (user != NULL)
	{
		values[5] = CStringGetTextDatum(user);
		nulls[5] = ' ';
	}
	integ_owner_enter(&scope);
	found = integ_query(&query, values, nulls) > 0;
	*several = SPI_processed > 1;
	document = found ? integ_result_varlena(0, 1, context) : NULL;
	integ_owner_leave(&scope);
	if (document != NULL)
		convert_set_document(value, (Jsonb *) document);
	else if (found)
		convert_set_null(value);
	return found;
}

/* By key in a table or in records. False where nothing is found, and where it failed. */
static bool
look_up(ConvertEval *eval, const ConvertLookup *lookup, const char *text, int len, ConvertValue *value)
{
	ConvertValue found;
	bool several;

	if (recall(eval->run, lookup->number, text, len, value))
		return true;
	if (lookup->table != NULL ? !look_in_table(eval, (ConvertLookup *) lookup, text, len, value, &several)
							  : !look_in_records(eval, lookup, text, len, value, &several))
		return false;
	if (several)
	{
		found = *value;
		convert_set_text(&found, text, len);
		convert_fail(eval, value, false, "several rows of %s have %s as \"%s\"",
					 lookup->table != NULL ? lookup->table : lookup->record_type, convert_quote(&found),
					 lookup->key_field);
		return false;
	}
	remember(eval->run, lookup->number, text, len, value);
	return true;
}

/* The key as text; false where there is none, or failed. */
static bool
take_key(ConvertEval *eval, const char *source, ConvertValue *value)
{
	if (value->state != INTEG_FIELD_VALUE)
		return false; /* missing, null, or failed already */
	if (value->json.type == jbvBinary)
	{
		convert_fail(eval, value, false, "\"%s\" is %s, which is no key", source, convert_quote(value));
		return false;
	}
	convert_to_text(value);
	return true;
}

static bool
look_in_list(const JsonbContainer *list, const char *text, int len, ConvertValue *value)
{
	JsonbValue found;

	if (getKeyJsonValueFromContainer((JsonbContainer *) list, text, len, &found) == NULL)
		return false;
	value->json = found;
	value->state = found.type == jbvNull ? INTEG_FIELD_NULL : INTEG_FIELD_VALUE;
	return true;
}

void
convert_lookup(ConvertEval *eval, const ConvertField *field, ConvertValue *value)
{
	const ConvertLookup *lookup = field->lookup;
	ConvertValue key;
	bool found;

	if (!take_key(eval, field->path.source, value))
		return;
	key = *value;
	if (lookup->values != NULL)
		found = look_in_list(lookup->values, key.json.val.string.val, key.json.val.string.len, value);
	else
		found = look_up(eval, lookup, key.json.val.string.val, key.json.val.string.len, value);
	if (found || value->state == INTEG_FIELD_FAILED)
		return;
	if (field->constant >= 0)
		*value = eval->run->operands[field->constant].value;
	else if (lookup->values != NULL)
		convert_fail(eval, value, false, "the lookup has no value for %s", convert_quote(&key));
	else
		convert_fail(eval, value, true, "no row of %s has %s as \"%s\"",
					 lookup->table != NULL ? lookup->table : lookup->record_type, convert_quote(&key),
					 lookup->key_field);
}

/* --- relations --- */

/* The one key of a row, or that of a name. */
static bool
row_key(const Jsonb *key, const char *name, ConvertValue *value)
{
	JsonbValue found;
	IntegJsonWalk walk;
	JsonbValue ignored;

	if (name != NULL)
	{
		if (!integ_json_get(&key->root, name, &found))
			return false;
	}
	else
	{
		integ_json_walk_begin(&walk, &key->root);
		if (walk.count != 1 || !integ_json_walk_pair(&walk, &ignored, &found))
			return false;
	}
	value->json = found;
	value->state = INTEG_FIELD_VALUE;
	return true;
}

/* The local side of an external id: the id of a record, or the key of a table's row. */
static bool
look_in_links(ConvertEval *eval, const ConvertRelation *relation, const char *text, int len, ConvertValue *value)
{
	static IntegQuery query = {
		"SELECT DISTINCT CASE WHEN $3 IS NULL THEN l.target_key ELSE pg_catalog.to_jsonb(l.record) END "
		"FROM integ.record_links l LEFT JOIN integ.records r ON r.id = l.record "
		"WHERE l.external_id = $2 AND l.client_id = $1 AND ($5 IS NULL OR l.instance = $5) AND l.deleted_at IS NULL "
		"AND (r.type = $3 AND r.deleted_at IS NULL OR l.target_table = $4) LIMIT 2",
		5,
		{TEXTOID, TEXTOID, TEXTOID, REGCLASSOID, UUIDOID}};
	const IntegConversion *conversion = eval->run->conversion;
	Datum values[5] = {CStringGetTextDatum(eval->run->client), PointerGetDatum(cstring_to_text_with_len(text, len))};
	char nulls[6] = "  nnn";
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	Jsonb *document = NULL;
	uint64 count;

	values[2] = integ_value_text(relation->record_type, &nulls[2]);
	values[3] = ObjectIdGetDatum(relation->lookup.relation);
	nulls[3] = relation->record_type == NULL ? ' ' : 'n';
	if (conversion->has_instance)
	{
		values[4] = UUIDPGetDatum(&conversion->instance);
		nulls[4] = ' ';
	}
	integ_owner_enter(&scope);
	count = integ_query(&query, values, nulls);
	if (count == 1)
		document = (Jsonb *) integ_result_varlena(0, 1, context);
	integ_owner_leave(&scope);
	if (count > 1)
		convert_fail(eval, value, false, "the external id \"%.*s\" means several rows", len, text);
	if (document == NULL)
		return false;
	if (relation->record_type != NULL)
	{
		convert_set_document(value, document);
		return true;
	}
	return row_key(document, relation->lookup.value_field, value);
}

void
convert_relate(ConvertEval *eval, const ConvertRelation *relation, IntegRelationValue *found, ConvertValue *value)
{
	ConvertValue key;
	const char *text;
	int len;

	convert_read(eval, &relation->path, eval->record, value);
	convert_trace_read(eval->trace, relation->path.source, value);
	if (!take_key(eval, relation->path.source, value))
		return;
	key = *value;
	text = key.json.val.string.val;
	len = key.json.val.string.len;
	if (len == 0)
	{
		convert_set_null(value);
		return;
	}
	if (len > INTEG_CONVERT_MAX_ID)
	{
		convert_fail(eval, value, false, "what the relation names is longer than %d bytes", INTEG_CONVERT_MAX_ID);
		return;
	}
	found->key = by_type(&relation->lookup, text, len);
	value->state = INTEG_FIELD_MISSING;
	if (!relation->by_external_id)
		found->found = look_up(eval, &relation->lookup, text, len, value);
	else if (recall(eval->run, relation->lookup.number, text, len, value))
		found->found = true;
	else if (look_in_links(eval, relation, text, len, value))
	{
		remember(eval->run, relation->lookup.number, text, len, value);
		found->found = true;
	}
	if (!found->found && value->state != INTEG_FIELD_FAILED)
		value->state = INTEG_FIELD_MISSING;
	if (found->found && relation->record_type != NULL)
		found->record = *DatumGetUUIDP(DirectFunctionCall1(
			uuid_in, CStringGetDatum(pnstrdup(value->json.val.string.val, value->json.val.string.len))));
}

/* --- rates --- */

static bool
query_rate(const char *client, const char *from, const char *to, DateADT date, ConvertValue *value)
{
	/* The client's own before the global ones, of those the newest, directly before turned around. */
	static IntegQuery query = {
		"SELECT rate FROM ("
		"(SELECT r.rate, r.date, r.client_id, false AS turned FROM integ.currency_rates r "
		"WHERE r.client_id = $1 AND r.from_currency = $2 AND r.to_currency = $3 AND r.date <= $4 "
		"ORDER BY r.date DESC LIMIT 1) "
		"UNION ALL (SELECT 1 / r.rate, r.date, r.client_id, true FROM integ.currency_rates r "
		"WHERE r.client_id = $1 AND r.from_currency = $3 AND r.to_currency = $2 AND r.date <= $4 "
		"ORDER BY r.date DESC LIMIT 1) "
		"UNION ALL (SELECT r.rate, r.date, r.client_id, false FROM integ.currency_rates r "
		"WHERE r.client_id = '*' AND r.from_currency = $2 AND r.to_currency = $3 AND r.date <= $4 "
		"ORDER BY r.date DESC LIMIT 1) "
		"UNION ALL (SELECT 1 / r.rate, r.date, r.client_id, true FROM integ.currency_rates r "
		"WHERE r.client_id = '*' AND r.from_currency = $3 AND r.to_currency = $2 AND r.date <= $4 "
		"ORDER BY r.date DESC LIMIT 1)"
		") found ORDER BY client_id = '*', date DESC, turned LIMIT 1",
		4,
		{TEXTOID, TEXTOID, TEXTOID, DATEOID}};
	Datum values[4] = {CStringGetTextDatum(client), CStringGetTextDatum(from), CStringGetTextDatum(to),
					   DateADTGetDatum(date)};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	Numeric rate = NULL;

	integ_owner_enter(&scope);
	if (integ_query(&query, values, NULL) > 0)
		rate = (Numeric) integ_result_varlena(0, 1, context);
	integ_owner_leave(&scope);
	if (rate != NULL)
		convert_set_number(value, rate);
	return rate != NULL;
}

bool
convert_rate(ConvertEval *eval, const char *from, const char *to, DateADT date, Numeric *rate)
{
	char *key = psprintf("%s %s %d", from, to, date);
	ConvertValue value;

	if (!recall(eval->run, RATES, key, strlen(key), &value))
	{
		if (!query_rate(eval->run->client, from, to, date, &value))
			return false;
		remember(eval->run, RATES, key, strlen(key), &value);
	}
	*rate = value.json.val.numeric;
	return true;
}

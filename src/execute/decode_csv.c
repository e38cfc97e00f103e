/*
 * CSV: rows become objects by the names in the first one.
 *
 * As in PostgreSQL's own COPY an empty value is null and a quoted empty one an empty string. All others are
 * strings: CSV knows no types.
 */
#include "execute/decode.h"

#include "core/json.h"
#include "http/csv.h"
#include "mb/pg_wchar.h"

/* Far beyond any table, far below what jsonb takes. */
#define MAX_COLUMNS 10000

/* Where the values stand that no column has, if the manifest lets them. */
#define REST "_rest"

typedef struct Reader
{
	IntegCall *call;
	IntegCsv csv;
	char **names;
	int nnames;
	bool keep_uneven;
	JsonbParseState *state;
} Reader;

static bool
refuse(Reader *reader, char *detail)
{
	integ_decode_refuse(reader->call, "is not the CSV that it should be", detail);
	return false;
}

static bool
refuse_token(Reader *reader, IntegCsvToken token)
{
	return refuse(reader, psprintf(token == INTEG_CSV_UNCLOSED ? "A quoted value of row %lld does not end."
															   : "Something follows a closing quote in row %lld.",
								   reader->csv.row));
}

static bool
has_name(const Reader *reader, const char *name)
{
	for (int i = 0; i < reader->nnames; i++)
		if (strcmp(reader->names[i], name) == 0)
			return true;
	return false;
}

static bool
add_name(Reader *reader, const char *value, size_t len)
{
	char *name = len > 0 ? pnstrdup(value, len) : psprintf("column%d", reader->nnames + 1);

	if (reader->nnames == MAX_COLUMNS)
		return refuse(reader, psprintf("It has more than %d columns.", MAX_COLUMNS));
	if (has_name(reader, name))
		return refuse(reader, psprintf("Two columns have the name \"%s\".", name));
	if (reader->nnames % 64 == 0)
		reader->names = reader->names == NULL ? palloc(64 * sizeof(char *))
											  : repalloc(reader->names, (reader->nnames + 64) * sizeof(char *));
	reader->names[reader->nnames++] = name;
	return true;
}

/* The names of the columns: the manifest's, else the first row's. */
static bool
read_names(Reader *reader, const JsonbContainer *options)
{
	const JsonbContainer *columns = integ_json_get_array(options, "columns");
	IntegCsvToken token = INTEG_CSV_VALUE;

	for (uint32 i = 0; columns != NULL && i < JsonContainerSize(columns); i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer((JsonbContainer *) columns, i);

		if (!add_name(reader, name->val.string.val, name->val.string.len))
			return false;
	}
	while (columns == NULL && token == INTEG_CSV_VALUE)
	{
		const char *value;
		size_t len;
		bool quoted;

		token = integ_csv_next(&reader->csv, &value, &len, &quoted);
		if (token == INTEG_CSV_END)
			return true;
		if (token > INTEG_CSV_END)
			return refuse_token(reader, token);
		if (!add_name(reader, value, len))
			return false;
	}
	return true;
}

static void
push_key(Reader *reader, const char *name)
{
	JsonbValue key = {.type = jbvString};

	key.val.string.val = (char *) name;
	key.val.string.len = strlen(name);
	pushJsonbValue(&reader->state, WJB_KEY, &key);
}

static void
push_value(Reader *reader, JsonbIteratorToken where, const char *value, size_t len, bool quoted)
{
	JsonbValue json = {.type = len > 0 || quoted ? jbvString : jbvNull};

	if (json.type == jbvString)
	{
		json.val.string.val = pnstrdup(value, len);
		json.val.string.len = len;
	}
	pushJsonbValue(&reader->state, where, &json);
}

/* A row has fewer or more values than there are columns. */
static bool
refuse_uneven(Reader *reader, int count)
{
	return refuse(reader, psprintf("Row %lld has %s%d values, and there are %d columns.", reader->csv.row,
								   count > reader->nnames ? "at least " : "", count, reader->nnames));
}

/* The row whose first value was read; false where it is malformed. */
static bool
read_row(Reader *reader, IntegCsvToken token, const char *value, size_t len, bool quoted)
{
	int column = 0;

	pushJsonbValue(&reader->state, WJB_BEGIN_OBJECT, NULL);
	for (;; column++)
	{
		if (token > INTEG_CSV_END)
			return refuse_token(reader, token);
		if (column >= reader->nnames && !reader->keep_uneven)
			return refuse_uneven(reader, column + 1);
		if (column < reader->nnames)
			push_key(reader, reader->names[column]);
		else if (column == reader->nnames)
		{
			push_key(reader, REST);
			pushJsonbValue(&reader->state, WJB_BEGIN_ARRAY, NULL);
		}
		push_value(reader, column < reader->nnames ? WJB_VALUE : WJB_ELEM, value, len, quoted);
		if (token == INTEG_CSV_LAST)
			break;
		token = integ_csv_next(&reader->csv, &value, &len, &quoted);
	}
	if (column >= reader->nnames)
		pushJsonbValue(&reader->state, WJB_END_ARRAY, NULL);
	if (column + 1 < reader->nnames && !reader->keep_uneven)
		return refuse_uneven(reader, column + 1);
	pushJsonbValue(&reader->state, WJB_END_OBJECT, NULL);
	return true;
}

void
integ_decode_csv(IntegCall *call, const char *text, size_t len)
{
	const JsonbContainer *options = call->exchange->csv;
	char *delimiter = integ_json_get_string(options, "delimiter"), *uneven = integ_json_get_string(options, "uneven");
	Reader reader = {.call = call, .keep_uneven = uneven != NULL && strcmp(uneven, "keep") == 0};

	integ_csv_begin(&reader.csv, text, len, delimiter != NULL ? delimiter[0] : ',', palloc(len + 1));
	if (!read_names(&reader, options))
		return;
	pushJsonbValue(&reader.state, WJB_BEGIN_ARRAY, NULL);
	for (;;)
	{
		const char *value;
		size_t value_len;
		bool quoted;
		IntegCsvToken token = integ_csv_next(&reader.csv, &value, &value_len, &quoted);

		if (token == INTEG_CSV_END)
			break;
		if (!read_row(&reader, token, value, value_len, quoted))
			return;
	}
	call->body = JsonbValueToJsonb(pushJsonbValue(&reader.state, WJB_END_ARRAY, NULL));
}

/*
 * Reading a record: paths, texts made of fields, and the schema's own values with what they take of the task.
 */
#include "convert/plan.h"
#include "convert/scan.h"
#include "core/json.h"
#include "core/json_walk.h"

static void
set_read(ConvertValue *value)
{
	value->state = value->json.type == jbvNull ? INTEG_FIELD_NULL : INTEG_FIELD_VALUE;
}

/* As getJsonbOffset and getJsonbLength, within this loop. */
static inline uint32
entry_offset(const JsonbContainer *container, uint32 index)
{
	uint32 offset = 0;

	while (index-- > 0)
	{
		offset += JBE_OFFLENFLD(container->children[index]);
		if (JBE_HAS_OFF(container->children[index]))
			break;
	}
	return offset;
}

static inline uint32
entry_length(const JsonbContainer *container, uint32 index, uint32 offset)
{
	JEntry entry = container->children[index];

	return JBE_HAS_OFF(entry) ? JBE_OFFLENFLD(entry) - offset : JBE_OFFLENFLD(entry);
}

/* The value of a key: a binary search that begins where the key was in the record before. */
static bool
find_key(const JsonbContainer *object, ConvertPathStep *step, JsonbValue *value)
{
	uint32 count = JsonContainerSize(object), low = 0, high = count;
	uint32 at = step->hint < count ? step->hint : count / 2;
	const char *data = (const char *) &object->children[2 * count];

	while (low < high)
	{
		uint32 offset = entry_offset(object, at);
		int order = integ_json_key_compare(data + offset, entry_length(object, at, offset), step->key, step->len);

		if (order == 0)
		{
			offset = entry_offset(object, at + count);
			integ_json_walk_entry(object, data, at + count, &offset, value);
			step->hint = at;
			return true;
		}
		if (order < 0)
			low = at + 1;
		else
			high = at;
		at = low + (high - low) / 2;
	}
	return false;
}

/* One step. Missing where there is no such place; null stays null, whatever is asked of it. */
static void
step_into(ConvertPathStep *step, ConvertValue *value)
{
	const JsonbContainer *container = value->json.val.binary.data;

	if (value->state != INTEG_FIELD_VALUE)
		return;
	value->state = INTEG_FIELD_MISSING;
	if (value->json.type != jbvBinary)
		return;
	if (step->key != NULL)
	{
		if (!JsonContainerIsObject(container) || !find_key(container, step, &value->json))
			return;
	}
	else
	{
		int64 size = JsonContainerSize(container), index = step->index < 0 ? size + step->index : step->index;

		if (!JsonContainerIsArray(container) || index < 0 || index >= size)
			return;
		integ_json_walk_at(container, index, &value->json);
	}
	set_read(value);
}

/* A jsonpath is silent about structure, yet raises where it compares what needs a time zone. */
static void
read_jsonpath(ConvertEval *eval, const ConvertPath *path, ConvertValue *value)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData *volatile error = NULL;
	volatile bool found = false;
	JsonbValue result;

	PG_TRY();
	{
		found = integ_path_find(path->jsonpath, &value->json, &result);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_FEATURE_NOT_SUPPORTED)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	if (error != NULL)
		convert_fail(eval, value, false, "\"%s\" cannot be evaluated: %s", path->source, error->message);
	else if (!found)
		value->state = INTEG_FIELD_MISSING;
	else
	{
		value->json = result;
		set_read(value);
	}
}

void
convert_read(ConvertEval *eval, const ConvertPath *path, const JsonbValue *from, ConvertValue *value)
{
	value->json = *from;
	set_read(value);
	for (int i = 0; i < path->nsteps; i++)
		step_into(&path->steps[i], value);
	if (unlikely(path->jsonpath != NULL) && value->state == INTEG_FIELD_VALUE)
		read_jsonpath(eval, path, value);
}

/* --- texts --- */

/* What a text is made of so far. */
typedef struct Composer
{
	StringInfoData out;
	bool gap;  /* the last placeholder was empty */
	int nulls; /* placeholders by what was found */
	int missing;
	int present;
} Composer;

static void
add_literal(Composer *composer, const char *text, int len)
{
	/* White space beside a placeholder that was empty is closed up. */
	if (composer->gap && (composer->out.len == 0 || composer->out.data[composer->out.len - 1] == ' '))
		while (len > 0 && text[0] == ' ')
			text++, len--;
	composer->gap = false;
	appendBinaryStringInfo(&composer->out, text, len);
}

static void
add_value(Composer *composer, ConvertValue *value)
{
	if (value->state == INTEG_FIELD_VALUE)
		convert_to_text(value);
	composer->missing += value->state == INTEG_FIELD_MISSING;
	composer->nulls += value->state == INTEG_FIELD_NULL;
	composer->present += value->state == INTEG_FIELD_VALUE;
	composer->gap = value->state != INTEG_FIELD_VALUE || value->json.val.string.len == 0;
	if (!composer->gap)
		appendBinaryStringInfo(&composer->out, value->json.val.string.val, value->json.val.string.len);
}

static void
finish(Composer *composer, ConvertValue *value)
{
	if (composer->present == 0 && composer->nulls + composer->missing > 0)
	{
		value->state = composer->nulls > 0 ? INTEG_FIELD_NULL : INTEG_FIELD_MISSING;
		return;
	}
	if (composer->gap)
		while (composer->out.len > 0 && composer->out.data[composer->out.len - 1] == ' ')
			composer->out.len--;
	convert_set_text(value, composer->out.data, composer->out.len);
}

void
convert_compose(ConvertEval *eval, const ConvertText *text, ConvertValue *value)
{
	Composer composer = {.gap = false};

	initStringInfo(&composer.out);
	for (int i = 0; i < text->npieces; i++)
	{
		const ConvertPiece *piece = &text->pieces[i];
		ConvertValue part;

		if (piece->literal != NULL)
		{
			add_literal(&composer, piece->literal, piece->len);
			continue;
		}
		convert_read(eval, &piece->path, piece->of_task ? &eval->run->task_root : eval->record, &part);
		convert_trace_read(eval->trace, piece->path.source, &part);
		if (part.state == INTEG_FIELD_FAILED)
		{
			value->state = INTEG_FIELD_FAILED;
			return;
		}
		if (part.state == INTEG_FIELD_VALUE && part.json.type == jbvBinary)
		{
			convert_fail(eval, value, false, "\"%s\" is %s, which has no text", piece->path.source, convert_quote(&part));
			return;
		}
		add_value(&composer, &part);
		if (composer.out.len > INTEG_CONVERT_MAX_VALUE)
		{
			convert_fail(eval, value, false, "the text is longer than %d MB", INTEG_CONVERT_MAX_VALUE / (1024 * 1024));
			return;
		}
	}
	finish(&composer, value);
}

void
convert_join(ConvertEval *eval, const ConvertField *field, ConvertValue *value)
{
	Composer composer = {.gap = false};

	initStringInfo(&composer.out);
	for (int i = 0; i < field->nparts; i++)
	{
		ConvertValue part;
		int before;

		convert_read(eval, &field->parts[i], eval->record, &part);
		convert_trace_read(eval->trace, field->parts[i].source, &part);
		if (part.state == INTEG_FIELD_FAILED)
		{
			value->state = INTEG_FIELD_FAILED;
			return;
		}
		if (part.state == INTEG_FIELD_VALUE && part.json.type == jbvBinary)
		{
			convert_fail(eval, value, false, "\"%s\" is %s, which has no text", field->parts[i].source,
						 convert_quote(&part));
			return;
		}
		/* Empty parts bring no separator. */
		before = composer.out.len;
		if (before > 0)
			appendBinaryStringInfo(&composer.out, field->separator, field->separator_len);
		add_value(&composer, &part);
		if (composer.gap)
			composer.out.len = before;
		if (composer.out.len > INTEG_CONVERT_MAX_VALUE)
		{
			convert_fail(eval, value, false, "the text is longer than %d MB", INTEG_CONVERT_MAX_VALUE / (1024 * 1024));
			return;
		}
	}
	composer.gap = false;
	finish(&composer, value);
}

/* --- values of the schema --- */

/* What {{task.path}} finds; the path was checked when the schema was compiled. */
static void
read_task(const char *path, int len, const JsonbValue *task, ConvertValue *value)
{
	ConvertPath compiled = {.source = pnstrdup(path, len)};

	if (!convert_path_steps(compiled.source, len, &compiled))
		value->state = INTEG_FIELD_MISSING;
	else
		convert_read(NULL, &compiled, task, value);
}

/* A string: one placeholder alone keeps its type. */
static void
render_text(const JsonbValue *json, const JsonbValue *task, ConvertValue *value)
{
	IntegPlaceholderScan scan = {.source = json->val.string.val, .source_len = json->val.string.len};
	Composer composer = {.gap = false};
	IntegPlaceholder piece;

	initStringInfo(&composer.out);
	while ((piece = integ_placeholder_next(&scan)) != INTEG_PLACEHOLDER_END)
	{
		ConvertValue part;

		if (piece == INTEG_PLACEHOLDER_LITERAL)
		{
			add_literal(&composer, scan.text, scan.len);
			continue;
		}
		read_task(scan.text, scan.len, task, &part);
		if (scan.at == scan.source_len && composer.out.len == 0 &&
			composer.missing + composer.nulls + composer.present == 0)
		{
			*value = part;
			return;
		}
		add_value(&composer, &part);
	}
	finish(&composer, value);
}

static void
render(const JsonbValue *json, const JsonbValue *task, ConvertValue *value)
{
	IntegJsonBuilder builder = {NULL, NULL};
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;
	JsonbValue key = {.type = jbvNull};

	if (json->type == jbvString)
	{
		render_text(json, task, value);
		return;
	}
	if (json->type != jbvBinary)
	{
		value->json = *json;
		set_read(value);
		return;
	}
	iterator = JsonbIteratorInit(json->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &item, false)) != WJB_DONE)
	{
		ConvertValue part;

		if (token == WJB_KEY)
			key = item;
		else if (token == WJB_VALUE || token == WJB_ELEM)
		{
			render(&item, task, &part);
			if (part.state == INTEG_FIELD_NULL)
				part.json.type = jbvNull;
			/* What is missing goes with its key. */
			if (token == WJB_VALUE && part.state != INTEG_FIELD_MISSING)
				pushJsonbValue(&builder.state, WJB_KEY, &key);
			if (part.state != INTEG_FIELD_MISSING)
				pushJsonbValue(&builder.state, token, &part.json);
			key.type = jbvNull;
		}
		else
		{
			if ((token == WJB_BEGIN_OBJECT || token == WJB_BEGIN_ARRAY) && key.type == jbvString)
			{
				pushJsonbValue(&builder.state, WJB_KEY, &key);
				key.type = jbvNull;
			}
			builder.root = pushJsonbValue(&builder.state, token, NULL);
		}
	}
	convert_set_document(value, JsonbValueToJsonb(builder.root));
}

void
convert_constant_value(const ConvertConstant *constant, const JsonbValue *task, ConvertValue *value)
{
	if (constant->dynamic)
		render(&constant->json, task, value);
	else
	{
		value->json = constant->json;
		set_read(value);
	}
}

/*
 * Rendering an object template as names and values: queries, forms, headers.
 *
 * What passes through may be a secret, and nobody here knows: buffers are overwritten before they are let go.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "template/node.h"
#include "utils/builtins.h"

typedef struct Pairs
{
	TemplateRender render;
	IntegParameterStyle style;
	StringInfoData name;  /* of the pair at hand */
	StringInfoData value; /* of the scalar at hand */

	/* query */
	StringInfoData out;
	bool plus;

	/* headers */
	void (*visit)(const char *name, const char *value, void *arg);
	void *arg;
} Pairs;

static void
reset_value(Pairs *pairs)
{
	explicit_bzero(pairs->value.data, pairs->value.len);
	resetStringInfo(&pairs->value);
}

/* The scalar's text, in pairs->value. */
static void
read_scalar(Pairs *pairs, const JsonbValue *value)
{
	reset_value(pairs);
	if (value->type == jbvString && pairs->value.maxlen <= value->val.string.len)
	{
		/* Room at once, so that no copy of a secret is left behind by growing. */
		pfree(pairs->value.data);
		pairs->value.maxlen = value->val.string.len + 1;
		pairs->value.data = palloc(pairs->value.maxlen);
	}
	template_append_scalar(&pairs->render, &pairs->value, value, pairs->name.data);
}

/* The text of a list or an object as JSON, in pairs->value. */
static void
read_json(Pairs *pairs, const JsonbValue *value)
{
	Jsonb *document = JsonbValueToJsonb((JsonbValue *) value);
	char *text = integ_json_print(document);

	reset_value(pairs);
	appendStringInfoString(&pairs->value, text);
	explicit_bzero(text, strlen(text));
	explicit_bzero(document, VARSIZE(document));
	pfree(text);
	pfree(document);
}

static void
reserve_out(Pairs *pairs, Size more)
{
	Size needed = (Size) pairs->out.len + more + 1;
	char *larger;

	template_check_size(needed, pairs->render.template->where);
	if (needed <= pairs->out.maxlen)
		return;
	larger = palloc(needed * 2);
	memcpy(larger, pairs->out.data, pairs->out.len + 1);
	explicit_bzero(pairs->out.data, pairs->out.len);
	pfree(pairs->out.data);
	pairs->out.data = larger;
	pairs->out.maxlen = needed * 2;
}

static void
put_name(Pairs *pairs)
{
	reserve_out(pairs, (Size) pairs->name.len * 3 + 2);
	if (pairs->out.len > 0)
		appendStringInfoChar(&pairs->out, '&');
	template_append_percent(&pairs->out, pairs->name.data, pairs->name.len, pairs->plus, false);
	appendStringInfoChar(&pairs->out, '=');
}

static void
put_value(Pairs *pairs)
{
	reserve_out(pairs, (Size) pairs->value.len * 3 + 3);
	template_append_percent(&pairs->out, pairs->value.data, pairs->value.len, pairs->plus, false);
	reset_value(pairs);
}

/* The elements in one parameter, with what stands between them. */
static void
put_joined(Pairs *pairs, const JsonbValue *list, const char *separator)
{
	bool first = true;

	for (int i = 0; i < list->val.array.nElems; i++)
	{
		const JsonbValue *element = &list->val.array.elems[i];

		if (element->type == jbvNull)
			continue;
		if (first)
			put_name(pairs);
		else
			appendStringInfoString(&pairs->out, separator);
		first = false;
		read_scalar(pairs, element);
		put_value(pairs);
	}
}

static void put(Pairs *pairs, const JsonbValue *value);

/* Puts the value under the name with a suffix. */
static void
put_below(Pairs *pairs, const char *before, const char *key, int key_len, const char *after, const JsonbValue *value)
{
	int len = pairs->name.len;

	template_check_size((Size) len + key_len, pairs->render.template->where);
	appendStringInfoString(&pairs->name, before);
	appendBinaryStringInfo(&pairs->name, key, key_len);
	appendStringInfoString(&pairs->name, after);
	put(pairs, value);
	pairs->name.len = len;
	pairs->name.data[len] = '\0';
}

static void
put_list(Pairs *pairs, const JsonbValue *list)
{
	char index[16];
	int32 next = 0;

	switch (pairs->style.arrays)
	{
		case INTEG_ARRAY_COMMA:
			put_joined(pairs, list, ",");
			return;
		case INTEG_ARRAY_SPACE:
			put_joined(pairs, list, pairs->plus ? "+" : "%20");
			return;
		case INTEG_ARRAY_PIPE:
			put_joined(pairs, list, "%7C");
			return;
		case INTEG_ARRAY_JSON:
			read_json(pairs, list);
			put_name(pairs);
			put_value(pairs);
			return;
		default:
			break;
	}
	for (int i = 0; i < list->val.array.nElems; i++)
	{
		const JsonbValue *element = &list->val.array.elems[i];

		if (element->type == jbvNull)
			continue;
		if (pairs->style.arrays == INTEG_ARRAY_INDEXES)
		{
			pg_ltoa(next++, index);
			put_below(pairs, "[", index, (int) strlen(index), "]", element);
		}
		else if (pairs->style.arrays == INTEG_ARRAY_BRACKETS)
			put_below(pairs, "[", "", 0, "]", element);
		else if (element->type == jbvArray)
			template_fail(pairs->render.template->where,
						  "\"%s\" is a list of lists, which repeated names cannot tell apart", pairs->name.data);
		else
			put(pairs, element);
	}
}

static void
put_object(Pairs *pairs, const JsonbValue *object)
{
	bool dots = pairs->style.objects == INTEG_OBJECT_DOTS;

	if (pairs->style.objects == INTEG_OBJECT_REFUSED)
		template_fail(pairs->render.template->where,
					  "\"%s\" is an object, which has no text; parameterStyle.objects says how it is written",
					  pairs->name.data);
	if (pairs->style.objects == INTEG_OBJECT_JSON)
	{
		read_json(pairs, object);
		put_name(pairs);
		put_value(pairs);
		return;
	}
	for (int i = 0; i < object->val.object.nPairs; i++)
	{
		const JsonbPair *pair = &object->val.object.pairs[i];

		put_below(pairs, dots ? "." : "[", pair->key.val.string.val, pair->key.val.string.len, dots ? "" : "]",
				  &pair->value);
	}
}

/* Puts the value under the name at hand. */
static void
put(Pairs *pairs, const JsonbValue *value)
{
	check_stack_depth();
	if (value->type == jbvNull)
		return;
	if (value->type == jbvArray)
		put_list(pairs, value);
	else if (value->type == jbvObject)
		put_object(pairs, value);
	else
	{
		read_scalar(pairs, value);
		put_name(pairs);
		put_value(pairs);
	}
}

static bool
is_token(const char *name)
{
	for (const char *c = name; *c != '\0'; c++)
		if (!((*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') ||
			  strchr("!#$%&'*+-.^_`|~", *c) != NULL))
			return false;
	return name[0] != '\0';
}

/* JSON without a byte that is not ASCII, as services want it in a header. */
static void
escape_beyond_ascii(Pairs *pairs)
{
	StringInfoData escaped;

	initStringInfo(&escaped);
	for (const char *c = pairs->value.data; *c != '\0'; c += pg_mblen(c))
	{
		pg_wchar code;

		if (!IS_HIGHBIT_SET(*c) && *c != 0x7f)
		{
			appendStringInfoCharMacro(&escaped, *c);
			continue;
		}
		code = utf8_to_unicode((const unsigned char *) c);
		if (code > 0xffff)
			appendStringInfo(&escaped, "\\u%04x\\u%04x", 0xd800 + ((code - 0x10000) >> 10),
							 0xdc00 + ((code - 0x10000) & 0x3ff));
		else
			appendStringInfo(&escaped, "\\u%04x", code);
	}
	reset_value(pairs);
	pfree(pairs->value.data);
	pairs->value = escaped;
}

static void
put_header(Pairs *pairs, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return;
	if (value->type == jbvObject || value->type == jbvArray)
	{
		read_json(pairs, value);
		escape_beyond_ascii(pairs);
	}
	else
		read_scalar(pairs, value);
	if (!is_token(pairs->name.data))
		template_fail(pairs->render.template->where, "\"%s\" is no name of a header", pairs->name.data);
	for (int i = 0; i < pairs->value.len; i++)
	{
		unsigned char c = (unsigned char) pairs->value.data[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			template_fail(pairs->render.template->where, "The header \"%s\" would hold a control character",
						  pairs->name.data);
	}
	pairs->visit(pairs->name.data, pairs->value.data, pairs->arg);
	reset_value(pairs);
}

static void
put_headers(Pairs *pairs, const JsonbValue *value)
{
	if (value->type != jbvArray)
	{
		put_header(pairs, value);
		return;
	}
	for (int i = 0; i < value->val.array.nElems; i++)
		put_header(pairs, &value->val.array.elems[i]);
}

static void
put_members(Pairs *pairs, const JsonbValue *root)
{
	if (root->type != jbvObject)
		template_fail(pairs->render.template->where, "It must be an object");
	for (int i = 0; i < root->val.object.nPairs; i++)
	{
		const JsonbPair *pair = &root->val.object.pairs[i];

		resetStringInfo(&pairs->name);
		appendBinaryStringInfo(&pairs->name, pair->key.val.string.val, pair->key.val.string.len);
		if (pairs->visit != NULL)
			put_headers(pairs, &pair->value);
		else
			put(pairs, &pair->value);
	}
}

static void
begin(Pairs *pairs, const IntegTemplate *compiled, const IntegTemplateScope *scope)
{
	template_render_begin(&pairs->render, compiled, scope);
	initStringInfo(&pairs->name);
	initStringInfo(&pairs->value);
	if (pairs->visit == NULL)
		initStringInfo(&pairs->out);
}

static void
render_pairs(Pairs *pairs, const IntegTemplate *compiled, const IntegTemplateScope *scope)
{
	JsonbValue root;

	begin(pairs, compiled, scope);
	if (template_render_node(&pairs->render, compiled->root, &root))
		put_members(pairs, &root);
	template_render_end(&pairs->render);
}

static char *
render_query(const IntegTemplate *compiled, const IntegTemplateScope *scope, const IntegParameterStyle *style,
			 bool plus)
{
	Pairs pairs = {.plus = plus};

	if (style != NULL)
		pairs.style = *style;
	render_pairs(&pairs, compiled, scope);
	return pairs.out.len > 0 ? pairs.out.data : NULL;
}

char *
integ_template_query(const IntegTemplate *compiled, const IntegTemplateScope *scope, const IntegParameterStyle *style)
{
	return render_query(compiled, scope, style, false);
}

char *
integ_template_form(const IntegTemplate *compiled, const IntegTemplateScope *scope, const IntegParameterStyle *style)
{
	return render_query(compiled, scope, style, true);
}

char *
integ_form_encode(const Jsonb *document, const IntegParameterStyle *style, const char *where)
{
	IntegTemplate named = {.where = where};
	Pairs pairs = {.plus = true};
	JsonbValue source, root;
	Size bytes = 0;

	if (style != NULL)
		pairs.style = *style;
	begin(&pairs, &named, NULL);
	integ_json_root(document, &source);
	template_unpack(&source, &root, &bytes);
	put_members(&pairs, &root);
	template_render_end(&pairs.render);
	return pairs.out.len > 0 ? pairs.out.data : NULL;
}

void
integ_template_headers(const IntegTemplate *compiled, const IntegTemplateScope *scope,
					   void (*visit)(const char *name, const char *value, void *arg), void *arg)
{
	Pairs pairs = {.visit = visit, .arg = arg};

	render_pairs(&pairs, compiled, scope);
}

/*
 * Rendering an object template as names and values: queries, forms, headers.
 */
#include "core/errors.h"
#include "template/node.h"

typedef struct Pairs
{
	TemplateRender render;
	StringInfoData value; /* of the pair at hand */
	void (*emit)(struct Pairs *pairs, const JsonbValue *name);

	/* query */
	StringInfoData out;
	bool plus;

	/* headers */
	void (*visit)(const char *name, const char *value, void *arg);
	void *arg;
} Pairs;

/* Overwrites the value where it may be a secret, and empties it. */
static void
reset_value(Pairs *pairs)
{
	if (pairs->render.secrets != NIL)
		explicit_bzero(pairs->value.data, pairs->value.maxlen);
	resetStringInfo(&pairs->value);
}

static void
emit_scalar(Pairs *pairs, const JsonbValue *name, const JsonbValue *value)
{
	char *shown;

	if (value->type == jbvNull)
		return;
	shown = pnstrdup(name->val.string.val, name->val.string.len);
	if (value->type == jbvString && pairs->value.maxlen <= value->val.string.len)
	{
		/* Room at once, so that no copy of a secret is left behind by growing. */
		pfree(pairs->value.data);
		pairs->value.maxlen = value->val.string.len + 1;
		pairs->value.data = palloc(pairs->value.maxlen);
	}
	template_append_scalar(&pairs->render, &pairs->value, value, shown);
	pfree(shown);
	pairs->emit(pairs, name);
	reset_value(pairs);
}

static void
each_pair(Pairs *pairs, const IntegTemplate *compiled, const IntegTemplateScope *scope)
{
	JsonbValue root;

	template_render_begin(&pairs->render, compiled, scope);
	initStringInfo(&pairs->value);
	if (template_render_node(&pairs->render, compiled->root, &root))
	{
		if (root.type != jbvObject)
			template_fail(compiled->where, "It must be an object");
		for (int i = 0; i < root.val.object.nPairs; i++)
		{
			const JsonbPair *pair = &root.val.object.pairs[i];

			if (pair->value.type != jbvArray)
			{
				emit_scalar(pairs, &pair->key, &pair->value);
				continue;
			}
			for (int j = 0; j < pair->value.val.array.nElems; j++)
				emit_scalar(pairs, &pair->key, &pair->value.val.array.elems[j]);
		}
	}
	template_render_end(&pairs->render);
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
	explicit_bzero(pairs->out.data, pairs->out.maxlen);
	pfree(pairs->out.data);
	pairs->out.data = larger;
	pairs->out.maxlen = needed * 2;
}

static void
emit_query(Pairs *pairs, const JsonbValue *name)
{
	reserve_out(pairs, ((Size) name->val.string.len + pairs->value.len) * 3 + 2);
	if (pairs->out.len > 0)
		appendStringInfoChar(&pairs->out, '&');
	template_append_percent(&pairs->out, name->val.string.val, name->val.string.len, pairs->plus, false);
	appendStringInfoChar(&pairs->out, '=');
	template_append_percent(&pairs->out, pairs->value.data, pairs->value.len, pairs->plus, false);
}

static char *
render_query(const IntegTemplate *compiled, const IntegTemplateScope *scope, bool plus)
{
	Pairs pairs = {.emit = emit_query, .plus = plus};

	initStringInfo(&pairs.out);
	each_pair(&pairs, compiled, scope);
	return pairs.out.len > 0 ? pairs.out.data : NULL;
}

char *
integ_template_query(const IntegTemplate *compiled, const IntegTemplateScope *scope)
{
	return render_query(compiled, scope, false);
}

char *
integ_template_form(const IntegTemplate *compiled, const IntegTemplateScope *scope)
{
	return render_query(compiled, scope, true);
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

static void
emit_header(Pairs *pairs, const JsonbValue *name)
{
	char *header = pnstrdup(name->val.string.val, name->val.string.len);

	if (!is_token(header))
		template_fail(pairs->render.template->where, "\"%s\" is no name of a header", header);
	for (int i = 0; i < pairs->value.len; i++)
	{
		unsigned char c = (unsigned char) pairs->value.data[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			template_fail(pairs->render.template->where, "The header \"%s\" would hold a control character", header);
	}
	pairs->visit(header, pairs->value.data, pairs->arg);
	pfree(header);
}

void
integ_template_headers(const IntegTemplate *compiled, const IntegTemplateScope *scope,
					   void (*visit)(const char *name, const char *value, void *arg), void *arg)
{
	Pairs pairs = {.emit = emit_header, .visit = visit, .arg = arg};

	each_pair(&pairs, compiled, scope);
}

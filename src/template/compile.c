/*
 * Compiling templates.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/text.h"
#include "miscadmin.h"
#include "template/node.h"
#include "template/scan.h"

typedef struct Compiler
{
	const char *where;
	int depth;
	int nlocals;
	const char *names[TEMPLATE_MAX_LOCALS]; /* of the lists around: innermost last */
} Compiler;

static TemplateNode *compile_value(Compiler *c, const JsonbValue *value);

pg_noreturn static void malformed(const Compiler *c, const char *format, ...) pg_attribute_printf(2, 3);

static void
malformed(const Compiler *c, const char *format, ...)
{
	char *problem;
	va_list args;

	va_start(args, format);
	problem = integ_text_va(format, args);
	va_end(args);
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s is not a valid template", c->where),
					errdetail("%s.", problem), errhint("docs/templates.md describes templates.")));
}

static TemplateNode *
make_node(TemplateKind kind)
{
	TemplateNode *node = palloc0(sizeof(TemplateNode));

	node->kind = kind;
	node->index_slot = -1;
	return node;
}

static TemplateNode *
make_literal(const JsonbValue *value)
{
	TemplateNode *node = make_node(TEMPLATE_LITERAL);
	Size ignored = 0;

	template_unpack(value, &node->literal, &ignored);
	return node;
}

/* What a name starts with: so that "{3}" of a regular expression is not taken for a placeholder. */
static bool
is_name_start(const TemplateStep *step)
{
	unsigned char c = step->key == NULL || step->len == 0 ? '\0' : (unsigned char) step->key[0];

	return c == '_' || c == '$' || c == '@' || c >= 0x80 || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static void
resolve_root(Compiler *c, TemplateRef *ref)
{
	static const struct
	{
		const char *name;
		TemplateRoot root;
	} roots[] = {{"config", TEMPLATE_CONFIG},
				 {"task", TEMPLATE_TASK},
				 {"token", TEMPLATE_TOKEN},
				 {"credentials", TEMPLATE_CREDENTIALS}};
	const char *first = ref->steps.steps[0].key;

	for (int i = c->nlocals - 1; i >= 0; i--)
		if (strcmp(c->names[i], first) == 0)
		{
			ref->root = TEMPLATE_LOCAL;
			ref->slot = i;
			ref->steps.steps++;
			ref->steps.count--;
			return;
		}
	for (int i = 0; i < lengthof(roots); i++)
		if (strcmp(roots[i].name, first) == 0)
		{
			/* An input may well be called token. */
			if (roots[i].root == TEMPLATE_TOKEN && ref->steps.count == 1)
				continue;
			ref->root = roots[i].root;
			ref->steps.steps++;
			ref->steps.count--;
			if (ref->steps.count == 0)
				malformed(c, "The placeholder \"{%s}\" must name a part of the %s", ref->name, first);
		}
	if (ref->root == TEMPLATE_CREDENTIALS && (ref->steps.count > 1 || ref->steps.steps[0].key == NULL))
		malformed(c, "The placeholder \"{%s}\" must name one credential", ref->name);
}

static TemplateRef *
compile_ref(Compiler *c, const char *name, int len)
{
	TemplateRef *ref = palloc0(sizeof(TemplateRef));
	const char *problem;
	bool quoted = len > 0 && name[0] == '"';

	ref->name = pnstrdup(name, len);
	ref->root = TEMPLATE_INPUT;
	ref->steps = template_steps_compile(name, len, &problem);
	if (problem != NULL)
		malformed(c, "The placeholder \"{%s}\" %s (a literal brace is written {{)", ref->name, problem);
	if (ref->steps.count == 0 || (!quoted && !is_name_start(&ref->steps.steps[0])))
		malformed(c, "The placeholder \"{%s}\" must start with a name (a literal brace is written {{)", ref->name);
	resolve_root(c, ref);
	return ref;
}

/* The parts of a text while they are read. */
typedef struct Parts
{
	TemplatePart *parts;
	int count;
	int room;
	int fragment; /* index of the one being read, -1: none */
	bool joins;	  /* a literal that comes now belongs to the last part */
	bool has_ref;
} Parts;

static TemplatePart *
add_part(Parts *parts, TemplatePartKind kind)
{
	TemplatePart *part;

	if (parts->count == parts->room)
	{
		parts->room = parts->room == 0 ? 4 : parts->room * 2;
		parts->parts = parts->parts == NULL ? palloc(parts->room * sizeof(TemplatePart))
											: repalloc(parts->parts, parts->room * sizeof(TemplatePart));
	}
	part = &parts->parts[parts->count++];
	memset(part, 0, sizeof(*part));
	part->kind = kind;
	if (parts->fragment >= 0)
		parts->parts[parts->fragment].count++;
	return part;
}

/* Adds a literal, to the literal right before it where there is one. */
static void
add_literal(Parts *parts, const char *text, int len)
{
	TemplatePart *part = parts->joins ? &parts->parts[parts->count - 1] : add_part(parts, TEMPLATE_PART_LITERAL);
	char *joined = palloc(part->len + len + 1);

	if (part->len > 0)
		memcpy(joined, part->text, part->len);
	memcpy(joined + part->len, text, len);
	joined[part->len + len] = '\0';
	part->text = joined;
	part->len += len;
}

static void
scan_parts(Compiler *c, const char *text, int len, Parts *parts)
{
	IntegScan scan;
	IntegScanToken token;

	integ_scan_begin(&scan, text, len);
	while ((token = integ_scan_next(&scan)) != INTEG_SCAN_END)
	{
		TemplatePart *part;

		switch (token)
		{
			case INTEG_SCAN_LITERAL:
				add_literal(parts, scan.text, scan.len);
				break;
			case INTEG_SCAN_PLACEHOLDER:
				part = add_part(parts, TEMPLATE_PART_REF);
				part->ref = compile_ref(c, scan.text, scan.len);
				part->keep_slashes = scan.keep_slashes;
				parts->has_ref = true;
				break;
			case INTEG_SCAN_OPEN:
				(void) add_part(parts, TEMPLATE_PART_FRAGMENT);
				parts->fragment = parts->count - 1;
				break;
			case INTEG_SCAN_CLOSE:
				parts->fragment = -1;
				break;
			default:
				malformed(c, "The text %s, at byte %zu of \"%.*s\"", scan.problem, scan.at + 1, len, text);
		}
		parts->joins = token == INTEG_SCAN_LITERAL;
	}
}

static TemplateNode *
compile_text(Compiler *c, const char *text, int len)
{
	Parts parts = {.fragment = -1};
	TemplateNode *node;
	JsonbValue literal = {.type = jbvString};

	scan_parts(c, text, len, &parts);
	if (!parts.has_ref)
	{
		literal.val.string.val = parts.count > 0 ? (char *) parts.parts[0].text : "";
		literal.val.string.len = parts.count > 0 ? parts.parts[0].len : 0;
		return make_literal(&literal);
	}
	node = make_node(parts.count == 1 ? TEMPLATE_VALUE : TEMPLATE_TEXT);
	node->nparts = parts.count;
	node->parts = parts.parts;
	node->ref = parts.parts[0].ref;
	return node;
}

/* A value of a directive that is a text: a name. */
static char *
need_name(Compiler *c, const JsonbContainer *object, const char *key, bool required)
{
	JsonbValue value;
	char *name;

	if (!integ_json_get(object, key, &value))
	{
		if (required)
			malformed(c, "A list needs \"%s\"", key);
		return NULL;
	}
	name = integ_json_get_string(object, key);
	if (name == NULL || name[0] == '\0')
		malformed(c, "\"%s\" of a list must be a name", key);
	return name;
}

static void
allow_keys(Compiler *c, const JsonbContainer *object, const char *const *known)
{
	IntegJsonWalk walk;
	JsonbValue key, value;

	integ_json_walk_begin(&walk, object);
	while (integ_json_walk_pair(&walk, &key, &value))
	{
		int i = 0;

		while (known[i] != NULL &&
			   integ_json_key_compare(known[i], strlen(known[i]), key.val.string.val, key.val.string.len) != 0)
			i++;
		if (known[i] == NULL)
			malformed(c, "\"%.*s\" does not go with \"%s\"", key.val.string.len, key.val.string.val, known[0]);
	}
}

static int
push_local(Compiler *c, const char *name)
{
	if (name == NULL)
		return -1;
	if (strcmp(name, "config") == 0 || strcmp(name, "task") == 0 || strcmp(name, "credentials") == 0 ||
		strcmp(name, "token") == 0)
		malformed(c, "An element of a list cannot be called \"%s\"", name);
	if (c->nlocals == TEMPLATE_MAX_LOCALS)
		malformed(c, "Lists are nested too deeply");
	c->names[c->nlocals] = name;
	return c->nlocals++;
}

/* {"$each": list, "as": name, "index": name, "do": template} */
static TemplateNode *
compile_each(Compiler *c, const JsonbContainer *object)
{
	static const char *const known[] = {"$each", "as", "do", "index", NULL};
	TemplateNode *node = make_node(TEMPLATE_EACH);
	char *list = need_name(c, object, "$each", true);
	int outer = c->nlocals;
	JsonbValue body;

	allow_keys(c, object, known);
	node->ref = compile_ref(c, list, strlen(list));
	if (node->ref->root == TEMPLATE_CREDENTIALS)
		malformed(c, "\"$each\" cannot go through credentials");
	if (!integ_json_get(object, "do", &body))
		malformed(c, "A list needs \"do\"");
	node->slot = push_local(c, need_name(c, object, "as", true));
	node->index_slot = push_local(c, need_name(c, object, "index", false));
	node->body = compile_value(c, &body);
	c->nlocals = outer;
	return node;
}

/* {"$if": name or predicate, "then": template, "else": template} */
static TemplateNode *
compile_if(Compiler *c, const JsonbContainer *object)
{
	static const char *const known[] = {"$if", "then", "else", NULL};
	TemplateNode *node = make_node(TEMPLATE_IF);
	char *condition = integ_json_get_string(object, "$if");
	JsonbValue branch;

	allow_keys(c, object, known);
	if (condition == NULL || condition[0] == '\0')
		malformed(c, "\"$if\" must be a name or a jsonpath");
	else if (condition[0] == '$')
	{
		const char **names = palloc((c->nlocals + 1) * sizeof(char *));

		memcpy(names, c->names, c->nlocals * sizeof(char *));
		node->predicate = template_path_compile(condition, c->where, names, c->nlocals);
		node->nlocals = c->nlocals;
		node->local_names = names;
	}
	else
		node->ref = compile_ref(c, condition, strlen(condition));
	if (integ_json_get(object, "then", &branch))
		node->then = compile_value(c, &branch);
	if (integ_json_get(object, "else", &branch))
		node->otherwise = compile_value(c, &branch);
	if (node->then == NULL && node->otherwise == NULL)
		malformed(c, "\"$if\" needs \"then\" or \"else\"");
	return node;
}

/* A container whose members are all literal is literal itself. */
static TemplateNode *
fold(TemplateNode *node)
{
	TemplateNode *literal;

	for (int i = 0; i < node->count; i++)
		if (node->children[i]->kind != TEMPLATE_LITERAL)
			return node;
	literal = make_node(TEMPLATE_LITERAL);
	if (node->kind == TEMPLATE_OBJECT)
	{
		literal->literal.type = jbvObject;
		literal->literal.val.object.nPairs = node->count;
		literal->literal.val.object.pairs = palloc0(Max(node->count, 1) * sizeof(JsonbPair));
		for (int i = 0; i < node->count; i++)
		{
			literal->literal.val.object.pairs[i].key = node->keys[i];
			literal->literal.val.object.pairs[i].value = node->children[i]->literal;
		}
	}
	else
	{
		literal->literal.type = jbvArray;
		literal->literal.val.array.rawScalar = false;
		literal->literal.val.array.nElems = node->count;
		literal->literal.val.array.elems = palloc(Max(node->count, 1) * sizeof(JsonbValue));
		for (int i = 0; i < node->count; i++)
			literal->literal.val.array.elems[i] = node->children[i]->literal;
	}
	return literal;
}

static TemplateNode *
compile_container(Compiler *c, const JsonbContainer *container)
{
	bool object = JsonContainerIsObject(container);
	TemplateNode *node = make_node(object ? TEMPLATE_OBJECT : TEMPLATE_ARRAY);
	IntegJsonWalk walk;
	JsonbValue key, value;

	integ_json_walk_begin(&walk, container);
	node->keys = object ? palloc(Max(walk.count, 1) * sizeof(JsonbValue)) : NULL;
	node->children = palloc(Max(walk.count, 1) * sizeof(TemplateNode *));
	while (object ? integ_json_walk_pair(&walk, &key, &value) : integ_json_walk_element(&walk, &value))
	{
		if (object)
			node->keys[node->count] = key;
		node->children[node->count++] = compile_value(c, &value);
	}
	return fold(node);
}

static TemplateNode *
compile_value(Compiler *c, const JsonbValue *value)
{
	static const char *const literal_only[] = {"$literal", NULL};
	TemplateNode *node;
	JsonbValue directive;

	if (value->type == jbvString)
		return compile_text(c, value->val.string.val, value->val.string.len);
	if (value->type != jbvBinary)
		return make_literal(value);
	check_stack_depth();
	if (++c->depth > TEMPLATE_MAX_DEPTH)
		malformed(c, "It is nested more than %d levels deep", TEMPLATE_MAX_DEPTH);
	if (integ_json_get(value->val.binary.data, "$literal", &directive))
	{
		allow_keys(c, value->val.binary.data, literal_only);
		node = make_literal(&directive);
	}
	else if (integ_json_get(value->val.binary.data, "$each", &directive))
		node = compile_each(c, value->val.binary.data);
	else if (integ_json_get(value->val.binary.data, "$if", &directive))
		node = compile_if(c, value->val.binary.data);
	else
		node = compile_container(c, value->val.binary.data);
	c->depth--;
	return node;
}

IntegTemplate *
integ_template_compile(const JsonbValue *source, const char *where)
{
	IntegTemplate *template = palloc0(sizeof(IntegTemplate));
	JsonbValue root = *source;
	Compiler compiler = {0};

	template->where = compiler.where = pstrdup(where);
	integ_json_root(JsonbValueToJsonb(&root), &root);
	template->root = compile_value(&compiler, &root);
	if (template->root->kind == TEMPLATE_LITERAL)
		template->literal = JsonbValueToJsonb(&template->root->literal);
	return template;
}

/*
 * Rendering a template to a document.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/text.h"
#include "miscadmin.h"
#include "template/node.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

void
template_fail(const char *where, const char *format, ...)
{
	char *problem;
	va_list args;

	va_start(args, format);
	problem = integ_text_va(format, args);
	va_end(args);
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s cannot be rendered", where),
					errdetail("%s.", problem), errhint("docs/templates.md describes templates.")));
}

void
template_render_begin(TemplateRender *render, const IntegTemplate *compiled, const IntegTemplateScope *scope)
{
	render->template = compiled;
	render->scope = scope;
	render->bytes = 0;
	render->text.data = NULL;
	render->predicate_scope = NULL;
	render->scratch = NULL;
	render->secrets = NIL;
}

void
template_render_end(TemplateRender *render)
{
	ListCell *cell;

	if (render->secrets != NIL && render->text.data != NULL)
		explicit_bzero(render->text.data, render->text.maxlen);
	foreach (cell, render->secrets)
		explicit_bzero(lfirst(cell), strlen(lfirst(cell)));
	list_free_deep(render->secrets);
	render->secrets = NIL;
	if (render->scratch != NULL)
		MemoryContextDelete(render->scratch);
}

static bool
credential_value(TemplateRender *render, const TemplateRef *ref, JsonbValue *value)
{
	const IntegTemplateScope *scope = render->scope;
	const char *secret = scope->secret == NULL ? NULL : scope->secret(scope->secret_arg, ref->steps.steps[0].key);
	char *copy;

	if (secret == NULL)
		return false;
	copy = pstrdup(secret);
	render->secrets = lappend(render->secrets, copy);
	value->type = jbvString;
	value->val.string.val = copy;
	value->val.string.len = strlen(copy);
	return true;
}

bool
template_is_earlier(const IntegTemplateScope *scope, const TemplateRef *ref)
{
	JsonbValue unused;

	return ref->root == TEMPLATE_INPUT && scope->earlier != NULL && ref->steps.steps[0].key != NULL &&
		   integ_json_get(scope->earlier, ref->steps.steps[0].key, &unused);
}

/* Whether it is something of "steps" or "job" that is not known yet, in a request that is to be shown. */
static bool
is_named_only(const IntegTemplateScope *scope, const TemplateRef *ref)
{
	const char *root = ref->steps.count > 0 ? ref->steps.steps[0].key : NULL;

	return scope->names_earlier && ref->root == TEMPLATE_INPUT && root != NULL &&
		   (strcmp(root, "steps") == 0 || strcmp(root, "job") == 0);
}

/* "{steps.create.id}" */
static bool
name_value(const TemplateRef *ref, JsonbValue *value)
{
	value->type = jbvString;
	value->val.string.val = psprintf("{%s}", ref->name);
	value->val.string.len = strlen(value->val.string.val);
	return true;
}

/* Of the element of a list; where only the list's name is known, the name. */
static bool
local_value(TemplateRender *render, const TemplateRef *ref, JsonbValue *value)
{
	const JsonbValue *element = &render->locals[ref->slot];

	if (template_steps_follow(ref->steps.steps, ref->steps.count, element, value))
		return true;
	return render->scope->names_earlier && element->type == jbvString && name_value(ref, value);
}

bool
template_ref_value(TemplateRender *render, const TemplateRef *ref, JsonbValue *value)
{
	const JsonbContainer *container = NULL;
	JsonbValue root;

	switch (ref->root)
	{
		case TEMPLATE_CREDENTIALS:
			return credential_value(render, ref, value);
		case TEMPLATE_LOCAL:
			return local_value(render, ref, value);
		case TEMPLATE_INPUT:
			if (is_named_only(render->scope, ref))
				return name_value(ref, value);
			container = template_is_earlier(render->scope, ref) ? render->scope->earlier : render->scope->input;
			break;
		case TEMPLATE_CONFIG:
			container = render->scope->config;
			break;
		case TEMPLATE_TASK:
			container = render->scope->task;
			break;
		case TEMPLATE_TOKEN:
			container = render->scope->token;
			break;
	}
	if (container == NULL)
		return false;
	root.type = jbvBinary;
	root.val.binary.data = (JsonbContainer *) container;
	return template_steps_follow(ref->steps.steps, ref->steps.count, &root, value);
}

/* Present, and not null, false or empty. */
static bool
is_true(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return false;
		case jbvBool:
			return value->val.boolean;
		case jbvString:
			return value->val.string.len > 0;
		case jbvBinary:
			return JsonContainerSize(value->val.binary.data) > 0;
		default:
			return true;
	}
}

static void
add_container(IntegJsonBuilder *builder, const char *key, const JsonbContainer *container)
{
	JsonbValue value = {.type = jbvBinary};

	if (container == NULL)
		return;
	value.val.binary.data = (JsonbContainer *) container;
	integ_json_add(builder, key, &value);
}

/* What predicates look at: {"input": …, "config": …, "task": …, "token": …}, earlier requests, the page. */
static void
begin_predicates(TemplateRender *render)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	add_container(&builder, "input", render->scope->input);
	add_container(&builder, "config", render->scope->config);
	add_container(&builder, "task", render->scope->task);
	add_container(&builder, "token", render->scope->token);
	if (render->scope->earlier != NULL)
	{
		add_container(&builder, "steps", integ_json_get_object(render->scope->earlier, "steps"));
		add_container(&builder, "job", integ_json_get_object(render->scope->earlier, "job"));
		add_container(&builder, "pagination", integ_json_get_object(render->scope->earlier, "pagination"));
	}
	render->predicate_scope = integ_json_end(&builder);
	render->scratch = AllocSetContextCreate(CurrentMemoryContext, "integ predicate", ALLOCSET_SMALL_SIZES);
}

/* Asks a predicate, with the elements of lists as variables. It may be asked for each element, so it leaves nothing. */
static bool
predicate_holds(TemplateRender *render, const TemplateNode *node)
{
	Jsonb *variables = NULL;
	MemoryContext outer;
	IntegJsonBuilder builder;
	bool holds;

	if (render->predicate_scope == NULL)
		begin_predicates(render);
	outer = MemoryContextSwitchTo(render->scratch);
	if (node->nlocals > 0)
	{
		integ_json_begin_object(&builder);
		for (int i = 0; i < node->nlocals; i++)
			integ_json_add(&builder, node->local_names[i], &render->locals[i]);
		variables = integ_json_end(&builder);
	}
	holds = template_path_holds(node->predicate, render->predicate_scope, variables);
	MemoryContextSwitchTo(outer);
	MemoryContextReset(render->scratch);
	return holds;
}

const TemplateNode *
template_if_branch(TemplateRender *render, const TemplateNode *node)
{
	JsonbValue value;
	bool holds;

	if (node->predicate != NULL)
		holds = predicate_holds(render, node);
	else
		holds = template_ref_value(render, node->ref, &value) && is_true(&value);
	return holds ? node->then : node->otherwise;
}

bool
template_each(TemplateRender *render, const TemplateNode *node,
			  void (*turn)(TemplateRender *render, const TemplateNode *body, void *arg), void *arg)
{
	IntegJsonWalk walk;
	JsonbValue list, element;

	if (!template_ref_value(render, node->ref, &list) || list.type == jbvNull)
		return false;
	if (is_named_only(render->scope, node->ref))
	{
		render->locals[node->slot] = list;
		if (node->index_slot >= 0)
			render->locals[node->index_slot] = list;
		turn(render, node->body, arg);
		return true;
	}
	if (!integ_json_is_array(&list))
		template_fail(render->template->where, "\"%s\" is not a list, and \"$each\" needs one", node->ref->name);
	integ_json_walk_begin(&walk, list.val.binary.data);
	while (integ_json_walk_element(&walk, &element))
	{
		CHECK_FOR_INTERRUPTS();
		/* A turn counts though it may give nothing: lists within lists multiply. */
		render->bytes += sizeof(JEntry);
		render->locals[node->slot] = element;
		if (node->index_slot >= 0)
		{
			render->locals[node->index_slot].type = jbvNumeric;
			render->locals[node->index_slot].val.numeric = int64_to_numeric(walk.next - 1);
		}
		turn(render, node->body, arg);
	}
	return true;
}

static bool
render_if(TemplateRender *render, const TemplateNode *node, JsonbValue *out)
{
	const TemplateNode *branch = template_if_branch(render, node);

	return branch != NULL && template_render_node(render, branch, out);
}

/* An array that grows, so that lists within lists take what they give and no more. */
typedef struct GrowingArray
{
	JsonbValue *array;
	int room;
} GrowingArray;

static void
append_turn(TemplateRender *render, const TemplateNode *body, void *arg)
{
	GrowingArray *growing = arg;
	JsonbValue *array = growing->array;
	JsonbValue rendered;

	if (!template_render_node(render, body, &rendered))
		return;
	if (array->val.array.nElems == growing->room)
	{
		growing->room *= 2;
		array->val.array.elems = repalloc_huge(array->val.array.elems, growing->room * sizeof(JsonbValue));
	}
	array->val.array.elems[array->val.array.nElems++] = rendered;
}

static bool
render_each(TemplateRender *render, const TemplateNode *node, JsonbValue *out)
{
	GrowingArray growing = {out, 4};

	out->type = jbvArray;
	out->val.array.rawScalar = false;
	out->val.array.nElems = 0;
	out->val.array.elems = palloc(growing.room * sizeof(JsonbValue));
	render->bytes += sizeof(JsonbValue);
	return template_each(render, node, append_turn, &growing);
}

static bool
render_object(TemplateRender *render, const TemplateNode *node, JsonbValue *out)
{
	JsonbPair *pair = palloc(Max(node->count, 1) * sizeof(JsonbPair));

	/* The keys come from a jsonb, sorted and unique, and stay so when some are dropped. */
	out->type = jbvObject;
	out->val.object.pairs = pair;
	for (int i = 0; i < node->count; i++)
	{
		if (!template_render_node(render, node->children[i], &pair->value))
			continue;
		pair->key = node->keys[i];
		pair->order = 0;
		render->bytes += pair->key.val.string.len + sizeof(JEntry);
		pair++;
	}
	out->val.object.nPairs = pair - out->val.object.pairs;
	return true;
}

static bool
render_array(TemplateRender *render, const TemplateNode *node, JsonbValue *out)
{
	out->type = jbvArray;
	out->val.array.rawScalar = false;
	out->val.array.nElems = 0;
	out->val.array.elems = palloc(Max(node->count, 1) * sizeof(JsonbValue));
	for (int i = 0; i < node->count; i++)
		if (template_render_node(render, node->children[i], &out->val.array.elems[out->val.array.nElems]))
			out->val.array.nElems++;
	return true;
}

static bool
render_text(TemplateRender *render, const TemplateNode *node, JsonbValue *out)
{
	if (render->text.data == NULL)
		initStringInfo(&render->text);
	resetStringInfo(&render->text);
	if (!template_render_text(render, node, INTEG_TEMPLATE_RAW, &render->text))
		return false;
	out->type = jbvString;
	out->val.string.len = render->text.len;
	out->val.string.val = pnstrdup(render->text.data, render->text.len);
	if (render->secrets != NIL)
		render->secrets = lappend(render->secrets, out->val.string.val);
	render->bytes += render->text.len + sizeof(JEntry);
	return true;
}

bool
template_render_node(TemplateRender *render, const TemplateNode *node, JsonbValue *out)
{
	JsonbValue value;

	template_check_size(render->bytes, render->template->where);
	switch (node->kind)
	{
		case TEMPLATE_LITERAL:
			*out = node->literal;
			render->bytes += sizeof(JEntry);
			return true;
		case TEMPLATE_VALUE:
			if (!template_ref_value(render, node->ref, &value))
				return false;
			template_unpack(&value, out, &render->bytes);
			return true;
		case TEMPLATE_TEXT:
			return render_text(render, node, out);
		case TEMPLATE_OBJECT:
			return render_object(render, node, out);
		case TEMPLATE_ARRAY:
			return render_array(render, node, out);
		case TEMPLATE_EACH:
			return render_each(render, node, out);
		case TEMPLATE_IF:
			return render_if(render, node, out);
	}
	return false;
}

Jsonb *
integ_template_json(const IntegTemplate *compiled, const IntegTemplateScope *scope)
{
	TemplateRender render;
	JsonbValue root;
	Jsonb *document = NULL;

	if (compiled->literal != NULL)
		return compiled->literal;
	template_render_begin(&render, compiled, scope);
	if (template_render_node(&render, compiled->root, &root))
	{
		template_check_size(render.bytes, compiled->where);
		document = JsonbValueToJsonb(&root);
		template_check_size(VARSIZE(document), compiled->where);
	}
	template_render_end(&render);
	return document;
}

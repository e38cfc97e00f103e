/*
 * The placeholders of a template.
 */
#include "template/node.h"

typedef struct Visit
{
	void (*visit)(const char *name, void *arg);
	void *arg;
} Visit;

static void
visit_ref(const Visit *v, const TemplateRef *ref)
{
	if (ref != NULL && ref->root != TEMPLATE_LOCAL)
		v->visit(ref->name, v->arg);
}

static void
visit_node(const Visit *v, const TemplateNode *node)
{
	if (node == NULL)
		return;
	if (node->kind == TEMPLATE_EACH || node->kind == TEMPLATE_IF)
		visit_ref(v, node->ref);
	for (int i = 0; i < node->nparts; i++)
		visit_ref(v, node->parts[i].ref);
	for (int i = 0; i < node->count; i++)
		visit_node(v, node->children[i]);
	visit_node(v, node->body);
	visit_node(v, node->then);
	visit_node(v, node->otherwise);
}

void
integ_template_visit(const IntegTemplate *compiled, void (*visit)(const char *name, void *arg), void *arg)
{
	Visit v = {visit, arg};

	visit_node(&v, compiled->root);
}

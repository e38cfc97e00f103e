/*
 * Compiled templates. Private to src/template/.
 *
 * Everything lives in the memory context the template was compiled in and
 * points into the copy of the source kept there.
 */
#ifndef INTEG_TEMPLATE_NODE_H
#define INTEG_TEMPLATE_NODE_H

#include "postgres.h"

#include "core/compat.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "template/template.h"
#include "utils/jsonb.h"

#define TEMPLATE_MAX_DEPTH 64
#define TEMPLATE_MAX_LOCALS 16

/* One step of a path: a key, or with key NULL an index. */
typedef struct TemplateStep
{
	const char *key;
	int len;
	int index;
} TemplateStep;

typedef struct TemplateSteps
{
	int count;
	TemplateStep *steps;
} TemplateSteps;

typedef enum TemplateRoot
{
	TEMPLATE_INPUT,
	TEMPLATE_CONFIG,
	TEMPLATE_TASK,
	TEMPLATE_TOKEN,
	TEMPLATE_CREDENTIALS,
	TEMPLATE_LOCAL
} TemplateRoot;

/* A placeholder's name, resolved as far as it can be without values. */
typedef struct TemplateRef
{
	const char *name; /* as written */
	TemplateRoot root;
	int slot;			 /* of a local */
	TemplateSteps steps; /* behind the root */
} TemplateRef;

typedef enum TemplatePartKind
{
	TEMPLATE_PART_LITERAL,
	TEMPLATE_PART_REF,
	TEMPLATE_PART_FRAGMENT /* the next `count` parts are one */
} TemplatePartKind;

typedef struct TemplatePart
{
	TemplatePartKind kind;
	const char *text;
	int len;
	TemplateRef *ref;
	bool keep_slashes;
	int count;
} TemplatePart;

typedef enum TemplateKind
{
	TEMPLATE_LITERAL,
	TEMPLATE_TEXT,
	TEMPLATE_VALUE,
	TEMPLATE_OBJECT,
	TEMPLATE_ARRAY,
	TEMPLATE_EACH,
	TEMPLATE_IF
} TemplateKind;

typedef struct TemplateNode TemplateNode;

struct TemplateNode
{
	TemplateKind kind;
	JsonbValue literal; /* unpacked: no jbvBinary in it */

	/* text */
	int nparts;
	TemplatePart *parts;

	/* value, each (the list), if (the condition, or NULL) */
	TemplateRef *ref;

	/* object, array */
	int count;
	JsonbValue *keys;
	TemplateNode **children;

	/* each */
	int slot;
	int index_slot; /* -1: none */
	TemplateNode *body;

	/* if */
	IntegPath *predicate;
	int nlocals; /* visible to the predicate */
	const char *const *local_names;
	TemplateNode *then;
	TemplateNode *otherwise;
};

struct IntegTemplate
{
	const char *where;
	TemplateNode *root;
	Jsonb *literal; /* the document, where the whole template is literal */
};

struct IntegPath
{
	const char *source;
	TemplateSteps steps;
	struct varlena *jsonpath; /* NULL: a dot path */
	bool predicate;			  /* the jsonpath asks a question instead of finding items */
};

/* A rendering under way. */
typedef struct TemplateRender
{
	const IntegTemplate *template;
	const IntegTemplateScope *scope;
	Size bytes;			 /* rendered so far, about */
	StringInfoData text; /* of the text at hand; data NULL before the first */
	JsonbValue locals[TEMPLATE_MAX_LOCALS];
	Jsonb *predicate_scope; /* made when the first predicate needs it */
	MemoryContext scratch;	/* of one predicate, made with predicate_scope */
	List *secrets;			/* copies to wipe */
} TemplateRender;

/*
 * Copies a value so that it can be part of a built document: containers are unpacked, because PostgreSQL serializes no
 * jbvBinary; strings and numbers still point into the source. Adds its size to *bytes.
 */
extern void template_unpack(const JsonbValue *value, JsonbValue *out, Size *bytes);

/* Raises IG400 where a rendering has passed INTEG_TEMPLATE_MAX_BYTES. */
extern void template_check_size(Size bytes, const char *where);

/* Compiles the steps of a path. NULL in *problem, else a phrase that continues "the path …". */
extern TemplateSteps template_steps_compile(const char *source, size_t len, const char **problem);

/* Follows steps from a value; false where one leads nowhere. The result points into the value. */
extern bool template_steps_follow(const TemplateStep *steps, int count, const JsonbValue *from, JsonbValue *found);

/* As integ_path_compile, of a path that may have these variables where it is a jsonpath. */
extern IntegPath *template_path_compile(const char *source, const char *where, const char *const *names, int nnames);

/* As integ_path_exists, with variables (an object, or NULL) for a jsonpath. */
extern bool template_path_holds(const IntegPath *path, const Jsonb *document, const Jsonb *variables);

/* A placeholder's value; false where it is absent. A credential is a copy that is remembered for wiping. */
extern bool template_ref_value(TemplateRender *render, const TemplateRef *ref, JsonbValue *value);

/* Whether a placeholder that looks like an input's is of what earlier requests brought. */
extern bool template_is_earlier(const IntegTemplateScope *scope, const TemplateRef *ref);

/* Renders a node to an unpacked value; false where it is absent. */
extern bool template_render_node(TemplateRender *render, const TemplateNode *node, JsonbValue *out);

/* The branch that an $if takes, NULL where it has none. */
extern const TemplateNode *template_if_branch(TemplateRender *render, const TemplateNode *node);

/* Calls turn with the body of an $each for each element of its list; false where the list is absent. */
extern bool template_each(TemplateRender *render, const TemplateNode *node,
						  void (*turn)(TemplateRender *render, const TemplateNode *body, void *arg), void *arg);

/* Renders text parts; false where the whole is absent. The text is terminated. */
extern bool template_render_text(TemplateRender *render, const TemplateNode *node, IntegTemplateEncoding encoding,
								 StringInfo out);

/* A scalar as text, appended raw; containers raise IG400 naming the placeholder. Not for null. */
extern void template_append_scalar(const TemplateRender *render, StringInfo out, const JsonbValue *value,
								   const char *name);

/*
 * Appends what is not unreserved (RFC 3986) as %XX; spaces as "+" where plus; slashes as they are where
 * keep_slashes.
 */
extern void template_append_percent(StringInfo out, const char *text, int len, bool plus, bool keep_slashes);

extern void template_render_begin(TemplateRender *render, const IntegTemplate *compiled,
								  const IntegTemplateScope *scope);

/* Overwrites the copies of secrets that were made. */
extern void template_render_end(TemplateRender *render);

pg_noreturn extern void template_fail(const char *where, const char *format, ...) pg_attribute_printf(2, 3);

#endif /* INTEG_TEMPLATE_NODE_H */

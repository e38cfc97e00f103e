/*
 * Templates of a manifest: placeholders, $each, $if, optional fragments; and
 * the paths that read an answer.
 *
 * docs/manifest.md, "Placeholders", is the reference.
 */
#ifndef INTEG_TEMPLATE_TEMPLATE_H
#define INTEG_TEMPLATE_TEMPLATE_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef struct IntegTemplate IntegTemplate;

/* How the values inside a text template are written. */
typedef enum IntegTemplateEncoding
{
	INTEG_TEMPLATE_RAW,	   /* as they are: header values, auth values */
	INTEG_TEMPLATE_PERCENT /* percent-encoded: paths */
} IntegTemplateEncoding;

/* Gives a credential's plaintext: palloc'ed by the callee and wiped by it. NULL where there is none. */
typedef const char *(*IntegTemplateSecret)(void *arg, const char *name);

/* Where placeholders take their values. Every part may be NULL. */
typedef struct IntegTemplateScope
{
	const JsonbContainer *input;
	const JsonbContainer *config;
	const JsonbContainer *task;
	IntegTemplateSecret secret;
	void *secret_arg;
} IntegTemplateScope;

/*
 * Compiles a template (string, object, array, scalar) into CurrentMemoryContext. where is the path in the
 * manifest for messages. Raises IG400 for a malformed placeholder, an unclosed
 * fragment, a malformed $each or $if.
 */
extern IntegTemplate *integ_template_compile(const JsonbValue *source, const char *where);

/*
 * Renders a template that is a string to text in CurrentMemoryContext. An absent placeholder inside a [fragment]
 * drops the fragment; outside one it raises IG400 naming it. NULL where the whole template is one
 * absent placeholder.
 */
extern char *integ_template_text(const IntegTemplate *compiled, const IntegTemplateScope *scope,
								 IntegTemplateEncoding encoding);

/*
 * Renders any template to a document: a value that is exactly one placeholder keeps its JSON
 * type, an absent one drops its key or element. NULL where everything was dropped. Raises IG400 as above, and where
 * the result passes INTEG_TEMPLATE_MAX_BYTES.
 */
extern Jsonb *integ_template_json(const IntegTemplate *compiled, const IntegTemplateScope *scope);

/* Calls visit for every placeholder name ("sku", "config.base_url", "credentials.token") of the template; for checks at definition time. */
extern void integ_template_visit(const IntegTemplate *compiled, void (*visit)(const char *name, void *arg), void *arg);

#define INTEG_TEMPLATE_MAX_BYTES (16 * 1024 * 1024)

typedef struct IntegPath IntegPath;

/* Compiles a dot path (".data.items[0].id", "." is the whole) or a jsonpath that starts with "$". Raises IG400 naming where. */
extern IntegPath *integ_path_compile(const char *source, const char *where);

/* What the path finds, in CurrentMemoryContext: its one value, NULL where there is none; several (jsonpath) become an array. */
extern Jsonb *integ_path_get(const IntegPath *path, const Jsonb *document);

/* Whether the path finds anything (for "when" of errors). */
extern bool integ_path_exists(const IntegPath *path, const Jsonb *document);

#endif /* INTEG_TEMPLATE_TEMPLATE_H */

/*
 * Templates of a manifest: placeholders, $each, $if, optional fragments; and
 * the paths that read an answer.
 *
 * docs/templates.md is the reference.
 */
#ifndef INTEG_TEMPLATE_TEMPLATE_H
#define INTEG_TEMPLATE_TEMPLATE_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef struct IntegTemplate IntegTemplate;

/* How the values inside a text template are written. */
typedef enum IntegTemplateEncoding
{
	INTEG_TEMPLATE_RAW,		/* as they are: auth values, bodies */
	INTEG_TEMPLATE_PERCENT, /* percent-encoded: paths */
	INTEG_TEMPLATE_HEADER,	/* as they are; control characters other than a tab raise IG400 */
	INTEG_TEMPLATE_XML,		/* escaped for XML; characters that it cannot hold raise IG400 */
	INTEG_TEMPLATE_MARKDOWN /* what would be markup of CommonMark has a backslash before it */
} IntegTemplateEncoding;

/* How a list is written as a parameter of a query or a form. */
typedef enum IntegArrayStyle
{
	INTEG_ARRAY_REPEAT,	  /* a=1&a=2 */
	INTEG_ARRAY_COMMA,	  /* a=1,2 */
	INTEG_ARRAY_SPACE,	  /* a=1%202 */
	INTEG_ARRAY_PIPE,	  /* a=1%7C2 */
	INTEG_ARRAY_BRACKETS, /* a[]=1&a[]=2 */
	INTEG_ARRAY_INDEXES,  /* a[0]=1&a[1]=2 */
	INTEG_ARRAY_JSON	  /* a=[1,2] */
} IntegArrayStyle;

/* How an object is. */
typedef enum IntegObjectStyle
{
	INTEG_OBJECT_REFUSED,
	INTEG_OBJECT_BRACKETS, /* a[b]=1: "deepObject" of OpenAPI */
	INTEG_OBJECT_DOTS,	   /* a.b=1 */
	INTEG_OBJECT_JSON	   /* a={"b":1} */
} IntegObjectStyle;

typedef struct IntegParameterStyle
{
	IntegArrayStyle arrays;
	IntegObjectStyle objects;
} IntegParameterStyle;

/* Puts what {"arrays": …, "objects": …} says into style and leaves the rest. Raises IG400 naming where. */
extern void integ_parameter_style_read(const JsonbContainer *source, const char *where, IntegParameterStyle *style);

/* Gives a credential's plaintext: palloc'ed by the callee and wiped by it. NULL where there is none. */
typedef const char *(*IntegTemplateSecret)(void *arg, const char *name);

/* Where placeholders take their values. Every part may be NULL. */
typedef struct IntegTemplateScope
{
	const JsonbContainer *input;
	const JsonbContainer *config;
	const JsonbContainer *task;
	const JsonbContainer *token;   /* what the token answer told besides tokens */
	const JsonbContainer *earlier; /* its members ("steps", "job", "pagination") come before the input's */
	bool names_earlier;			   /* they are not known yet: their placeholders stand for themselves, to be shown */
	IntegTemplateSecret secret;
	void *secret_arg;
} IntegTemplateScope;

/*
 * Compiles a template (string, object, array, scalar) into CurrentMemoryContext. where is the path in the
 * manifest for messages. Raises IG400 for a malformed placeholder, an unclosed
 * fragment, a malformed $each, $if or $literal, more than 64 levels.
 */
extern IntegTemplate *integ_template_compile(const JsonbValue *source, const char *where);

/*
 * Renders a template that is a string to text in CurrentMemoryContext; with INTEG_TEMPLATE_RAW, INTEG_TEMPLATE_XML and
 * INTEG_TEMPLATE_MARKDOWN also a list of strings, $each and $if included, whose texts follow each other. An absent
 * placeholder inside a [fragment] drops the fragment; outside one it raises IG400 naming it (IG401 for a credential).
 * In text a null is absent. NULL where the whole template is one absent placeholder, or fragments that were all
 * dropped.
 *
 * With INTEG_TEMPLATE_PERCENT a value that makes a path segment empty, "." or ".." raises IG400.
 * The text may hold credentials: the caller wipes it.
 */
extern char *integ_template_text(const IntegTemplate *compiled, const IntegTemplateScope *scope,
								 IntegTemplateEncoding encoding);

/*
 * Renders any template to a document: a value that is exactly one placeholder keeps its JSON
 * type, an absent one drops its key or element. NULL where everything was dropped. Raises IG400 as above, and where
 * the result passes INTEG_TEMPLATE_MAX_BYTES. A template without placeholders returns the compiled document
 * itself, not to be changed or freed. A document with credentials is for the caller to wipe.
 */
extern Jsonb *integ_template_json(const IntegTemplate *compiled, const IntegTemplateScope *scope);

/*
 * Renders an object template as a query (a=b&c=d) or a form (the same with "+" for a space): names and values
 * percent-encoded, absent and null ones dropped, lists and objects in the style given (NULL: repeated names, no
 * objects). NULL where nothing is left. Raises IG400 for a value that the style has no form for, and for a template
 * that is no object.
 */
extern char *integ_template_query(const IntegTemplate *compiled, const IntegTemplateScope *scope,
								  const IntegParameterStyle *style);
extern char *integ_template_form(const IntegTemplate *compiled, const IntegTemplateScope *scope,
								 const IntegParameterStyle *style);

/* The same of a document, for what is not rendered at once; where is for messages. */
extern char *integ_form_encode(const Jsonb *document, const IntegParameterStyle *style, const char *where);

/*
 * Renders an object template as headers: calls visit for each name and value, arrays as repeated names, objects as
 * JSON in ASCII (what is not is written as \uXXXX), absent and null ones left out. The strings are valid during the
 * call and wiped after it. Raises IG400 as integ_template_query does, for a name that is no token (RFC 9110) and
 * for control characters.
 */
extern void integ_template_headers(const IntegTemplate *compiled, const IntegTemplateScope *scope,
								   void (*visit)(const char *name, const char *value, void *arg), void *arg);

/* Calls visit for every placeholder name ("sku", "config.base_url", "credentials.token") of the template, those of
 * $each and $if included, those of a list's own element not; for checks at definition time. */
extern void integ_template_visit(const IntegTemplate *compiled, void (*visit)(const char *name, void *arg), void *arg);

#define INTEG_TEMPLATE_MAX_BYTES (16 * 1024 * 1024)

typedef struct IntegPath IntegPath;

/*
 * Compiles a dot path (".data.items[0].id", "." is the whole) or a jsonpath that starts with "$" and has no variables.
 * Raises IG400 naming where.
 */
extern IntegPath *integ_path_compile(const char *source, const char *where);

/*
 * What the path finds, in CurrentMemoryContext: its one value, NULL where there is none; several (jsonpath) become an
 * array.
 */
extern Jsonb *integ_path_get(const IntegPath *path, const Jsonb *document);

/* Whether it starts with "$": it may find several values then. */
extern bool integ_path_is_jsonpath(const IntegPath *path);

/* What it finds as text in CurrentMemoryContext, where that is a scalar; NULL where it is none, null or absent. */
extern char *integ_path_text(const IntegPath *path, const Jsonb *document);

/*
 * As integ_path_get without making a document: the value points into the one given, or is in CurrentMemoryContext.
 * False where there is none.
 */
extern bool integ_path_find(const IntegPath *path, const JsonbValue *document, JsonbValue *found);

/*
 * Whether the path finds anything (for "when" of errors). A jsonpath that is a predicate ("$.ok == false") counts
 * where it is true.
 */
extern bool integ_path_exists(const IntegPath *path, const Jsonb *document);

typedef struct IntegMap IntegMap;

/*
 * Compiles a map (response.map): a document whose strings are paths; {"$each": path, "do": map} maps a list,
 * {"$literal": …} stands for itself, and so do numbers, booleans and null. Raises IG400 naming where.
 */
extern IntegMap *integ_map_compile(const Jsonb *source, const char *where);

/* The mapped document, in CurrentMemoryContext. What a path does not find is left out; NULL where nothing is left. */
extern Jsonb *integ_map_eval(const IntegMap *map, const Jsonb *document);

#endif /* INTEG_TEMPLATE_TEMPLATE_H */

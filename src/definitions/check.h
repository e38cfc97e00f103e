/*
 * Checking a manifest: internal to definitions.
 */
#ifndef INTEG_DEFINITIONS_CHECK_H
#define INTEG_DEFINITIONS_CHECK_H

#include "postgres.h"

#include "definitions/compile.h"
#include "lib/stringinfo.h"

/* What is wrong with a manifest, found so far. */
typedef struct IntegManifestProblems
{
	StringInfoData list; /* a line each: "/methods/0/request: …" */
	int count;
} IntegManifestProblems;

/* What one of several requests knows of the others: what ran before it. */
typedef struct IntegReach
{
	int steps; /* how many of the method's steps */
	bool job;  /* the job was submitted */
} IntegReach;

/* What is checked: the document, and what was compiled of it. */
typedef struct IntegManifestCheck
{
	const JsonbContainer *root;
	const IntegDefinition *definition;
	IntegManifestProblems problems;
	const IntegReach *reach; /* of the request of several that is checked; NULL: its method has one */
} IntegManifestCheck;

/*
 * Raises IG400 where the manifest does not match connectors/manifest.schema.json or
 * contradicts itself; the detail has the path of every problem in the document.
 */
extern void integ_manifest_check(const Jsonb *manifest);

/*
 * Raises IG404, IG403 or IG400 where a function that the manifest names cannot be called as the role, with its
 * path; and IG400 for any function where role is InvalidOid: nobody would answer for it.
 */
extern void integ_manifest_check_functions(const Jsonb *manifest, Oid role);

/* connectors/manifest.schema.json, as it was when the library was built. */
extern const char *integ_manifest_schema_text(void);

/* Adds a problem at a path. */
extern void integ_manifest_problem(IntegManifestCheck *check, const char *where, const char *format, ...)
	pg_attribute_printf(3, 4);

/* The parts; where is the path of the object given. */
extern void integ_manifest_check_references(IntegManifestCheck *check);
extern void integ_manifest_check_method(IntegManifestCheck *check, const IntegMethod *method, const char *where);
extern void integ_manifest_check_pagination(IntegManifestCheck *check, const IntegMethod *method, const char *where);
extern void integ_manifest_check_base_url(IntegManifestCheck *check);
extern void integ_manifest_check_auths(IntegManifestCheck *check);
extern void integ_manifest_check_discovery(IntegManifestCheck *check);
extern void integ_manifest_check_url(IntegManifestCheck *check, const JsonbContainer *object, const char *key,
									 const char *where);

/* Which placeholders a template may have. */
typedef enum IntegPlaceholders
{
	INTEG_PLACEHOLDERS_URL,		/* config, and the token answer's parts */
	INTEG_PLACEHOLDERS_AUTH,	/* config and credentials */
	INTEG_PLACEHOLDERS_ITEM,	/* what discovery knows of an item, and config */
	INTEG_PLACEHOLDERS_BODY,	/* those, body, input and method: of requestTransform */
	INTEG_PLACEHOLDERS_REQUEST, /* input, config, credentials, task, and what earlier requests brought */
	INTEG_PLACEHOLDERS_PAGE,	/* these, and the next page's value */
} IntegPlaceholders;

/* Checks every placeholder of the template under the key; method is NULL outside of one. */
extern void integ_manifest_check_template(IntegManifestCheck *check, const JsonbContainer *object, const char *key,
										  const char *where, IntegPlaceholders allowed, const IntegMethod *method);

/* Whether a name with dots may be a property under the schema: false only where it certainly is none. */
extern bool integ_schema_may_have(const JsonbContainer *schema, const char *name);

/* Calls visit for every object of the array under the key, with its path. */
typedef void (*IntegManifestVisit)(IntegManifestCheck *check, const JsonbContainer *item, const char *where);
extern void integ_manifest_each(IntegManifestCheck *check, const JsonbContainer *object, const char *key,
								const char *where, IntegManifestVisit visit);

#endif /* INTEG_DEFINITIONS_CHECK_H */

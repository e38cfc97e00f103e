/*
 * From a manifest to what calls need: internal to definitions.
 */
#ifndef INTEG_DEFINITIONS_COMPILE_H
#define INTEG_DEFINITIONS_COMPILE_H

#include "postgres.h"

#include "definitions/definition.h"

/*
 * Compiles a manifest into CurrentMemoryContext, which then holds the definition and must
 * hold the manifest. Methods stay uncompiled. Raises IG400 with the path in the manifest, behind root, which names
 * the document where that is not obvious.
 * status, client_id and the like are the manifest's; the cache puts the table's over them.
 */
extern IntegDefinition *integ_definition_compile(const Jsonb *manifest, const char *root);

/* Compiles one way to authenticate: holder has authType, auth and what belongs to them. */
extern void integ_auth_compile(const JsonbContainer *holder, const char *where, IntegAuth *auth);

/* Compiles a method in place, in CurrentMemoryContext; where is its path in the manifest ("/methods/0"). */
extern void integ_method_compile(IntegMethod *method, const char *where);

/*
 * The method with that id among methods sorted by id, compiled below parent; NULL where there is none. owner is
 * for messages.
 */
extern const IntegMethod *integ_method_find(IntegMethod *methods, int nmethods, const char *id, MemoryContext parent,
											const char *owner);

/* Fills what is known of a method without compiling it. */
extern void integ_method_describe(IntegMethod *method, const JsonbContainer *manifest, int index);

/* Compiles the parts; where is the path of the object that holds the key. NULL (false) where the key is absent. */
extern IntegTemplate *integ_compile_template(const JsonbContainer *object, const char *key, const char *where);
extern IntegSchema *integ_compile_schema(const JsonbContainer *object, const char *key, const char *where);
extern IntegPath *integ_compile_path(const JsonbContainer *object, const char *key, const char *where);
extern IntegMap *integ_compile_map(const JsonbContainer *object, const char *key, const char *where);
extern bool integ_compile_style(const JsonbContainer *object, const char *where, IntegParameterStyle *style);
extern void integ_compile_partial(const JsonbContainer *response, const char *where, IntegPartial *partial);
extern void integ_compile_errors(const JsonbContainer *object, const char *where, IntegErrorRules *rules);

#endif /* INTEG_DEFINITIONS_COMPILE_H */

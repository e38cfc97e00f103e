/*
 * Reading and building jsonb from C.
 *
 * Documents stay jsonb from end to end (manifests, input, records): exact
 * numbers and one representation. Everything returned is in CurrentMemoryContext
 * unless it points into the document it was read from, which is said.
 */
#ifndef INTEG_CORE_JSON_H
#define INTEG_CORE_JSON_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* Looks a key up in an object. False where it is absent or the container is no object; the value
 * points into the document. A JSON null is found (type jbvNull). */
extern bool integ_json_get(const JsonbContainer *object, const char *key, JsonbValue *value);

/* The string under a key as a C string, NULL where absent, null or not a string. */
extern char *integ_json_get_string(const JsonbContainer *object, const char *key);

/* Boolean and integer under a key, or the fallback where absent, null or of another type.
 * An integer out of the range of int64 or with a fraction gives the fallback. */
extern bool integ_json_get_bool(const JsonbContainer *object, const char *key, bool fallback);
extern int64 integ_json_get_int(const JsonbContainer *object, const char *key, int64 fallback);

/* The object or array under a key, NULL where absent or of another type. Points into the document. */
extern const JsonbContainer *integ_json_get_object(const JsonbContainer *object, const char *key);
extern const JsonbContainer *integ_json_get_array(const JsonbContainer *object, const char *key);

/* A scalar as text without quotes; a container as its JSON text; JSON null as NULL. */
extern char *integ_json_value_text(const JsonbValue *value);

/* A value of a container as a document of its own. */
extern Jsonb *integ_json_value_jsonb(const JsonbValue *value);

/* Parses JSON text; raises PostgreSQL's own error (22P02) where it is not JSON. */
extern Jsonb *integ_json_parse(const char *text);
extern Jsonb *integ_json_empty_object(void);
extern Jsonb *integ_json_string(const char *text, size_t len); /* a document that is this text */
extern Jsonb *integ_json_empty_array(void);
extern Jsonb *integ_json_null(void); /* a document that is null */
extern char *integ_json_print(const Jsonb *document);

/* Builder: begin, add…, end. Keys and strings are copied. Objects and arrays nest by open/close. */
typedef struct IntegJsonBuilder
{
	JsonbParseState *state;
	JsonbValue *root;
} IntegJsonBuilder;

extern void integ_json_begin_object(IntegJsonBuilder *builder);
extern void integ_json_open_object(IntegJsonBuilder *builder, const char *key); /* key NULL inside an array */
extern void integ_json_open_array(IntegJsonBuilder *builder, const char *key);
extern void integ_json_close(IntegJsonBuilder *builder); /* the innermost open object or array */
extern void integ_json_add(IntegJsonBuilder *builder, const char *key, const JsonbValue *value);
extern void integ_json_add_jsonb(IntegJsonBuilder *builder, const char *key, const Jsonb *value);
extern void integ_json_add_string(IntegJsonBuilder *builder, const char *key, const char *value); /* NULL: JSON null */
extern void integ_json_add_known(IntegJsonBuilder *builder, const char *key, const char *value);  /* NULL: nothing */
extern void integ_json_add_int(IntegJsonBuilder *builder, const char *key, int64 value);
extern void integ_json_add_bool(IntegJsonBuilder *builder, const char *key, bool value);
extern void integ_json_add_time(IntegJsonBuilder *builder, const char *key, TimestampTz value); /* ISO 8601, UTC */
extern void integ_json_add_null(IntegJsonBuilder *builder, const char *key);
extern Jsonb *integ_json_end(IntegJsonBuilder *builder);

#endif /* INTEG_CORE_JSON_H */

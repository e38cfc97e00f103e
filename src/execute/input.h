/*
 * Inputs that integ fills in by itself: where a mark, an id or an address goes into a method's input.
 */
#ifndef INTEG_EXECUTE_INPUT_H
#define INTEG_EXECUTE_INPUT_H

#include "postgres.h"

#include "core/json.h"
#include "definitions/definition.h"

/* The properties of the method's inputSchema, NULL where it names none. */
extern const JsonbContainer *integ_input_properties(const IntegMethod *method);

/* Adds a text, or the number that it is where the property of that name wants one. properties may be NULL. */
extern void integ_input_add_text(IntegJsonBuilder *builder, const JsonbContainer *properties, const char *name,
								 const char *text);

/* The keys of base with those of over in their place; over may be NULL. In CurrentMemoryContext. */
extern const Jsonb *integ_input_with(const Jsonb *base, const Jsonb *over);

/* The keys of given that properties have; all of them where properties is NULL. In CurrentMemoryContext. */
extern const Jsonb *integ_input_known(const Jsonb *given, const JsonbContainer *properties);

#endif /* INTEG_EXECUTE_INPUT_H */

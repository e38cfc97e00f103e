/*
 * What the files that validate share. Private to src/schema/.
 */
#ifndef INTEG_SCHEMA_VALIDATE_H
#define INTEG_SCHEMA_VALIDATE_H

#include "postgres.h"

#include "schema/node.h"

/* The way to the value at hand: by key, or by index with key NULL. The document itself has no step. */
typedef struct SchemaStep
{
	const struct SchemaStep *parent;
	const char *key;
	int len;
	uint32 index;
} SchemaStep;

/* One walk over a document. With problems NULL it ends at the first violation. */
typedef struct SchemaWalk
{
	IntegSchemaProblems *problems;
	int depth;
	int64 *steps; /* left, before the walk is out of proportion to the document */
} SchemaWalk;

/*
 * Which members of one object or array were evaluated, for unevaluated…: by
 * their order in the container. Only kept where such a keyword asks.
 */
typedef struct SchemaMarks
{
	uint32 count;
	uint64 few;
	uint64 *words;
} SchemaMarks;

extern void schema_marks_begin(SchemaMarks *marks, uint32 count);
extern void schema_marks_end(SchemaMarks *marks);
extern void schema_marks_merge(SchemaMarks *into, const SchemaMarks *from);

static inline void
schema_mark(SchemaMarks *marks, uint32 index)
{
	if (marks != NULL)
		marks->words[index / 64] |= UINT64CONST(1) << (index % 64);
}

static inline bool
schema_is_marked(const SchemaMarks *marks, uint32 index)
{
	return (marks->words[index / 64] & UINT64CONST(1) << (index % 64)) != 0;
}

/* Whether a failed check may end the walk. */
static inline bool
schema_enough(const SchemaWalk *walk)
{
	return walk->problems == NULL || walk->problems->count == INTEG_SCHEMA_MAX_PROBLEMS;
}

/* Records a violation; always false. The message never holds a value of the document. */
extern bool schema_problem(SchemaWalk *walk, const SchemaStep *at, const char *format, ...) pg_attribute_printf(3, 4);

/* Validates a value. marks, where not NULL, learns which of its members were evaluated. */
extern bool schema_validate_node(SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value,
								 const SchemaStep *at, SchemaMarks *marks);

/* As above without recording problems. */
extern bool schema_accepts(const SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value);

extern bool schema_validate_number(SchemaWalk *walk, const SchemaNumberRules *rules, Numeric value,
								   const SchemaStep *at);
extern bool schema_validate_string(SchemaWalk *walk, const SchemaStringRules *rules, const JsonbValue *value,
								   const SchemaStep *at);
extern bool schema_validate_array(SchemaWalk *walk, const SchemaArrayRules *rules, const JsonbContainer *array,
								  const SchemaStep *at, SchemaMarks *marks);
extern bool schema_validate_object(SchemaWalk *walk, const SchemaObjectRules *rules, const JsonbValue *value,
								   const SchemaStep *at, SchemaMarks *marks);
extern bool schema_validate_in_place(SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value,
									 const SchemaStep *at, SchemaMarks *marks);

/* Whether all elements of an array differ. */
extern bool schema_elements_differ(const JsonbContainer *array);

/* Whether two values are equal as JSON Schema says: numbers by value, objects whatever the order. */
extern bool schema_equal(const JsonbValue *a, const JsonbValue *b);

/* Whether the type of a value is among the types. */
extern bool schema_has_type(uint8 types, const JsonbValue *value);

#endif /* INTEG_SCHEMA_VALIDATE_H */

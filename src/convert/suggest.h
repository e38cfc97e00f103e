/*
 * The fields that a suggestion matches. Private to src/convert/.
 */
#ifndef INTEG_CONVERT_SUGGEST_H
#define INTEG_CONVERT_SUGGEST_H

#include "postgres.h"

#include "access/actor.h"
#include "utils/jsonb.h"

typedef enum SuggestKind
{
	SUGGEST_ANY,
	SUGGEST_TEXT,
	SUGGEST_NUMBER,
	SUGGEST_BOOLEAN,
	SUGGEST_DATE,
	SUGGEST_LIST,
	SUGGEST_OBJECT
} SuggestKind;

typedef struct SuggestField
{
	const char *name; /* of a source: its path */
	SuggestKind kind;
	bool taken;
	bool used;	   /* a part of something: it may be taken as well */
	bool writable; /* of a target */
} SuggestField;

typedef struct SuggestFields
{
	int count;
	int room;
	SuggestField *fields;
} SuggestFields;

/* The properties of an entity's JSON Schema (NULL: none), and of objects within it. */
extern void suggest_read_schema(const JsonbContainer *schema, SuggestFields *fields);

/* What a record, or the first hundred of a list, have that is not known yet. */
extern void suggest_read_samples(const Jsonb *samples, SuggestFields *fields);

/* The fields of a record type or, with a qualified name, of a table; returns whether it is a table. Raises IG404. */
extern bool suggest_read_target(const IntegActor *actor, const char *target, SuggestFields *fields);

#endif /* INTEG_CONVERT_SUGGEST_H */

/*
 * Conversion: from a record of a service to one of ours, and back.
 *
 * A conversion schema (a row of integ.conversion_schemas) is compiled once into
 * a plan and cached per backend until the row changes. A run binds a plan to
 * the config of a task; applying it to a record reads the record in place and
 * gives a value for each field, or says why there is none. docs/conversion.md
 * is the reference.
 *
 * For a page of records:
 *
 *   conversion = integ_conversion_get(&id, INTEG_PULL);   (pinned in CurrentMemoryContext)
 *   integ_conversion_require_runnable(conversion);
 *   run = integ_conversion_begin(conversion, task_config, client);
 *   for each record:
 *       integ_conversion_apply(run, &record, &converted);
 *       … converted.values, or integ_converted_jsonb(run, &converted) …
 *       MemoryContextReset(the context it was called in);
 */
#ifndef INTEG_CONVERT_CONVERSION_H
#define INTEG_CONVERT_CONVERSION_H

#include "postgres.h"

#include "access/actor.h"
#include "core/pinned.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef enum IntegDirection
{
	INTEG_PULL, /* field_mappings: their record to ours */
	INTEG_PUSH	/* the inverse: ours to theirs */
} IntegDirection;

/* Texts and documents longer than this are refused as the value of a field. */
#define INTEG_CONVERT_MAX_VALUE (64 * 1024 * 1024)

/* External ids are part of a key. */
#define INTEG_CONVERT_MAX_ID 1000

/* Private parts: src/convert/plan.h. */
typedef struct ConvertPlan ConvertPlan;

typedef struct IntegConversion
{
	IntegPinned pinned; /* holds all of this */
	pg_uuid_t id;
	IntegDirection direction;
	const char *schema_id;	  /* handle */
	int64 version;			  /* of the row: grows whenever what it converts to may change */
	const char *client_id;	  /* '*' for global */
	const char *context_user; /* of a user's context; else NULL */
	Oid owner;
	bool has_instance;
	pg_uuid_t instance;
	const char *source_entity;
	const char *target_type;  /* id of the record type; NULL where the target is a table */
	const char *target_table; /* as SQL writes it; NULL where the target is a record type */
	Oid target_relation;	  /* InvalidOid where the target is a record type */
	bool create_if_missing;
	bool update_if_exists;
	bool delete_if_removed;
	const char *removal;  /* what deleting means: delete, soft_delete, detach */
	const char *strategy; /* of deduplication: external_id, field_match, composite */
	int nmatch_fields;
	const char *const *match_fields; /* target fields that field_match and composite compare */
	bool is_active;
	bool runs_code; /* SQL of its owner: custom, or a lookup in a user's table */
	int nfields;	/* mappings in their order, then the relations that have a target field */
	const char *const *fields;
	ConvertPlan *plan;
} IntegConversion;

/*
 * The compiled schema, checked in full, pinned until CurrentMemoryContext is reset or deleted. NULL where there is no
 * such row. No visibility check. No SPI once cached. Raises IG400 naming the mapping that is not valid.
 */
extern PGDLLEXPORT const IntegConversion *integ_conversion_get(const pg_uuid_t *id, IntegDirection direction);

/*
 * As above by handle or id, for an actor: its own user's, then its client's, then global. Raises IG404 where nothing
 * visible matches.
 */
extern const IntegConversion *integ_conversion_resolve(const IntegActor *actor, const char *name,
													   IntegDirection direction);

/* Raises IG403 where the schema runs SQL and the current role is not its owner. */
extern void integ_conversion_require_runnable(const IntegConversion *conversion);

typedef enum IntegFieldState
{
	INTEG_FIELD_MISSING, /* nothing to say: the target keeps what it has */
	INTEG_FIELD_NULL,	 /* to be emptied */
	INTEG_FIELD_VALUE,
	INTEG_FIELD_FAILED /* see the errors */
} IntegFieldState;

typedef struct IntegFieldError
{
	const char *field;	/* target field, "" for the record as a whole */
	const char *reason; /* a sentence for a person */
	bool recoverable;	/* the same record may convert later: what it looks up is not there yet */
} IntegFieldError;

/* What a relation found. */
typedef struct IntegRelationValue
{
	const char *relation_type;
	const char *field;		 /* target field, or NULL */
	const char *target_type; /* record type, or NULL: a table */
	const char *target_table;
	Oid target_relation; /* that it is */
	bool by_external_id;
	const char *key_field;	 /* where not by external id */
	const char *key;		 /* external id or value of key_field; NULL: the record names nothing */
	bool found;				 /* false with a key: to be remembered and linked when it arrives */
	const char *value_field; /* of a table: the column that is referred to; NULL: its key */
	pg_uuid_t record;		 /* of a record type, where found */
	JsonbValue value;		 /* what the target field takes, where found; null where the row has null */
} IntegRelationValue;

#define INTEG_CONVERT_MAX_ERRORS 100

/* Everything is in the context that apply was called in, or points into the record. */
typedef struct IntegConverted
{
	bool filtered;			 /* the source filters leave it out; nothing else is set */
	IntegFieldState *states; /* of each field */
	JsonbValue *values;		 /* of those with INTEG_FIELD_VALUE: string, number, boolean or jbvBinary */
	Jsonb *document;		 /* of all values, where it was needed; see integ_converted_jsonb */
	const char *external_id; /* not terminated; of length 0 where the record has none */
	int external_id_len;
	int nrelations;
	IntegRelationValue *relations;
	int nerrors; /* a record with errors is not to be stored */
	IntegFieldError errors[INTEG_CONVERT_MAX_ERRORS];
} IntegConverted;

typedef struct IntegConversionRun IntegConversionRun;

/*
 * A run in CurrentMemoryContext, which must outlive it: constants rendered with the task's config (NULL: none), lookups
 * remembered. client is whose records and rates are looked up (of a schema of a client always that client). The
 * conversion stays pinned by the caller.
 */
extern PGDLLEXPORT IntegConversionRun *integ_conversion_begin(const IntegConversion *conversion, const Jsonb *task,
															  const char *client);

/*
 * Converts a record. Never raises because of what the record holds; raises what a cancel, a lack of memory or the
 * owner's SQL objects raise that are gone. All that it allocates is in CurrentMemoryContext, which the caller
 * resets; what the run remembers is bounded.
 */
extern PGDLLEXPORT void integ_conversion_apply(IntegConversionRun *run, const JsonbValue *record,
											   IntegConverted *converted);

/* The fields that have a value or are null as a document in CurrentMemoryContext; NULL where it would be too large. */
extern Jsonb *integ_converted_jsonb(const IntegConversionRun *run, const IntegConverted *converted);

/*
 * The external id of a record, before it is converted: points into the record or is in CurrentMemoryContext, not
 * terminated. False where the schema reads none, and where the record has none or one that is too long.
 */
extern bool integ_conversion_external_id(IntegConversionRun *run, const JsonbValue *record, const char **id, int *len);

/* Whether the schema says where the external id is. */
extern bool integ_conversion_has_external_id(const IntegConversion *conversion);

/* How many of the fields mappings write: they come first, and their values are fitted to the column of a table. */
extern int integ_conversion_mappings(const IntegConversion *conversion);

/*
 * A value as a Datum of a type, in CurrentMemoryContext or within the value. Types without one (integ_value_has_datum)
 * get a text. Raises where the value is none of the type, which a value that has been converted for a column of it is.
 */
extern bool integ_value_has_datum(Oid type);
extern Datum integ_value_datum(Oid type, const JsonbValue *value);

/* The same back, as to_jsonb has it; may point into the Datum. */
extern void integ_datum_value(Oid type, Datum datum, JsonbValue *value);

/* The time that a text (without a zone: UTC) or a number (an epoch) is; false where it is none. */
extern bool integ_value_instant(const JsonbValue *value, TimestampTz *instant);

#endif /* INTEG_CONVERT_CONVERSION_H */

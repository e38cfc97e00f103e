/*
 * The compiled schema and what evaluates it. Private to src/convert/.
 *
 * A plan and all it points to live in the context of its IntegConversion and
 * are never changed after compilation, but for the hints of paths and the
 * prepared statements of SQL.
 */
#ifndef INTEG_CONVERT_PLAN_H
#define INTEG_CONVERT_PLAN_H

#include "postgres.h"

#include "convert/conversion.h"
#include "convert/regex.h"
#include "core/compat.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "schema/schema.h"
#include "template/template.h"
#include "utils/hsearch.h"
#include "utils/date.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define CONVERT_MAX_MAPPINGS 2000
#define CONVERT_MAX_STEPS 100
#define CONVERT_MAX_CONDITIONS 1000
#define CONVERT_MAX_PATH 64

/* A value on its way. Dates are jbvDatetime with DATEOID or TIMESTAMPTZOID until they leave. */
typedef struct ConvertValue
{
	IntegFieldState state;
	JsonbValue json;
} ConvertValue;

/* A place in a record: steps, then perhaps a jsonpath. */
typedef struct ConvertPathStep
{
	const char *key; /* NULL: an index */
	int len;
	int index;	 /* negative: from the end */
	uint32 hint; /* where the key was in the last record, as records of one kind have the same keys */
} ConvertPathStep;

typedef struct ConvertPath
{
	const char *source; /* as written */
	int nsteps;
	ConvertPathStep *steps;
	IntegPath *jsonpath; /* or NULL */
} ConvertPath;

/* A piece of a text: literal, a field of the record, or of the task's config. */
typedef struct ConvertPiece
{
	const char *literal; /* NULL: path */
	int len;
	ConvertPath path;
	bool of_task;
} ConvertPiece;

typedef struct ConvertText
{
	int npieces;
	ConvertPiece *pieces;
} ConvertText;

/* A value of the schema; with {{task.x}} in it, it is rendered when a run begins. */
typedef struct ConvertConstant
{
	JsonbValue json;
	bool dynamic;
} ConvertConstant;

/* What a run knows of a constant. */
typedef struct ConvertOperand
{
	ConvertValue value;
	bool is_time; /* a text that is a date or a time */
	TimestampTz time;
	Numeric number; /* of a number, or of a text that is one; NULL otherwise */
	int nelements;	/* of a list: its elements */
	struct ConvertOperand *elements;
} ConvertOperand;

typedef struct ConvertEval ConvertEval;
typedef struct ConvertStep ConvertStep;
typedef struct ConvertCompile ConvertCompile;

typedef struct ConvertStepType
{
	const char *name;
	const char *keys; /* of its config, separated by spaces */
	void (*compile)(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config);
	/* Called with a present value only, unless takes_null. Sets value, or fails. */
	void (*apply)(ConvertEval *eval, const ConvertStep *step, ConvertValue *value);
	bool takes_null;
} ConvertStepType;

struct ConvertStep
{
	const ConvertStepType *type;
	const JsonbContainer *config; /* as written, or NULL */
	const char *text;			  /* search, separator, prefix, format, currency */
	int text_len;
	const char *text2; /* replacement, suffix, currency */
	int text2_len;
	bool has_number;
	int64 number; /* maxLength, index, decimals, days */
	Numeric numeric;
	bool milliseconds;
	pg_tz *zone;
	ConvertRegex *regex;
	ConvertRegexReplacement *replacement;
	ConvertPath *path;	/* currency_convert: where the source currency is, or NULL */
	ConvertPath *path2; /* currency_convert: where the date is, or NULL */
	struct ConvertSql *sql;
};

typedef struct ConvertSteps
{
	int count;
	ConvertStep *steps;
} ConvertSteps;

typedef enum ConvertOperator
{
	CONVERT_EQ,
	CONVERT_NEQ,
	CONVERT_GT,
	CONVERT_GTE,
	CONVERT_LT,
	CONVERT_LTE,
	CONVERT_CONTAINS,
	CONVERT_STARTS_WITH,
	CONVERT_ENDS_WITH,
	CONVERT_IN,
	CONVERT_NOT_IN,
	CONVERT_EXISTS,
	CONVERT_NOT_EXISTS
} ConvertOperator;

typedef struct ConvertCondition
{
	ConvertPath path;
	int shares; /* index of an earlier condition of the mapping that reads the same path, or -1 */
	ConvertOperator comparison;
	int operand; /* constant, or -1 */
} ConvertCondition;

typedef struct ConvertRule
{
	ConvertCondition condition;
	int constant; /* then a value; else -1 */
	ConvertPath path;
	ConvertSteps steps;
} ConvertRule;

/* SQL of the owner: one value out. */
typedef struct ConvertSql
{
	const char *source;
	const char *what; /* the part of the schema, for messages */
	int nargs;
	Oid types[3];
	SPIPlanPtr plan; /* prepared when a run begins, freed with the conversion */
	MemoryContextCallback release;
} ConvertSql;

typedef enum ConvertKeyType
{
	CONVERT_KEY_TEXT, /* compared as text */
	CONVERT_KEY_INT2,
	CONVERT_KEY_INT4,
	CONVERT_KEY_INT8,
	CONVERT_KEY_NUMERIC,
	CONVERT_KEY_UUID
} ConvertKeyType;

/* A lookup: a list of the schema, a table of the user, or records of a type. */
typedef struct ConvertLookup
{
	const JsonbContainer *values; /* or NULL */
	const char *table;			  /* or NULL */
	Oid relation;				  /* that the table is */
	const char *record_type;	  /* or NULL */
	const char *key_field;
	const char *value_field;
	ConvertKeyType key_type;
	ConvertSql sql; /* of a table */
	int number;		/* among the schema's lookups and relations: part of the key of what a run remembers */
} ConvertLookup;

typedef enum ConvertCheckType
{
	CONVERT_CHECK_TYPE,
	CONVERT_CHECK_MIN,
	CONVERT_CHECK_MAX,
	CONVERT_CHECK_LENGTH,
	CONVERT_CHECK_PATTERN,
	CONVERT_CHECK_ENUM,
	CONVERT_CHECK_EMAIL,
	CONVERT_CHECK_URL
} ConvertCheckType;

typedef struct ConvertCheck
{
	ConvertCheckType type;
	const char *name;	 /* of a type */
	const char *message; /* instead of ours, or NULL */
	int operand;		 /* of min, max, enum; or -1 */
	int64 min;
	int64 max; /* of length; -1: none */
	ConvertRegex *regex;
} ConvertCheck;

typedef enum ConvertKind
{
	CONVERT_DIRECT,
	CONVERT_TRANSFORM,
	CONVERT_CONDITIONAL,
	CONVERT_DEFAULT,
	CONVERT_COMPOSITE,
	CONVERT_LOOKUP,
	CONVERT_FLATTEN
} ConvertKind;

/* The column of a table that a field goes to. */
typedef struct ConvertColumn
{
	Oid type; /* base type; InvalidOid: no column */
	int32 typmod;
	bool not_null;
} ConvertColumn;

typedef struct ConvertField
{
	const char *target;
	ConvertKind kind;
	const JsonbContainer *mapping; /* as written */
	bool required;
	ConvertPath path;	/* direct, transform, flatten, lookup */
	ConvertSteps steps; /* transform */
	int nrules;
	ConvertRule *rules;
	int constant;	  /* of default; else what holds when nothing else does, or -1 */
	ConvertText text; /* composite by template */
	bool has_template;
	int nparts; /* composite by separator */
	ConvertPath *parts;
	const char *separator;
	int separator_len;
	ConvertLookup *lookup;
	int nchecks;
	ConvertCheck *checks;
	ConvertColumn column;
} ConvertField;

typedef struct ConvertRelation
{
	const char *relation_type;
	const char *target; /* or NULL */
	int field;			/* index of the target among the fields, or -1 */
	ConvertPath path;
	const char *record_type; /* or NULL */
	bool by_external_id;
	bool required;
	ConvertLookup lookup; /* table, key_field, value_field where it is one */
} ConvertRelation;

/* The keys of the result, in jsonb's order: what a field or an inner object is called. */
typedef struct ConvertNode
{
	const char *key;
	int len;
	int field; /* -1: an object */
	int nchildren;
	struct ConvertNode *children;
} ConvertNode;

struct ConvertPlan
{
	int nfilters;
	ConvertCondition *filters;
	int nfields; /* mappings alone */
	ConvertField *fields;
	int nrelations;
	ConvertRelation *relations;
	int nconstants;
	ConvertConstant *constants;
	ConvertPath external_id;
	bool has_external_id;
	ConvertNode root;
	IntegSchema *record_schema; /* of the target's type, or NULL */
	int nlookups;
	List *sqls;	  /* of ConvertSql */
	List *tables; /* Oids of those it looks up in */
};

/* --- compilation --- */

struct ConvertCompile
{
	const char *schema; /* its handle, for messages */
	const char *what;	/* the part that is being read: "mapping \"stage\"" */
	bool push;			/* mappings are those of the other direction */
	bool full;			/* also what is outside the row: columns, types, tables */
	ConvertPlan *plan;
	List *constants; /* of ConvertConstant */
	List *sqls;		 /* of ConvertSql */
	bool runs_code;
};

/* The row that is compiled. Documents must live as long as the plan. */
typedef struct ConvertSource
{
	const char *schema_id;
	const Jsonb *filters;
	const Jsonb *mappings;
	const Jsonb *relationships; /* or NULL */
	const Jsonb *deduplication;
	const char *target_type;
	const char *target_table;
	const char *client_id;
} ConvertSource;

/*
 * Compiles into CurrentMemoryContext. With full, checks what the row refers to as well, and conversion's target is
 * filled in; else it looks at no catalog but that of collations and time zones. Raises IG400.
 */
extern void convert_compile(IntegConversion *conversion, const ConvertSource *source, IntegDirection direction,
							bool full);

pg_noreturn extern void convert_invalid(const ConvertCompile *compile, const char *hint, const char *format, ...)
	pg_attribute_printf(3, 4);

/* What a mapping is called in messages. */
extern const char *convert_mapping_name(const ConvertCompile *compile, const char *target);

/* Reading a part of the schema; every one raises IG400 where it is not what it must be. */
extern void convert_check_keys(ConvertCompile *compile, const JsonbContainer *object, const char *what,
							   const char *keys);
extern const char *convert_text(ConvertCompile *compile, const JsonbContainer *object, const char *key, bool needed);
extern bool convert_int(ConvertCompile *compile, const JsonbContainer *object, const char *key, int64 min, int64 max,
						int64 *result);
extern bool convert_flag(ConvertCompile *compile, const JsonbContainer *object, const char *key);
extern const JsonbContainer *convert_object(ConvertCompile *compile, const JsonbValue *value, const char *what);
extern const JsonbContainer *convert_list(ConvertCompile *compile, const JsonbContainer *object, const char *key,
										  int max, bool needed);
extern void convert_path(ConvertCompile *compile, const char *source, ConvertPath *path);
/* The steps of a dotted path, without raising; false where it is malformed. */
extern bool convert_path_steps(const char *source, int len, ConvertPath *path);
extern void convert_path_under(ConvertCompile *compile, const JsonbContainer *object, const char *key,
							   ConvertPath *path);
extern int convert_constant(ConvertCompile *compile, const JsonbValue *value);
extern void convert_text_template(ConvertCompile *compile, const char *source, int len, bool fields, ConvertText *text);
extern ConvertRegex *convert_regex(ConvertCompile *compile, const char *pattern);
extern void convert_steps(ConvertCompile *compile, const JsonbContainer *object, const char *key, ConvertSteps *steps);
extern void convert_condition(ConvertCompile *compile, const JsonbContainer *object, ConvertCondition *condition);
extern void convert_checks(ConvertCompile *compile, const JsonbContainer *mapping, ConvertField *field);
extern void convert_mapping(ConvertCompile *compile, const JsonbContainer *mapping, ConvertField *field);
extern void convert_relation(ConvertCompile *compile, const JsonbContainer *mapping, ConvertRelation *relation);
extern void convert_lookup_compile(ConvertCompile *compile, const JsonbContainer *config, ConvertLookup *lookup);
extern void convert_table_lookup(ConvertCompile *compile, ConvertLookup *lookup);
extern void convert_sql_check(ConvertCompile *compile, const char *expression);
/* Makes the SQL, in CurrentMemoryContext, part of the plan; it runs only for the schema's owner. */
extern void convert_sql_init(ConvertCompile *compile, ConvertSql *sql, int nargs, const Oid *types, const char *source);
/* The table of a qualified name, and its name as SQL writes it, by which links know it; InvalidOid where not full. */
extern Oid convert_table(ConvertCompile *compile, const char **name);

/* As above; what is done to the table has the schema compiled anew. */
extern Oid convert_watched_table(ConvertCompile *compile, const char **name);
extern void convert_target(ConvertCompile *compile, IntegConversion *conversion, const char *client);
extern void convert_tree(ConvertCompile *compile, IntegConversion *conversion);
extern const char *convert_kind_name(ConvertKind kind);

/* --- evaluation --- */

typedef struct ConvertTrace ConvertTrace;

struct IntegConversionRun
{
	const IntegConversion *conversion;
	const ConvertPlan *plan;
	const Jsonb *task;
	Jsonb *task_document; /* task, or an empty object */
	JsonbValue task_root;
	const char *client;
	MemoryContext context;
	ConvertOperand *operands; /* of the constants */
	HTAB *memo;				  /* what lookups found */
	MemoryContext memo_context;
};

struct ConvertEval
{
	IntegConversionRun *run;
	const ConvertPlan *plan;
	const JsonbValue *record;
	IntegConverted *out;
	const char *field;	 /* being converted */
	ConvertTrace *trace; /* or NULL */
};

/* As integ_conversion_apply, telling trace (or NULL) what happens. */
extern void convert_apply(IntegConversionRun *run, const JsonbValue *record, IntegConverted *out, ConvertTrace *trace);

/* Notes an error of the field; the value becomes INTEG_FIELD_FAILED. */
extern void convert_fail(ConvertEval *eval, ConvertValue *value, bool recoverable, const char *format, ...)
	pg_attribute_printf(4, 5);

/* A value as a person reads it in a message: cut, in quotes where it is a text. */
extern const char *convert_quote(const ConvertValue *value);

/* What a path finds in a document; a jsonpath that cannot be evaluated fails. eval may be NULL where there is none. */
extern void convert_read(ConvertEval *eval, const ConvertPath *path, const JsonbValue *from, ConvertValue *value);
extern void convert_map(ConvertEval *eval, int index, ConvertValue *value);
extern void convert_run_steps(ConvertEval *eval, const ConvertSteps *steps, ConvertValue *value);
extern bool convert_holds(ConvertEval *eval, const ConvertCondition *condition, const ConvertValue *value);
/* Fills in what comparing needs from the value that is set. */
extern void convert_operand(ConvertOperand *operand);
extern bool convert_order(const ConvertValue *value, const ConvertOperand *operand, int *order);
extern bool convert_equal(const ConvertValue *value, const ConvertOperand *operand);
/* The validation rules of a mapping, and whether its column takes the value; they fail it where not. */
extern void convert_check(ConvertEval *eval, const ConvertField *field, ConvertValue *value);
extern void convert_fit(ConvertEval *eval, const ConvertField *field, ConvertValue *value);
extern void convert_lookup(ConvertEval *eval, const ConvertField *field, ConvertValue *value);
extern void convert_relate(ConvertEval *eval, const ConvertRelation *relation, IntegRelationValue *found,
						   ConvertValue *value);
extern void convert_sql_prepare(ConvertSql *sql);
/* Runs it; false without a row, and where it failed. */
extern bool convert_sql(ConvertEval *eval, ConvertSql *sql, Datum *values, const char *nulls, ConvertValue *value,
						bool *several);
extern bool convert_rate(ConvertEval *eval, const char *from, const char *to, DateADT date, Numeric *rate);
extern void convert_constant_value(const ConvertConstant *constant, const JsonbValue *task, ConvertValue *value);
/* A text made of a template, or of parts with a separator. */
extern void convert_compose(ConvertEval *eval, const ConvertText *text, ConvertValue *value);
extern void convert_join(ConvertEval *eval, const ConvertField *field, ConvertValue *value);

/* Values as something else. False where they are not; nothing is noted. */
extern bool convert_is_text(const ConvertValue *value);
extern bool convert_is_uuid(const char *text, int len);
extern void convert_to_text(ConvertValue *value);			 /* scalars and dates in place */
extern Numeric convert_number_of(const char *text, int len); /* NULL where it is none */
/* A number, or a text that is one; false, and null or failed, where it is empty or something else. */
extern bool convert_take_number(ConvertEval *eval, const char *step, ConvertValue *value);
extern bool convert_time_of(const char *text, int len, pg_tz *zone, ConvertValue *value);

/* A text, number (an epoch) or date as a date or time; false, and unchanged, where it is none. zone NULL: UTC. */
extern bool convert_read_time(ConvertValue *value, pg_tz *zone);
/* The instant of a date (its midnight in UTC) or time; false for anything else. */
extern bool convert_instant(const ConvertValue *value, TimestampTz *instant);
/* Of a date or time; false where that leaves the years 1 to 9999. */
extern bool convert_add_days(ConvertValue *value, int64 days);
extern bool convert_set_instant_checked(ConvertValue *value, TimestampTz instant);
/* The day of a date, or in UTC of a time. */
extern bool convert_local_day(const ConvertValue *value, DateADT *date);

/* Makers of values. */
extern void convert_set_text(ConvertValue *value, const char *text, int len);
extern void convert_set_number(ConvertValue *value, Numeric number);
extern void convert_set_bool(ConvertValue *value, bool boolean);
extern void convert_set_date(ConvertValue *value, DateADT date);
extern void convert_set_instant(ConvertValue *value, TimestampTz instant);
extern void convert_set_document(ConvertValue *value, const Jsonb *document);
extern void convert_set_null(ConvertValue *value);
extern bool convert_is_date(const ConvertValue *value);	   /* a day */
extern bool convert_is_instant(const ConvertValue *value); /* a time */

/* The transformations, by what they work on. */
extern const ConvertStepType convert_text_steps[];
extern const int convert_text_steps_count;
extern const ConvertStepType convert_number_steps[];
extern const int convert_number_steps_count;
extern const ConvertStepType convert_date_steps[];
extern const int convert_date_steps_count;
extern const ConvertStepType convert_type_steps[];
extern const int convert_type_steps_count;

/* --- the trace of integ_convert_explain, told where there is one --- */

extern void convert_tell_field(ConvertTrace *trace, const char *field, const char *kind);
extern void convert_tell_read(ConvertTrace *trace, const char *path, const ConvertValue *value);
extern void convert_tell_step(ConvertTrace *trace, const char *step, const ConvertValue *value);
extern void convert_tell_result(ConvertTrace *trace, const ConvertValue *value);

static inline void
convert_trace_read(ConvertTrace *trace, const char *path, const ConvertValue *value)
{
	if (unlikely(trace != NULL))
		convert_tell_read(trace, path, value);
}

static inline void
convert_trace_step(ConvertTrace *trace, const char *step, const ConvertValue *value)
{
	if (unlikely(trace != NULL))
		convert_tell_step(trace, step, value);
}

static inline void
convert_trace_result(ConvertTrace *trace, const ConvertValue *value)
{
	if (unlikely(trace != NULL))
		convert_tell_result(trace, value);
}

#endif /* INTEG_CONVERT_PLAN_H */

/*
 * What the files of the engine share: how one execution of a task brings a list of records into a target.
 *
 *		execute.c	the order of things: sources, their pages, what was deleted, how it ended
 *		fetch.c		pages from the service, the next one asked for while the last one is written
 *		page.c		one page in one transaction: what is new, converted, written, linked, counted
 *		target.c	the target's columns and key, and whether the owner may write there
 *		statement.c the statements that write rows of a table, one a page
 *		rows.c		a page's records into a table; records.c the same into integ.records
 *		links.c		which external id is which local row
 *		values.c	what both sides of records look like
 *		removal.c	what disappeared at the service
 *		cursor.c	how far a source has been read
 *
 * Tables of users are written as the session's user, who is the task's owner, in which no scope of integ is open; our
 * own tables in an owner scope, in which no code of users runs.
 */
#ifndef INTEG_SYNC_ENGINE_H
#define INTEG_SYNC_ENGINE_H

#include "postgres.h"

#include "access/actor.h"
#include "convert/conversion.h"
#include "definitions/definition.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "sync/sync.h"
#include "template/template.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Bytes of the hash by which an unchanged record is recognised. */
#define SYNC_HASH_BYTES 16

/* What a soft delete sets in a table. */
#define SYNC_DELETED_COLUMN "deleted_at"

/* --- the target --- */

/* A column that is written, or is part of the key. */
typedef struct SyncColumn
{
	const char *name;
	const char *quoted;
	int field;			 /* of the conversion; -1: a part of the key that no mapping writes */
	Oid type;			 /* of the column, without its domain */
	Oid param;			 /* what its values travel as: the type, or text */
	const char *cast;	 /* behind the parameter: "" or "::public.citext" */
	bool from_json;		 /* an array: travels as jsonb, its elements become the column's */
	const char *element; /* its element type */
	const char *equals;	 /* the operator of keys and match fields, qualified; NULL: it has none */
} SyncColumn;

typedef struct SyncTarget
{
	MemoryContext context; /* holds all of this, and keeps the conversion */
	const IntegConversion *conversion;
	Oid relation;	  /* InvalidOid: integ.records */
	const char *name; /* qualified, quoted */
	bool partitioned;
	bool deferrable; /* has constraints or triggers that a commit would run */
	int ncolumns;
	SyncColumn *columns; /* of the conversion's fields, in their order */
	int nkeys;
	SyncColumn *keys;
	bool key_mapped;			/* mappings write the whole key */
	bool rekeys;				/* a record whose key changed keeps its row */
	const char *deleted_column; /* of a soft delete, quoted; NULL: none */
	List *statements;
} SyncTarget;

/*
 * The target of a conversion, checked: a table with a key, columns that can be written, rights of the current user. In
 * a context of its own below CurrentMemoryContext. Raises IG400 and IG403 with what to do.
 */
extern SyncTarget *sync_target_open(const pg_uuid_t *schema);

/* Whether nothing of it has changed since; to be called under a lock that keeps it so. */
extern bool sync_target_is_current(const SyncTarget *target, const pg_uuid_t *schema);
extern void sync_target_close(SyncTarget *target);

/* Its table as a parameter (regclass) of our statements, and whether that is null ('n'), as it is for integ.records. */
extern Datum sync_target_datum(const SyncTarget *target, char *null);

/* --- records of a page --- */

typedef enum SyncFate
{
	SYNC_WRITE,		/* to be stored */
	SYNC_UNCHANGED, /* as it was */
	SYNC_SKIPPED,	/* left out: filtered, older than what is here, repeated, not to be made or changed */
	SYNC_REMOVE,	/* the service says that it was deleted */
	SYNC_FAILED
} SyncFate;

typedef enum SyncOutcome
{
	SYNC_NOTHING,
	SYNC_CREATED,
	SYNC_UPDATED,
	SYNC_DELETED
} SyncOutcome;

/* What is done to rows of a table. */
typedef enum SyncStatementKind
{
	SYNC_UPSERT, /* by the key; one row: how many rows were written, how many of them are new (NULL: not known) */
	SYNC_INSERT, /* the table makes the key; a row each, in their order: the key */
	SYNC_UPDATE, /* by target_key; a row for each that was found: its number from 1, the key */
	SYNC_MATCH,	 /* by the fields of the deduplication; the same, several where several match */
	SYNC_DELETE, /* by target_key; the number of each that was found */
	SYNC_HIDE,	 /* the same, but deleted_at is set */
	SYNC_READ	 /* by target_key; the number of each that was found, the row as jsonb */
} SyncStatementKind;

/* Why a record was not stored. */
typedef struct SyncProblem
{
	IntegSyncPhase phase;
	const char *field; /* or NULL */
	int sqlerrcode;	   /* 0: no statement failed */
	const char *reason;
	const Jsonb *details; /* or NULL */
	bool recoverable;	  /* the same record may be stored later */
} SyncProblem;

typedef struct SyncRecord
{
	JsonbValue raw; /* points into the page */
	const char *external_id;
	int external_id_len;
	uint8 hash[SYNC_HASH_BYTES];
	bool has_modified;
	TimestampTz modified;
	SyncFate fate;
	SyncOutcome outcome;

	/* of its link */
	bool linked;	   /* there is one */
	bool same;		   /* … of the same raw record */
	bool link_deleted; /* … of something that has gone */
	TimestampTz link_modified;
	bool link_has_modified;
	const Jsonb *target_key; /* of its row; NULL: none is known */
	bool has_record;
	pg_uuid_t record; /* of integ.records */
	bool matched;	  /* it found its row by the fields of the deduplication */
	bool shared;	  /* another link leads to its row too */

	/* converted */
	Datum *values; /* of each field, as the column's parameter */
	char *states;  /* of each field: an IntegFieldState */
	char *present; /* of each field: whether the record says something of it, a null too */
	Jsonb *document;
	const Jsonb *own_key;		  /* the key that its values make; NULL: they make none */
	const Jsonb *external_values; /* what it writes, and what is then here, where its link keeps them; else NULL */
	const Jsonb *local_values;
	int nrelations;
	IntegRelationValue *relations;

	/* while it is written */
	SyncStatementKind kind;
	bool done;
	bool stored;	/* there is a row of it */
	List *problems; /* of SyncProblem */
} SyncRecord;

/* --- an execution --- */

typedef struct SyncEngine SyncEngine;
typedef struct SyncPage SyncPage;

/* What the task's config says to the engine; all the rest of it is for {{task.x}} and the method's input. */
typedef struct SyncConfig
{
	bool incremental;
	const char *modified_field; /* or NULL */
	int64 overlap_ms;			/* that a run looks back behind the mark */
	int64 max_results;			/* 0: no limit */
	int64 page_size;			/* 0: the definition's */
	int64 max_errors;			/* more records that fail than this end the run */
	int64 max_delete_percent;
	const Jsonb *input; /* of the method; or NULL */
} SyncConfig;

/* One list that is read: the task's own, or one of its sources. */
typedef struct SyncSource
{
	int position; /* 0: the task's own */
	const char *name;
	pg_uuid_t instance;
	const char *instance_text;
	pg_uuid_t schema;
	const char *entity; /* external type of its links */
	const char *method;
	const char *deleted_method; /* or NULL */
	const char *get_method;		/* or NULL: of a single record */
	const char *id_param;		/* of that */
	const Jsonb *config;		/* the task's with its own over it */
	SyncConfig options;
	const Jsonb *entity_input; /* what every method of the entity is called with; or NULL */
	IntegPath *id;			   /* of a record, where the schema does not say; or NULL */
	IntegPath *modified;	   /* where a record says when it was changed, or NULL */
	IntegPath *deleted;		   /* where it says that it was deleted, or NULL */
	const char *modified_param;
	const char *delta_param;
	const char *page_size_param;
	bool has_delta; /* its pagination gives tokens */
	bool removes;	/* its schema says that what disappears is removed */
} SyncSource;

/* execute.c: a transaction with a snapshot. */
extern void sync_begin(void);
extern void sync_commit(void);

/*
 * source.c: a source of the run, checked, in CurrentMemoryContext; that of a card has no target. Raises what is wrong
 * with its definition.
 */
extern SyncSource *sync_source_plan(SyncEngine *engine, const IntegSyncSource *given);

/* The input of one of its methods; since, delta and id may be NULL. */
extern const Jsonb *sync_source_input(const SyncSource *source, const IntegMethod *method, const char *since,
									  const char *delta, const char *id);

/* A method of the source's instance; raises IG404 where it has none of that name. In a transaction. */
extern const IntegMethod *sync_source_method(const SyncEngine *engine, const SyncSource *source, const char *name);

/* The page size that the method's pagination is asked for; 0 where the input says it, or nothing does. */
extern int64 sync_source_page_size(const SyncSource *source, const IntegMethod *method);

/* How far a source has been read: a row of integ.sync_cursors. */
typedef struct SyncCursor
{
	const char *mark;	 /* modified value up to which all is stored, as the service writes it; NULL: none */
	const char *delta;	 /* token, or NULL */
	const Jsonb *page;	 /* where a run that has not ended goes on; NULL: at the beginning */
	bool ended;			 /* … it has read the list to its end */
	bool current;		 /* made with the schema, config and method of now: else everything is asked for */
	bool full;			 /* the run reads everything, and began with nothing known */
	bool cut;			 /* maxResults ended the last run before the list's end: the next one goes on there */
	bool parts;			 /* several runs read the list, so that none of them can say what has gone */
	bool done;			 /* this execution is through with the source */
	int64 seen;			 /* pages whose ids it has collected for the sweep; -1: it collects none */
	pg_uuid_t execution; /* under which the run collects what it sees */
	bool has_execution;
} SyncCursor;

/* A modified value: the time that it is, and as the service writes it. */
typedef struct SyncMark
{
	const char *text; /* NULL: there is none */
	TimestampTz time;
} SyncMark;

/* What an error is the fault of. */
typedef enum SyncStage
{
	SYNC_STAGE_PLANNING,
	SYNC_STAGE_FETCHING,
	SYNC_STAGE_STORING
} SyncStage;

struct SyncFetch;

/* cards/collect.h: of a task that makes a card of its sources. */
typedef struct SyncCard SyncCard;

struct SyncEngine
{
	IntegSyncRun *run;
	MemoryContext context;
	MemoryContext page_context; /* reset for each page */
	const IntegActor *actor;	/* whom the run acts for */
	const char *owner_name;
	SyncSource *source; /* under way */
	SyncCursor cursor;	/* of it */
	SyncTarget *target;
	SyncCard *card; /* NULL: its sources are lists that are stored record by record */
	struct SyncFetch *fetch;
	SyncStage stage;
	const char *warning; /* why the run did less than it should have; NULL: it did not */
	const char *warning_hint;
	SyncMark newest;	/* of what this run has stored */
	SyncMark held;		/* oldest of what may be stored later: the mark must not pass it */
	int64 taken;		/* records of this source in this run */
	bool sweeps;		/* what is not seen is removed at the end */
	bool keeps_values;	/* links keep what both sides looked like: the task writes both ways */
	bool stored;		/* a page of this source was */
	int scattered;		/* pages whose links are found one by one, before it is tried again to read them in a row */
	bool more_gone;		/* something is left to be removed */
	bool delta_expired; /* the service knows the token no more */
	bool page_expired;	/* … the place in the list */
	bool removing;		/* the list is of what was deleted */
	List *differences;	/* of a dry run: Jsonb */
	bool more_differences;
	TimestampTz retry_at; /* when the service takes requests again, where it has refused one; 0: nobody says */
	long http_status;	  /* of the answer because of which fetching ended; 0: none */
	bool mismatch;		  /* … which is well-formed, and not what the definition says */
};

struct SyncPage
{
	SyncEngine *engine;
	const Jsonb *list;
	IntegConversionRun *conversion;
	int nrecords;
	SyncRecord *records;
	SyncRecord **sorted; /* those with an external id, by it; without repeated ones */
	int nsorted;
	uint64 seeds[2];
};

/*
 * page.c: in the transaction under way, all of a page but the cursor and the row of the execution; the same of a list
 * of what was deleted, records or ids. sync_page_begin reads, decides and converts.
 */
extern void sync_page_store(SyncEngine *engine, const Jsonb *list);
extern void sync_page_forget(SyncEngine *engine, const Jsonb *list);
extern SyncPage *sync_page_begin(SyncEngine *engine, const Jsonb *list);

/* What everything is read again after a change of, besides the task's config. */
extern uint64 sync_seed(const SyncEngine *engine);

/* Notes that a record of the page cannot be stored. Texts and details must last as long as the page. */
extern void sync_record_fail(SyncPage *page, SyncRecord *record, const SyncProblem *problem);

/*
 * rows.c, records.c: find the rows of records that have no link by the fields of the deduplication; write those that
 * are to be written; remove those that have gone. Problems are noted with the records; what concerns them all is
 * raised.
 */
extern void sync_rows_match(SyncPage *page, SyncRecord **records, int count);
extern void sync_rows_write(SyncPage *page, SyncRecord **records, int count);
extern void sync_rows_remove(SyncPage *page, SyncRecord **records, int count);
extern void sync_rows_make_keys(SyncPage *page, SyncRecord **records, int count);
extern void sync_records_match(SyncPage *page, SyncRecord **records, int count);
extern void sync_records_write(SyncPage *page, SyncRecord **records, int count);
extern void sync_records_remove(SyncPage *page, SyncRecord **records, int count);

/*
 * isolate.c: runs a step for records in a subtransaction. Where it fails because of a record, it is run for each half
 * of them, until that record is alone and has the problem. Other errors are raised. What a trigger sets in the session
 * does not outlast it.
 */
typedef void (*SyncStep)(SyncPage *page, SyncRecord **records, int count);
extern void sync_isolate(SyncPage *page, SyncRecord **records, int count, SyncStep step);

/* Whether an error may pass when the page is stored anew: a deadlock, a lock not had in time, a lost race. */
extern bool sync_error_passes(int sqlerrcode);

/* statement.c */

/*
 * Runs a statement over records that have the same columns present (a byte each), inside SPI. Results are in
 * SPI_tuptable. Raises what it raises.
 */
extern uint64 sync_statement_run(SyncTarget *target, SyncStatementKind kind, const char *present, SyncRecord **records,
								 int count);
extern void sync_statement_free(void *statement);

/*
 * cursor.c: the row of engine->source into engine->cursor; behind a stored page, in its transaction; at the end of the
 * list, with its token (or NULL).
 */
extern void sync_cursor_read(SyncEngine *engine);
extern void sync_cursor_save(SyncEngine *engine, const Jsonb *state, const char *delta);
extern void sync_cursor_finish(SyncEngine *engine, const char *delta, bool cut);

/* The list was left before its end: the next run begins it anew. */
extern void sync_cursor_drop_page(SyncEngine *engine);

/* The mark less the overlap, as the service writes it; NULL where there is none. */
extern const char *sync_cursor_since(const SyncEngine *engine);

/*
 * seen.c: what a full run has seen, and what it has not. sync_seen_is_whole tells whether all is there that the pages
 * before the cursor collected.
 */
extern void sync_seen_begin(SyncEngine *engine);
extern bool sync_seen_is_whole(const SyncEngine *engine);
extern void sync_seen_add(SyncPage *page);
extern bool sync_seen_find_gone(SyncEngine *engine, int64 *gone, int64 *live);
extern const Jsonb *sync_seen_next_gone(SyncEngine *engine);
extern void sync_seen_adopt(SyncEngine *engine, const pg_uuid_t *execution);
extern void sync_seen_end(SyncEngine *engine);

/*
 * values.c: the fields that a record writes, as a document; what is here of records, NULL where nothing is; both noted
 * in the records for their links, where those keep them.
 */
extern const Jsonb *sync_values_written(const SyncTarget *target, const SyncRecord *record);
extern void sync_values_here(SyncPage *page, SyncRecord **records, int count, const Jsonb **rows);
extern void sync_values_note(SyncPage *page, SyncRecord **records, int count);

/* difference.c: what a dry run would do with a page, collected in engine->differences; all of it as a document. */
extern void sync_difference_note(SyncPage *page);
extern const Jsonb *sync_difference_document(const SyncEngine *engine);

/* match.c: moves records to later that may be the same as an earlier one of the page; returns how many stay. */
extern int sync_match_split(SyncPage *page, SyncRecord **records, int count, SyncRecord **later, int *nlater);

/*
 * links.c. What links say goes into page->sorted; records are linked; links say why their record failed; it is told
 * which of them are not the only ones of their row; links are marked as gone, or deleted where the schema detaches.
 */
extern void sync_links_read(SyncPage *page);
extern void sync_links_write(SyncPage *page, SyncRecord **records, int count);
extern void sync_links_fail(SyncPage *page);
extern void sync_links_mark_shared(SyncPage *page, SyncRecord **records, int count);
extern void sync_links_remove(SyncPage *page, SyncRecord **records, int count);

/* The order of page->sorted. */
extern int sync_compare_ids(const SyncRecord *a, const char *id, int len);

#endif /* INTEG_SYNC_ENGINE_H */

/*
 * Log entries as they travel: a header and the fields of a row in COPY's binary
 * format, so that callers do the formatting and the recorder only forwards.
 */
#ifndef INTEG_RECORD_ENTRY_H
#define INTEG_RECORD_ENTRY_H

#include "postgres.h"

#include "record/record.h"

/* No entry is longer; texts are clipped until it holds. A quarter of the smallest ring. */
#define INTEG_ENTRY_MAX 16384

typedef enum IntegEntryKind
{
	INTEG_ENTRY_REQUEST,
	INTEG_ENTRY_AUDIT,
	INTEG_ENTRY_USED,  /* body: an IntegUsed */
	INTEG_ENTRY_EVENT, /* body: IntegEventEntry and the payload's text */
	INTEG_ENTRY_LIMIT  /* body: limits/table.h's IntegBlockRow */
} IntegEntryKind;

typedef struct IntegEntry
{
	uint32 length; /* of header and body, MAXALIGNed */
	uint8 kind;
	bool settles;  /* the outcome of the intent in slot */
	int16 fields;  /* of the row in the body */
	uint32 body;   /* bytes of the body */
	uint32 detail; /* where in the body its last field, the detail, begins; 0: it has none */
	int32 slot;	   /* outcome slot, -1 for none */
	uint32 lost;   /* of a gap row made by the recorder: how many entries it tells of */
	TimestampTz queued_at;
} IntegEntry;

#define INTEG_ENTRY_BODY(entry) ((char *) (entry) + sizeof(IntegEntry))

/* created_at and client_id come first in both rows, at fixed places: int32 length, then the value. */
#define INTEG_ENTRY_CREATED_AT 4
#define INTEG_ENTRY_CLIENT 12

/* Places of fields of a row of the audit. */
#define INTEG_AUDIT_CLIENT 1
#define INTEG_AUDIT_CALL 2
#define INTEG_AUDIT_ACTION 9
#define INTEG_AUDIT_OUTCOME 10

/* The columns the fields belong to, in their order. */
extern const char *const integ_request_columns[];
extern const int integ_request_columns_count;
extern const char *const integ_audit_columns[];
extern const int integ_audit_columns_count;

/* That an instance was called. */
typedef struct IntegUsed
{
	pg_uuid_t instance;
	bool succeeded;
} IntegUsed;

/* Each fills buffer (INTEG_ENTRY_MAX bytes, MAXALIGNed) and returns it as an entry. None raises. */
extern IntegEntry *integ_entry_request(char *buffer, const IntegRequestEntry *request);
extern IntegEntry *integ_entry_audit(char *buffer, const IntegAuditEntry *audit, TimestampTz created_at);
extern IntegEntry *integ_entry_used(char *buffer, const IntegUsed *used);

/* An event of integ on its way. */
typedef struct IntegEventEntry
{
	bool is_kept; /* as a row of integ.events; else it is published only */
	bool has_instance;
	pg_uuid_t instance;
	char kind[64];
	char client[256]; /* '*' is global */
} IntegEventEntry;

extern IntegEntry *integ_entry_event(char *buffer, const IntegEventEntry *event, const char *payload);

/* An entry whose body is the bytes given. */
extern IntegEntry *integ_entry_plain(char *buffer, IntegEntryKind kind, const void *body, uint32 length);

/* Gap rows: lost entries, since when and why. lost 0 means an unknown number. */
extern IntegEntry *integ_entry_request_gap(char *buffer, uint32 lost, TimestampTz since, const char *reason);
extern IntegEntry *integ_entry_audit_gap(char *buffer, uint32 lost, TimestampTz since, const char *reason);

/* created_at of a row. */
extern TimestampTz integ_entry_time(const IntegEntry *entry);

/* A field of a row by its place: its bytes as COPY sends them, and *length of them; NULL where it is NULL. */
extern const char *integ_entry_field(const IntegEntry *entry, int place, uint32 *length);

/* Whether the body is a row of the audit, of a call, from its first byte to its last. For entries that were on disk. */
extern bool integ_entry_is_whole_audit(const IntegEntry *entry);

/* Sets created_at of a row. */
extern void integ_entry_set_time(IntegEntry *entry, TimestampTz created_at);

/*
 * Turns a copy of an intent's entry into that of its outcome: same subject and
 * action, another time, outcome and detail.
 */
extern void integ_entry_make_outcome(IntegEntry *intent, TimestampTz created_at, const char *outcome,
									 const char *detail);

/* Bytes of the ring that the outcome of this intent may need. */
extern uint32 integ_entry_outcome_size(const IntegEntry *intent);

#endif /* INTEG_RECORD_ENTRY_H */

/*
 * Log entries as they travel: rows in COPY's binary format.
 *
 * Source of the format: PostgreSQL's documentation of COPY, "Binary Format".
 */
#include "record/entry.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/timestamp.h"

#define ID_MAX 512
#define STEP_MAX 256
#define TEXT_MAX 2048
#define DETAIL_MAX 4096
#define OUTCOME_MAX 16

const char *const integ_request_columns[] = {
	"created_at", "client_id", "kind", "call_id", "user_id", "role", "instance", "instance_id",
	"definition_id", "method", "step", "http_method", "origin", "path_template", "is_write", "status", "sqlstate",
	"error", "duration_us", "request_bytes", "response_bytes", "attempt", "lost"};
const int integ_request_columns_count = lengthof(integ_request_columns);

const char *const integ_audit_columns[] = {
	"created_at", "client_id", "call_id", "user_id", "role", "instance", "instance_id",
	"definition_id", "method", "action", "outcome", "detail"};
const int integ_audit_columns_count = lengthof(integ_audit_columns);

StaticAssertDecl(10 * (ID_MAX + 4) + (STEP_MAX + 4) + 3 * (TEXT_MAX + 4) + DETAIL_MAX + 512 < INTEG_ENTRY_MAX,
				 "the longest row must fit an entry");
StaticAssertDecl(DETAIL_MAX >= INTEG_OUTCOME_DETAIL_MAX, "an outcome's detail is no longer than an intent's");

static char *
body_end(IntegEntry *entry)
{
	return INTEG_ENTRY_BODY(entry) + entry->body;
}

static void
put(IntegEntry *entry, const void *value, uint32 length)
{
	uint32 prefix = pg_hton32(length);

	memcpy(body_end(entry), &prefix, 4);
	memcpy(body_end(entry) + 4, value, length);
	entry->body += 4 + length;
	entry->fields++;
}

static void
put_null(IntegEntry *entry)
{
	uint32 prefix = pg_hton32((uint32) -1);

	memcpy(body_end(entry), &prefix, 4);
	entry->body += 4;
	entry->fields++;
}

static void
put_text(IntegEntry *entry, const char *text, int limit)
{
	int length;

	if (text == NULL)
	{
		put_null(entry);
		return;
	}
	length = strlen(text);
	put(entry, text, length <= limit ? length : pg_mbcliplen(text, length, limit));
}

static void
put_int32(IntegEntry *entry, int32 value)
{
	value = (int32) pg_hton32((uint32) value);
	put(entry, &value, 4);
}

static void
put_int64(IntegEntry *entry, int64 value)
{
	value = (int64) pg_hton64((uint64) value);
	put(entry, &value, 8);
}

static void
put_bool(IntegEntry *entry, bool value)
{
	put(entry, &value, 1);
}

static void
put_uuid(IntegEntry *entry, const pg_uuid_t *id)
{
	if (id == NULL)
		put_null(entry);
	else
		put(entry, id->data, UUID_LEN);
}

/* jsonb is sent as a version byte and its text. */
static void
put_detail(IntegEntry *entry, const char *detail, int limit)
{
	char value[1 + DETAIL_MAX];
	int length = detail == NULL ? 0 : strlen(detail);

	entry->detail = entry->body;
	if (detail == NULL)
	{
		put_null(entry);
		return;
	}
	value[0] = 1;
	if (length <= limit)
		memcpy(value + 1, detail, length);
	else
		length = snprintf(value + 1, sizeof(value) - 1, "{\"truncated\": %d}", length);
	put(entry, value, 1 + length);
}

static void
put_subject(IntegEntry *entry, const IntegRecordSubject *subject)
{
	put_uuid(entry, &subject->call_id);
	put_text(entry, subject->user_id, ID_MAX);
	if (OidIsValid(subject->role))
		put_int32(entry, (int32) subject->role);
	else
		put_null(entry);
	put_uuid(entry, subject->instance);
	put_text(entry, subject->instance_id, ID_MAX);
	put_text(entry, subject->definition_id, ID_MAX);
	put_text(entry, subject->method, ID_MAX);
}

static IntegEntry *
begin(char *buffer, IntegEntryKind kind)
{
	IntegEntry *entry = (IntegEntry *) buffer;

	memset(entry, 0, sizeof(*entry));
	entry->kind = kind;
	entry->slot = -1;
	return entry;
}

static IntegEntry *
end(IntegEntry *entry)
{
	uint32 used = sizeof(IntegEntry) + entry->body;

	entry->length = MAXALIGN(used);
	Assert(entry->length <= INTEG_ENTRY_MAX);
	memset((char *) entry + used, 0, entry->length - used);
	return entry;
}

static void
put_row_start(IntegEntry *entry, TimestampTz created_at, const char *client)
{
	put_int64(entry, created_at);
	put_text(entry, client == NULL ? INTEG_GLOBAL_CLIENT : client, ID_MAX);
}

IntegEntry *
integ_entry_request(char *buffer, const IntegRequestEntry *request)
{
	IntegEntry *entry = begin(buffer, INTEG_ENTRY_REQUEST);

	put_row_start(entry, request->started_at, request->subject->client_id);
	put_text(entry, "request", ID_MAX);
	put_subject(entry, request->subject);
	put_text(entry, request->step, STEP_MAX);
	put_text(entry, request->http_method, ID_MAX);
	put_text(entry, request->origin, ID_MAX);
	put_text(entry, request->path_template, TEXT_MAX);
	put_bool(entry, request->is_write);
	if (request->status > 0)
		put_int32(entry, request->status);
	else
		put_null(entry);
	put_text(entry, request->sqlstate, ID_MAX);
	put_text(entry, request->error, TEXT_MAX);
	put_int64(entry, request->duration_us);
	put_int64(entry, request->request_bytes);
	put_int64(entry, request->response_bytes);
	put_int32(entry, request->attempt);
	put_null(entry);
	Assert(entry->fields == integ_request_columns_count);
	return end(entry);
}

IntegEntry *
integ_entry_request_gap(char *buffer, uint32 lost, TimestampTz since, const char *reason)
{
	IntegEntry *entry = begin(buffer, INTEG_ENTRY_REQUEST);

	entry->lost = lost;
	put_row_start(entry, since, NULL);
	put_text(entry, "gap", ID_MAX);
	while (strcmp(integ_request_columns[entry->fields], "error") != 0)
		put_null(entry);
	put_text(entry, reason, TEXT_MAX);
	while (entry->fields < integ_request_columns_count - 1)
		put_null(entry);
	if (lost > 0)
		put_int64(entry, lost);
	else
		put_null(entry);
	return end(entry);
}

static IntegEntry *
audit_row(char *buffer, const IntegAuditEntry *audit, TimestampTz created_at)
{
	IntegEntry *entry = begin(buffer, INTEG_ENTRY_AUDIT);

	put_row_start(entry, created_at, audit->subject->client_id);
	put_subject(entry, audit->subject);
	put_text(entry, audit->action, ID_MAX);
	put_text(entry, audit->outcome, ID_MAX);
	put_detail(entry, audit->detail, DETAIL_MAX);
	Assert(entry->fields == integ_audit_columns_count);
	return end(entry);
}

IntegEntry *
integ_entry_audit(char *buffer, const IntegAuditEntry *audit, TimestampTz created_at)
{
	return audit_row(buffer, audit, created_at);
}

IntegEntry *
integ_entry_audit_gap(char *buffer, uint32 lost, TimestampTz since, const char *reason)
{
	IntegEntry *entry = begin(buffer, INTEG_ENTRY_AUDIT);
	char detail[64];

	snprintf(detail, sizeof(detail), "{\"lost\": %u}", lost);
	entry->lost = lost;
	put_row_start(entry, since, NULL);
	while (entry->fields < 8)
		put_null(entry);
	put_text(entry, reason, ID_MAX);
	put_text(entry, "recorder.gap", ID_MAX);
	put_text(entry, "failed", ID_MAX);
	put_detail(entry, detail, DETAIL_MAX);
	return end(entry);
}

IntegEntry *
integ_entry_plain(char *buffer, IntegEntryKind kind, const void *body, uint32 length)
{
	IntegEntry *entry = begin(buffer, kind);

	memcpy(INTEG_ENTRY_BODY(entry), body, length);
	entry->body = length;
	return end(entry);
}

IntegEntry *
integ_entry_used(char *buffer, const IntegUsed *used)
{
	return integ_entry_plain(buffer, INTEG_ENTRY_USED, used, sizeof(*used));
}

IntegEntry *
integ_entry_event(char *buffer, const IntegEventEntry *event, const char *payload)
{
	IntegEntry *entry = begin(buffer, INTEG_ENTRY_EVENT);
	uint32 length = strlen(payload) + 1;

	Assert(sizeof(*event) + length <= INTEG_ENTRY_MAX - sizeof(IntegEntry));
	memcpy(INTEG_ENTRY_BODY(entry), event, sizeof(*event));
	memcpy(INTEG_ENTRY_BODY(entry) + sizeof(*event), payload, length);
	entry->body = sizeof(*event) + length;
	return end(entry);
}

TimestampTz
integ_entry_time(const IntegEntry *entry)
{
	uint64 time;

	memcpy(&time, INTEG_ENTRY_BODY(entry) + INTEG_ENTRY_CREATED_AT, sizeof(time));
	return (TimestampTz) pg_ntoh64(time);
}

const char *
integ_entry_field(const IntegEntry *entry, int place, uint32 *length)
{
	const char *at = INTEG_ENTRY_BODY(entry);

	for (int i = 0;; i++)
	{
		memcpy(length, at, sizeof(*length));
		*length = pg_ntoh32(*length);
		at += sizeof(*length);
		if (i == place)
			return *length == (uint32) -1 ? NULL : at;
		if (*length != (uint32) -1)
			at += *length;
	}
}

bool
integ_entry_is_whole_audit(const IntegEntry *entry)
{
	const char *at = INTEG_ENTRY_BODY(entry);
	uint32 left = entry->body;

	if (entry->kind != INTEG_ENTRY_AUDIT || entry->fields != integ_audit_columns_count)
		return false;
	for (int place = 0; place < entry->fields; place++)
	{
		uint32 length;

		if (left < sizeof(length))
			return false;
		memcpy(&length, at, sizeof(length));
		length = pg_ntoh32(length);
		at += sizeof(length);
		left -= sizeof(length);
		if ((place == 0 && length != sizeof(TimestampTz)) || (place == INTEG_AUDIT_CALL && length != UUID_LEN))
			return false;
		if (length == (uint32) -1)
		{
			/* These are never NULL. */
			if (place == INTEG_AUDIT_CLIENT || place == INTEG_AUDIT_ACTION || place == INTEG_AUDIT_OUTCOME)
				return false;
			continue;
		}
		if (length > left)
			return false;
		at += length;
		left -= length;
	}
	return left == 0;
}

void
integ_entry_set_time(IntegEntry *entry, TimestampTz created_at)
{
	uint64 time = pg_hton64((uint64) created_at);

	memcpy(INTEG_ENTRY_BODY(entry) + INTEG_ENTRY_CREATED_AT, &time, sizeof(time));
}

/* The fields before outcome and detail stay; both are rebuilt. */
void
integ_entry_make_outcome(IntegEntry *intent, TimestampTz created_at, const char *outcome, const char *detail)
{
	integ_entry_set_time(intent, created_at);
	intent->body = intent->detail - (4 + strlen("pending"));
	intent->fields -= 2;
	put_text(intent, outcome, OUTCOME_MAX);
	put_detail(intent, detail, INTEG_OUTCOME_DETAIL_MAX);
	intent->settles = true;
	end(intent);
}

uint32
integ_entry_outcome_size(const IntegEntry *intent)
{
	return MAXALIGN(sizeof(IntegEntry) + intent->detail + 4 + OUTCOME_MAX + 4 + 1 + INTEG_OUTCOME_DETAIL_MAX);
}

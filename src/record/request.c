/*
 * What is recorded without waiting for disk: exchanges, lines of the audit, events, use
 * of an instance.
 */
#include "record/record.h"

#include "core/guc.h"
#include "core/json.h"
#include "record/entry.h"
#include "record/ring.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long an instance's last_used_at may lag. */
#define USED_INTERVAL (10 * USECS_PER_SEC)

/* A backend that knows more instances than this forgets them all. */
#define USED_MAX 4096

static union
{
	char bytes[INTEG_ENTRY_MAX];
	double aligned;
} buffer;

void
integ_record_request(const IntegRequestEntry *entry)
{
	IntegDatabase *database = integ_shmem_mine();

	if (database != NULL)
		integ_ring_append(database, integ_entry_request(buffer.bytes, entry), integ_log_flush * 10);
}

void
integ_record_audit(const IntegAuditEntry *entry)
{
	IntegDatabase *database = integ_shmem_mine();

	if (database != NULL)
		integ_ring_append(database, integ_entry_audit(buffer.bytes, entry, GetCurrentTimestamp()),
						  integ_log_flush * 10);
}

void
integ_record_event(const char *kind, const char *client, const pg_uuid_t *instance, const Jsonb *payload, bool is_kept)
{
	IntegDatabase *database = integ_shmem_mine();
	IntegEventEntry head = {.is_kept = is_kept, .has_instance = instance != NULL};
	char *text;

	if (database == NULL)
		return;
	text = integ_json_print(payload);
	if (strlen(text) > INTEG_EVENT_PAYLOAD_MAX)
	{
		ereport(LOG, (errmsg("integ: the event %s is too long to be recorded", kind)));
		return;
	}
	if (instance != NULL)
		head.instance = *instance;
	strlcpy(head.kind, kind, sizeof(head.kind));
	strlcpy(head.client, client, sizeof(head.client));
	integ_ring_append(database, integ_entry_event(buffer.bytes, &head, text), 0);
}

typedef struct UsedInstance
{
	pg_uuid_t instance; /* hash key */
	TimestampTz told;
	TimestampTz told_success;
} UsedInstance;

/* The backend's memory of what it told the recorder when. */
static UsedInstance *
remember(const pg_uuid_t *instance, bool *known)
{
	static HTAB *used;

	if (used != NULL && hash_get_num_entries(used) >= USED_MAX)
	{
		hash_destroy(used);
		used = NULL;
	}
	if (used == NULL)
	{
		HASHCTL control = {
			.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(UsedInstance), .hcxt = TopMemoryContext};

		used = hash_create("integ used instances", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	return hash_search(used, instance, HASH_ENTER, known);
}

void
integ_record_used(const pg_uuid_t *instance, bool succeeded)
{
	IntegUsed told = {.instance = *instance, .succeeded = succeeded};
	IntegDatabase *database = integ_shmem_mine();
	TimestampTz now = GetCurrentTimestamp();
	UsedInstance *used;
	bool known;

	if (database == NULL)
		return;
	used = remember(instance, &known);
	if (!known)
		used->told = used->told_success = 0;
	if (now - (succeeded ? used->told_success : used->told) < USED_INTERVAL)
		return;
	used->told = now;
	if (succeeded)
		used->told_success = now;
	integ_ring_append(database, integ_entry_used(buffer.bytes, &told), 0);
}

/*
 * The journal: where a session puts the intents of its writes on disk by itself.
 *
 * integ.intent_journal has INTEG_JOURNAL_PAGES rows, each alone on its page. Their
 * bytes are changed in place, in the shared buffer, by generic WAL records:
 * no transaction is concerned, a crash and a standby replay them. The pages are used one after the other,
 * round and round. A row of the table begins with a head that says in which boot and when it was begun,
 * so that what is left of earlier ones needs no clearing.
 */
#include "record/journal.h"

#include "access/generic_xlog.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "core/compat.h"
#include "core/shmem.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* Grows with every change of IntegEntry: another version's pages are not read. */
#define JOURNAL_FORMAT 1

/* As in record.sql. */
#define ROW_SIZE (BLCKSZ / 4)
#define ENTRIES_COLUMN 2

typedef struct PageHead
{
	pg_uuid_t boot;
	uint32 format;
	uint32 used;	 /* bytes of entries behind the head */
	uint64 sequence; /* grows with every page that is begun */
} PageHead;

#define ENTRIES_SIZE (ROW_SIZE - sizeof(PageHead))

StaticAssertDecl(sizeof(PageHead) == MAXALIGN(sizeof(PageHead)), "entries begin behind a head without padding");

static Oid journal_table;

static void
forget(Datum unused, Oid relation)
{
	if (!OidIsValid(relation) || relation == journal_table)
		journal_table = InvalidOid;
}

static Oid
find_table(void)
{
	static bool registered = false;

	if (!registered)
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	registered = true;
	if (!OidIsValid(journal_table))
		journal_table = get_relname_relid("intent_journal", get_namespace_oid("integ", true));
	return journal_table;
}

bool
integ_journal_is_usable(void)
{
	return IsTransactionState() && (max_wal_senders == 0 || SyncRepStandbyNames == NULL || SyncRepStandbyNames[0] == '\0');
}

/* The table with a lock that nobody holds against us; NULL where somebody does. */
static Relation
open_table(void)
{
	Oid table = find_table();
	Relation relation;

	if (!OidIsValid(table) || !ConditionalLockRelationOid(table, RowExclusiveLock))
		return NULL;
	relation = try_relation_open(table, NoLock);
	if (relation == NULL)
		UnlockRelationOid(table, RowExclusiveLock);
	return relation;
}

/* The bytes of the row on a page, NULL where it is not as it was made. */
static char *
row_of(Relation relation, Page page)
{
	HeapTupleData tuple = {.t_tableOid = RelationGetRelid(relation)};
	ItemId item;
	struct varlena *value;
	bool isnull;

	if (PageGetMaxOffsetNumber(page) < FirstOffsetNumber || RelationGetDescr(relation)->natts < ENTRIES_COLUMN)
		return NULL;
	item = PageGetItemId(page, FirstOffsetNumber);
	if (!ItemIdIsNormal(item))
		return NULL;
	tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
	tuple.t_len = ItemIdGetLength(item);
	/* Whoever changes or deletes it may be about to take it away. */
	if (!(tuple.t_data->t_infomask & HEAP_XMAX_INVALID))
		return NULL;
	value = (struct varlena *) DatumGetPointer(
		heap_getattr(&tuple, ENTRIES_COLUMN, RelationGetDescr(relation), &isnull));
	if (isnull || !VARATT_IS_4B_U(value) || VARSIZE(value) != VARHDRSZ + ROW_SIZE)
		return NULL;
	return VARDATA(value);
}

static PageHead
head_of(const char *row)
{
	PageHead head;

	memcpy(&head, row, sizeof(head));
	return head;
}

/* What is to be written at once. */
typedef struct Writing
{
	IntegDatabase *database;
	Relation relation;
	const IntegEntry *const *entries;
	int count;
	int next; /* the first that is not written yet */
	uint64 position;
} Writing;

/* Whether the page is the one that was begun last; if so, bytes that are used of it. */
static bool
is_current(const IntegJournal *journal, const char *row, uint32 *used)
{
	PageHead head = head_of(row);

	*used = head.used;
	return journal->sequence != 0 && head.sequence == journal->sequence && head.used <= ENTRIES_SIZE &&
		   memcmp(&head.boot, &integ_shared->boot, sizeof(head.boot)) == 0;
}

/* Puts into the row what fits behind the bytes used; returns the bytes used then. */
static uint32
fill_row(Writing *writing, char *row, uint32 used)
{
	while (writing->next < writing->count)
	{
		const IntegEntry *entry = writing->entries[writing->next];

		if (used + entry->length > ENTRIES_SIZE)
			break;
		memcpy(row + sizeof(PageHead) + used, entry, entry->length);
		used += entry->length;
		writing->next++;
	}
	return used;
}

/* Writes what fits into one page, which is begun anew or continued. Returns the end of its WAL, if any. */
static XLogRecPtr
write_page(Writing *writing, bool anew)
{
	IntegJournal *journal = &writing->database->journal;
	Buffer buffer = ReadBuffer(writing->relation, journal->page);
	XLogRecPtr lsn = InvalidXLogRecPtr;
	GenericXLogState *state;
	char *row;
	uint32 used = 0;
	int first = writing->next;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	row = row_of(writing->relation, BufferGetPage(buffer));
	if (row != NULL && (anew || is_current(journal, row, &used)) &&
		used + writing->entries[first]->length <= ENTRIES_SIZE)
	{
		PageHead head = {.boot = integ_shared->boot, .format = JOURNAL_FORMAT, .sequence = journal->sequence};

		state = GenericXLogStart(writing->relation);
		row = row_of(writing->relation, GenericXLogRegisterBuffer(state, buffer, 0));
		head.used = fill_row(writing, row, used);
		memcpy(row, &head, sizeof(head));
		lsn = GenericXLogFinish(state);
		journal->behind[journal->page] = Max(journal->behind[journal->page], writing->position);
	}
	UnlockReleaseBuffer(buffer);
	return lsn;
}

/* Goes on to the next page, if all its entries are in the audit. */
static bool
turn_page(IntegDatabase *database)
{
	IntegJournal *journal = &database->journal;
	int next = (journal->page + 1) % INTEG_JOURNAL_PAGES;
	uint64 tail;

	LWLockAcquire(database->lock, LW_SHARED);
	tail = database->ring.tail;
	LWLockRelease(database->lock);
	if (journal->behind[next] > tail)
		return false;
	journal->page = next;
	journal->behind[next] = 0;
	journal->sequence = Max(journal->sequence + 1, (uint64) GetCurrentTimestamp());
	return true;
}

/* Returns the end of the WAL of all entries, InvalidXLogRecPtr where not all could be written. */
static XLogRecPtr
write_entries(Writing *writing)
{
	XLogRecPtr lsn = InvalidXLogRecPtr;
	bool anew = false;

	if (!RelationIsPermanent(writing->relation) || RelationGetNumberOfBlocks(writing->relation) < INTEG_JOURNAL_PAGES)
		return InvalidXLogRecPtr;
	while (writing->next < writing->count)
	{
		XLogRecPtr end = write_page(writing, anew);

		if (!XLogRecPtrIsInvalid(end))
			lsn = end;
		else if (anew)
			return InvalidXLogRecPtr;
		if (writing->next < writing->count && !turn_page(writing->database))
			return InvalidXLogRecPtr;
		anew = true;
	}
	return lsn;
}

bool
integ_journal_write(IntegDatabase *database, const IntegEntry *const *entries, int count, uint64 position)
{
	Writing writing = {.database = database, .entries = entries, .count = count, .position = position};
	XLogRecPtr lsn;

	for (int i = 0; i < count; i++)
		if (entries[i]->length > ENTRIES_SIZE)
			return false;
	writing.relation = open_table();
	if (writing.relation == NULL)
		return false;
	LWLockAcquire(database->journal.lock, LW_EXCLUSIVE);
	lsn = write_entries(&writing);
	LWLockRelease(database->journal.lock);
	relation_close(writing.relation, RowExclusiveLock);
	if (XLogRecPtrIsInvalid(lsn))
		return false;
	XLogFlush(lsn);
	return true;
}

/* A page as recovery finds it. */
typedef struct ReadPage
{
	PageHead head;
	char entries[ENTRIES_SIZE];
} ReadPage;

/* The page's bytes, NULL where the boot given wrote nothing on it. */
static ReadPage *
read_page(Relation relation, BlockNumber block, const pg_uuid_t *boot)
{
	Buffer buffer = ReadBuffer(relation, block);
	ReadPage *page = NULL;
	char *row;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	row = row_of(relation, BufferGetPage(buffer));
	if (row != NULL && memcmp(row, boot, sizeof(*boot)) == 0)
	{
		page = palloc(sizeof(ReadPage));
		memcpy(page, row, sizeof(ReadPage));
	}
	UnlockReleaseBuffer(buffer);
	if (page != NULL && (page->head.format != JOURNAL_FORMAT || page->head.used > sizeof(page->entries)))
	{
		ereport(LOG, (errmsg("integ: page %u of integ.intent_journal is of another version and not read", block)));
		page = NULL;
	}
	return page;
}

static int
compare_pages(const ListCell *a, const ListCell *b)
{
	const ReadPage *first = lfirst(a), *second = lfirst(b);

	return first->head.sequence < second->head.sequence ? -1 : first->head.sequence > second->head.sequence;
}

/* The entry at an offset, NULL where there is none. */
static IntegEntry *
entry_at(ReadPage *page, uint32 offset)
{
	IntegEntry *entry = (IntegEntry *) (page->entries + offset);
	uint32 left = page->head.used - offset;

	if (left < sizeof(IntegEntry) || entry->length < sizeof(IntegEntry) || entry->length > left ||
		entry->length != MAXALIGN(entry->length) ||
		entry->body > entry->length - sizeof(IntegEntry) || !integ_entry_is_whole_audit(entry))
		return NULL;
	return entry;
}

static List *
entries_since(ReadPage *page, TimestampTz since, List *entries)
{
	for (uint32 offset = 0; offset < page->head.used;)
	{
		IntegEntry *entry = entry_at(page, offset);

		if (entry == NULL)
		{
			ereport(LOG, (errmsg("integ: integ.intent_journal holds a damaged entry, what follows it on its page is not read")));
			break;
		}
		offset += entry->length;
		if (integ_entry_time(entry) < since)
			continue;
		entry->slot = -1;
		entry->settles = false;
		entries = lappend(entries, entry);
	}
	return entries;
}

List *
integ_journal_read(const pg_uuid_t *boot, TimestampTz since)
{
	Oid table = find_table();
	Relation relation = OidIsValid(table) ? try_relation_open(table, AccessShareLock) : NULL;
	List *pages = NIL;
	List *entries = NIL;
	ListCell *cell;

	if (relation == NULL)
		return NIL;
	for (BlockNumber block = 0; block < RelationGetNumberOfBlocks(relation); block++)
	{
		ReadPage *page = read_page(relation, block, boot);

		if (page != NULL)
			pages = lappend(pages, page);
	}
	relation_close(relation, AccessShareLock);
	list_sort(pages, compare_pages);
	foreach (cell, pages)
		entries = entries_since(lfirst(cell), since, entries);
	return entries;
}

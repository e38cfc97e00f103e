/*
 * Many exchanges at once.
 */
#include "http/batch.h"

#include "core/errors.h"
#include "http/client_private.h"
#include "lib/ilist.h"
#include "utils/memutils.h"

/* An exchange under way. */
typedef struct Entry
{
	dlist_node node;
	IntegTransfer *transfer;
	void *owner;
} Entry;

struct IntegHttpBatch
{
	MemoryContext context;
	IntegTransferPool *pool;
	WaitEventSet *wait_set;
	int descriptors;
	dlist_head entries;
	int count;
};

/* Forgets the entry; the response has what became of it. */
static void *
hand_out(IntegHttpBatch *batch, Entry *entry, IntegHttpResponse *response)
{
	void *owner = entry->owner;

	integ_transfer_finish(entry->transfer, response);
	dlist_delete(&entry->node);
	batch->count--;
	pfree(entry);
	return owner;
}

static void
close_batch(void *arg)
{
	IntegHttpBatch *batch = arg;

	while (!dlist_is_empty(&batch->entries))
	{
		Entry *entry = dlist_container(Entry, node, dlist_pop_head_node(&batch->entries));
		IntegHttpResponse unread;

		integ_transfer_finish(entry->transfer, &unread);
		integ_http_response_free(&unread);
	}
	if (batch->wait_set != NULL)
		FreeWaitEventSet(batch->wait_set);
	if (batch->pool != NULL)
		integ_transfer_pool_destroy(batch->pool);
	integ_client_release(batch->descriptors);
}

IntegHttpBatch *
integ_http_batch_open(int connections)
{
	IntegHttpBatch *batch = palloc0(sizeof(IntegHttpBatch));
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));
	char problem[256];

	batch->context = CurrentMemoryContext;
	dlist_init(&batch->entries);
	callback->func = close_batch;
	callback->arg = batch;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	if (!integ_client_reserve(connections + INTEG_CLIENT_DESCRIPTORS))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("this session has too many files open for %d requests at once", connections),
						errhint("Ask for less concurrency, or raise max_files_per_process.")));
	batch->descriptors = connections + INTEG_CLIENT_DESCRIPTORS;
	batch->pool = integ_transfer_pool_create(connections, problem, sizeof(problem));
	if (batch->pool == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("no requests can be sent"), errdetail("%s", problem)));
	batch->wait_set = integ_client_wait_set(batch->pool);
	return batch;
}

void
integ_http_batch_start(IntegHttpBatch *batch, const IntegHttpRequest *request, void *owner)
{
	Entry *entry = MemoryContextAlloc(batch->context, sizeof(Entry));

	entry->owner = owner;
	entry->transfer = integ_transfer_start(batch->pool, request, entry);
	if (entry->transfer == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	dlist_push_tail(&batch->entries, &entry->node);
	batch->count++;
}

void *
integ_http_batch_next(IntegHttpBatch *batch, IntegHttpResponse *response)
{
	IntegTransfer *transfer;

	if (batch->count == 0)
		return NULL;
	while ((transfer = integ_transfer_next_done(batch->pool)) == NULL)
	{
		if (integ_client_interrupted())
			return NULL;
		integ_client_wait(batch->pool, batch->wait_set, -1);
	}
	return hand_out(batch, integ_transfer_owner(transfer), response);
}

int
integ_http_batch_count(const IntegHttpBatch *batch)
{
	return batch->count;
}

void *
integ_http_batch_break(IntegHttpBatch *batch, IntegHttpResponse *response)
{
	if (dlist_is_empty(&batch->entries))
		return NULL;
	return hand_out(batch, dlist_container(Entry, node, dlist_head_node(&batch->entries)), response);
}

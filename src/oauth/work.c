/*
 * The dispatcher's work on tokens, step by step: receive and settle, take,
 * prepare, send. One job for an instance at a time.
 */
#include "oauth/work.h"

#include "access/xact.h"
#include "calls/dispatch.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "miscadmin.h"
#include "oauth/job.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "vault/secret.h"

/* How often an answer with tokens is tried to be stored, a second apart, before it is given up. */
#define STORE_TRIES 30
#define STORE_RETRY USECS_PER_SEC

/* Rows are looked at again after this time even if nobody says that they changed. */
#define RESCAN USECS_PER_MINUTE

/* Of the database that this process was started for, also when another process has given its slot back. */
static IntegOauthDesk *desk;
static int my_number, my_total;
static MemoryContext context;
static IntegTransferPool *pool;
static dlist_head flying = DLIST_STATIC_INIT(flying);
static dlist_head answered = DLIST_STATIC_INIT(answered);
static int njobs;
static TimestampTz next_due = DT_NOBEGIN; /* when a row will be */
static TimestampTz settle_after;
static uint64 seen_changes;

void
integ_oauth_work_init(IntegOauthDesk *mine, int number, int total)
{
	char problem[256];

	desk = mine;
	my_number = number;
	my_total = total;
	context = AllocSetContextCreate(TopMemoryContext, "integ oauth", ALLOCSET_SMALL_SIZES);
	pool = integ_transfer_pool_create(integ_refresh_concurrency, problem, sizeof(problem));
	if (pool == NULL)
		ereport(FATAL, (errmsg("the dispatcher cannot start"), errdetail_internal("%s", problem)));
	integ_oauth_reopen(desk, number, total);
}

int
integ_oauth_work_descriptor(void)
{
	return integ_transfer_pool_descriptor(pool);
}

int
integ_oauth_work_timeout(void)
{
	return dlist_is_empty(&flying) ? -1 : integ_transfer_pool_timeout(pool);
}

bool
integ_oauth_work_open(void)
{
	return !dlist_is_empty(&flying) || !dlist_is_empty(&answered);
}

static bool
in_list(dlist_head *list, const pg_uuid_t *instance)
{
	dlist_iter iter;

	dlist_foreach (iter, list)
		if (memcmp(&dlist_container(IntegOauthJob, node, iter.cur)->instance, instance, sizeof(pg_uuid_t)) == 0)
			return true;
	return false;
}

static bool
is_busy(const pg_uuid_t *instance)
{
	return in_list(&flying, instance) || in_list(&answered, instance);
}

static IntegOauthJob *
make_job(IntegOauthKind kind, const pg_uuid_t *instance)
{
	MemoryContext own = AllocSetContextCreate(context, "integ oauth job", ALLOCSET_DEFAULT_SIZES);
	IntegOauthJob *job = MemoryContextAllocZero(own, sizeof(IntegOauthJob));

	job->context = own;
	job->kind = kind;
	job->ticket = -1;
	job->instance = *instance;
	return job;
}

/* Tells who waits, and forgets the job with its secrets. */
static void
end_job(IntegOauthJob *job)
{
	if (job->ticket >= 0)
		integ_oauth_done(desk, job->ticket, job->sqlerrcode, job->message, job->detail, job->hint);
	if (job->answered)
		integ_http_response_free(&job->response);
	MemoryContextDelete(job->context);
	njobs--;
}

/* Runs a part of a job in a transaction of its own; an error is what came of the job. False then. */
static bool
guarded(IntegOauthJob *job, void (*part)(IntegOauthJob *job))
{
	volatile bool done = false;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(job->context);
	PG_TRY();
	{
		part(job);
		PopActiveSnapshot();
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(job->context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		integ_oauth_fail(job, error->sqlerrcode, error->message, error->detail, error->hint);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return done;
}

static const char *
audit_outcome(const IntegOauthJob *job)
{
	if (job->sqlerrcode == 0)
		return "succeeded";
	return job->answered && job->response.failure != INTEG_HTTP_OK && job->response.maybe_sent ? "unknown" : "failed";
}

static void
record(const IntegOauthJob *job)
{
	if (job->config.instance != NULL && job->action != NULL)
		integ_oauth_record(&job->config, job->action, audit_outcome(job), job->has_request ? &job->request : NULL,
						   job->answered ? &job->response : NULL, job->sent_at,
						   job->sqlerrcode == 0 ? NULL : job->message);
}

static void
send(IntegOauthJob *job)
{
	job->sent_at = GetCurrentTimestamp();
	integ_limits_sent(job->grant);
	job->transfer = integ_transfer_start(pool, &job->request, job);
	dlist_push_tail(&flying, &job->node);
	/* Out of memory, it is an answer of its own. */
	if (job->transfer == NULL)
	{
		integ_transfer_finish(NULL, &job->response);
		integ_oauth_answered(job);
		dlist_delete(&job->node);
		dlist_push_tail(&answered, &job->node);
	}
}

/* The error that stopped the preparation is what those who wait are told, whatever else goes wrong. */
static void
postpone(IntegOauthJob *job)
{
	const IntegOauthJob stopped = *job;

	if (!guarded(job, integ_oauth_postpone))
		integ_oauth_fail(job, stopped.sqlerrcode, stopped.message, stopped.detail, stopped.hint);
}

static void
begin(IntegOauthJob *job)
{
	njobs++;
	if (guarded(job, integ_oauth_prepare) && job->has_request && job->sqlerrcode == 0)
	{
		send(job);
		return;
	}
	if (job->kind == INTEG_OAUTH_REFRESH && job->sqlerrcode != 0)
		postpone(job);
	record(job);
	end_job(job);
}

static void
receive(void)
{
	IntegTransfer *transfer;

	integ_transfer_drive(pool);
	while ((transfer = integ_transfer_next_done(pool)) != NULL)
	{
		IntegOauthJob *job = integ_transfer_owner(transfer);

		integ_transfer_finish(transfer, &job->response);
		job->transfer = NULL;
		integ_oauth_answered(job);
		dlist_delete(&job->node);
		dlist_push_tail(&answered, &job->node);
	}
}

/* What another attempt to store would not mend. */
static bool
is_final(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_INTEG_BAD_ANSWER || sqlerrcode == ERRCODE_INTEG_INVALID ||
		   sqlerrcode == ERRCODE_INTEG_FORBIDDEN || sqlerrcode == ERRCODE_INTEG_NOT_FOUND ||
		   sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION;
}

/*
 * Stores what was answered. Where that fails although tokens came, it is tried again: nobody else has them.
 */
static void
settle(void)
{
	dlist_mutable_iter iter;

	if (dlist_is_empty(&answered) || GetCurrentTimestamp() < settle_after)
		return;
	settle_after = DT_NOBEGIN;
	dlist_foreach_modify(iter, &answered)
	{
		IntegOauthJob *job = dlist_container(IntegOauthJob, node, iter.cur);

		if (!guarded(job, integ_oauth_settle) && !is_final(job->sqlerrcode) && ++job->tries < STORE_TRIES)
		{
			ereport(LOG, (errcode(job->sqlerrcode), errmsg("could not store what the token endpoint of instance %s answered", job->config.instance->instance_id),
						  errdetail_internal("%s", job->message)));
			job->sqlerrcode = 0;
			settle_after = GetCurrentTimestamp() + STORE_RETRY;
			continue;
		}
		dlist_delete(&job->node);
		record(job);
		end_job(job);
	}
}

static void
take_tickets(void)
{
	IntegOauthTicket copy;
	int index;

	while (njobs < integ_refresh_concurrency &&
		   (index = integ_oauth_take(desk, my_number, my_total, is_busy, &copy)) >= 0)
	{
		IntegOauthJob *job = make_job(copy.kind, &copy.instance);

		job->ticket = index;
		job->flow = copy.flow;
		job->seen = copy.seen;
		if (copy.code[0] != '\0')
		{
			MemoryContext old = MemoryContextSwitchTo(job->context);
			char *code = integ_secret_alloc(sizeof(copy.code));

			strlcpy(code, copy.code, sizeof(copy.code));
			explicit_bzero(copy.code, sizeof(copy.code));
			job->code = code;
			MemoryContextSwitchTo(old);
		}
		begin(job);
	}
}

typedef struct Due
{
	pg_uuid_t instance;
	pg_uuid_t flow;
	bool device;
} Due;

/*
 * What is due and not under way, and when the next will be. One transaction. Rows that are under way are due too, and
 * older than the others: the limit has room for them, or one service that does not answer would stop all others.
 */
static int
find_due(Due *due, int room)
{
	static IntegQuery query = {
		"SELECT instance, NULL::uuid, refresh_at <= pg_catalog.clock_timestamp(), refresh_at AS at FROM integ.oauth_tokens "
		"WHERE refresh_at IS NOT NULL AND " INTEG_MINE("instance", "$1", "$2") " UNION ALL SELECT instance, id, next_poll_at <= pg_catalog.clock_timestamp(), next_poll_at FROM integ.oauth_flows "
																			   "WHERE next_poll_at IS NOT NULL AND status = 'pending' AND expires_at > pg_catalog.clock_timestamp() "
																			   "AND " INTEG_MINE("instance", "$1", "$2") " ORDER BY at LIMIT $3",
		3,
		{INT4OID, INT4OID, INT8OID}};
	Datum values[3] = {Int32GetDatum(my_total), Int32GetDatum(my_number), Int64GetDatum(room + njobs + 1)};
	TimestampTz next = GetCurrentTimestamp() + RESCAN;
	bool isnull;
	int count = 0;
	uint64 rows;
	Datum flow;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	rows = integ_query(&query, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		pg_uuid_t instance = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));

		if (!integ_result_bool(i, 3))
		{
			next = Min(next, DatumGetTimestampTz(integ_result_datum(i, 4, &isnull)));
			break;
		}
		if (is_busy(&instance))
			continue;
		if (count == room)
		{
			next = DT_NOBEGIN;
			break;
		}
		flow = integ_result_datum(i, 2, &isnull);
		due[count] = (Due){.instance = instance, .device = !isnull};
		if (!isnull)
			due[count].flow = *DatumGetUUIDP(flow);
		count++;
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	next_due = next;
	return count;
}

static void
take_rows(void)
{
	static Due due[64];
	int room = Min((int) lengthof(due), integ_refresh_concurrency - njobs);
	int count;

	if (integ_oauth_changes(desk) != seen_changes)
		next_due = DT_NOBEGIN;
	if (room <= 0 || next_due > GetCurrentTimestamp())
		return;
	seen_changes = integ_oauth_changes(desk);
	count = find_due(due, room);
	for (int i = 0; i < count; i++)
	{
		IntegOauthJob *job;

		if (is_busy(&due[i].instance))
			continue;
		job = make_job(due[i].device ? INTEG_OAUTH_EXCHANGE : INTEG_OAUTH_REFRESH, &due[i].instance);
		job->seen = INTEG_OAUTH_ANYWAY;
		job->device = due[i].device;
		job->flow = due[i].flow;
		begin(job);
	}
}

TimestampTz
integ_oauth_work_next(void)
{
	TimestampTz next = next_due;

	if (integ_oauth_changes(desk) != seen_changes)
		next = DT_NOBEGIN;
	/* What is under way makes room first. */
	if (njobs >= integ_refresh_concurrency)
		next = DT_NOEND;
	return dlist_is_empty(&answered) ? next : Min(next, settle_after);
}

void
integ_oauth_work(bool closed)
{
	receive();
	settle();
	if (closed)
		return;
	take_tickets();
	take_rows();
	receive();
}

void
integ_oauth_work_stop(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &flying)
	{
		IntegOauthJob *job = dlist_container(IntegOauthJob, node, iter.cur);

		integ_transfer_finish(job->transfer, &job->response);
		integ_oauth_answered(job);
		dlist_delete(&job->node);
		dlist_push_tail(&answered, &job->node);
	}
	settle_after = DT_NOBEGIN;
	settle();
	integ_transfer_pool_destroy(pool);
}

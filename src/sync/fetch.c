/*
 * Pages from the service.
 *
 * Building a request and taking its answer need a transaction each, and no network; what is waited for is waited for
 * outside. The request of the next page leaves before the last one is stored, where its place is known from the
 * answer: the service's latency passes while rows are written.
 */
#include "sync/fetch.h"

#include "access/xact.h"
#include "calls/verdict.h"
#include "common/pg_prng.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/uuid.h"
#include "fetch/pages.h"
#include "miscadmin.h"
#include "oauth/ensure.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

/* How often a page is asked for before its failure ends the run. */
#define MOST_ATTEMPTS 4

/* A wait that is longer than this is left to the next execution. */
#define LONGEST_WAIT (15 * USECS_PER_MINUTE)

/* Between two looks at whether the run is to stop, or a token has been refreshed. */
#define LOOK_MS 100

struct SyncFetch
{
	SyncEngine *engine;
	MemoryContext context;
	MemoryContext page_context; /* of what was handed out */
	MemoryContext scratch;		/* of a step */
	MemoryContext errors;		/* of this page, until it has come */
	IntegCall *call;
	IntegPages *pages;
	bool in_flight;
	bool ended;
	bool repeated;		  /* this page's request was refused, and repeated with other credentials */
	int attempts;		  /* of this page */
	TimestampTz promised; /* a rate limit has told the next page to come then; 0: none has */
	SyncFetched *fetched;
};

/* --- waiting --- */

bool
sync_wait(SyncEngine *engine, TimestampTz until)
{
	for (;;)
	{
		long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

		CHECK_FOR_INTERRUPTS();
		if (integ_sync_should_stop(engine->run))
			return false;
		if (left <= 0)
			return true;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(left, LOOK_MS * 10),
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/*
 * Tells in the execution's row what is waited for; in its log, too, where the service has failed. False where the run
 * is to stop.
 */
static bool
wait_saying(SyncFetch *fetch, TimestampTz until, const char *reason, bool failed)
{
	SyncEngine *engine = fetch->engine;
	bool mine, waited;

	engine->run->reason = reason;
	sync_begin();
	mine = integ_sync_save(engine->run);
	if (mine && failed)
		integ_sync_log(engine->run, "warn", psprintf("%s; the page is asked for again", reason), NULL);
	sync_commit();
	MemoryContextSwitchTo(fetch->context);
	waited = mine && sync_wait(engine, until);
	engine->run->reason = NULL;
	return waited;
}

/* --- steps, each in a transaction --- */

typedef void (*FetchStep)(SyncFetch *fetch);

/* NULL, or the error that ended it. */
static ErrorData *
guard(SyncFetch *fetch, FetchStep step)
{
	ErrorData *volatile error = NULL;

	MemoryContextReset(fetch->scratch);
	PG_TRY();
	{
		sync_begin();
		MemoryContextSwitchTo(fetch->scratch);
		step(fetch);
		sync_commit();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(fetch->errors);
		error = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(fetch->context);
	return error;
}

static void
build_step(SyncFetch *fetch)
{
	/* What the last exchange came to is no reason any more. */
	integ_call_rewind(fetch->call);
	fetch->call->token_pending = false;
	integ_call_consult(fetch->call);
	integ_call_raise(fetch->call);
	fetch->in_flight = integ_pages_build(fetch->pages);
	fetch->call->options.returning = false;
	fetch->ended = !fetch->in_flight;
}

static const Jsonb *
copy_document(const Jsonb *document)
{
	return document == NULL ? NULL : memcpy(palloc(VARSIZE(document)), document, VARSIZE(document));
}

static void
take_step(SyncFetch *fetch)
{
	IntegCall *call = fetch->call;
	const IntegPage *page = integ_pages_take(fetch->pages);
	MemoryContext old = MemoryContextSwitchTo(fetch->page_context);

	fetch->fetched->records = copy_document(page->records);
	fetch->fetched->state = copy_document(page->state);
	fetch->fetched->delta = page->delta != NULL ? pstrdup(page->delta) : NULL;
	fetch->fetched->cut_short = page->cut_short;
	fetch->fetched->total = page->total;
	MemoryContextSwitchTo(old);
	if (!call->previous_credentials && integ_vault_rotating(&call->instance->credentials))
		integ_vault_promote(&call->instance->credentials);
}

static void
repeat_step(SyncFetch *fetch)
{
	IntegCall *call = fetch->call;

	if (fetch->repeated)
	{
		integ_oauth_give_up(call);
		fetch->repeated = false;
	}
	else if (integ_oauth_repeat(call))
		fetch->repeated = true;
	else if (!call->previous_credentials && integ_vault_rotating(&call->instance->credentials))
		fetch->repeated = call->previous_credentials = true;
}

/* Whether the token that was refused is another one by now. */
static void
look_step(SyncFetch *fetch)
{
	IntegCall *call = fetch->call;
	TimestampTz expires_at;
	int64 version;

	if (integ_vault_describe(&call->instance->credentials, "access_token", &version, &expires_at) &&
		version != call->token_version)
		call->token_pending = false;
}

/* --- what follows a failure --- */

static bool
wait_for_token(SyncFetch *fetch)
{
	TimestampTz until = GetCurrentTimestamp() + (int64) integ_request_timeout * 1000;

	while (fetch->call->token_pending && GetCurrentTimestamp() < until)
	{
		ErrorData *error = guard(fetch, look_step);

		if (error != NULL)
			ReThrowError(error);
		if (fetch->call->token_pending && !sync_wait(fetch->engine, GetCurrentTimestamp() + LOOK_MS * 1000))
			return false;
	}
	return true;
}

/* Other credentials for a request that the service has refused: whether it is to be repeated with them. */
static bool
changes_credentials(SyncFetch *fetch, const ErrorData *error)
{
	const IntegHttpResponse *response = fetch->call->response;
	ErrorData *other;

	if (error->sqlerrcode != ERRCODE_INTEG_UNAUTHENTICATED || response == NULL || response->status != 401)
		return false;
	other = guard(fetch, repeat_step);
	if (other != NULL)
		ReThrowError(other);
	return fetch->repeated;
}

static IntegVerdict
judge(const SyncFetch *fetch, const ErrorData *error, bool sent)
{
	const IntegCall *call = fetch->call;
	const IntegHttpResponse *response = sent ? call->response : NULL;
	bool limited = error->sqlerrcode == ERRCODE_INTEG_RATE_LIMIT || error->sqlerrcode == ERRCODE_INTEG_CIRCUIT_OPEN;
	IntegAttempt attempt = {
		.sqlerrcode = error->sqlerrcode,
		.token_pending = call->token_pending,
		.waits = !sent && limited && call->outcome.retry_at != 0,
		.answered = response != NULL && response->failure == INTEG_HTTP_OK,
		.server_error = response != NULL && response->status >= 500,
		.maybe_sent = response != NULL && response->maybe_sent,
		.repeatable = true,
		.counted = fetch->attempts,
		.max_attempts = MOST_ATTEMPTS,
		.now = GetCurrentTimestamp(),
		.retry_after = Max(call->outcome.retry_at, call->closed_until),
		.delay_ms = integ_retry_delay,
		.max_delay_ms = integ_max_retry_delay,
		.random = pg_prng_double(&pg_global_prng_state)};

	return integ_call_verdict(&attempt);
}

/*
 * Whether the service has answered well, but otherwise than its definition says: pages that do not end, or no records
 * where they should be. Where pages before had them it is an accident.
 */
static bool
is_mismatch(const SyncFetch *fetch, const ErrorData *error)
{
	const IntegCall *call = fetch->call;

	return error->sqlerrcode == ERRCODE_INTEG_BAD_ANSWER && call->response != NULL &&
		   call->response->failure == INTEG_HTTP_OK && call->response->status < 300 && call->body != NULL &&
		   (call->outcome.sqlerrcode == 0 || fetch->engine->run->counters.pages == 0);
}

/* Waits until the page may be asked for again; false where the run is to stop. Raises the error where it may not. */
static bool
recover(SyncFetch *fetch, ErrorData *error, bool sent)
{
	IntegVerdict verdict;
	bool waited;

	fetch->in_flight = false;
	if (sent && changes_credentials(fetch, error))
		return wait_for_token(fetch);
	fetch->attempts += sent;
	verdict = judge(fetch, error, sent);
	fetch->engine->http_status = sent && fetch->call->response != NULL ? fetch->call->response->status : 0;
	fetch->engine->retry_at = verdict.kind == INTEG_VERDICT_RETRY ? verdict.retry_at : fetch->call->outcome.retry_at;
	fetch->engine->mismatch = sent && is_mismatch(fetch, error);
	if (verdict.kind != INTEG_VERDICT_RETRY || verdict.retry_at > GetCurrentTimestamp() + LONGEST_WAIT)
		ReThrowError(error);
	/* Who was told when to come is not sent to the end of the line. */
	fetch->call->options.returning = !sent && verdict.waits;
	waited = wait_saying(fetch, verdict.retry_at, error->message, sent);
	MemoryContextReset(fetch->errors);
	return waited;
}

/* --- the pages --- */

SyncFetch *
sync_fetch_open(SyncEngine *engine, const char *method, const Jsonb *input, const Jsonb *state, const char *delta)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "integ sync fetch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SyncFetch *fetch = palloc0(sizeof(SyncFetch));
	IntegPagesOptions options = {.state = state, .delta = delta};
	IntegCallOptions call_options = {.asynchronous = true};

	fetch->engine = engine;
	fetch->context = context;
	fetch->page_context = AllocSetContextCreate(context, "integ sync fetched", ALLOCSET_DEFAULT_SIZES);
	fetch->scratch = AllocSetContextCreate(context, "integ sync fetch step", ALLOCSET_DEFAULT_SIZES);
	fetch->errors = AllocSetContextCreate(context, "integ sync fetch errors", ALLOCSET_SMALL_SIZES);
	fetch->call = integ_call_begin(engine->actor, engine->source->instance_text, method, input, &call_options);
	fetch->call->scope.task = &engine->source->config->root;
	integ_call_open(fetch->call);
	options.page_size = sync_source_page_size(engine->source, fetch->call->method);
	fetch->pages = integ_pages_open(fetch->call, &options);
	MemoryContextSwitchTo(old);
	return fetch;
}

/* The slot that was promised when the page was asked for ahead. False where the run is to stop. */
static bool
wait_for_slot(SyncFetch *fetch)
{
	TimestampTz until = fetch->promised;

	if (until == 0)
		return true;
	fetch->promised = 0;
	fetch->call->options.returning = true;
	return wait_saying(fetch, until, "a rate limit makes it wait", false);
}

/* The request leaves. False behind the last page, and where the run is to stop. */
static bool
ask(SyncFetch *fetch)
{
	if (!wait_for_slot(fetch))
		return false;
	while (!fetch->in_flight && !fetch->ended)
	{
		ErrorData *error = guard(fetch, build_step);

		if (error == NULL && fetch->in_flight)
			integ_call_depart(fetch->call);
		else if (error != NULL && !recover(fetch, error, false))
			return false;
	}
	return !fetch->ended;
}

/* Before the last page is used. What keeps it from leaving is told when it is waited for. */
static void
ask_ahead(SyncFetch *fetch)
{
	ErrorData *error = guard(fetch, build_step);

	if (error != NULL)
	{
		fetch->in_flight = false;
		if (error->sqlerrcode == ERRCODE_INTEG_RATE_LIMIT)
			fetch->promised = fetch->call->outcome.retry_at;
	}
	else if (fetch->in_flight)
		integ_call_depart(fetch->call);
}

static bool
await(SyncFetch *fetch)
{
	while (!integ_call_await(fetch->call, LOOK_MS))
	{
		CHECK_FOR_INTERRUPTS();
		if (integ_sync_should_stop(fetch->engine->run))
			return false;
	}
	integ_call_arrive(fetch->call);
	CHECK_FOR_INTERRUPTS();
	return true;
}

bool
sync_fetch_next(SyncFetch *fetch, SyncFetched *fetched)
{
	fetch->fetched = fetched;
	fetch->attempts = 0;
	fetch->repeated = false;
	MemoryContextReset(fetch->page_context);
	MemoryContextReset(fetch->errors);
	for (;;)
	{
		ErrorData *error;

		if (!ask(fetch) || !await(fetch))
			return false;
		error = guard(fetch, take_step);
		fetch->in_flight = false;
		if (error == NULL)
			break;
		if (!recover(fetch, error, true))
			return false;
	}
	if (fetched->state != NULL && !fetched->cut_short)
		ask_ahead(fetch);
	else
		fetch->ended = true;
	return true;
}

void
sync_fetch_close(SyncFetch *fetch)
{
	MemoryContextDelete(fetch->context);
}

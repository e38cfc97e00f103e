/*
 * integ_execute_many: one method, many inputs, several requests at a time.
 *
 * Each input takes the path of a call. What stops one, before it is sent or after, ends that one; only
 * what concerns the session (a cancel, no memory) ends all. Writes have their intents recorded together,
 * as many as may be under way at once, so that they wait for the disk together.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/uuid.h"
#include "execute/call.h"
#include "execute/tell.h"
#include "fmgr.h"
#include "funcapi.h"
#include "http/batch.h"
#include "http/client.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "oauth/ensure.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(integ_execute_many);

#define DEFAULT_CONCURRENCY 10
#define MAX_CONCURRENCY 100
#define COLUMNS 8

/* One input that is being worked on. */
typedef struct OneCall
{
	dlist_node node;
	MemoryContext context; /* holds the item, its call and its outcome */
	int ordinal;		   /* from 1 */
	const Jsonb *input;
	IntegCall *call;
	IntegOutcome outcome; /* of what stopped it without an answer */
} OneCall;

typedef struct Many
{
	MemoryContext context;
	const IntegActor *actor;
	char *instance;
	char *method;
	IntegCallOptions options;
	int concurrency;
	bool is_write;
	Datum *inputs;
	bool *absent; /* a NULL input is an empty object */
	int ninputs;
	int next;		  /* the input that comes next */
	dlist_head ready; /* items to be sent; the intents of writes are recorded */
	OneCall *late;	  /* waits for a slot of a rate limit, and the others behind it; or NULL */
	IntegHttpBatch *batch;
	TupleDesc row;
	Tuplesortstate *rows; /* by ordinal */
} Many;

/* --- what ends one input, and what ends all --- */

/* Not about one request: the session, the transaction or the server cannot go on. */
static bool
concerns_all(int sqlerrcode)
{
	int category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_INSUFFICIENT_RESOURCES ||
		   category == ERRCODE_INVALID_TRANSACTION_STATE || category == ERRCODE_SYSTEM_ERROR ||
		   category == ERRCODE_INTERNAL_ERROR;
}

static void
tell(const OneCall *item, const IntegOutcome *outcome)
{
	if (item->call != NULL && item->call->method != NULL)
		integ_call_tell(item->call, outcome);
}

/* Takes the error of the failed subtransaction as the item's outcome, or raises it again. */
static void
keep_error(OneCall *item)
{
	ErrorData *error = CopyErrorData();

	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	item->outcome = (IntegOutcome){.sqlerrcode = error->sqlerrcode,
								   .message = error->message,
								   .detail = error->detail,
								   .hint = error->hint,
								   .retry_at = item->call != NULL ? item->call->outcome.retry_at : 0};
	if (!concerns_all(error->sqlerrcode))
		return;
	tell(item, &item->outcome);
	ReThrowError(error);
}

/* Does a part of the item's call; false with the outcome set where that raised. */
static bool
guarded(Many *many, OneCall *item, void (*part)(Many *many, OneCall *item))
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old = CurrentMemoryContext;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(item->context);
	PG_TRY();
	{
		part(many, item);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(item->context);
		keep_error(item);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return done;
}

/* Whether requests wait for this session to go on, which it does not while it waits for a rate limit. */
static bool
is_busy(Many *many)
{
	return integ_http_batch_count(many->batch) > 0 || !dlist_is_empty(&many->ready);
}

static void
prepare_call(Many *many, OneCall *item)
{
	IntegCallOptions options = many->options;

	if (is_busy(many))
		options.max_wait_ms = 0;
	memset(&item->outcome, 0, sizeof(item->outcome));
	item->call = integ_call_begin(many->actor, many->instance, many->method, item->input, &options);
	integ_call_prepare(item->call);
}

/* Whether an input that was refused may come again once the others are answered, and then wait. */
static bool
may_come_later(Many *many, const OneCall *item)
{
	return many->options.max_wait_ms > 0 && is_busy(many) && item->outcome.retry_at != 0;
}

/* The whole call by itself: what has no single request, and what is repeated with other credentials. */
static void
run_alone(Many *many, OneCall *item)
{
	if (item->call == NULL)
	{
		item->call = integ_call_begin(many->actor, many->instance, many->method, item->input, &many->options);
		integ_call_run(item->call);
		return;
	}
	integ_call_rewind(item->call);
	integ_uuid_make(&item->call->subject.call_id);
	integ_call_exchange(item->call);
	integ_call_consult(item->call);
}

/* The method's handler after its requests. */
static void
consult(Many *many, OneCall *item)
{
	integ_call_consult(item->call);
}

/* --- outcomes --- */

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	if (text != NULL)
		values[column] = CStringGetTextDatum(text);
}

/* The item is through: its row is kept, and everything else of it freed. */
static void
finish_item(Many *many, OneCall *item)
{
	const IntegOutcome *outcome =
		item->outcome.sqlerrcode != 0 || item->call == NULL ? &item->outcome : &item->call->outcome;
	bool ok = outcome->sqlerrcode == 0;
	Datum values[COLUMNS] = {Int32GetDatum(item->ordinal), BoolGetDatum(ok)};
	bool nulls[COLUMNS] = {false};
	MemoryContext old = MemoryContextSwitchTo(item->context);
	TupleTableSlot *slot;

	tell(item, outcome);
	nulls[2] = !ok || outcome->result == NULL;
	if (!nulls[2])
		values[2] = JsonbPGetDatum(outcome->result);
	set_text(values, nulls, 3, ok ? NULL : unpack_sql_state(outcome->sqlerrcode));
	set_text(values, nulls, 4, outcome->message);
	set_text(values, nulls, 5, outcome->detail);
	set_text(values, nulls, 6, outcome->hint);
	nulls[7] = outcome->retry_at == 0;
	values[7] = TimestampTzGetDatum(outcome->retry_at);
	slot = MakeSingleTupleTableSlot(many->row, &TTSOpsVirtual);
	memcpy(slot->tts_values, values, sizeof(values));
	memcpy(slot->tts_isnull, nulls, sizeof(nulls));
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(many->rows, slot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(item->context);
}

/* --- sending --- */

static OneCall *
next_item(Many *many)
{
	MemoryContext context = AllocSetContextCreate(many->context, "integ input", ALLOCSET_DEFAULT_SIZES);
	OneCall *item = MemoryContextAllocZero(context, sizeof(OneCall));
	int index = many->next++;

	item->context = context;
	item->ordinal = index + 1;
	item->input = many->absent[index] ? NULL : DatumGetJsonbP(many->inputs[index]);
	return item;
}

/* How many are prepared together: for writes as many as may be under way, for reads as many as there is room for. */
static int
batch_size(const Many *many)
{
	int size = many->concurrency;

	if (!many->is_write)
		return size - integ_http_batch_count(many->batch);
	return integ_record_most_intents(size);
}

/* The writes among the ready items leave only when their intents are on disk. */
static void
record_intents(Many *many)
{
	IntegAuditEntry entries[MAX_CONCURRENCY];
	IntegIntent *intents[MAX_CONCURRENCY];
	dlist_mutable_iter iter;
	int count = 0;

	dlist_foreach_modify(iter, &many->ready)
		entries[count++] = integ_call_intent(dlist_container(OneCall, node, iter.cur)->call);
	integ_record_intents(entries, count, false, intents);
	count = 0;
	dlist_foreach_modify(iter, &many->ready)
	{
		OneCall *item = dlist_container(OneCall, node, iter.cur);

		item->call->intent = intents[count++];
		if (item->call->intent != NULL)
			continue;
		dlist_delete(&item->node);
		item->outcome = (IntegOutcome){.sqlerrcode = ERRCODE_INTEG_INSTALLATION,
									   .message = "the write could not be recorded, so it was not sent",
									   .detail = "The recorder did not write its row of the audit.",
									   .hint = "SELECT * FROM integ_status() says what the recorder does."};
		finish_item(many, item);
	}
}

/* Prepares the next inputs; those that cannot be sent are through. */
static void
prepare(Many *many)
{
	int room = batch_size(many);

	while (room > 0 && (many->late != NULL ? !is_busy(many) : many->next < many->ninputs))
	{
		OneCall *item = many->late != NULL ? many->late : next_item(many);

		many->late = NULL;
		if (guarded(many, item, prepare_call))
		{
			dlist_push_tail(&many->ready, &item->node);
			room--;
		}
		else if (may_come_later(many, item))
		{
			many->late = item;
			break;
		}
		else
			finish_item(many, item);
		CHECK_FOR_INTERRUPTS();
	}
	if (many->is_write && !dlist_is_empty(&many->ready))
		record_intents(many);
}

static void
send_ready(Many *many)
{
	while (!dlist_is_empty(&many->ready) && integ_http_batch_count(many->batch) < many->concurrency)
	{
		OneCall *item = dlist_container(OneCall, node, dlist_pop_head_node(&many->ready));

		integ_call_leaves(item->call);
		integ_http_batch_start(many->batch, &item->call->request, item);
	}
}

/* Gives the answer to the call, which frees it. */
static void
answer(OneCall *item, const IntegHttpResponse *response)
{
	MemoryContext old = MemoryContextSwitchTo(item->call->exchange_context);

	item->call->response = integ_http_response_make();
	*item->call->response = *response;
	integ_call_mask(item->call);
	integ_call_answered(item->call);
	MemoryContextSwitchTo(old);
}

static void
settle(Many *many, OneCall *item)
{
	const IntegCredentialOwner *credentials = &item->call->instance->credentials;
	bool rotating;

	integ_call_finish(item->call);
	rotating = integ_vault_rotating(credentials);
	if (rotating && item->call->outcome.sqlerrcode == 0)
		integ_vault_promote(credentials);
	/* Once more with a refreshed token, or with the credentials before a rotation. */
	if (item->call->outcome.sqlerrcode == ERRCODE_INTEG_UNAUTHENTICATED && (rotating || integ_oauth_repeat(item->call)))
		(void) guarded(many, item, run_alone);
	else if (item->call->method->after != NULL)
		(void) guarded(many, item, consult);
	finish_item(many, item);
}

/*
 * An interrupt: what is under way is broken off and recorded as it stands, what has not left is recorded as such. Then
 * the interrupt raises.
 */
static void
break_all(Many *many)
{
	IntegHttpResponse response;
	OneCall *item;

	HOLD_INTERRUPTS();
	while ((item = integ_http_batch_break(many->batch, &response)) != NULL)
	{
		answer(item, &response);
		integ_call_finish(item->call);
		finish_item(many, item);
	}
	while (!dlist_is_empty(&many->ready))
	{
		item = dlist_container(OneCall, node, dlist_pop_head_node(&many->ready));
		if (item->call->intent != NULL)
			integ_record_outcome(item->call->intent, "failed", "{\"reason\": \"nothing was sent\"}");
		item->call->intent = NULL;
		item->outcome = (IntegOutcome){.sqlerrcode = ERRCODE_QUERY_CANCELED, .message = "the call was not sent"};
		finish_item(many, item);
	}
	RESUME_INTERRUPTS();
	CHECK_FOR_INTERRUPTS();
}

static void
send_all(Many *many)
{
	many->batch = integ_http_batch_open(many->concurrency);
	for (;;)
	{
		IntegHttpResponse response;
		OneCall *item;

		if (dlist_is_empty(&many->ready))
			prepare(many);
		send_ready(many);
		if (integ_http_batch_count(many->batch) == 0)
		{
			if (dlist_is_empty(&many->ready) && many->late == NULL && many->next == many->ninputs)
				return;
			continue;
		}
		item = integ_http_batch_next(many->batch, &response);
		if (item == NULL)
		{
			break_all(many);
			continue;
		}
		answer(item, &response);
		settle(many, item);
	}
}

/* Methods without one request of their own take their inputs one after the other. */
static void
run_all(Many *many)
{
	while (many->next < many->ninputs)
	{
		OneCall *item = next_item(many);

		(void) guarded(many, item, run_alone);
		finish_item(many, item);
		CHECK_FOR_INTERRUPTS();
	}
}

/* --- the function --- */

static void
parse_options(const Jsonb *options, Many *many)
{
	int64 concurrency = DEFAULT_CONCURRENCY;
	const IntegOption own[] = {{"concurrency", INTEG_OPTION_INT, &concurrency}};

	integ_call_options_parse(options, own, lengthof(own), "integ_execute_many", &many->options);
	if (concurrency < 1 || concurrency > MAX_CONCURRENCY)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"concurrency\" of integ_execute_many must be between 1 and %d", MAX_CONCURRENCY)));
	many->concurrency = (int) concurrency;
}

/* What is wrong with every input is raised once. Returns whether the method has a request of its own. */
static bool
look_at_method(Many *many)
{
	IntegCall *call = integ_call_begin(many->actor, many->instance, many->method, NULL, &many->options);
	const JsonbContainer *limits;
	int64 limit;
	bool has_request;

	integ_call_resolve(call);
	integ_call_authorize(call);
	limits = integ_json_get_object(&call->definition->manifest->root, "rateLimit");
	limit = limits != NULL ? integ_json_get_int(limits, "concurrent", 0) : 0;
	if (limit > 0)
		many->concurrency = (int) Min(many->concurrency, limit);
	many->is_write = call->exchange != NULL && call->exchange->is_write;
	has_request = call->exchange != NULL;
	integ_call_end(call);
	return has_request;
}

static void
hand_over(Many *many, Tuplestorestate *store)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(many->row, &TTSOpsMinimalTuple);

	tuplesort_performsort(many->rows);
	while (tuplesort_gettupleslot(many->rows, true, false, slot, NULL))
		tuplestore_puttupleslot(store, slot);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(many->rows);
}

static void
begin_rows(Many *many, TupleDesc row)
{
	AttrNumber column = 1;
	Oid order = Int4LessOperator, collation = InvalidOid;
	bool nulls_first = false;

	many->row = row;
	many->rows = tuplesort_begin_heap(row, 1, &column, &order, &collation, &nulls_first, work_mem, NULL,
									  TUPLESORT_NONE);
}

Datum
integ_execute_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old = CurrentMemoryContext;
	Many *many;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_execute_many needs an instance and a method"),
						errhint("SELECT * FROM integ_execute_many('instance', 'method', ARRAY['{\"input\": 1}', …]::jsonb[]).")));
	many = palloc0(sizeof(Many));
	many->actor = integ_actor_require(INTEG_LEVEL_USER, "call methods");
	many->context = AllocSetContextCreate(CurrentMemoryContext, "integ many calls", ALLOCSET_DEFAULT_SIZES);
	many->instance = text_to_cstring(PG_GETARG_TEXT_PP(0));
	many->method = text_to_cstring(PG_GETARG_TEXT_PP(1));
	dlist_init(&many->ready);
	parse_options(PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3), many);
	if (PG_ARGISNULL(2))
		return (Datum) 0;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), JSONBOID, -1, false, TYPALIGN_INT, &many->inputs, &many->absent,
					  &many->ninputs);
	begin_rows(many, set->setDesc);
	MemoryContextSwitchTo(many->context);
	if (look_at_method(many))
		send_all(many);
	else
		run_all(many);
	MemoryContextSwitchTo(old);
	hand_over(many, set->setResult);
	MemoryContextDelete(many->context);
	return (Datum) 0;
}

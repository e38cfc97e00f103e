/*
 * integ_approve, integ_reject, and what expires.
 */
#include "approvals/approval.h"

#include "access/xact.h"
#include "calls/done.h"
#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(integ_approve);
PG_FUNCTION_INFO_V1(integ_reject);

#define EXPIRED_PER_BATCH "1000"

/* A row of integ.approvals. */
typedef struct Approval
{
	pg_uuid_t id;
	pg_uuid_t call;
	pg_uuid_t instance;
	const char *state;
	const char *client_id;
	const char *user_id;
	Oid requested_by;
	bool is_enqueued;
	bool is_over;
	const char *name; /* "crm_main.delete_contact" */
} Approval;

/* Locks and reads the approval, in CurrentMemoryContext; false where there is none. */
static bool
find(const pg_uuid_t *id, Approval *approval)
{
	static IntegQuery lock = {
		"SELECT call_id, instance, state, client_id, user_id, requested_by::oid::bigint, is_enqueued,"
		" expires_at <= pg_catalog.clock_timestamp(), pg_catalog.format('%s.%s', instance_id, method)"
		" FROM integ.approvals WHERE id = $1 FOR UPDATE",
		1,
		{UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum value = UUIDPGetDatum(id);
	IntegOwnerScope scope;
	bool found, isnull;

	integ_owner_enter(&scope);
	found = integ_query(&lock, &value, NULL) > 0;
	if (found)
		*approval = (Approval){.id = *id,
							   .call = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull)),
							   .instance = *DatumGetUUIDP(integ_result_datum(0, 2, &isnull)),
							   .state = integ_result_text(0, 3, context),
							   .client_id = integ_result_text(0, 4, context),
							   .user_id = integ_result_text(0, 5, context),
							   .requested_by = (Oid) integ_result_int8(0, 6),
							   .is_enqueued = integ_result_bool(0, 7),
							   .is_over = integ_result_bool(0, 8),
							   .name = integ_result_text(0, 9, context)};
	integ_owner_leave(&scope);
	return found;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The approval, pending and the actor's to decide about. */
static void
require_pending(const IntegActor *actor, const pg_uuid_t *id, Approval *approval)
{
	if (!find(id, approval) ||
		(actor->level != INTEG_LEVEL_SUPERADMIN && strcmp(actor->client, approval->client_id) != 0))
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no approval %s", integ_uuid_text(id)),
						errhint("SELECT id, method, request FROM integ.approvals WHERE state = 'pending' shows those that you see.")));
	if (strcmp(approval->state, "pending") == 0 && approval->is_over)
		approval->state = "expired";
	if (strcmp(approval->state, "pending") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("approval %s is not pending any more", integ_uuid_text(id)),
						errdetail("It is %s.", approval->state)));
}

/* Two people, as far as integ can tell. */
static void
refuse_own(const IntegActor *actor, const Approval *approval)
{
	if (actor->level != INTEG_LEVEL_SUPERADMIN && actor->role == approval->requested_by &&
		same_text(actor->user, approval->user_id))
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("role \"%s\" may not approve its own call", GetUserNameFromId(actor->role, false)),
						errhint("Ask another administrator of the client.")));
}

static void
write_decision(const Approval *approval, const char *state, const char *by, const char *note)
{
	static IntegQuery decide = {
		"UPDATE integ.approvals SET state = $2, decided_at = pg_catalog.clock_timestamp(), decided_by = $3, note = $4"
		" WHERE id = $1",
		4,
		{UUIDOID, TEXTOID, TEXTOID, TEXTOID}};
	char nulls[] = "    ";
	Datum values[4] = {UUIDPGetDatum(&approval->id), CStringGetTextDatum(state)};
	IntegOwnerScope scope;

	values[2] = integ_value_text(by, &nulls[2]);
	values[3] = integ_value_text(note, &nulls[3]);
	integ_owner_enter(&scope);
	(void) integ_query(&decide, values, nulls);
	integ_owner_leave(&scope);
}

/* Tells the requester, and whoever listens to events. */
static void
tell(const Approval *approval, const char *state, const char *note)
{
	char *kind = psprintf("approval.%s", state);
	IntegJsonBuilder payload;

	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "approval", integ_uuid_text(&approval->id));
	integ_json_add_string(&payload, "call", integ_uuid_text(&approval->call));
	integ_event_emit(kind, approval->client_id, &approval->instance, integ_json_end(&payload));
	integ_notify(approval->user_id, approval->client_id, kind,
				 psprintf("%s was %s%s%s", approval->name, strcmp(state, "expired") == 0 ? "not decided about in time" : state,
						  note != NULL ? ": " : "", note != NULL ? note : ""),
				 strcmp(state, "approved") == 0
					 ? psprintf("integ_await('%s') gives the result.", integ_uuid_text(&approval->call))
					 : "Nothing was sent.",
				 NULL);
}

static void
audit(const IntegActor *actor, const Approval *approval, const char *action)
{
	IntegRecordSubject subject = {.call_id = approval->call,
								  .client_id = approval->client_id,
								  .user_id = actor->user,
								  .role = actor->role,
								  .instance = &approval->instance};
	IntegAuditEntry entry = {.subject = &subject,
							 .action = action,
							 .outcome = "succeeded",
							 .detail = psprintf("{\"approval\": \"%s\"}", integ_uuid_text(&approval->id))};

	integ_record_audit(&entry);
}

static const char *
decider(const IntegActor *actor)
{
	return actor->user != NULL ? actor->user : GetUserNameFromId(actor->role, false);
}

/* The call that waits for it goes on; one whose statement has failed is enqueued for its requester. */
static void
release_call(const Approval *approval)
{
	static IntegQuery go_on = {
		"UPDATE integ.calls_open SET state = 'queued', approval = $2,"
		" next_attempt_at = greatest(run_at, pg_catalog.clock_timestamp()) WHERE id = $1 AND state = 'approval'",
		2,
		{UUIDOID, UUIDOID}};
	static IntegQuery enqueue = {
		"INSERT INTO integ.calls_open (id, instance, owner, is_write, client_id, user_id, instance_id, definition_id,"
		" method, input, approval)"
		" SELECT a.call_id, a.instance, a.requested_by, true, a.client_id, a.user_id, a.instance_id, a.definition_id,"
		" a.method, a.input, a.id FROM integ.approvals a WHERE a.call_id = $1 AND a.id = $2",
		2,
		{UUIDOID, UUIDOID}};
	Datum values[] = {UUIDPGetDatum(&approval->call), UUIDPGetDatum(&approval->id)};
	IntegOwnerScope scope;
	uint64 count;

	integ_owner_enter(&scope);
	count = integ_query(approval->is_enqueued ? &go_on : &enqueue, values, NULL);
	integ_owner_leave(&scope);
	if (count == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("call %s does not wait for its approval any more", integ_uuid_text(&approval->call)),
						errdetail("It was cancelled."), errhint("Reject the approval.")));
}

/* The call that waits for it ends, and its callback hears of it. */
static void
end_call(const Approval *approval, const char *error, const char *note)
{
	static IntegQuery end = {
		"WITH ended AS (DELETE FROM integ.calls_open o WHERE o.id = $1 AND o.state = 'approval' RETURNING o.*,"
		" 'failed' AS end_state, 'IG428' AS end_sqlstate, $2 AS end_error, $3 AS end_detail, NULL AS end_hint,"
		" NULL::jsonb AS end_result, 0 AS end_interrupted)" INTEG_CALLS_DONE,
		3,
		{UUIDOID, TEXTOID, TEXTOID}};
	char nulls[] = "   ";
	Datum values[3] = {UUIDPGetDatum(&approval->call), CStringGetTextDatum(error)};
	IntegOwnerScope scope;

	if (!approval->is_enqueued)
		return;
	values[2] = integ_value_text(note, &nulls[2]);
	integ_owner_enter(&scope);
	(void) integ_query(&end, values, nulls);
	integ_owner_leave(&scope);
	/* The next call of its key may run now. */
	integ_wake_note_all();
}

static pg_uuid_t *
argument_id(FunctionCallInfo fcinfo, const char *function)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s needs the id of an approval", function)));
	return PG_GETARG_UUID_P(0);
}

static char *
argument_text(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
}

Datum
integ_approve(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "approve calls");
	char *note = argument_text(fcinfo);
	pg_uuid_t *call = palloc(sizeof(pg_uuid_t));
	Approval approval;

	require_pending(actor, argument_id(fcinfo, "integ_approve"), &approval);
	refuse_own(actor, &approval);
	write_decision(&approval, "approved", decider(actor), note);
	release_call(&approval);
	tell(&approval, "approved", note);
	audit(actor, &approval, "approval.approve");
	*call = approval.call;
	PG_RETURN_UUID_P(call);
}

Datum
integ_reject(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "reject calls");
	char *reason = argument_text(fcinfo);
	Approval approval;

	require_pending(actor, argument_id(fcinfo, "integ_reject"), &approval);
	write_decision(&approval, "rejected", decider(actor), reason);
	end_call(&approval, psprintf("the call was rejected by %s", decider(actor)), reason);
	tell(&approval, "rejected", reason);
	audit(actor, &approval, "approval.reject");
	PG_RETURN_VOID();
}

void
integ_approval_withdraw(const IntegActor *actor, const pg_uuid_t *call)
{
	static IntegQuery pending = {
		"SELECT id FROM integ.approvals WHERE call_id = $1 AND state = 'pending' FOR UPDATE", 1, {UUIDOID}};
	static const char *const reason = "the call was cancelled";
	Datum value = UUIDPGetDatum(call);
	IntegOwnerScope scope;
	Approval approval;
	pg_uuid_t id;
	bool found, isnull;

	integ_owner_enter(&scope);
	found = integ_query(&pending, &value, NULL) > 0;
	if (found)
		id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	integ_owner_leave(&scope);
	if (!found || !find(&id, &approval))
		return;
	write_decision(&approval, "rejected", decider(actor), reason);
	tell(&approval, "rejected", reason);
	audit(actor, &approval, "approval.reject");
}

/* Expires a batch; false where nothing was left to expire. */
static bool
expire_batch(void)
{
	static IntegQuery over = {
		"SELECT id FROM integ.approvals WHERE state = 'pending' AND expires_at <= pg_catalog.clock_timestamp()"
		" ORDER BY expires_at LIMIT " EXPIRED_PER_BATCH " FOR UPDATE SKIP LOCKED",
		0};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	pg_uuid_t *ids;
	uint64 count;

	integ_owner_enter(&scope);
	count = integ_query(&over, NULL, NULL);
	ids = MemoryContextAlloc(context, Max(count, 1) * sizeof(pg_uuid_t));
	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;

		ids[i] = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
	}
	integ_owner_leave(&scope);
	for (uint64 i = 0; i < count; i++)
	{
		Approval approval;

		if (!find(&ids[i], &approval))
			continue;
		write_decision(&approval, "expired", NULL, NULL);
		end_call(&approval, "nobody approved the call in time", NULL);
		tell(&approval, "expired", NULL);
	}
	return count > 0;
}

void
integ_approvals_expire(void)
{
	bool more = true;

	while (more)
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		more = expire_batch();
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
}

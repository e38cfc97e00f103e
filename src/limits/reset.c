/*
 * Closing a circuit breaker by hand.
 */
#include "limits/grant.h"

#include "access/actor.h"
#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "definitions/definition.h"
#include "fmgr.h"
#include "instances/instance.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_breaker_reset);

/* Closes the gate's breaker; true where it was not closed. */
static bool
close_gate(const IntegGateKey *key, int64 now, IntegGate *copy)
{
	IntegGate *gate = integ_gate_find(key);
	bool was_closed = gate == NULL || gate->breaker.state == INTEG_BREAKER_CLOSED;

	if (gate == NULL)
		return false;
	integ_breaker_close(&gate->breaker, now);
	integ_gate_settle(gate);
	/* With the time at which it would have half-opened. */
	*copy = *gate;
	return !was_closed;
}

/*
 * Calls that wait for the breaker need wait no longer. They were put off until it half-opens, so that they are found by
 * their time: neither those that are due are looked at, however many there are, nor those of next week.
 */
static void
resume_calls(const pg_uuid_t *counted, TimestampTz now, TimestampTz until)
{
	static IntegQuery resume = {
		"UPDATE integ.calls_open SET next_attempt_at = $2"
		" WHERE state = 'waiting' AND last_sqlstate = 'IG503'"
		" AND priority = ANY (ARRAY(SELECT pg_catalog.generate_series($4, $5)::int2))"
		" AND next_attempt_at > $2 AND next_attempt_at <= $3"
		" AND instance IN (SELECT i.id FROM integ.instances i WHERE i.id = $1 OR i.borrows = $1)",
		5,
		{UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT4OID}};
	Datum values[] = {UUIDPGetDatum(counted), TimestampTzGetDatum(now), TimestampTzGetDatum(until),
					  Int32GetDatum(INTEG_PRIORITY_MIN), Int32GetDatum(INTEG_PRIORITY_MAX)};
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&resume, values, NULL);
	integ_owner_leave(&scope);
}

/* The longest that a call waits for the breakers as they are now, or as an earlier server run had them. */
static int64
longest_wait(const IntegInstance *instance, const IntegGate *gates, int64 now)
{
	int64 wait = Max(integ_instance_definition(instance)->breaker.reset_us, integ_breaker_default.reset_us);

	for (int i = 0; i < INTEG_GATES; i++)
		wait = Max(wait, gates[i].breaker.half_open_at - now);
	return wait + INTEG_PROBE_WAIT_MAX;
}

Datum
integ_breaker_reset(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "reset circuit breakers");
	const IntegInstance *instance =
		integ_instance_require_managed(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), "reset the circuit breaker of");
	const pg_uuid_t *counted = instance->borrows != NULL ? instance->borrows : &instance->id;
	IntegLimitSubject subject = {
		.instance = counted, .owner = instance->credentials.client_id, .definition = instance->definition_id};
	IntegGateKey keys[INTEG_GATES];
	IntegGate copies[INTEG_GATES] = {0};
	bool changed[INTEG_GATES] = {false};
	int64 now = integ_limits_clock();
	TimestampTz time;

	/* Shared memory is changed first, and no ROLLBACK undoes that. */
	PreventCommandIfReadOnly("integ_breaker_reset");
	if (integ_limit_table == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("integ is not preloaded"),
						errhint("Add integ to shared_preload_libraries and restart the server.")));
	keys[INTEG_GATE_INSTANCE] = integ_gate_key_of_instance(counted);
	keys[INTEG_GATE_HOST] = integ_gate_key_of_host(instance->origin != NULL ? instance->origin : "");
	LWLockAcquire(integ_limit_table->lock, LW_EXCLUSIVE);
	for (int i = 0; i < INTEG_GATES; i++)
		changed[i] = close_gate(&keys[i], now, &copies[i]);
	LWLockRelease(integ_limit_table->lock);
	for (int i = 0; i < INTEG_GATES; i++)
		if (changed[i])
		{
			IntegLimitEvent event = integ_breaker_event("breaker.closed", &copies[i], &subject);

			integ_limits_tell(&event);
		}
	integ_limits_broadcast();
	time = GetCurrentTimestamp();
	resume_calls(counted, time, time + longest_wait(instance, copies, now));
	PG_RETURN_BOOL(changed[INTEG_GATE_HOST] || changed[INTEG_GATE_INSTANCE]);
}

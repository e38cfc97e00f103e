/*
 * How a call ends: from integ.calls_open to history, and its callback with it.
 */
#ifndef INTEG_CALLS_DONE_H
#define INTEG_CALLS_DONE_H

#include "postgres.h"

/*
 * Completes a statement that begins "WITH ended AS (DELETE FROM integ.calls_open o … RETURNING o.*, …)". Besides
 * the row, ended has end_state, end_sqlstate, end_error, end_detail, end_hint, end_result, and end_interrupted: by how
 * much the count of unfinished attempts grows. HISTORY is for calls of which none has a callback; the result of DONE
 * has a row a call: whether it had an ordering key. That of TOLD has besides what integ_ended_tell tells of it.
 */
#define INTEG_CALLS_HISTORY                                                                                        \
	" INSERT INTO integ.calls_done (id, instance, created_at, run_at, started_at, finished_at, expires_at, owner," \
	" timeout_ms, attempt, max_attempts, interrupted, priority, is_write, state, client_id, user_id, instance_id," \
	" definition_id, method, ordering_key, idempotency_key, on_success, on_failure, last_sqlstate, last_error,"    \
	" error_detail, error_hint, input, result, depth, purpose)"                                                    \
	" SELECT id, instance, created_at, run_at, started_at, pg_catalog.clock_timestamp(), expires_at, owner,"       \
	" timeout_ms, attempt, max_attempts, interrupted + end_interrupted, priority, is_write, end_state, client_id," \
	" user_id, instance_id, definition_id, method, ordering_key, idempotency_key, on_success, on_failure,"         \
	" end_sqlstate, end_error, end_detail, end_hint, input, end_result, depth, purpose FROM ended"
#define INTEG_CALLS_CALLED                                                                                             \
	", done AS (" INTEG_CALLS_HISTORY "),"                                                                             \
	" called AS (INSERT INTO integ.handler_runs (kind, owner, function, argument, client_id, user_id, call, instance," \
	" depth)"                                                                                                          \
	" SELECT CASE WHEN end_state = 'succeeded' THEN 'on_success' ELSE 'on_failure' END, owner,"                        \
	" CASE WHEN end_state = 'succeeded' THEN on_success ELSE on_failure END,"                                          \
	" pg_catalog.jsonb_build_object('call', id, 'state', end_state, 'instance', instance_id, 'method', method,"        \
	" 'attempts', attempt, 'input', input) || CASE WHEN end_state = 'succeeded'"                                       \
	" THEN pg_catalog.jsonb_build_object('result', end_result) ELSE pg_catalog.jsonb_build_object('error',"            \
	" pg_catalog.jsonb_build_object('sqlstate', end_sqlstate, 'message', end_error, 'detail', end_detail,"             \
	" 'hint', end_hint)) END, client_id, user_id, id, instance, least(depth + 1, 30000) FROM ended"                    \
	" WHERE CASE WHEN end_state = 'succeeded' THEN on_success ELSE on_failure END IS NOT NULL)"
#define INTEG_CALLS_DONE INTEG_CALLS_CALLED " SELECT ordering_key IS NOT NULL FROM ended"
#define INTEG_CALLS_TOLD INTEG_CALLS_CALLED INTEG_CALLS_WHAT_IS_TOLD
#define INTEG_CALLS_WHAT_IS_TOLD                                                                              \
	" SELECT ordering_key IS NOT NULL, id, instance, client_id, user_id, instance_id, definition_id, method," \
	" is_write, end_state, (attempt - interrupted)::bigint, end_sqlstate, end_error, purpose IS NOT NULL FROM ended"

/*
 * integ.action.executed of what a statement with INTEG_CALLS_TOLD has ended, for the endpoints that want to know; count
 * is what it returned. Of calls that were begun, or may have been elsewhere, and are no errands. Reads the statement's
 * result, and leaves another. In the transaction that ends them, inside an owner scope or as its owner.
 */
extern void integ_ended_tell(uint64 count);

#endif /* INTEG_CALLS_DONE_H */

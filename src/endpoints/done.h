/*
 * How a delivery ends: from integ.deliveries_open to history.
 */
#ifndef INTEG_ENDPOINTS_DONE_H
#define INTEG_ENDPOINTS_DONE_H

/*
 * Completes a statement that begins "WITH ended AS (DELETE FROM integ.deliveries_open o … RETURNING o.*, …)".
 * Besides the row, ended has end_state, end_status, end_error, and end_interrupted: by how much the count of unfinished
 * attempts grows. The result has a row a delivery: its id, and whether it had an ordering key.
 */
#define INTEG_DELIVERIES_DONE                                                                                     \
	", done AS (INSERT INTO integ.deliveries_done (id, endpoint, message, created_at, started_at, finished_at,"   \
	" instance, attempt, interrupted, last_status, state, client_id, event_client, event_type, key, last_error,"  \
	" payload)"                                                                                                   \
	" SELECT id, endpoint, message, created_at, started_at, pg_catalog.clock_timestamp(), instance, attempt,"     \
	" interrupted + end_interrupted, end_status, end_state, client_id, event_client, event_type, key, end_error," \
	" payload FROM ended)"                                                                                        \
	" SELECT id, ordering_key IS NOT NULL FROM ended"

#endif /* INTEG_ENDPOINTS_DONE_H */

/*
 * Approvals that were decided about long ago are deleted: who decided what stays in the audit.
 */
#include "approvals/approval.h"

#include "catalog/pg_type.h"
#include "core/guc.h"
#include "core/query.h"
#include "operate/operate.h"

#define FORGOTTEN_PER_BATCH "1000"

void
integ_approvals_run(void)
{
	static IntegQuery forget = {
		"DELETE FROM integ.approvals WHERE (id, instance) IN (SELECT a.id, a.instance FROM integ.approvals a"
		" WHERE a.state <> 'pending' AND a.decided_at < pg_catalog.clock_timestamp() - $1 * interval '1 day'"
		" AND NOT EXISTS (SELECT FROM integ.calls_open o WHERE o.id = a.call_id AND o.instance = a.instance)"
		" ORDER BY a.decided_at LIMIT " FORGOTTEN_PER_BATCH " FOR UPDATE SKIP LOCKED)",
		1,
		{INT4OID}};
	Datum days = Int32GetDatum(integ_approval_retention);

	integ_approvals_expire();
	integ_job_delete(&forget, &days);
}

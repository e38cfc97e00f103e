/*
 * Approvals that were decided about long ago are deleted: who decided what stays in the audit.
 */
#include "approvals/approval.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/snapmgr.h"

#define FORGOTTEN_PER_BATCH "1000"

/* Deletes a batch; false where nothing is left. */
static bool
forget_batch(void)
{
	static IntegQuery forget = {
		"DELETE FROM integ.approvals WHERE (id, instance) IN (SELECT a.id, a.instance FROM integ.approvals a"
		" WHERE a.state <> 'pending' AND a.decided_at < pg_catalog.clock_timestamp() - $1 * interval '1 day'"
		" AND NOT EXISTS (SELECT FROM integ.calls_open o WHERE o.id = a.call_id AND o.instance = a.instance)"
		" ORDER BY a.decided_at LIMIT " FORGOTTEN_PER_BATCH " FOR UPDATE SKIP LOCKED)",
		1,
		{INT4OID}};
	Datum days = Int32GetDatum(integ_approval_retention);
	IntegOwnerScope scope;
	uint64 count;

	integ_owner_enter(&scope);
	count = integ_query(&forget, &days, NULL);
	integ_owner_leave(&scope);
	return count > 0;
}

void
integ_approvals_run(void)
{
	bool more = true;

	integ_approvals_expire();
	while (more)
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		more = forget_batch();
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
}

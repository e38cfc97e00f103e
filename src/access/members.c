/*
 * Members whose role was dropped: in a dump such a row has the role's number alone, which another cluster may have
 * given to somebody else.
 */
#include "postgres.h"

#include "access/actor.h"
#include "core/query.h"
#include "operate/operate.h"

void
integ_members_forget(void)
{
	static IntegQuery forget = {"DELETE FROM integ.members m WHERE NOT EXISTS"
								" (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = m.role)",
								0};

	integ_job_delete(&forget, NULL);
}

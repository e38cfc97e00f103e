/*
 * To whom a row may belong that leads to users' SQL.
 */
#include "access/row_owner.h"

#include "core/errors.h"
#include "core/owner.h"
#include "miscadmin.h"
#include "utils/acl.h"

void
integ_row_owner_check(Oid owner, const char *what)
{
	/* integ itself changes rows when what they refer to goes. */
	if (GetUserId() == integ_owner_oid() || is_member_of_role(GetUserId(), owner))
		return;
	ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
					errmsg("%s cannot belong to the role \"%s\"", what, GetUserNameFromId(owner, true)),
					errdetail("It runs with the rights of its owner, and \"%s\" is no member of that role.",
							  GetUserNameFromId(GetUserId(), false)),
					errhint("Leave \"owner\" out: it then belongs to you.")));
}

/*
 * Working as integ_owner inside a caller's backend.
 */
#include "core/owner.h"

#include "core/errors.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"

Oid
integ_owner_oid(void)
{
	Oid owner = get_role_oid("integ_owner", true);

	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INTEG_INSTALLATION),
				 errmsg("the role \"integ_owner\" does not exist"),
				 errdetail("It owns every object of the extension."),
				 errhint("Restore the roles of this cluster (pg_dumpall --roles-only), or create the extension again.")));
	return owner;
}

void
integ_owner_enter(IntegOwnerScope *scope)
{
	GetUserIdAndSecContext(&scope->saved_user, &scope->saved_context);
	SetUserIdAndSecContext(integ_owner_oid(),
						   scope->saved_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* A caller's row_security = off would turn our policies into errors. */
	(void) set_config_option("row_security", "on", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
}

void
integ_owner_leave(IntegOwnerScope *scope)
{
	SPI_finish();
	AtEOXact_GUC(true, scope->guc_level);
	SetUserIdAndSecContext(scope->saved_user, scope->saved_context);
}

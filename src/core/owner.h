/*
 * Working as integ_owner inside a caller's backend.
 *
 * Public functions are SECURITY INVOKER: the C entry first asks who calls
 * (access/actor.h), authorizes, and only then enters this scope, in which our
 * tables may be read and written and row-level security of the owner is off.
 */
#ifndef INTEG_CORE_OWNER_H
#define INTEG_CORE_OWNER_H

#include "postgres.h"

typedef struct IntegOwnerScope
{
	Oid saved_user;
	int saved_context;
	int guc_level;
} IntegOwnerScope;

/* The role that owns every object of integ. Raises IG500 where it is missing. */
extern Oid integ_owner_oid(void);

/*
 * Becomes integ_owner with search_path = pg_catalog, pg_temp and SPI connected.
 * Must be paired with integ_owner_leave; on error the (sub)transaction's abort
 * restores user, settings and SPI, so that no PG_TRY is needed. Between the two, memory
 * that must outlive leave is allocated in the caller's context explicitly
 * (SPI has a context of its own).
 */
extern void integ_owner_enter(IntegOwnerScope *scope);
extern void integ_owner_leave(IntegOwnerScope *scope);

#endif /* INTEG_CORE_OWNER_H */

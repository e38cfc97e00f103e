/*
 * What letters are, and which case they have: Unicode's rules in every database.
 */
#include "core/collation.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "nodes/makefuncs.h"

Oid
integ_unicode_collation(void)
{
	List *name = list_make2(makeString("pg_catalog"), makeString("und-x-icu"));
	Oid collation = get_collation_oid(name, true);

	return OidIsValid(collation) ? collation : DEFAULT_COLLATION_OID;
}

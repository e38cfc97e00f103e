/*
 * The only place where the differences between PostgreSQL 15 and 18 are named.
 */
#ifndef INTEG_CORE_COMPAT_H
#define INTEG_CORE_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "integ needs PostgreSQL 15 or newer"
#endif

/* PostgreSQL 18 replaced pg_attribute_noreturn() by a specifier that stands before the declaration. */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

/* PostgreSQL 16 split the ownership checks into one function with a class. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_database.h"
#include "utils/acl.h"
#define integ_database_ownercheck(db, role) object_ownercheck(DatabaseRelationId, (db), (role))
#else
#include "utils/acl.h"
#define integ_database_ownercheck(db, role) pg_database_ownercheck((db), (role))
#endif

#endif /* INTEG_CORE_COMPAT_H */

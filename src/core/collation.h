/*
 * What letters are, and which case they have: Unicode's rules in every database.
 */
#ifndef INTEG_CORE_COLLATION_H
#define INTEG_CORE_COLLATION_H

#include "postgres.h"

/*
 * ICU's root collation, so that \w and upper case mean the same in every database; the database's own where this
 * server was built without ICU.
 */
extern Oid integ_unicode_collation(void);

#endif /* INTEG_CORE_COLLATION_H */

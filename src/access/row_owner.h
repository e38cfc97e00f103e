/*
 * To whom a row may belong that leads to users' SQL.
 */
#ifndef INTEG_ACCESS_ROW_OWNER_H
#define INTEG_ACCESS_ROW_OWNER_H

#include "postgres.h"

/*
 * What runs with a role's rights is written by members of that role only. Raises IG403 where GetUserId() is none, and
 * not integ itself; what is the subject of the message ("sync task \"nightly\""). Must be called outside an owner
 * scope.
 */
extern void integ_row_owner_check(Oid owner, const char *what);

#endif /* INTEG_ACCESS_ROW_OWNER_H */

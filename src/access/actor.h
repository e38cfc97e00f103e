/*
 * Who calls: the client, user and level that a database role stands for.
 */
#ifndef INTEG_ACCESS_ACTOR_H
#define INTEG_ACCESS_ACTOR_H

#include "postgres.h"

/* The client of everything global, and of a superuser who is nobody's member. */
#define INTEG_GLOBAL_CLIENT "*"

typedef enum IntegLevel
{
	INTEG_LEVEL_NONE,	   /* not a member: sees nothing */
	INTEG_LEVEL_USER,	   /* calls, and manages what is in its own user context */
	INTEG_LEVEL_ADMIN,	   /* manages its client */
	INTEG_LEVEL_SUPERADMIN /* manages everything */
} IntegLevel;

typedef struct IntegActor
{
	Oid role;			/* GetUserId() of the call */
	const char *client; /* NULL for INTEG_LEVEL_NONE; INTEG_GLOBAL_CLIENT for global */
	const char *user;	/* NULL where the role stands for no user */
	IntegLevel level;
	const char *suspended; /* of INTEG_LEVEL_NONE: the client, switched off, that the role is a member of; else NULL */
} IntegActor;

/* Declares the internal setting that carries integ_act_as; called from integ_guc_define. */
extern void integ_actor_define_guc(void);

/*
 * The actor behind GetUserId(), from integ_act_as in this transaction, else
 * integ.members, else superuser or integ_superadmin, else INTEG_LEVEL_NONE. Must be called before
 * integ_owner_enter. Valid until the end of the transaction. No SPI once cached.
 */
extern const IntegActor *integ_actor_current(void);

/*
 * As above, but raises IG403 where the actor's level is below the one needed;
 * action completes "may not …" ("call methods").
 */
extern const IntegActor *integ_actor_require(IntegLevel level, const char *action);

/*
 * The actor that a durable call was enqueued by, in CurrentMemoryContext, from what its row says. Raises IG403 where
 * the role no longer stands for that client and user, nor may act for them. Needs a transaction; must not be called
 * between integ_owner_enter and integ_owner_leave.
 */
extern const IntegActor *integ_actor_rebuild(Oid role, const char *client, const char *user);

/*
 * Lets the current role act for a client and user until the end of the transaction, as integ_act_as, unless it
 * stands for them anyway. Raises as integ_actor_rebuild.
 */
extern void integ_actor_assume(const char *client, const char *user);

/*
 * Whether the actor manages what belongs to that user of the client (NULL: to no user): its own, as an administrator
 * all of its client's, as a superadmin everything. As the row-level security of the tables of calls.
 */
extern bool integ_actor_manages(const IntegActor *actor, const char *client, const char *user);

/* Forgets members whose role was dropped, as a maintenance job. */
extern void integ_members_forget(void);

/* "user", "admin", "superadmin"; NULL for none. */
extern const char *integ_level_name(IntegLevel level);

#endif /* INTEG_ACCESS_ACTOR_H */

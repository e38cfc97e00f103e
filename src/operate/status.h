/*
 * integ_status(): the parts of which each tells of itself.
 */
#ifndef INTEG_OPERATE_STATUS_H
#define INTEG_OPERATE_STATUS_H

#include "postgres.h"

#include "access/actor.h"
#include "nodes/execnodes.h"
#include "utils/timestamp.h"

/* One line of the answer; NULL and 0 where nothing is to be said. */
typedef struct IntegStatusLine
{
	const char *component;
	Oid database;
	const char *state;
	TimestampTz since;
	const char *last_error;
	int64 depth; /* -1: it has no queue */
	TimestampTz oldest;
	const char *hint;
} IntegStatusLine;

extern void integ_status_put(ReturnSetInfo *result, const IntegStatusLine *line);

/* Syncs, deliveries, endpoints, registrations and polls: those of the actor's client, for a superadmin of all. */
extern void integ_status_put_queues(ReturnSetInfo *result, const IntegActor *actor);

#endif /* INTEG_OPERATE_STATUS_H */

/*
 * Tells who listens what has ended.
 */
#include "operate/operate.h"

#include "commands/async.h"
#include "core/guc.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/* A payload is shorter than this (NOTIFY_PAYLOAD_MAX_LENGTH, which async.c keeps to itself). */
#define PAYLOAD_MAX (BLCKSZ - NAMEDATALEN - 128)

/* A queue that nobody reads must not keep outcomes from being stored: a full one fails the transaction. */
#define FULLEST 0.5

static bool
has_room(void)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	return DatumGetFloat8(pg_notification_queue_usage(fcinfo)) < FULLEST;
}

void
integ_announce_ids(const char *channel, const pg_uuid_t *const *ids, int count)
{
	StringInfoData payload;

	if (!integ_notify_calls || count == 0 || !has_room())
		return;
	initStringInfo(&payload);
	for (int i = 0; i < count; i++)
	{
		const char *id = integ_uuid_text(ids[i]);

		if (payload.len + 1 + strlen(id) >= PAYLOAD_MAX)
		{
			Async_Notify(channel, payload.data);
			resetStringInfo(&payload);
		}
		appendStringInfo(&payload, "%s%s", payload.len > 0 ? "," : "", id);
	}
	Async_Notify(channel, payload.data);
	pfree(payload.data);
}

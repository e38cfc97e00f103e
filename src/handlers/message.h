/*
 * What a request and its answer look like on their way: internal to handlers.
 */
#ifndef INTEG_HANDLERS_MESSAGE_H
#define INTEG_HANDLERS_MESSAGE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "handlers/handlers.h"
#include "storage/dsm.h"
#include "storage/shm_mq.h"

/* The queue that the answer comes through; a longer one comes in pieces. */
#define INTEG_HANDLER_QUEUE_BYTES 8192

/* The longest answer, and the longest argument. */
#define INTEG_HANDLER_BYTES_MAX (64 * 1024 * 1024)

/* A moment for a worker to say that the time is over. */
#define INTEG_HANDLER_MOMENT (2 * USECS_PER_SEC)

/* At the start of the segment; strings and the argument follow, then the queue. */
typedef struct IntegHandlerMessage
{
	TimestampTz deadline;
	uint32 function; /* offsets; 0: NULL */
	uint32 client;
	uint32 user;
	uint32 argument;
	uint32 queue;
	uint32 bytes; /* of the segment's part that is ours */
} IntegHandlerMessage;

static inline void *
integ_handler_message_at(IntegHandlerMessage *message, uint32 offset)
{
	return offset == 0 ? NULL : (char *) message + offset;
}

/* The answer is one message of the queue: this, then three strings with their NUL ("" for NULL), or the result. */
typedef struct IntegHandlerReply
{
	int32 sqlerrcode;
	bool has_result;
} IntegHandlerReply;

#define INTEG_HANDLER_REPLY_BYTES MAXALIGN(sizeof(IntegHandlerReply))

#endif /* INTEG_HANDLERS_MESSAGE_H */

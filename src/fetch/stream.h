/*
 * The events of a streamed answer (a method's "stream"), one after the other while they arrive.
 *
 *		stream = integ_stream_open(call);
 *		while ((event = integ_stream_next(stream)) != NULL)
 *			use it;
 */
#ifndef INTEG_FETCH_STREAM_H
#define INTEG_FETCH_STREAM_H

#include "postgres.h"

#include "execute/call.h"

typedef struct IntegStream IntegStream;

/*
 * Sends the opened call's request, and returns when the service has accepted it. Everything lives below the call's
 * context; when that goes, the stream is broken off and the exchange recorded. Raises what the call raises.
 */
extern IntegStream *integ_stream_open(IntegCall *call);

/*
 * What the next event became by the method's map or records; NULL at the end. Valid until the next call. Raises what a
 * rule of the manifest says of an event, IG502 for one that is not JSON or too long, what the network does wrong, and
 * IG504 where the waits for the service come to the call's timeout.
 */
extern const Jsonb *integ_stream_next(IntegStream *stream);

#endif /* INTEG_FETCH_STREAM_H */

/*
 * Publishing: events become deliveries, rows of the transaction under way.
 */
#ifndef INTEG_ENDPOINTS_PUBLISH_H
#define INTEG_ENDPOINTS_PUBLISH_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "endpoints/endpoint.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* Longest type of an event and longest key, in bytes. */
#define INTEG_EVENT_TYPE_MAX 128
#define INTEG_MESSAGE_KEY_MAX 512

typedef struct IntegMessage
{
	pg_uuid_t id;
	const char *event_type;
	const char *client;
	const pg_uuid_t *instance; /* that it is about, or NULL */
	const char *key;		   /* or NULL */
	TimestampTz created_at;
	TimestampTz deliver_at;
	const Jsonb *payload;
} IntegMessage;

/* Whether any endpoint may want events of the type of that client. Inside an owner scope; no SPI once cached. */
extern PGDLLEXPORT bool integ_event_wanted(const char *client, const char *event_type);

/*
 * Writes the deliveries of events to the endpoints that want them, and has the dispatchers woken at
 * commit. only (nonly of them) limits the endpoints to these; NULL: all. How many deliveries. Inside an owner scope.
 */
extern int integ_messages_publish(const IntegMessage *messages, int count, const pg_uuid_t *only, int nonly);

/* Writes the delivery of an event to one endpoint, whatever that subscribes to. As above. */
extern void integ_message_send(const IntegMessage *message, const IntegEndpoint *endpoint);

/* Whether the text can be the type of an event, or a pattern of types. */
extern bool integ_event_type_valid(const char *text, bool is_pattern);

#endif /* INTEG_ENDPOINTS_PUBLISH_H */

/*
 * Webhooks: requests that services send, proven, read and stored.
 *
 * One request travels one way: its webhook is found, it is verified on its raw bytes, a handshake is answered, the
 * events in it are read, each is routed to the connection it concerns, and stored with what is to run for it. All of
 * that is one transaction of the caller's; the answer is for after its commit.
 */
#ifndef INTEG_WEBHOOKS_WEBHOOK_H
#define INTEG_WEBHOOKS_WEBHOOK_H

#include "postgres.h"

#include "core/pinned.h"
#include "definitions/definition.h"
#include "handlers/handlers.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "vault/vault.h"
#include "webhooks/signature.h"

/* A body beyond this is refused unread. */
#define INTEG_WEBHOOK_MAX_BODY (16 * 1024 * 1024)

/* One request becomes so many events at most. */
#define INTEG_WEBHOOK_MAX_EVENTS 1000

/* Where a value of a request is found. */
typedef struct IntegWebhookSource
{
	const char *header;
	const char *query;
	IntegPath *path; /* in the body, or in the part of it that is one event */
} IntegWebhookSource;

/* How requests are proven: integ_signature_verify's rule, or a token that is signed. */
typedef struct IntegWebhookScheme
{
	IntegSignatureRule rule;
	bool is_jwt;
	IntegJwtAlgorithm algorithm;  /* of the token */
	const JsonbContainer *claims; /* that the token must have, or NULL */
	IntegPath *token_path;		  /* rule.place.path, compiled */
	IntegPath *timestamp_path;	  /* rule.timestamp.path, compiled */
	const char *credential;		  /* name of the secret */
} IntegWebhookScheme;

/* A trigger of the definition that comes by webhook. */
typedef struct IntegWebhookTrigger
{
	const char *id;
	int nevents; /* 0: whatever the event's name */
	const char **events;
	IntegPath *when;	 /* must find something in the payload; or NULL */
	IntegSchema *schema; /* of the payload, or NULL */
	const char *entity;	 /* that it happens to, or NULL */
	bool deletes;
	IntegPath *record_id; /* of the record in the payload; NULL: nobody says */
	IntegPath *record;	  /* the whole record, so that it need not be asked for; or NULL */
} IntegWebhookTrigger;

/* How events are read, compiled from the manifest. */
typedef struct IntegWebhookReading
{
	IntegWebhookSource event;
	IntegWebhookSource delivery_id;
	IntegWebhookSource account;
	IntegWebhookSource occurred_at;
	IntegPath *data;   /* or NULL: the whole */
	IntegPath *events; /* list of several, or NULL */
	int ntriggers;
	IntegWebhookTrigger *triggers;
} IntegWebhookReading;

typedef struct IntegWebhook
{
	IntegPinned pinned; /* holds all of this */
	pg_uuid_t id;
	const char *webhook_id;
	const char *client_id;
	const IntegDefinition *definition;
	const JsonbContainer *manifest; /* its "webhook", or NULL */
	const pg_uuid_t *instance;		/* NULL: by the account */
	const char *account;			/* NULL: any */
	const Jsonb *events;			/* names, or empty */
	struct varlena *filter;			/* jsonpath, or NULL */
	const Jsonb *signature;			/* instead of the manifest's, or NULL */
	const char *handler;			/* or NULL */
	const Jsonb *trigger_handlers;
	bool replies;
	Oid owner;
	const IntegWebhookScheme *scheme; /* NULL: the default, which depends on the request */
	IntegWebhookReading reading;
	bool has_rules; /* somebody listens to the definition */
	bool has_tasks; /* realtime tasks are for instances of the definition */
	bool is_poll;	/* it stands for a poll: id is the poll's, and its events are known to be new */
} IntegWebhook;

/* What is answered. Once its request is handled, everything is in the context of the batch. */
typedef struct IntegWebhookReply
{
	int status;
	const char *content_type; /* NULL: no body */
	const char *body;
	size_t body_len;
	int nheaders; /* further ones */
	IntegHttpHeader *headers;
	bool has_run; /* what this run returns is the answer in place of all this, if it comes in time */
	pg_uuid_t run;
} IntegWebhookReply;

/* A reply's further headers are at most so many, and its body has at most so many bytes. */
#define INTEG_WEBHOOK_MAX_REPLY_HEADERS 20
#define INTEG_WEBHOOK_MAX_REPLY (1024 * 1024)

/*
 * Checks what a handler returned for an answer: null, or an object of status (200 to 599), headers (texts) and body (a
 * text, or JSON). Raises IG400 saying what is wrong.
 */
extern void integ_webhook_reply_check(const Jsonb *document);

/* Fills in the answer, in CurrentMemoryContext; what the document leaves out stays as it is. */
extern PGDLLEXPORT void integ_webhook_reply_read(const Jsonb *document, IntegWebhookReply *reply);

/* One event of a request. */
typedef struct IntegWebhookEvent
{
	pg_uuid_t id;
	const char *name;		 /* or NULL */
	const char *delivery_id; /* or NULL */
	const char *account;	 /* or NULL */
	TimestampTz occurred_at; /* 0: not told */
	const Jsonb *payload;	 /* or NULL */
	const char *client_id;	 /* of the connection that it concerns, else the webhook's */
	const pg_uuid_t *instance;
	int ntriggers;
	const char **triggers;
	const char *problem; /* the payload is not what its trigger promises; or NULL */
} IntegWebhookEvent;

/*
 * The webhook of an address: the definition's id, and behind it the webhook's key or handle, or the client's id; NULL
 * for a definition's one address for all. NULL where there is none, whichever part is wrong. client limits whose
 * webhooks are seen; NULL: anybody's. Valid until CurrentMemoryContext is reset. Inside an owner scope; no SPI once
 * cached. Raises IG400 where the manifest cannot be compiled.
 */
extern const IntegWebhook *integ_webhook_find(const char *definition, const char *name, const char *client);

/* The webhook with that key, active or not; NULL where there is none. Inside an owner scope. */
extern const IntegWebhook *integ_webhook_get(const pg_uuid_t *id);

/*
 * Compiles how a request is proven, in CurrentMemoryContext, from a "signature" of a manifest; NULL means the default:
 * a bearer token, or an HMAC in X-Webhook-Signature, whichever the request has. Raises IG400 naming where.
 */
extern const IntegWebhookScheme *integ_webhook_scheme(const JsonbContainer *signature, const IntegInbound *request,
													  const char *where);

/* The body as a document: JSON, a form's fields, XML; else NULL. Raises nothing but want of memory and interrupts. */
extern const Jsonb *integ_webhook_document(const IntegInbound *request);

/* The text that a source finds; NULL where there is none. document may be NULL. */
extern const char *integ_webhook_value(const IntegWebhookSource *source, const IntegInbound *request,
									   const Jsonb *document);

/* Compiles a source of a manifest into CurrentMemoryContext; false where the key is absent. */
extern bool integ_webhook_source(const JsonbContainer *holder, const char *key, const char *where,
								 IntegWebhookSource *source);

/* Judges a request with the secrets given. Raises nothing but want of memory. */
extern IntegSignatureVerdict integ_webhook_judge(const IntegWebhookScheme *scheme, const IntegInbound *request,
												 const IntegSignatureKey *keys, int nkeys, char *problem, size_t size);

/*
 * Judges a request to a webhook with the secrets that the vault has for it: of the webhook itself, else of its
 * definition, the value before a rotation too. Inside an owner scope. Raises IG500 where the vault cannot be opened.
 */
extern IntegSignatureVerdict integ_webhook_verify(const IntegWebhook *webhook, const IntegWebhookScheme *scheme,
												  const IntegInbound *request, char *problem, size_t size);

/* A name for people: "valid", "missing", … */
extern const char *integ_signature_verdict_name(IntegSignatureVerdict verdict);

/*
 * Answers a request that only proves the address: true where it is one. verified tells whether its signature was judged
 * valid; a handshake that needs that and has it not is none. Inside an owner scope.
 */
extern bool integ_webhook_handshake(const IntegWebhook *webhook, const IntegInbound *request, const Jsonb *document,
									bool verified, IntegWebhookReply *reply);

/* Fills in what the service is told of events that were taken: 200, or what the manifest says. */
extern void integ_webhook_acknowledge(const IntegWebhook *webhook, const IntegInbound *request,
									  IntegWebhookReply *reply);

/* Whether any handshake of the webhook may be answered without a signature. */
extern bool integ_webhook_handshake_unsigned(const IntegWebhook *webhook);

/* Compiles how the webhook's events are read, in CurrentMemoryContext. Raises IG400 naming where. */
extern void integ_webhook_compile(IntegWebhook *webhook);

/*
 * Reads the events of a request; how many, -1: more than INTEG_WEBHOOK_MAX_EVENTS. They are in CurrentMemoryContext.
 * Inside an owner scope.
 */
extern int integ_webhook_read(const IntegWebhook *webhook, const IntegInbound *request, const Jsonb *document,
							  IntegWebhookEvent **events);

/* Requests whose events are stored together, in one transaction. */
typedef struct IntegWebhookStaged IntegWebhookStaged;
typedef struct IntegWebhookBatch
{
	MemoryContext context; /* of the replies */
	IntegWebhookStaged *events;
	int count, room;
} IntegWebhookBatch;

/* Without events; replies will be in CurrentMemoryContext. */
extern PGDLLEXPORT IntegWebhookBatch *integ_webhook_batch(void);

/*
 * Adds the events of a request that the webhook wants. Everything given must be there until they are stored. reply may
 * be NULL; it is told of a run whose result is the answer. Inside an owner scope.
 */
extern void integ_webhook_stage(IntegWebhookBatch *batch, const IntegWebhook *webhook, const IntegInbound *request,
								const IntegWebhookEvent *events, int nevents, IntegWebhookReply *reply);

/*
 * Stores the staged events that are new, with what is to run for them, and sets *stored (unless NULL) to their ids:
 * those that came before are left out; how many. Inside the owner scope in which they were staged.
 */
extern PGDLLEXPORT int integ_webhook_store(IntegWebhookBatch *batch, pg_uuid_t *stored);

/*
 * Compiles a trigger of a definition, in CurrentMemoryContext. where is its path in the manifest. Raises IG400.
 */
extern void integ_webhook_trigger_compile(const JsonbContainer *definition, const JsonbContainer *source,
										  const char *where, IntegWebhookTrigger *trigger);

/* Sets event->problem where its payload is not what the trigger promises. */
extern void integ_webhook_check_payload(const IntegWebhookTrigger *trigger, IntegWebhookEvent *event);

/* How a delivery id is kept: a long one as its hash. In CurrentMemoryContext. */
extern char *integ_webhook_key(const char *delivery_id);

/* Seconds or milliseconds since 1970, or a date and time; 0 for anything else, and for NULL. */
extern TimestampTz integ_webhook_time(const char *text);

/*
 * Has realtime tasks synchronize the record that the event tells of; in how many of them. Inside an owner scope.
 */
extern int integ_realtime_enqueue(const IntegWebhook *webhook, const IntegWebhookEvent *event);

/* A maintenance job: forgets deliveries whose time is over. Opens transactions. */
extern void integ_webhook_keys_expire(void);

/*
 * Adds the runs that an event leads to, the handlers' and those of rules; how many. depth: of the event. *answering
 * (unless NULL) becomes the id of the run whose result is the answer to the service. Inside an owner scope.
 */
extern int integ_event_lead(const IntegWebhook *webhook, const IntegWebhookEvent *event, TimestampTz created_at,
							int depth, IntegHandlerRuns *runs, const pg_uuid_t **answering);

/*
 * All of it but to store the events, which are left in the batch: what to answer once they are stored and that has
 * committed. path is DEFINITION or DEFINITION/NAME; client limits whose webhooks there are, NULL: anybody's. Inside an
 * owner scope, in whose context request is. Raises what reading raises.
 */
extern PGDLLEXPORT void integ_webhook_handle(const char *path, const char *client, const IntegInbound *request,
											 IntegWebhookBatch *batch, IntegWebhookReply *reply);

#endif /* INTEG_WEBHOOKS_WEBHOOK_H */

/*
 * integ_publish: an event of the caller's transaction.
 */
#include "endpoints/publish.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "endpoints/lookup.h"
#include "fmgr.h"
#include "instances/instance.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_publish);

typedef struct PublishOptions
{
	char *key;
	char *client;
	char *instance;
	char *id;
	char *idempotency_key;
	char *endpoint;
	Jsonb *endpoints;
	TimestampTz created_at;
	TimestampTz deliver_at;
} PublishOptions;

static void
check_key(const char *name, const char *key)
{
	if (key != NULL && (key[0] == '\0' || strlen(key) > INTEG_MESSAGE_KEY_MAX))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("option \"%s\" of integ_publish is out of range", name),
						errdetail("It must be a string of 1 to %d bytes.", INTEG_MESSAGE_KEY_MAX)));
}

static void
parse_options(const Jsonb *options, PublishOptions *parsed)
{
	const IntegOption known[] = {
		{"key", INTEG_OPTION_TEXT, &parsed->key},
		{"endpoint", INTEG_OPTION_TEXT, &parsed->endpoint},
		{"endpoints", INTEG_OPTION_ARRAY, &parsed->endpoints},
		{"client", INTEG_OPTION_TEXT, &parsed->client},
		{"instance", INTEG_OPTION_TEXT, &parsed->instance},
		{"id", INTEG_OPTION_TEXT, &parsed->id},
		{"idempotency_key", INTEG_OPTION_TEXT, &parsed->idempotency_key},
		{"created_at", INTEG_OPTION_TIME, &parsed->created_at},
		{"deliver_at", INTEG_OPTION_TIME, &parsed->deliver_at},
	};

	memset(parsed, 0, sizeof(*parsed));
	parsed->created_at = parsed->deliver_at = GetCurrentTimestamp();
	integ_options_parse(options, known, lengthof(known), "integ_publish");
	check_key("key", parsed->key);
	check_key("idempotency_key", parsed->idempotency_key);
	/* Published again with the same id, it is the same event. */
	if (parsed->idempotency_key == NULL)
		parsed->idempotency_key = parsed->id;
	if (parsed->endpoint != NULL && parsed->endpoints != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("integ_publish takes one of the options \"endpoint\" and \"endpoints\"")));
}

static void
check_type(const char *type)
{
	if (!integ_event_type_valid(type, false))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("\"%s\" is no type of an event", type),
						errdetail("A type has 1 to %d letters, digits and the characters \"_\", \".\" and \"-\".",
								  INTEG_EVENT_TYPE_MAX),
						errhint("Types read from the general to the special: order.created.")));
	if (strncmp(type, INTEG_EVENT_PREFIX, strlen(INTEG_EVENT_PREFIX)) == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("\"%s\" is a type of integ's own events", type),
						errdetail("Who receives one relies on what it says."),
						errhint("Let the type begin with another word than \"%s\".", INTEG_EVENT_PREFIX)));
}

/* A client may publish for itself, a superadmin for everybody. */
static const char *
choose_client(const IntegActor *actor, const char *client)
{
	if (client == NULL || strcmp(client, actor->client) == 0)
		return actor->client;
	if (actor->level != INTEG_LEVEL_SUPERADMIN)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("you may not publish events of client \"%s\"", client),
						errdetail("You act for client \"%s\".", actor->client),
						errhint("Leave the option \"client\" out.")));
	return client;
}

/* What must be the same where an idempotency key is used again. */
static int64
request_hash(const IntegMessage *message)
{
	uint64 seed = DatumGetUInt64(
		hash_any_extended((const unsigned char *) message->event_type, (int) strlen(message->event_type), 0));

	return DatumGetInt64(hash_any_extended((const unsigned char *) VARDATA_ANY(message->payload),
										   (int) VARSIZE_ANY_EXHDR(message->payload), seed));
}

/* Takes the key for the event; false where an earlier one has it, whose id the event gets. */
static bool
take_key(IntegMessage *message, const char *key)
{
	static IntegQuery take = {
		"INSERT INTO integ.message_keys AS k (client_id, idempotency_key, message, request_hash, expires_at)"
		" VALUES ($1, $2, $3, $4, $5) ON CONFLICT (client_id, idempotency_key) DO UPDATE"
		" SET message = excluded.message, request_hash = excluded.request_hash, expires_at = excluded.expires_at"
		" WHERE k.expires_at < pg_catalog.clock_timestamp()",
		5,
		{TEXTOID, TEXTOID, UUIDOID, INT8OID, TIMESTAMPTZOID}};
	static IntegQuery taken = {
		"SELECT message, request_hash FROM integ.message_keys WHERE client_id = $1 AND idempotency_key = $2",
		2,
		{TEXTOID, TEXTOID}};
	int64 hash = request_hash(message);
	Datum values[] = {CStringGetTextDatum(message->client), CStringGetTextDatum(key), UUIDPGetDatum(&message->id),
					  Int64GetDatum(hash),
					  TimestampTzGetDatum(GetCurrentTimestamp() + integ_idempotency_retention * USECS_PER_SEC)};
	bool isnull;

	if (integ_query(&take, values, NULL) > 0)
		return true;
	if (integ_query(&taken, values, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("the idempotency key was taken by a transaction that this one cannot see")));
	if (integ_result_int8(0, 2) != hash)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("idempotency key \"%s\" belongs to another event", key),
						errdetail("It was published with another type or payload."),
						errhint("Use one key for one event.")));
	message->id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	return false;
}

static void
read_id(const char *text, pg_uuid_t *id)
{
	if (text == NULL)
		integ_uuid_make(id);
	else
		*id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
}

Datum
integ_publish(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "publish events");
	MemoryContext context = CurrentMemoryContext;
	IntegMessage *message = palloc0(sizeof(IntegMessage));
	PublishOptions options;
	IntegOwnerScope scope;
	pg_uuid_t *only = NULL;
	int nonly = 0;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_publish needs a type and a payload"),
						errhint("SELECT integ_publish('order.created', '{\"id\": 17}').")));
	parse_options(PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2), &options);
	message->event_type = text_to_cstring(PG_GETARG_TEXT_PP(0));
	check_type(message->event_type);
	message->payload = PG_GETARG_JSONB_P(1);
	message->client = choose_client(actor, options.client);
	message->key = options.key;
	message->created_at = options.created_at;
	message->deliver_at = options.deliver_at;
	read_id(options.id, &message->id);
	if (options.instance != NULL)
		message->instance = &integ_instance_resolve(actor, options.instance)->id;

	integ_owner_enter(&scope);
	MemoryContextSwitchTo(context);
	if (options.endpoint != NULL || options.endpoints != NULL)
		only = integ_endpoints_named(actor, message->client, options.endpoint, options.endpoints, &nonly);
	if (options.idempotency_key == NULL || take_key(message, options.idempotency_key))
	{
		MemoryContextSwitchTo(context);
		(void) integ_messages_publish(message, 1, only, nonly);
	}
	integ_owner_leave(&scope);
	PG_RETURN_UUID_P(&message->id);
}

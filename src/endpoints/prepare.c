/*
 * Preparing: claimed deliveries get their body, headers and signatures. What stops one ends that one.
 */
#include "endpoints/deliver.h"

#include "access/xact.h"
#include "core/attempt.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/uuid.h"
#include "endpoints/sign.h"
#include "execute/call.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Of an answer only the beginning is kept, and a little more read, so that a connection can be used again. */
#define RESPONSE_MAX (64 * 1024)

/* content-type, user-agent, the three of the Standard Webhooks, and the one of the body. */
#define OWN_HEADERS 6

typedef struct Preparation
{
	IntegDelivery *delivery;
	const IntegEndpoint *endpoint;
	int room; /* of headers */
} Preparation;

/* As JSON has times, in UTC. */
static char *
time_text(TimestampTz time)
{
	int utc = 0;

	return JsonEncodeDateTime(palloc(MAXDATELEN + 1), TimestampTzGetDatum(time), TIMESTAMPTZOID, &utc);
}

/* What templates of the endpoint see. */
static const Jsonb *
template_input(const IntegDelivery *delivery)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "type", delivery->event_type);
	integ_json_add_string(&builder, "id", integ_uuid_text(&delivery->message));
	integ_json_add_string(&builder, "timestamp", time_text(delivery->created_at));
	integ_json_add_string(&builder, "client", delivery->event_client);
	if (delivery->key != NULL)
		integ_json_add_string(&builder, "key", delivery->key);
	integ_json_add_jsonb(&builder, "data", delivery->payload);
	return integ_json_end(&builder);
}

/* The usual body, as the Standard Webhooks recommend it. */
static char *
usual_body(const IntegDelivery *delivery)
{
	StringInfoData body;
	char *data;

	initStringInfo(&body);
	appendStringInfoString(&body, "{\"type\":");
	escape_json(&body, delivery->event_type);
	appendStringInfo(&body, ",\"timestamp\":\"%s\",\"data\":", time_text(delivery->created_at));
	data = JsonbToCString(NULL, (JsonbContainer *) &delivery->payload->root, (int) VARSIZE(delivery->payload));
	appendStringInfoString(&body, data);
	appendStringInfoChar(&body, '}');
	return body.data;
}

/* The value is copied: it is overwritten where the headers hold secrets. */
static void
add_header(Preparation *preparation, const char *name, const char *value)
{
	IntegDelivery *delivery = preparation->delivery;

	if (delivery->request.nheaders == preparation->room)
	{
		preparation->room = Max(2 * preparation->room, 16);
		delivery->headers = delivery->headers == NULL
								? palloc(preparation->room * sizeof(IntegHttpHeader))
								: repalloc(delivery->headers, preparation->room * sizeof(IntegHttpHeader));
	}
	delivery->headers[delivery->request.nheaders++] = (IntegHttpHeader){name, pstrdup(value)};
}

static void
visit_header(const char *name, const char *value, void *arg)
{
	add_header(arg, pstrdup(name), value);
}

/* A credential in a header goes to its own origin only, and is masked where the answer has it. */
static const char *
open_credential(void *arg, const char *name)
{
	const Preparation *preparation = arg;
	const IntegSecret *secret =
		integ_vault_open(&preparation->endpoint->credentials, name, preparation->endpoint->origin, false);
	IntegCallSecret *kept;

	if (secret == NULL)
		return NULL;
	kept = palloc(sizeof(IntegCallSecret));
	*kept = (IntegCallSecret){
		.data = (char *) secret->data, .len = secret->len, .masked = true, .next = preparation->delivery->secrets};
	preparation->delivery->secrets = kept;
	return secret->data;
}

static void
add_own_templates(Preparation *preparation)
{
	IntegDelivery *delivery = preparation->delivery;
	const IntegEndpoint *endpoint = preparation->endpoint;
	IntegTemplateScope scope = {.secret = open_credential, .secret_arg = preparation};

	if (endpoint->headers == NULL && endpoint->body == NULL)
		return;
	scope.input = &template_input(delivery)->root;
	if (endpoint->headers != NULL)
		integ_template_headers(endpoint->headers, &scope, visit_header, preparation);
	scope.secret = NULL;
	if (endpoint->body != NULL)
	{
		const Jsonb *body = integ_template_json(endpoint->body, &scope);

		delivery->request.body = body == NULL ? "null" : integ_json_print(body);
	}
}

/* The credentials that sign, the values before a rotation too; how many. The caller wipes them. */
static int
read_keys(const IntegEndpoint *endpoint, IntegSigningKey *keys)
{
	int count = 0;

	for (int i = 0; i < endpoint->nsecrets; i++)
		for (int previous = 0; previous <= 1 && count < INTEG_SIGNING_KEYS_MAX; previous++)
		{
			const IntegSecret *secret =
				integ_vault_open(&endpoint->credentials, endpoint->secrets[i], NULL, previous == 1);

			if (secret == NULL)
				continue;
			if (!integ_signing_key_read(secret->data, secret->len, &keys[count]))
				ereport(ERROR,
						(errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						 errmsg("the credential \"%s\" of endpoint \"%s\" is no signing key", endpoint->secrets[i],
								endpoint->endpoint_id),
						 errhint("Set one that begins with whsec_ or whsk_, or leave its name out of \"secrets\".")));
			count++;
		}
	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTEG_UNAUTHENTICATED),
				 errmsg("endpoint \"%s\" has no secret to sign with", endpoint->endpoint_id),
				 errhint("SELECT integ_credential_set('endpoint:%s', '%s', 'whsec_…'), or set standard_signature to false.",
						 integ_uuid_text(&endpoint->id), endpoint->nsecrets > 0 ? endpoint->secrets[0] : "secret")));
	return count;
}

static void
sign_standard(Preparation *preparation)
{
	IntegDelivery *delivery = preparation->delivery;
	const char *id = integ_uuid_text(&delivery->message);
	/* Seconds since 1970. */
	int64 now = timestamptz_to_time_t(GetCurrentTimestamp());
	IntegSigningKey keys[INTEG_SIGNING_KEYS_MAX];
	int count = read_keys(preparation->endpoint, keys);
	char *signatures = palloc(count * INTEG_SIGNATURE_SIZE);
	bool ok = integ_sign_standard(keys, count, id, now, delivery->request.body, delivery->request.body_len, signatures);

	explicit_bzero(keys, sizeof(keys));
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("the request could not be signed")));
	add_header(preparation, "webhook-id", id);
	add_header(preparation, "webhook-timestamp", psprintf(INT64_FORMAT, now));
	add_header(preparation, "webhook-signature", signatures);
}

/* Whoever checks this one knows one key: the current value of the first secret. */
static void
sign_body(Preparation *preparation)
{
	const IntegEndpoint *endpoint = preparation->endpoint;
	IntegDelivery *delivery = preparation->delivery;
	const char *name = endpoint->nsecrets > 0 ? endpoint->secrets[0] : "secret";
	const IntegSecret *secret = integ_vault_open(&endpoint->credentials, name, NULL, false);
	char *signature = palloc(INTEG_BODY_SIGNATURE_SIZE);

	if (secret == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("endpoint \"%s\" has no credential \"%s\" for its header %s", endpoint->endpoint_id, name,
							   endpoint->signature_header),
						errhint("SELECT integ_credential_set('endpoint:%s', '%s', …).", integ_uuid_text(&endpoint->id),
								name)));
	if (!integ_sign_body(secret->data, secret->len, delivery->request.body, delivery->request.body_len, signature))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("the request could not be signed")));
	add_header(preparation, endpoint->signature_header, signature);
}

/* A header of the endpoint takes the place of one that is only usual. */
static bool
has_header(const IntegDelivery *delivery, const char *name)
{
	for (int i = 0; i < delivery->request.nheaders; i++)
		if (pg_strcasecmp(delivery->headers[i].name, name) == 0)
			return true;
	return false;
}

static void
build(IntegDelivery *delivery)
{
	Preparation preparation = {.delivery = delivery, .endpoint = integ_endpoint_get(&delivery->endpoint)};
	const IntegEndpoint *endpoint = preparation.endpoint;
	IntegHttpRequest *request = &delivery->request;
	int timeout_ms = integ_delivery_timeout;
	char problem[256];

	if (endpoint == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("the endpoint does not exist any more")));
	if (endpoint->timeout_ms > 0)
		timeout_ms = endpoint->timeout_ms;
	*request = (IntegHttpRequest){.method = "POST",
								  .url = endpoint->url,
								  .timeout_ms = timeout_ms,
								  .connect_timeout_ms = integ_connect_timeout,
								  .max_response = RESPONSE_MAX,
								  .allowed_addresses = integ_allowed_addresses,
								  .ca_file = integ_ca_file,
								  .proxy = integ_proxy};
	delivery->headers = NULL;
	delivery->secrets = NULL;
	delivery->sqlerrcode = 0;
	add_own_templates(&preparation);
	if (request->body == NULL)
		request->body = usual_body(delivery);
	request->body_len = strlen(request->body);
	if (!has_header(delivery, "content-type"))
		add_header(&preparation, "content-type", "application/json");
	if (!has_header(delivery, "user-agent"))
		add_header(&preparation, "user-agent", "integ/" INTEG_VERSION);
	if (endpoint->standard)
		sign_standard(&preparation);
	else
		add_header(&preparation, "webhook-id", integ_uuid_text(&delivery->message));
	if (endpoint->signature_header != NULL)
		sign_body(&preparation);
	request->headers = delivery->headers;
	if (!integ_http_request_check(request, problem, sizeof(problem)))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the request to endpoint \"%s\" cannot be sent", endpoint->endpoint_id),
						errdetail("%s", problem)));
}

static void
build_step(void *delivery)
{
	build(delivery);
}

/* What stops this one is kept as what it came to. */
static void
guarded_build(IntegAttempts *attempts, IntegDelivery *delivery)
{
	MemoryContext old = MemoryContextSwitchTo(delivery->context);
	ErrorData *error = integ_attempts_run(attempts, build_step, delivery);

	if (error != NULL)
	{
		delivery->sqlerrcode = error->sqlerrcode;
		delivery->error = error->detail == NULL ? error->message : psprintf("%s: %s", error->message, error->detail);
	}
	MemoryContextSwitchTo(old);
}

void
integ_deliveries_prepare(IntegDeliveryDesk *desk)
{
	IntegAttempts attempts = {0};
	IntegOwnerScope scope;
	dlist_iter iter;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	dlist_foreach (iter, &desk->claimed)
		guarded_build(&attempts, dlist_container(IntegDelivery, node, iter.cur));
	integ_attempts_end(&attempts);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	while (!dlist_is_empty(&desk->claimed))
	{
		IntegDelivery *delivery = dlist_container(IntegDelivery, node, dlist_pop_head_node(&desk->claimed));

		if (delivery->sqlerrcode == 0)
			dlist_push_tail(&desk->ready, &delivery->node);
		else
			integ_delivery_answered(desk, delivery);
	}
}

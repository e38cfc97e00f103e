/*
 * integ_endpoint_add: a row and its secret, in one statement.
 */
#include "postgres.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "endpoints/endpoint.h"
#include "endpoints/lookup.h"
#include "endpoints/sign.h"
#include "fmgr.h"
#include "funcapi.h"
#include "instances/instance.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "vault/audit.h"
#include "vault/redact.h"
#include "vault/store.h"
#include "vault/target.h"

PG_FUNCTION_INFO_V1(integ_endpoint_add);
PG_FUNCTION_INFO_V1(integ_endpoint_public_keys);

#define SECRET_NAME "secret"

/* Of a secret people see its last characters. */
#define HINT_CHARACTERS 4

typedef struct AddOptions
{
	char *endpoint_id;
	char *name;
	char *description;
	char *client;
	char *instance;
	char *filter;
	Jsonb *headers;
	Jsonb *payload_template;
	char *signature;
	char *signature_header;
	char *secret;
	bool ordered;
	int64 rate_limit;	  /* 0: none */
	int64 rate_period_ms; /* 0: a second */
	int64 concurrency;	  /* 0: the table's default */
	int64 timeout_ms;	  /* 0: the setting's */
	Jsonb *retry_schedule;
	Jsonb *metadata;
} AddOptions;

static void
parse_options(const Jsonb *options, AddOptions *parsed)
{
	const IntegOption known[] = {
		{"endpoint_id", INTEG_OPTION_TEXT, &parsed->endpoint_id},
		{"name", INTEG_OPTION_TEXT, &parsed->name},
		{"description", INTEG_OPTION_TEXT, &parsed->description},
		{"client", INTEG_OPTION_TEXT, &parsed->client},
		{"instance", INTEG_OPTION_TEXT, &parsed->instance},
		{"filter", INTEG_OPTION_TEXT, &parsed->filter},
		{"headers", INTEG_OPTION_OBJECT, &parsed->headers},
		{"payload_template", INTEG_OPTION_OBJECT, &parsed->payload_template},
		{"signature", INTEG_OPTION_TEXT, &parsed->signature},
		{"signature_header", INTEG_OPTION_TEXT, &parsed->signature_header},
		{"secret", INTEG_OPTION_TEXT, &parsed->secret},
		{"ordered", INTEG_OPTION_BOOL, &parsed->ordered},
		{"rate_limit", INTEG_OPTION_INT, &parsed->rate_limit},
		{"rate_period", INTEG_OPTION_DURATION_MS, &parsed->rate_period_ms},
		{"concurrency", INTEG_OPTION_INT, &parsed->concurrency},
		{"timeout", INTEG_OPTION_DURATION_MS, &parsed->timeout_ms},
		{"retry_schedule", INTEG_OPTION_ARRAY, &parsed->retry_schedule},
		{"metadata", INTEG_OPTION_OBJECT, &parsed->metadata},
	};

	memset(parsed, 0, sizeof(*parsed));
	integ_options_parse(options, known, lengthof(known), "integ_endpoint_add");
	if (parsed->signature == NULL)
		parsed->signature = "hmac";
	if (strcmp(parsed->signature, "hmac") != 0 && strcmp(parsed->signature, "ed25519") != 0 &&
		strcmp(parsed->signature, "none") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"signature\" of integ_endpoint_add is not \"%s\"", parsed->signature),
						errdetail("It is \"hmac\", \"ed25519\" or \"none\".")));
}

/* An administrator's endpoints are its client's. */
static const char *
choose_client(const IntegActor *actor, const char *client)
{
	if (client == NULL || strcmp(client, actor->client) == 0)
		return actor->client;
	if (actor->level != INTEG_LEVEL_SUPERADMIN)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("you may not add endpoints of client \"%s\"", client),
						errdetail("You act for client \"%s\".", actor->client),
						errhint("Leave the option \"client\" out.")));
	return client;
}

/* As the host of its URL, where nobody has named it. */
static char *
make_handle(const pg_uuid_t *id)
{
	return psprintf("endpoint-%s", integ_uuid_text(id) + strlen("00000000-0000-7000-8000-"));
}

static void
insert_endpoint(const pg_uuid_t *id, const char *client, const pg_uuid_t *instance, Datum url, Datum event_types,
				const AddOptions *options, Oid role)
{
	static IntegQuery insert = {
		"INSERT INTO integ.endpoints (id, endpoint_id, name, description, client_id, instance, url, event_types,"
		" filter, headers, payload_template, standard_signature, signature_header, ordered, rate_limit, rate_period,"
		" concurrency, timeout_ms, retry_schedule, metadata, created_by)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, '{}'), $9::jsonpath, coalesce($10, '{}'), $11, $12, $13, $14,"
		" NULLIF($15, 0)::integer, coalesce(NULLIF($16, 0), 1000) * interval '1 millisecond',"
		" coalesce(NULLIF($17, 0), 32)::integer, NULLIF($18, 0)::integer,"
		" (SELECT pg_catalog.array_agg(delay::interval ORDER BY turn)"
		"  FROM pg_catalog.jsonb_array_elements_text($19) WITH ORDINALITY AS s (delay, turn))"
		" || CASE WHEN $19 IS NOT NULL THEN '{}'::interval[] END, coalesce($20, '{}'), $21)",
		21,
		{UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID, TEXTOID, TEXTARRAYOID, TEXTOID, JSONBOID, JSONBOID,
		 BOOLOID, TEXTOID, BOOLOID, INT8OID, INT8OID, INT8OID, INT8OID, JSONBOID, JSONBOID, TEXTOID}};
	char nulls[21];
	Datum values[21] = {UUIDPGetDatum(id)};

	memset(nulls, ' ', sizeof(nulls));
	values[1] = CStringGetTextDatum(options->endpoint_id != NULL ? options->endpoint_id : make_handle(id));
	values[2] = integ_value_text(options->name, &nulls[2]);
	values[3] = integ_value_text(options->description, &nulls[3]);
	values[4] = CStringGetTextDatum(client);
	values[5] = UUIDPGetDatum(instance);
	nulls[5] = instance == NULL ? 'n' : ' ';
	values[6] = url;
	values[7] = event_types;
	nulls[7] = event_types == (Datum) 0 ? 'n' : ' ';
	values[8] = integ_value_text(options->filter, &nulls[8]);
	values[9] = JsonbPGetDatum(options->headers);
	nulls[9] = options->headers == NULL ? 'n' : ' ';
	values[10] = JsonbPGetDatum(options->payload_template);
	nulls[10] = options->payload_template == NULL ? 'n' : ' ';
	values[11] = BoolGetDatum(strcmp(options->signature, "none") != 0);
	values[12] = integ_value_text(options->signature_header, &nulls[12]);
	values[13] = BoolGetDatum(options->ordered);
	values[14] = Int64GetDatum(options->rate_limit);
	values[15] = Int64GetDatum(options->rate_period_ms);
	values[16] = Int64GetDatum(options->concurrency);
	values[17] = Int64GetDatum(options->timeout_ms);
	values[18] = JsonbPGetDatum(options->retry_schedule);
	nulls[18] = options->retry_schedule == NULL ? 'n' : ' ';
	values[19] = JsonbPGetDatum(options->metadata);
	nulls[19] = options->metadata == NULL ? 'n' : ' ';
	values[20] = CStringGetTextDatum(GetUserNameFromId(role, false));
	(void) integ_query(&insert, values, nulls);
}

/* The key that signs: what the caller gave, else a new one; NULL where nothing is signed. */
static char *
choose_secret(const AddOptions *options, IntegSigningKey *key)
{
	bool asymmetric = strcmp(options->signature, "ed25519") == 0;
	char *text = options->secret;

	/* Without the Standard Webhooks a key may be anything. */
	if (strcmp(options->signature, "none") == 0 && (options->signature_header == NULL || text != NULL))
		return text;
	if (text == NULL)
	{
		text = palloc(INTEG_SIGNING_TEXT_SIZE);
		if (!integ_signing_key_make(asymmetric, text))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	}
	if (!integ_signing_key_read(text, strlen(text), key) || key->asymmetric != asymmetric)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the secret of the endpoint is no key for its signature"),
						errhint("%s", asymmetric ? "An Ed25519 key begins with whsk_ and has 32 bytes in base64."
												 : "An HMAC key begins with whsec_ and is base64.")));
	return text;
}

static void
store_secret(const IntegActor *actor, const IntegCredentialOwner *owner, const char *secret)
{
	size_t len = strlen(secret);
	IntegCredentialValue value = {
		.data = secret,
		.len = len,
		.expires_at = DT_NOEND,
		.hint = len > 4 * HINT_CHARACTERS ? psprintf("…%s", secret + len - HINT_CHARACTERS) : NULL,
		.role = actor->role};
	static const char *none[] = {NULL};

	value.origins = none;
	integ_vault_store(owner, SECRET_NAME, &value, false);
}

static Datum
make_result(FunctionCallInfo fcinfo, const pg_uuid_t *id, const AddOptions *options, const char *secret,
			const IntegSigningKey *key)
{
	TupleDesc columns;
	Datum values[3] = {UUIDPGetDatum(id)};
	bool nulls[3] = {false, true, true};
	char public_key[INTEG_SIGNING_TEXT_SIZE];

	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "integ_endpoint_add must return a row");
	/* What the caller gave is known, and of a pair only the public half is of use to anybody else. */
	if (secret != NULL && options->secret == NULL && !key->asymmetric)
	{
		values[1] = CStringGetTextDatum(secret);
		nulls[1] = false;
	}
	if (key->asymmetric)
	{
		if (!integ_signing_public_key(key, public_key))
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("the public key could not be computed")));
		values[2] = CStringGetTextDatum(public_key);
		nulls[2] = false;
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
}

Datum
integ_endpoint_add(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "add endpoints");
	IntegSigningKey key = {0};
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));
	const pg_uuid_t *instance = NULL;
	IntegCredentialOwner owner = {.kind = "endpoint"};
	AddOptions options;
	IntegOwnerScope scope;
	char *secret;
	Datum result;

	integ_redact_statement();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_endpoint_add needs a URL"),
						errhint("SELECT * FROM integ_endpoint_add('https://example.com/hooks', '{order.*}').")));
	parse_options(PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2), &options);
	owner.client_id = choose_client(actor, options.client);
	if (options.instance != NULL)
		instance = &integ_instance_resolve(actor, options.instance)->id;
	integ_uuid_make(id);
	owner.id = integ_uuid_text(id);
	secret = choose_secret(&options, &key);
	integ_owner_enter(&scope);
	insert_endpoint(id, owner.client_id, instance, PG_GETARG_DATUM(0), PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1),
					&options, actor->role);
	if (secret != NULL)
		store_secret(actor, &owner, secret);
	integ_owner_leave(&scope);
	if (secret != NULL)
		integ_vault_audit(&(IntegVaultTarget){.owner = owner, .actor = actor, .label = psprintf("endpoint:%s", owner.id)},
						  "credential.set", SECRET_NAME);
	result = make_result(fcinfo, id, &options, secret, &key);
	explicit_bzero(&key, sizeof(key));
	return result;
}

Datum
integ_endpoint_public_keys(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "see the public keys of endpoints");
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *client;
	pg_uuid_t id = integ_endpoint_require(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), &client);
	IntegCredentialOwner owner = {"endpoint", integ_uuid_text(&id), client};
	const IntegEndpoint *endpoint;
	IntegOwnerScope scope;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	integ_owner_enter(&scope);
	endpoint = integ_endpoint_get(&id);
	for (int i = 0; endpoint != NULL && i < 2 * endpoint->nsecrets; i++)
	{
		const IntegSecret *secret = integ_vault_open(&owner, endpoint->secrets[i / 2], NULL, i % 2 == 1);
		char text[INTEG_SIGNING_TEXT_SIZE];
		IntegSigningKey key;
		bool isnull = false;
		Datum value;

		if (secret == NULL || !integ_signing_key_read(secret->data, secret->len, &key) || !key.asymmetric)
			continue;
		if (!integ_signing_public_key(&key, text))
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("the public key could not be computed")));
		explicit_bzero(&key, sizeof(key));
		value = CStringGetTextDatum(text);
		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	integ_owner_leave(&scope);
	return (Datum) 0;
}

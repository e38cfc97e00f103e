/*
 * Last good answers: found, kept, swept.
 *
 * An answer is inserted, never updated, and the newest one counts: two sessions that ask the same at once do not
 * wait for each other, however long their transactions are.
 */
#include "execute/answers.h"

#include <openssl/evp.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "vault/rows.h"

typedef struct Hashing
{
	EVP_MD_CTX *context;
	bool ok;
} Hashing;

/* Each part with its length, so that no two sets of parts run together to the same. */
static void
add(Hashing *hashing, const void *data, size_t len)
{
	uint64 length = len;

	hashing->ok = hashing->ok && EVP_DigestUpdate(hashing->context, &length, sizeof(length)) > 0 &&
				  EVP_DigestUpdate(hashing->context, data, len) > 0;
}

static void
add_text(Hashing *hashing, const char *text)
{
	add(hashing, text == NULL ? "" : text, text == NULL ? 0 : strlen(text) + 1);
}

static void
add_credentials(Hashing *hashing, const IntegCall *call)
{
	const IntegCredentialRows *rows = integ_vault_rows(&call->instance->credentials);

	add_text(hashing, call->instance->credentials.id);
	for (int i = 0; i < rows->count; i++)
	{
		const IntegCredentialRow *row = &rows->items[i];

		if (row->previous || strcmp(row->name, "access_token") == 0 || strcmp(row->name, "refresh_token") == 0)
			continue;
		add_text(hashing, row->name);
		add(hashing, &row->version, sizeof(row->version));
	}
}

void
integ_answer_hash(const IntegCall *call, uint8_t hash[INTEG_REQUEST_HASH_SIZE])
{
	Hashing hashing = {.context = EVP_MD_CTX_new()};

	hashing.ok = hashing.context != NULL && EVP_DigestInit_ex(hashing.context, EVP_sha256(), NULL) > 0;
	add_text(&hashing, call->actor->client);
	add_text(&hashing, call->actor->user);
	add_text(&hashing, call->definition->id);
	add_text(&hashing, call->definition->version);
	add_text(&hashing, call->method->id);
	add(&hashing, &call->method->digest, sizeof(call->method->digest));
	add_text(&hashing, call->request.method);
	add_text(&hashing, call->base_url);
	add_text(&hashing, call->url != NULL ? call->url : call->path);
	add_text(&hashing, call->query);
	for (int i = 0; i < call->nheaders; i++)
	{
		add_text(&hashing, call->headers[i].name);
		add_text(&hashing, call->headers[i].value);
	}
	if (call->document != NULL)
		add(&hashing, call->document, VARSIZE(call->document));
	if (call->request.body != NULL)
		add(&hashing, call->request.body, call->request.body_len);
	add_credentials(&hashing, call);
	hashing.ok = hashing.ok && EVP_DigestFinal_ex(hashing.context, hash, NULL) > 0;
	EVP_MD_CTX_free(hashing.context);
	if (!hashing.ok)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("OpenSSL could not compute a hash")));
}

static Datum
hash_datum(const uint8_t hash[INTEG_REQUEST_HASH_SIZE])
{
	return PointerGetDatum(cstring_to_text_with_len((const char *) hash, INTEG_REQUEST_HASH_SIZE));
}

IntegStoredAnswer *
integ_answer_find(const IntegCall *call, const uint8_t hash[INTEG_REQUEST_HASH_SIZE])
{
	static IntegQuery query = {
		"SELECT etag, last_modified, result, answered_at FROM integ.answers"
		" WHERE instance = $1 AND request_hash = $2 AND answered_at > $3 ORDER BY answered_at DESC LIMIT 1",
		3,
		{UUIDOID, BYTEAOID, TIMESTAMPTZOID}};
	MemoryContext context = CurrentMemoryContext;
	TimestampTz oldest =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -(int64) integ_answer_retention * 1000);
	Datum values[3] = {UUIDPGetDatum(&call->instance->id), hash_datum(hash), TimestampTzGetDatum(oldest)};
	IntegStoredAnswer *answer = NULL;
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	if (integ_query(&query, values, NULL) > 0)
	{
		answer = MemoryContextAlloc(context, sizeof(IntegStoredAnswer));
		answer->etag = integ_result_text(0, 1, context);
		answer->last_modified = integ_result_text(0, 2, context);
		answer->result = (const Jsonb *) integ_result_varlena(0, 3, context);
		answer->answered_at = (TimestampTz) integ_result_int8(0, 4);
	}
	integ_owner_leave(&scope);
	return answer;
}

/* Removes what the new answer replaces, but for rows that others are at. */
static void
drop_replaced(const IntegCall *call, Datum hash)
{
	static IntegQuery query = {
		"DELETE FROM integ.answers WHERE (id, instance) IN (SELECT id, instance FROM integ.answers"
		" WHERE instance = $1 AND request_hash = $2 FOR UPDATE SKIP LOCKED)",
		2,
		{UUIDOID, BYTEAOID}};
	Datum values[2] = {UUIDPGetDatum(&call->instance->id), hash};

	(void) integ_query(&query, values, NULL);
}

void
integ_answer_store(const IntegCall *call, const uint8_t hash[INTEG_REQUEST_HASH_SIZE], const char *etag,
				   const char *last_modified)
{
	static IntegQuery query = {
		"INSERT INTO integ.answers (id, instance, answered_at, client_id, user_id, method, request_hash, etag,"
		" last_modified, result) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		10,
		{UUIDOID, UUIDOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, BYTEAOID, TEXTOID, TEXTOID, JSONBOID}};
	const Jsonb *result = call->outcome.result;
	const char *user = call->actor->user;
	IntegOwnerScope scope;
	char nulls[11] = "          ";
	Datum values[10];
	pg_uuid_t id;

	if (XactReadOnly || integ_answer_retention == 0 ||
		(result != NULL && VARSIZE(result) > INTEG_ANSWER_MAX_BYTES))
		return;
	integ_uuid_make(&id);
	values[0] = UUIDPGetDatum(&id);
	values[1] = UUIDPGetDatum(&call->instance->id);
	values[2] = TimestampTzGetDatum(call->started_at);
	values[3] = CStringGetTextDatum(call->actor->client);
	values[4] = user == NULL ? (Datum) 0 : CStringGetTextDatum(user);
	nulls[4] = user == NULL ? 'n' : ' ';
	values[5] = CStringGetTextDatum(call->method->id);
	values[6] = hash_datum(hash);
	values[7] = etag == NULL ? (Datum) 0 : CStringGetTextDatum(etag);
	nulls[7] = etag == NULL ? 'n' : ' ';
	values[8] = last_modified == NULL ? (Datum) 0 : CStringGetTextDatum(last_modified);
	nulls[8] = last_modified == NULL ? 'n' : ' ';
	values[9] = result == NULL ? (Datum) 0 : JsonbPGetDatum(result);
	nulls[9] = result == NULL ? 'n' : ' ';
	integ_owner_enter(&scope);
	/* The answer is here, and no conflict of this kind of transaction may take it away. */
	if (!IsolationUsesXactSnapshot())
		drop_replaced(call, values[6]);
	(void) integ_query(&query, values, nulls);
	integ_owner_leave(&scope);
}

static void
sweep(IntegQuery *query, const Datum *values)
{
	IntegOwnerScope scope;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	(void) integ_query(query, values, NULL);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
integ_answers_run(void)
{
	static IntegQuery old = {
		"DELETE FROM integ.answers WHERE answered_at <= pg_catalog.clock_timestamp()"
		" - pg_catalog.make_interval(secs => $1)",
		1,
		{FLOAT8OID}};
	static IntegQuery rest = {
		"DELETE FROM integ.answers a USING ("
		" SELECT id, instance,"
		" pg_catalog.row_number() OVER (PARTITION BY instance, request_hash ORDER BY answered_at DESC, id DESC) AS of_request,"
		" pg_catalog.row_number() OVER (PARTITION BY instance ORDER BY answered_at DESC, id DESC) AS of_instance"
		" FROM integ.answers) n"
		" WHERE n.id = a.id AND n.instance = a.instance AND (n.of_request > 1 OR n.of_instance > $1"
		" OR NOT EXISTS (SELECT FROM integ.instances i WHERE i.id = a.instance))",
		1,
		{INT8OID}};
	Datum retention = Float8GetDatum((float8) integ_answer_retention);
	Datum most = Int64GetDatum(INTEG_ANSWERS_PER_INSTANCE);

	sweep(&old, &retention);
	sweep(&rest, &most);
}

/*
 * What no SQL function of integ does: opens credentials. Compiled and loaded
 * by the tests and the bench only. Returns digests, never a secret.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "vault/vault.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(vault_probe_open);
PG_FUNCTION_INFO_V1(vault_probe_rotating);
PG_FUNCTION_INFO_V1(vault_probe_promote);
PG_FUNCTION_INFO_V1(vault_probe_wiped);
PG_FUNCTION_INFO_V1(vault_probe_time);

static char *
argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static IntegCredentialOwner
owner_of(FunctionCallInfo fcinfo)
{
	IntegCredentialOwner owner = {argument(fcinfo, 0), argument(fcinfo, 1), argument(fcinfo, 2)};

	return owner;
}

/* (kind, id, client, name, origin, previous): SHA-256 of the value in hex, NULL where there is none. */
Datum
vault_probe_open(PG_FUNCTION_ARGS)
{
	IntegCredentialOwner owner = owner_of(fcinfo);
	const IntegSecret *secret =
		integ_vault_open(&owner, argument(fcinfo, 3), argument(fcinfo, 4), PG_GETARG_BOOL(5));
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *context;
	StringInfoData hex;

	if (secret == NULL)
		PG_RETURN_NULL();
	if (secret->data[secret->len] != '\0' || strcmp(secret->name, argument(fcinfo, 3)) != 0)
		elog(ERROR, "the secret is not terminated, or has another name");
	context = pg_cryptohash_create(PG_SHA256);
	if (pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) secret->data, secret->len) < 0 ||
		pg_cryptohash_final(context, digest, sizeof(digest)) < 0)
		elog(ERROR, "no digest");
	pg_cryptohash_free(context);
	initStringInfo(&hex);
	for (size_t i = 0; i < sizeof(digest); i++)
		appendStringInfo(&hex, "%02x", digest[i]);
	PG_RETURN_TEXT_P(cstring_to_text(hex.data));
}

Datum
vault_probe_rotating(PG_FUNCTION_ARGS)
{
	IntegCredentialOwner owner = owner_of(fcinfo);

	PG_RETURN_BOOL(integ_vault_rotating(&owner));
}

Datum
vault_probe_promote(PG_FUNCTION_ARGS)
{
	IntegCredentialOwner owner = owner_of(fcinfo);

	integ_vault_promote(&owner);
	PG_RETURN_VOID();
}

typedef struct Watch
{
	MemoryContextCallback callback;
	const IntegSecret *secret;
	const char *data;
	size_t len;
	bool *wiped;
} Watch;

/* Registered before the secret was opened, so it runs after the secret's own callback, before memory is freed. */
static void
look(void *arg)
{
	Watch *watch = arg;

	*watch->wiped = true;
	for (size_t i = 0; i < watch->len; i++)
		if (watch->data[i] != '\0')
			*watch->wiped = false;
}

/* Whether a secret is overwritten when the context it was opened in is reset. */
Datum
vault_probe_wiped(PG_FUNCTION_ARGS)
{
	IntegCredentialOwner owner = owner_of(fcinfo);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "probe", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	Watch *watch = palloc0(sizeof(Watch));
	const IntegSecret *secret;
	bool wiped = true;

	watch->wiped = &wiped;
	watch->callback.func = look;
	watch->callback.arg = watch;
	MemoryContextRegisterResetCallback(context, &watch->callback);
	secret = integ_vault_open(&owner, argument(fcinfo, 3), argument(fcinfo, 4), false);
	watch->data = secret->data;
	watch->len = secret->len;
	look(watch);
	if (wiped)
		elog(ERROR, "the secret was never there");
	MemoryContextReset(context);
	MemoryContextSwitchTo(before);
	PG_RETURN_BOOL(wiped);
}

/* Microseconds an open takes, cached, over count opens; each in a context that is reset, as a call does. */
Datum
vault_probe_time(PG_FUNCTION_ARGS)
{
	IntegCredentialOwner owner = owner_of(fcinfo);
	char *name = argument(fcinfo, 3), *origin = argument(fcinfo, 4);
	int32 count = PG_GETARG_INT32(5);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "probe", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	instr_time start, end;

	(void) integ_vault_open(&owner, name, origin, false);
	INSTR_TIME_SET_CURRENT(start);
	for (int32 i = 0; i < count; i++)
	{
		if (integ_vault_open(&owner, name, origin, false) == NULL)
			elog(ERROR, "no such credential");
		MemoryContextReset(context);
	}
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	MemoryContextSwitchTo(before);
	PG_RETURN_FLOAT8(INSTR_TIME_GET_DOUBLE(end) * 1e6 / count);
}

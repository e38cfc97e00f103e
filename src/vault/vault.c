/*
 * Opening credentials.
 */
#include "vault/vault.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "vault/rows.h"
#include "vault/secret.h"

static IntegCredentialRow *
find(const IntegCredentialRows *rows, const char *name, bool previous)
{
	for (int i = 0; i < rows->count; i++)
		if (rows->items[i].previous == previous && strcmp(rows->items[i].name, name) == 0)
			return &rows->items[i];
	return NULL;
}

static char *
list_origins(const IntegCredentialRow *row)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < row->norigins; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", row->origins[i]);
	return list.data;
}

/* Before anything is decrypted. */
static void
check_origin(const IntegCredentialOwner *owner, const IntegCredentialRow *row, const char *origin)
{
	/* What a webhook's requests are proven with was sent to the service once, and is looked at here. */
	if (origin == NULL && (row->norigins == 0 || strcmp(owner->kind, "webhook") == 0))
		return;
	for (int i = 0; origin != NULL && i < row->norigins; i++)
		if (strcmp(row->origins[i], origin) == 0)
			return;
	ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
					origin == NULL
						? errmsg("the credential \"%s\" of %s %s is not for use inside the server", row->name,
								 owner->kind, owner->id)
						: errmsg("the credential \"%s\" of %s %s may not go to %s", row->name, owner->kind, owner->id,
								 origin),
					row->norigins == 0 ? errdetail("It may go nowhere.")
									   : errdetail("It may go to %s only.", list_origins(row)),
					errhint("Where a credential may go is fixed when it is entered: set it again with "
							"integ_credential_set once the connection has its new address.")));
}

static void
check_expiry(const IntegCredentialOwner *owner, const IntegCredentialRow *row)
{
	if (row->expires_at == DT_NOEND || row->expires_at > GetCurrentTimestamp())
		return;
	ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
					errmsg("the credential \"%s\" of %s %s has expired", row->name, owner->kind, owner->id),
					errdetail("It was valid until %s.", timestamptz_to_str(row->expires_at)),
					errhint("Enter a new one with integ_credential_set.")));
}

const IntegSecret *
integ_vault_open(const IntegCredentialOwner *owner, const char *name, const char *origin, bool previous)
{
	IntegCredentialRow *row = find(integ_vault_rows(owner), name, previous);
	IntegSecret *secret;
	uint8_t *bytes;

	if (row == NULL)
		return NULL;
	check_origin(owner, row, origin);
	check_expiry(owner, row);

	secret = palloc(sizeof(IntegSecret));
	bytes = integ_secret_alloc(row->ciphertext_len + 1);
	secret->len = integ_vault_decrypt(row, bytes);
	bytes[secret->len] = '\0';
	secret->data = (char *) bytes;
	secret->name = pstrdup(name);
	return secret;
}

bool
integ_vault_describe(const IntegCredentialOwner *owner, const char *name, int64 *version, TimestampTz *expires_at)
{
	const IntegCredentialRow *row = find(integ_vault_rows(owner), name, false);

	*version = row == NULL ? 0 : row->version;
	*expires_at = row == NULL ? DT_NOEND : row->expires_at;
	return row != NULL;
}

bool
integ_vault_rotating(const IntegCredentialOwner *owner)
{
	const IntegCredentialRows *rows = integ_vault_rows(owner);

	for (int i = 0; i < rows->count; i++)
		if (rows->items[i].previous)
			return true;
	return false;
}

void
integ_vault_promote(const IntegCredentialOwner *owner)
{
	static IntegQuery promote = {
		"DELETE FROM integ.credentials WHERE (id, owner_id) IN "
		"(SELECT id, owner_id FROM integ.credentials WHERE owner_id = $1 AND owner_kind = $2 AND client_id = $3 "
		"AND state = 'previous' FOR UPDATE SKIP LOCKED)",
		3,
		{TEXTOID, TEXTOID, TEXTOID}};
	Datum values[3] = {CStringGetTextDatum(owner->id), CStringGetTextDatum(owner->kind),
					   CStringGetTextDatum(owner->client_id)};
	IntegOwnerScope scope;

	/* The request has left: nothing here may fail, as a serialization error would. The next success promotes. */
	if (XactReadOnly || IsolationUsesXactSnapshot() || !integ_vault_rotating(owner))
		return;
	integ_owner_enter(&scope);
	(void) integ_query(&promote, values, NULL);
	integ_owner_leave(&scope);
}

/*
 * Verifying a request with what the vault has.
 */
#include "webhooks/webhook.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "core/uuid.h"
#include "utils/memutils.h"
#include "webhooks/token.h"

/* The webhook's and its definition's secret, each with the one before its rotation. */
#define MAX_KEYS 4

/* What the verifier asks the body for; errors wait until it has returned. */
typedef struct Asking
{
	const IntegWebhookScheme *scheme;
	const IntegInbound *request;
	MemoryContext context;
	ErrorData *error;
} Asking;

static void
add_text(List **texts, const JsonbValue *value)
{
	if (value->type == jbvString || value->type == jbvNumeric)
		*texts = lappend(*texts, integ_json_value_text(value));
}

/* Of a list each member, and where one is no text, none: half a proof is none. */
static IntegInboundValues
read_values(const Asking *asking, const char *path)
{
	const IntegWebhookScheme *scheme = asking->scheme;
	bool is_token = scheme->rule.place.path != NULL && strcmp(path, scheme->rule.place.path) == 0;
	const IntegPath *compiled = is_token ? scheme->token_path : scheme->timestamp_path;
	const Jsonb *document = integ_webhook_document(asking->request);
	const Jsonb *found = document == NULL ? NULL : integ_path_get(compiled, document);
	uint32 count = found == NULL || !JB_ROOT_IS_ARRAY(found) ? 1 : JB_ROOT_COUNT(found);
	List *texts = NIL;
	const char **array;
	ListCell *cell;
	int n = 0;

	if (found == NULL)
		return (IntegInboundValues){0, NULL};
	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue value;

		if (JB_ROOT_IS_ARRAY(found))
			integ_json_walk_at(&found->root, i, &value);
		else
			integ_json_root(found, &value);
		add_text(&texts, &value);
	}
	if ((uint32) list_length(texts) != count)
		return (IntegInboundValues){0, NULL};
	array = palloc(sizeof(char *) * count);
	foreach (cell, texts)
		array[n++] = lfirst(cell);
	return (IntegInboundValues){n, array};
}

/* Called by the verifier, which must not be thrown through. */
static IntegInboundValues
values(void *arg, const char *path)
{
	Asking *asking = arg;
	volatile IntegInboundValues found = {0, NULL};

	PG_TRY();
	{
		MemoryContextSwitchTo(asking->context);
		found = read_values(asking, path);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(asking->context);
		asking->error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	return (IntegInboundValues){found.n, found.texts};
}

IntegSignatureVerdict
integ_webhook_judge(const IntegWebhookScheme *scheme, const IntegInbound *request, const IntegSignatureKey *keys,
					int nkeys, char *problem, size_t size)
{
	Asking asking = {scheme, request, CurrentMemoryContext, NULL};
	IntegInbound asked = *request;
	IntegSignatureVerdict verdict;

	if (scheme->is_jwt)
		return integ_webhook_judge_token(scheme, request, keys, nkeys, problem, size);
	asked.values = values;
	asked.arg = &asking;
	verdict = integ_signature_verify(&scheme->rule, &asked, keys, nkeys, problem, size);
	if (asking.error != NULL)
		ReThrowError(asking.error);
	if (verdict == INTEG_SIGNATURE_OUT_OF_MEMORY)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return verdict;
}

static int
add_keys(const IntegCredentialOwner *owner, const char *name, IntegSignatureKey *keys, int count)
{
	for (int previous = 0; previous <= 1; previous++)
	{
		const IntegSecret *secret = integ_vault_open(owner, name, NULL, previous == 1);

		if (secret != NULL)
			keys[count++] = (IntegSignatureKey){secret->data, secret->len};
	}
	return count;
}

/* A secret that stands in the body is not stored with it. */
static void
mask_keys(const IntegInbound *request, const IntegSignatureKey *keys, int nkeys)
{
	for (int i = 0; i < nkeys; i++)
	{
		char *at = request->body, *found;

		while (keys[i].len > 0 && (found = memmem(at, request->body_len - (size_t) (at - request->body), keys[i].text,
												  keys[i].len)) != NULL)
		{
			memset(found, '*', keys[i].len);
			at = found + keys[i].len;
		}
	}
}

IntegSignatureVerdict
integ_webhook_verify(const IntegWebhook *webhook, const IntegWebhookScheme *scheme, const IntegInbound *request,
					 char *problem, size_t size)
{
	IntegSignatureKey keys[MAX_KEYS];
	IntegCredentialOwner owner = {"webhook", NULL, webhook->client_id};
	IntegCredentialOwner application = {"definition", webhook->definition->id, webhook->client_id};
	IntegSignatureVerdict verdict;
	int count;

	owner.id = integ_uuid_text(&webhook->id);
	count = add_keys(&owner, scheme->credential, keys, 0);
	if (count == 0)
		count = add_keys(&application, scheme->credential, keys, 0);
	verdict = integ_webhook_judge(scheme, request, keys, count, problem, size);
	if (verdict == INTEG_SIGNATURE_VALID && scheme->token_path != NULL)
		mask_keys(request, keys, count);
	return verdict;
}

/*
 * Requests that only prove the address.
 */
#include "webhooks/webhook.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/compat.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/uuid.h"
#include "definitions/compile.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "vault/store.h"

static const JsonbContainer *
handshake_at(const IntegWebhook *webhook, uint32 index)
{
	const JsonbContainer *list =
		webhook->manifest == NULL ? NULL : integ_json_get_array(webhook->manifest, "handshakes");
	JsonbValue value;

	if (list == NULL || index >= JsonContainerSize(list))
		return NULL;
	integ_json_walk_at(list, index, &value);
	return value.val.binary.data;
}

/*
 * Unless the manifest says, one that is in the body and stores nothing is signed as every other request is; a probe of
 * the address alone, and the first request, which brings the secret, cannot be.
 */
static bool
must_be_signed(const JsonbContainer *handshake)
{
	const JsonbContainer *when = integ_json_get_object(handshake, "when");
	bool in_body = when != NULL && integ_json_get_string(when, "path") != NULL;

	return integ_json_get_bool(handshake, "signed", in_body && integ_json_get_object(handshake, "store") == NULL);
}

bool
integ_webhook_handshake_unsigned(const IntegWebhook *webhook)
{
	const JsonbContainer *handshake;

	for (uint32 i = 0; (handshake = handshake_at(webhook, i)) != NULL; i++)
		if (!must_be_signed(handshake))
			return true;
	return false;
}

static bool
has_value(const IntegWebhookSource *source, const IntegInbound *request, const char *expected)
{
	const char *value = integ_webhook_value(source, request, NULL);

	return value != NULL && (expected == NULL || strcmp(value, expected) == 0);
}

static bool
applies(const JsonbContainer *handshake, const char *where, const IntegInbound *request, const Jsonb *document)
{
	const JsonbContainer *when = integ_json_get_object(handshake, "when");
	char *method = integ_json_get_string(when, "method");
	char *query = integ_json_get_string(when, "query");
	char *header = integ_json_get_string(when, "header");
	char *equals = integ_json_get_string(when, "equals");
	IntegPath *path = integ_compile_path(when, "path", psprintf("%s/when", where));

	if (method != NULL && strcmp(method, request->method) != 0)
		return false;
	if (query != NULL && !has_value(&(IntegWebhookSource){.query = query}, request, equals))
		return false;
	if (header != NULL && !has_value(&(IntegWebhookSource){.header = header}, request, equals))
		return false;
	return path == NULL || (document != NULL && integ_path_exists(path, document));
}

/* Hexadecimal or base64, with what stands before it. */
static char *
encode_hmac(const JsonbContainer *hmac, const uint8_t *digest, unsigned int len)
{
	char *encoding = integ_json_get_string(hmac, "encoding");
	char *prefix = integ_json_get_string(hmac, "prefix");
	char text[2 * EVP_MAX_MD_SIZE + 1];

	if (encoding != NULL && strcmp(encoding, "base64") == 0)
		text[integ_b64_encode(digest, (int) len, text, sizeof(text))] = '\0';
	else
		text[hex_encode((const char *) digest, len, text)] = '\0';
	return psprintf("%s%s", prefix == NULL ? "" : prefix, text);
}

/*
 * The challenge signed with our secret, which proves that we have it: {hmac} in the body of the answer. NULL where
 * there is no secret. It goes where the request came from, as every signature of ours would.
 */
static char *
challenge_hmac(const IntegWebhook *webhook, const JsonbContainer *hmac, const char *challenge)
{
	const JsonbContainer *signature =
		webhook->manifest == NULL ? NULL : integ_json_get_object(webhook->manifest, "signature");
	char *name = signature == NULL ? NULL : integ_json_get_string(signature, "credential");
	IntegCredentialOwner owner = {"webhook", integ_uuid_text(&webhook->id), webhook->client_id};
	const IntegSecret *secret = integ_vault_open(&owner, name == NULL ? "secret" : name, NULL, false);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (secret == NULL)
	{
		owner = (IntegCredentialOwner){"definition", webhook->definition->id, webhook->client_id};
		secret = integ_vault_open(&owner, name == NULL ? "secret" : name, NULL, false);
	}
	if (secret == NULL || HMAC(EVP_sha256(), secret->data, (int) secret->len, (const uint8_t *) challenge,
							   strlen(challenge), digest, &len) == NULL)
		return NULL;
	return encode_hmac(hmac, digest, len);
}

/* The body that the manifest gives, with {challenge} and {hmac} in it. */
static void
render_body(const JsonbValue *body, const char *challenge, const char *hmac, IntegWebhookReply *reply)
{
	JsonbValue source = *body;
	IntegJsonBuilder builder;
	IntegTemplateScope scope = {0};
	IntegTemplate *template = integ_template_compile(&source, "respond/body");

	integ_json_begin_object(&builder);
	if (challenge != NULL)
		integ_json_add_string(&builder, "challenge", challenge);
	if (hmac != NULL)
		integ_json_add_string(&builder, "hmac", hmac);
	scope.input = &integ_json_end(&builder)->root;
	if (body->type == jbvString)
	{
		reply->body = integ_template_text(template, &scope, INTEG_TEMPLATE_RAW);
		reply->content_type = "text/plain; charset=utf-8";
	}
	else
	{
		const Jsonb *rendered = integ_template_json(template, &scope);

		reply->body = rendered == NULL ? NULL : integ_json_print(rendered);
		reply->content_type = "application/json";
	}
}

static void
respond_with(const IntegWebhook *webhook, const JsonbContainer *respond, const char *where, const IntegInbound *request,
			 const Jsonb *document, IntegWebhookReply *reply)
{
	const JsonbContainer *hmac = respond == NULL ? NULL : integ_json_get_object(respond, "hmac");
	IntegWebhookSource echo = {0};
	const char *challenge = NULL;
	char *type, *proof = NULL;
	JsonbValue body;

	*reply = (IntegWebhookReply){.status = 200};
	if (respond == NULL)
		return;
	reply->status = (int) integ_json_get_int(respond, "status", 200);
	if (integ_webhook_source(respond, "echo", where, &echo))
		challenge = integ_webhook_value(&echo, request, document);
	if (hmac != NULL && integ_webhook_source(hmac, "from", where, &echo))
		challenge = integ_webhook_value(&echo, request, document);
	if (hmac != NULL && challenge != NULL)
		proof = challenge_hmac(webhook, hmac, challenge);
	if (integ_json_get(respond, "body", &body))
		render_body(&body, challenge, proof, reply);
	else if (challenge != NULL)
	{
		reply->body = challenge;
		reply->content_type = "text/plain; charset=utf-8";
	}
	type = integ_json_get_string(respond, "contentType");
	if (type != NULL && reply->body != NULL)
		reply->content_type = type;
	reply->body_len = reply->body == NULL ? 0 : strlen(reply->body);
}

/* Keeps the secret that the service tells; the first one only, since the request proves nothing. */
static bool
store_secret(const IntegWebhook *webhook, const JsonbContainer *store, const char *where, const IntegInbound *request,
			 const Jsonb *document)
{
	IntegCredentialOwner owner = {"webhook", integ_uuid_text(&webhook->id), webhook->client_id};
	char *name = integ_json_get_string(store, "credential");
	static const char *no_origins[] = {NULL};
	IntegWebhookSource source;
	const char *secret;
	IntegCredentialValue value;
	TimestampTz expires_at;
	int64 version;

	if (integ_vault_describe(&owner, name, &version, &expires_at) ||
		!integ_webhook_source(store, "from", where, &source))
		return false;
	secret = integ_webhook_value(&source, request, document);
	if (secret == NULL || *secret == '\0' || strlen(secret) > INTEG_CREDENTIAL_MAX)
		return false;
	value = (IntegCredentialValue){.data = secret,
								   .len = strlen(secret),
								   .origins = no_origins,
								   .expires_at = DT_NOEND,
								   .role = integ_owner_oid()};
	integ_vault_store(&owner, name, &value, false);
	return true;
}

bool
integ_webhook_handshake(const IntegWebhook *webhook, const IntegInbound *request, const Jsonb *document, bool verified,
						IntegWebhookReply *reply)
{
	const JsonbContainer *handshake;

	for (uint32 i = 0; (handshake = handshake_at(webhook, i)) != NULL; i++)
	{
		char *where = psprintf("/webhook/handshakes/%u", i);
		const JsonbContainer *store = integ_json_get_object(handshake, "store");

		if ((must_be_signed(handshake) && !verified) || !applies(handshake, where, request, document))
			continue;
		if (store != NULL && !store_secret(webhook, store, where, request, document))
			continue;
		respond_with(webhook, integ_json_get_object(handshake, "respond"), where, request, document, reply);
		return true;
	}
	return false;
}

void
integ_webhook_acknowledge(const IntegWebhook *webhook, const IntegInbound *request, IntegWebhookReply *reply)
{
	const JsonbContainer *respond =
		webhook->manifest == NULL ? NULL : integ_json_get_object(webhook->manifest, "respond");

	respond_with(webhook, respond, "/webhook/respond", request, NULL, reply);
}

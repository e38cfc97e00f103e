/* sources: src/webhooks/signature.c src/webhooks/message.c src/webhooks/inbound.c src/webhooks/timestamp.c */
/* sources: src/endpoints/sign.c src/http/form.c src/core/base64.c src/core/hmac.c */
/* libs: -lcrypto */
/*
 * Keys that people give, and what is signed with them: a key is read or not; what one signs, the verifier of inbound
 * webhooks takes, and takes no more once a byte of it has changed. Lines give two keys and the id; the rest is the
 * body.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoints/sign.h"
#include "webhooks/signature.h"

#include "lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1700000000

static IntegInboundValues
no_values(void *arg, const char *path)
{
	(void) arg;
	(void) path;
	return (IntegInboundValues){0, NULL};
}

static IntegSignatureVerdict
verify(const char *id, const char *signature, char *body, size_t len, const char *key)
{
	IntegHttpHeader headers[] = {
		{"webhook-id", id}, {"webhook-timestamp", "1700000000"}, {"webhook-signature", signature}};
	IntegInbound request = {.method = "POST",
							.headers = headers,
							.nheaders = 3,
							.body = body,
							.body_len = len,
							.now_ms = NOW * INT64_C(1000),
							.values = no_values};
	IntegSignatureKey keys[] = {{key, strlen(key)}};
	IntegSignatureRule rule = {.tolerance_ms = -1};
	char problem[128];

	integ_signature_standard(&rule);
	return integ_signature_verify(&rule, &request, keys, 1, problem, sizeof(problem));
}

/* The text by which the other side knows the key. */
static bool
other_side(const IntegSigningKey *key, const char *text, char *out, size_t size)
{
	if (key->asymmetric)
		return integ_signing_public_key(key, out);
	snprintf(out, size, "%s", text);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *texts[2] = {line(&data, &size), line(&data, &size)}, *id = line(&data, &size), *body = rest(data, size);
	char signature[2 * INTEG_SIGNATURE_SIZE], hook[INTEG_BODY_SIGNATURE_SIZE], known[4 * INTEG_SIGNING_KEY_MAX + 8];
	IntegSigningKey keys[2];
	int nkeys = 0;

	for (int i = 0; i < 2; i++)
		nkeys += integ_signing_key_read(texts[i], strlen(texts[i]), &keys[nkeys]);
	if (nkeys > 0 && !integ_sign_standard(keys, nkeys, id, NOW, body, size, signature))
		abort();
	if (!integ_sign_body(id, strlen(id), body, size, hook) || strlen(hook) != 7 + 64)
		abort();
	/* An id that a header cannot carry, or none, is never ours. */
	if (nkeys == 2 && *id != '\0' && id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0')
		for (int i = 0; i < 2; i++)
		{
			if (strlen(texts[i]) >= sizeof(known) || !other_side(&keys[i], texts[i], known, sizeof(known)))
				abort();
			if (verify(id, signature, body, size, known) != INTEG_SIGNATURE_VALID)
				abort();
			body[size / 2] ^= 1;
			if (size > 0 && verify(id, signature, body, size, known) == INTEG_SIGNATURE_VALID)
				abort();
			body[size / 2] ^= 1;
		}
	free(texts[0]);
	free(texts[1]);
	free(id);
	free(body);
	return 0;
}

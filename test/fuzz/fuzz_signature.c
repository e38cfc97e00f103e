/* sources: src/webhooks/signature.c src/webhooks/message.c src/webhooks/inbound.c src/webhooks/timestamp.c */
/* sources: src/http/form.c src/core/base64.c */
/* libs: -lcrypto */
/*
 * Requests of anybody, judged by every scheme. The first byte chooses the scheme, the second what else the rule has;
 * lines give header, query and key, and what is left is the body.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "webhooks/signature.h"

#include "lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static IntegInboundValues
no_values(void *arg, const char *path)
{
	(void) arg;
	(void) path;
	return (IntegInboundValues){0, NULL};
}

static void
make_rule(IntegSignatureRule *rule, uint8_t scheme, uint8_t flags)
{
	memset(rule, 0, sizeof(*rule));
	rule->scheme = (IntegSignatureScheme) (scheme % (INTEG_SIGNATURE_BASIC + 1));
	rule->tolerance_ms = -1;
	if (rule->scheme == INTEG_SIGNATURE_STANDARD)
		integ_signature_standard(rule);
	else
		rule->place.header = "x-signature";
	if (flags & 1)
		rule->encoding = INTEG_SIGNATURE_BASE64;
	else if (rule->scheme != INTEG_SIGNATURE_STANDARD)
		rule->encoding = INTEG_SIGNATURE_HEX;
	if (flags & 2)
		rule->separator = ",";
	if (flags & 4)
		rule->element = "v1";
	if (flags & 8)
		rule->template = "{timestamp}{url}{url_decoded}{sorted_params}{secret}{nothing{body}";
	if (flags & 16)
	{
		rule->timestamp.element = "t";
		rule->tolerance_ms = 300000;
		rule->unit = INTEG_SENT_ISO8601;
	}
	if (flags & 32)
		rule->place.query = "q";
	if (flags & 64)
		rule->key_encoding = INTEG_SIGNATURE_HEX;
	if (flags & 128)
		rule->body_digest = "d";
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	IntegSignatureRule rule;
	char *signature, *query, *key, *url, *body, problem[64];
	IntegHttpHeader headers[5];
	IntegSignatureKey keys[1];
	IntegInbound request = {
		.method = "POST", .headers = headers, .nheaders = 5, .now_ms = 1700000000000, .values = no_values};

	if (size < 2)
		return 0;
	make_rule(&rule, data[0], data[1]);
	data += 2;
	size -= 2;
	signature = line(&data, &size);
	query = line(&data, &size);
	url = line(&data, &size);
	key = line(&data, &size);
	body = rest(data, size);
	headers[0] = (IntegHttpHeader){rule.scheme == INTEG_SIGNATURE_STANDARD ? "webhook-signature" : "X-Signature",
								   signature};
	headers[1] = (IntegHttpHeader){"webhook-id", "m"};
	headers[2] = (IntegHttpHeader){"webhook-timestamp", "1700000000"};
	headers[3] = (IntegHttpHeader){"authorization", signature};
	headers[4] = (IntegHttpHeader){"content-type", "application/x-www-form-urlencoded"};
	keys[0] = (IntegSignatureKey){key, strlen(key)};
	request.query = query;
	request.url = url;
	request.body = body;
	request.body_len = size;
	(void) integ_signature_verify(&rule, &request, keys, 1, problem, sizeof(problem));
	free(signature);
	free(query);
	free(url);
	free(key);
	free(body);
	return 0;
}

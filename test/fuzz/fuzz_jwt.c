/* sources: src/jwt/verify.c src/jwt/key.c src/jwt/sign.c src/core/base64.c */
/* libs: -lcrypto */
/*
 * Tokens of anybody against keys of anybody. The first byte chooses the algorithm; lines give the key and the
 * signature in base64; the rest is what is signed. A token that our own signer makes with a key for HMAC is valid.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "jwt/jwt.h"

#include "lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What we sign, we take; and nothing else with that signature. */
static void
check_own(IntegJwtAlgorithm algorithm, const IntegJwtKey *key, const char *claims)
{
	char problem[256];
	char *token = integ_jwt_sign(algorithm, key, "{}", claims, problem, sizeof(problem));
	const char *dot = token == NULL ? NULL : strrchr(token, '.');
	uint8_t signature[128];
	size_t len;

	if (token == NULL)
		return;
	if (strlen(dot + 1) > sizeof(signature) || !integ_base64_decode(dot + 1, strlen(dot + 1), signature, &len) ||
		!integ_jwt_verify(algorithm, key, token, (size_t) (dot - token), signature, len))
		abort();
	if (integ_jwt_verify(algorithm, key, token, (size_t) (dot - token) - 1, signature, len) ||
		integ_jwt_verify(algorithm, key, token, (size_t) (dot - token), signature, len - 1))
		abort();
	free(token);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	IntegJwtAlgorithm algorithm;
	IntegJwtKey key = {.encoding = INTEG_JWT_KEY_TEXT};
	char *text, *encoded, *input;
	uint8_t *signature;
	size_t len = 0;

	if (size < 1)
		return 0;
	algorithm = (IntegJwtAlgorithm) (data[0] % (INTEG_JWT_EDDSA + 1));
	data++, size--;
	text = line(&data, &size);
	encoded = line(&data, &size);
	input = rest(data, size);
	signature = malloc(INTEG_BASE64_DECODED_SIZE(strlen(encoded)) + 1);
	if (signature == NULL)
		abort();
	/* PEM has lines. */
	for (char *c = text; *c != '\0'; c++)
		if (*c == '|')
			*c = '\n';
	key.text = text;
	key.len = strlen(text);
	if (integ_base64_decode(encoded, strlen(encoded), signature, &len))
		(void) integ_jwt_verify(algorithm, &key, input, size, signature, len);
	if (algorithm <= INTEG_JWT_HS512 && key.len > 0)
		check_own(algorithm, &key, input);
	free(text);
	free(encoded);
	free(input);
	free(signature);
	return 0;
}

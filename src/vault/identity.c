/*
 * What a ciphertext is bound to.
 */
#include "vault/identity.h"

#include <string.h>

#define PURPOSE "integ.credential.1"

static uint8_t *
put_number(uint8_t *out, uint64_t number, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		*out++ = (uint8_t) (number >> (8 * i));
	return out;
}

static uint8_t *
put_text(uint8_t *out, const char *text)
{
	size_t len = strlen(text);

	out = put_number(out, len, 4);
	memcpy(out, text, len);
	return out + len;
}

size_t
integ_identity_size(const IntegCredentialIdentity *identity)
{
	const char *const texts[] = {PURPOSE, identity->owner_kind, identity->owner_id, identity->client_id,
								 identity->name, identity->algorithm, identity->data_key};
	size_t size = 8 + 4;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		size += 4 + strlen(texts[i]);
	for (size_t i = 0; i < identity->norigins; i++)
		size += 4 + strlen(identity->origins[i]);
	return size;
}

void
integ_identity_encode(const IntegCredentialIdentity *identity, uint8_t *out)
{
	out = put_text(out, PURPOSE);
	out = put_text(out, identity->owner_kind);
	out = put_text(out, identity->owner_id);
	out = put_text(out, identity->client_id);
	out = put_text(out, identity->name);
	out = put_number(out, (uint64_t) identity->version, 8);
	out = put_number(out, identity->norigins, 4);
	for (size_t i = 0; i < identity->norigins; i++)
		out = put_text(out, identity->origins[i]);
	out = put_text(out, identity->algorithm);
	put_text(out, identity->data_key);
}

/*
 * HMAC-SHA-256 (RFC 2104, RFC 6234). Free of PostgreSQL.
 */
#ifndef INTEG_CORE_HMAC_H
#define INTEG_CORE_HMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INTEG_HMAC_SHA256_SIZE 32

/* One of the parts of a message. */
typedef struct IntegHmacPart
{
	const void *data;
	size_t len;
} IntegHmacPart;

/*
 * The code of the parts, one after the other, under the key; no copy of the key is left behind. False where the
 * library failed, which it does only for want of memory.
 */
extern bool integ_hmac_sha256(const void *key, size_t key_len, const IntegHmacPart *parts, int count,
							  uint8_t code[INTEG_HMAC_SHA256_SIZE]);

#endif /* INTEG_CORE_HMAC_H */

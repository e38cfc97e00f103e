/*
 * Base64 (RFC 4648). Free of PostgreSQL.
 */
#ifndef INTEG_CORE_BASE64_H
#define INTEG_CORE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that decoding len characters may take at most, and that encoding len bytes takes with its NUL. */
#define INTEG_BASE64_DECODED_SIZE(len) ((len) / 4 * 3 + 3)
#define INTEG_BASE64_ENCODED_SIZE(len) (((len) + 2) / 3 * 4 + 1)

/*
 * Decodes into out (INTEG_BASE64_DECODED_SIZE bytes) and sets *out_len. Takes what services and people write: the usual
 * alphabet or the one for URLs, white space anywhere, padding or none. False where the text is none of these, or
 * ends within a byte, or has bits behind its last byte.
 */
extern bool integ_base64_decode(const char *text, size_t len, uint8_t *out, size_t *out_len);

/* Encodes for URLs, without padding (RFC 4648, section 5), terminated; returns the length. */
extern size_t integ_base64url_encode(const uint8_t *bytes, size_t len, char *out);

#endif /* INTEG_CORE_BASE64_H */

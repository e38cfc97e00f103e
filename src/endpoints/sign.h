/*
 * Signatures of outbound requests, as the Standard Webhooks lay them down. Free of PostgreSQL: OpenSSL only, nothing is
 * raised.
 *
 * Source: standard-webhooks, spec/standard-webhooks.md, "Signature scheme".
 */
#ifndef INTEG_ENDPOINTS_SIGN_H
#define INTEG_ENDPOINTS_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the longest symmetric key. */
#define INTEG_SIGNING_KEY_MAX 512

/* So many keys sign one request at most. */
#define INTEG_SIGNING_KEYS_MAX 8

typedef struct IntegSigningKey
{
	bool asymmetric; /* Ed25519 (v1a); else HMAC-SHA256 (v1) */
	size_t len;
	uint8_t bytes[INTEG_SIGNING_KEY_MAX]; /* of an asymmetric one the seed */
} IntegSigningKey;

/* A signature with its version and the space that parts it from the next. */
#define INTEG_SIGNATURE_SIZE 96

/* "sha256=", 64 digits and a NUL. */
#define INTEG_BODY_SIGNATURE_SIZE 72

/* Room for a key as text: prefix, 64 bytes in base64, NUL. */
#define INTEG_SIGNING_TEXT_SIZE 100

/*
 * Reads a key as people have it: whsk_ and the base64 of an Ed25519 seed (32 bytes; or 64, the public key behind it),
 * or base64, with whsec_ before it or not, of a symmetric key. False where it is neither. The caller wipes the key.
 */
extern bool integ_signing_key_read(const char *text, size_t len, IntegSigningKey *key);

/* A new key, as text of INTEG_SIGNING_TEXT_SIZE. False where the system gives no random bytes. */
extern bool integ_signing_key_make(bool asymmetric, char *text);

/* whpk_ and the public key of an asymmetric key, INTEG_SIGNING_TEXT_SIZE. False where OpenSSL fails. */
extern bool integ_signing_public_key(const IntegSigningKey *key, char *text);

/*
 * The value of webhook-signature: one signature a key over id, time (seconds since 1970) and body, with a space between
 * them. out has nkeys times INTEG_SIGNATURE_SIZE bytes. False where memory or OpenSSL fails.
 */
extern bool integ_sign_standard(const IntegSigningKey *keys, int nkeys, const char *id, int64_t time, const char *body,
								size_t body_len, char *out);

/*
 * sha256= and the HMAC-SHA256 of the body in hexadecimal, as GitHub and many after it do; the key is the secret's text.
 * out has INTEG_BODY_SIGNATURE_SIZE bytes. False where OpenSSL fails.
 */
extern bool integ_sign_body(const char *secret, size_t secret_len, const char *body, size_t body_len, char *out);

#endif /* INTEG_ENDPOINTS_SIGN_H */

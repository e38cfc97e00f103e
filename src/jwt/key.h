/*
 * Keys of JSON Web Tokens: internal to jwt.
 */
#ifndef INTEG_JWT_KEY_H
#define INTEG_JWT_KEY_H

#include <openssl/evp.h>

#include "jwt/jwt.h"

/* What an algorithm asks of its key and its signature. */
typedef struct IntegJwtKind
{
	const char *name;
	const char *digest; /* OpenSSL's name, NULL: the algorithm has its own */
	const char *key;	/* OpenSSL's name of the kind of key, NULL: bytes */
	const char *curve;	/* OpenSSL's name of the group, NULL: none */
	const char *wanted; /* the key in words */
	int half;			/* bytes of r and of s of an ECDSA signature, 0: none */
	bool pss;
} IntegJwtKind;

extern const IntegJwtKind *integ_jwt_kind(IntegJwtAlgorithm algorithm);

/* The bytes that the key's text stands for, malloc'ed and to be wiped; NULL with a sentence in problem. */
extern uint8_t *integ_jwt_key_bytes(const IntegJwtKey *key, size_t *len, char *problem, size_t size);

/* The private key in bytes (which reading may change), of the algorithm's kind; NULL with a sentence in problem. */
extern EVP_PKEY *integ_jwt_private_key(IntegJwtAlgorithm algorithm, uint8_t *bytes, size_t len, const char *passphrase,
									   char *problem, size_t size);

#endif /* INTEG_JWT_KEY_H */

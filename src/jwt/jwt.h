/*
 * JSON Web Tokens, signed (RFC 7519 in the compact form of RFC 7515). Free of PostgreSQL: OpenSSL only, nothing is
 * raised.
 */
#ifndef INTEG_JWT_JWT_H
#define INTEG_JWT_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 7518, section 3.1, and RFC 8037, section 3.1. */
typedef enum IntegJwtAlgorithm
{
	INTEG_JWT_HS256,
	INTEG_JWT_HS384,
	INTEG_JWT_HS512,
	INTEG_JWT_RS256,
	INTEG_JWT_RS384,
	INTEG_JWT_RS512,
	INTEG_JWT_PS256,
	INTEG_JWT_PS384,
	INTEG_JWT_PS512,
	INTEG_JWT_ES256,
	INTEG_JWT_ES384,
	INTEG_JWT_ES512,
	INTEG_JWT_EDDSA
} IntegJwtAlgorithm;

/* How the text of a key is to be read. */
typedef enum IntegJwtKeyEncoding
{
	INTEG_JWT_KEY_TEXT, /* the bytes themselves for HS…; PEM for all others */
	INTEG_JWT_KEY_BASE64,
	INTEG_JWT_KEY_HEX
} IntegJwtKeyEncoding;

/*
 * A key. For HS… its bytes. Else a private key: in PEM (PKCS#8, also encrypted with the passphrase, PKCS#1,
 * SEC 1), whose line breaks may be written as \n, as they are where the key is cut out of a JSON file; or, in base64 or
 * hex, PEM or DER.
 */
typedef struct IntegJwtKey
{
	const char *text;
	size_t len;
	IntegJwtKeyEncoding encoding;
	const char *passphrase; /* or NULL */
} IntegJwtKey;

/* "RS256" … ; static. */
extern const char *integ_jwt_algorithm_name(IntegJwtAlgorithm algorithm);

/* The algorithm of a name; false where it is unknown. */
extern bool integ_jwt_algorithm_from_name(const char *name, IntegJwtAlgorithm *algorithm);

/*
 * The token: header and claims (JSON texts) and the signature, malloc'ed. NULL with a sentence in problem where the
 * key is no key, or of the wrong kind for the algorithm, or weaker than RFC 7518 allows (RSA below 2048 bits). The
 * sentence holds nothing of the key.
 */
extern char *integ_jwt_sign(IntegJwtAlgorithm algorithm, const IntegJwtKey *key, const char *header, const char *claims,
							char *problem, size_t size);

/*
 * Whether the key (for HS… its bytes, else a public key in PEM) made the signature (decoded) over "header.claims". A key of
 * another kind than the algorithm's made nothing. The algorithm is the one that is expected, never what the token
 * itself says (RFC 8725, section 3.1).
 */
extern bool integ_jwt_verify(IntegJwtAlgorithm algorithm, const IntegJwtKey *key, const char *input, size_t input_len,
							 const uint8_t *signature, size_t signature_len);

#endif /* INTEG_JWT_JWT_H */

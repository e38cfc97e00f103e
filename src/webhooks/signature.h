/*
 * Signatures of inbound requests: one verifier for every service, whose scheme is data. Free of PostgreSQL: OpenSSL
 * only, nothing is raised.
 *
 * Whatever is compared is compared in constant time, and what is signed is the body's raw bytes. No body is parsed
 * before its signature holds, but for schemes whose proof is a value in the body.
 */
#ifndef INTEG_WEBHOOKS_SIGNATURE_H
#define INTEG_WEBHOOKS_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http.h"

typedef enum IntegSignatureScheme
{
	INTEG_SIGNATURE_NONE,
	INTEG_SIGNATURE_HMAC_SHA1,
	INTEG_SIGNATURE_HMAC_SHA256,
	INTEG_SIGNATURE_HMAC_SHA512,
	INTEG_SIGNATURE_SHA256, /* a plain digest; the template has the secret */
	INTEG_SIGNATURE_ED25519,
	INTEG_SIGNATURE_RSA_SHA256,
	INTEG_SIGNATURE_STANDARD, /* Standard Webhooks: v1 and v1a */
	INTEG_SIGNATURE_EQUAL,	  /* a token, compared */
	INTEG_SIGNATURE_BASIC	  /* RFC 7617; the key is user:password */
} IntegSignatureScheme;

typedef enum IntegSignatureEncoding
{
	INTEG_SIGNATURE_TEXT, /* keys only */
	INTEG_SIGNATURE_HEX,
	INTEG_SIGNATURE_BASE64
} IntegSignatureEncoding;

typedef enum IntegSignatureUnit
{
	INTEG_SENT_S,
	INTEG_SENT_MS,
	INTEG_SENT_ISO8601
} IntegSignatureUnit;

/* Where a value of a request is; at most one is set. */
typedef struct IntegInboundPlace
{
	const char *header;
	const char *query;
	const char *path;	 /* in the body */
	const char *element; /* timestamps only: of the signature's header */
} IntegInboundPlace;

#define INTEG_MAX_SIGNATURE_HEADERS 8

typedef struct IntegSignatureRule
{
	IntegSignatureScheme scheme;
	IntegInboundPlace place;							   /* of the signature or token */
	const char *alternatives[INTEG_MAX_SIGNATURE_HEADERS]; /* further headers, of which one may hold it instead */
	int nalternatives;
	IntegSignatureEncoding encoding;
	const char *prefix;	   /* before the signature; NULL: none */
	const char *separator; /* between several; NULL: there is one */
	const char *element;   /* element=signature; NULL: it stands alone */
	const char *template;  /* NULL: {body} */
	IntegSignatureEncoding key_encoding;
	const char *key_prefix; /* dropped where the key has it; NULL: none */
	const char *id_header;
	IntegInboundPlace timestamp;
	IntegSignatureUnit unit;
	int64_t tolerance_ms; /* negative: the time is not checked */
	bool allow_future;	  /* however far ahead the time is */
	IntegHttpHeader required[INTEG_MAX_SIGNATURE_HEADERS];
	int nrequired;
	const char *body_digest; /* query parameter with the hex SHA-256 of a body that is not a form; NULL: none */
} IntegSignatureRule;

/* The texts at a path of the body: how many, and each of them. They live as long as the request. */
typedef struct IntegInboundValues
{
	int n;
	const char *const *texts;
} IntegInboundValues;

/* A request, as it came. */
typedef struct IntegInbound
{
	const char *address; /* of the sender, or NULL */
	const char *method;
	const char *url;   /* absolute, as the sender was told it, with its query */
	const char *query; /* as written, without its question mark; NULL: none */
	const IntegHttpHeader *headers;
	int nheaders;
	char *body;
	size_t body_len;
	int64_t now_ms; /* since 1970 */
	/* Finds values in the body; never raises. A path that leads to anything but texts and numbers finds nothing. */
	IntegInboundValues (*values)(void *arg, const char *path);
	void *arg;
} IntegInbound;

typedef struct IntegSignatureKey
{
	const char *text;
	size_t len;
} IntegSignatureKey;

typedef enum IntegSignatureVerdict
{
	INTEG_SIGNATURE_VALID,
	INTEG_SIGNATURE_MISSING,   /* the request has none, or not what belongs to it */
	INTEG_SIGNATURE_MALFORMED, /* it cannot be one */
	INTEG_SIGNATURE_WRONG,	   /* no key made it */
	INTEG_SIGNATURE_STALE,	   /* it is of another time */
	INTEG_SIGNATURE_NO_KEY,	   /* there is no key to judge by, or it is none */
	INTEG_SIGNATURE_OUT_OF_MEMORY
} IntegSignatureVerdict;

/*
 * Fills in what the scheme of the Standard Webhooks lays down; a service that differs in a name may set that
 * afterwards. A key that begins with whpk_ is a public one and judges v1a, any other one v1. Source:
 * standard-webhooks, spec/standard-webhooks.md.
 */
extern void integ_signature_standard(IntegSignatureRule *rule);

/*
 * Judges a request. Any of the keys may have signed it (while one is rotated there are two); an empty key judges
 * nothing. problem (size bytes) gets a sentence where the verdict is not VALID, which holds nothing of a key or a
 * signature.
 */
extern IntegSignatureVerdict integ_signature_verify(const IntegSignatureRule *rule, const IntegInbound *request,
													const IntegSignatureKey *keys, int nkeys, char *problem,
													size_t size);

/* A header's value by its name, in whatever case; NULL where there is none. Of two with one name neither counts. */
extern const char *integ_inbound_header(const IntegInbound *request, const char *name);

/* A query parameter's value, decoded and malloc'ed; NULL where there is none, or no memory. */
extern char *integ_inbound_query(const IntegInbound *request, const char *name);

/* Whether the body is a form, by its content type. */
extern bool integ_inbound_is_form(const IntegInbound *request);

/* A timestamp in milliseconds since 1970; false where the text is none. iso8601 is RFC 3339, section 5.6. */
extern bool integ_signature_time(const char *text, IntegSignatureUnit unit, int64_t *milliseconds);

#endif /* INTEG_WEBHOOKS_SIGNATURE_H */

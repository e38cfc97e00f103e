/*
 * Judging a request by its signature.
 */
#include "webhooks/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "core/base64.h"
#include "core/hex.h"
#include "webhooks/message.h"

/* Of a 16384 bit RSA key. */
#define MAX_SIGNATURE 2048

/* Nobody signs a request more often; each costs us a computation. */
#define MAX_CANDIDATES 16

#define ED25519_KEY 32

typedef struct Candidate
{
	uint8_t bytes[MAX_SIGNATURE];
	size_t len;
	bool asymmetric; /* of the Standard Webhooks: v1a */
} Candidate;

typedef struct Judgement
{
	const IntegSignatureRule *rule;
	const IntegInbound *request;
	const IntegSignatureKey *keys;
	int nkeys;
	Candidate *candidates;
	int ncandidates;
	const char *timestamp; /* as it was sent */
	char *from_query;	   /* owned */
	char timestamp_room[64];
	char *problem;
	size_t size;
} Judgement;

#define REFUSE(judgement, verdict, ...) \
	(snprintf((judgement)->problem, (judgement)->size, __VA_ARGS__), INTEG_SIGNATURE_##verdict)

static bool
equal(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0;
}

static bool
has_element(const char *text, size_t len, const char *element, char delimiter)
{
	size_t name = strlen(element);

	return len > name && memcmp(text, element, name) == 0 && text[name] == delimiter;
}

/* Keeps what one signature stands for; one that is malformed is none. */
static void
add_candidate(Judgement *judgement, const char *text, size_t len, IntegSignatureEncoding encoding, bool asymmetric)
{
	Candidate *candidate = &judgement->candidates[judgement->ncandidates];
	bool ok;

	if (len == 0 || len > MAX_SIGNATURE || judgement->ncandidates == MAX_CANDIDATES)
		return;
	candidate->asymmetric = asymmetric;
	if (encoding == INTEG_SIGNATURE_BASE64)
		ok = integ_base64_decode(text, len, candidate->bytes, &candidate->len);
	else
	{
		ok = integ_hex_decode(text, len, candidate->bytes);
		candidate->len = len / 2;
	}
	if (ok && candidate->len > 0)
		judgement->ncandidates++;
}

/* One of the elements of a header. */
static void
read_element(Judgement *judgement, const char *text, size_t len)
{
	const IntegSignatureRule *rule = judgement->rule;
	size_t prefix = rule->prefix == NULL ? 0 : strlen(rule->prefix);

	while (len > 0 && *text == ' ')
	{
		text++;
		len--;
	}
	if (rule->scheme == INTEG_SIGNATURE_STANDARD)
	{
		if (has_element(text, len, "v1", ','))
			add_candidate(judgement, text + 3, len - 3, INTEG_SIGNATURE_BASE64, false);
		else if (has_element(text, len, "v1a", ','))
			add_candidate(judgement, text + 4, len - 4, INTEG_SIGNATURE_BASE64, true);
		return;
	}
	if (rule->element != NULL)
	{
		if (!has_element(text, len, rule->element, '='))
			return;
		text += strlen(rule->element) + 1;
		len -= strlen(rule->element) + 1;
	}
	if (len < prefix || (prefix > 0 && memcmp(text, rule->prefix, prefix) != 0))
		return;
	add_candidate(judgement, text + prefix, len - prefix, rule->encoding,
				  rule->scheme == INTEG_SIGNATURE_ED25519 || rule->scheme == INTEG_SIGNATURE_RSA_SHA256);
}

/* Calls visit for each element of a header, or for the whole of it where it has no separator. */
static void
each_element(Judgement *judgement, const char *header, void (*visit)(Judgement *, const char *, size_t))
{
	const char *separator = judgement->rule->separator;

	while (header != NULL && *header != '\0')
	{
		const char *stop = separator == NULL ? NULL : strstr(header, separator);

		visit(judgement, header, stop == NULL ? strlen(header) : (size_t) (stop - header));
		header = stop == NULL ? NULL : stop + strlen(separator);
	}
}

/* Finds the signatures that the request has. */
static IntegSignatureVerdict
read_signatures(Judgement *judgement)
{
	const IntegSignatureRule *rule = judgement->rule;
	bool found = false;

	judgement->candidates = malloc(MAX_CANDIDATES * sizeof(Candidate));
	if (judgement->candidates == NULL)
		return REFUSE(judgement, OUT_OF_MEMORY, "There is no memory.");
	for (int i = -1; i < rule->nalternatives; i++)
	{
		const char *name = i < 0 ? rule->place.header : rule->alternatives[i];
		const char *header = name == NULL ? NULL : integ_inbound_header(judgement->request, name);

		found = found || (header != NULL && *header != '\0');
		each_element(judgement, header, read_element);
	}
	if (rule->place.query != NULL)
	{
		judgement->from_query = integ_inbound_query(judgement->request, rule->place.query);
		found = found || (judgement->from_query != NULL && *judgement->from_query != '\0');
		each_element(judgement, judgement->from_query, read_element);
	}
	if (!found)
		return REFUSE(judgement, MISSING, "The request has no %s \"%s\", or several.",
					  rule->place.header != NULL ? "header" : "query parameter",
					  rule->place.header != NULL ? rule->place.header : rule->place.query);
	if (judgement->ncandidates == 0)
		return REFUSE(judgement, MALFORMED, "What the request has for a signature is none.");
	return INTEG_SIGNATURE_VALID;
}

static void
read_timestamp_element(Judgement *judgement, const char *text, size_t len)
{
	const char *element = judgement->rule->timestamp.element;
	size_t name = strlen(element) + 1;

	if (!has_element(text, len, element, '=') || len - name >= sizeof(judgement->timestamp_room))
		return;
	memcpy(judgement->timestamp_room, text + name, len - name);
	judgement->timestamp_room[len - name] = '\0';
	judgement->timestamp = judgement->timestamp_room;
}

/* The time as the request says it, where that needs no look into the body. */
static IntegSignatureVerdict
read_timestamp(Judgement *judgement)
{
	const IntegInboundPlace *place = &judgement->rule->timestamp;

	if (place->header != NULL)
		judgement->timestamp = integ_inbound_header(judgement->request, place->header);
	if (place->element != NULL && judgement->rule->place.header != NULL)
		each_element(judgement, integ_inbound_header(judgement->request, judgement->rule->place.header),
					 read_timestamp_element);
	if (judgement->timestamp == NULL && place->path == NULL && (place->header != NULL || place->element != NULL))
		return REFUSE(judgement, MISSING, "The request does not say when it was sent.");
	return INTEG_SIGNATURE_VALID;
}

static IntegSignatureVerdict
check_time(Judgement *judgement)
{
	const IntegSignatureRule *rule = judgement->rule;
	const char *text = judgement->timestamp;
	int64_t sent, age;

	if (rule->tolerance_ms < 0)
		return INTEG_SIGNATURE_VALID;
	if (rule->timestamp.path != NULL)
	{
		IntegInboundValues values = judgement->request->values(judgement->request->arg, rule->timestamp.path);

		/* What was signed counts before what was not. */
		text = values.n > 0 ? values.texts[0] : text;
	}
	if (text == NULL)
		return REFUSE(judgement, MISSING, "The request does not say when it was sent.");
	if (!integ_signature_time(text, rule->unit, &sent))
		return REFUSE(judgement, MALFORMED, "What the request has for a time is none.");
	age = judgement->request->now_ms - sent;
	if (age > rule->tolerance_ms)
		return REFUSE(judgement, STALE, "The request was sent %lld s ago; %lld s are allowed.", (long long) age / 1000,
					  (long long) rule->tolerance_ms / 1000);
	if (age < -rule->tolerance_ms && !rule->allow_future)
		return REFUSE(judgement, STALE, "The request says it was sent %lld s ahead of our clock.",
					  (long long) -age / 1000);
	return INTEG_SIGNATURE_VALID;
}

static IntegSignatureVerdict
check_required(Judgement *judgement)
{
	for (int i = 0; i < judgement->rule->nrequired; i++)
	{
		const IntegHttpHeader *required = &judgement->rule->required[i];
		const char *value = integ_inbound_header(judgement->request, required->name);

		if (value == NULL || (*required->value != '\0' && strcmp(value, required->value) != 0))
			return REFUSE(judgement, MISSING, "The header \"%s\" is not what the service sends.", required->name);
	}
	return INTEG_SIGNATURE_VALID;
}

static bool
drop_prefix(const char *prefix, const char **text, size_t *len)
{
	size_t n = prefix == NULL ? 0 : strlen(prefix);

	if (n == 0 || *len < n || memcmp(*text, prefix, n) != 0)
		return false;
	*text += n;
	*len -= n;
	return true;
}

/* The bytes of a key, malloc'ed and to be wiped; NULL where it is not written as it should be. */
static uint8_t *
key_bytes(const IntegSignatureRule *rule, const IntegSignatureKey *key, size_t *len, bool *is_public)
{
	const char *text = key->text;
	size_t text_len = key->len;
	uint8_t *bytes = malloc(text_len + 4);
	bool ok = bytes != NULL;

	*is_public = rule->scheme == INTEG_SIGNATURE_ED25519 || rule->scheme == INTEG_SIGNATURE_RSA_SHA256;
	(void) drop_prefix(rule->key_prefix, &text, &text_len);
	if (rule->scheme == INTEG_SIGNATURE_STANDARD && !drop_prefix("whsec_", &text, &text_len))
		*is_public = drop_prefix("whpk_", &text, &text_len);
	if (ok && rule->key_encoding == INTEG_SIGNATURE_BASE64)
		ok = integ_base64_decode(text, text_len, bytes, len);
	else if (ok && rule->key_encoding == INTEG_SIGNATURE_HEX)
	{
		ok = integ_hex_decode(text, text_len, bytes);
		*len = text_len / 2;
	}
	else if (ok)
	{
		memcpy(bytes, text, text_len);
		*len = text_len;
	}
	if (ok && *len > 0)
		return bytes;
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, key->len + 4);
	free(bytes);
	return NULL;
}

static const EVP_MD *
digest_of(IntegSignatureScheme scheme)
{
	switch (scheme)
	{
		case INTEG_SIGNATURE_HMAC_SHA1:
			return EVP_sha1();
		case INTEG_SIGNATURE_HMAC_SHA512:
			return EVP_sha512();
		default:
			return EVP_sha256();
	}
}

/* A public key in PEM, or, of Ed25519, its 32 bytes. */
static EVP_PKEY *
public_key(const uint8_t *bytes, size_t len)
{
	EVP_PKEY *key;
	BIO *bio;

	if (len == ED25519_KEY)
		return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, len);
	bio = BIO_new_mem_buf(bytes, (int) len);
	key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return key;
}

/* A key of another kind than the scheme's judges nothing. */
static bool
verify_asymmetric(bool ed25519, const uint8_t *key, size_t key_len, const IntegMessage *message,
				  const Candidate *candidate)
{
	EVP_PKEY *pkey = public_key(key, key_len);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = pkey != NULL && context != NULL && EVP_PKEY_is_a(pkey, ed25519 ? "ED25519" : "RSA") == 1 &&
			  EVP_DigestVerifyInit(context, NULL, ed25519 ? NULL : EVP_sha256(), NULL, pkey) == 1 &&
			  EVP_DigestVerify(context, candidate->bytes, candidate->len, (const uint8_t *) message->data,
							   message->len) == 1;

	EVP_MD_CTX_free(context);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return ok;
}

/*
 * Whether the key made any of the signatures. A public key is never tried as a shared secret: whoever knows it could
 * sign.
 */
static bool
key_made_it(const Judgement *judgement, bool is_public, const uint8_t *key, size_t key_len,
			const IntegMessage *message)
{
	IntegSignatureScheme scheme = judgement->rule->scheme;
	uint8_t expected[EVP_MAX_MD_SIZE];
	unsigned int expected_len = 0;
	bool made = false;

	if (!is_public && scheme == INTEG_SIGNATURE_SHA256)
		(void) EVP_Digest(message->data, message->len, expected, &expected_len, EVP_sha256(), NULL);
	else if (!is_public)
		(void) HMAC(digest_of(scheme), key, (int) key_len, (const uint8_t *) message->data, message->len, expected,
					&expected_len);
	for (int i = 0; i < judgement->ncandidates; i++)
	{
		const Candidate *candidate = &judgement->candidates[i];

		if (candidate->asymmetric != is_public)
			continue;
		if (is_public)
			made |= verify_asymmetric(scheme != INTEG_SIGNATURE_RSA_SHA256, key, key_len, message, candidate);
		else
			made |= expected_len > 0 && equal(candidate->bytes, candidate->len, expected, expected_len);
	}
	OPENSSL_cleanse(expected, sizeof(expected));
	return made;
}

/* 1: the key signed it; 0: it did not; -1: there is no memory; -2: it is no key. */
static int
try_key(const Judgement *judgement, const IntegSignatureKey *key, const char *url)
{
	const IntegSignatureRule *rule = judgement->rule;
	IntegMessageParts parts = {judgement->timestamp, NULL, url, *key};
	IntegMessage message;
	size_t len = 0;
	bool is_public;
	uint8_t *bytes = key_bytes(rule, key, &len, &is_public);
	int made = -1;

	if (bytes == NULL)
		return -2;
	if (rule->id_header != NULL)
		parts.id = integ_inbound_header(judgement->request, rule->id_header);
	if (integ_message_expand(rule->template == NULL ? "{body}" : rule->template, judgement->request, &parts, &message))
	{
		made = key_made_it(judgement, is_public, bytes, len, &message);
		OPENSSL_cleanse(message.data, message.len);
		free(message.data);
	}
	OPENSSL_cleanse(bytes, len);
	free(bytes);
	return made;
}

/*
 * The URL with its default port where it has none, or without it; NULL where there is no other way to write it.
 * malloc'ed. A sender may have signed either. Source: Twilio, "Validating requests".
 */
static char *
other_url(const char *url)
{
	bool https = url != NULL && strncmp(url, "https://", 8) == 0;
	const char *port = https ? ":443" : ":80";
	const char *host, *end;
	size_t start;
	char *other;
	bool has_port;

	if (!https && (url == NULL || strncmp(url, "http://", 7) != 0))
		return NULL;
	host = url + (https ? 8 : 7);
	end = host + strcspn(host, "/?#");
	has_port = (size_t) (end - host) > strlen(port) && memcmp(end - strlen(port), port, strlen(port)) == 0;
	if (!has_port && memchr(host, ':', (size_t) (end - host)) != NULL)
		return NULL;
	other = malloc(strlen(url) + strlen(port) + 1);
	if (other == NULL)
		return NULL;
	start = (size_t) (end - url) - (has_port ? strlen(port) : 0);
	memcpy(other, url, start);
	strcpy(other + start, has_port ? "" : port);
	strcat(other + start, end);
	return other;
}

static IntegSignatureVerdict
check_signature(Judgement *judgement)
{
	const char *template = judgement->rule->template;
	char *other = template != NULL && strstr(template, "{url") != NULL ? other_url(judgement->request->url) : NULL;
	const char *urls[] = {judgement->request->url, other};
	int unusable = 0, best = 0;

	for (int i = 0; i < judgement->nkeys && best == 0; i++)
	{
		for (int j = 0; j < (other == NULL ? 1 : 2) && best == 0; j++)
			best = try_key(judgement, &judgement->keys[i], urls[j]);
		if (best == -2)
		{
			unusable++;
			best = 0;
		}
	}
	free(other);
	if (best == -1)
		return REFUSE(judgement, OUT_OF_MEMORY, "There is no memory.");
	if (unusable == judgement->nkeys)
		return REFUSE(judgement, NO_KEY, "The secret to judge by is empty, or not written as the scheme says.");
	return best == 1 ? INTEG_SIGNATURE_VALID
					 : REFUSE(judgement, WRONG, "The signature was not made with our secret over this request.");
}

/* A hash of the body that is part of the signed URL. Forms are signed field by field instead. */
static IntegSignatureVerdict
check_body_digest(Judgement *judgement)
{
	const IntegInbound *request = judgement->request;
	uint8_t digest[EVP_MAX_MD_SIZE], claimed[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	char *text;
	bool ok;

	if (judgement->rule->body_digest == NULL || integ_inbound_is_form(request) || request->body_len == 0)
		return INTEG_SIGNATURE_VALID;
	text = integ_inbound_query(request, judgement->rule->body_digest);
	ok = text != NULL && EVP_Digest(request->body, request->body_len, digest, &len, EVP_sha256(), NULL) == 1 &&
		 strlen(text) == 2 * (size_t) len && integ_hex_decode(text, strlen(text), claimed) &&
		 equal(claimed, len, digest, len);
	free(text);
	return ok ? INTEG_SIGNATURE_VALID
			  : REFUSE(judgement, WRONG, "The digest of the body in the URL is missing or of another body.");
}

/* Whether the text is one of the keys; all of them are compared. */
static bool
is_a_key(const Judgement *judgement, const char *text, size_t len)
{
	bool found = false;

	for (int i = 0; i < judgement->nkeys; i++)
		found |= judgement->keys[i].len > 0 && equal(judgement->keys[i].text, judgement->keys[i].len, text, len);
	return found;
}

/* The token that stands in the request; of several in the body every one counts. */
static IntegSignatureVerdict
check_token(Judgement *judgement)
{
	const IntegSignatureRule *rule = judgement->rule;
	const char *token = NULL;
	size_t prefix = rule->prefix == NULL ? 0 : strlen(rule->prefix);
	IntegInboundValues values = {0, NULL};

	if (rule->place.path != NULL)
		values = judgement->request->values(judgement->request->arg, rule->place.path);
	else if (rule->place.header != NULL)
		token = integ_inbound_header(judgement->request, rule->place.header);
	else if (rule->place.query != NULL)
		token = judgement->from_query = integ_inbound_query(judgement->request, rule->place.query);
	if (token != NULL)
		values = (IntegInboundValues){1, &token};
	if (values.n == 0)
		return REFUSE(judgement, MISSING, "The request does not have the token that proves its sender.");
	for (int i = 0; i < values.n; i++)
	{
		size_t len = strlen(values.texts[i]);

		if (len < prefix || (prefix > 0 && memcmp(values.texts[i], rule->prefix, prefix) != 0) ||
			!is_a_key(judgement, values.texts[i] + prefix, len - prefix))
			return REFUSE(judgement, WRONG, "The token of the request is not ours.");
	}
	return INTEG_SIGNATURE_VALID;
}

/* Source: RFC 7617, section 2. */
static IntegSignatureVerdict
check_basic(Judgement *judgement)
{
	const char *header = integ_inbound_header(judgement->request, "authorization");
	uint8_t given[1024];
	size_t len = 0;

	if (header == NULL)
		return REFUSE(judgement, MISSING, "The request has no header \"Authorization\", or several.");
	if (strncmp(header, "Basic ", 6) != 0 || strlen(header) > sizeof(given) ||
		!integ_base64_decode(header + 6, strlen(header + 6), given, &len))
		return REFUSE(judgement, MALFORMED, "The header \"Authorization\" is not of the scheme Basic.");
	return is_a_key(judgement, (const char *) given, len)
			   ? INTEG_SIGNATURE_VALID
			   : REFUSE(judgement, WRONG, "The user and password of the request are not ours.");
}

static IntegSignatureVerdict
judge(Judgement *judgement)
{
	IntegSignatureScheme scheme = judgement->rule->scheme;
	IntegSignatureVerdict verdict = check_required(judgement);
	bool has_key = false;

	if (verdict != INTEG_SIGNATURE_VALID || scheme == INTEG_SIGNATURE_NONE)
		return verdict;
	for (int i = 0; i < judgement->nkeys; i++)
		has_key = has_key || judgement->keys[i].len > 0;
	if (!has_key)
		return REFUSE(judgement, NO_KEY, "There is no secret to judge by.");
	if (scheme == INTEG_SIGNATURE_EQUAL)
		return check_token(judgement);
	if (scheme == INTEG_SIGNATURE_BASIC)
		return check_basic(judgement);
	verdict = read_signatures(judgement);
	if (verdict == INTEG_SIGNATURE_VALID)
		verdict = read_timestamp(judgement);
	if (verdict == INTEG_SIGNATURE_VALID && judgement->rule->id_header != NULL &&
		integ_inbound_header(judgement->request, judgement->rule->id_header) == NULL)
		verdict = REFUSE(judgement, MISSING, "The request has no header \"%s\".", judgement->rule->id_header);
	if (verdict == INTEG_SIGNATURE_VALID)
		verdict = check_signature(judgement);
	if (verdict == INTEG_SIGNATURE_VALID)
		verdict = check_body_digest(judgement);
	return verdict == INTEG_SIGNATURE_VALID ? check_time(judgement) : verdict;
}

void
integ_signature_standard(IntegSignatureRule *rule)
{
	rule->scheme = INTEG_SIGNATURE_STANDARD;
	rule->place.header = "webhook-signature";
	rule->separator = " ";
	rule->template = "{id}.{timestamp}.{body}";
	rule->key_encoding = INTEG_SIGNATURE_BASE64;
	rule->id_header = "webhook-id";
	rule->timestamp.header = "webhook-timestamp";
	rule->unit = INTEG_SENT_S;
	rule->tolerance_ms = 300000;
}

IntegSignatureVerdict
integ_signature_verify(const IntegSignatureRule *rule, const IntegInbound *request, const IntegSignatureKey *keys,
					   int nkeys, char *problem, size_t size)
{
	Judgement judgement = {
		.rule = rule, .request = request, .keys = keys, .nkeys = nkeys, .problem = problem, .size = size};
	IntegSignatureVerdict verdict = judge(&judgement);

	free(judgement.candidates);
	free(judgement.from_query);
	return verdict;
}

/*
 * What a failure means: libcurl's code becomes a kind and a sentence.
 *
 * The sentences name the origin only: a path may hold a person's id, a query a key. libcurl's
 * own text is used for TLS alone, where it speaks of certificates.
 */
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

#include "http/transfer_private.h"

/* CURLE_TOO_LARGE of libcurl 8.6; before, CURLE_OUT_OF_MEMORY served for it. */
#define CODE_TOO_LARGE 100

/* Codes whose meaning does not depend on how far the exchange came. %s is the origin. */
static const struct
{
	CURLcode code;
	IntegHttpFailure failure;
	const char *sentence;
} plain[] = {
	{CURLE_COULDNT_RESOLVE_HOST, INTEG_HTTP_DNS, "the host name of %s cannot be resolved"},
	{CURLE_COULDNT_RESOLVE_PROXY, INTEG_HTTP_DNS, "the host name of the proxy before %s cannot be resolved"},
	{CURLE_PROXY, INTEG_HTTP_CONNECT, "the proxy did not connect to %s"},
	{CURLE_INTERFACE_FAILED, INTEG_HTTP_CONNECT, "no local address to reach %s from"},
	{CURLE_GOT_NOTHING, INTEG_HTTP_CONNECT, "%s closed the connection without an answer"},
	{CURLE_SEND_ERROR, INTEG_HTTP_CONNECT, "the connection to %s broke while the request was sent"},
	{CURLE_PARTIAL_FILE, INTEG_HTTP_TRUNCATED, "the answer of %s ended before its announced length"},
	{CURLE_UNSUPPORTED_PROTOCOL, INTEG_HTTP_PROTOCOL, "%s does not speak HTTP/1 or HTTP/2"},
	{CURLE_WEIRD_SERVER_REPLY, INTEG_HTTP_PROTOCOL, "the answer of %s is not valid HTTP"},
	{CURLE_BAD_CONTENT_ENCODING, INTEG_HTTP_PROTOCOL, "the answer of %s cannot be decompressed"},
	{CURLE_HTTP2, INTEG_HTTP_PROTOCOL, "%s broke the rules of HTTP/2"},
	{CURLE_HTTP_RETURNED_ERROR, INTEG_HTTP_PROTOCOL, "the answer of %s is not valid HTTP"},
	{CURLE_RANGE_ERROR, INTEG_HTTP_PROTOCOL, "%s answered with another range than was asked for"},
	{CURLE_FILESIZE_EXCEEDED, INTEG_HTTP_TOO_LARGE, "the answer of %s is longer than allowed"},
	{CURLE_TOO_MANY_REDIRECTS, INTEG_HTTP_REDIRECT, "%s redirects too often"},
	{CURLE_OUT_OF_MEMORY, INTEG_HTTP_INTERNAL, "out of memory while asking %s"},
};

static bool
is_tls(CURLcode code)
{
	switch (code)
	{
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_ENGINE_NOTFOUND:
		case CURLE_SSL_ENGINE_SETFAILED:
		case CURLE_SSL_ENGINE_INITFAILED:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_USE_SSL_FAILED:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_SHUTDOWN_FAILED:
		case CURLE_SSL_CRL_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		case CURLE_SSL_INVALIDCERTSTATUS:
		case CURLE_SSL_CLIENTCERT:
			return true;
		default:
			return false;
	}
}

static void
set(IntegTransfer *transfer, IntegHttpFailure failure, const char *sentence)
{
	transfer->response.failure = failure;
	snprintf(transfer->response.error, sizeof(transfer->response.error), sentence, transfer->origin);
}

static void
explain_stop(IntegTransfer *transfer)
{
	char *error = transfer->response.error;
	size_t size = sizeof(transfer->response.error);

	switch (transfer->stop)
	{
		case INTEG_STOP_BODY:
			transfer->response.failure = INTEG_HTTP_TOO_LARGE;
			snprintf(error, size, "the answer of %s is longer than %zu bytes", transfer->origin,
					 transfer->request->max_response);
			break;
		case INTEG_STOP_HEADERS:
			transfer->response.failure = INTEG_HTTP_TOO_LARGE;
			snprintf(error, size, "the headers of the answer of %s are more than %d lines or %d bytes",
					 transfer->origin, INTEG_HTTP_MAX_HEADERS, INTEG_HTTP_MAX_HEADER_BYTES);
			break;
		case INTEG_STOP_REPEAT:
			set(transfer, INTEG_HTTP_CONNECT,
				"%s closed the connection without an answer; the request may have arrived, so it was not sent again");
			break;
		case INTEG_STOP_CA_FILE:
			transfer->response.failure = INTEG_HTTP_TLS;
			snprintf(error, size, "the file of certificate authorities, integ.ca_file, cannot be read");
			break;
		default:
			set(transfer, INTEG_HTTP_INTERNAL, "out of memory while reading the answer of %s");
			break;
	}
}

static void
explain_tls(IntegTransfer *transfer, CURLcode code)
{
	char *error = transfer->response.error;
	size_t size = sizeof(transfer->response.error);
	long verified = X509_V_OK;

	transfer->response.failure = INTEG_HTTP_TLS;
	curl_easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
	/* Names are compared after, or without, a verdict on the chain: then it is OK or still unspecified. */
	if (code == CURLE_PEER_FAILED_VERIFICATION && verified != X509_V_OK && verified != X509_V_ERR_UNSPECIFIED)
		snprintf(error, size, "the certificate of %s is not accepted: %s", transfer->origin,
				 X509_verify_cert_error_string(verified));
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		snprintf(error, size, "the certificate of %s is for another name", transfer->origin);
	else
		snprintf(error, size, "no TLS connection with %s: %.120s", transfer->origin,
				 transfer->curl_error[0] != '\0' ? transfer->curl_error : curl_easy_strerror(code));
	/* libcurl quotes what the other side sent. */
	for (char *c = error; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static void
explain_timeout(IntegTransfer *transfer)
{
	char *error = transfer->response.error;
	size_t size = sizeof(transfer->response.error);
	const char *missing;
	long long waited = (long long) (integ_transfer_now() - transfer->started) / 1000;

	transfer->response.failure = INTEG_HTTP_TIMEOUT;
	if (transfer->sent_in_hop)
		missing = transfer->status != 0 ? "no complete answer from" : "no answer from";
	else if (!transfer->opened)
		missing = "no address for";
	else
		missing = strncmp(transfer->origin, "https", 5) == 0 ? "no TLS connection with" : "no connection with";
	snprintf(error, size, "%s %s within %lld ms", missing, transfer->origin, waited);
}

/* No connection, or one that ended before the request was on it. */
static void
explain_connect(IntegTransfer *transfer)
{
	char *error = transfer->response.error;
	size_t size = sizeof(transfer->response.error);
	const char *through = integ_request_is_proxied(transfer->request) ? " through the proxy" : "";
	long os_error = 0, refused = 0;

	if (transfer->blocked && !transfer->opened)
	{
		transfer->response.failure = INTEG_HTTP_BLOCKED;
		snprintf(error, size, "%s leads to the address %s, which requests may not reach", transfer->origin,
				 transfer->blocked_address);
		return;
	}
	transfer->response.failure = INTEG_HTTP_CONNECT;
	curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &os_error);
	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &refused);
	if (refused >= 300)
		snprintf(error, size, "the proxy does not connect to %s: HTTP %ld", transfer->origin, refused);
	else if (os_error != 0)
		snprintf(error, size, "no connection to %s%s: %s", transfer->origin, through, strerror((int) os_error));
	else
		snprintf(error, size, "no connection to %s%s", transfer->origin, through);
}

/*
 * Fills failure and error of the transfer's response for a code that is not CURLE_OK.
 */
void
integ_transfer_explain(IntegTransfer *transfer, CURLcode code)
{
	if (transfer->stop != INTEG_STOP_NONE)
	{
		explain_stop(transfer);
		return;
	}
	if (code == CURLE_OPERATION_TIMEDOUT)
	{
		explain_timeout(transfer);
		return;
	}
	if (is_tls(code))
	{
		explain_tls(transfer, code);
		return;
	}
	if (code == CURLE_COULDNT_CONNECT || (code == CURLE_RECV_ERROR && !transfer->sent_in_hop))
	{
		explain_connect(transfer);
		return;
	}
	if (code == CURLE_RECV_ERROR || code == CURLE_HTTP2_STREAM)
	{
		if (transfer->status != 0)
			set(transfer, INTEG_HTTP_TRUNCATED, "the answer of %s broke off");
		else
			set(transfer, INTEG_HTTP_CONNECT, "the connection to %s broke before an answer");
		return;
	}
	/* A header line, or trailers, beyond libcurl's own limit; older versions have no code of their own for it. */
	if (transfer->sent_in_hop &&
		(code == CODE_TOO_LARGE || (code == CURLE_OUT_OF_MEMORY && !transfer->headers_complete)))
	{
		transfer->stop = INTEG_STOP_HEADERS;
		explain_stop(transfer);
		return;
	}
	/* Newer versions of libcurl do not say that it was the proxy's. */
	if (code == CURLE_COULDNT_RESOLVE_HOST && integ_request_is_proxied(transfer->request))
		code = CURLE_COULDNT_RESOLVE_PROXY;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (plain[i].code == code)
		{
			set(transfer, plain[i].failure, plain[i].sentence);
			return;
		}
	transfer->response.failure = INTEG_HTTP_INTERNAL;
	snprintf(transfer->response.error, sizeof(transfer->response.error), "libcurl failed while asking %s: %s (%d)",
			 transfer->origin, curl_easy_strerror(code), (int) code);
}

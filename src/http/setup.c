/*
 * What libcurl is told: once for each easy handle what never changes, then for each
 * request what does.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "http/transfer_private.h"

#define USER_AGENT "integ"
#define KEEPALIVE_SECONDS 60
#define READ_IDLE_SECONDS 60
#define CA_CACHE_SECONDS 86400L

#define SET(option, value)                                          \
	do                                                              \
	{                                                               \
		CURLcode code_ = curl_easy_setopt(easy, (option), (value)); \
		if (code_ != CURLE_OK)                                      \
			return code_;                                           \
	} while (0)

/* CURLOPT_RESOLVER_START_FUNCTION: the thread that resolves a name may be started next. */
static int
before_resolving(void *resolver, void *reserved, void *transfer_pointer)
{
	IntegTransfer *transfer = transfer_pointer;

	(void) resolver;
	(void) reserved;
	integ_pool_block_signals(transfer->pool);
	return 0;
}

/* CURLOPT_OPENSOCKETFUNCTION: the resolved address, as it will be connected to. */
static curl_socket_t
open_socket(void *transfer_pointer, curlsocktype purpose, struct curl_sockaddr *address)
{
	IntegTransfer *transfer = transfer_pointer;
	const IntegHttpRequest *request = transfer->request;
	int descriptor;

	(void) purpose;
	/* The address of a superuser's proxy is the superuser's choice. */
	if ((address->family != AF_INET && address->family != AF_INET6) ||
		(!integ_request_is_proxied(request) && !integ_address_allowed(&address->addr, request->allowed_addresses)))
	{
		transfer->blocked = true;
		integ_address_text(&address->addr, transfer->blocked_address, sizeof(transfer->blocked_address));
		return CURL_SOCKET_BAD;
	}
	descriptor = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (descriptor < 0)
		return CURL_SOCKET_BAD;
	if (integ_pool_add_socket(transfer->pool, descriptor) != 0)
	{
		close(descriptor);
		return CURL_SOCKET_BAD;
	}
	transfer->opened = true;
	return descriptor;
}

/*
 * Whether a kept connection may carry another request. Bytes that nobody asked for would be
 * taken for its answer (libcurl 7 does not look); an end or an error means that the
 * request would be lost.
 */
static bool
is_clean(IntegTransferPool *pool, int descriptor)
{
	const IntegSocket *entry;
	char byte;

	if (descriptor < 0)
		return true;
	entry = &pool->sockets[descriptor];
	if (!entry->answered || entry->multiplexed)
		return true;
	return recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

/*
 * CURLOPT_PREREQFUNCTION: the request is about to be sent. libcurl sends once more when a kept
 * connection dies without an answer; but the service may have acted on the first copy, so only
 * requests that change nothing may be sent again.
 */
static int
before_sending(void *transfer_pointer, char *address, char *local_address, int port, int local_port)
{
	IntegTransfer *transfer = transfer_pointer;

	(void) address;
	(void) local_address;
	(void) port;
	if (transfer->sent_in_hop)
		transfer->worn = true;
	if (transfer->sent_in_hop && !integ_http_method_is_safe(transfer->request->method))
	{
		transfer->stop = INTEG_STOP_REPEAT;
		return CURL_PREREQFUNC_ABORT;
	}
	transfer->descriptor = integ_pool_find_socket(transfer->pool, local_port);
	if (!is_clean(transfer->pool, transfer->descriptor))
	{
		transfer->stop = INTEG_STOP_UNCLEAN;
		return CURL_PREREQFUNC_ABORT;
	}
	transfer->sent = transfer->sent_in_hop = true;
	return CURL_PREREQFUNC_OK;
}

/* CURLOPT_SSL_CTX_FUNCTION: what libcurl has no option for. */
static CURLcode
prepare_tls(CURL *easy, void *ssl_ctx, void *transfer_pointer)
{
	IntegTransfer *transfer = transfer_pointer;
	const char *ca_file = transfer->request->ca_file;

	(void) easy;
	/* SSLKEYLOGFILE in the server's environment would write the keys of every session to a file. */
	SSL_CTX_set_keylog_callback(ssl_ctx, NULL);
	if (ca_file != NULL && ca_file[0] != '\0' && SSL_CTX_load_verify_locations(ssl_ctx, ca_file, NULL) != 1)
	{
		transfer->stop = INTEG_STOP_CA_FILE;
		return CURLE_SSL_CACERT_BADFILE;
	}
	return CURLE_OK;
}

/* Whether a directory has certificates under their hashes, as OpenSSL looks them up. */
static bool
is_hashed_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	bool hashed = false;

	if (directory == NULL)
		return false;
	while (!hashed && (entry = readdir(directory)) != NULL)
	{
		size_t len = strspn(entry->d_name, "0123456789abcdef");

		hashed = len == 8 && entry->d_name[8] == '.' && isdigit((unsigned char) entry->d_name[9]);
	}
	closedir(directory);
	return hashed;
}

/*
 * The system's authorities: looked up one by one where libcurl was built with a hashed
 * directory, since reading the bundle takes 27 ms of each new TLS connection; else the bundle, which
 * libcurl then keeps for the multi handle.
 */
static CURLcode
set_authorities(CURL *easy)
{
	static const char *directory = NULL;
	static bool looked = false;
	const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);

	if (!looked)
	{
		if (version->capath != NULL && is_hashed_directory(version->capath))
			directory = version->capath;
		looked = true;
	}
	if (directory == NULL && version->cainfo == NULL)
		return CURLE_OK;
	SET(CURLOPT_CAPATH, directory);
	SET(CURLOPT_CAINFO, directory != NULL ? NULL : version->cainfo);
	SET(CURLOPT_PROXY_CAPATH, directory);
	SET(CURLOPT_PROXY_CAINFO, directory != NULL ? NULL : version->cainfo);
	return CURLE_OK;
}

static CURLcode
set_policy(CURL *easy)
{
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, (long) KEEPALIVE_SECONDS);
	SET(CURLOPT_TCP_KEEPINTVL, (long) KEEPALIVE_SECONDS);
	SET(CURLOPT_ACCEPT_ENCODING, "");
	SET(CURLOPT_USERAGENT, USER_AGENT);
	return set_authorities(easy);
}

static CURLcode
set_callbacks(CURL *easy, IntegTransfer *transfer)
{
	SET(CURLOPT_PRIVATE, transfer);
	SET(CURLOPT_SHARE, transfer->pool->share);
	SET(CURLOPT_ERRORBUFFER, transfer->curl_error);
	SET(CURLOPT_HEADERFUNCTION, integ_receive_header);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_WRITEFUNCTION, integ_receive_body);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_RESOLVER_START_FUNCTION, before_resolving);
	SET(CURLOPT_RESOLVER_START_DATA, transfer);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, transfer);
	/* A kept connection outlives the transfer that opened it, but not the pool. */
	SET(CURLOPT_CLOSESOCKETFUNCTION, integ_pool_close_socket);
	SET(CURLOPT_CLOSESOCKETDATA, transfer->pool);
	SET(CURLOPT_PREREQFUNCTION, before_sending);
	SET(CURLOPT_PREREQDATA, transfer);
	SET(CURLOPT_SSL_CTX_FUNCTION, prepare_tls);
	SET(CURLOPT_SSL_CTX_DATA, transfer);
	return CURLE_OK;
}

/* An easy handle with all that never changes, NULL where libcurl refuses any of it. */
CURL *
integ_easy_create(IntegTransfer *transfer)
{
	CURL *easy = curl_easy_init();

	if (easy != NULL && set_policy(easy) == CURLE_OK && set_callbacks(easy, transfer) == CURLE_OK)
		return easy;
	curl_easy_cleanup(easy);
	return NULL;
}

static bool
has_body(const IntegHttpRequest *request)
{
	static const char *const expected[] = {"POST", "PUT", "PATCH"};

	/* These say "Content-Length: 0" when there is nothing (RFC 9110, section 8.6). */
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		if (strcmp(request->method, expected[i]) == 0)
			return true;
	return request->body != NULL;
}

/*
 * The header lines as libcurl wants them, in one block: nodes first, then their text, so
 * that one wipe gets all.
 */
bool
integ_easy_build_lines(IntegTransfer *transfer)
{
	const IntegHttpRequest *request = transfer->request;
	bool typed = !has_body(request);
	int extra = has_body(request) ? 2 : 0;
	size_t size = (request->nheaders + extra) * sizeof(struct curl_slist);
	struct curl_slist *nodes;
	char *text;
	int n = 0;

	if (request->nheaders + extra == 0)
		return true;
	for (int i = 0; i < request->nheaders; i++)
		size += strlen(request->headers[i].name) + strlen(request->headers[i].value) + 3;
	nodes = transfer->lines = malloc(size);
	if (nodes == NULL)
		return false;
	transfer->lines_size = size;
	text = (char *) (nodes + request->nheaders + extra);
	for (int i = 0; i < request->nheaders; i++)
	{
		const IntegHttpHeader *header = &request->headers[i];

		nodes[n++].data = text;
		text = stpcpy(text, header->name);
		/* "Name:" would remove a header of libcurl's; "Name;" sends an empty one. */
		text = header->value[0] == '\0' ? stpcpy(text, ";") : stpcpy(stpcpy(text, ": "), header->value);
		text++;
		typed = typed || strcasecmp(header->name, "Content-Type") == 0;
	}
	if (extra > 0)
		nodes[n++].data = "Expect:";
	if (!typed)
		nodes[n++].data = "Content-Type:";
	for (int i = 0; i < n; i++)
		nodes[i].next = i + 1 < n ? &nodes[i + 1] : NULL;
	return true;
}

static CURLcode
set_method(CURL *easy, const IntegHttpRequest *request)
{
	SET(CURLOPT_NOBODY, 0L);
	if (has_body(request))
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) (request->body != NULL ? request->body_len : 0));
		SET(CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
	}
	else
		SET(CURLOPT_HTTPGET, 1L);
	if (strcmp(request->method, "HEAD") == 0 && !has_body(request))
	{
		SET(CURLOPT_CUSTOMREQUEST, NULL);
		SET(CURLOPT_NOBODY, 1L);
	}
	else
		SET(CURLOPT_CUSTOMREQUEST, strcmp(request->method, has_body(request) ? "POST" : "GET") == 0 ? NULL : request->method);
	return CURLE_OK;
}

/* What changes with each hop. */
CURLcode
integ_easy_prepare(IntegTransfer *transfer)
{
	const IntegHttpRequest *request = transfer->request;
	int64_t left = request->timeout_ms - (integ_transfer_now() - transfer->started) / 1000;
	CURL *easy = transfer->easy;

	transfer->curl_error[0] = '\0';
	SET(CURLOPT_URL, transfer->url != NULL ? transfer->url : request->url);
	if (transfer->redirects == 0)
	{
		CURLcode code = set_method(easy, request);

		if (code != CURLE_OK)
			return code;
		SET(CURLOPT_HTTPHEADER, (struct curl_slist *) transfer->lines);
		SET(CURLOPT_PROXY, request->proxy != NULL ? request->proxy : "");
		SET(CURLOPT_CONNECTTIMEOUT_MS, (long) request->connect_timeout_ms);
		SET(CURLOPT_MAXAGE_CONN, (long) (integ_http_method_is_safe(request->method) ? READ_IDLE_SECONDS
																					: INTEG_HTTP_WRITE_IDLE));
		SET(CURLOPT_FORBID_REUSE, (long) transfer->separate);
		SET(CURLOPT_SSL_SESSIONID_CACHE, (long) !transfer->separate);
		SET(CURLOPT_CA_CACHE_TIMEOUT, transfer->separate ? 0L : CA_CACHE_SECONDS);
	}
	SET(CURLOPT_FRESH_CONNECT, (long) (transfer->separate || transfer->fresh));
	/* A stream lasts as long as its reader takes. */
	SET(CURLOPT_TIMEOUT_MS, request->window > 0 ? 0L : (long) (left > 0 ? left : 1));
	return CURLE_OK;
}

/* The handle keeps no pointer into the request, and no secret of it stays in our memory. */
void
integ_easy_forget(IntegTransfer *transfer)
{
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, NULL);
	if (transfer->lines != NULL)
		OPENSSL_cleanse(transfer->lines, transfer->lines_size);
	free(transfer->lines);
	transfer->lines = NULL;
	transfer->lines_size = 0;
	/* A URL may carry a key in its query. */
	if (transfer->url != NULL)
		OPENSSL_cleanse(transfer->url, strlen(transfer->url));
	free(transfer->url);
	transfer->url = NULL;
}

/* sources: src/http/transfer.c src/http/pool.c src/http/setup.c src/http/receive.c src/http/failure.c src/http/response.c src/http/address.c src/http/url.c src/http/body.c src/http/media_type.c */
/* libs: -lcurl -lcrypto -lssl -lz -lpthread */
/*
 * Exchanges against a server that lies, and names that resolve to what the test wants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <zlib.h>

#include "http/body.h"
#include "http_exchange.h"
#include "http_server.h"

/*
 * Names: takes the place of the C library's resolver in this process, libcurl's thread included.
 */
static const char *_Atomic resolved = "127.0.0.1"; /* numeric address, or a list of two separated by a space */
static atomic_int resolver_delay_ms;
static atomic_int resolver_ends;
static atomic_int resolver_signals_open;

int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	char copy[128];
	char *rest = NULL;
	struct addrinfo **tail = result;
	sigset_t mask;

	(void) host;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (!sigismember(&mask, SIGUSR1) || !sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGALRM))
		atomic_store(&resolver_signals_open, 1);
	usleep((useconds_t) atomic_load(&resolver_delay_ms) * 1000);
	atomic_fetch_add(&resolver_ends, 1);
	*result = NULL;
	snprintf(copy, sizeof(copy), "%s", resolved);
	for (char *item = strtok_r(copy, " ", &rest); item != NULL; item = strtok_r(NULL, " ", &rest))
	{
		struct addrinfo *info = calloc(1, sizeof(struct addrinfo) + sizeof(struct sockaddr_in));
		struct sockaddr_in *address = (struct sockaddr_in *) (info + 1);

		address->sin_family = AF_INET;
		address->sin_port = htons((uint16_t) atoi(service));
		inet_pton(AF_INET, item, &address->sin_addr);
		*info = (struct addrinfo){.ai_family = AF_INET, .ai_socktype = hints->ai_socktype,
								  .ai_addrlen = sizeof(*address), .ai_addr = (struct sockaddr *) address};
		*tail = info;
		tail = &info->ai_next;
	}
	return *result != NULL ? 0 : EAI_NONAME;
}

void
freeaddrinfo(struct addrinfo *info)
{
	while (info != NULL)
	{
		struct addrinfo *next = info->ai_next;

		free(info);
		info = next;
	}
}

static int
reset(void **state)
{
	resolved = "127.0.0.1";
	atomic_store(&resolver_delay_ms, 0);
	return tear_down(state);
}

static const char *
url_of(const HttpServer *server, const char *path)
{
	static char urls[4][512];
	static int next = 0;
	char *url = urls[next++ % 4];

	snprintf(url, sizeof(urls[0]), "%s%s", server->base, path);
	return url;
}

/* Scripts */

/* Answers every request of a connection with the argument. */
static void
repeat(HttpServer *server, int client, int connection)
{
	(void) connection;
	while (http_server_read(server, client))
		http_server_say(client, server->argument);
}

/* Answers one request with the argument, and closes. */
static void
once(HttpServer *server, int client, int connection)
{
	(void) connection;
	if (http_server_read(server, client))
		http_server_say(client, server->argument);
}

/* As once, but what was said ends with a reset. */
static void
once_and_reset(HttpServer *server, int client, int connection)
{
	once(server, client, connection);
	usleep(20000);
	http_server_reset(client);
}

/* Says the argument, then its last line for ever. */
static void
endless(HttpServer *server, int client, int connection)
{
	const char *text = server->argument, *last = strrchr(text, '\n');
	char piece[16384];

	(void) connection;
	last = last[1] == '\0' ? text + strlen(text) - 2 : last + 1;
	if (*last == '\r')
		while (last > text && last[-1] != '\n')
			last--;
	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = last[i % strlen(last)];
	if (!http_server_read(server, client) || !http_server_say(client, text))
		return;
	while (http_server_write(client, piece, sizeof(piece) / strlen(last) * strlen(last)))
		;
}

static void
silent(HttpServer *server, int client, int connection)
{
	(void) connection;
	while (http_server_read(server, client))
		;
}

/* Tests */

static void
answers_are_read(void **state)
{
	IntegHttpHeader headers[] = {{"Authorization", "Bearer secret"}, {"X-Empty", ""}, {"Accept", "application/json"}};
	HttpServer server;
	IntegHttpRequest request;

	(void) state;
	http_server_start(&server, repeat,
					  "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-One:  a \r\nx-TWO: b\r\n  folded\r\nX-Two: c\r\n"
					  "X-Latin: caf\xE9\r\nSet-Cookie: a=b\r\nAlt-Svc: h2=\":1\"\r\n\r\n{}");
	request = get(url_of(&server, "/a?key=secret"));
	request.headers = headers;
	request.nheaders = 3;
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_int_equal(response.status, 201);
	assert_int_equal(response.body_len, 2);
	assert_string_equal(response.body, "{}");
	assert_string_equal(integ_http_response_header(&response, "x-one"), "a");
	assert_string_equal(integ_http_response_header(&response, "x-two"), "b folded");
	assert_string_equal(integ_http_response_header(&response, "x-latin"), "caf?");
	assert_null(integ_http_response_header(&response, "x-three"));
	assert_int_equal(response.nheaders, 7);
	assert_false(response.reused_connection);
	assert_true(response.duration_us > 0);
	assert_non_null(strstr(server.last, "GET /a?key=secret HTTP/1.1\r\n"));
	assert_non_null(strstr(server.last, "\r\nAuthorization: Bearer secret\r\n"));
	assert_non_null(strstr(server.last, "\r\nX-Empty:\r\n"));
	assert_non_null(strstr(server.last, "\r\nAccept: application/json\r\n"));
	assert_null(strstr(server.last, "*/*"));
	assert_non_null(strstr(server.last, "\r\nUser-Agent: integ\r\n"));
	assert_non_null(strstr(server.last, "\r\nAccept-Encoding: "));
	/* Again: the connection is kept, the cookie is not, and no header of the first request lingers. */
	request = get(url_of(&server, "/b"));
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_true(response.reused_connection);
	assert_null(strcasestr(server.last, "cookie"));
	assert_null(strstr(server.last, "secret"));
	assert_int_equal(server.connections, 1);
	http_server_stop(&server);
}

static void
methods_and_bodies(void **state)
{
	static const char big[200000];
	static const struct
	{
		const char *method;
		const char *body;
		const char *line, *length;
	} cases[] = {
		{"GET", NULL, "GET /m HTTP/1.1", NULL},		 {"HEAD", NULL, "HEAD /m HTTP/1.1", NULL},
		{"POST", "{\"a\":1}", "POST /m HTTP/1.1", "7"}, {"POST", NULL, "POST /m HTTP/1.1", "0"},
		{"PUT", "x", "PUT /m HTTP/1.1", "1"},			 {"PUT", NULL, "PUT /m HTTP/1.1", "0"},
		{"PATCH", "xy", "PATCH /m HTTP/1.1", "2"},		 {"DELETE", NULL, "DELETE /m HTTP/1.1", NULL},
		{"DELETE", "xyz", "DELETE /m HTTP/1.1", "3"},	 {"OPTIONS", NULL, "OPTIONS /m HTTP/1.1", NULL},
		{"GET", "query", "GET /m HTTP/1.1", "5"},		 {"PROPFIND", NULL, "PROPFIND /m HTTP/1.1", NULL},
		{"HEAD", NULL, "HEAD /m HTTP/1.1", NULL},		 {"GET", NULL, "GET /m HTTP/1.1", NULL},
	};
	HttpServer server;
	IntegHttpRequest request;

	(void) state;
	http_server_start(&server, repeat, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char length[64];

		request = get(url_of(&server, "/m"));
		request.method = cases[i].method;
		request.body = cases[i].body;
		request.body_len = cases[i].body != NULL ? strlen(cases[i].body) : 0;
		perform(&request);
		expect(INTEG_HTTP_OK, true, "");
		assert_string_equal(response.body, "");
		assert_memory_equal(server.last, cases[i].line, strlen(cases[i].line));
		snprintf(length, sizeof(length), "\r\nContent-Length: %s\r\n", cases[i].length != NULL ? cases[i].length : "");
		if ((strstr(server.last, length) != NULL) != (cases[i].length != NULL))
			fail_msg("%s: %s", cases[i].line, server.last);
		assert_null(strstr(server.last, "Content-Type"));
		if (cases[i].body != NULL)
			assert_string_equal(strstr(server.last, "\r\n\r\n") + 4, cases[i].body);
	}
	/* All on one connection, whatever the order of methods. */
	assert_int_equal(server.connections, 1);
	request.method = "POST";
	request.headers = &(IntegHttpHeader){"content-TYPE", "text/csv"};
	request.nheaders = 1;
	request.body = "a,b";
	request.body_len = 3;
	perform(&request);
	assert_non_null(strstr(server.last, "\r\ncontent-TYPE: text/csv\r\n"));
	assert_null(strstr(server.last, "urlencoded"));
	/* A long body does not wait for "100 Continue". (The server reads only what fits, so it is told to stop.) */
	request.body = big;
	request.body_len = 60000;
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_null(strstr(server.last, "Expect"));
	http_server_stop(&server);
}

static void
a_head_has_no_body(void **state)
{
	HttpServer server;
	IntegHttpRequest request;

	(void) state;
	http_server_start(&server, repeat, "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n");
	request = get(url_of(&server, "/"));
	request.method = "HEAD";
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_int_equal(response.body_len, 0);
	perform(&request);
	assert_true(response.reused_connection);
	http_server_stop(&server);
}

static void
bad_requests_are_not_sent(void **state)
{
	static const struct
	{
		const char *method, *name, *value, *sentence;
	} cases[] = {
		{"GET", "X\r\nHost", "v", "name of header 1"},
		{"GET", "", "v", "name of header 1"},
		{"GET", "X:", "v", "name of header 1"},
		{"GET", "X Y", "v", "name of header 1"},
		{"GET", "X", "secret\r\nHost: evil", "value of the header \"X\""},
		{"GET", "X", "secret\n", "value of the header \"X\""},
		{"GET", "X", "\x01secret", "value of the header \"X\""},
		{"GET", "X", "secret\x7f", "value of the header \"X\""},
		{"GET", "hOSt", "evil", "\"hOSt\" is set by HTTP itself"},
		{"POST", "Content-Length", "0", "set by HTTP itself"},
		{"POST", "Transfer-Encoding", "chunked", "set by HTTP itself"},
		{"GET", "Connection", "close", "set by HTTP itself"},
		{"GET", "Proxy-Authorization", "secret", "set by HTTP itself"},
		{"GET / HTTP/1.1\r\nX:", "X", "v", "method is not a word"},
		{"", "X", "v", "method is not a word"},
		{"CONNECT", "X", "v", "CONNECT"},
	};
	HttpServer server;
	IntegHttpRequest request;
	char problem[128];

	(void) state;
	http_server_start(&server, repeat, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		IntegHttpHeader header = {cases[i].name, cases[i].value};

		request = get(url_of(&server, "/"));
		request.method = cases[i].method;
		request.headers = &header;
		request.nheaders = 1;
		assert_false(integ_http_request_check(&request, problem, sizeof(problem)));
		assert_non_null(strstr(problem, cases[i].sentence));
		perform(&request);
		expect(INTEG_HTTP_INTERNAL, false, cases[i].sentence);
	}
	request = get(url_of(&server, "/"));
	request.method = "HEAD";
	request.body = "x";
	request.body_len = 1;
	perform(&request);
	expect(INTEG_HTTP_INTERNAL, false, "no body");
	request = get("http://user:secret@127.0.0.1/");
	perform(&request);
	expect(INTEG_HTTP_INTERNAL, false, "credentials");
	request = get("file:///etc/passwd");
	perform(&request);
	expect(INTEG_HTTP_INTERNAL, false, "http");
	assert_int_equal(server.connections, 0);
	/* A tab in a value, and bytes beyond ASCII, are fine. */
	request = get(url_of(&server, "/"));
	request.headers = &(IntegHttpHeader){"X", "a\tb\xC3\xA9"};
	request.nheaders = 1;
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_non_null(strstr(server.last, "X: a\tb\xC3\xA9\r\n"));
	http_server_stop(&server);
}

/* Answers with len bytes of 'a', compressed as gzip. */
typedef struct Gzip
{
	char head[256];
	unsigned char *data;
	size_t len;
} Gzip;

static Gzip
compress_text(size_t len, const char *encoding)
{
	Gzip gzip = {.data = malloc(len / 500 + 1024)};
	unsigned char *text = malloc(len);
	z_stream stream = {.next_in = text, .avail_in = (uInt) len, .next_out = gzip.data, .avail_out = (uInt) (len / 500 + 1024)};

	memset(text, 'a', len);
	deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	gzip.len = stream.total_out;
	deflateEnd(&stream);
	free(text);
	snprintf(gzip.head, sizeof(gzip.head), "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %zu\r\n\r\n", encoding,
			 gzip.len);
	return gzip;
}

static void
compressed(HttpServer *server, int client, int connection)
{
	const Gzip *gzip = server->argument;

	(void) connection;
	while (http_server_read(server, client))
	{
		http_server_say(client, gzip->head);
		http_server_write(client, gzip->data, gzip->len);
	}
}

static void
compressed_answers(void **state)
{
	static const struct
	{
		size_t len;
		const char *encoding;
		IntegHttpFailure failure;
		const char *sentence;
	} cases[] = {
		{1000, "gzip", INTEG_HTTP_OK, ""},
		{1 << 20, "gzip", INTEG_HTTP_OK, ""},
		{(1 << 20) + 1, "gzip", INTEG_HTTP_TOO_LARGE, "longer than 1048576 bytes"},
		/* A bomb: 100 MB in 100 kB. */
		{100 << 20, "gzip", INTEG_HTTP_TOO_LARGE, "longer than 1048576 bytes"},
		{1000, "br", INTEG_HTTP_PROTOCOL, "decompress"},
		{1000, "nonsense", INTEG_HTTP_PROTOCOL, "decompress"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Gzip gzip = compress_text(cases[i].len, cases[i].encoding);
		HttpServer server;
		IntegHttpRequest request;

		http_server_start(&server, compressed, &gzip);
		request = get(url_of(&server, "/"));
		perform(&request);
		expect(cases[i].failure, true, cases[i].sentence);
		if (cases[i].failure == INTEG_HTTP_OK)
			assert_int_equal(response.body_len, cases[i].len);
		http_server_stop(&server);
		free(gzip.data);
	}
}

/* One answer, one outcome. */
typedef struct Lie
{
	HttpScript script;
	const char *answer;
	IntegHttpFailure failure;
	const char *sentence;
	const char *body; /* of an outcome that is OK */
} Lie;

static void
play(const Lie *lies, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		HttpServer server;
		IntegHttpRequest request;

		http_server_start(&server, lies[i].script, lies[i].answer);
		request = get(url_of(&server, "/path?key=secret"));
		perform(&request);
		if (response.failure != lies[i].failure)
			fail_msg("case %zu: %d (%s)", i, response.failure, response.error);
		expect(lies[i].failure, true, lies[i].sentence);
		if (lies[i].body != NULL)
			assert_string_equal(response.body, lies[i].body);
		http_server_stop(&server);
	}
}

static void
answers_that_lie(void **state)
{
	static const Lie lies[] = {
		{once, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", INTEG_HTTP_TRUNCATED, "before its announced length", NULL},
		{once, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", INTEG_HTTP_TRUNCATED, "", NULL},
		{once, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", INTEG_HTTP_TRUNCATED, "", NULL},
		{once_and_reset, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", INTEG_HTTP_TRUNCATED, "broke off", NULL},
		{once_and_reset, "", INTEG_HTTP_CONNECT, "", NULL},
		{once, "", INTEG_HTTP_CONNECT, "without an answer", NULL},
		{once, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay, and much more than announced", INTEG_HTTP_OK, "", "ok"},
		{once, "HTTP/1.1 200 OK\r\n\r\nuntil the end", INTEG_HTTP_OK, "", "until the end"},
		{once, "HTTP/1.0 200 OK\r\n\r\nold", INTEG_HTTP_OK, "", "old"},
		{once, "HTTP/1.1 204 No Content\r\n\r\n", INTEG_HTTP_OK, "", ""},
		{once, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99999999\r\n\r\n", INTEG_HTTP_OK, "", ""},
		{once, "HTTP/1.1 100 Continue\r\nX: interim\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		 INTEG_HTTP_OK, "", "ok"},
		{once, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n0\r\nHTTP/1.1 500: x\r\nX-Late: y\r\n\r\n",
		 INTEG_HTTP_OK, "", "ok"},
		{once, "hello, this is not HTTP\r\n\r\n", INTEG_HTTP_PROTOCOL, "", NULL},
		{once, "<html>", INTEG_HTTP_PROTOCOL, "", NULL},
		{once, "HTTP/1.1 banana\r\n\r\n", INTEG_HTTP_PROTOCOL, "", NULL},
		{once, "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", INTEG_HTTP_PROTOCOL, "not valid HTTP", NULL},
		{once, "SSH-2.0-OpenSSH_9.2\r\n", INTEG_HTTP_PROTOCOL, "", NULL},
		{once, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", INTEG_HTTP_TRUNCATED, "", NULL},
		{once, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", INTEG_HTTP_PROTOCOL, "not valid HTTP", NULL},
		{once, "HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\nx", INTEG_HTTP_TOO_LARGE, "longer than 1048576 bytes", NULL},
		{once, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx", INTEG_HTTP_TOO_LARGE, "", NULL},
		{endless, "HTTP/1.1 200 OK\r\n\r\nx", INTEG_HTTP_TOO_LARGE, "longer than 1048576 bytes", NULL},
		{endless, "HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2000000000\r\n\r\nx", INTEG_HTTP_TOO_LARGE, "longer", NULL},
		{endless, "HTTP/1.1 200 OK\r\nX: y\r\n", INTEG_HTTP_TOO_LARGE, "more than 256 lines", NULL},
		{endless, "HTTP/1.1 200 OK\r\nX: ", INTEG_HTTP_TOO_LARGE, "131072 bytes", NULL},
		{endless, "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\nx", INTEG_HTTP_TOO_LARGE, "longer", NULL},
	};

	(void) state;
	play(lies, sizeof(lies) / sizeof(lies[0]));
}

static void
endless_interim(HttpServer *server, int client, int connection)
{
	(void) connection;
	if (http_server_read(server, client))
		while (http_server_say(client, "HTTP/1.1 100 Continue\r\n\r\n"))
			;
}

static void
endless_trailers(HttpServer *server, int client, int connection)
{
	(void) connection;
	if (http_server_read(server, client))
	{
		http_server_say(client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n");
		while (http_server_say(client, "X: y\r\n"))
			;
	}
}

static void
answers_that_never_begin_or_end(void **state)
{
	static const Lie lies[] = {
		{endless_interim, "", INTEG_HTTP_TOO_LARGE, "headers", NULL},
		{endless_trailers, "", INTEG_HTTP_TOO_LARGE, "headers", NULL},
	};
	HttpServer server;
	IntegHttpRequest request;

	(void) state;
	play(lies, sizeof(lies) / sizeof(lies[0]));
	http_server_start(&server, silent, NULL);
	request = get(url_of(&server, "/path?key=secret"));
	request.timeout_ms = 60;
	perform(&request);
	expect(INTEG_HTTP_TIMEOUT, true, "no answer from http://127.0.0.1");
	http_server_stop(&server);
}

/* Begins an answer and stops in the middle. */
static void
stalls(HttpServer *server, int client, int connection)
{
	once(server, client, connection);
	silent(server, client, connection);
}

static void
timeouts_say_how_far_it_came(void **state)
{
	HttpServer server;
	IntegHttpRequest request;
	char url[128];

	(void) state;
	http_server_start(&server, stalls, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
	request = get(url_of(&server, "/"));
	request.timeout_ms = 60;
	perform(&request);
	expect(INTEG_HTTP_TIMEOUT, true, "no complete answer");
	assert_int_equal(response.status, 200);
	http_server_stop(&server);

	/* It accepts, but no TLS follows. */
	http_server_start(&server, silent, NULL);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
	request = get(url);
	request.connect_timeout_ms = 60;
	perform(&request);
	expect(INTEG_HTTP_TIMEOUT, false, "no TLS connection with");
	http_server_stop(&server);

	atomic_store(&resolver_delay_ms, 400);
	request = get("http://slow.example/");
	request.connect_timeout_ms = 60;
	perform(&request);
	expect(INTEG_HTTP_TIMEOUT, false, "no address for http://slow.example");
}

static void
names(void **state)
{
	HttpServer server;
	IntegHttpRequest request;
	char url[128];

	(void) state;
	http_server_start(&server, repeat, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	snprintf(url, sizeof(url), "http://service.example:%d/?key=secret", server.port);
	request = get(url);
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_int_equal(atomic_load(&resolver_signals_open), 0);
	/* An address of the connection refusing. */
	http_server_stop(&server);
	integ_transfer_pool_destroy(pool);
	set_up(NULL);
	perform(&request);
	expect(INTEG_HTTP_CONNECT, false, "Connection refused");
	resolved = "";
	request = get("http://unknown.example/?key=secret");
	perform(&request);
	expect(INTEG_HTTP_DNS, false, "http://unknown.example cannot be resolved");
}

static void
private_addresses_are_blocked(void **state)
{
	HttpServer server;
	IntegHttpRequest request;
	char url[128];

	(void) state;
	http_server_start(&server, repeat, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	snprintf(url, sizeof(url), "http://rebound.example:%d/?key=secret", server.port);
	request = get(url_of(&server, "/?key=secret"));
	request.allowed_addresses = "";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "127.0.0.1");
	request.allowed_addresses = NULL;
	request.url = url;
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "leads to the address 127.0.0.1");
	request.url = "http://localhost/";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "http://localhost leads to");
	request.url = "http://169.254.169.254/latest/meta-data";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "169.254.169.254");
	request.url = "http://[::ffff:169.254.169.254]/";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "");
	request.url = "http://2852039166/";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "169.254.169.254");
	resolved = "10.0.0.1 192.168.0.1";
	request.url = "http://two.example/";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "");
	/* A kept connection is no way round a list that was shortened. */
	resolved = "127.0.0.1";
	request.url = url;
	request.allowed_addresses = LOOPBACK;
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	request.allowed_addresses = "";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "");
	assert_int_equal(server.requests, 1);
	http_server_stop(&server);
}

/* One allowed address among refused ones is used. */
static void
allowed_addresses_are_found(void **state)
{
	HttpServer server;
	IntegHttpRequest request;
	char url[128];

	(void) state;
	http_server_start(&server, repeat, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	snprintf(url, sizeof(url), "http://mixed.example:%d/", server.port);
	resolved = "10.0.0.1 127.0.0.1";
	request = get(url);
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	http_server_stop(&server);
}

/* The answer names a second path until /end; "%d" of the argument is the status. */
static void
redirecting(HttpServer *server, int client, int connection)
{
	char answer[256];

	(void) connection;
	while (http_server_read(server, client))
	{
		if (strstr(server->last, " /end ") != NULL)
			snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
					 strncmp(server->last, "HEAD", 4) == 0 ? 0 : 3, strncmp(server->last, "HEAD", 4) == 0 ? "" : "end");
		else
			snprintf(answer, sizeof(answer), "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", (const char *) server->argument);
		http_server_say(client, answer);
	}
}

static void
redirects_within_the_origin(void **state)
{
	static const char *const statuses[] = {"301 x\r\nLocation: /end", "302 x\r\nLocation: end", "303 x\r\nLocation: ../end",
										   "307 x\r\nlocation: /end#fragment", "308 x\r\nLocation: //127.0.0.1:PORT/end"};
	IntegHttpHeader header = {"Authorization", "Bearer secret"};

	(void) state;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
	{
		HttpServer server;
		IntegHttpRequest request;
		char argument[128];
		char *port;

		snprintf(argument, sizeof(argument), "%s", statuses[i]);
		http_server_start(&server, redirecting, argument);
		if ((port = strstr(argument, "PORT")) != NULL)
			sprintf(port, "%d/end", server.port);
		request = get(url_of(&server, "/begin?key=secret"));
		request.headers = &header;
		request.nheaders = 1;
		perform(&request);
		expect(INTEG_HTTP_OK, true, "");
		assert_int_equal(response.status, 200);
		assert_string_equal(response.body, "end");
		assert_null(integ_http_response_header(&response, "location"));
		assert_non_null(strstr(server.last, "GET /end HTTP/1.1\r\n"));
		assert_non_null(strstr(server.last, "Authorization: Bearer secret"));
		assert_int_equal(server.requests, 2);
		assert_int_equal(server.connections, 1);
		request.method = "HEAD";
		perform(&request);
		expect(INTEG_HTTP_OK, true, "");
		assert_non_null(strstr(server.last, "HEAD /end HTTP/1.1\r\n"));
		/* A write is not redirected: the redirect is its answer. */
		request.method = "POST";
		request.body = "x";
		request.body_len = 1;
		perform(&request);
		expect(INTEG_HTTP_OK, true, "");
		assert_int_equal(response.status, atoi(statuses[i]));
		assert_non_null(integ_http_response_header(&response, "location"));
		assert_int_equal(server.requests, 5);
		/* Nor is anything where none are allowed. */
		request = get(url_of(&server, "/begin"));
		request.max_redirects = 0;
		perform(&request);
		expect(INTEG_HTTP_OK, true, "");
		assert_int_equal(response.status, atoi(statuses[i]));
		http_server_stop(&server);
	}
}

static void
redirects_elsewhere(void **state)
{
	static const struct
	{
		const char *location, *sentence;
	} cases[] = {
		{"Location: http://169.254.169.254/latest/meta-data", "another origin, http://169.254.169.254"},
		{"Location: http://127.0.0.1:OTHER/", "another origin"},
		{"Location: https://127.0.0.1:PORT/", "another origin, https://127.0.0.1"},
		{"Location: http://localhost:PORT/", "another origin, http://localhost"},
		{"Location: //evil.example/", "another origin, http://evil.example"},
		{"Location: http://user:pw@127.0.0.1:PORT/", "not followed"},
		{"Location: http://127.0.0.1:PORT@evil.example/", "not followed"},
		{"Location: file:///etc/passwd", "not followed"},
		{"Location: gopher://127.0.0.1:PORT/", "not followed"},
		{"Location: http://127.0.0.1:PORT\\@evil.example/", "not followed"},
		{"Location: http://127.0.0.1:99999/", "not followed"},
		{"X: y", "without a Location"},
		{"Location: /again?key=secret", "more than 5 times"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		HttpServer server, other;
		IntegHttpRequest request;
		char argument[128], head[128];
		const char *port;

		http_server_start(&server, redirecting, argument);
		http_server_start(&other, repeat, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		snprintf(head, sizeof(head), "302 x\r\n%s", cases[i].location);
		if ((port = strstr(head, "PORT")) != NULL)
			snprintf(argument, sizeof(argument), "%.*s%d%s", (int) (port - head), head, server.port, port + 4);
		else if ((port = strstr(head, "OTHER")) != NULL)
			snprintf(argument, sizeof(argument), "%.*s%d%s", (int) (port - head), head, other.port, port + 5);
		else
			snprintf(argument, sizeof(argument), "%s", head);
		request = get(url_of(&server, "/begin?key=secret"));
		perform(&request);
		expect(INTEG_HTTP_REDIRECT, true, cases[i].sentence);
		assert_int_equal(response.status, 302);
		assert_int_equal(other.connections, 0);
		assert_int_equal(server.requests, strstr(cases[i].location, "again") != NULL ? 6 : 1);
		http_server_stop(&server);
		http_server_stop(&other);
	}
}

/* Answers the first request of a connection, and closes upon the second without a word. */
static void
dies_on_second(HttpServer *server, int client, int connection)
{
	(void) connection;
	if (http_server_read(server, client))
		http_server_say(client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	http_server_read(server, client);
}

/* A write that may have arrived is never sent a second time, a read is. */
static void
writes_are_not_repeated(void **state)
{
	static const char *const writes[] = {"POST", "PUT", "PATCH", "DELETE"};

	(void) state;
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
	{
		HttpServer server;
		IntegHttpRequest request;

		http_server_start(&server, dies_on_second, NULL);
		request = get(url_of(&server, "/"));
		request.method = writes[i];
		perform(&request);
		expect(INTEG_HTTP_OK, true, "");
		perform(&request);
		expect(INTEG_HTTP_CONNECT, true, "was not sent again");
		assert_int_equal(server.requests, 2);
		/* The pool goes on; a read is repeated on a fresh connection. */
		request.method = "GET";
		perform(&request);
		expect(INTEG_HTTP_OK, true, "");
		perform(&request);
		expect(INTEG_HTTP_OK, true, "");
		assert_int_equal(server.requests, 5);
		http_server_stop(&server);
	}
}

/* Closes after each answer, without announcing it. */
static void
closes_silently(HttpServer *server, int client, int connection)
{
	(void) connection;
	if (http_server_read(server, client))
		http_server_say(client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void
closed_connections_are_not_used(void **state)
{
	HttpServer server;
	IntegHttpRequest request;

	(void) state;
	http_server_start(&server, closes_silently, NULL);
	request = get(url_of(&server, "/"));
	request.method = "POST";
	for (int i = 0; i < 3; i++)
	{
		perform(&request);
		expect(INTEG_HTTP_OK, true, "");
		assert_false(response.reused_connection);
		usleep(20000);
	}
	assert_int_equal(server.requests, 3);
	http_server_stop(&server);
}

/* Says more than it was asked: the second answer must not become that of the next request. */
static void
answers_twice(HttpServer *server, int client, int connection)
{
	char answer[256];

	if (!http_server_read(server, client))
		return;
	snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%02d", connection);
	http_server_say(client, answer);
	usleep(20000);
	http_server_say(client, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	http_server_read(server, client);
}

static void
answers_nobody_asked_for(void **state)
{
	HttpServer server;
	IntegHttpRequest request;

	(void) state;
	http_server_start(&server, answers_twice, NULL);
	request = get(url_of(&server, "/"));
	for (int i = 0; i < 3; i++)
	{
		perform(&request);
		expect(INTEG_HTTP_OK, true, "");
		assert_string_not_equal(response.body, "evil");
		usleep(60000);
		/* While nobody waits, the pool's descriptor may show the unasked bytes, but only once. */
		integ_transfer_drive(pool);
		assert_int_equal(poll(&(struct pollfd){.fd = integ_transfer_pool_descriptor(pool), .events = POLLIN}, 1, 0), 0);
	}
	http_server_stop(&server);
}

static void
waiting_can_be_given_up(void **state)
{
	HttpServer server;
	IntegHttpRequest request;
	IntegTransfer *transfer;
	int ends;

	(void) state;
	http_server_start(&server, silent, NULL);
	request = get(url_of(&server, "/"));
	transfer = integ_transfer_start(pool, &request, NULL);
	assert_false(integ_transfer_is_done(transfer));
	finish(transfer);
	expect(INTEG_HTTP_CANCELLED, false, "stopped waiting");
	transfer = integ_transfer_start(pool, &request, NULL);
	while (server.requests == 0)
		integ_transfer_drive(pool);
	finish(transfer);
	expect(INTEG_HTTP_CANCELLED, true, "stopped waiting");
	http_server_stop(&server);

	/* In name resolution: the end does not wait for the resolver. */
	atomic_store(&resolver_delay_ms, 500);
	request = get("http://slow.example/");
	ends = atomic_load(&resolver_ends);
	transfer = integ_transfer_start(pool, &request, NULL);
	integ_transfer_drive(pool);
	finish(transfer);
	expect(INTEG_HTTP_CANCELLED, false, "stopped waiting");
	integ_transfer_pool_destroy(pool);
	assert_int_equal(atomic_load(&resolver_ends), ends);
	set_up(NULL);
	while (atomic_load(&resolver_ends) == ends)
		usleep(10000);
}

static void
signals_are_as_before(void **state)
{
	IntegHttpRequest request = get("http://service.example:1/");
	sigset_t before, after;

	(void) state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	perform(&request);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int signal = 1; signal < 32; signal++)
		assert_int_equal(sigismember(&before, signal), sigismember(&after, signal));
	assert_int_equal(atomic_load(&resolver_signals_open), 0);
}

static void
many_at_once(void **state)
{
	enum { COUNT = 50 };
	HttpServer server;
	IntegHttpRequest requests[COUNT];
	char urls[COUNT][128];
	bool seen[COUNT] = {false};
	int done = 0;

	(void) state;
	http_server_start(&server, repeat, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	for (int i = 0; i < COUNT; i++)
	{
		snprintf(urls[i], sizeof(urls[i]), "%s/%d", server.base, i);
		requests[i] = get(urls[i]);
		assert_non_null(integ_transfer_start(pool, &requests[i], &seen[i]));
	}
	while (done < COUNT)
	{
		IntegTransfer *transfer;

		poll(&(struct pollfd){.fd = integ_transfer_pool_descriptor(pool), .events = POLLIN}, 1,
			 integ_transfer_pool_timeout(pool));
		integ_transfer_drive(pool);
		while ((transfer = integ_transfer_next_done(pool)) != NULL)
		{
			bool *mine = integ_transfer_owner(transfer);

			assert_false(*mine);
			*mine = true;
			finish(transfer);
			expect(INTEG_HTTP_OK, true, "");
			assert_string_equal(response.body, "ok");
			done++;
		}
	}
	assert_null(integ_transfer_next_done(pool));
	assert_int_equal(server.requests, COUNT);
	assert_true(server.connections <= 4);
	http_server_stop(&server);
}

/* Settings that change while another exchange is under way: neither sees the other's connection. */
static void
settings_change_under_way(void **state)
{
	HttpServer server, slow;
	IntegHttpRequest request, other;
	IntegTransfer *transfer;

	(void) state;
	http_server_start(&server, repeat, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	http_server_start(&slow, silent, NULL);
	request = get(url_of(&server, "/"));
	perform(&request);
	other = get(url_of(&slow, "/"));
	transfer = integ_transfer_start(pool, &other, NULL);
	request.allowed_addresses = "10.0.0.0/8";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "");
	request.allowed_addresses = "127.0.0.1";
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_false(response.reused_connection);
	finish(transfer);
	perform(&request);
	assert_false(response.reused_connection);
	perform(&request);
	assert_true(response.reused_connection);
	http_server_stop(&slow);
	http_server_stop(&server);
}

static void
proxies(void **state)
{
	HttpServer proxy, server;
	IntegHttpRequest request;
	IntegHttpHeader header = {"Authorization", "Bearer secret"};

	(void) state;
	http_server_start(&server, repeat, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ndirect");
	/* The environment names one that nobody asked for. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("HTTPS_PROXY", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	request = get(url_of(&server, "/"));
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_string_equal(response.body, "direct");

	/* The setting does, and no_proxy does not overrule it. */
	http_server_start(&proxy, once, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nproxied");
	setenv("no_proxy", "*", 1);
	request.proxy = proxy.base;
	request.url = "http://service.example/path";
	request.allowed_addresses = "";
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_string_equal(response.body, "proxied");
	assert_memory_equal(proxy.last, "GET http://service.example/path HTTP/1.1", 40);
	/* Names are the proxy's affair, but what is visibly private is refused before it is asked. */
	request.url = "http://127.0.0.1/";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "http://127.0.0.1");
	request.url = "http://[::1]:99/";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "http://[::1]:99");
	request.url = "http://localhost:99/";
	perform(&request);
	expect(INTEG_HTTP_BLOCKED, false, "http://localhost:99");
	assert_int_equal(proxy.requests, 1);
	http_server_stop(&proxy);

	/* A tunnel: the proxy learns the host, no header of the request; a refusal is no answer of the service. */
	http_server_start(&proxy, once, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
	request.proxy = proxy.base;
	request.url = "https://service.example/path?key=secret";
	request.headers = &header;
	request.nheaders = 1;
	perform(&request);
	expect(INTEG_HTTP_CONNECT, false, "https://service.example");
	assert_int_equal(response.status, 0);
	assert_memory_equal(proxy.last, "CONNECT service.example:443 HTTP/1.1", 36);
	assert_null(strstr(proxy.last, "secret"));
	http_server_stop(&proxy);
	request.url = "http://service.example/";
	perform(&request);
	expect(INTEG_HTTP_CONNECT, false, "no connection");
	unsetenv("http_proxy");
	unsetenv("HTTPS_PROXY");
	unsetenv("ALL_PROXY");
	unsetenv("no_proxy");
	http_server_stop(&server);
}

static void
a_missing_transfer_is_out_of_memory(void **state)
{
	(void) state;
	assert_true(integ_transfer_is_done(NULL));
	finish(NULL);
	expect(INTEG_HTTP_INTERNAL, false, "memory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, reset)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_are_read),
		TEST(methods_and_bodies),
		TEST(a_head_has_no_body),
		TEST(bad_requests_are_not_sent),
		TEST(compressed_answers),
		TEST(answers_that_lie),
		TEST(answers_that_never_begin_or_end),
		TEST(timeouts_say_how_far_it_came),
		TEST(names),
		TEST(private_addresses_are_blocked),
		TEST(allowed_addresses_are_found),
		TEST(redirects_within_the_origin),
		TEST(redirects_elsewhere),
		TEST(writes_are_not_repeated),
		TEST(closed_connections_are_not_used),
		TEST(answers_nobody_asked_for),
		TEST(waiting_can_be_given_up),
		TEST(signals_are_as_before),
		TEST(many_at_once),
		TEST(settings_change_under_way),
		TEST(proxies),
		TEST(a_missing_transfer_is_out_of_memory),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* sources: src/http/transfer.c src/http/pool.c src/http/setup.c src/http/receive.c src/http/failure.c */
/* sources: src/http/response.c src/http/address.c src/http/url.c src/http/body.c src/http/media_type.c */
/* libs: -lcurl -lcrypto -lssl -lz -lpthread */
/*
 * Exchanges against a server that lies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <zlib.h>

#include "http_exchange.h"
#include "http_resolver.h"
#include "http_server.h"

static int
reset(void **state)
{
	resolved = "127.0.0.1";
	return tear_down(state);
}

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
	assert_null(strstr(server.last, "Cookie"));
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
		{"GET", NULL, "GET /m HTTP/1.1", NULL},
		{"HEAD", NULL, "HEAD /m HTTP/1.1", NULL},
		{"POST", "{\"a\":1}", "POST /m HTTP/1.1", "7"},
		{"POST", NULL, "POST /m HTTP/1.1", "0"},
		{"PUT", "x", "PUT /m HTTP/1.1", "1"},
		{"PUT", NULL, "PUT /m HTTP/1.1", "0"},
		{"PATCH", "xy", "PATCH /m HTTP/1.1", "2"},
		{"DELETE", NULL, "DELETE /m HTTP/1.1", NULL},
		{"DELETE", "xyz", "DELETE /m HTTP/1.1", "3"},
		{"OPTIONS", NULL, "OPTIONS /m HTTP/1.1", NULL},
		{"GET", "query", "GET /m HTTP/1.1", "5"},
		{"PROPFIND", NULL, "PROPFIND /m HTTP/1.1", NULL},
		{"HEAD", NULL, "HEAD /m HTTP/1.1", NULL},
		{"GET", NULL, "GET /m HTTP/1.1", NULL},
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
	z_stream stream = {
		.next_in = text, .avail_in = (uInt) len, .next_out = gzip.data, .avail_out = (uInt) (len / 500 + 1024)};

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
	request.timeout_ms = 1000;
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
	request.timeout_ms = 1000;
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

	atomic_store(&resolver_closed, 1);
	request = get("http://slow.example/");
	request.connect_timeout_ms = 60;
	perform(&request);
	expect(INTEG_HTTP_TIMEOUT, false, "no address for http://slow.example");
	resolver_open();
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
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* sources: src/http/transfer.c src/http/pool.c src/http/setup.c src/http/receive.c src/http/failure.c */
/* sources: src/http/response.c src/http/address.c src/http/url.c src/http/body.c src/http/media_type.c */
/* libs: -lcurl -lcrypto -lssl -lpthread */
/*
 * Redirects within the origin and away from it; proxies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>

#include "http_exchange.h"
#include "http_server.h"

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(redirects_within_the_origin),
		TEST(redirects_elsewhere),
		TEST(proxies),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

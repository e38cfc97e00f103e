/* sources: src/http/transfer.c src/http/pool.c src/http/setup.c src/http/receive.c src/http/failure.c */
/* sources: src/http/response.c src/http/address.c src/http/url.c src/http/body.c src/http/media_type.c */
/* libs: -lcurl -lcrypto -lssl -lpthread */
/*
 * Which connection a request goes over: names, addresses, kept connections, repeats, ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>

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
		while (atomic_load(&server.running) > 0)
			usleep(1000);
	}
	assert_int_equal(server.requests, 3);
	http_server_stop(&server);
}

static atomic_int taken, said;

/* Says more than it was asked: the second answer must not become that of the next request. */
static void
answers_twice(HttpServer *server, int client, int connection)
{
	char answer[256];

	if (!http_server_read(server, client))
		return;
	snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%02d", connection);
	http_server_say(client, answer);
	/* Not in one piece with the answer: libcurl would see that it is too long. */
	while (atomic_load(&taken) <= connection)
		usleep(1000);
	http_server_say(client, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	atomic_store(&said, connection + 1);
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
		atomic_store(&taken, i + 1);
		while (atomic_load(&said) <= i)
			usleep(1000);
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

	/* In name resolution: the end does not wait for the resolver, or it would never come. */
	atomic_store(&resolver_closed, 1);
	request = get("http://slow.example/");
	transfer = integ_transfer_start(pool, &request, NULL);
	integ_transfer_drive(pool);
	finish(transfer);
	expect(INTEG_HTTP_CANCELLED, false, "stopped waiting");
	integ_transfer_pool_destroy(pool);
	set_up(NULL);
	resolver_open();
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
	enum
	{
		COUNT = 50
	};
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
		TEST(names),
		TEST(private_addresses_are_blocked),
		TEST(allowed_addresses_are_found),
		TEST(writes_are_not_repeated),
		TEST(closed_connections_are_not_used),
		TEST(answers_nobody_asked_for),
		TEST(waiting_can_be_given_up),
		TEST(signals_are_as_before),
		TEST(many_at_once),
		TEST(settings_change_under_way),
		TEST(a_missing_transfer_is_out_of_memory),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

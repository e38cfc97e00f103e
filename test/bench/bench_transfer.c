/* sources: src/http/transfer.c src/http/pool.c src/http/setup.c src/http/receive.c src/http/failure.c */
/* sources: src/http/response.c src/http/address.c src/http/url.c src/http/body.c src/http/media_type.c */
/* libs: -lcurl -lcrypto -lssl */
/*
 * The transfer layer against a bare libcurl loop, turn by turn in one process, so that both
 * see the same machine; and the scan of a body.
 *
 *		bench_transfer URL [count]
 */
#include <curl/curl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "http/body.h"
#include "http/transfer.h"
#include "timing.h"

#define ROUNDS 11
#define BODY_SIZE (10 << 20)

static void
die(const char *message)
{
	fprintf(stderr, "%s\n", message);
	exit(1);
}

/* Takes the place of the C library's: a name that is never resolved. */
int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	(void) host;
	(void) service;
	(void) hints;
	(void) result;
	while (1)
		sleep(3600);
}

/* How long giving up takes while a name is being resolved. */
static void
bench_give_up(void)
{
	IntegHttpRequest request = {.method = "GET", .url = "http://slow.example/", .timeout_ms = 30000, .connect_timeout_ms = 10000, .max_response = 1 << 26};
	double rounds[ROUNDS];
	char problem[128];
	IntegTransferPool *pool = integ_transfer_pool_create(8, problem, sizeof(problem));

	if (pool == NULL)
		die(problem);
	for (int round = 0; round < ROUNDS; round++)
	{
		IntegTransfer *transfer = integ_transfer_start(pool, &request, NULL);
		IntegHttpResponse response;
		double start;

		usleep(10000);
		integ_transfer_drive(pool);
		start = now_us();
		integ_transfer_finish(transfer, &response);
		rounds[round] = now_us() - start;
		if (response.failure != INTEG_HTTP_CANCELLED)
			die(response.error);
	}
	printf("bench transfer_give_up_resolving_ms %.3f\n", median(rounds, ROUNDS) / 1000);
	integ_transfer_pool_destroy(pool);
}

/* As a backend waits: the pool's descriptor inside another epoll set. */
static void
exchange(IntegTransferPool *pool, int outer, const IntegHttpRequest *request)
{
	IntegTransfer *transfer = integ_transfer_start(pool, request, NULL);
	IntegHttpResponse response;

	while (!integ_transfer_is_done(transfer))
	{
		struct epoll_event event;

		epoll_wait(outer, &event, 1, integ_transfer_pool_timeout(pool));
		integ_transfer_drive(pool);
	}
	integ_transfer_finish(transfer, &response);
	if (response.failure != INTEG_HTTP_OK)
		die(response.error);
	integ_http_response_free(&response);
}

static void
bench_exchange(const char *url, int count)
{
	IntegHttpHeader headers[] = {{"Authorization", "Bearer 0123456789abcdef"}, {"Accept", "application/json"}};
	IntegHttpRequest request = {.method = "GET", .url = url, .headers = headers, .nheaders = 2, .timeout_ms = 30000, .connect_timeout_ms = 10000, .max_response = 1 << 26, .max_redirects = 5, .allowed_addresses = "127.0.0.0/8"};
	struct curl_slist *list = curl_slist_append(curl_slist_append(NULL, "Authorization: Bearer 0123456789abcdef"),
												"Accept: application/json");
	struct epoll_event event = {.events = EPOLLIN};
	double bare[ROUNDS], ours[ROUNDS], bare_cpu[ROUNDS], ours_cpu[ROUNDS];
	int outer = epoll_create1(0), each = count / ROUNDS;
	IntegTransferPool *pool;
	char problem[128];
	CURL *easy;

	pool = integ_transfer_pool_create(8, problem, sizeof(problem));
	if (pool == NULL)
		die(problem);
	epoll_ctl(outer, EPOLL_CTL_ADD, integ_transfer_pool_descriptor(pool), &event);
	easy = curl_easy_init();
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* The same request, byte for byte. */
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "integ");
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	for (int round = 0; round < ROUNDS; round++)
	{
		double start = now_us(), cpu = cpu_us();

		for (int i = 0; i < each; i++)
			if (curl_easy_perform(easy) != CURLE_OK)
				die("the bare loop failed");
		bare[round] = (now_us() - start) / each;
		bare_cpu[round] = (cpu_us() - cpu) / each;
		start = now_us();
		cpu = cpu_us();
		for (int i = 0; i < each; i++)
			exchange(pool, outer, &request);
		ours[round] = (now_us() - start) / each;
		ours_cpu[round] = (cpu_us() - cpu) / each;
	}
	printf("bench transfer_bare_us %.1f\n", median(bare, ROUNDS));
	printf("bench transfer_us %.1f\n", median(ours, ROUNDS));
	printf("bench transfer_ratio %.2f\n", median(ours, ROUNDS) / median(bare, ROUNDS));
	printf("bench transfer_bare_cpu_us %.1f\n", median(bare_cpu, ROUNDS));
	printf("bench transfer_cpu_us %.1f\n", median(ours_cpu, ROUNDS));
	integ_transfer_pool_destroy(pool);
	curl_easy_cleanup(easy);
	curl_slist_free_all(list);
}

static void
bench_body(const char *name, const char *record)
{
	size_t len = strlen(record), used = 1;
	char *body = malloc(BODY_SIZE + 1);
	double rounds[ROUNDS];

	body[0] = '[';
	while (used + len + 2 < BODY_SIZE)
	{
		memcpy(body + used, record, len);
		used += len;
		body[used++] = ',';
	}
	body[used - 1] = ']';
	body[used] = '\0';
	for (int round = 0; round < ROUNDS; round++)
	{
		double start = now_us();
		IntegBodyText text;

		if (integ_body_to_json_text(body, used, "application/json", &text) != INTEG_BODY_OK || text.owned != NULL)
			die("the body was not clean");
		rounds[round] = used / (now_us() - start);
	}
	printf("bench body_%s_mb_s %.0f\n", name, median(rounds, ROUNDS));
	free(body);
}

int
main(int argc, char **argv)
{
	if (argc < 2)
	{
		fprintf(stderr, "usage: %s URL [count]\n", argv[0]);
		return 2;
	}
	bench_exchange(argv[1], argc > 2 ? atoi(argv[2]) : 44000);
	bench_give_up();
	bench_body("ascii",
			   "{\"id\":12345,\"name\":\"A name of a usual length\",\"active\":true,\"balance\":1234.56,\"tags\":[\"one\",\"two\"],"
			   "\"note\":\"Some longer text, as descriptions have it; it goes on for a line or two and then ends.\"}");
	bench_body("escapes", "{\"html\":\"<a href=\\\"https://example.com/\\\">\\u00e9t\\u00e9\\n<\\/a>\",\"n\":1}");
	bench_body("unicode", "{\"name\":\"\xD0\x98\xD0\xBC\xD1\x8F \xD1\x81\xD0\xBE\xD1\x82\xD1\x80\xD1\x83\xD0\xB4\xD0\xBD\xD0\xB8\xD0\xBA\xD0\xB0\",\"id\":7}");
	bench_body("numbers", "[1,22,333,4444,5.5,-6e7,true,null]");
	return 0;
}

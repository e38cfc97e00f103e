/* libs: -lcurl */
/*
 * The yardstick: libcurl in a bare loop, as a C programmer would write it, on one kept connection. It
 * sends what integ sends: the same User-Agent, the same Accept-Encoding, and the headers given.
 *
 *		bench_bare_curl [-H "Name: value"]… URL [count [method body]]
 *
 * Prints the median of five rounds in wall-clock microseconds a request, and the CPU time.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timing.h"

#define ROUNDS 5

int
main(int argc, char **argv)
{
	int count;
	double rounds[ROUNDS], cpu;
	struct curl_slist *headers = NULL;
	CURL *easy;

	for (; argc > 2 && strcmp(argv[1], "-H") == 0; argc -= 2, argv += 2)
		headers = curl_slist_append(headers, argv[2]);
	if (argc < 2)
	{
		fprintf(stderr, "usage: bench_bare_curl [-H \"Name: value\"]… URL [count [method body]]\n");
		return 2;
	}
	count = argc > 2 ? atoi(argv[2]) : 20000;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	easy = curl_easy_init();
	curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "integ");
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	if (argc > 4)
	{
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, argv[3]);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, argv[4]);
	}
	cpu = cpu_us();
	for (int round = 0; round < ROUNDS; round++)
	{
		double start = now_us();

		for (int i = 0; i < count / ROUNDS; i++)
		{
			CURLcode code = curl_easy_perform(easy);

			if (code != CURLE_OK)
			{
				fprintf(stderr, "%s\n", curl_easy_strerror(code));
				return 1;
			}
		}
		rounds[round] = (now_us() - start) / (count / ROUNDS);
	}
	cpu = (cpu_us() - cpu) / count;
	printf("bench bare_curl_us %.1f\n", median(rounds, ROUNDS));
	printf("bench bare_curl_cpu_us %.1f\n", cpu);
	curl_easy_cleanup(easy);
	curl_slist_free_all(headers);
	return 0;
}

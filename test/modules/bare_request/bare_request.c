/*
 * The yardstick in the place where integ_execute works: a backend's own libcurl handle, on one kept connection, as
 * test/bench/bench_bare_curl.c has it in a program.
 */
#include "postgres.h"

#include <curl/curl.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bare_request);

static size_t
discard(char *data, size_t size, size_t count, void *unused)
{
	return size * count;
}

/* Lines and handle are made once: a program would not build them for each request. */
static CURL *
handle(ArrayType *lines)
{
	static CURL *easy = NULL;
	static struct curl_slist *headers = NULL;
	Datum *values;
	int count;

	if (easy != NULL)
		return easy;
	deconstruct_array(lines, TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, &count);
	for (int i = 0; i < count; i++)
		headers = curl_slist_append(headers, TextDatumGetCString(values[i]));
	curl_global_init(CURL_GLOBAL_DEFAULT);
	easy = curl_easy_init();
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "integ");
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	return easy;
}

Datum
bare_request(PG_FUNCTION_ARGS)
{
	CURL *easy = handle(PG_GETARG_ARRAYTYPE_P(3));
	CURLcode code;

	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	curl_easy_setopt(easy, CURLOPT_URL, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	code = curl_easy_perform(easy);
	if (code != CURLE_OK)
		elog(ERROR, "%s", curl_easy_strerror(code));
	PG_RETURN_VOID();
}

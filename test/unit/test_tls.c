/* sources: src/http/transfer.c src/http/pool.c src/http/setup.c src/http/receive.c src/http/failure.c */
/* sources: src/http/response.c src/http/address.c src/http/url.c src/http/body.c src/http/media_type.c */
/* libs: -lcurl -lcrypto -lssl -lpthread */
/*
 * TLS: certificates that are good, expired, for another name, of nobody's authority. They
 * are made by the openssl command, as an administrator makes a private authority.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/stat.h>

#include "http_exchange.h"
#include "http_server.h"

static char folder[] = "/tmp/integ-tls-XXXXXX";
static char ca_file[64];
static atomic_int resumed;
static atomic_int handshakes;

/* How the certificates are made; each sign names its extensions and its validity. */
static const char *const make_certificates =
	"exec 2>/dev/null >/dev/null; set -e\n"
	"key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'\n"
	"openssl req -x509 $key -keyout ca.key -out ca.pem -subj '/CN=integ test authority' -days 30\n"
	"openssl req -x509 $key -keyout alone.key -out alone.pem -subj /CN=localhost -days 30"
	" -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1'\n"
	"sign() {\n"
	"  openssl req $key -keyout $1.key -out $1.csr -subj /CN=$1\n"
	"  printf 'subjectAltName=%s\\n' \"$2\" >$1.ext\n"
	"  : >index.txt; echo 01 >serial\n"
	"  openssl ca -batch -config ca.cnf -in $1.csr -out $1.pem -extfile $1.ext -startdate $3 -enddate $4 -notext\n"
	"}\n"
	"printf '[ca]\\ndefault_ca=d\\n[d]\\ndir=.\\ndatabase=index.txt\\nserial=serial\\nnew_certs_dir=.\\ncertificate=ca.pem\\n"
	"private_key=ca.key\\ndefault_md=sha256\\npolicy=p\\nunique_subject=no\\n[p]\\ncommonName=supplied\\n' >ca.cnf\n"
	"sign good 'DNS:localhost,IP:127.0.0.1' 20200101000000Z 20491231000000Z\n"
	"sign expired 'DNS:localhost,IP:127.0.0.1' 20200101000000Z 20200201000000Z\n"
	"sign early 'DNS:localhost,IP:127.0.0.1' 20480101000000Z 20491231000000Z\n"
	"sign other 'DNS:other.example,DNS:*.localhost' 20200101000000Z 20491231000000Z\n";

static int
make_folder(void **state)
{
	char script[64];
	FILE *file;
	char command[160];

	(void) state;
	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", folder);
	snprintf(script, sizeof(script), "%s/make.sh", folder);
	file = fopen(script, "w");
	fputs(make_certificates, file);
	fclose(file);
	snprintf(command, sizeof(command), "cd %s && sh ./make.sh", folder);
	return system(command);
}

static int
remove_folder(void **state)
{
	char command[64];

	(void) state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

/* Answers every request of a TLS connection; the argument is the SSL_CTX. */
static void
serve_tls(HttpServer *server, int client, int connection)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure";
	SSL *ssl = SSL_new((SSL_CTX *) server->argument);
	char text[8192];

	(void) connection;
	SSL_set_fd(ssl, client);
	if (SSL_accept(ssl) == 1)
	{
		atomic_fetch_add(&handshakes, 1);
		if (SSL_session_reused(ssl))
			atomic_fetch_add(&resumed, 1);
		while (SSL_read(ssl, text, sizeof(text)) > 0)
		{
			atomic_fetch_add(&server->requests, 1);
			SSL_write(ssl, answer, sizeof(answer) - 1);
			if (strstr(text, "/close") != NULL)
				break;
		}
		SSL_shutdown(ssl);
	}
	SSL_free(ssl);
}

static SSL_CTX *
server_context(const char *name)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	char path[128];

	snprintf(path, sizeof(path), "%s/%s.pem", folder, name);
	assert_int_equal(SSL_CTX_use_certificate_chain_file(context, path), 1);
	snprintf(path, sizeof(path), "%s/%s.key", folder, name);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM), 1);
	return context;
}

static void
try_certificate(const char *name, const char *host, const char *authority, IntegHttpFailure failure,
				const char *sentence)
{
	SSL_CTX *context = server_context(name);
	HttpServer server;
	IntegHttpRequest request;
	char url[128];

	http_server_start(&server, serve_tls, context);
	snprintf(url, sizeof(url), "https://%s:%d/path?key=secret", host, server.port);
	request = get(url);
	request.ca_file = authority;
	perform(&request);
	expect(failure, failure == INTEG_HTTP_OK, sentence);
	assert_int_equal(server.requests, failure == INTEG_HTTP_OK ? 1 : 0);
	http_server_stop(&server);
	SSL_CTX_free(context);
}

static void
certificates_are_verified(void **state)
{
	(void) state;
	try_certificate("good", "localhost", ca_file, INTEG_HTTP_OK, "");
	try_certificate("good", "127.0.0.1", ca_file, INTEG_HTTP_OK, "");
	try_certificate("good", "localhost", "", INTEG_HTTP_TLS, "is not accepted: ");
	try_certificate("good", "localhost", NULL, INTEG_HTTP_TLS, "is not accepted: ");
	try_certificate("alone", "localhost", ca_file, INTEG_HTTP_TLS, "self-signed certificate");
	try_certificate("expired", "localhost", ca_file, INTEG_HTTP_TLS, "certificate has expired");
	try_certificate("early", "localhost", ca_file, INTEG_HTTP_TLS, "not yet valid");
	try_certificate("other", "localhost", ca_file, INTEG_HTTP_TLS, "is for another name");
	try_certificate("other", "127.0.0.1", ca_file, INTEG_HTTP_TLS, "is for another name");
}

static void
the_file_of_authorities_must_be_readable(void **state)
{
	char path[128];
	FILE *file;

	(void) state;
	try_certificate("good", "localhost", "/nonexistent/ca.pem", INTEG_HTTP_TLS, "integ.ca_file");
	snprintf(path, sizeof(path), "%s/garbage.pem", folder);
	file = fopen(path, "w");
	fputs("this is no certificate\n", file);
	fclose(file);
	try_certificate("good", "localhost", path, INTEG_HTTP_TLS, "integ.ca_file");
}

static void
speaks_no_tls(HttpServer *server, int client, int connection)
{
	char text[512];

	(void) server;
	(void) connection;
	if (read(client, text, sizeof(text)) > 0)
		http_server_say(client, "HTTP/1.1 400 Bad Request\r\n\r\n\x01\xFF");
}

static void
hangs_up(HttpServer *server, int client, int connection)
{
	char text[512];

	(void) server;
	(void) connection;
	if (read(client, text, sizeof(text)) > 0)
		http_server_reset(client);
}

static void
broken_handshakes(void **state)
{
	static const HttpScript scripts[] = {speaks_no_tls, hangs_up};

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		HttpServer server;
		IntegHttpRequest request;
		char url[128];

		http_server_start(&server, scripts[i], NULL);
		snprintf(url, sizeof(url), "https://127.0.0.1:%d/?key=secret", server.port);
		request = get(url);
		perform(&request);
		expect(INTEG_HTTP_TLS, false, "no TLS connection with https://127.0.0.1");
		http_server_stop(&server);
	}
}

static void
old_protocols_are_refused(void **state)
{
	SSL_CTX *context = server_context("good");
	HttpServer server;
	IntegHttpRequest request;
	char url[128];

	(void) state;
	SSL_CTX_set_security_level(context, 0);
	SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
	http_server_start(&server, serve_tls, context);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
	request = get(url);
	request.ca_file = ca_file;
	perform(&request);
	expect(INTEG_HTTP_TLS, false, "");
	http_server_stop(&server);
	SSL_CTX_free(context);
}

static void
sessions_are_resumed_and_not_under_other_settings(void **state)
{
	SSL_CTX *context = server_context("good");
	HttpServer server;
	IntegHttpRequest request;
	char url[128], close_url[128];

	(void) state;
	SSL_CTX_set_session_id_context(context, (const unsigned char *) "t", 1);
	http_server_start(&server, serve_tls, context);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
	snprintf(close_url, sizeof(close_url), "https://127.0.0.1:%d/close", server.port);
	atomic_store(&resumed, 0);
	atomic_store(&handshakes, 0);
	request = get(url);
	request.ca_file = ca_file;
	perform(&request);
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_true(response.reused_connection);
	assert_int_equal(handshakes, 1);
	request.url = close_url;
	perform(&request);
	request.url = url;
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	assert_string_equal(response.body, "secure");
	assert_int_equal(handshakes, 2);
	assert_int_equal(resumed, 1);
	/* Without the authority neither the connection nor the session helps. */
	request.ca_file = "";
	perform(&request);
	expect(INTEG_HTTP_TLS, false, "not accepted");
	http_server_stop(&server);
	SSL_CTX_free(context);
}

static void
session_keys_are_not_written(void **state)
{
	SSL_CTX *context = server_context("good");
	char path[128], url[128];
	struct stat status;
	HttpServer server;
	IntegHttpRequest request;

	(void) state;
	snprintf(path, sizeof(path), "%s/keys", folder);
	http_server_start(&server, serve_tls, context);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
	request = get(url);
	request.ca_file = ca_file;
	perform(&request);
	expect(INTEG_HTTP_OK, true, "");
	/* The variable was set before libcurl was initialized: see main. */
	assert_true(stat(path, &status) != 0 || status.st_size == 0);
	http_server_stop(&server);
	SSL_CTX_free(context);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(session_keys_are_not_written),
		TEST(certificates_are_verified),
		TEST(the_file_of_authorities_must_be_readable),
		TEST(broken_handshakes),
		TEST(old_protocols_are_refused),
		TEST(sessions_are_resumed_and_not_under_other_settings),
	};
	char path[128];
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (make_folder(NULL) != 0)
	{
		fprintf(stderr, "the openssl command made no certificates\n");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/keys", folder);
	setenv("SSLKEYLOGFILE", path, 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	remove_folder(NULL);
	return failed;
}

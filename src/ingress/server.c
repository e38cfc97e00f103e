/*
 * The server, by libmicrohttpd, whose own loop is left out: one epoll descriptor tells when there is something to do.
 *
 * Part of the module integ_ingress, so that no other process loads that library.
 */
#include "ingress/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/address.h"
#include "ingress/driver.h"
#include "ingress/tls.h"

#define BACKLOG 1024
#define FIRST_BODY_ROOM 4096

typedef struct Exchange
{
	IntegServerRequest request; /* first */
	IntegServer *server;
	struct MHD_Connection *connection;
	struct MHD_Response *response; /* once it is answered */
	char address[INTEG_ADDRESS_TEXT_SIZE];
	int status;
	char *uri;
	size_t room; /* of the body */
	time_t begun;
	bool begun_reading;
	bool answered;
} Exchange;

struct IntegServer
{
	struct MHD_Daemon *daemon;
	IntegTls *tls; /* NULL: none */
	int listener;
	int port;
	size_t max_body;
	int request_s;
	int requests;					  /* begun and not ended */
	int whole;						  /* of these, whole and not handed out */
	size_t held;					  /* room of their bodies */
	IntegServerRequest *first, *last; /* whole and not handed out */
};

static time_t
now_s(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void
set_address(Exchange *exchange)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	if (info != NULL && info->client_addr != NULL)
		integ_address_text(info->client_addr, exchange->address, sizeof(exchange->address));
	if (!integ_address_normal(exchange->address, sizeof(exchange->address)))
		*exchange->address = '\0';
	exchange->request.address = exchange->address;
}

/* Before the headers are read: the request's first line. */
static void *
begin_exchange(void *arg, const char *uri, struct MHD_Connection *connection)
{
	Exchange *exchange = calloc(1, sizeof(Exchange));

	if (exchange == NULL)
		return NULL;
	exchange->server = arg;
	exchange->server->requests++;
	exchange->connection = connection;
	exchange->begun = now_s();
	exchange->uri = strdup(uri);
	exchange->request.uri = exchange->uri;
	set_address(exchange);
	return exchange;
}

static void
free_exchange(Exchange *exchange)
{
	if (exchange->response != NULL)
		MHD_destroy_response(exchange->response);
	exchange->server->requests--;
	exchange->server->held -= exchange->room;
	free(exchange->request.headers);
	free(exchange->request.body);
	free(exchange->uri);
	free(exchange);
}

/* A request is never taken from who has it: a suspended connection does not end. */
static void
end_exchange(void *arg, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	(void) arg;
	(void) connection;
	(void) code;
	if (*state != NULL)
		free_exchange(*state);
	*state = NULL;
}

static enum MHD_Result
respond_now(struct MHD_Connection *connection, int status)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(0, (void *) "", MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result = MHD_NO;

	if (response != NULL && MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES)
		result = MHD_queue_response(connection, (unsigned int) status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
add_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Exchange *exchange = arg;

	(void) kind;
	if (exchange->request.nheaders == INTEG_SERVER_MAX_HEADERS)
		return MHD_NO;
	exchange->request.headers[exchange->request.nheaders++] = (IntegHttpHeader){name, value == NULL ? "" : value};
	return MHD_YES;
}

static int
count_header(const Exchange *exchange, const char *name)
{
	int count = 0;

	for (int i = 0; i < exchange->request.nheaders; i++)
		count += strcasecmp(exchange->request.headers[i].name, name) == 0;
	return count;
}

/* A name that is no token (RFC 9112, section 5.1) may be one to somebody else: "Transfer-Encoding " above all. */
static bool
has_odd_name(const Exchange *exchange)
{
	for (int i = 0; i < exchange->request.nheaders; i++)
	{
		const char *name = exchange->request.headers[i].name;

		if (*name == '\0' || strpbrk(name, " \t\r\n\v\f\"(),/:;<=>?@[\\]{}") != NULL)
			return true;
	}
	return false;
}

/*
 * The status to refuse a request with whose length somebody else could read differently, or that is too large; 0:
 * none.
 */
static int
refusal(const Exchange *exchange)
{
	int lengths = count_header(exchange, "content-length"), encodings = count_header(exchange, "transfer-encoding");
	const char *length = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, "content-length");
	const char *encoding = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, "transfer-encoding");

	if (lengths > 1 || encodings > 1 || (lengths > 0 && encodings > 0) || count_header(exchange, "host") > 1 ||
		has_odd_name(exchange))
		return MHD_HTTP_BAD_REQUEST;
	/* Of another one, or several, the library would take all that comes until the end (RFC 9112, section 6.1). */
	if (encoding != NULL && strcasecmp(encoding, "chunked") != 0)
		return MHD_HTTP_NOT_IMPLEMENTED;
	if (length != NULL && (strspn(length, "0123456789") != strlen(length) || *length == '\0'))
		return MHD_HTTP_BAD_REQUEST;
	if (length != NULL && (strlen(length) > 18 || strtoull(length, NULL, 10) > exchange->server->max_body))
		return MHD_HTTP_CONTENT_TOO_LARGE;
	if (exchange->uri == NULL || strlen(exchange->uri) > INTEG_SERVER_MAX_URI)
		return MHD_HTTP_URI_TOO_LONG;
	return 0;
}

static enum MHD_Result
begin_reading(Exchange *exchange, const char *method)
{
	int status;

	exchange->begun_reading = true;
	exchange->request.method = method;
	exchange->request.headers = calloc(INTEG_SERVER_MAX_HEADERS, sizeof(IntegHttpHeader));
	if (exchange->request.headers == NULL)
		return MHD_NO;
	if (MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, add_header, exchange) <
		MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, NULL, NULL))
		return respond_now(exchange->connection, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE);
	status = refusal(exchange);
	return status == 0 ? MHD_YES : respond_now(exchange->connection, status);
}

/* Closes the connection of a body that is too large, or takes too long. */
static enum MHD_Result
add_body(Exchange *exchange, const char *data, size_t len)
{
	IntegServerRequest *request = &exchange->request;

	if (request->body_len + len > exchange->server->max_body ||
		now_s() - exchange->begun > exchange->server->request_s)
		return MHD_NO;
	if (request->body_len + len + 1 > exchange->room)
	{
		size_t room = (request->body_len + len + 1) * 2 + FIRST_BODY_ROOM;
		char *grown;

		if (exchange->server->held - exchange->room + room > INTEG_SERVER_MAX_HELD)
			return MHD_NO;
		grown = realloc(request->body, room);
		if (grown == NULL)
			return MHD_NO;
		exchange->server->held += room - exchange->room;
		request->body = grown;
		exchange->room = room;
	}
	memcpy(request->body + request->body_len, data, len);
	request->body_len += len;
	return MHD_YES;
}

/* The request is whole: it waits, and its connection with it. */
static enum MHD_Result
hand_out(Exchange *exchange)
{
	IntegServer *server = exchange->server;

	if (exchange->request.body == NULL && (exchange->request.body = malloc(1)) == NULL)
		return MHD_NO;
	exchange->request.body[exchange->request.body_len] = '\0';
	exchange->request.next = NULL;
	if (server->last == NULL)
		server->first = &exchange->request;
	else
		server->last->next = &exchange->request;
	server->last = &exchange->request;
	server->whole++;
	MHD_suspend_connection(exchange->connection);
	return MHD_YES;
}

static enum MHD_Result
handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
	   const char *data, size_t *size, void **state)
{
	Exchange *exchange = *state;

	(void) arg;
	(void) url;
	(void) version;
	if (exchange == NULL)
		return MHD_NO;
	if (!exchange->begun_reading)
		return begin_reading(exchange, method);
	if (*size > 0)
	{
		size_t len = *size;

		*size = 0;
		return add_body(exchange, data, len);
	}
	if (!exchange->answered)
		return hand_out(exchange);
	return exchange->response == NULL
			   ? MHD_NO
			   : MHD_queue_response(connection, (unsigned int) exchange->status, exchange->response);
}

/* The path is ours to read. */
static size_t
keep_escapes(void *arg, struct MHD_Connection *connection, char *text)
{
	(void) arg;
	(void) connection;
	return strlen(text);
}

static void
be_silent(void *arg, const char *format, va_list values)
{
	(void) arg;
	(void) format;
	(void) values;
}

/* A socket on which several processes may listen; -1 with a sentence in problem. */
static int
listen_on(const IntegServerOptions *options, char *problem, size_t size)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t) options->port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t) options->port)};
	bool is_v4 = inet_pton(AF_INET, options->address, &v4.sin_addr) == 1;
	bool is_v6 = !is_v4 && inet_pton(AF_INET6, options->address, &v6.sin6_addr) == 1;
	int fd, on = 1;

	if (!is_v4 && !is_v6)
	{
		snprintf(problem, size, "\"%s\" is no IP address", options->address);
		return -1;
	}
	fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
		bind(fd, is_v4 ? (struct sockaddr *) &v4 : (struct sockaddr *) &v6, is_v4 ? sizeof(v4) : sizeof(v6)) != 0 ||
		listen(fd, BACKLOG) != 0)
	{
		snprintf(problem, size, "could not listen on %s, port %d: %s", options->address, options->port, strerror(errno));
		if (fd >= 0)
			(void) close(fd);
		return -1;
	}
	return fd;
}

static int
bound_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *) &address, &len) != 0)
		return 0;
	return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *) &address)->sin_port
											  : ((struct sockaddr_in6 *) &address)->sin6_port);
}

/* The library's part of it; with TLS certificates are asked for by integ_tls_choose. */
static struct MHD_Daemon *
start_daemon(IntegServer *server, const IntegServerOptions *options)
{
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *) integ_tls_choose},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *) INTEG_TLS_PRIORITIES},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

	if (server->tls != NULL)
		flags |= MHD_USE_TLS;
	/* clang-format off */
	return MHD_start_daemon(flags, 0, NULL, NULL, handle, server,
							MHD_OPTION_EXTERNAL_LOGGER, be_silent, NULL,
							MHD_OPTION_LISTEN_SOCKET, server->listener,
							MHD_OPTION_CONNECTION_LIMIT, (unsigned int) options->max_connections,
							MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) INTEG_SERVER_MAX_HEADER_BYTES * 2,
							MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int) options->idle_s,
							MHD_OPTION_STRICT_FOR_CLIENT, 1,
							MHD_OPTION_NOTIFY_COMPLETED, end_exchange, NULL,
							MHD_OPTION_URI_LOG_CALLBACK, begin_exchange, server,
							MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
							MHD_OPTION_ARRAY, server->tls != NULL ? tls : none, MHD_OPTION_END);
	/* clang-format on */
}

static void
free_server(IntegServer *server)
{
	if (server->daemon != NULL)
		MHD_stop_daemon(server->daemon);
	else if (server->listener >= 0)
		(void) close(server->listener);
	if (server->tls != NULL)
		integ_tls_close(server->tls);
	free(server);
}

static IntegServer *
server_open(const IntegServerOptions *options, char *problem, size_t size)
{
	IntegServer *server = calloc(1, sizeof(IntegServer));

	if (server == NULL)
	{
		snprintf(problem, size, "out of memory");
		return NULL;
	}
	server->max_body = options->max_body;
	server->request_s = options->request_s;
	server->listener = -1;
	if (options->cert_file != NULL)
		server->tls = integ_tls_open(options->cert_file, options->key_file, problem, size);
	if (options->cert_file == NULL || server->tls != NULL)
		server->listener = listen_on(options, problem, size);
	if (server->listener >= 0)
	{
		server->port = bound_port(server->listener);
		server->daemon = start_daemon(server, options);
		if (server->daemon != NULL)
			return server;
		snprintf(problem, size, "the HTTP server did not start");
	}
	free_server(server);
	return NULL;
}

static int
server_port(const IntegServer *server)
{
	return server->port;
}

static int
server_fd(const IntegServer *server)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);

	return info == NULL ? -1 : info->epoll_fd;
}

static bool
server_run(IntegServer *server)
{
	return MHD_run(server->daemon) == MHD_YES;
}

static long
server_timeout(IntegServer *server, long limit)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	if (MHD_get_timeout(server->daemon, &timeout) != MHD_YES || timeout > (MHD_UNSIGNED_LONG_LONG) limit)
		return limit;
	return (long) timeout;
}

static IntegServerRequest *
server_next(IntegServer *server)
{
	IntegServerRequest *request = server->first;

	if (request == NULL)
		return NULL;
	server->first = request->next;
	if (server->first == NULL)
		server->last = NULL;
	request->next = NULL;
	server->whole--;
	return request;
}

static int
server_whole(const IntegServer *server)
{
	return server->whole;
}

static void
server_answer(IntegServer *server, IntegServerRequest *request, const IntegServerAnswer *answer)
{
	Exchange *exchange = (Exchange *) request;

	(void) server;
	exchange->answered = true;
	exchange->status = answer->status;
	exchange->response =
		MHD_create_response_from_buffer(answer->body_len, (void *) answer->body, MHD_RESPMEM_MUST_COPY);
	for (int i = 0; exchange->response != NULL && i < answer->nheaders; i++)
		(void) MHD_add_response_header(exchange->response, answer->headers[i].name, answer->headers[i].value);
	if (exchange->response != NULL && answer->close)
		(void) MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_CONNECTION, "close");
	MHD_resume_connection(exchange->connection);
}

static void
server_quiesce(IntegServer *server)
{
	MHD_socket fd = MHD_quiesce_daemon(server->daemon);

	if (fd != MHD_INVALID_SOCKET)
		(void) close(fd);
}

static int
server_requests(const IntegServer *server)
{
	return server->requests;
}

static bool
server_renew(IntegServer *server, char *problem, size_t size)
{
	return server->tls == NULL || integ_tls_renew(server->tls, problem, size);
}

const IntegServerDriver integ_server_driver = {
	.open = server_open,
	.port = server_port,
	.fd = server_fd,
	.run = server_run,
	.timeout = server_timeout,
	.next = server_next,
	.whole = server_whole,
	.answer = server_answer,
	.quiesce = server_quiesce,
	.requests = server_requests,
	.renew = server_renew,
	.close = free_server,
};

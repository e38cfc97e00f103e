/*
 * A server for unit tests: one thread a connection, and a script that gets the bare
 * socket, so that it can tell any lie.
 */
#ifndef TEST_HTTP_SERVER_H
#define TEST_HTTP_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HTTP_SERVER_REQUEST 65536

typedef struct HttpServer HttpServer;

/* Plays one connection, the how manyth (from 0); the socket is closed afterwards. */
typedef void (*HttpScript)(HttpServer *server, int client, int connection);

struct HttpServer
{
	int listener;
	int port;
	char base[64]; /* http://127.0.0.1:port */
	HttpScript script;
	const void *argument;
	atomic_int connections;
	atomic_int requests;
	atomic_int running;
	pthread_t thread;
	pthread_mutex_t lock;
	int clients[1024];				/* sockets by connection; 0: none */
	char last[HTTP_SERVER_REQUEST]; /* the last request that was read whole */
};

typedef struct HttpConnection
{
	HttpServer *server;
	int client;
	int number;
} HttpConnection;

static void *
http_server_connection(void *argument)
{
	HttpConnection connection = *(HttpConnection *) argument;

	free(argument);
	connection.server->script(connection.server, connection.client, connection.number);
	pthread_mutex_lock(&connection.server->lock);
	connection.server->clients[connection.number % 1024] = 0;
	close(connection.client);
	pthread_mutex_unlock(&connection.server->lock);
	atomic_fetch_sub(&connection.server->running, 1);
	return NULL;
}

static void *
http_server_loop(void *argument)
{
	HttpServer *server = argument;
	int client;

	while ((client = accept(server->listener, NULL, NULL)) >= 0)
	{
		HttpConnection *connection = malloc(sizeof(HttpConnection));
		pthread_t thread;

		*connection = (HttpConnection){server, client, atomic_fetch_add(&server->connections, 1)};
		atomic_fetch_add(&server->running, 1);
		pthread_mutex_lock(&server->lock);
		server->clients[connection->number % 1024] = client;
		pthread_mutex_unlock(&server->lock);
		pthread_create(&thread, NULL, http_server_connection, connection);
		pthread_detach(thread);
	}
	return NULL;
}

static inline void
http_server_start(HttpServer *server, HttpScript script, const void *argument)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	memset(server, 0, sizeof(*server));
	server->script = script;
	server->argument = argument;
	pthread_mutex_init(&server->lock, NULL);
	server->listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(server->listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(server->listener, 64) != 0 ||
		getsockname(server->listener, (struct sockaddr *) &address, &len) != 0)
	{
		perror("http_server_start");
		exit(1);
	}
	server->port = ntohs(address.sin_port);
	snprintf(server->base, sizeof(server->base), "http://127.0.0.1:%d", server->port);
	pthread_create(&server->thread, NULL, http_server_loop, server);
}

/* Ends all connections. */
static inline void
http_server_stop(HttpServer *server)
{
	shutdown(server->listener, SHUT_RDWR);
	close(server->listener);
	pthread_join(server->thread, NULL);
	pthread_mutex_lock(&server->lock);
	for (int i = 0; i < 1024; i++)
		if (server->clients[i] != 0)
			shutdown(server->clients[i], SHUT_RDWR);
	pthread_mutex_unlock(&server->lock);
	while (atomic_load(&server->running) > 0)
		usleep(1000);
}

/* Reads one request with its body into server->last; false when the client is gone. */
static inline bool
http_server_read(HttpServer *server, int client)
{
	static __thread char text[HTTP_SERVER_REQUEST];
	size_t len = 0, wanted = 0;
	char *end = NULL;

	while (end == NULL || len < wanted)
	{
		ssize_t n = read(client, text + len, sizeof(text) - 1 - len);

		if (n <= 0)
			return false;
		len += (size_t) n;
		text[len] = '\0';
		if (end == NULL && (end = strstr(text, "\r\n\r\n")) != NULL)
		{
			char *length = strstr(text, "\r\nContent-Length:");

			end += 4;
			wanted = (size_t) (end - text) + (length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0);
		}
	}
	atomic_fetch_add(&server->requests, 1);
	pthread_mutex_lock(&server->lock);
	memcpy(server->last, text, len + 1);
	pthread_mutex_unlock(&server->lock);
	return true;
}

static inline bool
http_server_write(int client, const void *data, size_t len)
{
	return send(client, data, len, MSG_NOSIGNAL) == (ssize_t) len;
}

static inline bool
http_server_say(int client, const char *text)
{
	return http_server_write(client, text, strlen(text));
}

/* Closes with a reset instead of an end. */
static inline void
http_server_reset(int client)
{
	struct linger linger = {.l_onoff = 1};

	setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* The server's URL with a path; four of them stay at a time. */
static inline const char *
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
static inline void
repeat(HttpServer *server, int client, int connection)
{
	(void) connection;
	while (http_server_read(server, client))
		http_server_say(client, server->argument);
}

/* Answers one request with the argument, and closes. */
static inline void
once(HttpServer *server, int client, int connection)
{
	(void) connection;
	if (http_server_read(server, client))
		http_server_say(client, server->argument);
}

/* As once, but what was said ends with a reset. (What has arrived before it is read all the same.) */
static inline void
once_and_reset(HttpServer *server, int client, int connection)
{
	once(server, client, connection);
	usleep(20000);
	http_server_reset(client);
}

/* Says the argument, then its last line for ever. */
static inline void
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

static inline void
silent(HttpServer *server, int client, int connection)
{
	(void) connection;
	while (http_server_read(server, client))
		;
}

#endif /* TEST_HTTP_SERVER_H */

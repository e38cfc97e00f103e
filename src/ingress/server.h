/*
 * An HTTP server that its owner drives: it does what can be done without waiting, and tells what to wait for. Free of
 * PostgreSQL; no threads.
 *
 * Requests are handed out whole, one after the other; each waits until it is answered.
 */
#ifndef INTEG_INGRESS_SERVER_H
#define INTEG_INGRESS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http.h"

/* What a header section may come to; a longer one is answered with 431. */
#define INTEG_SERVER_MAX_HEADER_BYTES (32 * 1024)
#define INTEG_SERVER_MAX_HEADERS 100

/* What the bodies under way may come to together; the connection of one that would pass it is closed. */
#define INTEG_SERVER_MAX_HELD (256 * 1024 * 1024)

/* A path and query longer than this are answered with 414. */
#define INTEG_SERVER_MAX_URI 8192

typedef struct IntegServerOptions
{
	const char *address;   /* IP address */
	const char *cert_file; /* PEM: the server's certificate, then those that lead to its authority; NULL: no TLS */
	const char *key_file;  /* PEM, readable by its owner only */
	int port;			   /* 0: any free one */
	size_t max_body;	   /* a larger one is answered with 413, or its connection closed */
	int max_connections;
	int idle_s;	   /* a connection on which nothing comes for so long is closed */
	int request_s; /* … and one whose request is not whole after so long */
} IntegServerOptions;

typedef struct IntegServerRequest
{
	const char *address; /* of the peer; "": not known */
	const char *method;
	const char *uri; /* path and query as written */
	IntegHttpHeader *headers;
	int nheaders;
	char *body; /* a NUL behind it */
	size_t body_len;
	struct IntegServerRequest *next; /* for whoever has it */
} IntegServerRequest;

typedef struct IntegServerAnswer
{
	int status;
	const IntegHttpHeader *headers;
	int nheaders;
	const char *body;
	size_t body_len;
	bool close; /* the connection after it */
} IntegServerAnswer;

typedef struct IntegServer IntegServer;

/*
 * What listens. Of the functions of a driver none raises or waits.
 */
typedef struct IntegServerDriver
{
	/* Listens; NULL with a sentence in problem (size bytes) where that fails. Several processes may share a port. */
	IntegServer *(*open)(const IntegServerOptions *options, char *problem, size_t size);
	int (*port)(const IntegServer *server);
	/* Readable when run has something to do. */
	int (*fd)(const IntegServer *server);
	/* Reads and writes what can be; false where the server can do no more. */
	bool (*run)(IntegServer *server);
	/*
	 * Reads the files of the certificate again, where they have changed; false with a sentence in problem (size bytes)
	 * where they cannot be used: what was read before stays. Connections that are open keep theirs.
	 */
	bool (*renew)(IntegServer *server, char *problem, size_t size);
	/* Milliseconds after which run is to be called anyway, at most limit. */
	long (*timeout)(IntegServer *server, long limit);
	/* The request that is whole for the longest time, and its server's until it is answered; NULL: none. */
	IntegServerRequest *(*next)(IntegServer *server);
	/* How many next would hand out. */
	int (*whole)(const IntegServer *server);
	/* Answers, with copies of everything; the request is gone. */
	void (*answer)(IntegServer *server, IntegServerRequest *request, const IntegServerAnswer *answer);
	/* Takes no more connections. What is under way goes on. */
	void (*quiesce)(IntegServer *server);
	/* Requests that have begun and are not answered. */
	int (*requests)(const IntegServer *server);
	/* Closes everything. */
	void (*close)(IntegServer *server);
} IntegServerDriver;

#endif /* INTEG_INGRESS_SERVER_H */

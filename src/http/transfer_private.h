/*
 * What the files of the transfer layer share: pool.c (the multi handle and its sockets), transfer.c (the
 * life of an exchange), setup.c (what libcurl is told), receive.c (what it calls back),
 * failure.c (what a failure means).
 */
#ifndef INTEG_HTTP_TRANSFER_PRIVATE_H
#define INTEG_HTTP_TRANSFER_PRIVATE_H

#include <curl/curl.h>
#include <signal.h>

#include "http/address.h"
#include "http/transfer.h"

/* Why a callback of ours stopped a transfer; libcurl only knows that one did. */
typedef enum IntegStop
{
	INTEG_STOP_NONE,
	INTEG_STOP_BODY,	/* longer than max_response */
	INTEG_STOP_HEADERS, /* beyond their caps */
	INTEG_STOP_MEMORY,
	INTEG_STOP_REPEAT,	/* libcurl was about to send a write a second time */
	INTEG_STOP_UNCLEAN, /* the kept connection has something to say before it was asked */
	INTEG_STOP_CA_FILE	/* the file of authorities cannot be read */
} IntegStop;

typedef struct IntegBuffer
{
	char *data;
	size_t len;
	size_t size;
} IntegBuffer;

typedef enum IntegTransferState
{
	INTEG_TRANSFER_IDLE,   /* kept with its easy handle for the next exchange */
	INTEG_TRANSFER_ACTIVE, /* in the multi handle */
	INTEG_TRANSFER_DONE,   /* its outcome is in response */
	INTEG_TRANSFER_STATES
} IntegTransferState;

typedef struct IntegTransferList
{
	IntegTransfer *first, *last;
} IntegTransferList;

struct IntegTransfer
{
	IntegTransferPool *pool;
	IntegTransfer *previous, *next; /* in the list of its state */
	IntegTransferState state;
	CURL *easy;
	const IntegHttpRequest *request;
	void *owner;

	/* what is asked for */
	char *url;	  /* of this hop; NULL: the request's */
	char *origin; /* of all hops */
	int redirects;
	void *lines; /* header list and its text in one block, with secrets */
	size_t lines_size;
	int64_t started; /* microseconds of the monotonic clock */
	bool separate;	 /* shares no connection, because its settings are not the pool's */
	bool fresh;		 /* uses no kept connection, because the last one was not clean */

	/* what happened */
	bool sent; /* the request may have left, in any hop */
	bool sent_in_hop;
	bool worn;		/* the easy handle counts failures and is not to be used again */
	int descriptor; /* the socket the request went to, -1: not known */
	bool opened;	/* a socket was opened in this hop */
	bool blocked;	/* an address was refused in this hop */
	char blocked_address[INTEG_ADDRESS_TEXT_SIZE];
	IntegStop stop;
	char curl_error[CURL_ERROR_SIZE];

	/* what came back */
	IntegBuffer header_text;					   /* name NUL value NUL … */
	size_t header_offsets[INTEG_HTTP_MAX_HEADERS]; /* of the names */
	int nheaders;
	size_t header_bytes;   /* of all answers */
	bool headers_complete; /* of the present answer */
	bool discard;		   /* the body is one of a redirect that is followed */
	size_t discarded;	   /* bytes of it */
	size_t window;		   /* of a streamed body; 0: it is collected */
	size_t taken;		   /* bytes of it that its reader took */
	bool paused;		   /* libcurl holds some back until there is room */
	long status;		   /* of the present answer */
	IntegBuffer body;
	IntegHttpResponse response; /* the outcome, once done */
};

/* What the pool knows of a descriptor that libcurl asked to be watched. */
typedef struct IntegSocket
{
	uint32_t armed;	  /* events it is registered for, 0: not registered */
	bool ours;		  /* opened by our callback, so that we learn of its end */
	bool wanted;	  /* libcurl is waiting for it */
	bool answered;	  /* an exchange was completed on it */
	bool multiplexed; /* HTTP/2: its frames say which request they belong to */
	int port;		  /* its local port, 0: not asked for yet */
} IntegSocket;

struct IntegTransferPool
{
	CURLM *multi;
	CURLSH *share; /* TLS sessions */
	int epoll;
	int64_t timer; /* when libcurl wants to be called, microseconds; -1: not */
	int max_connections;
	bool broken; /* the multi handle cannot be used any further */

	IntegSocket *sockets; /* by descriptor */
	int nsockets;
	int recent; /* the descriptor that carried the last request */

	IntegTransferList lists[INTEG_TRANSFER_STATES];
	IntegTransfer *unread; /* the first done one that integ_transfer_next_done has not handed out */
	int nidle;

	/* What the kept connections were opened under; another setting must not use them. */
	char *allowed_addresses, *ca_file, *proxy;

	/* The last URL's beginning up to its path, and its origin: most requests go to the same one. */
	char *authority, *origin;

	sigset_t signals; /* to be restored when the call into libcurl is over */
	bool signals_blocked;
};

/* pool.c */
/* Through a proxy: the name of the service is then the proxy's to resolve. */
static inline bool
integ_request_is_proxied(const IntegHttpRequest *request)
{
	return request->proxy != NULL && request->proxy[0] != '\0';
}

extern int64_t integ_transfer_now(void);
extern int integ_pool_add_socket(IntegTransferPool *pool, int descriptor);
/* The open socket with that local port, -1 where there is none. */
extern int integ_pool_find_socket(IntegTransferPool *pool, int local_port);
extern void integ_pool_block_signals(IntegTransferPool *pool);
extern void integ_pool_restore_signals(IntegTransferPool *pool);
/* Makes the settings of the request the pool's; false: it cannot now, the transfer must keep to itself. */
extern bool integ_pool_adopt(IntegTransferPool *pool, const IntegHttpRequest *request);
/* Lets libcurl act on its timer until it wants to wait, and takes what is finished. */
extern void integ_pool_progress(IntegTransferPool *pool);
extern int integ_pool_close_socket(void *pool, curl_socket_t descriptor);

/* transfer.c */
extern void integ_transfer_completed(IntegTransfer *transfer, CURLcode code);
extern void integ_transfer_fail(IntegTransfer *transfer, IntegHttpFailure failure, const char *sentence);
extern void integ_transfer_delete(IntegTransfer *transfer);

/* setup.c */
extern CURL *integ_easy_create(IntegTransfer *transfer);
extern CURLcode integ_easy_prepare(IntegTransfer *transfer);
extern bool integ_easy_build_lines(IntegTransfer *transfer);
extern void integ_easy_forget(IntegTransfer *transfer);

/* receive.c */
extern size_t integ_receive_header(char *line, size_t size, size_t count, void *transfer);
extern size_t integ_receive_body(char *data, size_t size, size_t count, void *transfer);
extern void integ_receive_reset(IntegTransfer *transfer);
extern const char *integ_receive_find(const IntegTransfer *transfer, const char *name);
extern bool integ_receive_deliver(IntegTransfer *transfer, IntegHttpResponse *response);
extern void integ_buffer_wipe(IntegBuffer *buffer);

/* failure.c */
extern void integ_transfer_explain(IntegTransfer *transfer, CURLcode code);

/* Whether the answer so far is a redirect that will be followed. */
extern bool integ_transfer_follows(const IntegTransfer *transfer);

#endif /* INTEG_HTTP_TRANSFER_PRIVATE_H */

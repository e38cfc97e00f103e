/*
 * Settings. docs/settings.md lists each with its default and its reason.
 */
#ifndef INTEG_CORE_GUC_H
#define INTEG_CORE_GUC_H

#include "postgres.h"

#include "vault/aead.h" /* IntegVaultAlgorithm */

/* vault */
extern char *integ_master_key_file;			 /* SIGHUP: file of 64 hex digits */
extern char *integ_master_key_command;		 /* SIGHUP: command that prints them */
extern char *integ_master_key_previous_file; /* SIGHUP: the key before, while it is being changed */
extern int integ_vault_algorithm;			 /* SIGHUP: IntegVaultAlgorithm for new values */

/* outbound HTTP */
extern char *integ_allowed_addresses; /* SIGHUP: CIDR list of private addresses that may be reached */
extern char *integ_ca_file;			  /* SIGHUP: PEM bundle trusted besides the system's, or empty */
extern char *integ_proxy;			  /* SIGHUP: proxy URL for all outbound requests, or empty */
extern char *integ_env_allowed;		  /* SIGHUP: names of environment variables credentials may come from */
extern int integ_connect_timeout;	  /* USERSET: milliseconds */
extern int integ_request_timeout;	  /* USERSET: milliseconds, whole exchange */
extern int integ_max_response_size;	  /* USERSET up to a SUSET cap: kilobytes */
extern int integ_max_download_size;	  /* SUSET: kilobytes of a streamed answer */
extern int integ_max_sync_wait;		  /* USERSET: milliseconds a synchronous request may wait */

/* recording */
extern int integ_log_flush;		/* SIGHUP: milliseconds a read's log may lag */
extern int integ_log_buffer;	/* POSTMASTER: kilobytes of shared memory a database */
extern int integ_log_retention; /* SIGHUP: days that integ.requests is kept */

/* durable calls */
extern int integ_dispatchers;				/* SIGHUP: dispatchers of each database */
extern int integ_instance_concurrency;		/* SIGHUP: calls at once to an instance whose definition does not say */
extern int integ_host_concurrency;			/* SIGHUP: requests at once to one host; 0: not limited */
extern int integ_retry_delay;				/* SIGHUP: milliseconds before the second attempt, at most */
extern int integ_max_retry_delay;			/* SIGHUP: milliseconds that the delay doubles up to */
extern int integ_deactivate_after_failures; /* SIGHUP: final failures in a row that switch an instance off; 0: never */
extern int integ_deactivate_after;			/* SIGHUP: seconds that the first of them must be past */
extern bool integ_notify_calls;				/* SIGHUP: channels integ_calls and integ_sync are told what has ended */
extern int integ_idempotency_retention;		/* SIGHUP: seconds that the idempotency key of a call is kept */

/* deliveries */
extern int integ_delivery_timeout;		 /* SIGHUP: milliseconds that one request may take */
extern char *integ_delivery_schedule;	 /* SIGHUP: delays between attempts, with commas between them */
extern int integ_endpoint_disable_after; /* SIGHUP: seconds of failing that disable an endpoint; 0: never */

/* handlers */
extern int integ_max_handler_workers; /* SIGHUP: of each database */
extern int integ_handler_timeout;	  /* SIGHUP: milliseconds that a function may take */

/* sync */
extern int integ_max_sync_workers;			/* SIGHUP: of each database */
extern int integ_instance_sync_concurrency; /* SIGHUP: executions at once of tasks of one instance */
extern int integ_sync_retention;			/* SIGHUP: days that executions, their errors and logs are kept */

/* the listener */
extern int integ_max_event_depth;	 /* SIGHUP: runs that led to each other, after which an event leads to nothing */
extern int integ_listen_port;		 /* SUSET, of a database: 0: it does not listen */
extern char *integ_listen_addresses; /* SUSET, of a database: the IP address that it listens on */
extern int integ_listeners;			 /* SIGHUP: processes that share the port */
extern char *integ_listen_cert_file; /* SUSET, of a database: PEM file of its certificates; "": it does not speak TLS */
extern char *integ_listen_key_file;	 /* SUSET, of a database: PEM file of the private key */
extern char *integ_trusted_proxies;	 /* SIGHUP: CIDR list of those whose word counts about whom they ask for */

/* OAuth */
extern char *integ_public_url;			/* SUSET: base of the URLs that services call */
extern char *integ_allowed_return_urls; /* SIGHUP: prefixes of URLs that people may be sent to in the end */
extern char *integ_reconnect_url;		/* SIGHUP: page of the application that begins an authorization; "": none */
extern int integ_refresh_concurrency;	/* SIGHUP: token requests under way at once in a dispatcher */

/* stored answers */
extern int integ_answer_retention; /* SIGHUP: seconds that the answer of a conditional method is kept; 0: it is not */

/* approvals */
extern int integ_approval_expiry;	 /* SIGHUP: seconds that one waits for a decision */
extern int integ_approval_retention; /* SIGHUP: days that a decision is kept */

/* processes */
extern int integ_max_databases;	  /* POSTMASTER: databases with workers */
extern int integ_max_rate_limits; /* POSTMASTER: limits, and circuit breakers, in use at the same time */
extern bool integ_hold;			  /* SIGHUP: nothing leaves while on */

/* Declares every setting; called once from _PG_init. */
extern void integ_guc_define(void);

#endif /* INTEG_CORE_GUC_H */

/*
 * Definitions, compiled from their manifests and cached per backend.
 */
#ifndef INTEG_DEFINITIONS_DEFINITION_H
#define INTEG_DEFINITIONS_DEFINITION_H

#include "postgres.h"

#include "access/actor.h"
#include "core/compat.h"
#include "core/pinned.h"
#include "http/events.h"
#include "jwt/jwt.h"
#include "limits/limits.h"
#include "schema/schema.h"
#include "template/template.h"
#include "utils/jsonb.h"

/* What makes an answer an error: every condition given holds. */
typedef struct IntegErrorRule
{
	IntegPath *when; /* finds something in the body; NULL: whatever the body */
	int nstatuses;	 /* 0: whatever the status */
	int *statuses;
	const char *class;		 /* "IG422" … */
	int sqlstate;			 /* the same, encoded for errcode() */
	IntegPath *message_path; /* the service's message, or NULL */
	const char *message;	 /* text, or NULL */
	IntegPath *retry_after;	 /* seconds to wait, or NULL */
} IntegErrorRule;

typedef struct IntegErrorRules
{
	int count;
	IntegErrorRule *items;
} IntegErrorRules;

/* Records that fail by themselves in an answer that does not. */
typedef struct IntegPartial
{
	IntegPath *items;	/* the list of outcomes; NULL: the answer is whole */
	IntegPath *failed;	/* finds something in the outcome of one that failed */
	IntegPath *message; /* or NULL */
} IntegPartial;

typedef enum IntegBodyEncoding
{
	INTEG_SEND_JSON,
	INTEG_SEND_FORM,
	INTEG_SEND_MULTIPART,
	INTEG_SEND_TEXT,
	INTEG_SEND_XML,
	INTEG_SEND_BINARY
} IntegBodyEncoding;

/* Where a credential goes, and as what. */
typedef enum IntegAuthPlace
{
	INTEG_AUTH_HEADER,
	INTEG_AUTH_QUERY,
	INTEG_AUTH_PATH, /* before the path of every request */
	INTEG_AUTH_BODY,
	INTEG_AUTH_COOKIE
} IntegAuthPlace;

typedef struct IntegAuthPart
{
	IntegAuthPlace place;
	const char *name;	  /* NULL in a path */
	IntegTemplate *value; /* text template over credentials (and config); NULL: HTTP basic */
} IntegAuthPart;

/* How a token is signed that a call carries, or that is exchanged for one. Templates may be NULL. */
/* The grant of such an exchange: no manifest can name it. */
#define INTEG_GRANT_SIGNED "signed_token"

typedef struct IntegJwtSpec
{
	IntegJwtAlgorithm algorithm;
	IntegTemplate *key;
	IntegJwtKeyEncoding key_encoding;
	IntegTemplate *passphrase;
	IntegTemplate *key_id;
	IntegTemplate *header; /* object template */
	IntegTemplate *issuer;
	IntegTemplate *subject;
	IntegTemplate *audience;
	IntegTemplate *scope;
	IntegTemplate *claims; /* object template */
	int lifetime_s;
	bool token_id; /* each has an id of its own */
	/* What the signed token is exchanged by, as if it were an oauth2Config; NULL: the token itself is sent. */
	const JsonbContainer *exchange;
} IntegJwtSpec;

/* One way to authenticate. Where the manifest is silent, the defaults of its authType are filled in. */
typedef struct IntegAuth
{
	const char *id; /* NULL: the definition's only one */
	const char *auth_type;
	int nparts; /* 0: nothing is injected that way */
	IntegAuthPart *parts;
	IntegTemplate *username; /* HTTP basic: user and password, or NULL */
	IntegTemplate *password;
	IntegSchema *credentials;	  /* credentialSchema or NULL */
	const JsonbContainer *oauth2; /* oauth2Config or NULL */
	IntegJwtSpec *jwt;			  /* auth.jwt or NULL */
	const char *function;		  /* SQL function whose answer authenticates, or NULL */
} IntegAuth;

/* One request and what its answer becomes: a method's own, or that of one of its steps. */
typedef struct IntegExchange
{
	const char *step;			 /* which of several it is; NULL: a method's only one */
	bool is_write;				 /* it changes something at the service: it is audited and never repeated unasked */
	bool is_elsewhere;			 /* a GET of a URL that an answer named: nothing of the definition goes with it */
	const char *http_method;	 /* GET … */
	IntegTemplate *base_url;	 /* text template over config, or NULL: the definition's */
	const char *base_url_source; /* as in the manifest, or NULL */
	IntegTemplate *path;		 /* text template; placeholders are percent-encoded */
	const char *path_source;	 /* as in the manifest: what the log shows; "" where it has none */
	IntegTemplate *query;		 /* object template or NULL */
	IntegTemplate *headers;		 /* object template or NULL */
	IntegTemplate *body;		 /* any template or NULL */
	IntegBodyEncoding body_encoding;
	const char *multipart_type; /* form-data, related, mixed */
	bool compress;				/* a large body is sent with gzip */
	bool has_style;				/* the definition's holds otherwise */
	IntegParameterStyle style;
	bool is_graphql;
	const char *graphql_document;	  /* or NULL */
	const char *graphql_operation;	  /* or NULL */
	IntegTemplate *graphql_variables; /* or NULL: the input */
	int timeout_ms;					  /* 0: the setting's */
	const char *response_type;		  /* json, text, csv, xml, binary, none; NULL: as its content type says */
	IntegMap *map;					  /* or NULL */
	IntegPath *records;				  /* or NULL */
	bool records_optional;			  /* nothing at the path is an empty list */
	IntegErrorRules errors;			  /* its own; the definition's come after them */
	IntegPartial partial;
	const JsonbContainer *csv; /* how it is written, or NULL */
	const JsonbContainer *xml; /* how it is read, or NULL */
} IntegExchange;

/* One of several requests of a method. */
typedef struct IntegMethodStep
{
	IntegTemplate *when; /* renders to something where it is to run, else to nothing; NULL: it always is */
	IntegExchange *exchange;
} IntegMethodStep;

/* A request that starts a job, one that asks how far it is, one that fetches what it brought. */
typedef struct IntegMethodJob
{
	IntegExchange *submit;
	IntegPath *id;		   /* in the answer to submit, or NULL */
	const char *id_header; /* … or the header that has it, or NULL */
	IntegExchange *poll;
	IntegPath *done;		 /* finds something in the answer to poll where the job has ended */
	IntegPath *failed;		 /* … where it has failed, or NULL */
	IntegPath *message;		 /* … and why, or NULL */
	int64 interval_ms;		 /* between two polls */
	int64 limit_ms;			 /* from submit until it must have ended */
	IntegExchange *download; /* or NULL: what poll brings is the result */
	IntegPath *download_url; /* where it is, in the last answer to poll: anywhere, without credentials; or NULL */
} IntegMethodJob;

typedef struct IntegMethod
{
	/* Known of every method of a definition: */
	const char *id;
	bool is_write; /* access: write */
	bool approval_required;
	bool is_function;				/* nothing is sent: its handlers are all of it */
	const JsonbContainer *manifest; /* the whole method */
	int index;						/* in the manifest's "methods" */
	bool compiled;					/* integ_definition_method compiles what follows at first use */

	IntegExchange *exchange;		  /* NULL where it has no request of its own (steps, job, handler) */
	int nsteps;						  /* 0: no steps */
	IntegMethodStep *steps;			  /* in their order */
	IntegMethodJob *job;			  /* or NULL */
	IntegMap *map;					  /* of steps or a job: over what they brought; or NULL */
	IntegPath *records;				  /* the same */
	bool is_graphql;				  /* protocol: graphql */
	IntegStreamKind stream;			  /* what its answer is a stream of */
	IntegSchema *input;				  /* NULL: anything */
	IntegSchema *output;			  /* or NULL */
	const JsonbContainer *pagination; /* or NULL */
	const Jsonb *first_page;		  /* what {pagination.x} stands for where no list is read; NULL: nothing */
	IntegLimits *limits;			  /* of its own, besides the definition's; or NULL */
	const char *idempotency_in;		  /* header, query, body; NULL where the service honours none */
	const char *idempotency_name;
	bool conditional;	/* the last answer is kept, and asked for again only if it changed */
	uint64 digest;		/* of the manifest's method: another one, another digest */
	const char *before; /* SQL functions that run around the requests, or NULL */
	const char *after;
} IntegMethod;

typedef struct IntegDefinition
{
	IntegPinned pinned; /* holds all of this */
	const char *id;
	const char *version;
	const char *name;
	const char *client_id;	   /* '*', or the client it belongs to */
	const char *status;		   /* active, beta, deprecated, disabled */
	const char *visibility;	   /* public, private, superadmin_only */
	const char *required_plan; /* or NULL */
	const char *connection_scope;
	bool builtin;
	Oid owner;						  /* defined this version: its functions run as it; InvalidOid: nobody */
	bool customized;				  /* a superadmin changed status, visibility or plan */
	int nauths;						  /* at least one */
	IntegAuth *auths;				  /* the first is the default */
	const char *auth_type;			  /* of the default */
	IntegTemplate *base_url;		  /* text template over config (and the token answer), or NULL */
	const char *base_url_source;	  /* as in the manifest, or NULL */
	IntegTemplate *headers;			  /* of every request, or NULL */
	IntegTemplate *query;			  /* of every request, or NULL */
	IntegParameterStyle style;		  /* of queries and forms */
	IntegTemplate *request_transform; /* or NULL */
	IntegMap *response_transform;	  /* or NULL */
	IntegErrorRules errors;			  /* of every method and of raw requests */
	IntegLimits *limits;			  /* of each instance, or NULL */
	IntegBreakerPolicy breaker;		  /* of each instance */
	IntegSchema *config;			  /* configSchema or NULL */
	const char *health_check;		  /* method id or NULL */
	const Jsonb *health_input;		  /* its input, or NULL: {} */
	int nmethods;
	IntegMethod *methods; /* sorted by id; see integ_definition_method */
	const Jsonb *manifest;
} IntegDefinition;

/*
 * The definition (version NULL: the current one), compiled and pinned until
 * CurrentMemoryContext is reset or deleted. NULL where there is none. No visibility check: that is
 * the caller's (instances). No SPI once cached.
 */
extern const IntegDefinition *integ_definition_get(const char *id, const char *version);

/*
 * A method by id, compiled, valid as long as the definition; NULL where the definition has none.
 * Methods that only an instance has are integ_instance_method's.
 */
extern const IntegMethod *integ_definition_method(const IntegDefinition *definition, const char *id);

/* Calls visit for every request of the method as its manifest has it: its own, those of its steps and of its job. */
typedef void (*IntegRequestVisit)(const JsonbContainer *request, void *arg);
extern void integ_method_each_request(const IntegMethod *method, IntegRequestVisit visit, void *arg);

/*
 * Pages that requests name: with "in": "template" {pagination.page}, {pagination.offset} or {pagination.cursor} and
 * {pagination.size}; with "carry", by their names, the values that it takes along. In methods without either such
 * placeholders are the input's.
 */
#define INTEG_PAGINATION_NAMES "pagination"

/* pagination may be NULL: false. */
extern bool integ_pagination_is_named(const JsonbContainer *pagination);

/* What requests call the place of a page: page, offset or cursor; NULL where they do not name it. */
extern const char *integ_pagination_word(const JsonbContainer *pagination);

/* The number of the first page, or the first offset. */
extern int64 integ_pagination_start(const JsonbContainer *pagination);

/* Whether a template of the request has {pagination.NAME}, or a part of it. */
extern bool integ_exchange_names_page(const IntegExchange *exchange, const char *name);

/*
 * {"pagination": {…}} for a page, in CurrentMemoryContext: its place (NULL: the first one has none) under word, size
 * (0: not known), and the members of carried, which may be NULL.
 */
extern const Jsonb *integ_pagination_values(const char *word, const JsonbValue *place, int64 size,
											const JsonbContainer *carried);

/* The same for the first page; NULL where requests do not name theirs. */
extern const Jsonb *integ_pagination_first(const JsonbContainer *pagination);

/* The way to authenticate that an instance stores (NULL: the default one). NULL where the definition has it no more. */
extern const IntegAuth *integ_definition_auth(const IntegDefinition *definition, const char *auth_method);

/*
 * Whether the way to authenticate has a credential of that name by itself, whatever credentialSchema says: OAuth's
 * tokens.
 */
extern bool integ_auth_brings(const IntegAuth *auth, const char *name);

/* An element of requiredScopes in words: a scope, or "a or b" of a list of which any one will do. */
extern char *integ_scope_text(const JsonbValue *need);

/*
 * The version that an instance follows: series is a major version ("1") or one version exactly.
 * NULL where that is the current one; else palloc'ed. Where no version of that major is left: NULL too. Must be
 * called outside integ_owner_enter.
 */
extern char *integ_definition_follow(const char *id, const char *series);

/* Whether the actor sees the definition in the catalog: its client, its visibility. */
extern bool integ_definition_visible(const IntegDefinition *definition, const IntegActor *actor);

/* Raises IG404 for a definition that is not there or not visible. */
pg_noreturn extern void integ_definition_unknown(const char *id);

#endif /* INTEG_DEFINITIONS_DEFINITION_H */

/*
 * OAuth 2.0 (RFC 6749): tokens are obtained, kept, refreshed and revoked by the
 * dispatchers, one request at a time for each instance. Backends begin and end
 * authorizations, and ask (oauth/desk.h).
 */
#ifndef INTEG_OAUTH_OAUTH_H
#define INTEG_OAUTH_OAUTH_H

#include "postgres.h"

#include "definitions/definition.h"
#include "http/http.h"
#include "instances/instance.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* What the definition says about OAuth, rendered for one instance. In the context it was made in. */
typedef struct IntegOauthConfig
{
	const IntegInstance *instance;
	const IntegDefinition *definition;
	const JsonbContainer *manifest; /* the oauth2Config */
	const char *authorization_url;	/* or NULL */
	const char *token_url;
	const char *token_origin;
	const char *revoke_url;			  /* or NULL */
	const char *device_url;			  /* device authorization endpoint, or NULL */
	const char *issuer;				  /* or NULL */
	const char *grant_type;			  /* of the first token: authorization_code, client_credentials, jwt_bearer */
	const char *client_auth;		  /* client_secret_basic, client_secret_post, private_key_jwt, none */
	const char *strategy;			  /* automatic, on_demand, manual */
	const char *separator;			  /* between scopes */
	const JsonbContainer *long_lived; /* how access tokens are exchanged for long-lived ones, or NULL */
	bool pkce;
} IntegOauthConfig;

/* Whether the instance authenticates by OAuth. */
extern bool integ_oauth_used(const IntegInstance *instance, const IntegDefinition *definition);

/* Whether it does, and it takes a person to authorize. */
extern bool integ_oauth_by_person(const IntegInstance *instance, const IntegDefinition *definition);

/*
 * Fills config in CurrentMemoryContext. Raises IG400 where the instance does not use OAuth, or an endpoint is no
 * https URL
 * (http is for loopback only).
 */
extern void integ_oauth_config(const IntegInstance *instance, const IntegDefinition *definition,
							   IntegOauthConfig *config);

/*
 * An endpoint in a part of the manifest: its template over config and token fields, in CurrentMemoryContext, with its
 * origin (NULL: not wanted). NULL where there is none. Raises IG400 as integ_oauth_config.
 */
extern const char *integ_oauth_endpoint(const IntegOauthConfig *config, const JsonbContainer *part, const char *key,
										const char **origin);

/*
 * client_id, client_secret, key: the instance's, else its client's for the definition, else the definition's, else
 * (client_id) the config's. NULL where there is none. For a request to the origin, the token endpoint's where it is
 * NULL; as integ_vault_open.
 */
extern const char *integ_oauth_credential(const IntegOauthConfig *config, const char *name, const char *origin);

/* Where the credential goes unless somebody says so; NULL: as every other. *count origins, in CurrentMemoryContext. */
extern const char **integ_oauth_origins(const IntegDefinition *definition, const IntegInstance *instance,
										const char *name, int *count);

/* What is presented to the token endpoint, besides the client itself. Strings may be NULL. */
typedef struct IntegOauthGrant
{
	const char *type; /* authorization_code, refresh_token, client_credentials, jwt_bearer, device_code */
	const char *code;
	const char *redirect_uri;
	const char *verifier;
	const char *refresh_token;
	const char *device_code;
	const char *scope;
} IntegOauthGrant;

/*
 * The token request, in CurrentMemoryContext; what holds secrets is wiped with it. Raises IG401 where client id or
 * secret is
 * missing.
 */
extern void integ_oauth_token_request(const IntegOauthConfig *config, const IntegOauthGrant *grant,
									  IntegHttpRequest *request);

/*
 * The request that exchanges the access token for a long-lived one, or a long-lived one for the next. In
 * CurrentMemoryContext; what holds secrets is wiped with it. Raises IG401 where a credential is missing or the token
 * has expired, IG403 where one may not go there.
 */
extern void integ_oauth_reissue_request(const IntegOauthConfig *config, bool long_lived, IntegHttpRequest *request);

/* Adds the origins of these requests: access token and client secret go there as well. */
#define INTEG_OAUTH_REISSUE_ORIGINS 2
extern void integ_oauth_reissue_origins(const IntegOauthConfig *config, const char **origins, int *count);

/* An empty form that is wiped with CurrentMemoryContext. */
extern StringInfo integ_oauth_form(void);

/* A request without the client's authentication; form NULL: no body. Raises IG400 where it cannot be sent. */
extern void integ_oauth_plain_request(const IntegOauthConfig *config, const char *method, const char *url,
									  StringInfo form, IntegHttpRequest *request);

/* The request of another endpoint: parameters is an already encoded form, NULL for none; the client authenticates. */
extern void integ_oauth_client_request(const IntegOauthConfig *config, const char *url, StringInfo form,
									   IntegHttpRequest *request);

/*
 * JWTs that this client signs with its credential "key": to authenticate itself (RFC 7523, section 2.2), and in
 * place of a
 * person (section 2.1; claims by auth.jwt). In memory that is wiped. Raise IG401 where there is no key, IG400 for a
 * bad one.
 */
extern const char *integ_oauth_client_assertion(const IntegOauthConfig *config);
extern const char *integ_oauth_bearer_assertion(const IntegOauthConfig *config);

/* Appends name=value to a form. */
extern void integ_oauth_form_add(StringInfo form, const char *name, const char *value);

typedef enum IntegOauthResult
{
	INTEG_OAUTH_GRANTED,
	INTEG_OAUTH_PENDING,	 /* device code: the person has not answered */
	INTEG_OAUTH_SLOW_DOWN,	 /* device code: ask less often */
	INTEG_OAUTH_DENIED,		 /* by the person */
	INTEG_OAUTH_INVALID,	 /* invalid_grant: code or refresh token is not, or no longer, good */
	INTEG_OAUTH_CLIENT,		 /* our client is refused: nothing that a person authorizes again mends */
	INTEG_OAUTH_UNAVAILABLE, /* no answer, or one that says try again */
	INTEG_OAUTH_UNREADABLE	 /* an answer that is not what RFC 6749 or the manifest promise */
} IntegOauthResult;

/* What the token endpoint said, in CurrentMemoryContext; the tokens in memory that is wiped. */
typedef struct IntegOauthAnswer
{
	IntegOauthResult result;
	const char *error;		 /* the service's code or ours, NULL where granted */
	const char *description; /* a sentence without secrets, or NULL */
	const char *access_token;
	const char *refresh_token; /* NULL: the one before stays */
	const char *token_type;
	const char *nonce;		/* of an identity token, or NULL */
	TimestampTz expires_at; /* DT_NOEND: it does not say */
	const char **scopes;	/* NULL: it does not say */
	int nscopes;
	const Jsonb *fields;  /* {token.NAME} */
	TimestampTz retry_at; /* of INTEG_OAUTH_UNAVAILABLE; 0: it does not say */
} IntegOauthAnswer;

/* Reads the answer. Needs a transaction; raises nothing about the answer. */
extern void integ_oauth_read_answer(const IntegOauthConfig *config, const IntegHttpResponse *response,
									TimestampTz sent_at, IntegOauthAnswer *answer);

/* How tokens came. */
typedef struct IntegOauthSource
{
	const char *grant;		  /* of a new authorization, as integ.oauth_tokens shows it; NULL: a refresh */
	const char *const *asked; /* the scopes asked for; NULL: as before */
	int nasked;
	const Jsonb *extra; /* what the redirect told, or NULL */
	bool long_lived;	/* exchanged for one that lives long */
} IntegOauthSource;

/*
 * Keeps new tokens: in the vault, in integ.oauth_tokens, and what the answer told in integ.instances, which becomes
 * active. In the current transaction, whose commit must come before anybody uses them.
 *
 * A new authorization binds the access token to the origins that the definition has for the instance now; a refresh
 * to those of them that the token before was bound to, or that the token answer itself has moved: a definition that
 * changes does not lead tokens elsewhere.
 */
extern void integ_oauth_keep(const IntegOauthConfig *config, const IntegOauthAnswer *answer,
							 const IntegOauthSource *came);

/*
 * Keeps what a method has told besides the token answers, {token.NAME}: where the instance's requests go follows, and
 * its access token is bound to that origin too. In the current transaction. Raises IG502 where the base URL is not
 * known even so, IG400 where it leads to another host than the manifest means.
 */
extern void integ_oauth_keep_fields(const IntegOauthConfig *config, const Jsonb *told);

/* The scopes of an array of the manifest or the options, NULL container: none. */
extern const char **integ_oauth_scopes(const JsonbContainer *array, int *count);

/*
 * Tells of a change in the life of the instance (kind such as "instance.token_expired"), with its reason or NULL: an
 * event, in the current transaction, and an entry of the audit.
 */
extern void integ_oauth_announce(const IntegInstance *instance, const char *kind, const char *reason);

/*
 * The instance needs a person: status, event, notification, in the current transaction. Other instances are not
 * concerned.
 */
extern void integ_oauth_require_person(const IntegInstance *instance, const char *why);

/*
 * Asks the manifest's accountInfo method whose account it is, and keeps id and name with the instance, in the
 * current transaction. A
 * failure of the service is a warning.
 */
extern void integ_oauth_ask_account(const IntegActor *actor, const IntegOauthConfig *config);

/* Whether that method also tells what the base URL needs: accountInfo.tokenFields. */
extern bool integ_oauth_learns(const IntegOauthConfig *config);

/*
 * Asks it for that, and has a dispatcher keep it; waits for both. Raises what the method raises, and what
 * integ_oauth_keep_fields does. What was cached of the instance is to be read again.
 */
extern void integ_oauth_learn(const IntegActor *actor, const IntegOauthConfig *config);

/* Has the tokens revoked at the service, waiting at most so long; a failure is a warning, and false. */
extern bool integ_oauth_revoke_at_service(const IntegInstance *instance, int64 timeout_ms);

/* The maintenance job: flows whose time is over, their secrets, and those that are old. */
extern void integ_oauth_sweep(void);

/* What a person does about it: a hint, in CurrentMemoryContext. */
extern char *integ_oauth_mend(const IntegInstance *instance);

/* Sends one of our requests from a backend, waiting interruptibly, and logs it as method. */
extern IntegHttpResponse *integ_oauth_send(const IntegOauthConfig *config, const IntegHttpRequest *request,
										   const char *method);

/* Writes the exchange to the request log, and its end to the audit. action such as "oauth.refresh". */
extern void integ_oauth_record(const IntegOauthConfig *config, const char *action, const char *outcome,
							   const IntegHttpRequest *request, const IntegHttpResponse *response,
							   TimestampTz started_at, const char *error);

#endif /* INTEG_OAUTH_OAUTH_H */

/*
 * The path of a call. One struct travels one way; each step is one file:
 *
 *   resolve -> authorize -> validate -> consult -> render -> admit -> inject -> send
 *           -> classify -> map -> record
 *
 * Everything that sends a request for a method takes this path: the
 * synchronous call, the health check and, later, the dispatcher. A worker ends its
 * transaction between integ_call_prepare and integ_call_send, so that no
 * transaction waits for the network; a caller's backend stays in its own.
 */
#ifndef INTEG_EXECUTE_CALL_H
#define INTEG_EXECUTE_CALL_H

#include "postgres.h"

#include "access/actor.h"
#include "core/compat.h"
#include "core/options.h"
#include "definitions/definition.h"
#include "handlers/handlers.h"
#include "http/http.h"
#include "instances/instance.h"
#include "limits/limits.h"
#include "record/record.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* Of a shorter timeout than this, reaching it does not count as the service's failure. */
#define INTEG_TELLING_TIMEOUT_MS 1000

typedef enum IntegOutputCheck
{
	INTEG_OUTPUT_OFF,
	INTEG_OUTPUT_WARN,
	INTEG_OUTPUT_ERROR
} IntegOutputCheck;

typedef struct IntegCallOptions
{
	int64 timeout_ms;  /* 0: integ.request_timeout */
	bool asynchronous; /* no transaction waits for it: integ.max_sync_wait does not hold */
	IntegOutputCheck validate_output;
	int64 max_wait_ms;	 /* for a slot of a rate limit; 0: not at all */
	bool returning;		 /* asynchronous, and comes when a rate limit told it to */
	bool fallback_stale; /* of a read: the last good answer where the service cannot be asked, or cannot answer */
	bool health_check;	 /* may be sent although the instance's last status says that it will fail */
} IntegCallOptions;

/*
 * The options that every function has which calls a method (timeout, validate_output), and those of its own. Raises
 * IG400 naming the function.
 */
extern void integ_call_options_parse(const Jsonb *options, const IntegOption *own, int nown, const char *function,
									 IntegCallOptions *parsed);

/*
 * How a call ended. sqlerrcode 0 is success with a result; otherwise an IG
 * code with what a person should know.
 */
typedef struct IntegOutcome
{
	int sqlerrcode;
	char *message;
	char *detail;
	char *hint;
	TimestampTz retry_at; /* of IG429 and IG503: when the next request is accepted; 0: nobody says */
	const Jsonb *result;
} IntegOutcome;

/* Shorter strings are no secrets, and would mask half of an ordinary answer. */
#define INTEG_SHORTEST_MASKED 6

/* A secret, or a string built from one: wiped at the end, and masked where the answer echoes it. */
typedef struct IntegCallSecret
{
	char *data;
	size_t len;
	bool masked;
	struct IntegCallSecret *next;
} IntegCallSecret;

typedef struct IntegCall
{
	MemoryContext context;			/* everything of the call; deleted by integ_call_end */
	MemoryContext exchange_context; /* below it: from render on; reset by integ_call_rewind */
	Size kept;						/* of it, over a reset; see integ_call_rewind_often */

	/* asked for */
	const char *instance_name;
	const char *method_id;
	const Jsonb *input;
	IntegCallOptions options;
	int attempt; /* of a durable call, from 1; 0: the only one */
	TimestampTz began_at;
	int64 token_version;						   /* of the OAuth token that the exchange carries */
	bool token_pending;							   /* asynchronous: a token is being refreshed; to come again */
	bool previous_credentials;					   /* those before a rotation, which the service may still want */
	const IntegCredentialOwner *first_credentials; /* whose come before the instance's; NULL: nobody's */

	/* resolve, authorize */
	const IntegActor *actor;
	const IntegInstance *instance;
	const IntegDefinition *definition;
	const IntegMethod *method;
	const IntegAuth *auth;
	IntegRecordSubject subject;

	/* render, inject: of the exchange under way, the method's own unless a step's is set before integ_call_build */
	const IntegExchange *exchange;
	const char *base_url;		/* the instance's, or the exchange's own */
	const char *origin;			/* of it: where this exchange goes, and its credentials */
	char *path;					/* percent-encoded */
	const Jsonb *page;			/* what {pagination.x} stands for; NULL: the method's first page */
	bool raw;					/* integ_request: the exchange is the caller's */
	bool streamed;				/* a success is left to be read from flight; integ_call_end_stream finishes it */
	struct IntegCourse *course; /* of a method of several requests (course/course.h); NULL: it has one */
	IntegTemplateScope scope;
	IntegHttpRequest request;
	IntegHttpHeader *headers;
	int nheaders, max_headers;
	char *query;
	const Jsonb *document;								/* the body while it is a document, else NULL */
	struct IntegMultipart *multipart;					/* the body while it takes parts */
	const char *url;									/* instead of base URL and path: a further page's */
	void (*amend)(struct IntegCall *call, void *pages); /* changes what was rendered; NULL: it leaves as it is */
	void *amend_arg;
	IntegCallSecret *secrets;
	bool asks_change;				  /* the manifest's own headers make it conditional */
	uint8_t *request_hash;			  /* of a conditional method, or NULL */
	struct IntegStoredAnswer *stored; /* what was answered last, or NULL */
	bool signing;					  /* a token is being made: what it is made of must not ask for one */

	/* consult */
	bool asked_before, asked_after;
	const Jsonb *auth_answer; /* what the function of the authentication gave: a secret, wiped with the call */

	/* approval: of a write that a person decides about */
	const struct IntegApproval *approval; /* NULL: none yet */
	bool is_approved;					  /* the request is the one that was approved */
	bool names_secrets;					  /* render with the names of credentials, to be shown */
	bool names_earlier;					  /* … and of what earlier requests bring */

	/* admit */
	IntegGrant *grant; /* until the answer */
	uint64 waits_for;  /* tells the limit that has refused it from others */

	/* send */
	IntegIntent *intent; /* of a write, until its outcome is settled */
	bool has_left;		 /* a request of the call, this exchange's or an earlier one's */
	TimestampTz started_at;
	IntegHttpResponse *response;
	struct IntegHttpFlight *flight; /* whose answer is being read; NULL: it is whole */

	/* classify, map */
	const Jsonb *body;
	bool stale;				  /* nothing was sent: the last good answer is the outcome */
	bool unchanged;			  /* 304: what is stored is the answer */
	TimestampTz closed_until; /* the service takes no requests before; 0: it has not said so */
	bool refused;			  /* a rule of the manifest, or the protocol, calls the answer a failure */
	bool partial;			  /* … and yet some of what was asked for was done */
	int nitems, nfailed;	  /* of response.partial: outcomes in the answer, and those of them that say so */
	IntegOutcome outcome;
} IntegCall;

/*
 * A call of instance's method, in a context of its own below
 * CurrentMemoryContext. input may be NULL (an empty object). instance
 * is a handle, an instance's id or a definition's id.
 */
extern IntegCall *integ_call_begin(const IntegActor *actor, const char *instance, const char *method,
								   const Jsonb *input, const IntegCallOptions *options);

/*
 * A call is opened once (resolve, authorize, validate); each of its exchanges is built (render, admit,
 * inject), sent and finished. Both need a transaction, and raise what stops the call; nothing was sent then.
 * integ_call_prepare is both.
 */
extern void integ_call_open(IntegCall *call);
extern void integ_call_build(IntegCall *call);
extern void integ_call_prepare(IntegCall *call);

/*
 * Forgets the last exchange, its answer and its result, and wipes its secrets, so that the next one
 * can be built: the same again, a page, a step. What is recorded goes by the same call id.
 */
extern void integ_call_rewind(IntegCall *call);

/*
 * As integ_call_rewind, before more exchanges like this one: from now on its memory, up to some megabytes, is kept
 * between them and not given back to the system each time.
 */
extern void integ_call_rewind_often(IntegCall *call);

/*
 * send, and the intent of a write before it. Needs no transaction. Raises IG500 where the recorder
 * cannot make the intent durable; a failed exchange is left in call->response.
 */
extern void integ_call_send(IntegCall *call);

/*
 * For those who send by themselves: the request leaves now; call->response is here, and its slots
 * are free for others. integ_call_send does both. What is built and not sent is given back by
 * integ_call_rewind and integ_call_end.
 */
extern void integ_call_leaves(IntegCall *call);
extern void integ_call_answered(IntegCall *call);

/*
 * send in two parts, for who has something else to do meanwhile: the request of a read leaves; then its answer is
 * waited for, at most so many milliseconds (true: it is whole, has failed, or an interrupt ended the wait), and
 * taken. Nothing is read in between but what the sockets hold.
 */
extern void integ_call_depart(IntegCall *call);
extern bool integ_call_await(IntegCall *call, int most_ms);
extern void integ_call_arrive(IntegCall *call);

/*
 * The answer's body says that the service takes no requests until the time (0: for as long as the manifest's
 * retryAfterMs
 * says): nobody sends before.
 */
extern void integ_call_close(IntegCall *call, TimestampTz until);

/*
 * classify, map, record. Fills call->outcome and raises only what does not
 * concern the answer (interrupts, out of memory); the exchange is recorded then too.
 */
extern void integ_call_finish(IntegCall *call);

/*
 * One exchange of an opened call: built, sent, finished. A service that refuses an OAuth token thought valid gets
 * one more with a refreshed one; during a rotation of the instance's credentials it is repeated with those before where
 * the service refuses the new ones, and the new ones are promoted where it accepts them.
 */
extern void integ_call_exchange(IntegCall *call);

/* All exchanges of an opened call, each as above: its only one, or those of a method of several requests. */
extern void integ_call_carry_out(IntegCall *call);

/* The whole path of a call: open and carry out. */
extern void integ_call_run(IntegCall *call);

/*
 * The answer that is being read is over, or the caller has enough of it: breaks it off where it is not, classifies a
 * failure of the network, and records the exchange, with the outcome that the caller has set or that comes of it.
 */
extern void integ_call_end_stream(IntegCall *call, bool enough);

/* Raises the outcome as an error unless it is a success. */
extern void integ_call_raise(const IntegCall *call);

/* Wipes and frees the call; the result must have been copied. Deleting a parent context does the same. */
extern void integ_call_end(IntegCall *call);

/* What a function of the definition is asked for. */
typedef enum IntegQuestion
{
	INTEG_QUESTION_NONE,
	INTEG_QUESTION_BEFORE, /* the input that is used */
	INTEG_QUESTION_AUTH,   /* what authenticates the request */
	INTEG_QUESTION_AFTER   /* the result, from what the answer was mapped to */
} IntegQuestion;

/* What is to be asked next: before the first exchange is built, or once the last one is finished. */
extern IntegQuestion integ_call_question(const IntegCall *call);

/*
 * Asks it; the ticket lives in the call's context. Raises what integ_handler_ask raises, and IG403 where the method
 * is not
 * one of a definition that somebody answers for.
 */
extern IntegHandlerTicket *integ_call_ask(IntegCall *call, IntegQuestion question);

/*
 * Takes the answer, which is in the call's context: into the call, or into its outcome where the function refuses.
 * Needs
 * a transaction, and raises IG400 where the input that it gives is not valid.
 */
extern void integ_call_answer(IntegCall *call, IntegQuestion question, const IntegHandlerAnswer *answer);

/*
 * All that is to be asked now, waiting for it, or all of it before the requests. A refusal is in call->outcome.
 * integ_call_open does the latter for calls that are not asynchronous, and raises the refusal.
 */
extern void integ_call_consult(IntegCall *call);
extern void integ_call_consult_first(IntegCall *call);

/* Only for the input; raises the refusal. */
extern void integ_call_consult_before(IntegCall *call);

/* The steps, in their order. */
extern void integ_call_resolve(IntegCall *call);
extern void integ_call_authorize(IntegCall *call);
extern void integ_call_validate(IntegCall *call);
extern void integ_call_render(IntegCall *call);
extern void integ_call_admit(IntegCall *call);
extern void integ_call_inject(IntegCall *call);
extern void integ_call_classify(IntegCall *call);
extern void integ_call_map(IntegCall *call);

/* The call's result, which may be NULL, checked against the method's outputSchema where that is wanted. */
extern void integ_call_result(IntegCall *call, const Jsonb *result);
extern void integ_call_record(IntegCall *call);

/*
 * What became of a write that was answered, or of which no answer came. "unknown" is honest: the request may have been
 * carried out, and only a person or the service can tell.
 */
extern const char *integ_call_write_outcome(const IntegCall *call);

/*
 * A call of an exchange that the caller made instead of one of the definition's methods: method describes it
 * and must live as long as the call; input is the document that it was made from.
 */
extern IntegCall *integ_call_begin_raw(const IntegActor *actor, const char *instance, const IntegMethod *method,
									   const Jsonb *input, const IntegCallOptions *options);

/*
 * Whether a rule of the manifest calls call->body, of the answer or one event of it, a failure; sets the outcome
 * then.
 */
extern bool integ_call_apply_rules(IntegCall *call);

/*
 * Makes the result out of an answer whose records have outcomes of their own (response.partial). False, with the
 * outcome
 * set, where all failed or there is no list.
 */
extern bool integ_call_sort_partial(IntegCall *call);

/* Helpers that several steps share. */

/*
 * What the method's requiredScopes ask for and the instance's token lacks, a text each ("a or b"), in
 * CurrentMemoryContext. NIL where nothing is missing, or where nobody knows what was granted.
 */
extern List *integ_call_missing_scopes(const IntegCall *call);

/* Raises IG403 for them. */
pg_noreturn extern void integ_call_refuse_scopes(const IntegCall *call, const List *missing);

/* "crm_main.get_contact", for messages; with the step under way where there are several. In CurrentMemoryContext. */
extern const char *integ_call_name(const IntegCall *call);

/* Appends a header; one of the same name (in any case) is replaced. integ_call_inject checks names and values. */
extern void integ_call_add_header(IntegCall *call, const char *name, const char *value);

/*
 * The body: rendered without what authenticates it; a secret that goes into it (as the member or field name, a dot
 * path in a document); then its bytes. What the request cannot carry raises IG400.
 */
extern void integ_call_render_body(IntegCall *call);
extern void integ_call_add_to_body(IntegCall *call, const char *name, const char *secret);
extern void integ_call_write_body(IntegCall *call);

/* How lists and objects are written in the query and form of the exchange under way. */
extern const IntegParameterStyle *integ_call_style(const IntegCall *call);

/*
 * Conditional requests: asks for the answer only if it has changed; whether the answer is that it has not; keeps an
 * answer for the next time.
 */
typedef struct IntegStoredAnswer IntegStoredAnswer;
extern void integ_call_condition(IntegCall *call);

/* Raises IG400 where an older answer was asked for in place of a write's own, before anything else stops the call. */
extern void integ_call_check_fallback(const IntegCall *call);
extern bool integ_call_unchanged(IntegCall *call);
extern void integ_call_remember(IntegCall *call);

/*
 * Whether the last good answer stands in for the one that cannot be had (options.fallback_stale): then it is the
 * outcome, call->stale is set, and a warning says how old it is and why.
 */
extern bool integ_call_fall_back(IntegCall *call, int sqlerrcode, const char *reason);

/* Puts the credentials where the definition says. */
extern void integ_call_authenticate(IntegCall *call);

/* The token that authType jwt signs: in the call's memory, masked and wiped. Raises IG401 for a key that is none. */
extern const char *integ_call_token(IntegCall *call);

/* The same for an instance, to be exchanged: in CurrentMemoryContext, wiped with it. */
extern const char *integ_instance_token(const IntegActor *actor, const IntegInstance *instance,
										const IntegDefinition *definition);

/* A text made of up to three, as one string of the exchange that is masked and wiped. */
extern char *integ_call_secret_text(IntegCall *call, const char *first, const char *second, const char *third);

/* Raises IG401 for a credential that the instance does not have. */
pg_noreturn extern void integ_call_refuse_missing(const IntegCall *call, const char *name);

/*
 * The key by which a service knows a repeated write, where its definition says that it honours one in that place
 * (header,
 * query, body), in CurrentMemoryContext: the same in every attempt. The call's id, or of several requests one derived
 * from it; NULL for none.
 */
extern const char *integ_call_idempotency_key(const IntegCall *call, const char *in);

/* Appends an already encoded "a=b&c=d" to the query. */
extern void integ_call_add_query(IntegCall *call, const char *query);

/* Has data (in the call's memory) masked in the answer and wiped at the end of the call. */
extern void integ_call_keep_secret(IntegCall *call, char *data, size_t len);

/* As above, but only wiped: for what is more than a secret, such as a URL with one in it. */
extern void integ_call_wipe_later(IntegCall *call, char *data, size_t len);

/* The line of the audit for the exchange that is about to leave; its detail is in CurrentMemoryContext. */
extern IntegAuditEntry integ_call_intent(const IntegCall *call);

/* Overwrites every secret of the call that the answer echoes, as it is or in JSON's escapes or percent-encoded. */
extern void integ_call_mask(IntegCall *call);

/* The most bytes that a masked secret may take up in an answer, however it is spelled; 0 where there is none. */
extern size_t integ_call_longest_secret(const IntegCall *call);

/* The same in a text made from the answer; and of secrets that are no call's. */
extern void integ_call_mask_text(const IntegCall *call, char *text, size_t len);
extern void integ_secrets_mask(const IntegCallSecret *secrets, char *text, size_t len);

/*
 * The credential name of the call's instance, for templates (arg is the call): in the call's memory, masked
 * and wiped as above; NULL where there is none. Raises what integ_vault_open raises.
 */
extern const char *integ_call_secret(void *arg, const char *name);

/* The same, but one that is missing raises IG401 with how to enter it. */
extern const char *integ_call_required_secret(void *arg, const char *name);

#endif /* INTEG_EXECUTE_CALL_H */

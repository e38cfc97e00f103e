/*
 * What a token endpoint answers (RFC 6749, sections 5.1 and 5.2), with the
 * deviations that the manifest names in tokenFields.
 */
#include "oauth/oauth.h"

#include <curl/curl.h>

#include "core/base64.h"
#include "core/errors.h"
#include "core/json.h"
#include "limits/headers.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "vault/secret.h"
#include "vault/store.h"

#define DESCRIPTION_MAX 300

/* Seconds; a longer life counts as not said. */
#define EXPIRES_MAX (INT64CONST(10) * 365 * 86400)

static const char *const standard_fields[] = {"access_token", "refresh_token", "token_type", "expires_in",
											  "scope", "id_token", "error", "error_description"};

static IntegOauthAnswer *
fail(IntegOauthAnswer *answer, IntegOauthResult result, const char *error, const char *description)
{
	answer->result = result;
	answer->error = error;
	answer->description = description;
	return answer;
}

/* RFC 6749 promises JSON; some services answer as a form unless asked otherwise, and some all the same. */
static Jsonb *
parse_form(const char *body)
{
	IntegJsonBuilder builder;
	char *copy = pstrdup(body), *rest = copy, *pair;

	integ_json_begin_object(&builder);
	while ((pair = strsep(&rest, "&")) != NULL)
	{
		char *value = strchr(pair, '=');
		char *decoded;
		int len;

		if (value == NULL)
			continue;
		*value++ = '\0';
		for (char *c = value; *c != '\0'; c++)
			if (*c == '+')
				*c = ' ';
		decoded = curl_easy_unescape(NULL, value, 0, &len);
		if (decoded != NULL && pg_verify_mbstr(PG_UTF8, decoded, len, true) && strlen(decoded) == (size_t) len)
			integ_json_add_string(&builder, pair, decoded);
		curl_free(decoded);
	}
	explicit_bzero(copy, strlen(body));
	return integ_json_end(&builder);
}

/* NULL where the answer is neither; the body is never shown, since it may hold tokens. */
static Jsonb *
parse_body(const IntegHttpResponse *response)
{
	const char *type = integ_http_response_header(response, "content-type");
	const char *start = response->body + strspn(response->body, " \t\r\n");
	MemoryContext context = CurrentMemoryContext;
	Jsonb *volatile document = NULL;

	if (!pg_verify_mbstr(PG_UTF8, response->body, (int) response->body_len, true) ||
		strlen(response->body) != response->body_len)
		return NULL;
	if (*start != '{')
		return type != NULL && pg_strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0 ? parse_form(start)
			   : strncmp(start, "access_token=", 13) == 0 || strncmp(start, "error=", 6) == 0	  ? parse_form(start)
																								  : NULL;
	PG_TRY();
	{
		document = integ_json_parse(response->body);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return document != NULL && JB_ROOT_IS_OBJECT(document) ? document : NULL;
}

/* A field of the answer as text, by its standard name; NULL where it is absent or no scalar. */
static char *
field(const IntegOauthConfig *config, const Jsonb *document, const char *name)
{
	const JsonbContainer *renamed = integ_json_get_object(config->manifest, "tokenFields");
	char *source = renamed == NULL ? NULL : integ_json_get_string(renamed, name);
	JsonbValue value;

	if (source != NULL)
		return integ_path_text(integ_path_compile(source, "/oauth2Config/tokenFields"), document);
	if (!integ_json_get(&document->root, name, &value) || value.type == jbvBinary)
		return NULL;
	return integ_json_value_text(&value);
}

/* A token goes into a header: printable ASCII (RFC 6749, appendix A.12), and no longer than the vault takes. */
static bool
is_token(const char *token)
{
	size_t len = strlen(token);

	if (len == 0 || len > INTEG_CREDENTIAL_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (token[i] < 0x20 || token[i] > 0x7e)
			return false;
	return true;
}

static const char *
keep(char *token)
{
	char *copy;

	if (token == NULL)
		return NULL;
	copy = integ_secret_alloc(strlen(token) + 1);
	strcpy(copy, token);
	explicit_bzero(token, strlen(token));
	return copy;
}

/* The service's words, on one line and short: they may come from anywhere. */
static const char *
sentence(char *text)
{
	if (text == NULL)
		return NULL;
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
			*c = ' ';
	if (strlen(text) > DESCRIPTION_MAX)
		text[pg_mbcliplen(text, strlen(text), DESCRIPTION_MAX)] = '\0';
	return text;
}

/*
 * When the token expires. What makes no sense (a negative number, words) counts as not said: a refusal then shows it,
 * while a token taken for expired would be refreshed without end.
 */
static TimestampTz
read_expiry(const IntegOauthConfig *config, const Jsonb *document, TimestampTz sent_at)
{
	char *text = field(config, document, "expires_in");
	char *unit = integ_json_get_string(config->manifest, "expiresUnit");
	double number;
	int64 left;
	char *end;

	if (text == NULL)
		return DT_NOEND;
	if (unit != NULL && strcmp(unit, "iso8601") == 0)
		return integ_limit_time(text, INTEG_TIME_ISO8601, timestamptz_to_time_t(sent_at) * INT64CONST(1000000), &left)
				   ? sent_at + left
				   : DT_NOEND;
	number = strtod(text, &end);
	if (end == text || *end != '\0' || !(number > 0))
		return DT_NOEND;
	if (unit != NULL && strcmp(unit, "epoch_s") == 0)
		return number > 4e9 ? DT_NOEND : time_t_to_timestamptz((pg_time_t) number);
	if (unit != NULL && strcmp(unit, "epoch_ms") == 0)
		return number > 4e12 ? DT_NOEND : time_t_to_timestamptz((pg_time_t) (number / 1000));
	if (unit != NULL && strcmp(unit, "milliseconds") == 0)
		number /= 1000;
	else if (unit != NULL && strcmp(unit, "minutes") == 0)
		number *= 60;
	if (number > EXPIRES_MAX)
		return DT_NOEND;
	return sent_at + (int64) (number * USECS_PER_SEC);
}

static void
read_scopes(const IntegOauthConfig *config, const Jsonb *document, IntegOauthAnswer *answer)
{
	const JsonbContainer *array = integ_json_get_array(&document->root, "scope");
	char *text = array != NULL ? NULL : field(config, document, "scope");
	char *rest, *scope;

	if (array != NULL)
		answer->scopes = integ_oauth_scopes(array, &answer->nscopes);
	if (text == NULL)
		return;
	/* Some take commas to ask and spaces to answer, and the other way round. */
	answer->scopes = palloc0((strlen(text) + 1) * sizeof(char *));
	rest = text;
	while ((scope = strsep(&rest, " ,")) != NULL)
		if (*scope != '\0')
			answer->scopes[answer->nscopes++] = scope;
}

/* The claim "nonce" of an identity token, which came over TLS from its issuer: its signature proves nothing more. */
static const char *
read_nonce(const char *id_token)
{
	const char *payload = id_token == NULL ? NULL : strchr(id_token, '.');
	size_t len = payload == NULL ? 0 : strcspn(++payload, ".");
	MemoryContext context = CurrentMemoryContext;
	char *volatile nonce = NULL;
	size_t decoded;
	char *text;

	if (len == 0)
		return NULL;
	text = palloc0(INTEG_BASE64_DECODED_SIZE(len) + 1);
	if (!integ_base64_decode(payload, len, (uint8_t *) text, &decoded) || strlen(text) != decoded ||
		!pg_verify_mbstr(PG_UTF8, text, (int) decoded, true))
		return NULL;
	PG_TRY();
	{
		nonce = integ_json_get_string(&integ_json_parse(text)->root, "nonce");
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return nonce;
}

static bool
is_standard(const char *name)
{
	for (size_t i = 0; i < lengthof(standard_fields); i++)
		if (strcmp(standard_fields[i], name) == 0)
			return true;
	return false;
}

/* What else tokenFields names becomes {token.NAME}. */
static const Jsonb *
read_fields(const IntegOauthConfig *config, const Jsonb *document)
{
	const JsonbContainer *named = integ_json_get_object(config->manifest, "tokenFields");
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	iterator = named == NULL ? NULL : JsonbIteratorInit((JsonbContainer *) named);
	while (iterator != NULL && (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char *name, *found;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		found = is_standard(name) ? NULL : field(config, document, name);
		integ_json_add_known(&builder, name, found);
	}
	return integ_json_end(&builder);
}

/* RFC 6749, section 5.2; RFC 8628, section 3.5. */
static IntegOauthResult
result_of(const char *error, long status)
{
	static const struct
	{
		const char *error;
		IntegOauthResult result;
	} results[] = {
		{"authorization_pending", INTEG_OAUTH_PENDING},
		{"slow_down", INTEG_OAUTH_SLOW_DOWN},
		{"access_denied", INTEG_OAUTH_DENIED},
		{"expired_token", INTEG_OAUTH_INVALID},
		{"invalid_grant", INTEG_OAUTH_INVALID},
		{"bad_refresh_token", INTEG_OAUTH_INVALID},
		{"temporarily_unavailable", INTEG_OAUTH_UNAVAILABLE},
		{"server_error", INTEG_OAUTH_UNAVAILABLE},
	};

	for (size_t i = 0; error != NULL && i < lengthof(results); i++)
		if (strcmp(error, results[i].error) == 0)
			return results[i].result;
	if (status >= 500 || status == 429 || status == 408)
		return INTEG_OAUTH_UNAVAILABLE;
	return status >= 400 || error != NULL ? INTEG_OAUTH_CLIENT : INTEG_OAUTH_UNREADABLE;
}

static TimestampTz
retry_at(const IntegHttpResponse *response, TimestampTz sent_at)
{
	const char *value = integ_http_response_header(response, "retry-after");
	char *end;
	long seconds = value == NULL ? 0 : strtol(value, &end, 10);

	return value != NULL && end != value && *end == '\0' && seconds > 0 ? sent_at + Min(seconds, 86400) * USECS_PER_SEC
																		: 0;
}

static void
read_document(const IntegOauthConfig *config, const IntegHttpResponse *response, const Jsonb *document,
			  TimestampTz sent_at, IntegOauthAnswer *answer)
{
	char *error = field(config, document, "error");
	char *access = field(config, document, "access_token");
	char *refresh;

	if (response->status >= 300 || error != NULL || access == NULL)
	{
		(void) fail(answer, result_of(error, response->status), error != NULL ? sentence(error) : "invalid_response",
					error != NULL ? sentence(field(config, document, "error_description"))
								  : psprintf("HTTP %ld without an access token", response->status));
		return;
	}
	refresh = field(config, document, "refresh_token");
	if (!is_token(access) || (refresh != NULL && *refresh != '\0' && !is_token(refresh)))
	{
		(void) fail(answer, INTEG_OAUTH_UNREADABLE, "invalid_response", "a token with characters that no token has");
		return;
	}
	answer->result = INTEG_OAUTH_GRANTED;
	answer->access_token = keep(access);
	answer->refresh_token = refresh != NULL && *refresh != '\0' ? keep(refresh) : NULL;
	answer->token_type = sentence(field(config, document, "token_type"));
	answer->nonce = read_nonce(field(config, document, "id_token"));
	answer->expires_at = read_expiry(config, document, sent_at);
	answer->fields = read_fields(config, document);
	read_scopes(config, document, answer);
}

void
integ_oauth_read_answer(const IntegOauthConfig *config, const IntegHttpResponse *response, TimestampTz sent_at,
						IntegOauthAnswer *answer)
{
	Jsonb *document;

	memset(answer, 0, sizeof(*answer));
	answer->expires_at = DT_NOEND;
	if (response->failure != INTEG_HTTP_OK)
	{
		(void) fail(answer,
					response->failure == INTEG_HTTP_TOO_LARGE || response->failure == INTEG_HTTP_PROTOCOL
						? INTEG_OAUTH_UNREADABLE
						: INTEG_OAUTH_UNAVAILABLE,
					"no_answer", pstrdup(response->error));
		return;
	}
	answer->retry_at = retry_at(response, sent_at);
	document = parse_body(response);
	if (document != NULL)
	{
		read_document(config, response, document, sent_at, answer);
		explicit_bzero(document, VARSIZE(document));
	}
	else
		(void) fail(answer,
					response->status >= 500 || response->status == 429 ? INTEG_OAUTH_UNAVAILABLE
																	   : INTEG_OAUTH_UNREADABLE,
					"invalid_response", psprintf("HTTP %ld, and neither JSON nor a form", response->status));
}

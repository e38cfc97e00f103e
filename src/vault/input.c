/*
 * What a caller enters.
 */
#include "vault/input.h"

#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/options.h"
#include "http/url.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "oauth/oauth.h"
#include "utils/builtins.h"
#include "utils/varlena.h"
#include "vault/sealed.h"
#include "vault/sealing.h"
#include "vault/secret.h"

#define MAX_HINT 100

/* A hint shows this many characters of a secret that is at least three times as long. */
#define HINT_CHARACTERS 4

#define SEALED_MEDIUM "openssl cms -encrypt -binary -outform PEM -aes-256-gcm -recip CERTIFICATE"

typedef struct Options
{
	Jsonb *origins;
	bool sealed;
	char *expires_at;
	char *hint;
	char *env;
	bool test;
	bool promote;
	bool revert;
} Options;

static void
parse_options(const Jsonb *document, const char *function, bool rotating, bool *has_sealed, Options *options)
{
	const IntegOption known[] = {
		{"origins", INTEG_OPTION_ARRAY, &options->origins},
		{"sealed", INTEG_OPTION_BOOL, &options->sealed},
		{"expires_at", INTEG_OPTION_TEXT, &options->expires_at},
		{"hint", INTEG_OPTION_TEXT, &options->hint},
		{"env", INTEG_OPTION_TEXT, &options->env},
		{"test", INTEG_OPTION_BOOL, &options->test},
		{"promote", INTEG_OPTION_BOOL, &options->promote},
		{"revert", INTEG_OPTION_BOOL, &options->revert},
	};
	JsonbValue value;

	memset(options, 0, sizeof(*options));
	integ_options_parse(document, known, rotating ? lengthof(known) : lengthof(known) - 3, function);
	*has_sealed = document != NULL && integ_json_get(&document->root, "sealed", &value) && value.type == jbvBool;
}

static void
use_text(IntegCredentialValue *value, const char *data, size_t len)
{
	char *copy = integ_secret_alloc(len + 1);

	memcpy(copy, data, len);
	copy[len] = '\0';
	value->data = copy;
	value->len = len;
}

/* Opens a sealed value; the line end that an editor or echo left behind it is not part of the secret. */
static void
unseal(IntegCredentialValue *value, const char *data, size_t len)
{
	char *plain;
	size_t plain_len;

	if (len > INTEG_SEALED_MAX)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the sealed value is too large"),
						errdetail("It has %zu bytes; at most %d are read.", len, INTEG_SEALED_MAX),
						errhint("Seal the secret alone.")));
	plain = integ_secret_alloc(len + 1);
	switch (integ_sealing_open((const uint8_t *) data, len, (uint8_t *) plain, &plain_len))
	{
		case INTEG_CRYPTO_OK:
			break;
		case INTEG_CRYPTO_MALFORMED:
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("this is no value that is sealed to this vault"),
							errdetail("A CMS envelope for the certificate of integ_public_key() is expected, as PEM, base64 or DER."),
							errhint("Make it with: %s", SEALED_MEDIUM)));
			break;
		default:
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the sealed value does not open"),
							errhint("Seal it again to the certificate that integ_public_key() returns now.")));
	}
	if (plain_len > 0 && plain[plain_len - 1] == '\n')
		plain_len--;
	if (plain_len > 0 && plain[plain_len - 1] == '\r')
		plain_len--;
	plain[plain_len] = '\0';
	value->data = plain;
	value->len = plain_len;
}

/*
 * A variable of the server's environment may hold what is not the caller's:
 * only who manages everything may point at it.
 */
static void
use_environment(const IntegVaultTarget *target, IntegCredentialValue *value, const char *name)
{
	char *list = pstrdup(integ_env_allowed);
	List *allowed = NIL;
	const char *content;
	bool found = false;
	ListCell *cell;

	if (target->actor->level < INTEG_LEVEL_SUPERADMIN)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("role \"%s\" may not take credentials from the server's environment",
							   GetUserNameFromId(target->actor->role, false)),
						errdetail("This is for a superadmin."), errhint("Give the value itself, sealed.")));
	if (SplitGUCList(list, ',', &allowed))
	{
		foreach (cell, allowed)
			found = found || strcmp((char *) lfirst(cell), name) == 0;
	}
	if (!found)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the environment variable \"%s\" may not be used for credentials", name),
						errdetail("integ.env_allowed does not list it."),
						errhint("Add it to integ.env_allowed and reload the configuration.")));
	content = getenv(name);
	if (content == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("the server has no environment variable \"%s\"", name),
						errhint("Set it where the server is started (Debian: the cluster's \"environment\" file), then restart.")));
	use_text(value, content, strlen(content));
}

static void
check_value(const IntegCredentialValue *value, const char *name)
{
	if (value->len == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the value of the credential \"%s\" is empty", name),
						errhint("To remove a credential, call integ_credential_delete.")));
	if (value->len > INTEG_CREDENTIAL_MAX)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the value of the credential \"%s\" is too large", name),
						errdetail("It has %zu bytes; at most %d are stored.", value->len, INTEG_CREDENTIAL_MAX)));
	if (memchr(value->data, '\0', value->len) != NULL ||
		!pg_verify_mbstr(PG_UTF8, value->data, (int) value->len, true))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the value of the credential \"%s\" is no text", name),
						errdetail("It must be UTF-8 without zero bytes."),
						errhint("Encode a binary secret as the service expects it, in hex or base64.")));
}

/* The last characters, where they tell nothing that helps to guess the rest. */
static char *
make_hint(const IntegCredentialValue *value)
{
	const char *end = value->data + value->len;
	const char *tail = value->data;
	int characters = pg_mbstrlen_with_len(value->data, (int) value->len);

	if (characters < 3 * HINT_CHARACTERS)
		return NULL;
	for (int skip = characters - HINT_CHARACTERS; skip > 0; skip--)
		tail += pg_mblen(tail);
	for (const char *c = tail; c < end; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			return NULL;
	return psprintf("…%s", tail);
}

static char *
check_hint(const IntegCredentialValue *value, char *hint)
{
	if (pg_mbstrlen(hint) > MAX_HINT)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the hint is too long"),
						errdetail("At most %d characters are stored.", MAX_HINT)));
	if (strstr(hint, value->data) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the hint contains the secret"),
						errhint("Everybody who belongs to the client sees the hint.")));
	return hint;
}

static TimestampTz
parse_expiry(const char *text)
{
	TimestampTz expires_at = DatumGetTimestampTz(
		DirectFunctionCall3(timestamptz_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));

	if (expires_at <= GetCurrentTimestamp())
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the credential would have expired already"),
						errdetail("\"expires_at\" is %s.", timestamptz_to_str(expires_at))));
	return expires_at;
}

static char *
canonical_origin(const char *text)
{
	char problem[256];
	char *origin = integ_url_origin(text, problem, sizeof(problem));
	char *copy;

	if (origin == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("\"%s\" is no origin", text), errdetail("%s", problem),
						errhint("Write it as https://host or https://host:port.")));
	copy = pstrdup(origin);
	free(origin);
	return copy;
}

static void
parse_origins(const Jsonb *array, IntegCredentialValue *value)
{
	JsonbIterator *iterator = JsonbIteratorInit((JsonbContainer *) &array->root);
	const char **origins;
	JsonbIteratorToken token;
	JsonbValue item;
	int count = 0;

	origins = palloc((JB_ROOT_COUNT(array) + 1) * sizeof(char *));
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (item.type != jbvString)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("an origin must be a string"),
							errhint("Write {\"origins\": [\"https://api.example.com\"]}.")));
		origins[count++] = canonical_origin(integ_json_value_text(&item));
	}
	integ_vault_use_origins(value, origins, count);
}

/*
 * Where the secret goes unless the caller says so: to the instance's service, with all the hosts that its definition
 * has at this moment; one that a later version adds is for whoever enters the credential again to agree to. Those of
 * webhooks and endpoints sign, and go nowhere.
 */
static void
default_origins(const IntegVaultTarget *target, const char *name, IntegCredentialValue *value)
{
	const IntegDefinition *definition = target->instance != NULL ? integ_instance_definition(target->instance)
										: strcmp(target->owner.kind, "definition") == 0
											? integ_definition_get(target->owner.id, NULL)
											: NULL;
	static const char *none[] = {NULL};

	value->origins = none;
	value->norigins = 0;
	if (definition != NULL)
	{
		const char **origins = integ_oauth_origins(definition, target->instance, name, &value->norigins);

		if (origins != NULL)
		{
			value->origins = origins;
			return;
		}
	}
	if (target->instance != NULL && target->instance->origin != NULL)
	{
		int count;
		const char **declared = integ_instance_origins(target->instance, &count);

		integ_vault_use_origins(value, declared, count);
	}
	else if (target->instance != NULL || strcmp(target->owner.kind, "definition") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("where may the credential of %s go?", target->label),
						target->instance != NULL ? errdetail("The instance has no base URL yet.")
												 : errdetail("A definition has no address of its own."),
						errhint("Name the origins: {\"origins\": [\"https://api.example.com\"]}; [] for one that never "
								"leaves the server.")));
}

static void
read_value(const IntegVaultTarget *target, const char *function, bool rotating, struct varlena *given, bool sealed,
		   const Options *options, IntegCredentialInput *input)
{
	if ((given != NULL) + (options->env != NULL) + options->promote + options->revert != 1)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("%s takes a value, or instead of it %s", function,
							   rotating ? "one of the options \"env\", \"promote\" and \"revert\""
										: "the option \"env\""),
						errhint("Give NULL as the value where an option stands for it.")));
	if (options->test && (target->instance == NULL || options->promote || options->revert))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the option \"test\" of %s is for a new value of an instance", function),
						errdetail("It calls the instance's health check.")));
	input->test = options->test;
	input->promote = options->promote;
	input->revert = options->revert;
	input->has_value = given != NULL || options->env != NULL;
	if (given == NULL)
	{
		if (options->env != NULL)
			use_environment(target, &input->value, options->env);
	}
	else if (sealed)
		unseal(&input->value, VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given));
	else
		use_text(&input->value, VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given));
}

void
integ_credential_input(const IntegVaultTarget *target, const char *function, const char *name, struct varlena *given,
					   bool der, const Jsonb *document, bool rotating, IntegCredentialInput *input)
{
	Options options;
	bool has_sealed, sealed;

	memset(input, 0, sizeof(*input));
	parse_options(document, function, rotating, &has_sealed, &options);
	sealed = der || options.sealed ||
			 (!has_sealed && given != NULL && integ_sealed_recognize(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given)));
	read_value(target, function, rotating, given, sealed, &options, input);
	if (!input->has_value)
		return;

	check_value(&input->value, name);
	if (target->instance != NULL)
		integ_credential_check(target->instance, name, input->value.data, input->value.len);
	if (options.origins != NULL)
		parse_origins(options.origins, &input->value);
	else
		default_origins(target, name, &input->value);
	input->value.hint = options.hint != NULL ? check_hint(&input->value, options.hint) : make_hint(&input->value);
	input->value.expires_at = options.expires_at != NULL ? parse_expiry(options.expires_at) : DT_NOEND;
	input->value.user_id = target->user_id;
	input->value.role = target->actor->role;
}

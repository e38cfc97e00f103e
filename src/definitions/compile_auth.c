/*
 * From the authentication of a manifest to what calls need.
 */
#include "core/errors.h"
#include "core/json.h"
#include "definitions/compile.h"

#define TOKEN_LIFETIME_S 300

static const char *const places[] = {
	[INTEG_AUTH_HEADER] = "header",
	[INTEG_AUTH_QUERY] = "query",
	[INTEG_AUTH_PATH] = "path",
	[INTEG_AUTH_BODY] = "body",
	[INTEG_AUTH_COOKIE] = "cookie",
};

/* What everybody means by an authType, where the manifest is silent. */
static const struct
{
	const char *auth_type;
	const char *in;
	const char *value;
} defaults[] = {
	{"bearer", "header", "Bearer {credentials.token}"},
	{"oauth2", "header", "Bearer {credentials.access_token}"},
	{"jwt", "header", "Bearer {credentials.access_token}"},
	{"basic", "header", NULL},
	{"apikey", NULL, "{credentials.key}"},
};

static IntegTemplate *
literal_template(const char *text, const char *where)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	return integ_template_compile(&value, where);
}

static IntegAuthPlace
place_of(const char *in)
{
	for (size_t i = 0; i < lengthof(places); i++)
		if (strcmp(places[i], in) == 0)
			return (IntegAuthPlace) i;
	return INTEG_AUTH_HEADER;
}

static void
require_name(const IntegAuthPart *part, const char *auth_type, const char *where)
{
	if (part->name != NULL || part->place == INTEG_AUTH_PATH)
		return;
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s does not say where the credential goes", where),
					errdetail("authType \"%s\" needs \"in\" and \"name\".", auth_type)));
}

static void
compile_parts(const JsonbContainer *list, const char *where, IntegAuth *auth)
{
	auth->nparts = JsonContainerSize(list);
	auth->parts = palloc0(sizeof(IntegAuthPart) * auth->nparts);
	for (int i = 0; i < auth->nparts; i++)
	{
		const JsonbContainer *source = getIthJsonbValueFromContainer((JsonbContainer *) list, i)->val.binary.data;
		IntegAuthPart *part = &auth->parts[i];
		char *path = psprintf("%s/parts/%d", where, i);

		part->place = place_of(integ_json_get_string(source, "in"));
		part->name = integ_json_get_string(source, "name");
		part->value = integ_compile_template(source, "value", path);
		require_name(part, auth->auth_type, path);
	}
}

/* in, name and value of the manifest or, where it is silent, of the authType. source may be NULL. */
static void
compile_only_part(const JsonbContainer *source, const char *where, IntegAuth *auth)
{
	const char *in = source == NULL ? NULL : integ_json_get_string(source, "in");
	IntegAuthPart part = {0};
	bool basic = strcmp(auth->auth_type, "basic") == 0;

	if (source != NULL)
	{
		part.name = integ_json_get_string(source, "name");
		part.value = integ_compile_template(source, "value", where);
	}
	for (size_t i = 0; i < lengthof(defaults); i++)
	{
		if (strcmp(auth->auth_type, defaults[i].auth_type) != 0)
			continue;
		if (in == NULL)
			in = defaults[i].in;
		if (part.value == NULL && defaults[i].value != NULL)
			part.value = literal_template(defaults[i].value, where);
	}
	/* The manifest's own templates name the credentials, or there are none. */
	if (part.value == NULL && !basic && auth->function == NULL)
		return;
	if (part.name == NULL && (in == NULL || strcmp(in, "header") == 0))
		part.name = "Authorization";
	part.place = place_of(in == NULL ? "header" : in);
	require_name(&part, auth->auth_type, where);
	auth->nparts = 1;
	auth->parts = palloc(sizeof(IntegAuthPart));
	auth->parts[0] = part;
}

/* HTTP basic needs a user and a password unless the manifest says the whole value. */
static void
compile_basic(const JsonbContainer *source, const char *where, IntegAuth *auth)
{
	JsonbValue unused;

	if (strcmp(auth->auth_type, "basic") != 0 || (source != NULL && integ_json_get(source, "value", &unused)))
		return;
	if (source != NULL)
	{
		auth->username = integ_compile_template(source, "username", where);
		auth->password = integ_compile_template(source, "password", where);
	}
	if (auth->username == NULL)
		auth->username = literal_template("{credentials.username}", where);
	if (auth->password == NULL)
		auth->password = literal_template("{credentials.password}", where);
}

/* The signed token shows itself at tokenUrl, and the answer is read as that of a token endpoint. */
static const JsonbContainer *
compile_exchange(const JsonbContainer *source)
{
	static const char *const same[] = {"tokenUrl", "tokenFields", "expiresUnit"};
	IntegJsonBuilder builder;
	const Jsonb *document;
	JsonbValue value;

	if (!integ_json_get(source, "tokenUrl", &value))
		return NULL;
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "grantType", INTEG_GRANT_SIGNED);
	for (size_t i = 0; i < lengthof(same); i++)
		if (integ_json_get(source, same[i], &value))
			integ_json_add(&builder, same[i], &value);
	document = integ_json_end(&builder);
	return &document->root;
}

static IntegJwtSpec *
compile_jwt(const JsonbContainer *source, const char *where)
{
	static const char *const key_encodings[] = {"text", "base64", "hex"};
	char *encoding = integ_json_get_string(source, "keyEncoding");
	IntegJwtSpec *jwt = palloc0(sizeof(IntegJwtSpec));

	(void) integ_jwt_algorithm_from_name(integ_json_get_string(source, "algorithm"), &jwt->algorithm);
	for (size_t i = 0; encoding != NULL && i < lengthof(key_encodings); i++)
		if (strcmp(encoding, key_encodings[i]) == 0)
			jwt->key_encoding = (IntegJwtKeyEncoding) i;
	jwt->key = integ_compile_template(source, "key", where);
	if (jwt->key == NULL)
		jwt->key = literal_template("{credentials.key}", where);
	jwt->passphrase = integ_compile_template(source, "passphrase", where);
	jwt->key_id = integ_compile_template(source, "keyId", where);
	jwt->header = integ_compile_template(source, "header", where);
	jwt->issuer = integ_compile_template(source, "issuer", where);
	jwt->subject = integ_compile_template(source, "subject", where);
	jwt->audience = integ_compile_template(source, "audience", where);
	jwt->scope = integ_compile_template(source, "scope", where);
	jwt->claims = integ_compile_template(source, "claims", where);
	jwt->lifetime_s = (int) integ_json_get_int(source, "expiresInSeconds", TOKEN_LIFETIME_S);
	jwt->token_id = integ_json_get_bool(source, "tokenId", false);
	jwt->exchange = compile_exchange(source);
	return jwt;
}

void
integ_auth_compile(const JsonbContainer *holder, const char *where, IntegAuth *auth)
{
	const JsonbContainer *source = integ_json_get_object(holder, "auth");
	const JsonbContainer *parts = source == NULL ? NULL : integ_json_get_array(source, "parts");
	const JsonbContainer *jwt = source == NULL ? NULL : integ_json_get_object(source, "jwt");
	char *path = psprintf("%s/auth", where);

	auth->id = integ_json_get_string(holder, "id");
	auth->auth_type = integ_json_get_string(holder, "authType");
	if (auth->auth_type == NULL)
		auth->auth_type = "none";
	auth->function = source == NULL ? NULL : integ_json_get_string(source, "function");
	if (parts != NULL)
		compile_parts(parts, path, auth);
	else
	{
		compile_only_part(source, path, auth);
		compile_basic(source, path, auth);
	}
	if (jwt != NULL)
		auth->jwt = compile_jwt(jwt, psprintf("%s/jwt", path));
	auth->oauth2 = integ_json_get_object(holder, "oauth2Config");
	auth->credentials = integ_compile_schema(holder, "credentialSchema", where);
}

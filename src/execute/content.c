/*
 * Bytes that come with an input.
 */
#include "execute/content.h"

#include "catalog/pg_largeobject.h"
#include "core/base64.h"
#include "core/errors.h"
#include "core/hex.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

static const char *const sources[] = {"base64", "hex", "text", "loid"};

bool
integ_content_is(const JsonbContainer *object)
{
	static const char *const others[] = {"contentType", "filename", "headers", "name"};
	uint32 known = 0;
	int found = 0;
	JsonbValue unused;

	for (size_t i = 0; i < lengthof(sources); i++)
		found += integ_json_get(object, sources[i], &unused);
	for (size_t i = 0; i < lengthof(others); i++)
		known += integ_json_get(object, others[i], &unused);
	/* Another member makes it an ordinary document that happens to have a "text". */
	return found == 1 && known + 1 == JsonContainerSize(object);
}

static void
refuse(const IntegCall *call, const char *what, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s of %s cannot be sent", what, integ_call_name(call)),
					errdetail("%s", problem),
					errhint("Give bytes as {\"base64\": …}, {\"hex\": …}, {\"text\": …} or {\"loid\": …}.")));
}

static void
refuse_large(const IntegCall *call, const char *what)
{
	refuse(call, what, psprintf("It has more than %d MB.", INTEG_MAX_REQUEST_BODY / (1024 * 1024)));
}

void
integ_content_decode(const IntegCall *call, const char *base64, size_t len, const char *what, IntegContent *content)
{
	uint8_t *bytes = palloc(INTEG_BASE64_DECODED_SIZE(len));

	if (!integ_base64_decode(base64, len, bytes, &content->len))
		refuse(call, what, "It is not written in base64.");
	content->data = (const char *) bytes;
}

/* As bytea is written, with \x before it or without. */
static void
decode_hex(const IntegCall *call, const char *hex, size_t len, const char *what, IntegContent *content)
{
	char *bytes = palloc(len / 2 + 1);
	size_t start = len >= 2 && hex[0] == '\\' && hex[1] == 'x' ? 2 : 0;

	if ((len - start) % 2 != 0)
		refuse(call, what, "It has an odd number of hexadecimal digits.");
	if (!integ_hex_decode(hex + start, len - start, (uint8_t *) bytes))
		refuse(call, what, "It is not written in hexadecimal.");
	content->data = bytes;
	content->len = (len - start) / 2;
}

/*
 * The caller's own function for large objects, as the caller: its right to read is checked as if it had called it, also
 * where a worker makes the call. It runs no code but the server's.
 */
static void
read_large_object(const IntegCall *call, const JsonbValue *value, const char *what, IntegContent *content)
{
	int64 loid = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
	Oid saved_user;
	int saved_context;
	bytea *bytes;

	if (loid <= 0 || loid > PG_UINT32_MAX)
		refuse(call, what, "\"loid\" is the oid of a large object.");
	if (!LargeObjectExists((Oid) loid))
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no large object %lld", (long long) loid),
						errdetail("%s of %s names it.", what, integ_call_name(call)),
						errhint("Make it with lo_from_bytea or lo_import in a committed transaction.")));
	if (pg_largeobject_aclcheck_snapshot((Oid) loid, call->actor->role, ACL_SELECT, GetActiveSnapshot()) != ACLCHECK_OK)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("role \"%s\" may not read the large object %lld",
							   GetUserNameFromId(call->actor->role, false), (long long) loid),
						errdetail("%s of %s names it.", what, integ_call_name(call)),
						errhint("GRANT SELECT ON LARGE OBJECT %lld TO %s.", (long long) loid,
								quote_identifier(GetUserNameFromId(call->actor->role, false)))));
	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(call->actor->role, saved_context | SECURITY_LOCAL_USERID_CHANGE);
	bytes = DatumGetByteaPP(DirectFunctionCall3(be_lo_get_fragment, ObjectIdGetDatum((Oid) loid), Int64GetDatum(0),
												Int32GetDatum(INTEG_MAX_REQUEST_BODY + 1)));
	SetUserIdAndSecContext(saved_user, saved_context);
	content->data = VARDATA_ANY(bytes);
	content->len = VARSIZE_ANY_EXHDR(bytes);
}

static void
read_bytes(const IntegCall *call, const char *source, const JsonbValue *value, const char *what, IntegContent *content)
{
	if (value->type != (strcmp(source, "loid") == 0 ? jbvNumeric : jbvString))
		refuse(call, what, psprintf("\"%s\" must be %s.", source, strcmp(source, "loid") == 0 ? "a number" : "a string"));
	if (strcmp(source, "base64") == 0)
		integ_content_decode(call, value->val.string.val, value->val.string.len, what, content);
	else if (strcmp(source, "hex") == 0)
		decode_hex(call, value->val.string.val, value->val.string.len, what, content);
	else if (strcmp(source, "loid") == 0)
		read_large_object(call, value, what, content);
	else
	{
		content->data = pnstrdup(value->val.string.val, value->val.string.len);
		content->len = value->val.string.len;
		content->is_text = true;
	}
	if (content->len > INTEG_MAX_REQUEST_BODY)
		refuse_large(call, what);
}

void
integ_content_read(const IntegCall *call, const JsonbContainer *object, const char *what, IntegContent *content)
{
	JsonbValue value;

	memset(content, 0, sizeof(*content));
	for (size_t i = 0; i < lengthof(sources); i++)
		if (integ_json_get(object, sources[i], &value))
			read_bytes(call, sources[i], &value, what, content);
	content->type = integ_json_get_string(object, "contentType");
	content->filename = integ_json_get_string(object, "filename");
	content->headers = integ_json_get_object(object, "headers");
}

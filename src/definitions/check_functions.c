/*
 * Checking a manifest: the SQL functions that it names.
 */
#include "definitions/check.h"

#include "core/errors.h"
#include "core/json.h"
#include "handlers/handlers.h"

static void
check_function(const JsonbContainer *object, const char *key, const char *where, Oid role)
{
	char *name = object == NULL ? NULL : integ_json_get_string(object, key);
	char *path = psprintf("%s/%s", where, key);

	if (name == NULL)
		return;
	if (!OidIsValid(role))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a definition that integ brings has no SQL functions"),
						errdetail("%s: %s", path, name)));
	(void) integ_handler_resolve(role, name, path);
}

static void
check_auth(const JsonbContainer *holder, const char *where, Oid role)
{
	check_function(integ_json_get_object(holder, "auth"), "function", psprintf("%s/auth", where), role);
}

/* The objects of the array under the key. */
static const JsonbContainer *
item(const JsonbContainer *list, uint32 i)
{
	return getIthJsonbValueFromContainer((JsonbContainer *) list, i)->val.binary.data;
}

void
integ_manifest_check_functions(const Jsonb *manifest, Oid role)
{
	const JsonbContainer *methods = integ_json_get_array(&manifest->root, "methods");
	const JsonbContainer *auths = integ_json_get_array(&manifest->root, "authMethods");

	check_auth(&manifest->root, "", role);
	for (uint32 i = 0; auths != NULL && i < JsonContainerSize(auths); i++)
		check_auth(item(auths, i), psprintf("/authMethods/%u", i), role);
	for (uint32 i = 0; methods != NULL && i < JsonContainerSize(methods); i++)
	{
		const JsonbContainer *handler = integ_json_get_object(item(methods, i), "handler");

		check_function(handler, "before", psprintf("/methods/%u/handler", i), role);
		check_function(handler, "after", psprintf("/methods/%u/handler", i), role);
	}
}

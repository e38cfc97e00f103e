/*
 * The functions themselves: found and checked when they are named, and again
 * when they are called.
 */
#include "handlers/handlers.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/errors.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

char *
integ_handler_role_problem(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool may_log_in;
	char *name;

	if (!HeapTupleIsValid(tuple))
		return psprintf("there is no role with the OID %u any more", role);
	may_log_in = INTEG_WORKER_ANY_ROLE != 0 || ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	name = GetUserNameFromId(role, false);
	if (!may_log_in)
		return psprintf("role \"%s\" may not log in, which before PostgreSQL 17 a worker needs that runs as it", name);
	if (!superuser_arg(role) && !integ_may_connect(MyDatabaseId, role))
		return psprintf("role \"%s\" may not connect to this database", name);
	return NULL;
}

static void
check_role(Oid role, const char *what)
{
	char *problem = integ_handler_role_problem(role);

	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("%s cannot run: %s", what, problem),
						errdetail("A function is run by a worker whose session user is its owner."),
						errhint("ALTER ROLE … LOGIN (a password is not needed) and GRANT CONNECT ON DATABASE; or name it as another role.")));
}

static void
check_returns(Oid function, const char *name, const char *what)
{
	Oid type = get_func_rettype(function);

	if (get_func_prokind(function) != PROKIND_FUNCTION || get_func_retset(function) ||
		(type != JSONBOID && type != VOIDOID))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("%s must be a function that returns jsonb or void", what),
						errdetail("%s returns %s%s.", name, get_func_retset(function) ? "a set of " : "",
								  format_type_be(type))));
}

char *
integ_handler_resolve(Oid role, const char *name, const char *what)
{
	Oid argument = JSONBOID;
	List *names = integ_qualified_names(name);
	Oid function = LookupFuncName(names, 1, &argument, true);
	char *full;

	if (!OidIsValid(function))
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("%s: there is no function %s(jsonb)", what, name),
						errhint("CREATE FUNCTION %s(jsonb) RETURNS jsonb …; name it with its schema.", name)));
	full = quote_qualified_identifier(get_namespace_name(get_func_namespace(function)), get_func_name(function));
	check_returns(function, full, what);
	if (!integ_may_execute(function, role) || !integ_may_use_schema(get_func_namespace(function), role))
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("%s: role \"%s\" may not execute %s(jsonb)", what, GetUserNameFromId(role, false), full),
						errhint("GRANT EXECUTE ON FUNCTION %s(jsonb), and USAGE on its schema, to the role.", full)));
	check_role(role, what);
	return full;
}

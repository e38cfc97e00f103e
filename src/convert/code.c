/*
 * SQL of the schema's owner: a custom expression, or a lookup in a user's table.
 *
 * It runs with the rights of its owner, who is the one that calls
 * (integ_conversion_require_runnable): read only, with a pinned search_path, in
 * a security-restricted operation, so that it can neither become the session's
 * user nor leave anything behind that runs later. What it raises is an error of the field.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "core/attempt.h"
#include "core/errors.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

typedef struct OwnerScope
{
	Oid user;
	int context;
	int guc_level;
} OwnerScope;

static void
enter(OwnerScope *scope)
{
	GetUserIdAndSecContext(&scope->user, &scope->context);
	SetUserIdAndSecContext(scope->user,
						   scope->context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	SPI_connect();
}

static void
leave(const OwnerScope *scope)
{
	SPI_finish();
	AtEOXact_GUC(true, scope->guc_level);
	SetUserIdAndSecContext(scope->user, scope->context);
}

/* --- preparation --- */

static void
release(void *arg)
{
	ConvertSql *sql = arg;

	if (sql->plan != NULL)
		SPI_freeplan(sql->plan);
	sql->plan = NULL;
}

void
convert_sql_init(ConvertCompile *compile, ConvertSql *sql, int nargs, const Oid *types, const char *source)
{
	sql->source = source;
	sql->what = pstrdup(compile->what);
	sql->nargs = nargs;
	memcpy(sql->types, types, nargs * sizeof(Oid));
	sql->release.func = release;
	sql->release.arg = sql;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &sql->release);
	compile->sqls = lappend(compile->sqls, sql);
	compile->runs_code = true;
}

/* An expression is one, and nothing beside it: "SELECT expression" is one statement with one target and no clause. */
void
convert_sql_check(ConvertCompile *compile, const char *expression)
{
	MemoryContext context = CurrentMemoryContext;
	const char *volatile problem = "is more than one expression";

	PG_TRY();
	{
		List *parsed = raw_parser(expression, RAW_PARSE_PLPGSQL_EXPR);
		SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;

		if (list_length(parsed) == 1 && IsA(select, SelectStmt) && select->op == SETOP_NONE &&
			list_length(select->targetList) == 1 && select->fromClause == NIL && select->whereClause == NULL &&
			select->groupClause == NIL && select->havingClause == NULL && select->sortClause == NIL &&
			select->limitCount == NULL && select->limitOffset == NULL && select->distinctClause == NIL &&
			select->intoClause == NULL && select->lockingClause == NIL && select->windowClause == NIL)
			problem = NULL;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR))
			PG_RE_THROW();
		FlushErrorState();
		problem = psprintf("is no SQL expression: %s", error->message);
	}
	PG_END_TRY();
	if (problem != NULL)
		convert_invalid(compile, "Write one SQL expression over value, record and task, all of them jsonb.",
						"\"%s\" %s", expression, problem);
}

static void
name_part(void *arg)
{
	const ConvertSql *sql = arg;

	errcontext("%s of a conversion schema", sql->what);
}

void
convert_sql_prepare(ConvertSql *sql)
{
	ErrorContextCallback callback = {.previous = error_context_stack, .callback = name_part, .arg = sql};
	OwnerScope scope;
	SPIPlanPtr plan;

	if (sql->plan != NULL)
		return;
	error_context_stack = &callback;
	enter(&scope);
	plan = SPI_prepare(sql->source, sql->nargs, sql->types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql->source, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	sql->plan = plan;
	leave(&scope);
	error_context_stack = callback.previous;
}

/* --- execution --- */

/* The one value of the first row in a context; false without a row, several where there are more. */
static bool
execute(ConvertSql *sql, Datum *values, const char *nulls, MemoryContext context, ConvertValue *value, bool *several)
{
	OwnerScope scope;
	bool found, isnull;
	int code;

	enter(&scope);
	code = SPI_execute_plan(sql->plan, values, nulls, true, 2);
	if (code != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\": %s", sql->source, SPI_result_code_string(code));
	found = SPI_processed > 0;
	*several = SPI_processed > 1;
	convert_set_null(value);
	if (found)
	{
		Datum datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			convert_set_document(value, DatumGetJsonbPCopy(datum));
			MemoryContextSwitchTo(old);
		}
	}
	leave(&scope);
	return found;
}

typedef struct Execution
{
	ConvertSql *sql;
	Datum *values;
	const char *nulls;
	MemoryContext context;
	ConvertValue result;
	bool found;
	bool several;
} Execution;

static void
execute_step(void *arg)
{
	Execution *execution = arg;

	execution->found = execute(execution->sql, execution->values, execution->nulls, execution->context,
							   &execution->result, &execution->several);
}

bool
convert_sql(ConvertEval *eval, ConvertSql *sql, Datum *values, const char *nulls, ConvertValue *value, bool *several)
{
	Execution execution = {.sql = sql, .values = values, .nulls = nulls, .context = CurrentMemoryContext};
	ErrorData *error;

	convert_sql_prepare(sql);
	error = integ_attempt(execute_step, &execution);
	*several = error == NULL && execution.several;
	if (error != NULL)
	{
		int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
		bool recoverable = category == ERRCODE_TRANSACTION_ROLLBACK ||
						   category == ERRCODE_TO_CATEGORY(ERRCODE_LOCK_NOT_AVAILABLE);

		convert_fail(eval, value, recoverable, "%s: %s", unpack_sql_state(error->sqlerrcode), error->message);
		return false;
	}
	if (execution.found)
		*value = execution.result;
	return execution.found;
}

void
integ_conversion_require_runnable(const IntegConversion *conversion)
{
	if (!conversion->runs_code || conversion->owner == GetUserId())
		return;
	ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
					errmsg("conversion schema \"%s\" runs SQL of its owner", conversion->schema_id),
					errdetail("It has a custom expression or looks up in a table, and belongs to \"%s\"; the current role "
							  "is \"%s\".",
							  GetUserNameFromId(conversion->owner, true), GetUserNameFromId(GetUserId(), true)),
					errhint("Call it as that role, or make a schema of your own.")));
}

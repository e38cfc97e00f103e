/*
 * Keeping plain values out of the server's log and of pg_stat_activity.
 *
 * A statement is known to carry a secret by its text, which mentions one of
 * the functions (then also what is logged before it runs is redacted:
 * log_statement, debug_print_parse, syntax errors), or by the fact that one of
 * them ran in it (EXECUTE of a prepared statement, a function that wraps them).
 */
#include "postgres.h"

#include "vault/redact.h"

#include "access/xact.h"
#include "core/errors.h"
#include "parser/analyze.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/backend_status.h"
#include "utils/elog.h"
#include "vault/aead.h"

#define HIDDEN "<hidden by integ: the statement carries a credential>"

static emit_log_hook_type next_emit_log;
static post_parse_analyze_hook_type next_post_parse_analyze;
static ProcessUtility_hook_type next_process_utility;

/* This session has prepared a statement that mentions them: what it EXECUTEs may carry a secret. */
static bool prepared;

/* The statement in which one of the functions ran; 0: none yet. */
static TimestampTz secret_statement;

/* Whether the text goes on as the name of a function that is given a secret. */
static bool
is_function(const char *text)
{
	static const char *const names[] = {"_credential_set", "_credential_rotate", "_oauth_callback"};

	for (size_t i = 0; i < lengthof(names); i++)
		if (pg_strncasecmp(text, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/*
 * Whether a statement mentions one of the functions in any case. Every statement of the
 * server passes here, however long: so look at underscores only.
 */
static bool
mentions(const char *text)
{
	static const char before[] = "integ";
	const char *begin = text;

	while (text != NULL && (text = strchr(text, '_')) != NULL)
	{
		if (text - begin >= (ptrdiff_t) sizeof(before) - 1 &&
			pg_strncasecmp(text - (sizeof(before) - 1), before, sizeof(before) - 1) == 0 && is_function(text))
			return true;
		text++;
	}
	return false;
}

static bool
carries_secret(const char *statement)
{
	return mentions(statement) || (prepared && statement != NULL && strcasestr(statement, "execute") != NULL);
}

static bool
ran_in_this_statement(void)
{
	return secret_statement != 0 && secret_statement == GetCurrentStatementStartTimestamp();
}

/* Shared memory keeps what a shorter text does not overwrite: overwrite all of it first. */
static void
hide_activity(void)
{
	static bool busy = false;
	char *blank;

	if (busy || !pgstat_track_activities)
		return;
	busy = true;
	blank = palloc(pgstat_track_activity_query_size);
	memset(blank, ' ', pgstat_track_activity_query_size - 1);
	blank[pgstat_track_activity_query_size - 1] = '\0';
	pgstat_report_activity(STATE_RUNNING, blank);
	pgstat_report_activity(STATE_RUNNING, HIDDEN);
	pfree(blank);
	busy = false;
}

void
integ_redact_statement(void)
{
	secret_statement = GetCurrentStatementStartTimestamp();
	hide_activity();
}

static void
replace(char **field, const char *text)
{
	if (*field == NULL)
		return;
	integ_wipe(*field, strlen(*field));
	pfree(*field);
	*field = pstrdup(text);
}

static void
clear_mention(char **field, bool always)
{
	if (always || mentions(*field))
		replace(field, HIDDEN);
}

/* What stands before a quoted statement in PostgreSQL's own messages; NULL where none is. */
static const char *
find_statement(const char *message)
{
	static const char *const marks[] = {"statement: ", "parse ", "bind ", "execute ", "plan:"};

	if (strncmp(message, "duration: ", 10) != 0 && strncmp(message, "statement: ", 11) != 0 &&
		strncmp(message, "execute ", 8) != 0)
		return NULL;
	for (size_t i = 0; i < lengthof(marks); i++)
	{
		const char *mark = strstr(message, marks[i]);

		if (mark != NULL)
			return mark + strlen(marks[i]);
	}
	return NULL;
}

/* "duration: 1.2 ms  statement: <hidden …>": the figure is worth keeping. */
static void
hide_quoted_statement(ErrorData *edata)
{
	const char *statement = find_statement(edata->message);
	char *shown;

	if (statement == NULL)
		return;
	shown = psprintf("%.*s%s", (int) (statement - edata->message), edata->message, HIDDEN);
	replace(&edata->message, shown);
	pfree(shown);
}

/* What PostgreSQL's messages quote of a statement stands between double quotes: a token, an identifier, a value. */
static void
hide_quotations(ErrorData *edata)
{
	char *first = strchr(edata->message, '"');
	char *last = first == NULL ? NULL : strrchr(edata->message, '"');
	char *shown;

	if (first == NULL)
		return;
	if (last == first)
		last = first + strlen(first) - 1;
	shown = psprintf("%.*s…%s", (int) (first - edata->message + 1), edata->message, last);
	replace(&edata->message, shown);
	pfree(shown);
}

/* Errors of class IG never hold a secret; everything else may quote one. */
static bool
is_ours(const ErrorData *edata)
{
	return strncmp(unpack_sql_state(edata->sqlerrcode), "IG", 2) == 0;
}

static void
redact(ErrorData *edata)
{
	bool mentioned = carries_secret(debug_query_string);
	bool secret = mentioned || ran_in_this_statement();

	/* Errors name a function that does not exist or may not be called; they do not quote statements. */
	if (edata->elevel < ERROR && mentions(edata->message))
	{
		hide_quoted_statement(edata);
		clear_mention(&edata->message, false);
	}
	if (secret)
	{
		edata->hide_stmt = true;
		hide_quoted_statement(edata);
		if (mentioned)
			hide_activity();
	}
	clear_mention(&edata->context, secret);
	clear_mention(&edata->internalquery, secret);
	if (is_ours(edata))
		return;
	if (mentioned)
		hide_quotations(edata);
	clear_mention(&edata->detail, secret);
	clear_mention(&edata->detail_log, secret);
	clear_mention(&edata->hint, false);
}

static void
redact_log(ErrorData *edata)
{
	static bool busy = false;

	/* A log message of our own would come back here. */
	if (!busy && edata->message != NULL)
	{
		busy = true;
		redact(edata);
		busy = false;
	}
	if (next_emit_log != NULL)
		next_emit_log(edata);
}

static void
redact_parsed(ParseState *state, Query *query, JumbleState *jumble)
{
	if (mentions(debug_query_string) && strcasestr(debug_query_string, "prepare") != NULL)
		prepared = true;
	if (carries_secret(debug_query_string))
		hide_activity();
	if (next_post_parse_analyze != NULL)
		next_post_parse_analyze(state, query, jumble);
}

/*
 * pg_stat_statements keeps the text of a utility statement as it stands. Of DO
 * alone nothing else needs the text: in others positions in it are looked up.
 */
static void
redact_utility(PlannedStmt *statement, const char *text, bool read_only_tree, ProcessUtilityContext context,
			   ParamListInfo parameters, QueryEnvironment *environment, DestReceiver *destination,
			   QueryCompletion *completion)
{
	PlannedStmt hidden;

	if (IsA(statement->utilityStmt, DoStmt) && mentions(text))
	{
		hidden = *statement;
		hidden.stmt_location = -1;
		hidden.stmt_len = 0;
		statement = &hidden;
		text = "DO " HIDDEN;
	}
	(next_process_utility != NULL ? next_process_utility : standard_ProcessUtility)(
		statement, text, read_only_tree, context, parameters, environment, destination, completion);
}

void
integ_redact_init(void)
{
	next_emit_log = emit_log_hook;
	emit_log_hook = redact_log;
	next_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = redact_parsed;
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = redact_utility;
}

/*
 * Reading a GraphQL document as far as its operations.
 */
#include "graphql/document.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define MAX_DEPTH 256

typedef struct Scan
{
	const char *at;
	char closers[MAX_DEPTH]; /* of the brackets that are open */
	int depth;

	/* the definition under way; keyword NULL: none */
	const char *keyword;
	size_t keyword_len;
	const char *name;
	size_t name_len;

	/* what was found */
	const char *operation; /* looked for, or NULL */
	int matches;
	IntegGraphqlKind kind; /* of the first match */
} Scan;

static bool
is_name_start(char c)
{
	return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_name(char c)
{
	return is_name_start(c) || (c >= '0' && c <= '9');
}

static bool
equals(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && strncmp(text, word, len) == 0;
}

/* """…""": ends at three quotes that no backslash stands before. */
static bool
skip_block_string(Scan *scan)
{
	scan->at += 3;
	for (; *scan->at != '\0'; scan->at++)
	{
		if (strncmp(scan->at, "\\\"\"\"", 4) == 0)
			scan->at += 3;
		else if (strncmp(scan->at, "\"\"\"", 3) == 0)
		{
			scan->at += 3;
			return true;
		}
	}
	return false;
}

static bool
skip_string(Scan *scan)
{
	if (strncmp(scan->at, "\"\"\"", 3) == 0)
		return skip_block_string(scan);
	for (scan->at++; *scan->at != '"'; scan->at++)
	{
		if (*scan->at == '\\' && scan->at[1] != '\0')
			scan->at++;
		if (*scan->at == '\0' || *scan->at == '\n' || *scan->at == '\r')
			return false;
	}
	scan->at++;
	return true;
}

static void
skip_comment(Scan *scan)
{
	while (*scan->at != '\0' && *scan->at != '\n' && *scan->at != '\r')
		scan->at++;
}

/* The first word of a definition, its name, or a word that does not matter here. */
static bool
take_word(Scan *scan)
{
	const char *word = scan->at;
	size_t len = 0;

	while (is_name(word[len]))
		len++;
	scan->at += len;
	if (scan->depth > 0)
		return true;
	if (scan->keyword == NULL)
	{
		scan->keyword = word;
		scan->keyword_len = len;
		return equals(word, len, "query") || equals(word, len, "mutation") || equals(word, len, "subscription") ||
			   equals(word, len, "fragment");
	}
	if (scan->name == NULL)
	{
		scan->name = word;
		scan->name_len = len;
	}
	return true;
}

/* A definition has ended with its selections. */
static void
end_definition(Scan *scan)
{
	bool wanted = scan->operation == NULL ||
				  (scan->name != NULL && equals(scan->name, scan->name_len, scan->operation));

	if (!equals(scan->keyword, scan->keyword_len, "fragment") && wanted && scan->matches++ == 0)
		scan->kind = equals(scan->keyword, scan->keyword_len, "mutation")		? INTEG_GRAPHQL_MUTATION
					 : equals(scan->keyword, scan->keyword_len, "subscription") ? INTEG_GRAPHQL_SUBSCRIPTION
																				: INTEG_GRAPHQL_QUERY;
	scan->keyword = NULL;
	scan->name = NULL;
}

static bool
open_bracket(Scan *scan)
{
	char c = *scan->at++;

	if (scan->depth == MAX_DEPTH)
		return false;
	if (scan->depth == 0 && scan->keyword == NULL)
	{
		/* The short form of a query: nothing but its selections. */
		if (c != '{')
			return false;
		scan->keyword = "query";
		scan->keyword_len = strlen("query");
	}
	else if (scan->depth == 0 && scan->name == NULL)
	{
		/* An operation may go without a name; what follows is none. */
		scan->name = "";
		scan->name_len = 0;
	}
	scan->closers[scan->depth++] = c == '{' ? '}' : c == '(' ? ')'
															 : ']';
	return true;
}

static bool
close_bracket(Scan *scan)
{
	char c = *scan->at++;

	if (scan->depth == 0 || scan->closers[--scan->depth] != c)
		return false;
	if (scan->depth == 0 && c == '}')
		end_definition(scan);
	return true;
}

/* A directive's name is no operation's. */
static void
skip_directive(Scan *scan)
{
	scan->at++;
	if (scan->depth == 0 && scan->keyword != NULL && scan->name == NULL)
	{
		scan->name = "";
		scan->name_len = 0;
	}
}

/* Takes a token; false where the document is malformed. */
static bool
take_token(Scan *scan)
{
	char c = *scan->at;

	if (c == '#')
		skip_comment(scan);
	else if (c == '"')
		return skip_string(scan);
	else if (is_name_start(c))
		return take_word(scan);
	else if (c == '{' || c == '(' || c == '[')
		return open_bracket(scan);
	else if (c == '}' || c == ')' || c == ']')
		return close_bracket(scan);
	else if (c == '@')
		skip_directive(scan);
	else
		scan->at++;
	return true;
}

IntegGraphqlKind
integ_graphql_kind(const char *document, const char *operation)
{
	Scan scan = {.at = document, .operation = operation};

	while (*scan.at != '\0')
		if (!take_token(&scan))
			return INTEG_GRAPHQL_MALFORMED;
	if (scan.depth > 0 || scan.keyword != NULL)
		return INTEG_GRAPHQL_MALFORMED;
	if (scan.matches == 0)
		return INTEG_GRAPHQL_NONE;
	return scan.matches > 1 ? INTEG_GRAPHQL_SEVERAL : scan.kind;
}

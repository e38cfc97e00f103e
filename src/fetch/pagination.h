/*
 * The "pagination" of a method, compiled. docs/manifest.md has the keys.
 */
#ifndef INTEG_FETCH_PAGINATION_H
#define INTEG_FETCH_PAGINATION_H

#include "postgres.h"

#include "definitions/definition.h"
#include "template/template.h"

typedef enum IntegPageStyle
{
	INTEG_PAGE_NONE,
	INTEG_PAGE_CURSOR,
	INTEG_PAGE_NUMBER,
	INTEG_PAGE_OFFSET,
	INTEG_PAGE_LINK,
	INTEG_PAGE_NEXT_URL,
	INTEG_PAGE_GRAPHQL,
	INTEG_PAGE_LAST_ID
} IntegPageStyle;

typedef enum IntegPagePlace
{
	INTEG_PAGE_IN_QUERY,
	INTEG_PAGE_IN_BODY,
	INTEG_PAGE_IN_HEADER,
	INTEG_PAGE_IN_URL,
	INTEG_PAGE_IN_TEMPLATE /* the request names it: {pagination.offset} */
} IntegPagePlace;

typedef enum IntegPageSource
{
	INTEG_PAGE_FROM_BODY,
	INTEG_PAGE_FROM_HEADER,
	INTEG_PAGE_FROM_LAST_RECORD
} IntegPageSource;

/* A value of an answer that the requests for further pages name. */
typedef struct IntegPageCarry
{
	const char *name;
	IntegPath *path;	/* where it is in the body, or NULL: */
	const char *header; /* the header that has it, in lower case */
} IntegPageCarry;

typedef struct IntegPagination
{
	IntegPageStyle style;
	IntegPagePlace in;
	IntegPageSource from;
	bool is_named;	  /* requests name the page: {pagination.x} */
	bool names_size;  /* … and how long it is */
	const char *word; /* what they call its place, or NULL */
	int ncarry;
	IntegPageCarry *carry;
	const char *param;		/* or NULL */
	const char *next;		/* as written, a header in lower case; or NULL */
	IntegPath *next_path;	/* where it is a path */
	const char *rel;		/* "next" by default */
	IntegExchange *further; /* of the pages behind the first, where "path" is given; else NULL */
	IntegPath *end;			/* or NULL */
	IntegPath *more;		/* or NULL */
	IntegPath *total;		/* records; or NULL */
	IntegPath *total_pages; /* or NULL */
	int64 start;			/* number of the first page or offset */
	const char *page_size_param;
	int64 page_size;		 /* 0: the service's */
	int64 max_page_size;	 /* 0: not known */
	bool short_page;		 /* a page with fewer records than were asked for is the last */
	int64 max_pages;		 /* 0: no limit */
	IntegPath *delta;		 /* or NULL */
	const char *delta_param; /* or NULL */
	IntegPagePlace delta_in;
} IntegPagination;

/* Compiles the pagination of a method into CurrentMemoryContext; style none where it has none. The method must stay. */
extern IntegPagination *integ_pagination_compile(const IntegMethod *method);

/* "cursor", "page" …, for messages. */
extern const char *integ_page_style_name(IntegPageStyle style);

#endif /* INTEG_FETCH_PAGINATION_H */

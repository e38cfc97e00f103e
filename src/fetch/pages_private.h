/*
 * What the files of the pages share: pages.c (the order of things), turn.c (what a page's request has besides the
 * method's), named.c (what of it the request names itself), next.c (what the answer says of the next page).
 */
#ifndef INTEG_FETCH_PAGES_PRIVATE_H
#define INTEG_FETCH_PAGES_PRIVATE_H

#include "fetch/pages.h"

/*
 * Which page is asked for: the first one where nothing is set. Its values are in IntegPages.position_context, of which
 * there are two in turn, so that the next position is made while the last one is read.
 */
typedef struct IntegPagePosition
{
	bool set;
	const Jsonb *cursor;  /* a scalar or, in a body, anything */
	const char *url;	  /* absolute, of the instance's origin */
	int64 number;		  /* page or offset */
	const Jsonb *carried; /* what earlier answers gave to take along, by name; NULL: nothing */
} IntegPagePosition;

struct IntegPages
{
	MemoryContext context;
	IntegCall *call;
	const Jsonb *input; /* of the call, validated */
	IntegPagination *pagination;
	IntegPagesOptions options;

	MemoryContext position_contexts[2];
	int position_context; /* which of them the position is in */
	IntegPagePosition position;
	int64 asked; /* records that the request asked for, 0: not known */
	int64 npages;
	int64 nrecords;
	int nempty;	   /* pages without records in a row */
	bool finished; /* nothing more to ask for */

	/* A position that was seen, replaced after 1, 2, 4 … pages: whoever goes in a circle comes by it (Brent). */
	uint64 mark;
	int64 mark_page, mark_until;
	uint64 fingerprint; /* of the last page's records */
	int nsame;			/* pages in a row that are the same */

	MemoryContext page_context;
	IntegPage page;
};

/* Changes the call's rendered request to that of the position; records what number and size were asked for. */
extern void integ_pages_turn(IntegCall *call, void *pages);

/* Makes position that of the next page, from the call's answer and the page's records; false where there is none. */
extern bool integ_pages_find_next(IntegPages *pages, const Jsonb *records, IntegPagePosition *position);

/*
 * What {pagination.x} stands for in the request of the position, in CurrentMemoryContext; NULL where requests do not
 * name their page.
 */
extern const Jsonb *integ_pages_named(const IntegPages *pages);

/*
 * What the next page's request takes along of the answer, in CurrentMemoryContext: what it does not have stays as it
 * was. NULL for nothing.
 */
extern const Jsonb *integ_pages_carry(const IntegPages *pages);

/* How many records a page is to have, by the options or the definition; 0: the service decides. */
extern int64 integ_pages_size(const IntegPages *pages);

/*
 * The position, with the counts, as a document in CurrentMemoryContext; and back: false where it is of another
 * style.
 */
extern const Jsonb *integ_pages_state(const IntegPages *pages);
extern bool integ_pages_restore(IntegPages *pages, const Jsonb *state);

/* Raises IG502 unless the URL is of the instance's origin. */
extern void integ_pages_require_origin(const IntegCall *call, const char *url);

/* How many records the whole list has, where the answer says so; else -1. */
extern int64 integ_pages_find_total(const IntegPages *pages);

/* The token of the final page, NULL where the answer has none. */
extern const char *integ_pages_find_delta(const IntegPages *pages);

#endif /* INTEG_FETCH_PAGES_PRIVATE_H */

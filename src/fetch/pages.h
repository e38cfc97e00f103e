/*
 * The pages of a list, one after the other: what integ_fetch and the sync share.
 *
 * In a caller's transaction:
 *
 *		integ_call_open(call);
 *		pages = integ_pages_open(call, &options);
 *		while ((page = integ_pages_next(pages)) != NULL)
 *			use page->records;
 *
 * In a worker, which has no transaction open while it waits, the three parts of integ_pages_next by themselves:
 *
 *		while (integ_pages_build(pages))          in a transaction
 *		{
 *			integ_pages_send(pages);              outside of one
 *			page = integ_pages_take(pages);       in a transaction: that of the page's records, and of its state
 *		}
 *
 * Each page's answer is gone once the page is taken; memory stays that of one page.
 */
#ifndef INTEG_FETCH_PAGES_H
#define INTEG_FETCH_PAGES_H

#include "postgres.h"

#include "execute/call.h"
#include "fetch/pagination.h"

typedef struct IntegPages IntegPages;

typedef struct IntegPagesOptions
{
	int64 page_size;	/* 0: the definition's, or the service's */
	int64 max_pages;	/* 0: no limit but the definition's */
	const char *delta;	/* a token from which the service tells what changed since; NULL: everything */
	const Jsonb *state; /* of an earlier page: go on behind it; NULL: from the beginning */
} IntegPagesOptions;

typedef struct IntegPage
{
	int64 number;		  /* from 1, counted on from the state's */
	const Jsonb *records; /* an array, maybe an empty one */
	const Jsonb *state;	  /* to go on behind this page, to be stored; NULL where the list ends with it */
	const char *delta;	  /* the token of the last page from which the next run goes on, NULL for none */
	int64 total;		  /* records of the whole list, where the service tells; else -1 */
	bool cut_short;		  /* the list goes on, but "maxPages" of the definition ends it here */
} IntegPage;

/*
 * The pages of an opened call. Everything lives in a context below the call's and goes with the call. Options and
 * what they point to are copied. Raises IG400 for a method that writes, an option that the method's pagination
 * cannot carry and a state of
 * another pagination.
 */
extern IntegPages *integ_pages_open(IntegCall *call, const IntegPagesOptions *options);

/* Raises IG400 unless the method only reads. */
extern void integ_pages_require_read(const IntegCall *call);

/*
 * The next page, NULL behind the last. Valid until the next call for these pages. Raises what the page's call
 * raises: what the service or the network did wrong, IG502 for pages that go in circles or stay empty, and IG403 for a
 * page that is at another origin.
 */
extern const IntegPage *integ_pages_next(IntegPages *pages);

/* The parts of it: build is false behind the last page. take raises, as integ_pages_next does. */
extern bool integ_pages_build(IntegPages *pages);
extern void integ_pages_send(IntegPages *pages);
extern const IntegPage *integ_pages_take(IntegPages *pages);

/* The end of take, for who has finished the call and asked the functions of its definition by itself. */
extern const IntegPage *integ_pages_receive(IntegPages *pages);

#endif /* INTEG_FETCH_PAGES_H */

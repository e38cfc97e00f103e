/*
 * Full-text search over records.
 */
#ifndef INTEG_SEARCH_SEARCH_H
#define INTEG_SEARCH_SEARCH_H

#include "postgres.h"

/* A text in lower case by Unicode's rules, whatever the database's locale, in CurrentMemoryContext. */
extern char *integ_search_fold(const char *text, int len);

#endif /* INTEG_SEARCH_SEARCH_H */

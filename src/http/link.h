/*
 * The Link header. Free of PostgreSQL.
 */
#ifndef INTEG_HTTP_LINK_H
#define INTEG_HTTP_LINK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The target of the first link in a Link header's value whose relation types contain rel (compared without regard to
 * case): where it is in value, as written, without its angle brackets. False where there is none. A link with
 * an "anchor" is about another resource, and passed over; of two "rel" in one link the first counts. What is
 * malformed ends the search. Source: RFC 8288, section 3 and appendix B.2.
 */
extern bool integ_link_find(const char *value, const char *rel, const char **target, size_t *len);

#endif /* INTEG_HTTP_LINK_H */

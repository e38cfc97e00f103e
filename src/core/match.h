/*
 * Which events somebody wants: patterns of names, and filters.
 */
#ifndef INTEG_CORE_MATCH_H
#define INTEG_CORE_MATCH_H

#include "postgres.h"

#include "utils/jsonb.h"

/* A name against a pattern in which * stands for any characters. */
extern bool integ_name_matches(const char *pattern, const char *name);

/*
 * Whether a jsonpath finds something in the document that is not false or null. A NULL filter holds of everything, any
 * other one of no document not.
 */
extern bool integ_filter_holds(const struct varlena *filter, const Jsonb *document);

#endif /* INTEG_CORE_MATCH_H */

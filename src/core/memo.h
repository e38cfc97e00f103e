/*
 * What an SQL function compiled from an argument, kept while a statement calls it row after row.
 */
#ifndef INTEG_CORE_MEMO_H
#define INTEG_CORE_MEMO_H

#include "postgres.h"

#include "fmgr.h"

/* Compiles a source into CurrentMemoryContext; may raise. */
typedef void *(*IntegMemoCompile)(const struct varlena *source);

/*
 * The result for a source (detoasted): that of the previous call where the
 * source is the same, byte for byte, else made by compile. Kept in fn_extra,
 * valid until the next call of the same call site.
 */
extern void *integ_memo(FunctionCallInfo fcinfo, const struct varlena *source, IntegMemoCompile compile);

#endif /* INTEG_CORE_MEMO_H */

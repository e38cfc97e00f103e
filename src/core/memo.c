/*
 * The memo of a call site: one source and what it was compiled to.
 */
#include "core/memo.h"

#include "core/compat.h"
#include "utils/memutils.h"

typedef struct Memo
{
	MemoryContext context; /* holds all of it */
	struct varlena *source;
	void *compiled;
} Memo;

void *
integ_memo(FunctionCallInfo fcinfo, const struct varlena *source, IntegMemoCompile compile)
{
	Memo *memo = fcinfo->flinfo->fn_extra;
	MemoryContext outer;

	if (memo != NULL && VARSIZE(memo->source) == VARSIZE(source) && memcmp(memo->source, source, VARSIZE(source)) == 0)
		return memo->compiled;
	fcinfo->flinfo->fn_extra = NULL;
	if (memo != NULL)
		MemoryContextDelete(memo->context);

	/* A child of the current context until it is complete, so that an error frees it. */
	outer = MemoryContextSwitchTo(AllocSetContextCreate(CurrentMemoryContext, "integ memo", ALLOCSET_SMALL_SIZES));
	memo = palloc(sizeof(Memo));
	memo->context = CurrentMemoryContext;
	memo->source = palloc(VARSIZE(source));
	memcpy(memo->source, source, VARSIZE(source));
	memo->compiled = compile(memo->source);
	MemoryContextSetParent(memo->context, fcinfo->flinfo->fn_mcxt);
	fcinfo->flinfo->fn_extra = memo;
	MemoryContextSwitchTo(outer);
	return memo->compiled;
}

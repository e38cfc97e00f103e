/*
 * Objects of a cache that callers hold while the cache moves on.
 */
#include "core/pinned.h"

#include "utils/memutils.h"
#include "utils/palloc.h"

static void
release(void *arg)
{
	IntegPinned *object = arg;

	Assert(object->pins > 0);
	if (--object->pins == 0 && object->retired)
		MemoryContextDelete(object->context);
}

void
integ_pinned_hold(IntegPinned *object)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	callback->func = release;
	callback->arg = object;
	object->pins++;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
}

void
integ_pinned_retire(IntegPinned *object)
{
	Assert(!object->retired);
	object->retired = true;
	if (object->pins == 0)
		MemoryContextDelete(object->context);
}

/*
 * Memory for secrets.
 */
#ifndef INTEG_VAULT_SECRET_H
#define INTEG_VAULT_SECRET_H

#include "postgres.h"

/*
 * As palloc in CurrentMemoryContext, but overwritten when the context is reset or
 * deleted (also by an error). Must not be freed or reallocated by hand.
 */
extern void *integ_secret_alloc(size_t size);

#endif /* INTEG_VAULT_SECRET_H */

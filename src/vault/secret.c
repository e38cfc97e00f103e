/*
 * Memory for secrets.
 */
#include "vault/secret.h"

#include "vault/aead.h"

typedef struct SecretChunk
{
	MemoryContextCallback callback;
	size_t size;
	char bytes[FLEXIBLE_ARRAY_MEMBER];
} SecretChunk;

static void
wipe(void *arg)
{
	SecretChunk *chunk = arg;

	integ_wipe(chunk->bytes, chunk->size);
}

void *
integ_secret_alloc(size_t size)
{
	SecretChunk *chunk = palloc(offsetof(SecretChunk, bytes) + size);

	chunk->size = size;
	chunk->callback.func = wipe;
	chunk->callback.arg = chunk;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &chunk->callback);
	return chunk->bytes;
}

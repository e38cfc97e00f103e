/*
 * Allocates before anything else does, so that the AddressSanitizer's runtime
 * is initialized when the constructors of the server's libraries run.
 */
#include <stdlib.h>

__attribute__((constructor)) static void
early(void)
{
	void *volatile pointer = malloc(1);

	free(pointer);
}

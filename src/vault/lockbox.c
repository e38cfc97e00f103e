/*
 * A page of this process for keys.
 */
#include "vault/lockbox.h"

#include <sys/mman.h>
#include <unistd.h>

static IntegLockbox *lockbox;
static pid_t lockbox_process;

IntegLockbox *
integ_lockbox(void)
{
	void *page;

	/* A forked child does not have its parent's (MADV_DONTFORK). */
	if (lockbox != NULL && lockbox_process == getpid())
		return lockbox;
	page = mmap(NULL, sizeof(IntegLockbox), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return NULL;
	/* Better unlocked than no vault: RLIMIT_MEMLOCK may be zero. */
	(void) mlock(page, sizeof(IntegLockbox));
	(void) madvise(page, sizeof(IntegLockbox), MADV_DONTDUMP);
	(void) madvise(page, sizeof(IntegLockbox), MADV_DONTFORK);
	lockbox = page;
	lockbox_process = getpid();
	return lockbox;
}

void
integ_lockbox_wipe(void)
{
	if (lockbox != NULL && lockbox_process == getpid())
		integ_wipe(lockbox, sizeof(IntegLockbox));
}

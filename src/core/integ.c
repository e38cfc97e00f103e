/*
 * The library's entry point: it declares the settings in every backend, and,
 * when preloaded, asks for shared memory and starts the launcher.
 */
#include "postgres.h"

#include "calls/wake.h"
#include "oauth/desk.h"
#include "core/cache.h"
#include "core/guc.h"
#include "core/process.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "vault/redact.h"

PG_MODULE_MAGIC;

void _PG_init(void);

void
_PG_init(void)
{
	integ_guc_define();
	integ_cache_init();
	integ_wake_init();
	integ_oauth_wake_init();
	integ_redact_init();

	/* Under binary upgrade nothing of ours may run: pg_upgrade moves the catalog. */
	if (process_shared_preload_libraries_in_progress && !IsBinaryUpgrade)
		integ_process_init();
}

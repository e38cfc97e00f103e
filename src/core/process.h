/*
 * What integ needs to be preloaded for: shared memory, hooks, the launcher.
 */
#ifndef INTEG_CORE_PROCESS_H
#define INTEG_CORE_PROCESS_H

/*
 * Asks for shared memory, installs the hooks and registers the launcher.
 * Called while shared_preload_libraries are loaded, and then only.
 */
extern void integ_process_init(void);

#endif /* INTEG_CORE_PROCESS_H */

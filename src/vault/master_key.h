/*
 * The master key of this process: read from its file or command at first use,
 * kept in the lockbox, and read again once the settings or the file changed.
 */
#ifndef INTEG_VAULT_MASTER_KEY_H
#define INTEG_VAULT_MASTER_KEY_H

#include "postgres.h"

#include "vault/key_wrap.h"

/*
 * Drops keys (and data keys in the lockbox) that may be out of date: after a reload of the
 * configuration or a change of the file, which each statement notices at its first use of a key and then
 * after a tenth of a second. Returns a number that grows each time it did.
 */
extern uint64 integ_master_key_refresh(void);

/*
 * The key that wraps new data keys; id is set. Valid until the next refresh. Raises IG500 where it is
 * missing or cannot be used.
 */
extern const uint8_t *integ_master_key_current(char id[INTEG_MASTER_KEY_ID_SIZE]);

/*
 * The key with that identifier: the current one, or the one in
 * integ.master_key_previous_file. Raises IG500 where neither is.
 */
extern const uint8_t *integ_master_key_find(const char *id);

#endif /* INTEG_VAULT_MASTER_KEY_H */

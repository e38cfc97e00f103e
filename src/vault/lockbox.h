/*
 * A page of this process for keys: locked into memory where the limits allow
 * it, left out of core dumps and of children. Free of PostgreSQL.
 */
#ifndef INTEG_VAULT_LOCKBOX_H
#define INTEG_VAULT_LOCKBOX_H

#include "vault/key_wrap.h"

#define INTEG_LOCKBOX_DATA_KEYS 32

typedef struct IntegLockbox
{
	uint8_t master[INTEG_MASTER_KEY_SIZE];
	uint8_t previous_master[INTEG_MASTER_KEY_SIZE];
	uint8_t data_keys[INTEG_LOCKBOX_DATA_KEYS][INTEG_DATA_KEY_MAX];
} IntegLockbox;

/* This process's lockbox, all zero at first; NULL where the system gives no memory. */
extern IntegLockbox *integ_lockbox(void);

/* Overwrites everything in it; nothing where there is none. */
extern void integ_lockbox_wipe(void);

#endif /* INTEG_VAULT_LOCKBOX_H */

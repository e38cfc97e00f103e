/*
 * Whether the vault can be used now, for integ_status().
 */
#ifndef INTEG_VAULT_STATE_H
#define INTEG_VAULT_STATE_H

#include "postgres.h"

typedef struct IntegVaultState
{
	const char *state; /* usable, missing, unusable; static */
	char *problem;	   /* NULL where it is usable */
	char *hint;
} IntegVaultState;

/*
 * Reads the master key and looks whether every data key of this database is wrapped by
 * it. Texts are in CurrentMemoryContext and hold nothing of the key. Raises only what is no
 * finding about the key (an interrupt, no memory).
 */
extern IntegVaultState integ_vault_state(void);

#endif /* INTEG_VAULT_STATE_H */

/*
 * The vault's own key pairs, in integ.sealing_keys.
 */
#ifndef INTEG_VAULT_SEALING_H
#define INTEG_VAULT_SEALING_H

#include "postgres.h"

#include "vault/sealed.h"

/*
 * integ_sealed_open with the vault's key pairs. Must be called outside integ_owner_enter. Raises IG500
 * where a private key cannot be opened.
 */
extern IntegCryptoStatus integ_sealing_open(const uint8_t *sealed, size_t len, uint8_t *out, size_t *out_len);

/*
 * Makes a key pair the active one and retires the one before. Inside an owner
 * scope; role is who asked. Returns the certificate in context.
 */
extern char *integ_sealing_replace(Oid role, MemoryContext context);

/* Keeps others from making key pairs until the end of the transaction. Inside an owner scope. */
extern void integ_sealing_lock(void);

#endif /* INTEG_VAULT_SEALING_H */

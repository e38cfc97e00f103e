/*
 * Keeping plain values of integ_credential_set and integ_credential_rotate, and
 * the codes of integ_oauth_callback, out of the server's log and of
 * pg_stat_activity, as far as PostgreSQL lets us. What remains is listed in
 * docs/vault.md; sealed values need none of this.
 */
#ifndef INTEG_VAULT_REDACT_H
#define INTEG_VAULT_REDACT_H

/* Installs the hooks; called once from _PG_init. */
extern void integ_redact_init(void);

/*
 * The running statement carries a secret: hides its text in pg_stat_activity
 * now, and in what is logged about it from here on, whatever it looks like.
 */
extern void integ_redact_statement(void);

#endif /* INTEG_VAULT_REDACT_H */

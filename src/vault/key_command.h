/*
 * The command that prints the master key.
 */
#ifndef INTEG_VAULT_KEY_COMMAND_H
#define INTEG_VAULT_KEY_COMMAND_H

#include "postgres.h"

/*
 * Runs command with /bin/sh, without input, as the server's user, and stores at most size
 * bytes of what it prints in out; returns their number. Raises IG500 where it cannot be
 * started, fails or takes longer than ten seconds, and passes interrupts on; in each
 * case its process group is killed and out is wiped.
 */
extern size_t integ_key_command_run(const char *command, char *out, size_t size);

#endif /* INTEG_VAULT_KEY_COMMAND_H */

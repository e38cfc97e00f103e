/*
 * The file that holds the master key. Free of PostgreSQL.
 */
#ifndef INTEG_VAULT_KEY_FILE_H
#define INTEG_VAULT_KEY_FILE_H

#include <sys/stat.h>

#include "vault/key_wrap.h"

/* Why a file is not taken. Neither text has a byte of the file's content; hint is never empty. */
typedef struct IntegKeyFileProblem
{
	char what[512]; /* a clause: "it is readable by others (mode 0644)" */
	char hint[256]; /* a sentence */
} IntegKeyFileProblem;

/*
 * Reads the master key from path. The file must be named absolutely, be a regular file
 * (perhaps behind symbolic links) outside data_folder, and either belong to the
 * process's user with no access for group and others, or to root with at most read access for the
 * group: the rule PostgreSQL has for ssl_key_file, which service managers
 * that hand out secrets keep to. On true *stamp says what was read, for
 * integ_key_file_unchanged. On false key is wiped.
 */
extern bool integ_key_file_read(const char *path, const char *data_folder, uint8_t key[INTEG_MASTER_KEY_SIZE],
								struct stat *stamp, IntegKeyFileProblem *problem);

/* Whether path is still the file that was read: one stat(). */
extern bool integ_key_file_unchanged(const char *path, const struct stat *stamp);

#endif /* INTEG_VAULT_KEY_FILE_H */

/*
 * The file that holds the master key.
 */
#include "vault/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAKE_HINT "Make it with: openssl rand -hex 32 > FILE; chmod 600 FILE; as the server's user."

static bool
fail(IntegKeyFileProblem *problem, const char *hint, const char *what)
{
	snprintf(problem->what, sizeof(problem->what), "%s", what);
	snprintf(problem->hint, sizeof(problem->hint), "%s", hint);
	return false;
}

/* Whether path lies in folder; both without symbolic links. */
static bool
is_inside(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool
check_place(const char *path, const char *data_folder, IntegKeyFileProblem *problem)
{
	char real_path[PATH_MAX], real_folder[PATH_MAX];

	if (realpath(path, real_path) == NULL || realpath(data_folder, real_folder) == NULL)
		return fail(problem, "Check the path and the folders above it.", strerror(errno));
	if (is_inside(real_path, real_folder))
		return fail(problem, "Move it out: a copy of the data folder must not carry the key to its secrets.",
					"it lies in the data folder");
	return true;
}

static bool
check_access(const struct stat *status, IntegKeyFileProblem *problem)
{
	char what[64];

	if (!S_ISREG(status->st_mode))
		return fail(problem, MAKE_HINT, "it is not a regular file");
	if (status->st_uid != geteuid() && status->st_uid != 0)
	{
		snprintf(what, sizeof(what), "it belongs to another user (uid %u)", (unsigned) status->st_uid);
		return fail(problem, "Make the server's user or root its owner.", what);
	}
	if (status->st_mode & (status->st_uid == geteuid() ? 077 : 037))
	{
		snprintf(what, sizeof(what), "others than its owner may use it (mode %04o)",
				 (unsigned) status->st_mode & 07777);
		return fail(problem, "chmod 600 the file (at most 640 where root owns it), and think of who may have read it.", what);
	}
	return true;
}

/* Reads and parses the open file. */
static bool
read_key(int descriptor, uint8_t *key, IntegKeyFileProblem *problem)
{
	char text[2 * INTEG_MASTER_KEY_SIZE + 16];
	const char *what;
	size_t len = 0;
	ssize_t got;
	bool parsed;

	do
	{
		got = read(descriptor, text + len, sizeof(text) - len);
		if (got > 0)
			len += (size_t) got;
	} while ((got > 0 && len < sizeof(text)) || (got < 0 && errno == EINTR));
	if (got < 0)
	{
		integ_wipe(text, sizeof(text));
		return fail(problem, "Check the disk and the file system.", strerror(errno));
	}
	parsed = integ_master_key_parse(text, len, key, &what);
	integ_wipe(text, sizeof(text));
	return parsed || fail(problem, MAKE_HINT, what);
}

bool
integ_key_file_read(const char *path, const char *data_folder, uint8_t key[INTEG_MASTER_KEY_SIZE],
					struct stat *stamp, IntegKeyFileProblem *problem)
{
	int descriptor;
	bool done;

	memset(stamp, 0, sizeof(*stamp));
	integ_wipe(key, INTEG_MASTER_KEY_SIZE);
	if (path[0] != '/')
		return fail(problem, "Write the path from the root on.", "its path is not absolute");
	/* Not to hang on a named pipe. */
	descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (descriptor < 0)
		return fail(problem, errno == ENOENT ? MAKE_HINT : "Check the file's owner and mode, and the folders above it.",
					strerror(errno));
	done = fstat(descriptor, stamp) == 0
			   ? check_access(stamp, problem) && check_place(path, data_folder, problem)
			   : fail(problem, "Check the file system.", strerror(errno));
	if (done && !integ_key_file_unchanged(path, stamp))
		done = fail(problem, "Try again.", "it changed while it was read");
	done = done && read_key(descriptor, key, problem);
	close(descriptor);
	return done;
}

bool
integ_key_file_unchanged(const char *path, const struct stat *stamp)
{
	struct stat now;

	return stat(path, &now) == 0 && now.st_dev == stamp->st_dev && now.st_ino == stamp->st_ino &&
		   now.st_size == stamp->st_size && now.st_mode == stamp->st_mode && now.st_uid == stamp->st_uid &&
		   now.st_mtim.tv_sec == stamp->st_mtim.tv_sec && now.st_mtim.tv_nsec == stamp->st_mtim.tv_nsec &&
		   now.st_ctim.tv_sec == stamp->st_ctim.tv_sec && now.st_ctim.tv_nsec == stamp->st_ctim.tv_nsec;
}

/*
 * The command that prints the master key.
 */
#include "vault/key_command.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/errors.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "vault/aead.h"

#define TIMEOUT_MS 10000
#define POLL_MS 10

#define HINT "Run the command by hand as the server's user. What it writes to its standard error is in the server's log."

typedef struct Command
{
	pid_t process; /* leads a group of its own; 0 once its end is known */
	int output;	   /* reading end of its pipe */
	int status;	   /* of waitpid */
	TimestampTz deadline;
} Command;

/* The child has default signals, no other descriptor of ours, and a group that can be killed at once. */
static int
spawn(const char *command, int output, pid_t *process)
{
	char *const arguments[] = {"sh", "-c", (char *) command, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
#if __GLIBC_PREREQ(2, 34)
	posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
#endif
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setpgroup(&attributes, 0);
	rc = posix_spawn(process, "/bin/sh", &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static void
start(const char *command, Command *running)
{
	int ends[2];
	int rc;

	if (pipe2(ends, O_CLOEXEC) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("could not start integ.master_key_command: %m")));
	rc = spawn(command, ends[1], &running->process);
	close(ends[1]);
	if (rc != 0)
	{
		close(ends[0]);
		errno = rc;
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("could not start integ.master_key_command: %m")));
	}
	running->output = ends[0];
	/* The latch may wake us without output. */
	(void) fcntl(running->output, F_SETFL, O_NONBLOCK);
	running->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TIMEOUT_MS);
}

/* Waits for output (or just a moment), interrupts and the deadline. */
static void
wait_for(Command *running, bool for_output)
{
	long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), running->deadline);
	int events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | (for_output ? WL_SOCKET_READABLE : 0);
	int happened;

	if (left <= 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("integ.master_key_command took too long"),
						errdetail("It was ended after %d seconds.", TIMEOUT_MS / 1000), errhint(HINT)));
	happened = WaitLatchOrSocket(MyLatch, events, for_output ? running->output : PGINVALID_SOCKET,
								 for_output ? left : Min(left, POLL_MS), PG_WAIT_EXTENSION);
	if (happened & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Reads to the end of the output, or to size bytes. */
static size_t
read_output(Command *running, char *out, size_t size)
{
	size_t len = 0;

	while (len < size)
	{
		ssize_t got;

		wait_for(running, true);
		got = read(running->output, out + len, size - len);
		if (got == 0)
			break;
		if (got > 0)
			len += (size_t) got;
		else if (errno != EAGAIN && errno != EINTR)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
							errmsg("could not read from integ.master_key_command: %m")));
	}
	return len;
}

static void
wait_for_end(Command *running)
{
	while (waitpid(running->process, &running->status, WNOHANG) == 0)
		wait_for(running, false);
	running->process = 0;
	if (running->status != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("integ.master_key_command failed"),
						errdetail_internal("%s.", wait_result_to_str(running->status)), errhint(HINT)));
}

size_t
integ_key_command_run(const char *command, char *out, size_t size)
{
	Command *running = palloc0(sizeof(Command));
	volatile size_t len = 0;
	volatile bool done = false;

	ReserveExternalFD();
	start(command, running);
	PG_TRY();
	{
		len = read_output(running, out, size);
		/* Who prints more than a key could be is not waited for. */
		if (len < size)
			wait_for_end(running);
		done = true;
	}
	PG_FINALLY();
	{
		close(running->output);
		ReleaseExternalFD();
		if (running->process != 0)
		{
			kill(-running->process, SIGKILL);
			waitpid(running->process, &running->status, 0);
		}
		if (!done)
			integ_wipe(out, size);
	}
	PG_END_TRY();
	return len;
}

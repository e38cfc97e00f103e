/*
 * The master key of this process.
 */
#include "vault/master_key.h"

#include "access/xact.h"
#include "core/errors.h"
#include "core/guc.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"
#include "vault/key_command.h"
#include "vault/key_file.h"
#include "vault/lockbox.h"

typedef struct MasterKey
{
	bool known;
	bool from_file;
	struct stat stamp; /* of the file it came from */
	char id[INTEG_MASTER_KEY_ID_SIZE];
} MasterKey;

static MasterKey current;
static MasterKey previous;
static TimestampTz configuration; /* PgReloadTime under which the keys were read */
static uint64 generation;

/* How long a statement goes without looking whether a file has changed: stat() costs as much as decrypting. */
#define LOOK_INTERVAL_US 100000

static void
wipe_at_exit(int code, Datum arg)
{
	integ_lockbox_wipe();
}

static IntegLockbox *
require_lockbox(void)
{
	static bool registered = false;
	IntegLockbox *box = integ_lockbox();

	if (box == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (!registered)
	{
		on_proc_exit(wipe_at_exit, (Datum) 0);
		registered = true;
	}
	return box;
}

static bool
is_stale(const MasterKey *key, const char *path)
{
	return key->known && key->from_file && !integ_key_file_unchanged(path, &key->stamp);
}

/* Whether the files were looked at in this statement, a moment ago. */
static bool
looked_just_now(void)
{
	static TimestampTz statement, looked;
	TimestampTz now = GetCurrentTimestamp();

	if (statement == GetCurrentStatementStartTimestamp() && now >= looked && now - looked < LOOK_INTERVAL_US)
		return true;
	statement = GetCurrentStatementStartTimestamp();
	looked = now;
	return false;
}

static bool
files_changed(void)
{
	return !looked_just_now() && (is_stale(&current, integ_master_key_file) ||
								  is_stale(&previous, integ_master_key_previous_file));
}

uint64
integ_master_key_refresh(void)
{
	if ((current.known || previous.known) && (configuration != PgReloadTime || files_changed()))
	{
		current.known = previous.known = false;
		integ_lockbox_wipe();
		generation++;
	}
	return generation;
}

static void
identify(MasterKey *key, const uint8_t *material)
{
	IntegCryptoStatus status = integ_master_key_id(material, key->id);

	if (status != INTEG_CRYPTO_OK)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("could not compute the master key's identifier: %s",
																	integ_crypto_message(status))));
	configuration = PgReloadTime;
	key->known = true;
}

/* Where the file lies is for superusers, as the setting is. */
static void
read_file(MasterKey *key, const char *setting, const char *path, uint8_t *material)
{
	IntegKeyFileProblem problem;

	if (!integ_key_file_read(path, DataDir, material, &key->stamp, &problem))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("could not use the master key of %s", setting),
						superuser_arg(GetSessionUserId()) ? errdetail("The file \"%s\": %s.", path, problem.what)
														  : errdetail("The file: %s.", problem.what),
						errdetail_log("The file \"%s\": %s.", path, problem.what), errhint("%s", problem.hint)));
	key->from_file = true;
	identify(key, material);
}

static void
run_command(MasterKey *key, uint8_t *material)
{
	char text[2 * INTEG_MASTER_KEY_SIZE + 16];
	size_t len = integ_key_command_run(integ_master_key_command, text, sizeof(text));
	const char *problem;
	bool parsed = integ_master_key_parse(text, len, material, &problem);

	integ_wipe(text, sizeof(text));
	if (!parsed)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("could not use the master key of %s", "integ.master_key_command"),
						errdetail("What it printed: %s.", problem),
						errhint("It must print 64 hexadecimal digits and nothing else.")));
	key->from_file = false;
	identify(key, material);
}

static void
load_current(void)
{
	IntegLockbox *box = require_lockbox();

	if (integ_master_key_file[0] != '\0')
		read_file(&current, "integ.master_key_file", integ_master_key_file, box->master);
	else if (integ_master_key_command[0] != '\0')
		run_command(&current, box->master);
	else
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("the vault has no master key"),
						errdetail("Neither integ.master_key_file nor integ.master_key_command is set."),
						errhint("As the server's user: openssl rand -hex 32 > FILE; chmod 600 FILE; outside the data "
								"folder. Then set integ.master_key_file to it and reload the configuration.")));
}

const uint8_t *
integ_master_key_current(char id[INTEG_MASTER_KEY_ID_SIZE])
{
	(void) integ_master_key_refresh();
	if (!current.known)
		load_current();
	strlcpy(id, current.id, INTEG_MASTER_KEY_ID_SIZE);
	return integ_lockbox()->master;
}

const uint8_t *
integ_master_key_find(const char *id)
{
	char current_id[INTEG_MASTER_KEY_ID_SIZE];
	const uint8_t *key = integ_master_key_current(current_id);

	if (strcmp(id, current_id) == 0)
		return key;
	if (integ_master_key_previous_file[0] != '\0')
	{
		if (!previous.known)
			read_file(&previous, "integ.master_key_previous_file", integ_master_key_previous_file,
					  require_lockbox()->previous_master);
		if (strcmp(id, previous.id) == 0)
			return integ_lockbox()->previous_master;
	}
	ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("this is the wrong master key"),
					errdetail("The data key is wrapped by the master key %s; the configured one is %s.", id, current_id),
					errhint("Put the right key back. While changing it, name the file of the old one in "
							"integ.master_key_previous_file and call integ_vault_rotate_key().")));
}

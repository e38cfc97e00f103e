/* sources: src/vault/key_wrap.c src/vault/key_file.c src/vault/lockbox.c src/vault/aead.c src/core/hmac.c */
/* libs: -lcrypto */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vault/key_file.h"
#include "vault/lockbox.h"

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

static char folder[] = "/tmp/integ_key_XXXXXX";
static char data_folder[64], path[64];
static uint8_t key[INTEG_MASTER_KEY_SIZE];
static struct stat stamp;
static IntegKeyFileProblem problem;

static int
make_folder(void **state)
{
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(data_folder, sizeof(data_folder), "%s/data", folder);
	snprintf(path, sizeof(path), "%s/key", folder);
	return mkdir(data_folder, 0700);
}

static int
remove_folder(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	return system(command);
}

static void
write_file(const char *name, const char *text, mode_t mode)
{
	FILE *file;

	unlink(name);
	file = fopen(name, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(name, mode), 0);
}

static void
refused(const char *name, const char *what)
{
	uint8_t zero[INTEG_MASTER_KEY_SIZE] = {0};

	memset(key, 1, sizeof(key));
	assert_false(integ_key_file_read(name, data_folder, key, &stamp, &problem));
	if (strstr(problem.what, what) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", what, problem.what);
	assert_true(strlen(problem.hint) > 0);
	assert_memory_equal(key, zero, sizeof(zero));
}

static void
parses(void **state)
{
	static const char *const good[] = {HEX, HEX "\n", HEX "\r\n"};
	static const struct
	{
		const char *text;
		const char *problem;
	} bad[] = {
		{"", "empty"},
		{"\n", "empty"},
		{"0001", "shorter"},
		{HEX "0", "longer"},
		{HEX "\n\n", "longer"},
		{" " HEX, "longer"},
		{"g00102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F", "not a hexadecimal"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1 ", "not a hexadecimal"},
	};
	const char *what;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		assert_true(integ_master_key_parse(good[i], strlen(good[i]), key, &what));
		for (int j = 0; j < INTEG_MASTER_KEY_SIZE; j++)
			assert_int_equal(key[j], j);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		assert_false(integ_master_key_parse(bad[i].text, strlen(bad[i].text), key, &what));
		assert_non_null(strstr(what, bad[i].problem));
	}
}

/* Expected: "printf 'integ master key' | openssl dgst -sha256 -mac hmac -macopt hexkey:00..1f". */
static void
has_an_identifier(void **state)
{
	char id[INTEG_MASTER_KEY_ID_SIZE];
	const char *what;

	assert_true(integ_master_key_parse(HEX, 64, key, &what));
	assert_int_equal(integ_master_key_id(key, id), INTEG_CRYPTO_OK);
	assert_string_equal(id, "fb2b794d5f3eda0c");
	key[31] ^= 1;
	assert_int_equal(integ_master_key_id(key, id), INTEG_CRYPTO_OK);
	assert_string_not_equal(id, "fb2b794d5f3eda0c");
}

/* RFC 3394, section 4.6: 256 bits of key data with a 256-bit key. */
static void
wraps_as_in_the_rfc(void **state)
{
	static const uint8_t data[] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA,
								   0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05,
								   0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F};
	static const uint8_t expected[] = {0x28, 0xC9, 0xF4, 0x04, 0xC4, 0xB8, 0x10, 0xF4, 0xCB, 0xCC,
									   0xB3, 0x5C, 0xFB, 0x87, 0xF8, 0x26, 0x3F, 0x57, 0x86, 0xE2,
									   0xD8, 0x0E, 0xD3, 0x26, 0xCB, 0xC7, 0xF0, 0xE7, 0x1A, 0x99,
									   0xF4, 0x3B, 0xFB, 0x98, 0x8B, 0x9B, 0x7A, 0x02, 0xDD, 0x21};
	uint8_t wrapped[40], unwrapped[40];
	const char *what;

	assert_true(integ_master_key_parse(HEX, 64, key, &what));
	assert_int_equal(integ_key_wrap(key, data, 32, wrapped), INTEG_CRYPTO_OK);
	assert_memory_equal(wrapped, expected, sizeof(expected));
	assert_int_equal(integ_key_unwrap(key, wrapped, sizeof(wrapped), unwrapped), INTEG_CRYPTO_OK);
	assert_memory_equal(unwrapped, data, 32);
}

static void
refuses_to_unwrap(void **state)
{
	uint8_t data[64], wrapped[72], out[72];
	const uint8_t zero[72] = {0};

	assert_int_equal(integ_data_key_random(data, sizeof(data)), INTEG_CRYPTO_OK);
	assert_memory_not_equal(data, zero, sizeof(data));
	assert_int_equal(integ_key_wrap(key, data, 64, wrapped), INTEG_CRYPTO_OK);
	for (size_t i = 0; i < sizeof(wrapped); i++)
	{
		wrapped[i] ^= 0x80;
		assert_int_equal(integ_key_unwrap(key, wrapped, 72, out), INTEG_CRYPTO_MISMATCH);
		assert_memory_equal(out, zero, sizeof(out));
		wrapped[i] ^= 0x80;
	}
	key[0] ^= 1;
	assert_int_equal(integ_key_unwrap(key, wrapped, 72, out), INTEG_CRYPTO_MISMATCH);
	key[0] ^= 1;
	assert_int_equal(integ_key_unwrap(key, wrapped, 72, out), INTEG_CRYPTO_OK);
	assert_memory_equal(out, data, 64);
	assert_int_equal(integ_key_unwrap(key, wrapped, 0, out), INTEG_CRYPTO_MALFORMED);
	assert_int_equal(integ_key_unwrap(key, wrapped, 71, out), INTEG_CRYPTO_MALFORMED);
	assert_int_equal(integ_key_unwrap(key, wrapped, 16, out), INTEG_CRYPTO_MALFORMED);
	assert_int_equal(integ_key_unwrap(key, wrapped, 80, out), INTEG_CRYPTO_MALFORMED);
	assert_int_equal(integ_key_wrap(key, data, 63, wrapped), INTEG_CRYPTO_MALFORMED);
}

static void
reads_a_safe_file(void **state)
{
	char link_path[96];

	write_file(path, HEX "\n", 0600);
	assert_true(integ_key_file_read(path, data_folder, key, &stamp, &problem));
	assert_int_equal(key[31], 31);
	assert_true(integ_key_file_unchanged(path, &stamp));
	write_file(path, HEX, 0400);
	assert_false(integ_key_file_unchanged(path, &stamp));
	assert_true(integ_key_file_read(path, data_folder, key, &stamp, &problem));

	snprintf(link_path, sizeof(link_path), "%s/link", folder);
	assert_int_equal(symlink(path, link_path), 0);
	assert_true(integ_key_file_read(link_path, data_folder, key, &stamp, &problem));
	unlink(link_path);
	unlink(path);
	assert_false(integ_key_file_unchanged(path, &stamp));
}

static void
refuses_an_unsafe_file(void **state)
{
	char inside[96], link_path[96], sibling[96];

	refused("relative/key", "not absolute");
	refused(path, "No such file");
	for (unsigned mode = 0601; mode <= 0677; mode++)
	{
		write_file(path, HEX, mode);
		/* What root owns, its group may read (and here the process may be root). */
		refused(path, "others than its owner");
	}
	write_file(path, "abc\n", 0600);
	refused(path, "shorter");
	write_file(path, HEX "ff\n", 0600);
	refused(path, "longer");
	write_file(path, "", 0600);
	refused(path, "empty");
	refused(folder, "not a regular file");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(path, "not a regular file");
	unlink(path);

	snprintf(inside, sizeof(inside), "%s/key", data_folder);
	write_file(inside, HEX, 0600);
	refused(inside, "in the data folder");
	snprintf(link_path, sizeof(link_path), "%s/link", folder);
	assert_int_equal(symlink(inside, link_path), 0);
	refused(link_path, "in the data folder");
	unlink(link_path);

	/* A folder whose name only begins like the data folder's. */
	snprintf(sibling, sizeof(sibling), "%s2", data_folder);
	write_file(sibling, HEX, 0600);
	assert_true(integ_key_file_read(sibling, data_folder, key, &stamp, &problem));

	if (geteuid() == 0)
	{
		write_file(path, HEX, 0600);
		assert_int_equal(chown(path, 12345, 12345), 0);
		refused(path, "belongs to another user");
	}
}

static void
keeps_keys_to_the_process(void **state)
{
	IntegLockbox *box = integ_lockbox();
	int status;
	pid_t child;

	assert_non_null(box);
	assert_ptr_equal(box, integ_lockbox());
	box->master[0] = 42;
	box->data_keys[INTEG_LOCKBOX_DATA_KEYS - 1][INTEG_DATA_KEY_MAX - 1] = 42;
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
	{
		integ_lockbox_wipe(); /* must not touch what the child does not have */
		_exit(integ_lockbox() != NULL && integ_lockbox()->master[0] == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(box->master[0], 42);
	integ_lockbox_wipe();
	assert_int_equal(box->master[0], 0);
	assert_int_equal(box->data_keys[INTEG_LOCKBOX_DATA_KEYS - 1][INTEG_DATA_KEY_MAX - 1], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses),
		cmocka_unit_test(has_an_identifier),
		cmocka_unit_test(wraps_as_in_the_rfc),
		cmocka_unit_test(refuses_to_unwrap),
		cmocka_unit_test(reads_a_safe_file),
		cmocka_unit_test(refuses_an_unsafe_file),
		cmocka_unit_test(keeps_keys_to_the_process),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

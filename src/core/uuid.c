/*
 * Ids that sort by time: UUID version 7 (RFC 9562, section 5.7).
 */
#include "core/uuid.h"

#include <sys/time.h>

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_uuid_generate);

/*
 * Random bytes for ids, fetched many at a time: a call of the generator costs
 * more than everything else of an id. A child process that inherits the rest
 * of a parent's would repeat its ids, so they belong to one process.
 */
static void
random_bytes(uint8 *bytes, size_t len)
{
	static uint8 pool[512];
	static size_t left = 0;
	static int owner = 0;

	if (left < len || owner != MyProcPid)
	{
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
		left = sizeof(pool);
		owner = MyProcPid;
	}
	left -= len;
	memcpy(bytes, pool + left, len);
}

void
integ_uuid_make(pg_uuid_t *id)
{
	static uint64 last;
	struct timeval now;
	uint64 ticks;

	/*
	 * Milliseconds and a 12-bit fraction of one (method 3 of section 6.2), made
	 * strictly increasing within the process.
	 */
	gettimeofday(&now, NULL);
	ticks = ((uint64) now.tv_sec * 1000 + now.tv_usec / 1000) << 12 |
			((uint64) (now.tv_usec % 1000) * 4096 / 1000);
	if (ticks <= last)
		ticks = last + 1;
	last = ticks;

	random_bytes(id->data + 8, 8);
	for (int i = 0; i < 6; i++)
		id->data[i] = (uint8) (ticks >> (12 + 8 * (5 - i)));
	id->data[6] = 0x70 | (uint8) ((ticks >> 8) & 0x0f);
	id->data[7] = (uint8) (ticks & 0xff);
	id->data[8] = (id->data[8] & 0x3f) | 0x80;
}

char *
integ_uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

Datum
integ_uuid_generate(PG_FUNCTION_ARGS)
{
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));

	integ_uuid_make(id);
	PG_RETURN_UUID_P(id);
}

void
integ_uuid_derive(const pg_uuid_t *from, const char *name, pg_uuid_t *id)
{
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (pg_cryptohash_init(hash) < 0 || pg_cryptohash_update(hash, from->data, UUID_LEN) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) name, strlen(name)) < 0 ||
		pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not derive an id: %s", pg_cryptohash_error(hash))));
	pg_cryptohash_free(hash);
	memcpy(id->data, digest, UUID_LEN);
	id->data[6] = 0x80 | (id->data[6] & 0x0f);
	id->data[8] = 0x80 | (id->data[8] & 0x3f);
}

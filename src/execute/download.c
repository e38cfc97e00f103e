/*
 * Answers that are written to a large object while they arrive: memory stays that of a window, and a ROLLBACK takes
 * the object with it.
 */
#include "execute/download.h"

#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "http/flight.h"
#include "libpq/libpq-fs.h"
#include "miscadmin.h"
#include "storage/large_object.h"

#define WINDOW (1024 * 1024)

static void
amend(IntegCall *call, void *unused)
{
	call->request.window = WINDOW;
	call->request.max_response = (size_t) integ_max_download_size * 1024;
}

/*
 * Copies what arrives. A secret that the service echoes may be cut anywhere, so the last bytes wait until what
 * follows them is known.
 */
static int64
copy_body(IntegCall *call, LargeObjectDesc *object)
{
	size_t hold = integ_call_longest_secret(call), known = 0;
	int64 total = 0;

	for (;;)
	{
		char *data = NULL;
		size_t len = integ_http_read_more(call->flight, known, &data);
		bool ended = len <= known;
		size_t ready = ended ? len : len - Min(len, hold);

		if (len > 0)
			integ_call_mask_text(call, data, len);
		if (ready > 0)
		{
			inv_write(object, data, (int) ready);
			integ_http_take(call->flight, ready);
		}
		total += ready;
		known = len - ready;
		if (ended)
			return total;
		CHECK_FOR_INTERRUPTS();
	}
}

const Jsonb *
integ_download(IntegCall *call)
{
	IntegJsonBuilder builder;
	LargeObjectDesc *object;
	char *type;
	int64 bytes;
	Oid loid;

	if (call->method->exchange == NULL || call->method->stream != INTEG_STREAM_NONE)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the answer of %s cannot go into a large object", integ_call_name(call)),
						errdetail("Only a method with one request of its own, and no stream, has one body.")));
	call->streamed = true;
	call->amend = amend;
	integ_call_exchange(call);
	integ_call_raise(call);
	type = integ_http_head_value(call->flight, "content-type");
	loid = inv_create(InvalidOid);
	object = inv_open(loid, INV_WRITE, CurrentMemoryContext);
	bytes = copy_body(call, object);
	inv_close(object);
	integ_call_end_stream(call, false);
	integ_call_raise(call);
	integ_json_begin_object(&builder);
	integ_json_add_int(&builder, "loid", loid);
	integ_json_add_int(&builder, "bytes", bytes);
	integ_json_add_string(&builder, "contentType", type);
	return integ_json_end(&builder);
}

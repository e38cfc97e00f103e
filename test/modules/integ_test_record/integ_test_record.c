/*
 * Test only: drives the recorder of integ from SQL.
 */
#include "postgres.h"

#include "core/shmem.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "record/record.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(test_requests);
PG_FUNCTION_INFO_V1(test_audits);
PG_FUNCTION_INFO_V1(test_intent);
PG_FUNCTION_INFO_V1(test_outcome);
PG_FUNCTION_INFO_V1(test_used);
PG_FUNCTION_INFO_V1(test_not_held);
PG_FUNCTION_INFO_V1(test_event);
PG_FUNCTION_INFO_V1(test_notify);
PG_FUNCTION_INFO_V1(test_wakeups);

/* A function of integ's library, whatever the visibility of its symbols. */
#define INTEG(name) ((__typeof__(&name)) load_external_function("$libdir/integ", #name, true, NULL))

static IntegIntent *intent;

static char *
text_or_null(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

static void
make_call_id(pg_uuid_t *id)
{
	if (!pg_strong_random(id->data, UUID_LEN))
		elog(ERROR, "no random values");
}

static IntegRecordSubject
make_subject(const char *client)
{
	IntegRecordSubject subject = {.client_id = client,
								  .user_id = "ada",
								  .role = GetUserId(),
								  .instance_id = "erp",
								  .definition_id = "erp",
								  .method = "list_items"};

	make_call_id(&subject.call_id);
	return subject;
}

Datum
test_requests(PG_FUNCTION_ARGS)
{
	__typeof__(&integ_record_request) record = INTEG(integ_record_request);
	IntegRecordSubject subject = make_subject(text_or_null(fcinfo, 1));
	char *error = text_or_null(fcinfo, 2);
	IntegRequestEntry entry = {.subject = &subject,
							   .started_at = PG_GETARG_TIMESTAMPTZ(3),
							   .http_method = "GET",
							   .origin = "https://erp.example:8443",
							   .path_template = "/items/{id}",
							   .status = error == NULL ? 200 : 0,
							   .sqlstate = error == NULL ? NULL : "IG504",
							   .error = error,
							   .duration_us = 1234,
							   .request_bytes = 10,
							   .response_bytes = 2000,
							   .attempt = 1};

	for (int64 i = 0; i < PG_GETARG_INT64(0); i++)
	{
		CHECK_FOR_INTERRUPTS();
		record(&entry);
	}
	PG_RETURN_VOID();
}

Datum
test_audits(PG_FUNCTION_ARGS)
{
	__typeof__(&integ_record_audit) record = INTEG(integ_record_audit);
	IntegRecordSubject subject = make_subject(text_or_null(fcinfo, 1));
	IntegAuditEntry entry = {.subject = &subject,
							 .action = text_or_null(fcinfo, 2),
							 .outcome = text_or_null(fcinfo, 3),
							 .detail = text_or_null(fcinfo, 4)};

	for (int64 i = 0; i < PG_GETARG_INT64(0); i++)
	{
		CHECK_FOR_INTERRUPTS();
		record(&entry);
	}
	PG_RETURN_VOID();
}

Datum
test_intent(PG_FUNCTION_ARGS)
{
	IntegRecordSubject subject = make_subject(text_or_null(fcinfo, 0));
	IntegAuditEntry entry = {.subject = &subject, .action = "call.write", .detail = text_or_null(fcinfo, 1)};
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));

	intent = INTEG(integ_record_intent)(&entry);
	*id = subject.call_id;
	PG_RETURN_UUID_P(id);
}

Datum
test_outcome(PG_FUNCTION_ARGS)
{
	if (intent == NULL)
		elog(ERROR, "no intent is open");
	INTEG(integ_record_outcome)
	(intent, text_or_null(fcinfo, 0), text_or_null(fcinfo, 1));
	intent = NULL;
	PG_RETURN_VOID();
}

Datum
test_used(PG_FUNCTION_ARGS)
{
	INTEG(integ_record_used)
	(PG_GETARG_UUID_P(0), true);
	PG_RETURN_VOID();
}

Datum
test_not_held(PG_FUNCTION_ARGS)
{
	INTEG(integ_require_not_held)
	();
	PG_RETURN_VOID();
}

Datum
test_event(PG_FUNCTION_ARGS)
{
	INTEG(integ_event_emit)
	(text_or_null(fcinfo, 0), text_or_null(fcinfo, 1), NULL,
	 PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2));
	PG_RETURN_VOID();
}

Datum
test_notify(PG_FUNCTION_ARGS)
{
	INTEG(integ_notify)
	(text_or_null(fcinfo, 0), text_or_null(fcinfo, 1), text_or_null(fcinfo, 2),
	 text_or_null(fcinfo, 3), text_or_null(fcinfo, 4), NULL);
	PG_RETURN_VOID();
}

Datum
test_wakeups(PG_FUNCTION_ARGS)
{
	IntegDatabase *mine = INTEG(integ_shmem_mine)();

	if (mine == NULL)
		PG_RETURN_NULL();
	PG_RETURN_INT64(pg_atomic_read_u64(&mine->wakeups));
}

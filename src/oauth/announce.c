/*
 * Changes in the life of an instance that no person made, for those who watch: an event and an entry of the audit.
 */
#include "oauth/oauth.h"

#include "core/guc.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "catalog/pg_type.h"
#include "http/url.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "record/record.h"
#include "utils/builtins.h"

void
integ_oauth_announce(const IntegInstance *instance, const char *kind, const char *reason)
{
	IntegRecordSubject subject = {.client_id = instance->client_id,
								  .role = GetUserId(),
								  .instance = &instance->id,
								  .instance_id = instance->instance_id,
								  .definition_id = instance->definition_id};
	IntegAuditEntry audit = {.subject = &subject, .action = kind, .outcome = "succeeded"};
	IntegJsonBuilder builder;
	const Jsonb *payload;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "instance_id", instance->instance_id);
	integ_json_add_string(&builder, "definition", instance->definition_id);
	integ_json_add_known(&builder, "reason", reason);
	payload = integ_json_end(&builder);
	integ_event_emit(kind, instance->client_id, &instance->id, payload);
	integ_uuid_make(&subject.call_id);
	audit.detail = integ_json_print(payload);
	integ_record_audit(&audit);
}

/* A page of the application, which begins the authorization; NULL where none is set. */
static char *
reconnect_link(const IntegInstance *instance)
{
	char *handle, *link;

	if (integ_reconnect_url == NULL || integ_reconnect_url[0] == '\0')
		return NULL;
	handle = integ_url_encode(instance->instance_id, strlen(instance->instance_id));
	if (handle == NULL)
		return NULL;
	link = psprintf("%s%cinstance=%s&instance_id=%s", integ_reconnect_url,
					strchr(integ_reconnect_url, '?') != NULL ? '&' : '?', integ_uuid_text(&instance->id), handle);
	free(handle);
	return link;
}

char *
integ_oauth_mend(const IntegInstance *instance)
{
	if (integ_oauth_by_person(instance, integ_instance_definition(instance)))
		return psprintf("Authorize it again: SELECT * FROM integ_oauth_start('%s').", instance->instance_id);
	return psprintf("Enter its credentials again with integ_credential_set('%s', …).", instance->instance_id);
}

void
integ_oauth_require_person(const IntegInstance *instance, const char *why)
{
	static IntegQuery stop = {"UPDATE integ.oauth_tokens SET refresh_at = NULL, refresh_started_at = NULL"
							  " WHERE instance = $1",
							  1,
							  {UUIDOID}};
	Datum id = UUIDPGetDatum(&instance->id);
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	integ_instance_set_status(&instance->id, "reauth_required", why, true);
	(void) integ_query(&stop, &id, NULL);
	integ_owner_leave(&scope);
	integ_oauth_announce(instance, "instance.reauth_required", why);
	integ_notify(strcmp(instance->context_type, "user") == 0 ? instance->context_id : NULL, instance->client_id,
				 "instance.reauth_required",
				 psprintf("\"%s\" must be authorized again: %s", instance->instance_id, why),
				 integ_oauth_mend(instance), reconnect_link(instance));
}

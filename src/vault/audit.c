/*
 * Lines of the audit about credentials and keys.
 */
#include "vault/audit.h"

#include "core/json.h"
#include "core/uuid.h"
#include "record/record.h"

static void
record(const IntegActor *actor, const IntegVaultTarget *target, const char *action, const Jsonb *detail)
{
	IntegRecordSubject subject = {.client_id = actor->client, .user_id = actor->user, .role = actor->role};
	IntegAuditEntry entry = {
		.subject = &subject, .action = action, .outcome = "succeeded", .detail = integ_json_print(detail)};

	integ_uuid_make(&subject.call_id);
	if (target != NULL && target->instance != NULL)
	{
		subject.instance = &target->instance->id;
		subject.instance_id = target->instance->instance_id;
		subject.definition_id = target->instance->definition_id;
	}
	else if (target != NULL && strcmp(target->owner.kind, "definition") == 0)
		subject.definition_id = target->owner.id;
	integ_record_audit(&entry);
}

void
integ_vault_audit(const IntegVaultTarget *target, const char *action, const char *name)
{
	IntegJsonBuilder detail;

	integ_json_begin_object(&detail);
	integ_json_add_string(&detail, "owner_kind", target->owner.kind);
	integ_json_add_string(&detail, "owner_id", target->owner.id);
	integ_json_add_string(&detail, "name", name);
	record(target->actor, target, action, integ_json_end(&detail));
}

void
integ_vault_audit_key(const IntegActor *actor, const char *action, const Jsonb *detail)
{
	record(actor, NULL, action, detail);
}

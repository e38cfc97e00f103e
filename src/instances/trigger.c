/*
 * What an UPDATE of integ.instances by a person must keep true.
 */
#include "instances/instance.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "instances/history.h"
#include "instances/site.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(integ_tg_instance_config);
PG_FUNCTION_INFO_V1(integ_tg_instance_history);

static Datum
column(const TriggerData *trigger, HeapTuple tuple, const char *name, bool *isnull)
{
	TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);

	return SPI_getbinval(tuple, descriptor, SPI_fnumber(descriptor, name), isnull);
}

static char *
text_column(const TriggerData *trigger, HeapTuple tuple, const char *name)
{
	bool isnull;
	Datum value = column(trigger, tuple, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* The config of the borrowed instance, NULL where none is borrowed. */
static const Jsonb *
lender_config(const TriggerData *trigger)
{
	static IntegQuery query = {"SELECT config FROM integ.instances WHERE id = $1", 1, {UUIDOID}};
	bool isnull;
	Datum lender = column(trigger, trigger->tg_newtuple, "borrows", &isnull);
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	const Jsonb *config = NULL;

	if (isnull)
		return NULL;
	integ_owner_enter(&scope);
	if (integ_query(&query, &lender, NULL) > 0)
		config = (const Jsonb *) integ_result_varlena(0, 1, context);
	integ_owner_leave(&scope);
	return config;
}

static void
forbid_other_origin(const char *handle, const char *origin)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
					errmsg("the borrowed credentials of \"%s\" may not be sent to another origin", handle),
					errdetail("The config leads to %s.", origin == NULL ? "no origin" : origin),
					errhint("Connect an instance with credentials of its own.")));
}

/* Writes origin, and the status of an instance whose credentials belong to another one now. */
static HeapTuple
put_origin(const TriggerData *trigger, const char *origin, bool lost)
{
	TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
	int columns[2] = {SPI_fnumber(descriptor, "origin"), SPI_fnumber(descriptor, "status")};
	Datum values[2] = {origin == NULL ? (Datum) 0 : CStringGetTextDatum(origin), CStringGetTextDatum("initializing")};
	bool nulls[2] = {origin == NULL, false};

	return heap_modify_tuple_by_cols(trigger->tg_newtuple, descriptor, lost ? 2 : 1, columns, values, nulls);
}

/*
 * BEFORE UPDATE OF config, by others than integ itself: the config is checked as
 * integ_connect checks it, and origin follows it.
 */
Datum
integ_tg_instance_config(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const IntegDefinition *definition;
	const Jsonb *config;
	char *handle, *id, *old_origin, *auth_method;
	bool isnull, borrowed, changed, lost;
	Datum value;
	IntegSite site;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		elog(ERROR, "integ.tg_instance_config must be called by an UPDATE");
	handle = text_column(trigger, trigger->tg_newtuple, "instance_id");
	id = text_column(trigger, trigger->tg_newtuple, "definition");
	auth_method = text_column(trigger, trigger->tg_newtuple, "auth_method");
	old_origin = text_column(trigger, trigger->tg_trigtuple, "origin");
	value = column(trigger, trigger->tg_newtuple, "config", &isnull);
	if (isnull)
		return PointerGetDatum(trigger->tg_newtuple); /* the column's NOT NULL refuses it */
	config = DatumGetJsonbP(value);
	(void) column(trigger, trigger->tg_newtuple, "borrows", &isnull);
	borrowed = !isnull;

	definition = integ_definition_get(
		id, integ_definition_follow(id, text_column(trigger, trigger->tg_newtuple, "version")));
	if (definition == NULL)
		integ_definition_unknown(id);
	config = integ_config_over(config, lender_config(trigger));
	integ_site_check(definition, config, handle);
	value = column(trigger, trigger->tg_newtuple, "token_fields", &isnull);
	integ_site_render(definition, config, isnull ? NULL : DatumGetJsonbP(value), handle, &site);

	changed = old_origin != NULL && (site.origin == NULL || strcmp(old_origin, site.origin) != 0);
	if (changed && borrowed)
		forbid_other_origin(handle, site.origin);
	lost = changed && strcmp(integ_definition_auth(definition, auth_method)->auth_type, "none") != 0;
	if (lost)
		ereport(NOTICE, (errmsg("\"%s\" now goes to another origin: enter its credentials again", handle),
						 errdetail("They were entered for %s and are not sent to %s.", old_origin,
								   site.origin == NULL ? "an origin not yet known" : site.origin),
						 errhint("Use integ_credential_set.")));
	return PointerGetDatum(put_origin(trigger, site.origin, lost));
}

/* What an UPDATE changed, as an action of the audit and as an event. */
static void
name_update(const TriggerData *trigger, const char **action, const char **event)
{
	TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
	int config = SPI_fnumber(descriptor, "config");
	bool isnull, was, is;

	was = DatumGetBool(column(trigger, trigger->tg_trigtuple, "is_active", &isnull));
	is = DatumGetBool(column(trigger, trigger->tg_newtuple, "is_active", &isnull));
	*action = "instance.update";
	*event = "instance.updated";
	if (was != is)
	{
		*action = is ? "instance.switch_on" : "instance.switch_off";
		*event = is ? "instance.switched_on" : "instance.switched_off";
	}
	else if (!datumIsEqual(column(trigger, trigger->tg_trigtuple, "config", &isnull),
						   column(trigger, trigger->tg_newtuple, "config", &isnull), false,
						   TupleDescAttr(descriptor, config - 1)->attlen))
		*action = "instance.configure";
}

/* AFTER UPDATE OR DELETE by others than integ itself: functions write their own history. */
Datum
integ_tg_instance_history(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *action = "instance.delete", *event = "instance.deleted";
	HeapTuple row;
	pg_uuid_t id;
	bool isnull;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_instance_history must be called as a trigger");
	row = trigger->tg_trigtuple;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		name_update(trigger, &action, &event);
	id = *DatumGetUUIDP(column(trigger, row, "id", &isnull));
	integ_instance_history(integ_actor_current(), action, event, &id, text_column(trigger, row, "instance_id"),
						   text_column(trigger, row, "definition"), text_column(trigger, row, "client_id"));
	return PointerGetDatum(NULL);
}

/*
 * Row changes of users' tables as events: what integ_publish_changes puts on a table.
 *
 * The trigger works for the table's owner: whoever writes to the table need not know integ. A row becomes JSON with the
 * rights of who writes; the deliveries are rows of the same transaction.
 */
#include "endpoints/publish.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/uuid.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_tg_publish_changes);

/* Rows that become deliveries together. */
#define ROWS_MAX 500

/* A trigger's firing. */
typedef struct Changes
{
	TriggerData *trigger;
	const char *operation;
	const JsonbContainer *options; /* the trigger's argument */
	const IntegActor *actor;
	const char *event_type;
	const char *key_column;		   /* or NULL */
	const char *client_column;	   /* or NULL */
	const JsonbContainer *columns; /* or NULL: all */
	bool with_old;
	FmgrInfo to_jsonb;
	int count;
	IntegMessage messages[ROWS_MAX];
} Changes;

/* For whom the table's owner acts. */
static const IntegActor *
owner_actor(Relation table)
{
	const IntegActor *actor;
	int security;
	Oid user;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(table->rd_rel->relowner, security | SECURITY_LOCAL_USERID_CHANGE);
	actor = integ_actor_require(INTEG_LEVEL_USER, "publish events");
	SetUserIdAndSecContext(user, security);
	return actor;
}

/* A row of the table as a document with the columns that are published. */
static Jsonb *
row_document(Changes *changes, TupleTableSlot *slot)
{
	Jsonb *whole =
		DatumGetJsonbP(FunctionCall1(&changes->to_jsonb, ExecFetchSlotHeapTupleDatum(slot)));
	IntegJsonBuilder builder;

	if (changes->columns == NULL)
		return whole;
	integ_json_begin_object(&builder);
	for (uint32 i = 0; i < JsonContainerSize(changes->columns); i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer((JsonbContainer *) changes->columns, i);
		char *column = pnstrdup(name->val.string.val, name->val.string.len);
		JsonbValue value;

		/* A column that is no more is left out. */
		if (integ_json_get(&whole->root, column, &value))
			integ_json_add(&builder, column, &value);
	}
	return integ_json_end(&builder);
}

/* A column's value as a text; NULL where it is NULL, or there is no such column. */
static char *
column_text(Changes *changes, TupleTableSlot *slot, const char *column)
{
	AttrNumber number = SPI_fnumber(slot->tts_tupleDescriptor, column);
	char *text;

	if (number <= 0)
		return NULL;
	slot_getallattrs(slot);
	if (slot->tts_isnull[number - 1])
		return NULL;
	{
		Oid output;
		bool is_varlena;

		getTypeOutputInfo(TupleDescAttr(slot->tts_tupleDescriptor, number - 1)->atttypid, &output, &is_varlena);
		text = OidOutputFunctionCall(output, slot->tts_values[number - 1]);
	}
	return text[0] == '\0' ? NULL : text;
}

static void
flush(Changes *changes)
{
	IntegOwnerScope scope;
	int from = 0;

	if (changes->count == 0)
		return;
	integ_owner_enter(&scope);
	/* Those of one client at a time. */
	for (int i = 1; i <= changes->count; i++)
		if (i == changes->count || strcmp(changes->messages[i].client, changes->messages[from].client) != 0)
		{
			(void) integ_messages_publish(&changes->messages[from], i - from, NULL, 0);
			from = i;
		}
	integ_owner_leave(&scope);
	changes->count = 0;
}

static void
add(Changes *changes, TupleTableSlot *old, TupleTableSlot *new)
{
	TupleTableSlot *row = new != NULL ? new : old;
	IntegMessage *message = &changes->messages[changes->count];
	Jsonb *document = row_document(changes, row), *before = NULL;
	IntegJsonBuilder payload;

	if (old != NULL && new != NULL)
		before = row_document(changes, old);
	/* Nothing that is published has changed. */
	if (before != NULL && compareJsonbContainers(&before->root, &document->root) == 0)
		return;
	*message = (IntegMessage){.event_type = changes->event_type,
							  .client = changes->actor->client,
							  .created_at = GetCurrentTransactionStartTimestamp(),
							  .deliver_at = GetCurrentTimestamp()};
	integ_uuid_make(&message->id);
	if (changes->client_column != NULL)
		message->client = column_text(changes, row, changes->client_column);
	/* A row that is nobody's is not published. */
	if (message->client == NULL)
		return;
	if (changes->key_column != NULL)
		message->key = column_text(changes, row, changes->key_column);
	if (message->key != NULL && strlen(message->key) > INTEG_MESSAGE_KEY_MAX)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the key of a row of table \"%s\" is longer than %d bytes",
							   RelationGetRelationName(changes->trigger->tg_relation), INTEG_MESSAGE_KEY_MAX),
						errhint("Name another column: integ_publish_changes(…, '{\"key\": …}').")));
	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "operation", changes->operation);
	integ_json_add_jsonb(&payload, "row", document);
	if (before != NULL && changes->with_old)
		integ_json_add_jsonb(&payload, "old", before);
	message->payload = integ_json_end(&payload);
	if (++changes->count == ROWS_MAX)
		flush(changes);
}

/* A reader of its own: other triggers read the same rows. */
static void
begin_reading(Tuplestorestate *rows)
{
	if (rows == NULL)
		return;
	tuplestore_select_read_pointer(rows, tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND));
	tuplestore_rescan(rows);
}

static void
read_all(Changes *changes)
{
	TriggerData *trigger = changes->trigger;
	TupleDesc columns = RelationGetDescr(trigger->tg_relation);
	TupleTableSlot *old = trigger->tg_oldtable == NULL ? NULL : MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
	TupleTableSlot *new = trigger->tg_newtable == NULL ? NULL : MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);

	begin_reading(trigger->tg_oldtable);
	begin_reading(trigger->tg_newtable);
	/* The two of an update are in the same order. */
	while ((old == NULL || tuplestore_gettupleslot(trigger->tg_oldtable, true, false, old)) &&
		   (new == NULL || tuplestore_gettupleslot(trigger->tg_newtable, true, false, new)))
		add(changes, old, new);
	flush(changes);
	if (old != NULL)
		ExecDropSingleTupleTableSlot(old);
	if (new != NULL)
		ExecDropSingleTupleTableSlot(new);
}

static bool
is_wanted(const Changes *changes)
{
	IntegOwnerScope scope;
	bool wanted;

	if (changes->client_column != NULL)
		return true;
	integ_owner_enter(&scope);
	wanted = integ_event_wanted(changes->actor->client, changes->event_type);
	integ_owner_leave(&scope);
	return wanted;
}

/* to_jsonb(anyelement), called with rows of the table. */
static void
prepare_to_jsonb(Changes *changes)
{
	Node *row = (Node *) makeNullConst(changes->trigger->tg_relation->rd_rel->reltype, -1, InvalidOid);

	fmgr_info(F_TO_JSONB, &changes->to_jsonb);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(row), InvalidOid, InvalidOid,
											 COERCE_EXPLICIT_CALL),
					   &changes->to_jsonb);
}

/* The same row reads the same whoever writes it, as in pg_dump and logical replication. Until AtEOXact_GUC(level). */
static int
pin_formats(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	} formats[] = {{"bytea_output", "hex"},
				   {"datestyle", "ISO, YMD"},
				   {"extra_float_digits", "1"},
				   {"intervalstyle", "postgres"},
				   {"timezone", "UTC"}};
	int level = NewGUCNestLevel();

	for (size_t i = 0; i < lengthof(formats); i++)
		(void) set_config_option(formats[i].name, formats[i].value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
								 true, 0, false);
	return level;
}

/* AFTER … FOR EACH STATEMENT with transition tables; made by integ_publish_changes. */
Datum
integ_tg_publish_changes(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Changes *changes = palloc0(sizeof(Changes));
	int level;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1 ||
		(trigger->tg_oldtable == NULL && trigger->tg_newtable == NULL))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("integ.tg_publish_changes is for triggers that integ_publish_changes makes")));
	changes->trigger = trigger;
	changes->operation = TRIGGER_FIRED_BY_INSERT(trigger->tg_event)	  ? "insert"
						 : TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? "update"
																	  : "delete";
	changes->options = &integ_json_parse(trigger->tg_trigger->tgargs[0])->root;
	changes->event_type = integ_json_get_string(changes->options, "event");
	changes->key_column = integ_json_get_string(changes->options, "key");
	changes->client_column = integ_json_get_string(changes->options, "client_column");
	changes->columns = integ_json_get_array(changes->options, "columns");
	changes->with_old = integ_json_get_bool(changes->options, "old", false);
	if (changes->event_type == NULL || !integ_event_type_valid(changes->event_type, false) ||
		strncmp(changes->event_type, INTEG_EVENT_PREFIX, strlen(INTEG_EVENT_PREFIX)) == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("trigger \"%s\" names no type of an event", trigger->tg_trigger->tgname),
						errhint("SELECT integ_publish_changes(…) makes it anew.")));
	changes->actor = owner_actor(trigger->tg_relation);
	/* Whose a row is may only be said by who may publish for everybody. */
	if (changes->client_column != NULL && changes->actor->level != INTEG_LEVEL_SUPERADMIN)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("the owner of table \"%s\" may not publish events of other clients",
							   RelationGetRelationName(trigger->tg_relation)),
						errhint("Leave the option \"client_column\" of integ_publish_changes out.")));
	/* Nobody listens: nothing is made. */
	if (!is_wanted(changes))
		return PointerGetDatum(NULL);
	prepare_to_jsonb(changes);
	level = pin_formats();
	read_all(changes);
	AtEOXact_GUC(true, level);
	return PointerGetDatum(NULL);
}

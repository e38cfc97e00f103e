/*
 * Asking the service what it has.
 */
#include "discovery/discovery.h"

#include "access/xact.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "execute/call.h"
#include "fetch/pages.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define SHOWN_ITEM_BYTES 100

/* A run under way. */
typedef struct Run
{
	const IntegDiscoveryRun *run;
	const IntegInstance *instance;
	const IntegDefinition *definition;
	IntegDiscovery *discovery;
	IntegDiscovered *found;
	List *items; /* of Jsonb * */
} Run;

/* In a worker each part that needs a transaction has one of its own; what it makes lives in the run's context. */
static void
begin_part(const IntegDiscoveryRun *run)
{
	if (run->in_worker)
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
	}
	MemoryContextSwitchTo(run->context);
}

static void
end_part(const IntegDiscoveryRun *run)
{
	if (run->in_worker)
	{
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	MemoryContextSwitchTo(run->context);
}

static void
open_run(Run *run)
{
	begin_part(run->run);
	run->instance = integ_instance_resolve(run->run->actor, run->run->instance);
	run->definition = integ_instance_definition(run->instance);
	run->discovery = integ_discovery_compile(&run->definition->manifest->root, run->definition->id);
	run->found = palloc0(sizeof(IntegDiscovered));
	end_part(run->run);
	if (run->discovery == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("definition \"%s\" discovers nothing", run->definition->id),
						errdetail("Its manifest has no \"discovery\"."),
						errhint("The methods of the definition are those of every instance.")));
}

/* Whether the item is one of those asked for. */
static bool
is_wanted(const Run *run, const Jsonb *item)
{
	static const char *const keys[] = {"name", "id"};
	IntegJsonWalk walk;
	JsonbValue wanted;
	JsonbValue found;

	if (run->discovery->when != NULL && !integ_path_exists(run->discovery->when, item))
		return false;
	if (run->run->only == NULL)
		return true;
	integ_json_walk_begin(&walk, &run->run->only->root);
	while (integ_json_walk_element(&walk, &wanted))
		for (size_t i = 0; i < lengthof(keys); i++)
			if (integ_json_get(&item->root, keys[i], &found) &&
				found.type == jbvString && wanted.type == jbvString &&
				found.val.string.len == wanted.val.string.len &&
				memcmp(found.val.string.val, wanted.val.string.val, found.val.string.len) == 0)
				return true;
	return false;
}

static void
add_items(Run *run, const JsonbContainer *list)
{
	IntegJsonWalk walk;
	JsonbValue value;

	if (!JsonContainerIsArray(list))
		return;
	integ_json_walk_begin(&walk, list);
	while (integ_json_walk_element(&walk, &value))
	{
		const Jsonb *item = integ_json_value_jsonb(&value);

		if (!is_wanted(run, item))
			continue;
		if (list_length(run->items) >= run->discovery->limit)
			ereport(ERROR, (errcode(ERRCODE_INTEG_BAD_ANSWER),
							errmsg("instance \"%s\" has more to discover than the limit", run->instance->instance_id),
							errdetail("The definition's discovery takes at most %d items.", run->discovery->limit),
							errhint("Name those that are wanted: integ_discover('%s', '{\"only\": [\"…\"]}').",
									run->instance->instance_id)));
		run->items = lappend(run->items, (void *) item);
	}
}

/* The items of a page of the listing method: its records are its result, or hold the list at "items". */
static void
add_page(Run *run, const Jsonb *records)
{
	IntegJsonWalk walk;
	JsonbValue record, list;

	if (run->discovery->items == NULL)
	{
		add_items(run, &records->root);
		return;
	}
	integ_json_walk_begin(&walk, &records->root);
	while (integ_json_walk_element(&walk, &record))
		if (integ_path_find(run->discovery->items, &record, &list) && list.type == jbvBinary)
			add_items(run, list.val.binary.data);
}

static IntegCall *
begin_call(const Run *run, const char *method, const Jsonb *input)
{
	IntegCallOptions options = {.asynchronous = run->run->in_worker};

	return integ_call_begin(run->run->actor, run->run->instance, method, input, &options);
}

/* A page, or NULL behind the last. */
static const IntegPage *
next_page(const IntegDiscoveryRun *how, IntegPages *pages)
{
	const IntegPage *page;
	bool more;

	if (!how->in_worker)
		return integ_pages_next(pages);
	begin_part(how);
	more = integ_pages_build(pages);
	end_part(how);
	if (!more)
		return NULL;
	integ_pages_send(pages);
	begin_part(how);
	page = integ_pages_take(pages);
	end_part(how);
	return page;
}

static void
list_items(Run *run)
{
	IntegPagesOptions options = {0};
	const IntegPage *page;
	IntegPages *pages;
	IntegCall *call;

	begin_part(run->run);
	call = begin_call(run, run->discovery->method, run->discovery->input);
	integ_call_open(call);
	pages = integ_pages_open(call, &options);
	end_part(run->run);
	while ((page = next_page(run->run, pages)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		add_page(run, page->records);
	}
	integ_call_end(call);
}

static const Jsonb *
describe_input(const Run *run, const Jsonb *item)
{
	IntegTemplateScope scope = {.config = &run->instance->config->root};
	IntegJsonBuilder builder;

	if (run->discovery->describe_input == NULL)
		return NULL;
	integ_json_begin_object(&builder);
	integ_json_add_jsonb(&builder, "item", item);
	scope.input = &integ_json_end(&builder)->root;
	return integ_template_json(run->discovery->describe_input, &scope);
}

/* What the service says of an item; the item itself where there is nothing to ask. */
static const Jsonb *
describe(const Run *run, const Jsonb *item)
{
	const IntegDiscoveryRun *how = run->run;
	IntegCall *call;
	Jsonb *copy;

	if (run->discovery->describe == NULL)
		return item;
	begin_part(how);
	call = begin_call(run, run->discovery->describe, describe_input(run, item));
	integ_call_open(call);
	if (how->in_worker)
	{
		integ_call_build(call);
		end_part(how);
		integ_call_send(call);
		begin_part(how);
		integ_call_finish(call);
	}
	else
		integ_call_carry_out(call);
	integ_call_raise(call);
	if (call->outcome.result == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_BAD_ANSWER),
						errmsg("%s says nothing of an item", integ_call_name(call))));
	copy = palloc(VARSIZE(call->outcome.result));
	memcpy(copy, call->outcome.result, VARSIZE(call->outcome.result));
	end_part(how);
	integ_call_end(call);
	return copy;
}

static char *
shown(const Jsonb *item)
{
	const char *name = JB_ROOT_IS_OBJECT(item) ? integ_json_get_string(&item->root, "name") : NULL;
	const char *text = name != NULL ? name : integ_json_print(item);
	int len = pg_mbcliplen(text, (int) Min(strlen(text), SHOWN_ITEM_BYTES * 2), SHOWN_ITEM_BYTES);

	return psprintf("%.*s%s", len, text, text[len] != '\0' ? " …" : "");
}

/*
 * Adds what an item makes, if it is valid by itself; else the reason why not. Compiling and checking take no lock and
 * no other resource, so that their errors can be caught without a subtransaction.
 */
static void
add_checked(Run *run, const Jsonb *item, const IntegRecordSchema *record)
{
	MemoryContext context = CurrentMemoryContext;
	IntegDiscovered *found = run->found;

	PG_TRY();
	{
		IntegDiscovered own = {0};

		integ_discovery_item(run->discovery, run->instance, run->definition, item, record, &own);
		integ_discovery_check(run->definition, own.methods, own.entities);
		found->methods = list_concat(found->methods, own.methods);
		found->entities = list_concat(found->entities, own.entities);
	}
	PG_CATCH();
	{
		IntegSkippedItem *skipped;
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_INTEG_INVALID)
			PG_RE_THROW();
		FlushErrorState();
		skipped = palloc(sizeof(IntegSkippedItem));
		skipped->item = shown(item);
		skipped->reason =
			error->detail != NULL ? psprintf("%s: %s", error->message, error->detail) : pstrdup(error->message);
		found->skipped = lappend(found->skipped, skipped);
	}
	PG_END_TRY();
}

IntegDiscovered *
integ_discovery_run(const IntegDiscoveryRun *how)
{
	MemoryContext old = MemoryContextSwitchTo(how->context);
	Run run = {.run = how};
	ListCell *cell;

	open_run(&run);
	list_items(&run);
	foreach (cell, run.items)
	{
		const Jsonb *item = lfirst(cell);
		const Jsonb *description;
		IntegRecordSchema record;

		CHECK_FOR_INTERRUPTS();
		description = describe(&run, item);
		begin_part(how);
		if (run.discovery->fields != NULL)
			integ_discovery_schema(run.discovery->fields, description, &record);
		add_checked(&run, item, run.discovery->fields != NULL ? &record : NULL);
		end_part(how);
		run.found->items++;
	}
	begin_part(how);
	/* Two items may make the same id. */
	integ_discovery_check(run.definition, run.found->methods, run.found->entities);
	end_part(how);
	MemoryContextSwitchTo(old);
	return run.found;
}

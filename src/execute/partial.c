/*
 * Answers of which some parts failed: a list of records, each with its own outcome, in an HTTP 200 or 207.
 *
 * The method's "partial" says where the list is and what a failed record looks like. Where all failed the call
 * did; else its result tells which did and which did not.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "execute/call.h"

typedef struct Outcomes
{
	JsonbParseState *succeeded, *failed;
	int count, nfailed;
	char *message; /* of the first failure; NULL: it has none */
} Outcomes;

static void
push_key(JsonbParseState **state, const char *name)
{
	JsonbValue key = {.type = jbvString};

	key.val.string.val = (char *) name;
	key.val.string.len = strlen(name);
	pushJsonbValue(state, WJB_KEY, &key);
}

static char *
message_of(const IntegPartial *partial, const Jsonb *item)
{
	const Jsonb *found = partial->message != NULL ? integ_path_get(partial->message, item) : NULL;
	JsonbValue value;

	if (found == NULL)
		return NULL;
	integ_json_root(found, &value);
	return integ_json_value_text(&value);
}

static void
push_item(JsonbParseState **state, int index, const char *message, JsonbValue *item)
{
	JsonbValue number = {.type = jbvNumeric}, text = {.type = jbvString};

	number.val.numeric = int64_to_numeric(index);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_key(state, "index");
	pushJsonbValue(state, WJB_VALUE, &number);
	if (message != NULL)
	{
		text.val.string.val = (char *) message;
		text.val.string.len = strlen(message);
		push_key(state, "message");
		pushJsonbValue(state, WJB_VALUE, &text);
	}
	push_key(state, "item");
	pushJsonbValue(state, WJB_VALUE, item);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
sort_items(const IntegPartial *partial, const Jsonb *items, Outcomes *outcomes)
{
	IntegJsonWalk walk;
	JsonbValue value;

	pushJsonbValue(&outcomes->succeeded, WJB_BEGIN_ARRAY, NULL);
	pushJsonbValue(&outcomes->failed, WJB_BEGIN_ARRAY, NULL);
	integ_json_walk_begin(&walk, &items->root);
	while (integ_json_walk_element(&walk, &value))
	{
		const Jsonb *item = integ_json_value_jsonb(&value);
		bool failed = integ_path_exists(partial->failed, item);
		char *message = failed ? message_of(partial, item) : NULL;

		push_item(failed ? &outcomes->failed : &outcomes->succeeded, outcomes->count++, message, &value);
		if (failed && outcomes->nfailed++ == 0)
			outcomes->message = message;
	}
}

static Jsonb *
make_result(Outcomes *outcomes)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_jsonb(&builder, "succeeded",
						 JsonbValueToJsonb(pushJsonbValue(&outcomes->succeeded, WJB_END_ARRAY, NULL)));
	integ_json_add_jsonb(&builder, "failed",
						 JsonbValueToJsonb(pushJsonbValue(&outcomes->failed, WJB_END_ARRAY, NULL)));
	return integ_json_end(&builder);
}

bool
integ_call_sort_partial(IntegCall *call)
{
	const IntegPartial *partial = &call->exchange->partial;
	const Jsonb *items = call->body != NULL ? integ_path_get(partial->items, call->body) : NULL;
	Outcomes outcomes = {0};

	if (items == NULL || !JB_ROOT_IS_ARRAY(items) || JB_ROOT_IS_SCALAR(items))
	{
		call->outcome.sqlerrcode = ERRCODE_INTEG_BAD_ANSWER;
		call->outcome.message = psprintf("the answer to %s has no list of outcomes", integ_call_name(call));
		call->outcome.detail =
			psprintf("Nothing, or no array, is at the path of response.partial.items of method \"%s\".", call->method->id);
		return false;
	}
	sort_items(partial, items, &outcomes);
	call->nitems = outcomes.count;
	call->nfailed = outcomes.nfailed;
	if (outcomes.nfailed > 0 && outcomes.nfailed == outcomes.count)
	{
		call->refused = true;
		call->outcome.sqlerrcode = ERRCODE_INTEG_REFUSED;
		call->outcome.message =
			psprintf("the service refused all of %s%s%s", integ_call_name(call), outcomes.message != NULL ? ": " : "",
					 outcomes.message != NULL ? outcomes.message : "");
		call->outcome.detail = psprintf("All %d records failed; the message is the first one's.", outcomes.count);
		return false;
	}
	call->outcome.result = make_result(&outcomes);
	return true;
}

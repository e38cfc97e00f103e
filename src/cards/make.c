/*
 * From results to the data of a card.
 */
#include "cards/card.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/options.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "template/template.h"

PG_FUNCTION_INFO_V1(integ_card_make_sql);

/* What the task's config says of its card; absent parts are NULL. */
typedef struct CardPlan
{
	const char *source_id;
	const Jsonb *title;
	const Jsonb *content;
	Jsonb *tags;
} CardPlan;

static const Jsonb *
part(const JsonbContainer *card, const char *key)
{
	JsonbValue value;

	return card != NULL && integ_json_get(card, key, &value) && value.type != jbvNull ? integ_json_value_jsonb(&value)
																					  : NULL;
}

static CardPlan
read_plan(const Jsonb *request)
{
	const JsonbContainer *card = integ_json_get_object(&request->root, "card");
	CardPlan plan = {.source_id = integ_json_get_string(&request->root, "source_id")};
	char *keep;
	JsonbValue value;
	IntegOption known[] = {{"tags", INTEG_OPTION_ARRAY, &plan.tags}, {"keep", INTEG_OPTION_TEXT, &keep}};
	IntegJsonBuilder builder;

	/* Templates may be texts or lists; the rest is checked as options are. */
	integ_json_begin_object(&builder);
	for (int i = 0; card != NULL && i < lengthof(known); i++)
		if (integ_json_get(card, known[i].name, &value))
			integ_json_add(&builder, known[i].name, &value);
	integ_options_parse(integ_json_end(&builder), known, lengthof(known), "a card");
	plan.title = part(card, "title");
	plan.content = part(card, "content");
	return plan;
}

static char *
render(const Jsonb *source, const char *where, const IntegTemplateScope *scope, IntegTemplateEncoding encoding)
{
	JsonbValue root;

	integ_json_root(source, &root);
	return integ_template_text(integ_template_compile(&root, where), scope, encoding);
}

/* The same; NULL where it wants what a source that failed would have given. Rendering takes nothing to give back. */
static char *
render_what_there_is(const Jsonb *source, const char *where, const IntegTemplateScope *scope,
					 IntegTemplateEncoding encoding)
{
	MemoryContext context = CurrentMemoryContext;
	char *volatile text = NULL;

	PG_TRY();
	{
		text = render(source, where, scope, encoding);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (geterrcode() != ERRCODE_INTEG_INVALID)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	return text;
}

/* "> **Not available:** weather: timeout", a line for each source that failed. */
static void
append_failed(StringInfo content, const Jsonb *failed)
{
	IntegTemplateScope scope = {0};
	Jsonb *note = integ_json_parse(
		"{\"$each\": \"failed\", \"as\": \"f\", \"do\": \"\\n> **Not available:** {f.source}: {f.error}\\n\"}");
	IntegJsonBuilder builder;
	char *text;

	integ_json_begin_object(&builder);
	integ_json_add_jsonb(&builder, "failed", failed);
	scope.input = &integ_json_end(&builder)->root;
	text = render(note, "the note", &scope, INTEG_TEMPLATE_MARKDOWN);
	if (text != NULL)
		appendStringInfoString(content, text);
}

static void
add_succeeded(IntegJsonBuilder *builder, const Jsonb *results)
{
	IntegJsonWalk walk;
	JsonbValue name, value;

	integ_json_open_array(builder, "sources_succeeded");
	integ_json_walk_begin(&walk, &results->root);
	while (integ_json_walk_pair(&walk, &name, &value))
		integ_json_add_string(builder, NULL, integ_json_value_text(&name));
	integ_json_close(builder);
}

Jsonb *
integ_card_make(const Jsonb *request, const Jsonb *results, const Jsonb *failed)
{
	CardPlan plan = read_plan(request);
	bool partial = JB_ROOT_COUNT(failed) > 0;
	IntegTemplateScope scope = {.input = &results->root, .task = integ_json_get_object(&request->root, "task")};
	char *(*fill)(const Jsonb *, const char *, const IntegTemplateScope *, IntegTemplateEncoding) =
		partial ? render_what_there_is : render;
	char *title = plan.title == NULL ? NULL : fill(plan.title, "card.title", &scope, INTEG_TEMPLATE_RAW);
	char *text = plan.content == NULL ? NULL : fill(plan.content, "card.content", &scope, INTEG_TEMPLATE_MARKDOWN);
	IntegJsonBuilder builder;
	StringInfoData content;

	initStringInfo(&content);
	if (text != NULL)
		appendStringInfoString(&content, text);
	append_failed(&content, failed);
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "title", title == NULL ? plan.source_id : title);
	integ_json_add_string(&builder, "card_type", "source");
	integ_json_add_jsonb(&builder, "data", results);
	integ_json_add_string(&builder, "content", content.len == 0 ? NULL : content.data);
	integ_json_add_string(&builder, "source_id", plan.source_id);
	integ_json_add_jsonb(&builder, "tags", plan.tags == NULL ? integ_json_empty_array() : plan.tags);
	integ_json_add_jsonb(&builder, "api_request", request);
	integ_json_add_string(&builder, "status", partial ? "partial" : "success");
	add_succeeded(&builder, results);
	integ_json_add_jsonb(&builder, "sources_failed", failed);
	return integ_json_end(&builder);
}

/* integ.card_make(request jsonb, results jsonb, failed jsonb) → jsonb */
Datum
integ_card_make_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(integ_card_make(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1), PG_GETARG_JSONB_P(2)));
}

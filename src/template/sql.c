/*
 * The SQL functions for authors of templates and paths.
 */
#include "postgres.h"

#include "core/errors.h"
#include "core/json_walk.h"
#include "core/memo.h"
#include "fmgr.h"
#include "funcapi.h"
#include "template/template.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_template_render_sql);
PG_FUNCTION_INFO_V1(integ_template_text_sql);
PG_FUNCTION_INFO_V1(integ_template_query_sql);
PG_FUNCTION_INFO_V1(integ_template_headers_sql);
PG_FUNCTION_INFO_V1(integ_path_get_sql);
PG_FUNCTION_INFO_V1(integ_path_exists_sql);
PG_FUNCTION_INFO_V1(integ_path_map_sql);

static void *
compile_template(const struct varlena *source)
{
	JsonbValue root;

	integ_json_root((const Jsonb *) source, &root);
	return integ_template_compile(&root, "the template");
}

static void *
compile_path(const struct varlena *source)
{
	return integ_path_compile(text_to_cstring((const text *) source), "the path");
}

static void *
compile_map(const struct varlena *source)
{
	return integ_map_compile((const Jsonb *) source, "the map");
}

/* Credentials have no place in what an author looks at. */
static const char *
hidden_secret(void *arg, const char *name)
{
	return "***";
}

static const JsonbContainer *
object_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	const Jsonb *document = PG_GETARG_JSONB_P(argument);

	if (!JB_ROOT_IS_OBJECT(document))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the argument \"%s\" must be a JSON object", name)));
	return &document->root;
}

/* The scope of the arguments input, config and task, which follow the template. */
static IntegTemplateScope
scope_arguments(FunctionCallInfo fcinfo)
{
	return (IntegTemplateScope){.input = object_argument(fcinfo, 1, "input"),
								.config = object_argument(fcinfo, 2, "config"),
								.task = object_argument(fcinfo, 3, "task"),
								.secret = hidden_secret};
}

static IntegTemplate *
template_argument(FunctionCallInfo fcinfo)
{
	return integ_memo(fcinfo, (const struct varlena *) PG_GETARG_JSONB_P(0), compile_template);
}

/* integ.template_render(template jsonb, input jsonb, config jsonb, task jsonb) → jsonb */
Datum
integ_template_render_sql(PG_FUNCTION_ARGS)
{
	IntegTemplateScope scope = scope_arguments(fcinfo);
	Jsonb *document = integ_template_json(template_argument(fcinfo), &scope);

	if (document == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(document);
}

/* integ.template_text(template jsonb, input jsonb, config jsonb, task jsonb, encoding text) → text */
Datum
integ_template_text_sql(PG_FUNCTION_ARGS)
{
	static const char *const encodings[] = {"raw", "percent", "header", "xml", "markdown"};
	IntegTemplateScope scope = scope_arguments(fcinfo);
	char *encoding = text_to_cstring(PG_GETARG_TEXT_PP(4));
	char *text;

	for (int i = 0; i < lengthof(encodings); i++)
		if (strcmp(encodings[i], encoding) == 0)
		{
			text = integ_template_text(template_argument(fcinfo), &scope, (IntegTemplateEncoding) i);
			if (text == NULL)
				PG_RETURN_NULL();
			PG_RETURN_TEXT_P(cstring_to_text(text));
		}
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("there is no encoding \"%s\"", encoding),
					errhint("Encodings are raw, percent, header, xml and markdown.")));
}

/* integ.template_query(template jsonb, input jsonb, config jsonb, task jsonb, form boolean, style jsonb) → text */
Datum
integ_template_query_sql(PG_FUNCTION_ARGS)
{
	IntegTemplateScope scope = scope_arguments(fcinfo);
	IntegTemplate *compiled = template_argument(fcinfo);
	IntegParameterStyle style = {0};
	char *query;

	integ_parameter_style_read(object_argument(fcinfo, 5, "style"), "the style", &style);
	query = PG_GETARG_BOOL(4) ? integ_template_form(compiled, &scope, &style)
							  : integ_template_query(compiled, &scope, &style);
	if (query == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(query));
}

static void
put_header(const char *name, const char *value, void *arg)
{
	ReturnSetInfo *result = arg;
	Datum values[2] = {CStringGetTextDatum(name), CStringGetTextDatum(value)};
	bool nulls[2] = {false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* integ.template_headers(template jsonb, input jsonb, config jsonb, task jsonb) → table (name text, value text) */
Datum
integ_template_headers_sql(PG_FUNCTION_ARGS)
{
	IntegTemplateScope scope = scope_arguments(fcinfo);

	InitMaterializedSRF(fcinfo, 0);
	integ_template_headers(template_argument(fcinfo), &scope, put_header, fcinfo->resultinfo);
	return (Datum) 0;
}

static IntegPath *
path_argument(FunctionCallInfo fcinfo)
{
	return integ_memo(fcinfo, (const struct varlena *) PG_GETARG_TEXT_P(1), compile_path);
}

/* integ.path_get(document jsonb, path text) → jsonb */
Datum
integ_path_get_sql(PG_FUNCTION_ARGS)
{
	Jsonb *found = integ_path_get(path_argument(fcinfo), PG_GETARG_JSONB_P(0));

	if (found == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(found);
}

/* integ.path_exists(document jsonb, path text) → boolean */
Datum
integ_path_exists_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(integ_path_exists(path_argument(fcinfo), PG_GETARG_JSONB_P(0)));
}

/* integ.path_map(document jsonb, map jsonb) → jsonb */
Datum
integ_path_map_sql(PG_FUNCTION_ARGS)
{
	IntegMap *map = integ_memo(fcinfo, (const struct varlena *) PG_GETARG_JSONB_P(1), compile_map);
	Jsonb *mapped = integ_map_eval(map, PG_GETARG_JSONB_P(0));

	if (mapped == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(mapped);
}

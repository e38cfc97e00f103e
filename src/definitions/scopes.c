/*
 * The scopes that a method needs, in words.
 */
#include "definitions/definition.h"

#include "core/json.h"
#include "lib/stringinfo.h"

char *
integ_scope_text(const JsonbValue *need)
{
	const JsonbContainer *any;
	StringInfoData text;

	if (need->type == jbvString)
		return pnstrdup(need->val.string.val, need->val.string.len);
	initStringInfo(&text);
	any = need->val.binary.data;
	for (uint32 i = 0; i < JsonContainerSize(any); i++)
		appendStringInfo(&text, "%s%s", i > 0 ? " or " : "",
						 integ_json_value_text(getIthJsonbValueFromContainer((JsonbContainer *) any, i)));
	return text.data;
}

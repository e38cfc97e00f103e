/*
 * Which events somebody wants.
 */
#include "core/match.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"

bool
integ_name_matches(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL;

	/* What a * has taken grows by one where the rest does not fit: only the last one is ever looked at again. */
	while (*name != '\0')
	{
		if (*pattern == '*')
		{
			star = ++pattern;
			from = name;
		}
		else if (*pattern == *name)
		{
			pattern++;
			name++;
		}
		else if (star != NULL)
		{
			pattern = star;
			name = ++from;
		}
		else
			return false;
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool
integ_filter_holds(const struct varlena *filter, const Jsonb *document)
{
	LOCAL_FCINFO(fcinfo, 4);
	Datum found;
	JsonbValue value;

	if (filter == NULL)
		return true;
	if (document == NULL)
		return false;
	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0] = (NullableDatum){JsonbPGetDatum(document), false};
	fcinfo->args[1] = (NullableDatum){PointerGetDatum(filter), false};
	fcinfo->args[2] = (NullableDatum){JsonbPGetDatum(integ_json_empty_object()), false};
	fcinfo->args[3] = (NullableDatum){BoolGetDatum(true), false};
	found = jsonb_path_query_first(fcinfo);
	if (fcinfo->isnull)
		return false;
	integ_json_root(DatumGetJsonbP(found), &value);
	return value.type != jbvNull && !(value.type == jbvBool && !value.val.boolean);
}

/*
 * What an answer looks like under the "map" of a manifest.
 */
#include "definitions/definition.h"

#include "core/json.h"

Jsonb *
integ_map_apply(const IntegMap *map, const Jsonb *answer)
{
	IntegJsonBuilder builder;
	bool any = false;

	if (map->path != NULL)
		return integ_path_get(map->path, answer);
	integ_json_begin_object(&builder);
	for (int i = 0; i < map->nchildren; i++)
	{
		Jsonb *found = integ_map_apply(&map->children[i], answer);

		if (found == NULL)
			continue;
		integ_json_add_jsonb(&builder, map->children[i].key, found);
		any = true;
	}
	return any ? integ_json_end(&builder) : NULL;
}

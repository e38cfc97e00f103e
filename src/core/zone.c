/*
 * Timezones by the names of the IANA database.
 */
#include "core/zone.h"

/* Whether the database has a zone of that name. Reads every zone there is. */
static bool
is_listed(const char *name)
{
	pg_tzenum *zones = pg_tzenumerate_start();
	pg_tz *zone;
	bool found = false;

	while (!found && (zone = pg_tzenumerate_next(zones)) != NULL)
		found = pg_strcasecmp(pg_get_timezone_name(zone), name) == 0;
	pg_tzenumerate_end(zones);
	return found;
}

pg_tz *
integ_zone_find(const char *name)
{
	pg_tz *zone = pg_tzset(name);

	if (zone == NULL || !pg_tz_acceptable(zone))
		return NULL;
	/* A zone in the notation of POSIX has an offset, and so a digit; few of the database's have one. */
	if (strpbrk(name, "0123456789") != NULL && !is_listed(name))
		return NULL;
	return zone;
}

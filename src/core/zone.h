/*
 * Timezones by the names of the IANA database.
 */
#ifndef INTEG_CORE_ZONE_H
#define INTEG_CORE_ZONE_H

#include "postgres.h"

#include "pgtime.h"

/*
 * The zone of that name, whatever its case; NULL where the database has none. It lives as long as the process. Zones
 * that PostgreSQL reads besides are refused: it takes a misspelled "Mars/Olympus1" for one an hour west of UTC.
 */
extern pg_tz *integ_zone_find(const char *name);

#endif /* INTEG_CORE_ZONE_H */

/*
 * Writing definitions: internal to definitions.
 */
#ifndef INTEG_DEFINITIONS_STORE_H
#define INTEG_DEFINITIONS_STORE_H

#include "postgres.h"

#include "utils/jsonb.h"

/* What the tables know of a definition before it is written. */
typedef struct IntegStoredDefinition
{
	bool exists;
	bool builtin;
	char *client_id;	 /* owner; NULL where it does not exist */
	char *version;		 /* current version; NULL where it does not exist */
	bool version_exists; /* this version is there already … */
	bool version_same;	 /* … with the same manifest */
	bool version_used;	 /* … and instances follow its major version */
} IntegStoredDefinition;

/*
 * Locks the definitions against other writers until the end of the transaction and reads
 * what is there for the manifest's id and version. Inside integ_owner_enter, as the following.
 */
extern void integ_definition_lookup(const Jsonb *manifest, const char *id, const char *version,
									IntegStoredDefinition *stored);

/*
 * Writes the version, and makes it the current one where make_current. owner is the role as which its functions run,
 * InvalidOid for none.
 */
extern void integ_definition_store(const Jsonb *manifest, const char *id, const char *version, const char *client_id,
								   bool builtin, const char *created_by, Oid owner, bool make_current);

#endif /* INTEG_DEFINITIONS_STORE_H */

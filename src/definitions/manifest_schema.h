/*
 * connectors/manifest.schema.json as a C string: made by make.
 */
#ifndef INTEG_DEFINITIONS_MANIFEST_SCHEMA_H
#define INTEG_DEFINITIONS_MANIFEST_SCHEMA_H

static const char integ_manifest_schema_json[] =
#include "definitions/manifest_schema.inc"
	;

#endif /* INTEG_DEFINITIONS_MANIFEST_SCHEMA_H */

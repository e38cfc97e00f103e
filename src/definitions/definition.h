/*
 * Definitions, compiled from their manifests and cached per backend.
 */
#ifndef INTEG_DEFINITIONS_DEFINITION_H
#define INTEG_DEFINITIONS_DEFINITION_H

#include "postgres.h"

#include "schema/schema.h"
#include "template/template.h"
#include "utils/jsonb.h"

typedef struct IntegMethod
{
	const char *id;
	bool is_write;			 /* access: write */
	bool approval_required;
	const char *http_method; /* GET … */
	IntegTemplate *path;	 /* text template; placeholders are percent-encoded */
	const char *path_source; /* as in the manifest: what the log shows */
	IntegTemplate *query;	 /* object template or NULL */
	IntegTemplate *headers;	 /* object template or NULL */
	IntegTemplate *body;	 /* any template or NULL */
	IntegSchema *input;		 /* NULL: anything */
	IntegSchema *output;
	const Jsonb *response;	 /* the manifest's "response" or NULL: map, records, errors */
	const JsonbContainer *manifest; /* the whole method */
} IntegMethod;

typedef struct IntegDefinition
{
	const char *id;
	const char *version;
	const char *name;
	const char *status; /* active, beta, deprecated, disabled */
	const char *auth_type;
	IntegTemplate *base_url;	/* text template over config (and, later, the token answer) */
	IntegTemplate *auth_value;	/* text template over credentials, or NULL */
	const char *auth_in;		/* header, query, … ; NULL where there is no auth */
	const char *auth_name;
	IntegTemplate *headers;		/* of every request, or NULL */
	IntegTemplate *query;		/* of every request, or NULL */
	IntegSchema *config;
	IntegSchema *credentials;
	const char *health_check;	/* method id or NULL */
	int nmethods;
	IntegMethod *methods;		/* sorted by id */
	const Jsonb *manifest;
	MemoryContext context;		/* holds all of the above */
	int pins;
	bool stale;
} IntegDefinition;

/*
 * The definition (version NULL: the current one), compiled and pinned until
 * CurrentMemoryContext is reset or deleted. NULL where there is none. No visibility check: that is
 * the caller's (instances). No SPI once cached.
 */
extern const IntegDefinition *integ_definition_get(const char *id, const char *version);

/* A method by id; NULL where the definition has none. */
extern const IntegMethod *integ_definition_method(const IntegDefinition *definition, const char *id);

#endif /* INTEG_DEFINITIONS_DEFINITION_H */

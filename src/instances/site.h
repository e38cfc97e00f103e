/*
 * What a configuration comes to: checked, with defaults, and where requests go.
 */
#ifndef INTEG_INSTANCES_SITE_H
#define INTEG_INSTANCES_SITE_H

#include "postgres.h"

#include "definitions/definition.h"
#include "utils/jsonb.h"

typedef struct IntegSite
{
	const Jsonb *config; /* with the schema's defaults */
	char *base_url;		 /* NULL where the definition has none, or it comes with the token answer */
	char *origin;		 /* NULL likewise */
} IntegSite;

/*
 * Raises IG400 where the config does not match configSchema, holds a credential, or
 * names method defaults that make no sense; instance_id is for messages.
 */
extern void integ_site_check(const IntegDefinition *definition, const Jsonb *config, const char *instance_id);

/*
 * Fills defaults and renders the base URL, in CurrentMemoryContext. token is what the token answer told
 * (instances.token_fields), NULL before it; a base URL that needs what it does not tell stays unknown. Raises
 * IG400 where that gives no http(s) URL, or one of a host that the manifest does not mean.
 */
extern void integ_site_render(const IntegDefinition *definition, const Jsonb *config, const Jsonb *token,
							  const char *instance_id, IntegSite *site);

/*
 * Renders a base URL with site->config and token into site->base_url and site->origin, in CurrentMemoryContext, which
 * become NULL where the token answer has to tell parts of it and did not. source is as in the manifest. Raises as
 * integ_site_render.
 */
extern void integ_site_url(const IntegTemplate *url, const char *source, const Jsonb *token, const char *instance_id,
						   IntegSite *site);

/* The one config over the other, key by key. Either may be NULL. */
extern const Jsonb *integ_config_over(const Jsonb *own, const Jsonb *borrowed);

#endif /* INTEG_INSTANCES_SITE_H */

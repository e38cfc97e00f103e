/*
 * Endpoints: where events go out to.
 */
#ifndef INTEG_ENDPOINTS_ENDPOINT_H
#define INTEG_ENDPOINTS_ENDPOINT_H

#include "postgres.h"

#include "core/pinned.h"
#include "endpoints/retry_schedule.h"
#include "template/template.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"
#include "vault/vault.h"

/* What integ itself publishes begins with this, and nothing else does. */
#define INTEG_EVENT_PREFIX "integ."

typedef struct IntegEndpoint
{
	IntegPinned pinned; /* holds all of this */
	pg_uuid_t id;
	const char *endpoint_id;
	const char *client_id;
	const pg_uuid_t *instance; /* NULL: events about all of them */
	bool is_active;			   /* else it is paused, or disabled */
	bool is_disabled;
	int npatterns; /* 0: every type that people publish */
	const char **patterns;
	struct varlena *filter; /* jsonpath, or NULL */
	bool ordered;

	/* of use to a dispatcher; NULL and 0 in what integ_endpoints_of gives */
	const char *url;
	const char *origin;
	IntegCredentialOwner credentials;
	const IntegTemplate *headers; /* NULL: none */
	const IntegTemplate *body;	  /* NULL: the usual one */
	bool standard;
	const char *signature_header; /* NULL: none */
	int nsecrets;
	const char **secrets;
	int rate_limit; /* 0: not limited */
	int64 rate_us;
	int concurrency;
	int timeout_ms;						/* 0: the setting's */
	const IntegRetrySchedule *schedule; /* NULL: the setting's */
} IntegEndpoint;

/* Those that may get the events of a client: its own, and those of '*'; disabled ones left out. */
typedef struct IntegEndpoints
{
	IntegPinned pinned;
	int count;
	const IntegEndpoint *items;
} IntegEndpoints;

/*
 * The endpoints that may get a client's events. Valid until CurrentMemoryContext is reset. Inside an owner scope; no
 * SPI once cached.
 */
extern const IntegEndpoints *integ_endpoints_of(const char *client);

/* Whether it takes no SPI, and so no owner scope. */
extern bool integ_endpoints_are_cached(const char *client);

/* The endpoint with that key; NULL where there is none. As above. */
extern const IntegEndpoint *integ_endpoint_get(const pg_uuid_t *id);

/* Whether any dispatcher may make its deliveries: no rate and no order is kept. */
extern bool integ_endpoint_is_shared(const IntegEndpoint *endpoint);

/* Whether the endpoint wants events of the type: by its patterns alone. */
extern bool integ_endpoint_wants(const IntegEndpoint *endpoint, const char *event_type);

/* The schedule of integ.delivery_schedule. */
extern const IntegRetrySchedule *integ_default_retry_schedule(void);

#endif /* INTEG_ENDPOINTS_ENDPOINT_H */

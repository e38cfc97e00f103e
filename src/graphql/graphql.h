/*
 * GraphQL over HTTP: the body of a request, and an answer's errors.
 */
#ifndef INTEG_GRAPHQL_GRAPHQL_H
#define INTEG_GRAPHQL_GRAPHQL_H

#include "postgres.h"

#include "execute/call.h"

/* {"query": …, "operationName": …, "variables": …} of the call's exchange, in CurrentMemoryContext. */
extern const Jsonb *integ_graphql_body(const IntegCall *call);

/* What a call without a map returns: the answer's "data"; NULL where it has none. */
extern const Jsonb *integ_graphql_data(const Jsonb *body);

/*
 * Whether the answer has errors (section 7.1.2); the call's outcome then says so, with what data came beside them.
 * Of a mutation that has carried out some of its fields, call->partial is set.
 */
extern bool integ_graphql_refused(IntegCall *call);

#endif /* INTEG_GRAPHQL_GRAPHQL_H */

/*
 * What a GraphQL document asks for. Free of PostgreSQL.
 *
 * Source: GraphQL, October 2021, sections 2.1 (lexical grammar) and 2.2 to 2.4 (documents, operations).
 */
#ifndef INTEG_GRAPHQL_DOCUMENT_H
#define INTEG_GRAPHQL_DOCUMENT_H

typedef enum IntegGraphqlKind
{
	INTEG_GRAPHQL_QUERY,
	INTEG_GRAPHQL_MUTATION,
	INTEG_GRAPHQL_SUBSCRIPTION,
	INTEG_GRAPHQL_NONE,		 /* no operation, or none of that name */
	INTEG_GRAPHQL_SEVERAL,	 /* several operations, and no name that says which */
	INTEG_GRAPHQL_MALFORMED, /* brackets or quotes that do not match, or something that is no definition */
} IntegGraphqlKind;

/* What the operation named does; operation NULL: the document's only one. Selections are not looked into. */
extern IntegGraphqlKind integ_graphql_kind(const char *document, const char *operation);

#endif /* INTEG_GRAPHQL_DOCUMENT_H */

/*
 * The only place where the differences between PostgreSQL 15 and 18 are named.
 */
#ifndef INTEG_CORE_COMPAT_H
#define INTEG_CORE_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "integ needs PostgreSQL 15 or newer"
#endif

/* PostgreSQL 18 replaced pg_attribute_noreturn() by a specifier that stands before the declaration. */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

/* PostgreSQL 16 moved the macros of varlena out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* PostgreSQL 16 split the ownership checks into one function with a class. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_database.h"
#include "utils/acl.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#define integ_database_ownercheck(db, role) object_ownercheck(DatabaseRelationId, (db), (role))
#define integ_aclcheck(class, object, role, mode) (object_aclcheck((class), (object), (role), (mode)) == ACLCHECK_OK)
#define integ_may_connect(db, role) integ_aclcheck(DatabaseRelationId, (db), (role), ACL_CONNECT)
#define integ_may_execute(function, role) integ_aclcheck(ProcedureRelationId, (function), (role), ACL_EXECUTE)
#define integ_may_use_schema(schema, role) integ_aclcheck(NamespaceRelationId, (schema), (role), ACL_USAGE)
#else
#include "utils/acl.h"
#define integ_database_ownercheck(db, role) pg_database_ownercheck((db), (role))
#define integ_may_connect(db, role) (pg_database_aclcheck((db), (role), ACL_CONNECT) == ACLCHECK_OK)
#define integ_may_execute(function, role) (pg_proc_aclcheck((function), (role), ACL_EXECUTE) == ACLCHECK_OK)
#define integ_may_use_schema(schema, role) (pg_namespace_aclcheck((schema), (role), ACL_USAGE) == ACLCHECK_OK)
#endif

/* PostgreSQL 16 lets errors of a parse be returned. */
#include "utils/regproc.h"
#if PG_VERSION_NUM >= 160000
#define integ_qualified_names(text) stringToQualifiedNameList((text), NULL)
#else
#define integ_qualified_names(text) stringToQualifiedNameList(text)
#endif

/* PostgreSQL 17 admits roles that may not log in to background workers that ask for it. */
#if PG_VERSION_NUM >= 170000
#include "postmaster/bgworker.h"
#define INTEG_WORKER_ANY_ROLE BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define INTEG_WORKER_ANY_ROLE 0
#endif

/* PostgreSQL 17 gives getIdentitySequence the relation, before that its Oid. */
#if PG_VERSION_NUM >= 170000
#define integ_relation_identity(relation) (relation)
#else
#define integ_relation_identity(relation) RelationGetRelid(relation)
#endif

/* PostgreSQL 16 can insert into indexes that only summarize; here it is all of them, for a new row. */
#include "executor/executor.h"
#if PG_VERSION_NUM >= 160000
#define integ_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples((target), (slot), (estate), false, false, NULL, NIL, false)
#else
#define integ_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples((target), (slot), (estate), false, false, NULL, NIL)
#endif

/* PostgreSQL 17 ties a wait set to a resource owner; NULL is for the life of the process. */
#include "storage/latch.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#if PG_VERSION_NUM >= 170000
#define integ_create_wait_event_set(nevents) CreateWaitEventSet(NULL, (nevents))
#else
#include "utils/memutils.h"
#define integ_create_wait_event_set(nevents) CreateWaitEventSet(TopMemoryContext, (nevents))
#endif

/* PostgreSQL 17 lets extensions name what they wait for. */
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 170000
static inline uint32
integ_wait_event_http(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = WaitEventExtensionNew("IntegHttp");
	return event;
}
#else
#define integ_wait_event_http() PG_WAIT_EXTENSION
#endif

/* PostgreSQL 18 has bytes encoded, before that characters. */
#include "common/base64.h"
#if PG_VERSION_NUM >= 180000
#define integ_b64_encode(bytes, len, out, room) pg_b64_encode((const uint8 *) (bytes), (len), (out), (room))
#else
#define integ_b64_encode(bytes, len, out, room) pg_b64_encode((const char *) (bytes), (len), (out), (room))
#endif

/* PostgreSQL 17 has transaction_timeout. */
#if PG_VERSION_NUM >= 170000
#include "miscadmin.h"
#define integ_transaction_timeout_pending() (TransactionTimeoutPending)
#else
#define integ_transaction_timeout_pending() (false)
#endif

/* PostgreSQL 16 tells the decoder of dates where to put more about an error: the last argument of DecodeDateTime. */
#if PG_VERSION_NUM >= 160000
#define INTEG_DATETIME_EXTRA \
	, &(DateTimeErrorExtra)  \
	{                        \
		0                    \
	}
#else
#define INTEG_DATETIME_EXTRA
#endif

/*
 * Reads a text by a template of to_char, strictly. False where the text does not match; raises where the template is
 * none. PostgreSQL 16 made errors that do not raise a facility of their own.
 */
#include "utils/formatting.h"
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#endif
static inline bool
integ_parse_datetime(text *source, text *format, Oid collation, Oid *type, int *offset, Datum *result)
{
	int32 typmod;
#if PG_VERSION_NUM >= 160000
	ErrorSaveContext problem = {T_ErrorSaveContext};

	*result = parse_datetime(source, format, collation, true, type, &typmod, offset, (Node *) &problem);
	return !problem.error_occurred;
#else
	bool problem = false;

	*result = parse_datetime(source, format, collation, true, type, &typmod, offset, &problem);
	return !problem;
#endif
}

#endif /* INTEG_CORE_COMPAT_H */

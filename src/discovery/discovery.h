/*
 * Discovery: what only one instance has (custom objects and their fields), read from the service
 * and kept as methods and entities of that instance.
 *
 * The manifest's "discovery" names the method that lists the items, maybe one that describes an item, and says what
 * becomes of an item: an entity, and methods made from methods of the definition with some of their input fixed.
 */
#ifndef INTEG_DISCOVERY_DISCOVERY_H
#define INTEG_DISCOVERY_DISCOVERY_H

#include "postgres.h"

#include "definitions/definition.h"
#include "instances/instance.h"
#include "nodes/pg_list.h"

/* What a discovered method is made from. */
typedef struct IntegDiscoveredMethod
{
	const char *base;		/* method of the definition */
	IntegTemplate *heading; /* object: id, name, description */
	IntegTemplate *input;	/* object of what is fixed, or NULL */
	const char *record;		/* property of the input that takes a record, or NULL */
	bool record_required;	/* … with all fields that the service requires */
	const char *returns;	/* record, records; NULL: what the base returns */
} IntegDiscoveredMethod;

/* Where a field says what it is; every path but name and type may be NULL. */
typedef struct IntegDiscoveredFields
{
	IntegPath *in; /* the fields: a list of objects, or an object of them by name */
	IntegPath *name;
	IntegPath *type;
	IntegPath *title;
	IntegPath *description;
	IntegPath *nullable;
	IntegPath *required;
	IntegPath *read_only;
	const JsonbContainer *types; /* JSON Schemas by the service's type, or NULL */
} IntegDiscoveredFields;

typedef struct IntegDiscovery
{
	const char *method;			   /* lists the items */
	const Jsonb *input;			   /* of it, or NULL */
	IntegPath *items;			   /* in each of its pages' result; NULL: the result is the list */
	IntegPath *when;			   /* an item counts only where this finds something; NULL: every item */
	const char *describe;		   /* method that describes an item, or NULL */
	IntegTemplate *describe_input; /* or NULL */
	IntegDiscoveredFields *fields; /* or NULL */
	IntegTemplate *entity;		   /* or NULL */
	int nmethods;
	IntegDiscoveredMethod *methods;
	int limit;			   /* more items than that are an error */
	int64 refresh_seconds; /* how long what was discovered is good */
} IntegDiscovery;

/*
 * The manifest's "discovery", compiled into CurrentMemoryContext; NULL where it has none. root goes before paths in
 * messages. Raises IG400.
 */
extern IntegDiscovery *integ_discovery_compile(const JsonbContainer *manifest, const char *root);

/* What was found, in the order of the service. */
typedef struct IntegDiscovered
{
	List *methods;	/* of Jsonb *: as in a manifest */
	List *entities; /* of Jsonb *: the same */
	List *skipped;	/* of IntegSkippedItem *: items that cannot be used */
	int64 items;	/* that were asked for */
} IntegDiscovered;

typedef struct IntegSkippedItem
{
	const char *item; /* what is known of it, shortened */
	const char *reason;
} IntegSkippedItem;

/* JSON Schema of a record with the fields found in description, in CurrentMemoryContext. */
typedef struct IntegRecordSchema
{
	const Jsonb *schema;   /* of what is read */
	const Jsonb *writable; /* of what may be written, without "required" */
	const Jsonb *required; /* the same with it */
	const Jsonb *names;	   /* a JSON array of the fields' names */
	char *names_text;	   /* the same, with commas */
} IntegRecordSchema;

extern void integ_discovery_schema(const IntegDiscoveredFields *fields, const Jsonb *description,
								   IntegRecordSchema *record);

/*
 * Adds the entity and the methods of an item (with its schema, NULL where it has no fields), in CurrentMemoryContext.
 * Raises IG400 where the item makes no valid ones.
 */
extern void integ_discovery_item(const IntegDiscovery *discovery, const IntegInstance *instance,
								 const IntegDefinition *definition, const Jsonb *item,
								 const IntegRecordSchema *record, IntegDiscovered *found);

/* Raises IG400 where what was found is no valid part of the definition's manifest. */
extern void integ_discovery_check(const IntegDefinition *definition, const List *methods, const List *entities);

/* What a run of discovery works with. */
typedef struct IntegDiscoveryRun
{
	const IntegActor *actor;
	const char *instance; /* its id as text */
	const Jsonb *only;	  /* array of names: items whose "name" or "id" is none of them are left out; NULL: all */
	bool in_worker;		  /* no transaction is open while it waits: each part opens one of its own */
	MemoryContext context;
} IntegDiscoveryRun;

/*
 * Asks the service. Everything is in run->context. Raises what a call raises, and IG502 for more items than the
 * limit.
 */
extern IntegDiscovered *integ_discovery_run(const IntegDiscoveryRun *run);

/*
 * Puts what was found in the place of what the instance had, and remembers the run; returns a summary, in the context
 * given: {"items", "entities", "methods", "removed", "skipped": [{"item", "reason"}]}. Takes a transaction, outside
 * integ_owner_enter.
 */
extern Jsonb *integ_discovery_store(const IntegInstance *instance, const IntegDiscovered *found, const Jsonb *only,
									int64 refresh_seconds, MemoryContext context);

/*
 * The entity of that id: the instance's own (instance may be NULL: of the definition alone), else the definition's.
 * NULL where there is none. In CurrentMemoryContext, or as long as the definition.
 */
extern const JsonbContainer *integ_discovery_entity(const IntegInstance *instance, const IntegDefinition *definition,
													const char *id);

/* The maintenance job: runs discovery again where it is due. Outside a transaction. */
extern void integ_discovery_refresh(void);

#endif /* INTEG_DISCOVERY_DISCOVERY_H */

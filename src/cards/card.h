/*
 * Cards: what a task's sources gave in one run, as one record that people read. docs/cards.md is the reference.
 *
 * A request says what a card is made of, and is kept in it (api_request), so that it can be repeated:
 * {"source_id", "task": the task's config, "card": {title, content, tags, keep},
 * "sources": [{"name", "instance", "method", "input", "max_records", "single"}]}.
 */
#ifndef INTEG_CARDS_CARD_H
#define INTEG_CARDS_CARD_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Records that a source gives at most, where its config has no maxResults. */
#define INTEG_CARD_MAX_RECORDS 100

/* More bytes of results than this are no card. */
#define INTEG_CARD_MAX_BYTES (16 * 1024 * 1024)

/*
 * The data of a card, in CurrentMemoryContext: results is an object of what each source gave, by its name; failed a
 * list of {"source", "error"}. Values that the templates take from results cannot be markup. Raises IG400 where the templates
 * are not valid or, no source having failed, want what is not there; beside failed sources a template that does is left
 * out.
 */
extern Jsonb *integ_card_make(const Jsonb *request, const Jsonb *results, const Jsonb *failed);

#endif /* INTEG_CARDS_CARD_H */

/*
 * From the bytes of an answer to a document.
 */
#ifndef INTEG_EXECUTE_DECODE_H
#define INTEG_EXECUTE_DECODE_H

#include "execute/call.h"

/*
 * Fills call->body: JSON as it is, other text as a JSON string, binary as
 * {"contentType", "base64"}, nothing (204, an empty body) as NULL. What claims to be JSON and is
 * not sets the outcome to IG502. Raises interrupts only.
 */
extern void integ_call_decode(IntegCall *call);

/* The first bytes of a text answer as valid UTF-8, "" for none, a remark for binary; in CurrentMemoryContext. */
extern char *integ_decode_excerpt(const IntegCall *call, int max_bytes);

#endif /* INTEG_EXECUTE_DECODE_H */

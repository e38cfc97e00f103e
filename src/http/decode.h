/*
 * A body in any charset that PostgreSQL knows, as text.
 */
#ifndef INTEG_HTTP_DECODE_H
#define INTEG_HTTP_DECODE_H

#include "postgres.h"

#include "http/body.h"

/*
 * As integ_body_to_json_text (json) and integ_body_to_text, and other charsets by PostgreSQL's own
 * conversions, with U+FFFD for what is invalid in them. What the text holds is freed with
 * CurrentMemoryContext: owned is always NULL. INTEG_BODY_CHARSET where PostgreSQL has no such
 * encoding. Needs a transaction; raises an error only when out of memory.
 */
extern IntegBodyStatus integ_body_decode(const char *body, size_t len, const char *content_type, bool json,
										 IntegBodyText *text);

#endif /* INTEG_HTTP_DECODE_H */

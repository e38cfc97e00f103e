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

/*
 * The document in len bytes of JSON text behind which a NUL stands. NULL with a sentence of the parser's in
 * *problem where
 * it is none. In CurrentMemoryContext.
 */
extern const Jsonb *integ_decode_json(const char *text, size_t len, char **problem);

/*
 * The document of one frame of a stream (http/events.h): of a line of NDJSON what it says, of a server-sent event
 * {"event", "id", "data"} with its data as JSON where it is JSON, else as text. The frame is masked in its place.
 * NULL where the frame is none (a blank line, a comment, "[DONE]"), and, with *problem set, where it is not JSON.
 */
extern const Jsonb *integ_decode_frame(const IntegCall *call, char *frame, size_t len, char **problem);

/* Fills call->body with the array of all events of a whole stream; the outcome is IG502 where one cannot be read. */
extern void integ_decode_events(IntegCall *call);

/*
 * Fills call->body with what a text in CSV says, as the exchange's "csv" reads it; the outcome is IG502 where it is
 * none.
 */
extern void integ_decode_csv(IntegCall *call, const char *text, size_t len);

/*
 * Fills call->body with what the answer's XML says; the outcome is IG502 where it is none. Raises when out of
 * memory.
 */
extern void integ_decode_xml(IntegCall *call);

/*
 * What an XML text says, as a document in CurrentMemoryContext; lists names the elements that are lists also where
 * there is one, or is NULL. NULL with a sentence in *problem where it is not XML, declares entities or is too deep.
 * Raises when out of memory.
 */
extern const Jsonb *integ_decode_xml_text(const char *text, size_t len, const char *content_type,
										  const JsonbContainer *lists, char **problem);

/* Says in the outcome that the answer is not what it should be. */
extern void integ_decode_refuse(IntegCall *call, const char *what, char *detail);

/* The first bytes of a text answer as valid UTF-8, "" for none, a remark for binary; in CurrentMemoryContext. */
extern char *integ_decode_excerpt(const IntegCall *call, int max_bytes);

#endif /* INTEG_EXECUTE_DECODE_H */

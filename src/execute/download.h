/*
 * Answers that are written to a large object while they arrive.
 */
#ifndef INTEG_EXECUTE_DOWNLOAD_H
#define INTEG_EXECUTE_DOWNLOAD_H

#include "execute/call.h"

/*
 * Carries an opened call out, with its body into a new large object of the current user, in the current
 * transaction: {"loid", "bytes", "contentType"}, in CurrentMemoryContext. At most integ.max_download_size. Raises
 * what the call raises; an answer that is an error is read as any other.
 */
extern const Jsonb *integ_download(IntegCall *call);

#endif /* INTEG_EXECUTE_DOWNLOAD_H */

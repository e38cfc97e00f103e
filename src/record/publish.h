/*
 * What the recorder tells endpoints: the exchanges that it writes down, and events that are no rows.
 */
#ifndef INTEG_RECORD_PUBLISH_H
#define INTEG_RECORD_PUBLISH_H

#include "postgres.h"

#include "record/entry.h"

/*
 * Publishes what is to be told of a batch: integ.api.request of its exchanges where an endpoint of the client names it,
 * and the events among its entries that are not kept. Recorder only, in the transaction that writes the batch.
 */
extern void integ_recorder_publish(IntegEntry *const *entries, int count);

#endif /* INTEG_RECORD_PUBLISH_H */

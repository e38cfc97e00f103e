/*
 * What integ_convert_explain tells. Private to src/convert/.
 */
#ifndef INTEG_CONVERT_TRACE_H
#define INTEG_CONVERT_TRACE_H

#include "postgres.h"

#include "convert/plan.h"
#include "core/json.h"

/* A trace in CurrentMemoryContext, for convert_apply. */
extern ConvertTrace *convert_trace_begin(void);

/* The document so far, {"fields": […], open: the caller adds to it and ends it. */
extern IntegJsonBuilder *convert_trace_end(ConvertTrace *trace);

#endif /* INTEG_CONVERT_TRACE_H */

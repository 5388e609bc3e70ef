/* v3_params.h - query parameters of /api/v3 to a checked search. Pure functions
 * of the query string; loop threads.
 *
 * Every name has a camelCase and an older snake_case spelling; of two that are given the camelCase
 * one counts, of a repeated one the first, and an empty value is as if it were absent. E_FORMAT,
 * worded `malformed parameter <name as given>: <detail>`. */
#pragma once
#include "api/jaeger/params.h"

/* query.serviceName, operationName, startTimeMin, startTimeMax (both required), durationMin,
 * durationMax, searchDepth (also num_traces), attributes, rawTraces. More than traces_max traces
 * are E_FORMAT; a searchDepth <= 0 is E_INTERNAL, which Jaeger answers with 500. query.filter is
 * refused: a filter that is silently dropped finds too much. */
enum mg_err v3_search_parse(struct str query, uint64_t traces_max, struct jaeger_search *out,
                            struct mg_why *why) MG_MUST_USE;
/* rawTraces; startTime and endTime are hints, checked and not needed here. */
enum mg_err v3_trace_parse(struct str query, bool *raw, struct mg_why *why) MG_MUST_USE;
/* service and spanKind, both optional; memory in the arena. */
enum mg_err v3_operations_parse(struct str query, struct arena *arena, struct str *service,
                                struct str *kind, struct mg_why *why) MG_MUST_USE;

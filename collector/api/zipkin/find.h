/* find.h - which traces a search asks for. Within a query job.
 *
 * query_search finds traces by one span; Zipkin's conditions may be met by several. So one of them,
 * together with the service, is what query_search is asked for: a tag with a value, the word
 * `error`, the duration, the span name, or the service alone, in this order. What it finds is only
 * a candidate: each whole trace is looked at as match.h says, and more candidates are asked for
 * until `limit` traces match or none is left. A stored name in several cases is asked for in each.
 *
 * Candidates come newest first by the latest start of a span that met the one condition; a trace's
 * own time is another, usually earlier. So the search goes on after `limit` were found, until the
 * candidates are older than all of these, but for at most EXTRA_TRACES more: the answer is then
 * exactly the newest by their own time, unless clocks are skewed so far that a span starts before
 * its trace does.
 *
 * What is not found, though Zipkin would:
 *
 * - traces whose time is in the window and whose candidate spans all start outside of it, unless
 *   these do within three hours and are among the nearest SLACK_TRACES candidates there;
 * - the word `error` as an annotation, beyond the newest REST_TRACES traces. As a tag it is found
 *   anywhere. Any other word is looked for in every trace of the window;
 * - a span name together with a service in a part of the catalogue that was full (catalog.h), when
 *   its case differs.
 *
 * Spans without a timestamp have no place in that order. If a service has more than
 * TIMELESS_TRACES of them, the search looks at every trace of the window instead.
 *
 * Bounded by query.timeout (E_TIMEOUT), query.memory_max and query.scan_bytes_max (E_TOO_BIG), and
 * by CANDIDATES_MAX traces looked at (E_TOO_BIG). */
#pragma once
#include "api/zipkin/params.h"

#define EXTRA_TRACES    1000
#define SLACK_TRACES    1000
#define REST_TRACES     2000
#define TIMELESS_TRACES 1000
#define CANDIDATES_MAX  1000000

struct zipkin_found {
    uint8_t id[16];
    uint64_t time_us;
};
/* Newest first; memory in query_arena. traces_max: query.traces_max. */
enum mg_err zipkin_find(struct query *query, const struct zipkin_search *search,
                        uint64_t traces_max, struct zipkin_found **out, size_t *n,
                        struct mg_why *why) MG_MUST_USE;

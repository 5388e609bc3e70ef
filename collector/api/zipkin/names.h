/* names.h - names as Zipkin shows them, and the stored ones behind them. Within a query job.
 *
 * Zipkin's names are in lower case, the store keeps the case they came in: several stored names may
 * be one of Zipkin's. And a span without a service name has one in Zipkin all the same (its
 * function, its process, or OTLPResourceNoServiceName), which the store does not know. */
#pragma once
#include "api/zipkin/params.h"
#include "base/map.h"

#define SAMPLE_TRACES   1000              /* looked at for names that no catalogue has */
#define NAMES_MAX       20000             /* of one list; Zipkin's own limit for values */
#define NAMES_BYTES_MAX ((size_t)8 << 20) /* of one list */

/* The services that `wanted` (lower case) may be called in the store; for an unknown one those of
 * spans without a service name, and `wanted` itself: the catalogue may have left it out. Memory in
 * query_arena. */
enum mg_err zipkin_stored_services(struct query *query, struct str wanted, struct str **out,
                                   size_t *n, struct mg_why *why) MG_MUST_USE;
/* The same for a span name of such a service; of any when its ptr is NULL. */
enum mg_err zipkin_stored_names(struct query *query, struct str service, struct str wanted,
                                struct str **out, size_t *n, struct mg_why *why) MG_MUST_USE;

/* Lists, each name once, sorted, in query_arena. `wanted` is in lower case; empty has none. */
struct zipkin_names {
    struct str *at;
    size_t n;
};
enum mg_err zipkin_list_services(struct query *query, uint64_t traces_max, struct zipkin_names *out,
                                 struct mg_why *why) MG_MUST_USE;
enum mg_err zipkin_list_spans(struct query *query, struct str wanted, uint64_t traces_max,
                              struct zipkin_names *out, struct mg_why *why) MG_MUST_USE;
enum mg_err zipkin_list_remote(struct query *query, struct str wanted, uint64_t traces_max,
                               struct zipkin_names *out, struct mg_why *why) MG_MUST_USE;
/* Values of a tag in traces with a span that starts in the window. */
enum mg_err zipkin_list_values(struct query *query, struct str key,
                               const struct zipkin_window *window, uint64_t traces_max,
                               struct zipkin_names *out, struct mg_why *why) MG_MUST_USE;

/* Whether the store finds that tag of Zipkin's by itself. It does not for what zipkin_view makes of
 * other fields. */
bool zipkin_is_stored_tag(struct str key);

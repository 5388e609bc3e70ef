/* params.h - parameters of Zipkin's query API (zipkin-api: zipkin2-api.yaml) to what is asked, mistakes in
 * Zipkin's words. Pure functions of the query string; loop threads.
 *
 * The first of a repeated parameter counts, unknown ones are not looked at. Texts that are not
 * UTF-8 are sanitised, as the stored ones are that they are compared with. A malformed percent
 * escape refuses the query. Numbers may be empty, which is as if they were absent. All failures
 * are E_FORMAT. */
#pragma once
#include "api/zipkin/zipkin.h"
#include "base/arena.h"

#define ZIPKIN_TERMS_MAX  100  /* of an annotationQuery; the last one holds all that follows */
#define ZIPKIN_TRACES_MAX 1000 /* of traceMany */

/* With a value: a tag. Without: an annotation with the text `key`, or a tag with that key. */
struct zipkin_term {
    struct str key, value;
};
struct zipkin_search {
    struct str service, remote, name;          /* lower case; empty: any */
    uint64_t duration_min_us, duration_max_us; /* inclusive; min 0: any, also none */
    uint64_t start_min_us, start_max_us;       /* of the trace, inclusive */
    uint32_t limit;                            /* > 0 */
    struct zipkin_term *terms;                 /* each key once; it may be empty */
    size_t n_terms;
};
struct zipkin_defaults {
    uint64_t now_ms, lookback_ms, limit;
    uint64_t limit_max; /* larger ones are refused; the default is lowered to it */
};
/* Slices live in the arena. */
enum mg_err zipkin_search_parse(struct str query, const struct zipkin_defaults *defaults,
                                struct arena *arena, struct zipkin_search *out,
                                struct mg_why *why) MG_MUST_USE;

struct zipkin_window {
    uint64_t from_ns, to_ns;
};
/* endTs is required here. */
enum mg_err zipkin_window_parse(struct str query, const struct zipkin_defaults *defaults,
                                struct zipkin_window *out, struct mg_why *why) MG_MUST_USE;

/* Of a path that asks for one thing. Present, but perhaps empty. */
enum mg_err zipkin_service_parse(struct str query, struct arena *arena, struct str *service,
                                 struct mg_why *why) MG_MUST_USE; /* serviceName, lower case */
enum mg_err zipkin_key_parse(struct str query, struct arena *arena, struct str *key,
                             struct mg_why *why) MG_MUST_USE; /* key; not empty */

/* 1-32 lower-case hex digits, not all zero, padded on the left. */
enum mg_err zipkin_trace_id_parse(struct str text, uint8_t out[16], struct mg_why *why) MG_MUST_USE;
/* traceIds: at least two, each once, in the order given. */
enum mg_err zipkin_trace_ids_parse(struct str query, struct arena *arena, uint8_t (**out)[16],
                                   size_t *n, struct mg_why *why) MG_MUST_USE;
/* As Zipkin writes it: 16 digits when the upper half is zero. Returns how many. */
size_t zipkin_trace_id_text(const uint8_t id[16], char out[32]);

/* Sanitised, then in Zipkin's lower case; what names are compared by. */
struct str zipkin_name(struct arena *arena, struct str text);

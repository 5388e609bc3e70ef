/* params.h - query parameters to a checked search of the legacy API;
 * messages as Jaeger words them. Pure functions of the query string and the time given; loop
 * threads.
 *
 * The first value of a repeated parameter counts, an empty one is as if it were absent, unknown
 * ones (`lookback`) are not looked at. Values that are not UTF-8 are sanitised, as the stored
 * strings are that they are compared with. A malformed percent escape refuses the query: Go drops
 * such a pair, and a filter that is silently dropped finds too much. */
#pragma once
#include "base/map.h"
#include "base/vec.h"
#include "query/query.h"

struct jaeger_param {
    struct str name, value;
};
struct jaeger_params {
    struct jaeger_param *at;
    size_t n;
};
/* All pairs, decoded, in their order; memory in the arena. E_FORMAT: a malformed escape. */
enum mg_err jaeger_params_read(struct str query, struct arena *arena, struct jaeger_params *out,
                               struct mg_why *why) MG_MUST_USE;
/* The first value; empty when absent. */
struct str jaeger_param(const struct jaeger_params *params, const char *name);
/* A name to search for; an empty one is any. */
struct str jaeger_wanted(struct str name);
/* `prettyPrint`: anything but empty and "false"; of any query, also of one that is refused. */
bool jaeger_is_pretty(struct str query);

struct jaeger_search {
    struct query_search search; /* slices live in `arena` */
    uint8_t (
        *trace_ids)[16]; /* `traceID` given: only these are fetched; each once, all-zero ones too */
    size_t n_trace_ids;
    bool raw;
    struct arena arena;
};
/* `now_ns`: wall clock, for the default window: `end` is now, `start` two days before now, or
 * before `end` when that is earlier. A time given in microseconds takes in its whole microsecond,
 * since that is what we show of a start. E_FORMAT with Jaeger's message, also for more than
 * traces_max traces or ids; E_INTERNAL for limit <= 0, which Jaeger answers with 500. With
 * `traceID` everything is read but only raw counts. */
enum mg_err jaeger_search_parse(struct str query, uint64_t now_ns, uint64_t traces_max,
                                struct jaeger_search *out, struct mg_why *why) MG_MUST_USE;
void jaeger_search_fini(struct jaeger_search *search);

/* --- parts of a search that v3 and gRPC have too ---------------------------------------------- */
#define JAEGER_LIMIT_DEFAULT 100
/* A copy in the arena, sanitised. */
struct str jaeger_text(struct str text, struct arena *arena);
/* Two days before now, or before `end_ns` when that is earlier. */
uint64_t jaeger_start_default(uint64_t now_ns, uint64_t end_ns);
/* Tags by key: of two with one key the last counts. Zeroed memory is an empty set; it borrows. */
struct jaeger_tag_set {
    struct map places; /* key -> place in `list` + 1 */
    VEC(struct filter_tag) list;
};
void jaeger_tag_put(struct jaeger_tag_set *set, struct str key, struct str value);
/* Releases the set, and gives its tags to the filter when there is one. */
void jaeger_tag_set_end(struct jaeger_tag_set *set, struct span_filter *filter,
                        struct arena *arena);
/* A JSON object of strings, each of which a span must have as a tag. E_FORMAT says as Go does what
 * is wrong with the JSON, without the parameter's name. */
enum mg_err jaeger_tags_json(struct str text, struct arena *arena, struct span_filter *filter,
                             struct mg_why *why) MG_MUST_USE;
/* Zero is no bound, as if it were absent. */
void jaeger_durations_set(struct span_filter *filter, int64_t min_ns, int64_t max_ns);
/* `name` of the parameter, for the message. */
enum mg_err jaeger_limit_check(const char *name, int64_t limit, uint64_t traces_max,
                               struct mg_why *why) MG_MUST_USE;

/* What /api/traces/{id} takes: `raw`; `start` and `end` are hints, checked and not needed here. */
enum mg_err jaeger_trace_parse(struct str query, bool *raw, struct mg_why *why) MG_MUST_USE;
/* 1-32 hex digits, or base64 (standard alphabet, padded) of 16 bytes. An all-zero id is read: it is
 * an id that no trace has. */
enum mg_err jaeger_id_parse(struct str text, uint8_t id[16], struct mg_why *why) MG_MUST_USE;
/* As legacy JSON shows an id: 16 digits when the high half is zero, else 32. Returns the length. */
size_t jaeger_id_text(const uint8_t id[16], char text[32]);

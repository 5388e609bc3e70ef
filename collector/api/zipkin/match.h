/* match.h - whether a trace is what a search asks for, as Zipkin's QueryRequest decides it: each
 * condition must be met by some span of the asked service, not all by the same one. Spans are shown
 * one after the other, so a trace is never held as a whole. One thread. */
#pragma once
#include "api/zipkin/params.h"
#include "model/zipkin_write.h"

struct zipkin_matcher {
    const struct zipkin_search *search; /* borrowed while the trace is looked at */
    uint64_t root_us;  /* of the first span without parent that has a time; 0: none */
    uint64_t first_us; /* the earliest; 0: none */
    bool has_service, has_remote, has_name, has_duration;
    bool has_term[ZIPKIN_TERMS_MAX];
};
void zipkin_match_begin(struct zipkin_matcher *matcher, const struct zipkin_search *search);
void zipkin_match_span(struct zipkin_matcher *matcher, const struct zipkin_span *span);
/* When it does, *time_us is the trace's own time: its root's, else the earliest of its spans. */
bool zipkin_match_end(const struct zipkin_matcher *matcher, uint64_t *time_us);

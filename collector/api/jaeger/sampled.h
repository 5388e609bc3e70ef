/* sampled.h - what a shown trace says about the decision that kept it (collector/README.md R6): tags of its
 * processes and resources, the same in every form of answer, and the threshold in its spans' trace
 * states. Stored spans have neither.
 *
 * Nothing is added to a trace that no rules decided: sampling is off, or an older version kept it.
 * Any thread; no state. Private to api/jaeger. */
#pragma once
#include "api/jaeger/adjust.h"

#define SAMPLED_TAGS 4
/* meshglass.sampling.reason, .policy when a policy or class has the say, .probability, .rules (the
 * generation); returns how many. They borrow from the trace. */
size_t sampled_tags(const struct query_trace *trace, struct attr tags[SAMPLED_TAGS]);

/* Spans that have something to tell become copies in the arena, with a resource that holds the tags
 * in front of its own attributes, and the trace state that goes with the outcome. Spans of equal
 * resource bytes still have equal ones, so that processes and groups stay as they are. */
void sampled_show(const struct query_trace *trace, struct adjusted_span *spans, size_t n,
                  struct arena *arena);

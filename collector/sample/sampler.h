/* sampler.h - decides traces: rules in force, and the state that some of them have. Live's thread owns it.
 *
 * What a policy asks of spans is answered once for each row, when it joins its trace and is hot in the cache (sampler_add); a decision is
 * then a few words of logic and reads no row, save for `dynamic` keys. Facts are joined by or, min and max, so that neither the order of
 * arrival nor the borders of batches change a decision. When the rules have changed since the facts were gathered, the rows are walked again.
 *
 * Order of a decision:
 *   1. `drop` policies                       -> dropped, whatever else says
 *   2. the class of the trace's entry span   -> an error: kept; else by its rate alone
 *   3. policies, by the Collector's precedence: an inverted condition that matched drops; a policy that surely samples keeps
 *   4. the floor, within its budget          -> kept, for itself
 *   5. probabilistic policies that matched   -> kept when R >= the smallest T
 *   6. no policy configured: kept. Else dropped
 *   7. in overload (ladder.h) what would be kept below certainty or by 6 must also reach the ladder's T
 * The floor stands before 5 because a trace that is kept for itself must weigh 1 also when it would have been drawn. It is not asked, and its
 * budget not used, for what is kept anyway: by 3 for sure, by 6 as long as there is no overload.
 *
 * Thread: one. Nothing here fails or blocks. */
#pragma once
#include "row/fragment.h"
#include "row/segment.h"
#include "sample/ladder.h"
#include "sample/rules.h"

struct trace_facts {                /* all zero: no row yet */
    uint64_t bits[2];               /* conditions that some row satisfies */
    uint64_t start_min_ns, end_max_ns;
    const struct row *entry;        /* a root before all others, then the earliest start, then the least span id */
    uint32_t generation;            /* of the rules that the bits are of */
    uint32_t rows : 31;             /* that were joined; fewer than the trace has: all are walked again */
    bool has_error : 1;
};

struct sampler;
struct sampler_options {
    struct sample_rules *rules;     /* taken a reference of */
    uint32_t generation;            /* their number */
};
struct sampler *sampler_new(const struct sampler_options *options);
void sampler_free(struct sampler **sampler);
/* New rules from the next decision on. State of policies with the same name and text goes on. */
void sampler_reload(struct sampler *sampler, struct sample_rules *rules, uint32_t generation);

/* A row joins: it is in its segment, its trace_id, times and all are final.
 * True: a policy has matched for good under sample_on_first_match, so the trace may be decided now. */
bool sampler_add(struct sampler *sampler, struct trace_facts *facts, const struct row *row);

struct sample_trace {
    const struct row *last;         /* its rows: last, then prev, n in all */
    uint32_t n;
    uint64_t bytes;                 /* of the rows; bytes_limiting counts them */
    struct trace_facts *facts;
    enum trigger trigger;
    uint64_t log_ns;                /* log time: token buckets and rates go by it */
    uint64_t overload_threshold;    /* ladder_threshold(); 0: none */
};
/* *votes gets what each policy said (outcome.h), at most 50 bytes, in the sampler's memory until the next call. */
void sampler_decide(struct sampler *sampler, const struct sample_trace *trace, struct outcome *out, struct str *votes);

/* Names that were seen before this start: their traces are not the first of a new operation. */
void sampler_know(struct sampler *sampler, struct str service, struct str operation);
/* The part of the state that a restart must keep: what the floor has used today. At most 1 KiB. load: bad bytes are ignored. */
void sampler_save(const struct sampler *sampler, struct buf *out);
void sampler_load(struct sampler *sampler, struct str bytes);
struct sampler_stats { uint64_t floor_refused[3]; /* error, slow, new: over the budget */ uint64_t floor_bytes_today, operations, dynamic_keys; };
void sampler_stat(const struct sampler *sampler, struct sampler_stats *out); /* live's thread */

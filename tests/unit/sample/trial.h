/* trial.h - a trace written as one line of text, and what a set of rules says of it.
 *
 * Spans are parted by " | ", words by spaces; a text has no spaces. Without words a span is a root of 10 ms.
 *
 *   child                    has a parent           @START-END     milliseconds after TRIAL_BEGIN
 *   error ok status=N        status                 flags=N        trace flags
 *   kind=N name=TEXT         kind, name             ts=TEXT        trace state
 *   span=N                   span id, as a number; else its place in the line
 *   KEY:TYPE=VALUE           attribute; TYPE: s text, i integer, d double, b boolean, y bytes, l a list that holds the text
 *   ~KEY:TYPE=VALUE          attribute of the span's resource
 *   r=HEX                    anywhere: the low 56 bits of the trace id; 80000000000000 when absent */
#pragma once
#include "conf/yaml.h"
#include "sample/sampler.h"
#include "unit/sample/rows.h"

#define TRIAL_BEGIN UINT64_C(1700000000000000000)
#define TRIAL_SPANS_MAX 32

/* Fails the test when they do not compile. policies, classes: YAML lists; NULL: none, and an empty list of classes; "null": the built-in
 * classes. */
struct trial_rules { const char *policies, *classes; bool is_first_match; double floor_per_second; };
struct sample_rules *trial_rules_new(const struct trial_rules *from);
enum mg_err trial_rules_try(struct sample_rules **out, const struct trial_rules *from, struct mg_why *why);

/* The spans of a line, in the arena. */
struct trial_spans { struct span at[TRIAL_SPANS_MAX]; size_t n; };
void trial_spans(const char *line, struct arena *arena, struct trial_spans *out);

/* A trace that has been added to a sampler. */
struct trial {
    const struct row *last;
    uint32_t n;
    uint64_t bytes;
    struct trace_facts facts;
    bool is_settled;        /* sampler_add said so for one of them */
};
void trial_add(struct trial *trial, struct sampler *sampler, struct rows *rows, const struct span *span);
struct sample_trace trial_ask(struct trial *trial, uint64_t log_ns);

/* "kept policy a 0.5~": verdict, reason, name ("-": none), probability, ~ for an estimate. Static memory. */
const char *trial_says(const struct sample_rules *rules, const struct outcome *outcome);
/* "yn-d": what each policy said. Static memory. */
const char *trial_votes(const struct sample_rules *rules, struct str votes);
/* All of it at once: "kept policy a 1 y". The trial's rows are gone after it. Static memory. */
const char *trial_run_in(struct sampler *sampler, const struct sample_rules *rules, const char *line, uint64_t log_ns, struct trial *trial);
const char *trial_run(const struct trial_rules *rules, const char *line, struct trial *trial); /* with a sampler of its own */

/* A sampler with its rules, and rows for it. */
struct bench {
    struct sample_rules *rules;
    struct sampler *sampler;
    struct rows rows;
    struct arena arena;
};
void bench_init(struct bench *bench, const struct trial_rules *from); /* generation 1 */
void bench_fini(struct bench *bench);
void bench_reload(struct bench *bench, const struct trial_rules *from, uint32_t generation);
void bench_add(struct bench *bench, struct trial *trial, const char *line);
/* trial_says of the decision; of `how` log_ns (0: TRIAL_BEGIN) and overload_threshold count. */
const char *bench_decide(struct bench *bench, struct trial *trial, const struct sample_trace *how);

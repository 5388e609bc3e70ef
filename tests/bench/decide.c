/* decide.c - what tail sampling costs: the corpus as ring rows, ten policies, each row joining its trace and each trace decided once. CPU
 * nanoseconds a row and a decision, median of the rounds; one thread, as in live. The policies are those of the bench, as YAML. */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "corpus.h"
#include "model/otlp_scan.h"
#include "row/intern.h"
#include "sample/sampler.h"

enum { ROUNDS = 7 };
struct traced { const struct row *last; uint32_t n; uint64_t bytes; struct trace_facts facts; };

static struct interner *interner;
static VEC(struct segment *) segments;
static VEC(struct row *) rows;
static VEC(size_t) owners; /* of each row: number of its trace */
static VEC(struct traced) traces;
static struct map by_id;

static void to_resource(void *owner, struct str part) { (void)owner; interner_resource(interner, part); }
static void to_scope(void *owner, struct str part) { (void)owner; interner_scope(interner, part); }
static void to_row(void *owner, const struct span *span, uint32_t ordinal) { (void)owner; (void)ordinal; interner_span(interner, span); }
static void no_refusal(void *owner, enum span_refusal why, uint32_t ordinal) { (void)owner; (void)why; (void)ordinal; abort(); }

static struct row *add_to_ring(const struct row *row, struct epoch *epoch)
{
    struct segment *last = segments.n ? segments.at[segments.n - 1] : NULL;
    struct row *copy = last && last->epoch == epoch ? segment_add(last, row) : NULL;

    if (copy)
        return copy;
    VEC_PUSH(&segments, segment_new(epoch, row->bytes));
    return segment_add(segments.at[segments.n - 1], row);
}

static void join_trace(struct row *row)
{
    bool is_new;
    void **number = map_put(&by_id, str_n((const char *)row->trace_id, 16), &is_new);
    struct traced *trace;

    if (is_new) {
        (void)VEC_ADD(&traces);
        *number = (void *)(uintptr_t)traces.n; /* number + 1 */
    }
    trace = &traces.at[(uintptr_t)*number - 1];
    row->prev = trace->last;
    trace->last = row;
    trace->n++;
    trace->bytes += row->bytes;
    VEC_PUSH(&rows, row);
    VEC_PUSH(&owners, (uintptr_t)*number - 1);
}

static void load_rows(struct corpus *corpus)
{
    static const struct span_visitor visitor = { to_resource, to_scope, to_row, no_refusal };
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);

    interner = interner_new();
    for (size_t i = 0; i < corpus->n; i++) {
        struct row_batch *batch;
        const struct row *row;
        interner_begin(interner, clock_mono_ns());
        if (otlp_scan(scanner, buf_str(&corpus->requests[i].body), &visitor, NULL, NULL) != MG_OK)
            abort();
        batch = interner_end(interner);
        row = (const struct row *)batch->rows;
        for (uint32_t k = 0; k < batch->n; k++, row = row_after(row))
            join_trace(add_to_ring(row, batch->epoch));
        interner_recycle(interner, &batch);
    }
}

static struct sample_rules *rules_of(const char *text)
{
    struct sample_conf conf = { .enabled = true, .floor_traces_per_second = 5, .floor_bytes_per_day = UINT64_C(1) << 30 };
    struct sample_rules *rules;
    struct yaml_docs *docs;
    struct mg_why why;

    if (yaml_parse(&docs, str_of(text), "policies", &why) != MG_OK)
        goto failed;
    conf.policies = yaml_doc(docs, 0);
    if (sample_rules_new(&rules, &conf, &why) != MG_OK)
        goto failed;
    yaml_docs_free(&docs);
    return rules;
failed:
    fprintf(stderr, "bench_decide: %s\n", why.text);
    exit(2);
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double median(double *rounds)
{
    qsort(rounds, ROUNDS, sizeof rounds[0], by_value);
    return rounds[ROUNDS / 2];
}

static uint64_t decide_all(struct sampler *sampler, uint64_t *kept)
{
    uint64_t begin_ns = clock_thread_cpu_ns(), log_ns = clock_wall_ns();

    for (size_t i = 0; i < traces.n; i++) {
        struct traced *trace = &traces.at[i];
        const struct sample_trace asked = { .last = trace->last, .n = trace->n, .bytes = trace->bytes, .facts = &trace->facts,
                                            .trigger = TRIGGER_ROOT, .log_ns = log_ns + i * 1000 };
        struct outcome outcome;
        struct str votes;
        sampler_decide(sampler, &asked, &outcome, &votes);
        *kept += outcome.verdict == VERDICT_KEPT;
    }
    return clock_thread_cpu_ns() - begin_ns;
}

int main(int argc, char **argv)
{
    double add[ROUNDS], decide[ROUNDS];
    struct sampler_options options = { .generation = 1 };
    struct corpus corpus;
    uint64_t kept = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: bench_decide CORPUS POLICIES\n");
        return 2;
    }
    corpus_load(&corpus, argv[1], 512);
    options.rules = rules_of(argv[2]);
    load_rows(&corpus);
    for (int round = 0; round < ROUNDS; round++) {
        struct sampler *sampler = sampler_new(&options);
        uint64_t begin_ns = clock_thread_cpu_ns();
        for (size_t i = 0; i < traces.n; i++)
            traces.at[i].facts = (struct trace_facts){ 0 };
        for (size_t i = 0; i < rows.n; i++)
            (void)sampler_add(sampler, &traces.at[owners.at[i]].facts, rows.at[i]);
        add[round] = (double)(clock_thread_cpu_ns() - begin_ns) / (double)rows.n;
        kept = 0;
        decide[round] = (double)decide_all(sampler, &kept) / (double)traces.n;
        sampler_free(&sampler);
    }
    printf("one thread: %.0f ns a row that joins, %.0f ns a decision (%.2f M/s), classes and floor on; %.1f %% of %zu traces kept\n", median(add),
           median(decide), 1e3 / median(decide), 100.0 * (double)kept / (double)traces.n, traces.n);
    return 0;
}

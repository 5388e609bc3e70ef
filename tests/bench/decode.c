/* decode.c - the yardstick: protobuf-c decodes the corpus; beside it our scanner alone, and scanner plus interner, which is all the
 * decoding the collector does. CPU nanoseconds a span, median of the rounds. */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/mem.h"
#include "corpus.h"
#include "model/otlp_scan.h"
#include "row/intern.h"
#include "trace.pb-c.h"

enum { ROUNDS = 7 };
static struct interner *interner;

static void with_protobuf_c(struct str body)
{
    Bench__ExportTraceServiceRequest *request =
        bench__export_trace_service_request__unpack(NULL, body.len, (const uint8_t *)body.ptr);

    if (!request)
        abort();
    bench__export_trace_service_request__free_unpacked(request, NULL);
}

static void no_part(void *owner, struct str part) { (void)owner; (void)part; }
static void no_span(void *owner, const struct span *span, uint32_t ordinal) { *(uint64_t *)owner += span->n_attrs; (void)ordinal; }
static void no_refusal(void *owner, enum span_refusal why, uint32_t ordinal) { (void)owner; (void)why; (void)ordinal; abort(); }
static void to_resource(void *owner, struct str part) { (void)owner; interner_resource(interner, part); }
static void to_scope(void *owner, struct str part) { (void)owner; interner_scope(interner, part); }
static void to_row(void *owner, const struct span *span, uint32_t ordinal) { (void)owner; (void)ordinal; interner_span(interner, span); }

static struct otlp_scanner *scanner;

static void with_scanner(struct str body)
{
    static const struct span_visitor visitor = { no_part, no_part, no_span, no_refusal };
    uint64_t attrs = 0;

    if (otlp_scan(scanner, body, &visitor, &attrs, NULL) != MG_OK)
        abort();
}

static void with_rows(struct str body)
{
    static const struct span_visitor visitor = { to_resource, to_scope, to_row, no_refusal };
    struct row_batch *rows;

    interner_begin(interner, clock_mono_ns());
    if (otlp_scan(scanner, body, &visitor, NULL, NULL) != MG_OK)
        abort();
    rows = interner_end(interner);
    interner_recycle(interner, &rows);
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double measure(struct corpus *corpus, void (*decode)(struct str body))
{
    double rounds[ROUNDS];

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = clock_thread_cpu_ns();
        for (size_t i = 0; i < corpus->n; i++)
            decode(buf_str(&corpus->requests[i].body));
        rounds[round] = (double)(clock_thread_cpu_ns() - begin) / (double)corpus->spans;
    }
    qsort(rounds, ROUNDS, sizeof rounds[0], by_value);
    return rounds[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    struct corpus corpus;
    double yardstick, scan, rows;

    if (argc != 2) {
        fprintf(stderr, "usage: bench_decode CORPUS\n");
        return 2;
    }
    corpus_load(&corpus, argv[1], 512);
    scanner = otlp_scanner_new(NULL);
    interner = interner_new();
    yardstick = measure(&corpus, with_protobuf_c);
    scan = measure(&corpus, with_scanner);
    rows = measure(&corpus, with_rows);
    printf("decode        protobuf-c %7.0f ns/span | scan %5.0f (%.1f x less) | scan + intern %5.0f (%.1f x less)\n", yardstick,
           scan, yardstick / scan, rows, yardstick / rows);
    return 0;
}

/* decode.c - the yardstick: protobuf-c decodes the corpus; beside it our scanner alone, and scanner plus interner, which is all the
 * decoding the collector does. CPU nanoseconds a span, median of the rounds.
 *
 *   bench_decode CORPUS [FILE]    FILE: the same spans as Zipkin's JSON, of bench_encode; then that too */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "corpus.h"
#include "model/otlp_scan.h"
#include "model/zipkin_scan.h"
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

struct bodies { VEC(struct str) list; uint64_t spans; };
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

static struct zipkin_scanner *zipkin;

static void zipkin_with_scanner(struct str body)
{
    static const struct span_visitor visitor = { no_part, no_part, no_span, no_refusal };
    uint64_t attrs = 0;

    if (zipkin_scan_json(zipkin, body, &visitor, &attrs, NULL) != MG_OK)
        abort();
}

static void zipkin_with_rows(struct str body)
{
    static const struct span_visitor visitor = { to_resource, to_scope, to_row, no_refusal };
    struct row_batch *rows;

    interner_begin(interner, clock_mono_ns());
    if (zipkin_scan_json(zipkin, body, &visitor, NULL, NULL) != MG_OK)
        abort();
    rows = interner_end(interner);
    interner_recycle(interner, &rows);
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double measure(const struct bodies *bodies, void (*decode)(struct str body))
{
    double rounds[ROUNDS];

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = clock_thread_cpu_ns();
        for (size_t i = 0; i < bodies->list.n; i++)
            decode(bodies->list.at[i]);
        rounds[round] = (double)(clock_thread_cpu_ns() - begin) / (double)bodies->spans;
    }
    qsort(rounds, ROUNDS, sizeof rounds[0], by_value);
    return rounds[ROUNDS / 2];
}

static void bodies_of_corpus(struct bodies *bodies, const char *path)
{
    static struct corpus corpus; /* the bodies stay in it */

    corpus_load(&corpus, path, 512);
    for (size_t i = 0; i < corpus.n; i++)
        VEC_PUSH(&bodies->list, buf_str(&corpus.requests[i].body));
    bodies->spans = corpus.spans;
}

/* For each request be32 spans, be32 length, body. */
static void bodies_of_file(struct bodies *bodies, const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t head[8];

    if (!file) {
        perror(path);
        exit(1);
    }
    while (fread(head, sizeof head, 1, file) == 1) {
        size_t len = get_be32(head + 4);
        char *body = mem_alloc(len);
        if (fread(body, 1, len, file) != len)
            abort();
        VEC_PUSH(&bodies->list, str_n(body, len));
        bodies->spans += get_be32(head);
    }
    fclose(file);
}

static void measure_zipkin(const char *path)
{
    struct bodies bodies = { 0 };
    double scan, rows;

    bodies_of_file(&bodies, path);
    zipkin = zipkin_scanner_new();
    scan = measure(&bodies, zipkin_with_scanner);
    rows = measure(&bodies, zipkin_with_rows);
    printf("zipkin json   scan %5.0f ns/span | scan + intern %5.0f\n", scan, rows);
}

int main(int argc, char **argv)
{
    struct bodies bodies = { 0 };
    double yardstick, scan, rows;

    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: bench_decode CORPUS [FILE]\n");
        return 2;
    }
    bodies_of_corpus(&bodies, argv[1]);
    scanner = otlp_scanner_new(NULL);
    interner = interner_new();
    yardstick = measure(&bodies, with_protobuf_c);
    scan = measure(&bodies, with_scanner);
    rows = measure(&bodies, with_rows);
    printf("decode        protobuf-c %7.0f ns/span | scan %5.0f (%.1f x less) | scan + intern %5.0f (%.1f x less)\n", yardstick,
           scan, yardstick / scan, rows, yardstick / rows);
    if (argc == 3)
        measure_zipkin(argv[2]);
    return 0;
}

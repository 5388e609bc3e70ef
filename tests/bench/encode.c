/* encode.c - the corpus as requests of another protocol, made before a measurement begins.
 *
 *   bench_encode CORPUS otlp|zipkin-json|jaeger-proto|jaeger-thrift FILE [--spans N] [--batch 512] [--seed N]
 *
 * Each request holds spans of one resource, as clients of Jaeger must send them; OTLP and Zipkin are cut the same way, so that what differs
 * between two files is the protocol alone. Ids and times are new in each repetition, times end now. FILE: for each request be32 spans,
 * be32 length, body. jaeger-proto is a PostSpansRequest, jaeger-thrift a bare Batch in binary Thrift. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/vec.h"
#include "corpus.h"
#include "model/jaeger_write.h"
#include "model/otlp_scan.h"
#include "model/otlp_write.h"
#include "model/zipkin_write.h"
#include "thrift_write.h"

enum { WINDOW = 8, BATCH_MAX = 4096 }; /* corpus requests whose spans are put together by resource */

struct group { struct str resource; VEC(const struct span *) spans; };
struct encoder {
    void (*encode)(struct buf *out, const struct span *const *spans, size_t n);
    FILE *out;
    struct arena arena;         /* of the window */
    VEC(struct group) groups;
    struct buf body;
    uint64_t batch, written;
};

static void put_otlp(struct buf *out, const struct span *const *spans, size_t n)
{
    otlp_write_request(out, spans, n);
}

static void put_zipkin(struct buf *out, const struct span *const *spans, size_t n)
{
    struct arena arena = { 0 };
    struct json_writer json;

    json_writer_init(&json, out, 0);
    json_array(&json);
    for (size_t i = 0; i < n; i++) {
        struct zipkin_span view;
        zipkin_view(spans[i], &arena, &view);
        zipkin_write_span(&json, &view);
    }
    json_array_end(&json);
    arena_fini(&arena);
}

/* A client says the process once, for the batch. */
static struct str take_process(struct buf *out, struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct str process = STR("");
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1)
        if (field.number == 10)
            process = field.bytes;
        else
            buf_put_str(out, field.whole);
    return process;
}

static void put_jaeger(struct buf *out, const struct span *const *spans, size_t n)
{
    struct buf batch, span, rest;

    buf_init(&batch, SIZE_MAX);
    buf_init(&span, SIZE_MAX);
    buf_init(&rest, SIZE_MAX);
    for (size_t i = 0; i < n; i++) {
        buf_clear(&span);
        buf_clear(&rest);
        jaeger_write_span(&span, spans[i]);
        struct str process = take_process(&rest, buf_str(&span));
        wire_put_bytes(&batch, 1, buf_str(&rest));
        if (i + 1 == n)
            wire_put_bytes(&batch, 2, process);
    }
    wire_put_bytes(out, 1, buf_str(&batch));
    buf_fini(&batch);
    buf_fini(&span);
    buf_fini(&rest);
}

static void put_thrift(struct buf *out, const struct span *const *spans, size_t n)
{
    struct buf all, span;

    buf_init(&all, SIZE_MAX);
    buf_init(&span, SIZE_MAX);
    for (size_t i = 0; i < n; i++) {
        buf_clear(&span);
        jaeger_write_span(&span, spans[i]);
        wire_put_bytes(&all, 1, buf_str(&span));
    }
    thrift_write_batch(out, buf_str(&all), (uint32_t)n);
    buf_fini(&all);
    buf_fini(&span);
}

static const struct { const char *name; void (*encode)(struct buf *out, const struct span *const *spans, size_t n); } kinds[] = {
    { "otlp", put_otlp }, { "zipkin-json", put_zipkin }, { "jaeger-proto", put_jaeger }, { "jaeger-thrift", put_thrift }
};

/* --- collecting ------------------------------------------------------------------------------------- */

static void on_group(void *owner, struct str group)
{
    (void)owner;
    (void)group;
}

static struct group *group_of(struct encoder *encoder, struct str resource)
{
    for (size_t i = 0; i < encoder->groups.n; i++)
        if (str_eq(encoder->groups.at[i].resource, resource))
            return &encoder->groups.at[i];
    struct group *group = VEC_ADD(&encoder->groups);
    *group = (struct group){ .resource = arena_str(&encoder->arena, resource) };
    return group;
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct encoder *encoder = owner;
    struct group *group = group_of(encoder, span->resource);
    struct span *copy = arena_alloc(&encoder->arena, sizeof *copy);
    struct attr *attrs = arena_alloc(&encoder->arena, span->n_attrs * sizeof *attrs);

    (void)ordinal;
    *copy = *span;
    if (span->n_attrs)
        memcpy(attrs, span->attrs, span->n_attrs * sizeof *attrs);
    copy->attrs = attrs;
    copy->resource = group->resource;
    copy->scope = arena_str(&encoder->arena, span->scope); /* these may stand in the scanner's memory; the rest is the body's */
    copy->events = arena_str(&encoder->arena, span->events);
    copy->links = arena_str(&encoder->arena, span->links);
    copy->unknown = arena_str(&encoder->arena, span->unknown);
    VEC_PUSH(&group->spans, copy);
}

static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    fprintf(stderr, "bench_encode: span %u: %s\n", ordinal, span_refusal_text(why));
    exit(1);
}

static const struct span_visitor visitor = { on_group, on_group, on_span, on_refused };

static void write_request(struct encoder *encoder, const struct span *const *spans, size_t n)
{
    char head[8];

    buf_clear(&encoder->body);
    encoder->encode(&encoder->body, spans, n);
    put_be32(head, (uint32_t)n);
    put_be32(head + 4, (uint32_t)encoder->body.len);
    if (buf_err(&encoder->body) || fwrite(head, 1, sizeof head, encoder->out) != sizeof head ||
        fwrite(encoder->body.ptr, 1, encoder->body.len, encoder->out) != encoder->body.len) {
        perror("bench_encode");
        exit(1);
    }
    encoder->written += n;
}

static void write_window(struct encoder *encoder)
{
    for (size_t i = 0; i < encoder->groups.n; i++) {
        struct group *group = &encoder->groups.at[i];
        for (size_t k = 0; k < group->spans.n; k += encoder->batch)
            write_request(encoder, &group->spans.at[k], MG_MIN((size_t)encoder->batch, group->spans.n - k));
        VEC_FINI(&group->spans);
    }
    encoder->groups.n = 0;
    arena_reset(&encoder->arena);
}

static void encode_all(struct encoder *encoder, struct corpus *corpus, uint64_t spans, uint64_t seed)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    int64_t shift_ns = (int64_t)(clock_wall_ns() - corpus->newest_ns);
    struct mg_why why = { "" };

    for (; encoder->written < spans; seed++, shift_ns = 0)
        for (size_t i = 0; i < corpus->n && encoder->written < spans; i++) {
            corpus_freshen(&corpus->requests[i], seed, shift_ns);
            if (otlp_scan(scanner, buf_str(&corpus->requests[i].body), &visitor, encoder, &why) != MG_OK) {
                fprintf(stderr, "bench_encode: %s\n", why.text);
                exit(1);
            }
            if (i % WINDOW == WINDOW - 1 || i + 1 == corpus->n)
                write_window(encoder);
        }
    otlp_scanner_free(&scanner);
}

int main(int argc, char **argv)
{
    struct encoder encoder = { .batch = 512 };
    uint64_t spans = 256604, seed = 1;
    struct corpus corpus;

    for (size_t i = 0; argc >= 4 && i < MG_COUNT(kinds); i++)
        if (strcmp(argv[2], kinds[i].name) == 0)
            encoder.encode = kinds[i].encode;
    if (!encoder.encode) {
        fprintf(stderr, "usage: bench_encode CORPUS otlp|zipkin-json|jaeger-proto|jaeger-thrift FILE [--spans N] [--batch N] [--seed N]\n");
        return 2;
    }
    for (int i = 4; i + 1 < argc; i += 2)
        *(strcmp(argv[i], "--spans") == 0 ? &spans : strcmp(argv[i], "--batch") == 0 ? &encoder.batch : &seed) = strtoull(argv[i + 1], NULL, 10);
    if (encoder.batch == 0 || encoder.batch > BATCH_MAX || !(encoder.out = fopen(argv[3], "wb"))) {
        perror(argv[3]);
        return 1;
    }
    buf_init(&encoder.body, UINT32_MAX);
    corpus_load(&corpus, argv[1], 512);
    encode_all(&encoder, &corpus, spans, seed);
    if (fclose(encoder.out) != 0) {
        perror(argv[3]);
        return 1;
    }
    buf_fini(&encoder.body);
    arena_fini(&encoder.arena);
    VEC_FINI(&encoder.groups);
    return 0;
}

/* corpus.c - see corpus.h. */
#include "corpus.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "base/vec.h"
#include "codec/zip.h"
#include "model/wire.h"

static void fail(const char *path, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", path, why);
    exit(1);
}

static void read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    char chunk[1 << 16];
    size_t got;

    if (!file)
        fail(path, "cannot be opened");
    buf_init(out, 1u << 30);
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_put(out, chunk, got);
    fclose(file);
}

/* --- where ids and times stand ---------------------------------------------------------------------- */

static void note_id(struct corpus_request *request, struct str bytes)
{
    for (size_t i = 0; i + 8 <= bytes.len; i += 8)
        VEC_PUSH(&request->ids, (uint32_t)(bytes.ptr - request->body.ptr + (ptrdiff_t)i));
}

static void note_trace(struct corpus_request *request, struct str bytes)
{
    if (bytes.len == 16)
        VEC_PUSH(&request->traces, (uint32_t)(bytes.ptr - request->body.ptr));
}

static void note_time(struct corpus *corpus, struct corpus_request *request, const struct wire_field *field)
{
    VEC_PUSH(&request->times, (uint32_t)(field->whole.ptr + field->whole.len - 8 - request->body.ptr));
    corpus->newest_ns = MG_MAX(corpus->newest_ns, field->value);
}

static void walk_event(struct corpus *corpus, struct corpus_request *request, struct str bytes)
{
    const uint8_t *at = wire_begin(bytes), *end = wire_end(bytes);
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1)
        if (field.number == 1 && field.type == WIRE_FIXED64)
            note_time(corpus, request, &field);
}

static void walk_link(struct corpus_request *request, struct str bytes)
{
    const uint8_t *at = wire_begin(bytes), *end = wire_end(bytes);
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1)
        if ((field.number == 1 || field.number == 2) && field.type == WIRE_BYTES)
            note_id(request, field.bytes);
}

static void walk_span(struct corpus *corpus, struct corpus_request *request, struct str bytes)
{
    const uint8_t *at = wire_begin(bytes), *end = wire_end(bytes);
    struct wire_field field;

    request->spans++;
    while (wire_next(&at, end, &field) == 1) {
        if (field.type == WIRE_BYTES && field.number == 1)
            note_trace(request, field.bytes);
        if (field.type == WIRE_BYTES && (field.number == 1 || field.number == 2 || field.number == 4))
            note_id(request, field.bytes);
        else if (field.type == WIRE_FIXED64 && (field.number == 7 || field.number == 8))
            note_time(corpus, request, &field);
        else if (field.type == WIRE_BYTES && field.number == 11)
            walk_event(corpus, request, field.bytes);
        else if (field.type == WIRE_BYTES && field.number == 13)
            walk_link(request, field.bytes);
    }
}

/* Request -> ResourceSpans (1) -> ScopeSpans (2) -> Span (2). */
static void walk(struct corpus *corpus, struct corpus_request *request, struct str bytes, unsigned level)
{
    static const uint32_t child[] = { 1, 2, 2 };
    const uint8_t *at = wire_begin(bytes), *end = wire_end(bytes);
    struct wire_field field;

    if (level == MG_COUNT(child)) {
        walk_span(corpus, request, bytes);
        return;
    }
    while (wire_next(&at, end, &field) == 1)
        if (field.number == child[level] && field.type == WIRE_BYTES)
            walk(corpus, request, field.bytes, level + 1);
}

struct requests { VEC(struct corpus_request) list; uint32_t spans_a_request; };

static uint32_t spans_in(struct str bytes, unsigned level)
{
    const uint8_t *at = wire_begin(bytes), *end = wire_end(bytes);
    struct wire_field field;
    uint32_t n = 0;

    while (wire_next(&at, end, &field) == 1)
        if (field.number == 2 && field.type == WIRE_BYTES)
            n += level == 2 ? 1 : spans_in(field.bytes, level + 1);
    return n;
}

/* Adds the ResourceSpans of one record to the request that is being filled. */
static void add_record(struct requests *requests, struct str record)
{
    const uint8_t *at = wire_begin(record), *end = wire_end(record);
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1) {
        struct corpus_request *last = requests->list.n ? &requests->list.at[requests->list.n - 1] : NULL;
        if (!last || last->spans >= requests->spans_a_request) {
            last = VEC_ADD(&requests->list);
            buf_init(&last->body, 1u << 30);
        }
        buf_put_str(&last->body, field.whole);
        last->spans += spans_in(field.bytes, 1);
    }
}

void corpus_load(struct corpus *corpus, const char *path, uint32_t spans_a_request)
{
    struct buf packed, plain;
    struct zip *zip = zip_new();
    struct mg_why why = { "" };
    struct requests requests = { .spans_a_request = spans_a_request };

    *corpus = (struct corpus){ 0 };
    read_file(path, &packed);
    buf_init(&plain, 1u << 30);
    if (zip_inflate(zip, ZIP_ZSTD, buf_str(&packed), 1u << 30, &plain, &why) != MG_OK)
        fail(path, why.text);
    for (size_t at = 0; at + 4 <= plain.len;) {
        uint32_t len = get_be32(plain.ptr + at);
        if (len > plain.len - at - 4)
            fail(path, "a record is cut");
        add_record(&requests, str_n(plain.ptr + at + 4, len));
        at += 4 + len;
    }
    corpus->requests = requests.list.at;
    corpus->n = requests.list.n;
    if (corpus->n == 0)
        fail(path, "no records");
    for (size_t i = 0; i < corpus->n; i++) {
        corpus->requests[i].spans = 0;
        walk(corpus, &corpus->requests[i], buf_str(&corpus->requests[i].body), 0);
        corpus->spans += corpus->requests[i].spans;
        corpus->bytes += corpus->requests[i].body.len;
    }
    buf_fini(&packed);
    buf_fini(&plain);
    zip_free(&zip);
}

void corpus_freshen(struct corpus_request *request, uint64_t seed, int64_t shift_ns)
{
    uint64_t mix = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);

    mix ^= mix >> 29;
    for (size_t i = 0; i < request->ids.n; i++) {
        char *at = request->body.ptr + request->ids.at[i];
        put_le64(at, get_le64(at) ^ mix);
    }
    for (size_t i = 0; i < request->times.n; i++) {
        char *at = request->body.ptr + request->times.at[i];
        put_le64(at, get_le64(at) + (uint64_t)shift_ns);
    }
}

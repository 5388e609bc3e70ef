/* load.c - the load generator: corpus requests with fresh ids over HTTP/1.1 or gRPC, plain or gzip, flat out or at a rate.
 *
 *   bench_load CORPUS http://host:port [--grpc] [--gzip] [--batch 512] [--spans N] [--rate SPANS_PER_S] [--inflight 8] [--seed N]
 *              [--spread SECONDS] [--ids FILE]
 *   bench_load BODIES http://host:port --bodies --path PATH [--type MEDIA_TYPE] [--grpc] [--gzip] [--rate SPANS_PER_S] [--inflight 8]
 *              [--seconds N]
 *
 * BODIES is what bench_encode writes: each request is sent once. --seconds ends after that time, whatever is left.
 *
 * All times end now; with --spread the repetitions lie side by side over that many seconds before now, the newest last. --ids writes
 * the trace id of about every 1000th span, one in hex a line, once its request is acked.
 *
 * Prints one JSON line: spans acked, seconds, acks' latency percentiles in ms (at a rate: from the planned time, so that a slow
 * server is not flattered), and what was refused. Compressed bodies are made before the measurement begins: compressing is dearer than
 * all the server does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include <libdeflate.h>
#include "corpus.h"
#include "http/client.h"

#define SECOND_NS UINT64_C(1000000000)

enum { IDS_EVERY = 1000 };

struct sample { bool is_taken; uint8_t trace_id[16]; };
struct prepared { struct buf body; uint32_t spans; struct sample sample; };
struct slot { struct load *load; uint64_t begin_ns; uint32_t spans; bool is_busy; struct sample sample; };
struct load {
    struct corpus corpus;
    struct loop *loop;
    struct timer *timer;
    struct http_client *client;
    struct libdeflate_compressor *packer;
    VEC(struct prepared) prepared;      /* gzip and --bodies: all bodies, in order */
    bool is_grpc, is_gzip, is_bodies;
    const char *path, *type;
    uint64_t spans_wanted, rate, seed, first_seed, sent, acked, failed, inflight, busy, begin_ns, body_bytes;
    int64_t shift_ns, step_ns;          /* of the first repetition; of each further one */
    uint64_t spread, made;              /* seconds; spans of requests made so far */
    uint64_t seconds_max;               /* 0: all is sent */
    const char *ids_path;
    FILE *ids;
    size_t next, next_prepared;
    struct slot *slots;
    VEC(double) latencies;
    char first_error[480];
};

static void pump(struct load *load);

static void write_sample(struct load *load, const struct sample *sample)
{
    if (!load->ids || !sample->is_taken)
        return;
    for (size_t i = 0; i < sizeof sample->trace_id; i++)
        fprintf(load->ids, "%02x", sample->trace_id[i]);
    fputc('\n', load->ids);
}

static void on_done(void *owner, enum mg_err err, const struct http_answer *answer, const struct mg_why *why)
{
    struct slot *slot = owner;
    struct load *load = slot->load;
    bool good = err == MG_OK && (load->is_grpc ? answer->grpc_status == 0 : answer->status / 100 == 2);

    slot->is_busy = false;
    load->busy--;
    if (good) {
        load->acked += slot->spans;
        write_sample(load, &slot->sample);
        VEC_PUSH(&load->latencies, (double)(clock_mono_ns() - slot->begin_ns) / 1e6);
    } else {
        load->failed += slot->spans;
        if (!load->first_error[0])
            snprintf(load->first_error, sizeof load->first_error, "%s (HTTP %d, gRPC %d) %.*s", err ? why->text : "refused",
                     answer ? answer->status : 0, answer ? answer->grpc_status : -1, answer ? (int)answer->message.len : 0, answer ? answer->message.ptr : "");
    }
    pump(load);
}

/* The trace of the span that is a multiple of IDS_EVERY, if the request has one: at most one a request. */
static struct sample take_sample(struct load *load, const struct corpus_request *request)
{
    struct sample sample = { false, { 0 } };
    uint64_t left = IDS_EVERY - load->made % IDS_EVERY;

    if (left <= request->traces.n) {
        sample.is_taken = true;
        memcpy(sample.trace_id, request->body.ptr + request->traces.at[left - 1], sizeof sample.trace_id);
    }
    load->made += request->spans;
    return sample;
}

static struct corpus_request *next_request(struct load *load, struct sample *sample)
{
    struct corpus_request *request = &load->corpus.requests[load->next];

    corpus_freshen(request, load->seed, load->seed == load->first_seed ? load->shift_ns : load->step_ns);
    *sample = take_sample(load, request);
    if (++load->next == load->corpus.n) {
        load->next = 0;
        load->seed++;
    }
    return request;
}

/* As the clients' libraries pack by default, all of them zlib's level 6. */
static void put_gzip(struct load *load, struct str body, struct buf *out)
{
    enum mg_err err = buf_reserve(out, libdeflate_gzip_compress_bound(load->packer, body.len));

    if (err != MG_OK)
        abort();
    out->len = libdeflate_gzip_compress(load->packer, body.ptr, body.len, out->ptr, out->room);
}

static void add_prepared(struct load *load, struct str body, uint32_t spans, struct sample sample)
{
    struct prepared *prepared = VEC_ADD(&load->prepared);

    *prepared = (struct prepared){ .spans = spans, .sample = sample };
    buf_init(&prepared->body, 1u << 30);
    if (load->is_gzip)
        put_gzip(load, body, &prepared->body);
    else
        buf_put_str(&prepared->body, body);
}

static void read_bodies(struct load *load, const char *path)
{
    FILE *file = fopen(path, "rb");
    struct buf body;
    char head[8];

    if (!file) {
        perror(path);
        exit(1);
    }
    buf_init(&body, UINT32_MAX);
    load->spans_wanted = 0;
    while (fread(head, 1, sizeof head, file) == sizeof head) {
        uint32_t len = get_be32(head + 4);
        buf_clear(&body);
        if (buf_reserve(&body, len) != MG_OK || fread(body.ptr, 1, len, file) != len) {
            fprintf(stderr, "bench_load: %s: cut\n", path);
            exit(1);
        }
        add_prepared(load, str_n(body.ptr, len), get_be32(head), (struct sample){ 0 });
        load->spans_wanted += get_be32(head);
    }
    buf_fini(&body);
    fclose(file);
}

static void prepare(struct load *load)
{
    for (uint64_t spans = 0; spans < load->spans_wanted;) {
        struct sample sample;
        struct corpus_request *request = next_request(load, &sample);
        add_prepared(load, buf_str(&request->body), request->spans, sample);
        spans += request->spans;
    }
}

static struct str next_body(struct load *load, struct slot *slot)
{
    if (load->prepared.n) {
        struct prepared *prepared = &load->prepared.at[load->next_prepared++];
        slot->spans = prepared->spans;
        slot->sample = prepared->sample;
        return buf_str(&prepared->body);
    }
    struct corpus_request *request = next_request(load, &slot->sample);
    slot->spans = request->spans;
    return buf_str(&request->body);
}

static void send_one(struct load *load, struct slot *slot, uint64_t planned_ns)
{
    struct http_header headers[2];
    struct http_call call = { .method = "POST", .is_grpc = load->is_grpc, .is_compressed = load->is_gzip };
    size_t n = 0;

    if (!load->is_grpc)
        headers[n++] = (struct http_header){ STR("content-type"), str_of(load->type) };
    if (load->is_gzip)
        headers[n++] = (struct http_header){ load->is_grpc ? STR("grpc-encoding") : STR("content-encoding"), STR("gzip") };
    call.path = str_of(load->path);
    call.headers = headers;
    call.n_headers = n;
    call.body = next_body(load, slot);
    load->body_bytes += call.body.len;
    slot->begin_ns = planned_ns;
    slot->is_busy = true;
    load->busy++;
    load->sent += slot->spans;
    http_client_call(load->client, &call, on_done, slot);
}

static uint64_t planned(const struct load *load)
{
    return load->begin_ns + (uint64_t)((double)load->sent / (double)load->rate * 1e9);
}

static bool is_over(const struct load *load)
{
    return load->sent >= load->spans_wanted ||
           (load->seconds_max && clock_mono_ns() - load->begin_ns > load->seconds_max * SECOND_NS);
}

static void pump(struct load *load)
{
    for (size_t i = 0; i < load->inflight && !is_over(load); i++) {
        uint64_t now = clock_mono_ns(), when = load->rate ? planned(load) : now;
        if (when > now) {
            timer_start(load->timer, (when - now) / 1000000 + 1);
            return;
        }
        if (!load->slots[i].is_busy)
            send_one(load, &load->slots[i], when);
    }
    if (load->busy == 0 && is_over(load))
        loop_stop(load->loop);
}

static void on_timer(void *owner)
{
    pump(owner);
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double percentile(struct load *load, double p)
{
    return load->latencies.n ? load->latencies.at[(size_t)((double)(load->latencies.n - 1) * p)] : 0;
}

static void take_value(struct load *load, const char *name, const char *value)
{
    const struct { const char *name; uint64_t *value; } numbers[] = {
        { "--spans", &load->spans_wanted }, { "--rate", &load->rate }, { "--inflight", &load->inflight }, { "--seed", &load->seed },
        { "--spread", &load->spread }, { "--seconds", &load->seconds_max } };
    const struct { const char *name; const char **value; } texts[] = {
        { "--ids", &load->ids_path }, { "--path", &load->path }, { "--type", &load->type } };

    for (size_t k = 0; k < MG_COUNT(numbers); k++)
        if (strcmp(name, numbers[k].name) == 0)
            *numbers[k].value = strtoull(value, NULL, 10);
    for (size_t k = 0; k < MG_COUNT(texts); k++)
        if (strcmp(name, texts[k].name) == 0)
            *texts[k].value = value;
}

static void parse(struct load *load, int argc, char **argv, uint32_t *batch)
{
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--grpc") == 0)
            load->is_grpc = true;
        else if (strcmp(argv[i], "--gzip") == 0)
            load->is_gzip = true;
        else if (strcmp(argv[i], "--batch") == 0 && i + 1 < argc)
            *batch = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--bodies") == 0)
            load->is_bodies = true;
        else if (i + 1 < argc)
            take_value(load, argv[i], argv[i + 1]);
    }
    if (!load->path)
        load->path = load->is_grpc ? "/opentelemetry.proto.collector.trace.v1.TraceService/Export" : "/v1/traces";
    if (!load->type)
        load->type = "application/x-protobuf";
}

/* Where the repetitions lie in time. */
static void place(struct load *load)
{
    uint64_t repetitions = (load->spans_wanted + load->corpus.spans - 1) / load->corpus.spans;

    load->step_ns = repetitions > 1 ? (int64_t)(load->spread * SECOND_NS / (repetitions - 1)) : 0;
    load->shift_ns = (int64_t)(clock_wall_ns() - load->corpus.newest_ns) - load->step_ns * (int64_t)(repetitions - 1);
}

int main(int argc, char **argv)
{
    struct load load = { .spans_wanted = 641510, .inflight = 8, .seed = 1 };
    struct mg_why why = { "" };
    uint32_t batch = 512;
    double seconds;

    if (argc < 3) {
        fprintf(stderr, "usage: bench_load CORPUS URL [--grpc] [--gzip] [--batch N] [--spans N] [--rate N] [--inflight N] [--seed N]"
                        " [--spread SECONDS] [--ids FILE]\n       bench_load BODIES URL --bodies --path PATH [--type TYPE] [--grpc] [--gzip] [--rate N] [--inflight N]"
                        " [--seconds N]\n");
        return 2;
    }
    parse(&load, argc, argv, &batch);
    load.first_seed = load.seed;
    if (!load.is_bodies) {
        corpus_load(&load.corpus, argv[1], batch);
        place(&load);
    }
    if (load.ids_path && !(load.ids = fopen(load.ids_path, "w"))) {
        perror(load.ids_path);
        return 1;
    }
    load.packer = libdeflate_alloc_compressor(6);
    if (load.is_bodies)
        read_bodies(&load, argv[1]);
    else if (load.is_gzip)
        prepare(&load);
    load.slots = mem_zero(load.inflight, sizeof *load.slots);
    for (size_t i = 0; i < load.inflight; i++)
        load.slots[i].load = &load;
    load.loop = loop_new();
    load.timer = timer_new(load.loop, on_timer, &load);
    const struct http_client_options options = { .base_url = str_of(argv[2]), .http2 = load.is_grpc, .connections_max = load.is_grpc ? 2 : (unsigned)load.inflight };
    if (http_client_new(&load.client, load.loop, &options, &why) != MG_OK) {
        fprintf(stderr, "bench_load: %s\n", why.text);
        return 1;
    }
    load.begin_ns = clock_mono_ns();
    timer_start(load.timer, 0);
    loop_run(load.loop);
    seconds = (double)(clock_mono_ns() - load.begin_ns) / 1e9;
    if (load.ids)
        fclose(load.ids);
    if (load.latencies.n)
        qsort(load.latencies.at, load.latencies.n, sizeof(double), by_value);
    printf("{\"acked\":%llu,\"failed\":%llu,\"seconds\":%.3f,\"spans_per_second\":%.0f,\"body_bytes\":%llu,\"requests\":%zu,"
           "\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f,\"error\":\"%s\"}\n",
           (unsigned long long)load.acked, (unsigned long long)load.failed, seconds, (double)load.acked / seconds,
           (unsigned long long)load.body_bytes, load.latencies.n, percentile(&load, 0.5), percentile(&load, 0.99),
           percentile(&load, 1), load.first_error);
    return load.failed ? 1 : 0;
}

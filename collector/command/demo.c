/* demo.c - `demo`: the shop's traffic at a given rate, exported as its services would.
 *
 * A timer tells visits until the spans that are due are told, and lays each span into the batch of
 * its instance. A batch leaves when it is full or a second old: shorter than the SDKs' 5 s, so that
 * a trace is whole within sampling.root_grace. When the exporter has no room nothing is told: the
 * rate falls, nothing is lost. */
#include "command/demo.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"
#include "command/batch.h"
#include "command/export.h"
#include "command/server.h"
#include "command/table.h"
#include "http/url.h"

enum { TICK_MS = 10, STATUS_MS = 10000, END_WAIT_MS = 10000, SPANS_PER_SECOND_MAX = 1000000 };
static const uint64_t second_ns = 1000000000;

struct demo_fields {
    struct server_args server;
    const char *endpoint;
    uint64_t spans_per_second, duration_ns, seed;
    bool grpc;
};

struct demo {
    struct server_access access;
    struct loop *loop;
    struct timer *tick, *status;
    struct signal_watch *interrupt, *terminate;
    struct shop *shop;
    struct exporter *exporter;
    struct batch batches[INSTANCES_MAX];
    struct buf body;
    struct pace pace;
    uint64_t until_ns;                  /* monotonic; UINT64_MAX: until a signal */
    uint64_t end_by_ns;                 /* set when ending: what is not answered then has failed */
    uint64_t traces, spans, spans_told; /* told so far; told_ns: at the last status line */
    uint64_t told_ns;
    bool is_ending, is_closed, was_signalled;
};

/* --- finding the door
 * ------------------------------------------------------------------------------- */

static const struct json *door_find(const struct json *doors, const char *name)
{
    for (size_t i = 0; doors && i < json_count(doors); i++) {
        const struct json *door = json_at(doors, i), *value = json_get(door, "door");
        if (value && str_eq(json_str(value), str_of(name)))
            return json_get(door, "address");
    }
    return NULL;
}

/* "0.0.0.0" and "[::]" say where the server listens, not where it is. */
static void put_address(struct buf *out, struct str address, struct str host)
{
    static const struct str wild[] = {STR_INIT("0.0.0.0:"), STR_INIT("[::]:")};

    for (size_t i = 0; i < MG_COUNT(wild); i++) {
        if (!str_starts(address, wild[i]))
            continue;
        buf_printf(out, memchr(host.ptr, ':', host.len) ? "[%.*s]" : "%.*s", STR_ARG(host));
        address = str_n(address.ptr + wild[i].len - 1, address.len - wild[i].len + 1);
        break;
    }
    buf_put_str(out, address);
}

enum mg_err demo_door(struct str status, const char *door, struct str host, struct buf *out,
                          struct mg_why *why)
{
    MG_AUTO(json_free) struct json *root = NULL;
    const struct json *doors, *address;

    MG_TRY(json_parse(&root, status, why));
    doors = json_get(root, "doors");
    if (!doors || json_kind(doors) != JSON_ARRAY)
        return mg_fail(why, MG_E_FORMAT,
                       "the server's status has no list of doors; is it a meshglass-collector?");
    address = door_find(doors, door);
    if (!address || json_str(address).len == 0)
        return mg_fail(why, MG_E_ABSENT, "the server has no open %s door; give --endpoint", door);
    put_address(out, json_str(address), host);
    return MG_OK;
}

static enum mg_err endpoint_of(const struct demo_fields *f, struct buf *out, struct mg_why *why)
{
    struct buf status;
    struct http_url server;
    enum mg_err err;

    if (f->endpoint) {
        buf_put_text(out, f->endpoint);
        return MG_OK;
    }
    MG_TRY(server_get(&f->server, "/api/meshglass/v1/status", NULL, &status, why));
    err = http_url_read(str_of(f->server.url), &server, why); /* it is one: the call was made */
    if (err == MG_OK) {
        /* Doors speak TLS together unless tls.doors says otherwise; then --endpoint helps. */
        buf_put_text(out, server.is_tls ? "https://" : "http://");
        err = demo_door(buf_str(&status), f->grpc ? "otlp_grpc" : "otlp_http", server.host, out,
                        why);
    }
    buf_fini(&status);
    return err;
}

/* --- pace
 * ------------------------------------------------------------------------------------------- */

void pace_init(struct pace *pace, uint64_t per_second, uint64_t now_ns)
{
    *pace = (struct pace){.per_second = per_second, .last_ns = now_ns};
}

bool pace_is_due(struct pace *pace, uint64_t now_ns)
{
    const uint64_t debt_ns_max = second_ns / 4;
    uint64_t elapsed = MG_MIN(now_ns - pace->last_ns, second_ns);
    int64_t most = (int64_t)(second_ns + debt_ns_max * pace->per_second);

    pace->last_ns = now_ns;
    pace->owed = MG_MIN(pace->owed + (int64_t)(elapsed * pace->per_second), most);
    return pace->owed >= (int64_t)second_ns;
}

void pace_spend(struct pace *pace, uint64_t spans)
{
    pace->owed -= (int64_t)(spans * second_ns);
}

/* --- telling and sending
 * ---------------------------------------------------------------------------- */

static void flush(struct demo *demo, unsigned instance)
{
    struct batch *batch = &demo->batches[instance];
    uint32_t spans = batch->n;

    buf_clear(&demo->body);
    batch_write(batch, shop_cast(demo->shop), instance, &demo->body);
    exporter_send(demo->exporter, buf_str(&demo->body), spans);
}

static void flush_older(struct demo *demo, uint64_t now_ns, uint64_t age_ns)
{
    for (unsigned i = 0; i < shop_cast(demo->shop)->n_instances; i++)
        if (demo->batches[i].n && now_ns - demo->batches[i].first_ns >= age_ns)
            flush(demo, i);
}

static void tell(struct demo *demo, uint64_t now_ns)
{
    const struct shop_trace *trace = shop_visit(demo->shop, clock_wall_ns());

    for (size_t i = 0; i < trace->n; i++) {
        unsigned instance = trace->spans[i].instance;
        batch_add(&demo->batches[instance], &trace->spans[i], now_ns);
        if (demo->batches[instance].n == BATCH_SPANS_MAX)
            flush(demo, instance);
    }
    demo->traces++;
    demo->spans += trace->n;
    pace_spend(&demo->pace, trace->n);
}

static void tell_due(struct demo *demo, uint64_t now_ns)
{
    while (pace_is_due(&demo->pace, now_ns) && exporter_has_room(demo->exporter))
        tell(demo, now_ns);
    flush_older(demo, now_ns, second_ns);
}

/* --- status
 * ----------------------------------------------------------------------------------------- */

static void on_status(void *owner)
{
    struct demo *demo = owner;
    struct export_stats stats;
    uint64_t now = clock_mono_ns(), ms = MG_MAX((now - demo->told_ns) / 1000000, (uint64_t)1);

    exporter_stat(demo->exporter, &stats);
    fprintf(stderr,
            "demo: %" PRIu64 " spans/s, %" PRIu64 " traces; accepted %" PRIu64 ", refused %" PRIu64
            ", failed %" PRIu64 ", waiting %" PRIu64 ", retries %" PRIu64 "\n",
            (demo->spans - demo->spans_told) * 1000 / ms, demo->traces, stats.accepted,
            stats.refused, stats.failed, stats.waiting, stats.retries);
    demo->spans_told = demo->spans;
    demo->told_ns = now;
    timer_start(demo->status, STATUS_MS);
}

static void on_health(void *owner, const char *why)
{
    (void)owner;
    if (why)
        fprintf(stderr, "demo: export fails: %s\n", why);
    else
        fprintf(stderr, "demo: export works\n");
}

/* --- the end
 * ---------------------------------------------------------------------------------------- */

static void on_gone(void *owner)
{
    struct demo *demo = owner;

    loop_stop(demo->loop);
}

static void finish(struct demo *demo)
{
    if (demo->is_closed)
        return;
    demo->is_closed = true;
    timer_stop(demo->tick);
    exporter_close(demo->exporter, on_gone, demo);
}

static void begin_end(struct demo *demo)
{
    demo->is_ending = true;
    demo->end_by_ns = clock_mono_ns() + (uint64_t)END_WAIT_MS * 1000000;
    flush_older(demo, UINT64_MAX, 0);
}

/* The first one ends cleanly, the second one at once. */
static void on_signal(void *owner, int number)
{
    struct demo *demo = owner;

    (void)number;
    demo->was_signalled = true;
    if (demo->is_ending)
        finish(demo);
    else
        begin_end(demo);
}

static void on_tick(void *owner)
{
    struct demo *demo = owner;
    uint64_t now = clock_mono_ns();

    if (!demo->is_ending && now >= demo->until_ns)
        begin_end(demo);
    if (!demo->is_ending)
        tell_due(demo, now);
    else if (exporter_is_idle(demo->exporter) || now >= demo->end_by_ns) {
        finish(demo);
        return;
    }
    timer_start(demo->tick, TICK_MS);
}

/* --- the whole
 * -------------------------------------------------------------------------------------- */

static uint64_t seed_of(const struct demo_fields *f)
{
    uint64_t seed = f->seed;

    if (seed == 0)
        random_bytes(&seed, sizeof seed);
    return seed;
}

static enum mg_err demo_open(struct demo *demo, const struct demo_fields *f, struct str endpoint,
                             uint64_t seed, struct mg_why *why)
{
    MG_TRY(server_access(&f->server, f->grpc ? "h2" : "http/1.1", &demo->access, why));
    const struct export_options options = {.base_url = endpoint,
                                           .is_grpc = f->grpc,
                                           .access = &demo->access,
                                           .seed = seed ^ clock_mono_ns(),
                                           .on_health = on_health,
                                           .owner = demo};
    uint64_t now = clock_mono_ns();

    demo->loop = loop_new();
    MG_TRY(exporter_new(&demo->exporter, demo->loop, &options, why));
    demo->shop = shop_new(seed);
    for (unsigned i = 0; i < INSTANCES_MAX; i++)
        batch_init(&demo->batches[i]);
    buf_init(&demo->body, 64u << 20);
    pace_init(&demo->pace, f->spans_per_second, now);
    demo->told_ns = now;
    demo->until_ns = f->duration_ns ? now + f->duration_ns : UINT64_MAX;
    demo->tick = timer_new(demo->loop, on_tick, demo);
    demo->status = timer_new(demo->loop, on_status, demo);
    demo->interrupt = signal_watch_new(demo->loop, SIGINT, on_signal, demo);
    demo->terminate = signal_watch_new(demo->loop, SIGTERM, on_signal, demo);
    timer_start(demo->tick, TICK_MS);
    timer_start(demo->status, STATUS_MS);
    return MG_OK;
}

static void demo_fini(struct demo *demo)
{
    timer_free(&demo->tick);
    timer_free(&demo->status);
    if (demo->interrupt)
        signal_watch_free(&demo->interrupt);
    if (demo->terminate)
        signal_watch_free(&demo->terminate);
    exporter_free(&demo->exporter);
    shop_free(&demo->shop);
    for (unsigned i = 0; i < INSTANCES_MAX; i++)
        batch_fini(&demo->batches[i]);
    buf_fini(&demo->body);
    if (demo->loop)
        loop_free(&demo->loop);
    server_access_fini(&demo->access);
}

static int summary(const struct demo *demo)
{
    struct export_stats stats;

    exporter_stat(demo->exporter, &stats);
    printf("accepted %" PRIu64 " refused %" PRIu64 " failed %" PRIu64 "\n", stats.accepted,
           stats.refused, stats.failed);
    return command_flush(demo->was_signalled || stats.refused + stats.failed == 0 ? COMMAND_FINE
                                                                                  : COMMAND_NO);
}

static int traffic(const struct demo_fields *f, struct str endpoint)
{
    struct demo demo = {0};
    uint64_t seed = seed_of(f);
    struct mg_why why;
    int status = COMMAND_NO;

    if (demo_open(&demo, f, endpoint, seed, &why) != MG_OK) {
        command_error("demo", why.text);
    } else {
        fprintf(stderr, "demo: %" PRIu64 " spans/s to %.*s, seed %" PRIu64 "\n",
                f->spans_per_second, STR_ARG(endpoint), seed);
        loop_run(demo.loop);
        status = summary(&demo);
    }
    demo_fini(&demo);
    return status;
}

static int demo_run(const void *fields, const struct arg_list *operands)
{
    const struct demo_fields *f = fields;
    struct buf endpoint;
    struct mg_why why;
    int status = COMMAND_NO;

    (void)operands;
    if (f->spans_per_second == 0) {
        command_error("demo", "--spans-per-second N is missing");
        return COMMAND_USAGE;
    }
    buf_init(&endpoint, 4096);
    if (endpoint_of(f, &endpoint, &why) != MG_OK)
        command_error("demo", why.text);
    else
        status = traffic(f, buf_str(&endpoint));
    buf_fini(&endpoint);
    return status;
}

static const struct demo_fields demo_defaults = {.server.url = SERVER_DEFAULT};
#define AT(field) .offset = offsetof(struct demo_fields, field)
static const struct arg_option demo_options[] = {
    {.name = "--spans-per-second",
     .kind = ARG_U64,
     AT(spans_per_second),
     .value = "N",
     .min = 1,
     .max = SPANS_PER_SECOND_MAX,
     .help = "Rate, 1 to 1000000; must be given."},
    SERVER_ARG_ROWS(struct demo_fields, server),
    {.name = "--endpoint",
     .kind = ARG_TEXT,
     AT(endpoint),
     .value = "URL",
     .help = "OTLP base URL; without it the server is asked."},
    {.name = "--duration",
     .kind = ARG_DURATION,
     AT(duration_ns),
     .value = "TIME",
     .min = 1000000000,
     .max = UINT64_C(366) * 86400 * 1000000000,
     .help = "How long, for instance 10m; without it until SIGINT or SIGTERM."},
    {.name = "--seed",
     .kind = ARG_U64,
     AT(seed),
     .value = "N",
     .min = 1,
     .max = UINT64_MAX,
     .help = "The same seed tells the same traces, ids included; without it a random one."},
    {.name = "--grpc", .kind = ARG_FLAG, AT(grpc), .help = "OTLP over gRPC instead of HTTP."},
};
const struct command demo_command = {
    .name = "demo",
    .help = "Sends the traffic of a realistic shop to a collector.",
    .rules = {demo_options, MG_COUNT(demo_options), "", 0, 0},
    .defaults = &demo_defaults,
    .fields_bytes = sizeof demo_defaults,
    .run = demo_run,
};

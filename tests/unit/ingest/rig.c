#include "rig.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "row/segment.h"

#define SECOND UINT64_C(1000000000)

/* --- life ------------------------------------------------------------------------------------------- */

static void must(enum mg_err err, const struct mg_why *why)
{
    if (err != MG_OK)
        fail_msg("%s: %s", mg_err_name(err), why->text);
}

static enum mg_err on_replay(void *owner, struct live *live, struct mg_why *why)
{
    struct rig *rig = owner;

    return ingest_replay(&rig->replay, live, why);
}

static void on_ready(void *owner, enum mg_err err, const struct mg_why *why)
{
    struct rig *rig = owner;

    (void)why;
    pthread_mutex_lock(&rig->lock);
    rig->is_ready = true;
    rig->ready_err = err;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static void open_storage(struct rig *rig)
{
    struct mg_why why = { "" };
    const struct store_options store = { .dir = rig->store_dir, .conf = &rig->store_conf, .metrics = rig->registry };

    must(store_open(&rig->store, &store, &why), &why);
    const struct store_state *state = store_recovered(rig->store);
    const struct journal_options journal = { .dir = rig->journal_dir, .segment_bytes = 1 << 20, .os_durability = true,
                                             .floor_position = MG_MAX(state->p, state->c), .floor_log_ns = state->log_ns };
    rig->replay.after = state->watermark ? state->watermark - 1 : 0;
    must(journal_open(&rig->journal, &journal, &why), &why);
    must(store_start(rig->store, &why), &why);
}

static void compile_rules(struct rig *rig)
{
    struct str lines[MG_COUNT(rig->rules)];
    struct conf_list list = { lines, 0 };
    struct mg_why why = { "" };

    while (list.n < MG_COUNT(rig->rules) && rig->rules[list.n]) {
        lines[list.n] = str_of(rig->rules[list.n]);
        list.n++;
    }
    must(attribute_rules_new(&rig->compiled, &list, &why), &why);
}

static void start_live(struct rig *rig)
{
    rig->is_ready = false;
    rig->live = live_new(&(struct live_options){ .conf = &rig->live_conf, .decisions = &rig->decisions, .journal = rig->journal,
                                                 .store = rig->store, .loops = 1, .credit = &rig->credit, .metrics = rig->registry,
                                                 .replay = on_replay, .ready = on_ready, .owner = rig });
    rig->ingest = ingest_new(&(struct ingest_options){ .conf = &rig->conf, .live = rig->live, .journal = rig->journal,
                                                       .store = rig->store, .credit = &rig->credit, .metrics = rig->registry,
                                                       .rules = rig->compiled });
    rig->replay.conf = &rig->conf;
    rig->replay.journal = rig->journal;
    rig->replay.metrics = ingest_metrics(rig->ingest);
    rig->replay.rules = rig->compiled;
    live_start(rig->live);
    pthread_mutex_lock(&rig->lock);
    while (!rig->is_ready)
        pthread_cond_wait(&rig->changed, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
    assert_int_equal(rig->ready_err, MG_OK);
}

static void start(struct rig *rig)
{
    rig->registry = metric_registry_new();
    credit_init(&rig->credit, live_ring_bytes(&rig->live_conf));
    open_storage(rig);
    compile_rules(rig);
    start_live(rig);
    rig->loop = loop_new();
    rig->doors = ingest_loop_new(rig->ingest, rig->loop);
}

static void on_idle(void *owner)
{
    ((struct rig *)owner)->is_idle = true;
}

static bool is_idle(void *owner)
{
    struct rig *rig = owner;

    return rig->is_idle;
}

static void stop_loop(struct rig *rig)
{
    if (rig->client) {
        rig->is_idle = false;
        http_client_close(&rig->client, on_idle, rig);
        rig_run(rig, is_idle, rig);
    }
    if (rig->server) {
        rig->is_idle = false;
        http_server_drain(rig->server, 0, on_idle, rig);
        rig_run(rig, is_idle, rig);
        http_server_free(&rig->server);
    }
    if (!rig->doors->is_closing) {
        rig->is_idle = false;
        ingest_loop_close(rig->doors, on_idle, rig);
    }
    rig_run(rig, is_idle, rig);
    assert_int_equal(rig->doors->let_in.unanswered, 0); /* whatever became of a body */
    ingest_loop_free(&rig->doors);
    loop_free(&rig->loop);
}

static void stop(struct rig *rig)
{
    struct mg_why why;

    rig_leave_credit(rig, 0);
    stop_loop(rig);
    journal_stop(rig->journal);
    live_stop(rig->live);
    must(store_stop(rig->store, &why), &why);
    live_free(&rig->live);
    ingest_free(&rig->ingest);
    attribute_rules_unref(&rig->compiled);
    store_close(&rig->store);
    journal_close(&rig->journal);
    metric_registry_free(&rig->registry);
}

void rig_open(struct rig *rig)
{
    snprintf(rig->dir, sizeof rig->dir, "ingest_test.XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->store_dir, sizeof rig->store_dir, "%s/store", rig->dir);
    snprintf(rig->journal_dir, sizeof rig->journal_dir, "%s/journal", rig->dir);
    rig->live_conf = (struct live_conf){ .ring_bytes = 16 << 20, .trace_spans_max = 60000 };
    rig->decisions = (struct decision_conf){ .root_grace_ns = 3600 * SECOND, .decision_wait_ns = 3600 * SECOND };
    rig->store_conf = (struct store_conf){ .retention_ns = 7 * 86400 * SECOND, .disk_max = UINT64_C(1) << 40, .roll_ns = 3600 * SECOND,
                                           .block_rows = 20000, .block_age_ns = SECOND };
    rig->conf.body_bytes_max = rig->conf.body_bytes_max ? rig->conf.body_bytes_max : 1 << 20;
    rig->conf.wait_ns = rig->conf.wait_ns ? rig->conf.wait_ns : 5 * SECOND;
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->changed, NULL);
    start(rig);
}

void rig_restart(struct rig *rig)
{
    stop(rig);
    start(rig);
}

void rig_close(struct rig *rig)
{
    char command[128];

    stop(rig);
    pthread_cond_destroy(&rig->changed);
    pthread_mutex_destroy(&rig->lock);
    snprintf(command, sizeof command, "rm -rf %s", rig->dir);
    assert_int_equal(system(command), 0);
}

/* --- the loop --------------------------------------------------------------------------------------- */

struct watch { struct rig *rig; struct timer *timer; bool (*is_done)(void *); void *owner; uint64_t until_ns; };

/* A look every millisecond: what is waited for may be a number that no callback tells about. */
static void on_look(void *owner)
{
    struct watch *watch = owner;

    if (watch->is_done(watch->owner))
        loop_stop(watch->rig->loop);
    else if (clock_mono_ns() > watch->until_ns)
        fail_msg("nothing happened for 20 s");
    else
        timer_start(watch->timer, 1);
}

void rig_run(struct rig *rig, bool (*is_done)(void *owner), void *owner)
{
    struct watch watch = { rig, NULL, is_done, owner, clock_mono_ns() + 20 * SECOND };

    watch.timer = timer_new(rig->loop, on_look, &watch);
    timer_start(watch.timer, 1);
    loop_run(rig->loop);
    timer_free(&watch.timer);
}

struct metric_wish { struct rig *rig; enum ingest_metric row; unsigned i, j; uint64_t value; };

static bool metric_is(void *owner)
{
    struct metric_wish *wish = owner;

    return rig_metric(wish->rig, wish->row, wish->i, wish->j) == wish->value;
}

void rig_run_until(struct rig *rig, enum ingest_metric row, unsigned i, unsigned j, uint64_t value)
{
    struct metric_wish wish = { rig, row, i, j, value };

    rig_run(rig, metric_is, &wish);
}

/* --- looking ---------------------------------------------------------------------------------------- */

void rig_leave_credit(struct rig *rig, size_t bytes)
{
    credit_give(&rig->credit, (int64_t)rig->held);
    rig->held = 0;
    if (bytes == 0)
        return;
    rig->held = (size_t)credit_free(&rig->credit) - bytes;
    credit_give(&rig->credit, -(int64_t)rig->held);
}

struct live_ledger rig_ledger(struct rig *rig)
{
    struct live_ledger ledger;

    live_ledger(rig->live, &ledger);
    assert_int_equal(ledger.accepted, ledger.stored + ledger.sampled_out + ledger.duplicate + ledger.pending);
    return ledger;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

const char *rig_names(struct rig *rig, uint8_t trace)
{
    static char text[1024];
    uint8_t id[1][16] = { { trace } };
    struct live_found found;
    struct arena arena = { 0 };
    struct str names[64];
    size_t len = 0, n;

    live_lookup(rig->live, (const uint8_t(*)[16])id, 1, &found);
    n = MG_MIN(found.traces[0].n, MG_COUNT(names));
    for (size_t i = 0; i < n; i++) {
        struct span span;
        row_decode(found.traces[0].at[i], segment_of(found.traces[0].at[i])->epoch, &arena, &span);
        names[i] = arena_str(&arena, span.name);
    }
    qsort(names, n, sizeof *names, by_text);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s", i ? " " : "", STR_ARG(names[i]));
    live_found_fini(&found);
    arena_fini(&arena);
    return text;
}

size_t rig_rows(struct rig *rig, const uint8_t id[16])
{
    uint8_t ids[1][16];
    struct live_found found;
    size_t n;

    memcpy(ids[0], id, 16);
    live_lookup(rig->live, (const uint8_t(*)[16])ids, 1, &found);
    n = found.traces[0].n;
    live_found_fini(&found);
    return n;
}

uint64_t rig_metric(struct rig *rig, enum ingest_metric row, unsigned i, unsigned j)
{
    return metric_get(ingest_metrics(rig->ingest), row, i, j);
}

/* --- bodies ----------------------------------------------------------------------------------------- */

static void on_given_done(struct ingest_body *body, enum mg_err err, const struct mg_why *why)
{
    struct given_body *given = MG_CONTAINER(body, struct given_body, body);

    assert_false(given->is_done);
    given->is_done = true;
    given->err = err;
    if (err != MG_OK)
        given->why = *why;
}

bool given_is_done(void *given)
{
    return ((struct given_body *)given)->is_done;
}

void rig_give(struct rig *rig, struct given_body *given, enum ingest_protocol protocol, enum zip_kind encoding, struct str bytes)
{
    *given = (struct given_body){ .body = { .door = INGEST_DOOR_KAFKA, .protocol = protocol, .encoding = encoding, .bytes = bytes,
                                            .done = on_given_done } };
    ingest_take(rig->doors, &given->body);
    assert_false(given->is_done); /* never from inside */
}

void rig_take(struct rig *rig, struct given_body *given, enum ingest_protocol protocol, enum zip_kind encoding, struct str bytes)
{
    rig_give(rig, given, protocol, encoding, bytes);
    rig_run(rig, given_is_done, given);
}

/* --- HTTP ------------------------------------------------------------------------------------------- */

void rig_serve(struct rig *rig, const struct http_route *routes, size_t n, bool http2)
{
    const struct http_conf conf = { .header_bytes_max = 65536, .body_bytes_max = rig->conf.body_bytes_max, .streams_max = 100,
                                    .connections_max = 100, .header_timeout_ns = 10 * SECOND, .idle_timeout_ns = 300 * SECOND,
                                    .body_timeout_ns = 30 * SECOND, .stream_window = 1 << 20, .connection_window = 4 << 20,
                                    .reset_max = 1000 };
    const struct http_options options = { .conf = &conf, .routes = routes, .n_routes = n, .owner = rig->doors };
    const struct listener_options where = { .address = STR("127.0.0.1:0") };
    struct mg_why why = { "" };
    char url[96];

    rig->server = http_server_new(rig->loop, &options);
    must(http_server_listen(rig->server, &where, &why), &why);
    snprintf(url, sizeof url, "http://%.*s", STR_ARG(http_server_address(rig->server)));
    const struct http_client_options client = { .base_url = str_of(url), .http2 = http2, .timeout_ms = 20000 };
    must(http_client_new(&rig->client, rig->loop, &client, &why), &why);
}

static void on_reply(void *owner, enum mg_err err, const struct http_answer *answer, const struct mg_why *why)
{
    struct reply *reply = owner;

    must(err, why);
    reply->is_done = true;
    reply->status = answer->status;
    reply->grpc_status = answer->grpc_status;
    reply->body_len = answer->body.len;
    assert_true(answer->body.len < sizeof reply->body);
    for (size_t i = 0; i < answer->body.len; i++) /* text ends with NUL, as the rest is zero */
        reply->body[i] = answer->body.ptr[i];
    snprintf(reply->retry_after, sizeof reply->retry_after, "%.*s", STR_ARG(answer->retry_after));
    snprintf(reply->message, sizeof reply->message, "%.*s", STR_ARG(answer->message));
}

bool reply_is_done(void *reply)
{
    return ((struct reply *)reply)->is_done;
}

void rig_begin(struct rig *rig, const struct post *post, struct reply *reply)
{
    struct http_header headers[2];
    size_t n = 0;

    *reply = (struct reply){ 0 };
    if (post->type)
        headers[n++] = (struct http_header){ STR("content-type"), str_of(post->type) };
    if (post->encoding)
        headers[n++] = (struct http_header){ post->is_grpc ? STR("grpc-encoding") : STR("content-encoding"), str_of(post->encoding) };
    const struct http_call call = { .method = post->method ? post->method : "POST", .path = str_of(post->path), .headers = headers,
                                    .n_headers = n, .body = post->body, .is_grpc = post->is_grpc, .is_compressed = post->is_compressed };
    http_client_call(rig->client, &call, on_reply, reply);
}

void rig_post(struct rig *rig, const struct post *post, struct reply *reply)
{
    rig_begin(rig, post, reply);
    rig_run(rig, reply_is_done, reply);
}

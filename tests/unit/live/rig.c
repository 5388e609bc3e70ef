#include "rig.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "kv/kv.h"

struct sent { struct live_batch batch; struct rig *rig; char body[64]; bool done; };

/* --- spans ------------------------------------------------------------------------------------------ */

/* The field of a resource with service.name "shop". */
#define SERVICE STR("\x0a\x18\x0a\x16\x0a\x0cservice.name\x12\x06\x0a\x04shop")

static struct row_batch *rows_of(struct rig *rig, const struct want *want)
{
    struct interner *interner = rig->interner;
    struct str resource = rig->head ? SERVICE : STR("");

    interner_begin(interner, clock_mono_ns());
    interner_resource(interner, resource);
    interner_scope(interner, STR(""));
    for (unsigned k = 0; k < want->spans * (want->more + 1); k++) {
        unsigned i = k % want->spans;
        struct span span = { .name = STR("op"), .kind = SPAN_SERVER, .start_ns = SECOND * 1000 + i, .end_ns = SECOND * 1001,
                             .resource = resource, .scope = STR(""), .trace_state = STR(""), .status_message = STR(""),
                             .events = rig->events, .links = STR(""), .unknown = STR("") };
        span.status_code = want->error ? STATUS_ERROR : STATUS_UNSET;
        put_le64(span.trace_id, want->trace + k / want->spans);
        put_le64(span.span_id, want->first + i);
        put_le64(span.parent_id, want->root && i == 0 ? 0 : 77);
        interner_span(interner, &span);
    }
    return interner_end(interner);
}

static void write_body(char body[64], const struct want *want)
{
    snprintf(body, 64, "%llu %llu %u %d %d %u", (unsigned long long)want->trace, (unsigned long long)want->first, want->spans, want->root,
             want->error, want->more);
}

static struct want read_body(struct str body)
{
    struct want want;
    unsigned long long trace, first;
    int root, error;
    char text[65];

    assert_true(body.len < sizeof text);
    memcpy(text, body.ptr, body.len);
    text[body.len] = '\0';
    assert_int_equal(sscanf(text, "%llu %llu %u %d %d %u", &trace, &first, &want.spans, &root, &error, &want.more), 6);
    want.trace = trace;
    want.first = first;
    want.root = root;
    want.error = error;
    return want;
}

/* --- the rig ---------------------------------------------------------------------------------------- */

static enum mg_err on_record(void *owner, const struct journal_record *record)
{
    struct rig *rig = owner;
    struct mg_why why;
    struct row_batch *rows;
    struct want want;
    enum mg_err err;

    if (record->kind == JOURNAL_DECISIONS)
        return live_replay_decisions(rig->live, record, &why);
    want = read_body(record->body);
    rows = rows_of(rig, &want);
    err = live_replay_rows(rig->live, record, rows, 0);
    row_batch_free(&rows);
    return err;
}

static enum mg_err replay(void *owner, struct live *live, struct mg_why *why)
{
    struct rig *rig = owner;
    uint64_t watermark = store_recovered(rig->store)->watermark;

    rig->live = live;
    return journal_replay(rig->journal, watermark ? watermark - 1 : 0, on_record, rig, why);
}

static void ready(void *owner, enum mg_err err, const struct mg_why *why)
{
    struct rig *rig = owner;

    (void)why;
    pthread_mutex_lock(&rig->lock);
    rig->is_ready = true;
    rig->ready_err = err;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static void on_committed(void *owner, uint64_t watermark) /* the store's thread */
{
    struct rig *rig = owner;

    if (watermark > 0)
        journal_trim(rig->journal, watermark - 1);
}

static void exporter_start(struct rig *rig)
{
    const struct forward_target target = { rig->box.send, &rig->box.conf };

    postbox_start(&rig->box);
    rig->forward = forward_new(&(struct forward_options){ .targets = &target, .n = 1, .metrics = rig->registry });
    forward_start(rig->forward);
}

/* While the store's clock stands, the commit that failed is not tried again. */
static _Atomic uint64_t store_stands_at;

static uint64_t store_mono_ns(void)
{
    uint64_t at = store_stands_at;

    return at ? at : clock_mono_ns();
}

static void put_rules(struct rig *rig, const struct sample_rules *rules)
{
    struct mg_why why = { "" };

    if (rig->is_store_stuck) {
        store_stands_at = clock_mono_ns();
        kv_fault_at(3); /* after a look at the newest text: the commit */
    }
    if (rules)
        assert_int_equal(store_rules_put(rig->store, sample_rules_text(rules), &rig->generation, &why), MG_OK);
    kv_fault_at(0);
}

static void end_standing(struct rig *rig)
{
    rig->is_store_stuck = false;
    store_stands_at = 0;
}

void rig_free_store(struct rig *rig)
{
    end_standing(rig);
    store_hurry(rig->store);
}

static void logs_open(struct rig *rig, const struct sample_rules *rules)
{
    const struct store_options store = { .dir = rig->store_dir, .conf = &rig->store_conf, .metrics = rig->registry,
                                         .committed = on_committed, .owner = rig, .mono_ns = store_mono_ns };
    const struct store_state *recovered;
    struct mg_why why = { "" };
    uint64_t floor;

    if (store_open(&rig->store, &store, &why) != MG_OK)
        fail_msg("%s", why.text);
    recovered = store_recovered(rig->store);
    floor = MG_MAX(recovered->p, recovered->c);
    if (rig->has_exporter) {
        postbox_open(&rig->box, rig->send_metrics, 0);
        floor = MG_MAX(floor, send_recovered(rig->box.send));
    }
    const struct journal_options journal = { .dir = rig->journal_dir, .segment_bytes = 1 << 20,
                                             .floor_position = floor, .floor_log_ns = recovered->log_ns };
    if (journal_open(&rig->journal, &journal, &why) != MG_OK)
        fail_msg("%s", why.text);
    put_rules(rig, rules);
}

/* As the program does it: the text has its generation in the store before a decision can name it. */
static struct sample_rules *rules_of(struct rig *rig, struct sample_conf *conf)
{
    struct sample_rules *rules = NULL;
    struct yaml_docs *docs = NULL;
    struct mg_why why = { "" };

    *conf = rig->next;
    conf->enabled = rig->policies;
    if (!rig->policies)
        return NULL;
    assert_int_equal(yaml_parse(&docs, str_of(rig->policies), "policies", &why), MG_OK);
    conf->policies = yaml_get(yaml_doc(docs, 0), "policies");
    conf->classes = yaml_get(yaml_doc(docs, 0), "classes");
    if (sample_rules_new(&rules, conf, &why) != MG_OK)
        fail_msg("%s", why.text);
    yaml_docs_free(&docs);
    conf->policies = conf->classes = NULL; /* compiled */
    return rules;
}

void rig_reload(struct rig *rig)
{
    struct sample_conf conf;
    struct sample_rules *rules = rules_of(rig, &conf);

    put_rules(rig, rules);
    live_reload_rules(rig->live, &conf, rules, rules ? rig->generation : 0);
    sample_rules_unref(&rules);
}

void rig_reload_rows(struct rig *rig)
{
    live_reload(rig->live, &rig->live_conf, &rig->decisions);
    store_reload(rig->store, &rig->store_conf);
}

void rig_start(struct rig *rig)
{
    struct sample_conf sampling;
    struct sample_rules *rules = rules_of(rig, &sampling);
    struct live *live;

    rig->registry = metric_registry_new();
    rig->send_metrics = send_metrics_register(rig->registry);
    logs_open(rig, rules);
    if (rig->has_exporter)
        exporter_start(rig);
    credit_init(&rig->credit, live_ring_bytes(&rig->live_conf));
    rig->is_ready = false;
    live = live_new(&(struct live_options){ .conf = &rig->live_conf, .decisions = &rig->decisions, .journal = rig->journal,
                                            .store = rig->store, .forward = rig->forward, .loops = 2, .credit = &rig->credit,
                                            .metrics = rig->registry, .sampling = &sampling, .rules = rules, .rules_generation = rig->generation,
                                            .head = rig->head,
                                            .replay = replay, .ready = ready, .owner = rig });
    sample_rules_unref(&rules);
    assert_int_equal(store_start(rig->store, NULL), MG_OK);
    rig->live = live;
    live_start(live);
    pthread_mutex_lock(&rig->lock);
    while (!rig->is_ready)
        pthread_cond_wait(&rig->changed, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
    assert_int_equal(rig->ready_err, MG_OK);
}

void rig_stop(struct rig *rig)
{
    struct mg_why why;

    journal_stop(rig->journal);
    live_stop(rig->live);
    if (rig->forward) {
        forward_stop(rig->forward);
        postbox_stop(&rig->box);
    }
    assert_int_equal(store_stop(rig->store, &why), MG_OK);
    live_free(&rig->live);
    store_close(&rig->store);
    journal_close(&rig->journal);
    forward_free(&rig->forward);
    postbox_close(&rig->box);
    metric_registry_free(&rig->registry);
    end_standing(rig);
}

static void run(const struct rig *rig, const char *command)
{
    char line[160];

    snprintf(line, sizeof line, "cd %s && %s", rig->dir, command);
    assert_int_equal(system(line), 0);
}

void rig_crash(struct rig *rig)
{
    postbox_refuse(&rig->box, true);
    run(rig, "mkdir now && cp -r --sparse=always store journal now");
    rig_stop(rig);
    run(rig, "rm -r store journal && mv now/store now/journal . && rmdir now");
    postbox_refuse(&rig->box, false);
}

int rig_setup(void **state)
{
    struct rig *rig = MEM_NEW(struct rig);

    snprintf(rig->dir, sizeof rig->dir, "/tmp/live-test-XXXXXX");
    if (!mkdtemp(rig->dir))
        return -1;
    snprintf(rig->store_dir, sizeof rig->store_dir, "%s/store", rig->dir);
    snprintf(rig->journal_dir, sizeof rig->journal_dir, "%s/journal", rig->dir);
    rig->live_conf = (struct live_conf){ .ring_bytes = 16 << 20, .trace_spans_max = 60000 };
    rig->decisions = (struct decision_conf){ .root_grace_ns = 0, .decision_wait_ns = 3600 * SECOND };
    rig->store_conf = (struct store_conf){ .retention_ns = 7 * 86400 * SECOND, .disk_max = UINT64_C(1) << 40, .roll_ns = 3600 * SECOND,
                                           .block_rows = 20000, .block_age_ns = 20000000 };
    rig->next = (struct sample_conf){ .verdicts_bytes = 1 << 20, .overload = true };
    rig->events = STR("");
    rig->interner = interner_new();
    postbox_init(&rig->box);
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->changed, NULL);
    *state = rig;
    rig_start(rig);
    return 0;
}

int rig_teardown(void **state)
{
    struct rig *rig = *state;
    char command[128];

    if (rig->live)
        rig_stop(rig);
    interner_free(&rig->interner);
    postbox_fini(&rig->box);
    snprintf(command, sizeof command, "rm -rf %s", rig->dir);
    assert_int_equal(system(command), 0);
    mem_free(rig);
    return 0;
}

static void on_ack(struct live_batch *batch)
{
    struct sent *sent = MG_CONTAINER(batch, struct sent, batch);

    pthread_mutex_lock(&sent->rig->lock);
    sent->done = true;
    pthread_cond_broadcast(&sent->rig->changed);
    pthread_mutex_unlock(&sent->rig->lock);
}

enum mg_err rig_send(struct rig *rig, struct want want)
{
    struct sent sent = { .rig = rig };

    write_body(sent.body, &want);
    sent.batch.rows = rows_of(rig, &want);
    sent.batch.reserved = sent.batch.rows->bytes + sent.batch.rows->epoch_growth;
    assert_true(credit_take(&rig->credit, &sent.batch.reserved));
    sent.batch.ack = on_ack;
    sent.batch.record = (struct journal_record){ .kind = JOURNAL_BODY, .wall_ns = clock_wall_ns(), .body = str_of(sent.body) };
    live_submit(rig->live, &sent.batch);
    pthread_mutex_lock(&rig->lock);
    while (!sent.done)
        pthread_cond_wait(&rig->changed, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
    row_batch_free(&sent.batch.rows);
    return sent.batch.err;
}

struct live_ledger ledger_of(struct rig *rig)
{
    struct live_ledger ledger;

    live_ledger(rig->live, &ledger);
    assert_int_equal(ledger.accepted, ledger.stored + ledger.sampled_out + ledger.duplicate + ledger.pending);
    return ledger;
}

/* Waits until the ledger says so many are stored; the test's time limit is the deadline. */
struct live_ledger wait_stored(struct rig *rig, uint64_t stored)
{
    struct live_ledger ledger = ledger_of(rig);

    while (ledger.stored + ledger.duplicate < stored) {
        usleep(1000);
        ledger = ledger_of(rig);
    }
    return ledger;
}

struct live_ledger wait_sampled_out(struct rig *rig, uint64_t spans)
{
    struct live_ledger ledger = ledger_of(rig);

    while (ledger.sampled_out < spans) {
        usleep(1000);
        ledger = ledger_of(rig);
    }
    return ledger;
}

struct store_decision decision_in_store(struct rig *rig, uint64_t trace, size_t *n)
{
    struct store_decision decisions[16] = { 0 };
    struct store_view *view;
    struct arena arena = { 0 };
    struct mg_why why = { "" };
    uint8_t id[16] = { 0 };

    store_flush(rig->store);
    view = store_view_new(rig->store);
    put_le64(id, trace);
    assert_int_equal(store_view_decisions(view, id, &arena, decisions, MG_COUNT(decisions), n, &why), MG_OK);
    store_view_free(&view);
    arena_fini(&arena);
    decisions[0].votes = STR("");
    return decisions[0];
}

uint64_t word_in_store(struct rig *rig, uint64_t trace, size_t *n)
{
    return decision_in_store(rig, trace, n).outcome;
}

struct live_found found_of(struct rig *rig, uint64_t trace)
{
    uint8_t id[1][16] = { { 0 } };
    struct live_found found;

    put_le64(id[0], trace);
    live_lookup(rig->live, (const uint8_t (*)[16])id, 1, &found);
    return found;
}

size_t in_ring(struct rig *rig, uint64_t trace)
{
    struct live_found found = found_of(rig, trace);
    size_t n = found.traces[0].n;

    live_found_fini(&found);
    return n;
}

size_t in_store(struct rig *rig, uint64_t trace)
{
    struct store_view *view = store_view_new(rig->store);
    const struct block_info *blocks;
    uint8_t id[16] = { 0 };
    uint32_t at[64];
    size_t rows = 0, n;

    put_le64(id, trace);
    store_view_blocks(view, &blocks);
    n = store_view_find(view, id, at, 64);
    for (size_t i = 0; i < n; i++) {
        struct block_reader *reader;
        uint32_t first, count;
        struct block_fragment fragment;
        assert_int_equal(store_view_open(view, &blocks[at[i]], &reader, NULL), MG_OK);
        count = block_find(reader, id, &first);
        for (uint32_t k = 0; k < count; k++) {
            assert_int_equal(block_fragment_info(reader, first + k, &fragment), MG_OK);
            rows += fragment.rows;
        }
    }
    store_view_free(&view);
    return rows;
}


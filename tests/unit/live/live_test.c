/* live_test.c - live with a real journal and a real store in a temporary directory: acks, visibility, decisions, the
 * ledger, replay. A body is a line of text (`seed spans flags`) from which the same spans are made at the door and at replay. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "live/live.h"
#include "store/view.h"

#define SECOND UINT64_C(1000000000)

struct rig {
    char dir[64], store_dir[96], journal_dir[96];
    struct live_conf live_conf;
    struct decision_conf decisions;
    struct store_conf store_conf;
    struct metric_registry *registry;
    struct store *store;
    struct journal *journal;
    struct credit credit;
    struct live *live;
    struct interner *interner;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_ready;
    enum mg_err ready_err;
    size_t acked;
    enum mg_err ack_err;
};

struct sent { struct live_batch batch; struct rig *rig; char body[64]; bool done; };

/* --- spans ------------------------------------------------------------------------------------------ */

struct want { uint64_t trace, first; unsigned spans; bool root; };

static struct row_batch *rows_of(struct interner *interner, const struct want *want)
{
    interner_begin(interner, clock_mono_ns());
    interner_resource(interner, STR(""));
    interner_scope(interner, STR(""));
    for (unsigned i = 0; i < want->spans; i++) {
        struct span span = { .name = STR("op"), .kind = SPAN_SERVER, .start_ns = SECOND * 1000 + i, .end_ns = SECOND * 1001,
                             .resource = STR(""), .scope = STR(""), .trace_state = STR(""), .status_message = STR(""),
                             .events = STR(""), .links = STR(""), .unknown = STR("") };
        put_le64(span.trace_id, want->trace);
        put_le64(span.span_id, want->first + i);
        put_le64(span.parent_id, want->root && i == 0 ? 0 : 77);
        interner_span(interner, &span);
    }
    return interner_end(interner);
}

static void write_body(char body[64], const struct want *want)
{
    snprintf(body, 64, "%llu %llu %u %d", (unsigned long long)want->trace, (unsigned long long)want->first, want->spans, want->root);
}

static struct want read_body(struct str body)
{
    struct want want;
    unsigned long long trace, first;
    int root;
    char text[65];

    assert_true(body.len < sizeof text);
    memcpy(text, body.ptr, body.len);
    text[body.len] = '\0';
    assert_int_equal(sscanf(text, "%llu %llu %u %d", &trace, &first, &want.spans, &root), 4);
    want.trace = trace;
    want.first = first;
    want.root = root;
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
    rows = rows_of(rig->interner, &want);
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

static void rig_start(struct rig *rig)
{
    struct mg_why why = { "" };
    const struct store_options store = { .dir = rig->store_dir, .conf = &rig->store_conf, .metrics = rig->registry = metric_registry_new() };
    const struct store_state *recovered;
    struct live *live;

    if (store_open(&rig->store, &store, &why) != MG_OK)
        fail_msg("%s", why.text);
    recovered = store_recovered(rig->store);
    const struct journal_options journal = { .dir = rig->journal_dir, .segment_bytes = 1 << 20,
                                             .floor_position = MG_MAX(recovered->p, recovered->c), .floor_log_ns = recovered->log_ns };
    if (journal_open(&rig->journal, &journal, &why) != MG_OK)
        fail_msg("%s", why.text);
    assert_int_equal(store_start(rig->store, &why), MG_OK);
    credit_init(&rig->credit, live_ring_bytes(&rig->live_conf));
    rig->is_ready = false;
    live = live_new(&(struct live_options){ .conf = &rig->live_conf, .decisions = &rig->decisions, .journal = rig->journal,
                                            .store = rig->store, .loops = 2, .credit = &rig->credit, .metrics = rig->registry,
                                            .replay = replay, .ready = ready, .owner = rig });
    rig->live = live;
    live_start(live);
    pthread_mutex_lock(&rig->lock);
    while (!rig->is_ready)
        pthread_cond_wait(&rig->changed, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
    assert_int_equal(rig->ready_err, MG_OK);
}

static void rig_stop(struct rig *rig)
{
    struct mg_why why;

    journal_stop(rig->journal);
    live_stop(rig->live);
    assert_int_equal(store_stop(rig->store, &why), MG_OK);
    live_free(&rig->live);
    store_close(&rig->store);
    journal_close(&rig->journal);
    metric_registry_free(&rig->registry);
}

static int setup(void **state)
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
    rig->interner = interner_new();
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->changed, NULL);
    *state = rig;
    rig_start(rig);
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    char command[128];

    if (rig->live)
        rig_stop(rig);
    interner_free(&rig->interner);
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

static enum mg_err send(struct rig *rig, struct want want)
{
    struct sent sent = { .rig = rig };

    write_body(sent.body, &want);
    sent.batch.rows = rows_of(rig->interner, &want);
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

static struct live_ledger ledger_of(struct rig *rig)
{
    struct live_ledger ledger;

    live_ledger(rig->live, &ledger);
    assert_int_equal(ledger.accepted, ledger.stored + ledger.sampled_out + ledger.duplicate + ledger.pending);
    return ledger;
}

/* Waits until the ledger says so many are stored; the test's time limit is the deadline. */
static struct live_ledger wait_stored(struct rig *rig, uint64_t stored)
{
    struct live_ledger ledger = ledger_of(rig);

    while (ledger.stored + ledger.duplicate < stored) {
        usleep(1000);
        ledger = ledger_of(rig);
    }
    return ledger;
}

static size_t in_ring(struct rig *rig, uint64_t trace)
{
    uint8_t id[1][16] = { { 0 } };
    struct live_found found;
    size_t n;

    put_le64(id[0], trace);
    live_lookup(rig->live, (const uint8_t (*)[16])id, 1, &found);
    n = found.traces[0].n;
    live_found_fini(&found);
    return n;
}

static size_t in_store(struct rig *rig, uint64_t trace)
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
        uint32_t first, count, in_fragment;
        uint64_t position;
        uint8_t got[16];
        assert_int_equal(store_view_open(view, &blocks[at[i]], &reader, NULL), MG_OK);
        count = block_find(reader, id, &first);
        for (uint32_t k = 0; k < count; k++) {
            assert_int_equal(block_fragment_info(reader, first + k, got, &in_fragment, &position), MG_OK);
            rows += in_fragment;
        }
    }
    store_view_free(&view);
    return rows;
}

/* --- tests ------------------------------------------------------------------------------------------ */

static void an_acked_span_is_counted_and_visible(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(send(rig, (struct want){ .trace = 1, .first = 1, .spans = 3 }), MG_OK);
    assert_int_equal(ledger_of(rig).accepted, 3);
    assert_int_equal(ledger_of(rig).pending, 3);
    assert_int_equal(in_ring(rig, 1), 3);
    assert_int_equal(in_ring(rig, 2), 0);
}

static void a_trace_with_its_root_is_stored_and_leaves_the_ring(void **state)
{
    struct rig *rig = *state;
    int64_t free_before = credit_free(&rig->credit);

    assert_int_equal(send(rig, (struct want){ .trace = 1, .first = 1, .spans = 10, .root = true }), MG_OK);
    assert_int_equal(wait_stored(rig, 10).stored, 10);
    assert_int_equal(ledger_of(rig).pending, 0);
    assert_int_equal(in_ring(rig, 1), 0);
    assert_int_equal(in_store(rig, 1), 10);
    assert_int_equal(credit_free(&rig->credit), free_before);
}

static void without_a_root_the_deadline_decides(void **state)
{
    struct rig *rig = *state;

    rig->decisions.decision_wait_ns = SECOND / 20;
    assert_int_equal(send(rig, (struct want){ .trace = 5, .first = 1, .spans = 2 }), MG_OK);
    assert_int_equal(wait_stored(rig, 2).stored, 2);
}

static void equal_spans_are_stored_once_and_counted(void **state)
{
    struct rig *rig = *state;

    rig->decisions.root_grace_ns = SECOND / 10;
    assert_int_equal(send(rig, (struct want){ .trace = 1, .first = 1, .spans = 4, .root = true }), MG_OK);
    assert_int_equal(send(rig, (struct want){ .trace = 1, .first = 1, .spans = 4, .root = true }), MG_OK);
    assert_int_equal(wait_stored(rig, 8).duplicate, 4);
    assert_int_equal(in_store(rig, 1), 4);
}

static void late_spans_get_a_decision_of_their_own(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(send(rig, (struct want){ .trace = 1, .first = 1, .spans = 4, .root = true }), MG_OK);
    wait_stored(rig, 4);
    rig->decisions.decision_wait_ns = SECOND / 20;
    assert_int_equal(send(rig, (struct want){ .trace = 1, .first = 100, .spans = 2 }), MG_OK);
    wait_stored(rig, 6);
    assert_int_equal(in_store(rig, 1), 6);
}

static void a_trace_that_grows_too_long_is_decided_early(void **state)
{
    struct rig *rig = *state;

    rig->live_conf.trace_spans_max = 50;
    assert_int_equal(send(rig, (struct want){ .trace = 1, .first = 1, .spans = 49 }), MG_OK);
    assert_int_equal(ledger_of(rig).pending, 49);
    assert_int_equal(send(rig, (struct want){ .trace = 1, .first = 50, .spans = 1 }), MG_OK);
    assert_int_equal(wait_stored(rig, 50).stored, 50);
}

static void a_full_ring_decides_the_oldest_and_makes_room(void **state)
{
    struct rig *rig = *state;
    uint64_t trace = 1;

    rig->store_conf.block_age_ns = 3600 * SECOND; /* only pressure makes it commit */
    for (; trace <= 400; trace++) { /* four rings full, none with a root */
        struct want want = { .trace = trace, .first = 1, .spans = 1000 };
        size_t bytes = 150000;
        while (!credit_take(&rig->credit, &bytes))
            usleep(1000);
        credit_give(&rig->credit, (int64_t)bytes);
        assert_int_equal(send(rig, want), MG_OK);
    }
    assert_true(ledger_of(rig).stored > 0);
    assert_int_equal(ledger_of(rig).accepted, 400000);
}

static void undecided_traces_survive_a_restart(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(send(rig, (struct want){ .trace = 1, .first = 1, .spans = 3 }), MG_OK);
    assert_int_equal(send(rig, (struct want){ .trace = 2, .first = 1, .spans = 5, .root = true }), MG_OK);
    wait_stored(rig, 5);
    for (int round = 0; round < 3; round++) {
        rig_stop(rig);
        rig_start(rig);
        assert_int_equal(in_ring(rig, 1), 3);
        assert_int_equal(ledger_of(rig).accepted, 8);
        assert_int_equal(ledger_of(rig).stored, 5);
        assert_int_equal(ledger_of(rig).pending, 3);
        assert_int_equal(in_store(rig, 2), 5);
    }
    rig_stop(rig);
    rig->decisions.decision_wait_ns = 0; /* log time went on from where it stood; now they are due */
    rig_start(rig);
    assert_int_equal(wait_stored(rig, 8).stored, 8);
    rig_stop(rig);
    rig_start(rig);
    assert_int_equal(in_store(rig, 1), 3);
    assert_int_equal(ledger_of(rig).stored, 8);
    assert_int_equal(ledger_of(rig).pending, 0);
}

static void positions_rise_when_the_journal_was_removed(void **state)
{
    struct rig *rig = *state;
    struct live_stats before, after;
    char command[160];

    assert_int_equal(send(rig, (struct want){ .trace = 1, .first = 1, .spans = 3, .root = true }), MG_OK);
    wait_stored(rig, 3);
    live_stat(rig->live, &before);
    rig_stop(rig);
    snprintf(command, sizeof command, "rm -rf %s", rig->journal_dir);
    assert_int_equal(system(command), 0);
    rig_start(rig);
    assert_int_equal(in_store(rig, 1), 3);
    assert_int_equal(ledger_of(rig).stored, 3);
    assert_int_equal(send(rig, (struct want){ .trace = 2, .first = 1, .spans = 1 }), MG_OK);
    live_stat(rig->live, &after);
    assert_true(after.position > before.position);
}

static void a_stopped_journal_refuses_and_gives_the_credit_back(void **state)
{
    struct rig *rig = *state;
    int64_t free_before = credit_free(&rig->credit);

    journal_stop(rig->journal);
    assert_int_not_equal(send(rig, (struct want){ .trace = 1, .first = 1, .spans = 3 }), MG_OK);
    assert_int_equal(ledger_of(rig).accepted, 0);
    assert_int_equal(credit_free(&rig->credit), free_before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_acked_span_is_counted_and_visible, setup, teardown),
        cmocka_unit_test_setup_teardown(a_trace_with_its_root_is_stored_and_leaves_the_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_root_the_deadline_decides, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_spans_are_stored_once_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(late_spans_get_a_decision_of_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_trace_that_grows_too_long_is_decided_early, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_ring_decides_the_oldest_and_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(undecided_traces_survive_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(positions_rise_when_the_journal_was_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stopped_journal_refuses_and_gives_the_credit_back, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Files of the queue that are cut, removed or damaged while the program is stopped: what can be known to be lost is counted
 * and told once, and nothing else is. */
#include "scene.h"
#include "unit/peer/log.h"

enum { PAGE = 4096, IN_SEGMENT = 15 /* batches: a page each, behind the page of the header */, N = 3 * IN_SEGMENT, AT_WIRE = 4 };

static const char *const segments[] = {"00000001.log", "00000002.log", "00000003.log"};

static uint64_t batches_lost(void)
{
    return rig_metric(&rig, "meshglass_export_batches_total{exporter=\"otlp\",outcome=\"disk\"}");
}

/* Each in a group of its own. */
static void give(uint64_t first, uint64_t last)
{
    for (uint64_t id = first; id <= last; id++)
        rig_give(&rig, id, 1, 3000);
}

static void stop(void)
{
    send_stop(rig.send, 0);
    send_close(&rig.send);
}

static void note(void)
{
    rig_settle(&rig);
    rig_move(2 * SECOND);
    rig_settle(&rig);
}

static void start_waiting(void)
{
    rig.conf.queue_bytes = 1 << 20;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
}

/* N batches in three segments; the first four are at the wire when it stops, which the state has with their spans. */
static void queue_fill(void)
{
    start_waiting();
    give(1, N);
    AWAIT(peer_attempts(&rig.peer) == AT_WIRE);
    stop();
    for (size_t i = 0; i < MG_COUNT(segments); i++)
        assert_non_null(memfs_file(&rig.fs, segments[i]));
    assert_int_equal(memfs_count(&rig.fs, ".log"), 3);
}

/* Starts it with a peer that takes all; those of [from, to] do not come. */
static void expect_lost(uint64_t first, uint64_t last, uint64_t from, uint64_t to, uint64_t spans)
{
    uint64_t before = batches_lost(), n_lost = to >= from ? to - from + 1 : 0, n = last - first + 1;
    size_t taken = peer_taken(&rig.peer);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_log_begin();
    rig_start(&rig);
    AWAIT(peer_taken(&rig.peer) >= taken + n - n_lost);
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(peer_taken(&rig.peer), taken + n - n_lost);
    for (uint64_t id = first; id <= last; id++)
        assert_int_equal(peer_times(&rig.peer, id), id < from || id > to);
    assert_int_equal(batches_lost(), before + n_lost);
    assert_int_equal(rig_stat(&rig).dropped_disk_spans, spans);
    stop();
    assert_int_equal(strstr(rig_log_end(), "export lost spans") != NULL, n_lost > 0);
    rig_start(&rig); /* counted once */
    rig_settle(&rig);
    assert_int_equal(batches_lost(), before + n_lost);
    assert_int_equal(rig_stat(&rig).queued_batches, 0);
    stop();
}

static void again(void)
{
    rig_fini(&rig);
    rig_init(&rig);
}

static void cut(const char *name, size_t bytes)
{
    struct memfs_file *file = memfs_file(&rig.fs, name);
    assert_true(bytes <= file->cache.n);
    file->cache.n = bytes;
}

/* --- what is lost is counted --- */

static void batches_of_a_cut_segment_are_counted(void **state)
{
    (void)state;
    static const size_t lefts[] = {IN_SEGMENT - 1, 7, AT_WIRE + 1, AT_WIRE};
    for (size_t segment = 0; segment < MG_COUNT(segments); segment++) {
        for (size_t i = 0; i < MG_COUNT(lefts); i++, again()) {
            uint64_t first = 1 + segment * IN_SEGMENT;
            queue_fill();
            cut(segments[segment], (1 + lefts[i]) * PAGE);
            expect_lost(1, N, first + lefts[i], first + IN_SEGMENT - 1, 0);
        }
    }
}

static void remove_segment(const char *name)
{
    memfs_remove(&rig.fs, name);
}

static void cut_to_nothing(const char *name)
{
    cut(name, 0);
}

static void cut_to_its_header(const char *name)
{
    cut(name, PAGE);
}

static void zero_all(const char *name)
{
    struct memfs_file *file = memfs_file(&rig.fs, name);
    memset(file->cache.at, 0, file->cache.n);
}

static void batches_of_a_segment_that_is_gone_are_counted(void **state)
{
    (void)state;
    static void (*const harms[])(const char *name) = {remove_segment, cut_to_nothing, cut_to_its_header, zero_all};
    for (size_t segment = 0; segment < MG_COUNT(segments); segment++) {
        for (size_t i = 0; i < MG_COUNT(harms); i++, again()) {
            uint64_t first = 1 + segment * IN_SEGMENT;
            queue_fill();
            harms[i](segments[segment]);
            /* the spans of those that were at the wire are known */
            expect_lost(1, N, first, first + IN_SEGMENT - 1, segment == 0 ? gift_spans_of(1, AT_WIRE) : 0);
        }
    }
}

static void a_damaged_last_group_that_the_state_knows_is_counted(void **state)
{
    (void)state;
    queue_fill();
    memfs_file(&rig.fs, segments[2])->cache.at[IN_SEGMENT * PAGE + 1000] ^= 1;
    expect_lost(1, N, N, N, 0);
}

static void a_queue_that_is_gone_is_counted_with_its_spans(void **state)
{
    (void)state;
    queue_fill();
    for (size_t i = 0; i < MG_COUNT(segments); i++)
        memfs_remove(&rig.fs, segments[i]);
    expect_lost(1, N, 1, N, gift_spans_of(1, N));
}

/* Behind the last state it is the headers that tell. */
static void a_segment_between_others_is_missed_without_the_state(void **state)
{
    (void)state;
    start_waiting();
    give(1, 5);
    note();
    give(6, N);
    rig_crash(&rig);
    memfs_remove(&rig.fs, segments[1]);
    expect_lost(1, N, IN_SEGMENT + 1, 2 * IN_SEGMENT, 0);
}

/* A start whose new segment stays empty has noted where the one before ends. */
static void an_empty_segment_tells_of_the_one_before(void **state)
{
    (void)state;
    start_waiting();
    give(1, 5);
    note();
    give(6, IN_SEGMENT);
    rig_crash(&rig);
    rig_start(&rig);
    rig_crash(&rig); /* the state is the one of 5 batches */
    cut(segments[0], (1 + 10) * PAGE);
    expect_lost(1, IN_SEGMENT, 11, IN_SEGMENT, 0);
}

/* The peer is away: the loss is told at the first start, and not at those that follow. */
static void what_is_missing_is_counted_once(void **state)
{
    (void)state;
    queue_fill();
    memfs_remove(&rig.fs, segments[2]);
    for (int i = 0; i < 3; i++) {
        rig_log_begin();
        rig_start(&rig);
        rig_tick(&rig);
        assert_int_equal(batches_lost(), IN_SEGMENT);
        assert_int_equal(rig_stat(&rig).queued_batches, 2 * IN_SEGMENT);
        stop();
        assert_int_equal(strstr(rig_log_end(), "damaged or missing") != NULL, i == 0);
    }
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(peer_taken(&rig.peer), 2 * IN_SEGMENT);
    assert_int_equal(batches_lost(), IN_SEGMENT);
}

/* --- nothing else is --- */

static void a_damaged_segment_header_costs_no_batch(void **state)
{
    (void)state;
    for (size_t segment = 0; segment < MG_COUNT(segments); segment++) {
        for (uint8_t keep = 0; keep < 2; keep++, again()) { /* zeros, or a flipped byte */
            queue_fill();
            uint8_t *header = memfs_file(&rig.fs, segments[segment])->cache.at;
            if (keep)
                header[40] ^= 1;
            else
                memset(header, 0, PAGE);
            expect_lost(1, N, 1, 0, 0);
        }
    }
}

static void an_orderly_stop_misses_nothing(void **state)
{
    (void)state;
    queue_fill();
    expect_lost(1, N, 1, 0, 0);
}

/* What is torn was never durable: no state has it. */
static void a_torn_tail_is_no_loss(void **state)
{
    (void)state;
    for (int cut_short = 0; cut_short < 2; cut_short++, again()) {
        start_waiting();
        give(1, 10);
        note();
        give(11, 11);
        rig_crash(&rig);
        if (cut_short)
            cut(segments[0], 11 * PAGE + 512);
        else
            memfs_file(&rig.fs, segments[0])->cache.at[11 * PAGE + 1000] ^= 1;
        peer_mode(&rig.peer, PEER_TAKES);
        rig_log_begin();
        rig_start(&rig);
        AWAIT(peer_taken(&rig.peer) == 10);
        AWAIT(rig_is_drained(&rig));
        stop();
        assert_null(strstr(rig_log_end(), "export lost spans"));
        assert_int_equal(batches_lost(), 0);
    }
}

/* Positions that a failed group used up are nobody's batch, whether something came after it or not. */
static void a_failed_group_is_no_loss(void **state)
{
    (void)state;
    for (uint64_t after = 0; after < 2; after++, again()) {
        struct gift *gifts = gifts_new(11, 1, 3000);
        struct journal_stats stats = {0};
        start_waiting();
        give(1, 10);
        note();
        pthread_mutex_lock(&rig.fs.lock);
        rig.fs.fail_fdatasyncs = 1;
        pthread_mutex_unlock(&rig.fs.lock);
        rig_put(&rig, gifts, 1);
        AWAIT((journal_stat(rig.send->journal, &stats), stats.segments == 2)); /* the failed one's is followed by another */
        if (after) {
            rig_clock_runs(true); /* until it is tried again */
            AWAIT(gift_is_done(&gifts[0]));
            rig_clock_runs(false);
        }
        rig_crash(&rig);
        gifts_free(gifts, 1);
        expect_lost(1, 10 + after, 1, 0, 0);
    }
}

static void what_was_sent_and_released_is_not_missed(void **state)
{
    (void)state;
    rig.conf.queue_bytes = 1 << 20;
    rig_start(&rig);
    give(1, N);
    AWAIT(rig_is_drained(&rig));
    note();
    peer_mode(&rig.peer, PEER_HOLDS);
    give(N + 1, 2 * N);
    AWAIT(memfs_file(&rig.fs, segments[0]) == NULL);
    rig_crash(&rig);
    expect_lost(N + 1, 2 * N, 1, 0, 0);
}

/* Then nothing tells what was released and what was removed. */
static void without_a_state_the_beginning_is_not_missed(void **state)
{
    (void)state;
    queue_fill();
    memfs_remove(&rig.fs, "state");
    expect_lost(1, N, 1, 0, 0);
    again();
    queue_fill();
    memfs_remove(&rig.fs, "state");
    memfs_remove(&rig.fs, segments[0]);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    AWAIT(peer_taken(&rig.peer) == N - IN_SEGMENT);
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(batches_lost(), 0);
}

static void an_emptied_folder_misses_nothing(void **state)
{
    (void)state;
    queue_fill();
    for (size_t i = 0; i < MG_COUNT(segments); i++)
        memfs_remove(&rig.fs, segments[i]);
    memfs_remove(&rig.fs, "state");
    rig_start(&rig);
    rig_settle(&rig);
    assert_int_equal(batches_lost(), 0);
    assert_int_equal(rig_stat(&rig).queued_batches, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batches_of_a_cut_segment_are_counted),
        TEST(batches_of_a_segment_that_is_gone_are_counted),
        TEST(a_damaged_last_group_that_the_state_knows_is_counted),
        TEST(a_queue_that_is_gone_is_counted_with_its_spans),
        TEST(a_segment_between_others_is_missed_without_the_state),
        TEST(an_empty_segment_tells_of_the_one_before),
        TEST(what_is_missing_is_counted_once),
        TEST(a_damaged_segment_header_costs_no_batch),
        TEST(an_orderly_stop_misses_nothing),
        TEST(a_torn_tail_is_no_loss),
        TEST(a_failed_group_is_no_loss),
        TEST(what_was_sent_and_released_is_not_missed),
        TEST(without_a_state_the_beginning_is_not_missed),
        TEST(an_emptied_folder_misses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

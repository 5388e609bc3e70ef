/* What leaves the queue without the peer: by age, and by the bound of its space, also when that changes. */
#include "scene.h"
#include "unit/peer/log.h"

static void batches_that_are_too_old_are_dropped(void **state)
{
    (void)state;
    rig.conf.retry_for_ns = 60 * SECOND;
    peer_mode(&rig.peer, PEER_RETRIES);
    rig_start(&rig);
    rig_give(&rig, 1, 30, 100);
    rig_move(50 * SECOND);
    rig_give(&rig, 31, 10, 100);
    rig_settle(&rig);
    assert_int_equal(rig_stat(&rig).queued_batches, 40);
    assert_int_equal(rig_stat(&rig).dropped_old_spans, 0);
    rig_move(10 * SECOND); /* also those that were never tried */
    AWAIT(rig_stat(&rig).dropped_old_spans == gift_spans_of(1, 30));
    AWAIT(rig_stat(&rig).queued_batches == 10);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_move(30 * SECOND);
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(rig_stat(&rig).sent_spans, gift_spans_of(31, 40));
    assert_int_equal(rig_counted(&rig, "too_old"), gift_spans_of(1, 30));
}

/* Who was away longer than retry_for still tries what it has left. */
static void age_alone_drops_nothing(void **state)
{
    (void)state;
    rig.conf.retry_for_ns = 60 * SECOND;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    rig_give(&rig, 1, 20, 100);
    send_stop(rig.send, 0);
    send_close(&rig.send);
    rig_move(10000 * SECOND);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    AWAIT(peer_taken(&rig.peer) == 20);
    assert_int_equal(rig_stat(&rig).dropped_old_spans, 0);
}

static void a_clock_that_is_set_forward_drops_nothing_for_an_hour(void **state)
{
    (void)state;
    const uint64_t hour = 3600 * SECOND, year = 365 * 24 * hour;
    rig.conf.retry_for_ns = 10 * hour;
    peer_mode(&rig.peer, PEER_RETRIES);
    rig_start(&rig);
    rig_give(&rig, 1, 5, 100);
    rig_tick(&rig);
    rig_log_begin();
    rig_move_wall(year);
    rig_tick(&rig);
    rig_move(hour - SECOND);
    rig_tick(&rig);
    assert_int_equal(rig_stat(&rig).queued_batches, 5);
    rig_move_wall(-year); /* it was a mistake */
    rig_tick(&rig);
    rig_move(hour);
    rig_tick(&rig);
    assert_int_equal(rig_stat(&rig).queued_batches, 5);
    rig_move_wall(year);
    rig_tick(&rig);
    assert_int_equal(rig_stat(&rig).dropped_old_spans, 0);
    rig_move(hour);
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(rig_stat(&rig).dropped_old_spans, gift_spans_of(1, 5));
    assert_non_null(strstr(rig_log_end(), "the wall clock was set forward"));
    rig_move_wall(-year);
}

static uint64_t disk_bytes(void)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&rig.fs.lock);
    for (size_t i = 0; i < rig.fs.names.n; i++)
        bytes += rig.fs.files.at[rig.fs.names.at[i].file].cache.n;
    pthread_mutex_unlock(&rig.fs.lock);
    return bytes;
}

static void a_full_queue_drops_the_oldest(void **state)
{
    (void)state;
    enum { N = 1000 };
    rig.conf.queue_bytes = 1 << 20;
    peer_mode(&rig.peer, PEER_RETRIES);
    rig_start(&rig);
    for (uint64_t id = 1; id <= N; id += 20) { /* 4 KiB each on disk */
        rig_give(&rig, id, 20, 3000);
        rig_settle(&rig);
        assert_true(disk_bytes() <= (1 << 20) + (128 << 10)); /* a segment more until the next tick, and the state */
    }
    struct send_stats stats = rig_stat(&rig);
    uint64_t left = stats.queued_batches;
    assert_in_range(left, 100, 2000);
    assert_int_equal(stats.dropped_full_spans, gift_spans_of(1, N - left));
    peer_mode(&rig.peer, PEER_TAKES);
    rig_move(30 * SECOND);
    AWAIT(rig_is_drained(&rig));
    for (uint64_t id = 1; id <= N; id++)
        assert_int_equal(peer_times(&rig.peer, id), id > N - left);
    assert_int_equal(rig_stat(&rig).sent_spans, gift_spans_of(N - left + 1, N));
    assert_int_equal(rig_counted(&rig, "queue_full"), gift_spans_of(1, N - left));
    assert_int_equal(rig_stat(&rig).put_spans, rig_stat(&rig).sent_spans + rig_stat(&rig).dropped_full_spans);
}

/* A reload makes the queue smaller: its oldest go and are counted, down to two segments of the size that they were made with. */
static void a_smaller_queue_is_obeyed_at_once(void **state)
{
    (void)state;
    enum { N = 1250, SEGMENT = 256 << 10, STATE = 64 << 10 };
    static const struct {
        uint64_t queue_bytes, obeyed;
        bool is_warned_of;
    } cases[] = {
        {3 << 20, 3 << 20, false},         {1 << 20, 1 << 20, false},
        {2 * SEGMENT, 2 * SEGMENT, false}, {2 * SEGMENT - 1, 2 * SEGMENT, true},
        {64 << 10, 2 * SEGMENT, true},     {1, 2 * SEGMENT, true},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t first = 1 + i * (N + 1);
        struct send_conf smaller = rig.conf;
        rig.conf.queue_bytes = 4 << 20;
        smaller.queue_bytes = cases[i].queue_bytes;
        peer_mode(&rig.peer, PEER_RETRIES);
        rig_start(&rig);
        rig_give(&rig, first, N, 3000); /* almost full */
        rig_settle(&rig);
        assert_int_equal(rig_stat(&rig).dropped_full_spans, 0);
        rig_log_begin();
        send_reload(rig.send, &smaller);
        send_reload(rig.send, &smaller); /* of what does not change nothing is said */
        AWAIT(rig_stat(&rig).dropped_full_spans > 0);
        rig_settle(&rig);
        const char *said = strstr(rig_log_end(), "so small only at the next start");
        assert_int_equal(said != NULL, cases[i].is_warned_of);
        assert_true(!said || !strstr(said + 1, "so small only at the next start"));
        rig_give(&rig, first + N, 1, 100); /* its commit releases what was trimmed */
        AWAIT(disk_bytes() <= cases[i].obeyed + STATE);
        rig_settle(&rig);
        uint64_t left = rig_stat(&rig).queued_batches;
        assert_true(left > 0);
        assert_int_equal(rig_stat(&rig).dropped_full_spans, gift_spans_of(first, first + N - left));
        peer_mode(&rig.peer, PEER_TAKES);
        rig_clock_runs(true);
        AWAIT(rig_is_drained(&rig));
        rig_clock_runs(false);
        for (uint64_t id = first; id <= first + N; id++)
            assert_int_equal(peer_times(&rig.peer, id), id > first + N - left);
        send_close(&rig.send);
    }
}

/* What arrives when a smaller bound counts is bounded by it, and by the larger one that comes after it. */
static void a_bound_that_changes_back_and_forth_counts_from_then_on(void **state)
{
    (void)state;
    struct send_conf small = rig.conf, large = rig.conf;
    large.queue_bytes = rig.conf.queue_bytes = 4 << 20;
    small.queue_bytes = 1 << 20;
    peer_mode(&rig.peer, PEER_RETRIES);
    rig_start(&rig);
    send_reload(rig.send, &small);
    for (uint64_t id = 1; id <= 600; id += 20) {
        rig_give(&rig, id, 20, 3000);
        rig_settle(&rig);
    }
    uint64_t dropped = rig_stat(&rig).dropped_full_spans;
    assert_true(dropped > 0);
    send_reload(rig.send, &large);
    rig_give(&rig, 601, 400, 3000);
    rig_settle(&rig);
    assert_int_equal(rig_stat(&rig).dropped_full_spans, dropped);
}

/* A batch that lost its place on disk while it is at the wire: its answer still counts. */
static void what_is_at_the_wire_may_still_be_taken(void **state)
{
    (void)state;
    static const enum peer_mode modes[] = {PEER_TAKES, PEER_RETRIES};
    for (size_t i = 0; i < MG_COUNT(modes); i++) {
        uint64_t first = 1 + 1000 * i;
        rig.conf.queue_bytes = 1 << 20;
        peer_mode(&rig.peer, PEER_HOLDS);
        rig_start(&rig);
        rig_give(&rig, first, 4, 3000);
        AWAIT(rig_stat(&rig).queued_batches == 4);
        for (uint64_t id = first + 4; id < first + 804; id += 20) {
            rig_give(&rig, id, 20, 3000);
            rig_settle(&rig);
        }
        uint64_t full = rig_stat(&rig).dropped_full_spans;
        assert_true(full > 0);
        peer_mode(&rig.peer, modes[i]);
        AWAIT(peer_attempts(&rig.peer) >= 5 + 4 * i);
        rig_settle(&rig);
        if (modes[i] == PEER_TAKES)
            assert_int_equal(peer_times(&rig.peer, first), 1);
        else
            assert_int_equal(rig_stat(&rig).dropped_full_spans, full + gift_spans_of(first, first + 3));
        peer_mode(&rig.peer, PEER_TAKES);
        rig_clock_runs(true);
        AWAIT(rig_is_drained(&rig));
        rig_clock_runs(false);
        struct send_stats stats = rig_stat(&rig);
        assert_int_equal(stats.put_spans, stats.sent_spans + stats.dropped_full_spans);
        send_close(&rig.send);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batches_that_are_too_old_are_dropped),
        TEST(age_alone_drops_nothing),
        TEST(a_clock_that_is_set_forward_drops_nothing_for_an_hour),
        TEST(a_full_queue_drops_the_oldest),
        TEST(a_smaller_queue_is_obeyed_at_once),
        TEST(a_bound_that_changes_back_and_forth_counts_from_then_on),
        TEST(what_is_at_the_wire_may_still_be_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

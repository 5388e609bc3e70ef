/* From the queue to the peer: order and number of attempts, waits under a moved clock, verdicts, probing, a bad disk. */
#include "scene.h"
#include <errno.h>
#include <stdio.h>

/* Moves the clock until the n-th attempt was made; answers how far, in steps of `step`. */
static uint64_t moved_until(size_t attempts, uint64_t step, uint64_t most)
{
    uint64_t moved = 0;
    for (;;) {
        rig_settle(&rig);
        if (peer_attempts(&rig.peer) >= attempts || moved >= most)
            return moved;
        rig_move(step);
        moved += step;
    }
}

static void everything_arrives_once(void **state)
{
    (void)state;
    for (int at_once = 0; at_once < 2; at_once++) {
        uint64_t first = 1 + 500 * (uint64_t)at_once;
        rig.peer.answers_at_once = at_once;
        rig_start(&rig);
        rig_give(&rig, first, 500, 3000);
        AWAIT(rig_is_drained(&rig));
        for (uint64_t id = first; id < first + 500; id++)
            assert_int_equal(peer_times(&rig.peer, id), 1);
        struct send_stats stats = rig_stat(&rig);
        assert_int_equal(stats.sent_spans, gift_spans_of(first, first + 499));
        assert_int_equal(stats.batches, 500);
        assert_int_equal(stats.retries, 0);
        assert_int_equal(stats.oldest_wall_ns, 0);
        assert_string_equal(stats.last_error, "");
        send_close(&rig.send);
    }
    for (size_t i = 1; i < 500; i++) /* the peer answers in order, so they come in order */
        assert_true(peer_attempt(&rig.peer, i).number > peer_attempt(&rig.peer, i - 1).number);
    assert_true(rig.peer.at_wire_most <= 4);
}

static void no_more_than_in_flight_are_at_the_wire(void **state)
{
    (void)state;
    static const uint64_t most[] = {1, 2, 4, 64};
    peer_mode(&rig.peer, PEER_HOLDS);
    for (size_t i = 0; i < MG_COUNT(most); i++) {
        rig.conf.in_flight = most[i];
        rig.peer.at_wire_most = 0;
        peer_mode(&rig.peer, PEER_HOLDS);
        rig_start(&rig);
        rig_give(&rig, 1 + i * 100, 100, 100);
        AWAIT(rig.peer.at_wire_most == most[i]);
        rig_settle(&rig);
        assert_int_equal(rig.peer.at_wire_most, most[i]);
        peer_mode(&rig.peer, PEER_TAKES);
        AWAIT(rig_is_drained(&rig));
        assert_int_equal(rig.peer.at_wire_most, most[i]);
        send_close(&rig.send);
    }
}

static void a_reload_counts_from_then_on(void **state)
{
    (void)state;
    struct send_conf wider = rig.conf;
    wider.in_flight = 9;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    rig_give(&rig, 1, 30, 100);
    AWAIT(rig.peer.at_wire_most == 4);
    rig_settle(&rig);
    assert_int_equal(rig.peer.at_wire_most, 4);
    send_reload(rig.send, &wider);
    memset(&wider, 0, sizeof wider); /* it was copied */
    AWAIT(rig.peer.at_wire_most == 9);
    peer_mode(&rig.peer, PEER_TAKES);
    AWAIT(rig_is_drained(&rig));
}

/* --- retries --- */

static void a_retry_waits_twice_as_long_each_time(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_RETRIES);
    rig_start(&rig);
    rig_give(&rig, 1, 1, 100);
    AWAIT(peer_attempts(&rig.peer) == 1);
    static const uint64_t waits[] = {1, 2, 4, 8, 16, 30, 30, 30}; /* seconds; shortened by up to half */
    for (size_t i = 0; i < MG_COUNT(waits); i++) {
        uint64_t moved = moved_until(i + 2, waits[i] * SECOND / 20, 40 * SECOND);
        assert_in_range(moved, waits[i] * SECOND / 2, waits[i] * SECOND + waits[i] * SECOND / 20);
    }
    assert_int_equal(rig_stat(&rig).queued_batches, 1);
    assert_string_equal(rig_stat(&rig).last_error, "connection refused");
    peer_mode(&rig.peer, PEER_TAKES);
    rig_move(30 * SECOND);
    AWAIT(peer_taken(&rig.peer) == 1);
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(rig_stat(&rig).retries, MG_COUNT(waits) + 1);
    assert_int_equal(rig_metric(&rig, "meshglass_export_retries_total{exporter=\"otlp\"}"), MG_COUNT(waits) + 1);
    assert_string_equal(rig_stat(&rig).last_error, "");
}

static void a_longer_hint_of_the_peer_wins(void **state)
{
    (void)state;
    static const struct {
        uint64_t hint_ms, least, most; /* of the wait, in seconds */
    } cases[] = {
        {0, 0, 1}, {100, 0, 1}, {10000, 10, 11}, {3600000, 3600, 3700}, {UINT64_MAX, 3600, 3700} /* an hour at most */
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        size_t before = peer_attempts(&rig.peer);
        peer_mode(&rig.peer, PEER_RETRIES);
        rig.peer.hint_ms = cases[i].hint_ms;
        rig_start(&rig);
        rig_give(&rig, 1 + i, 1, 100);
        AWAIT(peer_attempts(&rig.peer) == before + 1);
        uint64_t step = MG_MAX(cases[i].most * SECOND / 20, SECOND / 10);
        uint64_t moved = moved_until(before + 2, step, 5000 * SECOND);
        assert_in_range(moved, cases[i].least * SECOND, cases[i].most * SECOND + step);
        rig.peer.hint_ms = 0;
        peer_mode(&rig.peer, PEER_TAKES);
        rig_move(3600 * SECOND);
        AWAIT(rig_is_drained(&rig));
        send_close(&rig.send);
    }
}

static void a_dead_peer_costs_few_attempts_and_no_batch(void **state)
{
    (void)state;
    enum { N = 200 };
    peer_mode(&rig.peer, PEER_RETRIES);
    rig_start(&rig);
    rig_give(&rig, 1, N, 1000);
    uint64_t from = rig_mono();
    while (rig_mono() < from + 600 * SECOND) { /* ten minutes */
        rig_move(2 * SECOND);
        rig_settle(&rig);
    }
    size_t attempts = peer_attempts(&rig.peer);
    assert_in_range(attempts, 20, 55); /* one each 15 to 30 s, once the wait has grown */
    assert_int_equal(rig_stat(&rig).queued_batches, N);
    assert_true(rig.peer.at_wire_most <= 4);
    assert_in_range(rig_wall() - rig_stat(&rig).oldest_wall_ns, 600 * SECOND, 610 * SECOND);
    assert_in_range(rig_metric(&rig, "meshglass_export_oldest_seconds{exporter=\"otlp\"}"), 599, 610);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_move(30 * SECOND); /* the next probe */
    AWAIT(rig_is_drained(&rig));
    for (uint64_t id = 1; id <= N; id++)
        assert_int_equal(peer_times(&rig.peer, id), 1);
    assert_int_equal(rig_stat(&rig).sent_spans, gift_spans_of(1, N));
}

static void while_everything_is_refused_one_batch_probes(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_RETRIES);
    rig_start(&rig);
    rig_give(&rig, 1, 50, 100);
    AWAIT(peer_attempts(&rig.peer) >= 2);
    rig_settle(&rig);
    assert_true(peer_attempts(&rig.peer) <= 5); /* what was at the wire already */
    peer_mode(&rig.peer, PEER_HOLDS);
    rig.peer.at_wire_most = 0;
    size_t before = peer_attempts(&rig.peer);
    for (int i = 0; i < 20; i++) { /* far beyond every wait: the probe is not answered, so there is no second */
        rig_move(30 * SECOND);
        rig_settle(&rig);
    }
    assert_int_equal(peer_attempts(&rig.peer), before + 1);
    assert_int_equal(rig.peer.at_wire_most, 1);
    peer_mode(&rig.peer, PEER_TAKES);
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(peer_taken(&rig.peer), 50);
}

static void a_refused_batch_is_gone(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_REFUSES);
    rig_start(&rig);
    rig_give(&rig, 1, 10, 100);
    AWAIT(rig_is_drained(&rig));
    struct send_stats stats = rig_stat(&rig);
    assert_int_equal(stats.refused_spans, gift_spans_of(1, 10));
    assert_int_equal(stats.sent_spans, 0);
    assert_int_equal(stats.retries, 0);
    assert_int_equal(peer_attempts(&rig.peer), 10);
    assert_string_equal(stats.last_error, "400 malformed");
    assert_int_equal(rig_counted(&rig, "refused"), gift_spans_of(1, 10));
    assert_int_equal(rig_counted(&rig, "sent"), 0);
}

static void a_partly_refused_batch_is_sent(void **state)
{
    (void)state;
    static const struct {
        uint32_t refused, sent, counted;
    } cases[] = {{0, 4, 0}, {1, 3, 1}, {4, 0, 4}, {5, 0, 4}, {UINT32_MAX, 0, 4}};
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig.peer.refused_spans = cases[i].refused;
        rig_start(&rig);
        rig_give(&rig, 3 + i * 5, 1, 100); /* of 4 spans */
        AWAIT(rig_stat(&rig).batches == 1);
        AWAIT(rig_is_drained(&rig));
        assert_int_equal(rig_stat(&rig).sent_spans, cases[i].sent);
        assert_int_equal(rig_stat(&rig).refused_spans, cases[i].counted);
        assert_string_equal(rig_stat(&rig).last_error, "");
        send_close(&rig.send);
    }
    assert_int_equal(rig_metric(&rig, "meshglass_export_batches_total{exporter=\"otlp\",outcome=\"sent\"}"), MG_COUNT(cases));
    assert_int_equal(rig_metric(&rig, "meshglass_export_batches_total{exporter=\"otlp\",outcome=\"refused\"}"), 0);
}

static void assert_progress(struct send_progress have, uint32_t spans, uint32_t refused)
{
    assert_int_equal(have.spans, spans);
    assert_int_equal(have.refused, refused);
}

static void what_has_its_answer_is_not_sent_again(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_RETRIES);
    rig.peer.done = (struct send_progress){2, 1};
    rig_start(&rig);
    rig_give(&rig, 3, 1, 100); /* of 4 spans */
    AWAIT(peer_attempts(&rig.peer) == 1);
    rig_tick(&rig);
    rig.peer.done = (struct send_progress){9, 7}; /* never more than there are */
    (void)moved_until(2, SECOND, 60 * SECOND);
    rig_tick(&rig);
    rig.peer.refused_spans = 3;
    peer_mode(&rig.peer, PEER_TAKES);
    (void)moved_until(3, SECOND, 60 * SECOND);
    AWAIT(rig_is_drained(&rig));
    assert_progress(peer_attempt(&rig.peer, 0).done, 0, 0);
    assert_progress(peer_attempt(&rig.peer, 1).done, 2, 1);
    assert_progress(peer_attempt(&rig.peer, 2).done, 4, 4);
    assert_int_equal(rig_stat(&rig).sent_spans, 1);
    assert_int_equal(rig_stat(&rig).refused_spans, 3);
}

static void a_start_sends_all_of_it_again(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_RETRIES);
    rig.peer.done = (struct send_progress){2, 1};
    rig_start(&rig);
    rig_give(&rig, 3, 1, 100);
    AWAIT(peer_attempts(&rig.peer) == 1);
    send_stop(rig.send, 0);
    send_close(&rig.send);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    AWAIT(rig_stat(&rig).sent_spans == 4);
    assert_progress(peer_attempt(&rig.peer, 1).done, 0, 0);
}

/* What the peer has is counted as sent, although the batch is lost. */
static void the_rest_of_a_batch_is_lost(void **state)
{
    static const struct {
        enum peer_mode mode;
        struct send_progress done;
        uint64_t sent, refused, old;
    } cases[] = {
        {PEER_REFUSES, {0, 0}, 0, 4, 0}, {PEER_REFUSES, {2, 1}, 1, 3, 0}, {PEER_REFUSES, {3, 0}, 3, 1, 0},
        {PEER_RETRIES, {0, 0}, 0, 0, 4}, {PEER_RETRIES, {2, 1}, 1, 1, 2}, {PEER_RETRIES, {2, 2}, 0, 2, 2},
    };
    (void)state;
    rig.conf.retry_for_ns = 5 * SECOND;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig.peer.done = cases[i].done;
        peer_mode(&rig.peer, cases[i].mode);
        size_t before = peer_attempts(&rig.peer);
        rig_start(&rig);
        rig_give(&rig, 3 + i * 5, 1, 100); /* of 4 spans */
        AWAIT(peer_attempts(&rig.peer) > before);
        rig_tick(&rig);
        rig_move(10 * SECOND);
        AWAIT(rig_is_drained(&rig));
        struct send_stats stats = rig_stat(&rig);
        if (stats.sent_spans != cases[i].sent || stats.refused_spans != cases[i].refused || stats.dropped_old_spans != cases[i].old)
            fail_msg("row %zu: %d, %d, %d", i, (int)stats.sent_spans, (int)stats.refused_spans, (int)stats.dropped_old_spans);
        assert_int_equal(stats.batches, 1);
        send_close(&rig.send);
    }
}

/* --- the disk --- */

static void a_queue_that_cannot_be_read_is_tried_again(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    rig_give(&rig, 1, 20, 100);
    send_stop(rig.send, 0);
    send_close(&rig.send);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    AWAIT(peer_taken(&rig.peer) == 20);
    send_close(&rig.send);

    peer_mode(&rig.peer, PEER_RETRIES);
    rig_start(&rig);
    rig_give(&rig, 21, 20, 300000); /* more than a window of the reader each */
    rig_settle(&rig);
    pthread_mutex_lock(&rig.fs.lock);
    rig.fs.is_dead = true;
    pthread_mutex_unlock(&rig.fs.lock);
    size_t before = peer_attempts(&rig.peer);
    for (int i = 0; i < 10; i++) {
        rig_move(SECOND * 30);
        rig_settle(&rig);
    }
    assert_in_range(peer_attempts(&rig.peer), before, before + 2); /* what the two readers had in memory */
    pthread_mutex_lock(&rig.fs.lock);
    rig.fs.is_dead = false;
    pthread_mutex_unlock(&rig.fs.lock);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_clock_runs(true);
    AWAIT(rig_is_drained(&rig));
    for (uint64_t id = 1; id <= 40; id++)
        assert_int_equal(peer_times(&rig.peer, id), 1);
    assert_int_equal(rig_stat(&rig).dropped_disk_spans, 0);
}

/* Harms the frame of item id, whose record begins at a multiple of 64. */
static void damage(const char *name, uint64_t id)
{
    struct memfs_file *file = memfs_file(&rig.fs, name);
    const uint8_t meta[] = {1, 1, 2, (uint8_t)(id * 10)}; /* version 1, its position */
    for (size_t at = 4096; at + 64 + sizeof meta <= file->cache.n; at += 64)
        if (memcmp(file->cache.at + at + 64, meta, sizeof meta) == 0) {
            file->cache.at[at + 64 + 20] ^= 1;
            return;
        }
    fail_msg("item %d is not in %s", (int)id, name);
}

static void a_damaged_batch_costs_only_itself(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    rig_give(&rig, 1, 20, 3000);
    rig_give(&rig, 21, 1, 3000); /* a later group, or the damage would be taken for a torn tail */
    send_stop(rig.send, 0);
    send_close(&rig.send);
    damage("00000001.log", 10);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    AWAIT(peer_taken(&rig.peer) == 20);
    AWAIT(rig_is_drained(&rig));
    for (uint64_t id = 1; id <= 21; id++)
        assert_int_equal(peer_times(&rig.peer, id), id != 10);
    assert_int_equal(rig_metric(&rig, "meshglass_export_batches_total{exporter=\"otlp\",outcome=\"disk\"}"), 1);
}

/* The reader finds one, the searcher another, and no tick is between: each counts once. */
static void what_both_readers_miss_is_counted(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    rig_give(&rig, 1, 10, 3000);
    rig_give(&rig, 11, 1, 3000);
    send_stop(rig.send, 0); /* four were at the wire */
    send_close(&rig.send);
    damage("00000001.log", 3);
    damage("00000001.log", 6);
    peer_mode(&rig.peer, PEER_TAKES);
    rig.peer.answers_at_once = true;
    rig_start(&rig);
    AWAIT(peer_taken(&rig.peer) == 9);
    rig_settle(&rig);
    for (uint64_t id = 1; id <= 11; id++)
        assert_int_equal(peer_times(&rig.peer, id), id != 3 && id != 6);
    assert_int_equal(rig_stat(&rig).dropped_disk_spans, gift_spans(3)); /* those of 6 cannot be told */
    assert_int_equal(rig_metric(&rig, "meshglass_export_batches_total{exporter=\"otlp\",outcome=\"disk\"}"), 2);
}

/* What is evicted while the disk is given a rest after an error is read once more, and counted. */
static void a_moment_of_a_bad_disk_hides_no_loss(void **state)
{
    (void)state;
    rig.conf.queue_bytes = 1 << 20;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    rig_give(&rig, 1, 200, 3000);
    rig_settle(&rig);
    pthread_mutex_lock(&rig.fs.lock);
    rig.fs.is_dead = true;
    pthread_mutex_unlock(&rig.fs.lock);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_settle(&rig); /* what the reader has in memory goes, then it fails; the clock stands */
    size_t taken = peer_taken(&rig.peer);
    assert_in_range(taken, 4, 150);
    pthread_mutex_lock(&rig.fs.lock);
    rig.fs.is_dead = false;
    pthread_mutex_unlock(&rig.fs.lock);
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_give(&rig, 201, 300, 3000);
    AWAIT(rig_stat(&rig).dropped_full_spans > 0);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_clock_runs(true);
    AWAIT(rig_is_drained(&rig));
    struct send_stats stats = rig_stat(&rig);
    assert_int_equal(stats.put_spans, stats.sent_spans + stats.dropped_full_spans);
    assert_int_equal(stats.dropped_disk_spans, 0);
}

static long (*real_pread)(void *ctx, int fd, void *out, size_t n, int64_t offset);
static atomic_bool reads_fail;

static long pread_or_fail(void *ctx, int fd, void *out, size_t n, int64_t offset)
{
    if (!reads_fail)
        return real_pread(ctx, fd, out, n, offset);
    errno = EIO;
    return -1;
}

static uint64_t batches_counted(const char *outcome)
{
    char line[120];
    snprintf(line, sizeof line, "meshglass_export_batches_total{exporter=\"otlp\",outcome=\"%s\"}", outcome);
    return rig_metric(&rig, line);
}

/* The disk takes what is new but gives back nothing of what is evicted: its spans are not known, its batches are. */
static void what_is_evicted_unread_is_counted(void **state)
{
    (void)state;
    rig.conf.queue_bytes = 1 << 20;
    real_pread = rig.fs.io.pread;
    rig.fs.io.pread = pread_or_fail;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    rig_give(&rig, 1, 200, 3000);
    rig_settle(&rig);
    reads_fail = true;
    for (uint64_t id = 201; id <= 500; id += 20) {
        rig_give(&rig, id, 20, 3000);
        rig_settle(&rig);
    }
    reads_fail = false;
    peer_mode(&rig.peer, PEER_TAKES);
    rig_clock_runs(true);
    AWAIT(peer_times(&rig.peer, 500) == 1 && rig_stat(&rig).queued_batches == 0);
    rig_clock_runs(false);
    assert_true(rig_stat(&rig).put_spans > rig_stat(&rig).sent_spans + rig_stat(&rig).dropped_full_spans);
    assert_int_equal(batches_counted("sent") + batches_counted("queue_full"), 500);
    assert_int_equal(batches_counted("disk"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_arrives_once),
        TEST(no_more_than_in_flight_are_at_the_wire),
        TEST(a_reload_counts_from_then_on),
        TEST(a_retry_waits_twice_as_long_each_time),
        TEST(a_longer_hint_of_the_peer_wins),
        TEST(a_dead_peer_costs_few_attempts_and_no_batch),
        TEST(while_everything_is_refused_one_batch_probes),
        TEST(a_refused_batch_is_gone),
        TEST(a_partly_refused_batch_is_sent),
        TEST(what_has_its_answer_is_not_sent_again),
        TEST(a_start_sends_all_of_it_again),
        TEST(the_rest_of_a_batch_is_lost),
        TEST(a_queue_that_cannot_be_read_is_tried_again),
        TEST(a_damaged_batch_costs_only_itself),
        TEST(what_both_readers_miss_is_counted),
        TEST(a_moment_of_a_bad_disk_hides_no_loss),
        TEST(what_is_evicted_unread_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#define _GNU_SOURCE /* pthread_getname_np */
/* What was put becomes durable and done: order, groups that fail, a disk that refuses, memory. */
#include "rig.h"
#include <stdatomic.h>
#include <errno.h>

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    peer_mode(&rig.peer, PEER_HOLDS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void expect_order(const struct gift *gifts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_true(gift_is_done(&gifts[i]));
        assert_true(i == 0 || gifts[i].done_rank > gifts[i - 1].done_rank);
    }
}

static uint64_t recovered_after_crash(void)
{
    rig_crash(&rig);
    struct mg_why why = {""};
    if (rig_try_open(&rig, &why) != MG_OK)
        fail_msg("%s", why.text);
    uint64_t recovered = send_recovered(rig.send);
    send_close(&rig.send);
    return recovered;
}

static void what_was_put_is_done_in_order(void **state)
{
    (void)state;
    static const struct {
        size_t n, bytes;
    } cases[] = {{1, 10}, {2, 100000}, {700, 50}, {40, 1000000}, {300, 20000}};
    rig.conf.queue_bytes = 1 << 30;
    rig_start(&rig);
    uint64_t id = 1, spans = 0;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct gift *gifts = gifts_new(id, cases[i].n, cases[i].bytes);
        rig_put(&rig, gifts, cases[i].n);
        AWAIT(gift_is_done(&gifts[cases[i].n - 1]));
        expect_order(gifts, cases[i].n);
        for (size_t k = 0; k < cases[i].n; k++)
            spans += gifts[k].item.spans;
        id += cases[i].n;
        assert_int_equal(rig_stat(&rig).put_spans, spans);
        gifts_free(gifts, cases[i].n);
    }
    assert_int_equal(recovered_after_crash(), (id - 1) * 10);
}

static void an_empty_item_waits_for_those_before_it(void **state)
{
    (void)state;
    struct gift gifts[9];
    for (size_t i = 0; i < MG_COUNT(gifts); i++)
        gift_init(&gifts[i], i + 1, i % 3 == 1 ? 500 : 0); /* empty, full, empty, empty, full, … */
    rig_start(&rig);
    rig_put(&rig, gifts, MG_COUNT(gifts));
    AWAIT(gift_is_done(&gifts[8]));
    expect_order(gifts, MG_COUNT(gifts));
    AWAIT(peer_attempts(&rig.peer) == 3);
    rig_move(2 * SECOND);
    rig_settle(&rig); /* the empty one's position is noted */
    assert_int_equal(recovered_after_crash(), 90);
    for (size_t i = 0; i < MG_COUNT(gifts); i++)
        gift_fini(&gifts[i]);
}

/* --- a group that fails between others ------------------------------------------------------------ */

static int (*sync_of_the_disk)(void *ctx, int fd);
static _Atomic bool does_fail;
static _Atomic unsigned syncs;
static atomic_bool may_sync_last, is_gone;

/* The journal's first sync fails, and the disk is gone after its fifth, which waits to be told. */
static int failing_sync(void *ctx, int fd)
{
    char thread[16];

    (void)pthread_getname_np(pthread_self(), thread, sizeof thread);
    if (strcmp(thread, "journal") != 0 || !does_fail)
        return sync_of_the_disk(ctx, fd);
    unsigned n = ++syncs;
    if (n == 1) {
        errno = EIO;
        return -1;
    }
    while (n == 5 && !may_sync_last)
        rig_yield();
    int result = sync_of_the_disk(ctx, fd);
    if (n == 5) {
        pthread_mutex_lock(&rig.fs.lock);
        rig.fs.is_dead = true;
        pthread_mutex_unlock(&rig.fs.lock);
        is_gone = true;
    }
    return result;
}

/* Of one lot the first group fails, the next commits and is noted in the state file, and the last commits before the failed one could be
 * written again: then the crash. */
static void what_was_never_written_is_not_recovered(void **state)
{
    (void)state;
    struct gift gifts[4];
    for (size_t i = 0; i < MG_COUNT(gifts); i++)
        gift_init(&gifts[i], i + 1, i ? 40000 : 100);
    rig.conf.queue_bytes = 1 << 20;
    peer_mode(&rig.peer, PEER_HOLDS);
    sync_of_the_disk = rig.fs.io.fdatasync;
    rig.fs.io.fdatasync = failing_sync;
    rig_start(&rig);
    pthread_mutex_lock(&rig.peer.gate);
    rig_put(&rig, gifts, 1);
    AWAIT(rig.peer.at_gate == 1);
    does_fail = true;
    rig_put(&rig, gifts + 1, 3);
    pthread_mutex_unlock(&rig.peer.gate);
    AWAIT(syncs == 5);
    rig_move(2 * SECOND);
    rig_settle(&rig);
    may_sync_last = true;
    AWAIT(is_gone);
    rig_crash(&rig);
    does_fail = false;
    assert_true(gift_is_done(&gifts[0]));
    assert_false(gift_is_done(&gifts[1]));
    rig_start(&rig);
    assert_int_equal(send_recovered(rig.send), 10);
    for (size_t i = 0; i < MG_COUNT(gifts); i++)
        gift_fini(&gifts[i]);
}

static void only_empty_items_move_the_position(void **state)
{
    (void)state;
    struct gift *gifts = gifts_new(1, 3, 0);
    rig_start(&rig);
    rig_put(&rig, gifts, 3);
    AWAIT(gift_is_done(&gifts[2]));
    rig_move(2 * SECOND);
    rig_settle(&rig);
    assert_int_equal(peer_attempts(&rig.peer), 0);
    assert_int_equal(rig_stat(&rig).queued_batches, 0);
    assert_int_equal(recovered_after_crash(), 30);
    gifts_free(gifts, 3);
}

/* Crashes without a note in between: only the journal tells. */
static void the_journal_alone_tells_what_was_done(void **state)
{
    (void)state;
    for (uint64_t run = 0; run < 3; run++) {
        struct gift *gifts = gifts_new(1 + run * 20, 20, 300);
        rig_start(&rig);
        assert_int_equal(send_recovered(rig.send), run * 200);
        rig_put(&rig, gifts, 20);
        AWAIT(gift_is_done(&gifts[19]));
        rig_crash(&rig);
        assert_null(memfs_file(&rig.fs, "state"));
        gifts_free(gifts, 20);
    }
    assert_int_equal(recovered_after_crash(), 600);
}

/* --- the disk --- */

static void fail_syncs(uint64_t n)
{
    pthread_mutex_lock(&rig.fs.lock);
    rig.fs.fail_fdatasyncs = n;
    pthread_mutex_unlock(&rig.fs.lock);
}

static bool syncs_failed(void)
{
    pthread_mutex_lock(&rig.fs.lock);
    bool all = rig.fs.fail_fdatasyncs == 0;
    pthread_mutex_unlock(&rig.fs.lock);
    return all;
}

static void disk_dies(bool is_dead)
{
    pthread_mutex_lock(&rig.fs.lock);
    rig.fs.is_dead = is_dead;
    pthread_mutex_unlock(&rig.fs.lock);
}

/* The first group of a lot fails, the others do not: nothing is done before what was put before it. */
static void a_failed_group_is_written_again_before_the_rest_is_done(void **state)
{
    (void)state;
    for (uint64_t run = 0; run < 5; run++) {
        struct gift *gifts = gifts_new(1 + run * 600, 600, 100); /* over two groups */
        rig_start(&rig);
        fail_syncs(1);
        rig_put(&rig, gifts, 600);
        rig_clock_runs(true); /* when the failure is known, and with it the time of the next try, only the journal's thread can tell */
        AWAIT(gift_is_done(&gifts[599]));
        rig_clock_runs(false);
        expect_order(gifts, 600);
        AWAIT(rig_stat(&rig).queued_batches == 600 * (run + 1));
        send_stop(rig.send, 0);
        send_close(&rig.send);
        gifts_free(gifts, 600);
    }
    assert_int_equal(recovered_after_crash(), 30000);
    rig_start(&rig);
    peer_mode(&rig.peer, PEER_TAKES);
    AWAIT(rig_is_drained(&rig));
    for (uint64_t id = 1; id <= 3000; id++)
        assert_int_equal(peer_times(&rig.peer, id), 1);
}

/* The process dies when later items are in the journal and an earlier one is not. */
static void after_a_crash_the_missing_item_is_asked_for_again(void **state)
{
    (void)state;
    struct gift *gifts = gifts_new(1, 600, 100);
    size_t done = 0;
    rig_start(&rig);
    pthread_mutex_lock(&rig.peer.gate);
    rig_put(&rig, gifts, 1);
    AWAIT(rig.peer.at_gate > 0);
    rig_put(&rig, gifts + 1, 599); /* the loop stands: all of these are one lot, and its first group fails */
    fail_syncs(1);
    pthread_mutex_unlock(&rig.peer.gate);
    AWAIT(syncs_failed());
    rig_settle(&rig); /* the clock stands: the failed ones are not written again yet */
    while (done < 600 && gift_is_done(&gifts[done]))
        done++;
    assert_true(done < 600);
    AWAIT(rig_stat(&rig).queued_batches > done);
    assert_int_equal(recovered_after_crash(), done * 10);
    gifts_free(gifts, 600);
}

static void items_wait_while_the_disk_refuses(void **state)
{
    (void)state;
    struct gift *gifts = gifts_new(1, 30, 1000);
    rig_start(&rig);
    rig_put(&rig, gifts, 10);
    AWAIT(gift_is_done(&gifts[9]));
    disk_dies(true);
    rig_put(&rig, gifts + 10, 20);
    for (int i = 0; i < 5; i++) {
        rig_move(SECOND);
        rig_settle(&rig);
    }
    for (size_t i = 10; i < 30; i++)
        assert_false(gift_is_done(&gifts[i]));
    assert_int_equal(rig_stat(&rig).dropped_disk_spans, 0);
    disk_dies(false);
    rig_clock_runs(true);
    AWAIT(gift_is_done(&gifts[29]));
    expect_order(gifts, 30);
    assert_int_equal(recovered_after_crash(), 300);
    gifts_free(gifts, 30);
}

static void what_does_not_fit_in_memory_is_dropped_oldest_first(void **state)
{
    (void)state;
    enum { N = 80, BYTES = 1 << 20 };
    struct gift *gifts = gifts_new(1, N, BYTES);
    size_t dropped = 0;
    uint64_t spans = 0;
    rig.conf.queue_bytes = 1 << 30;
    rig_start(&rig);
    disk_dies(true);
    rig_put(&rig, gifts, N);
    AWAIT(gift_is_done(&gifts[N - 64])); /* 64 bodies of 1 MiB and a few bytes are too many: 63 */
    rig_settle(&rig);
    for (; dropped < N && gift_is_done(&gifts[dropped]); dropped++)
        spans += gifts[dropped].item.spans;
    assert_int_equal(dropped, N - 63);
    for (size_t i = dropped; i < N; i++)
        assert_false(gift_is_done(&gifts[i]));
    assert_int_equal(rig_stat(&rig).dropped_disk_spans, spans);
    assert_int_equal(rig_metric(&rig, "meshglass_export_spans_total{exporter=\"otlp\",outcome=\"disk\"}"), spans);
    assert_int_equal(rig_metric(&rig, "meshglass_export_batches_total{exporter=\"otlp\",outcome=\"disk\"}"), dropped);
    disk_dies(false);
    rig_clock_runs(true);
    AWAIT(gift_is_done(&gifts[N - 1]));
    peer_mode(&rig.peer, PEER_TAKES);
    AWAIT(rig_is_drained(&rig));
    for (size_t i = 0; i < N; i++)
        assert_int_equal(peer_times(&rig.peer, i + 1), i < dropped ? 0 : 1);
    gifts_free(gifts, N);
}

static void a_batch_larger_than_the_queue_is_dropped(void **state)
{
    (void)state;
    struct gift gifts[3];
    rig.conf.queue_bytes = 1 << 20;
    gift_init(&gifts[0], 1, 1000);
    gift_init(&gifts[1], 2, 10);
    gift_init(&gifts[2], 3, 1000);
    struct random random;
    random_init(&random, 1);
    for (size_t i = 0; i < 1 << 20; i++) /* noise: it cannot be compressed */
        buf_put_char(&gifts[1].item.body, (char)random_u64(&random));
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    rig_put(&rig, gifts, 3);
    AWAIT(rig_is_drained(&rig) && gift_is_done(&gifts[2])); /* the peer may be faster than done */
    assert_int_equal(peer_taken(&rig.peer), 2);
    expect_order(gifts, 3);
    assert_int_equal(peer_times(&rig.peer, 2), 0);
    assert_int_equal(rig_stat(&rig).dropped_full_spans, gift_spans(2));
    assert_int_equal(rig_stat(&rig).queued_batches, 0);
    for (size_t i = 0; i < 3; i++)
        gift_fini(&gifts[i]);
}

/* Nobody tells them done: after a start they are asked for again. */
static void what_the_disk_refuses_at_the_stop_is_the_givers(void **state)
{
    (void)state;
    struct gift *gifts = gifts_new(1, 9, 1000);
    rig_start(&rig);
    rig_put(&rig, gifts, 3);
    AWAIT(gift_is_done(&gifts[2]));
    disk_dies(true);
    rig_put(&rig, gifts + 3, 6);
    send_stop(rig.send, 0);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(gift_is_done(&gifts[i]), i < 3);
    gifts_free(gifts, 9); /* nothing may look at them any more */
    uint64_t recovered = recovered_after_crash();
    assert_in_range(recovered, 30, 90); /* a write that failed may have reached the disk all the same */
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    AWAIT(rig_is_drained(&rig));
    for (uint64_t id = 1; id <= 9; id++)
        assert_int_equal(peer_times(&rig.peer, id), id * 10 <= recovered);
}

/* Several givers at once: each one's items are done in its order. */
struct giver {
    pthread_t thread;
    struct gift *gifts;
};
enum { GIVERS = 3, GIFTS = 400 };

static void *give(void *owner)
{
    struct giver *giver = owner;
    rig_put(&rig, giver->gifts, GIFTS);
    return NULL;
}

static void any_thread_may_give(void **state)
{
    (void)state;
    struct giver givers[GIVERS];
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    for (size_t i = 0; i < GIVERS; i++) {
        givers[i].gifts = gifts_new(1 + i * GIFTS, GIFTS, 200);
        assert_int_equal(pthread_create(&givers[i].thread, NULL, give, &givers[i]), 0);
    }
    for (size_t i = 0; i < GIVERS; i++) {
        pthread_join(givers[i].thread, NULL);
        AWAIT(gift_is_done(&givers[i].gifts[GIFTS - 1]));
        expect_order(givers[i].gifts, GIFTS);
    }
    AWAIT(peer_taken(&rig.peer) == GIVERS * GIFTS);
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(rig_stat(&rig).queued_bytes, 0);
    for (size_t i = 0; i < GIVERS; i++)
        gifts_free(givers[i].gifts, GIFTS);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_put_is_done_in_order),
        TEST(an_empty_item_waits_for_those_before_it),
        TEST(what_was_never_written_is_not_recovered),
        TEST(only_empty_items_move_the_position),
        TEST(the_journal_alone_tells_what_was_done),
        TEST(a_failed_group_is_written_again_before_the_rest_is_done),
        TEST(after_a_crash_the_missing_item_is_asked_for_again),
        TEST(items_wait_while_the_disk_refuses),
        TEST(what_does_not_fit_in_memory_is_dropped_oldest_first),
        TEST(a_batch_larger_than_the_queue_is_dropped),
        TEST(what_the_disk_refuses_at_the_stop_is_the_givers),
        TEST(any_thread_may_give),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

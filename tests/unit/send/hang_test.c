#define _GNU_SOURCE /* pthread_getname_np */
/* A disk that neither writes nor fails: memory, the peer, and the end of a queue on it; and the state file's thread alone. */
#include "rig.h"
#include <pthread.h>
#include <stdio.h>
#include "unit/peer/log.h"

enum { NOBODY, JOURNAL = 1, SAVER = 2, EVERYBODY = 3 };
static struct rig rig;
static long (*write_of_the_disk)(void *ctx, int fd, const void *iovec, int n, int64_t offset);
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned who, hung; /* whose writes hang; threads that do */
} disk = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NOBODY, 0};

static unsigned who_am_i(void)
{
    char name[16];
    (void)pthread_getname_np(pthread_self(), name, sizeof name);
    return strcmp(name, "journal") == 0 ? JOURNAL : strcmp(name, "queue-state") == 0 ? SAVER : NOBODY;
}

static long hanging_write(void *ctx, int fd, const void *iovec, int n, int64_t offset)
{
    unsigned me = who_am_i();
    pthread_mutex_lock(&disk.lock);
    disk.hung++;
    while (disk.who & me)
        pthread_cond_wait(&disk.changed, &disk.lock);
    disk.hung--;
    pthread_mutex_unlock(&disk.lock);
    return write_of_the_disk(ctx, fd, iovec, n, offset);
}

static void disk_hangs(unsigned who)
{
    pthread_mutex_lock(&disk.lock);
    disk.who = who;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
}

static bool is_hung(unsigned n)
{
    pthread_mutex_lock(&disk.lock);
    bool is_so = disk.hung == n;
    pthread_mutex_unlock(&disk.lock);
    return is_so;
}

static bool all_is_closed(void)
{
    pthread_mutex_lock(&rig.fs.lock);
    bool is_so = rig.fs.open_handles == 0;
    pthread_mutex_unlock(&rig.fs.lock);
    return is_so;
}

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.conf.queue_bytes = 1 << 30;
    write_of_the_disk = rig.fs.io.pwritev;
    rig.fs.io.pwritev = hanging_write;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    disk_hangs(NOBODY);
    rig_fini(&rig);
    return 0;
}

static size_t count_done(const struct gift *gifts, size_t n)
{
    size_t done = 0;
    while (done < n && gift_is_done(&gifts[done]))
        done++;
    for (size_t i = done; i < n; i++)
        assert_false(gift_is_done(&gifts[i])); /* in order */
    return done;
}

/* One item is at the disk, which hangs. */
static void hang_with(struct gift *gift)
{
    disk_hangs(JOURNAL);
    rig_put(&rig, gift, 1);
    AWAIT(is_hung(1));
}

/* Puts n items of a MiB, the first of which hangs, and waits until no more are held than may be; answers how many were let go of. */
static size_t overfill(struct gift *gifts, size_t n)
{
    enum { KEPT = 63 };

    hang_with(&gifts[0]);
    for (size_t i = 1; i < n; i += 20)
        rig_put(&rig, &gifts[i], MG_MIN((size_t)20, n - i));
    AWAIT(gift_is_done(&gifts[n - KEPT - 1]));
    rig_tick(&rig);
    assert_int_equal(count_done(gifts, n), n - KEPT);
    return n - KEPT;
}

/* --- memory --- */

/* N of a MiB each and one before: no more than 64 MiB are held, what was done may be freed while the disk hangs, and in the end every
 * span was sent or dropped, none both. */
static void memory_stays_bounded(void **state)
{
    (void)state;
    enum { N = 200, BYTES = 1 << 20 };
    struct gift *gifts = gifts_new(1, N, BYTES);
    rig_start(&rig);
    size_t done = overfill(gifts, N);
    for (size_t i = 0; i < done; i++)
        gift_fini(&gifts[i]); /* also the one that the disk has */
    uint64_t dropped = rig_stat(&rig).dropped_disk_spans;
    assert_int_equal(dropped, gift_spans_of(2, done)); /* that one is not lost yet */
    assert_int_equal(rig_counted(&rig, "disk"), dropped);
    disk_hangs(NOBODY);
    rig_clock_runs(true);
    AWAIT(gift_is_done(&gifts[N - 1]));
    AWAIT(rig_is_drained(&rig));
    for (uint64_t id = 1; id <= N; id++)
        assert_int_equal(peer_times(&rig.peer, id), id == 1 || id > done);
    struct send_stats stats = rig_stat(&rig);
    assert_int_equal(stats.dropped_disk_spans, dropped);
    assert_int_equal(stats.put_spans, stats.sent_spans + stats.dropped_disk_spans);
    gifts_free(gifts, N);
}

/* What was let go of, and the disk fails in the end: it is counted then, once. */
static void what_the_disk_loses_in_the_end_is_counted(void **state)
{
    (void)state;
    enum { N = 70, BYTES = 1 << 20 };
    struct gift *gifts = gifts_new(1, N, BYTES);
    rig_start(&rig);
    uint64_t before = gift_spans_of(2, overfill(gifts, N));
    assert_int_equal(rig_stat(&rig).dropped_disk_spans, before);
    pthread_mutex_lock(&rig.fs.lock);
    rig.fs.is_dead = true;
    pthread_mutex_unlock(&rig.fs.lock);
    disk_hangs(NOBODY);
    AWAIT(rig_stat(&rig).dropped_disk_spans == before + gift_spans(1));
    pthread_mutex_lock(&rig.fs.lock);
    rig.fs.is_dead = false;
    pthread_mutex_unlock(&rig.fs.lock);
    rig_clock_runs(true);
    AWAIT(gift_is_done(&gifts[N - 1]));
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(peer_times(&rig.peer, 1), 0);
    struct send_stats stats = rig_stat(&rig);
    assert_int_equal(stats.put_spans, stats.sent_spans + stats.dropped_disk_spans);
    gifts_free(gifts, N);
}

/* Below the bound nothing is let go of, however long it takes: the disk may come back. */
static void what_fits_in_memory_waits(void **state)
{
    (void)state;
    enum { N = 60 };
    struct gift *gifts = gifts_new(1, N, 1 << 20);
    rig_start(&rig);
    hang_with(&gifts[0]);
    rig_put(&rig, &gifts[1], N - 1);
    for (int i = 0; i < 5; i++) {
        rig_move(3600 * SECOND);
        rig_tick(&rig);
    }
    assert_int_equal(count_done(gifts, N), 0);
    assert_int_equal(rig_stat(&rig).dropped_disk_spans, 0);
    disk_hangs(NOBODY);
    rig_clock_runs(true);
    AWAIT(gift_is_done(&gifts[N - 1]));
    AWAIT(rig_is_drained(&rig));
    for (uint64_t id = 1; id <= N; id++)
        assert_int_equal(peer_times(&rig.peer, id), 1);
    gifts_free(gifts, N);
}

/* --- the state file alone --- */

static void a_state_that_hangs_holds_up_nothing(void **state)
{
    (void)state;
    rig.conf.queue_bytes = 1 << 20;
    rig_start(&rig);
    disk_hangs(SAVER);
    rig_give(&rig, 1, 1, 3000);
    rig_move(2 * SECOND);
    AWAIT(is_hung(1));
    for (uint64_t id = 2; id <= 1002; id += 20) { /* 4 MiB: also the space of what was sent comes back */
        rig_give(&rig, id, 20, 3000);
        rig_move(6 * SECOND);
        rig_tick(&rig);
    }
    AWAIT(rig_is_drained(&rig));
    assert_true(memfs_count(&rig.fs, ".log") <= 17); /* queue_bytes, and one until the next tick; all 50 else */
    assert_int_equal(rig_stat(&rig).dropped_full_spans, 0);
    assert_true(is_hung(1));
    assert_null(memfs_file(&rig.fs, "state"));
    disk_hangs(NOBODY);
    rig_settle(&rig);
    assert_non_null(memfs_file(&rig.fs, "state"));
}

/* --- the end --- */

/* A queue whose stop waits for the disk no longer than that of the program. */
static void start_hasty(void)
{
    uint64_t patient_ns = rig.disk_end_ns;
    rig.disk_end_ns = 0;
    rig_start(&rig);
    rig.disk_end_ns = patient_ns;
}

/* Of 30 batches, 29 not even with the disk. Returns what was logged. */
static const char *stop_hung(unsigned who, struct gift *gifts, size_t n)
{
    start_hasty();
    disk_hangs(who);
    rig_put(&rig, &gifts[0], 1);
    AWAIT(is_hung(1));
    rig_put(&rig, &gifts[1], n - 1);
    rig_tick(&rig);
    rig_clock_runs(true);
    rig_log_begin();
    uint64_t from = rig_real_ns();
    send_stop(rig.send, 1000);
    assert_true(rig_real_ns() - from < 20 * SECOND); /* 1 s by the real clock, 2 s by one that is faster; this machine may be slow */
    const char *log = rig_log_end();
    rig_clock_runs(false);
    assert_true(rig.peer.is_closed);
    return log;
}

static void it_stops_although_the_disk_hangs(void **state)
{
    (void)state;
    enum { N = 30 };
    for (int closes_first = 0; closes_first < 2; closes_first++) {
        struct gift *gifts = gifts_new(1, N, 1000);
        char want[100];
        const char *log = stop_hung(EVERYBODY, gifts, N);
        snprintf(want, sizeof want, "unwritten_batches=%d unwritten_spans=%llu dropped_batches=0", N,
                 (unsigned long long)gift_spans_of(1, N));
        assert_non_null(strstr(log, "the disk of an export queue does not answer"));
        assert_non_null(strstr(log, want));
        assert_int_equal(count_done(gifts, N), 0);
        assert_int_equal(rig_stat(&rig).dropped_disk_spans, 0); /* they are the giver's again */
        gifts_free(gifts, N); /* nothing looks at them any more */
        if (closes_first)
            send_close(&rig.send);
        disk_hangs(NOBODY);
        if (!closes_first)
            send_close(&rig.send);
        assert_null(rig.send);
        AWAIT(all_is_closed());
    }
    rig_start(&rig);
    assert_in_range(send_recovered(rig.send), 0, 10); /* what hung may have been written */
}

/* What was let go of is counted at the latest now. */
static void a_stop_counts_what_the_disk_has_not_answered_for(void **state)
{
    (void)state;
    enum { N = 70 };
    struct gift *gifts = gifts_new(1, N, 1 << 20);
    start_hasty();
    size_t done = overfill(gifts, N);
    rig_clock_runs(true);
    rig_log_begin();
    send_stop(rig.send, 0);
    assert_non_null(strstr(rig_log_end(), "dropped_batches=1"));
    assert_int_equal(rig_stat(&rig).dropped_disk_spans, gift_spans_of(1, done));
    assert_int_equal(rig_counted(&rig, "disk"), gift_spans_of(1, done));
    send_close(&rig.send);
    disk_hangs(NOBODY);
    AWAIT(all_is_closed());
    gifts_free(gifts, N);
}

static void it_stops_although_the_state_hangs(void **state)
{
    (void)state;
    start_hasty();
    disk_hangs(SAVER);
    rig_give(&rig, 1, 20, 1000);
    AWAIT(rig_is_drained(&rig));
    rig_log_begin();
    send_stop(rig.send, 0);
    assert_non_null(strstr(rig_log_end(), "unwritten_batches=0"));
    send_close(&rig.send);
    disk_hangs(NOBODY);
    AWAIT(all_is_closed());
    rig_start(&rig);
    assert_int_equal(send_recovered(rig.send), 200);
}

static void *answer_once_it_hangs(void *owner)
{
    (void)owner;
    AWAIT(is_hung(1));
    disk_hangs(NOBODY);
    return NULL;
}

/* A disk that answers in the time a stop has is no matter for a warning, and costs nothing. */
static void a_disk_that_answers_in_time_is_waited_for(void **state)
{
    (void)state;
    pthread_t thread;
    struct gift *gifts = gifts_new(1, 20, 1000);
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    hang_with(&gifts[0]);
    rig_put(&rig, &gifts[1], 19);
    rig_tick(&rig);
    assert_int_equal(pthread_create(&thread, NULL, answer_once_it_hangs, NULL), 0);
    rig_log_begin();
    send_stop(rig.send, 1000); /* its clock stands: it waits for the lot */
    const char *log = rig_log_end();
    pthread_join(thread, NULL);
    assert_null(strstr(log, "does not answer"));
    assert_non_null(strstr(log, "export queue has batches left"));
    size_t done = count_done(gifts, 20);
    assert_true(done >= 1);
    send_close(&rig.send);
    gifts_free(gifts, 20);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    assert_true(send_recovered(rig.send) >= done * 10);
    AWAIT(rig_is_drained(&rig));
    for (uint64_t id = 1; id <= done; id++)
        assert_int_equal(peer_times(&rig.peer, id), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(memory_stays_bounded),
        TEST(what_the_disk_loses_in_the_end_is_counted),
        TEST(what_fits_in_memory_waits),
        TEST(a_state_that_hangs_holds_up_nothing),
        TEST(it_stops_although_the_disk_hangs),
        TEST(a_stop_counts_what_the_disk_has_not_answered_for),
        TEST(it_stops_although_the_state_hangs),
        TEST(a_disk_that_answers_in_time_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

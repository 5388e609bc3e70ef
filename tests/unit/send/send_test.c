/* Life of a queue: what a start finds again, stops and closes in every state, and what is refused at the opening. */
#include "scene.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "codec/hash.h"

static void give(uint64_t first, size_t n)
{
    struct gift *gifts = mem_zero(n, sizeof *gifts);
    for (size_t i = 0; i < n; i++)
        gift_init(&gifts[i], first + i, 2000);
    rig_put(&rig, gifts, n);
    AWAIT(gift_is_done(&gifts[n - 1]));
    for (size_t i = 0; i < n; i++)
        gift_fini(&gifts[i]);
    mem_free(gifts);
}

static void note(void) /* the state file is written */
{
    rig_settle(&rig);
    rig_move(2 * SECOND);
    rig_settle(&rig);
}

/* Every id of the range was taken between least and most times. */
static void expect_times(uint64_t first, uint64_t last, size_t least, size_t most)
{
    for (uint64_t id = first; id <= last; id++)
        assert_in_range(peer_times(&rig.peer, id), least, most);
}

static void stopped(uint64_t grace_ms)
{
    send_stop(rig.send, grace_ms);
    send_close(&rig.send);
}

/* --- what a wire takes --- */

/* Whatever it took when a batch was queued, it gets what it takes now: the peer judges every byte. */
static void batches_come_as_the_wire_takes_them(void **state)
{
    static const enum zip_kind encodings[] = {ZIP_GZIP, ZIP_ZSTD, ZIP_IDENTITY, ZIP_GZIP, ZIP_IDENTITY, ZIP_ZSTD};
    (void)state;
    for (size_t i = 0; i < MG_COUNT(encodings); i++) {
        uint64_t first = 1 + 20 * i;
        rig.peer.wire.encoding = encodings[i];
        peer_mode(&rig.peer, PEER_TAKES);
        rig_start(&rig);
        AWAIT(rig_is_drained(&rig)); /* those of the run before */
        expect_times(1, first - 1, 1, 1);
        peer_mode(&rig.peer, PEER_HOLDS);
        give(first, 20);
        assert_true(rig_stat(&rig).queued_bytes < 20 * 2000); /* every eighth shrinks, whatever the encoding */
        stopped(0);
    }
}

/* --- starting again --- */

static void what_was_not_finished_is_sent_after_a_crash(void **state)
{
    (void)state;
    rig_start(&rig);
    give(1, 30);
    AWAIT(rig_is_drained(&rig));
    note();
    peer_mode(&rig.peer, PEER_HOLDS);
    give(31, 20);
    AWAIT(peer_attempts(&rig.peer) == 34);
    rig_crash(&rig);
    rig_start(&rig);
    assert_int_equal(send_recovered(rig.send), 500);
    assert_int_equal(rig_stat(&rig).queued_batches, 20);
    peer_mode(&rig.peer, PEER_TAKES);
    AWAIT(peer_taken(&rig.peer) == 50);
    AWAIT(rig_is_drained(&rig));
    expect_times(1, 50, 1, 1);
    assert_int_equal(rig_stat(&rig).queued_bytes, 0);
}

static void what_was_finished_but_not_noted_is_sent_again(void **state)
{
    (void)state;
    rig_start(&rig);
    give(1, 10);
    note();
    give(11, 20); /* the clock stands from here on */
    AWAIT(rig_is_drained(&rig));
    rig_crash(&rig);
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    assert_int_equal(rig_stat(&rig).queued_batches, 20);
    peer_mode(&rig.peer, PEER_TAKES);
    AWAIT(peer_taken(&rig.peer) == 50);
    AWAIT(rig_is_drained(&rig));
    expect_times(1, 10, 1, 1);
    expect_times(11, 30, 2, 2);
}

/* The first of many never succeeds: a crash makes no second time of those behind it. */
static void what_was_finished_out_of_order_is_noted_too(void **state)
{
    (void)state;
    rig.peer.poison_id = 1;
    rig_start(&rig);
    give(1, 40);
    AWAIT(peer_taken(&rig.peer) == 39);
    note();
    rig_crash(&rig);
    rig.peer.poison_id = 0;
    rig_start(&rig);
    assert_int_equal(rig_stat(&rig).queued_batches, 1);
    AWAIT(rig_is_drained(&rig));
    AWAIT(peer_taken(&rig.peer) == 40);
    expect_times(1, 40, 1, 1);
}

static void an_orderly_stop_notes_everything(void **state)
{
    (void)state;
    for (uint64_t run = 0; run < 3; run++) {
        rig_start(&rig);
        assert_int_equal(send_recovered(rig.send), run * 100);
        assert_int_equal(rig_stat(&rig).queued_batches, 0);
        give(1 + run * 10, 10);
        AWAIT(rig_is_drained(&rig));
        stopped(0);
    }
    rig_start(&rig);
    rig_settle(&rig);
    expect_times(1, 30, 1, 1);
    assert_int_equal(peer_attempts(&rig.peer), 30);
}

static void numbers_go_on_when_the_journal_was_removed(void **state)
{
    (void)state;
    rig_start(&rig);
    give(1, 10);
    AWAIT(rig_is_drained(&rig));
    stopped(0);
    memfs_remove(&rig.fs, "00000001.log");
    assert_int_equal(memfs_count(&rig.fs, ".log"), 0);
    rig_start(&rig);
    assert_int_equal(send_recovered(rig.send), 100);
    give(11, 1);
    AWAIT(peer_taken(&rig.peer) == 11);
    assert_true(peer_attempt(&rig.peer, 10).number > peer_attempt(&rig.peer, 9).number);
}

static bool is_there(const char *dir, const char *name)
{
    char path[100];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void it_works_on_the_operating_system(void **state)
{
    (void)state;
    static const char *const names[] = {"00000001.log", "00000001.spare", "00000002.log", "00000002.spare",
                                        "00000003.log", "00000003.spare", "state"};
    char parent[] = "/tmp/send_test_XXXXXX", dir[sizeof parent + 8], path[100];
    struct stat st;
    assert_non_null(mkdtemp(parent));
    snprintf(dir, sizeof dir, "%s/queue", parent);
    rig.os_dir = dir;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    give(1, 30);
    stopped(0);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_true(is_there(dir, "state"));
    assert_false(is_there(dir, "state.new"));
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    assert_int_equal(send_recovered(rig.send), 300);
    AWAIT(peer_taken(&rig.peer) == 30);
    stopped(1000);
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path); /* which of them there are is the journal's matter */
    }
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(rmdir(parent), 0);
    expect_times(1, 30, 1, 1);
}

/* --- the state file --- */

static void queue_of(size_t n, size_t taken)
{
    rig_start(&rig);
    give(1, taken);
    AWAIT(rig_is_drained(&rig));
    note();
    peer_mode(&rig.peer, PEER_HOLDS);
    if (n > taken)
        give(taken + 1, n - taken);
    stopped(0);
    peer_mode(&rig.peer, PEER_TAKES);
}

static void a_damaged_state_costs_no_batch(void **state)
{
    (void)state;
    queue_of(20, 10);
    memfs_file(&rig.fs, "state")->cache.at[20] ^= 1;
    rig_start(&rig);
    AWAIT(rig_is_drained(&rig));
    AWAIT(peer_taken(&rig.peer) >= 20);
    rig_settle(&rig);
    expect_times(1, 10, 1, 2);
    expect_times(11, 20, 1, 1);
    assert_int_equal(rig_stat(&rig).dropped_disk_spans, 0);
}

static void a_state_that_is_older_than_the_journal_is_fine(void **state)
{
    (void)state;
    uint8_t old[64];
    size_t n;
    queue_of(5, 5);
    struct memfs_file *file = memfs_file(&rig.fs, "state");
    n = MG_MIN(file->cache.n, sizeof old);
    memcpy(old, file->cache.at, n);
    rig_start(&rig);
    give(6, 10);
    AWAIT(rig_is_drained(&rig));
    stopped(0);
    file = memfs_file(&rig.fs, "state");
    memcpy(file->cache.at, old, n);
    rig_start(&rig);
    assert_int_equal(send_recovered(rig.send), 150); /* the journal knows */
    AWAIT(peer_taken(&rig.peer) == 25);
    expect_times(1, 5, 1, 1);
    expect_times(6, 15, 2, 2);
}

static void what_it_cannot_open_is_said(void **state)
{
    (void)state;
    struct mg_why why = {""};
    queue_of(5, 5);
    struct memfs_file *file = memfs_file(&rig.fs, "state");
    size_t len = 16 + get_le32(file->cache.at + 12);
    put_le32(file->cache.at + 8, 2);
    put_le64(file->cache.at + len, hash64(file->cache.at, len, 2));
    assert_int_equal(rig_try_open(&rig, &why), MG_E_FORMAT);
    assert_non_null(strstr(why.text, "/queue/state"));
    assert_null(rig.send);

    put_le32(file->cache.at + 8, 1);
    put_le64(file->cache.at + len, hash64(file->cache.at, len, 1));
    for (uint64_t nth = 1;; nth++) { /* every call of the opening */
        memfs_faults(&rig.fs, nth, 0);
        why.text[0] = '\0';
        enum mg_err err = rig_try_open(&rig, &why);
        bool was_met = rig.fs.calls >= nth;
        memfs_faults(&rig.fs, 0, 0);
        if (err != MG_OK) {
            assert_int_equal(err, MG_E_IO);
            assert_non_null(strstr(why.text, "/queue"));
        }
        assert_int_equal(rig.send != NULL, err == MG_OK);
        send_close(&rig.send);
        assert_int_equal(rig.fs.open_handles, 0);
        if (!was_met)
            break;
        assert_true(nth < 100);
    }
}

/* --- the end --- */

static void it_can_be_closed_without_a_start(void **state)
{
    (void)state;
    struct send *none = NULL;
    send_close(&none);
    assert_int_equal(rig_try_open(&rig, NULL), MG_OK);
    send_stop(rig.send, 1000); /* nothing to stop */
    send_close(&rig.send);
    assert_null(rig.send);
}

static void a_wire_that_does_not_open_is_an_error(void **state)
{
    (void)state;
    struct mg_why why = {""};
    rig.peer.fails_to_open = true;
    assert_int_equal(rig_try_open(&rig, NULL), MG_OK);
    assert_int_equal(send_start(rig.send, &why), MG_E_FORMAT);
    assert_string_equal(why.text, "no such peer");
    send_stop(rig.send, 0);
    send_close(&rig.send);
    rig.peer.fails_to_open = false;
    rig_start(&rig);
    give(1, 1);
    AWAIT(rig_is_drained(&rig));
}

static void a_journal_that_does_not_start_is_an_error(void **state)
{
    (void)state;
    char parent[] = "/tmp/send_test_XXXXXX", dir[sizeof parent + 8];
    struct mg_why why = {""};
    assert_non_null(mkdtemp(parent));
    snprintf(dir, sizeof dir, "%s/queue", parent);
    rig.os_dir = dir;
    assert_int_equal(rig_try_open(&rig, NULL), MG_OK);
    assert_int_equal(rmdir(dir), 0); /* a full disk passes by itself, this does not */
    assert_int_equal(send_start(rig.send, &why), MG_E_IO);
    assert_non_null(strstr(why.text, dir));
    send_close(&rig.send);
    assert_int_equal(rmdir(parent), 0);
}

/* --- a start on a full disk --- */

static void a_queue_starts_on_a_full_disk(void **state)
{
    (void)state;
    static const int codes[] = {ENOSPC, EDQUOT, EIO};
    uint64_t id = 1;
    for (size_t i = 0; i < MG_COUNT(codes); i++, id += 20) {
        struct gift gifts[10];
        peer_mode(&rig.peer, PEER_HOLDS);
        rig_start(&rig);
        give(id, 10);
        stopped(0);
        while (memfs_count(&rig.fs, ".spare") > 0) /* it would be room for the new segment */
            for (size_t k = 0; k < rig.fs.names.n; k++)
                if (strstr(rig.fs.names.at[k].name, ".spare"))
                    memfs_remove(&rig.fs, rig.fs.names.at[k].name);
        memfs_full(&rig.fs, codes[i]);
        peer_mode(&rig.peer, PEER_TAKES);
        rig_start(&rig);
        assert_int_equal(send_recovered(rig.send), (id + 9) * 10);
        AWAIT(peer_taken(&rig.peer) == id + 9); /* what was in the queue is sent meanwhile */
        expect_times(id, id + 9, 1, 1);
        for (size_t k = 0; k < MG_COUNT(gifts); k++)
            gift_init(&gifts[k], id + 10 + k, 2000);
        rig_put(&rig, gifts, MG_COUNT(gifts));
        rig_settle(&rig);
        rig_move(SECOND);
        rig_settle(&rig);
        for (size_t k = 0; k < MG_COUNT(gifts); k++)
            assert_false(gift_is_done(&gifts[k]));
        memfs_full(&rig.fs, 0);
        rig_clock_runs(true);
        AWAIT(gift_is_done(&gifts[MG_COUNT(gifts) - 1]));
        AWAIT(peer_taken(&rig.peer) == id + 19);
        AWAIT(rig_is_drained(&rig));
        rig_clock_runs(false);
        expect_times(id, id + 19, 1, 1);
        assert_int_equal(rig_stat(&rig).dropped_disk_spans, 0);
        stopped(0);
        for (size_t k = 0; k < MG_COUNT(gifts); k++)
            gift_fini(&gifts[k]);
    }
    rig_start(&rig);
    assert_int_equal(send_recovered(rig.send), (id - 1) * 10);
    assert_int_equal(rig_stat(&rig).queued_batches, 0);
}

/* Nothing that waits in memory is called recovered after a stop, nor is what was there before lost. */
static void it_stops_and_starts_on_a_full_disk(void **state)
{
    (void)state;
    struct gift gift;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    give(1, 10);
    stopped(0);
    memfs_full(&rig.fs, ENOSPC);
    for (int run = 0; run < 3; run++) {
        gift_init(&gift, 11, 2000);
        rig_start(&rig);
        assert_int_equal(send_recovered(rig.send), 100);
        assert_int_equal(rig_stat(&rig).queued_batches, 10);
        rig_put(&rig, &gift, 1);
        rig_settle(&rig);
        stopped(0);
        assert_false(gift_is_done(&gift));
        gift_fini(&gift);
    }
    memfs_full(&rig.fs, 0);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    assert_int_equal(send_recovered(rig.send), 100);
    give(11, 1);
    AWAIT(rig_is_drained(&rig));
    expect_times(1, 11, 1, 1);
}

static void a_directory_that_has_no_room_is_said(void **state)
{
    (void)state;
    struct mg_why why = {""};
    memfs_full(&rig.fs, ENOSPC);
    assert_int_equal(rig_try_open(&rig, &why), MG_E_IO);
    assert_non_null(strstr(why.text, "/queue: cannot create the directory: No space left on device"));
    assert_null(rig.send);
}

/* The states a stop can meet, by what the peer does meanwhile. */
static void it_stops_in_every_state(void **state)
{
    (void)state;
    static const struct {
        enum peer_mode mode;
        size_t items;
        bool is_dead; /* the disk */
    } cases[] = {
        {PEER_TAKES, 0, false},   {PEER_HOLDS, 0, true},    {PEER_HOLDS, 1, false},  {PEER_HOLDS, 30, false},
        {PEER_RETRIES, 1, false}, {PEER_RETRIES, 30, false}, {PEER_TAKES, 30, false}, {PEER_HOLDS, 30, true},
        {PEER_RETRIES, 30, true},
    };
    uint64_t id = 1;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        peer_mode(&rig.peer, cases[i].mode);
        rig_start(&rig);
        if (cases[i].items > 0)
            give(id, cases[i].items);
        id += cases[i].items;
        if (i % 2)
            rig_settle(&rig);
        pthread_mutex_lock(&rig.fs.lock);
        rig.fs.is_dead = cases[i].is_dead;
        pthread_mutex_unlock(&rig.fs.lock);
        send_stop(rig.send, 0);
        assert_true(rig.peer.is_closed);
        assert_int_equal(rig.peer.at_wire, 0);
        send_stop(rig.send, 0);
        send_close(&rig.send);
        rig.fs.is_dead = false;
    }
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    for (uint64_t i = 1; i < id; i++)
        AWAIT(peer_times(&rig.peer, i) >= 1);
}

/* Several can be asked to stop and are then waited for together: the grace runs since it was asked. */
static void the_grace_runs_since_it_was_asked_to_stop(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    give(1, 10);
    AWAIT(peer_attempts(&rig.peer) == 4);
    send_ask_stop(rig.send, 1000);
    send_ask_stop(rig.send, 3600000); /* once is enough */
    rig_tick(&rig);
    rig_move(SECOND); /* the clock stands otherwise */
    send_stop(rig.send, 3600000);
    assert_int_equal(peer_taken(&rig.peer), 0);
    send_ask_stop(rig.send, 1000); /* nothing to stop */
}

static void batches_in_flight_get_their_grace(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    give(1, 30);
    AWAIT(peer_attempts(&rig.peer) == 4);
    peer_mode(&rig.peer, PEER_TAKES); /* its timer answers within 5 ms; the clock of the grace stands */
    send_stop(rig.send, 1000);
    size_t taken = peer_taken(&rig.peer);
    assert_in_range(taken, 4, 30); /* what had begun; nothing new after the stop */
    send_close(&rig.send);
    rig_start(&rig);
    AWAIT(peer_taken(&rig.peer) == 30);
    AWAIT(rig_is_drained(&rig));
    expect_times(1, 30, 1, 1);
}

static void the_grace_ends(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    give(1, 30);
    AWAIT(peer_attempts(&rig.peer) == 4);
    rig_clock_runs(true); /* the 10 s are over in a tenth of a second */
    stopped(10000);
    assert_int_equal(peer_taken(&rig.peer), 0);
    rig_clock_runs(false);
    rig_start(&rig);
    assert_int_equal(rig_stat(&rig).queued_batches, 30);
    peer_mode(&rig.peer, PEER_TAKES);
    AWAIT(peer_taken(&rig.peer) == 30);
    AWAIT(rig_is_drained(&rig));
    expect_times(1, 30, 1, 1);
}

static void what_is_put_after_the_stop_stays_the_givers(void **state)
{
    (void)state;
    struct gift gift;
    gift_init(&gift, 7, 100);
    rig_start(&rig);
    give(1, 3);
    send_stop(rig.send, 0);
    send_put(rig.send, &gift.item);
    send_close(&rig.send);
    assert_false(gift_is_done(&gift));
    gift_fini(&gift);
    rig_start(&rig);
    assert_int_equal(send_recovered(rig.send), 30);
}

static void a_smaller_queue_after_a_reload_drops(void **state)
{
    (void)state;
    struct send_conf smaller = rig.conf;
    smaller.queue_bytes = 8 << 20; /* of segments of 4 MiB: one, and one to be recycled */
    peer_mode(&rig.peer, PEER_RETRIES);
    rig_start(&rig);
    for (uint64_t id = 1; id <= 8000; id += 200)
        give(id, 200); /* 16 MiB in all */
    rig_settle(&rig);
    assert_int_equal(rig_stat(&rig).dropped_full_spans, 0);
    send_reload(rig.send, &smaller);
    AWAIT(rig_stat(&rig).dropped_full_spans > 0);
    rig_settle(&rig);
    assert_in_range(rig_stat(&rig).queued_bytes, 1, 8 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batches_come_as_the_wire_takes_them),
        TEST(what_was_not_finished_is_sent_after_a_crash),
        TEST(what_was_finished_but_not_noted_is_sent_again),
        TEST(what_was_finished_out_of_order_is_noted_too),
        TEST(an_orderly_stop_notes_everything),
        TEST(numbers_go_on_when_the_journal_was_removed),
        TEST(it_works_on_the_operating_system),
        TEST(a_damaged_state_costs_no_batch),
        TEST(a_state_that_is_older_than_the_journal_is_fine),
        TEST(what_it_cannot_open_is_said),
        TEST(it_can_be_closed_without_a_start),
        TEST(a_wire_that_does_not_open_is_an_error),
        TEST(a_journal_that_does_not_start_is_an_error),
        TEST(a_queue_starts_on_a_full_disk),
        TEST(it_stops_and_starts_on_a_full_disk),
        TEST(a_directory_that_has_no_room_is_said),
        TEST(it_stops_in_every_state),
        TEST(the_grace_runs_since_it_was_asked_to_stop),
        TEST(batches_in_flight_get_their_grace),
        TEST(the_grace_ends),
        TEST(what_is_put_after_the_stop_stays_the_givers),
        TEST(a_smaller_queue_after_a_reload_drops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

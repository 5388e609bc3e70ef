/* The writer: positions, groups, trimming, refusing; on the file system in memory unless named
 * otherwise. */
#include "harness.h"
#include "memfs_scene.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"

static const uint64_t hour_ns = 3600000000000;

static struct journal_options options(void)
{
    return (struct journal_options){
        .dir = "/log", .segment_bytes = 64 << 10, .io = &fs.io, .group_ns = 1000000};
}

static struct journal *start(const struct journal_options *o)
{
    struct journal *journal = open_journal(o);
    struct mg_why why = {""};
    if (journal_start(journal, &why) != MG_OK)
        fail_msg("%s", why.text);
    return journal;
}

static struct journal_stats stat_of(const struct journal *journal)
{
    struct journal_stats stats;
    journal_stat(journal, &stats);
    return stats;
}

static void what_was_appended_is_replayed_in_order(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct replayed met;
    uint64_t position = 0, log_ns = 0;

    for (uint64_t run = 0; run < 3; run++) {
        struct journal *journal = start(&o);
        shots_make(&shots, 1 + run * 20, 20, 5000, false);
        shots_commit_each(journal, &shots);
        for (size_t i = 0; i < shots.n; i++) {
            assert_int_equal(shots.at[i].record.position, ++position);
            assert_true(shots.at[i].record.log_ns >= log_ns);
            log_ns = shots.at[i].record.log_ns;
        }
        assert_true(journal_time_ns(journal) >= log_ns);
        struct journal_stats stats = stat_of(journal);
        assert_int_equal(stats.records, 20);
        assert_int_equal(stats.groups, 20);
        assert_int_equal(stats.failed_groups, 0);
        assert_int_equal(stats.next_position, position + 1);
        assert_int_equal(stats.bytes % 4096, 0);
        assert_true(stats.writer_cpu_ns > 0);
        journal_stop(journal);
        journal_close(&journal);
        assert_null(journal);
        shots_free(&shots);
    }
    struct journal *journal = open_journal(&o);
    assert_int_equal(journal_replay_total(journal, 0), 60);
    assert_int_equal(journal_replay_total(journal, 59), 1);
    assert_int_equal(journal_replay_total(journal, 60), 0);
    assert_int_equal(journal_replay_total(journal, UINT64_MAX), 0);
    static const uint64_t afters[] = {0, 1, 19, 20, 21, 59, 60, 61, UINT64_MAX};
    for (size_t i = 0; i < MG_COUNT(afters); i++) {
        replay_into(journal, afters[i], &met);
        assert_int_equal(met.n, afters[i] > 60 ? 0 : 60 - afters[i]);
        if (met.n > 0)
            assert_int_equal(met.at[0].position, afters[i] + 1);
        VEC_FINI(&met);
    }
    assert_true(journal_time_ns(journal) >= log_ns);
    journal_close(&journal);
}

static void positions_stay_above_the_floor_when_the_directory_was_emptied(void **state)
{
    (void)state;
    static const struct {
        uint64_t floor, first;
    } cases[] = {{0, 1}, {1, 2}, {1000, 1001}};
    struct shots shots;
    struct journal_options o = options();
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        memfs_fini(&fs);
        memfs_init(&fs);
        o.floor_position = cases[i].floor;
        o.floor_log_ns = 77000000000;
        struct journal *journal = start(&o);
        shots_make(&shots, 1, 1, 10, false);
        shots_commit_each(journal, &shots);
        assert_int_equal(shots.at[0].record.position, cases[i].first);
        assert_true(shots.at[0].record.log_ns >= o.floor_log_ns);
        journal_close(&journal);
        shots_free(&shots);
    }
    o.floor_position = 5; /* below what is there: no effect */
    struct journal *journal = start(&o);
    assert_int_equal(stat_of(journal).next_position, 1002);
    journal_close(&journal);
}

static void log_time_stands_still_while_the_log_is_closed(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct journal *journal = start(&o);
    shots_make(&shots, 1, 1, 10, false);
    shots_commit_each(journal, &shots);
    uint64_t last = shots.at[0].record.log_ns;
    journal_close(&journal);
    shots_free(&shots);
    uint64_t before = clock_mono_ns();
    journal = open_journal(&o);
    uint64_t now = journal_time_ns(journal), spent = clock_mono_ns() - before;
    assert_in_range(now, last, last + spent);
    journal_close(&journal);
}

static void a_busy_log_gathers_until_the_group_is_full(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    o.group_ns = hour_ns;
    o.group_bytes = 3 * 1088; /* three records of a 64-byte header, 1-digit head and 1000 bytes */
    struct journal *journal = start(&o);
    shots_make(&shots, 1, 7, 1000, true);
    assert_int_equal(shot_commit(journal, &shots.at[0]), MG_OK); /* idle: at once */
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(shot_append(journal, &shots.at[i]), MG_OK);
    for (size_t i = 1; i < 4; i++)
        shot_wait(&shots.at[i]);
    assert_int_equal(stat_of(journal).groups, 2);
    for (size_t i = 4; i < 6; i++)
        assert_int_equal(shot_append(journal, &shots.at[i]), MG_OK);
    assert_int_equal(stat_of(journal).groups, 2);
    journal_stop(journal); /* does not wait for the hour */
    assert_true(shots.at[4].is_done && shots.at[5].is_done);
    assert_int_equal(shots.at[5].err, MG_OK);
    assert_int_equal(stat_of(journal).groups, 3);
    assert_int_equal(shot_append(journal, &shots.at[6]), MG_E_IO);
    journal_close(&journal);
    shots_free(&shots);
}

static void groups_are_split_at_their_limits(void **state)
{
    (void)state;
    static const struct {
        size_t records, body;
        uint64_t groups;
    } cases[] = {
        {254, 10, 1}, {255, 10, 1}, {256, 10, 2}, {511, 0, 3}, {15, 1 << 20, 1}, {17, 1 << 20, 2},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        memfs_fini(&fs);
        memfs_init(&fs);
        struct journal_options o = options();
        struct shots shots;
        struct replayed met;
        o.segment_bytes = 20 << 20;
        o.group_ns = hour_ns;
        o.group_bytes = UINT64_MAX;
        struct journal *journal = start(&o);
        shots_make(&shots, 1, cases[i].records + 1, cases[i].body, true);
        assert_int_equal(shot_commit(journal, &shots.at[0]), MG_OK);
        uint64_t groups = stat_of(journal).groups, syncs = fs.fdatasyncs;
        for (size_t k = 1; k < shots.n; k++)
            assert_int_equal(shot_append(journal, &shots.at[k]), MG_OK);
        journal_stop(journal);
        struct journal_stats stats = stat_of(journal);
        assert_int_equal(stats.groups - groups, cases[i].groups);
        assert_true(fs.fdatasyncs - syncs >= cases[i].groups);
        journal_close(&journal);
        reread(&o, &met, NULL);
        assert_int_equal(met.n, shots.n);
        VEC_FINI(&met);
        shots_free(&shots);
    }
}

static void a_record_larger_than_a_segment_gets_its_own(void **state)
{
    (void)state;
    static const size_t bodies[] = {61247, 61248, 61249, 65536, 300000};
    struct journal_options o = options();
    struct replayed met;
    struct shots shots;
    struct journal *journal = start(&o);
    for (size_t i = 0; i < MG_COUNT(bodies); i++) {
        shots_make(&shots, 1 + i * 3, 1, bodies[i], true);
        shots_commit_each(journal, &shots);
        shots_free(&shots);
        shots_make(&shots, 2 + i * 3, 2, 100, false);
        shots_commit_each(journal, &shots);
        shots_free(&shots);
    }
    uint64_t disk = stat_of(journal).disk_bytes;
    journal_trim(journal, UINT64_MAX);
    journal_stop(journal);
    assert_true(stat_of(journal).disk_bytes < disk);
    assert_int_equal(memfs_count(&fs, ".spare"), 2);
    for (size_t i = 0; i < fs.names.n; i++) /* a segment of an unusual size is not kept */
        assert_int_equal(fs.files.at[fs.names.at[i].file].cache.n, 64 << 10);
    journal_close(&journal);
    reread(&o, &met, NULL);
    assert_in_range(met.n, 1, 3); /* what the last segment holds */
    VEC_FINI(&met);
}

static void trimmed_segments_are_recycled_in_place(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct replayed met;
    struct journal *journal = start(&o);
    uint64_t id = 1, most = 0;
    size_t files = 0;
    for (int round = 0; round < 40; round++) {
        shots_make(&shots, id, 10, 3000, true);
        shots_commit_each(journal, &shots);
        id += 10;
        journal_trim(journal, shots.at[4].record.position);
        shots_free(&shots);
        most = MG_MAX(most, stat_of(journal).disk_bytes);
        if (round == 20)
            files = fs.files.n;
    }
    journal_stop(journal);
    assert_in_range(most, 64 << 10, 6 * (64 << 10));
    assert_int_equal(fs.files.n, files); /* no new file in the second half */
    struct journal_stats stats = stat_of(journal);
    assert_int_equal(stats.trimmed_position, 395);
    assert_int_equal(stats.next_bytes, 0);
    assert_true(stats.first_position <= 396 && stats.first_position > 360);
    journal_close(&journal);
    reread(&o, &met, &stats);
    assert_int_equal(stats.corrupt_places, 0);
    assert_int_equal(met.at[met.n - 1].id, 400);
    assert_int_equal(met.at[0].position, stats.first_position);
    assert_int_equal(met.n, 400 - stats.first_position + 1);
    VEC_FINI(&met);
}

static void starts_without_records_leave_no_trail(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct replayed met;
    struct journal *journal = start(&o);
    shots_make(&shots, 1, 3, 100, false);
    shots_commit_each(journal, &shots);
    journal_close(&journal);
    for (int i = 0; i < 10; i++) {
        journal = start(&o);
        journal_close(&journal);
        assert_true(fs.names.n <= 4);
    }
    reread(&o, &met, NULL);
    assert_int_equal(met.n, 3);
    VEC_FINI(&met);
    shots_free(&shots);
}

static void os_durability_syncs_nothing(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct replayed met;
    o.os_durability = true;
    struct journal *journal = start(&o);
    shots_make(&shots, 1, 50, 3000, false);
    shots_commit_each(journal, &shots);
    journal_trim(journal, 10);
    journal_close(&journal);
    assert_int_equal(fs.fdatasyncs, 0);
    assert_int_equal(fs.fsyncs, 0);
    reread(&o, &met, NULL);
    assert_int_equal(met.at[met.n - 1].id, 50);
    VEC_FINI(&met);
    shots_free(&shots);
}

static void short_writes_are_continued(void **state)
{
    (void)state;
    static const size_t most[] = {1000, 4096, 63};
    struct journal_options o = options();
    for (size_t i = 0; i < MG_COUNT(most); i++) {
        struct shots shots;
        struct replayed met;
        memfs_fini(&fs);
        memfs_init(&fs);
        fs.write_max = most[i];
        struct journal *journal = start(&o);
        shots_make(&shots, 1, 10, 3000, false);
        shots_commit_each(journal, &shots);
        journal_close(&journal);
        reread(&o, &met, NULL);
        assert_int_equal(met.n, 10);
        VEC_FINI(&met);
        shots_free(&shots);
    }
}

static void what_is_refused_at_append(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    shots_make(&shots, 1, 2, 10, false);
    struct journal *journal = open_journal(&o);
    assert_int_equal(shot_append(journal, &shots.at[0]), MG_E_IO); /* not started */
    journal_close(&journal);
    journal = start(&o);
    struct journal_record *big = &shots.at[1].record;
    struct str body = big->body;
    big->body.len = (1 << 30) - big->head.len + 1;
    assert_int_equal(shot_append(journal, &shots.at[1]), MG_E_TOO_BIG);
    big->body.len = SIZE_MAX;
    assert_int_equal(shot_append(journal, &shots.at[1]), MG_E_TOO_BIG);
    big->body = body;
    assert_int_equal(shot_commit(journal, &shots.at[1]), MG_OK);
    journal_close(&journal);
    shots_free(&shots);
}

static void a_failed_sync_fails_its_group_only(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct replayed met;
    struct journal_stats stats;
    struct journal *journal = start(&o);
    shots_make(&shots, 1, 4, 1000, false);
    assert_int_equal(shot_commit(journal, &shots.at[0]), MG_OK);
    fs.fail_fdatasyncs = 1;
    assert_int_equal(shot_commit(journal, &shots.at[1]), MG_E_IO);
    assert_int_equal(shots.at[1].record.position, 2);
    assert_int_equal(shot_commit(journal, &shots.at[2]), MG_OK);
    assert_int_equal(shots.at[2].record.position, 3);
    assert_false(journal_refusing(journal));
    assert_int_equal(stat_of(journal).failed_groups, 1);
    journal_close(&journal);
    reread(&o, &met, &stats); /* the failed group is in the file, whole, and is not read */
    assert_int_equal(met.n, 2);
    assert_false(replayed_has(&met, 2));
    assert_int_equal(stats.corrupt_places, 0);
    VEC_FINI(&met);
    shots_free(&shots);
}

static void a_second_failure_refuses_until_the_disk_is_back(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct replayed met;
    o.retry_ns = 1000000;
    struct journal *journal = start(&o);
    shots_make(&shots, 1, 3, 1000, false);
    assert_int_equal(shot_commit(journal, &shots.at[0]), MG_OK);
    memfs_faults(&fs, 0, 1); /* every call fails from here on */
    assert_int_equal(shot_commit(journal, &shots.at[1]), MG_E_IO);
    while (!journal_refusing(journal))
        sched_yield();
    shots.at[2].is_done = false;
    assert_int_equal(shot_append(journal, &shots.at[2]), MG_E_IO);
    assert_false(shots.at[2].is_done); /* still ours */
    pthread_mutex_lock(&fs.lock);
    fs.cut_at = 0;
    fs.is_dead = false;
    pthread_mutex_unlock(&fs.lock);
    while (journal_refusing(journal))
        sched_yield();
    assert_int_equal(shot_commit(journal, &shots.at[2]), MG_OK);
    journal_close(&journal);
    reread(&o, &met, NULL);
    assert_true(replayed_has(&met, 1) && replayed_has(&met, 3));
    VEC_FINI(&met);
    shots_free(&shots);
}

/* Whether the journal of the options starts now; the reason is kept. */
static struct journal *try_start(const struct journal_options *o, struct mg_why *why)
{
    struct journal *journal = open_journal(o);
    if (journal_start(journal, why) != MG_OK)
        journal_close(&journal);
    return journal;
}

static uint64_t calls_so_far(void) /* the writer runs */
{
    pthread_mutex_lock(&fs.lock);
    uint64_t calls = fs.calls;
    pthread_mutex_unlock(&fs.lock);
    return calls;
}

static void a_start_may_refuse_until_there_is_room(void **state)
{
    (void)state;
    static const int codes[] = {ENOSPC, EDQUOT, EIO};
    for (size_t i = 0; i < MG_COUNT(codes); i++) {
        struct journal_options o = options();
        struct shots shots;
        struct replayed met;
        struct journal_stats stats;
        struct mg_why why = {""};
        memfs_fini(&fs);
        memfs_init(&fs);
        shots_make(&shots, 1, 4, 1000, false);
        struct journal *journal = start(&o);
        assert_int_equal(shot_commit(journal, &shots.at[0]), MG_OK);
        assert_int_equal(shot_commit(journal, &shots.at[1]), MG_OK);
        journal_close(&journal);

        o.may_start_refusing = true;
        o.retry_ns = 1000000;
        memfs_full(&fs, codes[i]);
        journal = try_start(&o, &why);
        assert_non_null(journal);
        assert_string_equal(why.text, "");
        assert_true(journal_refusing(journal));
        assert_true(stat_of(journal).refusing);
        assert_int_equal(shot_append(journal, &shots.at[2]), MG_E_IO);
        assert_false(shots.at[2].is_done); /* still ours */
        uint64_t calls = calls_so_far();
        while (calls_so_far() < calls + 20) /* it tries again, and again */
            sched_yield();
        assert_true(journal_refusing(journal));
        memfs_full(&fs, 0);
        while (journal_refusing(journal))
            sched_yield();
        assert_int_equal(shot_commit(journal, &shots.at[2]), MG_OK);
        assert_int_equal(shots.at[2].record.position, 3);
        journal_close(&journal);
        reread(&o, &met, &stats);
        assert_int_equal(met.n, 3);
        assert_int_equal(stats.corrupt_places, 0);
        assert_int_equal(memfs_count(&fs, ".log"), 2);
        VEC_FINI(&met);
        shots_free(&shots);
    }
}

static void a_refusing_start_can_be_read_trimmed_and_stopped(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct replayed met;
    struct journal_record record;
    struct mg_why why = {""};
    bool is_record = false;
    struct journal *journal = start(&o);
    shots_make(&shots, 1, 60, 3000, true); /* several segments */
    shots_commit_each(journal, &shots);
    journal_close(&journal);

    o.may_start_refusing = true;
    o.retry_ns = 1000000;
    memfs_full(&fs, ENOSPC);
    for (int run = 0; run < 2; run++) {
        journal = try_start(&o, &why);
        assert_non_null(journal);
        assert_int_equal(stat_of(journal).next_bytes, 64 << 10);
        struct journal_reader *reader = journal_reader_new(journal);
        for (uint64_t position = 1; position <= shots.n; position++) {
            assert_int_equal(journal_read(reader, position - 1, &record, &is_record, &why), MG_OK);
            assert_true(is_record && record.position == position);
        }
        assert_int_equal(journal_read(reader, shots.n, &record, &is_record, &why), MG_OK);
        assert_false(is_record);
        journal_reader_free(&reader);
        assert_true(journal_refusing(journal));
        journal_close(&journal);
    }
    reread(&o, &met, NULL); /* the attempts have changed nothing */
    assert_int_equal(met.n, shots.n);
    VEC_FINI(&met);

    journal = try_start(&o, &why);
    assert_non_null(journal);
    journal_trim(journal, 30); /* what it releases is room for the next segment: the disk is full all the same */
    while (journal_refusing(journal))
        sched_yield();
    shots.at[0].is_done = false;
    assert_int_equal(shot_commit(journal, &shots.at[0]), MG_OK);
    assert_int_equal(shots.at[0].record.position, 61);
    journal_close(&journal);
    shots_free(&shots);
}

static void a_start_fails_for_other_reasons_or_without_the_option(void **state)
{
    (void)state;
    static const struct {
        bool may_start_refusing;
        int code;
        const char *reason;
    } cases[] = {
        {false, ENOSPC, "No space left on device"}, {false, EDQUOT, "quota"},
        {false, EIO, "Input/output error"},         {true, EACCES, "Permission denied"},
        {true, EROFS, "Read-only file system"},     {true, ENOENT, "No such file or directory"},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct journal_options o = options();
        struct mg_why why = {""};
        memfs_fini(&fs);
        memfs_init(&fs);
        fs.has_dir = true;
        o.may_start_refusing = cases[i].may_start_refusing;
        memfs_full(&fs, cases[i].code);
        assert_null(try_start(&o, &why));
        assert_non_null(strstr(why.text, "/log: cannot begin segment 1"));
        assert_non_null(strstr(why.text, cases[i].reason));
        assert_int_equal(memfs_count(&fs, ".log"), 0);
    }
}

/* Each of the calls of the first segment: open, fallocate, write, sync, sync of the directory. */
static void every_call_of_the_first_segment_may_fail(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 5; nth++)
        for (int option = 0; option < 2; option++) {
            struct journal_options o = options();
            struct shots shots;
            struct mg_why why = {""};
            memfs_fini(&fs);
            memfs_init(&fs);
            o.may_start_refusing = option;
            o.retry_ns = 1000000;
            shots_make(&shots, 1, 1, 1000, false);
            struct journal *journal = open_journal(&o);
            memfs_faults(&fs, nth, 0);
            assert_int_equal(journal_start(journal, &why), option ? MG_OK : MG_E_IO);
            while (option && journal_refusing(journal))
                sched_yield();
            if (option)
                assert_int_equal(shot_commit(journal, &shots.at[0]), MG_OK);
            journal_close(&journal);
            shots_free(&shots);
        }
}

static void failures_leave_no_trail(void **state)
{
    (void)state;
    enum { CYCLES = 6 };
    struct journal_options o = options();
    struct shots shots;
    o.retry_ns = 1000;
    struct journal *journal = start(&o);
    shots_make(&shots, 1, 3 * CYCLES, 1000, false);
    for (size_t i = 0; i < shots.n; i++) {
        bool fails =
            i % 3 != 2; /* twice in a row, the second time in the segment begun after the first */
        pthread_mutex_lock(&fs.lock);
        fs.fail_fdatasyncs = fails;
        pthread_mutex_unlock(&fs.lock);
        do { /* while it refuses, and once more when it began to refuse just after the append */
            shots.at[i].is_done = false;
            shots.at[i].err = shot_commit(journal, &shots.at[i]);
        } while (!fails && shots.at[i].err != MG_OK);
    }
    journal_close(&journal);
    assert_in_range(memfs_count(&fs, ".log"), 1, CYCLES + 2);
    assert_in_range(memfs_count(&fs, ".spare"), 0, 2);
    shots_free(&shots);
}

/* --- many threads --- */

struct sender {
    struct journal *journal;
    struct shots shots;
    pthread_t thread;
};

static void *send_all(void *owner)
{
    struct sender *sender = owner;
    for (size_t i = 0; i < sender->shots.n; i++) {
        if (shot_append(sender->journal, &sender->shots.at[i]) != MG_OK)
            abort();
        if (i % 8 == 7)
            shot_wait(&sender->shots.at[i]);
        struct journal_stats stats;
        journal_stat(sender->journal, &stats);
        journal_trim(sender->journal, stats.next_position > 200 ? stats.next_position - 200 : 0);
    }
    return NULL;
}

static void many_threads_append(void **state)
{
    (void)state;
    enum { SENDERS = 4, EACH = 150 };
    struct journal_options o = options();
    struct sender senders[SENDERS];
    struct replayed met;
    bool taken[SENDERS * EACH + 1] = {false};
    o.group_ns = 100000;
    struct journal *journal = start(&o);
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i].journal = journal;
        shots_make(&senders[i].shots, 1 + i * EACH, EACH, 2000, false);
        pthread_create(&senders[i].thread, NULL, send_all, &senders[i]);
    }
    for (size_t i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    journal_stop(journal);
    uint64_t first = stat_of(journal).first_position;
    journal_close(&journal);
    reread(&o, &met, NULL);
    assert_int_equal(met.n, SENDERS * EACH - first + 1);
    for (size_t i = 0; i < SENDERS; i++) {
        uint64_t last = 0;
        for (size_t k = 0; k < EACH; k++) {
            struct shot *shot = &senders[i].shots.at[k];
            assert_true(shot->is_done && shot->err == MG_OK);
            assert_true(shot->record.position > last); /* one sender's order is kept */
            last = shot->record.position;
            assert_false(taken[last]);
            taken[last] = true;
        }
        shots_free(&senders[i].shots);
    }
    VEC_FINI(&met);
}

/* --- the operating system --- */

static void the_system_files_are_private(void **state)
{
    (void)state;
    char base[] = "/tmp/mg-journal-XXXXXX", dir[64], path[96], other[96];
    assert_non_null(mkdtemp(base));
    snprintf(dir, sizeof dir, "%s/log", base);
    snprintf(other, sizeof other, "%s/notes.txt", dir);
    struct journal_options o = {.dir = dir, .segment_bytes = 1 << 20, .group_ns = 1000000};
    struct shots shots;
    struct replayed met;
    struct stat st;
    for (uint64_t run = 0; run < 2; run++) {
        struct journal *journal = start(&o);
        shots_make(&shots, 1 + 30 * run, 30, 100000, false);
        shots_commit_each(journal, &shots);
        journal_trim(journal, 10);
        journal_close(&journal);
        shots_free(&shots);
        close(open(other, O_CREAT | O_WRONLY, 0600)); /* strange names are left alone */
    }
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    reread(&o, &met, NULL);
    assert_int_equal(met.at[met.n - 1].id, 60);
    VEC_FINI(&met);

    struct journal_stats stats;
    struct mg_why why;
    assert_int_equal(journal_check(dir, NULL, NULL, &stats, &why), MG_OK);
    assert_int_equal(stats.records + stats.first_position - 1, 60);
    assert_int_equal(unlink(other), 0);
    for (uint64_t number = 1; number < 20; number++) {
        char name[FILE_NAME_BYTES];
        for (enum file_kind kind = FILE_LOG; kind <= FILE_SPARE; kind++) {
            file_name_write(name, number, kind);
            snprintf(path, sizeof path, "%s/%s", dir, name);
            if (stat(path, &st) == 0) {
                assert_int_equal(st.st_mode & 0777, 0600);
                unlink(path);
            }
        }
    }
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(journal_check(dir, NULL, NULL, &stats, &why), MG_E_IO);
    assert_int_not_equal(access(dir, F_OK), 0); /* check creates nothing */
    assert_int_equal(rmdir(base), 0);
}

static void a_directory_that_cannot_be(void **state)
{
    (void)state;
    struct journal_options o = {.dir = "/nonexistent-mg/log"};
    struct journal *journal;
    struct mg_why why;
    assert_int_equal(journal_open(&journal, &o, &why), MG_E_IO);
    assert_non_null(strstr(why.text, "/nonexistent-mg/log"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_appended_is_replayed_in_order),
        T(positions_stay_above_the_floor_when_the_directory_was_emptied),
        T(log_time_stands_still_while_the_log_is_closed),
        T(a_busy_log_gathers_until_the_group_is_full),
        T(groups_are_split_at_their_limits),
        T(a_record_larger_than_a_segment_gets_its_own),
        T(trimmed_segments_are_recycled_in_place),
        T(starts_without_records_leave_no_trail),
        T(os_durability_syncs_nothing),
        T(short_writes_are_continued),
        T(what_is_refused_at_append),
        T(a_failed_sync_fails_its_group_only),
        T(a_second_failure_refuses_until_the_disk_is_back),
        T(a_start_may_refuse_until_there_is_room),
        T(a_refusing_start_can_be_read_trimmed_and_stopped),
        T(a_start_fails_for_other_reasons_or_without_the_option),
        T(every_call_of_the_first_segment_may_fail),
        T(failures_leave_no_trail),
        T(many_threads_append),
        T(the_system_files_are_private),
        T(a_directory_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

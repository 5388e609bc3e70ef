/* Reading a log while it is written: order, borders, trimming, damage, failures, and both threads at once. */
#include "harness.h"
#include "memfs_scene.h"
#include <sched.h>
#include <stdatomic.h>

static struct journal_options options(void)
{
    return (struct journal_options){
        .dir = "/log", .segment_bytes = 64 << 10, .io = &fs.io, .group_ns = 1, .retry_ns = 1000};
}

static struct journal *start(const struct journal_options *o)
{
    struct journal *journal = open_journal(o);
    assert_int_equal(journal_start(journal, NULL), MG_OK);
    return journal;
}

static void append(struct journal *journal, uint64_t first, size_t n, size_t body)
{
    struct shots shots;
    shots_make(&shots, first, n, body, true);
    shots_commit_each(journal, &shots);
    shots_free(&shots);
}

static struct journal_stats stat_of(const struct journal *journal)
{
    struct journal_stats stats;
    journal_stat(journal, &stats);
    return stats;
}

/* Reads what there is, from `after` on; answers the last position. */
static uint64_t read_all(struct journal_reader *reader, uint64_t after, struct replayed *met)
{
    struct journal_record record;
    struct mg_why why = {""};
    bool is_record;
    for (;;) {
        if (journal_read(reader, after, &record, &is_record, &why) != MG_OK)
            fail_msg("%s", why.text);
        if (!is_record)
            return after;
        assert_true(record.position > after);
        assert_int_equal(record_met(met, &record), MG_OK);
        after = record.position;
    }
}

/* Position of the next record, 0: none. */
static uint64_t read_one(struct journal_reader *reader, uint64_t after)
{
    struct journal_record record;
    bool is_record;
    assert_int_equal(journal_read(reader, after, &record, &is_record, NULL), MG_OK);
    return is_record ? record.position : 0;
}

static void records_are_read_as_they_become_durable(void **state)
{
    (void)state;
    static const size_t bodies[] = {0, 100, 3000, 9000, 70000}; /* the last: a segment each */
    struct journal_options o = options();
    for (size_t b = 0; b < MG_COUNT(bodies); b++) {
        memfs_fini(&fs);
        memfs_init(&fs);
        struct journal *journal = start(&o);
        struct journal_reader *reader = journal_reader_new(journal);
        struct replayed met = {0};
        uint64_t after = 0;
        assert_int_equal(read_one(reader, 0), 0);
        for (uint64_t id = 1; id <= 40; id += 4) {
            append(journal, id, 4, bodies[b]);
            after = read_all(reader, after, &met);
            assert_int_equal(after, id + 3);
        }
        assert_int_equal(met.n, 40);
        if (bodies[b] >= 3000)
            assert_true(stat_of(journal).segments > 1);
        assert_int_equal(stat_of(journal).corrupt_places, 0);
        VEC_FINI(&met);
        journal_reader_free(&reader);
        assert_null(reader);
        journal_close(&journal);
    }
}

static void any_place_can_be_asked_for(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct journal *journal = start(&o);
    append(journal, 1, 60, 5000);
    struct journal_reader *reader = journal_reader_new(journal);
    struct random random;
    random_init(&random, 1);
    for (int i = 0; i < 300; i++) {
        uint64_t after = random_below(&random, 64);
        assert_int_equal(read_one(reader, after), after < 60 ? after + 1 : 0);
    }
    static const uint64_t beyond[] = {60, 61, 1 << 20, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < MG_COUNT(beyond); i++)
        assert_int_equal(read_one(reader, beyond[i]), 0);
    assert_int_equal(read_one(reader, 59), 60);
    assert_int_equal(stat_of(journal).corrupt_places, 0);
    journal_reader_free(&reader);
    journal_close(&journal);
}

static void it_reads_before_the_start_and_after_the_stop(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct journal *journal = start(&o);
    append(journal, 1, 20, 5000);
    journal_close(&journal);

    journal = open_journal(&o);
    struct journal_reader *reader = journal_reader_new(journal);
    struct replayed met = {0};
    assert_int_equal(read_all(reader, 0, &met), 20);
    assert_int_equal(journal_start(journal, NULL), MG_OK);
    append(journal, 21, 10, 5000);
    assert_int_equal(read_all(reader, 20, &met), 30);
    journal_stop(journal);
    assert_int_equal(read_all(reader, 30, &met), 30);
    assert_int_equal(met.n, 30);
    VEC_FINI(&met);
    journal_reader_free(&reader);
    journal_close(&journal);
}

/* The group is in the file, whole, but its sync failed; the next one is in a new segment. */
static void a_failed_group_is_neither_read_nor_missed(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct journal *journal = start(&o);
    struct journal_reader *reader = journal_reader_new(journal);
    shots_make(&shots, 1, 3, 1000, true);
    assert_int_equal(shot_commit(journal, &shots.at[0]), MG_OK);
    assert_int_equal(read_one(reader, 0), 1);
    fs.fail_fdatasyncs = 1;
    assert_int_equal(shot_commit(journal, &shots.at[1]), MG_E_IO);
    assert_int_equal(read_one(reader, 1), 0);
    assert_int_equal(shot_commit(journal, &shots.at[2]), MG_OK);
    assert_int_equal(read_one(reader, 1), 3);
    assert_int_equal(read_one(reader, 3), 0);
    assert_int_equal(stat_of(journal).corrupt_records, 0);
    journal_reader_free(&reader);
    journal_close(&journal);
    shots_free(&shots);
}

static void trimmed_positions_are_left_out(void **state)
{
    (void)state;
    static const uint64_t trims[] = {1, 10, 11, 12, 35, 59, 60, 1000};
    struct journal_options o = options();
    for (size_t i = 0; i < MG_COUNT(trims); i++) {
        memfs_fini(&fs);
        memfs_init(&fs);
        struct journal *journal = start(&o);
        struct journal_reader *fresh = journal_reader_new(journal), *reader = journal_reader_new(journal);
        append(journal, 1, 60, 5000);
        assert_int_equal(read_one(reader, 0), 1); /* stands in a segment that goes */
        journal_trim(journal, trims[i]);
        uint64_t first = trims[i] < 60 ? trims[i] + 1 : 0;
        assert_int_equal(read_one(reader, 1), first);
        assert_int_equal(read_one(fresh, 0), first);
        journal_stop(journal); /* now it has gone for certain */
        assert_int_equal(read_one(reader, 1), first);
        assert_int_equal(read_one(fresh, 0), first);
        assert_int_equal(stat_of(journal).corrupt_places, 0);
        journal_reader_free(&reader);
        journal_reader_free(&fresh);
        journal_close(&journal);
    }
}

/* The reader stands in a segment while that is trimmed, recycled and written again. */
static void a_recycled_segment_is_not_mistaken_for_damage(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct journal *journal = start(&o);
    struct journal_reader *readers[4];
    append(journal, 1, 30, 5000);
    for (size_t i = 0; i < MG_COUNT(readers); i++) {
        readers[i] = journal_reader_new(journal);
        assert_int_equal(read_one(readers[i], i * 3), i * 3 + 1);
    }
    for (uint64_t id = 31; id < 231; id += 10) {
        journal_trim(journal, id - 12);
        append(journal, id, 10, 5000);
    }
    uint64_t first = stat_of(journal).trimmed_position + 1;
    for (size_t i = 0; i < MG_COUNT(readers); i++) {
        struct replayed met = {0};
        assert_int_equal(read_all(readers[i], i * 3 + 1, &met), 230);
        assert_int_equal(met.at[0].position, first);
        assert_int_equal(met.n, 230 - first + 1);
        VEC_FINI(&met);
        journal_reader_free(&readers[i]);
    }
    assert_int_equal(stat_of(journal).corrupt_places, 0);
    journal_close(&journal);
}

static void a_trim_to_fit_releases_the_oldest(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct journal *journal = start(&o);
    assert_int_equal(journal_trim_to_fit(journal, 0), 0); /* the one being written stays */
    append(journal, 1, 60, 5000);                         /* 7 groups of 8 KiB a segment */
    uint64_t segments = stat_of(journal).segments, bytes = 64 << 10;
    assert_int_equal(segments, 9);
    static const struct {
        uint64_t segments, position;
    } cases[] = {{9, 0}, {10, 0}, {8, 7}, {7, 14}, {1, 56}, {0, 56}};
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_int_equal(journal_trim_to_fit(journal, cases[i].segments * bytes), cases[i].position);
    assert_int_equal(journal_trim_to_fit(journal, 9 * bytes - 1), 7);
    journal_trim(journal, journal_trim_to_fit(journal, 3 * bytes));
    journal_stop(journal);
    assert_int_equal(stat_of(journal).segments, 3);
    assert_int_equal(journal_trim_to_fit(journal, 3 * bytes), 0);
    journal_close(&journal);
}

/* --- what goes wrong --- */

/* Opens three segments' worth of records, damaged in the middle one: a byte of the record at 7 + n. */
static struct journal *damaged_journal(const struct journal_options *o, uint64_t at)
{
    struct journal *journal = start(o);
    append(journal, 1, 21, 5000);
    journal_close(&journal);
    memfs_file(&fs, "00000002.log")->cache.at[at] ^= 1;
    return open_journal(o);
}

static void damage_is_skipped_and_counted_once(void **state)
{
    (void)state;
    enum { GROUP = 8192 };
    static const struct {
        uint64_t at, lost;
        const char *what;
    } cases[] = {
        {FORMAT_PAGE + 3, 1, "group header"},
        {FORMAT_PAGE + FORMAT_GROUP_HEAD + 5, 1, "record header"},
        {FORMAT_PAGE + 3000, 1, "body"},
        {FORMAT_PAGE + 3 * GROUP + 1000, 1, "body in the middle"},
        {FORMAT_PAGE + 6 * GROUP + 1000, 1, "last body"},
        {FORMAT_PAGE + 6 * GROUP + 10, 1, "last group header"},
        {20, 0, "segment header"},
    };
    struct journal_options o = options();
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        memfs_fini(&fs);
        memfs_init(&fs);
        struct journal *journal = damaged_journal(&o, cases[i].at);
        struct journal_reader *reader = journal_reader_new(journal), *other = journal_reader_new(journal);
        for (int again = 0; again < 3; again++) {
            struct replayed met = {0};
            assert_int_equal(read_all(again == 1 ? other : reader, 0, &met), 21);
            if (met.n != 21 - cases[i].lost || stat_of(journal).corrupt_records != cases[i].lost ||
                !stat_of(journal).corrupt_places || stat_of(journal).corrupt_places > 2)
                fail_msg("%s: %zu read, %d lost in %d places", cases[i].what, met.n,
                         (int)stat_of(journal).corrupt_records, (int)stat_of(journal).corrupt_places);
            VEC_FINI(&met);
        }
        journal_reader_free(&reader);
        journal_reader_free(&other);
        journal_close(&journal);
    }
}

static void what_the_replay_counted_is_not_counted_again(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct replayed met = {0}, replayed;
    struct journal *journal = damaged_journal(&o, FORMAT_PAGE + 3000);
    replay_into(journal, 0, &replayed);
    assert_int_equal(stat_of(journal).corrupt_records, 1);
    struct journal_reader *reader = journal_reader_new(journal);
    assert_int_equal(read_all(reader, 0, &met), 21);
    assert_int_equal(met.n, replayed.n);
    assert_int_equal(stat_of(journal).corrupt_records, 1);
    VEC_FINI(&met);
    VEC_FINI(&replayed);
    journal_reader_free(&reader);
    journal_close(&journal);
}

/* Reads 30 records while the n-th file call fails; every failed read is made again. */
static uint64_t read_stubbornly(struct journal *journal)
{
    struct journal_reader *reader = journal_reader_new(journal);
    struct journal_record record;
    struct replayed met = {0};
    uint64_t after = 0, failures = 0;
    for (bool is_record = true; is_record;) {
        struct mg_why why = {""};
        if (journal_read(reader, after, &record, &is_record, &why) != MG_OK) {
            assert_true(why.text[0]);
            failures++;
        } else if (is_record) {
            assert_int_equal(record.position, after + 1);
            assert_int_equal(record_met(&met, &record), MG_OK);
            after = record.position;
        }
    }
    assert_int_equal(met.n, 30);
    VEC_FINI(&met);
    journal_reader_free(&reader);
    return failures;
}

static void a_failed_call_can_be_repeated(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct journal *journal = start(&o);
    append(journal, 1, 30, 5000);
    journal_stop(journal);
    uint64_t failures = 0, nth = 0;
    do {
        memfs_faults(&fs, ++nth, 0);
        uint64_t failed = read_stubbornly(journal);
        assert_true(failed <= 1);
        failures += failed;
    } while (fs.calls >= nth);
    assert_true(failures >= 10); /* an open and a read for each of five segments; no failed close is seen */
    assert_int_equal(stat_of(journal).corrupt_places, 0);
    journal_close(&journal);
}

static void a_file_that_vanished_is_an_error(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct journal *journal = start(&o);
    struct journal_record record;
    struct mg_why why = {""};
    bool is_record;
    append(journal, 1, 21, 5000);
    struct journal_reader *reader = journal_reader_new(journal);
    memfs_remove(&fs, "00000002.log");
    assert_int_equal(read_one(reader, 6), 7);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(journal_read(reader, 7, &record, &is_record, &why), MG_E_IO);
        assert_non_null(strstr(why.text, "00000002.log"));
    }
    assert_int_equal(read_one(reader, 14), 15); /* beyond it */
    journal_reader_free(&reader);
    journal_close(&journal);
}

/* --- both at once --- */

enum { BUSY_RECORDS = 3000 };

struct busy {
    struct journal *journal;
    _Atomic uint64_t read_to;
    _Atomic bool is_over; /* everything was appended; last_position is valid */
    uint64_t last_position;
    bool trims;
};

static void *appender(void *owner)
{
    struct busy *busy = owner;
    struct shots shots;
    shots_make(&shots, 1, BUSY_RECORDS, 4000, false);
    for (size_t i = 0; i < shots.n;) {
        size_t burst = MG_MIN(i + 1 + i % 7, shots.n), from = i;
        for (; i < burst; i++)
            assert_int_equal(shot_append(busy->journal, &shots.at[i]), MG_OK);
        for (size_t k = from; k < i; k++)
            shot_wait(&shots.at[k]);
        if (busy->trims)
            journal_trim(busy->journal, busy->read_to);
    }
    busy->last_position = shots.at[shots.n - 1].record.position;
    busy->is_over = true;
    shots_free(&shots);
    return NULL;
}

/* Reads until the appender is done; what was trimmed must have been read before. */
static void read_busily(struct busy *busy, struct journal_reader *reader, struct replayed *met)
{
    for (bool is_over = false; !is_over;) {
        is_over = busy->is_over;
        busy->read_to = read_all(reader, busy->read_to, met);
        sched_yield();
    }
    assert_int_equal(busy->read_to, busy->last_position);
}

static void one_thread_reads_what_another_appends(void **state)
{
    (void)state;
    for (int trims = 0; trims < 2; trims++) {
        memfs_fini(&fs);
        memfs_init(&fs);
        struct journal_options o = options();
        struct busy busy = {.journal = start(&o), .trims = trims};
        struct journal_reader *reader = journal_reader_new(busy.journal);
        struct replayed met = {0};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, appender, &busy), 0);
        read_busily(&busy, reader, &met);
        pthread_join(thread, NULL);
        assert_int_equal(met.n, BUSY_RECORDS);
        for (size_t i = 0; i < met.n; i++)
            assert_int_equal(met.at[i].id, i + 1);
        assert_int_equal(stat_of(busy.journal).corrupt_places, 0);
        VEC_FINI(&met);
        journal_reader_free(&reader);
        journal_close(&busy.journal);
    }
}

/* The trims do not wait for this reader: it falls behind, and its segments are written over under it. */
static void a_reader_that_is_overtaken_meets_no_damage(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct busy busy = {.journal = start(&o), .trims = true};
    struct journal_reader *reader = journal_reader_new(busy.journal), *slow = journal_reader_new(busy.journal);
    struct replayed met = {0}, seen = {0};
    uint64_t slow_at = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, appender, &busy), 0);
    for (bool is_over = false; !is_over;) {
        struct journal_record record;
        bool is_record;
        is_over = busy.is_over;
        busy.read_to = read_all(reader, busy.read_to, &met);
        assert_int_equal(journal_read(slow, slow_at, &record, &is_record, NULL), MG_OK);
        if (is_record) {
            assert_true(record.position > slow_at);
            assert_int_equal(record_met(&seen, &record), MG_OK);
            slow_at = record.position;
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(met.n, BUSY_RECORDS);
    assert_in_range(seen.n, 1, BUSY_RECORDS);
    assert_int_equal(stat_of(busy.journal).corrupt_places, 0);
    VEC_FINI(&met);
    VEC_FINI(&seen);
    journal_reader_free(&reader);
    journal_reader_free(&slow);
    journal_close(&busy.journal);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(records_are_read_as_they_become_durable),
        TEST(any_place_can_be_asked_for),
        TEST(it_reads_before_the_start_and_after_the_stop),
        TEST(a_failed_group_is_neither_read_nor_missed),
        TEST(trimmed_positions_are_left_out),
        TEST(a_recycled_segment_is_not_mistaken_for_damage),
        TEST(a_trim_to_fit_releases_the_oldest),
        TEST(damage_is_skipped_and_counted_once),
        TEST(what_the_replay_counted_is_not_counted_again),
        TEST(a_failed_call_can_be_repeated),
        TEST(a_file_that_vanished_is_an_error),
        TEST(one_thread_reads_what_another_appends),
        TEST(a_reader_that_is_overtaken_meets_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Reading back what was cut, damaged, recycled or forged. */
#include "harness.h"
#include "memfs_scene.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/bytes.h"

static const char first_log[] = "00000001.log";

static struct journal_options options(void)
{
    return (struct journal_options){
        .dir = "/log", .segment_bytes = 64 << 10, .io = &fs.io, .group_ns = 1};
}

/* Runs the journal once: n groups of one record each, ids from `first`, bodies of up to 6000 bytes.
 */
static void write_groups(uint64_t first, size_t n)
{
    struct journal_options o = options();
    struct shots shots;
    struct journal *journal = open_journal(&o);
    assert_int_equal(journal_start(journal, NULL), MG_OK);
    shots_make(&shots, first, n, 6000, false);
    shots_commit_each(journal, &shots);
    journal_close(&journal);
    shots_free(&shots);
}

struct group_place {
    uint64_t at, bytes;
};

/* The groups of a file, by their headers. */
static size_t groups_of(const char *name, uint64_t number, struct group_place *out, size_t room)
{
    struct memfs_file *file = memfs_file(&fs, name);
    size_t n = 0;
    struct group_head g;
    for (uint64_t at = FORMAT_PAGE; at < file->cache.n && n < room; at += FORMAT_PAGE)
        if (group_head_read(file->cache.at + at, number, &g))
            out[n++] = (struct group_place){at, g.bytes};
    return n;
}

struct lines {
    char text[2048];
};
static void on_line(void *owner, const char *line)
{
    struct lines *lines = owner;
    size_t len = strlen(lines->text);
    snprintf(lines->text + len, sizeof lines->text - len, "%s\n", line);
}

/* What `check` would say. */
static struct scan_report check(struct lines *lines)
{
    struct journal_options o = options();
    struct segment_set set;
    struct mg_why why = {""};
    uint64_t log_ns = 0;
    struct scan_report report = {.on_line = on_line, .owner = lines};
    lines->text[0] = '\0';
    segment_set_init(&set, &o);
    if (scan_open(&set, &log_ns, &report, &why) != MG_OK ||
        scan_records(&set, 0, NULL, NULL, &report, &why) != MG_OK)
        fail_msg("%s", why.text);
    segment_set_fini(&set);
    return report;
}

static void a_cut_file_loses_the_cut_group_only(void **state)
{
    (void)state;
    struct group_place groups[32];
    struct journal_options o = options();
    write_groups(1, 8);
    size_t n = groups_of(first_log, 1, groups, 32);
    assert_int_equal(n, 8);
    struct memfs_file *file = memfs_file(&fs, first_log);
    size_t size = file->cache.n;
    for (size_t cut = size; cut + 512 > 512; cut -= 512) {
        struct replayed met;
        struct journal_stats stats;
        size_t whole = 0;
        file->cache.n = cut;
        while (whole < n && groups[whole].at + groups[whole].bytes <= cut)
            whole++;
        reread(&o, &met, &stats);
        assert_int_equal(met.n, whole);
        assert_int_equal(stats.corrupt_places, 0);
        VEC_FINI(&met);
    }
    file->cache.n = size;
}

/* Any byte of any group changed: all other records come back, and only a change that a later group
 * contradicts is damage. */
static void damage_costs_what_it_hits(void **state)
{
    (void)state;
    struct group_place groups[32];
    struct journal_options o = options();
    write_groups(1, 6);
    size_t n = groups_of(first_log, 1, groups, 32);
    uint8_t *bytes = memfs_file(&fs, first_log)->cache.at;
    for (size_t g = 0; g < n; g++) {
        for (uint64_t at = 0; at < groups[g].bytes; at += at < 200 ? 1 : 61) {
            struct replayed met;
            struct journal_stats stats;
            bytes[groups[g].at + at] ^= 0x10;
            reread(&o, &met, &stats);
            bool is_padding = met.n == n; /* zeros behind the last body are not covered */
            if (is_padding)
                assert_true(groups[g].bytes - at <= 64);
            else
                assert_int_equal(met.n, n - 1);
            assert_int_equal(replayed_has(&met, g + 1), is_padding);
            bool is_damage = !is_padding && g + 1 < n;
            assert_int_equal(stats.corrupt_places, is_damage);
            assert_int_equal(stats.corrupt_records, is_damage);
            assert_int_equal(stats.next_position, g + 1 < n || is_padding ? n + 1 : n);
            VEC_FINI(&met);
            bytes[groups[g].at + at] ^= 0x10;
        }
    }
}

static void a_damaged_body_costs_one_record_of_its_group(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct replayed met;
    struct journal_stats stats;
    o.group_ns = 3600000000000;
    struct journal *journal = open_journal(&o);
    assert_int_equal(journal_start(journal, NULL), MG_OK);
    shots_make(&shots, 1, 6, 100, true);
    assert_int_equal(shot_commit(journal, &shots.at[0]), MG_OK);
    for (size_t i = 1; i < shots.n; i++)
        assert_int_equal(shot_append(journal, &shots.at[i]), MG_OK);
    journal_close(&journal);
    shots_free(&shots);
    write_groups(7, 1); /* fixes the end: now everything in it must be valid */

    /* header 64, then five records of 192 bytes */
    static const struct {
        size_t at, lost;
    } cases[] = {
        {64 + 192 + 64 + 1 + 50, 1},
        {64 + 192 + 3, 4},
        {64 + 70, 1},
        {64 + 4 * 192, 1},
        {0, 5},
        {40, 5},
    };
    uint8_t *bytes = memfs_file(&fs, first_log)->cache.at + 2 * FORMAT_PAGE;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        bytes[cases[i].at] ^= 1;
        reread(&o, &met, &stats);
        assert_int_equal(met.n, 7 - cases[i].lost);
        assert_int_equal(stats.corrupt_records, cases[i].lost);
        assert_true(replayed_has(&met, 1) && replayed_has(&met, 7));
        VEC_FINI(&met);
        bytes[cases[i].at] ^= 1;
    }
}

static void damage_before_a_known_end_is_never_a_torn_tail(void **state)
{
    (void)state;
    struct group_place groups[8];
    struct journal_options o = options();
    struct replayed met;
    struct journal_stats stats;
    struct lines lines;
    write_groups(1, 3);
    write_groups(4, 2);
    groups_of(first_log, 1, groups, 8);
    memfs_file(&fs, first_log)->cache.at[groups[2].at] ^=
        1; /* the last group of the first segment */
    reread(&o, &met, &stats);
    assert_int_equal(met.n, 4);
    assert_false(replayed_has(&met, 3));
    assert_int_equal(stats.next_position, 6);
    VEC_FINI(&met);
    struct scan_report report = check(&lines);
    assert_int_equal(report.corrupt_records, 1);
    assert_non_null(strstr(lines.text, "segment 1: damaged groups up to the end"));
    assert_non_null(strstr(lines.text, "1 records lost"));
}

static void a_torn_tail_is_told_and_is_no_damage(void **state)
{
    (void)state;
    struct group_place groups[8];
    struct lines lines;
    write_groups(1, 3);
    struct scan_report report = check(&lines);
    assert_string_equal(lines.text, "");
    assert_int_equal(report.records, 3);
    groups_of(first_log, 1, groups, 8);
    memfs_file(&fs, first_log)->cache.at[groups[2].at + 64 + 65] ^= 1;
    report = check(&lines);
    assert_int_equal(report.records, 2);
    assert_int_equal(report.corrupt_places, 0);
    assert_non_null(strstr(lines.text, "torn tail"));
}

static void a_damaged_segment_header_costs_nothing(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct replayed met;
    struct journal_stats stats;
    write_groups(1, 3);
    write_groups(4, 3);
    write_groups(7, 3);
    static const char *const names[] = {"00000001.log", "00000002.log", "00000003.log"};
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        for (int zeroed = 0; zeroed < 2; zeroed++) {
            uint8_t *header = memfs_file(&fs, names[i])->cache.at, kept[FORMAT_SEGMENT_HEAD];
            memcpy(kept, header, sizeof kept);
            if (zeroed)
                memset(header, 0, sizeof kept);
            else
                header[20] ^= 1;
            reread(&o, &met, &stats);
            assert_int_equal(met.n, 9);
            assert_int_equal(stats.corrupt_places, 1);
            assert_int_equal(stats.corrupt_records, 0);
            VEC_FINI(&met);
            memcpy(header, kept, sizeof kept);
        }
    }
}

/* A power cut may undo the rename of a recycled segment and not what was written to it. */
static void a_header_of_another_number_is_no_damage(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct replayed met;
    struct journal_stats stats;
    write_groups(1, 3);
    write_groups(4, 3);
    memcpy(memfs_file(&fs, first_log)->cache.at, memfs_file(&fs, "00000002.log")->cache.at, FORMAT_SEGMENT_HEAD);
    reread(&o, &met, &stats);
    assert_int_equal(met.n, 3);
    assert_int_equal(stats.corrupt_places, 0);
    VEC_FINI(&met);
}

static void a_missing_segment_is_counted_unless_it_was_trimmed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t met;
        uint64_t lost;
    } cases[] = {
        {"00000002.log", 7, 4},
        {"00000001.log", 4, 0},
    };
    struct journal_options o = options();
    struct replayed met;
    struct journal_stats stats;
    write_groups(1, 3);
    write_groups(4, 4);
    write_groups(8, 4);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        memfs_remove(&fs, cases[i].name);
        reread(&o, &met, &stats);
        assert_int_equal(met.n, cases[i].met);
        assert_int_equal(stats.corrupt_records, cases[i].lost);
        VEC_FINI(&met);
    }
}

static void old_bytes_of_a_recycled_segment_cannot_be_read(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct shots shots;
    struct replayed met;
    struct journal_stats stats;
    struct journal *journal = open_journal(&o);
    assert_int_equal(journal_start(journal, NULL), MG_OK);
    shots_make(&shots, 1, 33, 3000, true); /* 15 a segment */
    for (size_t i = 0; i < shots.n; i++) {
        assert_int_equal(shot_commit(journal, &shots.at[i]), MG_OK);
        journal_trim(journal, i > 15 ? 15 : 0);
    }
    journal_close(&journal);
    shots_free(&shots);

    /* The newest segment is the first file again: three new groups, the old ones behind them as
     * they were. */
    assert_non_null(memfs_file(&fs, "00000003.log"));
    struct memfs_file *file = memfs_file(&fs, "00000003.log");
    struct group_head g;
    assert_ptr_equal(file, &fs.files.at[0]);
    size_t old_groups = 0;
    for (size_t at = FORMAT_PAGE; at < file->cache.n; at += FORMAT_PAGE)
        old_groups += group_head_read(file->cache.at + at, 1, &g);
    assert_in_range(old_groups, 12, 12);
    reread(&o, &met, &stats);
    assert_int_equal(stats.corrupt_places, 0);
    assert_int_equal(met.at[0].id, 16);
    assert_int_equal(met.n, 33 - 15);
    VEC_FINI(&met);

    /* Even when the number were the same, the nonce tells them apart. */
    for (size_t at = FORMAT_PAGE; at < file->cache.n; at += FORMAT_PAGE) {
        if (!group_head_read(file->cache.at + at, 1, &g))
            continue;
        g.number = 3;
        g.first_position += 1000;
        group_head_write(file->cache.at + at, &g);
    }
    reread(&o, &met, &stats);
    assert_int_equal(stats.corrupt_places, 0);
    assert_int_equal(met.n, 33 - 15);
    VEC_FINI(&met);
}

static void a_renamed_but_not_begun_segment_is_a_spare(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct replayed met;
    write_groups(1, 3);
    write_groups(4, 3);
    /* A power cut between the rename and the header: the header has another number. */
    fs.io.rename(&fs, "/log/00000001.log", "/log/00000009.log");
    reread(&o, &met, NULL);
    assert_int_equal(met.n, 3);
    VEC_FINI(&met);
    write_groups(7, 1);
    assert_non_null(memfs_file(&fs, "00000010.log")); /* numbers go on above every name */
    assert_null(memfs_file(&fs, "00000009.log"));     /* recycled */
    reread(&o, &met, NULL);
    assert_int_equal(met.n, 4);
    assert_true(met.at[3].position > met.at[2].position);
    VEC_FINI(&met);
}

static void a_later_version_refuses_to_open(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct journal *journal;
    struct mg_why why;
    write_groups(1, 1);
    uint8_t *bytes = memfs_file(&fs, first_log)->cache.at;
    put_le32(bytes + 8, 2);
    put_le64(bytes + 120, hash64(bytes, 120, 1));
    assert_int_equal(journal_open(&journal, &o, &why), MG_E_FORMAT);
    assert_non_null(strstr(why.text, first_log));
}

static void an_empty_file_and_zeros_hold_nothing(void **state)
{
    (void)state;
    struct journal_options o = options();
    struct replayed met;
    static const size_t sizes[] = {0, 1, 127, 128, 4095, 4096, 4097, 65536};
    for (size_t i = 0; i < MG_COUNT(sizes); i++) {
        int fd = fs.io.open(&fs, "/log/00000003.log", 0100, 0600);
        assert_int_equal(fs.io.fallocate(&fs, fd, (int64_t)sizes[i]), 0);
        fs.io.close(&fs, fd);
        reread(&o, &met, NULL);
        assert_int_equal(met.n, 0);
        write_groups(1, 1);
        reread(&o, &met, NULL);
        assert_int_equal(met.n, 1);
        VEC_FINI(&met);
        memfs_fini(&fs);
        memfs_init(&fs);
    }
}

static enum mg_err on_second_fails(void *owner, const struct journal_record *record)
{
    (void)record;
    return ++*(int *)owner == 2 ? MG_E_BUSY : MG_OK;
}

static void an_owner_can_end_the_replay(void **state)
{
    (void)state;
    struct journal_options o = options();
    int calls = 0;
    write_groups(1, 5);
    struct journal *journal = open_journal(&o);
    assert_int_equal(journal_replay(journal, 0, on_second_fails, &calls, NULL), MG_E_BUSY);
    assert_int_equal(calls, 2);
    journal_close(&journal);
}

static void a_read_error_is_never_taken_for_damage(void **state)
{
    (void)state;
    struct journal_options o = options();
    enum mg_err err;
    uint64_t nth = 0;
    write_groups(1, 5);
    write_groups(6, 5);
    do {
        struct journal *journal = NULL;
        int calls = -100;
        memfs_faults(&fs, ++nth, 0);
        err = journal_open(&journal, &o, NULL);
        if (err == MG_OK)
            err = journal_replay(journal, 0, on_second_fails, &calls, NULL);
        if (err == MG_OK)
            assert_int_equal(calls, -90);
        journal_close(&journal);
        assert_true(err == MG_OK || err == MG_E_IO);
        assert_int_equal(fs.open_handles, 0);
    } while (fs.calls >= nth);
    assert_true(nth > 12);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_cut_file_loses_the_cut_group_only),
        T(damage_costs_what_it_hits),
        T(a_damaged_body_costs_one_record_of_its_group),
        T(damage_before_a_known_end_is_never_a_torn_tail),
        T(a_torn_tail_is_told_and_is_no_damage),
        T(a_damaged_segment_header_costs_nothing),
        T(a_header_of_another_number_is_no_damage),
        T(a_missing_segment_is_counted_unless_it_was_trimmed),
        T(old_bytes_of_a_recycled_segment_cannot_be_read),
        T(a_renamed_but_not_begun_segment_is_a_spare),
        T(a_later_version_refuses_to_open),
        T(an_empty_file_and_zeros_hold_nothing),
        T(an_owner_can_end_the_replay),
        T(a_read_error_is_never_taken_for_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

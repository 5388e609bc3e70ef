/* Beginning, trimming and giving up segments, without a writer. */
#include "harness.h"

static struct memfs fs;
static struct segment_set set;

static int setup(void **state)
{
    (void)state;
    memfs_init(&fs);
    struct journal_options o = {
        .dir = "/d", .segment_bytes = 16 << 10, .spare_segments = 1, .io = &fs.io};
    segment_set_init(&set, &o);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    segment_set_fini(&set);
    assert_int_equal(fs.open_handles, 0);
    memfs_fini(&fs);
    return 0;
}

/* As if a group of `records` had been committed. */
static void commit(uint64_t records)
{
    set.next_position += records;
    set.current.offset += FORMAT_PAGE;
    segment_current(&set)->end = set.current.offset;
    segment_current(&set)->next_position = set.next_position;
}

static void room_is_made_for_what_is_needed(void **state)
{
    (void)state;
    static const struct {
        uint64_t need, room;
    } cases[] = {
        {0, 12 << 10},    {1, 12 << 10}, {12 << 10, 12 << 10}, {(12 << 10) + 1, 16 << 10},
        {100000, 102400},
    };
    assert_int_equal(segment_room(&set), 0);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        assert_int_equal(segment_begin(&set, cases[i].need, 1, NULL), MG_OK);
        assert_int_equal(segment_room(&set), cases[i].room);
        assert_int_equal(set.segments.n, 1); /* the one before held nothing */
    }
    segment_abandon(&set);
    assert_int_equal(segment_room(&set), 0);
}

static void a_trim_never_takes_the_current_one(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(segment_begin(&set, 0, 1, NULL), MG_OK);
        commit(10);
    }
    static const struct {
        uint64_t position;
        size_t segments;
    } cases[] = {
        {0, 4}, {9, 4}, {10, 3}, {19, 3}, {29, 2}, {30, 1}, {40, 1}, {UINT64_MAX, 1},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        segment_trim(&set, cases[i].position);
        assert_int_equal(set.segments.n, cases[i].segments);
    }
    assert_int_equal(segment_trim_point(&set), UINT64_MAX);
    assert_int_equal(set.spares.n, 1);
    assert_int_equal(memfs_count(&fs, ".spare"), 1); /* one is kept, two are gone */
    assert_int_equal(memfs_count(&fs, ".log"), 1);
    assert_int_equal(segment_disk_bytes(&set), 32 << 10);
}

static void a_spare_of_the_usual_size_needs_no_space(void **state)
{
    (void)state;
    assert_int_equal(segment_next_bytes(&set), 16 << 10);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(segment_begin(&set, 0, 1, NULL), MG_OK);
        commit(10);
        assert_int_equal(segment_next_bytes(&set), 16 << 10);
    }
    segment_trim(&set, 9);
    assert_int_equal(segment_next_bytes(&set), 16 << 10);
    segment_trim(&set, 10);
    assert_int_equal(segment_next_bytes(&set), 0);
    set.spares.at[0].is_held = true; /* as a start finds one that may not be touched yet */
    assert_int_equal(segment_next_bytes(&set), 16 << 10);
    set.spares.at[0].is_held = false;
    set.spares.at[0].bytes = 32 << 10;
    assert_int_equal(segment_next_bytes(&set), 16 << 10);
    set.spares.at[0].bytes = 16 << 10;
    assert_int_equal(segment_begin(&set, 0, 1, NULL), MG_OK); /* takes it */
    assert_int_equal(segment_next_bytes(&set), 16 << 10);
}

static void the_header_tells_the_end_of_the_one_before(void **state)
{
    (void)state;
    assert_int_equal(segment_begin(&set, 0, 1, NULL), MG_OK);
    commit(3);
    assert_int_equal(segment_begin(&set, 0, 2, NULL), MG_OK); /* stays empty */
    assert_int_equal(segment_begin(&set, 0, 3, NULL), MG_OK);
    struct segment_head head;
    assert_int_equal(segment_head_read(memfs_file(&fs, "00000003.log")->cache.at, 3, &head),
                     SEGMENT_BEGUN);
    assert_int_equal(head.prev_number, 1);
    assert_int_equal(head.prev_end, 8192);
    assert_int_equal(head.prev_next_position, 4);
    assert_int_equal(head.first_position, 4);
    assert_int_equal(head.log_ns, 3);
    assert_true(head.nonce != 0);
}

static void a_failed_beginning_changes_nothing(void **state)
{
    (void)state;
    uint64_t nth = 1;
    struct mg_why why;
    assert_int_equal(segment_begin(&set, 0, 1, NULL), MG_OK);
    commit(3);
    for (;; nth++) {
        uint64_t number = segment_current(&set)->head.number;
        memfs_faults(&fs, nth, 0);
        if (segment_begin(&set, 0, 1, &why) == MG_OK)
            break;
        assert_non_null(strstr(why.text, "cannot begin segment"));
        assert_int_equal(segment_current(&set)->head.number, number);
        assert_int_equal(segment_room(&set), 8 << 10);
        assert_int_equal(fs.open_handles, 1);
        assert_int_equal(memfs_count(&fs, ".log"), 1);
    }
    assert_int_equal(nth, 6); /* open, fallocate, pwritev, fdatasync, fsync_dir */
}

/* 1…10 in the first segment, 11 and 12 used up by a failed group, 13…22 in the second, 23…32 in the third. */
static void a_survey_tells_what_became_of_positions(void **state)
{
    (void)state;
    static const struct {
        size_t removed; /* 3: none */
        uint64_t after, upto;
        struct journal_survey want;
    } cases[] = {
        {3, 0, 32, {.held = 30}},
        {3, 10, 12, {0}},
        {3, 10, 13, {.held = 1}},
        {3, 4, 9, {.held = 5}},
        {3, 0, 33, {.held = 30, .behind = 1}},
        {3, 40, 50, {.behind = 10}},
        {3, 32, 32, {0}},
        {0, 0, 32, {.held = 20, .before = 10}},
        {0, 10, 32, {.held = 20}},
        {0, 7, 9, {.before = 2}},
        {1, 0, 32, {.held = 20, .between = 12}}, /* the header that told of the failed group is gone, too */
        {1, 15, 32, {.held = 10, .between = 7}},
        {1, 22, 32, {.held = 10}},
        {2, 0, 32, {.held = 20, .behind = 10}},
        {2, 0, 22, {.held = 20}},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++, teardown(NULL), setup(NULL)) {
        struct journal_survey got;
        for (size_t k = 0; k < 3; k++) {
            set.next_position += k == 1 ? 2 : 0;
            assert_int_equal(segment_begin(&set, 0, 1, NULL), MG_OK);
            commit(10);
        }
        if (cases[i].removed < 3)
            VEC_REMOVE(&set.segments, cases[i].removed);
        segment_survey(&set, cases[i].after, cases[i].upto, &got);
        assert_int_equal(got.held, cases[i].want.held);
        assert_int_equal(got.before, cases[i].want.before);
        assert_int_equal(got.between, cases[i].want.between);
        assert_int_equal(got.behind, cases[i].want.behind);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(room_is_made_for_what_is_needed),
        T(a_trim_never_takes_the_current_one),
        T(a_spare_of_the_usual_size_needs_no_space),
        T(the_header_tells_the_end_of_the_one_before),
        T(a_failed_beginning_changes_nothing),
        T(a_survey_tells_what_became_of_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

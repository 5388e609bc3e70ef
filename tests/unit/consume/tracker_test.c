/* tracker_test.c - the offset to commit, whatever the order in which messages finish. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/random.h"
#include "consume/tracker.h"

static void the_offset_moves_over_what_is_finished_without_a_gap(void **state)
{
    static const struct { const char *finished; int64_t next; size_t width; } rows[] = { /* of 10 11 12 13 14 */
        { "", 10, 5 },     { "0", 11, 4 },   { "1", 10, 5 },    { "10", 12, 3 },     { "4321", 10, 5 },
        { "43210", 15, 0 }, { "01234", 15, 0 }, { "0234", 11, 4 }, { "02341", 15, 0 }, { "0123", 14, 1 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct tracker tracker = { 0 };
        for (int64_t offset = 10; offset < 15; offset++)
            assert_true(tracker_give(&tracker, offset));
        for (const char *c = rows[i].finished; *c; c++)
            assert_true(tracker_finish(&tracker, 10 + *c - '0'));
        assert_int_equal(tracker_next(&tracker), rows[i].next);
        assert_int_equal(tracker_width(&tracker), rows[i].width);
        tracker_fini(&tracker);
    }
}

static void before_anything_was_given_there_is_nothing_to_commit(void **state)
{
    struct tracker tracker = { 0 };

    (void)state;
    assert_int_equal(tracker_next(&tracker), -1);
    assert_false(tracker_finish(&tracker, 0));
    assert_true(tracker_give(&tracker, 0));
    assert_int_equal(tracker_next(&tracker), 0);
    assert_true(tracker_finish(&tracker, 0));
    assert_int_equal(tracker_next(&tracker), 1);
    tracker_fini(&tracker);
    assert_int_equal(tracker_next(&tracker), -1);
    tracker_fini(&tracker);
}

static void offsets_have_gaps(void **state)
{
    struct tracker tracker = { 0 };

    (void)state;
    assert_true(tracker_give(&tracker, 5));
    assert_true(tracker_give(&tracker, 1000));
    assert_true(tracker_give(&tracker, INT64_C(1) << 40));
    assert_true(tracker_finish(&tracker, 1000));
    assert_int_equal(tracker_next(&tracker), 5);
    assert_true(tracker_finish(&tracker, 5));
    assert_int_equal(tracker_next(&tracker), INT64_C(1) << 40);
    assert_false(tracker_finish(&tracker, 6)); /* was never given */
    tracker_fini(&tracker);
}

static void what_is_wrong_changes_nothing(void **state)
{
    struct tracker tracker = { 0 };

    (void)state;
    for (int64_t offset = 0; offset < 3; offset++)
        assert_true(tracker_give(&tracker, offset));
    assert_false(tracker_give(&tracker, 2)); /* again */
    assert_false(tracker_give(&tracker, 0)); /* back */
    assert_true(tracker_finish(&tracker, 1));
    assert_false(tracker_finish(&tracker, 1)); /* twice */
    assert_false(tracker_finish(&tracker, 3)); /* not given */
    assert_true(tracker_finish(&tracker, 0));
    assert_false(tracker_finish(&tracker, 0)); /* passed */
    assert_int_equal(tracker_next(&tracker), 2);
    assert_int_equal(tracker_width(&tracker), 1);
    tracker_fini(&tracker);
}

/* Against the plain way: an array of flags. */
static void it_is_what_an_array_of_flags_says(void **state)
{
    enum { N = 5000 };
    static bool is_done[N];
    struct tracker tracker = { 0 };
    struct random random;
    size_t given = 0, first = 0;

    (void)state;
    random_init(&random, 1);
    while (first < N) {
        if (given < N && random_below(&random, 3) > 0)
            assert_true(tracker_give(&tracker, (int64_t)(3 * given++)));
        size_t i = first + random_below(&random, 200);
        if (i < given) {
            assert_int_equal(tracker_finish(&tracker, (int64_t)(3 * i)), !is_done[i]);
            is_done[i] = true;
        }
        while (first < N && is_done[first])
            first++;
        if (given > 0)
            assert_int_equal(tracker_next(&tracker), first < given ? 3 * first : 3 * (given - 1) + 1);
        assert_int_equal(tracker_width(&tracker), given - first);
    }
    tracker_fini(&tracker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_offset_moves_over_what_is_finished_without_a_gap),
        cmocka_unit_test(before_anything_was_given_there_is_nothing_to_commit),
        cmocka_unit_test(offsets_have_gaps),
        cmocka_unit_test(what_is_wrong_changes_nothing),
        cmocka_unit_test(it_is_what_an_array_of_flags_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

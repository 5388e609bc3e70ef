#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/random.h"
#include "base/vec.h"
#include "query/best.h"

static void offer(struct best *best, uint8_t id, uint64_t start_ns)
{
    uint8_t trace_id[16] = { [15] = id };

    best_offer(best, trace_id, start_ns);
}

/* "id:start id:start", best first. */
static void assert_best(struct best *best, const char *want)
{
    struct best_trace *const *traces;
    struct buf text;

    buf_init(&text, 65536);
    for (size_t i = 0, n = best_sorted(best, &traces); i < n; i++)
        buf_printf(&text, "%s%u:%llu", i ? " " : "", traces[i]->id[15],
                   (unsigned long long)traces[i]->start_ns);
    buf_put_char(&text, '\0');
    assert_string_equal(text.ptr, want);
    buf_fini(&text);
}

static void test_orders_and_limits(void **state)
{
    static const struct {
        size_t limit;
        struct {
            uint8_t id;
            uint64_t start;
        } hits[6];
        const char *want;
    } cases[] = {
        { 3, { { 0 } }, "" },
        { 3, { { 1, 10 }, { 2, 30 } }, "2:30 1:10" },                 /* below the limit */
        { 3, { { 1, 10 }, { 2, 30 }, { 3, 20 } }, "2:30 3:20 1:10" }, /* at it */
        { 3, { { 1, 10 }, { 2, 30 }, { 3, 20 }, { 4, 40 } }, "4:40 2:30 3:20" }, /* above it */
        { 3, { { 1, 10 }, { 2, 30 }, { 3, 20 }, { 4, 5 } }, "2:30 3:20 1:10" },
        { 2, { { 3, 10 }, { 1, 10 }, { 2, 10 } }, "1:10 2:10" }, /* ties: by id */
        { 1, { { 1, 10 }, { 2, 10 } }, "1:10" },
        { 1, { { 2, 10 }, { 1, 10 } }, "1:10" },
        { 2, { { 1, 10 }, { 1, 30 }, { 1, 20 } }, "1:30" }, /* the latest counts */
        { 2, { { 1, 10 }, { 2, 20 }, { 1, 30 }, { 3, 15 } }, "1:30 2:20" },
        { 1, { { 1, 10 }, { 2, 20 }, { 1, 30 } }, "1:30" }, /* out, and in again */
        { 2, { { 1, UINT64_MAX }, { 2, 1 }, { 3, 2 } }, "1:18446744073709551615 3:2" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct best *best = best_new(cases[i].limit);
        for (size_t k = 0; k < MG_COUNT(cases[i].hits) && cases[i].hits[k].start; k++)
            offer(best, cases[i].hits[k].id, cases[i].hits[k].start);
        assert_best(best, cases[i].want);
        best_free(&best);
        assert_null(best);
    }
}

static void test_wants(void **state)
{
    struct best *best = best_new(2);

    (void)state;
    offer(best, 1, 10);
    assert_true(best_wants(best, 0));
    offer(best, 2, 20);
    assert_false(best_wants(best, 9));
    assert_true(best_wants(best, 10)); /* may win by id */
    assert_true(best_wants(best, 11));
    best_free(&best);
}

/* All hits remembered, then sorted. */
static int newest_first(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    if (left[1] != right[1])
        return left[1] < right[1] ? 1 : -1;
    return left[0] < right[0] ? -1 : left[0] > right[0];
}

static void run_random(struct random *random)
{
    size_t limit = 1 + random_below(random, 12), hits = random_below(random, 200), n = 0;
    uint64_t all[40][2] = { { 0 } };
    struct best *best = best_new(limit);
    struct buf want;

    for (size_t i = 0; i < MG_COUNT(all); i++)
        all[i][0] = i;
    for (size_t i = 0; i < hits; i++) {
        uint64_t id = random_below(random, MG_COUNT(all)), start = 1 + random_below(random, 50);
        all[id][1] = MG_MAX(all[id][1], start);
        offer(best, (uint8_t)id, start);
    }
    qsort(all, MG_COUNT(all), sizeof all[0], newest_first);
    buf_init(&want, 65536);
    for (; n < limit && n < MG_COUNT(all) && all[n][1]; n++)
        buf_printf(&want, "%s%u:%llu", n ? " " : "", (unsigned)all[n][0],
                   (unsigned long long)all[n][1]);
    buf_put_char(&want, '\0');
    assert_best(best, want.ptr);
    buf_fini(&want);
    best_free(&best);
}

static void test_same_as_sorting_everything(void **state)
{
    struct random random;

    (void)state;
    random_init(&random, 7);
    for (int i = 0; i < 2000; i++)
        run_random(&random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders_and_limits),
        cmocka_unit_test(test_wants),
        cmocka_unit_test(test_same_as_sorting_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

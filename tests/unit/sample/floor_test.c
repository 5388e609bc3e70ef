/* What is always kept, and that its budget is shared fairly and never passed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "sample/floor.h"

#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define DAY (86400 * SECOND)
#define START (20000 * DAY) /* midnight */
#define NO_LIMIT UINT64_MAX
#define MS UINT64_C(1000000)

static struct floor *new_floor(double rate, uint64_t bytes_per_day)
{
    struct floor *floor = floor_new();

    floor_limit(floor, rate, bytes_per_day);
    return floor;
}

static struct floor_stats stats_of(const struct floor *floor)
{
    struct floor_stats stats;

    floor_stat(floor, &stats);
    return stats;
}

static enum floor_kind ask_error(struct floor *floor, uint64_t operation, uint64_t log_ns)
{
    return floor_decide(floor, &(struct floor_ask){ .operation = operation, .duration_ns = MS, .bytes = 100, .log_ns = log_ns, .has_error = true,
                                                    .is_whole = true });
}

static enum floor_kind ask_plain(struct floor *floor, uint64_t operation, uint64_t duration_ns, uint64_t log_ns)
{
    return floor_decide(floor, &(struct floor_ask){ .operation = operation, .duration_ns = duration_ns, .bytes = 100, .log_ns = log_ns,
                                                    .is_whole = true });
}

/* --- off ------------------------------------------------------------------------------------------ */

static void without_a_budget_nothing_is_kept_or_counted(void **state)
{
    static const struct { double rate; uint64_t bytes; } rows[] = { { 0, NO_LIMIT }, { 5, 0 }, { 0, 0 }, { -1, NO_LIMIT } };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct floor *floor = new_floor(rows[i].rate, rows[i].bytes);
        for (unsigned n = 0; n < 100; n++) {
            assert_int_equal(ask_error(floor, n, START + n * SECOND), FLOOR_NOT);
            assert_int_equal(ask_plain(floor, 1, n * SECOND, START + n * SECOND), FLOOR_NOT);
        }
        struct floor_stats stats = stats_of(floor);
        for (int kind = 0; kind < FLOOR_KINDS; kind++)
            assert_int_equal(stats.refused[kind], 0);
        assert_int_equal(stats.bytes_today, 0);
        assert_int_equal(stats.operations, 0);
        floor_free(&floor);
        assert_null(floor);
        floor_free(&floor);
    }
}

static void one_without_limits_keeps_nothing(void **state)
{
    struct floor *floor = floor_new();

    (void)state;
    assert_int_equal(ask_error(floor, 1, START), FLOOR_NOT);
    floor_free(&floor);
}

static void a_budget_can_come_and_go(void **state)
{
    struct floor *floor = new_floor(5, NO_LIMIT);

    (void)state;
    assert_int_equal(ask_error(floor, 1, START), FLOOR_ERROR);
    floor_limit(floor, 0, NO_LIMIT);
    assert_int_equal(ask_error(floor, 1, START + SECOND), FLOOR_NOT);
    assert_int_equal(stats_of(floor).refused[FLOOR_ERROR], 0);
    floor_limit(floor, 5, NO_LIMIT);
    assert_int_equal(ask_error(floor, 1, START + 2 * SECOND), FLOOR_ERROR);
    floor_free(&floor);
}

/* --- traces per second ---------------------------------------------------------------------------- */

/* 50 in the bucket, no time passes, every operation asks once: fairness has nothing to say. */
static void errors_may_use_all_and_others_half(void **state)
{
    struct floor *floor = new_floor(5, NO_LIMIT);
    unsigned others = 0, errors = 0;

    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        others += ask_plain(floor, i, MS, START) == FLOOR_NEW;
    assert_in_range(others, 24, 26);
    for (uint64_t i = 100; i < 200; i++)
        errors += ask_error(floor, i, START) == FLOOR_ERROR;
    assert_int_equal(errors + others, 50);
    assert_int_equal(stats_of(floor).refused[FLOOR_NEW], 100 - others);
    assert_int_equal(stats_of(floor).refused[FLOOR_ERROR], 100 - errors);
    assert_int_equal(stats_of(floor).refused[FLOOR_SLOW], 0);
    floor_free(&floor);
}

static void what_is_kept_already_costs_nothing(void **state)
{
    struct floor *floor = new_floor(0.1, 1000);

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(floor_decide(floor, &(struct floor_ask){ .operation = 1, .bytes = 500, .log_ns = START, .has_error = true,
                                                                          .wish = FLOOR_IS_KEPT }), FLOOR_NOT);
    assert_int_equal(stats_of(floor).refused[FLOOR_ERROR], 0);
    assert_int_equal(stats_of(floor).bytes_today, 0);
    assert_int_equal(ask_error(floor, 1, START), FLOOR_ERROR);
    floor_free(&floor);
}

/* Never more than rate x time and the bucket, whatever asks, in any stretch from the start. */
static void the_rate_is_not_passed(void **state)
{
    static const double rates[] = { 0.01, 0.5, 5, 100 };

    (void)state;
    for (size_t r = 0; r < MG_COUNT(rates); r++) {
        struct floor *floor = new_floor(rates[r], NO_LIMIT);
        struct random random;
        uint64_t now = START, granted = 0;
        random_init(&random, r);
        for (unsigned i = 0; i < 200000; i++) {
            now += random_below(&random, i % 1000 < 500 ? 2 * MS : 40 * MS);
            uint64_t operation = random_below(&random, 300);
            granted += random_below(&random, 2) ? ask_error(floor, operation, now) == FLOOR_ERROR
                                                : ask_plain(floor, operation, random_below(&random, SECOND), now) != FLOOR_NOT;
            assert_true((double)granted <= rates[r] * (double)(now - START) / 1e9 + fmax(10 * rates[r], 4) + 1e-6);
        }
        if (rates[r] < 50) /* and errors use what there is */
            assert_true((double)granted >= 0.9 * rates[r] * (double)(now - START) / 1e9);
        floor_free(&floor);
    }
}

/* One operation fails 1,000 times a second for an hour; 50 others once a minute, at 5 traces/s. */
static void a_noisy_operation_does_not_starve_rare_ones(void **state)
{
    enum { RARE = 50, MINUTES = 60 };
    struct floor *floor = new_floor(5, NO_LIMIT);
    uint64_t granted = 0, rare = 0;

    (void)state;
    for (uint64_t ms = 0; ms < MINUTES * 60000; ms++) {
        uint64_t now = START + ms * MS;
        granted += ask_error(floor, 999, now) == FLOOR_ERROR;
        if (ms % 1200 == 600)
            rare += ask_error(floor, ms / 1200 % RARE, now) == FLOOR_ERROR;
    }
    assert_true(rare * 100 >= 95 * RARE * MINUTES);
    assert_true(rare + granted <= 5 * 3600 + 50);
    assert_true(rare + granted >= 5 * 3600 * 95 / 100);
    floor_free(&floor);
}

/* The same, but all rare ones at once: a fault that is everywhere, once a minute. */
static void rare_ones_that_come_together_are_kept(void **state)
{
    enum { RARE = 20, MINUTES = 60 };
    struct floor *floor = new_floor(5, NO_LIMIT);
    uint64_t rare = 0;

    (void)state;
    for (uint64_t ms = 0; ms < MINUTES * 60000; ms++) {
        uint64_t now = START + ms * MS;
        (void)ask_error(floor, 999, now);
        for (uint64_t i = 0; ms % 60000 == 30000 && i < RARE; i++)
            rare += ask_error(floor, i, now) == FLOOR_ERROR;
    }
    assert_true(rare * 100 >= 95 * RARE * MINUTES);
    floor_free(&floor);
}

static void a_flood_of_new_ones_leaves_errors_their_half(void **state)
{
    struct floor *floor = new_floor(5, NO_LIMIT);
    unsigned errors = 0;

    (void)state;
    for (uint64_t ms = 0; ms < 600000; ms++) {
        (void)ask_plain(floor, 1000 + ms, MS, START + ms * MS);
        if (ms % 500 == 0)
            errors += ask_error(floor, ms / 500 % 10, START + ms * MS) == FLOOR_ERROR;
    }
    assert_int_equal(errors, 1200);
    assert_true(stats_of(floor).refused[FLOOR_NEW] > 500000);
    floor_free(&floor);
}

/* --- bytes per day -------------------------------------------------------------------------------- */

static void bytes_of_a_day_end_at_midnight(void **state)
{
    struct floor *floor = new_floor(1000, 10000);
    struct floor_ask plain = { .bytes = 1000, .is_whole = true }, error = { .bytes = 1000, .has_error = true };
    unsigned others, errors;

    (void)state;
    for (uint64_t day = 0; day < 3; day++) {
        others = errors = 0;
        for (uint64_t i = 0; i < 24; i++) {
            plain.log_ns = error.log_ns = START + day * DAY + (i + 1) * DAY / 24 - 1; /* the last in the day's last nanosecond */
            plain.operation = day * 100 + i;
            error.operation = 1000;
            others += floor_decide(floor, &plain) == FLOOR_NEW;
            if (i >= 6)
                errors += floor_decide(floor, &error) == FLOOR_ERROR;
        }
        assert_int_equal(others, 5);
        assert_int_equal(errors, 5);
        assert_int_equal(stats_of(floor).bytes_today, 10000);
    }
    floor_free(&floor);
}

static void a_trace_that_does_not_fit_into_the_day_is_refused(void **state)
{
    static const struct { uint64_t bytes; bool has_error; enum floor_kind want; } rows[] = {
        { 10001, true, FLOOR_NOT }, { UINT64_MAX, true, FLOOR_NOT }, { 5001, false, FLOOR_NOT }, { UINT64_MAX, false, FLOOR_NOT },
        { 10000, true, FLOOR_ERROR }, { 5000, false, FLOOR_NEW }, { 0, false, FLOOR_NEW },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct floor *floor = new_floor(5, 10000);
        struct floor_ask ask = { .operation = 1, .bytes = rows[i].bytes, .log_ns = START, .has_error = rows[i].has_error, .is_whole = true };
        assert_int_equal(floor_decide(floor, &ask), rows[i].want);
        assert_int_equal(stats_of(floor).bytes_today, rows[i].want == FLOOR_NOT ? 0 : rows[i].bytes);
        assert_int_equal(stats_of(floor).refused[rows[i].has_error ? FLOOR_ERROR : FLOOR_NEW], rows[i].want == FLOOR_NOT);
        floor_free(&floor);
    }
}

static enum floor_kind ask_sized(struct floor *floor, uint64_t operation, uint64_t bytes, uint64_t log_ns)
{
    return floor_decide(floor, &(struct floor_ask){ .operation = operation, .bytes = bytes, .log_ns = log_ns, .has_error = true, .is_whole = true });
}

/* One operation's traces of 1 MB each second; 50 others of 1 kB once an hour; 100 MB a day, from the first day on. */
static void huge_traces_of_one_operation_leave_bytes_to_others(void **state)
{
    enum { RARE = 50, DAYS = 3 };
    struct floor *floor = new_floor(100, 100000000);
    uint64_t rare = 0;

    (void)state;
    for (uint64_t day = 0; day < DAYS; day++) {
        uint64_t huge = 0;
        for (uint64_t s = 0; s < 86400; s++) {
            uint64_t now = START + day * DAY + s * SECOND;
            huge += ask_sized(floor, 999, 1000000, now) == FLOOR_ERROR;
            if (s % 72 == 36)
                rare += ask_sized(floor, s / 72 % RARE, 1000, now) == FLOOR_ERROR;
        }
        assert_in_range(huge, 95, 100); /* nothing is lost either */
        assert_true(stats_of(floor).bytes_today <= 100000000);
    }
    assert_int_equal(rare, DAYS * 24 * RARE);
    floor_free(&floor);
}

/* All want more than there is, and half of them come late: once it is known how many they are, each gets at least half of an equal share. */
static void operations_with_huge_traces_share_the_day(void **state)
{
    enum { HUGE = 8, DAYS = 3 };
    struct floor *floor = new_floor(1000, 1000000);
    uint64_t had[HUGE] = { 0 };
    struct random random;

    (void)state;
    random_init(&random, 8);
    for (uint64_t day = 0; day < DAYS; day++) {
        memset(had, 0, sizeof had);
        for (uint64_t s = 0; s < 86400; s += 10)
            for (uint64_t k = 0; k < HUGE; k++) {
                uint64_t i = random_below(&random, HUGE);
                if (i >= HUGE / 2 || s >= 43200) /* half of them sleep until noon */
                    had[i] += ask_sized(floor, i, 1000, START + day * DAY + s * SECOND) == FLOOR_ERROR ? 1000 : 0;
            }
    }
    for (size_t i = 0; i < HUGE; i++)
        assert_in_range(had[i], 1000000 / (HUGE + 1) / 2, 2 * 1000000 / HUGE);
    floor_free(&floor);
}

/* --- slow ----------------------------------------------------------------------------------------- */

static double normal(struct random *random)
{
    return sqrt(-2 * log(1 - random_unit(random))) * cos(2 * 3.14159265358979 * random_unit(random));
}

static void about_one_in_a_hundred_is_slow(void **state)
{
    static const double sigmas[] = { 0.3, 0.5, 1, 2 };

    (void)state;
    for (size_t s = 0; s < MG_COUNT(sigmas); s++) {
        struct floor *floor = new_floor(1e6, NO_LIMIT);
        struct random random;
        unsigned slow = 0;
        double least = INFINITY;
        random_init(&random, 40 + s);
        for (uint64_t i = 0; i < 120000; i++) { /* 100 a second */
            double ms = 20 * exp(sigmas[s] * normal(&random));
            bool is_slow = ask_plain(floor, 1, (uint64_t)(ms * 1e6), START + i * 10 * MS) == FLOOR_SLOW;
            slow += is_slow && i >= 20000;
            if (is_slow && i >= 20000)
                least = fmin(least, ms);
        }
        assert_in_range(slow, 50, 2000);
        assert_true(least > 20 * exp(sigmas[s] * 1.8)); /* above the 96th percentile at any time */
        floor_free(&floor);
    }
}

static void nothing_is_slow_when_all_are_equal(void **state)
{
    static const uint64_t durations[] = { 0, 1, 999, 1000, 3 * MS, SECOND, UINT64_MAX };

    (void)state;
    for (size_t d = 0; d < MG_COUNT(durations); d++) {
        struct floor *floor = new_floor(1e6, NO_LIMIT);
        assert_int_equal(ask_plain(floor, 1, durations[d], START), FLOOR_NEW);
        for (uint64_t i = 1; i < 100000; i++)
            assert_int_equal(ask_plain(floor, 1, durations[d], START + i * MS), FLOOR_NOT);
        floor_free(&floor);
    }
}

static void twenty_have_to_be_seen_before_one_is_slow(void **state)
{
    static const struct { unsigned seen; enum floor_kind want; } rows[] = {
        { 0, FLOOR_NOT }, { 1, FLOOR_NOT }, { 19, FLOOR_NOT }, { 20, FLOOR_SLOW }, { 21, FLOOR_SLOW }, { 1000, FLOOR_SLOW },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct floor *floor = new_floor(1e6, NO_LIMIT);
        floor_know(floor, 1);
        for (unsigned n = 0; n < rows[i].seen; n++)
            assert_int_equal(ask_plain(floor, 1, MS, START + n * MS), FLOOR_NOT);
        assert_int_equal(ask_plain(floor, 1, 100 * MS, START + 2 * SECOND), rows[i].want);
        floor_free(&floor);
    }
}

/* Learnt from: also what is kept anyway. Not mixed: other operations. */
static void slow_is_measured_against_its_own_operation(void **state)
{
    struct floor *floor = new_floor(1e6, NO_LIMIT);

    (void)state;
    floor_know(floor, 1);
    floor_know(floor, 2);
    for (unsigned n = 0; n < 100; n++) {
        (void)floor_decide(floor, &(struct floor_ask){ .operation = 1, .duration_ns = MS, .log_ns = START, .is_whole = true, .wish = FLOOR_IS_KEPT });
        assert_int_equal(ask_plain(floor, 2, SECOND, START), FLOOR_NOT);
    }
    assert_int_equal(ask_plain(floor, 1, 10 * MS, START), FLOOR_SLOW);
    assert_int_equal(ask_plain(floor, 2, 10 * MS, START), FLOOR_NOT);
    assert_int_equal(ask_plain(floor, 1, MS, START), FLOOR_NOT);
    floor_free(&floor);
}

/* An operation that became slower as a whole is not slow for ever. */
static void what_is_slow_is_forgotten_with_time(void **state)
{
    struct floor *floor = new_floor(1e6, NO_LIMIT);
    unsigned slow = 0;

    (void)state;
    floor_know(floor, 1);
    for (uint64_t i = 0; i < 6000; i++)
        (void)ask_plain(floor, 1, MS, START + i * 10 * MS);
    for (uint64_t i = 6000; i < 60000; i++)
        slow += ask_plain(floor, 1, 100 * MS, START + i * 10 * MS) == FLOOR_SLOW;
    assert_in_range(slow, 1, 500);
    floor_free(&floor);
}

/* --- new ------------------------------------------------------------------------------------------ */

static void the_first_of_an_operation_is_new(void **state)
{
    struct floor *floor = new_floor(1e6, NO_LIMIT);

    (void)state;
    for (uint64_t operation = 0; operation < 1000; operation++)
        assert_int_equal(ask_plain(floor, operation, MS, START), FLOOR_NEW);
    for (uint64_t operation = 0; operation < 1000; operation++)
        assert_int_equal(ask_plain(floor, operation, MS, START + SECOND), FLOOR_NOT);
    floor_know(floor, 5000);
    assert_int_equal(ask_plain(floor, 5000, MS, START), FLOOR_NOT);
    assert_int_equal(ask_error(floor, 5001, START), FLOOR_ERROR);
    assert_int_equal(ask_plain(floor, 5001, MS, START), FLOOR_NOT); /* an error was the first */
    (void)floor_decide(floor, &(struct floor_ask){ .operation = 5002, .log_ns = START, .is_whole = true, .wish = FLOOR_IS_KEPT });
    assert_int_equal(ask_plain(floor, 5002, MS, START), FLOOR_NOT); /* kept by another */
    floor_free(&floor);
}

/* What a drop policy or a class took was not the first of its operation. */
static void the_first_that_could_be_kept_is_new(void **state)
{
    static const struct { enum floor_wish first; bool is_whole; enum floor_kind second, third; } rows[] = {
        { FLOOR_IS_DROPPED, true, FLOOR_NEW, FLOOR_NOT }, { FLOOR_IS_DROPPED, false, FLOOR_NEW, FLOOR_NOT },
        { FLOOR_IS_KEPT, true, FLOOR_NOT, FLOOR_NOT }, { FLOOR_IS_KEPT, false, FLOOR_NEW, FLOOR_NOT },
        { FLOOR_ASKS, true, FLOOR_NOT, FLOOR_NOT }, { FLOOR_ASKS, false, FLOOR_NEW, FLOOR_NOT },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct floor *floor = new_floor(5, NO_LIMIT);
        struct floor_ask ask = { .operation = 1, .duration_ns = MS, .log_ns = START, .is_whole = rows[i].is_whole, .wish = rows[i].first };
        enum floor_kind first = floor_decide(floor, &ask);
        assert_int_equal(first, rows[i].first == FLOOR_ASKS && rows[i].is_whole ? FLOOR_NEW : FLOOR_NOT);
        assert_int_equal(stats_of(floor).refused[FLOOR_NEW], 0);
        assert_int_equal(ask_plain(floor, 1, MS, START), rows[i].second);
        assert_int_equal(ask_plain(floor, 1, MS, START), rows[i].third);
        floor_free(&floor);
    }
}

static void one_without_a_root_is_not_the_first(void **state)
{
    struct floor *floor = new_floor(1e6, NO_LIMIT);
    struct floor_ask part = { .operation = 7, .duration_ns = MS, .log_ns = START };

    (void)state;
    assert_int_equal(floor_decide(floor, &part), FLOOR_NOT);
    part.wish = FLOOR_IS_KEPT;
    assert_int_equal(floor_decide(floor, &part), FLOOR_NOT);
    assert_int_equal(stats_of(floor).refused[FLOOR_NEW], 0);
    assert_int_equal(ask_plain(floor, 7, MS, START), FLOOR_NEW);
    assert_int_equal(ask_plain(floor, 7, MS, START), FLOOR_NOT);
    floor_free(&floor);
}

static void a_new_one_that_was_refused_is_asked_again(void **state)
{
    struct floor *floor = new_floor(0.1, NO_LIMIT);
    uint64_t operation = 0;

    (void)state;
    while (ask_plain(floor, operation, MS, START) == FLOOR_NEW)
        operation++;
    assert_true(operation > 0 && operation < 4);
    assert_int_equal(ask_plain(floor, operation, MS, START + SECOND), FLOOR_NOT);
    assert_int_equal(stats_of(floor).refused[FLOOR_NEW], 2);
    assert_int_equal(ask_plain(floor, operation, MS, START + MINUTE), FLOOR_NEW);
    assert_int_equal(ask_plain(floor, operation, MS, START + 2 * MINUTE), FLOOR_NOT);
    floor_free(&floor);
}

static void an_operation_is_new_again_after_10000_others(void **state)
{
    static const struct { uint64_t others; enum floor_kind want; } rows[] = { { 9998, FLOOR_NOT }, { 9999, FLOOR_NOT }, { 10000, FLOOR_NEW } };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct floor *floor = new_floor(1e6, NO_LIMIT);
        assert_int_equal(ask_plain(floor, 0, MS, START), FLOOR_NEW);
        for (uint64_t operation = 1; operation <= rows[i].others; operation++)
            assert_int_equal(ask_plain(floor, operation, MS, START), FLOOR_NEW);
        assert_int_equal(ask_plain(floor, 0, MS, START), rows[i].want);
        assert_true(stats_of(floor).operations <= 10000);
        floor_free(&floor);
    }
}

/* --- the table of operations ---------------------------------------------------------------------- */

enum { UNIVERSE = 20000, FOLLOWED = 10000 };

/* A quarter has its home around the end of the table of 16,384 slots, 2.5 to a slot, so that runs go across it. */
static uint64_t hash_of(uint64_t i)
{
    uint64_t home = (16384 - 500 + i % 1000) % 16384;

    return i % 4 == 1 ? (home << 50 | i) * UINT64_C(0xf1de83e19937733d) /* undoes the table's multiplier */ : hash_bytes(&i, sizeof i, 1);
}

/* The model: an operation is followed when fewer than 10,000 others have been seen since; that is the count of
 * those with a later last time, which a Fenwick tree of times says. */
struct model { uint64_t last[UNIVERSE]; uint32_t *tree; size_t n; };

static void tree_add(struct model *model, uint64_t at, uint32_t by)
{
    for (; at <= model->n; at += at & -at)
        model->tree[at] += by;
}

static uint32_t tree_sum(const struct model *model, uint64_t at)
{
    uint32_t sum = 0;

    for (; at > 0; at -= at & -at)
        sum += model->tree[at];
    return sum;
}

static bool model_touch(struct model *model, uint64_t i, uint64_t time)
{
    bool is_new = model->last[i] == 0 || tree_sum(model, time - 1) - tree_sum(model, model->last[i]) >= FOLLOWED;

    if (model->last[i])
        tree_add(model, model->last[i], UINT32_MAX); /* minus one */
    tree_add(model, time, 1);
    model->last[i] = time;
    return is_new;
}

static void the_table_is_right_under_random_operations(void **state)
{
    struct model *model = MEM_NEW(struct model);
    struct floor *floor = new_floor(1e9, NO_LIMIT);
    struct random random;

    (void)state;
    model->n = 200000;
    model->tree = mem_zero(model->n + 1, sizeof *model->tree);
    random_init(&random, 3);
    for (uint64_t time = 1; time <= model->n; time++) {
        uint64_t i = random_below(&random, time % 3 ? UNIVERSE : UNIVERSE / 10);
        bool is_new = model_touch(model, i, time);
        if (random_below(&random, 10) == 0)
            floor_know(floor, hash_of(i));
        else
            assert_int_equal(ask_plain(floor, hash_of(i), MS, START + time), is_new ? FLOOR_NEW : FLOOR_NOT);
        assert_true(stats_of(floor).operations <= FOLLOWED);
    }
    assert_int_equal(stats_of(floor).operations, FOLLOWED);
    floor_free(&floor);
    mem_free(model->tree);
    mem_free(model);
}

/* --- saving --------------------------------------------------------------------------------------- */

/* From memory that ends with the text, for the sanitizer. */
static void load_text(struct floor *floor, struct str bytes)
{
    char *copy = mem_copy(bytes.ptr, bytes.len);

    floor_load(floor, str_n(copy, bytes.len));
    mem_free(copy);
}

static void the_bytes_of_a_day_outlive_a_restart(void **state)
{
    struct floor *floor = new_floor(5, 1000), *again = new_floor(5, 1000);
    struct buf saved, second;

    (void)state;
    buf_init(&saved, 1000);
    buf_init(&second, 1000);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(ask_error(floor, i, START + DAY / 2), FLOOR_ERROR);
    floor_save(floor, &saved);
    floor_load(again, buf_str(&saved));
    assert_int_equal(stats_of(again).bytes_today, 700);
    floor_save(again, &second);
    assert_true(str_eq(buf_str(&saved), buf_str(&second)));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask_error(again, i, START + DAY / 2), FLOOR_ERROR);
    assert_int_equal(ask_error(again, 4, START + DAY / 2), FLOOR_NOT);
    assert_int_equal(ask_error(again, 1, START + DAY), FLOOR_ERROR);
    buf_fini(&saved);
    buf_fini(&second);
    floor_free(&floor);
    floor_free(&again);
}

/* From yesterday, and from a day that has not come (the clock was wrong when it was saved). */
static void the_bytes_of_another_day_do_not_count(void **state)
{
    static const int64_t days[] = { -1000, -1, 1, 1000 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(days); i++) {
        struct floor *floor = new_floor(5, 1000), *again = new_floor(5, 1000);
        struct buf saved;
        buf_init(&saved, 1000);
        for (unsigned n = 0; n < 10; n++)
            assert_int_equal(ask_error(floor, n, START + (uint64_t)(days[i] * (int64_t)DAY)), FLOOR_ERROR);
        floor_save(floor, &saved);
        floor_load(again, buf_str(&saved));
        assert_int_equal(ask_error(again, 1, START), FLOOR_ERROR);
        assert_int_equal(stats_of(again).bytes_today, 100);
        buf_fini(&saved);
        floor_free(&floor);
        floor_free(&again);
    }
}

/* Nor does it give an operation that had its share of the day another one. */
static void a_heavy_operation_is_known_after_a_restart(void **state)
{
    struct floor *floor = new_floor(1000, 100000), *again = new_floor(1000, 100000);
    struct buf saved, second;
    uint64_t first = 0, more = 0, rare = 0;

    (void)state;
    buf_init(&saved, 1024);
    buf_init(&second, 1024);
    for (uint64_t i = 0; i < 200; i++)
        first += ask_sized(floor, UINT64_MAX, 1000, START) == FLOOR_ERROR;
    assert_in_range(first, 49, 51);
    floor_save(floor, &saved);
    load_text(again, buf_str(&saved));
    floor_save(again, &second);
    assert_true(str_eq(buf_str(&saved), buf_str(&second)));
    for (uint64_t i = 0; i < 200; i++) {
        more += ask_sized(again, UINT64_MAX, 1000, START + SECOND) == FLOOR_ERROR;
        rare += i < 40 && ask_sized(again, i, 1000, START + SECOND) == FLOOR_ERROR;
    }
    assert_int_equal(more, 0);
    assert_int_equal(rare, 40);
    assert_int_equal(ask_sized(again, UINT64_MAX, 1000, START + DAY), FLOOR_ERROR);
    buf_fini(&saved);
    buf_fini(&second);
    floor_free(&floor);
    floor_free(&again);
}

/* As many as can be, and one more than are read. */
static void heavy_operations_are_bounded(void **state)
{
    struct buf saved;

    (void)state;
    for (uint64_t n = 31; n <= 33; n++) {
        struct floor *floor = new_floor(1000, 1000);
        buf_init(&saved, 1024);
        for (uint64_t i = 0; i < 4; i++)
            buf_put_varint(&saved, (const uint64_t[]){ START / DAY, 77, START, 0 }[i]);
        for (uint64_t i = 0; i < n; i++)
            for (unsigned k = 0; k < 3; k++)
                buf_put_varint(&saved, (const uint64_t[]){ UINT64_MAX - i, i % 3, UINT64_MAX }[k]);
        assert_int_equal(buf_err(&saved), MG_OK);
        load_text(floor, buf_str(&saved));
        assert_int_equal(stats_of(floor).bytes_today, n <= 32 ? 77 : 0);
        assert_int_equal(stats_of(floor).operations, n <= 32 ? n : 0);
        assert_int_equal(ask_error(floor, UINT64_MAX, START + SECOND), FLOOR_ERROR);
        buf_fini(&saved);
        floor_free(&floor);
    }
}

/* A restart gives no new burst: what the bucket had, and what has come since. */
static void the_bucket_outlives_a_restart(void **state)
{
    static const struct { uint64_t seconds; unsigned want; } rows[] = { { 0, 0 }, { 1, 5 }, { 4, 20 }, { 10, 50 }, { 3600, 50 }, { 86400 * 3, 50 } };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct floor *floor = new_floor(5, NO_LIMIT), *again = new_floor(5, NO_LIMIT);
        struct buf saved;
        unsigned granted = 0;
        buf_init(&saved, 1000);
        for (uint64_t n = 0; n < 100; n++)
            (void)ask_error(floor, n, START);
        floor_save(floor, &saved);
        load_text(again, buf_str(&saved));
        for (uint64_t n = 0; n < 100; n++)
            granted += ask_error(again, n, START + rows[i].seconds * SECOND) == FLOOR_ERROR;
        assert_int_equal(granted, rows[i].want);
        buf_fini(&saved);
        floor_free(&floor);
        floor_free(&again);
    }
}

/* Saved by an older version, by one that was never asked, with a fuller bucket than there is now, at a time that has not come. */
static void saved_buckets_of_all_kinds_load(void **state)
{
    static const struct { uint64_t words[4]; size_t n; unsigned want; } rows[] = {
        { { START / DAY, 100 }, 2, 50 },
        { { START / DAY, 100, 0, 0 }, 4, 50 },
        { { 0, 0, 0, 7000 }, 4, 50 },
        { { START / DAY, 100, START, 7000 }, 4, 7 },
        { { START / DAY, 100, START, 7999 }, 4, 7 },
        { { START / DAY, 100, START, 1000000 }, 4, 50 },
        { { START / DAY, 100, START, UINT64_MAX }, 4, 50 },
        { { START / DAY, 100, START + DAY / 2, 7000 }, 4, 7 },
        { { START / DAY + 1, 100, START + DAY, 7000 }, 4, 7 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct floor *floor = new_floor(5, NO_LIMIT);
        struct buf saved;
        unsigned granted = 0;
        buf_init(&saved, 1000);
        for (size_t k = 0; k < rows[i].n; k++)
            buf_put_varint(&saved, rows[i].words[k]);
        load_text(floor, buf_str(&saved));
        for (uint64_t n = 0; n < 100; n++)
            granted += ask_error(floor, n, START) == FLOOR_ERROR;
        assert_int_equal(granted, rows[i].want);
        buf_fini(&saved);
        floor_free(&floor);
    }
}

static void bad_bytes_are_ignored(void **state)
{
    static const struct str rows[] = {
        STR(""), STR("\x01"), STR("\x80"), STR("\x01\x80"), STR("\x01\x01\x01"), STR("\x01\x01\x80"), STR("nonsense"),
        STR("\x01\x01\x01\x80"), STR("\x01\x01\x01\x01") /* a time that is not of the day */,
        /* heavy ones that are not whole, or of no kind */
        STR("\x01\x01\0\x01\x01"), STR("\x01\x01\0\x01\x01\0"), STR("\x01\x01\0\x01\x01\0\x80"), STR("\x01\x01\0\x01\x01\x03\x01"),
        STR("\x01\x01\0\x01\x01\0\x01\x01"),
        STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x01"),
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct floor *floor = new_floor(5, 1000);
        assert_int_equal(ask_error(floor, 1, START), FLOOR_ERROR);
        load_text(floor, rows[i]);
        assert_int_equal(stats_of(floor).bytes_today, 100);
        assert_int_equal(ask_error(floor, 1, START), FLOOR_ERROR);
        assert_int_equal(stats_of(floor).bytes_today, 200);
        floor_free(&floor);
    }
}

static void loaded_bytes_may_be_more_than_the_limit(void **state)
{
    struct floor *floor = new_floor(5, 1000);
    struct buf saved;

    (void)state;
    buf_init(&saved, 100);
    buf_put_varint(&saved, START / DAY);
    buf_put_varint(&saved, UINT64_MAX);
    floor_load(floor, buf_str(&saved));
    assert_int_equal(ask_error(floor, 1, START), FLOOR_NOT);
    assert_int_equal(ask_error(floor, 1, START + DAY), FLOOR_ERROR);
    buf_fini(&saved);
    floor_free(&floor);
}

/* --- log time that is not in order ---------------------------------------------------------------- */

/* Traces of several doors: each up to a second behind the others. */
static void time_out_of_order_changes_little(void **state)
{
    struct floor *floor = new_floor(5, NO_LIMIT);
    struct random random;
    uint64_t granted = 0, slow = 0;

    (void)state;
    random_init(&random, 5);
    floor_know(floor, 1);
    for (uint64_t i = 0; i < 600000; i++) { /* 10 minutes */
        uint64_t now = START + MINUTE + i * MS - random_below(&random, SECOND);
        granted += ask_error(floor, 2 + i % 100, now) == FLOOR_ERROR;
        assert_true((double)granted <= 5 * (double)(i + 1001) / 1000 + 50);
    }
    assert_true(granted >= 600 * 5 * 95 / 100);
    floor_limit(floor, 1e6, NO_LIMIT);
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t now = START + 60 * MINUTE + i * 10 * MS - random_below(&random, SECOND);
        slow += ask_plain(floor, 1, (uint64_t)(2e7 * exp(normal(&random))), now) == FLOOR_SLOW;
    }
    assert_in_range(slow, 50, 2000);
    floor_free(&floor);
}

/* A clock that was ahead by a year and was set right: the budget goes on from there. */
static void a_clock_that_is_set_back_does_no_harm(void **state)
{
    static const uint64_t backs[] = { 2 * MINUTE, 60 * MINUTE, 3 * DAY, 365 * DAY };

    (void)state;
    for (size_t b = 0; b < MG_COUNT(backs); b++) {
        struct floor *floor = new_floor(5, NO_LIMIT);
        uint64_t granted = 0, seconds = 3600;
        for (uint64_t i = 0; i < 100; i++)
            (void)ask_error(floor, i % 7, START + backs[b]);
        for (uint64_t i = 0; i < seconds * 10; i++)
            granted += ask_error(floor, i % 7, START + i * 100 * MS) == FLOOR_ERROR;
        assert_true(granted >= seconds * 5 * 95 / 100);
        assert_true(granted <= seconds * 5 + 50);
        floor_free(&floor);
    }
}

static void a_day_that_is_set_back_still_ends(void **state)
{
    struct floor *floor = new_floor(1000, 1000);

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(ask_error(floor, i, START + 30 * DAY), FLOOR_ERROR);
    assert_int_equal(ask_error(floor, 10, START), FLOOR_NOT); /* what was used is used */
    assert_int_equal(ask_error(floor, 11, START + DAY - 1), FLOOR_NOT);
    assert_int_equal(ask_error(floor, 1, START + DAY), FLOOR_ERROR);
    floor_free(&floor);
}

/* Around midnight: the day begins once. */
static void a_day_begins_once(void **state)
{
    struct floor *floor = new_floor(1000, 1000);
    unsigned granted = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        granted += ask_error(floor, i, START + DAY + (i % 2 ? SECOND : 0) - SECOND / 2) == FLOOR_ERROR;
    assert_in_range(granted, 10, 11); /* one at the end of the day before */
    floor_free(&floor);
}

static void any_time_is_fine(void **state)
{
    static const uint64_t times[] = { 0, 1, UINT64_MAX, START, 0, UINT64_MAX - 1, MINUTE, START };
    struct floor *floor = new_floor(5, NO_LIMIT);

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        (void)ask_error(floor, i % 3, times[i % MG_COUNT(times)]);
    floor_free(&floor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_budget_nothing_is_kept_or_counted),
        cmocka_unit_test(one_without_limits_keeps_nothing),
        cmocka_unit_test(a_budget_can_come_and_go),
        cmocka_unit_test(errors_may_use_all_and_others_half),
        cmocka_unit_test(what_is_kept_already_costs_nothing),
        cmocka_unit_test(the_rate_is_not_passed),
        cmocka_unit_test(a_noisy_operation_does_not_starve_rare_ones),
        cmocka_unit_test(rare_ones_that_come_together_are_kept),
        cmocka_unit_test(a_flood_of_new_ones_leaves_errors_their_half),
        cmocka_unit_test(bytes_of_a_day_end_at_midnight),
        cmocka_unit_test(a_trace_that_does_not_fit_into_the_day_is_refused),
        cmocka_unit_test(huge_traces_of_one_operation_leave_bytes_to_others),
        cmocka_unit_test(operations_with_huge_traces_share_the_day),
        cmocka_unit_test(about_one_in_a_hundred_is_slow),
        cmocka_unit_test(nothing_is_slow_when_all_are_equal),
        cmocka_unit_test(twenty_have_to_be_seen_before_one_is_slow),
        cmocka_unit_test(slow_is_measured_against_its_own_operation),
        cmocka_unit_test(what_is_slow_is_forgotten_with_time),
        cmocka_unit_test(the_first_of_an_operation_is_new),
        cmocka_unit_test(the_first_that_could_be_kept_is_new),
        cmocka_unit_test(one_without_a_root_is_not_the_first),
        cmocka_unit_test(a_new_one_that_was_refused_is_asked_again),
        cmocka_unit_test(an_operation_is_new_again_after_10000_others),
        cmocka_unit_test(the_table_is_right_under_random_operations),
        cmocka_unit_test(the_bytes_of_a_day_outlive_a_restart),
        cmocka_unit_test(the_bytes_of_another_day_do_not_count),
        cmocka_unit_test(a_heavy_operation_is_known_after_a_restart),
        cmocka_unit_test(heavy_operations_are_bounded),
        cmocka_unit_test(the_bucket_outlives_a_restart),
        cmocka_unit_test(saved_buckets_of_all_kinds_load),
        cmocka_unit_test(bad_bytes_are_ignored),
        cmocka_unit_test(loaded_bytes_may_be_more_than_the_limit),
        cmocka_unit_test(time_out_of_order_changes_little),
        cmocka_unit_test(a_clock_that_is_set_back_does_no_harm),
        cmocka_unit_test(a_day_that_is_set_back_still_ends),
        cmocka_unit_test(a_day_begins_once),
        cmocka_unit_test(any_time_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is given up under pressure, in which order, and how it comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>
#include "base/bytes.h"
#include "model/ot.h"
#include "sample/ladder.h"

#define MS UINT64_C(1000000)
#define HOLD (2000 * MS)
#define TICK (100 * MS)
#define START (1000000 * MS)

/* A ladder and its clock. */
struct climb { struct ladder ladder; uint64_t now_ns; unsigned changes; };

static struct climb climb_begin(void)
{
    struct climb climb = { .now_ns = START };

    ladder_init(&climb.ladder, HOLD);
    return climb;
}

static bool observe(struct climb *climb, double pressure)
{
    enum ladder_step before = climb->ladder.step;
    bool is_changed = ladder_observe(&climb->ladder, pressure, climb->now_ns);
    int by = (int)climb->ladder.step - (int)before;

    assert_int_equal(is_changed, by != 0);
    assert_in_range(by + 1, 0, 2); /* one step at a time */
    assert_true(climb->ladder.head_shift <= 6 && climb->ladder.tail_shift <= 6);
    climb->changes += is_changed;
    climb->now_ns += TICK;
    return is_changed;
}

/* The pressure is this for so long; the end is not observed. */
static void stay(struct climb *climb, double pressure, uint64_t span_ns)
{
    for (uint64_t end_ns = climb->now_ns + span_ns; climb->now_ns < end_ns;)
        (void)observe(climb, pressure);
}

static void a_new_one_gives_up_nothing(void **state)
{
    struct climb climb = climb_begin();

    (void)state;
    assert_int_equal(climb.ladder.step, LADDER_NONE);
    assert_true(ladder_head_factor(&climb.ladder) == 1);
    assert_int_equal(ladder_threshold(&climb.ladder), 0);
    stay(&climb, 0.79, 3600 * 1000 * MS);
    assert_int_equal(climb.ladder.step, LADDER_NONE);
    assert_int_equal(climb.changes, 0);
    assert_true(ladder_head_factor(&climb.ladder) == 1);
}

static void names_and_marks(void **state)
{
    static const struct { enum ladder_step step; const char *name; double mark; } rows[] = {
        { LADDER_NONE, "none", 0 }, { LADDER_HEAD, "head", 0.80 }, { LADDER_TAIL, "tail", 0.90 }, { LADDER_REFUSE, "refuse", 0.93 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        assert_string_equal(ladder_name(rows[i].step), rows[i].name);
        assert_true(ladder_marks[rows[i].step] == rows[i].mark);
    }
}

/* A full ring from one moment on: a step after each hold, never two. */
static void it_climbs_one_step_after_each_hold(void **state)
{
    struct climb climb = climb_begin();

    (void)state;
    for (unsigned step = LADDER_HEAD; step < LADDER_STEPS; step++) {
        stay(&climb, 1, HOLD);
        assert_int_equal(climb.ladder.step, step - 1);
        assert_true(observe(&climb, 1));
        assert_int_equal(climb.ladder.step, step);
    }
    stay(&climb, 1, 100 * HOLD);
    assert_int_equal(climb.ladder.step, LADDER_REFUSE);
    assert_int_equal(climb.changes, 3);
}

static void it_stops_at_the_step_of_the_pressure(void **state)
{
    static const struct { double pressure; enum ladder_step step; } rows[] = {
        { 0, LADDER_NONE }, { 0.799, LADDER_NONE }, { 0.80, LADDER_HEAD }, { 0.899, LADDER_HEAD },
        { 0.90, LADDER_TAIL }, { 0.929, LADDER_TAIL }, { 0.93, LADDER_REFUSE }, { 0.9376, LADDER_REFUSE }, { 1, LADDER_REFUSE }, { 1.5, LADDER_REFUSE },
        { -1, LADDER_NONE }, { NAN, LADDER_NONE },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct climb climb = climb_begin();
        stay(&climb, rows[i].pressure, 20 * HOLD);
        assert_int_equal(climb.ladder.step, rows[i].step);
        assert_int_equal(climb.changes, rows[i].step);
    }
}

static void a_spike_shorter_than_hold_is_nothing(void **state)
{
    struct climb climb = climb_begin();

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        stay(&climb, 1, HOLD);
        assert_false(observe(&climb, 0.79));
    }
    assert_int_equal(climb.changes, 0);
    /* the same one step up */
    stay(&climb, 0.85, HOLD + TICK);
    assert_int_equal(climb.ladder.step, LADDER_HEAD);
    for (unsigned i = 0; i < 1000; i++) {
        stay(&climb, 1, HOLD);
        assert_false(observe(&climb, 0.89));
    }
    assert_int_equal(climb.changes, 1);
}

/* The doors refuse at 15/16: the step that tells of it is entered by then. */
static void refusing_is_told(void **state)
{
    struct climb climb = climb_begin();

    (void)state;
    assert_true(ladder_marks[LADDER_REFUSE] < 15.0 / 16 && ladder_marks[LADDER_REFUSE] > 15.0 / 16 - 0.01);
    stay(&climb, 15.0 / 16, 3 * (HOLD + TICK));
    assert_int_equal(climb.ladder.step, LADDER_REFUSE);
}

/* It has to be below mark - 0.15 for twice the hold, without a break. */
static void it_leaves_after_twice_the_hold(void **state)
{
    struct climb climb = climb_begin();

    (void)state;
    stay(&climb, 1, 3 * (HOLD + TICK));
    assert_int_equal(climb.ladder.step, LADDER_REFUSE);
    for (unsigned step = LADDER_REFUSE; step > LADDER_NONE; step--) {
        stay(&climb, 0, 2 * HOLD);
        assert_int_equal(climb.ladder.step, step);
        assert_true(observe(&climb, 0));
        assert_int_equal(climb.ladder.step, step - 1);
    }
    assert_int_equal(climb.changes, 6);
    assert_true(ladder_head_factor(&climb.ladder) == 1);
    assert_int_equal(ladder_threshold(&climb.ladder), 0);
}

static void it_does_not_leave_while_near_the_mark(void **state)
{
    struct climb climb = climb_begin();

    (void)state;
    stay(&climb, 0.85, HOLD + TICK);
    stay(&climb, 0.66, 100 * HOLD);
    assert_int_equal(climb.ladder.step, LADDER_HEAD);
    for (unsigned i = 0; i < 100; i++) {
        stay(&climb, 0.1, 2 * HOLD);
        assert_false(observe(&climb, 0.66)); /* begins anew */
    }
    assert_int_equal(climb.changes, 1);
    stay(&climb, 0.64, 2 * HOLD + TICK);
    assert_int_equal(climb.ladder.step, LADDER_NONE);
}

/* Up and down again at once: it takes twice the calm each time, up to 32 holds. After 64 holds of quiet it begins anew. */
static void a_relapse_asks_for_more_calm(void **state)
{
    static const unsigned calms[] = { 2, 4, 8, 16, 32, 32, 32 }; /* holds */
    struct climb climb = climb_begin();

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < MG_COUNT(calms); i++) {
            stay(&climb, 0.85, HOLD + TICK);
            assert_int_equal(climb.ladder.step, LADDER_HEAD);
            stay(&climb, 0.1, calms[i] * HOLD);
            assert_int_equal(climb.ladder.step, LADDER_HEAD);
            assert_true(observe(&climb, 0.1));
            assert_int_equal(climb.ladder.step, LADDER_NONE);
        }
        stay(&climb, 0.1, 64 * HOLD);
    }
}

/* --- a ring ----------------------------------------------------------------------------------------- */

/* Traffic of 1 a second comes into a ring; it waits there for its decision, and what is kept for the store, which takes `capacity` a second. The
 * doors refuse at 15/16. `is_early`: beyond three quarters the oldest are decided at once. `poll_ns`: clients that follow head rates so late. */
struct flow { double capacity, ring; uint64_t wait_ns, poll_ns; bool is_early; };
enum { WAITING_MAX = 200, POLL_MAX = 1000 }; /* ticks */
struct ring {
    double waiting[WAITING_MAX];   /* by tick, in a circle */
    uint64_t first, next;          /* ticks: decided up to, come up to */
    double undecided, backlog;
    double factors[POLL_MAX];      /* head factors, in a circle */
};

static double ring_tick(struct ring *ring, const struct flow *flow, const struct ladder *ladder, double rate)
{
    double tick = (double)TICK / 1e9, kept = ladder->tail_shift ? 1 / exp2(ladder->tail_shift) : 1;
    uint64_t now = ring->next++, poll = flow->poll_ns / TICK;
    double come = rate * tick;

    ring->factors[now % POLL_MAX] = ladder_head_factor(ladder);
    if (flow->poll_ns)
        come *= now >= poll ? ring->factors[(now - poll) % POLL_MAX] : 1;
    if (ring->undecided + ring->backlog > flow->ring * 15 / 16)
        come = 0;
    ring->waiting[now % WAITING_MAX] = come;
    ring->undecided += come;
    while (ring->first < ring->next && (ring->first + flow->wait_ns / TICK <= now ||
                                        (flow->is_early && ring->undecided + ring->backlog > flow->ring * 3 / 4))) {
        double decided = ring->waiting[ring->first++ % WAITING_MAX];
        ring->undecided -= decided;
        ring->backlog += decided * kept;
    }
    ring->backlog = fmax(0, ring->backlog - flow->capacity * tick);
    return (ring->undecided + ring->backlog) / flow->ring;
}

/* Ten minutes of it, then nothing comes. */
static void run_flow(const struct flow *flow)
{
    enum { MINUTES = 10 };
    struct climb climb = climb_begin();
    struct ring ring = { 0 };
    uint64_t changed_ns = 0;

    for (unsigned i = 0; i < MINUTES * 600; i++)
        if (observe(&climb, ring_tick(&ring, flow, &climb.ladder, 1))) {
            assert_true(changed_ns == 0 || climb.now_ns - changed_ns >= HOLD);
            changed_ns = climb.now_ns;
        }
    if (climb.changes > 20)
        fail_msg("capacity %g, ring %g s: %u steps", flow->capacity, flow->ring, climb.changes);
    for (unsigned i = 0; i < 4 * 600; i++)
        (void)observe(&climb, ring_tick(&ring, flow, &climb.ladder, 0));
    assert_int_equal(climb.ladder.step, LADDER_NONE);
    assert_true(ladder_head_factor(&climb.ladder) == 1);
    assert_int_equal(ladder_threshold(&climb.ladder), 0);
}

static void a_small_ring_settles(void **state)
{
    static const double overs[] = { 1.05, 1.2, 1.5, 2, 3, 5, 10 }, rings[] = { 10, 20, 60 };
    static const uint64_t waits_ns[] = { 1000 * MS, 5000 * MS }, polls_ns[] = { 0, 60000 * MS };

    (void)state;
    for (size_t o = 0; o < MG_COUNT(overs); o++)
        for (size_t r = 0; r < MG_COUNT(rings); r++)
            for (unsigned k = 0; k < 8; k++)
                run_flow(&(struct flow){ .capacity = 1 / overs[o], .ring = rings[r], .wait_ns = waits_ns[k & 1], .is_early = k & 2,
                                         .poll_ns = polls_ns[k >> 2] });
}

/* What comes at twice the store's capacity, waits 5 s, in a ring of 10 s, from clients that follow nothing: it finds the half and stays there. */
static void twice_the_capacity_finds_the_half(void **state)
{
    const struct flow flow = { .capacity = 0.5, .ring = 10, .wait_ns = 5000 * MS };
    struct climb climb = climb_begin();
    struct ring ring = { 0 };

    (void)state;
    for (unsigned i = 0; i < 6000; i++)
        (void)observe(&climb, ring_tick(&ring, &flow, &climb.ladder, 1));
    assert_true(climb.changes <= 4);
    assert_true(climb.ladder.step >= LADDER_TAIL);
    assert_int_equal(ladder_threshold(&climb.ladder), ot_threshold(0.5));
}

static double sawtooth(unsigned i, unsigned period, double low, double high)
{
    return low + (high - low) * (double)(i % period) / (double)(period - 1);
}

/* For an hour, up slowly and down at once, around each mark and in periods from 0.4 s to 40 s. */
static void a_sawtooth_around_a_mark_does_not_flap(void **state)
{
    static const unsigned periods[] = { 4, 19, 20, 21, 40, 41, 100, 400 };

    (void)state;
    for (unsigned step = LADDER_HEAD; step < LADDER_STEPS; step++)
        for (size_t p = 0; p < MG_COUNT(periods); p++) {
            struct climb climb = climb_begin();
            for (unsigned i = 0; i < 36000; i++)
                (void)observe(&climb, sawtooth(i, periods[p], ladder_marks[step] - 0.14, ladder_marks[step] + 0.02));
            assert_true(climb.changes <= step); /* up to it, and no way back */
        }
}

/* Deeper than the slack, but back too soon. */
static void a_fast_deep_sawtooth_does_not_flap(void **state)
{
    struct climb climb = climb_begin();

    (void)state;
    stay(&climb, 1, 3 * (HOLD + TICK));
    for (unsigned i = 0; i < 36000; i++)
        (void)observe(&climb, sawtooth(i, 38, 0, 1));
    assert_int_equal(climb.ladder.step, LADDER_REFUSE);
    assert_int_equal(climb.changes, 3);
}

static void head_rates_halve_to_a_64th_and_come_back(void **state)
{
    struct climb climb = climb_begin();

    (void)state;
    stay(&climb, 0.85, HOLD);
    assert_true(ladder_head_factor(&climb.ladder) == 1);
    for (unsigned shift = 1; shift <= 6; shift++) {
        (void)observe(&climb, 0.85);
        assert_true(ladder_head_factor(&climb.ladder) == 1 / exp2(shift));
        stay(&climb, 0.85, HOLD - TICK);
        assert_true(ladder_head_factor(&climb.ladder) == 1 / exp2(shift));
    }
    stay(&climb, 0.85, 50 * HOLD);
    assert_true(ladder_head_factor(&climb.ladder) == 1.0 / 64);
    assert_int_equal(ladder_threshold(&climb.ladder), 0); /* traces are not touched by step 1 */
    stay(&climb, 0.7, 2 * HOLD + TICK);
    assert_true(ladder_head_factor(&climb.ladder) == 1.0 / 32);
    for (unsigned shift = 4; shift >= 1; shift--) {
        stay(&climb, 0.7, 2 * HOLD);
        assert_true(ladder_head_factor(&climb.ladder) == 1 / exp2(shift));
    }
    stay(&climb, 0.7, 50 * HOLD);
    assert_true(ladder_head_factor(&climb.ladder) == 0.5); /* as long as the step lasts */
    assert_int_equal(climb.ladder.step, LADDER_HEAD);
    stay(&climb, 0.6, 2 * HOLD + TICK);
    assert_true(ladder_head_factor(&climb.ladder) == 1);
}

static void traces_go_by_their_id_from_step_2_on(void **state)
{
    struct climb climb = climb_begin();

    (void)state;
    stay(&climb, 0.92, 2 * (HOLD + TICK) - TICK);
    assert_int_equal(climb.ladder.step, LADDER_HEAD);
    assert_int_equal(ladder_threshold(&climb.ladder), 0);
    for (unsigned shift = 1; shift <= 6; shift++) {
        (void)observe(&climb, 0.92);
        assert_int_equal(climb.ladder.step, LADDER_TAIL);
        assert_int_equal(ladder_threshold(&climb.ladder), ot_threshold(1 / exp2(shift)));
        stay(&climb, 0.92, HOLD - TICK);
    }
    stay(&climb, 0.92, 50 * HOLD);
    assert_int_equal(ladder_threshold(&climb.ladder), ot_threshold(1.0 / 64));
    stay(&climb, 0.8, 2 * HOLD + TICK);
    assert_int_equal(ladder_threshold(&climb.ladder), ot_threshold(1.0 / 32));
    stay(&climb, 0.8, 50 * HOLD);
    assert_int_equal(ladder_threshold(&climb.ladder), ot_threshold(0.5));
    stay(&climb, 0.74, 2 * HOLD + TICK);
    assert_int_equal(climb.ladder.step, LADDER_HEAD);
    assert_int_equal(ladder_threshold(&climb.ladder), 0);
}

/* Two ladders with the same pressures are the same, whatever these are; and all holds after each call. */
static void it_is_deterministic_under_any_pressure(void **state)
{
    struct climb one = climb_begin(), other = climb_begin();
    uint64_t seed = 7;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double pressure = i % 5000 < 2500 ? (double)(seed >> 40) / (1 << 24) : fabs(sin(i / 500.0)) * 1.1;
        (void)observe(&one, pressure);
        (void)observe(&other, pressure);
        assert_int_equal(one.ladder.step, other.ladder.step);
        assert_true(ladder_head_factor(&one.ladder) == ladder_head_factor(&other.ladder));
        assert_int_equal(ladder_threshold(&one.ladder), ladder_threshold(&other.ladder));
        assert_int_equal(ladder_threshold(&one.ladder) != 0, one.ladder.step >= LADDER_TAIL);
        assert_int_equal(ladder_head_factor(&one.ladder) < 1, one.ladder.step >= LADDER_HEAD);
    }
    assert_true(one.changes > 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_gives_up_nothing),
        cmocka_unit_test(names_and_marks),
        cmocka_unit_test(it_climbs_one_step_after_each_hold),
        cmocka_unit_test(it_stops_at_the_step_of_the_pressure),
        cmocka_unit_test(a_spike_shorter_than_hold_is_nothing),
        cmocka_unit_test(refusing_is_told),
        cmocka_unit_test(it_leaves_after_twice_the_hold),
        cmocka_unit_test(it_does_not_leave_while_near_the_mark),
        cmocka_unit_test(a_relapse_asks_for_more_calm),
        cmocka_unit_test(a_small_ring_settles),
        cmocka_unit_test(twice_the_capacity_finds_the_half),
        cmocka_unit_test(a_sawtooth_around_a_mark_does_not_flap),
        cmocka_unit_test(a_fast_deep_sawtooth_does_not_flap),
        cmocka_unit_test(head_rates_halve_to_a_64th_and_come_back),
        cmocka_unit_test(traces_go_by_their_id_from_step_2_on),
        cmocka_unit_test(it_is_deterministic_under_any_pressure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

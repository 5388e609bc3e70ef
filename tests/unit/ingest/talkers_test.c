/* talkers_test.c - who is loud: shares, decay, and a full table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/err.h"
#include "ingest/talkers.h"

#define NOW UINT64_C(1000000000000)

static void an_address_is_a_peer_whatever_its_port(void **state)
{
    static const struct { struct str a, b; bool same; } cases[] = {
        { STR_INIT("10.0.0.1:4711"), STR_INIT("10.0.0.1:80"), true },
        { STR_INIT("[::1]:4711"), STR_INIT("[::1]:80"), true },
        { STR_INIT("10.0.0.1:4711"), STR_INIT("10.0.0.2:4711"), false },
        { STR_INIT("[::1]:4711"), STR_INIT("[::2]:4711"), false },
        { STR_INIT("10.0.0.1:4711"), STR_INIT("10.0.0.11:4711"), false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        assert_int_not_equal(talkers_peer(cases[i].a), 0);
        assert_int_equal(talkers_peer(cases[i].a) == talkers_peer(cases[i].b), cases[i].same);
    }
    assert_int_equal(talkers_peer(STR("")), 0);
    assert_int_equal(talkers_peer(STR(":80")), 0);
}

static void loud_is_half_as_much_again_as_the_fair_share(void **state)
{
    static const struct { uint64_t bytes[4]; const char *want; } cases[] = { /* one letter a peer */
        { { 0 }, "...." },
        { { 1000 }, "...." },              /* alone: refusing it would help nobody */
        { { 1000, 1000 }, "...." },
        { { 3000, 1000 }, "...." },        /* exactly 3/4 */
        { { 3100, 1000 }, "L..." },
        { { 1000, 900000 }, ".L.." },
        { { 1000, 1000, 2010 }, "..L." },  /* just over 1/2 */
        { { 1000, 1000, 1980 }, "...." },
        { { 1000, 1000, 1000, 10 }, "...." },
        { { 40000, 39000, 100, 100 }, "LL.." },
        { { UINT64_MAX / 8, 1, 1, 1 }, "L..." },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct talkers talkers = { 0 };
        char got[5] = "....";
        for (uint64_t peer = 1; peer <= 4; peer++)
            talkers_add(&talkers, peer << 20, cases[i].bytes[peer - 1], NOW);
        for (uint64_t peer = 1; peer <= 4; peer++)
            if (talkers_is_loud(&talkers, peer << 20, NOW))
                got[peer - 1] = 'L';
        assert_string_equal(got, cases[i].want);
    }
}

static void nobody_and_a_stranger_are_never_loud(void **state)
{
    struct talkers talkers = { 0 };

    (void)state;
    talkers_add(&talkers, 0, 1 << 30, NOW);
    assert_int_equal(talkers.total, 0);
    talkers_add(&talkers, 256, 10, NOW);
    talkers_add(&talkers, 512, 10, NOW);
    assert_false(talkers_is_loud(&talkers, 0, NOW));
    assert_false(talkers_is_loud(&talkers, 768, NOW));
}

static void the_past_halves_and_is_forgotten(void **state)
{
    struct talkers talkers = { 0 };

    (void)state;
    talkers_add(&talkers, 256, 8000, NOW);
    talkers_add(&talkers, 512, 100, NOW);
    assert_true(talkers_is_loud(&talkers, 256, NOW + 1));
    talkers_add(&talkers, 512, 1950, NOW + 2 * TALKERS_HALF_NS); /* 2000 : 1975 */
    assert_false(talkers_is_loud(&talkers, 256, NOW + 2 * TALKERS_HALF_NS));
    assert_int_equal(talkers.n, 2);
    assert_false(talkers_is_loud(&talkers, 256, NOW + 60 * TALKERS_HALF_NS));
    assert_int_equal(talkers.n, 0);
    assert_int_equal(talkers.total, 0);
    assert_false(talkers_is_loud(&talkers, 256, NOW)); /* a clock that seems to go back does nothing */
}

static void a_full_table_keeps_the_big_ones(void **state)
{
    struct talkers talkers = { 0 };
    uint64_t total = 0, n = 0;

    (void)state;
    talkers_add(&talkers, talkers_peer(STR("10.9.9.9:1")), 1 << 30, NOW);
    for (unsigned i = 0; i < 20 * TALKERS_MAX; i++) {
        char peer[32];
        int len = snprintf(peer, sizeof peer, "10.0.%u.%u:1", i / 256, i % 256);
        talkers_add(&talkers, talkers_peer(str_n(peer, (size_t)len)), 100 + i % 7, NOW);
    }
    assert_true(talkers_is_loud(&talkers, talkers_peer(STR("10.9.9.9:2")), NOW));
    for (size_t i = 0; i < TALKERS_MAX; i++) {
        total += talkers.at[i].bytes;
        n += talkers.at[i].bytes > 0;
    }
    assert_int_equal(talkers.total, total);
    assert_int_equal(talkers.n, n);
    assert_true(n > TALKERS_MAX / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_a_peer_whatever_its_port),
        cmocka_unit_test(loud_is_half_as_much_again_as_the_fair_share),
        cmocka_unit_test(nobody_and_a_stranger_are_never_loud),
        cmocka_unit_test(the_past_halves_and_is_forgotten),
        cmocka_unit_test(a_full_table_keeps_the_big_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

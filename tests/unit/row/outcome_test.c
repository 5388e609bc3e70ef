/* The word: every outcome comes back from it, and nothing else is read as one. */
#include "row/outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/base/assert_str.h"
#include "unit/base/group_arena.h"

enum { RULES_MAX = (1 << 24) - 1, REASON_LAST = REASON_OVERLOAD, TRIGGER_LAST = TRIGGER_FIRST_MATCH };

static uint64_t random_next(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static bool is_same(const struct outcome *a, const struct outcome *b)
{
    return a->verdict == b->verdict && a->trigger == b->trigger && a->reason == b->reason && a->policy == b->policy &&
           a->is_estimate == b->is_estimate && a->threshold == b->threshold && a->rules == b->rules;
}

/* Of any length of its run, which random numbers nearly never have. */
static uint64_t random_threshold(uint64_t *random)
{
    unsigned run = random_next(random) % 16, cut = 4 * (random_next(random) % 15);

    if (run == 15)
        return OT_NEVER;
    uint64_t f = OT_NEVER - 1 - ((OT_NEVER - 1) >> 4 * run);
    return ot_rounded((f | random_next(random) >> 8 >> 4 * run) >> cut << cut);
}

static void every_outcome_comes_back(void **state)
{
    uint64_t random = 88172645463325252;

    (void)state;
    for (unsigned i = 0; i < 500000; i++) {
        struct outcome in = {
            .verdict = random_next(&random) % 2 ? VERDICT_KEPT : VERDICT_DROPPED,
            .trigger = (enum trigger)(TRIGGER_ROOT + random_next(&random) % TRIGGER_LAST),
            .reason = (enum reason)(random_next(&random) % (REASON_LAST + 1)),
            .policy = (uint8_t)random_next(&random),
            .is_estimate = random_next(&random) % 2,
            .threshold = random_threshold(&random),
            .rules = random_next(&random) & RULES_MAX,
        }, out;
        uint64_t word = outcome_pack(&in);

        assert_true(word != 0 && word >> 62 == 0);
        assert_true(outcome_unpack(word, &out));
        if (!is_same(&in, &out))
            fail_msg("threshold %014llx came back as %014llx", (unsigned long long)in.threshold, (unsigned long long)out.threshold);
    }
}

/* All of them that have three digits or fewer after the run, and each neighbour of a longer run. */
static void every_short_threshold_comes_back(void **state)
{
    (void)state;
    for (unsigned run = 0; run <= 14; run++) {
        uint64_t f = OT_NEVER - 1 - ((OT_NEVER - 1) >> 4 * run);

        for (uint64_t digits = 0; digits < 0x10000; digits++) {
            struct outcome in = { .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT,
                                  .threshold = ot_rounded(f | digits << 40 >> 4 * run) }, out;

            assert_true(outcome_unpack(outcome_pack(&in), &out));
            assert_true(out.threshold == in.threshold);
        }
    }
}

static void only_words_of_outcomes_are_read(void **state)
{
    uint64_t random = 88172645463325252;
    struct outcome out;
    unsigned n_read = 0;

    (void)state;
    for (unsigned i = 0; i < 2000000; i++) {
        uint64_t word = random_next(&random) & random_next(&random);

        if (i % 2)
            word &= (UINT64_C(1) << 62) - 1;
        if (!outcome_unpack(word, &out))
            continue;
        n_read++;
        if (outcome_pack(&out) != word)
            fail_msg("%llx", (unsigned long long)word);
    }
    assert_true(n_read > 10000);
}

static uint64_t word(uint64_t trigger, uint64_t reason, uint64_t code)
{
    return 1 | trigger << 1 | reason << 4 | code << 18 | UINT64_C(1) << 38;
}

static void the_word_is_laid_out_as_written(void **state)
{
    static const struct {
        struct outcome outcome;
        uint64_t word;
    } cases[] = {
        { { .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT }, 0x3 },
        { { .verdict = VERDICT_DROPPED, .trigger = TRIGGER_ROOT }, 0x2 },
        { { VERDICT_KEPT, TRIGGER_FIRST_MATCH, REASON_OVERLOAD, 0, false, 0, 0 }, 0xbb },
        { { VERDICT_KEPT, TRIGGER_ROOT, REASON_NONE, 0, true, 0, 0 }, 0x203 },
        { { VERDICT_KEPT, TRIGGER_ROOT, REASON_NONE, 255, false, 0, 0 }, 0x3fc03 },
        { { VERDICT_KEPT, TRIGGER_ROOT, REASON_NONE, 0, false, 0, RULES_MAX }, UINT64_C(0xffffff) << 38 | 3 },
        { { VERDICT_KEPT, TRIGGER_ROOT, REASON_NONE, 0, false, 0xe6660000000000, 0 }, UINT64_C(0x0e666) << 18 | 3 },
        { { VERDICT_KEPT, TRIGGER_ROOT, REASON_NONE, 0, false, 0xfff97240000000, 0 }, UINT64_C(0x39724) << 18 | 3 },
        { { VERDICT_KEPT, TRIGGER_ROOT, REASON_NONE, 0, false, 0xfffffffffffe80, 0 }, UINT64_C(0xbe800) << 18 | 3 },
        { { VERDICT_KEPT, TRIGGER_ROOT, REASON_NONE, 0, false, 0xffffffffffffff, 0 }, UINT64_C(0xe0000) << 18 | 3 },
        { { VERDICT_DROPPED, TRIGGER_ROOT, REASON_NONE, 0, false, OT_NEVER, 0 }, UINT64_C(0xfffff) << 18 | 2 },
        /* A threshold with more digits is rounded. */
        { { VERDICT_KEPT, TRIGGER_ROOT, REASON_NONE, 0, false, 0xe6666666666666, 0 }, UINT64_C(0x0e666) << 18 | 3 },
        { { VERDICT_KEPT, TRIGGER_ROOT, REASON_NONE, 0, false, 0xefffffffffffff, 0 }, UINT64_C(0x10000) << 18 | 3 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        if (outcome_pack(&cases[i].outcome) != cases[i].word)
            fail_msg("case %zu: %llx", i, (unsigned long long)outcome_pack(&cases[i].outcome));
}

static void other_words_are_refused(void **state)
{
    const struct {
        uint64_t word;
        bool is_read;
    } cases[] = {
        { 0, false },
        { 1, false },                              /* no trigger */
        { word(TRIGGER_LAST, 0, 0), true },
        { word(TRIGGER_LAST + 1, 0, 0), false },
        { word(7, 0, 0), false },
        { word(1, REASON_LAST, 0), true },
        { word(1, REASON_LAST + 1, 0), false },
        { word(1, 31, 0), false },
        { word(1, 1, 0x0efff), true },
        { word(1, 1, 0x0f000), false },            /* is 1 | 0000 */
        { word(1, 1, 0x0ffff), false },
        { word(1, 1, 0x3f123), false },
        { word(1, 1, 0xa1234), true },             /* ten and four are fourteen */
        { word(1, 1, 0xb1230), true },
        { word(1, 1, 0xb1231), false },            /* a fifteenth digit */
        { word(1, 1, 0xd1000), true },
        { word(1, 1, 0xd1010), false },
        { word(1, 1, 0xdf000), false },
        { word(1, 1, 0xe0000), true },
        { word(1, 1, 0xe8000), false },
        { word(1, 1, 0xf0000), false },
        { word(1, 1, 0xffffe), false },
        { word(1, 1, 0xfffff), true },
        { word(1, 1, 0) | UINT64_C(1) << 61, true },
        { word(1, 1, 0) | UINT64_C(1) << 62, false },
        { word(1, 1, 0) | UINT64_C(1) << 63, false },
        { UINT64_MAX, false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct outcome out = { .rules = 77 };

        if (outcome_unpack(cases[i].word, &out) != cases[i].is_read)
            fail_msg("case %zu: %llx", i, (unsigned long long)cases[i].word);
        assert_int_equal(out.rules == 77, !cases[i].is_read); /* written only on success */
    }
}

static void names_are_told(void **state)
{
    static const char *const triggers[] = { "root", "deadline", "early", "late", "first_match" };
    static const char *const reasons[] = { "",      "no_rules",    "policy",      "no_policy",  "drop",      "inverted",
                                           "class", "class_error", "floor_error", "floor_slow", "floor_new", "overload" };
    static const char *const votes[] = { "not_asked", "no", "yes", "drop" };

    (void)state;
    for (unsigned i = 0; i < MG_COUNT(triggers); i++)
        assert_string_equal(trigger_name((enum trigger)(TRIGGER_ROOT + i)), triggers[i]);
    for (unsigned i = 0; i < MG_COUNT(reasons); i++)
        assert_string_equal(reason_name((enum reason)i), reasons[i]);
    for (unsigned i = 0; i < MG_COUNT(votes); i++)
        assert_string_equal(vote_name((enum vote)i), votes[i]);
}

static void votes_are_set_and_got(void **state)
{
    enum { POLICIES = 9 };
    uint8_t bytes[3] = { 0 };
    struct str votes = str_n(bytes, sizeof bytes);

    (void)state;
    for (unsigned i = 0; i < POLICIES; i++)
        vote_set(bytes, i, (enum vote)((i + 1) % 4));
    assert_int_equal(bytes[0], 0x39); /* no, yes, drop, not asked: from the lowest bits */
    for (unsigned i = 0; i < POLICIES; i++)
        assert_int_equal(vote_get(votes, i), (i + 1) % 4);
    vote_set(bytes, 2, VOTE_NO); /* instead of the other */
    assert_int_equal(bytes[0], 0x19);
    for (size_t i = POLICIES; i < 40; i++)
        assert_int_equal(vote_get(votes, i), VOTE_NOT_ASKED);
    assert_int_equal(vote_get(votes, SIZE_MAX), VOTE_NOT_ASKED);
    assert_int_equal(vote_get(STR(""), 0), VOTE_NOT_ASKED);
}

#define KEPT(...) { .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT, .reason = REASON_POLICY, .rules = 1, __VA_ARGS__ }

static void a_kept_span_tells_its_threshold(void **state)
{
    static const struct {
        struct outcome outcome;
        const char *own, *want; /* NULL: its own */
    } cases[] = {
        { KEPT(.threshold = 0), "", NULL },
        { KEPT(.threshold = 0), "ot=th:0,a=b", NULL },
        { KEPT(.threshold = 0), "a=b,ot=th:c", NULL },
        { KEPT(.threshold = 0), "ot=rv:00000000000000", NULL },
        { KEPT(.threshold = 0xe6660000000000), "", "ot=th:e666" },
        { KEPT(.threshold = 0xe6660000000000), "a=b,ot=th:c", "ot=th:e666,a=b" },
        { KEPT(.threshold = 0xe6660000000000), "a=b,ot=th:e666", NULL },
        { KEPT(.threshold = 0xe6660000000000), "a=b,ot=th:e6661", NULL },
        { KEPT(.threshold = 0xe6660000000000), "ot=th:fffff", NULL },
        { KEPT(.threshold = 0xe6660000000000), "ot=th:E;x:y", "ot=th:e666;x:y" },
        { KEPT(.is_estimate = true, .threshold = 0xe6660000000000), "", NULL },
        { KEPT(.is_estimate = true, .threshold = 0xe6660000000000), "a=b", NULL },
        { KEPT(.is_estimate = true, .threshold = 0xe6660000000000), "a=b,ot=th:c", "a=b" },
        { KEPT(.is_estimate = true), "ot=th:fffff;rv:00000000000000", "ot=rv:00000000000000" },
        { KEPT(.threshold = OT_NEVER), "ot=th:8", "" },
        { { .verdict = VERDICT_DROPPED, .trigger = TRIGGER_ROOT, .threshold = 0xe6660000000000 }, "ot=th:8", NULL },
    };
    struct str own = STR("ot=th:8");

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str in = str_of(cases[i].own), got = outcome_trace_state(outcome_pack(&cases[i].outcome), in, &arena);

        assert_str(got, cases[i].want ? cases[i].want : cases[i].own);
        assert_int_equal(got.ptr == in.ptr, cases[i].want == NULL);
    }
    assert_ptr_equal(outcome_trace_state(0, own, &arena).ptr, own.ptr);
    assert_ptr_equal(outcome_trace_state(UINT64_MAX, own, &arena).ptr, own.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_outcome_comes_back),
        cmocka_unit_test(every_short_threshold_comes_back),
        cmocka_unit_test(only_words_of_outcomes_are_read),
        cmocka_unit_test(the_word_is_laid_out_as_written),
        cmocka_unit_test(other_words_are_refused),
        cmocka_unit_test(names_are_told),
        cmocka_unit_test(votes_are_set_and_got),
        cmocka_unit_test(a_kept_span_tells_its_threshold),
    };
    return cmocka_run_group_tests(tests, NULL, group_arena_fini);
}

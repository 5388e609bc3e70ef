/* Thresholds against the table of the specification's own examples, and the `ot` member read and written between others. */
#include "model/ot.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "unit/base/assert_str.h"
#include "unit/base/group_arena.h"

static void probabilities_have_their_thresholds(void **state)
{
    static const struct {
        double probability;
        const char *th;
        double count; /* 1 / probability, of five digits */
    } cases[] = {
        { 1, "0", 1 },
        { 2.0 / 3, "5555", 1.5 },
        { 0.5, "8", 2 },
        { 1.0 / 3, "aaab", 3.00005 },
        { 0.25, "c", 4 },
        { 0.2, "cccd", 5.00008 },
        { 0.1, "e666", 9.9994 },
        { 0.05, "f3333", 19.9999 },
        { 0.01, "fd70a", 99.998 },
        { 0.001, "ffbe77", 1000.01 },
        { 1e-4, "fff9724", 9999.8 },
        { 1e-6, "ffffef39", 999992.4 },
        { 2, "0", 1 },
        { 1e300, "0", 1 },
        { INFINITY, "0", 1 },
        { 1 - 0x1p-17, "0001", 1.00002 }, /* half of the fourth digit rises */
        { 1 - 0x1p-17 + 0x1p-40, "0", 1 },
        { 0x1p-4, "f", 16 },
        { 0x1p-52, "fffffffffffff", 0x1p52 },
        { 0x1p-55, "fffffffffffffe", 0x1p55 },
        { 0x1.8p-55, "fffffffffffffd", 0x1.555555p54 },
        { 0x1p-56, "ffffffffffffff", 0x1p56 },
        { 0x1.8p-56, "fffffffffffffe", 0x1p55 }, /* 1.5 of 2^56 are two */
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t threshold = ot_threshold(cases[i].probability);
        char text[OT_TH_MAX];

        size_t len = ot_th_text(threshold, text);
        assert_int_equal(len, strlen(text));
        if (strcmp(text, cases[i].th) != 0)
            fail_msg("case %zu: %s, not %s", i, text, cases[i].th);
        if (fabs(ot_probability(threshold) * cases[i].count - 1) > 1e-5)
            fail_msg("case %zu: 1 / %.9g, not %g", i, ot_probability(threshold), cases[i].count);
    }
}

/* As ProbabilityToThresholdWithPrecision(p, 4) of the OpenTelemetry Collector's pkg/sampling 0.110 printed them. */
static void thresholds_are_those_of_the_collector(void **state)
{
    static const struct {
        double probability;
        const char *th;
        double count;
    } cases[] = {
        { 0.9, "199a", 1.1111186463666882 },
        { 0.75, "4", 1.3333333333333333 },
        { 0.6666666666666666, "5555", 1.499988555995514 },
        { 0.3333333333333333, "aaab", 3.0000457770656901 },
        { 0.3, "b333", 3.3332994252581254 },
        { 0.15, "d99a", 6.6669379450661239 },
        { 0.1, "e666", 9.9993896856881292 },
        { 0.05, "f3333", 19.999923706345726 },
        { 0.03, "f851f", 33.333630034650476 },
        { 0.01, "fd70a", 99.997711234026326 },
        { 0.003, "ff3b64", 333.33100214575222 },
        { 0.001, "ffbe77", 1000.0128747690291 },
        { 0.0001, "fff9724", 9999.8307256742664 },
        { 1e-05, "ffff583a", 99999.238556461001 },
        { 1e-06, "ffffef39", 999992.38556461001 },
        { 1e-07, "fffffe528", 9999923.8556460999 },
        { 1e-09, "fffffffbb48", 1000010575.5125057 },
        { 1e-11, "fffffffff5014", 99999991725.963577 },
        { 1e-13, "ffffffffffe3da", 9999666116837.0723 },
        { 1e-15, "ffffffffffffb8", 1000799917193443.5 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t threshold = ot_threshold(cases[i].probability);
        struct ot_state own;
        char text[OT_TH_MAX];

        (void)ot_th_text(threshold, text);
        assert_string_equal(text, cases[i].th);
        assert_true(1 / ot_probability(threshold) == cases[i].count);
        ot_read(arena_printf(&arena, "ot=th:%s", text), &own);
        assert_true(own.has_th && own.th == threshold);
    }
}

static void what_is_never_kept_has_no_threshold(void **state)
{
    static const double never[] = { 0, -0.0, -1, -INFINITY, NAN, 1e-300, 0x1.fffffffffffffp-57 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(never); i++)
        assert_true(ot_threshold(never[i]) == OT_NEVER);
    assert_true(ot_rounded(OT_NEVER) == OT_NEVER);
    assert_true(ot_probability(OT_NEVER) == 0);
    assert_false(ot_keeps(OT_NEVER, OT_NEVER - 1));
    assert_true(ot_keeps(OT_NEVER - 1, OT_NEVER - 1));
    assert_false(ot_keeps(OT_NEVER - 1, OT_NEVER - 2));
    assert_true(ot_keeps(0, 0));
}

static void thresholds_are_rounded_behind_their_run(void **state)
{
    static const struct {
        uint64_t in, out;
    } cases[] = {
        { 0, 0 },
        { 0x00007fffffffff, 0 },
        { 0x00008000000000, 0x00010000000000 },
        { 0x12344fffffffff, 0x12340000000000 },
        { 0x12347fffffffff, 0x12340000000000 },
        { 0x12348000000000, 0x12350000000000 },
        { 0xefff7fffffffff, 0xefff0000000000 },
        { 0xefff8000000000, 0xf0000000000000 }, /* the carry makes the run longer */
        { 0xffefffffffffff, 0xfff00000000000 },
        { 0xfff12347ffffff, 0xfff12340000000 },
        { 0xfff12348000000, 0xfff12350000000 },
        { 0xfffffffffe1237, 0xfffffffffe1230 }, /* nine */
        { 0xfffffffffe1238, 0xfffffffffe1240 },
        { 0xfffffffffefff8, 0xffffffffff0000 },
        { 0xffffffffffe123, 0xffffffffffe123 }, /* ten and more: nothing to cut */
        { 0xffffffffffefff, 0xffffffffffefff },
        { 0xfffffffffffffe, 0xfffffffffffffe },
        { 0xffffffffffffff, 0xffffffffffffff },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        if (ot_rounded(cases[i].in) != cases[i].out)
            fail_msg("case %zu: %014llx", i, (unsigned long long)ot_rounded(cases[i].in));
        assert_true(ot_rounded(cases[i].out) == cases[i].out);
    }
}

/* Every threshold is near, below the next, and stays what it is. */
static void rounding_is_near_and_stays(void **state)
{
    uint64_t random = 88172645463325252;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        uint64_t run = i % 15 ? OT_NEVER - 1 - ((OT_NEVER - 1) >> 4 * (i % 15)) : 0;
        uint64_t in = run | (random >> 8 >> 4 * (i % 15)), out = ot_rounded(in);

        assert_true(out < OT_NEVER);
        assert_true(ot_rounded(out) == out);
        /* Four digits, the first of them up to e: at most 2^-13 of what is left. */
        assert_true(fabs(ot_probability(out) / ot_probability(in) - 1) <= 0x1p-13);
    }
}

static void what_is_shown_is_what_was_asked_for(void **state)
{
    static const struct {
        double probability, shown;
    } cases[] = {
        { 1, 1 },
        { 0.5, 0.5 },
        { 0.1, 0.1 },
        { 0.05, 0.05 }, /* is kept at 0.0500002 */
        { 0.03, 0.03 },
        { 0.01, 0.01 },
        { 0.001, 0.001 },
        { 0.00012, 0.00012 },
        { 1e-9, 1e-9 },
        { 0.123456, 0.12346 }, /* the sixth digit is not in the threshold */
        { 2.0 / 3, 0.66667 },
        { 1.0 / 3, 0.33333 },
        { 0.99999, 0.99998 }, /* not all, so not 1 */
        { 0x1p-56, 1.4e-17 }, /* 1e-17 is below it, and never */
        { 1e-17, 0 },
        { 2, 1 },
        { 0, 0 },
        { -1, 0 },
        { NAN, 0 },
        { 1e-300, 0 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        double shown = ot_probability_shown(ot_threshold(cases[i].probability));
        if (shown != cases[i].shown)
            fail_msg("case %zu: %.17g, not %.17g", i, shown, cases[i].shown);
    }
    assert_true(ot_probability_shown(OT_NEVER + 1) == 0);
    assert_true(ot_probability_shown(OT_NEVER - 1) > 0);
}

static unsigned digits_of(double value)
{
    char text[32];
    unsigned digits = 1;

    while (snprintf(text, sizeof text, "%.*e", (int)digits - 1, value) > 0 && strtod(text, NULL) != value)
        digits++;
    return digits;
}

/* It leads back to its threshold, whatever the length of the run, and nothing shorter does. */
static void what_is_shown_has_the_same_threshold(void **state)
{
    uint64_t random = 88172645463325252;

    (void)state;
    for (unsigned i = 0; i < 50000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        uint64_t run = i % 15 ? OT_NEVER - 1 - ((OT_NEVER - 1) >> 4 * (i % 15)) : 0;
        uint64_t threshold = run | (random >> 8 >> 4 * (i % 15));
        double exact = ot_probability(ot_rounded(threshold)), shown = ot_probability_shown(threshold), shorter;
        unsigned digits = digits_of(shown);
        char text[32];

        assert_true(ot_threshold(shown) == ot_rounded(threshold));
        assert_in_range(digits, 1, 6);
        assert_true(snprintf(text, sizeof text, "%.*e", (int)digits - 2, exact) > 0);
        shorter = strtod(text, NULL);
        assert_true(digits == 1 || ot_threshold(shorter) != ot_rounded(threshold));
    }
}

static void a_state_is_read(void **state)
{
    static const struct {
        const char *text;
        bool has_th, has_rv;
        uint64_t th, rv;
    } cases[] = {
        { "ot=th:0", true, false, 0, 0 },
        { "ot=th:c", true, false, 0xc0000000000000, 0 },
        { "ot=th:e666;rv:0123456789abcd", true, true, 0xe6660000000000, 0x0123456789abcd },
        { "ot=rv:ffffffffffffff;x:y;th:12345678901234", true, true, 0x12345678901234, 0xffffffffffffff },
        { "a=b,ot=th:8", true, false, 0x80000000000000, 0 },
        { "a=b , \tot=th:8\t ,c=d", true, false, 0x80000000000000, 0 },
        { ",, ,ot=th:8,,", true, false, 0x80000000000000, 0 },
        { "ot=th:8,ot=th:c", true, false, 0x80000000000000, 0 },
        { "ot=;;th:8;", true, false, 0x80000000000000, 0 },
        { "ot=th:8;th:c", true, false, 0x80000000000000, 0 },
        { "ot=th:G;th:c", true, false, 0xc0000000000000, 0 },
        { "ot=p:8;r:62", false, false, 0, 0 },
        /* One that is wrong does not take the other with it. */
        { "ot=th:;rv:00000000000001", false, true, 0, 1 },
        { "ot=th:123456789012345;rv:00000000000001", false, true, 0, 1 },
        { "ot=th:E666;rv:00000000000001", false, true, 0, 1 },
        { "ot=th:0x1;rv:00000000000001", false, true, 0, 1 },
        { "ot=th: 8;rv:00000000000001", false, true, 0, 1 },
        { "ot=th:8=;rv:00000000000001", false, true, 0, 1 },
        { "ot=th:8;rv:0000000000001", true, false, 0x80000000000000, 0 },
        { "ot=th:8;rv:000000000000001", true, false, 0x80000000000000, 0 },
        { "ot=th:8;rv:0000000000000G", true, false, 0x80000000000000, 0 },
        { "ot=th:8;rv:0000000000000A", true, false, 0x80000000000000, 0 },
        { "", false, false, 0, 0 },
        { " , ", false, false, 0, 0 },
        { "ot", false, false, 0, 0 },
        { "ot=", false, false, 0, 0 },
        { "ot=th", false, false, 0, 0 },
        { "ot=th8", false, false, 0, 0 },
        { "ot=TH:8", false, false, 0, 0 },
        { "ot=xth:8", false, false, 0, 0 },
        { "ot =th:8", false, false, 0, 0 },
        { "OT=th:8", false, false, 0, 0 },
        { "xot=th:8", false, false, 0, 0 },
        { "ot=,ot=th:8", false, false, 0, 0 }, /* the first counts */
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct ot_state got = { .has_th = true, .th = 5, .has_rv = true };

        ot_read(str_of(cases[i].text), &got);
        if (got.has_th != cases[i].has_th || got.has_rv != cases[i].has_rv || got.th != cases[i].th || got.rv != cases[i].rv)
            fail_msg("'%s': %d %llx, %d %llx", cases[i].text, got.has_th, (unsigned long long)got.th, got.has_rv,
                     (unsigned long long)got.rv);
    }
}

static void randomness_is_rv_or_the_trace_id(void **state)
{
    static const uint8_t id[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16 };
    struct ot_state own;

    (void)state;
    assert_true(ot_randomness(id, NULL) == 0x10111213141516);
    ot_read(STR("ot=th:8"), &own);
    assert_true(ot_randomness(id, &own) == 0x10111213141516);
    ot_read(STR("ot=rv:00000000000000"), &own);
    assert_true(ot_randomness(id, &own) == 0);
}

#define T8 0x80000000000000
#define TE666 0xe6660000000000
#define RV "rv:0123456789abcd"

static void th_is_written(void **state)
{
    static const struct {
        const char *text;
        uint64_t threshold;
        const char *want; /* NULL: the text itself */
    } cases[] = {
        { "", T8, "ot=th:8" },
        { "", 0, "ot=th:0" },
        { "", 0xffffffffffffff, "ot=th:ffffffffffffff" },
        { "a=b", TE666, "ot=th:e666,a=b" },
        { "a=b,c=d", TE666, "ot=th:e666,a=b,c=d" },
        { " a=b ,,\tc=d@e ,", TE666, "ot=th:e666,a=b,c=d@e" },
        { "a=b,ot=th:8,c=d", TE666, "ot=th:e666,a=b,c=d" },
        { "a=b,ot=x:y;th:8;" RV ";z:1,c=d", TE666, "ot=th:e666;x:y;" RV ";z:1,a=b,c=d" },
        { "ot=" RV, TE666, "ot=th:e666;" RV },
        { "ot=p:8;r:62", T8, "ot=th:8;p:8;r:62" },
        { "ot=th:G;th:8", T8, "ot=th:8" },
        { "ot=th:8;th:c", T8, "ot=th:8" },
        { "ot=;; ;x;:y;X:y;9:y;a:;b:c:d;a9:Az0._-", T8, "ot=th:8;a:;a9:Az0._-" }, /* only what readers take */
        { "ot=a:=;b:1;c:x y;d:~;e: ;", T8, "ot=th:8;b:1" },
        { "ot=th:8,ot=th:c", T8, "ot=th:8" },
        { "ot=x:1,a=b,ot=y:2", T8, "ot=th:8;x:1,a=b" },
        { "ot,a", T8, "ot=th:8,ot,a" }, /* what is not ours is not judged */
        { "a=b,ot=th:8", OT_NEVER, "a=b" },
        { "a=b,ot=th:8;" RV, OT_NEVER, "ot=" RV ",a=b" },
        { "ot=th:8", OT_NEVER, "" },
        { "ot=th:?", OT_NEVER, "" },
        { "ot=th:", OT_NEVER, "" },
        { "ot=x:y,ot=th:8", OT_NEVER, "ot=x:y" },
        /* Nothing has to change. */
        { "", OT_NEVER, NULL },
        { " a=b ,,c", OT_NEVER, NULL },
        { "a=b,ot=p:8;r:62", OT_NEVER, NULL },
        { "a=b, ot=x:y;;th:8 ,c=d", T8, NULL },
        { "ot=th:8000", T8, NULL },
        { "ot=th:0", 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str in = str_of(cases[i].text), got = ot_write_th(in, cases[i].threshold, &arena);

        assert_str(got, cases[i].want ? cases[i].want : cases[i].text);
        assert_int_equal(got.ptr == in.ptr, cases[i].want == NULL);
        struct str again = ot_write_th(got, cases[i].threshold, &arena);
        assert_ptr_equal(again.ptr, got.ptr);
    }
}

/* `<prefix><i>=<padding>` of len bytes. */
static void put_member(struct buf *out, char prefix, unsigned i, size_t len)
{
    size_t from = out->len + (out->len > 0);

    buf_printf(out, "%s%c%02u=", out->len ? "," : "", prefix, i);
    while (out->len < from + len)
        buf_put_char(out, 'v');
}

/* Members of `text` with the prefix; the number of the last is *last. */
static unsigned count_members(struct str text, char prefix, unsigned *last)
{
    unsigned n = 0;

    for (struct str member; str_cut(&text, ',', &member);)
        if (member.ptr[0] == prefix) {
            *last = (unsigned)((member.ptr[1] - '0') * 10 + member.ptr[2] - '0');
            n++;
        }
    return n;
}

static void members_are_left_out_from_the_end_and_long_ones_first(void **state)
{
    static const struct {
        const char *name;
        unsigned shorts, short_len, longs, long_len; /* s00 l00 s01 l01 … */
        unsigned shorts_left, longs_left;
    } cases[] = {
        /* "ot=th:8" and its comma leave 31 members and 504 bytes, 505 with the first one's comma. */
        { "31 short ones", 31, 4, 0, 0, 31, 0 },
        { "32 short ones", 32, 4, 0, 0, 31, 0 },
        { "99 short ones", 99, 4, 0, 0, 31, 0 },
        { "504 bytes", 5, 100, 0, 0, 5, 0 },
        { "505 bytes in all", 0, 0, 1, 504, 0, 1 },
        { "506 bytes in all", 0, 0, 1, 505, 0, 0 },
        { "four of 125 and their commas", 4, 125, 0, 0, 4, 0 },
        { "four of 126", 4, 126, 0, 0, 3, 0 },
        { "four of 128", 4, 128, 0, 0, 3, 0 },
        { "a long one goes before the last short one", 3, 125, 1, 129, 3, 0 },
        { "a short one is 128 long", 5, 128, 1, 129, 3, 0 },
        { "long ones while they fit", 2, 20, 4, 129, 2, 3 },
        { "long ones count as members", 30, 4, 2, 129, 30, 1 },
        { "none when short ones go", 40, 4, 2, 129, 31, 0 },
        { "one too long for all", 1, 10, 1, 4000, 1, 0 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct buf text;
        unsigned last_short = 0, last_long = 0;

        buf_init(&text, 64u << 10);
        for (unsigned k = 0; k < cases[i].shorts || k < cases[i].longs; k++) {
            if (k < cases[i].shorts)
                put_member(&text, 's', k, cases[i].short_len);
            if (k < cases[i].longs)
                put_member(&text, 'l', k, cases[i].long_len);
        }
        struct str got = ot_write_th(buf_str(&text), T8, &arena);
        assert_true(str_starts(got, STR("ot=th:8")));
        assert_true(got.len <= 512);
        unsigned shorts = count_members(got, 's', &last_short), longs = count_members(got, 'l', &last_long);
        if (shorts != cases[i].shorts_left || longs != cases[i].longs_left)
            fail_msg("%s: %u and %u", cases[i].name, shorts, longs);
        assert_true(shorts == 0 || last_short == shorts - 1);
        assert_true(longs == 0 || last_long == longs - 1);
        buf_fini(&text);
    }
}

static void without_ot_there_is_room_for_32_members(void **state)
{
    struct buf text;
    unsigned last = 0;

    (void)state;
    buf_init(&text, 1000);
    buf_put_text(&text, "ot=th:8");
    for (unsigned i = 0; i < 33; i++)
        put_member(&text, 's', i, 4);
    assert_int_equal(count_members(ot_write_th(buf_str(&text), OT_NEVER, &arena), 's', &last), 32);
    buf_clear(&text);
    buf_put_text(&text, "ot=th:8");
    for (unsigned i = 0; i < 4; i++)
        put_member(&text, 's', i, i ? 128 : 125); /* 509 and three commas */
    assert_int_equal(count_members(ot_write_th(buf_str(&text), OT_NEVER, &arena), 's', &last), 4);
    buf_clear(&text);
    buf_put_text(&text, "ot=th:8");
    for (unsigned i = 0; i < 4; i++)
        put_member(&text, 's', i, i ? 128 : 126);
    assert_int_equal(count_members(ot_write_th(buf_str(&text), OT_NEVER, &arena), 's', &last), 3);
    buf_fini(&text);
}

/* A value has at most 256 characters: sub-keys at its end go, rv stays. */
static void a_full_ot_keeps_rv(void **state)
{
    (void)state;
    for (size_t len = 200; len < 300; len++) {
        struct ot_state own;
        struct buf text;

        buf_init(&text, 1000);
        buf_put_text(&text, "ot=a:");
        for (size_t i = 0; i < len; i++)
            buf_put_char(&text, 'x');
        buf_put_text(&text, ";b:1;" RV ";c:2,k=v");
        struct str got = ot_write_th(buf_str(&text), TE666, &arena), ot, rest;
        assert_true(str_split_at(got, ',', &ot, &rest));
        assert_str(rest, "k=v");
        assert_true(ot.len <= 3 + 256);
        ot_read(got, &own);
        assert_true(own.has_th && own.th == TE666 && own.has_rv && own.rv == 0x0123456789abcd);
        /* th:e666;a:<len>;b:1;rv:…;c:2 are 7 + 1 + 2 + len + 4 + 18 + 4 characters. */
        size_t at;
        assert_int_equal(str_find(ot, STR(";a:"), &at), 28 + len <= 256);
        assert_int_equal(str_find(ot, STR(";b:1"), &at), 32 + len <= 256);
        assert_int_equal(str_find(ot, STR(";c:2"), &at), 36 + len <= 256);
        buf_fini(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_have_their_thresholds),
        cmocka_unit_test(thresholds_are_those_of_the_collector),
        cmocka_unit_test(what_is_never_kept_has_no_threshold),
        cmocka_unit_test(thresholds_are_rounded_behind_their_run),
        cmocka_unit_test(rounding_is_near_and_stays),
        cmocka_unit_test(what_is_shown_is_what_was_asked_for),
        cmocka_unit_test(what_is_shown_has_the_same_threshold),
        cmocka_unit_test(a_state_is_read),
        cmocka_unit_test(randomness_is_rv_or_the_trace_id),
        cmocka_unit_test(th_is_written),
        cmocka_unit_test(members_are_left_out_from_the_end_and_long_ones_first),
        cmocka_unit_test(without_ot_there_is_room_for_32_members),
        cmocka_unit_test(a_full_ot_keeps_rv),
    };
    return cmocka_run_group_tests(tests, NULL, group_arena_fini);
}

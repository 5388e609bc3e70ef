/* tally_test.c - spans by who decided: counted under names, written, read back; the store is read once for each; bad bytes do no harm. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "codec/utf8.h"
#include "conf/yaml.h"
#include "live/tally.h"

/* --- what stands in for the store ------------------------------------------------------------------- */

static struct { const char *text; /* of every generation; NULL: none is known */ unsigned reads; } stored;

bool store_rules_get(struct store *store, uint32_t generation, struct buf *text)
{
    (void)store;
    (void)generation;
    stored.reads++;
    if (stored.text)
        buf_put_text(text, stored.text);
    return stored.text;
}

static int setup(void **state)
{
    (void)state;
    stored.text = NULL;
    stored.reads = 0;
    return 0;
}

static uint64_t named(enum reason reason, uint32_t rules, uint8_t policy)
{
    const struct outcome outcome = { .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT, .reason = reason, .rules = rules, .policy = policy };

    return outcome_pack(&outcome);
}

static const struct live_policy *line_of(const struct tally *tally, const char *name, enum reason reason)
{
    for (size_t i = 0; i < tally->lines.n; i++)
        if (tally->lines.at[i].reason == reason && strcmp(tally->lines.at[i].name, name) == 0)
            return &tally->lines.at[i];
    return NULL;
}

/* Policies in flow form, as "{name: a, type: always_sample}". */
static struct sample_rules *rules_of(const char *policies)
{
    struct sample_rules *rules = NULL;
    struct yaml_docs *docs = NULL;
    struct sample_conf conf = { .enabled = true };
    struct mg_why why = { "" };
    struct buf text;

    buf_init(&text, 1 << 20);
    buf_printf(&text, "policies: [%s]\nclasses: []\n", policies);
    assert_int_equal(yaml_parse(&docs, buf_str(&text), "policies", &why), MG_OK);
    conf.policies = yaml_get(yaml_doc(docs, 0), "policies");
    conf.classes = yaml_get(yaml_doc(docs, 0), "classes");
    if (sample_rules_new(&rules, &conf, &why) != MG_OK)
        fail_msg("%s", why.text);
    yaml_docs_free(&docs);
    buf_fini(&text);
    return rules;
}

/* --- names ------------------------------------------------------------------------------------------ */

/* Some hundred keys at once, whatever places they share; each name is looked for once. */
static void the_store_is_read_once_for_each_key(void **state)
{
    struct tally tally;

    (void)state;
    tally_init(&tally, NULL);
    for (unsigned round = 0; round < 50; round++)
        for (unsigned policy = 1; policy <= 255; policy++)
            for (uint32_t rules = 1; rules <= 4; rules++)
                tally_count(&tally, named(REASON_POLICY, rules, (uint8_t)policy), 1);
    assert_int_equal(stored.reads, 4 * 255);
    assert_int_equal(tally.lines.n, 1); /* names that are not known are counted under the reason alone */
    assert_int_equal(line_of(&tally, "", REASON_POLICY)->kept, 50 * 4 * 255);
    tally_fini(&tally);
}

/* These shared the one place that a table of 256 had for them: rules << 8 | policy, by 0x9e3779b1, and the reason. */
static void keys_that_shared_a_place_have_their_own(void **state)
{
    uint8_t by_place[256] = { 0 }, pairs[2][8];
    struct tally tally;
    size_t n = 0;

    (void)state;
    for (unsigned policy = 1; policy <= 255 && n < MG_COUNT(pairs[0]); policy++) {
        unsigned place = (1u << 8 | policy) * 0x9e3779b1u >> 24;
        if (by_place[place]) {
            pairs[0][n] = by_place[place];
            pairs[1][n++] = (uint8_t)policy;
        }
        by_place[place] = (uint8_t)policy;
    }
    assert_true(n > 0);
    tally_init(&tally, NULL);
    for (unsigned round = 0; round < 1000; round++)
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < 2; k++)
                tally_count(&tally, named(REASON_POLICY, 1, pairs[k][i]), 1);
    assert_true(stored.reads <= 2 * n);
    tally_fini(&tally);
}

static void rules_at_hand_need_no_store(void **state)
{
    struct sample_rules *first = rules_of("{name: a, type: always_sample}, {name: b, type: always_sample}");
    struct sample_rules *second = rules_of("{name: b, type: always_sample}"), *third = rules_of("{name: c, type: always_sample}");
    struct tally tally;

    (void)state;
    stored.text = "{\"policies\":[\"old\"],\"classes\":[\"a class\"],\"text\":{}}";
    tally_init(&tally, NULL);
    tally_rules(&tally, first, 7);
    tally_count(&tally, named(REASON_POLICY, 7, 1), 1);
    tally_rules(&tally, second, 8);
    tally_count(&tally, named(REASON_POLICY, 8, 1), 2);
    tally_count(&tally, named(REASON_POLICY, 7, 2), 3); /* on its way when the rules changed */
    tally_count(&tally, named(REASON_POLICY, 8, 9), 4); /* there is none of that number */
    assert_int_equal(stored.reads, 0);
    tally_rules(&tally, third, 9);
    tally_count(&tally, named(REASON_POLICY, 7, 1), 5); /* is known by now */
    assert_int_equal(stored.reads, 0);
    tally_count(&tally, named(REASON_DROP, 7, 1), 6);
    tally_count(&tally, named(REASON_CLASS, 7, 2), 7);
    assert_int_equal(stored.reads, 2);
    assert_int_equal(line_of(&tally, "a", REASON_POLICY)->kept, 6);
    assert_int_equal(line_of(&tally, "b", REASON_POLICY)->kept, 5);
    assert_int_equal(line_of(&tally, "", REASON_POLICY)->kept, 4);
    assert_int_equal(line_of(&tally, "old", REASON_DROP)->kept, 6);
    assert_int_equal(line_of(&tally, "a class", REASON_CLASS)->kept, 7);
    assert_int_equal(tally.lines.n, 5);
    tally_fini(&tally);
    sample_rules_unref(&first);
    sample_rules_unref(&second);
    sample_rules_unref(&third);
}

static void texts_that_say_nothing_leave_the_reason(void **state)
{
    static const char *const texts[] = { NULL, "", "{", "[]", "{\"policies\":[\"a\"]}", "{\"policies\":[],\"classes\":[],\"text\":{}}" };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(texts); i++) {
        struct tally tally;
        stored.text = texts[i];
        tally_init(&tally, NULL);
        tally_count(&tally, named(REASON_POLICY, 3, 200), 1);
        tally_count(&tally, named(REASON_POLICY, 3, 200), 1);
        assert_int_equal(line_of(&tally, "", REASON_POLICY)->kept, 2);
        assert_int_equal(tally.lines.n, 1);
        tally_fini(&tally);
    }
    assert_int_equal(stored.reads, MG_COUNT(texts));
}

/* So many generations that all keys are forgotten in between: lines stay, and nothing is lost. */
static void keys_are_bounded(void **state)
{
    struct tally tally;
    uint32_t n = TALLY_KEYS_MAX + 1000;

    (void)state;
    stored.text = "{\"policies\":[\"a\"],\"classes\":[],\"text\":{}}";
    tally_init(&tally, NULL);
    for (uint32_t rules = 1; rules <= n; rules++) {
        tally_count(&tally, named(REASON_POLICY, rules, 1), 1);
        assert_true(tally.by_key.n <= TALLY_KEYS_MAX);
    }
    tally_count(&tally, named(REASON_POLICY, 1, 1), 1); /* was forgotten */
    tally_count(&tally, named(REASON_POLICY, n, 1), 1);
    assert_int_equal(stored.reads, n + 1);
    assert_int_equal(tally.lines.n, 1);
    assert_int_equal(line_of(&tally, "a", REASON_POLICY)->kept, n + 2);
    tally_fini(&tally);
}

/* --- limits ----------------------------------------------------------------------------------------- */

/* Generation g has 200 policies with names of its own. */
static void count_generation(struct tally *tally, uint32_t generation, unsigned policies, uint32_t spans)
{
    struct sample_rules *rules;
    struct buf list;

    buf_init(&list, 1 << 20);
    for (unsigned i = 1; i <= policies; i++)
        buf_printf(&list, "%s{name: p%u-%u, type: always_sample}", i > 1 ? "," : "", generation, i);
    buf_put_char(&list, '\0');
    rules = rules_of(list.ptr);
    tally_rules(tally, rules, generation);
    for (unsigned i = 1; i <= policies; i++)
        tally_count(tally, named(REASON_POLICY, generation, (uint8_t)i), spans);
    sample_rules_unref(&rules);
    buf_fini(&list);
}

static void the_name_after_a_thousand_has_no_line_but_the_others_keep_theirs(void **state)
{
    struct tally tally, again;
    struct buf bytes;

    (void)state;
    tally_init(&tally, NULL);
    for (uint32_t generation = 1; generation <= 5; generation++)
        count_generation(&tally, generation, 200, 1);
    assert_int_equal(tally.lines.n, 1000);
    assert_null(line_of(&tally, "…", REASON_POLICY));
    count_generation(&tally, 6, 3, 10);
    assert_int_equal(line_of(&tally, "…", REASON_POLICY)->kept, 30);
    assert_int_equal(tally.lines.n, 1001);
    map_fini(&tally.by_key); /* as after a restart: every name is looked for again */
    count_generation(&tally, 1, 200, 1);
    count_generation(&tally, 6, 3, 10);
    assert_int_equal(line_of(&tally, "…", REASON_POLICY)->kept, 60);
    assert_int_equal(line_of(&tally, "p1-200", REASON_POLICY)->kept, 2);
    /* what has no name, and other reasons */
    tally_count(&tally, named(REASON_NO_RULES, 1, 0), 3);
    tally_count(&tally, named(REASON_DROP, 1, 200), 4);
    assert_int_equal(line_of(&tally, "", REASON_NO_RULES)->kept, 3);
    assert_int_equal(line_of(&tally, "…", REASON_DROP)->kept, 4);
    assert_int_equal(stored.reads, 0);
    buf_init(&bytes, 1 << 20);
    tally_write(&tally, &bytes);
    assert_int_equal(buf_err(&bytes), MG_OK);
    tally_init(&again, NULL);
    tally_read(&again, buf_str(&bytes));
    assert_int_equal(again.lines.n, tally.lines.n);
    assert_memory_equal(again.lines.at, tally.lines.at, tally.lines.n * sizeof *tally.lines.at);
    buf_fini(&bytes);
    tally_fini(&again);
    tally_fini(&tally);
}

/* Some a's and then o's with two dots, up to the length that a name may have. */
static void long_names_are_whole(void **state)
{
    (void)state;
    for (unsigned before = 0; before < 4; before++) {
        struct buf list, name;
        struct sample_rules *rules;
        struct tally tally;

        buf_init(&name, 100);
        for (unsigned i = 0; i < before; i++)
            buf_put_char(&name, 'a');
        while (name.len + 2 <= 100)
            buf_put_text(&name, "ö");
        buf_init(&list, 1 << 10);
        buf_printf(&list, "{name: \"%.*s\", type: always_sample}", STR_ARG(buf_str(&name)));
        buf_put_char(&list, '\0');
        rules = rules_of(list.ptr);
        tally_init(&tally, NULL);
        tally_rules(&tally, rules, 1);
        for (unsigned round = 0; round < 2; round++) {
            tally_count(&tally, named(REASON_POLICY, 1, 1), 1);
            map_fini(&tally.by_key); /* found again by what is left of it */
        }
        assert_int_equal(tally.lines.n, 1);
        assert_int_equal(tally.lines.at[0].kept, 2);
        assert_true(utf8_valid(tally.lines.at[0].name, strlen(tally.lines.at[0].name)));
        assert_true(str_eq(str_of(tally.lines.at[0].name), buf_str(&name)));
        tally_fini(&tally);
        sample_rules_unref(&rules);
        buf_fini(&list);
        buf_fini(&name);
    }
}

/* --- counting and snapshots ------------------------------------------------------------------------- */

static uint64_t word(enum verdict verdict, enum reason reason)
{
    const struct outcome outcome = { .verdict = verdict, .trigger = TRIGGER_ROOT, .reason = reason, .rules = 1 };

    return outcome_pack(&outcome);
}

static void counts_by_reason_and_verdict(void **state)
{
    struct tally tally;

    (void)state;
    tally_init(&tally, NULL);
    tally_count(&tally, word(VERDICT_KEPT, REASON_NO_RULES), 5);
    tally_count(&tally, word(VERDICT_DROPPED, REASON_NO_POLICY), 7);
    tally_count(&tally, word(VERDICT_KEPT, REASON_NO_RULES), 2);
    tally_count(&tally, 0, 100); /* sampling was off */
    tally_count(&tally, UINT64_MAX, 100);
    assert_int_equal(tally.lines.n, 2);
    assert_int_equal(tally.lines.at[0].kept, 7);
    assert_int_equal(tally.lines.at[0].traces_kept, 2);
    assert_int_equal(tally.lines.at[0].sampled_out, 0);
    assert_int_equal(tally.lines.at[1].sampled_out, 7);
    assert_int_equal(tally.lines.at[1].traces_sampled_out, 1);
    assert_true(tally.is_changed);
    tally_fini(&tally);
}

static void reads_what_was_written_and_goes_on(void **state)
{
    struct tally tally, again;
    struct buf bytes;

    (void)state;
    tally_init(&tally, NULL);
    tally_count(&tally, word(VERDICT_DROPPED, REASON_OVERLOAD), 300);
    tally_count(&tally, word(VERDICT_KEPT, REASON_FLOOR_SLOW), 1);
    buf_init(&bytes, 4096);
    tally_write(&tally, &bytes);
    tally_init(&again, NULL);
    tally_read(&again, buf_str(&bytes));
    tally_count(&again, word(VERDICT_DROPPED, REASON_OVERLOAD), 1);
    assert_int_equal(again.lines.n, 2);
    assert_int_equal(again.lines.at[0].reason, REASON_OVERLOAD);
    assert_int_equal(again.lines.at[0].sampled_out, 301);
    assert_int_equal(again.lines.at[1].kept, 1);
    tally_fini(&again);
    for (size_t len = 0; len < bytes.len; len++) { /* cut anywhere: what was whole is there */
        tally_init(&again, NULL);
        tally_read(&again, str_n(bytes.ptr, len));
        assert_true(again.lines.n < 2);
        tally_fini(&again);
    }
    buf_fini(&bytes);
    tally_fini(&tally);
}

static void bad_bytes_are_left(void **state)
{
    static const struct { const char *bytes; size_t n; } cases[] = {
#define CASE(bytes) { bytes, sizeof bytes - 1 }
        CASE("\x0c\x01\x01\x01\x01\x00"),     /* a reason that nothing is */
        CASE("\x01\x01\x01\x01\x01\x68"       /* a name longer than a line's */
             "0123456789012345678901234567890123456789012345678901"
             "0123456789012345678901234567890123456789012345678901"),
        CASE("\x01\x01\x01\x01\x01\x05name"), /* beyond the end */
        CASE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct tally tally;
        tally_init(&tally, NULL);
        tally_read(&tally, str_n(cases[i].bytes, cases[i].n));
        assert_int_equal(tally.lines.n, 0);
        tally_fini(&tally);
    }
}

/* Older versions cut a name at any byte. */
static void a_cut_character_is_left_out(void **state)
{
    static const struct { const char *bytes; size_t n; const char *name; } rows[] = {
#define ROW(bytes, name) { "\x02\x01\x00\x01\x00" bytes, sizeof bytes - 1 + 5, name }
        ROW("\x02" "ab", "ab"), ROW("\x03" "ab\xc3", "ab"), ROW("\x04" "ab\xe2\x80", "ab"), ROW("\x05" "ab\xf0\x9f\x98", "ab"), ROW("\x01\xc3", ""),
        ROW("\x04" "ab\xc3\xb6", "ab\xc3\xb6"), ROW("\x00", ""),
        ROW("\x03\xff" "ab", "\xff" "ab"), /* was never text */
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct tally tally;
        tally_init(&tally, NULL);
        tally_read(&tally, str_n(rows[i].bytes, rows[i].n));
        assert_int_equal(tally.lines.n, 1);
        assert_string_equal(tally.lines.at[0].name, rows[i].name);
        assert_int_equal(tally.lines.at[0].kept, 1);
        tally_fini(&tally);
    }
}

/* A snapshot of any number of lines: no more are taken than are ever written. */
static void too_many_lines_are_left(void **state)
{
    struct tally tally;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 1 << 20);
    for (unsigned i = 0; i < 5000; i++)
        buf_put(&bytes, "\x02\x01\x00\x01\x00\x01x", 7);
    tally_init(&tally, NULL);
    tally_read(&tally, buf_str(&bytes));
    assert_true(tally.lines.n >= 1000 && tally.lines.n < 1100);
    tally_fini(&tally);
    buf_fini(&bytes);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {
        TEST(the_store_is_read_once_for_each_key),
        TEST(keys_that_shared_a_place_have_their_own),
        TEST(rules_at_hand_need_no_store),
        TEST(texts_that_say_nothing_leave_the_reason),
        TEST(keys_are_bounded),
        TEST(the_name_after_a_thousand_has_no_line_but_the_others_keep_theirs),
        TEST(long_names_are_whole),
        TEST(a_cut_character_is_left_out),
        TEST(too_many_lines_are_left),
        cmocka_unit_test(counts_by_reason_and_verdict),
        cmocka_unit_test(reads_what_was_written_and_goes_on),
        cmocka_unit_test(bad_bytes_are_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

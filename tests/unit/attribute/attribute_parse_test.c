/* What is a rule, and what is said about a text that is none. */
#include "spans.h"

#include <stdio.h>
#include <time.h>
#include "attribute/attribute_rules.h"

static const char *const accepted[] = {
    "insert a = 1", "insert span a = 1", "insert resource a = 1", "insert resource,span a = 1", "insert span , resource a = 1",
    "insert span,span a = 1", "\tinsert   a=1  ", "insert a=\"\"", "insert keys = 1", "insert pattern = 1", "insert not = 1",
    "insert exists = 1", "insert \"if\" = 1", "insert \"span\" = 1", "insert \"span.a\" = 1", "insert spanner = 1", "insert a = -1.25",
    "insert a = 1e9", "insert a = span.b", "insert a = span.\"b c\"", "insert a = resource.\"\"", "insert a = span.b.c-d_e",
    "update a = 1", "upsert a = 1", "delete a", "delete a,b , c", "delete delete", "rename a->b", "rename \"a\" -> \"b\"",
    "hash a", "hash resource a, b", "redact keys a", "redact span keys a, b.c", "redact resource pattern \"a\"",
    "redact pattern \"\\bx\\\"\"", "drop if span.a exists", "drop if not span.a exists", "drop if name = \"x\" and kind != \"server\"",
    "drop if status ~ \"ok|error\"", "delete resource a if service = \"x\"", "delete a if span.b >= -1.5",
    "delete a if span.b<1 and span.c>2", "delete a if resource.b = span.c", "delete resource a if resource.b = resource.c",
};

static void rules_are_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(accepted); i++) {
        struct mg_why why = { "" };
        struct attribute_rules *rules = rules_make(accepted[i], &why);
        if (!rules)
            fail_msg("%s: %s", accepted[i], why.text);
        assert_int_equal(rules->rules.n, 1);
        attribute_rules_unref(&rules);
        assert_null(rules);
    }
}

static const struct { const char *rule, *says; } refused[] = {
    { " ", "an empty rule" },
    { "remove a", "unknown action 'remove' (insert, update, upsert, delete, rename, hash, redact, drop)" },
    { "DELETE a", "unknown action 'DELETE'" },
    { "\"delete\" a", "unknown action 'delete'" },
    { "= a", "unknown action '='" },
    { "insert", "a key (in quotes, if it has other characters than letters, digits and . _ -) expected at the end" },
    { "insert span", "a key (in quotes, if it has other characters than letters, digits and . _ -) expected at the end" },
    { "insert span = 1", "expected at column 13, not '='" },
    { "insert a", "= and a value expected at the end" },
    { "insert a 1", "= and a value expected at column 10, not '1'" },
    { "insert a == 1", "a value (\"text\", 12, 1.5, true, span.KEY or resource.KEY) expected at column 11, not '='" },
    { "insert a =", "expected at the end" },
    { "insert a = b", "expected at column 12, not 'b'" },
    { "insert a = True", "expected at column 12, not 'True'" },
    { "insert a = 1x", "a number expected at column 12, not '1x'" },
    { "insert a = -", "a number expected at column 12, not '-'" },
    { "insert a = 9223372036854775808", "'9223372036854775808' does not fit into 64 bits" },
    { "insert a = -9223372036854775809", "does not fit into 64 bits" },
    { "insert a = \"x", "the quote at column 12 is not closed" },
    { "insert a = \"x\\\"", "the quote at column 12 is not closed" },
    { "insert a = \"x\\d\"", "unknown escape '\\d' in the quotes at column 12 (\\\" \\\\ \\n \\t)" },
    { "insert a = 1 b", "'if', or the end of the rule, expected at column 14, not 'b'" },
    { "insert a = 1, 2", "expected at column 13, not ','" },
    { "insert a, b = 1", "= and a value expected at column 9, not ','" },
    { "insert a = span.", "'span.' has no key behind its dot" },
    { "insert a = span. \"b\"", "'span.' has no key behind its dot" },
    { "insert resource a = span.b", "'span.b' as the value of a resource's key: a resource has many spans" },
    { "insert resource,span a = span.b", "a resource has many spans" },
    { "insert resource, a = 1", "'resource' or 'span' (such a key stands in quotes) expected at column 18, not 'a'" },
    { "insert span.a = 1", "'span.a' names a place and a key" },
    { "delete resource.a", "'resource.a' names a place and a key" },
    { "delete", "a key" },
    { "delete a b", "'if', or the end of the rule, expected at column 10, not 'b'" },
    { "delete a,", "a key" },
    { "delete a,,b", "expected at column 10, not ','" },
    { "delete if span.a exists", "a key (in quotes, if it has other characters than letters, digits and . _ -) expected at column 8, not 'if'" },
    { "delete a/b", "expected at column 9, not '/'" },
    { "delete \xc3\xa9", "expected at column 8, not '\xc3\xa9'" },
    { "delete \xc3\xa9\xc3\xa9 ?", "not '\xc3\xa9'" },
    { "delete \"\xc3\xa9\" ?", "expected at column 12, not '?'" },
    { "rename a", "-> and the new key expected at the end" },
    { "rename a b", "-> and the new key expected at column 10, not 'b'" },
    { "rename a = b", "-> and the new key expected at column 10, not '='" },
    { "rename a ->", "a key" },
    { "rename a -> a", "'a' is the old and the new key of a rename" },
    { "rename a -> b -> c", "expected at column 15, not '->'" },
    { "rename a, b -> c", "-> and the new key expected at column 9, not ','" },
    { "hash", "a key" },
    { "hash a = 1", "'if', or the end of the rule, expected at column 8, not '='" },
    { "redact", "'keys' or 'pattern' expected at the end" },
    { "redact a", "'keys' or 'pattern' expected at column 8, not 'a'" },
    { "redact span a", "'keys' or 'pattern' expected at column 13, not 'a'" },
    { "redact keys", "a key" },
    { "redact keys \"\"", "'' to redact has no last part: every key would match" },
    { "redact keys a.", "'a.' to redact has no last part" },
    { "redact pattern", "a regular expression in quotes expected at the end" },
    { "redact pattern a", "a regular expression in quotes expected at column 16, not 'a'" },
    { "redact pattern \"(\"", "\"(\": regular expression, byte 1: " },
    { "redact pattern \"(?=a)\"", "\"(?=a)\": regular expression, byte 0: look-around is not supported" },
    { "redact pattern \"(a)\\1\"", "back-references are not supported" },
    { "drop", "a condition ('drop if \xe2\x80\xa6') expected at the end" },
    { "drop span if name = \"x\"", "expected at column 6, not 'span'" },
    { "drop a", "expected at column 6, not 'a'" },
    { "drop if", "span.KEY, resource.KEY, service, name, kind or status expected at the end" },
    { "drop if a exists", "span.KEY, resource.KEY, service, name, kind or status expected at column 9, not 'a'" },
    { "drop if not", "span.KEY, resource.KEY, service, name, kind or status expected at the end" },
    { "drop if not not name = \"x\"", "expected at column 13, not 'not'" },
    { "drop if span.a", "exists, =, !=, <, <=, >, >= or ~ expected at the end" },
    { "drop if span.a is 1", "exists, =, !=, <, <=, >, >= or ~ expected at column 16, not 'is'" },
    { "drop if span.a exists span.b exists", "'and', or the end of the rule, expected at column 23, not 'span.b'" },
    { "drop if span.a exists or span.b exists", "'or' is not known: write a rule for each alternative" },
    { "drop if span.a exists and", "expected at the end" },
    { "drop if span.a < \"x\"", "a number expected at column 18, not 'x'" },
    { "drop if span.a < span.b", "a number expected at column 18, not 'span.b'" },
    { "drop if span.a ~ x", "a regular expression in quotes expected at column 18, not 'x'" },
    { "drop if span.a ~ \"[\"", "\"[\": regular expression" },
    { "drop if name exists", "=, != or ~ expected at column 14, not 'exists'" },
    { "drop if name < 1", "=, != or ~ expected at column 14, not '<'" },
    { "drop if name = 1", "a text in quotes expected at column 16, not '1'" },
    { "drop if service = span.a", "a text in quotes expected at column 19, not 'span.a'" },
    { "drop if kind = \"srever\"", "'srever' is no kind (unspecified, internal, server, client, producer, consumer)" },
    { "drop if status = \"ERROR\"", "'ERROR' is no status (unset, ok, error)" },
    { "delete resource a if span.b exists", "'span.b' in the condition of a rule for the resource: only resource keys and service are known there" },
    { "delete resource,span a if name = \"x\"", "'name' in the condition of a rule for the resource" },
    { "delete resource a if resource.b = span.c", "'resource.b' in the condition of a rule for the resource" },
    { "delete aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
      "not 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'" },
};

static void errors_name_the_rule_the_word_and_what_is_allowed(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(refused); i++) {
        struct mg_why why = { "" };
        char lines[400];
        size_t at;
        snprintf(lines, sizeof lines, "delete a\n%s\ndelete b", refused[i].rule);
        if (rules_make(lines, &why))
            fail_msg("accepted: %s", refused[i].rule);
        if (!str_starts(str_of(why.text), STR("ingest.rules 2: ")) || !str_find(str_of(why.text), str_of(refused[i].says), &at))
            fail_msg("%s\n  wanted: %s\n  got:    %s", refused[i].rule, refused[i].says, why.text);
        assert_null(rules_make(lines, NULL));
    }
}

static void no_rules_are_no_filter(void **state)
{
    struct conf_list none = { 0 };
    struct attribute_rules *rules = (struct attribute_rules *)&none;

    (void)state;
    assert_int_equal(attribute_rules_new(&rules, &none, NULL), MG_OK);
    assert_null(rules);
    attribute_rules_unref(&rules);
}

static void number_of_rules_at_below_and_above(void **state)
{
    static struct str list[RULES_MAX + 1];
    struct attribute_rules *rules = NULL;
    struct mg_why why;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(list); i++)
        list[i] = STR("delete a");
    for (size_t n = RULES_MAX - 1; n <= RULES_MAX + 1; n++) {
        struct conf_list rows = { list, n };
        enum mg_err err = attribute_rules_new(&rules, &rows, &why);
        assert_int_equal(err, n > RULES_MAX ? MG_E_FORMAT : MG_OK);
        if (err == MG_OK)
            assert_int_equal(rules->rules.n, n);
        attribute_rules_unref(&rules);
    }
    assert_string_equal(why.text, "ingest.rules: 257 rules, of which at most 256 are allowed");
}

static void a_pattern_too_long_is_refused(void **state)
{
    char lines[5000] = "redact pattern \"";
    struct mg_why why;

    (void)state;
    memset(lines + 16, 'a', 4097);
    lines[16 + 4097] = '"';
    assert_null(rules_make(lines, &why));
    assert_non_null(strstr(why.text, "of more than 4096 bytes"));
}

/* --- the work of long lists --- */

static const struct { const char *begin, *key, *between, *end; size_t keys_of_rule, terms_of_rule; } long_rules[] = {
    { "delete span ", "app.key_%05zu", ", ", "", 1, 0 },
    { "hash resource,span ", "\"app key %05zu\"", ", ", " if service = \"x\"", 1, 0 },
    { "redact keys ", "key_%05zu", ", ", "", 0, 0 },
    { "drop if ", "span.key_%05zu exists", " and ", "", 0, 1 },
    { "drop if ", "not resource.\"k %05zu\" = \"v\"", " and ", "", 0, 1 },
    /* Refused at the very end: what says where must not cost more than reading. */
    { "delete ", "key_%05zu", ", ", " =", 0, 0 },
    { "delete ", "key_%05zu", ", ", ", \"open", 0, 0 },
    { "drop if ", "span.key_%05zu exists", " and ", " or name = \"x\"", 0, 0 },
};

static char *long_rule(size_t row, size_t n)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    buf_put_text(&text, long_rules[row].begin);
    for (size_t i = 0; i < n; i++) {
        char key[48];
        snprintf(key, sizeof key, long_rules[row].key, i);
        buf_printf(&text, "%s%s", i ? long_rules[row].between : "", key);
    }
    buf_put_text(&text, long_rules[row].end);
    return buf_take(&text, NULL);
}

static uint64_t thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* not the time that other programs take */
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The least of a few attempts: what disturbs only adds. */
static uint64_t compile_ns(size_t row, size_t n)
{
    char *text = long_rule(row, n);
    struct str rule = str_of(text);
    struct conf_list list = { &rule, 1 };
    bool is_wrong = !long_rules[row].keys_of_rule && !long_rules[row].terms_of_rule && row != 2;
    uint64_t least = UINT64_MAX;

    for (int attempt = 0; attempt < 5; attempt++) {
        struct attribute_rules *rules = NULL;
        struct mg_why why = { "" };
        uint64_t before = thread_ns();
        enum mg_err err = attribute_rules_new(&rules, &list, &why);
        least = MG_MIN(least, thread_ns() - before);
        assert_int_equal(err, is_wrong ? MG_E_FORMAT : MG_OK);
        if (!is_wrong) {
            assert_int_equal(rules->rules.at[0].n_keys, n * long_rules[row].keys_of_rule);
            assert_true(rules->rules.at[0].n_terms >= n * long_rules[row].terms_of_rule);
        }
        attribute_rules_unref(&rules);
    }
    mem_free(text);
    return least;
}

/* Ten times the keys are ten times the work; by pairs it would be a hundred times. */
static void work_grows_with_the_keys_not_with_their_square(void **state)
{
    (void)state;
    for (size_t row = 0; row < MG_COUNT(long_rules); row++) {
        uint64_t few = compile_ns(row, 2000), many = compile_ns(row, 20000);
        if (many > 40 * few)
            fail_msg("'%s…': %zu us for 2,000 keys, %zu us for 20,000", long_rules[row].begin, (size_t)few / 1000, (size_t)many / 1000);
    }
}

static void equal_keys_have_one_bit_in_all_rules(void **state)
{
    struct attribute_rules *rules = rules_make("delete a, b, a\nrename b -> \"\"\nhash \"\", c if span.a exists", NULL);
    const struct rule *first = &rules->rules.at[0], *second = &rules->rules.at[1], *third = &rules->rules.at[2];

    (void)state;
    assert_int_equal(first->keys[0].bit, first->keys[2].bit);
    assert_int_equal(first->keys[1].bit, second->keys[0].bit);
    assert_int_equal(second->renamed.bit, third->keys[0].bit);
    assert_int_equal(third->terms[0].left.key.bit, first->keys[0].bit);
    assert_int_not_equal(first->keys[0].bit, first->keys[1].bit);
    assert_int_not_equal(third->keys[0].bit, third->keys[1].bit);
    attribute_rules_unref(&rules);
}

/* The column of an error counts characters, as far away as it may be. */
static void a_mistake_behind_many_keys_has_its_column(void **state)
{
    char *text = long_rule(1, 20000), want[128];
    struct buf rule;
    struct mg_why why = { "" };

    (void)state;
    buf_init(&rule, 1 << 20);
    buf_printf(&rule, "delete \"\xc3\xa9\", %s ?", text + strlen("hash resource,span "));
    snprintf(want, sizeof want, "ingest.rules 1: 'and', or the end of the rule, expected at column %zu, not '?'", rule.len - 1);
    struct str one = buf_str(&rule);
    struct attribute_rules *rules = NULL;
    assert_int_equal(attribute_rules_new(&rules, &(struct conf_list){ &one, 1 }, &why), MG_E_FORMAT);
    assert_string_equal(why.text, want);
    buf_fini(&rule);
    mem_free(text);
}

static void references_are_counted(void **state)
{
    struct attribute_rules *rules = rules_make("delete a", NULL), *more = attribute_rules_ref(rules);

    (void)state;
    assert_ptr_equal(rules, more);
    attribute_rules_unref(&rules);
    assert_null(rules);
    assert_int_equal(more->rules.n, 1);
    attribute_rules_unref(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_accepted),
        cmocka_unit_test(errors_name_the_rule_the_word_and_what_is_allowed),
        cmocka_unit_test(no_rules_are_no_filter),
        cmocka_unit_test(number_of_rules_at_below_and_above),
        cmocka_unit_test(a_pattern_too_long_is_refused),
        cmocka_unit_test(work_grows_with_the_keys_not_with_their_square),
        cmocka_unit_test(equal_keys_have_one_bit_in_all_rules),
        cmocka_unit_test(a_mistake_behind_many_keys_has_its_column),
        cmocka_unit_test(references_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The text of a generation, and the names in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "codec/json.h"
#include "unit/sample/trial.h"

static void assert_name(struct str text, unsigned number, const char *wanted)
{
    struct buf name;

    buf_init(&name, 1000);
    assert_int_equal(sample_text_name(text, number, &name), MG_OK);
    assert_true(str_eq(buf_str(&name), str_of(wanted)));
    buf_fini(&name);
}

static void the_text_names_policies_and_classes(void **state)
{
    const struct trial_rules from = { .policies = "[{name: 'a \"b\"', type: trace_flags}, {name: ü, type: always_sample}]",
                                      .classes = "[{name: probes, probability: 0.5, paths: [/probe]}]" };
    struct sample_rules *rules = trial_rules_new(&from);
    struct str text = sample_rules_text(rules);
    struct json *root = NULL;

    (void)state;
    assert_int_equal(json_parse(&root, text, NULL), MG_OK);
    assert_int_equal(json_kind(json_get(root, "text")), JSON_OBJECT);
    json_free(&root);
    assert_int_equal(sample_rules_policies(rules), 2);
    assert_int_equal(sample_rules_names(rules), 3);
    assert_name(text, 0, "");
    assert_name(text, 1, "a \"b\"");
    assert_name(text, 2, "ü");
    assert_name(text, 3, "probes");
    assert_name(text, 4, "");
    assert_name(text, 255, "");
    assert_true(str_eq(sample_rules_name(rules, 3), STR("probes")));
    assert_true(str_eq(sample_rules_name(rules, 0), STR("")));
    assert_true(str_eq(sample_rules_name(rules, 4), STR("")));
    sample_rules_unref(&rules);
}

static void other_texts_have_no_names(void **state)
{
    static const char *const texts[] = { "", "{", "[]", "{}", "{\"policies\":{}}", "{\"policies\":[\"a\"]}x", "null" };
    struct buf name;

    (void)state;
    buf_init(&name, 1000);
    for (size_t i = 0; i < MG_COUNT(texts); i++)
        assert_int_equal(sample_text_name(str_of(texts[i]), 1, &name), MG_E_FORMAT);
    buf_fini(&name);
}

static void equal_rules_have_equal_texts(void **state)
{
    static const struct { struct trial_rules a, b; bool is_equal; } rows[] = {
        { { .policies = "[{name: a, type: trace_flags}]" }, { .policies = "- name: a\n  type: trace_flags\n" }, true },
        { { .policies = "[{name: a, type: trace_flags}]" }, { .policies = "[{name: b, type: trace_flags}]" }, false },
        { { .policies = "[{name: a, type: trace_flags}]" }, { .policies = "[{name: a, type: trace_flags}]", .is_first_match = true }, false },
        { { .policies = "[{name: a, type: trace_flags}]" }, { .policies = "[{name: a, type: trace_flags}]", .floor_per_second = 1 }, false },
        { { .policies = "[]" }, { .policies = "[]" }, true },
        { { .classes = "[{name: a, probability: 0.5, paths: [/a]}]" }, { .classes = "[{name: a, probability: 0.25, paths: [/a]}]" }, false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct sample_rules *a = trial_rules_new(&rows[i].a), *b = trial_rules_new(&rows[i].b);
        assert_int_equal(str_eq(sample_rules_text(a), sample_rules_text(b)), rows[i].is_equal);
        sample_rules_unref(&a);
        sample_rules_unref(&b);
    }
}

static void the_text_is_at_most_a_mebibyte(void **state)
{
    struct sample_rules *rules = NULL;
    struct mg_why why = { "" };
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 22);
    buf_put_text(&text, "[{name: a, type: string_attribute, string_attribute: {key: k, values: [");
    for (unsigned i = 0; i < 120000; i++)
        buf_printf(&text, "value%u,", i);
    buf_put_text(&text, "]}}]");
    buf_put_char(&text, '\0');
    assert_int_equal(trial_rules_try(&rules, &(struct trial_rules){ .policies = text.ptr }, &why), MG_E_TOO_BIG);
    assert_string_equal(why.text, "sampling.policies and sampling.classes are larger than 1 MiB");
    buf_fini(&text);
}

static void rules_are_counted(void **state)
{
    struct sample_rules *rules = trial_rules_new(&(struct trial_rules){ .policies = "[{name: a, type: always_sample}]" });
    struct sample_rules *other = sample_rules_ref(rules);

    (void)state;
    assert_ptr_equal(rules, other);
    sample_rules_unref(&rules);
    assert_null(rules);
    assert_true(str_eq(sample_rules_name(other, 1), STR("a")));
    sample_rules_unref(&other);
    sample_rules_unref(&other); /* NULL is fine */
}

/* As many policies and classes as there may be: their numbers fit into an outcome's byte. */
static void every_name_has_a_number(void **state)
{
    struct sample_rules *rules;
    struct buf policies, classes;

    (void)state;
    buf_init(&policies, 1 << 20);
    buf_init(&classes, 1 << 20);
    for (unsigned i = 0; i < 200; i++)
        buf_printf(&policies, "- {name: p%u, type: trace_flags}\n", i);
    for (unsigned i = 0; i < 50; i++)
        buf_printf(&classes, "- {name: c%u, probability: 1, paths: [/c%u]}\n", i, i);
    buf_put_char(&policies, '\0');
    buf_put_char(&classes, '\0');
    rules = trial_rules_new(&(struct trial_rules){ .policies = policies.ptr, .classes = classes.ptr });
    assert_int_equal(sample_rules_names(rules), 250);
    assert_name(sample_rules_text(rules), 200, "p199");
    assert_name(sample_rules_text(rules), 201, "c0");
    assert_name(sample_rules_text(rules), 250, "c49");
    assert_name(sample_rules_text(rules), 251, "");
    sample_rules_unref(&rules);
    buf_fini(&policies);
    buf_fini(&classes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_names_policies_and_classes),
        cmocka_unit_test(other_texts_have_no_names),
        cmocka_unit_test(equal_rules_have_equal_texts),
        cmocka_unit_test(the_text_is_at_most_a_mebibyte),
        cmocka_unit_test(rules_are_counted),
        cmocka_unit_test(every_name_has_a_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Typed values out of a map, and the sentence for each that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "sample/section.h"

struct loaded { struct yaml_docs *docs; struct section section; };

static void load(const char *text, struct loaded *out)
{
    assert_int_equal(yaml_parse(&out->docs, str_of(text), "test", NULL), MG_OK);
    out->section = (struct section){ "s", yaml_doc(out->docs, 0) };
}

enum reader { COUNT, INTEGER, NUMBER, BOOL, SECONDS, TEXT, LIST, TEXTS };

static enum mg_err read_as(enum reader reader, const struct section *s, char shown[100], struct mg_why *why)
{
    uint64_t count = 77;
    int64_t integer = 77;
    double number = 77;
    bool is_true = true;
    struct str text = STR("77"), *texts;
    struct section_items items;
    struct arena arena = { 0 };
    enum mg_err err = MG_OK;
    size_t n;

    shown[0] = '\0';
    switch (reader) {
    case COUNT: err = section_count(s, "k", 2, 9, &count, why); snprintf(shown, 100, "%d", (int)count); break;
    case INTEGER: err = section_integer(s, "k", &integer, why); snprintf(shown, 100, "%d", (int)integer); break;
    case NUMBER: err = section_number(s, "k", -1, 1.5, &number, why); snprintf(shown, 100, "%g", number); break;
    case BOOL: err = section_bool(s, "k", &is_true, why); snprintf(shown, 100, "%d", is_true); break;
    case SECONDS: err = section_seconds(s, "k", 1, 60, &count, why); snprintf(shown, 100, "%llu", (unsigned long long)count); break;
    case TEXT: err = section_text(s, "k", &text, why); snprintf(shown, 100, "%.*s", STR_ARG(text)); break;
    case LIST:
        err = section_list(s, "k", &items, why);
        if (err == MG_OK)
            snprintf(shown, 100, "%d", (int)items.n);
        break;
    case TEXTS:
        err = section_texts(s, "k", &arena, &texts, &n, why);
        if (err == MG_OK)
            snprintf(shown, 100, "%.*s %d", STR_ARG(texts[n - 1]), (int)n);
        arena_fini(&arena);
        break;
    }
    return err;
}

static const struct { const char *yaml; enum reader reader; const char *value, *why; } rows[] = {
    { "k: 2", COUNT, "2", NULL },
    { "k: 9", COUNT, "9", NULL },
    { "z: 9", COUNT, "77", NULL },
    { "k: ", COUNT, "77", NULL },
    { "k: 1", COUNT, NULL, "s.k is 1, which is below 2" },
    { "k: 10", COUNT, NULL, "s.k is 10, which is above 9" },
    { "k: -3", COUNT, NULL, "s.k is -3, which is below 2" },
    { "k: x", COUNT, NULL, "s.k is 'x', not a whole number" },
    { "k: []", COUNT, NULL, "s.k is a list, not a whole number" },
    { "k: -5", INTEGER, "-5", NULL },
    { "k: 5.0", INTEGER, NULL, "s.k is '5.0', not a whole number" },
    { "k: {a: b}", INTEGER, NULL, "s.k is a map, not a whole number" },
    { "k: -1", NUMBER, "-1", NULL },
    { "k: 1.5", NUMBER, "1.5", NULL },
    { "k: 1.6", NUMBER, NULL, "s.k is 1.6, which is above 1.5" },
    { "k: -1.1", NUMBER, NULL, "s.k is -1.1, which is below -1" },
    { "k: one", NUMBER, NULL, "s.k is 'one', not a number" },
    { "k: false", BOOL, "0", NULL },
    { "k: true", BOOL, "1", NULL },
    { "k: 'true'", BOOL, NULL, "s.k is 'true', not true or false" },
    { "k: TRUE", BOOL, NULL, "s.k is 'TRUE', not true or false" },
    { "k: 1s", SECONDS, "1000000000", NULL },
    { "k: 1m", SECONDS, "60000000000", NULL },
    { "k: 999ms", SECONDS, NULL, "s.k is 999ms, which is not between 1s and 60s" },
    { "k: 61s", SECONDS, NULL, "s.k is 61s, which is not between 1s and 60s" },
    { "k: 15", SECONDS, NULL, "s.k is '15', not a duration such as 15s" },
    { "k: v", TEXT, "v", NULL },
    { "k: ''", TEXT, NULL, "s.k is empty" },
    { "k: [v]", TEXT, NULL, "s.k is a list, not a text" },
    { "z: v", TEXT, NULL, "s.k is missing" },
    { "k: [a, b]", LIST, "2", NULL },
    { "k: []", LIST, NULL, "s.k is empty" },
    { "k: a", LIST, NULL, "s.k is 'a', not a list" },
    { "k: ", LIST, NULL, "s.k is missing" },
    { "k: [a, 5]", TEXTS, "5 2", NULL },
    { "k: [a, '']", TEXTS, NULL, "s.k 2 is empty" },
    { "k: [a, [b]]", TEXTS, NULL, "s.k 2 is not a text" },
    { "k: [a, ]", TEXTS, "a 1", NULL },
    { "k: " "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", COUNT, NULL,
      "s.k is 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', not a whole number" },
};

static void values_are_read_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct loaded loaded;
        struct mg_why why = { "" };
        char shown[100];
        load(rows[i].yaml, &loaded);
        enum mg_err err = read_as(rows[i].reader, &loaded.section, shown, &why);
        assert_int_equal(err, rows[i].value ? MG_OK : MG_E_FORMAT);
        assert_string_equal(rows[i].value ? shown : why.text, rows[i].value ? rows[i].value : rows[i].why);
        yaml_docs_free(&loaded.docs);
    }
}

/* An item of a list has no name of its own: its keys stand as the file has them. */
static void keys_of_an_item_stand_alone(void **state)
{
    static const struct { const char *yaml; enum reader reader; const char *why; } items[] = {
        { "k: 1", COUNT, "k is 1, which is below 2" },
        { "k: []", TEXTS, "k is empty" },
        { "k: [a, '']", TEXTS, "k 2 is empty" },
        { "k: [a]", TEXT, "k is a list, not a text" },
        { "z: 1", TEXT, "k is missing" },
    };
    struct loaded loaded;
    struct mg_why why;
    char shown[100];

    (void)state;
    for (size_t i = 0; i < MG_COUNT(items); i++) {
        load(items[i].yaml, &loaded);
        loaded.section.name = "";
        assert_int_equal(read_as(items[i].reader, &loaded.section, shown, &why), MG_E_FORMAT);
        assert_string_equal(why.text, items[i].why);
        yaml_docs_free(&loaded.docs);
    }
    load("treshold: 5", &loaded);
    loaded.section.name = "";
    assert_int_equal(SECTION_KEYS(&loaded.section, &why, "threshold"), MG_E_FORMAT);
    assert_string_equal(why.text, "unknown key 'treshold'; did you mean 'threshold'?");
    yaml_docs_free(&loaded.docs);
}

static void unknown_keys_are_named(void **state)
{
    static const struct { const char *yaml, *why; } keys[] = {
        { "threshold: 5", NULL },
        { "threshold: 5\nupper: 6", NULL },
        { "treshold: 5", "unknown key 's.treshold'; did you mean 'threshold'?" },
        { "upper: 5\nlower: 5", "unknown key 's.lower' (threshold, upper)" },
        { "percentage: 5", "unknown key 's.percentage' (threshold, upper)" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(keys); i++) {
        struct loaded loaded;
        struct mg_why why = { "" };
        load(keys[i].yaml, &loaded);
        assert_int_equal(SECTION_KEYS(&loaded.section, &why, "threshold", "upper"), keys[i].why ? MG_E_FORMAT : MG_OK);
        assert_string_equal(why.text, keys[i].why ? keys[i].why : "");
        yaml_docs_free(&loaded.docs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_or_refused),
        cmocka_unit_test(keys_of_an_item_stand_alone),
        cmocka_unit_test(unknown_keys_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "codec/json.h"

#define assert_str(s, text) assert_true(str_eq((s), str_of(text)))

static void a_tree(void **state)
{
    (void)state;
    struct json *root = NULL;
    assert_int_equal(json_parse(&root,
                                STR("{\"s\":\"x\\u00e9\",\"i\":-5,\"n\":1.5,\"t\":true,\"f\":false,"
                                    "\"z\":null,\"a\":[1,\"two\",{}]}"),
                                NULL),
                     MG_OK);
    assert_int_equal(json_kind(root), JSON_OBJECT);
    assert_int_equal(json_count(root), 7);
    assert_str(json_str(json_get(root, "s")), "x\xc3\xa9");
    assert_int_equal(json_int(json_get(root, "i")), -5);
    assert_true(json_number(json_get(root, "i")) == -5);
    assert_true(json_number(json_get(root, "n")) == 1.5);
    assert_int_equal(json_kind(json_get(root, "n")), JSON_NUMBER);
    assert_int_equal(json_kind(json_get(root, "i")), JSON_INT);
    assert_true(json_bool(json_get(root, "t")));
    assert_false(json_bool(json_get(root, "f")));
    assert_int_equal(json_kind(json_get(root, "f")), JSON_BOOL);
    assert_int_equal(json_kind(json_get(root, "z")), JSON_NULL);
    const struct json *array = json_get(root, "a");
    assert_int_equal(json_kind(array), JSON_ARRAY);
    assert_int_equal(json_count(array), 3);
    assert_int_equal(json_int(json_at(array, 0)), 1);
    assert_str(json_str(json_at(array, 1)), "two");
    assert_int_equal(json_count(json_at(array, 2)), 0);
    assert_null(json_at(array, 3));
    json_free(&root);
    assert_null(root);
    json_free(&root);
}

/* The wrong kind, and nothing, answer with the neutral value. */
static void neutral_values(void **state)
{
    (void)state;
    struct json *root = NULL;
    assert_int_equal(json_parse(&root, STR(" [1.5, \"7\"] "), NULL), MG_OK);
    assert_null(json_get(root, "a"));
    assert_null(json_get(json_at(root, 0), "a"));
    assert_null(json_get(NULL, "a"));
    assert_null(json_at(json_at(root, 0), 0));
    assert_int_equal(json_int(json_at(root, 0)), 0);
    assert_int_equal(json_int(json_at(root, 1)), 0);
    assert_true(json_number(json_at(root, 1)) == 0);
    assert_false(json_bool(json_at(root, 0)));
    assert_false(json_bool(NULL));
    assert_str(json_str(json_at(root, 0)), "");
    assert_str(json_str(NULL), "");
    assert_int_equal(json_count(json_at(root, 0)), 0);
    json_free(&root);
}

static void members_in_their_order(void **state)
{
    (void)state;
    struct json *root = NULL;
    assert_int_equal(json_parse(&root, STR("{\"z\":1,\"a\":2,\"m\":3}"), NULL), MG_OK);
    void *iterator = NULL;
    struct str key;
    const struct json *value;
    static const char *const keys[] = {"z", "a", "m"};
    for (int i = 0; i < 3; i++) {
        assert_true(json_member(root, &iterator, &key, &value));
        assert_str(key, keys[i]);
        assert_int_equal(json_int(value), i + 1);
    }
    assert_false(json_member(root, &iterator, &key, &value));
    json_free(&root);
}

static void refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        " ",
        "{",
        "[1",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\":1,\"a\":2}",
        "{a:1}",
        "1 2",
        "nul",
        "\"\xff\"",
        "\"\\ud800\"",
        "\"\\u0000",
        "{\"\\u0000\":1}",
        "9223372036854775808",
        "1e999",
        "01",
        "'a'",
        "// c\n1",
        "\xef\xbb\xbf{}",
        "NaN",
        "\"a\nb\"",
    };
    for (size_t i = 0; i < MG_COUNT(wrong); i++) {
        struct json *root = NULL;
        struct mg_why why = {0};
        if (json_parse(&root, str_of(wrong[i]), &why) != MG_E_FORMAT)
            fail_msg("accepted: %s", wrong[i]);
        assert_null(root);
        assert_true(strncmp(why.text, "line ", 5) == 0);
    }
    struct json *root = NULL;
    struct mg_why why;
    assert_int_equal(json_parse(&root, STR("{\n  \"a\": x}"), &why), MG_E_FORMAT);
    assert_non_null(strstr(why.text, "line 2"));
    assert_int_equal(json_parse(&root, (struct str){0}, NULL), MG_E_FORMAT);
    assert_int_equal(json_parse(&root, str_n("{}\0", 3), NULL), MG_E_FORMAT);
    assert_int_equal(json_parse(&root, str_n("{}\0garbage", 10), &why), MG_E_FORMAT);
    assert_non_null(strstr(why.text, "NUL"));
}

static void depth_at_below_and_above(void **state)
{
    (void)state;
    for (int objects = 0; objects < 2; objects++) {
        for (unsigned depth = 63; depth <= 65; depth++) {
            struct buf text;
            buf_init(&text, 1000);
            for (unsigned i = 0; i < depth; i++)
                buf_put_text(&text, objects ? "{\"k\":" : "[");
            buf_put_text(&text, "1");
            for (unsigned i = 0; i < depth; i++)
                buf_put_char(&text, objects ? '}' : ']');
            struct json *root = NULL;
            assert_int_equal(json_parse(&root, buf_str(&text), NULL),
                             depth > 64 ? MG_E_FORMAT : MG_OK);
            json_free(&root);
            buf_fini(&text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree),
        cmocka_unit_test(neutral_values),
        cmocka_unit_test(members_in_their_order),
        cmocka_unit_test(refused),
        cmocka_unit_test(depth_at_below_and_above),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/http.h"
#include "http/query_string.h"

static const struct {
    const char *query;
    const char *pairs; /* what came before the end or the fault */
    bool bad;
} queries[] = {
    { "", "", false },
    { "&", "", false },
    { "a=1", "[a|1]", false },
    { "a=1&b=2&", "[a|1][b|2]", false },
    { "&&a=1&&b=2", "[a|1][b|2]", false },
    { "a", "[a|]", false },
    { "a=", "[a|]", false },
    { "=", "[|]", false },
    { "=v", "[|v]", false },
    { "a=b=c", "[a|b=c]", false },
    { "a=1&a=2", "[a|1][a|2]", false },
    { "a;b=1", "[a;b|1]", false },
    { "q=x+y%2Bz", "[q|x y+z]", false },
    { "%61%3D=%26", "[a=|&]", false },
    { "k+k=%e2%82%ac", "[k k|\xe2\x82\xac]", false },
    { "tags=%7B%22error%22%3A%22true%22%7D", "[tags|{\"error\":\"true\"}]", false },
    { "a=%2525", "[a|%25]", false },
    { "%", "", true },
    { "a=%", "", true },
    { "a=%4", "", true },
    { "a=%4&b=1", "", true },
    { "a=1&b=%zz&c=3", "[a|1]", true },
    { "a=1&%g1=b", "[a|1]", true },
    { "a=%-1", "", true },
    { "a=% 1", "", true },
    { "a=%+1", "", true },
};

static void reads_pairs(void **state)
{
    (void)state;
    struct buf scratch, text;
    buf_init(&scratch, 256);
    buf_init(&text, 256);

    for (size_t i = 0; i < MG_COUNT(queries); i++) {
        struct str rest = str_of(queries[i].query), key, value;
        bool bad;
        buf_clear(&text);
        while (http_query_next(&rest, &scratch, &key, &value, &bad))
            buf_printf(&text, "[%.*s|%.*s]", STR_ARG(key), STR_ARG(value));
        buf_put_char(&text, '\0');
        assert_string_equal(text.ptr, queries[i].pairs);
        assert_int_equal(bad, queries[i].bad);
    }
    buf_fini(&scratch);
    buf_fini(&text);
}

static void respects_the_scratch_limit(void **state)
{
    (void)state;
    struct str key, value;
    struct buf scratch;
    bool bad;

    buf_init(&scratch, 4);
    struct str rest = STR("long=plain-needs-no-room&a=%41+");
    assert_true(http_query_next(&rest, &scratch, &key, &value, &bad));
    assert_false(http_query_next(&rest, &scratch, &key, &value, &bad)); /* 1 + 4 bytes encoded */
    assert_true(bad);
    rest = STR("a=%41");
    assert_true(http_query_next(&rest, &scratch, &key, &value, &bad));
    assert_true(str_eq(value, STR("A")));
    buf_fini(&scratch);
}

static void decodes_in_place(void **state)
{
    (void)state;
    char text[] = "%41+%42";
    size_t len;

    assert_int_equal(percent_decode(str_of(text), false, text, &len), MG_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(text, "A+B", 3);
    assert_int_equal(percent_decode(STR(""), false, text, &len), MG_OK);
    assert_int_equal(len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_pairs),
        cmocka_unit_test(respects_the_scratch_limit),
        cmocka_unit_test(decodes_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

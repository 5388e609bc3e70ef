#include "spans.h"
#include "api/jaeger/tags.h"
#include "base/vec.h"

static struct str written(const struct tag_list *tags)
{
    struct buf out, text;
    struct json_writer w;

    buf_init(&out, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    json_writer_init(&w, &out, 0);
    json_array(&w);
    for (size_t i = 0; i < tags->n; i++)
        tag_write(&w, &tags->at[i], &text);
    json_array_end(&w);
    buf_fini(&text);
    return keep(&out);
}

static void fill(struct tag_list *tags, const struct attr *attrs, size_t n)
{
    VEC_CLEAR(tags);
    for (size_t i = 0; i < n; i++)
        tag_list_add(tags, &attrs[i]);
}

#define KV(type, value) "[{\"key\":\"k\",\"type\":\"" type "\",\"value\":" value "}]"

static const struct {
    struct attr attr;
    const char *want;
} values[] = {
    {A_STR("k", "v"), KV("string", "\"v\"")},
    {A_STR("k", ""), KV("string", "\"\"")},
    {A_STR("k", "\"\n\xff"), KV("string", "\"\\\"\\n\xef\xbf\xbd\"")},
    {A_BOOL("k", true), KV("bool", "true")},
    {A_BOOL("k", false), KV("bool", "false")},
    {A_INT("k", -5), KV("int64", "-5")},
    {A_INT("k", 9007199254740991), KV("int64", "9007199254740991")},
    {A_INT("k", -9007199254740991), KV("int64", "-9007199254740991")},
    {A_INT("k", 9007199254740992), KV("int64", "\"9007199254740992\"")},
    {A_INT("k", -9007199254740992), KV("int64", "\"-9007199254740992\"")},
    {A_INT("k", INT64_MAX), KV("int64", "\"9223372036854775807\"")},
    {A_INT("k", INT64_MIN), KV("int64", "\"-9223372036854775808\"")},
    {A_DOUBLE("k", 3.14), KV("float64", "3.14")},
    {A_DOUBLE("k", 3), KV("float64", "3")},
    {A_DOUBLE("k", 1e300), KV("float64", "1e+300")},
    {A_DOUBLE("k", __builtin_nan("")), KV("float64", "\"NaN\"")},
    {A_DOUBLE("k", __builtin_inf()), KV("float64", "\"Infinity\"")},
    {A_DOUBLE("k", -__builtin_inf()), KV("float64", "\"-Infinity\"")},
    {A_BYTES("k", "\x00\xff"), KV("binary", "\"AP8=\"")},
    {A_BYTES("k", ""), KV("binary", "\"\"")},
    {A_EMPTY("k"), KV("string", "\"\"")},
    {A_ARRAY("k", "\x0a\x03\x0a\x01x\x0a\x02\x18\x02"), KV("string", "\"[\\\"x\\\",2]\"")},
    {A_ARRAY("k", ""), KV("string", "\"[]\"")},
    {A_MAP("k", "\x0a\x09\x0a\x01y\x12\x04\x0a\x02zz"), KV("string", "\"{\\\"y\\\":\\\"zz\\\"}\"")},
    {A_OTHER("k", "\x0a\x01k\x12\x02\x18\x07\xa8\x01\x05"), KV("int64", "7")},
    {A_OTHER("k", "\x0a\x01k"), KV("string", "\"\"")},
    {A_OTHER("k", "\xff"), KV("string", "\"\"")},
};

static void every_type(void **state)
{
    struct tag_list tags = {0};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(values); i++) {
        fill(&tags, &values[i].attr, 1);
        struct str got = written(&tags);
        if (!str_eq(got, str_of(values[i].want)))
            fail_msg("%zu: %.*s", i, STR_ARG(got));
    }
    tag_list_fini(&tags);
}

/* Lists, and what is written of them after adjusting. */
static const struct {
    struct attr attrs[6];
    size_t n;
    const char *want;
} lists[] = {
    {{A_STR("", "")}, 0, "[]"},
    {{A_INT("b", 1), A_INT("a", 2), A_INT("B", 3)},
     3,
     "[{\"key\":\"B\",\"type\":\"int64\",\"value\":3},{\"key\":\"a\",\"type\":\"int64\",\"value\":"
     "2},"
     "{\"key\":\"b\",\"type\":\"int64\",\"value\":1}]"},
    {{A_INT("k", 2), A_INT("k", 1), A_STR("k", "1"), A_INT("k", 2), A_INT("k", 1)},
     5,
     "[{\"key\":\"k\",\"type\":\"int64\",\"value\":2},{\"key\":\"k\",\"type\":\"int64\",\"value\":"
     "1},"
     "{\"key\":\"k\",\"type\":\"string\",\"value\":\"1\"}]"},
    {{A_EMPTY("k"), A_EMPTY("k"), A_STR("k", "")},
     3,
     "[{\"key\":\"k\",\"type\":\"string\",\"value\":\"\"},{\"key\":\"k\",\"type\":\"string\","
     "\"value\":\"\"}]"},
    {{A_INT("ip", 2130706433)},
     1,
     "[{\"key\":\"ip\",\"type\":\"string\",\"value\":\"127.0.0.1\"}]"},
    {{A_INT("peer.ipv4", -1)},
     1,
     "[{\"key\":\"peer.ipv4\",\"type\":\"string\",\"value\":\"255.255.255.255\"}]"},
    {{A_DOUBLE("ip", 4294967295.0)},
     1,
     "[{\"key\":\"ip\",\"type\":\"string\",\"value\":\"255.255.255.255\"}]"},
    {{A_DOUBLE("ip", 4294967296.0)},
     1,
     "[{\"key\":\"ip\",\"type\":\"float64\",\"value\":4294967296}]"},
    {{A_DOUBLE("ip", -1)}, 1, "[{\"key\":\"ip\",\"type\":\"float64\",\"value\":-1}]"},
    {{A_STR("ip", "1"), A_INT("peer.ipv6", 1)},
     2,
     "[{\"key\":\"ip\",\"type\":\"string\",\"value\":\"1\"},{\"key\":\"peer.ipv6\",\"type\":"
     "\"int64\",\"value\":1}]"},
    {{A_STR("k", "\xff")}, 1, "[{\"key\":\"k\",\"type\":\"binary\",\"value\":\"/w==\"}]"},
    {{A_STR("\xff", "v"), A_INT("\xfe", 7), A_BOOL("a", true)},
     3,
     "[{\"key\":\"a\",\"type\":\"bool\",\"value\":true},"
     "{\"key\":\"invalid-tag-key-1\",\"type\":\"binary\",\"value\":\"/zp2\"},"
     "{\"key\":\"invalid-tag-key-2\",\"type\":\"binary\",\"value\":\"/jo3\"}]"},
    {{A_STR("\xc3\xa4", "\xc3\xa4")},
     1,
     "[{\"key\":\"\xc3\xa4\",\"type\":\"string\",\"value\":\"\xc3\xa4\"}]"},
};

static void adjusted_lists(void **state)
{
    struct tag_list tags = {0};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(lists); i++) {
        fill(&tags, lists[i].attrs, lists[i].n);
        tag_list_adjust(&tags, true, &spans_arena);
        struct str got = written(&tags);
        if (!str_eq(got, str_of(lists[i].want)))
            fail_msg("%zu: %.*s", i, STR_ARG(got));
    }
    tag_list_fini(&tags);
}

static void addresses_only_when_asked(void **state)
{
    struct tag_list tags = {0};

    (void)state;
    fill(&tags, ATTRS(A_INT("ip", 1)));
    tag_list_adjust(&tags, false, &spans_arena);
    assert_int_equal(tags.at[0].value.type, VALUE_INT);
    tag_list_fini(&tags);
}

static void digests_do_not_know_order(void **state)
{
    static const struct attr one[] = {A_INT("a", 1), A_STR("b", "1"), A_INT("a", 2)};
    static const struct attr two[] = {A_INT("a", 2), A_INT("a", 1), A_STR("b", "1")};
    static const struct attr other[] = {A_INT("a", 2), A_INT("a", 1), A_BYTES("b", "1")};
    struct tag_list tags = {0};

    (void)state;
    fill(&tags, one, 3);
    uint64_t want = tag_list_digest(&tags);
    fill(&tags, two, 3);
    assert_true(tag_list_digest(&tags) == want);
    fill(&tags, other, 3);
    assert_false(tag_list_digest(&tags) == want);
    fill(&tags, one, 2);
    assert_false(tag_list_digest(&tags) == want);
    tag_list_fini(&tags);
}

static void messages_up_to_what_is_malformed(void **state)
{
    struct tag_list tags = {0};

    (void)state;
    tag_list_add_message(&tags,
                         STR("\x1a\x07\x0a\x01"
                             "a\x12\x02\x18\x01\x08\x01\x1a\x03\x0a\x01"
                             "b\x1a\x7f"),
                         3);
    assert_int_equal(tags.n, 2);
    assert_true(str_eq(tags.at[1].key, STR("b")));
    tag_list_fini(&tags);
}

/* Keys by the thousand, all the same: linear, and each value once. */
static void many_values_of_one_key(void **state)
{
    struct tag_list tags = {0};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct attr attr = A_INT("k", i / 2);
        tag_list_add(&tags, &attr);
    }
    tag_list_adjust(&tags, true, &spans_arena);
    assert_int_equal(tags.n, 10000);
    assert_int_equal(tags.at[9999].value.i, 9999);
    tag_list_fini(&tags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test(adjusted_lists),
        cmocka_unit_test(addresses_only_when_asked),
        cmocka_unit_test(digests_do_not_know_order),
        cmocka_unit_test(messages_up_to_what_is_malformed),
        cmocka_unit_test(many_values_of_one_key),
    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}

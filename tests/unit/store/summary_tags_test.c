/* What is told of keys, texts and numbers, what is concluded from it, and its bytes (FORMAT.md 4, tag 12). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/hash.h"
#include "model/otlp_write.h"
#include "store/summary_tags.h"

enum { HEAD = 5, KEY = 21, TEXTS_MAX = 8192 * 64 / 12 };
#define INF __builtin_inf()
#define NOT_A_NUMBER __builtin_nan("")

static bool may(struct str content, struct filter_tag tag)
{
    struct span_filter filter = { .tags = &tag, .n_tags = 1 };

    return told_may_match(content, &filter);
}

static bool may_equal(struct str content, const char *key, struct str value)
{
    return may(content, (struct filter_tag){ .key = str_of(key), .value = value });
}

static void tell(struct told *told, const char *key, const char *text)
{
    told_put_text(told, told_put_key(told, str_of(key)), str_of(text));
}

static void tell_ints(struct told *told, const char *key, const int64_t *values, size_t n)
{
    told_put_numbers(told, told_put_key(told, str_of(key)), VALUE_INT, (const uint64_t *)values, n);
}

static void tell_doubles(struct told *told, const char *key, const double *values, size_t n)
{
    uint64_t bits[8];

    memcpy(bits, values, n * sizeof *values);
    told_put_numbers(told, told_put_key(told, str_of(key)), VALUE_DOUBLE, bits, n);
}

static void open_key(struct told *told, const char *key, unsigned flags)
{
    told_open_key(told, told_put_key(told, str_of(key)), flags);
}

/* --- what is concluded ------------------------------------------------------------------------ */
static void tell_all(struct told *told)
{
    static const uint64_t yes[] = { 1, 1 }, both[] = { 0, 1 };

    tell(told, "method", "GET");
    tell(told, "method", "POST");
    tell(told, "size", "10");
    tell(told, "size", "2.5e2");
    tell(told, "size", "many");
    tell(told, "bad", "a\xff");
    tell(told, "empty", "");
    tell(told, "error", "broken");
    tell(told, "host", "h1");
    tell(told, "resource.host", "h2");
    told_put_numbers(told, told_put_key(told, STR("yes")), VALUE_BOOL, yes, 2);
    told_put_numbers(told, told_put_key(told, STR("both")), VALUE_BOOL, both, 2);
    tell_ints(told, "code", (int64_t[]){ 503, 200, 404 }, 3);
    tell_ints(told, "signed", (int64_t[]){ 5, -7 }, 2);
    tell_ints(told, "huge", (int64_t[]){ INT64_MIN, INT64_MAX }, 2);
    tell_ints(told, "odd", (int64_t[]){ 9007199254740993 }, 1); /* between two doubles */
    tell_doubles(told, "ratio", (double[]){ 0.5, 0.25 }, 2);
    tell_doubles(told, "zero", (double[]){ -0.0 }, 1);
    tell_doubles(told, "nan", (double[]){ NOT_A_NUMBER }, 1);
    tell_doubles(told, "infinite", (double[]){ 1, -INF }, 2);
    open_key(told, "open", TOLD_OPEN);
    open_key(told, "json", TOLD_TEXT_OPEN);
    told_put_numbers(told, told_put_key(told, STR("none")), VALUE_INT, NULL, 0);
}

static void absent_keys_and_values_are_told_from_present_ones(void **state)
{
    static const struct { const char *key, *value; bool want; } cases[] = {
        { "method", "GET", true }, { "method", "POST", true }, { "method", "PUT", false }, { "method", "get", false },
        { "method", "", false }, { "method", "GET ", false }, { "Method", "GET", false }, { "", "GET", false }, { "GET", "method", false },
        { "size", "10", true }, { "size", "2.5e2", true }, { "size", "many", true }, { "size", "250", false }, { "size", "20", false },
        { "bad", "a\xef\xbf\xbd", true }, { "bad", "whatever", true }, /* compared when it is sanitised */
        { "empty", "", true }, { "empty", "x", false },
        { "yes", "true", true }, { "yes", "false", false }, { "yes", "1", false },
        { "both", "true", true }, { "both", "false", true }, { "both", "TRUE", false },
        { "code", "200", true }, { "code", "503", true }, { "code", "300", true }, { "code", "3e2", true }, /* in the range: it may be */
        { "code", "199", false }, { "code", "504", false }, { "code", "OK", false }, { "code", "", false }, { "code", "-200", false },
        { "signed", "-7", true }, { "signed", "5", true }, { "signed", "6", false }, { "signed", "-8", false },
        { "huge", "-9223372036854775808", true }, { "huge", "9223372036854775807", true }, { "huge", "NaN", false },
        { "odd", "9007199254740993", true }, { "odd", "9007199254740999", false },
        { "ratio", "0.5", true }, { "ratio", "0.25", true }, { "ratio", "0.75", false }, { "ratio", "NaN", false }, { "ratio", "Infinity", false },
        { "zero", "-0", true }, { "zero", "0", true }, { "zero", "1", false },
        { "nan", "NaN", true }, { "nan", "1", true }, { "infinite", "-Infinity", true }, { "infinite", "1", true },
        { "open", "x", true }, { "open", "7", true }, { "json", "[]", true }, { "json", "7", true },
        { "none", "0", false }, { "none", "", false },
        { "host", "h1", true }, { "host", "h2", false }, { "resource.host", "h1", true }, { "resource.host", "h2", true },
        { "resource.host", "h3", false }, { "resource.method", "GET", true }, { "resource.none.such", "GET", false }, { "resource.", "GET", false },
        { "resourc", "h1", false }, { "resource.resource.host", "h2", true }, { "resource.resource.host", "h1", false },
        /* Derived tags: nothing is concluded, even of keys that are no attribute's. */
        { "error", "true", true }, { "error", "nonsense", true }, { "span.kind", "server", true }, { "span.status", "ok", true },
        { "otel.status_code", "OK", true }, { "otel.status_description", "x", true }, { "otel.scope.name", "x", true }, { "scope.name", "x", true },
        { "otel.scope.version", "x", true }, { "scope.version", "x", true }, { "w3c.tracestate", "x", true },
        { "span.kinds", "server", false }, { "otel.status", "OK", false }, { "scope", "x", false }, { "tracestate", "x", false },
    };
    struct told *told = told_new();
    struct buf out;
    unsigned positive = 0;

    (void)state;
    buf_init(&out, 1 << 20);
    tell_all(told);
    told_write(told, &out);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        if (may_equal(buf_str(&out), cases[i].key, str_of(cases[i].value)) != cases[i].want)
            fail_msg("%s=%s", cases[i].key, cases[i].value);
        positive += cases[i].want;
    }
    assert_true(positive <= MG_COUNT(cases) * 3 / 5);
    buf_fini(&out);
    told_free(&told);
}

static void numbers_outside_the_range_are_told(void **state)
{
    static const struct { const char *key; enum filter_op op; double number; bool want; } cases[] = {
        { "code", TAG_LESS, 201, true }, { "code", TAG_LESS, 200, false }, { "code", TAG_AT_MOST, 200, true }, { "code", TAG_AT_MOST, 199.5, false },
        { "code", TAG_MORE, 502, true }, { "code", TAG_MORE, 503, false }, { "code", TAG_AT_LEAST, 503, true }, { "code", TAG_AT_LEAST, 503.5, false },
        { "code", TAG_IS, 200, true }, { "code", TAG_IS, 201.5, true }, { "code", TAG_IS, 199, false }, { "code", TAG_IS, 504, false },
        { "size", TAG_IS, 10, true }, { "size", TAG_IS, 250, true }, { "size", TAG_AT_LEAST, 250, true }, { "size", TAG_MORE, 250, false },
        { "size", TAG_LESS, 10, false }, { "ratio", TAG_LESS, 0.25, false }, { "ratio", TAG_AT_MOST, 0.25, true }, { "ratio", TAG_IS, 1, false },
        { "zero", TAG_IS, 0, true }, { "zero", TAG_LESS, 0, false }, { "zero", TAG_MORE, 0, false }, { "signed", TAG_LESS, -6, true },
        { "signed", TAG_LESS, -7, false }, { "huge", TAG_IS, 9223372036854775807.0, true }, { "huge", TAG_MORE, 9223372036854775808.0, false },
        { "odd", TAG_IS, 9007199254740992.0, true }, { "odd", TAG_IS, 9007199254740994.0, false },
        { "nan", TAG_LESS, 1, true }, { "infinite", TAG_LESS, -1e300, true }, { "infinite", TAG_MORE, 1e300, true }, { "open", TAG_IS, 5, true },
        { "json", TAG_IS, 5, false }, { "json", TAG_LESS, INF, false }, { "method", TAG_AT_LEAST, 0, false }, { "bad", TAG_LESS, 0, false },
        { "yes", TAG_IS, 1, false }, { "empty", TAG_IS, 0, false }, { "none", TAG_IS, 0, false }, { "error", TAG_IS, 1, false },
        { "span.kind", TAG_IS, 2, false }, { "code", TAG_IS, NOT_A_NUMBER, false },
        { "code", TAG_EXISTS, 0, true }, { "none", TAG_EXISTS, 0, true }, { "json", TAG_EXISTS, 0, true }, { "resource.code", TAG_EXISTS, 0, true },
        { "codes", TAG_EXISTS, 0, false }, { "cod", TAG_EXISTS, 0, false }, { "", TAG_EXISTS, 0, false }, { "span.kind", TAG_EXISTS, 0, false },
        { "resource.code", TAG_MORE, 503, false }, { "resource.code", TAG_MORE, 502, true },
    };
    struct told *told = told_new();
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    tell_all(told);
    told_write(told, &out);
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        if (may(buf_str(&out), (struct filter_tag){ .key = str_of(cases[i].key), .op = cases[i].op, .number = cases[i].number }) != cases[i].want)
            fail_msg("case %zu: %s op %d %g", i, cases[i].key, cases[i].op, cases[i].number);
    buf_fini(&out);
    told_free(&told);
}

static void every_tag_of_a_filter_must_be_possible(void **state)
{
    const struct filter_tag get = { .key = STR("method"), .value = STR("GET") }, put = { .key = STR("method"), .value = STR("PUT") };
    const struct filter_tag kinds[][2] = { { get, get }, { get, put }, { put, get }, { put, put } };
    struct told *told = told_new();
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    tell_all(told);
    told_write(told, &out);
    for (size_t i = 0; i < MG_COUNT(kinds); i++) {
        struct span_filter filter = { .tags = kinds[i], .n_tags = 2 };
        assert_int_equal(told_may_match(buf_str(&out), &filter), i == 0);
        filter.n_tags = 0;
        assert_true(told_may_match(buf_str(&out), &filter));
    }
    buf_fini(&out);
    told_free(&told);
}

/* --- resources and scopes --------------------------------------------------------------------- */
static void put_attr(struct buf *out, uint32_t field, const char *key, struct value value)
{
    struct attr attr = { str_of(key), value };

    otlp_put_attr(out, field, &attr);
}

static void put_values(struct buf *out, uint32_t field)
{
    put_attr(out, field, "text", (struct value){ .type = VALUE_STRING, .str = STR("a") });
    put_attr(out, field, "int", (struct value){ .type = VALUE_INT, .i = -3 });
    put_attr(out, field, "double", (struct value){ .type = VALUE_DOUBLE, .d = 1.5 });
    put_attr(out, field, "bool", (struct value){ .type = VALUE_BOOL, .b = true });
    put_attr(out, field, "empty", (struct value){ .type = VALUE_EMPTY });
    put_attr(out, field, "bytes", (struct value){ .type = VALUE_BYTES, .str = STR("a") });
    put_attr(out, field, "list", (struct value){ .type = VALUE_ARRAY, .raw = STR("") });
}

static void check_values(struct str content, bool is_there)
{
    static const struct { const char *key, *value; } present[] = { { "text", "a" }, { "int", "-3" }, { "double", "1.5" }, { "bool", "true" },
                                                                   { "empty", "" }, { "bytes", "YQ==" }, { "list", "[]" } };
    static const struct { const char *key, *value; } absent[] = { { "text", "b" }, { "int", "3" }, { "double", "1" }, { "bool", "false" },
                                                                  { "empty", "null" }, { "txt", "a" }, { "service.name", "a" } };

    for (size_t i = 0; i < MG_COUNT(present); i++)
        assert_int_equal(may_equal(content, present[i].key, str_of(present[i].value)), is_there);
    for (size_t i = 0; i < MG_COUNT(absent); i++)
        assert_false(may_equal(content, absent[i].key, str_of(absent[i].value)));
}

/* A resource message with the attributes as field 1, a scope with them as field 3; each taken for the other has none of them. */
static void resources_and_scopes_are_looked_into(void **state)
{
    static const struct { uint32_t field; bool as_scope, want; } cases[] = { { 1, false, true }, { 3, true, true }, { 3, false, false } };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct told *told = told_new();
        struct buf blob, out;
        buf_init(&blob, 4096);
        buf_init(&out, 4096);
        size_t message = wire_open(&blob, 1);
        put_values(&blob, cases[i].field);
        wire_close(&blob, message);
        (cases[i].as_scope ? told_put_scope : told_put_resource)(told, buf_str(&blob));
        told_write(told, &out);
        check_values(buf_str(&out), cases[i].want);
        buf_fini(&blob);
        buf_fini(&out);
        told_free(&told);
    }
}

static void a_blob_that_cannot_be_read_opens_everything(void **state)
{
    static const struct { struct str blob; bool as_scope, want; } cases[] = {
        { STR_INIT("\x0a\x02\x0a\x05"), false, true },         /* an attribute that is cut */
        { STR_INIT("\x0a\x04\x0a\x02\x0a\x09"), false, true }, /* a key that is cut */
        { STR_INIT("\x0a\x02\x08\x01"), false, true },         /* an attribute that is a number */
        { STR_INIT("\x0a\x02\x1a\x05"), true, true },
        { STR_INIT("\x0a\x09\x0a\x05"), false, false },        /* no message at all: nobody looks into it */
        { STR_INIT("\xff"), false, false },
        { STR_INIT("\xff"), true, false },
        { STR_INIT(""), false, false },
        { STR_INIT(""), true, false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct told *told = told_new();
        struct buf out;
        buf_init(&out, 4096);
        tell(told, "method", "GET");
        (cases[i].as_scope ? told_put_scope : told_put_resource)(told, cases[i].blob);
        told_write(told, &out);
        assert_int_equal(may_equal(buf_str(&out), "method", STR("PUT")), cases[i].want);
        assert_true(may_equal(buf_str(&out), "method", STR("GET")));
        buf_fini(&out);
        told_free(&told);
    }
}

/* --- the bytes -------------------------------------------------------------------------------- */
static void the_bytes_are_those_of_the_format(void **state)
{
    struct told *told = told_new();
    struct buf out;
    double number;

    (void)state;
    buf_init(&out, 4096);
    tell(told, "k", "7");
    told_write(told, &out);
    const uint8_t *at = (const uint8_t *)out.ptr;
    uint64_t key = hash64("k", 1, 6), h = hash64("7", 1, key), bits = 0;
    assert_int_equal(out.len, HEAD + KEY + 8);
    assert_int_equal(at[0], 0);
    assert_int_equal(get_le32(at + 1), 1);
    assert_int_equal(get_le32(at + HEAD), key >> 32);
    assert_int_equal(at[HEAD + 4], 4); /* numbers, all of them in the filter */
    for (int i = 0; i < 2; i++) {
        memcpy(&number, at + HEAD + 5 + 8 * i, 8);
        assert_true(number == 7);
    }
    for (int i = 0; i < 4; i++)
        bits |= UINT64_C(1) << (h >> (6 * i) & 63);
    assert_int_equal(get_le64(at + HEAD + KEY), bits);
    buf_clear(&out);
    told_write(told, &out); /* nothing */
    assert_int_equal(out.len, HEAD);
    assert_memory_equal(out.ptr, "\0\0\0\0\0", HEAD);
    tell(told, "k", "7");
    told_open_all(told);
    buf_clear(&out);
    told_write(told, &out);
    assert_int_equal(out.len, HEAD);
    assert_memory_equal(out.ptr, "\1\0\0\0\0", HEAD);
    assert_true(may_equal(buf_str(&out), "no such key", STR("x")));
    buf_fini(&out);
    told_free(&told);
}

static void order_and_repeats_do_not_show(void **state)
{
    struct told *told = told_new();
    struct buf first, again;
    struct random random;

    (void)state;
    buf_init(&first, 1 << 20);
    buf_init(&again, 1 << 20);
    random_init(&random, 5);
    tell_all(told);
    tell_doubles(told, "zero", (double[]){ 0.0 }, 1);
    told_write(told, &first);
    tell_doubles(told, "zero", (double[]){ 0.0, -0.0 }, 2);
    for (int i = 0; i < 5; i++)
        tell_all(told);
    told_write(told, &again);
    assert_true(str_eq(buf_str(&first), buf_str(&again)));
    uint32_t order[3000];
    for (uint32_t i = 0; i < MG_COUNT(order); i++)
        order[i] = i;
    for (int round = 0; round < 3; round++) {
        char text[32];
        for (uint32_t i = 0; i < MG_COUNT(order); i++) {
            uint32_t other = (uint32_t)random_below(&random, MG_COUNT(order)), kept = order[i];
            order[i] = order[other];
            order[other] = kept;
        }
        for (uint32_t i = 0; i < MG_COUNT(order); i++) {
            (void)snprintf(text, sizeof text, "%s%u", order[i] % 3 ? "text " : "", order[i]);
            tell(told, order[i] % 7 ? "a" : "b", text);
        }
        buf_clear(round ? &again : &first);
        told_write(told, round ? &again : &first);
        assert_true(round == 0 || str_eq(buf_str(&first), buf_str(&again)));
    }
    buf_fini(&first);
    buf_fini(&again);
    told_free(&told);
}

static void few_absent_texts_pass_the_filter(void **state)
{
    struct told *told = told_new();
    struct buf out;
    char text[32];
    unsigned passed = 0;

    (void)state;
    buf_init(&out, 1 << 20);
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(text, sizeof text, "text %u", i);
        tell(told, i % 2 ? "a" : "b", text);
    }
    told_write(told, &out);
    assert_int_equal(out.len, HEAD + 2 * KEY + (3000 * 12 + 63) / 64 * 8);
    for (unsigned i = 0; i < 20000; i++) {
        (void)snprintf(text, sizeof text, "text %u", i);
        bool is_told = i < 3000 && i % 2, passes = may_equal(buf_str(&out), "a", str_of(text));
        assert_true(passes || !is_told);
        passed += passes && !is_told;
    }
    assert_true(passed < 20000 * 3 / 100);
    buf_fini(&out);
    told_free(&told);
}

/* --- limits ----------------------------------------------------------------------------------- */
static void keys_beyond_the_limit_open_everything(void **state)
{
    static const unsigned counts[] = { TOLD_KEYS_MAX - 1, TOLD_KEYS_MAX, TOLD_KEYS_MAX + 1, 3 * TOLD_KEYS_MAX };
    struct told *told = told_new();
    struct buf out;
    char key[32];

    (void)state;
    buf_init(&out, 1 << 20);
    for (size_t k = 0; k < MG_COUNT(counts); k++) {
        bool is_open = counts[k] > TOLD_KEYS_MAX;
        for (unsigned i = 0; i < 2 * counts[k]; i++) { /* each twice */
            (void)snprintf(key, sizeof key, "key %u", i % counts[k]);
            tell(told, key, "x");
        }
        buf_clear(&out);
        told_write(told, &out);
        assert_int_equal(get_le32(out.ptr + 1), is_open ? 0 : counts[k]);
        assert_int_equal(out.len == HEAD, is_open);
        for (unsigned i = 0; i < counts[k]; i += 97) {
            (void)snprintf(key, sizeof key, "key %u", i);
            assert_true(may_equal(buf_str(&out), key, STR("x")));
        }
        assert_int_equal(may_equal(buf_str(&out), "no such key", STR("x")), is_open);
    }
    buf_fini(&out);
    told_free(&told);
}

static void texts_beyond_the_limit_open_their_keys(void **state)
{
    static const unsigned counts[] = { TEXTS_MAX - 1, TEXTS_MAX, TEXTS_MAX + 1, 100 };
    struct told *told = told_new();
    struct buf out;
    char text[32];

    (void)state;
    buf_init(&out, 1 << 20);
    for (size_t k = 0; k < MG_COUNT(counts); k++) {
        bool is_open = counts[k] > TEXTS_MAX;
        tell_ints(told, "int", (int64_t[]){ 5 }, 1);
        tell(told, "other", "text 0");
        for (unsigned i = 1; i < counts[k]; i++) {
            (void)snprintf(text, sizeof text, "text %u", i);
            tell(told, "a", text);
        }
        buf_clear(&out);
        told_write(told, &out);
        size_t words = is_open ? 0 : (counts[k] * 12 + 63) / 64;
        assert_true(words <= TOLD_WORDS_MAX);
        assert_int_equal(out.len, HEAD + 3 * KEY + words * 8);
        assert_true(may_equal(buf_str(&out), "a", str_of(text)));
        assert_true(may_equal(buf_str(&out), "other", STR("text 0")));
        unsigned passed = 0;
        for (unsigned i = 0; i < 100; i++) {
            (void)snprintf(text, sizeof text, "no %u", i);
            passed += may_equal(buf_str(&out), "other", str_of(text));
        }
        assert_true(is_open ? passed == 100 : passed < 20);
        assert_true(may_equal(buf_str(&out), "int", STR("5")));
        assert_false(may_equal(buf_str(&out), "int", STR("6")));
        assert_false(may_equal(buf_str(&out), "none", STR("text 0")));
    }
    buf_fini(&out);
    told_free(&told);
}

/* --- malformed -------------------------------------------------------------------------------- */
static const struct filter_tag nobody = { .key = STR_INIT("no such key"), .value = STR_INIT("x") };

static void nothing_is_concluded_from_a_cut_list(void **state)
{
    struct told *told = told_new();
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    tell_all(told);
    told_write(told, &out);
    uint32_t n = get_le32(out.ptr + 1);
    assert_false(may(buf_str(&out), nobody));
    for (size_t len = 0; len < out.len; len++) {
        char *cut = mem_copy(out.ptr, len); /* of its own, for a sanitizer to see a step too far */
        bool is_whole = len >= HEAD + n * KEY && (len - HEAD - n * KEY) % 8 == 0;
        assert_int_equal(may(str_n(cut, len), nobody), !is_whole);
        (void)may_equal(str_n(cut, len), "method", STR("GET"));
        mem_free(cut);
    }
    buf_fini(&out);
    told_free(&told);
}

static void put_key(struct buf *out, uint32_t hash, uint8_t flags, double low, double high)
{
    uint8_t key[KEY];

    put_le32(key, hash);
    key[4] = flags;
    memcpy(key + 5, &low, 8);
    memcpy(key + 13, &high, 8);
    buf_put(out, key, sizeof key);
}

struct forged { uint32_t count, hashes[3]; uint8_t flags; double low, high; size_t rest; bool want; };

static void forge(struct buf *out, const struct forged *forged)
{
    uint8_t head[HEAD] = { 0 };

    buf_clear(out);
    put_le32(head + 1, forged->count);
    buf_put(out, head, sizeof head);
    for (size_t i = 0; i < MG_COUNT(forged->hashes); i++)
        put_key(out, forged->hashes[i], forged->flags, forged->low, forged->high);
    for (size_t i = 0; i < forged->rest; i++)
        buf_put_char(out, '\xff');
}

static void nothing_is_concluded_from_a_malformed_list(void **state)
{
    static const struct forged cases[] = {
        { 3, { 1, 2, 3 }, 0, 0, 0, 0, false },
        { 3, { 1, 2, 3 }, 0, 0, 0, 8, false },
        { 3, { 1, 2, 3 }, 0xff, 1, 2, 16, false }, /* unknown flags say nothing */
        { 3, { 0, 1, UINT32_MAX }, 4, 2, 2, 8, false },
        { 3, { 1, 2, 3 }, 0, 2, 1, 0, false },     /* no bounds: they are not looked at */
        { 3, { 1, 2, 3 }, 0, 0, 0, 7, true },
        { 3, { 1, 2, 3 }, 0, 0, 0, 1, true },
        { 3, { 2, 1, 3 }, 0, 0, 0, 0, true },
        { 3, { 1, 3, 2 }, 0, 0, 0, 0, true },
        { 3, { 1, 1, 2 }, 0, 0, 0, 0, true },
        { 3, { 1, 2, 3 }, 4, 2, 1, 0, true },
        { 3, { 1, 2, 3 }, 4, NOT_A_NUMBER, 1, 0, true },
        { 3, { 1, 2, 3 }, 4, 1, NOT_A_NUMBER, 0, true },
        { 4, { 1, 2, 3 }, 0, 0, 0, 0, true },
        { 4, { 1, 2, 3 }, 0, 0, 0, 20, true },
        { UINT32_MAX, { 1, 2, 3 }, 0, 0, 0, 0, true },
        { UINT32_MAX / KEY + 1, { 1, 2, 3 }, 0, 0, 0, 0, true },
        { 0x80000000, { 1, 2, 3 }, 0, 0, 0, 0, true },
    };
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        forge(&out, &cases[i]);
        char *bytes = mem_copy(out.ptr, out.len);
        if (may(str_n(bytes, out.len), nobody) != cases[i].want)
            fail_msg("case %zu", i);
        mem_free(bytes);
    }
    assert_true(may(STR(""), nobody));
    assert_true(may(str_n(NULL, 0), nobody));
    buf_fini(&out);
}

static void forged_bytes_do_no_harm(void **state)
{
    struct told *told = told_new();
    struct random random;
    struct buf out;

    (void)state;
    random_init(&random, 9);
    buf_init(&out, 1 << 20);
    tell_all(told);
    told_write(told, &out);
    for (unsigned i = 0; i < 20000; i++) {
        char *forged = mem_copy(out.ptr, out.len);
        for (uint64_t n = 1 + random_below(&random, 3); n; n--)
            forged[random_below(&random, random_below(&random, 2) ? 40 : out.len)] = (char)random_u64(&random);
        (void)may_equal(str_n(forged, out.len), "method", STR("GET")); /* either answer is fine */
        (void)may(str_n(forged, out.len), (struct filter_tag){ .key = STR("code"), .op = TAG_AT_LEAST, .number = 5 });
        mem_free(forged);
    }
    buf_fini(&out);
    told_free(&told);
}

int main(void)
{
#define T(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        T(absent_keys_and_values_are_told_from_present_ones), T(numbers_outside_the_range_are_told), T(every_tag_of_a_filter_must_be_possible),
        T(resources_and_scopes_are_looked_into), T(a_blob_that_cannot_be_read_opens_everything), T(the_bytes_are_those_of_the_format),
        T(order_and_repeats_do_not_show), T(few_absent_texts_pass_the_filter), T(keys_beyond_the_limit_open_everything),
        T(texts_beyond_the_limit_open_their_keys), T(nothing_is_concluded_from_a_cut_list), T(nothing_is_concluded_from_a_malformed_list),
        T(forged_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

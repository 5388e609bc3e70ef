#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/mem.h"
#include "codec/json_read.h"

#define assert_str(s, text) assert_true(str_eq((s), str_of(text)))
#define BAD                 "\xef\xbf\xbd"

/* One letter a token. */
static const char letters[] = {
    [JSON_TOKEN_ERROR] = '!',      [JSON_TOKEN_END] = '.',    [JSON_TOKEN_OBJECT] = '{',
    [JSON_TOKEN_OBJECT_END] = '}', [JSON_TOKEN_ARRAY] = '[',  [JSON_TOKEN_ARRAY_END] = ']',
    [JSON_TOKEN_KEY] = 'k',        [JSON_TOKEN_STRING] = 's', [JSON_TOKEN_NUMBER] = '0',
    [JSON_TOKEN_TRUE] = 't',       [JSON_TOKEN_FALSE] = 'f',  [JSON_TOKEN_NULL] = 'n',
};

static const struct {
    const char *text, *tokens;
} documents[] = {
    {"1", "0."},
    {" \t\r\n true \n", "t."},
    {"false", "f."},
    {"null", "n."},
    {"\"\"", "s."},
    {"{}", "{}."},
    {"[ ]", "[]."},
    {"{\"a\":1}", "{k0}."},
    {"{ \"a\" : [ 1 , \"b\" , { } , null ] , \"c\" : { \"d\" : true } }", "{k[0s{}n]k{kt}}."},
    {"[[[]],[]]", "[[[]][]]."},
    {"-0", "0."},
    {"[0.5,1e5,1E+5,1e-5,-1.25e10,18446744073709551616]", "[000000]."},
    {"{\"a\":1,\"a\":2}", "{k0k0}."},
    {"", "!"},
    {" ", "!"},
    {"{", "{!"},
    {"[", "[!"},
    {"[1", "[0!"},
    {"[1,", "[0!"},
    {"[1,]", "[0!"},
    {"[,1]", "[!"},
    {"[1 2]", "[0!"},
    {"[1}", "[0!"},
    {"{]", "{!"},
    {"{1:2}", "{!"},
    {"{\"a\"}", "{!"},
    {"{\"a\" 1}", "{!"},
    {"{\"a\":}", "{k!"},
    {"{\"a\":1,}", "{k0!"},
    {"{\"a\":1 \"b\":2}", "{k0!"},
    {"{\"a\":1]", "{k0!"},
    {"{,}", "{!"},
    {"{a:1}", "{!"},
    {"{'a':1}", "{!"},
    {"]", "!"},
    {"}", "!"},
    {",", "!"},
    {":", "!"},
    {"1 2", "0!"},
    {"1,", "0!"},
    {"{} {}", "{}!"},
    {"[]]", "[]!"},
    {"01", "0!"},
    {"-", "!"},
    {"-a", "!"},
    {"+1", "!"},
    {".5", "!"},
    {"1.", "!"},
    {"1.e5", "!"},
    {"1e", "!"},
    {"1e+", "!"},
    {"0x10", "0!"},
    {"1a", "0!"},
    {"NaN", "!"},
    {"Infinity", "!"},
    {"tru", "!"},
    {"True", "!"},
    {"truex", "t!"},
    {"nul", "!"},
    {"\"", "!"},
    {"\"a", "!"},
    {"\"\\", "!"},
    {"\"\\\"", "!"},
    {"\"\\a\"", "!"},
    {"\"\\'\"", "!"},
    {"\"\\u12\"", "!"},
    {"\"\\u12G4\"", "!"},
    {"\"\\u\"", "!"},
    {"\"\\ud800\\u12\"", "!"},
    {"\"\\U0041\"", "!"},
    {"\"\\\xff\"", "!"},
    {"\"a\nb\"", "!"},
    {"\"a\\\nb\"", "!"},
    {"\"12345678\x1f\"", "!"},
    {"\xef\xbb\xbf{}", "!"},
    {"/* */ 1", "!"},
    {"\v1", "!"},
};

/* Reads it all; with peek, asks for every token twice first. */
static void read_tokens(struct json_reader *r, struct str text, bool peek, char *out, size_t room)
{
    size_t n = 0, before = 0;
    json_reader_begin(r, text);
    for (enum json_token token = JSON_TOKEN_OBJECT; token > JSON_TOKEN_END && n + 1 < room;) {
        enum json_token peeked = peek ? json_peek(r) : JSON_TOKEN_ERROR;
        if (peek)
            assert_int_equal(json_peek(r), peeked);
        token = json_next(r);
        if (peek)
            assert_int_equal(token, peeked);
        assert_true(json_offset(r) >= before && json_offset(r) <= text.len);
        before = json_offset(r);
        out[n++] = letters[token];
    }
    out[n] = '\0';
    enum json_token last = json_next(r); /* both ends are for ever */
    assert_int_equal(letters[last], out[n - 1]);
    assert_int_equal(json_reader_error(r)[0] != '\0', last == JSON_TOKEN_ERROR);
}

/* Each document from memory of exactly its size, so that a sanitizer sees a byte read too far. */
static void grammar(void **state)
{
    (void)state;
    struct json_reader *r = json_reader_new(256);
    char tokens[100];
    for (size_t i = 0; i < MG_COUNT(documents); i++) {
        size_t len = strlen(documents[i].text);
        char *copy = mem_copy(documents[i].text, len);
        for (int peek = 0; peek < 2; peek++) {
            read_tokens(r, str_n(copy, len), peek, tokens, sizeof tokens);
            if (strcmp(tokens, documents[i].tokens) != 0)
                fail_msg("%s: %s instead of %s", documents[i].text, tokens, documents[i].tokens);
        }
        mem_free(copy);
    }
    json_reader_free(&r);
    assert_null(r);
    json_reader_free(&r);
}

static const struct {
    const char *raw, *text;
} strings[] = {
    {"", ""},
    {"plain", "plain"},
    {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
    {"\\u0041\\u00e9\\u20AC", "A\xc3\xa9\xe2\x82\xac"},
    {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
    {"\\udbff\\udfff", "\xf4\x8f\xbf\xbf"},
    {"\\ud800", BAD},
    {"\\ud800x", BAD "x"},
    {"\\udc00", BAD},
    {"\\ud800\\n", BAD "\n"},
    {"\\ud800\\u0041", BAD "A"},
    {"\\ud800\\ud83d\\ude00", BAD "\xf0\x9f\x98\x80"},
    {"\\ude00\\ud83d", BAD BAD},
    {"a\xff"
     "b",
     "a\xff"
     "b"},
    {"a\xff\\n", "a\xff\n"},
    {"12345678\\n12345678\\n", "12345678\n12345678\n"},
    {"1234567\\\"1234567", "1234567\"1234567"},
    {"\\\\", "\\"},
    {"\\\\\\\\n", "\\\\n"},
    {"\x7f\x80", "\x7f\x80"},
};

/* Stops are looked for in blocks of 64 bytes. */
static void string_texts_at_every_alignment(void **state)
{
    (void)state;
    struct json_reader *r = json_reader_new(4);
    char text[300];
    for (size_t i = 0; i < MG_COUNT(strings); i++) {
        for (size_t pad = 0; pad < 140; pad++) {
            size_t raw = strlen(strings[i].raw), n = 0;
            text[n++] = '"';
            memset(text + n, 'x', pad);
            n += pad;
            memcpy(text + n, strings[i].raw, raw);
            n += raw;
            text[n++] = '"';
            json_reader_begin(r, str_n(text, n));
            assert_int_equal(json_next(r), JSON_TOKEN_STRING);
            struct str got = json_text(r);
            assert_true(got.len >= pad);
            if (!str_eq(str_n(got.ptr + pad, got.len - pad), str_of(strings[i].text)))
                fail_msg("%s: %.*s", strings[i].raw, STR_ARG(got));
            assert_int_equal(json_next(r), JSON_TOKEN_END);
        }
    }
    json_reader_begin(r, STR("\"\\u0000\""));
    assert_int_equal(json_next(r), JSON_TOKEN_STRING);
    assert_true(str_eq(json_text(r), str_n("\0", 1)));
    json_reader_free(&r);
}

/* As Zipkin's reader has it; what is malformed in other ways stays an error. */
static void lenient_strings(void **state)
{
    static const struct { const char *raw, *text; } rows[] = {
        { "a\x01" "b", "a\x01" "b" }, { "\n", "\n" }, { "\t\\n\t", "\t\n\t" }, { "1234567\x1f" "1234567\x1f\\t", "1234567\x1f" "1234567\x1f\t" },
        { "\\ud800", "?" }, { "\\ud800x", "?x" }, { "\\udc00", "?" }, { "\\ud800\\ud83d\\ude00", "?\xf0\x9f\x98\x80" },
        { "\\ude00\\ud83d", "??" }, { "\\ud83d\\ude00", "\xf0\x9f\x98\x80" }, { "\\u12", NULL }, { "\\ud800\\u12", NULL }, { "\\q", NULL },
        { "\\\x01", NULL }, { "\x01\\", NULL },
    };
    struct json_reader *r = json_reader_new(4);

    (void)state;
    json_reader_be_lenient(r);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "\"%s\"", rows[i].raw);
        json_reader_begin(r, str_n(text, (size_t)n));
        assert_int_equal(json_next(r), rows[i].text ? JSON_TOKEN_STRING : JSON_TOKEN_ERROR);
        if (rows[i].text)
            assert_true(str_eq(json_text(r), str_of(rows[i].text)));
    }
    json_reader_free(&r);
}

static void texts_live_until_begin_and_peek_leaves_them(void **state)
{
    (void)state;
    struct json_reader *r = json_reader_new(4);
    json_reader_begin(r, STR("{\"k\\n\":\"v\\t\",\"m\":-1.5e3}"));
    assert_int_equal(json_next(r), JSON_TOKEN_OBJECT);
    assert_int_equal(json_next(r), JSON_TOKEN_KEY);
    struct str key = json_text(r);
    assert_int_equal(json_offset(r), 1);
    assert_int_equal(json_peek(r), JSON_TOKEN_STRING);
    assert_str(json_text(r), "k\n");
    assert_int_equal(json_offset(r), 1);
    assert_int_equal(json_next(r), JSON_TOKEN_STRING);
    assert_int_equal(json_offset(r), 7);
    struct str value = json_text(r);
    assert_int_equal(json_next(r), JSON_TOKEN_KEY);
    assert_int_equal(json_offset(r), 13);
    assert_int_equal(json_next(r), JSON_TOKEN_NUMBER);
    assert_str(json_text(r), "-1.5e3");
    assert_str(key, "k\n");
    assert_str(value, "v\t");
    json_reader_free(&r);
}

static void skipping(void **state)
{
    (void)state;
    struct json_reader *r = json_reader_new(8);
    json_reader_begin(r, STR("{\"a\":{\"x\":[1,{\"y\":2}]},\"b\":\"s\",\"c\":[],\"d\":7}"));
    json_next(r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(json_next(r), JSON_TOKEN_KEY);
        if (i == 0)
            json_peek(r);
        assert_true(json_skip(r));
    }
    assert_int_equal(json_next(r), JSON_TOKEN_KEY);
    assert_str(json_text(r), "d");
    assert_true(json_skip(r));
    assert_false(json_skip(r)); /* the end of the object is no value */

    json_reader_begin(r, STR("[1,{\"a\":[}]"));
    json_next(r);
    assert_true(json_skip(r));
    assert_false(json_skip(r));
    assert_true(json_reader_error(r)[0]);
    json_reader_begin(r, STR("5"));
    assert_true(json_skip(r));
    assert_false(json_skip(r));
    json_reader_free(&r);
}

static void depth_at_below_and_above(void **state)
{
    (void)state;
    char text[514];
    static const unsigned limits[] = {0, 1, 63, 64, 65, 256};
    for (size_t i = 0; i < MG_COUNT(limits); i++) {
        struct json_reader *r = json_reader_new(limits[i]);
        for (unsigned depth = limits[i] ? limits[i] - 1 : 0; depth <= limits[i] + 1; depth++) {
            memset(text, '[', depth);
            memset(text + depth, ']', depth);
            json_reader_begin(r, depth ? str_n(text, 2 * depth) : STR("1"));
            assert_int_equal(json_skip(r), depth <= limits[i]);
            assert_int_equal(json_next(r), depth <= limits[i] ? JSON_TOKEN_END : JSON_TOKEN_ERROR);
        }
        json_reader_free(&r);
    }
}

/* An object inside an array inside an object, over every word of the stack of bits. */
static void kinds_are_remembered_at_every_depth(void **state)
{
    (void)state;
    struct json_reader *r = json_reader_new(256);
    char text[2000];
    size_t n = 0;
    for (int i = 0; i < 128; i++) {
        memcpy(text + n, "[{\"k\":", 6);
        n += 6;
    }
    text[n++] = '0';
    for (int i = 0; i < 128; i++) {
        text[n++] = '}';
        text[n++] = ']';
    }
    json_reader_begin(r, str_n(text, n));
    assert_true(json_skip(r));
    assert_int_equal(json_next(r), JSON_TOKEN_END);
    text[n - 4] = ']';
    json_reader_begin(r, str_n(text, n));
    assert_false(json_skip(r));
    json_reader_free(&r);
}

/* ---- members ---- */

/* As read_tokens, with json_next_member wherever a member may stand. */
static void read_members(struct json_reader *r, struct str text, char *out, size_t room)
{
    bool is_object[300] = { false };
    size_t n = 0, depth = 0;
    json_reader_begin(r, text);
    for (enum json_token token = JSON_TOKEN_OBJECT; token > JSON_TOKEN_END && n + 2 < room;) {
        struct json_read_member member = { .key = STR("before") };
        token = is_object[depth] ? json_next_member(r, &member) : json_next(r);
        assert_true(json_offset(r) <= text.len);
        if (token == JSON_TOKEN_KEY) {
            out[n++] = 'k';
            token = member.token;
            if (token == JSON_TOKEN_STRING || token == JSON_TOKEN_NUMBER)
                assert_true(str_eq(member.text, json_text(r)));
        } else {
            assert_str(member.key, "before");
        }
        out[n++] = letters[token];
        if (token == JSON_TOKEN_OBJECT || token == JSON_TOKEN_ARRAY)
            is_object[++depth] = token == JSON_TOKEN_OBJECT;
        else if (token == JSON_TOKEN_OBJECT_END || token == JSON_TOKEN_ARRAY_END)
            depth--;
    }
    out[n] = '\0';
}

static const char *const objects[] = {
    "{\"a\":\"b\"}",
    "{\"\":\"\",\"\":\"\"}",
    "{\"a\":\"b\",\"c\":\"d\"}",
    "{ \"a\" : \"b\" , \"c\" : \"d\" }",
    "{\"a\":\"b\" ,\"c\":\"d\"}",
    "{\"a\" :\"b\",\"c\": \"d\"}",
    "{\"a\\n\":\"b\\\"\",\"\\u0041\":\"\\\\\"}",
    "{\"0123456789abcdef0123456789abcdef\":\"0123456789abcdef0123456789abcdef\",\"x\":\"y\"}",
    "{\"a\":1,\"b\":-2,\"c\":34567890123456789012,\"d\":0,\"e\":1.5,\"f\":1e5}",
    "{\"a\":true,\"b\":false,\"c\":null,\"d\":{},\"e\":[]}",
    "{\"a\":{\"b\":[\"c\",{\"d\":\"e\"},[{\"f\":1}]],\"g\":\"h\"},\"i\":\"j\"}",
    "[{\"a\":\"b\"},{\"c\":\"d\"}]",
    "{\"a\":\"\xc3\xa4\xff\",\"\xe2\x82\":\"b\"}",
    "{\"a\":\"b\"",
    "{\"a\":\"b\",",
    "{\"a\":\"b\",}",
    "{\"a\":\"b\",,\"c\":\"d\"}",
    "{\"a\":\"b\"\"c\":\"d\"}",
    "{\"a\":\"b\"]",
    "{\"a\":\"b\":\"c\"}",
    "{\"a\",\"b\"}",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":,\"b\":\"c\"}",
    "{\"a\":b}",
    "{\"a\":\"b",
    "{\"a\":\"b\\",
    "{\"a\":\"b\\q\",\"c\":\"d\"}",
    "{\"a\\q\":\"b\",\"c\":\"d\"}",
    "{\"a\":\"b\nc\"}",
    "{\"a\nb\":\"c\"}",
    "{\"a\":12",
    "{\"a\":12x}",
    "{\"a\":01}",
    "{\"a\":1 2}",
    "{\"a\":12]",
    "{\"a\":[1,}",
    "{\"a\":{\"b\":\"c\"]}",
    "{\"a\":nul,\"b\":\"c\"}",
    "{a:\"b\"}",
};

static void assert_members(struct json_reader *r, const char *document)
{
    char tokens[100], members[100];
    for (size_t pad = 0; pad < 70; pad++) {
        size_t len = strlen(document);
        char *copy = mem_alloc(pad + len);
        memset(copy, ' ', pad);
        memcpy(copy + pad, document, len);
        read_tokens(r, str_n(copy, pad + len), false, tokens, sizeof tokens);
        read_members(r, str_n(copy, pad + len), members, sizeof members);
        if (strcmp(tokens, members) != 0)
            fail_msg("%s behind %zu spaces: %s instead of %s", document, pad, members, tokens);
        mem_free(copy);
    }
}

/* Plain ones go another way than the others, and must come to the same. */
static void a_member_is_a_key_and_a_value(void **state)
{
    (void)state;
    struct json_reader *r = json_reader_new(256);
    for (int lenient = 0; lenient < 2; lenient++) {
        for (size_t i = 0; i < MG_COUNT(documents); i++)
            assert_members(r, documents[i].text);
        for (size_t i = 0; i < MG_COUNT(objects); i++)
            assert_members(r, objects[i]);
        json_reader_be_lenient(r);
    }
    json_reader_free(&r);
}

static void members_at_every_length(void **state)
{
    (void)state;
    struct json_reader *r = json_reader_new(4);
    struct json_read_member member = { .token = JSON_TOKEN_ERROR };
    for (size_t len = 0; len < 140; len++) {
        char *text = mem_alloc(2 * len + 7);
        memcpy(text, "{\"", 2);
        memset(text + 2, 'k', len);
        memcpy(text + 2 + len, "\":\"", 3);
        memset(text + 5 + len, 'v', len);
        memcpy(text + 5 + 2 * len, "\"}", 2);
        json_reader_begin(r, str_n(text, 2 * len + 7));
        assert_int_equal(json_next(r), JSON_TOKEN_OBJECT);
        assert_int_equal(json_next_member(r, &member), JSON_TOKEN_KEY);
        assert_int_equal(member.token, JSON_TOKEN_STRING);
        assert_true(str_eq(member.key, str_n(text + 2, len)));
        assert_true(str_eq(member.text, str_n(text + 5 + len, len)));
        assert_int_equal(json_offset(r), 4 + len);
        assert_int_equal(json_next_member(r, &member), JSON_TOKEN_OBJECT_END);
        assert_int_equal(json_offset(r), 6 + 2 * len);
        assert_int_equal(json_next(r), JSON_TOKEN_END);
        mem_free(text);
    }
    json_reader_free(&r);
}

static void a_member_behind_a_peek(void **state)
{
    (void)state;
    struct json_reader *r = json_reader_new(4);
    struct json_read_member member = { .token = JSON_TOKEN_ERROR };
    json_reader_begin(r, STR("[{\"a\":\"b\",\"c\":\"d\"},\"e\",\"f\"]"));
    json_next(r);
    json_next(r);
    assert_int_equal(json_peek(r), JSON_TOKEN_KEY);
    assert_int_equal(json_next_member(r, &member), JSON_TOKEN_KEY);
    assert_str(member.key, "a");
    assert_str(member.text, "b");
    assert_int_equal(json_next(r), JSON_TOKEN_KEY);
    assert_int_equal(json_peek(r), JSON_TOKEN_STRING);
    assert_int_equal(json_next_member(r, &member), JSON_TOKEN_STRING); /* no key stands here */
    assert_int_equal(json_next_member(r, &member), JSON_TOKEN_OBJECT_END);
    assert_int_equal(json_next_member(r, &member), JSON_TOKEN_STRING);
    assert_str(json_text(r), "e");
    json_reader_free(&r);
}

static void errors_are_for_ever(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"a\" \"b\":\"c\"}", "{\"a\":\"\\q\",\"b\":\"c\"}", "{\"\\q\":\"b\",\"c\":\"d\"}",
        "{\"a\":nul,\"b\":\"c\"}", "{\"a\":[[[[]]]],\"b\":\"c\"}", "{\"a\":1\"b\":\"c\"}",
    };
    struct json_reader *r = json_reader_new(4);
    struct json_read_member member = { .token = JSON_TOKEN_ERROR };
    for (size_t i = 0; i < MG_COUNT(texts); i++) {
        json_reader_begin(r, str_of(texts[i]));
        while (json_next(r) != JSON_TOKEN_ERROR)
            ;
        assert_int_equal(json_next_member(r, &member), JSON_TOKEN_ERROR);
        assert_int_equal(json_peek(r), JSON_TOKEN_ERROR);
        assert_int_equal(json_next_member(r, &member), JSON_TOKEN_ERROR);
        assert_false(json_leave(r));
    }
    json_reader_free(&r);
}

static void leaving(void **state)
{
    (void)state;
    struct json_reader *r = json_reader_new(8);
    struct json_read_member member = { .token = JSON_TOKEN_ERROR };
    json_reader_begin(r, STR("{\"a\":{\"x\":[1,{\"y\":2}],\"z\":{}},\"b\":[],\"c\":[[1],2],\"d\":7}"));
    json_next(r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(json_next_member(r, &member), JSON_TOKEN_KEY);
        if (i == 0)
            json_peek(r);
        assert_true(json_leave(r));
    }
    assert_int_equal(json_next_member(r, &member), JSON_TOKEN_KEY);
    assert_str(member.key, "d");
    assert_true(json_leave(r));
    assert_int_equal(json_next(r), JSON_TOKEN_END);
    assert_false(json_leave(r)); /* nothing is open */

    static const char *const bad[] = { "[1,", "[1}", "[{]", "[1", "[[[[[[[[[1]]]]]]]]]" };
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        json_reader_begin(r, str_of(bad[i]));
        json_next(r);
        assert_false(json_leave(r));
        assert_true(json_reader_error(r)[0]);
    }
    json_reader_free(&r);
}

/* Digits are read eight at a time; what stands behind them decides. */
static void numbers_of_every_length(void **state)
{
    (void)state;
    static const struct { const char *behind, *tokens; } rows[] = {
        { "]", "[0]." }, { ",2]", "[00]." }, { " ]", "[0]." }, { "\n]", "[0]." }, { ".5]", "[0]." }, { "e7]", "[0]." },
        { "", "[0!" }, { "}", "[0!" }, { "/]", "[0!" }, { ":]", "[0!" }, { "\x80]", "[0!" }, { "\xff]", "[0!" }, { "a]", "[0!" },
        { "\xb1]", "[0!" }, { ".]", "[!" }, { "e]", "[!" }, { "-1]", "[0!" },
    };
    struct json_reader *r = json_reader_new(4);
    char tokens[20];
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        for (size_t len = 1; len < 40; len++) {
            size_t behind = strlen(rows[i].behind);
            char *text = mem_alloc(1 + len + behind);
            text[0] = '[';
            memcpy(text + 1, "9876543210987654321098765432109876543210", len);
            memcpy(text + 1 + len, rows[i].behind, behind);
            read_tokens(r, str_n(text, 1 + len + behind), false, tokens, sizeof tokens);
            if (strcmp(tokens, rows[i].tokens) != 0)
                fail_msg("%zu digits and %s: %s", len, rows[i].behind, tokens);
            mem_free(text);
        }
    }
    json_reader_free(&r);
}

/* No beginning of a document is a document. */
static void cut_at_every_byte(void **state)
{
    (void)state;
    static const char text[] = "{\"a\\u0041\":[1.5e3,true,null,\"\\ud83d\\ude00\"],\"b\":{}}";
    struct json_reader *r = json_reader_new(8);
    char tokens[100];
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = mem_copy(text, len);
        read_tokens(r, str_n(copy, len), len % 2, tokens, sizeof tokens);
        assert_int_equal(tokens[strlen(tokens) - 1], len == sizeof text - 1 ? '.' : '!');
        mem_free(copy);
    }
    json_reader_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammar),
        cmocka_unit_test(string_texts_at_every_alignment),
        cmocka_unit_test(lenient_strings),
        cmocka_unit_test(texts_live_until_begin_and_peek_leaves_them),
        cmocka_unit_test(skipping),
        cmocka_unit_test(depth_at_below_and_above),
        cmocka_unit_test(kinds_are_remembered_at_every_depth),
        cmocka_unit_test(a_member_is_a_key_and_a_value),
        cmocka_unit_test(members_at_every_length),
        cmocka_unit_test(a_member_behind_a_peek),
        cmocka_unit_test(errors_are_for_ever),
        cmocka_unit_test(leaving),
        cmocka_unit_test(numbers_of_every_length),
        cmocka_unit_test(cut_at_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

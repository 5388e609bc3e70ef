/* What a tree looks like, what is refused and in which line, and the limits of depth and size. */
#include "conf/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "unit/base/assert_str.h"

static struct yaml_docs *parse(const char *text)
{
    struct yaml_docs *docs = NULL;
    struct mg_why why = { { 0 } };

    if (yaml_parse(&docs, str_of(text), "f.yaml", &why) != MG_OK)
        fail_msg("%s", why.text);
    return docs;
}

static void a_tree_knows_kinds_and_lines(void **state)
{
    (void)state;
    struct yaml_docs *docs =
        parse("# first\na: 1\nb:\n  - x\n  - 'y'\n  - {k: [1, 2]}\nc: ~\nd:\ne: \"null\"\n");
    const struct yaml *root = yaml_doc(docs, 0), *b = yaml_get(root, "b");

    assert_int_equal(yaml_count_docs(docs), 1);
    assert_int_equal(yaml_kind(root), YAML_MAP);
    assert_int_equal(yaml_count(root), 5);
    assert_str(yaml_key(root, 1), "b");
    assert_int_equal(yaml_key_line(root, 1), 3);
    assert_str(yaml_str(yaml_get(root, "a")), "1");
    assert_int_equal(yaml_line(yaml_get(root, "a")), 2);
    assert_int_equal(yaml_kind(b), YAML_LIST);
    assert_int_equal(yaml_count(b), 3);
    assert_false(yaml_is_quoted(yaml_at(b, 0)));
    assert_true(yaml_is_quoted(yaml_at(b, 1)));
    assert_int_equal(yaml_line(yaml_at(b, 2)), 6);
    assert_int_equal(yaml_count(yaml_get(yaml_at(b, 2), "k")), 2);
    assert_int_equal(yaml_kind(yaml_get(root, "c")), YAML_NULL);
    assert_int_equal(yaml_kind(yaml_get(root, "d")), YAML_NULL);
    assert_int_equal(yaml_kind(yaml_get(root, "e")), YAML_SCALAR);
    yaml_docs_free(&docs);
    assert_null(docs);
}

static void absent_nodes_answer(void **state)
{
    (void)state;
    struct yaml_docs *docs = parse("a: 1\n");
    const struct yaml *root = yaml_doc(docs, 0);

    assert_null(yaml_get(root, "b"));
    assert_null(yaml_get(NULL, "b"));
    assert_null(yaml_get(yaml_get(root, "a"), "b"));
    assert_null(yaml_at(root, 1));
    assert_int_equal(yaml_kind(NULL), YAML_NULL);
    assert_int_equal(yaml_line(NULL), 0);
    assert_int_equal(yaml_count(NULL), 0);
    assert_int_equal(yaml_str(NULL).len, 0);
    assert_int_equal(yaml_key(root, 1).len, 0);
    assert_int_equal(yaml_key_line(NULL, 0), 0);
    assert_false(yaml_is_quoted(NULL));
    assert_null(yaml_doc(docs, 1));
    yaml_docs_free(&docs);
}

static void documents_are_counted(void **state)
{
    static const struct {
        const char *text;
        size_t docs;
        bool first_is_empty;
    } cases[] = {
        { "", 0, true },
        { "# only a comment\n", 0, true },
        { "---\n", 1, true },
        { "---\na: 1\n", 1, false },
        { "a: 1\n---\nb: 2\n", 2, false },
        { "---\n---\nb: 2\n", 2, true },
        { "\xef\xbb\xbf"
          "a: 1\n",
          1, false },
        { "~\n", 1, false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct yaml_docs *docs = parse(cases[i].text);

        assert_int_equal(yaml_count_docs(docs), cases[i].docs);
        assert_int_equal(yaml_doc(docs, 0) == NULL, cases[i].first_is_empty);
        yaml_docs_free(&docs);
    }
}

static void wrong_text_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text, *place;
    } cases[] = {
        { "a: 1\nb: 2\na: 3\n", "f.yaml:3: key 'a' is here twice" },
        { "a: &x 1\n", "f.yaml:1: anchors" },
        { "a: 1\nb: *x\n", "f.yaml:2: anchors" },
        { "a: &x [1]\n", "f.yaml:1: anchors" },
        { "a: &x {b: 1}\n", "f.yaml:1: anchors" },
        { "a: !!int 1\n", "f.yaml:1: the tag" },
        { "a: !own 1\n", "f.yaml:1: the tag" },
        { "a: 1\n[x]: 1\n", "f.yaml:2: " },
        { "? {a: 1}\n: 1\n", "f.yaml:1: a key must be" },
        { "a: 1\n b: 2\n", "f.yaml:2: " },
        { "a: [1, 2\n", "f.yaml:2: " },
        { "a:\n\t- 1\n", "f.yaml:2: " },
        { "a: \"open\n", "f.yaml:" },
        { "a: 1\nb: \xff\n", "f.yaml:2: " },
        { "a: 1\nb: \x01\n", "f.yaml:2: " },
        { "%YAML 9.9\n---\na: 1\n", "f.yaml:1: " },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct yaml_docs *docs = NULL;
        struct mg_why why = { { 0 } };

        assert_int_equal(yaml_parse(&docs, str_of(cases[i].text), "f.yaml", &why), MG_E_FORMAT);
        if (strncmp(why.text, cases[i].place, strlen(cases[i].place)) != 0)
            fail_msg("'%s' does not begin with '%s'", why.text, cases[i].place);
        assert_null(docs);
    }
}

static void depth_is_limited(void **state)
{
    (void)state;
    for (int depth = YAML_DEPTH_MAX - 1; depth <= YAML_DEPTH_MAX + 1; depth++) {
        struct yaml_docs *docs = NULL;
        struct buf text;

        buf_init(&text, 1000);
        for (int i = 0; i < depth; i++)
            buf_put_char(&text, '[');
        for (int i = 0; i < depth; i++)
            buf_put_char(&text, ']');
        assert_int_equal(yaml_parse(&docs, buf_str(&text), "f", NULL),
                         depth <= YAML_DEPTH_MAX ? MG_OK : MG_E_TOO_BIG);
        yaml_docs_free(&docs);
        buf_fini(&text);
    }
}

static void a_tagged_string_is_quoted(void **state)
{
    (void)state;
    struct yaml_docs *docs = parse("a: !!str null\nb: |\n  block\n");

    assert_int_equal(yaml_kind(yaml_get(yaml_doc(docs, 0), "a")), YAML_SCALAR);
    assert_true(yaml_is_quoted(yaml_get(yaml_doc(docs, 0), "a")));
    assert_true(yaml_is_quoted(yaml_get(yaml_doc(docs, 0), "b")));
    assert_str(yaml_str(yaml_get(yaml_doc(docs, 0), "b")), "block\n");
    yaml_docs_free(&docs);
}

static void a_file_is_read_up_to_its_limit(void **state)
{
    char path[] = "/tmp/mg_yaml_XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "a: 1234\n"; /* 8 bytes */
    struct yaml_docs *docs = NULL;
    struct mg_why why = { { 0 } };

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, 8), 8);
    close(fd);
    assert_int_equal(yaml_load(&docs, path, 7, &why), MG_E_TOO_BIG);
    assert_non_null(strstr(why.text, path));
    assert_int_equal(yaml_load(&docs, path, 8, &why), MG_OK);
    yaml_docs_free(&docs);
    assert_int_equal(yaml_load(&docs, path, 9, &why), MG_OK);
    yaml_docs_free(&docs);
    unlink(path);
    assert_int_equal(yaml_load(&docs, path, 9, &why), MG_E_IO);
    assert_int_equal(yaml_load(&docs, "/", 9, &why), MG_E_IO);
}

static void assert_printed(const struct yaml_docs *docs, const char *want)
{
    struct buf text;

    buf_init(&text, 64u << 10);
    yaml_print(yaml_doc(docs, 0), &text);
    assert_str(buf_str(&text), want);
    buf_fini(&text);
}

static void a_tree_is_printed_and_parses_back(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "", "null" },
        { "~", "null" },
        { "\"\"", "\"\"" },
        { "[]", "[]" },
        { "{}", "{}" },
        { "- a\n- 'b'\n-\n- NULL\n", "[a, \"b\", null, null]" },
        { "a:\n  b: [1,\n  2]\nc: |\n  x\n  y\n", "{a: {b: [1, 2]}, c: \"x\\u000Ay\\u000A\"}" },
        { "- -1\n- +.5e-3\n- 0x1F\n- true\n- 10%\n", "[-1, +.5e-3, 0x1F, true, \"10%\"]" },
        { "- a, b\n- c]\n- d: e # no\n- f#g\n", "[\"a, b\", \"c]\", {d: e}, \"f#g\"]" },
        { "- host:80\n- http://x/y?z\n- /a/b\n", "[\"host:80\", \"http://x/y?z\", /a/b]" },
        { "- a\n  b\n- '---'\n- \"...\"\n- .\n", "[\"a b\", \"---\", \"...\", \".\"]" },
        { "- -a\n- --\n- ---\n- '-'\n", "[-a, \"--\", \"---\", \"-\"]" },
        { "'null': 1\n~: 2\n'': 3\na b: 4\n'@x': 5\n",
          "{\"null\": 1, \"~\": 2, \"\": 3, \"a b\": 4, \"@x\": 5}" },
        { "- !!str null\n- 'NULL'\n- \"~\"\n", "[\"null\", \"NULL\", \"~\"]" },
        { "- \"\\0\\x7f\\N\\_\\L\\P\\uFEFF\\uFFFE\"\n",
          "[\"\\u0000\\u007F\\u0085\\u00A0\\u2028\\u2029\\uFEFF\\uFFFE\"]" },
        { "- \xc3\xa4\xf0\x9f\x98\x80 \"\\\n", "[\"\xc3\xa4\xf0\x9f\x98\x80 \\\"\\\\\"]" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct yaml_docs *docs = parse(cases[i].text), *again = parse(cases[i].want);

        assert_printed(docs, cases[i].want);
        assert_printed(again, cases[i].want);
        yaml_docs_free(&docs);
        yaml_docs_free(&again);
    }
}

static void a_number_stays_one(void **state)
{
    static const char *const plain[] = { "-1", "+1", ".5", "-.5", "1e-3", "-1.5e+9", "false", ".inf" };
    struct yaml_docs *docs;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(plain); i++) {
        char list[32];

        snprintf(list, sizeof list, "[%s]", plain[i]);
        docs = parse(list);
        assert_false(yaml_is_quoted(yaml_at(yaml_doc(docs, 0), 0)));
        assert_printed(docs, list);
        yaml_docs_free(&docs);
    }
}

/* YAML ends a key without '?' at 1024 characters. */
static void a_long_key_is_printed_and_parses_back(void **state)
{
    (void)state;
    for (size_t len = 127; len < 4096; len += len < 130 ? 1 : 491) {
        struct buf text, printed;

        buf_init(&text, 64u << 10);
        buf_init(&printed, 64u << 10);
        buf_put_text(&text, "{? \"");
        for (size_t i = 0; i < len; i++)
            buf_put_text(&text, "\\u0001");
        buf_put_text(&text, "\" : [v]}");
        buf_put_char(&text, '\0');
        struct yaml_docs *docs = parse(text.ptr);
        yaml_print(yaml_doc(docs, 0), &printed);
        buf_put_char(&printed, '\0');
        struct yaml_docs *again = parse(printed.ptr);
        assert_int_equal(yaml_key(yaml_doc(again, 0), 0).len, len);
        assert_printed(again, printed.ptr);
        yaml_docs_free(&docs);
        yaml_docs_free(&again);
        buf_fini(&text);
        buf_fini(&printed);
    }
}

static void printing_into_a_small_buffer_fails(void **state)
{
    struct yaml_docs *docs = parse("[a, b]");
    struct buf text;

    (void)state;
    buf_init(&text, 5);
    yaml_print(yaml_doc(docs, 0), &text);
    assert_int_equal(buf_err(&text), MG_E_TOO_BIG);
    buf_fini(&text);
    yaml_docs_free(&docs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_knows_kinds_and_lines),
        cmocka_unit_test(absent_nodes_answer),
        cmocka_unit_test(documents_are_counted),
        cmocka_unit_test(wrong_text_is_refused_with_its_line),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(a_tagged_string_is_quoted),
        cmocka_unit_test(a_file_is_read_up_to_its_limit),
        cmocka_unit_test(a_tree_is_printed_and_parses_back),
        cmocka_unit_test(a_number_stays_one),
        cmocka_unit_test(a_long_key_is_printed_and_parses_back),
        cmocka_unit_test(printing_into_a_small_buffer_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

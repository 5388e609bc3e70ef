#include "unit/command/test.h"
#include "command/args.h"

struct fields {
    const char *text;
    struct arg_list list;
    uint64_t number, time;
    bool flag;
    const char *left, *right;
};
#define ROW(name_, kind_, field, ...)                                                              \
    {                                                                                              \
        .name = name_, .kind = kind_, .offset = offsetof(struct fields, field), __VA_ARGS__        \
    }
static const struct arg_option options[] = {
    ROW("--text", ARG_TEXT, text, .value = "WORD", .help = "A word."),
    ROW("--list", ARG_LIST, list, .value = "ITEM", .help = "An item."),
    ROW("--number", ARG_U64, number, .value = "N", .min = 10, .max = 20, .help = "A number."),
    ROW("--time", ARG_DURATION, time, .value = "TIME", .min = 1000000000, .max = 60000000000,
        .help = "A time."),
    ROW("--flag", ARG_FLAG, flag, .help = "A flag."),
};
static const struct arg_option pair[] = {
    ROW("--left", ARG_TEXT, left, .value = "FILE", .with = "--right", .help = "One."),
    ROW("--right", ARG_TEXT, right, .value = "FILE", .with = "--left", .help = "The other."),
    ROW("--config", ARG_TEXT, text, .value = "FILE", .help = "Alone."),
};
static const struct arg_rules rules = {options, MG_COUNT(options), "DIR", 0, 2};
static const struct arg_rules one = {options, MG_COUNT(options), "DIR", 1, 1};

struct row {
    const char *argv[8];
    bool is_one;
    const char *why; /* NULL: fine */
    struct fields want;
    size_t operands, items;
};
static const struct row rows[] = {
    {.argv = {"x"}},
    {.argv = {"x", "--text", "a"}, .want = {.text = "a"}},
    {.argv = {"x", "--text=a=b"}, .want = {.text = "a=b"}},
    {.argv = {"x", "--text", "--flag"}, .want = {.text = "--flag"}},
    {.argv = {"x", "--list", "a", "--list=b", "--list", "c"}, .items = 3},
    {.argv = {"x", "--number", "10"}, .want = {.number = 10}},
    {.argv = {"x", "--number=20"}, .want = {.number = 20}},
    {.argv = {"x", "--time", "1s"}, .want = {.time = 1000000000}},
    {.argv = {"x", "--time", "1m"}, .want = {.time = 60000000000}},
    {.argv = {"x", "--flag"}, .want = {.flag = true}},
    {.argv = {"x", "a", "--flag", "b"}, .want = {.flag = true}, .operands = 2},
    {.argv = {"x", "--", "--flag", "-"}, .operands = 2},
    {.argv = {"x", "-"}, .operands = 1},
    {.argv = {"x", "a"}, .is_one = true, .operands = 1},
    {.argv = {"x", "--text"}, .why = "--text needs a value: WORD"},
    {.argv = {"x", "--text="}, .why = "--text needs a value: WORD"},
    {.argv = {"x", "--text", ""}, .why = "--text needs a value: WORD"},
    {.argv = {"x", "--text", "a", "--text", "a"}, .why = "--text is given twice"},
    {.argv = {"x", "--flag", "--flag"}, .why = "--flag is given twice"},
    {.argv = {"x", "--flag=yes"}, .why = "--flag takes no value"},
    {.argv = {"x", "--number", "9"}, .why = "--number: '9' is not a whole number from 10 to 20"},
    {.argv = {"x", "--number", "21"}, .why = "--number: '21' is not a whole number from 10 to 20"},
    {.argv = {"x", "--number", "-11"},
     .why = "--number: '-11' is not a whole number from 10 to 20"},
    {.argv = {"x", "--number", "1e1"},
     .why = "--number: '1e1' is not a whole number from 10 to 20"},
    {.argv = {"x", "--number", "99999999999999999999"},
     .why = "--number: '99999999999999999999' is not a whole number from 10 to 20"},
    {.argv = {"x", "--time", "999ms"}, .why = "--time: 999ms is outside 1s to 60s"},
    {.argv = {"x", "--time", "61s"}, .why = "--time: 61s is outside 1s to 60s"},
    {.argv = {"x", "--time", "10"},
     .why = "--time: '10' is not a duration such as 90s, 10m or 1h30m"},
    {.argv = {"x", "--txt", "a"}, .why = "unknown option '--txt'; did you mean '--text'?"},
    {.argv = {"x", "--hepl"}, .why = "unknown option '--hepl'; did you mean '--help'?"},
    {.argv = {"x", "-f"}, .why = "unknown option '-f'; did you mean '--flag'?"},
    {.argv = {"x", "a", "b", "c"}, .why = "unexpected 'c'"},
    {.argv = {"x"}, .is_one = true, .why = "DIR is missing"},
    {.argv = {"x", "a", "b"}, .is_one = true, .why = "unexpected 'b'"},
};

static void check(const struct row *row)
{
    struct fields fields = {0};
    struct arg_list operands = {0};
    struct mg_why why = {""};
    int argc = 0;
    enum mg_err err;

    while (row->argv[argc])
        argc++;
    err = args_parse(row->is_one ? &one : &rules, argc, (char *const *)row->argv, &fields,
                     &operands, &why);
    if (row->why) {
        assert_int_equal(err, MG_E_FORMAT);
        assert_string_equal(why.text, row->why);
    } else {
        assert_int_equal(err, MG_OK);
        assert_string_equal(fields.text ? fields.text : "", row->want.text ? row->want.text : "");
        assert_int_equal(fields.number, row->want.number);
        assert_int_equal(fields.time, row->want.time);
        assert_int_equal(fields.flag, row->want.flag);
        assert_int_equal(operands.n, row->operands);
        assert_int_equal(fields.list.n, row->items);
    }
    VEC_FINI(&fields.list);
    VEC_FINI(&operands);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        check(&rows[i]);
}

static void test_what_goes_together(void **state)
{
    static const struct arg_rules pairs = {pair, MG_COUNT(pair), "", 0, 0};
    static const struct {
        const char *argv[6], *why;
    } cases[] = {
        {{"x"}, NULL},
        {{"x", "--left", "a", "--right", "b"}, NULL},
        {{"x", "--right=b", "--config", "c", "--left=a"}, NULL},
        {{"x", "--left", "a"}, "--left is given without --right"},
        {{"x", "--right", "--left"}, "--right is given without --left"},
        {{"x", "--config", "a", "--left=b"}, "--left is given without --right"},
        {{"x", "a"}, "unexpected 'a' (a configuration file is given with --config)"},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct fields fields = {0};
        struct arg_list operands = {0};
        struct mg_why why = {""};
        int argc = 0;

        while (argc < 6 && cases[i].argv[argc])
            argc++;
        enum mg_err err = args_parse(&pairs, argc, (char *const *)cases[i].argv, &fields, &operands, &why);
        assert_int_equal(err, cases[i].why ? MG_E_FORMAT : MG_OK);
        assert_string_equal(why.text, cases[i].why ? cases[i].why : "");
        VEC_FINI(&operands);
    }
}

static void test_absent_options_leave_the_defaults(void **state)
{
    const char *argv[] = {"x"};
    struct fields fields = {.number = 7, .text = "before"};
    struct arg_list operands = {0};

    (void)state;
    assert_int_equal(args_parse(&rules, 1, (char *const *)argv, &fields, &operands, NULL), MG_OK);
    assert_int_equal(fields.number, 7);
    assert_string_equal(fields.text, "before");
}

static void test_help_is_aligned(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    args_help(&rules, &out);
    buf_put_char(&out, '\0');
    assert_string_equal(out.ptr, "  --text WORD  A word.\n"
                                 "  --list ITEM  An item.\n"
                                 "  --number N   A number.\n"
                                 "  --time TIME  A time.\n"
                                 "  --flag       A flag.\n");
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_what_goes_together),
        cmocka_unit_test(test_absent_options_leave_the_defaults),
        cmocka_unit_test(test_help_is_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

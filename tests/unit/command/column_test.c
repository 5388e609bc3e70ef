/* Text of strangers in columns. */
#include "unit/command/test.h"
#include "command/column.h"

static const struct {
    const char *text;
    size_t width; /* asked for */
    const char *want;
    size_t characters;
} rows[] = {
    {"", 0, "", 0},
    {"", 3, "   ", 0},
    {"abc", 0, "abc", 3},
    {"abc", 2, "abc", 3},
    {"abc", 3, "abc", 3},
    {"abc", 4, "abc ", 3},
    {"caf\xc3\xa9", 5, "caf\xc3\xa9 ", 4},
    {"\xf0\x9f\x90\x88!", 3, "\xf0\x9f\x90\x88! ", 2},
    {"\xc2\xa0", 0, "\xc2\xa0", 1}, /* the first one above C1 */

    {"a\x1b[2Jb", 0, "a?[2Jb", 6},
    {"a\nb\tc\rd", 0, "a?b?c?d", 7},
    {"\x7f\x01", 0, "??", 2},
    {"\xc2\x9b" "31m", 0, "?31m", 4}, /* CSI in one character */
    {"\xc2\x80\xc2\x9f", 0, "??", 2},
    {"\xff", 2, "? ", 1},
    {"\xe2\x82", 0, "?", 1}, /* cut */
    {"\xed\xa0\x80", 0, "???", 3}, /* a surrogate */
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf out;
        buf_init(&out, 256);
        column_put(&out, str_of(rows[i].text), rows[i].width);
        if (!str_eq(buf_str(&out), str_of(rows[i].want)))
            fail_msg("row %zu: '%.*s'", i, STR_ARG(buf_str(&out)));
        assert_int_equal(column_width(str_of(rows[i].text)), rows[i].characters);
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

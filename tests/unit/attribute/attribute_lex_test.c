#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "attribute/attribute_lex.h"
#include "base/buf.h"

/* Every token as its type's letter, column and text; + when it touches the one before. */
static const struct { const char *text, *tokens; } rows[] = {
    { "", "" },
    { "  \t ", "" },
    { "a", "+w1a " },
    { " a b", "w2a w4b " },
    { "a.b_c-D9", "+w1a.b_c-D9 " },
    { "a->b", "+w1a +s2-> +w4b " },
    { "a-->b", "+w1a- +s3-> +w5b " },
    { "-5", "+w1-5 " },
    { "a=1", "+w1a +s2= +w31 " },
    { "< <= > >= = != ~ , ->", "+s1< s3<= s6> s8>= s11= s13!= s16~ s18, s20-> " },
    { "<==", "+s1<= +s3= " },
    { "\"\"", "+q1 " },
    { "\"a b\"c", "+q1a b +w6c " },
    { "\"a\\\"b\"", "+q1a\\\"b " },
    { "\"a\\\\\" b", "+q1a\\\\ w7b " },
    { "\"a", "+b1\"a " },
    { "\"a\\", "+b1\"a\\ " },
    { "\"a\\\"", "+b1\"a\\\" " },
    { "a ! b", "+w1a b3! w5b " },
    { "\xc3\xa9" "a \"\xc3\xa9\" b", "+b1\xc3\xa9 +w2a q4\xc3\xa9 w8b " },
    { "\xff", "+b1\xff " },
    { "span.\"a b\"", "+w1span. +q6a b " },
};

static void texts_become_tokens(void **state)
{
    static const char letters[] = { [TOKEN_WORD] = 'w', [TOKEN_QUOTED] = 'q', [TOKEN_SIGN] = 's', [TOKEN_BAD] = 'b' };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct lexer lexer = { .text = str_of(rows[i].text) };
        struct buf out;
        buf_init(&out, SIZE_MAX);
        for (;;) {
            struct token token = lex_next(&lexer);
            if (token.type == TOKEN_END)
                break;
            buf_printf(&out, "%s%c%zu%.*s ", token.is_adjacent ? "+" : "", letters[token.type], token_column(&lexer, &token),
                       STR_ARG(token.text));
        }
        assert_int_equal(lexer.at, lexer.text.len);
        if (!str_eq(buf_str(&out), str_of(rows[i].tokens)))
            fail_msg("%s\n  wanted: %s\n  got:    %.*s", rows[i].text, rows[i].tokens, STR_ARG(buf_str(&out)));
        buf_fini(&out);
    }
}

static void escapes(void **state)
{
    static const struct { const char *text, *means, *bad; } quoted[] = {
        { "\"\"", "", NULL },
        { "\"a\"", "a", NULL },
        { "\"\\\"\\\\\\n\\t\"", "\"\\\n\t", NULL },
        { "\"\\d\"", NULL, "\\d" },
        { "\"a\\\\\\r\"", NULL, "\\r" },
    };
    struct arena arena = { 0 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(quoted); i++) {
        struct lexer lexer = { .text = str_of(quoted[i].text) };
        struct token token = lex_next(&lexer);
        struct str out, bad;
        assert_int_equal(token.type, TOKEN_QUOTED);
        enum mg_err err = token_unquote(&token, &arena, &out, &bad);
        assert_int_equal(err, quoted[i].bad ? MG_E_FORMAT : MG_OK);
        assert_true(str_eq(err ? bad : out, str_of(err ? quoted[i].bad : quoted[i].means)));
    }
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_become_tokens),
        cmocka_unit_test(escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

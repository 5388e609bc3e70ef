/* attribute_lex.c - see attribute_lex.h. */
#include "attribute/attribute_lex.h"

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/* "a->b" is three tokens, though a key may hold a dash. */
static bool is_arrow(struct str text, size_t at)
{
    return text.ptr[at] == '-' && at + 1 < text.len && text.ptr[at + 1] == '>';
}

static size_t word_end(struct str text, size_t at)
{
    while (at < text.len && is_key_char(text.ptr[at]) && !is_arrow(text, at))
        at++;
    return at;
}

/* Behind the closing quote, or 0. */
static size_t quoted_end(struct str text, size_t at)
{
    for (at++; at < text.len; at++) {
        if (text.ptr[at] == '"')
            return at + 1;
        if (text.ptr[at] == '\\')
            at++;
    }
    return 0;
}

static size_t sign_end(struct str text, size_t at)
{
    static const char *const signs[] = { "->", "!=", "<=", ">=", "=", "<", ">", "~", "," };
    struct str rest = str_n(text.ptr + at, text.len - at);

    for (size_t i = 0; i < MG_COUNT(signs); i++)
        if (str_starts(rest, str_of(signs[i])))
            return at + strlen(signs[i]);
    return 0;
}

static bool is_inside_character(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80;
}

static struct token token_read(struct lexer *lexer)
{
    struct str text = lexer->text;
    size_t at = lexer->at, end;

    if (at == text.len)
        return (struct token){ .type = TOKEN_END, .text = STR("") };
    if (text.ptr[at] == '"') {
        end = quoted_end(text, at);
        lexer->at = end ? end : text.len;
        return end ? (struct token){ .type = TOKEN_QUOTED, .text = str_n(text.ptr + at + 1, end - at - 2) }
                   : (struct token){ .type = TOKEN_BAD, .text = str_n(text.ptr + at, text.len - at) };
    }
    if ((end = word_end(text, at)) > at) {
        lexer->at = end;
        return (struct token){ .type = TOKEN_WORD, .text = str_n(text.ptr + at, end - at) };
    }
    if ((end = sign_end(text, at)) > at) {
        lexer->at = end;
        return (struct token){ .type = TOKEN_SIGN, .text = str_n(text.ptr + at, end - at) };
    }
    for (end = at + 1; end < text.len && is_inside_character(text.ptr[end]);)
        end++;
    lexer->at = end;
    return (struct token){ .type = TOKEN_BAD, .text = str_n(text.ptr + at, end - at) };
}

struct token lex_next(struct lexer *lexer)
{
    size_t before = lexer->at;

    while (lexer->at < lexer->text.len && (lexer->text.ptr[lexer->at] == ' ' || lexer->text.ptr[lexer->at] == '\t'))
        lexer->at++;
    size_t at = lexer->at;
    struct token token = token_read(lexer);
    token.at = at;
    token.is_adjacent = at == before;
    return token;
}

size_t token_column(const struct lexer *lexer, const struct token *token)
{
    size_t column = 1;

    for (size_t i = 0; i < token->at; i++)
        column += !is_inside_character(lexer->text.ptr[i]);
    return column;
}

bool token_is(const struct token *token, enum token_type type, struct str text)
{
    return token->type == type && str_eq(token->text, text);
}

enum mg_err token_unquote(const struct token *token, struct arena *arena, struct str *out, struct str *bad)
{
    static const char escapes[][2] = { { '"', '"' }, { '\\', '\\' }, { 'n', '\n' }, { 't', '\t' } };
    char *text = arena_alloc(arena, token->text.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < token->text.len; i++) {
        text[n] = token->text.ptr[i];
        if (text[n++] != '\\')
            continue;
        size_t e = 0;
        while (e < MG_COUNT(escapes) && escapes[e][0] != token->text.ptr[i + 1])
            e++; /* the lexer saw to it that a character follows */
        if (e == MG_COUNT(escapes)) {
            *bad = str_n(token->text.ptr + i, 2);
            return MG_E_FORMAT;
        }
        text[n - 1] = escapes[e][1];
        i++;
    }
    *out = str_n(text, n);
    return MG_OK;
}

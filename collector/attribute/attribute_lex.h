/* attribute_lex.h - a rule's text to words, private to attribute. Any thread. */
#pragma once
#include "base/arena.h"
#include "base/str.h"

enum token_type {
    TOKEN_END,
    TOKEN_WORD,   /* letters, digits and . _ - */
    TOKEN_QUOTED, /* text: what stands between the quotes, backslashes as written */
    TOKEN_SIGN,   /* = != < <= > >= ~ , -> */
    TOKEN_BAD     /* a quote that is not closed, or a character that begins nothing */
};
struct token {
    enum token_type type;
    struct str text;
    size_t at;        /* bytes of the text before it */
    bool is_adjacent; /* nothing stands between it and the token before */
};
struct lexer { struct str text; size_t at; };

struct token lex_next(struct lexer *lexer);
/* Where it begins, in characters, from 1. For errors: walks the text up to there. */
size_t token_column(const struct lexer *lexer, const struct token *token);
bool token_is(const struct token *token, enum token_type type, struct str text);
/* The text that a quoted token means: \" \\ \n \t are the escapes. E_FORMAT: another one, which *bad names. */
enum mg_err token_unquote(const struct token *token, struct arena *arena, struct str *out, struct str *bad) MG_MUST_USE;

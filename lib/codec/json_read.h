/* json_read.h - pull reader over a complete JSON text in memory, for hot ingest: no tree, no
 * allocation per value (strings with escapes are unescaped into the reader's scratch arena).
 *
 * Strict RFC 8259, except that what the callers allow is theirs to allow. Depth limit, BOM refused,
 * raw control characters refused, a lone surrogate becomes U+FFFD, text after the document is an
 * error. Invalid UTF-8 inside strings is passed through as it is (the caller decides). */
#pragma once
#include "base/arena.h"

enum json_token {
    JSON_TOKEN_ERROR, JSON_TOKEN_END, /* END: document complete, only white space followed */
    JSON_TOKEN_OBJECT, JSON_TOKEN_OBJECT_END, JSON_TOKEN_ARRAY, JSON_TOKEN_ARRAY_END,
    JSON_TOKEN_KEY,                   /* text: the key; its value is the next token */
    JSON_TOKEN_STRING, JSON_TOKEN_NUMBER, /* text: a number's as written */
    JSON_TOKEN_TRUE, JSON_TOKEN_FALSE, JSON_TOKEN_NULL
};
struct json_reader; /* one thread; its fields are below only for json_next_member */
struct json_reader *json_reader_new(unsigned depth_max); /* ≤ 256 */
void json_reader_free(struct json_reader **reader);
/* From the next begin on, as Zipkin's own reader has it: raw control characters inside strings are taken as they are, a lone surrogate becomes
 * a question mark. */
void json_reader_be_lenient(struct json_reader *reader);
/* Borrows text until the next begin, or free. */
void json_reader_begin(struct json_reader *reader, struct str text);
enum json_token json_next(struct json_reader *reader);
struct str json_text(const struct json_reader *reader); /* of KEY, STRING, NUMBER; until begin */
enum json_token json_peek(struct json_reader *reader);
struct json_read_member {
    struct str key;
    enum json_token token; /* of the value; an OBJECT or ARRAY is open then */
    struct str text;       /* of a STRING or NUMBER */
};
/* json_next twice in one step, which is much quicker: a key and the token of its value. Returns KEY, also
 * when the value is an ERROR; what json_next says when there is no key, and *out is then as before. */
static inline enum json_token json_next_member(struct json_reader *reader, struct json_read_member *out);
bool json_skip(struct json_reader *reader); /* skips the next value whole; false: error */
bool json_leave(struct json_reader *reader); /* skips to behind the end of what is open; false: error */
size_t json_offset(const struct json_reader *reader); /* byte of the last token, for messages */
const char *json_reader_error(const struct json_reader *reader); /* "" when none */

/* ---- what json_next_member is made of ---- */

enum json_expect {
    JSON_EXPECT_VALUE,         /* the document, or behind a key, or behind a comma of an array */
    JSON_EXPECT_VALUE_OR_END,  /* behind [ */
    JSON_EXPECT_KEY_OR_END,    /* behind { */
    JSON_EXPECT_ITEM_OR_END,   /* behind a value in an array: a comma or ] */
    JSON_EXPECT_MEMBER_OR_END, /* behind a value in an object: a comma or } */
    JSON_EXPECT_NOTHING        /* behind the document, or an error */
};
struct json_item {
    enum json_token token;
    size_t offset; /* of its first byte */
    struct str text;
};
#define JSON_DEPTH_LIMIT 256
#define JSON_BLOCK_BYTES 64
struct json_reader {
    struct str text;
    size_t at;      /* byte to read next */
    size_t block;   /* offset of as many bytes of the text as there are bits in … */
    uint64_t stops; /* … lowest first: quotes, backslashes, control characters */
    unsigned depth, depth_max;
    uint64_t is_object[JSON_DEPTH_LIMIT / 64]; /* one bit a level */
    enum json_expect expect;
    struct json_item items[2]; /* [now]: the last token told; the other: the next one when has_ahead */
    unsigned now;
    bool has_ahead, is_lenient;
    const char *error;    /* NULL: none */
    struct arena scratch; /* unescaped strings of this text */
};
enum json_token json_next_member_slow(struct json_reader *reader, struct json_read_member *out);
struct str json_next_value_slow(struct json_reader *reader); /* behind its key */
size_t json_stop_further(struct json_reader *reader, size_t at); /* json_stop when this block has none */

/* The first stop at or behind `at`; the length of the text when there is none. */
static inline size_t json_stop(struct json_reader *r, size_t at)
{
    size_t into = at - r->block;
    uint64_t stops = into < JSON_BLOCK_BYTES ? r->stops >> into : 0;

    return stops ? at + (size_t)__builtin_ctzll(stops) : json_stop_further(r, at);
}

/* The quote that ends the string whose text begins at `at`, when it is the first stop there; else 0. */
static inline size_t json_plain_end(struct json_reader *r, size_t at)
{
    size_t end = json_stop(r, at);

    return end < r->text.len && r->text.ptr[end] == '"' ? end : 0;
}

/* `,"key":` without white space, and something behind it, where r->at is then. False: nothing was read. */
static inline bool json_plain_key(struct json_reader *r, struct str *out)
{
    size_t at = r->at, end;

    if (r->has_ahead || r->text.len - at < 2)
        return false;
    if (r->expect == JSON_EXPECT_MEMBER_OR_END ? r->text.ptr[at++] != ',' : r->expect != JSON_EXPECT_KEY_OR_END)
        return false;
    if (r->text.ptr[at++] != '"' || (end = json_plain_end(r, at)) == 0)
        return false;
    if (r->text.len - end < 3 || r->text.ptr[end + 1] != ':')
        return false;
    *out = str_n(r->text.ptr + at, end - at);
    r->at = end + 2;
    return true;
}

/* False: nothing was read. */
static inline bool json_plain_string(struct json_reader *r, struct str *out)
{
    size_t at = r->at + 1, end;

    if (r->text.ptr[at - 1] != '"' || (end = json_plain_end(r, at)) == 0)
        return false;
    *out = str_n(r->text.ptr + at, end - at);
    r->items[r->now] = (struct json_item){ JSON_TOKEN_STRING, r->at, *out };
    r->at = end + 1;
    r->expect = JSON_EXPECT_MEMBER_OR_END;
    return true;
}

/* Nearly every member is a plain key and a plain string without white space. */
__attribute__((always_inline)) static inline enum json_token json_next_member(struct json_reader *r,
                                                                            struct json_read_member *out)
{
    if (!json_plain_key(r, &out->key)) {
        struct json_read_member odd; /* its address is taken; *out can stay in registers */
        enum json_token token = json_next_member_slow(r, &odd);
        if (token == JSON_TOKEN_KEY)
            *out = odd;
        return token;
    }
    if (!json_plain_string(r, &out->text))
        out->text = json_next_value_slow(r);
    out->token = r->items[r->now].token;
    return JSON_TOKEN_KEY;
}

/* json_read.c - a scanner and a stack of one bit a level (object or array), nothing else.
 *
 * What may come next is `expect`; a key swallows its colon, so that a value always follows a KEY. A
 * string without an escape is a slice of the input; strings are searched eight bytes a step for the
 * three things that can stop them. One with escapes is unescaped into the arena: every escape is
 * longer than what it stands for, so its raw length is room enough. An error is for ever. */
#include "codec/json_read.h"
#include <assert.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "codec/utf8.h"

#define DEPTH_MAX 256

enum expect {
    VALUE,        /* the document, or behind a key, or behind a comma of an array */
    VALUE_OR_END, /* behind [ */
    KEY,          /* behind a comma of an object */
    KEY_OR_END,   /* behind { */
    COMMA_OR_END, /* behind a value inside something */
    NOTHING       /* behind the document */
};

struct item {
    enum json_token token;
    size_t offset; /* of its first byte */
    struct str text;
};

struct json_reader {
    struct str text;
    size_t at; /* byte to read next */
    unsigned depth, depth_max;
    uint64_t is_object[DEPTH_MAX / 64]; /* one bit a level */
    enum expect expect;
    struct item items[2];   /* [now]: the last token told; the other: the next one when has_ahead */
    unsigned now;
    bool has_ahead, is_lenient;
    const char *error;    /* NULL: none */
    struct arena scratch; /* unescaped strings of this text */
};

struct json_reader *json_reader_new(unsigned depth_max)
{
    assert(depth_max <= DEPTH_MAX);
    struct json_reader *r = MEM_NEW(struct json_reader);
    r->depth_max = depth_max;
    json_reader_begin(r, STR(""));
    return r;
}

void json_reader_free(struct json_reader **reader)
{
    if (!*reader)
        return;
    arena_fini(&(*reader)->scratch);
    mem_free(*reader);
    *reader = NULL;
}

void json_reader_be_lenient(struct json_reader *r)
{
    r->is_lenient = true;
}

void json_reader_begin(struct json_reader *r, struct str text)
{
    arena_reset(&r->scratch);
    r->text = text;
    r->at = 0;
    r->depth = 0;
    r->expect = VALUE;
    r->items[0] = r->items[1] = (struct item){.token = JSON_TOKEN_ERROR};
    r->has_ahead = false;
    r->error = NULL;
}

static enum json_token fail(struct json_reader *r, const char *error)
{
    r->error = error;
    return JSON_TOKEN_ERROR;
}

static bool skip_space(struct json_reader *r)
{
    while (r->at < r->text.len) {
        char c = r->text.ptr[r->at];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
            return true;
        r->at++;
    }
    return false;
}

/* ---- strings ---- */

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

/* The first quote, backslash or control character at or behind `at`; the length when there is none.
 * Sixteen bytes a step, then eight by the usual tricks on words: a borrow can make a wrong hit only above a right one. */
static size_t find_stop(struct str text, size_t at)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    for (; text.len - at >= 16; at += 16) {
        bytes16 bytes;
        memcpy(&bytes, text.ptr + at, sizeof bytes);
        words2 hits = (words2)((bytes == '"') | (bytes == '\\') | (bytes < 0x20));
        if (hits[0])
            return at + (size_t)__builtin_ctzll(hits[0]) / 8;
        if (hits[1])
            return at + 8 + (size_t)__builtin_ctzll(hits[1]) / 8;
    }
    for (; text.len - at >= 8; at += 8) {
        uint64_t word = get_le64(text.ptr + at);
        uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
        uint64_t hits =
            ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((word - ones * 0x20) & ~word);
        hits &= highs;
        if (hits)
            return at + (size_t)__builtin_ctzll(hits) / 8;
    }
    for (; at < text.len; at++) {
        uint8_t c = (uint8_t)text.ptr[at];
        if (c < 0x20 || c == '"' || c == '\\')
            return at;
    }
    return at;
}

static bool read_hex4(struct str raw, size_t at, uint32_t *out)
{
    uint8_t bytes[2];
    if (raw.len - at < 4 || !hex_decode(str_n(raw.ptr + at, 4), bytes, 2))
        return false;
    *out = get_be16(bytes);
    return true;
}

/* The \u escape whose digits are at *at, and the low surrogate's behind it when it is a high one; `lone` stands for half a pair. */
static bool read_code_point(struct str raw, size_t *at, uint32_t lone, uint32_t *out)
{
    uint32_t unit, low;
    if (!read_hex4(raw, *at, &unit))
        return false;
    *at += 4;
    *out = unit;
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    *out = lone;
    if (unit > 0xdbff || raw.len - *at < 6 || raw.ptr[*at] != '\\' || raw.ptr[*at + 1] != 'u')
        return true;
    /* Wrong digits are found when that escape's turn comes. */
    if (read_hex4(raw, *at + 2, &low) && low >= 0xdc00 && low <= 0xdfff) {
        *out = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        *at += 6;
    }
    return true;
}

/* The escape whose letter is at *at. Returns bytes written, 0 when it is none. */
static size_t unescape_one(struct str raw, size_t *at, uint32_t lone, char to[4])
{
    static const char plain[128] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    uint8_t letter = (uint8_t)raw.ptr[(*at)++];
    if (letter == 'u') {
        uint32_t code_point;
        return read_code_point(raw, at, lone, &code_point) ? utf8_encode(code_point, to) : 0;
    }
    to[0] = letter < 128 ? plain[letter] : 0;
    return to[0] != 0;
}

/* Control characters are no reason to stop when they are taken as they are. */
static size_t find_escape(const struct json_reader *r, struct str raw, size_t at)
{
    while ((at = find_stop(raw, at)) < raw.len && r->is_lenient && raw.ptr[at] != '\\')
        at++;
    return at;
}

/* raw: what stands between the quotes; every backslash in it has a byte behind it. */
static bool unescape(struct json_reader *r, struct str raw, size_t first, struct str *out)
{
    char *to = arena_alloc(&r->scratch, raw.len);
    uint32_t lone = r->is_lenient ? '?' : 0xfffd;
    size_t made = 0;
    for (size_t at = 0, stop = first; at < raw.len;) {
        memcpy(to + made, raw.ptr + at, stop - at);
        made += stop - at;
        if (stop == raw.len)
            break;
        at = stop + 1;
        char one[4];
        size_t n = unescape_one(raw, &at, lone, one);
        if (n == 0)
            return false;
        memcpy(to + made, one, n);
        made += n;
        stop = find_escape(r, raw, at); /* quotes stand behind backslashes only */
    }
    *out = str_n(to, made);
    return true;
}

/* The opening quote is at r->at. */
static bool read_string(struct json_reader *r, struct str *out)
{
    size_t start = r->at + 1, first_escape = SIZE_MAX, at = start;

    for (;; at++) {
        at = find_stop(r->text, at);
        if (at >= r->text.len || (r->text.ptr[at] == '\\' && at + 1 >= r->text.len))
            return fail(r, "the text ends inside a string");
        if (r->text.ptr[at] == '"')
            break;
        if (r->text.ptr[at] != '\\' && r->is_lenient)
            continue;
        if (r->text.ptr[at] != '\\' || (uint8_t)r->text.ptr[at + 1] < 0x20)
            return fail(r, "a raw control character inside a string");
        first_escape = MG_MIN(first_escape, at - start);
        at++;
    }
    struct str raw = str_n(r->text.ptr + start, at - start);
    r->at = at + 1;
    *out = raw;
    if (first_escape != SIZE_MAX && !unescape(r, raw, first_escape, out))
        return fail(r, "a wrong escape inside a string");
    return true;
}

/* ---- numbers and words ---- */

static size_t digits_end(struct str text, size_t at)
{
    while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9')
        at++;
    return at;
}

static bool has_byte(struct str text, size_t at, char a, char b)
{
    return at < text.len && (text.ptr[at] == a || text.ptr[at] == b);
}

/* RFC 8259 6: -? (0 | [1-9] digits) (. digits+)? ([eE] [+-]? digits+)? */
static enum json_token read_number(struct json_reader *r, struct str *out)
{
    size_t start = r->at, at = start, from;
    at += has_byte(r->text, at, '-', '-');
    from = at;
    at = has_byte(r->text, at, '0', '0') ? at + 1 : digits_end(r->text, at);
    if (at == from)
        return fail(r, "a number without digits");
    if (has_byte(r->text, at, '.', '.')) {
        from = at + 1;
        at = digits_end(r->text, from);
        if (at == from)
            return fail(r, "a number without digits behind its point");
    }
    if (has_byte(r->text, at, 'e', 'E')) {
        at++;
        at += has_byte(r->text, at, '+', '-');
        from = at;
        at = digits_end(r->text, from);
        if (at == from)
            return fail(r, "a number without digits in its exponent");
    }
    *out = str_n(r->text.ptr + start, at - start);
    r->at = at;
    return JSON_TOKEN_NUMBER;
}

static enum json_token read_word(struct json_reader *r, struct str word, enum json_token token)
{
    if (r->text.len - r->at < word.len || memcmp(r->text.ptr + r->at, word.ptr, word.len) != 0)
        return fail(r, "not a JSON value");
    r->at += word.len;
    return token;
}

/* ---- structure ---- */

static bool in_object(const struct json_reader *r)
{
    return r->depth > 0 && (r->is_object[(r->depth - 1) / 64] >> (r->depth - 1) % 64 & 1);
}

static void after_value(struct json_reader *r)
{
    r->expect = r->depth > 0 ? COMMA_OR_END : NOTHING;
}

static enum json_token open_level(struct json_reader *r, bool is_object)
{
    if (r->depth == r->depth_max)
        return fail(r, "nested deeper than the limit");
    uint64_t bit = UINT64_C(1) << r->depth % 64, *bits = &r->is_object[r->depth / 64];
    *bits = is_object ? *bits | bit : *bits & ~bit;
    r->depth++;
    r->at++;
    r->expect = is_object ? KEY_OR_END : VALUE_OR_END;
    return is_object ? JSON_TOKEN_OBJECT : JSON_TOKEN_ARRAY;
}

static enum json_token close_level(struct json_reader *r)
{
    bool is_object = in_object(r);
    r->at++;
    r->depth--;
    after_value(r);
    return is_object ? JSON_TOKEN_OBJECT_END : JSON_TOKEN_ARRAY_END;
}

static enum json_token read_key(struct json_reader *r, struct str *out)
{
    if (r->text.ptr[r->at] != '"')
        return fail(r, "a key was expected");
    if (!read_string(r, out))
        return JSON_TOKEN_ERROR;
    if (!skip_space(r) || r->text.ptr[r->at] != ':')
        return fail(r, "a colon was expected behind the key");
    r->at++;
    r->expect = VALUE;
    return JSON_TOKEN_KEY;
}

static enum json_token read_scalar(struct json_reader *r, struct str *out)
{
    switch (r->text.ptr[r->at]) {
    case '"':
        return read_string(r, out) ? JSON_TOKEN_STRING : JSON_TOKEN_ERROR;
    case 't':
        return read_word(r, STR("true"), JSON_TOKEN_TRUE);
    case 'f':
        return read_word(r, STR("false"), JSON_TOKEN_FALSE);
    case 'n':
        return read_word(r, STR("null"), JSON_TOKEN_NULL);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return read_number(r, out);
    case (char)0xef:
        return fail(r, "not a JSON value (a byte order mark is not allowed)");
    default:
        return fail(r, "not a JSON value");
    }
}

static enum json_token read_value(struct json_reader *r, struct str *out)
{
    char c = r->text.ptr[r->at];
    if (c == '{' || c == '[')
        return open_level(r, c == '{');
    enum json_token token = read_scalar(r, out);
    if (token != JSON_TOKEN_ERROR)
        after_value(r);
    return token;
}

/* Behind a value inside something: the end of it, or a comma and what must follow it. */
static enum json_token read_more(struct json_reader *r, struct item *item)
{
    bool is_object = in_object(r);
    char c = r->text.ptr[r->at];
    if (c == (is_object ? '}' : ']'))
        return close_level(r);
    if (c != ',')
        return fail(r, is_object ? "a comma or } was expected" : "a comma or ] was expected");
    r->at++;
    if (!skip_space(r))
        return fail(r, "the text ends inside the document");
    item->offset = r->at;
    return is_object ? read_key(r, &item->text) : read_value(r, &item->text);
}

static enum json_token read_token(struct json_reader *r, struct item *item)
{
    if (r->error)
        return JSON_TOKEN_ERROR;
    bool has_more = skip_space(r);
    item->offset = r->at;
    if (!has_more && r->expect != NOTHING)
        return fail(r, r->depth ? "the text ends inside the document" : "the text is empty");
    switch (r->expect) {
    case NOTHING:
        return has_more ? fail(r, "text follows the document") : JSON_TOKEN_END;
    case COMMA_OR_END:
        return read_more(r, item);
    case KEY_OR_END:
        if (r->text.ptr[r->at] == '}')
            return close_level(r);
        return read_key(r, &item->text);
    case VALUE_OR_END:
        if (r->text.ptr[r->at] == ']')
            return close_level(r);
        return read_value(r, &item->text);
    case KEY: /* always read together with its comma */
    case VALUE:
        break;
    }
    return read_value(r, &item->text);
}

static enum json_token read_into(struct json_reader *r, struct item *item)
{
    item->text = STR("");
    item->token = read_token(r, item);
    return item->token;
}

enum json_token json_next(struct json_reader *r)
{
    if (!r->has_ahead)
        return read_into(r, &r->items[r->now]);
    r->has_ahead = false;
    r->now ^= 1;
    return r->items[r->now].token;
}

enum json_token json_peek(struct json_reader *r)
{
    struct item *ahead = &r->items[r->now ^ 1];

    if (r->has_ahead)
        return ahead->token;
    r->has_ahead = true;
    return read_into(r, ahead);
}

bool json_skip(struct json_reader *r)
{
    unsigned open = 0;
    do {
        switch (json_next(r)) {
        case JSON_TOKEN_ERROR:
        case JSON_TOKEN_END:
            return false;
        case JSON_TOKEN_OBJECT:
        case JSON_TOKEN_ARRAY:
            open++;
            break;
        case JSON_TOKEN_OBJECT_END:
        case JSON_TOKEN_ARRAY_END:
            if (open == 0) /* no value stood here */
                return false;
            open--;
            break;
        default:
            break;
        }
    } while (open > 0);
    return true;
}

struct str json_text(const struct json_reader *r)
{
    return r->items[r->now].text;
}

size_t json_offset(const struct json_reader *r)
{
    return r->items[r->now].offset;
}

const char *json_reader_error(const struct json_reader *r)
{
    return r->error ? r->error : "";
}

/* json_read.c - a scanner and a stack of one bit a level (object or array), nothing else.
 *
 * What may come next is `expect`; a key swallows its colon, so that a value always follows a KEY.
 *
 * What can stop a string is looked for in 64 bytes at once and remembered as bits, before anybody asks:
 * the end of a string is then found by counting zeros, and no string waits for the one before it. Most
 * strings have no escape, and are a slice of the input. One with escapes is unescaped into the arena:
 * every escape is longer than what it stands for, so its raw length is room enough. An error is for
 * ever. */
#include "codec/json_read.h"
#include <assert.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include "base/bytes.h"
#include "base/mem.h"
#include "codec/utf8.h"

/* ---- stops ---- */

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* A bit for each byte, lowest first. The bytes are all zeros or all ones. */
static inline uint64_t bits_of(bytes16 hits)
{
#ifdef __SSE2__
    return (uint64_t)_mm_movemask_epi8((__m128i)hits);
#else
    /* One bit of each byte; a multiplication brings those of eight together. */
    uint64_t words[2];

    memcpy(words, &hits, sizeof words);
    words[0] &= 0x8040201008040201u;
    words[1] &= 0x8040201008040201u;
    return words[0] * 0x0101010101010101u >> 56 | (words[1] * 0x0101010101010101u >> 56) << 8;
#endif
}

/* Of sixteen bytes: the quotes, backslashes and control characters. */
static inline uint64_t stops16(const char *p)
{
    bytes16 bytes;

    memcpy(&bytes, p, sizeof bytes);
    /* With one bit turned, the quote is 0x20, and so beside the control characters. */
    return bits_of((bytes16)(((bytes ^ 2) < 0x21) | (bytes == '\\')));
}

static inline uint64_t stops64(const char *p)
{
    return stops16(p) | stops16(p + 16) << 16 | stops16(p + 32) << 32 | stops16(p + 48) << 48;
}

/* Of the last bytes of a text. */
static __attribute__((noinline)) uint64_t stops_of_rest(struct str rest)
{
    char bytes[JSON_BLOCK_BYTES];

    memset(bytes, 'x', sizeof bytes);
    if (rest.len)
        memcpy(bytes, rest.ptr, rest.len);
    return stops64(bytes);
}

static inline void block_read(struct json_reader *r, size_t at)
{
    size_t rest = r->text.len - at;

    r->block = at;
    r->stops = rest >= JSON_BLOCK_BYTES ? stops64(r->text.ptr + at) : stops_of_rest(str_n(r->text.ptr + at, rest));
}

size_t json_stop_further(struct json_reader *r, size_t at)
{
    if (at - r->block < JSON_BLOCK_BYTES)
        at = r->block + JSON_BLOCK_BYTES;
    for (; at < r->text.len; at += JSON_BLOCK_BYTES) {
        block_read(r, at);
        if (r->stops)
            return at + (size_t)__builtin_ctzll(r->stops);
    }
    return r->text.len;
}

/* ---- life ---- */

struct json_reader *json_reader_new(unsigned depth_max)
{
    assert(depth_max <= JSON_DEPTH_LIMIT);
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
    r->text = text.len ? text : STR("");
    r->at = 0;
    block_read(r, 0);
    r->depth = 0;
    r->expect = JSON_EXPECT_VALUE;
    r->items[0] = r->items[1] = (struct json_item){.token = JSON_TOKEN_ERROR};
    r->has_ahead = false;
    r->error = NULL;
}

static enum json_token fail(struct json_reader *r, const char *error)
{
    r->error = error;
    r->expect = JSON_EXPECT_NOTHING; /* so that no quick way is tried */
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

/* raw: what stands between the quotes. Every backslash in it has a byte behind it; control characters
 * stand for themselves. As many bytes are always free to write as are left to read. */
static bool unescape(struct json_reader *r, struct str raw, struct str *out)
{
    char *to = arena_alloc(&r->scratch, raw.len), *start = to;
    uint32_t lone = r->is_lenient ? '?' : 0xfffd;

    for (size_t at = 0; at < raw.len;) {
        if (raw.len - at >= 16) {
            uint64_t stops = stops16(raw.ptr + at);
            size_t n = stops ? (size_t)__builtin_ctzll(stops) : 16;
            memcpy(to, raw.ptr + at, 16);
            to += n;
            at += n;
            if (n == 16)
                continue;
        }
        if (raw.ptr[at] != '\\') {
            *to++ = raw.ptr[at++];
            continue;
        }
        at++;
        size_t n = unescape_one(raw, &at, lone, to);
        if (n == 0)
            return false;
        to += n;
    }
    *out = str_n(start, (size_t)(to - start));
    return true;
}

/* The opening quote is at r->at. */
static bool read_string(struct json_reader *r, struct str *out)
{
    size_t start = r->at + 1, at = start;
    bool has_escape = false;

    for (;; at++) {
        at = json_stop(r, at);
        if (at >= r->text.len || (r->text.ptr[at] == '\\' && at + 1 >= r->text.len))
            return fail(r, "the text ends inside a string");
        if (r->text.ptr[at] == '"')
            break;
        if (r->text.ptr[at] != '\\' && r->is_lenient)
            continue;
        if (r->text.ptr[at] != '\\' || (uint8_t)r->text.ptr[at + 1] < 0x20)
            return fail(r, "a raw control character inside a string");
        has_escape = true;
        at++;
    }
    struct str raw = str_n(r->text.ptr + start, at - start);
    r->at = at + 1;
    *out = raw;
    if (has_escape && !unescape(r, raw, out))
        return fail(r, "a wrong escape inside a string");
    return true;
}

/* ---- numbers and words ---- */

/* Eight bytes a step: what a byte that is no digit carries changes only those above it. */
static size_t digits_end(struct str text, size_t at)
{
    for (; text.len - at >= 8; at += 8) {
        uint64_t word = get_le64(text.ptr + at) ^ 0x3030303030303030u;
        uint64_t others = (word | (word + 0x7676767676767676u)) & 0x8080808080808080u;
        if (others)
            return at + (size_t)__builtin_ctzll(others) / 8;
    }
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
    if (r->depth == 0)
        r->expect = JSON_EXPECT_NOTHING;
    else
        r->expect = in_object(r) ? JSON_EXPECT_MEMBER_OR_END : JSON_EXPECT_ITEM_OR_END;
}

static enum json_token open_level(struct json_reader *r, bool is_object)
{
    if (r->depth == r->depth_max)
        return fail(r, "nested deeper than the limit");
    uint64_t bit = UINT64_C(1) << r->depth % 64, *bits = &r->is_object[r->depth / 64];
    *bits = is_object ? *bits | bit : *bits & ~bit;
    r->depth++;
    r->at++;
    r->expect = is_object ? JSON_EXPECT_KEY_OR_END : JSON_EXPECT_VALUE_OR_END;
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
    r->expect = JSON_EXPECT_VALUE;
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
static enum json_token read_more(struct json_reader *r, struct json_item *item)
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

static enum json_token read_token(struct json_reader *r, struct json_item *item)
{
    if (r->error)
        return JSON_TOKEN_ERROR;
    bool has_more = skip_space(r);
    item->offset = r->at;
    if (!has_more && r->expect != JSON_EXPECT_NOTHING)
        return fail(r, r->depth ? "the text ends inside the document" : "the text is empty");
    switch (r->expect) {
    case JSON_EXPECT_NOTHING:
        return has_more ? fail(r, "text follows the document") : JSON_TOKEN_END;
    case JSON_EXPECT_ITEM_OR_END:
    case JSON_EXPECT_MEMBER_OR_END:
        return read_more(r, item);
    case JSON_EXPECT_KEY_OR_END:
        if (r->text.ptr[r->at] == '}')
            return close_level(r);
        return read_key(r, &item->text);
    case JSON_EXPECT_VALUE_OR_END:
        if (r->text.ptr[r->at] == ']')
            return close_level(r);
        return read_value(r, &item->text);
    case JSON_EXPECT_VALUE:
        break;
    }
    return read_value(r, &item->text);
}

static enum json_token read_into(struct json_reader *r, struct json_item *item)
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
    struct json_item *ahead = &r->items[r->now ^ 1];

    if (r->has_ahead)
        return ahead->token;
    r->has_ahead = true;
    return read_into(r, ahead);
}

/* ---- members ---- */

/* Digits alone, as most numbers are, and behind them what must be there. False: nothing was read. */
static bool read_plain_number(struct json_reader *r)
{
    size_t start = r->at, end;

    if (r->text.ptr[start] < '1' || r->text.ptr[start] > '9')
        return false;
    end = digits_end(r->text, start);
    if (end == r->text.len || (r->text.ptr[end] != ',' && r->text.ptr[end] != '}'))
        return false;
    r->items[r->now] = (struct json_item){ JSON_TOKEN_NUMBER, start, str_n(r->text.ptr + start, end - start) };
    r->at = end;
    r->expect = JSON_EXPECT_MEMBER_OR_END;
    return true;
}

struct str json_next_value_slow(struct json_reader *r)
{
    if (!read_plain_number(r)) {
        r->expect = JSON_EXPECT_VALUE;
        json_next(r);
    }
    return json_text(r);
}

enum json_token json_next_member_slow(struct json_reader *r, struct json_read_member *out)
{
    enum json_token token = json_next(r);

    if (token != JSON_TOKEN_KEY)
        return token;
    out->key = json_text(r);
    out->token = json_next(r);
    out->text = json_text(r);
    return token;
}

/* The next value and what is open around it. */
static bool skip_levels(struct json_reader *r, unsigned open)
{
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

bool json_skip(struct json_reader *r)
{
    return skip_levels(r, 0);
}

bool json_leave(struct json_reader *r)
{
    return skip_levels(r, 1);
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

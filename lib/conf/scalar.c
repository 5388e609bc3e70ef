/* scalar.c - the characters decide. A string is written plain only when it consists of characters
 * that are nothing but text to every YAML reader; quotes cost nothing. */
#include "conf/scalar.h"

/* Length of the UTF-8 character at p and its code point; 0 when it is malformed, overlong or a
 * surrogate. */
static size_t utf8_one(const char *text, size_t left, uint32_t *code)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *p = (const unsigned char *)text;
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;

    if (len == 0 || len > left || p[0] > 0xf4)
        return 0;
    *code = len == 1 ? p[0] : p[0] & (0xff >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (p[i] & 0x3f);
    }
    bool is_legal = *code >= least[len] && *code <= 0x10ffff && (*code < 0xd800 || *code > 0xdfff);
    return is_legal ? len : 0;
}

enum mg_err scalar_check(struct str text, struct mg_why *why)
{
    for (size_t i = 0, step; i < text.len; i += step) {
        uint32_t code;

        step = utf8_one(text.ptr + i, text.len - i, &code);
        if (step == 0)
            return mg_fail(why, MG_E_FORMAT, "the value is not UTF-8 (byte %zu)", i + 1);
        if ((code < 0x20 && code != '\t' && code != '\n') || code == 0x7f)
            return mg_fail(why, MG_E_FORMAT, "the value has a control character (byte %zu)", i + 1);
    }
    return MG_OK;
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool scalar_is_word_char(char c)
{
    return is_alphanumeric(c) || c == '-' || c == '.' || c == '_';
}

static bool is_plain_char(char c)
{
    return scalar_is_word_char(c) || c == '/' || c == '@' || c == '+';
}

static bool is_plain(struct str s)
{
    if (s.len == 0 || !(scalar_is_word_char(s.ptr[0]) || s.ptr[0] == '/') || s.ptr[0] == '-' ||
        s.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool is_inner_colon = s.ptr[i] == ':' && i + 1 < s.len;

        if (!is_plain_char(s.ptr[i]) && !is_inner_colon)
            return false;
    }
    return !str_eq_nocase(s, STR("null"));
}

/* Numbers with a sign stay as they are. No colon: libyaml 0.1 refuses one in a flow. "-" and "---"
 * mean something, and "-a" does not. */
static bool is_plain_in_flow(struct str s)
{
    bool has_text = false;

    for (size_t i = 0; i < s.len; i++) {
        if (!is_plain_char(s.ptr[i]))
            return false;
        has_text = has_text || is_alphanumeric(s.ptr[i]);
    }
    return has_text && s.ptr[0] != '@' && !str_eq_nocase(s, STR("null"));
}

/* Characters that YAML 1.1 does not take raw, or that would break the line. */
static bool needs_escape(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0xa0) || code == 0x2028 || code == 0x2029 ||
           code == 0xfeff || code == 0xfffe || code == 0xffff;
}

void scalar_print_quoted(struct str s, struct buf *out)
{
    buf_put_char(out, '"');
    for (size_t i = 0, step; i < s.len; i += step) {
        uint32_t code = 0xfffd;

        step = utf8_one(s.ptr + i, s.len - i, &code);
        if (step == 0) { /* only a string that was computed can be this */
            buf_put_text(out, "\\uFFFD");
            step = 1;
            continue;
        }
        if (code == '"' || code == '\\')
            buf_put_char(out, '\\');
        if (needs_escape(code))
            buf_printf(out, "\\u%04X", (unsigned)code);
        else
            buf_put(out, s.ptr + i, step);
    }
    buf_put_char(out, '"');
}

void scalar_print(struct str s, struct buf *out)
{
    if (is_plain(s))
        buf_put_str(out, s);
    else
        scalar_print_quoted(s, out);
}

void scalar_print_in_flow(struct str s, struct buf *out)
{
    if (is_plain_in_flow(s))
        buf_put_str(out, s);
    else
        scalar_print_quoted(s, out);
}

/* Behind "://", or 0 when no scheme stands in front (RFC 3986 3.1, but in any case and behind
 * blanks). */
static size_t scheme_end(struct str text)
{
    struct str trimmed = str_trim(text);
    size_t at = 0, before = (size_t)(trimmed.ptr - text.ptr);

    while (at < trimmed.len && (scalar_is_word_char(trimmed.ptr[at]) || trimmed.ptr[at] == '+'))
        at++;
    return at > 0 && str_starts(str_n(trimmed.ptr + at, trimmed.len - at), STR("://"))
               ? before + at + 3
               : 0;
}

size_t scalar_at(struct str text)
{
    size_t at = text.len;

    while (at > 0 && text.ptr[at - 1] != '@')
        at--;
    return at > 0 ? at - 1 : 0;
}

struct str scalar_hide_password(struct str text, struct arena *arena)
{
    size_t from = text.len ? scheme_end(text) : 0, at = scalar_at(text);

    if (from == 0 || at < from)
        return text;
    return arena_printf(arena, "%.*s***%.*s", (int)from, text.ptr, (int)(text.len - at),
                        text.ptr + at);
}

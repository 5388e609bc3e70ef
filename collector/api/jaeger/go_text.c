/* go_text.c - small readers that stop where Go's stop, because the sentence depends on what was
 * wrong first: digits are judged one after the other, so a number that is both too large and
 * followed by a letter is "out of range" or "invalid" by what comes first.
 *
 * Quoting keeps at most QUOTE_MAX bytes; a struct mg_why holds no more. */
#include "api/jaeger/go_text.h"

#include "base/buf.h"
#include "codec/utf8.h"

#define QUOTE_MAX 380

/* --- quoting
 * ------------------------------------------------------------------------------------------ */

static char escape_of(char c)
{
    static const char from[] = "\a\b\f\n\r\t\v\"\\", to[] = "abfnrtv\"\\";
    const char *found = c ? strchr(from, c) : NULL;

    return found ? to[found - from] : '\0';
}

static void quote_byte(struct buf *out, char c)
{
    char escape = escape_of(c);

    if (escape)
        buf_printf(out, "\\%c", escape);
    else if ((unsigned char)c < 0x20 || (unsigned char)c >= 0x7f)
        buf_printf(out, "\\x%02x", (unsigned char)c);
    else
        buf_put_char(out, c);
}

/* strconv.Quote, save that no table says which characters beyond ASCII can be printed: all can. */
void go_quote(struct buf *out, struct str text)
{
    buf_put_char(out, '"');
    for (size_t i = 0; i < text.len && !out->failed;) {
        bool valid;
        size_t n = utf8_sequence(text.ptr + i, text.len - i, &valid);
        if (valid && n > 1)
            buf_put(out, text.ptr + i, n);
        for (size_t k = 0; k < n && !(valid && n > 1); k++)
            quote_byte(out, text.ptr[i + k]);
        i += n;
    }
    buf_put_char(out, '"');
}

static enum mg_err strconv_fail(struct mg_why *why, const char *function, struct str text,
                                const char *what)
{
    struct buf quoted;

    buf_init(&quoted, QUOTE_MAX);
    go_quote(&quoted, text);
    (void)mg_fail(why, MG_E_FORMAT, "strconv.%s: parsing %.*s: %s", function,
                  STR_ARG(buf_str(&quoted)), what);
    buf_fini(&quoted);
    return MG_E_FORMAT;
}

/* --- numbers
 * ------------------------------------------------------------------------------------------ */

static bool take_sign(struct str *text)
{
    bool is_negative = text->len && text->ptr[0] == '-';

    if (is_negative || (text->len && text->ptr[0] == '+'))
        *text = str_n(text->ptr + 1, text->len - 1);
    return is_negative;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* NULL: read; else what is wrong with it. */
static const char *digits_read(struct str text, unsigned base, uint64_t *out)
{
    uint64_t value = 0;

    if (text.len == 0)
        return "invalid syntax";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i], lower = (char)(c | 0x20);
        unsigned digit = is_digit(c)                    ? (unsigned)(c - '0')
                         : lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10
                                                        : 16;
        if (digit >= base)
            return "invalid syntax";
        if (value > (UINT64_MAX - digit) / base)
            return "value out of range";
        value = value * base + digit;
    }
    *out = value;
    return NULL;
}

enum mg_err go_int_parse(struct str text, unsigned bits, int64_t *out, struct mg_why *why)
{
    uint64_t limit = UINT64_C(1) << (bits - 1), value;
    struct str digits = text;
    bool is_negative = take_sign(&digits);
    const char *wrong = digits_read(digits, 10, &value);

    if (!wrong && value > limit - !is_negative)
        wrong = "value out of range";
    if (wrong)
        return strconv_fail(why, "ParseInt", text, wrong);
    *out = is_negative ? (int64_t)-value : (int64_t)value;
    return MG_OK;
}

enum mg_err go_hex_parse(struct str text, uint64_t *out, struct mg_why *why)
{
    const char *wrong = digits_read(text, 16, out);

    return wrong ? strconv_fail(why, "ParseUint", text, wrong) : MG_OK;
}

enum mg_err go_bool_parse(struct str text, bool *out, struct mg_why *why)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

    for (size_t i = 0; i < MG_COUNT(yes); i++) {
        bool is_true = str_eq(text, str_of(yes[i]));
        if (is_true || str_eq(text, str_of(no[i]))) {
            *out = is_true;
            return MG_OK;
        }
    }
    return strconv_fail(why, "ParseBool", text, "invalid syntax");
}

/* --- durations
 * ---------------------------------------------------------------------------------------- */

#define DURATION_MAX (UINT64_C(1) << 63) /* of the amount; only the negative end reaches it */

static const struct {
    struct str name;
    uint64_t ns;
} units[] = {
    {STR_INIT("ns"), 1},
    {STR_INIT("us"), 1000},
    {STR_INIT("\xc2\xb5s"), 1000}, /* the micro sign */
    {STR_INIT("\xce\xbcs"), 1000}, /* the Greek letter */
    {STR_INIT("ms"), 1000000},
    {STR_INIT("s"), UINT64_C(1000000000)},
    {STR_INIT("m"), UINT64_C(60000000000)},
    {STR_INIT("h"), UINT64_C(3600000000000)},
};

static uint64_t unit_ns(struct str name)
{
    for (size_t i = 0; i < MG_COUNT(units); i++)
        if (str_eq(units[i].name, name))
            return units[i].ns;
    return 0;
}

static enum mg_err duration_fail(struct mg_why *why, struct str text)
{
    struct buf quoted;

    buf_init(&quoted, QUOTE_MAX);
    go_quote(&quoted, text);
    (void)mg_fail(why, MG_E_FORMAT, "time: invalid duration %.*s", STR_ARG(buf_str(&quoted)));
    buf_fini(&quoted);
    return MG_E_FORMAT;
}

static enum mg_err unit_fail(struct mg_why *why, struct str text, struct str unit)
{
    struct buf both;

    buf_init(&both, QUOTE_MAX);
    if (unit.len) {
        buf_put_text(&both, "unknown unit ");
        go_quote(&both, unit);
    } else {
        buf_put_text(&both, "missing unit");
    }
    buf_put_text(&both, " in duration ");
    go_quote(&both, text);
    (void)mg_fail(why, MG_E_FORMAT, "time: %.*s", STR_ARG(buf_str(&both)));
    buf_fini(&both);
    return MG_E_FORMAT;
}

static struct str take_digits(struct str *rest)
{
    size_t n = 0;

    while (n < rest->len && is_digit(rest->ptr[n]))
        n++;
    struct str digits = str_n(rest->ptr, n);
    *rest = str_n(rest->ptr + n, rest->len - n);
    return digits;
}

static struct str take_unit(struct str *rest)
{
    size_t n = 0;

    while (n < rest->len && rest->ptr[n] != '.' && !is_digit(rest->ptr[n]))
        n++;
    struct str unit = str_n(rest->ptr, n);
    *rest = str_n(rest->ptr + n, rest->len - n);
    return unit;
}

/* Digits behind the point, as nanoseconds; those too many for 64 bits do not count. The unit is
 * divided first, as Go does: 0.29s would lose a nanosecond otherwise. */
static uint64_t fraction_ns(struct str digits, uint64_t unit)
{
    uint64_t value = 0;
    double scale = 1;

    for (size_t i = 0; i < digits.len && value <= (DURATION_MAX - 9) / 10; i++) {
        value = value * 10 + (uint64_t)(digits.ptr[i] - '0');
        scale *= 10;
    }
    return (uint64_t)((double)value * ((double)unit / scale));
}

/* One number with its unit off the front of *rest, in nanoseconds. */
static enum mg_err part_read(struct str text, struct str *rest, uint64_t *ns, struct mg_why *why)
{
    struct str whole = take_digits(rest), fraction = STR("");
    uint64_t value = 0;

    if (rest->len && rest->ptr[0] == '.') {
        *rest = str_n(rest->ptr + 1, rest->len - 1);
        fraction = take_digits(rest);
    }
    if (whole.len + fraction.len == 0 || (whole.len && digits_read(whole, 10, &value)))
        return duration_fail(why, text);
    struct str unit = take_unit(rest);
    uint64_t scale = unit_ns(unit);
    if (scale == 0)
        return unit_fail(why, text, unit);
    if (value > DURATION_MAX / scale)
        return duration_fail(why, text);
    *ns = value * scale + fraction_ns(fraction, scale);
    return *ns > DURATION_MAX ? duration_fail(why, text) : MG_OK;
}

enum mg_err go_duration_parse(struct str text, int64_t *ns, struct mg_why *why)
{
    struct str rest = text;
    bool is_negative = take_sign(&rest);
    uint64_t sum = 0, part = 0;

    if (rest.len == 0)
        return duration_fail(why, text);
    if (str_eq(rest, STR("0")))
        rest.len = 0;
    while (rest.len) {
        MG_TRY(part_read(text, &rest, &part, why));
        if (part > DURATION_MAX - sum)
            return duration_fail(why, text);
        sum += part;
    }
    if (sum > DURATION_MAX - !is_negative)
        return duration_fail(why, text);
    *ns = is_negative ? (int64_t)-sum : (int64_t)sum;
    return MG_OK;
}

/* log.c - builds one line in a buffer and hands it to the kernel in one write(2).
 *
 * A line is at most 4 KiB, which a pipe takes whole or not at all (PIPE_BUF): lines of several
 * threads and processes on one pipe never mix, without a lock. So a long value is cut with an
 * ellipsis, and a field that no longer fits is left out and `cut=true` ends the line.
 *
 * Values come from strangers. Nothing in one may start a new line, close its quotes or steer the
 * terminal of whoever reads the log, so besides quotes and control bytes the invisible controls of
 * Unicode (C1, line separators, direction overrides) are escaped, and so is every byte that is no
 * UTF-8. */
#include "base/log.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"

#define LINE_BYTES  4096
#define VALUE_BYTES 1024 /* of escaped text, before it is cut */
#define TAIL_BYTES  16   /* kept for `,"cut":true}` and the newline */
#define NS_PER_S    1000000000u

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

static enum log_level lowest = LOG_INFO;    /* atomic */
static enum log_format chosen = LOG_LOGFMT; /* atomic */

void log_configure(enum log_level level, enum log_format format)
{
    __atomic_store_n(&lowest, level, __ATOMIC_RELAXED);
    __atomic_store_n(&chosen, format, __ATOMIC_RELAXED);
}

enum mg_err log_level_parse(struct str name, enum log_level *out)
{
    for (size_t i = 0; i < MG_COUNT(level_names); i++) {
        if (str_eq(name, str_of(level_names[i]))) {
            *out = (enum log_level)i;
            return MG_OK;
        }
    }
    return MG_E_FORMAT;
}

bool log_enabled(enum log_level level)
{
    return level >= __atomic_load_n(&lowest, __ATOMIC_RELAXED);
}

/* Length of the UTF-8 character at p, or 0 when the byte there begins none (Unicode 15, table 3-7:
 * no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t character_at(const uint8_t *p, size_t left, uint32_t *code)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3
        : p[0] < 0xf5 ? 4 : 0;

    if (len == 0 || len > left)
        return 0;
    *code = len == 1 ? p[0] : p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (p[i] & 0x3f);
    }
    if (*code < smallest[len] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
        return 0;
    return len;
}

static bool is_invisible(uint32_t code)
{
    static const struct { uint32_t first, last; } ranges[] = {
        { 0x00, 0x1f },     { 0x7f, 0x9f },     { 0x61c, 0x61c },
        { 0x200e, 0x200f }, { 0x2028, 0x202e }, { 0x2066, 0x2069 },
    };

    for (size_t i = 0; i < MG_COUNT(ranges); i++) {
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    }
    return false;
}

/* Writes the character or broken byte at p to out[], escaped where needed. Returns its length there
 * (at most 6); *used is how much of the input it was. */
#define ESCAPED_MAX 6
static size_t escape(enum log_format format, const uint8_t *p, size_t left, size_t *used,
                     char out[ESCAPED_MAX + 1])
{
    static const char letters[] = "\"\"\\\\\nn\rr\tt"; /* pairs: the byte, and its letter */
    uint32_t code = 0;

    *used = character_at(p, left, &code);
    if (*used == 0) {
        *used = 1;
        return format == LOG_JSON ? (size_t)snprintf(out, ESCAPED_MAX + 1, "\xef\xbf\xbd")
                                  : (size_t)snprintf(out, ESCAPED_MAX + 1, "\\x%02x", p[0]);
    }
    for (size_t i = 0; code < 0x80 && i < sizeof letters - 1; i += 2) {
        if (code == (uint8_t)letters[i])
            return (size_t)snprintf(out, ESCAPED_MAX + 1, "\\%c", letters[i + 1]);
    }
    if (is_invisible(code)) {
        bool is_byte = code < 0x80 && format == LOG_LOGFMT;
        return (size_t)snprintf(out, ESCAPED_MAX + 1, is_byte ? "\\x%02x" : "\\u%04x",
                                (unsigned)code & 0xffff);
    }
    memcpy(out, p, *used);
    return *used;
}

static void put_quoted(struct buf *line, enum log_format format, struct str s)
{
    char piece[ESCAPED_MAX + 1];
    size_t begin = line->len, used;

    buf_put_char(line, '"');
    for (size_t i = 0; i < s.len; i += used) {
        size_t len = escape(format, (const uint8_t *)s.ptr + i, s.len - i, &used, piece);
        if (line->len - begin + len > VALUE_BYTES) {
            buf_put_text(line, "\xe2\x80\xa6");
            break;
        }
        buf_put(line, piece, len);
    }
    buf_put_char(line, '"');
}

/* A bare logfmt value: readers disagree about anything that is not plain ASCII. */
static bool is_bare(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return s.len > 0 && s.len <= VALUE_BYTES;
}

static void put_text(struct buf *line, enum log_format format, struct str s)
{
    if (format == LOG_LOGFMT && is_bare(s))
        buf_put_str(line, s);
    else
        put_quoted(line, format, s);
}

/* The shortest of 15 and 17 digits that reads back as the same, with a point in any locale. */
static void put_double(struct buf *line, enum log_format format, double number)
{
    char text[32];

    if (!isfinite(number)) { /* JSON has no such numbers. */
        put_text(line, format, str_of(isnan(number) ? "nan" : number > 0 ? "inf" : "-inf"));
        return;
    }
    for (int digits = 15; digits <= 17; digits += 2) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        for (char *p = text; *p; p++)
            *p = *p == ',' ? '.' : *p;
        double again;
        if (str_double(str_of(text), &again) == MG_OK && again == number)
            break;
    }
    buf_put_text(line, text);
}

static void put_value(struct buf *line, enum log_format format, const struct log_field *field)
{
    switch (field->kind) {
    case LOG_FIELD_STR:
        put_text(line, format, field->str);
        break;
    case LOG_FIELD_U64:
        buf_put_u64(line, field->u64);
        break;
    case LOG_FIELD_I64:
        buf_put_i64(line, field->i64);
        break;
    case LOG_FIELD_DOUBLE:
        put_double(line, format, field->number);
        break;
    case LOG_FIELD_BOOL:
        buf_put_text(line, field->flag ? "true" : "false");
        break;
    }
}

static void put_field(struct buf *line, enum log_format format, const struct log_field *field)
{
    if (format == LOG_JSON) {
        buf_put_char(line, line->len ? ',' : '{');
        put_quoted(line, format, str_of(field->key));
        buf_put_char(line, ':');
    } else {
        if (line->len)
            buf_put_char(line, ' ');
        buf_put_text(line, field->key);
        buf_put_char(line, '=');
    }
    put_value(line, format, field);
}

/* Writes the field whole or not at all; false: it did not fit. */
static bool try_field(struct buf *line, enum log_format format, const struct log_field *field)
{
    size_t before = line->len;

    put_field(line, format, field);
    if (buf_err(line) == MG_OK)
        return true;
    line->len = before;
    line->failed = false;
    return false;
}

static void write_line(const struct buf *line)
{
    ssize_t written;

    do {
        written = write(STDERR_FILENO, line->ptr, line->len);
    } while (written < 0 && errno == EINTR);
    /* Any other failure has nowhere to be told. */
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    int errno_before = errno; /* A caller may log first and look at errno after. */
    enum log_format format = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
    char ts[CLOCK_TEXT_BYTES];
    struct buf line;
    bool is_whole = true;

    clock_text(clock_wall_ns(), ts);
    const struct log_field first[] = {
        F_TEXT("ts", ts), F_TEXT("level", level_names[level]), F_TEXT("event", event),
    };
    buf_init(&line, LINE_BYTES - TAIL_BYTES);
    for (size_t i = 0; i < MG_COUNT(first); i++)
        is_whole &= try_field(&line, format, &first[i]);
    for (size_t i = 0; i < n; i++)
        is_whole &= try_field(&line, format, &fields[i]);

    line.limit = LINE_BYTES;
    if (!is_whole)
        put_field(&line, format, &F_BOOL("cut", true));
    buf_put_text(&line, format == LOG_JSON ? "}\n" : "\n");
    write_line(&line);
    buf_fini(&line);
    errno = errno_before;
}

bool log_allow(struct log_limit *limit, unsigned seconds, uint64_t *left_out)
{
    uint64_t now = clock_mono_ns();
    uint64_t last = __atomic_load_n(&limit->last_mono_ns, __ATOMIC_RELAXED);
    /* Another thread may have stored a time just after ours was read. */
    uint64_t elapsed_ns = now > last ? now - last : 0;
    bool is_due = last == 0 || elapsed_ns >= (uint64_t)seconds * NS_PER_S;

    /* Of several threads that find it due, the one that moves the time writes the line. */
    if (!is_due || !__atomic_compare_exchange_n(&limit->last_mono_ns, &last, now, false,
                                                __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&limit->suppressed, 1, __ATOMIC_RELAXED);
        return false;
    }
    *left_out = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
    return true;
}

/* err.c - the error table, and the sentences for people.
 *
 * A sentence is always composed beside the struct and copied over it at the end, since the caller
 * may well pass the old sentence as an argument of the new one. */
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum hint { HINT_none, HINT_retry };

static const struct {
    const char *name, *text;
    int http, grpc;
    enum hint hint;
} errs[MG_ERR_COUNT] = {
    [MG_OK] = { "OK", "fine", 200, 0, HINT_none },
#define X(err, sentence, http_status, grpc_status, retry_hint)                                     \
    [MG_##err] = { #err, sentence, http_status, grpc_status, HINT_##retry_hint },
    MG_ERRS(X)
#undef X
};

static size_t row_of(enum mg_err err)
{
    assert((unsigned)err < MG_ERR_COUNT);
    return (size_t)err;
}

const char *mg_err_name(enum mg_err err)
{
    return errs[row_of(err)].name;
}

const char *mg_err_text(enum mg_err err)
{
    return errs[row_of(err)].text;
}

int mg_err_http(enum mg_err err)
{
    return errs[row_of(err)].http;
}

int mg_err_grpc(enum mg_err err)
{
    return errs[row_of(err)].grpc;
}

bool mg_err_may_retry(enum mg_err err)
{
    return errs[row_of(err)].hint == HINT_retry;
}

/* The largest length up to `len` that ends no UTF-8 sequence in its middle. */
static size_t cut_at_character(const char *text, size_t len)
{
    size_t start = len;
    unsigned back = 0;

    while (start > 0 && back < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) {
        start--;
        back++;
    }
    if (start == 0)
        return len;

    unsigned char lead = (unsigned char)text[start - 1];
    unsigned want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    return want > back ? start - 1 : len;
}

/* Formats into text[room]; returns the length, cut when it does not fit. */
static size_t compose(char *text, size_t room, const char *format, va_list args)
{
    int wanted = vsnprintf(text, room, format, args);

    if (wanted < 0) {
        text[0] = '\0';
        return 0;
    }
    if ((size_t)wanted < room)
        return (size_t)wanted;

    size_t len = cut_at_character(text, room - 1);
    text[len] = '\0';
    return len;
}

/* Adds ": tail" behind text[len]. Returns the new length. */
static size_t compose_tail(char *text, size_t len, size_t room, const char *tail)
{
    int wanted = snprintf(text + len, room - len, "%s%s", len ? ": " : "", tail);

    if (wanted < 0 || (size_t)wanted < room - len)
        return len + (size_t)(wanted > 0 ? wanted : 0);
    return cut_at_character(text, room - 1);
}

static void why_set(struct mg_why *why, const char *text, size_t len)
{
    memcpy(why->text, text, len);
    why->text[len] = '\0';
}

/* With is_in, what *why has said so far comes behind the new sentence. */
static void why_say(struct mg_why *why, bool is_in, const char *format, va_list args)
{
    struct mg_why fresh;
    size_t len = compose(fresh.text, sizeof fresh.text, format, args);

    if (is_in && why->text[0])
        len = compose_tail(fresh.text, len, sizeof fresh.text, why->text);
    why_set(why, fresh.text, len);
}

enum mg_err mg_fail(struct mg_why *why, enum mg_err err, const char *format, ...)
{
    if (!why)
        return err;

    va_list args;
    va_start(args, format);
    why_say(why, false, format, args);
    va_end(args);
    return err;
}

enum mg_err mg_fail_in(struct mg_why *why, enum mg_err err, const char *format, ...)
{
    if (!why)
        return err;

    va_list args;
    va_start(args, format);
    why_say(why, true, format, args);
    va_end(args);
    return err;
}

enum mg_err mg_fail_os(struct mg_why *why, int number, const char *format, ...)
{
    if (!why)
        return MG_E_IO;

    struct mg_why fresh;
    char reason[128];
    if (strerror_r(number, reason, sizeof reason) != 0)
        snprintf(reason, sizeof reason, "error %d", number);

    /* A long context is cut, never the reason: it is what the reader came for. */
    va_list args;
    va_start(args, format);
    size_t len = compose(fresh.text, sizeof fresh.text - strlen(reason) - 2, format, args);
    va_end(args);
    len = compose_tail(fresh.text, len, sizeof fresh.text, reason);
    why_set(why, fresh.text, len);
    return MG_E_IO;
}

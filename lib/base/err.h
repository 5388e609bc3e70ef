/* err.h - the one table of what can go wrong, and what it is called on every wire.
 *
 * Three kinds of failure are never mixed: a programmer's mistake is an assert; "the world said no"
 * is an enum mg_err, which must be used; "not there / not yet" is a value. Nobody writes an HTTP or
 * gRPC status number for a failure anywhere else. Outputs of a function are written on success only.
 *
 * `struct mg_why` carries the sentence for a person: which thing, and what to do. It is optional
 * (NULL is fine everywhere), caller-owned, and never allocates. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MG_ERRS(X) \
    /* name          text                                   http grpc  hint */ \
    X(E_FORMAT,      "the input is malformed",               400,  3, none) \
    X(E_AUTH,        "the caller is not known",              401, 16, none) \
    X(E_DENIED,      "the caller may not do this",           403,  7, none) \
    X(E_ABSENT,      "there is no such thing",               404,  5, none) \
    X(E_METHOD,      "the thing has no such method",         405, 12, none) \
    X(E_UNSUPPORTED, "not served here",                      404, 12, none) \
    X(E_ENCODING,    "not an encoding that is read here",    415, 12, none) \
    X(E_SLOW,        "the sender was too slow",              408,  4, none) \
    X(E_HEADERS,     "the headers are too large",            431,  8, none) \
    X(E_EXPECT,      "the expectation cannot be met",        417, 13, none) \
    X(E_TOO_BIG,     "larger than a configured limit",       413,  8, none) /* no hint, or SDKs resend for ever */ \
    X(E_MEDIA,       "not a media type that is read here",   415,  3, none) \
    X(E_RATE,        "above the caller's rate",              429,  8, retry) /* 8 never without RetryInfo */ \
    X(E_BUSY,        "overloaded, try again later",          503, 14, retry) \
    X(E_TIMEOUT,     "the deadline passed",                  504,  4, none) \
    X(E_INTERNAL,    "an internal fault",                    500, 13, none) \
    X(E_IO,          "the operating system refused",         500, 13, none) \
    X(E_VERB,        "not a method that is known here",      501, 12, none) \
    X(E_VERSION,     "not a version that is spoken here",    505, 12, none)

enum mg_err {
    MG_OK = 0,
#define X(name, text, http, grpc, hint) MG_##name,
    MG_ERRS(X)
#undef X
    MG_ERR_COUNT
};

#define MG_MUST_USE __attribute__((warn_unused_result))

struct mg_why {
    char text[400]; /* NUL-terminated UTF-8, cut at the end when too long */
};

const char *mg_err_name(enum mg_err err);   /* "E_FORMAT"; "OK" */
const char *mg_err_text(enum mg_err err);
int mg_err_http(enum mg_err err);           /* MG_OK: 200 */
int mg_err_grpc(enum mg_err err);           /* MG_OK: 0 */
bool mg_err_may_retry(enum mg_err err);     /* a retry hint belongs on the wire */

/* Writes the sentence to *why (when not NULL) and returns err: `return mg_fail(why, …);` */
enum mg_err mg_fail(struct mg_why *why, enum mg_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "context: " in front of what *why already says, and returns err. */
enum mg_err mg_fail_in(struct mg_why *why, enum mg_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* E_IO with strerror(number) at the end of the sentence. */
enum mg_err mg_fail_os(struct mg_why *why, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define MG_TRY(expression)                        \
    do {                                          \
        enum mg_err mg_try_err_ = (expression);   \
        if (mg_try_err_ != MG_OK)                 \
            return mg_try_err_;                   \
    } while (0)

/* Scope cleanup through x_free(struct x **), and handing ownership on. */
#define MG_AUTO(free_function) __attribute__((cleanup(free_function)))
#define MG_STEAL(pointer)                         \
    ({                                            \
        __typeof__(pointer) mg_steal_ = (pointer);\
        (pointer) = NULL;                         \
        mg_steal_;                                \
    })
#define MG_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MG_MIN(a, b) \
    ({ __typeof__(a) min_a_ = (a); __typeof__(b) min_b_ = (b); min_a_ < min_b_ ? min_a_ : min_b_; })
#define MG_MAX(a, b) \
    ({ __typeof__(a) max_a_ = (a); __typeof__(b) max_b_ = (b); max_a_ > max_b_ ? max_a_ : max_b_; })
#define MG_CONTAINER(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))

/* log.h - structured log lines on stderr: an event name that never changes, then fields.
 *
 *     LOG(INFO, "partition sealed", F_U64("number", n), F_STR("path", path));
 *
 * One line per event, at most 4 KiB, written with one write(2); ts, level and event come first;
 * logfmt by default, JSON by log_configure. Long values are cut, and fields beyond the line are left out
 * (then it ends with cut=true). Values are escaped; keys are the programmer's. Only
 * collector/ and proxy/ log, once per failure, where it is handled. LOG_EVERY limits a line that a
 * peer can cause to one per interval and place, and tells how many were left out. Any thread. */
#pragma once
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };
enum log_kind { LOG_FIELD_STR, LOG_FIELD_U64, LOG_FIELD_I64, LOG_FIELD_DOUBLE, LOG_FIELD_BOOL };

struct log_field {
    const char *key;
    enum log_kind kind;
    union { struct str str; uint64_t u64; int64_t i64; double number; bool flag; };
};

#define F_STR(k, v)  ((struct log_field){ .key = (k), .kind = LOG_FIELD_STR, .str = (v) })
#define F_TEXT(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_STR, .str = str_of(v) })
#define F_WHY(why)   F_TEXT("error", (why)->text)
#define F_U64(k, v)  ((struct log_field){ .key = (k), .kind = LOG_FIELD_U64, .u64 = (v) })
#define F_I64(k, v)  ((struct log_field){ .key = (k), .kind = LOG_FIELD_I64, .i64 = (v) })
#define F_NUM(k, v)  ((struct log_field){ .key = (k), .kind = LOG_FIELD_DOUBLE, .number = (v) })
#define F_BOOL(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_BOOL, .flag = (v) })

#define LOG(level, event, ...)                                                              \
    do {                                                                                    \
        if (log_enabled(LOG_##level)) {                                                     \
            const struct log_field log_fields_[] = { { 0 }, ##__VA_ARGS__ };                \
            log_write(LOG_##level, (event), log_fields_ + 1, MG_COUNT(log_fields_) - 1);    \
        }                                                                                   \
    } while (0)

struct log_limit { uint64_t last_mono_ns; uint64_t suppressed; }; /* atomics inside */
#define LOG_EVERY(seconds, level, event, ...)                                               \
    do {                                                                                    \
        static struct log_limit log_limit_;                                                 \
        uint64_t log_left_out_;                                                             \
        if (log_enabled(LOG_##level) && log_allow(&log_limit_, (seconds), &log_left_out_))  \
            LOG(level, event, ##__VA_ARGS__, F_U64("suppressed", log_left_out_));           \
    } while (0)

void log_configure(enum log_level level, enum log_format format);
enum mg_err log_level_parse(struct str name, enum log_level *out) MG_MUST_USE; /* debug info warn error */
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);
bool log_allow(struct log_limit *limit, unsigned seconds, uint64_t *left_out);

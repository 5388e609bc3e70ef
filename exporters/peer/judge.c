/* How it works: first whether there was a connection and an answer at all, then
 * the status of the protocol. An answer whose head came but whose body was too
 * large is judged by its status: the peer has decided, and sending the batch
 * again would only make it decide again. */
#define _GNU_SOURCE /* strptime, timegm */
#include "codec/base64.h"
#include "codec/utf8.h"
#include "http/url.h"
#include "model/wire.h"
#include "peer/private.h"
#include <time.h>

enum { SAID_BYTES_MAX = 200, LOOKED_AT_BYTES_MAX = 4096, DAY_S = 86400, DATE_BYTES_MAX = 63 };

/* --- the hint --- */

/* Seconds since 1970; false: no date. */
static bool read_date(struct str text, int64_t *out)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT", /* RFC 1123, the form to send */
        "%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
        "%a %b %d %H:%M:%S %Y",      /* asctime */
    };
    char copy[DATE_BYTES_MAX + 1];

    if (text.len > DATE_BYTES_MAX)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    for (size_t i = 0; i < MG_COUNT(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(copy, forms[i], &tm);
        if (end == copy + text.len) {
            *out = timegm(&tm);
            return true;
        }
    }
    return false;
}

uint64_t judge_hint_ms(struct str retry_after, uint64_t wall_ns)
{
    struct str text = str_trim(retry_after);
    int64_t now = (int64_t)(wall_ns / 1000000000), date;
    uint64_t seconds;

    if (text.len == 0)
        return 0;
    if (str_u64(text, &seconds) == MG_OK)
        return MG_MIN(seconds, (uint64_t)DAY_S) * 1000;
    if (!read_date(text, &date) || date <= now)
        return 0;
    return (uint64_t)MG_MIN(date - now, (int64_t)DAY_S) * 1000;
}

/* google.rpc.RetryInfo{retry_delay=1: Duration{seconds=1, nanos=2}}; a delay
 * below a millisecond is none. */
static uint64_t retry_delay_ms(struct str info)
{
    const uint8_t *at = wire_begin(info), *end = wire_end(info), *in, *in_end;
    uint64_t seconds = 0, nanos = 0;
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1) {
        if (field.number != 1 || field.type != WIRE_BYTES)
            continue;
        in = wire_begin(field.bytes), in_end = wire_end(field.bytes);
        while (wire_next(&in, in_end, &field) == 1)
            if (field.type == WIRE_VARINT && field.number <= 2)
                *(field.number == 1 ? &seconds : &nanos) = field.value;
    }
    if (seconds > INT64_MAX || nanos >= 1000000000) /* negative, or no Duration */
        return 0;
    return MG_MIN(seconds, (uint64_t)DAY_S) * 1000 + nanos / 1000000;
}

/* google.protobuf.Any{type_url=1, value=2}. */
static bool read_retry_info(struct str any, uint64_t *ms)
{
    const uint8_t *at = wire_begin(any), *end = wire_end(any);
    struct str type = STR(""), value = STR("");
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1)
        if (field.type == WIRE_BYTES && field.number <= 2)
            *(field.number == 1 ? &type : &value) = field.bytes;
    if (!str_ends(type, STR("/google.rpc.RetryInfo")))
        return false;
    *ms = retry_delay_ms(value);
    return true;
}

bool judge_retry_info(struct str details, uint64_t *ms)
{
    const uint8_t *at, *end;
    struct wire_field field;
    struct buf status;
    bool has_info = false;

    buf_init(&status, details.len);
    if (base64_decode(details, &status) == MG_OK) {
        at = wire_begin(buf_str(&status)), end = wire_end(buf_str(&status));
        while (!has_info && wire_next(&at, end, &field) == 1)
            has_info =
                field.number == 3 && field.type == WIRE_BYTES && read_retry_info(field.bytes, ms);
    }
    buf_fini(&status);
    return has_info;
}

/* --- what the peer said --- */

static struct str status_message(struct str body)
{
    const uint8_t *at = wire_begin(body), *end = wire_end(body);
    struct str message = STR("");
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1)
        if (field.number == 2 && field.type == WIRE_BYTES) /* google.rpc.Status */
            message = field.bytes;
    return message;
}

/* A peer that repeats our headers must not bring them into the log. */
static void put_without_secrets(struct buf *out, const struct target *target, struct str text)
{
    for (size_t i = 0; i < text.len;) {
        struct str rest = str_n(text.ptr + i, text.len - i);
        size_t hidden = 0;

        for (size_t j = 0; j < target->secrets.n; j++)
            if (target->secrets.at[j].len > hidden && str_starts(rest, target->secrets.at[j]))
                hidden = target->secrets.at[j].len;
        if (hidden)
            buf_put_text(out, "***");
        else
            buf_put_char(out, text.ptr[i]);
        i += hidden ? hidden : 1;
    }
}

/* One line, valid UTF-8, cut. */
static void put_said(struct buf *out, const struct target *target, struct str text)
{
    struct buf bare, clean;

    buf_init(&bare, 4 * LOOKED_AT_BYTES_MAX);
    buf_init(&clean, 12 * LOOKED_AT_BYTES_MAX); /* a bad byte becomes three */
    put_without_secrets(&bare, target,
                        str_n(text.ptr, MG_MIN(text.len, (size_t)LOOKED_AT_BYTES_MAX)));
    utf8_sanitize(&clean, str_trim(buf_str(&bare)));
    for (size_t i = 0; i < clean.len; i++)
        if ((unsigned char)clean.ptr[i] < 0x20 || clean.ptr[i] == 0x7f)
            clean.ptr[i] = ' ';
    buf_put_str(out, utf8_cut(str_trim(buf_str(&clean)), SAID_BYTES_MAX));
    buf_fini(&bare);
    buf_fini(&clean);
}

struct str peer_said(const struct http_answer *answer)
{
    if (answer->grpc_status >= 0)
        return answer->message;
    if (str_starts(answer->content_type, STR("application/x-protobuf")))
        return status_message(answer->body);
    return answer->body;
}

/* --- verdicts --- */

static enum send_verdict verdict_of_http(int status)
{
    switch (status) {
    case 401:
    case 403:
    case 429:
    case 502:
    case 503:
    case 504:
        return SEND_RETRY;
    default:
        return status / 100 == 2 ? SEND_TAKEN : SEND_REFUSED;
    }
}

static enum send_verdict verdict_of_grpc(int status, bool has_hint)
{
    switch (status) {
    case 0:
        return SEND_TAKEN;
    case 1:  /* CANCELLED */
    case 4:  /* DEADLINE_EXCEEDED */
    case 7:  /* PERMISSION_DENIED */
    case 10: /* ABORTED */
    case 11: /* OUT_OF_RANGE */
    case 14: /* UNAVAILABLE */
    case 15: /* DATA_LOSS */
    case 16: /* UNAUTHENTICATED */
        return SEND_RETRY;
    case 8: /* RESOURCE_EXHAUSTED: throttled when the peer says for how long, else
               too large for ever */
        return has_hint ? SEND_RETRY : SEND_REFUSED;
    default:
        return SEND_REFUSED;
    }
}

/* What servers say to a message above their limit. OTLP has 413 and RESOURCE_EXHAUSTED for it, and the latter alone
 * could also be a quota. */
static const struct {
    int http, grpc; /* one of them */
    const char *says;
} size_limits[] = {
    {413, 0, ""},
    {400, 0, "request body too large"},  /* Go's net/http, and so the OpenTelemetry Collector */
    {0, 8, "larger than"},               /* gRPC in Go, C++, Python and Node.js; Meshglass */
    {0, 8, "exceeds maximum size"},      /* in Java */
    {0, 8, "exceeds the maximum"},       /* in .NET */
    {0, 11, "message length too large"}, /* in Rust: tonic */
    {0, 2, "Payload Too Large"},         /* Envoy has no gRPC status for its 413 */
};

bool judge_is_too_large(const struct http_answer *answer)
{
    struct str said = peer_said(answer);

    for (size_t i = 0; i < MG_COUNT(size_limits); i++) {
        bool is_status = size_limits[i].http ? answer->status == size_limits[i].http
                                             : answer->grpc_status == size_limits[i].grpc;
        if (is_status && str_find(said, str_of(size_limits[i].says), NULL))
            return true;
    }
    return false;
}

/* Whether the peer has decided, though the client could not read all that it
 * said. A gRPC status 0 with a message that cannot be read is a success without
 * details: sending again would double the batch. */
static bool has_decided(enum mg_err err, const struct http_answer *answer, bool is_grpc)
{
    bool is_too_large = err == MG_E_TOO_BIG || err == MG_E_HEADERS;

    if (is_grpc)
        return answer->grpc_status >= 0 && (is_too_large || err == MG_E_FORMAT);
    return answer->status >= 200 && is_too_large;
}

static bool is_redirect(const struct http_answer *answer)
{
    switch (answer->status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return true;
    default:
        return false;
    }
}

/* Also to a gRPC call: who answers it so knows nothing of gRPC. */
static bool is_absent(const struct http_answer *answer)
{
    return answer->grpc_status == 12 /* UNIMPLEMENTED */ || answer->status == 404 ||
           answer->status == 405;
}

/* Of the location the host alone: what is behind it may be a secret, as what is before it. */
static void tell_redirect(struct buf *text, const struct target *target, struct str location)
{
    struct http_url url;

    buf_put_text(text, " (redirects are not followed");
    if (http_url_read(location, &url, NULL) == MG_OK) {
        buf_printf(text, ", this one leads to http%s://", url.is_tls ? "s" : "");
        put_said(text, target, url.authority);
    }
    buf_printf(text, ": see %s.endpoint)", target->section);
}

static void tell_absent(struct buf *text, const struct target *target, const char *other_row)
{
    buf_printf(text, " (no such service there: see %s.endpoint", target->section);
    if (other_row)
        buf_printf(text, " and %s", other_row);
    buf_put_char(text, ')');
}

static void tell(struct verdict *verdict, const struct target *target, const struct asked *asked,
                 const struct http_answer *answer)
{
    struct str said = peer_said(answer);
    struct buf text;

    buf_init(&text, sizeof verdict->reason.text - 1);
    if (answer->grpc_status >= 0)
        buf_printf(&text, "gRPC status %d", answer->grpc_status);
    else
        buf_printf(&text, "HTTP status %d", answer->status);
    if (is_redirect(answer))
        tell_redirect(&text, target, answer->location);
    else if (is_absent(answer))
        tell_absent(&text, target, asked->other_row);
    if (said.len) {
        buf_put_text(&text, ": ");
        put_said(&text, target, said);
    }
    (void)mg_fail(&verdict->reason, MG_E_IO, "%.*s", STR_ARG(buf_str(&text))); /* returns err */
    buf_fini(&text);
}

void judge_answer(struct verdict *verdict, const struct target *target, const struct asked *asked,
                  enum mg_err err, const struct http_answer *answer, const struct mg_why *why,
                  uint64_t wall_ns)
{
    *verdict = (struct verdict){.result = {.verdict = SEND_RETRY, .reason = verdict->reason.text}};
    if (err != MG_OK && !has_decided(err, answer, asked->is_grpc)) {
        verdict->reason = *why;
        return;
    }
    uint64_t hint_ms = judge_hint_ms(answer->retry_after, wall_ns), info_ms = 0;
    bool has_info = judge_retry_info(answer->details, &info_ms);
    hint_ms = MG_MAX(hint_ms, info_ms);
    verdict->result.verdict = answer->grpc_status >= 0
                                  ? verdict_of_grpc(answer->grpc_status, has_info || hint_ms > 0)
                                  : verdict_of_http(answer->status);
    if (verdict->result.verdict == SEND_TAKEN)
        return;
    if (is_redirect(answer) || is_absent(answer))
        verdict->result.verdict = SEND_RETRY;
    else if (judge_is_too_large(answer) && !has_info && hint_ms == 0) /* also with a status that means to try again */
        verdict->result.verdict = SEND_REFUSED;
    if (verdict->result.verdict == SEND_RETRY)
        verdict->result.retry_after_ms = hint_ms;
    tell(verdict, target, asked, answer);
}

/* status.c - google.rpc.Status written by hand: four small messages, whose lengths are known before
 * a byte is written, so that the nesting needs no second buffer:
 *
 *     Status    { 1: code  2: message  3: Any }
 *     Any       { 1: type_url          2: RetryInfo }
 *     RetryInfo { 1: Duration }
 *     Duration  { 1: seconds }
 */
#include "http/status.h"

#include <stdio.h>

#include "base/bytes.h"
#include "codec/base64.h"
#include "codec/json_write.h"
#include "codec/utf8.h"

#define RETRY_INFO_TYPE     "type.googleapis.com/google.rpc.RetryInfo"
#define TAG_VARINT(field)   ((field) << 3)
#define TAG_BYTES(field)    ((field) << 3 | 2)
#define DURATION_TEXT_BYTES 16 /* 10 digits, 's' */

/* Every length below is under 128 except the message's, so a tag and a length are 2 bytes. */
static size_t duration_len(unsigned seconds)
{
    return seconds ? 1 + varint_len(seconds) : 0;
}

static void put_bytes_head(struct buf *out, unsigned field, size_t len)
{
    buf_put_varint(out, TAG_BYTES(field));
    buf_put_varint(out, len);
}

static void put_retry_info(struct buf *out, unsigned seconds)
{
    put_bytes_head(out, 1, duration_len(seconds));
    if (seconds) {
        buf_put_varint(out, TAG_VARINT(1));
        buf_put_varint(out, seconds);
    }
}

static void put_retry_any(struct buf *out, unsigned seconds)
{
    size_t info_len = 2 + duration_len(seconds);

    put_bytes_head(out, 3, 2 + strlen(RETRY_INFO_TYPE) + 2 + info_len);
    put_bytes_head(out, 1, strlen(RETRY_INFO_TYPE));
    buf_put_text(out, RETRY_INFO_TYPE);
    put_bytes_head(out, 2, info_len);
    put_retry_info(out, seconds);
}

/* A proto3 string must be UTF-8, or the client's decoder refuses the whole Status. */
static void put_message(struct buf *out, struct str message)
{
    struct buf clean;

    buf_init(&clean, message.len * 3); /* U+FFFD is 3 bytes */
    utf8_sanitize(&clean, message);
    put_bytes_head(out, 2, clean.len);
    buf_put_str(out, buf_str(&clean));
    buf_fini(&clean);
}

static void put_status(struct buf *out, int code, struct str message, unsigned retry_after_s)
{
    if (code != 0) {
        buf_put_varint(out, TAG_VARINT(1));
        buf_put_varint(out, (uint64_t)code);
    }
    if (message.len)
        put_message(out, message);
    if (retry_after_s)
        put_retry_any(out, retry_after_s);
}

static void put_status_json(struct buf *out, int code, struct str message, unsigned retry_after_s)
{
    struct json_writer w;

    json_writer_init(&w, out, 0);
    json_object(&w);
    json_key_text(&w, "code");
    json_put_i64(&w, code);
    json_key_text(&w, "message");
    json_put_str(&w, message);
    if (retry_after_s) {
        char duration[DURATION_TEXT_BYTES];
        int len = snprintf(duration, sizeof duration, "%us", retry_after_s);
        json_key_text(&w, "details");
        json_array(&w);
        json_object(&w);
        json_key_text(&w, "@type");
        json_put_str(&w, STR(RETRY_INFO_TYPE));
        json_key_text(&w, "retryDelay");
        json_put_str(&w, str_n(duration, (size_t)len));
        json_object_end(&w);
        json_array_end(&w);
    }
    json_object_end(&w);
}

void status_body(struct buf *out, enum mg_err err, struct str message, unsigned retry_after_s,
                 bool as_json)
{
    if (as_json)
        put_status_json(out, mg_err_grpc(err), message, retry_after_s);
    else
        put_status(out, mg_err_grpc(err), message, retry_after_s);
}

void status_details_bin(struct buf *out, int grpc_code, struct str message, unsigned retry_after_s)
{
    struct buf status;

    buf_init(&status, message.len * 3 + 256); /* all that is not the message is under 100 bytes */
    put_status(&status, grpc_code, message, retry_after_s);
    base64_encode(out, status.ptr, status.len, false);
    buf_fini(&status);
}

void status_retryinfo_bin(struct buf *out, unsigned retry_after_s)
{
    struct buf info;

    buf_init(&info, 64);
    put_retry_info(&info, retry_after_s);
    base64_encode(out, info.ptr, info.len, false);
    buf_fini(&info);
}

/* status.c - google.rpc.Status:
 *
 *     Status    { 1: code  2: message  3: Any }
 *     Any       { 1: type_url          2: RetryInfo }
 *     RetryInfo { 1: Duration }
 *     Duration  { 1: seconds }
 */
#include "http/status.h"

#include <stdio.h>

#include "codec/base64.h"
#include "codec/json_write.h"
#include "codec/utf8.h"
#include "model/wire.h"

#define RETRY_INFO_TYPE     "type.googleapis.com/google.rpc.RetryInfo"
#define DURATION_TEXT_BYTES 16 /* 10 digits, 's' */

static void put_retry_info(struct buf *out, unsigned seconds)
{
    size_t duration = wire_open(out, 1);

    if (seconds)
        wire_put_varint(out, 1, seconds);
    wire_close(out, duration);
}

static void put_retry_any(struct buf *out, unsigned seconds)
{
    size_t any = wire_open(out, 3);

    wire_put_bytes(out, 1, STR(RETRY_INFO_TYPE));
    size_t info = wire_open(out, 2);
    put_retry_info(out, seconds);
    wire_close(out, info);
    wire_close(out, any);
}

/* A proto3 string must be UTF-8, or the client's decoder refuses the whole Status. */
static void put_message(struct buf *out, struct str message)
{
    size_t mark = wire_open(out, 2);

    utf8_sanitize(out, message);
    wire_close(out, mark);
}

static void put_status(struct buf *out, int code, struct str message, unsigned retry_after_s)
{
    if (code != 0)
        wire_put_varint(out, 1, (uint64_t)code);
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

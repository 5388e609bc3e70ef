/* The bytes were computed by hand and compared once with Google's own Python classes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/base64.h"
#include "http/status.h"

#define TYPE                "type.googleapis.com/google.rpc.RetryInfo"
#define ANY(info_len, info) "\x0a\x28" TYPE "\x12" info_len info

static const struct {
    enum mg_err err;
    struct str message;
    unsigned retry_after_s;
    struct str protobuf, json;
} bodies[] = {
    { MG_E_FORMAT, STR_INIT("bad"), 0,
      STR_INIT("\x08\x03\x12\x03"
               "bad"),
      STR_INIT("{\"code\":3,\"message\":\"bad\"}") },
    { MG_E_FORMAT, STR_INIT(""), 0, STR_INIT("\x08\x03"),
      STR_INIT("{\"code\":3,\"message\":\"\"}") },
    { MG_E_BUSY, STR_INIT("later"), 3,
      STR_INIT("\x08\x0e\x12\x05"
               "later"
               "\x1a\x30" ANY("\x04", "\x0a\x02\x08\x03")),
      STR_INIT("{\"code\":14,\"message\":\"later\",\"details\":[{\"@type\":\"" TYPE
               "\",\"retryDelay\":\"3s\"}]}") },
    { MG_E_RATE, STR_INIT("x"), 127,
      STR_INIT("\x08\x08\x12\x01x\x1a\x30" ANY("\x04", "\x0a\x02\x08\x7f")),
      STR_INIT("{\"code\":8,\"message\":\"x\",\"details\":[{\"@type\":\"" TYPE
               "\",\"retryDelay\":\"127s\"}]}") },
    { MG_E_RATE, STR_INIT("x"), 128,
      STR_INIT("\x08\x08\x12\x01x\x1a\x31" ANY("\x05", "\x0a\x03\x08\x80\x01")),
      STR_INIT("{\"code\":8,\"message\":\"x\",\"details\":[{\"@type\":\"" TYPE
               "\",\"retryDelay\":\"128s\"}]}") },
    { MG_E_BUSY, STR_INIT("x"), UINT32_MAX,
      STR_INIT("\x08\x0e\x12\x01x\x1a\x34" ANY("\x08", "\x0a\x06\x08\xff\xff\xff\xff\x0f")),
      STR_INIT("{\"code\":14,\"message\":\"x\",\"details\":[{\"@type\":\"" TYPE
               "\",\"retryDelay\":\"4294967295s\"}]}") },
    { MG_E_TOO_BIG, STR_INIT("a\xff\"b"), 0,
      STR_INIT("\x08\x08\x12\x06"
               "a\xef\xbf\xbd\"b"),
      STR_INIT("{\"code\":8,\"message\":\"a\xef\xbf\xbd\\\"b\"}") },
};

static void assert_bytes(struct str got, struct str want)
{
    if (!str_eq(got, want))
        fail_msg("got %zu bytes '%.*s', want %zu", got.len, STR_ARG(got), want.len);
}

static void writes_bodies(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 4096);

    for (size_t i = 0; i < MG_COUNT(bodies); i++) {
        buf_clear(&out);
        status_body(&out, bodies[i].err, bodies[i].message, bodies[i].retry_after_s, false);
        assert_bytes(buf_str(&out), bodies[i].protobuf);
        buf_clear(&out);
        status_body(&out, bodies[i].err, bodies[i].message, bodies[i].retry_after_s, true);
        assert_bytes(buf_str(&out), bodies[i].json);
    }
    buf_fini(&out);
}

static void message_lengths_of_two_bytes(void **state)
{
    (void)state;
    char message[300];
    struct buf out;

    memset(message, 'm', sizeof message);
    buf_init(&out, 4096);
    status_body(&out, MG_E_FORMAT, str_n(message, 127), 0, false);
    assert_int_equal(out.len, 2 + 2 + 127);
    buf_clear(&out);
    status_body(&out, MG_E_FORMAT, str_n(message, 300), 0, false);
    assert_int_equal(out.len, 2 + 3 + 300);
    assert_memory_equal(out.ptr + 2, "\x12\xac\x02m", 4);
    buf_fini(&out);
}

static void full_buffers_are_noticed(void **state)
{
    (void)state;
    struct buf out;

    buf_init(&out, 6);
    status_body(&out, MG_E_FORMAT, STR("bad"), 0, false);
    assert_int_equal(buf_err(&out), MG_E_TOO_BIG);
    buf_fini(&out);
    buf_init(&out, 7);
    status_body(&out, MG_E_FORMAT, STR("bad"), 0, false);
    assert_int_equal(buf_err(&out), MG_OK);
    buf_fini(&out);
}

static void trailers_are_unpadded_base64(void **state)
{
    (void)state;
    struct buf text, bytes;
    buf_init(&text, 4096);
    buf_init(&bytes, 4096);

    for (size_t i = 0; i < MG_COUNT(bodies); i++) {
        buf_clear(&text);
        buf_clear(&bytes);
        status_details_bin(&text, mg_err_grpc(bodies[i].err), bodies[i].message,
                           bodies[i].retry_after_s);
        assert_null(memchr(text.ptr, '=', text.len));
        assert_int_equal(base64_decode(buf_str(&text), &bytes), MG_OK);
        assert_bytes(buf_str(&bytes), bodies[i].protobuf);
    }
    buf_clear(&text);
    status_details_bin(&text, 13, STR("bad"), 0); /* 08 0d 12 03 62 61 64 */
    assert_bytes(buf_str(&text), STR("CA0SA2JhZA"));
    buf_clear(&text);
    status_details_bin(&text, 0, STR(""), 0);
    assert_bytes(buf_str(&text), STR(""));
    buf_clear(&text);
    status_retryinfo_bin(&text, 3); /* 0a 02 08 03 */
    assert_bytes(buf_str(&text), STR("CgIIAw"));
    buf_clear(&text);
    status_retryinfo_bin(&text, 0); /* 0a 00 */
    assert_bytes(buf_str(&text), STR("CgA"));
    buf_fini(&text);
    buf_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_bodies),
        cmocka_unit_test(message_lengths_of_two_bytes),
        cmocka_unit_test(full_buffers_are_noticed),
        cmocka_unit_test(trailers_are_unpadded_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

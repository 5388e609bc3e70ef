/* Which answers leave as gzip, over both protocols: whole ones, and streamed ones whose every piece
 * can be read as soon as it has come. zlib reads here what another library wrote. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <zlib.h>
#include "base/random.h"
#include "h2_client.h"

#define MIB   ((size_t)1024 * 1024)
#define GZIP  "Accept-Encoding: gzip\r\n"
#define ETAG  "\"abc\""
#define PIECE ((size_t)70000) /* more than a pipe keeps back */
#define JSON  "application/json"

/* --- the rules --- */
static void test_what_a_caller_reads(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *header; bool reads_gzip; } rows[] = {
        { "gzip", true }, { "x-gzip", true }, { "GZip", true }, { "*", true },
        { "gzip, deflate, br, zstd", true }, { "deflate, gzip;q=1.0, *;q=0.5", true },
        { "br;q=1.0, gzip;q=0.8, *;q=0.1", true }, { " gzip ", true }, { "br,\tgzip", true },
        { "gzip;q=0.001", true }, { "gzip;q=1", true }, { "gzip;q=1.", true }, { "gzip;q=1.000", true },
        { "gzip; q=0.5", true }, { "gzip ;Q=0.5", true }, { ",,gzip,", true },
        { "identity;q=0, gzip", true }, { "identity;q=0.5, gzip;q=0.5", true }, { "identity;q=0, *", true },
        { "gzip, identity", true }, { "*;q=0, gzip", true }, { "br;q=x, gzip", true },
        { "gzip;q=0.5, identity;q=0.4, *;q=1", true },

        { "", false }, { " ", false }, { ",", false }, { ";q=1", false },
        { "identity", false }, { "deflate", false }, { "br, zstd", false }, { "gzipped", false }, { "gzi", false },
        { "gzip;q=0", false }, { "gzip;q=0.", false }, { "gzip;q=0.0", false }, { "gzip;q=0.000", false },
        { "*;q=0", false }, { "gzip;q=0, *", false }, { "identity, *;q=0", false },
        { "identity;q=0", false }, { "br, identity;q=0", false }, /* gzip was not named: identity it is */
        { "gzip;q=0.5, identity", false }, { "gzip;q=0.5, identity;q=0.501", false },
        { "gzip;q=0.5, *", false }, { "identity;q=1, *;q=0.5", false },
        { "gzip;q=1.001", false }, { "gzip;q=2", false }, { "gzip;q=1.0000", false }, { "gzip;q=0.0001", false },
        { "gzip;q=", false }, { "gzip;q", false }, { "gzip;q=x", false }, { "gzip;q=.5", false },
        { "gzip;q=-1", false }, { "gzip;q=0.5x", false }, { "gzip;q=0,5", false }, { "gzip;q=1;a=b", false },
        { "gzip;level=9", false }, { "gzip q=1", false }, { "\"gzip\"", false },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        size_t len = strlen(rows[i].header);
        char *copy = mem_copy(rows[i].header, len); /* a sanitizer sees a byte too far */
        if (compress_reads_gzip(str_n(copy, len)) != rows[i].reads_gzip)
            fail_msg("'%s'", rows[i].header);
        mem_free(copy);
    }
}

static void test_what_is_worth_it(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { int status; const char *type; bool suits; } rows[] = {
        { 200, "application/json", true }, { 200, "application/json; charset=utf-8", true },
        { 200, "Application/JSON ;charset=utf-8", true }, { 200, "text/plain", true },
        { 200, "text/html; charset=utf-8", true }, { 200, "TEXT/CSS", true }, { 200, "text/javascript", true },
        { 200, "application/javascript", true }, { 200, "image/svg+xml", true },
        { 200, "application/manifest+json", true },
        { 200, "application/openmetrics-text; version=1.0.0; charset=utf-8", true },

        { 200, NULL, false }, { 200, "", false }, { 200, ";", false }, { 200, "text", false }, { 200, "text/", false },
        { 200, "image/png", false }, { 200, "font/woff2", false }, { 200, "application/x-tar", false },
        { 200, "application/x-protobuf", false }, { 200, "application/grpc", false },
        { 200, "application/octet-stream", false }, { 200, "application/jsonx", false },
        { 200, "x; application/json", false },
        { 202, "application/json", false }, { 204, "text/plain", false }, { 304, "text/plain", false },
        { 404, "application/json", false }, { 503, "text/plain", false },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        if (compress_suits(rows[i].status, rows[i].type) != rows[i].suits)
            fail_msg("%d '%s'", rows[i].status, rows[i].type);
    }
}

/* --- bodies --- */
/* Text that is never the same for long, at a ratio of about 4. */
static void put_text(struct buf *out, size_t len)
{
    size_t end = out->len + len;
    while (out->len < end)
        buf_printf(out, "{\"span\":\"%zx\"},", out->len * 2654435761u);
    out->len = end;
}

static void put_noise(struct buf *out, size_t len)
{
    static struct random random;
    random_init(&random, out->len + 1);
    while (len--)
        buf_put_char(out, (char)random_u64(&random));
}

struct inflater {
    z_stream z;
    struct buf text;
    bool has_ended;
};

static void inflater_init(struct inflater *inflater)
{
    *inflater = (struct inflater){0};
    buf_init(&inflater->text, 64 * MIB);
    assert_int_equal(inflateInit2(&inflater->z, MAX_WBITS + 16), Z_OK);
}

static void inflater_fini(struct inflater *inflater)
{
    inflateEnd(&inflater->z);
    buf_fini(&inflater->text);
}

static void inflater_take(struct inflater *inflater, struct str bytes)
{
    z_stream *z = &inflater->z;
    z->next_in = (Bytef *)(uintptr_t)bytes.ptr;
    z->avail_in = (uInt)bytes.len;
    do {
        assert_int_equal(buf_reserve(&inflater->text, MIB), MG_OK);
        z->next_out = (Bytef *)inflater->text.ptr + inflater->text.len;
        z->avail_out = (uInt)MIB;
        int result = inflate(z, Z_SYNC_FLUSH);
        assert_true(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR);
        inflater->text.len += MIB - z->avail_out;
        inflater->has_ended = result == Z_STREAM_END;
    } while (!inflater->has_ended && (z->avail_in || z->avail_out == 0));
    assert_int_equal(z->avail_in, 0); /* nothing behind the member */
}

static bool inflates_to(struct str packed, struct str text)
{
    struct inflater inflater;
    inflater_init(&inflater);
    inflater_take(&inflater, packed);
    bool is_same = inflater.has_ended && str_eq(buf_str(&inflater.text), text);
    inflater_fini(&inflater);
    return is_same;
}

/* --- whole answers --- */
static struct http_request *request_for(struct wire *wire, const char *method, const char *more)
{
    char text[512];
    int len = snprintf(text, sizeof text, "%s /later HTTP/1.1\r\nHost: a\r\n%s\r\n", method, more);
    size_t n = wire->n_later;
    buf_clear(&wire->out);
    wire_send(wire, text, (size_t)len);
    assert_int_equal(wire->n_later, n + 1);
    wire->n_later = n;
    return wire->later[n];
}

static struct reply reply_of(const struct wire *wire)
{
    struct str out = buf_str(&wire->out);
    struct reply reply = {0};
    size_t end;
    assert_true(str_find(out, STR("\r\n\r\n"), &end));
    assert_int_equal(sscanf(out.ptr, "HTTP/1.1 %d ", &reply.status), 1);
    reply.head = str_n(out.ptr, end + 2);
    reply.body = str_n(out.ptr + end + 4, out.len - end - 4);
    return reply;
}

static struct reply answer(struct wire *wire, const char *method, const char *more, int status,
                           const char *type, struct str body)
{
    const struct http_header etag = {STR("etag"), STR(ETAG)};
    struct http_request *request = request_for(wire, method, more);
    http_respond_with(request, status, type, body, &etag, 1);
    wire_send(wire, "", 0);
    return reply_of(wire);
}

static uint64_t length_of(const struct reply *reply)
{
    uint64_t length;
    assert_int_equal(str_u64(reply_header(reply, "content-length"), &length), MG_OK);
    return length;
}

static void test_whole_answers(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *more; int status; const char *type; size_t len; bool is_noise, is_packed, varies; } rows[] = {
        { GZIP, 200, JSON, 1024, false, true, true },
        { GZIP, 200, "text/plain", 5000, false, true, true },
        { GZIP, 200, JSON, 300000, false, true, true },
        { GZIP, 200, JSON, 4 * MIB, false, true, true },
        { "Accept-Encoding: br\r\nAccept-Encoding: gzip;q=0.5\r\n", 200, JSON, 5000, false, true, true },

        { GZIP, 200, JSON, 0, false, false, true },
        { GZIP, 200, JSON, 1023, false, false, true },
        { GZIP, 200, JSON, 4 * MIB + 1, false, false, true },
        { GZIP, 200, JSON, 5000, true, false, true }, /* it would only grow */
        { "", 200, JSON, 5000, false, false, true },
        { "Accept-Encoding: identity\r\n", 200, JSON, 5000, false, false, true },
        { "Accept-Encoding:\r\n", 200, JSON, 5000, false, false, true },
        { "Accept-Encoding: gzip;q=0\r\n", 200, JSON, 5000, false, false, true },
        { GZIP, 200, "image/png", 5000, false, false, false },
        { GZIP, 200, NULL, 5000, false, false, false },
        { GZIP, 404, JSON, 5000, false, false, false },
        { GZIP, 202, JSON, 5000, false, false, false },
    };
    /* clang-format on */
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    for (size_t i = 0; i < MG_COUNT(rows) * 2; i++) {
        size_t k = i / 2;
        bool is_head = i % 2;
        struct buf body;
        buf_init(&body, 8 * MIB);
        (rows[k].is_noise ? put_noise : put_text)(&body, rows[k].len);
        struct reply reply = answer(&wire, is_head ? "HEAD" : "GET", rows[k].more, rows[k].status,
                                    rows[k].type, buf_str(&body));
        assert_int_equal(reply.status, rows[k].status);
        if (str_eq(reply_header(&reply, "content-encoding"), STR("gzip")) != rows[k].is_packed ||
            str_eq(reply_header(&reply, "vary"), STR("Accept-Encoding")) != rows[k].varies)
            fail_msg("row %zu: %.*s", k, STR_ARG(reply.head));
        assert_true(
            str_eq(reply_header(&reply, "etag"), rows[k].is_packed ? STR("W/" ETAG) : STR(ETAG)));
        assert_int_equal(reply_header(&reply, "transfer-encoding").len, 0);
        static uint64_t length;
        assert_true(is_head ? length_of(&reply) == length && reply.body.len == 0
                            : length_of(&reply) == reply.body.len);
        length = length_of(&reply); /* HEAD says what GET said before it */
        if (!is_head)
            assert_true(rows[k].is_packed ? inflates_to(reply.body, buf_str(&body))
                                          : str_eq(reply.body, buf_str(&body)));
        if (rows[k].is_packed)
            assert_true(length < body.len / 2);
        buf_fini(&body);
    }
    wire_fini(&wire);
}

/* What a 304 says is what the 200 says that it stands for. */
static void test_not_modified(void **state)
{
    (void)state;
    static const struct {
        const char *more, *etag;
    } rows[] = {{GZIP, "W/" ETAG}, {"", ETAG}, {"Accept-Encoding: gzip;q=0\r\n", ETAG}};
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct reply reply = answer(&wire, "GET", rows[i].more, 304, NULL, STR(""));
        assert_int_equal(reply.status, 304);
        assert_true(str_eq(reply_header(&reply, "etag"), str_of(rows[i].etag)));
        assert_true(str_eq(reply_header(&reply, "vary"), STR("Accept-Encoding")));
        assert_int_equal(reply_header(&reply, "content-encoding").len, 0);
        assert_int_equal(reply.body.len, 0);
    }
    wire_fini(&wire);
}

/* --- files --- */
/* What leaves is what the file has, byte for byte: nothing is packed anew. */
static void test_files(void **state)
{
    (void)state;
    static const struct {
        const char *more, *gzip, *type, *etag;
        int status;
        bool is_packed;
    } rows[] = {
        {GZIP, "packed", JSON, "W/" ETAG, 200, true},
        {GZIP "If-None-Match: \"x\"\r\n", "packed", JSON, "W/" ETAG, 200, true},
        {GZIP "If-None-Match: W/" ETAG "\r\n", "packed", JSON, "W/" ETAG, 304, false},
        {GZIP "If-None-Match: *\r\n", "", JSON, "W/" ETAG, 304, false},

        {GZIP, "", JSON, ETAG, 200, false},
        {GZIP, "", "image/png", ETAG, 200, false},
        {"", "packed", JSON, ETAG, 200, false},
        {"Accept-Encoding: gzip;q=0\r\n", "packed", JSON, ETAG, 200, false},
        {"Accept-Encoding: br\r\n", "packed", JSON, ETAG, 200, false},
        {"If-None-Match: " ETAG "\r\n", "packed", JSON, ETAG, 304, false},
    };
    static const struct http_header extra = {STR_INIT("x-more"), STR_INIT("yes")};
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    for (size_t i = 0; i < MG_COUNT(rows) * 2; i++) {
        size_t k = i / 2;
        bool is_head = i % 2;
        const struct http_file file = {STR("as it is"), str_of(rows[k].gzip), STR(ETAG), rows[k].type};
        http_respond_file(request_for(&wire, is_head ? "HEAD" : "GET", rows[k].more), &file, &extra, 1);
        wire_send(&wire, "", 0);
        struct reply reply = reply_of(&wire);
        struct str want = rows[k].status == 304 ? STR("") : rows[k].is_packed ? file.gzip : file.bytes;
        if (reply.status != rows[k].status ||
            str_eq(reply_header(&reply, "content-encoding"), STR("gzip")) != rows[k].is_packed ||
            !str_eq(reply_header(&reply, "etag"), str_of(rows[k].etag)) ||
            !str_eq(reply.body, is_head ? STR("") : want))
            fail_msg("row %zu: %.*s", k, STR_ARG(reply.head));
        assert_int_equal(reply_header(&reply, "vary").len > 0, strcmp(rows[k].type, JSON) == 0);
        assert_true(str_eq(reply_header(&reply, "x-more"), STR("yes")));
        if (reply.status == 200)
            assert_int_equal(length_of(&reply), want.len);
    }
    wire_fini(&wire);
}

static void test_which_files_are_packed(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        size_t len;
        bool is_noise, is_packed;
    } rows[] = {
        {JSON, 1024, false, true},       {"text/css", 5000, false, true}, {JSON, 4 * MIB + 1, false, true},
        {JSON, 0, false, false},         {JSON, 1023, false, false},      {JSON, 5000, true, false},
        {"image/png", 5000, false, false}, {"", 5000, false, false},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct arena arena = {0};
        struct buf body;
        buf_init(&body, 8 * MIB);
        (rows[i].is_noise ? put_noise : put_text)(&body, rows[i].len);
        struct str gzip = http_file_pack(rows[i].type, buf_str(&body), &arena);
        if (rows[i].is_packed ? !inflates_to(gzip, buf_str(&body)) : gzip.len > 0)
            fail_msg("row %zu", i);
        buf_fini(&body);
        arena_fini(&arena);
    }
}

static void test_weak_tags_stay(void **state)
{
    (void)state;
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    const struct http_header etag = {STR("etag"), STR("W/\"x\"")};
    struct http_request *request = request_for(&wire, "GET", GZIP);
    http_respond_with(request, 304, NULL, STR(""), &etag, 1);
    wire_send(&wire, "", 0);
    struct reply reply = reply_of(&wire);
    assert_true(str_eq(reply_header(&reply, "etag"), etag.value));
    wire_fini(&wire);
}

static void test_failures_leave_as_they_are(void **state)
{
    (void)state;
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    char message[4001];
    memset(message, 'x', sizeof message - 1);
    message[sizeof message - 1] = '\0';
    http_respond_error(request_for(&wire, "GET", GZIP), MG_E_TIMEOUT, str_of(message), 0);
    wire_send(&wire, "", 0);
    assert_true(wire_has(&wire, message));
    assert_false(wire_has(&wire, "content-encoding"));
    assert_false(wire_has(&wire, "vary"));
    wire_fini(&wire);
}

#define LATER .method = "GET", .path = "/later", .extra_name = "accept-encoding"
static const struct ask gzip_ask = {LATER, .extra_value = "gzip"};

static void test_whole_answers_of_http2(void **state)
{
    static const struct {
        const char *accept;
        size_t len;
        bool is_packed;
    } rows[] = {{"gzip", 200000, true},
                {"br, gzip;q=0.1", 1024, true},
                {"gzip", 1023, false},
                {"gzip;q=0", 5000, false},
                {"br", 5000, false}};
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        CLIENT_WITH(client, 1 << 20, (void)0);
        struct buf body;
        buf_init(&body, MIB);
        put_text(&body, rows[i].len);
        const struct http_header etag = {STR("etag"), STR(ETAG)};
        int32_t id = submit(client, &(struct ask){LATER, .extra_value = rows[i].accept});
        run(client);
        http_respond_with(wire.later[0], 200, JSON, buf_str(&body), &etag, 1);
        run(client);
        struct seen *seen = seen_of(client, id);
        assert_string_equal(seen->encoding, rows[i].is_packed ? "gzip" : "");
        assert_string_equal(seen->etag, rows[i].is_packed ? "W/" ETAG : ETAG);
        assert_string_equal(seen->vary, "Accept-Encoding");
        assert_int_equal(strtoul(seen->length, NULL, 10), seen->body.len);
        assert_true(rows[i].is_packed ? inflates_to(buf_str(&seen->body), buf_str(&body))
                                      : str_eq(buf_str(&seen->body), buf_str(&body)));
        buf_fini(&body);
        DONE(client);
    }
}

static void test_grpc_is_left_alone(void **state)
{
    CLIENT(client);
    static char text[5006];
    memset(text, 'a', sizeof text);
    memcpy(text, "\0\0\0\x13\x88", 5); /* 5000 */
    struct seen *seen =
        call(client, &(struct ask){GRPC, .path = "/t.S/Echo", .body = {text, 5005},
                                   .extra_name = "accept-encoding", .extra_value = "gzip"});
    assert_string_equal(seen->grpc_status, "0");
    assert_string_equal(seen->encoding, "");
    assert_string_equal(seen->vary, "");
    assert_int_equal(seen->body.len, 5005);
    assert_memory_equal(seen->body.ptr, text, 5005);
    DONE(client);
}

/* --- streamed answers --- */
static enum mg_err write_some(struct http_pipe *pipe, struct buf *whole, size_t len,
                              void (*put)(struct buf *, size_t))
{
    struct buf bytes;
    buf_init(&bytes, len + 100);
    bytes.len = 0;
    size_t from = whole->len;
    put(whole, len);
    buf_put(&bytes, whole->ptr + from, len);
    enum mg_err err = http_pipe_write(pipe, &bytes);
    assert_int_equal(bytes.len, 0);
    assert_int_equal(bytes.limit, len + 100);
    buf_fini(&bytes);
    return err;
}

/* The bodies of all whole chunks, from *at on. */
static void take_chunks(struct wire *wire, size_t *at, struct inflater *inflater, bool *has_ended)
{
    *has_ended = false;
    while (*at < wire->out.len) {
        size_t size, digits;
        struct str rest = str_n(wire->out.ptr + *at, wire->out.len - *at);
        assert_int_equal(sscanf(rest.ptr, "%zx", &size), 1);
        assert_true(str_find(rest, STR("\r\n"), &digits));
        assert_true(rest.len >= digits + 4 + size);
        if (size)
            inflater_take(inflater, str_n(rest.ptr + digits + 2, size));
        *at += digits + 4 + size;
        *has_ended = size == 0;
    }
}

static void test_pieces_can_be_read_as_they_come(void **state)
{
    (void)state;
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    struct buf whole;
    struct inflater inflater;
    bool has_ended;
    size_t at = 0;
    buf_init(&whole, 8 * MIB);
    inflater_init(&inflater);
    struct http_pipe *pipe = http_pipe_new(request_for(&wire, "GET", GZIP), 0);
    http_pipe_head(pipe, 200, JSON);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(write_some(pipe, &whole, PIECE + i, put_text), MG_OK);
        wire_round(&wire);
        if (at == 0) {
            struct reply reply = reply_of(&wire);
            at = reply.head.len + 2;
            assert_true(str_eq(reply_header(&reply, "content-encoding"), STR("gzip")));
            assert_true(str_eq(reply_header(&reply, "vary"), STR("Accept-Encoding")));
            assert_true(str_eq(reply_header(&reply, "transfer-encoding"), STR("chunked")));
            assert_int_equal(reply_header(&reply, "content-length").len, 0);
        }
        take_chunks(&wire, &at, &inflater, &has_ended);
        assert_true(str_eq(buf_str(&inflater.text), buf_str(&whole)));
        assert_false(has_ended || inflater.has_ended);
    }
    assert_int_equal(write_some(pipe, &whole, 100, put_text), MG_OK); /* kept back until the end */
    http_pipe_end(&pipe, MG_OK, STR(""));
    wire_round(&wire);
    take_chunks(&wire, &at, &inflater, &has_ended);
    assert_true(has_ended && inflater.has_ended);
    assert_true(str_eq(buf_str(&inflater.text), buf_str(&whole)));
    assert_true(wire.out.len < whole.len / 2);
    assert_non_null(wire.conn);
    buf_fini(&whole);
    inflater_fini(&inflater);
    wire_fini(&wire);
}

static void test_pieces_of_http2(void **state)
{
    CLIENT_WITH(client, 1 << 24, (void)0);
    (void)nghttp2_session_set_local_window_size(client->session, 0, 0, 1 << 24);
    struct buf whole;
    struct inflater inflater;
    buf_init(&whole, 8 * MIB);
    inflater_init(&inflater);
    struct seen *seen = seen_of(client, submit(client, &gzip_ask));
    run(client);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    http_pipe_head(pipe, 200, JSON);
    for (size_t i = 0, from = 0; i < 10; i++, from = seen->body.len) {
        assert_int_equal(write_some(pipe, &whole, PIECE, put_text), MG_OK);
        wire_round(&wire);
        run(client);
        inflater_take(&inflater, str_n(seen->body.ptr + from, seen->body.len - from));
        assert_true(str_eq(buf_str(&inflater.text), buf_str(&whole)));
    }
    http_pipe_end(&pipe, MG_OK, STR(""));
    wire_round(&wire);
    run(client);
    assert_string_equal(seen->encoding, "gzip");
    assert_string_equal(seen->vary, "Accept-Encoding");
    assert_string_equal(seen->length, "");
    assert_true(seen->is_closed && seen->error == NGHTTP2_NO_ERROR);
    assert_true(inflates_to(buf_str(&seen->body), buf_str(&whole)));
    buf_fini(&whole);
    inflater_fini(&inflater);
    DONE(client);
}

/* One way for what ended before anything left, one for what did not. */
static void test_streams_that_leave_as_they_are(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *more, *type; int status; size_t len; bool is_packed; } rows[] = {
        { GZIP, JSON, 200, PIECE, true }, { GZIP, JSON, 200, 1024, true },
        { GZIP, JSON, 200, 1023, false },
        { "", JSON, 200, PIECE, false }, { "", JSON, 200, 5000, false },
        { "Accept-Encoding: gzip;q=0\r\n", JSON, 200, PIECE, false },
        { GZIP, "application/x-tar", 200, PIECE, false }, { GZIP, "", 200, PIECE, false },
        { GZIP, JSON, 404, PIECE, false }, { GZIP, JSON, 404, 5000, false },
    };
    /* clang-format on */
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf whole;
        size_t found;
        buf_init(&whole, MIB);
        struct http_pipe *pipe = http_pipe_new(request_for(&wire, "GET", rows[i].more), 0);
        http_pipe_head(pipe, rows[i].status, rows[i].type);
        assert_int_equal(write_some(pipe, &whole, rows[i].len, put_text), MG_OK);
        http_pipe_end(&pipe, MG_OK, STR(""));
        wire_round(&wire);
        struct reply reply = reply_of(&wire);
        assert_int_equal(reply.status, rows[i].status);
        assert_int_equal(str_eq(reply_header(&reply, "content-encoding"), STR("gzip")),
                         rows[i].is_packed);
        assert_int_equal(str_eq(reply_header(&reply, "vary"), STR("Accept-Encoding")),
                         rows[i].status == 200 && str_eq(str_of(rows[i].type), STR(JSON)));
        assert_int_equal(str_find(reply.body, buf_str(&whole), &found), !rows[i].is_packed);
        buf_fini(&whole);
    }
    wire_fini(&wire);
}

static struct http_pipe *begin_packed(struct wire *wire, struct buf *whole)
{
    wire_init(wire);
    wire_start(wire);
    buf_init(whole, MIB);
    struct http_pipe *pipe = http_pipe_new(request_for(wire, "GET", GZIP), 0);
    http_pipe_head(pipe, 200, JSON);
    return pipe;
}

static void test_failure_before_the_first_piece_is_clean(void **state)
{
    (void)state;
    struct wire wire;
    struct buf whole;
    struct http_pipe *pipe = begin_packed(&wire, &whole);
    assert_int_equal(write_some(pipe, &whole, 5000, put_text), MG_OK);
    http_pipe_end(&pipe, MG_E_TIMEOUT, STR("too slow"));
    wire_round(&wire);
    assert_string_equal(wire_answers(&wire), "504");
    assert_true(wire_has(&wire, "too slow"));
    assert_false(wire_has(&wire, "content-encoding"));
    buf_fini(&whole);
    wire_fini(&wire);
}

/* A member that was cut never looks whole: neither its chunks nor its own end are there. */
static void test_late_failure_breaks_the_answer(void **state)
{
    (void)state;
    struct wire wire;
    struct buf whole;
    struct inflater inflater;
    bool has_ended;
    wire_init(&wire);
    wire_start(&wire);
    buf_init(&whole, MIB);
    inflater_init(&inflater);
    struct http_pipe *pipe = http_pipe_new(request_for(&wire, "GET", GZIP), 0);
    http_pipe_head(pipe, 200, JSON);
    assert_int_equal(write_some(pipe, &whole, PIECE, put_text), MG_OK);
    wire_round(&wire);
    assert_int_equal(write_some(pipe, &whole, 100, put_text), MG_OK);
    http_pipe_end(&pipe, MG_E_IO, STR("x"));
    wire_round(&wire);
    assert_null(wire.conn);
    size_t at = reply_of(&wire).head.len + 2;
    take_chunks(&wire, &at, &inflater, &has_ended);
    assert_false(has_ended || inflater.has_ended);
    assert_int_equal(inflater.text.len, PIECE);
    buf_fini(&whole);
    inflater_fini(&inflater);
    wire_fini(&wire);
}

static void test_late_failure_of_http2(void **state)
{
    CLIENT_WITH(client, 1 << 20, (void)0);
    struct buf whole;
    buf_init(&whole, MIB);
    struct seen *seen = seen_of(client, submit(client, &gzip_ask));
    run(client);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    http_pipe_head(pipe, 200, JSON);
    assert_int_equal(write_some(pipe, &whole, PIECE, put_text), MG_OK);
    wire_round(&wire);
    run(client);
    http_pipe_end(&pipe, MG_E_IO, STR("x"));
    wire_round(&wire);
    run(client);
    assert_string_equal(seen->encoding, "gzip");
    assert_int_equal(seen->error, NGHTTP2_INTERNAL_ERROR);
    assert_false(inflates_to(buf_str(&seen->body), buf_str(&whole)));
    buf_fini(&whole);
    DONE(client);
}

static void test_peer_goes(void **state)
{
    (void)state;
    struct wire wire;
    struct buf whole;
    struct http_pipe *pipe = begin_packed(&wire, &whole);
    assert_int_equal(write_some(pipe, &whole, PIECE, put_text), MG_OK);
    wire_round(&wire);
    wire_reset(&wire);
    assert_int_equal(write_some(pipe, &whole, PIECE, put_text), MG_E_IO);
    http_pipe_end(&pipe, MG_OK, STR(""));
    wire_round(&wire);
    assert_true(list_empty(&wire.server->orphans));
    buf_fini(&whole);
    wire_fini(&wire);
}

/* The head that GET would have; nothing is packed, and no window fills. */
static void test_head_of_a_stream(void **state)
{
    (void)state;
    struct wire wire;
    struct buf whole;
    wire_init(&wire);
    wire_start(&wire);
    buf_init(&whole, 8 * MIB);
    struct http_pipe *pipe = http_pipe_new(request_for(&wire, "HEAD", GZIP), 1000);
    http_pipe_head(pipe, 200, JSON);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(write_some(pipe, &whole, PIECE, put_noise), MG_OK);
        wire_round(&wire);
    }
    http_pipe_end(&pipe, MG_OK, STR(""));
    wire_round(&wire);
    struct reply reply = reply_of(&wire);
    assert_true(str_eq(reply_header(&reply, "content-encoding"), STR("gzip")));
    assert_true(str_eq(reply_header(&reply, "vary"), STR("Accept-Encoding")));
    assert_int_equal(reply_header(&reply, "content-length").len, 0);
    assert_int_equal(reply.body.len, 0);
    assert_non_null(wire.conn);
    assert_int_equal(wire.conn->n_requests, 0);
    buf_fini(&whole);
    wire_fini(&wire);
}

static void test_stream_for_http_1_0(void **state)
{
    (void)state;
    struct wire wire;
    struct buf whole;
    static const char ask[] = "GET /later HTTP/1.0\r\n" GZIP "\r\n";
    wire_init(&wire);
    wire_start(&wire);
    buf_init(&whole, MIB);
    wire_send(&wire, ask, sizeof ask - 1);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    http_pipe_head(pipe, 200, JSON);
    assert_int_equal(write_some(pipe, &whole, PIECE, put_text), MG_OK);
    http_pipe_end(&pipe, MG_OK, STR(""));
    wire_round(&wire);
    assert_true(inflates_to(reply_of(&wire).body, buf_str(&whole))); /* ended by the connection */
    assert_true(wire.is_shut);
    buf_fini(&whole);
    wire_fini(&wire);
}

/* --- a reader that does not read --- */
struct writer {
    struct http_pipe *pipe;
    void (*put)(struct buf *, size_t);
    size_t n_pieces;
    enum mg_err err;
    size_t n_written; /* atomic; pieces */
    bool is_done;     /* atomic */
    struct buf whole;
};

static void *run_writer(void *arg)
{
    struct writer *writer = arg;
    http_pipe_head(writer->pipe, 200, JSON);
    for (size_t i = 0; i < writer->n_pieces && !writer->err; i++) {
        writer->err = write_some(writer->pipe, &writer->whole, PIECE, writer->put);
        if (!writer->err)
            __atomic_add_fetch(&writer->n_written, 1, __ATOMIC_RELAXED);
    }
    http_pipe_end(&writer->pipe, writer->err, STR("stopped"));
    __atomic_store_n(&writer->is_done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* The window is of bytes that leave. Noise does not shrink: two pieces fit one of three pieces less
 * a byte. Of text, which does, more than the window's own length was written when it is full. */
static void test_window(void **state)
{
    (void)state;
    for (int is_noise = 0; is_noise < 2; is_noise++) {
        struct wire wire;
        wire_init(&wire);
        wire_start(&wire);
        struct writer writer = {.put = is_noise ? put_noise : put_text, .n_pieces = 60};
        buf_init(&writer.whole, 8 * MIB);
        writer.pipe = http_pipe_new(request_for(&wire, "GET", GZIP), 3 * PIECE - 1);
        wire.queued = OUT_HIGH_BYTES;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, run_writer, &writer), 0);
        size_t least = is_noise ? 2 : 4;
        while (__atomic_load_n(&writer.n_written, __ATOMIC_RELAXED) < least)
            wire_round(&wire);
        for (int i = 0; i < 50; i++)
            wire_round(&wire);
        size_t n = __atomic_load_n(&writer.n_written, __ATOMIC_RELAXED);
        assert_false(__atomic_load_n(&writer.is_done, __ATOMIC_ACQUIRE));
        assert_true(is_noise ? n == 2 : n >= 4);
        assert_int_equal(wire.out.len, 0);
        while (!__atomic_load_n(&writer.is_done, __ATOMIC_ACQUIRE)) {
            wire_sent(&wire);
            wire_round(&wire);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        wire_round(&wire);
        struct inflater inflater;
        bool has_ended;
        size_t at = reply_of(&wire).head.len + 2;
        inflater_init(&inflater);
        take_chunks(&wire, &at, &inflater, &has_ended);
        assert_true(has_ended && inflater.has_ended);
        assert_int_equal(writer.err, MG_OK);
        assert_true(str_eq(buf_str(&inflater.text), buf_str(&writer.whole)));
        inflater_fini(&inflater);
        buf_fini(&writer.whole);
        wire_fini(&wire);
    }
}

static void test_blocked_writer_hears_that_the_peer_went(void **state)
{
    (void)state;
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    struct writer writer = {.put = put_noise, .n_pieces = 60};
    buf_init(&writer.whole, 8 * MIB);
    writer.pipe = http_pipe_new(request_for(&wire, "GET", GZIP), 2 * PIECE);
    wire.queued = OUT_HIGH_BYTES;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_writer, &writer), 0);
    while (__atomic_load_n(&writer.n_written, __ATOMIC_RELAXED) < 1)
        wire_round(&wire);
    wire_reset(&wire);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(writer.err, MG_E_IO);
    wire_round(&wire);
    assert_true(list_empty(&wire.server->orphans));
    buf_fini(&writer.whole);
    wire_fini(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_caller_reads),
        cmocka_unit_test(test_what_is_worth_it),
        cmocka_unit_test(test_whole_answers),
        cmocka_unit_test(test_not_modified),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_which_files_are_packed),
        cmocka_unit_test(test_weak_tags_stay),
        cmocka_unit_test(test_failures_leave_as_they_are),
        cmocka_unit_test(test_whole_answers_of_http2),
        cmocka_unit_test(test_grpc_is_left_alone),
        cmocka_unit_test(test_pieces_can_be_read_as_they_come),
        cmocka_unit_test(test_pieces_of_http2),
        cmocka_unit_test(test_streams_that_leave_as_they_are),
        cmocka_unit_test(test_failure_before_the_first_piece_is_clean),
        cmocka_unit_test(test_late_failure_breaks_the_answer),
        cmocka_unit_test(test_late_failure_of_http2),
        cmocka_unit_test(test_peer_goes),
        cmocka_unit_test(test_head_of_a_stream),
        cmocka_unit_test(test_stream_for_http_1_0),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_blocked_writer_hears_that_the_peer_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

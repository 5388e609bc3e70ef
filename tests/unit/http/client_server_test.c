/* The client against the server, over real sockets on one loop: both protocols, gRPC, and answers
 * and bodies that are much larger than what the kernel takes at once, with readers fast and slow.
 *
 * A slow reader is a bare stream that pauses itself after every read and goes on with a timer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "codec/zip.h"
#include "bare.h"
#include "scene.h"
#include "unit/net/slow_resolver.h"
#include "usual_conf.h"

#define STREAM_BYTES (60u * 1000 * 1000)
#define GRPC_BYTES   (5u << 20)

/* What the server saw of bodies since the scene was opened. */
static struct {
    size_t grpc_bytes; /* of the largest gRPC body */
    uint64_t gathered; /* of all bodies at a time */
} most;

/* --- the server --- */

static void on_echo(void *owner, struct http_request *request)
{
    struct scene *scene = owner;
    most.gathered = MG_MAX(most.gathered, scene->server->gather.bytes);
    http_respond(request, 200, "text/plain", http_request_body(request));
}

/* "<encoding>:<bytes once unpacked>" */
static void on_measure(void *owner, struct http_request *request)
{
    (void)owner;
    struct str encoding = http_request_encoding(request), body = http_request_body(request);
    size_t len = body.len;
    char text[64];
    if (str_eq(encoding, STR("gzip"))) {
        struct zip *zip = zip_new();
        struct buf plain;
        buf_init(&plain, 1 << 26);
        bool is_fine = zip_inflate(zip, ZIP_GZIP, body, 1 << 26, &plain, NULL) == MG_OK;
        len = is_fine ? plain.len : 0;
        buf_fini(&plain);
        zip_free(&zip);
    }
    most.grpc_bytes = MG_MAX(most.grpc_bytes, body.len);
    int n = snprintf(text, sizeof text, "%.*s:%zu", STR_ARG(encoding), len);
    http_respond_grpc(request, str_n(text, (size_t)n));
}

static void on_never(void *owner, struct http_request *request)
{
    (void)owner, (void)request;
    fail_msg("a call that was never sent");
}

static const struct http_route routes[] = {
    {.method = "POST", .path = "/base/echo", .on_request = on_echo},
    {.method = "GET", .path = "/base/stream", .on_request = scene_on_stream},
    {.method = "GET", .path = "/base/never", .on_request = on_never},
    {.path = "/base/t.S/Measure", .on_request = on_measure, .is_grpc = true},
};

/* --- the scene --- */

/* changes: what is not 0 in it takes the place of the usual. */
static void open_with(struct scene *scene, const struct http_conf *changes)
{
    struct http_conf conf = usual_conf();
    if (changes->stream_window)
        conf.stream_window = changes->stream_window;
    if (changes->connection_window)
        conf.connection_window = changes->connection_window;
    conf.bodies_bytes_max = changes->bodies_bytes_max;
    most.grpc_bytes = most.gathered = 0;
    scene_open(scene,
               (struct http_options){.conf = &conf, .routes = routes, .n_routes = MG_COUNT(routes)},
               NULL);
    scene->stream_bytes = STREAM_BYTES;
}

static void open_usual(struct scene *scene)
{
    open_with(scene, &(struct http_conf){0});
}

static void client_open(struct scene *scene, bool http2, const char *host, unsigned connections)
{
    char url[64];
    snprintf(url, sizeof url, "http://%s:%u/base", host,
             port_of(http_server_address(scene->server)));
    scene_client_open(scene, &(struct http_client_options){.base_url = str_of(url),
                                                           .http2 = http2,
                                                           .connections_max = connections,
                                                           .timeout_ms = 50000});
}

/* --- the tests --- */

static void test_plain_calls(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 4096, 65536, 1 << 20, 20 << 20};
    for (int http2 = 0; http2 < 2; http2++) {
        struct scene scene;
        open_usual(&scene);
        client_open(&scene, http2, "127.0.0.1", 2);
        char *bytes = pattern_new(20 << 20);
        for (size_t i = 0; i < MG_COUNT(sizes); i++) {
            const struct http_call call = {
                .method = "POST", .path = STR("/echo"), .body = str_n(bytes, sizes[i])};
            scene_call(&scene, &call);
        }
        scene_call(&scene, &(struct http_call){.method = "GET", .path = STR("/none")});
        scene_wait(&scene, MG_COUNT(sizes) + 1);
        size_t n_bytes = 0, n_absent = 0;
        for (size_t i = 0; i < scene.n_results; i++) {
            const struct result *result = &scene.results[i];
            assert_int_equal(result->err, MG_OK);
            n_absent += result->status == 404;
            if (result->status == 200)
                n_bytes += result->body_len;
            assert_true(result->status == 404 || result->is_pattern);
        }
        assert_int_equal(n_absent, 1);
        assert_int_equal(n_bytes, 1 + 4096 + 65536 + (1 << 20) + (20 << 20));
        mem_free(bytes);
        scene_close(&scene);
    }
}

static void call_grpc(struct scene *scene, struct str body, const char *encoding, bool is_packed)
{
    const struct http_header header = {STR("grpc-encoding"), str_of(encoding ? encoding : "")};
    const struct http_call call = {.method = "POST",
                                   .path = STR("/t.S/Measure"),
                                   .headers = &header,
                                   .n_headers = encoding ? 1 : 0,
                                   .body = body,
                                   .is_grpc = true,
                                   .is_compressed = is_packed};
    scene_call(scene, &call);
}

static void test_grpc_encodings(void **state)
{
    (void)state;
    struct scene scene;
    open_usual(&scene);
    client_open(&scene, true, "127.0.0.1", 1);
    char *bytes = pattern_new(100000);
    struct buf packed;
    buf_init(&packed, 1 << 20);
    struct zip *zip = zip_new();
    assert_int_equal(zip_deflate(zip, ZIP_GZIP, str_n(bytes, 100000), &packed), MG_OK);
    zip_free(&zip);
    /* clang-format off */
    const struct {
        struct str body; const char *encoding; bool is_packed; int status; const char *want;
    } cases[] = {
        { buf_str(&packed), "gzip", true, 0, "gzip:100000" },
        { str_n(bytes, 100000), "gzip", false, 0, ":100000" }, /* the flag decides, not the header */
        { STR("abc"), NULL, false, 0, ":3" },
        { STR(""), NULL, false, 0, ":0" },
        { STR("abc"), NULL, true, 13, "" },                     /* packed, nobody says how */
        { STR("abc"), "identity", true, 13, "" },
        { STR("abc"), "lzma", true, 12, "" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        call_grpc(&scene, cases[i].body, cases[i].encoding, cases[i].is_packed);
        scene_wait(&scene, i + 1);
        const struct result *result = &scene.results[i];
        if (result->err || result->grpc_status != cases[i].status ||
            strcmp(result->body, cases[i].want) != 0)
            fail_msg("row %zu: %s %d '%s'", i, result->why, result->grpc_status, result->body);
    }
    buf_fini(&packed);
    mem_free(bytes);
    scene_close(&scene);
}

/* A write that the kernel takes whole at once is followed by no drained event: whoever stops then
 * waits for ever. */
static void test_large_grpc_bodies_at_once(void **state)
{
    (void)state;
    struct scene scene;
    open_usual(&scene);
    client_open(&scene, true, "127.0.0.1", 2);
    char *bytes = pattern_new(GRPC_BYTES);
    for (int i = 0; i < 2 * 8; i++)
        call_grpc(&scene, str_n(bytes, GRPC_BYTES), NULL, false);
    scene_wait(&scene, 2 * 8);
    for (size_t i = 0; i < scene.n_results; i++) {
        assert_int_equal(scene.results[i].err, MG_OK);
        assert_int_equal(scene.results[i].grpc_status, 0);
        assert_string_equal(scene.results[i].body, ":5242880");
    }
    assert_int_equal(most.grpc_bytes, GRPC_BYTES);
    mem_free(bytes);
    scene_close(&scene);
}

/* Far more bytes at once than the bound takes: all come through, also where the waiting streams of
 * a connection have used up its window. Only what HTTP/2's windows allow beyond the bound is
 * refused, with a status. */
static void test_bodies_beyond_the_bound(void **state)
{
    (void)state;
    enum { N = 20, BYTES = 300000, ALL_FIT = 8000000 /* the windows, in 3/16 of it */ };
    static const struct http_conf confs[] = {
        {.bodies_bytes_max = 100000, .stream_window = 65536, .connection_window = 65536},
        {.bodies_bytes_max = 400000, .stream_window = 65536, .connection_window = 131072},
        {.bodies_bytes_max = 1000000},
        {.bodies_bytes_max = 1},
        {.bodies_bytes_max = ALL_FIT, .stream_window = 65536, .connection_window = 65536},
    };
    char *bytes = pattern_new(BYTES);
    for (size_t i = 0; i < MG_COUNT(confs) * 4; i++) {
        bool http2 = i % 2;
        unsigned connections = i % 4 < 2 ? 8 : 1;
        const struct http_conf *conf = &confs[i / 4];
        struct scene scene;
        const struct http_call call = {
            .method = "POST", .path = STR("/echo"), .body = str_n(bytes, BYTES)};
        open_with(&scene, conf);
        scene.server->tick_ms = 60000; /* no wait ends by its time: how fast this machine is decides nothing */
        client_open(&scene, http2, "127.0.0.1", connections);
        for (int n = 0; n < N; n++)
            scene_call(&scene, &call);
        scene_wait(&scene, N);
        int n_served = 0;
        for (int n = 0; n < N; n++) {
            assert_int_equal(scene.results[n].err, MG_OK);
            if (http2 && conf->bodies_bytes_max < ALL_FIT && scene.results[n].status == 503)
                continue;
            n_served++;
            assert_int_equal(scene.results[n].body_len, BYTES);
            assert_true(scene.results[n].is_pattern);
        }
        assert_true(n_served > 0);
        if (most.gathered > conf->bodies_bytes_max + BYTES) /* one goes on beside it */
            fail_msg("row %zu: %llu bytes", i, (unsigned long long)most.gathered);
        assert_int_equal(scene.server->gather.bytes, 0);
        assert_int_equal(gather_bytes_of_all(), 0);
        scene_close(&scene);
    }
    mem_free(bytes);
}

static void test_streamed_answer_and_a_fast_reader(void **state)
{
    (void)state;
    for (int http2 = 0; http2 < 2; http2++) {
        struct scene scene;
        open_usual(&scene);
        client_open(&scene, http2, "127.0.0.1", 1);
        scene_call(&scene, &(struct http_call){.method = "GET", .path = STR("/stream")});
        scene_wait(&scene, 1);
        assert_int_equal(scene.results[0].err, MG_OK);
        assert_int_equal(scene.results[0].body_len, STREAM_BYTES);
        assert_true(scene.results[0].is_pattern);
        scene_close(&scene);
    }
}

/* --- a slow reader --- */

struct reader {
    struct loop *loop;
    struct stream *stream;
    struct timer *timer;
    nghttp2_session *session; /* NULL: HTTP/1 */
    size_t n_bytes;           /* HTTP/2: of the body; else of everything */
    size_t n_wrong;           /* pieces */
    char tail[8];             /* HTTP/1 */
    bool is_done, is_closed;
};

static void send_frames(struct reader *reader)
{
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(reader->session, &bytes)) > 0)
        stream_write(reader->stream, bytes, (size_t)n);
}

static void reader_done(struct reader *reader)
{
    reader->is_done = true;
    loop_stop(reader->loop);
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                    size_t len, void *owner)
{
    struct reader *reader = owner;
    (void)session, (void)flags, (void)id;
    reader->n_wrong += !is_pattern_at(reader->n_bytes, str_n((const char *)bytes, len));
    reader->n_bytes += len;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *owner)
{
    (void)session, (void)id;
    assert_int_equal(code, NGHTTP2_NO_ERROR);
    reader_done(owner);
    return 0;
}

/* The last chunk may come cut anywhere. */
static void read_h1(struct reader *reader, struct str bytes)
{
    reader->n_bytes += bytes.len;
    for (size_t i = bytes.len - MG_MIN(bytes.len, sizeof reader->tail); i < bytes.len; i++) {
        memmove(reader->tail, reader->tail + 1, sizeof reader->tail - 1);
        reader->tail[sizeof reader->tail - 1] = bytes.ptr[i];
    }
    if (memcmp(reader->tail, "\r\n0\r\n\r\n", 7) == 0 ||
        memcmp(reader->tail + 1, "\r\n0\r\n\r\n", 7) == 0)
        reader_done(reader);
}

static void on_reader_data(void *owner, struct str bytes)
{
    struct reader *reader = owner;
    if (reader->session) {
        assert_int_equal(
            nghttp2_session_mem_recv(reader->session, (const uint8_t *)bytes.ptr, bytes.len),
            bytes.len);
        send_frames(reader);
    } else {
        read_h1(reader, bytes);
    }
    stream_pause(reader->stream);
    timer_start(reader->timer, 1);
}

static void on_reader_timer(void *owner)
{
    stream_resume(((struct reader *)owner)->stream);
}

static void on_reader_end(void *owner)
{
    (void)owner;
}

static void on_reader_closed(void *owner, enum mg_err err)
{
    timer_stop(((struct reader *)owner)->timer);
    struct reader *reader = owner;
    (void)err;
    reader->is_closed = true;
    loop_stop(reader->loop);
}

static const struct stream_events reader_events = {on_reader_data, on_reader_end, on_reader_end,
                                                   on_reader_closed};

/* Windows so large that the socket is what holds the server back, or so small that they are. */
static void open_session(struct reader *reader, uint32_t window)
{
    const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    const nghttp2_nv fields[] = {
        {(uint8_t *)":method", (uint8_t *)"GET", 7, 3, 0},
        {(uint8_t *)":scheme", (uint8_t *)"http", 7, 4, 0},
        {(uint8_t *)":authority", (uint8_t *)"a", 10, 1, 0},
        {(uint8_t *)":path", (uint8_t *)"/base/stream", 5, 12, 0},
    };
    nghttp2_session_callbacks *callbacks;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    assert_int_equal(nghttp2_session_client_new(&reader->session, callbacks, reader), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(reader->session, 0, &entry, 1), 0);
    assert_int_equal(nghttp2_session_set_local_window_size(reader->session, 0, 0, (int32_t)window),
                     0);
    assert_true(nghttp2_submit_request(reader->session, NULL, fields, 4, NULL, NULL) > 0);
    send_frames(reader);
}

static void on_reader_connected(void *owner, struct stream *stream, enum mg_err err,
                                const struct mg_why *why)
{
    struct reader *reader = owner;
    if (err)
        fail_msg("%s", why->text);
    reader->stream = stream;
    stream_own(stream, &reader_events, reader);
    loop_stop(reader->loop);
}

static void reader_open(struct reader *reader, struct scene *scene, uint32_t window)
{
    static const char request[] = "GET /base/stream HTTP/1.1\r\nHost: a\r\n\r\n";
    *reader = (struct reader){.loop = scene->loop};
    reader->timer = timer_new(scene->loop, on_reader_timer, reader);
    stream_connect(scene->loop,
                   &(struct stream_target){.host = STR("127.0.0.1"),
                                           .port = port_of(http_server_address(scene->server)),
                                           .timeout_ms = 5000},
                   on_reader_connected, reader);
    while (!reader->stream)
        loop_run(scene->loop);
    if (window)
        open_session(reader, window);
    else
        stream_write(reader->stream, request, sizeof request - 1);
}

static void reader_close(struct reader *reader)
{
    timer_stop(reader->timer);
    stream_close(reader->stream);
    while (!reader->is_closed)
        loop_run(reader->loop);
    timer_free(&reader->timer);
    if (reader->session)
        nghttp2_session_del(reader->session);
}

static void test_streamed_answer_and_a_slow_reader(void **state)
{
    (void)state;
    static const uint32_t windows[] = {0 /* HTTP/1 */, 65535, 16 << 20};
    for (size_t i = 0; i < MG_COUNT(windows); i++) {
        struct scene scene;
        struct reader reader;
        open_usual(&scene);
        reader_open(&reader, &scene, windows[i]);
        while (!reader.is_done)
            loop_run(scene.loop);
        if (windows[i])
            assert_int_equal(reader.n_bytes, STREAM_BYTES);
        else
            assert_true(reader.n_bytes > STREAM_BYTES);
        assert_int_equal(reader.n_wrong, 0);
        reader_close(&reader);
        scene_close(&scene);
    }
}

/* --- closing early --- */

static void stop_soon(void *owner)
{
    loop_stop(owner);
}

/* The client goes while its connection is being made or its name looked up; nobody waits. */
static void test_closing_while_connecting(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool after_a_turn;
    } cases[] = {{"127.0.0.1", false}, {"slow.test", false}, {"slow.test", true}};
    for (size_t i = 0; i < MG_COUNT(cases) * 2; i++) {
        struct scene scene;
        const struct http_call call = {.method = "GET", .path = STR("/never")};
        open_usual(&scene);
        client_open(&scene, i % 2, cases[i / 2].host, 1);
        scene_call(&scene, &call);
        bool is_slow = strcmp(cases[i / 2].host, "slow.test") == 0;
        if (is_slow)
            slow_resolver_wait();
        if (cases[i / 2].after_a_turn) {
            struct timer *timer = timer_new(scene.loop, stop_soon, scene.loop);
            timer_start(timer, 1);
            loop_run(scene.loop);
            timer_free(&timer);
        }
        assert_int_equal(scene.n_results, 0);
        scene_client_close(&scene);
        assert_int_equal(scene.n_results, 1);
        assert_int_equal(scene.results[0].err, MG_E_IO);
        assert_non_null(strstr(scene.results[0].why, "the client was closed"));
        scene_close(&scene); /* frees the loop while the resolver still runs */
        if (is_slow)
            slow_resolver_let_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_calls),
        cmocka_unit_test(test_grpc_encodings),
        cmocka_unit_test(test_large_grpc_bodies_at_once),
        cmocka_unit_test(test_bodies_beyond_the_bound),
        cmocka_unit_test(test_streamed_answer_and_a_fast_reader),
        cmocka_unit_test(test_streamed_answer_and_a_slow_reader),
        cmocka_unit_test(test_closing_while_connecting),
    };
    pattern_init();
    slow_resolver_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

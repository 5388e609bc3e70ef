#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "certs.h"
#include "pair.h"

#define MANY (16u * 1024 * 1024)

/* Every test runs over TCP and over TLS: one face, one behaviour. */
struct kind {
    struct certs certs;
    struct tls_source *source;
    struct tls_context *context;
};

static int set_up_plain(void **state)
{
    *state = mem_zero(1, sizeof(struct kind));
    return 0;
}

static int set_up_tls(void **state)
{
    set_up_plain(state);
    struct kind *kind = *state;
    certs_init(&kind->certs);
    certs_standard(&kind->certs);
    const struct tls_options server = {.cert_file = certs_path(&kind->certs, "server.pem"),
                                       .key_file = certs_path(&kind->certs, "server.key"),
                                       .min_version = TLS_1_3,
                                       .is_server = true};
    const struct tls_options client = {.ca_file = certs_path(&kind->certs, "ca.pem")};
    assert_int_equal(tls_source_new(&kind->source, &server, NULL), MG_OK);
    assert_int_equal(tls_context_new(&kind->context, &client, NULL), MG_OK);
    return 0;
}

static int tear_down(void **state)
{
    struct kind *kind = *state;
    if (kind->source)
        certs_fini(&kind->certs);
    tls_source_free(&kind->source);
    tls_context_unref(&kind->context);
    mem_free(kind);
    return 0;
}

static void open_as(struct pair *pair, void **state)
{
    const struct kind *kind = *state;
    pair_open_with(pair, &(struct pair_options){.source = kind->source, .context = kind->context});
    assert_int_equal(stream_is_tls(pair->client.stream), kind->context != NULL);
    assert_int_equal(stream_is_tls(pair->server.stream), kind->source != NULL);
}

static bool server_has_5(struct pair *pair)
{
    return pair->server.got.len >= 5;
}
static bool server_has_some(struct pair *pair)
{
    return pair->server.got.len > 0;
}
static bool server_has_40000(struct pair *pair)
{
    return pair->server.got.len == 40000;
}
static bool server_has_many(struct pair *pair)
{
    return pair->server.got.len >= MANY;
}
static bool client_drained(struct pair *pair)
{
    return pair->client.n_drained > 0;
}
static bool server_closed(struct pair *pair)
{
    return pair->server.n_closed > 0;
}
static bool client_closed(struct pair *pair)
{
    return pair->client.n_closed > 0;
}
static bool server_ended(struct pair *pair)
{
    return pair->server.n_ends > 0;
}
static bool client_ended(struct pair *pair)
{
    return pair->client.n_ends > 0;
}

static void test_small_write_leaves_at_once(void **state)
{
    struct pair pair;
    open_as(&pair, state);
    stream_write(pair.client.stream, "hello", 5);
    stream_write(pair.client.stream, "", 0);
    assert_int_equal(stream_queued(pair.client.stream), 0);
    pair_run(&pair, server_has_5);
    assert_memory_equal(pair.server.got.ptr, "hello", 5);
    assert_int_equal(pair.client.n_drained, 0);
    pair_close(&pair);
    assert_int_equal(pair.server.err, MG_OK);
    assert_int_equal(pair.client.err, MG_OK);
}

/* The rest stays in the kernel, or comes with the next read. */
static void test_little_is_read_at_a_time(void **state)
{
    struct pair pair;
    open_as(&pair, state);
    char bytes[40000] = {0};
    stream_read_most(pair.server.stream, 300);
    pair.server.pause_at = 1;
    stream_write(pair.client.stream, bytes, sizeof bytes);
    pair_run(&pair, server_has_some);
    if (stream_is_tls(pair.server.stream))
        assert_true(pair.server.got.len <= 16384); /* a record comes whole */
    else
        assert_int_equal(pair.server.got.len, 300);
    pair.server.pause_at = 0;
    stream_read_most(pair.server.stream, SIZE_MAX);
    stream_resume(pair.server.stream);
    pair_run(&pair, server_has_40000);
    pair_close(&pair);
}

static void test_peer_names(void **state)
{
    struct pair pair;
    open_as(&pair, state);
    assert_true(str_starts(stream_peer(pair.server.stream), STR("127.0.0.1:")));
    assert_true(str_starts(stream_peer(pair.client.stream), STR("127.0.0.1:")));
    assert_false(str_eq(stream_peer(pair.server.stream), stream_peer(pair.client.stream)));
    pair_close(&pair);
}

static void fill(char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 7 + i / 251);
}

/* Many sizes, copied and taken, against a reader that has paused: everything arrives, in order,
 * once. */
static void test_order_under_back_pressure(void **state)
{
    struct pair pair;
    open_as(&pair, state);
    stream_pause(pair.server.stream);
    char *bytes = mem_alloc(MANY);
    fill(bytes, MANY);
    size_t at = 0;
    for (size_t size = 1; at < MANY; size = size * 3 % 300007 + 1) {
        size_t n = MG_MIN(size, (size_t)MANY - at);
        if (size % 2) {
            stream_write(pair.client.stream, bytes + at, n);
        } else {
            struct buf buf;
            buf_init(&buf, n);
            buf_put(&buf, bytes + at, n);
            stream_write_buf(pair.client.stream, &buf);
            assert_int_equal(buf.len, 0);
        }
        at += n;
    }
    assert_true(stream_queued(pair.client.stream) > MANY / 2);
    stream_resume(pair.server.stream);
    pair_run(&pair, server_has_many);
    assert_int_equal(pair.server.got.len, MANY);
    assert_memory_equal(pair.server.got.ptr, bytes, MANY);
    pair_run(&pair, client_drained);
    assert_int_equal(stream_queued(pair.client.stream), 0);
    mem_free(bytes);
    pair_close(&pair);
}

static void test_pause_stops_reading(void **state)
{
    struct pair pair;
    open_as(&pair, state);
    pair.server.pause_at = 1;
    char *bytes = mem_zero(1, MANY);
    stream_write(pair.client.stream, bytes, MANY);
    pair_run(&pair, server_has_5);
    size_t got = pair.server.got.len;
    assert_true(got <= 64 * 1024); /* one read, no second after the pause */
    pair.server.pause_at = 0;
    stream_resume(pair.server.stream);
    pair_run(&pair, server_has_many);
    mem_free(bytes);
    pair_close(&pair);
}

static void test_shutdown_after_what_is_queued(void **state)
{
    struct pair pair;
    open_as(&pair, state);
    char *bytes = mem_zero(1, MANY);
    stream_write(pair.client.stream, bytes, MANY);
    stream_shutdown(pair.client.stream);
    pair_run(&pair, server_ended);
    assert_int_equal(pair.server.got.len, MANY);
    assert_int_equal(pair.server.n_closed, 0); /* half closed: the other way is open */
    stream_write(pair.server.stream, "x", 1);
    stream_shutdown(pair.server.stream);
    pair_run(&pair, client_ended);
    assert_int_equal(pair.client.got.len, 1);
    mem_free(bytes);
    pair_close(&pair);
}

static void test_close_drops_what_is_queued(void **state)
{
    struct pair pair;
    open_as(&pair, state);
    pair.server.closes_on_end = true;
    stream_pause(pair.server.stream);
    char *bytes = mem_zero(1, MANY);
    stream_write(pair.client.stream, bytes, MANY);
    stream_close(pair.client.stream);
    stream_close(pair.client.stream); /* again: nothing */
    stream_write(pair.client.stream, "x", 1);
    assert_int_equal(pair.client.n_closed, 0); /* never from inside the call */
    pair_run(&pair, client_closed);
    stream_resume(pair.server.stream);
    pair_run(&pair, server_closed);
    assert_true(pair.server.got.len < MANY);
    mem_free(bytes);
    pair_close(&pair);
    assert_int_equal(pair.client.n_closed, 1);
}

static void test_close_inside_on_data(void **state)
{
    struct pair pair;
    open_as(&pair, state);
    pair.server.closes_on_data = true;
    char *bytes = mem_zero(1, MANY);
    stream_write(pair.client.stream, bytes, MANY);
    pair_run(&pair, client_closed); /* the kernel answers the rest with a reset */
    assert_int_equal(pair.client.err, MG_E_IO);
    assert_int_equal(pair.server.n_closed, 1);
    assert_true(pair.server.got.len <= 64 * 1024);
    mem_free(bytes);
    pair_close(&pair);
}

static void test_end_is_told_once(void **state)
{
    struct pair pair;
    open_as(&pair, state);
    stream_close(pair.client.stream);
    pair_run(&pair, server_ended);
    stream_pause(pair.server.stream);
    stream_resume(pair.server.stream);
    stream_write(pair.server.stream, "x", 1); /* to a peer that went: a reset follows, or nothing */
    pair_close(&pair);
    assert_int_equal(pair.server.n_ends, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_write_leaves_at_once),
        cmocka_unit_test(test_little_is_read_at_a_time),
        cmocka_unit_test(test_peer_names),
        cmocka_unit_test(test_order_under_back_pressure),
        cmocka_unit_test(test_pause_stops_reading),
        cmocka_unit_test(test_shutdown_after_what_is_queued),
        cmocka_unit_test(test_close_drops_what_is_queued),
        cmocka_unit_test(test_close_inside_on_data),
        cmocka_unit_test(test_end_is_told_once),
    };
    int failed = cmocka_run_group_tests_name("plain", tests, set_up_plain, tear_down);
    return failed + cmocka_run_group_tests_name("tls", tests, set_up_tls, tear_down);
}

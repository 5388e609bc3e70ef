/* Outgoing connections, also while names are looked up by a resolver that is slow. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "net/stream.h"
#include "slow_resolver.h"

struct result {
    struct loop *loop;
    unsigned n;
    enum mg_err err;
    char why[400];
    bool has_stream;
};

static void on_connected(void *owner, struct stream *stream, enum mg_err err,
                         const struct mg_why *why)
{
    struct result *result = owner;
    result->n++;
    result->err = err;
    result->has_stream = stream != NULL;
    snprintf(result->why, sizeof result->why, "%s", err ? why->text : "");
    if (stream)
        stream_close(stream);
    loop_stop(result->loop);
}

static void on_accept(void *owner, struct stream *stream)
{
    (void)owner;
    stream_close(stream);
}

/* A port that was just free. */
static uint16_t closed_port(struct loop *loop)
{
    struct listener *listener;
    struct listener_options options = {.address = STR("127.0.0.1:0")};
    assert_int_equal(listener_open(&listener, loop, &options, on_accept, NULL, NULL), MG_OK);
    struct str host, port_text;
    uint64_t port;
    assert_true(str_split_at(listener_address(listener), ':', &host, &port_text));
    assert_int_equal(str_u64(port_text, &port), MG_OK);
    listener_close(&listener);
    return (uint16_t)port;
}

static void test_failures(void **state)
{
    (void)state;
    char long_host[300];
    memset(long_host, 'a', sizeof long_host - 1);
    long_host[sizeof long_host - 1] = '\0';
    /* clang-format off */
    const struct { const char *host; uint64_t timeout_ms; enum mg_err want; } cases[] = {
        { "127.0.0.1", 5000, MG_E_IO },          /* refused */
        { "localhost", 5000, MG_E_IO },          /* refused on every address */
        { "name.invalid", 20000, MG_E_IO },      /* does not resolve */
        { "", 5000, MG_E_IO },
        { long_host, 5000, MG_E_IO },
        { "255.255.255.255", 5000, MG_E_IO },    /* fails inside the call, told from the loop */
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct result result = {.loop = loop_new()};
        uint16_t port = closed_port(result.loop);
        stream_connect(result.loop, &(struct stream_target){ .host = str_of(cases[i].host), .port = port, .timeout_ms = cases[i].timeout_ms }, on_connected, &result);
        assert_int_equal(result.n, 0); /* never from inside the call */
        loop_run(result.loop);
        assert_int_equal(result.n, 1);
        assert_int_equal(result.err, cases[i].want);
        assert_false(result.has_stream);
        assert_non_null(strstr(result.why, "cannot connect to"));
        loop_free(&result.loop);
    }
}

static void test_timeout(void **state)
{
    (void)state;
    struct result result = {.loop = loop_new()};
    /* A name whose resolver is slower than 0 ms: the time is up first, or the refusal is; once in
     * any case. */
    stream_connect(result.loop, &(struct stream_target){ .host = STR("localhost"), .port = closed_port(result.loop), .timeout_ms = 0 }, on_connected, &result);
    loop_run(result.loop);
    assert_int_equal(result.n, 1);
    assert_true(result.err == MG_E_TIMEOUT || result.err == MG_E_IO);
    loop_free(&result.loop);
}

/* The loop can be freed at once, whatever the resolver does. */
static void test_timeout_while_resolving(void **state)
{
    (void)state;
    struct result result = {.loop = loop_new()};
    stream_connect(result.loop, &(struct stream_target){ .host = STR("slow.test"), .port = 1, .timeout_ms = 1 }, on_connected, &result);
    slow_resolver_wait();
    loop_run(result.loop);
    assert_int_equal(result.n, 1);
    assert_int_equal(result.err, MG_E_TIMEOUT);
    loop_free(&result.loop);
    slow_resolver_let_end();
}

static void stop_soon(void *owner)
{
    loop_stop(owner);
}

/* Cancelled in the same turn, after a turn, and after the resolver has posted. */
static void test_cancel(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "localhost", "slow.test", "", "10.255.255.1"};
    for (size_t i = 0; i < MG_COUNT(hosts) * 3; i++) {
        const char *host = hosts[i / 3];
        struct result result = {.loop = loop_new()};
        struct listener *listener;
        struct listener_options options = {.address = STR("127.0.0.1:0")};
        assert_int_equal(listener_open(&listener, result.loop, &options, on_accept, NULL, NULL),
                         MG_OK);
        struct stream_attempt *attempt =
            stream_connect(result.loop, &(struct stream_target){ .host = str_of(host), .port = 1, .timeout_ms = 20000 }, on_connected, &result);
        assert_non_null(attempt);
        bool is_slow = strcmp(host, "slow.test") == 0;
        if (is_slow)
            slow_resolver_wait();
        if (is_slow && i % 3 == 2)
            slow_resolver_let_end();
        if (i % 3 >= 1 && is_slow) {
            struct timer *timer = timer_new(result.loop, stop_soon, result.loop);
            timer_start(timer, 1);
            loop_run(result.loop);
            timer_free(&timer);
        }
        if (result.n == 0) {
            stream_connect_cancel(&attempt);
            assert_null(attempt);
            assert_int_equal(result.n, 0);
        }
        stream_connect_cancel(&(struct stream_attempt *){NULL}); /* NULL is fine */
        listener_close(&listener);
        loop_free(&result.loop);
        assert_true(result.n <= (is_slow && i % 3 == 2));
        if (is_slow && i % 3 < 2)
            slow_resolver_let_end();
    }
}

/* A name that nobody answers for holds a thread: their number is bounded. */
static void test_lookups_are_bounded(void **state)
{
    (void)state;
    enum { N = 70, MOST = 64 };
    struct result result = {.loop = loop_new()};
    struct stream_attempt *attempts[N];
    for (int i = 0; i < N; i++)
        attempts[i] =
            stream_connect(result.loop, &(struct stream_target){ .host = STR("slow.test"), .port = 1, .timeout_ms = 20000 }, on_connected, &result);
    while (result.n == 0)
        loop_run(result.loop);
    assert_int_equal(result.err, MG_E_IO);
    assert_non_null(strstr(result.why, "too many names"));
    unsigned n_refused = result.n;
    for (int i = 0; i < MOST; i++)
        slow_resolver_wait();
    while (n_refused < N - MOST) {
        loop_run(result.loop);
        n_refused = result.n;
    }
    assert_int_equal(n_refused, N - MOST);
    for (int i = 0; i < MOST; i++) {
        stream_connect_cancel(&attempts[i]);
        slow_resolver_let_end();
    }
    loop_free(&result.loop);
}

static void test_success(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    for (size_t i = 0; i < MG_COUNT(hosts); i++) {
        struct result result = {.loop = loop_new()};
        struct listener *listener;
        struct listener_options options = {.address = STR("127.0.0.1:0")};
        assert_int_equal(listener_open(&listener, result.loop, &options, on_accept, NULL, NULL),
                         MG_OK);
        struct str host, port_text;
        uint64_t port;
        assert_true(str_split_at(listener_address(listener), ':', &host, &port_text));
        assert_int_equal(str_u64(port_text, &port), MG_OK);
        stream_connect(result.loop, &(struct stream_target){ .host = str_of(hosts[i]), .port = (uint16_t)port, .timeout_ms = 5000 }, on_connected, &result);
        loop_run(result.loop);
        assert_int_equal(result.err, MG_OK);
        assert_true(result.has_stream);
        listener_close(&listener);
        loop_free(&result.loop);
    }
}

int main(void)
{
    slow_resolver_init();
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookups_are_bounded), /* first: it counts all lookups that run */
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_timeout_while_resolving),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_success),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

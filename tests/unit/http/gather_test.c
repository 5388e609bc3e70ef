/* The bound of all bodies: two or three connections of one server, none of which may wait for ever.
 * The declared lengths make the counted memory exactly the bytes of the bodies. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/mem.h"
#include "wire.h"

#define BOUND 100000u

struct peers {
    struct wire a, b, c; /* a's server serves all; its handlers know a */
};

static void join(struct wire *wire, struct wire *first)
{
    wire_init(wire);
    wire->server = first->server;
    wire_connect(wire);
}

static void peers_init(struct peers *peers, size_t bound)
{
    wire_init(&peers->a);
    peers->a.conf.bodies_bytes_max = bound;
    wire_start(&peers->a);
    join(&peers->b, &peers->a);
    join(&peers->c, &peers->a);
}

static void leave(struct wire *wire)
{
    wire_reset(wire);
    wire->server = NULL;
    wire_fini(wire);
}

static void peers_fini(struct peers *peers)
{
    wire_reset(&peers->a);
    leave(&peers->b);
    leave(&peers->c);
    assert_int_equal(peers->a.server->gather.bytes, 0);
    assert_int_equal(peers->a.server->gather.whole_bytes, 0);
    assert_true(list_empty(&peers->a.server->gather.growing));
    assert_true(list_empty(&peers->a.server->gather.waiting));
    wire_fini(&peers->a);
}

static void send_head(struct wire *wire, const char *path, size_t len)
{
    char head[128];
    int n = snprintf(head, sizeof head,
                     "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", path, len);
    wire_send(wire, head, (size_t)n);
}

static void send_body(struct wire *wire, size_t len)
{
    char *body = mem_zero(1, len);
    for (size_t at = 0; at < len; at += 65536) /* as a socket delivers it */
        wire_send(wire, body + at, MG_MIN((size_t)65536, len - at));
    mem_free(body);
}

static void post(struct wire *wire, const char *path, size_t len)
{
    send_head(wire, path, len);
    send_body(wire, len);
}

/* Lets what was deferred happen. */
static void turn(struct peers *peers)
{
    struct wire *wires[] = {&peers->a, &peers->b, &peers->c};
    for (int i = 0; i < 3; i++) {
        for (size_t j = 0; j < MG_COUNT(wires); j++)
            wire_send(wires[j], "", 0);
    }
}

static unsigned n_answers(const struct wire *wire)
{
    struct str rest = buf_str(&wire->out);
    unsigned n = 0;
    size_t at;
    for (; str_find(rest, STR("HTTP/1.1 200"), &at); n++)
        rest = str_n(rest.ptr + at + 12, rest.len - at - 12);
    return n;
}

static void test_at_below_and_above(void **state)
{
    (void)state;
    static const struct {
        size_t first;
        bool waits;
    } cases[] = {{BOUND - 1, false}, {BOUND, true}, {BOUND + 1, true}, {5 * BOUND, true}};
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct peers peers;
        peers_init(&peers, BOUND);
        post(&peers.a, "/later", cases[i].first); /* alone, it gets in whatever its size */
        assert_int_equal(peers.a.n_later, 1);
        assert_true(peers.a.server->gather.bytes >= cases[i].first);
        if (cases[i].first <= BOUND) /* above, the memory had to grow in steps */
            assert_int_equal(peers.a.server->gather.bytes, cases[i].first);
        post(&peers.b, "/echo", 10);
        assert_int_equal(n_answers(&peers.b), !cases[i].waits);
        assert_int_equal(peers.b.is_paused, cases[i].waits);
        http_respond(peers.a.later[0], 200, NULL, STR("x"));
        turn(&peers);
        assert_int_equal(n_answers(&peers.a), 1);
        assert_int_equal(n_answers(&peers.b), 1);
        assert_false(peers.b.is_paused);
        peers_fini(&peers);
    }
}

static void test_0_is_no_bound(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 0);
    post(&peers.a, "/later", 1000000);
    post(&peers.b, "/echo", 1000000);
    assert_int_equal(n_answers(&peers.b), 1);
    http_respond(peers.a.later[0], 200, NULL, STR("x"));
    peers_fini(&peers);
}

/* Two halves that fill the bound together: the older one is finished first, whoever sends first. */
static void test_the_oldest_goes_on(void **state)
{
    (void)state;
    for (int younger_first = 0; younger_first < 2; younger_first++) {
        struct peers peers;
        peers_init(&peers, BOUND);
        send_head(&peers.a, "/echo", 80000);
        send_body(&peers.a, 50000);
        send_head(&peers.b, "/echo", 80000);
        send_body(&peers.b, 50000);
        assert_true(peers.b.is_paused);
        assert_false(peers.a.is_paused);
        if (younger_first) {
            send_body(&peers.b, 30000);
            assert_int_equal(n_answers(&peers.b), 0);
        }
        send_body(&peers.a, 30000);
        turn(&peers);
        assert_int_equal(n_answers(&peers.a), 1);
        if (!younger_first)
            send_body(&peers.b, 30000);
        turn(&peers);
        assert_int_equal(n_answers(&peers.b), 1);
        peers_fini(&peers);
    }
}

/* While a handler has a whole body in its hands, nobody goes above the bound: memory will fall. */
static void test_whole_bodies_come_first(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, BOUND);
    send_head(&peers.b, "/echo", 80000);
    send_body(&peers.b, 50000);
    post(&peers.a, "/later", 50000);
    send_body(&peers.b, 30000);
    assert_true(peers.b.is_paused);
    post(&peers.c, "/echo", 10);
    assert_true(peers.c.is_paused);
    assert_int_equal(n_answers(&peers.b), 0);
    http_respond(peers.a.later[0], 200, NULL, STR("x"));
    turn(&peers);
    assert_int_equal(n_answers(&peers.b), 1);
    assert_int_equal(n_answers(&peers.c), 1);
    peers_fini(&peers);
}

static void test_the_oldest_goes_away(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, BOUND);
    send_head(&peers.c, "/echo", 80000);
    send_body(&peers.c, 50000);
    post(&peers.b, "/echo", 80000);
    assert_int_equal(n_answers(&peers.b), 0);
    wire_reset(&peers.c);
    turn(&peers);
    assert_int_equal(n_answers(&peers.b), 1);
    peers_fini(&peers);
}

static void trickle(struct peers *peers, int times)
{
    for (int i = 0; i < times; i++) {
        wire_advance(&peers->a, 20000);
        turn(peers);
        if (list_empty(&peers->a.conn->requests))
            return;
        send_body(&peers->a, 2000); /* quicker than the minimum rate, by the clock of this test */
        LIST_FIRST(&peers->a.conn->requests, struct http_request, link)->step_ns = peers->a.now_ns;
    }
}

static void test_the_oldest_may_not_keep_others_waiting(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, BOUND);
    send_head(&peers.a, "/echo", 200000);
    send_body(&peers.a, 120000);
    trickle(&peers, 10); /* nobody waits: it may take its time */
    assert_int_equal(peers.a.out.len, 0);
    wire_reset(&peers.b); /* has waited for a request in vain */
    wire_connect(&peers.b);
    post(&peers.b, "/echo", 80000);
    assert_int_equal(n_answers(&peers.b), 0);
    trickle(&peers, 4);
    assert_string_equal(wire_answers(&peers.a), "408 eof");
    assert_int_equal(n_answers(&peers.b), 1);
    peers_fini(&peers);
}

/* Waiting is the server's doing: no timeout runs, and what has no body is served meanwhile. */
static void test_waiting(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, BOUND);
    post(&peers.a, "/later", BOUND);
    post(&peers.b, "/echo", 10);
    wire_send(&peers.c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    post(&peers.c, "/echo", 0);
    assert_int_equal(n_answers(&peers.c), 2);
    for (int i = 0; i < 30; i++)
        wire_advance(&peers.a, 20000);
    turn(&peers);
    assert_int_equal(peers.b.out.len, 0);
    assert_non_null(peers.b.conn);
    http_respond(peers.a.later[0], 200, NULL, STR("x"));
    turn(&peers);
    assert_int_equal(n_answers(&peers.b), 1);
    peers_fini(&peers);
}

static void test_held_and_released_while_full(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, BOUND);
    post(&peers.b, "/held", 10);
    post(&peers.a, "/later", BOUND);
    assert_int_equal(peers.a.n_later, 2);
    http_request_release(peers.a.later[0]);
    turn(&peers);
    assert_int_equal(n_answers(&peers.b), 0);
    http_respond(peers.a.later[1], 200, NULL, STR("x"));
    turn(&peers);
    assert_int_equal(n_answers(&peers.b), 1);
    peers_fini(&peers);
}

/* The peer of a waiting body goes, or its time is over: nothing of it stays in the lists. */
static void test_a_waiting_body_goes(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, BOUND);
    post(&peers.a, "/later", BOUND);
    post(&peers.b, "/echo", 10);
    post(&peers.c, "/later", 10);
    wire_reset(&peers.b);
    http_respond(peers.a.later[0], 200, NULL, STR("x"));
    turn(&peers);
    assert_int_equal(peers.a.n_later, 2);
    wire_reset(&peers.c);
    http_respond(peers.a.later[1], 200, NULL, STR("x"));
    peers_fini(&peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_below_and_above),
        cmocka_unit_test(test_0_is_no_bound),
        cmocka_unit_test(test_the_oldest_goes_on),
        cmocka_unit_test(test_whole_bodies_come_first),
        cmocka_unit_test(test_the_oldest_goes_away),
        cmocka_unit_test(test_the_oldest_may_not_keep_others_waiting),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_held_and_released_while_full),
        cmocka_unit_test(test_a_waiting_body_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The budget of all bodies: several connections of one server, or of two, none of which may keep
 * the others from being served. The declared lengths make the counted memory exactly the bytes of
 * the bodies. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/mem.h"
#include "h2_client.h"

#define MIB       ((size_t)1 << 20)
#define BOUND     (4 * MIB)       /* so a small body has 4 KiB, */
#define LARGE_MAX (BOUND / 4 * 3) /* and the others share these */
#define PEERS     24

struct peers { /* connections of the first one's server, whose handlers know the first */
    struct wire at[PEERS];
    size_t n;
};

static void join(struct wire *wire, struct wire *first)
{
    wire_init(wire);
    wire->server = first->server;
    wire_connect(wire);
}

static void configure(struct wire *wire, size_t bound)
{
    wire_init(wire);
    wire->conf.bodies_bytes_max = bound;
    wire->conf.body_bytes_max = 16 * MIB;
}

static void peers_init(struct peers *peers, size_t n, size_t bound)
{
    peers->n = n;
    configure(&peers->at[0], bound);
    wire_start(&peers->at[0]);
    for (size_t i = 1; i < n; i++)
        join(&peers->at[i], &peers->at[0]);
}

static void assert_nothing_is_left(const struct http_server *server)
{
    assert_int_equal(server->gather.bytes, 0);
    assert_int_equal(gather_bytes_of_all(), 0);
    assert_true(list_empty(&server->gather.overgrown));
    assert_true(list_empty(&server->gather.waiting));
    assert_null(server->gather.beside);
}

static void leave(struct wire *wire)
{
    wire_reset(wire);
    wire->server = NULL;
    wire_fini(wire);
}

static void peers_fini(struct peers *peers)
{
    wire_reset(&peers->at[0]);
    for (size_t i = 1; i < peers->n; i++)
        leave(&peers->at[i]);
    assert_nothing_is_left(peers->at[0].server);
    wire_fini(&peers->at[0]);
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

/* Part of a body. */
static void begin(struct wire *wire, size_t declared, size_t sent)
{
    send_head(wire, "/echo", declared);
    send_body(wire, sent);
}

/* Lets what was deferred happen. */
static void turn(struct peers *peers)
{
    for (int i = 0; i < 3; i++) {
        for (size_t j = 0; j < peers->n; j++)
            wire_send(&peers->at[j], "", 0);
    }
}

static void advance(struct peers *peers, uint64_t ms)
{
    wire_advance(&peers->at[0], ms);
    turn(peers);
}

static void answer_later(struct peers *peers, size_t i)
{
    http_respond(peers->at[0].later[i], 200, NULL, STR("x"));
    turn(peers);
}

static struct http_request *request_of(const struct wire *wire) /* NULL: none */
{
    return wire->conn ? LIST_FIRST(&wire->conn->requests, struct http_request, link) : NULL;
}

static bool waits(const struct wire *wire)
{
    const struct http_request *request = request_of(wire);
    return request && list_linked(&request->wait_link);
}

/* By the time of the test. */
static void waits_from_now(struct wire *wire)
{
    LIST_EACH(&wire->server->gather.waiting, link)
    MG_CONTAINER(link, struct http_request, wait_link)->wait_ns = wire->now_ns;
}

static bool was_served(const struct wire *wire)
{
    return wire_has(wire, "HTTP/1.1 200");
}

static bool was_refused(const struct wire *wire)
{
    return wire_has(wire, "HTTP/1.1 503");
}

static bool shows(struct metric_registry *registry, const char *line)
{
    struct buf text;
    size_t at;
    buf_init(&text, 1 << 20);
    metric_write(registry, METRIC_TEXT_0_0_4, &text);
    bool found = str_find(buf_str(&text), str_of(line), &at);
    buf_fini(&text);
    return found;
}

/* --- who gets how much --- */
static void test_half_of_what_is_left(void **state)
{
    (void)state;
    static const struct {
        size_t others, len;
        bool waits;
    } cases[] = {
        {0, LARGE_MAX / 2, false},
        {0, LARGE_MAX / 2 + 1, true},
        {MIB, MIB - 1, false},
        {MIB, MIB, false},
        {MIB, MIB + 1, true},
        {3 * MIB / 2, 3 * MIB / 4, false},
        {3 * MIB / 2, 3 * MIB / 4 + 1, true},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct peers peers;
        peers_init(&peers, 3, BOUND);
        post(&peers.at[0], "/later", 2 * BOUND); /* takes the place beside the budget */
        assert_int_equal(peers.at[0].n_later, 1);
        assert_int_equal(gather_bytes_of_all(), 0);
        post(&peers.at[1], "/later", cases[i].others);
        assert_int_equal(gather_bytes_of_all(), cases[i].others);
        post(&peers.at[2], "/echo", cases[i].len);
        if (waits(&peers.at[2]) != cases[i].waits)
            fail_msg("row %zu", i);
        assert_int_equal(was_served(&peers.at[2]), !cases[i].waits);
        assert_int_equal(peers.at[2].is_paused, cases[i].waits);
        answer_later(&peers, 0); /* its place is free */
        assert_true(was_served(&peers.at[2]));
        assert_false(peers.at[2].is_paused);
        answer_later(&peers, 1);
        peers_fini(&peers);
    }
}

static void test_0_is_no_bound(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 2, 0);
    post(&peers.at[0], "/later", 15 * MIB);
    post(&peers.at[1], "/echo", 15 * MIB);
    assert_true(was_served(&peers.at[1]));
    assert_null(peers.at[0].server->gather.beside);
    answer_later(&peers, 0);
    peers_fini(&peers);
}

/* What a peer declares costs nothing. */
static void test_declared_is_not_charged(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 20, BOUND);
    for (size_t i = 0; i < 20; i++)
        begin(&peers.at[i], 16 * MIB, 1000);
    assert_int_equal(gather_bytes_of_all(), 20 * 4096);
    for (size_t i = 0; i < 20; i++)
        assert_false(waits(&peers.at[i]));
    peers_fini(&peers);
}

/* Twenty large bodies that never end: others are served at once, whoever they are, and the memory
 * stays within the budget and the one body beside it. */
static void test_stalled_bodies_harm_nobody(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 1000, 4096, 20000, 60000};
    struct peers peers;
    peers_init(&peers, 21, BOUND);
    for (size_t i = 0; i < 20; i++)
        begin(&peers.at[i], 8 * MIB, 8 * MIB - 1);
    turn(&peers);
    assert_true(gather_bytes_of_all() <= LARGE_MAX);
    assert_true(peers.at[0].server->gather.bytes <= LARGE_MAX + 8 * MIB);
    size_t n_waiting = 0;
    for (size_t i = 0; i < 20; i++)
        n_waiting += waits(&peers.at[i]);
    assert_int_equal(n_waiting, 19);
    for (size_t i = 0; i < MG_COUNT(sizes); i++) {
        post(&peers.at[20], "/echo", sizes[i]);
        assert_true(was_served(&peers.at[20]));
        buf_clear(&peers.at[20].out);
    }
    peers_fini(&peers);
}

/* Small ones may use what is kept for them: whoever waits meanwhile has done nothing. */
static void test_small_ones_press_nobody(void **state)
{
    (void)state;
    static const size_t large[] = {2 * BOUND, 3 * MIB / 2, 3 * MIB / 4, 3 * MIB / 8};
    struct peers peers;
    peers_init(&peers, PEERS, BOUND);
    for (size_t i = 0; i < MG_COUNT(large); i++)
        post(&peers.at[i], "/later", large[i]);
    struct wire *waiting = &peers.at[MG_COUNT(large)];
    begin(waiting, 2 * MIB, MIB);
    assert_true(waits(waiting));
    for (size_t i = MG_COUNT(large) + 1; gather_bytes_of_all() <= BOUND / 16 * 15; i++) {
        assert_true(i < PEERS);
        for (size_t k = 0; k < PIPELINE_MAX; k++)
            post(&peers.at[i], "/later", BOUND / 1024);
    }
    waits_from_now(&peers.at[0]);
    advance(&peers, 4900);
    assert_false(was_refused(waiting));
    advance(&peers, 100);
    assert_true(was_refused(waiting));
    for (size_t i = 0; i < peers.at[0].n_later; i++)
        http_respond(peers.at[0].later[i], 200, NULL, STR("x"));
    peers_fini(&peers);
}

/* --- 100 (Continue) --- */
static void expect(struct wire *wire, size_t len)
{
    char head[128];
    int n = snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                     "Content-Length: %zu\r\n\r\n", len);
    wire_send(wire, head, (size_t)n);
}

static bool is_asked(const struct wire *wire)
{
    return wire_has(wire, "HTTP/1.1 100");
}

#define FILLED 6

/* By the first six: one is beside the budget, and what the others leave is for small ones. */
static void fill(struct peers *peers)
{
    post(&peers->at[0], "/later", 2 * BOUND);
    for (size_t i = 1; i < FILLED; i++)
        post(&peers->at[i], "/later", LARGE_MAX >> i);
    assert_int_equal(peers->at[0].n_later, FILLED);
}

static void test_continue_waits_for_room(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, FILLED + 2, BOUND);
    struct wire *small = &peers.at[FILLED], *large = &peers.at[FILLED + 1];
    fill(&peers);
    expect(small, BOUND / 1024);
    assert_true(is_asked(small));
    expect(large, MIB / 2);
    turn(&peers);
    assert_true(waits(large));
    assert_false(is_asked(large));
    answer_later(&peers, 1);
    assert_true(is_asked(large));
    assert_false(waits(large) || was_served(large));
    send_body(large, MIB / 2);
    assert_true(was_served(large));
    for (size_t i = 0; i < FILLED; i++) {
        if (i != 1)
            answer_later(&peers, i);
    }
    peers_fini(&peers);
}

/* Who sends without it is served all the same. */
static void test_continue_is_not_waited_for(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, FILLED + 1, BOUND);
    struct wire *last = &peers.at[FILLED];
    fill(&peers);
    expect(last, MIB);
    send_body(last, MIB);
    assert_true(waits(last));
    assert_false(is_asked(last) || was_served(last));
    for (size_t i = 0; i < FILLED; i++)
        answer_later(&peers, i);
    assert_true(was_served(last));
    peers_fini(&peers);
}

static void test_refused_instead_of_continue(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, FILLED + 1, BOUND);
    struct wire *last = &peers.at[FILLED];
    fill(&peers);
    expect(last, MIB);
    waits_from_now(&peers.at[0]);
    advance(&peers, 4900);
    assert_false(was_refused(last) || is_asked(last));
    advance(&peers, 100);
    assert_true(was_refused(last) && wire_has(last, "retry-after: "));
    assert_false(is_asked(last));
    assert_true(last->is_shut); /* whether the body comes nobody knows */
    for (size_t i = 0; i < FILLED; i++)
        answer_later(&peers, i);
    peers_fini(&peers);
}

static void test_continue_of_who_went(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, FILLED + 1, BOUND);
    struct wire *last = &peers.at[FILLED];
    fill(&peers);
    expect(last, MIB);
    assert_true(waits(last));
    wire_reset(last);
    for (size_t i = 0; i < FILLED; i++)
        answer_later(&peers, i);
    assert_false(is_asked(last));
    peers_fini(&peers);
}

/* --- beside the budget --- */
static void test_one_goes_beside(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 3, BOUND);
    post(&peers.at[0], "/later", 2 * BOUND);
    assert_int_equal(peers.at[0].n_later, 1);
    post(&peers.at[1], "/later", 2 * BOUND);
    post(&peers.at[2], "/later", 2 * BOUND);
    assert_int_equal(peers.at[0].n_later, 1);
    for (size_t i = 0; i < 3; i++) { /* one after the other, in their order */
        assert_int_equal(peers.at[0].n_later, i + 1);
        assert_ptr_equal(peers.at[0].later[i]->conn, peers.at[i].conn);
        answer_later(&peers, i);
    }
    peers_fini(&peers);
}

static void test_the_place_is_free_when_its_peer_goes(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 2, BOUND);
    begin(&peers.at[1], 2 * BOUND, BOUND);
    post(&peers.at[0], "/echo", 2 * BOUND);
    assert_true(waits(&peers.at[0]));
    wire_reset(&peers.at[1]);
    turn(&peers);
    assert_true(was_served(&peers.at[0]));
    peers_fini(&peers);
}

/* Seconds in which the first brings some bytes each; the second, if it waits, never waits for long.
 */
static void trickle(struct peers *peers, size_t bytes, int seconds)
{
    for (int i = 0; i < seconds && !was_refused(&peers->at[0]); i++) {
        struct http_request *first = request_of(&peers->at[0]), *second = request_of(&peers->at[1]);
        if (first)
            first->step_ns = peers->at[0].now_ns; /* quick enough for the minimum rate */
        if (second)
            second->wait_ns = peers->at[0].now_ns;
        advance(peers, 1000);
        send_body(&peers->at[0], bytes);
    }
}

/* A new connection, instead of one that has waited for its first request in vain. */
static struct wire *fresh(struct peers *peers, size_t i)
{
    wire_reset(&peers->at[i]);
    wire_connect(&peers->at[i]);
    return &peers->at[i];
}

static void test_the_place_is_not_for_ever(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 2, BOUND);
    begin(&peers.at[0], 16 * MIB, BOUND);
    trickle(&peers, 50000, 60); /* nobody waits: it may take its time */
    assert_false(was_refused(&peers.at[0]));
    post(fresh(&peers, 1), "/echo", 2 * BOUND);
    assert_true(waits(&peers.at[1]));
    trickle(&peers, 50000, 28);
    assert_false(was_refused(&peers.at[0]));
    trickle(&peers, 50000, 4);
    assert_true(was_refused(&peers.at[0]));
    turn(&peers);
    assert_true(was_served(&peers.at[1]));
    peers_fini(&peers);
}

/* --- how long --- */
static unsigned hint_of(const struct wire *wire)
{
    size_t at;
    unsigned hint = 0;
    if (str_find(buf_str(&wire->out), STR("retry-after: "), &at))
        (void)sscanf(wire->out.ptr + at, "retry-after: %u", &hint);
    return hint;
}

static void test_a_wait_ends(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 3, BOUND);
    post(&peers.at[0], "/later", 2 * BOUND);
    begin(&peers.at[1], 2 * BOUND, BOUND);
    begin(&peers.at[2], 2 * BOUND, 0);
    send_body(&peers.at[2], BOUND);
    assert_true(waits(&peers.at[1]) && waits(&peers.at[2]));
    waits_from_now(&peers.at[0]);
    uint64_t before = peers.at[0].server->gather.bytes;
    advance(&peers, 4900);
    assert_false(was_refused(&peers.at[1]) || was_refused(&peers.at[2]));
    advance(&peers, 100);
    assert_true(was_refused(&peers.at[1]));
    assert_in_range(hint_of(&peers.at[1]), 1, 3);
    assert_true(peers.at[0].server->gather.bytes < before);
    assert_int_equal(peers.at[0].n_later, 1);
    assert_false(was_refused(&peers.at[0])); /* whole: its handler's */
    answer_later(&peers, 0);
    peers_fini(&peers);
}

/* Each wait has its 5 s: what one gives back lets the next go on, and then it has waited for
 * nothing. */
static void test_a_refusal_helps_the_next(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 3, BOUND);
    post(&peers.at[0], "/later", 2 * BOUND);
    begin(&peers.at[1], 2 * MIB, MIB + 1); /* wants 2 MiB, but 1.5 are there */
    post(&peers.at[2], "/echo", 3 * MIB / 2);
    assert_true(waits(&peers.at[1]) && waits(&peers.at[2]));
    waits_from_now(&peers.at[0]);
    request_of(&peers.at[2])->wait_ns += 1000000000u;
    advance(&peers, 5000);
    assert_true(was_refused(&peers.at[1]));
    assert_true(was_served(&peers.at[2]));
    answer_later(&peers, 0);
    peers_fini(&peers);
}

/* Each time there is room, another loop is quicker. It keeps its place, and its 5 s end. */
static void test_a_wait_ends_though_others_are_quicker(void **state)
{
    (void)state;
    enum { OTHERS = 3 * MIB / 4 };
    struct metric_registry *registry = metric_registry_new();
    struct wire a, beside, b, next;
    configure(&a, BOUND);
    configure(&b, BOUND);
    b.options.metrics = http_metrics_register(registry, "door=front|back");
    wire_start(&a);
    wire_start(&b);
    join(&beside, &a);
    join(&next, &b);
    post(&beside, "/later", 2 * BOUND);
    begin(&next, 5 * MIB / 4, 860000);
    post(&a, "/later", OTHERS);
    begin(&b, MIB, MIB - 1);
    wire_send(&next, "", 1);
    assert_true(waits(&b) && waits(&next));
    waits_from_now(&b);
    request_of(&next)->wait_ns++;
    for (size_t i = 1; i <= 2; i++) {
        http_respond(a.later[i], 200, NULL, STR("x"));
        server_flush(a.server);
        b.now_ns += 2000000000u;
        server_tick(b.server, b.now_ns);
        assert_false(waits(&b));
        assert_true(waits(&next)); /* what is free was promised to the first */
        post(&a, "/later", OTHERS);
        server_flush(b.server);
        assert_true(waits(&b));
        assert_ptr_equal(b.server->gather.waiting.next, &request_of(&b)->wait_link);
    }
    assert_true(shows(registry, "meshglass_http_body_waits_total{door=\"front\"} 2\n"));
    http_respond(a.later[3], 200, NULL, STR("x"));
    server_flush(a.server);
    wire_advance(&b, 1000);
    assert_true(was_refused(&b));
    http_respond(a.later[0], 200, NULL, STR("x"));
    leave(&next);
    wire_fini(&b);
    leave(&beside);
    wire_fini(&a);
    metric_registry_free(&registry);
}

/* Waiting is the server's doing: no other timeout runs, and what has no body is served meanwhile.
 */
static void test_waiting(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 3, BOUND);
    post(&peers.at[0], "/later", 2 * BOUND);
    post(&peers.at[1], "/echo", 2 * BOUND);
    wire_send(&peers.at[2], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    assert_true(was_served(&peers.at[2]));
    buf_clear(&peers.at[2].out);
    post(&peers.at[2], "/echo", 0);
    assert_true(was_served(&peers.at[2]));
    for (int i = 0; i < 30; i++) {
        waits_from_now(&peers.at[0]);
        advance(&peers, 2000);
    }
    assert_int_equal(peers.at[1].out.len, 0);
    answer_later(&peers, 0);
    assert_true(was_served(&peers.at[1]));
    peers_fini(&peers);
}

static void test_a_stalled_body_gives_way(void **state)
{
    (void)state;
    static const struct {
        size_t held, per_second;
        bool somebody_waits, is_refused;
    } cases[] = {
        {100000, 0, true, true},   {100000, 1000, true, true}, {100000, 1024, true, false},
        {100000, 0, false, false}, {MIB, 1300, true, true},    {MIB, 1500, true, false},
        {MIB, 1500, false, false},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct peers peers;
        peers_init(&peers, 3, BOUND);
        begin(&peers.at[0], 3 * MIB / 2, cases[i].held);
        assert_false(waits(&peers.at[0]));
        post(&peers.at[2], "/later", 2 * BOUND);
        if (cases[i].somebody_waits)
            begin(&peers.at[1], 2 * BOUND, 0);
        assert_int_equal(waits(&peers.at[1]), false); /* its first bytes would fit */
        send_body(&peers.at[1], cases[i].somebody_waits ? 2 * BOUND : 0);
        assert_int_equal(waits(&peers.at[1]), cases[i].somebody_waits);
        trickle(&peers, cases[i].per_second, 10);
        if (was_refused(&peers.at[0]) != cases[i].is_refused)
            fail_msg("row %zu", i);
        assert_false(was_refused(&peers.at[1]));
        answer_later(&peers, 0);
        peers_fini(&peers);
    }
}

/* Three seconds are measured from when somebody waits, not before. */
static void test_nobody_is_blamed_for_the_past(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 3, BOUND);
    begin(&peers.at[0], MIB, 100000);
    trickle(&peers, 0, 20);
    post(fresh(&peers, 2), "/later", 2 * BOUND);
    begin(fresh(&peers, 1), 2 * BOUND, 2 * BOUND);
    trickle(&peers, 0, 3);
    assert_false(was_refused(&peers.at[0]));
    trickle(&peers, 0, 2);
    assert_true(was_refused(&peers.at[0]));
    answer_later(&peers, 0);
    peers_fini(&peers);
}

/* It came when its first bytes had no room: it has the place, and nothing to show for it. */
static void test_a_stalled_body_without_memory_gives_way(void **state)
{
    (void)state;
    static const struct {
        size_t per_second;
        bool somebody_waits, is_refused;
    } cases[] = {{0, true, true}, {1000, true, true}, {1100, true, false}, {0, false, false}};
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct peers peers;
        peers_init(&peers, 6, BOUND);
        for (size_t k = 0; k < 4; k++)
            post(&peers.at[2 + k], "/later", LARGE_MAX >> (k + 1));
        send_head(&peers.at[0], "/echo", 2 * BOUND);
        assert_ptr_equal(peers.at[0].server->gather.beside, request_of(&peers.at[0]));
        assert_int_equal(request_of(&peers.at[0])->gathered_bytes, 0);
        if (cases[i].somebody_waits)
            send_head(&peers.at[1], "/echo", 2 * BOUND);
        assert_int_equal(waits(&peers.at[1]), cases[i].somebody_waits);
        trickle(&peers, cases[i].per_second, 10);
        if (was_refused(&peers.at[0]) != cases[i].is_refused)
            fail_msg("row %zu", i);
        assert_int_equal(waits(&peers.at[1]), cases[i].somebody_waits && !cases[i].is_refused);
        for (size_t k = 0; k < 4; k++)
            answer_later(&peers, k);
        peers_fini(&peers);
    }
}

/* --- whose memory --- */
static void test_a_taken_body_counts_until_the_answer(void **state)
{
    (void)state;
    struct peers peers;
    struct buf body;
    size_t offset;
    peers_init(&peers, 2, BOUND);
    post(&peers.at[0], "/later", MIB);
    http_request_take_body(peers.at[0].later[0], &body, &offset);
    assert_int_equal(body.len, MIB);
    assert_int_equal(gather_bytes_of_all(), MIB);
    wire_reset(&peers.at[0]); /* the peer goes, its handler still has the memory */
    assert_int_equal(gather_bytes_of_all(), MIB);
    http_server_recycle(peers.at[0].server, &body);
    http_respond(peers.at[0].later[0], 200, NULL, STR("x"));
    assert_int_equal(gather_bytes_of_all(), 0);
    peers_fini(&peers);
}

static void test_held_and_released_while_full(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 3, BOUND);
    post(&peers.at[1], "/held", 2 * BOUND);
    post(&peers.at[0], "/later", 2 * BOUND);
    assert_int_equal(peers.at[0].n_later, 2);
    http_request_release(peers.at[0].later[0]);
    turn(&peers);
    assert_true(waits(&peers.at[1]));
    assert_false(was_served(&peers.at[1]));
    answer_later(&peers, 1);
    assert_true(was_served(&peers.at[1]));
    peers_fini(&peers);
}

/* The peer of a waiting body goes, or its time is over: nothing of it stays in the lists. */
static void test_a_waiting_body_goes(void **state)
{
    (void)state;
    struct peers peers;
    peers_init(&peers, 3, BOUND);
    post(&peers.at[0], "/later", 2 * BOUND);
    post(&peers.at[1], "/echo", 2 * BOUND);
    post(&peers.at[2], "/later", 2 * BOUND);
    assert_true(waits(&peers.at[1]) && waits(&peers.at[2]));
    wire_reset(&peers.at[1]);
    answer_later(&peers, 0);
    assert_int_equal(peers.at[0].n_later, 2);
    wire_reset(&peers.at[2]);
    http_respond(peers.at[0].later[1], 200, NULL, STR("x"));
    peers_fini(&peers);
}

/* Two servers, as of two doors or loops: what one has, the other cannot have, and it sees by itself
 * when there is room again. */
static void test_one_budget_for_all_servers(void **state)
{
    (void)state;
    struct wire a, b;
    configure(&a, BOUND);
    configure(&b, BOUND);
    wire_start(&a);
    wire_start(&b);
    post(&a, "/later", 2 * BOUND);
    post(&b, "/echo", 3 * MIB / 2 + 1);
    assert_true(waits(&b));
    post(&b, "/echo", 10); /* behind it, in its turn */
    wire_advance(&b, 20);
    assert_true(waits(&b));
    http_respond(a.later[0], 200, NULL, STR("x"));
    wire_advance(&b, 20);
    assert_true(was_served(&b));
    assert_nothing_is_left(a.server);
    assert_nothing_is_left(b.server);
    wire_fini(&a);
    wire_fini(&b);
}

/* The memory of another loop's bodies comes back unheard: its timer looks. */
static void test_a_timer_looks_for_room(void **state)
{
    (void)state;
    struct wire a, b;
    configure(&a, BOUND);
    configure(&b, BOUND);
    wire_start(&a);
    wire_start(&b);
    post(&a, "/later", 2 * BOUND);
    timer_stop(b.server->timer); /* which looks as well, but seldom */
    post(&b, "/echo", 3 * MIB / 2 + 1);
    for (uint64_t begun = loop_now_ns(b.loop); loop_now_ns(b.loop) - begun < 50000000u;)
        wire_round(&b); /* more than once */
    assert_true(waits(&b));
    http_respond(a.later[0], 200, NULL, STR("x"));
    for (int i = 0; i < 1000 && !was_served(&b); i++)
        wire_round(&b);
    assert_true(was_served(&b));
    wire_fini(&a);
    wire_fini(&b);
}

/* --- HTTP/2 --- */
static struct ask open_ended(const char *path, struct str body)
{
    return (struct ask){
        .method = "POST", .path = path, .has_body = true, .is_open_ended = true, .body = body};
}

/* Begins a body, and sends some of it. */
static int32_t begin_stream(struct client *client, const char *path, size_t len)
{
    char *body = mem_zero(1, len);
    struct ask ask = open_ended(path, str_n(body, len));
    int32_t id = submit(client, &ask);
    run(client);
    client->send = STR(""); /* what no window allowed */
    mem_free(body);
    return id;
}

static void more_of_stream(struct client *client, int32_t id, size_t len, bool is_last)
{
    char *body = mem_zero(1, len);
    client_more(client, id, str_n(body, len), is_last);
    client->send = STR("");
    mem_free(body);
}

static bool was_stream_refused(struct client *client, int32_t id)
{
    return strcmp(seen_of(client, id)->status, "503") == 0;
}

/* A server whose bodies have the place beside the budget and so much of the budget. */
static void occupy(struct wire *beside, struct wire *within, size_t bytes)
{
    configure(beside, BOUND);
    wire_start(beside);
    join(within, beside);
    post(beside, "/later", 2 * BOUND);
    post(within, "/later", bytes);
    assert_int_equal(beside->n_later, 2);
}

static void vacate(struct wire *beside, struct wire *within)
{
    for (size_t i = 0; i < beside->n_later; i++) {
        if (beside->later[i])
            http_respond(beside->later[i], 200, NULL, STR("x"));
    }
    leave(within);
    wire_fini(beside);
}

#define LARGE_CONF (wire.conf.bodies_bytes_max = BOUND, wire.conf.body_bytes_max = 16 * MIB)

/* Held bodies come as far as the windows let them. What goes beyond 15/16 is the largest's loss,
 * unless that one is whole. */
static void test_windows_are_bounded(void **state)
{
    static const size_t sizes[] = {500000, 900000, 1000000, 800000};
    for (size_t is_whole = 0; is_whole < 2; is_whole++) {
        CLIENT_WITH(client, 65535, LARGE_CONF);
        int32_t ids[MG_COUNT(sizes)];
        for (size_t i = 0; i < MG_COUNT(sizes); i++) {
            ids[i] = begin_stream(client, "/held", sizes[i]);
            if (is_whole && i == 2)
                client_more(client, ids[i], STR(""), true);
            assert_true(gather_bytes_of_all() <= BOUND / 16 * 15);
            assert_int_equal(wire.n_gone, i == 3); /* its handler knows */
        }
        for (size_t i = 0; i < MG_COUNT(sizes); i++)
            assert_int_equal(was_stream_refused(client, ids[i]), i == 2 + is_whole);
        client_outlast(client);
        for (size_t i = 0; i < MG_COUNT(sizes); i++)
            http_request_release(wire.later[i]);
        run(client);
        assert_string_equal(seen_of(client, ids[2])->status, is_whole ? "200" : "503");
        wire_reset(&wire);
        assert_nothing_is_left(wire.server);
        DONE(client);
    }
}

/* Refused is who grew without room, though others that wait have more. */
static void test_who_waits_does_not_pay_for_others(void **state)
{
    CLIENT_WITH(client, 65535, LARGE_CONF);
    struct wire beside, within;
    occupy(&beside, &within, 0);
    int32_t large = begin_stream(client, "/echo", 900000), ids[7];
    assert_false(list_empty(&wire.server->gather.waiting));
    unsigned n_refused = 0;
    for (size_t i = 0; i < MG_COUNT(ids); i++)
        ids[i] = begin_stream(client, "/held", 400000);
    for (size_t i = 0; i < MG_COUNT(ids); i++)
        n_refused += was_stream_refused(client, ids[i]);
    assert_int_equal(n_refused, 1);
    assert_false(was_stream_refused(client, large));
    assert_true(gather_bytes_of_all() <= BOUND / 16 * 15);
    more_of_stream(client, large, 200000, false); /* its own window allowed as much */
    assert_true(was_stream_refused(client, large));
    assert_true(gather_bytes_of_all() <= BOUND / 16 * 15);
    for (size_t i = 0; i < MG_COUNT(ids); i++)
        http_request_release(wire.later[i]);
    vacate(&beside, &within);
    wire_reset(&wire);
    assert_nothing_is_left(wire.server);
    DONE(client);
}

/* What had no room once, and has it now, has the same rights as others. */
static void test_it_pays_only_while_it_has_no_room(void **state)
{
    static const struct {
        size_t leaving, more;
    } cases[] = {{0, 100}, {0, 300000}, {1, 300000}}; /* the one beside, or the one within */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        CLIENT_WITH(client, 65535, LARGE_CONF);
        struct wire beside, within;
        occupy(&beside, &within, 3 * MIB / 2);
        char *body = mem_zero(1, MIB);
        struct ask ask = open_ended("/echo", str_n(body, 460000));
        ask.extra_name = "content-length";
        ask.extra_value = "1468006";
        int32_t one = submit(client, &ask), held[7];
        run(client);
        client_more(client, one, str_n(body, 440000), false);
        struct http_request *request = request_of(&wire);
        assert_true(list_linked(&request->wait_link) && list_linked(&request->overgrown_link));
        http_respond(MG_STEAL(beside.later[cases[i].leaving]), 200, NULL, STR("x"));
        wire_advance(&wire, 20);
        client_more(client, one, str_n(body, cases[i].more), false);
        assert_int_equal(request->received, 900000 + cases[i].more);
        assert_int_equal(request->is_beside, cases[i].leaving == 0);
        for (size_t k = 0; k < MG_COUNT(held); k++)
            held[k] = begin_stream(client, "/held", 400000);
        assert_true(wire.n_gone > 0);
        assert_false(was_stream_refused(client, one));
        mem_free(body);
        for (size_t k = 0; k < MG_COUNT(held); k++)
            http_request_release(wire.later[k]);
        vacate(&beside, &within);
        wire_reset(&wire);
        assert_nothing_is_left(wire.server);
        DONE(client);
    }
}

/* The last sixteenth is there for small ones. */
static void test_small_streams_use_all(void **state)
{
    CLIENT_WITH(client, 65535, LARGE_CONF);
    struct wire beside, within, unbounded;
    occupy(&beside, &within, 0);
    configure(&unbounded, 0);
    wire_start(&unbounded);
    post(&unbounded, "/later", BOUND - 6000);
    int32_t first = begin_stream(client, "/echo", 2000); /* in 4096, more than half of 6000 */
    assert_true(list_linked(&request_of(&wire)->wait_link));
    assert_false(was_stream_refused(client, first));
    assert_true(gather_bytes_of_all() <= BOUND);
    int32_t second = begin_stream(client, "/echo", 2000);
    assert_int_equal(was_stream_refused(client, first) + was_stream_refused(client, second), 1);
    assert_true(gather_bytes_of_all() <= BOUND);
    http_respond(unbounded.later[0], 200, NULL, STR("x"));
    wire_fini(&unbounded);
    vacate(&beside, &within);
    wire_reset(&wire);
    assert_nothing_is_left(wire.server);
    DONE(client);
}

#define NARROW_CONF                                                                                \
    (LARGE_CONF, wire.conf.connection_window = MIB, wire.conf.stream_window = MIB / 2)

/* Held streams have used up the window of their connection: another cannot send, and is not to
 * blame. */
static void test_nobody_is_blamed_for_a_shut_window(void **state)
{
    static const bool is_held[] = {true, false};
    for (size_t i = 0; i < MG_COUNT(is_held); i++) {
        CLIENT_WITH(client, 65535, NARROW_CONF);
        struct wire beside, within, waiting;
        occupy(&beside, &within, MIB);
        int32_t one = begin_stream(client, "/echo", 20000);
        for (int k = 0; k < 3; k++)
            begin_stream(client, "/held", MIB);
        assert_true(wire.conn->unconsumed > MIB / 2);
        join(&waiting, &beside);
        post(&waiting, "/echo", 2 * BOUND);
        assert_true(waits(&waiting));
        for (size_t k = 0; k < wire.n_later && !is_held[i]; k++)
            http_respond_error(wire.later[k], MG_E_BUSY, STR(""), 1);
        run(client);
        assert_int_equal(wire.conn->unconsumed > 0, is_held[i]);
        for (int k = 0; k < 5; k++) {
            wire_advance(&wire, 1000);
            run(client);
        }
        assert_int_equal(was_stream_refused(client, one), !is_held[i]);
        for (size_t k = 0; k < wire.n_later && is_held[i]; k++)
            http_request_release(wire.later[k]);
        leave(&waiting);
        vacate(&beside, &within);
        wire_reset(&wire);
        assert_nothing_is_left(wire.server);
        DONE(client);
    }
}

/* The one beside the budget goes on, whatever its connection's other streams keep. */
static void test_held_streams_do_not_stop_the_one_beside(void **state)
{
    static const bool are_held_first[] = {true, false};
    for (size_t i = 0; i < MG_COUNT(are_held_first); i++) {
        CLIENT_WITH(client, 65535, NARROW_CONF);
        struct wire within;
        configure(&within, BOUND);
        wire_start(&within);
        post(&within, "/later", 3 * MIB / 2);
        if (are_held_first[i])
            begin_stream(client, "/held", MIB / 2 - 100000);
        int32_t one = begin_stream(client, "/later", MIB);
        assert_int_equal(wire.server->gather.beside->stream_id, one);
        if (!are_held_first[i])
            begin_stream(client, "/held", MIB / 2);
        begin_stream(client, "/held", MIB / 2);
        begin_stream(client, "/held", MIB / 2);
        assert_int_equal(wire.conn->unconsumed, 0);
        more_of_stream(client, one, 4 * MIB, true);
        assert_int_equal(wire.server->gather.beside->received, 5 * MIB);
        assert_true(wire.server->gather.beside->has_body);
        http_respond(within.later[0], 200, NULL, STR("x"));
        wire_fini(&within);
        wire_reset(&wire);
        for (size_t k = 0; k < wire.n_later; k++)
            (wire.later[k]->is_held ? http_request_release(wire.later[k])
                                    : http_respond(wire.later[k], 200, NULL, STR("x")));
        assert_nothing_is_left(wire.server);
        DONE(client);
    }
}

/* It became whole while it waited: it is its handler's, however long that takes. */
static void test_a_whole_body_does_not_wait(void **state)
{
    CLIENT_WITH(client, 65535, LARGE_CONF);
    struct wire beside, within;
    occupy(&beside, &within, MIB);
    int32_t id = begin_stream(client, "/later", 900000);
    assert_false(list_empty(&wire.server->gather.waiting));
    waits_from_now(&wire);
    more_of_stream(client, id, 100000, true);
    assert_int_equal(wire.n_later, 1);
    wire_advance(&wire, 60000);
    run(client);
    assert_int_equal(wire.n_gone, 0);
    http_respond(wire.later[0], 200, NULL, STR("x"));
    run(client);
    assert_string_equal(seen_of(client, id)->status, "200");
    vacate(&beside, &within);
    assert_nothing_is_left(wire.server);
    DONE(client);
}

/* Its window is given back, and for that nobody has to find memory. */
static void test_an_answered_body_does_not_wait(void **state)
{
    static const bool is_free[] = {true, false};
    for (size_t i = 0; i < MG_COUNT(is_free); i++) {
        CLIENT_WITH(client, 65535, NARROW_CONF);
        struct metric_registry *registry = metric_registry_new();
        wire.server->options.metrics = http_metrics_register(registry, "door=front|back");
        struct wire beside, within;
        occupy(&beside, &within, 5 * MIB / 4);
        if (is_free[i])
            http_respond(MG_STEAL(beside.later[0]), 200, NULL, STR("x"));
        int32_t id = begin_stream(client, "/held", 450000);
        assert_false(gather_may_read(wire.later[0]));
        http_respond_error(wire.later[0], MG_E_BUSY, STR(""), 1);
        assert_null(wire.server->gather.beside);
        run(client);
        assert_true(was_stream_refused(client, id));
        assert_true(shows(registry, "meshglass_http_body_waits_total{door=\"front\"} 0\n"));
        assert_int_equal(wire.conn->unconsumed, 0);
        more_of_stream(client, id, MIB / 2, true); /* the window is open again */
        assert_true(seen_of(client, id)->is_closed);
        vacate(&beside, &within);
        assert_nothing_is_left(wire.server);
        DONE(client);
        metric_registry_free(&registry);
    }
}

static const struct ask large_call = {GRPC, .path = "/t.S/Echo", .is_open_ended = true};

/* What is sent without it comes whole before there is room: then none is needed. */
static void test_continue_of_http2(void **state)
{
    enum { ASKED, REFUSED, WHOLE };
    for (int end = ASKED; end <= WHOLE; end++) {
        CLIENT_WITH(client, 65535, LARGE_CONF);
        struct peers peers;
        char body[5000] = "";
        peers_init(&peers, FILLED, BOUND);
        fill(&peers);
        struct ask ask = open_ended("/echo", STR(""));
        ask.extra_name = "expect";
        ask.extra_value = "100-continue";
        int32_t id = submit(client, &ask);
        run(client);
        struct seen *seen = seen_of(client, id);
        assert_true(list_linked(&request_of(&wire)->wait_link));
        assert_int_equal(seen->n_continue, 0);
        if (end == REFUSED) {
            waits_from_now(&wire);
            wire_advance(&wire, 5000);
            run(client);
        } else if (end == ASKED) {
            answer_later(&peers, 1);
            wire_advance(&wire, 20);
            run(client);
            assert_int_equal(seen->n_continue, 1);
        }
        if (end != REFUSED)
            client_more(client, id, str_n(body, sizeof body), true);
        assert_string_equal(seen->status, end == REFUSED ? "503" : "200");
        assert_int_equal(seen->n_continue, end == ASKED);
        for (size_t i = 0; i < FILLED; i++) {
            if (i != 1 || end != ASKED)
                answer_later(&peers, i);
        }
        wire_reset(&wire);
        assert_nothing_is_left(wire.server);
        peers_fini(&peers);
        DONE(client);
    }
}

static void test_grpc_is_told_to_come_again(void **state)
{
    CLIENT_WITH(client, 65535,
                (wire.conf.bodies_bytes_max = MIB, wire.conf.body_bytes_max = 4 * MIB));
    char *body = mem_zero(1, 2 * MIB + 5);
    struct ask first = {GRPC, .path = "/t.S/Later", .body = str_n(body, 2 * MIB + 5)};
    memcpy(body, "\0\0\x20\0\0", 5); /* 2 MiB */
    call(client, &first);
    assert_int_equal(wire.n_later, 1);
    struct ask second = large_call;
    second.body = str_n(body, 200000); /* the next read would need more than half */
    int32_t id = submit(client, &second);
    run(client);
    assert_false(list_empty(&wire.server->gather.waiting));
    waits_from_now(&wire);
    wire_advance(&wire, 5000);
    run(client);
    struct seen *seen = seen_of(client, id);
    assert_string_equal(seen->grpc_status, "14");
    assert_int_not_equal(seen->retry_info[0], '\0');
    assert_string_equal(call(client, &get_root)->status, "200");
    client_more(client, id, str_n(body, 900000), true); /* is thrown away */
    assert_int_equal(client->send.len, 0);
    assert_true(seen->is_closed);
    assert_int_equal(seen->error, NGHTTP2_NO_ERROR);
    http_respond_grpc(wire.later[0], STR("x"));
    run(client);
    assert_nothing_is_left(wire.server);
    mem_free(body);
    DONE(client);
}

/* --- what can be seen of it --- */
static void test_metrics(void **state)
{
    (void)state;
    struct metric_registry *registry = metric_registry_new();
    struct wire a, b;
    configure(&a, BOUND);
    a.options.metrics = http_metrics_register(registry, "door=front|back");
    a.options.metric_door = 1;
    wire_start(&a);
    join(&b, &a);
    assert_true(shows(registry, "meshglass_http_bodies_bytes 0\n"));
    assert_true(shows(registry, "meshglass_http_body_waits_total{door=\"back\"} 0\n"));
    post(&a, "/later", 2 * BOUND);
    assert_true(shows(registry, "meshglass_http_bodies_bytes 0\n")); /* beside */
    begin(&b, 2 * BOUND, 2 * BOUND);
    char line[64];
    snprintf(line, sizeof line, "meshglass_http_bodies_bytes %zu\n",
             b.conn->server->gather.bytes - a.later[0]->gathered_bytes);
    assert_in_range(gather_bytes_of_all(), MIB / 2, LARGE_MAX / 2);
    assert_true(shows(registry, line));
    assert_true(shows(registry, "meshglass_http_body_waits_total{door=\"back\"} 1\n"));
    waits_from_now(&a);
    wire_advance(&a, 5000);
    wire_send(&b, "", 0);
    assert_true(
        shows(registry, "meshglass_http_refused_total{door=\"back\",reason=\"memory\"} 1\n"));
    assert_true(shows(registry, "meshglass_http_bodies_bytes 0\n"));
    http_respond(a.later[0], 200, NULL, STR("x"));
    leave(&b);
    wire_fini(&a);
    metric_registry_free(&registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_of_what_is_left),
        cmocka_unit_test(test_0_is_no_bound),
        cmocka_unit_test(test_declared_is_not_charged),
        cmocka_unit_test(test_stalled_bodies_harm_nobody),
        cmocka_unit_test(test_small_ones_press_nobody),
        cmocka_unit_test(test_continue_waits_for_room),
        cmocka_unit_test(test_continue_is_not_waited_for),
        cmocka_unit_test(test_refused_instead_of_continue),
        cmocka_unit_test(test_continue_of_who_went),
        cmocka_unit_test(test_one_goes_beside),
        cmocka_unit_test(test_the_place_is_free_when_its_peer_goes),
        cmocka_unit_test(test_the_place_is_not_for_ever),
        cmocka_unit_test(test_a_wait_ends),
        cmocka_unit_test(test_a_refusal_helps_the_next),
        cmocka_unit_test(test_a_wait_ends_though_others_are_quicker),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_a_stalled_body_gives_way),
        cmocka_unit_test(test_nobody_is_blamed_for_the_past),
        cmocka_unit_test(test_a_stalled_body_without_memory_gives_way),
        cmocka_unit_test(test_a_taken_body_counts_until_the_answer),
        cmocka_unit_test(test_held_and_released_while_full),
        cmocka_unit_test(test_a_waiting_body_goes),
        cmocka_unit_test(test_one_budget_for_all_servers),
        cmocka_unit_test(test_a_timer_looks_for_room),
        cmocka_unit_test(test_windows_are_bounded),
        cmocka_unit_test(test_who_waits_does_not_pay_for_others),
        cmocka_unit_test(test_it_pays_only_while_it_has_no_room),
        cmocka_unit_test(test_small_streams_use_all),
        cmocka_unit_test(test_nobody_is_blamed_for_a_shut_window),
        cmocka_unit_test(test_held_streams_do_not_stop_the_one_beside),
        cmocka_unit_test(test_a_whole_body_does_not_wait),
        cmocka_unit_test(test_an_answered_body_does_not_wait),
        cmocka_unit_test(test_continue_of_http2),
        cmocka_unit_test(test_grpc_is_told_to_come_again),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

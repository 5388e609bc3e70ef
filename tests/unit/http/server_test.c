/* The server on real sockets: accepting, limits of connections, drain, large bodies both ways. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "bare.h"
#include "http/conn.h"
#include "usual_conf.h"

#define PEERS_MAX 8
struct scene {
    struct loop *loop;
    struct http_conf conf;
    struct http_server *server;
    struct bare peers[PEERS_MAX];
    size_t n_peers;
    bool (*is_done)(struct scene *scene);
    struct timer *deadline;
    struct http_request *later;
    bool is_idle, is_draining;
};

static void check(void *owner)
{
    struct scene *scene = owner;
    if (scene->is_done && scene->is_done(scene))
        loop_stop(scene->loop);
}

static void on_root(void *owner, struct http_request *request)
{
    (void)owner;
    assert_true(str_starts(http_request_peer(request), STR("127.0.0.1:")));
    http_respond(request, 200, "text/plain", STR("root"));
}

static void on_echo(void *owner, struct http_request *request)
{
    (void)owner;
    struct buf body;
    size_t offset;
    http_request_take_body(request, &body, &offset);
    assert_int_equal(offset, 0);
    http_respond(request, 200, NULL, buf_str(&body));
    http_server_recycle(http_request_server(request), &body);
    assert_int_equal(body.len, 0);
}

static void on_later(void *owner, struct http_request *request)
{
    struct scene *scene = owner;
    scene->later = request;
    check(scene);
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/", .on_request = on_root},
    {.method = "POST", .path = "/echo", .on_request = on_echo},
    {.method = "GET", .path = "/later", .on_request = on_later},
};

static void on_deadline(void *owner)
{
    (void)owner;
    fail_msg("nothing happened for 60 s");
}

static void run(struct scene *scene, bool (*is_done)(struct scene *scene))
{
    scene->is_done = is_done;
    timer_start(scene->deadline, 60000);
    if (!is_done(scene))
        loop_run(scene->loop);
    timer_stop(scene->deadline);
    scene->is_done = NULL;
}

static void open_scene(struct scene *scene, uint64_t connections_max)
{
    *scene = (struct scene){.loop = loop_new()};
    scene->deadline = timer_new(scene->loop, on_deadline, scene);
    scene->conf = usual_conf();
    scene->conf.connections_max = connections_max;
    struct http_options options = {
        .conf = &scene->conf, .routes = routes, .n_routes = MG_COUNT(routes), .owner = scene};
    scene->server = http_server_new(scene->loop, &options);
    assert_int_equal(http_server_address(scene->server).len, 0);
    struct listener_options where = {.address = STR("127.0.0.1:0")};
    struct mg_why why;
    if (http_server_listen(scene->server, &where, &why))
        fail_msg("%s", why.text);
}

static struct bare *dial(struct scene *scene)
{
    struct bare *peer = &scene->peers[scene->n_peers++];
    *peer = (struct bare){.on_change = check, .owner = scene};
    bare_dial(peer, scene->loop, http_server_address(scene->server), NULL);
    return peer;
}

static bool all_connected(struct scene *scene)
{
    for (size_t i = 0; i < scene->n_peers; i++) {
        if (!scene->peers[i].stream && !scene->peers[i].is_closed)
            return false;
    }
    return true;
}

static void on_idle(void *owner)
{
    struct scene *scene = owner;
    scene->is_idle = true;
    http_server_free(&scene->server); /* which it may */
    check(scene);
}

static bool is_idle(struct scene *scene)
{
    return scene->is_idle;
}

static bool all_closed(struct scene *scene)
{
    for (size_t i = 0; i < scene->n_peers; i++) {
        if (!scene->peers[i].is_closed)
            return false;
    }
    return scene->is_idle;
}

static void drain(struct scene *scene, uint64_t grace_ms)
{
    scene->is_draining = true;
    http_server_drain(scene->server, grace_ms, on_idle, scene);
    assert_false(scene->is_idle); /* never from inside the call */
}

static void close_scene(struct scene *scene)
{
    if (!scene->is_draining)
        drain(scene, 5000);
    run(scene, all_closed);
}

static void free_scene(struct scene *scene)
{
    for (size_t i = 0; i < scene->n_peers; i++)
        bare_fini(&scene->peers[i]);
    timer_free(&scene->deadline);
    loop_free(&scene->loop);
}

/* A server with one peer that is connected. */
static struct bare *open_connected(struct scene *scene)
{
    open_scene(scene, 100);
    struct bare *peer = dial(scene);
    run(scene, all_connected);
    return peer;
}

static bool later_is_here(struct scene *scene)
{
    return scene->later != NULL;
}

/* The same, and the peer has made a request that is not answered. */
static struct bare *open_waiting(struct scene *scene)
{
    struct bare *peer = open_connected(scene);
    bare_send(peer, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    run(scene, later_is_here);
    return peer;
}

static void end_scene(struct scene *scene)
{
    close_scene(scene);
    free_scene(scene);
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static bool first_answered(struct scene *scene)
{
    size_t at;
    return str_find(buf_str(&scene->peers[0].got), STR("root"), &at);
}

static void test_request(void **state)
{
    (void)state;
    struct scene scene;
    struct bare *peer = open_connected(&scene);
    bare_send(peer, GET);
    run(&scene, first_answered);
    assert_true(str_starts(buf_str(&peer->got), STR("HTTP/1.1 200 OK\r\n")));
    assert_int_equal(http_server_connections(scene.server), 1);
    close_scene(&scene);
    assert_true(peer->has_ended); /* an orderly end, not a reset */
    free_scene(&scene);
}

#define LARGE (20u * 1024 * 1024)

static bool large_is_back(struct scene *scene)
{
    return scene->peers[0].got.len >= LARGE;
}

static void test_large_bodies_both_ways(void **state)
{
    (void)state;
    struct scene scene;
    struct bare *peer = open_connected(&scene);
    char *body = mem_alloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        body[i] = (char)(i * 7 + i / 253);
    struct buf head;
    buf_init(&head, 1000);
    buf_printf(&head, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n", LARGE);
    stream_write_buf(peer->stream, &head);
    stream_write(peer->stream, body, LARGE);
    run(&scene, large_is_back);
    size_t at;
    assert_true(str_find(buf_str(&peer->got), STR("\r\n\r\n"), &at));
    while (peer->got.len < at + 4 + LARGE)
        run(&scene, large_is_back);
    assert_memory_equal(peer->got.ptr + at + 4, body, LARGE);
    mem_free(body);
    end_scene(&scene);
}

static void test_drain_waits_for_the_answer(void **state)
{
    (void)state;
    struct scene scene;
    struct bare *peer = open_waiting(&scene);
    drain(&scene, 10000);
    http_respond(scene.later, 200, NULL, STR("done"));
    close_scene(&scene);
    size_t at;
    assert_true(str_find(buf_str(&peer->got), STR("Connection: close\r\n"), &at));
    assert_true(str_ends(buf_str(&peer->got), STR("done")));
    assert_true(peer->has_ended);
    free_scene(&scene);
}

static bool peer_closed(struct scene *scene)
{
    return scene->peers[0].is_closed;
}

static void test_drain_gives_up_after_its_grace(void **state)
{
    (void)state;
    struct scene scene;
    struct bare *peer = open_waiting(&scene);
    drain(&scene, 10);
    run(&scene, peer_closed);
    assert_false(scene.is_idle); /* the answer is still owed */
    assert_true(http_request_is_gone(scene.later));
    http_respond(scene.later, 200, NULL, STR("late"));
    run(&scene, is_idle);
    assert_int_equal(peer->got.len, 0);
    end_scene(&scene);
}

static void test_drain_without_connections(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, 100);
    end_scene(&scene);
}

static bool two_answered(struct scene *scene)
{
    return scene->peers[0].got.len && scene->peers[1].got.len;
}

static bool three_answered(struct scene *scene)
{
    return scene->peers[2].got.len;
}

static void expect_pauses(struct metric_registry *registry, unsigned n)
{
    char line[96];
    struct buf text;
    snprintf(line, sizeof line, "meshglass_http_accept_pauses_total{door=\"front\"} %u\n", n);
    buf_init(&text, 1 << 20);
    metric_write(registry, METRIC_TEXT_0_0_4, &text);
    assert_true(str_find(buf_str(&text), str_of(line), &(size_t){0}));
    buf_fini(&text);
}

/* The third connection waits in the backlog and is served when one goes. */
static void test_connections_max(void **state)
{
    (void)state;
    struct metric_registry *registry = metric_registry_new();
    struct scene scene;
    open_scene(&scene, 2);
    scene.server->options.metrics = http_metrics_register(registry, "door=front");
    dial(&scene);
    run(&scene, all_connected);
    bare_send(&scene.peers[0], GET);
    run(&scene, first_answered);
    expect_pauses(registry, 0);
    dial(&scene);
    dial(&scene);
    run(&scene, all_connected);
    for (size_t i = 1; i < 3; i++)
        bare_send(&scene.peers[i], GET);
    run(&scene, two_answered);
    assert_int_equal(http_server_connections(scene.server), 2);
    assert_int_equal(scene.peers[2].got.len, 0);
    expect_pauses(registry, 1);
    stream_close(scene.peers[0].stream);
    run(&scene, three_answered);
    expect_pauses(registry, 2);
    end_scene(&scene);
    metric_registry_free(&registry);
}

static void test_idle_timeout_by_the_server_s_own_timer(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, 100);
    scene.server->conf.header_timeout_ns = 20000000;
    scene.server->tick_ms = 5;
    struct bare *peer = dial(&scene);
    run(&scene, peer_closed);
    assert_true(peer->has_ended);
    end_scene(&scene);
}

static void test_taken_address(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, 100);
    struct http_options options = {
        .conf = &scene.conf, .routes = routes, .n_routes = MG_COUNT(routes)};
    struct http_server *second = http_server_new(scene.loop, &options);
    struct listener_options where = {.address = http_server_address(scene.server)};
    struct mg_why why;
    assert_int_equal(http_server_listen(second, &where, &why), MG_E_IO);
    assert_non_null(strstr(why.text, "already in use"));
    http_server_free(&second);
    end_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_large_bodies_both_ways),
        cmocka_unit_test(test_drain_waits_for_the_answer),
        cmocka_unit_test(test_drain_gives_up_after_its_grace),
        cmocka_unit_test(test_drain_without_connections),
        cmocka_unit_test(test_connections_max),
        cmocka_unit_test(test_idle_timeout_by_the_server_s_own_timer),
        cmocka_unit_test(test_taken_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

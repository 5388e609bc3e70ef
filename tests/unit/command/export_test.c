#include "unit/command/test.h"
#include <stdio.h>
#include "codec/zip.h"
#include "command/export.h"
#include "command/server.h"
#include "http/http.h"

static const struct {
    struct str response;
    enum mg_err want;
    uint64_t spans;
} responses[] = {
    {STR_INIT(""), MG_OK, 0},
    {STR_INIT("\x0a\x00"), MG_OK, 0}, /* the Collector's full success */
    {STR_INIT("\x0a\x02\x08\x03"), MG_OK, 3},
    {STR_INIT("\x0a\x07\x08\x80\x01\x12\x02no"), MG_OK, 128},
    {STR_INIT("\x0a\x04\x12\x02no"), MG_OK, 0}, /* a warning */
    {STR_INIT("\x12\x02\x08\x03"), MG_OK, 0},   /* an unknown field */
    {STR_INIT("\x0a\x05\x08"), MG_E_FORMAT, 0},
    {STR_INIT("\x0a\x01\x08"), MG_E_FORMAT, 0},
    {STR_INIT("\x0a"), MG_E_FORMAT, 0},
    {STR_INIT("<html>"), MG_E_FORMAT, 0},
};

static void test_rejected(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(responses); i++) {
        uint64_t spans = 0;
        assert_int_equal(export_rejected(responses[i].response, &spans), responses[i].want);
        assert_int_equal(spans, responses[i].spans);
    }
}

static const struct {
    const char *text;
    bool is_hint;
    uint64_t ms;
} hints[] = {
    {"0", true, 0},
    {"1", true, 1000},
    {"60", true, 60000},
    {"61", true, 60000},
    {"99999999", true, 60000},
    {"", false, 0},
    {"-1", false, 0},
    {"1.5", false, 0},
    {"Wed, 25 Nov 2026 15:10:16 GMT", false, 0},
    {"99999999999999999999999", false, 0},
};

static void test_hints(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(hints); i++) {
        uint64_t ms = 0;
        assert_int_equal(export_hint(str_of(hints[i].text), &ms), hints[i].is_hint);
        assert_int_equal(ms, hints[i].ms);
    }
}

static const struct {
    unsigned attempt;
    double unit;
    uint64_t ms;
} backoffs[] = {
    {1, 0.5, 500},  {1, 0, 250},    {2, 0.5, 1000}, {3, 0.5, 2000},           {4, 0.5, 4000},
    {5, 0.5, 5000}, {6, 0.5, 5000}, {5, 0, 2500},   {4000000000u, 0.5, 5000},
};

static void test_backoff(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(backoffs); i++)
        assert_int_equal(export_backoff_ms(backoffs[i].attempt, backoffs[i].unit), backoffs[i].ms);
    assert_true(export_backoff_ms(9, 0.999) < 7500);
}

/* --- against a server
 * ------------------------------------------------------------------------------- */

struct answer {
    int status;
    struct str body;
    struct str retry_after;
};
static const struct scenario {
    const char *name;
    struct answer answers[4]; /* in turn; the last one stays */
    unsigned n;
    uint64_t accepted, refused, failed, retries; /* of one request of ten spans */
} scenarios[] = {
    {"success", {{200, STR_INIT(""), STR_INIT("")}}, 1, 10, 0, 0, 0},
    {"partial success", {{200, STR_INIT("\x0a\x02\x08\x03"), STR_INIT("")}}, 1, 7, 3, 0, 0},
    {"more rejected than sent",
     {{200, STR_INIT("\x0a\x02\x08\x7f"), STR_INIT("")}},
     1,
     0,
     10,
     0,
     0},
    {"not a response", {{200, STR_INIT("<html>"), STR_INIT("")}}, 1, 10, 0, 0, 0},
    {"overload",
     {{503, STR_INIT(""), STR_INIT("")},
      {429, STR_INIT(""), STR_INIT("")},
      {200, STR_INIT(""), STR_INIT("")}},
     3,
     10,
     0,
     0,
     2},
    {"overload with a hint",
     {{503, STR_INIT(""), STR_INIT("1")}, {200, STR_INIT(""), STR_INIT("")}},
     2,
     10,
     0,
     0,
     1},
    {"malformed", {{400, STR_INIT(""), STR_INIT("")}}, 1, 0, 10, 0, 0},
    {"too large", {{413, STR_INIT(""), STR_INIT("")}}, 1, 0, 10, 0, 0},
    {"internal", {{500, STR_INIT(""), STR_INIT("")}}, 1, 0, 10, 0, 0},
};

struct scene {
    struct loop *loop;
    struct http_server *server;
    struct exporter *exporter;
    struct timer *poll;
    const struct scenario *scenario;
    unsigned asked, bad_requests;
    char why[200]; /* of the last failure */
};
static const struct str body = STR_INIT("the body of a request");

static void check_request(struct scene *scene, struct http_request *request)
{
    struct zip *zip = zip_new();
    struct buf plain;

    buf_init(&plain, 4096);
    if (!str_eq(http_request_header(request, STR("content-type")), STR("application/x-protobuf")) ||
        !str_eq(http_request_encoding(request), STR("gzip")) ||
        zip_inflate(zip, ZIP_GZIP, http_request_body(request), 4096, &plain, NULL) != MG_OK ||
        !str_eq(buf_str(&plain), body))
        scene->bad_requests++;
    buf_fini(&plain);
    zip_free(&zip);
}

static void on_request(void *owner, struct http_request *request)
{
    struct scene *scene = owner;
    const struct answer *answer =
        &scene->scenario->answers[MG_MIN(scene->asked, scene->scenario->n - 1)];
    const struct http_header headers[] = {{STR("retry-after"), answer->retry_after}};

    check_request(scene, request);
    scene->asked++;
    http_respond_with(request, answer->status, "application/x-protobuf", answer->body, headers,
                      answer->retry_after.len > 0);
}

static void on_drained(void *owner)
{
    loop_stop(((struct scene *)owner)->loop);
}

static void on_gone(void *owner)
{
    http_server_drain(((struct scene *)owner)->server, 0, on_drained, owner);
}

static void on_poll(void *owner)
{
    struct scene *scene = owner;

    if (!exporter_is_idle(scene->exporter)) {
        timer_start(scene->poll, 1);
        return;
    }
    exporter_close(scene->exporter, on_gone, scene);
}

static void on_health(void *owner, const char *why)
{
    struct scene *scene = owner;

    if (why)
        snprintf(scene->why, sizeof scene->why, "%s", why);
}

static void scene_open(struct scene *scene)
{
    static const struct http_route routes[] = {
        {.method = "POST", .path = "/v1/traces", .on_request = on_request}};
    static const struct http_conf conf = {
        .header_bytes_max = 65536,
        .body_bytes_max = 65536,
        .streams_max = 16,
        .connections_max = 16,
        .header_timeout_ns = 60000000000,
        .idle_timeout_ns = 60000000000,
        .body_timeout_ns = 60000000000,
        .stream_window = 65536,
        .connection_window = 1 << 20,
        .reset_max = 100,
    };
    const struct http_options options = {
        .conf = &conf, .routes = routes, .n_routes = MG_COUNT(routes), .owner = scene};
    const struct listener_options where = {.address = STR("127.0.0.1:0")};
    struct mg_why why;
    struct buf url;

    scene->loop = loop_new();
    scene->server = http_server_new(scene->loop, &options);
    assert_int_equal(http_server_listen(scene->server, &where, &why), MG_OK);
    buf_init(&url, 256);
    buf_printf(&url, "http://%.*s", STR_ARG(http_server_address(scene->server)));
    static const struct server_access nothing;
    const struct export_options export = {.base_url = buf_str(&url),
                                          .access = &nothing,
                                          .seed = 1,
                                          .on_health = on_health,
                                          .owner = scene};
    assert_int_equal(exporter_new(&scene->exporter, scene->loop, &export, &why), MG_OK);
    buf_fini(&url);
    scene->poll = timer_new(scene->loop, on_poll, scene);
}

static void scene_close(struct scene *scene)
{
    exporter_free(&scene->exporter);
    timer_free(&scene->poll);
    http_server_free(&scene->server);
    loop_free(&scene->loop);
}

static void test_scenarios(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(scenarios); i++) {
        const struct scenario *want = &scenarios[i];
        struct scene scene = {.scenario = want};
        struct export_stats stats;

        scene_open(&scene);
        exporter_send(scene.exporter, body, 10);
        timer_start(scene.poll, 1);
        loop_run(scene.loop);
        exporter_stat(scene.exporter, &stats);
        if (stats.accepted != want->accepted || stats.refused != want->refused ||
            stats.failed != want->failed || stats.retries != want->retries ||
            scene.asked != want->n || scene.bad_requests)
            fail_msg("%s: accepted %d refused %d failed %d retries %d asked %u bad %u", want->name,
                     (int)stats.accepted, (int)stats.refused, (int)stats.failed, (int)stats.retries,
                     scene.asked, scene.bad_requests);
        assert_int_equal(stats.waiting, 0);
        scene_close(&scene);
    }
}

static void test_a_refusal_is_told_in_the_servers_words(void **state)
{
    static const struct {
        struct answer answer;
        const char *why;
    } cases[] = {
        {{403, STR_INIT("\x08\x07\x12\x02no"), STR_INIT("")}, "answered with HTTP status 403: no"},
        {{401, STR_INIT("\x12\x04who?"), STR_INIT("")}, "answered with HTTP status 401: who?; see --token-file"},
        {{401, STR_INIT(""), STR_INIT("")}, "answered with HTTP status 401; see --token-file"},
        {{400, STR_INIT("\x12\x07one\ntwo"), STR_INIT("")}, "answered with HTTP status 400: one"},
        {{400, STR_INIT("\x12\x03\x1b[m"), STR_INIT("")}, "answered with HTTP status 400"},
        {{403, STR_INIT("<html>"), STR_INIT("")}, "answered with HTTP status 403"},
        {{403, STR_INIT("\x12\x7fshort"), STR_INIT("")}, "answered with HTTP status 403"},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct scenario refuses = {.answers = {cases[i].answer}, .n = 1};
        struct scene scene = {.scenario = &refuses};

        scene_open(&scene);
        exporter_send(scene.exporter, body, 10);
        timer_start(scene.poll, 1);
        loop_run(scene.loop);
        assert_string_equal(scene.why, cases[i].why);
        scene_close(&scene);
    }
}

/* Spans are counted once, wherever the close finds them: waiting for a place, in flight, between
 * attempts. */
static void test_what_is_not_answered_has_failed(void **state)
{
    static const struct scenario quiet = {
        "overload", {{503, STR_INIT(""), STR_INIT("60")}}, 1, 0, 0, 0, 0};
    struct scene scene = {.scenario = &quiet};
    struct export_stats stats;

    (void)state;
    scene_open(&scene);
    for (unsigned i = 0; i < EXPORT_REQUESTS_MAX; i++) {
        assert_true(exporter_has_room(scene.exporter));
        exporter_send(scene.exporter, body, 10);
    }
    assert_false(exporter_has_room(scene.exporter));
    exporter_stat(scene.exporter, &stats);
    assert_int_equal(stats.waiting, 10 * EXPORT_REQUESTS_MAX);
    exporter_close(scene.exporter, on_gone, &scene);
    assert_true(exporter_is_idle(scene.exporter));
    loop_run(scene.loop);
    exporter_stat(scene.exporter, &stats);
    assert_int_equal(stats.failed, 10 * EXPORT_REQUESTS_MAX);
    assert_int_equal(stats.waiting + stats.accepted + stats.refused, 0);
    scene_close(&scene);
}

static void on_close_timer(void *owner)
{
    struct scene *scene = owner;

    if (scene->asked < 3) {
        timer_start(scene->poll, 1);
        return;
    }
    exporter_close(scene->exporter, on_gone, scene);
}

static void test_closing_between_attempts(void **state)
{
    static const struct scenario busy = {
        "overload", {{503, STR_INIT(""), STR_INIT("60")}}, 1, 0, 0, 0, 0};
    struct scene scene = {.scenario = &busy};
    struct export_stats stats;

    (void)state;
    scene_open(&scene);
    timer_free(&scene.poll);
    scene.poll = timer_new(scene.loop, on_close_timer, &scene);
    for (unsigned i = 0; i < 12; i++)
        exporter_send(scene.exporter, body, 10);
    timer_start(scene.poll, 1);
    loop_run(scene.loop);
    exporter_stat(scene.exporter, &stats);
    assert_int_equal(stats.failed, 120);
    assert_int_equal(stats.waiting, 0);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rejected),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_a_refusal_is_told_in_the_servers_words),
        cmocka_unit_test(test_what_is_not_answered_has_failed),
        cmocka_unit_test(test_closing_between_attempts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* peer_test.c - batches posted to a server: what arrives, what comes back, connections that fail in
 * every way, TLS with files, and that no secret gets into the log. */
#include "unit/peer/rig.h"
#include <stdio.h>
#include "base/log.h"
#include "net/tls.h"
#include "peer/private.h"
#include "unit/http/client_peer.h"
#include "unit/net/certs.h"

static struct certs certs;

/* A wire of the simplest kind: it posts the body as it is. */
struct scene {
    struct rig rig;
    struct peer_conf conf;
    struct str headers[4];
    struct peer *peer;
    struct peer_post post;
    bool http2;
    uint64_t timeout_ns;
    char url[160];
};

static enum mg_err wire_open_fn(void *wire, struct loop *loop, struct mg_why *why)
{
    struct scene *scene = wire;
    return peer_open(scene->peer, loop, scene->http2, scene->timeout_ns, why);
}

static void on_answer(void *owner, const struct send_result *result, const struct http_answer *answer)
{
    (void)answer;
    send_done(owner, result);
}

static void wire_send_fn(void *wire, struct send_batch *batch)
{
    struct scene *scene = wire;
    scene->post.body = batch->body;
    peer_call(scene->peer, &scene->post, on_answer, batch);
}

static void wire_close_fn(void *wire, void (*on_closed)(void *owner), void *owner)
{
    struct scene *scene = wire;
    peer_close(scene->peer, on_closed, owner);
}

static void scene_init(struct scene *scene, struct tls_source *tls)
{
    *scene = (struct scene){
        .timeout_ns = 20000000000u,
        .post = {.path = STR("/p?q=1"), .content_type = STR("text/x"), .encoding = STR("gzip")}};
    rig_open(&scene->rig, tls);
    scene->conf = (struct peer_conf){.endpoint = str_of(scene->rig.url),
                                     .headers = {.at = scene->headers},
                                     .ca = STR(""),
                                     .cert = STR(""),
                                     .key = STR("")};
}

static void scene_start(struct scene *scene)
{
    const struct send_wire wire = {.name = "x",
                                   .open = wire_open_fn,
                                   .send = wire_send_fn,
                                   .close = wire_close_fn,
                                   .wire = scene};
    struct mg_why why;
    if (peer_new(&scene->peer, "exporters.x", &scene->conf, &why) != MG_OK)
        fail_msg("%s", why.text);
    rig_wire(&scene->rig, &wire);
}

static void scene_close(struct scene *scene)
{
    if (scene->rig.has_wire)
        rig_close_wire(&scene->rig);
    peer_free(&scene->peer);
    rig_close(&scene->rig);
}

static void test_what_arrives(void **state)
{
    struct scene scene;
    (void)state;
    scene_init(&scene, NULL);
    snprintf(scene.url, sizeof scene.url, "http://user:pass@%.80s", scene.rig.url + strlen("http://"));
    scene.conf.endpoint = str_of(scene.url);
    scene.headers[0] = STR("X-Token: t0ken");
    scene.conf.headers.n = 1;
    scene_start(&scene);
    assert_int_equal(peer_path(scene.peer).len, 0);
    assert_int_equal(rig_send(&scene.rig, STR("body"), 1)->verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 1);
    const struct rig_request *got = &scene.rig.requests.at[0];
    assert_true(str_eq(got->method, STR("POST")));
    assert_true(str_eq(got->path, STR("/p")));
    assert_true(str_eq(got->query, STR("q=1")));
    assert_true(str_eq(got->type, STR("text/x")));
    assert_true(str_eq(got->encoding, STR("gzip")));
    assert_true(str_eq(got->authorization, STR("Basic dXNlcjpwYXNz")));
    assert_true(str_eq(got->token, STR("t0ken")));
    assert_true(str_starts(got->agent, STR("meshglass/")));
    assert_true(str_eq(got->body, STR("body")));
    assert_int_equal(rig_send(&scene.rig, STR("body"), 1)->verdict, SEND_TAKEN);
    assert_int_equal(http_server_connections(scene.rig.server), 1); /* kept */
    scene_close(&scene);
}

static void test_own_agent_and_method(void **state)
{
    struct scene scene;
    (void)state;
    scene_init(&scene, NULL);
    scene.headers[0] = STR("User-Agent: mine/2");
    scene.conf.headers.n = 1;
    scene.post = (struct peer_post){.path = STR("/"), .method = "PUT"};
    scene_start(&scene);
    assert_int_equal(rig_send(&scene.rig, STR(""), 1)->verdict, SEND_TAKEN);
    const struct rig_request *got = &scene.rig.requests.at[0];
    assert_true(str_eq(got->method, STR("PUT")));
    assert_true(str_eq(got->agent, STR("mine/2")));
    assert_int_equal(got->type.len + got->encoding.len + got->body.len, 0);
    scene_close(&scene);
}

/* Over a real connection; the full table is that of judge_test. */
static void test_answers(void **state)
{
    static const struct {
        struct rig_answer answer;
        enum send_verdict want;
        uint64_t ms;
        const char *reason;
    } cases[] = {
        {{.status = 202}, SEND_TAKEN, 0, ""},
        {{.status = 429, .retry_after = "3", .body = "slow"},
         SEND_RETRY,
         3000,
         "HTTP status 429: slow"},
        {{.status = 503, .retry_after = "Fri, 31 Dec 1999 23:59:59 GMT"},
         SEND_RETRY,
         0,
         "HTTP status 503"},
        {{.status = 401, .body = "no"}, SEND_RETRY, 0, "HTTP status 401: no"},
        {{.status = 302}, SEND_RETRY, 0, "redirects are not followed"},
        {{.status = 400, .body = "bad"}, SEND_REFUSED, 0, "HTTP status 400: bad"},
        {{.status = 500}, SEND_REFUSED, 0, "HTTP status 500"},
    };
    struct scene scene;
    (void)state;
    scene_init(&scene, NULL);
    scene_start(&scene);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig_script(&scene.rig, &cases[i].answer, 1);
        const struct rig_result *result = rig_send(&scene.rig, STR("body"), 1);
        assert_int_equal(result->verdict, cases[i].want);
        assert_int_equal(result->retry_after_ms, cases[i].ms);
        if (!strstr(result->reason, cases[i].reason))
            fail_msg("row %zu: %s", i, result->reason);
    }
    scene_close(&scene);
}

/* --- connections --- */

#define STEP(text, after)                                                                          \
    {                                                                                              \
        .answer = STR_INIT(text), .then = (after)                                                  \
    }

static void test_broken_connections(void **state)
{
    static const struct {
        struct peer_step step;
        enum send_verdict want;
        const char *reason;
    } cases[] = {
        {STEP("", PEER_CLOSE), SEND_RETRY, "closed before an answer came"},
        {STEP("", PEER_RESET), SEND_RETRY, "reset before an answer came"},
        {STEP("HTTP/1.1 200 OK\r\nContent-Le", PEER_CLOSE), SEND_RETRY,
         "in the middle of the answer"},
        {STEP("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", PEER_CLOSE), SEND_RETRY,
         "in the middle of the answer"},
        {STEP("SSH-2.0-OpenSSH_9.2\r\n", PEER_WAIT), SEND_RETRY, "not HTTP/1.1"},
        {STEP("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", PEER_WAIT), SEND_RETRY,
         "not HTTP/1.1"},
        {STEP("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", PEER_WAIT), SEND_TAKEN, ""},
        {STEP("HTTP/1.1 400 No\r\nContent-Length: 99999999999\r\n\r\n", PEER_WAIT), SEND_REFUSED,
         "HTTP status 400"},
        {STEP("HTTP/1.1 302 Found\r\nLocation:  https://other/x \r\nContent-Length: 0\r\n\r\n",
              PEER_KEEP),
         SEND_RETRY, "leads to https://other:"},
        {STEP("HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 99999999999\r\n\r\n",
              PEER_WAIT),
         SEND_RETRY, "HTTP status 503"},
        {STEP("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
              PEER_KEEP),
         SEND_TAKEN, ""},
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct peer *fake = peer_start(&cases[i].step, 1);
        struct scene scene;
        scene_init(&scene, NULL);
        scene.conf.endpoint = str_of(peer_url(fake));
        scene_start(&scene);
        const struct rig_result *result = rig_send(&scene.rig, STR("body"), 1);
        if (result->verdict != cases[i].want || !strstr(result->reason, cases[i].reason))
            fail_msg("row %zu: %d, %s", i, result->verdict, result->reason);
        scene_close(&scene);
        assert_int_equal(peer_stop(fake, NULL),
                         1); /* a POST is not sent a second time behind our back */
    }
}

static void test_nobody_listens(void **state)
{
    struct scene scene;
    char url[40];
    (void)state;
    peer_nobody(url);
    scene_init(&scene, NULL);
    scene.conf.endpoint = str_of(url);
    scene_start(&scene);
    const struct rig_result *result = rig_send(&scene.rig, STR("body"), 1);
    assert_int_equal(result->verdict, SEND_RETRY);
    assert_non_null(strstr(result->reason, url));
    scene_close(&scene);
}

static void test_slow_peer(void **state)
{
    static const struct rig_answer held[] = {{.is_held = true}};
    struct scene scene;
    (void)state;
    scene_init(&scene, NULL);
    scene.timeout_ns = 50000000;
    scene_start(&scene);
    rig_script(&scene.rig, held, 1);
    const struct rig_result *result = rig_send(&scene.rig, STR("body"), 1);
    assert_int_equal(result->verdict, SEND_RETRY);
    assert_non_null(strstr(result->reason, "within 50 ms"));
    scene_close(&scene);
}

static void test_closed_with_batches_in_flight(void **state)
{
    static const struct rig_answer held[] = {{.is_held = true}};
    struct scene scene;
    (void)state;
    scene_init(&scene, NULL);
    scene_start(&scene);
    rig_script(&scene.rig, held, 1);
    for (int i = 0; i < 4; i++) /* two have a connection, two wait for one */
        (void)rig_begin(&scene.rig, STR("body"), 1);
    rig_run_until_requests(&scene.rig, 2);
    rig_close_wire(&scene.rig); /* asserts that all are done */
    for (int i = 0; i < 4; i++)
        assert_int_equal(scene.rig.results[i].verdict, SEND_RETRY);
    (void)rig_begin(&scene.rig, STR("late"), 1);
    assert_int_equal(scene.rig.n_done, 5);
    assert_int_equal(scene.rig.results[4].verdict, SEND_RETRY);
    scene_close(&scene);
}

/* --- gRPC --- */

static void test_grpc(void **state)
{
    static const struct {
        struct rig_answer answer;
        enum send_verdict want;
        const char *reason;
    } cases[] = {
        {{.grpc_status = 0}, SEND_TAKEN, ""},
        {{.grpc_status = 3, .body = "bad \xc3\xa4 %"},
         SEND_REFUSED,
         "gRPC status 3: bad \xc3\xa4 %"},
        {{.grpc_status = 8, .body = "larger than max"},
         SEND_REFUSED,
         "gRPC status 8: larger than max"},
        {{.grpc_status = 14}, SEND_RETRY, "gRPC status 14"},
        {{.grpc_status = 16}, SEND_RETRY, "gRPC status 16"},
        {{.grpc_status = 12}, SEND_RETRY, "gRPC status 12 (no such service there"},
    };
    struct scene scene;
    (void)state;
    scene_init(&scene, NULL);
    scene.http2 = true;
    scene.post = (struct peer_post){
        .path = STR("/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
        .content_type = STR("ignored"),
        .encoding = STR("zstd"),
        .is_grpc = true};
    scene.headers[0] = STR("x-token: t");
    scene.conf.headers.n = 1;
    scene_start(&scene);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig_script(&scene.rig, &cases[i].answer, 1);
        const struct rig_result *result = rig_send(&scene.rig, STR("packed"), 1);
        if (result->verdict != cases[i].want || !strstr(result->reason, cases[i].reason))
            fail_msg("row %zu: %d, %s", i, result->verdict, result->reason);
        assert_true(str_eq(scene.rig.requests.at[0].encoding, STR("zstd")));
        assert_true(str_eq(scene.rig.requests.at[0].body, STR("packed")));
        assert_true(str_eq(scene.rig.requests.at[0].type, STR("application/grpc")));
        assert_true(str_eq(scene.rig.requests.at[0].token, STR("t")));
    }
    assert_int_equal(http_server_connections(scene.rig.server), 1);
    scene_close(&scene);
}

/* Bytes that a server of ours does not send. */
static void test_grpc_of_others(void **state)
{
    static const struct {
        const char *path;
        enum send_verdict want;
        uint64_t ms;
        const char *reason;
    } cases[] = {
        {"/s/Empty", SEND_TAKEN, 0, ""}, /* status 0 without a message */
        {"/s/Two", SEND_TAKEN, 0, ""},
        {"/s/Flag", SEND_TAKEN, 0, ""}, /* a packed message, and it is not said how */
        {"/s/Packed", SEND_TAKEN, 0, ""},
        {"/s/PackedBadly", SEND_TAKEN, 0, ""},
        {"/s/Full", SEND_RETRY, 2500, "gRPC status 8"},
        {"/s/Busy", SEND_RETRY, 0, "gRPC status 14: come back %"},
        {"/s/Bare", SEND_RETRY, 7000, "HTTP status 503 without grpc-status"},
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct peer *fake = peer_start_h2();
        struct scene scene;
        scene_init(&scene, NULL);
        scene.http2 = true;
        scene.conf.endpoint = str_of(peer_url(fake));
        scene.post = (struct peer_post){.path = str_of(cases[i].path), .is_grpc = true};
        scene_start(&scene);
        const struct rig_result *result = rig_send(&scene.rig, STR("body"), 1);
        if (result->verdict != cases[i].want || result->retry_after_ms != cases[i].ms ||
            !strstr(result->reason, cases[i].reason))
            fail_msg("row %zu: %d, %s", i, result->verdict, result->reason);
        scene_close(&scene);
        (void)peer_stop(fake, NULL);
    }
}

static void test_grpc_to_one_that_speaks_http1(void **state)
{
    static const struct peer_step step =
        STEP("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", PEER_CLOSE);
    struct peer *fake = peer_start(&step, 1);
    struct scene scene;
    (void)state;
    scene_init(&scene, NULL);
    scene.http2 = true;
    scene.conf.endpoint = str_of(peer_url(fake));
    scene.post = (struct peer_post){.path = STR("/s/M"), .is_grpc = true};
    scene_start(&scene);
    const struct rig_result *result = rig_send(&scene.rig, STR("body"), 1);
    assert_int_equal(result->verdict, SEND_RETRY);
    assert_non_null(strstr(result->reason, "does not speak HTTP/2"));
    scene_close(&scene);
    (void)peer_stop(fake, NULL);
}

/* --- TLS --- */

static struct tls_source *server_tls(const char *cert, const char *client_ca)
{
    char pem[64], key[64];
    struct tls_source *source;
    struct mg_why why;
    snprintf(pem, sizeof pem, "%s.pem", cert);
    snprintf(key, sizeof key, "%s.key", cert);
    const struct tls_options options = {.cert_file = certs_path(&certs, pem),
                                        .key_file = certs_path(&certs, key),
                                        .ca_file =
                                            client_ca ? certs_path(&certs, client_ca) : STR(""),
                                        .min_version = TLS_1_2,
                                        .is_server = true,
                                        .alpn = "h2,http/1.1"};
    if (tls_source_new(&source, &options, &why) != MG_OK)
        fail_msg("%s", why.text);
    return source;
}

static void test_tls(void **state)
{
    static const struct {
        const char *server, *client_ca, *ca, *cert;
        bool insecure, http2;
        enum send_verdict want;
    } cases[] = {
        {"server", NULL, "ca.pem", NULL, false, false, SEND_TAKEN},
        {"server", NULL, "ca.pem", NULL, false, true, SEND_TAKEN},
        {"server", "ca.pem", "ca.pem", "client", false, false, SEND_TAKEN},
        {"server", "ca.pem", "ca.pem", NULL, false, false, SEND_RETRY},
        {"server", "ca.pem", "ca.pem", "client-other", false, false, SEND_RETRY},
        {"server", NULL, "other-ca.pem", NULL, false, false, SEND_RETRY},
        {"server", NULL, NULL, NULL, false, false, SEND_RETRY}, /* the system's CAs */
        {"expired", NULL, "ca.pem", NULL, false, false, SEND_RETRY},
        {"elsewhere", NULL, "ca.pem", NULL, false, false, SEND_RETRY},
        {"self", NULL, NULL, NULL, false, false, SEND_RETRY},
        {"self", NULL, NULL, NULL, true, false, SEND_TAKEN},
        {"self", NULL, NULL, NULL, true, true, SEND_TAKEN},
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        char pem[64], key[64];
        scene_init(&scene, server_tls(cases[i].server, cases[i].client_ca));
        snprintf(pem, sizeof pem, "%s.pem", cases[i].cert ? cases[i].cert : "");
        snprintf(key, sizeof key, "%s.key", cases[i].cert ? cases[i].cert : "");
        if (cases[i].ca)
            scene.conf.ca = certs_path(&certs, cases[i].ca);
        if (cases[i].cert)
            scene.conf.cert = certs_path(&certs, pem), scene.conf.key = certs_path(&certs, key);
        scene.conf.insecure = cases[i].insecure;
        scene.http2 = cases[i].http2;
        rig_log_begin();
        scene_start(&scene);
        const struct rig_result *result = rig_send(&scene.rig, STR("body"), 1);
        const char *log = rig_log_end();
        if (result->verdict != cases[i].want)
            fail_msg("row %zu: %d, %s", i, result->verdict, result->reason);
        assert_int_equal(strstr(log, "takes any server certificate") != NULL, cases[i].insecure);
        scene_close(&scene);
    }
}

/* --- TLS files that change --- */

struct awaited {
    struct rig *rig;
    struct timer *timer;
    const char *text;
    bool is_there;
};

static void look_at_log(void *owner)
{
    struct awaited *awaited = owner;
    awaited->is_there = strstr(rig_log_so_far(), awaited->text) != NULL;
    if (awaited->is_there)
        loop_stop(awaited->rig->loop);
    else
        timer_start(awaited->timer, 5);
}

/* Runs the loop until it is logged; the rig has a deadline. */
static void await_log(struct rig *rig, const char *text)
{
    struct awaited awaited = {.rig = rig, .text = text};
    awaited.timer = timer_new(rig->loop, look_at_log, &awaited);
    timer_start(awaited.timer, 0);
    while (!awaited.is_there)
        loop_run(rig->loop);
    timer_free(&awaited.timer);
    (void)rig_log_end();
}

/* Looks at the files now, not when the second is over. */
static void expect_look(struct scene *scene, const char *logged)
{
    rig_log_begin();
    peer_look(scene->peer);
    const char *log = rig_log_end();
    if (!strstr(log, logged))
        fail_msg("'%s' is not in: %s", logged, log);
}

static void exchange(const char *name, struct scene *scene)
{
    char pem[64], key[64];
    snprintf(pem, sizeof pem, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    certs_copy(&certs, key, "now.key");
    certs_copy(&certs, pem, "now.pem");
    expect_look(scene, "tls files taken");
}

static void start_with_files(struct scene *scene, bool http2)
{
    certs_copy(&certs, "client.key", "now.key");
    certs_copy(&certs, "client.pem", "now.pem");
    certs_copy(&certs, "ca.pem", "now-ca.pem");
    scene_init(scene, server_tls("server", "ca.pem"));
    scene->conf.ca = certs_path(&certs, "now-ca.pem");
    scene->conf.cert = certs_path(&certs, "now.pem");
    scene->conf.key = certs_path(&certs, "now.key");
    scene->http2 = http2;
    scene_start(scene);
    assert_int_equal(rig_send(&scene->rig, STR("body"), 1)->verdict, SEND_TAKEN);
}

/* A certificate that the server refuses makes batches wait, and the right one makes them go: without a start in between. */
static void test_a_changed_certificate_is_taken(void **state)
{
    static const struct {
        const char *name;
        enum send_verdict want;
    } steps[] = {{"client-other", SEND_RETRY}, {"client", SEND_TAKEN}, {"client-expired", SEND_RETRY}, {"client", SEND_TAKEN}};
    (void)state;
    for (int http2 = 0; http2 < 2; http2++) {
        struct scene scene;
        start_with_files(&scene, http2);
        for (size_t i = 0; i < MG_COUNT(steps); i++) {
            exchange(steps[i].name, &scene);
            const struct rig_result *result = rig_send(&scene.rig, STR("body"), 1);
            if (result->verdict != steps[i].want)
                fail_msg("step %zu: %d, %s", i, result->verdict, result->reason);
        }
        scene_close(&scene);
    }
}

/* Here it is the timer that looks. */
static void test_a_changed_authority_is_taken(void **state)
{
    static const struct {
        const char *file;
        enum send_verdict want;
    } steps[] = {{"other-ca.pem", SEND_RETRY}, {"ca.pem", SEND_TAKEN}, {"other-ca.pem", SEND_RETRY}};
    struct scene scene;
    (void)state;
    start_with_files(&scene, false);
    for (size_t i = 0; i < MG_COUNT(steps); i++) {
        rig_log_begin();
        certs_copy(&certs, steps[i].file, "now-ca.pem");
        await_log(&scene.rig, "tls files taken");
        assert_int_equal(rig_send(&scene.rig, STR("body"), 1)->verdict, steps[i].want);
    }
    scene_close(&scene);
}

static void test_files_that_cannot_be_used_are_not_taken(void **state)
{
    static const char *const junk[] = {"", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    static const char *const files[] = {"now.pem", "now.key", "now-ca.pem"};
    struct scene scene;
    (void)state;
    start_with_files(&scene, false);
    for (size_t i = 0; i < MG_COUNT(files); i++)
        for (size_t k = 0; k < MG_COUNT(junk); k++) {
            certs_write(&certs, files[i], junk[k]);
            expect_look(&scene, "tls files not taken, the old ones stay in force");
            assert_int_equal(rig_send(&scene.rig, STR("body"), 1)->verdict, SEND_TAKEN);
            certs_copy(&certs, "client.key", "now.key");
            certs_copy(&certs, "client.pem", "now.pem");
            certs_copy(&certs, "ca.pem", "now-ca.pem");
            expect_look(&scene, "tls files taken");
        }
    exchange("client-other", &scene);
    certs_copy(&certs, "server.key", "now.key"); /* of another pair */
    expect_look(&scene, "tls files not taken");
    assert_int_equal(rig_send(&scene.rig, STR("body"), 1)->verdict, SEND_RETRY);
    scene_close(&scene);
}

/* The batch at the wire began with the old certificate, and ends with it. */
static void test_what_is_at_the_wire_is_not_cut_off(void **state)
{
    static const struct rig_answer answers[] = {{.is_held = true}, {0}};
    struct scene scene;
    (void)state;
    for (int http2 = 0; http2 < 2; http2++) {
        start_with_files(&scene, http2);
        rig_script(&scene.rig, answers, MG_COUNT(answers));
        scene.rig.n_sent = scene.rig.n_done = 0;
        (void)rig_begin(&scene.rig, STR("old"), 1);
        rig_run_until_requests(&scene.rig, 1);
        exchange("client", &scene);
        (void)rig_begin(&scene.rig, STR("new"), 1);
        while (scene.rig.n_done < 1)
            loop_run(scene.rig.loop);
        assert_int_equal(scene.rig.results[1].verdict, SEND_TAKEN);
        assert_int_equal(http_server_connections(scene.rig.server), 2);
        http_respond_with(scene.rig.held.at[0], 200, "text/plain", STR(""), NULL, 0);
        scene.rig.held.n = 0;
        rig_wait(&scene.rig);
        assert_int_equal(scene.rig.results[0].verdict, SEND_TAKEN);
        assert_int_equal(rig_send(&scene.rig, STR("body"), 1)->verdict, SEND_TAKEN);
        scene_close(&scene);
    }
}

static void test_a_close_ends_old_and_new(void **state)
{
    static const struct rig_answer answers[] = {{.is_held = true}};
    struct scene scene;
    (void)state;
    start_with_files(&scene, false);
    rig_script(&scene.rig, answers, MG_COUNT(answers));
    scene.rig.n_sent = scene.rig.n_done = 0;
    for (size_t i = 0; i < 3; i++) {
        (void)rig_begin(&scene.rig, STR("body"), 1);
        rig_run_until_requests(&scene.rig, i + 1);
        exchange("client", &scene);
    }
    assert_int_equal(scene.rig.n_done, 0);
    rig_close_wire(&scene.rig);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(scene.rig.results[i].verdict, SEND_RETRY);
    scene_close(&scene);
}

/* --- secrets --- */

static void test_no_secret_is_logged(void **state)
{
    static const struct rig_answer answers[] = {
        {.status = 400, .echoes = true},
        {.status = 503, .echoes = true},
        {.status = 401, .body = "Basic dXNlcjpQQVNTV09SRA== is wrong"},
        {.status = 400, .body = "PASSWORD: user user"},
        {.status = 200}};
    struct scene scene;
    (void)state;
    scene_init(&scene, NULL);
    snprintf(scene.url, sizeof scene.url, "http://user:PASSWORD@%.80s",
             scene.rig.url + strlen("http://"));
    scene.conf.endpoint = str_of(scene.url);
    scene.headers[0] = STR("x-token: Bearer SECRETSECRET");
    scene.conf.headers.n = 1;
    rig_log_begin();
    log_configure(LOG_DEBUG, LOG_LOGFMT);
    scene_start(&scene);
    rig_script(&scene.rig, answers, MG_COUNT(answers));
    for (size_t i = 0; i < MG_COUNT(answers); i++) {
        const struct rig_result *result = rig_send(&scene.rig, STR("body"), 1);
        LOG(WARN, "as the queue does it", F_TEXT("reason", result->reason));
    }
    assert_true(
        str_eq(scene.rig.requests.at[0].token, STR("Bearer SECRETSECRET"))); /* it was sent */
    scene_close(&scene);
    log_configure(LOG_INFO, LOG_LOGFMT);
    const char *log = rig_log_end();
    assert_non_null(strstr(log, "HTTP status 400: ***"));
    assert_null(strstr(log, "SECRET"));
    assert_null(strstr(log, "PASSWORD"));
    assert_null(strstr(log, "dXNlcjpQQVNTV09SRA"));
}

static int make(void **state)
{
    (void)state;
    certs_init(&certs);
    certs_standard(&certs);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    certs_fini(&certs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_arrives),
        cmocka_unit_test(test_own_agent_and_method),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_broken_connections),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_slow_peer),
        cmocka_unit_test(test_closed_with_batches_in_flight),
        cmocka_unit_test(test_grpc),
        cmocka_unit_test(test_grpc_of_others),
        cmocka_unit_test(test_grpc_to_one_that_speaks_http1),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_a_changed_certificate_is_taken),
        cmocka_unit_test(test_a_changed_authority_is_taken),
        cmocka_unit_test(test_files_that_cannot_be_used_are_not_taken),
        cmocka_unit_test(test_what_is_at_the_wire_is_not_cut_off),
        cmocka_unit_test(test_a_close_ends_old_and_new),
        cmocka_unit_test(test_no_secret_is_logged),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}

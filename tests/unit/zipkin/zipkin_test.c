/* zipkin_test.c - a foreign client's OTLP batch arrives at a server as Zipkin's JSON; what cannot be one stays
 * behind and is counted; large batches are cut. */
#include "unit/peer/rig.h"
#include <stdio.h>
#include "base/mem.h"
#include "codec/json.h"
#include "unit/peer/otlp_capture.h"
#include "zipkin/zipkin.h"

struct scene {
    struct rig rig;
    struct zipkin_export_conf conf;
    struct zipkin_export *export;
    char url[160];
};

static void scene_open_with(struct scene *scene, const char *path, int compression)
{
    struct send_wire wire;
    struct mg_why why;
    *scene = (struct scene){.conf = {.send = {.in_flight = 2, .timeout_ns = 20000000000u}, .compression = compression}};
    rig_open(&scene->rig, NULL);
    snprintf(scene->url, sizeof scene->url, "%s%s", scene->rig.url, path);
    scene->conf.peer.endpoint = str_of(scene->url);
    if (zipkin_export_new(&scene->export, &scene->conf, &why) != MG_OK)
        fail_msg("%s", why.text);
    zipkin_export_wire(scene->export, &wire);
    assert_string_equal(wire.name, "zipkin");
    rig_wire(&scene->rig, &wire);
}

static void scene_open(struct scene *scene, const char *path)
{
    scene_open_with(scene, path, ZIPKIN_EXPORT_PLAIN);
}

static void scene_close(struct scene *scene)
{
    rig_close_wire(&scene->rig);
    zipkin_export_free(&scene->export);
    rig_close(&scene->rig);
}

static struct json *json_of(struct str body)
{
    struct json *root;
    struct mg_why why;
    if (json_parse(&root, body, &why) != MG_OK)
        fail_msg("%s: %.*s", why.text, STR_ARG(body));
    assert_int_equal(json_kind(root), JSON_ARRAY);
    return root;
}

static struct json *body_of(const struct rig_request *got)
{
    return json_of(got->body);
}

static void assert_text(const struct json *object, const char *key, const char *want)
{
    const struct json *value = json_get(object, key);
    assert_non_null(value);
    if (!str_eq(json_str(value), str_of(want)))
        fail_msg("%s: %.*s", key, STR_ARG(json_str(value)));
}

static void test_a_batch_as_zipkin_reads_it(void **state)
{
    static const struct rig_answer taken[] = {{.status = 202}};
    struct scene scene;
    (void)state;
    scene_open(&scene, "/api/v2/spans");
    rig_script(&scene.rig, taken, 1);
    const struct rig_result *result = rig_send(&scene.rig, otlp_capture(), OTLP_CAPTURE_SPANS);
    assert_int_equal(result->verdict, SEND_TAKEN);
    assert_int_equal(result->refused_spans, 0);
    const struct rig_request *got = &scene.rig.requests.at[0];
    assert_true(str_eq(got->path, STR("/api/v2/spans")));
    assert_true(str_eq(got->type, STR("application/json")));
    assert_int_equal(got->encoding.len, 0);

    MG_AUTO(json_free) struct json *root = body_of(got);
    assert_int_equal(json_count(root), 2);
    const struct json *client = json_at(root, 0), *server = json_at(root, 1);
    assert_text(client, "traceId", "5982fe77008310cc80f1da5e10147517");
    assert_text(client, "id", "0102030405060702");
    assert_text(client, "parentId", "0102030405060701");
    assert_text(client, "kind", "CLIENT");
    assert_text(client, "name", "db");
    assert_int_equal(json_int(json_get(client, "timestamp")), 1516868175726000);
    assert_int_equal(json_int(json_get(client, "duration")), 1500);
    assert_text(json_get(client, "localEndpoint"), "serviceName", "portal");
    assert_text(json_get(client, "remoteEndpoint"), "serviceName", "backend");
    assert_text(server, "id", "0102030405060701");
    assert_null(json_get(server, "parentId"));
    assert_text(server, "kind", "SERVER");
    assert_text(server, "name", "get /m/n");
    assert_int_equal(json_int(json_get(server, "timestamp")), 1516781775726000);
    assert_int_equal(json_int(json_get(server, "duration")), 26000);
    const struct json *tags = json_get(server, "tags"), *notes = json_get(server, "annotations");
    assert_text(tags, "http.request.method", "GET");
    assert_text(tags, "http.response.status_code", "500");
    assert_text(tags, "host.name", "h1");
    assert_text(tags, "otel.status_code", "ERROR");
    assert_non_null(json_get(tags, "error"));
    assert_int_equal(json_count(notes), 1);
    assert_int_equal(json_int(json_get(json_at(notes, 0), "timestamp")), 1516781775730000);
    scene_close(&scene);
}

static void test_paths(void **state)
{
    static const struct { const char *path, *want; } cases[] = {
        { "", "/api/v2/spans" }, { "/", "/api/v2/spans" }, { "/api/v2/spans", "/api/v2/spans" }, { "/zipkin/x/", "/zipkin/x/" }};
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        scene_open(&scene, cases[i].path);
        assert_int_equal(rig_send(&scene.rig, otlp_capture(), OTLP_CAPTURE_SPANS)->verdict, SEND_TAKEN);
        assert_true(str_eq(scene.rig.requests.at[0].path, str_of(cases[i].want)));
        scene_close(&scene);
    }
}

/* --- spans that stay behind --- */

static void put(struct buf *out, uint8_t trace, uint8_t span)
{
    rig_put_span(out, &(struct rig_span){.service = "s", .name = "n", .trace = trace, .span = span, .start_ns = 1000, .end_ns = 2000});
}

static void test_bad_ids_are_left_out(void **state)
{
    struct scene scene;
    struct buf body;
    (void)state;
    scene_open(&scene, "");
    buf_init(&body, 1 << 20);
    put(&body, 1, 1);
    put(&body, 0, 2);
    put(&body, 1, 3);
    put(&body, 1, 0);
    const struct rig_result *result = rig_send(&scene.rig, buf_str(&body), 4);
    assert_int_equal(result->verdict, SEND_TAKEN);
    assert_int_equal(result->refused_spans, 2);
    struct json *root = body_of(&scene.rig.requests.at[0]);
    assert_int_equal(json_count(root), 2);
    assert_text(json_at(root, 0), "id", "0000000000000001");
    assert_text(json_at(root, 1), "id", "0000000000000003");
    json_free(&root);
    buf_clear(&body);
    put(&body, 0, 1);
    result = rig_send(&scene.rig, buf_str(&body), 1); /* nothing is left: no request */
    assert_int_equal(result->verdict, SEND_TAKEN);
    assert_int_equal(result->refused_spans, 1);
    result = rig_send(&scene.rig, STR(""), 0);
    assert_int_equal(result->verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 1);
    buf_fini(&body);
    scene_close(&scene);
}

static void test_malformed_batches(void **state)
{
    static const struct str bodies[] = {STR_INIT("\x0a\x7f"), STR_INIT("rubbish"), STR_INIT("\xff")};
    struct scene scene;
    (void)state;
    scene_open(&scene, "");
    for (size_t i = 0; i < MG_COUNT(bodies); i++) {
        const struct rig_result *result = rig_send(&scene.rig, bodies[i], 1);
        assert_int_equal(result->verdict, SEND_REFUSED);
        assert_non_null(strstr(result->reason, "protobuf"));
    }
    struct buf body; /* a good span in front: nothing of it may go */
    buf_init(&body, 1 << 20);
    put(&body, 1, 1);
    buf_put_text(&body, "\x0a\x7f");
    assert_int_equal(rig_send(&scene.rig, buf_str(&body), 1)->verdict, SEND_REFUSED);
    assert_int_equal(scene.rig.requests.n, 0);
    buf_fini(&body);
    scene_close(&scene);
}

/* --- large batches --- */

static void put_large(struct buf *body)
{
    buf_init(body, 64 << 20);
    for (uint8_t i = 1; i <= 12; i++)
        rig_put_span(body, &(struct rig_span){.service = "s", .name = "n", .trace = 1, .span = i, .start_ns = 1000, .end_ns = 2000,
                                              .padding = i == 6 ? 6000000 : 1000000});
}

static void test_large_batches_are_cut(void **state)
{
    struct scene scene;
    struct buf body;
    size_t n = 0;
    (void)state;
    scene_open(&scene, "");
    put_large(&body);
    assert_int_equal(rig_send(&scene.rig, buf_str(&body), 12)->verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 5); /* 4 1 | the large one | 4 2 */
    for (size_t i = 0; i < scene.rig.requests.n; i++) {
        struct json *root = body_of(&scene.rig.requests.at[i]);
        assert_true(json_count(root) == 1 || scene.rig.requests.at[i].body.len <= 4 << 20);
        for (size_t j = 0; j < json_count(root); j++) {
            char want[17];
            snprintf(want, sizeof want, "%016zx", ++n);
            assert_text(json_at(root, j), "id", want);
        }
        json_free(&root);
    }
    assert_int_equal(n, 12);
    buf_fini(&body);
    scene_close(&scene);
}

static void test_a_span_that_is_too_large(void **state)
{
    struct scene scene;
    struct buf body;
    (void)state;
    scene_open(&scene, "");
    buf_init(&body, 64 << 20);
    put(&body, 1, 1);
    rig_put_span(&body, &(struct rig_span){.service = "s", .name = "n", .trace = 1, .span = 2, .start_ns = 1000, .end_ns = 2000,
                                           .padding = 9 << 20});
    put(&body, 1, 3);
    const struct rig_result *result = rig_send(&scene.rig, buf_str(&body), 3);
    assert_int_equal(result->verdict, SEND_TAKEN);
    assert_int_equal(result->refused_spans, 1);
    assert_int_equal(scene.rig.requests.n, 1);
    struct json *root = body_of(&scene.rig.requests.at[0]);
    assert_int_equal(json_count(root), 2);
    json_free(&root);
    buf_fini(&body);
    scene_close(&scene);
}

static void test_a_part_that_fails(void **state)
{
    static const struct { struct rig_answer answers[2]; enum send_verdict want; } cases[] = {
        { { { .status = 202 }, { .status = 503, .retry_after = "2" } }, SEND_RETRY },
        { { { .status = 202 }, { .status = 400, .body = "Cannot decode spans" } }, SEND_REFUSED },
        { { { .status = 503 }, { .status = 202 } }, SEND_RETRY },
    };
    struct scene scene;
    struct buf body;
    (void)state;
    scene_open(&scene, "");
    put_large(&body);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig_script(&scene.rig, cases[i].answers, 2);
        assert_int_equal(rig_send(&scene.rig, buf_str(&body), 12)->verdict, cases[i].want);
        assert_int_equal(scene.rig.requests.n, i == 2 ? 1 : 2);
        assert_int_equal(scene.rig.results[0].done.spans, i == 2 ? 0 : 4);
    }
    scene.rig.done.spans = 4; /* as a later attempt gets it */
    rig_script(&scene.rig, &cases[2].answers[1], 1);
    assert_int_equal(rig_send(&scene.rig, buf_str(&body), 12)->verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 4);
    buf_fini(&body);
    scene_close(&scene);
}

/* --- gzip --- */

/* What a server that undoes the encoding reads. */
static void unpack(const struct rig_request *got, struct buf *out)
{
    struct zip *zip = zip_new();
    struct mg_why why;
    assert_true(str_eq(got->encoding, STR("gzip")));
    assert_memory_equal(got->body.ptr, "\x1f\x8b", 2);
    buf_init(out, 64 << 20);
    if (zip_inflate(zip, ZIP_GZIP, got->body, 64 << 20, out, &why) != MG_OK)
        fail_msg("%s", why.text);
    zip_free(&zip);
}

static void test_packed_bodies_are_the_same_bodies(void **state)
{
    static const struct rig_answer taken[] = {{.status = 202}};
    struct buf bodies[2], plain[MG_COUNT(bodies)];
    (void)state;
    buf_init(&bodies[0], 1 << 20);
    buf_put_str(&bodies[0], otlp_capture());
    put_large(&bodies[1]);
    for (size_t i = 0; i < MG_COUNT(bodies); i++) {
        size_t n = 0;
        buf_init(&plain[i], 64 << 20);
        for (int compression = ZIPKIN_EXPORT_PLAIN; compression >= ZIPKIN_EXPORT_GZIP; compression--) {
            struct scene scene;
            struct buf all;
            buf_init(&all, 64 << 20);
            scene_open_with(&scene, "", compression);
            rig_script(&scene.rig, taken, 1);
            assert_int_equal(rig_send(&scene.rig, buf_str(&bodies[i]), 12)->verdict, SEND_TAKEN);
            for (size_t k = 0; k < scene.rig.requests.n; k++) {
                const struct rig_request *got = &scene.rig.requests.at[k];
                struct buf unpacked;
                assert_true(str_eq(got->type, STR("application/json")));
                if (compression == ZIPKIN_EXPORT_PLAIN) {
                    assert_int_equal(got->encoding.len, 0);
                    buf_put_str(&plain[i], got->body);
                    continue;
                }
                unpack(got, &unpacked);
                assert_true(got->body.len < unpacked.len);
                struct json *root = json_of(buf_str(&unpacked));
                assert_true(json_count(root) == 1 || unpacked.len <= 4 << 20);
                json_free(&root);
                buf_put_str(&all, buf_str(&unpacked));
                buf_fini(&unpacked);
            }
            if (compression == ZIPKIN_EXPORT_PLAIN)
                n = scene.rig.requests.n;
            else
                assert_true(n == scene.rig.requests.n && str_eq(buf_str(&all), buf_str(&plain[i])));
            buf_fini(&all);
            scene_close(&scene);
        }
    }
    for (size_t i = 0; i < MG_COUNT(bodies); i++) {
        buf_fini(&bodies[i]);
        buf_fini(&plain[i]);
    }
}

/* Nothing of a packed batch is repeated, or lost without a word, when it is not taken. */
static void test_packed_batches_that_are_not_taken(void **state)
{
    static const struct { struct rig_answer answers[2]; enum send_verdict want; unsigned requests; const char *reason; } cases[] = {
        { { { .status = 400, .body = "Cannot gunzip spans" } }, SEND_REFUSED, 1, "400: Cannot gunzip spans" },
        { { { .status = 415 } }, SEND_REFUSED, 1, "415" },
        { { { .status = 503 } }, SEND_RETRY, 1, "503" },
        { { { .status = 202 }, { .status = 503 } }, SEND_RETRY, 2, "503" },
    };
    struct scene scene;
    struct buf body, unpacked;
    (void)state;
    scene_open_with(&scene, "", ZIPKIN_EXPORT_GZIP);
    put_large(&body);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig_script(&scene.rig, cases[i].answers, 2);
        const struct rig_result *result = rig_send(&scene.rig, buf_str(&body), 12);
        if (result->verdict != cases[i].want || !strstr(result->reason, cases[i].reason))
            fail_msg("row %zu: %d, %s", i, result->verdict, result->reason);
        assert_int_equal(scene.rig.requests.n, cases[i].requests);
    }
    static const struct rig_answer taken[] = {{.status = 202}};
    rig_script(&scene.rig, taken, 1);
    assert_int_equal(rig_send(&scene.rig, otlp_capture(), OTLP_CAPTURE_SPANS)->verdict, SEND_TAKEN); /* it goes on */
    unpack(&scene.rig.requests.at[0], &unpacked);
    buf_fini(&unpacked);
    assert_int_equal(rig_send(&scene.rig, STR("rubbish"), 1)->verdict, SEND_REFUSED);
    assert_int_equal(rig_send(&scene.rig, STR(""), 0)->verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 1);
    buf_fini(&body);
    scene_close(&scene);
}

/* --- answers and rows --- */

/* Of three spans one has no valid id, one is too large for the server. */
static void test_a_span_that_is_too_large_for_the_server(void **state)
{
    static const struct rig_answer answers[] = {{.status = 413}, {.status = 202}, {.status = 413}};
    struct scene scene;
    struct buf body;
    (void)state;
    scene_open(&scene, "");
    buf_init(&body, 1 << 20);
    for (uint8_t i = 0; i < 3; i++)
        rig_put_span(&body, &(struct rig_span){.service = "s", .name = "n", .trace = 1, .span = i});
    rig_script(&scene.rig, answers, 3);
    rig_log_begin();
    const struct rig_result *result = rig_send(&scene.rig, buf_str(&body), 3);
    (void)rig_log_end();
    assert_int_equal(result->verdict, SEND_TAKEN);
    assert_int_equal(result->refused_spans, 2);
    assert_non_null(strstr(result->reason, "HTTP status 413"));
    assert_int_equal(scene.rig.requests.n, 3);
    buf_fini(&body);
    scene_close(&scene);
}

static void test_answers(void **state)
{
    static const struct { struct rig_answer answer; enum send_verdict want; uint64_t ms; const char *reason; } cases[] = {
        { { .status = 200 }, SEND_TAKEN, 0, "" },
        { { .status = 202, .body = "whatever" }, SEND_TAKEN, 0, "" },
        { { .status = 400, .body = "Malformed reading List<Span> from json" }, SEND_REFUSED, 0, "400: Malformed reading" },
        { { .status = 404 }, SEND_RETRY, 0, "404 (no such service there: see exporters.zipkin.endpoint)" },
        { { .status = 500 }, SEND_REFUSED, 0, "500" },
        { { .status = 301 }, SEND_RETRY, 0, "redirects" },
        { { .status = 429, .retry_after = "1" }, SEND_RETRY, 1000, "429" },
        { { .status = 503 }, SEND_RETRY, 0, "503" },
        { { .status = 401 }, SEND_RETRY, 0, "401" },
    };
    struct scene scene;
    (void)state;
    scene_open(&scene, "");
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig_script(&scene.rig, &cases[i].answer, 1);
        const struct rig_result *result = rig_send(&scene.rig, otlp_capture(), OTLP_CAPTURE_SPANS);
        if (result->verdict != cases[i].want || result->retry_after_ms != cases[i].ms || !strstr(result->reason, cases[i].reason))
            fail_msg("row %zu: %d, %s", i, result->verdict, result->reason);
    }
    scene_close(&scene);
}

static void test_rows(void **state)
{
    struct zipkin_export_conf conf = {.peer.endpoint = STR("zipkin:9411")};
    const struct conf_section section = {"exporters.zipkin", zipkin_export_fields, zipkin_export_fields_n, &conf};
    struct zipkin_export *export = NULL;
    struct conf *loaded = NULL;
    struct mg_why why;
    (void)state;
    assert_int_equal(zipkin_export_new(&export, &conf, &why), MG_E_FORMAT);
    assert_true(str_starts(str_of(why.text), STR("exporters.zipkin.endpoint: ")));
    assert_null(export);
    if (conf_load(&loaded, &section, 1, &(struct conf_source){0}, &why) != MG_OK)
        fail_msg("%s", why.text);
    assert_int_equal(conf.peer.endpoint.len, 0);
    assert_int_equal(conf.send.batch_spans, 8192);
    assert_int_equal(conf.compression, ZIPKIN_EXPORT_GZIP);
    conf_free(&loaded);
    static const char *const bad[] = {"exporters.zipkin.compression=zstd", "exporters.zipkin.compression=GZIP", "exporters.zipkin.compression="};
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        assert_int_equal(conf_load(&loaded, &section, 1, &(struct conf_source){.sets = &bad[i], .n_sets = 1}, &why), MG_E_FORMAT);
        assert_non_null(strstr(why.text, "exporters.zipkin.compression"));
    }
    for (size_t i = 0; i < zipkin_export_fields_n; i++)
        assert_true(str_ends(str_of(zipkin_export_fields[i].help), STR(".")));
}

static void test_closed_in_the_middle(void **state)
{
    static const struct rig_answer held[] = {{.status = 202}, {.is_held = true}};
    (void)state;
    for (int compression = ZIPKIN_EXPORT_GZIP; compression <= ZIPKIN_EXPORT_PLAIN; compression++) {
        struct scene scene;
        struct buf body;
        scene_open_with(&scene, "", compression);
        put_large(&body);
        rig_script(&scene.rig, held, 2);
        (void)rig_begin(&scene.rig, buf_str(&body), 12);
        rig_run_until_requests(&scene.rig, 2);
        scene_close(&scene);
        assert_int_equal(scene.rig.results[0].verdict, SEND_RETRY);
        buf_fini(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_batch_as_zipkin_reads_it),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_bad_ids_are_left_out),
        cmocka_unit_test(test_malformed_batches),
        cmocka_unit_test(test_large_batches_are_cut),
        cmocka_unit_test(test_a_span_that_is_too_large),
        cmocka_unit_test(test_a_part_that_fails),
        cmocka_unit_test(test_packed_bodies_are_the_same_bodies),
        cmocka_unit_test(test_packed_batches_that_are_not_taken),
        cmocka_unit_test(test_a_span_that_is_too_large_for_the_server),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_closed_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

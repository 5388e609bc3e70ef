/* elasticsearch_test.c - the exporter against a server that answers as Elasticsearch does: templates first, then
 * bulk requests, judged item by item. */
#include "unit/peer/rig.h"
#include <stdio.h>
#include "elasticsearch/private.h"
#include "unit/elasticsearch/lines.h"
#include "unit/peer/otlp_capture.h"

#define START (UINT64_C(1516781775) * 1000000000)
#define ES8 "{\"name\":\"n\",\"version\":{\"number\":\"8.13.4\"}}"
#define ES77 "{\"name\":\"n\",\"version\":{\"number\":\"7.7.0\"}}"
#define FINE "{\"errors\":false}"
#define JSON .type = "application/json"
#define BULK_PATH "/_bulk"
#define FILTER "filter_path=errors,items.*.status,items.*._index,items.*.error.type,items.*.error.reason"

struct scene {
    struct rig rig;
    struct elasticsearch_export_conf conf;
    struct elasticsearch_export *export;
    char url[160];
};

static void scene_open_with(struct scene *scene, int compression, bool templates, const char *prefix, const char *path)
{
    struct send_wire wire;
    struct mg_why why;
    *scene = (struct scene){.conf = {.send = {.in_flight = 2, .timeout_ns = 20000000000u}, .templates = templates, .compression = compression,
                                     .index_prefix = str_of(prefix)}};
    rig_open(&scene->rig, NULL);
    snprintf(scene->url, sizeof scene->url, "http://elastic:changeme@%s%s", scene->rig.url + strlen("http://"), path);
    scene->conf.peer.endpoint = str_of(scene->url);
    if (elasticsearch_export_new(&scene->export, &scene->conf, &why) != MG_OK)
        fail_msg("%s", why.text);
    elasticsearch_export_wire(scene->export, &wire);
    assert_string_equal(wire.name, "elasticsearch");
    rig_wire(&scene->rig, &wire);
}

static void scene_open(struct scene *scene, bool templates, const char *prefix, const char *path)
{
    scene_open_with(scene, ELASTICSEARCH_EXPORT_PLAIN, templates, prefix, path);
}

static void scene_close(struct scene *scene)
{
    if (scene->rig.has_wire)
        rig_close_wire(&scene->rig);
    elasticsearch_export_free(&scene->export);
    rig_close(&scene->rig);
}

static void assert_request(const struct rig_request *got, const char *method, const char *path)
{
    if (!str_eq(got->method, str_of(method)) || !str_eq(got->path, str_of(path)))
        fail_msg("%.*s %.*s instead of %s %s", STR_ARG(got->method), STR_ARG(got->path), method, path);
    assert_true(str_eq(got->authorization, STR("Basic ZWxhc3RpYzpjaGFuZ2VtZQ==")));
}

/* --- templates --- */

static void test_templates_come_first_and_once(void **state)
{
    static const struct rig_answer answers[] = {{JSON, .body = ES8}, {JSON, .body = "{\"acknowledged\":true}"},
                                                {JSON, .body = "{\"acknowledged\":true}"}, {JSON, .body = FINE}};
    struct scene scene;
    (void)state;
    scene_open(&scene, true, "", "");
    rig_script(&scene.rig, answers, 4);
    (void)rig_begin(&scene.rig, otlp_capture(), 2);
    (void)rig_begin(&scene.rig, otlp_capture(), 2); /* waits for the same */
    rig_wait(&scene.rig);
    assert_int_equal(scene.rig.results[0].verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.results[1].verdict, SEND_TAKEN);
    assert_int_equal(rig_send(&scene.rig, otlp_capture(), 2)->verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 6);
    assert_request(&scene.rig.requests.at[0], "GET", "/");
    assert_request(&scene.rig.requests.at[1], "PUT", "/_index_template/jaeger-span");
    assert_request(&scene.rig.requests.at[2], "PUT", "/_index_template/jaeger-service");
    assert_true(str_eq(scene.rig.requests.at[1].type, STR("application/json")));
    assert_true(scene.rig.requests.at[1].body.len > 0);
    for (size_t i = 3; i < 6; i++) {
        assert_request(&scene.rig.requests.at[i], "POST", BULK_PATH);
        assert_true(str_eq(scene.rig.requests.at[i].query, STR(FILTER)));
        assert_true(str_eq(scene.rig.requests.at[i].type, STR("application/x-ndjson")));
    }
    struct documents documents = {0};
    documents_read(&documents, scene.rig.requests.at[3].body);
    assert_int_equal(documents.list.n, 4);
    documents_read(&documents, scene.rig.requests.at[5].body);
    assert_int_equal(documents.list.n, 6); /* the service documents are there */
    documents_fini(&documents);
    scene_close(&scene);
}

static void test_legacy_templates_prefix_and_path(void **state)
{
    static const struct rig_answer answers[] = {{JSON, .body = ES77}, {0}, {0}, {JSON, .body = FINE}};
    struct scene scene;
    struct documents documents = {0};
    (void)state;
    scene_open(&scene, true, "prod", "/es/");
    rig_script(&scene.rig, answers, 4);
    assert_int_equal(rig_send(&scene.rig, otlp_capture(), 2)->verdict, SEND_TAKEN);
    assert_request(&scene.rig.requests.at[0], "GET", "/es/");
    assert_request(&scene.rig.requests.at[1], "PUT", "/es/_template/prod-jaeger-span");
    assert_request(&scene.rig.requests.at[2], "PUT", "/es/_template/prod-jaeger-service");
    assert_request(&scene.rig.requests.at[3], "POST", "/es/_bulk");
    documents_read(&documents, scene.rig.requests.at[3].body);
    assert_true(str_eq(documents.list.at[0].index, STR("prod-jaeger-span-2018-01-25")));
    documents_fini(&documents);
    scene_close(&scene);
}

static void test_no_templates(void **state)
{
    static const struct rig_answer answers[] = {{JSON, .body = FINE}};
    struct scene scene;
    (void)state;
    scene_open(&scene, false, "x-", ""); /* a hyphen of its own */
    rig_script(&scene.rig, answers, 1);
    assert_int_equal(rig_send(&scene.rig, otlp_capture(), 2)->verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 1);
    struct documents documents = {0};
    documents_read(&documents, scene.rig.requests.at[0].body);
    assert_true(str_eq(documents.list.at[0].index, STR("x-jaeger-span-2018-01-25")));
    documents_fini(&documents);
    scene_close(&scene);
}

/* Templates are a kilobyte or two, once a start. */
static void test_bulk_requests_are_packed(void **state)
{
    static const struct rig_answer answers[] = {{JSON, .body = ES8}, {0}, {0}, {JSON, .body = FINE}};
    struct scene scene;
    struct documents documents = {0};
    struct buf plain;
    (void)state;
    scene_open_with(&scene, ELASTICSEARCH_EXPORT_GZIP, true, "", "");
    buf_init(&plain, 1 << 20);
    rig_script(&scene.rig, answers, 4);
    assert_int_equal(rig_send(&scene.rig, otlp_capture(), 2)->verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 4);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(scene.rig.requests.at[i].encoding.len, 0);
    assert_true(str_eq(scene.rig.requests.at[3].encoding, STR("gzip")));
    assert_int_equal(zip_inflate(scene.rig.zip, ZIP_GZIP, scene.rig.requests.at[3].body, 1 << 20, &plain, NULL), MG_OK);
    documents_read(&documents, buf_str(&plain));
    assert_int_equal(documents.list.n, 4);
    documents_fini(&documents);
    buf_fini(&plain);
    scene_close(&scene);
}

static void test_templates_that_cannot_be_put(void **state)
{
    static const struct { struct rig_answer answers[3]; size_t requests; uint64_t ms; const char *reason; } cases[] = {
        { { { .status = 503, .retry_after = "4" } }, 1, 4000, "asking for the version: HTTP status 503" },
        { { { .status = 401, .body = "who?" } }, 1, 0, "asking for the version: HTTP status 401: who?" },
        { { { .status = 404 } }, 1, 0, "asking for the version: HTTP status 404" },
        { { { .body = "<html>hello</html>" } }, 1, 0, "is the endpoint an Elasticsearch" },
        { { { JSON, .body = "{\"version\":{\"number\":\"6.8.0\"}}" } }, 1, 0, "7.0 or later is needed" },
        { { { JSON, .body = ES8 }, { .status = 400, .body = "overlapping patterns" } }, 2, 0,
          "putting an index template: HTTP status 400: overlapping patterns" },
        { { { JSON, .body = ES8 }, { 0 }, { .status = 403, .body = "no privilege" } }, 3, 0, "HTTP status 403: no privilege" },
        { { { JSON, .body = ES8 }, { .status = 405 } }, 2, 0,
          "(no such service there: see exporters.elasticsearch.endpoint and exporters.elasticsearch.templates)" },
        { { { JSON, .body = ES8 }, { 0 }, { .status = 500 } }, 3, 0, "HTTP status 500" },
    };
    static const struct rig_answer mended[] = {{JSON, .body = ES8}, {0}, {0}, {JSON, .body = FINE}};
    struct scene scene;
    (void)state;
    scene_open(&scene, true, "", "");
    rig_log_begin();
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig_script(&scene.rig, cases[i].answers, 3);
        const struct rig_result *result = rig_send(&scene.rig, otlp_capture(), 2);
        if (result->verdict != SEND_RETRY || result->retry_after_ms != cases[i].ms || !strstr(result->reason, cases[i].reason))
            fail_msg("row %zu: %d, %s", i, result->verdict, result->reason);
        assert_int_equal(scene.rig.requests.n, cases[i].requests);
    }
    const char *log = rig_log_end();
    assert_non_null(strstr(log, "exporters.elasticsearch.templates to false"));
    assert_null(strstr(log, "changeme"));
    rig_script(&scene.rig, mended, 4);
    assert_int_equal(rig_send(&scene.rig, otlp_capture(), 2)->verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 4);
    scene_close(&scene);
}

static void test_closed_while_templates_are_put(void **state)
{
    static const struct rig_answer answers[] = {{JSON, .body = ES8}, {.is_held = true}};
    struct scene scene;
    (void)state;
    scene_open(&scene, true, "", "");
    rig_script(&scene.rig, answers, 2);
    (void)rig_begin(&scene.rig, otlp_capture(), 2);
    (void)rig_begin(&scene.rig, otlp_capture(), 2);
    rig_run_until_requests(&scene.rig, 2);
    rig_close_wire(&scene.rig); /* asserts that all are done */
    assert_int_equal(scene.rig.results[0].verdict, SEND_RETRY);
    assert_int_equal(scene.rig.results[1].verdict, SEND_RETRY);
    (void)rig_begin(&scene.rig, otlp_capture(), 2);
    assert_int_equal(scene.rig.results[2].verdict, SEND_RETRY);
    scene_close(&scene);
}

/* --- bulk answers --- */

#define OK_ITEM "{\"index\":{\"_index\":\"jaeger-span-2018-01-24\",\"status\":201}}"
#define SERVICE_BAD "{\"index\":{\"_index\":\"jaeger-service-2018-01-24\",\"status\":400,\"error\":{\"type\":\"t\",\"reason\":\"r\"}}}"
#define SPAN_BAD "{\"index\":{\"_index\":\"jaeger-span-2018-01-24\",\"status\":400,\"error\":{\"type\":\"mapper_parsing_exception\"," \
                 "\"reason\":\"no\"}}}"
#define SPAN_LATER "{\"index\":{\"_index\":\"jaeger-span-2018-01-24\",\"status\":429,\"error\":{\"type\":\"rejected\",\"reason\":\"full\"}}}"
#define ERRORS(items) "{\"errors\":true,\"items\":[" items "]}"

/* The batch has a span, its service document, and both again. */
static void test_bulk_answers(void **state)
{
    static const struct { struct rig_answer answer; enum send_verdict want; uint32_t refused; const char *reason; } cases[] = {
        { { JSON, .body = FINE }, SEND_TAKEN, 0, "" },
        { { JSON, .body = ERRORS(SPAN_BAD "," OK_ITEM "," OK_ITEM "," OK_ITEM) }, SEND_TAKEN, 1, "" },
        { { JSON, .body = ERRORS(SPAN_BAD "," SERVICE_BAD "," SPAN_BAD "," SERVICE_BAD) }, SEND_TAKEN, 2, "" },
        { { JSON, .body = ERRORS(OK_ITEM "," SERVICE_BAD "," OK_ITEM "," OK_ITEM) }, SEND_TAKEN, 0, "" },
        { { JSON, .body = ERRORS(SPAN_LATER "," OK_ITEM "," OK_ITEM "," OK_ITEM) }, SEND_RETRY, 0,
          "1 of 4 documents were put off: index jaeger-span-2018-01-24, status 429, rejected: full" },
        { { JSON, .body = ERRORS(SPAN_BAD "," SPAN_LATER "," SPAN_LATER "," OK_ITEM) }, SEND_RETRY, 0, "2 of 4" },
        { { JSON, .body = ERRORS(OK_ITEM) }, SEND_RETRY, 0, "of 4 items has 1" },
        { { JSON, .body = "{}" }, SEND_RETRY, 0, "malformed" },
        { { JSON, .body = "" }, SEND_RETRY, 0, "malformed" },
        { { .body = "<html>hello</html>" }, SEND_RETRY, 0, "malformed" },
        { { JSON, .body = "{\"errors\":true,\"items\":[" }, SEND_RETRY, 0, "malformed" },
        { { .status = 429, .body = "busy" }, SEND_RETRY, 0, "HTTP status 429: busy" },
        { { .status = 503 }, SEND_RETRY, 0, "503" },
        { { .status = 403 }, SEND_RETRY, 0, "403" },
        { { .status = 400, .body = "illegal" }, SEND_REFUSED, 0, "HTTP status 400: illegal" },
        { { .status = 404 }, SEND_RETRY, 0, "404 (no such service there: see exporters.elasticsearch.endpoint)" },
        { { .status = 302 }, SEND_RETRY, 0, "redirects" },
    };
    (void)state;
    rig_log_begin();
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene; /* a new one each: no service document is remembered */
        scene_open(&scene, false, "", "");
        rig_script(&scene.rig, &cases[i].answer, 1);
        const struct rig_result *result = rig_send(&scene.rig, otlp_capture(), 2);
        if (result->verdict != cases[i].want || result->refused_spans != cases[i].refused || !strstr(result->reason, cases[i].reason))
            fail_msg("row %zu: %d, %u, %s", i, result->verdict, result->refused_spans, result->reason);
        assert_int_equal(scene.rig.requests.n, 1);
        scene_close(&scene);
    }
    const char *log = rig_log_end();
    assert_non_null(strstr(log, "Elasticsearch refused documents"));
    assert_non_null(strstr(log, "mapper_parsing_exception: no"));
}

static void test_sent_again_it_is_the_same(void **state)
{
    static const struct rig_answer answers[] = {{.status = 503}, {JSON, .body = FINE}};
    struct scene scene;
    (void)state;
    scene_open(&scene, false, "", "");
    rig_script(&scene.rig, answers, 2);
    assert_int_equal(rig_send(&scene.rig, otlp_capture(), 2)->verdict, SEND_RETRY);
    assert_int_equal(rig_send(&scene.rig, otlp_capture(), 2)->verdict, SEND_TAKEN);
    assert_true(str_eq(scene.rig.requests.at[0].body, scene.rig.requests.at[1].body)); /* service documents too */
    scene_close(&scene);
}

/* --- several requests --- */

static void put_large(struct buf *body)
{
    buf_init(body, 64 << 20);
    for (uint8_t i = 1; i <= 10; i++)
        rig_put_span(body, &(struct rig_span){.service = "s", .name = "n", .trace = 1, .span = i, .start_ns = START,
                                              .end_ns = START + 1000, .padding = 1200000});
}

static void test_a_large_batch_goes_in_several(void **state)
{
    static const struct rig_answer fine[] = {{JSON, .body = FINE}};
    static const struct rig_answer partly[] = {{JSON, .body = ERRORS(SPAN_BAD "," OK_ITEM "," OK_ITEM "," OK_ITEM "," SPAN_BAD)},
                                               {JSON, .body = ERRORS(OK_ITEM "," OK_ITEM "," OK_ITEM "," SPAN_BAD)},
                                               {JSON, .body = FINE}};
    static const struct rig_answer later[] = {{JSON, .body = FINE}, {JSON, .body = ERRORS(SPAN_LATER "," OK_ITEM "," OK_ITEM "," OK_ITEM)}};
    static const struct rig_answer refused[] = {{JSON, .body = FINE}, {.status = 400}};
    static const struct rig_answer smaller[] = {{JSON, .body = FINE}, {.status = 413}, {JSON, .body = FINE}};
    struct documents documents = {0};
    struct scene scene;
    struct buf body;
    (void)state;
    scene_open(&scene, false, "", "");
    put_large(&body);
    rig_log_begin();
    rig_script(&scene.rig, later, 2);
    const struct rig_result *result = rig_send(&scene.rig, buf_str(&body), 10);
    assert_int_equal(result->verdict, SEND_RETRY);
    assert_int_equal(result->refused_spans, 0);
    assert_int_equal(result->done.spans, 0); /* ids make it harmless to send all of it again */
    assert_int_equal(scene.rig.requests.n, 2);
    rig_script(&scene.rig, refused, 2);
    assert_int_equal(rig_send(&scene.rig, buf_str(&body), 10)->verdict, SEND_REFUSED);
    rig_script(&scene.rig, partly, 3);
    result = rig_send(&scene.rig, buf_str(&body), 10);
    if (result->verdict != SEND_TAKEN)
        fail_msg("%s", result->reason);
    assert_int_equal(result->refused_spans, 3);
    assert_int_equal(scene.rig.requests.n, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(scene.rig.requests.at[i].body.len <= 5000000);
        documents_read(&documents, scene.rig.requests.at[i].body);
    }
    assert_int_equal(documents.list.n, 11);
    rig_script(&scene.rig, fine, 1);
    assert_int_equal(rig_send(&scene.rig, buf_str(&body), 10)->verdict, SEND_TAKEN);
    (void)rig_log_end();
    documents_fini(&documents);
    rig_script(&scene.rig, smaller, 3);
    result = rig_send(&scene.rig, buf_str(&body), 10);
    assert_int_equal(result->verdict, SEND_TAKEN);
    assert_int_equal(result->refused_spans, 0);
    for (size_t i = 0; i < scene.rig.requests.n; i++)
        if (i != 1)
            documents_read(&documents, scene.rig.requests.at[i].body);
    assert_int_equal(documents.list.n, 10);
    documents_fini(&documents);
    buf_fini(&body);
    scene_close(&scene);
}

static void test_batches_without_good_spans(void **state)
{
    struct scene scene;
    struct buf body;
    (void)state;
    scene_open(&scene, false, "", "");
    buf_init(&body, 1 << 20);
    rig_put_span(&body, &(struct rig_span){.service = "s", .name = "n", .trace = 0, .span = 1});
    rig_log_begin();
    const struct rig_result *result = rig_send(&scene.rig, buf_str(&body), 1);
    assert_int_equal(result->verdict, SEND_TAKEN);
    assert_int_equal(result->refused_spans, 1);
    assert_int_equal(rig_send(&scene.rig, STR("rubbish"), 1)->verdict, SEND_REFUSED);
    assert_int_equal(rig_send(&scene.rig, STR(""), 0)->verdict, SEND_TAKEN);
    (void)rig_log_end();
    assert_int_equal(scene.rig.requests.n, 0);
    buf_fini(&body);
    scene_close(&scene);
}

/* --- rows --- */

static void test_rows(void **state)
{
    static const char *const prefixes[] = {"Prod", "-x", "_x", ".x", "+x", "a b", "a/b", "a*", "a,b", "a#b", "a:b", "\xc3\xa4", "a\"b", "a\\b",
                                           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const good[] = {"", "a", "9", "prod-eu_1.x", "x-",
                                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct elasticsearch_export_conf conf = {.peer.endpoint = STR("http://h:9200")};
    const struct conf_section section = {"exporters.elasticsearch", elasticsearch_export_fields, elasticsearch_export_fields_n, &conf};
    struct elasticsearch_export *export = NULL;
    struct conf *loaded = NULL;
    struct mg_why why;
    (void)state;
    for (size_t i = 0; i < MG_COUNT(prefixes); i++) {
        conf.index_prefix = str_of(prefixes[i]);
        assert_int_equal(elasticsearch_export_new(&export, &conf, &why), MG_E_FORMAT);
        assert_true(str_starts(str_of(why.text), STR("exporters.elasticsearch.index_prefix: ")));
        assert_null(export);
    }
    for (size_t i = 0; i < MG_COUNT(good); i++) {
        conf.index_prefix = str_of(good[i]);
        assert_int_equal(elasticsearch_export_new(&export, &conf, &why), MG_OK);
        elasticsearch_export_free(&export);
    }
    conf.peer.endpoint = STR("h:9200");
    assert_int_equal(elasticsearch_export_new(&export, &conf, &why), MG_E_FORMAT);
    assert_true(str_starts(str_of(why.text), STR("exporters.elasticsearch.endpoint: ")));
    if (conf_load(&loaded, &section, 1, &(struct conf_source){0}, &why) != MG_OK)
        fail_msg("%s", why.text);
    assert_int_equal(conf.peer.endpoint.len + conf.index_prefix.len, 0);
    assert_true(conf.templates);
    assert_int_equal(conf.compression, ELASTICSEARCH_EXPORT_GZIP);
    conf_free(&loaded);
    for (size_t i = 0; i < elasticsearch_export_fields_n; i++)
        assert_true(str_ends(str_of(elasticsearch_export_fields[i].help), STR(".")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_templates_come_first_and_once),
        cmocka_unit_test(test_legacy_templates_prefix_and_path),
        cmocka_unit_test(test_no_templates),
        cmocka_unit_test(test_bulk_requests_are_packed),
        cmocka_unit_test(test_templates_that_cannot_be_put),
        cmocka_unit_test(test_closed_while_templates_are_put),
        cmocka_unit_test(test_bulk_answers),
        cmocka_unit_test(test_sent_again_it_is_the_same),
        cmocka_unit_test(test_a_large_batch_goes_in_several),
        cmocka_unit_test(test_batches_without_good_spans),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

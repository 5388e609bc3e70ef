/* otlp_test.c - a foreign client's batch through the exporter to a server, over HTTP and gRPC with every
 * compression: it arrives to the byte. And what the server says of it. */
#include "unit/peer/rig.h"
#include <stdio.h>
#include "base/log.h"
#include "codec/zip.h"
#include "otlp/otlp.h"
#include "unit/otlp/cut_requests.h"
#include "unit/peer/otlp_capture.h"

#define GRPC_PATH "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

struct scene {
    struct rig rig;
    struct otlp_export_conf conf;
    struct otlp_export *export;
    char url[160];
};

static void scene_open(struct scene *scene, int protocol, int compression, const char *path)
{
    struct send_wire wire;
    struct mg_why why;
    *scene = (struct scene){.conf = {.protocol = protocol, .compression = compression,
                                     .send = {.in_flight = 2, .timeout_ns = 20000000000u}}};
    rig_open(&scene->rig, NULL);
    snprintf(scene->url, sizeof scene->url, "%s%s", scene->rig.url, path);
    scene->conf.peer.endpoint = str_of(scene->url);
    if (otlp_export_new(&scene->export, &scene->conf, &why) != MG_OK)
        fail_msg("%s", why.text);
    otlp_export_wire(scene->export, &wire);
    assert_string_equal(wire.name, "otlp");
    rig_wire(&scene->rig, &wire);
}

static void scene_close(struct scene *scene)
{
    rig_close_wire(&scene->rig);
    otlp_export_free(&scene->export);
    rig_close(&scene->rig);
}

static void assert_arrived(const struct rig_request *got, struct str want)
{
    struct zip *zip = zip_new();
    struct buf plain;
    enum zip_kind kind;
    buf_init(&plain, 64 << 20);
    assert_true(zip_kind_parse(got->encoding, &kind));
    assert_int_equal(zip_inflate(zip, kind, got->body, 64 << 20, &plain, NULL), MG_OK);
    assert_true(str_eq(buf_str(&plain), want));
    buf_fini(&plain);
    zip_free(&zip);
}

static void test_arrives_to_the_byte(void **state)
{
    static const char *const encodings[] = {"gzip", "zstd", ""};
    (void)state;
    for (int protocol = OTLP_EXPORT_GRPC; protocol <= OTLP_EXPORT_HTTP; protocol++)
        for (int compression = OTLP_EXPORT_GZIP; compression <= OTLP_EXPORT_PLAIN; compression++) {
            bool is_grpc = protocol == OTLP_EXPORT_GRPC;
            struct scene scene;
            scene_open(&scene, protocol, compression, "");
            for (int i = 0; i < 3; i++) {
                const struct rig_result *result = rig_send(&scene.rig, otlp_capture(), OTLP_CAPTURE_SPANS);
                if (result->verdict != SEND_TAKEN)
                    fail_msg("%s", result->reason);
                const struct rig_request *got = &scene.rig.requests.at[i];
                assert_true(str_eq(got->method, STR("POST")));
                assert_true(str_eq(got->path, is_grpc ? STR(GRPC_PATH) : STR("/v1/traces")));
                assert_true(str_eq(got->type, is_grpc ? STR("application/grpc") : STR("application/x-protobuf")));
                assert_true(str_eq(got->encoding, str_of(encodings[compression])));
                assert_arrived(got, otlp_capture());
            }
            scene_close(&scene);
        }
}

static void test_large_batch(void **state)
{
    struct buf body;
    (void)state;
    buf_init(&body, 64 << 20);
    for (uint8_t i = 1; i <= 20; i++)
        rig_put_span(&body, &(struct rig_span){.service = "s", .name = "n", .trace = 1, .span = i, .start_ns = 1, .end_ns = 2,
                                               .padding = 500000});
    for (int protocol = OTLP_EXPORT_GRPC; protocol <= OTLP_EXPORT_HTTP; protocol++)
        for (int compression = OTLP_EXPORT_GZIP; compression <= OTLP_EXPORT_PLAIN; compression++) {
            struct scene scene;
            scene_open(&scene, protocol, compression, "");
            assert_int_equal(rig_send(&scene.rig, buf_str(&body), 20)->verdict, SEND_TAKEN);
            assert_arrived(&scene.rig.requests.at[0], buf_str(&body));
            if (compression != OTLP_EXPORT_PLAIN)
                assert_true(scene.rig.requests.at[0].body.len < body.len / 100);
            scene_close(&scene);
        }
    buf_fini(&body);
}

static void test_paths(void **state)
{
    static const struct { const char *path, *want; } cases[] = {
        { "", "/v1/traces" }, { "/", "/v1/traces" }, { "/v1/traces", "/v1/traces" }, { "/v1/traces/", "/v1/traces" },
        { "/otlp", "/otlp/v1/traces" }, { "/otlp//", "/otlp/v1/traces" }, { "/a/v1/traces", "/a/v1/traces" },
        { "/v1/traces/x", "/v1/traces/x/v1/traces" }, { "/v1/tracesx", "/v1/tracesx/v1/traces" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        scene_open(&scene, OTLP_EXPORT_HTTP, OTLP_EXPORT_PLAIN, cases[i].path);
        assert_int_equal(rig_send(&scene.rig, otlp_capture(), OTLP_CAPTURE_SPANS)->verdict, SEND_TAKEN);
        if (!str_eq(scene.rig.requests.at[0].path, str_of(cases[i].want)))
            fail_msg("%s: %.*s", cases[i].path, STR_ARG(scene.rig.requests.at[0].path));
        scene_close(&scene);
    }
    struct scene scene;
    scene_open(&scene, OTLP_EXPORT_GRPC, OTLP_EXPORT_PLAIN, "/");
    assert_int_equal(rig_send(&scene.rig, otlp_capture(), OTLP_CAPTURE_SPANS)->verdict, SEND_TAKEN);
    scene_close(&scene);
}

static void test_bad_rows(void **state)
{
    static const struct { const char *endpoint, *want; } cases[] = {
        { "localhost:4317", "exporters.otlp.endpoint: " },
        { "http://h:4317/v1/traces", "exporters.otlp.endpoint: with protocol grpc it has no path: remove '/v1/traces'" },
        { "https://h/x/", "exporters.otlp.endpoint: with protocol grpc it has no path: remove '/x'" },
        { "http://h:0", "exporters.otlp.endpoint: " },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct otlp_export_conf conf = {.peer.endpoint = str_of(cases[i].endpoint), .protocol = OTLP_EXPORT_GRPC};
        struct otlp_export *export = NULL;
        struct mg_why why;
        assert_int_equal(otlp_export_new(&export, &conf, &why), MG_E_FORMAT);
        assert_null(export);
        if (!str_starts(str_of(why.text), str_of(cases[i].want)))
            fail_msg("%s: %s", cases[i].endpoint, why.text);
    }
}

static enum mg_err load(struct otlp_export_conf *conf, struct conf **loaded, const char *const *sets, size_t n, struct mg_why *why)
{
    static struct conf_section section; /* the loaded one looks at it */
    section = (struct conf_section){"exporters.otlp", otlp_export_fields, otlp_export_fields_n, conf};
    return conf_load(loaded, &section, 1, &(struct conf_source){.sets = sets, .n_sets = n}, why);
}

static void test_configuration(void **state)
{
    static const char *const sets[] = {"exporters.otlp.endpoint=http://h:4318", "exporters.otlp.protocol=http",
                                       "exporters.otlp.compression=zstd", "exporters.otlp.timeout=3s",
                                       "exporters.otlp.headers=x-token: s3cret"};
    static const char *const bad[] = {"exporters.otlp.protocol=tcp", "exporters.otlp.compression=snappy", "exporters.otlp.in_flight=0",
                                      "exporters.otlp.insecure=maybe", "exporters.otlp.endpoints=http://h"};
    struct otlp_export_conf conf = {0};
    struct conf *loaded = NULL;
    struct mg_why why;
    struct buf dump;
    (void)state;
    assert_int_equal(load(&conf, &loaded, NULL, 0, &why), MG_OK);
    assert_int_equal(conf.peer.endpoint.len, 0);
    assert_int_equal(conf.protocol, OTLP_EXPORT_GRPC);
    assert_int_equal(conf.compression, OTLP_EXPORT_GZIP);
    assert_int_equal(conf.send.in_flight, 4);
    assert_false(conf.peer.insecure);
    conf_free(&loaded);
    if (load(&conf, &loaded, sets, MG_COUNT(sets), &why) != MG_OK)
        fail_msg("%s", why.text);
    assert_int_equal(conf.protocol, OTLP_EXPORT_HTTP);
    assert_int_equal(conf.compression, OTLP_EXPORT_ZSTD);
    assert_int_equal(conf.send.timeout_ns, 3000000000u);
    assert_int_equal(conf.peer.headers.n, 1);
    buf_init(&dump, 1 << 20);
    conf_dump(loaded, &dump);
    buf_put_char(&dump, '\0');
    assert_null(strstr(dump.ptr, "s3cret"));
    buf_fini(&dump);
    conf_free(&loaded);
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_int_equal(load(&conf, &loaded, &bad[i], 1, &why), MG_E_FORMAT);
    for (size_t i = 0; i < otlp_export_fields_n; i++)
        assert_true(str_ends(str_of(otlp_export_fields[i].help), STR(".")));
}

/* --- what the server says --- */

#define PARTIAL STR_INIT("\x0a\x07\x08\x03\x12\x03" "bad")

static void test_partial_success(void **state)
{
    static const struct { struct rig_answer answer; uint32_t spans, want; } cases[] = {
        { { .type = "application/x-protobuf", .bytes = PARTIAL }, 10, 3 },
        { { .type = "application/x-protobuf", .bytes = PARTIAL }, 2, 2 },
        { { .type = "application/x-protobuf", .bytes = STR_INIT("\x0a\0") }, 10, 0 },
        { { .type = "application/x-protobuf" }, 10, 0 },
        { { .type = "application/json; charset=utf-8", .body = "{\"partialSuccess\":{\"rejectedSpans\":\"4\"}}" }, 10, 4 },
        { { .type = "application/json", .body = "{}" }, 10, 0 },
        { { .type = "text/html", .body = "<html>hello</html>" }, 10, 0 },
        { { .type = "application/json", .body = "<html>hello</html>" }, 10, 0 },
    };
    struct scene scene;
    (void)state;
    for (int protocol = OTLP_EXPORT_GRPC; protocol <= OTLP_EXPORT_HTTP; protocol++) {
        scene_open(&scene, protocol, OTLP_EXPORT_PLAIN, "");
        rig_log_begin();
        for (size_t i = 0; i < (protocol == OTLP_EXPORT_GRPC ? 3 : MG_COUNT(cases)); i++) {
            rig_script(&scene.rig, &cases[i].answer, 1);
            const struct rig_result *result = rig_send(&scene.rig, otlp_capture(), cases[i].spans);
            if (result->verdict != SEND_TAKEN || result->refused_spans != cases[i].want)
                fail_msg("row %zu: %d, %u, %s", i, result->verdict, result->refused_spans, result->reason);
        }
        const char *log = rig_log_end();
        scene_close(&scene);
        if (protocol == OTLP_EXPORT_GRPC) { /* the first; what follows within 10 s is left out, also in the next round */
            const char *line = strstr(log, "refused spans of a batch");
            assert_non_null(line);
            assert_non_null(strstr(line, "spans=3 message=bad"));
            assert_null(strstr(line + 1, "refused spans"));
        } else {
            assert_null(strstr(log, "refused spans"));
            assert_non_null(strstr(log, "no ExportTraceServiceResponse"));
        }
    }
}

/* code 3, "no \"trace_id\" in span 1": a Status by google.rpc.status_pb2 (Python) */
#define STATUS STR_INIT("\x08\x03\x12\x17no \"trace_id\" in span 1")

static void test_refusals(void **state)
{
    static const struct { int protocol; struct rig_answer answer; enum send_verdict want; uint64_t ms; const char *reason; } cases[] = {
        { OTLP_EXPORT_HTTP, { .status = 400, .type = "application/x-protobuf", .bytes = STATUS }, SEND_REFUSED, 0,
          "HTTP status 400: no \"trace_id\" in span 1" },
        { OTLP_EXPORT_HTTP, { .status = 503, .retry_after = "2", .type = "application/x-protobuf", .bytes = STATUS }, SEND_RETRY,
          2000, "HTTP status 503: no" },
        { OTLP_EXPORT_HTTP, { .status = 429 }, SEND_RETRY, 0, "429" },
        { OTLP_EXPORT_HTTP, { .status = 404 }, SEND_RETRY, 0, "404 (no such service there: see exporters.otlp.endpoint and exporters.otlp.protocol)" },
        { OTLP_EXPORT_HTTP, { .status = 405 }, SEND_RETRY, 0, "exporters.otlp.protocol" },
        { OTLP_EXPORT_HTTP, { .status = 415 }, SEND_REFUSED, 0, "415" },
        { OTLP_EXPORT_HTTP, { .status = 307 }, SEND_RETRY, 0, "redirects" },
        { OTLP_EXPORT_HTTP, { .status = 401 }, SEND_RETRY, 0, "401" },
        { OTLP_EXPORT_GRPC, { .grpc_status = 3, .body = "no id" }, SEND_REFUSED, 0, "gRPC status 3: no id" },
        { OTLP_EXPORT_GRPC, { .grpc_status = 12 }, SEND_RETRY, 0, "gRPC status 12 (no such service there: see exporters.otlp.endpoint" },
        { OTLP_EXPORT_GRPC, { .grpc_status = 8, .body = "the quota is exceeded" }, SEND_REFUSED, 0, "gRPC status 8: the quota" },
        { OTLP_EXPORT_GRPC, { .grpc_status = 5 }, SEND_REFUSED, 0, "gRPC status 5" },
        { OTLP_EXPORT_GRPC, { .grpc_status = 14 }, SEND_RETRY, 0, "gRPC status 14" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        scene_open(&scene, cases[i].protocol, OTLP_EXPORT_GZIP, "");
        rig_script(&scene.rig, &cases[i].answer, 1);
        const struct rig_result *result = rig_send(&scene.rig, otlp_capture(), OTLP_CAPTURE_SPANS);
        if (result->verdict != cases[i].want || result->retry_after_ms != cases[i].ms || !strstr(result->reason, cases[i].reason))
            fail_msg("row %zu: %d, %s", i, result->verdict, result->reason);
        assert_int_equal(scene.rig.requests.n, 1);
        scene_close(&scene);
    }
}

/* --- too large --- */

#define PROTO "application/x-protobuf"
/* What a server says in one letter: taken; too large; busy; bad; of what it takes one span, or nine, are refused. */
static struct rig_answer answer_of(int protocol, char letter)
{
    static const struct rig_answer answers[][2] = {
        ['t'] = { { .type = PROTO }, { .type = PROTO } },
        ['L'] = { { .grpc_status = 8, .body = "grpc: received message larger than max (5 vs. 4)" }, { .status = 413, .body = "no more" } },
        ['b'] = { { .grpc_status = 14, .body = "busy" }, { .status = 503 } },
        ['x'] = { { .grpc_status = 3, .body = "bad" }, { .status = 400 } },
        ['1'] = { { .bytes = STR_INIT("\x0a\x02\x08\x01") }, { .type = PROTO, .bytes = STR_INIT("\x0a\x02\x08\x01") } },
        ['9'] = { { .bytes = STR_INIT("\x0a\x02\x08\x09") }, { .type = PROTO, .bytes = STR_INIT("\x0a\x02\x08\x09") } },
    };
    return answers[(unsigned char)letter][protocol == OTLP_EXPORT_HTTP];
}

static struct buf unhex(const char *hex)
{
    struct buf bytes;
    size_t n = strlen(hex) / 2;
    buf_init(&bytes, SIZE_MAX);
    assert_true(hex_decode(str_of(hex), (uint8_t *)buf_extend(&bytes, n), n));
    return bytes;
}

/* "0-2": the foreign client's own request with these spans; "all": the one with all. */
static void assert_part(const struct rig_request *got, struct str part)
{
    const char *hex = cut_request_hex;
    for (size_t i = 0; i < MG_COUNT(cut_parts); i++)
        if (part.len == 3 && cut_parts[i].from + '0' == (size_t)part.ptr[0] && cut_parts[i].to + '0' == (size_t)part.ptr[2])
            hex = cut_parts[i].hex;
    assert_true(hex != cut_request_hex || str_eq(part, STR("all")));
    struct buf want = unhex(hex);
    assert_arrived(got, buf_str(&want));
    buf_fini(&want);
}

/* Sends the request of five spans: a letter an answer, and what arrives for each. */
static const struct rig_result *send_five(struct scene *scene, const char *letters, const char *parts)
{
    static struct rig_answer answers[16];
    struct buf body = unhex(cut_request_hex);
    struct str rest = str_of(parts), part;
    size_t n = strlen(letters);
    for (size_t i = 0; i < n; i++)
        answers[i] = answer_of(scene->conf.protocol, letters[i]);
    rig_script(&scene->rig, answers, n);
    const struct rig_result *result = rig_send(&scene->rig, buf_str(&body), 5);
    assert_int_equal(scene->rig.requests.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_true(str_cut(&rest, ' ', &part));
        assert_part(&scene->rig.requests.at[i], part);
    }
    buf_fini(&body);
    return result;
}

static void test_what_is_too_large_goes_in_halves(void **state)
{
    static const struct { const char *letters, *parts; enum send_verdict want; uint32_t refused, done; const char *reason; } cases[] = {
        { "t", "all", SEND_TAKEN, 0, 5, "" },
        { "Ltt", "all 0-2 2-5", SEND_TAKEN, 0, 5, "" },
        { "LLttLtt", "all 0-2 0-1 1-2 2-5 2-3 3-5", SEND_TAKEN, 0, 5, "" },
        { "LLtLt", "all 0-2 0-1 1-2 2-5", SEND_TAKEN, 1, 5, "larger than max|413: no more" },
        { "LLLLLLLLL", "all 0-2 0-1 1-2 2-5 2-3 3-5 3-4 4-5", SEND_TAKEN, 5, 5, "larger than max|413: no more" },
        { "L1t", "all 0-2 2-5", SEND_TAKEN, 1, 5, "" },
        { "L19", "all 0-2 2-5", SEND_TAKEN, 4, 5, "" }, /* never more than were in it */
        { "Lb", "all 0-2", SEND_RETRY, 0, 0, "gRPC status 14|503" },
        { "Ltb", "all 0-2 2-5", SEND_RETRY, 0, 2, "gRPC status 14|503" },
        { "Ltx", "all 0-2 2-5", SEND_REFUSED, 0, 2, "gRPC status 3|400" },
    };
    (void)state;
    for (int protocol = OTLP_EXPORT_GRPC; protocol <= OTLP_EXPORT_HTTP; protocol++)
        for (int compression = OTLP_EXPORT_GZIP; compression <= OTLP_EXPORT_PLAIN; compression++) {
            struct scene scene;
            scene_open(&scene, protocol, compression, "");
            rig_log_begin();
            for (size_t i = 0; i < MG_COUNT(cases); i++) {
                struct str grpc, http;
                const struct rig_result *result = send_five(&scene, cases[i].letters, cases[i].parts);
                if (result->verdict != cases[i].want || result->refused_spans != cases[i].refused || result->done.spans != cases[i].done)
                    fail_msg("row %zu: %d, %u, %s", i, result->verdict, result->refused_spans, result->reason);
                if (str_split_at(str_of(cases[i].reason), '|', &grpc, &http))
                    assert_true(str_find(str_of(result->reason), protocol == OTLP_EXPORT_GRPC ? grpc : http, NULL));
                else
                    assert_string_equal(result->reason, "");
            }
            (void)rig_log_end();
            scene_close(&scene);
        }
}

/* A later attempt goes on behind it, and what it counts includes what was refused before. */
static void test_what_was_taken_is_not_sent_again(void **state)
{
    static const struct { const char *first, *first_parts, *then, *then_parts; uint32_t refused; } cases[] = {
        { "Ltb", "all 0-2 2-5", "t", "2-5", 0 },
        { "L1b", "all 0-2 2-5", "1", "2-5", 2 },
        { "LLtLb", "all 0-2 0-1 1-2 2-5", "Ltt", "2-5 2-3 3-5", 1 },
        { "LtLtb", "all 0-2 2-5 2-3 3-5", "LtL", "3-5 3-4 4-5", 1 },
        { "Lb", "all 0-2", "t", "all", 0 },
        { "b", "all", "Ltt", "all 0-2 2-5", 0 },
    };
    (void)state;
    for (int protocol = OTLP_EXPORT_GRPC; protocol <= OTLP_EXPORT_HTTP; protocol++)
        for (int compression = OTLP_EXPORT_GZIP; compression <= OTLP_EXPORT_PLAIN; compression++)
            for (size_t i = 0; i < MG_COUNT(cases); i++) {
                struct scene scene;
                scene_open(&scene, protocol, compression, "");
                rig_log_begin();
                const struct rig_result *result = send_five(&scene, cases[i].first, cases[i].first_parts);
                assert_int_equal(result->verdict, SEND_RETRY);
                scene.rig.done = result->done;
                result = send_five(&scene, cases[i].then, cases[i].then_parts);
                (void)rig_log_end();
                if (result->verdict != SEND_TAKEN || result->refused_spans != cases[i].refused)
                    fail_msg("row %zu: %d, %u, %s", i, result->verdict, result->refused_spans, result->reason);
                scene_close(&scene);
            }
}

static void test_what_is_too_large_and_cannot_be_cut(void **state)
{
    static const struct { const char *body; uint32_t spans; } cases[] = {{"rubbish", 3}, {"\x0a\x02\x12\x05", 2}, {"\x0a\x02\x12\x05", 1}};
    (void)state;
    for (int protocol = OTLP_EXPORT_GRPC; protocol <= OTLP_EXPORT_HTTP; protocol++) {
        struct scene scene;
        const struct rig_answer too_large = answer_of(protocol, 'L');
        scene_open(&scene, protocol, OTLP_EXPORT_GZIP, "");
        for (size_t i = 0; i < MG_COUNT(cases); i++) {
            rig_script(&scene.rig, &too_large, 1);
            const struct rig_result *result = rig_send(&scene.rig, str_of(cases[i].body), cases[i].spans);
            assert_int_equal(result->verdict, SEND_TAKEN);
            assert_int_equal(result->refused_spans, cases[i].spans);
            assert_int_equal(scene.rig.requests.n, 1);
        }
        scene_close(&scene);
    }
}

/* The next batch is cut before it is sent, whatever it is packed with. */
static void test_the_size_is_remembered(void **state)
{
    struct buf body;
    (void)state;
    buf_init(&body, SIZE_MAX);
    for (uint8_t i = 1; i <= 4; i++)
        rig_put_span(&body, &(struct rig_span){.service = "s", .name = "n", .trace = 1, .span = i, .padding = 100000});
    struct str all = buf_str(&body), half = str_n(body.ptr, body.len / 2);
    for (int protocol = OTLP_EXPORT_GRPC; protocol <= OTLP_EXPORT_HTTP; protocol++)
        for (int compression = OTLP_EXPORT_GZIP; compression <= OTLP_EXPORT_PLAIN; compression++) {
            const struct rig_answer answers[] = {answer_of(protocol, 'L'), answer_of(protocol, 't')};
            struct scene scene;
            scene_open(&scene, protocol, compression, "");
            rig_script(&scene.rig, answers, 2);
            assert_int_equal(rig_send(&scene.rig, all, 4)->verdict, SEND_TAKEN);
            assert_int_equal(rig_send(&scene.rig, all, 4)->verdict, SEND_TAKEN);
            assert_int_equal(rig_send(&scene.rig, half, 2)->verdict, SEND_TAKEN);
            assert_int_equal(scene.rig.requests.n, 6);
            assert_arrived(&scene.rig.requests.at[0], all);
            assert_arrived(&scene.rig.requests.at[3], half);
            assert_arrived(&scene.rig.requests.at[5], half);
            scene_close(&scene);
        }
    buf_fini(&body);
}

static void test_several_at_a_time(void **state)
{
    (void)state;
    for (int protocol = OTLP_EXPORT_GRPC; protocol <= OTLP_EXPORT_HTTP; protocol++) {
        static const struct rig_answer held[] = {{.is_held = true}};
        struct scene scene;
        scene_open(&scene, protocol, OTLP_EXPORT_GZIP, "");
        rig_script(&scene.rig, held, 1);
        (void)rig_begin(&scene.rig, otlp_capture(), OTLP_CAPTURE_SPANS);
        (void)rig_begin(&scene.rig, STR("\x0a\0"), 1);
        rig_run_until_requests(&scene.rig, 2); /* at the server at once */
        assert_arrived(&scene.rig.requests.at[0], otlp_capture());
        assert_arrived(&scene.rig.requests.at[1], STR("\x0a\0"));
        rig_close_wire(&scene.rig);
        assert_int_equal(scene.rig.results[0].verdict, SEND_RETRY);
        assert_int_equal(scene.rig.results[1].verdict, SEND_RETRY);
        otlp_export_free(&scene.export);
        rig_close(&scene.rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrives_to_the_byte),
        cmocka_unit_test(test_large_batch),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_configuration),
        cmocka_unit_test(test_partial_success),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_what_is_too_large_goes_in_halves),
        cmocka_unit_test(test_what_was_taken_is_not_sent_again),
        cmocka_unit_test(test_what_is_too_large_and_cannot_be_cut),
        cmocka_unit_test(test_the_size_is_remembered),
        cmocka_unit_test(test_several_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

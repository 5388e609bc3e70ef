/* Every method of the gRPC door, what each can answer and how it can fail. */
#include "grpc_rig.h"
#include "codec/zip.h"

/* --- methods
 * ------------------------------------------------------------------------------------------ */

static const struct {
    const char *path, *request;
    size_t n;
    const char *first; /* message; NULL: none */
} fine[] = {
    {V2 "GetTrace", V2_ID, 1, CHUNK},
    {V2 "GetTrace", V2_ID "2001", 1, CHUNK},
    {V2 "ArchiveTrace", V2_ID, 1, ""},
    {V2 "FindTraces", "0a00", 1, CHUNK},
    {V2 "FindTraces", WINDOW, 1, CHUNK},
    {V2 "GetServices", "", 1, "0a01610a026222"},
    {V2 "GetOperations", "0a0173", 1,
     "0a01610a016212030a0161120d0a01611208696e7465726e616c120b0a01611206736572766572120b0a016212"
     "06636c69656e74"},
    {V2 "GetOperations", "0a01731206736572766572", 1, "0a0161120b0a01611206736572766572"},
    {V2 "GetOperations", "0a01731206534552564552", 1, ""},
    {V2 "GetDependencies", "0a02080112020802", 1, "0a090a016112016218ac02"},
    {V2 "GetDependencies", "0a02080212020801", 1, ""}, /* nothing is in between */
    {V3 "GetTrace", V3_ID, 1, DATA},
    {V3 "FindTraces", WINDOW, 1, DATA},
    {V3 "FindTraceSummaries", WINDOW, 1, SUMMARY},
    {V3 "GetServices", "", 1, "0a01610a026222"},
    {V3 "GetOperations", "0a0173", 1,
     "0a0d0a01611208696e7465726e616c0a0b0a016112067365727665720a0b0a01621206636c69656e74"},
    {V3 "GetDependencies", "0a02080112020802", 1, "0a090a016112016218ac02"},
};

static void fill_fake(void)
{
    static const struct catalog_operation list[] = {{STR_INIT("a"), 0},
                                                    {STR_INIT("a"), SPAN_INTERNAL},
                                                    {STR_INIT("a"), SPAN_SERVER},
                                                    {STR_INIT("b"), SPAN_CLIENT}};

    fake.services[0] = STR("a");
    fake.services[1] = STR("b\"");
    fake.n_services = 2;
    memcpy(fake.operations, list, sizeof list);
    fake.n_operations = MG_COUNT(list);
    fake.edges[0] = (struct query_edge){STR("a"), STR("b"), 300, 1};
    fake.n_edges = 1;
    fake.n_traces = 1;
}

static void every_method(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig);
    fill_fake();
    for (size_t i = 0; i < MG_COUNT(fine); i++) {
        struct str first = STR("none"), want = bytes_of(fine[i].first);
        const struct seen *seen = call_method(&rig, fine[i].path, bytes_of(fine[i].request));
        expect_status(seen, 0, "");
        assert_string_equal(seen->type, "application/grpc");
        if (messages_in(seen, &first) != fine[i].n || !str_eq(first, want)) {
            char hex[1024] = "";
            hex_encode(first.ptr, MG_MIN(first.len, sizeof hex / 2 - 1), hex);
            fail_msg("%s %s: %s", fine[i].path, fine[i].request, hex);
        }
    }
    assert_true(str_eq(fake.asked_service, STR("s")));
    rig_close(&rig);
}

/* What a request asks for reaches the query. */
static void what_is_asked(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig);
    fake.n_traces = 1;
    expect_status(call_method(&rig, V2 "FindTraces", bytes_of("0a0a0a017312037820794007")), 0, "");
    assert_true(str_eq(fake.asked_service, STR("s")));
    assert_true(str_eq(fake.asked_operation, STR("x y")));
    assert_int_equal(fake.asked_limit, 7);
    expect_status(call_method(&rig, V3 "FindTraces", bytes_of(WINDOW)), 0, "");
    assert_null(fake.asked_service.ptr);
    assert_int_equal(fake.asked_limit, 20);
    expect_status(call_method(&rig, V2 "GetDependencies", bytes_of("0a02080112041002080a")), 0, "");
    assert_true(fake.asked_from_ns == UINT64_C(1000000000));
    assert_true(fake.asked_to_ns == UINT64_C(10000000002));
    rig_close(&rig);
}

static void nothing_is_found(void **state)
{
    static const char *const streams[][2] = {
        {V2 "FindTraces", "0a00"}, {V3 "FindTraces", WINDOW}, {V3 "FindTraceSummaries", WINDOW}};
    struct rig rig;
    struct str first;

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(streams); i++) {
        const struct seen *seen = call_method(&rig, streams[i][0], bytes_of(streams[i][1]));
        expect_status(seen, 0, "");
        assert_int_equal(messages_in(seen, &first), 0);
    }
    rig_close(&rig);
}

/* --- failures
 * ----------------------------------------------------------------------------------------- */

static const struct {
    const char *path, *request;
    enum mg_err err; /* of the query */
    int status;
    const char *message; /* NULL: any */
} failed[] = {
    {V2 "GetTrace", "", MG_OK, INVALID, "uninitialized TraceID is not allowed"},
    {V2 "GetTrace", "0a", MG_OK, INVALID, NULL},
    {V2 "GetTrace", OTHER, MG_OK, ABSENT, "trace not found"},
    {V2 "GetTrace", V2_ID, MG_E_TIMEOUT, DEADLINE, "the query failed"},
    {V2 "GetTrace", V2_ID, MG_E_TOO_BIG, EXHAUSTED, "the query failed"},
    {V2 "GetTrace", V2_ID, MG_E_IO, INTERNAL, "the query failed"},
    {V2 "ArchiveTrace", "", MG_OK, INVALID, "uninitialized TraceID is not allowed"},
    {V2 "ArchiveTrace", OTHER, MG_OK, ABSENT, "trace not found"},
    {V2 "ArchiveTrace", V2_ID, MG_E_IO, INTERNAL, "the query failed"},
    {V2 "FindTraces", "", MG_OK, INVALID, "missing query"},
    {V2 "FindTraces", "0801", MG_OK, INVALID, NULL},
    {V2 "FindTraces", "0a0340e907", MG_OK, INVALID, NULL}, /* one above traces_max */
    {V2 "FindTraces", "0a00", MG_E_TIMEOUT, DEADLINE, "the query failed"},
    {V2 "GetServices", "0a", MG_OK, INVALID, NULL},
    {V2 "GetServices", "", MG_E_IO, INTERNAL, "the query failed"},
    {V2 "GetOperations", "0a05", MG_OK, INVALID, NULL},
    {V2 "GetOperations", "0a0173", MG_E_TIMEOUT, DEADLINE, "the query failed"},
    {V2 "GetDependencies", "", MG_OK, INVALID, "StartTime and EndTime must be initialized."},
    {V2 "GetDependencies", "0a02080112020802", MG_E_IO, INTERNAL, "the query failed"},
    {V3 "GetTrace", "0a0378797a", MG_OK, INVALID, NULL},
    {V3 "GetTrace", "0a0130", MG_OK, ABSENT, "trace not found"},
    {V3 "GetTrace", "0a0131", MG_OK, ABSENT, "trace not found"},
    {V3 "GetTrace", V3_ID, MG_E_TOO_BIG, EXHAUSTED, "the query failed"},
    {V3 "FindTraces", "", MG_OK, INVALID, "missing query"},
    {V3 "FindTraces", "0a00", MG_OK, INVALID, "start time min and max are required parameters"},
    {V3 "FindTraces", WINDOW, MG_E_TIMEOUT, DEADLINE, "the query failed"},
    {V3 "FindTraceSummaries", "", MG_OK, INVALID, "missing query"},
    {V3 "FindTraceSummaries", "0a00", MG_OK, INVALID,
     "start time min and max are required parameters"},
    {V3 "FindTraceSummaries", WINDOW, MG_E_IO, INTERNAL, "the query failed"},
    {V3 "GetServices", "", MG_E_TIMEOUT, DEADLINE, "the query failed"},
    {V3 "GetOperations", "", MG_OK, INVALID, "service is required"},
    {V3 "GetOperations", "0a0173", MG_E_IO, INTERNAL, "the query failed"},
    {V3 "GetDependencies", "", MG_OK, INVALID, "start_time is required"},
    {V3 "GetDependencies", "0a00", MG_OK, INVALID, "end_time is required"},
    {V3 "GetDependencies", "0a001200", MG_OK, INVALID, "end_time must be after start_time"},
    {V3 "GetDependencies", "0a02080112020802", MG_E_IO, INTERNAL, "the query failed"},
    {V2 "Nothing", "", MG_OK, UNIMPLEMENTED, NULL},
    {V2 "GetTrace/", V2_ID, MG_OK, UNIMPLEMENTED, NULL},
    {V2 "gettrace", V2_ID, MG_OK, UNIMPLEMENTED, NULL},
    {V2 "FindTraceSummaries", WINDOW, MG_OK, UNIMPLEMENTED, NULL},
    {V3 "ArchiveTrace", V3_ID, MG_OK, UNIMPLEMENTED, NULL},
    {"/grpc.health.v1.Health/Watch", "", MG_OK, UNIMPLEMENTED, NULL},
};

static void every_failure(void **state)
{
    struct rig rig;
    struct str first;

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(failed); i++) {
        fake.err = failed[i].err;
        const struct seen *seen = call_method(&rig, failed[i].path, bytes_of(failed[i].request));
        expect_status(seen, failed[i].status, failed[i].message);
        assert_true(seen->grpc_message[0] != '\0');
        assert_int_equal(messages_in(seen, &first), 0);
    }
    rig_close(&rig);
}

static void a_full_queue(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig);
    fake.is_full = true;
    const struct seen *seen = call_method(&rig, V2 "GetServices", STR(""));
    expect_status(seen, UNAVAILABLE, "too many queries are waiting, try again later");
    assert_true(seen->retry_info[0] != '\0');
    rig_close(&rig);
}

/* What was sent stays sent; the status tells that there would have been more. */
static void a_failure_behind_messages(void **state)
{
    static const char *const streams[][2] = {{V2 "FindTraces", "0a00"}, {V3 "FindTraces", WINDOW}};
    struct rig rig;
    struct str first;

    (void)state;
    rig_open(&rig);
    fake.n_traces = 3;
    fake.err = MG_E_TIMEOUT;
    for (size_t i = 0; i < MG_COUNT(streams); i++) {
        const struct seen *seen = call_method(&rig, streams[i][0], bytes_of(streams[i][1]));
        expect_status(seen, DEADLINE, "the query failed");
        assert_true(seen->has_trailers);
        assert_int_equal(messages_in(seen, &first), 3);
    }
    rig_close(&rig);
}

static void encodings(void **state)
{
    static char large[100 * 1024];
    MG_AUTO(zip_free) struct zip *zip = zip_new();
    const struct ask gzip = {.encoding = "gzip"};
    struct buf packed;
    struct rig rig;

    (void)state;
    rig_open(&rig);
    buf_init(&packed, 1 << 20);
    assert_int_equal(zip_deflate(zip, ZIP_GZIP, bytes_of(V2_ID), &packed), MG_OK);
    expect_status(call_with(&rig, gzip, V2 "GetTrace", framed(&rig, true, buf_str(&packed))), 0,
                  "");
    expect_status(call_with(&rig, gzip, V2 "GetTrace", framed(&rig, false, bytes_of(V2_ID))), 0,
                  "");
    expect_status(call_with(&rig, gzip, V2 "GetTrace", framed(&rig, true, bytes_of(V2_ID))),
                  INVALID, NULL);
    expect_status(call_with(&rig, (struct ask){.encoding = "snappy"}, V2 "GetTrace",
                            framed(&rig, true, bytes_of(V2_ID))),
                  UNIMPLEMENTED, NULL);
    buf_clear(&packed);
    assert_int_equal(zip_deflate(zip, ZIP_GZIP, str_n(large, sizeof large), &packed), MG_OK);
    expect_status(call_with(&rig, gzip, V2 "GetTrace", framed(&rig, true, buf_str(&packed))),
                  EXHAUSTED, NULL);
    expect_status(call_method(&rig, V2 "GetTrace", str_n(large, sizeof large)), EXHAUSTED, NULL);
    buf_fini(&packed);
    rig_close(&rig);
}

static void health(void **state)
{
    static const struct {
        const char *request;
        int status;
    } rows[] = {
        {"", 0},
        {"0a1a6a61656765722e6170695f76322e517565727953657276696365", 0},
        {"0a1a6a61656765722e6170695f76332e517565727953657276696365", 0},
        {"0a066e6f626f6479", ABSENT},
        {"0a05", INVALID},
    };
    struct rig rig;
    struct str first;

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const struct seen *seen =
            call_method(&rig, "/grpc.health.v1.Health/Check", bytes_of(rows[i].request));
        expect_status(seen, rows[i].status, NULL);
        assert_int_equal(messages_in(seen, &first), rows[i].status == 0);
    }
    assert_int_equal(messages_in(call_method(&rig, "/grpc.health.v1.Health/List", STR("")), &first),
                     1);
    assert_int_equal(first.len, (2 + 6) + 2 * (2 + 2 + 26 + 4));
    rig_close(&rig);
}

/* Whoever may not ask for traces may not ask what there is to ask for either; health is open. */
static void scopes(void **state)
{
    const struct http_route *routes;
    size_t n;

    (void)state;
    routes = jaeger_grpc_routes(&n);
    assert_int_equal(n, 6 + 6 + 2 + 2);
    for (size_t i = 0; i < n; i++) {
        bool is_health = str_starts(str_of(routes[i].path), STR("/grpc.health."));
        bool is_query = str_starts(str_of(routes[i].path), STR("/jaeger."));
        assert_true(routes[i].is_grpc);
        assert_int_equal(routes[i].scope, is_health  ? HTTP_SCOPE_OPEN
                                          : is_query ? HTTP_SCOPE_QUERY
                                                     : HTTP_SCOPE_DOOR);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method),     cmocka_unit_test(what_is_asked),
        cmocka_unit_test(nothing_is_found), cmocka_unit_test(every_failure),
        cmocka_unit_test(a_full_queue),     cmocka_unit_test(a_failure_behind_messages),
        cmocka_unit_test(encodings),        cmocka_unit_test(health),
        cmocka_unit_test(scopes),
    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}

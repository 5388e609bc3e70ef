/* Requests of the gRPC query services. The first ones of each kind were written by Python's
 * protobuf 7.36 from the descriptors that the door serves. */
#include "spans.h"
#include "api/jaeger/grpc_params.h"

#define NOW        UINT64_C(1700000000000000000)
#define TRACES_MAX 500
#define S          UINT64_C(1000000000)

static const struct grpc_limits limits = {.now_ns = NOW, .traces_max = TRACES_MAX};

static struct str bytes_of(const char *hex)
{
    uint8_t *bytes = arena_alloc(&spans_arena, strlen(hex) / 2 + 1);

    assert_true(hex_decode(str_of(hex), bytes, strlen(hex) / 2));
    return str_n(bytes, strlen(hex) / 2);
}

static void read_fine(grpc_read_fn *read, const char *hex, struct grpc_asked *out)
{
    struct mg_why why = {""};

    if (read(bytes_of(hex), &limits, out, &why) != MG_OK)
        fail_msg("%s: %s", hex, why.text);
}

#define PYTHON_SEARCH                                                                              \
    "0a580a0473686f701206474554202f781a0d0a056572726f721204747275651a170a10687474702e737461747573" \
    "5f636f6465120335303022080880e2cfaa0610052a060890fecfaa06320410e0c65b3a040802100140074801"

static void a_search_of_a_foreign_client(void **state)
{
    grpc_read_fn *const reads[] = {grpc_read_v2_search, grpc_read_v3_search};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(reads); i++) {
        struct grpc_asked asked;
        read_fine(reads[i], PYTHON_SEARCH, &asked);
        const struct span_filter *filter = &asked.search.search.filter;
        assert_true(str_eq(filter->service, STR("shop")));
        assert_true(str_eq(filter->operation, STR("GET /x")));
        assert_int_equal(filter->n_tags, 2);
        assert_true(str_eq(filter->tags[0].key, STR("error")));
        assert_true(str_eq(filter->tags[0].value, STR("true")));
        assert_true(str_eq(filter->tags[1].key, STR("http.status_code")));
        assert_true(str_eq(filter->tags[1].value, STR("500")));
        assert_int_equal(filter->start_min_ns, 1700000000 * S + 5);
        assert_int_equal(filter->start_max_ns, 1700003600 * S);
        assert_int_equal(filter->duration_min_ns, 1500000);
        assert_int_equal(filter->duration_max_ns, 2 * S + 1);
        assert_int_equal(asked.search.search.limit, 7);
        assert_true(asked.search.raw);
        assert_int_equal(asked.search.n_trace_ids, 0);
        jaeger_search_fini(&asked.search);
    }
}

/* What is not given, and numbers at their ends. All times of v2 in whole seconds. */
static const struct {
    const char *hex;
    bool is_v3;
    uint64_t start_min_ns, start_max_ns, duration_min_ns, duration_max_ns;
    uint32_t limit;
} searches[] = {
    {"0a00", false, NOW - 172800 * S, NOW, 0, UINT64_MAX, 20},
    /* service and operation that are empty are any; unknown fields are nothing */
    {"0a0a0a001200f201035a5a5a", false, NOW - 172800 * S, NOW, 0, UINT64_MAX, 20},
    /* start_time_max 100 s: the default start is before that */
    {"0a042a020864", false, 0, 100 * S, 0, UINT64_MAX, 20},
    /* start_time_min 100 s alone */
    {"0a0422020864", false, 100 * S, NOW, 0, UINT64_MAX, 20},
    /* Python: start -5 s, duration_max -1.000000005 s: nothing is that short */
    {"0a25220b08fbffffffffffffffff013a1608ffffffffffffffffff0110fbffffffffffffffff01", false, 0,
     NOW, 1, 0, 20},
    /* seconds beyond what nanoseconds hold */
    {"0a0e220c08ffffffffffffffff7f1001", false, UINT64_MAX, NOW, 0, UINT64_MAX, 20},
    {"0a0e320a08ffffffffffffffff7f4002", false, NOW - 172800 * S, NOW, INT64_MAX, UINT64_MAX, 2},
    /* search_depth 500 is allowed; a query given twice is merged, and the last number counts */
    {"0a0340f403", false, NOW - 172800 * S, NOW, 0, UINT64_MAX, 500},
    {"0a0240020a024003", false, NOW - 172800 * S, NOW, 0, UINT64_MAX, 3},
    /* a time in two parts is merged too: 100 s, then 7 ns */
    {"0a04220208640a0422021007", false, 100 * S + 7, NOW, 0, UINT64_MAX, 20},
    /* v3 with both times, which may be in any second */
    {"0a08220208642a020865", true, 100 * S, 101 * S, 0, UINT64_MAX, 20},
    {"0a0622002a020801", true, 0, S, 0, UINT64_MAX, 20},
};

static void searches_with_little_in_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(searches); i++) {
        struct grpc_asked asked;
        grpc_read_fn *read = searches[i].is_v3 ? grpc_read_v3_search : grpc_read_v2_search;
        read_fine(read, searches[i].hex, &asked);
        const struct span_filter *filter = &asked.search.search.filter;
        if (filter->start_min_ns != searches[i].start_min_ns ||
            filter->start_max_ns != searches[i].start_max_ns ||
            filter->duration_min_ns != searches[i].duration_min_ns ||
            filter->duration_max_ns != searches[i].duration_max_ns ||
            asked.search.search.limit != searches[i].limit)
            fail_msg("%s: %llu %llu %llu %llu %u", searches[i].hex,
                     (unsigned long long)filter->start_min_ns,
                     (unsigned long long)filter->start_max_ns,
                     (unsigned long long)filter->duration_min_ns,
                     (unsigned long long)filter->duration_max_ns, asked.search.search.limit);
        assert_null(filter->service.ptr);
        assert_null(filter->operation.ptr);
        assert_false(asked.search.raw);
        jaeger_search_fini(&asked.search);
    }
}

/* Of two tags with one key the last counts; a part that is missing is empty; a text that is not
 * UTF-8 is compared as it is stored. */
static void tags_are_a_map(void **state)
{
    struct grpc_asked asked;

    (void)state;
    read_fine(grpc_read_v2_search,
              "0a1a1a060a016b1201311a060a016b1201321a00"
              "1a060a01ff1201fe0a00",
              &asked);
    const struct span_filter *filter = &asked.search.search.filter;
    assert_int_equal(filter->n_tags, 3);
    assert_true(str_eq(filter->tags[0].key, STR("k")));
    assert_true(str_eq(filter->tags[0].value, STR("2")));
    assert_int_equal(filter->tags[0].op, TAG_EQUALS);
    assert_int_equal(filter->tags[1].key.len + filter->tags[1].value.len, 0);
    assert_true(str_eq(filter->tags[2].key, STR("\xef\xbf\xbd")));
    assert_true(str_eq(filter->tags[2].value, STR("\xef\xbf\xbd")));
    jaeger_search_fini(&asked.search);
}

#define ID "0102030405060708090a0b0c0d0e0f10"

static void one_trace(void **state)
{
    static const struct {
        bool is_v3, raw;
        const char *hex, *id;
    } rows[] = {
        {false, true, "0a10" ID "12060880e2cfaa061a0c0890fecfaa0610ff93ebdc032001", ID},
        {true, true, "0a2030313032303330343035303630373038303930613062306330643065306631302001",
         ID},
        {false, false, "0a080102030405060708", "00000000000000000102030405060708"},
        {false, false, "0a10000000000000000000000000000000012000",
         "00000000000000000000000000000001"},
        {false, false, "0a01010a10" ID, ID},
        {true, false, "0a0141", "0000000000000000000000000000000a"},
        {true, false, "0a0130", "00000000000000000000000000000000"}, /* nobody's */
        {true, false, "0a1841514944424155474277674a4367734d4451345045413d3d", ID},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct grpc_asked asked;
        read_fine(rows[i].is_v3 ? grpc_read_v3_trace : grpc_read_v2_trace, rows[i].hex, &asked);
        assert_int_equal(asked.search.n_trace_ids, 1);
        assert_memory_equal(asked.search.trace_ids[0], bytes_of(rows[i].id).ptr, 16);
        assert_int_equal(asked.search.raw, rows[i].raw);
        jaeger_search_fini(&asked.search);
    }
}

static void names_and_windows(void **state)
{
    struct grpc_asked asked;

    (void)state;
    read_fine(grpc_read_v3_operations, "0a0473686f701206736572766572", &asked);
    assert_true(str_eq(asked.service, STR("shop")));
    assert_true(str_eq(asked.kind, STR("server")));
    jaeger_search_fini(&asked.search);
    read_fine(grpc_read_v2_operations, "", &asked);
    assert_int_equal(asked.service.len + asked.kind.len, 0);
    jaeger_search_fini(&asked.search);
    read_fine(grpc_read_nothing, "", &asked);
    read_fine(grpc_read_nothing, "0a0473686f70", &asked);
    read_fine(grpc_read_v2_dependencies, "0a060880e2cfaa0612080890fecfaa061007", &asked);
    assert_int_equal(asked.search.search.filter.start_min_ns, 1700000000 * S);
    assert_int_equal(asked.search.search.filter.start_max_ns, 1700003600 * S + 7);
    read_fine(grpc_read_v3_dependencies, "0a0012021001", &asked);
    assert_int_equal(asked.search.search.filter.start_min_ns, 0);
    assert_int_equal(asked.search.search.filter.start_max_ns, 1);
    read_fine(grpc_read_v2_dependencies, "0a0208051200", &asked); /* nothing in between */
    assert_int_equal(asked.search.search.filter.start_min_ns, 5 * S);
    assert_int_equal(asked.search.search.filter.start_max_ns, 0);
}

#define MALFORMED "malformed request: it is no protobuf message, or a field has another type"

static const struct {
    grpc_read_fn *read;
    const char *hex;
    enum mg_err err;
    const char *text;
} refused[] = {
    {grpc_read_nothing, "0a", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_trace, "", MG_E_FORMAT, "uninitialized TraceID is not allowed"},
    {grpc_read_v2_trace, "0a1000000000000000000000000000000000", MG_E_FORMAT,
     "uninitialized TraceID is not allowed"},
    {grpc_read_v2_trace, "0a080000000000000000", MG_E_FORMAT,
     "uninitialized TraceID is not allowed"},
    {grpc_read_v2_trace, "0a03616263", MG_E_FORMAT,
     "a trace id has 16 bytes, or 8; this one has 3"},
    {grpc_read_v2_trace, "0a11" ID "11", MG_E_FORMAT,
     "a trace id has 16 bytes, or 8; this one has 17"},
    {grpc_read_v2_trace, "0801", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_trace, "0a10" ID "1001", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_trace, "0a10" ID "120108", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_trace, "0a10" ID "12020a00", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_trace, "0a10" ID "1206108094ebdc03", MG_E_FORMAT,
     "start_time: nanos must be 0 to 999999999"},
    {grpc_read_v2_trace, "0a10" ID "1a0b10ffffffffffffffffff01", MG_E_FORMAT,
     "end_time: nanos must be 0 to 999999999"},
    {grpc_read_v3_trace, "", MG_E_FORMAT,
     "malform trace ID: strconv.ParseUint: parsing \"\": invalid syntax"},
    {grpc_read_v3_trace, "0a0378797a", MG_E_FORMAT,
     "malform trace ID: strconv.ParseUint: parsing \"xyz\": invalid syntax"},
    {grpc_read_v3_trace, "0a2230313032303330343035303630373038303930613062306330643065306631303031",
     MG_E_FORMAT,
     "malform trace ID: TraceID cannot be longer than 32 hex characters: "
     "0102030405060708090a0b0c0d0e0f1001"},
    {grpc_read_v2_search, "", MG_E_FORMAT, "missing query"},
    {grpc_read_v3_search, "", MG_E_FORMAT, "missing query"},
    {grpc_read_v3_search, "1200", MG_E_FORMAT, "missing query"},
    {grpc_read_v3_search, "0a00", MG_E_FORMAT, "start time min and max are required parameters"},
    {grpc_read_v3_search, "0a0422020864", MG_E_FORMAT,
     "start time min and max are required parameters"},
    {grpc_read_v3_search, "0a042a020864", MG_E_FORMAT,
     "start time min and max are required parameters"},
    {grpc_read_v3_search, "0a08220208642a020864", MG_E_FORMAT,
     "start_time_min must be before start_time_max"},
    {grpc_read_v3_search, "0a08220208652a020864", MG_E_FORMAT,
     "start_time_min must be before start_time_max"},
    {grpc_read_v3_search, "0a0a220208642a0208655200", MG_E_FORMAT,
     "filter: structured filters are not read here, use attributes"},
    {grpc_read_v2_search, "0a0340f503", MG_E_FORMAT,
     "'search_depth' 501 is above query.traces_max (500)"},
    {grpc_read_v2_search, "0a0b40ffffffffffffffffff01", MG_E_INTERNAL,
     "search depth must be greater than 0 and less than max traces"},
    {grpc_read_v2_search, "0a072205108094ebdc03", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_search, "0a082206108094ebdc03", MG_E_FORMAT,
     "start_time_min: nanos must be 0 to 999999999"},
    {grpc_read_v2_search, "0a082a06108094ebdc03", MG_E_FORMAT,
     "start_time_max: nanos must be 0 to 999999999"},
    {grpc_read_v2_search, "0a083206108094ebdc03", MG_E_FORMAT,
     "duration_min: nanos must be within a second"},
    {grpc_read_v2_search, "0a0f3a0d080110ffffffffffffffffff01", MG_E_FORMAT,
     "duration_max: seconds and nanos must have one sign"},
    {grpc_read_v2_search, "0a0f320d08ffffffffffffffffff011001", MG_E_FORMAT,
     "duration_min: seconds and nanos must have one sign"},
    {grpc_read_v2_search, "0a021a05", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_search, "0a041a020801", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_search, "0a020801", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_search, "0801", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_search, "0a05", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_operations, "0801", MG_E_FORMAT, MALFORMED},
    {grpc_read_v2_operations, "0a", MG_E_FORMAT, MALFORMED},
    {grpc_read_v3_operations, "", MG_E_FORMAT, "service is required"},
    {grpc_read_v3_operations, "1206736572766572", MG_E_FORMAT, "service is required"},
    {grpc_read_v2_dependencies, "", MG_E_FORMAT, "StartTime and EndTime must be initialized."},
    {grpc_read_v2_dependencies, "0a00", MG_E_FORMAT, "StartTime and EndTime must be initialized."},
    {grpc_read_v2_dependencies, "1200", MG_E_FORMAT, "StartTime and EndTime must be initialized."},
    {grpc_read_v2_dependencies, "0a06108094ebdc031200", MG_E_FORMAT,
     "start_time: nanos must be 0 to 999999999"},
    {grpc_read_v2_dependencies, "0801", MG_E_FORMAT, MALFORMED},
    {grpc_read_v3_dependencies, "", MG_E_FORMAT, "start_time is required"},
    {grpc_read_v3_dependencies, "0a00", MG_E_FORMAT, "end_time is required"},
    {grpc_read_v3_dependencies, "0a001200", MG_E_FORMAT, "end_time must be after start_time"},
    {grpc_read_v3_dependencies, "0a02080512020804", MG_E_FORMAT,
     "end_time must be after start_time"},
};

static void what_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(refused); i++) {
        struct grpc_asked asked;
        struct mg_why why = {""};
        enum mg_err err = refused[i].read(bytes_of(refused[i].hex), &limits, &asked, &why);
        if (err != refused[i].err || strcmp(why.text, refused[i].text) != 0)
            fail_msg("%zu %s: %s, %s", i, refused[i].hex, mg_err_name(err), why.text);
    }
}

static void fewer_traces_than_the_default(void **state)
{
    const struct grpc_limits few = {.now_ns = NOW, .traces_max = 3};
    struct grpc_asked asked;
    struct mg_why why;

    (void)state;
    assert_int_equal(grpc_read_v2_search(bytes_of("0a00"), &few, &asked, &why), MG_OK);
    assert_int_equal(asked.search.search.limit, 3);
    jaeger_search_fini(&asked.search);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_of_a_foreign_client),
        cmocka_unit_test(searches_with_little_in_them),
        cmocka_unit_test(tags_are_a_map),
        cmocka_unit_test(one_trace),
        cmocka_unit_test(names_and_windows),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(fewer_traces_than_the_default),
    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}

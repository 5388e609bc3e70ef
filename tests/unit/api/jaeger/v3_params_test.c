#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "api/jaeger/v3_params.h"

#define WINDOW "query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z"
#define NS     UINT64_C(1000000000)

static void expect(const char *query, struct jaeger_search *out)
{
    struct mg_why why = {""};

    if (v3_search_parse(str_of(query), 1000, out, &why) != MG_OK)
        fail_msg("%s: %s", query, why.text);
}

static void assert_str(struct str got, const char *want)
{
    if (!str_eq(got, str_of(want)))
        fail_msg("got %.*s, want %s", STR_ARG(got), want);
}

static void defaults(void **state)
{
    struct jaeger_search search;

    (void)state;
    expect(WINDOW, &search);
    assert_null(search.search.filter.service.ptr);
    assert_null(search.search.filter.operation.ptr);
    assert_int_equal(search.search.filter.start_min_ns, 1767225600 * NS);
    assert_int_equal(search.search.filter.start_max_ns, 1767312000 * NS);
    assert_int_equal(search.search.filter.duration_min_ns, 0);
    assert_true(search.search.filter.duration_max_ns == UINT64_MAX);
    assert_int_equal(search.search.filter.n_tags, 0);
    assert_int_equal(search.search.limit, 100);
    assert_false(search.raw);
    jaeger_search_fini(&search);
}

/* All parameters in both spellings, and what the UI sends. */
static void spellings(void **state)
{
    static const char *const queries[] = {
        "query.serviceName=a+b&query.operationName=GET%20%2F"
        "&query.startTimeMin=2026-01-01T00%3A00%3A00.000Z"
        "&query.startTimeMax=2026-01-02T00%3A00%3A00.000Z&query.searchDepth=20"
        "&query.durationMin=1.5ms&query.durationMax=2s"
        "&query.attributes=%7B%22error%22%3A%22true%22%7D&query.rawTraces=true",
        "query.service_name=a%20b&query.operation_name=GET /"
        "&query.start_time_min=2026-01-01T01:00:00+01:00"
        "&query.start_time_max=2026-01-02T01:00:00%2B01:00&query.search_depth=20"
        "&query.duration_min=1500us&query.duration_max=2000ms"
        "&query.attributes={\"error\":\"true\"}&query.raw_traces=1",
        WINDOW "&query.num_traces=20&query.serviceName=a+b&query.service_name=other"
               "&query.operationName=&query.operation_name=GET+/&query.durationMin=1.5ms"
               "&query.durationMax=2s&query.attributes={\"error\":\"true\"}&query.rawTraces=T",
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(queries); i++) {
        struct jaeger_search search;
        expect(queries[i], &search);
        const struct span_filter *filter = &search.search.filter;
        assert_str(filter->service, "a b");
        assert_str(filter->operation, "GET /");
        assert_int_equal(filter->start_min_ns, 1767225600 * NS);
        assert_int_equal(filter->start_max_ns, 1767312000 * NS);
        assert_int_equal(filter->duration_min_ns, 1500000);
        assert_int_equal(filter->duration_max_ns, 2 * NS);
        assert_int_equal(filter->n_tags, 1);
        assert_str(filter->tags[0].key, "error");
        assert_str(filter->tags[0].value, "true");
        assert_int_equal(search.search.limit, 20);
        assert_true(search.raw);
        jaeger_search_fini(&search);
    }
}

static void depths(void **state)
{
    static const struct {
        const char *depth;
        uint64_t traces_max;
        enum mg_err err;
        uint32_t limit;
    } rows[] = {
        {"1", 1000, MG_OK, 1},
        {"999", 1000, MG_OK, 999},
        {"1000", 1000, MG_OK, 1000},
        {"1001", 1000, MG_E_FORMAT, 0},
        {"", 1000, MG_OK, 100},
        {"", 99, MG_OK, 99},
        {"0", 1000, MG_E_INTERNAL, 0},
        {"-1", 1000, MG_E_INTERNAL, 0},
        {"2147483648", UINT64_MAX, MG_E_FORMAT, 0},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct jaeger_search search;
        struct mg_why why = {""};
        char query[256];
        snprintf(query, sizeof query, WINDOW "&query.searchDepth=%s", rows[i].depth);
        assert_int_equal(v3_search_parse(str_of(query), rows[i].traces_max, &search, &why),
                         rows[i].err);
        if (rows[i].err)
            continue;
        assert_int_equal(search.search.limit, rows[i].limit);
        jaeger_search_fini(&search);
    }
}

static void mistakes(void **state)
{
    static const struct {
        const char *query, *why;
    } rows[] = {
        {"", "query.startTimeMin and query.startTimeMax are required"},
        {"query.startTimeMin=2026-01-01T00:00:00Z",
         "query.startTimeMin and query.startTimeMax are required"},
        {"query.start_time_max=2026-01-01T00:00:00Z&query.startTimeMin=",
         "query.startTimeMin and query.startTimeMax are required"},
        {"query.startTimeMin=2026-01-02T00:00:00Z&query.startTimeMax=2026-01-01T00:00:00Z",
         "query.startTimeMin must be before query.startTimeMax"},
        {"query.startTimeMin=2026-01-02T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z",
         "query.startTimeMin must be before query.startTimeMax"},
        {"query.startTimeMin=x&query.startTimeMax=2026-01-02T00:00:00Z",
         "malformed parameter query.startTimeMin: parsing time \"x\" as "
         "\"2006-01-02T15:04:05.999999999Z07:00\": cannot parse \"x\" as \"2006\""},
        {"query.start_time_min=2026-01-02T00:00:00Z&query.start_time_max=1",
         "malformed parameter query.start_time_max: parsing time \"1\" as "
         "\"2006-01-02T15:04:05.999999999Z07:00\": cannot parse \"1\" as \"2006\""},
        {WINDOW "&query.searchDepth=x",
         "malformed parameter query.searchDepth: strconv.ParseInt: parsing \"x\": invalid syntax"},
        {WINDOW "&query.num_traces=1.5", "malformed parameter query.num_traces: "
                                         "strconv.ParseInt: parsing \"1.5\": invalid syntax"},
        {WINDOW "&query.durationMin=5",
         "malformed parameter query.durationMin: time: missing unit in duration \"5\""},
        {WINDOW "&query.duration_max=s",
         "malformed parameter query.duration_max: time: invalid duration \"s\""},
        {WINDOW "&query.attributes=x", NULL},
        {WINDOW "&query.attributes=[]", "malformed parameter query.attributes: json: cannot "
                                        "unmarshal array into Go value of type map[string]string"},
        {WINDOW "&query.attributes={\"a\":1}",
         "malformed parameter query.attributes: json: cannot unmarshal number into Go value of "
         "type string"},
        {WINDOW "&query.filter=a", "malformed parameter query.filter: structured filters are not "
                                   "read here, use query.attributes"},
        {WINDOW "&query.rawTraces=yes", "malformed parameter query.rawTraces: strconv.ParseBool: "
                                        "parsing \"yes\": invalid syntax"},
        {WINDOW "&query.serviceName=%zz", NULL},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct jaeger_search search;
        struct mg_why why = {""};
        if (v3_search_parse(str_of(rows[i].query), 1000, &search, &why) != MG_E_FORMAT)
            fail_msg("%s was taken", rows[i].query);
        if (rows[i].why)
            assert_string_equal(why.text, rows[i].why);
        assert_true(why.text[0]);
    }
}

static void one_trace(void **state)
{
    static const struct {
        const char *query, *why; /* NULL: fine */
        bool raw;
    } rows[] = {
        {"", NULL, false},
        {"rawTraces=true", NULL, true},
        {"raw_traces=1&startTime=2026-01-01T00:00:00Z&end_time=2026-01-02T00:00:00 01:00", NULL,
         true},
        {"rawTraces=false&raw_traces=true", NULL, false},
        {"raw=true&anything=x", NULL, false},
        {"rawTraces=2",
         "malformed parameter rawTraces: strconv.ParseBool: parsing \"2\": invalid syntax", false},
        {"raw_traces=x",
         "malformed parameter raw_traces: strconv.ParseBool: parsing \"x\": invalid syntax", false},
        {"startTime=5",
         "malformed parameter startTime: parsing time \"5\" as "
         "\"2006-01-02T15:04:05.999999999Z07:00\": cannot parse \"5\" as \"2006\"",
         false},
        {"end_time=2026-01-01T00:00:00Z5",
         "malformed parameter end_time: parsing time "
         "\"2026-01-01T00:00:00Z5\": extra text: \"5\"",
         false},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = {""};
        bool raw = !rows[i].raw;
        enum mg_err err = v3_trace_parse(str_of(rows[i].query), &raw, &why);
        assert_int_equal(err, rows[i].why ? MG_E_FORMAT : MG_OK);
        if (err)
            assert_string_equal(why.text, rows[i].why);
        else
            assert_int_equal(raw, rows[i].raw);
    }
}

static void operations(void **state)
{
    static const struct {
        const char *query, *service, *kind;
    } rows[] = {
        {"", "", ""},
        {"service=a", "a", ""},
        {"service=a%2Fb&spanKind=server", "a/b", "server"},
        {"span_kind=client&service=x+y", "x y", "client"},
        {"spanKind=server&span_kind=client", "", "server"},
    };
    struct arena arena = {0};
    struct str service, kind;
    struct mg_why why;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        assert_int_equal(v3_operations_parse(str_of(rows[i].query), &arena, &service, &kind, &why),
                         MG_OK);
        assert_str(service, rows[i].service);
        assert_str(kind, rows[i].kind);
    }
    assert_int_equal(v3_operations_parse(STR("service=%"), &arena, &service, &kind, &why),
                     MG_E_FORMAT);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults), cmocka_unit_test(spellings), cmocka_unit_test(depths),
        cmocka_unit_test(mistakes), cmocka_unit_test(one_trace), cmocka_unit_test(operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Queries as clients send them, with what the search then asks for, as one line of text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "api/jaeger/params.h"

#define NOW        UINT64_C(1700000000123456789)
#define DAYS2      UINT64_C(172800000000000)
#define TRACES_MAX 1000
#define ID32       "0af7651916cd43dd8448eb211c80319c"

/* " name=value" for all that is not the default. */
static void search_text(const struct jaeger_search *search, struct buf *out)
{
    const struct span_filter *filter = &search->search.filter;
    char id[32];

    if (filter->service.ptr)
        buf_printf(out, " service=%.*s", STR_ARG(filter->service));
    if (filter->operation.ptr)
        buf_printf(out, " operation=%.*s", STR_ARG(filter->operation));
    if (filter->start_min_ns != NOW - DAYS2)
        buf_printf(out, " start=%llu", (unsigned long long)filter->start_min_ns);
    if (filter->start_max_ns != NOW)
        buf_printf(out, " end=%llu", (unsigned long long)filter->start_max_ns);
    if (filter->duration_min_ns)
        buf_printf(out, " min=%llu", (unsigned long long)filter->duration_min_ns);
    if (filter->duration_max_ns != UINT64_MAX)
        buf_printf(out, " max=%llu", (unsigned long long)filter->duration_max_ns);
    for (size_t i = 0; i < filter->n_tags; i++)
        buf_printf(out, " [%.*s]=[%.*s]", STR_ARG(filter->tags[i].key),
                   STR_ARG(filter->tags[i].value));
    if (search->search.limit != 100)
        buf_printf(out, " limit=%u", search->search.limit);
    if (search->raw)
        buf_put_text(out, " raw");
    for (size_t i = 0; i < search->n_trace_ids; i++)
        buf_printf(out, " id=%.*s", (int)jaeger_id_text(search->trace_ids[i], id), id);
}

static const struct {
    const char *query, *want;
} accepted[] = {
    {"", ""},
    {"&&=&", ""},
    {"service=", ""},
    {"service=cart", " service=cart"},
    {"service=a%2Fb+c%20d", " service=a/b c d"},
    {"service=a&service=b", " service=a"},
    {"service=%ff", " service=\xef\xbf\xbd"},
    {"service", ""},
    {"Service=a", ""},
    {"operation=GET%20%2Fcart", " operation=GET /cart"},
    {"operation=all", " operation=all"},
    {"lookback=custom&unknown=1", ""},
    {"start=0", " start=0"},
    {"start=-5", " start=0"},
    {"start=1700000000000000", " start=1700000000000000000"},
    {"start=%2B1", " start=1000"},
    {"start=18446744073709551", " start=18446744073709551000"},
    {"start=18446744073709552", " start=18446744073709551615"},
    {"start=9223372036854775807", " start=18446744073709551615"},
    {"end=1700000000000001", " start=1699827200000001999 end=1700000000000001999"},
    {"end=1800000000000000", " end=1800000000000000999"},
    {"end=1", " start=0 end=1999"},
    {"end=-1", " start=0 end=0"},
    {"end=18446744073709550", " end=18446744073709550999"},
    {"end=18446744073709551", " end=18446744073709551615"},
    {"start=5&end=4", " start=5000 end=4999"},
    {"start=&end=", ""},
    {"limit=1", " limit=1"},
    {"limit=%2B20", " limit=20"},
    {"limit=1000", " limit=1000"},
    {"limit=", ""},
    {"limit=&limit=5", ""},
    {"minDuration=1.2s", " min=1200000000"},
    {"minDuration=5%C2%B5s", " min=5000"},
    {"minDuration=5us&maxDuration=5us", " min=5000 max=5000"},
    {"maxDuration=1h30m", " max=5400000000000"},
    {"minDuration=&maxDuration=", ""},
    {"minDuration=0&maxDuration=0s", ""},
    {"minDuration=1s&maxDuration=0s", " min=1000000000"},
    {"minDuration=-1s", ""},
    {"maxDuration=-1s", " min=1 max=0"},
    {"tag=a:b", " [a]=[b]"},
    {"tag=a:b:c", " [a]=[b:c]"},
    {"tag=:", " []=[]"},
    {"tag=a:&tag=b:2", " [a]=[] [b]=[2]"},
    {"tag=a:1&tag=a:2", " [a]=[2]"},
    {"tags=%7B%7D", ""},
    {"tags=null", ""},
    {"tags={\"error\":\"true\",\"http.status_code\":\"500\"}",
     " [error]=[true] [http.status_code]=[500]"},
    {"tags=%7B%22a%22%3A%22%5Cu00e4%22%7D", " [a]=[\xc3\xa4]"},
    {"tags={\"a\":\"1\",\"a\":\"2\"}", " [a]=[2]"},
    {"tags={\"a\":null}", " [a]=[]"},
    {"tags={\"a\":\"1\"}&tags={\"b\":\"2\"}", " [a]=[1] [b]=[2]"},
    {"tags={\"a\":\"json\"}&tag=a:tag&tag=b:x", " [a]=[json] [b]=[x]"},
    {"tags=%20{%22a%22:%22%ff%22}%20", " [a]=[\xef\xbf\xbd]"},
    {"raw=true", " raw"},
    {"raw=1", " raw"},
    {"raw=F", ""},
    {"raw=", ""},
    {"traceID=1", " id=0000000000000001"},
    {"traceID=" ID32, " id=" ID32},
    {"traceID=0AF7651916CD43DD8448EB211C80319C", " id=" ID32},
    {"traceID=12345678901234567", " id=00000000000000012345678901234567"},
    {"traceID=0", " id=0000000000000000"},
    {"traceID=CvdlGRbNQ92ESOshHIAxnA%3D%3D", " id=" ID32},
    {"traceID=2&traceID=1&traceID=02", " id=0000000000000002 id=0000000000000001"},
    {"traceID=1&limit=0", " limit=0 id=0000000000000001"},
    {"traceID=1&limit=5000&service=x", " service=x limit=5000 id=0000000000000001"},
};

static void accepted_queries(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(accepted); i++) {
        struct jaeger_search search;
        struct mg_why why = {""};
        struct buf text;
        buf_init(&text, 4096);
        if (jaeger_search_parse(str_of(accepted[i].query), NOW, TRACES_MAX, &search, &why) != MG_OK)
            fail_msg("%s: %s", accepted[i].query, why.text);
        search_text(&search, &text);
        if (!str_eq(buf_str(&text), str_of(accepted[i].want)))
            fail_msg("%s:%.*s", accepted[i].query, STR_ARG(buf_str(&text)));
        buf_fini(&text);
        jaeger_search_fini(&search);
    }
}

#define INT_BAD(name, text)                                                                        \
    "unable to parse param '" name "': strconv.ParseInt: parsing \"" text "\": invalid syntax"
#define JSON_BAD      "malformed 'tags' parameter, cannot unmarshal JSON: "
#define TAG_BAD       "malformed 'tag' parameter, expecting key:value, received: "
#define MAX_BELOW_MIN "'maxDuration' should be greater than 'minDuration'"
#define DEPTH         "search depth must be greater than 0 and less than max traces"

static const struct {
    const char *query;
    enum mg_err err;
    const char *message; /* its beginning */
    bool is_all;         /* and its end */
} refused[] = {
    {"start=x", MG_E_FORMAT, INT_BAD("start", "x"), true},
    {"start=1.5", MG_E_FORMAT, INT_BAD("start", "1.5"), true},
    {"start=2023-01-01", MG_E_FORMAT, INT_BAD("start", "2023-01-01"), true},
    {"start=%201", MG_E_FORMAT, INT_BAD("start", " 1"), true},
    {"start=9223372036854775808", MG_E_FORMAT,
     "unable to parse param 'start': strconv.ParseInt: parsing \"9223372036854775808\": value out "
     "of range",
     true},
    {"end=1s", MG_E_FORMAT, INT_BAD("end", "1s"), true},
    {"start=y&end=x", MG_E_FORMAT, INT_BAD("start", "y"), true},
    {"limit=x", MG_E_FORMAT, "strconv.ParseInt: parsing \"x\": invalid syntax", true},
    {"limit=1.0", MG_E_FORMAT, "strconv.ParseInt: parsing \"1.0\": invalid syntax", true},
    {"limit=2147483648", MG_E_FORMAT,
     "strconv.ParseInt: parsing \"2147483648\": value out of range", true},
    {"limit=0", MG_E_INTERNAL, DEPTH, true},
    {"limit=-1", MG_E_INTERNAL, DEPTH, true},
    {"limit=1001", MG_E_FORMAT, "'limit' 1001 is above query.traces_max (1000)", true},
    {"limit=2147483647", MG_E_FORMAT, "'limit' 2147483647 is above", false},
    {"minDuration=10", MG_E_FORMAT,
     "unable to parse param 'minDuration': time: missing unit in duration \"10\"", true},
    {"minDuration=x", MG_E_FORMAT,
     "unable to parse param 'minDuration': time: invalid duration \"x\"", true},
    {"maxDuration=1d", MG_E_FORMAT,
     "unable to parse param 'maxDuration': time: unknown unit \"d\" in duration \"1d\"", true},
    {"minDuration=2s&maxDuration=1s", MG_E_FORMAT, MAX_BELOW_MIN, true},
    {"minDuration=1ns&maxDuration=-1ns", MG_E_FORMAT, MAX_BELOW_MIN, true},
    {"tag=", MG_E_FORMAT, TAG_BAD, true},
    {"tag=a", MG_E_FORMAT, TAG_BAD "a", true},
    {"tag=a:b&tag=novalue", MG_E_FORMAT, TAG_BAD "novalue", true},
    {"tag=a%3Db", MG_E_FORMAT, TAG_BAD "a=b", true},
    {"tags=", MG_E_FORMAT, JSON_BAD, false},
    {"tags=x", MG_E_FORMAT, JSON_BAD, false},
    {"tags={", MG_E_FORMAT, JSON_BAD, false},
    {"tags={\"a\"", MG_E_FORMAT, JSON_BAD, false},
    {"tags={\"a\":", MG_E_FORMAT, JSON_BAD, false},
    {"tags={\"a\":\"b\",}", MG_E_FORMAT, JSON_BAD, false},
    {"tags={\"a\":\"b\"}x", MG_E_FORMAT, JSON_BAD, false},
    {"tags={\"a\":\"b\"}{}", MG_E_FORMAT, JSON_BAD, false},
    {"tags=[]", MG_E_FORMAT,
     JSON_BAD "json: cannot unmarshal array into Go value of type map[string]string", true},
    {"tags=\"a\"", MG_E_FORMAT,
     JSON_BAD "json: cannot unmarshal string into Go value of type map[string]string", true},
    {"tags=1", MG_E_FORMAT,
     JSON_BAD "json: cannot unmarshal number into Go value of type map[string]string", true},
    {"tags={\"a\":1}", MG_E_FORMAT,
     JSON_BAD "json: cannot unmarshal number into Go value of type string", true},
    {"tags={\"a\":true}", MG_E_FORMAT,
     JSON_BAD "json: cannot unmarshal bool into Go value of type string", true},
    {"tags={\"a\":{}}", MG_E_FORMAT,
     JSON_BAD "json: cannot unmarshal object into Go value of type string", true},
    {"tags={\"a\":[\"b\"]}", MG_E_FORMAT,
     JSON_BAD "json: cannot unmarshal array into Go value of type string", true},
    {"tags={}&tags=x", MG_E_FORMAT, JSON_BAD, false},
    {"raw=yes", MG_E_FORMAT,
     "unable to parse param 'raw': strconv.ParseBool: parsing \"yes\": invalid syntax", true},
    {"traceID=", MG_E_FORMAT,
     "cannot parse traceID param: strconv.ParseUint: parsing \"\": invalid syntax", true},
    {"traceID=xyz", MG_E_FORMAT,
     "cannot parse traceID param: strconv.ParseUint: parsing \"xyz\": invalid syntax", true},
    {"traceID=1&traceID=-1", MG_E_FORMAT,
     "cannot parse traceID param: strconv.ParseUint: parsing \"-1\": invalid syntax", true},
    {"traceID=x000000000000000f", MG_E_FORMAT,
     "cannot parse traceID param: strconv.ParseUint: parsing \"x\": invalid syntax", true},
    {"traceID=0000000000000000x", MG_E_FORMAT,
     "cannot parse traceID param: strconv.ParseUint: parsing \"000000000000000x\": invalid syntax",
     true},
    {"traceID=" ID32 "0", MG_E_FORMAT,
     "cannot parse traceID param: TraceID cannot be longer than 32 hex characters: " ID32 "0",
     true},
    {"traceID=CvdlGRbNQ92ESOshHIAxnA", MG_E_FORMAT, "cannot parse traceID param: strconv.ParseUint",
     false},
    {"traceID=CvdlGRbNQ92ESOshHIAx-_%3D%3D", MG_E_FORMAT,
     "cannot parse traceID param: strconv.ParseUint", false},
    {"traceID=CvdlGRbNQ92ESOshHIA%3D", MG_E_FORMAT, "cannot parse traceID param: strconv.ParseUint",
     false},
    {"service=%", MG_E_FORMAT, "malformed query string", false},
    {"service=%4", MG_E_FORMAT, "malformed query string", false},
    {"%zz=1", MG_E_FORMAT, "malformed query string", false},
    {"service=a&x=%gg", MG_E_FORMAT, "malformed query string", false},
};

static void refused_queries(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(refused); i++) {
        struct jaeger_search search = {.n_trace_ids = 77};
        struct mg_why why = {""};
        enum mg_err err =
            jaeger_search_parse(str_of(refused[i].query), NOW, TRACES_MAX, &search, &why);
        if (err != refused[i].err)
            fail_msg("%s: %s", refused[i].query, mg_err_name(err));
        if (!str_starts(str_of(why.text), str_of(refused[i].message)) ||
            (refused[i].is_all && strlen(why.text) != strlen(refused[i].message)))
            fail_msg("%s: %s", refused[i].query, why.text);
        assert_int_equal(search.n_trace_ids, 77);
    }
}

static void ids_up_to_the_limit(void **state)
{
    struct jaeger_search search;
    struct mg_why why;

    (void)state;
    assert_int_equal(
        jaeger_search_parse(STR("traceID=1&traceID=2&traceID=1"), NOW, 2, &search, &why), MG_OK);
    assert_int_equal(search.n_trace_ids, 2);
    jaeger_search_fini(&search);
    assert_int_equal(
        jaeger_search_parse(STR("traceID=1&traceID=2&traceID=3"), NOW, 2, &search, &why),
        MG_E_FORMAT);
    assert_string_equal(why.text, "more 'traceID' parameters than query.traces_max (2)");
}

/* Windows before two days after 1970 do not wrap. */
static void early_clocks(void **state)
{
    struct jaeger_search search;

    (void)state;
    assert_int_equal(jaeger_search_parse(STR(""), 5, 10000, &search, NULL), MG_OK);
    assert_int_equal(search.search.filter.start_min_ns, 0);
    assert_int_equal(search.search.filter.start_max_ns, 5);
    jaeger_search_fini(&search);
}

static void thousands_of_tags(void **state)
{
    struct jaeger_search search;
    struct buf query;

    (void)state;
    buf_init(&query, 1 << 20);
    for (int i = 0; i < 6000; i++)
        buf_printf(&query, "&tag=k%d:%d", i % 3000, i);
    assert_int_equal(jaeger_search_parse(buf_str(&query), NOW, TRACES_MAX, &search, NULL), MG_OK);
    assert_int_equal(search.search.filter.n_tags, 3000);
    assert_true(str_eq(search.search.filter.tags[7].value, STR("3007")));
    jaeger_search_fini(&search);
    buf_fini(&query);
}

static const struct {
    const char *query;
    enum mg_err err;
    bool raw;
    const char *message;
} one_trace[] = {
    {"", MG_OK, false, ""},
    {"raw=true&prettyPrint=true", MG_OK, true, ""},
    {"raw=0", MG_OK, false, ""},
    {"start=1&end=2", MG_OK, false, ""},
    {"limit=x&minDuration=y", MG_OK, false, ""},
    {"raw=maybe", MG_E_FORMAT, false,
     "unable to parse param 'raw': strconv.ParseBool: parsing \"maybe\": invalid syntax"},
    {"start=x", MG_E_FORMAT, false, INT_BAD("start", "x")},
    {"end=x", MG_E_FORMAT, false, INT_BAD("end", "x")},
    {"raw=%", MG_E_FORMAT, false,
     "malformed query string: a percent sign without two hex digits behind it"},
};

static void parameters_of_one_trace(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(one_trace); i++) {
        struct mg_why why = {""};
        bool raw = false;
        assert_int_equal(jaeger_trace_parse(str_of(one_trace[i].query), &raw, &why),
                         one_trace[i].err);
        assert_int_equal(raw, one_trace[i].raw);
        assert_string_equal(why.text, one_trace[i].message);
    }
}

static void pretty_print(void **state)
{
    static const char *const yes[] = {"prettyPrint=true",     "prettyPrint=1",
                                      "a=b&prettyPrint=0",    "prettyPrint=x",
                                      "x=%&prettyPrint=true", "prettyPrint=False"};
    static const char *const no[] = {"",
                                     "prettyPrint",
                                     "prettyPrint=",
                                     "prettyPrint=false",
                                     "prettyprint=true",
                                     "prettyPrint=false&prettyPrint=true",
                                     "x=%"};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(yes); i++)
        assert_true(jaeger_is_pretty(str_of(yes[i])));
    for (size_t i = 0; i < MG_COUNT(no); i++)
        assert_false(jaeger_is_pretty(str_of(no[i])));
}

static void ids_as_text(void **state)
{
    static const char *const rows[][2] = {
        {"1", "0000000000000001"},
        {"ffffffffffffffff", "ffffffffffffffff"},
        {"10000000000000000", "00000000000000010000000000000000"},
        {ID32, ID32},
        {"0", "0000000000000000"},
    };
    uint8_t id[16];
    char text[32];

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        assert_int_equal(jaeger_id_parse(str_of(rows[i][0]), id, NULL), MG_OK);
        assert_true(str_eq(str_n(text, jaeger_id_text(id, text)), str_of(rows[i][1])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_queries),    cmocka_unit_test(refused_queries),
        cmocka_unit_test(ids_up_to_the_limit), cmocka_unit_test(early_clocks),
        cmocka_unit_test(thousands_of_tags),   cmocka_unit_test(parameters_of_one_trace),
        cmocka_unit_test(pretty_print),        cmocka_unit_test(ids_as_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Parameters and their mistakes, to the letter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "api/zipkin/params.h"
#include "base/mem.h"

static struct arena arena;

static int fini(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static const struct zipkin_defaults defaults = {
    .now_ms = 1700000000123, .lookback_ms = 86400000, .limit = 10, .limit_max = 500};

#define NOW_US   1700000000123000
#define BEGIN_US 1699913600123000

/* --- a search --------------------------------------------------------------------------------- */

static const struct {
    const char *query;
    const char *error; /* NULL: what follows is what came out */
    const char *names; /* service|remote|span */
    uint64_t from_us, to_us, min_us, max_us;
    uint32_t limit;
} searches[] = {
    {"", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"&&", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"unknown=1&limits=0&endts=0", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    /* names */
    {"serviceName=shop", NULL, "shop||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"serviceName=SHOP&remoteServiceName=DB&spanName=GET+/A", NULL, "shop|db|get /a", BEGIN_US,
     NOW_US, 0, UINT64_MAX, 10},
    {"serviceName=%D0%96%D0%A3%D0%9A", NULL, "жук||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"serviceName=&remoteServiceName=&spanName=", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"spanName=all", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"spanName=ALL", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"spanName=all+", NULL, "||all ", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"serviceName=all&remoteServiceName=all", NULL, "all|all|", BEGIN_US, NOW_US, 0, UINT64_MAX,
     10},
    {"serviceName=a&serviceName=b", NULL, "a||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"serviceName=&serviceName=b", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"serviceName=a%FFb", NULL,
     "a\xef\xbf\xbd"
     "b||",
     BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"servicename=a", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"%73erviceName=a%26b%3Dc", NULL, "a&b=c||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    /* the window */
    {"endTs=1000", NULL, "||", 0, 1000000, 0, UINT64_MAX, 10},
    {"endTs=1000&lookback=1", NULL, "||", 999000, 1000000, 0, UINT64_MAX, 10},
    {"endTs=1000&lookback=1000", NULL, "||", 0, 1000000, 0, UINT64_MAX, 10},
    {"endTs=1000&lookback=999", NULL, "||", 1000, 1000000, 0, UINT64_MAX, 10},
    {"endTs=1000&lookback=9223372036854775807", NULL, "||", 0, 1000000, 0, UINT64_MAX, 10},
    {"endTs=9223372036854775807&lookback=1", NULL, "||", UINT64_MAX, UINT64_MAX, 0, UINT64_MAX, 10},
    {"endTs=%2B5", NULL, "||", 0, 5000, 0, UINT64_MAX, 10},
    {"endTs=&lookback=", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    /* durations */
    {"minDuration=1", NULL, "||", BEGIN_US, NOW_US, 1, UINT64_MAX, 10},
    {"minDuration=5&maxDuration=5", NULL, "||", BEGIN_US, NOW_US, 5, 5, 10},
    {"maxDuration=9&minDuration=5", NULL, "||", BEGIN_US, NOW_US, 5, 9, 10},
    {"minDuration=&maxDuration=", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"minDuration=9223372036854775807", NULL, "||", BEGIN_US, NOW_US, INT64_MAX, UINT64_MAX, 10},
    /* limit */
    {"limit=1", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 1},
    {"limit=500", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 500},
    {"limit=", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 10},
    {"limit=7&limit=x", NULL, "||", BEGIN_US, NOW_US, 0, UINT64_MAX, 7},
#define ERROR(query, error)                                                                        \
    {                                                                                              \
        query, error, "", 0, 0, 0, 0, 0                                                            \
    }
    ERROR("endTs=0", "endTs <= 0"),
    ERROR("endTs=-1", "endTs <= 0"),
    ERROR("limit=0", "limit <= 0"),
    ERROR("limit=-1", "limit <= 0"),
    ERROR("lookback=0", "lookback <= 0"),
    ERROR("lookback=-5", "lookback <= 0"),
    ERROR("minDuration=0", "minDuration <= 0"),
    ERROR("minDuration=-1", "minDuration <= 0"),
    ERROR("minDuration=0&maxDuration=1", "minDuration <= 0"),
    ERROR("minDuration=-1&maxDuration=-2", "minDuration <= 0"),
    ERROR("minDuration=5&maxDuration=4", "maxDuration < minDuration"),
    ERROR("minDuration=5&maxDuration=0", "maxDuration < minDuration"),
    ERROR("minDuration=5&maxDuration=-1", "maxDuration < minDuration"),
    ERROR("maxDuration=5", "maxDuration is only valid with minDuration"),
    ERROR("maxDuration=0", "maxDuration is only valid with minDuration"),
    ERROR("minDuration=&maxDuration=5", "maxDuration is only valid with minDuration"),
    /* of two mistakes */
    ERROR("limit=0&endTs=0&lookback=0&minDuration=0", "endTs <= 0"),
    ERROR("minDuration=0&lookback=0&limit=0", "limit <= 0"),
    ERROR("maxDuration=1&lookback=0", "lookback <= 0"),
    ERROR("limit=0&endTs=x",
          "endTs must be a whole number from -9223372036854775808 to 9223372036854775807, not 'x'"),
    ERROR("limit=501", "limit 501 is above query.traces_max (500)"),
    ERROR("limit=501&maxDuration=1", "maxDuration is only valid with minDuration"),
/* what is no number */
#define LIMIT(text)                                                                                \
    ERROR("limit=" text,                                                                           \
          "limit must be a whole number from -2147483648 to 2147483647, not '" text "'")
    LIMIT("x"),
    LIMIT("1.5"),
    LIMIT("1e3"),
    LIMIT("0x10"),
    LIMIT("2147483648"),
    LIMIT("-2147483649"),
    LIMIT("-"),
    LIMIT("--1"),
    LIMIT("1_0"),
    ERROR("limit=+1", "limit must be a whole number from -2147483648 to 2147483647, not ' 1'"),
    ERROR("limit=1+", "limit must be a whole number from -2147483648 to 2147483647, not '1 '"),
    ERROR("limit=%2B-1", "limit must be a whole number from -2147483648 to 2147483647, not '+-1'"),
    ERROR("limit=%2B", "limit must be a whole number from -2147483648 to 2147483647, not '+'"),
    ERROR("limit=%D9%A1", "limit must be a whole number from -2147483648 to 2147483647, not '١'"),
#define LONG(name, text)                                                                           \
    ERROR(name "=" text, name " must be a whole number from -9223372036854775808 to "              \
                              "9223372036854775807, not '" text "'")
    LONG("endTs", "now"),
    LONG("endTs", "9223372036854775808"),
    LONG("lookback", "1h"),
    LONG("minDuration", "1ms"),
    LONG("minDuration", "99999999999999999999"),
    LONG("maxDuration", "y"),
    /* escapes */
    ERROR("serviceName=%",
          "malformed query string: a percent sign without two hex digits behind it"),
    ERROR("x=%zz", "malformed query string: a percent sign without two hex digits behind it"),
};

static void searches_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(searches); i++) {
        struct zipkin_search got;
        struct mg_why why = {""};
        char names[128];
        enum mg_err err =
            zipkin_search_parse(str_of(searches[i].query), &defaults, &arena, &got, &why);
        if (err != (searches[i].error ? MG_E_FORMAT : MG_OK) ||
            (err && strcmp(why.text, searches[i].error) != 0))
            fail_msg("%s\n got %s", searches[i].query, why.text);
        if (err)
            continue;
        snprintf(names, sizeof names, "%.*s|%.*s|%.*s", STR_ARG(got.service), STR_ARG(got.remote),
                 STR_ARG(got.name));
        if (strcmp(names, searches[i].names) != 0 || got.start_min_us != searches[i].from_us ||
            got.start_max_us != searches[i].to_us || got.duration_min_us != searches[i].min_us ||
            got.duration_max_us != searches[i].max_us || got.limit != searches[i].limit)
            fail_msg("%s\n got %s %llu..%llu %llu..%llu %u", searches[i].query, names,
                     (unsigned long long)got.start_min_us, (unsigned long long)got.start_max_us,
                     (unsigned long long)got.duration_min_us,
                     (unsigned long long)got.duration_max_us, got.limit);
        assert_int_equal(got.n_terms, 0);
    }
}

static void a_default_above_the_largest_limit(void **state)
{
    struct zipkin_defaults small = defaults;
    struct zipkin_search got;
    struct mg_why why;

    (void)state;
    small.limit_max = 5;
    assert_int_equal(zipkin_search_parse(STR(""), &small, &arena, &got, &why), MG_OK);
    assert_int_equal(got.limit, 5);
    assert_int_equal(zipkin_search_parse(STR("limit=6"), &small, &arena, &got, &why), MG_E_FORMAT);
    assert_string_equal(why.text, "limit 6 is above query.traces_max (5)");
}

/* --- annotationQuery -------------------------------------------------------------------------- */

static const struct {
    const char *query; /* as in the URL */
    const char *want;  /* key=value, or the word, by commas; no text is (empty) */
} terms[] = {
    {"", ""},
    {"+", "(empty)"},
    {"error", "error"},
    {"error+and+http.method=GET", "error,http.method=GET"},
    {"++error+++and+++a=b++", "error,a=b"},
    {"a=b=c", "a=b=c"},
    {"a+=+b+c", "a=b c"},
    {"a=", "a"},
    {"a=+", "a"},
    {"=x", "(empty)=x"},
    {"=", "(empty)"},
    {"+=+", "(empty)"},
    {"a+AND+b", "a AND b"},
    {"a+And+b", "a And b"},
    {"a=1+AND+b", "a=1 AND b"},
    {"and", "and"},
    {"+and+", "(empty)"},
    {"a+and+", "a,(empty)"},
    {"+and+a", "(empty),a"},
    {"a+and+=", "a,(empty)"},
    {"=x+and+=+and+a", "(empty),a"},
    {"a+and", "a and"},
    {"and+b", "and b"},
    {"a+and++and+b", "a,(empty),b"},
    {"a+and+and+b", "a,and b"},
    {"a%09and%09b", "a\tand\tb"},
    {"%0Aa%00", "a"},
    {"Error", "Error"},
    {"a=1+and+a=2", "a=2"},
    {"a=1+and+b+and+a=2", "a=2,b"},
    {"a=1+and+a", "a=1"},
    {"a+and+a=1", "a=1"},
    {"a=1+and+a=", "a"},
    {"a+and+a", "a"},
    {"a=%FF", "a=\xef\xbf\xbd"},
    {"http.url=http://x/?a%3Db%26c", "http.url=http://x/?a=b&c"},
};

static void terms_write(const struct zipkin_search *search, struct buf *out)
{
    for (size_t i = 0; i < search->n_terms; i++) {
        buf_put_text(out, i ? "," : "");
        buf_put_str(out, search->terms[i].key.len ? search->terms[i].key : STR("(empty)"));
        buf_put_text(out, search->terms[i].value.len ? "=" : "");
        buf_put_str(out, search->terms[i].value);
    }
}

static void terms_are_read(void **state)
{
    struct zipkin_search got;
    struct mg_why why;
    char query[256];
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < MG_COUNT(terms); i++) {
        snprintf(query, sizeof query, "annotationQuery=%s", terms[i].query);
        assert_int_equal(zipkin_search_parse(str_of(query), &defaults, &arena, &got, &why), MG_OK);
        buf_clear(&out);
        terms_write(&got, &out);
        if (!str_eq(buf_str(&out), str_of(terms[i].want)))
            fail_msg("%s\n got %.*s\nwant %s", terms[i].query, STR_ARG(buf_str(&out)),
                     terms[i].want);
    }
    buf_fini(&out);
}

/* The hundredth holds the rest. */
static void many_terms(void **state)
{
    struct zipkin_search got;
    struct mg_why why;
    struct buf query;

    (void)state;
    buf_init(&query, 65536);
    for (unsigned n = 99; n <= 102; n++) {
        buf_clear(&query);
        buf_put_text(&query, "annotationQuery=t0");
        for (unsigned i = 1; i < n; i++)
            buf_printf(&query, "+and+t%u", i);
        assert_int_equal(zipkin_search_parse(buf_str(&query), &defaults, &arena, &got, &why),
                         MG_OK);
        assert_int_equal(got.n_terms, n < 100 ? n : 100);
        struct str last = got.terms[got.n_terms - 1].key;
        assert_true(str_eq(last, n == 99    ? STR("t98")
                                 : n == 100 ? STR("t99")
                                 : n == 101 ? STR("t99 and t100")
                                            : STR("t99 and t100 and t101")));
    }
    buf_fini(&query);
}

/* --- dependencies ----------------------------------------------------------------------------- */

static const struct {
    const char *query, *error;
    uint64_t from_ns, to_ns;
} windows[] = {
    {"endTs=90000000", NULL, UINT64_C(3600000000000), UINT64_C(90000000000000)},
    {"endTs=5000&lookback=2000", NULL, UINT64_C(3000000000), UINT64_C(5000000000)},
    {"endTs=5000&lookback=9000", NULL, 0, UINT64_C(5000000000)},
    {"endTs=86400001&lookback=", NULL, 1000000, UINT64_C(86400001000000)},
    {"endTs=9223372036854775807", NULL, UINT64_MAX, UINT64_MAX},
    {"endTs=5000&limit=0&minDuration=x&maxDuration=1&serviceName=a", NULL, 0, UINT64_C(5000000000)},
    {"", "Mandatory parameter/header/attribute is missing: endTs", 0, 0},
    {"lookback=5", "Mandatory parameter/header/attribute is missing: endTs", 0, 0},
    {"endTs=", "Mandatory parameter/header/attribute is missing: endTs", 0, 0},
    {"endTs=0", "endTs <= 0", 0, 0},
    {"endTs=-7&lookback=0", "endTs <= 0", 0, 0},
    {"endTs=1&lookback=0", "lookback <= 0", 0, 0},
    {"endTs=1&lookback=-1", "lookback <= 0", 0, 0},
    {"endTs=x",
     "endTs must be a whole number from -9223372036854775808 to 9223372036854775807, not 'x'", 0,
     0},
    {"endTs=1&lookback=x",
     "lookback must be a whole number from -9223372036854775808 to 9223372036854775807, not 'x'", 0,
     0},
    {"endTs=1&a=%1", "malformed query string: a percent sign without two hex digits behind it", 0,
     0},
};

static void windows_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(windows); i++) {
        struct zipkin_window got = {0, 0};
        struct mg_why why = {""};
        enum mg_err err = zipkin_window_parse(str_of(windows[i].query), &defaults, &got, &why);
        if (err != (windows[i].error ? MG_E_FORMAT : MG_OK) ||
            (err && strcmp(why.text, windows[i].error) != 0) || got.from_ns != windows[i].from_ns ||
            got.to_ns != windows[i].to_ns)
            fail_msg("%s\n got %llu..%llu %s", windows[i].query, (unsigned long long)got.from_ns,
                     (unsigned long long)got.to_ns, why.text);
    }
}

/* --- one name --------------------------------------------------------------------------------- */

static const struct {
    bool is_key;
    const char *query, *error, *want;
} ones[] = {
    {false, "serviceName=Shop", NULL, "shop"},
    {false, "serviceName=", NULL, ""},
    {false, "serviceName", NULL, ""},
    {false, "a=b&serviceName=all", NULL, "all"},
    {false, "", "Mandatory parameter/header/attribute is missing: serviceName", ""},
    {false, "servicename=a", "Mandatory parameter/header/attribute is missing: serviceName", ""},
    {false, "serviceName=%g0",
     "malformed query string: a percent sign without two hex digits behind it", ""},
    {true, "key=Http.Method", NULL, "Http.Method"},
    {true, "key=a&key=b", NULL, "a"},
    {true, "key=+", NULL, " "},
    {true, "", "Mandatory parameter/header/attribute is missing: key", ""},
    {true, "KEY=a", "Mandatory parameter/header/attribute is missing: key", ""},
    {true, "key=", "key was empty", ""},
    {true, "key=&key=b", "key was empty", ""},
    {true, "key=%", "malformed query string: a percent sign without two hex digits behind it", ""},
};

static void single_names_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(ones); i++) {
        struct str got = STR("");
        struct mg_why why = {""};
        enum mg_err err = ones[i].is_key
                              ? zipkin_key_parse(str_of(ones[i].query), &arena, &got, &why)
                              : zipkin_service_parse(str_of(ones[i].query), &arena, &got, &why);
        if (err != (ones[i].error ? MG_E_FORMAT : MG_OK) ||
            (err && strcmp(why.text, ones[i].error) != 0) || !str_eq(got, str_of(ones[i].want)))
            fail_msg("%s\n got '%.*s' %s", ones[i].query, STR_ARG(got), why.text);
    }
}

/* --- trace ids -------------------------------------------------------------------------------- */

static const struct {
    const char *text, *error;
    const char *want; /* as it is written again */
} ids[] = {
    {"1", NULL, "0000000000000001"},
    {"a1", NULL, "00000000000000a1"},
    {"0123456789abcdef", NULL, "0123456789abcdef"},
    {"00000000000000000123456789abcdef", NULL, "0123456789abcdef"},
    {"0123456789abcdeff", NULL, "123456789abcdeff"}, /* shortened after padding */
    {"10123456789abcdef", NULL,
     "000000000000000"
     "10123456789abcdef"},
    {"fedcba98765432100123456789abcdef", NULL, "fedcba98765432100123456789abcdef"},
    {"ffffffffffffffff0000000000000000", NULL, "ffffffffffffffff0000000000000000"},
    {"", "traceId is empty", NULL},
    {"0", "traceId is all zeros", NULL},
    {"0000000000000000", "traceId is all zeros", NULL},
    {"00000000000000000000000000000000", "traceId is all zeros", NULL},
    {"000000000000000000000000000000001", "traceId.length > 32", NULL},
    {"A1", "A1 should be lower-hex encoded with no prefix", NULL},
    {"0x1", "0x1 should be lower-hex encoded with no prefix", NULL},
    {"g", "g should be lower-hex encoded with no prefix", NULL},
    {" 1", " 1 should be lower-hex encoded with no prefix", NULL},
    {"1-2", "1-2 should be lower-hex encoded with no prefix", NULL},
    {"\xff"
     "a",
     "\xef\xbf\xbd"
     "a should be lower-hex encoded with no prefix",
     NULL},
};

static void trace_ids_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(ids); i++) {
        struct mg_why why = {""};
        uint8_t id[16];
        char text[32];
        enum mg_err err = zipkin_trace_id_parse(str_of(ids[i].text), id, &why);
        if (err != (ids[i].error ? MG_E_FORMAT : MG_OK) ||
            (err && strcmp(why.text, ids[i].error) != 0))
            fail_msg("%s: %s", ids[i].text, why.text);
        if (err)
            continue;
        struct str got = str_n(text, zipkin_trace_id_text(id, text));
        if (!str_eq(got, str_of(ids[i].want)))
            fail_msg("%s: got %.*s", ids[i].text, STR_ARG(got));
    }
}

static const struct {
    const char *query, *error, *want;
} many[] = {
    {"traceIds=1,2", NULL, "0000000000000001,0000000000000002"},
    {"traceIds=b,a,10000000000000000", NULL,
     "000000000000000b,000000000000000a,00000000000000010000000000000000"},
    {"traceIds=1%2C2", NULL, "0000000000000001,0000000000000002"},
    {"traceIds=1,2&traceIds=3", NULL, "0000000000000001,0000000000000002"},
    {"", "Mandatory parameter/header/attribute is missing: traceIds", NULL},
    {"traceids=1,2", "Mandatory parameter/header/attribute is missing: traceIds", NULL},
    {"traceIds=", "traceIds parameter is empty", NULL},
    {"traceIds=1", "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace", NULL},
    {"traceIds=1,", "traceId is empty", NULL},
    {"traceIds=,1", "traceId is empty", NULL},
    {"traceIds=,", "traceId is empty", NULL},
    {"traceIds=1,,2", "traceId is empty", NULL},
    {"traceIds=1,1", "redundant traceId: 1", NULL},
    {"traceIds=a1,00000000000000a1", "redundant traceId: 00000000000000a1", NULL},
    {"traceIds=1,2,1,2", "redundant traceId: 1", NULL},
    {"traceIds=1,0", "traceId is all zeros", NULL},
    {"traceIds=1,X", "X should be lower-hex encoded with no prefix", NULL},
    {"traceIds=1,+2", " 2 should be lower-hex encoded with no prefix", NULL},
    {"traceIds=1,000000000000000000000000000000002", "traceId.length > 32", NULL},
    {"traceIds=1,%", "malformed query string: a percent sign without two hex digits behind it",
     NULL},
};

static void lists_of_trace_ids(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < MG_COUNT(many); i++) {
        uint8_t(*got)[16];
        struct mg_why why = {""};
        size_t n = 0;
        enum mg_err err = zipkin_trace_ids_parse(str_of(many[i].query), &arena, &got, &n, &why);
        if (err != (many[i].error ? MG_E_FORMAT : MG_OK) ||
            (err && strcmp(why.text, many[i].error) != 0))
            fail_msg("%s: %s", many[i].query, why.text);
        buf_clear(&out);
        for (size_t k = 0; k < n; k++) {
            char text[32];
            buf_put_text(&out, k ? "," : "");
            buf_put(&out, text, zipkin_trace_id_text(got[k], text));
        }
        if (!err && !str_eq(buf_str(&out), str_of(many[i].want)))
            fail_msg("%s: got %.*s", many[i].query, STR_ARG(buf_str(&out)));
    }
    buf_fini(&out);
}

static void at_most_a_thousand_trace_ids(void **state)
{
    uint8_t(*got)[16];
    struct mg_why why;
    struct buf query;
    size_t n;

    (void)state;
    buf_init(&query, 65536);
    buf_put_text(&query, "traceIds=1");
    for (unsigned i = 2; i <= 1000; i++)
        buf_printf(&query, ",%x", i);
    assert_int_equal(zipkin_trace_ids_parse(buf_str(&query), &arena, &got, &n, &why), MG_OK);
    assert_int_equal(n, 1000);
    buf_put_text(&query, ",fffff");
    assert_int_equal(zipkin_trace_ids_parse(buf_str(&query), &arena, &got, &n, &why), MG_E_FORMAT);
    assert_string_equal(why.text, "traceIds holds 1001 ids, at most 1000 are answered at once");
    buf_fini(&query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(searches_are_read),
        cmocka_unit_test(a_default_above_the_largest_limit),
        cmocka_unit_test(terms_are_read),
        cmocka_unit_test(many_terms),
        cmocka_unit_test(windows_are_read),
        cmocka_unit_test(single_names_are_read),
        cmocka_unit_test(trace_ids_are_read),
        cmocka_unit_test(lists_of_trace_ids),
        cmocka_unit_test(at_most_a_thousand_trace_ids),
    };

    return cmocka_run_group_tests(tests, NULL, fini);
}

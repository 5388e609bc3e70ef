/* Which conditions a trace meets, span by span. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "api/zipkin/match.h"

static struct zipkin_tag server_tags[] = {{STR_INIT(""), STR_INIT("")},
                                          {STR_INIT("error"), STR_INIT("false")},
                                          {STR_INIT("http.method"), STR_INIT("GET")}};
static struct zipkin_tag client_tags[] = {{STR_INIT("sql"), STR_INIT("select 1")}};
static struct zipkin_annotation marks[] = {{0, STR_INIT("")}, {5, STR_INIT("ws")}};

/* A shop that asks a db. The root comes second, and begins later than its child. */
static const struct zipkin_span trace[] = {
    {.parent_id = {1},
     .name = STR_INIT("query"),
     .timestamp_us = 90,
     .duration_us = 7,
     .local.service = STR_INIT("db"),
     .remote.service = STR_INIT("shop"),
     .tags = client_tags,
     .n_tags = 1},
    {.name = STR_INIT("get"),
     .timestamp_us = 100,
     .duration_us = 50,
     .local.service = STR_INIT("shop"),
     .tags = server_tags,
     .n_tags = 3,
     .annotations = marks,
     .n_annotations = 2},
    {.parent_id = {1},
     .name = STR_INIT("ask"),
     .timestamp_us = 110,
     .local.service = STR_INIT("shop"),
     .remote.service = STR_INIT("db")},
    {.name = STR_INIT("second root"), .timestamp_us = 80, .local.service = STR_INIT("")},
};

#define ALL .start_max_us = UINT64_MAX, .duration_max_us = UINT64_MAX
#define TERM(key, value)                                                                           \
    .terms = (struct zipkin_term[]){{STR_INIT(key), STR_INIT(value)}}, .n_terms = 1

static const struct {
    struct zipkin_search search;
    bool want;
} cases[] = {
    {{ALL}, true},
    /* time: the first root's */
    {{.start_min_us = 100, ALL}, true},
    {{.start_min_us = 101, ALL}, false},
    {{.start_max_us = 100}, true},
    {{.start_max_us = 99}, false},
    {{.start_max_us = 90}, false},
    /* service */
    {{.service = STR_INIT("shop"), ALL}, true},
    {{.service = STR_INIT("db"), ALL}, true},
    {{.service = STR_INIT("nobody"), ALL}, false},
    {{.service = STR_INIT("sho"), ALL}, false},
    /* name, remote: of that service */
    {{.name = STR_INIT("query"), ALL}, true},
    {{.service = STR_INIT("db"), .name = STR_INIT("query"), ALL}, true},
    {{.service = STR_INIT("shop"), .name = STR_INIT("query"), ALL}, false},
    {{.name = STR_INIT("quer"), ALL}, false},
    {{.remote = STR_INIT("db"), ALL}, true},
    {{.service = STR_INIT("shop"), .remote = STR_INIT("db"), ALL}, true},
    {{.service = STR_INIT("db"), .remote = STR_INIT("db"), ALL}, false},
    {{.remote = STR_INIT("x"), ALL}, false},
    /* by different spans */
    {{.service = STR_INIT("shop"),
      .remote = STR_INIT("db"),
      .name = STR_INIT("get"),
      TERM("http.method", "GET"),
      ALL},
     true},
    {{.service = STR_INIT("shop"), .name = STR_INIT("ask"), .duration_min_us = 50, ALL}, true},
    {{.service = STR_INIT("shop"), .name = STR_INIT("ask"), TERM("sql", "select 1"), ALL}, false},
    {{.name = STR_INIT("ask"), TERM("sql", "select 1"), ALL}, true},
    /* duration: of one span */
    {{.start_max_us = UINT64_MAX, .duration_min_us = 50, .duration_max_us = 50}, true},
    {{.start_max_us = UINT64_MAX, .duration_min_us = 51, .duration_max_us = 60}, false},
    {{.start_max_us = UINT64_MAX, .duration_min_us = 8, .duration_max_us = 49}, false},
    {{.start_max_us = UINT64_MAX, .duration_min_us = 1, .duration_max_us = 7}, true},
    {{.start_max_us = UINT64_MAX, .duration_min_us = 1, .duration_max_us = 6}, false},
    {{.service = STR_INIT("shop"),
      .start_max_us = UINT64_MAX,
      .duration_min_us = 1,
      .duration_max_us = 7},
     false},
    /* terms */
    {{TERM("http.method", "GET"), ALL}, true},
    {{TERM("http.method", "get"), ALL}, false},
    {{TERM("http.method", ""), ALL}, true},
    {{TERM("Http.method", ""), ALL}, false},
    {{TERM("error", ""), ALL}, true},
    {{TERM("error", "true"), ALL}, false},
    {{TERM("ws", ""), ALL}, true},
    {{TERM("ws", "1"), ALL}, false},
    {{TERM("wr", ""), ALL}, false},
    {{TERM("", ""), ALL}, true},
    {{TERM("", "x"), ALL}, false},
    {{.service = STR_INIT("db"), TERM("", ""), ALL}, false},
    {{.service = STR_INIT("db"), TERM("ws", ""), ALL}, false},
    {{.terms =
          (struct zipkin_term[]){{STR_INIT("sql"), STR_INIT("")}, {STR_INIT("ws"), STR_INIT("")}},
      .n_terms = 2,
      ALL},
     true},
    {{.terms =
          (struct zipkin_term[]){{STR_INIT("sql"), STR_INIT("")}, {STR_INIT("wr"), STR_INIT("")}},
      .n_terms = 2,
      ALL},
     false},
};

static bool matches(const struct zipkin_search *search, const struct zipkin_span *spans, size_t n,
                    uint64_t *time_us)
{
    struct zipkin_matcher matcher;

    zipkin_match_begin(&matcher, search);
    for (size_t i = 0; i < n; i++)
        zipkin_match_span(&matcher, &spans[i]);
    return zipkin_match_end(&matcher, time_us);
}

static void conditions(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t time_us = 0;
        if (matches(&cases[i].search, trace, MG_COUNT(trace), &time_us) != cases[i].want)
            fail_msg("case %zu", i);
        assert_int_equal(time_us, cases[i].want ? 100 : 0);
    }
}

static const struct zipkin_span orphans[] = {
    {.parent_id = {9}, .timestamp_us = 30},
    {.parent_id = {9}, .timestamp_us = 0},
    {.parent_id = {9}, .timestamp_us = 20},
    {.timestamp_us = 0}, /* a root that says no time */
};

static void times(void **state)
{
    const struct zipkin_search any = {ALL};
    uint64_t time_us;

    (void)state;
    assert_true(matches(&any, orphans, 4, &time_us));
    assert_int_equal(time_us, 20);
    assert_true(matches(&any, orphans, 2, &time_us));
    assert_int_equal(time_us, 30);
    assert_false(matches(&any, orphans + 1, 1, &time_us));
    assert_false(matches(&any, orphans, 0, &time_us));
    assert_true(matches(&any, trace + 3, 1, &time_us));
    assert_int_equal(time_us, 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions),
        cmocka_unit_test(times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Search as Zipkin means it: the same questions with everything in the ring, everything in the
 * store, and half and half. */
#include "scene.h"
#include "api/zipkin/find.h"

/* Times in microseconds; 1,000,000 is when it begins. Trace ids are small numbers. */
#define SPAN(trace, id, parent, service, name, start, rest)                                        \
    "{'traceId':'" trace "','id':'" id "'" parent ",'name':'" name "','timestamp':" start          \
    ",'localEndpoint':{'serviceName':'" service "'}" rest "}"
#define CHILD_OF(id) ",'parentId':'" id "'"

/* Each span on lines of its own. */
/* clang-format off */
static const char *const parts[] = {
    /* 1: a shop asks a db; conditions are met by different spans */
    "[" SPAN("1", "1", "", "shop", "GET /Cart", "1000000",
             ",'duration':50000,'kind':'SERVER','tags':{'http.method':'GET','http.path':'/cart'}")
    "," SPAN("1", "2", CHILD_OF("1"), "shop", "query", "1010000",
             ",'duration':30000,'kind':'CLIENT','remoteEndpoint':{'serviceName':'MySQL'},"
             "'annotations':[{'timestamp':1011000,'value':'ws'}]")
    "," SPAN("1", "3", CHILD_OF("2"), "db", "select", "1015000",
             ",'duration':20000,'tags':{'sql.query':'select 1'}") "]",
    /* 2: an error, with text; the shop in capitals */
    "[" SPAN("2", "1", "", "Shop", "get /cart", "2000000",
             ",'duration':10000,'tags':{'http.method':'POST','error':'timed out'}")
    "," SPAN("2", "2", CHILD_OF("1"), "cart", "load", "2005000", ",'duration':1") "]",
    /* 3: an empty error; nothing else of interest */
    "[" SPAN("3", "1", "", "cart", "add", "3000000", ",'duration':999,'tags':{'error':''}") "]",
    /* 4: `error` as an annotation, and no tag of that name */
    "[" SPAN("4", "1", "", "cart", "add", "4000000",
             ",'annotations':[{'timestamp':4000001,'value':'error'}],'tags':{'k':'v w'}") "]",
    /* 5: begins first, has a span as late as any */
    "[" SPAN("5", "1", "", "batch", "job", "500000", ",'duration':9000000")
    "," SPAN("5", "2", CHILD_OF("1"), "cart", "step", "4500000", ",'duration':70") "]",
    /* 6: the server joined the span and says no time */
    "[{'traceId':'6','id':'1','kind':'CLIENT','name':'call','timestamp':6000000,'duration':40,"
    "'localEndpoint':{'serviceName':'web'}},"
    "{'traceId':'6','id':'1','kind':'SERVER','name':'serve','shared':true,"
    "'localEndpoint':{'serviceName':'quiet'},'tags':{'otel.status_code':'Ok'}}]",
    /* 7: no time at all; never found */
    "[{'traceId':'7','id':'1','name':'never','localEndpoint':{'serviceName':'web'}}]",
    /* 8: the root begins later than its child */
    "[" SPAN("8", "1", "", "skew", "root", "8000000", ",'duration':5")
    "," SPAN("8", "2", CHILD_OF("1"), "skew", "child", "7000000", ",'duration':5") "]",
    /* 9: no service, no name */
    "[{'traceId':'9','id':'1','timestamp':9000000,'tags':{'bare':'1'}}]",
    /* a: 128 bits, the lower half being 1 */
    "[" SPAN("a0000000000000001", "1", "", "shop", "other", "1500000", ",'duration':2") "]",
    /* b: found by a span that starts twenty seconds after the window of some */
    "[" SPAN("b", "1", "", "late", "begin", "20000000", "")
    "," SPAN("b", "2", CHILD_OF("1"), "later", "end", "40000000", ",'duration':3") "]",
};

/* With the root missing: it stays in the ring. The earliest time counts. */
static const char orphans[] =
    "[" SPAN("c", "2", CHILD_OF("1"), "orphan", "two", "11000000", ",'duration':1500")
    "," SPAN("c", "3", CHILD_OF("1"), "orphan", "three", "12000000", ",'duration':2") "]";
/* clang-format on */
#define ORPHANS 2

#define ALL "endTs=100000&"

static const struct {
    const char *query;
    const char *want; /* ids, newest first */
} cases[] = {
    {ALL "limit=100", "b c 9 8 6 4 3 2 a 1 5"},
    {ALL "limit=4", "b c 9 8"},
    {ALL "limit=1", "b"},
    {ALL, "b c 9 8 6 4 3 2 a 1"}, /* ten */
    /* services */
    {ALL "serviceName=shop", "2 a 1"},
    {ALL "serviceName=SHOP", "2 a 1"},
    {ALL "serviceName=cart", "4 3 2 5"}, /* by their own time */
    {ALL "serviceName=cart&limit=3", "4 3 2"},
    {ALL "serviceName=nobody", ""},
    {ALL "serviceName=sho", ""},
    {ALL "serviceName=missing-service-name", ""},
    {ALL "serviceName=quiet", "6"},
    {ALL "serviceName=web", "6"},
    /* names */
    {ALL "spanName=get+/cart", "2 1"},
    {ALL "spanName=GET+/CART", "2 1"},
    {ALL "serviceName=shop&spanName=Get+/Cart", "2 1"},
    {ALL "serviceName=shop&spanName=select", ""},
    {ALL "serviceName=db&spanName=select", "1"},
    {ALL "spanName=never", ""},
    {ALL "spanName=nothing", ""},
    {ALL "spanName=empty-span-name", ""},
    {ALL "serviceName=quiet&spanName=serve", "6"},
    {ALL "spanName=all&limit=1", "b"},
    /* remote services */
    {ALL "remoteServiceName=mysql", "1"},
    {ALL "remoteServiceName=MYSQL&serviceName=shop", "1"},
    {ALL "remoteServiceName=mysql&serviceName=db", ""},
    {ALL "remoteServiceName=shop", ""},
    /* conditions met by different spans */
    {ALL "serviceName=shop&spanName=query&annotationQuery=http.method%3DGET", "1"},
    {ALL "serviceName=shop&spanName=query&annotationQuery=http.method%3DPOST", ""},
    {ALL "annotationQuery=http.method%3DGET+and+sql.query%3Dselect+1+and+ws", "1"},
    {ALL "annotationQuery=http.method%3DGET+and+sql.query%3Dselect+2", ""},
    {ALL "serviceName=shop&annotationQuery=http.method%3DGET+and+sql.query", ""},
    {ALL "spanName=select&minDuration=50000", "1"},
    {ALL "serviceName=db&minDuration=50000", ""},
    {ALL "serviceName=shop&remoteServiceName=mysql&minDuration=40000&annotationQuery=http.path",
     "1"},
    /* durations, of one span */
    {ALL "minDuration=9000000", "5"},
    {ALL "minDuration=9000001", ""},
    {ALL "minDuration=9000000&maxDuration=9000000", "5"},
    {ALL "minDuration=1&maxDuration=1", "2"},
    {ALL "minDuration=1&maxDuration=2", "c 2 a"},
    {ALL "minDuration=999&maxDuration=999", "3"},
    {ALL "minDuration=1000&maxDuration=1500", "c"},
    {ALL "minDuration=31000&maxDuration=49000", ""},
    {ALL "minDuration=9223372036854775807", ""},
    {ALL "serviceName=cart&minDuration=70&maxDuration=999", "3 5"},
    /* annotationQuery */
    {ALL "annotationQuery=error", "4 3 2"},
    {ALL "annotationQuery=error&serviceName=cart", "4 3"},
    {ALL "annotationQuery=error&serviceName=shop", "2"},
    {ALL "annotationQuery=error%3D", "4 3 2"},
    {ALL "annotationQuery=error%3Dtimed+out", "2"},
    {ALL "annotationQuery=error%3Dtimed", ""},
    {ALL "annotationQuery=error%3Dtrue", ""},
    {ALL "annotationQuery=ERROR", ""},
    {ALL "annotationQuery=ws", "1"},
    {ALL "annotationQuery=ws%3D1", ""},
    {ALL "annotationQuery=k", "4"},
    {ALL "annotationQuery=+k+%3D+v+w+", "4"},
    {ALL "annotationQuery=k%3Dv", ""},
    {ALL "annotationQuery=k%3DV+w", ""},
    {ALL "annotationQuery=bare", "9"},
    {ALL "annotationQuery=bare%3D1", "9"},
    {ALL "annotationQuery=otel.status_code%3DOk", "6"},
    {ALL "annotationQuery=otel.status_code%3DOK", ""},
    {ALL "annotationQuery=%3Dx", ""},
    {ALL "annotationQuery=http.method+AND+error", ""},
    {ALL "annotationQuery=http.method+and+error", "2"},
    {ALL "annotationQuery=error+and+error%3Dtimed+out", "2"},
    /* the window is of the trace: its root's time, or its earliest */
    {"endTs=1000&lookback=1", "1"},
    {"endTs=999&lookback=1000", "5"},
    {"endTs=500&lookback=1", "5"},
    {"endTs=499&lookback=100", ""},
    {"endTs=501&lookback=1", "5"},
    {"endTs=502&lookback=1", ""},
    {"endTs=8000&lookback=1", "8"},
    {"endTs=7999&lookback=1500", ""},
    {"endTs=7500&lookback=1000&serviceName=skew&spanName=child", ""},
    {"endTs=8500&lookback=1000&serviceName=skew&spanName=child", "8"},
    {"endTs=2500&lookback=1000", "2 a"},
    {"endTs=4400&lookback=3500&serviceName=cart", "4 3 2"},
    {"endTs=700&lookback=500&serviceName=cart", "5"}, /* its cart came four seconds later */
    {"endTs=20000&lookback=1&serviceName=later", "b"},
    {"endTs=39000&lookback=18000&serviceName=later", ""},
    {"endTs=11000&lookback=1&serviceName=orphan&spanName=three", "c"},
    {"endTs=12000&lookback=900", ""},
};

struct find_ask {
    struct ask ask; /* first */
    const char *query;
};

static void on_find(struct ask *ask, struct query *query)
{
    const struct zipkin_defaults defaults = {
        .now_ms = 100000, .lookback_ms = 100000, .limit = 10, .limit_max = 10000};
    struct zipkin_search search;
    struct zipkin_found *found;
    struct arena arena = {0};
    size_t n;

    ask->err = zipkin_search_parse(str_of(((struct find_ask *)ask)->query), &defaults, &arena,
                                   &search, &ask->why);
    if (!ask->err)
        ask->err =
            zipkin_find(query, &search, ask->rig->query_conf.traces_max, &found, &n, &ask->why);
    for (size_t i = 0; !ask->err && i < n; i++) {
        bool is_long = get_le64(found[i].id) != 0;
        buf_printf(&ask->text, "%s%llx", i ? " " : "",
                   is_long ? 0xaULL : (unsigned long long)get_be64(found[i].id + 8));
    }
    arena_fini(&arena);
}

static void assert_found(struct rig *rig, const char *query, const char *want)
{
    struct find_ask self = {.query = query};

    rig_ask(rig, &self.ask, "search", on_find);
    if (self.ask.err)
        fail_msg("%s: %s", query, self.ask.why.text);
    if (strcmp(self.ask.text.ptr, want) != 0)
        fail_msg("%s\n got %s\nwant %s", query, self.ask.text.ptr, want);
    ask_fini(&self.ask);
}

static void assert_refused(struct rig *rig, const char *query, enum mg_err err, const char *part)
{
    struct find_ask self = {.query = query};
    size_t at;

    rig_ask(rig, &self.ask, "search", on_find);
    assert_int_equal(self.ask.err, err);
    if (!str_find(str_of(self.ask.why.text), str_of(part), &at))
        fail_msg("%s: %s", query, self.ask.why.text);
    ask_fini(&self.ask);
}

static void assert_cases(struct rig *rig)
{
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_found(rig, cases[i].query, cases[i].want);
}

static void everything_in_the_ring(void **state)
{
    struct rig rig = {0};

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(parts); i++)
        scene_put(&rig, parts[i]);
    scene_put(&rig, orphans);
    assert_cases(&rig);
    rig_close(&rig);
}

static void everything_in_the_store(void **state)
{
    struct rig rig = {0};

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(parts); i++)
        scene_put(&rig, parts[i]);
    scene_put(&rig, orphans);
    rig_flush(&rig, ORPHANS);
    assert_cases(&rig);
    rig_close(&rig);
}

static void half_and_half(void **state)
{
    struct rig rig = {0};

    (void)state;
    rig_open(&rig);
    scene_put(&rig, orphans);
    for (size_t i = 0; i < MG_COUNT(parts); i++) {
        scene_put(&rig, parts[i]);
        if (i == MG_COUNT(parts) / 2 || i == 1)
            rig_flush(&rig, ORPHANS);
    }
    assert_cases(&rig);
    rig_close(&rig);
}

static void nothing_there(void **state)
{
    struct rig rig = {0};

    (void)state;
    rig_open(&rig);
    assert_found(&rig, ALL, "");
    assert_found(&rig, ALL "serviceName=a&spanName=b&annotationQuery=error", "");
    rig_close(&rig);
}

/* --- many ------------------------------------------------------------------------------------- */

static char *many_traces(unsigned first, unsigned n, const char *service, const char *rest)
{
    struct buf json;

    buf_init(&json, 64 << 20);
    for (unsigned i = 0; i < n; i++)
        buf_printf(&json,
                   "%s{'traceId':'%x','id':'1','name':'n','timestamp':%u,"
                   "'localEndpoint':{'serviceName':'%s'}%s}",
                   i ? "," : "[", first + i, (first + i) * 1000, service, rest);
    buf_put_char(&json, ']');
    buf_put_char(&json, '\0');
    return buf_take(&json, NULL);
}

static void put_many(struct rig *rig, unsigned first, unsigned n, const char *service,
                     const char *rest)
{
    char *json = many_traces(first, n, service, rest);

    scene_put(rig, json);
    mem_free(json);
}

/* Only the oldest of many candidates match: page after page is looked at, also when a page holds
 * less than all. */
static void a_match_behind_many_candidates(void **state)
{
    static const uint64_t traces_max[] = {10000, 100};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(traces_max); i++) {
        struct rig rig = {.query_conf.traces_max = traces_max[i]};
        rig_open(&rig);
        put_many(&rig, 0x101, 3, "a", ",'annotations':[{'timestamp':1,'value':'here'}]");
        put_many(&rig, 0x104, 2500, "a", "");
        rig_flush(&rig, 0);
        put_many(&rig, 0x104 + 2500, 1000, "a", "");
        assert_found(&rig, ALL "serviceName=a&annotationQuery=here", "103 102 101");
        assert_found(&rig, ALL "serviceName=a&annotationQuery=here&limit=2", "103 102");
        assert_found(&rig, ALL "serviceName=a&annotationQuery=nowhere", "");
        rig_close(&rig);
    }
}

/* Traces that began long ago and go on do not push out newer ones. */
static void newest_by_their_own_time(void **state)
{
    struct rig rig = {0};

    (void)state;
    rig_open(&rig);
    put_many(&rig, 0x1000, 20, "a", "");
    for (unsigned i = 0; i < 200; i++) {
        char json[512];
        snprintf(json, sizeof json,
                 "[{'traceId':'%x','id':'1','timestamp':%u,'localEndpoint':{'serviceName':'a'}},"
                 "{'traceId':'%x','id':'2','parentId':'1','timestamp':%u,"
                 "'localEndpoint':{'serviceName':'a'}}]",
                 i + 1, 1000 + i, i + 1, 90000000 + i);
        scene_put(&rig, json);
    }
    assert_found(&rig, ALL "serviceName=a&limit=3", "1013 1012 1011");
    assert_found(&rig, ALL "serviceName=a&limit=3&lookback=99999", "1013 1012 1011");
    rig_close(&rig);
}

/* A service whose spans say no time, more than one question for these gives. */
static void many_spans_without_a_time(void **state)
{
    struct rig rig = {0};
    struct buf json;

    (void)state;
    rig_open(&rig);
    buf_init(&json, 64 << 20);
    for (unsigned i = 1; i <= TIMELESS_TRACES + 500; i++)
        buf_printf(&json,
                   "%s{'traceId':'%x','id':'1','timestamp':%u,'localEndpoint':{'serviceName':'c'}},"
                   "{'traceId':'%x','id':'1','shared':true,"
                   "'localEndpoint':{'serviceName':'quiet'}}",
                   i > 1 ? "," : "[", i, i * 1000, i);
    buf_put_char(&json, ']');
    buf_put_char(&json, '\0');
    scene_put(&rig, json.ptr);
    buf_fini(&json);
    assert_found(&rig, ALL "serviceName=quiet&limit=3", "5dc 5db 5da");
    assert_found(&rig, "endTs=10&lookback=2&serviceName=quiet", "a 9 8");
    rig_close(&rig);
}

/* More traces begin at one instant than a page may hold. */
static void too_many_at_one_instant(void **state)
{
    struct rig rig = {.query_conf.traces_max = 50};
    struct buf json;

    (void)state;
    rig_open(&rig);
    buf_init(&json, 1 << 20);
    for (unsigned i = 1; i <= 60; i++)
        buf_printf(&json, "%s{'traceId':'%x','id':'1','timestamp':5000}", i > 1 ? "," : "[", i);
    buf_put_char(&json, ']');
    buf_put_char(&json, '\0');
    scene_put(&rig, json.ptr);
    buf_fini(&json);
    assert_refused(&rig, ALL "annotationQuery=nowhere", MG_E_TOO_BIG,
                   "too many traces would have to be looked at");
    rig_close(&rig);
}

/* The clock jumps between the query's begin and its first step. */
static void on_late_find(struct ask *ask, struct query *query)
{
    rig_clock_set(UINT64_C(3600000000000));
    on_find(ask, query);
}

static void out_of_time(void **state)
{
    struct rig rig = {0};
    struct find_ask self = {.query = ALL};

    (void)state;
    rig_open(&rig);
    put_many(&rig, 1, 3, "a", "");
    rig_clock_set(1000);
    assert_found(&rig, ALL, "3 2 1");
    rig_ask(&rig, &self.ask, "search", on_late_find);
    assert_int_equal(self.ask.err, MG_E_TIMEOUT);
    ask_fini(&self.ask);
    rig_clock_set(0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_in_the_ring),
        cmocka_unit_test(everything_in_the_store),
        cmocka_unit_test(half_and_half),
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(a_match_behind_many_candidates),
        cmocka_unit_test(newest_by_their_own_time),
        cmocka_unit_test(many_spans_without_a_time),
        cmocka_unit_test(too_many_at_one_instant),
        cmocka_unit_test(out_of_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

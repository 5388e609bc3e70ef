/* Lists of names, and the stored names behind one that is asked for. */
#include "scene.h"
#include "api/zipkin/names.h"

static const char *const zipkins[] = {
    "[{'traceId':'1','id':'1','name':'GET /','timestamp':1000,"
    "'localEndpoint':{'serviceName':'Shop'},'tags':{'http.method':'GET','error':''}},"
    "{'traceId':'1','id':'2','parentId':'1','name':'ask','timestamp':1001,"
    "'localEndpoint':{'serviceName':'shop'},'remoteEndpoint':{'serviceName':'MySQL'},"
    "'tags':{'http.method':'POST','http.status_code':'200'}}]",
    "[{'traceId':'2','id':'1','name':'get /','timestamp':2000,"
    "'localEndpoint':{'serviceName':'shop'},'remoteEndpoint':{'serviceName':'Redis'},"
    "'tags':{'http.method':'GET','k':'v'}},"
    "{'traceId':'2','id':'2','parentId':'1','timestamp':2001,"
    "'localEndpoint':{'serviceName':'ЖУК'},'remoteEndpoint':{'serviceName':'other'}}]",
    "[{'traceId':'3','id':'1','name':'alone','timestamp':3000}]",
};
/* From OpenTelemetry: in the second trace without a service, and without one but a function. */
static const struct item foreign[] = {
    {10, 1, 0, "Cart", "Add", 4000000, 100, SPAN_SERVER, STATUS_ERROR, "k", "w"},
    {10, 2, 1, "Cart", "", 4000001, 100, SPAN_CLIENT, 0, "peer.service", "Redis"},
    {11, 1, 0, NULL, "Lost", 5000000, 100, SPAN_INTERNAL, 0, "peer.service", "far"},
};

static void open_all(struct rig *rig)
{
    rig_open(rig);
    for (size_t i = 0; i < MG_COUNT(zipkins); i++)
        scene_put(rig, zipkins[i]);
    RIG_PUT(rig, foreign);
}

enum what { SERVICES, SPANS, REMOTE, VALUES, STORED_SERVICES, STORED_NAMES, STORED_ANY };
struct names_ask {
    struct ask ask; /* first */
    enum what what;
    struct str wanted, service;
    struct zipkin_window window;
    uint64_t traces_max;
};

static enum mg_err list(struct names_ask *self, struct query *query, struct zipkin_names *out)
{
    struct mg_why *why = &self->ask.why;

    switch (self->what) {
    case SERVICES:
        return zipkin_list_services(query, self->traces_max, out, why);
    case SPANS:
        return zipkin_list_spans(query, self->wanted, self->traces_max, out, why);
    case REMOTE:
        return zipkin_list_remote(query, self->wanted, self->traces_max, out, why);
    case VALUES:
        return zipkin_list_values(query, self->wanted, &self->window, self->traces_max, out, why);
    case STORED_SERVICES:
        return zipkin_stored_services(query, self->wanted, &out->at, &out->n, why);
    case STORED_NAMES:
        return zipkin_stored_names(query, self->service, self->wanted, &out->at, &out->n, why);
    case STORED_ANY:
        break;
    }
    return zipkin_stored_names(query, (struct str){NULL, 0}, self->wanted, &out->at, &out->n, why);
}

static void on_list(struct ask *ask, struct query *query)
{
    struct zipkin_names names = {NULL, 0};

    ask->err = list((struct names_ask *)ask, query, &names);
    for (size_t i = 0; i < names.n; i++)
        buf_printf(&ask->text, "%s%.*s", i ? "|" : "", STR_ARG(names.at[i]));
}

static void assert_list(struct rig *rig, struct names_ask self, const char *want)
{
    rig_ask(rig, &self.ask, "search", on_list);
    if (self.ask.err)
        fail_msg("%s", self.ask.why.text);
    if (strcmp(self.ask.text.ptr, want) != 0)
        fail_msg("%d %.*s\n got %s\nwant %s", self.what, STR_ARG(self.wanted), self.ask.text.ptr,
                 want);
    ask_fini(&self.ask);
}

static const struct {
    enum what what;
    const char *wanted, *service, *want;
} cases[] = {
    /* a span of Zipkin without a service is none of a service; of OpenTelemetry it is */
    {SERVICES, "", "", "cart|otlpresourcenoservicename|shop|жук"},
    {SPANS, "shop", "", "ask|get /"},
    {SPANS, "cart", "", "add"},
    {SPANS, "жук", "", ""},
    {SPANS, "otlpresourcenoservicename", "", "lost"},
    {SPANS, "missing-service-name", "", ""},
    {SPANS, "nobody", "", ""},
    {SPANS, "", "", ""},
    {SPANS, "all", "", ""},
    {REMOTE, "shop", "", "mysql|redis"},
    {REMOTE, "cart", "", "redis"},
    {REMOTE, "жук", "", "other"},
    {REMOTE, "otlpresourcenoservicename", "", "far"},
    {REMOTE, "mysql", "", ""},
    {REMOTE, "nobody", "", ""},
    {REMOTE, "", "", ""},
    {VALUES, "http.method", "", "GET|POST"},
    {VALUES, "HTTP.METHOD", "", ""},
    {VALUES, "k", "", "v|w"},
    {VALUES, "error", "", "true"}, /* an empty value is none to offer */
    {VALUES, "http", "", ""},
    {VALUES, "peer.service", "", ""}, /* an endpoint, not a tag */
    {STORED_SERVICES, "shop", "", "Shop|shop"},
    {STORED_SERVICES, "жук", "", "ЖУК"},
    {STORED_SERVICES, "Shop", "", "missing-service-name|Shop"},
    {STORED_SERVICES, "nobody", "", "missing-service-name|nobody"},
    {STORED_NAMES, "get /", "shop", "get /"},
    {STORED_NAMES, "get /", "Shop", "GET /"},
    {STORED_NAMES, "get /", "Cart", "get /"},
    {STORED_NAMES, "add", "Cart", "Add"},
    {STORED_ANY, "get /", "", "GET /|get /"},
    {STORED_ANY, "nothing", "", "nothing"},
};

static void every_list(struct rig *rig)
{
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_list(rig,
                    (struct names_ask){.what = cases[i].what,
                                       .wanted = str_of(cases[i].wanted),
                                       .service = str_of(cases[i].service),
                                       .window = {0, UINT64_MAX},
                                       .traces_max = 10000},
                    cases[i].want);
}

static void lists(void **state)
{
    struct rig rig = {0};

    (void)state;
    open_all(&rig);
    every_list(&rig);
    rig_flush(&rig, 0);
    every_list(&rig);
    rig_close(&rig);
}

static void nothing_there(void **state)
{
    static const enum what all[] = {SERVICES, SPANS, REMOTE, VALUES};
    struct rig rig = {0};

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(all); i++)
        assert_list(
            &rig,
            (struct names_ask){
                .what = all[i], .wanted = STR("a"), .window = {0, UINT64_MAX}, .traces_max = 10000},
            "");
    rig_close(&rig);
}

static void values_of_a_window(void **state)
{
    struct rig rig = {0};
    struct names_ask self = {.what = VALUES, .wanted = STR("k"), .traces_max = 10000};

    (void)state;
    open_all(&rig);
    self.window = (struct zipkin_window){0, 3000000};
    assert_list(&rig, self, "v");
    self.window = (struct zipkin_window){4000000, UINT64_MAX};
    assert_list(&rig, self, "w");
    self.window = (struct zipkin_window){4000001, UINT64_MAX};
    assert_list(&rig, self, "");
    rig_close(&rig);
}

/* Only the newest traces are looked at. */
static void a_sample_has_an_end(void **state)
{
    struct rig rig = {0};
    struct names_ask self = {.what = REMOTE, .wanted = STR("shop"), .traces_max = 2};

    (void)state;
    open_all(&rig);
    assert_list(&rig, self, "mysql|redis"); /* two for each stored name */
    self.traces_max = 1;
    assert_list(&rig, self, "mysql|redis");
    self = (struct names_ask){.what = VALUES, .wanted = STR("k"), .traces_max = 1};
    self.window.to_ns = UINT64_MAX;
    assert_list(&rig, self, "w");
    rig_close(&rig);
}

static void tags_that_the_store_finds(void **state)
{
    static const struct {
        const char *key;
        bool want;
    } keys[] = {
        {"http.method", true},
        {"w3c.tracestate", true},
        {"span.kind", true},
        {"errors", true},
        {"error", false},
        {"otel.status_code", false},
        {"otel.library.name", false},
        {"otlp.link.0", false},
        {"", false},
        {"a\xef\xbf\xbd", false},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(keys); i++)
        if (zipkin_is_stored_tag(str_of(keys[i].key)) != keys[i].want)
            fail_msg("%s", keys[i].key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(values_of_a_window),
        cmocka_unit_test(a_sample_has_an_end),
        cmocka_unit_test(tags_that_the_store_finds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

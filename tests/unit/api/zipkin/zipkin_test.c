/* Every route over a real connection: what it answers, with which headers, and what it refuses. */
#include "scene.h"
#include "base/clock.h"

#define CACHED  "max-age=300, must-revalidate"
#define LONG_ID "fedcba98765432100123456789abcdef"
#define ROOT                                                                                       \
    "{'traceId':'" LONG_ID "','id':'000000000000000a','kind':'SERVER','name':'get /cart',"         \
    "'timestamp':1472470996199000,'duration':207000,"                                              \
    "'localEndpoint':{'serviceName':'frontend','ipv4':'127.0.0.1','port':8080},"                   \
    "'remoteEndpoint':{'ipv6':'2001:db8::c001','port':63840},"                                     \
    "'annotations':[{'timestamp':1472470996238000,'value':'foo'},"                                 \
    "{'timestamp':1472470996403000,'value':'bar'}],"                                               \
    "'tags':{'clnt/finagle.version':'6.45.0','http.path':'/api'},'debug':true}"
#define CLIENT                                                                                     \
    "{'traceId':'" LONG_ID "','parentId':'000000000000000a','id':'000000000000000b',"              \
    "'kind':'CLIENT','name':'query','timestamp':1472470996200000,'duration':1,"                    \
    "'localEndpoint':{'serviceName':'frontend'},'remoteEndpoint':{'serviceName':'mysql'}}"
#define JOINED                                                                                     \
    "{'traceId':'" LONG_ID "','parentId':'000000000000000a','id':'000000000000000b',"              \
    "'kind':'SERVER','name':'query','localEndpoint':{'serviceName':'backend'},"                    \
    "'tags':{'error':''},'shared':true}"
#define SHORT                                                                                      \
    "{'traceId':'00000000000000a1','id':'0000000000000001','name':'job',"                          \
    "'timestamp':1472470990000000,'localEndpoint':{'serviceName':'batch'}}"
#define WINDOW "endTs=1472470997000&lookback=10000"

static void open_all(struct scene *scene)
{
    scene_open(scene);
    scene_put(&scene->rig, "[" CLIENT "," ROOT "," JOINED "]");
    scene_put(&scene->rig, "[" SHORT "]");
}

/* Below both prefixes. */
static void expect_both(struct scene *scene, const char *target, int status, const char *body)
{
    static const char *const prefixes[] = {"/api/v2", "/zipkin/api/v2"};
    char path[2048];

    for (size_t i = 0; i < MG_COUNT(prefixes); i++) {
        snprintf(path, sizeof path, "%s%s", prefixes[i], target);
        scene_expect(scene, path, status, body);
    }
}

/* What was sent comes back the same; the joined span says no time, so it comes first. */
static void one_trace(void **state)
{
    struct scene scene = {0};

    (void)state;
    open_all(&scene);
    expect_both(&scene, "/trace/" LONG_ID, 200, "[" JOINED "," ROOT "," CLIENT "]");
    expect_both(&scene, "/trace/00000000000000a1", 200, "[" SHORT "]");
    expect_both(&scene, "/trace/a1", 200, "[" SHORT "]");
    expect_both(&scene, "/trace/000000000000000000000000000000a1", 200, "[" SHORT "]");
    expect_both(&scene, "/trace/a1?raw=true&limit=x", 200, "[" SHORT "]");
    expect_both(&scene, "/trace/%61%31", 200, "[" SHORT "]");
    /* strict: the halves of a long id are other traces */
    expect_both(&scene, "/trace/0123456789abcdef", 404, "0123456789abcdef not found");
    expect_both(&scene,
                "/trace/fedcba9876543211"
                "0123456789abcdef",
                404, "fedcba98765432110123456789abcdef not found");
    expect_both(&scene, "/trace/2", 404, "0000000000000002 not found");
    expect_both(&scene, "/trace/10000000000000002", 404,
                "00000000000000010000000000000002 not found");
    expect_both(&scene, "/trace/0", 400, "traceId is all zeros");
    expect_both(&scene, "/trace/A1", 400, "A1 should be lower-hex encoded with no prefix");
    expect_both(&scene, "/trace/0x1", 400, "0x1 should be lower-hex encoded with no prefix");
    expect_both(&scene, "/trace/000000000000000000000000000000001", 400, "traceId.length > 32");
    scene_close(&scene);
}

/* The same bytes again are the same span. */
static void a_resend_appears_once(void **state)
{
    struct scene scene = {0};

    (void)state;
    open_all(&scene);
    rig_flush(&scene.rig, 0);
    scene_put(&scene.rig, "[" SHORT "," SHORT "]");
    expect_both(&scene, "/trace/a1", 200, "[" SHORT "]");
    scene_close(&scene);
}

static void many_traces(void **state)
{
    struct scene scene = {0};

    (void)state;
    open_all(&scene);
    expect_both(&scene, "/traceMany?traceIds=a1," LONG_ID, 200,
                "[[" SHORT "],[" JOINED "," ROOT "," CLIENT "]]");
    expect_both(&scene, "/traceMany?traceIds=" LONG_ID ",a1", 200,
                "[[" JOINED "," ROOT "," CLIENT "],[" SHORT "]]");
    expect_both(&scene, "/traceMany?traceIds=1,a1,2", 200, "[[" SHORT "]]");
    expect_both(&scene, "/traceMany?traceIds=1,2", 200, "[]");
    expect_both(&scene, "/traceMany", 400,
                "Mandatory parameter/header/attribute is missing: traceIds");
    expect_both(&scene, "/traceMany?traceIds=", 400, "traceIds parameter is empty");
    expect_both(&scene, "/traceMany?traceIds=a1", 400,
                "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace");
    expect_both(&scene, "/traceMany?traceIds=a1,00000000000000a1", 400,
                "redundant traceId: 00000000000000a1");
    expect_both(&scene, "/traceMany?traceIds=a1,", 400, "traceId is empty");
    expect_both(&scene, "/traceMany?traceIds=a1,,2", 400, "traceId is empty");
    expect_both(&scene, "/traceMany?traceIds=a1,X", 400,
                "X should be lower-hex encoded with no prefix");
    scene_close(&scene);
}

static void searches(void **state)
{
    struct scene scene = {0};

    (void)state;
    open_all(&scene);
    expect_both(&scene, "/traces?" WINDOW, 200, "[[" JOINED "," ROOT "," CLIENT "],[" SHORT "]]");
    expect_both(&scene, "/traces?limit=1&" WINDOW, 200, "[[" JOINED "," ROOT "," CLIENT "]]");
    expect_both(&scene, "/traces?serviceName=Batch&" WINDOW, 200, "[[" SHORT "]]");
    expect_both(
        &scene,
        "/traces?serviceName=backend&annotationQuery=error&minDuration=&spanName=all&" WINDOW, 200,
        "[[" JOINED "," ROOT "," CLIENT "]]");
    expect_both(&scene, "/traces?serviceName=nobody&" WINDOW, 200, "[]");
    expect_both(&scene, "/traces", 200, "[]"); /* of the last day */
    expect_both(&scene, "/traces?endTs=0", 400, "endTs <= 0");
    expect_both(&scene, "/traces?limit=0", 400, "limit <= 0");
    expect_both(&scene, "/traces?limit=-1&" WINDOW, 400, "limit <= 0");
    expect_both(&scene, "/traces?limit=10001", 400,
                "limit 10001 is above query.traces_max (10000)");
    expect_both(&scene, "/traces?lookback=0", 400, "lookback <= 0");
    expect_both(&scene, "/traces?minDuration=0", 400, "minDuration <= 0");
    expect_both(&scene, "/traces?maxDuration=1", 400, "maxDuration is only valid with minDuration");
    expect_both(&scene, "/traces?minDuration=2&maxDuration=1", 400, "maxDuration < minDuration");
    expect_both(&scene, "/traces?limit=ten", 400,
                "limit must be a whole number from -2147483648 to 2147483647, not 'ten'");
    scene_close(&scene);
}

/* `lookback`, `endTs` and `limit` when they are not given: the rows, and the clock. */
static void defaults(void **state)
{
    const uint64_t second = 1000000, now = clock_wall_ns() / 1000;
    const uint64_t ages[] = {10 * second, 7000 * second, 90000 * second};
    struct zipkin_conf narrow = {.lookback_ns = UINT64_C(3600000000000), .limit = 1};
    struct zipkin_conf wide = {.lookback_ns = UINT64_C(360000000000000), .limit = 5};
    struct query_conf few = {.traces_max = 2, .memory_max = 1 << 20};
    struct scene scene = {0};
    char spans[3][128], want[512], text[160];

    (void)state;
    scene_open(&scene);
    for (size_t i = 0; i < 3; i++) {
        snprintf(spans[i], sizeof spans[i],
                 "[{'traceId':'000000000000000%zu','id':'0000000000000001','timestamp':%llu}]",
                 i + 1, (unsigned long long)(now - ages[i]));
        snprintf(text, sizeof text, "%s", spans[i]);
        scene_put(&scene.rig, text);
    }
    snprintf(want, sizeof want, "[%s,%s]", spans[0], spans[1]); /* a day */
    expect_both(&scene, "/traces", 200, want);
    zipkin_api_reload(scene.api, &scene.rig.query_conf, &narrow);
    snprintf(want, sizeof want, "[%s]", spans[0]);
    expect_both(&scene, "/traces", 200, want);
    expect_both(&scene, "/traces?limit=9", 200, want);
    zipkin_api_reload(scene.api, &scene.rig.query_conf, &wide);
    snprintf(want, sizeof want, "[%s,%s,%s]", spans[0], spans[1], spans[2]);
    expect_both(&scene, "/traces", 200, want);
    zipkin_api_reload(scene.api, &few, &wide);
    snprintf(want, sizeof want, "[%s,%s]", spans[0], spans[1]);
    expect_both(&scene, "/traces", 200, want);
    expect_both(&scene, "/traces?limit=3", 400, "limit 3 is above query.traces_max (2)");
    scene_close(&scene);
}

/* --- names ------------------------------------------------------------------------------------ */

static void expect_header(struct scene *scene, const char *want)
{
    struct str got = scene_header(scene, "cache-control");

    if (!str_eq(got, str_of(want)))
        fail_msg("cache-control: got '%.*s', want '%s'", STR_ARG(got), want);
}

static void names(void **state)
{
    struct scene scene = {0};

    (void)state;
    scene_open(&scene);
    expect_both(&scene, "/services", 200, "[]");
    scene_put(&scene.rig, "[" CLIENT "," ROOT "," JOINED "]");
    scene_put(&scene.rig, "[" SHORT "]");
    expect_both(&scene, "/services", 200, "['backend','batch','frontend']");
    expect_header(&scene, ""); /* three are not many */
    expect_both(&scene, "/spans?serviceName=FrontEnd", 200, "['get /cart','query']");
    expect_header(&scene, "");
    expect_both(&scene, "/spans?serviceName=nobody", 200, "[]");
    expect_both(&scene, "/spans?serviceName=", 200, "[]");
    expect_both(&scene, "/spans", 400,
                "Mandatory parameter/header/attribute is missing: serviceName");
    expect_both(&scene, "/remoteServices?serviceName=frontend", 200, "['mysql']");
    expect_both(&scene, "/remoteServices?serviceName=backend", 200, "[]");
    expect_both(&scene, "/remoteServices?serviceName=", 200, "[]");
    expect_both(&scene, "/remoteServices?service=frontend", 400,
                "Mandatory parameter/header/attribute is missing: serviceName");
    scene_put(&scene.rig, "[{'traceId':'5','id':'1','localEndpoint':{'serviceName':'Fourth'}}]");
    expect_both(&scene, "/spans?serviceName=nobody", 200, "[]");
    expect_header(&scene, ""); /* the last list of services had three */
    expect_both(&scene, "/services", 200, "['backend','batch','fourth','frontend']");
    expect_header(&scene, CACHED);
    expect_both(&scene, "/spans?serviceName=nobody", 200, "[]");
    expect_header(&scene, CACHED);
    expect_both(&scene, "/remoteServices?serviceName=frontend", 200, "['mysql']");
    expect_header(&scene, CACHED);
    expect_both(&scene, "/spans", 400,
                "Mandatory parameter/header/attribute is missing: serviceName");
    expect_header(&scene, "");
    scene_close(&scene);
}

static void put_method(struct scene *scene, unsigned trace, const char *method, uint64_t start_us)
{
    char json[256];

    snprintf(json, sizeof json,
             "[{'traceId':'%x','id':'1','timestamp':%llu,'tags':{'http.method':'%s','k':'v'}}]",
             trace, (unsigned long long)start_us, method);
    scene_put(&scene->rig, json);
}

static void autocomplete(void **state)
{
    uint64_t now = clock_wall_ns() / 1000;
    struct zipkin_conf none = {.lookback_ns = 1000000, .limit = 1};
    struct scene scene = {0};

    (void)state;
    scene_open(&scene);
    expect_both(&scene, "/autocompleteKeys", 200, "['http.method','error']");
    expect_header(&scene, CACHED);
    put_method(&scene, 1, "PUT", now);
    put_method(&scene, 2, "GET", now - 1000);
    put_method(&scene, 3, "GET", now - 2000);
    put_method(&scene, 4, "OLD", 1000);
    expect_both(&scene, "/autocompleteValues?key=http.method", 200, "['GET','PUT']");
    expect_header(&scene, "");
    put_method(&scene, 5, "POST", now);
    put_method(&scene, 6, "get", now + 60000000);
    expect_both(&scene, "/autocompleteValues?key=http.method", 200, "['GET','POST','PUT','get']");
    expect_header(&scene, CACHED);
    expect_both(&scene, "/autocompleteValues?key=error", 200, "[]");
    expect_both(&scene, "/autocompleteValues?key=k", 200, "[]"); /* not offered */
    expect_both(&scene, "/autocompleteValues?key=HTTP.METHOD", 200, "[]");
    expect_both(&scene, "/autocompleteValues?key=", 400, "key was empty");
    expect_both(&scene, "/autocompleteValues", 400,
                "Mandatory parameter/header/attribute is missing: key");
    zipkin_api_reload(scene.api, &scene.rig.query_conf, &none);
    expect_both(&scene, "/autocompleteKeys", 200, "[]");
    expect_header(&scene, CACHED);
    expect_both(&scene, "/autocompleteValues?key=http.method", 200, "[]");
    scene_close(&scene);
}

/* Rows as a reload of the program gives them: gone when the call has returned. */
static void *reload_often(void *argument)
{
    struct scene *scene = argument;

    for (int i = 0; i < 300; i++) {
        struct str key = {mem_text("http.method"), 11};
        struct zipkin_conf conf = {{&key, 1}, scene->conf.lookback_ns, scene->conf.limit};
        struct query_conf query = scene->rig.query_conf;
        zipkin_api_reload(scene->api, &query, &conf);
        memset((char *)key.ptr, 'x', key.len);
        mem_free((char *)key.ptr);
    }
    return NULL;
}

static void requests_are_answered_while_rows_are_exchanged(void **state)
{
    struct scene scene = {0};
    struct str key = STR("http.method");
    pthread_t thread;

    (void)state;
    scene_open(&scene);
    put_method(&scene, 1, "PUT", clock_wall_ns() / 1000);
    zipkin_api_reload(scene.api, &scene.rig.query_conf,
                      &(struct zipkin_conf){{&key, 1}, scene.conf.lookback_ns, scene.conf.limit});
    assert_int_equal(pthread_create(&thread, NULL, reload_often, &scene), 0);
    for (int i = 0; i < 30; i++) {
        expect_both(&scene, "/autocompleteKeys", 200, "['http.method']");
        expect_both(&scene, "/autocompleteValues?key=http.method", 200, "['PUT']");
        expect_both(&scene, "/autocompleteValues?key=xxxxxxxxxxx", 200, "[]");
    }
    pthread_join(thread, NULL);
    expect_both(&scene, "/autocompleteKeys", 200, "['http.method']");
    scene_close(&scene);
}

/* --- dependencies ----------------------------------------------------------------------------- */

#define MINUTE_MS UINT64_C(60000)

static void put_call(struct scene *scene, unsigned trace, const char *parent, const char *child,
                     const char *rest)
{
    char json[512];

    snprintf(json, sizeof json,
             "[{'traceId':'%x','id':'1','timestamp':1000,'localEndpoint':{'serviceName':'%s'}},"
             "{'traceId':'%x','id':'2','parentId':'1','timestamp':1001,"
             "'localEndpoint':{'serviceName':'%s'}%s}]",
             trace, parent, trace, child, rest);
    scene_put(&scene->rig, json);
}

static void dependencies(void **state)
{
    struct scene scene = {0};

    (void)state;
    scene_open(&scene);
    scene.rig.wall_ns = 100 * MINUTE_MS * 1000000;
    put_call(&scene, 1, "Web", "shop", "");
    put_call(&scene, 2, "web", "Shop", ",'tags':{'error':'false'}");
    put_call(&scene, 3, "web", "cart", "");
    put_call(&scene, 5, "web", "WEB", ""); /* no link with itself */
    rig_flush(&scene.rig, 0);
    scene.rig.wall_ns = 200 * MINUTE_MS * 1000000;
    put_call(&scene, 4, "web", "db", ",'tags':{'error':''}");
    rig_flush(&scene.rig, 0);
    expect_both(&scene, "/dependencies?endTs=6000000", 200,
                "[{'parent':'web','child':'cart','callCount':1},"
                "{'parent':'web','child':'shop','callCount':2,'errorCount':1}]");
    expect_both(&scene, "/dependencies?endTs=12000000&lookback=60000", 200,
                "[{'parent':'web','child':'db','callCount':1,'errorCount':1}]");
    expect_both(&scene, "/dependencies?endTs=5940000&lookback=600000", 200, "[]");
    expect_both(&scene, "/dependencies?endTs=11000000&lookback=600000", 200, "[]");
    expect_both(&scene, "/dependencies", 400,
                "Mandatory parameter/header/attribute is missing: endTs");
    expect_both(&scene, "/dependencies?endTs=", 400,
                "Mandatory parameter/header/attribute is missing: endTs");
    expect_both(&scene, "/dependencies?endTs=0", 400, "endTs <= 0");
    expect_both(&scene, "/dependencies?endTs=1&lookback=0", 400, "lookback <= 0");
    expect_both(&scene, "/dependencies?endTs=1h", 400,
                "endTs must be a whole number from -9223372036854775808 to 9223372036854775807, "
                "not '1h'");
    scene_close(&scene);
}

/* --- the rest --------------------------------------------------------------------------------- */

#define CONFIG(limit, lookback)                                                                    \
    "{'environment':'','queryLimit':" limit ",'defaultLookback':" lookback                         \
    ",'searchEnabled':true,'logsUrl':null,'supportUrl':null,'archivePostUrl':null,"                \
    "'archiveUrl':null,'dependency':{'enabled':true,'lowErrorRate':0.5,'highErrorRate':0.75}}"

static void page_and_probes(void **state)
{
    struct zipkin_conf other = {.lookback_ns = 60000000000, .limit = 25};
    struct query_conf less;
    struct scene scene = {0};

    (void)state;
    scene_open(&scene);
    less = scene.rig.query_conf;
    scene_expect(&scene, "/zipkin/config.json", 200, CONFIG("10", "900000"));
    expect_header(&scene, "max-age=600");
    zipkin_api_reload(scene.api, &scene.rig.query_conf, &other);
    scene_expect(&scene, "/zipkin/config.json", 200, CONFIG("25", "60000"));
    /* The page asks for what it is told, so it is told no more than it would be given. */
    less.traces_max = 24;
    zipkin_api_reload(scene.api, &less, &other);
    scene_expect(&scene, "/zipkin/config.json", 200, CONFIG("24", "60000"));
    scene_expect(&scene, "/api/v2/traces?limit=24", 200, "[]");
    scene_expect(&scene, "/api/v2/traces?limit=25", 400, "limit 25 is above query.traces_max (24)");
    less.traces_max = 25;
    zipkin_api_reload(scene.api, &less, &other);
    scene_expect(&scene, "/zipkin/config.json", 200, CONFIG("25", "60000"));
    scene_expect(&scene, "/info", 200, "{'zipkin':{'version':'1.2.3','commit':''}}");
    scene_close(&scene);
}

static const struct {
    const char *method, *target;
    int status;
} others[] = {
    {"POST", "/api/v2/spans", 202}, /* ingest's, on the path of our list */
    {"GET", "/api/v2/spans", 400},
    {"PUT", "/api/v2/spans", 405},
    {"POST", "/zipkin/api/v2/spans", 405},
    {"POST", "/api/v2/traces", 405},
    {"DELETE", "/api/v2/trace/1", 405},
    {"HEAD", "/api/v2/services", 200},
    {"HEAD", "/api/v2/trace/1", 404},
    {"GET", "/", 404},
    {"GET", "/zipkin", 404},
    {"GET", "/zipkin/", 404},
    {"GET", "/config.json", 404},
    {"GET", "/zipkin/info", 404},
    {"GET", "/api/v2", 404},
    {"GET", "/api/v2/", 404},
    {"GET", "/api/v2/services/", 404},
    {"GET", "/api/v2/trace", 404},
    {"GET", "/api/v2/trace/", 404},
    {"GET", "/api/v2/trace/1/2", 404},
    {"GET", "/api/v2/trace/%zz", 400},
    {"GET", "/api/v1/spans", 404},
    {"GET", "/api/v2/unknown", 404},
};

static void other_paths_and_methods(void **state)
{
    struct scene scene = {0};

    (void)state;
    scene_open(&scene);
    for (size_t i = 0; i < MG_COUNT(others); i++) {
        scene_call(&scene, others[i].method, others[i].target);
        if (scene.status != others[i].status)
            fail_msg("%s %s: got %d", others[i].method, others[i].target, scene.status);
        if (strcmp(others[i].method, "HEAD") == 0)
            assert_int_equal(scene.body.len, 0);
    }
    scene_close(&scene);
}

/* Who may ask: everything but what a probe asks for needs the right to query. */
static void scopes(void **state)
{
    size_t n;
    const struct http_route *routes = zipkin_api_routes(&n);

    (void)state;
    assert_int_equal(n, 20);
    for (size_t i = 0; i < n; i++) {
        bool is_probe = strcmp(routes[i].path, "/info") == 0;
        assert_int_equal(routes[i].scope, is_probe ? HTTP_SCOPE_OPEN : HTTP_SCOPE_QUERY);
    }
}

static void rows(void **state)
{
    struct zipkin_conf conf = {0};
    const struct conf_section section = {"zipkin", zipkin_fields, zipkin_fields_n, &conf};
    static const char *const good[] = {"zipkin.limit=7", "zipkin.lookback=2h",
                                       "zipkin.autocomplete_keys=env"};
    static const char *const bad[] = {
        "zipkin.limit=0",        "zipkin.limit=1000001", "zipkin.limit=x", "zipkin.lookback=0",
        "zipkin.lookback=3651d", "zipkin.lookback=1",    "zipkin.limits=1"};
    struct conf_source source = {0};
    struct mg_why why;
    struct conf *loaded;

    (void)state;
    assert_int_equal(conf_load(&loaded, &section, 1, &source, &why), MG_OK);
    assert_int_equal(conf.limit, 10);
    assert_int_equal(conf.lookback_ns, UINT64_C(86400000000000));
    assert_int_equal(conf.autocomplete_keys.n, 0);
    conf_free(&loaded);
    source = (struct conf_source){.sets = good, .n_sets = MG_COUNT(good)};
    assert_int_equal(conf_load(&loaded, &section, 1, &source, &why), MG_OK);
    assert_int_equal(conf.limit, 7);
    assert_int_equal(conf.lookback_ns, UINT64_C(7200000000000));
    assert_true(str_eq(conf.autocomplete_keys.at[0], STR("env")));
    conf_free(&loaded);
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        source = (struct conf_source){.sets = &bad[i], .n_sets = 1};
        assert_int_equal(conf_load(&loaded, &section, 1, &source, &why), MG_E_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_trace),       cmocka_unit_test(a_resend_appears_once),
        cmocka_unit_test(many_traces),     cmocka_unit_test(searches),
        cmocka_unit_test(defaults),        cmocka_unit_test(names),
        cmocka_unit_test(autocomplete),    cmocka_unit_test(dependencies),
        cmocka_unit_test(requests_are_answered_while_rows_are_exchanged),
        cmocka_unit_test(page_and_probes), cmocka_unit_test(other_paths_and_methods),
        cmocka_unit_test(scopes),          cmocka_unit_test(rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

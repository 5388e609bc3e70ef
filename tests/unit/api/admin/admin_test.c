/* Health, metrics, ledger and status: what each door tells in each state. */
#include "scene.h"

#include "codec/json.h"

/* The number at "a.b" of the last answer; fails when there is none. */
static int64_t number(struct scene *scene, const char *path)
{
    MG_AUTO(json_free) struct json *root = NULL;
    struct str rest = str_of(path), name;
    char key[32];

    assert_int_equal(json_parse(&root, buf_str(&scene->body), NULL), MG_OK);
    const struct json *at = root;
    while (str_cut(&rest, '.', &name)) {
        snprintf(key, sizeof key, "%.*s", STR_ARG(name));
        at = json_get(at, key);
        if (!at)
            fail_msg("no %s in %.*s", path, STR_ARG(buf_str(&scene->body)));
    }
    assert_int_equal(json_kind(at), JSON_INT);
    return json_int(at);
}

static const struct {
    enum admin_state state;
    bool is_refusing, is_full;
    int http;
    const char *status, *reason;
} states[] = {
    { ADMIN_SERVING, false, false, 200, "\"status\":\"serving\"", "\"reason\":\"\"" },
    { ADMIN_STARTING, false, false, 503, "\"status\":\"starting\"", "\"reason\":\"starting: 3 of 9 log records read\"" },
    { ADMIN_STARTING, true, true, 503, "\"status\":\"starting\"", "\"reason\":\"starting: 3 of 9 log records read\"" },
    { ADMIN_STOPPING, false, false, 503, "\"status\":\"stopping\"", "\"reason\":\"shutting down\"" },
    { ADMIN_STOPPING, true, true, 503, "\"status\":\"stopping\"", "\"reason\":\"shutting down\"" },
    { ADMIN_SERVING, true, false, 503, "\"status\":\"refusing\"", "the journal cannot be written" },
    { ADMIN_SERVING, false, true, 503, "\"status\":\"refusing\"", "the disk is full (store.free_min)" },
};

static void tells_its_health(void **state)
{
    struct scene *scene = *state;

    scene->replay_done = 3;
    scene->replay_total = 9;
    for (size_t i = 0; i < MG_COUNT(states); i++) {
        scene->admin.state = states[i].state;
        fake.is_refusing = states[i].is_refusing;
        fake.is_full = states[i].is_full;
        for (int root = 0; root < 2; root++) {
            ask(scene, "GET", root ? "/" : "/status");
            if (scene->status != states[i].http || !says(scene, states[i].status) || !says(scene, states[i].reason))
                fail_msg("row %zu: %d %.*s", i, scene->status, STR_ARG(buf_str(&scene->body)));
            assert_string_equal(scene->content_type, "application/json");
            assert_true(says(scene, states[i].http == 200 ? "\"healthy\":true" : "\"healthy\":false"));
            assert_true(says(scene, "\"start_time\":\"2023-11-14T22:13:20"));
            assert_int_equal(number(scene, "replay.records"), 3);
            assert_int_equal(number(scene, "replay.total"), 9);
        }
    }
}

static void shows_the_ledger(void **state)
{
    struct scene *scene = *state;

    fake.ledger = (struct live_ledger){ .accepted = 1, .stored = 2, .sampled_out = 3, .duplicate = 4, .pending = 5,
                                        .refused = 6, .late = INT64_MAX };
    ask(scene, "GET", "/api/meshglass/v1/ledger");
    assert_int_equal(scene->status, 200);
    assert_int_equal(number(scene, "accepted"), 1);
    assert_int_equal(number(scene, "stored"), 2);
    assert_int_equal(number(scene, "sampled_out"), 3);
    assert_int_equal(number(scene, "duplicate"), 4);
    assert_int_equal(number(scene, "pending"), 5);
    assert_int_equal(number(scene, "refused"), 6);
    assert_true(number(scene, "late") == INT64_MAX);
    assert_false(says(scene, "\n"));
    ask(scene, "GET", "/api/meshglass/v1/ledger?prettyPrint=true");
    assert_true(says(scene, "\n    \"accepted\": 1"));
}

/* One name is one key, whatever its reasons; what no name decided goes by its reason. Empty lines are left out. */
static void splits_the_ledger(void **state)
{
    static const struct live_policy policies[] = {
        { "errors", REASON_POLICY, 10, 0, 1, 0 },
        { "", REASON_NO_POLICY, 0, 7, 0, 2 },
        { "health", REASON_CLASS, 5, 45, 1, 9 },
        { "", REASON_FLOOR_ERROR, 3, 0, 1, 0 },
        { "health", REASON_CLASS_ERROR, 2, 0, 1, 0 },
        { "", REASON_NONE, 1, 0, 1, 0 },
        { "say \"hi\"", REASON_DROP, 0, UINT64_C(1) << 40, 0, 1 },
        { "idle", REASON_POLICY, 0, 0, 0, 0 },
    };
    struct scene *scene = *state;

    ask(scene, "GET", "/api/meshglass/v1/ledger");
    assert_true(says(scene, "\"lost\":0,\"sampled_out_by_policy\":{},\"kept_by_policy\":{}}"));
    memcpy(fake.policies, policies, sizeof policies);
    fake.n_policies = MG_COUNT(policies);
    ask(scene, "GET", "/api/meshglass/v1/ledger");
    assert_int_equal(scene->status, 200);
    assert_true(says(scene, "\"sampled_out_by_policy\":{\"<no_policy>\":7,\"health\":45,\"say \\\"hi\\\"\":1099511627776}"));
    assert_true(says(scene, "\"kept_by_policy\":{\"<floor_error>\":3,\"<none>\":1,\"errors\":10,\"health\":7}}"));
}

/* Names as long as they can be, in every line. */
static void splits_among_long_names(void **state)
{
    struct scene *scene = *state;
    char want[sizeof fake.policies[0].name + 4];

    for (size_t i = 0; i < MG_COUNT(fake.policies); i++) {
        memset(fake.policies[i].name, 'a' + (int)i, sizeof fake.policies[i].name - 1);
        fake.policies[i].reason = REASON_POLICY;
        fake.policies[i].kept = UINT64_C(1) << 60;
    }
    fake.n_policies = MG_COUNT(fake.policies);
    ask(scene, "GET", "/api/meshglass/v1/ledger");
    for (size_t i = 0; i < MG_COUNT(fake.policies); i++) {
        snprintf(want, sizeof want, "\"%s\":", fake.policies[i].name);
        assert_true(says(scene, want));
    }
}

static void shows_the_ladder(void **state)
{
    static const struct {
        enum ladder_step step;
        const char *want;
    } rows[] = {
        { LADDER_NONE, "\"ladder\":\"none\"" }, { LADDER_HEAD, "\"ladder\":\"head\"" },
        { LADDER_TAIL, "\"ladder\":\"tail\"" }, { LADDER_REFUSE, "\"ladder\":\"refuse\"" },
    };
    struct scene *scene = *state;

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        fake.ladder = rows[i].step;
        ask(scene, "GET", "/api/meshglass/v1/status");
        assert_true(says(scene, rows[i].want));
    }
}

static void shows_the_status(void **state)
{
    struct scene *scene = *state;

    fake.live = (struct live_stats){ .position = 10, .traces = 11, .ring_bytes = 12, .ring_segments = 13, .oldest_pending_ns = 14 };
    fake.store = (struct store_stats){ .partitions = 20, .blocks = 21, .spans = 22, .traces = 23, .disk_bytes = 24, .commits = 25,
                                       .failed_commits = 26, .c = 27, .p = 28, .watermark = 29 };
    fake.journal = (struct journal_stats){ .disk_bytes = 30, .segments = 31, .corrupt_records = 32 };
    admin_add_door(&scene->admin, "otlp_http", STR("127.0.0.1:4318"));
    ask(scene, "GET", "/api/meshglass/v1/status");
    assert_int_equal(scene->status, 200);
    static const struct {
        const char *path;
        int64_t want;
    } numbers[] = {
        { "positions.log", 10 }, { "ring.traces", 11 }, { "ring.bytes", 12 }, { "ring.segments", 13 },
        { "ring.oldest_pending_ns", 14 }, { "ring.budget_bytes", 4096 }, { "store.partitions", 20 }, { "store.blocks", 21 },
        { "store.spans", 22 }, { "store.traces", 23 }, { "store.disk_bytes", 24 }, { "store.commits", 25 },
        { "store.failed_commits", 26 }, { "positions.c", 27 }, { "positions.p", 28 }, { "positions.watermark", 29 },
        { "journal.bytes", 30 }, { "journal.segments", 31 }, { "journal.corrupt_records", 32 },
    };
    for (size_t i = 0; i < MG_COUNT(numbers); i++)
        if (number(scene, numbers[i].path) != numbers[i].want)
            fail_msg("%s", numbers[i].path);
    assert_true(number(scene, "disk.total_bytes") > 0);
    assert_true(number(scene, "memory.rss_bytes") > 0);
    assert_true(says(scene, "\"version\":\"1.2.3\""));
    assert_true(says(scene, "{\"door\":\"otlp_http\",\"address\":\"127.0.0.1:4318\"}"));
    assert_true(says(scene, "\"oldest\":\"\"")); /* an empty store has none */
    fake.store.oldest_wall_ns = UINT64_C(1700000000000000000);
    scene->admin.data_dir = "/nowhere/at/all";
    ask(scene, "GET", "/api/meshglass/v1/status");
    assert_true(says(scene, "\"oldest\":\"2023-11-14T22:13:20"));
    assert_int_equal(number(scene, "disk.total_bytes"), 0);
}

static void lists_doors_up_to_its_room(void **state)
{
    struct scene *scene = *state;

    for (int i = 0; i < ADMIN_DOORS_MAX + 1; i++) {
        admin_add_door(&scene->admin, i < ADMIN_DOORS_MAX ? "inside" : "beyond", STR("[::]:1"));
        assert_int_equal(scene->admin.shared.n_doors, MG_MIN(i + 1, (int)ADMIN_DOORS_MAX));
    }
    ask(scene, "GET", "/api/meshglass/v1/status");
    assert_true(says(scene, "inside"));
    assert_false(says(scene, "beyond"));
}

/* Of the last ten seconds: eleven ticks, the twelfth forgets the first. */
static void knows_its_rate(void **state)
{
    struct scene *scene = *state;

    assert_true(admin_spans_per_second(&scene->admin) == 0);
    admin_tick(&scene->admin, 0);
    assert_true(admin_spans_per_second(&scene->admin) == 0); /* one point is no rate */
    admin_tick(&scene->admin, 0);
    assert_true(admin_spans_per_second(&scene->admin) == 0); /* nor are two at one time */
    for (uint64_t second = 1; second < ADMIN_RATE_SAMPLES - 1; second++) {
        fake.ledger.accepted += second == 1 ? 900 : 0;
        admin_tick(&scene->admin, second * UINT64_C(1000000000));
    }
    assert_true(admin_spans_per_second(&scene->admin) == 100); /* 900 within 9 s */
    admin_tick(&scene->admin, UINT64_C(10000000000));
    assert_true(admin_spans_per_second(&scene->admin) == 90);
    admin_tick(&scene->admin, UINT64_C(11000000000)); /* from second 1 on, which had the 900 already */
    assert_true(admin_spans_per_second(&scene->admin) == 0);
    assert_int_equal(scene->admin.shared.n_samples, ADMIN_RATE_SAMPLES);
}

static void negotiates_metrics(void **state)
{
    static const struct {
        const char *accept, *type, *ends;
    } rows[] = {
        { "*/*", "text/plain; version=0.0.4", "" },
        { "text/plain", "text/plain; version=0.0.4", "" },
        { "application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0", "# EOF\n" },
        { "nonsense", "text/plain; version=0.0.4", "" },
    };
    struct scene *scene = *state;

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const struct http_header accept = { STR("accept"), str_of(rows[i].accept) };
        ask_with(scene, &(struct http_call){ .method = "GET", .path = STR("/metrics"), .headers = &accept, .n_headers = 1 });
        assert_int_equal(scene->status, 200);
        if (!str_starts(str_of(scene->content_type), str_of(rows[i].type)))
            fail_msg("row %zu: %s", i, scene->content_type);
        assert_true(str_ends(buf_str(&scene->body), str_of(rows[i].ends)));
    }
}

static void serves_nothing_else(void **state)
{
    static const struct {
        const char *method, *path;
        int status;
    } rows[] = {
        { "POST", "/status", 405 }, { "POST", "/metrics", 405 }, { "DELETE", "/api/meshglass/v1/ledger", 405 },
        { "POST", "/api/meshglass/v1/why/1", 405 }, { "GET", "/api/meshglass/v1/why", 404 }, { "GET", "/api/meshglass/v1/why/", 404 }, { "GET", "/api/meshglass/v1/why/1/2", 404 },
        { "GET", "/api/meshglass/v1/", 404 }, { "GET", "/api/meshglass/v2/status", 404 }, { "GET", "/metrics/", 404 },
        { "HEAD", "/status", 200 }, { "HEAD", "/api/meshglass/v1/status", 200 },
    };
    struct scene *scene = *state;

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        ask(scene, rows[i].method, rows[i].path);
        if (scene->status != rows[i].status)
            fail_msg("%s %s: %d", rows[i].method, rows[i].path, scene->status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_its_health, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(shows_the_ledger, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(splits_the_ledger, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(splits_among_long_names, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(shows_the_ladder, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(shows_the_status, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(lists_doors_up_to_its_room, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(knows_its_rate, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(negotiates_metrics, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(serves_nothing_else, scene_begin, scene_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* parts_test.c - bodies cut from items, and a batch sent in several requests. */
#include "unit/peer/rig.h"
#include "peer/peer.h"

static void add(struct peer_parts *parts, const char *item)
{
    peer_parts_add(parts, str_of(item));
}

/* Without `close` behind the last one, which comes when it is sent. */
static void test_cutting(void **state)
{
    static const struct { size_t part_bytes; const char *items[5]; const char *want[5]; } cases[] = {
        { 100, { "a", "b", "c" }, { "[a,b,c" } },
        { 7, { "aa", "bb", "cc" }, { "[aa,bb]", "[cc" } },
        { 10, { "aa", "bb", "cc" }, { "[aa,bb,cc" } },
        { 9, { "aa", "bb", "cc" }, { "[aa,bb]", "[cc" } },
        { 4, { "a", "bbbbbbbbbb", "c", "d" }, { "[a]", "[bbbbbbbbbb]", "[c]", "[d" } },
        { 0, { "a", "b" }, { "[a]", "[b" } },
        { 9, { "", "" }, { "[," } },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct peer_parts parts = {.open = "[", .between = ",", .close = "]", .part_bytes = cases[i].part_bytes};
        size_t n = 0, items = 0, want_items = 0;
        for (; want_items < 5 && cases[i].items[want_items]; want_items++)
            add(&parts, cases[i].items[want_items]);
        for (; n < 5 && cases[i].want[n]; n++) {
            assert_true(n < parts.list.n);
            items += parts.list.at[n].items;
            if (!str_eq(buf_str(&parts.list.at[n].body), str_of(cases[i].want[n])))
                fail_msg("row %zu, part %zu: %.*s", i, n, STR_ARG(buf_str(&parts.list.at[n].body)));
        }
        assert_int_equal(parts.list.n, n);
        assert_int_equal(items, want_items);
        peer_parts_fini(&parts);
    }
}

/* --- sending --- */

struct scene {
    struct rig rig;
    struct peer_conf conf;
    struct peer *peer;
    struct send_result result;
    bool is_done;
    unsigned judged, judged_items;
    enum send_verdict turn_into; /* of the second part */
};

static void on_done(void *owner, const struct send_result *result, const struct http_answer *answer)
{
    struct scene *scene = owner;
    assert_false(scene->is_done);
    assert_null(answer);
    scene->result = *result;
    scene->is_done = true;
    loop_stop(scene->rig.loop);
}

static void judge_one(void *owner, const struct http_answer *answer, uint32_t items, struct send_result *result)
{
    struct scene *scene = owner;
    assert_non_null(answer);
    scene->judged_items += items;
    result->refused_spans = items;
    if (++scene->judged == 2 && scene->turn_into != SEND_TAKEN)
        *result = (struct send_result){.verdict = scene->turn_into, .retry_after_ms = 5, .reason = "second thoughts"};
}

static void scene_open(struct scene *scene)
{
    struct mg_why why;
    *scene = (struct scene){.turn_into = SEND_TAKEN};
    rig_open(&scene->rig, NULL);
    scene->conf.endpoint = str_of(scene->rig.url);
    assert_int_equal(peer_new(&scene->peer, "exporters.x", &scene->conf, &why), MG_OK);
    assert_int_equal(peer_open(scene->peer, scene->rig.loop, false, 2, 20000000000u, &why), MG_OK);
}

static void on_closed(void *owner)
{
    struct scene *scene = owner;
    scene->rig.is_gone = true;
    loop_stop(scene->rig.loop);
}

static void peer_end(struct scene *scene)
{
    scene->rig.is_gone = false;
    peer_close(scene->peer, on_closed, scene);
    while (!scene->rig.is_gone)
        loop_run(scene->rig.loop);
}

static void scene_close(struct scene *scene)
{
    peer_end(scene);
    peer_free(&scene->peer);
    rig_close(&scene->rig);
}

static void send_three(struct scene *scene)
{
    struct peer_parts parts = {.open = "<", .between = " ", .close = ">", .part_bytes = 6};
    char path[] = "/p", type[] = "text/x"; /* both are copied */
    scene->is_done = false;
    scene->judged = scene->judged_items = 0;
    add(&parts, "aa"), add(&parts, "b"), add(&parts, "cccc"), add(&parts, "d");
    peer_send_parts(scene->peer, &(struct peer_post){.path = str_of(path), .content_type = str_of(type)}, &parts, judge_one, on_done,
                    scene);
    assert_null(parts.list.at);
    memset(path, '!', 2);
    memset(type, '!', 6);
    while (!scene->is_done)
        loop_run(scene->rig.loop);
}

static void test_all_are_taken(void **state)
{
    static const char *const bodies[] = {"<aa b>", "<cccc>", "<d>"};
    static const struct rig_answer answers[] = {{.status = 202}};
    struct scene scene;
    (void)state;
    scene_open(&scene);
    rig_script(&scene.rig, answers, 1);
    send_three(&scene);
    assert_int_equal(scene.result.verdict, SEND_TAKEN);
    assert_int_equal(scene.result.refused_spans, 4);
    assert_int_equal(scene.judged_items, 4);
    assert_int_equal(scene.rig.requests.n, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(str_eq(scene.rig.requests.at[i].body, str_of(bodies[i])));
        assert_true(str_eq(scene.rig.requests.at[i].path, STR("/p")));
        assert_true(str_eq(scene.rig.requests.at[i].type, STR("text/x")));
    }
    scene_close(&scene);
}

static void test_the_first_failure_ends_it(void **state)
{
    static const struct { struct rig_answer answers[3]; enum send_verdict turn_into, want; unsigned requests; uint64_t hint_ms; } cases[] = {
        { { { .status = 503, .retry_after = "2" } }, SEND_TAKEN, SEND_RETRY, 1, 2000 },
        { { { .status = 200 }, { .status = 400 } }, SEND_TAKEN, SEND_REFUSED, 2, 0 },
        { { { .status = 200 }, { .status = 200 }, { .status = 429 } }, SEND_TAKEN, SEND_RETRY, 3, 0 },
        { { { .status = 200 }, { .status = 200 }, { .status = 200 } }, SEND_RETRY, SEND_RETRY, 2, 5 },
        { { { .status = 200 }, { .status = 200 }, { .status = 200 } }, SEND_REFUSED, SEND_REFUSED, 2, 5 },
    };
    struct scene scene;
    (void)state;
    scene_open(&scene);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig_script(&scene.rig, cases[i].answers, 3);
        scene.turn_into = cases[i].turn_into;
        send_three(&scene);
        assert_int_equal(scene.result.verdict, cases[i].want);
        assert_int_equal(scene.result.retry_after_ms, cases[i].hint_ms);
        assert_int_equal(scene.result.refused_spans, 0);
        assert_int_equal(scene.rig.requests.n, cases[i].requests);
    }
    scene_close(&scene);
}

static void test_nothing_to_send(void **state)
{
    struct peer_parts parts = {.open = "", .between = "", .close = "", .part_bytes = 6};
    struct scene scene;
    (void)state;
    scene_open(&scene);
    peer_send_parts(scene.peer, &(struct peer_post){.path = STR("/")}, &parts, judge_one, on_done, &scene);
    assert_true(scene.is_done);
    assert_int_equal(scene.result.verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 0);
    scene_close(&scene);
}

static void test_closed_in_the_middle(void **state)
{
    static const struct rig_answer answers[] = {{.status = 200}, {.is_held = true}};
    struct peer_parts parts = {.open = "", .between = "", .close = "", .part_bytes = 1};
    struct scene scene;
    (void)state;
    scene_open(&scene);
    rig_script(&scene.rig, answers, 2);
    add(&parts, "a"), add(&parts, "b"), add(&parts, "c");
    peer_send_parts(scene.peer, &(struct peer_post){.path = STR("/")}, &parts, judge_one, on_done, &scene);
    rig_run_until_requests(&scene.rig, 2);
    assert_false(scene.is_done);
    peer_end(&scene);
    assert_true(scene.is_done);
    assert_int_equal(scene.result.verdict, SEND_RETRY);
    scene.is_done = false;
    parts = (struct peer_parts){.open = "", .between = "", .close = "", .part_bytes = 1};
    add(&parts, "a");
    peer_send_parts(scene.peer, &(struct peer_post){.path = STR("/")}, &parts, judge_one, on_done, &scene);
    assert_true(scene.is_done);
    assert_int_equal(scene.result.verdict, SEND_RETRY);
    peer_free(&scene.peer);
    rig_close(&scene.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_all_are_taken),
        cmocka_unit_test(test_the_first_failure_ends_it),
        cmocka_unit_test(test_nothing_to_send),
        cmocka_unit_test(test_closed_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

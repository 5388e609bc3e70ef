/* parts_test.c - bodies cut from items, and a batch sent in several requests. */
#include "unit/peer/rig.h"
#include <stdio.h>
#include "base/mem.h"
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
            items += parts.list.at[n].ends.n;
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
    char reason[100];
    bool is_done;
    unsigned judged, judged_items;
    enum send_verdict turn_into; /* of the second part */
    uint32_t refused_too_many;
    struct send_progress done;   /* by an earlier attempt */
};

static void on_done(void *owner, const struct send_result *result, const struct http_answer *answer)
{
    struct scene *scene = owner;
    assert_false(scene->is_done);
    assert_null(answer);
    scene->result = *result;
    snprintf(scene->reason, sizeof scene->reason, "%s", result->reason ? result->reason : "");
    scene->is_done = true;
    loop_stop(scene->rig.loop);
}

static void judge_one(void *owner, const struct http_answer *answer, uint32_t items, struct send_result *result)
{
    struct scene *scene = owner;
    assert_non_null(answer);
    scene->judged_items += items;
    result->refused_spans = items + scene->refused_too_many;
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
    assert_int_equal(peer_open(scene->peer, scene->rig.loop, false, 20000000000u, &why), MG_OK);
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

static void send_parts(struct scene *scene, struct peer_parts *parts)
{
    char path[] = "/p", type[] = "text/x"; /* both are copied */
    scene->is_done = false;
    scene->judged = scene->judged_items = 0;
    peer_send_parts(scene->peer, &(struct peer_post){.path = str_of(path), .content_type = str_of(type)}, parts, judge_one, on_done,
                    scene);
    assert_null(parts->list.at);
    memset(path, '!', 2);
    memset(type, '!', 6);
    while (!scene->is_done)
        loop_run(scene->rig.loop);
}

static void send_four_items(struct scene *scene, size_t part_bytes, struct zip *zip)
{
    struct peer_parts parts = {.open = "<", .between = " ", .close = ">", .part_bytes = part_bytes,
                               .encoding = zip ? ZIP_GZIP : ZIP_IDENTITY, .zip = zip, .done = scene->done};
    add(&parts, "aa"), add(&parts, "b"), add(&parts, "cccc"), add(&parts, "d");
    send_parts(scene, &parts);
}

static void send_three(struct scene *scene)
{
    send_four_items(scene, 6, NULL);
}

static void assert_bodies(const struct scene *scene, const char *const *bodies, size_t n)
{
    assert_int_equal(scene->rig.requests.n, n);
    for (size_t i = 0; i < n; i++)
        if (!str_eq(scene->rig.requests.at[i].body, str_of(bodies[i])))
            fail_msg("request %zu: %.*s", i, STR_ARG(scene->rig.requests.at[i].body));
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
    assert_bodies(&scene, bodies, 3);
    for (size_t i = 0; i < 3; i++) {
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

/* --- too large --- */

#define FINE {.status = 200}
#define TOO_LARGE {.status = 413, .body = "no more than so much"}

static void test_what_is_too_large_goes_in_halves(void **state)
{
    static const struct {
        struct rig_answer answers[8];
        const char *bodies[8];
        size_t requests;
        uint32_t judged; /* items; they are refused by the judge, so that both sums are seen */
        uint32_t refused;
    } cases[] = {
        {{FINE}, {"<aa b cccc d>"}, 1, 4, 4},
        {{TOO_LARGE, FINE}, {"<aa b cccc d>", "<aa b>", "<cccc d>"}, 3, 4, 4},
        {{TOO_LARGE, TOO_LARGE, FINE}, {"<aa b cccc d>", "<aa b>", "<aa>", "<b>", "<cccc d>"}, 5, 4, 4},
        {{TOO_LARGE, FINE, TOO_LARGE, TOO_LARGE, FINE}, {"<aa b cccc d>", "<aa b>", "<cccc d>", "<cccc>", "<d>"}, 5, 3, 4},
        {{TOO_LARGE, FINE, TOO_LARGE, FINE, TOO_LARGE}, {"<aa b cccc d>", "<aa b>", "<cccc d>", "<cccc>", "<d>"}, 5, 3, 4},
        {{TOO_LARGE}, {"<aa b cccc d>", "<aa b>", "<aa>", "<b>", "<cccc d>", "<cccc>", "<d>"}, 7, 0, 4},
    };
    struct scene scene;
    (void)state;
    scene_open(&scene);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        size_t answers = 1;
        while (answers < 8 && cases[i].answers[answers].status)
            answers++;
        rig_script(&scene.rig, cases[i].answers, answers);
        send_four_items(&scene, 100, NULL);
        assert_bodies(&scene, cases[i].bodies, cases[i].requests);
        assert_int_equal(scene.result.verdict, SEND_TAKEN);
        assert_int_equal(scene.judged_items, cases[i].judged);
        assert_int_equal(scene.result.refused_spans, cases[i].refused);
        if (cases[i].judged < 4)
            assert_string_equal(scene.reason, "HTTP status 413: no more than so much");
        else
            assert_string_equal(scene.reason, "");
    }
    scene_close(&scene);
}

/* The answer to a half counts as any other. */
static void test_halves_that_fail(void **state)
{
    static const struct { struct rig_answer answers[3]; enum send_verdict want; unsigned requests; } cases[] = {
        {{TOO_LARGE, {.status = 503}}, SEND_RETRY, 2},
        {{TOO_LARGE, FINE, {.status = 400}}, SEND_REFUSED, 3},
        {{{.status = 400}}, SEND_REFUSED, 1},
        {{{.status = 414}}, SEND_REFUSED, 1},
        {{{.status = 429}}, SEND_RETRY, 1},
    };
    struct scene scene;
    (void)state;
    scene_open(&scene);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig_script(&scene.rig, cases[i].answers, 3);
        send_four_items(&scene, 100, NULL);
        assert_int_equal(scene.result.verdict, cases[i].want);
        assert_int_equal(scene.result.refused_spans, 0);
        assert_int_equal(scene.rig.requests.n, cases[i].requests);
    }
    scene_close(&scene);
}

static void test_halves_are_packed(void **state)
{
    static const char *const bodies[] = {"<aa b cccc d>", "<aa b>", "<cccc d>"};
    static const struct rig_answer answers[] = {TOO_LARGE, FINE};
    struct scene scene;
    struct zip *zip = zip_new();
    struct buf plain;
    (void)state;
    buf_init(&plain, 100);
    scene_open(&scene);
    rig_script(&scene.rig, answers, 2);
    send_four_items(&scene, 100, zip);
    assert_int_equal(scene.rig.requests.n, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct rig_request *got = &scene.rig.requests.at[i];
        assert_true(str_eq(got->encoding, STR("gzip")));
        buf_clear(&plain);
        assert_int_equal(zip_inflate(zip, ZIP_GZIP, got->body, 100, &plain, NULL), MG_OK);
        assert_true(str_eq(buf_str(&plain), str_of(bodies[i])));
    }
    scene_close(&scene);
    buf_fini(&plain);
    zip_free(&zip);
}

/* Four items of so many bytes, which fit into one part. */
static struct peer_parts four_items(size_t bytes)
{
    struct peer_parts parts = {.open = "", .between = "", .close = "", .part_bytes = 1 << 20};
    char *item = mem_alloc(bytes);
    memset(item, 'i', bytes);
    for (int i = 0; i < 4; i++)
        peer_parts_add(&parts, str_n(item, bytes));
    mem_free(item);
    assert_int_equal(parts.list.n, 1);
    return parts;
}

static size_t requests_for(struct scene *scene, const struct rig_answer *answers, size_t n, size_t bytes)
{
    struct peer_parts parts = four_items(bytes);
    rig_script(&scene->rig, answers, n);
    send_parts(scene, &parts);
    assert_int_equal(scene->result.verdict, SEND_TAKEN);
    assert_int_equal(scene->result.refused_spans, 4);
    return scene->rig.requests.n;
}

/* What is too large once is not tried again, down to a size that has other reasons. */
static void test_the_size_is_remembered(void **state)
{
    static const struct rig_answer fine[] = {FINE}, too_large[] = {TOO_LARGE, FINE};
    enum { KIB = 1024 };
    struct scene scene;
    (void)state;
    scene_open(&scene);
    assert_int_equal(requests_for(&scene, fine, 1, 50 * KIB), 1);
    assert_int_equal(requests_for(&scene, too_large, 2, 50 * KIB), 3);
    assert_int_equal(requests_for(&scene, fine, 1, 50 * KIB), 2);
    assert_int_equal(requests_for(&scene, fine, 1, 150 * KIB / 4), 1);
    assert_int_equal(requests_for(&scene, fine, 1, 150 * KIB / 4 + 1), 2);
    assert_int_equal(requests_for(&scene, fine, 1, 101 * KIB), 4); /* alone they are sent all the same */
    assert_int_equal(requests_for(&scene, too_large, 2, KIB), 3);
    assert_int_equal(requests_for(&scene, fine, 1, 16 * KIB), 1); /* 64 KiB */
    assert_int_equal(requests_for(&scene, fine, 1, 17 * KIB), 2);
    scene_close(&scene);
}

/* A larger one that was under way says nothing of smaller ones. */
static void test_a_late_refusal_of_more_is_no_permission(void **state)
{
    static const struct rig_answer held[] = {{.is_held = true}}, too_large[] = {TOO_LARGE, FINE};
    enum { KIB = 1024 };
    struct scene scene, late = {.is_done = false};
    (void)state;
    scene_open(&scene);
    late.rig.loop = scene.rig.loop;
    rig_script(&scene.rig, held, 1);
    struct peer_parts parts = four_items(100 * KIB);
    peer_send_parts(scene.peer, &(struct peer_post){.path = STR("/")}, &parts, NULL, on_done, &late);
    rig_run_until_requests(&scene.rig, 1);
    assert_int_equal(requests_for(&scene, too_large, 2, 50 * KIB), 3); /* 150 KiB are left */
    http_respond(scene.rig.held.at[0], 413, "text/plain", STR("no more than so much"));
    VEC_CLEAR(&scene.rig.held);
    while (!late.is_done)
        loop_run(scene.rig.loop);
    assert_int_equal(late.result.verdict, SEND_TAKEN);
    assert_int_equal(scene.rig.requests.n, 3 + 4); /* its halves are 200 KiB */
    scene_close(&scene);
}

static void test_what_an_earlier_attempt_sent_is_left_out(void **state)
{
    static const struct {
        size_t part_bytes;
        struct send_progress done;
        struct rig_answer answers[4];
        const char *bodies[4];
        size_t requests;
        enum send_verdict want;
        struct send_progress then;
    } cases[] = {
        {100, {0, 0}, {FINE}, {"<aa b cccc d>"}, 1, SEND_TAKEN, {4, 4}},
        {100, {1, 0}, {FINE}, {"<b cccc d>"}, 1, SEND_TAKEN, {4, 3}},
        {100, {3, 2}, {FINE}, {"<d>"}, 1, SEND_TAKEN, {4, 3}},
        {6, {1, 1}, {FINE, FINE, FINE}, {"<b>", "<cccc>", "<d>"}, 3, SEND_TAKEN, {4, 4}},
        {6, {2, 0}, {FINE, FINE}, {"<cccc>", "<d>"}, 2, SEND_TAKEN, {4, 2}},
        {6, {2, 1}, {FINE, {.status = 503}}, {"<cccc>", "<d>"}, 2, SEND_RETRY, {3, 2}},
        {6, {2, 1}, {{.status = 503}}, {"<cccc>"}, 1, SEND_RETRY, {2, 1}},
        {6, {2, 1}, {FINE, {.status = 400}}, {"<cccc>", "<d>"}, 2, SEND_REFUSED, {3, 2}},
        {100, {2, 0}, {TOO_LARGE, FINE, FINE}, {"<cccc d>", "<cccc>", "<d>"}, 3, SEND_TAKEN, {4, 2}},
        {100, {4, 1}, {FINE}, {0}, 0, SEND_TAKEN, {4, 1}},
        {6, {9, 1}, {FINE}, {0}, 0, SEND_TAKEN, {9, 1}},
    };
    struct scene scene;
    (void)state;
    scene_open(&scene);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig_script(&scene.rig, cases[i].answers, MG_MAX(cases[i].requests, (size_t)1));
        scene.done = cases[i].done;
        send_four_items(&scene, cases[i].part_bytes, NULL);
        assert_bodies(&scene, cases[i].bodies, cases[i].requests);
        assert_int_equal(scene.result.verdict, cases[i].want);
        assert_int_equal(scene.result.done.spans, cases[i].then.spans);
        assert_int_equal(scene.result.done.refused, cases[i].then.refused);
        assert_int_equal(scene.result.refused_spans, cases[i].want == SEND_TAKEN ? cases[i].then.refused : 0);
    }
    scene_close(&scene);
}

/* Of a part no more can be refused than was in it. */
static void test_more_refused_than_sent(void **state)
{
    static const struct rig_answer answers[] = {FINE};
    struct scene scene;
    (void)state;
    scene_open(&scene);
    scene.refused_too_many = 1000;
    rig_script(&scene.rig, answers, 1);
    send_three(&scene);
    assert_int_equal(scene.result.refused_spans, 4);
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
        cmocka_unit_test(test_what_is_too_large_goes_in_halves),
        cmocka_unit_test(test_halves_that_fail),
        cmocka_unit_test(test_halves_are_packed),
        cmocka_unit_test(test_the_size_is_remembered),
        cmocka_unit_test(test_a_late_refusal_of_more_is_no_permission),
        cmocka_unit_test(test_what_an_earlier_attempt_sent_is_left_out),
        cmocka_unit_test(test_more_refused_than_sent),
        cmocka_unit_test(test_nothing_to_send),
        cmocka_unit_test(test_closed_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What was decided about a trace: each state, what is no id, and failures of the query. */
#include "scene.h"

#include "row/outcome.h"

#define PATH "/api/meshglass/v1/why/"
#define ID   "0102030405060708090a0b0c0d0e0f10"
#define TIME UINT64_C(1700000000000000000)

static const struct query_vote votes[] = { { "errors", VOTE_YES }, { "slow", VOTE_NO }, { "rare", VOTE_NOT_ASKED }, { "bots", VOTE_DROP } };
static const struct query_decision by_policy[] = {
    { { VERDICT_KEPT, TRIGGER_ROOT, REASON_POLICY, 1, false, 0, 7 }, TIME, 12, "errors", votes, MG_COUNT(votes) },
};
static const struct query_decision by_chance[] = {
    { { VERDICT_KEPT, TRIGGER_DEADLINE, REASON_CLASS, 2, true, UINT64_C(1) << 55, 3 }, TIME, 1, "health", NULL, 0 },
};
/* 5 % is kept at 0.0500002 */
static const struct query_decision at_five_percent[] = {
    { { VERDICT_KEPT, TRIGGER_ROOT, REASON_CLASS_ERROR, 2, false, UINT64_C(0xf3333000000000), 3 }, TIME, 1, "health", NULL, 0 },
};
static const struct query_decision while_off[] = { { { .verdict = VERDICT_KEPT }, 0, 3, "", NULL, 0 } };
static const struct query_decision out[] = {
    { { VERDICT_DROPPED, TRIGGER_LATE, REASON_NO_POLICY, 0, false, OT_NEVER, 7 }, TIME, 0, "", NULL, 0 },
};
/* Late spans were dropped: the trace is kept all the same. */
static const struct query_decision kept_then_dropped[] = {
    { { VERDICT_DROPPED, TRIGGER_ROOT, REASON_NO_POLICY, 0, false, OT_NEVER, 8 }, TIME + 60000000000, 0, "", NULL, 0 },
    { { VERDICT_KEPT, TRIGGER_ROOT, REASON_FLOOR_ERROR, 0, false, 0, 7 }, TIME, 5, "", NULL, 0 },
};

/* Late spans followed: who decided is told first, and what was voted. */
static const struct query_decision followed[] = {
    { { VERDICT_DROPPED, TRIGGER_LATE, REASON_NO_POLICY, 0, false, OT_NEVER, 7 }, TIME + 60000000000, 0, "", NULL, 0 },
    { { VERDICT_DROPPED, TRIGGER_ROOT, REASON_NO_POLICY, 0, false, OT_NEVER, 7 }, TIME, 0, "", NULL, 0 },
};

#define NOTHING                                                                                                              \
    "\"reason\":\"\",\"policy\":\"\",\"probability\":null,\"estimate\":false,\"rules\":0,\"time\":\"\",\"trigger\":\"\",\"votes\":[]"
#define BY_POLICY                                                                                                            \
    "\"reason\":\"policy\",\"policy\":\"errors\",\"probability\":1,\"estimate\":false,\"rules\":7,\"time\":\"2023-11-14T22:13:20.000Z\"," \
    "\"trigger\":\"root\",\"votes\":[{\"policy\":\"errors\",\"vote\":\"yes\"},{\"policy\":\"slow\",\"vote\":\"no\"},"         \
    "{\"policy\":\"rare\",\"vote\":\"not_asked\"},{\"policy\":\"bots\",\"vote\":\"drop\"}]"
#define BY_CHANCE                                                                                                            \
    "\"reason\":\"class\",\"policy\":\"health\",\"probability\":0.5,\"estimate\":true,\"rules\":3,\"time\":\"2023-11-14T22:13:20.000Z\"," \
    "\"trigger\":\"deadline\",\"votes\":[]"
#define AT_FIVE_PERCENT                                                                                                      \
    "\"reason\":\"class_error\",\"policy\":\"health\",\"probability\":0.05,\"estimate\":false,\"rules\":3,"                  \
    "\"time\":\"2023-11-14T22:13:20.000Z\",\"trigger\":\"root\",\"votes\":[]"
#define WHILE_OFF                                                                                                            \
    "\"reason\":\"\",\"policy\":\"\",\"probability\":1,\"estimate\":false,\"rules\":0,\"time\":\"\",\"trigger\":\"\",\"votes\":[]"
#define OUT(rules, time, trigger)                                                                                            \
    "\"reason\":\"no_policy\",\"policy\":\"\",\"probability\":0,\"estimate\":false,\"rules\":" rules ",\"time\":\"" time "\","  \
    "\"trigger\":\"" trigger "\",\"votes\":[]"
#define BY_FLOOR                                                                                                             \
    "\"reason\":\"floor_error\",\"policy\":\"\",\"probability\":1,\"estimate\":false,\"rules\":7,\"time\":\"2023-11-14T22:13:20.000Z\"," \
    "\"trigger\":\"root\",\"votes\":[]"
#define ALL(decision, members, waiting, more, list)                                                                         \
    "{\"trace_id\":\"" ID "\",\"decision\":\"" decision "\"," members ",\"waiting\":" waiting ",\"more\":" more ",\"decisions\":[" list "]}"
#define ANSWER(decision, members, list) ALL(decision, members, "false", "false", list)
#define ONE(decision, members, spans) ANSWER(decision, members, "{\"decision\":\"" decision "\"," members ",\"spans\":" spans "}")

static const struct {
    struct query_why why;
    const char *want;
} rows[] = {
    { { .state = WHY_UNKNOWN }, ANSWER("unknown", NOTHING, "") },
    { { .state = WHY_PENDING, .is_waiting = true }, ALL("pending", NOTHING, "true", "false", "") },
    { { .state = WHY_KEPT, .decisions = by_policy, .n = 1 }, ONE("kept", BY_POLICY, "12") },
    { { .state = WHY_KEPT, .decisions = by_chance, .n = 1 }, ONE("kept", BY_CHANCE, "1") },
    { { .state = WHY_KEPT, .decisions = at_five_percent, .n = 1 }, ONE("kept", AT_FIVE_PERCENT, "1") },
    { { .state = WHY_KEPT, .decisions = while_off, .n = 1 }, ONE("kept", WHILE_OFF, "3") },
    { { .state = WHY_DROPPED, .decisions = out, .n = 1 }, ONE("dropped", OUT("7", "2023-11-14T22:13:20.000Z", "late"), "null") },
    { { .state = WHY_KEPT, .is_waiting = true, .is_cut = true, .decisions = by_policy, .n = 1 }, /* late spans wait */
      ALL("kept", BY_POLICY, "true", "true", "{\"decision\":\"kept\"," BY_POLICY ",\"spans\":12}") },
    { { .state = WHY_KEPT, .decisions = kept_then_dropped, .n = 2 },
      ANSWER("kept", BY_FLOOR,
             "{\"decision\":\"dropped\"," OUT("8", "2023-11-14T22:14:20.000Z", "root") ",\"spans\":null},"
             "{\"decision\":\"kept\"," BY_FLOOR ",\"spans\":5}") },
    { { .state = WHY_DROPPED, .decisions = followed, .n = 2 },
      ANSWER("dropped", OUT("7", "2023-11-14T22:13:20.000Z", "root"),
             "{\"decision\":\"dropped\"," OUT("7", "2023-11-14T22:14:20.000Z", "late") ",\"spans\":null},"
             "{\"decision\":\"dropped\"," OUT("7", "2023-11-14T22:13:20.000Z", "root") ",\"spans\":null}") },
};

static void tells_each_state(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        fake.why = rows[i].why;
        ask(scene, "GET", PATH ID);
        assert_int_equal(scene->status, 200);
        assert_string_equal(scene->content_type, "application/json");
        if (!str_eq(buf_str(&scene->body), str_of(rows[i].want)))
            fail_msg("row %zu: %.*s\nnot %s", i, STR_ARG(buf_str(&scene->body)), rows[i].want);
        assert_string_equal(fake.job_name, "why");
    }
    ask(scene, "GET", PATH ID "?prettyPrint=true");
    assert_true(says(scene, "\n    \"trace_id\": \"" ID "\""));
}

static void takes_ids_as_jaeger_does(void **state)
{
    static const struct {
        const char *text, *id;
    } ids[] = {
        { "1", "00000000000000000000000000000001" },
        { "0001", "00000000000000000000000000000001" },
        { "0A0B0c0d0e0f1011", "00000000000000000a0b0c0d0e0f1011" },
        { "a0b0c0d0e0f1011f", "0000000000000000a0b0c0d0e0f1011f" },
        { "102030405060708090a0b0c0d0e0f10", ID },
        { ID, ID },
        { "%31", "00000000000000000000000000000001" },
    };
    struct scene *scene = *state;
    char path[128], got[33] = "";

    for (size_t i = 0; i < MG_COUNT(ids); i++) {
        snprintf(path, sizeof path, PATH "%s", ids[i].text);
        ask(scene, "GET", path);
        assert_int_equal(scene->status, 200);
        hex_encode(fake.asked_id, sizeof fake.asked_id, got);
        assert_string_equal(got, ids[i].id);
        assert_true(says(scene, ids[i].id));
    }
}

static void refuses_what_is_no_id(void **state)
{
    static const char *const texts[] = { "x", "0", "00000000000000000000000000000000", "0x1", "-1", "+1", "12g4", "1%20", "%20", ID "0", ID ID };
    struct scene *scene = *state;
    char path[128];

    for (size_t i = 0; i < MG_COUNT(texts); i++) {
        snprintf(path, sizeof path, PATH "%s", texts[i]);
        ask(scene, "GET", path);
        if (scene->status != 400 || !says(scene, "this is no trace id: it has 1 to 32 hexadecimal digits"))
            fail_msg("'%s': %d %.*s", texts[i], scene->status, STR_ARG(buf_str(&scene->body)));
    }
    assert_int_equal(fake.n_jobs, 0);
}

static void passes_failures_on(void **state)
{
    static const struct {
        enum mg_err err;
        int status;
    } failures[] = { { MG_E_TIMEOUT, 504 }, { MG_E_TOO_BIG, 413 }, { MG_E_IO, 500 } };
    struct scene *scene = *state;

    for (size_t i = 0; i < MG_COUNT(failures); i++) {
        fake.why_err = failures[i].err;
        ask(scene, "GET", PATH ID);
        assert_int_equal(scene->status, failures[i].status);
        assert_true(says(scene, "the query failed"));
    }
    fake.why_err = MG_OK;
    fake.has_no_room = true;
    ask(scene, "GET", PATH ID);
    assert_int_equal(scene->status, 503);
    assert_true(says(scene, "too many queries"));
    assert_true(scene->retry_after[0] != '\0');
}

/* As many votes as there can be, each with a long name: more than a pipe's window. */
static void tells_all_votes(void **state)
{
    enum { VOTES = 200, DECISIONS = 16 };
    static char name[512];
    static struct query_vote all[VOTES];
    static struct query_decision list[DECISIONS];
    struct scene *scene = *state;

    memset(name, 'n', sizeof name - 1);
    for (size_t i = 0; i < VOTES; i++)
        all[i] = (struct query_vote){ name, VOTE_NO };
    for (size_t i = 0; i < DECISIONS; i++) {
        list[i] = out[0];
        list[i].votes = all;
        list[i].n_votes = VOTES;
    }
    fake.why = (struct query_why){ .state = WHY_DROPPED, .decisions = list, .n = DECISIONS };
    ask(scene, "GET", PATH ID);
    assert_int_equal(scene->status, 200);
    assert_true(scene->body.len > (size_t)(DECISIONS + 1) * VOTES * sizeof name);
    assert_true(str_ends(buf_str(&scene->body), STR("\"spans\":null}]}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_each_state, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(takes_ids_as_jaeger_does, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_id, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(passes_failures_on, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(tells_all_votes, scene_begin, scene_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

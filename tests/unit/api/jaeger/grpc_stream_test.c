/* Calls that last: how they are cut into messages, how they end early, and questions of server
 * reflection one after the other. */
#include "grpc_rig.h"

static void chunks_of_ten(void **state)
{
    struct rig rig;
    struct str first;

    (void)state;
    rig_open(&rig);
    fake.n_spans = 27;
    fake.spans = arena_alloc(&spans_arena, fake.n_spans * sizeof *fake.spans);
    for (size_t i = 0; i < fake.n_spans; i++)
        fake.spans[i] = span_of(i + 1, 0, SPAN_CLIENT);
    assert_int_equal(messages_in(call_method(&rig, V2 "GetTrace", bytes_of(V2_ID)), &first), 3);
    fake.n_traces = 5;
    assert_int_equal(messages_in(call_method(&rig, V2 "FindTraces", bytes_of("0a00")), &first), 15);
    assert_int_equal(messages_in(call_method(&rig, V3 "FindTraces", bytes_of(WINDOW)), &first), 5);
    rig_close(&rig);
}

/* More than all windows together, and summaries in several messages. */
static void long_streams(void **state)
{
    struct rig rig;
    struct str first = STR("");

    (void)state;
    rig_open(&rig);
    fake.n_traces = 30000;
    const struct seen *seen = call_method(&rig, V3 "FindTraces", bytes_of(WINDOW));
    expect_status(seen, 0, "");
    assert_int_equal(messages_in(seen, &first), 30000);
    seen = call_method(&rig, V3 "FindTraceSummaries", bytes_of(WINDOW));
    expect_status(seen, 0, "");
    size_t n = messages_in(seen, &first);
    assert_true(n > 10 && n < 100 && first.len >= 64 * 1024);
    assert_int_equal(first.len % (strlen(SUMMARY) / 2), 0);
    rig_close(&rig);
}

static int32_t begin(struct rig *rig, const char *path, const char *request, const char *timeout)
{
    int32_t id = submit(rig->client, &(struct ask){GRPC, .path = path, .timeout = timeout,
                                                   .body = framed(rig, false, bytes_of(request))});

    run(rig->client);
    assert_true(fake.has_thread);
    return id;
}

static void cancel(struct rig *rig, int32_t id)
{
    assert_int_equal(
        nghttp2_submit_rst_stream(rig->client->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL), 0);
    run(rig->client);
    join(); /* the query sees it by itself */
    wire_round(&rig->wire);
}

/* While it is looked for; and while nobody reads what was found. */
static void a_cancelled_call_ends_its_query(void **state)
{
    static const char *const streams[][2] = {
        {V2 "GetTrace", V2_ID}, {V2 "FindTraces", "0a00"}, {V3 "FindTraceSummaries", WINDOW}};
    struct rig rig;

    (void)state;
    rig_open(&rig);
    fake.waits = true;
    for (size_t i = 0; i < MG_COUNT(streams); i++)
        cancel(&rig, begin(&rig, streams[i][0], streams[i][1], NULL));
    fake.waits = false;
    fake.n_traces = SIZE_MAX;
    rig.client->is_deaf = true;
    for (size_t i = 1; i < MG_COUNT(streams); i++) {
        int32_t id = begin(&rig, streams[i][0], streams[i][1], NULL);
        wire_round(&rig.wire);
        cancel(&rig, id);
    }
    rig.client->is_deaf = false;
    fake.n_traces = 0;
    expect_status(call_method(&rig, V2 "GetServices", STR("")), 0, "");
    rig_close(&rig);
}

static void a_deadline_ends_it_too(void **state)
{
    struct rig rig;
    struct str first;

    (void)state;
    rig_open(&rig);
    fake.waits = true;
    int32_t id = begin(&rig, V2 "GetTrace", V2_ID, "5S");
    wire_advance(&rig.wire, 6000);
    const struct seen *seen = wait_for(&rig, id);
    expect_status(seen, DEADLINE, NULL);
    assert_int_equal(messages_in(seen, &first), 0);
    fake.waits = false;
    fake.n_traces = SIZE_MAX;
    rig.client->is_deaf = true;
    id = begin(&rig, V3 "FindTraces", WINDOW, "5S");
    wire_round(&rig.wire);
    wire_advance(&rig.wire, 6000);
    join();
    wire_round(&rig.wire);
    rig.client->is_deaf = false;
    expect_status(wait_for(&rig, id), DEADLINE, NULL);
    expect_status(call_with(&rig, (struct ask){.timeout = "0n"}, V2 "GetServices",
                            framed(&rig, false, STR(""))),
                  DEADLINE, NULL);
    rig_close(&rig);
}

/* --- reflection
 * --------------------------------------------------------------------------------------- */

#define REFLECTION(version) "/grpc.reflection." version ".ServerReflection/ServerReflectionInfo"

static int32_t open_call(struct rig *rig, const char *path)
{
    int32_t id = submit(rig->client, &(struct ask){GRPC, .path = path, .is_open_ended = true});

    run(rig->client);
    return id;
}

static void questions_on_one_call(void **state)
{
    static const char *const versions[] = {REFLECTION("v1"), REFLECTION("v1alpha")};
    struct rig rig;
    struct str first;

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(versions); i++) {
        int32_t id = open_call(&rig, versions[i]);
        struct seen *seen = seen_of(rig.client, id);
        client_more(rig.client, id, framed(&rig, false, STR("\x3a\x01*")), false);
        assert_int_equal(messages_in(seen, &first), 1);
        client_more(rig.client, id, framed(&rig, false, STR("\x22\x07nothing")), false);
        assert_int_equal(messages_in(seen, &first), 2);
        assert_false(seen->is_closed);
        client_more(rig.client, id, framed(&rig, false, STR("\x22\x07nothing")), true);
        assert_int_equal(messages_in(seen, &first), 3);
        expect_status(seen, 0, "");
    }
    expect_status(call_with(&rig, (struct ask){0}, versions[0], STR("")), 0, "");
    rig_close(&rig);
}

static void calls_that_end_early(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig);
    expect_status(call_method(&rig, REFLECTION("v1"), STR("\x1a")), INVALID,
                  "malformed ServerReflectionRequest");
    int32_t id = open_call(&rig, REFLECTION("v1"));
    client_more(rig.client, id, framed(&rig, false, STR("\x3a\x01*")), false);
    cancel(&rig, id); /* jaeger_api_free asserts that no call was forgotten */
    id = open_call(&rig, REFLECTION("v1"));
    client_more(rig.client, id, framed(&rig, false, STR("\x3a\x01*")), false);
    client_more(rig.client, id, framed(&rig, false, STR("\x1a")), false);
    expect_status(seen_of(rig.client, id), INVALID, "malformed ServerReflectionRequest");
    rig_close(&rig);
}

/* Small questions with large answers: a call is given so much, and another one can be made. */
static void a_call_that_asks_for_much(void **state)
{
    const struct str question = STR("\x22\x1ajaeger.api_v2.QueryService");
    struct rig rig;
    struct str first;

    (void)state;
    rig_open(&rig);
    int32_t id = open_call(&rig, REFLECTION("v1"));
    struct seen *seen = seen_of(rig.client, id);
    for (int i = 0; i < 2000 && !seen->is_closed; i++)
        client_more(rig.client, id, framed(&rig, false, question), false);
    expect_status(seen, EXHAUSTED, "this call was given enough, the next one may ask again");
    assert_true(messages_in(seen, &first) > 100 && seen->body.len < 1100 * 1024);
    expect_status(call_method(&rig, REFLECTION("v1"), question), 0, "");
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_of_ten),
        cmocka_unit_test(long_streams),
        cmocka_unit_test(a_cancelled_call_ends_its_query),
        cmocka_unit_test(a_deadline_ends_it_too),
        cmocka_unit_test(questions_on_one_call),
        cmocka_unit_test(calls_that_end_early),
        cmocka_unit_test(a_call_that_asks_for_much),
    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}

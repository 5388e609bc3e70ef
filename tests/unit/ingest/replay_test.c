/* replay_test.c - the log read again: what was left out at the door stays out, whatever the rules are by then. */
#include "base/clock.h"
#include "bodies.h"
#include "rig.h"

#define KAFKA INGEST_DOOR_KAFKA

static void dropped_and_refused_spans_stay_out(void **state)
{
    static const struct { const char *then, *later; } cases[] = { /* rules at the door and at the replay */
        { "drop if name = \"op1\"", NULL },
        { "drop if name = \"op1\"", "drop if name = \"op1\"" },
        { "drop if name = \"op1\"", "drop if name ~ \"op\"" }, /* nothing that was acked is lost by a new rule */
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig = { .rules = { cases[i].then } };
        struct given_body given;
        struct live_ledger before, after;
        struct buf body;
        rig_open(&rig);
        otlp_named_body(&body, 1, 5, 1u << 3);
        rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
        assert_int_equal(given.body.spans, 3);
        assert_string_equal(rig_names(&rig, 1), "op0 op2 op4");
        before = rig_ledger(&rig);
        for (int round = 0; round < 2; round++) {
            rig.rules[0] = cases[i].later;
            rig_restart(&rig);
            assert_string_equal(rig_names(&rig, 1), "op0 op2 op4");
            after = rig_ledger(&rig);
            assert_int_equal(after.accepted, before.accepted);
            assert_int_equal(after.pending, before.pending);
            assert_int_equal(after.refused, before.refused);
        }
        assert_int_equal(rig_metric(&rig, INGEST_replay_unreadable, 0, 0), 0);
        buf_fini(&body);
        rig_close(&rig);
    }
}

static void spans_of_a_list_in_any_order_stay_out(void **state)
{
    static const char list[] =
        "[{\"traceId\":\"01000000000000000000000000000000\",\"id\":\"1\",\"parentId\":\"9\",\"name\":\"a1\",\"localEndpoint\":{\"serviceName\":\"a\"}},"
        "{\"traceId\":\"01000000000000000000000000000000\",\"id\":\"2\",\"parentId\":\"9\",\"name\":\"b2\",\"localEndpoint\":{\"serviceName\":\"b\"}},"
        "{\"traceId\":\"01000000000000000000000000000000\",\"id\":\"3\",\"parentId\":\"9\",\"name\":\"a3\",\"localEndpoint\":{\"serviceName\":\"a\"}},"
        "{\"traceId\":\"01000000000000000000000000000000\",\"id\":\"4\",\"parentId\":\"9\",\"name\":\"b4\",\"localEndpoint\":{\"serviceName\":\"b\"}}]";
    struct rig rig = { .rules = { "drop if name ~ \"2|3\"" } };
    struct given_body given;

    (void)state;
    rig_open(&rig);
    rig_take(&rig, &given, INGEST_ZIPKIN_JSON, ZIP_IDENTITY, str_of(list));
    assert_int_equal(given.err, MG_OK);
    assert_string_equal(rig_names(&rig, 1), "a1 b4");
    rig.rules[0] = NULL;
    rig_restart(&rig);
    assert_string_equal(rig_names(&rig, 1), "a1 b4");
    assert_int_equal(rig_ledger(&rig).accepted, 2);
    rig_close(&rig);
}

static void bodies_of_every_protocol_are_read_again(void **state)
{
    static const struct { enum ingest_protocol protocol; enum captured body; } cases[] = {
        { INGEST_ZIPKIN_PROTO, CAPTURED_ZIPKIN_FULL },
        { INGEST_JAEGER_HTTP_BINARY, CAPTURED_THRIFT_MIN },
        { INGEST_JAEGER_UDP_COMPACT, CAPTURED_COMPACT_FULL },
    };
    struct rig rig = { 0 };
    struct given_body given;
    struct buf body, packed;

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        captured_body(&body, cases[i].body);
        gzip_body(&packed, buf_str(&body));
        rig_take(&rig, &given, cases[i].protocol, ZIP_IDENTITY, buf_str(&body));
        assert_int_equal(given.body.spans, 1);
        rig_take(&rig, &given, cases[i].protocol, ZIP_GZIP, buf_str(&packed));
        assert_int_equal(given.body.spans, 1);
        buf_fini(&packed);
        buf_fini(&body);
    }
    rig_restart(&rig);
    assert_int_equal(rig_ledger(&rig).accepted, 6);
    assert_int_equal(rig_metric(&rig, INGEST_replay_unreadable, 0, 0), 0);
    rig_close(&rig);
}

/* --- records of other versions ----------------------------------------------------------------------- */

struct shot { struct live_batch batch; _Atomic bool is_acked; };

static void on_ack(struct live_batch *batch)
{
    MG_CONTAINER(batch, struct shot, batch)->is_acked = true;
}

static bool is_acked(void *shot)
{
    return ((struct shot *)shot)->is_acked;
}

/* As a version that wrote this head and protocol would have: its rows are those of `made`. */
static void put_record(struct rig *rig, struct str head, uint8_t protocol, uint8_t encoding, struct str body, const struct body_head *made)
{
    struct rows_maker *maker = rows_maker_new();
    const struct rows_body all = { INGEST_OTLP_PROTO, ZIP_IDENTITY, body, 1 << 20 };
    struct rows_result result;
    struct shot shot = { 0 };
    struct mg_why why;
    size_t used;

    assert_int_equal(rows_make(maker, &all, made, &result, &why), MG_OK);
    used = result.rows->bytes + result.rows->epoch_growth;
    credit_give(&rig->credit, -(int64_t)used);
    shot.batch = (struct live_batch){ .rows = result.rows, .reserved = used, .refused = made->n_refused, .ack = on_ack,
                                      .record = { .kind = JOURNAL_BODY, .protocol = protocol, .encoding = encoding,
                                                  .wall_ns = clock_wall_ns(), .head = head, .body = body } };
    live_submit(rig->live, &shot.batch);
    rig_run(rig, is_acked, &shot);
    assert_int_equal(shot.batch.err, MG_OK);
    rows_recycle(maker, &shot.batch.rows);
    rows_maker_free(&maker);
}

static void a_head_of_the_first_version_is_obeyed(void **state)
{
    static const struct run out[] = { { 0, 1 }, { 2, 1 } };
    const struct body_head made = { .refused = { out, 2 }, .n_refused = 2 };
    struct rig rig = { 0 };
    struct buf body;

    (void)state;
    rig_open(&rig);
    otlp_named_body(&body, 1, 4, 0);
    put_record(&rig, STR("\x01\x02\x00\x01\x01\x01"), INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), &made);
    assert_string_equal(rig_names(&rig, 1), "op1 op3");
    rig_restart(&rig);
    assert_string_equal(rig_names(&rig, 1), "op1 op3");
    assert_int_equal(rig_ledger(&rig).accepted, 2);
    assert_int_equal(rig_ledger(&rig).refused, 2);
    buf_fini(&body);
    rig_close(&rig);
}

static void what_cannot_be_read_is_counted_and_the_rest_goes_on(void **state)
{
    static const struct run out[] = { { 0, 2 } };
    const struct body_head nothing = { .dropped = { out, 1 } };
    struct rig rig = { 0 };
    struct given_body given;
    struct buf body;

    (void)state;
    rig_open(&rig);
    otlp_named_body(&body, 2, 2, 0);
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body)); /* waits in the ring: the log is read from here */
    put_record(&rig, STR("\x03\x00\x00"), INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), &nothing);  /* a later head */
    put_record(&rig, STR(""), INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), &nothing);
    put_record(&rig, STR("\x02\x00\x00"), 200, ZIP_IDENTITY, buf_str(&body), &nothing);                /* a later protocol */
    put_record(&rig, STR("\x02\x00\x00"), INGEST_ZIPKIN_JSON, ZIP_IDENTITY, buf_str(&body), &nothing); /* not what it says */
    put_record(&rig, STR("\x02\x00\x00"), INGEST_OTLP_PROTO, 77, buf_str(&body), &nothing); /* a later encoding */
    buf_fini(&body);
    otlp_named_body(&body, 1, 2, 0);
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    rig_restart(&rig);
    assert_string_equal(rig_names(&rig, 2), "op0 op1");
    assert_string_equal(rig_names(&rig, 1), "op0 op1");
    assert_int_equal(rig_metric(&rig, INGEST_replay_unreadable, 0, 0), 5);
    assert_int_equal(rig_ledger(&rig).accepted, 4);
    buf_fini(&body);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropped_and_refused_spans_stay_out),
        cmocka_unit_test(spans_of_a_list_in_any_order_stay_out),
        cmocka_unit_test(bodies_of_every_protocol_are_read_again),
        cmocka_unit_test(a_head_of_the_first_version_is_obeyed),
        cmocka_unit_test(what_cannot_be_read_is_counted_and_the_rest_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
